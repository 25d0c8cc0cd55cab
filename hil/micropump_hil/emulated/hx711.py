"""The bridge amplifier HX711 on two pins, with what its datasheet asks of the clock.

"Serial Interface" and "Reset and Power-Down" of the datasheet: a conversion every 100 ms takes data
low; 24 bits follow the clock's rising edges, 0.1 µs after them at the latest; pulse 25 takes data
high. The clock is high for 0.2 to 50 µs and low for 0.2 µs at least; high for 60 µs it switches the
chip off, and the first answer comes 400 ms after it is low again.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from micropump_hil.emulated.clock import CYCLE_NS

if TYPE_CHECKING:
    from micropump_hil.emulated.pico import EmulatedPico

CONVERSION_NS = 100_000_000
SETTLING_NS = 400_000_000
DATA_AFTER_NS = 100
LEAST_HIGH_NS = 200
LEAST_LOW_NS = 200
GREATEST_HIGH_NS = 50_000
OFF_NS = 60_000
BITS = 24
PULSES = 25
GREATEST = (1 << BITS - 1) - 1
LEAST = -(1 << BITS - 1)


class Hx711:
    """The chip.

    Args:
        data, clock: GPIO numbers.
        counts: gives what it measures at an emulated time (ns), −2**23 to 2**23 − 1.

    Attributes:
        silent: whether it gives no conversions, as one without a supply or without its wires.
        frames: conversions that were clocked out whole.
        wrong_pulses: pulses that were too short, or too long and yet did not switch it off.
        restarts: how often it was switched off and on.

    """

    def __init__(self, data: int, clock: int, counts: Callable[[int], int]) -> None:
        self.silent = False
        self.frames = 0
        self.wrong_pulses = 0
        self.restarts = 0
        self._pins = (data, clock)
        self._counts = counts
        self._bits = 0
        self._pulse = 0
        self._is_ready = False
        self._changed_ns = -SETTLING_NS

    def attach(self, pico: "EmulatedPico") -> None:
        """Connect to the pins, and switch on."""
        self._pico = pico
        pico.pins.on_change(self._pins[1], self._clock_edge)
        pico.pins.set(self._pins[0], 1)
        self._alarm = pico.clock.create_alarm(self._convert)
        self._alarm.schedule(SETTLING_NS)

    def _convert(self) -> None:
        self._alarm.schedule(CONVERSION_NS)
        if self.silent:
            self._pulse = 0
            self._is_ready = False
            self._pico.pins.release(self._pins[0])
        elif not self._pulse:
            self._bits = self._counts(self._pico.now_ns) & ((1 << BITS) - 1)
            self._is_ready = True
            self._pico.pins.set(self._pins[0], 0)

    def _clock_edge(self, level: int, at_cycles: int) -> None:
        at_ns = at_cycles * CYCLE_NS
        lasted_ns = at_ns - self._changed_ns
        self._changed_ns = at_ns
        if level:
            self.wrong_pulses += lasted_ns < LEAST_LOW_NS
            self._shift()
        elif lasted_ns >= OFF_NS:
            self._restart()
        else:
            self.wrong_pulses += not LEAST_HIGH_NS <= lasted_ns <= GREATEST_HIGH_NS

    def _shift(self) -> None:
        if not self._is_ready:
            return
        self._pulse += 1
        level = 1 if self._pulse == PULSES else self._bits >> (BITS - self._pulse) & 1
        data = self._pins[0]
        self._pico.call_at_ns(
            self._pico.now_ns + DATA_AFTER_NS, lambda: self._pico.pins.set(data, level)
        )
        if self._pulse == PULSES:
            self._pulse = 0
            self._is_ready = False
            self.frames += 1

    def _restart(self) -> None:
        self.restarts += 1
        self._pulse = 0
        self._is_ready = False
        if not self.silent:
            self._pico.pins.set(self._pins[0], 1)
        self._alarm.schedule(SETTLING_NS)
