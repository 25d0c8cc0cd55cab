"""TOML tables as frozen dataclasses: units in the keys, ranges in the fields, all faults at once.

A field for a number is made by ``within``; ``read_section`` then reads a table into the dataclass,
and what is wrong with it is collected in plain sentences.
"""

import dataclasses
import difflib
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any, TypeVar

from micropump_host.errors import MicropumpError

MOST_LISTED = 8

Section = TypeVar("Section")


def within(low: float, high: float, *, above: bool = False) -> Any:
    """Return a dataclass field for a number from ``low`` (or above it) to ``high``."""
    return field(metadata={"low": low, "high": high, "above": above})


def one_of(*names: str) -> Any:
    """Return a dataclass field for one of some names."""
    return field(metadata={"names": names})


def read_text(path: str | Path, what: str, refused: type[MicropumpError]) -> str:
    """Return the text of a file.

    Args:
        path: the file.
        what: what kind of file it is, as "bench file".
        refused: the error that is raised if it cannot be read or is not text.

    """
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise refused(
            f"cannot read the {what} ({error.strerror})", str(path), "Check the path"
        ) from error
    except UnicodeDecodeError as error:
        raise refused(f"the {what} is not text", str(path), f"A {what} is TOML in UTF-8") from error


def parse_tables(text: str, where: str, refused: type[MicropumpError]) -> dict[str, Any]:
    """Return the tables of a TOML text; raises ``refused`` where it is none."""
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # tomllib's own error is a ValueError
        raise refused(f"not valid TOML: {error}", where, "Mend the line it names") from error


def completed(tables: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tables with what they leave out taken from the defaults."""
    complete = dict(tables)
    for name, table in defaults.items():
        given = tables.get(name, {})
        complete[name] = {**table, **given} if isinstance(given, dict) else given
    return complete


def suggestion(name: str, allowed: list[str]) -> str:
    """Return the allowed name that is nearest to one that is not, or else all of them."""
    close = difflib.get_close_matches(name, allowed, 1)
    return f" (did you mean {close[0]}?)" if close else f" (allowed: {', '.join(allowed)})"


def read_section(cls: type[Section], table: Any, name: str, problems: list[str]) -> Section | None:
    """Read one table into its dataclass; what is wrong goes to ``problems``."""
    if not isinstance(table, dict):
        problems.append(f"[{name}] must be a table")
        return None
    fields = {entry.name: entry for entry in dataclasses.fields(cls)}  # type: ignore[arg-type]
    before = len(problems)
    for key in table:
        if key not in fields:
            problems.append(f"[{name}] unknown key {key}{suggestion(key, list(fields))}")
    annotations = typing.get_type_hints(cls)
    values: dict[str, Any] = {}
    for key, entry in fields.items():
        if key not in table:
            problems.append(f"[{name}] {key} is missing")
            continue
        values[key], wrong = _value(table[key], annotations[key], entry.metadata)
        if wrong:
            problems.append(f"[{name}] {key} = {table[key]!r}: {wrong}")
    return cls(**values) if len(problems) == before else None


def _value(given: Any, wanted: Any, limits: Mapping[str, Any]) -> tuple[Any, str]:
    """Return a value and what is wrong with it, or nothing."""
    if isinstance(wanted, types.GenericAlias):
        return _list_value(given, limits)
    if wanted is bool:
        return given, "" if isinstance(given, bool) else "must be true or false"
    if "names" in limits:
        named = given in limits["names"]
        return given, "" if named else f"unknown{suggestion(str(given), list(limits['names']))}"
    if wanted is str:
        return given, "" if isinstance(given, str) and given else "must be text in quotes"
    return _number_value(given, whole=wanted is int, limits=limits)


def _number_value(given: Any, *, whole: bool, limits: Mapping[str, Any]) -> tuple[Any, str]:
    if isinstance(given, bool) or not isinstance(given, int if whole else int | float):
        return given, f"must be a {'whole ' if whole else ''}number {_range_text(limits)}"
    wrong = _out_of_range(given, limits)
    return given if whole or wrong else float(given), wrong


def _list_value(given: Any, limits: Mapping[str, Any]) -> tuple[Any, str]:
    if not isinstance(given, list) or len(given) > MOST_LISTED:
        return given, f"must be a list of at most {MOST_LISTED} numbers"
    values = [_number_value(item, whole=False, limits=limits) for item in given]
    return tuple(value for value, _ in values), next((wrong for _, wrong in values if wrong), "")


def _out_of_range(given: float, limits: Mapping[str, Any]) -> str:
    low, high = limits["low"], limits["high"]
    inside = low < given <= high if limits["above"] else low <= given <= high
    return "" if inside else f"must be {_range_text(limits)}"


def _range_text(limits: Mapping[str, Any]) -> str:
    start = "above" if limits["above"] else "from"
    return f"{start} {limits['low']:g} to {limits['high']:g}"
