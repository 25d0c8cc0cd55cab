"""The commands that ask a pump one thing, from status and log to bolus and container."""

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from micropump.controller import WRONG_STATE
from micropump.wire import GREATEST_STANDBY_S, LEAST_STANDBY_S
from micropump_host.cli.common import (
    add_port,
    add_rate_or_time,
    add_yes,
    alarm_texts,
    confirmed,
    connect,
    console,
    duration,
    figure,
    known_duration,
    ml,
    print_json,
    rate,
    rate_or_time,
    remarks,
    require_someone_to_ask,
)
from micropump_host.cli.override import (
    NOT_JUDGED,
    add_override,
    confirm_override,
    override_text,
    standing_text,
)
from micropump_host.client import Event, Pump, PumpRefusedError, Status
from micropump_host.errors import EXIT_DONE, EXIT_REFUSED, UsageError
from micropump_host.orders import parse_duration_s, parse_rate_ul_h, parse_volume_ul

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


def _mute(pump: Pump) -> str:
    try:
        return pump.pause_audio()
    except PumpRefusedError as error:
        if error.code != WRONG_STATE:
            raise
        status = pump.status()
        what = "the sound is paused already" if status.audio_paused else "no alarm is active"
        raise PumpRefusedError(
            what,
            error.where,
            "A pause is of the alarms that are active, for two minutes, and is not made longer.",
            error.code,
            error.field,
        ) from None


