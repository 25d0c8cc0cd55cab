"""Alarm signals on the pins: every pulse and flash, edge by edge, also with the processor dead.

Three pins that the board leaves free stand for an alarm of each priority, by an injected program.
"""

from fractions import Fraction
from itertools import pairwise

import pytest

from micropump import alarms, signals
from micropump_hil.judge import TICK_NS, judge
from micropump_hil.signals import (
    AT_ONCE_MS,
    LIGHT,
    MS_NS,
    RANGES_MS,
    WIDTHS_US,
    Signals,
    judge_burst,
    judge_flashes,
    judge_interval,
    judge_pulse,
    no_stuck_tone,
)
from micropump_hil.verbs import infuse

pytestmark = pytest.mark.needs("injection", "buttons", "cpu_death", "watchdog")

ITEM = "bd-plastipak-10"
PRIORITIES = (alarms.LOW, alarms.MEDIUM, alarms.HIGH)
# By priority: the pin that raises an alarm of it.
RAISED_BY = {alarms.LOW: 14, alarms.MEDIUM: 15, alarms.HIGH: 19}
HOOK = """\
from machine import Pin
from micropump import alarms, annunciator
from micropump_rp2 import pump
_of = {row[2]: row[0] for row in alarms.ALARMS}
_raised = [(Pin(gpio, Pin.IN, Pin.PULL_DOWN), 1 << _of[at]) for at, gpio in %r]
_look = annunciator.Annunciator.look
def _look_too(self, now_ms, active):
    for pin, bit in _raised:
        if pin.value():
            active |= bit
    return _look(self, now_ms, active)
annunciator.Annunciator.look = _look_too
%s
"""
SELDOM = "pump._LOOK_MS = 100"
NO_WATCHDOG = "pump.Pump.start_watchdog = lambda self: None"


class Watched(Signals):
    """Buzzer and lights of a bench, from now on; alarms to order."""

    def __init__(self, bench, source=""):
        if source is not None:
            bench.inject(HOOK % (list(RAISED_BY.items()), source))
        super().__init__(bench.pico, bench.pins)
        self.bench = bench

    def set(self, *priorities):
        """Raise the alarms of these priorities, end the others; returns the time."""
        for priority, gpio in RAISED_BY.items():
            self.pico.pins.set(gpio, priority in priorities)
        return self.pico.now_ns

    def run_ms(self, duration_ms):
        self.bench.run_s(duration_ms / 1000)


@pytest.mark.parametrize("dead", [False, True], ids=["alive", "dead"])
@pytest.mark.parametrize("priority", PRIORITIES)
def test_every_pulse_and_flash_of_a_priority(bench, priority, dead, record_property):
    watched = Watched(bench, NO_WATCHDOG)
    raised_ns = watched.set(priority)
    watched.run_ms(AT_ONCE_MS)
    first_ns = watched.highs_us()[0][0]
    record_property("sounds_after_ms", round((first_ns - raised_ns) / MS_NS, 1))
    assert first_ns - raised_ns <= AT_ONCE_MS * MS_NS
    if dead:
        bench.kill_cpu()
    period_ms = signals.burst_ms(priority) + signals.interval_ms(priority)
    # A processor that comes round every 10 ms takes its time to emulate.
    periods = 2 if dead or priority == alarms.HIGH else 1
    watched.run_ms(periods * period_ms + signals.burst_ms(priority) + 500)
    bursts = watched.bursts()
    assert len(bursts) == 1 + periods
    for burst in bursts:
        judge_burst(priority, burst)
    for a, b in pairwise(bursts):
        judge_interval(priority, a, b)
        # With no drift at all, whoever is looking.
        assert b[0][0][0] - a[0][0][0] == period_ms * MS_NS
    judge_flashes(watched.lights[LIGHT[priority]], priority, raised_ns, bench.pico.now_ns)
    (other,) = set(watched.lights) - {LIGHT[priority]}
    assert not watched.lights[other].edges
    no_stuck_tone(watched)
    if not dead:
        ended_ns = watched.set()
        watched.run_ms(3_500)
        assert not watched.pulses(ended_ns)
        assert watched.lights[LIGHT[priority]].edges[-1].level == 0


