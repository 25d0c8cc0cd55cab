"""The balance: what it shows against what is in the beaker."""

import math
import statistics
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micropump_host.bench.balance import Balance, BalanceErrors

PERFECT = BalanceErrors(
    initial_mass_g=20.0,
    density_g_ml=0.998,
    resolution_mg=0.0,
    noise_mg=0.0,
    drift_mg_h=0.0,
    walk_mg_per_root_h=0.0,
    evaporation_mg_h=0.0,
    lag_s=0.0,
)

times_s = st.lists(st.floats(0.0, 1e5), min_size=1, max_size=20).map(sorted)


@given(times_s, st.floats(0.0, 2000.0))
def test_without_errors_it_shows_density_times_volume(times, rate_ul_s):
    balance = Balance(PERFECT, seed=1)
    for t_s in times:
        shown_g = balance.read(t_s, rate_ul_s * t_s)
        assert shown_g == pytest.approx(20.0 + 0.998e-3 * rate_ul_s * t_s, rel=1e-12)


@given(st.sampled_from([0.01, 0.1, 1.0, 10.0]), st.floats(0.0, 50_000.0))
def test_the_display_shows_whole_steps(resolution_mg, outflow_ul):
    errors = replace(PERFECT, resolution_mg=resolution_mg)
    shown_g = Balance(errors, seed=1).read(1.0, outflow_ul)
    true_g = 20.0 + outflow_ul * 0.998e-3
    assert abs(shown_g - true_g) <= resolution_mg * 0.5e-3 + 1e-9
    in_steps = shown_g * 1e3 / resolution_mg
    assert in_steps == pytest.approx(round(in_steps), abs=1e-4)


def test_evaporation_and_drift_are_linear_and_of_opposite_sign():
    errors = replace(PERFECT, evaporation_mg_h=50.0, drift_mg_h=10.0)
    balance = Balance(errors, seed=1)
    assert balance.read(7200.0, 0.0) == pytest.approx(20.0 - 2 * 0.050 + 2 * 0.010, abs=1e-12)


@given(st.floats(0.1, 60.0), st.floats(0.1, 100.0))
def test_on_a_ramp_the_display_trails_by_slope_times_lag(lag_s, rate_ul_s):
    balance = Balance(replace(PERFECT, lag_s=lag_s), seed=1)
    balance.read(0.0, 0.0)
    t_s = 50.0 * lag_s
    shown_g = balance.read(t_s, rate_ul_s * t_s)
    slope_g_s = rate_ul_s * 0.998e-3
    assert shown_g == pytest.approx(20.0 + slope_g_s * (t_s - lag_s), rel=1e-9)


@given(st.floats(0.1, 60.0), st.floats(0.01, 200.0), st.floats(0.0, 1.0))
def test_the_lag_is_the_same_however_often_it_is_read(lag_s, t_s, where):
    once = Balance(replace(PERFECT, lag_s=lag_s), seed=1)
    twice = Balance(replace(PERFECT, lag_s=lag_s), seed=1)
    twice.read(where * t_s, where * t_s * 10.0)
    assert twice.read(t_s, t_s * 10.0) == pytest.approx(once.read(t_s, t_s * 10.0), rel=1e-9)


def test_the_lag_answers_a_step_exponentially():
    balance = Balance(replace(PERFECT, lag_s=2.0), seed=1)
    balance.read(10.0, 0.0)
    balance.read(10.0, 1000.0)
    assert balance.read(10.0, 1000.0) == 20.0
    assert balance.read(12.0, 1000.0) == pytest.approx(20.0 + 0.998 * (1 - math.exp(-1)), rel=1e-12)


def test_reading_backwards_in_time_is_refused():
    balance = Balance(PERFECT, seed=1)
    balance.read(10.0, 0.0)
    with pytest.raises(ValueError, match="before the last reading"):
        balance.read(9.0, 0.0)


def _record(errors, seed, count=2000):
    balance = Balance(errors, seed)
    return [balance.read(10.0 * i, 0.0) for i in range(count)]


def test_one_seed_one_record():
    errors = replace(PERFECT, noise_mg=1.0, walk_mg_per_root_h=1.0)
    assert _record(errors, 7) == _record(errors, 7)
    assert _record(errors, 7) != _record(errors, 8)


def test_one_source_of_noise_does_not_change_another():
    noise = _record(replace(PERFECT, noise_mg=1.0), 3)
    walk = _record(replace(PERFECT, walk_mg_per_root_h=5.0), 3)
    both = _record(replace(PERFECT, noise_mg=1.0, walk_mg_per_root_h=5.0), 3)
    for a, b, c in zip(noise, walk, both, strict=True):
        assert c - 20.0 == pytest.approx((a - 20.0) + (b - 20.0), abs=1e-12)


def test_noise_and_walk_have_nothing_to_do_with_each_other():
    noise = [g - 20.0 for g in _record(replace(PERFECT, noise_mg=1.0), 3)][1:]
    walk = _record(replace(PERFECT, walk_mg_per_root_h=5.0), 3)
    # 1999 pairs: the standard error of a correlation is 0.022; four of it.
    assert abs(statistics.correlation(noise, [b - a for a, b in pairwise(walk)])) < 0.09


def test_the_noise_has_the_deviation_it_is_given():
    shown_mg = [(g - 20.0) * 1e3 for g in _record(replace(PERFECT, noise_mg=2.0), 5)]
    # 2000 samples: standard error of the deviation 1.6 %, of the mean 0.045 mg; four of each.
    assert statistics.pstdev(shown_mg) == pytest.approx(2.0, rel=0.064)
    assert abs(statistics.mean(shown_mg)) < 0.18


def test_the_walk_spreads_with_the_root_of_time():
    errors = replace(PERFECT, walk_mg_per_root_h=3.0)
    ends_mg = {1: [], 4: []}
    for seed in range(400):
        balance = Balance(errors, seed)
        for quarter_h in range(17):
            shown_g = balance.read(quarter_h * 900.0, 0.0)
            if quarter_h in (4, 16):
                ends_mg[quarter_h // 4].append((shown_g - 20.0) * 1e3)
    # 400 walks: standard error of the deviation 3.5 %; four of it.
    assert statistics.pstdev(ends_mg[1]) == pytest.approx(3.0, rel=0.14)
    assert statistics.pstdev(ends_mg[4]) == pytest.approx(6.0, rel=0.14)
