"""The therapies on every bench; on the emulated Pico edge by edge."""

from contextlib import suppress
from fractions import Fraction
from itertools import pairwise

import pytest

from micropump import program
from micropump.motion import HORIZON_MS
from micropump.units import QUANTUM_MS
from micropump_hil.judge import period_us
from micropump_hil.verbs import infuse, treat, wait_for, wait_until
from micropump_host.client import PumpRefusedError

SYRINGE = "bd-plastipak-50"
SMALL_SYRINGE = "bd-plastipak-3"
HEAD = "runze-rz1030-0142"


def intervals_us(edges_ns):
    return [(after - before) / 1000 for before, after in pairwise(edges_ns)]


@pytest.mark.needs("step_edges", "edge_counter")
@pytest.mark.parametrize(("fitted", "item_id"), [("syringe", SMALL_SYRINGE), ("peristaltic", HEAD)])
@pytest.mark.parametrize("into_ms", [0, 30, 70])
def test_from_1_to_400_ml_h_and_back_without_a_gap(bench, fitted, item_id, into_ms):
    slow, fast = 1_000, 400_000
    accepted = infuse(bench, item_id, slow, 2_500)
    nl_per_step = Fraction(accepted.nl_num, accepted.nl_den)
    slow_us = float(period_us(nl_per_step, slow))
    bench.run_s(5 * slow_us / 1e6 + into_ms / 1000)
    bench.pump.set_rate(fast)
    bench.run_s(2)
    bench.pump.set_rate(slow)
    bench.run_s(5 * slow_us / 1e6)
    # At rest: a head finishes its stroke after this.
    (run,) = bench.runs()
    edges_ns = run.edges_ns
    gaps_us = intervals_us(edges_ns)
    # A microsecond is the rounding up of each edge.
    assert max(gaps_us) <= slow_us + 1
    fast_us = float(period_us(nl_per_step, fast))
    assert min(gaps_us) >= fast_us - 1
    quick = [at for at, gap_us in zip(edges_ns[1:], gaps_us, strict=True) if gap_us <= fast_us + 1]
    # Two seconds of it, as long as the commands were apart.
    assert (quick[-1] - quick[0]) / 1e9 == pytest.approx(2, abs=2 * QUANTUM_MS / 1000)
    bench.pump.stop()
    status = wait_until(bench, "stopped", within_s=5)
    (run,) = bench.runs()[:1]
    counted = sum(len(run.edges_ns) for run in bench.runs())
    assert status.infused_steps == counted
    assert not bench.stray_edges_ns()


@pytest.mark.needs("step_edges", "edge_counter", "syringe")
@pytest.mark.parametrize("reverse", [0, 1])
def test_a_purge_speeds_up_and_slows_down_to_the_step(bench, reverse):
    treat(
        bench,
        program.PURGE,
        item_id=SMALL_SYRINGE,
        content_ul=3_000,
        volume_ul=1_000,
        rate_ul_h=1_200_000,
        reverse=reverse,
    )
    status = bench.status()
    assert status.state == "priming"
    status = wait_until(bench, "completed", within_s=10)
    (run,) = bench.runs()
    steps = status.retracted_steps if reverse else status.primed_steps
    assert steps == len(run.edges_ns) == bench.counted_steps() == status.target_steps
    # The first and the last tenth of a second at a twentieth of the rate, and no jump of more than
    # a tenth of it from one tenth of a second to the next.
    start_ns = run.edges_ns[0]
    counts = [0] * (int((run.edges_ns[-1] - start_ns) / 1e8) + 1)
    for at in run.edges_ns:
        counts[int((at - start_ns) / 1e8)] += 1
    full = max(counts)
    assert counts[0] <= full * 0.15
    assert counts[-1] <= full * 0.15
    assert max(abs(after - before) for before, after in pairwise(counts)) <= full * 0.15


@pytest.mark.needs("step_edges", "motor_enable", "syringe")
def test_the_direction_changes_only_at_rest(bench):
    direction = bench.pico.pins.watch(bench.pins["dir"])
    for reverse in (0, 1, 0):
        treat(
            bench,
            program.PURGE,
            item_id=SMALL_SYRINGE,
            content_ul=3_000,
            volume_ul=100,
            rate_ul_h=400_000,
            reverse=reverse,
        )
        wait_until(bench, "completed", within_s=10)
    changes_ns = [edge.at_ns for edge in direction.edges]
    assert len(changes_ns) == 2
    for at in changes_ns:
        # While the motor is off, and at least the longest set-up time before the next edge.
        assert not any(run.on_ns + 1000 < at < run.off_ns for run in bench.runs())
        following = [edge for run in bench.runs() for edge in run.edges_ns if edge > at]
        assert not following or following[0] - at > 1_000


