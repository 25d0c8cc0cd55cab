"""Figures of an order: exact in every unit, doses by concentration and weight, and what is none."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micropump_host import orders
from micropump_host.reading.dosage import rounded
from micropump_host.reading.quantity import exact_text, parse_weight_kg

# unit -> (µL/h that it is, rates in µL/h that have a finite decimal in it: multiples of this).
RATE_UNITS = {
    "mL/h": (Fraction(1000), 1),
    "ml/hr": (Fraction(1000), 1),
    "milliliter / hour": (Fraction(1000), 1),
    "cc per h": (Fraction(1000), 1),
    "cm^3/h": (Fraction(1000), 1),
    "cm³/h": (Fraction(1000), 1),
    "µL/h": (Fraction(1), 1),
    "μL/h": (Fraction(1), 1),  # the Greek mu, where the one above is the micro sign
    "uL/h": (Fraction(1), 1),
    "µL/min": (Fraction(60), 3),
    "mL/min": (Fraction(60_000), 3),
    "nL/s": (Fraction(18, 5), 9),
    "L/h": (Fraction(1_000_000), 1),
    "L/day": (Fraction(125_000, 3), 1),
}
VOLUME_UNITS = {
    "mL": Fraction(1000),
    "µL": Fraction(1),
    "L": Fraction(1_000_000),
    "dl": Fraction(100_000),
    "cm^3": Fraction(1000),
    "nL": Fraction(1, 1000),
}
DURATION_UNITS = {"s": (1, 1), "min": (60, 3), "h": (3600, 9), "day": (86_400, 27)}
# unit -> mg that it is, or units.
MASS_UNITS = {
    "g": Fraction(1000),
    "mg": Fraction(1),
    "mcg": Fraction(1, 1000),
    "µg": Fraction(1, 1000),
    "ug": Fraction(1, 1000),
    "microgram": Fraction(1, 1000),
    "ng": Fraction(1, 1_000_000),
}
UNIT_UNITS = {"units": Fraction(1), "unit": Fraction(1), "IU": Fraction(1)}
AMOUNT_UNITS = {**dict.fromkeys(MASS_UNITS, "mg"), **dict.fromkeys(UNIT_UNITS, "units")}
IN_AMOUNTS = {**MASS_UNITS, **UNIT_UNITS}
HOURS = {"h": Fraction(1), "hour": Fraction(1), "min": Fraction(1, 60), "day": Fraction(24)}


def decimal_text(value: Fraction) -> str:
    """A finite decimal, exactly."""
    text = format(Decimal(value.numerator) / Decimal(value.denominator), "f")
    assert Fraction(text) == value
    return text


# -- plain rates, volumes and times ----------------------------------------------------------------


@given(
    st.sampled_from(sorted(RATE_UNITS)),
    st.integers(1, 133_333),
    st.sampled_from(["{} {}", "{}{}", " {}   {} ", "+{} {}", "{}e0 {}"]),
)
def test_a_rate_is_the_same_integer_in_whatever_unit_it_is_written(unit, ninths, form):
    in_ul_h, multiple = RATE_UNITS[unit]
    rate_ul_h = ninths * multiple
    text = form.format(decimal_text(rate_ul_h / in_ul_h), unit)
    assert orders.parse_rate_ul_h(text) == rate_ul_h


@given(st.sampled_from(sorted(VOLUME_UNITS)), st.integers(1, 9_999_000))
def test_a_volume_is_the_same_integer_in_whatever_unit_it_is_written(unit, volume_ul):
    text = f"{decimal_text(volume_ul / VOLUME_UNITS[unit])} {unit}"
    assert orders.parse_volume_ul(text) == volume_ul


@given(st.sampled_from(sorted(DURATION_UNITS)), st.integers(1, 13_000))
def test_a_time_is_the_same_integer_in_whatever_unit_it_is_written(unit, count):
    in_s, multiple = DURATION_UNITS[unit]
    duration_s = count * multiple
    text = f"{decimal_text(Fraction(duration_s, in_s))} {unit}"
    assert orders.parse_duration_s(text) == duration_s


@given(st.integers(1, 5999))
def test_a_time_in_hours_and_minutes_is_read_and_written_alike(minutes):
    text = f"{minutes // 60:02d}:{minutes % 60:02d}"
    assert orders.parse_duration_s(text) == minutes * 60
    assert orders.duration_text(minutes * 60) == text


@given(st.integers(1, 9_999_000))
def test_what_is_written_for_people_is_read_back_exactly(count):
    assert orders.parse_rate_ul_h(orders.rate_text(count)) == count
    assert orders.parse_volume_ul(orders.volume_text(count)) == count


@given(st.fractions(min_value=0, max_value=10**9))
def test_a_number_is_written_exactly(value):
    assert Fraction(exact_text(value)) == value


@given(st.integers(0, 10**15))
def test_a_decimal_is_written_as_one_and_without_idle_noughts(billionths):
    text = exact_text(Fraction(billionths, 10**9))
    assert "/" not in text
    assert Decimal(text) * 10**9 == billionths
    assert "." not in text or not text.endswith(("0", "."))


@given(st.integers(0, 1_200_000), st.integers(1, 999))
def test_a_rate_between_two_counts_is_refused_and_the_nearest_named(whole_ul_h, thousandths):
    exact_ul_h = whole_ul_h + Fraction(thousandths, 1000)
    with pytest.raises(orders.QuantityError) as caught:
        orders.parse_rate_ul_h(f"{decimal_text(exact_ul_h / 1000)} mL/h")
    nearest_ul_h = orders.parse_rate_ul_h(caught.value.remedy.split('"')[1])
    assert abs(nearest_ul_h - exact_ul_h) <= Fraction(1, 2) or (whole_ul_h, nearest_ul_h) == (0, 1)


def test_the_nearest_count_is_named_in_the_unit_of_the_quantity():
    for parse, text, exact, nearest in (
        (orders.parse_rate_ul_h, "1 L/day", "41666.66667 µL/h", '"41.667 mL/h"'),
        (orders.parse_volume_ul, "1.0004 mL", "1000.4 µL", '"1 mL"'),
        (orders.parse_duration_s, "1.51 s", "1.51 s", '"2 s"'),
    ):
        with pytest.raises(orders.QuantityError) as caught:
            parse(text)
        assert exact in caught.value.what
        assert nearest in caught.value.remedy


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "does not begin with a number"),
        ("mL/h", "does not begin with a number"),
        ("nan mL/h", "does not begin with a number"),
        ("inf mL/h", "does not begin with a number"),
        ("1" * 70 + " mL/h", "does not begin with a number"),
        ("٥ mL/h", "does not begin with a number"),
        ("5", "has no unit"),
        ("2,5 mL/h", "comma"),
        ("1,000 mL/h", "comma"),
        ("0 mL/h", "not above zero"),
        ("-5 mL/h", "not above zero"),
        ("5 ml/ho", 'unit "ml/ho" is not known'),
        ("5 ml/hh", "in hectohours, which orders do not use"),
        ("5 ML/h", "in megaliters, which"),
        ("5 mL/Ms", "in megaseconds, which"),
        ("5 floz/h", "in fluid_ounces, which"),
        ("5 drips/min", 'unit "drips/min" is not known'),
        ("5 mL/h/h", "is not a rate"),
        ("5 mL/h/kg/h", "not known"),
        ("5 mL/2h", "not known"),
        ("5 mL/", "not known"),
        ("5e999 mL/h", "not known"),
        ("5 mL/h; 6 mL/h", "not known"),
        ("2**9**9 mL/h", "not known"),
        ("5 %", "not known"),
        ("5 mL", "not a rate but a volume"),
        ("5 h", "not a rate but a time"),
        ("5 m/h", "is not a rate"),
        ("5 mg/h", "not a rate but a dose rate"),
        ("5 units/h", "not a rate but a dose rate"),
        ("5 mL/kg/h", "not a rate but a rate by body weight"),
        ("5 °C", "not known"),
        ("5 degC", "is not a rate"),
        ("4294967.295 mL/h", "more than any pump can count"),
        ("5e40 mL/h", "more than any pump can count"),
    ],
)
def test_what_is_no_rate_is_told_with_an_example(text, said):
    with pytest.raises(orders.QuantityError) as caught:
        orders.parse_rate_ul_h(text)
    assert said in caught.value.what
    assert caught.value.remedy


@pytest.mark.parametrize("text", ["00:00", "1:75", "01:00:00", "-1:00", "1:5", "1.5:00"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(orders.QuantityError):
        orders.parse_duration_s(text)


@given(st.integers(1, 500_000))
def test_a_weight_is_the_same_in_kilograms_and_grams(grams):
    assert parse_weight_kg(f"{grams} g") == Fraction(grams, 1000)
    assert parse_weight_kg(f"{decimal_text(Fraction(grams, 1000))} kg") == Fraction(grams, 1000)


@pytest.mark.parametrize("text", ["70", "0 kg", "-70 kg", "154 lb", "70 mg", "70 mL", "70 kg/h"])
def test_what_is_no_weight_is_refused(text):
    with pytest.raises(orders.QuantityError):
        parse_weight_kg(text)


# -- concentrations --------------------------------------------------------------------------------


@given(
    st.sampled_from(sorted(IN_AMOUNTS)),
    st.sampled_from(sorted(VOLUME_UNITS)),
    st.integers(1, 10_000),
    st.integers(1, 5_000),
    st.sampled_from([" in ", "/", " / "]),
)
def test_a_concentration_is_an_amount_in_a_volume(unit, volume_unit, amount, volume, by):
    read = orders.parse_concentration(f"{amount} {unit}{by}{volume} {volume_unit}")
    volume_ml = volume * VOLUME_UNITS[volume_unit] / 1000
    assert read == orders.Concentration(amount * IN_AMOUNTS[unit] / volume_ml, AMOUNT_UNITS[unit])


@given(st.sampled_from(sorted(IN_AMOUNTS)), st.integers(1, 10**6), st.sampled_from(["/", " per "]))
def test_a_concentration_by_the_millilitre_needs_no_one(unit, hundredths, by):
    amount = Fraction(hundredths, 100)
    read = orders.parse_concentration(f"{decimal_text(amount)} {unit}{by}mL")
    assert read == orders.Concentration(amount * IN_AMOUNTS[unit], AMOUNT_UNITS[unit])
    assert orders.parse_concentration(str(read)) == read


@given(st.integers(1, 10_000))
def test_a_percent_is_a_gram_in_100_ml(hundredths):
    percent = decimal_text(Fraction(hundredths, 100))
    assert orders.parse_concentration(f"{percent} %") == orders.parse_concentration(
        f"{percent} g in 100 mL"
    )
    assert orders.parse_concentration(f"{percent}%").per_ml == Fraction(hundredths, 10)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("5", "is not a concentration"),
        ("5 mg", "is not a concentration"),
        ("mg/mL", "does not begin with a number"),
        ("0 mg/mL", "not above zero"),
        ("-5 mg/mL", "not above zero"),
        ("5 mg/0 mL", "not above zero"),
        ("0 %", "not above zero"),
        ("10 % / mL", "not known"),
        ("5 mmol/mL", "is not a concentration"),
        ("5 mg/h", "is not a concentration but a time"),
        ("5 mL/mg", "is not a concentration but a volume"),
        ("5 Mg/mL", "in megagrams"),
        ("5 kg/mL", "in kilograms"),
        ("5 U/mL", "a U is read as a nought"),
        ("5 mg/mL/h", "not a concentration"),
        ("5 mg in", "is not a concentration"),
    ],
)
def test_what_is_no_concentration_is_told(text, said):
    with pytest.raises(orders.QuantityError) as caught:
        orders.parse_concentration(text)
    assert said in caught.value.what
    assert caught.value.remedy


# -- doses -----------------------------------------------------------------------------------------

WEIGHTS = st.integers(500, 300_000).map(lambda grams: Fraction(grams, 1000))
POSITIVE = st.integers(1, 10**6).map(lambda hundredths: Fraction(hundredths, 100))


def nearest_count(exact: Fraction) -> int:
    """To the nearest whole, halves up."""
    return (2 * exact.numerator + exact.denominator) // (2 * exact.denominator)


def expected(exact: Fraction, read: orders.Figure) -> bool:
    """Whether a figure is the nearest count, and the last of its arithmetic the exact one."""
    result = read.arithmetic.rpartition(" = ")[2]
    shown, _, told = result.partition(", rounded to ")
    assert bool(told) == (exact.denominator != 1)
    assert read.exact == exact
    return read.count == nearest_count(exact) and Fraction(shown.split()[0]) * 1000 == exact


@given(st.sampled_from(sorted(IN_AMOUNTS)), POSITIVE, WEIGHTS, POSITIVE, st.booleans())
def test_a_dose_is_a_volume_by_concentration_and_weight(unit, dose, weight_kg, per_ml, by_weight):
    concentration = orders.Concentration(per_ml, AMOUNT_UNITS[unit])
    basis = orders.Basis(weight_kg, concentration)
    exact_ul = dose * IN_AMOUNTS[unit] / per_ml * 1000 * (weight_kg if by_weight else 1)
    text = f"{decimal_text(dose)} {unit}{'/kg' if by_weight else ''}"
    if 0 < nearest_count(exact_ul) < 0xFFFFFFFF:
        assert expected(exact_ul, orders.read_volume(text, basis))
    else:
        with pytest.raises(orders.QuantityError, match="count"):
            orders.read_volume(text, basis)


@given(
    st.sampled_from(sorted(IN_AMOUNTS)),
    st.sampled_from(sorted(HOURS)),
    POSITIVE,
    WEIGHTS,
    POSITIVE,
    st.sampled_from(["{}/{}", "{}/kg/{}", "{0}/{1}/kg", "{} per kg per {}"]),
)
def test_a_dose_rate_is_a_rate_by_concentration_and_weight(
    unit, time_unit, dose, weight_kg, per_ml, form
):
    concentration = orders.Concentration(per_ml, AMOUNT_UNITS[unit])
    basis = orders.Basis(weight_kg, concentration)
    exact_ul_h = dose * IN_AMOUNTS[unit] / per_ml * 1000 / HOURS[time_unit]
    if "kg" in form:
        exact_ul_h *= weight_kg
    text = f"{decimal_text(dose)} {form.format(unit, time_unit)}"
    if 0 < nearest_count(exact_ul_h) < 0xFFFFFFFF:
        assert expected(exact_ul_h, orders.read_rate(text, basis))
    else:
        with pytest.raises(orders.QuantityError, match="count"):
            orders.read_rate(text, basis)


@given(st.sampled_from(sorted(VOLUME_UNITS)), POSITIVE, WEIGHTS)
def test_a_volume_by_weight_takes_no_concentration(unit, volume, weight_kg):
    exact_ul = volume * VOLUME_UNITS[unit] * weight_kg
    text = f"{decimal_text(volume)} {unit}/kg"
    if 0 < nearest_count(exact_ul) < 0xFFFFFFFF:
        assert expected(exact_ul, orders.read_volume(text, orders.Basis(weight_kg)))
    else:
        with pytest.raises(orders.QuantityError, match="count"):
            orders.read_volume(text, orders.Basis(weight_kg))


# Figures of the therapies in use, worked out by hand.
@pytest.mark.parametrize(
    ("read", "text", "concentration", "weight_kg", "count", "arithmetic"),
    [
        ("volume", "1 g", "5 mg/mL", None, 200_000, "1 g / 5 mg/mL = 200 mL"),
        ("rate", "10 mg/min", "5 mg/mL", None, 120_000, "10 mg/min / 5 mg/mL = 120 mL/h"),
        (
            "volume",
            "400 mg/kg",
            "10 %",
            "70",
            280_000,
            "400 mg/kg × 70 kg / 100 mg/mL = 280 mL",
        ),
        ("rate", "0.5 mL/kg/h", "10 %", "70", 35_000, "0.5 mL/kg/h × 70 kg = 35 mL/h"),
        ("rate", "0.01 mL/kg/min", None, "70", 42_000, "0.01 mL/kg/min × 70 kg = 42 mL/h"),
        (
            "rate",
            "5 mcg/kg/min",
            "400 mg in 250 mL",
            "70",
            13_125,
            "5 mcg/kg/min × 70 kg / 1.6 mg/mL = 13.125 mL/h",
        ),
        (
            "rate",
            "18 units/kg/h",
            "25000 units in 250 mL",
            "68.5",
            12_330,
            "18 units/kg/h × 68.5 kg / 100 units/mL = 12.33 mL/h",
        ),
        (
            "rate",
            "12.5 mg/h",
            "8 mg/mL",
            None,
            1_563,
            "12.5 mg/h / 8 mg/mL = 1.5625 mL/h, rounded to 1.563 mL/h",
        ),
        (
            "volume",
            "1 g",
            "30 mg/mL",
            None,
            33_333,
            "1 g / 30 mg/mL = 100/3 mL, rounded to 33.333 mL",
        ),
        ("volume", "10 mL", "5 mg/mL", "70", 10_000, ""),
        ("rate", "5 mL/h", None, None, 5_000, ""),
    ],
)
def test_the_arithmetic_of_a_dose_can_be_followed(
    read, text, concentration, weight_kg, count, arithmetic
):
    basis = orders.Basis(
        Fraction(weight_kg) if weight_kg else None,
        orders.parse_concentration(concentration) if concentration else None,
    )
    reads = {"volume": orders.read_volume, "rate": orders.read_rate}
    found = reads[read](text, basis)
    assert (found.count, found.arithmetic) == (count, arithmetic)


@given(st.integers(1, 10**7))
def test_rounding_is_to_the_nearest_with_halves_up(halves):
    count, text = rounded(Fraction(halves, 2), is_rate=False)
    assert count == (halves + 1) // 2
    assert ("rounded" in text) == bool(halves % 2)


@pytest.mark.parametrize(
    ("read", "text", "basis", "said"),
    [
        (orders.read_volume, "1 g", orders.Basis(), "takes a concentration to be a volume"),
        (orders.read_rate, "1 mg/h", orders.Basis(), "takes a concentration to be a rate"),
        (orders.read_volume, "1 mL/kg", orders.Basis(), "by body weight, and there is none"),
        (orders.read_rate, "1 mL/kg/h", orders.Basis(), "by body weight, and there is none"),
        (
            orders.read_volume,
            "5 units",
            orders.Basis(None, orders.Concentration(Fraction(5), "mg")),
            "is in units, and the drug is in mg",
        ),
        (
            orders.read_rate,
            "5 mg/h",
            orders.Basis(None, orders.Concentration(Fraction(5), "units")),
            "is in mg, and the drug is in units",
        ),
        (orders.read_volume, "5 mg/h", orders.Basis(), "is not a volume but a dose rate"),
        (orders.read_rate, "5 mg/kg", orders.Basis(), "is not a rate but a dose by body weight"),
        (orders.read_volume, "5 mg/mL", orders.Basis(), "is not a volume but a concentration"),
        (orders.read_rate, "5 mL/mL", orders.Basis(), "is not a rate"),
        (orders.read_volume, "1.0004 mL", orders.Basis(), "counts whole µL"),
        (orders.read_volume, "5 kg", orders.Basis(), "in kilograms, which orders do not use"),
        (orders.read_volume, "5 mg/g", orders.Basis(), "in grams, which orders do not use"),
        (orders.read_volume, "5 mg/lb", orders.Basis(), "in pounds, which orders do not use"),
        (
            orders.read_volume,
            "1 ng",
            orders.Basis(None, orders.Concentration(Fraction(5), "mg")),
            "comes to less than the 1 µL",
        ),
        (
            orders.read_volume,
            "9e9 g",
            orders.Basis(None, orders.Concentration(Fraction(5), "mg")),
            "more than any pump can count",
        ),
    ],
)
def test_what_is_no_dose_is_told(read, text, basis, said):
    with pytest.raises(orders.QuantityError) as caught:
        read(text, basis)
    assert said in caught.value.what
    assert caught.value.remedy
