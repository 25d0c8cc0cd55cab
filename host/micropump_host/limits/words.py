"""What the governor found, in the drug's own units and in those of the pump."""

from dataclasses import dataclass
from fractions import Fraction

from micropump import governor
from micropump import library as board
from micropump_host.library import KINDS, LEVELS, Limit, LimitUnit, Use
from micropump_host.library.changes import KIND_NAMES
from micropump_host.library.figures import by_hour, figure_text
from micropump_host.library.model import MASS, TIME, UNITS
from micropump_host.orders import (
    PROGRAM_NAMES,
    CheckedOrder,
    duration_text,
    rate_text,
    volume_text,
)
from micropump_host.orders.refusals import label_of
from micropump_host.reading.tables import line_of

# What is told of a figure that is no round number of the drug's unit.
_DIGITS = 7

_RATES = (board.RATE, board.KVO)
_TIMES = (board.DURATION, board.LOCKOUT)
_WINDOWS = (board.WINDOW_1H, board.WINDOW_4H)
_VERBS = {
    **dict.fromkeys(_RATES, "runs"),
    **dict.fromkeys(_WINDOWS, "allows"),
    board.DURATION: "takes",
    board.DAILY: "gives",
}

# (amount, mantissa, exponent), as ``micropump.library.Library.concentration`` has it.
BoardConcentration = tuple[int, int, int] | None


@dataclass(frozen=True)
class Basis:
    """What figures of the pump are told in the drug's units with.

    Attributes:
        limits: as the core found them.
        use: the same as it was written.
        concentration: the drug's, as the core has it.
        weight_g: body weight, 0 if it is not told.

    """

    limits: board.Limits
    use: Use
    concentration: BoardConcentration
    weight_g: int


@dataclass(frozen=True)
class Finding:
    """One figure of an order that is beyond a limit.

    Attributes:
        kind: one of ``library.KINDS``; or "weight" or "concentration" where limits lack such,
            or "program" where the drug is not given by such a program.
        level: which limit, one of ``library.LEVELS``.
        is_hard: whether it is refused; a soft limit asks to be confirmed.
        key: the order's key that it is about, as "[therapy] rate".
        line: its line in the order's file; 0 where that is not known.
        field: of the wire; empty where it is about the program as a whole.
        value, bound: the order's figure, and the greatest or least that is within the limit, as the
            pump counts them.
        unit: of value and bound: "µL", "µL/h" or "s"; empty where no figure is to blame.
        value_text, limit_text: order's figure and limit in the drug's own units; empty where the
            library has no figure in such.
        text: all of it in one line.

    """

    kind: str
    level: str
    is_hard: bool
    key: str
    line: int
    field: str
    value: int
    bound: int
    unit: str
    value_text: str
    limit_text: str
    text: str


@dataclass(frozen=True)
class Typical:
    """The typical figure of one kind of limit.

    Attributes:
        kind: one of ``library.KINDS``.
        text: as it was written, "1 mg".
        pump_text: the greatest whole figure of the pump that is not above it, "1 mL"; empty
            where that takes a weight that is not told.

    """

    kind: str
    text: str
    pump_text: str

    def __str__(self) -> str:
        """As "demand dose 1 mg (1 mL)"."""
        return f"{KIND_NAMES[self.kind]} {both(self.text, self.pump_text)}"


def typical_figures(basis: Basis) -> tuple[Typical, ...]:
    """Return the typical figure of every limit that has one."""
    found = []
    for limit in basis.use.limits:
        level = limit.level("typical")
        if level is None:
            continue
        kind = KINDS.index(limit.kind)
        count = governor.greatest(
            basis.limits, kind, board.TYPICAL, basis.concentration, basis.weight_g
        )
        counted = "" if count < 0 else pump_text(kind, count)
        found.append(Typical(limit.kind, level.text, counted))
    return tuple(found)


