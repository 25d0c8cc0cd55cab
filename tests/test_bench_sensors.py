"""The sensors of the virtual bench: each against its closed form, every mishap in the counts."""

import contextlib
import dataclasses
import itertools
import math
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from micropump import sensing
from micropump.mechanism import KIND_PERISTALTIC, KIND_SYRINGE
from micropump_host.bench import (
    BenchFileError,
    PeristalticGeometry,
    SyringeGeometry,
    default_bench,
    parse_bench,
)
from micropump_host.bench import benchfile as bf
from micropump_host.bench.fitted import outer_mm, sensor_rows
from micropump_host.bench.ground import build_ground
from micropump_host.bench.local import LocalLine
from micropump_host.bench.motor import Motor
from micropump_host.bench.outlet import column_pressure_pa
from micropump_host.bench.plantrun import PlantRun
from micropump_host.bench.sensors import (
    REFERENCE_C,
    TURN,
    AnalogSensor,
    AngleSensor,
    DigitalSensor,
    Errors,
    Fault,
    LoadCell,
)
from micropump_host.bench.suite import Suite
from micropump_host.bench.surroundings import (
    CELLS_MV,
    Bubbles,
    Climate,
    Supply,
    Surroundings,
    open_circuit_mv,
)
from micropump_host.bench.world import VirtualBench
from micropump_host.client import Pump

SYRINGE = SyringeGeometry(bore_mm=26.7, lead_mm=2.0, microsteps_per_rev=3200)
HEAD = PeristalticGeometry(ml_per_rev=0.116447, rollers=4, microsteps_per_rev=3200)
GEOMETRIES = {"syringe": SYRINGE, "peristaltic": HEAD}
ON_SYRINGE = [name for name in sensing.SENSOR_NAMES if name != "upstream"]
ON_HEAD = [name for name in sensing.SENSOR_NAMES if name not in ("force", "barrel", "plunger")]
FITTED = {"syringe": ON_SYRINGE, "peristaltic": ON_HEAD}
NUMBERS = {name: number for number, name in enumerate(sensing.SENSOR_NAMES)}


def fitted(kind, *names, interval_s=0.1, events=(), **sections):
    """The default bench with these sensors, events, and keys of sections changed."""
    bench = default_bench(kind)
    fits = dict.fromkeys(names or FITTED[kind], True)
    sensors = dataclasses.replace(bench.sensors, interval_s=interval_s, **fits)
    changed = {
        name: dataclasses.replace(getattr(bench, name), **keys) for name, keys in sections.items()
    }
    return dataclasses.replace(bench, sensors=sensors, events=tuple(events), **changed)


def surroundings(**more):
    supply = Supply(True, 1000.0, 1.0, 100.0, 100.0, 400.0, 12_000.0)
    return Surroundings(Motor(), Bubbles(100.0, 10.0), supply, Climate(20.0, 0.0, 600.0), 20.0)


def readings(run, samples):
    """The values of a run, in the core's units, by name; one list a sensor."""
    core = sensing.Sensing(sensor_rows(run.bench))
    held = sensing.Readings()
    values = {name: [] for name in sensing.SENSOR_NAMES}
    for _ in range(samples):
        now_ms, _, counts = run.go_on()
        for number in range(sensing.SENSORS):
            if counts.fresh >> number & 1:
                held.put(number, counts.raw[number])
            elif counts.failed >> number & 1:
                held.fail(number)
        core.look(now_ms & 0x3FFFFFFF, held, run.rate_ul_h != 0)
        for name, number in NUMBERS.items():
            values[name].append(core.value[number])
    return values, core


def run_of(kind, rate_ul_h=5_000, content_ul=50_000, **options):
    bench = fitted(kind, **options)
    run = PlantRun(bench, GEOMETRIES[kind], rate_ul_h, content_ul)
    run.bench = bench
    return run


# -- one sensor -----------------------------------------------------------------------------------


@given(
    st.floats(-200.0, 400.0), st.floats(1.0, 500.0), st.floats(-500.0, 500.0),
    st.floats(-20.0, 20.0), st.floats(-20.0, 20.0), st.floats(0.0, 40.0), st.floats(0.0, 1e6),
)  # fmt: skip
def test_an_analog_sensor_is_a_straight_line_and_drifts(x, scale, offset, per_h, per_k, warm, at_s):
    around = surroundings()
    around.climate.inside_c = around.climate.ambient_c = warm
    around.pass_to(at_s, False)
    errors = Errors(13107, scale, offset, 0.0, per_h, per_k)
    sensor = AnalogSensor(sensing.PRESSURE, around, 1, errors, lambda: x)
    ideal = 13107 + offset + scale * x + per_h * at_s / 3600 + per_k * (warm - REFERENCE_C)
    assert abs(sensor.read() - min(max(ideal, 0), 65535)) <= 0.5 + 1e-6


def test_noise_is_white_and_of_its_size():
    count = 20_000
    sensor = AnalogSensor(
        sensing.PRESSURE, surroundings(), 7, Errors(30_000, 1.0, noise_raw=50.0), lambda: 0.0
    )
    found = [sensor.read() for _ in range(count)]
    # Five standard errors each: of the mean σ/√n, of the deviation σ/√2n, of a correlation 1/√n.
    assert abs(statistics.fmean(found) - 30_000) < 5 * 50 / math.sqrt(count)
    assert abs(statistics.pstdev(found) - 50) < 5 * 50 / math.sqrt(2 * count)
    assert abs(statistics.correlation(found[:-1], found[1:])) < 5 / math.sqrt(count)


