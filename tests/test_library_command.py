"""The command ``micropump library``: what it prints, what it leaves with, and what changed."""

import hashlib
import json
import shutil
import zlib
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micropump_host import library
from micropump_host.cli import main
from micropump_host.errors import EXIT_DONE, EXIT_REFUSED, EXIT_USAGE
from micropump_host.library import EFFECTS, Change, Level, LimitUnit
from micropump_host.library.model import MASS
from micropump_host.library.page import render_table

HOME = Path(__file__).resolve().parent / "library_fixtures" / "home"
MORPHINE = "drugs/morphine.toml"
HEPARIN = "drugs/heparin.toml"
TPN = "drugs/tpn.toml"
VANCOMYCIN = "drugs/vancomycin.toml"
LIBRARY = "library.toml"
KEY = bytes(range(32))


@pytest.fixture
def home(tmp_path):
    """A copy of the fixture that a test may edit."""
    return Path(shutil.copytree(HOME, tmp_path / "home"))


@pytest.fixture
def key(tmp_path):
    path = tmp_path / "lib.key"
    path.write_text(KEY.hex() + "\n")
    return path


@pytest.fixture
def said(capsys, monkeypatch):
    """Run a command; its exit code, standard output and standard error."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words):
        try:
            code = main(["library", *map(str, words)])
        except SystemExit as usage:
            code = usage.code
        return (code, *capsys.readouterr())

    return run


def edit(folder: Path, file: str, old: str, new: str) -> None:
    text = (folder / file).read_text(encoding="utf-8")
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1), encoding="utf-8")


# -- check -----------------------------------------------------------------------------------------


def test_check_of_what_is_right(said):
    code, out, err = said("check", HOME)
    assert (code, err) == (EXIT_DONE, "")
    limits = 8 + 3 + 3 + 4
    assert out == (
        f"Home infusion, version 3: 4 drugs in 3 care areas, {limits} limits; nothing is wrong\n"
    )


def test_check_tells_all_that_is_wrong_and_leaves_with_1(said, home):
    edit(home, MORPHINE, '"5 mg/h"', '"5 mg"')
    edit(home, HEPARIN, '"units/kg/h"', '"units/kg"')
    code, out, err = said("check", home)
    assert (code, out) == (EXIT_REFUSED, "")
    assert "2 things are wrong with this library" in err
    assert f"{home / HEPARIN}, line 12, [use 1] dosing" in err
    assert f"{home / MORPHINE}, line 13, [use 1.rate] upper_hard" in err


def test_check_as_json(said, home):
    code, out, _ = said("check", home, "--json")
    assert code == EXIT_DONE
    assert json.loads(out) == {
        "ok": True, "id": "home", "name": "Home infusion", "version": 3, "drugs": 4,
        "care_areas": 3, "problems": [], "remarks": [],
    }  # fmt: skip
    edit(home, MORPHINE, '"5 mg/h"', '"5 mg"')
    code, out, err = said("check", home, "--json")
    assert (code, err) == (EXIT_REFUSED, "")
    (problem,) = json.loads(out)["problems"]
    assert problem == {
        "key": "[use 1.rate] upper_hard",
        "line": 13,
        "what": '"5 mg" is not a rate but a mass',
        "remedy": 'Write a rate with its unit, like "2 mg/h"',
        "file": str(home / MORPHINE),
    }


def test_check_tells_remarks_beside(said, home):
    edit(home, VANCOMYCIN, ', upper_hard = "35 mg/kg"', "")
    code, out, err = said("check", home)
    assert code == EXIT_DONE
    assert "nothing is wrong" in out
    assert f"remark: {home / VANCOMYCIN}, line 8, [use 1]: no dose is refused" in err
    assert json.loads(said("check", home, "--json")[1])["remarks"][0]["line"] == 8


# -- show ------------------------------------------------------------------------------------------


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("│")[1:-1]]


def test_show_tells_every_limit_in_its_own_unit_and_as_a_volume(said):
    code, out, _ = said("show", HOME, "morphine")
    assert code == EXIT_DONE
    rows = [cells(line) for line in out.splitlines() if line.startswith("│")]
    assert rows[:3] == [
        ["rate", "0.1 mg/h", "1 mg/h", "2 mg/h", "5 mg/h"],
        ["at 1 mg/mL", "0.1 mL/h", "1 mL/h", "2 mL/h", "5 mL/h"],
        ["at 5 mg/mL", "0.02 mL/h", "0.2 mL/h", "0.4 mL/h", "1 mL/h"],
    ]
    assert ["lockout", "5 min", "6 min", "", ""] in rows
    assert "Morphine: PCA at home, Palliative care" in out
    assert "1 mg/mL, 5 mg/mL; pca, continuous; in mg/h; KVO off; air alarm at" in out
    assert "  rate: test fixture, rate\n" in out


def test_show_by_body_weight_and_rounded(said, home):
    out = said("show", home, "vancomycin")[1]
    rows = [cells(line) for line in out.splitlines() if line.startswith("│")]
    assert ["at 5 mg/mL", "", "3 mL/kg", "4 mL/kg", "7 mL/kg"] in rows
    assert ["at 5 mg/mL", "", "", "", "120 mL/h"] in rows
    edit(home, VANCOMYCIN, '"5 mg/mL"', '"30 mg/mL"')
    out = said("show", home, "vancomycin")[1]
    rows = [cells(line) for line in out.splitlines() if line.startswith("│")]
    assert ["at 30 mg/mL", "", "0.5 mL/kg", "≈ 0.6667 mL/kg", "≈ 1.167 mL/kg"] in rows


def test_show_in_one_care_area(said):
    out = said("show", HOME, "tpn", "--care-area", "palliative")[1]
    assert "3 mL/kg/h" in out
    assert "182 mL/h" not in out
    out = said("show", HOME, "tpn")[1]
    assert "3 mL/kg/h" in out
    assert "182 mL/h" in out


def test_show_as_json(said):
    told = json.loads(said("show", HOME, "heparin", "--json")[1])
    (use,) = told["uses"]
    assert (told["drug"], use["care_areas"], use["kvo"]) == ("heparin", ["home"], "limit")
    assert use["rows"][1] == {
        "kind": "rate",
        "name": "rate",
        "at": "100 units/mL",
        "levels": ["", "0.05 mL/kg/h", "0.18 mL/kg/h", "0.25 mL/kg/h", "0.4 mL/kg/h"],
        "source": "",
    }


@pytest.mark.parametrize(
    ("words", "code", "parts"),
    [
        (("morphin",), EXIT_REFUSED, ['no drug "morphin"', "Did you mean morphine?"]),
        (("tpn", "--care-area", "hom"), EXIT_USAGE, ['no care area "hom"', "Did you mean home?"]),
        (("tpn", "--care-area", "pca-home"), EXIT_REFUSED,
         ["TPN is not used in PCA at home", "It is in home, palliative"]),
    ],
)  # fmt: skip
def test_show_of_what_there_is_not(said, words, code, parts):
    left_with, _, err = said("show", HOME, *words)
    assert left_with == code
    assert all(part in err for part in parts)


def test_show_of_a_file_that_is_no_library(said, tmp_path):
    code, _, err = said("show", tmp_path / "nowhere.mpl", "tpn")
    assert code == EXIT_REFUSED
    assert "cannot read the library" in err
    (tmp_path / "no.mpl").write_bytes(bytes(200))
    code, _, err = said("show", tmp_path / "no.mpl", "tpn")
    assert code == EXIT_REFUSED
    assert str(tmp_path / "no.mpl") in err


# -- diff ------------------------------------------------------------------------------------------

CHANGES = [
    # file, old, new, effect, what is told
    (MORPHINE, 'upper_hard = "5 mg/h"', 'upper_hard = "6 mg/h"', "widened",
     "morphine, palliative and pca-home: upper hard rate 5 → 6 mg/h (+20 %)"),
    (MORPHINE, 'upper_hard = "5 mg/h"', 'upper_hard = "4.5 mg/h"', "narrowed",
     "morphine, palliative and pca-home: upper hard rate 5 → 4.5 mg/h (-10 %)"),
    (MORPHINE, '"0.1 mg/h"', '"50 mcg/h"', "widened",
     "morphine, palliative and pca-home: lower hard rate 0.1 mg/h → 50 mcg/h (-50 %)"),
    (MORPHINE, 'lower_hard = "0.1 mg/h", ', "", "widened",
     "morphine, palliative and pca-home: lower hard rate 0.1 mg/h → none"),
    (MORPHINE, 'lower_hard = "5 min"', 'lower_hard = "4 min"', "widened",
     "morphine, palliative and pca-home: lower hard lockout 5 → 4 min (-20 %)"),
    (MORPHINE, 'lower_hard = "5 min"', 'lower_hard = "6 min"', "narrowed",
     "morphine, palliative and pca-home: lower hard lockout 5 → 6 min (+20 %)"),
    (MORPHINE, 'upper_hard = "2 mg"', 'upper_hard = "20 mg"', "widened",
     "morphine, palliative and pca-home: upper hard bolus 2 → 20 mg (+900 %)"),
    (MORPHINE, 'bolus = { upper_hard = "2 mg" }\n', "", "widened",
     "morphine, palliative and pca-home: upper hard bolus 2 mg → none"),
    (MORPHINE, 'bolus = { upper_hard', 'bolus = { upper_soft = "1 mg", upper_hard', "narrowed",
     "morphine, palliative and pca-home: upper soft bolus none → 1 mg"),
    (MORPHINE, 'typical = "1 mg/h"', 'typical = "1.5 mg/h"', "changed",
     "morphine, palliative and pca-home: typical rate 1 → 1.5 mg/h (+50 %)"),
    (MORPHINE, '"10 mg"', '"1 mg/kg"', "unclear",
     "morphine, palliative and pca-home: upper hard amount in 1 h 10 mg → 1 mg/kg, "
     "which cannot be compared"),
    (MORPHINE, '["pca", "continuous"]', '["pca"]', "narrowed",
     "morphine, palliative and pca-home: program continuous not allowed any more"),
    (MORPHINE, '["pca", "continuous"]', '["pca", "continuous", "ramp"]', "widened",
     "morphine, palliative and pca-home: program ramp allowed now"),
    (MORPHINE, '"5 mg/mL"]', '"5 mg/mL", "10 mg/mL"]', "widened",
     "morphine, palliative and pca-home: concentration 10 mg/mL allowed now"),
    (MORPHINE, "air_ul = 200", "air_ul = 300", "widened",
     "morphine, palliative and pca-home: air alarm 200 → 300 µL (+50 %)"),
    (MORPHINE, "occlusion_kpa = 60\n", "", "unclear",
     "morphine, palliative and pca-home: occlusion alarm 60 kPa → the pump's own"),
    (MORPHINE, 'kvo = "off"', 'kvo = "rule"', "changed",
     "morphine, palliative and pca-home: KVO off → by the rule"),
    (MORPHINE, 'dosing = "mg/h"', 'dosing = "mcg/min"', "changed",
     "morphine, palliative and pca-home: rates in mg/h → mcg/min"),
    (MORPHINE, '"test fixture, rate"', '"another"', "changed",
     "morphine, palliative and pca-home: source of rate \"test fixture, rate\" → \"another\""),
    (MORPHINE, '"Morphine"', '"Morphium"', "changed", 'morphine: name "Morphine" → "Morphium"'),
    (MORPHINE, '["pca-home", "palliative"]', '["pca-home"]', "removed",
     "morphine, palliative: is not used here any more"),
    (MORPHINE, '["pca-home", "palliative"]', '["pca-home", "palliative", "home"]', "added",
     "morphine, home: may be used here now"),
    (TPN, '"3 mL/kg/h"', '"0.05 mL/kg/min"', None, ""),
    (VANCOMYCIN, '"10 mg/min"', '"0.01 g/min"', None, ""),
    (HEPARIN, '{ upper_hard = "200 units/h" }', '"off"', "changed",
     "heparin, home: KVO within limits → off"),
    (HEPARIN, '"200 units/h"', '"300 units/h"', "widened",
     "heparin, home: upper hard KVO rate 200 → 300 units/h (+50 %)"),
    (VANCOMYCIN, '"4 g"', '"5000 mg"', "widened",
     "vancomycin, home: upper hard amount in 24 h 4 g → 5000 mg (+25 %)"),
    (TPN, 'upper_hard = "24 h"', 'upper_hard = "12:00"', "narrowed",
     "tpn, home: upper hard duration 24 h → 12:00 (-50 %)"),
    (LIBRARY, '"At home"', '"In the home"', "changed",
     'name of care area home "At home" → "In the home"'),
    (LIBRARY, 'pca-home = "PCA at home"', 'pca-home = "PCA at home"\nward = "Ward"', "added",
     'care area ward, "Ward", added'),
]  # fmt: skip


@pytest.mark.parametrize(("file", "old", "new", "effect", "what"), CHANGES)
def test_a_change_is_told_in_clinical_terms(home, file, old, new, effect, what):
    edit(home, file, old, new)
    changes = library.compare(library.load_library(HOME), library.load_library(home))
    assert [(change.effect, str(change)) for change in changes] == (
        [(effect, what)] if effect else []
    )


OPPOSITES = {"widened": "narrowed", "narrowed": "widened", "added": "removed", "removed": "added"}


@pytest.mark.parametrize(("file", "old", "new", "effect", "what"), CHANGES)
def test_the_way_back_is_the_opposite(home, file, old, new, effect, what):
    edit(home, file, old, new)
    changes = library.compare(library.load_library(home), library.load_library(HOME))
    expected = [OPPOSITES.get(effect, effect)] if effect else []
    assert [change.effect for change in changes] == expected


def test_drugs_that_came_and_went(home):
    (home / HEPARIN).unlink()
    old, new = library.load_library(HOME), library.load_library(home)
    assert list(map(str, library.compare(old, new))) == ["heparin: removed, for home"]
    assert list(map(str, library.compare(new, old))) == ["heparin: added, for home"]


def test_what_was_widened_comes_first(home):
    edit(home, HEPARIN, '"40 units/kg/h"', '"30 units/kg/h"')
    edit(home, VANCOMYCIN, '"10 mg/min"', '"12 mg/min"')
    edit(home, MORPHINE, '"Morphine"', '"Morphium"')
    (home / TPN).unlink()
    effects = [
        change.effect
        for change in library.compare(library.load_library(HOME), library.load_library(home))
    ]
    assert effects == ["widened", "narrowed", "changed", "removed"]
    assert effects == sorted(effects, key=EFFECTS.index)


@given(
    st.sampled_from(["lower_hard", "lower_soft", "typical", "upper_soft", "upper_hard"]),
    st.fractions(Fraction(1, 1000), 1000),
    st.fractions(Fraction(1, 1000), 1000),
    st.sampled_from(["min", "h", "day"]),
    st.sampled_from(["min", "h", "day"]),
)
def test_what_is_wider_is_decided_by_the_hour_and_exactly(name, old, new, old_time, new_time):
    hours = {"min": Fraction(1, 60), "h": Fraction(1), "day": Fraction(24)}

    def with_rate(per_h, per_time):
        read = library.load_library(HOME)
        drug = read.drug("morphine")
        unit = LimitUnit(MASS, per_time=per_time)
        level = Level(name, per_h * hours[per_time], "x")
        limit = library.Limit("rate", unit, (level,))
        return replace(read, drugs=(replace(drug, uses=(replace(drug.uses[0], limits=(limit,)),)),))

    changes = library.compare(with_rate(old, old_time), with_rate(new, new_time))
    if old == new:
        assert not changes
        return
    expected = "widened" if (new > old) == name.startswith("upper") else "narrowed"
    assert [change.effect for change in changes] == ["changed" if name == "typical" else expected]


def test_diff_marks_what_was_widened_and_remarks_on_the_version(said, home):
    edit(home, MORPHINE, '"5 mg/h"', '"6 mg/h"')
    edit(home, HEPARIN, '"40 units/kg/h"', '"30 units/kg/h"')
    code, out, err = said("diff", HOME, home)
    assert code == EXIT_DONE
    assert out.splitlines() == [
        "version 3 → 3",
        "WIDENED   morphine, palliative and pca-home: upper hard rate 5 → 6 mg/h (+20 %)",
        "narrowed  heparin, home: upper hard rate 40 → 30 units/kg/h (-25 %)",
        "1 widened, 1 narrowed",
    ]
    assert "the version is not raised" in err
    edit(home, LIBRARY, "version = 3", "version = 4")
    code, out, err = said("diff", HOME, home)
    assert (out.splitlines()[0], err) == ("version 3 → 4", "")


def test_diff_of_the_same(said):
    assert said("diff", HOME, HOME) == (EXIT_DONE, "version 3 → 3\nnothing changed\n", "")


def test_diff_as_json(said, home):
    edit(home, MORPHINE, '"5 mg/h"', '"6 mg/h"')
    told = json.loads(said("diff", HOME, home, "--json")[1])
    assert (told["old"]["version"], told["version_raised"]) == (3, False)
    assert told["counts"] == {**dict.fromkeys(EFFECTS, 0), "widened": 1}
    assert told["changes"] == [
        {
            "effect": "widened",
            "drug_id": "morphine",
            "care_areas": ["palliative", "pca-home"],
            "what": "upper hard rate 5 → 6 mg/h (+20 %)",
            "text": "morphine, palliative and pca-home: upper hard rate 5 → 6 mg/h (+20 %)",
        }
    ]


def test_a_change_reads_as_a_line():
    assert str(Change("widened", "x", ("a", "b", "c"), "more")) == "x, a, b and c: more"
    assert str(Change("changed", "", (), "less")) == "less"


# -- table -----------------------------------------------------------------------------------------


def test_the_table_has_every_limit_with_its_source(said, tmp_path):
    out = tmp_path / "new" / "review.html"
    code, told, _ = said("table", HOME, "--html", out)
    assert (code, told) == (EXIT_DONE, f"The table is {out}\n")
    page = out.read_text(encoding="utf-8")
    assert "Test fixtures, not clinical advice" in page
    read = library.load_library(HOME)
    assert library.source_sha256(read) in page
    for drug in read.drugs:
        assert f'id="{drug.drug_id}">{drug.name}' in page
        for use in drug.uses:
            for limit in use.limits:
                assert all(f">{level.text}<" in page for level in limit.levels)
                assert f"<td>{limit.source}</td>" in page
    assert "0.02 mL/h" in page


def test_the_table_is_no_place_for_what_a_name_brings_along():
    read = library.load_library(HOME)
    drug = replace(read.drugs[0], name="<script>alert(1)</script>")
    page = render_table(replace(read, drugs=(drug,), name="A & B"))
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "A &amp; B" in page


def test_the_table_of_a_library_with_mistakes_is_none(said, home, tmp_path):
    edit(home, MORPHINE, '"5 mg/h"', '"5 mg"')
    code, _, _ = said("table", home, "--html", tmp_path / "review.html")
    assert code == EXIT_REFUSED
    assert not (tmp_path / "review.html").exists()


def test_what_cannot_be_written_is_told(said, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = said("table", HOME, "--html", tmp_path / "file" / "review.html")
    assert code == EXIT_REFUSED
    assert "cannot write this" in err


# -- build -----------------------------------------------------------------------------------------


def test_build_tells_size_version_and_sums(said, tmp_path, key):
    out = tmp_path / "lib.mpl"
    code, told, _ = said("build", HOME, "--out", out, "--key", key, "--json")
    assert code == EXIT_DONE
    image = out.read_bytes()
    assert json.loads(told) == {
        "id": "home",
        "name": "Home infusion",
        "version": 3,
        "drugs": 4,
        "care_areas": 3,
        "file": str(out),
        "bytes": len(image),
        "signed": True,
        "crc32": f"{zlib.crc32(image[:-36]):08x}",
        "sha256": hashlib.sha256(image).hexdigest(),
        "source_sha256": library.source_sha256(library.load_library(HOME)),
    }
    told = said("build", HOME, "--out", out, "--key", key)[1]
    assert hashlib.sha256(image).hexdigest() in told
    assert f"{len(image)}" in told


def test_an_image_says_what_its_source_says(said, tmp_path, key):
    out = tmp_path / "lib.mpl"
    said("build", HOME, "--out", out, "--key", key)
    assert said("diff", HOME, out)[1] == "version 3 → 3\nnothing changed\n"
    assert said("diff", out, HOME)[1] == "version 3 → 3\nnothing changed\n"
    rows = [cells(line) for line in said("show", out, "heparin")[1].splitlines()]
    assert [
        "at 100 units/mL", "0.05 mL/kg/h", "0.18 mL/kg/h", "0.25 mL/kg/h", "0.4 mL/kg/h",
    ] in rows  # fmt: skip


def test_a_damaged_image_is_not_shown(said, tmp_path, key):
    out = tmp_path / "lib.mpl"
    said("build", HOME, "--out", out, "--key", key)
    image = bytearray(out.read_bytes())
    image[len(image) // 2] ^= 1
    out.write_bytes(image)
    code, _, err = said("show", out, "heparin")
    assert code == EXIT_REFUSED
    assert "damaged" in err


def test_build_takes_a_key_or_says_that_it_does_not(said, tmp_path):
    out = tmp_path / "lib.mpl"
    code, _, err = said("build", HOME, "--out", out)
    assert code == EXIT_USAGE
    assert "no key was given" in err
    assert not out.exists()
    code, told, _ = said("build", HOME, "--out", out, "--unsigned", "--json")
    assert (code, json.loads(told)["signed"]) == (EXIT_DONE, False)


@pytest.mark.parametrize(
    ("content", "what"),
    [("xyz", "no key in hexadecimal digits"), ("00" * 15, "a key of 15 bytes is too short"),
     ("µ" * 40, "no key in hexadecimal digits"), (None, "cannot read the key")],
)  # fmt: skip
def test_a_key_that_is_none(said, tmp_path, content, what):
    path = tmp_path / "bad.key"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    code, _, err = said("build", HOME, "--out", tmp_path / "lib.mpl", "--key", path)
    assert code == EXIT_REFUSED
    assert what in err
    assert str(path) in err
    assert not (tmp_path / "lib.mpl").exists()


def test_a_library_with_mistakes_is_not_built(said, home, tmp_path, key):
    edit(home, MORPHINE, '"5 mg/h"', '"5 mg"')
    code, _, _ = said("build", home, "--out", tmp_path / "lib.mpl", "--key", key)
    assert code == EXIT_REFUSED
    assert not (tmp_path / "lib.mpl").exists()


def test_a_subcommand_is_needed(said):
    assert said()[0] == EXIT_USAGE
