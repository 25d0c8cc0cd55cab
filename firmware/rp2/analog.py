"""Analog inputs as raw counts."""

from machine import ADC
from micropump_rp2 import registers

# One sample is the mean of so many conversions, which takes out what is faster than some 20 µs.
READINGS = 8


class AnalogInput:
    """A sensor on an input of the ADC: counts of 0 … 65535, as MicroPython's ``read_u16`` has them.

    Args:
        readings: a ``micropump.sensing.Readings``.
        sensor: its number there.
        source: what ``machine.ADC`` takes: a pin, or a channel's number.
        channel: of the ADC.

    """

    def __init__(self, readings, sensor: int, source, channel: int) -> None:
        # It switches converter and pin to their work.
        ADC(source)
        self._put = readings.put
        self._sensor = sensor
        self._channel = channel

    def look(self, _now_ms: int) -> None:
        """Take a sample."""
        total = registers.adc_sum(registers.ADC, self._channel, READINGS)
        # From 8 x 12 bits to 16, all ones staying all ones.
        self._put(self._sensor, (total << 1) + (total >> 11))
