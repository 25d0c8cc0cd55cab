"""Figures as people write them, "5 mL/h" or "0.1 mcg/kg/min", read exactly.

The number is read as an exact fraction and pint converts each unit exactly, so "0.7 mL/h" is 700
µL/h and nothing beside it. A plain rate, volume or time that is no whole count of what the pump
counts is an error that names the nearest one; what takes a concentration or a body weight is in
``dosage``.
"""

import functools
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from micropump_host.errors import MicropumpError

if TYPE_CHECKING:
    import pint

# Counts travel as 32-bit numbers whose greatest has a meaning of its own (therapy.KVO_BY_RULE).
GREATEST_COUNT = 0xFFFFFFFE

VOLUME = "volume"
MASS = "mass"
UNITS = "units"
TIME = "time"

_LONGEST_TEXT = 60
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,2}(?![0-9]))?")
# A unit by up to two others: pint reads far more, and not all of it in a bounded time.
_BY = re.compile(r" */ *| per ")
_UNIT = re.compile(r"[A-Za-zµμ]+(?:\^3|³)?(?:(?: */ *| per )[A-Za-zµμ]+){0,2}")
_CLOCK_TIME = re.compile(r"([0-9]{1,3}):([0-5][0-9])")

# dimension -> what a figure of it is counted in, and per what one that is divided by it.
_COUNTED = {
    VOLUME: ("microliter", "milliliter"),
    MASS: ("milligram", "kilogram"),
    UNITS: ("international_unit", "international_unit"),
    TIME: ("second", "hour"),
}

# What an order may be written in. pint also knows the hectohour (hh), the megalitre (ML) and the
# megagram (Mg), and a slip of the finger shall not be a figure of its own.
_DRUG_MASSES = frozenset(("gram", "milligram", "microgram", "nanogram"))
_BODY_MASSES = frozenset(("kilogram", "gram"))
_BY_MASSES = frozenset(("kilogram",))
_NAMES = {
    VOLUME: frozenset(
        (
            *("liter", "deciliter", "centiliter", "milliliter", "microliter", "nanoliter"),
            *("cubic_centimeter", "centimeter", "millimeter"),
        )
    ),
    MASS: _DRUG_MASSES,
    UNITS: frozenset(("international_unit", "milliinternational_unit")),
    TIME: frozenset(("day", "hour", "minute", "second")),
}

_SHAPE_NAMES = {
    (VOLUME, ()): "a volume",
    (VOLUME, (TIME,)): "a rate",
    (VOLUME, (MASS,)): "a volume by body weight",
    (VOLUME, (MASS, TIME)): "a rate by body weight",
    (MASS, ()): "a mass",
    (MASS, (TIME,)): "a dose rate",
    (MASS, (MASS,)): "a dose by body weight",
    (MASS, (MASS, TIME)): "a dose rate by body weight",
    (MASS, (VOLUME,)): "a concentration",
    (UNITS, ()): "a number of units",
    (UNITS, (TIME,)): "a dose rate",
    (UNITS, (MASS,)): "a dose by body weight",
    (UNITS, (MASS, TIME)): "a dose rate by body weight",
    (UNITS, (VOLUME,)): "a concentration",
    (TIME, ()): "a time",
}
Shape = tuple[str, tuple[str, ...]]


@dataclass(frozen=True)
class Wanted:
    """What a figure should be.

    Attributes:
        unit: what the order counts it in.
        name: what to call it, with its article.
        example: one, in quotes.
        shapes: dimension, and the dimensions that it is divided by, in the order of the alphabet.

    """

    unit: str
    name: str
    example: str
    shapes: frozenset[Shape]

    @property
    def remedy(self) -> str:
        """What to write instead."""
        return f"Write {self.name} with its unit, like {self.example}"


@dataclass(frozen=True)
class Quantity:
    """A figure as it was written, read exactly.

    Attributes:
        text: as written, without blanks around it.
        value: in µL, mg, units or s; by mL, kg or h where it is divided.
        of: ``VOLUME``, ``MASS``, ``UNITS`` or ``TIME``.
        by: the dimensions that it is divided by, in the order of the alphabet.
        per_time: the unit of time that it is divided by, "hour", "minute" …, or empty.

    """

    text: str
    value: Fraction
    of: str
    by: tuple[str, ...]
    per_time: str = ""


