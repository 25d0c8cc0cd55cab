"""The example orders of home infusion: what they come to, worked out by hand, and a whole run.

Every figure that is expected stands here as it follows from the prescription; nothing is asked of
the code under test. The prescriptions are fixtures, not advice: the products' figures as collected
for this project (the comments of the order files say which), 5-FU's from memory.
"""

import json
import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import pytest
from counting import BIN_MS, CountingRig
from support import REPO

from micropump import boluses, controller
from micropump.mechanism import KIND_PERISTALTIC, KIND_SYRINGE
from micropump.program import BOLUS, DEMAND, INFUSED, KVO, PRIMED
from micropump_host.cli import main
from micropump_host.orders import Container, Prescription, check_order, load_order
from micropump_host.plan import schedule_of

EXAMPLES = REPO / "examples" / "orders"
HOUR_S = 3600
DAY_S = 86_400


class Flow(NamedTuple):
    """What flows at a rate: seconds from the start, mL/h, and as what it is counted."""

    from_s: float
    until_s: float
    rate_ml_h: float
    bucket: int = INFUSED

    @property
    def volume_ml(self) -> float:
        return (self.until_s - self.from_s) * self.rate_ml_h / HOUR_S


class Expected(NamedTuple):
    """An order worked out by hand.

    ``drug`` is all of it, in mg; ``kvo_ml_h`` afterwards, 0 for none; ``clock_s`` is the time of
    day at the start.
    """

    flows: tuple[Flow, ...]
    vtbi_ml: float
    drug: float | None = None
    loading_ml: float = 0.0
    kept_open_ml: float = 0.0
    kvo_ml_h: float = 0.0
    containers: int = 1
    clock_s: int | None = None

    @property
    def duration_s(self) -> float:
        return self.flows[-1].until_s

    @property
    def peak_ml_h(self) -> float:
        return max(flow.rate_ml_h for flow in self.flows)


def steps(*rates_ml_h: float, each_s: float, last_s: float) -> tuple[Flow, ...]:
    """Equally long steps, but for the last."""
    starts_s = [each_s * number for number in range(len(rates_ml_h))]
    ends_s = [*starts_s[1:], starts_s[-1] + last_s]
    return tuple(map(Flow, starts_s, ends_s, rates_ml_h))


# A ramp of an hour is made in 60 stairs, each at the rate that the line has in its middle.
PLATEAU_ML_H = 2000 / 11
UP = tuple(Flow(60 * k, 60 * k + 60, PLATEAU_ML_H * (2 * k + 1) / 120) for k in range(60))
DOWN = tuple(
    Flow(12 * HOUR_S - flow.until_s, 12 * HOUR_S - flow.from_s, flow.rate_ml_h)
    for flow in reversed(UP)
)
F_ML_H = 2000 / (4 * 12 - 10)

