"""`micropump compare`: intent, figures, and the command from an order to its files."""

import csv
import importlib.util
import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support import REPO

from micropump_host.accuracy.iec import analyse
from micropump_host.accuracy.method import SYRINGE, adapted
from micropump_host.accuracy.record import Record
from micropump_host.bench import default_bench, load_bench
from micropump_host.bench.devices import default_device, elastomeric_for, gravity_for
from micropump_host.cli import main
from micropump_host.compare.delivery import Delivery, of_device, of_pump, sample_times_s
from micropump_host.compare.intent import Intent, Stretch, intent_of
from micropump_host.compare.judge import (
    judge,
    smoothed_rate_ml_h,
    smoothing_min,
    windows_min,
)
from micropump_host.errors import MicropumpError
from micropump_host.orders import check_order, load_order, parse_order

ORDERS = REPO / "examples" / "orders"


def steady(rate_ml_h=10.0, hours=4.0):
    return Intent((Stretch(0.0, hours * 3600.0, rate_ml_h, rate_ml_h),))


@st.composite
def intents(draw):
    rates = st.just(0.0) | st.floats(0.01, 500.0)
    parts = draw(
        st.lists(st.tuples(st.floats(60.0, 20_000.0), rates, rates), min_size=1, max_size=8)
    )
    stretches = []
    at_s = 0.0
    for duration_s, rate, end_rate in parts:
        stretches.append(Stretch(at_s, duration_s, rate, end_rate))
        at_s += duration_s
    intent = Intent(tuple(stretches))
    if intent.volume_ml == 0.0:
        return steady()
    return intent


def delivery_of(intent, volumes, times_s=None):
    times_s = sample_times_s(intent) if times_s is None else times_s
    return Delivery("device", "a device", times_s, volumes(times_s))


# -- intent ----------------------------------------------------------------------------------------


@given(intents())
def test_an_intent_is_the_integral_of_its_rate(intent):
    times_s = np.linspace(0.0, intent.duration_s, 20_001)
    rates = np.zeros_like(times_s)
    for part in intent.stretches:
        inside = (times_s >= part.start_s) & (times_s <= part.start_s + part.duration_s)
        along = (times_s[inside] - part.start_s) / part.duration_s
        rates[inside] = part.rate_ml_h + (part.end_rate_ml_h - part.rate_ml_h) * along
    volumes_ml = intent.volumes_ml(times_s)
    steps_ml = (rates[1:] + rates[:-1]) / 2 * np.diff(times_s) / 3600.0
    summed_ml = np.concatenate([[0.0], np.cumsum(steps_ml)])
    # At each of at most 7 jumps the sum is off by a rate times half of a step of time.
    jump_ml = 500.0 * intent.duration_s / 20_000 / 3600.0
    assert abs(volumes_ml - summed_ml).max() <= 7 * jump_ml
    assert volumes_ml[-1] == pytest.approx(intent.volume_ml, rel=1e-9)
    assert np.all(np.diff(volumes_ml) >= -1e-9)
    assert intent.volumes_ml(np.array([2 * intent.duration_s]))[0] == pytest.approx(
        intent.volume_ml, rel=1e-9
    )


def order(therapy, container='head = "runze-rz1030-0142"\ncontent = "3 L"'):
    text = f'[order]\nid = "a"\n[therapy]\n{therapy}\n[container]\n{container}\n'
    return check_order(parse_order(text, "a.toml"))


def test_the_intent_of_a_continuous_order_is_its_rate_and_vtbi():
    intent = intent_of(check_order(load_order(ORDERS / "demo-syringe.toml")).program)
    assert intent.stretches == (Stretch(0.0, pytest.approx(7200.0, abs=0.5), 5.0, 5.0),)
    # Within a microstep of 0.35 µL, and a millisecond.
    assert intent.volume_ml == pytest.approx(10.0, abs=0.4e-3)
    assert intent.is_steady


