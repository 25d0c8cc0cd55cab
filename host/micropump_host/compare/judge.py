"""The figures of a comparison: volume over time, and flow over windows, against what was meant.

With V the delivered and I the intended volume (mL), T the intended time, and r = I(T)/T:

- error of the volume at t: V(t) − I(t); in percent of I(T);
- mean error of the flow: 100·(V(T) − I(T))/I(T);
- error over a window of P minutes that begins at t: 100·(ΔV − ΔI)/(r·P), both over the window; its
  greatest and least over all windows within T. For a steady rate this is the trumpet curve of IEC
  60601-2-24 over the whole infusion, its start included.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from micropump_host.accuracy.method import AMBULATORY, SYRINGE
from micropump_host.accuracy.table import Floats
from micropump_host.compare.delivery import Delivery
from micropump_host.compare.intent import Intent

# The standard's ambulatory windows are for pumps that run for more than a day.
_AMBULATORY_FROM_S = 24 * 3600.0
_SMOOTHING_MIN = (0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 240.0)
_SMOOTHING_PARTS = 60
# A volume counts as delivered to a thousandth: the last microstep rounds down, drops do not split.
DELIVERED_PART = 0.999


@dataclass(frozen=True)
class WindowError:
    """The extreme errors over all windows of one length.

    Attributes:
        window_min: length P, min.
        max_percent: greatest error of a window, % of the mean intended rate.
        min_percent: least error.

    """

    window_min: float
    max_percent: float
    min_percent: float


@dataclass(frozen=True)
class Verdict:
    """How one device delivered.

    Attributes:
        name: what the device is called.
        description: what it is, in a few words.
        notes: what has to be known of it, sentences without a full stop.
        delivered_ml: by the end of what was simulated, mL.
        at_end_ml: by the end of the intended time, mL.
        mean_error_percent: error of the mean flow over the intended time, %.
        worst_error_ml: the volume's greatest error within the intended time, with its sign, mL.
        worst_error_percent: the same in % of the intended volume.
        worst_error_s: when that was, s from the start.
        reached_s: when the intended volume was delivered, s from the start; None if it never was.
        windows: the extreme errors of the flow, by window.

    """

    name: str
    description: str
    notes: tuple[str, ...]
    delivered_ml: float
    at_end_ml: float
    mean_error_percent: float
    worst_error_ml: float
    worst_error_percent: float
    worst_error_s: float
    reached_s: float | None
    windows: tuple[WindowError, ...]

    def to_json_dict(self) -> dict[str, Any]:
        """Return everything as plain data, under the names of the attributes."""
        return {
            **vars(self),
            "notes": list(self.notes),
            "windows": [vars(window) for window in self.windows],
        }


def windows_min(intent: Intent) -> tuple[float, ...]:
    """Return the observation windows that fit an intent at least twice, min.

    Those of IEC 60601-2-24, for ambulatory pumps from 24 h on.
    """
    duration_s = intent.duration_s
    method = AMBULATORY if duration_s >= _AMBULATORY_FROM_S else SYRINGE
    return tuple(window for window in method.windows_min if 2 * window * 60.0 <= duration_s)


def smoothing_min(intent: Intent) -> float:
    """Return the window over which a plot of the rate is smoothed, min: near a 60th of the time."""
    wanted_min = intent.duration_s / 60.0 / _SMOOTHING_PARTS
    return next((window for window in _SMOOTHING_MIN if window >= wanted_min), _SMOOTHING_MIN[-1])


def smoothed_rate_ml_h(times_s: Floats, volumes_ml: Floats, window_min: float) -> Floats:
    """Return the mean rate over the window around each time, mL/h, shape (n,).

    At the ends the window is what there is of it. Of a volume that is known at times farther apart
    than the window, the rate between them is that of a straight line.
    """
    half_s = window_min * 30.0
    begins_s = np.maximum(times_s - half_s, times_s[0])
    ends_s = np.minimum(times_s + half_s, times_s[-1])
    gained_ml = np.interp(ends_s, times_s, volumes_ml) - np.interp(begins_s, times_s, volumes_ml)
    rates_ml_h: Floats = gained_ml / (ends_s - begins_s) * 3600.0
    return rates_ml_h


def judge(intent: Intent, delivery: Delivery) -> Verdict:
    """Return how a device delivered what was meant.

    Args:
        intent: what was meant.
        delivery: what was delivered, one of its samples being at the end of the intended time.

    """
    times_s, volumes_ml = delivery.times_s, delivery.volumes_ml
    errors_ml = volumes_ml - intent.volumes_ml(times_s)
    worst = int(np.argmax(abs(errors_ml) * (times_s <= intent.duration_s)))
    error_at_end_ml = float(errors_ml[np.searchsorted(times_s, intent.duration_s)])
    return Verdict(
        name=delivery.name,
        description=delivery.description,
        notes=delivery.notes,
        delivered_ml=float(volumes_ml[-1]),
        at_end_ml=intent.volume_ml + error_at_end_ml,
        mean_error_percent=100.0 * error_at_end_ml / intent.volume_ml,
        worst_error_ml=float(errors_ml[worst]),
        worst_error_percent=100.0 * float(errors_ml[worst]) / intent.volume_ml,
        worst_error_s=float(times_s[worst]),
        reached_s=_reached_s(intent, delivery),
        windows=tuple(
            _window_error(intent, times_s, errors_ml, window) for window in windows_min(intent)
        ),
    )


def _reached_s(intent: Intent, delivery: Delivery) -> float | None:
    """When the intended volume was in, between two samples on a straight line."""
    wanted_ml = DELIVERED_PART * intent.volume_ml
    if delivery.volumes_ml[-1] < wanted_ml:
        return None
    after = int(np.argmax(delivery.volumes_ml >= wanted_ml))
    if after == 0:
        return float(delivery.times_s[0])
    span = slice(after - 1, after + 1)
    return float(np.interp(wanted_ml, delivery.volumes_ml[span], delivery.times_s[span]))


def _window_error(
    intent: Intent, times_s: Floats, errors_ml: Floats, window_min: float
) -> WindowError:
    window_s = window_min * 60.0
    # Windows that end within the intended time, but for the last digit of a sum.
    begins = times_s + window_s <= intent.duration_s * (1.0 + 1e-12)
    grown_ml = np.interp(times_s[begins] + window_s, times_s, errors_ml) - errors_ml[begins]
    errors_percent = 100.0 * grown_ml / (intent.mean_rate_ml_h * window_min / 60.0)
    return WindowError(window_min, float(errors_percent.max()), float(errors_percent.min()))
