"""The magnetic angle encoder AS5600 on I2C: its angle, and whether it sees its magnet.

Registers are from the chip's datasheet: STATUS 0x0B (MD 0x20 magnet detected, ML 0x10 too weak, MH
0x08 too strong), then RAW ANGLE, twelve bits in two bytes.
"""

from array import array

from micropump_rp2.registers import READ, RESTART, STOP

ADDRESS = 0x36
_STATUS = 0x0B
_MAGNET_BITS = 0x38
_MAGNET_IS_WELL = 0x20


class As5600:
    """A device of an ``I2cBus``: counts of 0 … 4095 in a revolution.

    Args:
        readings: a ``micropump.sensing.Readings``.
        sensor: its number there.

    """

    address = ADDRESS
    answer_bytes = 3
    transactions = 1

    def __init__(self, readings, sensor: int) -> None:
        self._readings = readings
        self._sensor = sensor
        self.question = array("H", [_STATUS, READ | RESTART, READ, READ | STOP])

    def take(self, answer, asked_ms: int) -> None:
        """It has answered what it was asked at that time."""
        if answer[0] & _MAGNET_BITS == _MAGNET_IS_WELL:
            angle = (answer[1] & 0x0F) << 8 | answer[2]
            self._readings.put_asked(self._sensor, angle, asked_ms)
        else:
            self.lost()

    def lost(self) -> None:
        """It has not answered, or cannot say."""
        self._readings.fail(self._sensor)