def test_the_intent_of_a_ramp_is_its_trapezium():
    """TPN: 2000 mL in 12 h with 1 h up and 1 h down has a plateau of 181.8 mL/h."""
    intent = intent_of(
        order('program = "ramp"\nvtbi = "2 L"\ntime = "12 h"\nup = "1 h"\ndown = "1 h"').program
    )
    assert intent.duration_s == pytest.approx(12 * 3600.0, abs=1.0)
    # The plateau is rounded to a µL/h: 5 µL in 10 h.
    assert intent.volume_ml == pytest.approx(2000.0, abs=0.02)
    assert not intent.is_steady
    half_ml, at_1_h_ml, middle_ml = intent.volumes_ml(np.array([1800.0, 3600.0, 6 * 3600.0]))
    assert at_1_h_ml == pytest.approx(181.818 / 2, rel=1e-3)
    assert half_ml == pytest.approx(181.818 / 8, rel=2e-2)
    assert middle_ml == pytest.approx(1000.0, rel=1e-4)


def test_the_intent_of_doses_has_the_gaps_and_their_kvo():
    intent = intent_of(
        order(
            'program = "intermittent"\ndose = "100 mL"\nrate = "100 mL/h"\nevery = "8 h"\n'
            'count = 3\nkvo = "1 mL/h"'
        ).program
    )
    assert intent.duration_s == pytest.approx(17 * 3600.0, abs=1.0)
    assert intent.volume_ml == pytest.approx(300.0 + 14.0, abs=0.01)


def test_what_flows_by_demand_alone_has_no_intent():
    pca = order(
        'program = "pca"\ndemand = "1 mL"\ndemand_rate = "100 mL/h"\nlockout = "6 min"\n'
        'vtbi = "30 mL"'
    )
    with pytest.raises(MicropumpError, match="nothing by itself"):
        intent_of(pca.program)


def test_a_purge_has_no_intent():
    purge = check_order(load_order(ORDERS / "purge-the-line.toml"))
    with pytest.raises(MicropumpError, match="purge"):
        intent_of(purge.program)


# -- figures ---------------------------------------------------------------------------------------


@given(intents())
def test_what_is_delivered_as_meant_has_no_error(intent):
    verdict = judge(intent, delivery_of(intent, intent.volumes_ml))
    assert verdict.mean_error_percent == 0.0
    assert verdict.worst_error_ml == 0.0
    assert verdict.at_end_ml == intent.volume_ml
    assert verdict.delivered_ml == pytest.approx(intent.volume_ml, rel=1e-9)
    assert verdict.reached_s <= intent.duration_s
    assert all(window.max_percent == window.min_percent == 0.0 for window in verdict.windows)


@given(st.floats(-60.0, 60.0), st.floats(0.1, 400.0), st.floats(0.5, 30.0))
def test_a_rate_that_is_off_is_off_by_as_much_in_every_window(percent, rate_ml_h, hours):
    intent = steady(rate_ml_h, hours)
    factor = 1.0 + percent / 100.0
    verdict = judge(intent, delivery_of(intent, lambda t_s: factor * rate_ml_h * t_s / 3600.0))
    assert verdict.mean_error_percent == pytest.approx(percent, abs=1e-6)
    assert verdict.worst_error_percent == pytest.approx(percent, abs=0.5)
    for window in verdict.windows:
        assert window.max_percent == pytest.approx(percent, abs=1e-6)
        assert window.min_percent == pytest.approx(percent, abs=1e-6)
    whole_s = hours * 3600.0 * 0.999 / factor
    if whole_s <= sample_times_s(intent)[-1]:
        assert verdict.reached_s == pytest.approx(whole_s, rel=1e-6)
    else:
        assert verdict.reached_s is None


