"""The virtual bench at work: firmware, motor, plant and balance under one virtual clock.

Time jumps from event to event: a sample of the balance, an entry of the bench file's event list, a
byte from the host. In between the firmware runs every control cycle, and the plant follows its
closed forms.
"""

from dataclasses import dataclass
from typing import Protocol

from micropump.controller import ALARM, INFUSING, KEEPING_OPEN, PAUSED, PROGRAMMED
from micropump.mechanism import Mechanism, build
from micropump_host.bench.benchfile import Bench
from micropump_host.bench.build import apply_event, build_balance, build_plant
from micropump_host.bench.ground import Ground
from micropump_host.bench.mechanics import geometry_of
from micropump_host.bench.motor import Motor
from micropump_host.bench.plant import Plant

_NEVER_MS = 1 << 62


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
    def delivering(self) -> bool:
        """Whether the pump is infusing or keeping the vein open."""
        return self.ground.state in (INFUSING, KEEPING_OPEN)

    def receive(self, now_ms: int, data: bytes) -> bytes:
        """Hand bytes from the host to the pump at ``now_ms``; returns the answer."""
        said = self.advance(now_ms)
        said += self.ground.receive(self.now_ms, data)
        if self.ground.state == PROGRAMMED:
            self._programmed = True
        elif self.ground.state == INFUSING and self._programmed:
            self._start()
        self._turn_motor()
        return said

    def advance(self, until_ms: int) -> bytes:
        """Go on to ``until_ms``, if that is not past; returns what the pump says to the host."""
        said = b""
        while self.now_ms < until_ms:
            said += self._advance_to(min(until_ms, self._next_ms()))
        return said

    def close(self) -> None:
        """End the firmware and the record."""
        self._end()
        self.ground.close()

    def _advance_to(self, at_ms: int) -> bytes:
        said = self.ground.advance(at_ms)
        self.now_ms = at_ms
        self._turn_motor()
        if self.plant is not None:
            self.plant.advance(self._plant_s())
            self._apply_events(self.plant)
            if self._recording and at_ms >= self._sample_ms:
                if self.ground.state in (INFUSING, PAUSED, ALARM):
                    self._sample(self.plant)
                else:
                    self._end()
        return said

    def _next_ms(self) -> int:
        """The next moment at which something other than the firmware happens."""
        next_ms = self._sample_ms if self._recording else _NEVER_MS
        if self.started_ms is not None and self._next_event < len(self.bench.events):
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
        self.started_ms = self.motor.zero_ms = self._sample_ms = self.now_ms
        self._next_event = 0
        self._recording = True
        self._recorder.begin(mechanism)
        self._apply_events(self.plant)
        self._sample(self.plant)

    def _end(self) -> None:
        if self._recording:
            self._recording = False
            self._recorder.end()

    def _turn_motor(self) -> None:
        self.motor.take(self.ground.take_records(), self.plant)
        self.motor.turn(self.now_ms, self.plant)

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
        self._sample_ms += self._interval_ms
