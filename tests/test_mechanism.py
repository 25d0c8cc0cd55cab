"""Mechanisms: the ratio against the catalogue's figures, and what follows from it."""

from fractions import Fraction

import pytest
import support
from hypothesis import given
from hypothesis import strategies as st

from micropump import catalogue, mechanism
from micropump.mechanism import KIND_PERISTALTIC, KIND_SYRINGE, UnknownMechanismError
from micropump.units import GREATEST_RATE_UL_H, SMALL_INT_LIMIT

# π to 50 digits (OEIS A000796).
PI = Fraction(31415926535897932384626433832795028841971693993751, 10**49)
# What the long divisions of motion leave room for.
GREATEST_TERM = (SMALL_INT_LIMIT - 1) // 10
GREATEST_NUM = GREATEST_TERM // 3600
GREATEST_DEN = GREATEST_TERM // GREATEST_RATE_UL_H

keys = st.sampled_from(support.MECHANISMS)


def row(table: tuple, wanted_id: str) -> tuple:
    return next(each for each in table if each[0] == wanted_id)


def figures(table: tuple, columns: tuple, wanted_id: str) -> dict:
    return dict(zip(columns, row(table, wanted_id), strict=True))


def catalogue_figures(key: tuple[int, str, str]) -> tuple[dict, dict]:
    kind, item_id, drive_id = key
    if kind == KIND_SYRINGE:
        return (
            figures(catalogue.SYRINGES, catalogue.SYRINGE_COLUMNS, item_id),
            figures(catalogue.SYRINGE_DRIVES, catalogue.SYRINGE_DRIVE_COLUMNS, drive_id),
        )
    return (
        figures(catalogue.PERISTALTIC_HEADS, catalogue.PERISTALTIC_HEAD_COLUMNS, item_id),
        figures(catalogue.HEAD_DRIVES, catalogue.HEAD_DRIVE_COLUMNS, drive_id),
    )


def area_mm2(item: dict) -> Fraction:
    return PI * Fraction(item["inner_diameter_um"], 1000) ** 2 / 4


def exact_nl_per_step(key: tuple[int, str, str]) -> Fraction:
    """Nanolitres of a microstep straight from the catalogue, without the core's help."""
    item, drive = catalogue_figures(key)
    steps = drive["steps_per_rev"] * drive["microsteps"]
    reduction = Fraction(drive["gear_num"], drive["gear_den"])
    if key[0] == KIND_SYRINGE:
        # mm² · mm = µL
        per_rev_nl = area_mm2(item) * Fraction(drive["lead_um"], 1000) * 1000
    else:
        per_rev_nl = Fraction(item["nl_per_rev"])
    return per_rev_nl / reduction / steps


def ratio(key: tuple[int, str, str]) -> Fraction:
    parts = mechanism.build(*key)
    return Fraction(parts.nl_num, parts.nl_den)


