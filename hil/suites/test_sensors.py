"""The board's sensors: true counts in their time, and none that holds the loop up by being broken.

The adapters of the image are run from the interpreter's prompt, on the sensors of the bench.
"""

import ast
import itertools
import random

import pytest

from micropump.mechanism import KIND_SYRINGE, build
from micropump.sensing import SENSOR_NAMES, scaled
from micropump_hil.benches.emulated import sensor_rows
from micropump_hil.verbs import infuse, wait_until

pytestmark = pytest.mark.needs("sensors", "reset")

# Measured with the sensors of boards/pico, 15 µs of it for reading the clock: 452 µs, 541 µs with a
# hung bus; in the pump's loop, where interrupts come between, 511 to 543 µs and 585 to 625 µs.
LOOK_US = 700
ROWS = {SENSOR_NAMES[row[0]]: row for row in sensor_rows()}
EVERY_MS = 14
KIND = 10

START = """
import machine, micropython, time
import micropump_board
# The one that the pump has started runs on.
watchdog = machine.WDT(timeout=8000)
from micropump_rp2.sensors import Sensors
from micropump.sensing import Readings
readings = Readings()
sensors = Sensors(micropump_board.SENSORS, readings, time.ticks_ms())
took_us = [0] * {looks}
def look():
    for at in range({looks}):
        now_ms = time.ticks_ms()
        # Nothing can be allocated while it looks.
        micropython.heap_lock()
        try:
            begun_us = time.ticks_us()
            sensors.look(now_ms)
            took_us[at] = time.ticks_us() - begun_us
        finally:
            micropython.heap_unlock()
        watchdog.feed()
        time.sleep_ms(10)
"""
LOOK = """
readings.samples = [0] * 12
look()
print((readings.raw, readings.samples, readings.failed, max(took_us)))
"""
LOOKS = 100
SHORTEST_S = LOOKS / 100


class Prompt:
    """The adapters at the interpreter's prompt."""

    def __init__(self, bench):
        self.bench = bench
        bench.pico.boot(maintenance=True)
        bench.pico.exec(START.format(looks=LOOKS))

    def look(self):
        """A second of looks; gives raw counts, samples, names of what failed, the longest look."""
        said = self.bench.pico.exec(LOOK, 20_000)
        raw, samples, failed, longest_us = ast.literal_eval(said.strip())
        names = {name for at, name in enumerate(SENSOR_NAMES) if failed >> at & 1}
        return (
            dict(zip(SENSOR_NAMES, raw, strict=True)),
            dict(zip(SENSOR_NAMES, samples, strict=True)),
            names,
            longest_us,
        )


@pytest.fixture
def prompt(bench):
    return Prompt(bench)


def value(name, raw):
    _, zero, num, den = ROWS[name][:4]
    return scaled(raw - zero, num, den)


# (sensor, what it measures, how far off the value may be). A step of the converter is 16 raw
# counts, the model's noise four steps and more, 1/2 of which is left in a mean of eight.
VALUES = [
    ("pressure", 90_000, 600),
    ("pressure", -20_000, 600),
    ("force", 35_000, 10),
    ("force", -5_000, 10),
    ("barrel", 29_000, 60),
    ("battery", 9_600, 30),
    ("temperature", 400, 30),
]


def test_true_values_arrive_and_the_look_is_short(prompt, record_property):
    wanted = {}
    for name, told, off in VALUES:
        if name in wanted:
            check(prompt, wanted, record_property)
        prompt.bench.set_sensor(name, told)
        wanted[name] = (told, off)
    check(prompt, wanted, record_property)


def check(prompt, wanted, record_property):
    raw, samples, failed, longest_us = prompt.look()
    raw, samples, failed, longest_us = prompt.look()
    assert failed == set()
    record_property("longest_look_us", longest_us)
    assert longest_us < LOOK_US
    for name, (told, off) in wanted.items():
        assert abs(value(name, raw[name]) - told) <= off, name
        assert samples[name] > 0


@pytest.mark.parametrize("name", ["air", "door", "end_stop"])
def test_a_digital_sensor_says_what_it_is_told_and_alarm_where_its_wire_is_off(prompt, name):
    for told in (0, 1, 0):
        prompt.bench.set_sensor(name, told)
        assert prompt.look()[0][name] == told
    prompt.bench.break_sensor(name, "unplugged")
    assert prompt.look()[0][name] == 1
    prompt.bench.mend_sensor(name)
    assert prompt.look()[0][name] == 0


