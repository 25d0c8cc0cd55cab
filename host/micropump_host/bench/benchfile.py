"""Bench files: the imperfections of a virtual bench, in TOML, with the unit in every key.

A bench file has either ``[syringe_drive]`` (then also ``[plunger]``, ``[plunger_sensor]``) or
``[peristaltic]``, and
``[bench]``, ``[purge]``, ``[line]``, ``[outlet]``, ``[balance]`` and any number of ``[[event]]``.
What a file leaves out is taken from the default bench of its kind, which spells out every key.
All that is wrong with a file is told at once.
"""

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from micropump_host.bench.outlet import NEEDLE_BORE_MM
from micropump_host.bench.tables import (
    completed,
    parse_tables,
    read_section,
    read_text,
    suggestion,
    within,
)
from micropump_host.errors import MicropumpError

Kind = Literal["syringe", "peristaltic"]

KINDS: tuple[Kind, ...] = ("syringe", "peristaltic")


class BenchFileError(MicropumpError):
    """A bench file is missing, is not TOML, or says something that a bench cannot have."""


@dataclass(frozen=True)
class BenchInfo:
    """``[bench]``: what the bench is called and the seed of all its randomness."""

    name: str
    seed: int = within(0, 2**63 - 1)


@dataclass(frozen=True)
class Purge:
    """``[purge]``: whether, and how, the set was purged before time zero."""

    purged: bool
    volume_ml: float = within(0.0, 50.0, above=True)
    rate_ml_h: float = within(0.01, 2000.0)
    rest_s: float = within(0.0, 86400.0)


@dataclass(frozen=True)
class SyringeDrive:
    """``[syringe_drive]``: lead screw, free play, stiffness, and the bore as it really is."""

    bore_error_percent: float = within(-10.0, 10.0)
    pitch_error_ppm: float = within(-10000.0, 10000.0)
    periodic_error_um: float = within(0.0, 1000.0)
    backlash_um: float = within(0.0, 10000.0)
    screw_backlash_um: float = within(0.0, 10000.0)
    stiffness_n_per_mm: float = within(1.0, 1e6)


@dataclass(frozen=True)
class Plunger:
    """``[plunger]``: friction of the stopper and elasticity of the syringe."""

    static_friction_n: float = within(0.0, 200.0, above=True)
    kinetic_friction_n: float = within(0.0, 200.0)
    stick_speed_um_s: float = within(0.0, 1000.0, above=True)
    compliance_ml_per_bar: float = within(0.001, 20.0)


@dataclass(frozen=True)
class PlungerSensor:
    """``[plunger_sensor]``: whether the pump sees where the plunger stands, and how well."""

    fitted: bool
    interval_s: float = within(0.1, 3600.0)
    resolution_um: float = within(0.0, 10000.0)
    noise_um: float = within(0.0, 10000.0)


@dataclass(frozen=True)
class Peristaltic:
    """``[peristaltic]``: ripple, tube and supply."""

    volume_error_percent: float = within(-50.0, 50.0)
    ripple_percent: tuple[float, ...] = within(0.0, 300.0)
    rotor_error_percent: float = within(0.0, 100.0)
    outlet_sensitivity_percent_per_kpa: float = within(0.0, 10.0)
    inlet_sensitivity_percent_per_kpa: float = within(0.0, 10.0)
    wear_percent_per_h: float = within(-1.0, 10.0)
    inlet_height_cm: float = within(-300.0, 300.0)


@dataclass(frozen=True)
class Line:
    """``[line]``: the tube between pump and outlet, and its liquid."""

    length_m: float = within(0.0, 20.0, above=True)
    inner_diameter_mm: float = within(0.05, 20.0)
    compliance_ul_per_kpa: float = within(0.001, 1000.0)
    viscosity_mpa_s: float = within(0.1, 1000.0)
    density_g_ml: float = within(0.5, 2.0)


@dataclass(frozen=True)
class Outlet:
    """``[outlet]``: the needle, and pressure and height at the line's end."""

    needle_gauge: int = within(min(NEEDLE_BORE_MM), max(NEEDLE_BORE_MM))
    needle_length_mm: float = within(0.0, 300.0)
    back_pressure_kpa: float = within(-100.0, 300.0)
    head_height_cm: float = within(-300.0, 300.0)


