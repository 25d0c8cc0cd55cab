"""Parts of the emulated Pico that need no firmware image: time, traces, levels, files, models."""

import math
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from micropump_hil.emulated import backend
from micropump_hil.emulated.adc import REFERENCE_V, counts
from micropump_hil.emulated.clock import CYCLE_NS, GridClock
from micropump_hil.emulated.errors import EmulatorMissingError, ImageError
from micropump_hil.emulated.i2c import AS5600_COUNTS, As5600
from micropump_hil.emulated.pins import PinTrace
from micropump_hil.emulated.selftest import expected_cycles
from micropump_hil.emulated.uf2 import FLASH_BYTES, find_image, read_uf2
from micropump_hil.emulated.wiring import PressureInput, Wiring, WiringError, read_wiring

BOARD = Path(__file__).parents[1] / "boards" / "pico" / "board.toml"

PICO = 0xE48BFF56
START = 0x10000000


# Quarters of a nanosecond are exact as floats, whatever they are added to here.
quarters_ns = st.integers(0, 4 * 10**6).map(lambda quarters: quarters / 4)


def block(offset: int, payload: bytes, *, family: int = PICO, flags: int = 1 << 13) -> bytes:
    head = struct.pack(
        "<8I", 0x0A324655, 0x9E5D5157, flags, START + offset, len(payload), 0, 1, family
    )
    return (head + payload).ljust(508, b"\0") + struct.pack("<I", 0x0AB16F30)


# --- time ---------------------------------------------------------------------------------------


@given(st.lists(quarters_ns, min_size=1, max_size=8), st.integers(0, 10**9))
def test_an_alarm_rings_at_the_first_cycle_that_is_not_before_it(
    delays_ns: list[float], start_cycles: int
) -> None:
    clock = GridClock()
    clock.tick(start_cycles * CYCLE_NS)
    rung: dict[int, int] = {}
    for i, delay_ns in enumerate(delays_ns):
        clock.create_alarm(lambda i=i: rung.setdefault(i, clock.now_cycles)).schedule(delay_ns)
    clock.tick(2e6)
    for i, delay_ns in enumerate(delays_ns):
        late = rung[i] * CYCLE_NS - (start_cycles * CYCLE_NS + delay_ns)
        assert 0 <= late < CYCLE_NS


# --- traces -------------------------------------------------------------------------------------


@given(st.integers(0, 1), st.lists(st.integers(0, 10**15), unique=True), st.integers(0, 20))
def test_a_trace_keeps_every_edge_and_what_was_cleared_leaves_its_level(
    first_level: int, times: list[int], cleared_after: int
) -> None:
    times = sorted(times)
    trace = PinTrace(3, first_level)
    for at in times[:cleared_after]:
        trace.note(at)
    if cleared_after:
        trace.clear()
    kept = times[min(cleared_after, len(times)) :]
    for at in kept:
        trace.note(at)
    level = first_level ^ (len(times[:cleared_after]) & 1)
    edges = trace.edges
    assert [edge.at_cycles for edge in edges] == kept
    assert [edge.level for edge in edges] == [level ^ 1 ^ (i & 1) for i in range(len(kept))]
    assert sorted(trace.rising_cycles + trace.falling_cycles) == kept
    assert trace.rising_ns == [8 * edge.at_cycles for edge in edges if edge.level]
    assert trace.falling_ns == [8 * edge.at_cycles for edge in edges if not edge.level]
    assert trace.level == (edges[-1].level if edges else level)


def test_digests_differ_in_one_edge_a_pin_or_a_level() -> None:
    def digest(pin: int, first_level: int, *times: int) -> str:
        trace = PinTrace(pin, first_level)
        for at in times:
            trace.note(at)
        return trace.digest()

    all_of_them = [digest(2, 0, 5, 9), digest(2, 0, 5, 8), digest(2, 0, 5), digest(3, 0, 5, 9)]
    assert len({*all_of_them, digest(2, 1, 5, 9)}) == 5
    assert digest(2, 0, 5, 9) == all_of_them[0]


def test_the_self_test_expects_two_pio_cycles_more_where_a_segment_is_fetched() -> None:
    assert expected_cycles((1, 3, 2)) == [1500, 1250, 1250, 1500, 1250]


# --- levels -------------------------------------------------------------------------------------


@given(st.floats(-10, 10))
def test_the_adc_is_a_straight_line_between_its_rails(volts: float) -> None:
    count = counts(volts)
    if volts <= 0:
        assert count == 0
    elif volts >= REFERENCE_V:
        assert count == 4095
    else:
        # One count of 4096, and the float's rounding at its edges.
        assert -1e-9 <= volts / REFERENCE_V * 4096 - count <= 1 + 1e-9


@given(st.floats(-2e6, 2e6))
def test_a_pressure_is_a_voltage_on_a_line_within_the_rails(pressure_pa: float) -> None:
    sensor = PressureInput(zero_v=0.133, full_scale_v=3.133, full_scale_pa=700e3)
    volts = sensor.volts(pressure_pa)
    on_the_line = 0.133 + 3.0 * pressure_pa / 700e3
    assert volts == pytest.approx(min(3.3, max(0.0, on_the_line)), abs=1e-12)


