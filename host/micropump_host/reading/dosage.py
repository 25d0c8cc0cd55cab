"""Volumes and rates that are prescribed as a dose: by mass or units, and by body weight.

A mass is divided by the drug's concentration, a figure by body weight is multiplied by it, all in
exact fractions, and rounded once, at the end, to the whole µL or µL/h that the pump counts. How a
figure came about is kept as a line of text for the screen.
"""

import re
from dataclasses import dataclass
from fractions import Fraction

from micropump.units import rounded_ratio
from micropump_host.reading.quantity import (
    MASS,
    RATE,
    TIME,
    UNITS,
    VOLUME,
    VOLUME_ALONE,
    Quantity,
    QuantityError,
    Wanted,
    check_countable,
    exact_text,
    rate_text,
    read_quantity,
    volume_text,
    whole,
)

AMOUNT_UNITS = {MASS: "mg", UNITS: "units"}

_AMOUNTS = (VOLUME, MASS, UNITS)
_ANY_VOLUME = Wanted(
    "µL", "a volume", '"10 mL"', frozenset((of, by) for of in _AMOUNTS for by in ((), (MASS,)))
)
_ANY_RATE = Wanted(
    "µL/h",
    "a rate",
    '"5 mL/h"',
    frozenset((of, by) for of in _AMOUNTS for by in ((TIME,), (MASS, TIME))),
)
_LIKE_CONCENTRATION = '"5 mg/mL", "100 units/mL", "10 %" or "400 mg in 500 mL"'
_AMOUNT = Wanted("mg", "a concentration", _LIKE_CONCENTRATION, frozenset(((MASS, ()), (UNITS, ()))))
_DILUENT = Wanted("µL", "a concentration", _LIKE_CONCENTRATION, VOLUME_ALONE.shapes)
_CONCENTRATION = re.compile(r"(.+?)(?: */ *| per | in )(.+)")
_PERCENT = re.compile(r"(.+?) *%")


class MissingBasisError(QuantityError):
    """A figure takes the concentration or the body weight, and there is none.

    Attributes:
        section, key: which, as the order file names it.

    """

    def __init__(self, what: str, section: str, key: str, example: str) -> None:
        self.section = section
        self.key = key
        super().__init__(what, f'Write {key} = "{example}" under [{section}]')


@dataclass(frozen=True)
class Concentration:
    """How much of a drug is in a millilitre.

    Attributes:
        per_ml: mg or units in one mL, exactly.
        unit: "mg" or "units".

    """

    per_ml: Fraction
    unit: str

    def __str__(self) -> str:
        """As "5 mg/mL"."""
        return f"{exact_text(self.per_ml)} {self.unit}/mL"

    def amount(self, volume_ul: int) -> Fraction:
        """Return what is in a volume, in ``unit``."""
        return self.per_ml * volume_ul / 1000


@dataclass(frozen=True)
class Basis:
    """What doses are worked out with.

    Attributes:
        weight_kg: the patient's weight, or None.
        concentration: the drug's, or None.

    """

    weight_kg: Fraction | None = None
    concentration: Concentration | None = None


@dataclass(frozen=True)
class Figure:
    """A volume in µL or a rate in µL/h, and how it came about.

    Attributes:
        count: whole µL or µL/h; 0 where it could not be read.
        exact: the same before it was rounded.
        arithmetic: as "1 g / 5 mg/mL = 200 mL"; empty where it was written as it is.

    """

    count: int
    exact: Fraction
    arithmetic: str = ""


NO_FIGURE = Figure(0, Fraction(0))


