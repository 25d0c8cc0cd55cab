"""Boluses and demands: beside the program, never at its cost; each rule and its neighbour."""

import math
from fractions import Fraction

import pytest
import support
from hypothesis import given, settings
from hypothesis import strategies as st
from support import nl_per_step

from micropump import alarms, boluses, journal, mechanism, therapy
from micropump.controller import COMPLETED, INFUSING, KEEPING_OPEN, OK, WRONG_STATE
from micropump.program import BOLUS, CONTINUOUS, DEMAND, INFUSED, INTERMITTENT, PCA
from micropump.therapy import KVO_OFF

SYRINGE = mechanism.syringe("bd-plastipak-60", "t8-2mm-16")
FINE = mechanism.syringe("bd-plastipak-10", "m5-0.8-32")
HEAD = mechanism.peristaltic("masterflex-ls-14", "direct-16")
VTBI_UL = 2_000
PCA_FIELDS = {
    "vtbi_ul": VTBI_UL, "rate_ul_h": 90_000, "demand_ul": 100, "demand_ul_h": 200_000,
    "lockout_s": 3, "kvo_ul_h": KVO_OFF, "content_ul": 10_000,
}  # fmt: skip


def running(kind: int = PCA, parts: mechanism.Mechanism = SYRINGE, **wishes) -> support.Rig:
    fields = {**PCA_FIELDS, **wishes} if kind == PCA else wishes
    rig = support.Rig()
    assert rig.do("load", support.program_of(kind, parts, **fields), 7) == OK
    assert rig.do("start", 7) == OK
    # To the end of a quantum, where counts are whole.
    rig.run(1_050)
    return rig


def counts(rig: support.Rig) -> tuple[int, int, int]:
    """(infused, bolus, demand), microsteps to the last finished quantum."""
    core = rig.controller
    return (
        core.delivered_steps(INFUSED), core.delivered_steps(BOLUS), core.delivered_steps(DEMAND),
    )  # fmt: skip


def exact_steps(parts: mechanism.Mechanism, rate_ul_h: int, ms: int) -> int:
    return math.floor(Fraction(rate_ul_h * ms, 3600) / nl_per_step(parts))


wishes_of_bolus = st.tuples(
    st.just("bolus"), st.integers(10, 600), st.integers(5_000, 250_000), st.just(0)
)
asked = st.lists(
    st.tuples(st.integers(0, 6_000), st.one_of(wishes_of_bolus, st.just(("demand",)))), max_size=6
)


