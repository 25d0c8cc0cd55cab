"""UARTs of the emulated Pico that take their time, and the stepper driver on one.

The stock emulator sends a byte in no time, has no time-out of the receiver, and raises its transmit
interrupt anew whenever that is acknowledged, so that MicroPython's handler never comes to an end.
Here a byte takes its bits at the baud rate that is set, and FIFOs and interrupts are as in the
RP2040 datasheet, section 4.2.

Modelled byte by byte at the peripheral, not on the pins; a byte is only on the wire while the pins
are given to the UART.
"""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rp2040py.peripherals.uart import RPUART
from rp2040py.rp2040 import RP2040

from micropump_hil.emulated.clock import SYSTEM_CLOCK_HZ, GridClock

if TYPE_CHECKING:
    from micropump_hil.emulated.pico import EmulatedPico

FIFO_BYTES = 32
_BASES = (0x40034, 0x40038)
# CLK_PERI_CTRL says what the UARTs are clocked with, which the stock emulator does not ask: the USB
# block's PLL, as MicroPython has it, or the crystal; else the system clock.
_CLOCKS, _CLK_PERI_CTRL = 0x40008, 0x48
_CLOCK_HZ = {2: 48_000_000, 4: 12_000_000}
_DR, _IFLS, _ICR, _DMACR = 0x00, 0x34, 0x44, 0x48
_IFLS_AT_RESET = 0x12
# UARTFR.
_TX_EMPTY, _RX_FULL, _TX_FULL, _RX_EMPTY, _BUSY = 1 << 7, 1 << 6, 1 << 5, 1 << 4, 1 << 3
# UARTRIS.
_RX, _TX, _RX_TIMEOUT = 1 << 4, 1 << 5, 1 << 6
# UARTLCR_H.
_PARITY, _TWO_STOP_BITS = 1 << 1, 1 << 3
# UARTIFLS: at how many bytes, by the three bits of each direction.
_LEVELS = (4, 8, 16, 24, 28)
_RX_TIMEOUT_BITS = 32
_FUNCTION_UART = 2

OnByte = Callable[[int], None]


class TimedUart(RPUART):
    """A PL011 whose bytes take their time.

    Attributes:
        on_sent: called with each byte when its stop bit has left; None for nobody.

    """

    def __init__(self, mcu: RP2040, stock: RPUART, clock: GridClock) -> None:
        super().__init__(mcu, stock.name, stock.irq, stock.dreq)
        self.on_sent: OnByte | None = None
        self._to_send: deque[int] = deque()
        self._sending: int | None = None
        self._received: deque[int] = deque()
        self._levels = _IFLS_AT_RESET
        self._sent = clock.create_alarm(self._byte_sent)
        self._silence = clock.create_alarm(self._fell_silent)

    def reset(self) -> None:
        """Registers and FIFOs to power-on; what is on the wire breaks off."""
        super().reset()
        self._to_send.clear()
        self._received.clear()
        self._sending = None
        self._levels = _IFLS_AT_RESET
        self._sent.cancel()
        self._silence.cancel()

    @property
    def bit_ns(self) -> float:
        """How long a bit takes, ns; 0 while no baud rate is set."""
        clocks: Any = self.rp2040.peripherals[_CLOCKS]
        source = clocks.read_uint32(_CLK_PERI_CTRL) >> 5 & 7
        return self.baud_divider * 16 * 1e9 / _CLOCK_HZ.get(source, SYSTEM_CLOCK_HZ)

    @property
    def byte_ns(self) -> float:
        """How long a byte takes with its start, parity and stop bits, ns."""
        line = self._line_ctrl_register
        return self.bit_ns * (
            2 + self.word_length + bool(line & _PARITY) + bool(line & _TWO_STOP_BITS)
        )

    def receive(self, byte: int) -> None:
        """Take a byte whose stop bit has just come in; lost if there is no room or no receiver."""
        if not (self.enabled and self.rx_enabled) or len(self._received) == FIFO_BYTES:
            return
        self._received.append(byte)
        if len(self._received) >= self._level(3):
            self._interrupt_status |= _RX
        self._silence.schedule(_RX_TIMEOUT_BITS * self.bit_ns)
        self.check_interrupts()

    @property
    def flags(self) -> int:
        """UARTFR."""
        return (
            (0 if self._to_send else _TX_EMPTY)
            | (_TX_FULL if len(self._to_send) == FIFO_BYTES else 0)
            | (0 if self._received else _RX_EMPTY)
            | (_RX_FULL if len(self._received) == FIFO_BYTES else 0)
            | (_BUSY if self._sending is not None else 0)
        )

    def check_interrupts(self) -> None:
        """Tell the processor."""
        self.rp2040.set_interrupt(self.irq, bool(self._interrupt_status & self._interrupt_mask))

    def read_uint32(self, offset: int) -> int:
        """Read a register."""
        if offset == _DR:
            return self._take()
        if offset == _IFLS:
            return self._levels
        if offset in (_ICR, _DMACR):
            return 0
        return int(super().read_uint32(offset))

    def write_uint32(self, offset: int, value: int) -> None:
        """Write a register."""
        if offset == _DR:
            self._put(value & 0xFF)
        elif offset == _IFLS:
            self._levels = value & 0x3F
        elif offset == _DMACR:
            pass
        else:
            super().write_uint32(offset, value)

    def _level(self, shift: int) -> int:
        return _LEVELS[min(self._levels >> shift & 7, len(_LEVELS) - 1)]

    def _take(self) -> int:
        byte = self._received.popleft() if self._received else 0
        if len(self._received) < self._level(3):
            self._interrupt_status &= ~_RX
        if not self._received:
            self._interrupt_status &= ~_RX_TIMEOUT
            self._silence.cancel()
        self.check_interrupts()
        return byte

    def _put(self, byte: int) -> None:
        if len(self._to_send) < FIFO_BYTES:
            self._to_send.append(byte)
        if len(self._to_send) > self._level(0):
            self._interrupt_status &= ~_TX
            self.check_interrupts()
        self._send_next()

    def _send_next(self) -> None:
        if self._sending is not None or not self._to_send:
            return
        if not (self.enabled and self.tx_enabled) or not self.bit_ns:
            return
        self._sending = self._to_send.popleft()
        self._sent.schedule(self.byte_ns)
        if len(self._to_send) == self._level(0):
            self._interrupt_status |= _TX
            self.check_interrupts()

    def _byte_sent(self) -> None:
        byte, self._sending = self._sending, None
        self._send_next()
        if self.on_sent is not None and byte is not None:
            self.on_sent(byte)

    def _fell_silent(self) -> None:
        if self._received:
            self._interrupt_status |= _RX_TIMEOUT
            self.check_interrupts()


