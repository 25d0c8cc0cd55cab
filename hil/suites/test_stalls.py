"""A processor that is held up while infusing at 1200 mL/h: no gap, no underrun.

Erasing a sector of the flash turns every interrupt off; a full garbage collection stops the loop.
The injected program does either when the bolus button is pressed, in place of a turn of the loop.
"""

from fractions import Fraction

import pytest

from micropump_hil.judge import TICK_NS, judge
from micropump_hil.verbs import infuse

pytestmark = pytest.mark.needs("step_edges", "edge_counter", "injection", "buttons")

ITEM = "bd-plastipak-3"
RATE_UL_H = 1_200_000

# Held back until the button is pressed; then once only.
HOOK = """\
import gc
import time
import rp2
from machine import Pin
from micropump_rp2 import pump
_button = Pin(micropump_board.BOLUS_BUTTON_GPIO, Pin.IN, Pin.PULL_UP)
_turn = pump.Pump.turn
_last = {last_block}
_done = False
def _act():
    {act}
def _turn_or_act(self):
    global _done
    if not _done and not _button.value():
        _done = True
        _act()
    _turn(self)
pump.Pump.turn = _turn_or_act
"""
# The file system's last block, which is not in use on a Pico with everything frozen.
LAST_BLOCK = "rp2.Flash().ioctl(4, 0) - 1"
ERASE = "rp2.Flash().ioctl(6, _last)"
# Thousands of objects that are in use: what a collection has to walk through.
FILL = "keep = [[at] for at in range(4000)]\n    "


def infuse_and_press(bench):
    accepted = infuse(bench, ITEM, RATE_UL_H, 3_000)
    bench.pump.set_telemetry(200)
    bench.run_s(0.73)
    bench.press("bolus", 0.02)
    bench.run_s(1.2)
    status = bench.status()
    bench.pump.stop()
    stopped = bench.status()
    (run,) = bench.runs()
    nl_per_step = Fraction(accepted.nl_num, accepted.nl_den)
    assert status.state == "infusing"
    assert stopped.alarms == ()
    assert judge(run.edges_ns, nl_per_step, (RATE_UL_H,)).worst_ns <= TICK_NS
    assert len(run.edges_ns) == stopped.infused_steps == bench.counted_steps()
    # 1.93 s and the time of the requests, less the start.
    assert len(run.edges_ns) > 1.85 * 1e9 / float(nl_per_step * 3_600_000 * 1000 / RATE_UL_H)


@pytest.mark.needs("flash")
@pytest.mark.parametrize("erase_ms", [45, 400])
def test_a_flash_erase_leaves_no_gap(bench, erase_ms):
    bench.inject(HOOK.format(last_block=LAST_BLOCK, act=ERASE))
    bench.pico.flash.times = type(bench.pico.flash.times)(sector_erase_ms=erase_ms)
    bench.pico.flash.operations.clear()
    infuse_and_press(bench)
    (operation,) = bench.pico.flash.operations
    assert operation.kind == "erase"
    assert operation.busy_ns == erase_ms * 1_000_000


def test_a_full_garbage_collection_leaves_no_gap(bench):
    act = "gc.collect(); pump.collected = True"
    bench.inject(HOOK.format(last_block=0, act=FILL + act))
    infuse_and_press(bench)


@pytest.mark.needs("flash")
def test_a_stall_beyond_the_horizon_is_noticed_and_stops(bench):
    # The judge of the tests above: with 700 ms there must be a gap.
    bench.inject(HOOK.format(last_block=LAST_BLOCK, act=ERASE))
    bench.pico.flash.times = type(bench.pico.flash.times)(sector_erase_ms=700)
    accepted = infuse(bench, ITEM, RATE_UL_H, 3_000)
    bench.run_s(0.73)
    bench.press("bolus", 0.02)
    bench.run_s(1.2)
    status = bench.status()
    assert status.state == "alarm"
    assert "starved" in status.alarms
    (run,) = bench.runs()
    period_ns = float(Fraction(accepted.nl_num, accepted.nl_den) * 3_600_000_000 / RATE_UL_H)
    assert max(b - a for a, b in zip(run.edges_ns, run.edges_ns[1:], strict=False)) < 2 * period_ns
    assert status.infused_steps == len(run.edges_ns)
    assert not bench.motor_is_on()