def test_windows_are_those_of_the_trumpet():
    """Against the accuracy room's own, over the same samples of half a minute."""
    intent = steady(5.0, 2.0)
    times_s = np.arange(0.0, 3 * 3600.0 + 1, 30.0)
    volumes_ml = (
        5.0 * times_s / 3600.0 + 0.05 * np.sin(times_s / 411.0) - 0.03 * np.cos(times_s / 90.0)
    )
    method = adapted(SYRINGE, from_min=0.0, to_min=120.0)
    record = Record(times_s, 20.0 + volumes_ml * 0.998, "record")
    trumpet = analyse(record, 5.0, method).trumpet
    verdict = judge(intent, Delivery("d", "", times_s, volumes_ml))
    assert [window.window_min for window in verdict.windows] == [2.0, 5.0, 11.0, 19.0, 31.0]
    for ours, theirs in zip(verdict.windows, trumpet, strict=True):
        assert ours.max_percent == pytest.approx(theirs.ep_max_percent, abs=1e-9)
        assert ours.min_percent == pytest.approx(theirs.ep_min_percent, abs=1e-9)
    # Both are there: a curve without a wave would pass anything.
    assert verdict.windows[0].max_percent - verdict.windows[0].min_percent > 5.0


def test_the_worst_error_is_told_with_its_sign_and_time():
    intent = steady(10.0, 2.0)
    times_s = sample_times_s(intent)
    volumes_ml = intent.volumes_ml(times_s)
    volumes_ml[100:] -= 3.0
    verdict = judge(intent, Delivery("d", "", times_s, volumes_ml))
    assert verdict.worst_error_ml == pytest.approx(-3.0)
    assert verdict.worst_error_percent == pytest.approx(-15.0)
    assert verdict.worst_error_s == times_s[100]
    assert verdict.reached_s is None
    assert verdict.delivered_ml == pytest.approx(17.0)


@pytest.mark.parametrize(
    ("hours", "windows"),
    [
        (0.05, ()),
        (0.1, (2.0,)),
        (2.0, (2.0, 5.0, 11.0, 19.0, 31.0)),
        (24.0, (15.0, 60.0, 150.0, 330.0, 570.0)),
        (46.0, (15.0, 60.0, 150.0, 330.0, 570.0, 930.0)),
    ],
)
def test_windows_fit_the_time(hours, windows):
    assert windows_min(steady(10.0, hours)) == windows


@given(st.floats(0.05, 99.0))
# 6000 intervals, to the last but one.
@example(33.328125)
def test_samples_are_few_and_reach_half_as_long_again(hours):
    intent = steady(10.0, hours)
    times_s = sample_times_s(intent)
    assert times_s[0] == 0.0
    assert times_s[-1] >= 1.5 * intent.duration_s
    assert len(times_s) <= 6000
    assert intent.duration_s in times_s
    assert np.all(np.diff(times_s) > 0.0)
    interval_s = times_s[1]
    # Every window and the smoothing are whole multiples of it, or longer than it at least.
    assert all(window * 60.0 >= interval_s for window in windows_min(intent))
    assert smoothing_min(intent) * 60.0 >= interval_s


@given(st.floats(0.1, 500.0), st.sampled_from([0.5, 2.0, 30.0]))
def test_a_steady_rate_stays_what_it_is_when_smoothed(rate_ml_h, window_min):
    times_s = np.arange(0.0, 7200.0 + 1, 30.0)
    rates = smoothed_rate_ml_h(times_s, rate_ml_h * times_s / 3600.0, window_min)
    half = int(window_min)
    assert rates[half + 1 : -half - 1] == pytest.approx(rate_ml_h, rel=1e-9)


# -- devices ---------------------------------------------------------------------------------------


def test_a_device_says_what_it_cannot_do():
    ramp = intent_of(
        order('program = "ramp"\nvtbi = "2 L"\ntime = "12 h"\nup = "1 h"\ndown = "1 h"').program
    )
    times_s = sample_times_s(ramp)
    device = elastomeric_for(ramp.mean_rate_ml_h, ramp.volume_ml)
    balloon = of_device(device, "elastomeric", ramp, times_s)
    told = " ".join(balloon.notes)
    assert "cannot follow a rate that changes" in told
    assert "no balloon holds 2000 mL" in told
    assert "200 mL/h for a mean of 166.7 mL/h" in told
    drip = of_device(gravity_for(ramp.mean_rate_ml_h, ramp.volume_ml), "g", ramp, times_s)
    assert "nobody touches its clamp" in " ".join(drip.notes)
    assert "55.6 drops/min" in drip.description


