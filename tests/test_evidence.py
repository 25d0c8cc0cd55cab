"""The evidence's tool: its counts, its limits, and that a detector that is broken shows in them."""

import dataclasses
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from micropump import detectors, monitor, occlusion
from micropump.occlusion import OCCLUSION_LEVELS_PA
from micropump_host.bench.mechanics import geometry_of
from micropump_host.bench.surroundings import Bubbles
from micropump_host.cli import main
from micropump_host.errors import MicropumpError
from micropump_host.evidence import campaign, cases, days, draw, limits, summary, sweeps, whole
from micropump_host.evidence.campaign import Job, Plan
from micropump_host.evidence.standing import Standing

SEED = 21
# Without curves, which take their time: half a day of open lines in three parts, sixty cases.
DAYS = [Job(campaign.DAYS, number, hours=4.0) for number in (1, 2, 3)]
BLOCKS = Plan(device_days=0, provoked_days=0, whole_days=0, injected=100, seed=SEED).jobs()[1:]
NOTHING = Plan(device_days=0, provoked_days=0, whole_days=0, injected=0, seed=SEED)


def run(*jobs):
    rows = {job.name: campaign.run_job(job, SEED) for job in jobs}
    return summary.summarise(NOTHING, rows, "test")


@pytest.fixture(scope="module")
def found():
    return run(*DAYS, *BLOCKS)


def test_half_a_device_day_without_a_false_alarm_and_sixty_cases_without_a_miss(found):
    assert found["days"]["device_days"] == pytest.approx(0.5, abs=0.01)
    assert found["days"]["false"] == []
    injected = found["injected"]
    assert injected["cases"] + injected["spoilt"] == 60
    assert injected["cases"] >= 58
    assert injected["missed"] == []
    assert injected["others_missed"] == []
    assert injected["false"] == []
    assert found["passed"]


def test_of_what_cannot_be_seen_nothing_is(found):
    for kind in cases.NOT_TO_BE_SEEN:
        assert found["injected"]["kinds"][kind]["cases"] == 2
        assert found["injected"]["kinds"][kind]["noticed"]["count"] == 0


def test_a_curve_has_its_extremes():
    kinds = ("occlusion", "bubble", "stall", "occlusion")
    counted = run(Job(campaign.DAYS, 0, hours=1.0), Job(campaign.INJECTED, 0, kinds=kinds))
    for name in ("slope", "level", "air", "bubble", "stall"):
        curve = counted["curves"][name]
        assert curve["cases"] >= 1, name
        assert curve["open"] >= 1, name
        for share in ("found", "false"):
            counts = [point["count"] for point in curve[share]]
            # The higher a threshold is, the fewer it tells.
            assert name == "slope" or counts == sorted(counts, reverse=True), name
    for name in ("slope", "air", "stall"):
        curve = counted["curves"][name]
        place = curve["values"].index(curve["chosen"])
        assert curve["false"][place]["count"] == 0, name
        assert curve["found"][place]["count"] == curve["cases"], name
    # No window is fuller than full.
    assert counted["curves"]["air"]["found"][-1]["count"] == 0


@pytest.mark.parametrize(
    ("detector", "kinds"),
    [
        (occlusion.Occlusion, {"occlusion", "partial occlusion"}),
        (occlusion.Disconnection, {"disconnection"}),
        (detectors.Air, {"bubble", "air run", "air in all"}),
        (detectors.Stall, {"stall", "lost steps"}),
        (detectors.Barrel, {"syringe removed"}),
        (occlusion.Upstream, {"inlet clamped"}),
    ],
)
def test_a_blind_detector_misses_all_of_its_kinds(monkeypatch, detector, kinds):
    monkeypatch.setattr(detector, "update", lambda *_: 0)
    block = BLOCKS[0]
    picked = [at for at, kind in enumerate(block.kinds) if kind in kinds][:2]
    for at in picked:
        case = cases.injected_case(block.kinds[at], random.Random(f"{SEED}/{block.name}/{at}"))
        assert cases.run_injected(case, with_bank=False).found is None


