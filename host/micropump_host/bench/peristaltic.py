r"""A peristaltic pump: rollers that squeeze a tube, the tube's elasticity, and the line.

The volume swept by the head after r revolutions has a closed form, so that a whole revolution
delivers the volume per revolution exactly::

    V(r) = V_rev·[ r − Σ_k h_k·sin(2π·k·n·r)/(2π·k·n) + e·(sin(2π·r + φ) − sin φ)/(2π) ]

with n rollers, ripple harmonics h_k (all dips together, at the moment when a roller leaves the
tube; Σ h_k > 1 flows backwards there) and e, the difference between the rollers. A microstep
displaces the difference of two V, times the filling of the tube at that moment.
``docs/physics.md`` has the sources.
"""

import math
from dataclasses import dataclass

from micropump_host.bench.outlet import column_pressure_pa
from micropump_host.bench.plant import SECONDS_PER_HOUR, LineEnd, PeristalticGeometry, Plant


@dataclass(frozen=True)
class PeristalticImperfections:
    """How a real head and its tube differ from the ideal mechanism.

    Attributes:
        volume_error_percent: the tube's volume per revolution against the nominal one, %.
        ripple_percent: amplitudes of the harmonics of the roller frequency, % of the mean flow.
        rotor_error_percent: amplitude of the error once per revolution, % of the mean flow.
        start_angle_rev: angle of the head at the first microstep, revolutions.
        rotor_phase_rad: phase of the error once per revolution, rad.
        outlet_sensitivity_percent_per_kpa: stroke volume lost per kPa at the pump's outlet, %.
        inlet_sensitivity_percent_per_kpa: stroke volume gained per kPa at its inlet, %.
        wear_percent_per_h: stroke volume lost per hour of running time, %.
        inlet_height_m: height of the supply above the pump, m.
        compliance_ul_per_pa: tube and line downstream of the rollers, µL/Pa; above zero.
        inlet_compliance_ul_per_pa: tube between the rollers and a clamp upstream, µL/Pa; above
            zero.
        greatest_suction_pa: below ambient, where the tube lies flat and draws no more, Pa; above
            zero.

    """

    volume_error_percent: float
    ripple_percent: tuple[float, ...]
    rotor_error_percent: float
    start_angle_rev: float
    rotor_phase_rad: float
    outlet_sensitivity_percent_per_kpa: float
    inlet_sensitivity_percent_per_kpa: float
    wear_percent_per_h: float
    inlet_height_m: float
    compliance_ul_per_pa: float
    inlet_compliance_ul_per_pa: float = 5e-4
    greatest_suction_pa: float = 60_000.0


