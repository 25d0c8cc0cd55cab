"""The figure of a comparison: volume, rate and error of the volume over time, device by device."""

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from micropump_host.accuracy.plots import STYLE
from micropump_host.compare.comparison import Comparison
from micropump_host.compare.judge import smoothed_rate_ml_h, smoothing_min

# Okabe and Ito's colours, which people with any kind of colour vision can tell apart.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
# A device is done when it delivers no more than this part of the intended volume.
_STILL_PART = 0.001
_LEAST_SHOWN = 1.05
_INK, _INTENT = "#222222", "#444444"


def compare_figure(comparison: Comparison) -> Figure:
    """Draw what was meant and what each device delivers.

    Above the volume, in the middle the rate smoothed over a window that is written at the axis,
    below the volume's error. The end of the intended time is a dashed line.
    """
    intent, deliveries = comparison.intent, comparison.deliveries
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.0, 10.0), layout="constrained")
        volume, rate, error = figure.subplots(3, 1, sharex=True, height_ratios=(1.1, 1.0, 1.0))
        heading = f"{comparison.order_id}: {intent.volume_ml:.4g} mL"
        figure.suptitle(heading, x=0.01, ha="left", fontsize=13, fontweight="bold")
        times_s = deliveries[0].times_s
        unit, per_s = ("h", 3600.0) if intent.duration_s >= 2 * 3600 else ("min", 60.0)
        x = times_s / per_s
        meant_ml = intent.volumes_ml(times_s)
        window_min = smoothing_min(intent)
        volume.plot(x, meant_ml, color=_INTENT, lw=3.2, alpha=0.35, label="intent")
        meant_ml_h = smoothed_rate_ml_h(times_s, meant_ml, window_min)
        rate.plot(x, meant_ml_h, color=_INTENT, lw=3.2, alpha=0.35, label="intent")
        for number, delivery in enumerate(deliveries):
            colour = _COLOURS[number % len(_COLOURS)]
            flow_ml_h = smoothed_rate_ml_h(times_s, delivery.volumes_ml, window_min)
            error_ml = delivery.volumes_ml - meant_ml
            volume.plot(x, delivery.volumes_ml, color=colour, lw=1.4, label=delivery.name)
            rate.plot(x, flow_ml_h, color=colour, lw=1.1, label=delivery.name)
            error.plot(x, error_ml, color=colour, lw=1.3, label=delivery.name)
        _finish(volume, "volume delivered (mL)")
        _finish(rate, f"rate, mean over {window_min:g} min (mL/h)")
        _finish(error, "volume delivered less intent (mL)")
        error.axhline(0.0, color=_INK, ls=":", lw=1)
        whole_ml = intent.volume_ml
        percent = error.secondary_yaxis(
            "right",
            functions=(lambda ml: 100.0 * ml / whole_ml, lambda part: part * whole_ml / 100.0),
        )
        percent.set_ylabel("% of the intended volume")
        error.set_xlabel(f"time from the start of the infusion ({unit})")
        error.set_xlim(0.0, _shown_s(comparison) / per_s)
        for axes in (volume, rate, error):
            axes.axvline(intent.duration_s / per_s, color=_INK, ls="--", lw=0.8)
        volume.legend(loc="lower right", fontsize=8.5, framealpha=0.9)
    return figure


def _shown_s(comparison: Comparison) -> float:
    """Return the time until which something happens, s."""
    shown_s = _LEAST_SHOWN * comparison.intent.duration_s
    for delivery in comparison.deliveries:
        done_ml = delivery.volumes_ml[-1] - _STILL_PART * comparison.intent.volume_ml
        done_s = float(delivery.times_s[np.searchsorted(delivery.volumes_ml, done_ml)])
        shown_s = max(shown_s, done_s)
    return shown_s


def _finish(axes: Axes, label: str) -> None:
    axes.set_ylabel(label)
    axes.grid(visible=True, color="#DDDDDD", lw=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
