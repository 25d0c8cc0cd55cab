"""What the commands share: the port, the console, figures in and out, and questions."""

import argparse
import contextlib
import importlib.util
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.prompt import Confirm

from micropump import alarms
from micropump_host.client import Pump, Status
from micropump_host.errors import MicropumpError, UsageError
from micropump_host.orders import QuantityError, parse_duration_s, parse_rate_ul_h

PORT_VARIABLE = "MICROPUMP_PORT"

# Tables go to stdout; progress and remarks go to stderr, so that --json stays clean.
console = Console()
remarks = Console(stderr=True)


class CommandParser(argparse.ArgumentParser):
    """A command, some of whose first words may be commands of their own.

    Attributes:
        words: their parsers, which take whatever follows the word.

    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.words: dict[str, argparse.ArgumentParser] = {}

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse as ever, or hand over to the command that the first word is."""
        if args and args[0] in self.words:
            return self.words[args[0]].parse_known_args(args[1:], namespace)
        return super().parse_known_args(args, namespace)


def add_port(parser: argparse.ArgumentParser) -> None:
    """Add ``--port``, ``--timeout-s`` and ``--json``."""
    parser.add_argument(
        "--port",
        default=os.environ.get(PORT_VARIABLE),
        help="the pump's port: /dev/ttyACM0, COM3, a pty, socket://HOST:PORT, rfc2217://HOST:PORT"
        f" (default: ${PORT_VARIABLE})",
    )
    parser.add_argument(
        "--timeout-s",
        type=float,
        default=1.0,
        metavar="S",
        help="how long to wait for an answer before asking again (default: 1)",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def connect(args: argparse.Namespace, **options: Any) -> Pump:
    """The pump at ``--port``; raises UsageError without one and the client's own errors."""
    if not args.port:
        raise UsageError(
            "no port was given",
            "--port",
            f"Name the pump's port, or set {PORT_VARIABLE}; `micropump simulate` serves one.",
        )
    if not args.timeout_s > 0:
        raise UsageError("the time-out has to be above zero", "--timeout-s", "Try 1.")
    return Pump(args.port, timeout_s=args.timeout_s, **options)


def add_yes(parser: argparse.ArgumentParser, what: str) -> None:
    """Add ``--yes``; ``what`` is done then without asking."""
    parser.add_argument("--yes", action="store_true", help=f"{what} without asking")


def add_rate_or_time(parser: argparse.ArgumentParser) -> None:
    """Add ``--rate`` and ``--over``, of which one is needed."""
    either = parser.add_mutually_exclusive_group(required=True)
    either.add_argument("--rate", metavar="RATE", help='how fast: "60 mL/h"')
    either.add_argument("--over", metavar="TIME", help='how long it shall take: "30 min", "01:30"')


def rate_or_time(args: argparse.Namespace) -> dict[str, int]:
    """What ``--rate`` or ``--over`` say, as fields of the wire; raises UsageError."""
    if args.rate is not None:
        return {"rate_ul_h": figure(parse_rate_ul_h, args.rate, "--rate")}
    return {"duration_s": figure(parse_duration_s, args.over, "--over")}


def figure(parse: Callable[[str], int], text: str, where: str) -> int:
    """A figure with its unit, as the pump counts it; UsageError if it is none."""
    try:
        return parse(text)
    except QuantityError as error:
        raise UsageError(error.what, where, error.remedy) from None


def require_libraries(command: str, libraries: Sequence[str], extras: str = "accuracy") -> None:
    """Raise MicropumpError where one of ``libraries`` is not there, before anything is done.

    Args:
        command: what needs them.
        libraries: their modules.
        extras: of this package, with which they come.

    """
    for library in libraries:
        if importlib.util.find_spec(library) is None:
            raise MicropumpError(
                f"the library {library} is not installed",
                command,
                f'Install what this command needs with: pip install "micropump[{extras}]"',
            )


@contextlib.contextmanager
def writing(what: str, folder: Path) -> Iterator[None]:
    """A stretch in which ``what`` is written to ``folder``; MicropumpError where it cannot be."""
    try:
        yield
    except OSError as error:
        raise MicropumpError(
            f"{what} cannot be written ({error.strerror})", str(folder), "Choose another DIR."
        ) from None


def can_ask() -> bool:
    """Whether somebody is there to answer."""
    return sys.stdin.isatty()


def require_someone_to_ask(args: argparse.Namespace, command: str) -> None:
    """Raise UsageError where a question would come that nobody can answer."""
    if not args.yes and not can_ask():
        raise UsageError(
            "nobody can be asked for confirmation here",
            command,
            "Add --yes if it may be done without asking.",
        )


def confirmed(question: str) -> bool:
    """Ask; whatever is not a yes is a no."""
    try:
        return Confirm.ask(question, console=remarks, default=False)
    except EOFError:
        # Ctrl-D, or whoever was to answer has gone.
        return False


def print_json(data: Any) -> None:
    """Print ``data`` as JSON on stdout."""
    print(json.dumps(data, indent=2, ensure_ascii=False))


def ml(volume_ul: float) -> str:
    """A volume for a person, in mL."""
    return f"{volume_ul / 1000:.3f} mL"


def rate(rate_ul_h: int) -> str:
    """A rate for a person, in mL/h."""
    return f"{rate_ul_h / 1000:g} mL/h"


def duration(seconds: float) -> str:
    """A duration for a person, as h:mm:ss."""
    minutes, rest_s = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest_s:02}"


def known_duration(seconds: int | None) -> str:
    """A duration for a person, where it is known."""
    return "not known" if seconds is None else duration(seconds)


def alarm_texts(status: Status) -> list[str]:
    """What a person is told of the alarms that are active."""
    return [row[5] for row in alarms.ALARMS if row[1] in status.alarms]
