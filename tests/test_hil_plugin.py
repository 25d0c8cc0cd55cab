"""The bench plugin: what runs where, what is skipped and why, what a test may not leave behind."""

from fractions import Fraction
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import Schedule

from micropump import mechanism
from micropump_hil.benches.board import BenchFileError, BoardBench, read_bench_file
from micropump_hil.benches.specs import BenchSpecError, spec_of
from micropump_hil.judge import Leg, due_us, jitter_ns, judge, period_us, worst_ns
from micropump_hil.verbs import infuse, wait_for
from micropump_host.bench.process import virtual_pump

pytest_plugins = ["pytester"]

INFUSE = """
from micropump_hil.verbs import infuse
def start(bench):
    infuse(bench, "bd-plastipak-50", 400_000, 10_000)
"""


@pytest.fixture
def suite(pytester, monkeypatch):
    """Runs a suite with the plugin; returns its result."""
    # The emulator is asked for and never run: it need not be compiled.
    monkeypatch.setenv("MICROPUMP_EMULATOR", "pure")
    monkeypatch.delenv("MICROPUMP_REQUIRE_EMULATED", raising=False)
    monkeypatch.delenv("MICROPUMP_IMAGE", raising=False)

    def run(source, *words):
        pytester.makepyfile(INFUSE + source)
        return pytester.runpytest_inprocess(
            "-p", "micropump_hil.plugin", "-p", "no:cacheprovider", "-rsfE", *words
        )

    return run


def test_a_test_runs_once_on_each_bench(suite):
    result = suite(
        "def test_it(bench):\n    assert bench.status().state == 'idle'\n",
        "--bench", "cpython", "--bench", "micropython", "-v",
    )  # fmt: skip
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*test_it?cpython? PASSED*", "*test_it?micropython? PASSED*"])


