"""``micropump demo``: what a newcomer sees first."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest
from support import FIRMWARE, REPO

from micropump_host.cli import main

NAMES = ("syringe", "peristaltic")
CURVES = {
    "syringe": {"startup", "trumpet"},
    "peristaltic": {"startup", "trumpet", "trumpet-t2"},
}


@pytest.fixture(scope="module")
def two_demos(tmp_path_factory):
    """The folders of two runs of the demonstration, made side by side."""
    folders = [tmp_path_factory.mktemp("demo") / "a folder" for _ in range(2)]
    path = os.pathsep.join([str(FIRMWARE), str(REPO / "host")])
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "micropump_host.cli", "demo", "--out", str(folder)],
            cwd=REPO,
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for folder in folders
    ]
    told = [process.communicate(timeout=120) for process in running]
    assert [process.returncode for process in running] == [0, 0], told
    assert str(folders[0] / "report.html") in "".join(told[0][0].split("\n"))
    return folders


@pytest.fixture(scope="module")
def out(two_demos):
    return two_demos[0]


@pytest.fixture(scope="module")
def page(out):
    return (out / "report.html").read_text(encoding="utf-8")


class Tags(HTMLParser):
    """What a page is made of, as a browser would see it."""

    def __init__(self, text):
        super().__init__()
        self.counts = {}
        self.references = []
        self.ids = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.counts[tag] = self.counts.get(tag, 0) + 1
        for name, value in attrs:
            if name in ("src", "href", "xlink:href"):
                self.references.append(value)
            if name == "id":
                self.ids.append(value)


def test_page_has_the_curves_in_itself(page):
    tags = Tags(page)
    assert tags.counts["svg"] == sum(map(len, CURVES.values()))
    assert tags.counts["h2"] == 2
    # It is one file: everything it refers to is inside.
    assert all(reference.startswith("#") for reference in tags.references)
    assert "<script" not in page


def test_page_has_numbers_parameters_and_events(page, out):
    for name in NAMES:
        numbers = json.loads((out / name / "accuracy.json").read_text())
        assert f"{numbers['mean_error_percent']:+.2f} %" in page
        for point in numbers["trumpet"]:
            assert f"{point['ep_max_percent']:+.2f}" in page
    for text in (
        "never for patients", "demo-syringe", "demo-peristaltic", "bd-plastipak-50",
        "runze-rz1030-0142", "5 mL/h", "25 mL/h", "10.000 mL", "50.000 mL", "2:00:00", "seed 1",
        "18G", "interpreted by MicroPython",
    ):  # fmt: skip
        assert text in page, text
    rows = re.findall(r'<tr><td class="n">(-?[\d.]+)</td><td>([^<]+)</td>', page)
    events = [(name, float(at_s)) for at_s, name in rows]
    names = [name for name, _ in events]
    # The first alarm is the warning of the end, which ends with the VTBI; the second is the end.
    sequence = [
        "programmed", "started", "alarm raised", "VTBI reached, KVO", "alarm ended", "alarm raised",
        "stopped",
    ]  # fmt: skip
    assert names == sequence * 2
    for name, at_s in events:
        if name == "started":
            assert at_s == 0
        if name == "VTBI reached, KVO":
            # 50 ms until the first quantum, and a last microstep that does not fill its 100 ms.
            assert at_s == pytest.approx(7200, abs=0.6)


def test_numbers_are_plausible(out):
    syringe, head = (json.loads((out / name / "accuracy.json").read_text()) for name in NAMES)
    # +0.3 % of bore and screw and -1.2 % of the tube seen, as the default benches have them.
    assert abs(syringe["mean_error_percent"]) < 3
    assert abs(head["mean_error_percent"]) < 3
    for numbers in (syringe, head):
        windows = [point["window_min"] for point in numbers["trumpet"]]
        assert windows == [2, 5, 11, 19, 31]
        for point in numbers["trumpet"]:
            assert point["ep_min_percent"] <= numbers["mean_error_percent"] + 0.5
            assert point["ep_max_percent"] >= numbers["mean_error_percent"] - 0.5
            assert -15 < point["ep_min_percent"] < point["ep_max_percent"] < 15
        widths = [point["ep_max_percent"] - point["ep_min_percent"] for point in numbers["trumpet"]]
        assert widths[-1] < widths[0]


@pytest.mark.parametrize("name", NAMES)
def test_curves_and_readings_lie_beside_the_page(out, name):
    folder = out / name
    for curve in CURVES[name]:
        assert (folder / f"{curve}.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (folder / f"{curve}.svg").read_text()
    lines = (folder / "samples.csv").read_text().splitlines()
    assert lines[1].startswith("t_s,mass_g")
    # Two hours, read every 10 s.
    assert len(lines) == 2 + 721
    assert lines[-1].startswith("7200.000,")


def test_made_twice_it_is_the_same_to_the_byte(two_demos):
    first, second = (
        {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
        for folder in two_demos
    )
    assert first.keys() == second.keys()
    assert len(first) >= 12
    for name, path in first.items():
        ours, others = path.read_bytes(), second[name].read_bytes()
        if path.suffix == ".json":
            # It names the file that was analysed.
            others = others.replace(bytes(two_demos[1]), bytes(two_demos[0]))
        assert ours == others, name


def said(capsys, *words):
    code = main(["demo", *map(str, words)])
    return code, capsys.readouterr().err


def test_demo_without_its_orders_says_where_they_are(capsys, tmp_path):
    code, told = said(capsys, "--orders", tmp_path, "--out", tmp_path / "out")
    assert code == 1
    assert str(tmp_path / "demo-syringe.toml") in told
    assert "--orders" in told
    assert not (tmp_path / "out").exists()


def test_demo_that_cannot_write_says_so(capsys, tmp_path):
    (tmp_path / "file").write_text("mine")
    orders = REPO / "examples" / "orders"
    code, told = said(capsys, "--orders", orders, "--out", tmp_path / "file")
    assert code == 1
    assert str(tmp_path / "file") in told
    assert "what to do: " in told


def test_demo_without_a_library_says_how_to_get_it(capsys, tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "jinja2" else find(name)
    )
    code, told = said(capsys, "--out", tmp_path / "out")
    assert code == 1
    assert "jinja2" in told
    assert "pip install" in told
