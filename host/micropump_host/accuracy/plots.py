"""Figures of the accuracy results: start-up curve, trumpet curve, bolus series.

Every function returns a matplotlib ``Figure`` that belongs to no window and no global state. The
SVG of a figure is the same, byte for byte, each time it is made by one version of matplotlib.
"""

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, MultipleLocator

from micropump_host.accuracy.bands import Band, PeriodBand, WindowBand
from micropump_host.accuracy.bolus import BolusAccuracy
from micropump_host.accuracy.iec import Accuracy, Period
from micropump_host.accuracy.table import Floats
from micropump_host.errors import MicropumpError

# Okabe and Ito's colours, which people with any kind of colour vision can tell apart.
_BLUE, _VERMILION, _GREY, _BLACK = "#0072B2", "#D55E00", "#8A8A8A", "#222222"
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "micropump",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],
    "font.size": 9.5,
}
_PNG_DPI = 150
# Room between axes and title for two lines of parameters, points.
_TITLE_PAD_PT = 40
_TRUMPET_LIMIT_PERCENT = 15.0
_TRUMPET_STEP_PERCENT = 5.0
_TRUMPET_LIMIT_MIN = 31.0
_STARTUP_LIMIT_MIN = 120.0
_STARTUP_STEP = 0.2
_MAX_GRID_LINES = 24


def startup_figure(result: Accuracy | Band) -> Figure:
    """Draw the flow over the start-up period.

    The flow axis goes from −0.2r to 2r in steps of 0.2r and the time axis from 0 to 120 min (IEC
    60601-2-24); they are longer where the data is, and the plot says so. Of several records the
    curves are drawn faintly, with their mean and the 90/90 tolerance band.
    """
    records = _records(result)
    rate_ml_h = records[0].rate_ml_h
    figure, axes = _new_figure("Start-up curve", records, "T0")
    single = len(records) == 1
    for record in records:
        colour, width, alpha = (_BLUE, 1.1, 1.0) if single else (_GREY, 0.6, 0.6)
        x, y = _steps(record.startup_time_min, record.startup_flow_ml_h, record)
        label = None if record is not records[0] else "flow" if single else "records"
        axes.plot(x, y, color=colour, lw=width, alpha=alpha, label=label)
    clipped = _startup_band(axes, result) if isinstance(result, Band) else None
    axes.axhline(rate_ml_h, color=_BLACK, ls=":", lw=1, label=f"set rate r = {rate_ml_h:g} mL/h")
    flows = np.concatenate([record.startup_flow_ml_h for record in records]) / rate_ml_h
    limits = _axis(axes, flows, (-0.2, 2.0), _STARTUP_STEP, rate_ml_h)
    end_min = max([_STARTUP_LIMIT_MIN, *(r.method.startup_min for r in records)])
    _time_axis(axes, end_min)
    axes.set_xlabel("time from the start of the infusion (min)")
    axes.set_ylabel("flow (mL/h)")
    relative = axes.secondary_yaxis("right", functions=_scaling(rate_ml_h))
    relative.set_ylabel("flow / set rate")
    relative.yaxis.set_major_locator(MultipleLocator(limits.step))
    remarks = ["flow axis extended beyond −0.2r to 2r"] if limits.extended else []
    if clipped is not None and (clipped < limits.low or clipped > limits.high):
        remarks.append("band cut off at the axis")
    _finish(axes, remarks)
    return figure


