"""Devices on the emulated Pico's I2C buses.

Modelled at the peripheral, byte by byte, each byte in its time; not on the wires. A bus scan of
MicroPython finds nothing (the emulator does not answer an address without data), and a bus made in
software of two pins finds nothing either: address a device directly.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from rp2040py.peripherals.i2c import R_TX_EMPTY, I2CMode
from rp2040py.peripherals.reset import RESET, RESET_I2C0, RESET_I2C1, RPReset

if TYPE_CHECKING:
    from micropump_hil.emulated.pico import EmulatedPico

BITS_PER_BYTE = 9
BUS_HZ = 400_000

AS5600_ADDRESS = 0x36
AS5600_COUNTS = 4096
_STATUS = 0x0B
_RAW_ANGLE_HIGH = 0x0C
_RAW_ANGLE_LOW = 0x0D
_ANGLE_HIGH = 0x0E
_ANGLE_LOW = 0x0F
# What the status says of the magnet: MD detected, ML too weak, MH too strong.
MAGNETS = {"well": 0x20, "weak": 0x30, "strong": 0x28, "none": 0x10}
ABP2_ADDRESS = 0x28
_ABP2_MEASURE = bytes((0xAA, 0x00, 0x00))
_ABP2_POWERED = 0x40
_ABP2_BUSY = 0x20
_ABP2_DAMAGED = 0x04
# The slowest conversion (datasheet of the series, "I2C communications").
_ABP2_MEASURES_NS = 5_000_000


class TellingResets(RPReset):
    """The chip's RESETS, which tells blocks that they are held in reset; the emulator's does not.

    Attributes:
        on_hold: what to call, by the block's bit.

    """

    on_hold: dict[int, Callable[[], None]]

    def write_uint32(self, offset: int, value: int) -> None:
        """Write a register of the block."""
        if offset == RESET:
            for bit, hold in self.on_hold.items():
                if value & bit & ~self._reset:
                    hold()
        super().write_uint32(offset, value)


def _telling(resets: RPReset) -> TellingResets:
    if not isinstance(resets, TellingResets):
        resets.__class__ = TellingResets
        resets.on_hold = {}  # type: ignore[attr-defined]
    return resets  # type: ignore[return-value]


class I2cDevice(Protocol):
    """Something with an address.

    Attributes:
        silent: whether it does not answer to its address, as one that is unplugged.

    """

    silent: bool

    def start(self) -> None:
        """The device has been addressed."""

    def write(self, byte: int) -> bool:
        """Take a byte; returns whether it is acknowledged."""

    def read(self) -> int:
        """Give a byte."""


class I2cBus:
    """One of the two I2C peripherals with devices on it.

    Args:
        number: which peripheral, 0 or 1.
        devices: what answers at which 7-bit address.

    Attributes:
        devices: may be changed at any time.
        hangs: whether somebody holds the clock down: nothing that is begun comes to an end.

    """

    def __init__(self, number: int, devices: dict[int, I2cDevice]) -> None:
        self.devices = devices
        self.hangs = False
        self._number = number
        self._addressed: I2cDevice | None = None
        self._next: Callable[[], None] | None = None

    def attach(self, pico: "EmulatedPico") -> None:
        """Connect to the peripheral."""
        bus = self._bus = pico.mcu.i2c[self._number]
        self._alarm = pico.clock.create_alarm(self._do_next)
        bus.on_connect = lambda address, mode: self._later(lambda: self._connect(address, mode))
        bus.on_write_byte = lambda byte: self._later(lambda: self._write(byte))
        bus.on_read_byte = lambda ack: self._later(self._read)
        bus.on_stop = bus.complete_stop
        pico.on_reset(self._forget)
        bit = (RESET_I2C0, RESET_I2C1)[self._number]
        _telling(pico.mcu.resets).on_hold[bit] = self._hold

    def _later(self, act: Callable[[], None]) -> None:
        self._next = act
        self._alarm.schedule(BITS_PER_BYTE * 1e9 / BUS_HZ)

    def _do_next(self) -> None:
        act, self._next = self._next, None
        if act is not None and not self.hangs:
            act()

    def _hold(self) -> None:
        self._forget()
        self._bus.reset()

    def _forget(self) -> None:
        self._alarm.cancel()
        self._next = self._addressed = None

    def _connect(self, address: int, mode: I2CMode) -> None:
        device = self.devices.get(address)
        self._addressed = None if device is None or device.silent else device
        if self._addressed is not None and mode == I2CMode.WRITE:
            self._addressed.start()
        self._bus.complete_connect(self._addressed is not None)
        if self._addressed is None:
            # What was queued is gone; the emulator does not say so, and the driver waits for it.
            self._bus._set_interrupts(R_TX_EMPTY)

    def _write(self, byte: int) -> None:
        self._bus.complete_write(self._addressed is not None and self._addressed.write(byte))

    def _read(self) -> None:
        self._bus.complete_read(self._addressed.read() if self._addressed is not None else 0xFF)


class As5600:
    """A magnetic angle encoder AS5600: status and angle, which is all that a pump reads of it.

    Args:
        turns: gives the shaft's position, revolutions.

    Attributes:
        magnet: how it finds the magnet, one of ``MAGNETS``.
        silent: whether it does not answer.

    """

    def __init__(self, turns: Callable[[], float]) -> None:
        self.magnet = "well"
        self.silent = False
        self._turns = turns
        self._stuck_at: int | None = None
        self._pointer = 0
        self._is_pointer = True

    @property
    def angle_counts(self) -> int:
        """The angle it measures, 0 to 4095 counts in a revolution."""
        if self._stuck_at is not None:
            return self._stuck_at
        return int(self._turns() * AS5600_COUNTS // 1) % AS5600_COUNTS

    @property
    def stuck(self) -> bool:
        """Whether the angle stays what it is; may be set."""
        return self._stuck_at is not None

    @stuck.setter
    def stuck(self, stuck: bool) -> None:
        self._stuck_at = self.angle_counts if stuck else None

    def start(self) -> None:
        """The next byte written is a register's address."""
        self._is_pointer = True

    def write(self, byte: int) -> bool:
        """Take a register's address; what follows would be configuration and is ignored."""
        if self._is_pointer:
            self._pointer = byte
            self._is_pointer = False
        return True

    def read(self) -> int:
        """The register that the pointer is at; the pointer moves on."""
        register, self._pointer = self._pointer, (self._pointer + 1) & 0xFF
        if register == _STATUS:
            return MAGNETS[self.magnet]
        if register in (_RAW_ANGLE_HIGH, _ANGLE_HIGH):
            return self.angle_counts >> 8
        if register in (_RAW_ANGLE_LOW, _ANGLE_LOW):
            return self.angle_counts & 0xFF
        return 0


