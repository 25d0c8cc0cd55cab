"""The command ``micropump compare``: one order, several devices, delivery against intent."""

import argparse
import difflib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.progress import Progress
from rich.table import Table

from micropump_host.bench import Bench
from micropump_host.bench.devices import (
    DEVICE_KINDS,
    Device,
    elastomeric_for,
    gravity_for,
    load_device_or_bench,
)
from micropump_host.cli.common import (
    console,
    duration,
    print_json,
    remarks,
    require_libraries,
    writing,
)
from micropump_host.errors import EXIT_DONE, UsageError
from micropump_host.orders import check_order, load_order

if TYPE_CHECKING:
    from micropump_host.compare.comparison import Comparison
    from micropump_host.compare.intent import Intent
    from micropump_host.compare.judge import Verdict

PUMP = "pump"
_DEVICES = (PUMP, *DEVICE_KINDS)
_LIBRARIES = ("numpy", "scipy", "matplotlib")
_WHAT = "the comparison"

_EPILOG = """\
examples:
  micropump compare examples/orders/demo-syringe.toml
  micropump compare order.toml --device pump --device elastomeric --out out/compare
  micropump compare order.toml --device examples/benches/devices/cold-balloon.toml --json

A device is "pump" (this firmware on the virtual bench), "elastomeric" (of the nominal rate that is
nearest to the order's mean rate), "gravity" (its clamp set to that rate at the start, and left
alone), or a file: a device file (docs/devices.md) or a bench file for the pump. What a device
cannot do is said, and it runs as it can.
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "compare",
        help="one order on several devices: delivery against intent",
        description="Compare what the pump, an elastomeric infuser and a gravity drip deliver of "
        "one order, in virtual time.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("order", type=Path, metavar="ORDER.toml", help="order file")
    parser.add_argument(
        "--device",
        action="append",
        metavar="DEVICE",
        help=f"{', '.join(_DEVICES)} or a file; may be given several times (default: those three)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="write the plot (PNG, SVG), the figures (compare.json) and the curves (curves.csv)",
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    """``micropump compare``."""
    require_libraries("micropump compare", _LIBRARIES)
    # The other commands must work without numpy and matplotlib.
    from micropump_host.compare.comparison import compare  # noqa: PLC0415
    from micropump_host.compare.intent import intent_of  # noqa: PLC0415

    checked = check_order(load_order(args.order))
    intent = intent_of(checked.program)
    chosen = _named([(word, _chosen(word, intent)) for word in args.device or _DEVICES])
    if args.out:
        # A comparison may take a minute.
        with writing(_WHAT, args.out):
            args.out.mkdir(parents=True, exist_ok=True)
    with Progress(console=remarks) as progress:
        tasks = {name: progress.add_task(name, total=1.0) for name in chosen}
        comparison = compare(
            checked,
            intent,
            chosen,
            lambda name, part: progress.update(tasks[name], completed=part),
        )
    if args.out:
        _write(args.out, comparison)
    if args.json:
        print_json(comparison.to_json_dict())
    else:
        _show(comparison)
        if args.out:
            console.print(f"The plot is {args.out / 'compare.svg'}")
    return EXIT_DONE


def _chosen(word: str, intent: "Intent") -> "Device | Bench | None":
    """The device of a word; None for the pump on its default bench."""
    if word == PUMP:
        return None
    if word == "elastomeric":
        return elastomeric_for(intent.mean_rate_ml_h, intent.volume_ml)
    if word == "gravity":
        return gravity_for(intent.mean_rate_ml_h, intent.volume_ml)
    if not Path(word).suffix:
        near = difflib.get_close_matches(word, _DEVICES, 1)
        hint = f"Did you mean {near[0]}? " if near else ""
        raise UsageError(
            f"there is no device {word!r}",
            "--device",
            f"{hint}Give one of {', '.join(_DEVICES)}, or a device or bench file.",
        )
    return load_device_or_bench(word)


def _named(
    chosen: "Sequence[tuple[str, Device | Bench | None]]",
) -> "dict[str, Device | Bench | None]":
    """Each device under a name of its own, that of its file where it has one."""
    named: dict[str, Device | Bench | None] = {}
    for word, device in chosen:
        name = word
        if isinstance(device, Bench):
            name = f"{PUMP}, {device.info.name}"
        elif device is not None and word not in _DEVICES:
            name = device.device.name
        taken = sum(other == name or other.startswith(f"{name} (") for other in named)
        named[f"{name} ({taken + 1})" if taken else name] = device
    return named


def _write(folder: Path, comparison: "Comparison") -> None:
    from micropump_host.accuracy.plots import save_figure  # noqa: PLC0415
    from micropump_host.compare.plots import compare_figure  # noqa: PLC0415

    text = json.dumps(comparison.to_json_dict(), indent=2, ensure_ascii=False)
    with writing(_WHAT, folder):
        save_figure(compare_figure(comparison), folder / "compare")
        (folder / "compare.json").write_text(text + "\n", encoding="utf-8")
        (folder / "curves.csv").write_text(comparison.curves_csv(), encoding="utf-8")


def _show(comparison: "Comparison") -> None:
    intent = comparison.intent
    console.print(
        f"[bold]{comparison.order_id}[/bold]: {intent.volume_ml:.4g} mL in "
        f"{duration(intent.duration_s)}, {intent.mean_rate_ml_h:.4g} mL/h in the mean"
    )
    for remark in comparison.remarks:
        console.print(f"[yellow]{remark}[/yellow]")
    verdicts = comparison.verdicts
    table = Table(title="Delivery against intent")
    table.add_column("")
    for verdict in verdicts:
        table.add_column(verdict.name, justify="right")
    rows: list[tuple[str, Callable[[Verdict], str]]] = [
        ("at the intended end", lambda one: f"{one.at_end_ml:.3f} mL"),
        ("  error of mean flow", lambda one: f"{one.mean_error_percent:+.2f} %"),
        ("intended volume in at", lambda one: _clock(one.reached_s)),
        ("  off by", lambda one: _late(one.reached_s, intent)),
        ("in all", lambda one: f"{one.delivered_ml:.3f} mL"),
        ("worst error of volume", lambda one: f"{one.worst_error_ml:+.3f} mL"),
        ("  of intended volume", lambda one: f"{one.worst_error_percent:+.2f} %"),
        ("  at", lambda one: _clock(one.worst_error_s)),
    ]
    for number, window in enumerate(verdicts[0].windows):
        rows.append((f"worst {window.window_min:g} min of flow", _window(number)))
    for title, text in rows:
        table.add_row(title, *(text(verdict) for verdict in verdicts))
    console.print(table)
    for verdict in verdicts:
        console.print(f"[bold]{verdict.name}[/bold]: {verdict.description}", highlight=False)
        for note in verdict.notes:
            console.print(f"  [yellow]{note}[/yellow]", highlight=False)


def _clock(at_s: float | None) -> str:
    return "never" if at_s is None else duration(at_s)


def _late(at_s: float | None, intent: "Intent") -> str:
    if at_s is None:
        return ""
    late_s = round(at_s - intent.duration_s)
    return f"{'-' if late_s < 0 else '+'}{duration(abs(late_s))}"


def _window(number: int) -> "Callable[[Verdict], str]":
    def text(verdict: "Verdict") -> str:
        window = verdict.windows[number]
        return f"{window.min_percent:+.1f} {window.max_percent:+.1f} %"

    return text
