"""The core on this computer as a bench: virtual time, one in-process pump for each test."""

from collections.abc import Callable, Iterable, Sequence

from micropump import catalogue
from micropump.controller import RUNNING, STATE_NAMES, STOPPING
from micropump.mechanism import KIND_PERISTALTIC, KIND_SYRINGE, Mechanism
from micropump.motion import edges_us
from micropump_hil.benches.bench import Bench, Run
from micropump_hil.benches.fitted import barrel_um, rows_with, sensor_rows
from micropump_hil.sensors import SPEC_FIELDS, Row, SensorsInCounts
from micropump_host.bench import default_bench
from micropump_host.bench.ground import Abort, Ground, Inputs, Quantum, Record, Spec, build_ground
from micropump_host.bench.local import LocalLine
from micropump_host.bench.motor import Motor
from micropump_host.bench.world import Sample, VirtualBench
from micropump_host.client import Pump, Status

HAS = frozenset(
    {
        "syringe", "peristaltic", "virtual_time", "step_edges", "interlock", "sensors",
        "driver_fault",
    }
)  # fmt: skip
# The drives of boards/pico, so that a trace can be compared with the emulated Pico's.
DRIVES = {"syringe": catalogue.SYRINGE_DRIVES[0][0], "peristaltic": catalogue.HEAD_DRIVES[0][0]}
_KINDS = {"syringe": KIND_SYRINGE, "peristaltic": KIND_PERISTALTIC}
_NS_PER_MS = 1_000_000
# Microsteps a turn, of the drives in boards/pico.
STEPS_PER_REV = 3200
_RUNNING = (*RUNNING, STOPPING)


class _Unrecorded:
    """The balance's readings go nowhere."""

    def begin(self, mechanism: Mechanism) -> None:
        """An infusion starts."""

    def sample(self, sample: Sample) -> None:
        """The balance was read."""

    def end(self) -> None:
        """The infusion has come to its end."""


class _WatchedGround(Ground):
    """A ground whose motor is watched: when it is switched on and off, and every edge.

    Attributes:
        switched_on_ms: when the motor was switched on, in order.
        records: what the stepper was handed, by number of the switching on.
        motor: what its steps have come to.
        sensors: all that boards/pico has, in counts.

    """

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self.switched_on_ms: list[int] = []
        self.records: list[list[Record]] = []
        self.motor = Motor()
        self._taken: list[Record] = []
        self.fit_rows(sensor_rows())

    def fit_rows(self, rows: Sequence[Row]) -> None:
        """Fit these sensors and no others."""
        self.rows = rows
        self.sensors = SensorsInCounts(rows, lambda: self.motor.turned / STEPS_PER_REV)
        self._ground.fit([tuple(row[:SPEC_FIELDS]) for row in rows])

    @property
    def due_ms(self) -> int:  # type: ignore[override]
        """When its next control cycle is due."""
        return self._ground.due_ms

    @property
    def ticks(self) -> int:  # type: ignore[override]
        """Control cycles so far."""
        return self._ground.ticks

    @property
    def state(self) -> int:  # type: ignore[override]
        """The controller's state."""
        return self._ground.state

    @property
    def is_over(self) -> bool:  # type: ignore[override]
        """Whether no therapy is under way, or all of it is delivered."""
        return self._ground.is_over

    @property
    def containers(self) -> int:  # type: ignore[override]
        """How many containers the pump was told of."""
        return self._ground.containers

    @property
    def container_ul(self) -> int:  # type: ignore[override]
        """What the last of them was said to hold."""
        return self._ground.container_ul

    @property
    def secondary_ul(self) -> int:  # type: ignore[override]
        """What secondary infusions brought."""
        return self._ground.secondary_ul

    @property
    def inputs(self) -> Inputs:  # type: ignore[override]
        """What the pump sees."""
        return self._ground.inputs

    @property
    def item_id(self) -> str:  # type: ignore[override]
        """What the loaded program runs on."""
        return self._ground.item_id

    def advance(self, until_ms: int) -> bytes:
        """Run the control cycles up to ``until_ms``, with a look at the sensors before each."""
        said = b""
        while (due_ms := self._ground.due_ms) <= until_ms:
            self._take()
            self.motor.turn(due_ms, None)
            self._ground.sense(*self.sensors.read(due_ms))
            said += self._ground.advance(due_ms)
        return said + self._ground.advance(until_ms)

    def receive(self, now_ms: int, data: bytes) -> bytes:
        """Hand in bytes from the host, which may switch the motor on."""
        before = self.state
        said = self._ground.receive(now_ms, data)
        if self.state in _RUNNING and before not in _RUNNING:
            self.switched_on_ms.append(now_ms)
            self.records.append([])
        return said

    def set_inputs(self, inputs: Inputs) -> None:
        """Let the pump see other inputs."""
        self._ground.set_inputs(inputs)

    def fit(self, specs: Sequence[Spec]) -> None:
        """Tell the pump which sensors it has."""
        self._ground.fit(specs)

    def sense(self, fresh: int, failed: int, raw: Sequence[int]) -> None:
        """Put samples of sensors into the pump's readings."""
        self._ground.sense(fresh, failed, raw)

    def take_records(self) -> list[Record]:
        """Take what the stepper was handed since the last call, and keep a copy."""
        self._take()
        taken, self._taken = self._taken, []
        return taken

    def _take(self) -> None:
        records = self._ground.take_records()
        if records:
            self.records[-1].extend(records)
            self.motor.take(records, None)
            self._taken += records

    def close(self) -> None:
        """End it."""
        self._ground.close()


