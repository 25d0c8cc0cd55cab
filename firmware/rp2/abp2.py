"""Honeywell's pressure sensors ABP2 on I2C: asked to measure, then read.

From the series' datasheet (section "I2C communications"): 0xAA 0x00 0x00 begins a measurement, done
within 5 ms; an answer is a status byte (0x40 powered, 0x20 busy, 0x04 memory damaged, 0x01
saturated) and 24 bits of pressure, 10 to 90 % of 2**24 over the sensor's range.
"""

from array import array

from micropump_rp2.registers import READ, STOP

ADDRESS = 0x28
_POWERED = 0x40
_BUSY = 0x20


class Abp2:
    """A device of an ``I2cBus``: the upper 16 of its 24 bits, so that they fit where an ADC's do.

    Args:
        readings: a ``micropump.sensing.Readings``.
        sensor: its number there.
        address: by the order code; 0x28 for most.

    """

    transactions = 2

    def __init__(self, readings, sensor: int, address: int = ADDRESS) -> None:
        self.address = address
        self._readings = readings
        self._sensor = sensor
        self._measure = array("H", [0xAA, 0x00, STOP])
        self._read = array("H", [READ, READ, READ, READ | STOP])
        self._begin()

    def take(self, answer, _asked_ms: int) -> None:
        """It has taken the request, or given an answer."""
        if not self.answer_bytes:
            self.question = self._read
            self.answer_bytes = 4
            return
        status = answer[0]
        if status & _BUSY:
            # Read again; one that stays busy is found out by the age of its last sample.
            return
        if status == _POWERED:
            self._readings.put(self._sensor, answer[1] << 8 | answer[2])
        else:
            self._readings.fail(self._sensor)
        self._begin()

    def lost(self) -> None:
        """It has not answered."""
        self._readings.fail(self._sensor)
        self._begin()

    def _begin(self) -> None:
        self.question = self._measure
        self.answer_bytes = 0
