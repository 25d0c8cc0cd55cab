"""Air, barrel, battery, rail, temperature: laws against plain models, then examples."""

import os
import subprocess
import sys

import pytest
import support
import test_small_ints
from hypothesis import given, settings
from hypothesis import strategies as st

from micropump import detectors
from micropump.detectors import Air, Barrel, Battery, Rail, Temperature
from micropump.filters import Beyond, Held, Smooth

LEAST_NL = detectors.AIR_LEAST_BUBBLE_NL


class PlainAir:
    """The same as Air with a list of every bubble that ever was."""

    def __init__(self, limit_nl=200_000, accumulated_nl=1_000_000):
        self.limit_nl, self.accumulated_nl = limit_nl, accumulated_nl
        self.now_ms = 0
        self.present = False
        self.open_nl = 0
        self.bubbles = []

    def update(self, elapsed_ms, pushed_nl, air_permille):
        self.now_ms += elapsed_ms
        if air_permille >= 600:
            self.present = True
        elif air_permille <= 400 and self.present:
            self.present = False
            self.bubbles.append((self.now_ms, self.open_nl))
            self.open_nl = 0
        if self.present:
            self.open_nl = max(0, self.open_nl + pushed_nl)
        held_nl = [nl for at_ms, nl in self.bubbles if self.now_ms - at_ms < 900_000]
        self.within_nl = sum(nl for nl in held_nl if nl >= 50_000)
        counted_nl = sum(nl for nl in [*held_nl, self.open_nl] if nl >= 50_000)
        return (self.open_nl >= self.limit_nl) + 2 * (counted_nl >= self.accumulated_nl)


SAMPLES = st.tuples(
    st.sampled_from([100, 1_000, 60_000, 299_999]),
    st.integers(-5_000, 60_000),
    st.sampled_from([0, 0, 400, 401, 500, 599, 600, 1_000, 1_000]),
)


@given(st.lists(SAMPLES, max_size=300), st.sampled_from([50_000, 200_000, 500_000]))
@settings(max_examples=150, deadline=None)
def test_air_is_that_of_a_list_of_all_bubbles(samples, limit_nl):
    air, plain = Air(), PlainAir(limit_nl)
    air.configure(limit_nl)
    for sample in samples:
        assert air.update(*sample) == plain.update(*sample)
        # Beyond the limit the record keeps as much as it takes to stay there.
        assert min(air.accumulated_nl, 1_000_000) == min(plain.within_nl, 1_000_000)


