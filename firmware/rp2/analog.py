"""Analog inputs as millivolts and pascals, in integers."""

from machine import ADC

# The mean of so many readings; takes some 30 µs.
READINGS = 8


class AnalogInput:
    """A pin of the ADC."""

    def __init__(self, gpio: int, reference_mv: int) -> None:
        self._adc = ADC(gpio)
        self._reference_mv = reference_mv

    def read_mv(self) -> int:
        """Millivolts at the pin."""
        total = 0
        for _ in range(READINGS):
            total += self._adc.read_u16()
        return total // READINGS * self._reference_mv // 65535


def pressure_pa(mv: int, zero_mv: int, full_scale_mv: int, full_scale_pa: int) -> int:
    """Pressure of a sensor whose output is linear between its zero and its full scale."""
    return (mv - zero_mv) * (full_scale_pa // 100) // (full_scale_mv - zero_mv) * 100


def divided_mv(mv: int, top_ohm: int, bottom_ohm: int) -> int:
    """The voltage above a divider of which ``mv`` is seen."""
    return mv * ((top_ohm + bottom_ohm) // 100) // (bottom_ohm // 100)
