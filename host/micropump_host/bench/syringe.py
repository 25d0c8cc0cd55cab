r"""A syringe pump: lead screw, free play, an elastic drive, a plunger that sticks and slips.

Everything is told in volumes and pressures: a travel times the plunger's area A is a volume, a
force divided by A a pressure. With the drive's stiffness k the drive has the compliance
C_d = A²/k, and with w = (pusher − plunger)·A − free play::

    push q of the drive    w/C_d   for w > 0               (pusher presses the plunger)
                           0       for −free play ≤ w ≤ 0  (pusher is between head and clamp)
                           (w + free play)/C_d below       (clamp holds the plunger back)

The free play is that at the plunger's head, which a new syringe starts with, and the screw's, which
is taken up then and felt when the motor turns back. The plunger is::

    stuck                  the plunger stands, C·dp/dt = −(p − p_out)/R, while |q − p| < p_s
    sliding, s = ±1        q − p = s·p_k, (C + C_d)·dp/dt = −(p − p_out)/R; where q = 0, p = −s·p_k
    sticks                 when the plunger's speed falls below the sticking speed
    at the bottom          when it has swept what the syringe held: it goes no further

All pieces are linear with one time constant each, so a state at any later time is an exponential
and the moment of a slip or a stick is a logarithm. ``docs/physics.md`` derives it.
"""

import math
from dataclasses import dataclass

from micropump_host.bench.plant import LineEnd, Plant, SyringeGeometry

_STUCK = 0
_FORWARD = 1
_BACKWARD = -1
_FREE_PLAY = 0


@dataclass(frozen=True)
class SyringeImperfections:
    """How a real syringe and its drive differ from the ideal mechanism.

    Attributes:
        bore_error_percent: the syringe's bore against its nominal one, %.
        pitch_error_ppm: the screw's travel against its lead, parts per million.
        periodic_error_um: amplitude of the screw's error once per revolution, µm; the travel must
            stay monotonic, so it is below lead/2π.
        periodic_phase_rad: the phase of that error at the first microstep, rad.
        backlash_um: free play between the pusher and the plunger's head, µm.
        screw_backlash_um: free play of nut and coupling, taken up at the start, µm.
        drive_stiffness_n_per_mm: of everything between motor and plunger, N/mm; above zero.
        static_friction_n: force at which a standing plunger breaks loose, N.
        kinetic_friction_n: force that keeps it sliding, N; below the static friction.
        stick_speed_um_s: speed below which it sticks, µm/s; above zero.
        compliance_ul_per_pa: syringe barrel, stopper and line, µL/Pa; above zero.

    """

    bore_error_percent: float
    pitch_error_ppm: float
    periodic_error_um: float
    periodic_phase_rad: float
    backlash_um: float
    screw_backlash_um: float
    drive_stiffness_n_per_mm: float
    static_friction_n: float
    kinetic_friction_n: float
    stick_speed_um_s: float
    compliance_ul_per_pa: float


