"""Pressure detectors against the bench's physics: closed lines, open lines, heights, stick-slip."""

import random

import lines
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from micropump import occlusion
from micropump.occlusion import (
    Baseline,
    Disconnection,
    Occlusion,
    Release,
    Slope,
    Upstream,
    bolus_nl,
)
from micropump_host.bench.peristaltic import PeristalticPlant

# A force cell reads the friction too, and stick-slip moves it by the static above the kinetic: the
# drawn syringes by up to 6.4 N, 11 kPa.
FORCE_FLOOR_PA = occlusion.SLOPE_FLOOR_PA + 8_000


def detector_of(line, level_pa, *, by_force=False):
    detector = Occlusion()
    if isinstance(line.plant, PeristalticPlant):
        detector.configure(level_pa, floor_pa=0)
    elif by_force:
        friction_pa = round(line.kinetic_pa)
        detector.configure(
            level_pa,
            friction_pa=friction_pa,
            floor_pa=FORCE_FLOOR_PA,
            quarter_least_percent=occlusion.FORCE_QUARTER_LEAST_PERCENT,
            quarter_greatest_percent=occlusion.FORCE_QUARTER_GREATEST_PERCENT,
        )
    else:
        detector.configure(level_pa)
    detector.begin()
    return detector


# How often it is looked at: as the board reads, beside a host that asks all the time; by control
# cycles alone; as seldom as the evidence does.
PERIODS_MS = [20, 100, 1000]


def times_closed(seed, rate_ml_h, level_pa, period_ms, *, by_force=False):
    """Seconds from closing the line until SLOPE and LEVEL; nothing may be found before."""
    rng = random.Random(f"closed {seed}")
    line = lines.syringe(rng, lines.line_end(rng))
    detector = detector_of(line, level_pa, by_force=by_force)
    read = line.read_force_pa if by_force else line.read_line_pa
    flow = lines.Flow(line, rate_ml_h, period_ms)
    noise = random.Random(seed)
    for _ in range(int(rng.uniform(0.0, 400.0) / (rate_ml_h / 3.6) * 1000 / period_ms)):
        assert detector.update(period_ms, flow.next_nl(), read(noise)) == 0
    line.plant.occlude()
    closed_s = flow.now_s
    slope_s = None
    while True:
        found = detector.update(period_ms, flow.next_nl(), read(noise))
        if found & Occlusion.SLOPE and slope_s is None:
            slope_s = flow.now_s - closed_s
        if found & Occlusion.LEVEL:
            return slope_s, flow.now_s - closed_s


