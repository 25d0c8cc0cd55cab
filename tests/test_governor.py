"""The governor: limits in any unit against exact fractions, to the last unit of the wire."""

import subprocess
import sys
from fractions import Fraction

import libraries
import pytest
import support
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from micropump import governor, mechanism, therapy
from micropump import library as board
from micropump.doses import DoseLimits
from micropump.governor import HARD, NO_LEVEL, SOFT, WITHIN
from micropump.library import (
    DAILY,
    DEMAND,
    DOSE,
    DURATION,
    KVO,
    LOADING,
    LOCKOUT,
    LOWER_HARD,
    LOWER_SOFT,
    RATE,
    TYPICAL,
    UPPER_HARD,
    UPPER_SOFT,
    WINDOW_1H,
    WINDOW_4H,
)
from micropump.program import CONTINUOUS, INTERMITTENT, PCA, PURGE, RAMP, STEPPED, Phase
from micropump_host.library import image
from micropump_host.library.model import (
    KINDS,
    LEVELS,
    MASS,
    TIME,
    UNITS,
    VOLUME,
    Drug,
    DrugConcentration,
    Library,
    Limit,
    LimitUnit,
    Use,
)

DAY_S = 86_400
HOURS = {"min": Fraction(1, 60), "h": Fraction(1), "day": Fraction(24)}
EVERY_PROGRAM = ("continuous", "intermittent", "ramp", "stepped", "pca")


def held(limits: list[Limit], per_ml: Fraction | None = None, of: str = MASS, kvo: str = "rule"):
    """The limits and the concentration, once through source, image and look-up."""
    diluted = () if per_ml is None else (DrugConcentration(per_ml, of, ""),)
    use = Use(("a",), diluted, EVERY_PROGRAM, LimitUnit(VOLUME, False, "h"), "", tuple(limits), kvo)
    source = Library("l", "", 1, {"a": ""}, (Drug("d", "", "", "", (use,)),))
    data = image.build_image(source, libraries.KEY)
    library = board.verify(image.reader_of(data), len(data), libraries.KEY)
    at = board.NO_CONCENTRATION if per_ml is None else 0
    return library.find(0, 0, at, CONTINUOUS), library.concentration(0, at)


def in_the_pumps_unit(value: Fraction, unit: LimitUnit, per_ml: Fraction | None, weight_g: int):
    """A limit in µL, µL/h or s, by what its unit means."""
    if unit.per_kg:
        value *= Fraction(weight_g, 1000)
    if unit.per_time:
        value /= HOURS[unit.per_time]
    if unit.amount in (MASS, UNITS):
        value = value / per_ml * 1000
    return value


# Body weights from a premature newborn's to the heaviest's.
WEIGHTS_G = st.integers(300, 400_000)


@st.composite
def limited(draw):
    """A kind, its limit, a concentration and a weight."""
    kind = draw(st.sampled_from(KINDS))
    amount = draw(st.sampled_from((MASS, UNITS, VOLUME)))
    limit = draw(libraries.limits(kind, (amount,)))
    return KINDS.index(kind), limit, draw(libraries.decimals()), draw(WEIGHTS_G)