def test_demands_are_given_at_the_end_of_the_lockout_and_not_before(bench):
    accepted = treat(
        bench,
        program.PCA,
        item_id=SYRINGE,
        content_ul=50_000,
        vtbi_ul=10_000,
        rate_ul_h=1_000,
        demand_ul=50,
        demand_ul_h=200_000,
        lockout_s=3,
        window_1_s=60,
        limit_1_ul=200,
    )
    bench.run_s(0.5)
    given_s = []
    while len(given_s) < 3 and bench.now_s < 60:
        with suppress(PumpRefusedError):
            bench.pump.demand()
            given_s.append(bench.now_s)
        bench.run_s(0.1)
    # Once a poll late at most.
    assert all(3 <= after - before < 3.3 for before, after in pairwise(given_s))
    bench.run_s(3.5)
    # Three of 50 µL and 16.7 µL of basal flow in the window of 200 µL: no fourth.
    with pytest.raises(PumpRefusedError, match="limit"):
        bench.pump.demand()
    status = bench.status()
    assert status.demands_given == 3
    assert status.demand_steps == 3 * (50_000 * accepted.nl_den // accepted.nl_num)
    bench.pump.stop()


@pytest.mark.needs("buttons", "syringe")
def test_the_patient_button_asks_for_a_dose(bench):
    treat(
        bench,
        program.PCA,
        item_id=SYRINGE,
        content_ul=50_000,
        vtbi_ul=10_000,
        rate_ul_h=0,
        demand_ul=50,
        demand_ul_h=200_000,
        lockout_s=3,
    )
    bench.run_s(0.5)
    bench.press("bolus")
    status = wait_for(bench, lambda now: now.demand_steps > 0, "a dose", within_s=2)
    assert (status.demands_made, status.demands_given) == (1, 1)
    bench.press("bolus")
    bench.run_s(0.3)
    status = bench.status()
    assert (status.demands_made, status.demands_given) == (2, 1)
    bench.pump.stop()


def test_a_bolus_is_on_top_of_the_infusion(bench):
    accepted = infuse(bench, SYRINGE, 20_000, 2_000, content_ul=50_000)
    bench.run_s(1)
    bench.pump.bolus(200, rate_ul_h=400_000)
    status = wait_for(bench, lambda now: now.bolus_left_ul == 0, "the bolus", within_s=5)
    assert status.bolus_steps == 200_000 * accepted.nl_den // accepted.nl_num
    passed_s = status.uptime_s
    bench.run_s(1)
    later = bench.status()
    rate_steps_s = 20_000 * 1000 / 3600 * accepted.nl_den / accepted.nl_num
    # The count follows a quantum behind.
    assert later.infused_steps - status.infused_steps == pytest.approx(
        rate_steps_s * (later.uptime_s - passed_s), abs=rate_steps_s * 0.1 + 1
    )
    bench.pump.stop()


def test_intermittent_doses_begin_an_interval_apart_with_kvo_between(bench):
    treat(
        bench,
        program.INTERMITTENT,
        item_id=SYRINGE,
        content_ul=50_000,
        dose_ul=100,
        rate_ul_h=400_000,
        interval_s=4,
        doses=3,
    )
    status = wait_for(bench, lambda now: now.doses == 3, "three doses", within_s=20)
    assert status.infused_steps == status.target_steps
    assert status.kvo_steps > 0
    starts_s = [event.uptime_s for event in bench.pump.events() if event.name == "dose started"]
    # Events are noted at the cycle, up to a quantum late.
    assert [after - before for before, after in pairwise(starts_s)] == pytest.approx(
        [4, 4], abs=0.11
    )
    bench.pump.stop()


def test_an_empty_container_is_changed_and_the_therapy_goes_on(bench):
    accepted = treat(
        bench,
        program.CONTINUOUS,
        item_id=SMALL_SYRINGE,
        content_ul=300,
        containers=3,
        vtbi_ul=700,
        rate_ul_h=400_000,
        kvo_ul_h=0,
    )
    in_one = 300_000 * accepted.nl_den // accepted.nl_num
    for containers in (1, 2):
        status = wait_until(bench, "alarm", within_s=10)
        assert status.alarms == ("container_empty",)
        assert status.infused_steps == containers * in_one
        with pytest.raises(PumpRefusedError):
            bench.pump.resume()
        bench.pump.change_container(300)
        bench.pump.acknowledge()
        bench.pump.resume()
    status = wait_until(bench, "completed", within_s=10)
    assert status.infused_steps == status.target_steps


@pytest.mark.parametrize("fitted", ["peristaltic"])
@pytest.mark.parametrize("wait_s", [1.0, 1.33, 1.71])
def test_a_stop_by_hand_finishes_the_stroke_of_the_head(bench, fitted, wait_s):
    infuse(bench, HEAD, 25_000, 50_000)
    bench.run_s(wait_s)
    bench.pump.pause()
    status = wait_until(bench, "paused", within_s=3)
    assert status.infused_steps % 800 == 0
    assert status.rate_ul_h == 0


@pytest.mark.needs("step_edges", "interlock", "motor_enable")
@pytest.mark.parametrize("fitted", ["peristaltic"])
def test_a_fault_stops_within_the_stroke(bench, fitted):
    infuse(bench, HEAD, 25_000, 50_000)
    bench.run_s(1.33)
    opened_ns = bench.pico.now_ns
    bench.set_interlock(is_open=True)
    bench.run_s(1)
    assert not [at for run in bench.runs() for at in run.edges_ns if at > opened_ns + 2_000]
    assert bench.status().state == "alarm"


@pytest.mark.needs("step_edges")
def test_a_demand_on_top_of_a_basal_rate_makes_no_gap(bench):
    accepted = treat(
        bench,
        program.PCA,
        item_id=SYRINGE,
        content_ul=50_000,
        vtbi_ul=10_000,
        rate_ul_h=20_000,
        demand_ul=100,
        demand_ul_h=100_000,
        lockout_s=10,
    )
    bench.run_s(2)
    bench.pump.demand()
    bench.run_s(HORIZON_MS / 1000 + 6)
    (run,) = bench.runs()
    nl_per_step = Fraction(accepted.nl_num, accepted.nl_den)
    slower_us = float(period_us(nl_per_step, 20_000))
    # A step may be up to a quantum from its own time where both flow.
    assert max(intervals_us(run.edges_ns)) <= slower_us + QUANTUM_MS * 1000
    bench.pump.stop()
    status = bench.status()
    edges = sum(len(run.edges_ns) for run in bench.runs())
    assert status.infused_steps + status.demand_steps == edges
