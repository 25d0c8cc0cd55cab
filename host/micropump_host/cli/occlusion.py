"""The command ``micropump accuracy occlusion``: what a pump discloses of an occlusion."""

import argparse
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import RenderableType
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from micropump.mechanism import (
    KIND_PERISTALTIC,
    KIND_SYRINGE,
    Mechanism,
    UnknownMechanismError,
    build,
)
from micropump_host.bench import Bench, default_bench, load_bench
from micropump_host.cli.common import (
    console,
    figure,
    print_json,
    remarks,
    require_libraries,
    writing,
)
from micropump_host.errors import EXIT_DONE, UsageError
from micropump_host.orders import default_drive_id, parse_rate_ul_h

if TYPE_CHECKING:
    from micropump_host.accuracy.occlusion import Alarm, Disclosure, OcclusionRow

_LIBRARIES = ("numpy", "scipy", "matplotlib")
_WHAT = "the table"
_DEFAULT_SYRINGE = "bd-plastipak-50"
_RATES = "1,5,25,100 mL/h"
_LEVELS = "30,70,120 kPa"
_PRESSURES_KPA = {"kPa": 1.0, "bar": 100.0, "mbar": 0.1}
# What a drug library can have for a threshold.
_LEAST_LEVEL_KPA, _GREATEST_LEVEL_KPA = 1, 200
# What the default bench has the friction and the compliance of (docs/physics.md).
_BENCH_SYRINGE_UL = 50_000
_OTHER_SIZE = (
    "the default bench has friction and compliance of a 50 mL syringe: give a smaller one a bench "
    "file of its own (--bench)"
)
_LIST = re.compile(r"\s*([\d.,\s]+?)\s*([^\d.,\s].*?)\s*")

_EPILOG = """\
examples:
  micropump accuracy occlusion
  micropump accuracy occlusion --rates "0.5,1,5 mL/h" --levels "0.3,1.2 bar" --out out/occlusion
  micropump accuracy occlusion --syringe hsw-norm-ject-50 --bench my-syringe.toml --json
  micropump accuracy occlusion --recorded closed-5.csv closed-25.csv --out out/occlusion

Simulated runs are the firmware's own detectors, and its whole pump for the back-off, on the virtual
bench. A recorded run is a CSV with the columns t_s,mass_g,pressure_kpa, of which docs/occlusion.md
has the rest.
"""


def parser() -> argparse.ArgumentParser:
    """The parser of the command, which stands behind the word ``accuracy``."""
    made = argparse.ArgumentParser(
        prog="micropump accuracy occlusion",
        description="Tell, for each rate and threshold, when the alarm of a closed line comes, by "
        "level and by slope, and what comes out when the line is opened, with and without the "
        "pump's back-off; beside what makers publish.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--rates", metavar="LIST", help=f'rates (default: "{_RATES}")')
    made.add_argument("--levels", metavar="LIST", help=f'thresholds (default: "{_LEVELS}")')
    item = made.add_mutually_exclusive_group()
    item.add_argument(
        "--syringe", metavar="ID", help=f"syringe from docs/catalogue.md ({_DEFAULT_SYRINGE})"
    )
    item.add_argument("--head", metavar="ID", help="peristaltic head from docs/catalogue.md")
    made.add_argument("--drive", metavar="ID", help="drive from docs/catalogue.md")
    made.add_argument("--bench", type=Path, metavar="FILE", help="bench file (docs/physics.md)")
    made.add_argument(
        "--recorded",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="records of a real bench (docs/occlusion.md), in place of simulated runs",
    )
    made.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="write the plots (PNG, SVG) and the figures (occlusion.json)",
    )
    made.add_argument("--json", action="store_true", help="print the figures as JSON")
    made.set_defaults(handler=run)
    return made


def run(args: argparse.Namespace) -> int:
    """``micropump accuracy occlusion``."""
    require_libraries("micropump accuracy occlusion", _LIBRARIES)
    if args.out:
        # The runs take a while.
        with writing(_WHAT, args.out):
            args.out.mkdir(parents=True, exist_ok=True)
    disclosure = _recorded(args) if args.recorded else _simulated(args)
    if args.out:
        _write(args.out, disclosure)
    if args.json:
        print_json(disclosure.to_json_dict())
        return EXIT_DONE
    _show(disclosure)
    if args.out:
        console.print(f"Plots and occlusion.json are in {args.out}", soft_wrap=True)
    return EXIT_DONE


def figures_of(text: str, where: str, what: str) -> tuple[list[str], str]:
    """Split a list of numbers with one unit behind it; UsageError if it is none."""
    match = _LIST.fullmatch(text)
    numbers = [part.strip() for part in match[1].split(",")] if match else []
    if not match or not all(numbers):
        raise UsageError(f'"{text}" is no list of {what}', where, 'Write it like "30,70 kPa".')
    return numbers, match[2]


def rates_ml_h(text: str) -> list[float]:
    """The rates of ``--rates``, ascending, each once; UsageError if they are none."""
    numbers, unit = figures_of(text, "--rates", "rates")
    rates_ul_h = {figure(parse_rate_ul_h, f"{number} {unit}", "--rates") for number in numbers}
    return [rate_ul_h / 1000 for rate_ul_h in sorted(rates_ul_h)]


