"""Alarm signals as data: bursts of pulses and flashes of lights, by priority (IEC 60601-1-8).

Beside each figure stands what the standard allows, at second hand; ``docs/signals.md`` has both in
a table, with the sources. Sound is a tone that is switched on and off; a pulse rises and falls in
steps, since a tone that starts at once clicks. The tone is a train of narrow pulses: of a period's
20 % the harmonics 2, 3, 4, 7 and 8 are within 13.9 dB of the fundamental, where of a square wave
three are (3 and 5 within 15 dB). That is the drive; what a buzzer makes of it is its own.

A pulse's length is given over all, its rise and fall included; its body, without them, is within
the range as well, so that both ways of measuring agree.
"""

# As in alarms.py; a test holds them together.
SILENT = 0
LOW = 1
MEDIUM = 2
HIGH = 3
NAMES = ("none", "low", "medium", "high")

# 400 Hz, 150 … 1000 Hz allowed; at least four harmonics within 300 … 4000 Hz.
PERIOD_US = 2_500
BODY_ON_US = 500
# Steps of the rise, and of the fall backwards: 21, 42, 63 and 82 % of the fundamental.
EDGE_ON_US = (100, 200, 300, 400)

# By priority: periods of a pulse; periods of each step of its rise and fall; the silence after each
# pulse but the last, µs; the interval from a burst's end to the next, µs.
_SOUNDS = (
    (0, 0, (), 0),
    # Two pulses of 125 … 250 ms; the interval is more than 15 s.
    (80, 3, (150_000,), 20_000_000),
    # Three pulses of 125 … 250 ms, 125 … 250 ms between them; interval 2.5 … 30 s.
    (80, 3, (150_000, 150_000), 5_000_000),
    # Ten pulses of 75 … 200 ms: twice three and two; 50 … 125 ms between them, of the third and the
    # fourth twice that and a pulse; 350 … 1300 ms between the halves; interval 2.5 … 15 s.
    (
        60,
        2,
        (75_000, 75_000, 300_000, 75_000, 500_000, 75_000, 75_000, 300_000, 75_000),
        3_000_000,
    ),
)

# Between a burst that is cut short and the more urgent one: as between two pulses of it.
CHANGE_US = 60_000

DARK = 0
YELLOW = 1
RED = 2

# By priority: colour, on and off in ms; off 0 is constant.
LIGHTS = (
    (DARK, 0, 0),
    (YELLOW, 0, 0),
    # 0.625 Hz and 40 %; 0.4 … 0.8 Hz and 20 … 60 % allowed.
    (YELLOW, 640, 960),
    # 2 Hz and 40 %; 1.4 … 2.8 Hz and 20 … 60 % allowed.
    (RED, 200, 300),
)


def pulse_us(priority: int) -> int:
    """Length of a pulse over all, µs."""
    return _SOUNDS[priority][0] * PERIOD_US


def edge_us(priority: int) -> int:
    """Length of a pulse's rise, and of its fall, µs."""
    return _SOUNDS[priority][1] * len(EDGE_ON_US) * PERIOD_US


def gaps_us(priority: int) -> tuple:
    """The silences between the pulses of a burst, µs."""
    return _SOUNDS[priority][2]


def interval_ms(priority: int) -> int:
    """From the end of a burst to the beginning of the next, ms."""
    return _SOUNDS[priority][3] // 1000


def burst_ms(priority: int) -> int:
    """From the beginning of a burst's first pulse to the end of its last, ms."""
    if priority == SILENT:
        return 0
    gaps = _SOUNDS[priority][2]
    return ((len(gaps) + 1) * pulse_us(priority) + sum(gaps)) // 1000


def table(priority: int) -> list:
    """One burst and the interval after it, for a player that repeats it without end.

    Returns:
        Rows (times, on_us, off_us): so many times on, then off. A silence is once on for 0 µs; the
        last row is the interval. Empty for ``SILENT``.

    """
    if priority == SILENT:
        return []
    periods, step, gaps, interval_us = _SOUNDS[priority]
    rise = [(step, on_us, PERIOD_US - on_us) for on_us in EDGE_ON_US]
    body = (periods - 2 * step * len(rise), BODY_ON_US, PERIOD_US - BODY_ON_US)
    pulse = rise + [body] + list(reversed(rise))
    rows = []
    for silence_us in gaps + (interval_us,):
        rows += pulse
        rows.append((1, 0, silence_us))
    return rows
