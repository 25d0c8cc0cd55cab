"""Rates, volumes and times as people write them, to the whole µL/h, µL and s that the pump counts.

The number is read as an exact fraction and pint converts the unit exactly, so "0.7 mL/h" is 700
µL/h and nothing beside it; what is no whole count is an error that names the nearest one.
"""

import functools
import re
from fractions import Fraction
from typing import TYPE_CHECKING

from micropump_host.errors import MicropumpError

if TYPE_CHECKING:
    import pint

# Counts travel as 32-bit numbers whose greatest has a meaning of its own (therapy.KVO_BY_RULE).
_GREATEST_COUNT = 0xFFFFFFFE

_LONGEST_TEXT = 60
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,2}(?![0-9]))?")
# A unit, or one by another: pint reads far more, and not all of it in a bounded time.
_UNIT = re.compile(r"[A-Za-zµμ]+(?:\^3|³)?(?:(?: */ *| per )[A-Za-zµμ]+)?")
_CLOCK_TIME = re.compile(r"([0-9]{1,3}):([0-5][0-9])")

# What an order may be written in. pint also knows the hectohour (hh), the megalitre (ML) and the
# megasecond (Ms), and a slip of the finger shall not be a rate of its own.
_UNIT_NAMES = frozenset(
    (
        *("liter", "deciliter", "centiliter", "milliliter", "microliter", "nanoliter"),
        *("cubic_centimeter", "centimeter", "millimeter"),
        *("day", "hour", "minute", "second"),
    )
)

_RATE = ("µL/h", "a rate", '"5 mL/h"')
_VOLUME = ("µL", "a volume", '"10 mL"')
_DURATION = ("s", "a time", '"2 h" or "02:00"')
_KINDS = (_RATE, _VOLUME, _DURATION)


class QuantityError(MicropumpError):
    """A text is not the quantity it should be; ``where`` is empty, the caller knows it."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what, "", remedy)


def parse_rate_ul_h(text: str) -> int:
    """Read a rate, any volume by any time, as whole µL/h.

    Raises:
        QuantityError: if it is not a positive whole number of µL/h.

    """
    return _whole(text, _RATE)


def parse_volume_ul(text: str) -> int:
    """Read a volume as whole µL.

    Raises:
        QuantityError: if it is not a positive whole number of µL.

    """
    return _whole(text, _VOLUME)


def parse_duration_s(text: str) -> int:
    """Read a time, with a unit or as hours and minutes ("01:40"), as whole seconds.

    Raises:
        QuantityError: if it is not a positive whole number of seconds.

    """
    clock_time = _CLOCK_TIME.fullmatch(text.strip())
    if clock_time is None:
        return _whole(text, _DURATION)
    duration_s = int(clock_time[1]) * 3600 + int(clock_time[2]) * 60
    if duration_s == 0:
        raise _not_positive(text, _DURATION)
    return duration_s


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


def _thousandths(count: int) -> str:
    whole, rest = divmod(count, 1000)
    return f"{whole}.{rest:03d}".rstrip("0").rstrip(".")


def _whole(text: str, wanted: tuple[str, str, str]) -> int:
    count = _converted(text, wanted)
    if count <= 0:
        raise _not_positive(text, wanted)
    if count > _GREATEST_COUNT:
        raise QuantityError(
            f'"{text}" is more than any pump can count', f"Check the unit and write {_like(wanted)}"
        )
    if count.denominator != 1:
        raise _between_counts(text, count, wanted)
    return count.numerator


def _converted(text: str, wanted: tuple[str, str, str]) -> Fraction:
    unit, _, _ = wanted
    number_text, unit_text = _split(text, wanted)
    quantity = _registry().Quantity(Fraction(number_text), _unit(text, unit_text, wanted))
    if not quantity.is_compatible_with(unit):
        raise _wrong_dimension(text, quantity, wanted)
    for name, _ in quantity.unit_items():
        if name not in _UNIT_NAMES:
            raise QuantityError(
                f'"{text}" is in {name}s, which orders do not use', f"Write {_like(wanted)}"
            )
    return Fraction(quantity.to(unit).magnitude)


def _split(text: str, wanted: tuple[str, str, str]) -> tuple[str, str]:
    stripped = text.strip()
    number = _NUMBER.match(stripped)
    if number is None or len(stripped) > _LONGEST_TEXT:
        raise QuantityError(
            f'"{text[:_LONGEST_TEXT]}" does not begin with a number', f"Write {_like(wanted)}"
        )
    unit_text = stripped[number.end() :].strip()
    if unit_text.startswith(","):
        raise QuantityError(
            f'"{text}" has a comma in its number', "Write a decimal point and no thousands mark"
        )
    if not unit_text:
        raise QuantityError(f'"{text}" has no unit', f"Write {_like(wanted)}")
    return number[0], unit_text


def _unit(text: str, unit_text: str, wanted: tuple[str, str, str]) -> "pint.Unit":
    from pint.errors import UndefinedUnitError  # noqa: PLC0415  pint is slow to import

    if _UNIT.fullmatch(unit_text):
        try:
            return _registry().parse_units(unit_text)
        except UndefinedUnitError:
            pass
    raise QuantityError(f'"{text}": the unit "{unit_text}" is not known', f"Write {_like(wanted)}")


def _wrong_dimension(
    text: str, quantity: "pint.Quantity[Fraction]", wanted: tuple[str, str, str]
) -> QuantityError:
    found = next((name for unit, name, _ in _KINDS if quantity.is_compatible_with(unit)), "")
    also = f" but {found}" if found else ""
    return QuantityError(f'"{text}" is not {wanted[1]}{also}', f"Write {_like(wanted)}")


def _not_positive(text: str, wanted: tuple[str, str, str]) -> QuantityError:
    return QuantityError(f'"{text}" is not above zero', f"Write {_like(wanted)}")


def _between_counts(text: str, count: Fraction, wanted: tuple[str, str, str]) -> QuantityError:
    unit, _, _ = wanted
    nearest = max(1, round(count))
    nearest_text = f"{nearest} s" if wanted is _DURATION else f"{_thousandths(nearest)} m{unit[1:]}"
    return QuantityError(
        f'"{text}" is {float(count):.10g} {unit}, and the pump counts whole {unit}',
        f'The nearest that it can do is "{nearest_text}"',
    )


def _like(wanted: tuple[str, str, str]) -> str:
    _, name, example = wanted
    return f"{name} with its unit, like {example}"


@functools.cache
def _registry() -> "pint.UnitRegistry[Fraction]":
    import pint  # noqa: PLC0415  it takes a third of a second, which only an order needs

    return pint.UnitRegistry(non_int_type=Fraction)