@settings(max_examples=150)
@given(limited(), st.data())
def test_each_boundary_is_met_to_the_last_unit(case, data):
    kind, limit, per_ml, weight_g = case
    of = UNITS if limit.unit.amount == UNITS else MASS
    limits, concentration = held([limit], per_ml, of, "limit" if kind == KVO else "rule")
    bounds = {
        LEVELS.index(level.name): in_the_pumps_unit(level.value, limit.unit, per_ml, weight_g)
        for level in limit.levels
    }

    def judged(value: int) -> tuple[int, int]:
        hard = [level for level in (LOWER_HARD, UPPER_HARD) if is_beyond(value, level)]
        soft = [level for level in (LOWER_SOFT, UPPER_SOFT) if is_beyond(value, level)]
        if hard:
            return HARD, hard[0]
        return (SOFT, soft[0]) if soft else (WITHIN, NO_LEVEL)

    def is_beyond(value: int, level: int) -> bool:
        if level not in bounds:
            return False
        return value < bounds[level] if level < TYPICAL else value > bounds[level]

    for level in range(board.LEVELS):
        most = governor.greatest(limits, kind, level, concentration, weight_g)
        least = governor.least(limits, kind, level, concentration, weight_g)
        if level not in bounds:
            assert most == least == -1
            continue
        assert most <= bounds[level] < most + 1
        assert least - 1 < bounds[level] <= least
        for value in (most - 1, most, most + 1, least - 1, least, least + 1):
            if value >= 0:
                found = governor.check(limits, kind, value, concentration, weight_g)
                assert found == judged(value)
    value, per = data.draw(st.integers(0, 10**9)), data.draw(st.integers(1, 10**6))
    found = governor.check(limits, kind, value, concentration, weight_g, per)
    assert found == judged(Fraction(value, per))


def test_what_is_told_by_hand():
    # 2 mcg/kg/min of dobutamine 5 mg/mL for 70 kg: 140 mcg/min = 8.4 mg/h = 1.68 mL/h.
    per_kg_min = LimitUnit(MASS, True, "min")
    limits, concentration = held(
        [libraries.limit_of("rate", per_kg_min, lower_soft=2000, upper_hard=20_000)],
        Fraction(5 * 10**6),
    )
    assert governor.check(limits, RATE, 1_679, concentration, 70_000) == (SOFT, LOWER_SOFT)
    assert governor.check(limits, RATE, 1_680, concentration, 70_000) == (WITHIN, NO_LEVEL)
    assert governor.check(limits, RATE, 16_800, concentration, 70_000) == (WITHIN, NO_LEVEL)
    assert governor.check(limits, RATE, 16_801, concentration, 70_000) == (HARD, UPPER_HARD)
    # 18 units/kg/h of heparin 100 units/mL for 80 kg: 1440 units/h = 14.4 mL/h.
    limits, concentration = held(
        [libraries.limit_of("rate", LimitUnit(UNITS, True, "h"), upper_soft=18_000)],
        Fraction(100_000), UNITS,
    )  # fmt: skip
    assert governor.greatest(limits, RATE, UPPER_SOFT, concentration, 80_000) == 14_400
    assert governor.check(limits, RATE, 14_401, concentration, 80_000) == (SOFT, UPPER_SOFT)


def test_what_cannot_be_judged_is_not_within():
    per_kg = libraries.limit_of("rate", LimitUnit(MASS, True, "h"), upper_soft=10**6)
    limits, concentration = held([per_kg], Fraction(10**6))
    assert governor.check(limits, RATE, 1, concentration, 0) == (governor.NEEDS_WEIGHT, UPPER_SOFT)
    for other in (None, (board.MILLIUNITS, 1, 6)):
        assert governor.check(limits, RATE, 1, other, 1) == (
            governor.NEEDS_CONCENTRATION, UPPER_SOFT,
        )  # fmt: skip
    assert governor.greatest(limits, RATE, UPPER_SOFT, concentration, 0) == -1
    order = support.order_of(CONTINUOUS)
    assert governor.judge_program(limits, order, CONTINUOUS, concentration, 0) == [
        (governor.WEIGHT, LOWER_HARD, "", 0, 1)
    ]
    assert governor.judge_program(limits, order, CONTINUOUS, None, 70_000) == [
        (governor.CONCENTRATION, LOWER_HARD, "", 0, 1)
    ]


# -- a program, field by field -------------------------------------------------------------------

# By volume, so that the figures are those of the wire: hard at both ends, soft within.
UL_H, UL, SECONDS = LimitUnit(VOLUME, False, "h"), LimitUnit(VOLUME), LimitUnit(TIME)


