"""Every row of the alarm table, brought about: how soon it is told, what is seen, heard and stopped.

Where waits are long they are waited for in virtual time; on the emulated Pico a program of the
test's own makes them short, and the row, its signal and its end are the same.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import pytest

from micropump import alarms, journal, sensing
from micropump.occlusion import OCCLUSION_LEVELS_PA
from micropump.program import CONTINUOUS
from micropump_hil.benches.fitted import sensor_rows
from micropump_hil.sensors import AUX, GPIO, SENSOR
from micropump_hil.signals import (
    AT_ONCE_MS,
    LIGHT,
    MS_NS,
    Signals,
    judge_burst,
    judge_flashes,
    no_stuck_tone,
)
from micropump_hil.verbs import infuse, load, treat, wait_for, wait_until
from micropump_host.client import PumpRefusedError
from micropump_host.client.answers import PRIORITIES

pytestmark = pytest.mark.needs("sensors")

SMALL = "bd-plastipak-3"
LARGE = "bd-plastipak-50"
HEAD = "runze-rz1030-0142"
S_NS = 1_000_000_000
# A closed line of 15 µL/kPa is 15 nL/Pa.
COMPLIANCE_NL_PA = 15
# The most that a signal's first burst takes, and the silence after which it is at its end.
BURST_S = {alarms.LOW: 0.55, alarms.MEDIUM: 0.9, alarms.HIGH: 3.05}
SETTLED_S = 0.1

ROWS = {row[SENSOR]: row for row in sensor_rows()}
# In place of the barrel's potentiometer, whose pin is the last of the ADC's.
_BARREL = ROWS[sensing.BARREL]
_ADC = ("analog", _BARREL[GPIO], _BARREL[AUX], 1, 100)
# −131 to 131 kPa about the middle; 12 V as the battery's.
UPSTREAM_ROW = (sensing.UPSTREAM, 32_768, 4, 1, 800, 64_700, 500, 0, 0, 0, *_ADC)
RAIL_ROW = (sensing.RAIL, *ROWS[sensing.BATTERY][1:6], 500, 0, 0, 0, *_ADC)

SHORT_BASELINE = """\
from micropump import monitor, occlusion
occlusion.BLOCK_MS = 2000
_prepare = monitor.Monitor.prepare
def _prepare_short(self, *rest):
    _prepare(self, *rest)
    self.occlusion._partial.hold_ms = 1000
monitor.Monitor.prepare = _prepare_short
"""
SHORT_REMINDERS = """\
from micropump import controller
controller.PAUSED_LONG_S = controller.IDLE_LONG_S = 1
controller.DROPPED_S = 5
"""
# Longer than what is planned ahead, shorter than the watchdog waits.
LATE = """\
import time
from machine import Pin
from micropump_rp2 import pump
_button = Pin(micropump_board.BOLUS_BUTTON_GPIO, Pin.IN, Pin.PULL_UP)
_turn = pump.Pump.turn
_done = False
def _turn_late(self):
    global _done
    if not _done and not _button.value():
        _done = True
        time.sleep_ms(700)
    _turn(self)
