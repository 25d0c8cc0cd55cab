"""Boards as data: what a file may say, and the module, diagram and tables made from it.

``python tests/test_boards.py`` writes the tables of docs/boards.md and the wiring diagram anew.
"""

import itertools
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import support
from hypothesis import given
from hypothesis import strategies as st

REPO = Path(__file__).resolve().parent.parent
for room in ("firmware", "host"):
    sys.path.insert(0, str(REPO / room))

from micropump_host.image import chip, tables  # noqa: E402
from micropump_host.image.board import FUNCTIONS, Board  # noqa: E402
from micropump_host.image.boardfile import BoardFileError, load_board  # noqa: E402
from micropump_host.image.boardmodule import board_constants, render_module  # noqa: E402
from micropump_host.image.wiring import render_wiring  # noqa: E402

BOARDS = REPO / "boards"
DOC = REPO / "docs" / "boards.md"
DIAGRAM = REPO / "docs" / "images" / "wiring-pico.svg"
MICROPYTHON = Path(sys.executable).with_name("micropython")
PICO_TEXT = (BOARDS / "pico" / "board.toml").read_text(encoding="utf-8")


def pico() -> Board:
    return load_board(BOARDS / "pico")


def changed(tmp_path: Path, *changes: tuple[str, str], board_id: str = "pico") -> Path:
    """A copy of the Pico's file with pieces of text replaced; each must occur exactly once."""
    text = PICO_TEXT
    for old, new in changes:
        assert text.count(old) == 1, f"{old!r} occurs {text.count(old)} times"
        text = text.replace(old, new)
    folder = tmp_path / board_id
    folder.mkdir(exist_ok=True)
    (folder / "board.toml").write_text(text, encoding="utf-8")
    return folder


def without(tmp_path: Path, section: str) -> Path:
    """A copy of the Pico's file without one section."""
    start = PICO_TEXT.index(f"[{section}]")
    end = PICO_TEXT.index("\n[", start)
    return changed(tmp_path, (PICO_TEXT[start:end], ""))


def gpio_of(function: str, new: int) -> tuple[str, str]:
    """The change that gives a pin another GPIO."""
    old = re.search(rf"\[pins\.{function}\]\ngpio = \d+\n", PICO_TEXT)
    assert old
    return old[0], f"[pins.{function}]\ngpio = {new}\n"


def problems(folder: Path) -> list[str]:
    with pytest.raises(BoardFileError) as caught:
        load_board(folder)
    return [str(problem) for problem in caught.value.problems]


def the_problem(folder: Path) -> str:
    (problem,) = problems(folder)
    return problem


# --- the boards that there are --------------------------------------------------------------------


@pytest.mark.parametrize("board_id", chip.CARRIERS)
def test_every_board_is_right_and_complete(board_id: str) -> None:
    board = load_board(BOARDS / board_id)
    assert board.board_id == board_id
    # The ADC has three pins: what else is analogue is of other boards.
    others = {"air_level", "upstream", "plunger", "rail"}
    assert {pin.function for pin in board.pins} == set(FUNCTIONS) - others
    assert board.image == "built"
    for name in ("mpconfigboard.cmake", "mpconfigboard.h", "manifest.py", "pins.csv"):
        assert (BOARDS / board_id / name).is_file()
    assert f'PICO_BOARD "{board_id}"' in (BOARDS / board_id / "mpconfigboard.cmake").read_text()


def test_only_the_pico_is_said_to_be_run() -> None:
    ran = {board_id: load_board(BOARDS / board_id).runs for board_id in chip.CARRIERS}
    assert ran == {"pico": "emulated Pico", "pico_w": "not run here", "pico2": "not run here"}


def test_boards_that_are_like_the_pico_are_wired_like_it() -> None:
    for board_id in ("pico_w", "pico2"):
        other = load_board(BOARDS / board_id)
        assert other.pins == pico().pins
        assert [part.role for part in other.parts] == [part.role for part in pico().parts]
        assert other.part("controller") != pico().part("controller")


def test_the_pins_of_pins_csv_are_those_of_the_header() -> None:
    for board_id in chip.CARRIERS:
        lines = (BOARDS / board_id / "pins.csv").read_text(encoding="utf-8").split()
        named = {
            int(gpio[4:]) for name, gpio in (line.split(",") for line in lines) if name != "LED"
        }
        assert named >= set(chip.HEADER_GPIO.values())


