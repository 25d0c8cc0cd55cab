"""Therapies: what each comes to, the KVO rule, every refusal with its neighbour, every warning."""

import itertools
from fractions import Fraction

import pytest
import support
from hypothesis import assume, given
from hypothesis import strategies as st
from support import nl_per_step, order_of

from micropump import mechanism, therapy
from micropump.program import (
    BOLUS,
    CONTINUOUS,
    DEMAND,
    INFUSED,
    INTERMITTENT,
    KVO,
    PCA,
    PRIMED,
    PURGE,
    RAMP,
    RETRACTED,
    SECONDARY,
    STEPPED,
    Program,
)
from micropump.therapy import KVO_BY_RULE, KVO_OFF, OK
from micropump.units import (
    GREATEST_RATE_UL_H,
    GREATEST_VTBI_UL,
    LEAST_RATE_UL_H,
    LEAST_VTBI_UL,
)

SYRINGE = mechanism.syringe("bd-plastipak-60", "t8-2mm-16")
HEAD = mechanism.peristaltic("masterflex-ls-18", "direct-16")


def refused(kind: int, parts: mechanism.Mechanism = SYRINGE, **wishes: object):
    """The refusal of an order, or None."""
    try:
        therapy.make(kind, parts, order_of(kind, **wishes))
    except therapy.RefusedError as error:
        return error
    return None


def check(**wishes: object) -> int:
    parts = wishes.pop("mechanism", SYRINGE)
    error = refused(CONTINUOUS, parts, **wishes)
    return error.code if error else OK


def make(**wishes: object) -> Program:
    return therapy.make(CONTINUOUS, SYRINGE, order_of(CONTINUOUS, **wishes))


@pytest.mark.parametrize(
    ("rate_ul_h", "kvo_ul_h"),
    [
        (10, 10),
        (999, 999),
        (1_000, 1_000),
        (1_001, 1_000),
        (9_999, 1_000),
        (10_000, 3_000),
        (10_001, 3_000),
        (1_200_000, 3_000),
    ],
)
def test_kvo_rule_on_both_sides_of_its_bounds(rate_ul_h, kvo_ul_h):
    # B. Braun, Infusomat Space: 3 mL/h from 10 mL/h on, 1 mL/h below, the rate itself below 1 mL/h.
    assert therapy.kvo_rate_ul_h(rate_ul_h) == kvo_ul_h
    if rate_ul_h <= SYRINGE.greatest_rate_ul_h:
        assert [phase.rate_ul_h for phase in make(rate_ul_h=rate_ul_h).phases] == [
            rate_ul_h,
            kvo_ul_h,
        ]


@given(st.integers(LEAST_RATE_UL_H, GREATEST_RATE_UL_H))
def test_kvo_never_exceeds_the_rate(rate_ul_h):
    assert LEAST_RATE_UL_H <= therapy.kvo_rate_ul_h(rate_ul_h) <= rate_ul_h


@given(st.integers(LEAST_VTBI_UL, GREATEST_VTBI_UL), st.integers(1, 359_940))
def test_rate_for_a_time_is_the_nearest_and_warned_of_if_rounded(vtbi_ul, duration_s):
    exact_ul_h = Fraction(vtbi_ul * 3600, duration_s)
    rate_ul_h = therapy.rate_for_time_ul_h(vtbi_ul, duration_s)
    assert abs(rate_ul_h - exact_ul_h) <= Fraction(1, 2)
    order = {"rate_ul_h": 0, "duration_s": duration_s, "vtbi_ul": vtbi_ul, "content_ul": vtbi_ul}
    assume(check(mechanism=HEAD, **order) == OK)
    program = support.program_of(CONTINUOUS, HEAD, **order)
    assert program.first_rate_ul_h() == program.phases[0].rate_ul_h == rate_ul_h
    rounded = bool(program.warnings & therapy.WARN_RATE_ROUNDED)
    assert rounded == (rate_ul_h != exact_ul_h)
    # The time that its whole steps take at the rounded rate, to the next ms.
    exact_ms = program.vtbi_steps * nl_per_step(HEAD) * 3600 / rate_ul_h
    assert 0 <= program.duration_ms() - exact_ms < 1


def test_a_given_rate_is_never_called_rounded():
    assert make(rate_ul_h=4_999).warnings & therapy.WARN_RATE_ROUNDED == 0