EXPECTED = {
    # IVIG by mL/kg/h: 0.5, 1, 2, 4 and 5 for 70 kg. 600 mg/kg of 10 % are 420 mL, of which 262.5
    # are in after two hours: 157.5 mL at 350 mL/h take 27 min.
    "ivig-gammagard": Expected(
        steps(35, 70, 140, 280, 350, each_s=1800, last_s=1620), 420, 42_000, containers=3
    ),
    # IVIG by mL/kg/min: 42/84/168/336/504 mL/h for 70 kg. 315 mL are in after two hours: 105 mL at
    # 504 mL/h take 12.5 min.
    "ivig-octagam": Expected(
        steps(42, 84, 168, 336, 504, each_s=1800, last_s=750), 420, 42_000, kvo_ml_h=3
    ),
    # SCIG: 30 mL a site, 20 then 30 mL/h.
    "scig-one-site": Expected(steps(20, 30, each_s=1800, last_s=2400), 30),
    # TPN: plateau V / (T - (up + down) / 2) = 181.8 mL/h.
    "tpn-cyclic": Expected((*UP, Flow(HOUR_S, 11 * HOUR_S, PLATEAU_ML_H), *DOWN), 2000, kvo_ml_h=3),
    # TPN: F = V / (4T - 10 h), then 2F, 4F …, 2F, F: 52.6/105.3/210.5 mL/h.
    "tpn-stepped": Expected(
        (
            Flow(0, HOUR_S, F_ML_H),
            Flow(HOUR_S, 2 * HOUR_S, 2 * F_ML_H),
            Flow(2 * HOUR_S, 10 * HOUR_S, 4 * F_ML_H),
            Flow(10 * HOUR_S, 11 * HOUR_S, 2 * F_ML_H),
            Flow(11 * HOUR_S, 12 * HOUR_S, F_ML_H),
        ),
        2000,
        kvo_ml_h=3,
    ),
    # Vancomycin: 1 g of 5 mg/mL at 10 mg/min: 200 mL over 100 min, every 12 h.
    "vancomycin": Expected(
        tuple(Flow(at_s, at_s + 6000, 120) for at_s in (0, 43_200, 86_400)),
        600,
        3000,
        containers=3,
    ),
    # Ceftriaxone: 2 g of 40 mg/mL over 30 min, every 24 h.
    "ceftriaxone": Expected(
        (Flow(0, 1800, 100), Flow(DAY_S, DAY_S + 1800, 100)), 100, 4000, containers=2
    ),
    # 1 g of 20 mg/mL at 08:00: 10.5 h after 21:30. Of 0.5 mL/h KVO 10.5 h before the first dose and
    # 23.5 h before the second: 17 mL.
    "ceftriaxone-at-eight": Expected(
        (
            Flow(0, 37_800, 0.5, KVO),
            Flow(37_800, 39_600, 100),
            Flow(39_600, 124_200, 0.5, KVO),
            Flow(124_200, 126_000, 100),
        ),
        100,
        2000,
        kept_open_ml=17,
        kvo_ml_h=0.5,
        clock_s=21 * HOUR_S + 1800,
    ),
    # 24 h antibiotic: 240 mL at 10 mL/h.
    "antibiotic-over-a-day": Expected((Flow(0, DAY_S, 10),), 240, kvo_ml_h=3),
    # Cefazolin: 2 g, then 80 mg/kg/day for 60 kg: 100 and 240 mL of 20 mg/mL.
    "cefazolin": Expected(
        (Flow(0, 1800, 200, BOLUS), Flow(1800, 1800 + DAY_S, 10)),
        240,
        6800,
        loading_ml=100,
        kvo_ml_h=3,
    ),
    # Flucloxacillin: 8 g of 50 mg/mL in 24 h; the pump's rate is 6.667 mL/h.
    "flucloxacillin": Expected((Flow(0, 160 / 6.667 * HOUR_S, 6.667),), 160, 8000, kvo_ml_h=1),
    # Furosemide IV: 40 mg at 4 mg/min, then 10 mg/h for 12 h, 0.8 mg/mL.
    "furosemide-iv": Expected(
        (Flow(0, 600, 300, BOLUS), Flow(600, 43_800, 12.5)), 150, 160, loading_ml=50, kvo_ml_h=3
    ),
    # Furosemide SC: 30 mg in the first hour, then 12.5 mg/h for 4 h, 8 mg/mL: 3.75, then
    # 1.5625 mL/h, which is 1.563 for 6.25 mL.
    "furosemide-sc": Expected(
        (Flow(0, 3600, 3.75), Flow(3600, 3600 + 6.25 / 1.563 * HOUR_S, 1.563)),
        10,
        80,
        kvo_ml_h=1,
    ),
    # Hydration: 75 to 125 mL/h; SC at most 60 mL/h a site.
    "hydration-iv": Expected((Flow(0, 8 * HOUR_S, 125),), 1000),
    "hydration-sc": Expected((Flow(0, 30_000, 60),), 500),
    # 5-FU, from memory: 92 mL at 2 mL/h, 46 h.
    "fluorouracil": Expected((Flow(0, 46 * HOUR_S, 2),), 92),
    "delayed-start": Expected(
        (Flow(0, 7200, 1, KVO), Flow(7200, 14_400, 10)), 20, kept_open_ml=2, kvo_ml_h=1
    ),
}
# Tested below by themselves, or with the orders' own tests.
PCA = {"pca-morphine", "pca-morphine-with-basal", "pca-hydromorphone"}
PLAIN = {
    "purge-the-line", "demo-peristaltic", "demo-syringe", "fast-from-a-bag", "hours-and-minutes",
    "litres-a-day", "microlitres-a-minute", "own-keep-open-rate", "slow-from-a-large-syringe",
    "to-the-last-drop",
}  # fmt: skip

