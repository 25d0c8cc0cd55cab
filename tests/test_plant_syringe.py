"""The syringe plant against closed forms and against an independent integration in small steps."""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from micropump_host.bench import LineEnd, SyringeGeometry
from micropump_host.bench.syringe import SyringeImperfections, SyringePlant

GEOMETRY = SyringeGeometry(bore_mm=26.7, lead_mm=2.0, microsteps_per_rev=3200)
AREA_MM2 = math.pi / 4.0 * 26.7**2
REAL = SyringeImperfections(
    bore_error_percent=0.0,
    pitch_error_ppm=0.0,
    periodic_error_um=0.0,
    periodic_phase_rad=0.0,
    backlash_um=0.0,
    screw_backlash_um=0.0,
    drive_stiffness_n_per_mm=200.0,
    static_friction_n=10.0,
    kinetic_friction_n=7.0,
    stick_speed_um_s=0.001,
    compliance_ul_per_pa=0.013,
)
OPEN = LineEnd(
    resistance_pa_s_per_ul=65.0, back_pressure_pa=0.0, head_height_m=0.0, density_g_ml=0.998
)


@pytest.mark.parametrize(("lead_mm", "microstep_ul"), [(2.0, 0.35), (8.0, 1.40)])
def test_a_microstep_of_a_60_ml_syringe(lead_mm, microstep_ul):
    plant = SyringePlant(SyringeGeometry(26.7, lead_mm, 3200), REAL, OPEN)
    # The published figures have two digits.
    assert plant.microstep_ul == pytest.approx(microstep_ul, abs=0.005)


def test_gearing_divides_the_microstep():
    geared = SyringePlant(replace(GEOMETRY, gear_ratio=4.0), REAL, OPEN)
    assert geared.microstep_ul == pytest.approx(0.349939 / 4.0, rel=1e-5)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"kinetic_friction_n": 10.0}, "static friction"),
        ({"stick_speed_um_s": 0.0}, "sticking speed"),
        ({"periodic_error_um": 2000.0 / math.tau}, "backwards"),
    ],
)
def test_a_syringe_that_cannot_be_is_refused(change, match):
    with pytest.raises(ValueError, match=match):
        SyringePlant(GEOMETRY, replace(REAL, **change), OPEN)


@settings(deadline=None, max_examples=30)
@given(st.floats(0.1, 2.0), st.floats(5.0, 500.0), st.floats(-5e3, 20e3))
def test_the_steady_cycle_is_the_closed_form(taus, resistance_pa_s_per_ul, back_pa):
    """One microstep in, one out, and the pressure a sawtooth of known height."""
    line_end = replace(
        OPEN, resistance_pa_s_per_ul=resistance_pa_s_per_ul, back_pressure_pa=back_pa
    )
    plant = SyringePlant(GEOMETRY, replace(REAL, stick_speed_um_s=1e-5), line_end)
    compliance = REAL.compliance_ul_per_pa + AREA_MM2**2 / 200.0 * 1e-6
    tau_s = resistance_pa_s_per_ul * compliance
    interval_s = taus * tau_s
    # Enough to break loose against the back pressure, and then to forget the start.
    plant.step_train(interval_s, interval_s, int(1000 + 40 / taus))
    before_ul = plant.outflow_ul
    peak_pa = plant.pressure_pa
    plant.step(plant.time_s + interval_s)
    assert plant.sliding
    assert plant.outflow_ul - before_ul == pytest.approx(plant.microstep_ul, rel=1e-6)
    expected_pa = plant.microstep_ul / compliance / -math.expm1(-interval_s / tau_s)
    assert peak_pa - back_pa == pytest.approx(expected_pa, rel=1e-6)


