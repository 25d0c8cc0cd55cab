"""Board files: from ``boards/<board>/board.toml`` to a ``Board``, with all that is wrong at once.

A file that says ``like = "<other board>"`` takes from that board's file whatever it does not say
itself.
"""

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from micropump import catalogue
from micropump_host.errors import MicropumpError
from micropump_host.image.board import (
    DIRECTIONS,
    DRIVERS,
    DRIVERS_WITHOUT_UART,
    FUNCTIONS,
    MECHANISMS,
    NETS,
    PULLS,
    REQUIRED_ROLES,
    Board,
    Part,
    Pin,
)
from micropump_host.image.chip import (
    ADC_GPIO,
    CARRIERS,
    CHIPS_WITHOUT_PULL_DOWN,
    header_pin,
    i2c_function,
    pwm_function,
    uart_function,
)
from micropump_host.image.form import Form, Problem, near
from micropump_host.image.sensors import read_sensors

BOARD_FILE = "board.toml"

_GREATEST_OHM = 10_000_000
_SECTIONS = ("board", "sensors", "pins", "parts", "sources")
_BOARD_KEYS = (
    "like", "name", "runs", "image", "driver", "fitted", "syringe_drive", "head_drive",
    "adc_reference_mv",
)  # fmt: skip
_PIN_KEYS = (
    "gpio", "direction", "pull", "active_level", "external_pull", "external_pull_ohm",
    "series_ohm", "to",
)  # fmt: skip
_PART_KEYS = (
    "name", "part_number", "quantity", "price_usd", "source", "optional", "nets", "note",
)  # fmt: skip
_UART = {"uart_tx": "tx", "uart_rx": "rx"}
_I2C = {"i2c_sda": "sda", "i2c_scl": "scl"}


