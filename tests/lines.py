"""Syringes and heads drawn at random on the bench's plants, with what their sensors read."""

import random
from dataclasses import dataclass

from micropump_host.bench import PeristalticGeometry, Plant, SyringeGeometry
from micropump_host.bench.outlet import NEEDLE_BORE_MM, poiseuille_pa_s_per_ul
from micropump_host.bench.peristaltic import PeristalticImperfections, PeristalticPlant
from micropump_host.bench.plant import LineEnd
from micropump_host.bench.syringe import SyringeImperfections, SyringePlant

SYRINGE = SyringeGeometry(bore_mm=26.7, lead_mm=2.0, microsteps_per_rev=3200)
HEAD = PeristalticGeometry(ml_per_rev=0.21, rollers=3, microsteps_per_rev=3200)
AREA_MM2 = 559.9

# An ADC of 12 bits over 160 kPa, and a load cell of 100 N: one reading's standard deviation.
LINE_NOISE_PA = 100.0
FORCE_NOISE_PA = 0.05 / AREA_MM2 * 1e6


@dataclass
class Line:
    """A plant, and how it was drawn."""

    plant: Plant
    resistance_pa_s_ul: float
    compliance_ul_kpa: float
    kinetic_pa: float
    static_pa: float

    def read_line_pa(self, noise: random.Random) -> int:
        """A sensor in the line."""
        return round(self.plant.pressure_pa + noise.gauss(0.0, LINE_NOISE_PA))

    def read_force_pa(self, noise: random.Random) -> int:
        """A force cell at the plunger, divided by the plunger's area."""
        return round(self.plant.drive_pressure_pa + noise.gauss(0.0, FORCE_NOISE_PA))


def line_end(
    rng: random.Random, gauge: int | None = None, back_pa: float = 0.0, viscosity_pa_s: float = 1e-3
) -> LineEnd:
    """A line of 1.5 m of 1 mm and a needle of 18 to 24G."""
    gauge = gauge or rng.choice([18, 20, 21, 22, 23, 24])
    resistance = poiseuille_pa_s_per_ul(1.5, 1.0, viscosity_pa_s)
    resistance += poiseuille_pa_s_per_ul(0.04, NEEDLE_BORE_MM[gauge], viscosity_pa_s)
    return LineEnd(resistance, back_pa, 0.0, 0.998)


def syringe(rng: random.Random, end: LineEnd, *, purged: bool = True) -> Line:
    """A 50 mL syringe of random compliance, stiffness, friction and screw, purged."""
    compliance = rng.uniform(9.0, 21.0)
    static_n = rng.uniform(4.0, 16.0)
    kinetic_n = static_n * rng.uniform(0.6, 0.9)
    plant = SyringePlant(
        SYRINGE,
        SyringeImperfections(
            bore_error_percent=rng.uniform(-0.5, 0.5),
            pitch_error_ppm=170.0,
            periodic_error_um=rng.uniform(0.0, 20.0),
            periodic_phase_rad=rng.uniform(0.0, 6.28),
            backlash_um=500.0,
            screw_backlash_um=60.0,
            drive_stiffness_n_per_mm=rng.uniform(100.0, 400.0),
            static_friction_n=static_n,
            kinetic_friction_n=kinetic_n,
            stick_speed_um_s=0.02,
            compliance_ul_per_pa=compliance * 1e-3,
        ),
        end,
    )
    if purged:
        plant.purge(2000.0, 200_000.0, 60.0)
    to_pa = 1e6 / AREA_MM2
    resistance = end.resistance_pa_s_per_ul
    return Line(plant, resistance, compliance, kinetic_n * to_pa, static_n * to_pa)


def head(rng: random.Random, end: LineEnd) -> Line:
    """A roller head with a line of random compliance behind it, purged."""
    compliance = rng.uniform(1.0, 3.0)
    plant = PeristalticPlant(
        HEAD,
        PeristalticImperfections(
            volume_error_percent=-1.0,
            ripple_percent=(90.0, 40.0, 10.0),
            rotor_error_percent=8.0,
            start_angle_rev=rng.random(),
            rotor_phase_rad=rng.uniform(0.0, 6.28),
            outlet_sensitivity_percent_per_kpa=0.15,
            inlet_sensitivity_percent_per_kpa=0.3,
            wear_percent_per_h=0.1,
            inlet_height_m=rng.uniform(-0.5, 0.5),
            compliance_ul_per_pa=compliance * 1e-3,
        ),
        end,
    )
    plant.purge(2000.0, 200_000.0, 60.0)
    return Line(plant, end.resistance_pa_s_per_ul, compliance, 0.0, 0.0)


class Flow:
    """A plant stepped at a rate, and asked for a sample at even times.

    Attributes:
        now_s: the time, s.

    """

    def __init__(self, line: Line, rate_ml_h: float, period_ms: int, start_s: float = 0.0) -> None:
        self.line = line
        self.period_ms = period_ms
        self.now_s = start_s
        self._samples = 0
        self._start_s = start_s
        self._steps = 0.0
        self._made = 0
        self._told_nl = 0
        self.set_rate(rate_ml_h)

    def set_rate(self, rate_ml_h: float) -> None:
        """From now on."""
        self._per_s = rate_ml_h / 3.6 / self.line.plant.microstep_ul

    def next_nl(self) -> int:
        """Go on to the next sample's time; what was pushed until then, nL, of whole microsteps."""
        plant = self.line.plant
        self._samples += 1
        then_s = self._start_s + self._samples * self.period_ms / 1000.0
        due = self._steps + self._per_s * (then_s - self.now_s)
        while self._made + 1 <= due:
            self._made += 1
            plant.step(max(plant.time_s, self.now_s + (self._made - self._steps) / self._per_s))
        plant.advance(max(plant.time_s, then_s))
        self._steps = due
        self.now_s = then_s
        nl = round(self._made * plant.microstep_ul * 1000.0) - self._told_nl
        self._told_nl += nl
        return nl
