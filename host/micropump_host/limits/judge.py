"""An order looked up in a drug library and judged, both by what the pump does it with."""

from dataclasses import dataclass

from micropump import prescription
from micropump.prescription import LimitError, Prescription
from micropump_host.limits.opened import OpenedLibrary
from micropump_host.limits.told import concentration_of
from micropump_host.limits.words import Basis, Finding, Typical, finding_of, typical_figures
from micropump_host.orders import CheckedOrder, Order
from micropump_host.reading.tables import nearest

# What becomes of an order.
NO_LIBRARY = "no-library"
OUTSIDE = "outside"
REFUSED = "refused"
CONFIRM = "confirm"
WITHIN = "within"
STATUSES = (NO_LIBRARY, OUTSIDE, REFUSED, CONFIRM, WITHIN)


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
        status: one of ``STATUSES``: refused is a hard limit, confirm a soft one; outside the
            library nothing was compared, and a pump asks to have that confirmed, too.
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


def judge_order(checked: CheckedOrder, opened: OpenedLibrary | None) -> Judgement:
    """Hold an order against a library, as the pump does.

    Args:
        checked: an order that its mechanism can deliver.
        opened: the library; None where there is none.

    """
    weight_g = checked.prescription.number("weight_g")
    if opened is None:
        return Judgement(NO_LIBRARY, weight_g=weight_g)
    prescribed = _prescribed(checked, opened)
    if prescribed.standing == prescription.NOT_JUDGED:
        return Judgement(WITHIN, weight_g=weight_g)
    if prescribed.standing > prescription.OUTSIDE:
        outside = _outside(prescribed, checked.order, opened)
        return Judgement(OUTSIDE, weight_g=weight_g, outside=outside)
    return _judgement(checked, opened, prescribed)


def occlusion_kpa(checked: CheckedOrder, opened: OpenedLibrary) -> int | None:
    """Return a library's pressure limit for an order; None where it is the pump's own."""
    limits = _prescribed(checked, opened).limits
    return (limits.occlusion_kpa or None) if limits is not None else None


def _prescribed(checked: CheckedOrder, opened: OpenedLibrary) -> Prescription:
    """Return what a pump with this library makes of the order, refused or not."""
    fields = dict(checked.prescription.fields)
    try:
        return Prescription(fields, checked.prescription.kind, opened.board)
    except LimitError as error:
        refused: Prescription = error.prescription
        return refused


def _judgement(checked: CheckedOrder, opened: OpenedLibrary, prescribed: Prescription) -> Judgement:
    drug = opened.written.drug(prescribed.drug_id)
    use = drug.use_in(prescribed.care_area) if drug else None
    assert drug is not None, "an image and its source have the same drugs"
    assert use is not None, "an image and its source have the same uses"
    limits = prescribed.limits
    assert limits is not None, "whatever is in the library has limits"
    concentration = concentration_of(checked.prescription.fields)
    basis = Basis(limits, use, concentration, prescribed.weight_g)
    findings = sorted(
        (finding_of(basis, checked, each) for each in prescribed.findings),
        key=lambda each: not each.is_hard,
    )
    return Judgement(
        status=_status(findings),
        drug_name=drug.name,
        care_area_name=opened.written.care_areas[prescribed.care_area],
        weight_g=prescribed.weight_g,
        findings=tuple(findings),
        typical=typical_figures(basis),
    )


def _status(findings: list[Finding]) -> str:
    if any(finding.is_hard for finding in findings):
        return REFUSED
    return CONFIRM if findings else WITHIN


def _outside(prescribed: Prescription, order: Order, opened: OpenedLibrary) -> Outside:
    """Return in words what the core did not find."""
    drug_id, area_id = prescribed.drug_id, prescribed.care_area
    if not drug_id:
        what = "the order names no drug of the library"
        return Outside(what, 'Write its id under [drug], like id = "vancomycin"')
    drug = opened.written.drug(drug_id)
    if drug is None:
        remedy = nearest(drug_id, tuple(drug.drug_id for drug in opened.written.drugs))
        return Outside(f'the library has no drug "{drug_id}"', remedy)
    known = sorted(area for each in drug.uses for area in each.care_areas)
    if not area_id:
        remedy = f"Write care_area under [drug]: {' or '.join(known)}"
        return Outside("the order names no care area", remedy)
    areas = opened.written.care_areas
    if area_id not in areas:
        return Outside(f'the library has no care area "{area_id}"', nearest(area_id, tuple(areas)))
    use = drug.use_in(area_id)
    if use is None:
        what = f'the library does not have {drug.name} in the care area "{area_id}"'
        return Outside(what, f"It is in {' and '.join(known)}")
    ordered = order.drug.concentration if order.drug else None
    told = f"at {ordered}" if ordered else "without concentration"
    texts = [concentration.text for concentration in use.concentrations]
    remedy = f"It is at {' or '.join(texts)}" if texts else "It is by volume: order it so"
    where = f"{drug.name} in the care area {areas[area_id]}"
    return Outside(f"the library has no {where} {told}", remedy)