@pytest.mark.parametrize(
    ("wishes", "refusal"),
    [
        ({}, OK),
        ({"rate_ul_h": 0}, therapy.NEEDS_RATE_OR_TIME),
        ({"duration_s": 3600}, therapy.NEEDS_RATE_OR_TIME),
        ({"rate_ul_h": 0, "duration_s": 3600}, OK),
        ({"vtbi_ul": LEAST_VTBI_UL}, OK),
        ({"vtbi_ul": LEAST_VTBI_UL - 1}, therapy.VTBI_BELOW_RANGE),
        ({"vtbi_ul": 0}, therapy.VTBI_BELOW_RANGE),
        ({"vtbi_ul": 50_000}, OK),
        ({"vtbi_ul": 50_001}, therapy.VTBI_ABOVE_CONTENT),
        ({"vtbi_ul": GREATEST_VTBI_UL + 1}, therapy.VTBI_ABOVE_RANGE),
        ({"content_ul": 60_000}, OK),
        ({"content_ul": 60_001}, therapy.CONTENT_ABOVE_CAPACITY),
        ({"content_ul": 0}, therapy.VTBI_ABOVE_CONTENT),
        ({"mechanism": HEAD, "vtbi_ul": GREATEST_VTBI_UL, "content_ul": GREATEST_VTBI_UL}, OK),
        ({"rate_ul_h": LEAST_RATE_UL_H}, OK),
        ({"rate_ul_h": LEAST_RATE_UL_H - 1}, therapy.RATE_BELOW_RANGE),
        ({"rate_ul_h": SYRINGE.greatest_rate_ul_h}, OK),
        ({"rate_ul_h": GREATEST_RATE_UL_H + 1}, therapy.RATE_ABOVE_RANGE),
        ({"mechanism": HEAD, "rate_ul_h": GREATEST_RATE_UL_H}, OK),
        # 0.1 mL in 10 h is 10 µL/h; in 11 h it is 9.
        ({"rate_ul_h": 0, "vtbi_ul": 100, "duration_s": 36_000}, OK),
        ({"rate_ul_h": 0, "vtbi_ul": 100, "duration_s": 39_600}, therapy.RATE_BELOW_RANGE),
        ({"rate_ul_h": 0, "vtbi_ul": 50_000, "duration_s": 1}, therapy.RATE_ABOVE_RANGE),
        ({"kvo_ul_h": KVO_OFF}, OK),
        ({"kvo_ul_h": LEAST_RATE_UL_H}, OK),
        ({"kvo_ul_h": LEAST_RATE_UL_H - 1}, therapy.RATE_BELOW_RANGE),
        ({"kvo_ul_h": 5_000}, OK),
        ({"kvo_ul_h": 5_001}, therapy.KVO_ABOVE_RATE),
        ({"kvo_ul_h": GREATEST_RATE_UL_H + 1}, therapy.RATE_ABOVE_RANGE),
        ({"rate_ul_h": 0, "duration_s": 7200, "kvo_ul_h": 5_001}, therapy.KVO_ABOVE_RATE),
    ],
    ids=lambda given: ",".join(given) if isinstance(given, dict) else str(given),
)
def test_each_refusal_and_its_neighbour(wishes, refusal):
    assert check(**wishes) == refusal


def test_a_rate_is_refused_above_what_the_drive_gives():
    slow = mechanism.syringe("terumo-1", "t8-2mm-pg5-16")
    assert slow.greatest_rate_ul_h < GREATEST_RATE_UL_H
    assert therapy.check_rate(slow, slow.greatest_rate_ul_h) == OK
    assert therapy.check_rate(slow, slow.greatest_rate_ul_h + 1) == therapy.RATE_ABOVE_RANGE


def test_every_reason_has_a_number_of_its_own_below_the_controllers():
    names = [
        "RATE_BELOW_RANGE",
        "RATE_ABOVE_RANGE",
        "VTBI_BELOW_RANGE",
        "VTBI_ABOVE_RANGE",
        "VTBI_ABOVE_CONTENT",
        "CONTENT_ABOVE_CAPACITY",
        "NEEDS_RATE_OR_TIME",
        "KVO_ABOVE_RATE",
        "RAMP_TOO_LONG",
        "STEPS_DO_NOT_SUM",
        "STEP_NEEDS_VOLUME_OR_TIME",
        "DOSE_BELOW_RANGE",
        "DOSE_ABOVE_VTBI",
        "INTERVAL_TOO_SHORT",
        "NO_SUCH_TIME",
        "CLOCK_NOT_TOLD",
        "LIMIT_BELOW_DOSE",
        "LOCKOUT_TOO_SHORT",
        "WINDOW_OUT_OF_RANGE",
        "LOADING_INCOMPLETE",
        "COMBINED_ABOVE_RANGE",
        "NO_STEPS",
        "RAMP_NEEDS_TIME",
        "CANNOT_REVERSE",
    ]
    assert [getattr(therapy, name) for name in names] == list(range(1, len(names) + 1))
    assert len(names) < 32


