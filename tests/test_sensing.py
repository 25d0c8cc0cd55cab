"""From raw counts to units, exactly; every kind of fault in its time, and none without a cause.

``python tests/test_sensing.py`` measures the swings that docs/sensors.md tells of.
"""

import random
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise, product
from math import floor

import pytest
import support
import test_small_ints
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from test_plant_peristaltic import HEAD, IDEAL
from test_plant_peristaltic import OPEN as HEAD_OPEN
from test_plant_syringe import GEOMETRY, REAL
from test_plant_syringe import OPEN as SYRINGE_OPEN

from micropump import sensing
from micropump.sensing import (
    BAD_SAMPLES,
    DRIFTED,
    FAILED,
    FORCE,
    GOOD_SAMPLES,
    NOISY,
    OPEN,
    PRESSURE,
    REST_SAMPLES,
    SHORTED,
    SILENT,
    STUCK,
    Readings,
    Sensing,
)
from micropump.units import CLOCK_MASK, SMALL_INT_LIMIT
from micropump_host.bench.peristaltic import PeristalticPlant
from micropump_host.bench.syringe import SyringePlant
from micropump_host.image.boardfile import load_board

MEDIANS = (sensing.PRESSURE, sensing.FORCE, sensing.UPSTREAM)
EVERY_MS = 100
# The Pico's own sensors: the figures that are judged here are those that are built.
SPECS = {
    sensor.name: sensor.spec for sensor in load_board(support.REPO / "boards" / "pico").sensors
}
(_, ZERO, _, _, LEAST, GREATEST, AGE_MS, STUCK_SAMPLES, NOISE, DRIFT) = SPECS["pressure"]
# A reading as a line at some pressure gives it, far from every limit.
RAW = 8_000

port = test_small_ints.port  # the fixture that its marks ask for


class Rig:
    """One sensor, looked at whenever something came."""

    def __init__(self, spec=SPECS["pressure"], now_ms=0, number=int):
        self.spec = spec
        self.sensor = spec[0]
        self.now_ms = now_ms
        self.number = number
        self.readings = Readings()
        self.sensing = Sensing((spec,))
        self.look(False)

    def look(self, flowing):
        self.sensing.look(self.number(self.now_ms & CLOCK_MASK), self.readings, flowing)
        return self.kind

    def wait(self, ms, flowing=False):
        self.now_ms += ms
        return self.look(flowing)

    def put(self, raw, flowing=False):
        self.readings.put(self.sensor, raw)
        return self.wait(EVERY_MS, flowing)

    def fail(self, flowing=False):
        self.readings.fail(self.sensor)
        return self.wait(EVERY_MS, flowing)

    def lively(self, samples, flowing=False, around=RAW):
        """Good samples, each a count from the last."""
        return [self.put(around + at % 2, flowing) for at in range(samples)]

    @property
    def kind(self):
        kind = self.sensing.fault_kind(self.sensor)
        assert bool(kind) == bool(self.sensing.faults)
        return kind

    @property
    def value(self):
        return self.sensing.value[self.sensor]

    @property
    def is_new(self):
        return bool(self.sensing.is_new)


class Watched(int):
    """An integer that does not let anything of it leave the board's small integers."""


def _watching(name):
    def operate(self, *others):
        result = getattr(int, name)(self, *others)
        if result is NotImplemented or isinstance(result, bool):
            return result
        assert -SMALL_INT_LIMIT <= result < SMALL_INT_LIMIT, (name, self, others)
        return Watched(result)

    return operate


for _name in ("add", "sub", "mul", "floordiv", "mod", "lshift", "rshift", "and", "or", "xor"):
    for _side in ("__", "__r"):
        setattr(Watched, f"{_side}{_name}__", _watching(f"{_side}{_name}__"))
for _name in ("neg", "abs", "invert"):
    setattr(Watched, f"__{_name}__", _watching(f"__{_name}__"))


