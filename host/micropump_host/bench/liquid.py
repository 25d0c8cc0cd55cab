"""Water: how its viscosity depends on temperature."""

import math

LEAST_WATER_C = 0.0
GREATEST_WATER_C = 60.0

# Amplitude in µPa·s and exponent of T/300 K.
_TERMS = ((280.68, -1.9), (511.45, -7.7), (61.131, -19.6), (0.45903, -40.0))


def water_viscosity_pa_s(temperature_c: float) -> float:
    """Return the dynamic viscosity of water at 0.1 MPa, Pa·s.

    IAPWS SR6-08 (2011), equation for the viscosity of liquid water at 0.1 MPa.

    Args:
        temperature_c: °C, from 0 to 60.

    Raises:
        ValueError: outside of that range.

    """
    if not LEAST_WATER_C <= temperature_c <= GREATEST_WATER_C:
        raise ValueError(f"{temperature_c} °C is outside of 0 to 60 °C")
    reduced = (temperature_c + 273.15) / 300.0
    terms = (amplitude * math.pow(reduced, exponent) for amplitude, exponent in _TERMS)
    return sum(terms) * 1e-6
