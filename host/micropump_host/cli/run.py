"""The command ``micropump run``: an order goes to the pump, is started, and followed to its end."""

import argparse
import sys
import time
from dataclasses import asdict
from pathlib import Path

from rich.progress import BarColumn, Progress, TextColumn
from rich.prompt import Confirm
from rich.table import Table

from micropump_host.cli.common import (
    add_port,
    alarm_texts,
    connect,
    duration,
    ml,
    print_json,
    rate,
    remarks,
)
from micropump_host.cli.control import status_table
from micropump_host.client import KIND_NAMES, Accepted, Pump, PumpGoneError, Status
from micropump_host.errors import EXIT_DONE, EXIT_REFUSED, MicropumpError, UsageError
from micropump_host.orders import Order, check_order, load_order

POLL_S = 0.2
# A pump that hears nothing for so long tells the people around it; it goes on infusing.
SILENCE_S = 30

_EPILOG = """\
examples:
  micropump run examples/orders/demo-syringe.toml --port /dev/ttyACM0
  micropump run order.toml --yes --json          from a script
  micropump run --attach                         follow what is running already

The host may go away: the pump goes on by itself, and --attach takes up where this left off.
When the VTBI is in, the pump keeps the vein open (KVO) until it is stopped.
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
    parser.add_argument("--yes", action="store_true", help="start without asking")
    parser.add_argument(
        "--attach", action="store_true", help="follow the infusion that is under way; no order"
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
    if order and not args.yes and not sys.stdin.isatty():
        raise UsageError(
            "nobody can be asked for confirmation here",
            "run",
            "Add --yes if the order may be started without asking.",
        )
    if not args.reattach_s >= 0:
        raise UsageError("the time to reattach is below zero", "--reattach-s", "Try 30, or 0.")
    with connect(args, on_gone=_say_gone) as pump:
        # Not before: a pump that cannot be reached at all is said to be so at once.
        pump.reattach_s = args.reattach_s
        accepted = None
        if order:
            accepted = _program(pump, order)
            if not args.yes and not _confirmed():
                remarks.print("Not started.")
                return EXIT_REFUSED
        first_event = pump.info.next_event if order else 0
        try:
            if accepted:
                pump.start(accepted.program_id)
            status = _follow(pump)
        except KeyboardInterrupt:
            remarks.print(
                "\n[yellow]The pump goes on by itself.[/yellow] To follow it again: micropump run"
                " --attach; to stop it: micropump stop."
            )
            raise
        if args.stop_at_end and status.state == "kvo":
            pump.stop()
            status = pump.status()
        pump.watch_for_silence(0)
        return _report(args, pump, order, accepted, status, first_event)


def _confirmed() -> bool:
    try:
        return Confirm.ask("Start?", console=remarks, default=False)
    except EOFError:
        # Ctrl-D, or whoever was to answer has gone.
        return False


def _program(pump: Pump, order: Order) -> Accepted:
    fitted = pump.info
    if fitted.kind != KIND_NAMES[order.container.kind]:
        raise MicropumpError(
            f"this pump is a {fitted.kind} pump and the order is for the other kind",
            order.source,
            "Use an order for the mechanism that `micropump info` shows.",
        )
    now = time.localtime()
    clock_s = now.tm_hour * 3600 + now.tm_min * 60 + min(now.tm_sec, 59)
    checked = check_order(order, fitted.drive_id, clock_s)
    accepted = pump.prescribe(checked.prescription.kind, checked.prescription.fields)
    for line in order.arithmetic:
        remarks.print(line, markup=False, highlight=False)
    table = Table(show_header=False, title=f"Order {order.order_id}")
    table.add_row("mechanism", f"{order.container.item_id} on {fitted.drive_id}")
    table.add_row("rate", rate(accepted.rate_ul_h))
    table.add_row("VTBI", ml(accepted.vtbi_ul))
    table.add_row("time", duration(accepted.duration_s))
    table.add_row("then KVO", rate(accepted.kvo_ul_h) if accepted.kvo_ul_h else "off")
    table.add_row("one microstep", f"{accepted.nl_num / accepted.nl_den:.4g} nL")
    remarks.print(table)
    for warning in checked.warnings or accepted.warnings:
        remarks.print(f"[yellow]warning:[/yellow] {warning}")
    return accepted


def _follow(pump: Pump) -> Status:
    """Show progress until the infusion is no longer under way; returns the last status."""
    if pump.info.time_factor:
        pump.watch_for_silence(min(3600, round(SILENCE_S * max(1.0, pump.info.time_factor))))
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[volume]}, {task.fields[left]} left"),
    )
    with Progress(*columns, console=remarks) as progress:
        task = progress.add_task("infusing", total=1.0, volume="", left="")
        shown: tuple[str, ...] = ()
        while True:
            status = pump.status()
            if status.alarms != shown:
                shown = status.alarms
                for text in alarm_texts(status):
                    progress.console.print(f"[red]alarm:[/red] {text}")
            progress.update(
                task,
                description=status.state,
                completed=status.infused_steps / max(1, status.target_steps),
                volume=f"{ml(status.infused_ul)} of {ml(status.vtbi_ul)}",
                left=duration(status.remaining_s),
            )
            if status.state not in ("infusing", "paused"):
                return status
            time.sleep(POLL_S)


def _report(
    args: argparse.Namespace,
    pump: Pump,
    order: Order | None,
    accepted: Accepted | None,
    status: Status,
    first_event: int,
) -> int:
    delivered = status.target_steps > 0 and status.infused_steps >= status.target_steps
    if args.json:
        print_json(
            {
                "order": order.order_id if order else None,
                "accepted": asdict(accepted) if accepted else None,
                "delivered": delivered,
                "status": asdict(status),
                "events": [asdict(event) for event in pump.events(first_event)],
            }
        )
    else:
        remarks.print(status_table(status))
        if not delivered:
            remarks.print(_why_not_delivered(status))
        if status.state == "kvo":
            remarks.print(
                f"The VTBI is delivered; KVO at {rate(status.rate_ul_h)} goes on until the pump is"
                " stopped (micropump stop)."
            )
    return EXIT_DONE if delivered else EXIT_REFUSED


def _why_not_delivered(status: Status) -> str:
    if not status.target_steps or status.state in ("idle", "programmed"):
        return "No infusion is under way: micropump run ORDER.toml starts one."
    text = f"The VTBI is not delivered; the pump is in the state {status.state}."
    if status.state == "alarm":
        text += " To go on: remove the cause, then micropump acknowledge and micropump resume."
    return text


def _say_gone(error: PumpGoneError) -> None:
    remarks.print(
        f"[yellow]The connection to the pump broke[/yellow] ({error.what}). The pump goes on by"
        " itself; trying to reattach …"
    )
