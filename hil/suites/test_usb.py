"""The USB line never disturbs the steps, whatever the host does or does not do."""

from fractions import Fraction

import pytest

from micropump_hil.judge import TICK_NS, judge
from micropump_hil.verbs import infuse

pytestmark = pytest.mark.needs("usb", "step_edges", "edge_counter")

ITEM = "bd-plastipak-3"
RATE_UL_H = 1_200_000


def judged_ns(bench, accepted):
    """The worst deviation of the only run's edges."""
    (run,) = bench.runs()
    nl_per_step = Fraction(accepted.nl_num, accepted.nl_den)
    return judge(run.edges_ns, nl_per_step, (RATE_UL_H,)).worst_ns


def test_a_host_that_does_not_read_for_five_seconds_disturbs_no_edge(bench):
    accepted = infuse(bench, ITEM, RATE_UL_H, 3_000)
    bench.pump.set_telemetry(100)
    bench.run_s(0.5)
    bench.pico.usb.stop_reading()
    bench.run_s(5)
    bench.pico.usb.resume_reading()
    bench.run_s(0.3)
    # What was cut off in the queue is no frame; the client finds its way.
    status = bench.status()
    assert status.state == "infusing"
    bench.pump.stop()
    stopped = bench.status()
    assert stopped.alarms == ()
    assert judged_ns(bench, accepted) <= TICK_NS
    assert stopped.infused_steps == len(bench.runs()[0].edges_ns) == bench.counted_steps()


def test_a_closed_port_disturbs_no_edge(bench):
    accepted = infuse(bench, ITEM, RATE_UL_H, 3_000)
    bench.pump.set_telemetry(100)
    bench.run_s(0.3)
    bench.pico.usb.close_port()
    bench.run_s(1)
    bench.pico.usb.open_port()
    bench.run_s(0.3)
    assert bench.connect().status().state == "infusing"
    bench.pump.stop()
    assert bench.status().alarms == ()
    assert judged_ns(bench, accepted) <= TICK_NS


def test_an_interrupt_character_is_a_byte_like_any_other(bench):
    accepted = infuse(bench, ITEM, RATE_UL_H, 3_000)
    bench.run_s(0.3)
    for _ in range(5):
        bench.pico.write(b"\x03\x03\x03\x04\x01\x02")
        bench.run_s(0.1)
    # The delimiter that ends this heap of bytes; the pump answers that it was no frame.
    bench.pico.write(b"\x00")
    bench.run_s(0.2)
    assert bench.status().state == "infusing"
    bench.pump.stop()
    assert judged_ns(bench, accepted) <= TICK_NS
    assert len(bench.pico.resets) == 1
