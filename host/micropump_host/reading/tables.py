"""The tables of a TOML file, read key by key; what is wrong is collected with its line."""

import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from micropump_host.reading.problems import Problem
from micropump_host.reading.quantity import QuantityError

_SECTION_LINE = re.compile(r"\s*\[\s*([\w.-]+)\s*\]")
_ENTRY_LINE = re.compile(r"\s*\[\[\s*([\w.-]+)\s*\]\]")
_KEY_LINE = re.compile(r"""\s*["']?([\w-]+(?:\.[\w-]+)*)["']?\s*=""")
_MULTI_LINE_QUOTE = re.compile("\"\"\"|'''")
_ENTRY_NUMBER = re.compile(r" \d+$")

_TYPE_NAMES = {
    int: "a bare number",
    float: "a bare number",
    bool: "true or false",
    str: "a text",
    list: "a list",
    dict: "a section",
}
_Read = TypeVar("_Read")


def lines_of(text: str) -> dict[str, int]:
    """Return the line of each "[section]" and each "[section] key", the first where it is twice.

    The entries of a list of tables are counted, "[therapy.step 2] rate", and the tables in them
    are theirs, "[use 2.rate] typical".
    """
    lines: dict[str, int] = {}
    entries: dict[str, int] = {}
    section = ""
    in_quotes = False
    for number, line in enumerate(text.splitlines(), 1):
        if not in_quotes:
            if entry := _ENTRY_LINE.match(line):
                entries[entry[1]] = entries.get(entry[1], 0) + 1
                section = f"{entry[1]} {entries[entry[1]]}"
                lines.setdefault(f"[{entry[1]}]", number)
                lines.setdefault(f"[{section}]", number)
            elif header := _SECTION_LINE.match(line):
                section = _in_its_entry(header[1], entries)
                lines.setdefault(f"[{section}]", number)
            elif key := _KEY_LINE.match(line):
                lines.setdefault(f"[{section}] {key[1]}" if section else key[1], number)
        if len(_MULTI_LINE_QUOTE.findall(line)) % 2:
            in_quotes = not in_quotes
    return lines


def _in_its_entry(section: str, entries: Mapping[str, int]) -> str:
    """Return "use 2.rate" for "use.rate" after the second [[use]]."""
    head, _, last = section.rpartition(".")
    return f"{head} {entries[head]}.{last}" if head in entries else section


def nearest(found: str, known: Sequence[str], form: str = "{}") -> str:
    """The question "Did you mean …?", or all that are known, each written as in ``form``."""
    close = difflib.get_close_matches(found.lower(), known, 1)
    if close:
        return f"Did you mean {form.format(close[0])}?"
    return f"Known: {', '.join(form.format(name) for name in known)}"


def line_of(lines: Mapping[str, int], label: str) -> int:
    """Return the line of a key; else of its table, of what the table stands in, of the section."""
    section, _, key = label.lstrip("[").rstrip("]").partition("] ")
    head, _, last = section.rpartition(".")
    name = _ENTRY_NUMBER.sub("", last)
    labels = [label, f"[{section}]", name]
    if head:
        top = _ENTRY_NUMBER.sub("", head)
        labels = [label, f"[{head}] {last}.{key}", f"[{section}]", f"[{head}] {name}"]
        labels += [f"[{head}]", top]
    return next((lines[label] for label in labels if label in lines), 0)


class Problems:
    """Everything that is wrong with a file, in the order in which it was found."""

    def __init__(self, lines: Mapping[str, int]) -> None:
        self.lines = lines
        self.found: list[Problem] = []

    def add(self, label: str, what: str, remedy: str) -> None:
        """Note a problem of a key or a section."""
        self.found.append(Problem(label, line_of(self.lines, label), what, remedy))


