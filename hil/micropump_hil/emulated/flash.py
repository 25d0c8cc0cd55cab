"""The flash chip of the emulated Pico: every operation seen, in its own time, cut where asked.

The stock chip erases and programs in no time. This one says BUSY in its status register for as
long as a real one; the Pico polls it with interrupts off and its code out of reach, while PIO goes
on. The CPU's polling is not emulated loop by loop: it is put to sleep until the chip is ready,
which leaves the times as they are.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, cast

from rp2040py.rp2040 import RP2040

from micropump_hil.emulated.clock import GridClock

FLASH_BYTES = 2 * 1024 * 1024
ERASED = 0xFF

Kind = Literal["erase", "program"]

_READ_STATUS = 0x05
_PAGE_PROGRAM = 0x02
_SECTOR_ERASE = 0x20
_BLOCK_ERASE = 0xD8
_SIZES = {_SECTOR_ERASE: 4096, _BLOCK_ERASE: 65536, _PAGE_PROGRAM: 256}
_HEADER_BYTES = 4
_BUSY = 0x01


@dataclass(frozen=True)
class FlashTimes:
    """How long the flash chip takes, ms.

    The defaults are the typical times of the Winbond W25Q16JV on the Pico (datasheet, AC
    characteristics: t_SE, t_BE2, t_PP); ``WORST_TIMES`` has its maxima.
    """

    sector_erase_ms: float = 45.0
    block_erase_ms: float = 150.0
    page_program_ms: float = 0.4


TYPICAL_TIMES = FlashTimes()
WORST_TIMES = FlashTimes(sector_erase_ms=400.0, block_erase_ms=2000.0, page_program_ms=3.0)


@dataclass(frozen=True)
class FlashOperation:
    """One erase or program that the chip was given.

    Attributes:
        at_ns: when it began.
        kind: "erase" or "program".
        address: where in the chip, bytes from its start.
        size: how many bytes it concerns.
        data: what was programmed; empty for an erase.
        busy_ns: how long the chip took.

    """

    at_ns: int
    kind: Kind
    address: int
    size: int
    data: bytes
    busy_ns: int


class Flash:
    """The flash chip.

    Attributes:
        times: how long operations take; may be changed between two of them.
        operations: what the chip was given since power-on or since ``operations`` was cleared.

    """

    def __init__(self, mcu: RP2040, clock: GridClock, on_cut: Callable[[], None]) -> None:
        self.times = TYPICAL_TIMES
        self.operations: list[FlashOperation] = []
        self._mcu = mcu
        self._clock = clock
        self._on_cut = on_cut
        self._busy_until_ns = 0
        self._cut: tuple[int, float] | None = None
        self._ready = clock.create_alarm(self._on_ready)
        self._ssi = cast(Any, mcu.ssi)
        self._stock_apply: Callable[[], None] = self._ssi._apply_command
        self._stock_shift: Callable[[int], int] = self._ssi._shift_byte
        self._ssi._apply_command = self._apply_command
        self._ssi._shift_byte = self._shift_byte

    @property
    def image(self) -> bytes:
        """What the chip holds, 2 MiB."""
        return bytes(self._mcu.flash[:FLASH_BYTES])

    def load(self, image: bytes, address: int = 0) -> None:
        """Put ``image`` into the chip at ``address``, from outside and in no time."""
        self._mcu.flash[address : address + len(image)] = image

    def cut_power_at(self, operation: int, done: float = 0.0) -> None:
        """Cut the power at an operation, counted from 0 from now on.

        Args:
            operation: number of the operation.
            done: the part of it that the chip gets done, 0 to 1. Of a torn program these are the
                first bytes; of a torn erase the first half of ``done`` is erased and of the rest
                bits are left over, as cells are between their states.

        """
        self._cut = (len(self.operations) + operation, done)

    def power_off(self) -> None:
        """Forget what the chip was doing."""
        self._ready.cancel()
        self._busy_until_ns = 0
        self._cut = None

    def _apply_command(self) -> None:
        buffer = bytes(self._ssi._tx_buffer)
        opcode = buffer[0] if buffer else -1
        if opcode in _SIZES and len(buffer) >= _HEADER_BYTES and self._ssi._write_enabled:
            operation = self._operation(opcode, buffer)
            self.operations.append(operation)
            if self._cut is not None and self._cut[0] == len(self.operations) - 1:
                self._tear(operation, self._cut[1])
                self._ssi._tx_buffer = bytearray()
                self._on_cut()
                return
            self._busy_until_ns = operation.at_ns + operation.busy_ns
        self._stock_apply()

    def _operation(self, opcode: int, buffer: bytes) -> FlashOperation:
        size = _SIZES[opcode]
        address = int.from_bytes(buffer[1:_HEADER_BYTES], "big")
        busy_ms = {
            _PAGE_PROGRAM: self.times.page_program_ms,
            _SECTOR_ERASE: self.times.sector_erase_ms,
            _BLOCK_ERASE: self.times.block_erase_ms,
        }[opcode]
        kind: Kind = "program" if opcode == _PAGE_PROGRAM else "erase"
        data = buffer[_HEADER_BYTES:][:size] if kind == "program" else b""
        return FlashOperation(
            at_ns=self._clock.now_ns,
            kind=kind,
            address=address if data else address & ~(size - 1),
            size=len(data) if data else size,
            data=data,
            busy_ns=round(busy_ms * 1e6),
        )

    def _tear(self, operation: FlashOperation, done: float) -> None:
        flash = self._mcu.flash
        first = operation.address
        whole = round(operation.size * done)
        if operation.kind == "program":
            for i, byte in enumerate(operation.data[:whole]):
                flash[first + i] &= byte
        elif whole:
            half = whole // 2
            flash[first : first + half] = bytes([ERASED]) * half
            for i in range(first + half, first + whole):
                flash[i] |= 0x55

    def _shift_byte(self, byte: int) -> int:
        answer = self._stock_shift(byte)
        buffer = self._ssi._tx_buffer
        if buffer[0] != _READ_STATUS or len(buffer) == 1:
            return answer
        left_ns = self._busy_until_ns - self._clock.now_ns
        if left_ns <= 0:
            return answer
        self._mcu.core.waiting = True
        self._ready.schedule(left_ns)
        return answer | _BUSY

    def _on_ready(self) -> None:
        self._mcu.core.waiting = False
