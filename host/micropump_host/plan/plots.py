"""The picture of a schedule: rate and volume over time."""

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from micropump_host.accuracy.plots import STYLE
from micropump_host.plan.schedule import DAY_S, Schedule

# Okabe and Ito's colours, which people with any kind of colour vision can tell apart.
_BLUE, _VERMILION, _GREY, _INK = "#0072B2", "#D55E00", "#8A8A8A", "#222222"
# Of an endless KVO so much of the therapy's time is shown.
_TAIL_PART = 0.08
_LEAST_TAIL_S = 60.0


def schedule_figure(schedule: Schedule, title: str) -> Figure:
    """Draw the rate above and the volume below, over the time since the start.

    The end of the VTBI is a dashed line, a container's end a dotted one. Of a PCA the volume is
    drawn twice: without a demand, and with every demand that the limits grant.
    """
    end_s = _shown_s(schedule)
    unit, per_s = _unit(end_s)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.0, 6.4), layout="constrained")
        rate, volume = figure.subplots(2, 1, sharex=True)
        figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold")
        times_s, rates_ml_h, volumes_ml = _curve(schedule, end_s)
        x = [at_s / per_s for at_s in times_s]
        rate.plot(x, rates_ml_h, color=_BLUE, lw=1.4, drawstyle="steps-post")
        rate.fill_between(x, rates_ml_h, step="post", color=_BLUE, alpha=0.12)
        volume.plot(x, volumes_ml, color=_BLUE, lw=1.6, label="programmed")
        if schedule.demands and schedule.demands.times_s:
            most_x, most_ml = _with_demands(schedule, times_s, volumes_ml, end_s)
            volume.plot(
                [at_s / per_s for at_s in most_x],
                most_ml,
                color=_VERMILION,
                lw=1.2,
                label="with every demand that the limits grant",
            )
            volume.legend(loc="lower right", frameon=False)
        for axes in (rate, volume):
            _mark(axes, schedule, end_s, per_s)
        _finish(rate, "rate (mL/h)")
        _finish(volume, "volume since the start (mL)")
        volume.set_xlabel(f"time from the start ({unit})")
        volume.set_xlim(0.0, end_s / per_s)
    return figure


def _shown_s(schedule: Schedule) -> float:
    if schedule.demands:
        # What a patient may ask for is seen within a day, or not at all.
        return min(float(DAY_S), schedule.duration_s or DAY_S)
    end_s = schedule.duration_s or 0.0
    if schedule.rows[-1].duration_s is None:
        end_s += max(_LEAST_TAIL_S, end_s * _TAIL_PART)
    return max(1.0, end_s)


def _unit(end_s: float) -> tuple[str, float]:
    if end_s >= 2 * 3600:
        return "h", 3600.0
    return ("min", 60.0) if end_s >= 120 else ("s", 1.0)


def _curve(schedule: Schedule, end_s: float) -> tuple[list[float], list[float], list[float]]:
    """Corners of rate and volume: times in s, mL/h from there on, mL by then."""
    times_s, rates_ml_h, volumes_ml = [0.0], [0.0], [0.0]
    for row in schedule.rows:
        length_s = (end_s - row.start_s) if row.duration_s is None else row.duration_s
        stairs = row.stairs_ml_h or (row.rate_ml_h,)
        for number, rate_ml_h in enumerate(stairs):
            times_s.append(row.start_s + length_s * number / len(stairs))
            rates_ml_h.append(rate_ml_h)
            volumes_ml.append(volumes_ml[-1])
            times_s.append(row.start_s + length_s * (number + 1) / len(stairs))
            rates_ml_h.append(rate_ml_h)
            volumes_ml.append(volumes_ml[-1] + rate_ml_h * length_s / len(stairs) / 3600)
    times_s.append(times_s[-1])
    rates_ml_h.append(0.0)
    volumes_ml.append(volumes_ml[-1])
    return times_s, rates_ml_h, volumes_ml


def _with_demands(
    schedule: Schedule, times_s: list[float], volumes_ml: list[float], end_s: float
) -> tuple[list[float], list[float]]:
    """The programmed volume with each granted demand as a step on top of it."""
    demands = schedule.demands
    assert demands is not None
    whole_ml = schedule.vtbi_ml + schedule.loading_ml
    all_given_ml = len(demands.times_s) * demands.demand_ml
    in_s = _time_of(times_s, volumes_ml, whole_ml - all_given_ml)
    corners = sorted({*times_s, *demands.times_s, in_s})
    x: list[float] = []
    y: list[float] = []
    for at_s in (*(at_s for at_s in corners if at_s < end_s), end_s):
        base_ml = _volume_at(times_s, volumes_ml, at_s)
        before = sum(granted_s < at_s for granted_s in demands.times_s)
        after = sum(granted_s <= at_s for granted_s in demands.times_s)
        for given in (before, after):
            x.append(at_s)
            y.append(min(whole_ml, base_ml + given * demands.demand_ml))
    return x, y


def _time_of(times_s: list[float], volumes_ml: list[float], volume_ml: float) -> float:
    """When a volume is reached; the last of the times where it is not."""
    for number in range(1, len(times_s)):
        before_ml, after_ml = volumes_ml[number - 1], volumes_ml[number]
        if before_ml <= volume_ml <= after_ml and after_ml > before_ml:
            part = (volume_ml - before_ml) / (after_ml - before_ml)
            return times_s[number - 1] + part * (times_s[number] - times_s[number - 1])
    return times_s[-1]


def _volume_at(times_s: list[float], volumes_ml: list[float], at_s: float) -> float:
    for number in range(1, len(times_s)):
        before_s, after_s = times_s[number - 1], times_s[number]
        if before_s <= at_s <= after_s and after_s > before_s:
            part = (at_s - before_s) / (after_s - before_s)
            return volumes_ml[number - 1] + part * (volumes_ml[number] - volumes_ml[number - 1])
    return volumes_ml[-1]


def _mark(axes: Axes, schedule: Schedule, end_s: float, per_s: float) -> None:
    if schedule.duration_s is not None:
        axes.axvline(schedule.duration_s / per_s, color=_INK, ls="--", lw=0.8)
    for change in schedule.changes:
        if change.at_s <= end_s:
            axes.axvline(change.at_s / per_s, color=_VERMILION, ls=":", lw=1.0)


def _finish(axes: Axes, label: str) -> None:
    axes.set_ylabel(label)
    axes.set_ylim(bottom=0.0)
    axes.margins(y=0.08)
    axes.grid(visible=True, color="#DDDDDD", lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)
