"""Pressure taken off a closed line: bounded, counted, and what comes out when it opens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sickbed import Sickbed

from micropump import alarms, relief
from micropump.occlusion import GREATEST_COMPLIANCE_NL_KPA, LEAST_COMPLIANCE_NL_KPA
from micropump.relief import FREE_PLAY_UM, MOST_PORTIONS, Relief, held_nl
from micropump_host.bench.benchfile import OpenDoor
from micropump_host.bench.sensors import Fault

# What is disclosed: 0.2 mL (B. Braun Infusomat Space), below 0.3 mL (Medfusion 3500); ours.
GREATEST_BOLUS_UL = 50.0


def closed(bed: Sickbed, rate_ul_h: int, within_s: float, **wishes):
    """Infuse, close the line, and wait until the back-off is over; returns the status."""
    bed.infuse(rate_ul_h, **wishes)
    bed.wait(60)
    # So that the line is seen at rest: a plant of the bench begins with a start.
    bed.client.pause()
    bed.wait(20)
    bed.client.resume()
    bed.wait(60)
    bed.plant.occlude()
    return bed.until("alarm", within_s=within_s)


def bolus_ul(bed: Sickbed) -> float:
    """What comes out when the line opens."""
    plant = bed.plant
    before_ul = plant.outflow_ul
    plant.release()
    bed.wait(30)
    return float(bed.plant.outflow_ul - before_ul)


# -- the law of it --------------------------------------------------------------------------------


@given(
    rise_pa=st.integers(0, 200_000),
    rest_pa=st.integers(-12_000, 20_000),
    softness=st.integers(LEAST_COMPLIANCE_NL_KPA, GREATEST_COMPLIANCE_NL_KPA),
    play_um=st.integers(0, FREE_PLAY_UM),
    area_mm2=st.integers(60, 600),
)
def test_it_comes_down_to_where_it_was_and_never_much_below(
    rise_pa, rest_pa, softness, play_um, area_mm2
):
    """On a line of any softness, behind any free play: the pressure is the volume that is left."""
    back_off = Relief()
    pressure_pa = rest_pa + rise_pa
    back_off.begin(pressure_pa, rest_pa, LEAST_COMPLIANCE_NL_KPA, 21_000, area_mm2)
    bound_nl = held_nl(rise_pa, 21_000) + FREE_PLAY_UM * area_mm2
    play_nl = play_um * area_mm2
    drawn_nl = 0
    while nl := back_off.portion_nl(pressure_pa):
        assert nl > 0
        drawn_nl += nl
        taken_nl = min(nl, play_nl)
        play_nl -= taken_nl
        pressure_pa -= (nl - taken_nl) * 1000 // softness
    assert drawn_nl <= bound_nl
    assert back_off.portions <= MOST_PORTIONS
    # A portion is at most nine tenths of what the hardest line holds: it never overshoots.
    assert pressure_pa >= rest_pa - 1
    if back_off.portions < MOST_PORTIONS and drawn_nl < bound_nl:
        assert pressure_pa <= rest_pa + relief.NEAR_PA


@given(readings=st.lists(st.integers(-50_000, 500_000), min_size=60, max_size=60))
def test_whatever_a_sensor_says_it_is_bounded(readings):
    """A sensor that is stuck, or says anything at all, does not make it run backwards."""
    back_off = Relief()
    back_off.begin(60_000, 5_000, LEAST_COMPLIANCE_NL_KPA, 21_000, 556)
    drawn_nl = sum(back_off.portion_nl(reading) for reading in readings)
    assert back_off.portions <= MOST_PORTIONS
    while nl := back_off.portion_nl(500_000):
        drawn_nl += nl
    assert drawn_nl <= held_nl(55_000, 21_000) + FREE_PLAY_UM * 556


# -- on the bench ---------------------------------------------------------------------------------


@pytest.mark.parametrize("rate_ul_h", [1_000, 5_000, 25_000, 100_000])
def test_hardly_anything_comes_out_when_the_line_opens(rate_ul_h):
    bed = Sickbed()
    status = closed(bed, rate_ul_h, within_s=40_000_000 / rate_ul_h)
    assert status.alarms == ("occlusion",)
    assert (status.sound, status.light) == ("high", "high")
    assert abs(bolus_ul(bed)) <= GREATEST_BOLUS_UL


@pytest.mark.parametrize(
    "bench",
    [
        "[plunger]\nstatic_friction_n = 20\nkinetic_friction_n = 14",
        "[syringe_drive]\nbacklash_um = 200\nscrew_backlash_um = 150",
        "[line]\ncompliance_ul_per_kpa = 8",
        "[outlet]\nhead_height_cm = 80",
        "[outlet]\nhead_height_cm = -80",
        "[outlet]\nback_pressure_kpa = 13",
    ],
    ids=["stiff plunger", "free play", "soft line", "above", "below", "back pressure"],
)
def test_also_with_a_drive_or_a_line_that_is_not_as_usual(bench):
    bed = Sickbed(bench)
    closed(bed, 20_000, within_s=1800)
    assert abs(bolus_ul(bed)) <= GREATEST_BOLUS_UL


def test_what_was_drawn_back_is_counted_and_given_later():
    bed = Sickbed()
    status = closed(bed, 60_000, within_s=600, vtbi_ul=5_000)
    (relieved,) = bed.events("pressure relieved")
    assert relieved.a == status.retracted_steps > 0
    assert status.given_steps == status.infused_steps - status.retracted_steps
    bed.plant.release()
    bed.client.acknowledge()
    bed.client.resume()
    done = bed.until("completed", within_s=600)
    # Forwards, less what was drawn back, is what was ordered, to the microstep.
    assert done.infused_steps - done.retracted_steps == done.target_steps
    assert done.retracted_steps == status.retracted_steps


def test_a_stop_in_mid_relief_ends_it_and_the_therapy():
    bed = Sickbed()
    bed.infuse(100_000)
    bed.wait(60)
    bed.plant.occlude()
    bed.until("relieving", within_s=600)
    bed.client.stop()
    status = bed.client.status()
    assert (status.state, status.alarms) == ("alarm", ("occlusion",))
    drawn = status.retracted_steps
    bed.wait(30)
    assert bed.client.status().retracted_steps == drawn
    bed.client.acknowledge()
    assert bed.client.status().state == "stopped"


@pytest.mark.parametrize(
    "what", ["interlock", "driver", "unplugged", "silent", "stuck", "shorted", "door"]
)
def test_whatever_goes_wrong_in_mid_relief_stops_it(what):
    sensors = ("pressure", "door") if what == "door" else ("pressure",)
    bed = Sickbed(sensors=sensors)
    bed.infuse(100_000)
    bed.wait(60)
    bed.plant.occlude()
    bed.until("relieving", within_s=600)
    if what == "interlock":
        bed.ground.set_interlock(True)
    elif what == "driver":
        bed.ground.set_driver_fault(True)
    elif what == "door":
        bed.bench.suite.apply(OpenDoor(0.0), bed.plant)
    else:
        bed.bench.suite.harm("pressure", Fault(what))
    status = bed.until("alarm", within_s=60)
    drawn = status.retracted_steps
    bed.wait(60)
    after = bed.client.status()
    assert after.state == "alarm"
    assert after.retracted_steps == drawn
    assert "occlusion" in after.alarms


# -- starting again by itself ---------------------------------------------------------------------


def test_a_line_that_has_opened_is_gone_on_with():
    bed = Sickbed()
    bed.client.choose(restarts=2)
    bed.infuse(60_000)
    bed.wait(60)
    bed.plant.occlude()
    bed.until("relieving", within_s=600)
    bed.wait(10)
    bed.plant.release()
    status = bed.until("infusing", within_s=60)
    assert status.alarms == ()
    assert len(bed.events("restarted after an occlusion")) == 1
    # What was pushed to check the line is a part of the therapy.
    done = bed.until("completed", within_s=3_600)
    assert done.infused_steps - done.retracted_steps == done.target_steps


def test_a_line_that_stays_closed_stays_in_alarm():
    bed = Sickbed()
    bed.client.choose(restarts=9)
    status = closed(bed, 60_000, within_s=600)
    assert status.alarms == ("occlusion",)
    assert bed.events("restarted after an occlusion") == []
    assert abs(bolus_ul(bed)) <= GREATEST_BOLUS_UL


def test_only_so_many_restarts_within_ten_minutes():
    bed = Sickbed()
    bed.client.choose(restarts=2)
    bed.infuse(100_000)
    for _ in range(2):
        bed.wait(20)
        bed.plant.occlude()
        bed.until("relieving", within_s=120)
        bed.wait(10)
        bed.plant.release()
        bed.until("infusing", within_s=60)
    bed.wait(20)
    bed.plant.occlude()
    bed.until("relieving", within_s=120)
    bed.wait(2)
    bed.plant.release()
    assert bed.until("alarm", within_s=60).alarms == ("occlusion",)
    bed.wait(600)
    # Ten minutes later it may again.
    bed.client.acknowledge()
    bed.client.resume()
    bed.wait(20)
    bed.plant.occlude()
    bed.until("relieving", within_s=120)
    bed.wait(10)
    bed.plant.release()
    bed.until("infusing", within_s=60)


def test_without_leave_it_never_starts_by_itself():
    bed = Sickbed()
    closed(bed, 60_000, within_s=600)
    bed.plant.release()
    bed.wait(3_600)
    status = bed.client.status()
    assert status.state == "alarm"
    assert alarms.ALARMS[alarms.OCCLUSION][1] in status.alarms
