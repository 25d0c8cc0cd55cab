"""The default benches against what has been published of real pumps. Sources: docs/physics.md."""

from dataclasses import replace
from itertools import pairwise

import pytest

from micropump_host.bench import (
    PeristalticGeometry,
    SyringeGeometry,
    build_plant,
    default_bench,
)

SYRINGE = SyringeGeometry(bore_mm=26.7, lead_mm=2.0, microsteps_per_rev=3200)
ALARM_PA = 66_660.0  # 500 mmHg
SEEDS = range(5)


def plant_of(seed, geometry=SYRINGE, *, purged=True):
    bench = default_bench("syringe" if geometry is SYRINGE else "peristaltic")
    return build_plant(
        replace(
            bench,
            info=replace(bench.info, seed=seed),
            purge=replace(bench.purge, purged=purged),
        ),
        geometry,
    )


def run_until(plant, rate_ml_h, reached, limit_min):
    """Step at a rate until ``reached()``, and return the time, min."""
    interval_s = plant.microstep_ul / (rate_ml_h / 3.6)
    for i in range(1, int(limit_min * 60.0 / interval_s)):
        plant.step(i * interval_s)
        if reached():
            return plant.time_s / 60.0
    raise AssertionError(f"not within {limit_min} min")


@pytest.mark.parametrize(("rate_ml_h", "mean_min", "sd_min"), [(0.5, 117.0, 9.0), (5.0, 15.0, 7.0)])
@pytest.mark.parametrize("seed", SEEDS)
def test_time_to_the_occlusion_alarm(seed, rate_ml_h, mean_min, sd_min):
    """Dönmez 2005: occluded from the start, 50 mL syringe."""
    plant = plant_of(seed)
    plant.occlude()
    alarm_min = run_until(plant, rate_ml_h, lambda: plant.pressure_pa >= ALARM_PA, 200.0)
    assert abs(alarm_min - mean_min) <= sd_min


# The first liquid that a balance of 1 mg can show.
FIRST_LIQUID_UL = 1.0


@pytest.mark.parametrize("seed", SEEDS)
def test_an_unpurged_start_at_1_ml_h_takes_long(seed):
    """Neff 2001: first liquid after 6.75 to 57 min."""
    plant = plant_of(seed, purged=False)
    assert 6.75 <= run_until(plant, 1.0, lambda: plant.outflow_ul >= FIRST_LIQUID_UL, 90.0) <= 57.2


@pytest.mark.parametrize("seed", SEEDS)
def test_a_purged_start_at_1_ml_h_is_prompt(seed):
    """Neff 2001: first liquid after 0.3 to 1.1 min once 2 mL were purged."""
    plant = plant_of(seed)
    assert 0.3 <= run_until(plant, 1.0, lambda: plant.outflow_ul >= FIRST_LIQUID_UL, 5.0) <= 1.1


def errors_percent(plant, rate_ml_h):
    """Errors of the flow in half-minute samples over the second hour, %."""
    interval_s = plant.microstep_ul / (rate_ml_h / 3.6)
    volumes_ul = []
    done = 1
    for sample in range(241):
        t_s = sample * 30.0
        while done * interval_s <= t_s:
            plant.step(done * interval_s)
            done += 1
        plant.advance(t_s)
        if sample >= 120:
            volumes_ul.append(plant.outflow_ul)
    return [100.0 * ((b - a) * 0.12 / rate_ml_h - 1.0) for a, b in pairwise(volumes_ul)]


def window(errors, minutes):
    """The greatest and the least mean error over windows of a length in minutes, %."""
    width = 2 * minutes
    means = [sum(errors[i : i + width]) / width for i in range(len(errors) - width + 1)]
    return max(means), min(means)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_purged_syringe_at_5_ml_h_has_a_good_pumps_trumpet(seed):
    errors = errors_percent(plant_of(seed), 5.0)
    # Measured over five seeds: A 0.25 to 0.56 %, P = 2 min within +4.1 and -3.3 %.
    assert abs(sum(errors) / len(errors)) < 2.0
    high, low = window(errors, 2)
    assert 1.0 < high < 10.0
    assert -10.0 < low < -1.0
    wide_high, wide_low = window(errors, 31)
    assert wide_high - wide_low < (high - low) / 4.0


@pytest.mark.parametrize(("ml_per_rev", "rollers"), [(0.1, 6), (0.3, 3), (0.5, 4), (1.0, 3)])
def test_a_purged_peristaltic_head_at_25_ml_h_has_a_good_pumps_trumpet(ml_per_rev, rollers):
    errors = errors_percent(plant_of(1, PeristalticGeometry(ml_per_rev, rollers, 3200)), 25.0)
    # Measured: A -1.2 %; P = 2 min within +10.6 and -12.9 % for the coarsest of the four.
    assert abs(sum(errors) / len(errors)) < 5.0
    high, low = window(errors, 2)
    assert high < 15.0
    assert low > -15.0
    assert high - low > 0.2


def test_a_large_syringe_is_uneven_below_its_least_recommended_rate():
    """Perfusor Compact Plus recommends at least 1 mL/h for 50 mL: below, the plunger sticks."""
    spread = {}
    for rate_ml_h in (0.5, 1.0, 5.0):
        high, low = window(errors_percent(plant_of(1), rate_ml_h), 2)
        spread[rate_ml_h] = high - low
    # Measured 57, 8 and 7 %: at 1 mL/h only the screw's error is left.
    assert spread[0.5] > 3.0 * spread[1.0]
    assert spread[1.0] < 2.0 * spread[5.0]