def test_blind_detectors_fail_the_summary(monkeypatch):
    monkeypatch.setattr(occlusion.Disconnection, "update", lambda *_: 0)
    job = Job(campaign.INJECTED, 1, kinds=("disconnection", "disconnection", "stall"))
    counted = run(job)
    assert len(counted["injected"]["missed"]) == 2
    assert counted["injected"]["kinds"]["stall"]["noticed"]["count"] == 1
    assert not counted["passed"]


@pytest.mark.parametrize(
    ("module", "name", "value", "alarm"),
    [
        # A metre of head has 9.8 kPa, and nothing about its shape is asked for.
        (occlusion.Slope, "_is_closed", lambda self, _: self._back(0) - self._back(9) > 2_000,
         "occlusion"),
        (detectors.Air, "update", lambda _, __, ___, permille: permille > 15, "air_bubble"),
        (occlusion.Disconnection, "update", lambda _, __, ___, pa: pa < 20_000, "disconnected"),
    ],
)  # fmt: skip
def test_a_jumpy_detector_is_counted(monkeypatch, module, name, value, alarm):
    monkeypatch.setattr(module, name, value)
    counted = run(Job(campaign.DAYS, 1, hours=2.0))
    assert counted["days"]["alarms"][alarm]["count"] > 0
    assert not counted["passed"]


@given(st.integers(0, 200), st.integers(1, 3_000))
@settings(max_examples=50, deadline=None)
def test_limits_of_a_share_are_those_of_the_binomial(count, of):
    count = min(count, of)
    share = limits.share(count, of)
    assert 0.0 <= share.low <= count / of <= share.high <= 1.0
    # By their definition, and for none and all in closed form.
    if count:
        assert stats.binom.sf(count - 1, of, share.low) == pytest.approx(0.025, rel=1e-6)
    else:
        assert share.high == pytest.approx(1.0 - 0.025 ** (1.0 / of), rel=1e-6)
    if count < of:
        assert stats.binom.cdf(count, of, share.high) == pytest.approx(0.025, rel=1e-6)


@given(st.integers(0, 50), st.floats(0.1, 10_000.0))
@settings(max_examples=50, deadline=None)
def test_the_limit_of_a_rate_is_that_of_the_poisson(count, in_days):
    high = limits.rate(count, in_days).high_per_day
    assert stats.poisson.cdf(count, high * in_days) == pytest.approx(0.05, rel=1e-6)


def test_none_of_none_says_nothing():
    assert limits.share(0, 0) == limits.Share(0, 0, 0.0, 1.0)
    assert limits.rate(0, 0.0).high_per_day is None
    # The rule of three.
    assert limits.rate(0, 1_000.0).high_per_day == pytest.approx(0.002996, abs=1e-6)


def test_what_is_drawn_is_what_a_pump_can_do():
    sizes, drives, needles = set(), set(), set()
    for number in range(300):
        infusion = draw.draw_infusion(random.Random(f"draw/{number}"))
        mechanism, bench = infusion.mechanism, infusion.bench
        sizes.add(mechanism.item_id)
        drives.add(mechanism.drive_id)
        needles.add(bench.outlet.needle_gauge)
        for change in infusion.changes:
            assert change.rate_ul_h == 0 or 500 <= change.rate_ul_h <= 300_000
            assert change.rate_ul_h <= mechanism.greatest_rate_ul_h
        assert infusion.level_kpa * 1000 in OCCLUSION_LEVELS_PA
        assert infusion.level_kpa * 1000 > draw.settled_pa(bench, infusion.rate_ul_h)
        assert 18 <= bench.outlet.needle_gauge <= 24
        heights = [e.cm for e in bench.events if isinstance(e, draw.SetHeadHeight)]
        if heights:
            heights.append(bench.outlet.head_height_cm)
            assert max(heights) - min(heights) <= 100.0 + 1e-6
        times = [event.at_min for event in bench.events]
        assert times == sorted(times)
        assert geometry_of(mechanism)
    # All of the catalogue, but for what is rare and slow to draw.
    assert len(sizes) >= 45
    assert len(drives) >= 8
    assert needles == set(range(18, 25))


