"""What a pump found in a program, in the units in which it was prescribed."""

from collections.abc import Mapping

from micropump import library as board
from micropump_host.client import Finding as PumpFinding
from micropump_host.library.changes import KIND_NAMES
from micropump_host.library.model import KINDS, MASS, UNITS, LimitUnit
from micropump_host.limits.words import BoardConcentration, both, own_text, pump_text
from micropump_host.orders.order import FieldValue

_AMOUNTS = {board.NG: MASS, board.MILLIUNITS: UNITS}
_RATE_UNIT = "µL/h"
_WINDOWS = ("window_1h", "window_4h")


def concentration_of(fields: Mapping[str, FieldValue]) -> BoardConcentration:
    """The concentration in the fields of a program's message; None where they tell none."""
    amount, mantissa, exponent = (
        value if isinstance(value, int) else 0
        for value in (
            fields["concentration_in"],
            fields["concentration_mantissa"],
            fields["concentration_exponent"],
        )
    )
    return (amount, mantissa, exponent) if amount else None


def told(finding: PumpFinding, concentration: BoardConcentration) -> str:
    """Say what is beyond a soft limit.

    Args:
        finding: the pump's.
        concentration: the drug's, as the wire has it, or None.

    Returns:
        As "the rate, 2 mg/h (2 mL/h), is beyond the library's upper soft limit of 1 mg/h (1 mL/h)".

    """
    name = KIND_NAMES[finding.kind]
    value = _both(finding, finding.value, concentration)
    bound = _both(finding, finding.bound, concentration)
    limit = f"the library's {finding.level} limit"
    if finding.kind in _WINDOWS and not finding.value:
        return f"there is no limit to the {name}, and {limit} is {bound}"
    return f"the {name}, {value}, is beyond {limit} of {bound}"


def _both(finding: PumpFinding, count: int, concentration: BoardConcentration) -> str:
    """Return a figure by mass or units, where it can be told so, and as the pump counts it."""
    pump = pump_text(KINDS.index(finding.kind), count)
    if finding.unit == "s" or concentration is None:
        return pump
    unit = LimitUnit(_AMOUNTS[concentration[0]], False, "h" if finding.unit == _RATE_UNIT else "")
    return both(own_text(concentration, 0, unit, count), pump)