class _Line(LocalLine):
    """A line that also carries what the pump says by itself."""

    def say(self, data: bytes) -> None:
        """Take what the pump has said."""
        self._answers += data


class VirtualGroundBench(Bench):
    """A virtual bench in this process.

    Args:
        name: the ground, ``"cpython"`` or ``"micropython"``.
        kind: what is fitted.

    """

    has = HAS

    def __init__(self, name: str, kind: str) -> None:
        super().__init__()
        self.name = name
        self.kind = kind
        drive_id = DRIVES[kind]
        self._ground = _WatchedGround(build_ground(name, _KINDS[kind], drive_id, 0))
        file = default_bench("syringe" if kind == "syringe" else "peristaltic")
        self._world = VirtualBench(self._ground, _KINDS[kind], drive_id, file, _Unrecorded())
        self._line = _Line(self._world)

    def connect(self, on_telemetry: Callable[[Status], None] | None = None) -> Pump:
        """Connect a new client."""
        self._line.discard_input()
        return self._connected(lambda *_: self._line, on_telemetry)

    @property
    def now_s(self) -> float:
        """Virtual time, s."""
        return self._world.now_ms / 1000

    def run_s(self, duration_s: float) -> None:
        """Let virtual time pass."""
        self._line.say(self._world.advance(self._world.now_ms + round(duration_s * 1000)))

    def left_running(self) -> str:
        """The state, if the motor is on."""
        state = self._ground.state
        return STATE_NAMES[state] if state in _RUNNING else ""

    def close(self) -> None:
        """End the ground."""
        self._disconnect()
        self._world.close()

    def set_interlock(self, is_open: bool) -> None:
        """Open or close the interlock."""
        self._ground.set_interlock(is_open)

    def set_sensor(self, name: str, value: float | Callable[[int], float]) -> None:
        """Let a sensor measure ``value``, in its unit of docs/sensors.md."""
        self._ground.sensors[name].set(value)

    def break_sensor(self, name: str, fault: str) -> None:
        """Break a sensor, in one of its ``faults``."""
        self._ground.sensors[name].break_it(fault)

    def mend_sensor(self, name: str) -> None:
        """Make a sensor whole."""
        self._ground.sensors[name].mend()

    def put_in(self, item_id: str) -> None:
        """Put a syringe in: its barrel opens the clamp so far."""
        opening_um = barrel_um(item_id)
        if opening_um and "barrel" in self._ground.sensors.by_name:
            self.set_sensor("barrel", opening_um)

    def fit(self, row: Row) -> None:
        """Fit one more sensor, in place of what has its pin."""
        self._ground.fit_rows(rows_with(self._ground.rows, row))

    def position_steps(self) -> int:
        """How far the motor has turned."""
        return self._ground.motor.turned

    def fail_driver(self) -> None:
        """Let the motor's driver report a fault."""
        self._ground.set_driver_fault(True)

    def mend_driver(self) -> None:
        """Let it report none."""
        self._ground.set_driver_fault(False)

    def runs(self) -> list[Run]:
        """Every stretch of the motor being on, from what the stepper was handed."""
        return [
            _run(on_ms, records, self._world.now_ms)
            for on_ms, records in zip(
                self._ground.switched_on_ms, self._ground.records, strict=True
            )
        ]


def _run(on_ms: int, records: Iterable[Record], now_ms: int) -> Run:
    edges_ns: list[int] = []
    off_ns: int | None = None
    until_ns = now_ms * _NS_PER_MS
    for record in records:
        if isinstance(record, Quantum):
            fields = (record.first_us, record.interval_us, record.part, record.whole, record.credit)
            start_us = record.start_ms * 1000
            edges_ns.extend((start_us + at) * 1000 for at in edges_us(abs(record.count), *fields))
        elif isinstance(record, Abort):
            off_ns = until_ns = record.at_ms * _NS_PER_MS
    return Run(on_ms * _NS_PER_MS, off_ns, tuple(at for at in edges_ns if at <= until_ns))
