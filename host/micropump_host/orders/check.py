"""Whether a mechanism can deliver an order, asked of the pump's own core."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from micropump import mechanism, program, therapy
from micropump.mechanism import Mechanism
from micropump.program import Program
from micropump_host.orders import items
from micropump_host.orders.order import Order, Prescription
from micropump_host.orders.refusals import check_wire, order_error, refused
from micropump_host.reading.quantity import duration_text, rate_text, volume_text


class Stretch(NamedTuple):
    """A piece of a program's timeline, without a change but that of a ramp's rate.

    Attributes:
        phase: which of the program's phases, from 0.
        dose: doses that were given before it.
        start_ms: from the start of the program.
        duration_ms: how long it takes; -1 where only the end of the container is one.
        rate_ul_h, end_rate_ul_h: at its beginning and its end; 0 in a wait without KVO.
        steps: microsteps in it.
        bucket: what they are counted as, ``program.INFUSED`` …

    """

    phase: int
    dose: int
    start_ms: int
    duration_ms: int
    rate_ul_h: int
    end_rate_ul_h: int
    steps: int
    bucket: int


@dataclass(frozen=True)
class CheckedOrder:
    """An order that the mechanism can deliver, as the pump will understand it.

    Attributes:
        order: what was ordered.
        prescription: what goes to the pump, told the time of day where it goes by that.
        drive_id: catalogue id of the drive it was checked for.
        item_name: maker and model of the syringe or head.
        program: what the core makes of it; ``timeline`` lays it out.
        first_rate_ul_h: the rate that the therapy begins with, 0 for a PCA without basal rate.
        least_rate_ul_h, greatest_rate_ul_h: of the therapy, loading dose and demands included and
            KVO not; 0 where nothing flows by itself.
        vtbi_ul: the volume to be infused: of all doses, of a purge the volume.
        loading_ul: the loading dose, beyond the VTBI.
        duration_s: from the start to the last of the VTBI, delays and gaps included, in whole
            seconds as the pump tells it; of a PCA without basal rate, to the end of its loading
            dose.
        kvo_ul_h: the keep-vein-open rate; 0 where there is none.
        containers: how many are planned.
        containers_needed: how many VTBI, loading dose and the KVO of delays and gaps take.
        amount: of the drug in VTBI and loading dose, exactly; None without a concentration.
        amount_unit: "mg" or "units", empty without a concentration.
        target_steps: microsteps in the VTBI.
        nl_per_step: nanolitres a microstep, exactly.
        warnings: what the user should know before the start, in sentences without a full stop.

    """

    order: Order
    prescription: Prescription
    drive_id: str
    item_name: str
    program: Program
    first_rate_ul_h: int
    least_rate_ul_h: int
    greatest_rate_ul_h: int
    vtbi_ul: int
    loading_ul: int
    duration_s: int
    kvo_ul_h: int
    containers: int
    containers_needed: int
    amount: Fraction | None
    amount_unit: str
    target_steps: int
    nl_per_step: Fraction
    warnings: tuple[str, ...]


def timeline(made: Program) -> Iterator[Stretch]:
    """Lay a program out in time, stretch by stretch, from its start on."""
    rows: Iterator[tuple[int, ...]] = made.timeline()  # type: ignore[no-untyped-call]
    return (Stretch(*row) for row in rows)


def default_drive_id(kind: int) -> str:
    """The drive that is taken for a mechanism of ``kind`` where nothing names one."""
    return items.DEFAULT_DRIVES[kind]


def check_order(order: Order, drive_id: str = "", clock_s: int | None = None) -> CheckedOrder:
    """Ask the core whether an order can be delivered, and how.

    Args:
        order: what is ordered.
        drive_id: catalogue id of the drive that is fitted; "" where that is not known, then the
            order's own is taken, or else the default of its kind.
        clock_s: the time of day now, 0 to 86,399 s, for an order by times of the day; without it
            the first of these times is taken to be now.

    Raises:
        OrderError: if the drive is not the order's, or the core refuses the order.

    """
    fitted_id = drive_id or order.drive_id or default_drive_id(order.container.kind)
    built = _build(order, fitted_id)
    prescription = _told_the_time(order.prescription, clock_s)
    check_wire(order, prescription)
    try:
        made = therapy.make(prescription.kind, built, dict(prescription.fields))
    except therapy.RefusedError as error:
        raise refused(order, built, error) from None
    rates_ul_h = _rates_ul_h(made)
    loading_ul = prescription.number("loading_ul")
    concentration = order.drug.concentration if order.drug else None
    return CheckedOrder(
        order=order,
        prescription=prescription,
        drive_id=fitted_id,
        item_name=items.item_name(order.container.kind, order.container.item_id),
        program=made,
        first_rate_ul_h=made.first_rate_ul_h(),
        least_rate_ul_h=min(rates_ul_h, default=0),
        greatest_rate_ul_h=max(rates_ul_h, default=0),
        vtbi_ul=made.vtbi_ul,
        loading_ul=loading_ul,
        duration_s=made.duration_s(),
        kvo_ul_h=made.kvo_ul_h,
        containers=made.containers,
        containers_needed=_containers_needed(made, loading_ul),
        amount=concentration.amount(made.vtbi_ul + loading_ul) if concentration else None,
        amount_unit=concentration.unit if concentration else "",
        target_steps=made.vtbi_steps,
        nl_per_step=Fraction(built.nl_num, built.nl_den),
        warnings=(*order.remarks, *_warnings(order, made, loading_ul)),
    )


def _build(order: Order, fitted_id: str) -> Mechanism:
    """Return the mechanism of the order on the drive that is fitted."""
    kind = order.container.kind
    if order.drive_id and fitted_id != order.drive_id:
        what = f'the order is for the drive "{order.drive_id}", fitted is "{fitted_id}"'
        raise order_error(order, "[pump] drive", what, "Fit that drive, or correct the order")
    if fitted_id not in items.drive_ids(kind):
        raise order_error(order, "[pump] drive", *items.unknown_drive(kind, fitted_id))
    return mechanism.build(kind, order.container.item_id, fitted_id)


def _told_the_time(prescription: Prescription, clock_s: int | None) -> Prescription:
    if clock_s is None:
        clock_s = next((minute * 60 for (minute,) in prescription.records("times")), 0)
    return prescription.at_clock(clock_s)


def _rates_ul_h(made: Program) -> list[int]:
    """Return all rates that are therapy, those of a ramp's first and last stair among them."""
    rates_ul_h = [
        phase.stair_ul_h(stair)
        for phase in made.phases
        if phase.bucket != program.KVO
        for stair in (0, phase.stairs - 1)
    ]
    if made.demand_ul_h:
        rates_ul_h.append(made.first_rate_ul_h() + made.demand_ul_h)
    return [rate_ul_h for rate_ul_h in rates_ul_h if rate_ul_h]