def test_the_enable_line_is_held_off_and_the_interlock_open() -> None:
    enable, interlock, step = (pico().pin(name) for name in ("enable", "interlock", "step"))
    assert enable
    assert interlock
    assert step
    assert (enable.active_level, enable.external_pull, enable.external_pull_ohm) == (
        0,
        "up",
        10_000,
    )
    assert (interlock.active_level, interlock.external_pull) == (0, "up")
    assert (step.active_level, step.external_pull) == (1, "down")


# --- what the chip can do -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gpio", "i2c", "uart", "pwm"),
    [  # rows of the RP2040 Datasheet, section 1.4.3
        (0, (0, "sda"), (0, "tx"), (0, "a")),
        (1, (0, "scl"), (0, "rx"), (0, "b")),
        (2, (1, "sda"), (0, "cts"), (1, "a")),
        (4, (0, "sda"), (1, "tx"), (2, "a")),
        (9, (0, "scl"), (1, "rx"), (4, "b")),
        (12, (0, "sda"), (0, "tx"), (6, "a")),
        (15, (1, "scl"), (0, "rts"), (7, "b")),
        (16, (0, "sda"), (0, "tx"), (0, "a")),
        (21, (0, "scl"), (1, "rx"), (2, "b")),
        (22, (1, "sda"), (1, "cts"), (3, "a")),
        (26, (1, "sda"), (1, "cts"), (5, "a")),
        (28, (0, "sda"), (0, "tx"), (6, "a")),
    ],
)
def test_functions_of_a_gpio(gpio: int, i2c: tuple, uart: tuple, pwm: tuple) -> None:
    assert chip.i2c_function(gpio) == i2c
    assert chip.uart_function(gpio) == uart
    assert chip.pwm_function(gpio) == pwm


def test_the_header_has_forty_pins_and_each_once() -> None:
    assert sorted([*chip.HEADER_GPIO, *chip.HEADER_SUPPLY]) == list(range(1, 41))
    assert sorted(chip.HEADER_GPIO.values()) == [*range(23), 26, 27, 28]


# --- what cannot be -------------------------------------------------------------------------------


def test_a_pin_used_twice(tmp_path: Path) -> None:
    told = the_problem(changed(tmp_path, gpio_of("air", 20)))
    assert "[pins.home] gpio: GPIO 20 is used by air already" in told
    assert "Free: 14, 15, 21" in told


@pytest.mark.parametrize(
    ("function", "gpio", "told"),
    [
        ("bolus_button", 14, None),
        ("pressure", 15, "[pins.pressure] gpio: GPIO 15 has no ADC. These have: 26, 27, 28"),
        ("i2c_sda", 15, "[pins.i2c_sda] gpio: GPIO 15 is no I2C SDA. These are: 0, 2, 4"),
        ("driver_tx", 14, "[pins.driver_tx] gpio: GPIO 14 is no UART TX. These are: 0, 4, 8"),
        ("i2c_scl", 15, "i2c_sda and i2c_scl are on two different I2C blocks"),
        ("air", 25, "GPIO 25 is inside of the pico board, for the light on the board"),
        ("air", 29, "GPIO 29 is inside of the pico board, for the measuring of VSYS"),
        ("air", 30, "[pins.air] gpio: 30 must be a whole number from 0 to 29"),
    ],
)
def test_a_pin_that_cannot_do_what_it_should(
    tmp_path: Path, function: str, gpio: int, told: str | None
) -> None:
    folder = changed(tmp_path, gpio_of(function, gpio))
    if told is None:
        pin = load_board(folder).pin(function)
        assert pin
        assert pin.gpio == gpio
    else:
        assert told in " ".join(problems(folder))


def test_a_free_pin_is_accepted_for_any_plain_function(tmp_path: Path) -> None:
    for gpio in (14, 15):
        pin = load_board(changed(tmp_path, gpio_of("air", gpio))).pin("air")
        assert pin
        assert pin.gpio == gpio


def test_two_tones_on_one_pwm_slice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lit = FUNCTIONS["red_light"]
    dimmed = type(lit)(lit.meaning, lit.direction, "pwm", required=True)
    monkeypatch.setitem(FUNCTIONS, "red_light", dimmed)
    # GPIO 22 and 6 are channel A of slice 3; 7 is its channel B.
    for gpio in (6, 7):
        other = {6: "driver_fault", 7: "interlock"}[gpio]
        folder = changed(tmp_path, gpio_of("red_light", gpio), gpio_of(other, 16))
        told = "[pins.red_light] gpio: shares PWM slice 3, so its frequency, with buzzer"
        assert told in the_problem(folder)


def test_a_direction_against_the_function(tmp_path: Path) -> None:
    old = '[pins.interlock]\ngpio = 7\ndirection = "input"'
    told = the_problem(changed(tmp_path, (old, old.replace("input", "output"))))
    assert "[pins.interlock] direction: interlock is an input, not output" in told


