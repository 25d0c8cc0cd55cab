"""Every row of the alarm table, brought about: how soon it is told, what shows and what stops.

Where waits are long they are waited for in virtual time; on the emulated Pico a program of the
test's own makes them short, and the row, its signal and its end are the same.
"""

from collections.abc import Callable
from typing import NamedTuple

import pytest

from micropump import alarms, journal, sensing
from micropump.occlusion import OCCLUSION_LEVELS_PA
from micropump.program import CONTINUOUS, PURGE
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


def draw_back(bench):
    """The pusher goes backwards, towards its end stop."""
    treat(
        bench,
        PURGE,
        item_id=LARGE,
        content_ul=10_000,
        volume_ul=40_000,
        rate_ul_h=100_000,
        reverse=1,
    )
    bench.run_s(0.5)


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
    wait_until(bench, "kvo", within_s=3)
    steps = bench.status().target_steps
    yield bench.runs()[-1].edges_ns[steps - 1] / S_NS


@cause(alarms.CONTAINER_EMPTY)
def _(bench):
    treat(
        bench, CONTINUOUS, item_id=SMALL, content_ul=110, containers=2, vtbi_ul=200,
        rate_ul_h=400_000,
    )  # fmt: skip
    wait_until(bench, "alarm", within_s=3)
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


@cause(alarms.END_STOP)
def _(bench):
    draw_back(bench)
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


def in_mid_flow(change, undo, row=None, **flows):
    """Something changes while it flows, with ``row`` fitted beside, and is undone."""

    def act(bench):
        if row:
            bench.fit(row)
        flow(bench, **flows)
        changed_s = bench.now_s
        change(bench)
        yield changed_s
        undo(bench)

    return act


def reads(sensor, wrong, right):
    """A sensor reads ``wrong``, and ``right`` again."""
    return (
        lambda bench: bench.set_sensor(sensor, wrong),
        lambda bench: bench.set_sensor(sensor, right),
    )


def breaks(sensor, fault):
    """A sensor breaks, and is mended."""
    return (
        lambda bench: bench.break_sensor(sensor, fault),
        lambda bench: bench.mend_sensor(sensor),
    )


cause(alarms.INTERLOCK_OPEN, "interlock")(
    in_mid_flow(
        lambda bench: bench.set_interlock(is_open=True),
        lambda bench: bench.set_interlock(is_open=False),
    )
)
cause(alarms.DRIVER_FAULT, "driver_fault")(
    in_mid_flow(lambda bench: bench.fail_driver(), lambda bench: bench.mend_driver())
)
cause(alarms.UPSTREAM_OCCLUSION, fitted="peristaltic")(
    in_mid_flow(*reads("upstream", -40_000, 0), UPSTREAM_ROW, item_id=HEAD)
)
cause(alarms.AIR_BUBBLE)(in_mid_flow(*reads("air", 1, 0), rate_ul_h=400_000))
cause(alarms.STALL)(in_mid_flow(*breaks("encoder", "stuck")))
cause(alarms.SYRINGE_REMOVED)(
    in_mid_flow(lambda bench: bench.set_sensor("barrel", 0), lambda bench: bench.put_in(LARGE))
)
cause(alarms.WRONG_SYRINGE)(
    in_mid_flow(lambda bench: bench.put_in("bd-plastipak-20"), lambda bench: bench.put_in(LARGE))
)
cause(alarms.DOOR_OPEN)(in_mid_flow(*reads("door", 1, 0)))
cause(alarms.BATTERY_LOW, within_s=20)(in_mid_flow(*reads("battery", 10_500, 15_000)))
cause(alarms.BATTERY_DEPLETED, within_s=20)(in_mid_flow(*reads("battery", 8_000, 15_000)))
cause(alarms.OVER_TEMPERATURE)(in_mid_flow(*reads("temperature", 700, 250)))
cause(alarms.SENSOR_FAULT)(in_mid_flow(*breaks("pressure", "open")))
cause(alarms.MOTOR_SUPPLY)(in_mid_flow(*reads("rail", 9_000, 12_000), RAIL_ROW))


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
        wait_until(bench, "alarm", within_s=20)
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
    # It counts from what it heard, which is some ms before its answer was read.
    assert -20 * MS_NS <= at_ns - silent_ns - S_NS <= 200 * MS_NS
    if signals:
        burst = signals.bursts(silent_ns)[0]
        judge_burst(alarms.LOW, burst)
        lights = [edge for edge in signals.lights["yellow"].edges if edge.at_ns >= at_ns]
        # It ends with the request.
        assert [edge.level for edge in lights] == [1] or len(lights) == 2
    assert "host_silent" not in bench.status().alarms
    bench.pump.stop()


