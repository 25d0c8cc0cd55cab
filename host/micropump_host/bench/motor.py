"""The motor of the virtual bench: turns what the stepper was handed into microsteps of a plant."""

from collections import deque
from collections.abc import Iterable

from micropump.motion import edges_us
from micropump.units import QUANTUM_MS
from micropump_host.bench.ground import Abort, Quantum, Record
from micropump_host.bench.plant import Plant


class Motor:
    """Holds the quanta that are not yet made and makes them as time goes on.

    Attributes:
        steps: microsteps made since whoever holds the motor last set this to zero; those backwards
            are taken away.
        zero_ms: the virtual time that is the plant's time zero.
        turned: microsteps that the shaft has really made since the motor was built; those
            backwards are taken away, and those that were lost are not in it.
        losing: how many of the next microsteps it does not make, though they are counted;
            infinite while it stalls.

    """

    def __init__(self) -> None:
        self.steps = 0
        self.zero_ms = 0
        self.turned = 0
        self.losing = 0.0
        self._waiting: deque[Quantum] = deque()
        # Of the first waiting quantum, edges already made.
        self._made = 0

    def take(self, records: Iterable[Record], plant: Plant | None) -> None:
        """Take over records; an abort makes what is due by then and drops the rest."""
        for record in records:
            if isinstance(record, Abort):
                self.turn(record.at_ms, plant)
                self._waiting.clear()
                self._made = 0
            else:
                self._waiting.append(record)

    def turn(self, until_ms: int, plant: Plant | None) -> None:
        """Make every microstep that is due up to and including ``until_ms``."""
        waiting = self._waiting
        while waiting and waiting[0].start_ms < until_ms:
            quantum = waiting[0]
            # A train may end a microsecond after its quantum: not with the present in the way.
            if self._made or quantum.start_ms + QUANTUM_MS >= until_ms:
                if not self._turn_part(quantum, until_ms, plant):
                    return
            else:
                # Equally spaced to within the microsecond that the edges are rounded up by.
                interval_us = quantum.interval_us + quantum.part / quantum.whole
                first_s = (quantum.start_ms - self.zero_ms) / 1e3 + quantum.first_us / 1e6
                self.make(plant, first_s, interval_us / 1e6, quantum.count)
            if not self._made:
                self.steps += quantum.count
            self._made = 0
            waiting.popleft()

    def lose(self, steps: float) -> None:
        """Lose that many of the microsteps that come next; infinite stalls it, 0 frees it."""
        self.losing = steps

    def make(self, plant: Plant | None, first_s: float, interval_s: float, count: int) -> None:
        """Turn by ``count`` equally spaced microsteps, less those that are lost.

        Args:
            plant: what is turned, or None.
            first_s: when the first is due, in the plant's time, s.
            interval_s: between two, s.
            count: how many; negative backwards. ``steps`` is for the caller to count.

        """
        if self.losing:
            lost = int(min(self.losing, abs(count)))
            self.losing -= lost
            first_s += lost * interval_s
            count -= lost if count > 0 else -lost
        self.turned += count
        if plant is not None:
            plant.step_train(first_s, interval_s, count)

    def _turn_part(self, quantum: Quantum, until_ms: int, plant: Plant | None) -> bool:
        """Make the due edges of a quantum under way; True when it is done."""
        forward = quantum.count > 0
        edges = edges_us(
            abs(quantum.count),
            quantum.first_us,
            quantum.interval_us,
            quantum.part,
            quantum.whole,
            quantum.credit,
        )
        for edge_us in edges[self._made :]:
            at_us = quantum.start_ms * 1000 + edge_us
            if at_us > until_ms * 1000:
                return False
            if self.losing:
                self.losing -= 1
            else:
                self.turned += 1 if forward else -1
                if plant is not None:
                    move = plant.step if forward else plant.step_back
                    move((at_us - self.zero_ms * 1000) / 1e6)
            self._made += 1
            self.steps += 1 if forward else -1
        return True
