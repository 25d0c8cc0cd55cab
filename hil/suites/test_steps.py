"""Every edge on STEP within one PIO tick of the exact schedule, none missing, none extra.

One infusion for each rate and mechanism: a stretch at the rate, one at another rate, a pause, and
a stretch after it, with telemetry on all the while. Offsets between the firmware's clock and the
generator's are one constant for each switching on of the motor; it is taken off.

A head finishes its stroke on the pause, in a run of its own, and waits for as long afterwards: at
less than 25 mL/h that would be minutes, so there it is not resumed but stopped.
"""

from fractions import Fraction

import pytest

from micropump_hil.judge import TICK_NS, due_us, jitter_ns, judge, period_us
from micropump_hil.verbs import infuse, wait_until

pytestmark = pytest.mark.needs("step_edges", "edge_counter")

RATES_UL_H = (100, 1_000, 5_000, 25_000, 100_000, 400_000, 1_200_000)
MECHANISMS = (
    ("syringe", "bd-plastipak-3", 3_000),
    ("syringe", "bd-plastipak-10", 10_000),
    ("peristaltic", "runze-rz1030-0142", 100_000),
)
TELEMETRY_MS = 200
LEAST_EDGES = 20
LEAST_S = 1.2
STROKE_UL = 29.2
STROKE_STEPS = 800
LEAST_RESUMED_UL_H = 25_000
# From the generator's stop to the motor's, on the Pico: 7,832 ns in each of 12 stops.
STOP_TO_OFF_NS = 8_000


def stretch_s(nl_per_step, rate_ul_h):
    """Long enough for LEAST_EDGES: 76 s for the 10 mL syringe at 0.1 mL/h, 3.7 s a step."""
    wanted_s = float((LEAST_EDGES + 0.5) * period_us(nl_per_step, rate_ul_h)) / 1e6
    return max(LEAST_S, wanted_s)


@pytest.mark.parametrize("rate_ul_h", RATES_UL_H)
@pytest.mark.parametrize(("fitted", "item_id", "content_ul"), MECHANISMS)
def test_every_edge_is_in_its_place(bench, fitted, item_id, content_ul, rate_ul_h, record_property):
    other_ul_h = rate_ul_h * 2 // 3 + 1
    telemetry = []
    pump = bench.connect(telemetry.append)
    accepted = infuse(bench, item_id, rate_ul_h, content_ul)
    pump.set_telemetry(TELEMETRY_MS)
    nl_per_step = Fraction(accepted.nl_num, accepted.nl_den)
    long_s = stretch_s(nl_per_step, rate_ul_h)

    bench.run_s(long_s)
    changed_us = round(bench.now_s * 1e6) - bench.runs()[0].on_ns // 1000
    pump.set_rate(other_ul_h)
    bench.run_s(0.7 + long_s / 4)
    pump.pause()
    paused = wait_until(bench, "paused", within_s=3)
    counted_before = bench.counted_steps()
    first, *strokes = bench.runs()
    assert len(strokes) <= (fitted == "peristaltic")
    if fitted == "syringe" or rate_ul_h >= LEAST_RESUMED_UL_H:
        pump.resume()
        bench.run_s(0.3 + long_s / 4 + len(strokes) * STROKE_UL / other_ul_h * 3600)
    pump.stop()
    if fitted == "peristaltic":
        wait_until(bench, "stopped", within_s=3)
    counted_after = bench.counted_steps()
    status = bench.status()

    assert len(first.edges_ns) >= LEAST_EDGES
    verdict = judge(first.edges_ns, nl_per_step, (rate_ul_h, other_ul_h), (changed_us,))
    runs = bench.runs()
    record_property("edges", sum(len(run.edges_ns) for run in runs))
    record_property("worst_ns", verdict.worst_ns)
    assert verdict.worst_ns <= TICK_NS
    resumed = runs[1 + len(strokes) : 2 + len(strokes)]
    for run in resumed:
        # Rounding up to a microsecond is the schedule's own.
        assert run.edges_ns
        assert jitter_ns(run.edges_ns, period_us(nl_per_step, other_ul_h)) <= TICK_NS

    # None missing at the end: the next edge would have come after the generator was stopped.
    following = due_us(nl_per_step, verdict.legs, len(first.edges_ns) + 1)
    start_ns = first.on_ns + 45_000_000
    if first.edges_ns:
        start_ns = first.edges_ns[0] - following[0] * 1000
    assert start_ns + following[-1] * 1000 > first.off_ns - STOP_TO_OFF_NS

    assert paused.infused_steps == sum(len(run.edges_ns) for run in (first, *strokes))
    assert counted_before == len((first, *strokes)[-1].edges_ns)
    assert counted_after == len(runs[-1].edges_ns)
    assert status.infused_steps == sum(len(run.edges_ns) for run in runs)
    if strokes:
        assert paused.infused_steps % STROKE_STEPS == 0
    assert status.alarms == ()
    assert not bench.stray_edges_ns()
    assert len(telemetry) > long_s * 1000 / TELEMETRY_MS / 2


@pytest.mark.parametrize(
    ("fitted", "item_id", "rate_ul_h", "vtbi_ul"),
    [
        ("syringe", "bd-plastipak-3", 1_200_000, 700),
        ("syringe", "bd-plastipak-10", 400_000, 300),
        ("peristaltic", "runze-rz1030-0142", 1_200_000, 500),
    ],
)
def test_the_last_edge_of_the_vtbi_is_in_its_place_and_no_other_follows(
    bench, fitted, item_id, rate_ul_h, vtbi_ul
):
    accepted = infuse(bench, item_id, rate_ul_h, vtbi_ul, kvo_ul_h=0)
    status = wait_until(bench, "completed", within_s=10)
    bench.run_s(1)
    (run,) = bench.runs()
    nl_per_step = Fraction(accepted.nl_num, accepted.nl_den)
    assert len(run.edges_ns) == status.target_steps == status.infused_steps
    assert bench.counted_steps() == status.target_steps
    assert judge(run.edges_ns, nl_per_step, (rate_ul_h,)).worst_ns <= TICK_NS
    assert not bench.stray_edges_ns()


@pytest.mark.parametrize("vtbi_ul", range(190, 211))
def test_a_vtbi_that_ends_anywhere_in_a_quantum_is_delivered_to_the_step(bench, vtbi_ul):
    infuse(bench, "bd-plastipak-50", 1_200_000, vtbi_ul, kvo_ul_h=0)
    status = wait_until(bench, "completed", "alarm", within_s=5)
    assert status.state == "completed"
    assert status.alarms == ("container_empty",)
    assert len(bench.runs()[0].edges_ns) == status.target_steps == status.infused_steps
