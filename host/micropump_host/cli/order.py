"""The command ``micropump order``: an order against the drug library, before anything is sent."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.markup import escape

from micropump.program import PURGE
from micropump_host.cli.common import console, print_json, remarks
from micropump_host.cli.plan import clock_s_of, show
from micropump_host.errors import EXIT_DONE, EXIT_REFUSED, UsageError
from micropump_host.limits import (
    CONFIRM,
    NO_LIBRARY,
    OUTSIDE,
    REFUSED,
    WITHIN,
    Judgement,
    OpenedLibrary,
    judge_order,
    open_library,
)
from micropump_host.orders import (
    PROGRAM_NAMES,
    CheckedOrder,
    QuantityError,
    check_order,
    load_order,
)
from micropump_host.plan import schedule_of
from micropump_host.reading.quantity import parse_weight_kg

_EPILOG = """\
examples:
  micropump order check examples/orders/pca-morphine.toml --library examples/library
  micropump order check order.toml --library lib.mpl --weight "70 kg" --strict
  micropump order check order.toml --library examples/library --json

A hard limit refuses an order; beyond a soft one, or outside the library, the pump asks for a second
confirmation. The library is looked up and its limits are compared by the firmware's own core.
Libraries and orders here are test fixtures, not clinical advice.
"""

_SAID = {
    NO_LIBRARY: "[bold yellow]NO LIBRARY[/]: no drug limit was checked (--library)",
    OUTSIDE: "[bold yellow]OUTSIDE THE LIBRARY[/]: no drug limit was checked; the pump asks for a"
    " second confirmation",
    REFUSED: "[bold red]REFUSED[/]: beyond a hard limit",
    CONFIRM: "[bold yellow]TO BE CONFIRMED[/]: beyond a soft limit; the pump asks for a second"
    " confirmation",
    WITHIN: "[bold green]WITHIN[/] all limits",
}


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its subcommand."""
    parser = subparsers.add_parser(
        "order",
        help="check an order against a drug library, before anything is sent",
        description="Turn an order into the program that the pump would run, with all of its "
        "arithmetic, and hold it against the limits of a drug library.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    checking = commands.add_parser("check", help="an order against the limits of its drug")
    checking.add_argument("order", type=Path, metavar="ORDER.toml", help="order file")
    checking.add_argument(
        "--library", type=Path, metavar="FOLDER|IMAGE", help="the drug library: source or image"
    )
    checking.add_argument(
        "--weight", metavar="WEIGHT", help='body weight, where the order tells none: "70 kg"'
    )
    checking.add_argument("--drive", default="", metavar="ID", help="drive from docs/catalogue.md")
    checking.add_argument(
        "--at", metavar="HH:MM", help="time of day at the start, for orders by times of the day"
    )
    checking.add_argument("--all", action="store_true", help="show every row of a long schedule")
    checking.add_argument(
        "--strict", action="store_true", help="leave with 1 unless it is within all limits"
    )
    checking.add_argument("--json", action="store_true", help="print the result as JSON")
    checking.set_defaults(handler=check)


def check(args: argparse.Namespace) -> int:
    """``micropump order check``."""
    opened = open_library(args.library) if args.library else None
    weight_kg = None
    if args.weight is not None:
        try:
            weight_kg = parse_weight_kg(args.weight)
        except QuantityError as error:
            raise UsageError(error.what, "--weight", error.remedy) from None
    clock_s = None if args.at is None else clock_s_of(args.at)
    checked = check_order(load_order(args.order, weight_kg), args.drive, clock_s)
    judgement = judge_order(checked, opened)
    if args.json:
        print_json(_as_json(checked, opened, judgement))
    else:
        show(checked, schedule_of(checked), clock_s, args.all)
        _show(checked, opened, judgement)
    is_refused = judgement.status == REFUSED or (args.strict and judgement.status != WITHIN)
    return EXIT_REFUSED if is_refused else EXIT_DONE


def _as_json(
    checked: CheckedOrder, opened: OpenedLibrary | None, judgement: Judgement
) -> dict[str, Any]:
    order = checked.order
    drug = order.drug
    concentration = drug.concentration if drug else None
    return {
        "order": order.order_id,
        "asked_by": order.asked_by,
        "program": PROGRAM_NAMES[checked.prescription.kind],
        "arithmetic": list(order.arithmetic),
        "warnings": list(checked.warnings),
        "schedule": asdict(schedule_of(checked)),
        "library": opened and _library_json(opened),
        "drug": drug.drug_id if drug else "",
        "care_area": drug.care_area if drug else "",
        "concentration": str(concentration) if concentration else "",
        **asdict(judgement),
    }


def _library_json(opened: OpenedLibrary) -> dict[str, Any]:
    return {
        "id": opened.written.library_id,
        "version": opened.written.version,
        "source_sha256": opened.board.source_sha256().hex(),
    }


def _show(checked: CheckedOrder, opened: OpenedLibrary | None, judgement: Judgement) -> None:
    order = checked.order
    if order.asked_by:
        _say(f"asked by {order.asked_by}")
    if opened:
        _say(f"library {opened.written.name}, version {opened.written.version}")
    if judgement.drug_name and order.drug:
        concentration = order.drug.concentration
        parts = [
            judgement.drug_name,
            str(concentration) if concentration else "by volume",
            judgement.care_area_name,
        ]
        if judgement.weight_g:
            parts.append(f"{judgement.weight_g / 1000:g} kg")
        _say(", ".join(parts))
    for typical in judgement.typical:
        _say(f"  typical: {typical}")
    for finding in judgement.findings:
        style, mark = ("bold red", "refused") if finding.is_hard else ("yellow", "to confirm")
        place = f"line {finding.line}, {finding.key}" if finding.line else finding.key
        console.print(
            f"[{style}]{mark}:[/] {escape(f'{place}: {finding.text}')}",
            highlight=False,
            soft_wrap=True,
        )
    if judgement.outside:
        remarks.print(
            f"[yellow]outside:[/yellow] {escape(judgement.outside.what)}. "
            f"{escape(judgement.outside.remedy)}",
            soft_wrap=True,
        )
    if opened and checked.prescription.kind == PURGE:
        _say("a purge is given to nobody: it has no limits but the pump's own")
    console.print(_SAID[judgement.status], highlight=False, soft_wrap=True)


def _say(text: str) -> None:
    console.print(escape(text), highlight=False, soft_wrap=True)
