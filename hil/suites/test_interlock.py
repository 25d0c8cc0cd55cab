"""The interlock stops the steps without the processor's help, and the pump says so."""

import pytest

from micropump_hil.verbs import infuse, wait_until
from micropump_host.client import PumpRefusedError

pytestmark = pytest.mark.needs("interlock", "step_edges", "motor_enable")

ITEM = "bd-plastipak-3"


@pytest.mark.needs("cpu_death")
@pytest.mark.parametrize("rate_ul_h", [25_000, 1_200_000])
def test_an_open_interlock_stops_the_steps_of_a_dead_processor(bench, rate_ul_h):
    infuse(bench, ITEM, rate_ul_h, 3_000)
    bench.run_s(1.0)
    bench.kill_cpu()
    bench.run_s(0.05)
    opened_ns = bench.pico.now_ns
    bench.set_interlock(is_open=True)
    bench.run_s(0.6)
    edges_ns = bench.runs()[0].edges_ns
    # It had steps queued for half a second, and was making them.
    assert any(opened_ns - 60_000_000 < at <= opened_ns for at in edges_ns)
    # An edge that was being made as it opened: two ticks from the look at the pin to its end.
    assert not [at for at in edges_ns if at > opened_ns + 2_000]


@pytest.mark.parametrize("into_quantum_ms", [0, 25, 50, 75])
@pytest.mark.parametrize("open_ms", [1, 1000])
def test_an_open_interlock_stops_and_alarms_and_closing_it_starts_nothing(
    bench, open_ms, into_quantum_ms
):
    infuse(bench, ITEM, 1_200_000, 3_000)
    bench.run_s(0.8 + into_quantum_ms / 1000)
    opened_ns = bench.pico.now_ns
    bench.set_interlock(is_open=True)
    # A millisecond is less than the loop's look: that the steps stopped has to show nevertheless.
    bench.run_s(open_ms / 1000)
    bench.set_interlock(is_open=False)
    bench.run_s(0.5)
    (run,) = bench.runs()
    assert not [at for at in run.edges_ns if at > opened_ns + 2_000]
    # The loop looks every 10 ms, and a turn of it that has a control cycle takes as long again.
    assert run.off_ns - opened_ns < 40_000_000
    status = bench.status()
    assert status.state == "alarm"
    assert "interlock_open" in status.alarms
    assert len(bench.resets) == 1


def test_every_step_of_a_stop_by_the_interlock_is_accounted_for(bench):
    infuse(bench, ITEM, 1_200_000, 3_000)
    bench.run_s(0.8)
    bench.set_interlock(is_open=True)
    status = wait_until(bench, "alarm", within_s=1)
    assert status.alarms == ("interlock_open",)
    (run,) = bench.runs()
    assert status.infused_steps == len(run.edges_ns)


def test_nothing_starts_with_the_interlock_open(bench):
    bench.set_interlock(is_open=True)
    bench.run_s(0.3)
    with pytest.raises(PumpRefusedError, match="interlock"):
        infuse(bench, ITEM, 1_200_000, 3_000)
    assert bench.runs() == []