def test_what_provokes_is_more_of_what_is_usual():
    def per_hour(wish, kind):
        hours = events = 0.0
        for number in range(40):
            infusion = draw.draw_infusion(random.Random(f"{wish}/{number}"), wish)
            hours += infusion.duration_s / 3600.0
            events += sum(isinstance(event, kind) for event in infusion.bench.events)
        return events / hours

    usual, provoked = (
        per_hour(wish, draw.SetBackPressure) for wish in (days.USUAL, days.PROVOKING)
    )
    # A cough begins and ends: of 1800 s on average, and of 240 s and what the cough takes.
    assert usual == pytest.approx(2 * 2.0, rel=0.25)
    assert provoked == pytest.approx(2 * 14.4, rel=0.25)
    usual, provoked = (per_hour(wish, draw.SetHeadHeight) for wish in (days.USUAL, days.PROVOKING))
    assert provoked > 2.0 * usual


def test_what_takes_a_raised_end_and_a_cough_for_a_closed_line_is_provoked_to(monkeypatch):
    """Quarters of 2 to 60 %, as a force cell's, did not stand 12 provoked days of this seed."""
    infusion = draw.draw_infusion(random.Random(f"{SEED}/provoked/2/5"), days.PROVOKING)

    def names():
        return [days.name_of(one) for one in days.run_open(infusion, 1.5, with_bank=False).found]

    assert names() == [days.AT_AMBIENT]
    monkeypatch.setattr(monitor, "SLOPE_QUARTER_LEAST_PERCENT", 2)
    monkeypatch.setattr(monitor, "SLOPE_QUARTER_GREATEST_PERCENT", 60)
    assert names() == [days.AT_AMBIENT, "occlusion"]


def test_a_false_alarm_that_was_provoked_is_counted_apart(monkeypatch):
    monkeypatch.setattr(
        occlusion.Slope, "_is_closed", lambda self, _: self._back(0) - self._back(9) > 2_000
    )
    counted = run(Job(campaign.PROVOKED, 1, hours=2.0))
    assert counted["provoked"]["alarms"]["occlusion"]["count"] > 0
    assert counted["provoked"]["false"]
    assert counted["days"]["infusions"] == 0
    assert counted["passed"]


def test_a_seed_is_an_infusion():
    one, two = (draw.draw_infusion(random.Random("same")) for _ in range(2))
    assert (one.bench, one.changes, one.level_kpa) == (two.bench, two.changes, two.level_kpa)
    row = campaign.run_job(Job(campaign.INJECTED, 3, kinds=("occlusion",)), 5)
    assert campaign.run_job(Job(campaign.INJECTED, 3, kinds=("occlusion",)), 5) == row


@pytest.mark.parametrize("kind", cases.SHARES)
def test_what_happens_happens(kind):
    case = cases.injected_case(kind, random.Random(f"happens/{kind}"))
    assert case.within_s > 0
    assert case.events or kind == "air in all"
    alarms = {row[1] for row in whole.alarms.ALARMS}
    assert set(case.names) <= alarms


def test_an_alarm_of_a_line_that_is_at_ambient_is_not_false():
    def name(alarm, line_pa):
        return days.name_of(days.Found(alarm, 1.0, line_pa, False))

    assert name("disconnected", 600.0) == days.AT_AMBIENT
    assert name("disconnected", -1_200.0) == days.AT_AMBIENT
    assert name("disconnected", 1_400.0) == "disconnected"
    assert name("occlusion", 0.0) == "occlusion"


