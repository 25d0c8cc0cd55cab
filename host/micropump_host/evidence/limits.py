"""Exact confidence limits of what was counted."""

from dataclasses import dataclass

from scipy import stats

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Share:
    """So many of so many, with the limits by Clopper and Pearson.

    Attributes:
        count: how many.
        of: of how many.
        low, high: two-sided exact confidence limits of the share, 0 to 1.

    """

    count: int
    of: int
    low: float
    high: float


@dataclass(frozen=True)
class Rate:
    """So many in some days, with the exact limit of a Poisson count.

    Attributes:
        count: how many.
        days: in how many days.
        high_per_day: one-sided upper confidence limit, per day; None in no time.

    """

    count: int
    days: float
    high_per_day: float | None


def share(count: int, of: int) -> Share:
    """Limits of a share; of none it can be anything (Clopper and Pearson, Biometrika 1934)."""
    if of == 0:
        return Share(0, 0, 0.0, 1.0)
    interval = stats.binomtest(count, of).proportion_ci(CONFIDENCE, method="exact")
    return Share(count, of, float(interval.low), float(interval.high))


def rate(count: int, days: float) -> Rate:
    """Limit of a rate: half the quantile of χ² with 2·count + 2 degrees (Garwood 1936)."""
    if days <= 0.0:
        return Rate(count, 0.0, None)
    return Rate(count, days, float(stats.chi2.ppf(CONFIDENCE, 2 * count + 2)) / 2.0 / days)
