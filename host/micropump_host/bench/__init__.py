"""The virtual bench: a pump mechanism, its line, and a balance, in virtual time.

``build_plant`` and ``build_balance`` make them from a bench file (``load_bench``,
``default_bench``) and the ideal mechanism; ``docs/physics.md`` has the equations and sources.
"""

from micropump_host.bench.balance import Balance, BalanceErrors
from micropump_host.bench.benchfile import (
    Bench,
    BenchEvent,
    BenchFileError,
    default_bench,
    load_bench,
    parse_bench,
)
from micropump_host.bench.build import (
    BenchMismatchError,
    apply_event,
    build_balance,
    build_plant,
    build_plunger_sensor,
    change_container,
)
from micropump_host.bench.fitted import sensor_rows, sensor_specs
from micropump_host.bench.plant import LineEnd, PeristalticGeometry, Plant, SyringeGeometry
from micropump_host.bench.plantrun import PlantRun

__all__ = [
    "Balance",
    "BalanceErrors",
    "Bench",
    "BenchEvent",
    "BenchFileError",
    "BenchMismatchError",
    "LineEnd",
    "PeristalticGeometry",
    "Plant",
    "PlantRun",
    "SyringeGeometry",
    "apply_event",
    "build_balance",
    "build_plant",
    "build_plunger_sensor",
    "change_container",
    "default_bench",
    "load_bench",
    "parse_bench",
    "sensor_rows",
    "sensor_specs",
]
