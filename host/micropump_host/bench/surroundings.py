"""What the sensors of the bench are there to notice: air, supplies, temperature, door and clamp.

None of it reads a clock; times and volumes are handed in. ``docs/physics.md`` has the models.
"""

import bisect
import math

from micropump_host.bench.motor import Motor
from micropump_host.bench.peristaltic import PeristalticPlant
from micropump_host.bench.plant import SECONDS_PER_HOUR, Plant
from micropump_host.bench.syringe import SyringePlant

# Open-circuit voltage of three lithium cells in series by state of charge, mV: three times the
# usual curve of one (4.2 V full, 3.7 V at half, falling off steeply below a tenth).
CELLS_MV = (
    (0.0, 9000.0),
    (0.05, 10050.0),
    (0.1, 10500.0),
    (0.25, 10890.0),
    (0.5, 11250.0),
    (0.75, 11880.0),
    (1.0, 12600.0),
)
_PA_PER_KPA = 1000.0


class Bubbles:
    """The air in the line, and how much of it stands in the window of a sensor.

    The line's content moves with the liquid: what enters at the pump when so much has flowed stands
    in the window once ``from_pump_ul`` more has.

    Args:
        from_pump_ul: volume of the line between the pump's outlet and the window, µL.
        window_ul: volume of the line that the sensor sees, µL; above zero.

    """

    def __init__(self, from_pump_ul: float, window_ul: float) -> None:
        self._from_pump_ul = from_pump_ul
        self._window_ul = window_ul
        # (flow when its front entered, when its end did), in order.
        self._bubbles: list[tuple[float, float]] = []

    def clear(self) -> None:
        """Let the line hold liquid alone."""
        self._bubbles = []

    def enter(self, flowed_ul: float, volume_ul: float = math.inf) -> None:
        """Let air enter at the pump: ``volume_ul`` (µL) of it, or nothing else until ``end``."""
        self._bubbles.append((flowed_ul, flowed_ul + volume_ul))

    def end(self, flowed_ul: float) -> None:
        """Let liquid enter again."""
        self._bubbles = [
            (front_ul, min(end_ul, flowed_ul))
            for front_ul, end_ul in self._bubbles
            if front_ul < flowed_ul
        ]

    def air_fraction(self, flowed_ul: float) -> float:
        """What part of the window is air when so much has flowed, 0 to 1."""
        if not self._bubbles:
            return 0.0
        # What left and what enters the window now, told by the flow at which it entered the line.
        newest_ul = flowed_ul - self._from_pump_ul
        oldest_ul = newest_ul - self._window_ul
        air_ul = 0.0
        for front_ul, end_ul in self._bubbles:
            air_ul += max(0.0, min(end_ul, newest_ul) - max(front_ul, oldest_ul))
        return min(1.0, air_ul / self._window_ul)


class Supply:
    """The battery and the motor's supply.

    Args:
        on_mains: whether the battery is spared.
        capacity_mah: charge of the full battery, mAh.
        charge: what it holds of it, 0 to 1.
        resistance_mohm: its inner resistance, mΩ.
        idle_ma, motor_ma: current, and that which the motor takes beside it, mA.
        rail_mv: the motor's supply, mV.

    """

    def __init__(
        self,
        on_mains: bool,
        capacity_mah: float,
        charge: float,
        resistance_mohm: float,
        idle_ma: float,
        motor_ma: float,
        rail_mv: float,
    ) -> None:
        self.on_mains = on_mains
        self.charge = charge
        self.battery_sag_mv = 0.0
        self.rail_sag_mv = 0.0
        self._capacity_mah = capacity_mah
        self._resistance_ohm = resistance_mohm * 1e-3
        self._idle_ma = idle_ma
        self._motor_ma = motor_ma
        self._rail_mv = rail_mv
        self._motor_is_on = False

    def pass_s(self, interval_s: float, motor_is_on: bool) -> None:
        """Let ``interval_s`` (s) pass with the motor on or off."""
        self._motor_is_on = motor_is_on
        if not self.on_mains:
            spent_mah = self._current_ma() * interval_s / SECONDS_PER_HOUR
            self.charge = max(0.0, self.charge - spent_mah / self._capacity_mah)

    def battery_mv(self) -> float:
        """The battery's voltage at its terminals, mV."""
        return max(
            0.0,
            open_circuit_mv(self.charge)
            - self._current_ma() * self._resistance_ohm
            - self.battery_sag_mv,
        )

    def rail_mv(self) -> float:
        """The motor's supply, mV."""
        return max(0.0, self._rail_mv - self.rail_sag_mv)

    def _current_ma(self) -> float:
        if self.on_mains:
            return 0.0
        return self._idle_ma + (self._motor_ma if self._motor_is_on else 0.0)