@pytest.mark.parametrize(
    ("rate_ul_h", "kvo_ul_h", "warnings"),
    [
        # The 60 mL syringe's least recommended rate is 1 mL/h.
        (1_000, KVO_BY_RULE, 0),
        (999, KVO_BY_RULE, therapy.WARN_BELOW_LEAST_RATE | therapy.WARN_KVO_BELOW_LEAST_RATE),
        (999, KVO_OFF, therapy.WARN_BELOW_LEAST_RATE),
        (5_000, 999, therapy.WARN_KVO_BELOW_LEAST_RATE),
        (5_000, 1_000, 0),
    ],
)
def test_slower_than_recommended_is_warned_of(rate_ul_h, kvo_ul_h, warnings):
    assert SYRINGE.least_rate_ul_h == 1_000
    assert make(rate_ul_h=rate_ul_h, kvo_ul_h=kvo_ul_h).warnings == warnings


@given(
    st.sampled_from(support.MECHANISMS),
    st.integers(LEAST_VTBI_UL, 60_000),
    st.integers(0, 60_000),
    st.sampled_from([KVO_BY_RULE, KVO_OFF, 10]),
)
def test_phases_are_the_vtbi_and_what_the_container_then_holds(key, vtbi_ul, more_ul, kvo_ul_h):
    parts = mechanism.build(*key)
    order = {
        "rate_ul_h": 50, "vtbi_ul": vtbi_ul, "kvo_ul_h": kvo_ul_h, "content_ul": vtbi_ul + more_ul,
    }  # fmt: skip
    assume(check(mechanism=parts, **order) == OK)
    program = support.program_of(CONTINUOUS, parts, **order)
    infused, *kept_open = program.phases
    assert infused.steps() == program.vtbi_steps > 0
    # Never more than the volume, and less than a step short of it.
    assert 0 <= vtbi_ul * 1000 - program.vtbi_steps * nl_per_step(parts) < nl_per_step(parts)
    assert infused.bucket == INFUSED
    left_nl = (vtbi_ul + more_ul) * 1000 - program.content_steps() * nl_per_step(parts)
    assert 0 <= left_nl < nl_per_step(parts)
    if kvo_ul_h == KVO_OFF:
        assert not kept_open
    else:
        (phase,) = kept_open
        assert phase.is_endless()
        assert phase.bucket == KVO
        assert phase.rate_ul_h == (50 if kvo_ul_h == KVO_BY_RULE else kvo_ul_h)


# -- the other therapies: every refusal beside what is just allowed -------------------------------

