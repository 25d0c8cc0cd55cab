"""An order held against the drug library, as the pump holds it: the core's own look-up and limits.

``open_library`` opens a library's folder or image, ``judge_order`` says what of an order is beyond
its limits. Nothing here compares figures: that is ``micropump.governor``'s.
"""

from micropump_host.limits.judge import (
    CONFIRM,
    NO_LIBRARY,
    OUTSIDE,
    REFUSED,
    STATUSES,
    WITHIN,
    Judgement,
    Outside,
    judge_order,
)
from micropump_host.limits.opened import OpenedLibrary, open_library
from micropump_host.limits.words import Finding, Typical

__all__ = [
    "CONFIRM",
    "NO_LIBRARY",
    "OUTSIDE",
    "REFUSED",
    "STATUSES",
    "WITHIN",
    "Finding",
    "Judgement",
    "OpenedLibrary",
    "Outside",
    "Typical",
    "judge_order",
    "open_library",
]