@given(st.lists(st.floats(0.01, 900.0), min_size=1, max_size=20), st.floats(-5.0, 5.0))
def test_a_load_cell_creeps_exponentially_however_often_it_is_read(intervals_s, creep_percent):
    around = surroundings()
    creep, creep_s = creep_percent / 100, 600.0
    cell = LoadCell(sensing.FORCE, around, 1, Errors(0, 40_000), lambda: 50.0, creep, creep_s)
    at_s = 0.0
    for interval_s in intervals_s:
        at_s += interval_s
        around.pass_to(at_s, False)
        expected = 50.0 * (1 + creep * (1 - math.exp(-at_s / creep_s))) * 40_000
        # Half a count is the rounding.
        assert abs(cell.read() - expected) <= 0.5 + 1e-6


@given(st.integers(-10_000_000, 10_000_000), st.sampled_from([200, 3200, 12800]), st.integers(0, 5))
def test_an_encoder_shows_the_angle_that_was_really_turned(turned, steps_per_rev, noise):
    around = surroundings()
    sensor = AngleSensor(sensing.ENCODER, around, 3, steps_per_rev, noise)
    still = AngleSensor(sensing.ENCODER, around, 3, steps_per_rev, 0)
    start = still.read()
    around.motor.turned = turned
    expected = start + turned * TURN // steps_per_rev
    off = {(sensor.read() - expected + TURN // 2) % TURN - TURN // 2 for _ in range(200)}
    # All errors come in 200 samples: one of eleven is missing once in 10**7 cases.
    assert off == set(range(-noise, noise + 1))
    assert 0 <= sensor.read() < TURN


@given(
    st.lists(st.tuples(st.floats(0.0, 500.0), st.floats(0.1, 300.0)), min_size=1, max_size=5),
    st.floats(0.0, 1000.0),
    st.floats(1.0, 50.0),
)
def test_what_air_goes_in_comes_by_once(plan, from_pump_ul, window_ul):
    bubbles = Bubbles(from_pump_ul, window_ul)
    flowed_ul, volume_ul, end_ul = 0.0, 0.0, 0.0
    for gap_ul, bubble_ul in plan:
        flowed_ul = end_ul + gap_ul
        end_ul = flowed_ul + bubble_ul
        volume_ul += bubble_ul
        bubbles.enter(flowed_ul, bubble_ul)
    last_ul = end_ul + from_pump_ul + window_ul
    step_ul = last_ul / 5000
    fractions = [bubbles.air_fraction(i * step_ul) for i in range(5002)]
    assert all(0.0 <= fraction <= 1.0 for fraction in fractions)
    # The trapezium rule is off by at most a step at each corner, four of them to a bubble.
    seen_ul = sum(map(sum, itertools.pairwise(fractions))) / 2 * step_ul
    assert seen_ul == pytest.approx(volume_ul, abs=4 * len(plan) * step_ul)
    assert bubbles.air_fraction(last_ul + 1e-6) == 0.0


def test_a_bubble_is_at_the_window_from_v0_to_v0_and_its_volume():
    bubbles = Bubbles(from_pump_ul=500.0, window_ul=10.0)
    bubbles.enter(100.0, 50.0)
    at = [599.0, 605.0, 610.0, 650.0, 655.0, 660.0]
    assert [bubbles.air_fraction(ul) for ul in at] == pytest.approx([0, 0.5, 1, 1, 0.5, 0])
    bubbles.enter(1000.0)
    assert bubbles.air_fraction(1e9) == 1.0
    bubbles.end(1200.0)
    assert bubbles.air_fraction(1699.0) == 1.0
    assert bubbles.air_fraction(1711.0) == 0.0


def test_a_battery_gives_its_charge_and_no_more():
    supply = Supply(False, 1000.0, 1.0, 200.0, 100.0, 400.0, 12_000.0)
    supply.pass_s(3600.0, motor_is_on=True)
    assert supply.charge == pytest.approx(0.5)
    assert supply.battery_mv() == pytest.approx(open_circuit_mv(0.5) - 0.5 * 200)
    supply.pass_s(3600.0, motor_is_on=False)
    assert supply.charge == pytest.approx(0.4)
    assert supply.battery_mv() == pytest.approx(open_circuit_mv(0.4) - 0.1 * 200)
    supply.pass_s(1e6, motor_is_on=True)
    assert supply.charge == 0.0
    supply.on_mains = True
    assert supply.battery_mv() == CELLS_MV[0][1]


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_a_fuller_battery_has_more_volts(one, other):
    low, high = sorted((one, other))
    assert open_circuit_mv(low) <= open_circuit_mv(high)
    assert all(open_circuit_mv(charge) == pytest.approx(mv) for charge, mv in CELLS_MV)


@given(st.lists(st.floats(0.01, 3000.0), min_size=1, max_size=10))
def test_the_pump_warms_up_exponentially(intervals_s):
    climate = Climate(20.0, 8.0, 600.0)
    for interval_s in intervals_s:
        climate.pass_s(interval_s, motor_is_on=True)
    assert climate.inside_c == pytest.approx(28 - 8 * math.exp(-sum(intervals_s) / 600))


# -- faults of one sensor -------------------------------------------------------------------------


def sensors_of_each_type(around, seed=1):
    noise = Errors(30_000, 100.0, noise_raw=20.0)
    return {
        "analog": AnalogSensor(sensing.PRESSURE, around, seed, noise, lambda: 10.0),
        "cell": LoadCell(sensing.FORCE, around, seed, noise, lambda: 10.0, 0.001, 60.0),
        "angle": AngleSensor(sensing.ENCODER, around, seed, 3200, 1),
        "switch": DigitalSensor(sensing.DOOR, around, seed, lambda: False),
    }


FAULTY = {
    ("analog", Fault.OPEN): 0,
    ("analog", Fault.SHORTED): 65535,
    ("analog", Fault.UNPLUGGED): 0,
    ("analog", Fault.SILENT): None,
    ("cell", Fault.OPEN): -(1 << 23),
    ("cell", Fault.SHORTED): (1 << 23) - 1,
    ("cell", Fault.UNPLUGGED): None,
    ("cell", Fault.SILENT): None,
    ("angle", Fault.OPEN): None,
    ("angle", Fault.SHORTED): None,
    ("angle", Fault.UNPLUGGED): None,
    ("angle", Fault.SILENT): None,
    ("switch", Fault.OPEN): 1,
    ("switch", Fault.SHORTED): 0,
    ("switch", Fault.UNPLUGGED): 1,
    ("switch", Fault.SILENT): None,
}


@pytest.mark.parametrize(("name", "fault"), FAULTY)
def test_a_wire_that_is_broken_or_shorted_reads_an_end_or_nothing(name, fault):
    sensor = sensors_of_each_type(surroundings())[name]
    sensor.read()
    sensor.harm(fault)
    assert sensor.read_faulty() == FAULTY[name, fault]


@pytest.mark.parametrize("name", ["analog", "cell", "angle", "switch"])
def test_a_stuck_sensor_repeats_itself_and_once_mended_has_lost_nothing(name):
    around, other = surroundings(), surroundings()
    harmed, whole = sensors_of_each_type(around)[name], sensors_of_each_type(other)[name]
    assert [harmed.read() for _ in range(5)] == [whole.read() for _ in range(5)]
    last = whole.read()
    assert harmed.read() == last
    harmed.harm(Fault.STUCK)
    around.motor.turned = other.motor.turned = 1600
    for _ in range(10):
        assert harmed.read_faulty() == last
        whole.read()
    harmed.harm(None)
    assert [harmed.read() for _ in range(20)] == [whole.read() for _ in range(20)]


def test_a_drifting_sensor_leaves_at_its_rate_and_a_noisy_one_is_noisier():
    around = surroundings()
    sensor = AnalogSensor(sensing.PRESSURE, around, 1, Errors(30_000, 1.0), lambda: 0.0)
    around.pass_to(100.0, False)
    sensor.harm(Fault.DRIFTING, 600.0)
    around.pass_to(130.0, False)
    assert sensor.read_faulty() == 30_300
    sensor.harm(Fault.NOISY, 400.0)
    count = 5000
    found = [sensor.read_faulty() for _ in range(count)]
    # Five standard errors.
    assert abs(statistics.pstdev(found) - 400) < 5 * 400 / math.sqrt(2 * count)


# -- what is done to plant and motor ---------------------------------------------------------------


def test_the_drive_pushes_pressure_and_friction():
    run = run_of("syringe", rate_ul_h=20_000)
    area_mm2 = math.pi / 4 * 26.7**2 * (1 + run.bench.drive.bore_error_percent / 100) ** 2
    for _ in range(600):
        run.go_on()
    assert run.plant.sliding
    expected_n = run.plant.pressure_pa * area_mm2 * 1e-6 + run.bench.plunger.kinetic_friction_n
    assert run.plant.drive_force_n == pytest.approx(expected_n, rel=1e-9)


@pytest.mark.parametrize("kind", ["syringe", "peristaltic"])
def test_a_narrow_line_has_so_many_times_the_pressure(kind):
    pressures_pa = []
    for times in (1.0, 20.0):
        run = run_of(kind, rate_ul_h=100_000, interval_s=1.0)
        run.do(bf.Narrow(0, times))
        found = [run.go_on() and run.plant.pressure_pa for _ in range(400)]
        pressures_pa.append(statistics.fmean(found[-200:]))
    # The roller's ripple and the screw's are not whole periods, and a head loses a little against
    # pressure: 20.0 and 19.8 were measured.
    assert pressures_pa[1] / pressures_pa[0] == pytest.approx(20.0, rel=0.03)


@pytest.mark.parametrize("kind", ["syringe", "peristaltic"])
def test_a_line_that_is_off_has_no_pressure_and_comes_back(kind):
    run = run_of(kind, rate_ul_h=100_000, outlet={"back_pressure_kpa": 8.0})
    for _ in range(600):
        run.go_on()
    # Of a head, at the trough of its ripple.
    assert run.plant.pressure_pa > 5_000
    run.do(bf.Occlude(0))
    run.do(bf.Disconnect(0))
    for _ in range(20):
        run.go_on()
    # 28 µL/s, at most doubled by ripple, through 0.5 Pa·s/µL.
    assert abs(run.plant.pressure_pa) < 30
    run.do(bf.Release(0))
    run.do(bf.Reconnect(0))
    for _ in range(600):
        run.go_on()
    # Of a head, at the trough of its ripple.
    assert run.plant.pressure_pa > 5_000


@pytest.mark.parametrize("kind", ["syringe", "peristaltic"])
def test_a_raised_pump_feels_a_lower_end_and_a_lower_supply(kind):
    run = run_of(kind, rate_ul_h=0, outlet={"head_height_cm": 10.0})
    run.do(bf.RaisePump(0, 30.0))
    run.do(bf.RaisePump(0, 20.0))
    assert run.plant.outlet_pressure_pa == pytest.approx(column_pressure_pa(-0.4, 0.998))
    if kind == "peristaltic":
        assert run.plant.inlet_pressure_pa == pytest.approx(column_pressure_pa(-0.5, 0.998))


def test_a_clamped_supply_is_sucked_flat_along_an_exponential():
    drive = {
        "ripple_percent": (0.0,), "rotor_error_percent": 0.0, "wear_percent_per_h": 0.0,
        "volume_error_percent": 0.0, "outlet_sensitivity_percent_per_kpa": 0.0,
    }  # fmt: skip
    run = run_of("peristaltic", rate_ul_h=60_000, drive=drive)
    run.go_on()
    run.do(bf.ClampInlet(0))
    greatest_pa = run.bench.drive.greatest_suction_kpa * 1000
    scale_ul = greatest_pa * run.bench.drive.inlet_compliance_ul_per_kpa / 1000
    begun = run.motor.steps
    for _ in range(60):
        run.go_on()
        swept_ul = (run.motor.steps - begun) * run.plant.microstep_ul
        expected_pa = -greatest_pa * (1 - math.exp(-swept_ul / scale_ul))
        # Microsteps of 0.04 µL against 30 µL: Euler's error is at most half of their ratio.
        assert run.plant.inlet_pressure_pa == pytest.approx(expected_pa, abs=0.001 * greatest_pa)
    assert run.plant.inlet_pressure_pa < -0.8 * greatest_pa
    moved_ul = run.plant.displaced_ul
    run.do(bf.OpenInlet(0))
    assert run.plant.inlet_pressure_pa == 0.0
    run.go_on()
    # A tenth of a second at 60 mL/h, a step more or less.
    assert run.plant.displaced_ul - moved_ul == pytest.approx(1.667, abs=0.04)


def test_a_supply_that_is_clamped_still_ends():
    run = run_of("peristaltic", rate_ul_h=60_000, content_ul=5.0)
    run.do(bf.ClampInlet(0))
    run.do(bf.SetContent(0, 0.002))
    for _ in range(100):
        run.go_on()
    assert run.plant.content_ul == pytest.approx(0.0, abs=run.plant.microstep_ul * 3)


@pytest.mark.parametrize("kind", ["syringe", "peristaltic"])
@pytest.mark.parametrize("rate_ul_h", [60_000, -60_000])
def test_lost_steps_are_counted_and_not_made(kind, rate_ul_h):
    run, whole = run_of(kind, rate_ul_h), run_of(kind, rate_ul_h)
    pushed = whole_pushed = 0
    for at in range(50):
        if at == 20:
            run.do(bf.LoseSteps(0, 123))
        pushed += run.go_on()[1]
        whole_pushed += whole.go_on()[1]
    assert pushed == whole_pushed
    assert run.motor.steps == whole.motor.steps == whole.motor.turned
    lost = 123 if rate_ul_h > 0 else -123
    assert run.motor.turned == whole.motor.turned - lost
    assert run.plant.steps == whole.plant.steps - lost


def test_a_stalled_motor_stands_until_it_is_free():
    run = run_of("syringe", rate_ul_h=60_000)
    run.go_on()
    run.do(bf.StallMotor(0))
    turned = run.motor.turned
    for _ in range(50):
        run.go_on()
    assert run.motor.turned == turned < run.motor.steps
    run.do(bf.FreeMotor(0))
    run.go_on()
    assert run.motor.turned > turned


def test_the_motor_of_a_run_turns_as_the_rate_says():
    run = run_of("syringe", rate_ul_h=7_000, interval_s=0.1)
    pushed_nl = [run.go_on()[1] for _ in range(36_000)]
    # One microstep is 350 nL: the last one may be due on the very end.
    assert sum(pushed_nl) == pytest.approx(7_000_000, abs=351)
    assert set(pushed_nl) <= {0, 349, 350}


def test_events_of_the_file_come_at_their_time_in_a_run():
    at_min = 1.0 + 0.25 / 600
    run = run_of("syringe", 100_000, events=[bf.Occlude(at_min)], interval_s=0.1)
    pressures = {run.go_on()[0]: run.plant.outflow_ul for _ in range(700)}
    assert run.plant.occluded
    assert pressures[60_000] < pressures[60_100] == pressures[70_000]


# -- what the core sees ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["syringe", "peristaltic"])
@pytest.mark.parametrize("interval_s", [0.1, 1.0])
def test_the_core_reads_what_there_is_and_finds_no_fault(kind, interval_s):
    run = run_of(kind, 25_000, interval_s=interval_s, outlet={"back_pressure_kpa": 10.0})
    for _ in range(round(60 / interval_s)):
        run.go_on()
    values, core = readings(run, 1200)
    assert core.faults == 0
    # Offset, drift at 30 °C and noise of the default sensors: 0.2 + 0.25 kPa; 0.1 + 0.2 N; 0.04 mm;
    # 0.1 mm; 0.5 K.
    assert values["pressure"][-1] == pytest.approx(run.plant.pressure_pa, abs=700)
    assert values["air"][-1] == pytest.approx(0, abs=40)
    assert values["battery"][-1] == pytest.approx(12_600, abs=20)
    assert values["rail"][-1] == pytest.approx(12_000, abs=40)
    assert values["temperature"][-1] == pytest.approx(run.suite.around.climate.inside_c * 10, abs=8)
    assert values["door"][-1] == values["end_stop"][-1] == 0
    if kind == "syringe":
        assert values["force"][-1] == pytest.approx(run.plant.drive_force_n * 1000, abs=500)
        outer_um = outer_mm(SYRINGE, run.bench.barrel_sensor) * 1000
        assert values["barrel"][-1] == pytest.approx(outer_um, abs=150)
        travel_um = run.plant.content_ul / (math.pi / 4 * 26.7**2) * 1000
        assert values["plunger"][-1] == pytest.approx(travel_um, abs=300)
    else:
        # 6.9 µL/s through 20 Pa·s/µL, the flow of one sample being anything from −1 to 4 times it.
        assert statistics.fmean(values["upstream"][-600:]) == pytest.approx(-139 - 120, abs=200)


MISHAPS = [
    ("occlude", "syringe", bf.Occlude(0), "pressure", lambda v, u: v > u + 20_000),
    ("occlude: force", "syringe", bf.Occlude(0), "force", lambda v, u: v > u + 10_000),
    ("occlude a head", "peristaltic", bf.Occlude(0), "pressure", lambda v, u: v > u + 20_000),
    ("narrow", "syringe", bf.Narrow(0, 30.0), "pressure", lambda v, u: v > u + 5_000),
    ("disconnect", "syringe", bf.Disconnect(0), "pressure", lambda v, u: u > 9_000 and v < 700),
    ("clamp inlet", "peristaltic", bf.ClampInlet(0), "upstream", lambda v, u: v < u - 40_000),
    ("raise", "syringe", bf.RaisePump(0, 50.0), "pressure", lambda v, u: v < u - 4_000),
    ("bubble", "syringe", bf.Bubble(0, 1200.0), "air", lambda v, u: u < 50 and v > 950),
    ("air run", "peristaltic", bf.AirRun(0), "air", lambda v, u: u < 50 and v > 950),
    ("remove", "syringe", bf.RemoveSyringe(0), "barrel", lambda v, u: u > 29_000 and v < 500),
    ("remove: force", "syringe", bf.RemoveSyringe(0), "force", lambda v, u: abs(v) < 500 < u),
    ("another", "syringe", bf.PutSyringe(0, 19.5, 20), "barrel", lambda v, u: 19_000 < v < 20_000),
    ("another: left", "syringe", bf.PutSyringe(0, 19.5, 5), "plunger", lambda v, u: v < u - 40_000),
    ("door", "peristaltic", bf.OpenDoor(0), "door", lambda v, u: (u, v) == (0, 1)),
    ("end stop", "syringe", bf.PressEndStop(0), "end_stop", lambda v, u: (u, v) == (0, 1)),
    ("sag", "syringe", bf.SagBattery(0, 1500.0), "battery", lambda v, u: abs(u - v - 1500) < 20),
    ("charge", "syringe", bf.SetCharge(0, 10.0), "battery", lambda v, u: abs(v - 10_500) < 20),
    ("rail", "syringe", bf.SagRail(0, 4000.0), "rail", lambda v, u: abs(u - v - 4000) < 60),
    ("heat", "syringe", bf.SetAmbient(0, 60.0), "temperature", lambda v, u: v > u + 50),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "event", "name", "is_seen"), [row[1:] for row in MISHAPS], ids=[r[0] for r in MISHAPS]
)
def test_every_mishap_is_seen_in_the_counts(kind, event, name, is_seen):
    # A closed line behind a head is stiff: faster, it would leave the sensor's range within this.
    rate_ul_h = 50_000 if kind == "syringe" else 10_000
    run = run_of(
        kind,
        rate_ul_h,
        interval_s=0.2,
        outlet={"back_pressure_kpa": 10.0},
        air_sensor={"from_pump_ul": 100.0},
    )
    before, _ = readings(run, 300)
    run.do(event)
    after, core = readings(run, 450)
    assert core.faults == 0
    assert is_seen(after[name][-1], before[name][-1])


def test_what_was_done_can_be_undone():
    run = run_of("syringe", 50_000)
    before, _ = readings(run, 100)
    for event in (
        bf.OpenDoor(0), bf.CloseDoor(0), bf.PressEndStop(0), bf.ReleaseEndStop(0),
        bf.SagBattery(0, 900.0), bf.SagBattery(0, 0.0), bf.SagRail(0, 900.0), bf.SagRail(0, 0.0),
        bf.AirRun(0), bf.EndAir(0),
    ):  # fmt: skip
        run.do(event)
    after, core = readings(run, 100)
    assert core.faults == 0
    for name in ("door", "end_stop", "battery", "rail", "air"):
        assert after[name][-1] == pytest.approx(before[name][-1], abs=60)


def test_off_the_mains_the_battery_runs_down():
    run = run_of("syringe", 1_000, interval_s=60.0)
    run.do(bf.UnplugMains(0))
    values, _ = readings(run, 200)
    assert values["battery"][-1] < values["battery"][0] - 800
    run.do(bf.PlugMains(0))
    charge = run.suite.around.supply.charge
    readings(run, 10)
    assert run.suite.around.supply.charge == charge
    # 600 mA of 2600 mAh for 200 min.
    assert charge == pytest.approx(1 - 600 * 200 / 60 / 2600)


def test_a_lost_turn_is_missing_at_the_encoder():
    run = run_of("syringe", 50_000, encoder={"noise_counts": 0})
    whole = run_of("syringe", 50_000, encoder={"noise_counts": 0})
    run.do(bf.LoseSteps(0, 800))
    for _ in range(300):
        counts, others = run.go_on()[2], whole.go_on()[2]
    # A quarter of a turn.
    lag = (others.raw[sensing.ENCODER] - counts.raw[sensing.ENCODER]) % TURN
    assert lag == pytest.approx(TURN // 4, abs=1)


FAULT_EVENTS = {
    "open": (lambda name: bf.OpenSensor(0, name), sensing.OPEN),
    "shorted": (lambda name: bf.ShortSensor(0, name), sensing.SHORTED),
    "stuck": (lambda name: bf.StickSensor(0, name), sensing.STUCK),
    "noisy": (lambda name: bf.NoisySensor(0, name, 1e7), sensing.NOISY),
    "unplugged": (lambda name: bf.UnplugSensor(0, name), sensing.OPEN),
    "silent": (lambda name: bf.SilenceSensor(0, name), sensing.SILENT),
}
ANALOG = ["pressure", "air", "barrel", "plunger", "battery", "rail", "temperature"]


# An angle that jumps is for the detector of stalls.
HARMED = [
    (name, how)
    for name in [*ANALOG, "force", "encoder"]
    for how in FAULT_EVENTS
    if (name, how) != ("encoder", "noisy")
]


@pytest.mark.parametrize(("name", "how"), HARMED)
def test_the_core_finds_every_fault_of_every_sensor_and_its_end(name, how):
    event, kind = FAULT_EVENTS[how]
    if (name, how) == ("force", "unplugged") or (
        name == "encoder" and how in ("open", "shorted", "unplugged")
    ):
        kind = sensing.FAILED
    run = run_of("syringe", 50_000)
    readings(run, 20)
    run.do(event(name))
    _, core = readings(run, 80)
    number = NUMBERS[name]
    assert core.faults == 1 << number
    # So much noise leaves the range either way, now and then three times in a row.
    found = core.fault_kind(number)
    assert found == kind or (how == "noisy" and found in (sensing.OPEN, sensing.SHORTED))
    run.do(bf.MendSensor(0, name))
    _, core = readings(run, 80)
    assert core.faults == 0


def test_a_drift_is_seen_as_it_grows():
    run = run_of("syringe", 1_000)
    run.do(bf.DriftSensor(0, "pressure", 2400.0))
    values, _ = readings(run, 600)
    assert values["pressure"][-1] - values["pressure"][0] == pytest.approx(10_000, abs=500)


def test_a_fault_of_a_sensor_that_is_not_fitted_does_nothing():
    run = run_of("syringe", 1_000)
    bench = fitted("syringe", "air")
    bare = PlantRun(bench, SYRINGE, 1_000)
    bare.do(bf.OpenSensor(0, "pressure"))
    assert bare.go_on()[2].fresh == 1 << sensing.AIR
    assert run.go_on()[2].fresh == sum(1 << NUMBERS[name] for name in ON_SYRINGE)


@pytest.mark.parametrize("kind", ["syringe", "peristaltic"])
def test_one_seed_gives_the_same_counts_and_another_does_not(kind):
    def counts(seed):
        run = run_of(kind, 20_000, info={"seed": seed})
        return [tuple(run.go_on()[2].raw) for _ in range(300)]

    assert counts(5) == counts(5)
    one, other = counts(5), counts(6)
    for name in FITTED[kind]:
        number = NUMBERS[name]
        if name not in ("door", "end_stop"):
            assert [row[number] for row in one] != [row[number] for row in other], name


def test_one_more_sensor_changes_nothing_about_the_others():
    few = PlantRun(fitted("syringe", "pressure", "air"), SYRINGE, 20_000, 50_000)
    many = PlantRun(fitted("syringe"), SYRINGE, 20_000, 50_000)
    for _ in range(300):
        one, other = few.go_on()[2].raw, many.go_on()[2].raw
        assert one[sensing.PRESSURE] == other[sensing.PRESSURE]
        assert one[sensing.AIR] == other[sensing.AIR]


def test_air_with_two_states_is_air_from_half_of_the_window_on():
    run = run_of("syringe", 50_000, air_sensor={"digital": True, "from_pump_ul": 0.0})
    run.do(bf.Bubble(0, 100.0))
    values, core = readings(run, 200)
    assert core.faults == 0
    assert set(values["air"]) == {0, 1000}
    # 100 µL at 13.9 µL/s are 72 samples.
    assert values["air"].count(1000) == pytest.approx(72, abs=2)


@given(st.integers(1, 400), st.floats(1e-4, 0.02), st.floats(0.0, 400.0))
@settings(max_examples=30)
def test_a_train_that_loses_steps_is_the_single_steps_without_them(count, interval_s, losing):
    first, second = run_of("syringe", 0), run_of("syringe", 0)
    first.motor.lose(int(losing))
    first.motor.make(first.plant, 1.0, interval_s, count)
    for at in range(int(losing), count):
        second.plant.step(1.0 + at * interval_s)
    assert first.plant.steps == second.plant.steps
    first.plant.advance(20.0)
    second.plant.advance(20.0)
    # The times differ by roundings of a double.
    assert first.plant.pressure_pa == pytest.approx(second.plant.pressure_pa, rel=1e-9, abs=1e-6)


# -- the bench file -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["syringe", "peristaltic"])
def test_nothing_is_fitted_unless_the_file_says_so(kind):
    bench = default_bench(kind)
    assert sensor_rows(bench) == ()
    assert Suite(bench, Motor(), 3200).due_ms > 1 << 60


@pytest.mark.parametrize("kind", ["syringe", "peristaltic"])
@given(st.data())
@settings(max_examples=30)
def test_the_core_takes_the_rows_of_any_bench(kind, data):
    sections = {}
    for section in ("pressure_sensor", "force_sensor", "upstream_sensor", "air_sensor",
                    "barrel_sensor", "position_sensor", "battery", "rail",
                    "thermometer"):  # fmt: skip
        old = getattr(default_bench(kind), section)
        if old is not None:
            scale = data.draw(st.floats(0.3, 1.5))
            keys = [key.name for key in dataclasses.fields(old) if key.name.startswith("raw_per")]
            sections[section] = {key: getattr(old, key) * scale for key in keys}
    core = sensing.Sensing(sensor_rows(fitted(kind, **sections)))
    assert core.fitted == sum(1 << NUMBERS[name] for name in FITTED[kind])


def refusal(text):
    with pytest.raises(BenchFileError) as caught:
        parse_bench(text, "bench.toml")
    return caught.value.what


def test_a_file_fits_sensors_and_lets_things_happen():
    bench = parse_bench(
        "[syringe_drive]\n[sensors]\npressure = true\ninterval_s = 0.5\n"
        '[[event]]\nat_min = 3\ndo = "sensor_drift"\nsensor = "force"\nraw_per_min = -5\n'
        '[[event]]\nat_min = 2\ndo = "lose_steps"\nsteps = 40\n'
        '[[event]]\nat_min = 1\ndo = "bubble"\nul = 80\n',
        "bench.toml",
    )
    assert bench.sensors.pressure
    assert not bench.sensors.force
    assert bench.events == (
        bf.Bubble(1.0, 80.0), bf.LoseSteps(2.0, 40), bf.DriftSensor(3.0, "force", -5.0)
    )  # fmt: skip
    (row,) = sensor_rows(bench)
    assert row[0] == sensing.PRESSURE
    assert len(row) == 15
    assert row[-1] == 500


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('[syringe_drive]\n[[event]]\nat_min = 1\ndo = "sensor_open"\nsensor = "presure"\n',
         "did you mean pressure?"),
        ('[syringe_drive]\n[[event]]\nat_min = 1\ndo = "sensor_open"\nsensor = 5\n', "unknown"),
        ('[syringe_drive]\n[[event]]\nat_min = 1\ndo = "clamp_inlet"\n', "is unknown"),
        ('[peristaltic]\n[[event]]\nat_min = 1\ndo = "remove_syringe"\n', "is unknown"),
        ("[syringe_drive]\n[sensors]\nupstream = true\n", "[sensors] upstream"),
        ("[peristaltic]\n[sensors]\nforce = true\n", "[sensors] force"),
        ("[peristaltic]\n[sensors]\ndoor = 1\n", "must be true or false"),
        ("[peristaltic]\n[air_sensor]\nair_raw = 52000\n", "must differ"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(text, part):
    assert part in refusal(text)


# -- the whole bench ------------------------------------------------------------------------------

DRIVES = {KIND_SYRINGE: "t8-2mm-16", KIND_PERISTALTIC: "direct-16"}
ITEMS = {KIND_SYRINGE: "bd-plastipak-50", KIND_PERISTALTIC: "runze-rz1030-0142"}
KINDS = {KIND_SYRINGE: "syringe", KIND_PERISTALTIC: "peristaltic"}


class Recorder:
    def begin(self, mechanism):
        self.samples = []

    def sample(self, sample):
        self.samples.append(sample)

    def end(self):
        pass


class Rig:
    """A bench with a client, all that its stepper was handed, and all that its sensors read."""

    def __init__(self, kind, bench, ground="cpython"):
        self.kind = kind
        core = build_ground(ground, kind, DRIVES[kind], 0)
        self.trace, self.sensed = [], []
        self.bench = None
        take, sense = core.take_records, core.sense

        def take_and_keep():
            records = take()
            self.trace += records
            return records

        def sense_and_keep(fresh, failed, raw):
            # The first time is while the bench is made.
            now_ms = self.bench.now_ms if self.bench else 0
            self.sensed.append((now_ms, fresh, failed, *raw))
            sense(fresh, failed, raw)

        core.take_records = take_and_keep
        core.sense = sense_and_keep
        self.recorder = Recorder()
        self.bench = VirtualBench(core, kind, DRIVES[kind], bench, self.recorder)
        self.pump = Pump("bench", open_port=lambda *_: LocalLine(self.bench))

    def order(self, rate_ul_h=60_000, vtbi_ul=2_000, content_ul=50_000):
        accepted = self.pump.program(self.kind, ITEMS[self.kind], content_ul, vtbi_ul, rate_ul_h)
        self.pump.start(accepted.program_id)

    def advance(self, for_ms, stride_ms=None):
        end_ms = self.bench.now_ms + for_ms
        while self.bench.now_ms < end_ms:
            self.bench.advance(min(end_ms, self.bench.now_ms + (stride_ms or for_ms)))


@contextlib.contextmanager
def rig(*args, **options):
    made = Rig(*args, **options)
    try:
        yield made
    finally:
        made.bench.close()


def play(kind, bench, ground="cpython", stride_ms=None):
    with rig(kind, bench, ground) as made:
        made.advance(3_000, stride_ms)
        made.order()
        made.advance(40_000, stride_ms)
        made.pump.pause()
        made.advance(5_000, stride_ms)
        made.pump.resume()
        made.advance(100_000, stride_ms)
        return made.trace, made.sensed, made.recorder.samples, made.pump.status()


def harmless(kind, *names, **more):
    """A bench whose sensors see nothing that a pump would stop for."""
    return fitted(KINDS[kind], *names, **more)


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_with_sensors_has_the_steps_of_one_without(kind):
    bare, nothing, bare_samples, _ = play(kind, default_bench(KINDS[kind]))
    trace, sensed, samples, _ = play(kind, harmless(kind))
    assert nothing == []
    assert len(sensed) > 1_400
    assert trace == bare
    assert [sample.steps for sample in samples] == [sample.steps for sample in bare_samples]
    # Steps of a quantum that is cut are made at whole microseconds, others between them: 0.0004 Pa
    # was measured.
    for one, other in zip(samples, bare_samples, strict=True):
        assert one.pressure_pa == pytest.approx(other.pressure_pa, abs=0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_the_counts_are_the_same_however_time_is_cut_up(kind):
    assert play(kind, harmless(kind)) == play(kind, harmless(kind), stride_ms=777)


def test_both_grounds_are_told_the_same_and_make_the_same():
    bench = harmless(KIND_SYRINGE)
    assert play(KIND_SYRINGE, bench) == play(KIND_SYRINGE, bench, "micropython")


def play_into_alarm(bench, ground):
    with rig(KIND_SYRINGE, bench, ground) as made:
        made.advance(3_000)
        made.order()
        made.advance(20_000)
        return made.trace, made.sensed, made.recorder.samples, made.pump.status()


def test_both_grounds_stop_alike_for_a_sensor_that_fails():
    bench = harmless(KIND_SYRINGE, events=[bf.UnplugSensor(0.1, "encoder")])
    here = play_into_alarm(bench, "cpython")
    assert here == play_into_alarm(bench, "micropython")
    _, sensed, _, status = here
    assert sensed[-1][2] == 1 << sensing.ENCODER
    assert status.state == "alarm"
    assert status.alarms == ("sensor_fault",)


def test_the_sensors_are_read_from_switching_on_at_their_interval():
    with rig(KIND_SYRINGE, harmless(KIND_SYRINGE, interval_s=0.25)) as made:
        made.advance(10_000)
        assert [row[0] for row in made.sensed] == list(range(0, 10_001, 250))
        readings = made.bench.ground.pump.readings
        assert readings.samples[sensing.BATTERY] == 41
        # As often as a board's would be, for its median.
        assert readings.samples[sensing.PRESSURE] == 3 * 41
        assert readings.samples[sensing.UPSTREAM] == 0
        assert made.bench.ground.pump.controller.monitor.sensing.fitted == sum(
            1 << NUMBERS[n] for n in ON_SYRINGE
        )
        barrel_raw = made.sensed[-1][3 + sensing.BARREL]
        assert readings.raw[sensing.BARREL] == barrel_raw < 6_800
        made.order()
        made.advance(1_000)
        # 29.7 mm: the syringe is in as soon as the pump is told of it.
        assert readings.raw[sensing.BARREL] == pytest.approx(6_554 + 29.7 * 1_400, abs=250)


def test_events_reach_the_readings_of_the_pump():
    events = [
        bf.LoseSteps(0.2, 500), bf.Disconnect(0.6), bf.OpenDoor(0.7),
        bf.UnplugSensor(0.8, "force"), bf.SilenceSensor(0.9, "pressure"),
    ]  # fmt: skip
    # Without an encoder nobody sees lost steps, and below 3 kPa nobody that the line is off; all
    # the rest stops the pump, whose sensors are read on.
    names = [name for name in ON_SYRINGE if name != "encoder"]
    with rig(KIND_SYRINGE, harmless(KIND_SYRINGE, *names, events=events)) as made:
        made.order(rate_ul_h=60_000, vtbi_ul=20_000)
        made.advance(11_000)
        readings = made.bench.ground.pump.readings
        made.bench.look()
        # Offset, drift in temperature and noise: half a kilopascal.
        pressure_raw = 13_107 + made.bench.plant.pressure_pa * 0.24
        assert readings.raw[sensing.PRESSURE] == pytest.approx(pressure_raw, abs=120)
        assert pressure_raw > 13_300
        made.advance(24_000)
        made.bench.look()
        assert made.bench.motor.steps - made.bench.motor.turned == 500
        assert made.bench.plant.pressure_pa > 800
        made.advance(5_000)
        made.bench.look()
        assert made.bench.plant.pressure_pa < 100
        assert made.pump.status().state == "infusing"
        assert not readings.raw[sensing.DOOR]
        made.advance(4_000)
        assert readings.raw[sensing.DOOR]
        assert made.pump.status().alarms == ("door_open",)
        assert not readings.failed
        made.advance(6_000)
        assert readings.failed == 1 << sensing.FORCE
        made.advance(8_000)
        seen = readings.samples[sensing.PRESSURE]
        assert 3 * readings.samples[sensing.BARREL] > seen
        made.advance(5_000)
        assert readings.samples[sensing.PRESSURE] == seen
        assert made.pump.status().alarms == ("door_open", "sensor_fault")
