"""The virtual bench at work: firmware, motor, plant and balance under one virtual clock.

Time jumps from event to event: a sample of the balance, a reading of the sensor at the plunger, an
entry of the bench file's event list, a byte from the host. In between the firmware runs every
control cycle, and the plant follows its closed forms. The plant is brought up to date at these
moments and at stops alone, so that what the balance sees does not depend, to the last bit, on how
time was cut up or on who asked.

When the pump is told of a container, the bench has it: at the start of a program, and when one is
changed. Every program has a plant of its own, but for the one after a purge, which goes on with
what was purged.
"""

import re
from dataclasses import dataclass
from typing import Protocol

from micropump.controller import PRIMING, PROGRAMMED, RELIEVING, RUNNING, STOPPING
from micropump.mechanism import Mechanism, build
from micropump_host.bench.benchfile import (
    Bench,
    BenchEvent,
    CloseInterlock,
    FailDriver,
    InputEvent,
    MendDriver,
    OpenInterlock,
)
from micropump_host.bench.build import (
    build_balance,
    build_plant,
    build_plunger_sensor,
    change_container,
)
from micropump_host.bench.fitted import sensor_specs
from micropump_host.bench.ground import Ground
from micropump_host.bench.mechanics import geometry_of, steps_per_rev
from micropump_host.bench.motor import Motor
from micropump_host.bench.plant import PeristalticGeometry, Plant, SyringeGeometry
from micropump_host.bench.sensor import PlungerSensor
from micropump_host.bench.suite import Suite

_NEVER_MS = 1 << 62
# States in which the motor takes current.
MOVING = (*RUNNING, STOPPING, RELIEVING)
# A frame with its delimiter, or the beginning of one.
_FRAMES = re.compile(rb"[^\x00]*\x00|[^\x00]+")


@dataclass(frozen=True)
class Sample:
    """A reading of the balance, ``t_s`` after the start of the infusion, and what was behind it."""

    t_s: float
    mass_g: float
    pressure_pa: float
    steps: int


class Recorder(Protocol):
    """What is told of an infusion as it goes on."""

    def begin(self, mechanism: Mechanism) -> None:
        """An infusion starts, on ``mechanism``."""

    def sample(self, sample: Sample) -> None:
        """The balance was read."""

    def end(self) -> None:
        """The infusion has come to its end."""


