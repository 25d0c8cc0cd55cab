"""Which pin of the Pico is what, as plain data, and where it comes from: the board file.

Of ``boards/<board>/board.toml`` this reads what the models need: pins, pull resistors outside the
Pico, pins that share a terminal, and the figures of the analogue inputs. Whether the file makes a
good board is for others to check.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from micropump_hil.emulated.adc import REFERENCE_V
from micropump_hil.emulated.errors import EmulatorError

_FIRST_ADC_GPIO = 26


class WiringError(EmulatorError):
    """The board file does not say what the models on the pins need to know."""


@dataclass(frozen=True)
class PressureInput:
    """A pressure sensor as the ADC sees it: a straight line, in volts over pascals gauge.

    Attributes:
        zero_v: at no pressure, V.
        full_scale_v: at ``full_scale_pa``, V.
        full_scale_pa: the pressure at its upper end, Pa.

    """

    zero_v: float
    full_scale_v: float
    full_scale_pa: float

    def volts(self, pressure_pa: float, reference_v: float = REFERENCE_V) -> float:
        """The voltage (V) at a pressure (Pa), within the rails."""
        span_v = self.full_scale_v - self.zero_v
        return min(reference_v, max(0.0, self.zero_v + span_v * pressure_pa / self.full_scale_pa))


@dataclass(frozen=True)
class Wiring:
    """What is wired where.

    Attributes:
        gpio: the GPIO number of each function, such as ``step`` or ``air``.
        active_level: the level at which a function is on, where the board says so.
        pulls: GPIO numbers with a resistor outside the Pico, and the level it pulls to.
        wires: pairs of GPIO numbers, an output and an input that share its terminal.
        pressure: the pressure sensor, or None.
        battery_ratio: volts at the ADC per volt of the battery, or None.
        driver_address: what the driver answers to on its UART, 0 to 3; None without one.

    """

    gpio: Mapping[str, int]
    active_level: Mapping[str, int] = field(default_factory=dict)
    pulls: Mapping[int, int] = field(default_factory=dict)
    wires: tuple[tuple[int, int], ...] = ()
    pressure: PressureInput | None = None
    battery_ratio: float | None = None
    driver_address: int | None = None

    def has(self, *functions: str) -> bool:
        """Whether the board has all of these functions."""
        return all(function in self.gpio for function in functions)

    def adc_channel(self, function: str) -> int:
        """The ADC channel that a function is on.

        Raises:
            WiringError: if its pin is not an analogue one.

        """
        channel = self.gpio[function] - _FIRST_ADC_GPIO
        if not 0 <= channel <= 3:
            raise WiringError(
                f"{function} is on GPIO {self.gpio[function]}, which has no ADC",
                "",
                "Choose one of GPIO 26 to 29.",
            )
        return channel


def read_wiring(path: Path) -> Wiring:
    """Read the wiring of a board from its file.

    Raises:
        WiringError: if the file cannot be read, or something in it is missing or of a wrong type.

    """
    try:
        return _wiring(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise WiringError(
            f"cannot read the board file ({error})", str(path), "Check path and file."
        ) from None
    except (KeyError, TypeError, AttributeError) as error:
        raise WiringError(
            f"the board file lacks something, or has it wrong: {error!r}",
            str(path),
            "`micropump image --board NAME --check` says what.",
        ) from None


def _wiring(board: dict[str, Any]) -> Wiring:
    pins: dict[str, dict[str, Any]] = board["pins"]
    gpio = {name: int(pin["gpio"]) for name, pin in pins.items()}
    pulls = {
        int(pin["gpio"]): int(pin["external_pull"] == "up")
        for pin in pins.values()
        if "external_pull" in pin
    }
    sensors = board.get("sensors", {})
    pressure = sensors.get("pressure")
    battery = sensors.get("battery")
    return Wiring(
        gpio=gpio,
        active_level={n: int(p["active_level"]) for n, p in pins.items() if "active_level" in p},
        pulls=pulls,
        wires=_wires(pins),
        pressure=pressure
        and PressureInput(
            zero_v=pressure["zero_mv"] / 1000,
            full_scale_v=pressure["full_scale_mv"] / 1000,
            full_scale_pa=float(pressure["full_scale_pa"]),
        ),
        battery_ratio=battery
        and battery["bottom_ohm"] / (battery["top_ohm"] + battery["bottom_ohm"]),
        driver_address=_driver_address(board) if "driver_tx" in pins else None,
    )


def _driver_address(board: dict[str, Any]) -> int:
    """By MS1 and MS2; open they are low (TMC2209 datasheet, section 4.3)."""
    nets = board["parts"]["driver"]["nets"]
    return int(nets.get("MS1") == "3V3") + 2 * int(nets.get("MS2") == "3V3")


def _wires(pins: dict[str, dict[str, Any]]) -> tuple[tuple[int, int], ...]:
    """Inputs that are wired to a terminal that an output drives."""
    drives = {pin["to"]: pin["gpio"] for pin in pins.values() if pin["direction"] == "output"}
    return tuple(
        (drives[pin["to"]], pin["gpio"])
        for pin in pins.values()
        if pin["direction"] == "input"
        and pin["to"] in drives
        and "series_ohm" not in pin
        # A line with a resistor in it is driven from both ends: no model of it here.
        and "series_ohm" not in _driver_of(pins, pin["to"])
    )


def _driver_of(pins: dict[str, dict[str, Any]], terminal: str) -> dict[str, Any]:
    return next(
        pin for pin in pins.values() if pin["to"] == terminal and pin["direction"] == "output"
    )
