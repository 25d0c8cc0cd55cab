"""Everything that is wrong with what was read, told at once."""

from collections.abc import Sequence
from dataclasses import dataclass

from micropump_host.errors import MicropumpError


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a file.

    Attributes:
        key: what it concerns, as "[therapy] rate"; empty for the file as a whole.
        line: its line in the file, from 1; 0 where that is not known.
        what: what was wrong.
        remedy: what to do about it; may be empty.
        file: which file, where what was read is several; else empty.

    """

    key: str
    line: int
    what: str
    remedy: str
    file: str = ""

    @property
    def where(self) -> str:
        """File, line and key, as far as they are known."""
        parts = (self.file, self.line and f"line {self.line}", self.key)
        return ", ".join(part for part in parts if part)

    def __str__(self) -> str:
        """Everything in one line."""
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}. {self.remedy}" if self.remedy else text


class ProblemsError(MicropumpError):
    """What was read has something wrong with it.

    Args:
        source: the file, the folder, or whatever it came from.
        problems: everything that is wrong with it, at least one.

    """

    thing = "this file"

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        self.source = source
        self.problems = tuple(problems)
        if len(self.problems) == 1:
            (only,) = self.problems
            place = only.where if only.file else ", ".join(filter(None, (source, only.where)))
            super().__init__(only.what, place, only.remedy)
        else:
            listed = "".join(f"\n  - {problem}" for problem in self.problems)
            super().__init__(
                f"{len(self.problems)} things are wrong with {self.thing}{listed}", source
            )
