"""The emulated Pico as a bench: the real image, the ordinary client on the emulated USB."""

import bisect
from collections.abc import Callable
from pathlib import Path

from micropump_hil.benches.bench import Bench, BenchBrokenError, Run
from micropump_hil.benches.fitted import BOARD_FILE, barrel_um, board_file, rows_with, sensor_rows
from micropump_hil.emulated import EmulatedPico, EmulatedTimeoutError, Reset
from micropump_hil.emulated.models import Contact, StepperDriver, driver_chip
from micropump_hil.emulated.sensors import SensorsOnPins
from micropump_hil.emulated.spins import skip_spins
from micropump_hil.emulated.uart import SHORTS, Tmc2209
from micropump_hil.emulated.wiring import Wiring, read_wiring
from micropump_hil.lines import EmulatedLine
from micropump_hil.sensors import Row
from micropump_host.client import Pump, PumpGoneError, Status

HAS = frozenset(
    {
        "syringe", "peristaltic", "virtual_time", "step_edges", "interlock", "restart",
        "edge_counter", "motor_enable", "buttons", "usb", "reset", "watchdog", "cpu_death",
        "power_cut", "flash", "injection", "driver_uart", "driver_fault", "sensors",
    }
)  # fmt: skip

# From power-on to the first answer are 60 ms, from a reset 30 ms more.
READY_S = 1.0
# Of the drives in boards/pico: 200 full steps, 16 microsteps each.
STEPS_PER_REV = 3200
# At which level of DIR the pump delivers.
_FORWARD_LEVEL = 0
_COUNTER_BLOCK = 1
# As after a restart on purpose: the reset into maintenance was one.
_STARTER = """\
import machine
import micropump_board
from micropump_rp2 import reset
machine.mem32[reset._SCRATCH0] = reset._MARK
micropump_board.FITTED = {kind!r}
{source}
import main
"""


