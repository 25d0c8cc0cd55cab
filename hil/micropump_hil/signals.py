"""The judge of alarm signals: what the pins of an emulated Pico show, edge by edge.

Its figures are its own: what the standard allows, at second hand (docs/signals.md), and what
``micropump.signals`` is meant to give.
"""

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from micropump import alarms

if TYPE_CHECKING:
    from micropump_hil.emulated.pico import EmulatedPico
    from micropump_hil.emulated.pins import PinTrace


class High(NamedTuple):
    """The buzzer's wire being high: its beginning, ns, and its width, µs."""

    at_ns: int
    width_us: float


Pulse = list[High]
Burst = list[Pulse]

MS_NS = 1_000_000
# What the standard allows, at second hand (docs/signals.md), ms: pulse, between two of them,
# between the halves of a burst, from a burst to the next.
Range = tuple[float, float]
RANGES_MS: dict[int, tuple[Range, Range, Range | None, Range]] = {
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
FLASH_MS: dict[int, tuple[int, int] | None] = {
    alarms.LOW: None,
    alarms.MEDIUM: (640, 960),
    alarms.HIGH: (200, 300),
}
LIGHT = {alarms.LOW: "yellow", alarms.MEDIUM: "yellow", alarms.HIGH: "red"}
# From an alarm to its sound: the loop comes round every 10 ms, and changing takes some ms.
AT_ONCE_MS = 100


class Signals:
    """Buzzer and lights of an emulated Pico, from now on.

    Args:
        pico: the Pico.
        gpio: GPIO numbers by function.

    Attributes:
        buzzer: every edge of its wire.
        lights: every edge of "red" and "yellow".

    """

    def __init__(self, pico: "EmulatedPico", gpio: dict[str, int]) -> None:
        self.pico = pico
        self.buzzer = pico.pins.watch(gpio["buzzer"])
        self.lights = {name: pico.pins.watch(gpio[f"{name}_light"]) for name in ("red", "yellow")}

    def highs_us(self, since_ns: int = 0) -> list[High]:
        """Every high of the buzzer."""
        found = []
        edges = self.buzzer.edges
        for edge, following in pairwise(edges):
            if edge.level and edge.at_ns >= since_ns:
                found.append(High(edge.at_ns, (following.at_ns - edge.at_ns) / 1000))
        return found

    def pulses(self, since_ns: int = 0) -> list[Pulse]:
        """Highs in groups: those less than 10 ms apart are one pulse."""
        groups: list[Pulse] = []
        for high in self.highs_us(since_ns):
            if groups and high[0] - groups[-1][-1][0] < 10 * MS_NS:
                groups[-1].append(high)
            else:
                groups.append([high])
        return groups

    def bursts(self, since_ns: int = 0) -> list[Burst]:
        """Pulses in groups: those less than 2 s apart are one burst."""
        groups: list[Burst] = []
        for pulse in self.pulses(since_ns):
            if groups and pulse[0][0] - groups[-1][-1][0][0] < 2_000 * MS_NS:
                groups[-1].append(pulse)
            else:
                groups.append([pulse])
        return groups


def within(value: float, least_and_greatest: tuple[float, float]) -> bool:
    """Whether a value is in a range, its ends included."""
    return least_and_greatest[0] <= value <= least_and_greatest[1]


def length_ms(pulse: Pulse) -> float:
    """Length of a pulse, its last period included."""
    return (pulse[-1][0] - pulse[0][0]) / MS_NS + PERIOD_US / 1000


def judge_pulse(priority: int, pulse: Pulse) -> None:
    """Every high of a pulse: its width exact, its time within a joint."""
    assert [width for _, width in pulse] == WIDTHS_US[priority]
    for (a, _), (b, _) in pairwise(pulse):
        assert (b - a) / 1000 in (PERIOD_US, PERIOD_US + JOINT_US)
    assert within(length_ms(pulse), RANGES_MS[priority][0])


def judge_burst(priority: int, burst: Burst) -> None:
    """A whole burst: its pulses, and the silences between them."""
    _, spacing, half_gap, _ = RANGES_MS[priority]
    assert len(burst) == PULSES[priority]
    for pulse in burst:
        judge_pulse(priority, pulse)
    gaps = [(b[0][0] - a[0][0]) / MS_NS - length_ms(a) for a, b in pairwise(burst)]
    if priority == alarms.HIGH:
        assert half_gap is not None
        assert within(gaps.pop(4), half_gap)
        for at in (6, 2):
            third = gaps.pop(at)
            # A joint more or less.
            assert abs(third - 2 * gaps[0] - length_ms(burst[0])) <= 0.2
    assert all(within(gap, spacing) for gap in gaps)


def judge_interval(priority: int, burst: Burst, following: Burst) -> None:
    """The silence between two bursts."""
    last = burst[-1]
    gap_ms = (following[0][0][0] - last[0][0]) / MS_NS - length_ms(last)
    assert within(gap_ms, RANGES_MS[priority][3])


def judge_flashes(trace: "PinTrace", priority: int, since_ns: int, until_ns: int) -> None:
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


def no_stuck_tone(watched: Signals) -> None:
    """At no time is the buzzer high for longer than it is in a pulse's body."""
    assert max(width for _, width in watched.highs_us()) <= 500
    assert not watched.buzzer.edges[-1].level
