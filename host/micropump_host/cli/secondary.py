"""The command ``micropump secondary``: from a second container, then on with the first."""

import argparse
from dataclasses import asdict
from typing import Any

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
from micropump_host.cli.override import add_override, asked_texts, confirm_override, show_asked
from micropump_host.client import Accepted, Pump
from micropump_host.errors import EXIT_DONE, EXIT_REFUSED, UsageError
from micropump_host.orders import parse_volume_ul
from micropump_host.orders.order import BOARD_AMOUNTS, NO_DRUG
from micropump_host.reading.decimals import decimal_parts
from micropump_host.reading.dosage import parse_concentration
from micropump_host.reading.quantity import QuantityError, parse_weight_kg

_EPILOG = """\
examples:
  micropump secondary 50mL --content 60mL --over 30min --port /dev/ttyACM0
  micropump secondary 50mL --content 60mL --rate 100mL/h --yes --json
  micropump secondary 50mL --content 50mL --over 30min --drug cefazolin --care-area home-adult \
--concentration "20 mg/mL"

The primary infusion waits, with its volumes kept, and goes on by itself afterwards. It has to be
continuous or stepped, and infusing, keeping the vein open or paused. Where the pump has a drug
library the secondary is held to the limits of its own drug. `micropump run --attach` follows both
to the end.
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
    _add_drug(parser)
    add_port(parser)
    add_yes(parser, "start")
    add_override(parser)
    parser.set_defaults(handler=run)


def _add_drug(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("drug", "what the pump looks up in its drug library")
    group.add_argument("--drug", default="", metavar="ID", help="the drug in the second container")
    group.add_argument("--care-area", default="", metavar="ID", help="whose limits hold")
    group.add_argument(
        "--concentration", default="", metavar="TEXT", help='as "5 mg/mL" or "1 g in 100 mL"'
    )
    group.add_argument("--weight", default="", metavar="WEIGHT", help='body weight: "70 kg"')


def run(args: argparse.Namespace) -> int:
    """``micropump secondary``; returns 0 when it was started, 1 when not."""
    vtbi_ul = figure(parse_volume_ul, args.vtbi, "VTBI")
    content_ul = figure(parse_volume_ul, args.content, "--content")
    pace = rate_or_time(args)
    drug = _drug_fields(args)
    require_someone_to_ask(args, "secondary")
    with connect(args) as pump:
        accepted = pump.secondary(content_ul, vtbi_ul, **pace, **drug)
        table = Table(show_header=False, title="Secondary infusion")
        accepted_rows(table, accepted)
        remarks.print(table)
        show_asked(accepted, drug)
        if not _is_started(args, pump, accepted, drug):
            remarks.print("Not started; the primary is as it was.")
            return EXIT_REFUSED
        status = pump.status()
    if args.json:
        print_json({"accepted": asdict(accepted), "status": asdict(status)})
    else:
        console.print(status_table(status))
    return EXIT_DONE


def _is_started(
    args: argparse.Namespace, pump: Pump, accepted: Accepted, drug: dict[str, Any]
) -> bool:
    if not args.yes and not confirmed("Start it?"):
        return False
    beyond = asked_texts(accepted, drug)
    return confirm_override(
        args, lambda overrides: pump.start(accepted.program_id, overrides), beyond
    )


def _drug_fields(args: argparse.Namespace) -> dict[str, Any]:
    """What the wire says of the drug; raises UsageError."""
    fields: dict[str, Any] = {**NO_DRUG, "drug_id": args.drug, "care_area": args.care_area}
    if args.concentration:
        amount, mantissa, exponent = _concentration(args.concentration)
        fields["concentration_in"] = amount
        fields["concentration_mantissa"] = mantissa
        fields["concentration_exponent"] = exponent
    if args.weight:
        fields["weight_g"] = figure(_weight_g, args.weight, "--weight")
    return fields


def _concentration(text: str) -> tuple[int, int, int]:
    try:
        read = parse_concentration(text)
    except QuantityError as error:
        raise UsageError(error.what, "--concentration", error.remedy) from None
    amount, times = BOARD_AMOUNTS[read.unit]
    parts = decimal_parts(read.per_ml * times)
    if parts is None:
        what = f"{read} is no decimal number that a pump can hold"
        raise UsageError(what, "--concentration", "Round it to what is on the label")
    return amount, *parts


def _weight_g(text: str) -> int:
    grams = parse_weight_kg(text) * 1000
    if grams.denominator != 1:
        what = f"{text} is no whole number of grams"
        raise QuantityError(what, "Round it to what a scale shows")
    return grams.numerator
