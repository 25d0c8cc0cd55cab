"""Alarm signals on the pins: every pulse and flash, edge by edge, also with the processor dead.

Three pins that the board leaves free stand for an alarm of each priority, by an injected program.
"""

from fractions import Fraction
from itertools import pairwise

import pytest

from micropump import alarms, signals
from micropump_hil.judge import TICK_NS, judge
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

MS_NS = 1_000_000
# What the standard allows, at second hand (docs/signals.md), ms: pulse, between two of them,
# between the halves of a burst, from a burst to the next.
RANGES_MS = {
    alarms.LOW: ((125, 250), (125, 250), None, (15_000, 10**9)),
    alarms.MEDIUM: ((125, 250), (125, 250), None, (2_500, 30_000)),
    alarms.HIGH: ((75, 200), (50, 125), (350, 1_300), (2_500, 15_000)),
}
PULSES = {alarms.LOW: 2, alarms.MEDIUM: 3, alarms.HIGH: 10}
# The widths of a pulse's highs, µs: a rise in four steps, the body, the fall.
WIDTHS_US = {
    priority: [on for on in (100, 200, 300, 400) for _ in range(step)]
    + [500] * body
    + [on for on in (400, 300, 200, 100) for _ in range(step)]
    for priority, (step, body) in {
        alarms.LOW: (3, 56), alarms.MEDIUM: (3, 56), alarms.HIGH: (2, 44),
    }.items()
}  # fmt: skip
PERIOD_US = 2_500
# Where a row of the table ends, the player fetches the next for 4 µs.
JOINT_US = 4
FLASH_MS = {alarms.LOW: None, alarms.MEDIUM: (640, 960), alarms.HIGH: (200, 300)}
LIGHT = {alarms.LOW: "yellow", alarms.MEDIUM: "yellow", alarms.HIGH: "red"}
# From an alarm to its sound: the loop comes round every 10 ms, and changing takes some ms.
AT_ONCE_MS = 100


class Watched:
    """Buzzer and lights of a bench, from now on."""

    def __init__(self, bench, source=""):
        if source is not None:
            bench.inject(HOOK % (list(RAISED_BY.items()), source))
        self.bench = bench
        self.pico = bench.pico
        self.buzzer = bench.pico.pins.watch(bench.pins["buzzer"])
        self.lights = {
            name: bench.pico.pins.watch(bench.pins[f"{name}_light"]) for name in ("red", "yellow")
        }

    def set(self, *priorities):
        """Raise the alarms of these priorities, end the others; returns the time."""
        for priority, gpio in RAISED_BY.items():
            self.pico.pins.set(gpio, priority in priorities)
        return self.pico.now_ns

    def run_ms(self, duration_ms):
        self.bench.run_s(duration_ms / 1000)

    def highs_us(self, since_ns=0):
        """Beginning (ns) and width (µs) of every high of the buzzer."""
        found = []
        edges = self.buzzer.edges
        for edge, following in pairwise(edges):
            if edge.level and edge.at_ns >= since_ns:
                found.append((edge.at_ns, (following.at_ns - edge.at_ns) / 1000))
        return found

    def pulses(self, since_ns=0):
        """Highs in groups: those less than 10 ms apart are one pulse."""
        groups = []
        for high in self.highs_us(since_ns):
            if groups and high[0] - groups[-1][-1][0] < 10 * MS_NS:
                groups[-1].append(high)
            else:
                groups.append([high])
        return groups

    def bursts(self, since_ns=0):
        """Pulses in groups: those less than 2 s apart are one burst."""
        groups = []
        for pulse in self.pulses(since_ns):
            if groups and pulse[0][0] - groups[-1][-1][0][0] < 2_000 * MS_NS:
                groups[-1].append(pulse)
            else:
                groups.append([pulse])
        return groups


def within(value, least_and_greatest):
    return least_and_greatest[0] <= value <= least_and_greatest[1]


def length_ms(pulse):
    """Length of a pulse, its last period included."""
    return (pulse[-1][0] - pulse[0][0]) / MS_NS + PERIOD_US / 1000


def judge_pulse(priority, pulse):
    """Every high of a pulse: its width exact, its time within a joint."""
    assert [width for _, width in pulse] == WIDTHS_US[priority]
    for (a, _), (b, _) in pairwise(pulse):
        assert (b - a) / 1000 in (PERIOD_US, PERIOD_US + JOINT_US)
    assert within(length_ms(pulse), RANGES_MS[priority][0])


def judge_burst(priority, burst):
    _, spacing, half_gap, _ = RANGES_MS[priority]
    assert len(burst) == PULSES[priority]
    for pulse in burst:
        judge_pulse(priority, pulse)
    gaps = [(b[0][0] - a[0][0]) / MS_NS - length_ms(a) for a, b in pairwise(burst)]
    if priority == alarms.HIGH:
        assert within(gaps.pop(4), half_gap)
        for at in (6, 2):
            third = gaps.pop(at)
            assert third == pytest.approx(2 * gaps[0] + length_ms(burst[0]), abs=0.2)
    assert all(within(gap, spacing) for gap in gaps)


def judge_interval(priority, burst, following):
    last = burst[-1]
    gap_ms = (following[0][0][0] - last[0][0]) / MS_NS - length_ms(last)
    assert within(gap_ms, RANGES_MS[priority][3])


def judge_flashes(trace, priority, since_ns, until_ns):
    """The edges of a light from its first flash on: each exact to the microsecond."""
    edges = [edge for edge in trace.edges if since_ns <= edge.at_ns <= until_ns]
    flash_ms = FLASH_MS[priority]
    if flash_ms is None:
        assert [edge.level for edge in edges] == [1]
        return
    assert edges[0].level == 1
    for a, b in pairwise(edges):
        assert b.at_ns - a.at_ns == flash_ms[1 - a.level] * MS_NS
    assert len(edges) >= (until_ns - since_ns) // MS_NS // sum(flash_ms) * 2 - 2


def no_stuck_tone(watched):
    """At no time is the buzzer high for longer than it is in a pulse's body."""
    assert max(width for _, width in watched.highs_us()) <= 500
    assert not watched.buzzer.edges[-1].level


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


@pytest.mark.skipif(
    not hasattr(alarms, "WATCHDOG_RESET"), reason="the alarm table has no row for the watchdog"
)
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
