"""An order held against the drug library, as the pump holds it: the core's own look-up and limits.

``open_library`` opens a library's folder or image, ``judge_order`` says what of an order is beyond
its limits, ``told`` puts into words what a pump found. Nothing here looks up a limit or compares
figures: that is ``micropump.prescription``'s, on the pump as here.
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
    occlusion_kpa,
)
from micropump_host.limits.opened import OpenedLibrary, open_library
from micropump_host.limits.told import concentration_of, told
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
    "concentration_of",
    "judge_order",
    "occlusion_kpa",
    "open_library",
    "told",
]
