"""A library in one canonical form, so that its hash tells whether two sources say the same."""

import hashlib
import json
from typing import Any

from micropump_host.library.model import Drug, DrugConcentration, Library, Limit, Use


def canonical_source(library: Library) -> bytes:
    """Return everything that the library says, as JSON with sorted keys and exact fractions.

    How its files are laid out plays no part, nor do comments and notes; figures that are written
    otherwise and are the same, "1 g" and "1000 mg", make no difference.
    """
    said = {
        "id": library.library_id,
        "name": library.name,
        "version": library.version,
        "care_areas": dict(library.care_areas),
        "drugs": [_drug(drug) for drug in library.drugs],
    }
    return json.dumps(said, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def source_sha256(library: Library) -> str:
    """Return SHA-256 of the canonical form, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical_source(library)).hexdigest()


def _drug(drug: Drug) -> dict[str, Any]:
    return {
        "id": drug.drug_id,
        "name": drug.name,
        "group": drug.group,
        "source": drug.source,
        "uses": sorted((_use(use) for use in drug.uses), key=lambda use: str(use["care_areas"])),
    }


def _use(use: Use) -> dict[str, Any]:
    return {
        "care_areas": sorted(use.care_areas),
        "concentrations": [_concentration(one) for one in use.concentrations],
        "programs": sorted(use.programs),
        "dosing": use.dosing.code,
        "dosing_text": use.dosing_text,
        "kvo": use.kvo,
        "air_ul": use.air_ul,
        "occlusion_kpa": use.occlusion_kpa,
        "limits": {limit.kind: _limit(limit) for limit in use.limits},
    }


def _concentration(one: DrugConcentration) -> list[str]:
    return [one.amount, str(one.per_ml)]


def _limit(limit: Limit) -> dict[str, Any]:
    return {
        "unit": limit.unit.code,
        "source": limit.source,
        **{level.name: str(level.value) for level in limit.levels},
    }
