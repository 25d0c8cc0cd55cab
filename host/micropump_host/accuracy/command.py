"""The work of ``micropump accuracy``: files in; tables, JSON and plots out."""

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from rich import box
from rich.console import Console, RenderableType
from rich.progress import track
from rich.table import Table
from rich.text import Text

from micropump_host.accuracy.bands import Band, Interval, PeriodBand, band_of, interval_of
from micropump_host.accuracy.bolus import BolusAccuracy, analyse_bolus, load_bolus_series
from micropump_host.accuracy.iec import Accuracy, Period, analyse, check_conditions
from micropump_host.accuracy.method import METHODS, Method, adapted
from micropump_host.accuracy.plots import (
    bolus_figure,
    save_figure,
    startup_figure,
    trumpet_figure,
)
from micropump_host.accuracy.record import load_record
from micropump_host.errors import EXIT_DONE, MicropumpError, UsageError

_T = TypeVar("_T")


def execute(args: argparse.Namespace) -> int:
    """Do what the options of ``micropump accuracy`` ask for.

    Returns:
        0, the exit code.

    Raises:
        UsageError: for options that cannot work.
        MicropumpError: for a file that cannot be used or written.

    """
    _check_json_target(args)
    return _run_bolus(args) if args.bolus_ml is not None else _run_infusion(args)


def _run_infusion(args: argparse.Namespace) -> int:
    if args.rate_ml_h is None:
        raise UsageError(
            "the set rate is missing", "--rate", "Give the rate in mL/h, as in --rate 5."
        )
    check_conditions(args.rate_ml_h, args.density_g_ml, args.evaporation_g_h)
    method = _method(args)

    def analysed(path: Path) -> Accuracy:
        record = load_record(path)
        return analyse(record, args.rate_ml_h, method, args.density_g_ml, args.evaporation_g_h)

    result = _one_or_band(_with_progress(args.samples, analysed))
    if args.plots is not None:
        _prepare_folder(args.plots, args.samples)
        save_figure(startup_figure(result), args.plots / "startup")
        save_figure(trumpet_figure(result), args.plots / "trumpet")
        if result.t2 is not None:
            save_figure(trumpet_figure(result, "T2"), args.plots / "trumpet-t2")
    return _report(args, result.to_json_dict(), _infusion_report(result))


def _run_bolus(args: argparse.Namespace) -> int:
    _check_bolus_options(args)
    results = _with_progress(
        args.samples,
        lambda path: analyse_bolus(load_bolus_series(path), args.bolus_ml, args.density_g_ml),
    )
    if args.plots is not None:
        names = _prepare_folder(args.plots, args.samples)
        for result, name in zip(results, names, strict=True):
            save_figure(bolus_figure(result), args.plots / f"bolus-{name}")
    parts = [part for result in results for part in _bolus_report(result)]
    return _report(args, _bolus_json(results), parts)


def _check_bolus_options(args: argparse.Namespace) -> None:
    options = {
        "--sample-interval-min": args.sample_interval_min,
        "--windows-min": args.windows_min,
        "--from-min": args.from_min,
        "--to-min": args.to_min,
        "--settle-min": args.settle_min,
        "--evaporation-g-h": args.evaporation_g_h or None,
    }
    for option, value in options.items():
        if value is not None:
            what = "a bolus series has no times, so this cannot be applied to it"
            raise UsageError(what, option, "Leave the option out, or leave out --bolus-ml.")


def _method(args: argparse.Namespace) -> Method:
    return adapted(
        METHODS[args.kind],
        sample_interval_min=args.sample_interval_min,
        windows_min=args.windows_min,
        from_min=args.from_min,
        to_min=args.to_min,
        settle_min=args.settle_min,
    )


def _with_progress(paths: Sequence[Path], work: Callable[[Path], _T]) -> list[_T]:
    console = Console(stderr=True)
    quiet = len(paths) == 1 or not console.is_terminal
    return [
        work(path)
        for path in track(paths, "Analysing", console=console, transient=True, disable=quiet)
    ]


def _one_or_band(results: list[Accuracy]) -> Accuracy | Band:
    if len(results) == 1:
        return results[0]
    return band_of(results)


