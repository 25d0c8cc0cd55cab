"""The command ``micropump purge``: fill a line, or draw the plunger back, in two actions."""

import argparse
from dataclasses import asdict

from rich.table import Table

from micropump.mechanism import KIND_PERISTALTIC, KIND_SYRINGE
from micropump.program import PURGE
from micropump.therapy import KVO_OFF
from micropump_host.cli.common import (
    add_port,
    add_yes,
    confirmed,
    connect,
    figure,
    remarks,
    require_someone_to_ask,
)
from micropump_host.cli.follow import accepted_rows, follow, going_on, report, say_gone
from micropump_host.errors import EXIT_REFUSED, UsageError
from micropump_host.orders import parse_rate_ul_h, parse_volume_ul

_EPILOG = """\
examples:
  micropump purge 2mL --rate 300mL/h --syringe bd-plastipak-50 --content 50mL
  micropump purge 5mL --rate 300mL/h --reverse --syringe bd-plastipak-50

Take the line off the patient's side first. A purge counts as primed, not as infused, and speeds up
and slows down gently. With --reverse a syringe's plunger is drawn back; nothing else does that.
"""

_WARNED = "Nobody may be at the other end of the line."


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "purge",
        help="fill the line, or draw the plunger back",
        description="Program a purge, start it after confirmation, and follow it to its end.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("volume", metavar="VOLUME", help='how much, with its unit: "2 mL"')
    parser.add_argument("--rate", metavar="RATE", required=True, help='how fast: "300 mL/h"')
    item = parser.add_mutually_exclusive_group(required=True)
    item.add_argument("--syringe", metavar="ID", help="the syringe, from docs/catalogue.md")
    item.add_argument("--head", metavar="ID", help="the peristaltic head, from docs/catalogue.md")
    parser.add_argument(
        "--content", metavar="CONTENT", help="what the container holds (not needed with --reverse)"
    )
    parser.add_argument("--reverse", action="store_true", help="draw the plunger back")
    add_port(parser)
    add_yes(parser, "start")
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    """``micropump purge``; returns 0 when all of it was purged, 1 when not."""
    fields = _fields(args)
    require_someone_to_ask(args, "purge")
    with connect(args, on_gone=say_gone) as pump:
        accepted = pump.prescribe(PURGE, fields)
        table = Table(show_header=False, title="Draw back" if args.reverse else "Purge")
        table.add_row("mechanism", str(fields["item_id"]))
        accepted_rows(table, accepted)
        remarks.print(table)
        if not args.yes and not confirmed(f"{_WARNED} Start?"):
            remarks.print("Not started.")
            return EXIT_REFUSED
        first_event = pump.info.next_event
        with going_on():
            pump.start(accepted.program_id)
            status = follow(pump)
        pump.watch_for_silence(0)
        return report(args, pump, status, first_event, accepted=asdict(accepted))


def _fields(args: argparse.Namespace) -> dict[str, int | str]:
    if args.content is None and not args.reverse:
        raise UsageError(
            "what the container holds was not told", "--content", 'Write it like "50 mL".'
        )
    content_ul = figure(parse_volume_ul, args.content, "--content") if args.content else 0
    return {
        "kind": KIND_SYRINGE if args.syringe else KIND_PERISTALTIC,
        "item_id": args.syringe or args.head,
        "content_ul": content_ul,
        "containers": 1,
        "order_id": "",
        "delay_s": 0,
        "kvo_ul_h": KVO_OFF,
        "volume_ul": figure(parse_volume_ul, args.volume, "VOLUME"),
        "rate_ul_h": figure(parse_rate_ul_h, args.rate, "--rate"),
        "reverse": int(args.reverse),
    }
