"""The frozen module ``micropump_board``: a board's data as plain constants for the firmware."""

import json
from collections.abc import Mapping

from micropump import VERSION
from micropump_host.image.board import FUNCTIONS, Board
from micropump_host.image.chip import (
    WATCHDOG_ADDRESS,
    i2c_function,
    pwm_function,
    uart_function,
)

MODULE = "micropump_board.py"

_HEAD = '''"""The board that this image was built for, as plain constants.

Written by the image builder from boards/{board_id}/board.toml; change that file, not this one.

For each function F of a pin: F_GPIO (None where it is not fitted), F_ACTIVE_LEVEL (1 or 0) and
F_PULL ("up", "down" or "none", the chip's own resistor). PINS has them all:
(function, gpio, direction, pull, active_level). SENSORS has a row for each sensor that is fitted
(docs/sensors.md).
"""
'''


def board_constants(board: Board) -> dict[str, object]:
    """The constants of the module by name, in their order.

    Args:
        board: read and checked.

    """
    constants: dict[str, object] = {
        "VERSION": VERSION,
        "BOARD": board.board_id,
        "BOARD_NAME": board.name,
        "CHIP": board.carrier.chip,
        "WATCHDOG_ADDRESS": WATCHDOG_ADDRESS[board.carrier.chip],
        "DRIVER": board.driver,
        "FITTED": board.fitted,
        "SYRINGE_DRIVE": board.syringe_drive,
        "HEAD_DRIVE": board.head_drive,
    }
    for function in FUNCTIONS:
        constants |= _pin_constants(board, function)
    constants["ADC_REFERENCE_MV"] = board.adc_reference_mv
    return constants | _peripherals(board) | {"PINS": _pins(board), "SENSORS": _sensors(board)}


def render_module(board: Board, content_sha256: str) -> str:
    """The text of the module.

    Args:
        board: read and checked.
        content_sha256: hash of everything else that is frozen, in hexadecimal.

    """
    constants: Mapping[str, object] = {
        **board_constants(board),
        "CONTENT_SHA256": content_sha256,
    }
    lines = [f"{name} = {_literal(value)}" for name, value in constants.items()]
    head = _HEAD.format(board_id=board.board_id)
    return head + "\n" + "\n".join(lines) + "\n"


def _pin_constants(board: Board, function: str) -> dict[str, object]:
    pin = board.pin(function)
    name = function.upper()
    if pin is None:
        return {f"{name}_GPIO": None}
    return {
        f"{name}_GPIO": pin.gpio,
        f"{name}_ACTIVE_LEVEL": pin.active_level,
        f"{name}_PULL": pin.pull,
    }


def _peripherals(board: Board) -> dict[str, object]:
    """The blocks that the pins belong to; None where a pin is not fitted."""
    driver_tx, sda, buzzer = (board.pin(name) for name in ("driver_tx", "i2c_sda", "buzzer"))
    return {
        "DRIVER_UART_ID": uart_function(driver_tx.gpio)[0] if driver_tx else None,
        "DRIVER_ADDRESS": _driver_address(board) if driver_tx else None,
        "I2C_ID": i2c_function(sda.gpio)[0] if sda else None,
        "BUZZER_PWM_SLICE": pwm_function(buzzer.gpio)[0] if buzzer else None,
    }


def _driver_address(board: Board) -> int:
    """What MS1 and MS2 make of a TMC2209's address on its UART: high is 1 and 2.

    Source: Trinamic TMC2209 datasheet, section 4.3; left open they are low.
    """
    driver = board.part("driver")
    nets = driver.nets if driver else {}
    return sum(bit for bit, name in ((1, "MS1"), (2, "MS2")) if nets.get(name) == "3V3")


def _sensors(board: Board) -> tuple[tuple[int | str, ...], ...]:
    return tuple(sensor.row for sensor in board.sensors)


def _pins(board: Board) -> tuple[tuple[str, int, str, str, int], ...]:
    return tuple(
        (pin.function, pin.gpio, pin.direction, pin.pull, pin.active_level) for pin in board.pins
    )


def _literal(value: object) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if not isinstance(value, tuple):
        return repr(value)
    rows = "".join(f"    {row!r},\n" for row in value).replace("'", '"')
    return f"(\n{rows})"