def test_a_device_that_fits_has_nothing_to_say():
    intent = steady(10.0, 24.0)
    times_s = sample_times_s(intent)
    assert of_device(default_device("elastomeric"), "e", intent, times_s).notes == ()
    wide = gravity_for(5000.0, 1000.0)
    assert "wide open" in " ".join(of_device(wide, "g", intent, times_s).notes)


def test_a_delivery_is_what_the_device_gives():
    intent = steady(10.0, 24.0)
    times_s = sample_times_s(intent)
    device = default_device("elastomeric")
    delivery = of_device(device, "e", intent, times_s)
    assert delivery.volumes_ml[-1] == pytest.approx(device.outflow_ul(times_s[-1]) / 1000.0)
    assert all(after >= before for before, after in pairwise(delivery.volumes_ml))


def pumped(checked, bench=None):
    intent = intent_of(checked.program)
    times_s = sample_times_s(intent)
    parts = []
    bench = bench or default_bench("syringe")
    delivery = of_pump(checked, "pump", bench, times_s, parts.append)
    assert parts[-1] == 1.0
    assert parts == sorted(parts)
    return intent, delivery


SYRINGE_50 = 'syringe = "bd-plastipak-50"\ncontent = "50 mL"'


def test_the_pump_delivers_what_was_meant_and_is_stopped_then():
    intent, delivery = pumped(
        order('program = "continuous"\nrate = "20 mL/h"\nvtbi = "5 mL"', SYRINGE_50)
    )
    verdict = judge(intent, delivery)
    # Measured 0.35 %: 0.2 % of the bore, the screw, and where in its turn it stands.
    assert abs(verdict.mean_error_percent) < 0.7
    after = delivery.times_s >= intent.duration_s
    # What the syringe gives as its pressure falls, and a moment of KVO: 13 µL measured.
    assert np.ptp(delivery.volumes_ml[after]) < 0.02
    assert delivery.notes == ()


def test_the_balance_of_the_bench_plays_no_part():
    checked = order('program = "continuous"\nrate = "20 mL/h"\nvtbi = "1 mL"', SYRINGE_50)
    bench = default_bench("syringe")
    seldom = replace(bench, balance=replace(bench.balance, sample_interval_s=37.0))
    volumes_ml = [pumped(checked, one)[1].volumes_ml for one in (bench, seldom)]
    # The last bit of the plant depends on when it was looked at.
    assert volumes_ml[0] == pytest.approx(volumes_ml[1], rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    "therapy",
    [
        'program = "continuous"\nrate = "20 mL/h"\nvtbi = "2 mL"\ndelay = "5 min"',
        'program = "intermittent"\ndose = "1 mL"\nrate = "30 mL/h"\nevery = "20 min"\n'
        'count = 3\nkvo = "1 mL/h"',
        'program = "ramp"\nvtbi = "10 mL"\ntime = "30 min"\nup = "10 min"\ndown = "5 min"',
    ],
    ids=["delayed", "doses", "ramp"],
)
def test_the_pump_follows_what_changes(therapy):
    verdict = judge(*pumped(order(therapy, SYRINGE_50)))
    # Measured 0.17, 0.36 and 0.37 %, at the worst moment 0.39, 0.47 and 0.39 %.
    assert abs(verdict.mean_error_percent) < 0.7
    assert abs(verdict.worst_error_percent) < 0.9


