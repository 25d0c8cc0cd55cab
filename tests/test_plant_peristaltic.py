"""The peristaltic plant against closed forms."""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from micropump_host.bench import LineEnd, PeristalticGeometry
from micropump_host.bench.peristaltic import PeristalticImperfections, PeristalticPlant

HEAD = PeristalticGeometry(ml_per_rev=0.3, rollers=3, microsteps_per_rev=3200)
IDEAL = PeristalticImperfections(
    volume_error_percent=0.0,
    ripple_percent=(),
    rotor_error_percent=0.0,
    start_angle_rev=0.0,
    rotor_phase_rad=0.0,
    outlet_sensitivity_percent_per_kpa=0.0,
    inlet_sensitivity_percent_per_kpa=0.0,
    wear_percent_per_h=0.0,
    inlet_height_m=0.0,
    compliance_ul_per_pa=0.002,
)
OPEN = LineEnd(
    resistance_pa_s_per_ul=20.0, back_pressure_pa=0.0, head_height_m=0.0, density_g_ml=0.998
)


@settings(deadline=None)
@given(
    st.floats(0.01, 2.0),
    st.integers(2, 12),
    st.lists(st.floats(0.0, 150.0), max_size=3).map(tuple),
    st.floats(0.0, 20.0),
    st.floats(0.0, 1.0),
    st.floats(-5.0, 5.0),
)
def test_a_whole_revolution_delivers_the_volume_per_revolution(
    ml_per_rev, rollers, ripple_percent, rotor_percent, start_rev, volume_percent
):
    imperfections = replace(
        IDEAL,
        ripple_percent=ripple_percent,
        rotor_error_percent=rotor_percent,
        start_angle_rev=start_rev,
        volume_error_percent=volume_percent,
    )
    geometry = PeristalticGeometry(ml_per_rev, rollers, microsteps_per_rev=200, gear_ratio=2.0)
    plant = PeristalticPlant(geometry, imperfections, OPEN)
    for turn in range(1, 4):
        plant.step_train(plant.time_s, 0.01, 400)
        expected_ul = turn * ml_per_rev * 1000.0 * (1.0 + volume_percent / 100.0)
        assert plant.displaced_ul == pytest.approx(expected_ul, rel=1e-9)


@given(st.integers(2, 12), st.floats(0.0, 200.0))
def test_the_swept_volume_is_the_integral_of_the_ripple(rollers, percent):
    """After a quarter of a roller's turn the sine stands at its height."""
    plant = PeristalticPlant(
        PeristalticGeometry(1.0, rollers, microsteps_per_rev=400 * rollers),
        replace(IDEAL, ripple_percent=(percent,)),
        OPEN,
    )
    plant.step_train(0.0, 0.0, 100)
    expected_ul = 1000.0 / rollers * (0.25 - percent / 100.0 / math.tau)
    assert plant.displaced_ul == pytest.approx(expected_ul, abs=1e-9)


def outflow_falls(ripple_percent):
    plant = PeristalticPlant(HEAD, replace(IDEAL, ripple_percent=ripple_percent), OPEN)
    plant.advance(0.0)
    highest_ul, falls = 0.0, False
    # Slow enough for the line's time constant, 0.04 s, to hide nothing.
    for i in range(2 * 3200):
        plant.step(0.05 * i)
        plant.advance(0.05 * i + 0.04)
        falls = falls or plant.outflow_ul < highest_ul - 1e-6
        highest_ul = max(highest_ul, plant.outflow_ul)
    return falls


def test_only_a_ripple_deeper_than_the_flow_runs_backwards():
    assert outflow_falls((90.0, 40.0, 10.0))
    assert not outflow_falls((60.0, 25.0, 5.0))