@pytest.mark.parametrize(
    ("function", "gpio", "old", "new", "told"),
    [
        ("enable", 4, "up", "down", "no external resistor holds enable high"),
        ("enable", 4, "up", "none", "no external resistor holds enable high"),
        ("interlock", 7, "up", "down", "no external resistor holds interlock high"),
        ("step", 2, "down", "up", "no external resistor holds step low"),
    ],
)
def test_a_line_that_nothing_holds_at_rest(
    tmp_path: Path, function: str, gpio: int, old: str, new: str, told: str
) -> None:
    section = re.search(rf"\[pins\.{function}\][^[]*", PICO_TEXT)
    assert section
    pulled = section[0].replace(f'external_pull = "{old}"', f'external_pull = "{new}"')
    assert pulled != section[0]
    assert told in problems(changed(tmp_path, (section[0], pulled)))[0]


def test_an_input_of_the_rp2350_is_not_pulled_down(tmp_path: Path) -> None:
    old = '[pins.bolus_button]\ngpio = 13\ndirection = "input"\npull = "up"'
    change = (old, old.replace('"up"', '"down"'))
    assert load_board(changed(tmp_path, change)).pin("bolus_button")
    told = the_problem(changed(tmp_path, change, board_id="pico2"))
    assert "latches when it is pulled down" in told
    assert "E9" in told


def test_an_adc_pin_is_not_pulled(tmp_path: Path) -> None:
    old = '[pins.pressure]\ngpio = 26\ndirection = "analog"'
    told = the_problem(changed(tmp_path, (old, old + '\npull = "up"')))
    assert "a pull would bend what the ADC reads" in told


@pytest.mark.parametrize("role", ["driver", "motor", "power", "interlock_switch", "enable_pull"])
def test_a_missing_part(tmp_path: Path, role: str) -> None:
    assert f"[parts.{role}]: is missing" in " ".join(problems(without(tmp_path, f"parts.{role}")))


def test_a_part_that_is_wired_to_and_not_listed(tmp_path: Path) -> None:
    told = the_problem(without(tmp_path, "parts.buzzer"))
    assert '[pins.buzzer] to: there is no part "buzzer"' in told


@pytest.mark.parametrize("function", [name for name, f in FUNCTIONS.items() if f.required])
def test_a_missing_pin(tmp_path: Path, function: str) -> None:
    assert f"[pins.{function}]: is missing" in the_problem(without(tmp_path, f"pins.{function}"))


def test_half_a_bus(tmp_path: Path) -> None:
    told = the_problem(without(tmp_path, "pins.driver_rx"))
    assert "[pins.driver_rx]: is missing. UART needs both lines" in told


def test_an_a4988_has_no_uart(tmp_path: Path) -> None:
    told = the_problem(changed(tmp_path, ('driver = "tmc2209"', 'driver = "a4988"')))
    assert "an A4988 has no UART" in told