def _kept_open_nl(made: Program) -> Fraction:
    """Return what flows at the KVO rate before the last of the VTBI."""
    steps = sum(stretch.steps for stretch in timeline(made) if stretch.bucket == program.KVO)
    return Fraction(steps * made.mechanism.nl_num, made.mechanism.nl_den)


def _containers_needed(made: Program, loading_ul: int) -> int:
    if made.reverse:
        return 1
    total_nl = (made.vtbi_ul + loading_ul) * 1000 + _kept_open_nl(made)
    return max(1, -(-total_nl // (made.content_ul * 1000)))


def _warnings(order: Order, made: Program, loading_ul: int) -> Iterator[str]:
    least = (
        f"below the least recommended rate of {rate_text(made.mechanism.least_rate_ul_h)} "
        f"for {items.item_name(order.container.kind, order.container.item_id)}"
    )
    if made.warnings & therapy.WARN_RATE_ROUNDED:
        yield _rounding(order.prescription, made)
    if made.warnings & therapy.WARN_BELOW_LEAST_RATE:
        yield f"{rate_text(made.peak_ul_h())} is {least}"
    if made.warnings & therapy.WARN_KVO_BELOW_LEAST_RATE:
        yield f"the KVO rate of {rate_text(made.kvo_ul_h)} is {least}"
    if made.warnings & therapy.WARN_SEVERAL_CONTAINERS:
        content = volume_text(made.content_ul)
        yield f"{made.containers} containers of {content} are planned, changed in mid-therapy"
    needed = _containers_needed(made, loading_ul)
    if needed > made.containers:
        kept_open_ul = round(_kept_open_nl(made) / 1000)
        yield (
            f"KVO in delays and gaps takes {volume_text(kept_open_ul)} beside the VTBI: "
            f"{needed} containers are needed and {made.containers} planned"
        )


def _rounding(prescription: Prescription, made: Program) -> str:
    duration_s = prescription.number("duration_s")
    if made.kind == program.RAMP:
        ramps_s = prescription.number("up_s") + prescription.number("down_s")
        exact_ul_h = made.vtbi_ul * 3600 / (duration_s - Fraction(ramps_s, 2))
        of = "the plateau"
    else:
        volume_ul = prescription.number("dose_ul") or made.vtbi_ul
        exact_ul_h = Fraction(volume_ul * 3600, duration_s)
        of = f"{volume_text(volume_ul)} in {duration_text(duration_s)}"
    runs = rate_text(made.peak_ul_h() if made.kind == program.RAMP else made.first_rate_ul_h())
    return f"{of} is {float(exact_ul_h / 1000):.7g} mL/h; the pump runs {runs}"