# nL of a microstep of the motor, 3200 to a revolution: what a head displaces in one (catalogue
# sources S5, S6, S4), or the bore's area (S2) times the lead of 2 mm.
NL_PER_STEP = {
    "runze-rz1030-0142": 116_447 / 3200,
    "runze-yz1515x-6r-16": 666_624 / 3200,
    "kamoer-kphm400-b25": 1_000_000 / 3200,
    "masterflex-ls-13": 60_000 / 3200,
    "bd-plastipak-10": math.pi / 4 * 14.5**2 * 2 / 3200 * 1000,
    "bd-plastipak-30": math.pi / 4 * 21.7**2 * 2 / 3200 * 1000,
    "bd-plastipak-50": math.pi / 4 * 26.7**2 * 2 / 3200 * 1000,
}


def checked(name):
    expected = EXPECTED.get(name)
    return check_order(
        load_order(EXAMPLES / f"{name}.toml"), clock_s=expected.clock_s if expected else None
    )


def test_every_example_has_its_figures():
    assert {path.stem for path in EXAMPLES.glob("*.toml")} == {*EXPECTED, *PCA, *PLAIN}


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_the_figures_worked_out_by_hand_agree_with_each_other(name):
    """So that a slip of the pen in the table above is found."""
    expected = EXPECTED[name]
    volumes_ml = dict.fromkeys((INFUSED, BOLUS, KVO), 0.0)
    for flow in expected.flows:
        volumes_ml[flow.bucket] += flow.volume_ml
    assert volumes_ml[INFUSED] == pytest.approx(expected.vtbi_ml, rel=1e-9)
    assert volumes_ml[BOLUS] == pytest.approx(expected.loading_ml, rel=1e-9)
    assert volumes_ml[KVO] == pytest.approx(expected.kept_open_ml, rel=1e-9)


# -- what is made of the order ---------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_an_order_comes_to_what_was_worked_out_by_hand(name):
    expected = EXPECTED[name]
    found = checked(name)
    assert found.vtbi_ul == expected.vtbi_ml * 1000
    assert found.loading_ul == expected.loading_ml * 1000
    if expected.drug is not None:
        assert (found.amount, found.amount_unit) == (expected.drug, "mg")
    assert found.kvo_ul_h == expected.kvo_ml_h * 1000
    assert (found.containers, found.containers_needed) == (expected.containers,) * 2
    # The pump counts rates in whole µL/h.
    assert found.greatest_rate_ul_h == round(expected.peak_ml_h * 1000)
    assert found.duration_s == pytest.approx(expected.duration_s, abs=1.5)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_microstep_is_what_the_mechanism_displaces(name):
    found = checked(name)
    nominal_nl = NL_PER_STEP[found.order.container.item_id]
    # The core's ratio is within 2 parts in ten thousand of the catalogue's figure (mechanism.py).
    assert float(found.nl_per_step) == pytest.approx(nominal_nl, rel=2e-4)


def test_nutrition_is_2000_ml_to_the_microstep():
    """A turn of the head is 1 mL and 3200 microsteps, exactly."""
    for name in ("tpn-cyclic", "tpn-stepped"):
        assert checked(name).target_steps == 6_400_000
        assert checked(name).nl_per_step == Fraction(625, 2)
    assert checked("tpn-cyclic").greatest_rate_ul_h / 1000 == pytest.approx(181.8, abs=0.05)
    rates_ml_h = [row.rate_ml_h for row in schedule_of(checked("tpn-stepped")).rows]
    assert rates_ml_h == pytest.approx([52.6, 105.3, 210.5, 105.3, 52.6], abs=0.05)