def test_what_a_bench_has_not_got_is_skipped_by_name(suite):
    result = suite(
        "import pytest\n"
        "@pytest.mark.needs('power_cut', 'step_edges')\ndef test_it(bench):\n    assert False\n",
        "--bench", "cpython",
    )  # fmt: skip
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*bench cpython has no power_cut (a power supply*"])


def test_a_need_that_nobody_knows_is_an_error(suite):
    result = suite(
        "import pytest\n@pytest.mark.needs('coffee')\ndef test_it(bench):\n    pass\n",
        "--bench", "cpython",
    )  # fmt: skip
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*needs('coffee'); known are*"])


@pytest.mark.parametrize("end", ["", "    bench.pump.set_rate(300_000)\n"])
def test_a_test_that_leaves_the_pump_infusing_has_failed(suite, end):
    result = suite(
        f"def test_it(bench):\n    start(bench)\n{end}def test_next(bench):\n    pass\n",
        "--bench", "cpython",
    )  # fmt: skip
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*the test left the pump infusing*"])


def test_a_test_that_stops_the_pump_has_not(suite):
    result = suite(
        "def test_it(bench):\n    start(bench)\n    bench.pump.pause()\n", "--bench", "cpython"
    )
    result.assert_outcomes(passed=1)


def test_without_an_image_the_emulated_pico_is_skipped_with_the_remedy(suite, monkeypatch):
    monkeypatch.setenv("MICROPUMP_IMAGE", "/nowhere/pico.uf2")
    result = suite("def test_it(bench):\n    pass\n", "--bench", "emulated")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*no firmware image*make image*"])


def test_where_it_is_required_that_is_an_error_and_told_once(suite, monkeypatch):
    monkeypatch.setenv("MICROPUMP_IMAGE", "/nowhere/pico.uf2")
    monkeypatch.setenv("MICROPUMP_REQUIRE_EMULATED", "1")
    result = suite(
        "".join(f"def test_{n}(bench):\n    pass\n" for n in range(5)), "--bench", "emulated"
    )
    result.assert_outcomes(errors=1, skipped=4)
    result.stdout.fnmatch_lines(["*see the first failure: there is no firmware image*"])


def test_a_broken_bench_is_not_tried_fifty_times(suite, tmp_path):
    file = tmp_path / "desk.toml"
    file.write_text('[bench]\nname = "desk"\nport = "/dev/none"\nfitted = "syringe"\n')
    result = suite(
        "".join(f"def test_{n}(pump):\n    pass\n" for n in range(5)),
        "--bench", str(file), "--bench", "cpython",
    )  # fmt: skip
    result.assert_outcomes(errors=1, skipped=4, passed=5)


def test_what_ran_where_is_in_the_record(suite, tmp_path):
    record = tmp_path / "record.xml"
    result = suite("def test_it(bench):\n    pass\n", "--bench", "cpython", f"--junitxml={record}")
    result.assert_outcomes(passed=1)
    found = {
        each.get("name"): each.get("value") for each in ElementTree.parse(record).iter("property")
    }
    assert found["cpython.bench"] == found["cpython.ground"] == found["bench"] == "cpython"
    assert found["cpython.firmware"]
    assert found["cpython.interpreter"].startswith("Python 3")


@pytest.mark.parametrize("name", ["coffee", "emulate"])
def test_a_bench_that_nobody_knows_is_an_error(suite, name):
    with pytest.raises(BenchSpecError, match=r"cpython, micropython, emulated, or a bench file"):
        spec_of(name)
    result = suite("def test_it(bench):\n    pass\n", "--bench", name)
    assert result.ret == pytest.ExitCode.USAGE_ERROR


def test_all_that_is_wrong_with_a_bench_file_is_told_at_once(tmp_path):
    file = tmp_path / "desk.toml"
    file.write_text(
        '[bench]\nname = "desk"\nprot = "/dev/ttyACM0"\nfitted = "balloon"\n'
        'has = ["coffee", "power_cut"]\n[more]\n'
    )
    with pytest.raises(BenchFileError) as caught:
        read_bench_file(file)
    for part in ("prot", "port must", "fitted must", "'coffee'", "'power_cut'", "[more]"):
        assert part in caught.value.what
    with pytest.raises(BenchFileError, match="cannot read"):
        read_bench_file(tmp_path / "none.toml")


def test_a_port_is_a_bench_like_any_other(tmp_path):
    with virtual_pump(ground="cpython", speed="50") as port:
        file = tmp_path / "desk.toml"
        file.write_text(f'[bench]\nname = "desk"\nport = "{port}"\nfitted = "syringe"\n')
        bench = BoardBench(str(file), read_bench_file(file))
        assert bench.has == {"syringe"}
        infuse(bench, "bd-plastipak-50", 400_000, 20_000)
        status = wait_for(bench, lambda now: now.infused_steps > 100, "steps", within_s=20)
        assert bench.left_running() == "infusing"
        bench.close()
        assert status.state == "infusing"
        assert bench.left_running() == ""
        bench.close()


# -- the judge ---------------------------------------------------------------------------------

ratios = st.sampled_from(
    [
        mechanism.build(mechanism.KIND_SYRINGE, "bd-plastipak-3", "t8-2mm-16"),
        mechanism.build(mechanism.KIND_SYRINGE, "bd-plastipak-50", "t8-2mm-16"),
        mechanism.build(mechanism.KIND_PERISTALTIC, "runze-rz1030-0142", "direct-16"),
    ]
).map(lambda parts: Fraction(parts.nl_num, parts.nl_den))
rates_ul_h = st.integers(10, 1_200_000)


@given(ratios, st.lists(st.tuples(rates_ul_h, st.integers(1, 5)), min_size=1, max_size=4))
def test_the_judge_agrees_with_the_other_judge(nl_per_step, stretches):
    schedule = Schedule(nl_per_step)
    legs, at_ms = [], 0
    for rate_ul_h, quanta in stretches:
        legs.append(Leg(at_ms * 1000, rate_ul_h))
        schedule.flow(at_ms, at_ms + quanta * 100, rate_ul_h)
        at_ms += quanta * 100
    assert due_us(nl_per_step, legs, len(schedule.edges_us)) == schedule.edges_us


@given(ratios, rates_ul_h, rates_ul_h, st.integers(0, 6), st.integers(0, 10**12))
def test_the_judge_finds_the_quantum_of_a_change(nl_per_step, before, after, lead, offset_ns):
    legs = (Leg(0, before), Leg((3 + lead) * 100_000, after))
    edges_ns = [offset_ns + at * 1000 for at in due_us(nl_per_step, legs, 60)]
    verdict = judge(edges_ns, nl_per_step, (before, after), (300_001,))
    assert verdict.worst_ns == 0


@given(ratios, rates_ul_h, st.integers(1, 58), st.sampled_from([-2_001, 2_001]))
def test_the_judge_sees_one_edge_out_of_its_place(nl_per_step, rate_ul_h, which, by_ns):
    edges_ns = [at * 1000 for at in due_us(nl_per_step, [Leg(0, rate_ul_h)], 60)]
    period = period_us(nl_per_step, rate_ul_h)
    assert jitter_ns(edges_ns, period) <= 1000
    edges_ns[which] += by_ns
    assert judge(edges_ns, nl_per_step, (rate_ul_h,)).worst_ns == 2_001
    assert jitter_ns(edges_ns, period) > 1_000


@given(ratios, rates_ul_h, st.integers(1, 58))
def test_the_judge_sees_an_edge_that_is_missing_or_one_too_many(nl_per_step, rate_ul_h, which):
    edges_ns = [at * 1000 for at in due_us(nl_per_step, [Leg(0, rate_ul_h)], 60)]
    missing = edges_ns[:which] + edges_ns[which + 1 :]
    extra = [*edges_ns[:which], (edges_ns[which - 1] + edges_ns[which]) // 2, *edges_ns[which:]]
    for wrong in (missing, extra):
        assert judge(wrong, nl_per_step, (rate_ul_h,)).worst_ns > 10_000
    assert worst_ns([], []) == 0


def test_the_suites_use_the_plugin():
    assert "-p micropump_hil.plugin" in (
        Path(__file__).parent.parent / "hil" / "suites" / "pytest.ini"
    ).read_text(encoding="utf-8")
