"""What a pump tells of an occlusion: predicted by the plan, and disclosed from closed lines."""

import dataclasses
import functools
import json

import numpy as np
import pytest
from support import REPO

from micropump.mechanism import KIND_PERISTALTIC, KIND_SYRINGE, build
from micropump.monitor import DEFAULT_LEVEL_PA
from micropump_host.accuracy.occlusion import (
    METHOD,
    PUBLISHED,
    disclosure_of,
    load_occlusion_run,
    row_of,
)
from micropump_host.accuracy.occlusion_plots import bolus_figure, time_figure, trace_figure
from micropump_host.bench import PlantRun, default_bench
from micropump_host.bench.ground import build_ground
from micropump_host.bench.local import LocalLine
from micropump_host.bench.mechanics import geometry_of
from micropump_host.bench.record import ListRecorder
from micropump_host.bench.world import VirtualBench
from micropump_host.cli import main
from micropump_host.client import Pump
from micropump_host.disclosure.closed import close_line, released_ml, with_line_sensor
from micropump_host.disclosure.relief import relieve_line
from micropump_host.disclosure.table import disclose
from micropump_host.errors import EXIT_DONE, EXIT_REFUSED, EXIT_USAGE, MicropumpError
from micropump_host.orders import Container, Order, Prescription, check_order, load_order
from micropump_host.plan import FROM_LIBRARY, FROM_OPTION, FROM_PUMP, occlusion_of

EXAMPLES = REPO / "examples" / "orders"
SYRINGE = build(KIND_SYRINGE, "bd-plastipak-50", "t8-2mm-16")
HEAD = build(KIND_PERISTALTIC, "runze-rz1030-0142", "direct-16")
LEVELS_KPA = (30, 70, 120)
RATES_ML_H = (1.0, 5.0, 25.0, 100.0)
# Syringe 12.5, line 0.4 and drive (560 mm² squared, by 200 N/mm) 1.57 µL/kPa.
BENCH_UL_KPA = 14.47


def bench_of(syringe_ml_bar=1.25, static_n=10.0, stiffness_n_mm=200.0, seed=1):
    bench = default_bench("syringe")
    return dataclasses.replace(
        bench,
        info=dataclasses.replace(bench.info, seed=seed),
        plunger=dataclasses.replace(
            bench.plunger,
            compliance_ml_per_bar=syringe_ml_bar,
            static_friction_n=static_n,
            kinetic_friction_n=0.7 * static_n,
        ),
        drive=dataclasses.replace(bench.drive, stiffness_n_per_mm=stiffness_n_mm),
    )


@functools.cache
def closed_at(rate_ml_h):
    return close_line(default_bench("syringe"), SYRINGE, rate_ml_h, LEVELS_KPA)


@functools.cache
def relieved_at(rate_ml_h, level_kpa):
    return relieve_line(default_bench("syringe"), SYRINGE, rate_ml_h, level_kpa)


def checked_at(rate_ul_h, item="bd-plastipak-50", content_ul=50_000, kind=KIND_SYRINGE):
    fields = {
        "kind": kind, "item_id": item, "content_ul": content_ul, "containers": 1, "delay_s": 0,
        "rate_ul_h": rate_ul_h, "vtbi_ul": content_ul // 2, "duration_s": 0, "kvo_ul_h": 0,
        "loading_ul": 0, "loading_ul_h": 0, "order_id": "", "asked_by": "", "drug_id": "",
        "care_area": "", "concentration_in": 0, "concentration_mantissa": 0,
        "concentration_exponent": 0, "weight_g": 0,
    }  # fmt: skip
    container = Container(kind, item, content_ul)
    return check_order(Order("an-order", "", container, Prescription(1, fields)))


# -- what the plan predicts ------------------------------------------------------------------------