def test_what_may_be_left_out(tmp_path: Path) -> None:
    text = PICO_TEXT
    for section in ("pins.bolus_button", "pins.pressure", "sensors.pressure", "pins.driver_tx"):
        start = text.index(f"[{section}]")
        text = text[:start] + text[text.index("\n[", start) :]
    start = text.index("[pins.driver_rx]")
    text = text[:start] + text[text.index("\n[", start) :]
    (tmp_path / "pico").mkdir()
    (tmp_path / "pico/board.toml").write_text(text, encoding="utf-8")
    board = load_board(tmp_path / "pico")
    constants = board_constants(board)
    for name in ("BOLUS_BUTTON_GPIO", "PRESSURE_GPIO", "DRIVER_UART_ID"):
        assert constants[name] is None
    assert "bolus" not in render_wiring(board).replace("bolus button", "")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("[pins.interlock]", "[pins.interlok]", "Did you mean interlock?"),
        ("[sensors.pressure]", "[sensor.pressure]", "sensor: unknown key. Did you mean sensors?"),
        ('to = "driver.DIR"', 'too = "driver.DIR"', "too: unknown key. Did you mean to?"),
        ('to = "driver.DIR"', 'to = "driver"', '[pins.dir] to: "driver" names no terminal'),
        ('to = "driver.DIR"', 'to = "drivr.DIR"', "Did you mean driver?"),
        ('driver = "tmc2209"', 'driver = "tmc2208"', "Did you mean tmc2209?"),
        ('fitted = "syringe"', 'fitted = "syring"', "Did you mean syringe?"),
        ('"t8-2mm-16"', '"t8-2mm"', "[board] syringe_drive: 't8-2mm' must be one of"),
        ('source = "S7"', 'source = "S99"', "[parts.buzzer] source: 'S99' must be one of"),
        ("price_usd = 16.0", 'price_usd = "16"', "[parts.pressure_sensor] price_usd: '16' must be"),
        ("zero_mv = 133", "zero_mv = 4000", "the voltages must rise"),
        ('VM = "12V"', 'VM = "24V"', '[parts.driver] nets.VM: there is no net "24V"'),
        ("adc_reference_mv = 3300", "adc_reference_mv = true", "must be a whole number"),
        ("gpio = 3\n", 'gpio = "3"\n', "[pins.dir] gpio: '3' must be a whole number"),
        ("external_pull_ohm = 10_000\nto = \"driver.EN\"", 'to = "driver.EN"', "given together"),
    ],
)  # fmt: skip
def test_misspelt_and_misfit_values(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert told in " ".join(problems(changed(tmp_path, (old, new))))


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    folder = changed(
        tmp_path,
        gpio_of("air", 20),
        gpio_of("pressure", 15),
        ('driver = "tmc2209"', 'driver = "tmc2208"'),
        ("price_usd = 16.0", "price_usd = -1"),
    )
    with pytest.raises(BoardFileError) as caught:
        load_board(folder)
    assert len(caught.value.problems) == 4
    assert "4 things are wrong" in str(caught.value)
    assert str(folder / "board.toml") in str(caught.value)


@pytest.mark.parametrize(
    ("contents", "told"),
    [
        (b"", "[board]: the section is missing"),
        (b"[board", "not valid TOML"),
        (b"\xff\xfe\x00", "not a text file"),
        (b'board = "pico"', "[board]: the section is missing"),
        (b'[board]\nlike = "pico3"', "'pico3' is no other board beside this one"),
        (b'[board]\nlike = ["x"]', "is no other board beside this one"),
        (b"[pins]\nstep = 2\n[parts]\n[sources]\n[board]", "[pins] step: must be a table"),
    ],
)
def test_files_that_are_no_board(tmp_path: Path, contents: bytes, told: str) -> None:
    folder = tmp_path / "pico"
    folder.mkdir()
    (folder / "board.toml").write_bytes(contents)
    assert told in " ".join(problems(folder))


def test_a_folder_that_is_no_board(tmp_path: Path) -> None:
    assert "cannot read the board file" in the_problem(tmp_path / "pico")
    assert "Did you mean pico_w?" in the_problem(tmp_path / "picow")


@given(text=st.text(alphabet="[]=\"'.pinsboard_0123 \n", max_size=60))
def test_no_text_breaks_the_reader(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.mktemp("any") / "pico"
    folder.mkdir()
    (folder / "board.toml").write_text(text, encoding="utf-8")
    assert problems(folder)


@given(
    section=st.sampled_from(["board", "pins", "parts", "sensors"]),
    value=st.sampled_from(["1", '"x"', "[]", "[{}]", "{ a = 1 }", "{ a = [] }", "true"]),
)
def test_no_value_in_place_of_a_section_breaks_the_reader(
    tmp_path_factory: pytest.TempPathFactory, section: str, value: str
) -> None:
    folder = tmp_path_factory.mktemp("any") / "pico2"
    folder.mkdir()
    other = folder.with_name("pico")
    other.mkdir()
    (other / "board.toml").write_text(PICO_TEXT, encoding="utf-8")
    head = '[board]\nlike = "pico"\n' if section != "board" else ""
    (folder / "board.toml").write_text(f"{section} = {value}\n{head}", encoding="utf-8")
    assert problems(folder)


# --- what is made from it -------------------------------------------------------------------------


def module_namespace(board: Board) -> dict[str, object]:
    namespace: dict[str, object] = {}
    exec(compile(render_module(board, "ab" * 32), "micropump_board.py", "exec"), namespace)
    return namespace


@pytest.mark.parametrize("board_id", chip.CARRIERS)
def test_the_module_says_what_the_file_says(board_id: str) -> None:
    board = load_board(BOARDS / board_id)
    module = module_namespace(board)
    for pin in board.pins:
        name = pin.function.upper()
        assert module[f"{name}_GPIO"] == pin.gpio
        assert module[f"{name}_ACTIVE_LEVEL"] == pin.active_level
        assert module[f"{name}_PULL"] == pin.pull
    assert module["BOARD"] == board_id
    assert module["FITTED"] == "syringe"
    assert module["CHIP"] == board.carrier.chip
    watchdog = {"rp2040": 0x40058000, "rp2350": 0x400D8000}
    assert module["WATCHDOG_ADDRESS"] == watchdog[board.carrier.chip]
    assert module["CONTENT_SHA256"] == "ab" * 32
    assert module["PINS"] == tuple(
        (pin.function, pin.gpio, pin.direction, pin.pull, pin.active_level) for pin in board.pins
    )


def test_the_module_names_the_blocks_behind_the_pins() -> None:
    module = module_namespace(pico())
    assert module["DRIVER_UART_ID"] == 0
    assert module["I2C_ID"] == 0
    assert module["BUZZER_PWM_SLICE"] == 3


def test_text_in_the_module_is_quoted(tmp_path: Path) -> None:
    name = 'name = "Raspberry Pi Pico"'
    folder = changed(tmp_path, (name, "name = 'it''s \"µ\" \\'".replace("''", "")))
    assert module_namespace(load_board(folder))["BOARD_NAME"] == 'its "µ" \\'


def test_micropython_reads_the_module(tmp_path: Path) -> None:
    if not MICROPYTHON.exists():
        pytest.skip("the MicroPython unix port is not installed (extra: bench)")
    (tmp_path / "micropump_board.py").write_text(render_module(pico(), "00"), encoding="utf-8")
    script = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import micropump_board as b; "
    done = subprocess.run(
        [MICROPYTHON, "-c", script + "print(b.ENABLE_GPIO, b.BOARD, len(b.PINS))"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.split() == ["4", "pico", "24"]


def svg_of(board: Board) -> ET.Element:
    return ET.fromstring(render_wiring(board))


def test_the_diagram_has_every_pin_part_and_resistor() -> None:
    board = pico()
    tree = svg_of(board)
    space = "{http://www.w3.org/2000/svg}"
    wires = {
        path.get("data-function"): int(path.get("data-gpio", "-1"))
        for path in tree.iter(f"{space}path")
        if path.get("data-function")
    }
    assert wires == {pin.function: pin.gpio for pin in board.pins}
    texts = [text.text or "" for text in tree.iter(f"{space}text")]
    for part in board.parts:
        if part.nets and not part.role.endswith("_pull") and part.role != "controller":
            assert part.role.replace("_", " ") in texts
    # The pulls of EN, STEP and the interlock, then the UART's and the three lights' resistors.
    assert texts.count("10k") == 3
    assert texts.count("1k") == 1
    assert texts.count("330") == 3


def test_the_diagram_follows_the_data(tmp_path: Path) -> None:
    moved = load_board(changed(tmp_path, gpio_of("air", 15)))
    assert render_wiring(moved) != render_wiring(pico())
    assert 'data-function="air" data-gpio="15"' in render_wiring(moved)


def test_wires_stay_clear_of_one_another() -> None:
    """No two vertical runs of a side share a lane, so that no wire hides another."""
    space = "{http://www.w3.org/2000/svg}"
    lanes = []
    for path in svg_of(pico()).iter(f"{space}path"):
        if path.get("data-function"):
            points = [tuple(map(float, p.split())) for p in re.split("[ML]", path.get("d", ""))[1:]]
            if points[1][1] != points[2][1]:
                lanes.append(points[1][0])
    # At least 5 apart: the wires are 2.2 wide.
    ordered = sorted(lanes)
    assert all(b - a >= 5 for a, b in itertools.pairwise(ordered))


def rendered_blocks() -> dict[str, str]:
    board = pico()
    boards = [load_board(BOARDS / board_id) for board_id in chip.CARRIERS]
    return {
        "boards": tables.boards_table(boards),
        "pins": tables.pins_table(board),
        "parts": tables.parts_table(board),
        "sources": tables.sources_table(board),
    }


def test_the_document_shows_the_data() -> None:
    text = DOC.read_text(encoding="utf-8")
    assert text == support.with_blocks(text, rendered_blocks()), "run: python tests/test_boards.py"


def test_the_diagram_shows_the_data() -> None:
    drawn = DIAGRAM.read_text(encoding="utf-8")
    assert drawn == render_wiring(pico()), "run: python tests/test_boards.py"


def test_the_sum_is_the_parts() -> None:
    needed = sum(part.quantity * part.price_usd for part in pico().parts if not part.optional)
    assert tables.parts_price_usd(pico(), with_options=False) == pytest.approx(needed)
    assert 40 < needed < tables.parts_price_usd(pico(), with_options=True) < 100


if __name__ == "__main__":
    DOC.write_text(
        support.with_blocks(DOC.read_text(encoding="utf-8"), rendered_blocks()), encoding="utf-8"
    )
    DIAGRAM.write_text(render_wiring(pico()), encoding="utf-8")