def around(kind: str, value: int) -> Limit:
    unit = SECONDS if kind in ("duration", "lockout") else UL_H if kind in ("rate", "kvo") else UL
    return libraries.limit_of(kind, unit, lower_hard=value, upper_hard=value)


def judged(kind: int, limits: list[Limit], kvo: str = "rule", **wishes: object) -> list:
    found, concentration = held(limits, kvo=kvo)
    order = support.order_of(kind, **wishes)
    therapy.make(kind, mechanism.syringe("bd-plastipak-50", "t8-2mm-16"), order)
    return governor.judge_program(found, order, kind, concentration, 0)


# What a program of support.ORDERS comes to: kind, its wishes, (limit, field, value).
COMES_TO = [
    (CONTINUOUS, {}, RATE, "rate_ul_h", 5_000),
    (CONTINUOUS, {}, DOSE, "vtbi_ul", 10_000),
    (CONTINUOUS, {}, DURATION, "rate_ul_h", 7_200),
    (CONTINUOUS, {"rate_ul_h": 0, "duration_s": 3_600}, RATE, "rate_ul_h", 10_000),
    (CONTINUOUS, {"rate_ul_h": 0, "duration_s": 3_601}, DURATION, "duration_s", 3_601),
    (CONTINUOUS, {"loading_ul": 300, "loading_ul_h": 60_000}, LOADING, "loading_ul", 300),
    # With 1 mL/h KVO for the 22 h after it.
    (CONTINUOUS, {}, DAILY, "", 32_000),
    (CONTINUOUS, {"kvo_ul_h": 0}, DAILY, "", 10_000),
    (CONTINUOUS, {}, KVO, "kvo_ul_h", 1_000),
    (CONTINUOUS, {"kvo_ul_h": 700}, KVO, "kvo_ul_h", 700),
    (INTERMITTENT, {}, RATE, "rate_ul_h", 60_000),
    (INTERMITTENT, {}, DOSE, "dose_ul", 500),
    (INTERMITTENT, {}, DURATION, "rate_ul_h", 30),
    (INTERMITTENT, {"rate_ul_h": 0, "duration_s": 40}, DURATION, "duration_s", 40),
    (INTERMITTENT, {}, KVO, "kvo_ul_h", 3_000),
    # With KVO until the syringe is empty.
    (INTERMITTENT, {}, DAILY, "", 50_000),
    (INTERMITTENT, {"kvo_ul_h": 0, "interval_s": 43_200}, DAILY, "", 1_000),
    # 10 mL / (1 h - 10 min) = 12 mL/h
    (RAMP, {}, RATE, "vtbi_ul", 12_000),
    (RAMP, {}, DOSE, "vtbi_ul", 10_000),
    (RAMP, {}, DURATION, "duration_s", 3_600),
    (RAMP, {"kvo_ul_h": 0}, DAILY, "", 10_000),
    # 1 mL at 5 mL/h, then 10 min at 20 mL/h, which are 3333.3 µL.
    (STEPPED, {}, DOSE, "vtbi_ul", 4_333),
    (STEPPED, {"steps": [(5_000, 1_000, 0), (20_000, 0, 360)]}, DURATION, "steps", 1_080),
    (STEPPED, {"kvo_ul_h": 0}, DAILY, "", 4_333),
    (PCA, {}, RATE, "rate_ul_h", 1_000),
    (PCA, {"kvo_ul_h": 0}, DAILY, "", 30_000),
    (PCA, {}, DEMAND, "demand_ul", 1_000),
    (PCA, {}, LOCKOUT, "lockout_s", 360),
    (PCA, {"loading_ul": 300, "loading_ul_h": 60_000}, LOADING, "loading_ul", 300),
    (PCA, {"window_1_s": 3_600, "limit_1_ul": 9_000}, WINDOW_1H, "limit_1_ul", 9_000),
    (PCA, {"window_2_s": 14_400, "limit_2_ul": 9_000}, WINDOW_4H, "limit_2_ul", 9_000),
    # Two half hours cover an hour; four hours with no more are stricter than one with as much.
    (PCA, {"window_1_s": 1_800, "limit_1_ul": 4_000}, WINDOW_1H, "limit_1_ul", 8_000),
    (PCA, {"window_1_s": 14_400, "limit_1_ul": 9_000}, WINDOW_1H, "limit_1_ul", 9_000),
    (PCA, {"window_1_s": 3_600, "limit_1_ul": 3_000, "window_2_s": 14_400, "limit_2_ul": 14_000},
     WINDOW_4H, "limit_1_ul", 12_000),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "wishes", "limited_kind", "field", "value"), COMES_TO)
