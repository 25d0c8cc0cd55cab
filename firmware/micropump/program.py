"""A program as data: phases that motion follows one after the other, and how long each takes.

A phase flows at a rate, or along a ramp of stairs, until its microsteps are made; or it lasts until
a time, counted in quanta from the last mark. Everything is worked out when the program is made, so
the control tick only looks up.
"""

from .doses import DoseLimits
from .mechanism import Mechanism
from .units import MILLION, QUANTUM_MS, S_PER_HOUR

# Buckets: every microstep is counted in exactly one.
INFUSED = 0
KVO = 1
PRIMED = 2
BOLUS = 3
DEMAND = 4
SECONDARY = 5
RETRACTED = 6
BUCKETS = 7

# What a therapy is; the numbers go over the wire.
CONTINUOUS = 1
INTERMITTENT = 2
RAMP = 3
STEPPED = 4
PCA = 5
PURGE = 6

# A phase of so many steps ends with the container.
_ENDLESS_MILLIONS = 100_000
ENDLESS_STEPS = _ENDLESS_MILLIONS * MILLION

# A ramp is made of at most so many stairs.
GREATEST_STAIRS = 60


class Phase:
    """One stretch of a program.

    Attributes:
        rate_ul_h, end_rate_ul_h: the rate; of a ramp, where it begins and ends.
        stairs, stair_quanta: into how many stairs of how many quanta a ramp is cut; 1 and 0
            without.
        millions, rest: microsteps after which it ends.
        quanta: if not 0 it ends by time, so many quanta after the last mark, and has no number of
            steps.
        bucket: what its steps are counted as.
        is_dose: it is one of the program's doses, and marks the time when it begins.

    """

    def __init__(self, rate_ul_h: int, steps: int, bucket: int) -> None:
        self.rate_ul_h = rate_ul_h
        self.end_rate_ul_h = rate_ul_h
        self.stairs = 1
        self.stair_quanta = 0
        self.millions = steps // MILLION
        self.rest = steps % MILLION
        self.quanta = 0
        self.bucket = bucket
        self.is_dose = False

    def steps(self) -> int:
        """Microsteps after which it ends; 0 if it ends by time."""
        return self.millions * MILLION + self.rest

    def is_endless(self) -> bool:
        """Whether it goes on until the container is empty."""
        return self.millions >= _ENDLESS_MILLIONS

    def stair_ul_h(self, stair: int) -> int:
        """The rate of a stair, that of the ramp at the stair's middle; µL/h.

        What rounding takes from one stair the next has back, so all stairs together lack less than
        1 µL/h of one of them. What little is left of the steps when the ramp's time is over follows
        as stair ``stairs``:
        that is at most what flows in the quantum in which it begins, so a tenth of the rate takes a
        second at most, and is no jump for the motor.
        """
        if self.stairs == 1:
            return self.rate_ul_h
        if stair == self.stairs:
            return max(1, self.end_rate_ul_h, self.rate_ul_h // 10)
        return max(1, self.rate_ul_h + self._risen_ul_h(stair + 1) - self._risen_ul_h(stair))

    def _risen_ul_h(self, stairs: int) -> int:
        """The sum of what the first ``stairs`` are above the ramp's beginning, rounded down."""
        # Middles of stairs: the sum of (2k + 1) * rise / (2 * all) is stairs² * rise / (2 * all);
        # in two parts, since the product is beyond the small ints.
        width = 2 * self.stairs
        rise = self.end_rate_ul_h - self.rate_ul_h
        whole = rise // width
        return stairs * stairs * whole + stairs * stairs * (rise - whole * width) // width

    def peak_ul_h(self) -> int:
        """The greatest rate at which it flows."""
        return max(self.stair_ul_h(0), self.stair_ul_h(self.stairs - 1))


class Program:
    """A sequence of phases, a part of which may be repeated, and what it comes to.

    Attributes:
        kind: ``CONTINUOUS`` … ``PURGE``.
        mechanism: what delivers it.
        phases: in order.
        loop_first, loop_last: the phases that are repeated until ``doses`` doses are given; -1
            without.
        doses: how many, 0 without.
        carry_add, carry_size: a dose is so many parts of a microstep more than its whole steps;
            whenever they come to ``carry_size`` a dose has a microstep more.
        clock_s: time of day when it was programmed, -1 if that does not matter.
        times_min, delay_s: of daily doses: minutes of the day, and from when on.
        reverse: the motor turns backwards, for all of it.
        warnings: bits of therapy's ``WARN_…``.
        vtbi_ul, vtbi_steps: what is to be infused, without KVO and loading dose.
        content_ul, containers: of each container, all full, and how many there are.
        kvo_ul_h, kvo_by_rule: the keep-open rate, 0 for none, and whether it follows the rate.
        limits: the rolling limits of a PCA, or None.
        demand_steps, demand_ul_h: what a demand gives, and how fast; 0 without.

    """

    def __init__(self, kind: int, mechanism: Mechanism) -> None:
        self.kind = kind
        self.mechanism = mechanism
        self.phases: list = []
        self.loop_first = self.loop_last = -1
        self.doses = 0
        self.carry_add = 0
        self.carry_size = 1
        self.clock_s = -1
        self.times_min: list = []
        self.delay_s = 0
        self.reverse = False
        self.warnings = 0
        self.vtbi_ul = self.vtbi_steps = 0
        self.content_ul = 0
        self.containers = 1
        self.kvo_ul_h = 0
        self.kvo_by_rule = False
        self.limits: DoseLimits | None = None
        self.demand_steps = self.demand_ul_h = 0

    def flow(self, rate_ul_h: int, steps: int, bucket: int) -> Phase:
        """Append a phase of ``steps`` microsteps at a rate."""
        phase = Phase(rate_ul_h, steps, bucket)
        self.phases.append(phase)
        return phase

    def ramp(self, from_ul_h: int, to_ul_h: int, quanta: int, steps: int, bucket: int) -> Phase:
        """Append a phase of ``steps`` along a ramp of ``quanta`` (at least one).

        It ends with its steps; should its time be over before, it goes on as it ended.
        """
        phase = self.flow(from_ul_h, steps, bucket)
        phase.end_rate_ul_h = to_ul_h
        # As many as go into it evenly, so that its time is exact.
        stairs = min(GREATEST_STAIRS, quanta)
        while quanta % stairs:
            stairs -= 1
        phase.stairs = stairs
        phase.stair_quanta = quanta // stairs
        return phase

    def wait(self, quanta: int, kvo_ul_h: int) -> Phase:
        """Append a phase that lasts until ``quanta`` after the last mark; KVO of 0 stands still."""
        phase = self.flow(kvo_ul_h, 0, KVO)
        phase.quanta = quanta
        return phase

    def content_steps(self, containers: int = 1) -> int:
        """Whole microsteps in so many containers, one after the other."""
        return self.mechanism.steps_for_ul(self.content_ul * containers)

    def after(self, phase: int, doses: int) -> int:
        """The phase that follows ``phase`` once ``doses`` doses are given; the count at the end."""
        if self.doses:
            if self.phases[phase].is_dose and doses == self.doses:
                return self.loop_last + 1
            if phase == self.loop_last:
                return self.loop_first
        return phase + 1

    def first_rate_ul_h(self) -> int:
        """The first rate that is neither KVO nor a loading dose's; 0 for a PCA without basal."""
        for phase in self.phases:
            if phase.bucket in (INFUSED, PRIMED, RETRACTED):
                return phase.stair_ul_h(0)
        return 0

    def peak_ul_h(self) -> int:
        """The greatest rate that it comes to by itself, or with a demand on top of its basal."""
        peak = 0
        for phase in self.phases:
            peak = max(peak, phase.peak_ul_h())
            if phase.bucket == INFUSED:
                peak = max(peak, phase.rate_ul_h + self.demand_ul_h)
        return peak

    # -- how long it takes ----------------------------------------------------------------------

    def timeline(self):
        """Every stretch in order, each as a tuple.

        (phase, doses given before, start ms, duration ms, rate µL/h, end rate µL/h, steps, bucket);
        steps are those of the plan, a wait's by its rate; the duration is -1 where only the
        container's end is one.
        """
        at_ms = marked_ms = 0
        phase = doses = carry = 0
        while phase < len(self.phases):
            part = self.phases[phase]
            steps = part.steps()
            if part.is_dose:
                marked_ms = at_ms
                carry += self.carry_add
                steps += carry // self.carry_size
                carry %= self.carry_size
            if part.is_endless():
                ms = -1
                steps = 0
            elif part.quanta:
                ms = max(0, marked_ms + part.quanta * QUANTUM_MS - at_ms)
                steps = self._steps_in(part.rate_ul_h, ms)
            else:
                ms = self.flow_ms(part, steps)
            yield (
                phase, doses, at_ms, ms, part.rate_ul_h, part.end_rate_ul_h, steps, part.bucket
            )  # fmt: skip
            if ms < 0:
                return
            at_ms += ms
            doses += part.is_dose
            phase = self.after(phase, doses)

    def flow_ms(self, part: Phase, steps: int, ramped_quanta: int = 0) -> int:
        """How long ``steps`` take in a phase, ``ramped_quanta`` of whose ramp are over; ms."""
        if part.stairs > 1:
            return max(0, part.stairs * part.stair_quanta - ramped_quanta) * QUANTUM_MS
        if part.rate_ul_h == 0:
            return 0
        # rate µL/h = rate / 3600 nL per ms
        nl_ms = steps * self.mechanism.nl_num * S_PER_HOUR
        return -(-nl_ms // (self.mechanism.nl_den * part.rate_ul_h))

    def remaining_ms(
        self, phase: int, doses: int, steps: int, marked_quanta: int, ramped_quanta: int
    ) -> int:
        """From a moment in ``phase`` to the last of the VTBI, delays and gaps included; ms.

        Args:
            phase: the phase of the moment.
            doses: how many were given before it.
            steps: what is left of it, if it ends by steps.
            marked_quanta: quanta since the last mark.
            ramped_quanta: quanta of a ramp that are over.

        """
        part = self.phases[phase]
        if part.is_endless():
            return 0
        if part.is_dose:
            if doses + 1 < self.doses:
                return self.doses_ms(phase, doses) - marked_quanta * QUANTUM_MS
            doses += 1
        if part.quanta:
            left_ms = max(0, part.quanta - marked_quanta) * QUANTUM_MS
        else:
            left_ms = self.flow_ms(part, steps, ramped_quanta)
        phase = self.after(phase, doses)
        while phase < len(self.phases):
            part = self.phases[phase]
            if part.is_dose:
                return left_ms + self.doses_ms(phase, doses)
            if not part.is_endless():
                left_ms += self.flow_ms(part, part.steps())
            phase += 1
        return left_ms

    def doses_ms(self, phase: int, doses: int) -> int:
        """From the start of the dose in ``phase``, ``doses`` given before, to the last's end; ms.

        Without going through all of them: intervals are from mark to mark.
        """
        intervals = self.doses - doses - 1
        ms = intervals // self._loop_doses() * self._loop_ms()
        for _ in range(intervals % self._loop_doses()):
            ms += self.interval_ms(phase)
            phase += 2
            if phase > self.loop_last:
                phase = self.loop_first
        return ms + self.flow_ms(self.phases[phase], self.phases[phase].steps())

    def interval_ms(self, phase: int) -> int:
        """From the start of the dose in ``phase`` to that of the next, ms."""
        return self.phases[phase + 1].quanta * QUANTUM_MS

    def duration_s(self) -> int:
        """``duration_ms`` to the nearest second."""
        return (self.duration_ms() + 500) // 1000

    def duration_ms(self) -> int:
        """From the start to the last of the VTBI, delays and gaps included; ms."""
        return self.remaining_ms(0, 0, self.phases[0].steps(), 0, 0)

    def _loop_doses(self) -> int:
        return (self.loop_last - self.loop_first + 1) // 2

    def _loop_ms(self) -> int:
        ms = 0
        for phase in range(self.loop_first, self.loop_last, 2):
            ms += self.interval_ms(phase)
        return ms

    def _steps_in(self, rate_ul_h: int, ms: int) -> int:
        return rate_ul_h * ms * self.mechanism.nl_den // (S_PER_HOUR * self.mechanism.nl_num)