@st.composite
def specs(draw):
    """Any spec that is accepted, of converters of up to 24 bits with their signs."""
    bits = draw(st.sampled_from([1, 12, 16, 24]))
    raws = st.integers(-(1 << bits) + 1, (1 << bits) - 1)
    least, greatest = sorted((draw(raws), draw(raws)))
    span = greatest - least
    num = draw(st.integers(1, 1 << 20)) * draw(st.sampled_from([1, -1]))
    den = draw(st.integers(1, 1 << 20))
    spec = (
        draw(st.integers(0, sensing.SENSORS - 1)), draw(raws), num, den, least, greatest, 500,
        draw(st.integers(0, 1000)), draw(st.integers(0, span)), draw(st.integers(0, span)),
    )  # fmt: skip
    try:
        sensing.check(spec)
    except ValueError:
        assume(False)
    return spec


# --- values ---------------------------------------------------------------------------------------


@given(st.data())
def test_values_are_exact_and_nothing_leaves_the_small_integers(data):
    spec = data.draw(specs())
    sensor, zero, num, den, least, greatest = spec[:6]
    raws = data.draw(st.lists(st.integers(least, greatest), min_size=1, max_size=40))
    rig = Rig(tuple(Watched(field) for field in spec), CLOCK_MASK - 1000, Watched)
    for at, raw in enumerate(raws):
        rig.put(Watched(raw), data.draw(st.booleans()))
        assert rig.is_new
        shift = int(rig.sensing._zero[sensor]) - zero
        of = raw
        if sensor in MEDIANS and at:
            # Of two the lesser.
            of = sorted(raws[max(0, at - 2) : at + 1])[-2]
        assert rig.value == floor(Fraction((of - zero - shift) * num, den))
        # A tare within its bounds changes the zero, and leads no further.
        rig.sensing.zero(sensor)


@pytest.mark.parametrize("sensor", MEDIANS)
@pytest.mark.parametrize("false_raw", ["least", "greatest", "beyond"])
def test_one_false_sample_does_not_show(sensor, false_raw):
    spec = (sensor, *SPECS["force" if sensor == sensing.FORCE else "pressure"][1:])
    rig = Rig(spec)
    false = {"least": spec[4], "greatest": spec[5], "beyond": spec[5] + 1}[false_raw]
    seen = set()
    for at in range(60):
        rig.put(false if at % 20 == 19 else spec[1] + at % 3)
        seen.add(rig.value)
    assert seen <= {sensing.scaled(count, spec[2], spec[3]) for count in (0, 1, 2)}


def test_two_puts_between_looks_are_enough_for_a_pressure():
    """A board puts it five times as often as it is looked at: a look later it is known."""
    rig = Rig(SPECS["pressure"])
    rig.lively(5)
    for _ in range(2):
        rig.readings.put(rig.sensor, 20_000)
    rig.wait(EVERY_MS)
    assert rig.value == sensing.scaled(20_000 - rig.spec[1], rig.spec[2], rig.spec[3])


@given(st.integers(-(1 << 25), 1 << 25), st.integers(-(1 << 10), 1 << 10), st.integers(1, 1 << 18))
def test_scaled_is_the_floor_of_the_fraction(delta, num, den):
    assert sensing.scaled(delta, num, den) == floor(Fraction(delta * num, den))


def test_the_watch_is_real():
    with pytest.raises(AssertionError):
        Watched(1 << 20) * (1 << 10)
    with pytest.raises(AssertionError):
        (1 << 29) + Watched(1 << 29)


@pytest.mark.parametrize(
    ("place", "field", "told"),
    [
        (0, 12, "no such sensor"),
        (0, -1, "no such sensor"),
        (2, 0, "scale or range is empty"),
        (3, 0, "scale or range is empty"),
        (4, GREATEST + 1, "scale or range is empty"),
        (6, 0, "not negative"),
        (8, -1, "not negative"),
        (2, 1 << 20, "leaves the small integers"),
        (3, 1 << 29, "leaves the small integers"),
        (5, 1 << 27, "leaves the small integers"),
        (9, 1 << 30, "leaves the small integers"),
    ],
)
def test_a_spec_that_cannot_be_is_refused(place, field, told):
    spec = list(SPECS["pressure"])
    spec[place] = field
    with pytest.raises(ValueError, match=told):
        Sensing((tuple(spec),))


def test_two_specs_of_one_sensor_are_refused():
    with pytest.raises(ValueError, match="two specs for pressure"):
        Sensing((SPECS["pressure"], SPECS["pressure"]))