class PeristalticPlant(Plant):
    """A peristaltic pump with its line: see the module for the equations.

    Args:
        geometry: the ideal mechanism.
        imperfections: what is not ideal about it.
        line_end: the line and what it ends in.

    """

    __slots__ = (
        "_clamped_at_ul",
        "_compliance_ul_per_pa",
        "_content_end_ul",
        "_empty_ul",
        "_filling",
        "_filling_per_pa",
        "_greatest_suction_pa",
        "_harmonics",
        "_inlet_clamped",
        "_inlet_compliance_ul_per_pa",
        "_inlet_height_m",
        "_inlet_per_pa",
        "_radian_per_step",
        "_relax_rate_per_s",
        "_ripple_ul",
        "_rotor_phase_rad",
        "_rotor_ul",
        "_start_rad",
        "_step_ul",
        "_swept_ul",
        "_wear_per_s",
    )

    def __init__(
        self,
        geometry: PeristalticGeometry,
        imperfections: PeristalticImperfections,
        line_end: LineEnd,
    ) -> None:
        steps_per_rev = geometry.microsteps_per_rev * geometry.gear_ratio
        ideal_rev_ul = geometry.ml_per_rev * 1000.0
        rev_ul = ideal_rev_ul * (1.0 + imperfections.volume_error_percent / 100.0)
        self._compliance_ul_per_pa = imperfections.compliance_ul_per_pa
        self._step_ul = rev_ul / steps_per_rev
        self._radian_per_step = math.tau / steps_per_rev
        self._start_rad = math.tau * imperfections.start_angle_rev
        self._rotor_phase_rad = imperfections.rotor_phase_rad
        self._rotor_ul = rev_ul * imperfections.rotor_error_percent / 100.0 / math.tau
        per_rev = [k * geometry.rollers for k in range(1, len(imperfections.ripple_percent) + 1)]
        self._harmonics = tuple(
            (times, rev_ul * percent / 100.0 / (math.tau * times))
            for times, percent in zip(per_rev, imperfections.ripple_percent, strict=True)
        )
        self._filling_per_pa = imperfections.outlet_sensitivity_percent_per_kpa * 1e-5
        self._inlet_per_pa = imperfections.inlet_sensitivity_percent_per_kpa * 1e-5
        self._wear_per_s = imperfections.wear_percent_per_h / 100.0 / SECONDS_PER_HOUR
        self._inlet_height_m = imperfections.inlet_height_m
        self._inlet_compliance_ul_per_pa = imperfections.inlet_compliance_ul_per_pa
        self._greatest_suction_pa = imperfections.greatest_suction_pa
        self._swept_ul = 0.0
        # From here on a stroke is not what it would be: the supply's end, or everywhere (clamped).
        self._empty_ul = math.inf
        self._content_end_ul = math.inf
        self._inlet_clamped = False
        self._clamped_at_ul = 0.0
        self._ripple_ul = self._ripple_at(0)
        super().__init__(ideal_rev_ul / steps_per_rev, line_end)

    def advance(self, t_s: float) -> None:
        """Bring the state exactly to the time ``t_s`` (s) with the motor at rest.

        Raises:
            ValueError: if ``t_s`` is before the plant's time.

        """
        interval_s = t_s - self._time_s
        if interval_s <= 0.0:
            if interval_s < 0.0:
                raise ValueError(f"time {t_s} s is before the plant's {self._time_s} s")
            return
        before_pa = self._pressure_pa
        outlet_pa = self._outlet_pressure_pa
        after_pa = outlet_pa + (before_pa - outlet_pa) * math.exp(
            -interval_s * self._relax_rate_per_s
        )
        self._outflow_ul += self._compliance_ul_per_pa * (before_pa - after_pa)
        self._pressure_pa = after_pa
        self._time_s = t_s

    def step(self, t_s: float) -> None:
        """Make one forward microstep at the time ``t_s`` (s).

        Raises:
            ValueError: if ``t_s`` is before the plant's time.

        """
        self._turn(t_s, 1)

    def step_back(self, t_s: float) -> None:
        """Make one microstep backwards at the time ``t_s`` (s): what a step sweeps, the other way.

        Raises:
            ValueError: if ``t_s`` is before the plant's time.

        """
        self._turn(t_s, -1)

    def fill(self, content_ul: float) -> None:
        """Let the supply hold ``content_ul`` (µL): after that the head turns and moves nothing."""
        self._content_end_ul = self._swept_ul + content_ul
        if not self._inlet_clamped:
            self._empty_ul = self._content_end_ul

    @property
    def content_ul(self) -> float:
        """What the supply holds, µL; infinite if it was never filled."""
        return max(0.0, self._content_end_ul - self._swept_ul)

    def _turn(self, t_s: float, steps: int) -> None:
        self.advance(t_s)
        self._steps += steps
        ripple_ul = self._ripple_at(self._steps)
        filling = self._filling - self._filling_per_pa * self._pressure_pa
        if t_s > 0.0:
            filling -= self._wear_per_s * t_s
        swept_ul = (steps * self._step_ul + ripple_ul - self._ripple_ul) * max(filling, 0.0)
        self._ripple_ul = ripple_ul
        if self._swept_ul >= self._empty_ul and swept_ul > 0.0:
            if not self._inlet_clamped or self._swept_ul >= self._content_end_ul:
                return
            swept_ul *= max(0.0, 1.0 + self.inlet_pressure_pa / self._greatest_suction_pa)
        self._swept_ul += swept_ul
        self._pressure_pa += swept_ul / self._compliance_ul_per_pa

    @property
    def inlet_pressure_pa(self) -> float:
        """Pressure before the rollers without flow through the supply's tube, gauge, Pa."""
        column_pa = column_pressure_pa(self._inlet_height_m, self._density_g_ml)
        if not self._inlet_clamped:
            return column_pa
        return column_pa - (self._swept_ul - self._clamped_at_ul) / self._inlet_compliance_ul_per_pa

    @property
    def inlet_is_clamped(self) -> bool:
        """Whether the tube between supply and rollers is closed."""
        return self._inlet_clamped

    def clamp_inlet(self) -> None:
        """Close the tube between supply and rollers, at the plant's present time."""
        self._inlet_clamped = True
        self._clamped_at_ul = self._swept_ul
        self._empty_ul = -math.inf

    def open_inlet(self) -> None:
        """Open it again, at the plant's present time."""
        self._inlet_clamped = False
        self._empty_ul = self._content_end_ul

    def raise_pump(self, height_m: float) -> None:
        """Move the pump up by ``height_m`` (m); supply and line's end stay where they are."""
        self.set_inlet_height(self._inlet_height_m - height_m)
        super().raise_pump(height_m)

    def set_inlet_height(self, inlet_height_m: float) -> None:
        """Set the height (m) of the supply above the pump, at the plant's present time."""
        self._inlet_height_m = inlet_height_m
        self._refresh_outlet()

    def _ripple_at(self, steps: int) -> float:
        """Return the part of V that comes back every revolution, µL."""
        angle_rad = self._start_rad + steps * self._radian_per_step
        ripple_ul = self._rotor_ul * math.sin(angle_rad + self._rotor_phase_rad)
        for times, amplitude_ul in self._harmonics:
            ripple_ul -= amplitude_ul * math.sin(times * angle_rad)
        return ripple_ul

    def _raw_displaced_ul(self) -> float:
        return self._swept_ul

    def _refresh_outlet(self) -> None:
        super()._refresh_outlet()
        self._relax_rate_per_s = self._conductance_ul_per_s_pa / self._compliance_ul_per_pa
        self._filling = 1.0 + self._inlet_per_pa * column_pressure_pa(
            self._inlet_height_m, self._density_g_ml
        )
