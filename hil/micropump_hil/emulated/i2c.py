"""Devices on the emulated Pico's I2C buses.

Modelled at the peripheral, byte by byte, each byte in its time; not on the wires. A bus scan of
MicroPython finds nothing (the emulator does not answer an address without data), and a bus made in
software of two pins finds nothing either: address a device directly.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from rp2040py.peripherals.i2c import R_TX_EMPTY, I2CMode

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
_MAGNET_DETECTED = 0x20
_MAGNET_TOO_WEAK = 0x10


class I2cDevice(Protocol):
    """Something with an address."""

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

    """

    def __init__(self, number: int, devices: dict[int, I2cDevice]) -> None:
        self.devices = devices
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

    def _later(self, act: Callable[[], None]) -> None:
        self._next = act
        self._alarm.schedule(BITS_PER_BYTE * 1e9 / BUS_HZ)

    def _do_next(self) -> None:
        act, self._next = self._next, None
        if act is not None:
            act()

    def _forget(self) -> None:
        self._alarm.cancel()
        self._next = self._addressed = None

    def _connect(self, address: int, mode: I2CMode) -> None:
        self._addressed = self.devices.get(address)
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
        magnet: whether the magnet is there and strong enough.

    """

    def __init__(self, turns: Callable[[], float]) -> None:
        self.magnet = True
        self._turns = turns
        self._pointer = 0
        self._is_pointer = True

    @property
    def angle_counts(self) -> int:
        """The angle it measures, 0 to 4095 counts in a revolution."""
        return int(self._turns() * AS5600_COUNTS // 1) % AS5600_COUNTS

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
            return _MAGNET_DETECTED if self.magnet else _MAGNET_TOO_WEAK
        if register in (_RAW_ANGLE_HIGH, _ANGLE_HIGH):
            return self.angle_counts >> 8
        if register in (_RAW_ANGLE_LOW, _ANGLE_LOW):
            return self.angle_counts & 0xFF
        return 0