STEP = (5_000, 1_000, 0)
DAILY = {"interval_s": 0, "times": [(480,), (481,)], "clock_s": 28_000}
WINDOW = {"window_1_s": 3_600, "limit_1_ul": 3_000}
CAPACITY_UL = SYRINGE.capacity_ul
GREATEST_UL_H = SYRINGE.greatest_rate_ul_h
AROUND = [
    # A dose of 0.5 mL at 60 mL/h takes 30 s.
    (INTERMITTENT, {"interval_s": 31}, OK, ""),
    (INTERMITTENT, {"interval_s": 30}, therapy.INTERVAL_TOO_SHORT, "interval_s"),
    (INTERMITTENT, {"interval_s": 0}, therapy.INTERVAL_TOO_SHORT, "interval_s"),
    (INTERMITTENT, {"rate_ul_h": 0, "duration_s": 30}, OK, ""),
    (INTERMITTENT, {"duration_s": 30}, therapy.NEEDS_RATE_OR_TIME, ""),
    (INTERMITTENT, {"rate_ul_h": 0}, therapy.NEEDS_RATE_OR_TIME, ""),
    (INTERMITTENT, {"dose_ul": LEAST_VTBI_UL}, OK, ""),
    (INTERMITTENT, {"dose_ul": LEAST_VTBI_UL - 1}, therapy.VTBI_BELOW_RANGE, "dose_ul"),
    (INTERMITTENT, {"doses": 100}, OK, ""),
    (INTERMITTENT, {"doses": 101}, therapy.VTBI_ABOVE_CONTENT, "dose_ul"),
    (INTERMITTENT, {"doses": 101, "containers": 2}, OK, ""),
    (INTERMITTENT, {"doses": 1000, "dose_ul": 10_000}, therapy.VTBI_ABOVE_RANGE, "doses"),
    (INTERMITTENT, {"kvo_ul_h": 60_001}, therapy.KVO_ABOVE_RATE, "kvo_ul_h"),
    (INTERMITTENT, DAILY, OK, ""),
    (INTERMITTENT, {**DAILY, "clock_s": 86_400}, therapy.CLOCK_NOT_TOLD, "clock_s"),
    (INTERMITTENT, {**DAILY, "clock_s": 86_399}, OK, ""),
    (INTERMITTENT, {**DAILY, "times": [(0,), (1439,)]}, OK, ""),
    (INTERMITTENT, {**DAILY, "times": [(0,), (1440,)]}, therapy.NO_SUCH_TIME, "times"),
    (INTERMITTENT, {**DAILY, "times": [(5,), (5,)]}, therapy.NO_SUCH_TIME, "times"),
    (INTERMITTENT, {**DAILY, "times": [(5,), (4,)]}, therapy.NO_SUCH_TIME, "times"),
    # 1 mL at 60 mL/h takes 60 s, as long as from one time to the other; and so across midnight.
    (INTERMITTENT, {**DAILY, "dose_ul": 1_000}, therapy.INTERVAL_TOO_SHORT, "times"),
    (
        INTERMITTENT,
        {**DAILY, "dose_ul": 1_000, "times": [(0,), (1439,)]},
        therapy.INTERVAL_TOO_SHORT,
        "times",
    ),
    (RAMP, {"up_s": 1_800, "down_s": 1_800}, OK, ""),
    (RAMP, {"up_s": 1_801, "down_s": 1_800}, therapy.RAMP_TOO_LONG, "up_s"),
    (RAMP, {"up_s": 0}, OK, ""),
    (RAMP, {"duration_s": 0, "up_s": 0, "down_s": 0}, therapy.RAMP_NEEDS_TIME, "duration_s"),
    (RAMP, {"vtbi_ul": 50_000}, OK, ""),
    (RAMP, {"vtbi_ul": 50_001}, therapy.VTBI_ABOVE_CONTENT, "vtbi_ul"),
    (RAMP, {"vtbi_ul": LEAST_VTBI_UL - 1}, therapy.VTBI_BELOW_RANGE, "vtbi_ul"),
    # 10 mL in 36 s, none of them on a ramp, are 1000 mL/h; in 24 s with ramps of 12 s 2000 mL/h.
    (RAMP, {"duration_s": 36, "up_s": 0, "down_s": 1}, OK, ""),
    (RAMP, {"duration_s": 24, "up_s": 6, "down_s": 6}, therapy.RATE_ABOVE_RANGE, "vtbi_ul"),
    (RAMP, {"vtbi_ul": 100, "duration_s": 359_940}, therapy.RATE_BELOW_RANGE, "vtbi_ul"),
    (STEPPED, {"steps": []}, therapy.NO_STEPS, "steps"),
    (STEPPED, {"steps": [STEP] * 28}, OK, ""),
    (STEPPED, {"steps": [STEP, (5_000, 0, 0)]}, therapy.STEP_NEEDS_VOLUME_OR_TIME, "steps"),
    (STEPPED, {"steps": [STEP, (5_000, 1, 1)]}, therapy.STEP_NEEDS_VOLUME_OR_TIME, "steps"),
    (STEPPED, {"steps": [STEP, (9, 1_000, 0)]}, therapy.RATE_BELOW_RANGE, "steps"),
    (STEPPED, {"steps": [STEP, (10, 1_000, 0)]}, OK, ""),
    # Two steps: 2 µL of leeway, and not a thousandth more.
    (STEPPED, {"vtbi_ul": 2_002, "steps": [STEP, STEP]}, OK, ""),
    (STEPPED, {"vtbi_ul": 1_998, "steps": [STEP, STEP]}, OK, ""),
    (STEPPED, {"vtbi_ul": 2_003, "steps": [STEP, STEP]}, therapy.STEPS_DO_NOT_SUM, "vtbi_ul"),
    (STEPPED, {"vtbi_ul": 1_997, "steps": [STEP, STEP]}, therapy.STEPS_DO_NOT_SUM, "vtbi_ul"),
    (STEPPED, {"steps": [(5_000, 99, 0)]}, therapy.VTBI_BELOW_RANGE, "vtbi_ul"),
    (STEPPED, {"steps": [(5_000, 50_001, 0)]}, therapy.VTBI_ABOVE_CONTENT, "vtbi_ul"),
    (STEPPED, {"steps": [(5_000, 0, 36_000)]}, OK, ""),
    # KVO is never above the least of the rates.
    (STEPPED, {"steps": [STEP, (700, 50, 0)], "kvo_ul_h": 700}, OK, ""),
    (
        STEPPED,
        {"steps": [STEP, (700, 50, 0)], "kvo_ul_h": 701},
        therapy.KVO_ABOVE_RATE,
        "kvo_ul_h",
    ),
    (PCA, {"rate_ul_h": 0}, OK, ""),
    (PCA, {"rate_ul_h": 9}, therapy.RATE_BELOW_RANGE, "rate_ul_h"),
    (PCA, {"rate_ul_h": 0, "kvo_ul_h": 10}, therapy.KVO_ABOVE_RATE, "kvo_ul_h"),
    (PCA, {"demand_ul": 10}, OK, ""),
    (PCA, {"demand_ul": 9}, therapy.DOSE_BELOW_RANGE, "demand_ul"),
    (PCA, {"demand_ul": 30_000, "lockout_s": 1_801}, OK, ""),
    (PCA, {"demand_ul": 30_001, "lockout_s": 1_801}, therapy.DOSE_ABOVE_VTBI, "demand_ul"),
    (PCA, {"demand_ul_h": 9}, therapy.RATE_BELOW_RANGE, "demand_ul_h"),
    (PCA, {"demand_ul_h": GREATEST_UL_H - 1_000}, OK, ""),
    (PCA, {"demand_ul_h": GREATEST_UL_H - 999}, therapy.COMBINED_ABOVE_RANGE, "demand_ul_h"),
    # A demand of 1 mL at 60 mL/h takes 60 s.
    (PCA, {"lockout_s": 61}, OK, ""),
    (PCA, {"lockout_s": 60}, therapy.LOCKOUT_TOO_SHORT, "lockout_s"),
    # 1 mL of basal flow in the hour, and one demand.
    (PCA, {**WINDOW, "limit_1_ul": 2_000}, OK, ""),
    (PCA, {**WINDOW, "limit_1_ul": 1_999}, therapy.LIMIT_BELOW_DOSE, "limit_1_ul"),
    (PCA, {"window_2_s": 60, "limit_2_ul": 1_017}, OK, ""),
    (PCA, {"window_2_s": 60, "limit_2_ul": 1_016}, therapy.LIMIT_BELOW_DOSE, "limit_2_ul"),
    (PCA, {"window_2_s": 59, "limit_2_ul": 9_000}, therapy.WINDOW_OUT_OF_RANGE, "window_2_s"),
    (PCA, {"window_1_s": 0, "limit_1_ul": 9_000}, therapy.WINDOW_OUT_OF_RANGE, "window_1_s"),
    (PCA, {**WINDOW, "loading_ul": 2_000, "loading_ul_h": 60_000}, OK, ""),
    (
        PCA,
        {**WINDOW, "loading_ul": 2_001, "loading_ul_h": 60_000},
        therapy.LIMIT_BELOW_DOSE,
        "limit_1_ul",
    ),
    (PURGE, {"volume_ul": 10}, OK, ""),
    (PURGE, {"volume_ul": 9}, therapy.DOSE_BELOW_RANGE, "volume_ul"),
    (PURGE, {"volume_ul": 50_000}, OK, ""),
    (PURGE, {"volume_ul": 50_001}, therapy.VTBI_ABOVE_CONTENT, "volume_ul"),
    (PURGE, {"volume_ul": CAPACITY_UL, "reverse": 1}, OK, ""),
    (PURGE, {"volume_ul": CAPACITY_UL + 1, "reverse": 1}, therapy.DOSE_ABOVE_VTBI, "volume_ul"),
    (PURGE, {"rate_ul_h": GREATEST_UL_H}, OK, ""),
    (PURGE, {"rate_ul_h": GREATEST_UL_H + 1}, therapy.RATE_ABOVE_RANGE, "rate_ul_h"),
    (PURGE, {"rate_ul_h": 9}, therapy.RATE_BELOW_RANGE, "rate_ul_h"),
    (CONTINUOUS, {"loading_ul": 10, "loading_ul_h": 10}, OK, ""),
    (CONTINUOUS, {"loading_ul": 9, "loading_ul_h": 10}, therapy.DOSE_BELOW_RANGE, "loading_ul"),
    (CONTINUOUS, {"loading_ul": 10, "loading_ul_h": 9}, therapy.RATE_BELOW_RANGE, "loading_ul_h"),
    (CONTINUOUS, {"loading_ul": 10}, therapy.LOADING_INCOMPLETE, "loading_ul_h"),
    (CONTINUOUS, {"loading_ul_h": 10}, therapy.LOADING_INCOMPLETE, "loading_ul"),
    # 10 mL of VTBI and 40 mL beside it fill the container, or two of half the size.
    (CONTINUOUS, {"loading_ul": 40_000, "loading_ul_h": 10}, OK, ""),
    (
        CONTINUOUS,
        {"loading_ul": 40_001, "loading_ul_h": 10},
        therapy.VTBI_ABOVE_CONTENT,
        "vtbi_ul",
    ),
    (CONTINUOUS, {"vtbi_ul": 50_001, "content_ul": 25_001, "containers": 2}, OK, ""),
    (
        CONTINUOUS,
        {"vtbi_ul": 50_001, "content_ul": 25_000, "containers": 2},
        therapy.VTBI_ABOVE_CONTENT,
        "vtbi_ul",
    ),
]


