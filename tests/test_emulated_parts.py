"""Parts of the emulated Pico that need no firmware image: time, traces, levels, files, models."""

import math
import struct
from pathlib import Path
from typing import Any

import pytest
from adapters import adapter
from hypothesis import given, settings
from hypothesis import strategies as st

from micropump.drivers import TMC2209_FAULTS
from micropump_hil.emulated import backend, uart
from micropump_hil.emulated.adc import REFERENCE_V, counts
from micropump_hil.emulated.clock import CYCLE_NS, GridClock
from micropump_hil.emulated.errors import EmulatorMissingError, ImageError
from micropump_hil.emulated.i2c import AS5600_COUNTS, As5600
from micropump_hil.emulated.pico import RP2040
from micropump_hil.emulated.pins import Pins, PinTrace
from micropump_hil.emulated.selftest import expected_cycles
from micropump_hil.emulated.uart import Tmc2209
from micropump_hil.emulated.uf2 import FLASH_BYTES, find_image, read_uf2
from micropump_hil.emulated.wiring import PressureInput, Wiring, WiringError, read_wiring
from micropump_host.image import load_board
from micropump_host.image.boardmodule import board_constants

tmc2209 = adapter("tmc2209")

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
    encoder.magnet = "none"
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
    # The firmware takes it from the same terminals by a reading of its own.
    assert wiring.driver_address == 3 == board_constants(load_board(BOARD.parent))["DRIVER_ADDRESS"]
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


# --- the UART and the driver on it --------------------------------------------------------------


