"""What several records of one condition say together: means and tolerance intervals.

The interval is the two-sided 90/90 tolerance interval of a normal population, mean ± k·s: with
90 % confidence it holds 90 % of all deliveries under that condition. k comes from the exact
condition, solved numerically,

    ∫ P(χ²_{n−1} ≥ (n−1) R(x)² / k²) φ(x; 0, 1/√n) dx = confidence,

where R(x) is the half width about x that holds the coverage of a standard normal population
(ISO 16269-6; Odeh and Owen 1980). It assumes that the deliveries are normally distributed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from scipy import optimize, special

from micropump_host.accuracy.iec import Accuracy, Period
from micropump_host.accuracy.table import Floats
from micropump_host.errors import UsageError

COVERAGE = 0.90
CONFIDENCE = 0.90
# Six standard deviations hold all of the mean's distribution but 2e-9 of it.
_MEAN_REACH_SD = 6.0
_QUADRATURE_NODES = 80


@cache
def tolerance_factor(
    count: int, coverage: float = COVERAGE, confidence: float = CONFIDENCE
) -> float:
    """Return k of the two-sided normal tolerance interval mean ± k·s.

    Args:
        count: number of values, at least 2.
        coverage: part of the population that the interval holds, between 0 and 1.
        confidence: probability with which it does, between 0 and 1.

    Raises:
        ValueError: if there are fewer than 2 values or a proportion is not between 0 and 1.

    """
    if count < 2 or not (0 < coverage < 1 and 0 < confidence < 1):
        raise ValueError(f"no tolerance factor for {count}, {coverage}, {confidence}")
    nodes, weights = np.polynomial.legendre.leggauss(_QUADRATURE_NODES)
    # The integrand is even, so the half from 0 is enough, counted twice.
    z = (nodes + 1) * _MEAN_REACH_SD / 2
    density = weights * _MEAN_REACH_SD * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    half_width_squared = special.chndtrix(coverage, 1, z**2 / count)

    def excess(log_k: float) -> float:
        tail = special.chdtrc(count - 1, (count - 1) * half_width_squared / math.exp(2 * log_k))
        return float(density @ tail) - confidence

    return math.exp(optimize.brentq(excess, math.log(1e-3), math.log(1e6), xtol=1e-12))


@dataclass(frozen=True)
class Interval:
    """Mean and tolerance interval of one quantity over several records.

    Attributes:
        count: number of records n.
        mean: mean, in the unit of the quantity.
        sd: standard deviation s (n − 1), None with one record.
        lower: mean − k·s, None with one record.
        upper: mean + k·s, None with one record.

    """

    count: int
    mean: float
    sd: float | None
    lower: float | None
    upper: float | None

    def to_json_dict(self) -> dict[str, float | None]:
        """Return the attributes, the limits being null with one record."""
        return {
            "n": self.count,
            "mean": self.mean,
            "sd": self.sd,
            "lower": self.lower,
            "upper": self.upper,
        }


def interval_of(values: Sequence[float] | Floats) -> Interval:
    """Return mean and 90/90 tolerance interval of at least one value."""
    array = np.asarray(values, dtype=np.float64)
    count, mean = len(array), float(array.mean())
    if count == 1:
        return Interval(1, mean, None, None, None)
    sd = float(array.std(ddof=1))
    reach = tolerance_factor(count) * sd
    return Interval(count, mean, sd, mean - reach, mean + reach)


@dataclass(frozen=True)
class WindowBand:
    """The extreme errors of one window over several records, in percent of the set rate."""

    window_min: float
    ep_max_percent: Interval
    ep_min_percent: Interval

    def to_json_dict(self) -> dict[str, Any]:
        """Return the window in minutes and both intervals."""
        return {
            "window_min": self.window_min,
            "ep_max_percent": self.ep_max_percent.to_json_dict(),
            "ep_min_percent": self.ep_min_percent.to_json_dict(),
        }


@dataclass(frozen=True)
class PeriodBand:
    """One analysis period over several records.

    Attributes:
        name: ``T1`` or ``T2``.
        mean_error_percent: mean error of the period, percent of the set rate.
        trumpet: the extreme errors, by window.

    """

    name: str
    mean_error_percent: Interval
    trumpet: tuple[WindowBand, ...]


@dataclass(frozen=True, eq=False)
class Band:
    """Several records of one condition.

    Attributes:
        records: the results, at least one.
        t1: analysis period T1 over all records.
        t2: T2, None unless every record has one.
        startup_time_min: ends of the start-up intervals that every record has, minutes, shape (m,).
        startup_mean_ml_h: mean of the records' flows, mL/h, shape (m,).
        startup_lower_ml_h: lower tolerance limit, None with one record.
        startup_upper_ml_h: upper tolerance limit, None with one record.
        notes: sentences that a reader of the numbers has to know.

    """

    records: tuple[Accuracy, ...]
    t1: PeriodBand
    t2: PeriodBand | None
    startup_time_min: Floats
    startup_mean_ml_h: Floats
    startup_lower_ml_h: Floats | None
    startup_upper_ml_h: Floats | None
    notes: tuple[str, ...]

    def to_json_dict(self) -> dict[str, Any]:
        """Return the means under the names that one record has, the bands, and the records.

        ``mean_error_percent`` and ``trumpet`` (and ``mean_error_t2_percent``, ``trumpet_t2``)
        hold the means over the records, ``band`` the intervals.
        """
        result: dict[str, Any] = {"n": len(self.records)}
        band: dict[str, Any] = {
            "coverage_percent": 100 * COVERAGE,
            "confidence_percent": 100 * CONFIDENCE,
            "k": tolerance_factor(len(self.records)) if len(self.records) > 1 else None,
        }
        for period, suffix in ((self.t1, ""), (self.t2, "_t2")):
            if period is None:
                continue
            result[f"mean_error{suffix}_percent"] = period.mean_error_percent.mean
            result[f"trumpet{suffix}"] = [_mean_point(point) for point in period.trumpet]
            band[f"mean_error{suffix}_percent"] = period.mean_error_percent.to_json_dict()
            band[f"trumpet{suffix}"] = [point.to_json_dict() for point in period.trumpet]
        band["startup"] = self._startup_json()
        return result | {
            "band": band,
            "method": self.records[0].method_json_dict(),
            "records": [record.to_json_dict() for record in self.records],
            "notes": list(self.notes),
        }

    def _startup_json(self) -> list[dict[str, float | None]]:
        missing = [None] * len(self.startup_time_min)
        lower, upper = self.startup_lower_ml_h, self.startup_upper_ml_h
        columns = zip(
            self.startup_time_min.tolist(),
            self.startup_mean_ml_h.tolist(),
            missing if lower is None else lower.tolist(),
            missing if upper is None else upper.tolist(),
            strict=True,
        )
        keys = ("t_min", "mean_ml_h", "lower_ml_h", "upper_ml_h")
        return [dict(zip(keys, row, strict=True)) for row in columns]


def _mean_point(point: WindowBand) -> dict[str, float]:
    return {
        "window_min": point.window_min,
        "ep_max_percent": point.ep_max_percent.mean,
        "ep_min_percent": point.ep_min_percent.mean,
    }


def band_of(results: Sequence[Accuracy]) -> Band:
    """Put several results of one condition together.

    Args:
        results: at least one; all of one rate and one method.

    Raises:
        UsageError: if there is none, or they differ in rate or method.

    """
    if not results:
        raise UsageError("there are no records to put together", "", "Give at least one file.")
    first = results[0]
    for other in results[1:]:
        if (other.rate_ml_h, other.method) != (first.rate_ml_h, first.method):
            raise UsageError(
                f"{first.name} and {other.name} differ in rate or method",
                "",
                "A band is of one condition: analyse the conditions one at a time.",
            )
    notes = [f"{result.name}: {note}" for result in results for note in result.notes]
    if len(results) == 1:
        notes.append("One record has no tolerance interval; it takes two, better ten or more.")
    t2 = [result.t2 for result in results]
    time_min, flows_ml_h = _common_startup(results)
    lower, upper = _startup_limits(flows_ml_h)
    return Band(
        records=tuple(results),
        t1=_period_band([result.t1 for result in results]),
        t2=_period_band([p for p in t2 if p is not None]) if None not in t2 else None,
        startup_time_min=time_min,
        startup_mean_ml_h=flows_ml_h.mean(axis=0),
        startup_lower_ml_h=lower,
        startup_upper_ml_h=upper,
        notes=tuple(notes),
    )


def _period_band(periods: Sequence[Period]) -> PeriodBand:
    by_window = [{point.window_min: point for point in period.trumpet} for period in periods]
    common_min = [w for w in by_window[0] if all(w in points for points in by_window)]
    trumpet = [
        WindowBand(
            window_min,
            interval_of([points[window_min].ep_max_percent for points in by_window]),
            interval_of([points[window_min].ep_min_percent for points in by_window]),
        )
        for window_min in common_min
    ]
    mean_error = interval_of([period.mean_error_percent for period in periods])
    return PeriodBand(periods[0].name, mean_error, tuple(trumpet))


def _common_startup(results: Sequence[Accuracy]) -> tuple[Floats, Floats]:
    """Return the start-up times that all records have, and their flows (records, times)."""
    begin_min = max((r.startup_time_min[0] for r in results if len(r.startup_time_min)), default=0)
    count = min(int((r.startup_time_min >= begin_min).sum()) for r in results)
    flows, time_min = [], results[0].startup_time_min
    for result in results:
        first = int(np.searchsorted(result.startup_time_min, begin_min))
        flows.append(result.startup_flow_ml_h[first : first + count])
        time_min = result.startup_time_min[first : first + count]
    return time_min, np.array(flows)


def _startup_limits(flows_ml_h: Floats) -> tuple[Floats | None, Floats | None]:
    if len(flows_ml_h) == 1:
        return None, None
    mean = flows_ml_h.mean(axis=0)
    reach = tolerance_factor(len(flows_ml_h)) * flows_ml_h.std(axis=0, ddof=1)
    return mean - reach, mean + reach
