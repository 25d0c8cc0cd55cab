"""Whether a mechanism can deliver an order, asked of the pump's own core."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from micropump import mechanism, therapy, units, wire
from micropump.mechanism import Mechanism
from micropump_host.orders import items
from micropump_host.orders.order import Order, OrderError, Problem
from micropump_host.orders.quantity import duration_text, rate_text, volume_text

_WIRE_LIMITS = {row[0]: (row[3], row[4]) for row in wire.fields_of(wire.PROGRAM)}


@dataclass(frozen=True)
class CheckedOrder:
    """An order that the mechanism can deliver, as the pump will understand it.

    Attributes:
        order: what was ordered.
        drive_id: catalogue id of the drive it was checked for.
        item_name: maker and model of the syringe or head.
        rate_ul_h: the rate, ordered or from the time.
        duration_s: how long the VTBI takes, to the nearest second.
        kvo_ul_h: the keep-vein-open rate after the VTBI; 0 where there will be none.
        least_rate_ul_h: the least recommended rate of the mechanism.
        greatest_rate_ul_h: the greatest rate it can run.
        target_steps: microsteps in the VTBI.
        nl_per_step: nanolitres a microstep, exactly.
        warnings: what the user should know before the start, in sentences without a full stop.

    """

    order: Order
    drive_id: str
    item_name: str
    rate_ul_h: int
    duration_s: int
    kvo_ul_h: int
    least_rate_ul_h: int
    greatest_rate_ul_h: int
    target_steps: int
    nl_per_step: Fraction
    warnings: tuple[str, ...]


def default_drive_id(kind: int) -> str:
    """The drive that is taken for a mechanism of ``kind`` where nothing names one."""
    return items.DEFAULT_DRIVES[kind]


def check_order(order: Order, drive_id: str = "") -> CheckedOrder:
    """Ask the core whether an order can be delivered, and how.

    Args:
        order: what is ordered.
        drive_id: catalogue id of the drive that is fitted; "" where that is not known, then the
            order's own is taken, or else the default of its kind.

    Raises:
        OrderError: if the drive is not the order's, or the core refuses the order.

    """
    fitted_id = drive_id or order.drive_id or default_drive_id(order.kind)
    built = _build(order, fitted_id)
    _check_wire_limits(order)
    asked = (order.rate_ul_h, order.vtbi_ul, order.duration_s, order.kvo_ul_h, order.content_ul)
    refusal = therapy.check_continuous(built, *asked)
    if refusal != therapy.OK:
        raise _refused(order, built, refusal)
    program = therapy.continuous(built, *asked)
    return CheckedOrder(
        order=order,
        drive_id=fitted_id,
        item_name=items.item_name(order.kind, order.item_id),
        rate_ul_h=program.rate_ul_h[0],
        duration_s=program.duration_s,
        kvo_ul_h=program.rate_ul_h[1] if program.count > 1 else 0,
        least_rate_ul_h=built.least_rate_ul_h,
        greatest_rate_ul_h=built.greatest_rate_ul_h,
        target_steps=program.vtbi_steps,
        nl_per_step=Fraction(built.nl_num, built.nl_den),
        warnings=tuple(_warnings(order, program)),
    )


def _build(order: Order, fitted_id: str) -> Mechanism:
    """Return the mechanism of the order on the drive that is fitted."""
    if order.drive_id and fitted_id != order.drive_id:
        what = f'the order is for the drive "{order.drive_id}", fitted is "{fitted_id}"'
        raise _error(order, "[pump] drive", what, "Fit that drive, or correct the order")
    if fitted_id not in items.drive_ids(order.kind):
        raise _error(order, "[pump] drive", *items.unknown_drive(order.kind, fitted_id))
    return mechanism.build(order.kind, order.item_id, fitted_id)


def _check_wire_limits(order: Order) -> None:
    """Refuse what the core would take but the wire cannot carry."""
    _, greatest_s = _WIRE_LIMITS["duration_s"]
    if order.duration_s > greatest_s:
        what = f"{duration_text(order.duration_s)} is above the greatest time of "
        what += duration_text(greatest_s)
        raise _error(order, "[therapy] time", what, "Choose a shorter time, or order a rate")
    _, greatest_ul = _WIRE_LIMITS["content_ul"]
    if order.content_ul > greatest_ul:
        what = f"{volume_text(order.content_ul)} is above the greatest content of "
        what += volume_text(greatest_ul)
        raise _error(order, "[container] content", what, "State the content that is really in it")


def _refused(order: Order, built: Mechanism, refusal: int) -> OrderError:
    """Return what the core refused, in clinical units and with the range it allows."""
    vtbi, content = volume_text(order.vtbi_ul), volume_text(order.content_ul)
    if refusal in (therapy.VTBI_BELOW_RANGE, therapy.VTBI_ABOVE_RANGE):
        least, greatest = volume_text(units.LEAST_VTBI_UL), volume_text(units.GREATEST_VTBI_UL)
        what = f"a VTBI of {vtbi} is outside of {least} to {greatest}"
        return _error(order, "[therapy] vtbi", what, "Choose a VTBI within that range")
    if refusal == therapy.VTBI_ABOVE_CONTENT:
        what = f"a VTBI of {vtbi} is more than the {content} in the container"
        return _error(order, "[therapy] vtbi", what, "Lower the VTBI or fill a larger container")
    if refusal == therapy.CONTENT_ABOVE_CAPACITY:
        name = items.item_name(order.kind, order.item_id)
        what = f"{content} is more than the {volume_text(built.capacity_ul)} that {name} holds"
        remedy = "State the content that is really in it, or take a larger syringe"
        return _error(order, "[container] content", what, remedy)
    if refusal == therapy.NEEDS_RATE_OR_TIME:
        what = "an infusion takes either a rate or a time"
        return _error(order, "[therapy] rate", what, "Give exactly one of them")
    return _rate_refused(order, built, refusal)


def _rate_refused(order: Order, built: Mechanism, refusal: int) -> OrderError:
    """Return the refusal of the infusion's own rate, or else of its KVO rate."""
    rate_ul_h = order.rate_ul_h or therapy.rate_for_time_ul_h(order.vtbi_ul, order.duration_s)
    if refusal == therapy.KVO_ABOVE_RATE:
        what = f"a KVO rate of {rate_text(order.kvo_ul_h)} is above the infusion's own "
        what += rate_text(rate_ul_h)
        return _error(order, "[therapy] kvo", what, 'Choose a lower one, or write kvo = "rule"')
    allowed = (
        f"{rate_text(units.LEAST_RATE_UL_H)} to {rate_text(built.greatest_rate_ul_h)}, "
        f"what {items.item_name(order.kind, order.item_id)} on the drive {built.drive_id} can run"
    )
    if therapy.check_rate(built, rate_ul_h) == therapy.OK:
        what = f"a KVO rate of {rate_text(order.kvo_ul_h)} is outside of {allowed}"
        return _error(order, "[therapy] kvo", what, 'Choose one within it, or write kvo = "rule"')
    too_fast = rate_ul_h > built.greatest_rate_ul_h
    if order.rate_ul_h:
        what = f"{rate_text(rate_ul_h)} is outside of {allowed}"
        remedy = "Choose a lower rate, or another container" if too_fast else "Choose a higher rate"
        return _error(order, "[therapy] rate", what, remedy)
    what = (
        f"{volume_text(order.vtbi_ul)} in {duration_text(order.duration_s)} takes "
        f"{rate_text(rate_ul_h)}, which is outside of {allowed}"
    )
    remedy = "Choose a longer time, or another container" if too_fast else "Choose a shorter time"
    return _error(order, "[therapy] time", what, remedy)


def _error(order: Order, key: str, what: str, remedy: str) -> OrderError:
    problem = Problem(key, order.lines.get(key, 0), what, remedy)
    return OrderError(order.source or f'order "{order.order_id}"', (problem,))


def _warnings(order: Order, program: therapy.Program) -> Iterator[str]:
    rate_ul_h = program.rate_ul_h[0]
    least = (
        f"below the least recommended rate of {rate_text(program.mechanism.least_rate_ul_h)} "
        f"for {items.item_name(order.kind, order.item_id)}"
    )
    if program.warnings & therapy.WARN_RATE_ROUNDED:
        exact_ml_h = Fraction(order.vtbi_ul * 3600, order.duration_s * 1000)
        yield (
            f"{volume_text(order.vtbi_ul)} in {duration_text(order.duration_s)} is "
            f"{float(exact_ml_h):.7g} mL/h; the pump runs {rate_text(rate_ul_h)}"
        )
    if program.warnings & therapy.WARN_BELOW_LEAST_RATE:
        yield f"{rate_text(rate_ul_h)} is {least}"
    if program.warnings & therapy.WARN_KVO_BELOW_LEAST_RATE:
        yield f"the KVO rate of {rate_text(program.rate_ul_h[1])} is {least}"