@dataclass(frozen=True)
class BalanceSpec:
    """``[balance]``: how often it is read and what its errors are."""

    sample_interval_s: float = within(0.01, 3600.0)
    initial_mass_g: float = within(0.0, 10000.0)
    resolution_mg: float = within(0.0, 1000.0)
    noise_mg: float = within(0.0, 1000.0)
    drift_mg_h: float = within(-1000.0, 1000.0)
    walk_mg_per_root_h: float = within(0.0, 1000.0)
    evaporation_mg_h: float = within(0.0, 10000.0)
    lag_s: float = within(0.0, 600.0)


@dataclass(frozen=True)
class Occlude:
    """Close the line's end at ``at_min`` (minutes of virtual time)."""

    at_min: float = within(0.0, 1e6)


@dataclass(frozen=True)
class Release:
    """Open the line's end at ``at_min`` (minutes of virtual time)."""

    at_min: float = within(0.0, 1e6)


@dataclass(frozen=True)
class SetBackPressure:
    """Set the pressure at the line's end, kPa gauge, at ``at_min``."""

    at_min: float = within(0.0, 1e6)
    kpa: float = within(-100.0, 300.0)


@dataclass(frozen=True)
class SetHeadHeight:
    """Set the height of the line's end above the pump, cm, at ``at_min``."""

    at_min: float = within(0.0, 1e6)
    cm: float = within(-300.0, 300.0)


@dataclass(frozen=True)
class SetInletHeight:
    """Set the height of a peristaltic pump's supply above the pump, cm, at ``at_min``."""

    at_min: float = within(0.0, 1e6)
    cm: float = within(-300.0, 300.0)


@dataclass(frozen=True)
class SetContent:
    """Let the container really hold ``ml`` at ``at_min``, whatever the pump was told."""

    at_min: float = within(0.0, 1e6)
    ml: float = within(0.0, 10000.0)


@dataclass(frozen=True)
class OpenInterlock:
    """Open the interlock at ``at_min``."""

    at_min: float = within(0.0, 1e6)


@dataclass(frozen=True)
class CloseInterlock:
    """Close the interlock at ``at_min``."""

    at_min: float = within(0.0, 1e6)


@dataclass(frozen=True)
class FailDriver:
    """Let the motor's driver report a fault from ``at_min`` on."""

    at_min: float = within(0.0, 1e6)


@dataclass(frozen=True)
class MendDriver:
    """Let the motor's driver report no fault any more from ``at_min`` on."""

    at_min: float = within(0.0, 1e6)


PlantEvent = Occlude | Release | SetBackPressure | SetHeadHeight | SetInletHeight | SetContent
InputEvent = OpenInterlock | CloseInterlock | FailDriver | MendDriver
BenchEvent = PlantEvent | InputEvent

EVENTS: Mapping[str, type[BenchEvent]] = {
    "occlude": Occlude,
    "release": Release,
    "back_pressure": SetBackPressure,
    "head_height": SetHeadHeight,
    "inlet_height": SetInletHeight,
    "content": SetContent,
    "open_interlock": OpenInterlock,
    "close_interlock": CloseInterlock,
    "driver_fault": FailDriver,
    "driver_recovery": MendDriver,
}


@dataclass(frozen=True)
class Bench:
    """A virtual bench: everything that is not the ideal mechanism.

    Attributes:
        info: name and seed.
        purge: what was done before time zero.
        drive: the imperfections of the mechanism; its type is the bench's kind.
        plunger, plunger_sensor: for a syringe bench; None for a peristaltic one.
        line: the tube.
        outlet: what the tube ends in.
        balance: the balance under it.
        events: what happens in the course of a run, in order of time.

    """

    info: BenchInfo
    purge: Purge
    drive: SyringeDrive | Peristaltic
    plunger: Plunger | None
    plunger_sensor: PlungerSensor | None
    line: Line
    outlet: Outlet
    balance: BalanceSpec
    events: tuple[BenchEvent, ...] = ()

    @property
    def kind(self) -> Kind:
        """What mechanism the bench is for."""
        return "syringe" if isinstance(self.drive, SyringeDrive) else "peristaltic"


_COMMON: Mapping[str, type[Any]] = {
    "bench": BenchInfo,
    "purge": Purge,
    "line": Line,
    "outlet": Outlet,
    "balance": BalanceSpec,
}
_SECTIONS: Mapping[Kind, Mapping[str, type[Any]]] = {
    "syringe": {
        **_COMMON,
        "syringe_drive": SyringeDrive,
        "plunger": Plunger,
        "plunger_sensor": PlungerSensor,
    },
    "peristaltic": {**_COMMON, "peristaltic": Peristaltic},
}
# What no other file has.
BENCH_SECTIONS = ("bench", "syringe_drive", "peristaltic")
_DRIVE_SECTION: Mapping[str, Kind] = {"syringe_drive": "syringe", "peristaltic": "peristaltic"}


