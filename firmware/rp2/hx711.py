"""The bridge amplifier HX711, read without waiting.

Figures are from the chip's datasheet ("Serial Interface", "Reset and Power-Down"): data falls when
a conversion is ready; 24 bits come out at rising edges of the clock, the highest first; pulse 25
chooses channel A with a gain of 128 and takes data up again; clock high for 60 µs switches the
chip off, and low on again, with an answer 0.4 s later at 10 samples a second.
"""

from time import sleep_us

from machine import disable_irq, enable_irq
from micropump_rp2.registers import SIO, shift_in

from micropump.units import CLOCK_MASK

SILENT_MS = 500
PULSES = 25
# Longer than the 60 µs that switch the chip off.
OFF_US = 80
_SIGN = 1 << 23


class Hx711:
    """A load cell's amplifier: signed counts of 24 bits, as often as the chip has one.

    Args:
        readings: a ``micropump.sensing.Readings``.
        sensor: its number there.
        data, clock: pins, an input and an output that is low, with their GPIO numbers.
        now_ms: the time.

    """

    def __init__(self, readings, sensor: int, data, data_gpio, clock, clock_gpio, now_ms) -> None:
        self._readings = readings
        self._sensor = sensor
        self._is_high = data.value
        self._set_clock = clock.value
        self._data_mask = 1 << data_gpio
        self._clock_mask = 1 << clock_gpio
        self._restart(now_ms)

    def look(self, now_ms: int) -> None:
        """Take a conversion if there is one."""
        if self._is_high():
            if (now_ms - self._heard_ms) & CLOCK_MASK >= SILENT_MS:
                self._readings.fail(self._sensor)
                self._restart(now_ms)
            return
        # An interrupt within a pulse could make it long enough to switch the chip off.
        state = disable_irq()
        bits = shift_in(SIO, self._data_mask, self._clock_mask, PULSES)
        enable_irq(state)
        self._heard_ms = now_ms
        if not bits & 1:
            # Data stays low after the last pulse: nobody is there to take it up.
            self._readings.fail(self._sensor)
            return
        raw = bits >> 1
        self._readings.put(self._sensor, raw - 2 * _SIGN if raw & _SIGN else raw)

    def _restart(self, now_ms: int) -> None:
        """Switch the chip off and on: whatever it was in the middle of is over."""
        self._heard_ms = now_ms
        self._set_clock(1)
        sleep_us(OFF_US)
        self._set_clock(0)
