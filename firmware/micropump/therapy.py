"""Programs: what shall be delivered, as phases that motion follows one after the other.

A phase has a rate, a number of microsteps after which it ends, and the bucket that its steps are
counted in. Everything is worked out when the program is made, so the control tick only looks up.
"""

from .mechanism import Mechanism
from .units import (
    GREATEST_VTBI_UL,
    LEAST_RATE_UL_H,
    LEAST_VTBI_UL,
    MILLION,
    S_PER_HOUR,
    rounded_ratio,
)

# Buckets: every delivered microstep is counted in exactly one.
INFUSED = 0
KVO = 1
PRIMED = 2
BUCKETS = 3

# What a program can be refused for. The numbers go over the wire.
OK = 0
RATE_BELOW_RANGE = 1
RATE_ABOVE_RANGE = 2
VTBI_BELOW_RANGE = 3
VTBI_ABOVE_RANGE = 4
VTBI_ABOVE_CONTENT = 5
CONTENT_ABOVE_CAPACITY = 6
NEEDS_RATE_OR_TIME = 7
KVO_ABOVE_RATE = 8

# What a program is warned of.
WARN_BELOW_LEAST_RATE = 1
WARN_KVO_BELOW_LEAST_RATE = 2
WARN_RATE_ROUNDED = 4

KVO_BY_RULE = 0xFFFFFFFF
KVO_OFF = 0

MAX_PHASES = 32


class Program:
    """A sequence of phases, and what of each is still to be planned.

    Attributes:
        mechanism: what delivers it.
        count: phases in use.
        rate_ul_h, bucket: per phase.
        left_millions, left_rest: microsteps of each phase that motion has not yet planned.
        warnings: bits of ``WARN_…``.
        vtbi_ul, content_ul, duration_s: of the whole; the duration is that of the VTBI.
        kvo_by_rule: whether the KVO rate follows from the infusion's.

    """

    def __init__(self, mechanism: Mechanism) -> None:
        self.mechanism = mechanism
        self.count = 0
        self.rate_ul_h = [0] * MAX_PHASES
        self.bucket = [0] * MAX_PHASES
        self.left_millions = [0] * MAX_PHASES
        self.left_rest = [0] * MAX_PHASES
        self.warnings = 0
        self.vtbi_ul = 0
        self.vtbi_steps = 0
        self.content_ul = 0
        self.duration_s = 0
        self.kvo_by_rule = False

    def add(self, rate_ul_h: int, steps: int, bucket: int) -> None:
        """Append a phase of ``steps`` microsteps."""
        at = self.count
        self.rate_ul_h[at] = rate_ul_h
        self.bucket[at] = bucket
        self.left_millions[at] = steps // MILLION
        self.left_rest[at] = steps % MILLION
        self.count = at + 1

    def give_back(self, phase: int, steps: int) -> None:
        """Return ``steps`` that were planned in ``phase`` but not made."""
        rest = self.left_rest[phase] + steps
        while rest >= MILLION:
            rest -= MILLION
            self.left_millions[phase] += 1
        self.left_rest[phase] = rest

    def follow_rate(self, rate_ul_h: int) -> None:
        """Keep the KVO phases in keeping with a titrated rate: by the rule, or not above it."""
        for phase in range(self.count):
            if self.bucket[phase] == KVO:
                if self.kvo_by_rule:
                    self.rate_ul_h[phase] = kvo_rate_ul_h(rate_ul_h)
                else:
                    self.rate_ul_h[phase] = min(self.rate_ul_h[phase], rate_ul_h)

    def has_left(self, phase: int) -> bool:
        """Whether ``phase`` has microsteps that are not planned yet."""
        return self.left_rest[phase] > 0 or self.left_millions[phase] > 0


def kvo_rate_ul_h(rate_ul_h: int) -> int:
    """The keep-vein-open rate for an infusion at ``rate_ul_h``.

    The rule that B. Braun discloses for the Infusomat Space: 3 mL/h if the rate is at least
    10 mL/h, 1 mL/h if it is below, and the rate itself below 1 mL/h.
    """
    if rate_ul_h >= 10_000:
        return 3_000
    if rate_ul_h >= 1_000:
        return 1_000
    return rate_ul_h


def rate_for_time_ul_h(vtbi_ul: int, duration_s: int) -> int:
    """The rate that gives ``vtbi_ul`` in ``duration_s``, to the nearest µL/h."""
    return rounded_ratio(vtbi_ul * S_PER_HOUR, duration_s)


def check_rate(mechanism: Mechanism, rate_ul_h: int) -> int:
    """``OK`` or why this mechanism cannot run at ``rate_ul_h``."""
    if rate_ul_h < LEAST_RATE_UL_H:
        return RATE_BELOW_RANGE
    if rate_ul_h > mechanism.greatest_rate_ul_h:
        return RATE_ABOVE_RANGE
    return OK


