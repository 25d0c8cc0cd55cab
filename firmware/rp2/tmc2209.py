"""The TMC2209 stepper driver's single-wire UART: settings, faults, and whether it is well.

Everything that is sent comes back as an echo, since transmit and receive share the wire; a request
is therefore a write, its echo thrown away, and the answer. Frames are from the chip's datasheet,
section 4: sync, address, register, data, CRC-8 of polynomial x^8 + x^2 + x + 1; registers from its
section 5.
"""

_SYNC = 0x05
_WRITE = 0x80
_MASTER = 0xFF
GSTAT = 0x01
IFCNT = 0x02
DRV_STATUS = 0x6F
# Bits of GSTAT; 1 written to one clears it, where its cause is gone. (bit, name)
GSTAT_ROWS = ((0, "reset"), (1, "shut_down"), (2, "charge_pump_undervoltage"))
_GSTAT_CLEAR = 0x07
# What four bits make of a CRC of the reversed polynomial, 0xE0; and four bits in reverse.
_CRC_OF_NIBBLE = bytes.fromhex("001c3824706c4854e0fcd8c4908ca8b4")
_REVERSED_NIBBLE = bytes.fromhex("0008040c020a060e0109050d030b070f")
_REQUEST_BYTES = 4
_ANSWER_BYTES = 8


class DriverError(Exception):
    """The driver does not answer, or not with what was asked."""


def crc8(data) -> int:
    """The chip's CRC over ``data``, least bit of each byte first.

    Worked out with its bits in reverse, four at a time: 0.1 ms for a frame where one by one take
    0.8 ms, which a start of the pump would notice.
    """
    reverse = 0
    for byte in data:
        reverse ^= byte
        reverse = _CRC_OF_NIBBLE[reverse & 15] ^ (reverse >> 4)
        reverse = _CRC_OF_NIBBLE[reverse & 15] ^ (reverse >> 4)
    return _REVERSED_NIBBLE[reverse & 15] << 4 | _REVERSED_NIBBLE[reverse >> 4]


def _with_crc(data: bytes) -> bytes:
    return data + bytes((crc8(data),))


class Tmc2209:
    """One driver on a UART.

    Args:
        uart: has ``any()``, ``write(bytes)``, ``read(count)`` and ``readinto(buffer, count)``; the
            last two give fewer bytes or None after a time-out.
        address: 0 … 3, by the chip's MS1 and MS2.

    """

    def __init__(self, uart, address: int = 0) -> None:
        self._uart = uart
        self._address = address
        # A chip that is well answers this question in one way only: no CRC is worked out for it.
        self._question = _with_crc(bytes((_SYNC, address, GSTAT)))
        self._well = self._question + _with_crc(bytes((_SYNC, _MASTER, GSTAT, 0, 0, 0, 0)))
        self._heard = bytearray(_REQUEST_BYTES + _ANSWER_BYTES)
        self._left_over = bytearray(256)

    def read(self, register: int) -> int:
        """A register's 32 bits; raises DriverError."""
        self._send(_with_crc(bytes((_SYNC, self._address, register))))
        answer = self._uart.read(_ANSWER_BYTES)
        if answer is None or len(answer) < _ANSWER_BYTES:
            raise DriverError("no answer")
        if answer[0] != _SYNC or answer[1] != _MASTER or answer[2] != register:
            raise DriverError("answer to something else")
        if crc8(answer[:7]) != answer[7]:
            raise DriverError("wrong checksum")
        return int.from_bytes(answer[3:7], "big")

    def apply(self, settings) -> None:
        """Write all of ``settings``, rows of (register, value, meaning), and clear GSTAT.

        The chip's own count of writes shows that they have arrived; raises DriverError.
        """
        before = self.read(IFCNT)
        for register, value, _ in settings:
            self._write(register, value)
        self._write(GSTAT, _GSTAT_CLEAR)
        if self.read(IFCNT) != (before + len(settings) + 1) & 0xFF:
            raise DriverError("settings did not arrive")

    def status(self, rows, register: int = DRV_STATUS) -> list:
        """The names of ``rows``, (bit, name), whose bits are set in ``register``."""
        bits = self.read(register)
        return [name for bit, name in rows if bits >> bit & 1]

    def ask(self) -> None:
        """Ask how it is; waits for nothing, and allocates nothing."""
        self._drop_what_came()
        self._uart.write(self._question)

    def has_answered(self) -> bool:
        """Whether as many bytes have come as an answer to ``ask`` has."""
        return self._uart.any() >= len(self._heard)

    def is_well(self) -> bool:
        """Whether it answers to ``ask`` that it has neither been reset nor shut itself down.

        Waits for the answer where it has not come yet; allocates nothing.
        """
        return self._uart.readinto(self._heard) == len(self._heard) and self._heard == self._well

    def _write(self, register: int, value: int) -> None:
        frame = bytes((_SYNC, self._address, register | _WRITE)) + value.to_bytes(4, "big")
        self._send(_with_crc(frame))

    def _send(self, frame: bytes) -> None:
        self._drop_what_came()
        self._uart.write(frame)
        echo = self._uart.read(len(frame))
        if echo is None or bytes(echo) != frame:
            raise DriverError("no echo: the wire or its resistor")

    def _drop_what_came(self) -> None:
        count = self._uart.any()
        if count:
            self._uart.readinto(self._left_over, min(count, len(self._left_over)))
