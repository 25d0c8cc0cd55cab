"""The control tick allocates nothing: an hour under MicroPython with the heap locked in it."""

import ast
import subprocess
import sys

import pytest
import support
from sickbed import Sickbed

from micropump import alarms, journal, mechanism
from micropump.controller import COMPLETED, KEEPING_OPEN, STOPPED
from micropump.sensing import SENSOR_NAMES
from micropump_host.bench import benchfile
from micropump_host.bench.ground import MicroPythonGround
from micropump_host.bench.sensors import Fault


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


def reminders(ground=None):
    """A program that is dropped, one near its end, and a pause that is too long: all events."""
    bed = Sickbed(sensors=(), ground=ground)
    try:
        bed.client.program(mechanism.KIND_SYRINGE, "bd-plastipak-50", 50_000, 7_000, 60_000)
        bed.wait(601)
        bed.infuse(60_000, vtbi_ul=7_000)
        bed.wait(30)
        bed.client.pause()
        bed.wait(901)
        bed.client.resume()
        bed.wait(400)
        return list(bed.client.events())
    finally:
        bed.bench.close()


def mishaps(ground=None):
    """A line that opens again, a line that stays closed, and each of the other sensors' findings.

    Returns all events, and the names of the alarms that there were.
    """
    names = tuple(name for name in SENSOR_NAMES if name != "upstream")
    bed = Sickbed(sensors=names, ground=ground)
    suite = bed.bench.suite

    def happens(*events):
        for event in events:
            bed.bench.look()
            suite.apply(event, bed.bench.plant)

    def goes_on():
        # Whoever comes takes the air out of the line.
        suite.around.bubbles.clear()
        bed.wait(3)
        bed.client.acknowledge()
        bed.client.resume()
        bed.wait(10)

    try:
        bed.client.choose(restarts=1)
        bed.infuse(60_000)
        bed.wait(30)
        for opens in (True, False):
            bed.plant.occlude()
            bed.until("relieving", within_s=120)
            bed.wait(10)
            if opens:
                bed.plant.release()
            bed.until("infusing" if opens else "alarm", within_s=90)
        bed.plant.release()
        goes_on()
        for event, mended in (
            (benchfile.Bubble(0, 400.0), None),
            (benchfile.OpenDoor(0), benchfile.CloseDoor(0)),
            (benchfile.SagRail(0, 3_000.0), benchfile.SagRail(0, 0.0)),
            (benchfile.StallMotor(0), benchfile.FreeMotor(0)),
        ):
            happens(event)
            bed.until("alarm", within_s=120)
            if mended:
                happens(mended)
            goes_on()
        for name in ("force", "plunger"):
            suite.harm(name, Fault.UNPLUGGED)
            bed.until("alarm", within_s=30)
            suite.harm(name, None)
            goes_on()
        happens(benchfile.UnplugMains(0), benchfile.SetCharge(0, 1.0))
        bed.until("alarm", within_s=120)
        events = list(bed.client.events())
    finally:
        bed.bench.close()
    raised = {alarms.ALARMS[event.a][1] for event in events if event.code == journal.ALARM_RAISED}
    return events, raised


MISHAPS = {
    "occlusion", "air_bubble", "door_open", "motor_supply", "stall", "sensor_fault",
    "battery_low", "battery_depleted",
}  # fmt: skip


def check_mishaps(ground):
    """They come to the same as where nothing is locked, and each did happen."""
    events, raised = mishaps(ground)
    assert events == mishaps()[0]
    assert raised == MISHAPS
    codes = [event.code for event in events]
    assert codes.count(journal.OCCLUSION_FOUND) == 2
    assert codes.count(journal.RESTARTED) == codes.count(journal.RELIEVED) == 1


def check_reminders(ground):
    """So do these."""
    events = reminders(ground)
    assert events == reminders()
    raised = [event.a for event in events if event.code == journal.ALARM_RAISED]
    assert raised == [
        alarms.IDLE_LONG, alarms.PAUSED_LONG, alarms.NEAR_END, alarms.END_OF_INFUSION,
    ]  # fmt: skip
    assert journal.PROGRAM_DROPPED in [event.code for event in events]


def ground_of_the_port():
    return MicroPythonGround(mechanism.KIND_SYRINGE, "t8-2mm-16", 0)


def test_sensors_alarms_and_a_relief_allocate_nothing_in_the_ticks():
    check_mishaps(ground_of_the_port())


def test_reminders_allocate_nothing_in_the_ticks():
    check_reminders(ground_of_the_port())


@pytest.mark.parametrize("script", ["hour.py", "therapies.py"])
def test_the_lock_is_real(script):
    done = support.run_micropython(script, "push")
    assert done.returncode != 0
    assert "MemoryError: memory allocation failed, heap is locked" in done.stdout + done.stderr