@pytest.mark.parametrize("rate_ml_h", RATES_ML_H)
@pytest.mark.parametrize("level_kpa", LEVELS_KPA)
def test_the_plan_agrees_with_the_plant(rate_ml_h, level_kpa):
    closed = closed_at(rate_ml_h)
    forecast = occlusion_of(checked_at(round(rate_ml_h * 1000)), level_kpa)
    told = forecast.rates[0]
    by_level = closed.by_level[level_kpa]
    # The middle is 15 µL/kPa and the bench's 14.47. An open line is above ambient and the sensor
    # reads 0.2 kPa too much. Measured: −3.5 to +2 % up to 25 mL/h, −6 % at 100.
    within = 0.04 if rate_ml_h <= 25 else 0.07
    own = BENCH_UL_KPA / forecast.compliance_ul_kpa.middle
    assert by_level.time_s == pytest.approx(told.by_level_s.middle * own, rel=within)
    assert told.by_level_s.least < by_level.time_s < told.by_level_s.greatest
    # At 100 mL/h and 30 kPa both come within the same second.
    if told.by_slope_s is not None:
        assert closed.by_slope.time_s == pytest.approx(told.by_slope_s.middle * own, rel=within)
        assert told.by_slope_s.least < closed.by_slope.time_s < told.by_slope_s.greatest


@pytest.mark.parametrize("rate_ml_h", RATES_ML_H)
def test_the_bolus_that_the_plan_predicts_comes_out_of_the_plant(rate_ml_h):
    forecast = occlusion_of(checked_at(round(rate_ml_h * 1000)), 120)
    told = forecast.rates[0]
    own = BENCH_UL_KPA / forecast.compliance_ul_kpa.middle
    # A plunger that sticks holds up to 3.4 kPa·C_d, 5 µL, back in the drive: measured −1 to +4 %,
    # and at 100 mL/h, where the open line was at 1.8 kPa, +7 %.
    bolus_ml = closed_at(rate_ml_h).by_slope.bolus_ml
    assert bolus_ml == pytest.approx(told.bolus_ml.middle * own, rel=0.08)
    assert told.bolus_ml.least < bolus_ml < told.bolus_ml.greatest


@pytest.mark.parametrize("rate_ml_h", RATES_ML_H)
def test_what_the_plan_predicts_after_a_back_off_is_what_is_left(rate_ml_h):
    forecast = occlusion_of(checked_at(round(rate_ml_h * 1000)), 70)
    bolus_ml = relieved_at(rate_ml_h, 70).alarm.bolus_ml
    assert abs(bolus_ml) <= forecast.relieved_bolus_ml.greatest


@pytest.mark.parametrize(
    ("item", "content_ul", "rate_ul_h"),
    [
        ("bd-plastipak-50", 50_000, 5_000),
        ("bd-plastipak-50", 50_000, 120_000),
        ("bd-plastipak-10", 10_000, 500),
        ("bd-plastipak-3", 3_000, 100),
    ],
)
def test_the_plan_and_the_pump_say_the_same(item, content_ul, rate_ul_h):
    checked = checked_at(rate_ul_h, item, content_ul)
    bench = with_line_sensor(default_bench("syringe"))
    ground = build_ground("cpython", KIND_SYRINGE, checked.drive_id, 0)
    world = VirtualBench(ground, KIND_SYRINGE, checked.drive_id, bench, ListRecorder())
    with Pump("local", open_port=lambda *_: LocalLine(world)) as pump:
        pump.prescribe(checked.prescription.kind, dict(checked.prescription.fields))
        said = pump.predict()
    forecast = occlusion_of(checked)
    told = forecast.rates[0]
    assert said.level_pa == forecast.level_kpa * 1000 == DEFAULT_LEVEL_PA
    assert said.least_level_ms == told.by_level_s.least * 1000
    assert said.greatest_level_ms == told.by_level_s.greatest * 1000
    assert said.least_slope_ms == told.by_slope_s.least * 1000
    assert said.greatest_slope_ms == told.by_slope_s.greatest * 1000
    assert said.least_bolus_nl == pytest.approx(told.bolus_ml.least * 1e6)
    assert said.greatest_bolus_nl == pytest.approx(told.bolus_ml.greatest * 1e6)


def test_a_smaller_syringe_may_be_told_of_sooner():
    small = occlusion_of(checked_at(1_000, "bd-plastipak-10", 10_000))
    large = occlusion_of(checked_at(1_000))
    assert small.compliance_ul_kpa.least < large.compliance_ul_kpa.least / 3
    assert small.rates[0].by_level_s.least < large.rates[0].by_level_s.least / 3


