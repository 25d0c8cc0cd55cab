"""Alarm signals: every figure within its range, and no sequence of alarms makes it otherwise."""

import itertools
import math
import subprocess
import sys

import pytest
import support
from hypothesis import given, settings
from hypothesis import strategies as st

from micropump import alarms, signals
from micropump.annunciator import AUDIO_PAUSE_MS, ESCALATIONS, Annunciator, by_number
from micropump.units import CLOCK_MASK

PRIORITIES = (alarms.LOW, alarms.MEDIUM, alarms.HIGH)
FOREVER_MS = 10**9
# What the standard allows, at second hand (docs/signals.md): pulses of a burst, then ms, least and
# greatest: a pulse, the silence between two, the silence between the halves, from a burst to the
# next; rise and fall as parts of a pulse.
RANGES = {
    alarms.LOW: ((1, 2), (125, 250), (125, 250), None, (15_000, FOREVER_MS)),
    alarms.MEDIUM: ((3, 3), (125, 250), (125, 250), None, (2_500, 30_000)),
    alarms.HIGH: ((10, 10), (75, 200), (50, 125), (350, 1_300), (2_500, 15_000)),
}
EDGE_SHARE = (0.10, 0.20)
FLASH_HZ = {alarms.MEDIUM: (0.4, 0.8), alarms.HIGH: (1.4, 2.8)}
FLASH_DUTY = (0.2, 0.6)


def pulses_us(rows, floor_us=0):
    """Beginning and end of every pulse: on for more than ``floor_us`` in each period, by ``rows``.

    The end is that of the last period, as the ear has it, not of its last high.
    """
    pulses = []
    at_us = 0
    for times, on_us, off_us in rows:
        end_us = at_us + times * (on_us + off_us)
        if on_us > floor_us:
            if pulses and pulses[-1][1] == at_us:
                pulses[-1] = (pulses[-1][0], end_us)
            else:
                pulses.append((at_us, end_us))
        at_us = end_us
    return pulses


def within(value, least_and_greatest):
    least, greatest = least_and_greatest
    return least <= value <= greatest


def judge_burst(priority, pulses_ms, slack_ms=0):
    """Hold one burst, as pulses (beginning, end) in ms, against the ranges."""
    count, length, spacing, half_gap, _ = RANGES[priority]
    assert within(len(pulses_ms), count)
    lengths = [end - begin for begin, end in pulses_ms]
    assert all(within(found, length) for found in lengths)
    gaps = [b[0] - a[1] for a, b in itertools.pairwise(pulses_ms)]
    if priority == alarms.HIGH:
        assert within(gaps.pop(4), half_gap)
        # The third and the fourth of each half: twice a spacing, and a pulse.
        for at in (6, 2):
            assert gaps.pop(at) == pytest.approx(2 * gaps[0] + lengths[0], abs=slack_ms)
    assert all(within(found, spacing) for found in gaps)


def test_the_priorities_are_those_of_the_alarm_table():
    assert (signals.LOW, signals.MEDIUM, signals.HIGH) == PRIORITIES
    assert signals.SILENT < alarms.LOW < alarms.MEDIUM < alarms.HIGH
    assert len(signals.LIGHTS) == len(signals.NAMES) == 1 + alarms.HIGH
    assert signals.table(signals.SILENT) == []


@pytest.mark.parametrize("priority", PRIORITIES)
# Over all, and where the tone has its full strength: both ways of measuring a pulse.
@pytest.mark.parametrize("floor_us", [0, signals.EDGE_ON_US[-1]])
def test_a_burst_is_within_its_ranges(priority, floor_us):
    rows = signals.table(priority)
    bodies = [(a / 1000, b / 1000) for a, b in pulses_us(rows, floor_us)]
    edge_ms = signals.edge_us(priority) / 1000 if floor_us else 0
    # The law of the third gap is of one way of measuring.
    judge_burst(priority, bodies, slack_ms=4 * edge_ms)
    whole_us = sum(times * (on_us + off_us) for times, on_us, off_us in rows)
    interval_ms = (whole_us / 1000) - bodies[-1][1] + bodies[0][0]
    assert within(interval_ms, RANGES[priority][4])


