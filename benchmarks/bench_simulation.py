"""How fast the virtual bench is, every control cycle executed, on both grounds.

Run with ``make bench``. Prints processor times (of both processes where there are two, which take
turns), speeds as multiples of real time, where the time goes, and peak memory. Cases: 24 h at
5 mL/h, from two 60 mL syringes after each other and from a bag; and on a larger tube 96 h of doses,
100 mL every 6 h over 30 min with the vein kept open at 3 mL/h between them, beside 24 h at the same
mean rate.
"""

import os
import resource
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from micropump.mechanism import KIND_PERISTALTIC, KIND_SYRINGE
from micropump.program import CONTINUOUS, INTERMITTENT
from micropump.therapy import KVO_BY_RULE
from micropump_host.bench import default_bench
from micropump_host.bench.benchfile import Kind
from micropump_host.bench.ground import GROUNDS, Record, build_ground
from micropump_host.bench.local import LocalLine
from micropump_host.bench.motor import Motor
from micropump_host.bench.record import ListRecorder
from micropump_host.bench.world import VirtualBench
from micropump_host.client import Pump

HOUR_MS = 3_600_000
GOAL = 5_000
# The firmware alone is timed on no more than this of a case.
ALONE_HOURS = 24


@dataclass(frozen=True)
class Case:
    """What is run: a therapy on a mechanism, for so long, so many times after each other."""

    name: str
    kind: int
    bench: Kind
    item_id: str
    drive_id: str
    therapy: int
    fields: Mapping[str, Any]
    hours: int
    times: int = 1


def continuous(rate_ul_h: int, volume_ul: int) -> dict[str, int]:
    """The fields of a continuous infusion that empties its container."""
    return {
        "content_ul": volume_ul, "vtbi_ul": volume_ul, "rate_ul_h": rate_ul_h, "duration_s": 0,
        "loading_ul": 0, "loading_ul_h": 0,
    }  # fmt: skip


DOSES = {
    "content_ul": 2_000_000, "dose_ul": 100_000, "rate_ul_h": 0, "duration_s": 1_800,
    "interval_s": 6 * 3_600, "doses": 16, "times": [], "clock_s": 86_400,
}  # fmt: skip
# 100 mL and 5.5 h at 3 mL/h in every 6 h.
MEAN_UL_H = 19_417

CASES = (
    Case("two 60 mL syringes, 5 mL/h", KIND_SYRINGE, "syringe", "bd-plastipak-60", "t8-2mm-16",
         CONTINUOUS, continuous(5_000, 60_000), 12, 2),
    Case("L/S 13 tube, 5 mL/h", KIND_PERISTALTIC, "peristaltic", "masterflex-ls-13", "direct-16",
         CONTINUOUS, continuous(5_000, 120_000), 24),
    Case("L/S 16 tube, 19.4 mL/h", KIND_PERISTALTIC, "peristaltic", "masterflex-ls-16", "direct-16",
         CONTINUOUS, continuous(MEAN_UL_H, 24 * MEAN_UL_H), 24),
    Case("L/S 16 tube, 100 mL every 6 h", KIND_PERISTALTIC, "peristaltic", "masterflex-ls-16",
         "direct-16", INTERMITTENT, DOSES, 96),
)  # fmt: skip

COLUMNS = (
    "case", "h", "ground", "processor s", "× real time", "of the goal", "control cycles",
    "µs each", "microsteps", "firmware", "motor and plant",
)  # fmt: skip


class _IdleMotor(Motor):
    """A motor that moves nothing: leaves the firmware's share of the time."""

    def take(self, records: list[Record], plant: object) -> None:  # type: ignore[override]
        """Forget the records."""

    def turn(self, until_ms: int, plant: object) -> None:  # type: ignore[override]
        """Stand still."""


def infuse(case: Case, ground: str, hours: int, with_plant: bool) -> tuple[float, int, int]:
    """Deliver so many hours of a case each time; processor seconds, control cycles, microsteps."""
    bench = VirtualBench(
        build_ground(ground, case.kind, case.drive_id, 0),
        case.kind,
        case.drive_id,
        default_bench(case.bench),
        ListRecorder(),
    )
    if not with_plant:
        bench.motor = _IdleMotor()
    setup = {
        "kind": case.kind, "item_id": case.item_id, "containers": 1, "order_id": "", "delay_s": 0,
        "kvo_ul_h": KVO_BY_RULE,
    }  # fmt: skip
    steps = 0
    began_s = processor_s()
    with Pump("in this process", open_port=lambda *_: LocalLine(bench)) as pump:
        for _ in range(case.times):
            accepted = pump.prescribe(case.therapy, {**setup, **case.fields})
            pump.start(accepted.program_id)
            bench.advance(bench.now_ms + hours * HOUR_MS + 1000)
            status = pump.status()
            assert hours < case.hours or status.infused_steps == status.target_steps
            steps += status.infused_steps + status.kvo_steps
            pump.stop()
            if status.alarms:
                pump.acknowledge()
    ticks = bench.ground.ticks
    # A child's time is known when it has ended.
    bench.close()
    return processor_s() - began_s, ticks, steps


def processor_s() -> float:
    """Processor time of this process and of its children that have ended, s."""
    return sum(os.times()[:4])


def peak_mb() -> float:
    """Peak memory of this process and of the largest of its children, MB."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return (own + children) / 1024


def main() -> None:
    """Run all cases and print the tables."""
    table = Table(title=f"Virtual bench, Python {sys.version.split()[0]}")
    for column in COLUMNS:
        table.add_column(column, justify="left" if column in ("case", "ground") else "right")
    runs = [(case, ground) for case in CASES for ground in GROUNDS]
    for case, ground in track(runs, "Infusing", console=Console(stderr=True)):
        whole_s, ticks, steps = infuse(case, ground, case.hours, with_plant=True)
        alone_hours = min(case.hours, ALONE_HOURS)
        firmware_s, alone_ticks, _ = infuse(case, ground, alone_hours, with_plant=False)
        cycle_s = firmware_s / alone_ticks
        hours = case.hours * case.times
        speed = hours * 3600 / whole_s
        share = min(1.0, cycle_s * ticks / whole_s)
        table.add_row(
            case.name, str(hours), ground, f"{whole_s:.2f}", f"{speed:,.0f}",
            f"{speed / GOAL:.1f} ×", f"{ticks:,}", f"{cycle_s * 1e6:.2f}", f"{steps:,}",
            f"{share:.0%}", f"{1 - share:.0%}",
        )  # fmt: skip
    console = Console(width=160)
    console.print(table)
    console.print(f"goal: {GOAL:,} × real time on CPython; peak memory {peak_mb():.0f} MB (of 200)")


if __name__ == "__main__":
    main()
