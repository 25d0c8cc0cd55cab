"""Receiver-operating curves of the detectors, and the times of what they found."""

from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from micropump_host.accuracy.plots import STYLE
from micropump_host.evidence.campaign import Row

# Okabe and Ito's colours, which people with any kind of colour vision can tell apart.
_FOUND, _FALSE, _CHOSEN = "#0072B2", "#D55E00", "#009E73"


def curve_figure(name: str, curve: dict[str, Any]) -> Figure:
    """Draw a detector's curve, and both of its shares over the threshold.

    On the left the share that is found over the share of open infusions with a false alarm, on the
    right both over the threshold, with their confidence limits. What the pump uses is marked.
    """
    values = curve["values"]
    found = [100.0 * point["count"] / max(1, point["of"]) for point in curve["found"]]
    false = [100.0 * point["count"] / max(1, point["of"]) for point in curve["false"]]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.5, 3.9), layout="constrained")
        roc, over = figure.subplots(1, 2)
        figure.suptitle(
            f"{name}: {curve['cases']} cases, {curve['open']} open infusions",
            x=0.01,
            ha="left",
            fontsize=12,
            fontweight="bold",
        )
        roc.plot(false, found, "o-", color=_FOUND, ms=4, lw=1.2)
        roc.set_xlabel("open infusions with an alarm (%)")
        roc.set_ylabel("cases found (%)")
        roc.set_xlim(-3.0, 103.0)
        roc.set_ylim(-3.0, 103.0)
        for share, points, colour, label in (
            (found, curve["found"], _FOUND, "found"),
            (false, curve["false"], _FALSE, "false"),
        ):
            over.plot(values, share, "o-", color=colour, ms=4, lw=1.2, label=label)
            over.fill_between(
                values,
                [100.0 * point["low"] for point in points],
                [100.0 * point["high"] for point in points],
                color=colour,
                alpha=0.15,
                lw=0,
            )
        if min(values) > 0 and max(values) / min(values) >= 10:
            over.set_xscale("log")
        if curve["chosen"] in values:
            place = values.index(curve["chosen"])
            roc.plot(false[place], found[place], "s", color=_CHOSEN, ms=9, mfc="none", mew=2)
            over.axvline(curve["chosen"], color=_CHOSEN, ls="--", lw=1.2, label="the pump's")
        over.set_xlabel(curve["title"])
        over.set_ylabel("%")
        over.set_ylim(-3.0, 103.0)
        over.legend(frameon=False)
        for axes in (roc, over):
            axes.grid(alpha=0.25)
    return figure


def times_figure(rows: list[Row]) -> Figure:
    """Draw the time to an occlusion's alarm over the rate: by slope, by level, and by then."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.5, 4.2), layout="constrained")
        axes = figure.subplots()
        for by_slope, colour, label in (
            (True, _FOUND, "told by slope"),
            (False, _FALSE, "told by level"),
        ):
            told = [row for row in rows if row["found"] and row["by_slope"] is by_slope]
            axes.plot(
                [row["rate_ml_h"] for row in told],
                [max(0.1, row["after_s"]) for row in told],
                ".",
                color=colour,
                ms=4,
                label=label,
            )
        axes.plot(
            [row["rate_ml_h"] for row in rows],
            [row["level_s"] for row in rows],
            "_",
            color="#999999",
            ms=4,
            label="level alone, computed",
        )
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("rate (mL/h)")
        axes.set_ylabel("from a closed line to the alarm (s)")
        axes.grid(alpha=0.25)
        axes.legend(frameon=False)
    return figure
