"""Bench files: what is read, and what is said about a file that cannot be."""

import dataclasses
import math
import tomllib
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micropump_host.bench import (
    BenchFileError,
    BenchMismatchError,
    PeristalticGeometry,
    SyringeGeometry,
    build_balance,
    build_plant,
    default_bench,
    load_bench,
    parse_bench,
)
from micropump_host.bench import benchfile as bf
from micropump_host.bench.outlet import NEEDLE_BORE_MM, poiseuille_pa_s_per_ul
from micropump_host.errors import MicropumpError

SYRINGE = SyringeGeometry(bore_mm=26.7, lead_mm=2.0, microsteps_per_rev=3200)
HEAD = PeristalticGeometry(ml_per_rev=0.3, rollers=3, microsteps_per_rev=3200)
SECTIONS = [
    (kind, name, entry)
    for kind in bf.KINDS
    for name, cls in bf._SECTIONS[kind].items()
    for entry in dataclasses.fields(cls)
]
NUMBERS = [(kind, name, entry) for kind, name, entry in SECTIONS if entry.metadata]
FRICTION = {
    "static_friction_n": "kinetic_friction_n = 0\n",
    "kinetic_friction_n": "static_friction_n = 200\n",
}
DRIVES = {"syringe": "syringe_drive", "peristaltic": "peristaltic"}


def default_tables(kind):
    source = resources.files("micropump_host.bench") / "benches" / f"{kind}.toml"
    return tomllib.loads(source.read_text(encoding="utf-8"))


def text_with(kind, section, key, value):
    drive = "" if section == DRIVES[kind] else f"[{DRIVES[kind]}]\n"
    return f"{drive}[{section}]\n{key} = {value}\n"


def refusal(text):
    with pytest.raises(BenchFileError) as caught:
        parse_bench(text, "bench.toml")
    assert caught.value.exit_code == 1
    assert caught.value.where == "bench.toml"
    assert caught.value.remedy
    return caught.value.what


@pytest.mark.parametrize("kind", bf.KINDS)
def test_the_default_bench_spells_out_every_key(kind):
    tables = default_tables(kind)
    for section, cls in bf._SECTIONS[kind].items():
        assert list(tables[section]) == [entry.name for entry in dataclasses.fields(cls)]
    assert default_bench(kind).kind == kind


def test_there_is_no_third_kind():
    with pytest.raises(ValueError, match="elastomeric"):
        default_bench("elastomeric")


@pytest.mark.parametrize("kind", bf.KINDS)
def test_a_file_with_an_empty_drive_is_the_default_bench(kind, tmp_path):
    path = tmp_path / "bench.toml"
    path.write_text(f"[{DRIVES[kind]}]\n", encoding="utf-8")
    assert load_bench(path) == default_bench(kind)


@given(st.sampled_from(NUMBERS), st.floats(0.0, 1.0))
def test_every_value_within_its_range_is_read_as_it_stands(number, where):
    kind, section, entry = number
    low, high = entry.metadata["low"], entry.metadata["high"]
    value = low + where * (high - low)
    if entry.metadata["above"]:
        value = max(value, low + 1e-6 * (high - low))
    if entry.type is int:
        value = min(int(value), high)
    value = min(value, 199.0) if entry.name == "kinetic_friction_n" else value
    text = text_with(kind, section, entry.name, [value] if "tuple" in str(entry.type) else value)
    # One rule ties two keys together, and the other one is not what is tested here.
    text += FRICTION.get(entry.name, "")
    bench = parse_bench(text, "bench.toml")
    part = {"bench": bench.info, "syringe_drive": bench.drive, "peristaltic": bench.drive}
    read = getattr(part.get(section) or getattr(bench, section), entry.name)
    assert read == ((value,) if isinstance(read, tuple) else value)


@given(
    st.sampled_from(NUMBERS),
    st.sampled_from(["below", "above", "nan", "inf", "-inf", '"5"', "true", "[[1]]", "2020-01-01"]),
)
def test_every_value_outside_its_range_is_refused_with_key_and_range(number, how):
    kind, section, entry = number
    low, high = entry.metadata["low"], entry.metadata["high"]
    value = {"below": low - 1, "above": high * 2 + 1}.get(how, how)
    if "tuple" in str(entry.type) and not str(value).startswith("["):
        value = f"[{value}]"
    what = refusal(text_with(kind, section, entry.name, value))
    assert f"[{section}] {entry.name} = " in what
    assert f"{low:g} to {high:g}" in what


@pytest.mark.parametrize(
    ("kind", "section", "entry"), [number for number in NUMBERS if number[2].metadata["above"]]
)
def test_a_range_that_starts_above_a_figure_leaves_it_out(kind, section, entry):
    what = refusal(text_with(kind, section, entry.name, entry.metadata["low"]))
    assert "must be above 0 to" in what


def test_a_misspelt_key_gets_a_suggestion():
    what = refusal("[syringe_drive]\nbacklash_mm = 0.5\n")
    assert "unknown key backlash_mm (did you mean backlash_um?)" in what


def test_a_key_like_no_other_gets_the_list():
    assert "(allowed: name, seed)" in refusal("[syringe_drive]\n[bench]\nzzz = 1\n")


def test_a_misspelt_section_gets_a_suggestion():
    assert "did you mean balance?" in refusal("[syringe_drive]\n[balanse]\n")
    assert "did you mean [syringe_drive]?" in refusal("[syringe_driv]\n")


def test_a_section_of_the_other_kind_is_named_as_such():
    assert "[plunger] does not belong to a peristaltic bench" in refusal(
        "[peristaltic]\n[plunger]\n"
    )


@pytest.mark.parametrize("text", ["", "[syringe_drive]\n[peristaltic]\n"])
def test_there_is_exactly_one_mechanism(text):
    refusal(text)


