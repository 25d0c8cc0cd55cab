"""What motion has to do, worked out with fractions: the judge of phases, lanes, stops and holds.

It follows the rules, not the code: steps fall due when the exact flow reaches a whole number; a
phase ends with its last step and the next begins at the first whole millisecond from there, in the
same quantum of 100 ms if that is not the third in it; what flows beside the program has a sum of
its own; edges of a quantum with steps from more than one of these are spread evenly over it.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from fractions import Fraction

from support import nl_per_step

from micropump.mechanism import Mechanism
from micropump.program import BOLUS, DEMAND, INFUSED, SECONDARY, Program
from micropump.units import QUANTUM_MS

QUANTUM_US = QUANTUM_MS * 1000


def steps_per_ms(parts: Mechanism, rate_ul_h: int) -> Fraction:
    """Microsteps per ms; µL/h are nL per 3600 ms."""
    return Fraction(rate_ul_h, 3600) / nl_per_step(parts)


@dataclass
class Flow:
    """Steps at a rate beside the program: how many are left, and the part of one that is due."""

    left: int = 0
    rate_ul_h: int = 0
    part: Fraction = Fraction(0)


@dataclass
class Spot:
    """Where planning stands: in which phase, with how much left of it and the part of a step due.

    Attributes:
        phase, left, part: the phase, whole steps left of it, and the part of one that is due.
        marked: quanta since the last dose began, or the program.
        ramped: quanta of the ramp that are over.
        doses: finished so far.
        beyond: what the doses so far were beyond their whole steps.
        hold: quanta for which the program waits.
        owed: steps that the ends of strokes gave early beside these.
        finished: the last phase is over.

    """

    phase: int = 0
    left: int = 0
    part: Fraction = Fraction(0)
    marked: int = 0
    ramped: int = 0
    doses: int = 0
    beyond: Fraction = Fraction(0)
    hold: int = 0
    owed: Fraction = Fraction(0)
    finished: bool = False


@dataclass
class Quantum:
    """One planned quantum.

    Attributes:
        before: where planning stood at its beginning.
        given, lane: what the lane gave, and its bucket.
        first, second: steps of the phase in which it begins, and of the one that follows.
        phases: these two.
        made_us: edges, µs after its start.
        speed: of the phase in which it begins, steps per ms.
        even: its edges are spread over it.
        draws: whether the lane's steps are of the phase's.
        taken: what it takes from the container.

    """

    before: Spot
    given: int = 0
    lane: int = -1
    first: int = 0
    second: int = 0
    phases: tuple[int, int] = (0, 0)
    made_us: list[int] = field(default_factory=list)
    speed: Fraction = Fraction(0)
    even: bool = False
    draws: bool = False
    taken: int = 0

    def steps(self) -> int:
        """All steps of it."""
        return self.given + self.first + self.second


class Ideal:
    """The rules of motion for one program.

    Attributes:
        program: the phases.
        spot: where planning stands.
        lanes: bolus and demand.
        stroke: the end of a pump stroke that is being finished, as (bucket, flow), or None.
        content: steps in the container that are not planned.

    """

    def __init__(self, program: Program, content: int) -> None:
        self.program = program
        self.content = content
        self.spot = Spot()
        self.lanes = {DEMAND: Flow(), BOLUS: Flow()}
        self.stroke: tuple[int, Flow] | None = None
        self._enter(0)

    # -- phases ---------------------------------------------------------------------------------

    def _part_of_program(self):
        return self.program.phases[self.spot.phase]

    def _enter(self, phase: int) -> None:
        spot, part = self.spot, self.program.phases[phase]
        spot.phase, spot.part, spot.ramped = phase, Fraction(0), 0
        spot.left = part.steps()
        if part.is_dose:
            spot.marked = 0
            spot.beyond += Fraction(self.program.carry_add, self.program.carry_size)
            spot.left += math.floor(spot.beyond)
            spot.beyond %= 1

    def _end_phase(self) -> None:
        program, spot = self.program, self.spot
        phase = spot.phase + 1
        if self._part_of_program().is_dose:
            spot.doses += 1
            if spot.doses == program.doses:
                phase = program.loop_last + 1
        elif program.doses and spot.phase == program.loop_last:
            phase = program.loop_first
        if phase == len(program.phases):
            spot.finished, spot.left, spot.part = True, 0, Fraction(0)
        else:
            self._enter(phase)

    def _is_over(self) -> bool:
        return not self._part_of_program().quanta and self.spot.left == 0

    def rate_ul_h(self) -> int:
        """The program's rate where planning is."""
        part = self._part_of_program()
        stair = self.spot.ramped // part.stair_quanta if part.stair_quanta else 0
        return part.stair_ul_h(min(stair, part.stairs))

    # -- planning -------------------------------------------------------------------------------

    def at_end(self) -> bool:
        """Whether there is nothing to plan."""
        if self.stroke:
            return self.stroke[1].left == 0
        return self.spot.finished or self.content == 0

    def _flow(self, ms: int, reserved: int) -> tuple[int, list[int], int]:
        """Steps of the phase in ``ms``, their exact edges in µs, and the ms that are left after."""
        spot = self.spot
        speed = steps_per_ms(self.program.mechanism, self.rate_ul_h())
        before, after = spot.part, spot.part + speed * ms
        steps, spot.part = int(after), after % 1
        left_ms = 0
        if not self._part_of_program().quanta:
            room = spot.left - reserved
            if steps >= room:
                steps, spot.part = max(0, room), Fraction(0)
                if steps and not reserved:
                    left_ms = ms - math.ceil((steps - before) / speed)
            spot.left -= steps
        # ceil((k - before) / speed * 1000), in whole numbers for speed.
        num, den = before.numerator, before.denominator
        scale, divisor = speed.denominator * 1000, den * speed.numerator or 1
        edges = [-((num - k * den) * scale // divisor) for k in range(1, steps + 1)]
        return steps, edges, left_ms

    def _give(self, flow: Flow) -> tuple[int, list[int]]:
        speed = steps_per_ms(self.program.mechanism, flow.rate_ul_h)
        after = flow.part + speed * QUANTUM_MS
        steps = min(int(after), flow.left)
        edges = [math.ceil((k - flow.part) / speed * 1000) for k in range(1, steps + 1)]
        flow.part = after % 1
        flow.left -= steps
        return steps, edges

    def plan(self) -> Quantum:
        """The next quantum."""
        spot = self.spot
        quantum = Quantum(copy.copy(spot), phases=(spot.phase, spot.phase))
        if not spot.hold and not self.stroke:
            quantum.speed = steps_per_ms(self.program.mechanism, self.rate_ul_h())
        part = self._part_of_program()
        quantum.draws = not part.quanta and (part.bucket == INFUSED or self.stroke is not None)
        lane_us = self._plan_lane(quantum)
        if quantum.draws:
            spot.left -= quantum.given
        first_us: list[int] = []
        flows = not self.stroke and not spot.hold
        if flows:
            first_us = self._plan_phases(quantum)
        elif not self.stroke:
            spot.hold -= 1
        planned = quantum.steps()
        quantum.even = bool(quantum.second or (quantum.given and quantum.first))
        if quantum.even:
            made_us = [math.ceil(Fraction(k * QUANTUM_US, planned)) for k in range(1, planned + 1)]
        else:
            made_us = lane_us or first_us
        quantum.made_us = made_us
        self._drain(quantum)
        spot = self.spot
        if flows and not spot.finished:
            spot.marked += 1
            spot.ramped += 1
            if self._part_of_program().quanta and spot.marked >= self._part_of_program().quanta:
                self._end_phase()
        return quantum

    def _plan_lane(self, quantum: Quantum) -> list[int]:
        """What flows beside the program: its steps into the quantum, its edges in µs."""
        flow = None
        if self.stroke:
            quantum.lane, flow = self.stroke
        else:
            for bucket in (BOLUS, DEMAND):
                if self.lanes[bucket].left:
                    quantum.lane, flow = bucket, self.lanes[bucket]
        if flow is None:
            return []
        quantum.given, edges_us = self._give(flow)
        return edges_us

    def _plan_phases(self, quantum: Quantum) -> list[int]:
        """The program's own steps into the quantum; the exact edges of the first phase in µs."""
        reserved = sum(flow.left for flow in self.lanes.values()) if quantum.draws else 0
        quantum.first, edges_us, left_ms = self._flow(QUANTUM_MS, reserved)
        if self._is_over():
            self._end_phase()
            if left_ms and not self.spot.finished:
                quantum.phases = (quantum.phases[0], self.spot.phase)
                quantum.second, _, _ = self._flow(left_ms, 0)
                if self._is_over():
                    self._end_phase()
        return edges_us

    def _drains(self, phase: int) -> bool:
        return self.program.phases[phase].bucket != SECONDARY

    def _taken(self, quantum: Quantum) -> int:
        # The stroke that a secondary finishes is of its own container.
        return (
            quantum.given * (quantum.lane != SECONDARY)
            + quantum.first * self._drains(quantum.phases[0])
            + quantum.second * self._drains(quantum.phases[1])
        )

    def _drain(self, quantum: Quantum) -> None:
        missing = self._taken(quantum) - self.content
        if missing > 0:
            self._cut(quantum, quantum.steps() - missing)
            for flow in self.lanes.values():
                flow.left = 0
        quantum.taken = self._taken(quantum)
        self.content -= quantum.taken

    # -- stops ----------------------------------------------------------------------------------

    def _cut(self, quantum: Quantum, made: int) -> None:
        """Only the first ``made`` steps of a quantum are made: stand where that is."""
        self.spot = copy.copy(quantum.before)
        spot = self.spot
        first, second = quantum.first, quantum.second
        quantum.given = min(made, quantum.given)
        quantum.first = min(made - quantum.given, first)
        quantum.second = made - quantum.given - quantum.first
        quantum.made_us = quantum.made_us[:made]
        if quantum.first or (second and quantum.second):
            spot.part = Fraction(0)
        if not self._part_of_program().quanta:
            spot.left -= quantum.first + (quantum.given if quantum.draws else 0)
        if quantum.first == first and self._is_over():
            self._end_phase()
            if not self._part_of_program().quanta:
                spot.left -= quantum.second

    def halt(self, queued: list[Quantum], into_ms: int) -> None:
        """Stop ``into_ms`` after the start of the first of ``queued``, none of which is over."""
        for quantum in queued[1:]:
            self.content += quantum.taken
        if queued:
            quantum = queued[0]
            alone = not quantum.given and not quantum.even
            made = sum(us <= into_ms * 1000 for us in quantum.made_us)
            self.content += quantum.taken
            self._cut(quantum, made)
            quantum.taken = self._taken(quantum)
            self.content -= quantum.taken
            if alone and self.spot.phase == quantum.before.phase:
                flowed = quantum.before.part + quantum.speed * max(0, into_ms)
                self.spot.part = flowed % 1
        self.stroke = None
        for flow in self.lanes.values():
            flow.left = 0
        while not self.spot.finished and self._is_over():
            self._end_phase()