def test_only_what_is_fitted_is_judged():
    eyes = Sensing((SPECS["pressure"], SPECS["door"]))
    assert eyes.fitted == 1 << PRESSURE | 1 << sensing.DOOR
    readings = Readings()
    readings.put(PRESSURE, RAW)
    readings.put(FORCE, 1 << 29)
    eyes.look(0, readings, True)
    assert eyes.is_new == 1 << PRESSURE
    eyes.look(1, readings, True)
    assert eyes.is_new == 0


def test_a_digital_sensor_is_what_it_says():
    rig = Rig(SPECS["door"])
    for is_open in (0, 1, 1, 0):
        rig.put(is_open)
        assert rig.value == is_open
    rig = Rig(SPECS["air"])
    assert (rig.put(1), rig.value) == (0, 1000)


# --- faults: each within its number of samples ----------------------------------------------------


@pytest.mark.parametrize("flowing", [False, True])
@given(st.integers(0, 400), st.integers(1, 1 << 23), st.sampled_from([OPEN, SHORTED, FAILED]))
def test_what_cannot_be_is_a_fault_at_the_third_in_a_row(flowing, before, beyond, kind):
    rig = Rig()
    rig.lively(before, flowing)
    value = rig.value
    found = []
    for _ in range(BAD_SAMPLES):
        if kind == FAILED:
            found.append(rig.fail(flowing))
        else:
            raw = LEAST - beyond if kind == OPEN else GREATEST + beyond
            found.append(rig.put(raw, flowing))
        # What is not plausible never becomes a value.
        assert not rig.is_new
        assert rig.value == value
    assert found == [0, 0, kind]


@given(st.integers(0, CLOCK_MASK), st.integers(0, 40), st.integers(1, 499))
def test_silence_is_a_fault_at_its_age_and_not_before(start_ms, before, step_ms):
    rig = Rig(now_ms=start_ms)
    rig.lively(before)
    last_ms = rig.now_ms
    while rig.now_ms + step_ms - last_ms < AGE_MS:
        assert rig.wait(step_ms) == 0
    assert rig.wait(last_ms + AGE_MS - 1 - rig.now_ms) == 0
    assert rig.wait(1) == SILENT


def test_a_sensor_that_never_spoke_is_silent():
    assert Rig().wait(AGE_MS) == SILENT


@given(st.integers(2, 500), st.integers(0, 300), st.integers(0, 50))
def test_a_stuck_sensor_is_found_at_its_number_and_only_in_flow(stuck, at_rest, before):
    spec = (*SPECS["pressure"][:7], stuck, *SPECS["pressure"][8:])
    rig = Rig(spec)
    rig.lively(before, True, RAW + 10)
    found = [rig.put(RAW, True)]
    # At rest nothing has to move, for however long.
    found += [rig.put(RAW) for _ in range(at_rest)]
    assert not any(found)
    found = [rig.put(RAW, True) for _ in range(stuck - 1)]
    assert found == [0] * (stuck - 2) + [STUCK]


def test_a_sensor_that_is_not_judged_may_stay_as_it_is():
    rig = Rig(SPECS["encoder"])
    assert not any(rig.put(1234, True) for _ in range(100_000))


