"""What holds for any plant, whatever is done to it: conservation, exactness in time, replay."""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from micropump_host.bench import (
    LineEnd,
    PeristalticGeometry,
    SyringeGeometry,
    apply_event,
    build_plant,
    default_bench,
)
from micropump_host.bench.benchfile import (
    Occlude,
    Release,
    SetBackPressure,
    SetContent,
    SetHeadHeight,
    SetInletHeight,
)
from micropump_host.bench.outlet import column_pressure_pa
from micropump_host.bench.peristaltic import PeristalticImperfections, PeristalticPlant
from micropump_host.bench.syringe import SyringeImperfections, SyringePlant

SYRINGE = SyringeGeometry(bore_mm=26.7, lead_mm=2.0, microsteps_per_rev=3200)
HEAD = PeristalticGeometry(ml_per_rev=0.3, rollers=3, microsteps_per_rev=3200)

line_ends = st.builds(
    LineEnd,
    resistance_pa_s_per_ul=st.floats(1.0, 1000.0),
    back_pressure_pa=st.floats(-40e3, 40e3),
    head_height_m=st.floats(-1.0, 1.0),
    density_g_ml=st.just(0.998),
)
syringe_plants = st.builds(
    SyringePlant,
    st.builds(
        SyringeGeometry,
        bore_mm=st.floats(4.0, 30.0),
        lead_mm=st.floats(0.8, 8.0),
        microsteps_per_rev=st.sampled_from([200, 3200]),
        gear_ratio=st.sampled_from([1.0, 5.18]),
    ),
    st.builds(
        SyringeImperfections,
        bore_error_percent=st.floats(-2.0, 2.0),
        pitch_error_ppm=st.floats(-500.0, 500.0),
        periodic_error_um=st.floats(0.0, 100.0),
        periodic_phase_rad=st.floats(0.0, math.tau),
        backlash_um=st.one_of(st.just(0.0), st.floats(1.0, 500.0)),
        screw_backlash_um=st.one_of(st.just(0.0), st.floats(1.0, 200.0)),
        drive_stiffness_n_per_mm=st.floats(20.0, 1000.0),
        static_friction_n=st.floats(3.0, 20.0),
        kinetic_friction_n=st.floats(0.0, 2.9),
        stick_speed_um_s=st.floats(0.01, 10.0),
        compliance_ul_per_pa=st.floats(0.0005, 0.02),
    ),
    line_ends,
)
peristaltic_plants = st.builds(
    PeristalticPlant,
    st.builds(
        PeristalticGeometry,
        ml_per_rev=st.floats(0.01, 2.0),
        rollers=st.integers(2, 12),
        microsteps_per_rev=st.sampled_from([200, 3200]),
        gear_ratio=st.sampled_from([1.0, 5.18]),
    ),
    st.builds(
        PeristalticImperfections,
        volume_error_percent=st.floats(-5.0, 5.0),
        ripple_percent=st.lists(st.floats(0.0, 150.0), max_size=3).map(tuple),
        rotor_error_percent=st.floats(0.0, 20.0),
        start_angle_rev=st.floats(0.0, 1.0),
        rotor_phase_rad=st.floats(0.0, math.tau),
        outlet_sensitivity_percent_per_kpa=st.floats(0.0, 0.5),
        inlet_sensitivity_percent_per_kpa=st.floats(0.0, 0.5),
        wear_percent_per_h=st.floats(0.0, 1.0),
        inlet_height_m=st.floats(-1.0, 1.0),
        compliance_ul_per_pa=st.floats(0.0005, 0.02),
    ),
    line_ends,
)
# Many of the same gap make it slide steadily, long ones let it stick.
gaps_s = st.one_of(st.sampled_from([0.0, 0.01, 0.25]), st.floats(0.0, 100.0))
actions = st.one_of(
    st.integers(1, 60),
    st.integers(-60, -1),
    st.builds(SetContent, st.just(0.0), st.floats(0.0, 0.05)),
    st.builds(Occlude, st.just(0.0)),
    st.builds(Release, st.just(0.0)),
    st.builds(SetBackPressure, st.just(0.0), st.floats(-80.0, 80.0)),
    st.builds(SetHeadHeight, st.just(0.0), st.floats(-100.0, 100.0)),
)
scripts = st.lists(st.tuples(gaps_s, actions), min_size=1, max_size=12)


def moments(plant, script):
    """Play a script of steps and events, and stop after each."""
    for gap_s, action in script:
        plant.advance(plant.time_s + gap_s)
        yield
        if not isinstance(action, int):
            apply_event(plant, action)
            yield
            continue
        move = plant.step if action > 0 else plant.step_back
        for _ in range(abs(action)):
            move(plant.time_s + gap_s / 10.0)
            yield


def state(plant):
    figures = [plant.time_s, plant.outflow_ul, plant.pressure_pa, plant.displaced_ul]
    if isinstance(plant, SyringePlant):
        figures += [plant.drive_pressure_pa, float(plant.sliding)]
    return figures