def trumpet_figure(result: Accuracy | Band, period: str = "T1") -> Figure:
    """Draw the trumpet curve of a period.

    The error axis goes from −15 to +15 % in steps of 5 % and the window axis from 0 to 31 min (IEC
    60601-2-24); they are longer where the data is, and the plot says so. The mean error of the
    period is solid, zero dotted. Of several records the curves are drawn faintly, with their
    means and the 90/90 tolerance bands.

    Args:
        result: one record's result or a band.
        period: ``T1`` or ``T2``.

    Raises:
        MicropumpError: if the result has no such period.

    """
    records = _records(result)
    shown = [found for record in records if (found := _period(record, period)) is not None]
    if len(shown) < len(records):
        raise MicropumpError(f"there is no {period} to draw", records[0].name, "Draw T1.")
    figure, axes = _new_figure(f"Trumpet curve, {period}", records, period)
    values = [_error_values(found) for found in shown]
    if isinstance(result, Band) and len(records) > 1:
        values.append(_trumpet_band(axes, result, period, shown))
    else:
        _trumpet_single(axes, shown[0])
    axes.axhline(0, color=_BLACK, ls=":", lw=1)
    scale = (-_TRUMPET_LIMIT_PERCENT, _TRUMPET_LIMIT_PERCENT)
    limits = _axis(axes, np.concatenate(values), scale, _TRUMPET_STEP_PERCENT, 1.0)
    windows_min = [point.window_min for found in shown for point in found.trumpet]
    end_min = max([_TRUMPET_LIMIT_MIN, *windows_min])
    axes.set_xlim(0, end_min)
    axes.set_xticks(_window_ticks(windows_min, end_min))
    axes.set_xlabel("observation window P (min)")
    axes.set_ylabel("error of the flow (% of the set rate)")
    _finish(axes, ["error axis extended beyond ±15 %"] if limits.extended else [])
    return figure


def bolus_figure(result: BolusAccuracy) -> Figure:
    """Draw the deviation of every bolus of a series, with mean and extremes."""
    figure, axes = _empty_figure("Bolus series")
    count = len(result.error_percent)
    lines = [
        f"set bolus {result.bolus_ml:g} mL · n = {count} boluses · density "
        f"{result.density_g_ml:g} g/mL",
        f"record: {result.name}",
    ]
    _subtitle(axes, lines)
    numbers = np.arange(1, count + 1)
    axes.bar(numbers, result.error_percent, color=_BLUE, width=0.7)
    axes.axhline(0, color=_BLACK, lw=0.8)
    mean = result.mean_error_percent
    axes.axhline(mean, color=_VERMILION, lw=1.5, label=f"mean {_signed(mean)}")
    extremes = (result.max_deviation_percent, result.min_deviation_percent)
    for value, word in zip(extremes, ("max", "min"), strict=True):
        label = f"{word} {_signed(value)}"
        axes.axhline(value, color=_GREY, ls="--", lw=1, label=label)
    axes.margins(x=0.02, y=0.12)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("bolus n")
    axes.set_ylabel("deviation (% of the set bolus)")
    _finish(axes, [])
    return figure


def figure_to_svg(figure: Figure) -> str:
    """Return a figure as one ``<svg>`` element that can stand inside an HTML page."""
    with mpl.rc_context(STYLE):
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def save_figure(figure: Figure, path_without_suffix: Path | str) -> tuple[Path, Path]:
    """Write a figure as PNG and SVG.

    Args:
        figure: what to write.
        path_without_suffix: where; ``.png`` and ``.svg`` are added.

    Returns:
        The paths of the two files, PNG first.

    Raises:
        MicropumpError: if a file cannot be written.

    """
    base = Path(path_without_suffix)
    png, svg = (base.with_name(base.name + suffix) for suffix in (".png", ".svg"))
    try:
        with mpl.rc_context(STYLE):
            figure.savefig(png, dpi=_PNG_DPI)
            figure.savefig(svg, metadata={"Date": None})
    except OSError as error:
        what = f"cannot write the plot: {error.strerror or error}"
        raise MicropumpError(what, str(base.parent), "Choose another folder.") from error
    return png, svg


def _scaling(rate_ml_h: float) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """Return the functions from mL/h to parts of the set rate and back, for any array."""
    return (lambda flow_ml_h: flow_ml_h / rate_ml_h), (lambda part: part * rate_ml_h)


@dataclass(frozen=True)
class _Limits:
    """Limits of an axis, in steps' units, and whether they are beyond the standard's."""

    low: float
    high: float
    step: float
    extended: bool


def _records(result: Accuracy | Band) -> tuple[Accuracy, ...]:
    return result.records if isinstance(result, Band) else (result,)


def _period(record: Accuracy, name: str) -> Period | None:
    return {"T1": record.t1, "T2": record.t2}.get(name)


def _empty_figure(title: str) -> tuple[Figure, Axes]:
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.0, 5.2), layout="constrained")
        axes = figure.add_subplot()
        axes.set_title(title, loc="left", pad=_TITLE_PAD_PT, fontsize=13, fontweight="bold")
    return figure, axes


