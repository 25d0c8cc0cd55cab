"""Running the tools of a build: what they say is kept in a log, and told when they fail."""

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from micropump_host.errors import MicropumpError

_LAST_LINES = 8
# Messages in English and times in UTC, so that a log and a build are the same everywhere. Without a
# fixed seed the names of a GPIO that has two come out of MicroPython's make-pins.py in any order.
# Nothing is written into the trees that scripts come from.
_ENVIRONMENT = {
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
}


class ToolError(MicropumpError):
    """A tool of the build failed."""


def ignore(_line: str) -> None:
    """Do nothing with a line."""


class Log:
    """A build's log file.

    Args:
        path: the file; its folder is made, and what was in it is lost.

    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("", encoding="utf-8")

    def run(
        self,
        command: Sequence[str | Path],
        *,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
        on_line: Callable[[str], None] = ignore,
        remedy: str = "",
    ) -> list[str]:
        """Run a command to its end; returns the lines that it said, errors among them.

        Args:
            command: program and arguments.
            folder: where to run it; here when None.
            environment: variables beside the present ones.
            on_line: called with each line as it comes.
            remedy: what a user can do when it fails, beside reading the log.

        Raises:
            ToolError: if it cannot be run or fails, with its last lines.

        """
        words = [str(word) for word in command]
        lines: list[str] = []
        with self.path.open("a", encoding="utf-8") as log:
            log.write(f"$ {' '.join(words)}\n")
            try:
                process = subprocess.Popen(
                    words,
                    cwd=folder,
                    env={**os.environ, **_ENVIRONMENT, **(environment or {})},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    errors="replace",
                )
            except OSError as error:
                what = f"cannot run {words[0]} ({error.strerror})"
                raise ToolError(what, str(self.path), remedy) from None
            with process:
                for line in process.stdout or ():
                    log.write(line)
                    lines.append(line.rstrip("\n"))
                    on_line(lines[-1])
        if process.returncode:
            raise self._failed(words, lines, remedy)
        return lines

    def _failed(self, words: list[str], lines: list[str], remedy: str) -> ToolError:
        last = "".join(f"\n    {line}" for line in lines[-_LAST_LINES:] if line.strip())
        what = f"{Path(words[0]).name} failed; its last words:{last}\n "
        return ToolError(what, str(self.path), remedy or "The log has all of it.")
