"""Figures of a library: from text to exact counts in the base of their unit, and back."""

from fractions import Fraction

from micropump_host.library.model import (
    HOURS,
    MASS,
    TIME,
    UNITS,
    VOLUME,
    DrugConcentration,
    LimitUnit,
)
from micropump_host.reading import quantity
from micropump_host.reading.decimals import decimal_parts
from micropump_host.reading.dosage import parse_concentration
from micropump_host.reading.quantity import (
    DURATION,
    Quantity,
    QuantityError,
    Wanted,
    duration_text,
    exact_text,
    parse_duration_s,
    read_quantity,
)

_AMOUNTS = (quantity.VOLUME, quantity.MASS, quantity.UNITS)
_BY_TIME = ((quantity.TIME,), (quantity.MASS, quantity.TIME))

RATE = Wanted("", "a rate", '"2 mg/h"', frozenset((of, by) for of in _AMOUNTS for by in _BY_TIME))
AMOUNT = Wanted(
    "",
    "an amount",
    '"5 mg" or "15 mg/kg"',
    frozenset((of, by) for of in _AMOUNTS for by in ((), (quantity.MASS,))),
)
WANTED = {
    "rate": RATE,
    "dose": AMOUNT,
    "bolus": AMOUNT,
    "demand": AMOUNT,
    "loading": AMOUNT,
    "duration": DURATION,
    "daily": AMOUNT,
    "lockout": DURATION,
    "window_1h": AMOUNT,
    "window_4h": AMOUNT,
    "kvo": RATE,
}

# What a quantity's mg and units come to in the base of a limit's unit.
_OF = {
    quantity.VOLUME: (VOLUME, 1),
    quantity.MASS: (MASS, 1_000_000),
    quantity.UNITS: (UNITS, 1_000),
    quantity.TIME: (TIME, 1),
}
_PER_TIME = {"": "", "minute": "min", "hour": "h", "day": "day"}
_BY_CONCENTRATION = {"mg": (MASS, 1_000_000), "units": (UNITS, 1_000)}

# What people write, from the greatest down; how many of the base it is.
_WRITTEN = {
    VOLUME: (("mL", 1_000), ("µL", 1)),
    MASS: (("g", 10**9), ("mg", 10**6), ("mcg", 10**3), ("ng", 1)),
    UNITS: (("units", 1_000), ("milliunits", 1)),
}


def read_figure(text: str, wanted: Wanted) -> tuple[Fraction, LimitUnit]:
    """Read a limit's figure.

    Args:
        text: as "2 mg/h", "15 mg/kg" or "60 min".
        wanted: one of ``WANTED``.

    Returns:
        Its value in the base of its unit, exactly, and that unit.

    Raises:
        QuantityError: if it is none, or if a pump cannot hold it.

    """
    if wanted is DURATION:
        value, unit = Fraction(parse_duration_s(text)), LimitUnit(TIME)
    else:
        value, unit = _based(read_quantity(text, wanted))
    check_held(text, value)
    return value, unit


def read_concentration(text: str) -> DrugConcentration:
    """Read a concentration, as "5 mg/mL", "100 units/mL" or "400 mg in 500 mL".

    Raises:
        QuantityError: if it is none, or if a pump cannot hold it.

    """
    read = parse_concentration(text)
    amount, times = _BY_CONCENTRATION[read.unit]
    check_held(text, read.per_ml * times)
    return DrugConcentration(read.per_ml * times, amount, " ".join(text.split()))


def read_dosing(text: str) -> LimitUnit:
    """Read the unit of a rate, as "mcg/kg/min".

    Raises:
        QuantityError: if it is none.

    """
    if text[:1].isdigit():
        raise QuantityError(f'"{text}" is a figure, not a unit', 'Write the unit alone: "mg/h"')
    try:
        return _based(read_quantity(f"1 {text}", RATE))[1]
    except QuantityError as error:
        what = error.what.replace(f'"1 {text}"', f'"{text}"', 1)
        raise QuantityError(what, 'Write the unit of a rate, like "mg/h"') from None


def check_held(text: str, value: Fraction) -> None:
    """Raise QuantityError if a pump cannot hold ``value`` exactly."""
    if decimal_parts(value) is None:
        raise QuantityError(
            f'"{text}" cannot be held exactly: a pump keeps nine digits and a power of ten',
            "Write it with fewer digits",
        )


def figure_text(value: Fraction, unit: LimitUnit) -> str:
    """Write a value in the greatest unit in which it is not below one: "2.5 mg/h"."""
    if unit.amount == TIME:
        return duration_text(int(value))
    written = _WRITTEN[unit.amount]
    name, times = next((pair for pair in written if value >= pair[1]), written[-1])
    return f"{exact_text(value / times)} {name}{unit.divisor}"


def concentration_text(per_ml: Fraction, amount: str) -> str:
    """Write a concentration: "5 mg/mL"."""
    return f"{figure_text(per_ml, LimitUnit(amount))}/mL"


def by_hour(value: Fraction, unit: LimitUnit) -> Fraction:
    """Return a rate's value by the hour, and any other as it is."""
    return value / HOURS[unit.per_time] if unit.per_time else value


def _based(read: Quantity) -> tuple[Fraction, LimitUnit]:
    if read.per_time not in _PER_TIME:
        raise QuantityError(
            f'"{read.text}" goes by the {read.per_time}', "Write rates by min, h or day"
        )
    amount, times = _OF[read.of]
    unit = LimitUnit(amount, quantity.MASS in read.by, _PER_TIME[read.per_time])
    value = read.value * times
    return (value * HOURS[unit.per_time] if unit.per_time else value), unit
