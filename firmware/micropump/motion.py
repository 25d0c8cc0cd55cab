"""From rates to microsteps: exact, without drift, and never far ahead of time.

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

Besides the program a bolus or a patient's demand may flow, as a lane of its own: its steps are
worked out by the same arithmetic from its own sum, so it changes nothing of the program's. A phase
follows the one before at the next whole millisecond. In a quantum that has steps from more than one
of these, all of them are spread evenly over it: how many there are is exact, and each is within
100 ms of its own time.
"""

from .program import (
    BOLUS,
    BUCKETS,
    DEMAND,
    ENDLESS_STEPS,
    INFUSED,
    RETRACTED,
    SECONDARY,
    Program,
)
from .units import CLOCK_MASK, MILLION, QUANTUM_MS, S_PER_HOUR, later_ms, wrapped_sum

# Longer than the worst stop of the processor (a 400 ms flash erase and a garbage collection of
# 20 ms) even just before a tick; and 1200 mL/h for 550 ms are 0.18 mL, the stated single-fault dose
# being at most 0.2 mL.
HORIZON_MS = 550
START_DELAY_MS = HORIZON_MS % QUANTUM_MS

_SLOTS = 8
_QUANTUM_US = QUANTUM_MS * 1000
# 100 ms in binary.
_BITS = 7
# Left of a phase: with more millions than this it is not worth comparing.
_MANY_MILLIONS = 1000
# Times the steps of a quantum it is a small integer.
_MANY_PARTS = 65_000


class Pace:
    """A rate, in what the arithmetic of a quantum needs. ``set`` allocates nothing.

    Attributes:
        speed: parts of a step per ms.
        steps, parts: of a quantum.
        interval_us, interval_part: from a step to the next, µs and ``speed``-ths of one.

    """

    def __init__(self) -> None:
        self.speed = 0
        self.steps = self.parts = 0
        self.interval_us = self.interval_part = 0

    def set(self, speed: int, size: int) -> None:
        """Work it out for ``speed`` parts a ms and steps of ``size`` parts, by long division."""
        self.speed = speed
        steps = speed // size
        rest = speed - steps * size
        for _ in range(2):
            rest *= 10
            digit = rest // size
            rest -= digit * size
            steps = steps * 10 + digit
        self.steps = steps
        self.parts = rest
        if speed == 0:
            return
        interval_us = size // speed
        rest = size - interval_us * speed
        if interval_us >= QUANTUM_MS:
            # No two steps in one quantum: the interval is never looked at.
            self.interval_us = _QUANTUM_US
            self.interval_part = 0
            return
        for _ in range(3):
            rest *= 10
            digit = rest // speed
            rest -= digit * speed
            interval_us = interval_us * 10 + digit
        self.interval_us = interval_us
        self.interval_part = rest


class Lane:
    """A bolus or a demand: so many steps at a pace of its own, beside the program.

    Attributes:
        bucket: what its steps are counted as.
        left: steps that are not planned yet.
        rate_ul_h: how fast.

    """

    def __init__(self, bucket: int) -> None:
        self.bucket = bucket
        self.left = 0
        self.rate_ul_h = 0
        self.pace = Pace()
        self.parts = 0

    def begin(self, rate_ul_h: int, steps: int, speed: int, size: int) -> None:
        """Flow ``steps`` at a rate from the next unplanned quantum on."""
        self.rate_ul_h = rate_ul_h
        self.left = steps
        self.parts = 0
        self.pace.set(speed, size)

    def take(self, size: int) -> int:
        """The steps of one quantum."""
        steps = self.pace.steps
        parts = self.parts + self.pace.parts
        if parts >= size:
            parts -= size
            steps += 1
        self.parts = parts
        steps = min(steps, self.left)
        self.left -= steps
        return steps


class Slot:
    """A planned quantum: what it holds, and where planning stood at its beginning.

    Attributes:
        steps: in all.
        first, second, given: of the phase in which it begins, of the one that follows, of a lane.
        bucket: the lane's.
        phase, middle, last: the phase in which it begins, the one that follows, the one where it
            ends.
        exact: its steps are those of one pace, not spread.
        first_us, last_us: when its first and its last step are made, from its beginning.
        speed, parts, millions, rest, marked, doses, carry, stair, stair_left, hold: of ``Motion``,
            at its beginning.

    """

    def __init__(self) -> None:
        self.steps = 0
        self.first = self.second = self.given = 0
        self.bucket = 0
        self.phase = self.middle = self.last = 0
        self.exact = True
        self.first_us = self.last_us = 0
        self.speed = self.parts = 0
        self.millions = self.rest = 0
        self.marked = self.doses = self.carry = 0
        self.stair = self.stair_left = 0
        self.hold = 0


