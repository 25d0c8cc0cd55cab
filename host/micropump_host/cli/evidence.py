"""The command ``micropump evidence``: no false alarms, no misses, counted over random infusions."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table as Shown

from micropump_host.cli.common import console, print_json, remarks, require_libraries, writing
from micropump_host.errors import EXIT_DONE, EXIT_REFUSED, UsageError

if TYPE_CHECKING:
    from micropump_host.evidence.campaign import Plan, Row
    from micropump_host.report import Section, Table

_LIBRARIES = ("numpy", "scipy", "matplotlib", "jinja2")
_WARNING = (
    "A bench and development device, never for patients. What follows was simulated: the detectors "
    "are the pump's own, the mechanism, the line and the sensors are physics (docs/physics.md). "
    "docs/evidence.md says what was drawn from where, and what counts."
)
_EPILOG = """\
examples:
  micropump evidence                                        hours: the whole of it
  micropump evidence --device-days 10 --provoked-days 1 --whole-days 2 --injected 80
  micropump evidence --seed 7 --jobs 1 --json

DIR gets runs.jsonl (a line for each job, written as it is done), evidence.json (counts, limits,
configuration), report.html and a curve of each detector (SVG). The same command again goes on
where it was interrupted; more days or cases are added to what is there. It leaves with 1 where
there was a false alarm of pressure or air, or a miss of an occlusion, of air or of a disconnection.
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "evidence",
        help="count false alarms and misses of the detectors over random infusions",
        description="Run random infusions with the pump's own detectors, count false alarms over "
        "device-days and misses among occlusions, bubbles and disconnections that are made on "
        "purpose, and say how sure that is.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("out/evidence"),
        metavar="DIR",
        help="default: out/evidence",
    )
    for option, default, what in (
        ("--device-days", 1_000, "days of plant, sensors and detectors"),
        ("--provoked-days", 100, "days with far more movement and coughs, counted apart"),
        ("--whole-days", 200, "days of the whole pump"),
        ("--injected", 2_000, "cases in which something happens that is to be noticed"),
        ("--seed", 1, "seed of all of it"),
    ):
        parser.add_argument(
            option, type=int, default=default, metavar="N", help=f"{what} (default: {default:,})"
        )
    parser.add_argument(
        "--jobs", type=int, metavar="J", help="processes at once (default: one for each core)"
    )
    parser.add_argument("--json", action="store_true", help="print the counts as JSON")
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    """``micropump evidence``."""
    for option in ("device_days", "provoked_days", "whole_days", "injected", "jobs"):
        value = getattr(args, option)
        if value is not None and value < (option == "jobs"):
            name = f"--{option.replace('_', '-')}"
            raise UsageError(f"{value} is too few", name, "Give a greater number.")
    require_libraries("micropump evidence", _LIBRARIES)
    # The other commands must work without numpy and matplotlib.
    from micropump_host.evidence import (  # noqa: PLC0415
        Plan,
        default_processes,
        digest,
        run_campaign,
        summarise,
    )

    plan = Plan(args.device_days, args.provoked_days, args.whole_days, args.injected, args.seed)
    rows = _run(plan, args.out, args.jobs or default_processes(), run_campaign)
    summary = summarise(plan, rows, digest())
    _write(args.out, summary, rows)
    if args.json:
        print_json(summary)
    else:
        _show(summary)
        console.print(f"The report is {args.out / 'report.html'}", soft_wrap=True)
    return EXIT_DONE if summary["passed"] else EXIT_REFUSED


def _run(plan: "Plan", out: Path, processes: int, run_campaign: Any) -> "dict[str, list[Row]]":
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TimeRemainingColumn())  # fmt: skip
    jobs = plan.jobs()
    with Progress(*columns, console=remarks) as progress:
        tasks = {
            part: progress.add_task(title, total=sum(job.part == part for job in jobs))
            for part, title in (
                ("days", "device-days"), ("provoked", "provoked days"),
                ("injected", "blocks of cases"), ("whole", "pump-days"),
            )
        }  # fmt: skip
        told = lambda job: progress.advance(tasks[job.part])  # noqa: E731
        done: dict[str, list[Row]] = run_campaign(plan, out, processes, told)
    return done


