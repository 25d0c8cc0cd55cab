"""The command ``micropump demo``: two infusions, from order file to accuracy curves.

It does what a user would do by hand, with the same commands: serve a virtual pump whose firmware is
interpreted by MicroPython, run an order on it over a serial port, and analyse what the balance saw.
"""

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.progress import track

from micropump_host.bench import Bench, default_bench
from micropump_host.bench.benchfile import Kind
from micropump_host.bench.process import virtual_pump
from micropump_host.cli.common import (
    console,
    duration,
    ml,
    rate,
    remarks,
    require_libraries,
    writing,
)
from micropump_host.client import Event
from micropump_host.errors import EXIT_DONE, MicropumpError

_MICROPUMP = (sys.executable, "-m", "micropump_host.cli")


@dataclass(frozen=True)
class Case:
    """One infusion of the demonstration."""

    name: str
    title: str
    order: str
    kind: Kind
    analysis: str
    rate_ml_h: float


CASES = (
    Case(
        name="syringe",
        title="5 mL/h from a 50 mL syringe",
        order="demo-syringe.toml",
        kind="syringe",
        analysis="syringe",
        rate_ml_h=5.0,
    ),
    Case(
        name="peristaltic",
        title="25 mL/h through a peristaltic head",
        order="demo-peristaltic.toml",
        kind="peristaltic",
        analysis="volumetric",
        rate_ml_h=25.0,
    ),
)


_LIBRARIES = ("numpy", "scipy", "matplotlib", "jinja2")

_EPILOG = """\
examples:
  micropump demo                    then open out/demo/report.html
  micropump demo --out /tmp/demo

Beside the page, DIR has for each infusion the balance's readings (samples.csv), the numbers
(accuracy.json) and the curves (PNG, SVG). The same firmware gives the same files every time.
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "demo",
        help="two infusions of two hours on the virtual bench, and their curves",
        description="Run 5 mL/h from a syringe and 25 mL/h through a peristaltic head on the "
        "virtual bench, each for two hours of virtual time, and write a page with the curves. "
        "It takes less than a minute.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--out", type=Path, default=Path("out/demo"), metavar="DIR", help="default: out/demo"
    )
    parser.add_argument(
        "--orders",
        type=Path,
        default=Path("examples/orders"),
        metavar="DIR",
        help="where the two orders are (default: examples/orders)",
    )
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    """``micropump demo``."""
    _check_before(args)
    # The other commands must work without numpy and matplotlib.
    from micropump_host.report import render_page  # noqa: PLC0415

    runs = [
        _run_case(case, args.orders / case.order, args.out / case.name)
        for case in track(CASES, "Infusing and measuring", console=remarks)
    ]
    page = args.out / "report.html"
    with writing("the report", args.out):
        page.write_text(render_page("Micropump: two infusions", runs), encoding="utf-8")
    for case, result in zip(CASES, runs, strict=True):
        console.print(f"{case.title}: mean error A {result.accuracy.mean_error_percent:+.2f} %")
    console.print(f"The report is {page}")
    return EXIT_DONE


def _check_before(args: argparse.Namespace) -> None:
    """Raise MicropumpError for what would otherwise only fail half-way."""
    require_libraries("micropump demo", _LIBRARIES, "accuracy,bench")
    for case in CASES:
        if not (args.orders / case.order).is_file():
            raise MicropumpError(
                "there is no such order",
                str(args.orders / case.order),
                "Run this in Micropump's checkout, or name its examples/orders with --orders.",
            )
    with writing("the report", args.out):
        args.out.mkdir(parents=True, exist_ok=True)


def _run_case(case: Case, order: Path, out: Path) -> Any:
    from micropump_host.accuracy.iec import analyse  # noqa: PLC0415
    from micropump_host.accuracy.method import METHODS  # noqa: PLC0415
    from micropump_host.accuracy.record import load_record  # noqa: PLC0415
    from micropump_host.report import Run  # noqa: PLC0415

    bench = default_bench(case.kind)
    with virtual_pump(case.kind, record=out) as port:
        told = _micropump("run", str(order), "--port", port, "--yes", "--stop-at-end", "--json")
    outcome = json.loads(told)
    samples = out / "samples.csv"
    evaporation_g_h = bench.balance.evaporation_mg_h / 1000
    _micropump(
        "accuracy", str(samples), "--rate", f"{case.rate_ml_h}", "--kind", case.analysis,
        "--evaporation-g-h", f"{evaporation_g_h}", "--plots", str(out),
    )  # fmt: skip
    accuracy = analyse(
        load_record(samples),
        case.rate_ml_h,
        METHODS[case.analysis],
        evaporation_g_h=evaporation_g_h,
    )
    events = [Event(**event) for event in outcome["events"]]
    started_s = next(event.uptime_s for event in events if event.name == "started")
    return Run(case.title, accuracy, _parameters(outcome, bench), events, started_s)


def _micropump(*words: str) -> str:
    """Run a command of ours as a user would; returns its output, or raises what it said."""
    done = subprocess.run([*_MICROPUMP, *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise MicropumpError(f"micropump {words[0]} failed", "demo", done.stderr.strip())
    return done.stdout


def _parameters(outcome: dict[str, Any], bench: Bench) -> dict[str, str]:
    accepted, status = outcome["accepted"], outcome["status"]
    balance, line, outlet = bench.balance, bench.line, bench.outlet
    return {
        "order": outcome["order"],
        "mechanism": status["item_id"],
        "rate": rate(accepted["rate_ul_h"]),
        "VTBI": ml(accepted["vtbi_ul"]),
        "time": duration(accepted["duration_s"]),
        "KVO": rate(accepted["kvo_ul_h"]),
        "one microstep": f"{accepted['nl_num'] / accepted['nl_den']:.4g} nL"
        f" ({accepted['nl_num']}/{accepted['nl_den']})",
        "microsteps": f"{status['infused_steps']:,}",
        "infused by counted steps": ml(status["infused_ul"]),
        "firmware": "interpreted by MicroPython, in virtual time",
        "bench": f"{bench.info.name}, seed {bench.info.seed}",
        "needle": f"{outlet.needle_gauge}G, {outlet.needle_length_mm:g} mm",
        "line": f"{line.length_m:g} m, {line.inner_diameter_mm:g} mm",
        "viscosity": f"{line.viscosity_mpa_s:g} mPa·s",
        "balance": f"every {balance.sample_interval_s:g} s, {balance.resolution_mg:g} mg,"
        f" noise {balance.noise_mg:g} mg, evaporation {balance.evaporation_mg_h:g} mg/h",
    }
