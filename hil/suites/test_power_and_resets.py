"""Power cuts, resets and programs that end: the motor is off, and nothing starts by itself."""

import pytest

from micropump_hil.verbs import infuse
from micropump_host.client import PumpGoneError

pytestmark = pytest.mark.needs("step_edges", "motor_enable")

ITEM = "bd-plastipak-3"
RATE_UL_H = 400_000

RAISE = """\
from machine import Pin
from micropump_rp2 import pump
_button = Pin(micropump_board.BOLUS_BUTTON_GPIO, Pin.IN, Pin.PULL_UP)
_turn = pump.Pump.turn
def _turn_or_raise(self):
    if not _button.value():
        {act}
    _turn(self)
pump.Pump.turn = _turn_or_raise
"""


def nothing_runs(bench, runs, strays_until_ns=0):
    """Whether the pump, left alone for a while, is idle with its motor off."""
    bench.run_s(3)
    assert not bench.motor_is_on()
    assert not [at for at in bench.stray_edges_ns() if at > strays_until_ns]
    assert bench.status().state == "idle"
    assert bench.status().infused_steps == 0
    assert len(bench.runs()) == runs


@pytest.mark.needs("power_cut")
def test_after_a_power_cut_nothing_starts_by_itself(bench):
    infuse(bench, ITEM, RATE_UL_H, 3_000)
    bench.run_s(1)
    cut_ns = bench.pico.now_ns
    bench.power_cut()
    assert bench.runs()[-1].off_ns == cut_ns
    with pytest.raises(PumpGoneError):
        bench.status()
    bench.power_on()
    assert bench.connect().info.reset_cause == "power on"
    nothing_runs(bench, runs=1)


@pytest.mark.needs("reset")
def test_after_the_reset_button_nothing_starts_by_itself(bench):
    infuse(bench, ITEM, RATE_UL_H, 3_000)
    bench.run_s(1)
    bench.reset()
    reset_ns = bench.resets[-1].at_ns
    assert bench.runs()[-1].off_ns == reset_ns
    bench.connect()
    nothing_runs(bench, runs=1)
    assert not [at for at in bench.runs()[0].edges_ns if at > reset_ns]


@pytest.mark.needs("injection", "buttons")
@pytest.mark.parametrize("act", ["1 // 0", "raise SystemExit", "raise KeyboardInterrupt"])
def test_a_main_program_that_ends_leaves_the_motor_off(bench, act):
    bench.inject(RAISE.format(act=act))
    infuse(bench, ITEM, RATE_UL_H, 3_000)
    bench.run_s(1)
    pressed_ns = bench.pico.now_ns
    resets = len(bench.resets)
    bench.press("bolus", 0.1)
    assert len(bench.resets) == resets + 1
    reset_ns = bench.resets[-1].at_ns
    run = bench.runs()[-1]
    # The loop comes round every 10 ms; the reset follows within another few.
    assert pressed_ns < run.off_ns <= pressed_ns + 40_000_000
    assert run.off_ns <= reset_ns
    assert not [at for at in run.edges_ns if at > run.off_ns]
    assert bench.pico.pins.level(bench.pins["step"]) == 0
    assert bench.connect().info.reset_cause == "watchdog"
    # EN goes off first; until STEP is taken from the generator, 0.1 ms later, an edge on it moves
    # nothing.
    nothing_runs(bench, runs=1, strays_until_ns=run.off_ns + 1_000_000)


@pytest.mark.needs("restart")
def test_a_restart_is_refused_while_infusing_and_reported_after(bench):
    infuse(bench, ITEM, RATE_UL_H, 3_000)
    with pytest.raises(Exception, match="present state"):
        bench.pump.restart()
    bench.pump.stop()
    bench.pump.restart()
    bench.run_s(0.5)
    assert bench.connect().info.reset_cause == "restart on purpose"
    nothing_runs(bench, runs=1)


def test_nothing_moves_from_power_on(bench):
    bench.run_s(2)
    assert bench.runs() == []
    assert not bench.stray_edges_ns()
