"""Boluses and demands: what flows beside the program, when it may, and how much of it was given.

None of them changes the program's own rate. A demand goes before a bolus, which then goes on; there
is one bolus at a time; a stop of the motor, for whatever reason, is the end of both.
"""

from . import doses, journal
from .motion import Lane, Motion
from .program import CONTINUOUS, DEMAND, INFUSED, PCA
from .therapy import (
    COMBINED_ABOVE_RANGE,
    DOSE_BELOW_RANGE,
    LEAST_DOSE_UL,
    NEEDS_RATE_OR_TIME,
    OK,
    check_rate,
    rate_for_time_ul_h,
)
from .units import MILLION, SMALL_INT_LIMIT

# What they can be refused for, of the controller's numbers (32 … 63).
NO_BOLUS_HERE = 37
BOLUS_RUNNING = 38
BOLUS_ABOVE_VTBI = 39
IN_ALARM = 40
NO_DEMAND_HERE = 41
DEMAND_LOCKED_OUT = 42
LIMIT_REACHED = 43

_OF_LIMITS = {
    doses.OK: OK, doses.LOCKED_OUT: DEMAND_LOCKED_OUT, doses.LIMIT_REACHED: LIMIT_REACHED
}  # fmt: skip


class Flowing:
    """A bolus or demand under way in its lane.

    Attributes:
        steps: what it shall give; 0 while there is none.

    """

    def __init__(self, motion: Motion, lane: Lane) -> None:
        self._motion = motion
        self.lane = lane
        self.steps = 0
        self._millions = self._rest = 0

    def begin(self, rate_ul_h: int, steps: int) -> None:
        """Flow ``steps`` at a rate."""
        self.steps = steps
        self._millions = self._motion.delivered_millions[self.lane.bucket]
        self._rest = self._motion.delivered_rest[self.lane.bucket]
        self._motion.begin_lane(self.lane, rate_ul_h, steps)

    def given(self) -> int:
        """Steps of it that are made. Allocates nothing."""
        bucket = self.lane.bucket
        millions = self._motion.delivered_millions[bucket] - self._millions
        return millions * MILLION + self._motion.delivered_rest[bucket] - self._rest

    def left(self) -> int:
        """Steps of it that are still to be made."""
        return self.steps - self.given() if self.steps else 0


