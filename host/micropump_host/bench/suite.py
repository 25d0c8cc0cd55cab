"""All sensors of a bench: which are fitted, what happens to them, and what they read.

The counts go to the core as a board's adapters would give them; ``fitted.sensor_rows`` gives the
rows by which ``micropump.sensing.Sensing`` scales and judges them.
"""

import math
from collections.abc import Mapping

from micropump import sensing
from micropump_host.bench import benchfile as bf
from micropump_host.bench.build import apply_event
from micropump_host.bench.fitted import build_sensors, build_surroundings, outer_mm, ul_per_mm
from micropump_host.bench.motor import Motor
from micropump_host.bench.plant import PeristalticGeometry, Plant, SyringeGeometry
from micropump_host.bench.sensors import Fault

_NEVER_MS = 1 << 62
_FAULTS: Mapping[type, Fault | None] = {
    bf.OpenSensor: Fault.OPEN,
    bf.ShortSensor: Fault.SHORTED,
    bf.StickSensor: Fault.STUCK,
    bf.UnplugSensor: Fault.UNPLUGGED,
    bf.SilenceSensor: Fault.SILENT,
    bf.MendSensor: None,
}


class Counts:
    """What the sensors of a bench read at one moment.

    Attributes:
        fresh: a bit for each sensor that has a new sample.
        failed: a bit for each that could not be read.
        raw: counts by the sensor's number; of the others what they were.

    """

    __slots__ = ("failed", "fresh", "raw")

    def __init__(self) -> None:
        self.fresh = 0
        self.failed = 0
        self.raw = [0] * sensing.SENSORS


class Suite:
    """The sensors of a bench, and what they see.

    Args:
        bench: says what is fitted, and what it is like.
        motor: whose shaft the encoder looks at.
        steps_per_rev: microsteps in a turn of it.

    Attributes:
        due_ms: when the sensors are read next; far away where none is fitted.
        around: the state of what they see.

    """

    def __init__(self, bench: bf.Bench, motor: Motor, steps_per_rev: int) -> None:
        self.around = build_surroundings(bench, motor)
        self._sensors = build_sensors(bench, self.around, steps_per_rev)
        self._by_name = {sensing.SENSOR_NAMES[sensor.number]: sensor for sensor in self._sensors}
        self._all = sum(1 << sensor.number for sensor in self._sensors)
        self._barrel = bench.barrel_sensor
        self._interval_ms = max(1, round(bench.sensors.interval_s * 1000))
        self._is_harmed = False
        self._counts = Counts()
        self.due_ms = 0 if self._sensors else _NEVER_MS

    def begin(self, plant: Plant) -> None:
        """The sensors are at this plant from now on, whose line holds no air."""
        self.around.begin(plant)

    def insert(self, geometry: SyringeGeometry | PeristalticGeometry) -> None:
        """Let the clamp hold the syringe that the pump was told of, or the one that is fitted."""
        if self._barrel is not None and isinstance(geometry, SyringeGeometry):
            self.around.barrel_mm = self._barrel.fitted_mm or outer_mm(geometry, self._barrel)
            self.around.ul_per_mm = ul_per_mm(geometry)

    def sample(self, now_ms: int, motor_is_on: bool) -> Counts:
        """Read all sensors; plant and motor are to be at that moment.

        Args:
            now_ms: time since the pump was switched on, ms; never decreasing.
            motor_is_on: whether the motor takes current.

        Returns:
            What they read; the next call overwrites it.

        """
        self.due_ms = now_ms + self._interval_ms
        self.around.pass_to(now_ms / 1000, motor_is_on)
        counts = self._counts
        if self._is_harmed:
            self._sample_harmed(counts)
            return counts
        raw = counts.raw
        for sensor in self._sensors:
            raw[sensor.number] = sensor.read()
        counts.fresh = self._all
        counts.failed = 0
        return counts

    def harm(self, name: str, fault: Fault | None, extent: float = 0.0) -> None:
        """Give a sensor a fault, or mend it (None); one that is not fitted cannot have any.

        Args:
            name: of ``micropump.sensing.SENSOR_NAMES``.
            fault: what it has from now on.
            extent: see ``Sensor.harm``.

        """
        if name in self._by_name:
            self._by_name[name].harm(fault, extent)
            self._is_harmed = any(sensor.fault for sensor in self._sensors)

    def apply(self, event: bf.PlantEvent | bf.MotorEvent | bf.BayEvent, plant: Plant) -> None:
        """Do what an entry of the bench file's list says, at the plant's present time.

        Raises:
            ValueError: for what is done to an inlet on a plant that has none.

        """
        if isinstance(event, bf.PlantEvent):
            apply_event(plant, event)
        elif isinstance(event, bf.MotorEvent):
            self._apply_to_motor(event)
        else:
            self._apply_around(event, plant)

    def _apply_to_motor(self, event: bf.MotorEvent) -> None:
        match event:
            case bf.StallMotor():
                self.around.motor.lose(math.inf)
            case bf.FreeMotor():
                self.around.motor.lose(0)
            case bf.LoseSteps():
                self.around.motor.lose(event.steps)

    def _apply_around(self, event: bf.BayEvent, plant: Plant) -> None:
        match event:
            case bf.Bubble() | bf.AirRun() | bf.EndAir():
                self._apply_to_line(event, plant)
            case bf.RemoveSyringe():
                self.around.barrel_mm = 0.0
                # Nobody pushes the plunger: it stands, wherever it is.
                plant.fill(0.0)
            case bf.PutSyringe():
                self.around.barrel_mm = event.outer_mm
                plant.fill(event.ml * 1000.0)
            case bf.OpenDoor() | bf.CloseDoor():
                self.around.door_is_open = isinstance(event, bf.OpenDoor)
            case bf.PressEndStop() | bf.ReleaseEndStop():
                self.around.end_stop_is_pressed = isinstance(event, bf.PressEndStop)
            case bf.SetAmbient():
                self.around.climate.ambient_c = event.celsius
            case bf.DriftSensor():
                self.harm(event.sensor, Fault.DRIFTING, event.raw_per_min)
            case bf.NoisySensor():
                self.harm(event.sensor, Fault.NOISY, event.raw)
            case _ if isinstance(event, bf.SupplyEvent):
                self._apply_to_supply(event)
            case _:
                self.harm(event.sensor, _FAULTS[type(event)])

    def _apply_to_line(self, event: bf.Bubble | bf.AirRun | bf.EndAir, plant: Plant) -> None:
        bubbles = self.around.bubbles
        match event:
            case bf.Bubble():
                bubbles.enter(plant.outflow_ul, event.ul)
            case bf.AirRun():
                bubbles.enter(plant.outflow_ul)
            case bf.EndAir():
                bubbles.end(plant.outflow_ul)

    def _apply_to_supply(self, event: bf.SupplyEvent) -> None:
        supply = self.around.supply
        match event:
            case bf.UnplugMains() | bf.PlugMains():
                supply.on_mains = isinstance(event, bf.PlugMains)
            case bf.SetCharge():
                supply.charge = event.percent / 100.0
            case bf.SagBattery():
                supply.battery_sag_mv = event.mv
            case bf.SagRail():
                supply.rail_sag_mv = event.mv

    def _sample_harmed(self, counts: Counts) -> None:
        counts.fresh = counts.failed = 0
        for sensor in self._sensors:
            raw = sensor.read_faulty() if sensor.fault else sensor.read()
            if raw is not None:
                counts.raw[sensor.number] = raw
                counts.fresh |= 1 << sensor.number
            elif sensor.fault is not Fault.SILENT:
                counts.failed |= 1 << sensor.number
