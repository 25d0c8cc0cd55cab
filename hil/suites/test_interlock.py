"""The interlock stops the steps without the processor's help, and the pump says so."""

from fractions import Fraction

import pytest

from micropump.units import QUANTUM_MS
from micropump_hil.judge import Leg, due_us
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


QUANTUM_NS = QUANTUM_MS * 1_000_000


def open_before_the_end_of_a_quantum(bench, before_end_ns):
    """Infuse, and open the interlock so long before a quantum ends; returns when that ends, ns."""
    rate_ul_h = 1_200_000
    accepted = infuse(bench, ITEM, rate_ul_h, 3_000)
    bench.run_s(0.5)
    # The generator's own quanta, as its first edge shows them.
    (first_due_us,) = due_us(
        Fraction(accepted.nl_num, accepted.nl_den), (Leg(0, rate_ul_h),), count=1
    )
    begun_ns = bench.runs()[0].edges_ns[0] - first_due_us * 1000
    quanta = (bench.pico.now_ns - begun_ns) // QUANTUM_NS + 2
    end_ns = begun_ns + quanta * QUANTUM_NS
    bench.pico.run_until_ns(end_ns - before_end_ns)
    bench.set_interlock(is_open=True)
    return end_ns


def assert_every_step_is_accounted_for(bench):
    status = wait_until(bench, "alarm", within_s=1)
    assert status.alarms == ("interlock_open",)
    (run,) = bench.runs()
    assert status.infused_steps == len(run.edges_ns)


# Nothing is asked of the pump until it has stopped: a request is a control cycle of its own.
UNASKED_S = 0.2


@pytest.mark.parametrize("before_end_ms", range(1, QUANTUM_MS, 4))
def test_every_step_of_a_stop_by_the_interlock_is_accounted_for(bench, before_end_ms):
    open_before_the_end_of_a_quantum(bench, before_end_ms * 1_000_000)
    bench.run_s(UNASKED_S)
    assert_every_step_is_accounted_for(bench)


@pytest.mark.parametrize("before_end_us", [300, 1000])
def test_a_quantum_that_ends_before_the_look_is_not_counted_as_made(bench, before_end_us):
    end_ns = open_before_the_end_of_a_quantum(bench, before_end_us * 1000)
    bench.run_s(UNASKED_S)
    (run,) = bench.runs()
    # That moment it is: the steps end before the quantum does, the motor is on beyond it. A step
    # comes every 110 µs.
    assert end_ns - run.edges_ns[-1] > 220_000
    assert run.off_ns > end_ns
    assert_every_step_is_accounted_for(bench)


@pytest.mark.parametrize("before_end_us", [300, 500])
def test_a_request_before_the_look_does_not_count_what_was_not_made(bench, before_end_us):
    open_before_the_end_of_a_quantum(bench, before_end_us * 1000)
    assert_every_step_is_accounted_for(bench)


def test_nothing_starts_with_the_interlock_open(bench):
    bench.set_interlock(is_open=True)
    bench.run_s(0.3)
    with pytest.raises(PumpRefusedError, match="interlock"):
        infuse(bench, ITEM, 1_200_000, 3_000)
    assert bench.runs() == []