def test_every_figure_of_a_program_is_judged_to_the_unit(kind, wishes, limited_kind, field, value):
    name = KINDS[limited_kind]
    kvo = "limit" if name == "kvo" else "rule"
    assert judged(kind, [around(name, value)], kvo, **wishes) == []
    assert judged(kind, [around(name, value + 1)], kvo, **wishes) == [
        (limited_kind, LOWER_HARD, field, value, value + 1)
    ]
    assert judged(kind, [around(name, value - 1)], kvo, **wishes) == [
        (limited_kind, UPPER_HARD, field, value, value - 1)
    ]


def test_the_slowest_and_the_fastest_step_are_judged():
    limit = libraries.limit_of("rate", UL_H, lower_soft=5_001, upper_hard=19_999)
    assert judged(STEPPED, [limit]) == [
        (RATE, LOWER_SOFT, "steps", 5_000, 5_001),
        (RATE, UPPER_HARD, "steps", 20_000, 19_999),
    ]
    limit = libraries.limit_of("rate", UL_H, lower_soft=5_000, upper_hard=20_000)
    assert judged(STEPPED, [limit]) == []


def test_a_figure_between_two_units_is_not_rounded_to_the_other_side():
    # 10 mL at 5.001 mL/h take 7198.56 s.
    assert judged(CONTINUOUS, [around("duration", 7_199)], rate_ul_h=5_001) == [
        (DURATION, LOWER_HARD, "rate_ul_h", 7_198, 7_199)
    ]
    assert judged(CONTINUOUS, [around("duration", 7_198)], rate_ul_h=5_001) == [
        (DURATION, UPPER_HARD, "rate_ul_h", 7_199, 7_198)
    ]


def test_a_hard_limit_goes_before_a_soft_one():
    limit = libraries.limit_of("rate", UL_H, upper_soft=3_000, upper_hard=4_999)
    assert judged(CONTINUOUS, [limit]) == [(RATE, UPPER_HARD, "rate_ul_h", 5_000, 4_999)]
    limit = libraries.limit_of("rate", UL_H, upper_soft=3_000, upper_hard=5_000)
    assert judged(CONTINUOUS, [limit]) == [(RATE, UPPER_SOFT, "rate_ul_h", 5_000, 3_000)]
    assert governor.is_hard(LOWER_HARD)
    assert governor.is_hard(UPPER_HARD)
    assert not any(governor.is_hard(level) for level in (LOWER_SOFT, TYPICAL, UPPER_SOFT))


def test_kvo_off_by_the_rule_or_within_its_limit():
    assert judged(CONTINUOUS, [], "off") == [(KVO, UPPER_HARD, "kvo_ul_h", 1_000, 0)]
    assert judged(CONTINUOUS, [], "off", kvo_ul_h=therapy.KVO_OFF) == []
    assert judged(CONTINUOUS, [], "rule", kvo_ul_h=1_000) == []
    assert judged(CONTINUOUS, [], "rule", kvo_ul_h=1_001) == [
        (KVO, UPPER_SOFT, "kvo_ul_h", 1_001, 1_000)
    ]
    upper = libraries.limit_of("kvo", UL_H, lower_hard=10, upper_hard=999)
    assert judged(CONTINUOUS, [upper], "limit", kvo_ul_h=therapy.KVO_OFF) == []
    assert judged(CONTINUOUS, [upper], "limit") == [(KVO, UPPER_HARD, "kvo_ul_h", 1_000, 999)]