# In the first pulse's rise and body, between pulses, in a later pulse, after the burst.
@pytest.mark.parametrize("into_ms", [12, 60, 150, 190, 260, 400, 620, 1_200])
@pytest.mark.parametrize("before", [alarms.LOW, alarms.MEDIUM])
def test_what_is_more_urgent_is_heard_at_once(bench, before, into_ms):
    watched = Watched(bench)
    watched.set(before)
    watched.run_ms(20)
    begun_ns = watched.highs_us()[0][0]
    bench.run_s((begun_ns + into_ms * MS_NS - bench.pico.now_ns) / 1e9)
    raised_ns = watched.set(before, alarms.HIGH)
    watched.run_ms(3_500)
    # The old one's rest, a silence as between two pulses, then a whole burst.
    *old, last, first = watched.pulses()[:-9]
    judge_burst(alarms.HIGH, [first, *watched.pulses()[-9:]])
    assert 0 < first[0][0] - raised_ns <= AT_ONCE_MS * MS_NS
    assert (first[0][0] - last[-1][0]) / MS_NS >= RANGES_MS[alarms.HIGH][1][0]
    for pulse in old:
        judge_pulse(before, pulse)
    # Whole, or cut short; the very last high of all may be shorter.
    widths = [width for _, width in last]
    assert widths[:-1] == WIDTHS_US[before][: len(widths) - 1]
    assert widths[-1] <= WIDTHS_US[before][len(widths) - 1]
    red = watched.lights["red"]
    judge_flashes(red, alarms.HIGH, raised_ns, bench.pico.now_ns)
    assert 0 < red.edges[0].at_ns - raised_ns <= AT_ONCE_MS * MS_NS
    assert watched.lights["yellow"].edges[-1].level == 0
    no_stuck_tone(watched)


@pytest.mark.parametrize("into_ms", [60, 700, 1_500, 2_980, 3_020, 4_000])
@pytest.mark.parametrize("then", [signals.SILENT, alarms.MEDIUM])
def test_a_burst_that_has_begun_is_played_to_its_end(bench, then, into_ms):
    watched = Watched(bench)
    both = (alarms.HIGH, then) if then else (alarms.HIGH,)
    watched.set(*both)
    watched.run_ms(into_ms)
    ended_ns = watched.set(*both[1:])
    # Beyond the next burst of either, short of another.
    watched.run_ms((13_000 if then else 7_000) - into_ms)
    first, *rest = watched.bursts()
    judge_burst(alarms.HIGH, first)
    for burst in rest:
        judge_interval(then, first, burst)
        judge_burst(then, burst)
    assert len(rest) == bool(then)
    # The light is not kept waiting.
    assert watched.lights["red"].edges[-1].at_ns - ended_ns <= AT_ONCE_MS * MS_NS
    assert watched.lights["red"].edges[-1].level == 0
    no_stuck_tone(watched)


@pytest.mark.parametrize("into_ms", [60, 180, 420, 2_000])
def test_the_button_pauses_the_sound_at_once(bench, into_ms):
    watched = Watched(bench)
    watched.set(alarms.HIGH)
    watched.run_ms(into_ms)
    pressed_ns = bench.pico.now_ns
    bench.press("start_stop", 0.2)
    watched.run_ms(4_000)
    # Settling takes 30 ms of it.
    assert watched.buzzer.edges[-1].at_ns - pressed_ns <= AT_ONCE_MS * MS_NS
    no_stuck_tone(watched)


def test_a_pause_is_two_minutes_long_and_not_of_the_light(bench):
    # Two minutes of a loop that comes round every 10 ms take a minute to emulate.
    watched = Watched(bench, SELDOM)
    raised_ns = watched.set(alarms.HIGH)
    watched.run_ms(400)
    pressed_ns = bench.pico.now_ns
    bench.press("start_stop", 0.5)
    watched.run_ms(123_500)
    again_ns = watched.highs_us(pressed_ns + 1_000 * MS_NS)[0][0]
    # Of three looks at the button the second or third has it, and at the end one is late.
    assert 120_000 <= (again_ns - pressed_ns) / MS_NS <= 120_400
    judge_burst(alarms.HIGH, watched.bursts(again_ns)[0])
    judge_flashes(watched.lights["red"], alarms.HIGH, raised_ns, bench.pico.now_ns)