class SyringePlant(Plant):
    """A syringe pump with its line: see the module for the equations.

    Args:
        geometry: the ideal mechanism.
        imperfections: what is not ideal about it.
        line_end: the line and what it ends in.

    Raises:
        ValueError: if static friction is not above kinetic friction, the sticking speed is not
            above zero, or the screw's periodic error would make the pusher run backwards.

    """

    __slots__ = (
        "_area_mm2",
        "_backlash_ul",
        "_bottom_ul",
        "_cd_kinetic_ul",
        "_compliance_ul_per_pa",
        "_drive_compliance_ul_per_pa",
        "_gap_ul",
        "_kinetic_pa",
        "_mode",
        "_periodic_ul",
        "_phase_rad",
        "_plunger_ul",
        "_push_per_step_ul",
        "_push_zero_ul",
        "_pushed_ul",
        "_radian_per_step",
        "_region",
        "_slide_compliance_ul_per_pa",
        "_slide_floor_pa",
        "_slide_rate_per_s",
        "_slip_above_pa",
        "_slip_below_pa",
        "_static_pa",
        "_stick_excess_pa",
        "_stick_flow_ul_s",
        "_stuck_rate_per_s",
        "_ul_per_mark",
    )

    def __init__(
        self,
        geometry: SyringeGeometry,
        imperfections: SyringeImperfections,
        line_end: LineEnd,
    ) -> None:
        ideal_area_mm2 = math.pi / 4.0 * geometry.bore_mm**2
        steps_per_screw_rev = geometry.microsteps_per_rev * geometry.gear_ratio
        travel_mm = geometry.lead_mm / steps_per_screw_rev
        if not 0.0 <= imperfections.kinetic_friction_n < imperfections.static_friction_n:
            raise ValueError("static friction must be above kinetic friction")
        if imperfections.stick_speed_um_s <= 0.0:
            raise ValueError("a plunger at rest sticks: the sticking speed is above zero")
        if imperfections.periodic_error_um * 1e-3 * math.tau >= geometry.lead_mm:
            raise ValueError("the screw's periodic error would drive the pusher backwards")

        # 1 mm² × 1 mm = 1 µL, and 1 N / 1 mm² = 1 MPa.
        area_mm2 = ideal_area_mm2 * (1.0 + imperfections.bore_error_percent / 100.0) ** 2
        self._area_mm2 = area_mm2
        # Syringes are filled to a mark, and marks are printed for the nominal bore.
        self._ul_per_mark = area_mm2 / ideal_area_mm2
        self._push_per_step_ul = travel_mm * area_mm2 * (1.0 + imperfections.pitch_error_ppm * 1e-6)
        self._radian_per_step = math.tau / steps_per_screw_rev
        self._periodic_ul = imperfections.periodic_error_um * 1e-3 * area_mm2
        self._phase_rad = imperfections.periodic_phase_rad
        self._gap_ul = imperfections.backlash_um * 1e-3 * area_mm2
        self._backlash_ul = self._gap_ul + imperfections.screw_backlash_um * 1e-3 * area_mm2
        self._drive_compliance_ul_per_pa = (
            area_mm2**2 / imperfections.drive_stiffness_n_per_mm * 1e-6
        )
        self._compliance_ul_per_pa = imperfections.compliance_ul_per_pa
        self._slide_compliance_ul_per_pa = (
            self._compliance_ul_per_pa + self._drive_compliance_ul_per_pa
        )
        self._static_pa = imperfections.static_friction_n / area_mm2 * 1e6
        self._kinetic_pa = imperfections.kinetic_friction_n / area_mm2 * 1e6
        self._cd_kinetic_ul = self._drive_compliance_ul_per_pa * self._kinetic_pa
        self._stick_flow_ul_s = imperfections.stick_speed_um_s * 1e-3 * area_mm2

        # The pusher was driven forward until a free play away from the plunger's head.
        self._push_zero_ul = -self._gap_ul - self._periodic_ul * math.sin(self._phase_rad)
        self._pushed_ul = -self._gap_ul
        self._plunger_ul = 0.0
        self._bottom_ul = math.inf
        self._mode = _STUCK
        self._region = _FREE_PLAY
        self._slide_floor_pa = -math.inf
        super().__init__(travel_mm * ideal_area_mm2, line_end)
        self._slip_below_pa = -self._static_pa
        self._slip_above_pa = self._static_pa

    @property
    def pushed_ul(self) -> float:
        """Volume that the pusher's travel stands for since the plant was built, µL."""
        return self._pushed_ul + self._gap_ul

    @property
    def drive_pressure_pa(self) -> float:
        """The drive's force on the plunger divided by the plunger's area, Pa."""
        return self._drive_pressure_pa(self._pushed_ul - self._raw_displaced_ul())

    @property
    def drive_force_n(self) -> float:
        """The drive's force on the plunger, N; negative while the clamp holds the plunger back."""
        # 1 Pa · 1 mm² = 1 µN.
        return self.drive_pressure_pa * self._area_mm2 * 1e-6

    @property
    def drive_strain_ul(self) -> float:
        """How far the pusher leads the plunger beyond first contact, as a volume, µL."""
        return self._pushed_ul - self._raw_displaced_ul()

    @property
    def sliding(self) -> bool:
        """Whether the plunger is sliding at this moment."""
        return self._mode != _STUCK

    @property
    def content_ul(self) -> float:
        """What the mark at the plunger says that it holds, µL; infinite if it was never filled."""
        return (self._bottom_ul - self._raw_displaced_ul()) / self._ul_per_mark

    def fill(self, content_ul: float) -> None:
        """Let the plunger stand at the mark ``content_ul`` (µL) of the syringe."""
        self._bottom_ul = self._raw_displaced_ul() + content_ul * self._ul_per_mark
        if self._mode != _STUCK:
            self._mind_bottom()
            return
        self._find_slips()
        if self._pressure_pa <= self._slip_below_pa:
            self._slip(_FORWARD)
        elif self._pressure_pa >= self._slip_above_pa:
            self._slip(_BACKWARD)

    def change_syringe(self, content_ul: float, strain_ul: float) -> None:
        """Put another syringe in, with the line closed meanwhile.

        Args:
            content_ul: the mark that its plunger stands at, µL.
            strain_ul: how far the pusher leads its plunger beyond first contact, as a volume, µL;
                negative within the free play.

        """
        self._stick()
        pushed_ul = self._plunger_ul + strain_ul
        self._push_zero_ul += pushed_ul - self._pushed_ul
        self._pushed_ul = pushed_ul
        self.fill(content_ul)

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
        mode = self._mode
        # The two cases that make up nearly all of a run, with no event inside the interval.
        if mode == _STUCK:
            after_pa = outlet_pa + (before_pa - outlet_pa) * math.exp(
                -interval_s * self._stuck_rate_per_s
            )
            if self._slip_below_pa < after_pa < self._slip_above_pa:
                self._outflow_ul += self._compliance_ul_per_pa * (before_pa - after_pa)
                self._pressure_pa = after_pa
                self._time_s = t_s
                return
        elif mode == _FORWARD and self._region != _FREE_PLAY:
            excess_pa = (before_pa - outlet_pa) * math.exp(-interval_s * self._slide_rate_per_s)
            after_pa = outlet_pa + excess_pa
            if excess_pa > self._stick_excess_pa and after_pa > self._slide_floor_pa:
                self._outflow_ul += self._slide_compliance_ul_per_pa * (before_pa - after_pa)
                self._pressure_pa = after_pa
                self._time_s = t_s
                return
        self._advance_over_events(t_s)

    def step(self, t_s: float) -> None:
        """Make one forward microstep at the time ``t_s`` (s).

        Raises:
            ValueError: if ``t_s`` is before the plant's time.

        """
        self.advance(t_s)
        if self._mode == _BACKWARD:
            # A push against the motion takes away the force that kept the plunger moving.
            self._stick()
        steps = self._steps + 1
        self._steps = steps
        pushed_ul = (
            self._push_zero_ul
            + steps * self._push_per_step_ul
            + self._periodic_ul * math.sin(steps * self._radian_per_step + self._phase_rad)
        )
        self._pushed_ul = pushed_ul
        if self._mode == _FORWARD:
            if self._region == _FORWARD:
                self._pressure_pa = (
                    pushed_ul - self._outflow_ul - self._cd_kinetic_ul
                ) / self._slide_compliance_ul_per_pa
                if pushed_ul > self._bottom_ul:
                    self._mind_bottom()
            else:
                self._settle()
            return
        self._find_slips()
        if self._pressure_pa <= self._slip_below_pa:
            self._slip(_FORWARD)

    def step_back(self, t_s: float) -> None:
        """Make one microstep backwards at the time ``t_s`` (s).

        Raises:
            ValueError: if ``t_s`` is before the plant's time.

        """
        self.advance(t_s)
        if self._mode == _FORWARD:
            self._stick()
        self._steps -= 1
        self._pushed_ul = (
            self._push_zero_ul
            + self._steps * self._push_per_step_ul
            + self._periodic_ul * math.sin(self._steps * self._radian_per_step + self._phase_rad)
        )
        if self._mode == _BACKWARD:
            self._settle()
            return
        self._find_slips()
        if self._pressure_pa >= self._slip_above_pa:
            self._slip(_BACKWARD)

    def _raw_displaced_ul(self) -> float:
        if self._mode == _STUCK:
            return self._plunger_ul
        if self._region == _FREE_PLAY:
            return self._outflow_ul + self._compliance_ul_per_pa * self._pressure_pa
        strain_ul = self._drive_compliance_ul_per_pa * (
            self._pressure_pa + self._mode * self._kinetic_pa
        )
        if self._region == _BACKWARD:
            strain_ul -= self._backlash_ul
        return self._pushed_ul - strain_ul

    def _drive_pressure_pa(self, strain_ul: float) -> float:
        if strain_ul > 0.0:
            return strain_ul / self._drive_compliance_ul_per_pa
        if strain_ul < -self._backlash_ul:
            return (strain_ul + self._backlash_ul) / self._drive_compliance_ul_per_pa
        return 0.0

    def _refresh_outlet(self) -> None:
        super()._refresh_outlet()
        conductance = self._conductance_ul_per_s_pa
        self._stuck_rate_per_s = conductance / self._compliance_ul_per_pa
        self._slide_rate_per_s = conductance / self._slide_compliance_ul_per_pa
        # The plunger's speed is C_d/(C + C_d) of the flow, hence this excess at the sticking speed.
        self._stick_excess_pa = (
            self._stick_flow_ul_s
            * self._slide_compliance_ul_per_pa
            / (self._drive_compliance_ul_per_pa * conductance)
            if conductance > 0.0
            else math.inf
        )

    def _find_slips(self) -> None:
        """Set the pressures at which the standing plunger would break loose."""
        drive_pa = self._drive_pressure_pa(self._pushed_ul - self._plunger_ul)
        at_bottom = self._plunger_ul >= self._bottom_ul
        self._slip_below_pa = -math.inf if at_bottom else drive_pa - self._static_pa
        self._slip_above_pa = drive_pa + self._static_pa

    def _slip(self, direction: int) -> None:
        self._mode = direction
        self._settle()

    def _stick(self) -> None:
        self._plunger_ul = self._raw_displaced_ul()
        self._mode = _STUCK
        self._find_slips()

    def _settle(self) -> None:
        """Find pressure and region of the sliding plunger for the volume that is in the system.

        No time passes, so what the drive and the liquid store together, w + C·p, is given.
        """
        stored_ul = self._pushed_ul - self._outflow_ul
        friction_pa = self._mode * self._kinetic_pa
        friction_ul = self._mode * self._cd_kinetic_ul
        pressed_pa = (stored_ul - friction_ul) / self._slide_compliance_ul_per_pa
        held_pa = (stored_ul + self._backlash_ul - friction_ul) / self._slide_compliance_ul_per_pa
        if pressed_pa + friction_pa >= 0.0:
            self._enter(_FORWARD, pressed_pa)
        elif held_pa + friction_pa <= 0.0:
            self._enter(_BACKWARD, held_pa)
        else:
            self._enter(_FREE_PLAY, -friction_pa)
        self._mind_bottom()

    def _enter(self, region: int, pressure_pa: float) -> None:
        self._region = region
        self._pressure_pa = pressure_pa
        floor_pa = self._bottom_pressure_pa()
        self._slide_floor_pa = max(-self._kinetic_pa, floor_pa) if region == _FORWARD else floor_pa

    def _bottom_pressure_pa(self) -> float:
        """The pressure at which the plunger, sliding forward, reaches the bottom: force balance."""
        reach_ul = self._pushed_ul - self._bottom_ul
        if self._region == _BACKWARD:
            reach_ul += self._backlash_ul
        return reach_ul / self._drive_compliance_ul_per_pa - self._kinetic_pa

    def _mind_bottom(self) -> None:
        """Of the sliding plunger: stop it at the bottom, or know when it will be there."""
        if self._mode != _FORWARD:
            return
        if self._raw_displaced_ul() >= self._bottom_ul:
            self._reach_bottom()
        else:
            self._enter(self._region, self._pressure_pa)

    def _reach_bottom(self) -> None:
        self._mode = _STUCK
        self._plunger_ul = self._bottom_ul
        self._pressure_pa = (self._bottom_ul - self._outflow_ul) / self._compliance_ul_per_pa
        self._find_slips()

    def _let_go(self) -> None:
        self._enter(_FREE_PLAY, -self._mode * self._kinetic_pa)

    def _advance_over_events(self, t_s: float) -> None:
        while self._time_s < t_s:
            if self._mode == _STUCK:
                self._advance_stuck(t_s)
            elif self._region == _FREE_PLAY:
                self._advance_in_free_play(t_s)
            else:
                self._advance_sliding(t_s)

    def _advance_stuck(self, t_s: float) -> None:
        """Relax with the plunger standing, to ``t_s`` or until it breaks loose."""
        outlet_pa = self._outlet_pressure_pa
        before_pa = self._pressure_pa
        direction = _FORWARD if before_pa > outlet_pa else _BACKWARD
        slip_pa = self._slip_below_pa if direction == _FORWARD else self._slip_above_pa
        event_s = self._time_s + _decay_time_s(
            before_pa - outlet_pa, slip_pa - outlet_pa, self._stuck_rate_per_s
        )
        if event_s <= t_s:
            after_pa = slip_pa
        else:
            after_pa = outlet_pa + (before_pa - outlet_pa) * math.exp(
                -(t_s - self._time_s) * self._stuck_rate_per_s
            )
        self._outflow_ul += self._compliance_ul_per_pa * (before_pa - after_pa)
        self._pressure_pa = after_pa
        self._time_s = min(event_s, t_s)
        if event_s <= t_s:
            self._slip(direction)

    def _advance_sliding(self, t_s: float) -> None:
        """Slide against the elastic drive, to ``t_s``, or until stuck, let go, or at the bottom."""
        mode = self._mode
        outlet_pa = self._outlet_pressure_pa
        before_pa = self._pressure_pa
        end_excess_pa = self._stick_excess_pa
        end = self._stick
        if self._region == mode:
            let_go_excess_pa = -self._kinetic_pa - mode * outlet_pa
            if let_go_excess_pa > end_excess_pa:
                end_excess_pa = let_go_excess_pa
                end = self._let_go
        if mode == _FORWARD:
            bottom_excess_pa = self._bottom_pressure_pa() - outlet_pa
            if bottom_excess_pa > end_excess_pa:
                end_excess_pa = bottom_excess_pa
                end = self._reach_bottom
        excess_pa = mode * (before_pa - outlet_pa)
        if excess_pa <= end_excess_pa:
            end()
            return
        event_s = self._time_s + _decay_time_s(excess_pa, end_excess_pa, self._slide_rate_per_s)
        if event_s <= t_s:
            after_pa = outlet_pa + mode * end_excess_pa
        else:
            after_pa = outlet_pa + (before_pa - outlet_pa) * math.exp(
                -(t_s - self._time_s) * self._slide_rate_per_s
            )
        self._outflow_ul += self._slide_compliance_ul_per_pa * (before_pa - after_pa)
        self._pressure_pa = after_pa
        self._time_s = min(event_s, t_s)
        if event_s <= t_s:
            end()

    def _advance_in_free_play(self, t_s: float) -> None:
        """Slide with no force from the drive: pressure and speed are constant."""
        mode = self._mode
        flow_ul_s = self.outflow_rate_ul_s
        if mode * flow_ul_s <= self._stick_flow_ul_s:
            self._stick()
            return
        swept_ul = self._raw_displaced_ul()
        edge_ul = -self._backlash_ul if mode == _FORWARD else 0.0
        room_ul = self._pushed_ul - swept_ul - edge_ul
        to_bottom = mode == _FORWARD and self._bottom_ul - swept_ul < room_ul
        if to_bottom:
            room_ul = self._bottom_ul - swept_ul
        event_s = self._time_s + max(0.0, room_ul / flow_ul_s)
        until_s = min(event_s, t_s)
        self._outflow_ul += flow_ul_s * (until_s - self._time_s)
        self._time_s = until_s
        if event_s <= t_s:
            if to_bottom:
                self._reach_bottom()
            else:
                self._enter(-mode, self._pressure_pa)


def _decay_time_s(excess_pa: float, target_pa: float, rate_per_s: float) -> float:
    """Return the time in which an exponential decay to zero reaches a target, or infinity, s."""
    if rate_per_s <= 0.0 or excess_pa == 0.0:
        return math.inf
    fraction = target_pa / excess_pa
    if fraction <= 0.0:
        return math.inf
    return max(0.0, -math.log(fraction) / rate_per_s)
