"""What a closed line would come to: when the pump tells it, and what comes out when it opens.

A closed line rises by Δp = ΔV/C, so at the rate Q a rise takes C·Δp/Q and holds C·Δp. Level, slope
and the bounds of the compliance are the core's own (``monitor``, ``occlusion``); what is taken for
granted is in ``docs/occlusion.md``.
"""

from dataclasses import dataclass

from micropump.mechanism import KIND_PERISTALTIC
from micropump.monitor import DEFAULT_LEVEL_PA, Monitor
from micropump.occlusion import GREATEST_COMPLIANCE_NL_KPA, bolus_nl, expected_alarm_ms
from micropump.relief import NEAR_PA
from micropump.sensing import PRESSURE
from micropump_host.orders import CheckedOrder

# Where the threshold comes from.
FROM_PUMP = "the pump's own"
FROM_LIBRARY = "the drug library's"
FROM_OPTION = "as given"

# Of a line behind a head, which is all that gives there: 2 µL/kPa, an engineering estimate
# (docs/physics.md), or half as much more or less.
_LEAST_LINE_NL_KPA, _GREATEST_LINE_NL_KPA = 1_000, 3_000

# Any sensor in the line will do: slope and compliance are not of its scale.
_LINE_SENSOR = (PRESSURE, 0, 1, 1, 0, 65_535, 1_000, 0, 0, 0)

_FIFTY_ML = (
    "the compliance is that of 50 mL syringes with their line, 0.9 to 2.1 mL/bar (Snijder 2015): "
    "of smaller ones the least is taken by the plunger's area, and the greatest as it is"
)
_LINE_ALONE = (
    "behind a head the line alone gives: 1 to 3 µL/kPa are taken, an estimate, and the strokes of "
    "the rollers are not counted; a head's occlusion is told by its level alone"
)
_SENSOR = (
    "for a sensor in the line: a force cell at the plunger sees friction too, and its slope tells "
    "a closed line later"
)
_FROM_AMBIENT = (
    "counted from a line at ambient pressure: what an open one is above that makes the level come "
    "sooner"
)


@dataclass(frozen=True)
class Span:
    """A figure that is known within bounds.

    Attributes:
        least, middle, greatest: with the least, the mean and the greatest compliance.

    """

    least: float
    middle: float
    greatest: float


@dataclass(frozen=True)
class OcclusionAt:
    """What a line that is closed at one rate comes to.

    Attributes:
        what: "least rate", "greatest rate", "rate" or "KVO".
        rate_ml_h: the rate.
        by_level_s: from the closing of the line to the alarm by level.
        by_slope_s: to that by slope; None where the slope tells nothing, or no sooner.
        bolus_ml: what comes out when the line opens after the first alarm, without a back-off.

    """

    what: str
    rate_ml_h: float
    by_level_s: Span
    by_slope_s: Span | None
    bolus_ml: Span


@dataclass(frozen=True)
class OcclusionForecast:
    """What is to be expected of an occlusion.

    Attributes:
        level_kpa: the pressure limit.
        level_from: where it comes from: ``FROM_PUMP``, ``FROM_LIBRARY`` or ``FROM_OPTION``.
        compliance_ul_kpa: of syringe and line, or of a head's line.
        relieved_bolus_ml: what comes out when the line opens after the back-off, which ends within
            half a kPa of where the pressure was; None for a head, which does not back off.
        rates: the least and the greatest rate of the therapy, and that of KVO.
        notes: what is taken for granted, sentences without a full stop.

    """

    level_kpa: float
    level_from: str
    compliance_ul_kpa: Span
    relieved_bolus_ml: Span | None
    rates: tuple[OcclusionAt, ...]
    notes: tuple[str, ...]