def test_another_alarm_ends_the_pause(bench):
    watched = Watched(bench)
    watched.set(alarms.HIGH)
    watched.run_ms(300)
    bench.press("start_stop", 0.2)
    watched.run_ms(2_000)
    raised_ns = watched.set(alarms.HIGH, alarms.LOW)
    watched.run_ms(3_300)
    assert watched.highs_us(raised_ns)[0][0] - raised_ns <= AT_ONCE_MS * MS_NS
    (burst,) = watched.bursts(raised_ns)
    judge_burst(alarms.HIGH, burst)


@pytest.mark.parametrize("into_ms", [40, 500, 1_800])
def test_a_dead_processor_is_heard_until_the_watchdog_and_at_once_after_it(
    bench, into_ms, record_property
):
    watched = Watched(bench)
    watched.set(alarms.HIGH)
    watched.run_ms(into_ms)
    begun_ns = watched.highs_us()[0][0]
    bench.kill_cpu()
    reset = bench.await_reset(within_s=1.1)
    # Up to there every pulse is where the figures have it.
    expected = [begun_ns + at_ms * MS_NS for at_ms in (0, 225, 450, 900, 1_125, 1_775, 2_000)]
    expected += [begun_ns + at_ms * MS_NS for at_ms in (2_225, 2_675, 2_900)]
    begun = [pulse[0][0] for pulse in watched.pulses() if pulse[0][0] < reset.at_ns]
    assert begun == [at for at in expected if at < reset.at_ns]
    # And there it ends: what is heard then is the pump that has come up again.
    watched.set()
    bench.run_s(0.2)
    first_ns = watched.highs_us(reset.at_ns)[0][0]
    record_property("sounds_after_reset_ms", round((first_ns - reset.at_ns) / MS_NS, 1))
    assert first_ns - reset.at_ns <= 150 * MS_NS
    quiet = [e for e in watched.buzzer.edges if reset.at_ns < e.at_ns < first_ns]
    assert not quiet
    red = [edge for edge in watched.lights["red"].edges if edge.at_ns > reset.at_ns]
    assert red[0].level == 1
    assert red[0].at_ns - reset.at_ns <= 150 * MS_NS


def test_the_watchdogs_alarm_goes_on_until_someone_has_looked(bench):
    watched = Watched(bench, None)
    bench.run_s(1)
    bench.kill_cpu()
    reset = bench.await_reset(within_s=1.1)
    bench.run_s(10)
    bursts = watched.bursts(reset.at_ns)
    # The burst that began before there was a panel is not begun anew by it.
    for burst in bursts[:-1]:
        judge_burst(alarms.HIGH, burst)
    assert len(bursts) == 2
    assert "watchdog_reset" in bench.connect().status().alarms
    bench.pump.acknowledge()
    bench.run_s(3)
    ended_ns = bench.pico.now_ns
    bench.run_s(10)
    assert not watched.pulses(ended_ns)


@pytest.mark.parametrize("priority", PRIORITIES)
def test_no_step_is_disturbed(bench, priority):
    watched = Watched(bench)
    accepted = infuse(bench, ITEM, 1_200_000, 10_000)
    for _ in range(4):
        watched.set(priority)
        watched.run_ms(230)
        watched.set()
        watched.run_ms(170)
    bench.pump.stop()
    (run,) = bench.runs()
    nl_per_step = Fraction(accepted.nl_num, accepted.nl_den)
    assert judge(run.edges_ns, nl_per_step, (1_200_000,)).worst_ns <= TICK_NS
    assert len(run.edges_ns) == bench.status().infused_steps == bench.counted_steps()
    assert watched.highs_us()


def test_an_alarm_of_the_pumps_own_is_heard_until_it_is_acknowledged(bench):
    watched = Watched(bench, None)
    infuse(bench, ITEM, 100_000, 10_000)
    bench.run_s(1)
    assert not watched.buzzer.edges
    opened_ns = bench.pico.now_ns
    bench.set_interlock(is_open=True)
    bench.run_s(7)
    bursts = watched.bursts()
    assert bursts[0][0][0][0] - opened_ns <= AT_ONCE_MS * MS_NS
    judge_burst(alarms.HIGH, bursts[0])
    bench.set_interlock(is_open=False)
    bench.pump.acknowledge()
    bench.run_s(4)
    assert all(len(burst) == 10 for burst in watched.bursts())
    ended_ns = bench.pico.now_ns
    bench.run_s(6)
    assert not watched.pulses(ended_ns)