class Pushing:
    """A plant of which only what flowed is known."""

    microstep_ul = 0.1

    def __init__(self):
        self.outflow_ul = 0.0
        self.steps = 0
        self.bubbles = Bubbles(from_pump_ul=100.0, window_ul=5.0)
        self.standing = Standing()

    def push(self, ul, flowed_part):
        for _ in range(round(ul / self.microstep_ul)):
            self.steps += 1
            self.outflow_ul += flowed_part * self.microstep_ul
            self.standing.look(self, self.bubbles, self.steps)


def test_air_stands_where_it_was_pushed_and_did_not_flow():
    plant = Pushing()
    plant.bubbles.enter(0.0, 16.0)
    plant.push(110.0, 1.0)
    assert not plant.standing.explains(5.0)
    plant.push(50.0, 0.0)
    assert plant.standing.explains(50.0)
    # A detector that counts more than was pushed is not excused.
    assert not plant.standing.explains(60.0)
    # Nor is one that does not see the end.
    plant.push(20.0, 1.0)
    assert not plant.standing.explains(10.0)


@pytest.mark.parametrize("flowed_part", [0.6, 1.0, 1.5])
def test_air_that_flows_does_not_stand(flowed_part):
    plant = Pushing()
    plant.bubbles.enter(0.0)
    plant.push(400.0, flowed_part)
    assert not plant.standing.explains(50.0)


def test_a_speck_that_stands_while_the_play_is_taken_up_is_told_apart():
    """The clamp of a 50 mL syringe held back, the end hung so low; then somebody coughed."""
    infusion = draw.draw_infusion(random.Random("1/days/600/4"))
    assert (infusion.mechanism.item_id, infusion.bubble_ul) == ("hsw-norm-ject-50", 50)
    (found,) = days.run_open(infusion, 6.0, with_bank=False).found
    assert found.name == "air_bubble"
    assert days.name_of(found) == days.AIR_STANDS
    row = {"hours": 6.0, "found": [campaign._found_row(found)]}
    counted = summary._days([row])
    assert counted["false"] == []
    assert counted["infusions_with_standing_air"]["count"] == 1


def test_the_same_speck_stands_on_the_whole_pump(monkeypatch):
    for module in (monitor, whole):
        monkeypatch.setattr(module, "DEFAULT_BUBBLE_UL", 50)
    ran = whole.run_whole(draw.draw_infusion(random.Random("1/days/600/4")), 5.76)
    assert ran.alarms == ("air_bubble",)
    assert ran.air_stands


@pytest.mark.parametrize(("stands", "false"), [(True, 0), (False, 1)])
def test_of_the_whole_pump_standing_air_is_told_apart_too(stands, false):
    row = {"hours": 1.0, "alarms": ["air_bubble"], "line_pa": -8_000, "air_stands": stands}
    counted = summary._whole([row])
    assert len(counted["false"]) == false
    assert counted["infusions_with_standing_air"]["count"] == 1 - false


def test_a_bank_says_at_the_chosen_thresholds_what_the_pump_says():
    case = cases.injected_case("occlusion", random.Random("bank/1"))
    outcome = cases.run_injected(case, with_bank=True)
    assert outcome.found is not None
    level = sweeps.BY_NAME["level"].values.index(case.infusion.level_kpa * 1000)
    slope = sweeps.BY_NAME["slope"].values.index(occlusion.SLOPE_FLOOR_PA)
    told = outcome.sweeps["level"] >> level & 1 or outcome.sweeps["slope"] >> slope & 1
    assert told


TINY = Plan(device_days=0, provoked_days=0, whole_days=0, injected=1, seed=3)


