"""First light on every bench: an order delivered to the microstep, and nothing by itself."""

import pytest

from micropump.mechanism import KIND_PERISTALTIC, KIND_SYRINGE, build
from micropump_hil.verbs import infuse, load, wait_for, wait_until
from micropump_host.client import PumpRefusedError

SYRINGE = "bd-plastipak-50"
HEAD = "runze-rz1030-0142"


@pytest.mark.parametrize(
    ("fitted", "item_id", "rate_ul_h", "vtbi_ul"),
    [("syringe", SYRINGE, 1_200_000, 1_000), ("peristaltic", HEAD, 400_000, 500)],
)
def test_the_vtbi_is_delivered_to_the_microstep_and_kvo_follows(
    bench, fitted, item_id, rate_ul_h, vtbi_ul
):
    infuse(bench, item_id, rate_ul_h, vtbi_ul, content_ul=50_000)
    status = wait_until(bench, "kvo", within_s=10)
    kind = KIND_SYRINGE if fitted == "syringe" else KIND_PERISTALTIC
    mechanism = build(kind, item_id, bench.pump.info.drive_id)
    assert status.infused_steps == status.target_steps == mechanism.steps_for_ul(vtbi_ul)
    assert status.alarms == ("end_of_infusion",)
    assert status.rate_ul_h == 3_000
    kept_open = wait_for(bench, lambda now: now.kvo_steps >= 2, "KVO", within_s=5)
    assert kept_open.infused_steps == status.infused_steps
    bench.pump.stop()
    # A head finishes its stroke.
    wait_until(bench, "stopped", within_s=3)


def test_without_kvo_the_pump_stops_at_the_vtbi(bench):
    infuse(bench, SYRINGE, 1_200_000, 200, kvo_ul_h=0)
    status = wait_until(bench, "completed", within_s=5)
    assert status.infused_steps == status.target_steps
    assert status.kvo_steps == 0


def test_pause_and_resume_lose_and_double_no_step(bench):
    infuse(bench, SYRINGE, 400_000, 1_000, kvo_ul_h=0)
    wait_for(bench, lambda now: now.infused_steps >= 100, "100 steps")
    bench.pump.pause()
    paused = bench.status()
    assert paused.state == "paused"
    bench.run_s(1)
    assert bench.status().infused_steps == paused.infused_steps
    bench.pump.resume()
    status = wait_until(bench, "completed", within_s=20)
    assert status.infused_steps == status.target_steps


def test_a_change_of_rate_is_kept_to_and_the_vtbi_stays(bench):
    infuse(bench, SYRINGE, 100_000, 400, kvo_ul_h=0)
    bench.run_s(1)
    bench.pump.set_rate(1_200_000)
    # 0.4 mL at 100 mL/h alone would take 14.4 s.
    status = wait_until(bench, "completed", within_s=4)
    assert status.infused_steps == status.target_steps


def test_a_wrong_start_is_refused_and_changes_nothing(bench):
    accepted = load(bench, SYRINGE, 5_000, 10_000)
    with pytest.raises(PumpRefusedError):
        bench.pump.start(accepted.program_id + 1)
    bench.run_s(2)
    status = bench.status()
    assert (status.state, status.infused_steps) == ("programmed", 0)


def test_a_host_that_comes_back_finds_the_pump_as_it_was_left(bench):
    infuse(bench, SYRINGE, 400_000, 10_000)
    wait_for(bench, lambda now: now.infused_steps >= 100, "100 steps")
    bench.pump.pause()
    left = bench.status()
    bench.connect()
    found = bench.status()
    assert (found.state, found.infused_steps) == ("paused", left.infused_steps)
    bench.pump.resume()
    bench.run_s(0.5)
    bench.pump.stop()
    assert bench.status().infused_steps > left.infused_steps


def test_the_log_tells_what_was_done(bench):
    accepted = load(bench, SYRINGE, 1_200_000, 1_000, content_ul=50_000)
    with pytest.raises(PumpRefusedError):
        bench.pump.start(accepted.program_id + 1)
    bench.pump.start(accepted.program_id)
    bench.run_s(1)
    bench.pump.pause()
    bench.pump.resume()
    bench.pump.set_rate(900_000)
    wait_until(bench, "kvo", within_s=10)
    bench.pump.stop()
    expected = ["programmed", "command refused", "started", "paused", "resumed",
                "rate changed", "VTBI reached, KVO", "stopped"]  # fmt: skip
    assert [e.name for e in bench.pump.events() if e.name in expected] == expected


@pytest.mark.needs("interlock")
def test_an_open_interlock_stops_the_pump_until_someone_has_looked(bench):
    infuse(bench, SYRINGE, 400_000, 10_000)
    bench.run_s(1)
    bench.set_interlock(is_open=True)
    status = wait_until(bench, "alarm", within_s=2)
    assert status.alarms == ("interlock_open",)
    bench.run_s(1)
    assert bench.status().infused_steps == status.infused_steps
    bench.pump.acknowledge()
    with pytest.raises(PumpRefusedError):
        bench.pump.resume()
    bench.set_interlock(is_open=False)
    bench.run_s(0.2)
    bench.pump.resume()
    bench.run_s(0.5)
    bench.pump.stop()
    assert bench.status().infused_steps > status.infused_steps
