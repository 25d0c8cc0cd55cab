"""The command ``micropump plan``: what an order is going to do, before anything is sent."""

import argparse
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from rich import box
from rich.table import Table

from micropump_host.cli.common import console, duration, print_json, remarks, require_libraries
from micropump_host.errors import EXIT_DONE, MicropumpError, UsageError
from micropump_host.limits import occlusion_kpa, open_library
from micropump_host.orders import CheckedOrder, check_order, load_order
from micropump_host.plan import (
    DAY_S,
    FROM_LIBRARY,
    FROM_OPTION,
    OcclusionForecast,
    Row,
    Schedule,
    Span,
    occlusion_of,
    row_name,
    schedule_of,
)
from micropump_host.reading.quantity import exact_text

# Of a longer schedule the middle is left out, unless asked for.
_GREATEST_ROWS = 24

# What a drug library can have for a limit.
_LEAST_OCCLUSION_KPA, _GREATEST_OCCLUSION_KPA = 1, 200

_EPILOG = """\
examples:
  micropump plan examples/orders/demo-syringe.toml
  micropump plan order.toml --plot out/plan            out/plan.svg and out/plan.png
  micropump plan order.toml --at 14:30 --json
  micropump plan order.toml --library examples/library
  micropump plan order.toml --occlusion-kpa 30         an occlusion with this pressure limit

The schedule is that of the program which the firmware's own core makes of the order; the pump makes
it of the same fields. Times are from the start, with what KVO, delays and gaps take.
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "plan",
        help="what an order is going to do: schedule, containers, rate and volume over time",
        description="Show what an order is going to do, before anything is sent: every stretch of "
        "it, its end, the containers it takes, least and greatest rate, and when a closed line is "
        "noticed; and draw it.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("order", type=Path, metavar="ORDER.toml", help="order file")
    parser.add_argument("--drive", default="", metavar="ID", help="drive from docs/catalogue.md")
    parser.add_argument(
        "--at", metavar="HH:MM", help="time of day at the start, for orders by times of the day"
    )
    parser.add_argument(
        "--library",
        type=Path,
        metavar="FOLDER|IMAGE",
        help="the drug library, for its pressure limit: source or image",
    )
    parser.add_argument(
        "--occlusion-kpa",
        type=float,
        metavar="KPA",
        help="pressure limit in place of the library's or the pump's own",
    )
    parser.add_argument("--plot", type=Path, metavar="NAME", help="draw it: NAME.svg and NAME.png")
    parser.add_argument("--all", action="store_true", help="show every row of a long schedule")
    parser.add_argument("--json", action="store_true", help="print the schedule as JSON")
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    """``micropump plan``."""
    clock_s = None if args.at is None else clock_s_of(args.at)
    checked = check_order(load_order(args.order), args.drive, clock_s)
    schedule = schedule_of(checked)
    forecast = _forecast(args, checked)
    drawn = _draw(args.plot, schedule, checked) if args.plot else None
    if args.json:
        occlusion = forecast and asdict(forecast)
        print_json({"order": checked.order.order_id, **asdict(schedule), "occlusion": occlusion})
        return EXIT_DONE
    show(checked, schedule, clock_s, show_all=args.all)
    if forecast:
        _show_occlusion(forecast)
    if drawn:
        console.print(f"The plot is {drawn}", soft_wrap=True)
    return EXIT_DONE


def _forecast(args: argparse.Namespace, checked: CheckedOrder) -> OcclusionForecast | None:
    """What an occlusion would come to, by the limit that holds; None of what draws back."""
    if checked.program.reverse:
        return None
    if args.occlusion_kpa is not None:
        if not _LEAST_OCCLUSION_KPA <= args.occlusion_kpa <= _GREATEST_OCCLUSION_KPA:
            raise UsageError(
                f"{args.occlusion_kpa:g} kPa is no pressure limit of a pump",
                "--occlusion-kpa",
                f"Give one from {_LEAST_OCCLUSION_KPA} to {_GREATEST_OCCLUSION_KPA}.",
            )
        return occlusion_of(checked, args.occlusion_kpa, FROM_OPTION)
    if args.library is not None:
        return occlusion_of(
            checked, occlusion_kpa(checked, open_library(args.library)), FROM_LIBRARY
        )
    return occlusion_of(checked)


def clock_s_of(text: str) -> int:
    """The time of day that ``--at`` tells, in s; UsageError if it is none."""
    hours, colon, minutes = text.partition(":")
    if colon and hours.isdecimal() and minutes.isdecimal() and len(minutes) == 2:
        clock_s = int(hours) * 3600 + int(minutes) * 60
        if int(minutes) < 60 and clock_s < DAY_S:
            return clock_s
    raise UsageError(f'"{text}" is no time of day', "--at", "Write it from 00:00 to 23:59.")


def _draw(name: Path, schedule: Schedule, checked: CheckedOrder) -> Path:
    """Draw it and return the SVG's path."""
    require_libraries("micropump plan --plot", ("matplotlib",))
    # The schedule alone must work without matplotlib.
    from micropump_host.accuracy.plots import save_figure  # noqa: PLC0415
    from micropump_host.plan.plots import schedule_figure  # noqa: PLC0415

    title = f"{checked.order.order_id}: {schedule.vtbi_ml:.6g} mL"
    try:
        name.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        what = f"cannot make the folder: {error.strerror or error}"
        raise MicropumpError(what, str(name.parent), "Choose another folder.") from error
    _, svg = save_figure(schedule_figure(schedule, title), name)
    return svg


