"""What stands between the pump's outlet and the end of the line: tube, needle, pressure, height.

Flow is laminar (Reynolds number 1200 mL/h through a 0.8 mm bore: about 500) and the line's own
time constant is tens of milliseconds, so the line is one Poiseuille resistance and its compliance
is counted at the pump's end; ``docs/physics.md`` works that out.
"""

import math

GRAVITY_M_S2 = 9.80665

# Nominal inner diameters of regular-wall hypodermic needles, mm; source: docs/physics.md.
NEEDLE_BORE_MM = {
    14: 1.600,
    15: 1.372,
    16: 1.194,
    17: 1.067,
    18: 0.838,
    19: 0.686,
    20: 0.603,
    21: 0.514,
    22: 0.413,
    23: 0.337,
    24: 0.311,
    25: 0.260,
    26: 0.260,
    27: 0.210,
    28: 0.184,
    29: 0.184,
    30: 0.159,
}


def poiseuille_pa_s_per_ul(
    length_m: float, inner_diameter_mm: float, viscosity_pa_s: float
) -> float:
    """Return a round tube's resistance to laminar flow, in Pa per µL/s.

    Hagen–Poiseuille, R = 128·µ·L/(π·d⁴).

    Args:
        length_m: length, m.
        inner_diameter_mm: inner diameter, mm; above zero.
        viscosity_pa_s: dynamic viscosity, Pa·s.

    """
    diameter_m = inner_diameter_mm * 1e-3
    return 128.0 * viscosity_pa_s * length_m / (math.pi * diameter_m**4) * 1e-9


def column_pressure_pa(height_m: float, density_g_ml: float) -> float:
    """Return the pressure of a column of liquid, ρ·g·h, in Pa; negative for a negative height."""
    return density_g_ml * 1000.0 * GRAVITY_M_S2 * height_m
