"""Columns of numbers from a CSV file, with the line of whatever is wrong in it."""

import csv
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from micropump_host.errors import MicropumpError

Floats = NDArray[np.float64]

_INLINE_HASH = re.compile(r"^[^#\n]++#", re.MULTILINE)


@dataclass(frozen=True, eq=False)
class Table:
    """The named columns of one file.

    Attributes:
        path: the file.
        values: the numbers, shape (rows, columns), columns in the order asked for. They may be
            NaN or infinite: what a value has to be is for the reader of the table to say.

    """

    path: Path
    values: Floats

    def where(self, row: int) -> str:
        """Return ``path:line`` of a row (0 is the first below the header)."""
        rows = _rows(_read_text(self.path))
        next(rows)
        for _ in range(row):
            next(rows)
        return f"{self.path}:{next(rows)[0]}"


def read_table(path: Path, columns: Sequence[str]) -> Table:
    """Read the named columns of a comma-separated file.

    The first line that is neither blank nor a comment (a line starting with ``#``) is the
    header. Further columns are allowed, in any order, and are not looked at.

    Args:
        path: the file, UTF-8.
        columns: names that the header must have.

    Raises:
        MicropumpError: if there is no such file, it is a directory, empty or not text, the header
            lacks a column, or a field is not a number.

    """
    text = _read_text(path)
    header_line, fields = next(_rows(text), (0, []))
    wanted = [_column_index(path, header_line, fields, columns, name) for name in columns]
    values = _parse_fast(path, text, header_line, wanted)
    if values is None:
        values = _parse_slow(path, text, wanted, columns)
    return Table(path, values)


def _read_text(path: Path) -> str:
    remedy = "Give a CSV file of a balance's readings."
    if path.is_dir():
        raise MicropumpError("this is a directory, not a file", str(path), remedy)
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise MicropumpError("there is no such file", str(path), "Check the path.") from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise MicropumpError(f"cannot read the file: {reason}", str(path), "") from error
    if not raw.strip():
        raise MicropumpError("the file is empty", str(path), remedy)
    remedy = "Save the readings as comma-separated text in UTF-8."
    if b"\0" in raw:
        raise MicropumpError("this is a binary file, not CSV text", str(path), remedy)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise MicropumpError("this is not UTF-8 text", f"{path}:{line}", remedy) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, fields) of every line that is neither blank nor a comment."""
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip()
        if stripped and not stripped.startswith("#"):
            yield number, [field.strip() for field in next(csv.reader([stripped]))]


def _column_index(
    path: Path, line: int, fields: list[str], columns: Sequence[str], name: str
) -> int:
    if name not in fields:
        expected = ",".join(columns)
        found = ",".join(fields)[:60] or "nothing but comments"
        raise MicropumpError(
            f"the header has no column {name!r} (found: {found})",
            f"{path}:{line}" if line else str(path),
            f"The first line must name the columns {expected}, separated by commas.",
        )
    return fields.index(name)


def _parse_fast(path: Path, text: str, header_line: int, wanted: list[int]) -> Floats | None:
    """Parse with numpy's C parser; None where it stumbles and a slower look is needed."""
    comments = "#" if "#" in text else None
    if comments and _INLINE_HASH.search(text):
        return None  # numpy would cut the line there, and half a field may still be a number
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*input contained no data.*")
            return np.loadtxt(
                path,
                dtype=np.float64,
                delimiter=",",
                comments=comments,
                skiprows=header_line,
                usecols=wanted,
                ndmin=2,
                encoding="utf-8-sig",
                quotechar='"',
            )
    except (ValueError, OSError):
        return None


def _parse_slow(path: Path, text: str, wanted: list[int], columns: Sequence[str]) -> Floats:
    rows = _rows(text)
    next(rows)
    values = [
        [_number(path, line, fields, *column) for column in zip(wanted, columns, strict=True)]
        for line, fields in rows
    ]
    return np.array(values, dtype=np.float64).reshape(len(values), len(wanted))


def _number(path: Path, line: int, fields: list[str], index: int, name: str) -> float:
    where = f"{path}:{line}"
    remedy = "Correct or remove the line."
    if index >= len(fields):
        raise MicropumpError(f"the line has no field for column {name!r}", where, remedy)
    try:
        # Python reads 1_000 as a number; nothing that writes CSV means it so.
        return float(fields[index].replace("_", "?"))
    except ValueError:
        what = f"{fields[index][:40]!r} in column {name!r} is not a number"
        raise MicropumpError(what, where, remedy) from None