@given(st.floats(-20e3, 50e3), st.floats(0.0, 0.5))
def test_back_pressure_takes_its_share_of_the_stroke(back_pa, percent_per_kpa):
    """In the steady state the head works against back pressure and the line's own resistance."""
    plant = PeristalticPlant(
        HEAD,
        replace(IDEAL, outlet_sensitivity_percent_per_kpa=percent_per_kpa),
        replace(OPEN, back_pressure_pa=back_pa),
    )
    interval_s = 0.05
    # 300 steps are 375 time constants.
    plant.step_train(0.0, interval_s, 300)
    plant.advance(300 * interval_s)
    pressure_pa, before_ul = plant.pressure_pa, plant.displaced_ul
    plant.step(300 * interval_s)
    swept_ul = plant.displaced_ul - before_ul
    assert swept_ul / plant.microstep_ul == pytest.approx(
        1.0 - percent_per_kpa / 100.0 * pressure_pa / 1000.0, rel=1e-9
    )
    # A sawtooth stays above the outlet by what is left of a step's rise.
    rise_pa = swept_ul / 0.002
    left_pa = rise_pa / math.expm1(interval_s / 0.04)
    assert pressure_pa - back_pa == pytest.approx(left_pa, rel=1e-6)


def test_a_raised_supply_fills_the_tube_more():
    imperfections = replace(IDEAL, inlet_sensitivity_percent_per_kpa=0.5, inlet_height_m=1.0)
    plant = PeristalticPlant(HEAD, imperfections, OPEN)
    plant.step_train(0.0, 0.0, 10)
    gain = 0.5e-5 * 998.0 * 9.80665
    assert plant.displaced_ul == pytest.approx(10 * plant.microstep_ul * (1.0 + gain), rel=1e-12)
    plant.set_inlet_height(-0.5)
    plant.step(0.0)
    assert plant.displaced_ul == pytest.approx(
        plant.microstep_ul * (10 * (1.0 + gain) + 1.0 - gain / 2.0), rel=1e-12
    )


def test_the_tube_wears_linearly_and_never_pumps_backwards():
    plant = PeristalticPlant(HEAD, replace(IDEAL, wear_percent_per_h=2.0), OPEN)
    plant.step(10 * 3600.0)
    assert plant.displaced_ul == pytest.approx(0.8 * plant.microstep_ul, rel=1e-12)
    plant.step(60 * 3600.0)
    assert plant.displaced_ul == pytest.approx(0.8 * plant.microstep_ul, rel=1e-12)


def test_occluded_the_pressure_climbs_by_volume_over_compliance():
    plant = PeristalticPlant(HEAD, IDEAL, OPEN)
    plant.occlude()
    plant.step_train(0.0, 1.0, 1000)
    assert plant.pressure_pa == pytest.approx(1000 * plant.microstep_ul / 0.002, rel=1e-9)
    assert plant.outflow_ul == 0.0


@settings(deadline=None)
@given(st.integers(1, 500), st.floats(0.0, 150.0))
def test_backwards_it_takes_back_what_it_swept(count, ripple_percent):
    plant = PeristalticPlant(HEAD, replace(IDEAL, ripple_percent=(ripple_percent,)), OPEN)
    plant.occlude()
    plant.step_train(0.0, 0.0, count)
    swept_ul = plant.displaced_ul
    plant.step_train(0.0, 0.0, -count)
    assert plant.displaced_ul == pytest.approx(0.0, abs=1e-9 * (1.0 + abs(swept_ul)))
    assert plant.steps == 0


def test_an_empty_supply_gives_nothing_until_there_is_another():
    plant = PeristalticPlant(HEAD, IDEAL, OPEN)
    plant.fill(5 * plant.microstep_ul)
    plant.step_train(0.0, 0.1, 20)
    # To the microstep: the last one is whole.
    assert plant.displaced_ul == pytest.approx(5 * plant.microstep_ul, rel=1e-9)
    assert plant.content_ul == pytest.approx(0.0, abs=1e-9)
    plant.fill(1000.0)
    plant.step_train(plant.time_s, 0.1, 20)
    assert plant.displaced_ul == pytest.approx(25 * plant.microstep_ul, rel=1e-9)
    assert plant.content_ul == pytest.approx(1000.0 - 20 * plant.microstep_ul)
