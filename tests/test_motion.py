"""Motion against the exact rational schedule, judged with Python's fractions.

``MICROPUMP_TEN_DAYS=1`` adds a run of ten days, tick by tick, that takes half a minute.
"""

import bisect
import itertools
import math
import os
from fractions import Fraction

import pytest
import support
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from ideal import Flow, Ideal, Quantum, steps_per_ms
from support import nl_per_step

from micropump import mechanism, therapy
from micropump.controller import COMPLETED, INFUSING, KEEPING_OPEN, Controller
from micropump.mechanism import Mechanism
from micropump.motion import HORIZON_MS, START_DELAY_MS, Motion, edges_us
from micropump.program import (
    BOLUS,
    BUCKETS,
    CONTINUOUS,
    INFUSED,
    INTERMITTENT,
    KVO,
    PCA,
    PURGE,
    RAMP,
    SECONDARY,
    STEPPED,
    Phase,
    Program,
)
from micropump.units import (
    CLOCK_MASK,
    GREATEST_RATE_UL_H,
    LEAST_RATE_UL_H,
    MILLION,
    QUANTUM_MS,
    SMALL_INT_LIMIT,
    later_ms,
)

DAY_MS = 86_400_000
PLENTY = 10**15
# Edges of one example, so that the fastest rates take no longer than the others.
EDGES_MAX = 6000

mechanisms = st.sampled_from(support.MECHANISMS).map(lambda key: mechanism.build(*key))
# Uniform in the logarithm: as many examples around 0.01 mL/h as around 1200 mL/h.
rates_ul_h = st.floats(math.log(LEAST_RATE_UL_H), math.log(GREATEST_RATE_UL_H)).map(
    lambda exponent: min(GREATEST_RATE_UL_H, max(LEAST_RATE_UL_H, round(math.exp(exponent))))
)
clocks_ms = st.sampled_from([0, CLOCK_MASK - 700, 3 * SMALL_INT_LIMIT - 50]) | st.integers(0, 2**33)