# -- a whole run -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_whole_run_delivers_it(name):
    expected = EXPECTED[name]
    found = checked(name)
    rig = CountingRig(found.program)
    pump = rig.controller
    # Looked at in the middle of every hour; and a second after the end, as the start takes 50 ms
    # and the change of a container less than 200.
    end_s = math.ceil(expected.duration_s + 1)
    for at_s in (*range(1800, end_s, HOUR_S), end_s):
        rig.run_to(at_s * 1000)
        left_s = max(0.0, expected.duration_s - at_s)
        assert pump.remaining_s() == pytest.approx(left_s, abs=2)
    assert pump.infused_steps() == pump.delivered_steps(INFUSED) == found.target_steps
    assert_delivered(found, pump, INFUSED, expected.vtbi_ml)
    assert_delivered(found, pump, BOLUS, expected.loading_ml)
    over_ml = expected.kvo_ml_h * 2 / HOUR_S
    nl = pump.delivered_steps(KVO) * found.nl_per_step
    # Each stretch of KVO is whole microsteps.
    least_ml = expected.kept_open_ml - 2 * found.nl_per_step / 1_000_000
    assert least_ml <= nl / 1_000_000 <= expected.kept_open_ml + over_ml
    assert pump.delivered_steps(DEMAND) == pump.delivered_steps(PRIMED) == 0
    assert_flows(found, rig, expected)


def assert_delivered(found, pump, bucket, volume_ml):
    """Never more than was ordered, and less by no more than a microstep."""
    delivered_nl = pump.delivered_steps(bucket) * found.nl_per_step
    assert 0 <= volume_ml * 1_000_000 - delivered_nl < found.nl_per_step


def assert_flows(found, rig, expected):
    """What the stepper was handed in every 10 s that lie within one flow is that flow's rate."""
    bin_s = BIN_MS // 1000
    # Quanta begin anew with another container: one of 0.1 s more or less may be in a bin.
    quanta = 1 if rig.emptied_s else 0
    seen = set()
    for number, flow in enumerate(expected.flows):
        due = round(flow.rate_ml_h * 1000) * bin_s / 3600 * 1000 / found.nl_per_step
        spare = 1 + quanta * due / 100
        first, last = math.ceil((flow.from_s + 1) / bin_s), math.floor((flow.until_s - 1) / bin_s)
        for at in range(first, last):
            if any(at * bin_s - 1 <= s <= (at + 1) * bin_s + 1 for s in rig.emptied_s):
                continue
            assert abs(rig.stepper.bins[at] - due) <= spare, (flow, at)
            seen.add(number)
    assert seen == set(range(len(expected.flows)))


# The other kind of mechanism: what holds it, how much of it and how often.
OTHERWISE = {
    "scig-one-site": (KIND_PERISTALTIC, "runze-rz1030-0142", 40_000, 1),
    "furosemide-sc": (KIND_PERISTALTIC, "masterflex-ls-13", 10_000, 1),
    "delayed-start": (KIND_PERISTALTIC, "runze-yz1515x-6r-16", 100_000, 1),
    "vancomycin": (KIND_SYRINGE, "bd-plastipak-60", 55_000, 11),
    "ceftriaxone-at-eight": (KIND_SYRINGE, "bd-plastipak-50", 50_000, 3),
    "tpn-cyclic": (KIND_SYRINGE, "bd-plastipak-60", 60_000, 34),
}


