"""The command line: ``micropump``."""

import argparse
import json
import sys
import textwrap
from collections.abc import Sequence

from micropump import VERSION
from micropump_host.cli import (
    accuracy,
    compare,
    control,
    demo,
    evidence,
    flash,
    image,
    library,
    occlusion,
    order,
    plan,
    provision,
    purge,
    run,
    secondary,
    sensors,
    settings,
    simulate,
)
from micropump_host.cli.common import CommandParser
from micropump_host.errors import EXIT_REFUSED, MicropumpError

_DESCRIPTION = """\
Drive an infusion pump built on a Raspberry Pi Pico, simulate it without hardware, and measure how
accurately it delivers.
"""

_NEVER = "A bench and development device, NEVER FOR PATIENTS."

_EPILOG = """\
first steps, without hardware:
  micropump demo                                two infusions and their curves, in out/demo
  micropump simulate --link pump.tty &          a virtual pump on a port
  micropump run examples/orders/demo-syringe.toml --port pump.tty
  micropump status --port pump.tty

--port takes a device (/dev/ttyACM0, COM3), socket://HOST:PORT or rfc2217://HOST:PORT; it can also
be set as MICROPUMP_PORT. Exit codes: 0 done, 1 the pump or a check said no, 2 wrong usage.
"""


def build_parser() -> argparse.ArgumentParser:
    """The parser with every command."""
    parser = CommandParser(
        prog="micropump",
        description=f"{_NEVER}\n\n{_DESCRIPTION}",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"micropump {VERSION}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in (
        simulate, plan, order, run, control, sensors, settings, secondary, purge, accuracy, compare,
        demo, evidence, library, provision, image, flash,
    ):  # fmt: skip
        module.add_parser(commands)
    commands.choices["accuracy"].words["occlusion"] = occlusion.parser()
    words = [word for each in commands.choices.values() for word in each.words.values()]
    for command in (*commands.choices.values(), *words):
        command.description = f"{_NEVER}\n\n{textwrap.fill(command.description or '', 79)}"
        command.formatter_class = argparse.RawDescriptionHelpFormatter
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code: 0 done, 1 refused, 2 wrong usage."""
    args = build_parser().parse_args(arguments)
    try:
        return int(args.handler(args))
    except MicropumpError as error:
        _explain(error, as_json=getattr(args, "json", None) is True)
        return error.exit_code
    except KeyboardInterrupt:
        print("micropump: interrupted", file=sys.stderr)
        return EXIT_REFUSED
    except BrokenPipeError:
        # Whoever read our output has heard enough.
        sys.stderr.close()
        return EXIT_REFUSED


def _explain(error: MicropumpError, as_json: bool) -> None:
    """What was wrong, where, and what to do."""
    if as_json:
        print(json.dumps({"error": error.what, "where": error.where, "remedy": error.remedy}))
    print(f"micropump: {error.what}", file=sys.stderr)
    if error.where:
        print(f"  where: {error.where}", file=sys.stderr)
    if error.remedy:
        print(f"  what to do: {error.remedy}", file=sys.stderr)
