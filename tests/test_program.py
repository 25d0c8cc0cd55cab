"""Programs against what the pump then does: volumes, timeline, remaining time, intervals."""

import itertools
import math
from fractions import Fraction

import pytest
import support
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st
from support import nl_per_step

from micropump import mechanism, therapy
from micropump.controller import COMPLETED, KEEPING_OPEN, OK, PAUSED, STOPPING, UNKNOWN_S
from micropump.mechanism import KIND_PERISTALTIC, Mechanism
from micropump.program import (
    BOLUS,
    CONTINUOUS,
    DEMAND,
    INFUSED,
    INTERMITTENT,
    PCA,
    PRIMED,
    PURGE,
    RAMP,
    SECONDARY,
    STEPPED,
    Program,
)
from micropump.therapy import KVO_BY_RULE, KVO_OFF

# Fast enough for therapies of less than a minute.
FAST = [
    parts
    for parts in (mechanism.build(*key) for key in support.MECHANISMS)
    if parts.greatest_rate_ul_h >= 400_000 and parts.capacity_ul in (0, *range(5_000, 10**6))
]
SYRINGE = mechanism.syringe("bd-plastipak-60", "t8-2mm-16")
POSSIBLE = (
    therapy.RATE_ABOVE_RANGE,
    therapy.VTBI_ABOVE_CONTENT,
    therapy.VTBI_BELOW_RANGE,
    therapy.INTERVAL_TOO_SHORT,
    therapy.KVO_ABOVE_RATE,
    therapy.COMBINED_ABOVE_RANGE,
)
POLL_MS = 50
# A quantum of notice, one of polling, the start's delay.
SEEN_LATE_MS = 300


