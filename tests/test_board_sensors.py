"""A board's sensors as data: what a file may say, and the rows that the firmware gets of it."""

import re
import subprocess
import tomllib
from fractions import Fraction
from pathlib import Path

import pytest
import support
import test_boards
from hypothesis import given
from hypothesis import strategies as st
from test_boards import BOARDS, PICO_TEXT, changed, module_namespace, pico, problems, the_problem

from micropump import sensing
from micropump_host.image import chip
from micropump_host.image.board import SENSOR_KINDS, Board
from micropump_host.image.boardfile import load_board
from micropump_host.image.sensors import (
    _PINS,
    AGE_IN_SAMPLES,
    EVERY_MS,
    LEAST_AGE_MS,
    STUCK_24_BIT,
    STUCK_ANALOG,
    scale_of,
)
from micropump_host.image.tables import pins_table

DOC = support.REPO / "docs" / "sensors.md"
PRESSURE_AT = PICO_TEXT.index("[sensors.pressure]")
PRESSURE = PICO_TEXT[PRESSURE_AT : PICO_TEXT.index("\n# A load cell", PRESSURE_AT)]
LINEAR = "least_mv = 100\ngreatest_mv = 3000\n"
ADC_PIN = 'gpio = 28\ndirection = "analog"\nto = "barrel_sensor.W"\n'


def section(name: str) -> str:
    """A section of the Pico's file, from its head to the next one's comment or head."""
    found = re.search(rf"\[{re.escape(name)}\]\n(?:[^\[#\n][^\n]*\n)*", PICO_TEXT)
    assert found
    return found[0]


def in_place_of_the_barrel(tmp_path: Path, pin: str, sensor: str, table: str) -> Path:
    """The Pico with another sensor on the ADC pin of the barrel."""
    return changed(
        tmp_path,
        (section("pins.barrel"), f"[pins.{pin}]\n{ADC_PIN}"),
        (section("sensors.barrel"), f"[sensors.{sensor}]\n{table}"),
    )


def value(board: Board, name: str, mv: float) -> int:
    """What the core makes of so many mV at the pin."""
    sensor = board.sensor(name)
    assert sensor
    eyes = sensing.Sensing((sensor.spec,))
    readings = sensing.Readings()
    readings.put(sensor.spec[0], round(mv * 65535 / board.adc_reference_mv))
    eyes.look(0, readings, False)
    assert eyes.is_new
    return eyes.value[sensor.spec[0]]


# --- the boards that there are --------------------------------------------------------------------


@pytest.mark.parametrize("board_id", chip.CARRIERS)
def test_the_module_has_a_row_for_each_sensor(board_id: str) -> None:
    board = load_board(BOARDS / board_id)
    rows = module_namespace(board)["SENSORS"]
    assert isinstance(rows, tuple)
    assert [row[0] for row in rows] == sorted({row[0] for row in rows})
    assert {len(row) for row in rows} == {15}
    # The core takes them as they are.
    fitted = sensing.Sensing(rows).fitted
    names = {name for at, name in enumerate(sensing.SENSOR_NAMES) if fitted >> at & 1}
    assert names == set(sensing.SENSOR_NAMES) - {"upstream", "plunger", "rail"}
    for row in rows:
        assert row[10] in SENSOR_KINDS
        assert row[6] >= AGE_IN_SAMPLES * row[14]