def install(mcu: Any, clock: GridClock) -> None:
    """Replace the UARTs of ``mcu``, which has not been started, by such ones."""
    for number, base in enumerate(_BASES):
        mcu.uart[number] = mcu.peripherals[base] = TimedUart(mcu, mcu.uart[number], clock)


# --- the TMC2209 ----------------------------------------------------------------------------------

# Datasheet, section 5: addresses, and what they hold after power-on (without OTP).
GCONF, GSTAT, IFCNT, DRV_STATUS = 0x00, 0x01, 0x02, 0x6F
REGISTERS_AT_RESET = {
    GCONF: 0x00000101,
    0x03: 0,
    0x10: 0x00011F10,
    0x11: 20,
    0x13: 0,
    0x14: 0,
    0x22: 0,
    0x40: 0,
    0x42: 0,
    0x6C: 0x10000053,
    0x70: 0xC10D0024,
}
GSTAT_RESET, GSTAT_SHUT_DOWN = 1 << 0, 1 << 1
OVER_TEMPERATURE = 1 << 1
SHORTS = 0x3C
_SYNC, _WRITE, _MASTER = 0x05, 0x80, 0xFF
_READ_BYTES, _WRITE_BYTES = 4, 8
# Section 4.3: the answer after 8 bit times; a pause of 63 between bytes begins a new frame.
_ANSWER_AFTER_BITS = 8
_NEW_FRAME_BITS = 63


def crc8(data: bytes) -> int:
    """The chip's CRC, as its datasheet's section 4.2 has it: bits as they come on the wire."""
    crc = 0
    for byte in data:
        for bit in range(8):
            crc = (crc << 1 ^ (0x07 if (crc >> 7 ^ byte >> bit) & 1 else 0)) & 0xFF
    return crc


