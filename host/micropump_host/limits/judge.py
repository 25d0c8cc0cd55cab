"""An order looked up in a drug library and judged, both by the core."""

from dataclasses import dataclass
from fractions import Fraction

from micropump import governor, program
from micropump import library as board
from micropump_host.library import Drug, Use
from micropump_host.limits.opened import OpenedLibrary
from micropump_host.limits.words import Basis, Finding, Typical, finding_of, typical_figures
from micropump_host.orders import PROGRAM_NAMES, CheckedOrder, Concentration, Order
from micropump_host.orders.refusals import order_error
from micropump_host.reading.quantity import exact_text
from micropump_host.reading.tables import nearest

# What becomes of an order.
NO_LIBRARY = "no-library"
OUTSIDE = "outside"
REFUSED = "refused"
CONFIRM = "confirm"
WITHIN = "within"
STATUSES = (NO_LIBRARY, OUTSIDE, REFUSED, CONFIRM, WITHIN)

# How many of the core's base are in a concentration's own unit.
_BASES = {"mg": (board.NG, 1_000_000), "units": (board.MILLIUNITS, 1_000)}


@dataclass(frozen=True)
class Outside:
    """Why the library has no limits for an order.

    Attributes:
        what: what it does not have.
        remedy: what to do about it.

    """

    what: str
    remedy: str


@dataclass(frozen=True)
class Judgement:
    """What a drug library says of an order.

    Attributes:
        status: one of ``STATUSES``: outside the library nothing was compared, refused is a hard
            limit, confirm a soft one.
        drug_name, care_area_name: as the library calls them; empty where it was not looked up.
        weight_g: what limits by body weight were worked out with; 0 if it is not told.
        outside: why there is nothing to compare with; else None.
        findings: what is beyond a limit, hard ones first.
        typical: what the library calls typical.

    """

    status: str
    drug_name: str = ""
    care_area_name: str = ""
    weight_g: int = 0
    outside: Outside | None = None
    findings: tuple[Finding, ...] = ()
    typical: tuple[Typical, ...] = ()


@dataclass(frozen=True)
class _Found:
    """What was looked up."""

    drug: Drug
    use: Use
    limits: board.Limits
    concentration: tuple[int, int, int] | None


class _OutsideError(Exception):
    """The library has nothing for an order."""

    def __init__(self, what: str, remedy: str) -> None:
        self.outside = Outside(what, remedy)
        super().__init__(what)


def judge_order(checked: CheckedOrder, opened: OpenedLibrary | None) -> Judgement:
    """Hold an order against a library, as the pump does.

    Args:
        checked: an order that its mechanism can deliver.
        opened: the library; None where there is none.

    Raises:
        OrderError: if the patient's weight is no whole number of grams, which a pump counts.

    """
    weight_g = _weight_g(checked.order)
    if opened is None:
        return Judgement(NO_LIBRARY, weight_g=weight_g)
    kind = checked.prescription.kind
    if kind == program.PURGE:
        return Judgement(WITHIN, weight_g=weight_g)
    try:
        found = _look_up(checked.order, kind, opened)
    except _OutsideError as error:
        return Judgement(OUTSIDE, weight_g=weight_g, outside=error.outside)
    basis = Basis(found.limits, found.use, found.concentration, weight_g)
    judged = governor.judge_program(
        found.limits, dict(checked.prescription.fields), kind, found.concentration, weight_g
    )
    findings = sorted(
        (finding_of(basis, checked, each) for each in judged), key=lambda each: not each.is_hard
    )
    care_area = checked.order.drug.care_area if checked.order.drug else ""
    return Judgement(
        status=_status(findings),
        drug_name=found.drug.name,
        care_area_name=opened.written.care_areas[care_area],
        weight_g=weight_g,
        findings=tuple(findings),
        typical=typical_figures(basis),
    )


def _status(findings: list[Finding]) -> str:
    if any(finding.is_hard for finding in findings):
        return REFUSED
    return CONFIRM if findings else WITHIN


