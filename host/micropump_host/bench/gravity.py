"""A gravity drip: a bag on a pole, a drip chamber, a roller clamp, a tube and a needle.

The flow is the height of the liquid above the vein, less the vein's pressure, over what clamp, tube
and needle resist. The clamp is set once, at the start, by counting drops, and left alone: that is
what is compared. Equations and the source of every figure: ``docs/physics.md``.
"""

import math
import random
from dataclasses import dataclass

from micropump_host.bench.liquid import water_viscosity_pa_s
from micropump_host.bench.outlet import (
    NEEDLE_BORE_MM,
    column_pressure_pa,
    poiseuille_pa_s_per_ul,
)
from micropump_host.bench.passive import PassiveDevice
from micropump_host.bench.patient import Spell, spell
from micropump_host.bench.plant import SECONDS_PER_HOUR
from micropump_host.bench.tables import within


@dataclass(frozen=True)
class Bag:
    """``[bag]``: the bag on its pole.

    Attributes:
        content_ml: what it holds at the start, mL.
        outlet_height_cm: height of its outlet above the vein as the clamp is set, cm.
        level_cm_per_l: by how much a litre raises the level in it, cm.

    """

    content_ml: float = within(1.0, 20_000.0)
    outlet_height_cm: float = within(1.0, 300.0)
    level_cm_per_l: float = within(0.0, 100.0)


@dataclass(frozen=True)
class DripSet:
    """``[drip_set]``: drip chamber, tube and needle.

    Attributes:
        drops_per_ml: what is printed on it.
        drop_swing_percent: the most that the volume of its drops is off what is printed, %.
        tube_length_m: m.
        tube_inner_diameter_mm: mm.
        needle_gauge: the needle, by its gauge.
        needle_length_mm: mm.
        temperature_c: of the liquid in it, °C.

    """

    drops_per_ml: int = within(5, 120)
    drop_swing_percent: float = within(0.0, 50.0)
    tube_length_m: float = within(0.0, 10.0)
    tube_inner_diameter_mm: float = within(0.5, 10.0)
    needle_gauge: int = within(min(NEEDLE_BORE_MM), max(NEEDLE_BORE_MM))
    needle_length_mm: float = within(0.0, 300.0)
    temperature_c: float = within(5.0, 45.0)


@dataclass(frozen=True)
class Clamp:
    """``[clamp]``: the roller clamp, and how the tube under it gives way.

    Attributes:
        set_rate_ml_h: the rate that it is set for, at the start, by counting drops, mL/h.
        creep_percent: by how much its resistance grows in the end, %.
        creep_time_min: time constant of that, min.

    """

    set_rate_ml_h: float = within(0.1, 5000.0)
    creep_percent: float = within(-50.0, 500.0)
    creep_time_min: float = within(0.1, 10_000.0)


@dataclass(frozen=True)
class Gravity(PassiveDevice):
    """A gravity drip on a patient, from the moment its clamp is set."""

    bag: Bag
    drip_set: DripSet
    clamp: Clamp

    @property
    def content_ul(self) -> float:
        """What the bag holds at the start, µL."""
        return self.bag.content_ml * 1000.0

    def curve(self) -> tuple[tuple[float, float], ...]:
        """Return the pressure of the liquid above the vein as (content in µL, Pa), rising."""
        full_m = (self.bag.outlet_height_cm + self._level_cm(self.bag.content_ml)) / 100.0
        empty_m = self.bag.outlet_height_cm / 100.0
        density_g_ml = self.liquid.density_g_ml
        return (
            (0.0, column_pressure_pa(empty_m, density_g_ml)),
            (self.content_ul, column_pressure_pa(full_m, density_g_ml)),
        )

    @property
    def drop_ul(self) -> float:
        """Volume of a drop of this set, from the seed, µL."""
        chance = random.Random(f"{self.device.seed}/drop").uniform(-1.0, 1.0)
        return (
            1000.0
            / self.drip_set.drops_per_ml
            * (1.0 + 0.01 * self.drip_set.drop_swing_percent * chance)
        )

    @property
    def open_resistance_pa_s_per_ul(self) -> float:
        """Resistance of tube and needle, without the clamp, Pa per µL/s."""
        drip_set = self.drip_set
        viscosity_pa_s = self.liquid.relative_viscosity * water_viscosity_pa_s(
            drip_set.temperature_c
        )
        tube = poiseuille_pa_s_per_ul(
            drip_set.tube_length_m, drip_set.tube_inner_diameter_mm, viscosity_pa_s
        )
        needle = poiseuille_pa_s_per_ul(
            drip_set.needle_length_mm * 1e-3,
            NEEDLE_BORE_MM[drip_set.needle_gauge],
            viscosity_pa_s,
        )
        return tube + needle

    @property
    def clamp_resistance_pa_s_per_ul(self) -> float:
        """Resistance of the clamp as it is set, Pa per µL/s; 0 where it is wide open."""
        aimed_ul_s = self.clamp.set_rate_ml_h * 1000.0 / SECONDS_PER_HOUR
        nominal_drop_ul = 1000.0 / self.drip_set.drops_per_ml
        flow_ul_s = aimed_ul_s * self.drop_ul / nominal_drop_ul
        return max(0.0, self._start_drive_pa / flow_ul_s - self.open_resistance_pa_s_per_ul)

    @property
    def start_rate_ml_h(self) -> float:
        """The rate just after the clamp was set, mL/h."""
        resistance = self.open_resistance_pa_s_per_ul + self.clamp_resistance_pa_s_per_ul
        return max(0.0, self._start_drive_pa) / resistance * SECONDS_PER_HOUR / 1000.0

    def sigma_ul_per_pa(self, spell: Spell, from_s: float, until_s: float) -> float:
        """Return ∫ dt/R (µL/Pa) between two times (s), R growing as the clamp creeps.

        With R = A − B·e^(−t/τ) the integral from 0 is (τ/A)·ln[(A·e^(t/τ) − B)/(A − B)].
        """
        tau_s = self.clamp.creep_time_min * 60.0
        creep = self.clamp_resistance_pa_s_per_ul * 0.01 * self.clamp.creep_percent
        final = self.open_resistance_pa_s_per_ul + self.clamp_resistance_pa_s_per_ul + creep
        from_part = creep / final * math.exp(-from_s / tau_s)
        until_part = creep / final * math.exp(-until_s / tau_s)
        grown = math.log1p(-until_part) - math.log1p(-from_part)
        return (until_s - from_s + tau_s * grown) / final

    def problems(self) -> list[str]:
        """Return what contradicts itself in the description, in sentences without a full stop."""
        if self._start_drive_pa <= 0.0:
            return ["[bag] outlet_height_cm is too low: the vein's pressure holds the liquid back"]
        return []

    @property
    def _start_drive_pa(self) -> float:
        """What drives the liquid as the clamp is set, Pa."""
        first = spell(self.patient, self.device.seed, 0)
        return self.curve()[-1][1] - self.out_pressure_pa(first)

    def _level_cm(self, content_ml: float) -> float:
        return self.bag.level_cm_per_l * content_ml / 1000.0