OWN_TESTS = {alarms.HOST_SILENT: test_a_host_that_falls_silent_is_missed}


# All others stop the pump, whatever the table says.
GO_ON = {
    "end_of_infusion", "host_silent", "near_empty", "partial_occlusion", "battery_low", "near_end",
    "paused_long", "idle_long", "watchdog_reset",
}  # fmt: skip


def test_every_row_has_a_test():
    assert sorted([*CAUSES, *OWN_TESTS]) == [row[0] for row in alarms.ALARMS]
    assert not set(CAUSES) & set(OWN_TESTS)
    assert all(test.__name__.startswith("test_") for test in OWN_TESTS.values())
    assert {row[1] for row in alarms.ALARMS if row[3] != alarms.STOP} == GO_ON


# -- how soon, to the last step --------------------------------------------------------------------

# A control cycle, and the quantum that is under way when it stops the motor.
TICK_AND_QUANTUM_NS = 200 * MS_NS
# How often the sensor is read; the median of three takes two samples of a pressure.
SAMPLED_MS = {"door": 20, "air": 20, "pressure": 2 * 20}


@pytest.mark.needs("motor_enable", "step_edges")
@pytest.mark.parametrize("name", list(SAMPLED_MS))
def test_from_a_threshold_to_the_last_step(bench, name, record_property):
    bench.pump.choose(occlusion_level=1)
    accepted = flow(bench, 400_000)
    worst_us = 0
    # Wherever in a control cycle it comes.
    for into_s in (0.0, 0.035, 0.07):
        bench.run_s(0.3 + into_s)
        threshold_ns = cross(bench, name, accepted)
        after_us = (last_step_ns(bench, threshold_ns) - threshold_ns) / 1000
        worst_us = max(worst_us, after_us)
        assert after_us * 1000 <= TICK_AND_QUANTUM_NS
        clear(bench, name)
    record_property("sampled_every_ms", SAMPLED_MS[name])
    record_property("threshold_to_last_step_us", round(worst_us))
    bench.pump.stop()


def cross(bench, name, accepted):
    """Bring a sensor's reading across its threshold, and the pump to its stop; returns when, ns."""
    now_ns = bench.pico.now_ns
    made = len(bench.runs()[-1].edges_ns)
    # So far beyond its level that the first sample that the filter lets through is, too.
    bench.set_sensor(name, 60_000 if name == "pressure" else 1)
    wait_until(bench, "alarm", "relieving", within_s=3)
    if name != "air":
        return now_ns
    # Not air itself, but 200 µL of it.
    run = next(run for run in reversed(bench.runs()) if run.on_ns <= now_ns)
    threshold = made + 200_000 * accepted.nl_den // accepted.nl_num - 1
    # What is pushed is counted a quantum at a time, so that it may stop before.
    return run.edges_ns[min(threshold, len(run.edges_ns) - 1)]


def clear(bench, name):
    bench.set_sensor(name, 0)
    wait_until(bench, "alarm", within_s=20)
    bench.run_s(0.5)
    bench.pump.acknowledge()
    bench.pump.resume()


def test_a_closed_line_is_told_by_its_slope_long_before_its_level(bench, record_property):
    accepted = flow(bench)
    line_pa = closed_line(bench, accepted)
    bench.set_sensor("pressure", line_pa)
    closed_ns = round(bench.now_s * S_NS)
    wait_until(bench, "relieving", within_s=25)
    stopped_ns = last_step_ns(bench, closed_ns)
    (found,) = [event for event in bench.pump.events() if event.code == journal.OCCLUSION_FOUND]
    record_property("closed_to_last_step_ms", round((stopped_ns - closed_ns) / MS_NS, 1))
    record_property("pressure_pa", found.a)
    level_pa = OCCLUSION_LEVELS_PA[4]
    # At 27.8 µL/s the line would come to 60 kPa after 32.4 s, and its slope asks for 27 kPa.
    assert found.a < level_pa / 2
    status = wait_until(bench, "alarm", within_s=20)
    assert status.alarms == ("occlusion",)
    left_ul = line_pa(0) * COMPLIANCE_NL_PA / 1000
    record_property("left_after_relief_ul", round(left_ul, 2))
    # 500 Pa are as near as it comes, and the reading's noise beside.
    assert -20 < left_ul < 20
    drawn_ul = status.retracted_ul
    assert drawn_ul == pytest.approx(found.a * COMPLIANCE_NL_PA / 1000, rel=0.2)
    moved = bench.position_steps()
    bench.run_s(1)
    assert bench.position_steps() == moved