pump.Pump.turn = _turn_late
"""


class Cause(NamedTuple):
    """What brings a row about.

    Attributes:
        act: a generator over the bench: yields when it was caused, bench time in s; resumed, it
            takes the cause away.
        needs: what the bench has to have.
        fitted: what is fitted.
        within_s: how soon the alarm has to come.
        poll_s: how often it is looked for.

    """

    act: Callable
    needs: tuple = ()
    fitted: str = "syringe"
    within_s: float = 5.0
    poll_s: float = 0.1


CAUSES: dict[int, Cause] = {}


def cause(number, *needs, **named):
    def register(act):
        CAUSES[number] = Cause(act, needs, **named)
        return act

    return register


def is_on_pins(bench):
    """Whether there are wires to look at: an emulated Pico."""
    return "buttons" in bench.has


def shorten(bench, source):
    """Make waits short where that can be done; how much sooner, the source says."""
    if "injection" in bench.has:
        bench.inject(source)


def flow(bench, rate_ul_h=100_000, item_id=LARGE):
    """An infusion that is far from every end."""
    accepted = infuse(bench, item_id, rate_ul_h, 40_000, content_ul=50_000)
    bench.run_s(0.5)
    return accepted


def last_step_ns(bench, before_ns=None):
    """The last edge on STEP of the run that was under way at a time; that of the last without."""
    runs = [run for run in bench.runs() if before_ns is None or run.on_ns <= before_ns]
    return runs[-1].edges_ns[-1]


def closed_line(bench, accepted, from_pa=0):
    """The pressure of a line that is closed from now on, by what the motor has pushed since."""
    begun = bench.position_steps()
    nl_per_step = accepted.nl_num / accepted.nl_den
    return lambda _ns: from_pa + (bench.position_steps() - begun) * nl_per_step / COMPLIANCE_NL_PA


# -- what brings each row about --------------------------------------------------------------------


@cause(alarms.END_OF_INFUSION)
def _(bench):
    infuse(bench, SMALL, 400_000, 100, content_ul=3_000)
    wait_until(bench, "kvo")
    steps = bench.status().target_steps
    yield bench.runs()[-1].edges_ns[steps - 1] / S_NS


@cause(alarms.CONTAINER_EMPTY)
def _(bench):
    treat(
        bench, CONTINUOUS, item_id=SMALL, content_ul=110, containers=2, vtbi_ul=200,
        rate_ul_h=400_000,
    )  # fmt: skip
    wait_until(bench, "alarm")
    yield last_step_ns(bench) / S_NS


@cause(alarms.STARVED, "injection", "buttons")
def _(bench):
    bench.inject(LATE)
    flow(bench)
    pressed_s = bench.now_s
    bench.press("bolus", 0.02)
    yield pressed_s


@cause(alarms.STEP_MISMATCH, "edge_counter")
def _(bench):
    """Disturbances on the wire that counts: more edges than were ever queued."""
    flow(bench)
    pins, wire = bench.pico.pins, bench.pins["step_count"]
    for _ in range(1_000):
        for level in (1, 0):
            pins.set(wire, level)
            bench.run_s(2e-6)
    paused_s = bench.now_s
    bench.pump.pause()
    yield paused_s


@cause(alarms.INTERLOCK_OPEN, "interlock")
def _(bench):
    flow(bench)
    opened_s = bench.now_s
    bench.set_interlock(is_open=True)
    yield opened_s
    bench.set_interlock(is_open=False)


@cause(alarms.DRIVER_FAULT, "driver_fault")
def _(bench):
    flow(bench)
    failed_s = bench.now_s
    bench.fail_driver()
    yield failed_s
    bench.mend_driver()


@cause(alarms.NEAR_EMPTY)
def _(bench):
    # 833 µL flow in ten minutes.
    infuse(bench, SMALL, 5_000, 836)
    yield bench.now_s
    bench.pump.pause()
    bench.pump.change_container(3_000)


@cause(alarms.OCCLUSION, within_s=8)
def _(bench):
    bench.pump.choose(occlusion_level=3)
    accepted = flow(bench, 400_000)
    begun, begun_s = bench.position_steps(), bench.now_s
    bench.set_sensor("pressure", closed_line(bench, accepted))
    wait_until(bench, "relieving", within_s=8)
    # The edge with which the line is at the level.
    nl_per_step = accepted.nl_num / accepted.nl_den
    steps = int(OCCLUSION_LEVELS_PA[2] * COMPLIANCE_NL_PA / nl_per_step)
    edges_ns = bench.runs()[0].edges_ns
    assert begun_s < edges_ns[begun + steps] / S_NS
    yield edges_ns[begun + steps] / S_NS
    bench.set_sensor("pressure", 0)


@cause(alarms.UPSTREAM_OCCLUSION, fitted="peristaltic")
def _(bench):
    bench.fit(UPSTREAM_ROW)
    flow(bench, item_id=HEAD)
    closed_s = bench.now_s
    bench.set_sensor("upstream", -40_000)
    yield closed_s
    bench.set_sensor("upstream", 0)


@cause(alarms.PARTIAL_OCCLUSION, within_s=200, poll_s=0.5)
def _(bench):
    shorten(bench, SHORT_BASELINE)
    bench.set_sensor("pressure", 5_000)
    flow(bench)
    bench.run_s(4.5 if "injection" in bench.has else 61)
    kinked_s = bench.now_s
    bench.set_sensor("pressure", 35_000)
    yield kinked_s
    bench.set_sensor("pressure", 5_000)


@cause(alarms.DISCONNECTED)
def _(bench):
    shorten(bench, SHORT_BASELINE)
    bench.set_sensor("pressure", 10_000)
    flow(bench)
    bench.run_s(4.5 if "injection" in bench.has else 61)
    pulled_s = bench.now_s
    bench.set_sensor("pressure", 0)
    yield pulled_s


@cause(alarms.AIR_BUBBLE)
def _(bench):
    flow(bench, 400_000)
    came_s = bench.now_s
    bench.set_sensor("air", 1)
    yield came_s
    bench.set_sensor("air", 0)


@cause(alarms.AIR_ACCUMULATED)
def _(bench):
    """Bubbles of 150 µL each, which is none that stops by itself."""
    flow(bench, 1_200_000)
    came_s = bench.now_s
    for _ in range(8):
        bench.set_sensor("air", 1)
        bench.run_s(0.45)
        bench.set_sensor("air", 0)
        bench.run_s(0.15)
    yield came_s


@cause(alarms.STALL)
def _(bench):
    flow(bench)
    stuck_s = bench.now_s
    bench.break_sensor("encoder", "stuck")
    yield stuck_s
    bench.mend_sensor("encoder")


@cause(alarms.SYRINGE_REMOVED)
def _(bench):
    flow(bench)
    removed_s = bench.now_s
    bench.set_sensor("barrel", 0)
    yield removed_s
    bench.put_in(LARGE)


@cause(alarms.WRONG_SYRINGE)
def _(bench):
    flow(bench)
    changed_s = bench.now_s
    bench.put_in("bd-plastipak-20")
    yield changed_s
    bench.put_in(LARGE)


@cause(alarms.DOOR_OPEN)
def _(bench):
    flow(bench)
    opened_s = bench.now_s
    bench.set_sensor("door", 1)
    yield opened_s
    bench.set_sensor("door", 0)


@cause(alarms.BATTERY_LOW, within_s=15)
def _(bench):
    flow(bench)
    sagged_s = bench.now_s
    bench.set_sensor("battery", 10_500)
    yield sagged_s
    bench.set_sensor("battery", 15_000)


@cause(alarms.BATTERY_DEPLETED, within_s=15)
def _(bench):
    flow(bench)
    sagged_s = bench.now_s
    bench.set_sensor("battery", 8_000)
    yield sagged_s
    bench.set_sensor("battery", 15_000)


@cause(alarms.OVER_TEMPERATURE)
def _(bench):
    flow(bench)
    heated_s = bench.now_s
    bench.set_sensor("temperature", 700)
    yield heated_s
    bench.set_sensor("temperature", 250)


@cause(alarms.SENSOR_FAULT)
def _(bench):
    flow(bench)
    broken_s = bench.now_s
    bench.break_sensor("pressure", "open")
    yield broken_s
    bench.mend_sensor("pressure")


@cause(alarms.NEAR_END)
def _(bench):
    bench.pump.choose(near_end_min=1)
    infuse(bench, LARGE, 25_000, 1_000, content_ul=50_000)
    bench.run_s(0.5)
    # 144 s are left, and then less than a minute.
    raised_s = bench.now_s
    bench.pump.set_rate(61_000)
    yield raised_s
    bench.pump.set_rate(1_200_000)


@cause(alarms.PAUSED_LONG, within_s=920, poll_s=1)
def _(bench):
    shorten(bench, SHORT_REMINDERS)
    flow(bench)
    bench.pump.pause()
    yield bench.now_s
    bench.pump.resume()


@cause(alarms.IDLE_LONG, within_s=320, poll_s=1)
def _(bench):
    shorten(bench, SHORT_REMINDERS)
    load(bench, LARGE, 100_000, 40_000)
    yield bench.now_s
    wait_until(bench, "idle", within_s=320)


@cause(alarms.MOTOR_SUPPLY)
def _(bench):
    bench.fit(RAIL_ROW)
    flow(bench)
    sagged_s = bench.now_s
    bench.set_sensor("rail", 9_000)
    yield sagged_s
    bench.set_sensor("rail", 12_000)


@cause(alarms.END_STOP)
def _(bench):
    flow(bench)
    pressed_s = bench.now_s
    bench.set_sensor("end_stop", 1)
    yield pressed_s
    bench.set_sensor("end_stop", 0)


@cause(alarms.WATCHDOG_RESET, "cpu_death", "watchdog")
def _(bench):
    flow(bench)
    bench.kill_cpu()
    reset = bench.await_reset(within_s=1.1)
    bench.run_s(0.3)
    bench.connect()
    yield reset.at_ns / S_NS


# -- every row -------------------------------------------------------------------------------------


def row_params():
    for number, found in sorted(CAUSES.items()):
        marks = [pytest.mark.needs(*found.needs), pytest.mark.fitted(found.fitted)]
        yield pytest.param(number, id=alarms.ALARMS[number][1], marks=marks)


def raised_ns(bench, signals, number, caused_ns):
    """When an alarm was told: at the light's first edge, or as the log has it; bench time, ns."""
    if signals:
        light = signals.lights[LIGHT[alarms.ALARMS[number][2]]]
        return next(edge.at_ns for edge in light.edges if edge.at_ns >= caused_ns and edge.level)
    # In virtual time both clocks are one.
    return round(
        S_NS
        * next(
            event.uptime_s
            for event in bench.pump.events()
            if event.code == journal.ALARM_RAISED
            and event.a == number
            and event.uptime_s * S_NS >= caused_ns - MS_NS
        )
    )