def _new_figure(title: str, records: Sequence[Accuracy], period_name: str) -> tuple[Figure, Axes]:
    figure, axes = _empty_figure(title)
    _subtitle(axes, _parameter_lines(records, period_name))
    return figure, axes


def _subtitle(axes: Axes, lines: Sequence[str]) -> None:
    axes.annotate(
        "\n".join(lines),
        xy=(0, 1),
        xycoords="axes fraction",
        xytext=(0, 7),
        textcoords="offset points",
        fontsize=8.5,
        color="#444444",
        linespacing=1.5,
    )


def _parameter_lines(records: Sequence[Accuracy], period_name: str) -> list[str]:
    first = records[0]
    period = _period(first, period_name)
    span = (0.0, first.method.startup_min) if period is None else (period.from_min, period.to_min)
    windows = ", ".join(f"{point.window_min:g}" for point in first.trumpet)
    names = ", ".join(record.name for record in records[:3]) + (" …" if len(records) > 3 else "")
    return [
        f"r = {first.rate_ml_h:g} mL/h · S = {first.method.sample_interval_min:g} min · "
        f"P = {windows} min · {period_name} = {span[0]:g} to {span[1]:g} min",
        f"{first.method.kind} pump · density {first.density_g_ml:g} g/mL · evaporation "
        f"{first.evaporation_g_h:g} g/h · n = {len(records)} · record: {names}",
    ]


def _steps(time_min: Floats, flow_ml_h: Floats, record: Accuracy) -> tuple[Floats, Floats]:
    """Return the corners of a curve that is constant over each sample interval."""
    begin_min = time_min - record.method.sample_interval_min
    x = np.stack([begin_min, time_min], axis=1).ravel()
    return x, np.repeat(flow_ml_h, 2)


def _startup_band(axes: Axes, band: Band) -> float | None:
    """Draw the mean and its band; return the band's farthest point from r in parts of r."""
    if len(band.records) == 1:
        return None
    first = band.records[0]
    x, mean = _steps(band.startup_time_min, band.startup_mean_ml_h, first)
    if band.startup_lower_ml_h is None or band.startup_upper_ml_h is None or not len(x):
        return None
    lower = _steps(band.startup_time_min, band.startup_lower_ml_h, first)[1]
    upper = _steps(band.startup_time_min, band.startup_upper_ml_h, first)[1]
    axes.fill_between(x, lower, upper, color=_BLUE, alpha=0.18, lw=0, label=_band_label(band))
    axes.plot(x, mean, color=_BLUE, lw=1.3, label="mean")
    ends = np.array([lower.min(), upper.max()]) / first.rate_ml_h
    return float(ends[np.argmax(abs(ends - 1))])


def _band_label(band: Band) -> str:
    return f"90/90 tolerance band, n = {len(band.records)}"


def _trumpet_single(axes: Axes, period: Period) -> None:
    windows = [point.window_min for point in period.trumpet]
    highest = [point.ep_max_percent for point in period.trumpet]
    lowest = [point.ep_min_percent for point in period.trumpet]
    _edge(axes, windows, highest, "max", "Ep(max)")
    _edge(axes, windows, lowest, "min", "Ep(min)")
    _mean_line(axes, period.name, period.mean_error_percent)


def _edge(
    axes: Axes, windows_min: Sequence[float], errors: Sequence[float], side: str, label: str
) -> None:
    colour, marker = (_BLUE, "v") if side == "max" else (_VERMILION, "^")
    # The last window lies on the edge of the axes, and its mark would be cut in half.
    axes.plot(windows_min, errors, color=colour, marker=marker, lw=1.5, label=label, clip_on=False)


def _mean_line(axes: Axes, period_name: str, mean_percent: float) -> None:
    letter = "A" if period_name == "T1" else "B"
    label = f"mean error {letter} = {_signed(mean_percent)}"
    axes.axhline(mean_percent, color=_BLACK, lw=1.5, label=label)


def _signed(percent: float) -> str:
    return f"{percent:+.2f} %".replace("-", "−")


