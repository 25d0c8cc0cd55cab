"""The pins of the emulated Pico: what is on the wire, who puts it there, and every edge of it.

The level of a wire is the Pico's output where it drives the pin; else what the test or a model
puts on it; else the pull resistor that the board has there; else the pin's own pull. What is on
the wire is also what the Pico reads, its own outputs included, as on silicon.
"""

import functools
import hashlib
from array import array
from collections.abc import Callable
from typing import Any, NamedTuple

from rp2040py.gpio_pin import GPIOPinState
from rp2040py.rp2040 import RP2040

from micropump_hil.emulated.clock import CYCLE_NS, GridClock

PIN_COUNT = 30
# RP2040 datasheet, PADS_BANK0: input enabled, 4 mA, pulled down, Schmitt trigger. The emulator
# resets pads with the input disabled, so that a pin nobody set up reads 0 whatever is on it.
PAD_AT_RESET = 0x56
_EMULATOR_PAD_AT_RESET = 0x36

OnChange = Callable[[int, int], None]


class Edge(NamedTuple):
    """A change of a wire: its time in system cycles of 8 ns, and the level from then on."""

    at_cycles: int
    level: int

    @property
    def at_ns(self) -> int:
        """The time, ns."""
        return self.at_cycles * CYCLE_NS


class PinTrace:
    """Every edge of one wire since it was first watched.

    Attributes:
        pin: number of the pin.
        first_level: the level when the trace began, or was last cleared.

    """

    def __init__(self, pin: int, first_level: int) -> None:
        self.pin = pin
        self.first_level = first_level
        self._cycles = array("q")

    def __len__(self) -> int:
        """How many edges there are."""
        return len(self._cycles)

    @property
    def edges(self) -> list[Edge]:
        """Every edge, in order of time."""
        first = self.first_level ^ 1
        return [Edge(at, first ^ (i & 1)) for i, at in enumerate(self._cycles)]

    @property
    def rising_cycles(self) -> list[int]:
        """Times at which the wire went high, system cycles."""
        return self._cycles[self.first_level :: 2].tolist()

    @property
    def falling_cycles(self) -> list[int]:
        """Times at which the wire went low, system cycles."""
        return self._cycles[1 - self.first_level :: 2].tolist()

    @property
    def rising_ns(self) -> list[int]:
        """Times at which the wire went high, ns."""
        return [at * CYCLE_NS for at in self.rising_cycles]

    @property
    def falling_ns(self) -> list[int]:
        """Times at which the wire went low, ns."""
        return [at * CYCLE_NS for at in self.falling_cycles]

    @property
    def level(self) -> int:
        """The level after the last edge."""
        return self.first_level ^ (len(self._cycles) & 1)

    def clear(self) -> None:
        """Forget the edges so far."""
        self.first_level = self.level
        del self._cycles[:]

    def note(self, at_cycles: int) -> None:
        """Take down an edge."""
        self._cycles.append(at_cycles)

    def digest(self) -> str:
        """SHA-256 over the pin's number, its first level and the times of all edges."""
        words = array("q", [self.pin, self.first_level]) + self._cycles
        return hashlib.sha256(words.tobytes()).hexdigest()


class Pins:
    """All wires of the emulated Pico."""

    def __init__(self, mcu: RP2040, clock: GridClock) -> None:
        self._clock = clock
        self._gpio: list[Any] = mcu.gpio
        self._external: list[int | None] = [None] * PIN_COUNT
        self._pull: list[int | None] = [None] * PIN_COUNT
        self._levels = [0] * PIN_COUNT
        self._traces: dict[int, PinTrace] = {}
        self._on_change: dict[int, list[OnChange]] = {}
        for pin, gpio in enumerate(self._gpio):
            gpio.add_listener(functools.partial(self._state_changed, pin))
        self.read_again()

    def watch(self, pin: int) -> PinTrace:
        """Record every edge of a pin from now on; the same trace whenever it is asked for."""
        if pin not in self._traces:
            self._traces[pin] = PinTrace(pin, self._levels[pin])
        return self._traces[pin]

    def on_change(self, pin: int, callback: OnChange) -> None:
        """Call ``callback(level, at_cycles)`` at every edge of a pin."""
        self._on_change.setdefault(pin, []).append(callback)

    def level(self, pin: int) -> int:
        """The level on a wire, 0 or 1."""
        return self._levels[pin]

    def is_driven(self, pin: int) -> bool:
        """Whether the Pico drives the pin."""
        return self._gpio[pin].value in (GPIOPinState.LOW, GPIOPinState.HIGH)

    def set(self, pin: int, level: int | bool) -> None:
        """Put a level on a wire from outside; an output of the Pico is stronger."""
        self._external[pin] = int(bool(level))
        self._resolve(pin)

    def release(self, pin: int) -> None:
        """Take away what ``set`` put on the wire."""
        self._external[pin] = None
        self._resolve(pin)

    def pull(self, pin: int, level: int | bool | None) -> None:
        """Fit a pull resistor of the board: up (1), down (0), none (None)."""
        self._pull[pin] = None if level is None else int(bool(level))
        self._resolve(pin)

    def wire(self, source: int, target: int) -> None:
        """Run a wire from a pin to another: what is on ``source`` is put on ``target``."""
        self.on_change(source, lambda level, _: self.set(target, level))
        self.set(target, self._levels[source])

    def read_again(self) -> None:
        """Look at every pin, as after a reset, which tells no one that it releases them."""
        for pin, gpio in enumerate(self._gpio):
            if gpio.pad_value == _EMULATOR_PAD_AT_RESET:
                gpio.pad_value = PAD_AT_RESET
            self._resolve(pin)

    def digest(self) -> str:
        """SHA-256 over the traces of all watched pins."""
        whole = hashlib.sha256()
        for pin in sorted(self._traces):
            whole.update(self._traces[pin].digest().encode())
        return whole.hexdigest()

    def _resolve(self, pin: int) -> None:
        self._state_changed(pin, self._gpio[pin].value, None)

    def _state_changed(self, pin: int, state: GPIOPinState, _before: object) -> None:
        gpio = self._gpio[pin]
        if state is GPIOPinState.HIGH:
            level: int | None = 1
        elif state is GPIOPinState.LOW:
            level = 0
        else:
            level = self._external[pin]
            if level is None:
                level = self._pull[pin]
        if level is None:
            if gpio._driven:
                _let_go(gpio)
            level = int(gpio._effective_raw_input_value)
        else:
            _drive(gpio, level)
        if level != self._levels[pin]:
            self._levels[pin] = level
            self._note(pin, level)

    def _note(self, pin: int, level: int) -> None:
        at_cycles = self._clock.now_cycles
        trace = self._traces.get(pin)
        if trace is not None:
            trace.note(at_cycles)
        for callback in self._on_change.get(pin, ()):
            callback(level, at_cycles)


def _drive(gpio: Any, level: int) -> None:
    """Put a level on the input side of a pin; what is no edge must not raise an interrupt."""
    if gpio._effective_raw_input_value == bool(level):
        gpio._raw_input_value = bool(level)
        gpio._driven = True
    else:
        gpio.set_input_value(bool(level))


def _let_go(gpio: Any) -> None:
    """Leave the input side of a pin to its own pull."""
    before = gpio._effective_raw_input_value
    gpio._driven = False
    if gpio._effective_raw_input_value != before:
        gpio.release_input()