def _write(out: Path, summary: dict[str, Any], rows: "dict[str, list[Row]]") -> None:
    from micropump_host.accuracy.plots import figure_to_svg  # noqa: PLC0415
    from micropump_host.evidence.plots import curve_figure, times_figure  # noqa: PLC0415
    from micropump_host.report import Section, render_sections  # noqa: PLC0415

    occlusions = [
        row
        for job_rows in rows.values()
        for row in job_rows
        if row.get("kind") == "occlusion" and row["found"]
    ]
    curves = {
        name: figure_to_svg(curve_figure(name, curve))
        for name, curve in summary["curves"].items()
        if curve["cases"] and curve["open"]
    }
    times = figure_to_svg(times_figure(occlusions)) if occlusions else ""
    sections = (
        *_sections(summary, times),
        Section(
            "At other thresholds",
            "Left: what is found over what is falsely found. Right: both over the threshold, with "
            "their exact limits.",
            figures=tuple(curves.values()),
        ),
    )
    page = render_sections("Micropump: evidence of the detectors", _WARNING, sections)
    with writing("the report", out):
        (out / "evidence.json").write_text(
            json.dumps(summary, indent=1, ensure_ascii=False), encoding="utf-8"
        )
        for name, svg in (*curves.items(), ("times", times)):
            if svg:
                (out / f"{name}.svg").write_text(svg, encoding="utf-8")
        (out / "report.html").write_text(page, encoding="utf-8")


def _sections(summary: dict[str, Any], times: str) -> "list[Section]":
    from micropump_host.report import Section, Table  # noqa: PLC0415

    plan, days, injected = summary["plan"], summary["days"], summary["injected"]
    whole, provoked = summary["whole"], summary["provoked"]
    percent = 100.0 * summary["confidence"]
    return [
        Section(
            "What was run",
            f"Seed {plan['seed']}, firmware {summary['firmware']}, runs {summary['digest']}. "
            f"Limits are exact, at {percent:g} %: Poisson's of a rate, one-sided; those of a share "
            "by Clopper and Pearson.",
            key=(
                ("device-days, detectors", f"{days['device_days']:,.1f}"),
                ("device-days, provoked", f"{provoked['device_days']:,.1f}"),
                ("device-days, whole pump", f"{whole['device_days']:,.1f}"),
                ("injected", f"{injected['cases']:,}"),
                ("false alarms", str(len(days["false"]) + len(whole["false"]))),
                ("missed", str(len(injected["missed"]))),
            ),
            tables=(
                Table(
                    "Configuration",
                    ("figure", "value"),
                    tuple((name, f"{value:,}") for name, value in summary["configuration"].items()),
                ),
            ),
        ),
        Section(
            "False alarms of open lines",
            f"{days['infusions']:,} infusions with detectors alone, {whole['infusions']:,} on the "
            "whole pump. In "
            f"{days['infusions_at_ambient']['count']:,} and "
            f"{whole['infusions_at_ambient']['count']:,} of them the end was lowered until the "
            "line really was at ambient, and the pump took that for a line that came off: no "
            "sensor tells the two apart. "
            f"In {days['infusions_with_standing_air']['count']:,} and "
            f"{whole['infusions_with_standing_air']['count']:,} a speck stood in the air sensor "
            "while the motor took up the drive's play and nothing flowed: what was pushed "
            "meanwhile was taken for air. Neither is among the false.",
            tables=(
                _rates_table("Detectors alone", days["alarms"]),
                _rates_table("Whole pump", whole["alarms"]),
                _rows_table("Each false alarm", [*days["false"], *whole["false"]]),
            ),
        ),
        Section(
            "Provoked",
            f"{provoked['infusions']:,} infusions with detectors alone, through lines whose end is "
            "moved six times as often and with a cough every four minutes. No infusion is like "
            "that: what is false here fails nothing, and shows sooner than usual days what a "
            "detector takes for something else.",
            tables=(
                _rates_table("Detectors alone, provoked", provoked["alarms"]),
                _rows_table("Each false alarm, provoked", provoked["false"]),
            ),
        ),
        Section(
            "What was done on purpose",
            "Of a kind that cannot be seen, or is to be none, nothing is to be noticed.",
            figures=(times,) if times else (),
            tables=(
                _kinds_table(injected["kinds"]),
                _bands_table(injected["occlusions"]),
                _rows_table("Each miss", [*injected["missed"], *injected["others_missed"]]),
                _rows_table("Each false alarm among them", injected["false"]),
            ),
        ),
    ]


