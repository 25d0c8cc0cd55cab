"""The drug library: what each drug may be given as, where, and within which limits.

``load_library`` reads its source and tells all that is wrong with it at once; ``compare`` says what
changed between two, ``cards`` show a drug. ``docs/library.md`` is the users' description.
"""

from micropump_host.library.agree import advice
from micropump_host.library.card import Card, Row, cards
from micropump_host.library.changes import EFFECTS, WIDENED, Change, compare, counts
from micropump_host.library.model import (
    KINDS,
    LEVELS,
    PROGRAMS,
    Drug,
    DrugConcentration,
    Level,
    Library,
    Limit,
    LimitUnit,
    Use,
)
from micropump_host.library.read import LibraryError, load_library
from micropump_host.library.source import canonical_source, source_sha256

__all__ = [
    "EFFECTS",
    "KINDS",
    "LEVELS",
    "PROGRAMS",
    "WIDENED",
    "Card",
    "Change",
    "Drug",
    "DrugConcentration",
    "Level",
    "Library",
    "LibraryError",
    "Limit",
    "LimitUnit",
    "Row",
    "Use",
    "advice",
    "canonical_source",
    "cards",
    "compare",
    "counts",
    "load_library",
    "source_sha256",
]