def test_every_ratio_is_near_the_catalogue():
    # Measured over all 256: worst 1.72e-4 (hsw-norm-ject-1 on t8-2mm-pg5-16, 25/12 nL), next
    # 1.23e-4; a bore is known to about 1e-3.
    off = {key: abs(ratio(key) / exact_nl_per_step(key) - 1) for key in support.MECHANISMS}
    worst = max(off, key=off.get)
    assert off[worst] < Fraction(172, 10**6), worst
    assert sorted(off.values())[len(off) // 2] < Fraction(3, 10**6)


@pytest.mark.parametrize("kind", [KIND_SYRINGE, KIND_PERISTALTIC])
def test_every_ratio_is_the_best_that_fits(kind):
    # No fraction whose terms fit is nearer: tried with every denominator.
    for key in support.MECHANISMS:
        if key[0] != kind:
            continue
        exact = exact_nl_per_step(key)
        best = min(
            abs(Fraction(min(round(exact * den), GREATEST_NUM), den) - exact)
            for den in range(1, GREATEST_DEN + 1)
            if exact * den <= GREATEST_NUM + 1
        )
        assert abs(ratio(key) - exact) == best, key


def test_terms_fit():
    for key in support.MECHANISMS:
        parts = mechanism.build(*key)
        assert 0 < parts.nl_num <= GREATEST_NUM
        assert 0 < parts.nl_den <= GREATEST_DEN


def best_of_all(exact):
    nearest = (Fraction(round(exact * den), den) for den in range(1, GREATEST_DEN + 1))
    return min((r for r in nearest if r.numerator <= GREATEST_NUM), key=lambda r: abs(r - exact))


@given(st.fractions(Fraction(1, 10), 5000))
def test_best_ratio_fits_and_is_best_of_any_number_or_is_refused(exact):
    best = best_of_all(exact)
    if abs(best - exact) > exact / 1000:
        with pytest.raises(ValueError, match="out of range"):
            mechanism._best_ratio(exact.numerator, exact.denominator)
        return
    num, den = mechanism._best_ratio(exact.numerator, exact.denominator)
    assert 0 < num <= GREATEST_NUM
    assert 0 < den <= GREATEST_DEN
    assert abs(Fraction(num, den) - exact) == abs(best - exact)


@pytest.mark.parametrize(("num", "den"), [(1, 10**6), (10**6, 1)])
def test_a_step_out_of_all_proportion_is_refused(num, den):
    with pytest.raises(ValueError, match="out of range"):
        mechanism._best_ratio(num, den)


@given(keys, st.integers(0, 9_999_000))
def test_steps_for_a_volume_never_exceed_it_and_miss_less_than_a_step(key, volume_ul):
    parts = mechanism.build(*key)
    left_nl = volume_ul * 1000 - parts.steps_for_ul(volume_ul) * ratio(key)
    assert 0 <= left_nl < ratio(key)


@given(keys, st.integers(0, 10**10))
def test_volume_of_steps_is_rounded_down_to_a_nanolitre(key, steps):
    exact_nl = steps * ratio(key)
    assert 0 <= exact_nl - mechanism.build(*key).nl_for_steps(steps) < 1


@given(keys, st.integers(0, 9_999_000), st.integers(0, 9_999_000))
def test_steps_of_two_volumes_are_those_of_their_sum_but_one(key, a_ul, b_ul):
    parts = mechanism.build(*key)
    assert 0 <= parts.steps_for_ul(a_ul + b_ul) - parts.steps_for_ul(a_ul) - parts.steps_for_ul(
        b_ul
    ) <= 1  # fmt: skip


def test_greatest_rates_are_the_drives():
    for key in support.MECHANISMS:
        parts = mechanism.build(*key)
        item, drive = catalogue_figures(key)
        if key[0] == KIND_SYRINGE:
            # µL/s · 3600
            exact = area_mm2(item) * Fraction(drive["max_speed_um_s"], 1000) * 3600
        else:
            head_rpm = Fraction(drive["max_rpm"] * drive["gear_den"], drive["gear_num"])
            exact = min(head_rpm, item["greatest_rpm"]) * 60 * item["nl_per_rev"] / 1000
        exact = min(exact, GREATEST_RATE_UL_H)
        # Never above what the drive gives. Whole revolutions a minute of a head cost at most one
        # of them: 7 of the 28BYJ-48's 7.35, the slowest, are 4.8 % less.
        assert exact * Fraction(95, 100) < parts.greatest_rate_ul_h <= exact, key


def test_a_60_ml_syringe_gives_the_published_volumes_of_a_step():
    # Published for a bore of 26.7 mm and 3200 microsteps a revolution: 0.35 µL with a lead of 2 mm,
    # 1.40 µL with 8 mm; here with 26.60 or so mm the same two digits.
    item = min(catalogue.SYRINGES, key=lambda each: abs(each[4] - 26_700))
    assert abs(item[4] - 26_700) < 50
    assert round(ratio((KIND_SYRINGE, item[0], "t8-2mm-16")) / 1000, 2) == Fraction(35, 100)
    assert abs(ratio((KIND_SYRINGE, item[0], "t8-8mm-16")) / 1000 - Fraction(140, 100)) < Fraction(
        1, 100
    )


def test_capacity_least_rate_and_stroke_are_the_catalogues():
    for key in support.MECHANISMS:
        parts = mechanism.build(*key)
        item, drive = catalogue_figures(key)
        assert (parts.kind, parts.item_id, parts.drive_id) == key
        assert parts.least_rate_ul_h == item["least_rate_ul_h"]
        assert parts.steps_per_rev == drive["steps_per_rev"] * drive["microsteps"]
        if key[0] == KIND_SYRINGE:
            assert parts.capacity_ul == item["capacity_ul"]
            assert parts.stroke_steps == 1
        else:
            assert parts.capacity_ul == 0
            per_head_rev = Fraction(parts.steps_per_rev * drive["gear_num"], drive["gear_den"])
            assert 0 <= per_head_rev / item["rollers"] - parts.stroke_steps < 1


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ((KIND_SYRINGE, "no-such-60", "t8-2mm-16"), ("syringe", "no-such-60")),
        ((KIND_SYRINGE, "bd-plastipak-60", "direct-16"), ("syringe drive", "direct-16")),
        ((KIND_PERISTALTIC, "bd-plastipak-60", "direct-16"), ("peristaltic head",)),
        ((KIND_PERISTALTIC, "masterflex-ls-16", "t8-2mm-16"), ("head drive", "t8-2mm-16")),
        ((3, "bd-plastipak-60", "t8-2mm-16"), ("mechanism kind", "3")),
    ],
)
def test_unknown_ids_are_named(key, told):
    with pytest.raises(UnknownMechanismError) as caught:
        mechanism.build(*key)
    assert caught.value.args[: len(told)] == told


def test_micropython_builds_the_same():
    lines = []
    for key in support.MECHANISMS:
        parts = mechanism.build(*key)
        figures_of = (parts.nl_num, parts.nl_den, parts.greatest_rate_ul_h, parts.least_rate_ul_h)
        lines.append(" ".join(map(str, (*key, *figures_of, parts.stroke_steps))))
    done = support.run_micropython("ratios.py")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == lines