class VirtualBench:
    """One pump on one bench.

    The plant and the balance come into being when a program starts, as one puts a syringe in and
    tares; from then on the balance is read until the therapy is delivered, delays, waits and pauses
    included. A purge is not recorded.

    Args:
        ground: where the firmware's core runs.
        kind, drive_id: what is fitted.
        bench: imperfections, line, balance and events.
        recorder: is told of each infusion.

    Attributes:
        now_ms: virtual time since the pump was switched on.
        suite: the sensors that the bench file fits, read from the moment of switching on.
        plant: as it was at the last sample, event, look or stop; None before the first infusion.
        started_ms: when the present or last infusion started, or None.

    """

    def __init__(
        self, ground: Ground, kind: int, drive_id: str, bench: Bench, recorder: Recorder
    ) -> None:
        self.ground = ground
        self.kind = kind
        self.drive_id = drive_id
        self.bench = bench
        self.motor = Motor()
        self.plant: Plant | None = None
        self.now_ms = 0
        self.started_ms: int | None = None
        self._recorder = recorder
        self._recording = False
        self._programmed = True
        self._balance = build_balance(bench)
        self._interval_ms = max(1, round(bench.balance.sample_interval_s * 1000))
        self._sample_ms = 0
        self._events: list[BenchEvent] = []
        self._geometry: SyringeGeometry | PeristalticGeometry | None = None
        self._is_purged = False
        self._containers = 0
        self._secondary_ul = 0
        self._sensor: PlungerSensor | None = None
        self._sensor_ms = _NEVER_MS
        self.suite = Suite(bench, self.motor, steps_per_rev(kind, drive_id))
        specs = sensor_specs(bench)
        if specs:
            ground.fit(specs)
            self._sense()

    @property
    def infusing(self) -> bool:
        """Whether a therapy is under way; keeping the vein open after it is not."""
        state = self.ground.state
        return state in (STOPPING, RELIEVING) or (state in RUNNING and not self.ground.is_over)

    def receive(self, now_ms: int, data: bytes) -> bytes:
        """Hand bytes from the host to the pump at ``now_ms``; returns the answer."""
        said = self.advance(now_ms)
        # One by one: between two of them an infusion may end and another start.
        for frame in _FRAMES.findall(data):
            said += self.ground.receive(self.now_ms, frame)
            if self.ground.state == PROGRAMMED:
                self._programmed = True
            elif self.ground.state in RUNNING and self._programmed:
                self._start()
            self._take_containers()
            self._take_records()
        return said

    def advance(self, until_ms: int) -> bytes:
        """Go on to ``until_ms``, if that is not past; returns what the pump says to the host."""
        said = b""
        while self.now_ms < until_ms:
            moment_ms = self._next_ms()
            at_ms = min(until_ms, moment_ms)
            said += self.ground.advance(at_ms)
            self.now_ms = at_ms
            self._take_records()
            if at_ms == moment_ms:
                self._observe(self.plant)
        return said

    def look(self) -> None:
        """Bring the plant up to the present, besides the readings of the balance."""
        if self.plant is not None:
            self.motor.turn(self.now_ms, self.plant)
            self.plant.advance(self._plant_s())

    def close(self) -> None:
        """End the firmware and the record."""
        self._end()
        self.ground.close()

    def _observe(self, plant: Plant | None) -> None:
        """Bring the plant up to date, do to it what is due, and read what it is time to read."""
        self.look()
        if plant is not None:
            self._apply_events(plant)
            self._read_plunger_and_balance(plant)
        if self.now_ms >= self.suite.due_ms:
            self._sense()

    def _sense(self) -> None:
        """Read the sensors, for the pump to look at in its next control cycle."""
        state = self.ground.state
        counts = self.suite.sample(self.now_ms, state in MOVING)
        self.ground.sense(counts.fresh, counts.failed, counts.raw)

    def _read_plunger_and_balance(self, plant: Plant) -> None:
        if self._sensor is not None and self.now_ms >= self._sensor_ms:
            self._sensor_ms += self._sensor.interval_ms
            # A syringe that waits for its start is read as it was put in.
            if not self._programmed:
                self.ground.set_plunger(self._sensor.read_ul(plant.content_ul))
        if self.now_ms < self._sample_ms:
            return
        self._sample_ms += self._interval_ms
        if self._recording:
            if self.ground.is_over:
                self._end()
            else:
                self._sample(plant)

    def _next_ms(self) -> int:
        """The next moment at which something other than the firmware happens."""
        next_ms = self.suite.due_ms
        if self.started_ms is None:
            return max(next_ms, self.now_ms + 1)
        # After the record's end too: the motor must not gather the steps of days.
        next_ms = min(next_ms, self._sample_ms, self._sensor_ms)
        if self._events:
            next_ms = min(next_ms, self.started_ms + round(self._events[0].at_min * 60_000))
        return max(next_ms, self.now_ms + 1)

    def _start(self) -> None:
        """Time zero of the plant, of the record and of the bench file's events."""
        self._end()
        mechanism = build(self.kind, self.ground.item_id, self.drive_id)
        self._programmed = False
        plant = self._plant_for(geometry_of(mechanism))
        self.suite.begin(plant)
        self._balance = build_balance(self.bench)
        self.started_ms = self.now_ms
        self.motor.steps = 0
        self._sample_ms = self.now_ms + self._interval_ms
        self._is_purged = self.ground.state == PRIMING
        self._events = [] if self._is_purged else list(self.bench.events)
        if not self._is_purged:
            self._recording = True
            self._recorder.begin(mechanism)
            self._apply_events(plant)
            self._sample(plant)

    def _plant_for(self, geometry: SyringeGeometry | PeristalticGeometry) -> Plant:
        """The purged plant, if it is of this mechanism, or a new one, its container full."""
        if self.plant is not None and self._is_purged and geometry == self._geometry:
            self.look()
            self.plant.count_anew()
        else:
            self.plant = build_plant(self.bench, geometry)
            self.motor.zero_ms = self.now_ms
            self._geometry = geometry
        self.plant.fill(self.ground.container_ul)
        return self.plant

    def _end(self) -> None:
        if self._recording:
            self._recording = False
            self._recorder.end()

    def _take_records(self) -> None:
        self.motor.take(self.ground.take_records(), self.plant)

    def _take_containers(self) -> None:
        """Put in what the pump was told of."""
        ground = self.ground
        if ground.secondary_ul != self._secondary_ul:
            if self.plant is not None:
                self.look()
                self.plant.fill(self.plant.content_ul + ground.secondary_ul - self._secondary_ul)
            self._secondary_ul = ground.secondary_ul
        if ground.containers == self._containers:
            return
        self._containers = ground.containers
        if ground.state == PROGRAMMED:
            # The plant comes with the start, but the syringe is in.
            mechanism = build(self.kind, ground.item_id, self.drive_id)
            geometry = geometry_of(mechanism)
            self._sensor = build_plunger_sensor(self.bench, geometry)
            self.suite.insert(geometry)
        elif self.plant is not None and self._geometry is not None:
            self.look()
            change_container(self.plant, self.bench, self._geometry, ground.container_ul)
            self.suite.insert(self._geometry)
        if self.suite.due_ms < _NEVER_MS:
            # A syringe is in before anyone asks for a start: the clamp has been read.
            self._sense()
        if self._sensor is not None:
            self._sensor_ms = self.now_ms + self._sensor.interval_ms
            ground.set_plunger(self._sensor.read_ul(ground.container_ul))

    def _plant_s(self) -> float:
        return (self.now_ms - self.motor.zero_ms) / 1000

    def _run_s(self) -> float:
        return (self.now_ms - (self.started_ms or 0)) / 1000

    def _apply_events(self, plant: Plant) -> None:
        while self._events and self._events[0].at_min * 60 <= self._run_s():
            event = self._events.pop(0)
            if isinstance(event, InputEvent):
                self._apply_input(event)
            else:
                self.suite.apply(event, plant)

    def _apply_input(self, event: InputEvent) -> None:
        match event:
            case OpenInterlock():
                self.ground.set_interlock(True)
            case CloseInterlock():
                self.ground.set_interlock(False)
            case FailDriver():
                self.ground.set_driver_fault(True)
            case MendDriver():
                self.ground.set_driver_fault(False)

    def _sample(self, plant: Plant) -> None:
        t_s = self._run_s()
        mass_g = self._balance.read(t_s, plant.outflow_ul)
        self._recorder.sample(Sample(t_s, mass_g, plant.pressure_pa, self.motor.steps))