def test_somebody_changes_the_container_when_the_pump_calls():
    two = 'syringe = "bd-plastipak-50"\ncontent = "2 mL"\ncount = 3'
    intent, delivery = pumped(order('program = "continuous"\nrate = "60 mL/h"\nvtbi = "5 mL"', two))
    assert delivery.notes == ("its container was changed 2 times, within 10 s of its call",)
    verdict = judge(intent, delivery)
    assert verdict.delivered_ml == pytest.approx(5.0, rel=0.01)
    # Two changes within 10 s each: at most a third of a millilitre late at 60 mL/h.
    assert 0.0 < verdict.reached_s - intent.duration_s < 21.0


def test_doses_that_a_change_of_container_makes_late_are_given_all_the_same():
    intent, delivery = pumped(
        order(
            'program = "intermittent"\ndose = "1 mL"\nrate = "60 mL/h"\nevery = "5 min"\n'
            'count = 3\nkvo = "1 mL/h"',
            'syringe = "bd-plastipak-50"\ncontent = "1.5 mL"\ncount = 3',
        )
    )
    assert "changed" in delivery.notes[0]
    # With a little more KVO than was meant, as the pump was late.
    assert 1.0 <= delivery.volumes_ml[-1] / intent.volume_ml < 1.03


def test_a_pump_whose_container_nobody_planned_for_says_so():
    checked = order('program = "continuous"\nrate = "60 mL/h"\nvtbi = "5 mL"', SYRINGE_50)
    bench = default_bench("syringe")
    intent = intent_of(checked.program)
    # The order says three containers and somebody brings one.
    two = 'syringe = "bd-plastipak-50"\ncontent = "2 mL"\ncount = 3'
    planned = order('program = "continuous"\nrate = "60 mL/h"\nvtbi = "5 mL"', two)
    short = replace(planned, containers=1)
    delivery = of_pump(short, "pump", bench, sample_times_s(intent), lambda _: None)
    assert delivery.notes == ("it is in alarm and delivers no more",)
    assert delivery.volumes_ml[-1] == pytest.approx(2.0, rel=0.01)


# -- the command -----------------------------------------------------------------------------------

ORDER = """\
[order]
id = "short"
[therapy]
program = "continuous"
rate = "30 mL/h"
vtbi = "3 mL"
[container]
syringe = "bd-plastipak-50"
content = "50 mL"
"""


@pytest.fixture
def short(tmp_path):
    path = tmp_path / "short.toml"
    path.write_text(ORDER)
    return path


def run(capsys, *words):
    code = main(["compare", *map(str, words)])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_three_devices_side_by_side(capsys, short, tmp_path):
    folder = tmp_path / "out" / "of it"
    code, out, err = run(capsys, short, "--out", folder, "--json")
    assert code == 0
    assert "elastomeric" in err
    told = json.loads(out)
    assert told["order"] == "short"
    assert told["intent"]["volume_ml"] == pytest.approx(3.0, abs=0.001)
    assert told["intent"]["duration_s"] == pytest.approx(360.0, abs=0.1)
    devices = {device["name"]: device for device in told["devices"]}
    assert list(devices) == ["pump", "elastomeric", "gravity"]
    assert "20 mL/h for a mean of 30 mL/h" in " ".join(devices["elastomeric"]["notes"])
    assert abs(devices["pump"]["mean_error_percent"]) < 5.0
    assert devices["elastomeric"]["mean_error_percent"] < -15.0
    assert devices["elastomeric"]["reached_s"] is None
    assert [window["window_min"] for window in devices["pump"]["windows"]] == [2.0]
    assert json.loads((folder / "compare.json").read_text()) == told
    assert (folder / "compare.png").read_bytes().startswith(b"\x89PNG")
    svg = (folder / "compare.svg").read_text()
    for text in ("short: 3 mL", "intent", "gravity", "mean over 0.5 min", "of the intended volume"):
        assert text in svg
    rows = list(csv.reader((folder / "curves.csv").read_text().splitlines()))
    assert rows[0] == ["t_s", "intent_ml", "pump (mL)", "elastomeric (mL)", "gravity (mL)"]
    assert [float(cell) for cell in rows[1]] == [0.0] * 5
    last = [float(cell) for cell in rows[-1]]
    assert last[0] >= 540.0
    assert last[2] == pytest.approx(devices["pump"]["delivered_ml"], abs=1e-6)