@settings(max_examples=80, deadline=None)
@given(st.sampled_from([SYRINGE, FINE, HEAD]), st.integers(30_000, 200_000), asked)
def test_what_flows_beside_it_changes_nothing_of_the_basal_flow(parts, rate_ul_h, wishes):
    # Two pumps, quantum for quantum; one is asked for boluses and demands, the other for none.
    with_them = running(parts=parts, rate_ul_h=rate_ul_h)
    without = running(parts=parts, rate_ul_h=rate_ul_h)
    rows = []

    def both_run(quanta: int) -> None:
        for _ in range(quanta):
            before = counts(with_them)
            with_them.run(100)
            without.run(100)
            rows.append((counts(with_them), counts(without)[0]))
            # One lane at a time: a demand goes before the bolus, which waits.
            gained = [now - then for now, then in zip(rows[-1][0], before, strict=True)]
            assert gained[1] == 0 or gained[2] == 0

    granted = {BOLUS: 0, DEMAND: 0}
    for wait_ms, (name, *values) in wishes:
        both_run(wait_ms // 100)
        if with_them.do(name, *values) == OK:
            bucket = BOLUS if name == "bolus" else DEMAND
            volume_ul = values[0] if values else PCA_FIELDS["demand_ul"]
            granted[bucket] += parts.steps_for_ul(volume_ul)
    while COMPLETED not in (with_them.controller.state, without.controller.state):
        both_run(10)
        assert with_them.now_ms < 600_000
    vtbi = parts.steps_for_ul(VTBI_UL)
    beside = granted[BOLUS] + granted[DEMAND]
    for (infused, _, _), alone in rows:
        # ±0 in every quantum, until the VTBI is in: earlier by exactly what flowed beside it.
        assert infused == min(alone, vtbi - beside)
    with_them.run(600_000)
    assert counts(with_them) == (vtbi - beside, granted[BOLUS], granted[DEMAND])
    assert sum(counts(with_them)) == len(with_them.stepper.made_edges_us())


@settings(max_examples=60)
@given(
    st.sampled_from([SYRINGE, FINE, HEAD]),
    st.integers(10, 600),
    st.integers(5_000, 250_000),
    st.sampled_from([0, 0, 3, 20]),
)
def test_a_bolus_flows_at_its_own_exact_pace(parts, volume_ul, rate_ul_h, seconds):
    rig = running(parts=parts, rate_ul_h=10_000)
    steps = parts.steps_for_ul(volume_ul)
    if seconds:
        # A square bolus: the nearest rate to its time.
        rate_ul_h = math.floor(Fraction(volume_ul * 3600, seconds) + Fraction(1, 2))
    answer = rig.do("bolus", volume_ul, 0 if seconds else rate_ul_h, seconds)
    if rate_ul_h > parts.greatest_rate_ul_h - 10_000:
        assert answer in (therapy.COMBINED_ABOVE_RANGE, therapy.RATE_ABOVE_RANGE)
        return
    assert answer == OK
    queued_ms = 0
    while counts(rig)[1] < steps:
        rig.run(100)
        if queued_ms or counts(rig)[1]:
            queued_ms += 100
        # From the first unplanned quantum on, at most 550 ms ahead: its steps are the whole part.
        assert counts(rig)[1] <= min(steps, exact_steps(parts, rate_ul_h, queued_ms + 600))
        assert rig.now_ms < 1_000_000
    # The whole of it takes as long as its volume does, to the quantum.
    exact_ms = steps * nl_per_step(parts) * 3600 / rate_ul_h
    first_ms = nl_per_step(parts) * 3600 / rate_ul_h
    assert abs(queued_ms - exact_ms) <= first_ms + 200
    (event,) = (event for event in rig.events() if event[0] == journal.BOLUS_STARTED)
    assert event == (journal.BOLUS_STARTED, steps, rate_ul_h)
    rig.run(1_000)
    assert counts(rig)[1] == steps
    assert rig.codes().count(journal.BOLUS_DONE) == 1


def test_a_demand_goes_before_a_bolus_which_then_goes_on():
    rig = running(rate_ul_h=0)
    assert rig.do("bolus", 300, 60_000, 0) == OK
    rig.run(5_000)
    before = counts(rig)
    assert 0 < before[1] < SYRINGE.steps_for_ul(300)
    assert rig.do("demand") == OK
    rig.run(600)
    waiting = counts(rig)
    # 0.1 mL at 200 mL/h are 1.8 s.
    rig.run(1_000)
    assert counts(rig)[1] == waiting[1]
    assert counts(rig)[2] > waiting[2]
    rig.run(30_000)
    assert counts(rig) == (0, SYRINGE.steps_for_ul(300), SYRINGE.steps_for_ul(100))
    assert rig.codes().count(journal.BOLUS_DONE) == 1
    assert journal.BOLUS_CANCELLED not in rig.codes()


@settings(max_examples=100)
@given(
    st.integers(0, 8_000),
    st.sampled_from([(), ("bolus",), ("demand",), ("bolus", "demand")]),
    st.sampled_from(["pause", "interlock", "late tick"]),
)
def test_a_stop_of_the_motor_is_the_end_of_both(ms, asked_for, how):
    rig = running(rate_ul_h=20_000, kvo_ul_h=KVO_OFF)
    if "bolus" in asked_for:
        assert rig.do("bolus", 300, 100_000, 0) == OK
    if "demand" in asked_for:
        assert rig.do("demand") == OK
    rig.run(ms)
    if how == "pause":
        assert rig.do("pause") == OK
    elif how == "interlock":
        rig.inputs.interlock_open = True
        rig.run(70)
        rig.inputs.interlock_open = False
    else:
        rig.tick(1_000)
    stopped = counts(rig)
    assert sum(stopped) == len(rig.stepper.made_edges_us())
    promised = (0, SYRINGE.steps_for_ul(300), SYRINGE.steps_for_ul(100))
    names = {BOLUS: "bolus", DEMAND: "demand"}
    for bucket, code in ((BOLUS, journal.BOLUS_CANCELLED), (DEMAND, journal.DEMAND_CANCELLED)):
        made = stopped[1 if bucket == BOLUS else 2]
        promise = promised[1 if bucket == BOLUS else 2] if names[bucket] in asked_for else 0
        cancelled = [event[1:] for event in rig.events() if event[0] == code]
        assert cancelled == ([(made, promise - made)] if made < promise else [])
    if how != "pause":
        assert rig.do("acknowledge") == OK
    assert rig.do("resume") == OK
    rig.run(400_000)
    # What was not given is not given later; the VTBI is reached all the same.
    assert rig.controller.state == COMPLETED
    assert counts(rig)[1:] == stopped[1:]
    assert sum(counts(rig)) == SYRINGE.steps_for_ul(VTBI_UL)


# -- the rules -----------------------------------------------------------------------------------

GREATEST_UL_H = SYRINGE.greatest_rate_ul_h
BESIDE_UL_H = GREATEST_UL_H - PCA_FIELDS["rate_ul_h"]


@pytest.mark.parametrize(
    ("values", "answer"),
    [
        ((10, 60_000, 0), OK),
        ((9, 60_000, 0), therapy.DOSE_BELOW_RANGE),
        ((100, 0, 0), therapy.NEEDS_RATE_OR_TIME),
        ((100, 60_000, 6), therapy.NEEDS_RATE_OR_TIME),
        ((100, 0, 6), OK),
        ((100, 10, 0), OK),
        ((100, 9, 0), therapy.RATE_BELOW_RANGE),
        ((100, BESIDE_UL_H, 0), OK),
        ((100, BESIDE_UL_H + 1, 0), therapy.COMBINED_ABOVE_RANGE),
        ((100, GREATEST_UL_H + 1, 0), therapy.RATE_ABOVE_RANGE),
        # 25 µL and what is queued of the next half second are infused or planned.
        ((1_940, 60_000, 0), OK),
        ((1_975, 60_000, 0), boluses.BOLUS_ABOVE_VTBI),
    ],
)
def test_each_bolus_that_is_refused_and_its_neighbour(values, answer):
    rig = running()
    before = rig.events()
    assert rig.do("bolus", *values) == answer
    if answer != OK:
        assert rig.events() == before
        rig.run(5_000)
        assert counts(rig)[1] == 0


def test_a_bolus_leaves_the_vtbi_no_room_for_another_that_is_too_large():
    rig = running(rate_ul_h=10_000)
    # The most that is said to be possible is, and not a step more.
    most_ul = rig.controller.boluses.vtbi_left_ul()
    assert rig.do("bolus", most_ul + 1, 500_000, 0) == boluses.BOLUS_ABOVE_VTBI
    assert rig.do("bolus", most_ul - 99, 500_000, 0) == OK
    # 99 µL are left: less than a demand.
    assert rig.do("demand") == boluses.BOLUS_ABOVE_VTBI
    rig.run(200_000)
    assert sum(counts(rig)) == SYRINGE.steps_for_ul(VTBI_UL)


def test_one_bolus_at_a_time_and_one_demand_in_a_lockout():
    rig = running()
    assert rig.do("bolus", 100, 60_000, 0) == OK
    assert rig.do("bolus", 100, 60_000, 0) == boluses.BOLUS_RUNNING
    assert rig.do("demand") == OK
    assert rig.do("demand") == boluses.DEMAND_LOCKED_OUT
    assert rig.controller.motion.program.limits.made == 2
    assert rig.controller.motion.program.limits.given == 1
    rig.run(20_000)
    assert rig.do("bolus", 100, 60_000, 0) == OK
    assert rig.do("demand") == OK


def test_a_limit_counts_boluses_and_demands_together():
    # In a minute 1.5 mL of basal flow, and 0.25 mL more.
    rig = running(window_1_s=60, limit_1_ul=1_750)
    assert rig.do("bolus", 251, 60_000, 0) == boluses.LIMIT_REACHED
    assert rig.do("bolus", 151, 60_000, 0) == OK
    assert rig.do("demand") == boluses.LIMIT_REACHED
    assert rig.do("set_rate", 91_000) == OK
    assert rig.do("set_rate", 100_000) == boluses.LIMIT_REACHED
    assert (journal.DEMAND_REFUSED, boluses.LIMIT_REACHED, 1) in rig.events()


def test_none_in_an_alarm():
    rig = running()
    rig.controller.raise_alarm(alarms.HOST_SILENT)
    assert rig.do("bolus", 10, 60_000, 0) == OK
    rig.controller.raise_alarm(alarms.CONTAINER_EMPTY)
    assert rig.do("bolus", 10, 60_000, 0) == boluses.IN_ALARM
    assert rig.do("demand") == boluses.IN_ALARM


@pytest.mark.parametrize("kind", [INTERMITTENT])
def test_only_a_steady_infusion_has_boluses(kind):
    rig = running(kind)
    assert rig.controller.state == INFUSING
    assert rig.do("bolus", 100, 60_000, 0) == boluses.NO_BOLUS_HERE
    assert rig.do("demand") == boluses.NO_DEMAND_HERE


def test_none_while_a_loading_dose_flows_or_the_vein_is_kept_open():
    rig = running(loading_ul=200, loading_ul_h=60_000, kvo_ul_h=1_000)
    assert rig.do("bolus", 100, 60_000, 0) == boluses.NO_BOLUS_HERE
    assert rig.do("demand") == boluses.NO_DEMAND_HERE
    rig.run(12_000)
    assert rig.do("demand") == OK
    rig.run(200_000)
    assert rig.controller.state == KEEPING_OPEN
    assert rig.do("bolus", 100, 60_000, 0) == WRONG_STATE
    assert rig.do("demand") == WRONG_STATE


def test_a_continuous_infusion_has_boluses_but_no_demands():
    rig = running(CONTINUOUS)
    assert rig.do("bolus", 100, 60_000, 0) == OK
    assert rig.do("demand") == boluses.NO_DEMAND_HERE
    # Both rates are shown together.
    assert rig.controller.motion.planned_rate_ul_h() == 65_000
    assert rig.controller.bolus_left_ul() == 100
    rig.run(7_000)
    assert rig.controller.bolus_left_ul() == 0


def test_a_pca_without_basal_ends_when_less_than_a_demand_is_left():
    rig = running(rate_ul_h=0, vtbi_ul=250)
    for _ in range(2):
        assert rig.controller.state == INFUSING
        assert rig.do("demand") == OK
        rig.run(4_000)
    # 50 µL are left, and no demand can have them.
    assert rig.controller.state == COMPLETED
    assert rig.controller.active_alarms == 1 << alarms.END_OF_INFUSION
    assert counts(rig) == (0, 0, 2 * SYRINGE.steps_for_ul(100))
    # With a basal rate they are given.
    rig = running(rate_ul_h=10_000, vtbi_ul=250)
    assert rig.do("demand") == OK
    rig.run(60_000)
    assert rig.controller.state == COMPLETED
    assert sum(counts(rig)) == SYRINGE.steps_for_ul(250)
