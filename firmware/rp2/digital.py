"""Digital inputs: 1 for what the sensor is there to notice, which is also what a broken wire gives.

Where the wire breaks the pin's pull resistor decides, and the board's check refuses a pull towards
the level that is harmless (docs/sensors.md).
"""

from machine import Pin

_PULLS = {"up": Pin.PULL_UP, "down": Pin.PULL_DOWN}


def input_pin(gpio: int, pull: str) -> Pin:
    """An input with the chip's own resistor as the board names it."""
    return Pin(gpio, Pin.IN, _PULLS.get(pull))


class DigitalInput:
    """A sensor with two states.

    Args:
        readings: a ``micropump.sensing.Readings``.
        sensor: its number there.
        is_high: gives the pin's level.
        active_level: the level for air, a door that is open, an end stop that is pressed.

    """

    def __init__(self, readings, sensor: int, is_high, active_level: int) -> None:
        self._put = readings.put
        self._sensor = sensor
        self._is_high = is_high
        self._active_level = active_level

    def look(self, _now_ms: int) -> None:
        """Take a sample."""
        self._put(self._sensor, 1 if self._is_high() == self._active_level else 0)
