"""The sensors' adapters of the board on this computer, with chips made up of their datasheets."""

import itertools
import sys
import types

import pytest
from adapters import adapter
from hypothesis import given
from hypothesis import strategies as st

from micropump.sensing import ENCODER, FORCE, PRESSURE, SENSORS, Readings
from micropump.units import CLOCK_MASK

ADAPTERS = ("registers", "analog", "digital", "hx711", "i2c", "as5600", "abp2", "sensors")
WAITING, TAKEN, REFUSED = range(3)
READ, STOP, RESTART = 1 << 8, 1 << 9, 1 << 10


class Pin:
    """A pin that is what it is told."""

    IN, OUT, PULL_UP, PULL_DOWN = range(4)

    def __init__(self, gpio, *_args, value=0):
        self.gpio = gpio
        self.level = value

    def init(self, *_args):
        pass

    def value(self, level=None):
        if level is None:
            return self.level
        self.level = level
        return None


@pytest.fixture(scope="module")
def board():
    """The adapters' modules, on a machine and on registers that are made up."""
    machine = types.SimpleNamespace(
        Pin=Pin, ADC=lambda source: source, I2C=lambda number, **_: number,
        disable_irq=lambda: 1, enable_irq=lambda state: None,
    )  # fmt: skip
    registers = types.SimpleNamespace(
        SIO=0, ADC=0, I2C=(0, 1), READ=READ, STOP=STOP, RESTART=RESTART,
        WAITING=WAITING, TAKEN=TAKEN, REFUSED=REFUSED,
        shift_in=None, adc_sum=None, i2c_send=None, i2c_take=None,
        pull_down=lambda *_: None,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        adapter("buttons")
        for name in ADAPTERS:
            patch.delitem(sys.modules, f"micropump_rp2.{name}", raising=False)
        patch.setitem(sys.modules, "machine", machine)
        patch.setitem(sys.modules, "micropump_rp2.registers", registers)
        patch.setattr("time.sleep_us", lambda _: None, raising=False)
        modules = {name: adapter(name) for name in ADAPTERS[1:]}
        yield types.SimpleNamespace(registers=registers, **modules)
        for name in ADAPTERS:
            sys.modules.pop(f"micropump_rp2.{name}", None)


# --- the ADC ------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 4095), min_size=8, max_size=8))
def test_a_mean_of_eight_is_what_read_u16_would_be_in_the_mean(board, counts):
    board.registers.adc_sum = lambda *_: sum(counts)
    readings = Readings()
    board.analog.AnalogInput(readings, PRESSURE, 0, 0).look(0)
    mean = sum(count << 4 | count >> 8 for count in counts) / 8
    # Rounded down once, where read_u16 does so eight times.
    assert abs(readings.raw[PRESSURE] - mean) <= 1
    assert readings.samples[PRESSURE] == 1


# --- the bridge amplifier -----------------------------------------------------------------------


class Bridge:
    """An HX711, as often as it is asked."""

    def __init__(self, board, now_ms=0):
        self.readings = Readings()
        self.data = Pin(10, value=1)
        self.bits = 0
        self.takes_up = True
        self.frames = 0
        board.registers.shift_in = board.hx711.shift_in = self.shift_in
        self.hx711 = board.hx711.Hx711(self.readings, FORCE, self.data, 10, Pin(11), 11, now_ms)

    def shift_in(self, _sio, data, clock, pulses):
        assert (data, clock, pulses) == (1 << 10, 1 << 11, 25)
        self.frames += 1
        self.data.level = int(self.takes_up)
        return self.bits << 1 | int(self.takes_up)


@given(st.integers(-(1 << 23), (1 << 23) - 1))
def test_a_conversion_is_the_number_that_its_bits_are(board, raw):
    bridge = Bridge(board)
    bridge.bits = raw & 0xFFFFFF
    bridge.data.level = 0
    bridge.hx711.look(0)
    assert (bridge.readings.raw[FORCE], bridge.readings.failed) == (raw, 0)
    bridge.hx711.look(10)
    assert bridge.readings.samples[FORCE] == bridge.frames == 1


@given(st.integers(0, (1 << 30) - 1))
def test_a_silent_chip_fails_every_half_second_and_not_before(board, start_ms):
    bridge = Bridge(board, start_ms)
    failed_at = []
    for passed_ms in range(0, 2_000, 10):
        before = bridge.readings.samples[FORCE]
        bridge.hx711.look((start_ms + passed_ms) % (1 << 30))
        if bridge.readings.samples[FORCE] != before:
            failed_at.append(passed_ms)
    assert failed_at == [500, 1000, 1500]
    assert bridge.readings.failed == 1 << FORCE
    assert bridge.frames == 0


def test_a_data_line_that_stays_low_is_no_conversion(board):
    bridge = Bridge(board)
    bridge.takes_up = False
    bridge.data.level = 0
    bridge.hx711.look(0)
    assert bridge.readings.failed == 1 << FORCE
    assert bridge.readings.raw[FORCE] == 0


# --- the bus ------------------------------------------------------------------------------------


class Bus:
    """A block of I2C whose transactions come to what the test says."""

    def __init__(self, board, devices, looks_apart=1):
        self.answers = {}
        self.outcome = TAKEN
        self.sent = []
        board.registers.i2c_send = self.send
        board.registers.i2c_take = self.take
        self.i2c = board.i2c.I2cBus(0, 8, 9, devices, looks_apart)

    def send(self, _block, address, words, count):
        assert count == len(words) <= 16
        assert words[-1] & STOP
        assert not any(word & STOP for word in words[:-1])
        self.sent.append((address, list(words)))

    def take(self, _block, into, count):
        answer = self.answers.get(self.sent[-1][0], bytes(count))
        assert count == sum(bool(word & READ) for word in self.sent[-1][1])
        into[:count] = answer[:count]
        return self.outcome

    def look(self, times=1, now_ms=0):
        for _ in range(times):
            self.i2c.look(now_ms)


@given(st.integers(0, 4095), st.integers(0, 0xFF))
def test_an_angle_counts_where_the_magnet_is_well(board, angle, status):
    readings = Readings()
    bus = Bus(board, [board.as5600.As5600(readings, ENCODER)])
    bus.answers[0x36] = bytes((status, angle >> 8, angle & 0xFF))
    bus.look(2)
    # MD set, ML and MH not; the other bits are reserved.
    is_well = status & 0x20 and not status & 0x18
    assert readings.samples[ENCODER] == 1
    assert readings.failed == (0 if is_well else 1 << ENCODER)
    assert readings.raw[ENCODER] == (angle if is_well else 0)


@given(
    st.lists(st.tuples(st.integers(0, CLOCK_MASK), st.booleans()), min_size=2, max_size=60),
    st.integers(1, 7),
)
def test_an_angle_is_of_when_it_was_asked_for(board, looks, looks_apart):
    readings = Readings()
    bus = Bus(board, [board.as5600.As5600(readings, ENCODER)], looks_apart)
    bus.answers[0x36] = b"\x20\x01\x02"
    # The last that was answered: one that was lost changes nothing.
    asked_ms = heard_of_ms = -1
    for at, (now_ms, answers) in enumerate(looks):
        bus.outcome = TAKEN if answers else REFUSED
        bus.look(now_ms=now_ms)
        if asked_ms >= 0 and answers:
            heard_of_ms = asked_ms
        asked_ms = now_ms if at % looks_apart == 0 else -1
        assert readings.asked_ms[ENCODER] == heard_of_ms


@pytest.mark.parametrize("outcome", [REFUSED, WAITING])
def test_a_bus_without_an_answer_fails_each_time_and_recovers(board, outcome):
    readings = Readings()
    bus = Bus(board, [board.as5600.As5600(readings, ENCODER)])
    bus.answers[0x36] = b"\x20\x01\x02"
    bus.outcome = outcome
    bus.look(11)
    assert readings.samples[ENCODER] == 10
    assert readings.failed == 1 << ENCODER
    bus.outcome = TAKEN
    bus.look()
    assert (readings.failed, readings.raw[ENCODER]) == (0, 0x102)


@given(st.integers(1, 20), st.integers(1, 3))
def test_devices_are_asked_in_turn_and_at_their_pace(board, looks_apart, count):
    readings = Readings()
    devices = [board.as5600.As5600(readings, sensor) for sensor in range(count)]
    for address, device in enumerate(devices):
        device.address = address
    bus = Bus(board, devices, looks_apart)
    bus.look(60)
    asked = [address for address, _ in bus.sent]
    assert asked == [at % count for at in range(-(-60 // looks_apart))]


@given(st.integers(0, 0xFFFFFF), st.integers(0, 3))
def test_an_abp2_is_asked_to_measure_and_read_until_it_has(board, counts, busy_times):
    readings = Readings()
    bus = Bus(board, [board.abp2.Abp2(readings, PRESSURE)])
    bus.look()
    assert bus.sent == [(0x28, [0xAA, 0x00, STOP])]
    bus.answers[0x28] = b"\x60\xff\xff\xff"
    bus.look(1 + busy_times)
    assert readings.samples[PRESSURE] == 0
    bus.answers[0x28] = b"\x40" + counts.to_bytes(3, "big")
    bus.look()
    assert (readings.raw[PRESSURE], readings.samples[PRESSURE]) == (counts >> 8, 1)
    assert bus.sent[-1][1][0] == 0xAA
    assert len(bus.sent) == 3 + busy_times


@pytest.mark.parametrize("status", [0x00, 0x44, 0x41])
def test_an_abp2_that_is_not_well_fails(board, status):
    readings = Readings()
    bus = Bus(board, [board.abp2.Abp2(readings, PRESSURE)])
    bus.answers[0x28] = bytes((status, 1, 2, 3))
    bus.look(3)
    assert readings.failed == 1 << PRESSURE


# --- all of them --------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(1, 5_000), st.integers(1, 12)), min_size=1, max_size=SENSORS))
def test_each_adapter_comes_at_even_distances_and_often_enough(board, wanted):
    timed = [(number, every_ms, work) for number, (every_ms, work) in enumerate(wanted)]
    slots = board.sensors.slots_of(timed)
    assert len(slots) <= 64
    for number, every_ms, _ in timed:
        at = [slot for slot, adapters in enumerate(slots) if number in adapters]
        periods = {after - before for before, after in itertools.pairwise(at)}
        period = len(slots) // len(at)
        assert periods <= {period}
        assert at[0] < period
        assert 10 * period <= max(10, every_ms)
        # And no more than twice as often as it has to.
        assert period == 64 or 20 * period > every_ms


def test_no_slot_has_all_the_work(board):
    slots = board.sensors.slots_of([(number, 80, 8) for number in range(8)])
    assert [len(slot) for slot in slots] == [1] * 8


def test_digital_levels_are_turned_round_where_low_is_active(board):
    for active_level in (0, 1):
        readings = Readings()
        pin = Pin(20)
        door = board.digital.DigitalInput(readings, 10, pin.value, active_level)
        for level in (0, 1, 0):
            pin.level = level
            door.look(0)
            assert readings.raw[10] == int(level == active_level)


ROW = (0, 0, 1, 1, 0, 65535, 500, 0, 0, 0)


def test_a_board_of_every_kind_and_turns_that_come_too_soon(board):
    rows = (
        (*ROW, "analog", 26, 0, 1, 100),
        (1, *ROW[1:], "hx711", 10, 11, 1, 100),
        (6, *ROW[1:], "as5600", 8, 9, 1, 50),
        (9, *ROW[1:], "analog", -1, 4, 1, 1000),
        (10, *ROW[1:], "digital", 19, "up", 0, 20),
    )
    Bus(board, [board.as5600.As5600(Readings(), ENCODER)])
    board.registers.adc_sum = lambda *_: 8
    Bridge(board)
    readings = Readings()
    sensors = board.sensors.Sensors(rows, readings, 0)
    for now_ms in range(0, 640, 10):
        sensors.look(now_ms)
        sensors.look(now_ms + 5)
    assert readings.samples[0] == 8
    assert readings.samples[9] == 1
    assert readings.samples[10] == 32
    assert readings.raw[10] == 1
    # Asked in every fifth look from the first on, heard in the next: 13 times in 64.
    assert readings.samples[6] == 13
    with pytest.raises(ValueError, match="sonar"):
        board.sensors.Sensors(((*ROW, "sonar", 1, 2, 1, 100),), readings, 0)


@given(st.lists(st.integers(0, 65_535) | st.none(), max_size=20))
def test_the_air_sensor_is_tested_once_it_has_read_air_itself(samples):
    # 1000 per mille at 50,000; what is outside 2,000 to 60,000 is no reading.
    row = (3, 10_000, 1, 40, 2_000, 60_000, 500, 0, 0, 0)
    air_test = adapter("air_test")
    readings = Readings()
    test = air_test.AirTest((row,), readings)
    done = False
    for raw in samples:
        if raw is None:
            readings.fail(3)
        else:
            readings.put(3, raw)
            done = done or 30_000 <= raw <= 60_000
        test.look()
        assert test.is_done == done
    assert air_test.AirTest((), readings).is_done