def show(checked: CheckedOrder, schedule: Schedule, clock_s: int | None, show_all: bool) -> None:
    """Print an order's arithmetic, its schedule and its warnings.

    Args:
        checked: the order.
        schedule: what it is going to do.
        clock_s: the time of day at the start, in s; None to count from the start.
        show_all: whether to show every row of a long schedule.

    """
    order = checked.order
    if order.arithmetic:
        console.print("\n".join(order.arithmetic), highlight=False)
    table = Table(title=f"Order {order.order_id}: {checked.item_name}")
    table.add_column("", justify="right")
    table.add_column("at", justify="right")
    table.add_column("for", justify="right")
    table.add_column("what")
    table.add_column("rate mL/h", justify="right")
    table.add_column("mL", justify="right")
    table.add_column("in all mL", justify="right")
    for row in _shown(schedule.rows, show_all):
        if row is None:
            table.add_row("", "", "", f"… {len(schedule.rows) - _GREATEST_ROWS} more (--all)")
        else:
            table.add_row(*_cells(row, clock_s))
    console.print(table)
    console.print(_summary(checked, schedule))
    if checked.program.times_min and clock_s is None:
        remarks.print("Counted from the first of its times of day; --at tells another start")
    for warning in checked.warnings:
        remarks.print(f"[yellow]warning:[/yellow] {warning}")


def _shown(rows: tuple[Row, ...], show_all: bool) -> list[Row | None]:
    if show_all or len(rows) <= _GREATEST_ROWS:
        return list(rows)
    head = _GREATEST_ROWS * 3 // 4
    return [*rows[:head], None, *rows[head - _GREATEST_ROWS :]]


def _cells(row: Row, clock_s: int | None) -> tuple[str, ...]:
    rate = f"{row.rate_ml_h:,.7g}"
    if row.stairs_ml_h:
        rate = f"{row.rate_ml_h:,.7g} → {row.end_rate_ml_h:,.7g}"
    lasts = "until empty" if row.rate_ml_h else "until given"
    return (
        str(row.number),
        _at(row.start_s, clock_s),
        lasts if row.duration_s is None else duration(row.duration_s),
        row_name(row),
        rate if row.rate_ml_h or row.stairs_ml_h else "–",
        f"{row.volume_ml:,.3f}",
        f"{row.total_ml:,.3f}",
    )


def _at(at_s: float, clock_s: int | None) -> str:
    if clock_s is None:
        return duration(at_s)
    days, rest = divmod(round(clock_s + at_s), DAY_S)
    time = f"{rest // 3600:02d}:{rest // 60 % 60:02d}"
    return f"{time} +{days} d" if days else time


def _rates(schedule: Schedule) -> str:
    least, greatest = f"{schedule.least_rate_ml_h:,.7g}", f"{schedule.greatest_rate_ml_h:,.7g}"
    return f"{greatest} mL/h" if least == greatest else f"{least} to {greatest} mL/h"


def _summary(checked: CheckedOrder, schedule: Schedule) -> Table:
    table = Table(show_header=False, box=None)
    end = "with the last demand" if schedule.duration_s is None else duration(schedule.duration_s)
    table.add_row("last of the VTBI after", end)
    table.add_row("VTBI", f"{schedule.vtbi_ml:,.6g} mL, {checked.target_steps:,} microsteps")
    if schedule.loading_ml:
        table.add_row("loading dose", f"{schedule.loading_ml:,.6g} mL beside it")
    if checked.amount is not None:
        table.add_row("drug in all", f"{exact_text(checked.amount)} {checked.amount_unit}")
    table.add_row("rate", _rates(schedule))
    needed = f"{schedule.containers} planned, {schedule.containers_needed} needed"
    table.add_row("containers", needed)
    for change in schedule.changes:
        what = "empty" if change.is_last else "empty, to be changed"
        table.add_row("", f"{change.number}: {what} after {duration(change.at_s)}")
    if schedule.demands:
        demands = schedule.demands
        table.add_row(
            "demands",
            f"{demands.demand_ml:.4g} mL, lockout {duration(demands.lockout_s)}; at most"
            f" {demands.in_first_hour} in the first hour",
        )
        for hours, most_ml in demands.windows:
            table.add_row("", f"in any {hours:g} h at most {most_ml:.6g} mL of all kinds")
    return table


def _show_occlusion(forecast: OcclusionForecast) -> None:
    """Print what a closed line would come to."""
    limit = f"{forecast.level_kpa:g} kPa, {forecast.level_from}"
    console.print(f"If the line is closed (limit {limit}):", highlight=False)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("", "rate\nmL/h", "alarm by slope\nmin:s", "by level\nmin:s",
                 "bolus on release\nmL"):  # fmt: skip
        table.add_column(name, justify="right" if name else "left")
    for row in forecast.rates:
        table.add_row(
            row.what,
            f"{row.rate_ml_h:,.7g}",
            "no sooner" if row.by_slope_s is None else _span_text(row.by_slope_s, _minutes),
            _span_text(row.by_level_s, _minutes),
            _span_text(row.bolus_ml, _volume),
        )
    console.print(table)
    if forecast.relieved_bolus_ml:
        volumes = _span_text(forecast.relieved_bolus_ml, _volume)
        console.print(f"After the back-off the bolus is {volumes} mL", highlight=False)
    console.print("In brackets: the least and the greatest compliance (docs/occlusion.md)")


def _span_text(span: Span, text: Callable[[float], str]) -> str:
    return f"{text(span.middle)} ({text(span.least)}–{text(span.greatest)})"


def _minutes(time_s: float) -> str:
    minutes, seconds = divmod(round(time_s), 60)
    return f"{minutes}:{seconds:02}"


def _volume(volume_ml: float) -> str:
    return f"{volume_ml:.3f}" if volume_ml < 0.1 else f"{volume_ml:.2f}"