@pytest.mark.parametrize("period_ms", PERIODS_MS)
@pytest.mark.parametrize(("rate_ml_h", "seeds"), [(0.5, 4), (1.0, 8), (5.0, 20)])
def test_slope_takes_at_most_half_of_the_time_of_the_level(rate_ml_h, seeds, period_ms):
    # Up to 5 mL/h and from 30 kPa on. Of 300 syringes at 5 mL/h 298 are below a half; one is at
    # 0.504, and one sticks so that its level tells it.
    for seed in range(seeds if period_ms == 1000 else max(1, seeds // 4)):
        slope_s, level_s = times_closed(seed, rate_ml_h, 30_000, period_ms)
        assert slope_s is not None
        assert slope_s <= level_s / 2, seed


@pytest.mark.parametrize("period_ms", PERIODS_MS)
@pytest.mark.parametrize(
    ("rate_ml_h", "level_pa"), [(25.0, 30_000), (25.0, 60_000), (100.0, 60_000)]
)
def test_slope_is_before_the_level_at_higher_rates_too(rate_ml_h, level_pa, period_ms):
    for seed in range(10):
        slope_s, level_s = times_closed(seed, rate_ml_h, level_pa, period_ms)
        assert slope_s is not None
        # At 25 mL/h the most of 60 is 0.62 of the time to 30 kPa.
        assert slope_s < 0.65 * level_s, seed


@pytest.mark.parametrize("rate_ml_h", [1.0, 5.0, 25.0])
def test_a_force_cell_finds_closed_lines(rate_ml_h):
    for seed in range(8):
        slope_s, level_s = times_closed(seed, rate_ml_h, 60_000, 1000, by_force=True)
        assert slope_s is not None
        assert slope_s < level_s, seed


@pytest.mark.parametrize("rate_ml_h", [1.0, 5.0, 25.0, 100.0])
def test_the_level_comes_when_it_is_expected(rate_ml_h):
    rng = random.Random(5)
    end = lines.line_end(rng, gauge=18)
    line = lines.syringe(rng, end)
    line.plant.occlude()
    detector = detector_of(line, 60_000)
    flow = lines.Flow(line, rate_ml_h, 100)
    noise = random.Random(0)
    while not detector.update(100, flow.next_nl(), line.read_line_pa(noise)) & Occlusion.LEVEL:
        pass
    expected_ms = occlusion.expected_alarm_ms(
        round(rate_ml_h * 1000), 60_000, round(line.compliance_ul_kpa * 1000)
    )
    # The drive's own compliance (up to 3 µL/kPa) and the plunger's breaking loose come on top.
    assert expected_ms < flow.now_s * 1000 < 1.4 * expected_ms + 1_000


def open_line(rng, rate_ml_h, greatest_qr_pa=15_000.0):
    """A random needle, back pressure, and a liquid so thick that Q·R is up to 15 kPa."""
    gauge = rng.choice([18, 19, 20, 21, 22, 23, 24])
    water = lines.line_end(rng, gauge).resistance_pa_s_per_ul
    thickest = min(8.0, greatest_qr_pa / (water * rate_ml_h / 3.6))
    thickness = thickest * rng.uniform(0.1, 1.0)
    return lines.line_end(rng, gauge, rng.choice([0.0, rng.uniform(0.0, 13e3)]), thickness * 1e-3)


class Mover:
    """The end of the line, moved by steps and ramps of at most a metre with rests between.

    A ramp is as slow as to look like a compliance of 3 … 100 µL/kPa at this rate; a rest is longer
    in volume than the longest stretch that SLOPE looks at.
    """

    def __init__(self, rng, plant, rate_ml_h):
        self.rng, self.plant, self.ul_s = rng, plant, rate_ml_h / 3.6
        self.at_m = self.target_m = rng.choice([0.0, rng.uniform(-1.0, 1.0)])
        self.rest_ul = 0.0
        self.speed_m_s = 0.0
        plant.set_head_height(self.at_m)

    def move(self, period_s):
        rng = self.rng
        self.rest_ul -= self.ul_s * period_s
        if self.at_m == self.target_m:
            if self.rest_ul <= 0.0:
                low, high = max(-1.0, self.at_m - 1.0), min(1.0, self.at_m + 1.0)
                self.target_m = rng.choice([low, high, rng.uniform(low, high)])
                slow = self.ul_s / (3.0 * (100.0 / 3.0) ** rng.random()) / 9.8
                self.speed_m_s = rng.choice([1e9, slow, slow])
            return
        by_m = self.speed_m_s * period_s
        left_m = self.target_m - self.at_m
        self.at_m = (
            self.target_m if abs(left_m) <= by_m else self.at_m + by_m * (left_m / abs(left_m))
        )
        self.plant.set_head_height(self.at_m)
        if self.at_m == self.target_m:
            self.rest_ul = 750.0 + rng.expovariate(1 / 300.0)


def found_of_a_raised_end_and_a_cough(seed, quarters):
    """The end goes up by most of a metre, and soon after somebody coughs; the line stays open."""
    rng = random.Random(f"cough {seed}")
    rate_ml_h = rng.uniform(3.0, 30.0)
    line = lines.syringe(rng, lines.line_end(rng))
    detector = Occlusion()
    detector.configure(
        120_000, quarter_least_percent=quarters[0], quarter_greatest_percent=quarters[1]
    )
    flow = lines.Flow(line, rate_ml_h, 1000)
    noise = random.Random(seed)
    from_m = rng.uniform(-1.0, 0.0)
    line.plant.set_head_height(from_m)
    raised_s = round(400.0 / rate_ml_h * 3.6) + rng.randrange(10)
    took_s = rng.randrange(1, 10)
    to_m = from_m + rng.uniform(0.7, 1.0)
    cough_s = raised_s + took_s + rng.randrange(60)
    cough_ends_s = cough_s + rng.randrange(1, 20)
    cough_pa = rng.uniform(3_000.0, 6_000.0)
    found = 0
    for now_s in range(cough_ends_s + 60):
        if raised_s <= now_s < raised_s + took_s:
            part = (now_s + 1 - raised_s) / took_s
            line.plant.set_head_height(from_m + part * (to_m - from_m))
        if now_s in (cough_s, cough_ends_s):
            line.plant.set_back_pressure(cough_pa if now_s == cough_s else 0.0)
        found |= detector.update(1000, flow.next_nl(), line.read_line_pa(noise))
    return found


def test_a_raised_end_and_a_cough_are_no_closed_line():
    """15 kPa in all, which the floor is below: what tells it is that it comes in two pieces."""
    pump = (occlusion.SLOPE_QUARTER_LEAST_PERCENT, occlusion.SLOPE_QUARTER_GREATEST_PERCENT)
    assert not any(found_of_a_raised_end_and_a_cough(seed, pump) for seed in range(150))
    # With quarters as uneven as a force cell's one in some hundred is.
    assert not found_of_a_raised_end_and_a_cough(213, pump)
    assert found_of_a_raised_end_and_a_cough(213, (2, 60))


@pytest.mark.parametrize("seed", [166, 307])
def test_one_mark_alone_tells_no_closed_line(seed):
    """With such quarters there is one that looks like a closed line, and the next does not."""
    assert not found_of_a_raised_end_and_a_cough(seed, (2, 60))


def found_open(seed, rate_ml_h, period_ms, hours, *, by_force=False, make=lines.syringe):
    """What is found on an open line within some hours, with the end moving."""
    rng = random.Random(f"open {seed}")
    line = make(rng, open_line(rng, rate_ml_h))
    detector = detector_of(line, 120_000, by_force=by_force)
    read = line.read_force_pa if by_force else line.read_line_pa
    flow = lines.Flow(line, rate_ml_h, period_ms)
    mover = Mover(rng, line.plant, rate_ml_h)
    # A start and a move at once are more than either: see docs/detectors.md.
    mover.rest_ul = 750.0
    noise = random.Random(seed)
    found = 0
    for _ in range(int(hours * 3_600_000 / period_ms)):
        mover.move(period_ms / 1000.0)
        found |= detector.update(period_ms, flow.next_nl(), read(noise))
    return found


@pytest.mark.parametrize("rate_ml_h", [0.5, 2.0, 5.0, 12.0, 30.0, 100.0])
def test_no_false_alarm_on_open_lines(rate_ml_h):
    for seed in range(6):
        assert found_open(seed, rate_ml_h, 1000, 2.0 if rate_ml_h < 50 else 0.5) == 0, seed


@pytest.mark.parametrize("rate_ml_h", [1.0, 5.0, 30.0])
def test_no_false_alarm_on_open_lines_looked_at_ten_times_a_second(rate_ml_h):
    assert found_open(17, rate_ml_h, 100, 1.0) == 0


@pytest.mark.parametrize("rate_ml_h", [2.0, 10.0, 25.0])
def test_no_false_alarm_on_heads(rate_ml_h):
    assert found_open(3, rate_ml_h, 1000, 2.0, make=lines.head) == 0


@pytest.mark.parametrize("qr_pa", [2_000, 5_000, 10_000, 15_000])
@pytest.mark.parametrize("compliance_ul_kpa", [9, 14, 21])
def test_a_start_towards_qr_is_no_occlusion(qr_pa, compliance_ul_kpa):
    # Closed form: p = Q·R·(1 − exp(−V/(Q·R·C))), at the lowest floor.
    slope = Slope()
    left = 1.0
    for _ in range(4_000):
        left *= 1.0 - 1_000 / (qr_pa * compliance_ul_kpa)
        assert not slope.update(10_000, 1_000, round(qr_pa * (1.0 - left)))


@given(
    compliance_nl_kpa=st.integers(9_000, 21_000),
    per_update_nl=st.integers(100, 3_000),
    before=st.integers(0, 400),
    from_pa=st.integers(-10_000, 23_000),
)
@settings(max_examples=60, deadline=None)
def test_a_straight_rise_is_found_between_the_floor_and_three_marks_more(
    compliance_nl_kpa, per_update_nl, before, from_pa
):
    slope = Slope()
    for _ in range(before):
        assert not slope.update(10_000, per_update_nl, from_pa)
    nl = 0
    while not slope.update(10_000, per_update_nl, from_pa + nl * 1000 // compliance_nl_kpa):
        nl += per_update_nl
        assert nl < 400_000
    rise_pa = nl * 1000 // compliance_nl_kpa
    in_a_mark_pa = (slope.mark_nl + per_update_nl) * 1000 // compliance_nl_kpa
    # A mark is the mean over its volume, where the rise begins within one it is not counted.
    assert rise_pa >= occlusion.SLOPE_FLOOR_PA
    assert rise_pa <= occlusion.SLOPE_FLOOR_PA + 3 * in_a_mark_pa


@given(step_pa=st.integers(11_000, 120_000), at_nl=st.integers(0, 600_000))
@settings(max_examples=60, deadline=None)
def test_a_step_of_any_height_is_no_slope(step_pa, at_nl):
    slope = Slope()
    for nl in range(0, 1_500_000, 1_000):
        assert not slope.update(1_000, 1_000, step_pa if nl >= at_nl else 0)


@pytest.mark.parametrize("compliance_nl_kpa", [2_000, 60_000])
def test_a_straight_rise_of_another_slope_is_no_closed_line(compliance_nl_kpa):
    slope = Slope()
    for nl in range(0, 2_000_000, 1_000):
        assert not slope.update(10_000, 1_000, nl * 1000 // compliance_nl_kpa)


def test_a_slow_rise_with_a_step_at_its_end_is_no_closed_line():
    # 3.3 kPa in 100 µL, then 8 kPa at once: the floor is reached, and the mean slope fits.
    slope = Slope()
    for nl in range(0, 130_000, 1_000):
        assert not slope.update(1_000, 1_000, nl // 30 + (8_000 if nl >= 100_000 else 0))


def test_two_rises_with_a_rest_between_are_no_closed_line():
    # Each of 7 kPa as a closed line rises, and 100 µL between.
    slope = Slope()
    for nl in range(0, 400_000, 1_000):
        risen_nl = min(nl, 98_000) + min(max(0, nl - 198_000), 98_000)
        assert not slope.update(1_000, 1_000, risen_nl // 14)


def test_what_is_drawn_back_ends_the_rise():
    slope = Slope()
    for nl in range(0, 120_000, 1_000):
        assert not slope.update(1_000, 1_000, nl // 12)
    assert not slope.update(1_000, -1, 10_000)
    for nl in range(120_000, 240_000, 1_000):
        assert not slope.update(1_000, 1_000, nl // 12)


def test_the_response_is_told_where_the_rise_began():
    detector = Occlusion()
    for _ in range(200):
        detector.update(1_000, 1_400, 4_000)
    assert detector.baseline_pa == 4_000
    # The end is raised by half a metre, and closed a while later.
    for _ in range(600):
        assert detector.update(1_000, 1_400, 9_000) == 0
    nl = 0
    while not detector.update(1_000, 1_400, 9_000 + nl // 14) & Occlusion.SLOPE:
        nl += 1_400
    assert 9_000 <= detector.baseline_pa <= 11_500
    detector.begin()
    assert detector.baseline_pa == 0


@pytest.mark.parametrize("level_pa", occlusion.OCCLUSION_LEVELS_PA)
@pytest.mark.parametrize("period_ms", PERIODS_MS)
def test_a_pressure_above_the_level_is_found_and_one_below_is_not(level_pa, period_ms):
    detector = Occlusion()
    detector.configure(level_pa)
    below = [detector.update(period_ms, 0, level_pa - 1) for _ in range(200)]
    assert not any(below)
    above = [detector.update(period_ms, 0, level_pa + 2_000) for _ in range(40)]
    first = above.index(Occlusion.LEVEL)
    # The median waits for a second sample, the lag of 0.5 s for 2 kPa of up to 2.
    assert first * period_ms <= 5_000
    detector.configure(level_pa, friction_pa=5_000)
    assert not any(detector.update(period_ms, 0, level_pa + 4_900) for _ in range(40))


def partial_after_s(rise_pa, minutes=10, **wishes):
    detector = Occlusion()
    detector.configure(120_000, **wishes)
    for second in range(60 * minutes):
        # A step, that a slope does not tell.
        pressure_pa = 2_000 + (rise_pa if second >= 120 else 0)
        if detector.update(1_000, 1_400, pressure_pa) & Occlusion.PARTIAL:
            return second - 120
    return None


def test_a_settled_rise_by_the_margin_is_partial_after_three_minutes():
    assert 180 <= partial_after_s(occlusion.PARTIAL_MARGIN_PA + 500) <= 190
    assert partial_after_s(occlusion.PARTIAL_MARGIN_PA - 500) is None
    assert 60 <= partial_after_s(6_000, margin_pa=5_000, margin_ms=60_000) <= 70


def test_another_rate_has_another_baseline():
    baseline = Baseline()
    for _ in range(90):
        baseline.update(1_000, 1_400, 2_000)
    assert (baseline.known, baseline.learned_pa) == (True, 2_000)
    for _ in range(30):
        baseline.update(1_000, 2_800, 4_000)
    assert not baseline.known
    for _ in range(60):
        baseline.update(1_000, 2_800, 4_000)
    assert (baseline.known, baseline.learned_pa) == (True, 4_000)


@given(st.integers(0, 120_000), st.integers(9_000, 21_000), st.integers(10, 1_200_000))
def test_prediction_is_compliance_times_rise_over_rate(rise_pa, compliance_nl_kpa, rate_ul_h):
    nl = bolus_nl(rise_pa, compliance_nl_kpa)
    assert nl <= rise_pa * compliance_nl_kpa / 1000 < nl + 1
    ms = occlusion.expected_alarm_ms(rate_ul_h, rise_pa, compliance_nl_kpa)
    assert ms <= nl * 3600 / rate_ul_h < ms + 1


def test_the_slope_can_be_predicted():
    detector = Occlusion()
    assert detector.slope_rise_pa(5_000) == 11_000 + 1_155
    assert detector.slope_rise_pa(100_000) > detector.slope_rise_pa(25_000) > 12_155


@pytest.mark.parametrize("period_ms", PERIODS_MS)
def test_a_closed_supply_is_found_by_its_fall_and_by_its_suction(period_ms):
    upstream = Upstream()
    per_update_nl = 7 * period_ms
    found = []
    pressure_pa = 3_000.0
    for sample in range(200_000 // period_ms):
        if sample * period_ms >= 100_000:
            # A supply line of 5 µL/kPa that is closed.
            pressure_pa -= per_update_nl / 5.0
        found.append(upstream.update(period_ms, per_update_nl, round(max(-98_000, pressure_pa))))
    fell = next(i for i, bits in enumerate(found) if bits & Upstream.FALL) * period_ms - 100_000
    drawn = next(i for i, bits in enumerate(found) if bits & Upstream.SUCTION) * period_ms - 100_000
    # 15 kPa and 28 kPa at 1.4 kPa/s; a sample and the lag of 0.5 s come to that.
    assert 10_700 - period_ms <= fell <= 12_300
    assert 20_000 - period_ms <= drawn <= 21_600


def test_a_supply_that_is_moved_by_a_metre_is_not_closed():
    for from_pa, to_pa in ((0, -9_800), (9_800, 0), (-9_800, 0)):
        upstream = Upstream()
        rng = random.Random(1)
        for second in range(600):
            at_pa = from_pa if second < 200 else to_pa
            assert upstream.update(1_000, 7_000, round(at_pa + rng.gauss(0, 100))) == 0


def disconnected_after_s(gauge, rate_ml_h, back_pa, period_ms=1000):
    """The catheter slips out: needle, back pressure and height are those of air."""
    rng = random.Random(9)
    line = lines.syringe(rng, lines.line_end(rng, gauge, back_pa))
    flow = lines.Flow(line, rate_ml_h, period_ms)
    detector = Disconnection()
    noise = random.Random(0)
    while flow.now_s < 600.0:
        if line.plant.outlet_pressure_pa and flow.now_s >= 300.0:
            line.plant.set_back_pressure(0.0)
        if detector.update(period_ms, flow.next_nl(), line.read_line_pa(noise)):
            return flow.now_s - 300.0
    return None


@pytest.mark.parametrize("period_ms", PERIODS_MS)
@pytest.mark.parametrize("rate_ml_h", [1.0, 5.0, 20.0])
def test_a_line_that_comes_off_is_found(rate_ml_h, period_ms):
    # Three seconds, and the line's own relaxation.
    assert 3.0 <= disconnected_after_s(20, rate_ml_h, 5_000.0, period_ms) <= 12.0


def test_a_line_that_never_was_above_ambient_cannot_come_off():
    assert disconnected_after_s(20, 5.0, 2_500.0) is None
    assert disconnected_after_s(20, 5.0, 0.0) is None


def test_ambient_for_less_than_three_seconds_is_no_disconnection():
    detector = Disconnection()
    for second in range(400):
        pressure_pa = 0 if second >= 100 and second % 50 < 3 else 5_000
        assert detector.update(1_000, 1_400, pressure_pa) == 0


def released_nl(pressures_pa, least_nl_kpa=9_000, greatest_nl_kpa=21_000, came=20):
    """What is told from the sample on with which the air came, one a second."""
    release = Release()
    release.configure(least_nl_kpa, greatest_nl_kpa)
    told = []
    for sample, pressure_pa in enumerate(pressures_pa):
        release.update(1_000, pressure_pa)
        told.append(release.flowed_nl(sample > came))
    assert not any(told[: came + 1])
    return told


def test_a_fall_lets_go_what_the_softest_holds_and_a_rise_takes_up_what_the_hardest_does():
    still = [12_000] * 30
    assert sum(released_nl(still + [2_000] * 30)) == 210_000
    assert sum(released_nl(still + [22_000] * 30)) == -90_000
    assert sum(released_nl(still + [2_000] * 30 + [12_000] * 30)) == 0
    assert not any(released_nl(still + [2_000] * 30, 0, 0))


@given(
    falls_pa=st.lists(st.integers(-30_000, 30_000), min_size=1, max_size=20),
    compliance_nl_kpa=st.integers(9_000, 21_000),
)
@settings(max_examples=60, deadline=None)
def test_a_bubble_is_never_taken_for_less_than_it_is(falls_pa, compliance_nl_kpa):
    pressures_pa = [40_000] * 30
    for fall_pa in falls_pa:
        pressures_pa += [40_000 - fall_pa] * 5
    told_nl = sum(released_nl(pressures_pa))
    true_nl = falls_pa[-1] * compliance_nl_kpa // 1000
    # 100 Pa of the hardest and of the softest.
    assert told_nl >= true_nl - 2_100
    assert abs(told_nl) <= abs(falls_pa[-1]) * 21 + 2_100


def test_a_fall_that_brings_the_air_is_not_counted():
    # A second of it after the sensor sees the air, since the filter lags.
    assert not any(released_nl([12_000] * 20 + [2_000] * 20))
    assert not any(released_nl([12_000] * 22 + [2_000] * 20))
    assert sum(released_nl([12_000] * 25 + [2_000] * 20)) == 210_000


def test_noise_is_no_flow():
    noise = random.Random(4)
    told = released_nl([round(5_000 + noise.gauss(0, 100)) for _ in range(1_000)])
    sums = [sum(told[:upto]) for upto in range(0, 1_000, 10)]
    # Of the median of three, 0.4 kPa at the most, with the greatest compliance.
    assert max(map(abs, sums)) <= 8_400


@pytest.mark.parametrize("pressure_pa", [-600_000, 600_000])
def test_what_is_released_stays_within_small_integers(pressure_pa):
    told = released_nl([-pressure_pa] * 30 + [pressure_pa] * 30, 30_000, 30_000)
    assert abs(sum(told)) == 30_000_000