RATE = Wanted("µL/h", "a rate", '"5 mL/h"', frozenset(((VOLUME, (TIME,)),)))
VOLUME_ALONE = Wanted("µL", "a volume", '"10 mL"', frozenset(((VOLUME, ()),)))
DURATION = Wanted("s", "a time", '"2 h" or "02:00"', frozenset(((TIME, ()),)))
WEIGHT = Wanted("kg", "a body weight", '"70 kg"', frozenset(((MASS, ()),)))


class QuantityError(MicropumpError):
    """A text is not the quantity it should be; ``where`` is empty, the caller knows it."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what, "", remedy)


def parse_rate_ul_h(text: str) -> int:
    """Read a rate, any volume by any time, as whole µL/h.

    Raises:
        QuantityError: if it is not a positive whole number of µL/h.

    """
    return whole(read_quantity(text, RATE), RATE)


def parse_volume_ul(text: str) -> int:
    """Read a volume as whole µL.

    Raises:
        QuantityError: if it is not a positive whole number of µL.

    """
    return whole(read_quantity(text, VOLUME_ALONE), VOLUME_ALONE)


def parse_duration_s(text: str) -> int:
    """Read a time, with a unit or as hours and minutes ("01:40"), as whole seconds.

    Raises:
        QuantityError: if it is not a positive whole number of seconds.

    """
    clock_time = _CLOCK_TIME.fullmatch(text.strip())
    if clock_time is None:
        return whole(read_quantity(text, DURATION), DURATION)
    duration_s = int(clock_time[1]) * 3600 + int(clock_time[2]) * 60
    if duration_s == 0:
        raise _not_positive(text, DURATION)
    return duration_s


def parse_weight_kg(text: str) -> Fraction:
    """Read a body weight in kg or g, exactly, as kg.

    Raises:
        QuantityError: if it is no positive weight.

    """
    return read_quantity(text, WEIGHT).value / 1_000_000


def read_quantity(text: str, wanted: Wanted) -> Quantity:
    """Read a positive figure of one of the wanted shapes.

    Raises:
        QuantityError: if it is none.

    """
    number_text, unit_text = _split(text, wanted)
    units = _units(text, unit_text, wanted)
    shape = (units[0].dimension, tuple(sorted(unit.dimension for unit in units[1:])))
    if shape not in wanted.shapes:
        raise _wrong_dimension(text, _SHAPE_NAMES.get(shape, ""), wanted)
    value = Fraction(number_text) * units[0].counted
    allowed = {MASS: _DRUG_MASSES} if wanted is not WEIGHT else {MASS: _BODY_MASSES}
    _check_unit(text, units[0], allowed, wanted)
    for unit in units[1:]:
        _check_unit(text, unit, {MASS: _BY_MASSES}, wanted)
        value /= unit.counted_by
    if value <= 0:
        raise _not_positive(text, wanted)
    per_time = "".join(unit.name for unit in units[1:] if unit.dimension == TIME)
    return Quantity(text.strip(), value, *shape, per_time)


def whole(quantity: Quantity, wanted: Wanted) -> int:
    """Return what the pump counts for a plain rate, volume or time.

    Raises:
        QuantityError: if that is no whole count, or more than it can count.

    """
    check_countable(quantity.text, quantity.value)
    if quantity.value.denominator != 1:
        raise _between_counts(quantity, wanted)
    return quantity.value.numerator


def check_countable(text: str, count: Fraction) -> None:
    """Raise QuantityError if ``count`` does not fit into the numbers of the wire."""
    if count > GREATEST_COUNT:
        raise QuantityError(f'"{text}" is more than any pump can count', "Check number and unit")


def rate_text(rate_ul_h: int) -> str:
    """Write a rate as mL/h with the digits it needs: "5 mL/h", "0.25 mL/h"."""
    return f"{_thousandths(rate_ul_h)} mL/h"


def volume_text(volume_ul: int) -> str:
    """Write a volume as mL with the digits it needs: "10 mL", "0.5 mL"."""
    return f"{_thousandths(volume_ul)} mL"


def duration_text(duration_s: int) -> str:
    """Write a time as hours and minutes, "01:40", with seconds where there are any, "01:40:30"."""
    minutes, seconds = divmod(duration_s, 60)
    text = f"{minutes // 60:02d}:{minutes % 60:02d}"
    return f"{text}:{seconds:02d}" if seconds else text


def exact_text(value: Fraction) -> str:
    """Write a number exactly: with up to nine decimals, "2.5", or else as "200/3"."""
    for decimals in range(10):
        count = value * 10**decimals
        if count.denominator == 1:
            digits = str(count.numerator).rjust(decimals + 1, "0")
            return f"{digits[:-decimals]}.{digits[-decimals:]}" if decimals else digits
    return f"{value.numerator}/{value.denominator}"


def _thousandths(count: int) -> str:
    return exact_text(Fraction(count, 1000))


def _split(text: str, wanted: Wanted) -> tuple[str, str]:
    stripped = text.strip()
    number = _NUMBER.match(stripped)
    if number is None or len(stripped) > _LONGEST_TEXT:
        raise QuantityError(f'"{text[:_LONGEST_TEXT]}" does not begin with a number', wanted.remedy)
    unit_text = stripped[number.end() :].strip()
    if unit_text.startswith(","):
        raise QuantityError(
            f'"{text}" has a comma in its number', "Write a decimal point and no thousands mark"
        )
    if not unit_text:
        raise QuantityError(f'"{text}" has no unit', wanted.remedy)
    return number[0], unit_text


def _units(text: str, unit_text: str, wanted: Wanted) -> "list[_Unit]":
    """Return the unit of a figure, and those that it is divided by."""
    units: list[_Unit] = []
    if _UNIT.fullmatch(unit_text):
        for word in _BY.split(unit_text):
            if word in ("U", "u"):
                raise QuantityError(f'"{text}": a U is read as a nought', 'Write "units" in full')
            if unit := _unit(word):
                units.append(unit)
        if len(units) == len(_BY.split(unit_text)):
            return units
    raise QuantityError(f'"{text}": the unit "{unit_text}" is not known', wanted.remedy)


def _check_unit(
    text: str, unit: "_Unit", allowed: dict[str, frozenset[str]], wanted: Wanted
) -> None:
    """Refuse a unit that is of the right dimension and yet nothing that orders are written in."""
    if unit.name not in allowed.get(unit.dimension, _NAMES[unit.dimension]):
        raise QuantityError(f'"{text}" is in {unit.name}s, which orders do not use', wanted.remedy)


def _wrong_dimension(text: str, found: str, wanted: Wanted) -> QuantityError:
    also = f" but {found}" if found else ""
    return QuantityError(f'"{text}" is not {wanted.name}{also}', wanted.remedy)


def _not_positive(text: str, wanted: Wanted) -> QuantityError:
    return QuantityError(f'"{text}" is not above zero', wanted.remedy)


def _between_counts(quantity: Quantity, wanted: Wanted) -> QuantityError:
    unit = wanted.unit
    nearest = max(1, round(quantity.value))
    nearest_text = f"{nearest} s" if wanted is DURATION else f"{_thousandths(nearest)} m{unit[1:]}"
    return QuantityError(
        f'"{quantity.text}" is {float(quantity.value):.10g} {unit}, '
        f"and the pump counts whole {unit}",
        f'The nearest that it can do is "{nearest_text}"',
    )


@functools.cache
def _registry() -> "pint.UnitRegistry[Fraction]":
    import pint  # noqa: PLC0415  it takes a third of a second, which only an order needs

    registry: pint.UnitRegistry[Fraction] = pint.UnitRegistry(non_int_type=Fraction)
    registry.define("international_unit = [international_unit] = IU = unit")
    return registry


@dataclass(frozen=True)
class _Unit:
    """One unit: pint's name of it, its dimension ("" for none of ours), and what it comes to."""

    name: str
    dimension: str = ""
    counted: Fraction = Fraction(1)
    counted_by: Fraction = Fraction(1)


@functools.cache
def _unit(word: str) -> _Unit | None:
    """Return the unit that a word stands for; None where pint knows none."""
    from pint.errors import UndefinedUnitError  # noqa: PLC0415  pint is slow to import

    try:
        quantity = _registry().Quantity(Fraction(1), _registry().parse_units(word))
    except UndefinedUnitError:
        return None
    (name,) = (name for name, _ in quantity.unit_items())
    for dimension, (counted, counted_by) in _COUNTED.items():
        if quantity.is_compatible_with(counted):
            return _Unit(
                name,
                dimension,
                Fraction(quantity.to(counted).magnitude),
                Fraction(quantity.to(counted_by).magnitude),
            )
    return _Unit(name)
