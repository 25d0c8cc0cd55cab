"""The examples do what their comments promise."""

import json
from pathlib import Path

import pytest

from micropump.mechanism import KIND_PERISTALTIC, KIND_SYRINGE
from micropump_host.bench import load_bench
from micropump_host.bench.ground import build_ground
from micropump_host.bench.local import LocalLine
from micropump_host.bench.record import ListRecorder
from micropump_host.bench.world import VirtualBench
from micropump_host.cli import main
from micropump_host.client import Pump
from micropump_host.orders import load_order

EXAMPLES = Path(__file__).parent.parent / "examples"
BENCHES = sorted((EXAMPLES / "benches").glob("*.toml"))
ORDERS = sorted((EXAMPLES / "orders").glob("*.toml"))


def run(path, hours):
    bench_file = load_bench(path)
    syringe = bench_file.kind == "syringe"
    kind = KIND_SYRINGE if syringe else KIND_PERISTALTIC
    drive_id = "t8-2mm-16" if syringe else "direct-16"
    recorder = ListRecorder()
    ground = build_ground("cpython", kind, drive_id, 0)
    bench = VirtualBench(ground, kind, drive_id, bench_file, recorder)
    item, content_ul = ("bd-plastipak-50", 50_000) if syringe else ("runze-rz1030-0142", 500_000)
    rate_ul_h = 5_000 if syringe else 25_000
    with Pump("local", open_port=lambda *_: LocalLine(bench)) as pump:
        pump.start(pump.program(kind, item, content_ul, rate_ul_h * 4, rate_ul_h).program_id)
        bench.advance(bench.now_ms + hours * 3_600_000)
    return {sample.t_s: sample for sample in recorder.samples}


@pytest.mark.parametrize("path", ORDERS, ids=lambda path: path.stem)
def test_an_example_order_is_planned_by_the_command(path, capsys):
    assert main(["plan", str(path), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["order"] == path.stem
    assert said["containers_needed"] == said["containers"]


@pytest.mark.parametrize("path", ORDERS, ids=lambda path: path.stem)
def test_an_example_of_a_drug_says_that_it_is_no_advice_and_where_its_figures_are_from(path):
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# ")
    assert max(map(len, text.splitlines())) <= 100
    if load_order(path).drug:
        head = " ".join(text.partition("[order]")[0].replace("#", " ").split())
        assert "A test fixture, not advice." in head
        assert "Figures: " in head


@pytest.mark.parametrize("path", BENCHES, ids=lambda path: path.stem)
def test_example_benches_can_be_read(path):
    assert load_bench(path).info.name


def test_the_closed_line_builds_up_pressure_and_lets_it_go():
    samples = run(BENCHES[1], 1)
    assert BENCHES[1].stem == "occlusion"
    # 1.25 mL in the closed quarter of an hour, into 1.29 mL/bar: towards 1 bar.
    assert samples[1800].pressure_pa < 1_000
    assert 80_000 < samples[2690].pressure_pa < 105_000
    assert samples[3000].pressure_pa < 1_000


def test_the_unpurged_start_is_late():
    samples = run(BENCHES[2], 1)
    assert BENCHES[2].stem == "unpurged-thin-needle"
    # 0.6 mm of free play are 0.336 mL: 4 min at 5 mL/h, before anything can come out. Water that
    # evaporates meanwhile makes the mass fall.
    assert samples[200].mass_g < samples[0].mass_g
    assert samples[3000].mass_g > samples[0].mass_g + 2


def test_back_pressure_and_a_lowered_supply_slow_the_head_down():
    samples = run(BENCHES[0], 2)
    assert BENCHES[0].stem == "back-pressure"

    def flow_g(from_s):
        return samples[from_s + 1700].mass_g - samples[from_s].mass_g

    assert flow_g(1900) < flow_g(0) * 0.99
    assert flow_g(5450) < flow_g(3650) * 0.995