def load_bench(path: str | Path) -> Bench:
    """Read a bench file.

    Args:
        path: a TOML file.

    Raises:
        BenchFileError: if it cannot be read, is not TOML, or anything in it is wrong.

    """
    return parse_bench(read_text(path, "bench file", BenchFileError), str(path))


def default_bench(kind: Kind) -> Bench:
    """Return the default bench of a kind: ``"syringe"`` (50 mL) or ``"peristaltic"``.

    Raises:
        ValueError: for any other kind.

    """
    return _bench(kind, _default_tables(kind), f"default {kind} bench")


def parse_bench(text: str, where: str) -> Bench:
    """Read a bench from the text of a bench file.

    Args:
        text: TOML.
        where: what to call it in an error.

    Raises:
        BenchFileError: if it is not TOML, or anything in it is wrong.

    """
    tables = parse_tables(text, where, BenchFileError)
    kind = _kind(tables, where)
    return _bench(kind, completed(tables, _default_tables(kind)), where)


def _default_tables(kind: Kind) -> dict[str, Any]:
    if kind not in KINDS:
        raise ValueError(f"no bench of kind {kind!r}; there are {', '.join(KINDS)}")
    source = resources.files("micropump_host.bench") / "benches" / f"{kind}.toml"
    return tomllib.loads(source.read_text(encoding="utf-8"))


def _kind(tables: Mapping[str, Any], where: str) -> Kind:
    found = [kind for section, kind in _DRIVE_SECTION.items() if section in tables]
    if len(found) == 1:
        return found[0]
    what = "both [syringe_drive] and [peristaltic]" if found else "no mechanism"
    hint = "" if found else _nearest_section(tables)
    raise BenchFileError(
        f"the bench has {what}{hint}",
        where,
        "Give exactly one of [syringe_drive] and [peristaltic]; it may be empty",
    )


def _nearest_section(tables: Mapping[str, Any]) -> str:
    for name in tables:
        close = difflib.get_close_matches(name, _DRIVE_SECTION, 1)
        if close:
            return f" ([{name}]: did you mean [{close[0]}]?)"
    return ""


def _bench(kind: Kind, tables: Mapping[str, Any], where: str) -> Bench:
    problems: list[str] = []
    sections = _SECTIONS[kind]
    for name in tables:
        if name not in sections and name != "event":
            problems.append(_unknown_section(name, kind))
    read: dict[str, Any] = {
        name: read_section(cls, tables[name], name, problems) for name, cls in sections.items()
    }
    events = _events(tables.get("event", []), kind, problems)
    if not problems:
        problems.extend(_contradictions(read))
    if problems:
        raise BenchFileError(
            "; ".join(problems),
            where,
            "Mend what is listed; the default benches show every key with its unit",
        )
    return Bench(
        info=read["bench"],
        purge=read["purge"],
        drive=read["syringe_drive" if kind == "syringe" else "peristaltic"],
        plunger=read.get("plunger"),
        plunger_sensor=read.get("plunger_sensor"),
        line=read["line"],
        outlet=read["outlet"],
        balance=read["balance"],
        events=tuple(sorted(events, key=lambda event: event.at_min)),
    )


def _unknown_section(name: str, kind: Kind) -> str:
    allowed = [*_SECTIONS[kind], "event"]
    if any(name in sections for sections in _SECTIONS.values()):
        return f"[{name}] does not belong to a {kind} bench"
    return f"unknown section [{name}]{suggestion(name, allowed)}"


def _contradictions(read: Mapping[str, Any]) -> list[str]:
    plunger = read.get("plunger")
    if plunger is not None and plunger.static_friction_n <= plunger.kinetic_friction_n:
        return ["[plunger] static_friction_n must be above kinetic_friction_n"]
    return []


def _events(tables: Any, kind: Kind, problems: list[str]) -> list[BenchEvent]:
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        problems.append("events are written as [[event]] tables")
        return []
    events: list[BenchEvent] = []
    allowed = [name for name in EVENTS if kind == "peristaltic" or name != "inlet_height"]
    for number, table in enumerate(tables, 1):
        name = f"event {number}"
        do = table.get("do")
        if do not in allowed:
            what = "do is missing" if do is None else f"do = {do!r} is unknown"
            problems.append(f"[{name}] {what}{suggestion(str(do), allowed)}")
            continue
        rest = {key: value for key, value in table.items() if key != "do"}
        event = read_section(EVENTS[do], rest, name, problems)
        if event is not None:
            events.append(event)
    return events