class Table:
    """One table of the file, a section or an entry of a list.

    Attributes:
        name: as "therapy" or "therapy.step 2".
        values: its keys, as TOML gives them.

    """

    def __init__(self, name: str, values: Mapping[str, Any], problems: Problems) -> None:
        self.name = name
        self.values = values
        self.problems = problems

    def add(self, key: str, what: str, remedy: str) -> None:
        """Note a problem of a key."""
        self.problems.add(f"[{self.name}] {key}" if key else f"[{self.name}]", what, remedy)

    def given(self, key: str) -> bool:
        """Whether the key is there."""
        return key in self.values

    def is_text(self, key: str) -> bool:
        """Whether the key is there and is a text."""
        return isinstance(self.values.get(key), str)

    def text(self, key: str, example: str) -> str:
        """Return the text of a key; empty where it is missing or no text."""
        value = self.values.get(key, "")
        if isinstance(value, str):
            return value
        self._add_type(key, value, "a text in quotes", example)
        return ""

    def parsed(self, key: str, parse: Callable[[str], _Read], example: str) -> _Read | None:
        """Return what a text is read as; None where it is missing or wrong."""
        text = self.text(key, example)
        return self.read(key, text, parse) if self.is_text(key) else None

    def read(self, key: str, text: str, parse: Callable[[str], _Read]) -> _Read | None:
        """Return what ``text`` is read as; None, and a problem of the key, if it is wrong."""
        try:
            return parse(text)
        except QuantityError as error:
            self.add(key, error.what, error.remedy)
            return None

    def required(self, key: str, example: str) -> bool:
        """Whether the key is there; a problem if not."""
        if not self.given(key):
            self.add(key, "this is missing", f"Write {key} = {example}")
        return self.given(key)

    def table(self, key: str, example: str) -> "Table | None":
        """Return the table that a key is; None where it is missing or anything else."""
        value = self.values.get(key)
        if isinstance(value, dict):
            return Table(f"{self.name}.{key}", value, self.problems)
        if value is not None:
            self._add_type(key, value, "a table", example)
        return None

    def number(self, key: str, least: int, greatest: int, default: int) -> int:
        """Return a bare whole number; the default where it is missing or wrong."""
        value = self.values.get(key, default)
        if type(value) is int and least <= value <= greatest:
            return value
        if type(value) is int:
            what = f"{value} is outside of {least} to {greatest}"
            self.add(key, what, "Write a number within it")
        else:
            self._add_type(key, value, "a whole number without a unit", "2")
        return default

    def texts(self, key: str, example: str) -> list[str]:
        """Return a list of texts; empty where it is missing or anything else."""
        value = self.values.get(key, [])
        if isinstance(value, list) and all(isinstance(text, str) for text in value):
            if not value and self.given(key):
                self.add(key, "the list is empty", f"Write {key} = {example}")
            return value
        self._add_type(key, value, "a list of texts in quotes", example)
        return []

    def entries(self, key: str, known: Sequence[str], example: str) -> "list[Table]":
        """Return the tables of a list, whose keys are all known; empty where there is none."""
        value = self.values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
            self._add_type(key, value, "a list of tables", example)
            return []
        if not value and self.given(key):
            self.add(key, "the list is empty", f"Write {key} = {example}")
        tables = [
            Table(f"{self.name}.{key} {place}", entry, self.problems)
            for place, entry in enumerate(value, 1)
        ]
        for table in tables:
            for unknown in table.unknown(known):
                table.add(unknown, "there is no such key here", nearest(unknown, known))
        return tables

    def unknown(self, known: Sequence[str]) -> Iterator[str]:
        """The keys that are none of ``known``."""
        return (key for key in self.values if key not in known)

    def either(self, keys: Sequence[str], what: str, example: str) -> str:
        """Return the one of some keys that is given; a problem and the first if not exactly one."""
        given = [key for key in keys if self.given(key)]
        if len(given) == 1:
            return given[0]
        none, more = ("neither", "both") if len(keys) == 2 else ("none of them", "more than one")
        found = more if given else none
        self.add((given or keys)[0], f"{what}; there is {found}", f"Write {example}")
        return keys[0]

    def _add_type(self, key: str, value: Any, wanted: str, example: str) -> None:
        what = f"{value} is {_TYPE_NAMES.get(type(value), 'a date or time')}, not {wanted}"
        self.add(key, what, f"Write {key} = {example}")