def occlusion_of(
    checked: CheckedOrder, level_kpa: float | None = None, level_from: str = FROM_OPTION
) -> OcclusionForecast:
    """Work out what a closed line would come to, at the order's rates.

    Args:
        checked: the order.
        level_kpa: the pressure limit; None for the pump's own.
        level_from: where that limit comes from.

    """
    mechanism = checked.program.mechanism
    is_head = mechanism.kind == KIND_PERISTALTIC
    monitor = Monitor((_LINE_SENSOR,))
    level_pa = DEFAULT_LEVEL_PA if level_kpa is None else round(level_kpa * 1000)
    # Slope and compliance do not depend on the limit.
    monitor.prepare(mechanism, 0, 0)
    compliances_nl_kpa = _head_line() if is_head else _syringe_and_line(monitor)
    rates = []
    for what, rate_ul_h in _rates(checked):
        sees = monitor.sees_slope
        slope_pa = monitor.occlusion.slope_rise_pa(rate_ul_h) if sees else level_pa
        rates.append(_at(what, rate_ul_h, level_pa, slope_pa, compliances_nl_kpa))
    return OcclusionForecast(
        level_kpa=level_pa / 1000,
        level_from=FROM_PUMP if level_kpa is None else level_from,
        compliance_ul_kpa=_span([nl_kpa / 1000 for nl_kpa in compliances_nl_kpa]),
        relieved_bolus_ml=None if is_head else _boluses_ml(NEAR_PA, compliances_nl_kpa),
        rates=tuple(rates),
        notes=(_LINE_ALONE, _FROM_AMBIENT) if is_head else (_FIFTY_ML, _SENSOR, _FROM_AMBIENT),
    )


def _syringe_and_line(monitor: Monitor) -> list[int]:
    """Return the least, the middle and the greatest compliance of the core, nL/kPa."""
    least_nl_kpa: int = monitor.least_nl_kpa()
    middle_nl_kpa = (least_nl_kpa + GREATEST_COMPLIANCE_NL_KPA) // 2
    return [least_nl_kpa, middle_nl_kpa, GREATEST_COMPLIANCE_NL_KPA]


def _head_line() -> list[int]:
    middle_nl_kpa = (_LEAST_LINE_NL_KPA + _GREATEST_LINE_NL_KPA) // 2
    return [_LEAST_LINE_NL_KPA, middle_nl_kpa, _GREATEST_LINE_NL_KPA]


def _rates(checked: CheckedOrder) -> list[tuple[str, int]]:
    """Return the least and the greatest rate of the therapy, and that of KVO, as the pump has them.

    The greatest is not told twice, and nothing is told of what does not flow.
    """
    least_ul_h, greatest_ul_h = checked.least_rate_ul_h, checked.greatest_rate_ul_h
    told = {"least rate": least_ul_h, "greatest rate": greatest_ul_h}
    if least_ul_h == greatest_ul_h:
        told = {"rate": least_ul_h}
    return [(what, rate) for what, rate in {**told, "KVO": checked.kvo_ul_h}.items() if rate]


def _at(
    what: str, rate_ul_h: int, level_pa: int, slope_pa: int, compliances_nl_kpa: list[int]
) -> OcclusionAt:
    by_slope_s = None
    if slope_pa < level_pa:
        by_slope_s = _times_s(rate_ul_h, slope_pa, compliances_nl_kpa)
    return OcclusionAt(
        what=what,
        rate_ml_h=rate_ul_h / 1000,
        by_level_s=_times_s(rate_ul_h, level_pa, compliances_nl_kpa),
        by_slope_s=by_slope_s,
        bolus_ml=_boluses_ml(min(level_pa, slope_pa), compliances_nl_kpa),
    )


def _times_s(rate_ul_h: int, rise_pa: int, compliances_nl_kpa: list[int]) -> Span:
    return _span([expected_alarm_ms(rate_ul_h, rise_pa, c) / 1000 for c in compliances_nl_kpa])


def _boluses_ml(rise_pa: int, compliances_nl_kpa: list[int]) -> Span:
    return _span([bolus_nl(rise_pa, c) / 1e6 for c in compliances_nl_kpa])


def _span(values: list[float]) -> Span:
    return Span(*values)