@pytest.mark.parametrize("priority", PRIORITIES)
def test_the_table_is_what_the_figures_say(priority):
    rows = signals.table(priority)
    pulses = pulses_us(rows)
    assert [end - begin for begin, end in pulses] == [signals.pulse_us(priority)] * len(pulses)
    gaps = tuple(b[0] - a[1] for a, b in itertools.pairwise(pulses))
    assert gaps == signals.gaps_us(priority)
    assert pulses[0][0] == 0
    assert pulses[-1][1] == 1000 * signals.burst_ms(priority)
    assert rows[-1] == (1, 0, 1000 * signals.interval_ms(priority))
    # What is cut short and what follows are no one pulse.
    assert within(signals.CHANGE_US / 1000, RANGES[alarms.HIGH][2])
    assert within(signals.edge_us(priority) / signals.pulse_us(priority), EDGE_SHARE)
    # Whoever repeats it counts whole milliseconds.
    assert sum(times * (on_us + off_us) for times, on_us, off_us in rows) % 1000 == 0


@pytest.mark.parametrize("priority", PRIORITIES)
def test_a_pulse_rises_and_falls_in_steps(priority):
    rows = signals.table(priority)
    one = [row for row in rows if row[1]][: 2 * len(signals.EDGE_ON_US) + 1]
    levels = [on_us for _, on_us, _ in one]
    assert levels == levels[::-1]
    rise = levels[: len(levels) // 2 + 1]
    assert rise == sorted(set(rise))
    assert all(on_us + off_us == signals.PERIOD_US for _, on_us, off_us in one)
    # No step is louder than the one below it by more than it is itself loud.
    heard = [math.sin(math.pi * on_us / signals.PERIOD_US) for on_us in rise]
    assert max(b - a for a, b in zip([0.0, *heard], heard, strict=False)) < 0.25 * heard[-1]


def test_the_fundamental_and_four_harmonics():
    hz = 1e6 / signals.PERIOD_US
    assert 150 <= hz <= 1000
    duty = signals.BODY_ON_US / signals.PERIOD_US

    # The Fourier series of a train of pulses: |sin(pi n d)| / n, to a common factor.
    def db(n):
        heard = abs(math.sin(math.pi * n * duty)) / n
        return 20 * math.log10(max(heard, 1e-9) / math.sin(math.pi * duty))

    strong = [n for n in range(2, 40) if 300 <= n * hz <= 4000 and abs(db(n)) <= 15]
    assert strong == [2, 3, 4, 7, 8]
    assert max(abs(db(n)) for n in strong) == pytest.approx(13.9, abs=0.05)


@pytest.mark.parametrize("priority", [alarms.MEDIUM, alarms.HIGH])
def test_the_lights_flash_within_their_ranges(priority):
    colour, on_ms, off_ms = signals.LIGHTS[priority]
    assert colour == {alarms.MEDIUM: signals.YELLOW, alarms.HIGH: signals.RED}[priority]
    assert within(1000 / (on_ms + off_ms), FLASH_HZ[priority])
    assert within(on_ms / (on_ms + off_ms), FLASH_DUTY)


def test_low_priority_is_a_constant_light():
    assert signals.LIGHTS[alarms.LOW] == (signals.YELLOW, 0, 0)


def test_the_document_has_these_figures():
    text = (support.REPO / "docs" / "signals.md").read_text(encoding="utf-8")
    cells = {name: [] for name in ("pulse", "body", "edge", "spacing", "burst", "interval")}
    for priority in reversed(PRIORITIES):
        pulse_ms = signals.pulse_us(priority) // 1000
        edge_ms = signals.edge_us(priority) // 1000
        cells["pulse"].append(f"{pulse_ms} ms")
        cells["body"].append(f"{pulse_ms - 2 * edge_ms} ms")
        cells["edge"].append(f"{edge_ms} ms, {100 * edge_ms // pulse_ms} %")
        cells["spacing"].append(f"{signals.gaps_us(priority)[0] // 1000} ms")
        cells["burst"].append(f"{signals.burst_ms(priority)} ms")
        cells["interval"].append(f"{signals.interval_ms(priority) // 1000} s")
    rows = {
        "pulse, over all": "pulse", "of it at full strength": "body", "rise, and fall": "edge",
        "between pulses": "spacing", "burst": "burst", "between bursts": "interval",
    }  # fmt: skip
    for name, key in rows.items():
        (line,) = [line for line in text.splitlines() if line.startswith(f"| {name} |")]
        assert [cell.strip() for cell in line.split("|")][2:8:2] == cells[key]


# -- which signal ------------------------------------------------------------------------------

# Two alarms of each priority, and a number that is not given away.
TABLE = bytes([3, 1, 2, 0, 3, 1, 2])
NUMBERS = (0, 1, 2, 4, 5, 6)
LOOK_MS = 10


class Player:
    """What the player with no processor does: a pattern from a moment on, until the next."""

    def __init__(self):
        self.plays = []
        self.sound = signals.SILENT

    def follow(self, now_ms, annunciator, paused):
        if annunciator.sound != self.sound:
            self.sound = annunciator.sound
            self.plays.append((now_ms, self.sound, annunciator.after_interval, paused))

    def bursts(self, until_ms):
        """Each burst: priority, pulses in ms that were begun, whether it was cut and why."""
        found = []
        ends = [play[0] for play in self.plays[1:]] + [until_ms]
        for at, (begun_ms, sound, after_interval, _) in enumerate(self.plays):
            if not sound:
                continue
            rows = signals.table(sound)
            period_ms = sum(n * (on + off) for n, on, off in rows) / 1000
            start_ms = begun_ms
            if after_interval:
                start_ms += signals.interval_ms(sound)
            elif at and self.plays[at - 1][1]:
                start_ms += signals.CHANGE_US // 1000
            while start_ms < ends[at]:
                pulses = [(start_ms + a / 1000, start_ms + b / 1000) for a, b in pulses_us(rows)]
                begun = [p for p in pulses if p[0] < ends[at]]
                found.append((sound, begun, pulses[-1][1] > ends[at], at))
                start_ms += period_ms
        return found


# A few looks, some bursts, and longer than an audio pause.
segments = st.tuples(
    st.integers(1, 50) | st.integers(100, 2_500) | st.just(13_000),
    st.sets(st.sampled_from(NUMBERS), max_size=3),
    st.booleans(),
)
looks = st.lists(segments, min_size=1, max_size=8)


def run(steps, late_ms=0):
    """Looks every 10 ms: ``steps`` of (looks, active numbers, whether pause is pressed)."""
    annunciator = Annunciator(TABLE)
    player = Player()
    now_ms = 0
    seen = []
    for count, numbers, pressed in steps:
        active = sum(1 << number for number in numbers)
        for at in range(count):
            now_ms += LOOK_MS + (late_ms if at % 7 == 3 else 0)
            annunciator.look(now_ms & CLOCK_MASK, active)
            player.follow(now_ms, annunciator, annunciator.audio_paused)
            seen.append((now_ms, active, annunciator.audio_paused))
            if pressed and at == 0:
                annunciator.pause_audio()
    return annunciator, player, seen


@settings(max_examples=60, deadline=None)
@given(looks, st.sampled_from([0, 60]))
def test_any_sequence_of_alarms_and_pauses_gives_bursts_within_the_ranges(steps, late_ms):
    _, player, seen = run(steps, late_ms)
    until_ms = seen[-1][0]
    bursts = player.bursts(until_ms)
    for priority, pulses, cut, at in bursts:
        if not cut:
            judge_burst(priority, pulses)
        elif at + 1 < len(player.plays):
            # Cut short by what is more urgent, or by a person, and by nothing else.
            _, following, _, paused = player.plays[at + 1]
            assert following > priority or (paused and following == signals.SILENT)
            count, length, _, _, _ = RANGES[priority]
            assert len(pulses) <= count[1]
            assert all(within(b - a, length) for a, b in pulses)
    for before, after in itertools.pairwise(bursts):
        sounds = [play[1] for play in player.plays[before[3] : after[3] + 1]]
        if any(b > a or b == signals.SILENT for a, b in itertools.pairwise(sounds)):
            # A rise, or an alarm that came after there was none: it is told at once.
            continue
        gap_ms = after[1][0][0] - before[1][-1][1]
        # One interval of each on the way down; the last one's is the least.
        assert within(gap_ms, (RANGES[after[0]][4][0], RANGES[after[0]][4][1]))


@settings(max_examples=60, deadline=None)
@given(looks)
def test_the_most_urgent_wins_and_nothing_is_kept_silent(steps):
    annunciator = Annunciator(TABLE)
    now_ms = 0
    paused_ms = 0
    since_fall_ms = 0
    for count, numbers, pressed in steps:
        active = sum(1 << number for number in numbers)
        # Not so long that anything escalates.
        for at in range(min(count, (170_000 - now_ms) // LOOK_MS)):
            now_ms += LOOK_MS
            was_silent = annunciator.audio_paused
            light = annunciator.look(now_ms, active)
            worst = max((TABLE[number] for number in numbers), default=0)
            assert light == annunciator.light == worst
            paused_ms = paused_ms + LOOK_MS if annunciator.audio_paused and was_silent else 0
            assert paused_ms <= AUDIO_PAUSE_MS
            if annunciator.audio_paused:
                assert annunciator.sound == signals.SILENT
                continue
            assert annunciator.sound >= worst
            # At most what is left of a burst and of the guard before the next, then another.
            since_fall_ms = since_fall_ms + LOOK_MS if annunciator.sound > worst else 0
            assert since_fall_ms <= signals.burst_ms(annunciator.sound) + 800
            if pressed and at == 0:
                annunciator.pause_audio()


def alarm_of(priority):
    return 1 << TABLE.index(priority)


def looked(annunciator, active, duration_ms, start_ms=0):
    """Look every 10 ms for ``duration_ms``; returns the time at the end."""
    for at_ms in range(start_ms + LOOK_MS, start_ms + duration_ms + 1, LOOK_MS):
        annunciator.look(at_ms & CLOCK_MASK, active)
    return start_ms + duration_ms


@pytest.mark.parametrize("priority", PRIORITIES)
@pytest.mark.parametrize("then", [signals.SILENT, alarms.LOW])
def test_an_end_is_heard_well_within_an_interval(priority, then):
    # Where the player is some 100 ms before or behind, there is still no part of a pulse.
    if then >= priority:
        return
    period_ms = signals.burst_ms(priority) + signals.interval_ms(priority)
    active = alarm_of(then) if then else 0
    for over_ms in range(LOOK_MS, 2 * period_ms, 190):
        annunciator = Annunciator(TABLE)
        now_ms = looked(annunciator, alarm_of(priority), over_ms // LOOK_MS * LOOK_MS)
        began_ms = LOOK_MS
        while annunciator.sound == priority:
            now_ms = looked(annunciator, active, LOOK_MS, now_ms)
        into_ms = (now_ms - began_ms) % period_ms
        assert signals.burst_ms(priority) + 150 <= into_ms < period_ms - 500
        assert (annunciator.sound, annunciator.after_interval) == (then, True)


def test_a_second_fall_cuts_nothing_wherever_it_comes():
    period_ms = signals.burst_ms(alarms.MEDIUM) + signals.interval_ms(alarms.MEDIUM)
    for looks_between in range(1, 2 * period_ms // LOOK_MS, 19):
        _, player, seen = run(
            [(30, {0, 2}, False), (340, {2}, False), (looks_between, {2}, False), (700, {}, False)]
        )
        bursts = player.bursts(seen[-1][0])
        assert [play[1] for play in player.plays] == [alarms.HIGH, alarms.MEDIUM, signals.SILENT]
        assert not any(cut for _, _, cut, _ in bursts)


def test_a_pause_is_at_once_ends_by_itself_and_leaves_the_light():
    assert AUDIO_PAUSE_MS <= 120_000
    annunciator = Annunciator(TABLE)
    assert not annunciator.pause_audio()
    high = alarm_of(alarms.HIGH)
    now_ms = looked(annunciator, high, 400)
    assert annunciator.pause_audio()
    now_ms = looked(annunciator, high, LOOK_MS, now_ms)
    assert (annunciator.sound, annunciator.light) == (signals.SILENT, alarms.HIGH)
    now_ms = looked(annunciator, high, 60_000, now_ms)
    # Pressed again it is no longer.
    assert not annunciator.pause_audio()
    now_ms = looked(annunciator, high, AUDIO_PAUSE_MS - 60_000 - 2 * LOOK_MS, now_ms)
    assert (annunciator.sound, annunciator.light) == (signals.SILENT, alarms.HIGH)
    looked(annunciator, high, LOOK_MS, now_ms)
    assert (annunciator.sound, annunciator.after_interval) == (alarms.HIGH, False)


@pytest.mark.parametrize("other", PRIORITIES)
def test_another_alarm_ends_the_pause(other):
    annunciator = Annunciator(TABLE)
    medium = alarm_of(alarms.MEDIUM)
    now_ms = looked(annunciator, medium, 400)
    annunciator.pause_audio()
    now_ms = looked(annunciator, medium, 1_000, now_ms)
    another = 1 << TABLE.rindex(other)
    looked(annunciator, medium | another, LOOK_MS, now_ms)
    assert not annunciator.audio_paused
    assert annunciator.sound == max(other, alarms.MEDIUM)


def test_an_alarm_that_is_over_ends_the_pause_and_its_next_is_heard():
    annunciator = Annunciator(TABLE)
    high = alarm_of(alarms.HIGH)
    now_ms = looked(annunciator, high, 400)
    annunciator.pause_audio()
    now_ms = looked(annunciator, high, 400, now_ms)
    now_ms = looked(annunciator, 0, LOOK_MS, now_ms)
    assert (annunciator.audio_paused, annunciator.light) == (False, signals.SILENT)
    looked(annunciator, high, LOOK_MS, now_ms)
    assert annunciator.sound == alarms.HIGH


@pytest.mark.parametrize("row", ESCALATIONS)
def test_what_nobody_attends_to_becomes_more_urgent(row):
    priority, after_ms, becomes = row
    assert becomes > priority
    annunciator = Annunciator(TABLE)
    active = alarm_of(priority)
    now_ms = looked(annunciator, active, after_ms)
    assert annunciator.light == annunciator.sound == priority
    now_ms = looked(annunciator, active, LOOK_MS, now_ms)
    assert annunciator.light == annunciator.sound == becomes
    # It stays so through a pause, and is over with the alarm.
    annunciator.pause_audio()
    now_ms = looked(annunciator, active, 1_000, now_ms)
    assert (annunciator.sound, annunciator.light) == (signals.SILENT, becomes)
    now_ms = looked(annunciator, 0, LOOK_MS, now_ms)
    looked(annunciator, active, LOOK_MS, now_ms)
    assert annunciator.light == priority


def test_a_pause_starts_the_wait_anew():
    priority, after_ms, becomes = ESCALATIONS[0]
    annunciator = Annunciator(TABLE)
    active = alarm_of(priority)
    now_ms = looked(annunciator, active, after_ms - LOOK_MS)
    annunciator.pause_audio()
    now_ms = looked(annunciator, active, AUDIO_PAUSE_MS + after_ms - 2 * LOOK_MS, now_ms)
    assert annunciator.light == priority
    looked(annunciator, active, 3 * LOOK_MS, now_ms)
    assert annunciator.light == becomes


def test_low_and_high_wait_for_ever_as_they_are():
    for priority in (alarms.LOW, alarms.HIGH):
        annunciator = Annunciator(TABLE)
        for at in range(3):
            # Looks that are days apart, as none are: times saturate.
            annunciator.look((at + 1) * 400_000_000, alarm_of(priority))
        assert annunciator.light == priority


@given(st.integers(0, CLOCK_MASK), looks)
@settings(max_examples=20, deadline=None)
def test_the_clock_may_begin_anywhere_and_wrap(start_ms, steps):
    traces = []
    for offset_ms in (0, start_ms):
        annunciator = Annunciator(TABLE)
        annunciator.look(offset_ms, 0)
        trace = []
        now_ms = offset_ms
        for count, numbers, _ in steps:
            active = sum(1 << number for number in numbers)
            for _ in range(min(count, 400)):
                now_ms = (now_ms + 70) & CLOCK_MASK
                annunciator.look(now_ms, active)
                trace.append((annunciator.sound, annunciator.after_interval, annunciator.light))
        traces.append(trace)
    assert traces[0] == traces[1]


def test_the_alarm_table_is_taken_as_it_is():
    priorities = by_number(alarms.ALARMS)
    assert {row[0]: row[2] for row in alarms.ALARMS} == {
        number: priority for number, priority in enumerate(priorities) if priority
    }
    assert len(priorities) <= 30


def test_a_look_allocates_nothing():
    done = support.run_micropython("annunciator.py")
    assert done.returncode == 0, done.stdout + done.stderr
    script = support.SCRIPTS / "annunciator.py"
    words = [sys.executable, script, support.FIRMWARE]
    cpython = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == cpython.stdout
    sounds = done.stdout.split()
    # Every change there is was made: up, down to each, paused, escalated.
    assert set("0123") <= set(sounds[0])
    assert int(sounds[1]) > 20