class Tmc2209:
    """A TMC2209 on a UART of the Pico by one wire, its DIAG on a pin.

    Args:
        tx, rx: GPIO numbers; a resistor joins them, so that all that is sent is heard again.
        address: 0 to 3.
        enable: GPIO number of EN, low for on; a motor that is switched off clears shorts.
        diag: GPIO number of DIAG; None where it is not wired.

    Attributes:
        registers: what has been set, by address, with the values of power-on.
        address: which it answers to; may be changed.
        silent: True for one that neither answers nor takes settings, as without supply or wire.
        spoils_crc: how many of the next answers have a wrong CRC.
        frames: every whole frame that was for it, with a right CRC.

    DIAG without supply is not in the datasheet: low here, so that nobody can rely on it.

    """

    def __init__(
        self, tx: int, rx: int, address: int, enable: int, diag: int | None = None
    ) -> None:
        self.address = address
        self.silent = False
        self.spoils_crc = 0
        self.frames: list[bytes] = []
        self._pins = (tx, rx)
        # RP2040 datasheet, function table: UART0 and UART1 take turns, eight GPIOs each from 4 on.
        self._number = (tx + 4) // 8 % 2
        self._enable = enable
        self._diag = diag
        self._held_diag: bool | None = None
        self._request = bytearray()
        self._answer: deque[int] = deque()
        self._heard_ns = 0
        self._writes = 0
        self._status = 0
        self._global = GSTAT_RESET
        self.registers = dict(REGISTERS_AT_RESET)

    def attach(self, pico: "EmulatedPico") -> None:
        """Connect to UART and pins."""
        self._pico = pico
        self._uart: TimedUart = pico.mcu.uart[self._number]
        self._uart.on_sent = self._hear
        self._alarm = pico.clock.create_alarm(self._say)
        pico.pins.on_change(self._enable, self._enable_edge)
        self._show()

    # -- what is done to it ---------------------------------------------------------------------

    def power_cut(self) -> None:
        """Take its motor supply away: it is silent, and forgets everything."""
        self.silent = True
        self._lose()
        self._show()

    def power_on(self) -> None:
        """Give it its supply again: registers as after power-on, a reset to tell of."""
        self._lose()
        self.silent = False
        self._show()

    def fail(self, status_bits: int) -> None:
        """Shut down, with ``status_bits`` of DRV_STATUS (shorts, over-temperature) and DIAG."""
        self._status |= status_bits
        self._global |= GSTAT_SHUT_DOWN
        self._show()

    def cool_down(self) -> None:
        """End an over-temperature."""
        self._status &= ~OVER_TEMPERATURE
        self._show()

    def hold_diag(self, level: bool | None) -> None:
        """Hold DIAG high or low whatever the chip thinks; None lets it go."""
        self._held_diag = level
        self._show()

    # -- the wire -------------------------------------------------------------------------------

    def _hear(self, byte: int) -> None:
        gpio = self._pico.mcu.gpio
        if any(gpio[pin].function_select != _FUNCTION_UART for pin in self._pins):
            return
        self._uart.receive(byte)
        now_ns = self._pico.now_ns
        if now_ns - self._heard_ns > _NEW_FRAME_BITS * self._uart.bit_ns:
            self._request.clear()
        self._heard_ns = now_ns
        self._request.append(byte)
        if self._request[0] & 0x0F != _SYNC:
            self._request.clear()
            return
        is_write = len(self._request) > 2 and self._request[2] & _WRITE
        if len(self._request) == (_WRITE_BYTES if is_write else _READ_BYTES):
            frame = bytes(self._request)
            self._request.clear()
            if not self.silent and frame[1] == self.address and crc8(frame[:-1]) == frame[-1]:
                self._obey(frame)

    def _obey(self, frame: bytes) -> None:
        self.frames.append(frame)
        register = frame[2] & ~_WRITE
        if frame[2] & _WRITE:
            self._write(register, int.from_bytes(frame[3:7], "big"))
            return
        answer = bytes((_SYNC, _MASTER, register)) + self._read(register).to_bytes(4, "big")
        crc = crc8(answer)
        if self.spoils_crc:
            self.spoils_crc -= 1
            crc ^= 1
        self._answer.extend(answer + bytes((crc,)))
        self._alarm.schedule(_ANSWER_AFTER_BITS * self._uart.bit_ns + self._uart.byte_ns)

    def _say(self) -> None:
        if self.silent:
            self._answer.clear()
            return
        self._uart.receive(self._answer.popleft())
        if self._answer:
            self._alarm.schedule(self._uart.byte_ns)

    def _write(self, register: int, value: int) -> None:
        self._writes = (self._writes + 1) & 0xFF
        if register == GSTAT:
            self._global &= ~value
            if self._status & (OVER_TEMPERATURE | SHORTS):
                self._global |= GSTAT_SHUT_DOWN
        elif register in self.registers:
            self.registers[register] = value

    def _read(self, register: int) -> int:
        own = {GSTAT: self._global, IFCNT: self._writes, DRV_STATUS: self._status}
        return own.get(register, self.registers.get(register, 0))

    # -- inside -----------------------------------------------------------------------------------

    def _lose(self) -> None:
        self.registers = dict(REGISTERS_AT_RESET)
        self._writes = 0
        self._status = 0
        self._global = GSTAT_RESET
        self._answer.clear()

    def _enable_edge(self, level: int, _at_cycles: int) -> None:
        if level:
            self._status &= ~SHORTS
            self._show()

    def _show(self) -> None:
        if self._diag is None:
            return
        error = bool(self._status & (OVER_TEMPERATURE | SHORTS)) and not self.silent
        self._pico.pins.set(self._diag, error if self._held_diag is None else self._held_diag)
