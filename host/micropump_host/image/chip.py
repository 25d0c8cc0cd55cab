"""What the pins of the RP2040 and RP2350 can do, and where a Pico's header has them.

Sources: RP2040 Datasheet, section 1.4.3 (GPIO functions); RP2350 Datasheet, section 1.2.3;
Raspberry Pi Pico Datasheet, section 2 (header, pins used on the board); Raspberry Pi Pico W
Datasheet, section 2.1 (pins used for the radio). ``ports/rp2/boards/rp2_af.csv`` of MicroPython has
the first table in the same form; the tests compare single rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass

CHIPS = ("rp2040", "rp2350")
# RP2350 Datasheet, erratum E9: with the pull-down on, an input latches at about 2.2 V.
CHIPS_WITHOUT_PULL_DOWN = ("rp2350",)
PWM_SLICES = 8
# Pico SDK 2.1.1, hardware/regs/addressmap.h. What is at the RP2040's place on an RP2350 is the PLL
# of its USB.
WATCHDOG_ADDRESS = {"rp2040": 0x40058000, "rp2350": 0x400D8000}
ADC_GPIO = {26: 0, 27: 1, 28: 2}

# Pin of the 40-pin header by GPIO; the same on Pico, Pico W and Pico 2.
HEADER_GPIO = {
    1: 0, 2: 1, 4: 2, 5: 3, 6: 4, 7: 5, 9: 6, 10: 7, 11: 8, 12: 9,
    14: 10, 15: 11, 16: 12, 17: 13, 19: 14, 20: 15,
    21: 16, 22: 17, 24: 18, 25: 19, 26: 20, 27: 21, 29: 22, 31: 26, 32: 27, 34: 28,
}  # fmt: skip
HEADER_SUPPLY = {
    3: "GND", 8: "GND", 13: "GND", 18: "GND", 23: "GND", 28: "GND", 30: "RUN", 33: "AGND",
    35: "ADC_VREF", 36: "3V3", 37: "3V3_EN", 38: "GND", 39: "VSYS", 40: "VBUS",
}  # fmt: skip
HEADER_PINS = 40


@dataclass(frozen=True)
class Carrier:
    """A board that carries the chip.

    Attributes:
        chip: ``"rp2040"`` or ``"rp2350"``.
        internal: what the carrier itself uses a GPIO for, by GPIO number.
        uf2_family: family id in the blocks of a UF2 for it.

    """

    chip: str
    internal: Mapping[int, str]
    uf2_family: int


_SUPPLY_PINS = {
    23: "the mode of the voltage regulator",
    24: "the sensing of VBUS",
    25: "the light on the board",
    29: "the measuring of VSYS",
}
_RADIO_PINS = {
    23: "the radio's power",
    24: "the radio's data",
    25: "the radio's chip select",
    29: "the radio's clock and the measuring of VSYS",
}
# Family ids: github.com/microsoft/uf2, utils/uf2families.json.
UF2_FAMILY_RP2040 = 0xE48BFF56
UF2_FAMILY_RP2350_ARM_S = 0xE48BFF59

# Where an image has to end, from the start of the flash. Behind it lie what survives, to the end of
# the first MiB, and the file system (firmware/rp2/flash.py, boards/*/mpconfigboard.h).
IMAGE_BYTES = 768 * 1024

CARRIERS = {
    "pico": Carrier("rp2040", _SUPPLY_PINS, UF2_FAMILY_RP2040),
    "pico_w": Carrier("rp2040", _RADIO_PINS, UF2_FAMILY_RP2040),
    "pico2": Carrier("rp2350", _SUPPLY_PINS, UF2_FAMILY_RP2350_ARM_S),
}


def i2c_function(gpio: int) -> tuple[int, str]:
    """The I2C block that a GPIO belongs to and its line there, ``"sda"`` or ``"scl"``."""
    return gpio // 2 % 2, "scl" if gpio % 2 else "sda"


def uart_function(gpio: int) -> tuple[int, str]:
    """The UART that a GPIO belongs to and its line: ``"tx"``, ``"rx"``, ``"cts"`` or ``"rts"``."""
    return (gpio + 4) // 8 % 2, ("tx", "rx", "cts", "rts")[gpio % 4]


def pwm_function(gpio: int) -> tuple[int, str]:
    """The PWM slice that drives a GPIO and its channel there, ``"a"`` or ``"b"``."""
    return gpio // 2 % PWM_SLICES, "b" if gpio % 2 else "a"


def header_pin(gpio: int) -> int | None:
    """The pin of the header that carries a GPIO; None for a GPIO that is not brought out."""
    return next((pin for pin, found in HEADER_GPIO.items() if found == gpio), None)
