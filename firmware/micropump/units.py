"""Units, their limits, and the arithmetic that stays within the board's small integers.

MicroPython on the RP2040 holds integers of -2**30 … 2**30-1 without touching the heap; whatever
the control tick computes must stay inside, intermediate results included. Rates are in µL/h,
volumes in µL and nL, times in ms.
"""

SMALL_INT_LIMIT = 1 << 30

# Core time is a count of milliseconds modulo 2**30 (12.4 days), as the board's own ticks are.
CLOCK_MASK = SMALL_INT_LIMIT - 1
_HALF = 1 << 29

LEAST_RATE_UL_H = 10
GREATEST_RATE_UL_H = 1_200_000
LEAST_VTBI_UL = 100
GREATEST_VTBI_UL = 9_999_000

S_PER_HOUR = 3600

# Motion plans, and phases that end by time are counted, in pieces of this length.
QUANTUM_MS = 100

# Counts of steps are kept as (millions, rest), since a long infusion passes 2**30 steps.
MILLION = 1_000_000


def elapsed_ms(now_ms: int, then_ms: int) -> int:
    """Milliseconds from ``then_ms`` to ``now_ms``, true across the wrap up to 12.4 days."""
    return (now_ms - then_ms) & CLOCK_MASK


def later_ms(now_ms: int, delay_ms: int) -> int:
    """The core time ``delay_ms`` after ``now_ms``."""
    return wrapped_sum(now_ms, delay_ms)


def wrapped_sum(a: int, b: int) -> int:
    """``a + b`` modulo 2**30, both of 0 … 2**30 - 1, with no sum that leaves the small integers."""
    return ((a - _HALF) + (b - _HALF)) & CLOCK_MASK


def rounded_ratio(numerator: int, denominator: int) -> int:
    """The integer nearest to ``numerator / denominator``, halves up; both positive."""
    return (2 * numerator + denominator) // (2 * denominator)
