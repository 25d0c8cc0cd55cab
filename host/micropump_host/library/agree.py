"""Whether the limits of a drug agree with each other, and with how it is used."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from micropump_host.library.model import (
    GREATEST_CONCENTRATIONS,
    MASS,
    TIME,
    UNITS,
    VOLUME,
    Drug,
    DrugConcentration,
    Level,
    Limit,
    Use,
)
from micropump_host.reading.problems import Problem
from micropump_host.reading.tables import Problems, Table

_PCA_KINDS = ("demand", "lockout", "window_1h", "window_4h")
# What is given within a time is no more than within a longer one.
_CONTAINED = ("demand", "window_1h", "window_4h", "daily")
_WITHIN = {"demand": "a demand", "window_1h": "1 h", "window_4h": "4 h", "daily": "24 h"}
_AMOUNT_NAMES = {VOLUME: "volume", MASS: "mass", UNITS: "units", TIME: "time"}
_FLOWING = ("continuous", "ramp", "stepped")


def check_use(use: Use, table: Table) -> None:
    """Note at ``table`` where a use does not agree with itself."""
    for limit in use.limits:
        _check_ascending(limit, Table(f"{table.name}.{limit.kind}", {}, table.problems))
    _check_kinds(use, table)
    _check_amounts(use, table)
    _check_contained(use, table)


def check_drug(drug: Drug, problems: Problems) -> None:
    """Note where the uses of a drug do not agree with each other."""
    taken: dict[str, int] = {}
    for number, use in enumerate(drug.uses, 1):
        for area in use.care_areas:
            if area in taken:
                what = f'[use {taken[area]}] is for the care area "{area}" too'
                problems.add(f"[use {number}] care_areas", what, "Make one use of both")
            taken.setdefault(area, number)
    distinct = {(one.amount, one.per_ml) for use in drug.uses for one in use.concentrations}
    if len(distinct) > GREATEST_CONCENTRATIONS:
        what = (
            f"{len(distinct)} concentrations are more than the {GREATEST_CONCENTRATIONS} of a drug"
        )
        problems.add("[use 1] concentrations", what, "Leave some out, in this use or another")
    if len({amount for amount, _ in distinct}) > 1 and _is_each_of_one_kind(drug):
        what = "one use has its concentrations in units and another by mass"
        problems.add("[use 1] concentrations", what, "Write all of a drug in one of them")


def advice(drug: Drug) -> Iterator[Problem]:
    """What is allowed and yet should be seen by whoever reviews a drug."""
    for number, use in enumerate(drug.uses, 1):
        key = f"[use {number}]"
        if any(name in use.programs for name in _FLOWING) and not _has_hard(use, "rate"):
            yield Problem(key, use.line, "no rate is refused", "Set upper_hard of rate", drug.file)
        if "intermittent" in use.programs and not _has_hard(use, "dose"):
            yield Problem(key, use.line, "no dose is refused", "Set upper_hard of dose", drug.file)
        if "pca" in use.programs and not use.limit("window_1h"):
            yield Problem(key, use.line, "a PCA has no limit in 1 h", "Set window_1h", drug.file)


def _is_each_of_one_kind(drug: Drug) -> bool:
    return all(len({one.amount for one in use.concentrations}) <= 1 for use in drug.uses)


def _has_hard(use: Use, kind: str) -> bool:
    limit = use.limit(kind)
    return limit is not None and limit.level("upper_hard") is not None


def _check_ascending(limit: Limit, table: Table) -> None:
    for lower, upper in pairwise(limit.levels):
        if lower.value <= upper.value:
            continue
        what, remedy = _descending(lower, upper)
        table.add(upper.name, what, remedy)


def _descending(lower: Level, upper: Level) -> tuple[str, str]:
    written = f'"{lower.text}" of {lower.name} is above "{upper.text}" of {upper.name}'
    if "typical" in (lower.name, upper.name):
        return f"typical is outside of its limits: {written}", "Mend one of them"
    if lower.name.startswith("lower") and upper.name.startswith("upper"):
        return f"nothing can be within: {written}", "Exchange them, or mend one"
    return f"levels have to ascend: {written}", "A hard limit is further out than a soft one"


def _check_kinds(use: Use, table: Table) -> None:
    """Note kinds of limit that are missing or make no sense here."""
    if "pca" in use.programs:
        for kind, example in (("demand", "1 mg"), ("lockout", "6 min")):
            if not table.given(kind):
                what = f"a PCA takes a limit of {kind}, and there is none"
                table.add(kind, what, f'Write {kind} = {{ lower_hard = "{example}" }}')
    elif use.programs:
        for kind in filter(table.given, _PCA_KINDS):
            what = f'{kind} is of the program "pca", which is not allowed here'
            table.add(kind, what, 'Leave it out, or add "pca" to programs')
    for limit in use.limits:
        own = Table(f"{table.name}.{limit.kind}", {}, table.problems)
        if limit.kind == "kvo" and limit.unit.per_kg:
            own.add("", "a KVO rate is for the vein, not by body weight", "Write it without /kg")
        if limit.kind in ("daily", "window_1h", "window_4h"):
            for name in ("lower_hard", "lower_soft"):
                if limit.level(name):
                    what = f"nobody has to be given a least amount within {_WITHIN[limit.kind]}"
                    own.add(name, what, "Leave it out")


def _check_amounts(use: Use, table: Table) -> None:
    """Note where limits, dosing and concentrations are not all by mass or all in units."""
    _check_concentrations(use.concentrations, table)
    kinds = {one.amount for one in use.concentrations}
    figures = [("dosing", use.dosing.amount, use.dosing_text)] if use.dosing_text else []
    figures += [
        (limit.kind, limit.unit.amount, limit.levels[0].text)
        for limit in use.limits
        if limit.levels
    ]
    for key, amount, text in figures:
        if amount in (VOLUME, TIME):
            continue
        if not table.given("concentrations"):
            what = f'"{text}" takes a concentration to be a volume, and there is none'
            table.add(key, what, 'Write concentrations = ["1 mg/mL"], or the figure in mL')
        elif kinds and kinds != {amount} and len(kinds) == 1:
            (other,) = (_AMOUNT_NAMES[kind] for kind in kinds)
            name = _AMOUNT_NAMES[amount]
            what = f'"{text}" is in {name}, and the concentrations are in {other}'
            table.add(key, what, f"Write both in {name}, or both in {other}")


def _check_concentrations(concentrations: Sequence[DrugConcentration], table: Table) -> None:
    key = "concentrations"
    if len({one.amount for one in concentrations}) > 1:
        table.add(key, "some are by mass and some in units", "Write all in one of them")
    first: dict[object, str] = {}
    for one in concentrations:
        if (one.amount, one.per_ml) in first:
            what = f'"{one.text}" is the same as "{first[one.amount, one.per_ml]}"'
            table.add(key, what, "Write each concentration once")
        first.setdefault((one.amount, one.per_ml), one.text)


def _check_contained(use: Use, table: Table) -> None:
    """Note where more is allowed within a time than within a longer one."""
    limits = [limit for kind in _CONTAINED if (limit := use.limit(kind))]
    for short, long in pairwise(limits):
        for name in ("upper_soft", "upper_hard"):
            less, more = short.level(name), long.level(name)
            if less and more and short.unit == long.unit and less.value > more.value:
                what = (
                    f'"{less.text}" within {_WITHIN[short.kind]} is above '
                    f'"{more.text}" within {_WITHIN[long.kind]}'
                )
                own = Table(f"{table.name}.{short.kind}", {}, table.problems)
                own.add(name, what, "More cannot be given in a shorter time")
