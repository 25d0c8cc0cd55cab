"""Reading tables of TOML key by key; collects all that is wrong with them."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a board file.

    Attributes:
        where: section and key, for example ``"[pins.step] gpio"``.
        what: what is wrong, without a full stop.
        remedy: what to do.

    """

    where: str
    what: str
    remedy: str

    def __str__(self) -> str:
        """All of it on a line."""
        return f"{self.where}: {self.what}. {self.remedy}"


def near(found: object, known: Iterable[str]) -> str:
    """A question for what may have been meant; empty where nothing is alike."""
    close = difflib.get_close_matches(str(found), list(known), 1)
    return f"Did you mean {close[0]}?" if close else ""


class Form:
    """What is wrong with a file, and the ways to read a value.

    Each way names the place (``where``, for example ``"[pins.step]"``) and the key, and returns a
    value of the right type whatever stands there, so that reading goes on.

    Attributes:
        problems: what was found so far.

    """

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def add(self, where: str, what: str, remedy: str) -> None:
        """One more thing that is wrong."""
        self.problems.append(Problem(where, what, remedy))

    def unknown_keys(self, where: str, table: Mapping[str, Any], known: Iterable[str]) -> None:
        """Tell keys that nothing reads."""
        for key in table:
            if key not in known:
                place = f"{where} {key}".strip()
                remedy = near(key, known) or f"Known: {', '.join(known)}"
                self.add(place, "unknown key", remedy)

    def text(self, where: str, table: Mapping[str, Any], key: str) -> str:
        """Text that is not empty."""
        value = table.get(key)
        if isinstance(value, str) and value:
            return value
        self.wrong(where, key, value, "text in quotes")
        return ""

    def number(
        self,
        where: str,
        table: Mapping[str, Any],
        key: str,
        least: int,
        greatest: int,
        default: int | None = None,
    ) -> int:
        """A whole number from ``least`` to ``greatest``."""
        value = table.get(key, default)
        right = isinstance(value, int) and not isinstance(value, bool)
        if right and least <= value <= greatest:
            return int(value)
        self.wrong(where, key, value, f"a whole number from {least} to {greatest}")
        return least

    def choice(
        self,
        where: str,
        table: Mapping[str, Any],
        key: str,
        known: Iterable[str],
        default: str | None = None,
    ) -> str:
        """One of the words that are known."""
        value = table.get(key, default)
        if isinstance(value, str) and value in known:
            return value
        self.wrong(where, key, value, f"one of {', '.join(known)}", near(value, known))
        return default or ""

    def wrong(self, where: str, key: str, value: Any, wanted: str, remedy: str = "") -> None:
        """A value that is missing or is not what was wanted."""
        if value is None:
            self.add(f"{where} {key}", "is missing", f"Give {wanted}")
        else:
            self.add(f"{where} {key}", f"{value!r} must be {wanted}", remedy or "Mend it")

    def flag(self, where: str, table: Mapping[str, Any], key: str, default: bool = False) -> bool:
        """True or false."""
        value = table.get(key, default)
        if not isinstance(value, bool):
            self.wrong(where, key, value, "true or false")
        return value is True