@pytest.mark.parametrize("name", sorted(OTHERWISE))
def test_the_same_by_the_other_kind_of_mechanism(name):
    expected = EXPECTED[name]
    order = contained(load_order(EXAMPLES / f"{name}.toml"), *OTHERWISE[name])
    found = check_order(order, clock_s=expected.clock_s)
    needed = -(-(expected.vtbi_ml + expected.kept_open_ml) * 1000 // found.program.content_ul)
    rig = CountingRig(found.program)
    # A container is changed in less than a second.
    rig.run_to((math.ceil(expected.duration_s) + 1 + found.containers) * 1000)
    assert rig.controller.delivered_steps(INFUSED) == found.target_steps
    assert_delivered(found, rig.controller, INFUSED, expected.vtbi_ml)
    assert len(rig.emptied_s) == needed - 1
    assert found.greatest_rate_ul_h == round(expected.peak_ml_h * 1000)


def contained(order, kind, item_id, content_ul, containers):
    """The same order, from something else."""
    told = {
        "kind": kind,
        "item_id": item_id,
        "content_ul": content_ul,
        "containers": containers,
    }
    fields = {**order.prescription.fields, **told}
    return replace(
        order,
        container=Container(**told),
        prescription=Prescription(order.prescription.kind, fields),
    )


def test_containers_are_asked_for_when_they_are_empty():
    # 200 mL: 122.5 in 1.5 h and 77.5 at 280 mL/h; 400 mL: 262.5 in 2 h and 137.5 at 350 mL/h.
    empty_s = [5400 + 77.5 / 280 * HOUR_S, 7200 + 137.5 / 350 * HOUR_S]
    found = checked("ivig-gammagard")
    changes = schedule_of(found).changes
    assert [change.at_s for change in changes] == pytest.approx(empty_s, abs=0.1)
    rig = CountingRig(found.program)
    rig.run_to(8_900_000)
    assert rig.emptied_s == pytest.approx(empty_s, abs=1)
    assert rig.controller.state == controller.COMPLETED


def test_a_purge_is_primed_and_nothing_else():
    """2 mL at 300 mL/h are 24 s, and a second more as it takes a second up and one down."""
    found = checked("purge-the-line")
    assert (found.vtbi_ul, found.greatest_rate_ul_h, found.kvo_ul_h) == (2_000, 300_000, 0)
    assert found.duration_s == pytest.approx(25, abs=1)
    rig = CountingRig(found.program)
    rig.run_to(27_000)
    pump = rig.controller
    assert pump.state == controller.COMPLETED
    assert_delivered(found, pump, PRIMED, 2)
    assert pump.delivered_steps(INFUSED) == pump.infused_steps() == 0
    # What the taper's first stair loses, as it begins within a quantum of 0.1 s, follows at the
    # end: 22 microsteps here, which take another 0.9 s.
    assert 25_000 <= rig.stepper.last_ms <= 26_000


# -- patient-controlled analgesia ------------------------------------------------------------------


def granted_s(rig, until_s):
    """Press at every second; when it was granted."""
    times_s = []
    for at_s in range(until_s):
        rig.run_to(at_s * 1000)
        if rig.do("demand") == boluses.OK:
            times_s.append(at_s)
    return times_s


def test_morphine_on_demand_is_ten_doses_an_hour_for_who_asks_at_every_second():
    """1 mg every 6 min meets 10 mg in 1 h and 40 mg in 4 h exactly; 50 mg are in the syringe."""
    found = checked("pca-morphine")
    assert (found.vtbi_ul, found.amount, found.first_rate_ul_h) == (50_000, 50, 0)
    rig = CountingRig(found.program)
    times_s = granted_s(rig, 5 * HOUR_S + 60)
    assert times_s == [360 * number for number in range(50)]
    assert sum(at_s < HOUR_S for at_s in times_s) == 10
    assert sum(at_s < 4 * HOUR_S for at_s in times_s) == 40
    dose_steps = found.program.demand_steps
    assert 0 <= 1_000_000 - dose_steps * found.nl_per_step < found.nl_per_step
    assert rig.controller.delivered_steps(DEMAND) == 50 * dose_steps
    assert rig.controller.delivered_steps(INFUSED) == 0
    assert rig.controller.motion.program.limits.made == 5 * HOUR_S + 60
    assert_rate_of_demands(found, rig, 125)
    assert_planned(found, times_s, 10)


def test_a_basal_rate_takes_its_part_of_the_limits():
    """1 mg/h of 10 mg in an hour leaves 9 demands, at 0, 6 … 48 min; 4 + 36 are 40 mg in 4 h."""
    found = checked("pca-morphine-with-basal")
    assert (found.vtbi_ul, found.first_rate_ul_h, found.greatest_rate_ul_h) == (
        50_000,
        1_000,
        126_000,
    )
    rig = CountingRig(found.program)
    times_s = granted_s(rig, 5 * HOUR_S + 60)
    assert times_s == [hour * HOUR_S + 360 * k for hour in range(5) for k in range(9)]
    # 45 demands and 5 h of basal flow: all that the syringe holds.
    pump = rig.controller
    assert pump.infused_steps() == found.target_steps
    assert_delivered_within(found, pump, DEMAND, 45, doses=45)
    assert_delivered_within(found, pump, INFUSED, 5, doses=45)
    assert rig.stepper.last_ms / 1000 == pytest.approx(5 * HOUR_S, abs=60)
    assert pump.state == controller.COMPLETED
    assert_planned(found, times_s, 9)


def test_a_loading_dose_takes_its_part_of_the_limit():
    """0.6 mg of 1.5 mg leave 9 demands of 0.1 mg; then it takes until an hour after the load."""
    found = checked("pca-hydromorphone")
    assert (found.vtbi_ul, found.loading_ul, found.amount) == (47_000, 3_000, 10)
    rig = CountingRig(found.program)
    times_s = granted_s(rig, 2 * HOUR_S)
    # 3 mL at 60 mL/h are in after 180 s, and the start takes 50 ms.
    first = [181 + 360 * k for k in range(9)]
    assert times_s[:9] == first
    # Then one as the first leaves the window; the loading dose has left it a second before.
    assert times_s[9:] == [3781 + 360 * k for k in range(10)]
    assert_delivered(found, rig.controller, BOLUS, 3)
    assert_planned(found, times_s, 9)


def assert_delivered_within(found, pump, bucket, volume_ml, doses):
    """Each dose is whole microsteps, and what they leave over flows as basal."""
    delivered_nl = pump.delivered_steps(bucket) * found.nl_per_step
    assert abs(volume_ml * 1_000_000 - delivered_nl) <= (doses + 1) * found.nl_per_step


def assert_rate_of_demands(found, rig, rate_ml_h):
    due = rate_ml_h * 1000 * 10 / 3600 * 1000 / found.nl_per_step
    # Of a demand that takes three bins at least one is full; a step at either end.
    assert max(rig.stepper.bins) == pytest.approx(float(due), abs=1)


def assert_planned(found, times_s, in_first_hour):
    """The plan tells the same: it asks at whole seconds, but takes no 50 ms to start."""
    demands = schedule_of(found).demands
    assert demands.in_first_hour == in_first_hour
    assert list(demands.times_s[: len(times_s)]) == pytest.approx(times_s, abs=1)


# -- refused, and told where -----------------------------------------------------------------------


class Refusal(NamedTuple):
    """An edit of an example, the key that is to blame, and parts of what is said."""

    name: str
    old: str
    new: str
    label: str
    said: str = "is not above zero"
    remedy: str = "Write a"


REFUSED = [
    # A ramp that is longer than the therapy.
    Refusal(
        "tpn-cyclic",
        'up = "1 h"',
        'up = "11:01"',
        "[therapy] up",
        "11:01 up and 01:00 down are longer than the 12:00",
        "Shorten",
    ),
    Refusal(
        "tpn-stepped",
        'time = "12 h"',
        'time = "4 h"',
        "[therapy] time",
        "no time for 4F",
        "more than 4 h",
    ),
    # Zero and negative.
    Refusal("hydration-iv", 'rate = "125 mL/h"', 'rate = "0 mL/h"', "[therapy] rate"),
    Refusal("hydration-iv", 'rate = "125 mL/h"', 'rate = "-125 mL/h"', "[therapy] rate"),
    Refusal("hydration-iv", 'vtbi = "1 L"', 'vtbi = "0 L"', "[therapy] vtbi"),
    Refusal("hydration-iv", 'content = "1 L"', 'content = "-1 L"', "[container] content"),
    Refusal("fluorouracil", 'time = "46 h"', 'time = "0 h"', "[therapy] time"),
    Refusal("fluorouracil", 'time = "46 h"', 'time = "-46 h"', "[therapy] time"),
    Refusal("vancomycin", 'dose = "1 g"', 'dose = "-1 g"', "[therapy] dose"),
    Refusal("vancomycin", 'every = "12 h"', 'every = "0 h"', "[therapy] every"),
    Refusal("vancomycin", 'for = "36 h"', 'for = "-36 h"', "[therapy] for"),
    Refusal(
        "vancomycin",
        "count = 3",
        "count = 0",
        "[container] count",
        "0 is outside of 1 to 99",
        "within",
    ),
    Refusal(
        "ceftriaxone",
        'every = "24 h"\ncount = 2',
        'every = "24 h"\ncount = 0',
        "[therapy] count",
        "0 is outside of 1 to 1000",
        "within",
    ),
    Refusal("ivig-gammagard", 'weight = "70 kg"', 'weight = "0 kg"', "[patient] weight"),
    Refusal("ivig-gammagard", 'each = "30 min"', 'each = "-30 min"', "[therapy] each"),
    Refusal("ivig-gammagard", '"0.5 mL/kg/h"', '"0 mL/kg/h"', "[therapy] escalate"),
    Refusal(
        "ivig-gammagard", 'concentration = "10 %"', 'concentration = "0 %"', "[drug] concentration"
    ),
    Refusal("pca-morphine", 'demand = "1 mg"', 'demand = "0 mg"', "[therapy] demand"),
    Refusal("pca-morphine", 'lockout = "6 min"', 'lockout = "0 min"', "[therapy] lockout"),
    Refusal("pca-morphine", '"10 mg"', '"-10 mg"', "[therapy.limits 1] most"),
    Refusal("purge-the-line", 'volume = "2 mL"', 'volume = "0 mL"', "[therapy] volume"),
    Refusal("scig-one-site", 'volume = "20 mL"', 'volume = "0 mL"', "[therapy.step 2] volume"),
    Refusal("delayed-start", 'delay = "2 h"', 'delay = "-2 h"', "[therapy] delay"),
    Refusal("delayed-start", 'kvo = "1 mL/h"', 'kvo = "0 mL/h"', "[therapy] kvo"),
    Refusal("cefazolin", 'loading = "2 g"', 'loading = "0 g"', "[therapy] loading"),
    # More than the pump can.
    Refusal(
        "hydration-iv",
        'rate = "125 mL/h"',
        'rate = "1201 mL/h"',
        "[therapy] rate",
        "1201 mL/h is outside of 0.01 mL/h to 1200",
        "lower rate",
    ),
    Refusal(
        "ivig-octagam",
        '"0.08 mL/kg/min"',
        '"0.3 mL/kg/min"',
        "[therapy] escalate",
        "step 4 a rate of 1260 mL/h",
        "lower rate",
    ),
    Refusal(
        "pca-morphine",
        'most = "10 mg"',
        'most = "0.5 mg"',
        "[therapy.limits 1] most",
        "0.5 mL is less than the 1 mL",
        "Raise",
    ),
    Refusal(
        "hydration-iv",
        'vtbi = "1 L"',
        'vtbi = "10 L"',
        "[therapy] vtbi",
        "0.1 mL to 9999 mL",
        "within that range",
    ),
    Refusal(
        "antibiotic-over-a-day",
        'time = "24 h"',
        'time = "100 h"',
        "[therapy] time",
        "at most 99:59",
        "within",
    ),
    # Steps that do not sum.
    Refusal(
        "scig-one-site",
        'vtbi = "30 mL"',
        'vtbi = "29 mL"',
        "[therapy] vtbi",
        "the steps sum to 30 mL and not to 29 mL",
        "Mend",
    ),
    # A time of day that does not exist.
    Refusal(
        "ceftriaxone-at-eight",
        'at = ["08:00"]',
        'at = ["24:00"]',
        "[therapy] at",
        '"24:00" is no time of day',
        "00:00 to 23:59",
    ),
    Refusal(
        "ceftriaxone-at-eight",
        'at = ["08:00"]',
        'at = ["08:60"]',
        "[therapy] at",
        '"08:60" is no time of day',
        "00:00 to 23:59",
    ),
]


@pytest.mark.parametrize("refusal", REFUSED, ids=lambda refusal: f"{refusal.name}: {refusal.new}")
def test_what_cannot_be_is_refused_with_file_line_key_and_remedy(tmp_path, capsys, refusal):
    text = (EXAMPLES / f"{refusal.name}.toml").read_text(encoding="utf-8")
    begin = text.index("[order]")
    assert text.count(refusal.old, begin) == 1
    order = tmp_path / "an-order.toml"
    order.write_text(
        text[:begin] + text[begin:].replace(refusal.old, refusal.new), encoding="utf-8"
    )
    assert main(["plan", str(order), "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    line = line_of(order.read_text(encoding="utf-8"), refusal.new, refusal.label)
    assert said["where"] == f"{order}, line {line}, {refusal.label}"
    assert refusal.said in said["error"]
    assert refusal.remedy in said["remedy"]


def line_of(text: str, new: str, label: str) -> int:
    """The line of what was put in, or of the array that it is an item of."""
    before, _, _ = text.partition(new)
    line = before.count("\n") + new.count("\n") + 1
    if label == "[therapy] escalate":
        line = before[: before.rindex("escalate")].count("\n") + 1
    return line


def test_the_plan_of_an_order_that_is_not_there_says_so(capsys):
    assert main(["plan", str(Path("nowhere") / "order.toml")]) == 1
    assert "nowhere/order.toml" in capsys.readouterr().err.replace("\n", "")