def judge_signals(bench, signals, priority, since_ns):
    """The first burst and all flashes since the alarm, edge by edge; the other light is dark."""
    until_ns = since_ns + round((BURST_S[priority] + SETTLED_S) * S_NS)
    bench.run_s(max(0, (until_ns - bench.pico.now_ns) / S_NS))
    burst = signals.bursts(since_ns - AT_ONCE_MS * MS_NS)[0]
    judge_burst(priority, burst)
    assert abs(burst[0][0].at_ns - since_ns) <= AT_ONCE_MS * MS_NS
    judge_flashes(signals.lights[LIGHT[priority]], priority, since_ns, bench.pico.now_ns)
    (other,) = set(signals.lights) - {LIGHT[priority]}
    assert not [edge for edge in signals.lights[other].edges if edge.at_ns >= since_ns]
    no_stuck_tone(signals)


@pytest.mark.parametrize("number", list(row_params()))
def test_a_row(bench, number, record_property):
    _, name, priority, action, ends, _ = alarms.ALARMS[number]
    expected = CAUSES[number]
    signals = Signals(bench.pico, bench.pins) if is_on_pins(bench) else None
    act = expected.act(bench)
    caused_ns = round(next(act) * S_NS)
    status = wait_for(
        bench,
        lambda now: name in now.alarms,
        name,
        within_s=expected.within_s,
        poll_s=expected.poll_s,
    )
    at_ns = raised_ns(bench, signals, number, caused_ns)
    record_property("cause_to_alarm_ms", round((at_ns - caused_ns) / MS_NS, 3))
    # In virtual time the signal is chosen after the next control cycle.
    bench.run_s(SETTLED_S)
    status = bench.status()
    assert (status.sound, status.light) == (PRIORITIES[priority], PRIORITIES[priority])
    if signals:
        judge_signals(bench, signals, priority, at_ns)
    if action == alarms.STOP:
        stopped_ns = last_step_ns(bench, caused_ns)
        record_property("cause_to_last_step_ms", round((stopped_ns - caused_ns) / MS_NS, 3))
        wait_until(bench, "alarm")
        # Whoever runs on for a quantum has not stopped.
        assert stopped_ns <= at_ns + AT_ONCE_MS * MS_NS
    else:
        assert status.state in ("kvo", "infusing", "paused", "programmed", "idle")
    if number == alarms.IDLE_LONG:
        assert status.state == "programmed"
    next(act, None)
    end(bench, name, ends, action)
    bench.run_s(0.2)
    if bench.status().state != "idle":
        bench.pump.stop()
        wait_until(bench, "stopped", "completed")


