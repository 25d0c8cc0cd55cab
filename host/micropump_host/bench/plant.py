"""What a mechanism does to the liquid: the part that the syringe and the peristaltic pump share.

A plant knows no clock: times are handed in, in seconds, never decreasing. Between two events
(a microstep, a change at the outlet) its state follows a closed form, so that ``advance`` is exact
for any interval, however long. Volumes inside are in µL and pressures in Pa: a compliance is then
in µL/Pa, a resistance in Pa·s/µL, and their product in s.

Equations and the source of every parameter: ``docs/physics.md``.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from micropump_host.bench.outlet import column_pressure_pa

SECONDS_PER_HOUR = 3600.0
# A short open stub: beside any tube and needle it is nothing (docs/physics.md).
DISCONNECTED_PA_S_PER_UL = 0.5


@dataclass(frozen=True)
class SyringeGeometry:
    """The ideal mechanism of a syringe pump, as the firmware's catalogue has it.

    Attributes:
        bore_mm: the syringe's inner diameter, mm.
        lead_mm: plunger travel per revolution of the screw, mm.
        microsteps_per_rev: microsteps per revolution of the motor.
        gear_ratio: motor revolutions per revolution of the screw.

    """

    bore_mm: float
    lead_mm: float
    microsteps_per_rev: int
    gear_ratio: float = 1.0


@dataclass(frozen=True)
class PeristalticGeometry:
    """The ideal mechanism of a peristaltic pump, as the firmware's catalogue has it.

    Attributes:
        ml_per_rev: volume per revolution of the head, mL.
        rollers: number of rollers.
        microsteps_per_rev: microsteps per revolution of the motor.
        gear_ratio: motor revolutions per revolution of the head.

    """

    ml_per_rev: float
    rollers: int
    microsteps_per_rev: int
    gear_ratio: float = 1.0


@dataclass(frozen=True)
class LineEnd:
    """The line and what it ends in, in the units of the inner loop.

    Attributes:
        resistance_pa_s_per_ul: tube and needle together, Pa per µL/s; above zero.
        back_pressure_pa: pressure at the line's end, gauge, Pa.
        head_height_m: height of the line's end above the pump, m.
        density_g_ml: density of the liquid, g/mL.

    """

    resistance_pa_s_per_ul: float
    back_pressure_pa: float
    head_height_m: float
    density_g_ml: float


class Plant(ABC):
    """A pump mechanism with its line, stepped one microstep at a time.

    Attributes:
        microstep_ul: volume of one microstep of the ideal mechanism, µL.

    """

    __slots__ = (
        "_back_pressure_pa",
        "_conductance_ul_per_s_pa",
        "_density_g_ml",
        "_disconnected",
        "_displaced_zero_ul",
        "_head_height_m",
        "_narrowing",
        "_occluded",
        "_open_conductance_ul_per_s_pa",
        "_outflow_ul",
        "_outflow_zero_ul",
        "_outlet_pressure_pa",
        "_pressure_pa",
        "_steps",
        "_time_s",
        "microstep_ul",
    )

    def __init__(self, microstep_ul: float, line_end: LineEnd) -> None:
        self.microstep_ul = microstep_ul
        self._steps = 0
        self._time_s = 0.0
        self._pressure_pa = 0.0
        self._outflow_ul = 0.0
        self._outflow_zero_ul = 0.0
        self._displaced_zero_ul = 0.0
        self._open_conductance_ul_per_s_pa = 1.0 / line_end.resistance_pa_s_per_ul
        self._back_pressure_pa = line_end.back_pressure_pa
        self._head_height_m = line_end.head_height_m
        self._density_g_ml = line_end.density_g_ml
        self._occluded = False
        self._disconnected = False
        self._narrowing = 1.0
        self._refresh_outlet()

    @abstractmethod
    def advance(self, t_s: float) -> None:
        """Bring the state exactly to the time ``t_s`` (s) with the motor at rest.

        Raises:
            ValueError: if ``t_s`` is before the plant's time.

        """

    @abstractmethod
    def step(self, t_s: float) -> None:
        """Make one forward microstep at the time ``t_s`` (s).

        Raises:
            ValueError: if ``t_s`` is before the plant's time.

        """

    @abstractmethod
    def step_back(self, t_s: float) -> None:
        """Make one microstep backwards at the time ``t_s`` (s).

        Raises:
            ValueError: if ``t_s`` is before the plant's time.

        """

    @abstractmethod
    def fill(self, content_ul: float) -> None:
        """Let the container hold so much from the plant's present time on.

        Nothing else about the plant changes. A plant that was never filled has no end.

        Args:
            content_ul: what its marks say, µL; zero or more.

        """

    @property
    @abstractmethod
    def content_ul(self) -> float:
        """What the container's marks say that it holds, µL; infinite if it was never filled."""

    def step_train(self, first_s: float, interval_s: float, count: int) -> None:
        """Make ``count`` microsteps, the first at ``first_s``, then every ``interval_s``.

        The same as ``count`` calls of ``step`` at ``first_s + i * interval_s``; a negative count is
        as many of ``step_back``.

        Raises:
            ValueError: if ``first_s`` is before the plant's time or ``interval_s`` is negative.

        """
        step = self.step if count > 0 else self.step_back
        for i in range(abs(count)):
            step(first_s + i * interval_s)

    def purge(self, volume_ul: float, rate_ul_h: float, rest_s: float) -> None:
        """Pump ``volume_ul`` at ``rate_ul_h`` and rest, all before time zero, then count anew.

        It is made of real microsteps, so that free play is taken up and the plunger and the line
        are in the state in which such a purge leaves them.

        Args:
            volume_ul: volume to purge, µL of the ideal mechanism.
            rate_ul_h: rate, µL/h.
            rest_s: rest between the last microstep and time zero, s.

        Raises:
            ValueError: if the plant has already moved or its time is past zero.

        """
        if self._steps or self._time_s > 0.0:
            raise ValueError("a purge comes before anything else")
        count = round(volume_ul / self.microstep_ul)
        interval_s = self.microstep_ul * SECONDS_PER_HOUR / rate_ul_h
        self._time_s = -(count * interval_s + rest_s)
        self.step_train(self._time_s, interval_s, count)
        self.advance(0.0)
        self.count_anew()

    def count_anew(self) -> None:
        """Count outflow and displaced volume from zero, from the plant's present time on."""
        self._displaced_zero_ul = self._raw_displaced_ul()
        self._outflow_zero_ul = self._outflow_ul

    @abstractmethod
    def _raw_displaced_ul(self) -> float:
        """Return the volume swept since the plant was built, µL."""

    @property
    def time_s(self) -> float:
        """The plant's time, s."""
        return self._time_s

    @property
    def steps(self) -> int:
        """Microsteps since the plant was built, a purge's included, those backwards taken away."""
        return self._steps

    @property
    def outflow_ul(self) -> float:
        """Volume that has left the line's end since the count began, µL; falls with back-flow."""
        return self._outflow_ul - self._outflow_zero_ul

    @property
    def displaced_ul(self) -> float:
        """Volume that plunger or head has swept since the count began, µL."""
        return self._raw_displaced_ul() - self._displaced_zero_ul

    @property
    def pressure_pa(self) -> float:
        """Pressure at the pump's outlet, gauge, Pa."""
        return self._pressure_pa

    @property
    def outlet_pressure_pa(self) -> float:
        """Back pressure and head together, as the pump's outlet feels them, gauge, Pa."""
        return self._outlet_pressure_pa

    @property
    def outflow_rate_ul_s(self) -> float:
        """The rate at which liquid leaves the line's end at this moment, µL/s."""
        return self._conductance_ul_per_s_pa * (self._pressure_pa - self._outlet_pressure_pa)

    @property
    def occluded(self) -> bool:
        """Whether the line's end is closed."""
        return self._occluded

    def occlude(self) -> None:
        """Close the line's end, at the plant's present time."""
        self._occluded = True
        self._refresh_outlet()

    def release(self) -> None:
        """Open the line's end, at the plant's present time."""
        self._occluded = False
        self._refresh_outlet()

    def narrow(self, times: float) -> None:
        """Let the open line resist ``times`` as much as it is built to; 1 mends it."""
        self._narrowing = times
        self._refresh_outlet()

    def disconnect(self) -> None:
        """Take the line off the pump's outlet: almost no resistance, and ambient pressure."""
        self._disconnected = True
        self._refresh_outlet()

    def reconnect(self) -> None:
        """Put the line on again, as it was, at the plant's present time."""
        self._disconnected = False
        self._refresh_outlet()

    def raise_pump(self, height_m: float) -> None:
        """Move the pump up by ``height_m`` (m); what it is connected to stays where it is."""
        self.set_head_height(self._head_height_m - height_m)

    def set_back_pressure(self, back_pressure_pa: float) -> None:
        """Set the gauge pressure (Pa) at the line's end, at the plant's present time."""
        self._back_pressure_pa = back_pressure_pa
        self._refresh_outlet()

    def set_head_height(self, head_height_m: float) -> None:
        """Set the height (m) of the line's end above the pump, at the plant's present time."""
        self._head_height_m = head_height_m
        self._refresh_outlet()

    def _refresh_outlet(self) -> None:
        if self._disconnected:
            self._conductance_ul_per_s_pa = 1.0 / DISCONNECTED_PA_S_PER_UL
            self._outlet_pressure_pa = 0.0
            return
        self._conductance_ul_per_s_pa = (
            0.0 if self._occluded else self._open_conductance_ul_per_s_pa / self._narrowing
        )
        self._outlet_pressure_pa = self._back_pressure_pa + column_pressure_pa(
            self._head_height_m, self._density_g_ml
        )
