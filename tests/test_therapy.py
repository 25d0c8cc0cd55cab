"""Programs: the KVO rule, VTBI over time, every refusal and every warning."""

import itertools
from fractions import Fraction

import pytest
import support
from hypothesis import assume, given
from hypothesis import strategies as st

from micropump import mechanism, therapy
from micropump.therapy import INFUSED, KVO, KVO_BY_RULE, KVO_OFF, OK
from micropump.units import (
    GREATEST_RATE_UL_H,
    GREATEST_VTBI_UL,
    LEAST_RATE_UL_H,
    LEAST_VTBI_UL,
    MILLION,
)

SYRINGE = mechanism.syringe("bd-plastipak-60", "t8-2mm-16")
HEAD = mechanism.peristaltic("masterflex-ls-18", "direct-16")
GOOD = {
    "mechanism": SYRINGE,
    "rate_ul_h": 5_000,
    "vtbi_ul": 10_000,
    "duration_s": 0,
    "kvo_ul_h": KVO_BY_RULE,
    "content_ul": 50_000,
}


def check(**wishes: object) -> int:
    return therapy.check_continuous(**{**GOOD, **wishes})


def make(**wishes: object) -> therapy.Program:
    assert check(**wishes) == OK
    return therapy.continuous(**{**GOOD, **wishes})


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
        assert make(rate_ul_h=rate_ul_h).rate_ul_h[:2] == [rate_ul_h, kvo_ul_h]


@given(st.integers(LEAST_RATE_UL_H, GREATEST_RATE_UL_H))
def test_kvo_never_exceeds_the_rate(rate_ul_h):
    assert LEAST_RATE_UL_H <= therapy.kvo_rate_ul_h(rate_ul_h) <= rate_ul_h


@given(st.integers(LEAST_VTBI_UL, GREATEST_VTBI_UL), st.integers(1, 359_940))
def test_rate_for_a_time_is_the_nearest_and_warned_of_if_rounded(vtbi_ul, duration_s):
    exact_ul_h = Fraction(vtbi_ul * 3600, duration_s)
    rate_ul_h = therapy.rate_for_time_ul_h(vtbi_ul, duration_s)
    assert abs(rate_ul_h - exact_ul_h) <= Fraction(1, 2)
    values = (HEAD, 0, vtbi_ul, duration_s, KVO_BY_RULE, vtbi_ul)
    assume(therapy.check_continuous(*values) == OK)
    program = therapy.continuous(*values)
    assert program.rate_ul_h[0] == rate_ul_h
    rounded = bool(program.warnings & therapy.WARN_RATE_ROUNDED)
    assert rounded == (rate_ul_h != exact_ul_h)
    # The time that the rounded rate takes, to the nearest second.
    assert abs(program.duration_s - Fraction(vtbi_ul * 3600, rate_ul_h)) <= Fraction(1, 2)


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
    reasons = [
        therapy.RATE_BELOW_RANGE,
        therapy.RATE_ABOVE_RANGE,
        therapy.VTBI_BELOW_RANGE,
        therapy.VTBI_ABOVE_RANGE,
        therapy.VTBI_ABOVE_CONTENT,
        therapy.CONTENT_ABOVE_CAPACITY,
        therapy.NEEDS_RATE_OR_TIME,
        therapy.KVO_ABOVE_RATE,
    ]
    assert len(set(reasons)) == len(reasons)
    assert all(OK < reason < 32 for reason in reasons)


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
def test_phases_are_the_vtbi_and_the_rest_of_the_content(key, vtbi_ul, more_ul, kvo_ul_h):
    parts = mechanism.build(*key)
    values = (parts, 50, vtbi_ul, 0, kvo_ul_h, vtbi_ul + more_ul)
    assume(therapy.check_continuous(*values) == OK)
    program = therapy.continuous(*values)
    steps = [
        program.left_millions[at] * MILLION + program.left_rest[at] for at in range(program.count)
    ]
    assert all(0 <= rest < MILLION for rest in program.left_rest)
    assert steps[0] == program.vtbi_steps == parts.steps_for_ul(vtbi_ul) > 0
    assert program.bucket[0] == INFUSED
    if kvo_ul_h == KVO_OFF or parts.steps_for_ul(vtbi_ul + more_ul) == steps[0]:
        assert program.count == 1
    else:
        assert program.count == 2
        assert program.bucket[1] == KVO
        assert program.rate_ul_h[1] == (50 if kvo_ul_h == KVO_BY_RULE else kvo_ul_h)
        # Never more than the content, and less than a step short of it.
        left_nl = (vtbi_ul + more_ul) * 1000 - sum(steps) * Fraction(parts.nl_num, parts.nl_den)
        assert 0 <= left_nl < Fraction(parts.nl_num, parts.nl_den)


@given(st.lists(st.integers(0, 16_000), max_size=200), st.integers(0, 3 * MILLION))
def test_steps_given_back_are_there_again(counts, left):
    program = therapy.Program(SYRINGE)
    program.add(5_000, left, INFUSED)
    for count in counts:
        program.give_back(0, count)
    assert program.left_millions[0] * MILLION + program.left_rest[0] == left + sum(counts)
    assert program.has_left(0) == (left + sum(counts) > 0)


@given(
    st.sampled_from((SYRINGE, HEAD)),
    st.integers(1, 5_000_000),
    st.integers(1_000, GREATEST_RATE_UL_H),
    st.integers(1_000, GREATEST_RATE_UL_H),
)
def test_a_ramped_move_is_exact_and_changes_its_rate_gently(parts, steps, rate_ul_h, gain_ul_h):
    program = therapy.ramped(parts, steps, rate_ul_h, gain_ul_h)
    phases = range(program.count)
    total = sum(program.left_millions[at] * 10**6 + program.left_rest[at] for at in phases)
    assert total == steps
    rates = [program.rate_ul_h[at] for at in phases]
    assert rates == rates[::-1] or len(rates) % 2 == 0
    assert max(rates) <= rate_ul_h
    assert set(program.bucket[: program.count]) == {therapy.PRIMED}
    # A slow quantum without a whole step is left out, so a change may be of several gains then.
    whole = [r for r in rates if r * parts.nl_den >= 36 * parts.nl_num]
    for before, after in itertools.pairwise(whole):
        assert abs(after - before) <= gain_ul_h
