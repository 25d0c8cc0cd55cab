"""The analogue inputs of the emulated Pico: volts in, counts of the 12-bit converter out.

The converter is ideal: no noise, no offset, none of the RP2040's known steps in its curve.
"""

from collections.abc import Callable

from rp2040py.rp2040 import RP2040

from micropump_hil.emulated.clock import GridClock

REFERENCE_V = 3.3
COUNTS = 4096
CHANNEL_COUNT = 5
TEMPERATURE_CHANNEL = 4
# RP2040 datasheet, 4.9.5: 27 °C give 0.706 V.
TEMPERATURE_27_C_V = 0.706

Source = Callable[[int], float]


class Adc:
    """Five channels: 0 to 2 on GPIO 26 to 28, 3 on GPIO 29, 4 the temperature sensor."""

    def __init__(self, mcu: RP2040, clock: GridClock) -> None:
        self._adc = mcu.adc
        self._clock = clock
        self._volts = [0.0] * CHANNEL_COUNT
        self._volts[TEMPERATURE_CHANNEL] = TEMPERATURE_27_C_V
        self._sources: dict[int, Source] = {}
        self._adc.on_adc_read = self._on_read

    def set(self, channel: int, volts: float) -> None:
        """Put a voltage (V) on a channel, until it is set again."""
        self._volts[channel] = volts
        self._sources.pop(channel, None)

    def connect(self, channel: int, source: Source) -> None:
        """Ask ``source(now_ns)`` for the voltage (V) whenever the channel is converted."""
        self._sources[channel] = source

    def _on_read(self, channel: int) -> None:
        source = self._sources.get(channel)
        if source is not None:
            self._volts[channel] = source(self._clock.now_ns)
        self._adc.channel_values[channel] = counts(self._volts[channel])
        self._adc._default_on_adc_read(channel)


def counts(volts: float) -> int:
    """What the converter makes of a voltage (V): 0 to 4095 counts."""
    return min(COUNTS - 1, max(0, int(volts / REFERENCE_V * COUNTS)))
