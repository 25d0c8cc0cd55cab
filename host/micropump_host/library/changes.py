"""What changed between two libraries, in clinical terms: what may be given now that might not."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from micropump_host.library.figures import by_hour, concentration_text
from micropump_host.library.model import KINDS, LEVELS, Drug, Level, Library, Limit, LimitUnit, Use

# From what has to be looked at first.
WIDENED = "widened"
UNCLEAR = "unclear"
ADDED = "added"
NARROWED = "narrowed"
CHANGED = "changed"
REMOVED = "removed"
EFFECTS = (WIDENED, UNCLEAR, ADDED, NARROWED, CHANGED, REMOVED)

KIND_NAMES = {
    "rate": "rate",
    "dose": "dose",
    "bolus": "bolus",
    "demand": "demand dose",
    "loading": "loading dose",
    "duration": "duration",
    "daily": "amount in 24 h",
    "lockout": "lockout",
    "window_1h": "amount in 1 h",
    "window_4h": "amount in 4 h",
    "kvo": "KVO rate",
}
_KVO = {"rule": "by the rule", "off": "off", "limit": "within limits"}


@dataclass(frozen=True)
class Change:
    """One thing that is otherwise in the newer library.

    Attributes:
        effect: one of ``EFFECTS``: ``UNCLEAR`` where old and new cannot be compared.
        drug_id: empty where it concerns the library.
        care_areas: ids of those that it concerns; none where it concerns them all.
        what: as "upper hard rate 5 → 6 mg/h (+20 %)".

    """

    effect: str
    drug_id: str
    care_areas: tuple[str, ...]
    what: str

    def __str__(self) -> str:
        """In a line: "morphine, pca-home: upper hard rate 5 → 6 mg/h (+20 %)"."""
        where = ", ".join(part for part in (self.drug_id, _all_of(self.care_areas)) if part)
        return f"{where}: {self.what}" if where else self.what


def compare(old: Library, new: Library) -> list[Change]:
    """Return what changed, what was widened first, then by drug.

    Sources and notes are compared where both libraries tell them; how a figure is written is not.
    """
    changes = [*_of_library(old, new)]
    drug_ids = sorted({drug.drug_id for library in (old, new) for drug in library.drugs})
    for drug_id in drug_ids:
        before, after = old.drug(drug_id), new.drug(drug_id)
        if before and after:
            changes += _of_drug(before, after)
        elif after:
            changes.append(_whole(ADDED, after))
        elif before:
            changes.append(_whole(REMOVED, before))
    return sorted(changes, key=lambda change: EFFECTS.index(change.effect))


def _whole(effect: str, drug: Drug) -> Change:
    return Change(effect, drug.drug_id, (), f"{effect}, for {_all_of(_areas(drug))}")


def _all_of(names: Sequence[str]) -> str:
    """Return "a, b and c"."""
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def _areas(drug: Drug) -> list[str]:
    return sorted({area for use in drug.uses for area in use.care_areas})


def _of_library(old: Library, new: Library) -> Iterator[Change]:
    if old.library_id != new.library_id:
        yield _renamed("", "library id", old.library_id, new.library_id)
    if old.name != new.name:
        yield _renamed("", "library name", old.name, new.name)
    for area in sorted({*old.care_areas, *new.care_areas}):
        before, after = old.care_areas.get(area), new.care_areas.get(area)
        if before is None:
            yield Change(ADDED, "", (), f'care area {area}, "{after}", added')
        elif after is None:
            yield Change(REMOVED, "", (), f'care area {area}, "{before}", removed')
        elif before != after:
            yield _renamed("", f"name of care area {area}", before, after)


def _renamed(drug_id: str, what: str, old: str, new: str) -> Change:
    return Change(CHANGED, drug_id, (), f'{what} "{old}" → "{new}"')


def _of_drug(old: Drug, new: Drug) -> Iterator[Change]:
    if old.name != new.name:
        yield _renamed(new.drug_id, "name", old.name, new.name)
    if old.source and new.source and old.source != new.source:
        yield _renamed(new.drug_id, "source", old.source, new.source)
    where: dict[tuple[str, str], list[str]] = {}
    for area in sorted({*_areas(old), *_areas(new)}):
        for found in _of_area(old.use_in(area), new.use_in(area)):
            where.setdefault(found, []).append(area)
    for (effect, what), areas in where.items():
        yield Change(effect, new.drug_id, tuple(areas), what)


def _of_area(old: Use | None, new: Use | None) -> Iterator[tuple[str, str]]:
    """What changed in one care area, as effect and words."""
    if old is None:
        yield ADDED, "may be used here now"
    elif new is None:
        yield REMOVED, "is not used here any more"
    else:
        yield from _of_use(old, new)


def _of_use(old: Use, new: Use) -> Iterator[tuple[str, str]]:
    yield from _listed("program", old.programs, new.programs)
    yield from _listed("concentration", _concentrations(old), _concentrations(new))
    if old.dosing != new.dosing:
        yield CHANGED, f"rates in {old.dosing_text} → {new.dosing_text}"
    if old.kvo != new.kvo:
        yield CHANGED, f"KVO {_KVO[old.kvo]} → {_KVO[new.kvo]}"
    yield from _setting("air alarm", "µL", old.air_ul, new.air_ul)
    yield from _setting("occlusion alarm", "kPa", old.occlusion_kpa, new.occlusion_kpa)
    for kind in KINDS:
        before, after = old.limit(kind), new.limit(kind)
        if kind == "kvo" and old.kvo != new.kvo:
            continue
        for name in LEVELS:
            yield from _level(kind, name, before, after)
        if before and after and before.source and after.source and before.source != after.source:
            yield CHANGED, f'source of {kind} "{before.source}" → "{after.source}"'


def _concentrations(use: Use) -> list[str]:
    return [concentration_text(one.per_ml, one.amount) for one in use.concentrations]


def _listed(what: str, old: Iterable[str], new: Iterable[str]) -> Iterator[tuple[str, str]]:
    for name in sorted({*new} - {*old}):
        yield WIDENED, f"{what} {name} allowed now"
    for name in sorted({*old} - {*new}):
        yield NARROWED, f"{what} {name} not allowed any more"


def _setting(what: str, unit: str, old: int | None, new: int | None) -> Iterator[tuple[str, str]]:
    if old == new:
        return
    if old is None or new is None:
        texts = ("the pump's own" if value is None else f"{value} {unit}" for value in (old, new))
        yield UNCLEAR, f"{what} {' → '.join(texts)}"
    else:
        effect = WIDENED if new > old else NARROWED
        yield effect, f"{what} {old} → {new} {unit}{_percent(Fraction(old), Fraction(new))}"


def _level(kind: str, name: str, old: Limit | None, new: Limit | None) -> Iterator[tuple[str, str]]:
    before, after = old and old.level(name), new and new.level(name)
    what = f"{name.replace('_', ' ')} {KIND_NAMES[kind]}"
    is_typical = name == "typical"
    if old and new and before and after:
        yield from _moved(what, name, (before, old.unit), (after, new.unit))
    elif before:
        yield CHANGED if is_typical else WIDENED, f"{what} {before.text} → none"
    elif after:
        yield CHANGED if is_typical else NARROWED, f"{what} none → {after.text}"


def _moved(
    what: str, name: str, old: tuple[Level, LimitUnit], new: tuple[Level, LimitUnit]
) -> Iterator[tuple[str, str]]:
    (before, old_unit), (after, new_unit) = old, new
    if (old_unit.amount, old_unit.per_kg) != (new_unit.amount, new_unit.per_kg):
        yield UNCLEAR, f"{what} {before.text} → {after.text}, which cannot be compared"
        return
    was, is_now = by_hour(before.value, old_unit), by_hour(after.value, new_unit)
    if was == is_now:
        return
    effect = CHANGED
    if name != "typical":
        effect = WIDENED if (is_now > was) == name.startswith("upper") else NARROWED
    yield effect, f"{what} {_arrow(before.text, after.text)}{_percent(was, is_now)}"


def _arrow(old: str, new: str) -> str:
    """Return "5 → 6 mg/h", or both units where they are not the same."""
    number, _, unit = old.partition(" ")
    same_unit = unit and unit == new.partition(" ")[2]
    return f"{number if same_unit else old} → {new}"


def _percent(old: Fraction, new: Fraction) -> str:
    percent = float((new / old - 1) * 100)
    return f" ({percent:+,.0f} %)" if abs(percent) >= 100 else f" ({percent:+.3g} %)"


def counts(changes: Iterable[Change]) -> Mapping[str, int]:
    """Return how many changes there are of each effect."""
    effects = [change.effect for change in changes]
    return {effect: effects.count(effect) for effect in EFFECTS}
