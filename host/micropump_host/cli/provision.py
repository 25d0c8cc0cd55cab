"""The command ``micropump provision``: the key that a pump verifies drug libraries with."""

import argparse
from dataclasses import asdict
from pathlib import Path

from micropump_host.cli.common import add_port, connect, console, print_json, remarks
from micropump_host.cli.installed import busy_or, library_table
from micropump_host.cli.keys import read_key, write_new_key
from micropump_host.client import LibraryInfo, Pump, PumpRefusedError
from micropump_host.errors import EXIT_DONE, MicropumpError

_EPILOG = """\
examples:
  micropump provision --new-key lib.key --port /dev/ttyACM0     make a key, and give it to the pump
  micropump provision --key lib.key --port pump.tty             a key that there is already
  micropump provision --key new.key --old lib.key               another key in place of the first

A key is a file with 32 bytes as hexadecimal digits: whoever has it can sign what the pump obeys.
The pump keeps it, does not tell it, and takes another one only with the one that it has.
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "provision",
        help="give the pump the key that its drug libraries are signed with",
        description="Give the pump the key that its drug libraries are signed with, before the "
        "first of them is installed.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    either = parser.add_mutually_exclusive_group(required=True)
    either.add_argument("--key", type=Path, metavar="FILE", help="the key, in hex")
    either.add_argument(
        "--new-key", type=Path, metavar="FILE", help="make a key at random, and keep it in FILE"
    )
    parser.add_argument(
        "--old", type=Path, metavar="FILE", help="the key that the pump has, to replace it"
    )
    add_port(parser)
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    """``micropump provision``."""
    before = read_key(args.old) if args.old else b""
    key = read_key(args.key) if args.key else b""
    with connect(args) as pump:
        if args.new_key:
            _provision_anew(pump, args.new_key, before)
        else:
            _provision(pump, key, before)
        info = pump.library()
    if args.json:
        print_json(asdict(info))
    else:
        console.print(library_table(info))
        _remark(info)
    return EXIT_DONE


def _provision_anew(pump: Pump, path: Path, before: bytes) -> None:
    """A key goes into its file before it goes to the pump, which would not tell it."""
    key = write_new_key(path)
    try:
        _provision(pump, key, before)
    except PumpRefusedError:
        path.unlink()
        raise
    except MicropumpError:
        remarks.print(
            f"Whether the pump has taken the key is not known: keep {path}, and try again with"
            " --key.",
            markup=False,
            soft_wrap=True,
        )
        raise


def _provision(pump: Pump, key: bytes, before: bytes) -> None:
    try:
        pump.provision(key, before)
    except PumpRefusedError as error:
        raise busy_or(error) from None


def _remark(info: LibraryInfo) -> None:
    if info.missing:
        remarks.print("To install a library that is signed with it: micropump library install.")
