"""Start-up curve, trumpet curve and mean error of one record, as IEC 60601-2-24:1998 has them.

With W the balance's reading in g (corrected for evaporation) at whole multiples of the sample
interval S in min, d the density in g/mL and r the set rate in mL/h:

- flow over the i-th interval: Q_i = 60 (W_i − W_{i−1}) / (S d), mL/h;
- error over a window of P minutes that begins at sample j:
  E_j = (S/P) Σ 100 (Q_i − r)/r over the P/S intervals of the window, in percent; Ep(max) and
  Ep(min) are its greatest and least over the m = (Tx − P)/S + 1 windows that the period Tx holds;
- mean error: 100 (Q − r)/r, Q the mean flow over the period: A over T1, B over T2.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from micropump_host.accuracy.method import Method, window_too_long
from micropump_host.accuracy.record import Record
from micropump_host.accuracy.table import Floats
from micropump_host.errors import MicropumpError, UsageError

WATER_DENSITY_G_ML = 0.998
STABLE_BAND_PERCENT = 10.0
STABLE_WINDOW_MIN = 5.0
MAX_GRID_POINTS = 20_000_000
# Part of a sample interval by which a time may miss a grid point and still be that point: times
# in a file are decimal and rarely exact in binary.
_GRID_TOLERANCE = 1e-6
_PERIOD_REMEDY = "Record for longer, or choose another period with --from-min and --to-min."


@dataclass(frozen=True)
class TrumpetPoint:
    """The extreme errors over all windows of one length.

    Attributes:
        window_min: length P of the window in minutes.
        ep_max_percent: greatest error of a window, percent of the set rate.
        ep_min_percent: least error.

    """

    window_min: float
    ep_max_percent: float
    ep_min_percent: float

    def to_json_dict(self) -> dict[str, float]:
        """Return the point under the names of its attributes."""
        return {
            "window_min": self.window_min,
            "ep_max_percent": self.ep_max_percent,
            "ep_min_percent": self.ep_min_percent,
        }


@dataclass(frozen=True)
class Period:
    """What was delivered in one analysis period.

    Attributes:
        name: ``T1`` or ``T2``.
        from_min: beginning, minutes from the start of the infusion.
        to_min: end.
        volume_ml: volume delivered in between, mL.
        mean_flow_ml_h: that volume over the length of the period, mL/h.
        mean_error_percent: its deviation from the set rate, percent (A of T1, B of T2).
        trumpet: the extreme errors, by window.

    """

    name: str
    from_min: float
    to_min: float
    volume_ml: float
    mean_flow_ml_h: float
    mean_error_percent: float
    trumpet: tuple[TrumpetPoint, ...]

    def to_json_dict(self) -> dict[str, float]:
        """Return the limits, volume and mean flow of the period."""
        return {
            "from_min": self.from_min,
            "to_min": self.to_min,
            "volume_ml": self.volume_ml,
            "mean_flow_ml_h": self.mean_flow_ml_h,
        }


@dataclass(frozen=True)
class Resampling:
    """How the record was brought to the sample interval S.

    Attributes:
        sample_count: samples in the record.
        median_interval_s: median time between them, seconds.
        max_interval_s: longest time between them, seconds.
        grid_count: points on the grid of whole multiples of S that the record covers.
        interpolated_count: those of them at which the record has no sample, so that the mass was
            interpolated linearly between its neighbours.

    """

    sample_count: int
    median_interval_s: float
    max_interval_s: float
    grid_count: int
    interpolated_count: int

    def to_json_dict(self) -> dict[str, Any]:
        """Return the attributes, and ``resampled``: whether anything was interpolated."""
        return {
            "resampled": self.interpolated_count > 0,
            "how": "linear interpolation of the mass at whole multiples of the sample interval",
            "sample_count": self.sample_count,
            "median_interval_s": self.median_interval_s,
            "max_interval_s": self.max_interval_s,
            "grid_count": self.grid_count,
            "interpolated_count": self.interpolated_count,
        }


@dataclass(frozen=True)
class Stabilisation:
    """When the flow came within ±10 % of the set rate for good.

    Attributes:
        time_min: the beginning of the first window (5 min long, or one sample interval where that
            is longer) from which on this and every later window has a mean flow within the band,
            minutes from the start of the infusion. None if there is no such window, or if what
            is left after its beginning is shorter than the longest observation window: a flow
            that swings past the set rate as the record ends has not settled.
        window_min: length of the window used.
        judged_until_min: end of the last window looked at: the end of the start-up period or of
            T1, whichever is later, or of the record.

    """

    time_min: float | None
    window_min: float
    judged_until_min: float

    def to_json_dict(self) -> dict[str, float | None]:
        """Return the attributes and the band."""
        return {
            "time_min": self.time_min,
            "band_percent": STABLE_BAND_PERCENT,
            "window_min": self.window_min,
            "judged_until_min": self.judged_until_min,
        }


@dataclass(frozen=True, eq=False)
class Accuracy:
    """How accurately one infusion was delivered.

    Attributes:
        name: name of the record.
        rate_ml_h: the set rate r, mL/h.
        method: intervals, windows and periods asked for.
        density_g_ml: density of the liquid, g/mL.
        evaporation_g_h: mass that evaporated from the vessel and was added back, g/h.
        startup_time_min: ends of the sample intervals of the start-up period T0, minutes from the
            start of the infusion, shape (n,); those that the record does not cover are left out.
        startup_flow_ml_h: mean flow over each of those intervals, mL/h, shape (n,).
        t1: analysis period T1.
        t2: analysis period T2, None where the method has none or the record cannot hold it.
        stabilisation: when the flow came within ±10 %.
        total_volume_ml: volume from the start of the infusion (or of the record, if later) to the
            last whole sample interval, mL.
        resampling: how the record was brought to the sample interval.
        notes: sentences that a reader of the numbers has to know.

    """

    name: str
    rate_ml_h: float
    method: Method
    density_g_ml: float
    evaporation_g_h: float
    startup_time_min: Floats
    startup_flow_ml_h: Floats
    t1: Period
    t2: Period | None
    stabilisation: Stabilisation
    total_volume_ml: float
    resampling: Resampling
    notes: tuple[str, ...]

    @property
    def mean_error_percent(self) -> float:
        """A, the mean error over T1 in percent of the set rate."""
        return self.t1.mean_error_percent

    @property
    def trumpet(self) -> tuple[TrumpetPoint, ...]:
        """The trumpet curve over T1."""
        return self.t1.trumpet

    def to_json_dict(self) -> dict[str, Any]:
        """Return everything as plain data; ``docs/accuracy.md`` explains the keys.

        ``mean_error_percent`` is A, ``trumpet`` the trumpet of T1; where there is a T2,
        ``mean_error_t2_percent`` is B and ``trumpet_t2`` its trumpet.
        """
        result: dict[str, Any] = {
            "record": self.name,
            "mean_error_percent": self.mean_error_percent,
            "trumpet": [point.to_json_dict() for point in self.trumpet],
        }
        if self.t2 is not None:
            result["mean_error_t2_percent"] = self.t2.mean_error_percent
            result["trumpet_t2"] = [point.to_json_dict() for point in self.t2.trumpet]
        startup = zip(self.startup_time_min.tolist(), self.startup_flow_ml_h.tolist(), strict=True)
        result |= {
            "startup": [{"t_min": t_min, "flow_ml_h": flow} for t_min, flow in startup],
            "stabilisation": self.stabilisation.to_json_dict(),
            "total_volume_ml": self.total_volume_ml,
            "method": self.method_json_dict(),
            "resampling": self.resampling.to_json_dict(),
            "notes": list(self.notes),
        }
        return result

    def method_json_dict(self) -> dict[str, Any]:
        """Return the conditions of the measurement as plain data."""
        periods: dict[str, Any] = {"t0": {"from_min": 0.0, "to_min": self.method.startup_min}}
        periods["t1"] = self.t1.to_json_dict()
        if self.t2 is not None:
            periods["t2"] = self.t2.to_json_dict()
        return {
            "kind": self.method.kind,
            "rate_ml_h": self.rate_ml_h,
            "sample_interval_min": self.method.sample_interval_min,
            "windows_min": [point.window_min for point in self.trumpet],
            "periods": periods,
            "density_g_ml": self.density_g_ml,
            "evaporation_g_h": self.evaporation_g_h,
        }


def check_conditions(rate_ml_h: float, density_g_ml: float, evaporation_g_h: float) -> None:
    """Refuse conditions that no measurement can have.

    Raises:
        UsageError: if the rate (mL/h) or the density (g/mL) is not above zero, or the evaporation
            (g/h) is negative, or one of them is not a number.

    """
    if not (math.isfinite(rate_ml_h) and rate_ml_h > 0):
        what = f"{rate_ml_h:g} mL/h is not a rate above zero"
        raise UsageError(what, "--rate", "Give the set rate in mL/h, as in --rate 5.")
    check_density(density_g_ml)
    if not (math.isfinite(evaporation_g_h) and evaporation_g_h >= 0):
        what = f"{evaporation_g_h:g} g/h is not an evaporation"
        remedy = "Give the mass that the vessel loses in an hour without inflow, 0 or more."
        raise UsageError(what, "--evaporation-g-h", remedy)


def check_density(density_g_ml: float) -> None:
    """Refuse a density (g/mL) that is not above zero.

    Raises:
        UsageError: if it is zero, negative or not a number.

    """
    if not (math.isfinite(density_g_ml) and density_g_ml > 0):
        what = f"{density_g_ml:g} g/mL is not a density above zero"
        raise UsageError(what, "--density-g-ml", "Water has 0.998 g/mL at 20 °C.")


def analyse(
    record: Record,
    rate_ml_h: float,
    method: Method,
    density_g_ml: float = WATER_DENSITY_G_ML,
    evaporation_g_h: float = 0.0,
) -> Accuracy:
    """Compute start-up curve, trumpet curve and mean errors of one record.

    The formulas are in the module's docstring. Time and memory grow linearly with the samples
    and with the grid points, per window.

    Args:
        record: readings of the balance; time zero is the start of the infusion.
        rate_ml_h: the set rate r in mL/h.
        method: sample interval, windows and periods.
        density_g_ml: density of the liquid in g/mL; class III water has 0.998.
        evaporation_g_h: mass that the vessel loses in an hour, in g/h; it is added back.

    Raises:
        UsageError: if a condition is impossible or a window that the user gave does not fit.
        MicropumpError: if the record does not cover the analysis period. One that ends less than
            a sample interval before the period does is used as it is, with a note.

    """
    check_conditions(rate_ml_h, density_g_ml, evaporation_g_h)
    delivery, resampling = _resample(record, method, density_g_ml, evaporation_g_h)
    notes = _resampling_notes(resampling, method)
    from_index, to_index = _t1_indices(record, method, delivery, notes)
    windows_min = _usable_windows_min(method, to_index - from_index, notes)
    t1 = _period("T1", delivery, (from_index, to_index), rate_ml_h, windows_min)
    t2 = _t2(delivery, method, rate_ml_h, t1, notes)
    time_min, flow_ml_h = _startup(delivery, method, notes)
    if t1.volume_ml < 0:
        notes.append(
            "The mass falls over T1, so the volume delivered counts as negative: the balance has "
            "to stand under the outlet, not under the supply."
        )
    return Accuracy(
        name=record.name,
        rate_ml_h=float(rate_ml_h),
        method=method,
        density_g_ml=float(density_g_ml),
        evaporation_g_h=float(evaporation_g_h),
        startup_time_min=time_min,
        startup_flow_ml_h=flow_ml_h,
        t1=t1,
        t2=t2,
        stabilisation=_stabilisation(delivery, method, to_index, rate_ml_h, windows_min[-1]),
        total_volume_ml=float(delivery.volume_ml[-1] - delivery.volume_ml[0]),
        resampling=resampling,
        notes=tuple(notes),
    )


@dataclass(frozen=True, eq=False)
class _Delivery:
    """Cumulative volume at whole multiples of the sample interval.

    ``volume_ml[0]`` belongs to ``first_index`` sample intervals after the start. A cumulative
    sum of the flows Q_i times S/60 is what this is, so a window costs one subtraction.
    """

    first_index: int
    interval_min: float
    volume_ml: Floats

    @property
    def last_index(self) -> int:
        return self.first_index + len(self.volume_ml) - 1

    def between(self, from_index: int, to_index: int) -> Floats:
        return self.volume_ml[from_index - self.first_index : to_index - self.first_index + 1]


def _resample(
    record: Record, method: Method, density_g_ml: float, evaporation_g_h: float
) -> tuple[_Delivery, Resampling]:
    interval_min = method.sample_interval_min
    start, end = record.time_s[[0, -1]] / (60 * interval_min)
    first_index = max(0, math.ceil(start - _GRID_TOLERANCE))
    last_index = math.floor(end + _GRID_TOLERANCE)
    if last_index - first_index >= MAX_GRID_POINTS:
        what = f"S = {interval_min:g} min makes more than {MAX_GRID_POINTS} points of this record"
        raise UsageError(what, "--sample-interval-min", "Choose a longer sample interval.")
    if last_index <= first_index:
        _raise_not_covered(record, method)
    time_s = np.arange(first_index, last_index + 1) * (60 * interval_min)
    mass_g = np.interp(time_s, record.time_s, record.mass_g) + evaporation_g_h * time_s / 3600
    spacing_s = np.diff(record.time_s)
    resampling = Resampling(
        sample_count=len(record.time_s),
        median_interval_s=float(np.median(spacing_s)),
        max_interval_s=float(spacing_s.max()),
        grid_count=len(time_s),
        interpolated_count=_count_missing(time_s, record.time_s, _GRID_TOLERANCE * interval_min),
    )
    return _Delivery(first_index, interval_min, mass_g / density_g_ml), resampling


def _count_missing(time_s: Floats, sampled_s: Floats, tolerance_min: float) -> int:
    """Count the times that are none of the sampled (increasing) times."""
    right = np.searchsorted(sampled_s, time_s).clip(0, len(sampled_s) - 1)
    left = (right - 1).clip(0)
    distance_s = np.minimum(abs(sampled_s[right] - time_s), abs(sampled_s[left] - time_s))
    return int(np.count_nonzero(distance_s > 60 * tolerance_min))


def _resampling_notes(resampling: Resampling, method: Method) -> list[str]:
    notes = []
    if resampling.interpolated_count:
        notes.append(
            f"Resampled: {resampling.interpolated_count} of {resampling.grid_count} points, "
            f"{method.sample_interval_min:g} min apart, fall between samples and were "
            f"interpolated linearly (record: {resampling.sample_count} samples, median interval "
            f"{resampling.median_interval_s:.3g} s, longest {resampling.max_interval_s:.3g} s)."
        )
    if resampling.max_interval_s > 60 * method.sample_interval_min * (1 + _GRID_TOLERANCE):
        notes.append(
            f"The longest time between two samples, {resampling.max_interval_s:.4g} s, exceeds "
            f"the sample interval of {method.sample_interval_min:g} min; what the flow did in "
            "between was not seen, so short windows may look better than they were."
        )
    return notes


def _t1_indices(
    record: Record, method: Method, delivery: _Delivery, notes: list[str]
) -> tuple[int, int]:
    from_index, to_index = method.intervals(method.from_min), method.intervals(method.to_min)
    if from_index is None or to_index is None:
        raise UsageError(
            "the analysis period is not whole sample intervals",
            f"{method.from_min:g} to {method.to_min:g} min",
            "Choose --from-min and --to-min as multiples of the sample interval.",
        )
    if delivery.first_index > from_index or delivery.last_index < to_index - 1:
        _raise_not_covered(record, method)
    if delivery.last_index == to_index - 1:
        to_index -= 1
        notes.append(
            f"The record ends at {record.time_s[-1] / 60:.6g} min, short of the end of T1 at "
            f"{method.to_min:g} min; T1 was taken to end at "
            f"{to_index * method.sample_interval_min:g} min."
        )
    if to_index <= from_index:
        _raise_not_covered(record, method)
    return from_index, to_index


def _raise_not_covered(record: Record, method: Method) -> None:
    start_min, end_min = record.time_s[[0, -1]] / 60
    raise MicropumpError(
        f"the record goes from {start_min:.6g} to {end_min:.6g} min, and the analysis period T1 "
        f"({method.kind}) needs it to cover {method.from_min:g} to {method.to_min:g} min",
        record.name,
        _PERIOD_REMEDY,
    )


def _usable_windows_min(method: Method, period_samples: int, notes: list[str]) -> list[float]:
    usable, left_out = [], []
    for window_min in method.windows_min:
        samples = method.intervals(window_min)
        if samples and samples <= period_samples:
            usable.append(window_min)
        elif method.windows_are_given:
            raise window_too_long(window_min, period_samples * method.sample_interval_min)
        else:
            left_out.append(f"{window_min:g}")
    if not usable:
        raise UsageError(
            f"none of the windows {', '.join(left_out)} min fits the period and sample interval",
            "--windows-min",
            "Give windows that are multiples of the sample interval and no longer than the period.",
        )
    if left_out:
        notes.append(
            f"Windows left out, as they do not fit the period and the sample interval: "
            f"{', '.join(left_out)} min."
        )
    return usable


def _error_percent(flow_ml_h: Floats, rate_ml_h: float) -> Floats:
    return 100.0 * (flow_ml_h - rate_ml_h) / rate_ml_h


def _window_errors_percent(
    volume_ml: Floats, samples: int, interval_min: float, rate_ml_h: float
) -> Floats:
    """Return the error over every window of so many sample intervals."""
    flow_ml_h = 60.0 * (volume_ml[samples:] - volume_ml[:-samples]) / (samples * interval_min)
    return _error_percent(flow_ml_h, rate_ml_h)


def _period(
    name: str,
    delivery: _Delivery,
    limits: tuple[int, int],
    rate_ml_h: float,
    windows_min: list[float],
) -> Period:
    from_index, to_index = limits
    volume_ml = delivery.between(from_index, to_index)
    interval_min = delivery.interval_min
    trumpet = []
    for window_min in windows_min:
        samples = round(window_min / interval_min)
        errors_percent = _window_errors_percent(volume_ml, samples, interval_min, rate_ml_h)
        extremes = float(errors_percent.max()), float(errors_percent.min())
        trumpet.append(TrumpetPoint(window_min, *extremes))
    whole = _window_errors_percent(volume_ml, to_index - from_index, interval_min, rate_ml_h)
    length_min = (to_index - from_index) * interval_min
    delivered_ml = float(volume_ml[-1] - volume_ml[0])
    return Period(
        name=name,
        from_min=from_index * interval_min,
        to_min=to_index * interval_min,
        volume_ml=delivered_ml,
        mean_flow_ml_h=60.0 * delivered_ml / length_min,
        mean_error_percent=float(whole[0]),
        trumpet=tuple(trumpet),
    )


def _t2(
    delivery: _Delivery,
    method: Method,
    rate_ml_h: float,
    t1: Period,
    notes: list[str],
) -> Period | None:
    if method.t2_length_min is None:
        return None
    samples = int(method.t2_length_min / method.sample_interval_min + _GRID_TOLERANCE)
    to_index = delivery.last_index
    if samples < 1 or to_index - samples < delivery.first_index:
        notes.append(
            f"There is no T2: the record is shorter than {method.t2_length_min:g} min, the last "
            "part of the infusion that T2 stands for."
        )
        return None
    windows_min = [point.window_min for point in t1.trumpet]
    fitting = [w for w in windows_min if round(w / method.sample_interval_min) <= samples]
    t2 = _period("T2", delivery, (to_index - samples, to_index), rate_ml_h, fitting)
    if (t2.from_min, t2.to_min) == (t1.from_min, t1.to_min):
        notes.append("T2, the last part of the record, is the same time as T1.")
    return t2


def _startup(delivery: _Delivery, method: Method, notes: list[str]) -> tuple[Floats, Floats]:
    interval_min = method.sample_interval_min
    asked_index = int(method.startup_min / interval_min + _GRID_TOLERANCE)
    to_index = max(min(delivery.last_index, asked_index), delivery.first_index)
    if delivery.first_index > 0 or to_index < asked_index:
        notes.append(
            f"The start-up curve covers {delivery.first_index * interval_min:g} to "
            f"{to_index * interval_min:g} min of the {method.startup_min:g} min of T0: the record "
            "has no more of it."
        )
    volume_ml = delivery.between(delivery.first_index, to_index)
    indices = np.arange(delivery.first_index + 1, to_index + 1, dtype=np.float64)
    time_min: Floats = indices * interval_min
    return time_min, 60.0 * np.diff(volume_ml) / interval_min


def _stabilisation(
    delivery: _Delivery,
    method: Method,
    t1_end_index: int,
    rate_ml_h: float,
    longest_window_min: float,
) -> Stabilisation:
    interval_min = method.sample_interval_min
    samples = max(1, math.ceil(STABLE_WINDOW_MIN / interval_min - _GRID_TOLERANCE))
    startup_index = int(method.startup_min / interval_min + _GRID_TOLERANCE)
    end_index = min(delivery.last_index, max(startup_index, t1_end_index))
    window_min, until_min = samples * interval_min, end_index * interval_min
    volume_ml = delivery.between(delivery.first_index, end_index)
    if len(volume_ml) <= samples:
        return Stabilisation(None, window_min, until_min)
    errors_percent = _window_errors_percent(volume_ml, samples, interval_min, rate_ml_h)
    outside = np.flatnonzero(abs(errors_percent) > STABLE_BAND_PERCENT + 1e-9)
    begin_index = delivery.first_index + (int(outside[-1]) + 1 if len(outside) else 0)
    time_min: float | None = begin_index * interval_min
    if (end_index - begin_index) * interval_min < max(window_min, longest_window_min):
        time_min = None
    return Stabilisation(time_min, window_min, until_min)