@given(st.lists(st.integers(1, LEAST_NL - 1), max_size=60), st.sampled_from([1, 7, 333]))
@settings(max_examples=60, deadline=None)
def test_bubbles_below_50_ul_never_count(bubbles_nl, parts):
    air = Air()
    for nl in bubbles_nl:
        for part in range(parts):
            assert air.update(1, nl * (part + 1) // parts - nl * part // parts, 1_000) == 0
        assert air.update(1, 10_000, 0) == 0
        assert air.accumulated_nl == 0


@pytest.mark.parametrize("limit_ul", [50, 200, 500])
def test_a_bubble_is_found_at_its_limit_to_the_nanolitre(limit_ul):
    air = Air()
    air.configure(limit_ul * 1_000)
    assert air.update(100, limit_ul * 1_000 - 1, 1_000) == 0
    assert air.update(100, 1, 1_000) == Air.BUBBLE
    assert air.update(100, -1, 1_000) == 0


def test_a_limit_outside_of_50_to_500_ul_is_the_nearest_within():
    air = Air()
    air.configure(10_000_000)
    assert air.update(100, 500_000, 1_000) == Air.BUBBLE
    air.clear()
    air.configure(0)
    assert air.update(100, 49_999, 1_000) == 0


def test_a_millilitre_in_a_quarter_of_an_hour_is_found_and_one_in_a_longer_time_is_not():
    for gap_ms, found in ((149_999, Air.ACCUMULATED), (150_000, 0)):
        air = Air()
        air.configure(500_000)
        said = 0
        for _ in range(7):
            # 7 bubbles of 150 µL; six gaps later the first is just within, or just not.
            air.update(0, 150_000, 1_000)
            said |= air.update(0, 10, 0)
            air.update(gap_ms, 10_000, 0)
        assert said == found


def test_twenty_of_the_smallest_bubbles_are_a_millilitre():
    air = Air()
    for bubble in range(1, 60):
        air.update(1_000, LEAST_NL, 1_000)
        assert (air.update(1_000, 10, 0) == Air.ACCUMULATED) == (bubble >= 20)


def test_clear_forgets_all_air():
    air = Air()
    assert air.update(100, 1_200_000, 1_000) == Air.BUBBLE | Air.ACCUMULATED
    air.clear()
    assert air.update(100, 100_000, 0) == 0
    assert air.accumulated_nl == 0


def barrel_of(diameter_um=29_000):
    barrel = Barrel()
    barrel.configure(diameter_um)
    return barrel


@pytest.mark.parametrize("period_ms", [100, 1_000])
@pytest.mark.parametrize(
    ("opening_um", "found"),
    [
        (29_000, 0), (30_200, 0), (27_800, 0), (30_201, Barrel.WRONG_SIZE),
        (27_799, Barrel.WRONG_SIZE), (2_000, Barrel.WRONG_SIZE), (1_999, Barrel.REMOVED),
        (-50, Barrel.REMOVED),
    ],
)  # fmt: skip
def test_a_syringe_is_there_and_of_its_size_or_not(period_ms, opening_um, found):
    barrel = barrel_of()
    assert [barrel.update(period_ms, 29_000) for _ in range(9)] == [0] * 9
    said = [barrel.update(period_ms, opening_um) for _ in range(9)]
    assert said[-1] == found
    if found:
        # Not by one sample, and within 0.3 s or two samples.
        assert said[0] == 0
        assert said.index(found) * period_ms <= max(300, period_ms)
    assert barrel.update(period_ms, 29_000) == 0


def test_any_size_will_do_where_none_was_programmed():
    barrel = barrel_of(0)
    assert not any(barrel.update(100, opening) for opening in range(2_000, 40_000, 500))


class PlainBattery:
    """Means of a list, and a state for each of the two findings."""

    def __init__(self):
        self.samples = []
        self.low = self.depleted = False

    def update(self, mv):
        self.samples.append(mv)
        if len(self.samples) < 10:
            return 0
        mean = sum(self.samples[-10:]) // 10
        self.low = mean < 11_000 or (self.low and mean < 11_100)
        self.depleted = mean < 10_000 or (self.depleted and mean < 10_100)
        return self.low + 2 * self.depleted


@given(st.lists(st.integers(9_800, 11_300), max_size=80))
@settings(max_examples=150, deadline=None)
def test_a_battery_has_hysteresis_on_the_mean_of_ten(samples):
    battery, plain = Battery(), PlainBattery()
    battery.configure(11_000, 10_000)
    for mv in samples:
        assert battery.update(mv) == plain.update(mv)


def test_a_battery_at_its_bounds():
    battery = Battery()
    battery.configure(11_000, 10_000)
    assert [battery.update(11_000) for _ in range(10)] == [0] * 10
    # 10 999.9 is below.
    assert battery.update(10_999) == Battery.LOW
    assert [battery.update(11_099) for _ in range(20)][-1] == Battery.LOW
    assert [battery.update(11_100) for _ in range(10)][-1] == 0
    assert [battery.update(0) for _ in range(10)][-1] == Battery.LOW | Battery.DEPLETED


def test_one_false_sample_is_no_low_battery():
    battery = Battery()
    battery.configure(11_000, 10_000)
    for n in range(100):
        assert battery.update(3_000 if n % 20 == 19 else 12_000) == 0


@given(
    st.lists(st.integers(-30, 30), max_size=60),
    st.integers(-20, 20),
    st.integers(1, 9),
    st.sampled_from([-1, 1]),
)
def test_a_bound_with_hysteresis_is_its_two_sentences(values, bound, hysteresis, sign):
    beyond = Beyond(0)
    beyond.configure(bound, sign * hysteresis)
    was = False
    for value in values:
        over = sign * (value - bound)
        is_so = beyond.update(100, value)
        assert is_so == (over > 0 or (was and over > -hysteresis))
        was = is_so


@given(st.lists(st.tuples(st.integers(1, 400), st.booleans()), max_size=60), st.integers(0, 1_000))
def test_what_is_held_was_so_all_the_time(samples, hold_ms):
    held = Held(hold_ms)
    for n, (elapsed_ms, is_so) in enumerate(samples):
        run = 0
        while run <= n and samples[n - run][1]:
            run += 1
        for_ms = sum(ms for ms, _ in samples[n - run + 2 : n + 1]) if run else -1
        assert held.update(elapsed_ms, is_so) == (run > 0 and for_ms >= hold_ms)


@given(
    st.lists(
        st.tuples(st.sampled_from([20, 100, 499, 500, 1_000]), st.integers(-100_000, 100_000)),
        min_size=1,
        max_size=60,
    )
)
def test_a_filter_is_a_first_order_lag_from_its_first_sample_on(samples):
    smooth = Smooth(500)
    exact = samples[0][1]
    for elapsed_ms, sample in samples:
        exact += (sample - exact) * min(1.0, elapsed_ms / 500)
        # Each step is rounded down by less than one, and a part of all before.
        assert exact - 500 / 20 <= smooth.update(elapsed_ms, sample) <= exact + 1e-6
    smooth.begin()
    assert smooth.update(20, -7) == -7


def test_the_rail_has_a_range():
    rail = Rail()
    rail.configure(10_000, 14_000)
    for mv, found in ((12_000, 0), (9_999, Rail.LOW), (10_299, Rail.LOW), (10_300, 0),
                      (14_001, Rail.HIGH), (13_701, Rail.HIGH), (13_700, 0)):  # fmt: skip
        said = [rail.update(100, mv) for _ in range(4)]
        assert said[-1] == found, mv
    # A dip of a tenth of a second is a motor's.
    assert [rail.update(100, mv) for mv in (5_000, 5_000, 12_000)] == [0, 0, 0]


def test_heat_has_to_last_and_to_go():
    temperature = Temperature()
    assert [temperature.update(1_000, 651) for _ in range(3)] == [0, 0, Temperature.OVER]
    assert temperature.update(1_000, 601) == Temperature.OVER
    assert temperature.update(1_000, 600) == 0
    assert not any(temperature.update(1_000, 650) for _ in range(9))


def on_cpython():
    script = support.SCRIPTS / "detectors.py"
    words = [sys.executable, script, support.FIRMWARE, "nothing"]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=True).stdout


def test_no_detector_allocates_in_its_updates():
    done = support.run_micropython("detectors.py", "nothing")
    assert done.returncode == 0, done.stdout + done.stderr
    # And all come to the same as where nothing is locked.
    assert done.stdout == on_cpython()


def test_the_lock_is_real():
    done = support.run_micropython("detectors.py", "push")
    assert done.returncode != 0
    assert "heap is locked" in done.stdout + done.stderr


@pytest.mark.skipif(
    not test_small_ints.PROGRAM.exists() and os.environ.get("MICROPUMP_REQUIRE_UNIX31") != "1",
    reason="the port with 31-bit small ints is not built; build it with: make unix31",
)
def test_every_intermediate_is_a_small_integer_of_the_board():
    script = support.SCRIPTS / "detectors.py"
    words = [test_small_ints.PROGRAM, "-X", test_small_ints.HEAP, script, support.FIRMWARE]
    done = subprocess.run(
        [*words, "nothing"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == on_cpython()
