"""A drug as a person reads it: every limit in its own unit and as a volume, with its source."""

from dataclasses import dataclass, replace
from fractions import Fraction

from micropump_host.library.changes import KIND_NAMES
from micropump_host.library.figures import by_hour, concentration_text
from micropump_host.library.model import (
    LEVELS,
    TIME,
    VOLUME,
    Drug,
    DrugConcentration,
    Library,
    Limit,
    Use,
)
from micropump_host.reading.quantity import exact_text

# Beyond these digits a volume is rounded, and told as such.
_DECIMALS = 4


@dataclass(frozen=True)
class Row:
    """A limit, or the same limit as a volume.

    Attributes:
        kind: one of ``model.KINDS``.
        name: as "rate" or "amount in 24 h".
        at: "", or the concentration at which it is a volume: "5 mg/mL".
        levels: a text for each of ``model.LEVELS``, empty where there is none; "≈" before what
            is rounded.
        source: where its figures come from; empty where that is not known.

    """

    kind: str
    name: str
    at: str
    levels: tuple[str, ...]
    source: str


@dataclass(frozen=True)
class Card:
    """How a drug may be used in some care areas.

    Attributes:
        drug_id, drug, group: id, name and group of the drug.
        care_areas: their ids.
        area_names: their names.
        concentrations: as written.
        programs: what may be programmed.
        dosing: the unit in which rates are prescribed.
        kvo: "rule", "off" or "limit".
        settings: of the detectors, in words.
        rows: its limits.

    """

    drug_id: str
    drug: str
    group: str
    care_areas: tuple[str, ...]
    area_names: tuple[str, ...]
    concentrations: tuple[str, ...]
    programs: tuple[str, ...]
    dosing: str
    kvo: str
    settings: tuple[str, ...]
    rows: tuple[Row, ...]


def cards(library: Library, drug: Drug, care_area: str = "") -> list[Card]:
    """Return how a drug may be used, everywhere or in one care area; none where it is not."""
    return [
        _card(library, drug, use)
        for use in drug.uses
        if not care_area or care_area in use.care_areas
    ]


def _card(library: Library, drug: Drug, use: Use) -> Card:
    rows: list[Row] = []
    for limit in use.limits:
        texts = tuple(level.text if (level := limit.level(name)) else "" for name in LEVELS)
        rows.append(Row(limit.kind, KIND_NAMES[limit.kind], "", texts, limit.source))
        if limit.unit.amount not in (VOLUME, TIME):
            rows += [_as_volume(limit, one) for one in use.concentrations]
    return Card(
        drug_id=drug.drug_id,
        drug=drug.name,
        group=drug.group,
        care_areas=use.care_areas,
        area_names=tuple(library.care_areas[area] for area in use.care_areas),
        concentrations=tuple(one.text for one in use.concentrations),
        programs=use.programs,
        dosing=use.dosing_text,
        kvo=use.kvo,
        settings=_settings(use),
        rows=tuple(rows),
    )


def _as_volume(limit: Limit, one: DrugConcentration) -> Row:
    # Whatever it is prescribed by, a pump is set in mL/h.
    divisor = replace(limit.unit, per_time=limit.unit.per_time and "h").divisor
    texts = []
    for name in LEVELS:
        level = limit.level(name)
        value = by_hour(level.value, limit.unit) if level else None
        texts.append("" if value is None else _ml(value / one.per_ml, divisor))
    at = concentration_text(one.per_ml, one.amount)
    return Row(limit.kind, KIND_NAMES[limit.kind], at, tuple(texts), "")


def _ml(volume_ml: Fraction, divisor: str) -> str:
    if (volume_ml * 10**_DECIMALS).denominator == 1:
        return f"{exact_text(volume_ml)} mL{divisor}"
    return f"≈ {float(volume_ml):.4g} mL{divisor}"


def _settings(use: Use) -> tuple[str, ...]:
    settings = []
    if use.air_ul is not None:
        settings.append(f"air alarm at a bubble of {use.air_ul} µL")
    if use.occlusion_kpa is not None:
        settings.append(f"occlusion alarm at {use.occlusion_kpa} kPa")
    return tuple(settings)
