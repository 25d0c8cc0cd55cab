"""A TOML file as a text and as tables, or the problem why it is neither."""

import re
import tomllib
from pathlib import Path
from typing import Any

from micropump_host.reading.problems import Problem

_TOML_LINE = re.compile(r"\s*\(at line (\d+), column \d+\)")
KEBAB_CASE = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


class UnreadableError(Exception):
    """A file cannot be read as what it should be.

    Attributes:
        problem: why.

    """

    def __init__(self, what: str, remedy: str, line: int = 0) -> None:
        self.problem = Problem("", line, what, remedy)
        super().__init__(str(self.problem))


def file_text(path: str | Path, thing: str) -> str:
    """Return the text of a file.

    Args:
        path: a file in UTF-8, with or without a byte order mark.
        thing: what it is, as "order" or "drug file".

    Raises:
        UnreadableError: if it cannot be read, or is no text.

    """
    try:
        return Path(path).read_bytes().decode("utf-8-sig")
    except IsADirectoryError:
        raise UnreadableError("this is a directory", f"Name the {thing} in it") from None
    except OSError as error:
        raise UnreadableError(
            f"cannot read the {thing} ({error.strerror})", "Check the path"
        ) from None
    except UnicodeDecodeError:
        article = "An" if thing[0] in "aeiou" else "A"
        raise UnreadableError(
            "this is not a text file", f"{article} {thing} is a TOML file in UTF-8"
        ) from None


def toml_tables(text: str) -> dict[str, Any]:
    """Return what a text of TOML holds.

    Raises:
        UnreadableError: if it is not TOML.

    """
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # tomllib's own error is a ValueError
        found = _TOML_LINE.search(str(error))
        what = f"this is not TOML: {_TOML_LINE.sub('', str(error))}"
        raise UnreadableError(what, "Mend that line", int(found[1]) if found else 0) from None