class Registers:
    """A chip that executes nothing: its UART's registers, its pins, and time."""

    UART0 = 0x40034000

    def __init__(self, chip: Tmc2209 | None = None) -> None:
        self.clock = GridClock()
        self.mcu = RP2040(self.clock)
        uart.install(self.mcu, self.clock)
        self.pins = Pins(self.mcu, self.clock)
        for pin in (0, 1):
            self.mcu.gpio[pin].ctrl = 2
        if chip is not None:
            chip.attach(self)  # type: ignore[arg-type]

    @property
    def now_ns(self) -> int:
        return self.clock.now_ns

    def set_up(self, divider_64ths: int, clock_source: int = 0) -> None:
        self.mcu.peripherals[0x40008].write_uint32(0x48, clock_source << 5 | 1 << 11)
        self.put(0x24, divider_64ths // 64)
        self.put(0x28, divider_64ths % 64)
        self.put(0x2C, 0x70)
        self.put(0x34, 0)
        self.put(0x30, 0x301)

    def put(self, offset: int, value: int) -> None:
        self.mcu.write_uint32(self.UART0 + offset, value)

    def get(self, offset: int) -> int:
        return int(self.mcu.read_uint32(self.UART0 + offset))

    # -- as MicroPython's machine.UART, for the firmware's own driver --

    def any(self) -> int:
        raise NotImplementedError

    def write(self, frame: bytes) -> None:
        for byte in frame:
            self.put(0, byte)

    def read(self, count: int) -> bytes | None:
        got = bytearray()
        until_ns = self.now_ns + 3_000_000
        while len(got) < count and self.now_ns < until_ns:
            if self.get(0x18) & 1 << 4:
                self.clock.tick(1000.0)
            else:
                got.append(self.get(0) & 0xFF)
        return bytes(got) or None


def divider_64ths(baud: int, clock_hz: int) -> int:
    return round(clock_hz * 64 / (16 * baud))


@settings(max_examples=40)
@given(
    st.binary(min_size=1, max_size=33),
    st.integers(64, 64 * 200),
    st.sampled_from([(0, 125_000_000), (2, 48_000_000), (4, 12_000_000)]),
)
def test_bytes_leave_in_order_each_in_its_ten_bits(
    data: bytes, divider: int, clock: tuple[int, int]
) -> None:
    chip = Registers()
    sent: list[tuple[int, int]] = []
    chip.mcu.uart[0].on_sent = lambda byte: sent.append((byte, chip.now_ns))
    source, clock_hz = clock
    chip.set_up(divider, source)
    chip.write(data)
    assert chip.get(0x18) & 1 << 3
    bit_ns = 16e9 * divider / 64 / clock_hz
    chip.clock.tick(10 * bit_ns * (len(data) + 1))
    # The first byte is on its way at once, so that 33 find room.
    assert bytes(byte for byte, _ in sent) == data
    for number, (_, at_ns) in enumerate(sent, 1):
        # Each is moved up to a system cycle, after the one before it.
        assert 0 <= at_ns - number * 10 * bit_ns < 8 * number + 1
    assert chip.get(0x18) & (1 << 7 | 1 << 3) == 1 << 7


def test_a_34th_byte_is_lost_and_a_full_fifo_says_so() -> None:
    chip = Registers()
    sent: list[int] = []
    chip.mcu.uart[0].on_sent = sent.append
    chip.set_up(divider_64ths(115_200, 125_000_000))
    chip.write(bytes(range(33)))
    assert chip.get(0x18) & 1 << 5
    chip.write(b"x")
    chip.clock.tick(5e6)
    assert bytes(sent) == bytes(range(33))


@given(st.integers(1, 32))
def test_the_receiver_interrupts_at_its_level_and_after_32_silent_bits(count: int) -> None:
    chip = Registers()
    chip.set_up(divider_64ths(115_200, 125_000_000))
    bit_ns = chip.mcu.uart[0].bit_ns
    chip.put(0x38, 1 << 4 | 1 << 6)
    for number in range(1, count + 1):
        chip.mcu.uart[0].receive(number)
        assert bool(chip.get(0x40) & 1 << 4) == (number >= 4)
    chip.clock.tick(31 * bit_ns)
    assert not chip.get(0x40) & 1 << 6
    chip.clock.tick(2 * bit_ns)
    assert chip.get(0x40) & 1 << 6
    assert [chip.get(0) for _ in range(count)] == list(range(1, count + 1))
    assert chip.get(0x40) == 0
    assert chip.get(0x18) & 1 << 4


def test_the_transmitter_interrupts_once_when_it_falls_to_its_level() -> None:
    chip = Registers()
    chip.set_up(divider_64ths(115_200, 125_000_000))
    chip.put(0x38, 1 << 5)
    chip.write(bytes(8))
    byte_ns = chip.mcu.uart[0].byte_ns
    # One is on its way and seven wait; four of them have to leave.
    chip.clock.tick(2.5 * byte_ns)
    assert not chip.get(0x40)
    chip.clock.tick(1 * byte_ns)
    assert chip.get(0x40) == 1 << 5
    # Acknowledged it stays away: the stock emulator raises it again and again.
    chip.put(0x44, 1 << 5)
    assert not chip.get(0x40)
    chip.clock.tick(9 * byte_ns)
    assert not chip.get(0x40)


def wired_driver(address: int = 3) -> tuple[Tmc2209, Registers, Any]:
    chip = Tmc2209(0, 1, address, enable=4, diag=6)
    pico = Registers(chip)
    pico.set_up(divider_64ths(115_200, 48_000_000), 2)
    pico.any = lambda: 0  # type: ignore[method-assign]
    return chip, pico, tmc2209.Tmc2209(pico, address)


@settings(max_examples=20)
@given(
    st.integers(0, 3),
    st.dictionaries(st.sampled_from(sorted(uart.REGISTERS_AT_RESET)), st.integers(0, 2**32 - 1)),
)
def test_the_firmware_and_the_model_understand_each_other(
    address: int, wanted: dict[int, int]
) -> None:
    chip, _, driver = wired_driver(address)
    assert driver.read(tmc2209.GSTAT) == uart.GSTAT_RESET
    driver.apply([(register, value, "") for register, value in wanted.items()])
    assert chip.registers == uart.REGISTERS_AT_RESET | wanted
    assert driver.read(tmc2209.GSTAT) == 0
    assert driver.read(tmc2209.IFCNT) == len(wanted) + 1
    for register, value in wanted.items():
        assert driver.read(register) == value


@pytest.mark.parametrize("trouble", ["silent", "address", "crc", "pins"])
def test_a_driver_that_cannot_be_heard(trouble: str) -> None:
    chip, pico, driver = wired_driver()
    if trouble == "silent":
        chip.silent = True
    elif trouble == "address":
        chip.address = 0
    elif trouble == "crc":
        chip.spoils_crc = 1
    else:
        pico.mcu.gpio[0].ctrl = 5
    with pytest.raises(tmc2209.DriverError):
        driver.read(tmc2209.IFCNT)


@pytest.mark.parametrize("bits", [*(1 << bit for bit, _ in TMC2209_FAULTS)])
def test_a_fault_is_on_diag_and_in_the_registers_until_its_cause_is_gone(bits: int) -> None:
    chip, pico, driver = wired_driver()
    driver.apply([])
    assert pico.pins.level(6) == 0
    pico.pins.set(4, 0)
    chip.fail(bits)
    assert pico.pins.level(6) == 1
    assert driver.read(tmc2209.DRV_STATUS) == bits
    driver.apply([])
    assert driver.read(tmc2209.GSTAT) == uart.GSTAT_SHUT_DOWN
    # A short is forgotten with EN off; heat is not.
    pico.pins.set(4, 1)
    is_hot = bits == uart.OVER_TEMPERATURE
    assert pico.pins.level(6) == is_hot
    chip.cool_down()
    assert pico.pins.level(6) == 0
    assert driver.read(tmc2209.DRV_STATUS) == 0
    assert driver.read(tmc2209.GSTAT) == uart.GSTAT_SHUT_DOWN
    driver.apply([])
    assert driver.read(tmc2209.GSTAT) == 0


def test_a_driver_without_supply_forgets() -> None:
    chip, pico, driver = wired_driver()
    driver.apply([(0x6C, 0x14000053, "")])
    chip.fail(uart.OVER_TEMPERATURE)
    chip.power_cut()
    assert pico.pins.level(6) == 0
    with pytest.raises(tmc2209.DriverError):
        driver.read(tmc2209.IFCNT)
    chip.power_on()
    assert driver.read(tmc2209.IFCNT) == 0
    assert driver.read(tmc2209.GSTAT) == uart.GSTAT_RESET
    assert chip.registers == uart.REGISTERS_AT_RESET
