"""The judge of steps: when each is due, exactly, by arithmetic that is not the firmware's.

A rate makes the k-th microstep fall due k · (nL per step) / rate after the beginning, a change of
rate keeps the part of a step that is under way, and an edge is made on the first whole microsecond
at or after its time. Everything is rational here; nothing is rounded but that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from micropump.motion import HORIZON_MS
from micropump.units import QUANTUM_MS

# A tick of the step generator, at 1 MHz.
TICK_NS = 1000
_QUANTUM_US = QUANTUM_MS * 1000
# 1 µL/h are 1000 nL in 3.6e9 µs.
_US_PER_NL_AT_1_UL_H = 3_600_000


@dataclass(frozen=True)
class Leg:
    """A rate from a time on, µs after the first quantum's start."""

    from_us: int
    rate_ul_h: int


@dataclass(frozen=True)
class Verdict:
    """How a run's edges compare with the schedule.

    Attributes:
        edges: how many there were.
        worst_ns: the greatest deviation from the schedule, once one constant offset is taken off.
        legs: the schedule that they were compared with.

    """

    edges: int
    worst_ns: int
    legs: tuple[Leg, ...]


def period_us(nl_per_step: Fraction, rate_ul_h: int) -> Fraction:
    """Time from a microstep to the next, µs."""
    return nl_per_step * _US_PER_NL_AT_1_UL_H / rate_ul_h


def due_us(nl_per_step: Fraction, legs: Sequence[Leg], count: int) -> list[int]:
    """When the first ``count`` microsteps fall due, µs after the first quantum's start."""
    due: list[int] = []
    done = Fraction(0)
    for leg, following in zip(legs, [*legs[1:], None], strict=True):
        period = period_us(nl_per_step, leg.rate_ul_h)
        steps = Fraction(0)
        if following is not None:
            steps = done + (following.from_us - leg.from_us) / period
        number = int(done) + 1
        while len(due) < count and (following is None or number <= steps):
            exact_us = leg.from_us + (number - done) * period
            due.append(-(-exact_us.numerator // exact_us.denominator))
            number += 1
        done = steps
    return due


def judge(
    edges_ns: Sequence[int],
    nl_per_step: Fraction,
    rates_ul_h: Sequence[int],
    changed_us: Sequence[int] = (),
) -> Verdict:
    """Compare the edges of a run that began with no part of a step done with the schedule.

    Args:
        edges_ns: times of all its edges.
        nl_per_step: the mechanism's ratio.
        rates_ul_h: the rates, in order.
        changed_us: when each change of rate was sent, µs after the motor was switched on. It takes
            effect at a quantum's start within the planning horizon: which, the edges have to say;
            the verdict is the best of these schedules.

    """
    legs_of: list[tuple[Leg, ...]] = [(Leg(0, rates_ul_h[0]),)]
    for rate_ul_h, sent_us in zip(rates_ul_h[1:], changed_us, strict=True):
        first = sent_us // _QUANTUM_US
        # The horizon, and a quantum for the time between sending and taking.
        last = first + HORIZON_MS // QUANTUM_MS + 2
        legs_of = [
            (*legs, Leg(quantum * _QUANTUM_US, rate_ul_h))
            for legs in legs_of
            for quantum in range(first, last)
        ]
    verdicts = [
        Verdict(len(edges_ns), worst_ns(edges_ns, due_us(nl_per_step, legs, len(edges_ns))), legs)
        for legs in legs_of
    ]
    return min(verdicts, key=lambda verdict: verdict.worst_ns)


def worst_ns(edges_ns: Sequence[int], expected_us: Sequence[int]) -> int:
    """The greatest deviation of edges from their times, both counted from the first; ns."""
    return max(
        (
            abs((edge_ns - edges_ns[0]) - (due - expected_us[0]) * 1000)
            for edge_ns, due in zip(edges_ns, expected_us, strict=True)
        ),
        default=0,
    )


def jitter_ns(edges_ns: Sequence[int], period: Fraction) -> int:
    """By how much edges stray from one period, µs, wherever in a step they began; ns, rounded up.

    An edge that is due within a microsecond comes at its end, so up to one is the schedule's own.
    """
    if not edges_ns:
        return 0
    offsets = [edge_ns - number * period * 1000 for number, edge_ns in enumerate(edges_ns)]
    spread = max(offsets) - min(offsets)
    return -(-spread.numerator // spread.denominator)