class EmulatedBench(Bench):
    """An emulated Pico on the wiring of ``boards/pico``, switched on and ready.

    Args:
        name: as it was asked for.
        kind: what is fitted.
        image: the UF2.

    Attributes:
        pico: the Pico itself, for what has no verb.
        image: its image.
        pins: GPIO numbers by function.
        driver: the TMC2209 on its UART and DIAG (``driver_uart``).
        motor: what its steps have come to.
        sensors: all that the board has, each by its name (``sensors``).

    Raises:
        BenchBrokenError: if its firmware does not come up.

    """

    has = HAS

    def __init__(self, name: str, kind: str, image: Path) -> None:
        super().__init__()
        self.name = name
        self.kind = kind
        self.image = image
        self._wiring = read_wiring(board_file())
        self.pins = self._wiring.gpio
        self._interlock = Contact(self._wiring.gpio["interlock"], closed=True)
        self.pico = EmulatedPico(image)
        skip_spins(self.pico)
        for pin, level in self._wiring.pulls.items():
            self.pico.pins.pull(pin, level)
        for source, target in self._wiring.wires:
            self.pico.pins.wire(source, target)
        self._interlock.attach(self.pico)
        self.driver = _driver(self._wiring)
        self.driver.attach(self.pico)
        self.motor = StepperDriver(
            self.pins["step"],
            self.pins["dir"],
            self.pins["enable"],
            enable_level=self._on_level,
            forward_level=_FORWARD_LEVEL,
        )
        self.motor.attach(self.pico)
        # The magnet sits so that its angle rises when the pusher goes forward.
        self.sensors = SensorsOnPins(
            sensor_rows(), lambda: self.motor.position_steps / STEPS_PER_REV
        )
        self.sensors.attach(self.pico)
        self._step = self.pico.pins.watch(self._wiring.gpio["step"])
        self._enable = self.pico.pins.watch(self._wiring.gpio["enable"])
        self.pico.boot()
        self._get_ready()
        if self.pump.info.kind != kind:
            self.inject("")

    def connect(self, on_telemetry: Callable[[Status], None] | None = None) -> Pump:
        """Connect a new client, once the Pico is on USB."""
        if not self.pico.usb.connected:
            self.pico.boot()
        return self._connected(lambda *_: EmulatedLine(self.pico), on_telemetry)

    @property
    def now_s(self) -> float:
        """Emulated time, s."""
        return self.pico.now_ns / 1e9

    def run_s(self, duration_s: float) -> None:
        """Let emulated time pass."""
        self.pico.run_ms(duration_s * 1000)

    def left_running(self) -> str:
        """The pump's state, if the driver is enabled; "infusing" where it cannot say."""
        if not self.pico.powered or not self.motor_is_on():
            return ""
        try:
            return self.connect().status().state
        except (PumpGoneError, EmulatedTimeoutError):
            return "infusing" if self.motor_is_on() else ""

    def close(self) -> None:
        """Switch off."""
        self._disconnect()
        if self.pico.powered:
            self.pico.power_cut()

    # -- what it is seen to do ------------------------------------------------------------------

    def motor_is_on(self) -> bool:
        """Whether the driver's EN is active (``motor_enable``)."""
        return self.pico.pins.level(self._wiring.gpio["enable"]) == self._on_level

    def runs(self) -> list[Run]:
        """Every stretch of EN being active, with the edges on STEP in it."""
        edges_ns = self._step.rising_ns
        runs = []
        on_ns: int | None = None
        for edge in self._enable.edges:
            if edge.level == self._on_level:
                on_ns = edge.at_ns
            elif on_ns is not None:
                runs.append(_run(on_ns, edge.at_ns, edges_ns))
                on_ns = None
        if on_ns is not None:
            runs.append(_run(on_ns, None, edges_ns))
        return runs

    def stray_edges_ns(self) -> list[int]:
        """Edges on STEP while EN was off, which no one should have made."""
        made = {at for run in self.runs() for at in run.edges_ns}
        return [at for at in self._step.rising_ns if at not in made]

    def counted_steps(self) -> int:
        """What the edge counter's X register holds, which counts down from all ones."""
        return int(self.pico.mcu.pio[_COUNTER_BLOCK].machines[0].x) ^ 0xFFFFFFFF

    # -- what is done to it ---------------------------------------------------------------------

    def set_interlock(self, is_open: bool) -> None:
        """Open or close the interlock."""
        if is_open:
            self._interlock.open()
        else:
            self._interlock.close()

    def set_sensor(self, name: str, value: float | Callable[[int], float]) -> None:
        """Let a sensor measure ``value``, in its unit of docs/sensors.md."""
        self.sensors[name].set(value)

    def put_in(self, item_id: str) -> None:
        """Put a syringe in: its barrel opens the clamp so far."""
        opening_um = barrel_um(item_id)
        if opening_um and "barrel" in self.sensors.by_name:
            self.sensors["barrel"].set(opening_um)

    def break_sensor(self, name: str, fault: str) -> None:
        """Break a sensor, in one of its ``faults``."""
        self.sensors[name].break_it(fault)

    def mend_sensor(self, name: str) -> None:
        """Make a sensor whole."""
        self.sensors[name].mend()

    def fit(self, row: Row) -> None:
        """Fit one more sensor on its pin; the pump starts anew with it."""
        self.sensors.fit(row)
        rows = rows_with([sensor.row for sensor in self.sensors.by_name.values()], row)
        self.inject(f"micropump_board.SENSORS = {tuple(rows)!r}")

    def position_steps(self) -> int:
        """How far the motor has turned, as the driver has made the steps."""
        return self.motor.position_steps

    def fail_driver(self) -> None:
        """Short a coil to ground."""
        self.driver.fail(_SHORT_TO_GROUND)

    def mend_driver(self) -> None:
        """Nothing: a short is forgotten once the motor is off, which it is."""

    def press(self, button: str, duration_s: float = 0.2) -> None:
        """Press and release a button."""
        pin = self._wiring.gpio[f"{button}_button"]
        self.pico.pins.set(pin, self._wiring.active_level[f"{button}_button"])
        self.run_s(duration_s)
        self.pico.pins.release(pin)

    def reset(self) -> None:
        """Press the reset button."""
        self.pico.reset()

    @property
    def resets(self) -> list[Reset]:
        """Every reset so far, power-on included."""
        return self.pico.resets

    def kill_cpu(self) -> None:
        """Let the processor die."""
        self.pico.kill_cpu()

    def power_cut(self) -> None:
        """Cut the power."""
        self.pico.power_cut()

    def power_on(self) -> None:
        """Switch the power on again, with the flash as it was."""
        self.pico.boot()

    def inject(self, source: str) -> None:
        """Start the pump anew: through maintenance, ``source``, then its own main program.

        The kind that is fitted is set too, which stays so until the next reset.
        """
        self.pump.restart(into_maintenance=True)
        resets = len(self.pico.resets)
        self.pico.run_until(
            lambda: len(self.pico.resets) > resets, READY_S * 1000, awaited="the restart"
        )
        self.pico.boot()
        self.pico.expect(b"maintenance", READY_S * 1000)
        self.pico.exec_start(_STARTER.format(kind=self.kind, source=source))
        self._get_ready()

    def await_reset(self, within_s: float) -> Reset:
        """Run until the Pico is reset; returns that reset.

        Raises:
            EmulatedTimeoutError: if it is not within ``within_s`` seconds of emulated time.

        """
        resets = len(self.pico.resets)
        self.pico.run_until(
            lambda: len(self.pico.resets) > resets, within_s * 1000, awaited="a reset"
        )
        return self.pico.resets[-1]

    @property
    def _on_level(self) -> int:
        return self._wiring.active_level["enable"]

    def _get_ready(self) -> None:
        """Let the firmware start its loop, and connect."""
        self.run_s(_START_S)
        try:
            self.connect()
        except (PumpGoneError, EmulatedTimeoutError) as error:
            resets = ", ".join(f"{r.cause} at {r.at_ns / 1e6:.0f} ms" for r in self.pico.resets)
            raise BenchBrokenError(
                f"the firmware does not come up ({error})",
                self.name,
                f"Resets so far: {resets}. Build the image again with `make image`.",
            ) from error


# Of the TMC2209's DRV_STATUS: the first of the shorts.
_SHORT_TO_GROUND = SHORTS & -SHORTS
# Frozen modules are imported and the loop begun within this time.
_START_S = 0.1


def _run(on_ns: int, off_ns: int | None, edges_ns: list[int]) -> Run:
    first = bisect.bisect_left(edges_ns, on_ns)
    end = len(edges_ns) if off_ns is None else bisect.bisect_right(edges_ns, off_ns)
    return Run(on_ns, off_ns, tuple(edges_ns[first:end]))


def _driver(wiring: Wiring) -> Tmc2209:
    chip = driver_chip(wiring)
    if chip is None:
        raise BenchBrokenError(
            "the board has no driver on a UART", str(BOARD_FILE), "See its pins."
        )
    return chip