def test_a_pca_without_a_window_is_not_within_a_limit_by_the_hour():
    for levels, level in (
        ({"upper_soft": 5_000, "upper_hard": 6_000}, UPPER_HARD),
        ({"upper_soft": 5_000}, UPPER_SOFT),
    ):
        limit = libraries.limit_of("window_1h", UL, **levels)
        greatest_ul = max(levels.values())
        assert judged(PCA, [limit]) == [(WINDOW_1H, level, "limit_1_ul", 0, greatest_ul)]
    assert judged(PCA, [libraries.limit_of("window_1h", UL, typical=5_000)]) == []


def test_a_pca_without_basal_has_no_rate_to_be_too_low():
    assert judged(PCA, [around("rate", 500)], rate_ul_h=0) == []


def test_other_programs_are_refused_and_a_purge_is_nobodys_dose():
    limits, _ = held([around("rate", 1)])
    limits.programs = 1 << PCA
    order = support.order_of(CONTINUOUS)
    assert governor.judge_program(limits, order, CONTINUOUS, None, 0) == [
        (governor.PROGRAM, UPPER_HARD, "", CONTINUOUS, 0)
    ]
    assert governor.judge_program(limits, support.order_of(PURGE), PURGE, None, 0) == []


# -- the figures of the domain -------------------------------------------------------------------


def test_stepped_nutrition_trips_the_soft_limit_of_200():
    limit = libraries.limit_of("rate", UL_H, upper_soft=200_000, upper_hard=250_000)
    steps = [
        (52_632, 52_632, 0), (105_263, 105_263, 0), (210_526, 1_684_210, 0),
        (105_263, 105_263, 0), (52_632, 52_632, 0),
    ]  # fmt: skip
    limits, _ = held([limit])
    order = support.order_of(STEPPED, vtbi_ul=2_000_000, steps=steps, content_ul=2_000_000)
    assert governor.judge_program(limits, order, STEPPED, None, 0) == [
        (RATE, UPPER_SOFT, "steps", 210_526, 200_000)
    ]


def test_morphine_meets_its_limit_by_the_hour_exactly():
    # 1 mg every 6 min of 1 mg/mL: 10 mg in 1 h are within 10 mg, and beyond any less.
    mg = LimitUnit(MASS)
    order = {"window_1_s": 3_600, "limit_1_ul": 10_000, "window_2_s": 14_400, "limit_2_ul": 40_000,
             "rate_ul_h": 0}  # fmt: skip
    for upper_soft, findings in (
        (10 * 10**6, []),
        (99 * 10**5, [(WINDOW_1H, UPPER_SOFT, "limit_1_ul", 10_000, 9_900)]),
    ):
        limit = libraries.limit_of("window_1h", mg, upper_soft=upper_soft)
        limits, concentration = held([limit], Fraction(10**6))
        fields = support.order_of(PCA, **order)
        assert governor.judge_program(limits, fields, PCA, concentration, 0) == findings