@given(st.floats(0.1, 100.0), st.floats(0.0, 400.0))
def test_nothing_flows_before_free_play_and_static_friction_are_overcome(interval_s, backlash_um):
    plant = SyringePlant(GEOMETRY, replace(REAL, backlash_um=backlash_um), OPEN)
    drive_compliance = AREA_MM2**2 / 200.0 * 1e-6
    static_pa = 10.0 / AREA_MM2 * 1e6
    still_ul = backlash_um * 1e-3 * AREA_MM2 + drive_compliance * static_pa
    first = math.ceil(still_ul / plant.microstep_ul - 1e-9)
    plant.step_train(0.0, interval_s, first - 1)
    assert plant.displaced_ul == plant.outflow_ul == plant.pressure_pa == 0.0
    plant.step_train(plant.time_s, 0.0, 2)
    assert plant.sliding
    assert plant.displaced_ul > 0.0


def test_an_occluded_syringe_climbs_in_stairs_along_the_line_of_its_compliance():
    plant = SyringePlant(GEOMETRY, REAL, OPEN)
    plant.occlude()
    drive_compliance = AREA_MM2**2 / 200.0 * 1e-6
    compliance = REAL.compliance_ul_per_pa + drive_compliance
    kinetic_pa = 7.0 / AREA_MM2 * 1e6
    stair_pa = drive_compliance * 3.0 / AREA_MM2 * 1e6 / compliance
    for i in range(5000):
        plant.step(float(i))
        sliding_pa = (plant.pushed_ul - drive_compliance * kinetic_pa) / compliance
        # A microstep more than the stair: the slip comes with the first step past its edge.
        highest_pa = sliding_pa + 1e-6
        lowest_pa = sliding_pa - stair_pa - plant.microstep_ul / compliance
        assert lowest_pa <= plant.pressure_pa <= highest_pa or plant.pressure_pa == 0.0
    assert plant.pressure_pa > 100e3
    assert plant.outflow_ul == 0.0


def test_the_screws_error_comes_back_every_revolution():
    drawn = replace(REAL, periodic_error_um=20.0, periodic_phase_rad=1.0, pitch_error_ppm=300.0)
    plant = SyringePlant(GEOMETRY, drawn, OPEN)
    revolution_ul = 2.0 * AREA_MM2 * (1 + 300e-6)
    for turn in range(1, 4):
        plant.step_train(plant.time_s, 0.01, 3200)
        assert plant.pushed_ul == pytest.approx(turn * revolution_ul, rel=1e-12)
    plant.step_train(plant.time_s, 0.01, 800)
    quarter_ul = 20e-3 * AREA_MM2 * (math.cos(1.0) - math.sin(1.0))
    assert plant.pushed_ul == pytest.approx(3.25 * revolution_ul + quarter_ul, rel=1e-12)


@given(st.floats(0.1, 50.0))
def test_a_bore_error_counts_twice(percent):
    wide = SyringePlant(GEOMETRY, replace(REAL, bore_error_percent=percent), OPEN)
    wide.step_train(0.0, 1.0, 100)
    assert wide.pushed_ul == pytest.approx(
        100 * wide.microstep_ul * (1 + percent / 100) ** 2, rel=1e-12
    )


def test_the_plunger_sticks_at_its_sticking_speed():
    plant = SyringePlant(GEOMETRY, replace(REAL, stick_speed_um_s=0.05), OPEN)
    plant.step_train(0.0, 0.1, 1000)
    drive_compliance = AREA_MM2**2 / 200.0 * 1e-6
    while plant.sliding:
        share = drive_compliance / (drive_compliance + REAL.compliance_ul_per_pa)
        speed_um_s = plant.outflow_rate_ul_s * share / AREA_MM2 * 1e3
        plant.advance(plant.time_s + 1e-4)
    # Found to one interval of 0.1 ms, in which the speed falls by 0.01 %.
    assert speed_um_s == pytest.approx(0.05, rel=2e-4)