_COMMANDS = {
    "resume": (
        "go on after a pause",
        "After an alarm that stopped the pump, `micropump acknowledge` comes first.",
        Pump.resume,
    ),
    "stop": (
        "stop the motor and end the therapy",
        "A peristaltic head finishes its stroke, unless it is told a second time. What was"
        " delivered stays in the status and the log; to infuse on, run a new order.",
        Pump.stop,
    ),
    "acknowledge": (
        "take note of the pump's alarms",
        "A pump that an alarm has stopped is paused then, and waits for `micropump resume`.",
        Pump.acknowledge,
    ),
    "mute": (
        "pause the sound of the alarms for two minutes",
        "Of those that are active: a new alarm sounds at once. Their light stays, nothing is"
        " acknowledged, and a pause cannot be made longer.",
        _mute,
    ),
    "demand": (
        "press the patient's button of a PCA",
        "The pump gives the dose if neither lockout nor limits forbid it, says why if not, and"
        " counts it either way.",
        Pump.demand,
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
        "State, alarms and how they are signalled, drug and where it stands to the drug library,"
        " rate, what is infused of the VTBI, how long the rest takes, what the container still"
        " holds, and how a patient's demands stand.",
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
    pause = _add(
        subparsers,
        "pause",
        "stop the motor and keep the therapy",
        "A peristaltic head finishes its stroke, a bolus under way ends, and a purge is over;"
        " `micropump resume` goes on where it stopped. The pump reminds of a pause after 15 min, or"
        " after a time that is given, now or to a pump that is paused already.",
    )
    pause.add_argument(
        "--standby",
        metavar="TIME",
        help='remind of it after 1 min to 24 h: "2 h", "45 min"',
    )
    pause.set_defaults(handler=run_pause)
    change = _add(
        subparsers,
        "rate",
        "change the rate of the running infusion",
        "Of a continuous infusion, or the basal rate of a PCA. There is no gap in the step train,"
        " and the VTBI stays as it is. Beyond a soft limit of the drug library it is asked about.",
        '"7.5 mL/h"',
    )
    change.add_argument("rate", metavar="RATE", help='the new rate with its unit: "7.5 mL/h"')
    add_override(change)
    change.set_defaults(handler=run_rate)
    bolus = _add(
        subparsers,
        "bolus",
        "give a bolus on top of the infusion",
        "At a rate, or spread over a time (a square bolus). It counts towards the VTBI and leaves"
        " the infusion's own rate as it is; a patient's demand goes before it.",
        '"2 mL" --rate "60 mL/h"',
    )
    bolus.add_argument("volume", metavar="VOLUME", help='how much, with its unit: "2 mL"')
    add_rate_or_time(bolus)
    add_yes(bolus, "give it")
    add_override(bolus)
    bolus.set_defaults(handler=run_bolus)
    container = _add(
        subparsers,
        "container",
        "tell the pump that another container is in place",
        "In a pause, in alarm or before the start; the therapy and its volumes are kept. After an"
        " empty container: `micropump acknowledge`, then `micropump resume`.",
        '"50 mL"',
    )
    container.add_argument("content", metavar="CONTENT", help='what it holds: "50 mL"')
    container.add_argument(
        "--drug",
        default="",
        metavar="ID",
        help="the drug in it: another one than that of the therapy ends it",
    )
    container.set_defaults(handler=run_container)


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
    """``micropump resume|stop|acknowledge|mute|demand``."""
    with connect(args) as pump:
        args.method(pump)
        status = pump.status()
    return _show(args, status)


def run_pause(args: argparse.Namespace) -> int:
    """``micropump pause``."""
    standby_s = 0
    if args.standby is not None:
        standby_s = figure(parse_duration_s, args.standby, "--standby")
        if not LEAST_STANDBY_S <= standby_s <= GREATEST_STANDBY_S:
            raise UsageError(
                f"a standby of {args.standby} is not possible",
                "--standby",
                "Give a time from 1 min to 24 h.",
            )
    with connect(args) as pump:
        pump.pause(standby_s)
        status = pump.status()
    return _show(args, status)


def run_rate(args: argparse.Namespace) -> int:
    """``micropump rate``; 1 when an override was not confirmed."""
    rate_ul_h = figure(parse_rate_ul_h, args.rate, "RATE")
    with connect(args) as pump:
        if not confirm_override(args, lambda overrides: pump.set_rate(rate_ul_h, overrides)):
            remarks.print("Not changed.")
            return EXIT_REFUSED
        status = pump.status()
    return _show(args, status)


def run_bolus(args: argparse.Namespace) -> int:
    """``micropump bolus``; 1 when it was not confirmed."""
    volume_ul = figure(parse_volume_ul, args.volume, "VOLUME")
    pace = rate_or_time(args)
    require_someone_to_ask(args, "bolus")
    with connect(args) as pump:
        how = f"at {args.rate}" if args.rate else f"over {args.over}"
        if not args.yes and not confirmed(f"Give a bolus of {ml(volume_ul)} {how}?"):
            remarks.print("Not given.")
            return EXIT_REFUSED
        if not confirm_override(
            args, lambda overrides: pump.bolus(volume_ul, **pace, overrides=overrides)
        ):
            remarks.print("Not given.")
            return EXIT_REFUSED
        status = pump.status()
    return _show(args, status)


def run_container(args: argparse.Namespace) -> int:
    """``micropump container``."""
    content_ul = figure(parse_volume_ul, args.content, "CONTENT")
    with connect(args) as pump:
        pump.change_container(content_ul, args.drug)
        status = pump.status()
    if status.state == "alarm":
        remarks.print("To go on: micropump acknowledge, then micropump resume.")
    elif status.state == "paused":
        remarks.print("To go on: micropump resume.")
    return _show(args, status)


def _show(args: argparse.Namespace, status: Status) -> int:
    if args.json:
        print_json(asdict(status))
    else:
        console.print(status_table(status))
    return EXIT_DONE


# Rows of what was delivered, each where there is any of it: label -> volume of the status.
_DELIVERED = {
    "of it by boluses": "bolus_ul",
    "of it on demand": "demand_ul",
    "from secondaries": "secondary_ul",
    "KVO volume": "kvo_ul",
    "primed": "primed_ul",
    "drawn back": "retracted_ul",
}


def status_table(status: Status) -> Table:
    """The status for a person."""
    table = Table(show_header=False, title="Pump")
    table.add_row("state", status.state)
    if status.reminder_s:
        table.add_row("reminder in", duration(status.reminder_s))
    for text in alarm_texts(status):
        table.add_row("[red]alarm[/red]", text)
    if status.light:
        table.add_row("signal", signal_text(status))
    if status.therapy:
        _add_therapy(table, status)
    table.add_row("up for", duration(status.uptime_s))
    return table


def signal_text(status: Status) -> str:
    """How the most urgent alarm is signalled: "high, sounding", "low, sound paused"."""
    if status.audio_paused:
        return f"{status.light}, sound paused"
    return f"{status.light}, sounding" if status.sound else status.light


def _add_therapy(table: Table, status: Status) -> None:
    table.add_row("therapy", f"{status.therapy}, phase {status.phase + 1}")
    if status.drug_id:
        table.add_row("drug", escape(status.drug_id))
    if status.library != NOT_JUDGED:
        table.add_row("library", standing_text(status.library))
    if status.overrides:
        table.add_row("[yellow]override[/yellow]", override_text(status.overrides))
    table.add_row("mechanism", status.item_id)
    table.add_row("rate", rate(status.rate_ul_h))
    table.add_row("given", f"{ml(status.given_ul)} of {ml(status.vtbi_ul)}")
    for label, name in _DELIVERED.items():
        volume_ul = getattr(status, name)
        if volume_ul:
            table.add_row(label, ml(volume_ul))
    if status.bolus_left_ul:
        table.add_row("bolus still to come", ml(status.bolus_left_ul))
    if status.therapy == "intermittent":
        table.add_row("doses finished", f"{status.doses:,}")
    if status.therapy == "pca":
        table.add_row("demands", f"{status.demands_made:,} made, {status.demands_given:,} given")
        lockout = duration(status.lockout_left_s) + " left" if status.lockout_left_s else "over"
        table.add_row("lockout", lockout)
    lasts = ""
    if status.content_left_s is not None:
        lasts = f", {duration(status.content_left_s)} at this rate"
    table.add_row("left in the container", ml(status.content_ul) + lasts)
    table.add_row("time remaining", known_duration(status.remaining_s))


def events_table(events: list[Event]) -> Table:
    """The log for a person."""
    table = Table(title="Log")
    table.add_column("no.", justify="right")
    table.add_column("uptime", justify="right")
    table.add_column("event")
    table.add_column("detail")
    for event in events:
        table.add_row(str(event.number), f"{event.uptime_s:.3f} s", event.name, escape(event.text))
    return table
