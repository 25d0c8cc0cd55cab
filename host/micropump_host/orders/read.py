"""Order files: from TOML to an ``Order``, with everything that is wrong told at once."""

import difflib
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from micropump import therapy, wire
from micropump.mechanism import KIND_PERISTALTIC, KIND_SYRINGE
from micropump_host.orders import items
from micropump_host.orders.order import Order, OrderError, Problem
from micropump_host.orders.quantity import (
    QuantityError,
    parse_duration_s,
    parse_rate_ul_h,
    parse_volume_ul,
)

_KEYS = {
    "order": ("id", "note"),
    "therapy": ("program", "rate", "vtbi", "time", "kvo"),
    "container": ("syringe", "head", "content"),
    "pump": ("drive",),
}
_PROGRAMS = ("continuous",)
_KEBAB_CASE = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_SECTION_LINE = re.compile(r"\s*\[\s*(\w+)\s*\]")
_KEY_LINE = re.compile(r"""\s*["']?([\w-]+)["']?\s*=""")
_MULTI_LINE_QUOTE = re.compile("\"\"\"|'''")
_TOML_LINE = re.compile(r"\s*\(at line (\d+), column \d+\)")


def load_order(path: str | Path) -> Order:
    """Read an order file.

    Args:
        path: a TOML file in UTF-8.

    Raises:
        OrderError: with all that is wrong with it, if it cannot be read or is no order.

    """
    source = str(path)
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except IsADirectoryError:
        raise _unreadable(source, "this is a directory", "Name the order file in it") from None
    except OSError as error:
        raise _unreadable(
            source, f"cannot read the order ({error.strerror})", "Check the path"
        ) from None
    except UnicodeDecodeError:
        raise _unreadable(
            source, "this is not a text file", "An order is a TOML file in UTF-8"
        ) from None
    return parse_order(text, source)


def parse_order(text: str, source: str) -> Order:
    """Read an order from the text of an order file.

    Args:
        text: TOML.
        source: what to call it in errors.

    Raises:
        OrderError: with all that is wrong with it.

    """
    if not text.strip():
        raise _unreadable(source, "the order is empty", "examples/orders has orders to start from")
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # tomllib's own error is a ValueError
        raise OrderError(source, (_not_toml(str(error)),)) from None
    reading = _Reading(tables, _lines(text))
    order = reading.order(source)
    if reading.problems:
        raise OrderError(source, sorted(reading.problems, key=lambda problem: problem.line))
    return order


def _unreadable(source: str, what: str, remedy: str) -> OrderError:
    return OrderError(source, (Problem("", 0, what, remedy),))


def _not_toml(error: str) -> Problem:
    found = _TOML_LINE.search(error)
    line = int(found[1]) if found else 0
    return Problem("", line, f"this is not TOML: {_TOML_LINE.sub('', error)}", "Mend that line")


def _lines(text: str) -> dict[str, int]:
    """Return the line of each "[section]" and each "[section] key", the first where it is twice."""
    lines: dict[str, int] = {}
    section = ""
    in_quotes = False
    for number, line in enumerate(text.splitlines(), 1):
        if not in_quotes:
            if header := _SECTION_LINE.match(line):
                section = header[1]
                lines.setdefault(f"[{section}]", number)
            elif key := _KEY_LINE.match(line):
                lines.setdefault(f"[{section}] {key[1]}" if section else key[1], number)
        if len(_MULTI_LINE_QUOTE.findall(line)) % 2:
            in_quotes = not in_quotes
    return lines


