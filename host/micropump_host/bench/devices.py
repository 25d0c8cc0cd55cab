"""Device files: infusion devices that need no pump, in TOML, with the unit in every key.

A device file has ``[device]``, ``[liquid]`` and ``[patient]``, and either ``[balloon]`` and
``[capillary]`` (an elastomeric infuser) or ``[bag]``, ``[drip_set]`` and ``[clamp]`` (a gravity
drip). What it leaves out is taken from the default device of its kind. All that is wrong with a
file is told at once.
"""

import math
import tomllib
import typing
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from micropump_host.bench.benchfile import BENCH_SECTIONS, Bench, parse_bench
from micropump_host.bench.elastomeric import Elastomeric
from micropump_host.bench.gravity import Gravity
from micropump_host.bench.tables import (
    completed,
    parse_tables,
    read_section,
    read_text,
    suggestion,
)
from micropump_host.errors import MicropumpError

DeviceKind = Literal["elastomeric", "gravity"]
Device = Elastomeric | Gravity

DEVICE_KINDS: tuple[DeviceKind, ...] = ("elastomeric", "gravity")

_CLASSES: Mapping[DeviceKind, type[Device]] = {"elastomeric": Elastomeric, "gravity": Gravity}
# The sections that only one kind has, which tell it.
_KIND_OF_SECTION: Mapping[str, DeviceKind] = {
    "balloon": "elastomeric",
    "capillary": "elastomeric",
    "bag": "gravity",
    "drip_set": "gravity",
    "clamp": "gravity",
}


class DeviceFileError(MicropumpError):
    """A device file is missing, is not TOML, or says something that a device cannot have."""


@dataclass(frozen=True)
class NominalRate:
    """A nominal rate in which elastomeric infusers are made.

    Attributes:
        rate_ml_h: mL/h.
        source: who names it.

    """

    rate_ml_h: float
    source: str


# docs/physics.md has the sources in full; an estimate closes a gap between two that are named.
NOMINAL_RATES: tuple[NominalRate, ...] = (
    NominalRate(0.5, "estimate"),
    NominalRate(1.0, "estimate"),
    NominalRate(2.0, "Korean J Anesthesiol 36 (1999) 896"),
    NominalRate(2.5, "Abe 2021"),
    NominalRate(3.0, "one of three in PMC6053879"),
    NominalRate(5.0, "Abe 2021"),
    NominalRate(10.0, "Perks 2019"),
    NominalRate(12.0, "LeRiger 2014"),
    NominalRate(20.0, "estimate"),
    NominalRate(50.0, "estimate"),
    NominalRate(100.0, "Capes 1998"),
    NominalRate(200.0, "estimate"),
)
# An estimate: about the largest that is sold.
GREATEST_BALLOON_ML = 600.0
# An estimate: larger bags are wider, and hardly longer.
_GREATEST_LEVEL_CM = 30.0


def load_device(path: str | Path) -> Device:
    """Read a device file.

    Args:
        path: a TOML file.

    Raises:
        DeviceFileError: if it cannot be read, is not TOML, or anything in it is wrong.

    """
    return parse_device(read_text(path, "device file", DeviceFileError), str(path))


def load_device_or_bench(path: str | Path) -> Device | Bench:
    """Read a device file, or else a bench file, told apart by their sections.

    Raises:
        DeviceFileError, BenchFileError: if it cannot be read or anything in it is wrong.

    """
    text = read_text(path, "device file", DeviceFileError)
    tables = parse_tables(text, str(path), DeviceFileError)
    if any(name in BENCH_SECTIONS for name in tables):
        return parse_bench(text, str(path))
    return parse_device(text, str(path))


def parse_device(text: str, where: str) -> Device:
    """Read a device from the text of a device file.

    Args:
        text: TOML.
        where: what to call it in an error.

    Raises:
        DeviceFileError: if it is not TOML, or anything in it is wrong.

    """
    tables = parse_tables(text, where, DeviceFileError)
    kind = _kind(tables, where)
    return _device(kind, completed(tables, _default_tables(kind)), where)


def default_device(kind: DeviceKind) -> Device:
    """Return the default device of a kind, ``"elastomeric"`` or ``"gravity"``.

    Raises:
        ValueError: for any other kind.

    """
    if kind not in DEVICE_KINDS:
        raise ValueError(f"no device of kind {kind!r}; there are {', '.join(DEVICE_KINDS)}")
    return _device(kind, _default_tables(kind), f"default {kind} device")


def elastomeric_for(rate_ml_h: float, content_ml: float) -> Elastomeric:
    """Return the infuser whose nominal rate is nearest, filled with a content that just fills it.

    Args:
        rate_ml_h: the rate wanted, mL/h.
        content_ml: the volume to be infused, mL.

    """
    nominal = min(NOMINAL_RATES, key=lambda nominal: abs(math.log(nominal.rate_ml_h / rate_ml_h)))
    made = typing.cast(Elastomeric, default_device("elastomeric"))
    return replace(
        made,
        balloon=replace(made.balloon, nominal_ml=content_ml, content_ml=content_ml),
        capillary=replace(made.capillary, nominal_rate_ml_h=nominal.rate_ml_h),
    )


def gravity_for(rate_ml_h: float, content_ml: float) -> Gravity:
    """Return the drip that is set for a rate at the start, its bag holding a content.

    Args:
        rate_ml_h: the rate that the clamp is set for, mL/h.
        content_ml: the volume to be infused, mL.

    """
    made = typing.cast(Gravity, default_device("gravity"))
    level_cm_per_l = min(made.bag.level_cm_per_l, _GREATEST_LEVEL_CM * 1000.0 / content_ml)
    return replace(
        made,
        bag=replace(made.bag, content_ml=content_ml, level_cm_per_l=level_cm_per_l),
        clamp=replace(made.clamp, set_rate_ml_h=rate_ml_h),
    )


def _default_tables(kind: DeviceKind) -> dict[str, Any]:
    source = resources.files("micropump_host.bench") / "benches" / f"{kind}.toml"
    return tomllib.loads(source.read_text(encoding="utf-8"))


def _kind(tables: Mapping[str, Any], where: str) -> DeviceKind:
    found = {_KIND_OF_SECTION[name] for name in tables if name in _KIND_OF_SECTION}
    if len(found) == 1:
        return found.pop()
    what = "sections of both kinds" if found else "neither a [balloon] nor a [bag]"
    raise DeviceFileError(
        f"the device has {what}",
        where,
        "Give [balloon] and [capillary], or [bag], [drip_set] and [clamp]; they may be empty",
    )


def _device(kind: DeviceKind, tables: Mapping[str, Any], where: str) -> Device:
    cls: Any = _CLASSES[kind]
    sections = {entry.name: typing.get_type_hints(cls)[entry.name] for entry in fields(cls)}
    problems = [
        f"unknown section [{name}]{suggestion(name, list(sections))}"
        for name in tables
        if name not in sections
    ]
    read = {
        name: read_section(section, tables[name], name, problems)
        for name, section in sections.items()
    }
    made = None if problems else cls(**read)
    if made is not None:
        problems = made.problems()
    if problems:
        raise DeviceFileError(
            "; ".join(problems),
            where,
            "Mend what is listed; docs/devices.md shows every key with its unit",
        )
    return typing.cast(Device, made)
