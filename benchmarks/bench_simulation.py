"""How fast the virtual bench is: 24 h at 5 mL/h, every control cycle executed, on both grounds.

Run with ``make bench``. Prints times, speeds as multiples of real time, where the time goes, and
peak memory. The syringe case is two 60 mL syringes after each other; the peristaltic one a bag.
"""

import resource
import sys
import time
from dataclasses import dataclass

from rich.console import Console
from rich.progress import track
from rich.table import Table

from micropump.mechanism import KIND_PERISTALTIC, KIND_SYRINGE
from micropump_host.bench import default_bench
from micropump_host.bench.benchfile import Kind
from micropump_host.bench.ground import GROUNDS, Record, build_ground
from micropump_host.bench.local import LocalLine
from micropump_host.bench.motor import Motor
from micropump_host.bench.record import ListRecorder
from micropump_host.bench.world import VirtualBench
from micropump_host.client import Pump

RATE_UL_H = 5_000
HOURS = 24
HOUR_MS = 3_600_000
GOAL = 5_000


@dataclass(frozen=True)
class Case:
    """What is run: a mechanism, and how often its container is changed."""

    name: str
    kind: int
    bench: Kind
    item_id: str
    drive_id: str
    containers: int


CASES = (
    Case("two 60 mL syringes", KIND_SYRINGE, "syringe", "bd-plastipak-60", "t8-2mm-16", 2),
    Case("L/S 13 tube from a bag", KIND_PERISTALTIC, "peristaltic", "masterflex-ls-13",
         "direct-16", 1),
)  # fmt: skip


class _IdleMotor(Motor):
    """A motor that moves nothing: leaves the firmware's share of the time."""

    def take(self, records: list[Record], plant: object) -> None:  # type: ignore[override]
        """Forget the records."""

    def turn(self, until_ms: int, plant: object) -> None:  # type: ignore[override]
        """Stand still."""


def infuse(case: Case, ground: str, with_plant: bool) -> tuple[float, int, int]:
    """Deliver 24 h; returns wall seconds, control cycles and microsteps."""
    bench = VirtualBench(
        build_ground(ground, case.kind, case.drive_id, 0),
        case.kind,
        case.drive_id,
        default_bench(case.bench),
        ListRecorder(),
    )
    if not with_plant:
        bench.motor = _IdleMotor()
    volume_ul = RATE_UL_H * HOURS // case.containers
    steps = 0
    began_s = time.perf_counter()
    with Pump("in this process", open_port=lambda *_: LocalLine(bench)) as pump:
        for _ in range(case.containers):
            accepted = pump.program(case.kind, case.item_id, volume_ul, volume_ul, RATE_UL_H)
            pump.start(accepted.program_id)
            bench.advance(bench.now_ms + HOURS * HOUR_MS // case.containers + 1000)
            steps += pump.status().infused_steps
            pump.acknowledge()
    took_s = time.perf_counter() - began_s
    ticks = bench.ground.ticks
    bench.close()
    return took_s, ticks, steps


def peak_mb() -> float:
    """Peak memory of this process and of the largest of its children, MB."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return (own + children) / 1024


def main() -> None:
    """Run all cases and print the tables."""
    table = Table(title=f"{HOURS} h at {RATE_UL_H / 1000:g} mL/h, Python {sys.version.split()[0]}")
    for column in ("case", "ground", "wall s", "× real time", "of the goal", "control cycles",
                   "µs each", "microsteps", "firmware", "motor and plant"):  # fmt: skip
        table.add_column(column, justify="left" if column in ("case", "ground") else "right")
    runs = [(case, ground) for case in CASES for ground in GROUNDS]
    for case, ground in track(runs, "Infusing", console=Console(stderr=True)):
        whole_s, ticks, steps = infuse(case, ground, with_plant=True)
        firmware_s, _, _ = infuse(case, ground, with_plant=False)
        speed = HOURS * 3600 / whole_s
        share = min(1.0, firmware_s / whole_s)
        table.add_row(
            case.name, ground, f"{whole_s:.2f}", f"{speed:,.0f}", f"{speed / GOAL:.1f} ×",
            f"{ticks:,}", f"{firmware_s / ticks * 1e6:.2f}", f"{steps:,}", f"{share:.0%}",
            f"{1 - share:.0%}",
        )  # fmt: skip
    console = Console(width=130)
    console.print(table)
    console.print(f"goal: {GOAL:,} × real time on CPython; peak memory {peak_mb():.0f} MB (of 200)")


if __name__ == "__main__":
    main()