class Abp2:
    """A pressure sensor of Honeywell's ABP2 series: one measurement for each request.

    Args:
        counts: gives the upper 16 of its 24 bits at an emulated time, ns.
        now_ns: gives the emulated time.

    Attributes:
        silent: whether it does not answer.
        damaged: whether it says that its memory is.

    """

    def __init__(self, counts: Callable[[int], int], now_ns: Callable[[], int]) -> None:
        self.silent = False
        self.damaged = False
        self._counts = counts
        self._now_ns = now_ns
        self._request = bytearray()
        self._answer = bytes(4)
        self._place = 0
        self._ready_ns = 0

    def start(self) -> None:
        """A request begins."""
        self._request = bytearray()

    def write(self, byte: int) -> bool:
        """Take a byte of a request."""
        self._request.append(byte)
        if bytes(self._request) == _ABP2_MEASURE:
            now_ns = self._now_ns()
            self._ready_ns = now_ns + _ABP2_MEASURES_NS
            self._answer = bytes((0,)) + (self._counts(now_ns) << 8).to_bytes(3, "big")
            self._place = 0
        return True

    def read(self) -> int:
        """Give the status, then the pressure."""
        place, self._place = self._place, self._place + 1
        if place == 0:
            busy = _ABP2_BUSY if self._now_ns() < self._ready_ns else 0
            return _ABP2_POWERED | busy | (_ABP2_DAMAGED if self.damaged else 0)
        return self._answer[place] if place < len(self._answer) else 0