def test_a_campaign_goes_on_where_it_was_interrupted(tmp_path, monkeypatch):
    told = []
    first = campaign.run_campaign(TINY, tmp_path, 1, told.append)
    path = tmp_path / campaign.RUNS
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) == 2
    assert json.loads(lines[0])["seed"] == 3
    # The machine went off in the middle of a line.
    path.write_text("\n".join(lines) + '\n{"job": "inj', encoding="utf-8")
    ran = []
    once = campaign.run_job
    monkeypatch.setattr(campaign, "run_job", lambda job, seed: ran.append(job) or once(job, seed))
    assert campaign.run_campaign(TINY, tmp_path, 1, told.append) == first
    assert ran == []
    assert [job.name for job in told] == ["injected/0", "injected/0"]
    assert path.read_text(encoding="utf-8").splitlines() == lines
    with pytest.raises(MicropumpError, match="another seed"):
        campaign.run_campaign(dataclasses.replace(TINY, seed=4), tmp_path, 1, told.append)


def test_more_cases_leave_those_that_were_there():
    fewer = dataclasses.replace(NOTHING, device_days=3, injected=45).jobs()
    more = dataclasses.replace(NOTHING, device_days=3, injected=80).jobs()
    assert fewer[3] == more[3]
    assert len(more[4].kinds) == 42
    assert fewer[4].kinds[:5] == more[4].kinds[:5]


def test_a_half_hour_of_the_whole_pump():
    wish = draw.Wish(kind="syringe", steady=True, resting=True, rate_ul_h=(4_000.0, 9_000.0))
    infusion = draw.draw_infusion(random.Random("whole"), wish)
    ran = whole.run_whole(infusion, 0.2)
    assert ran.alarms == ()
    assert ran.infused_ul == pytest.approx(0.2 * infusion.rate_ul_h, rel=0.02)


def test_the_whole_pump_says_what_its_detectors_find(monkeypatch):
    wish = draw.Wish(kind="syringe", steady=True, resting=True, rate_ul_h=(4_000.0, 9_000.0))
    infusion = draw.draw_infusion(random.Random("whole"), wish)
    looks = []
    # Not before the start, which it would forbid.
    monkeypatch.setattr(detectors.Air, "update", lambda *_: looks.append(1) or len(looks) > 100)
    ran = whole.run_whole(infusion, 0.2)
    assert ran.alarms == ("air_bubble",)
    # The plunger's slips are within 45 Pa of where the open line settles, at 1.2 kPa.
    settled_pa = draw.settled_pa(infusion.bench, infusion.rate_ul_h)
    assert ran.line_pa == pytest.approx(settled_pa, abs=150.0)
    assert ran.hours < 0.05


def test_the_command_writes_its_report_and_says_no_to_a_miss(tmp_path, capsys, monkeypatch):
    words = ["evidence", "--out", str(tmp_path), "--device-days", "0", "--provoked-days", "0",
             "--whole-days", "0", "--injected", "1", "--seed", "3", "--jobs", "1",
             "--json"]  # fmt: skip
    assert main(words) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "evidence.json").read_text(encoding="utf-8"))
    assert printed["plan"]["seed"] == 3
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "never for patients" in page
    assert "<svg" in page
    # Of misses and false alarms.
    assert page.count(">none</td>") == 4
    monkeypatch.setattr(occlusion.Occlusion, "update", lambda *_: 0)
    words[words.index(str(tmp_path))] = str(tmp_path / "blind")
    assert main(words) == 1
    assert len(json.loads(capsys.readouterr().out)["injected"]["missed"]) == 1
    for option, value in (("--injected", "-1"), ("--jobs", "0")):
        wrong = [*words]
        wrong[wrong.index(option) + 1] = value
        assert main(wrong) == 2


def test_a_bubble_that_is_swept_along_as_the_end_is_lowered_is_not_missed(monkeypatch):
    # 595 µL where 500 are the limit, of which the syringe lets some go that is not pushed.
    def found():
        case = cases.injected_case("bubble", random.Random("swept/2862"))
        assert (case.infusion.bubble_ul, case.infusion.gauge) == (500, "line")
        return cases.run_injected(case, with_bank=False).found

    assert found().name == "air_bubble"
    monkeypatch.setattr(occlusion.Release, "flowed_nl", lambda *_: 0)
    assert found() is None
