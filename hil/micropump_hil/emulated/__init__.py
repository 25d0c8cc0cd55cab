"""An emulated Pico as the hardware: the real image, exact to the system cycle."""

from micropump_hil.emulated.backend import NAME as BACKEND
from micropump_hil.emulated.errors import (
    EmulatedProgramError,
    EmulatedTimeoutError,
    EmulatorError,
    EmulatorMissingError,
    ImageError,
    PowerLostError,
)
from micropump_hil.emulated.flash import TYPICAL_TIMES, WORST_TIMES, FlashOperation, FlashTimes
from micropump_hil.emulated.pico import EmulatedPico, Model, Reset
from micropump_hil.emulated.pins import Edge, Pins, PinTrace
from micropump_hil.emulated.uf2 import find_image

__all__ = [
    "BACKEND",
    "TYPICAL_TIMES",
    "WORST_TIMES",
    "Edge",
    "EmulatedPico",
    "EmulatedProgramError",
    "EmulatedTimeoutError",
    "EmulatorError",
    "EmulatorMissingError",
    "FlashOperation",
    "FlashTimes",
    "ImageError",
    "Model",
    "PinTrace",
    "Pins",
    "PowerLostError",
    "Reset",
    "find_image",
]