class BoardFileError(MicropumpError):
    """A board file cannot be read, or describes a board that cannot be.

    Args:
        path: the file.
        problems: all that is wrong with it.

    """

    def __init__(self, path: str, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        if len(self.problems) == 1:
            (problem,) = self.problems
            where = f"{path} {problem.where}".rstrip()
            super().__init__(problem.what, where, problem.remedy)
            return
        listed = "".join(f"\n  {problem}" for problem in self.problems)
        what = f"{len(self.problems)} things are wrong with this board file:{listed}\n "
        super().__init__(what, path, "Mend them and try again")


def load_board(folder: str | Path) -> Board:
    """Read and check ``board.toml`` in a board's folder; the folder's name is the board's id.

    Args:
        folder: for example ``boards/pico``.

    Raises:
        BoardFileError: with all that is wrong, if it cannot be read or is no board that can be.

    """
    folder = Path(folder)
    if folder.name not in CARRIERS:
        known = ", ".join(CARRIERS)
        what = f'there is no board "{folder.name}"'
        raise _single(str(folder), "", what, near(folder.name, CARRIERS) or f"Known: {known}")
    tables = _read(folder / BOARD_FILE)
    like = _like(tables)
    if like is not None:
        tables = _merged(_model(folder, like), tables)
    reading = _Reading(folder.name, tables)
    board = reading.board()
    if reading.problems:
        raise BoardFileError(str(folder / BOARD_FILE), reading.problems)
    return board


def _single(path: str, where: str, what: str, remedy: str) -> BoardFileError:
    return BoardFileError(path, (Problem(where, what, remedy),))


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        what = f"cannot read the board file ({error.strerror})"
        raise _single(str(path), "", what, "Check the path") from None
    except UnicodeDecodeError:
        remedy = "A board file is TOML in UTF-8"
        raise _single(str(path), "", "this is not a text file", remedy) from None
    except (ValueError, RecursionError) as error:  # tomllib's own error is a ValueError
        what = f"not valid TOML: {error}"
        raise _single(str(path), "", what, "Mend the line that it names") from None


def _like(tables: Mapping[str, Any]) -> Any:
    board = tables.get("board")
    return board.get("like") if isinstance(board, dict) else None


def _model(folder: Path, like: Any) -> dict[str, Any]:
    model = folder.parent / str(like) / BOARD_FILE
    if like == folder.name or not model.is_file():
        what = f"{like!r} is no other board beside this one"
        remedy = "Name a folder beside this one, or leave the key out"
        raise _single(str(folder / BOARD_FILE), "[board] like", what, remedy)
    tables = _read(model)
    if _like(tables) is not None:
        what = f'"{like}" is itself like another board'
        raise _single(
            str(folder / BOARD_FILE), "[board] like", what, "Name a board with a file of its own"
        )
    return tables


def _merged(model: Mapping[str, Any], tables: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(model)
    for key, value in tables.items():
        known = model.get(key)
        both = isinstance(known, dict) and isinstance(value, dict) and key != "nets"
        merged[key] = _merged(known or {}, value) if both else value
    merged.pop("like", None)
    return merged


class _Reading(Form):
    """One reading of a file's tables; collects what is wrong."""

    def __init__(self, board_id: str, tables: Mapping[str, Any]) -> None:
        super().__init__()
        self.board_id = board_id
        self.carrier = CARRIERS[board_id]
        self.tables = tables

    def board(self) -> Board:
        self.unknown_keys("", self.tables, _SECTIONS)
        head = self._table("board")
        self.unknown_keys("[board]", head, _BOARD_KEYS)
        sources = self._sources()
        pins = [
            pin
            for name, table in self._tables_of("pins").items()
            if (pin := self._pin(name, table)) is not None
        ]
        parts = [
            self._part(role, table, sources) for role, table in self._tables_of("parts").items()
        ]
        given = self._tables_of("sensors") if "sensors" in self.tables else {}
        reference_mv = self.number("[board]", head, "adc_reference_mv", 1000, 5000)
        board = Board(
            board_id=self.board_id,
            name=self.text("[board]", head, "name"),
            runs=self.text("[board]", head, "runs"),
            image=self.text("[board]", head, "image"),
            driver=self.choice("[board]", head, "driver", DRIVERS),
            fitted=self.choice("[board]", head, "fitted", MECHANISMS),
            syringe_drive=self._drive(head, "syringe_drive", catalogue.SYRINGE_DRIVES),
            head_drive=self._drive(head, "head_drive", catalogue.HEAD_DRIVES),
            adc_reference_mv=reference_mv,
            pins=tuple(pins),
            sensors=read_sensors(self, given, self._given_pins(), pins, reference_mv),
            parts=tuple(parts),
            sources=sources,
        )
        self._check_pins(board)
        self._check_parts(board)
        return board

    # --- reading -----------------------------------------------------------------------------

    def _table(self, name: str) -> Mapping[str, Any]:
        table = self.tables.get(name)
        if isinstance(table, dict):
            return table
        self.add(f"[{name}]", "the section is missing", "boards/pico/board.toml shows it")
        return {}

    def _tables_of(self, name: str) -> dict[str, Mapping[str, Any]]:
        """The tables inside of ``[name]``, without those that are none."""
        found: dict[str, Mapping[str, Any]] = {}
        for key, table in self._table(name).items():
            if isinstance(table, dict):
                found[key] = table
            else:
                self.add(f"[{name}] {key}", "must be a table", f"Write [{name}.{key}]")
        return found

    def _drive(self, head: Mapping[str, Any], key: str, drives: Iterable[tuple[Any, ...]]) -> str:
        return self.choice("[board]", head, key, [str(row[0]) for row in drives])

    def _sources(self) -> dict[str, str]:
        table = self._table("sources")
        return {key: self.text("[sources]", table, key) for key in table}

    def _pin(self, name: str, table: Mapping[str, Any]) -> Pin | None:
        where = f"[pins.{name}]"
        if name not in FUNCTIONS:
            remedy = near(name, FUNCTIONS) or f"Known: {', '.join(FUNCTIONS)}"
            self.add(where, "no pin has this function", remedy)
            return None
        self.unknown_keys(where, table, _PIN_KEYS)
        role, terminal = self._terminal(where, table)
        before = len(self.problems)
        gpio = self.number(where, table, "gpio", 0, 29)
        if len(self.problems) > before:
            return None
        return Pin(
            function=name,
            gpio=gpio,
            direction=self.choice(where, table, "direction", DIRECTIONS),
            to_role=role,
            to_terminal=terminal,
            pull=self.choice(where, table, "pull", PULLS, "none"),
            active_level=self.number(where, table, "active_level", 0, 1, 1),
            external_pull=self.choice(where, table, "external_pull", PULLS, "none"),
            external_pull_ohm=self.number(where, table, "external_pull_ohm", 0, _GREATEST_OHM, 0),
            series_ohm=self.number(where, table, "series_ohm", 0, _GREATEST_OHM, 0),
        )

    def _terminal(self, where: str, table: Mapping[str, Any]) -> tuple[str, str]:
        role, point, terminal = self.text(where, table, "to").partition(".")
        if role and not (point and terminal):
            what = f'"{role}" names no terminal'
            self.add(f"{where} to", what, 'Write part and terminal: "driver.STEP"')
        return role, terminal

    def _part(self, role: str, table: Mapping[str, Any], sources: Mapping[str, str]) -> Part:
        where = f"[parts.{role}]"
        self.unknown_keys(where, table, _PART_KEYS)
        return Part(
            role=role,
            name=self.text(where, table, "name"),
            part_number=self.text(where, table, "part_number"),
            quantity=self.number(where, table, "quantity", 1, 100, 1),
            price_usd=self._price(where, table),
            source=self.choice(where, table, "source", sources) if sources else "",
            optional=self.flag(where, table, "optional"),
            nets=self._nets(where, table),
            note=str(table.get("note", "")),
        )

    def _price(self, where: str, table: Mapping[str, Any]) -> float:
        price = table.get("price_usd")
        if isinstance(price, int | float) and not isinstance(price, bool) and 0 <= price <= 1000:
            return float(price)
        self.wrong(where, "price_usd", price, "a number of US dollars from 0 to 1000")
        return 0.0

    def _nets(self, where: str, table: Mapping[str, Any]) -> dict[str, str]:
        nets = table.get("nets", {})
        if isinstance(nets, dict) and all(isinstance(net, str) for net in nets.values()):
            return dict(nets)
        self.wrong(where, "nets", nets, 'a table such as { GND = "GND", VCC = "3V3" }')
        return {}

    # --- what cannot be ----------------------------------------------------------------------

    def _check_pins(self, board: Board) -> None:
        users: dict[int, str] = {}
        for pin in board.pins:
            where = f"[pins.{pin.function}]"
            if pin.gpio in users:
                what = f"GPIO {pin.gpio} is used by {users[pin.gpio]} already"
                self.add(f"{where} gpio", what, f"Free: {_listed(self._free(board))}")
            users.setdefault(pin.gpio, pin.function)
            self._check_place(where, pin)
            self._check_peripheral(where, pin)
            self._check_resistors(where, pin)
        for name, function in FUNCTIONS.items():
            if function.required and name not in self._given_pins():
                self.add(f"[pins.{name}]", "is missing", f"Every board needs it: {name}")
        self._check_pairs(board)

    def _given_pins(self) -> Iterable[str]:
        """Names of the pins that the file has, also of those that are wrong."""
        pins = self.tables.get("pins")
        return pins if isinstance(pins, dict) else ()

    def _free(self, board: Board) -> list[int]:
        used = {pin.gpio for pin in board.pins}
        return [gpio for gpio in range(30) if header_pin(gpio) is not None and gpio not in used]

    def _check_place(self, where: str, pin: Pin) -> None:
        use = self.carrier.internal.get(pin.gpio)
        if use is not None:
            what = f"GPIO {pin.gpio} is inside of the {self.board_id} board, for {use}"
            self.add(f"{where} gpio", what, "Take a GPIO that the header has")

    def _check_peripheral(self, where: str, pin: Pin) -> None:
        function = FUNCTIONS[pin.function]
        if pin.direction and pin.direction != function.direction:
            what = f"{pin.function} is an {function.direction}, not {pin.direction}"
            self.add(f"{where} direction", what, f'Write direction = "{function.direction}"')
        wrong = None
        if function.peripheral == "adc" and pin.gpio not in ADC_GPIO:
            wrong = f"GPIO {pin.gpio} has no ADC", f"These have: {_listed(ADC_GPIO)}"
        elif function.peripheral in _UART:
            line = _UART[function.peripheral]
            wrong = _wrong_line(pin.gpio, "UART", line, uart_function)
        elif function.peripheral in _I2C:
            line = _I2C[function.peripheral]
            wrong = _wrong_line(pin.gpio, "I2C", line, i2c_function)
        if wrong:
            self.add(f"{where} gpio", *wrong)

    def _check_resistors(self, where: str, pin: Pin) -> None:
        rest = "down" if pin.active_level else "up"
        if FUNCTIONS[pin.function].rest_pull and pin.external_pull != rest:
            what = f"no external resistor holds {pin.function} {_HELD[rest]} when nothing drives it"
            self.add(f"{where} external_pull", what, f'Write external_pull = "{rest}"')
        if (pin.external_pull == "none") != (pin.external_pull_ohm == 0):
            what = "external_pull and external_pull_ohm must be given together"
            self.add(f"{where} external_pull_ohm", what, "10000 ohm suits these lines")
        if pin.pull != "none" and pin.direction == "analog":
            what = "a pull would bend what the ADC reads"
            self.add(f"{where} pull", what, 'Write pull = "none"')
        down = "down" in (pin.pull, pin.external_pull) and pin.direction == "input"
        if down and self.carrier.chip in CHIPS_WITHOUT_PULL_DOWN:
            what = f"an input of the {self.carrier.chip} latches when it is pulled down"
            self.add(f"{where} pull", what, "Pull up and turn active_level round (erratum E9)")

    def _check_pairs(self, board: Board) -> None:
        for kind, names, of in (
            ("UART", ("driver_tx", "driver_rx"), uart_function),
            ("I2C", ("i2c_sda", "i2c_scl"), i2c_function),
        ):
            first, second = (board.pin(name) for name in names)
            missing = [name for name in names if name not in self._given_pins()]
            if len(missing) == 1:
                self.add(f"[pins.{missing[0]}]", "is missing", f"{kind} needs both lines")
            elif first and second and of(first.gpio)[0] != of(second.gpio)[0]:
                what = f"{names[0]} and {names[1]} are on two different {kind} blocks"
                self.add(f"[pins.{names[1]}] gpio", what, "Take two of one block")
        self._check_pwm(board)

    def _check_pwm(self, board: Board) -> None:
        users: dict[int, str] = {}
        for pin in board.pins:
            if FUNCTIONS[pin.function].peripheral != "pwm":
                continue
            pwm_slice = pwm_function(pin.gpio)[0]
            if pwm_slice in users:
                what = f"shares PWM slice {pwm_slice}, so its frequency, with {users[pwm_slice]}"
                self.add(f"[pins.{pin.function}] gpio", what, "Take a GPIO of another slice")
            users.setdefault(pwm_slice, pin.function)

    def _check_parts(self, board: Board) -> None:
        roles = {part.role for part in board.parts}
        for role in REQUIRED_ROLES:
            if role not in roles:
                self.add(f"[parts.{role}]", "is missing", f"Every board needs it: {role}")
        for pin in board.pins:
            if pin.to_role and pin.to_role not in roles:
                what = f'there is no part "{pin.to_role}"'
                remedy = near(pin.to_role, roles) or f"Add [parts.{pin.to_role}]"
                self.add(f"[pins.{pin.function}] to", what, remedy)
        for part in board.parts:
            for terminal, net in part.nets.items():
                self._check_net(f"[parts.{part.role}] nets.{terminal}", net, roles)
        if board.driver in DRIVERS_WITHOUT_UART and board.pin("driver_tx"):
            what = f"an {board.driver.upper()} has no UART"
            self.add("[pins.driver_tx]", what, "Leave driver_tx and driver_rx out")

    def _check_net(self, where: str, net: str, roles: set[str]) -> None:
        if net in NETS or net.partition(".")[0] in roles:
            return
        remedy = near(net, [*NETS, *roles]) or f"Known: {', '.join(NETS)}, or part.TERMINAL"
        self.add(where, f'there is no net "{net}"', remedy)


_HELD = {"up": "high", "down": "low"}


def _wrong_line(gpio: int, kind: str, line: str, of: Any) -> tuple[str, str] | None:
    if of(gpio)[1] == line:
        return None
    able = [number for number in range(29) if of(number)[1] == line and header_pin(number)]
    return f"GPIO {gpio} is no {kind} {line.upper()}", f"These are: {_listed(able)}"


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(str(number) for number in numbers)
