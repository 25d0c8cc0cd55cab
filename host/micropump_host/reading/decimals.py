"""Exact figures as a pump holds them: a mantissa and a power of ten."""

from fractions import Fraction

from micropump.library import GREATEST_EXPONENT, GREATEST_MANTISSA


def decimal_parts(value: Fraction) -> tuple[int, int] | None:
    """Return mantissa and exponent of a positive value, as a pump holds it.

    ``value`` is mantissa · 10^exponent; the mantissa has no trailing noughts and 32 bits at most,
    the exponent is within ±12. None where there are no such two.
    """
    mantissa, exponent = value, 0
    while mantissa.denominator != 1 and exponent > -GREATEST_EXPONENT:
        mantissa, exponent = mantissa * 10, exponent - 1
    if mantissa.denominator != 1 or mantissa <= 0:
        return None
    count = mantissa.numerator
    while count % 10 == 0:
        count, exponent = count // 10, exponent + 1
    if count > GREATEST_MANTISSA or abs(exponent) > GREATEST_EXPONENT:
        return None
    return count, exponent