def _trumpet_band(axes: Axes, band: Band, name: str, shown: Sequence[Period]) -> Floats:
    """Draw the records, their means and bands; return all limits of the bands."""
    for period in shown:
        windows = [point.window_min for point in period.trumpet]
        for values in ("ep_max_percent", "ep_min_percent"):
            errors = [getattr(point, values) for point in period.trumpet]
            axes.plot(windows, errors, color=_GREY, lw=0.7, alpha=0.8)
    period_band = band.t1 if name == "T1" else band.t2
    if period_band is None:
        raise MicropumpError(f"there is no {name} to draw", band.records[0].name, "Draw T1.")
    return np.concatenate(
        [
            _trumpet_edge(axes, period_band.trumpet, "max", _band_label(band)),
            _trumpet_edge(axes, period_band.trumpet, "min", None),
            _mean_error_band(axes, period_band),
        ]
    )


def _trumpet_edge(
    axes: Axes, trumpet: Sequence[WindowBand], side: str, label: str | None
) -> Floats:
    intervals = [
        point.ep_max_percent if side == "max" else point.ep_min_percent for point in trumpet
    ]
    windows_min = [point.window_min for point in trumpet]
    lower = [interval.mean if interval.lower is None else interval.lower for interval in intervals]
    upper = [interval.mean if interval.upper is None else interval.upper for interval in intervals]
    colour = _BLUE if side == "max" else _VERMILION
    axes.fill_between(windows_min, lower, upper, color=colour, alpha=0.18, lw=0, label=label)
    means = [interval.mean for interval in intervals]
    _edge(axes, windows_min, means, side, f"mean Ep({side})")
    return np.array([*lower, *upper])


def _mean_error_band(axes: Axes, band: PeriodBand) -> Floats:
    interval = band.mean_error_percent
    _mean_line(axes, band.name, interval.mean)
    if interval.lower is None or interval.upper is None:
        return np.array([interval.mean])
    label = f"its 90/90 band, {_signed(interval.lower)} to {_signed(interval.upper)}"
    for limit, text in ((interval.upper, label), (interval.lower, None)):
        axes.axhline(limit, color=_BLACK, ls="--", lw=0.9, label=text)
    return np.array([interval.lower, interval.upper])


def _error_values(period: Period) -> Floats:
    extremes = [(point.ep_max_percent, point.ep_min_percent) for point in period.trumpet]
    return np.array([period.mean_error_percent, *np.ravel(extremes)])


def _axis(
    axes: Axes, values: Floats, standard: tuple[float, float], step: float, unit: float
) -> _Limits:
    """Set limits and grid of the y axis, all in the given unit, so that the values are on it."""
    low, high = standard
    least, greatest = float(values.min(initial=low)), float(values.max(initial=high))
    # Rounding in the last digit must not add a grid line.
    extended = least < low - 1e-9 * step or greatest > high + 1e-9 * step
    if extended:
        step *= _coarser((greatest - least) / step / _MAX_GRID_LINES)
        low = min(low, math.floor(least / step) * step)
        high = max(high, math.ceil(greatest / step) * step)
    axes.set_ylim(low * unit, high * unit)
    axes.yaxis.set_major_locator(MultipleLocator(step * unit))
    return _Limits(low, high, step, extended)


def _coarser(factor: float) -> float:
    """Return the least of 1, 2, 5, 10, 20 … that is not below the factor."""
    if factor <= 1:
        return 1.0
    power = 10.0 ** math.floor(math.log10(factor))
    return next(power * digit for digit in (1, 2, 5, 10) if power * digit >= factor)


def _time_axis(axes: Axes, end_min: float) -> None:
    axes.set_xlim(0, end_min)
    axes.xaxis.set_major_locator(MultipleLocator(10 * _coarser(end_min / 120)))


def _window_ticks(windows_min: Sequence[float], end_min: float) -> list[float]:
    """Return zero and the windows, without those whose labels would touch the one before."""
    ticks: list[float] = []
    for tick in sorted({0.0, *windows_min}, reverse=True):
        if not ticks or ticks[-1] - tick >= end_min / 30:
            ticks.append(tick)
    return ticks[::-1]


def _finish(axes: Axes, remarks: Sequence[str]) -> None:
    with mpl.rc_context(STYLE):
        axes.grid(visible=True, color="#DDDDDD", lw=0.6)
        axes.set_axisbelow(True)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        axes.legend(loc="best", fontsize=8.5, framealpha=0.9)
        if remarks:
            axes.text(
                0.995,
                0.01,
                "; ".join(remarks),
                transform=axes.transAxes,
                ha="right",
                fontsize=8.5,
                style="italic",
                color=_VERMILION,
            )