@pytest.mark.parametrize(("kind", "wishes", "code", "field"), AROUND)
def test_each_refusal_of_each_therapy_and_its_neighbour(kind, wishes, code, field):
    error = refused(kind, **wishes)
    assert (error.code if error else OK, error.field if error else "") == (code, field)


def test_every_reason_to_refuse_is_among_these():
    continuous = range(therapy.RATE_BELOW_RANGE, therapy.KVO_ABOVE_RATE + 1)
    seen = {case[2] for case in AROUND} | set(continuous) | {therapy.CANNOT_REVERSE}
    assert seen >= set(range(1, therapy.CANNOT_REVERSE + 1))


def test_a_head_never_runs_backwards():
    error = refused(PURGE, HEAD, reverse=1)
    assert (error.code, error.field) == (therapy.CANNOT_REVERSE, "reverse")
    assert refused(PURGE, HEAD) is None


@pytest.mark.parametrize("kind", support.ORDERS)
def test_several_containers_are_warned_of(kind):
    program = support.program_of(kind, SYRINGE, containers=2)
    assert program.warnings & therapy.WARN_SEVERAL_CONTAINERS
    assert not support.program_of(kind, SYRINGE).warnings & therapy.WARN_SEVERAL_CONTAINERS


# -- what each comes to --------------------------------------------------------------------------


