"""A balance with a beaker on it: what it shows is not quite what flowed out of the line."""

import math
import random
from dataclasses import dataclass

from micropump_host.bench.plant import SECONDS_PER_HOUR


@dataclass(frozen=True)
class BalanceErrors:
    """What stands between the liquid in the beaker and the figure on the display.

    Attributes:
        initial_mass_g: water in the beaker at time zero (the balance is tared without it), g.
        density_g_ml: density of the liquid, g/mL.
        resolution_mg: step of the display, mg; zero for none.
        noise_mg: standard deviation of the white noise of one reading, mg.
        drift_mg_h: linear drift of the zero, mg/h.
        walk_mg_per_root_h: standard deviation of the zero's random walk after one hour, mg.
        evaporation_mg_h: water that leaves the beaker, mg/h.
        lag_s: time constant of the display's first-order response, s; zero for none.

    """

    initial_mass_g: float
    density_g_ml: float
    resolution_mg: float
    noise_mg: float
    drift_mg_h: float
    walk_mg_per_root_h: float
    evaporation_mg_h: float
    lag_s: float


class Balance:
    """A balance that is read from time to time.

    Args:
        errors: its errors.
        seed: seed of its randomness; each source of noise draws from a stream of its own, so that
            one more source changes nothing about the others.

    """

    def __init__(self, errors: BalanceErrors, seed: int) -> None:
        self.errors = errors
        self._noise = random.Random(f"{seed}/balance/noise")
        self._walk = random.Random(f"{seed}/balance/walk")
        self._walk_mg = 0.0
        self._time_s = 0.0
        self._mass_g = errors.initial_mass_g
        self._shown_g = errors.initial_mass_g

    def read(self, t_s: float, outflow_ul: float) -> float:
        """Return what the display shows, g.

        Between two readings the true mass is taken to change evenly, for which the response of
        the first-order lag is exact: with slope m and time constant τ the display trails by m·τ.

        Args:
            t_s: time since the start, s; never decreasing.
            outflow_ul: volume that has left the line by then, µL.

        Raises:
            ValueError: if ``t_s`` is before the last reading.

        """
        interval_s = t_s - self._time_s
        if interval_s < 0.0:
            raise ValueError(f"time {t_s} s is before the last reading at {self._time_s} s")
        errors = self.errors
        hours = t_s / SECONDS_PER_HOUR
        mass_g = (
            errors.initial_mass_g
            + outflow_ul * 1e-3 * errors.density_g_ml
            - errors.evaporation_mg_h * 1e-3 * hours
        )
        self._shown_g = self._respond(mass_g, interval_s)
        self._mass_g = mass_g
        self._time_s = t_s
        self._walk_mg += (
            self._walk.gauss(0.0, 1.0)
            * errors.walk_mg_per_root_h
            * math.sqrt(interval_s / SECONDS_PER_HOUR)
        )
        error_mg = (
            errors.drift_mg_h * hours
            + self._walk_mg
            + self._noise.gauss(0.0, 1.0) * errors.noise_mg
        )
        return self._rounded_g(self._shown_g + error_mg * 1e-3)

    def _respond(self, mass_g: float, interval_s: float) -> float:
        lag_s = self.errors.lag_s
        if lag_s <= 0.0:
            return mass_g
        if interval_s == 0.0:
            return self._shown_g
        trail_g = lag_s * (mass_g - self._mass_g) / interval_s
        decay = math.exp(-interval_s / lag_s)
        return mass_g - trail_g + (self._shown_g - self._mass_g + trail_g) * decay

    def _rounded_g(self, mass_g: float) -> float:
        resolution_mg = self.errors.resolution_mg
        if resolution_mg <= 0.0:
            return mass_g
        # The second rounding only takes away what binary fractions leave behind the last digit.
        return round(round(mass_g * 1e3 / resolution_mg) * resolution_mg * 1e-3, 9)