class Bench:
    """Motion on a recording stepper, and beside it the rules that it has to keep.

    Every quantum that is pushed is compared with that of the rules, edge by edge, and every count.
    """

    def __init__(self, program: Program, content: int = PLENTY, start_ms: int = 0) -> None:
        self.program = program
        self.stepper = support.RecordingStepper()
        self.motion = Motion(self.stepper)
        self.motion.load(program)
        self.motion.fill(content)
        self.ideal = Ideal(program, content)
        self.now_ms = self.stepper.now_ms = start_ms
        self.judged = 0
        self.queued: list[tuple[int, Quantum]] = []
        self.made = [0] * BUCKETS
        self.jumped = 0
        self.running = False

    def follow(self) -> None:
        """Compare what is new, and count what is over."""
        for start_ms, fields in self.stepper.quanta[self.judged :]:
            assert not self.ideal.at_end()
            quantum = self.ideal.plan()
            assert edges_us(*fields) == quantum.made_us
            self.queued.append((start_ms, quantum))
        self.judged = len(self.stepper.quanta)
        self.retire()
        assert self.motion.is_at_end() == self.ideal.at_end()

    def retire(self) -> None:
        while self.queued and self.queued[0][0] + QUANTUM_MS <= self.now_ms:
            self.count(self.queued.pop(0)[1])

    def count(self, quantum: Quantum) -> None:
        phases = self.program.phases
        self.made[phases[quantum.phases[0]].bucket] += quantum.first
        self.made[phases[quantum.phases[1]].bucket] += quantum.second
        if quantum.given:
            self.made[quantum.lane] += quantum.given

    def start(self) -> None:
        self.motion.start(self.now_ms & CLOCK_MASK)
        self.running = True
        self.follow()

    def advance(self, ms: int) -> None:
        """A tick ``ms`` later, as far as the lead allows."""
        ms = min(ms, max(0, self.motion.lead_ms()))
        self.now_ms += ms
        self.stepper.now_ms = self.now_ms
        self.motion.advance(ms)
        assert not self.motion.starved
        assert self.motion.lead_ms() <= HORIZON_MS
        self.follow()
        assert self.delivered() == self.made
        least, most = self.into_steps()
        assert least <= self.motion.into_steps() <= most

    def into_steps(self) -> tuple[int, int]:
        """Steps of the quantum under way that are made, by the rules and 20 µs sooner or later."""
        if not self.queued:
            return 0, 0
        start_ms, quantum = self.queued[0]
        into_us = (self.now_ms - start_ms) * 1000
        least, most = (bisect.bisect_right(quantum.made_us, into_us + us) for us in (-20, 20))
        return least, most

    def run(self, ms: int) -> None:
        """Ticks when they are due."""
        end_ms = self.now_ms + ms
        while self.now_ms < end_ms and not self.motion.is_at_end():
            self.advance(min(max(1, self.motion.due_in_ms()), end_ms - self.now_ms))

    def set_rate(self, rate_ul_h: int) -> None:
        # As the controller does, whose every command begins with a tick.
        self.motion.advance(0)
        self.follow()
        self.motion.set_rate(rate_ul_h)

    def begin_lane(self, bucket: int, rate_ul_h: int, steps: int) -> None:
        self.motion.advance(0)
        self.follow()
        lane = self.motion.bolus if bucket == BOLUS else self.motion.demand
        self.motion.begin_lane(lane, rate_ul_h, steps)
        self.ideal.lanes[bucket] = Flow(steps, rate_ul_h)

    def halt(self, late_ms: int = 0) -> None:
        """Stop; ``late_ms`` after a tick that was not (an interlock's way to stop)."""
        late_ms = min(late_ms, max(0, self.motion.lead_ms()))
        self.now_ms += late_ms
        self.stepper.now_ms = self.now_ms
        self.motion.pass_ms(late_ms)
        self.motion.halt(self.now_ms & CLOCK_MASK)
        self.retire()
        into_ms = self.now_ms - self.queued[0][0] if self.queued else 0
        self.ideal.halt([quantum for _, quantum in self.queued], into_ms)
        if self.queued:
            self.count(self.queued[0][1])
        self.queued = []
        self.running = False
        self.check()

    def finish_stroke(self, rate_ul_h: int, steps: int, bucket: int) -> None:
        """After ``halt``: the end of a stroke, to its end or the container's."""
        spot, phase = self.ideal.spot, self.program.phases[self.ideal.spot.phase]
        if bucket == phase.bucket and not phase.quanta:
            own = steps_per_ms(self.program.mechanism, self.ideal.rate_ul_h()) * QUANTUM_MS
            early = spot.owed + steps
            spot.hold += int(early / own)
            spot.owed = early % own
        self.ideal.stroke = (bucket, Flow(steps, rate_ul_h))
        self.motion.finish_stroke(self.now_ms & CLOCK_MASK, rate_ul_h, steps, bucket)
        self.running = True
        self.follow()

    def delivered(self) -> list[int]:
        motion = self.motion
        return [
            millions * MILLION + rest
            for millions, rest in zip(motion.delivered_millions, motion.delivered_rest, strict=True)
        ]

    def check(self) -> None:
        """After a halt: every edge is counted once, and motion stands where the rules do."""
        motion, spot = self.motion, self.ideal.spot
        made_us = self.stepper.made_edges_us()
        assert all(a < b for a, b in itertools.pairwise(made_us))
        assert sum(self.delivered()) == len(made_us) + self.jumped
        assert self.delivered() == self.made
        assert not motion.mismatch
        assert motion.content_millions * MILLION + motion.content_rest == self.ideal.content
        assert (motion.finished, motion.doses) == (spot.finished, spot.doses)
        if not spot.finished:
            assert (motion.planning, motion._hold) == (spot.phase, spot.hold)
            assert Fraction(motion._parts, motion._step_parts) == spot.part
            if not self.program.phases[spot.phase].quanta:
                assert motion.left_millions * MILLION + motion.left_rest == spot.left


def of_phases(parts: Mechanism, *phases: tuple[int, int, int]) -> Program:
    """A program of phases (rate µL/h, steps, bucket) as they stand."""
    program = Program(CONTINUOUS, parts)
    for phase in phases:
        program.flow(*phase)
    return program


def one_rate(parts: Mechanism, rate_ul_h: int, start_ms: int = 0) -> Bench:
    return Bench(of_phases(parts, (rate_ul_h, PLENTY, INFUSED)), PLENTY, start_ms)


actions = st.one_of(
    st.tuples(st.just("tick"), st.integers(0, HORIZON_MS)),
    st.tuples(st.just("run"), st.floats(0, 1)),
    st.tuples(st.just("rate"), rates_ul_h),
    st.tuples(st.just("pause"), st.integers(0, 3000)),
    st.tuples(st.just("jump"), st.integers(0, 10 * DAY_MS)),
)