# -- sensors that break ----------------------------------------------------------------------------

# What cannot be told is not here (docs/sensors.md): a digital sensor that is shorted or stuck says
# that all is well, a jaw that stands still is a syringe in its clamp, a battery's reading wanders.
# A pressure is judged stuck after 30 s; here its row says 2 s. Noise has to leave its window first,
# so it comes last.
FAULTS = [
    ("pressure", ("open", "shorted", "drifting", "unplugged", "stuck", "noisy")),
    ("force", ("open", "shorted", "stuck", "silent", "unplugged", "noisy")),
    ("air", ("open", "unplugged")),
    ("barrel", ("open", "shorted", "drifting", "unplugged", "noisy")),
    ("encoder", ("none", "weak", "strong", "stuck", "silent", "unplugged")),
    ("battery", ("open",)),
    ("battery", ("shorted",)),
    ("battery", ("unplugged",)),
    ("temperature", ("open",)),
    ("temperature", ("shorted",)),
    ("temperature", ("drifting",)),
    ("door", ("open", "unplugged")),
    ("end_stop", ("open", "unplugged")),
]
PRESSURE_STUCK_AFTER_20 = (*ROWS[sensing.PRESSURE][:7], 20, *ROWS[sensing.PRESSURE][8:])


@pytest.mark.parametrize(("name", "faults"), FAULTS, ids=["-".join([n, f[0]]) for n, f in FAULTS])
def test_a_sensor_that_breaks_ends_in_an_alarm_and_a_stop(bench, name, faults, record_property):
    if name == "pressure":
        bench.fit(PRESSURE_STUCK_AFTER_20)
    if name == "end_stop":
        # Nobody minds it while the pusher goes away from it.
        draw_back(bench)
    else:
        flow(bench, 400_000)
    for fault in faults:
        broken_ns = round(bench.now_s * S_NS)
        bench.break_sensor(name, fault)
        status = wait_until(bench, "alarm", "relieving", within_s=8)
        (row,) = [row for row in alarms.ALARMS if row[1] == status.alarms[0]]
        assert row[3] == alarms.STOP
        bench.run_s(SETTLED_S)
        assert bench.status().light == "high"
        stopped_ms = (last_step_ns(bench, broken_ns) - broken_ns) / MS_NS
        record_property(f"{name}_{fault}", f"{status.alarms[0]}, last step {stopped_ms:.0f} ms")
        wait_until(bench, "alarm", within_s=20)
        bench.mend_sensor(name)
        if fault == faults[-1]:
            break
        # Ten good samples, or as many as come in 1.2 s.
        bench.run_s(1.3)
        bench.pump.acknowledge()
        bench.pump.resume()
        bench.run_s(0.5)
        assert bench.status().state in ("infusing", "priming")
    bench.pump.stop()


# -- signals and people ----------------------------------------------------------------------------


def open_door(bench):
    flow(bench)
    bench.set_sensor("door", 1)
    wait_until(bench, "alarm", within_s=5)
    bench.run_s(SETTLED_S)


def test_a_pause_of_the_sound_keeps_the_light_and_ends_with_another_alarm(bench):
    signals = Signals(bench.pico, bench.pins) if is_on_pins(bench) else None
    open_door(bench)
    assert (bench.status().sound, bench.status().light) == ("high", "high")
    paused_ns = round(bench.now_s * S_NS)
    bench.pump.pause_audio()
    bench.run_s(4)
    status = bench.status()
    assert (status.sound, status.light, status.audio_paused) == ("", "high", True)
    assert status.state == "alarm"
    with pytest.raises(PumpRefusedError):
        bench.pump.pause_audio()
    another_ns = round(bench.now_s * S_NS)
    if signals:
        heard = signals.pulses(paused_ns + AT_ONCE_MS * MS_NS)
        assert not [pulse for pulse in heard if pulse[0].at_ns < another_ns]
        judge_flashes(signals.lights["red"], alarms.HIGH, 0, bench.pico.now_ns)
    bench.break_sensor("pressure", "open")
    status = wait_for(bench, lambda now: "sensor_fault" in now.alarms, "another", within_s=2)
    bench.run_s(SETTLED_S)
    status = bench.status()
    assert (status.sound, status.light, status.audio_paused) == ("high", "high", False)
    if signals:
        bench.run_s(BURST_S[alarms.HIGH] + SETTLED_S)
        judge_burst(alarms.HIGH, signals.bursts(another_ns)[0])