def test_the_same_again_is_the_same_to_the_byte(capsys, short, tmp_path):
    for name in ("a", "b"):
        run(capsys, short, "--out", tmp_path / name)
    for path in sorted((tmp_path / "a").iterdir()):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


def test_the_table_has_the_figures_for_people(capsys, short):
    code, out, _ = run(capsys, short, "--device", "gravity", "--device", "elastomeric")
    assert code == 0
    assert "3 mL in 0:06:00, 30 mL/h" in out
    assert "pump" not in out
    for text in ("at the intended end", "worst 2 min", "never", "10.0 drops/min", "nearest that"):
        assert text in out, text


def test_that_nobody_demands_a_dose_is_said(capsys):
    path = ORDERS / "pca-morphine-with-basal.toml"
    code, out, _ = run(capsys, path, "--device", "gravity")
    assert code == 0
    assert "nobody demands a dose" in out
    code, out, _ = run(capsys, path, "--device", "gravity", "--json")
    assert json.loads(out)["remarks"] == ["nobody demands a dose: what flows without is compared"]


def test_devices_from_files_have_their_own_names(capsys, short):
    cold = REPO / "examples" / "benches" / "devices" / "cold-balloon.toml"
    thin = REPO / "examples" / "benches" / "unpurged-thin-needle.toml"
    words = [word for device in (cold, cold, thin) for word in ("--device", device)]
    code, out, _ = run(capsys, short, *words, "--json")
    assert code == 0
    names = [device["name"] for device in json.loads(out)["devices"]]
    assert names == ["cold balloon", "cold balloon (2)", f"pump, {load_bench(thin).info.name}"]


def test_a_device_that_there_is_not_is_wrong_usage(capsys, short):
    code, out, err = run(capsys, short, "--device", "elastomerik", "--json")
    assert code == 2
    assert "Did you mean elastomeric?" in err
    assert json.loads(out)["where"] == "--device"


@pytest.mark.parametrize(
    ("device", "says"),
    [
        ("none.toml", "cannot read the device file"),
        ("wrong.toml", "[balloon] content_ml"),
        ("bench.toml", "[line] length_m"),
    ],
)
def test_a_device_file_that_is_wrong_is_an_error(capsys, short, tmp_path, device, says):
    (tmp_path / "wrong.toml").write_text("[balloon]\ncontent_ml = -1\n")
    (tmp_path / "bench.toml").write_text("[peristaltic]\n[line]\nlength_m = -1\n")
    code, _, err = run(capsys, short, "--device", tmp_path / device)
    assert code == 1
    assert says in err
    assert "what to do: " in err


def test_a_bench_for_the_other_kind_of_pump_is_refused(capsys, short):
    bench = REPO / "examples" / "benches" / "back-pressure.toml"
    code, _, err = run(capsys, short, "--device", bench)
    assert code == 1
    assert "peristaltic" in err


def test_an_order_that_is_wrong_is_refused(capsys, tmp_path):
    path = tmp_path / "wrong.toml"
    path.write_text(ORDER.replace("3 mL", "300 mL"))
    code, _, err = run(capsys, path)
    assert code == 1
    assert str(path) in err


def test_a_place_that_cannot_be_written_is_said_before_anything_runs(capsys, short, monkeypatch):
    monkeypatch.setattr("micropump_host.compare.comparison.compare", lambda *_: pytest.fail("ran"))
    code, _, err = run(capsys, short, "--out", short)
    assert code == 1
    assert str(short) in err


def test_a_library_that_is_missing_is_named(capsys, short, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "matplotlib" else find(name)
    )
    code, _, err = run(capsys, short)
    assert code == 1
    assert "matplotlib" in err
    assert "pip install" in err
