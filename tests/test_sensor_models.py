"""The models of sensors on the emulated Pico, without a Pico: what they measure, how they break."""

import types
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micropump_hil.benches.emulated import sensor_rows
from micropump_hil.emulated.adc import REFERENCE_V, counts
from micropump_hil.emulated.clock import CYCLE_NS, GridClock
from micropump_hil.emulated.hx711 import Hx711
from micropump_hil.emulated.i2c import Abp2, As5600
from micropump_hil.emulated.sensors import AnalogSensor, Sensor, SensorsOnPins
from micropump_hil.sensors import Noise, SensorError

PRESSURE = next(row for row in sensor_rows() if row[0] == 0)


class Pins:
    """Wires without a chip; those that nobody drives are pulled up."""

    def __init__(self) -> None:
        self.levels: dict[int, int] = {}
        self.listeners: dict[int, Any] = {}

    def set(self, pin: int, level: int | bool) -> None:
        self.levels[pin] = int(level)

    def release(self, pin: int) -> None:
        self.levels.pop(pin, None)

    def level(self, pin: int) -> int:
        return self.levels.get(pin, 1)

    def on_change(self, pin: int, callback: Any) -> None:
        self.listeners[pin] = callback


class Pico:
    """What the models ask of a Pico."""

    def __init__(self) -> None:
        self.clock = GridClock()
        self.pins = Pins()
        self.sources: dict[int, Any] = {}
        self.adc = types.SimpleNamespace(connect=self.sources.__setitem__)

    @property
    def now_ns(self) -> int:
        return self.clock.now_ns

    def call_at_ns(self, at_ns: int, callback: Any) -> None:
        self.clock.create_alarm(callback).schedule(at_ns - self.now_ns)

    def run_ns(self, duration_ns: int) -> None:
        # In steps, as a program takes them: an alarm may set another.
        for _ in range(0, duration_ns, 5_000_000):
            self.clock.tick(min(duration_ns, 5_000_000))

    def clock_pulse(self, pin: int, high_ns: int, low_ns: int) -> int:
        self.pins.listeners[pin](1, self.now_ns // CYCLE_NS)
        self.clock.tick(high_ns)
        level = self.pins.level(10)
        self.pins.listeners[pin](0, self.now_ns // CYCLE_NS)
        self.clock.tick(low_ns)
        return level


def on_a_pico(part: Any) -> Pico:
    pico = Pico()
    part.attach(pico)
    return pico


# --- the bridge amplifier -----------------------------------------------------------------------


def ready(chip: Hx711) -> Pico:
    pico = on_a_pico(chip)
    pico.run_ns(400_000_000)
    assert pico.pins.level(10) == 0
    return pico


@given(st.integers(-(1 << 23), (1 << 23) - 1))
def test_a_conversion_comes_out_bit_by_bit_and_data_goes_high(raw: int) -> None:
    chip = Hx711(10, 11, lambda _: raw)
    pico = ready(chip)
    bits = [pico.clock_pulse(11, 400, 400) for _ in range(25)]
    value = int("".join(map(str, bits[:24])), 2)
    assert value == raw & 0xFFFFFF
    assert bits[24] == pico.pins.level(10) == 1
    assert (chip.frames, chip.wrong_pulses) == (1, 0)


@pytest.mark.parametrize(("high_ns", "low_ns", "wrong"), [(192, 400, 25), (400, 192, 24)])
def test_a_hurried_clock_is_noticed(high_ns: int, low_ns: int, wrong: int) -> None:
    chip = Hx711(10, 11, lambda _: 0)
    pico = ready(chip)
    for _ in range(25):
        pico.clock_pulse(11, high_ns, low_ns)
    assert chip.wrong_pulses == wrong


def test_a_clock_that_is_high_for_60_us_switches_it_off_and_on() -> None:
    chip = Hx711(10, 11, lambda _: 5)
    pico = ready(chip)
    pico.clock_pulse(11, 400, 400)
    pico.clock_pulse(11, 60_000, 400)
    assert chip.restarts == 1
    assert pico.pins.level(10) == 1
    pico.run_ns(390_000_000)
    assert pico.pins.level(10) == 1
    pico.run_ns(10_000_000)
    assert pico.pins.level(10) == 0
    pico.clock_pulse(11, 55_000, 400)
    assert (chip.restarts, chip.wrong_pulses) == (1, 1)


def test_a_silent_chip_says_nothing_until_it_is_mended() -> None:
    chip = Hx711(10, 11, lambda _: 0)
    pico = ready(chip)
    chip.silent = True
    pico.run_ns(1_000_000_000)
    assert pico.pins.level(10) == 1
    chip.silent = False
    pico.run_ns(110_000_000)
    assert pico.pins.level(10) == 0


# --- on I2C -------------------------------------------------------------------------------------


@given(st.integers(0, 0xFFFF), st.integers(0, 8_000_000))
def test_an_abp2_is_busy_for_5_ms_and_then_gives_what_it_measured(raw: int, after_ns: int) -> None:
    now_ns = 1_000
    chip = Abp2(lambda _: raw, lambda: now_ns)
    chip.start()
    for byte in (0xAA, 0, 0):
        assert chip.write(byte)
    now_ns += after_ns
    status, *pressure = (chip.read() for _ in range(4))
    assert status == (0x60 if after_ns < 5_000_000 else 0x40)
    assert int.from_bytes(bytes(pressure), "big") == raw << 8


def test_an_encoder_that_is_stuck_moves_again_when_it_is_mended() -> None:
    turned = 0.25
    encoder = As5600(lambda: turned)
    encoder.stuck = True
    turned = 0.5
    assert encoder.angle_counts == 1024
    encoder.stuck = False
    assert encoder.angle_counts == 2048


# --- by the board's rows ------------------------------------------------------------------------


def volts(sensor: Sensor, times: int = 1) -> list[float]:
    pico = on_a_pico(sensor)
    (source,) = pico.sources.values()
    # A tenth of a second apart, as an adapter reads it.
    return [source(at * 100_000_000) for at in range(times)]


@given(st.integers(0, 100_000))
def test_an_analog_sensor_gives_the_counts_that_the_board_says(pressure_pa: int) -> None:
    sensor = AnalogSensor(PRESSURE)
    sensor.set(pressure_pa)
    _, zero_raw, num, den = PRESSURE[:4]
    for volt in volts(sensor, 10):
        # Noise of four counts of the converter, and one of its own.
        raw = counts(volt) * 16
        assert abs((raw - zero_raw) * num / den - pressure_pa) <= 5 * 16 * num / den


def test_an_analog_sensor_breaks_in_its_ways() -> None:
    sensor = AnalogSensor(PRESSURE)
    whole = volts(sensor, 50)
    assert len(set(whole)) > 10
    sensor.break_it("open")
    assert volts(sensor) == [0.0]
    sensor.break_it("shorted")
    assert volts(sensor) == [REFERENCE_V]
    sensor.break_it("stuck")
    assert len(set(volts(sensor, 50))) == 1
    sensor.break_it("noisy")
    noisy = volts(sensor, 50)
    assert max(noisy) - min(noisy) > 10 * (max(whole) - min(whole))
    sensor.break_it("drifting")
    assert min(volts(sensor, 50)) > max(whole)
    sensor.mend()
    assert max(volts(sensor, 50)) < min(noisy) + 1


def test_what_cannot_be_is_refused_by_name() -> None:
    sensors = SensorsOnPins(sensor_rows(), lambda: 0.0)
    with pytest.raises(SensorError, match="upstream"):
        sensors["upstream"]
    with pytest.raises(SensorError, match="air cannot be 'noisy'"):
        sensors["air"].break_it("noisy")
    with pytest.raises(SensorError, match="sonar"):
        SensorsOnPins([(*PRESSURE[:10], "sonar", *PRESSURE[11:])], lambda: 0.0)


def test_every_fault_of_every_sensor_can_be_set_and_mended() -> None:
    sensors = SensorsOnPins(sensor_rows(), lambda: 0.0)
    for sensor in sensors.by_name.values():
        on_a_pico(sensor)
        for fault in sensor.faults:
            sensor.break_it(fault)
            assert sensor.fault == fault
        sensor.mend()
        assert sensor.fault == ""


@pytest.mark.parametrize("name", ["air", "door", "end_stop"])
def test_a_digital_sensor_without_its_wire_is_left_to_the_pull(name: str) -> None:
    sensor = SensorsOnPins(sensor_rows(), lambda: 0.0)[name]
    pins = on_a_pico(sensor).pins
    gpio = sensor.row[11]
    assert pins.level(gpio) == 0
    sensor.set(1)
    assert pins.level(gpio) == 1
    sensor.set(0)
    sensor.break_it("stuck")
    sensor.set(1)
    assert pins.level(gpio) == 0
    sensor.break_it("unplugged")
    assert gpio not in pins.levels
    sensor.mend()
    assert pins.level(gpio) == 1


@given(st.integers(0, 11))
def test_noise_is_even_and_the_same_each_time(seed: int) -> None:
    noise, again = Noise(seed), Noise(seed)
    drawn = [noise() for _ in range(400)]
    assert drawn == [again() for _ in range(400)]
    assert all(-1 <= number <= 1 for number in drawn)
    # Of 400 even numbers the mean's standard deviation is 0.029.
    assert abs(sum(drawn)) / 400 < 0.15