def test_a_pause_of_the_sound_lasts_two_minutes(bench):
    if is_on_pins(bench):
        pytest.skip("two minutes: on the pins test_signals has them")
    open_door(bench)
    paused_s = bench.now_s
    bench.pump.pause_audio()
    status = wait_for(bench, lambda now: now.sound == "high", "sound", within_s=130)
    assert bench.now_s - paused_s == pytest.approx(120, abs=0.4)
    assert status.light == "high"


SOON = """\
from micropump import annunciator
annunciator.ESCALATIONS = tuple((low, 2000, high) for low, _, high in annunciator.ESCALATIONS)
"""


def test_what_nobody_attends_to_becomes_more_urgent(bench, record_property):
    shorten(bench, SOON)
    signals = Signals(bench.pico, bench.pins) if is_on_pins(bench) else None
    act = CAUSES[alarms.CONTAINER_EMPTY].act(bench)
    caused_s = next(act)
    bench.run_s(SETTLED_S)
    status = bench.status()
    assert (status.alarms[-1], status.sound, status.light) == (
        "container_empty", "medium", "medium",
    )  # fmt: skip
    raised = wait_for(bench, lambda now: now.light == "high", "high", within_s=185)
    record_property("unattended_s", round(bench.now_s - caused_s, 2))
    wait_s = 2 if "injection" in bench.has else 180
    assert wait_s - 0.2 <= bench.now_s - caused_s <= wait_s + 0.6
    assert raised.alarms == status.alarms
    if signals:
        since_ns = round(bench.now_s * S_NS) - 2 * AT_ONCE_MS * MS_NS
        bench.run_s(BURST_S[alarms.HIGH] + SETTLED_S)
        judge_flashes(signals.lights["red"], alarms.HIGH, since_ns, bench.pico.now_ns)
        judge_burst(alarms.HIGH, signals.bursts(since_ns)[0])
    bench.pump.acknowledge()
    bench.run_s(SETTLED_S)
    assert bench.status().light == ""


def test_of_several_alarms_the_highest_is_signalled(bench):
    signals = Signals(bench.pico, bench.pins) if is_on_pins(bench) else None
    infuse(bench, SMALL, 5_000, 836)
    wait_for(bench, lambda now: "near_empty" in now.alarms, "near_empty")
    bench.run_s(SETTLED_S)
    status = bench.status()
    assert (status.sound, status.light) == ("low", "low")
    opened_ns = round(bench.now_s * S_NS)
    bench.set_sensor("door", 1)
    wait_until(bench, "alarm", within_s=5)
    bench.run_s(SETTLED_S)
    status = bench.status()
    assert status.alarms == ("near_empty", "door_open")
    assert (status.sound, status.light) == ("high", "high")
    bench.run_s(BURST_S[alarms.HIGH] + 0.5)
    if signals:
        light = signals.lights["red"]
        first_ns = next(edge.at_ns for edge in light.edges if edge.at_ns >= opened_ns)
        judge_flashes(light, alarms.HIGH, first_ns, bench.pico.now_ns)
        assert signals.lights["yellow"].level == 0
    bench.set_sensor("door", 0)
    bench.run_s(0.5)
    bench.pump.acknowledge()
    bench.run_s(SETTLED_S)
    status = bench.status()
    assert status.alarms == ("near_empty",)
    assert status.light == "low"
    if signals:
        assert signals.lights["red"].level == 0
        assert signals.lights["yellow"].level == 1


def test_after_air_it_takes_more_than_one_action_to_go_on(bench):
    flow(bench, 400_000)
    bench.set_sensor("air", 1)
    wait_until(bench, "alarm", within_s=5)
    stood = bench.position_steps()
    with pytest.raises(PumpRefusedError):
        bench.pump.resume()
    with pytest.raises(PumpRefusedError):
        bench.pump.start(bench.status().program_id)
    bench.pump.acknowledge()
    # Taken note of, and still there.
    with pytest.raises(PumpRefusedError):
        bench.pump.resume()
    bench.set_sensor("air", 0)
    bench.run_s(0.5)
    assert bench.status().state == "paused"
    assert bench.position_steps() == stood
    bench.pump.resume()
    bench.run_s(1)
    assert bench.status().state == "infusing"
    bench.pump.stop()
