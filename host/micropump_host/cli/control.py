"""The commands that ask a pump one thing: status, info, log, pause, resume, stop, rate."""

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.table import Table

from micropump_host.cli.common import (
    add_port,
    alarm_texts,
    connect,
    console,
    duration,
    ml,
    print_json,
    rate,
)
from micropump_host.client import Event, Pump, Status
from micropump_host.errors import EXIT_DONE, UsageError

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

_COMMANDS = {
    "pause": (
        "stop the motor at once and keep the therapy",
        "`micropump resume` goes on where it stopped.",
        Pump.pause,
    ),
    "resume": (
        "go on after a pause",
        "After an alarm that stopped the pump, `micropump acknowledge` comes first.",
        Pump.resume,
    ),
    "stop": (
        "stop the motor at once and end the therapy",
        "What was delivered stays in the status and the log; to infuse on, run a new order.",
        Pump.stop,
    ),
    "acknowledge": (
        "take note of the pump's alarms",
        "A pump that an alarm has stopped is paused then, and waits for `micropump resume`.",
        Pump.acknowledge,
    ),
}

_EXAMPLES = """\
examples:
  micropump {command} --port /dev/ttyACM0
  micropump {command} --port pump.tty --json         for a script
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add all of them."""
    status = _add(
        subparsers,
        "status",
        "what the pump is doing",
        "State, alarms, rate, what is infused of the VTBI and how long the rest takes.",
    )
    status.set_defaults(handler=run_status)
    info = _add(subparsers, "info", "what the pump is: firmware, board, mechanism", "")
    info.set_defaults(handler=run_info)
    log = _add(
        subparsers,
        "log",
        "the pump's log of events",
        "Oldest first; the pump keeps the newest 256 entries.",
    )
    log.add_argument("--first", type=int, default=0, metavar="N", help="begin with entry N")
    log.set_defaults(handler=run_log)
    for name, (text, more, method) in _COMMANDS.items():
        parser = _add(subparsers, name, text, more)
        parser.set_defaults(handler=run_command, method=method)
    change = _add(
        subparsers,
        "rate",
        "change the rate of the running infusion",
        "There is no gap in the step train, and the VTBI stays as it is.",
        '"7.5 mL/h"',
    )
    change.add_argument("rate", metavar="RATE", help='the new rate with its unit: "7.5 mL/h"')
    change.set_defaults(handler=run_rate)


def _add(
    subparsers: "Subparsers", name: str, text: str, more: str, example: str = ""
) -> argparse.ArgumentParser:
    """Add a command that asks the pump at ``--port`` one thing."""
    parser = subparsers.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}. {more}",
        epilog=_EXAMPLES.format(command=f"{name} {example}".strip()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_port(parser)
    return parser


def run_status(args: argparse.Namespace) -> int:
    """``micropump status``."""
    with connect(args) as pump:
        status = pump.status()
    return _show(args, status)


def run_info(args: argparse.Namespace) -> int:
    """``micropump info``."""
    with connect(args) as pump:
        info = pump.info
    if args.json:
        print_json(asdict(info))
        return EXIT_DONE
    table = Table(show_header=False, title=f"Pump at {args.port}")
    table.add_row("firmware", info.firmware)
    if info.content:
        table.add_row("frozen content", info.content)
    table.add_row("runs on", f"{info.ground}, {info.interpreter}, board {info.board}")
    table.add_row("last reset", info.reset_cause)
    table.add_row("mechanism", f"{info.kind} on drive {info.drive_id}")
    speeds = {0.0: "as fast as it goes (simulated)", 1.0: "real"}
    table.add_row("time", speeds.get(info.time_factor, f"{info.time_factor:g} × (simulated)"))
    table.add_row("state", info.state)
    table.add_row("log", f"entries {info.first_event} to {info.next_event - 1}")
    console.print(table)
    return EXIT_DONE


def run_log(args: argparse.Namespace) -> int:
    """``micropump log``."""
    if args.first < 0:
        raise UsageError(f"there is no entry {args.first}", "--first", "Entries count from 0.")
    with connect(args) as pump:
        events = list(pump.events(args.first))
        lost = max(0, pump.info.first_event - args.first)
    if args.json:
        print_json({"overwritten": lost, "events": [asdict(event) for event in events]})
    else:
        console.print(events_table(events))
        if lost:
            console.print(f"{lost} older entries have been overwritten.")
    return EXIT_DONE


def run_command(args: argparse.Namespace) -> int:
    """``micropump pause|resume|stop|acknowledge``."""
    with connect(args) as pump:
        args.method(pump)
        status = pump.status()
    return _show(args, status)


def run_rate(args: argparse.Namespace) -> int:
    """``micropump rate``."""
    # pint, which reads the unit, takes a while to load.
    from micropump_host.orders.quantity import QuantityError, parse_rate_ul_h  # noqa: PLC0415

    try:
        rate_ul_h = parse_rate_ul_h(args.rate)
    except QuantityError as error:
        raise UsageError(error.what, "RATE", error.remedy) from None
    with connect(args) as pump:
        pump.set_rate(rate_ul_h)
        status = pump.status()
    return _show(args, status)


def _show(args: argparse.Namespace, status: Status) -> int:
    if args.json:
        print_json(asdict(status))
    else:
        console.print(status_table(status))
    return EXIT_DONE


def status_table(status: Status) -> Table:
    """The status for a person."""
    table = Table(show_header=False, title="Pump")
    table.add_row("state", status.state)
    for text in alarm_texts(status):
        table.add_row("[red]alarm[/red]", text)
    if status.item_id:
        table.add_row("mechanism", status.item_id)
        table.add_row("rate", rate(status.rate_ul_h))
        table.add_row("infused", f"{ml(status.infused_ul)} of {ml(status.vtbi_ul)}")
        table.add_row("KVO volume", ml(status.kvo_ul))
        table.add_row("time remaining", duration(status.remaining_s))
    table.add_row("up for", duration(status.uptime_s))
    return table


def events_table(events: list[Event]) -> Table:
    """The log for a person."""
    table = Table(title="Log")
    table.add_column("no.", justify="right")
    table.add_column("uptime", justify="right")
    table.add_column("event")
    table.add_column("detail")
    for event in events:
        table.add_row(str(event.number), f"{event.uptime_s:.3f} s", event.name, event.text)
    return table