def check_continuous(
    mechanism: Mechanism,
    rate_ul_h: int,
    vtbi_ul: int,
    duration_s: int,
    kvo_ul_h: int,
    content_ul: int,
) -> int:
    """``OK``, or the first reason to refuse a continuous program. Exactly one of rate and time."""
    if (rate_ul_h == 0) == (duration_s == 0):
        return NEEDS_RATE_OR_TIME
    if vtbi_ul < LEAST_VTBI_UL:
        return VTBI_BELOW_RANGE
    if vtbi_ul > GREATEST_VTBI_UL:
        return VTBI_ABOVE_RANGE
    if mechanism.capacity_ul and content_ul > mechanism.capacity_ul:
        return CONTENT_ABOVE_CAPACITY
    if vtbi_ul > content_ul:
        return VTBI_ABOVE_CONTENT
    rate_ul_h = rate_ul_h or rate_for_time_ul_h(vtbi_ul, duration_s)
    refusal = check_rate(mechanism, rate_ul_h)
    if refusal == OK and kvo_ul_h not in (KVO_BY_RULE, KVO_OFF):
        refusal = check_rate(mechanism, kvo_ul_h)
        if refusal == OK and kvo_ul_h > rate_ul_h:
            refusal = KVO_ABOVE_RATE
    return refusal


def continuous(
    mechanism: Mechanism,
    rate_ul_h: int,
    vtbi_ul: int,
    duration_s: int,
    kvo_ul_h: int,
    content_ul: int,
) -> Program:
    """A program that passed ``check_continuous``: the VTBI at its rate, then KVO until empty.

    Args:
        mechanism: what delivers it.
        rate_ul_h: the rate, or 0 where ``duration_s`` gives it.
        vtbi_ul: volume to be infused.
        duration_s: time for the VTBI, or 0 where the rate is given.
        kvo_ul_h: ``KVO_BY_RULE``, ``KVO_OFF`` or a rate.
        content_ul: what the container holds at the start.

    """
    program = Program(mechanism)
    if rate_ul_h == 0:
        rate_ul_h = rate_for_time_ul_h(vtbi_ul, duration_s)
        if rate_ul_h * duration_s != vtbi_ul * S_PER_HOUR:
            program.warnings |= WARN_RATE_ROUNDED
    if kvo_ul_h == KVO_BY_RULE:
        program.kvo_by_rule = True
        kvo_ul_h = kvo_rate_ul_h(rate_ul_h)
    if rate_ul_h < mechanism.least_rate_ul_h:
        program.warnings |= WARN_BELOW_LEAST_RATE
    vtbi_steps = mechanism.steps_for_ul(vtbi_ul)
    program.add(rate_ul_h, vtbi_steps, INFUSED)
    kvo_steps = mechanism.steps_for_ul(content_ul) - vtbi_steps
    if kvo_ul_h and kvo_steps:
        program.add(kvo_ul_h, kvo_steps, KVO)
        if kvo_ul_h < mechanism.least_rate_ul_h:
            program.warnings |= WARN_KVO_BELOW_LEAST_RATE
    program.vtbi_ul = vtbi_ul
    program.vtbi_steps = vtbi_steps
    program.content_ul = content_ul
    program.duration_s = rounded_ratio(vtbi_ul * S_PER_HOUR, rate_ul_h)
    return program


def ramped(mechanism: Mechanism, steps: int, rate_ul_h: int, gain_ul_h: int) -> Program:
    """A move of ``steps`` microsteps that speeds up and slows down, for a purge or homing.

    Args:
        mechanism: what moves.
        steps: microsteps in all, exactly.
        rate_ul_h: the greatest rate.
        gain_ul_h: by how much the rate may change in a quantum of 100 ms; a rate that takes more
            than ``MAX_PHASES`` phases to reach is not reached.

    """
    program = Program(mechanism)
    ramp: list = []
    left = steps
    rate = gain_ul_h
    while rate < rate_ul_h and len(ramp) < (MAX_PHASES - 1) // 2:
        # The whole steps of one quantum at this rate, there and back.
        count = rate * mechanism.nl_den // (36 * mechanism.nl_num)
        if 2 * count > left:
            break
        if count:
            ramp.append((rate, count))
            left -= 2 * count
        rate += gain_ul_h
    for rate_up, count in ramp:
        program.add(rate_up, count, PRIMED)
    if left:
        program.add(min(rate, rate_ul_h), left, PRIMED)
    for rate_down, count in reversed(ramp):
        program.add(rate_down, count, PRIMED)
    program.vtbi_steps = steps
    return program