def test_the_encoder_follows_the_shaft(prompt):
    for turned in (0, 1, 1023, 4095, 4096, 10_000, -1):
        prompt.bench.set_sensor("encoder", turned)
        assert prompt.look()[0]["encoder"] == turned % 4096


def test_each_sensor_comes_as_often_as_the_board_says(prompt, record_property):
    prompt.look()
    _, samples, _, _ = prompt.look()
    for name, row in ROWS.items():
        # The amplifier has ten conversions a second, whoever asks.
        every_ms = 105 if row[KIND] == "hx711" else row[EVERY_MS]
        record_property(f"{name}_samples_per_s", samples[name])
        # The round is 640 ms at the longest, and a pace is a power of two of turns.
        assert samples[name] >= int(SHORTEST_S * 1000 / every_ms), name
        assert samples[name] <= 2 * SHORTEST_S * 1000 / min(every_ms, 640) + 1, name


BROKEN = [
    ("encoder", "none", "failed"),
    ("encoder", "weak", "failed"),
    ("encoder", "strong", "failed"),
    ("encoder", "unplugged", "failed"),
    ("force", "unplugged", "failed"),
    ("force", "open", "least"),
    ("force", "shorted", "greatest"),
    ("pressure", "open", "least"),
    ("pressure", "shorted", "greatest"),
    ("barrel", "unplugged", "least"),
    ("battery", "open", "least"),
]


def test_what_breaks_is_seen_in_the_counts_and_what_is_mended_is_well(prompt):
    prompt.look()
    for name, fault, seen in BROKEN:
        prompt.bench.break_sensor(name, fault)
        for _ in range(2):
            raw, samples, failed, longest_us = prompt.look()
        _, _, _, _, least, greatest = ROWS[name][:6]
        what = (name, fault)
        assert longest_us < LOOK_US, what
        assert failed == ({name} if seen == "failed" else set()), what
        assert (raw[name] < least) == (seen == "least"), what
        assert (raw[name] > greatest) == (seen == "greatest"), what
        assert samples[name] >= 1, what
        prompt.bench.mend_sensor(name)
        for _ in range(2):
            raw, _, failed, _ = prompt.look()
        assert failed == set(), what
        assert least <= raw[name] <= greatest, what


def test_a_hung_bus_costs_no_time_and_comes_back(prompt, record_property):
    prompt.look()
    _, before, _, whole_us = prompt.look()
    (bus,) = prompt.bench.sensors.buses.values()
    bus.hangs = True
    prompt.look()
    _, samples, failed, hung_us = prompt.look()
    record_property("longest_look_us", whole_us)
    record_property("longest_look_of_a_hung_bus_us", hung_us)
    assert failed == {"encoder"}
    # Each try that failed is one, and all other sensors come as they did.
    for name in set(ROWS) - {"force"}:
        assert abs(samples[name] - before[name]) <= 1, name
    assert hung_us < LOOK_US
    bus.hangs = False
    prompt.look()
    assert prompt.look()[2] == set()


