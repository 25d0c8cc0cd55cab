"""The control tick allocates nothing: an hour under MicroPython with the heap locked in it."""

import support

from micropump import alarms, mechanism
from micropump.controller import COMPLETED


def test_an_hour_of_infusion_allocates_nothing_in_its_ticks():
    done = support.run_micropython("hour.py", "nothing")
    assert done.returncode == 0, done.stdout + done.stderr
    state, active, infused_steps, kvo_steps, ticks = map(int, done.stdout.split())
    parts = mechanism.syringe("bd-plastipak-60", "t8-2mm-16")
    # Rate changes, a pause, the VTBI, KVO and an empty container: every kind of tick.
    assert state == COMPLETED
    assert active == 1 << alarms.END_OF_INFUSION | 1 << alarms.CONTAINER_EMPTY
    assert infused_steps == parts.steps_for_ul(8_000)
    assert infused_steps + kvo_steps == parts.steps_for_ul(8_010)
    # Ten a second, whatever the pump does.
    assert ticks >= 36_000


def test_the_lock_is_real():
    done = support.run_micropython("hour.py", "push")
    assert done.returncode != 0
    assert "MemoryError: memory allocation failed, heap is locked" in done.stdout + done.stderr