class Exact:
    """One phase without an end against the schedule: the judge knows nothing of quanta.

    A change of rate takes effect where planning stands, at most ``HORIZON_MS`` from now.
    """

    def __init__(self, parts: Mechanism, rate_ul_h: int, start_ms: int) -> None:
        self.bench = one_rate(parts, rate_ul_h, start_ms)
        self.schedule = support.Schedule(nl_per_step(parts))
        self.rate_ul_h = rate_ul_h
        self.origin_ms = self.judged_ms = start_ms
        self.changes: list[tuple[int, int]] = []

    def start(self) -> None:
        self.origin_ms = self.judged_ms = self.bench.now_ms + START_DELAY_MS
        self.bench.start()

    def set_rate(self, rate_ul_h: int) -> None:
        self.bench.set_rate(rate_ul_h)
        ahead_ms = self.bench.now_ms + HORIZON_MS - self.origin_ms
        self.changes.append((self.origin_ms + ahead_ms // QUANTUM_MS * QUANTUM_MS, rate_ul_h))

    def halt(self, late_ms: int = 0) -> None:
        self.bench.halt(late_ms)
        for at_ms, rate_ul_h in self.changes:
            # What had not yet taken effect holds from the next start.
            self.flow_until(min(at_ms, self.bench.now_ms))
            self.rate_ul_h = rate_ul_h
        self.changes = []
        self.flow_until(self.bench.now_ms)

    def flow_until(self, ms: int) -> None:
        if ms > self.judged_ms:
            self.schedule.flow(self.judged_ms, ms, self.rate_ul_h)
            self.judged_ms = ms

    def jump(self, ms: int) -> None:
        """While halted: put motion and its judges where the law has them ``ms`` of running later.

        The law of one run holds from any fraction of a step that is under way, so runs join to runs
        of any length; this is how days pass here in no time.
        """
        bench, motion, schedule = self.bench, self.bench.motion, self.schedule
        before = int(schedule.steps)
        schedule.steps += steps_per_ms(bench.program.mechanism, self.rate_ul_h) * ms
        done = int(schedule.steps) - before
        bench.ideal.spot.part = schedule.steps % 1
        parts = bench.ideal.spot.part * motion._step_parts
        assert parts.denominator == 1
        motion._parts = int(parts)
        motion._take_left(done % MILLION)
        motion.left_millions -= done // MILLION
        bench.ideal.spot.left -= done
        total = motion.delivered_millions[INFUSED] * MILLION + motion.delivered_rest[INFUSED] + done
        motion.delivered_millions[INFUSED], motion.delivered_rest[INFUSED] = divmod(total, MILLION)
        bench.made[INFUSED] += done
        bench.jumped += done


@settings(max_examples=600)
@given(mechanisms, rates_ul_h, clocks_ms, st.lists(actions, max_size=14))
def test_every_step_is_at_its_exact_time(parts, rate_ul_h, start_ms, steps):
    # Equal lists of edges, each the exact time rounded up to 1 µs, say that at every moment the
    # steps made are the whole part of the exact ones: less than one behind, never ahead.
    exact = Exact(parts, rate_ul_h, start_ms)
    bench = exact.bench
    exact.start()
    for what, value in steps:
        budget_ms = int((EDGES_MAX - len(bench.stepper.quanta)) / steps_per_ms(parts, rate_ul_h))
        if what == "tick":
            bench.advance(value)
        elif what == "run":
            # At most 20 s of ticks, and no more edges than the budget.
            bench.run(int(max(1, min(20_000, budget_ms / 10)) * value))
        elif what == "rate":
            rate_ul_h = value
            exact.set_rate(rate_ul_h)
        else:
            exact.halt(value % 50)
            if what == "jump":
                exact.jump(value)
            bench.now_ms += value % 3001
            bench.stepper.now_ms = bench.now_ms
            exact.start()
    exact.halt()
    assert bench.stepper.made_edges_us() == exact.schedule.edges_us
    assert bench.delivered()[INFUSED] == int(exact.schedule.steps)


# -- phases, lanes, containers ------------------------------------------------------------------

# So that phases, quanta and steps are of all relative lengths: steps in a quantum.
paces = st.sampled_from([0.02, 0.4, 1, 3, 17.5, 60, 200])


def rate_for(parts: Mechanism, steps_per_quantum: float, more_ul_h: int) -> int:
    """A rate of about so many steps in a quantum."""
    exact_ul_h = steps_per_quantum * float(nl_per_step(parts)) * 3600 / QUANTUM_MS
    return min(GREATEST_RATE_UL_H, max(LEAST_RATE_UL_H, int(exact_ul_h) + more_ul_h))


@st.composite
def programs(draw, mechanisms=mechanisms):
    """Any sequence of flows, ramps and waits, and perhaps doses that are repeated."""
    parts = draw(mechanisms)
    program = Program(CONTINUOUS, parts)
    rates = st.builds(rate_for, st.just(parts), paces, st.integers(0, 30))

    def add(kind: str) -> None:
        steps = draw(st.integers(1, 300))
        if kind == "wait":
            program.wait(draw(st.integers(1, 30)), draw(st.sampled_from([0, 1])) * draw(rates))
        elif kind == "ramp":
            ends = draw(st.sampled_from([(0, 1), (1, 0), (1, 1)]))
            rates_ul_h = [draw(rates) * end for end in ends]
            # Of whole seconds.
            program.ramp(*rates_ul_h, 10 * draw(st.integers(1, 9)), steps, INFUSED)
        else:
            # A secondary infusion is never behind a part of the primary.
            others = [KVO] if program.phases else [KVO, SECONDARY]
            program.flow(draw(rates), steps, draw(st.sampled_from([INFUSED] * 3 + others)))

    kinds = st.sampled_from(["flow", "flow", "flow", "ramp", "wait"])
    for kind in draw(st.lists(kinds, max_size=4)):
        add(kind)
    if not program.phases or draw(st.booleans()):
        if program.phases:
            program.wait(len(program.phases) * 30, 0)
        program.doses = draw(st.integers(1, 4))
        program.carry_size = draw(st.integers(1, 1000))
        program.carry_add = draw(st.integers(0, program.carry_size - 1))
        program.loop_first = len(program.phases)
        for _ in range(draw(st.integers(1, 2))):
            add("flow")
            program.phases[-1].bucket = INFUSED
            program.phases[-1].is_dose = True
            add("wait")
        program.loop_last = len(program.phases) - 1
        if draw(st.booleans()):
            add("flow")
    return program


disturbances = st.one_of(
    st.tuples(st.just("tick"), st.integers(1, HORIZON_MS)),
    st.tuples(st.just("run"), st.integers(100, 3_000)),
    st.tuples(st.just("pause"), st.integers(0, 400)),
    st.tuples(st.just("late pause"), st.integers(1, HORIZON_MS)),
    st.tuples(st.sampled_from(["bolus", "demand"]), st.integers(1, 150)),
    st.tuples(st.just("rate"), st.integers(0, 6)),
    st.tuples(st.just("stroke"), st.integers(1, 60)),
)


def disturb(bench: Bench, what: str, value: int) -> None:
    motion, parts = bench.motion, bench.program.mechanism
    if what == "tick":
        bench.advance(value)
    elif what == "run":
        bench.run(value)
    elif what in ("bolus", "demand"):
        phase = bench.program.phases[motion.planning]
        promised = motion.bolus.left + motion.demand.left
        left = motion.left_millions * MILLION + motion.left_rest - promised
        lane = motion.bolus if what == "bolus" else motion.demand
        # As boluses.py: what the phase has room for, and one of each at a time.
        if phase.bucket == INFUSED and not phase.quanta and left > 0 and not lane.left:
            rate_ul_h = rate_for(parts, (0.3, 5.5, 120)[value % 3], value)
            bench.begin_lane(lane.bucket, rate_ul_h, min(value, left))
    elif what == "rate":
        if bench.program.phases[motion.planning].stairs == 1:
            bench.set_rate(rate_for(parts, (0.1, 1, 2.5, 14, 50, 90, 180)[value], value))
    else:
        bench.halt(value if what == "late pause" else 0)
        spot = bench.ideal.spot
        if what == "stroke" and not bench.ideal.at_end():
            phase = bench.program.phases[spot.phase]
            steps = min(value, bench.ideal.content)
            if not phase.quanta:
                steps = min(steps, spot.left)
            if steps and phase.rate_ul_h:
                bench.finish_stroke(rate_for(parts, (1, 7, 30)[value % 3], 0), steps, phase.bucket)
                # A second stop may come before it is at its end.
                bench.run(value * 20)
                bench.halt()
        bench.now_ms += value
        bench.stepper.now_ms = bench.now_ms
        if not bench.ideal.at_end():
            bench.start()


@settings(max_examples=300)
@given(
    programs(),
    st.sampled_from([PLENTY, PLENTY, 900, 333, 57]),
    clocks_ms,
    st.lists(disturbances, max_size=16),
)
def test_any_program_keeps_the_rules_whatever_disturbs_it(program, content, start_ms, steps):
    bench = Bench(program, content, start_ms)
    bench.start()
    for what, value in steps:
        if bench.ideal.at_end():
            break
        disturb(bench, what, value)
    if bench.running and not bench.ideal.at_end():
        bench.run(20_000)
    if bench.running:
        while bench.ideal.at_end() and bench.motion.lead_ms() > 0:
            # Within the last quanta, too.
            bench.advance(37)
        bench.halt()


@settings(max_examples=100)
@given(
    mechanisms,
    st.lists(
        st.tuples(paces, st.integers(1, 300)).filter(lambda each: each[1] < 1_500 * each[0]),
        min_size=2,
        max_size=5,
    ),
)
def test_a_phase_begins_at_the_first_whole_ms_after_the_last_step_of_the_one_before(parts, plan):
    # In closed form, without the rules' help: the last steps are at the sum of the phases' times,
    # each rounded up to 1 ms, if no phase is so short that a quantum holds three.
    phases = [(rate_for(parts, pace, 0), steps, INFUSED) for pace, steps in plan]
    lengths_ms = [
        math.ceil(steps / steps_per_ms(parts, rate_ul_h)) for rate_ul_h, steps, _ in phases
    ]
    assume(min(lengths_ms) >= QUANTUM_MS)
    bench = Bench(of_phases(parts, *phases))
    bench.start()
    while not bench.motion.finished:
        bench.advance(QUANTUM_MS)
    bench.advance(HORIZON_MS)
    bench.halt()
    made_us = bench.stepper.made_edges_us()
    whole = schedule_of(parts, phases, lengths_ms)
    assert len(made_us) == len(whole) == sum(steps for _, steps, _ in phases)
    # Spread evenly where two phases meet: counts at the quanta's ends are those of the schedule.
    for start_ms, _ in bench.stepper.quanta:
        end_us = (start_ms + QUANTUM_MS) * 1000
        assert bisect.bisect_right(made_us, end_us) == bisect.bisect_right(whole, end_us)
    joints_ms = list(itertools.accumulate(lengths_ms, initial=START_DELAY_MS))[1:-1]
    shared = {(joint_ms - START_DELAY_MS) // QUANTUM_MS for joint_ms in joints_ms}
    for at_us, exact_us in zip(made_us, whole, strict=True):
        # Each edge is in the right quantum, and at its exact time where the quantum is one phase's.
        quantum = ((at_us - 1) // 1000 - START_DELAY_MS) // QUANTUM_MS
        assert at_us == exact_us or quantum in shared
        assert abs(at_us - exact_us) < QUANTUM_MS * 1000


def schedule_of(parts: Mechanism, phases: list, lengths_ms: list[int]) -> list[int]:
    """Edges of phases that follow each other at whole ms, µs."""
    edges_us: list[int] = []
    begin_ms = START_DELAY_MS
    for (rate_ul_h, steps, _), length_ms in zip(phases, lengths_ms, strict=True):
        schedule = support.Schedule(nl_per_step(parts))
        schedule.flow(begin_ms, begin_ms + length_ms, rate_ul_h, steps)
        edges_us += schedule.edges_us
        begin_ms += length_ms
    return edges_us


@settings(max_examples=12)
@given(mechanisms, rates_ul_h, st.lists(st.integers(60_000, 3_600_000), min_size=2, max_size=4))
def test_sampled_moments_of_a_long_run(parts, rate_ul_h, spans_ms):
    # Without looking at edges: what is planned up to a boundary is the whole part of the schedule.
    stepper = CountingStepper()
    motion = Motion(stepper)
    motion.load(of_phases(parts, (rate_ul_h, PLENTY, INFUSED)))
    motion.fill(PLENTY)
    motion.start(0)
    for span_ms in spans_ms:
        check_run(motion, stepper, rate_ul_h, stepper.quanta + span_ms // QUANTUM_MS)


@pytest.mark.parametrize("steps", [MILLION - 1, MILLION, MILLION + 1, 2 * MILLION, 2_345_678])
def test_millions_of_steps_are_delivered_to_the_last(steps):
    # 2.2 nL a step at 1200 mL/h are 15,000 steps in a quantum.
    stepper = CountingStepper()
    motion = Motion(stepper)
    parts = mechanism.syringe("terumo-1", "m5-0.8-32")
    motion.load(of_phases(parts, (GREATEST_RATE_UL_H, steps, INFUSED)))
    motion.fill(PLENTY)
    motion.start(0)
    while not motion.finished:
        motion.advance(QUANTUM_MS)
    motion.advance(HORIZON_MS)
    assert stepper.steps == steps
    assert (motion.delivered_millions[0], motion.delivered_rest[0]) == divmod(steps, MILLION)


class CountingStepper:
    """Counts, and keeps nothing."""

    def __init__(self) -> None:
        self.steps = self.quanta = 0

    def begin(self, start_ms: int, reverse: bool) -> None:
        pass

    def push(self, count: int, *fields: int) -> None:
        self.steps += count
        self.quanta += 1


def check_run(motion: Motion, stepper: CountingStepper, rate_ul_h: int, quanta: int) -> None:
    while stepper.quanta < quanta:
        motion.advance(QUANTUM_MS)
    parts = motion.program.mechanism
    assert stepper.steps == int(steps_per_ms(parts, rate_ul_h) * QUANTUM_MS * stepper.quanta)
    queued = sum(motion._slots[(motion._oldest + at) % 8].steps for at in range(motion._queued))
    delivered = motion.delivered_millions[0] * MILLION + motion.delivered_rest[0]
    assert delivered + queued == stepper.steps
    assert motion._retired == delivered & CLOCK_MASK


@pytest.mark.skipif("MICROPUMP_TEN_DAYS" not in os.environ, reason="takes half a minute")
@pytest.mark.parametrize("rate_ul_h", [5_000, 1_200_000])
def test_ten_days_tick_by_tick(rate_ul_h):
    parts = mechanism.syringe("terumo-1", "m5-0.8-32")
    stepper = CountingStepper()
    motion = Motion(stepper)
    motion.load(of_phases(parts, (rate_ul_h, PLENTY, INFUSED)))
    motion.fill(PLENTY)
    motion.start(0)
    for day in range(1, 11):
        check_run(motion, stepper, rate_ul_h, day * DAY_MS // QUANTUM_MS)


# The most nanolitres in a step: the greatest numerator.
HIGHEST_RATIO = max(
    (key[1:] for key in support.MECHANISMS if key[0] == mechanism.KIND_PERISTALTIC),
    key=lambda ids: mechanism.peristaltic(*ids).nl_num,
)

# -- small integers ----------------------------------------------------------------------------


class Small(int):
    """An integer that fails where the board's would leave its 31 bits; catching, as sums do.

    Attributes:
        strict: a command, which may allocate, sets it to False.

    """

    strict = True


def _checked(name: str):
    plain = getattr(int, name)

    def operate(self, *others):
        value = plain(self, *others)
        if type(value) is not int:
            return value
        fits = -SMALL_INT_LIMIT <= value < SMALL_INT_LIMIT
        assert fits or not Small.strict, (name, int(self), others)
        return Small(value) if fits else value

    return operate


for _name in ("add", "sub", "mul", "floordiv", "mod", "and", "or", "lshift", "rshift"):
    setattr(Small, f"__{_name}__", _checked(f"__{_name}__"))
    setattr(Small, f"__r{_name}__", _checked(f"__r{_name}__"))
Small.__neg__ = _checked("__neg__")


def small(value: int) -> Small:
    assert -SMALL_INT_LIMIT <= value < SMALL_INT_LIMIT
    return Small(value)


class SmallStepper(support.RecordingStepper):
    """Hands back small integers, and checks those that it is handed."""

    made = 0

    def push(self, *fields: int) -> None:
        super().push(*(int(small(value)) for value in fields))

    def abort(self, now_ms: int) -> int:
        return Small((super().abort(now_ms) + int(self.made)) & CLOCK_MASK)


def smallen(thing: object) -> None:
    """Make small integers of all that an object holds, and the lists in it."""
    for name, value in vars(thing).items():
        if type(value) is int:
            setattr(thing, name, small(value))
        elif type(value) is list and value and type(value[0]) is int:
            value[:] = [small(each) for each in value]


class SmallRig(support.Rig):
    """A controller whose ticks compute with integers that fail beyond 31 bits."""

    def __init__(self, start_ms: int) -> None:
        super().__init__(start_ms)
        self.stepper = SmallStepper()
        self.controller = Controller(self.stepper, Small(start_ms))
        self.inputs = self.controller.inputs

    def tick(self, after_ms: int = 0) -> None:
        self.now_ms += after_ms
        self.stepper.now_ms = self.now_ms
        now = Small(self.now_ms & CLOCK_MASK)
        due_ms = self.controller.tick(now, self.inputs)
        assert type(due_ms) is Small
        self.due_ms = self.now_ms + int((due_ms - now) & CLOCK_MASK)

    def do(self, name: str, *values: object) -> int:
        self.tick()
        Small.strict = False
        try:
            return super().do(name, *(Small(v) if type(v) is int else v for v in values))
        finally:
            Small.strict = True
            for thing in (self.controller, self.controller.motion, self.controller.boluses):
                smallen(thing)


def small_mechanism(key: tuple[int, str, str]) -> Mechanism:
    parts = mechanism.build(*key)
    parts.nl_num, parts.nl_den = small(parts.nl_num), small(parts.nl_den)
    return parts


@pytest.mark.parametrize("rate_ul_h", [10, 999, 25_000, 1_199_999, 1_200_000])
def test_motion_stays_within_small_integers(rate_ul_h):
    for key in support.MECHANISMS:
        parts = small_mechanism(key)
        stepper = SmallStepper()
        motion = Motion(stepper)
        motion.load(of_phases(parts, (Small(rate_ul_h), Small(SMALL_INT_LIMIT - 1), INFUSED)))
        motion.fill(Small(SMALL_INT_LIMIT - 1))
        now_ms = stepper.now_ms = SMALL_INT_LIMIT - 620
        motion.start(Small(now_ms))
        # As if ever so many steps had been made since begin.
        motion._retired = stepper.made = Small(SMALL_INT_LIMIT - 3)
        for wish_ms in (70, 100, 333, 100, 99, 550):
            ms = min(wish_ms, motion.lead_ms())
            now_ms = stepper.now_ms = now_ms + int(ms)
            motion.advance(Small(ms))
            assert motion.due_in_ms() <= QUANTUM_MS
        motion.set_rate(Small(rate_ul_h))
        motion.halt(Small(now_ms & CLOCK_MASK))
        assert not motion.mismatch
        # Had the integers become plain on the way, nothing would have been checked.
        assert type(motion._parts) is Small


@pytest.mark.parametrize("key", [(1, "bd-plastipak-60", "t8-2mm-16"), (2, *HIGHEST_RATIO)])
def test_the_whole_tick_stays_within_small_integers(key):
    # The controller through the wrap of its clock: infusing, KVO, empty.
    parts = small_mechanism(key)
    stepper = SmallStepper()
    now_ms = stepper.now_ms = SMALL_INT_LIMIT - 1500
    pump = Controller(stepper, Small(now_ms))
    program = support.program_of(
        CONTINUOUS, parts, rate_ul_h=900_000, vtbi_ul=500, kvo_ul_h=900_000, content_ul=700
    )
    # A command may allocate: how long it will take is reckoned in large numbers.
    Small.strict = False
    assert pump.load(Small(now_ms), program, 1) == therapy.OK
    Small.strict = True
    smallen(pump)
    smallen(pump.motion)
    assert pump.start(Small(now_ms), 1) == therapy.OK
    states = set()
    while pump.state != COMPLETED:
        now_ms = stepper.now_ms = now_ms + 49
        due_ms = pump.tick(Small(now_ms & CLOCK_MASK), pump.inputs)
        assert type(due_ms) is Small
        states.add(pump.state)
    assert states == {INFUSING, KEEPING_OPEN, COMPLETED}
    assert now_ms > SMALL_INT_LIMIT
    assert type(pump.uptime_ms) is Small


FAST = {"content_ul": 12_000, "kvo_ul_h": 900_000}
PCA_FIELDS = {
    **FAST, "kvo_ul_h": 200_000, "vtbi_ul": 5_000, "rate_ul_h": 300_000, "demand_ul": 200,
    "demand_ul_h": 800_000, "lockout_s": 2, "window_1_s": 60, "limit_1_ul": 8_000,
    "window_2_s": 86_400, "limit_2_ul": 9_000_000, "loading_ul": 300, "loading_ul_h": 1_000_000,
}  # fmt: skip
THERAPIES = [
    (
        RAMP,
        {**FAST, "kvo_ul_h": 800_000, "vtbi_ul": 2_000, "duration_s": 12, "up_s": 3, "down_s": 4},
        [],
    ),
    (
        INTERMITTENT,
        {**FAST, "dose_ul": 333, "rate_ul_h": 900_000, "interval_s": 3, "doses": 4},
        [("pause",), ("resume",)],
    ),
    (
        STEPPED,
        {**FAST, "steps": [(900_000, 500, 0), (1_000_000, 5, 0), (950_000, 0, 3)]},
        [("load_secondary", Phase(1_000_000, 1000, SECONDARY), 9), ("start", 9)],
    ),
    (
        PCA,
        PCA_FIELDS,
        [
            ("bolus", 1_000, 500_000, 0),
            ("demand",),
            ("set_rate", 290_000),
            ("demand",),
            ("demand",),
        ],
    ),
    (PURGE, {"volume_ul": 2_000, "rate_ul_h": 1_000_000}, []),
    (
        CONTINUOUS,
        {**FAST, "rate_ul_h": 900_000, "vtbi_ul": 4_000, "content_ul": 2_001, "containers": 2},
        [("pause",), ("resume",), ("change_container", 2_100), ("acknowledge",), ("resume",)],
    ),
]


@pytest.mark.parametrize(("kind", "fields", "commands"), THERAPIES)
@pytest.mark.parametrize("key", [(1, "bd-plastipak-60", "t8-2mm-16"), (2, *HIGHEST_RATIO)])
def test_the_tick_of_every_therapy_stays_within_small_integers(key, kind, fields, commands):
    # Through the wrap of the clock, a command every five seconds, to an end or a minute.
    rig = SmallRig(SMALL_INT_LIMIT - 5_000)
    program = support.program_of(kind, mechanism.build(*key), **fields)
    smallen(program)
    smallen(program.mechanism)
    for phase in program.phases:
        smallen(phase)
    assert rig.do("load", program, 1) == rig.do("start", 1) == therapy.OK
    for command in commands:
        rig.run(5_000)
        rig.do(*command)
    for _ in range(60):
        rig.run(1_000)
    motion = rig.controller.motion
    assert motion.finished or rig.controller.state in (COMPLETED, KEEPING_OPEN)
    made = [type(rest) for rest in motion.delivered_rest if rest]
    assert made
    # Had the integers become plain on the way, nothing would have been checked.
    assert {*made, type(motion._pace.speed), type(motion._pace.parts)} == {Small}


def test_terms_are_bounded_for_every_mechanism():
    # The proof beside the spot checks: the long divisions take at most ten times either term.
    for key in support.MECHANISMS:
        parts = mechanism.build(*key)
        assert 3600 * parts.nl_num * 10 < SMALL_INT_LIMIT
        assert GREATEST_RATE_UL_H * parts.nl_den * 10 < SMALL_INT_LIMIT


def test_later_stays_within_small_integers():
    for now_ms in (0, 1, CLOCK_MASK - 1, CLOCK_MASK):
        for delay_ms in (0, 1, 50, 100, CLOCK_MASK):
            assert later_ms(Small(now_ms), Small(delay_ms)) == (now_ms + delay_ms) & CLOCK_MASK


def test_edges_never_come_two_in_a_microsecond():
    # Greatest rate on the finest mechanism: the least interval of two edges.
    finest = min(nl_per_step(mechanism.build(*key)) for key in support.MECHANISMS)
    interval_us = finest * 3_600_000 / GREATEST_RATE_UL_H
    # 2.01 nL a step at 1200 mL/h: 6.03 µs.
    assert interval_us > 6


# -- what the stepper is told -------------------------------------------------------------------


@given(st.integers(1, 10**8), st.integers(1, 10**8), st.integers(1, 300), st.data())
def test_edges_are_the_exact_times_rounded_up(size, speed, count, data):
    # A step is `size` parts, a µs adds `speed`; `missing` parts are missing of the first.
    missing = data.draw(st.integers(1, size))
    exact = [Fraction(missing + k * size, speed) for k in range(count)]
    first_us = math.ceil(exact[0])
    credit = first_us * speed - missing
    edges = edges_us(count, first_us, size // speed, size % speed, speed, credit)
    assert edges == [math.ceil(at_us) for at_us in exact]


# -- starving -----------------------------------------------------------------------------------


def started(parts: Mechanism, rate_ul_h: int) -> Bench:
    bench = one_rate(parts, rate_ul_h)
    bench.start()
    return bench


@given(mechanisms, rates_ul_h, st.integers(1, 10**6))
@example(mechanism.syringe("bd-plastipak-60", "t8-2mm-16"), 5_000, 1)
@settings(max_examples=60)
def test_a_tick_later_than_the_lead_starves(parts, rate_ul_h, late_ms):
    bench = started(parts, rate_ul_h)
    bench.run(1000)
    lead_ms = bench.motion.lead_ms()
    pushed = len(bench.stepper.quanta)
    bench.now_ms += lead_ms + late_ms
    bench.stepper.now_ms = bench.now_ms
    bench.motion.advance(lead_ms + late_ms)
    assert bench.motion.starved
    bench.motion.advance(100)
    assert bench.motion.starved
    assert len(bench.stepper.quanta) == pushed
    bench.motion.halt(bench.now_ms & CLOCK_MASK)
    assert not bench.motion.mismatch
    assert bench.delivered()[INFUSED] == len(bench.stepper.made_edges_us())


@given(mechanisms, rates_ul_h)
@settings(max_examples=30)
def test_what_is_queued_is_at_most_the_horizon(parts, rate_ul_h):
    # 1200 mL/h for 550 ms are 0.183 mL: the greatest misdose of a processor that dies.
    bench = started(parts, rate_ul_h)
    for _ in range(20):
        bench.run(37)
        planned = sum(fields[0] for _, fields in bench.stepper.quanta)
        due = int(steps_per_ms(parts, rate_ul_h) * max(0, bench.now_ms - START_DELAY_MS))
        queued_ul = (planned - due) * nl_per_step(parts) / 1000
        # One step more: the one that is under way.
        step_ul = nl_per_step(parts) / 1000
        assert queued_ul <= Fraction(rate_ul_h * HORIZON_MS, 3_600_000) + step_ul
        assert queued_ul - step_ul <= 200


def test_a_stepper_that_disagrees_is_a_mismatch():
    class Doubling(support.RecordingStepper):
        def abort(self, now_ms):
            return super().abort(now_ms) * 2

    stepper = Doubling()
    motion = Motion(stepper)
    parts = mechanism.syringe("bd-plastipak-60", "t8-2mm-16")
    motion.load(of_phases(parts, (1_000_000, 10**6, INFUSED)))
    motion.fill(PLENTY)
    motion.start(0)
    for now_ms in range(100, 2001, 100):
        stepper.now_ms = now_ms
        motion.advance(100)
    motion.halt(2000)
    assert motion.mismatch
