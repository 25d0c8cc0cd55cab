"""The parts of the board's adapters that need no board: driver, buttons, analog arithmetic."""

import importlib.util
import sys
import types
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micropump import drivers

RP2 = Path(__file__).parent.parent / "firmware/rp2"


def load(name):
    spec = importlib.util.spec_from_file_location(f"adapter_{name}", RP2 / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tmc2209 = load("tmc2209")
buttons = load("buttons")


class Chip:
    """A TMC2209 on its one wire, echo included, as the datasheet describes it."""

    def __init__(self):
        self.registers = {tmc2209.IFCNT: 0, tmc2209.DRV_STATUS: 0}
        self.sent = bytearray()
        self.silent = self.deaf = self.no_echo = False
        self.flip_at = None

    def write(self, frame):
        if not self.no_echo:
            self.sent += frame
        sync, address, register = frame[:3]
        if sync != 0x05 or address != 0 or tmc2209.crc8(frame[:-1]) != frame[-1] or self.silent:
            return
        if register & 0x80:
            if not self.deaf:
                self.registers[register & 0x7F] = int.from_bytes(frame[3:7], "big")
                self.registers[tmc2209.IFCNT] = (self.registers[tmc2209.IFCNT] + 1) & 0xFF
            return
        answer = bytes((0x05, 0xFF, register)) + self.registers[register].to_bytes(4, "big")
        answer = bytearray(answer + bytes((tmc2209.crc8(answer),)))
        if self.flip_at is not None:
            answer[self.flip_at] ^= 1
        self.sent += answer

    def read(self, count):
        got, self.sent = bytes(self.sent[:count]), self.sent[count:]
        return got or None


def test_crc_of_known_frames():
    # Read requests of IOIN (0x06) and GCONF (0x00) as they are seen on the wire everywhere.
    assert tmc2209.crc8(bytes((0x05, 0x00, 0x06))) == 0x6F
    assert tmc2209.crc8(bytes((0x05, 0x00, 0x00))) == 0x48


def test_settings_arrive_and_are_counted():
    chip = Chip()
    chip.registers[tmc2209.IFCNT] = 253
    tmc2209.Tmc2209(chip).apply(drivers.TMC2209_SETTINGS)
    for register, value, _ in drivers.TMC2209_SETTINGS:
        assert chip.registers[register] == value
    assert chip.registers[tmc2209.IFCNT] == (253 + len(drivers.TMC2209_SETTINGS)) & 0xFF


@pytest.mark.parametrize("trouble", ["silent", "deaf", "no_echo"])
def test_a_driver_in_trouble_is_noticed(trouble):
    chip = Chip()
    setattr(chip, trouble, True)
    with pytest.raises(tmc2209.DriverError):
        tmc2209.Tmc2209(chip).apply(drivers.TMC2209_SETTINGS)


@pytest.mark.parametrize("at", range(8))
def test_a_damaged_answer_is_noticed(at):
    chip = Chip()
    chip.flip_at = at
    with pytest.raises(tmc2209.DriverError):
        tmc2209.Tmc2209(chip).read(tmc2209.DRV_STATUS)


@given(st.integers(0, 0xFF))
def test_status_bits_have_their_names(bits):
    chip = Chip()
    chip.registers[tmc2209.DRV_STATUS] = bits
    driver = tmc2209.Tmc2209(chip)
    rows = drivers.TMC2209_FAULTS + drivers.TMC2209_WARNINGS
    assert {bit for bit, _ in rows} == set(range(8))
    assert set(driver.status(rows)) == {name for bit, name in rows if bits >> bit & 1}


def test_the_step_pulse_is_long_enough_for_every_driver():
    # The generator's pulse is two ticks of 1 µs, and STEP_TICKS of them are the least interval.
    high_ns, low_ns = 2_000, 14_000
    columns = drivers.DRIVER_COLUMNS
    for row in drivers.DRIVERS:
        driver = dict(zip(columns, row, strict=True))
        assert driver["high_ns"] <= high_ns
        assert driver["low_ns"] <= low_ns


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 20)), max_size=200))
def test_a_button_is_believed_when_it_has_settled_and_each_press_once(looks):
    level = False
    button = buttons.Button(lambda: level)
    events, steady_ms, last = [], 0, False
    for level, after_ms in looks:
        steady_ms = steady_ms + after_ms if level == last else 0
        last = level
        event = button.look(after_ms)
        if event != buttons.NOTHING:
            events.append(event)
            assert steady_ms >= buttons.SETTLE_MS
        if steady_ms >= buttons.SETTLE_MS:
            assert button.down == level
    # Presses and releases alternate, a press first.
    expected = [buttons.PRESSED, buttons.RELEASED] * len(events)
    assert events == expected[: len(events)]


def test_a_key_that_is_held_for_a_minute_is_stuck_once():
    button = buttons.Button(lambda: True)
    events = [event for _ in range(20_000) if (event := button.look(10))]
    assert events == [buttons.PRESSED, buttons.STUCK]


def test_analog_arithmetic(monkeypatch):
    monkeypatch.setitem(sys.modules, "machine", types.SimpleNamespace(ADC=None))
    analog = load("analog")
    scale = (133, 3133, 700_000)
    assert analog.pressure_pa(133, *scale) == 0
    assert analog.pressure_pa(3133, *scale) == 700_000
    assert analog.pressure_pa(633, *scale) == pytest.approx(116_667, abs=100)
    # 12 V behind 100k and 27k is 2551 mV.
    assert analog.divided_mv(2551, 100_000, 27_000) == pytest.approx(12_000, abs=5)
    # Nothing on the way leaves the board's small integers.
    assert (3300 - 133) * 7_000 < 2**30