def test_micropython_judges_the_same(tmp_path):
    file = tmp_path / "large.mpl"
    file.write_bytes(image.build_image(libraries.large(), libraries.KEY))
    done = support.run_micropython("library_governor.py", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    words = [sys.executable, support.SCRIPTS / "library_governor.py", support.FIRMWARE, str(file)]
    on_cpython = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout == on_cpython.stdout
    # Every therapy is within all limits of one drug, and beyond one of another's.
    lines = [line.split(" ", 2) for line in done.stdout.splitlines()]
    for kind in (CONTINUOUS, INTERMITTENT, RAMP, STEPPED, PCA):
        findings = {found for name, what, found in lines if (name, what) == (str(kind), "judged")}
        assert len(findings) > 1, kind
        assert sum(what == "daily" for name, what, _ in lines if name == str(kind)) == 1


# -- the most in a day ---------------------------------------------------------------------------

HEAD = mechanism.peristaltic("masterflex-ls-14", "direct-16")


def most_of_a_day(order: dict, kind: int) -> Fraction:
    return Fraction(*governor.daily_ul(order, kind))


def flowed_ul(order: dict, kind: int) -> tuple[Fraction, int]:
    """The most in 24 h of what the core is going to do, and how many stretches that are.

    By the program's own timeline, every window that begins or ends with a stretch.
    """
    program = therapy.make(kind, HEAD, order)
    per_step_ul = support.nl_per_step(HEAD) / 1000
    # Start in s, length in s, µL.
    stretches: list[tuple[Fraction, Fraction, Fraction]] = []
    given = Fraction(0)
    for phase, _, start_ms, duration_ms, rate_ul_h, _, steps, _ in program.timeline():
        volume_ul = steps * per_step_ul
        length = Fraction(duration_ms, 1000)
        if duration_ms < 0:
            volume_ul = max(Fraction(0), order["content_ul"] * order["containers"] - given)
            length = volume_ul * 3600 / rate_ul_h
        given += volume_ul
        stairs = stairs_of(program.phases[phase])
        for at, share in enumerate(stairs):
            if length:
                step = length / len(stairs)
                stretches.append((Fraction(start_ms, 1000) + at * step, step, volume_ul * share))
    starts = [start for start, _, _ in stretches]
    starts += [start + length - DAY_S for start, length, _ in stretches]
    return max(flowed_from(stretches, start) for start in starts), len(stretches)


def stairs_of(phase: Phase) -> list[Fraction]:
    """How much of a phase's volume each of its stairs gives; one stair without a ramp."""
    rates = [phase.stair_ul_h(stair) for stair in range(phase.stairs)]
    return [Fraction(rate, sum(rates)) if sum(rates) else Fraction(1) for rate in rates]


def flowed_from(stretches: list, begin: Fraction) -> Fraction:
    """What flows within a day from a moment on; µL."""
    end = begin + DAY_S
    flowed = Fraction(0)
    for start, length, volume_ul in stretches:
        inside = min(start + length, end) - max(start, begin)
        if inside > 0:
            flowed += volume_ul * inside / length
    return flowed


KVO_RATES = st.sampled_from((therapy.KVO_BY_RULE, therapy.KVO_OFF))
DELAYS_S = st.sampled_from((0, 0, 1_800, 7_200, 100_000))
CONTENTS = st.sampled_from((3_000_000, 1_000_000)) | st.integers(20_000, 400_000)


@st.composite
def days(draw):
    """A program of any kind but PCA that may take longer than a day."""
    kind = draw(st.sampled_from((CONTINUOUS, INTERMITTENT, RAMP, STEPPED)))
    wishes = {
        "content_ul": draw(CONTENTS),
        "containers": draw(st.integers(1, 3)),
        "delay_s": draw(DELAYS_S),
        "kvo_ul_h": draw(KVO_RATES),
    }
    if kind == CONTINUOUS:
        wishes["vtbi_ul"] = draw(st.integers(1_000, 400_000))
        wishes["rate_ul_h"] = draw(st.integers(1_000, 60_000))
        wishes["loading_ul"] = draw(st.sampled_from((0, 20_000)))
        wishes["loading_ul_h"] = 120_000 if wishes["loading_ul"] else 0
    elif kind == INTERMITTENT:
        wishes["dose_ul"] = draw(st.integers(1_000, 30_000))
        wishes["doses"] = draw(st.integers(1, 12))
        wishes["rate_ul_h"] = draw(st.integers(20_000, 200_000))
        wishes["interval_s"] = draw(st.integers(5_500, 40_000))
        if draw(st.booleans()):
            minutes = draw(st.sets(st.integers(0, 13), min_size=1, max_size=8))
            wishes["times"] = [(100 * minute,) for minute in sorted(minutes)]
            wishes["clock_s"] = draw(st.integers(0, DAY_S - 1))
    elif kind == RAMP:
        wishes["duration_s"] = draw(st.integers(3_600, 200_000))
        wishes["vtbi_ul"] = draw(st.integers(100_000, 400_000))
        up_s = draw(st.integers(0, 300))
        wishes["up_s"] = up_s * wishes["duration_s"] // 600
        wishes["down_s"] = draw(st.integers(0, 300)) * wishes["duration_s"] // 600
    else:
        wishes["steps"] = draw(
            st.lists(
                st.tuples(st.integers(2_000, 90_000), st.integers(1, 40_000), st.just(0))
                | st.tuples(st.integers(500, 20_000), st.just(0), st.integers(60, 100_000)),
                min_size=1, max_size=6,
            )
        )  # fmt: skip
    order = support.order_of(kind, **wishes)
    try:
        therapy.make(kind, HEAD, order)
    except therapy.RefusedError:
        assume(False)
    return kind, order


@settings(max_examples=150)
@given(days())
def test_the_most_in_a_day_is_what_the_program_does_in_its_best_day(case):
    kind, order = case
    most_ul = most_of_a_day(order, kind)
    flowed, stretches = flowed_ul(order, kind)
    # The core gives whole microsteps, of 0.066 µL here, and each stair of a ramp in whole quanta:
    # 0.07 µL a stretch were the most in 620 programs.
    assert abs(most_ul - flowed) <= Fraction(stretches, 5)


BEST_DAYS = [
    # The best day ends with the fast step, in the midst of the slow one: 22 h and 2 h.
    (STEPPED, {"steps": [(10_000, 0, 100_800), (50_000, 0, 7_200)], "kvo_ul_h": 0}, 320_000),
    (STEPPED, {"steps": [(50_000, 0, 7_200), (10_000, 0, 100_800)], "kvo_ul_h": 0}, 320_000),
    # Or begins with it: 2 h and 22 h.
    (STEPPED, {"steps": [(10_000, 0, 100_800), (50_000, 0, 7_200), (20_000, 0, 100_800)],
               "kvo_ul_h": 0, "content_ul": 1_000_000}, 540_000),
    # 2 h KVO, doses of half an hour with half an hour between, and what is left in the syringe.
    (INTERMITTENT, {"dose_ul": 10_000, "doses": 2, "rate_ul_h": 20_000, "interval_s": 3_600,
                    "kvo_ul_h": 1_000, "delay_s": 7_200, "content_ul": 23_000}, 23_000),
    (INTERMITTENT, {"dose_ul": 10_000, "doses": 2, "rate_ul_h": 20_000, "interval_s": 3_600,
                    "kvo_ul_h": 1_000, "delay_s": 7_200, "content_ul": 22_000}, 22_500),
    # KVO for half an hour of delay and as much until 01:00, which takes it out of the next syringe.
    (INTERMITTENT, {"dose_ul": 10_000, "doses": 1, "rate_ul_h": 20_000, "kvo_ul_h": 1_000,
                    "times": [(60,)], "clock_s": 0, "delay_s": 1_800, "interval_s": 0,
                    "content_ul": 10_000}, 11_000),
    # Three doses and KVO in 24 h, whatever the clock; then one a day.
    (INTERMITTENT, {"dose_ul": 10_000, "doses": 9, "rate_ul_h": 20_000, "kvo_ul_h": 1_000,
                    "times": [(60,), (500,), (1_000,)], "clock_s": 30_000, "interval_s": 0,
                    "content_ul": 400_000}, 30_000 + 22_500),
    # A ramp of 20 h up, 20 h level, 20 h down, P = 10 mL/h: two ends of a day are lost, but no
    # day has more than 20 h at P and 2 h on either side, 0.95 P on average.
    (RAMP, {"vtbi_ul": 400_000, "duration_s": 216_000, "up_s": 72_000, "down_s": 72_000,
            "kvo_ul_h": 0, "content_ul": 400_000}, 200_000 + 38_000),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "wishes", "most_ul"), BEST_DAYS)