class Boluses:
    """The two lanes of a pump, and the rules for them.

    Args:
        motion: what they flow through.
        note: notes an event, (code, a, b).

    Attributes:
        bolus, demand: what flows.
        cut_steps, cut_bucket: what the one that flowed at the last stop did not give; 0 for none.
        cut_bolus_steps: what a bolus did not give that was under way at the last stop.

    """

    def __init__(self, motion: Motion, note) -> None:
        self._motion = motion
        self._note = note
        self.bolus = Flowing(motion, motion.bolus)
        self.demand = Flowing(motion, motion.demand)
        self.cut_steps = 0
        self.cut_bolus_steps = 0
        self.cut_bucket = DEMAND

    def may_give(
        self, now_ms: int, in_alarm: bool, volume_ul: int, rate_ul_h: int, duration_s: int
    ) -> int:
        """Whether a bolus may be, at a rate, or over a time (a square bolus). ``OK`` or why not.

        The caller has seen that the program is infusing.
        """
        program = self._motion.program
        if program.kind not in (CONTINUOUS, PCA) or not self._draws():
            return NO_BOLUS_HERE
        if in_alarm:
            return IN_ALARM
        if self.bolus.steps:
            return BOLUS_RUNNING
        if (rate_ul_h == 0) == (duration_s == 0):
            return NEEDS_RATE_OR_TIME
        if volume_ul < LEAST_DOSE_UL:
            return DOSE_BELOW_RANGE
        steps = program.mechanism.steps_for_ul(volume_ul)
        # What is beyond small ints could not be noted either.
        if steps > self._vtbi_left() or steps >= SMALL_INT_LIMIT:
            return BOLUS_ABOVE_VTBI
        if duration_s:
            rate_ul_h = rate_for_time_ul_h(volume_ul, duration_s)
        refusal = check_rate(program.mechanism, rate_ul_h)
        if refusal:
            return refusal
        if rate_ul_h > self.greatest_rate_ul_h():
            return COMBINED_ABOVE_RANGE
        if program.limits and not program.limits.room_for(now_ms, steps):
            return LIMIT_REACHED
        return OK

    def give(self, volume_ul: int, rate_ul_h: int, duration_s: int) -> int:
        """Begin a bolus that may be; returns its steps."""
        program = self._motion.program
        steps = program.mechanism.steps_for_ul(volume_ul)
        if duration_s:
            rate_ul_h = rate_for_time_ul_h(volume_ul, duration_s)
        if program.limits:
            program.limits.open(steps)
        self.bolus.begin(rate_ul_h, steps)
        self._note(journal.BOLUS_STARTED, steps, rate_ul_h)
        return steps

    def ask(self, now_ms: int, refusal: int, in_alarm: bool) -> int:
        """A patient's demand; counted, whether it is given or not. ``OK`` or why not.

        Args:
            now_ms: the time.
            refusal: why the pump's state does not allow it, or ``OK``.
            in_alarm: whether an alarm forbids it.

        """
        program = self._motion.program
        if not program or not program.limits:
            return NO_DEMAND_HERE
        limits = program.limits
        if refusal == OK and not self._draws():
            refusal = NO_DEMAND_HERE
        if refusal == OK and in_alarm:
            refusal = IN_ALARM
        if refusal == OK and self.demand.steps:
            refusal = DEMAND_LOCKED_OUT
        if refusal == OK and program.demand_steps > self._vtbi_left():
            refusal = BOLUS_ABOVE_VTBI
        if refusal == OK:
            refusal = _OF_LIMITS[limits.demand(now_ms, program.demand_steps)]
        else:
            limits.made += 1
        if refusal:
            self._note(journal.DEMAND_REFUSED, refusal, limits.made)
            return refusal
        self.demand.begin(program.demand_ul_h, program.demand_steps)
        self._note(journal.DEMAND_GIVEN, program.demand_steps, limits.given)
        return OK

    def look(self, now_ms: int) -> None:
        """Notice what is finished. Allocates nothing."""
        if self.bolus.steps and self.bolus.given() >= self.bolus.steps:
            self._note(journal.BOLUS_DONE, self.bolus.steps, 0)
            self._close(now_ms, self.bolus.steps)
        if self.demand.steps and self.demand.given() >= self.demand.steps:
            self.demand.steps = 0
            self._end_without_basal()

    def _end_without_basal(self) -> None:
        """Less than a demand is left, and nothing flows by itself: no demand can be given again."""
        motion = self._motion
        program = motion.program
        if self._draws() and program.phases[motion.planning].rate_ul_h == 0:
            if motion.left_millions == 0 and motion.left_rest < program.demand_steps:
                motion.end_phase()

    def cancel(self, now_ms: int) -> None:
        """The motor has stopped: what is not given is not going to be. Allocates nothing."""
        self.look(now_ms)
        self.cut_steps = self.cut_bolus_steps = 0
        if self.bolus.steps:
            given = self.bolus.given()
            self.cut_bolus_steps = self.bolus.steps - given
            self._cut(journal.BOLUS_CANCELLED, self.bolus, given)
            self._close(now_ms, given)
        if self.demand.steps:
            self._cut(journal.DEMAND_CANCELLED, self.demand, self.demand.given())
            self.demand.steps = 0

    def _cut(self, code: int, flowing: Flowing, given: int) -> None:
        self.cut_steps = flowing.steps - given
        self.cut_bucket = flowing.lane.bucket
        self._note(code, given, self.cut_steps)

    def left_steps(self) -> int:
        """Steps that are still to come."""
        return self.bolus.left() + self.demand.left()

    def greatest_rate_ul_h(self) -> int:
        """What the pump can do beside the program's own rate."""
        program = self._motion.program
        basal_ul_h = program.phases[self._motion.planning].rate_ul_h
        return program.mechanism.greatest_rate_ul_h - basal_ul_h

    def vtbi_left_ul(self) -> int:
        """The most that a bolus can be; µL."""
        return self._motion.program.mechanism.nl_for_steps(self._vtbi_left()) // 1000

    def _close(self, now_ms: int, given: int) -> None:
        limits = self._motion.program.limits
        if limits:
            limits.close(now_ms, given)
        self.bolus.steps = 0

    def _draws(self) -> bool:
        """Whether steps of the VTBI are made, and planned.

        Not before a loading dose is made to its end, which is counted as a bolus too.
        """
        motion = self._motion
        phases = motion.program.phases
        return (
            not motion.is_at_end()
            and phases[motion.phase].bucket == INFUSED
            and phases[motion.planning].bucket == INFUSED
        )

    def _vtbi_left(self) -> int:
        """Steps of the VTBI that are neither planned nor promised."""
        motion = self._motion
        left = motion.left_millions * MILLION + motion.left_rest
        return left - motion.bolus.left - motion.demand.left