def parse_concentration(text: str) -> Concentration:
    """Read "5 mg/mL", "100 units/mL", "10 %" (10 g in 100 mL) or "400 mg in 500 mL".

    Raises:
        QuantityError: if it is none of these.

    """
    if percent := _PERCENT.fullmatch(text.strip()):
        grams = read_quantity(f"{percent[1]} g", _AMOUNT)
        return Concentration(grams.value / 100, AMOUNT_UNITS[MASS])
    parts = _CONCENTRATION.fullmatch(text.strip())
    if parts is None:
        raise QuantityError(f'"{text}" is not a concentration', _AMOUNT.remedy)
    amount = read_quantity(parts[1], _AMOUNT)
    diluent_text = parts[2] if parts[2][0].isdigit() else f"1 {parts[2]}"
    diluent = read_quantity(diluent_text, _DILUENT)
    return Concentration(amount.value / diluent.value * 1000, AMOUNT_UNITS[amount.of])


def read_volume(text: str, basis: Basis) -> Figure:
    """Read a volume, or the volume of a dose.

    Args:
        text: as "200 mL", "1 g", "400 mg/kg", "5 units/kg" or "3 mL/kg".
        basis: what a dose is worked out with.

    Raises:
        MissingBasisError: if it takes a concentration or weight that is not there.
        QuantityError: if it is no volume, or a plain one that is no whole number of µL.

    """
    return _read(text, _ANY_VOLUME, basis)


def read_rate(text: str, basis: Basis) -> Figure:
    """Read a rate, or the rate of a dose rate.

    Args:
        text: as "5 mL/h", "5 mg/h", "0.1 mcg/kg/min", "18 units/kg/h" or "0.5 mL/kg/h".
        basis: what a dose rate is worked out with.

    Raises:
        MissingBasisError: if it takes a concentration or weight that is not there.
        QuantityError: if it is no rate, or a plain one that is no whole number of µL/h.

    """
    return _read(text, _ANY_RATE, basis)


def rounded(exact: Fraction, is_rate: bool) -> tuple[int, str]:
    """Return the nearest whole µL or µL/h, halves up, and its text, which tells of the rounding."""
    count = rounded_ratio(exact.numerator, exact.denominator)
    text = rate_text(count) if is_rate else volume_text(count)
    if count == exact:
        return count, text
    unit = "mL/h" if is_rate else "mL"
    return count, f"{exact_text(exact / 1000)} {unit}, rounded to {text}"


def _read(text: str, wanted: Wanted, basis: Basis) -> Figure:
    quantity = read_quantity(text, wanted)
    is_rate = wanted is _ANY_RATE
    if quantity.of == VOLUME and MASS not in quantity.by:
        count = whole(quantity, RATE if is_rate else VOLUME_ALONE)
        return Figure(count, quantity.value)
    exact, steps = quantity.value, [quantity.text]
    if MASS in quantity.by:
        exact *= _weight_kg(quantity, basis)
        steps.append(f"× {exact_text(_weight_kg(quantity, basis))} kg")
    if quantity.of != VOLUME:
        concentration = _concentration(quantity, wanted, basis)
        exact *= 1000 / concentration.per_ml
        steps.append(f"/ {concentration}")
    check_countable(quantity.text, exact)
    count, result = rounded(exact, is_rate)
    if count == 0:
        what = f'"{quantity.text}" comes to less than the 1 {wanted.unit} that the pump counts'
        raise QuantityError(what, "Check the figure, the concentration and the weight")
    return Figure(count, exact, f"{' '.join(steps)} = {result}")


def _weight_kg(quantity: Quantity, basis: Basis) -> Fraction:
    if basis.weight_kg is None:
        what = f'"{quantity.text}" is by body weight, and there is none'
        raise MissingBasisError(what, "patient", "weight", "70 kg")
    return basis.weight_kg


def _concentration(quantity: Quantity, wanted: Wanted, basis: Basis) -> Concentration:
    unit = AMOUNT_UNITS[quantity.of]
    concentration = basis.concentration
    if concentration is None:
        what = f'"{quantity.text}" takes a concentration to be {wanted.name}, and there is none'
        raise MissingBasisError(what, "drug", "concentration", f"5 {unit}/mL")
    if concentration.unit != unit:
        what = f'"{quantity.text}" is in {unit}, and the drug is in {concentration.unit}'
        raise QuantityError(what, f"Write both in {unit}, or both in {concentration.unit}")
    return concentration