def test_all_problems_are_told_at_once():
    what = refusal(
        "[syringe_drive]\nbacklash_um = -1\n[line]\nlenght_m = 1\n[outlet]\nneedle_gauge = 18.5\n"
        '[[event]]\nat_min = 1\ndo = "oclude"\n[[event]]\ndo = "release"\n'
    )
    for part in (
        "[syringe_drive] backlash_um = -1: must be from 0 to 10000",
        "did you mean length_m?",
        "needle_gauge = 18.5: must be a whole number from 14 to 30",
        "[event 1] do = 'oclude' is unknown (did you mean occlude?)",
        "[event 2] at_min is missing",
    ):
        assert part in what


def test_static_friction_must_be_above_kinetic():
    assert "static_friction_n must be above" in refusal(
        "[syringe_drive]\n[plunger]\nstatic_friction_n = 7.0\nkinetic_friction_n = 7.0\n"
    )


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("[bench\n", "not valid TOML"),
        ("x = " + "[" * 5000, "not valid TOML"),
        ("x = " + "9" * 5000, "not valid TOML"),
        ("syringe_drive = 5\n", "[syringe_drive] must be a table"),
        ("[syringe_drive]\n[[line]]\n", "[line] must be a table"),
        ("[syringe_drive]\n[event]\ndo = 1\n", "[[event]] tables"),
        ("event = [1]\n[syringe_drive]\n", "[[event]] tables"),
        ("[syringe_drive]\n[[event]]\nat_min = 1\n", "do is missing"),
        ("[syringe_drive]\n[[event]]\ndo = [1]\n", "is unknown"),
        ('[syringe_drive]\n[purge]\npurged = "yes"\n', "must be true or false"),
        ("[syringe_drive]\n[bench]\nname = 5\n", "must be text in quotes"),
        ("[syringe_drive]\n[bench]\nseed = 1" + "0" * 400 + "\n", "[bench] seed"),
        ("[syringe_drive]\n[line]\nlength_m = 1" + "0" * 400 + "\n", "[line] length_m"),
        ("[peristaltic]\nripple_percent = 90\n", "must be a list"),
        ('[syringe_drive]\n[[event]]\nat_min = 1\ndo = "inlet_height"\ncm = 5\n', "is unknown"),
    ],
)
def test_what_is_not_a_bench_is_refused(text, part):
    assert part in refusal(text)


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_a_file_that_cannot_be_read_is_refused(content, tmp_path):
    path = tmp_path / "bench.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MicropumpError) as caught:
        load_bench(path)
    assert str(path) in caught.value.where


def test_events_come_in_the_order_of_time():
    bench = parse_bench(
        "[peristaltic]\n"
        '[[event]]\nat_min = 60\ndo = "release"\n'
        '[[event]]\nat_min = 30\ndo = "occlude"\n'
        '[[event]]\nat_min = 90\ndo = "back_pressure"\nkpa = -13.33\n'
        '[[event]]\nat_min = 95.5\ndo = "head_height"\ncm = 50\n'
        '[[event]]\nat_min = 99\ndo = "inlet_height"\ncm = -50\n'
        '[[event]]\nat_min = 100\ndo = "content"\nml = 12.5\n'
        '[[event]]\nat_min = 101\ndo = "open_interlock"\n'
        '[[event]]\nat_min = 102\ndo = "close_interlock"\n'
        '[[event]]\nat_min = 103\ndo = "driver_fault"\n'
        '[[event]]\nat_min = 104\ndo = "driver_recovery"\n',
        "bench.toml",
    )
    assert bench.events == (
        bf.Occlude(30.0),
        bf.Release(60.0),
        bf.SetBackPressure(90.0, -13.33),
        bf.SetHeadHeight(95.5, 50.0),
        bf.SetInletHeight(99.0, -50.0),
        bf.SetContent(100.0, 12.5),
        bf.OpenInterlock(101.0),
        bf.CloseInterlock(102.0),
        bf.FailDriver(103.0),
        bf.MendDriver(104.0),
    )


@pytest.mark.parametrize(("kind", "geometry"), [("syringe", HEAD), ("peristaltic", SYRINGE)])
def test_a_bench_carries_only_its_own_kind(kind, geometry):
    with pytest.raises(BenchMismatchError):
        build_plant(default_bench(kind), geometry)


def test_a_screw_error_that_would_run_backwards_is_refused():
    bench = parse_bench("[syringe_drive]\nperiodic_error_um = 320\n", "bench.toml")
    with pytest.raises(BenchMismatchError, match="periodic_error_um"):
        build_plant(bench, SYRINGE)


def test_the_resistance_is_the_textbooks():
    # Hagen-Poiseuille by hand for 1 m of 1 mm bore and 1 mPa.s: 128e-3/(pi*1e-12) Pa.s/m3.
    assert poiseuille_pa_s_per_ul(1.0, 1.0, 1e-3) == pytest.approx(40.7437, rel=1e-5)
    assert poiseuille_pa_s_per_ul(1.0, 0.5, 1e-3) == pytest.approx(16 * 40.7437, rel=1e-5)


def test_a_thinner_needle_is_never_wider():
    bores_mm = [NEEDLE_BORE_MM[gauge] for gauge in sorted(NEEDLE_BORE_MM)]
    assert bores_mm == sorted(bores_mm, reverse=True)
    assert NEEDLE_BORE_MM[18] == 0.838


def test_the_default_balance_resolves_a_milligram():
    bench = default_bench("syringe")
    assert bench.balance.resolution_mg <= 1.0
    assert math.isclose(build_balance(bench).read(0.0, 0.0), 20.0, abs_tol=0.002)