def test_a_head_is_told_by_its_level_alone():
    checked = checked_at(25_000, HEAD.item_id, 500_000, KIND_PERISTALTIC)
    forecast = occlusion_of(checked, 70)
    (told,) = forecast.rates
    assert told.by_slope_s is None
    assert forecast.relieved_bolus_ml is None
    closed = close_line(default_bench("peristaltic"), HEAD, 25.0, [70])
    assert closed.by_slope is None
    alarm = closed.by_level[70]
    # A stroke of this head is 29 µL, 4 s; the line's 2 µL/kPa and 70 kPa are 20 s.
    assert alarm.time_s == pytest.approx(told.by_level_s.middle, abs=4.5)
    assert alarm.bolus_ml == pytest.approx(told.bolus_ml.middle, abs=0.015)


def test_least_and_greatest_rate_and_kvo_are_told_where_they_differ():
    plain, stepped = (
        occlusion_of(check_order(load_order(EXAMPLES / f"{name}.toml"))).rates
        for name in ("demo-syringe", "ivig-gammagard")
    )
    assert [row.what for row in plain] == ["rate", "KVO"]
    assert [row.what for row in stepped][:2] == ["least rate", "greatest rate"]
    assert stepped[0].rate_ml_h < stepped[1].rate_ml_h