class _Reading:
    """One pass over the tables of a file; what is wrong is collected in ``problems``."""

    def __init__(self, tables: dict[str, Any], lines: dict[str, int]) -> None:
        self.lines = lines
        self.problems: list[Problem] = []
        self.sections: dict[str, dict[str, Any]] = {name: {} for name in _KEYS}
        for name, table in tables.items():
            self._take_section(name, table)

    def order(self, source: str) -> Order:
        """Return the order; it means nothing while there are problems."""
        self._program()
        order_id, note = self._order_id(), self._text("order", "note", "free text")
        rate_ul_h, duration_s = self._rate_or_time()
        vtbi_ul = self._required("therapy", "vtbi", parse_volume_ul, '"10 mL"')
        kvo_ul_h = self._kvo_ul_h()
        kind, item_id = self._item()
        content_ul = self._content_ul(kind, item_id)
        return Order(
            order_id=order_id,
            note=note,
            kind=kind,
            item_id=item_id,
            content_ul=content_ul,
            vtbi_ul=vtbi_ul,
            rate_ul_h=rate_ul_h,
            duration_s=duration_s,
            kvo_ul_h=kvo_ul_h,
            drive_id=self._drive_id(kind),
            source=source,
            lines=self.lines,
        )

    # -- sections and keys ---------------------------------------------------------------------

    def _take_section(self, name: str, table: Any) -> None:
        if name not in _KEYS:
            self._unknown_section(name, table)
        elif not isinstance(table, dict):
            self._add(name, f"{name} is a section", f"Write [{name}] on a line of its own")
        else:
            self.sections[name] = table
            for key in table:
                if key not in _KEYS[name]:
                    self._unknown_key(name, key)

    def _unknown_section(self, name: str, table: Any) -> None:
        if isinstance(table, dict | list):
            self._add(f"[{name}]", "there is no such section", _nearest(name, tuple(_KEYS), "[{}]"))
            return
        homes = [f"[{section}]" for section, keys in _KEYS.items() if name in keys]
        remedy = f"It belongs under {homes[0]}" if homes else "Every key stands under a section"
        self._add(name, "this key stands outside of any section", remedy)

    def _unknown_key(self, section: str, key: str) -> None:
        homes = [f"[{name}]" for name, keys in _KEYS.items() if key in keys]
        remedy = f"It belongs under {homes[0]}" if homes else _nearest(key, _KEYS[section], "{}")
        self._add(f"[{section}] {key}", "there is no such key here", remedy)

    def _add(self, key: str, what: str, remedy: str) -> None:
        line = self.lines.get(key) or self.lines.get(key.partition(" ")[0], 0)
        self.problems.append(Problem(key, line, what, remedy))

    def _given(self, section: str, key: str) -> bool:
        return key in self.sections[section]

    def _is_text(self, section: str, key: str) -> bool:
        return isinstance(self.sections[section].get(key), str)

    def _text(self, section: str, key: str, example: str) -> str:
        """Return the text of a key; empty where it is missing or no text."""
        value = self.sections[section].get(key, "")
        if isinstance(value, str):
            return value
        what = f"{value} is {_TYPE_NAMES.get(type(value), 'a date or time')}, not a text in quotes"
        self._add(f"[{section}] {key}", what, f"Write {key} = {example}")
        return ""

    def _quantity(self, section: str, key: str, parse: Callable[[str], int], example: str) -> int:
        """Return what a key counts; 0 where it is missing or wrong."""
        text = self._text(section, key, example)
        if not self._is_text(section, key):
            return 0
        try:
            return parse(text)
        except QuantityError as error:
            self._add(f"[{section}] {key}", error.what, error.remedy)
            return 0

    def _required(self, section: str, key: str, parse: Callable[[str], int], example: str) -> int:
        if not self._given(section, key):
            self._add(f"[{section}] {key}", "this is missing", f"Write {key} = {example}")
            return 0
        return self._quantity(section, key, parse, example)

    # -- what the keys say ---------------------------------------------------------------------

    def _order_id(self) -> str:
        order_id = self._text("order", "id", '"my-order"')
        longest = wire.GREATEST_STRING_BYTES
        remedy = f'Write up to {longest} small letters, digits and hyphens, like id = "my-order"'
        if not self._given("order", "id"):
            self._add("[order] id", "this is missing", remedy)
        elif self._is_text("order", "id") and not (
            _KEBAB_CASE.fullmatch(order_id) and len(order_id) <= longest
        ):
            self._add("[order] id", f'"{order_id}" cannot name an order', remedy)
        return order_id

    def _program(self) -> None:
        if not self._given("therapy", "program"):
            self._add("[therapy] program", "this is missing", 'Write program = "continuous"')
            return
        program = self._text("therapy", "program", '"continuous"')
        if self._is_text("therapy", "program") and program not in _PROGRAMS:
            self._add(
                "[therapy] program",
                f'there is no program "{program}"',
                _nearest(program, _PROGRAMS, '"{}"'),
            )

    def _rate_or_time(self) -> tuple[int, int]:
        if self._given("therapy", "rate") == self._given("therapy", "time"):
            found = "both" if self._given("therapy", "rate") else "neither"
            self._add(
                "[therapy] rate",
                f"an infusion takes either a rate or a time; there is {found}",
                'Write rate = "5 mL/h", or time = "2 h", and the VTBI',
            )
        return (
            self._quantity("therapy", "rate", parse_rate_ul_h, '"5 mL/h"'),
            self._quantity("therapy", "time", parse_duration_s, '"2 h"'),
        )

    def _kvo_ul_h(self) -> int:
        words = {"rule": therapy.KVO_BY_RULE, "off": therapy.KVO_OFF}
        if not self._given("therapy", "kvo"):
            return words["rule"]
        value = self._text("therapy", "kvo", '"rule", "off" or "1 mL/h"')
        if value in words:
            return words[value]
        if value.isalpha():
            self._add(
                "[therapy] kvo", f'"{value}" is no KVO', 'Write "rule", "off", or a rate "1 mL/h"'
            )
            return 0
        return self._quantity("therapy", "kvo", parse_rate_ul_h, '"rule", "off" or "1 mL/h"')

    def _item(self) -> tuple[int, str]:
        given = [key for key in ("syringe", "head") if self._given("container", key)]
        if len(given) != 1:
            found = "both" if given else "neither"
            self._add(
                "[container]",
                f"an order takes either a syringe or a head; there is {found}",
                'Write syringe = "bd-plastipak-50", or another of docs/catalogue.md',
            )
        key = given[0] if given else "syringe"
        kind = KIND_SYRINGE if key == "syringe" else KIND_PERISTALTIC
        item_id = self._text("container", key, '"bd-plastipak-50"')
        if self._is_text("container", key) and item_id not in items.item_ids(kind):
            self._unknown_item(key, kind, item_id)
        return kind, item_id

    def _unknown_item(self, key: str, kind: int, item_id: str) -> None:
        other_key, other_kind = (
            ("head", KIND_PERISTALTIC) if kind == KIND_SYRINGE else ("syringe", KIND_SYRINGE)
        )
        if item_id in items.item_ids(other_kind):
            remedy = f'Write {other_key} = "{item_id}"'
        else:
            remedy = f"{items.nearest(item_id, items.item_ids(kind))}docs/catalogue.md has them all"
        self._add(f"[container] {key}", f'there is no {key} "{item_id}"', remedy)

    def _content_ul(self, kind: int, item_id: str) -> int:
        if kind == KIND_SYRINGE and not self._given("container", "content"):
            return items.capacity_ul(item_id)
        return self._required("container", "content", parse_volume_ul, '"500 mL"')

    def _drive_id(self, kind: int) -> str:
        drive_id = self._text("pump", "drive", f'"{items.DEFAULT_DRIVES[kind]}"')
        if self._is_text("pump", "drive") and drive_id not in items.drive_ids(kind):
            self._add("[pump] drive", *items.unknown_drive(kind, drive_id))
        return drive_id


_TYPE_NAMES = {
    int: "a bare number",
    float: "a bare number",
    bool: "true or false",
    list: "a list",
    dict: "a section",
}


def _nearest(found: str, known: tuple[str, ...], form: str) -> str:
    close = difflib.get_close_matches(found.lower(), known, 1)
    if close:
        return f"Did you mean {form.format(close[0])}?"
    return f"Known: {', '.join(form.format(name) for name in known)}"