def near(figures, plant):
    """Equality to 1e-9 of what is stored and moved, which is what rounding acts on."""
    volume_ul = 1e-9 * (1.0 + abs(plant.outflow_ul) + abs(plant.displaced_ul))
    pressure_pa = 1e-9 * (1e5 + abs(plant.pressure_pa))
    tolerances = [0.0, volume_ul, pressure_pa, volume_ul, pressure_pa, 0.0]
    return [
        pytest.approx(figure, rel=1e-9, abs=tolerance)
        for figure, tolerance in zip(figures, tolerances, strict=False)
    ]


@settings(deadline=None)
@given(syringe_plants, scripts)
def test_a_syringe_loses_no_volume_and_its_forces_balance(plant, script):
    compliance = plant._compliance_ul_per_pa
    moved_ul = 1.0
    for _ in moments(plant, script):
        moved_ul += abs(plant.outflow_ul) + abs(plant.pushed_ul)
        slack_ul = 1e-9 * moved_ul
        stored_ul = compliance * plant.pressure_pa
        assert plant.displaced_ul == pytest.approx(plant.outflow_ul + stored_ul, abs=slack_ul)
        strain_ul = plant.pushed_ul - plant._gap_ul - plant.displaced_ul
        assert plant.drive_strain_ul == pytest.approx(strain_ul, abs=slack_ul)
        # The drive acts within these; a pressure's slack is a volume's, over the least compliance.
        slack_pa = slack_ul / min(compliance, plant._drive_compliance_ul_per_pa)
        force_pa = plant.drive_pressure_pa - plant.pressure_pa
        if plant.sliding:
            assert abs(force_pa) == pytest.approx(plant._kinetic_pa, abs=slack_pa)
        elif plant.content_ul > slack_ul:
            assert abs(force_pa) <= plant._static_pa + slack_pa
        else:
            # At the bottom it can be pushed as hard as the drive will.
            assert force_pa >= -plant._static_pa - slack_pa
        assert plant.content_ul >= -slack_ul


@settings(deadline=None)
@given(peristaltic_plants, scripts)
def test_a_peristaltic_pump_loses_no_volume(plant, script):
    moved_ul = 1.0
    for _ in moments(plant, script):
        moved_ul += abs(plant.outflow_ul) + abs(plant.displaced_ul)
        stored_ul = plant._compliance_ul_per_pa * plant.pressure_pa
        assert plant.displaced_ul == pytest.approx(
            plant.outflow_ul + stored_ul, abs=1e-9 * moved_ul
        )


def clone(plant):
    twin = object.__new__(type(plant))
    for cls in type(plant).__mro__:
        for name in getattr(cls, "__slots__", ()):
            if name != "__abstractmethods__" and hasattr(plant, name):
                object.__setattr__(twin, name, getattr(plant, name))
    return twin


@pytest.mark.parametrize("plants", [syringe_plants, peristaltic_plants])
def test_an_interval_in_two_parts_is_the_interval(plants):
    @settings(deadline=None)
    @given(plants, scripts, st.floats(0.0, 1000.0), st.floats(0.0, 1.0))
    def law(plant, script, interval_s, where):
        for _ in moments(plant, script):
            pass
        twin = clone(plant)
        start_s = plant.time_s
        twin.advance(start_s + where * interval_s)
        twin.advance(start_s + interval_s)
        plant.advance(start_s + interval_s)
        assert state(plant) == near(state(twin), plant)

    law()


@pytest.mark.parametrize("plants", [syringe_plants, peristaltic_plants])
def test_a_train_is_its_steps(plants):
    @settings(deadline=None)
    @given(plants, st.floats(0.0, 5.0), st.floats(0.0, 2.0), st.integers(-300, 300))
    def law(plant, first_s, interval_s, count):
        twin = clone(plant)
        plant.step_train(first_s, interval_s, count)
        move = twin.step if count > 0 else twin.step_back
        for i in range(abs(count)):
            move(first_s + i * interval_s)
        assert state(plant) == state(twin)
        assert plant.steps == count

    law()


@pytest.mark.parametrize("plants", [syringe_plants, peristaltic_plants])
def test_time_does_not_run_backwards(plants):
    @given(plants, st.floats(0.1, 100.0), st.floats(0.001, 100.0))
    def law(plant, t_s, back_s):
        plant.advance(t_s)
        before = state(plant)
        for move in (plant.advance, plant.step):
            with pytest.raises(ValueError, match="before"):
                move(t_s - back_s)
        with pytest.raises(ValueError, match="before"):
            plant.step_train(t_s, -back_s, 2)
        assert plant.steps == 1
        assert before[0] == plant.time_s

    law()