def test_the_amplifier_is_clocked_as_it_asks_edge_by_edge(prompt, record_property):
    bench = prompt.bench
    chip = bench.sensors["force"].chip
    clock = bench.pico.pins.watch(bench.pins["hx711_clock"])
    data = bench.pico.pins.watch(bench.pins["hx711_data"])
    bench.set_sensor("force", -12_345)
    prompt.look()
    clock.clear()
    data.clear()
    frames = chip.frames
    raw = prompt.look()[0]
    frames = chip.frames - frames
    assert frames >= 9
    assert chip.wrong_pulses == 0
    rises, falls = clock.rising_ns, clock.falling_ns
    assert len(rises) == len(falls) == 25 * frames
    high_ns = [fall - rise for rise, fall in zip(rises, falls, strict=True)]
    low_ns = [rise - fall for at, (fall, rise) in enumerate(zip(falls, rises[1:], strict=False))
              if (at + 1) % 25]  # fmt: skip
    spans_ns = [falls[at + 24] - rises[at] for at in range(0, len(rises), 25)]
    record_property("high_ns", (min(high_ns), max(high_ns)))
    record_property("low_ns", (min(low_ns), max(low_ns)))
    record_property("frame_us", max(spans_ns) / 1000)
    # The chip asks for 200 ns at least, and 50 µs at most while high.
    assert min(high_ns) >= 200
    assert min(low_ns) >= 200
    assert max(high_ns) < 1_000
    assert max(spans_ns) < 50_000
    # The bits that were on the wire, looked at in the middle of each pulse, are what has arrived.
    edges = data.edges
    last = [(rise + fall) // 2 for rise, fall in zip(rises[-25:], falls[-25:], strict=True)]
    levels = [_level(edges, data.first_level, at) for at in last]
    bits = sum(level << 23 - at for at, level in enumerate(levels[:24]))
    assert raw["force"] == (bits - (1 << 24) if levels[0] else bits)
    assert levels[24] == 1


def _level(edges, first_level, at_ns):
    seen = first_level
    for edge in itertools.takewhile(lambda edge: edge.at_ns <= at_ns, edges):
        seen = edge.level
    return seen


# Counts the longest look and the longest turn beside the pump's own loop, into the watchdog's
# scratch registers, where the test reads them.
BESIDE = """
import machine, time
from micropump_rp2 import pump
from micropump_rp2.sensors import Sensors
_SCRATCH = 0x4005800C
machine.mem32[_SCRATCH + 4] = machine.mem32[_SCRATCH + 8] = 0
def _longest(method, address):
    def timed(self, *rest):
        begun_us = time.ticks_us()
        try:
            return method(self, *rest)
        finally:
            took_us = time.ticks_us() - begun_us
            if took_us > machine.mem32[address]:
                machine.mem32[address] = took_us
    return timed
Sensors.look = _longest(Sensors.look, _SCRATCH + 4)
pump.Pump.turn = _longest(pump.Pump.turn, _SCRATCH + 8)
"""
SCRATCH = 0x4005800C


@pytest.mark.needs("injection", "step_edges")
def test_an_infusion_goes_on_step_by_step_beside_a_hung_bus(bench, record_property):
    bench.inject(BESIDE)
    edges = []
    for hangs in (False, True):
        bench.sensors.buses[0].hangs = hangs
        infuse(bench, "bd-plastipak-3", rate_ul_h=400_000, vtbi_ul=200)
        wait_until(bench, "completed", "alarm", within_s=20)
        edges.append(bench.runs()[-1].edges_ns)
        bench.pump.stop() if bench.status().state == "infusing" else None
        look_us, turn_us = (bench.pico.read_word(SCRATCH + at) for at in (4, 8))
        word = "hung" if hangs else "whole"
        record_property(f"look_of_a_{word}_bus_us", look_us)
        record_property(f"turn_with_a_{word}_bus_us", turn_us)
        assert 0 < look_us < LOOK_US
    whole, hung = ([at - run[0] for at in run] for run in edges)
    # An encoder that fails may stop the pump; what has been made until then is the same.
    assert len(hung) > 10
    assert hung == whole[: len(hung)]


# A host that asks about as often as the encoder is read: with these seeds an angle that was on its
# way was once taken for a younger one, and the end of a fast infusion for a stall.
@pytest.mark.needs("step_edges")
@pytest.mark.parametrize("seed", [1, 6])
def test_a_motor_that_follows_is_no_stall_however_often_the_host_asks(bench, seed):
    asking = random.Random(seed)
    infuse(bench, "bd-plastipak-3", rate_ul_h=1_200_000, vtbi_ul=900, content_ul=3_000)
    while bench.status().state == "infusing":
        bench.run_s(asking.uniform(0.05, 0.06))
    bench.run_s(1.0)
    status = bench.status()
    bench.pump.stop()
    assert (status.state, status.alarms) == ("kvo", ("end_of_infusion",))
    assert status.kvo_steps > 0


# At 5 revolutions a second, beyond which no drive on a screw goes. A host that asked each 60 to 90
# ms once kept a motor that stands from being told for ever.
@pytest.mark.needs("step_edges")
@pytest.mark.parametrize("asks_s", [0.03, 0.06, 0.09, 0.11, 1.0])
def test_a_fast_motor_that_stands_is_found_however_often_the_host_asks(
    bench, asks_s, record_property
):
    rate_ul_h = build(KIND_SYRINGE, "bd-plastipak-1", "t8-2mm-16").greatest_rate_ul_h
    infuse(bench, "bd-plastipak-1", rate_ul_h, vtbi_ul=900, content_ul=1_000)
    until_s = bench.now_s + 1.5
    while bench.now_s < until_s:
        bench.run_s(asks_s)
        assert bench.status().state == "infusing"
    bench.break_sensor("encoder", "stuck")
    stood_s = bench.now_s
    while bench.status().state == "infusing":
        assert bench.now_s < stood_s + 1.5
        bench.run_s(asks_s)
    assert bench.status().alarms == ("stall",)
    last_s = bench.runs()[-1].edges_ns[-1] / 1e9
    record_property("stood_until_the_last_step_ms", round((last_s - stood_s) * 1000))
    assert last_s < stood_s + 0.5
