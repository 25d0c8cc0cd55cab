"""What a bench is to a suite: a pump to talk to, time to pass, and what can be done to it."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from micropump_hil.sensors import Row
from micropump_host.client import Accepted, Pump, Status
from micropump_host.client.port import Line
from micropump_host.errors import MicropumpError

# What a test can say it needs, and what that means.
FEATURES = {
    "syringe": "a syringe fitted",
    "peristaltic": "a peristaltic head fitted",
    "virtual_time": "time that passes only when the test lets it",
    "step_edges": "the time of every edge on STEP",
    "interlock": "an interlock that the bench opens and closes",
    "restart": "a processor that the pump can restart",
    "edge_counter": "a look at the pump's own edge counter",
    "motor_enable": "a look at the driver's EN",
    "driver_uart": "a motor driver with a UART and a fault output, which the bench makes fail",
    "sensors": "sensors that the bench sets and breaks",
    "driver_fault": "a motor driver that the bench makes fail",
    "buttons": "buttons that the bench presses",
    "usb": "a USB host that can stop reading",
    "reset": "the reset button",
    "watchdog": "a watchdog that resets the processor",
    "cpu_death": "a processor that can be made to die",
    "power_cut": "a power supply that can be cut",
    "flash": "a flash chip whose erase takes a time of one's choice",
    "injection": "a program of the test's own inside the firmware",
    "occlusion": "a line that can be occluded",
}
KINDS = ("syringe", "peristaltic")


class NotOnThisBenchError(MicropumpError):
    """A test asked a bench for something that it does not have, and had not said so."""


class BenchBrokenError(MicropumpError):
    """A bench that could not be set up; it is not tried again."""


@dataclass(frozen=True)
class Run:
    """One stretch of the motor being on.

    Attributes:
        on_ns: when it was switched on, bench time.
        off_ns: when it was switched off; None while it is on.
        edges_ns: every rising edge on STEP, bench time.

    """

    on_ns: int
    off_ns: int | None
    edges_ns: tuple[int, ...]


class Bench(ABC):
    """A pump on a bench.

    Verbs that a bench has no means for raise ``NotOnThisBenchError``; ``needs(…)`` on a test keeps
    it away from such a bench.

    Attributes:
        name: as it was asked for.
        has: words of ``FEATURES``.
        kind: what is fitted, ``"syringe"`` or ``"peristaltic"``.

    """

    name: str
    has: frozenset[str]
    kind: str

    def __init__(self) -> None:
        self._pump: Pump | None = None

    @property
    def pump(self) -> Pump:
        """The client, connected when it is first asked for."""
        if self._pump is None:
            self._pump = self.connect()
        return self._pump

    @abstractmethod
    def connect(self, on_telemetry: Callable[[Status], None] | None = None) -> Pump:
        """Connect a new client, as a host does that comes back; the bench's own is ended."""

    @abstractmethod
    def run_s(self, duration_s: float) -> None:
        """Let ``duration_s`` seconds of bench time pass."""

    @property
    @abstractmethod
    def now_s(self) -> float:
        """Bench time, s."""

    @abstractmethod
    def left_running(self) -> str:
        """What the pump is still doing if its motor is on, such as "infusing"; else ""."""

    @abstractmethod
    def close(self) -> None:
        """Stop the pump if it runs, and put everything away."""

    def status(self) -> Status:
        """What the pump is doing."""
        return self.pump.status()

    def runs(self) -> list[Run]:
        """Every stretch of the motor being on so far, with its edges (``step_edges``)."""
        self._lacks("step_edges")

    def edges_us(self) -> list[int]:
        """Every edge on STEP so far, µs after the first one (``step_edges``)."""
        edges_ns = [at for run in self.runs() for at in run.edges_ns]
        return [(at - edges_ns[0]) // 1000 for at in edges_ns]

    def set_interlock(self, is_open: bool) -> None:
        """Open or close the interlock (``interlock``)."""
        self._lacks("interlock")

    def set_sensor(self, name: str, value: float | Callable[[int], float]) -> None:
        """Let a sensor measure ``value``, in its unit of docs/sensors.md (``sensors``).

        A function is given the bench's time in ns.
        """
        self._lacks("sensors")

    def break_sensor(self, name: str, fault: str) -> None:
        """Break a sensor: "open", "stuck", "unplugged" and others (``sensors``)."""
        self._lacks("sensors")

    def mend_sensor(self, name: str) -> None:
        """Make a sensor whole (``sensors``)."""
        self._lacks("sensors")

    def fit(self, row: Row) -> None:
        """Fit one more sensor, by its row of ``SENSORS``, in place of what has its pin.

        The pump starts anew (``sensors``).
        """
        self._lacks("sensors")

    def position_steps(self) -> int:
        """How far the motor has turned, microsteps; backwards they are taken away (``sensors``)."""
        self._lacks("sensors")

    def fail_driver(self) -> None:
        """Let the motor's driver report a fault (``driver_fault``)."""
        self._lacks("driver_fault")

    def mend_driver(self) -> None:
        """Let it report none (``driver_fault``)."""
        self._lacks("driver_fault")

    def press(self, button: str, duration_s: float = 0.2) -> None:
        """Press and release ``"start_stop"`` or ``"bolus"`` (``buttons``)."""
        self._lacks("buttons")

    def counted_steps(self) -> int:
        """What the pump's own edge counter holds since the motor was switched on."""
        self._lacks("edge_counter")

    def reset(self) -> None:
        """Press the reset button (``reset``)."""
        self._lacks("reset")

    def kill_cpu(self) -> None:
        """Let the processor die: interrupts off, an endless loop (``cpu_death``)."""
        self._lacks("cpu_death")

    def power_cut(self) -> None:
        """Cut the power (``power_cut``)."""
        self._lacks("power_cut")

    def power_on(self) -> None:
        """Switch the power on again (``power_cut``)."""
        self._lacks("power_cut")

    def inject(self, source: str) -> None:
        """Start the pump anew with ``source`` run before its main program (``injection``)."""
        self._lacks("injection")

    def _lacks(self, feature: str) -> NoReturn:
        raise NotOnThisBenchError(
            f"this bench has no {feature} ({FEATURES[feature]})",
            self.name,
            f'Mark the test with needs("{feature}").',
        )

    def _connected(
        self, open_port: Callable[[str, float], Line], on_telemetry: Callable[[Status], None] | None
    ) -> Pump:
        self._disconnect()
        self._pump = _BesidePump(
            self.put_in,
            self.name,
            timeout_s=ANSWER_S,
            open_port=open_port,
            on_telemetry=on_telemetry,
        )
        return self._pump

    def put_in(self, item_id: str) -> None:
        """Put a syringe or head in, by its id in the catalogue: done with each program."""
        # A bench without hands has nothing to put in.
        return

    def _disconnect(self) -> None:
        if self._pump is not None:
            self._pump.close()
            self._pump = None


class _BesidePump(Pump):
    """The client, and whoever puts in what is programmed.

    Args:
        put_in: is told what, before each program.
        url, named: as ``Pump`` has it.

    """

    def __init__(self, put_in: Callable[[str], None], url: str, **named: Any) -> None:
        self._put_in = put_in
        super().__init__(url, **named)

    def prescribe(self, therapy_kind: int, fields: dict[str, Any]) -> Accepted:
        """Load any therapy, with what it is for in place."""
        self._put_in(str(fields["item_id"]))
        return super().prescribe(therapy_kind, fields)


# Of wall time, for benches whose own time may be slow.
ANSWER_S = 60.0
