"""Figures of an occlusion's disclosure: time to alarm, bolus on release, the course of a run."""

from collections.abc import Callable, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from micropump_host.accuracy.occlusion import PUBLISHED, Alarm, Disclosure, OcclusionRow, Trace
from micropump_host.accuracy.plots import STYLE

# Okabe and Ito's colours, which people with any kind of colour vision can tell apart.
_BLUE, _VERMILION, _GREEN, _INK = "#0072B2", "#D55E00", "#009E73", "#222222"
_COLOURS = (_BLUE, _VERMILION, _GREEN, "#CC79A7", "#E69F00", "#56B4E9")
_PUBLISHED_STYLES = ("--", ":")
_BAR_WIDTH = 0.27
# Where the published figures can be read.
_NEAR_ML = 0.35
_SECONDS_PER_MINUTE = 60.0
# Of a run so much is shown after the last thing that happened.
_SHOWN_PART, _SHOWN_S = 1.05, 15.0


def time_figure(disclosure: Disclosure) -> Figure:
    """Draw the time to alarm over the rate, both logarithmic, with a colour for each threshold.

    Alarms by level are solid; those by slope, which know no threshold, are black and dashed.
    """
    rows = disclosure.rows
    with mpl.rc_context(STYLE):
        figure, axes = _new("Time to the occlusion alarm", disclosure.description)
        for number, level_kpa in enumerate(sorted({row.level_kpa for row in rows})):
            of_level = [row for row in rows if row.level_kpa == level_kpa]
            colour = _COLOURS[number % len(_COLOURS)]
            points = _points(of_level, lambda row: row.by_level)
            axes.plot(
                *points, "o-", color=colour, lw=1.4, ms=4, label=f"by level, {level_kpa:g} kPa"
            )
        points = _points(rows, lambda row: row.by_slope)
        axes.plot(*points, "s--", color=_INK, lw=1.4, ms=4, label="by slope")
        axes.set_xscale("log")
        axes.set_yscale("log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.set_xticks(sorted({row.rate_ml_h for row in rows}))
        axes.minorticks_off()
        axes.set_xlabel("rate (mL/h)")
        axes.set_ylabel("from the closing of the line to the alarm (min)")
        axes.legend(loc="upper right", frameon=False)
        _finish(axes)
    return figure


def bolus_figure(disclosure: Disclosure) -> Figure:
    """Draw what comes out of the line when it is opened, above all of it, below up to 0.35 mL.

    Three bars for each rate and threshold: after an alarm by level alone, after the pump's alarm
    without its back-off, and after its back-off. What makers publish are lines.
    """
    rows = disclosure.rows
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.0, 7.0), layout="constrained")
        title = f"Bolus on release\n{disclosure.description}"
        figure.suptitle(title, x=0.01, ha="left", fontsize=11)
        whole, near = figure.subplots(2, 1, sharex=True)
        for axes in (whole, near):
            for number, (label, colour, alarm_of) in enumerate(_BARS):
                at = np.arange(len(rows)) + (number - 1) * _BAR_WIDTH
                boluses_ml = [_bolus_ml(alarm_of(row)) for row in rows]
                axes.bar(at, boluses_ml, _BAR_WIDTH, color=colour, label=label)
            for each, style in zip(PUBLISHED, _PUBLISHED_STYLES, strict=True):
                label = f"{each.pump}: {each.bolus_ml:g} mL"
                axes.axhline(each.bolus_ml, color=_INK, ls=style, lw=1.0, label=label)
            axes.set_ylabel("bolus (mL)")
            _finish(axes)
        least_ml = min([_bolus_ml(alarm_of(row)) for row in rows for *_, alarm_of in _BARS])
        near.set_ylim(min(-0.01, 1.1 * least_ml), _NEAR_ML)
        handles, labels = whole.get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=8.5
        )
        near.set_xticks(
            np.arange(len(rows)), [f"{row.rate_ml_h:g}\n{row.level_kpa:g}" for row in rows]
        )
        near.set_xlabel("rate (mL/h) and threshold (kPa)")
    return figure


def trace_figure(trace: Trace) -> Figure:
    """Draw the pressure of one run, and what came out of the line since it was closed."""
    last_s = max([at_s for at_s, _ in trace.marks], default=float(trace.time_s[-1]))
    end_s = min(float(trace.time_s[-1]), last_s * _SHOWN_PART + _SHOWN_S)
    unit, per_s = ("min", _SECONDS_PER_MINUTE) if end_s >= 300.0 else ("s", 1.0)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.0, 5.6), layout="constrained")
        figure.suptitle(
            f"A line that is closed at 0\n{trace.title}", x=0.01, ha="left", fontsize=11
        )
        pressure, volume = figure.subplots(2, 1, sharex=True, height_ratios=(1.6, 1.0))
        x = trace.time_s / per_s
        pressure.plot(x, trace.pressure_kpa, color=_BLUE, lw=1.3)
        volume.plot(x, trace.volume_ml * 1000.0, color=_VERMILION, lw=1.3)
        for axes in (pressure, volume):
            for at_s, _ in trace.marks:
                axes.axvline(at_s / per_s, color=_INK, ls=":", lw=0.9)
            _finish(axes)
        # Side by side they would lie on each other: the last of them is told to its right.
        for number, (at_s, what) in enumerate(trace.marks):
            is_last = number == len(trace.marks) - 1
            pressure.annotate(
                what,
                (at_s / per_s, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(3 if is_last else -3, -3),
                textcoords="offset points",
                ha="left" if is_last else "right",
                va="top",
                fontsize=8.5,
            )
        pressure.set_xlim(float(trace.time_s[0]) / per_s, end_s / per_s)
        pressure.set_ylabel("pressure in the line (kPa)")
        volume.set_ylabel("out of the line (µL)")
        volume.set_xlabel(f"time from the closing of the line ({unit})")
    return figure


_BARS: tuple[tuple[str, str, Callable[[OcclusionRow], Alarm | None]], ...] = (
    ("after an alarm by level alone, no back-off", _VERMILION, lambda row: row.by_level),
    ("after the first alarm, no back-off", _BLUE, lambda row: row.unrelieved),
    ("after the back-off", _GREEN, lambda row: row.relieved),
)


def _points(
    rows: Sequence[OcclusionRow], alarm_of: Callable[[OcclusionRow], Alarm | None]
) -> tuple[list[float], list[float]]:
    """Return rates and times in minutes, by rate, each of them once."""
    times = {
        (row.rate_ml_h, alarm.time_s / _SECONDS_PER_MINUTE)
        for row in rows
        if (alarm := alarm_of(row)) is not None
    }
    ordered = sorted(times)
    return [rate_ml_h for rate_ml_h, _ in ordered], [time_min for _, time_min in ordered]


def _bolus_ml(alarm: Alarm | None) -> float:
    return alarm.bolus_ml if alarm is not None and alarm.bolus_ml is not None else 0.0


def _new(title: str, description: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(9.0, 5.2), layout="constrained")
    figure.suptitle(f"{title}\n{description}", x=0.01, ha="left", fontsize=11)
    return figure, figure.subplots()


def _finish(axes: Axes) -> None:
    axes.grid(visible=True, color="#DDDDDD", lw=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
