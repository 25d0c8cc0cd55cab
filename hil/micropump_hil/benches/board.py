"""A real board as a bench: what is plugged in, in TOML, in real time.

A bench file::

    [bench]
    name = "desk"
    port = "/dev/ttyACM0"
    fitted = "syringe"
    has = ["restart"]

``has`` names what this bench can do beyond talking to the pump (words of ``FEATURES``). A word that
needs an instrument which no driver here knows is refused.
"""

import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from micropump_hil.benches.bench import FEATURES, KINDS, Bench
from micropump_host.client import Pump, Status
from micropump_host.client.port import Port
from micropump_host.errors import MicropumpError

# What needs no instrument beside the board.
POSSIBLE = frozenset({"restart"})
_KEYS = ("name", "port", "fitted", "has")
_RUNNING = ("infusing", "kvo", "waiting", "priming", "stopping")


class BenchFileError(MicropumpError):
    """A bench file is missing, is not TOML, or describes a bench that cannot be."""


@dataclass(frozen=True)
class BoardBenchFile:
    """What a bench file says; ``has`` includes what is fitted."""

    name: str
    port: str
    fitted: str
    has: frozenset[str]


def read_bench_file(path: Path) -> BoardBenchFile:
    """Read and check a bench file.

    Raises:
        BenchFileError: with all that is wrong.

    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BenchFileError(
            f"cannot read the bench file ({error})",
            str(path),
            "docs/hil.md shows one; the benches without a file are named there too.",
        ) from None
    bench = tables.get("bench")
    if not isinstance(bench, dict):
        raise BenchFileError("[bench] is missing", str(path), "docs/hil.md shows one.")
    problems = _problems(tables, bench)
    if problems:
        raise BenchFileError("; ".join(problems), str(path), "docs/hil.md shows one.")
    return BoardBenchFile(
        name=bench["name"],
        port=bench["port"],
        fitted=bench["fitted"],
        has=frozenset({*bench.get("has", []), bench["fitted"]}),
    )


def _problems(tables: dict[str, Any], bench: dict[str, Any]) -> list[str]:
    found = [f"unknown section [{key}]" for key in tables if key != "bench"]
    found += [f"unknown key {key}" for key in bench if key not in _KEYS]
    for key in ("name", "port", "fitted"):
        if not isinstance(bench.get(key), str) or not bench[key]:
            found.append(f"{key} must be text in quotes")
    if bench.get("fitted", "") not in KINDS:
        found.append(f"fitted must be one of {', '.join(KINDS)}")
    words = bench.get("has", [])
    if not isinstance(words, list):
        return [*found, "has must be a list of words"]
    for word in words:
        if word not in FEATURES:
            found.append(f"has: there is no {word!r}; known are {', '.join(sorted(FEATURES))}")
        elif word not in POSSIBLE:
            found.append(f"has: no instrument for {word!r} ({FEATURES[word]}) is known here")
    return found


class BoardBench(Bench):
    """A board on a port, in its own time.

    Args:
        name: the bench file, as it was asked for.
        file: what it says.

    """

    def __init__(self, name: str, file: BoardBenchFile) -> None:
        super().__init__()
        self.name = name
        self.has = file.has
        self.kind = file.fitted
        self._port = file.port
        self._began_s = time.monotonic()

    def connect(self, on_telemetry: Callable[[Status], None] | None = None) -> Pump:
        """Open the port and connect a new client."""
        self._disconnect()
        self._pump = Pump(self._port, open_port=Port, on_telemetry=on_telemetry)
        return self._pump

    @property
    def now_s(self) -> float:
        """Time since the bench was set up, s."""
        return time.monotonic() - self._began_s

    def run_s(self, duration_s: float) -> None:
        """Wait; a simulated pump's faster time is taken into account."""
        factor = self.pump.info.time_factor
        if factor:
            time.sleep(duration_s / factor)
            return
        until_s = self.pump.status().uptime_s + duration_s
        while self.pump.status().uptime_s < until_s:
            time.sleep(_LOOK_S)

    def left_running(self) -> str:
        """The pump's state, if it runs."""
        state = self.connect().status().state
        return state if state in _RUNNING else ""

    def close(self) -> None:
        """Stop the pump if it runs, take note of its alarms, and close the port."""
        pump = self.connect()
        status = pump.status()
        if status.state not in ("idle", "stopped", "completed"):
            pump.stop()
        if status.alarms:
            pump.acknowledge()
        self._disconnect()


_LOOK_S = 0.005
