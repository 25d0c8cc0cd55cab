"""Motion against the exact rational schedule, judged with Python's fractions.

``MICROPUMP_TEN_DAYS=1`` adds a run of ten days, tick by tick, that takes half a minute.
"""

import itertools
import math
import os
from fractions import Fraction

import pytest
import support
from hypothesis import example, given, settings
from hypothesis import strategies as st

from micropump import mechanism, therapy
from micropump.controller import COMPLETED, INFUSING, KEEPING_OPEN, Controller
from micropump.mechanism import Mechanism
from micropump.motion import HORIZON_MS, START_DELAY_MS, Motion, edges_us
from micropump.therapy import INFUSED, KVO, Program
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


def nl_per_step(parts: Mechanism) -> Fraction:
    return Fraction(parts.nl_num, parts.nl_den)


def steps_per_ms(parts: Mechanism, rate_ul_h: int) -> Fraction:
    return Fraction(rate_ul_h, 3600) / nl_per_step(parts)


class Bench:
    """Motion on a recording stepper, and beside it the schedule that it has to keep.

    The phases are judged one after the other: each begins at zero steps, ends at its whole number,
    and the next begins with the next quantum.
    """

    def __init__(self, parts: Mechanism, phases: list[tuple[int, int]], start_ms: int) -> None:
        self.parts = parts
        program = Program(parts)
        for at, (rate_ul_h, steps) in enumerate(phases):
            program.add(rate_ul_h, steps, KVO if at else INFUSED)
        self.phases = [list(phase) for phase in phases]
        self.stepper = support.RecordingStepper()
        self.motion = Motion(self.stepper)
        self.motion.load(program)
        self.now_ms = self.stepper.now_ms = start_ms
        self.phase = 0
        self.schedule = Schedule(parts)
        self.edges_us: list[int] = []
        self.origin_ms = self.judged_ms = start_ms
        self.changes: list[tuple[int, int]] = []
        self.running = False

    def start(self) -> None:
        self.motion.start(self.now_ms & CLOCK_MASK)
        self.origin_ms = self.judged_ms = self.now_ms + START_DELAY_MS
        self.running = True

    def advance(self, ms: int) -> None:
        """A tick ``ms`` later, as far as the lead allows."""
        ms = min(ms, max(0, self.motion.lead_ms()))
        self.now_ms += ms
        self.stepper.now_ms = self.now_ms
        self.motion.advance(ms)
        assert not self.motion.starved
        assert self.motion.lead_ms() <= HORIZON_MS

    def run(self, ms: int) -> None:
        """Ticks when they are due."""
        end_ms = self.now_ms + ms
        while self.now_ms < end_ms and not self.motion.finished:
            self.advance(min(max(1, self.motion.due_in_ms()), end_ms - self.now_ms))

    def boundary_ms(self) -> int:
        """Where planning stands after a tick now: the last boundary within the horizon."""
        ahead_ms = self.now_ms + HORIZON_MS - self.origin_ms
        return self.origin_ms + ahead_ms // QUANTUM_MS * QUANTUM_MS

    def set_rate(self, rate_ul_h: int) -> None:
        self.motion.advance(0)
        self.motion.set_rate(rate_ul_h)
        if self.running:
            assert self.now_ms + HORIZON_MS - QUANTUM_MS < self.boundary_ms()
            assert self.boundary_ms() <= self.now_ms + HORIZON_MS
            self.changes.append((self.boundary_ms(), rate_ul_h))
        else:
            self.phases[self.phase][0] = rate_ul_h

    def halt(self) -> None:
        self.motion.halt(self.now_ms & CLOCK_MASK)
        self.judge(self.now_ms)
        # What had not yet taken effect holds from the next start.
        for _, rate_ul_h in self.changes:
            self.phases[self.phase][0] = rate_ul_h
        self.changes = []
        self.running = False
        assert not self.motion.mismatch

    def judge(self, until_ms: int) -> None:
        """Move the schedule on to ``until_ms``."""
        while self.judged_ms < until_ms and self.phase < len(self.phases):
            rate_ul_h, steps = self.phases[self.phase]
            end_ms = min([until_ms, *(at for at, _ in self.changes)])
            self.schedule.flow(self.judged_ms, end_ms, rate_ul_h, steps)
            self.judged_ms = end_ms
            if self.schedule.steps == steps:
                self._next_phase(until_ms)
            while self.changes and self.changes[0][0] == self.judged_ms < until_ms:
                self.phases[self.phase][0] = self.changes.pop(0)[1]

    def _next_phase(self, until_ms: int) -> None:
        self.edges_us += self.schedule.edges_us
        quanta = -(-(self.edges_us[-1] - self.origin_ms * 1000) // (QUANTUM_MS * 1000))
        self.judged_ms = min(until_ms, self.origin_ms + quanta * QUANTUM_MS)
        self.phase += 1
        self.schedule = Schedule(self.parts)

    def due_edges_us(self) -> list[int]:
        return self.edges_us + self.schedule.edges_us

    def delivered(self) -> list[int]:
        motion = self.motion
        return [
            millions * MILLION + rest
            for millions, rest in zip(motion.delivered_millions, motion.delivered_rest, strict=True)
        ]

    def check(self) -> None:
        """After a halt: every edge is the schedule's, and every one is counted once."""
        made_us = self.stepper.made_edges_us()
        assert made_us == self.due_edges_us()
        assert all(a < b for a, b in itertools.pairwise(made_us))
        assert sum(self.delivered()) == len(made_us)


def Schedule(parts: Mechanism) -> support.Schedule:  # noqa: N802
    return support.Schedule(nl_per_step(parts))


actions = st.one_of(
    st.tuples(st.just("tick"), st.integers(0, HORIZON_MS)),
    st.tuples(st.just("run"), st.floats(0, 1)),
    st.tuples(st.just("rate"), rates_ul_h),
    st.tuples(st.just("pause"), st.integers(0, 3000)),
    st.tuples(st.just("jump"), st.integers(0, 10 * DAY_MS)),
)


def jump(bench: Bench, ms: int) -> None:
    """While halted: put the motion and its judge where the law has them ``ms`` of running later.

    The law of one run holds from any fraction of a step that is under way, so runs join to runs of
    any length; this is how days pass here in no time.
    """
    motion, schedule = bench.motion, bench.schedule
    rate_ul_h, left = bench.phases[bench.phase]
    before = int(schedule.steps)
    schedule.steps += steps_per_ms(bench.parts, rate_ul_h) * ms
    whole = int(schedule.steps)
    parts = (schedule.steps - whole) * motion._step_parts
    assert parts.denominator == 1
    motion._parts = int(parts)
    program, done = motion.program, whole - before
    program.left_millions[0], program.left_rest[0] = divmod(left - whole, MILLION)
    total = bench.delivered()[INFUSED] + done
    motion.delivered_millions[INFUSED], motion.delivered_rest[INFUSED] = divmod(total, MILLION)


@settings(max_examples=600)
@given(mechanisms, rates_ul_h, clocks_ms, st.lists(actions, max_size=14))
def test_every_step_is_at_its_exact_time(parts, rate_ul_h, start_ms, steps):
    # Equal lists of edges, each the exact time rounded up to 1 µs, say that at every moment the
    # steps made are the whole part of the exact ones: less than one behind, never ahead.
    bench = Bench(parts, [(rate_ul_h, PLENTY)], start_ms)
    bench.start()
    jumped = 0
    for what, value in steps:
        budget_ms = int((EDGES_MAX - len(bench.stepper.quanta)) / steps_per_ms(parts, rate_ul_h))
        if what == "tick":
            bench.advance(value)
        elif what == "run":
            # At most 20 s of ticks, and no more edges than the budget.
            bench.run(int(max(1, min(20_000, budget_ms / 10)) * value))
        elif what == "rate":
            rate_ul_h = value
            bench.set_rate(rate_ul_h)
        else:
            bench.halt()
            if what == "jump":
                before = int(bench.schedule.steps)
                jump(bench, value)
                jumped += int(bench.schedule.steps) - before
            bench.now_ms += value % 3001
            bench.stepper.now_ms = bench.now_ms
            bench.start()
    bench.halt()
    made_us = bench.stepper.made_edges_us()
    assert made_us == bench.due_edges_us()
    assert all(a < b for a, b in itertools.pairwise(made_us))
    assert bench.delivered()[INFUSED] == len(made_us) + jumped == int(bench.schedule.steps)


@settings(max_examples=400)
@given(
    mechanisms,
    st.lists(st.tuples(rates_ul_h, st.integers(1, 400)), min_size=1, max_size=4),
    clocks_ms,
    st.lists(st.tuples(st.integers(1, HORIZON_MS), st.booleans()), max_size=20),
)
def test_phases_end_at_their_steps(parts, phases, start_ms, steps):
    bench = Bench(parts, phases, start_ms)
    bench.start()
    for ms, pauses in steps:
        bench.advance(ms)
        if pauses:
            bench.halt()
            if bench.motion.finished:
                break
            bench.start()
    if not bench.motion.finished:
        # The slowest steps of all are minutes apart: let the rest be a minute at the most.
        bench.run(60_000)
    if bench.running:
        if bench.motion.finished:
            bench.advance(HORIZON_MS)
        bench.halt()
    bench.check()
    if bench.motion.finished:
        assert len(bench.due_edges_us()) == sum(count for _, count in phases)
        infused, kept_open, *others = bench.delivered()
        assert (infused, kept_open) == (phases[0][1], sum(count for _, count in phases[1:]))
        assert not any(others)


@settings(max_examples=200)
@given(mechanisms, st.integers(1, 300), st.integers(0, HORIZON_MS - 1))
def test_a_pause_after_the_last_step_of_a_phase_does_not_hasten_the_next(parts, steps, ms):
    # A slow phase follows a fast one; halted anywhere about the seam, it begins at zero.
    bench = Bench(parts, [(600_000, steps), (60_000, 50)], 0)
    bench.start()
    while bench.motion.planning == 0:
        bench.advance(10)
    bench.advance(ms)
    bench.halt()
    bench.start()
    bench.run(400)
    if not bench.motion.finished:
        bench.halt()
        bench.check()


@settings(max_examples=12)
@given(mechanisms, rates_ul_h, st.lists(st.integers(60_000, 3_600_000), min_size=2, max_size=4))
def test_sampled_moments_of_a_long_run(parts, rate_ul_h, spans_ms):
    # Without looking at edges: what is planned up to a boundary is the whole part of the schedule.
    stepper = CountingStepper()
    motion = Motion(stepper)
    program = Program(parts)
    program.add(rate_ul_h, PLENTY, INFUSED)
    motion.load(program)
    motion.start(0)
    for span_ms in spans_ms:
        check_run(motion, stepper, rate_ul_h, stepper.quanta + span_ms // QUANTUM_MS)


@pytest.mark.parametrize("steps", [MILLION - 1, MILLION, MILLION + 1, 2 * MILLION, 2_345_678])
def test_millions_of_steps_are_delivered_to_the_last(steps):
    # 2.2 nL a step at 1200 mL/h are 15,000 steps in a quantum.
    stepper = CountingStepper()
    motion = Motion(stepper)
    program = Program(mechanism.syringe("terumo-1", "m5-0.8-32"))
    program.add(GREATEST_RATE_UL_H, steps, INFUSED)
    motion.load(program)
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

    def begin(self, start_ms: int) -> None:
        pass

    def push(self, count: int, *fields: int) -> None:
        self.steps += count
        self.quanta += 1


def check_run(motion: Motion, stepper: CountingStepper, rate_ul_h: int, quanta: int) -> None:
    while stepper.quanta < quanta:
        motion.advance(QUANTUM_MS)
    parts = motion.program.mechanism
    assert stepper.steps == int(steps_per_ms(parts, rate_ul_h) * QUANTUM_MS * stepper.quanta)
    queued = sum(motion._slot_steps[(motion._oldest + at) % 8] for at in range(motion._queued))
    delivered = motion.delivered_millions[0] * MILLION + motion.delivered_rest[0]
    assert delivered + queued == stepper.steps
    assert motion._retired == delivered & CLOCK_MASK


@pytest.mark.skipif("MICROPUMP_TEN_DAYS" not in os.environ, reason="takes half a minute")
@pytest.mark.parametrize("rate_ul_h", [5_000, 1_200_000])
def test_ten_days_tick_by_tick(rate_ul_h):
    parts = mechanism.syringe("terumo-1", "m5-0.8-32")
    stepper = CountingStepper()
    motion = Motion(stepper)
    program = Program(parts)
    program.add(rate_ul_h, PLENTY, INFUSED)
    motion.load(program)
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
    """An integer that fails where the board's would leave its 31 bits; catching, as sums do."""


def _checked(name: str):
    plain = getattr(int, name)

    def operate(self, *others):
        value = plain(self, *others)
        if type(value) is not int:
            return value
        assert -SMALL_INT_LIMIT <= value < SMALL_INT_LIMIT, (name, int(self), others)
        return Small(value)

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
        program = Program(parts)
        program.add(Small(rate_ul_h), Small(SMALL_INT_LIMIT - 1), INFUSED)
        motion.load(program)
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
    program = therapy.continuous(parts, 900_000, 500, 0, 900_000, 700)
    assert pump.load(Small(now_ms), program, 1) == pump.start(Small(now_ms), 1) == therapy.OK
    states = set()
    while pump.state != COMPLETED:
        now_ms = stepper.now_ms = now_ms + 49
        due_ms = pump.tick(Small(now_ms & CLOCK_MASK), pump.inputs)
        assert type(due_ms) is Small
        states.add(pump.state)
    assert states == {INFUSING, KEEPING_OPEN, COMPLETED}
    assert now_ms > SMALL_INT_LIMIT
    assert type(pump.uptime_ms) is Small


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
    bench = Bench(parts, [(rate_ul_h, PLENTY)], 0)
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
    motion.load(therapy.continuous(parts, 1_000_000, 40_000, 0, 0, 50_000))
    motion.start(0)
    for now_ms in range(100, 2001, 100):
        stepper.now_ms = now_ms
        motion.advance(100)
    motion.halt(2000)
    assert motion.mismatch