class SmallSteps:
    """The same pump with a little oil behind the stopper, integrated by Euler's method.

    The plunger's speed follows from q − p − friction = b·speed with a small damping b, which the
    plant takes as zero; nothing of the plant's algebra is used.
    """

    def __init__(self, imperfections, line_end, content_ul, step_s, damping_s):
        self.bottom_ul = content_ul
        self.step_s = step_s
        self.compliance = imperfections.compliance_ul_per_pa
        self.drive = AREA_MM2**2 / imperfections.drive_stiffness_n_per_mm * 1e-6
        self.static_pa = imperfections.static_friction_n / AREA_MM2 * 1e6
        self.kinetic_pa = imperfections.kinetic_friction_n / AREA_MM2 * 1e6
        self.gap_ul = imperfections.backlash_um * 1e-3 * AREA_MM2
        self.backlash_ul = self.gap_ul + imperfections.screw_backlash_um * 1e-3 * AREA_MM2
        self.stick_ul_s = imperfections.stick_speed_um_s * 1e-3 * AREA_MM2
        in_series = 1.0 / (1.0 / self.compliance + 1.0 / self.drive)
        self.damping = damping_s / in_series
        self.resistance = line_end.resistance_pa_s_per_ul
        self.outlet_pa = line_end.back_pressure_pa
        self.time_s = self.pushed_ul = self.plunger_ul = self.pressure_pa = self.outflow_ul = 0.0
        self.direction = 0

    def drive_pa(self):
        strain_ul = self.pushed_ul - self.gap_ul - self.plunger_ul
        if strain_ul > 0.0:
            return strain_ul / self.drive
        return min(0.0, strain_ul + self.backlash_ul) / self.drive

    def advance(self, t_s):
        for _ in range(round((t_s - self.time_s) / self.step_s)):
            force_pa = self.drive_pa() - self.pressure_pa
            if self.direction == 0 and abs(force_pa) >= self.static_pa:
                self.direction = 1 if force_pa > 0 else -1
            speed_ul_s = 0.0
            if self.direction:
                speed_ul_s = (force_pa - self.direction * self.kinetic_pa) / self.damping
                if self.direction * speed_ul_s < self.stick_ul_s:
                    self.direction, speed_ul_s = 0, 0.0
            flow_ul_s = (self.pressure_pa - self.outlet_pa) / self.resistance
            self.plunger_ul += speed_ul_s * self.step_s
            if self.plunger_ul >= self.bottom_ul and speed_ul_s > 0.0:
                self.plunger_ul, self.direction = self.bottom_ul, 0
            self.outflow_ul += flow_ul_s * self.step_s
            self.pressure_pa = (self.plunger_ul - self.outflow_ul) / self.compliance
        self.time_s = t_s

    def step(self, t_s, direction):
        self.advance(t_s)
        self.pushed_ul += direction * 2.0 / 3200 * AREA_MM2