class Motion:
    """Plans the steps of a program, a quantum at a time, and accounts for every one of them.

    The stepper is handed in: ``begin(start_ms, reverse)``, ``push(count, first_us, interval_us,
    part, whole, credit)`` for the next quantum, and ``abort(now_ms)`` which stops at once, switches
    the motor off and returns how many steps were made since ``begin`` (modulo 2**30). The edges of
    a pushed quantum are ``first_us`` after its start and then ``interval_us`` apart, or one more
    whenever ``part`` is greater than ``credit``; see ``edges_us``.

    Attributes:
        running: whether quanta are being planned.
        finished: the last phase is planned to its end.
        emptied: all that the container holds is planned.
        starved: a tick came so late that the stepper ran dry.
        mismatch: the stepper made another number of steps than was planned.
        phase, doses_done: the phase that is being delivered now, and the doses finished before it.
        planning, doses: the phase that is being planned, at most ``HORIZON_MS`` ahead, and the
            doses finished before it.
        marked: quanta since the last mark, where planning is.
        stair: the stair of a ramp, where planning is.
        left_millions, left_rest: steps of the phase that are not planned yet.
        content_millions, content_rest: steps in the container that are not planned yet.
        bolus, demand: the lanes. A demand goes before a bolus, which then goes on.
        delivered_millions, delivered_rest: microsteps made, by bucket.
        moved: microsteps that were counted since this was set to 0, negative backwards.

    """

    def __init__(self, stepper) -> None:
        self.stepper = stepper
        self.running = False
        self.finished = False
        self.emptied = False
        self.starved = False
        self.mismatch = False
        self.phase = self.planning = 0
        self.doses_done = self.doses = 0
        self.marked = 0
        self.stair = 0
        self.left_millions = self.left_rest = 0
        self.content_millions = self.content_rest = 0
        self.bolus = Lane(BOLUS)
        self.demand = Lane(DEMAND)
        self.delivered_millions = [0] * BUCKETS
        self.delivered_rest = [0] * BUCKETS
        self._slots = [Slot() for _ in range(_SLOTS)]
        self._oldest = 0
        self._queued = 0
        self._into_ms = 0
        self._retired = 0
        self._carry = 0
        self._stair_left = 0
        self._hold = 0
        # Parts of a step that the ends of strokes have given early, beside the hold.
        self._owed = 0
        # What the containers so far held beyond whole steps, in nl_num-ths of one.
        self._beyond = 0
        self._parts = 0
        self._step_parts = 1
        self._pace = Pace()
        self._over_ms = 0
        self._drains = True
        self._bit_steps = [0] * _BITS
        self._bit_parts = [0] * _BITS
        self._turned = 0
        # Steps that were counted since somebody took them, negative backwards.
        self.moved = 0
        self._is_reverse = False
        # Only this lane flows, to the end of a stroke, and the program waits.
        self._stroke = Lane(INFUSED)
        self.finishing = False
        # load() comes before anything that looks at it.
        self.program: Program = None  # type: ignore[assignment]

    # -- programs -------------------------------------------------------------------------------

    def load(self, program: Program) -> None:
        """Take ``program`` from its beginning; counts start at zero. Only while not running."""
        if self.program:
            self._turned = self._position()
        self.program = program
        self.finished = self.starved = self.mismatch = self.finishing = False
        self.phase = self.planning = 0
        self.doses_done = self.doses = 0
        self.marked = 0
        self._parts = 0
        self._carry = 0
        self._hold = self._owed = 0
        self._step_parts = S_PER_HOUR * program.mechanism.nl_num
        self.cancel_lanes()
        for bucket in range(BUCKETS):
            self.delivered_millions[bucket] = 0
            self.delivered_rest[bucket] = 0
        self._beyond = 0
        if program.reverse:
            self.fill(ENDLESS_STEPS)
        else:
            self.change_container(program.content_ul)
        self._enter(0)

    def change_container(self, content_ul: int) -> None:
        """A container that holds ``content_ul`` is in place. Only while not running.

        What it holds beyond whole steps is carried to the next, so that several hold together what
        one of their size would.
        """
        parts = self.program.mechanism
        held = content_ul * 1000 * parts.nl_den + self._beyond
        self._beyond = held % parts.nl_num
        self.fill(held // parts.nl_num)

    def fill(self, steps: int) -> None:
        """There are so many steps in the container. Only while not running."""
        self.content_millions = steps // MILLION
        self.content_rest = steps % MILLION
        self.emptied = False

    def insert(self, phases: list) -> None:
        """Put phases before what is left of the one that is under way. Only while not running.

        For programs whose phases are neither ramps nor repeated.
        """
        program = self.program
        under_way = program.phases[self.planning]
        if not under_way.quanta and not under_way.is_endless():
            under_way.millions = self.left_millions
            under_way.rest = self.left_rest
        for phase in reversed(phases):
            program.phases.insert(self.planning, phase)
        self._parts = 0
        self.finished = False
        self._enter(self.planning)
        self.phase = self.planning

    def end_phase(self) -> None:
        """The phase ends where planning is: what is left of it is not going to be given."""
        self.left_millions = self.left_rest = 0

    def skip_dose(self) -> None:
        """The dose after this one, or after this gap, is not given. Only while not running.

        One that is under way then takes its place.
        """
        program = self.program
        gap = self.planning + 1 if program.phases[self.planning].is_dose else self.planning
        self.marked -= program.phases[gap].quanta
        self.doses += 1
        if self.doses == program.doses:
            if program.loop_last + 1 == len(program.phases):
                self.finished = True
            else:
                self._enter(program.loop_last + 1)
        else:
            self.planning += 2
            if self.planning > program.loop_last:
                self.planning -= program.loop_last - program.loop_first + 1
        self.phase = self.planning
        self.doses_done = self.doses

    # -- running --------------------------------------------------------------------------------

    def start(self, now_ms: int) -> None:
        """Begin, or go on after ``halt``: the first quantum starts ``START_DELAY_MS`` from now."""
        self._is_reverse = self.program.reverse
        self._begin(now_ms)

    def _begin(self, now_ms: int) -> None:
        self.starved = self.mismatch = False
        self.stepper.begin(later_ms(now_ms, START_DELAY_MS), self._is_reverse)
        self._oldest = self._queued = self._retired = 0
        self._into_ms = -START_DELAY_MS
        self.running = True
        self._plan()

    def set_rate(self, rate_ul_h: int) -> None:
        """Change the rate of the phase being planned; takes effect with the next unplanned quantum.

        That is at most ``HORIZON_MS`` from now; the part of a step that is under way is kept.
        """
        phase = self.program.phases[self.planning]
        phase.rate_ul_h = phase.end_rate_ul_h = rate_ul_h
        self._set_pace(rate_ul_h)

    def begin_lane(self, lane: Lane, rate_ul_h: int, steps: int) -> None:
        """Let ``steps`` flow beside the program, from the next unplanned quantum on."""
        lane.begin(rate_ul_h, steps, self._speed(rate_ul_h), self._step_parts)

    def cancel_lanes(self) -> None:
        """Whatever of bolus and demand is not planned yet is not given."""
        self.bolus.left = self.demand.left = self._stroke.left = 0

    def flowing_lane(self) -> Lane | None:
        """The lane that flows where planning is."""
        if self.finishing:
            return self._stroke
        if self.demand.left:
            return self.demand
        return self.bolus if self.bolus.left else None

    def finish_stroke(self, now_ms: int, rate_ul_h: int, steps: int, bucket: int) -> None:
        """Give the last ``steps`` of a pump stroke, and nothing else. Only after ``halt``.

        If they are the program's own, it waits afterwards for as long as they would have taken.
        """
        phase = self.program.phases[self.planning]
        if bucket == phase.bucket and self._pace.speed and not phase.quanta:
            # What is less than a quantum is kept for the next time, or each pause would gain it.
            parts = self._owed + steps * self._step_parts
            quantum = self._pace.speed * QUANTUM_MS
            self._hold += parts // quantum
            self._owed = parts % quantum
        self.push(now_ms, rate_ul_h, steps, bucket)

    def push(self, now_ms: int, rate_ul_h: int, steps: int, bucket: int) -> None:
        """Give ``steps`` for ``bucket``, and nothing else. Only after ``halt``.

        Of what was drawn back nothing is given early, so the program does not wait. Allocates
        nothing.
        """
        lane = self._stroke
        lane.bucket = bucket
        self.begin_lane(lane, rate_ul_h, steps)
        self.finishing = True
        self.start(now_ms)

    def relieve(self, now_ms: int, rate_ul_h: int, steps: int) -> None:
        """Draw ``steps`` back that pressed into a closed line, and nothing else. Only after halt.

        Only a syringe's. ``take_back`` then gives what was made of them back to the program.
        """
        lane = self._stroke
        lane.bucket = RETRACTED
        self.begin_lane(lane, rate_ul_h, steps)
        self._is_reverse = True
        self.finishing = True
        self._begin(now_ms)

    def take_back(self, steps: int) -> None:
        """So many steps of the program were drawn back: they are still to be given. Not running."""
        self._put_back(steps)
        phase = self.program.phases[self.planning]
        if phase.quanta or phase.is_endless() or self.finished:
            return
        rest = self.left_rest + steps
        self.left_millions += rest // MILLION
        self.left_rest = rest % MILLION

    def into_stroke(self) -> int:
        """Steps since the last end of a pump stroke."""
        return self._position() % self.program.mechanism.stroke_steps

    def _position(self) -> int:
        steps = self.made_steps()
        return self._turned + (-steps if self.program.reverse else steps)

    def made_steps(self) -> int:
        """Steps of all buckets since ``load``."""
        steps = 0
        for bucket in range(BUCKETS):
            steps += self.delivered_millions[bucket] * MILLION + self.delivered_rest[bucket]
        return steps

    def into_steps(self) -> int:
        """How many steps of the quantum under way are made, negative backwards."""
        if not self.running or not self._queued:
            return 0
        slot = self._slots[self._oldest]
        into_us = min(self._into_ms, QUANTUM_MS) * 1000
        if slot.steps == 0 or into_us < slot.first_us:
            return 0
        steps = slot.steps
        if into_us < slot.last_us:
            # Evenly between the two; where a phase ends they do not fill the quantum. In tens of µs
            # what is multiplied stays a small integer.
            passed_10us = (into_us - slot.first_us) // 10
            steps = 1 + (steps - 1) * passed_10us // ((slot.last_us - slot.first_us) // 10 + 1)
        return -steps if self._is_reverse else steps

    def lead_ms(self) -> int:
        """How far ahead of now the stepper has work."""
        return self._queued * QUANTUM_MS - self._into_ms

    def pace_steps(self, quanta: int) -> int:
        """About how many steps flow in so many quanta where planning is, rounded up.

        Allocates nothing.
        """
        pace = self._pace
        # Both parts by as much smaller as it takes for a small integer.
        cut = pace.parts // (CLOCK_MASK // quanta) + 1
        part = pace.parts // cut * quanta // (self._step_parts // cut)
        return pace.steps * quanta + part + 1

    def planned_rate_ul_h(self) -> int:
        """The rate at which planning is: the program's and a lane's."""
        if not self.program:
            return 0
        lane = self.flowing_lane()
        added_ul_h = lane.rate_ul_h if lane else 0
        if self.finished or self.emptied or self.finishing or self._hold:
            return added_ul_h
        return self.program.phases[self.planning].stair_ul_h(self.stair) + added_ul_h

    def ramped_quanta(self) -> int:
        """Quanta of a ramp that are planned."""
        stair_quanta = self.program.phases[self.planning].stair_quanta
        return (self.stair + 1) * stair_quanta - max(0, self._stair_left)

    def is_at_end(self) -> bool:
        """Whether there is nothing more to plan."""
        if self.finishing:
            return self._stroke.left == 0
        return self.finished or self.emptied

    def hold_ms(self) -> int:
        """How long the program still waits for what the end of a stroke gave of it early."""
        return self._hold * QUANTUM_MS

    def due_in_ms(self) -> int:
        """When the next quantum may be planned."""
        return (self._queued + 1) * QUANTUM_MS - HORIZON_MS - self._into_ms

    def advance(self, elapsed_ms: int) -> None:
        """Take note of ``elapsed_ms`` and plan up to the horizon. Allocates nothing."""
        into = self._into_ms + elapsed_ms
        queued = self._queued
        while into >= QUANTUM_MS and queued:
            slot = self._slots[self._oldest]
            if slot.steps:
                self._count_slot(slot)
            self._oldest = (self._oldest + 1) % _SLOTS
            queued -= 1
            into -= QUANTUM_MS
            if queued:
                slot = self._slots[self._oldest]
                self.phase = slot.phase
                self.doses_done = slot.doses
            else:
                self.phase = slot.last
                self.doses_done = self.doses
        self._queued = queued
        self._into_ms = into
        if queued == 0 and into > 0 and not self.is_at_end():
            self.starved = True
            return
        self._plan()

    def pass_ms(self, elapsed_ms: int) -> None:
        """Take note of ``elapsed_ms`` before a ``halt``, where the stepper has stopped by itself.

        What ``advance`` would count as made may not have been.
        """
        self._into_ms += elapsed_ms

    def halt(self, now_ms: int) -> None:
        """Stop at once, whatever is queued, and take back what was planned but not made.

        Bolus and demand are over; what they did not give is not given.
        """
        made = (self.stepper.abort(now_ms) - self._retired) & CLOCK_MASK
        self.running = False
        # Fewer than were taken as made before: then none of what is queued was.
        if made > CLOCK_MASK // 2:
            made = 0
            self.mismatch = True
        into = self._into_ms
        undone = 0
        is_cut = False
        while self._queued:
            slot = self._slots[self._oldest]
            steps = slot.steps
            if is_cut:
                undone += self._taken(slot)
            elif made > steps or (made == steps and into >= QUANTUM_MS):
                # The stepper's clock and ours may be a moment apart at the end of a quantum.
                made -= steps
                self._count_slot(slot)
                self.phase = slot.last
                into = max(0, into - QUANTUM_MS)
            else:
                undone += self._taken(slot)
                flowed_alone = slot.exact and not slot.given
                self._cut(slot, made)
                undone -= self._taken(slot)
                if flowed_alone:
                    self._restore_parts(slot, into, made, steps)
                self._count_slot(slot)
                self.phase = self.planning
                made = 0
                is_cut = True
            self._oldest = (self._oldest + 1) % _SLOTS
            self._queued -= 1
        self._into_ms = 0
        if made:
            self.mismatch = True
        self._put_back(undone)
        self.cancel_lanes()
        self.finishing = False
        self._skip_empty_phases()
        self.doses_done = self.doses

    # -- planning -------------------------------------------------------------------------------

    def _plan(self) -> None:
        ahead_ms = HORIZON_MS - QUANTUM_MS + self._into_ms
        while self._queued * QUANTUM_MS <= ahead_ms and not self.is_at_end():
            self._plan_quantum()

    def _plan_quantum(self) -> None:
        """The next quantum: of one phase at one rate, or else ``_plan_joint``."""
        if self._stair_left == 0:
            self._climb()
        slot = self._slots[(self._oldest + self._queued) % _SLOTS]
        before = self._parts
        pace = self._pace
        self._note_slot(slot, before)
        self._queued += 1
        if self._hold or self.bolus.left or self.demand.left or self.finishing:
            self._plan_joint(slot)
            return
        steps = pace.steps
        parts = before + pace.parts
        if parts >= self._step_parts:
            parts -= self._step_parts
            steps += 1
        phase = self.program.phases[self.planning]
        if (self.left_millions == 0 and steps >= self.left_rest and not phase.quanta) or (
            self.content_millions == 0 and steps >= self.content_rest and self._drains
        ):
            self._plan_joint(slot)
            return
        self._parts = parts
        slot.steps = slot.first = steps
        if steps:
            self._take_left(steps)
            if self._drains:
                self._take_content(steps)
            self._push(slot, steps, before, pace.speed, pace.interval_us, pace.interval_part)
        else:
            self.stepper.push(0, 0, 0, 0, 1, 0)
        self._pass_quantum()

    def _plan_joint(self, slot: Slot) -> None:
        """A quantum that has more in it than one phase at one rate, or an end."""
        before = self._parts
        pace = self._pace
        speed = pace.speed
        interval_us = pace.interval_us
        interval_part = pace.interval_part
        phase = self.program.phases[self.planning]
        draws = not phase.quanta and (phase.bucket == INFUSED or self.finishing)
        lane = self.flowing_lane()
        given = 0
        if lane:
            lane_before = lane.parts
            given = lane.take(self._step_parts)
            slot.given = given
            slot.bucket = lane.bucket
            if draws and lane.bucket != RETRACTED:
                self._take_left(given)
        first = second = 0
        if self._hold and not self.finishing:
            self._hold -= 1
            flows = False
        else:
            flows = not self.finishing
        if flows:
            first = self._flow_phase(QUANTUM_MS, self.bolus.left + self.demand.left if draws else 0)
            if self._phase_is_over():
                over_ms = self._over_ms
                self._end_phase()
                if over_ms and not self.finished:
                    slot.middle = self.planning
                    second = self._flow_phase(over_ms, 0)
                    if self._phase_is_over():
                        self._end_phase()
        slot.first = first
        slot.second = second
        slot.last = self.planning
        count = first + second + given
        taken = self._taken(slot)
        if taken and self.content_millions == 0 and taken >= self.content_rest:
            # What a secondary container gives comes first, and is not the container's.
            missing = taken - self.content_rest
            if missing:
                count -= missing
                taken -= missing
                self._cut(slot, count)
                self.cancel_lanes()
            self.emptied = True
        slot.steps = count
        self._take_content(taken)
        if count == 0:
            self.stepper.push(0, 0, 0, 0, 1, 0)
        elif given == 0 and second == 0:
            self._push(slot, count, before, speed, interval_us, interval_part)
        elif first == 0 and second == 0 and lane:
            pace = lane.pace
            self._push(slot, count, lane_before, pace.speed, pace.interval_us, pace.interval_part)
        else:
            slot.exact = False
            self._push_evenly(slot, count, first + second + given)
        if flows and not self.finished:
            self._pass_quantum()

    def _flow_phase(self, ms: int, reserved: int) -> int:
        """Steps of the phase in ``ms``; ``_over_ms`` is what is left of them after its last.

        ``reserved`` steps of what is left are a lane's.
        """
        self._over_ms = 0
        before = self._parts
        phase = self.program.phases[self.planning]
        if ms == QUANTUM_MS:
            steps = self._pace.steps
            parts = before + self._pace.parts
            if parts >= self._step_parts:
                parts -= self._step_parts
                steps += 1
            self._parts = parts
        else:
            steps = self._flow(ms)
        if not phase.quanta:
            if self.left_millions <= _MANY_MILLIONS:
                available = self.left_millions * MILLION + self.left_rest - reserved
                if steps >= available:
                    steps = max(0, available)
                    self._parts = 0
                    if reserved == 0 and steps:
                        self._over_ms = ms - self._used_ms(steps, before)
            self._take_left(steps)
        return steps

    def _phase_is_over(self) -> bool:
        """Whether the phase being planned has made all its steps."""
        phase = self.program.phases[self.planning]
        return not phase.quanta and self.left_millions == 0 and self.left_rest == 0

    def _flow(self, ms: int) -> int:
        """Steps in ``ms`` from now on; the part of a step that is left is in ``_parts``."""
        self._double()
        parts = self._parts
        steps = 0
        for bit in range(_BITS):
            if ms >> bit & 1:
                steps += self._bit_steps[bit]
                parts += self._bit_parts[bit]
                if parts >= self._step_parts:
                    parts -= self._step_parts
                    steps += 1
        self._parts = parts
        return steps

    def _used_ms(self, steps: int, parts: int) -> int:
        """The first whole ms by which ``steps`` are due, from a time with ``parts`` of one done."""
        self._double()
        ms = 0
        due = 0
        for bit in range(_BITS - 1, -1, -1):
            more = due + self._bit_steps[bit]
            rest = parts + self._bit_parts[bit]
            if rest >= self._step_parts:
                rest -= self._step_parts
                more += 1
            if more < steps:
                due = more
                parts = rest
                ms += 1 << bit
        return ms + 1

    def _double(self) -> None:
        """What flows in 1, 2, 4 … ms at the pace of the phase: steps, and parts of one more.

        The product of a pace and a time may be beyond the small ints, and these sums are not.
        """
        size = self._step_parts
        steps = self._pace.speed // size
        parts = self._pace.speed - steps * size
        for bit in range(_BITS):
            self._bit_steps[bit] = steps
            self._bit_parts[bit] = parts
            steps += steps
            parts += parts
            if parts >= size:
                parts -= size
                steps += 1

    def _pass_quantum(self) -> None:
        """Time of the phase: a wait may be over, a stair done."""
        self.marked += 1
        self._stair_left -= 1
        quanta = self.program.phases[self.planning].quanta
        if quanta and self.marked >= quanta:
            self._end_phase()

    def _end_phase(self) -> None:
        program = self.program
        self._parts = 0
        if program.phases[self.planning].is_dose:
            self.doses += 1
        phase = program.after(self.planning, self.doses)
        if phase == len(program.phases):
            self.finished = True
            self.left_millions = self.left_rest = 0
            return
        self._enter(phase)

    def _enter(self, number: int) -> None:
        """Stand at the beginning of a phase."""
        program = self.program
        phase = program.phases[number]
        self.planning = number
        self.left_millions = phase.millions
        rest = phase.rest
        if phase.is_dose:
            self.marked = 0
            self._carry += program.carry_add
            if self._carry >= program.carry_size:
                self._carry -= program.carry_size
                rest += 1
                if rest == MILLION:
                    rest = 0
                    self.left_millions += 1
        self.left_rest = rest
        self._drains = phase.bucket != SECONDARY
        self.stair = 0
        self._stair_left = phase.stair_quanta or -1
        self._set_pace(phase.stair_ul_h(0))

    def _climb(self) -> None:
        """The next stair of a ramp; behind the last the rest of the steps follows."""
        phase = self.program.phases[self.planning]
        self.stair += 1
        self._stair_left = phase.stair_quanta if self.stair < phase.stairs else -1
        self._set_pace(phase.stair_ul_h(self.stair))

    def _speed(self, rate_ul_h: int) -> int:
        return rate_ul_h * self.program.mechanism.nl_den

    def _set_pace(self, rate_ul_h: int) -> None:
        self._pace.set(self._speed(rate_ul_h), self._step_parts)

    def _push(
        self, slot: Slot, steps: int, parts: int, speed: int, interval_us: int, part: int
    ) -> None:
        """Hand a quantum at one pace to the stepper, which began with ``parts`` of a step done."""
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
        slot.first_us = first_us
        slot.last_us = _last_us(steps, first_us, interval_us, part, speed)
        self.stepper.push(steps, first_us, interval_us, part, speed, credit)

    def _push_evenly(self, slot: Slot, count: int, whole: int) -> None:
        """Hand over the first ``count`` of ``whole`` steps that are spread over the quantum."""
        interval_us = _QUANTUM_US // whole
        part = _QUANTUM_US - interval_us * whole
        first_us = interval_us + 1 if part else interval_us
        slot.first_us = first_us
        slot.last_us = _last_us(count, first_us, interval_us, part, whole)
        self.stepper.push(count, first_us, interval_us, part, whole, first_us * whole - _QUANTUM_US)

    # -- accounts -------------------------------------------------------------------------------

    def _note_slot(self, slot: Slot, parts: int) -> None:
        """Keep where planning stands, for a halt within the quantum."""
        slot.first = slot.second = slot.given = 0
        slot.phase = slot.middle = slot.last = self.planning
        slot.exact = True
        slot.speed = self._pace.speed
        slot.parts = parts
        slot.millions = self.left_millions
        slot.rest = self.left_rest
        slot.marked = self.marked
        slot.doses = self.doses
        slot.carry = self._carry
        slot.stair = self.stair
        slot.stair_left = self._stair_left
        slot.hold = self._hold

    def _cut(self, slot: Slot, made: int) -> None:
        """Stand where a quantum ends of which only the first ``made`` steps are made."""
        program = self.program
        given = min(made, slot.given)
        first = min(made - given, slot.first)
        second = made - given - first
        whole_first = first == slot.first
        slot.given = given
        slot.first = first
        slot.second = second
        slot.steps = made
        self.planning = slot.phase
        self.left_millions = slot.millions
        self.left_rest = slot.rest
        self.marked = slot.marked
        self.doses = slot.doses
        self._carry = slot.carry
        self._hold = slot.hold
        self.stair = slot.stair
        self._stair_left = slot.stair_left
        # What was done of a step at the beginning is kept if none was finished since.
        self._parts = 0 if first or second else slot.parts
        self.finished = False
        phase = program.phases[self.planning]
        if not phase.quanta:
            if (phase.bucket == INFUSED or self.finishing) and slot.bucket != RETRACTED:
                self._take_left(given)
            self._take_left(first)
        if whole_first and self._phase_is_over():
            self._end_phase()
            if second and not program.phases[self.planning].quanta:
                self._take_left(second)
        slot.last = self.planning
        if not self.finished:
            phase = program.phases[self.planning]
            self._drains = phase.bucket != SECONDARY
            self._set_pace(phase.stair_ul_h(self.stair))

    def _restore_parts(self, slot: Slot, into_ms: int, done: int, planned: int) -> None:
        """Put the sum back to where it stood ``into_ms`` after the start of ``slot``'s quantum.

        Of its ``planned`` steps ``done`` are made.
        """
        if self.planning != slot.phase:
            return
        if slot.hold or self.finishing:
            # The program waited.
            return
        parts = slot.parts
        size = self._step_parts
        due = 0
        for _ in range(min(max(into_ms, 0), QUANTUM_MS)):
            parts += slot.speed
            while parts >= size:
                parts -= size
                due += 1
        due = min(due, planned)
        # The stepper's clock and ours may be a moment apart about the step at the edge of now.
        if done < due:
            parts = size - 1
        elif done > due:
            parts = 0
        self._parts = parts

    def _skip_empty_phases(self) -> None:
        while not self.finished and self._phase_is_over():
            self._end_phase()

    def _count_slot(self, slot: Slot) -> None:
        """Count the steps of a quantum as made, each in its bucket."""
        phases = self.program.phases
        steps = slot.first
        if steps:
            self._count(phases[slot.phase].bucket, steps)
        steps = slot.second
        if steps:
            self._count(phases[slot.middle].bucket, steps)
        steps = slot.given
        if steps:
            self._count(slot.bucket, steps)
        self._retired = wrapped_sum(self._retired, slot.steps)
        self.moved += -slot.steps if self._is_reverse else slot.steps

    def _count(self, bucket: int, steps: int) -> None:
        rest = self.delivered_rest[bucket] + steps
        if rest >= MILLION:
            rest -= MILLION
            self.delivered_millions[bucket] += 1
        self.delivered_rest[bucket] = rest

    def _taken(self, slot: Slot) -> int:
        """What a quantum takes from the container."""
        phases = self.program.phases
        taken = 0 if slot.bucket == SECONDARY or slot.bucket == RETRACTED else slot.given  # noqa: PLR1714 (a tuple would be made)
        if phases[slot.phase].bucket != SECONDARY:
            taken += slot.first
        if phases[slot.middle].bucket != SECONDARY:
            taken += slot.second
        return taken

    def _take_left(self, steps: int) -> None:
        rest = self.left_rest - steps
        if rest < 0:
            rest += MILLION
            self.left_millions -= 1
        self.left_rest = rest

    def _take_content(self, steps: int) -> None:
        rest = self.content_rest - steps
        if rest < 0:
            rest += MILLION
            self.content_millions -= 1
        self.content_rest = rest

    def _put_back(self, steps: int) -> None:
        """Steps that were planned but not made are still in the container."""
        rest = self.content_rest + steps
        while rest >= MILLION:
            rest -= MILLION
            self.content_millions += 1
        self.content_rest = rest
        if steps:
            self.emptied = False


def _last_us(count: int, first_us: int, interval_us: int, part: int, whole: int) -> int:
    """When the last edge of a pushed quantum is; good to a µs or two (see ``edges_us``)."""
    # Both terms of the fraction by as much smaller as it takes for a small integer.
    cut = whole // _MANY_PARTS + 1
    parts_us = (count - 1) * (part // cut) // (whole // cut)
    return first_us + (count - 1) * interval_us + parts_us


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