def planned(capsys, *words):
    code = main(["plan", *map(str, words), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_where_the_pressure_limit_comes_from(capsys):
    order = EXAMPLES / "pca-morphine.toml"
    library = REPO / "examples" / "library"
    for words, level_kpa, level_from in (
        ((), 60, FROM_PUMP),
        (("--library", library), 60, FROM_LIBRARY),
        (("--library", library, "--occlusion-kpa", 45.5), 45.5, FROM_OPTION),
    ):
        code, said = planned(capsys, order, *words)
        assert code == EXIT_DONE
        assert said["occlusion"]["level_kpa"] == level_kpa
        assert said["occlusion"]["level_from"] == level_from
    # A drug that the library has nothing to say of.
    _, said = planned(capsys, EXAMPLES / "demo-syringe.toml", "--library", library)
    assert said["occlusion"]["level_from"] == FROM_PUMP


@pytest.mark.parametrize("kpa", ["0", "-30", "201", "nan"])
def test_a_limit_that_no_pump_has_is_refused(capsys, kpa):
    code, said = planned(capsys, EXAMPLES / "demo-syringe.toml", "--occlusion-kpa", kpa)
    assert code == EXIT_USAGE
    assert said["where"] == "--occlusion-kpa"


def test_the_plan_shows_it(capsys):
    assert main(["plan", str(EXAMPLES / "demo-syringe.toml")]) == EXIT_DONE
    said = capsys.readouterr().out
    assert "If the line is closed (limit 60 kPa, the pump's own)" in said
    # C·Δp/Q with 9, 15 and 21 µL/kPa: 60 kPa at 5 mL/h.
    assert "10:48 (6:29–15:07)" in said


# -- closed lines: plant and detectors -------------------------------------------------------------


@pytest.mark.parametrize("syringe_ml_bar", [0.75, 1.25, 1.9])
@pytest.mark.parametrize("rate_ml_h", [1.0, 5.0])
def test_the_slope_takes_at_most_half_of_the_time_of_the_level(rate_ml_h, syringe_ml_bar):
    closed = close_line(bench_of(syringe_ml_bar), SYRINGE, rate_ml_h, LEVELS_KPA)
    for level_kpa in LEVELS_KPA:
        assert closed.by_slope.time_s <= closed.by_level[level_kpa].time_s / 2


def test_time_goes_with_the_level_and_against_the_rate():
    times_s = [[closed_at(rate).by_level[level].time_s for level in LEVELS_KPA] for rate in (1, 5)]
    # Each level to 1 %, where stairs of stick-slip are 0.6 kPa; the rate's ratio likewise.
    for slow_s, fast_s, level_kpa in zip(*times_s, LEVELS_KPA, strict=True):
        assert slow_s / fast_s == pytest.approx(5.0, rel=0.025)
        assert fast_s / level_kpa == pytest.approx(times_s[1][0] / 30, rel=0.025)


def test_an_alarm_by_level_is_at_the_level():
    for rate_ml_h in RATES_ML_H:
        for level_kpa, alarm in closed_at(rate_ml_h).by_level.items():
            # The sensor reads 0.2 kPa too much, stairs are 0.6 kPa, and at 100 mL/h the pressure
            # goes on by 1.9 kPa each second that the filter lags.
            assert alarm.pressure_kpa == pytest.approx(level_kpa, abs=1.5)


def test_what_is_released_leaves_the_plant_as_it_was():
    bench = default_bench("syringe")
    run = PlantRun(with_line_sensor(bench), geometry_of(SYRINGE), 25_000.0)
    run.plant.occlude()
    while run.plant.pressure_pa < 50_000:
        run.go_on()
    before = (run.plant.pressure_pa, run.plant.outflow_ul, run.plant.time_s)
    # The plunger follows, so that syringe, line and drive give what they hold.
    assert released_ml(run.plant) == pytest.approx(50.0 * BENCH_UL_KPA / 1000, rel=0.02)
    assert (run.plant.pressure_pa, run.plant.outflow_ul, run.plant.time_s) == before
    assert run.plant.occluded


def test_a_line_that_never_reaches_the_level_is_told_so():
    # 20 mL/bar: 200 µL/kPa, which is more than any closed line holds.
    closed = close_line(bench_of(20.0), SYRINGE, 100.0, [30])
    assert closed.by_level[30] is None


# -- closed lines: the whole pump ------------------------------------------------------------------


@pytest.mark.parametrize("rate_ml_h", RATES_ML_H)
@pytest.mark.parametrize("level_kpa", [30, 120])
def test_after_a_back_off_at_most_a_twentieth_of_a_millilitre_comes_out(rate_ml_h, level_kpa):
    relieved = relieved_at(rate_ml_h, level_kpa)
    assert abs(relieved.alarm.bolus_ml) <= 0.05
    assert relieved.alarm.bolus_ml < closed_at(rate_ml_h).by_slope.bolus_ml / 5
    assert relieved.drawn_ml > 0.0


@pytest.mark.parametrize(
    ("syringe_ml_bar", "static_n", "stiffness_n_mm"),
    [(0.75, 4.0, 400.0), (0.75, 16.0, 100.0), (1.9, 4.0, 100.0), (1.9, 16.0, 400.0)],
)
def test_other_syringes_back_off_as_well(syringe_ml_bar, static_n, stiffness_n_mm):
    bench = bench_of(syringe_ml_bar, static_n, stiffness_n_mm)
    relieved = relieve_line(bench, SYRINGE, 25.0, 70)
    assert abs(relieved.alarm.bolus_ml) <= 0.05


@pytest.mark.parametrize("rate_ml_h", [5.0, 100.0])
def test_the_pump_gives_its_alarm_when_the_detectors_do(rate_ml_h):
    alarm, closed = relieved_at(rate_ml_h, 70).alarm, closed_at(rate_ml_h)
    # The firmware's microsteps are not at the very same times, and a mark has its own phase: 11.5
    # µL, a twentieth of the floor.
    assert alarm.time_s == pytest.approx(closed.by_slope.time_s, rel=0.06, abs=0.3)
    assert alarm.pressure_kpa == pytest.approx(closed.by_slope.pressure_kpa, rel=0.06)


def test_the_threshold_reaches_the_pump():
    # At 100 mL/h a level of 20 kPa comes long before the slope's 27.
    by_level = relieve_line(default_bench("syringe"), SYRINGE, 100.0, 20).alarm
    assert by_level.pressure_kpa == pytest.approx(20.0, abs=1.5)


def test_a_head_does_not_back_off():
    relieved = relieve_line(default_bench("peristaltic"), HEAD, 25.0, 70)
    assert relieved.alarm.pressure_kpa == pytest.approx(70.0, rel=0.15)
    assert relieved.drawn_ml == 0.0
    table = disclose(default_bench("peristaltic"), HEAD, [25.0], [70])
    assert table.rows[0].relieved is None
    assert table.rows[0].unrelieved == table.rows[0].by_level
    assert "does not back off" in table.notes[0]


def test_the_course_of_a_run_is_told():
    trace = relieved_at(5.0, 70).trace
    at_s = {what: time_s for time_s, what in trace.marks}
    assert 0.0 < at_s["alarm"] < at_s["line opened"] < trace.time_s[-1]
    before = trace.time_s < at_s["line opened"]
    assert np.abs(trace.volume_ml[before]).max() == 0.0
    assert trace.volume_ml[-1] == pytest.approx(relieved_at(5.0, 70).alarm.bolus_ml, abs=1e-9)
    assert trace.pressure_kpa.max() == pytest.approx(relieved_at(5.0, 70).alarm.pressure_kpa, 0.02)


# -- recorded runs ---------------------------------------------------------------------------------


def record(
    path, *, back_off="no", rate_ml_h=5.0, level_kpa=30, alarm_s=None, opened_after_s=20.0,
    rises=False, **head,
):  # fmt: skip
    """A run of the bench as a file: the pump gives its alarm by the level, unless told when."""
    closed = closed_at(rate_ml_h)
    alarm_s = closed.by_level[level_kpa].time_s if alarm_s is None else alarm_s
    opened_s = alarm_s + opened_after_s
    times_s = np.arange(-60.0, opened_s + 30.0, 1.0)
    pressure_kpa = np.interp(times_s, closed.trace.time_s, closed.trace.pressure_kpa)
    if not rises:
        # The trace has a point a second: by then it is at the limit.
        stopped_kpa = np.interp(alarm_s + 1.0, closed.trace.time_s, closed.trace.pressure_kpa)
        pressure_kpa[times_s > alarm_s] = stopped_kpa
    pressure_kpa[times_s > opened_s] = 0.0
    mass_g = 20.0 + 0.998 * 0.4 * (times_s > opened_s)
    told = {
        "rate_ml_h": rate_ml_h, "level_kpa": level_kpa, "alarm_s": alarm_s, "opened_s": opened_s,
        "back_off": back_off, **head,
    }  # fmt: skip
    lines = [f"# {key} = {value}" for key, value in told.items() if value is not None]
    lines.append("t_s,mass_g,pressure_kpa")
    rows = zip(times_s.tolist(), mass_g.tolist(), pressure_kpa.tolist(), strict=True)
    lines += [f"{t_s:g},{mass:.4f},{kpa:.3f}" for t_s, mass, kpa in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_low_limit_is_waited_for_however_much_flowed_before():
    closed = close_line(default_bench("syringe"), SYRINGE, 400.0, [10])
    # 14.5 µL/kPa at 111 µL/s, and what the open line had already.
    assert 0.3 <= closed.by_level[10].time_s <= 2.0


def test_a_recorded_run_is_told_as_the_bench_saw_it(tmp_path):
    row = row_of(load_occlusion_run(record(tmp_path / "run.csv")))
    closed = closed_at(5.0)
    assert row.name == "run"
    assert row.unrelieved.time_s == pytest.approx(closed.by_level[30].time_s)
    assert row.unrelieved.bolus_ml == pytest.approx(0.4, abs=1e-3)
    assert row.relieved is None
    # Looked at every second in place of every tenth: within two marks of 8 s.
    assert row.by_slope.time_s == pytest.approx(closed.by_slope.time_s, abs=17.0)
    assert row.by_level.time_s == pytest.approx(closed.by_level[30].time_s, abs=3.0)
    assert row.slope_part < 0.5


def test_a_record_with_a_back_off_is_told_as_that(tmp_path):
    row = row_of(load_occlusion_run(record(tmp_path / "run.csv", back_off="yes")))
    assert row.unrelieved is None
    assert row.relieved.bolus_ml == pytest.approx(0.4, abs=1e-3)


def test_what_the_liquid_weighs_is_taken_into_account(tmp_path):
    row = row_of(load_occlusion_run(record(tmp_path / "run.csv", density_g_ml=1.05)))
    assert row.unrelieved.bolus_ml == pytest.approx(0.4 * 0.998 / 1.05, abs=1e-3)


def test_a_pump_that_stands_has_no_slope(tmp_path):
    # The pressure goes on rising as a closed line's does, for another reason than its pump.
    path = record(
        tmp_path / "run.csv", level_kpa=120, alarm_s=60.0, opened_after_s=240.0, rises=True
    )
    row = row_of(load_occlusion_run(path))
    assert row.by_slope is None


def test_nothing_is_found_after_the_pump_has_stopped(tmp_path):
    path = record(tmp_path / "run.csv", level_kpa=70, alarm_s=60.0)
    row = row_of(load_occlusion_run(path))
    assert row.by_level is None
    assert row.by_slope is None
    assert row.slope_part is None
    assert "slope told nothing at 5 mL/h" in disclosure_of([path]).notes[0]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (("# rate_ml_h = 5.0\n", ""), "does not tell rate_ml_h"),
        (("# rate_ml_h = 5.0", "# rate_ml_h = fast"), 'rate_ml_h is "fast"'),
        (("# rate_ml_h = 5.0", "# rate_ml_h = -5"), 'rate_ml_h is "-5"'),
        (("# back_off = no", "# back_off = maybe"), 'back_off is "maybe"'),
        (("t_s,mass_g,pressure_kpa", "t_s,mass_g,pressure_pa"), "no column 'pressure_kpa'"),
        (("\n-59,", "\n-61,"), "t_s does not increase"),
        (("\n-59,20.0000,", "\n-59,nan,"), "figure that is none"),
        (("# opened_s = ", "# opened_s = 9"), "the line opened at"),
    ],
)
def test_records_that_cannot_be_used_are_refused(tmp_path, change, what):
    path = record(tmp_path / "run.csv")
    text = path.read_text()
    assert change[0] in text
    path.write_text(text.replace(*change, 1))
    with pytest.raises(MicropumpError) as refused:
        load_occlusion_run(path)
    assert what in refused.value.what
    assert "run.csv" in refused.value.where


def test_a_record_has_to_begin_with_an_open_line(tmp_path):
    path = record(tmp_path / "run.csv")
    lines = path.read_text().splitlines()
    head = [line for line in lines if line.startswith(("#", "t_s"))]
    path.write_text("\n".join([*head, *lines[-200:]]) + "\n")
    with pytest.raises(MicropumpError, match="Record from before the line is closed"):
        load_occlusion_run(path)


# -- the command -----------------------------------------------------------------------------------


def told(capsys, *words):
    code = main(["accuracy", "occlusion", *map(str, words)])
    return code, *capsys.readouterr()


def test_the_command_makes_table_plots_and_figures(capsys, tmp_path):
    folder = tmp_path / "out"
    code, out, _ = told(capsys, "--rates", "25,5 mL/h", "--levels", "0.3, 1.2 bar", "--out", folder)
    assert code == EXIT_DONE
    assert {path.name for path in folder.iterdir()} == {
        "occlusion.json", "time-to-alarm.png", "time-to-alarm.svg", "bolus.png", "bolus.svg",
        "pressure.png", "pressure.svg",
    }  # fmt: skip
    said = json.loads((folder / "occlusion.json").read_text(encoding="utf-8"))
    rows = said["rows"]
    assert [(row["rate_ml_h"], row["level_kpa"]) for row in rows] == [
        (5, 30), (5, 120), (25, 30), (25, 120),
    ]  # fmt: skip
    assert rows[0]["slope_part"] <= 0.5
    # The slope is the first at these rates.
    assert all(row["unrelieved"] == row["by_slope"] for row in rows)
    assert max(abs(row["relieved"]["bolus_ml"]) for row in rows) <= 0.05
    assert said["method"] == METHOD
    for pump in PUBLISHED:
        assert pump.pump in out
    assert "5:19" in out
    assert "IEC 60601-2-24" in out


def test_json_is_all_there_is_on_the_standard_output(capsys):
    code, out, _ = told(capsys, "--rates", "100 mL/h", "--levels", "30 kPa", "--json")
    assert code == EXIT_DONE
    assert json.loads(out)["rows"][0]["rate_ml_h"] == 100


def test_recorded_runs_on_the_command_line(capsys, tmp_path):
    paths = [record(tmp_path / "slow.csv"), record(tmp_path / "off.csv", back_off="yes")]
    code, out, _ = told(capsys, "--recorded", *paths, "--out", tmp_path / "out")
    assert code == EXIT_DONE
    assert "recorded: slow, off" in out
    assert (tmp_path / "out" / "pressure.png").exists()
    code, _, err = told(capsys, "--recorded", *paths, "--rates", "5 mL/h")
    assert code == EXIT_USAGE
    assert "records tell what they are of" in err


@pytest.mark.parametrize(
    ("words", "where"),
    [
        (("--rates", "5"), "--rates"),
        (("--rates", "5,,1 mL/h"), "--rates"),
        (("--rates", "5 kPa"), "--rates"),
        (("--levels", "30"), "--levels"),
        (("--levels", "30 mL/h"), "--levels"),
        (("--levels", "0.305 bar"), "--levels"),
        (("--levels", "0,30 kPa"), "--levels"),
        (("--levels", "201 kPa"), "--levels"),
        (("--levels", "1.2.3 bar"), "--levels"),
        (("--syringe", "bd-plastipak-51"), "bd-plastipak-51"),
        (("--drive", "direct-16"), "direct-16"),
    ],
)
def test_what_cannot_work_is_wrong_usage(capsys, words, where):
    code, _, err = told(capsys, *words)
    assert code == EXIT_USAGE
    assert where in err


def test_a_bench_of_another_kind_is_refused(capsys):
    code, _, err = told(capsys, "--bench", REPO / "examples/benches/back-pressure.toml")
    assert code == EXIT_REFUSED
    assert "cannot carry" in err


def test_samples_are_still_samples_whatever_their_name(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    times_s = np.arange(0.0, 7201.0, 30.0)
    rows = [f"{t_s:g},{20 + 0.998 * 5 * t_s / 3600:.6f}" for t_s in times_s.tolist()]
    (tmp_path / "occlusion").write_text("t_s,mass_g\n" + "\n".join(rows) + "\n")
    assert main(["accuracy", "./occlusion", "--rate", "5", "--json", "-"]) == EXIT_DONE
    assert json.loads(capsys.readouterr().out)["record"] == "occlusion"
    assert main(["accuracy", "--rate", "5", "occlusion", "--json", "-"]) == EXIT_DONE


def test_help_is_its_own(capsys):
    with pytest.raises(SystemExit) as left:
        told(capsys, "--help")
    assert left.value.code == EXIT_DONE
    said = capsys.readouterr().out
    assert said.startswith("usage: micropump accuracy occlusion")
    assert "NEVER FOR PATIENTS" in said


# -- plots -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def table():
    return disclose(default_bench("syringe"), SYRINGE, (25.0, 100.0), (30, 120))


def test_times_are_drawn_over_rates_on_logarithmic_axes(table):
    (axes,) = time_figure(table).axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    lines = {line.get_label(): line.get_ydata() for line in axes.lines}
    assert set(lines) == {"by level, 30 kPa", "by level, 120 kPa", "by slope"}
    at_120 = [row.by_level.time_s / 60 for row in table.rows if row.level_kpa == 120]
    assert list(lines["by level, 120 kPa"]) == pytest.approx(at_120)
    assert len(lines["by slope"]) == 2


def test_boluses_are_drawn_beside_what_is_published(table):
    whole, near = bolus_figure(table).axes
    heights = [[bar.get_height() for bar in bars] for bars in whole.containers]
    assert heights[0] == pytest.approx([row.by_level.bolus_ml for row in table.rows])
    assert heights[1] == pytest.approx([row.unrelieved.bolus_ml for row in table.rows])
    assert heights[2] == pytest.approx([row.relieved.bolus_ml for row in table.rows])
    assert {line.get_ydata()[0] for line in near.lines} == {each.bolus_ml for each in PUBLISHED}
    assert near.get_ylim()[1] == 0.35


def test_a_run_is_drawn_with_what_happened(table):
    pressure, volume = trace_figure(table.trace).axes
    assert {text.get_text() for text in pressure.texts} == {"alarm", "line opened"}
    assert max(volume.lines[0].get_ydata()) == pytest.approx(table.trace.volume_ml.max() * 1000)