@given(st.integers(-(10**7), 10**7), st.sampled_from([200, 3200, 6400]))
def test_the_encoder_shows_the_angle_of_any_position(steps: int, steps_per_rev: int) -> None:
    encoder = As5600(lambda: steps / steps_per_rev)
    encoder.start()
    assert encoder.write(0x0C)
    angle = encoder.read() << 8 | encoder.read()
    # One count, where the position falls between two of them.
    off = angle - steps % steps_per_rev * AS5600_COUNTS / steps_per_rev
    assert min(off % AS5600_COUNTS, -off % AS5600_COUNTS) < 1
    assert 0 <= angle < AS5600_COUNTS


def test_the_encoder_tells_of_its_magnet() -> None:
    encoder = As5600(lambda: 0.25)
    encoder.start()
    encoder.write(0x0B)
    assert encoder.read() & 0x20
    encoder.magnet = False
    encoder.start()
    encoder.write(0x0B)
    assert not encoder.read() & 0x20


# --- images -------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(
    st.dictionaries(
        st.integers(0, FLASH_BYTES // 256 - 1), st.binary(min_size=1, max_size=256), min_size=1
    )
)
def test_an_image_is_what_its_blocks_are(pages: dict[int, bytes]) -> None:
    path = Path("unused.uf2")
    content = b"".join(block(page * 256, data) for page, data in pages.items())

    class InMemory(type(path)):  # type: ignore[misc]
        def read_bytes(self) -> bytes:
            return content

    assert read_uf2(InMemory(path)) == [(page * 256, data) for page, data in pages.items()]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a UF2 image"),
        (b"x" * 512, "not a UF2 image"),
        (block(0, b"abc")[:-1], "cut short"),
        (block(0, b"abc")[:-1] + b"x", "damaged"),
        (block(0, b"abc", family=0xE48BFF59), "0xe48bff59, not for an RP2040"),
        (block(FLASH_BYTES, b"abc"), "outside the Pico's 2 MiB"),
        (block(FLASH_BYTES - 2, b"abc"), "outside the Pico's 2 MiB"),
        (block(-4, b"abc"), "outside the Pico's 2 MiB"),
        (block(0, b"abc", flags=1), "holds nothing"),
    ],
)
def test_a_bad_image_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "image.uf2"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=words) as refused:
        read_uf2(path)
    assert refused.value.where == str(path)
    assert refused.value.remedy


def test_an_image_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImageError, match="cannot read"):
        read_uf2(tmp_path / "none.uf2")
    monkeypatch.setenv("MICROPUMP_IMAGE", str(tmp_path / "none.uf2"))
    with pytest.raises(ImageError, match="make image"):
        find_image()
    (tmp_path / "none.uf2").touch()
    assert find_image() == tmp_path / "none.uf2"


# --- wiring -------------------------------------------------------------------------------------


def test_the_wiring_of_the_board_file() -> None:
    wiring = read_wiring(BOARD)
    gpio = wiring.gpio
    assert wiring.has("step", "dir", "enable", "step_count", "interlock", "pressure")
    assert not wiring.has("step", "tardis")
    # What protects: the motor off and the interlock open by resistors, the counter on the driver's
    # own terminal.
    assert wiring.pulls[gpio["enable"]] == 1 - wiring.active_level["enable"]
    assert wiring.pulls[gpio["interlock"]] == 1
    assert wiring.wires == ((gpio["step"], gpio["step_count"]),)
    assert wiring.adc_channel("pressure") == gpio["pressure"] - 26
    assert wiring.pressure is not None
    assert wiring.pressure.volts(0.0) > 0.06
    assert wiring.battery_ratio is not None
    assert 0.1 < wiring.battery_ratio < REFERENCE_V / 12


@pytest.mark.parametrize(
    "text",
    [
        "not TOML",
        "[pins]\nstep = 2\n",
        "[board]\n",
        '[pins.step]\ngpio = "two"\ndirection="input"\n',
    ],
)
def test_a_board_file_that_does_not_say_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "board.toml"
    path.write_text(text)
    with pytest.raises(WiringError) as refused:
        read_wiring(path)
    assert refused.value.where == str(path)


def test_an_analogue_part_on_a_digital_pin() -> None:
    with pytest.raises(WiringError, match="no ADC"):
        Wiring(gpio={"pressure": 25}).adc_channel("pressure")


# --- the choice of core -------------------------------------------------------------------------


def test_a_choice_that_there_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MICROPUMP_EMULATOR", "fast")
    with pytest.raises(EmulatorMissingError, match="'fast'"):
        backend.choose()


def test_times_stay_exact_for_a_hundred_days() -> None:
    clock = GridClock()
    days_100_ns = 100 * 24 * 3600 * 10**9
    clock.tick(float(days_100_ns))
    clock.tick(8.0)
    assert clock.now_ns == days_100_ns + 8
    assert math.ulp(clock.nanos) <= 1.0
