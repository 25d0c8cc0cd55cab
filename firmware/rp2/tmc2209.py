"""The TMC2209 stepper driver's single-wire UART: settings at the start, diagnostics on the way.

Everything that is sent comes back as an echo, since transmit and receive share the wire; a request
is therefore a write, its echo thrown away, and the answer. Frames are from the chip's datasheet,
section 4: sync, address, register, data, CRC-8 of polynomial x^8 + x^2 + x + 1.
"""

_SYNC = 0x05
_WRITE = 0x80
_MASTER = 0xFF
IFCNT = 0x02
DRV_STATUS = 0x6F


class DriverError(Exception):
    """The driver does not answer, or not with what was asked."""


def crc8(data) -> int:
    """The chip's CRC over ``data``, least bit of each byte first."""
    crc = 0
    for byte in data:
        for _ in range(8):
            if (crc >> 7) ^ (byte & 1):
                crc = ((crc << 1) ^ 0x07) & 0xFF
            else:
                crc = (crc << 1) & 0xFF
            byte >>= 1
    return crc


class Tmc2209:
    """One driver on a UART.

    Args:
        uart: has ``write(bytes)`` and ``read(count)``, which gives fewer bytes or None after its
            time-out.
        address: 0 … 3, by the chip's MS1 and MS2.

    """

    def __init__(self, uart, address: int = 0) -> None:
        self._uart = uart
        self._address = address

    def read(self, register: int) -> int:
        """A register's 32 bits; raises DriverError."""
        request = bytes((_SYNC, self._address, register))
        self._send(request)
        answer = self._uart.read(8)
        if answer is None or len(answer) < 8:
            raise DriverError("no answer")
        if answer[0] != _SYNC or answer[1] != _MASTER or answer[2] != register:
            raise DriverError("answer to something else")
        if crc8(answer[:7]) != answer[7]:
            raise DriverError("wrong checksum")
        return int.from_bytes(answer[3:7], "big")

    def write(self, register: int, value: int) -> None:
        """Set a register, and see by the chip's own count that it has arrived."""
        before = self.read(IFCNT)
        request = bytes((_SYNC, self._address, register | _WRITE)) + value.to_bytes(4, "big")
        self._send(request)
        if self.read(IFCNT) != (before + 1) & 0xFF:
            raise DriverError("setting did not arrive")

    def apply(self, settings) -> None:
        """Write all of ``settings``, rows of (register, value, meaning)."""
        for register, value, _ in settings:
            self.write(register, value)

    def status(self, rows) -> list:
        """The names of ``rows``, (bit, name), whose bits are set in DRV_STATUS."""
        bits = self.read(DRV_STATUS)
        return [name for bit, name in rows if bits >> bit & 1]

    def _send(self, data: bytes) -> None:
        frame = data + bytes((crc8(data),))
        self._uart.write(frame)
        echo = self._uart.read(len(frame))
        if echo is None or bytes(echo) != frame:
            raise DriverError("no echo: the wire or its resistor")
