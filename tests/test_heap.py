"""The control tick allocates nothing: an hour under MicroPython with the heap locked in it."""

import ast
import subprocess
import sys

import pytest
import support

from micropump import alarms, journal, mechanism
from micropump.controller import COMPLETED, KEEPING_OPEN, STOPPED


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


def test_every_therapy_allocates_nothing_in_its_ticks():
    # Demands, boluses, a ramp, doses, the end of a stroke and of a container, secondaries.
    done = support.run_micropython("therapies.py", "nothing")
    assert done.returncode == 0, done.stdout + done.stderr
    # And all of it comes to the same as where nothing is locked, to the tick and the event.
    script = support.SCRIPTS / "therapies.py"
    words = [sys.executable, script, support.FIRMWARE, "nothing"]
    cpython = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == cpython.stdout
    # Each did what it is there for: none of its commands was refused without notice.
    for line in done.stdout.splitlines():
        name, state, _, rest = line.split(" ", 3)
        assert int(state) == {"purge": COMPLETED, "stroke": STOPPED, "containers": COMPLETED}.get(
            name, KEEPING_OPEN
        )
        codes = ast.literal_eval(rest[rest.rindex("[") :])
        assert HAPPENS[name] <= set(codes), name


HAPPENS = {
    "continuous": {journal.BOLUS_DONE, journal.RATE_CHANGED, journal.VTBI_REACHED},
    "intermittent": {journal.DOSE_DONE, journal.RESUMED},
    "daily": {journal.DOSE_DONE, journal.DOSE_MISSED},
    "ramp": {journal.PHASE_STARTED, journal.RESUMED},
    "stepped": {journal.PHASE_STARTED, journal.SECONDARY_DONE},
    "pca": {
        journal.BOLUS_DONE, journal.BOLUS_CANCELLED, journal.DEMAND_GIVEN, journal.DEMAND_REFUSED,
    },
    "purge": {journal.PHASE_STARTED, journal.COMPLETED},
    "stroke": {journal.BOLUS_CANCELLED, journal.PAUSED, journal.RESUMED, journal.STOPPED},
    "containers": {journal.CONTAINER_CHANGED, journal.ALARM_RAISED, journal.COMPLETED},
}  # fmt: skip


@pytest.mark.parametrize("script", ["hour.py", "therapies.py"])
def test_the_lock_is_real(script):
    done = support.run_micropython(script, "push")
    assert done.returncode != 0
    assert "MemoryError: memory allocation failed, heap is locked" in done.stdout + done.stderr