def levels_kpa(text: str) -> list[int]:
    """The thresholds of ``--levels``, ascending, each once; UsageError if they are none."""
    numbers, unit = figures_of(text, "--levels", "pressures")
    levels = set()
    for number in numbers:
        try:
            level_kpa = float(number) * _PRESSURES_KPA[unit]
        except (KeyError, ValueError):
            units = ", ".join(_PRESSURES_KPA)
            what = f'"{number} {unit}" is no pressure'
            raise UsageError(what, "--levels", f"Write numbers and one of {units}.") from None
        whole_kpa = round(level_kpa)
        if abs(level_kpa - whole_kpa) > 1e-6 or not (
            _LEAST_LEVEL_KPA <= whole_kpa <= _GREATEST_LEVEL_KPA
        ):
            raise UsageError(
                f"a threshold of {level_kpa:g} kPa cannot be set",
                "--levels",
                f"Take whole kPa from {_LEAST_LEVEL_KPA} to {_GREATEST_LEVEL_KPA}.",
            )
        levels.add(whole_kpa)
    return sorted(levels)


def _simulated(args: argparse.Namespace) -> "Disclosure":
    # The other commands must work without numpy and matplotlib.
    from micropump_host.disclosure.table import disclose  # noqa: PLC0415

    rates = rates_ml_h(args.rates or _RATES)
    levels = levels_kpa(args.levels or _LEVELS)
    mechanism = _mechanism(args)
    bench = _bench(args, mechanism)
    with Progress(console=remarks, transient=True) as progress:
        task = progress.add_task("closing lines", total=1.0)
        made = disclose(
            bench, mechanism, rates, levels, lambda part: progress.update(task, completed=part)
        )
    if args.bench or args.head or mechanism.capacity_ul >= _BENCH_SYRINGE_UL:
        return made
    return replace(made, notes=(*made.notes, _OTHER_SIZE))


def _mechanism(args: argparse.Namespace) -> Mechanism:
    kind = KIND_PERISTALTIC if args.head else KIND_SYRINGE
    item_id = args.head or args.syringe or _DEFAULT_SYRINGE
    try:
        return build(kind, item_id, args.drive or default_drive_id(kind))
    except UnknownMechanismError as error:
        thing, wanted = error.args
        raise UsageError(
            f'there is no {thing} "{wanted}"',
            "micropump accuracy occlusion",
            "See docs/catalogue.md.",
        ) from None


def _bench(args: argparse.Namespace, mechanism: Mechanism) -> Bench:
    if args.bench:
        return load_bench(args.bench)
    return default_bench("syringe" if mechanism.kind == KIND_SYRINGE else "peristaltic")


def _recorded(args: argparse.Namespace) -> "Disclosure":
    from micropump_host.accuracy.occlusion import disclosure_of  # noqa: PLC0415

    given = [name for name in ("rates", "levels", "syringe", "head", "drive", "bench")
             if getattr(args, name)]  # fmt: skip
    if given:
        what = "records tell what they are of"
        raise UsageError(what, f"--{given[0]}", "Leave it out, or leave out --recorded.")
    return disclosure_of(args.recorded)


def _write(folder: Path, disclosure: "Disclosure") -> None:
    from micropump_host.accuracy.occlusion_plots import (  # noqa: PLC0415
        bolus_figure,
        time_figure,
        trace_figure,
    )
    from micropump_host.accuracy.plots import save_figure  # noqa: PLC0415

    text = json.dumps(disclosure.to_json_dict(), indent=2, ensure_ascii=False)
    with writing(_WHAT, folder):
        save_figure(time_figure(disclosure), folder / "time-to-alarm")
        save_figure(bolus_figure(disclosure), folder / "bolus")
        if disclosure.trace is not None:
            save_figure(trace_figure(disclosure.trace), folder / "pressure")
        (folder / "occlusion.json").write_text(text + "\n", encoding="utf-8")


def _show(disclosure: "Disclosure") -> None:
    from micropump_host.accuracy.occlusion import METHOD, PUBLISHED  # noqa: PLC0415

    console.print(f"[bold]{escape(disclosure.description)}[/bold]", highlight=False, soft_wrap=True)
    console.print(_table(disclosure.rows))
    for each in PUBLISHED:
        line = f"{each.pump}: {each.bolus_ml:g} mL ({each.source})"
        console.print(escape(line), highlight=False, soft_wrap=True)
    for note in (*disclosure.notes, METHOD):
        console.print(f"note: {escape(note)}", highlight=False, soft_wrap=True)


def _table(rows: "tuple[OcclusionRow, ...]") -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("rate\nmL/h", "limit\nkPa", "by level\nmin:s", "bolus\nmL", "by slope\nmin:s",
                 "at\nkPa", "slope/\nlevel", "bolus\nmL", "with\nback-off"):  # fmt: skip
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            f"{row.rate_ml_h:g}",
            f"{row.level_kpa:g}",
            _after(row.by_level),
            _bolus(row.by_level),
            _after(row.by_slope),
            "–" if row.by_slope is None else f"{row.by_slope.pressure_kpa:.1f}",
            "–" if row.slope_part is None else f"{row.slope_part:.2f}",
            _bolus(row.unrelieved),
            _bolus(row.relieved),
        )
    return table


def _after(alarm: "Alarm | None") -> str:
    """The time to an alarm as minutes and seconds, with tenths below a minute."""
    if alarm is None:
        return "–"
    if alarm.time_s < 59.95:
        return f"0:{alarm.time_s:04.1f}"
    minutes, seconds = divmod(round(alarm.time_s), 60)
    return f"{minutes}:{seconds:02}"


def _bolus(alarm: "Alarm | None") -> str:
    if alarm is None or alarm.bolus_ml is None:
        return "–"
    # Not "-0.000".
    return f"{round(alarm.bolus_ml, 3) + 0.0:.3f}"
