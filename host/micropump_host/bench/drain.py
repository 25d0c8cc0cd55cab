"""A reservoir whose own pressure drives it out: the closed form that balloon and bag share.

The reservoir's pressure over its content is a chain of straight pieces, p = p₀ + k·V, and what it
flows through is one resistance R that may change with time. In σ = ∫ dt/R the content follows

    dV/dσ = −(p₀ + k·V − p_out),

whose solution on a piece is an exponential (a straight line for k = 0). So draining by any σ is
exact, however long it lasts. It never flows backwards: sets and balloons have a valve or a drip
chamber in between.
"""

import math
from collections.abc import Sequence
from itertools import pairwise


def sigma_ul_per_pa(volume_ul: float, drive_pa: float, end_pa: float) -> float:
    """Return the σ in which a volume drains while what drives it goes straight to its end.

    Args:
        volume_ul: the volume, µL.
        drive_pa: what drives it at the beginning, Pa; above zero.
        end_pa: what drives it at the end, Pa; infinity is returned where it is not above zero.

    """
    if end_pa <= 0.0:
        return math.inf
    change_pa = drive_pa - end_pa
    if change_pa == 0.0:
        return volume_ul / drive_pa
    return volume_ul * math.log1p(change_pa / end_pa) / change_pa


def drained_ul(
    curve: Sequence[tuple[float, float]],
    content_ul: float,
    out_pressure_pa: float,
    sigma: float,
) -> float:
    """Return what is left of a content after it was drained for σ.

    Args:
        curve: (content in µL, pressure in Pa), content rising; below the first nothing flows.
        content_ul: the content before, µL, not beyond the curve's last.
        out_pressure_pa: the pressure it drains against, Pa.
        sigma: ∫ dt/R, µL/Pa.

    """
    left = sigma
    for (low_ul, low_pa), (high_ul, high_pa) in reversed(list(pairwise(curve))):
        if content_ul <= low_ul:
            continue
        slope = (high_pa - low_pa) / (high_ul - low_ul)
        drive_pa = low_pa + slope * (content_ul - low_ul) - out_pressure_pa
        end_pa = low_pa - out_pressure_pa
        if drive_pa <= 0.0:
            return content_ul
        needed = sigma_ul_per_pa(content_ul - low_ul, drive_pa, end_pa)
        if left < needed:
            return content_ul - _moved_ul(drive_pa, slope, left)
        left -= needed
        content_ul = low_ul
    return content_ul


def _moved_ul(drive_pa: float, slope_pa_per_ul: float, sigma: float) -> float:
    """Return the volume that drains in σ from a drive that changes by the slope with the volume."""
    if slope_pa_per_ul == 0.0:
        return drive_pa * sigma
    return drive_pa * -math.expm1(-slope_pa_per_ul * sigma) / slope_pa_per_ul
