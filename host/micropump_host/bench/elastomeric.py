"""An elastomeric infuser: a stretched balloon drives its content through a capillary.

Nothing in it is controlled: the flow is the balloon's pressure, less the vein's and the height
between them, over the capillary's resistance at the temperature of the skin it is taped to.
Equations and the source of every figure: ``docs/physics.md``.
"""

import math
import random
from dataclasses import dataclass
from itertools import pairwise

from micropump_host.bench.drain import sigma_ul_per_pa
from micropump_host.bench.liquid import water_viscosity_pa_s
from micropump_host.bench.passive import PassiveDevice
from micropump_host.bench.patient import Spell
from micropump_host.bench.plant import SECONDS_PER_HOUR
from micropump_host.bench.tables import within


@dataclass(frozen=True)
class Balloon:
    """``[balloon]``: the membrane's pressure over its content, in parts of the nominal content.

    From the full balloon the pressure falls to a plateau, which rises a little as the balloon
    empties, to a bump before its end; then the membrane lies down on its core.

    Attributes:
        nominal_ml: the content it is made for, mL.
        content_ml: what it is filled with, at most the nominal content, mL.
        plateau_pressure_kpa: pressure at the beginning of the plateau, kPa.
        full_rise_percent: pressure of the full balloon above that, %.
        plateau_from_percent: content at which the plateau begins, % of the nominal content.
        plateau_rise_percent: rise of the pressure along the plateau, %.
        bump_from_percent: content at which the bump begins, %.
        bump_rise_percent: pressure at the top of the bump above the beginning of the plateau, %.
        collapse_from_percent: content at the top of the bump, below which the pressure breaks
            down, %.
        retained_percent: what stays in it, %.

    """

    nominal_ml: float = within(1.0, 5000.0)
    content_ml: float = within(1.0, 5000.0)
    plateau_pressure_kpa: float = within(1.0, 300.0)
    full_rise_percent: float = within(0.0, 200.0)
    plateau_from_percent: float = within(20.0, 99.0)
    plateau_rise_percent: float = within(0.0, 100.0)
    bump_from_percent: float = within(3.0, 19.0)
    bump_rise_percent: float = within(0.0, 200.0)
    collapse_from_percent: float = within(1.0, 10.0)
    retained_percent: float = within(0.0, 9.0)

    def curve(self) -> tuple[tuple[float, float], ...]:
        """Return (content in µL, pressure in Pa) from what is retained to the nominal content."""
        points = (
            (self.retained_percent, -100.0),
            (self.collapse_from_percent, self.bump_rise_percent),
            (self.bump_from_percent, self.plateau_rise_percent),
            (self.plateau_from_percent, 0.0),
            (100.0, self.full_rise_percent),
        )
        return tuple(
            (
                self.nominal_ml * 10.0 * content_percent,
                self.plateau_pressure_kpa * 10.0 * (100.0 + above_percent),
            )
            for content_percent, above_percent in points
        )


@dataclass(frozen=True)
class Capillary:
    """``[capillary]``: the flow restrictor.

    Attributes:
        nominal_rate_ml_h: mean rate of the nominal content up to the collapse, at the temperature
            it is calibrated for and without back pressure, mL/h.
        calibrated_at_c: that temperature, °C.
        length_mm: its length, mm.
        bore_sd_percent: standard deviation of the bore from one piece to the next, %.

    """

    nominal_rate_ml_h: float = within(0.1, 1000.0)
    calibrated_at_c: float = within(5.0, 45.0)
    length_mm: float = within(1.0, 2000.0)
    bore_sd_percent: float = within(0.0, 10.0)


@dataclass(frozen=True)
class Elastomeric(PassiveDevice):
    """An elastomeric infuser on a patient, from the moment its clamp is opened."""

    balloon: Balloon
    capillary: Capillary

    @property
    def content_ul(self) -> float:
        """What the balloon is filled with, µL."""
        return self.balloon.content_ml * 1000.0

    def curve(self) -> tuple[tuple[float, float], ...]:
        """Return the balloon's pressure as (content in µL, pressure in Pa), rising."""
        return self.balloon.curve()

    def sigma_ul_per_pa(self, spell: Spell, from_s: float, until_s: float) -> float:
        """Return ∫ dt/R (µL/Pa) between two times (s) of a spell, R being the capillary's."""
        return (until_s - from_s) / self.resistance_pa_s_per_ul(spell.skin_temperature_c)

    @property
    def nominal_resistance_pa_s_per_ul(self) -> float:
        """What makes the nominal rate of the nominal content at the calibration temperature.

        The time for the nominal content, down to the collapse, is R·∫ dV/p(V).
        """
        curve = self.curve()[1:]
        volume_ul = curve[-1][0] - curve[0][0]
        rate_ul_s = self.capillary.nominal_rate_ml_h * 1000.0 / SECONDS_PER_HOUR
        sigma = sum(
            sigma_ul_per_pa(high_ul - low_ul, high_pa, low_pa)
            for (low_ul, low_pa), (high_ul, high_pa) in pairwise(curve)
        )
        return volume_ul / rate_ul_s / sigma

    @property
    def nominal_bore_um(self) -> float:
        """The capillary's bore that gives this resistance to water by Hagen–Poiseuille, µm."""
        viscosity_pa_s = water_viscosity_pa_s(self.capillary.calibrated_at_c)
        length_m = self.capillary.length_mm * 1e-3
        resistance_pa_s_m3 = self.nominal_resistance_pa_s_per_ul * 1e9
        bore_m = math.pow(128.0 * viscosity_pa_s * length_m / (math.pi * resistance_pa_s_m3), 0.25)
        return 1e6 * bore_m

    def resistance_pa_s_per_ul(self, temperature_c: float) -> float:
        """Return the resistance of this piece at a temperature of the capillary (°C).

        The bore of the piece is off the nominal by the seed, at most by two and a half standard
        deviations: what is farther off does not leave the factory.
        """
        chance = random.Random(f"{self.device.seed}/bore").gauss(0.0, 1.0)
        bore = 1.0 + 0.01 * self.capillary.bore_sd_percent * max(-2.5, min(2.5, chance))
        warmth = water_viscosity_pa_s(temperature_c) / water_viscosity_pa_s(
            self.capillary.calibrated_at_c
        )
        viscosity = warmth * self.liquid.relative_viscosity
        return self.nominal_resistance_pa_s_per_ul * viscosity / bore**4

    def problems(self) -> list[str]:
        """Return what contradicts itself in the description, in sentences without a full stop."""
        balloon = self.balloon
        found = []
        if balloon.content_ml > balloon.nominal_ml:
            found.append("[balloon] content_ml must not be above nominal_ml")
        if not balloon.retained_percent < balloon.collapse_from_percent < balloon.bump_from_percent:
            found.append(
                "[balloon] retained_percent, collapse_from_percent and bump_from_percent must rise"
            )
        return found
