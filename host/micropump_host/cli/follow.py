"""Following a therapy to its end: progress, alarms, containers that run empty."""

import argparse
import contextlib
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn
from rich.prompt import Prompt
from rich.table import Table

from micropump_host.cli.common import (
    alarm_texts,
    can_ask,
    confirmed,
    duration,
    known_duration,
    ml,
    print_json,
    rate,
    remarks,
)
from micropump_host.cli.control import status_table
from micropump_host.cli.override import NOT_JUDGED, standing_text
from micropump_host.client import Accepted, Pump, PumpGoneError, Status
from micropump_host.errors import EXIT_DONE, EXIT_REFUSED
from micropump_host.orders import QuantityError, parse_volume_ul

POLL_S = 0.2
# A pump that hears nothing for so long tells the people around it; it goes on infusing.
SILENCE_S = 30
UNDER_WAY = ("infusing", "kvo", "waiting", "paused", "stopping", "priming", "relieving")


def accepted_rows(table: Table, accepted: Accepted) -> None:
    """Add what the pump understood to a table for a person."""
    flow = rate(accepted.rate_ul_h)
    if accepted.peak_ul_h > accepted.rate_ul_h:
        flow += f", at most {rate(accepted.peak_ul_h)}"
    table.add_row("rate", flow)
    table.add_row("VTBI", ml(accepted.vtbi_ul))
    # A PCA without basal rate takes as long as its demands do.
    by_itself = bool(accepted.rate_ul_h)
    table.add_row("time", duration(accepted.duration_s) if by_itself else "as demands come")
    if accepted.library != NOT_JUDGED:
        table.add_row("library", standing_text(accepted.library))


@contextlib.contextmanager
def going_on() -> Iterator[None]:
    """A stretch from a start on; whoever interrupts it is told that the pump goes on.

    It begins before the start is asked for: who interrupts then cannot know whether it was heard.
    """
    try:
        yield
    except KeyboardInterrupt:
        remarks.print(
            "\n[yellow]The pump goes on by itself[/yellow] with what was started. To follow it"
            " again: micropump run --attach; to stop it: micropump stop."
        )
        raise


def follow(pump: Pump) -> Status:
    """Show progress until the therapy is no longer under way; returns the last status.

    A container that runs empty in mid-therapy is asked for, where there is anyone to ask.
    """
    if pump.info.time_factor:
        pump.watch_for_silence(min(3600, round(SILENCE_S * max(1.0, pump.info.time_factor))))
    while True:
        status = _progress(pump)
        if not (wants_container(status) and can_ask() and _changed_container(pump)):
            return status


def is_delivered(status: Status) -> bool:
    """Whether all of the VTBI is given."""
    return 0 < status.target_steps <= status.given_steps


def wants_container(status: Status) -> bool:
    """Whether the container ran empty before the VTBI was in."""
    return status.state == "alarm" and "container_empty" in status.alarms


def _is_under_way(status: Status) -> bool:
    if status.state == "kvo":
        # Before, between and after doses alike.
        return not is_delivered(status) and status.remaining_s != 0
    return status.state in UNDER_WAY


def _progress(pump: Pump) -> Status:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[volume]}, {task.fields[left]} left"),
    )
    with Progress(*columns, console=remarks) as progress:
        task = progress.add_task("", total=1.0, volume="", left="")
        shown: tuple[str, ...] = ()
        while True:
            status = pump.status()
            if status.alarms != shown:
                shown = status.alarms
                for text in alarm_texts(status):
                    progress.console.print(f"[red]alarm:[/red] {text}")
            progress.update(
                task,
                description=f"{status.state}, override" if status.overrides else status.state,
                completed=status.given_steps / max(1, status.target_steps),
                volume=f"{ml(status.given_ul)} of {ml(status.vtbi_ul)}",
                left=known_duration(status.remaining_s),
            )
            if not _is_under_way(status):
                return status
            time.sleep(POLL_S)


def _changed_container(pump: Pump) -> bool:
    """Ask for a full container and go on with it; False if there is to be none."""
    content_ul = _asked_content_ul()
    if not content_ul:
        return False
    pump.change_container(content_ul)
    pump.acknowledge()
    if not confirmed("Go on with it?"):
        return False
    pump.resume()
    return True


def _asked_content_ul() -> int:
    """What the container that is now in place holds; 0 where there is none."""
    while True:
        try:
            text = Prompt.ask(
                'The container is empty. With a full one in place: its content, like "50 mL"'
                " (nothing leaves the pump as it is)",
                console=remarks,
                default="",
                show_default=False,
            )
        except EOFError:
            return 0
        if not text.strip():
            return 0
        try:
            return parse_volume_ul(text)
        except QuantityError as error:
            remarks.print(f"{error.what}. {error.remedy}")


def report(
    args: argparse.Namespace, pump: Pump, status: Status, first_event: int, **before: Any
) -> int:
    """Print how it ended; the exit code is 0 where the VTBI was delivered.

    Args:
        args: ``json`` of it: print everything as JSON instead.
        pump: for its log.
        status: the last one.
        first_event: from which entry on the log belongs to this therapy.
        before: what comes before the rest in the JSON.

    """
    delivered = is_delivered(status)
    if args.json:
        print_json(
            {
                **before,
                "delivered": delivered,
                "status": asdict(status),
                "events": [asdict(event) for event in pump.events(first_event)],
            }
        )
        return EXIT_DONE if delivered else EXIT_REFUSED
    remarks.print(status_table(status))
    if not delivered:
        remarks.print(_why_not_delivered(status))
    elif status.state == "kvo":
        remarks.print(
            f"The VTBI is delivered; KVO at {rate(status.rate_ul_h)} goes on until the pump is"
            " stopped (micropump stop)."
        )
    return EXIT_DONE if delivered else EXIT_REFUSED


def _why_not_delivered(status: Status) -> str:
    if not status.target_steps or status.state in ("idle", "programmed"):
        return "No infusion is under way: micropump run ORDER.toml starts one."
    text = f"The VTBI is not delivered; the pump is in the state {status.state}."
    if wants_container(status) or (status.state == "paused" and not status.content_ul):
        text += (
            " To go on: put a full container in place, tell the pump with micropump container"
            " CONTENT, then micropump acknowledge, micropump resume and micropump run --attach."
        )
    elif status.state == "alarm" and "occlusion" in status.alarms:
        text += (
            " To go on: open the line, then micropump acknowledge, micropump resume and micropump"
            " run --attach."
        )
    elif status.state == "alarm":
        text += " To go on: remove the cause, then micropump acknowledge and micropump resume."
    elif status.state == "completed" and status.therapy == "intermittent":
        text += " Doses were missed: micropump log tells which."
    return text


def say_gone(error: PumpGoneError) -> None:
    """Say that the line has broken and is being opened again."""
    remarks.print(
        f"[yellow]The connection to the pump broke[/yellow] ({error.what}). The pump goes on by"
        " itself; trying to reattach …"
    )