def test_the_best_day_by_hand(kind, wishes, most_ul):
    order = support.order_of(kind, **{"content_ul": 900_000, **wishes})
    therapy.make(kind, HEAD, order)
    assert most_of_a_day(order, kind) == most_ul


# wishes, µL in the best day; the order has 1 mL/h, 1 mL every 6 min, 30 mL of 50 mL.
PLENTY = {"vtbi_ul": 900_000, "content_ul": 901_000}
PCA_DAYS = [
    (PLENTY, 24_000 + 240_000),
    ({**PLENTY, "rate_ul_h": 0}, 240_000),
    # 239.3 lockouts are in a day, so there is room for 240 demands.
    ({**PLENTY, "lockout_s": 361}, 24_000 + 240_000),
    ({**PLENTY, "lockout_s": DAY_S}, 24_000 + 1_000),
    ({**PLENTY, "loading_ul": 500, "loading_ul_h": 60_000, "lockout_s": DAY_S}, 25_500),
    ({**PLENTY, "window_1_s": 3_600, "limit_1_ul": 10_000}, 240_000),
    ({**PLENTY, "window_1_s": 3_600, "limit_1_ul": 10_000, "window_2_s": 14_400,
      "limit_2_ul": 30_000}, 180_000),
    ({"kvo_ul_h": 0}, 30_000),
    ({"kvo_ul_h": 0, "loading_ul": 500, "loading_ul_h": 60_000}, 30_500),
    # And KVO, until the container is empty; or before the start.
    ({}, 50_000),
    ({"vtbi_ul": 10_000, "kvo_ul_h": 100}, 12_400),
    ({"vtbi_ul": 50_000, "delay_s": 7_200, "kvo_ul_h": 100}, 50_200),
]  # fmt: skip