# Faster and softer than a real pump, so that a few seconds hold many events.
LIVELY = replace(
    REAL,
    drive_stiffness_n_per_mm=50.0,
    static_friction_n=4.0,
    kinetic_friction_n=3.0,
    compliance_ul_per_pa=0.004,
    stick_speed_um_s=0.3,
    backlash_um=15.0,
    screw_backlash_um=6.0,
)
# Each part: the pressure at the line's end, Pa; the interval of the steps, s; their number, below
# zero for steps backwards.
SCENES = {
    # Starts through the free play, then sticks and slips.
    "slow": [(0.0, 0.2, 250)],
    # Slides from step to step.
    "steady": [(0.0, 0.02, 250)],
    # Dragged forward and held by the clamp from the start, then pushed through the free play.
    "siphon": [(-25e3, 0.02, 40), (-25e3, 1.5, 1), (-25e3, 0.02, 80)],
    # Pushed back against the drive, which then has to win.
    "pushed back": [(25e3, 1.5, 1), (25e3, 0.02, 900)],
    # Running, then dragged off the pusher into the clamp, then thrown back onto the pusher.
    "lowered and raised": [
        (0.0, 0.02, 200),
        (-25e3, 0.7, 3),
        (-25e3, 0.02, 20),
        (30e3, 0.7, 3),
        (0.0, 0.02, 100),
    ],
    # Back off the plunger, through all the play, drawn by the clamp, and forward again.
    "drawn back": [(0.0, 0.02, 200), (0.0, 0.02, -400), (0.0, 0.02, 400)],
    # Back slowly: the plunger sticks and slips the other way.
    "drawn back slowly": [(0.0, 0.02, 200), (0.0, 0.2, -380)],
    # Turned about in mid-slide, before all play is taken up.
    "to and fro": [(0.0, 0.02, part) for part in (200, -30, 60, -350, 20, -60, 420)],
    # Onto the bottom, pushed against it, and drawn off it.
    "to the bottom": [(0.0, 0.02, 300), (0.0, 0.02, -500)],
    # Sucked onto the bottom while the drive still pushes, and then pushed harder.
    "sucked to the bottom": [(0.0, 0.02, 200), (-25e3, 1.0, 3), (0.0, 0.02, 30)],
    # Sucked off the pusher and onto the bottom before the clamp gets hold of it.
    "dropped to the bottom": [(0.0, 0.02, 200), (-25e3, 1.0, 3)],
    # Held by the clamp on its way to the bottom.
    "lowered to the bottom": [(-25e3, 0.02, 90)],
}
CONTENT_UL = {
    "to the bottom": 40.0,
    "sucked to the bottom": 25.0,
    "dropped to the bottom": 66.0,
    "lowered to the bottom": 60.0,
}


def apart(scene, damping_s):
    """The greatest distances between plant and judge just before each step, µL and Pa."""
    plant = SyringePlant(GEOMETRY, LIVELY, OPEN)
    content_ul = CONTENT_UL.get(scene, math.inf)
    plant.fill(content_ul)
    judge = SmallSteps(LIVELY, OPEN, content_ul, step_s=damping_s / 10.0, damping_s=damping_s)
    apart_ul = apart_pa = t_s = 0.0
    for outlet_pa, interval_s, count in SCENES[scene]:
        plant.set_back_pressure(outlet_pa)
        judge.outlet_pa = outlet_pa
        for _ in range(abs(count)):
            t_s += interval_s
            plant.advance(t_s)
            judge.advance(t_s)
            apart_ul = max(apart_ul, abs(plant.outflow_ul - judge.outflow_ul))
            apart_pa = max(apart_pa, abs(plant.pressure_pa - judge.pressure_pa))
            (plant.step if count > 0 else plant.step_back)(t_s)
            judge.step(t_s, 1 if count > 0 else -1)
    return apart_ul, apart_pa


@pytest.mark.parametrize("scene", SCENES)
def test_small_steps_come_to_the_same(scene):
    coarse_ul, coarse_pa = apart(scene, damping_s=1e-3)
    fine_ul, fine_pa = apart(scene, damping_s=5e-4)
    # Measured with the finer judge: at most 0.18 µL of 300 and 25 Pa of 30 000 ...
    assert fine_ul < 0.25
    assert fine_pa < 35.0
    # ... and all of it the judge's own: its first-order error halves (measured 0.490 to 0.524).
    assert fine_ul == pytest.approx(coarse_ul / 2.0, rel=0.06)
    assert fine_pa == pytest.approx(coarse_pa / 2.0, rel=0.06)


# -- backwards, to the bottom, and anew ------------------------------------------------------------


