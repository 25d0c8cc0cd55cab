"""From a rate to microsteps: exact, without drift, and never far ahead of time.

Time is cut into quanta of 100 ms. For each, motion works out how many microsteps fall into it and
when, and hands them to the stepper as one bounded segment; it stays at most ``HORIZON_MS`` ahead,
so that a processor that dies starves the motor (decision 3 of the plan).

The arithmetic is exact. A step is ``3600 * nl_num`` parts and each millisecond adds
``rate_ul_h * nl_den`` of them, so the k-th step of a rate falls due when the sum reaches k steps:

    rate [µL/h] * 1000 [nL/µL] / 3.6e6 [ms/h] / (nl_num / nl_den) [nL/step]
        = rate * nl_den / (3600 * nl_num) steps per ms.

Nothing is rounded from one quantum to the next, so after any time the number of steps is the whole
part of the exact one, over rate changes too. Edges within a quantum are on whole microseconds,
rounded up from the exact time, each for itself. Ten times either term is below 2**30
(mechanism.py), which is what the long divisions here need.
"""

from .therapy import BUCKETS, Program
from .units import CLOCK_MASK, MILLION, S_PER_HOUR, later_ms, wrapped_sum

QUANTUM_MS = 100
# Longer than the worst stop of the processor (a 400 ms flash erase and a garbage collection of
# 20 ms) even just before a tick; and 1200 mL/h for 550 ms are 0.18 mL, the stated single-fault dose
# being at most 0.2 mL.
HORIZON_MS = 550
START_DELAY_MS = HORIZON_MS % QUANTUM_MS

_SLOTS = 8