@pytest.mark.parametrize(("wishes", "most_ul"), PCA_DAYS)
def test_the_most_that_a_pca_gives_in_a_day(wishes, most_ul):
    order = support.order_of(PCA, **wishes)
    therapy.make(PCA, HEAD, order)
    assert most_of_a_day(order, PCA) == most_ul


@settings(max_examples=25)
@given(
    st.integers(0, 5_000), st.integers(10, 2_000), st.integers(600, 7_200),
    st.integers(600, 20_000), st.integers(600, 60_000), st.integers(0, 30_000),
    st.integers(0, 2_000),
)  # fmt: skip
def test_who_presses_all_day_gets_no_more_than_that(
    rate_ul_h, demand_ul, lockout_s, window_s, longer_s, room_ul, loading_ul
):
    windows = [window_s, window_s + longer_s]
    # Whole µL are the microsteps here, and the basal counts as doses.py counts it.
    basal_ul = [rate_ul_h * length_s // 3_600 for length_s in windows]
    limits_ul = [max(demand_ul, loading_ul) + each + room_ul + 1 for each in basal_ul]
    order = support.order_of(
        PCA, vtbi_ul=9_000_000, rate_ul_h=rate_ul_h, demand_ul=demand_ul, lockout_s=lockout_s,
        window_1_s=windows[0], limit_1_ul=limits_ul[0], window_2_s=windows[1],
        limit_2_ul=limits_ul[1], loading_ul=loading_ul,
    )  # fmt: skip
    ledger = DoseLimits(
        lockout_s * 1000,
        [(length_s * 1000, each) for length_s, each in zip(windows, limits_ul, strict=True)],
    )
    ledger.set_basal(0, basal_ul)
    ledger.close(0, loading_ul)
    for second in range(0, DAY_S, 60):
        ledger.demand(second * 1000, demand_ul)
    given_ul = loading_ul + Fraction(rate_ul_h * DAY_S, 3_600) + ledger.given * demand_ul
    assert ledger.given
    assert given_ul <= most_of_a_day(order, PCA)