@given(
    st.integers(LEAST_VTBI_UL, 60_000), st.integers(60, 359_940), st.floats(0, 1), st.floats(0, 1)
)
def test_a_ramp_is_the_trapezoid_of_its_volume(vtbi_ul, duration_s, up_part, down_part):
    up_s = int(duration_s * up_part)
    down_s = int((duration_s - up_s) * down_part)
    order = {"vtbi_ul": vtbi_ul, "duration_s": duration_s, "up_s": up_s, "down_s": down_s}
    assume(refused(RAMP, content_ul=60_000, **order) is None)
    program = support.program_of(RAMP, SYRINGE, content_ul=60_000, kvo_ul_h=KVO_OFF, **order)
    plateau_ul_h = Fraction(vtbi_ul * 3600) / (duration_s - Fraction(up_s + down_s, 2))
    top_ul_h = max(max(phase.rate_ul_h, phase.end_rate_ul_h) for phase in program.phases)
    assert abs(top_ul_h - plateau_ul_h) <= Fraction(1, 2)
    assert bool(program.warnings & therapy.WARN_RATE_ROUNDED) == (plateau_ul_h.denominator != 1)
    assert sum(phase.steps() for phase in program.phases) == program.vtbi_steps
    assert {phase.bucket for phase in program.phases} == {INFUSED}
    ramps = [phase for phase in program.phases if phase.stairs > 1 or phase.stair_quanta]
    for phase in ramps:
        going_up = phase.rate_ul_h == 0
        assert phase.stairs * phase.stair_quanta == (up_s if going_up else down_s) * 10
        assert phase.stairs <= 60
    for phase, share_s in zip(ramps, [s for s in (up_s, down_s) if s], strict=False):
        # Each ramp is half its time at the plateau, to the whole step.
        if len(ramps) == bool(up_s) + bool(down_s):
            exact = program.vtbi_steps * Fraction(share_s, 2 * duration_s - up_s - down_s)
            assert 0 <= exact - phase.steps() < 1


