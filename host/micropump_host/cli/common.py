"""What the commands share: the port, the console, the wording of states and volumes."""

import argparse
import json
import os
from typing import Any

from rich.console import Console

from micropump import alarms
from micropump_host.client import Pump, Status
from micropump_host.errors import UsageError

PORT_VARIABLE = "MICROPUMP_PORT"

# Tables go to stdout; progress and remarks go to stderr, so that --json stays clean.
console = Console()
remarks = Console(stderr=True)


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


def alarm_texts(status: Status) -> list[str]:
    """What a person is told of the alarms that are active."""
    return [row[5] for row in alarms.ALARMS if row[1] in status.alarms]