def finding_of(
    basis: Basis, checked: CheckedOrder, found: tuple[int, int, str, int, int]
) -> Finding:
    """Put one finding of ``governor.judge_program`` into words.

    Args:
        basis: what the order was judged with.
        checked: the order.
        found: kind, level, field, value, bound.

    """
    kind, level, field, value, bound = found
    order = checked.order
    key = label_of(order, field) if field else "[therapy]"
    if kind in _OTHER_KEYS:
        key = _OTHER_KEYS[kind]
    line = line_of(order.lines, key)
    if kind not in range(board.KINDS):
        name, text = _beside_figures(basis, kind, value)
        return Finding(name, LEVELS[level], True, key, line, field, value, bound, "", "", "", text)
    limit = basis.use.limit(KINDS[kind])
    value_text = own_text(basis.concentration, basis.weight_g, limit.unit, value) if limit else ""
    limit_text = _limit_text(limit, LEVELS[level])
    return Finding(
        kind=KINDS[kind],
        level=LEVELS[level],
        is_hard=governor.is_hard(level),
        key=key,
        line=line,
        field=field,
        value=value,
        bound=bound,
        unit="µL/h" if kind in _RATES else "s" if kind in _TIMES else "µL",
        value_text=value_text,
        limit_text=limit_text,
        text=(
            f"{_limit_said(basis, kind, level, both(limit_text, pump_text(kind, bound)))}: "
            f"{_this_order(kind, value, value_text)}{_in_steps(checked, found)}"
        ),
    )


_OTHER_KEYS = {governor.WEIGHT: "[patient] weight", governor.PROGRAM: "[therapy] program"}


def _beside_figures(basis: Basis, kind: int, value: int) -> tuple[str, str]:
    """Return name and text of what no figure is to blame for."""
    if kind == governor.PROGRAM:
        given = " or ".join(basis.use.programs)
        name = PROGRAM_NAMES[value]
        return "program", f"the library has no {name} program of this drug here, it has {given}"
    name = "weight" if kind == governor.WEIGHT else "concentration"
    of = "body weight" if kind == governor.WEIGHT else name
    return name, f"limits are by {of}, and the order tells none"


def _limit_said(basis: Basis, kind: int, level: int, bound_text: str) -> str:
    if kind == board.KVO and basis.limits.kvo == board.KVO_IS_OFF:
        return "there is to be no KVO"
    if kind == board.KVO and basis.limits.kvo == board.KVO_AS_THE_RULE:
        return f"the KVO rate by the rule is {bound_text}"
    level_name = LEVELS[level].replace("_", " ")
    return f"the {level_name} limit of the {KIND_NAMES[KINDS[kind]]} is {bound_text}"


def _this_order(kind: int, value: int, value_text: str) -> str:
    if kind in _WINDOWS and not value:
        return "this order sets no limit"
    return f"this order {_VERBS.get(kind, 'has')} {both(value_text, pump_text(kind, value))}"


def _in_steps(checked: CheckedOrder, found: tuple[int, int, str, int, int]) -> str:
    """Return which steps are beyond the limit of a rate: " in steps 2, 3"."""
    kind, level, field, _, bound = found
    if kind != board.RATE or field != "steps":
        return ""
    rates_ul_h = [step[0] for step in checked.prescription.records("steps")]
    sign = -1 if level < board.TYPICAL else 1
    beyond = [
        str(number)
        for number, rate_ul_h in enumerate(rates_ul_h, 1)
        if sign * rate_ul_h > sign * bound
    ]
    return f" in step{'s' if len(beyond) > 1 else ''} {', '.join(beyond)}"


def _limit_text(limit: Limit | None, level: str) -> str:
    found = limit.level(level) if limit else None
    return found.text if found else ""


def own_text(concentration: BoardConcentration, weight_g: int, unit: LimitUnit, value: int) -> str:
    """Return a figure of the pump in the unit of a limit, with "≈" where it had to be rounded.

    Args:
        concentration: the drug's, as the core has it, or None.
        weight_g: body weight, 0 if it is not told.
        unit: of the limit.
        value: in µL, µL/h or s.

    """
    own = Fraction(value)
    if unit.amount in (MASS, UNITS) and concentration:
        _, mantissa, exponent = concentration
        own *= mantissa * Fraction(10) ** exponent / 1000
    if unit.per_kg and weight_g:
        own *= Fraction(1000, weight_g)
    if unit.per_time:
        own /= by_hour(Fraction(1), unit)
    if unit.amount == TIME:
        return figure_text(own, unit)
    shown = Fraction(f"{float(own):.{_DIGITS}g}")
    return f"{'' if shown == own else '≈ '}{figure_text(shown, unit)}"


def pump_text(kind: int, value: int) -> str:
    """Return a figure of one kind of limit as the pump counts it: "2 mL", "1.5 mL/h" or "00:30"."""
    if kind in _RATES:
        return rate_text(value)
    return duration_text(value) if kind in _TIMES else volume_text(value)


def both(own: str, pump: str) -> str:
    """Return a figure in the drug's units and the pump's, once where they are the same."""
    if not own or not pump or own == pump:
        return own or pump
    return f"{own} ({pump})"