# A ramp is of whole seconds, so of tens of quanta: at least ten stairs.
@given(
    st.integers(0, GREATEST_RATE_UL_H),
    st.integers(0, GREATEST_RATE_UL_H),
    st.integers(1, 359_940).map(lambda seconds: 10 * seconds),
)
def test_the_stairs_of_a_ramp_have_its_area(from_ul_h, to_ul_h, quanta):
    assume(max(from_ul_h, to_ul_h) >= 1_000)
    program = Program(RAMP, SYRINGE)
    ramp = program.ramp(from_ul_h, to_ul_h, quanta, 1, INFUSED)
    assert ramp.stairs * ramp.stair_quanta == quanta
    assert 10 <= ramp.stairs <= 60
    stairs_ul_h = [ramp.stair_ul_h(stair) for stair in range(ramp.stairs)]
    # Each at the ramp's rate in its middle, to within 1 µL/h, and at least 1; what rounding takes
    # from one the next has back, so the mean of the stairs is the mean of the ramp.
    rise = Fraction(to_ul_h - from_ul_h, ramp.stairs)
    for stair, rate_ul_h in enumerate(stairs_ul_h):
        assert abs(rate_ul_h - (from_ul_h + rise * (stair + Fraction(1, 2)))) <= 1
    mean_ul_h = Fraction(sum(stairs_ul_h), ramp.stairs)
    assert abs(mean_ul_h - Fraction(from_ul_h + to_ul_h, 2)) <= Fraction(2, ramp.stairs)


@given(
    st.lists(
        st.tuples(st.integers(10, 300_000), st.integers(0, 3_000), st.integers(0, 600)),
        min_size=1,
        max_size=28,
    )
)
def test_steps_end_where_their_volumes_do(steps):
    steps = [(rate, volume, 0 if volume else max(1, length)) for rate, volume, length in steps]
    assume(refused(STEPPED, steps=steps) is None)
    program = support.program_of(STEPPED, SYRINGE, steps=steps, kvo_ul_h=KVO_OFF)
    volumes_ul = [
        Fraction(volume or Fraction(rate * length, 3600)) for rate, volume, length in steps
    ]
    assert abs(program.vtbi_ul - sum(volumes_ul)) <= Fraction(1, 2)
    assert sum(phase.steps() for phase in program.phases) == program.vtbi_steps
    assert program.vtbi_steps == SYRINGE.steps_for_ul(program.vtbi_ul)
    # Each step's end is that of the volumes so far, to the whole microstep: nothing adds up.
    made, ends = 0, set()
    for phase in program.phases:
        made += phase.steps()
        ends.add(made)
    exact_ends = itertools.accumulate(volumes_ul)
    for end_ul in list(exact_ends)[:-1]:
        due = int(end_ul * 1000 / nl_per_step(SYRINGE))
        assert min(due, program.vtbi_steps) in ends | {0}


def test_a_step_of_no_whole_microstep_is_left_out():
    steps = [(5_000, 1_000, 0), (10, 0, 1), (5_000, 1_000, 0)]
    program = support.program_of(STEPPED, SYRINGE, steps=steps)
    assert [phase.rate_ul_h for phase in program.phases] == [5_000, 5_000, 10]


def test_a_pca_demands_and_counts_in_microsteps():
    program = support.program_of(PCA, SYRINGE, **WINDOW, loading_ul=500, loading_ul_h=60_000)
    assert [phase.bucket for phase in program.phases] == [BOLUS, INFUSED, KVO]
    assert program.demand_steps == SYRINGE.steps_for_ul(1_000)
    assert program.limits.lockout_ms == 360_000
    assert program.limits.windows == [(3_600_000, SYRINGE.steps_for_ul(3_000))]
    assert therapy.basal_steps(program, 1_000) == [SYRINGE.steps_for_ul(1_000)]
    assert program.peak_ul_h() == 61_000
    assert DEMAND not in [phase.bucket for phase in program.phases]


def test_a_pca_without_basal_flow_has_no_keep_open_rate_by_the_rule():
    program = support.program_of(PCA, SYRINGE, rate_ul_h=0)
    assert program.kvo_ul_h == 0
    assert [(phase.rate_ul_h, phase.bucket) for phase in program.phases] == [(0, INFUSED)]