def _prepare_folder(folder: Path, samples: Sequence[Path]) -> list[str]:
    """Copy the raw samples into the folder, those that are not in it; return the names they go by.

    A file that lies there already stays, and no other is copied over it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        there = {path: name for path in samples if (name := _name_in(folder, path))}
        names: list[str] = []
        for path in samples:
            if path in there:
                names.append(there[path])
                continue
            names.append(_unused(path.stem, {*there.values(), *names}))
            shutil.copyfile(path, _copy_path(folder, names[-1]))
    except OSError as error:
        raise _cannot_write(folder, error) from error
    return names


def _copy_path(folder: Path, name: str) -> Path:
    return folder / f"samples-{name}.csv"


def _name_in(folder: Path, path: Path) -> str | None:
    """Return the name that samples in the folder go by, or None for those that are not in it."""
    if not path.parent.samefile(folder):
        return None
    return path.stem.removeprefix("samples-")


def _unused(name: str, taken: set[str]) -> str:
    candidates = [name, *(f"{name}-{number}" for number in range(2, len(taken) + 3))]
    return next(candidate for candidate in candidates if candidate not in taken)


def _cannot_write(path: Path, error: OSError) -> MicropumpError:
    what = f"cannot write: {error.strerror or error}"
    return MicropumpError(what, str(path), "Choose another place.")


def _check_json_target(args: argparse.Namespace) -> None:
    if args.json in (None, "-"):
        return
    target = Path(args.json)
    if any(target.exists() and path.exists() and target.samefile(path) for path in args.samples):
        what = "the numbers would be written over the samples"
        raise UsageError(what, f"--json {target}", "Give another file for the numbers.")


def _report(args: argparse.Namespace, numbers: dict[str, Any], parts: list[RenderableType]) -> int:
    text = json.dumps(numbers, indent=2, allow_nan=False) + "\n"
    if args.json == "-":
        sys.stdout.write(text)
        return EXIT_DONE
    target = args.json or (args.plots / "accuracy.json" if args.plots is not None else None)
    if target is not None:
        try:
            Path(target).write_text(text, encoding="utf-8")
        except OSError as error:
            raise _cannot_write(Path(target), error) from error
    if not args.json:
        _print(parts, numbers["notes"], args.plots)
    return EXIT_DONE


def _print(parts: list[RenderableType], notes: Sequence[str], plots: Path | None) -> None:
    console = Console()
    for part in parts:
        console.print(part)
    for note in notes:
        console.print(Text(f"note: {note}"))
    if plots is not None:
        console.print(Text(f"Plots, samples and accuracy.json are in {plots}"))


def _infusion_report(result: Accuracy | Band) -> list[RenderableType]:
    first = result.records[0] if isinstance(result, Band) else result
    parts: list[RenderableType] = []
    for period, limits in ((result.t1, first.t1), (result.t2, first.t2)):
        if period is None or limits is None:
            continue
        span = f"{period.name} = {limits.from_min:g} to {limits.to_min:g} min"
        heading = f"{first.rate_ml_h:g} mL/h, {first.method.kind} pump, {span}"
        parts += [Text(heading, style="bold"), _trumpet_table(period)]
    return [*parts, Text(_caption(result))]


def _trumpet_table(period: Period | PeriodBand) -> Table:
    table = _table(("", "Ep(max) %", "Ep(min) %"))
    letter = "A" if period.name == "T1" else "B"
    mean = _percent(period.mean_error_percent)
    table.add_row(f"mean error {letter}", mean, "", end_section=True)
    for point in period.trumpet:
        label = f"P = {point.window_min:g} min"
        table.add_row(label, _percent(point.ep_max_percent), _percent(point.ep_min_percent))
    return table


def _caption(result: Accuracy | Band) -> str:
    if isinstance(result, Band):
        return f"n = {len(result.records)}: mean and 90/90 tolerance interval"
    stable_min = result.stabilisation.time_min
    when = "not within the record" if stable_min is None else f"from {stable_min:g} min on"
    return f"{result.total_volume_ml:.4g} mL in all; within ±10 % of the rate {when}"


def _percent(value: float | Interval) -> str:
    if isinstance(value, float):
        return f"{value:+.2f}"
    if value.lower is None or value.upper is None:
        return f"{value.mean:+.2f}"
    return f"{value.mean:+.2f} ({value.lower:+.2f} to {value.upper:+.2f})"


def _table(columns: Sequence[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right")
    return table


def _bolus_json(results: list[BolusAccuracy]) -> dict[str, Any]:
    if len(results) == 1:
        return results[0].to_json_dict()
    mean = interval_of([result.mean_error_percent for result in results])
    return {
        "kind": "bolus",
        "n": len(results),
        "mean_error_percent": mean.mean,
        "band": {"mean_error_percent": mean.to_json_dict()},
        "max_deviation_percent": max(result.max_deviation_percent for result in results),
        "min_deviation_percent": min(result.min_deviation_percent for result in results),
        "records": [result.to_json_dict() for result in results],
        "notes": [f"{result.name}: {note}" for result in results for note in result.notes],
    }


def _bolus_report(result: BolusAccuracy) -> list[RenderableType]:
    count = len(result.error_percent)
    table = _table(("deviation", "%"))
    table.add_row("mean", _percent(result.mean_error_percent))
    table.add_row("greatest", _percent(result.max_deviation_percent))
    table.add_row("least", _percent(result.min_deviation_percent))
    heading = f"{result.name}: {count} boluses of {result.bolus_ml:g} mL"
    return [Text(heading, style="bold"), table]