class Motion:
    """Plans the steps of a program, a quantum at a time, and accounts for every one of them.

    The stepper is handed in: ``begin(start_ms)``, ``push(count, first_us, interval_us, part, whole,
    credit)`` for the next quantum, and ``abort(now_ms)`` which stops at once, switches the motor
    off and returns how many steps were made since ``begin`` (modulo 2**30). The edges of a pushed
    quantum are ``first_us`` after its start and then ``interval_us`` apart, or one more whenever
    ``part`` is greater than ``credit``; see ``edges_us``.

    Attributes:
        running: whether quanta are being planned.
        finished: the last phase is planned to its end.
        starved: a tick came so late that the stepper ran dry.
        mismatch: the stepper made another number of steps than was planned.
        phase: the phase that is being delivered now.
        planning: the phase that is being planned, at most ``HORIZON_MS`` ahead of it.
        delivered_millions, delivered_rest: microsteps made, by bucket.

    """

    def __init__(self, stepper) -> None:
        self.stepper = stepper
        self.running = False
        self.finished = False
        self.starved = False
        self.mismatch = False
        self.phase = 0
        self.delivered_millions = [0] * BUCKETS
        self.delivered_rest = [0] * BUCKETS
        self._slot_steps = [0] * _SLOTS
        self._slot_phase = [0] * _SLOTS
        self._slot_parts = [0] * _SLOTS
        self._slot_speed = [0] * _SLOTS
        self._oldest = 0
        self._queued = 0
        self._into_ms = 0
        self._retired = 0
        self.planning = 0
        self._parts = 0
        self._step_parts = 1
        self._speed = 0
        self._quantum_steps = 0
        self._quantum_parts = 0
        self._interval_us = 0
        self._interval_part = 0
        # load() comes before anything that looks at it.
        self.program: Program = None  # type: ignore[assignment]

    def load(self, program: Program) -> None:
        """Take ``program`` from its beginning; counts start at zero. Only while not running."""
        self.program = program
        self.finished = self.starved = self.mismatch = False
        self.phase = self.planning = 0
        self._parts = 0
        self._step_parts = S_PER_HOUR * program.mechanism.nl_num
        for bucket in range(BUCKETS):
            self.delivered_millions[bucket] = 0
            self.delivered_rest[bucket] = 0
        self._set_speed(program.rate_ul_h[0])

    def start(self, now_ms: int) -> None:
        """Begin, or go on after ``halt``: the first quantum starts ``START_DELAY_MS`` from now."""
        self.starved = self.mismatch = False
        self.stepper.begin(later_ms(now_ms, START_DELAY_MS))
        self._oldest = self._queued = self._retired = 0
        self._into_ms = -START_DELAY_MS
        self.running = True
        self._plan()

    def set_rate(self, rate_ul_h: int) -> None:
        """Change the rate of the phase being planned; takes effect with the next unplanned quantum.

        That is at most ``HORIZON_MS`` from now; the part of a step that is under way is kept.
        """
        self.program.rate_ul_h[self.planning] = rate_ul_h
        self._set_speed(rate_ul_h)

    def lead_ms(self) -> int:
        """How far ahead of now the stepper has work."""
        return self._queued * QUANTUM_MS - self._into_ms

    def planned_rate_ul_h(self) -> int:
        """The rate of the phase being planned."""
        return self.program.rate_ul_h[self.planning] if self.program else 0

    def due_in_ms(self) -> int:
        """When the next quantum may be planned."""
        return (self._queued + 1) * QUANTUM_MS - HORIZON_MS - self._into_ms

    def advance(self, elapsed_ms: int) -> None:
        """Take note of ``elapsed_ms`` and plan up to the horizon. Allocates nothing."""
        into = self._into_ms + elapsed_ms
        queued = self._queued
        while into >= QUANTUM_MS and queued:
            at = self._oldest
            steps = self._slot_steps[at]
            phase = self._slot_phase[at]
            if steps:
                self._retired = wrapped_sum(self._retired, steps)
                self._count(self.program.bucket[phase], steps)
            self.phase = phase
            self._oldest = (at + 1) % _SLOTS
            queued -= 1
            into -= QUANTUM_MS
        self._queued = queued
        self._into_ms = into
        if queued == 0 and into > 0 and not self.finished:
            self.starved = True
            return
        self._plan()

    def pass_ms(self, elapsed_ms: int) -> None:
        """Take note of ``elapsed_ms`` before a ``halt``, where the stepper has stopped by itself.

        What ``advance`` would count as made may not have been.
        """
        self._into_ms += elapsed_ms

    def halt(self, now_ms: int) -> None:
        """Stop at once, whatever is queued, and take back what was planned but not made."""
        made = (self.stepper.abort(now_ms) - self._retired) & CLOCK_MASK
        self.running = False
        # Fewer than were taken as made before: then none of what is queued was.
        if made > CLOCK_MASK // 2:
            made = 0
            self.mismatch = True
        into = self._into_ms
        # The oldest quantum that is not made is the one under way; those behind it have not begun.
        first = True
        while self._queued:
            at = self._oldest
            steps = self._slot_steps[at]
            phase = self._slot_phase[at]
            done = min(made, steps)
            made -= done
            self._count(self.program.bucket[phase], done)
            self.program.give_back(phase, steps - done)
            if done == steps and into >= QUANTUM_MS:
                into -= QUANTUM_MS
                self.phase = phase
            elif first:
                self._restore_parts(at, into, done)
                self.phase = self.planning = phase
                first = False
            self._oldest = (at + 1) % _SLOTS
            self._queued -= 1
        self._into_ms = 0
        if made:
            self.mismatch = True
        self._skip_empty_phases()

    def _restore_parts(self, at: int, into_ms: int, done: int) -> None:
        """Put the sum back to where it stood ``into_ms`` after the start of the quantum ``at``."""
        parts = self._slot_parts[at]
        size = self._step_parts
        due = 0
        for _ in range(min(max(into_ms, 0), QUANTUM_MS)):
            parts += self._slot_speed[at]
            while parts >= size:
                parts -= size
                due += 1
        due = min(due, self._slot_steps[at])
        # The stepper's clock and ours may be a moment apart about the step at the edge of now.
        if done < due:
            parts = size - 1
        elif done > due:
            parts = 0
        self._parts = parts

    def _skip_empty_phases(self) -> None:
        program = self.program
        while not program.has_left(self.planning):
            if self.planning + 1 == program.count:
                self.finished = True
                return
            self.planning += 1
            self._parts = 0
        self.finished = False
        self._set_speed(program.rate_ul_h[self.planning])

    def _count(self, bucket: int, steps: int) -> None:
        rest = self.delivered_rest[bucket] + steps
        if rest >= MILLION:
            rest -= MILLION
            self.delivered_millions[bucket] += 1
        self.delivered_rest[bucket] = rest

    def _plan(self) -> None:
        while not self.finished and (self._queued + 1) * QUANTUM_MS - self._into_ms <= HORIZON_MS:
            self._plan_quantum()

    def _plan_quantum(self) -> None:
        steps = self._quantum_steps
        before = self._parts
        parts = before + self._quantum_parts
        if parts >= self._step_parts:
            parts -= self._step_parts
            steps += 1
        self._parts = parts
        phase = self.planning
        at = (self._oldest + self._queued) % _SLOTS
        self._slot_phase[at] = phase
        self._slot_parts[at] = before
        self._slot_speed[at] = self._speed
        self._queued += 1
        if steps:
            program = self.program
            rest = program.left_rest[phase] - steps
            ends = False
            if rest <= 0:
                if program.left_millions[phase]:
                    program.left_millions[phase] -= 1
                    rest += MILLION
                else:
                    steps += rest
                    rest = 0
                    ends = True
            program.left_rest[phase] = rest
            self._slot_steps[at] = steps
            self._push(steps, before)
            if ends:
                self._end_phase()
        else:
            self._slot_steps[at] = 0
            self.stepper.push(0, 0, 0, 0, 1, 0)

    def _push(self, steps: int, parts: int) -> None:
        """Hand a quantum to the stepper, which began with ``parts`` of a step done."""
        speed = self._speed
        # first = ceil(1000 * missing / speed), by long division.
        missing = self._step_parts - parts
        first_us = missing // speed
        rest = missing - first_us * speed
        for _ in range(3):
            rest *= 10
            digit = rest // speed
            rest -= digit * speed
            first_us = first_us * 10 + digit
        credit = 0
        if rest:
            first_us += 1
            credit = speed - rest
        self.stepper.push(steps, first_us, self._interval_us, self._interval_part, speed, credit)

    def _end_phase(self) -> None:
        self._parts = 0
        if self.planning + 1 == self.program.count:
            self.finished = True
            return
        self.planning += 1
        self._set_speed(self.program.rate_ul_h[self.planning])

    def _set_speed(self, rate_ul_h: int) -> None:
        """Work out the steps of a quantum and the interval of two steps, by long division."""
        speed = rate_ul_h * self.program.mechanism.nl_den
        size = self._step_parts
        self._speed = speed
        steps = speed // size
        rest = speed - steps * size
        for _ in range(2):
            rest *= 10
            digit = rest // size
            rest -= digit * size
            steps = steps * 10 + digit
        self._quantum_steps = steps
        self._quantum_parts = rest
        interval_us = size // speed
        rest = size - interval_us * speed
        if interval_us >= QUANTUM_MS:
            # No two steps in one quantum: the interval is never looked at.
            self._interval_us = QUANTUM_MS * 1000
            self._interval_part = 0
            return
        for _ in range(3):
            rest *= 10
            digit = rest // speed
            rest -= digit * speed
            interval_us = interval_us * 10 + digit
        self._interval_us = interval_us
        self._interval_part = rest


def edges_us(
    count: int, first_us: int, interval_us: int, part: int, whole: int, credit: int
) -> list[int]:
    """The edges of a pushed quantum, in µs after its start: what every stepper has to make.

    The k-th edge is the exact time rounded up; ``credit / whole`` is by how much, in µs.
    """
    edges = []
    at_us = first_us
    for _ in range(count):
        edges.append(at_us)
        at_us += interval_us
        if part > credit:
            at_us += 1
            credit += whole
        credit -= part
    return edges