# A clock, times of day, and how long a dose takes to come.
@given(
    st.integers(0, 86_399),
    st.lists(st.integers(0, 1439), min_size=1, max_size=8, unique=True).map(sorted),
    st.sampled_from([0, 0, 1, 3600, 359_940]),
)
def test_the_first_daily_dose_is_at_the_next_of_its_times(clock_s, times_min, delay_s):
    order = {
        "dose_ul": 100, "doses": 5, "interval_s": 0, "times": [(minute,) for minute in times_min],
        "clock_s": clock_s, "delay_s": delay_s,
    }  # fmt: skip
    program = support.program_of(INTERMITTENT, SYRINGE, **order)
    starts_ms = [row[2] for row in program.timeline() if program.phases[row[0]].is_dose]
    # By brute force: every whole minute from the delay's end that is one of the times.
    begin_s = clock_s + delay_s
    minutes = range(-(-begin_s // 60), begin_s // 60 + 6 * 1440)
    due_s = [minute * 60 for minute in minutes if minute % 1440 in times_min][:5]
    # If it is this very moment, a quantum of 100 ms goes before.
    late_ms = 100 if due_s[0] == clock_s else 0
    assert starts_ms == [(due - clock_s) * 1000 + late_ms for due in due_s]


def test_doses_carry_what_is_beyond_whole_microsteps():
    program = support.program_of(INTERMITTENT, SYRINGE, dose_ul=333, doses=100, interval_s=31)
    exact = Fraction(333_000) / nl_per_step(SYRINGE)
    given_steps = 0
    doses = [row for row in program.timeline() if program.phases[row[0]].is_dose]
    for number, row in enumerate(doses, 1):
        given_steps += row[6]
        assert given_steps == int(number * exact)
    assert given_steps == program.vtbi_steps
    assert {row[6] for row in doses} == {int(exact), int(exact) + 1}


# -- secondary ---------------------------------------------------------------------------------

SECONDARY_ORDER = {"content_ul": 1_000, "vtbi_ul": 1_000, "rate_ul_h": 60_000, "duration_s": 0}


@pytest.mark.parametrize(
    ("wishes", "code"),
    [
        ({}, OK),
        ({"vtbi_ul": 1_001}, therapy.VTBI_ABOVE_CONTENT),
        ({"vtbi_ul": 99}, therapy.VTBI_BELOW_RANGE),
        ({"rate_ul_h": 9}, therapy.RATE_BELOW_RANGE),
        ({"rate_ul_h": GREATEST_UL_H + 1}, therapy.RATE_ABOVE_RANGE),
        ({"rate_ul_h": 0}, therapy.NEEDS_RATE_OR_TIME),
        ({"duration_s": 60}, therapy.NEEDS_RATE_OR_TIME),
        ({"rate_ul_h": 0, "duration_s": 60}, OK),
    ],
)
def test_a_secondary_has_the_same_bounds(wishes, code):
    order = {**SECONDARY_ORDER, **wishes}
    if code != OK:
        with pytest.raises(therapy.RefusedError) as refusal:
            therapy.make_secondary(make(), order)
        assert refusal.value.code == code
        return
    phase = therapy.make_secondary(make(), order)
    assert (phase.bucket, phase.rate_ul_h) == (SECONDARY, 60_000)
    assert phase.steps() == SYRINGE.steps_for_ul(1_000)


# -- purge ---------------------------------------------------------------------------------------


@given(
    st.sampled_from((SYRINGE, HEAD)),
    st.integers(10, 50_000),
    st.integers(LEAST_RATE_UL_H, GREATEST_RATE_UL_H),
    st.booleans(),
)
def test_a_purge_is_exact_and_speeds_up_and_slows_down(parts, volume_ul, rate_ul_h, reverse):
    reverse = reverse and parts is SYRINGE
    order = {"volume_ul": volume_ul, "rate_ul_h": rate_ul_h, "reverse": int(reverse)}
    assume(refused(PURGE, parts, **order) is None)
    program = support.program_of(PURGE, parts, **order)
    assert sum(phase.steps() for phase in program.phases) == parts.steps_for_ul(volume_ul)
    assert {phase.bucket for phase in program.phases} == {RETRACTED if reverse else PRIMED}
    assert program.reverse == reverse
    assert program.peak_ul_h() <= rate_ul_h
    ends = [phase for phase in program.phases if phase.stair_quanta]
    assert [(phase.stairs, phase.stair_quanta) for phase in ends] in ([], [(10, 1)] * 2)
    if ends:
        top_ul_h = max(ends[0].end_rate_ul_h, ends[1].rate_ul_h)
        assert (ends[0].rate_ul_h, ends[1].end_rate_ul_h) == (0, 0)
        assert ends[0].end_rate_ul_h == ends[1].rate_ul_h == top_ul_h
    else:
        # Without a whole step on a ramp there is nothing to speed up.
        assert program.vtbi_steps < 2 or rate_ul_h * Fraction(1, 7200) < nl_per_step(parts)
