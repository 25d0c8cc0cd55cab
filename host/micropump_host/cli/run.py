"""The command ``micropump run``: an order goes to the pump, is started, and followed to its end."""

import argparse
import time
from dataclasses import asdict
from pathlib import Path

from rich.table import Table

from micropump_host.cli.common import (
    add_port,
    add_yes,
    confirmed,
    connect,
    ml,
    rate,
    remarks,
    require_someone_to_ask,
)
from micropump_host.cli.follow import accepted_rows, follow, going_on, report, say_gone
from micropump_host.cli.override import add_override, asked_texts, confirm_override, show_asked
from micropump_host.client import KIND_NAMES, THERAPY_NAMES, Accepted, Pump
from micropump_host.errors import EXIT_REFUSED, MicropumpError, UsageError
from micropump_host.orders import Order, check_order, load_order

_EPILOG = """\
examples:
  micropump run examples/orders/demo-syringe.toml --port /dev/ttyACM0
  micropump run order.toml --yes --json          from a script
  micropump run --attach                         follow what is running already

What is beyond a soft limit of the pump's drug library, or outside it, has to be confirmed a second
time; --yes does not do that, --override does. A hard limit refuses.

The host may go away: the pump goes on by itself, and --attach takes up where this left off. When a
container runs empty before the VTBI is in, a full one is asked for. When the VTBI is in, the pump
keeps the vein open (KVO) until it is stopped. `micropump plan` shows beforehand what an order does.
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "run",
        help="program an order, start it after confirmation, show progress until it ends",
        description="Check an order, send it to the pump, start it after confirmation, and show "
        "its progress until the VTBI is delivered.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("order", nargs="?", type=Path, metavar="ORDER.toml", help="order file")
    add_port(parser)
    add_yes(parser, "start")
    add_override(parser)
    parser.add_argument(
        "--attach", action="store_true", help="follow the therapy that is under way; no order"
    )
    parser.add_argument(
        "--stop-at-end", action="store_true", help="stop the pump at the VTBI instead of KVO"
    )
    parser.add_argument(
        "--reattach-s",
        type=float,
        default=30.0,
        metavar="S",
        help="how long to try to open the port again when it goes away (default: 30)",
    )
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    """``micropump run``; returns 0 when the VTBI was delivered, 1 when not."""
    if bool(args.order) == args.attach:
        raise UsageError("give either an order or --attach", "run", "See micropump run --help.")
    order = load_order(args.order) if args.order else None
    if order:
        require_someone_to_ask(args, "run")
    if not args.reattach_s >= 0:
        raise UsageError("the time to reattach is below zero", "--reattach-s", "Try 30, or 0.")
    with connect(args, on_gone=say_gone) as pump:
        # Not before: a pump that cannot be reached at all is said to be so at once.
        pump.reattach_s = args.reattach_s
        accepted = _program(pump, order) if order else None
        if order and not args.yes and not confirmed("Start?"):
            remarks.print("Not started.")
            return EXIT_REFUSED
        with going_on():
            if order and accepted and not _is_started(args, pump, order, accepted):
                remarks.print("Not started.")
                return EXIT_REFUSED
            first_event = pump.info.next_event if order else 0
            status = follow(pump)
        if args.stop_at_end and status.state == "kvo":
            pump.stop()
            status = pump.status()
        pump.watch_for_silence(0)
        return report(
            args,
            pump,
            status,
            first_event,
            order=order.order_id if order else None,
            accepted=asdict(accepted) if accepted else None,
        )


def _is_started(args: argparse.Namespace, pump: Pump, order: Order, accepted: Accepted) -> bool:
    """Start it, after a second confirmation where a soft limit asks for that."""
    beyond = asked_texts(accepted, order.prescription.fields)
    return confirm_override(
        args, lambda overrides: pump.start(accepted.program_id, overrides), beyond
    )


def _program(pump: Pump, order: Order) -> Accepted:
    fitted = pump.info
    if fitted.kind != KIND_NAMES[order.container.kind]:
        raise MicropumpError(
            f"this pump is a {fitted.kind} pump and the order is for the other kind",
            order.source,
            "Use an order for the mechanism that `micropump info` shows.",
        )
    checked = check_order(order, fitted.drive_id, _clock_s())
    prescription = checked.prescription
    accepted = pump.prescribe(prescription.kind, prescription.fields)
    if order.arithmetic:
        remarks.print("\n".join(order.arithmetic), highlight=False)
    table = Table(show_header=False, title=f"Order {order.order_id}")
    table.add_row("therapy", THERAPY_NAMES[prescription.kind])
    table.add_row("mechanism", f"{order.container.item_id} on {fitted.drive_id}")
    accepted_rows(table, accepted)
    if checked.loading_ul:
        table.add_row("loading dose", f"{ml(checked.loading_ul)} before it")
    table.add_row("then KVO", rate(accepted.kvo_ul_h) if accepted.kvo_ul_h else "off")
    if checked.containers > 1:
        table.add_row(
            "containers", f"{checked.containers} of {ml(order.container.content_ul)} each"
        )
    table.add_row("one microstep", f"{accepted.nl_num / accepted.nl_den:.4g} nL")
    remarks.print(table)
    for warning in checked.warnings or accepted.warnings:
        remarks.print(f"[yellow]warning:[/yellow] {warning}")
    show_asked(accepted, order.prescription.fields)
    return accepted


def _clock_s() -> int:
    """The time of the day on this computer's clock, s."""
    now = time.localtime()
    # A leap second is the last second of its day.
    return min(now.tm_hour * 3600 + now.tm_min * 60 + now.tm_sec, 86_399)