def _rates_table(caption: str, alarms: dict[str, Any]) -> "Table":
    from micropump_host.report import Table  # noqa: PLC0415

    rows = tuple((name, str(rate["count"]), _most(rate)) for name, rate in alarms.items())
    return Table(caption, ("alarm", "count", "at most"), rows)


def _kinds_table(kinds: dict[str, Any]) -> "Table":
    from micropump_host.report import Table  # noqa: PLC0415

    rows = tuple(
        (
            kind,
            str(figures["cases"]),
            str(figures["noticed"]["count"]),
            f"{100.0 * figures['noticed']['low']:.2f} … {100.0 * figures['noticed']['high']:.2f}",
            _seconds(figures["median_s"]),
            _seconds(figures["late_s"]),
            _seconds(figures["greatest_s"]),
        )
        for kind, figures in kinds.items()
    )
    head = ("kind", "cases", "noticed", "noticed, %", "median", "19 of 20 within", "longest")
    return Table("By kind", head, rows)


def _bands_table(bands: list[dict[str, Any]]) -> "Table":
    from micropump_host.report import Table  # noqa: PLC0415

    rows = tuple(
        (
            f"{band['from_ml_h']:g} to {band['to_ml_h']:g}",
            str(band["cases"]),
            str(band["by_slope"]),
            _seconds(band["median_s"]),
            "" if band["median_part"] is None else f"{band['median_part']:.2f}",
        )
        for band in bands
    )
    head = ("mL/h", "occlusions", "by slope", "median time", "median, of the level's time")
    return Table("Occlusions by rate", head, rows)


def _rows_table(caption: str, rows: "list[Row]") -> "Table":
    from micropump_host.report import Table  # noqa: PLC0415

    shown = tuple(
        (
            row["seed"],
            f"{row['item']} on {row['drive']}, {row['gauge']}",
            f"{row['rate_ml_h']:g}",
            str(row["level_kpa"]),
            _alarm_of(row),
        )
        for row in rows
    )
    return Table(caption, ("seed", "mechanism", "mL/h", "limit, kPa", "what"), shown)


def _alarm_of(row: "Row") -> str:
    if "alarm" in row:
        return f"{row['alarm']['name']} after {row['alarm']['at_s']:g} s"
    if "alarms" in row:
        return ", ".join(row["alarms"])
    found = row["found"] or "nothing"
    early = ", ".join(alarm["name"] for alarm in row["before"])
    return f"{row['kind']}: {found}{f', before {early}' if early else ''}"


def _most(rate: dict[str, Any]) -> str:
    high = rate["high_per_day"]
    return "" if high is None else f"{high:.2g}/day"


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds:.1f} s" if seconds < 120.0 else f"{seconds / 60.0:.1f} min"


def _show(summary: dict[str, Any]) -> None:
    days, whole, injected = summary["days"], summary["whole"], summary["injected"]
    provoked = summary["provoked"]
    table = Shown(title="Evidence", title_justify="left")
    for column in ("", "count", "of", "at most"):
        table.add_column(column, justify="left" if not column else "right")
    for title, part in (("detectors", days), ("provoked", provoked), ("whole pump", whole)):
        for name, rate in part["alarms"].items():
            of = f"{part['device_days']:,.1f} days"
            table.add_row(f"{title}: {name}", str(rate["count"]), of, _most(rate))
    for kind, figures in injected["kinds"].items():
        noticed = figures["noticed"]
        least = f"{100.0 * noticed['low']:.2f} … {100.0 * noticed['high']:.2f} %"
        table.add_row(f"noticed: {kind}", str(noticed["count"]), str(figures["cases"]), least)
    console.print(table)
    for row in (*days["false"], *whole["false"], *injected["false"]):
        console.print(f"false: {row['seed']} {_alarm_of(row)}", soft_wrap=True)
    for row in provoked["false"]:
        console.print(f"false, provoked: {row['seed']} {_alarm_of(row)}", soft_wrap=True)
    for row in (*injected["missed"], *injected["others_missed"]):
        console.print(f"missed: {row['seed']} {_alarm_of(row)}", soft_wrap=True)