def open_circuit_mv(charge: float) -> float:
    """The battery's voltage without a load at a charge of 0 to 1, mV: straight between points."""
    at = min(max(bisect.bisect_right(CELLS_MV, (charge, math.inf)), 1), len(CELLS_MV) - 1)
    (low, low_mv), (high, high_mv) = CELLS_MV[at - 1], CELLS_MV[at]
    return low_mv + (high_mv - low_mv) * (charge - low) / (high - low)


class Climate:
    """The temperature in the pump, which follows that around it and its motor with a lag.

    Args:
        ambient_c: around the pump, °C.
        motor_rise_k: by which a motor that turns warms the pump in the end, K.
        lag_s: time constant, s; above zero.

    """

    def __init__(self, ambient_c: float, motor_rise_k: float, lag_s: float) -> None:
        self.ambient_c = ambient_c
        self.inside_c = ambient_c
        self._motor_rise_k = motor_rise_k
        self._lag_s = lag_s
        # An exponential costs more than all the rest of a sample, and intervals are mostly alike.
        self._interval_s = 0.0
        self._decay = 1.0

    def pass_s(self, interval_s: float, motor_is_on: bool) -> None:
        """Let ``interval_s`` (s) pass with the motor on or off."""
        if interval_s != self._interval_s:
            self._interval_s = interval_s
            self._decay = math.exp(-interval_s / self._lag_s)
        target_c = self.ambient_c + (self._motor_rise_k if motor_is_on else 0.0)
        self.inside_c = target_c + (self.inside_c - target_c) * self._decay


class Surroundings:
    """All of it together, with the plant and its motor: what there is to be measured.

    Args:
        motor: whose shaft turns.
        bubbles, supply, climate: see there.
        inlet_pa_s_per_ul: resistance of the tube between supply and rollers, Pa per µL/s.

    Attributes:
        plant: the plant that the sensors are at; without one the line holds no pressure.
        barrel_mm: outer diameter of the syringe in the clamp; 0 for none.
        ul_per_mm: volume of that syringe for each millimetre of travel, µL/mm.
        door_is_open, end_stop_is_pressed: switches.
        now_s: time since the pump was switched on, s.

    """

    def __init__(
        self,
        motor: Motor,
        bubbles: Bubbles,
        supply: Supply,
        climate: Climate,
        inlet_pa_s_per_ul: float,
    ) -> None:
        self.motor = motor
        self.bubbles = bubbles
        self.supply = supply
        self.climate = climate
        self.plant: Plant | None = None
        self.barrel_mm = 0.0
        self.ul_per_mm = math.inf
        self.door_is_open = False
        self.end_stop_is_pressed = False
        self.now_s = 0.0
        self._inlet_pa_s_per_ul = inlet_pa_s_per_ul
        self._drawn_ul = 0.0
        self._drawn_s = 0.0

    def begin(self, plant: Plant) -> None:
        """The sensors are at this plant from now on, whose line holds no air."""
        self.plant = plant
        self.bubbles.clear()
        self._drawn_ul = plant.displaced_ul

    def pass_to(self, now_s: float, motor_is_on: bool) -> None:
        """Let time pass until ``now_s``."""
        interval_s = now_s - self.now_s
        self.now_s = now_s
        self.supply.pass_s(interval_s, motor_is_on)
        self.climate.pass_s(interval_s, motor_is_on)

    def pressure_kpa(self) -> float:
        """Pressure at the pump's outlet, gauge, kPa."""
        return self.plant.pressure_pa / _PA_PER_KPA if self.plant is not None else 0.0

    def force_n(self) -> float:
        """The drive's force on the plunger, N; none without a syringe."""
        plant = self.plant
        return plant.drive_force_n if isinstance(plant, SyringePlant) and self.barrel_mm else 0.0

    def upstream_kpa(self) -> float:
        """Pressure before the rollers, gauge, kPa, at the mean flow since this was last asked.

        The tube between supply and rollers settles within milliseconds, so that flow alone counts.
        """
        plant = self.plant
        if not isinstance(plant, PeristalticPlant):
            return 0.0
        interval_s = self.now_s - self._drawn_s
        drawn_ul = plant.displaced_ul - self._drawn_ul
        self._drawn_s = self.now_s
        self._drawn_ul = plant.displaced_ul
        pressure_pa = plant.inlet_pressure_pa
        if interval_s > 0.0 and not plant.inlet_is_clamped:
            pressure_pa -= self._inlet_pa_s_per_ul * drawn_ul / interval_s
        return pressure_pa / _PA_PER_KPA

    def air_fraction(self) -> float:
        """What part of the air sensor's window is air, 0 to 1."""
        return self.bubbles.air_fraction(self.plant.outflow_ul) if self.plant is not None else 0.0

    def travel_mm(self) -> float:
        """Way of the plunger to the bottom, mm; none without a syringe."""
        if self.plant is None or not self.barrel_mm:
            return 0.0
        return self.plant.content_ul / self.ul_per_mm