def end(bench, name, ends, action):
    """An alarm ends as the table says, and nothing starts by that."""
    if ends == alarms.BY_CONDITION:
        wait_for(bench, lambda now: name not in now.alarms, f"{name} over", within_s=15)
        return
    bench.run_s(0.5)
    assert name in bench.status().alarms
    moved = bench.position_steps()
    bench.pump.acknowledge()
    assert name not in bench.status().alarms
    if action == alarms.STOP:
        bench.run_s(0.5)
        assert bench.status().state in ("paused", "stopped")
        assert bench.position_steps() == moved


@pytest.mark.needs("virtual_time")
def test_a_host_that_falls_silent_is_missed(bench, record_property):
    """The row host_silent, which a host cannot ask for without ending it."""
    told = []
    signals = Signals(bench.pico, bench.pins) if is_on_pins(bench) else None
    bench.connect(on_telemetry=told.append)
    bench.pump.watch_for_silence(1)
    flow(bench)
    bench.pump.set_telemetry(100)
    silent_ns = round(bench.now_s * S_NS)
    bench.run_s(2.5)
    bench.status()
    during = [now for now in told if "host_silent" in now.alarms]
    assert during
    assert all((now.state, now.sound, now.light) == ("infusing", "low", "low") for now in during)
    at_ns = raised_ns(bench, signals, alarms.HOST_SILENT, silent_ns)
    record_property("cause_to_alarm_ms", round((at_ns - silent_ns) / MS_NS - 1000, 3))
    assert 0 <= at_ns - silent_ns - S_NS <= 200 * MS_NS
    if signals:
        burst = signals.bursts(silent_ns)[0]
        judge_burst(alarms.LOW, burst)
        lights = [edge for edge in signals.lights["yellow"].edges if edge.at_ns >= at_ns]
        # It ends with the request.
        assert [edge.level for edge in lights] == [1] or len(lights) == 2
    assert "host_silent" not in bench.status().alarms
    bench.pump.stop()


OWN_TESTS = {alarms.HOST_SILENT: test_a_host_that_falls_silent_is_missed}


def test_every_row_has_a_test():
    assert sorted([*CAUSES, *OWN_TESTS]) == [row[0] for row in alarms.ALARMS]
    assert not set(CAUSES) & set(OWN_TESTS)
    assert all(test.__name__.startswith("test_") for test in OWN_TESTS.values())