def _weight_g(order: Order) -> int:
    grams = (order.weight_kg or Fraction(0)) * 1000
    if grams.denominator != 1:
        what = f"{exact_text(grams / 1000)} kg is no whole number of grams"
        raise order_error(order, "[patient] weight", what, "Round it to what a scale shows")
    return grams.numerator


def _look_up(order: Order, kind: int, opened: OpenedLibrary) -> _Found:
    """Look an order up in the library; raises _OutsideError."""
    drug_id, area_id = (order.drug.drug_id, order.drug.care_area) if order.drug else ("", "")
    library = opened.board
    drug = _drug(opened, drug_id)
    areas = sorted(area for use in drug.uses for area in use.care_areas)
    if not area_id:
        remedy = f"Write care_area under [drug]: {' or '.join(areas)}"
        raise _OutsideError("the order names no care area", remedy)
    drug_at = library.drug_index(drug_id)
    listed: list[tuple[int, int, int]] = library.concentrations_of(drug_at)
    place = _place(order.drug.concentration if order.drug else None, listed)
    try:
        area_at = library.area_index(area_id)
        limits = library.find(drug_at, area_at, place, kind)
    except board.OutsideError as error:
        raise _outside(error.code, order, drug, opened, kind) from None
    use = drug.use_in(area_id)
    assert use is not None, "an image and its source have the same uses"
    return _Found(drug, use, limits, library.concentration(drug_at, place))


def _drug(opened: OpenedLibrary, drug_id: str) -> Drug:
    if not drug_id:
        what = "the order names no drug of the library"
        raise _OutsideError(what, 'Write its id under [drug], like id = "vancomycin"')
    try:
        opened.board.drug_index(drug_id)
    except board.OutsideError:
        remedy = nearest(drug_id, tuple(drug.drug_id for drug in opened.written.drugs))
        raise _OutsideError(f'the library has no drug "{drug_id}"', remedy) from None
    drug = opened.written.drug(drug_id)
    assert drug is not None, "an image and its source have the same drugs"
    return drug


def _place(wanted: Concentration | None, listed: list[tuple[int, int, int]]) -> int:
    """Return the place of a concentration among a drug's; one past them where it is none."""
    if wanted is None:
        return board.NO_CONCENTRATION
    amount, times = _BASES[wanted.unit]
    for place, (listed_amount, mantissa, exponent) in enumerate(listed):
        per_ml = mantissa * Fraction(10) ** exponent
        if (listed_amount, per_ml) == (amount, wanted.per_ml * times):
            return place
    return len(listed)


def _outside(
    code: int, order: Order, drug: Drug, opened: OpenedLibrary, kind: int
) -> _OutsideError:
    """Return in words what the core did not find."""
    ordered = order.drug
    assert ordered is not None, "only an order with a drug is looked up"
    areas = opened.written.care_areas
    use = drug.use_in(ordered.care_area)
    if code == board.NO_SUCH_AREA:
        what = f'the library has no care area "{ordered.care_area}"'
        return _OutsideError(what, nearest(ordered.care_area, tuple(areas)))
    if use is None:
        what = f'the library does not have {drug.name} in the care area "{ordered.care_area}"'
        known = sorted(area for each in drug.uses for area in each.care_areas)
        return _OutsideError(what, f"It is in {' and '.join(known)}")
    where = f"{drug.name} in the care area {areas[ordered.care_area]}"
    if code == board.NO_SUCH_CONCENTRATION:
        told = f"at {ordered.concentration}" if ordered.concentration else "without concentration"
        known = [concentration.text for concentration in use.concentrations]
        remedy = f"It is at {' or '.join(known)}" if known else "It is by volume: order it so"
        return _OutsideError(f"the library has no {where} {told}", remedy)
    what = f"the library has no {PROGRAM_NAMES[kind]} program of {where}"
    return _OutsideError(what, f"It is given as {' or '.join(use.programs)}")
