"""``micropump accuracy``: its files, options, plots, and what it says of bad input."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from micropump_host.accuracy import bands, plots
from micropump_host.accuracy.bolus import analyse_bolus, load_bolus_series
from micropump_host.accuracy.iec import analyse
from micropump_host.accuracy.method import AMBULATORY, SYRINGE, VOLUMETRIC
from micropump_host.accuracy.record import Record, load_record
from micropump_host.cli.accuracy import add_parser
from micropump_host.errors import MicropumpError, UsageError

DENSITY_G_ML = 0.998


def command(*words):
    parser = argparse.ArgumentParser("micropump")
    add_parser(parser.add_subparsers())
    args = parser.parse_args(["accuracy", *(str(word) for word in words)])
    return args.handler(args)


def rippled(seed=0, hours=2.0, rate_ml_h=5.0, ripple=0.05, step_s=30.0):
    time_s = np.arange(0, hours * 3600 + 1, step_s)
    phase = time_s / 60 * 2 * np.pi / 11 + seed
    swing_ml = ripple * rate_ml_h / 60 * 11 / (2 * np.pi) * (np.cos(seed) - np.cos(phase))
    volume_ml = (1 + 0.01 * np.sin(7 * seed)) * rate_ml_h * time_s / 3600 + swing_ml
    return Record(time_s, 20 + DENSITY_G_ML * volume_ml, f"run{seed}")


def write(path, record):
    rows = zip(record.time_s.tolist(), record.mass_g.tolist(), strict=True)
    lines = ["t_s,mass_g", *(f"{time_s!r},{mass_g!r}" for time_s, mass_g in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def samples(tmp_path):
    return write(tmp_path / "run.csv", rippled())


@pytest.fixture
def boluses(tmp_path):
    mass_g = 10 + DENSITY_G_ML * 0.5 * np.cumsum([0, *([1.0, 1.02, 0.96, 1.01, 0.99] * 5)])
    path = tmp_path / "boluses.csv"
    rows = [f"{number},{mass!r}" for number, mass in enumerate(mass_g.tolist())]
    path.write_text("n,mass_g\n" + "\n".join(rows) + "\n")
    return path


def test_record_survives_writing_and_reading(samples):
    record = load_record(samples)
    assert (record.time_s == rippled().time_s).all()
    assert (record.mass_g == rippled().mass_g).all()
    assert record.name == "run"


GOOD = "t_s,mass_g\n0,1\n1,2\n2,3\n"


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        GOOD.replace("\n", "\r\n"),
        GOOD.strip(),
        "\ufeff" + GOOD,
        "# balance 7\n\n" + GOOD.replace("1,2", "# a pause\n1,2\n"),
        "note,mass_g,sensor,t_s\na,1,,0\nb,2,x,1\n,3,y,2\n",
        "note,mass_g,t_s\na,1,0\nrefilled #2,2,1\n,3,2\n",
        't_s,"mass_g"\n0,"1"\n1,2\n2,3\n',
        "t_s, mass_g\n0, 1\n 1, 2\n2, 3 \n",
        "t_s,mass_g\n0.0,1e0\n+1,2.\n2,0.3e1\n",
    ],
)
def test_dialects_of_csv_that_are_read(tmp_path, text):
    path = tmp_path / "a.csv"
    path.write_text(text, encoding="utf-8", newline="")
    record = load_record(path)
    assert record.time_s.tolist() == [0, 1, 2]
    assert record.mass_g.tolist() == [1, 2, 3]


BAD_FILES = {
    "empty": (b"", None, "empty"),
    "blank": (b"  \n\n", None, "empty"),
    "binary": (b"\x89PNG\0\x01\x02", None, "binary"),
    "not utf-8": (b"t_s,mass_g\n0,1\n1,\xff\xfe2\n", 3, "not UTF-8"),
    "utf-16": ("t_s,mass_g\n0,1\n".encode("utf-16"), None, "binary"),
    "only comments": (b"# nothing\n", None, "'t_s'"),
    "no header": (b"0,1\n1,2\n2,3\n", 1, "'t_s'"),
    "column missing": (b"# x\nt_s,weight\n0,1\n1,2\n2,3\n", 2, "'mass_g'"),
    "semicolons": (b"t_s;mass_g\n0;1\n1;2\n2;3\n", 1, "'t_s'"),
    "not a number": (b"t_s,mass_g\n0,1\n# c\n1,abc\n2,3\n", 4, "'abc'"),
    "decimal comma in quotes": (b't_s,mass_g\n0,1\n1,"2,5"\n2,3\n', 3, "'2,5'"),
    "empty field": (b"t_s,mass_g\n0,1\n1,\n2,3\n", 3, "''"),
    "underscore": (b"t_s,mass_g\n0,1\n1,2\n2,1_0\n", 4, "not a number"),
    "inline comment": (b"t_s,mass_g\n0,1\n1,2\n2,1#0\n", 4, "'1#0'"),
    "field missing": (b"t_s,mass_g\n0,1\n1\n2,3\n", 3, "no field"),
    "nan": (b"t_s,mass_g\n0,1\n1,nan\n2,3\n", 3, "finite"),
    "nan time": (b"t_s,mass_g\n0,1\nnan,2\n2,3\n", 3, "finite"),
    "infinity": (b"t_s,mass_g\n0,1\n1,2\n\ninf,3\n", 5, "finite"),
    "negative mass": (b"t_s,mass_g\n0,1\n1,-0.5\n2,3\n", 3, "negative"),
    "time stands still": (b"t_s,mass_g\n0,1\n1,2\n1,3\n", 4, "does not increase"),
    "time goes back": (b"t_s,mass_g\n0,1\n2,2\n1,3\n", 4, "does not increase"),
    "two samples": (b"t_s,mass_g\n0,1\n1,2\n", None, "2 samples"),
    "header only": (b"t_s,mass_g\n", None, "0 samples"),
    "too short for T1": (b"t_s,mass_g\n0,1\n1,2\n2,3\n", None, "60 to 120 min"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_file_is_refused_with_its_line(tmp_path, name):
    content, line, fragment = BAD_FILES[name]
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    with pytest.raises(MicropumpError) as caught:
        command(path, "--rate", 5, "--plots", tmp_path / "out")
    error = caught.value
    assert error.exit_code == 1
    assert fragment in error.what
    assert error.remedy
    if line is not None:
        assert error.where == f"{path}:{line}"
    else:
        assert "bad" in error.where
    assert not (tmp_path / "out").exists()
    assert path.read_bytes() == content


def test_file_that_is_not_there_and_directory_are_refused(tmp_path):
    for path, fragment in ((tmp_path / "no.csv", "no such file"), (tmp_path, "directory")):
        with pytest.raises(MicropumpError, match=fragment) as caught:
            command(path, "--rate", 5)
        assert caught.value.exit_code == 1
        assert caught.value.where == str(path)


BAD_BOLUSES = {
    "gap": (b"n,mass_g\n0,1\n2,2\n", 3, "1 should follow"),
    "from one": (b"n,mass_g\n1,1\n2,2\n", 2, "0 should follow"),
    "nan": (b"n,mass_g\n0,1\n1,nan\n", 3, "finite"),
    "negative": (b"n,mass_g\n0,1\n1,-2\n", 3, "negative"),
    "no bolus": (b"n,mass_g\n0,1\n", None, "1 rows"),
    "a record": (b"t_s,mass_g\n0,1\n1,2\n", 1, "'n'"),
}


@pytest.mark.parametrize("name", BAD_BOLUSES)
def test_bad_bolus_series_is_refused_with_its_line(tmp_path, name):
    content, line, fragment = BAD_BOLUSES[name]
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    with pytest.raises(MicropumpError) as caught:
        command(path, "--bolus-ml", 0.5)
    assert caught.value.exit_code == 1
    assert fragment in caught.value.what
    assert caught.value.where == (f"{path}:{line}" if line else str(path))


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--rate", 0],
        ["--rate", -5],
        ["--rate", "nan"],
        ["--rate", "inf"],
        ["--rate", 5, "--density-g-ml", 0],
        ["--rate", 5, "--evaporation-g-h", -1],
        ["--rate", 5, "--windows-min", "2,61"],
        ["--rate", 5, "--windows-min", "2.2"],
        ["--rate", 5, "--from-min", 50, "--to-min", 40],
        ["--rate", 5, "--settle-min", 10],
        ["--rate", 5, "--sample-interval-min", 0],
        ["--bolus-ml", 0],
        ["--bolus-ml", "nan"],
        ["--bolus-ml", 1, "--evaporation-g-h", 0.1],
        ["--bolus-ml", 1, "--from-min", 10],
    ],
)
def test_options_that_cannot_work_are_wrong_usage(samples, boluses, words):
    path = boluses if "--bolus-ml" in words else samples
    with pytest.raises(UsageError) as caught:
        command(path, *words)
    assert caught.value.exit_code == 2
    assert caught.value.remedy


@pytest.mark.parametrize(
    "words", [["--rate", "fast"], ["--windows-min", "2;5"], ["--kind", "enteral"], ["--nope"]]
)
def test_options_that_cannot_be_parsed_leave_with_2(samples, words, capsys):
    with pytest.raises(SystemExit) as caught:
        command(samples, *words)
    assert caught.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_help_has_an_example(capsys):
    with pytest.raises(SystemExit):
        command("--help")
    text = capsys.readouterr().out
    assert "micropump accuracy delivery.csv --rate 5" in text
    assert "t_s,mass_g" in text
    assert "never for" in text


def test_json_on_the_standard_output_is_all_there_is(samples, capsys):
    assert command(samples, "--rate", 5, "--json", "-") == 0
    captured = capsys.readouterr()
    data = json.loads(captured.out)
    assert captured.err == ""
    expected = analyse(load_record(samples), 5, SYRINGE)
    assert data == json.loads(json.dumps(expected.to_json_dict()))


def test_options_reach_the_computation(samples, capsys):
    words = ["--sample-interval-min", 1, "--windows-min", "10,4", "--from-min", 30, "--to-min", 90]
    words += ["--density-g-ml", 1.1, "--evaporation-g-h", 0.1, "--kind", "volumetric"]
    assert command(samples, "--rate", 4, *words, "--json", "-") == 0
    data = json.loads(capsys.readouterr().out)
    assert data["method"] | {"periods": None} == {
        "kind": "volumetric",
        "rate_ml_h": 4,
        "sample_interval_min": 1,
        "windows_min": [4, 10],
        "periods": None,
        "density_g_ml": 1.1,
        "evaporation_g_h": 0.1,
    }
    assert data["method"]["periods"]["t1"]["from_min"] == 30
    assert data["method"]["periods"]["t1"]["to_min"] == 90


def test_settling_time_reaches_the_computation(tmp_path, capsys):
    path = write(tmp_path / "a.csv", rippled(hours=30, step_s=300.0))
    assert (
        command(path, "--rate", 5, "--kind", "ambulatory", "--settle-min", 300, "--json", "-") == 0
    )
    assert json.loads(capsys.readouterr().out)["method"]["periods"]["t1"]["from_min"] == 300


def test_table_has_the_numbers_and_the_notes(samples, capsys):
    assert command(samples, "--rate", 5, "--to-min", 80) == 0
    text = capsys.readouterr().out
    result = json.loads(_json_of(samples, "--to-min", 80, capsys=capsys))
    assert f"{result['mean_error_percent']:+.2f}" in text
    for point in result["trumpet"]:
        assert f"P = {point['window_min']:g} min" in text
        assert f"{point['ep_max_percent']:+.2f}" in text
        assert f"{point['ep_min_percent']:+.2f}" in text
    assert "note: Windows left out" in text


def _json_of(path, *words, capsys):
    command(path, "--rate", 5, *words, "--json", "-")
    return capsys.readouterr().out


def test_plots_keep_the_samples_and_the_numbers_beside_them(samples, tmp_path, capsys):
    folder = tmp_path / "out" / "deep"
    assert command(samples, "--rate", 5, "--kind", "volumetric", "--plots", folder) == 0
    names = {path.name for path in folder.iterdir()}
    plots_made = {f"{n}.{s}" for n in ("startup", "trumpet", "trumpet-t2") for s in ("png", "svg")}
    assert names == plots_made | {"samples-run.csv", "accuracy.json"}
    assert (folder / "samples-run.csv").read_bytes() == samples.read_bytes()
    assert json.loads((folder / "accuracy.json").read_text())["record"] == "run"
    assert (folder / "startup.png").read_bytes().startswith(b"\x89PNG")
    assert "mean error B" in capsys.readouterr().out


def test_json_goes_where_it_is_told(samples, tmp_path, capsys):
    target = tmp_path / "numbers.json"
    assert command(samples, "--rate", 5, "--plots", tmp_path / "o", "--json", target) == 0
    assert json.loads(target.read_text())["record"] == "run"
    assert not (tmp_path / "o" / "accuracy.json").exists()
    assert capsys.readouterr().out == ""


def test_places_that_cannot_be_written_are_refused(samples, tmp_path):
    for words in (["--plots", samples], ["--json", tmp_path / "no" / "x.json"]):
        with pytest.raises(MicropumpError, match="cannot write") as caught:
            command(samples, "--rate", 5, *words)
        assert caught.value.exit_code == 1


def test_no_input_is_ever_overwritten(tmp_path):
    out, other = tmp_path / "out", tmp_path / "other"
    out.mkdir()
    other.mkdir()
    there = write(out / "samples-run.csv", rippled(1))
    elsewhere = write(tmp_path / "run.csv", rippled(2))
    again = write(other / "run.csv", rippled(3))
    before = [path.read_bytes() for path in (elsewhere, there, again)]
    assert command(elsewhere, there, again, "--rate", 5, "--plots", out) == 0
    assert [path.read_bytes() for path in (elsewhere, there, again)] == before
    assert (out / "samples-run-2.csv").read_bytes() == before[0]
    assert (out / "samples-run-3.csv").read_bytes() == before[2]
    with pytest.raises(UsageError, match="over the samples"):
        command(elsewhere, "--rate", 5, "--json", elsewhere)
    assert elsewhere.read_bytes() == before[0]


def test_several_files_make_a_band(tmp_path, capsys):
    paths = [write(tmp_path / f"r{seed}.csv", rippled(seed)) for seed in range(3)]
    out = tmp_path / "o"
    assert command(*paths, "--rate", 5, "--plots", out) == 0
    assert "n = 3: mean and 90/90 tolerance interval" in capsys.readouterr().out
    data = json.loads((out / "accuracy.json").read_text())
    assert data["n"] == 3
    assert [record["record"] for record in data["records"]] == ["r0", "r1", "r2"]
    assert {path.name for path in out.glob("samples-*")} == {f"samples-r{n}.csv" for n in range(3)}


def test_bolus_series_on_the_command_line(boluses, tmp_path, capsys):
    out = tmp_path / "o"
    assert command(boluses, "--bolus-ml", 0.5, "--plots", out) == 0
    assert "25 boluses of 0.5 mL" in capsys.readouterr().out
    data = json.loads((out / "accuracy.json").read_text())
    assert data["mean_error_percent"] == pytest.approx(-0.4)
    assert data["max_deviation_percent"] == pytest.approx(2)
    assert data["min_deviation_percent"] == pytest.approx(-4)
    assert data["n"] == 25
    assert (out / "bolus-boluses.svg").exists()
    assert command(boluses, boluses, "--bolus-ml", 0.5, "--json", "-") == 0
    assert json.loads(capsys.readouterr().out)["band"]["mean_error_percent"]["n"] == 2


def test_missing_library_is_told_with_the_way_to_install_it(samples):
    script = (
        "import argparse, sys\n"
        "sys.modules['numpy'] = None\n"
        "from micropump_host.cli.accuracy import add_parser\n"
        "from micropump_host.errors import MicropumpError\n"
        "parser = argparse.ArgumentParser()\n"
        "add_parser(parser.add_subparsers())\n"
        "args = parser.parse_args(['accuracy', sys.argv[1], '--rate', '5'])\n"
        "try:\n"
        "    args.handler(args)\n"
        "except MicropumpError as error:\n"
        "    print(error.what, '|', error.remedy)\n"
    )
    text = _python(script, samples).stdout
    assert "the library numpy is not installed" in text
    assert 'pip install "micropump[accuracy]"' in text


def _python(script, *words, **environment):
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, words)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | environment,
        capture_output=True,
        text=True,
        check=True,
    )


RESULT = analyse(rippled(hours=3), 5, VOLUMETRIC)
BAND = bands.band_of([analyse(rippled(seed, hours=3), 5, VOLUMETRIC) for seed in range(4)])


@pytest.mark.parametrize("result", [RESULT, BAND], ids=["record", "band"])
def test_plots_say_under_what_conditions_they_were_made(result):
    count = len(result.records) if isinstance(result, bands.Band) else 1
    figures = {
        "T0 = 0 to 120 min": plots.startup_figure(result),
        "T1 = 60 to 120 min": plots.trumpet_figure(result),
        "T2 = 120 to 180 min": plots.trumpet_figure(result, "T2"),
    }
    for period, figure in figures.items():
        svg = plots.figure_to_svg(figure)
        assert svg.startswith("<svg")
        for text in (
            period,
            "r = 5 mL/h",
            "S = 0.5 min",
            "P = 2, 5, 11, 19, 31 min",
            "density 0.998 g/mL",
            f"n = {count}",
        ):
            assert text in svg


def test_axes_are_those_of_the_standard_where_the_data_allows():
    startup = plots.startup_figure(RESULT).axes[0]
    assert startup.get_xlim() == (0, 120)
    assert startup.get_ylim() == pytest.approx((-1, 10))
    assert np.diff(startup.get_yticks()) == pytest.approx(1)
    trumpet = plots.trumpet_figure(RESULT).axes[0]
    assert trumpet.get_xlim() == (0, 31)
    assert trumpet.get_ylim() == (-15, 15)
    assert trumpet.get_xticks().tolist() == [0, 2, 5, 11, 19, 31]
    assert "extended" not in plots.figure_to_svg(plots.trumpet_figure(RESULT))


def test_axes_are_extended_to_the_data_and_say_so():
    wild = analyse(rippled(ripple=1.5), 5, SYRINGE)
    trumpet = plots.trumpet_figure(wild)
    low, high = trumpet.axes[0].get_ylim()
    assert high >= max(point.ep_max_percent for point in wild.trumpet) > 15
    assert low <= min(point.ep_min_percent for point in wild.trumpet) < -15
    assert "error axis extended beyond ±15 %" in plots.figure_to_svg(trumpet)
    startup = plots.startup_figure(wild)
    assert startup.axes[0].get_ylim()[1] >= wild.startup_flow_ml_h.max() > 10
    assert "flow axis extended" in plots.figure_to_svg(startup)


def test_plots_of_an_ambulatory_pump_reach_as_far_as_its_windows():
    result = analyse(rippled(hours=49, step_s=300.0), 5, AMBULATORY)
    assert plots.trumpet_figure(result).axes[0].get_xlim() == (0, 930)
    assert plots.startup_figure(result).axes[0].get_xlim() == (0, 1440)


def test_curves_are_drawn_at_the_numbers():
    lines = {line.get_label(): line for line in plots.trumpet_figure(RESULT).axes[0].lines}
    highest = [point.ep_max_percent for point in RESULT.trumpet]
    assert lines["Ep(max)"].get_ydata() == pytest.approx(highest)
    mean = next(line for label, line in lines.items() if label.startswith("mean error A"))
    assert mean.get_ydata() == pytest.approx([RESULT.mean_error_percent] * 2)
    assert mean.get_linestyle() == "-"
    flow = next(n for n in plots.startup_figure(RESULT).axes[0].lines if n.get_label() == "flow")
    assert flow.get_ydata() == pytest.approx(np.repeat(RESULT.startup_flow_ml_h, 2))


def test_trumpet_of_a_period_that_is_not_there_is_refused():
    with pytest.raises(MicropumpError, match="no T2"):
        plots.trumpet_figure(analyse(rippled(), 5, SYRINGE), "T2")


def test_svg_is_the_same_bytes_each_time(tmp_path):
    def made(folder):
        folder.mkdir()
        for name, figure in (
            ("s", plots.startup_figure(BAND)),
            ("t", plots.trumpet_figure(BAND)),
            ("r", plots.trumpet_figure(RESULT)),
        ):
            plots.save_figure(figure, folder / name)
        return [(folder / f"{name}.svg").read_bytes() for name in "str"]

    assert made(tmp_path / "a") == made(tmp_path / "b")


def test_svg_does_not_depend_on_the_process(samples, tmp_path):
    script = (
        "import sys\n"
        "from micropump_host.accuracy import iec, method, plots, record\n"
        "result = iec.analyse(record.load_record(sys.argv[1]), 5, method.SYRINGE)\n"
        "plots.save_figure(plots.trumpet_figure(result), sys.argv[2])\n"
    )
    _python(script, samples, tmp_path / "other", PYTHONHASHSEED="1")
    here = plots.trumpet_figure(analyse(load_record(samples), 5, SYRINGE))
    plots.save_figure(here, tmp_path / "here")
    one, other = ((tmp_path / f"{name}.svg").read_bytes() for name in ("here", "other"))
    assert one == other


def test_name_with_a_dot_keeps_it(tmp_path):
    made = plots.save_figure(plots.trumpet_figure(RESULT), tmp_path / "rate-0.5")
    assert [Path(path).name for path in made] == ["rate-0.5.png", "rate-0.5.svg"]


def test_bolus_plot_has_a_bar_for_each_bolus(boluses):
    figure = plots.bolus_figure(analyse_bolus(load_bolus_series(boluses), 0.5))
    assert len(figure.axes[0].patches) == 25
    svg = plots.figure_to_svg(figure)
    assert "set bolus 0.5 mL · n = 25 boluses" in svg
    assert "mean −0.40 %" in svg
