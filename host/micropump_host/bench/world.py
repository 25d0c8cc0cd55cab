"""The virtual bench at work: firmware, motor, plant and balance under one virtual clock.

Time jumps from event to event: a sample of the balance, an entry of the bench file's event list, a
byte from the host. In between the firmware runs every control cycle, and the plant follows its
closed forms. The plant is brought up to date at samples, entries of the list and stops alone, so
that what the balance sees does not depend, to the last bit, on how time was cut up or on who asked.
"""

import re
from dataclasses import dataclass
from typing import Protocol

from micropump.controller import ALARM, INFUSING, KEEPING_OPEN, PAUSED, PROGRAMMED, WAITING
from micropump.mechanism import Mechanism, build
from micropump_host.bench.benchfile import Bench
from micropump_host.bench.build import apply_event, build_balance, build_plant
from micropump_host.bench.ground import Ground
from micropump_host.bench.mechanics import geometry_of
from micropump_host.bench.motor import Motor
from micropump_host.bench.plant import Plant

_NEVER_MS = 1 << 62
# A program has begun, be it with a delay.
_BEGUN = (INFUSING, KEEPING_OPEN, WAITING)
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

    The plant and the balance come into being when an infusion starts, as one puts a syringe in and
    tares; from then on the balance is read until the infusion has ended, pauses included.

    Args:
        ground: where the firmware's core runs.
        kind, drive_id: what is fitted.
        bench: imperfections, line, balance and events.
        recorder: is told of each infusion.

    Attributes:
        now_ms: virtual time since the pump was switched on.
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
        self._next_event = 0

    @property
    def infusing(self) -> bool:
        """Whether the pump is infusing; keeping the vein open is not."""
        return self.ground.state == INFUSING

    def receive(self, now_ms: int, data: bytes) -> bytes:
        """Hand bytes from the host to the pump at ``now_ms``; returns the answer."""
        said = self.advance(now_ms)
        # One by one: between two of them an infusion may end and another start.
        for frame in _FRAMES.findall(data):
            said += self.ground.receive(self.now_ms, frame)
            if self.ground.state == PROGRAMMED:
                self._programmed = True
            elif self.ground.state in _BEGUN and self._programmed:
                self._start()
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
            if self.plant is not None and at_ms == moment_ms:
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

    def _observe(self, plant: Plant) -> None:
        """Bring the plant up to date, do to it what is due, and read the balance if it is time."""
        self.look()
        self._apply_events(plant)
        if self.now_ms < self._sample_ms:
            return
        self._sample_ms += self._interval_ms
        if self._recording:
            if self.ground.state in (INFUSING, PAUSED, ALARM):
                self._sample(plant)
            else:
                self._end()

    def _next_ms(self) -> int:
        """The next moment at which something other than the firmware happens."""
        if self.started_ms is None:
            return _NEVER_MS
        # After the record's end too: the motor must not gather the steps of days.
        next_ms = self._sample_ms
        if self._next_event < len(self.bench.events):
            event_ms = self.started_ms + round(self.bench.events[self._next_event].at_min * 60_000)
            next_ms = min(next_ms, event_ms)
        return max(next_ms, self.now_ms + 1)

    def _start(self) -> None:
        """Time zero of the plant, of the record and of the bench file's events."""
        self._end()
        mechanism = build(self.kind, self.ground.item_id, self.drive_id)
        self._programmed = False
        self.plant = build_plant(self.bench, geometry_of(mechanism))
        self._balance = build_balance(self.bench)
        self.started_ms = self.motor.zero_ms = self.now_ms
        self.motor.steps = 0
        self._sample_ms = self.now_ms + self._interval_ms
        self._next_event = 0
        self._recording = True
        self._recorder.begin(mechanism)
        self._apply_events(self.plant)
        self._sample(self.plant)

    def _end(self) -> None:
        if self._recording:
            self._recording = False
            self._recorder.end()

    def _take_records(self) -> None:
        self.motor.take(self.ground.take_records(), self.plant)

    def _plant_s(self) -> float:
        return (self.now_ms - self.motor.zero_ms) / 1000

    def _apply_events(self, plant: Plant) -> None:
        events = self.bench.events
        while self._next_event < len(events):
            event = events[self._next_event]
            if event.at_min * 60 > self._plant_s():
                return
            apply_event(plant, event)
            self._next_event += 1

    def _sample(self, plant: Plant) -> None:
        t_s = self._plant_s()
        mass_g = self._balance.read(t_s, plant.outflow_ul)
        self._recorder.sample(Sample(t_s, mass_g, plant.pressure_pa, self.motor.steps))