def test_micropython_takes_the_rows(tmp_path: Path) -> None:
    text = test_boards.render_module(pico(), "00")
    (tmp_path / "micropump_board.py").write_text(text, encoding="utf-8")
    paths = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(support.FIRMWARE)!r}]\n"
    script = paths + (
        "import micropump_board as board\nfrom micropump.sensing import Sensing\n"
        "print(Sensing(board.SENSORS).fitted)"
    )
    done = subprocess.run(
        [support.MICROPYTHON, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert int(done.stdout) == sensing.Sensing(tuple(s.spec for s in pico().sensors)).fitted


def test_where_each_is_found() -> None:
    found = {s.name: (s.kind, s.gpio, s.aux, s.active_level) for s in pico().sensors}
    assert found == {
        "pressure": ("analog", 26, 0, 1),
        "force": ("hx711", 10, 11, 1),
        "air": ("digital", 21, "up", 1),
        "barrel": ("analog", 28, 2, 1),
        "encoder": ("as5600", 8, 9, 1),
        "battery": ("analog", 27, 1, 1),
        "temperature": ("analog", -1, 4, 1),
        "door": ("digital", 19, "up", 1),
        "end_stop": ("digital", 20, "up", 1),
    }


def test_the_pressure_scale_is_the_sensors_formula() -> None:
    """Vs (0.0012858 P + 0.04), Vs = 5 V, behind 10k and 20k (source S4)."""
    for kpa in (-15, 0, 10, 120, 700):
        mv = 5000 * (0.0012858 * kpa + 0.04) * 2 / 3
        # 0.2 kPa: half a count is 6 Pa, the zero is rounded to a mV, 233 Pa.
        assert value(pico(), "pressure", mv) == pytest.approx(1000 * kpa, rel=0.001, abs=240)


@pytest.mark.parametrize("volts", [3, 10.5, 12.0, 14.4])
def test_the_battery_is_what_its_divider_makes_of_it(volts: float) -> None:
    # A count is 0.24 mV, and the value's floor 1 mV.
    assert value(pico(), "battery", 1000 * volts * 27 / 127) == pytest.approx(1000 * volts, abs=2)


@pytest.mark.parametrize(("millivolts", "tenths"), [(706, 270), (752.467, 0), (589, 950)])
def test_the_chips_thermometer(millivolts: float, tenths: int) -> None:
    """27 °C at 0.706 V, and 1.721 mV less for each degree (RP2040 Datasheet, 4.9.5)."""
    # 0.3 °C is a count of 16 bits.
    assert value(pico(), "temperature", millivolts) == pytest.approx(tenths, abs=2)


def test_the_load_cell_and_the_barrel() -> None:
    force = pico().sensor("force")
    assert force
    assert sensing.scaled(2_147_484, force.spec[2], force.spec[3]) == pytest.approx(98_067, abs=1)
    assert value(pico(), "barrel", 1650) == pytest.approx(27_000, abs=2)


def test_the_limits_of_the_pico_are_what_the_document_says() -> None:
    pressure, force = pico().sensor("pressure"), pico().sensor("force")
    assert pressure
    assert force
    # ±40 kPa and ±25 N of noise; 17.5 kPa and 15 N of drift.
    for sensor, noise, drift in ((pressure, 80_000, 17_500), (force, 50_000, 15_000)):
        assert sensing.scaled(sensor.spec[8], *sensor.spec[2:4]) == pytest.approx(noise, rel=0.01)
        assert sensing.scaled(sensor.spec[9], *sensor.spec[2:4]) == pytest.approx(drift, rel=0.01)


def test_air_and_a_broken_wire_are_air() -> None:
    sensor = pico().sensor("air")
    assert sensor
    assert sensing.scaled(1, sensor.spec[2], sensor.spec[3]) == 1000


@pytest.mark.parametrize("name", ["pressure", "barrel", "battery"])
def test_both_ends_of_the_adc_are_faults(name: str) -> None:
    """0 is a broken wire, 65535 one that lies at the supply: neither may be a measurement."""
    sensor = pico().sensor(name)
    assert sensor
    least, greatest = sensor.spec[4:6]
    # 30 mV: a conversion's offset and noise, with room to spare.
    assert least >= round(30 * 65535 / 3300)
    assert greatest <= 65535 - round(30 * 65535 / 3300)


# --- scales ---------------------------------------------------------------------------------------


@given(st.fractions(min_value=Fraction(1, 10_000), max_value=100, max_denominator=10**12))
def test_a_scale_is_as_near_as_makes_no_difference(slope: Fraction) -> None:
    for signed in (slope, -slope):
        num, den = scale_of(signed)
        assert den >= 1
        assert abs(num) * den < sensing.SMALL_INT_LIMIT
        # With denominators up to d = √(2²⁹/slope) the best fraction p/q is within 1/(q·d) of the
        # slope (Dirichlet): never more than 1/√2²⁹ of it, and far less where q is great.
        assert abs(Fraction(num, den) / signed - 1) <= Fraction(1, 23_000)


@pytest.mark.parametrize(
    ("name", "slope"),
    [
        ("pressure", Fraction(700_000 * 3300, 3000 * 65535)),
        ("force", Fraction(98_067, 2_147_484)),
        ("barrel", Fraction(54_000 * 3300, 2970 * 65535)),
        ("battery", Fraction(3300 * 127, 65535 * 27)),
        ("temperature", Fraction(-33_000_000, 1721 * 65535)),
    ],
)
def test_the_scales_of_the_pico(name: str, slope: Fraction) -> None:
    sensor = pico().sensor(name)
    assert sensor
    # A millionth: less than a count over the whole range of any of them.
    assert abs(Fraction(sensor.spec[2], sensor.spec[3]) / slope - 1) < Fraction(1, 1_000_000)


@pytest.mark.parametrize("slope", [0, Fraction(1, 1 << 31), 1 << 30])
def test_a_scale_out_of_reach_is_refused(slope: Fraction) -> None:
    with pytest.raises(ValueError, match="no such scale"):
        scale_of(Fraction(slope))


# --- sensors that the Pico's file does not have ---------------------------------------------------


def test_a_pressure_before_the_head(tmp_path: Path) -> None:
    table = LINEAR + "zero_mv = 1500\nfull_scale_mv = 2900\nfull_scale_pa = 100_000\n"
    board = load_board(in_place_of_the_barrel(tmp_path, "upstream", "upstream", table))
    assert value(board, "upstream", 1500 - 140) == pytest.approx(-10_000, abs=5)
    sensor = board.sensor("upstream")
    assert sensor
    assert (sensor.gpio, sensor.aux, sensor.spec[7]) == (28, 2, STUCK_ANALOG)


def test_air_as_a_level(tmp_path: Path) -> None:
    folder = changed(
        tmp_path,
        (section("pins.barrel"), f"[pins.air_level]\n{ADC_PIN}"),
        (section("sensors.barrel"), ""),
        (section("pins.air"), ""),
        (section("sensors.air"), f"[sensors.air]\n{LINEAR}liquid_mv = 2500\nair_mv = 500\n"),
    )
    board = load_board(folder)
    assert value(board, "air", 2500) == pytest.approx(0, abs=1)
    assert value(board, "air", 500) == pytest.approx(1000, abs=1)


def test_air_is_read_by_one_pin(tmp_path: Path) -> None:
    folder = changed(
        tmp_path,
        (section("pins.barrel"), f"[pins.air_level]\n{ADC_PIN}"),
        (section("sensors.barrel"), ""),
        (section("sensors.air"), f"[sensors.air]\n{LINEAR}liquid_mv = 2500\nair_mv = 500\n"),
    )
    assert "cannot be read by two pins" in the_problem(folder)


def test_a_plunger_that_falls_and_a_rail(tmp_path: Path) -> None:
    table = LINEAR + "zero_mv = 2900\nfull_scale_mv = 200\nfull_scale_um = 90_000\n"
    board = load_board(in_place_of_the_barrel(tmp_path, "plunger", "plunger", table))
    assert value(board, "plunger", 1550) == pytest.approx(45_000, abs=2)
    table = LINEAR + "top_ohm = 100_000\nbottom_ohm = 10_000\n"
    board = load_board(in_place_of_the_barrel(tmp_path, "rail", "rail", table))
    assert value(board, "rail", 24_000 / 11) == pytest.approx(24_000, abs=2)


def test_a_pressure_sensor_on_the_bus(tmp_path: Path) -> None:
    """10 % and 90 % of 2**24 at both ends of its range (Honeywell ABP2 series)."""
    table = (
        '[sensors.pressure]\nkind = "abp2"\nzero_raw = 1_677_722\nfull_scale_raw = 15_099_494\n'
        "full_scale_pa = 200_000\nleast_raw = 1_000_000\ngreatest_raw = 16_000_000\n"
    )
    folder = changed(tmp_path, (PRESSURE, table), (section("pins.pressure"), ""))
    sensor = load_board(folder).sensor("pressure")
    assert sensor
    assert (sensor.kind, sensor.gpio, sensor.aux) == ("abp2", 8, 9)
    assert sensor.spec[7] == STUCK_24_BIT
    delta = (15_099_494 - 1_677_722) // 2
    assert sensing.scaled(delta, *sensor.spec[2:4]) == pytest.approx(100_000, abs=1)


def test_a_sensor_that_is_not_fitted_has_no_row_and_keeps_its_pin(tmp_path: Path) -> None:
    changes = [(f"[sensors.{n}]\n", f"[sensors.{n}]\nfitted = false\n") for n in ("force", "door")]
    board = load_board(changed(tmp_path, *changes))
    assert board.sensor("force") is None
    assert board.sensor("door") is None
    assert "force" not in str(module_namespace(board)["SENSORS"])
    assert pins_table(board) == pins_table(pico())


def test_a_board_like_another_leaves_a_sensor_out(tmp_path: Path) -> None:
    changed(tmp_path)
    (tmp_path / "pico_w").mkdir()
    text = '[board]\nlike = "pico"\n[sensors.encoder]\nfitted = false\n[sensors.pressure]\n'
    (tmp_path / "pico_w" / "board.toml").write_text(text + "noise_mv = 0\n", encoding="utf-8")
    board = load_board(tmp_path / "pico_w")
    assert board.sensor("encoder") is None
    pressure = board.sensor("pressure")
    assert pressure
    assert (pressure.spec[8], pressure.spec[9]) == (0, 1489)


def test_times_of_ones_own(tmp_path: Path) -> None:
    times = "[sensors.door]\nevery_ms = 50\nage_ms = 150\n"
    sensor = load_board(changed(tmp_path, ("[sensors.door]\n", times))).sensor("door")
    assert sensor
    assert (sensor.every_ms, sensor.spec[6]) == (50, 150)
    usual = pico().sensor("battery")
    assert usual
    assert usual.spec[6] == AGE_IN_SAMPLES * EVERY_MS["battery"]
    assert LEAST_AGE_MS == 500


# --- what cannot be -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("[sensors.encoder]", "[sensors.encodr]",
         "[sensors.encodr]: there is no such sensor. Did you mean encoder?"),
        ("[sensors.encoder]", "[sensors.encoder]\ngpio = 8",
         "[sensors.encoder] gpio: unknown key. Known: fitted, every_ms, age_ms"),
        ("[sensors.encoder]", "[sensors.encoder]\nfitted = 1",
         "[sensors.encoder] fitted: 1 must be true or false"),
        ("[sensors.door]", "[sensors.door]\nevery_ms = 200\nage_ms = 500",
         "[sensors.door] age_ms: a sample that is late would be a fault: 500 ms, read every 200"),
        ("zero_mv = 133", "zero_mv = 30", "the voltages must rise: least_mv, zero_mv"),
        ("zero_mv = 165", "zero_mv = 3135",
         "[sensors.barrel]: zero_mv and full_scale_mv are the same"),
        ("full_scale_mv = 3133", "full_scale_mv = 3260", "the voltages must rise"),
        ("least_mv = 40\n", "", "[sensors.pressure] least_mv: is missing"),
        ("noise_mv = 343", 'noise_mv = "343"', "[sensors.pressure] noise_mv: '343' must be"),
        ("full_scale_pa = 700_000\n", "full_scale_pa = 700\n",
         "[sensors.pressure] full_scale_pa: 700 must be a whole number from 1000 to 2000000"),
        ("zero_mv = 133\n", 'kind = "digital"\nzero_mv = 133\n',
         "[sensors.pressure] kind: 'digital' must be one of analog, abp2"),
        ("greatest_mv = 3200", "greatest_mv = 3300",
         "[sensors.barrel] greatest_mv: the limits must rise, and end below the ADC's reference"),
        ("full_scale_raw = 2_147_484", "full_scale_raw = 0",
         "[sensors.force]: zero and full scale must differ, and lie within least_raw"),
        ("full_scale_raw = 2_147_484", "full_scale_raw = 7_000_000",
         "[sensors.force]: zero and full scale must differ, and lie within least_raw"),
        ("full_scale_raw = 2_147_484", "full_scale_raw = 10",
         "[sensors.force]: its values go beyond what the firmware's integers hold"),
        ("[sensors.temperature]\n", "[sensors.temperature]\nnoise_mv = 3\n", "unknown key"),
        ("bottom_ohm = 27_000", "bottom_ohm = 0", "[sensors.battery] bottom_ohm: 0 must be"),
    ],
)  # fmt: skip
def test_figures_that_cannot_be(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert told in the_problem(changed(tmp_path, (old, new)))


@pytest.mark.parametrize("name", ["pressure", "force", "air", "barrel", "battery", "door"])
def test_a_pin_that_nothing_reads(tmp_path: Path, name: str) -> None:
    folder = changed(tmp_path, (section(f"sensors.{name}"), ""))
    for told in problems(folder):
        assert told.startswith(f"[sensors.{name}]: is missing. Nothing reads [pins.")
        assert "fitted = false" in told


@pytest.mark.parametrize("pin", [name for name in _PINS if name in PICO_TEXT])
def test_a_sensor_without_its_pin(tmp_path: Path, pin: str) -> None:
    if pin not in {found.function for found in pico().pins}:
        return
    told = the_problem(changed(tmp_path, (section(f"pins.{pin}"), "")))
    assert told == f"[pins.{pin}]: is missing. [sensors.{_PINS[pin]}] needs it"


@pytest.mark.parametrize(
    ("pin", "sensor"), [("air", "air"), ("door", "door"), ("home", "end_stop")]
)
@pytest.mark.parametrize(
    ("old", "new"),
    [('pull = "up"', 'pull = "none"'), ("active_level = 1", "active_level = 0")],
)
def test_a_broken_wire_that_would_say_that_all_is_well(
    tmp_path: Path, pin: str, sensor: str, old: str, new: str
) -> None:
    before = section(f"pins.{pin}")
    told = the_problem(changed(tmp_path, (before, before.replace(old, new))))
    assert told.startswith(f"[pins.{pin}] pull: a broken wire would read as if all were well")


def test_an_outer_pull_is_as_good(tmp_path: Path) -> None:
    before = section("pins.door")
    outer = 'pull = "none"\nexternal_pull = "up"\nexternal_pull_ohm = 10_000'
    board = load_board(changed(tmp_path, (before, before.replace('pull = "up"', outer))))
    door = board.sensor("door")
    assert door
    assert door.aux == "none"


@given(
    name=st.sampled_from(sensing.SENSOR_NAMES),
    table=st.dictionaries(
        st.sampled_from([
            "fitted", "kind", "zero_mv", "full_scale_mv", "full_scale_pa", "full_scale_um",
            "least_mv", "greatest_mv", "noise_mv", "drift_mv", "stuck_samples", "zero_raw",
            "full_scale_raw", "full_scale_mn", "least_raw", "greatest_raw", "noise_raw",
            "drift_raw", "top_ohm", "bottom_ohm", "liquid_mv", "air_mv", "every_ms", "age_ms",
        ]),
        st.sampled_from(["0", "1", "-7", "100", "3200", "1_000_000", '"abp2"', "true", "[]"]),
        max_size=12,
    ),
)  # fmt: skip
def test_no_table_breaks_the_reader(
    tmp_path_factory: pytest.TempPathFactory, name: str, table: dict[str, str]
) -> None:
    """Whatever a table says, it is a sensor that the core takes, or a problem that is told."""
    lines = "".join(f"{key} = {value}\n" for key, value in table.items())
    folder = tmp_path_factory.mktemp("any")
    (folder / "pico").mkdir()
    (folder / "pico" / "board.toml").write_text(PICO_TEXT, encoding="utf-8")
    (folder / "pico2").mkdir()
    text = f'[board]\nlike = "pico"\n[sensors.{name}]\n{lines}'
    (folder / "pico2" / "board.toml").write_text(text, encoding="utf-8")
    try:
        board = load_board(folder / "pico2")
    except test_boards.BoardFileError as error:
        remedies = [problem.remedy for problem in error.problems]
    else:
        remedies = ["none needed"]
        sensing.Sensing(tuple(sensor.row for sensor in board.sensors))
    assert all(remedies)


# --- the document ---------------------------------------------------------------------------------


def test_the_document_has_the_figures_of_the_code() -> None:
    text = DOC.read_text(encoding="utf-8")
    for at, name in enumerate(sensing.SENSOR_NAMES):
        assert f"| {at} | `{name.upper()}`" in text
        assert f"| `{name}` | {EVERY_MS[name]} |" in text
    for kind in sensing.FAULT_NAMES[1:]:
        assert f"| **{kind}** |" in text


def test_the_keys_of_the_document_are_those_of_the_reader() -> None:
    """Every block of TOML in it is a sensor of a board that can be."""
    text = DOC.read_text(encoding="utf-8")
    blocks = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    assert blocks
    for block in blocks:
        for name, table in tomllib.loads(block)["sensors"].items():
            given_table = tomllib.loads(PICO_TEXT)["sensors"]
            assert set(table) <= {
                *given_table.get(name, {}),
                "fitted",
                "kind",
                "every_ms",
                "age_ms",
            }