@given(st.integers(1, 40), st.integers(NOISE // 2 + 1, 20_000), st.booleans())
def test_noise_is_found_at_the_third_swing_each_way(before, swing, flowing):
    rig = Rig()
    rig.lively(before, flowing)
    found = []
    for _ in range(3):
        found += [rig.put(RAW + 1 + swing, flowing), rig.put(RAW, flowing)]
    assert found == [0] * 5 + [NOISY]


@pytest.mark.parametrize("seed", range(20))
def test_random_noise_is_found_within_its_window(seed):
    """Evenly spread over twice the limit: 28 % of the differences are beyond it either way."""
    rng = random.Random(seed)
    rig = Rig()
    rig.lively(30)
    kinds = [rig.put(20_000 + rng.randint(-NOISE, NOISE), True) for _ in range(40)]
    # Of 2,000 seeds the slowest took 37.
    assert NOISY in kinds


def test_swings_of_half_the_limit_are_no_noise():
    rig = Rig()
    assert not any(rig.put(RAW + at % 2 * (NOISE // 2)) for at in range(60))
    # Nor where they are beyond it in one direction alone.
    for drift in (-1, 1):
        rig = Rig()
        assert not any(rig.put(RAW + at % 2 * (NOISE // 2) + at // 2 * drift) for at in range(60))


@given(st.integers(0, 4_000), st.integers(1, NOISE // 2), st.data())
def test_what_stays_below_the_limit_is_no_noise(around, swing, data):
    rig = Rig()
    for is_up in data.draw(st.lists(st.booleans(), min_size=60, max_size=60)):
        assert rig.put(RAW + around + is_up * swing, True) == 0


@given(st.lists(st.integers(0, 20_000), min_size=1, max_size=60), st.booleans())
def test_what_only_rises_or_only_falls_is_no_noise(steps, falling):
    rig = Rig()
    raw = GREATEST if falling else LEAST
    for step in steps:
        raw = max(LEAST, raw - step) if falling else min(GREATEST, raw + step)
        assert rig.put(raw) == 0


# --- zero and drift -------------------------------------------------------------------------------


@given(st.integers(-3 * DRIFT, 3 * DRIFT))
def test_a_zero_is_taken_within_its_bound_and_is_a_drift_beyond(offset):
    offset = max(offset, LEAST - ZERO)
    rig = Rig()
    assert not rig.sensing.zero(PRESSURE)
    for _ in range(REST_SAMPLES - 1):
        rig.put(ZERO + offset)
    assert not rig.sensing.zero(PRESSURE)
    rig.put(ZERO + offset)
    taken = rig.sensing.zero(PRESSURE)
    assert taken == (abs(offset) <= DRIFT)
    assert rig.kind == (0 if taken else DRIFTED)
    rig.put(ZERO + offset)
    num, den = rig.spec[2:4]
    assert rig.value == (0 if taken else floor(Fraction(offset * num, den)))


def test_zeros_do_not_creep():
    rig = Rig()
    for percent, taken in ((90, True), (100, True), (110, False)):
        for _ in range(REST_SAMPLES):
            rig.put(ZERO + DRIFT * percent // 100)
        assert rig.sensing.zero(PRESSURE) is taken
    assert rig.kind == DRIFTED


def test_a_drift_is_over_when_it_is_over_at_rest():
    rig = Rig()
    for _ in range(REST_SAMPLES):
        rig.put(ZERO + 2 * DRIFT)
    assert not rig.sensing.zero(PRESSURE)
    # That the line's pressure comes by zero in flow says nothing.
    assert set(rig.lively(50, True, ZERO)) == {DRIFTED}
    assert set(rig.lively(50, False, ZERO + 2 * DRIFT)) == {DRIFTED}
    assert rig.lively(GOOD_SAMPLES, False, ZERO) == [DRIFTED] * (GOOD_SAMPLES - 1) + [0]


def test_no_zero_in_flow_in_movement_or_with_a_fault():
    rig = Rig()
    rig.lively(2 * REST_SAMPLES, False, ZERO)
    rig.put(ZERO, True)
    assert not rig.sensing.zero(PRESSURE)
    rig.lively(REST_SAMPLES, False, ZERO)
    assert rig.sensing.zero(PRESSURE)
    for at in range(REST_SAMPLES):
        rig.put(ZERO + at * NOISE // 4)
    assert not rig.sensing.zero(PRESSURE)
    rig.lively(2 * REST_SAMPLES, False, ZERO)
    for _ in range(BAD_SAMPLES):
        rig.put(0)
    assert not rig.sensing.zero(PRESSURE)


def test_flow_in_between_begins_a_zero_anew():
    rig = Rig()
    for at in range(2 * REST_SAMPLES):
        rig.put(ZERO, at == REST_SAMPLES - 1)
        # Seven at rest, one in flow, then eight at rest.
        assert rig.sensing.zero(PRESSURE) is (at == 2 * REST_SAMPLES - 1)


def test_sensors_without_a_bound_have_no_zero_to_be_taken():
    rig = Rig(SPECS["door"])
    for _ in range(REST_SAMPLES):
        rig.put(1)
    assert not rig.sensing.zero(sensing.DOOR)
    assert not rig.sensing.zero(sensing.RAIL)
    assert rig.kind == 0


# --- and no fault without a cause -----------------------------------------------------------------

GLITCHES = st.one_of(
    st.integers(-(1 << 24), 1 << 24),
    st.integers(LEAST, GREATEST),
    st.sampled_from(["fail", "none"]),
)


@settings(max_examples=300)
@given(st.lists(GLITCHES, min_size=1, max_size=2), st.integers(0, 40), st.booleans(), st.data())
def test_one_glitch_is_none_nor_are_two(glitches, before, flowing, data):
    rig = Rig()
    noise = data.draw(st.lists(st.integers(-60, 60), min_size=50, max_size=50))
    places = {before + data.draw(st.integers(0, 5)): glitch for glitch in glitches}
    for at, sway in enumerate(noise):
        glitch = places.get(at)
        if glitch == "fail":
            assert rig.fail(flowing) == 0
        elif glitch == "none":
            assert rig.wait(EVERY_MS, flowing) == 0
        else:
            assert rig.put(RAW + sway if glitch is None else glitch, flowing) == 0


@given(st.lists(st.sampled_from(["fail", 0, 65_535, None]), min_size=20, max_size=60))
def test_any_number_of_glitches_is_none_with_good_samples_between(glitches):
    rig = Rig()
    for at, glitch in enumerate(glitches):
        if glitch is not None and at % 3:
            assert (rig.fail() if glitch == "fail" else rig.put(glitch)) == 0
        else:
            assert rig.put(RAW + at % 2) == 0


def test_the_figures_of_the_specification():
    assert (BAD_SAMPLES, GOOD_SAMPLES, sensing.NOISE_WINDOW) == (3, 10, 16)


@given(st.sampled_from([OPEN, SHORTED, FAILED, SILENT]), st.integers(0, GOOD_SAMPLES - 1))
def test_a_fault_stays_until_ten_good_samples_in_a_row(kind, good):
    def spoil(rig):
        return {
            OPEN: lambda: rig.put(0),
            SHORTED: lambda: rig.put(65_535),
            FAILED: rig.fail,
            SILENT: lambda: rig.wait(AGE_MS),
        }[kind]()

    rig = Rig()
    rig.lively(20)
    for _ in range(BAD_SAMPLES):
        spoil(rig)
    assert rig.kind == kind
    assert set(rig.lively(good)) <= {kind}
    assert spoil(rig) == kind
    assert rig.lively(GOOD_SAMPLES) == [kind] * (GOOD_SAMPLES - 1) + [0]


def test_a_fault_of_movement_ends_when_it_moves_and_one_of_noise_when_it_calms():
    rig = Rig()
    while rig.put(RAW, True) != STUCK:
        pass
    assert {rig.put(RAW, at % 2 == 0) for at in range(50)} == {STUCK}
    rig.put(RAW + 1, True)
    assert [rig.put(RAW + 1, True) for _ in range(GOOD_SAMPLES - 1)][-2:] == [STUCK, 0]
    for at in range(20):
        rig.put(RAW + at % 2 * NOISE, True)
    assert rig.kind == NOISY
    kinds = rig.lively(2 * sensing.NOISE_WINDOW, True)
    # The window has to forget the swings before samples are good.
    assert kinds.index(0) in range(GOOD_SAMPLES, sensing.NOISE_WINDOW + GOOD_SAMPLES)


def test_the_first_fault_is_the_one_that_is_told():
    rig = Rig()
    rig.lively(5)
    for _ in range(BAD_SAMPLES):
        rig.put(0)
    for _ in range(BAD_SAMPLES):
        rig.put(65_535)
    assert rig.wait(AGE_MS) == OPEN


def converted(rng, volts_raw, sigma_codes):
    """The mean of 8 conversions of 12 bits as ``read_u16`` widens them, with noise in codes."""
    total = 0
    for _ in range(8):
        code = min(4095, max(0, round(volts_raw / 16 + rng.gauss(0, sigma_codes))))
        total += code << 4 | code >> 8
    return total // 8


# 2.84 codes is all that an effective resolution of 8.7 bits can be (RP2040 Datasheet, 4.9.3, if
# none of it were distortion); 0.2 is so quiet that nine means in ten are the same in the middle of
# a code, and 300 in a row then have odds of 1e-13.
@pytest.mark.parametrize("sigma_codes", [0.2, 0.5, 2.84])
def test_a_steady_line_is_neither_stuck_nor_noisy(sigma_codes):
    rng = random.Random(f"{sigma_codes}")
    rig = Rig()
    longest = 0
    for _ in range(20_000):
        assert rig.put(converted(rng, 500 * 16, sigma_codes), True) == 0
        longest = max(longest, rig.sensing._same[PRESSURE])
    # Measured: 76, 8 and 5; the limit is 300.
    assert longest < STUCK_SAMPLES * 2 // 3


def test_a_steady_force_is_neither_stuck_nor_noisy():
    """HX711: 50 nV rms of 20 mV at 10 samples a second (data sheet): 21 counts."""
    rng = random.Random(6)
    rig = Rig(SPECS["force"])
    longest = 0
    for _ in range(50_000):
        assert rig.put(round(rng.gauss(400_000, 21)), True) == 0
        longest = max(longest, rig.sensing._same[FORCE])
    # Measured: 4 in 50,000; the limit is 20.
    assert longest <= 6


def walked(plant, rate_ul_h, seconds, read, happens):
    """What ``read`` gives of a plant every 100 ms while it is driven at a rate."""
    interval_s = plant.microstep_ul * 3600 / rate_ul_h
    seen = []
    steps = 0
    for tenth in range(1, seconds * 10):
        now_s = tenth / 10
        while steps * interval_s <= now_s:
            plant.step(steps * interval_s)
            steps += 1
        plant.advance(now_s)
        happens.get(tenth, lambda _: None)(plant)
        seen.append(read(plant))
    return seen


HAPPENS = {
    100: lambda plant: plant.raise_pump(0.5),
    120: lambda plant: plant.raise_pump(-0.5),
    200: lambda plant: plant.occlude(),
    260: lambda plant: plant.release(),
    300: lambda plant: plant.disconnect(),
}


def syringe(**changes):
    line = replace(SYRINGE_OPEN, resistance_pa_s_per_ul=65.0)
    return SyringePlant(GEOMETRY, replace(REAL, **changes), line)


def head(**changes):
    line = replace(HEAD_OPEN, resistance_pa_s_per_ul=65.0)
    return PeristalticPlant(HEAD, replace(IDEAL, **changes), line)


# The wildest of each kind that docs/sensors.md tells of, among 324 syringes and 162 heads.
@pytest.mark.parametrize(
    ("rate_ul_h", "plant"),
    [
        (1_000, lambda: syringe(static_friction_n=60.0, kinetic_friction_n=30.0)),
        (100_000, lambda: syringe(static_friction_n=60.0, kinetic_friction_n=30.0,
                                  drive_stiffness_n_per_mm=50.0, compliance_ul_per_pa=0.002)),
        (400_000, lambda: syringe(static_friction_n=60.0, kinetic_friction_n=30.0,
                                  drive_stiffness_n_per_mm=200.0, compliance_ul_per_pa=0.009)),
        (1_200_000, lambda: head(ripple_percent=(150.0, 60.0, 20.0), compliance_ul_per_pa=5e-4)),
    ],
)  # fmt: skip
def test_a_line_that_is_moved_closed_opened_and_pulled_off_is_no_fault(rate_ul_h, plant):
    rng = random.Random(rate_ul_h)
    num, den = SPECS["pressure"][2:4]
    rig = Rig()
    pump = plant()
    for pressure_pa in walked(pump, rate_ul_h, 40, lambda p: p.pressure_pa, HAPPENS):
        volts_raw = min(GREATEST - 100, ZERO + pressure_pa * den / num)
        assert rig.put(converted(rng, volts_raw, 1.0), True) == 0


def test_a_plunger_that_sticks_and_slips_is_no_noise():
    num, den = SPECS["force"][2:4]
    rng = random.Random(7)
    rig = Rig(SPECS["force"])
    pump = syringe(static_friction_n=60.0, kinetic_friction_n=30.0, drive_stiffness_n_per_mm=200.0)
    for force_n in walked(pump, 400_000, 40, lambda p: p.drive_force_n, {}):
        raw = min(force_n * 1000, 250_000) * den / num + rng.gauss(0, 21)
        assert rig.put(min(round(raw), SPECS["force"][5]), True) == 0


# --- as the board has it --------------------------------------------------------------------------

SCRIPT = support.SCRIPTS / "sensing.py"


def ran(*words):
    return subprocess.run(
        [*words], cwd=support.FIRMWARE, capture_output=True, text=True, timeout=60, check=False
    )


def told():
    """What the script tells on this interpreter, where nothing is locked."""
    done = ran(sys.executable, str(SCRIPT), str(support.FIRMWARE), "nothing")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_looking_allocates_nothing():
    done = support.run_micropython("sensing.py", "nothing")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == told()
    # Every kind of fault was found, and was over again.
    for kind in sensing.FAULT_NAMES[1:]:
        assert f"{kind} found" in done.stdout
        assert f"{kind} over" in done.stdout


def test_the_lock_is_real():
    done = support.run_micropython("sensing.py", "push")
    assert done.returncode != 0
    assert "MemoryError: memory allocation failed, heap is locked" in done.stdout + done.stderr


@pytest.mark.usefixtures("port")
def test_looking_allocates_nothing_with_the_boards_numbers():
    done = ran(str(test_small_ints.PROGRAM), str(SCRIPT), str(support.FIRMWARE), "nothing")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == told()


def third_swings(seen):
    """The third greatest swing each way, the lesser of the two, within any window; greatest."""
    steps = [after - before for before, after in pairwise(seen)]
    windows = (
        sorted(steps[at : at + sensing.NOISE_WINDOW])
        for at in range(len(steps) - sensing.NOISE_WINDOW + 1)
    )
    return max(min(window[-3], -window[2]) for window in windows)


SWINGS = {
    200: lambda plant: plant.raise_pump(0.5),
    220: lambda plant: plant.raise_pump(-0.5),
    300: lambda plant: plant.occlude(),
    450: lambda plant: plant.release(),
}


def measure():
    """Print the greatest third swings of pressure and force, rate by rate."""
    for rate_ul_h in (1_000, 5_000, 25_000, 100_000, 400_000, 1_200_000):
        pressure_pa, force_n, head_pa = 0.0, 0.0, 0.0
        for friction_n, stiffness, compliance, resistance in product(
            ((10.0, 7.0), (30.0, 15.0), (60.0, 30.0)), (50.0, 200.0, 1000.0),
            (0.009, 0.021, 0.002), (5.0, 65.0),
        ):  # fmt: skip
            changes = {
                "static_friction_n": friction_n[0], "kinetic_friction_n": friction_n[1],
                "drive_stiffness_n_per_mm": stiffness, "compliance_ul_per_pa": compliance,
            }  # fmt: skip
            line = replace(SYRINGE_OPEN, resistance_pa_s_per_ul=resistance)
            plant = SyringePlant(GEOMETRY, replace(REAL, **changes), line)
            both = walked(plant, rate_ul_h, 60, lambda p: (p.pressure_pa, p.drive_force_n), SWINGS)
            pressure_pa = max(pressure_pa, third_swings([pressure for pressure, _ in both]))
            force_n = max(force_n, third_swings([force for _, force in both]))
        for ripple, compliance, resistance in product(
            ((60.0, 25.0, 5.0), (100.0, 40.0, 10.0), (150.0, 60.0, 20.0)),
            (0.0005, 0.002, 0.01), (5.0, 20.0, 65.0),
        ):  # fmt: skip
            changes = {"ripple_percent": ripple, "compliance_ul_per_pa": compliance}
            line = replace(HEAD_OPEN, resistance_pa_s_per_ul=resistance)
            plant = PeristalticPlant(HEAD, replace(IDEAL, **changes), line)
            seen = walked(plant, rate_ul_h, 30, lambda p: p.pressure_pa, SWINGS)
            head_pa = max(head_pa, third_swings(seen))
        print(
            f"{rate_ul_h / 1000:g} mL/h: syringe {pressure_pa / 1000:.1f} kPa, {force_n:.1f} N;"
            f" head {head_pa / 1000:.1f} kPa"
        )


if __name__ == "__main__":
    measure()