@pytest.mark.parametrize("plants", [syringe_plants, peristaltic_plants])
def test_at_rest_the_pressure_ends_at_the_outlets(plants):
    @settings(deadline=None)
    @given(plants, scripts)
    def law(plant, script):
        for _ in moments(plant, script):
            pass
        plant.release()
        # Thousands of time constants, and long enough for any slow slide through the free play.
        plant.advance(plant.time_s + 1e6)
        assert plant.outflow_rate_ul_s == pytest.approx(0.0, abs=1e-6)

    law()


@pytest.mark.parametrize(("kind", "geometry"), [("syringe", SYRINGE), ("peristaltic", HEAD)])
def test_one_seed_one_record(kind, geometry):
    def record(seed):
        bench = default_bench(kind)
        plant = build_plant(replace(bench, info=replace(bench.info, seed=seed)), geometry)
        plant.step_train(0.0, 0.05, 20_000)
        return state(plant)

    assert record(11) == record(11)
    assert record(11) != record(12)


@pytest.mark.parametrize(("kind", "geometry"), [("syringe", SYRINGE), ("peristaltic", HEAD)])
def test_a_purge_ends_at_time_zero_with_nothing_counted(kind, geometry):
    plant = build_plant(default_bench(kind), geometry)
    assert plant.time_s == 0.0
    assert plant.outflow_ul == 0.0
    assert plant.displaced_ul == 0.0
    assert plant.steps == round(2000.0 / plant.microstep_ul)
    with pytest.raises(ValueError, match="before anything else"):
        plant.purge(100.0, 1000.0, 1.0)


@pytest.mark.parametrize("plants", [syringe_plants, peristaltic_plants])
def test_a_purge_is_made_of_steps_and_a_rest(plants):
    @settings(deadline=None, max_examples=20)
    @given(plants, st.integers(1, 300), st.floats(1e3, 1e6), st.floats(0.0, 2.0))
    def law(plant, count, rate_ul_h, rest_s):
        twin = clone(plant)
        interval_s = plant.microstep_ul * 3600.0 / rate_ul_h
        plant.purge(count * plant.microstep_ul, rate_ul_h, rest_s)
        twin.step_train(0.0, interval_s, count)
        twin.advance(count * interval_s + rest_s)
        assert plant.steps == count
        # Times differ by the rounding of a shift, and a wear of the tube starts only at zero.
        assert plant.pressure_pa == pytest.approx(twin.pressure_pa, rel=1e-2, abs=1.0)

    law()


def test_occlusion_stops_the_flow_and_release_gives_the_bolus():
    plant = build_plant(default_bench("syringe"), SYRINGE)
    plant.step_train(0.0, 0.25, 2000)
    plant.occlude()
    assert plant.occluded
    before_ul = plant.outflow_ul
    plant.step_train(plant.time_s + 0.25, 0.25, 2000)
    assert plant.outflow_ul == before_ul
    pressure_pa = plant.pressure_pa
    plant.release()
    plant.advance(plant.time_s + 600.0)
    stored_ul = plant._compliance_ul_per_pa * (pressure_pa - plant.pressure_pa)
    # The plunger slides on while the pressure falls, so more comes than the liquid had stored.
    assert plant.outflow_ul - before_ul > stored_ul > 100.0


def test_back_pressure_and_head_add_up():
    plant = build_plant(default_bench("peristaltic"), HEAD)
    plant.set_back_pressure(13_330.0)
    plant.set_head_height(0.5)
    head_pa = 998.0 * 9.80665 * 0.5
    assert column_pressure_pa(0.5, 0.998) == pytest.approx(head_pa)
    assert plant.outlet_pressure_pa == pytest.approx(13_330.0 + head_pa)
    plant.advance(100.0)
    assert plant.pressure_pa == pytest.approx(13_330.0 + head_pa)
    assert plant.outflow_ul == pytest.approx(-plant._compliance_ul_per_pa * plant.pressure_pa)


def test_an_event_is_in_its_own_units():
    plant = build_plant(default_bench("peristaltic"), HEAD)
    apply_event(plant, SetBackPressure(0.0, 13.33))
    assert plant.outlet_pressure_pa == pytest.approx(13_330.0)
    apply_event(plant, SetHeadHeight(0.0, 50.0))
    assert plant.outlet_pressure_pa == pytest.approx(13_330.0 + column_pressure_pa(0.5, 0.998))
    apply_event(plant, SetInletHeight(0.0, -50.0))
    twin = build_plant(default_bench("peristaltic"), HEAD)
    assert isinstance(twin, PeristalticPlant)
    twin.set_inlet_height(-0.5)
    plant.step(0.0)
    twin.step(0.0)
    assert plant.displaced_ul == twin.displaced_ul


def test_only_a_peristaltic_plant_has_an_inlet():
    with pytest.raises(ValueError, match="inlet"):
        apply_event(build_plant(default_bench("syringe"), SYRINGE), SetInletHeight(0.0, 1.0))
