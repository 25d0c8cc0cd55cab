"""The command ``micropump secondary``: from a second container, then on with the first."""

import argparse
from dataclasses import asdict

from rich.table import Table

from micropump_host.cli.common import (
    add_port,
    add_rate_or_time,
    add_yes,
    confirmed,
    connect,
    console,
    figure,
    print_json,
    rate_or_time,
    remarks,
    require_someone_to_ask,
)
from micropump_host.cli.control import status_table
from micropump_host.cli.follow import accepted_rows
from micropump_host.errors import EXIT_DONE, EXIT_REFUSED
from micropump_host.orders import parse_volume_ul

_EPILOG = """\
examples:
  micropump secondary 50mL --content 60mL --over 30min --port /dev/ttyACM0
  micropump secondary 50mL --content 60mL --rate 100mL/h --yes --json

The primary infusion waits, with its volumes kept, and goes on by itself afterwards. It has to be
continuous or stepped, and infusing, keeping the vein open or paused. `micropump run --attach`
follows both to the end.
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "secondary",
        help="infuse from a second container, then go on with the first",
        description="Load a secondary infusion (piggyback) into the one that is under way, and "
        "start it after confirmation.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("vtbi", metavar="VTBI", help='how much of it, with its unit: "50 mL"')
    parser.add_argument(
        "--content", metavar="CONTENT", required=True, help="what the second container holds"
    )
    add_rate_or_time(parser)
    add_port(parser)
    add_yes(parser, "start")
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    """``micropump secondary``; returns 0 when it was started, 1 when not."""
    vtbi_ul = figure(parse_volume_ul, args.vtbi, "VTBI")
    content_ul = figure(parse_volume_ul, args.content, "--content")
    pace = rate_or_time(args)
    require_someone_to_ask(args, "secondary")
    with connect(args) as pump:
        accepted = pump.secondary(content_ul, vtbi_ul, **pace)
        table = Table(show_header=False, title="Secondary infusion")
        accepted_rows(table, accepted)
        remarks.print(table)
        if not args.yes and not confirmed("Start it?"):
            remarks.print("Not started; the primary is as it was.")
            return EXIT_REFUSED
        pump.start(accepted.program_id)
        status = pump.status()
    if args.json:
        print_json({"accepted": asdict(accepted), "status": asdict(status)})
    else:
        console.print(status_table(status))
    return EXIT_DONE