@st.composite
def orders(draw, kinds=(CONTINUOUS, INTERMITTENT, RAMP, STEPPED, PCA)):
    """A therapy of less than a minute or so, as (kind, mechanism, fields)."""
    kind, parts = draw(st.sampled_from(kinds)), draw(st.sampled_from(FAST))
    fields = {
        "content_ul": parts.capacity_ul or 50_000,
        "delay_s": draw(st.sampled_from([0, 0, 1, 4])),
        "kvo_ul_h": draw(st.sampled_from([KVO_BY_RULE, KVO_OFF, 1_000])),
    }

    def flow(volume_ul: int, most_s: int) -> int:
        """A rate at which a volume takes a second to ``most_s``."""
        rate_ul_h = draw(st.integers(volume_ul * 3600 // most_s, volume_ul * 3600))
        return min(rate_ul_h, parts.greatest_rate_ul_h)

    vtbi_ul = draw(st.integers(100, 2_500))
    if kind in (CONTINUOUS, PCA):
        fields |= {"vtbi_ul": vtbi_ul, "rate_ul_h": flow(vtbi_ul, 30)}
        if draw(st.booleans()):
            loading_ul = draw(st.integers(10, 500))
            fields |= {"loading_ul": loading_ul, "loading_ul_h": flow(loading_ul, 8)}
        if kind == CONTINUOUS and draw(st.booleans()):
            fields |= {"rate_ul_h": 0, "duration_s": draw(st.integers(1, 30))}
        if kind == PCA:
            fields |= {"demand_ul": 100, "demand_ul_h": 100_000}
    elif kind == INTERMITTENT:
        dose_ul = draw(st.integers(100, 500))
        fields |= {
            "dose_ul": dose_ul,
            "rate_ul_h": flow(dose_ul, 5),
            "interval_s": draw(st.integers(2, 12)),
            "doses": draw(st.integers(1, 5)),
        }
    elif kind == RAMP:
        duration_s = draw(st.integers(10, 40))
        up_s = draw(st.integers(0, duration_s))
        down_s = draw(st.integers(0, duration_s - up_s))
        fields |= {"vtbi_ul": vtbi_ul, "duration_s": duration_s, "up_s": up_s, "down_s": down_s}
    else:
        steps = []
        for _ in range(draw(st.integers(1, 6))):
            rate_ul_h = draw(st.integers(1_000, parts.greatest_rate_ul_h))
            seconds = draw(st.integers(1, 6))
            volume_ul = max(1, rate_ul_h * seconds // 3600) * draw(st.integers(0, 1))
            steps.append((rate_ul_h, volume_ul, 0 if volume_ul else seconds))
        fields |= {"steps": steps}
    return kind, parts, fields


def made(order) -> Program:
    kind, parts, fields = order
    try:
        return support.program_of(kind, parts, **fields)
    except therapy.RefusedError as error:
        refusal = error.code
    # Never for a reason that such orders cannot have.
    assert refusal in POSSIBLE
    return reject()


def started(program: Program) -> support.Rig:
    rig = support.Rig()
    assert rig.do("load", program, 7) == OK
    assert rig.do("start", 7) == OK
    return rig


def is_over(rig: support.Rig) -> bool:
    core = rig.controller
    if core.state == KEEPING_OPEN:
        return core.motion.program.phases[core.motion.phase].is_endless()
    return core.state == COMPLETED


def run_to_the_end(rig: support.Rig, most_ms: int = 150_000) -> list[tuple[int, int, int]]:
    """Run until the VTBI is in; (phase, doses before it, ms) of every stretch that was seen."""
    motion = rig.controller.motion
    seen = [(motion.phase, motion.doses_done, rig.now_ms)]
    end_ms = rig.now_ms + most_ms
    while not is_over(rig):
        assert rig.now_ms < end_ms
        rig.run(POLL_MS)
        if (motion.phase, motion.doses_done) != seen[-1][:2]:
            seen.append((motion.phase, motion.doses_done, rig.now_ms))
    return seen


def volumes_ul(order) -> tuple[Fraction, int]:
    """What is to be infused and the loading dose, from the order itself."""
    kind, _, fields = order
    if kind == INTERMITTENT:
        infused_ul = Fraction(fields["dose_ul"] * fields["doses"])
    elif kind == STEPPED:
        sum_ul = sum(
            Fraction(volume or Fraction(rate * seconds, 3600))
            for rate, volume, seconds in fields["steps"]
        )
        infused_ul = Fraction(math.floor(sum_ul + Fraction(1, 2)))
    else:
        infused_ul = Fraction(fields["vtbi_ul"])
    return infused_ul, fields.get("loading_ul", 0)


def slowest_ms(program: Program) -> Fraction:
    """The longest that one microstep takes at any of the program's rates; ms."""
    least_ul_h = min(
        part.rate_ul_h or part.end_rate_ul_h
        for part in program.phases
        if part.bucket in (INFUSED, BOLUS)
    )
    return 3600 * nl_per_step(program.mechanism) / least_ul_h


def step_s(order) -> float:
    """How much earlier than its slope's end the last whole microstep of a ramp down is due.

    What flows in the last t of a slope of D from P steps/s to none is P t² / 2 D; less than a step
    of it is left over.
    """
    kind, parts, fields = order
    if kind != RAMP or not fields["down_s"]:
        return 0
    level_s = fields["duration_s"] - (fields["up_s"] + fields["down_s"]) / 2
    steps_per_s = fields["vtbi_ul"] * 1000 / float(nl_per_step(parts)) / level_s
    return math.sqrt(2 * fields["down_s"] / steps_per_s)


@settings(max_examples=500)
@given(orders())
def test_any_therapy_comes_to_its_volume_in_its_time(order):
    program = made(order)
    parts = program.mechanism
    infused_ul, loading_ul = volumes_ul(order)
    rig = started(program)
    seen = run_to_the_end(rig)
    # To the last microstep, and no more.
    infused = math.floor(infused_ul * 1000 / nl_per_step(parts))
    assert rig.controller.delivered_steps(INFUSED) == infused == program.vtbi_steps
    assert rig.controller.delivered_steps(BOLUS) == math.floor(
        loading_ul * 1000 / nl_per_step(parts)
    )
    assert rig.controller.delivered_steps(DEMAND) == 0
    slack_ms = 1_000 + 1_000 * step_s(order)
    # Each stretch begins when the timeline has it; very short ones are not seen in passing.
    timeline = list(program.timeline())
    planned = {(row[0], row[1]): row[2] for row in timeline}
    for phase, doses, at_ms in seen:
        if phase < len(program.phases) and (phase, doses) in planned:
            assert abs(at_ms - planned[phase, doses]) <= slack_ms
    long_enough = {(row[0], row[1]) for row in timeline if row[3] > SEEN_LATE_MS or row[3] < 0}
    assert long_enough <= {(phase, doses) for phase, doses, _ in seen}
    # Rows follow each other without gaps, and their steps are those of the therapy.
    for row, following in itertools.pairwise(timeline):
        assert row[2] + row[3] == following[2]
    assert sum(row[6] for row in timeline if row[7] == INFUSED) == program.vtbi_steps
    end_ms = max(row[2] + row[3] for row in timeline if row[7] == INFUSED)
    assert abs(rig.now_ms - end_ms) <= slack_ms
    # Closed form and iteration may differ by a microstep that was carried.
    assert abs(program.duration_ms() - end_ms) <= slowest_ms(program) + 1


@settings(max_examples=500)
@given(orders(), st.floats(0, 1), st.booleans())
def test_remaining_time_is_what_it_then_takes(order, moment, pauses):
    program = made(order)
    rig = started(program)
    rig.run(int(program.duration_ms() * moment))
    assume(not is_over(rig))
    if pauses:
        # The end of a stroke is taken off a slope's end, which then is steeper and sooner over.
        assume((order[0], program.mechanism.kind) != (RAMP, KIND_PERISTALTIC))
        assert rig.do("pause") == OK
        # A head finishes its stroke, and waits for that long afterwards.
        while rig.controller.state == STOPPING:
            rig.run(POLL_MS)
        assume(rig.controller.state == PAUSED)
        said_s = rig.controller.remaining_s()
        assert rig.do("resume") == OK
    else:
        said_s = rig.controller.remaining_s()
    begun_ms = rig.now_ms
    run_to_the_end(rig)
    # Whole steps are counted, and one may be nearly done.
    slack_s = 2 + step_s(order) + slowest_ms(program) / 1000
    assert abs(said_s - (rig.now_ms - begun_ms) / 1000) <= slack_s


def test_a_pca_without_basal_flow_does_not_say_when_it_ends():
    rig = started(support.program_of(PCA, SYRINGE, rate_ul_h=0))
    rig.run(1_000)
    assert rig.controller.remaining_s() == UNKNOWN_S


class NotingStepper(support.RecordingStepper):
    """Keeps for each quantum which phase and dose was being planned when it was pushed."""

    def __init__(self, motion) -> None:
        super().__init__()
        self.motion = motion
        self.noted: list[tuple[int, int]] = []

    def push(self, *fields: int) -> None:
        super().push(*fields)
        self.noted.append((self.motion.planning, self.motion.doses))


@settings(max_examples=200)
@given(orders([INTERMITTENT]))
def test_each_dose_begins_exactly_an_interval_after_the_last_and_is_exact(order):
    program = made(order)
    _, parts, fields = order
    rig = support.Rig()
    motion = rig.controller.motion
    motion.stepper = rig.stepper = NotingStepper(motion)
    assert rig.do("load", program, 7) == rig.do("start", 7) == OK
    exact = Fraction(fields["dose_ul"] * 1000) / nl_per_step(parts)
    given_doses = 0
    while not is_over(rig):
        rig.run(POLL_MS)
        if motion.doses_done != given_doses:
            given_doses = motion.doses_done
            assert rig.controller.delivered_steps(INFUSED) == math.floor(given_doses * exact)
    assert given_doses == fields["doses"]
    begun = {}
    for at, (phase, doses) in enumerate(rig.stepper.noted):
        if program.phases[phase].is_dose:
            begun.setdefault(doses, at)
    starts = [begun[number] for number in range(fields["doses"])]
    assert starts[0] == fields["delay_s"] * 10
    gaps = {later - earlier for earlier, later in itertools.pairwise(starts)}
    assert gaps <= {fields["interval_s"] * 10}


@settings(max_examples=150)
@given(
    st.sampled_from([parts for parts in FAST if parts.capacity_ul]),
    st.integers(50, 3_000),
    st.integers(20_000, 1_200_000),
    st.booleans(),
)
def test_a_purge_is_gentle_and_exact(parts: Mechanism, volume_ul, rate_ul_h, reverse):
    assume(rate_ul_h <= parts.greatest_rate_ul_h)
    program = support.program_of(
        PURGE, parts, volume_ul=volume_ul, rate_ul_h=rate_ul_h, reverse=int(reverse),
        content_ul=parts.capacity_ul,
    )  # fmt: skip
    rig = started(program)
    rig.run(program.duration_ms() + 5_000)
    assert rig.controller.state == COMPLETED
    counts = [fields[0] for _, fields in rig.stepper.quanta]
    assert sum(counts) == parts.steps_for_ul(volume_ul)
    assert rig.controller.delivered_steps(program.phases[0].bucket) == sum(counts)
    assert bool(rig.stepper.reverse) == reverse
    assert (program.phases[0].bucket == PRIMED) != reverse
    if not program.phases[0].stair_quanta:
        return
    # From a quantum to the next at most a tenth of the full rate more or less, half of that more
    # where the slope down begins within a quantum; and a whole step at either. Only the very last
    # quantum may be cut short by the end.
    top_ul_h = max(part.rate_ul_h for part in program.phases)
    most = Fraction(top_ul_h, 36) / nl_per_step(parts)
    for before, after in itertools.pairwise([0, *counts[:-1]]):
        assert abs(after - before) <= most * Fraction(15, 100) + 2


def test_a_phase_tells_its_steps_and_a_program_its_rates():
    program = support.program_of(CONTINUOUS, SYRINGE, delay_s=5, loading_ul=100, loading_ul_h=9_000)
    assert [part.quanta for part in program.phases] == [50, 0, 0, 0]
    assert program.phases[1].steps() == SYRINGE.steps_for_ul(100)
    assert [part.is_endless() for part in program.phases] == [False, False, False, True]
    # Neither KVO's rate nor the loading dose's is that of the therapy.
    assert program.first_rate_ul_h() == 5_000
    assert program.peak_ul_h() == 9_000
    assert SECONDARY not in [part.bucket for part in program.phases]


@pytest.mark.parametrize("doses", [1, 2, 999, 1000])
def test_the_duration_of_many_doses_is_that_of_going_through_them(doses):
    program = support.program_of(
        INTERMITTENT, SYRINGE, dose_ul=333, interval_s=61, doses=doses, containers=99
    )
    last = [row for row in program.timeline() if row[7] == INFUSED][-1]
    step_ms = 3600 * nl_per_step(SYRINGE) / 60_000
    assert abs(program.duration_ms() - (last[2] + last[3])) <= step_ms + 1
    assert last[2] == (doses - 1) * 61_000
