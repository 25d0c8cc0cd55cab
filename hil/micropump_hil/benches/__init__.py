"""Benches: what a suite runs on, and what each of them has.

``cpython`` and ``micropython`` are the firmware's core on a computer, in virtual time;
``emulated`` is the real image on an emulated Pico; a TOML file describes a real board.
"""

from micropump_hil.benches.bench import (
    FEATURES,
    Bench,
    BenchBrokenError,
    NotOnThisBenchError,
    Run,
)
from micropump_hil.benches.specs import NAMES, BenchSpec, BenchSpecError, spec_of

__all__ = [
    "FEATURES",
    "NAMES",
    "Bench",
    "BenchBrokenError",
    "BenchSpec",
    "BenchSpecError",
    "NotOnThisBenchError",
    "Run",
    "spec_of",
]