@settings(deadline=None, max_examples=30)
@given(st.floats(0.0, 300.0), st.floats(0.0, 200.0))
def test_backwards_all_the_play_comes_before_the_plunger(backlash_um, screw_backlash_um):
    """It is drawn when drive and play are unwound and the clamp pulls with the static friction."""
    imperfections = replace(REAL, backlash_um=backlash_um, screw_backlash_um=screw_backlash_um)
    plant = SyringePlant(GEOMETRY, imperfections, OPEN)
    plant.step_train(0.0, 0.2, 3000)
    plant.advance(plant.time_s + 3600.0)
    lead_ul = plant.drive_strain_ul
    before_ul = plant.outflow_ul
    static_ul = AREA_MM2**2 / 200.0 * 1e-6 * 10.0 / AREA_MM2 * 1e6
    dead_ul = lead_ul + (backlash_um + screw_backlash_um) * 1e-3 * AREA_MM2 + static_ul
    steps = 0
    while plant.outflow_ul > before_ul - 1e-9:
        steps += 1
        plant.step_back(plant.time_s)
        plant.advance(plant.time_s + 1e-4)
    assert steps == math.ceil(dead_ul / plant.microstep_ul)


def test_drawn_back_steadily_what_comes_back_is_what_is_swept():
    plant = SyringePlant(GEOMETRY, replace(REAL, stick_speed_um_s=1e-5), OPEN)
    plant.step_train(0.0, 0.02, -2000)
    pressure_pa, outflow_ul = plant.pressure_pa, plant.outflow_ul
    assert pressure_pa < 0.0
    # The pressure as it was, to what the start-up leaves of it: 7 s are some 8 time constants.
    plant.step_train(plant.time_s + 0.02, 0.02, -1000)
    assert plant.pressure_pa == pytest.approx(pressure_pa, rel=1e-3)
    assert plant.outflow_ul - outflow_ul == pytest.approx(-1000 * plant.microstep_ul, rel=1e-3)
    assert plant.steps == -3000


@settings(deadline=None, max_examples=30)
@given(st.floats(50.0, 500.0), st.floats(-2.0, 2.0))
def test_at_the_bottom_the_flow_ends_and_the_force_rises(content_ul, percent):
    plant = SyringePlant(GEOMETRY, replace(REAL, bore_error_percent=percent), OPEN)
    plant.fill(content_ul)
    real = (1.0 + percent / 100.0) ** 2
    plant.step_train(0.0, 0.02, 3000)
    # Filled to a mark of the nominal bore; at rest all of it is out, as the outlet is at zero.
    plant.advance(plant.time_s + 3600.0)
    assert plant.content_ul == 0.0
    assert plant.outflow_ul == pytest.approx(content_ul * real, rel=1e-9)
    before_pa = plant.drive_pressure_pa
    plant.step_train(plant.time_s, 0.02, 100)
    plant.advance(plant.time_s + 3600.0)
    assert plant.outflow_ul == pytest.approx(content_ul * real, rel=1e-9)
    drive_compliance = (AREA_MM2 * real) ** 2 / 200.0 * 1e-6
    assert plant.drive_pressure_pa - before_pa == pytest.approx(
        100 * plant.microstep_ul * real / drive_compliance, rel=1e-6
    )


def test_another_syringe_is_full_and_has_its_own_free_play():
    plant = SyringePlant(GEOMETRY, replace(REAL, backlash_um=500.0), OPEN)
    plant.fill(300.0)
    plant.step_train(0.0, 0.02, 2000)
    assert plant.content_ul == 0.0
    outflow_ul, pressure_pa = plant.outflow_ul, plant.pressure_pa
    plant.change_syringe(20_000.0, -0.5 * AREA_MM2)
    assert plant.content_ul == pytest.approx(20_000.0)
    assert (plant.outflow_ul, plant.pressure_pa) == (outflow_ul, pressure_pa)
    # The free play and the stretch of the drive up to the static friction come first.
    stretch_ul = AREA_MM2**2 / 200.0 * 1e-6 * 10.0 / AREA_MM2 * 1e6
    steps = int((0.5 * AREA_MM2 + stretch_ul) / plant.microstep_ul)
    plant.step_train(plant.time_s, 0.02, steps)
    assert plant.content_ul == pytest.approx(20_000.0)
    plant.step_train(plant.time_s + 0.02, 0.02, 1000)
    assert plant.content_ul == pytest.approx(20_000.0 - 1000 * plant.microstep_ul, abs=20.0)
