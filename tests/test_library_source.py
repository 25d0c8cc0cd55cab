"""The source of a drug library: every figure exactly, and every mistake with file, line, remedy."""

import re
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micropump import program
from micropump_host import library
from micropump_host.errors import EXIT_REFUSED, MicropumpError
from micropump_host.library import LimitUnit
from micropump_host.library.figures import (
    AMOUNT,
    RATE,
    concentration_text,
    figure_text,
    read_concentration,
    read_figure,
)
from micropump_host.library.model import HOURS, MASS, TIME, UNITS, VOLUME
from micropump_host.reading.decimals import decimal_parts
from micropump_host.reading.problems import Problem
from micropump_host.reading.quantity import QuantityError, exact_text
from micropump_host.reading.tables import line_of, lines_of

REPO = Path(__file__).resolve().parent.parent
HOME = Path(__file__).resolve().parent / "library_fixtures" / "home"
MORPHINE = "drugs/morphine.toml"
HEPARIN = "drugs/heparin.toml"
TPN = "drugs/tpn.toml"
VANCOMYCIN = "drugs/vancomycin.toml"
LIBRARY = "library.toml"


@pytest.fixture
def home(tmp_path):
    """A copy of the fixture that a test may spoil."""
    return Path(shutil.copytree(HOME, tmp_path / "home"))


def edit(folder: Path, file: str, old: str, new: str) -> int:
    """Put an edit through and return its line; an edit that changes nothing is a broken test."""
    text = (folder / file).read_text(encoding="utf-8")
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1), encoding="utf-8")
    return text[: text.index(old)].count("\n") + 1


def problems_of(folder: Path) -> tuple[Problem, ...]:
    with pytest.raises(library.LibraryError) as caught:
        library.load_library(folder)
    return caught.value.problems


# -- reading ---------------------------------------------------------------------------------------


def test_a_library_is_read_key_by_key():
    read = library.load_library(HOME)
    assert (read.library_id, read.name, read.version) == ("home", "Home infusion", 3)
    assert list(read.care_areas.items()) == [
        ("home", "At home"),
        ("palliative", "Palliative care"),
        ("pca-home", "PCA at home"),
    ]
    assert [drug.drug_id for drug in read.drugs] == ["heparin", "morphine", "tpn", "vancomycin"]
    morphine = read.drug("morphine")
    assert (morphine.name, morphine.group, morphine.source) == (
        "Morphine",
        "opioid",
        "test fixture",
    )
    (use,) = morphine.uses
    assert use is morphine.use_in("pca-home") is morphine.use_in("palliative")
    assert morphine.use_in("home") is None
    assert [(one.per_ml, one.amount) for one in use.concentrations] == [
        (1_000_000, MASS),
        (5_000_000, MASS),
    ]
    assert (use.programs, use.dosing_text) == (("pca", "continuous"), "mg/h")
    assert use.dosing == LimitUnit(MASS, per_time="h")
    assert (use.kvo, use.air_ul, use.occlusion_kpa, use.line) == ("off", 200, 60, 8)


def test_every_figure_of_a_limit_is_exact_and_has_its_place_and_source():
    use = library.load_library(HOME).drug("morphine").uses[0]
    assert {
        limit.kind: [(level.name, level.value) for level in limit.levels] for limit in use.limits
    } == {
        "rate": [
            ("lower_hard", 100_000),
            ("typical", 1_000_000),
            ("upper_soft", 2_000_000),
            ("upper_hard", 5_000_000),
        ],
        "bolus": [("upper_hard", 2_000_000)],
        "demand": [("typical", 1_000_000), ("upper_soft", 2_000_000), ("upper_hard", 3_000_000)],
        "loading": [("upper_soft", 2_000_000), ("upper_hard", 4_000_000)],
        "lockout": [("lower_hard", 300), ("typical", 360)],
        "window_1h": [("upper_hard", 10_000_000)],
        "window_4h": [("upper_hard", 30_000_000)],
        "daily": [("upper_hard", 120_000_000)],
    }
    rate = use.limit("rate")
    assert rate.unit == LimitUnit(MASS, per_time="h")
    assert rate.source == "test fixture, rate"
    assert use.limit("bolus").source == "test fixture"
    assert rate.level("upper_hard").text == "5 mg/h"
    assert rate.level("lower_soft") is None
    assert (rate.line, rate.level("typical").line, use.limit("lockout").line) == (13, 13, 17)


def test_a_limit_in_a_section_of_its_own_knows_its_lines():
    first, second = library.load_library(HOME).drug("tpn").uses
    rate = first.limit("rate")
    assert (first.line, rate.line, rate.level("upper_hard").line) == (8, 13, 16)
    assert rate.unit == LimitUnit(VOLUME, per_time="h")
    assert second.line == 23
    assert second.limit("rate").unit == LimitUnit(VOLUME, per_kg=True, per_time="h")
    assert first.concentrations == ()


def test_kvo_is_by_the_rule_off_or_limited():
    read = library.load_library(HOME)
    assert read.drug("vancomycin").uses[0].kvo == read.drug("tpn").uses[0].kvo == "rule"
    heparin = read.drug("heparin").uses[0]
    assert heparin.kvo == "limit"
    assert heparin.limit("kvo").level("upper_hard").value == 200_000
    assert heparin.limit("kvo").unit == LimitUnit(UNITS, per_time="h")
    assert (heparin.air_ul, heparin.occlusion_kpa) == (None, None)


def test_programs_are_those_of_the_core():
    assert {
        name.lower(): getattr(program, name)
        for name in ("CONTINUOUS", "INTERMITTENT", "RAMP", "STEPPED", "PCA")
    } == library.PROGRAMS


def test_documents_and_hidden_files_are_no_drugs(home):
    (home / "drugs/README.md").write_text("of these drugs")
    (home / "drugs/.hidden").write_text("")
    assert len(library.load_library(home).drugs) == 4


def test_the_documents_example_is_a_library(tmp_path):
    text = (REPO / "docs/library.md").read_text(encoding="utf-8")
    files = re.findall(r"```toml (\S+)\n(.*?)```", text, re.DOTALL)
    for name, content in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content, encoding="utf-8")
    read = library.load_library(tmp_path)
    assert [drug.drug_id for drug in read.drugs] == ["morphine", "vancomycin"]
    assert [list(library.advice(drug)) for drug in read.drugs] == [[], []]
    dose = read.drug("vancomycin").uses[0].limit("dose")
    assert dose.level("upper_hard").value == 35_000_000


# -- figures ---------------------------------------------------------------------------------------

# unit -> what amount it is, and how many of the base.
AMOUNTS = {
    "mL": (VOLUME, 1_000),
    "µL": (VOLUME, 1),
    "ng": (MASS, 1),
    "mcg": (MASS, 1_000),
    "µg": (MASS, 1_000),
    "mg": (MASS, 1_000_000),
    "g": (MASS, 1_000_000_000),
    "units": (UNITS, 1_000),
    "milliunits": (UNITS, 1),
}
_UNIT_CODES = {VOLUME: 0, MASS: 1, UNITS: 2}
_TIME_CODES = {"": 0, "min": 8, "h": 16, "day": 24}


@given(
    st.sampled_from(sorted(AMOUNTS)),
    st.booleans(),
    st.sampled_from(["", "min", "h", "day"]),
    st.integers(1, 0xFFFFFFFF),
    st.integers(0, 4),
)
def test_a_figure_is_exact_in_the_base_of_its_unit(name, per_kg, per_time, count, decimals):
    amount, times = AMOUNTS[name]
    written = Fraction(count, 10**decimals)
    divisor = ("/kg" if per_kg else "") + (f"/{per_time}" if per_time else "")
    wanted = RATE if per_time else AMOUNT
    value, unit = read_figure(f"{exact_text(written)} {name}{divisor}", wanted)
    assert value == written * times
    assert unit == LimitUnit(amount, per_kg, per_time)
    code = _UNIT_CODES[amount] + (4 if per_kg else 0) + _TIME_CODES[per_time]
    assert unit.code == code
    assert LimitUnit.of_code(code) == unit
    assert read_figure(figure_text(value, unit), wanted) == (value, unit)


@given(st.integers(1, 0xFFFFFFFF), st.integers(-12, 12))
def test_a_value_is_a_mantissa_and_a_power_of_ten_in_one_way(mantissa, exponent):
    value = mantissa * Fraction(10) ** exponent
    parts = decimal_parts(value)
    if parts is None:
        # Noughts went from the mantissa into an exponent that was at its end.
        assert mantissa % 10 == 0
        assert exponent + len(str(mantissa)) > 12
        return
    assert parts[0] * Fraction(10) ** parts[1] == value
    assert parts[0] % 10
    assert parts[0] <= 0xFFFFFFFF
    assert -12 <= parts[1] <= 12


@pytest.mark.parametrize(
    "value",
    [Fraction(0), Fraction(-1), Fraction(1, 3), Fraction(2**32), Fraction(1, 10**13), 10**13],
)
def test_what_a_pump_cannot_hold_is_no_mantissa_and_power_of_ten(value):
    assert decimal_parts(Fraction(value)) is None


def test_the_greatest_that_a_pump_holds():
    assert decimal_parts(Fraction(2**32 - 1)) == (2**32 - 1, 0)
    assert decimal_parts(Fraction(10**12)) == (1, 12)
    assert decimal_parts(Fraction(1, 10**12)) == (1, -12)


@pytest.mark.parametrize(
    ("text", "per_ml", "amount", "again"),
    [
        ("5 mg/mL", 5_000_000, MASS, "5 mg/mL"),
        ("1 g in 200 mL", 5_000_000, MASS, "5 mg/mL"),
        ("10 %", 100_000_000, MASS, "100 mg/mL"),
        ("50 mcg/mL", 50_000, MASS, "50 mcg/mL"),
        ("100 units/mL", 100_000, UNITS, "100 units/mL"),
        ("10 milliunits/mL", 10, UNITS, "10 milliunits/mL"),
    ],
)
def test_a_concentration_is_exact(text, per_ml, amount, again):
    read = read_concentration(text)
    assert (read.per_ml, read.amount) == (per_ml, amount)
    assert concentration_text(read.per_ml, read.amount) == again


def test_a_rate_by_the_second_is_none_of_a_library():
    with pytest.raises(QuantityError, match="by min, h or day"):
        read_figure("1 mg/s", RATE)


def test_times_are_in_seconds():
    assert {"min": Fraction(1, 60), "h": 1, "day": 24} == HOURS
    assert figure_text(Fraction(3660), LimitUnit(TIME)) == "01:01"


# -- mistakes --------------------------------------------------------------------------------------

RATE_LINE = 'rate = { upper_hard = "10 mg/min" }'

# Each: what is wrong, file, what stands there, what instead, the key that is told, parts of what is
# told. The line is that of the edit unless it is given after the key.
MISTAKES = [
    # words
    ("unknown key", MORPHINE, "dosing =", "dosin =", "[use 1] dosin", ["Did you mean dosing?"]),
    ("key of elsewhere", MORPHINE, "kvo =", 'group = "x"\nkvo =', "[use 1] group",
     ["belongs under [drug]"]),
    ("unknown level", VANCOMYCIN, RATE_LINE, 'rate = { max = "10 mg/min" }', "[use 1.rate] max",
     ["no such key", "lower_hard"]),
    ("level outside of a limit", MORPHINE, "kvo =", 'typical = "1 mg"\nkvo =',
     "[use 1] typical", ["belongs to a limit"]),
    ("unknown section", MORPHINE, "[[use]]", "[[uses]]", "[uses]", ["Did you mean [[use]]?"]),
    ("key outside of sections", MORPHINE, "[drug]", "x = 1\n[drug]", "x",
     ["outside of any section"]),
    ("unknown unit", MORPHINE, '"5 mg/h"', '"5 mgg/h"', "[use 1.rate] upper_hard",
     ['unit "mgg/h" is not known']),
    ("unit nobody prescribes in", MORPHINE, '"5 mg/h"', '"5 Mg/h"', "[use 1.rate] upper_hard",
     ["megagram"]),
    ("U for units", HEPARIN, '"100 units/kg"', '"100 U/kg"', "[use 1.bolus] upper_hard",
     ['Write "units" in full']),
    ("unknown care area", MORPHINE, '"palliative"', '"paliative"', "[use 1] care_areas",
     ['no care area "paliative"', 'Did you mean "palliative"?']),
    ("unknown program", TPN, '"stepped"', '"steped"', "[use 1] programs",
     ['no program "steped"', 'Did you mean "stepped"?']),
    ("purge is no program of a library", TPN, '"stepped"', '"purge"', "[use 1] programs",
     ['no program "purge"']),
    ("unknown KVO", MORPHINE, '"off"', '"none"', "[use 1] kvo", ['"none" is no KVO']),
    ("program twice", TPN, '"stepped"', '"ramp"', "[use 1] programs", ["2 times"]),
    ("care area twice in a use", MORPHINE, '"palliative"', '"pca-home"', "[use 1] care_areas",
     ["2 times"]),
    ("care areas empty", HEPARIN, '["home"]', "[]", "[use 1] care_areas", ["list is empty"]),
    # names and ids
    ("id is not the file's name", MORPHINE, '"morphine"', '"morphin"', "[drug] id",
     ['the id is "morphin"', "morphine.toml", "Call the file morphin.toml"]),
    ("id that is none", MORPHINE, '"morphine"', '"Morphine HCl"', "[drug] id",
     ["cannot be an id", "small letters"]),
    ("id too long", MORPHINE, '"morphine"', f'"{"m" * 25}"', "[drug] id",
     ["cannot be an id", "24"]),
    ("name too long", MORPHINE, '"Morphine"', f'"{"µ" * 17}"', "[drug] name",
     ["34 bytes", "32 that a pump keeps"]),
("name of two lines", MORPHINE, '"Morphine"', '"Mor\\nphine"', "[drug] name",
     ["cannot be shown on one line"]),
        ("name missing", MORPHINE, 'name = "Morphine"\n', "", ("[drug] name", 2), ["missing"]),
    ("source missing", MORPHINE, 'source = "test fixture"\n', "", ("[drug] source", 2),
     ["missing"]),
    ("source empty", MORPHINE, '"test fixture, rate"', '" "', "[use 1.rate] source", ["empty"]),
    ("name of another drug", MORPHINE, '"Morphine"', '"HEPARIN"', "[drug] name",
     ["heparin.toml has the name"]),
    # what is missing
    ("dosing missing", MORPHINE, 'dosing = "mg/h"\n', "", ("[use 1] dosing", 8), ["missing"]),
    ("programs missing", HEPARIN, 'programs = ["continuous"]\n', "", ("[use 1] programs", 8),
     ["missing"]),
    ("version missing", LIBRARY, "version = 3\n", "", ("[library] version", 2),
     ["missing", "version = 1"]),
    ("version nought", LIBRARY, "version = 3", "version = 0", "[library] version",
     ["0 is outside"]),
    ("version too great", LIBRARY, "version = 3", "version = 4294967296", "[library] version",
     ["outside of 1 to 4294967295"]),
    ("version a text", LIBRARY, "version = 3", 'version = "3"', "[library] version",
     ["a text, not a whole number"]),
    ("care area's id", LIBRARY, "palliative =", "Palliative =", "[care_areas] Palliative",
     ["cannot be an id"]),
    ("care area's name", LIBRARY, '"At home"', '""', "[care_areas] home", ["empty"]),
    # figures
    ("bare number", MORPHINE, '"5 mg/h"', "5", "[use 1.rate] upper_hard",
     ["5 is a bare number", "2 mg/h"]),
    ("no unit", MORPHINE, '"5 mg/h"', '"5"', "[use 1.rate] upper_hard", ["has no unit"]),
    ("comma", MORPHINE, '"0.1 mg/h"', '"0,1 mg/h"', "[use 1.rate] lower_hard",
     ["a comma in its number"]),
    ("rate without a time", MORPHINE, '"5 mg/h"', '"5 mg"', "[use 1.rate] upper_hard",
     ['"5 mg" is not a rate but a mass']),
    ("dose by time", VANCOMYCIN, '"35 mg/kg"', '"35 mg/kg/h"', "[use 1.dose] upper_hard",
     ["is not an amount but a dose rate by body weight"]),
    ("a day's limit by the day", MORPHINE, '"120 mg"', '"120 mg/day"', "[use 1.daily] upper_hard",
     ["is not an amount but a dose rate"]),
    ("lockout that is no time", MORPHINE, '"5 min"', '"5 mg"', "[use 1.lockout] lower_hard",
     ["is not a time but a mass"]),
    ("duration by body weight", VANCOMYCIN, '"60 min"', '"1 min/kg"',
     "[use 1.duration] lower_hard", ["is not a time"]),
    ("KVO by body weight", HEPARIN, '"200 units/h"', '"2 units/kg/h"', "[use 1.kvo]",
     ["not by body weight"]),
    ("rate by the second", VANCOMYCIN, '"10 mg/min"', '"10 mg/s"', "[use 1.rate] upper_hard",
     ["by the second"]),
    ("nought", MORPHINE, '"0.1 mg/h"', '"0 mg/h"', "[use 1.rate] lower_hard", ["not above zero"]),
    ("below nought", MORPHINE, '"0.1 mg/h"', '"-1 mg/h"', "[use 1.rate] lower_hard",
     ["not above zero"]),
    ("too many digits", MORPHINE, '"0.1 mg/h"', '"0.12345678901 mg/h"', "[use 1.rate] lower_hard",
     ["cannot be held exactly"]),
    ("dosing with a figure", MORPHINE, '"mg/h"', '"1 mg/h"', "[use 1] dosing",
     ["a figure, not a unit"]),
    ("dosing that is no rate", MORPHINE, '"mg/h"', '"mg"', "[use 1] dosing",
     ['"mg" is not a rate but a mass']),
    ("air beyond what is sensible", MORPHINE, "air_ul = 200", "air_ul = 5", "[use 1] air_ul",
     ["outside of 10 to 1000"]),
    ("occlusion with a unit", MORPHINE, "occlusion_kpa = 60", 'occlusion_kpa = "60 kPa"',
     "[use 1] occlusion_kpa", ["a text, not a whole number"]),
    ("limit without a level", VANCOMYCIN, RATE_LINE, "rate = {}", "[use 1.rate]",
     ["limits nothing"]),
    ("limit that is no table", VANCOMYCIN, RATE_LINE, 'rate = "10 mg/min"', "[use 1] rate",
     ["a text, not a table"]),
    # concentrations
    ("concentration that is none", HEPARIN, '"100 units/mL"', '"100 units"',
     "[use 1] concentrations", ["is not a concentration"]),
    ("concentration of the wrong kind", HEPARIN, '"100 units/mL"', '"1 mg/mL"',
     ("[use 1] rate", 13), ["is in units, and the concentrations are in mass"]),
    ("concentrations of both kinds", MORPHINE, '"5 mg/mL"', '"5 units/mL"',
     "[use 1] concentrations", ["some are by mass and some in units"]),
    ("no concentration", VANCOMYCIN, 'concentrations = ["5 mg/mL"]\n', "", ("[use 1] rate", 12),
     ['"10 mg/min" takes a concentration', "there is none"]),
    ("dosing without a concentration", TPN, '"mL/h"', '"mg/h"', "[use 1] dosing",
     ['"mg/h" takes a concentration']),
    ("concentration twice", MORPHINE, '"5 mg/mL"', '"0.1 %"', "[use 1] concentrations",
     ['"0.1 %" is the same as "1 mg/mL"']),
    ("too many concentrations", HEPARIN, '"100 units/mL"',
     ", ".join(f'"{n} units/mL"' for n in range(1, 10)), "[use 1] concentrations",
     ["9 concentrations are more than the 8"]),
    ("concentration without end", HEPARIN, '"100 units/mL"', '"100 units in 3 mL"',
     "[use 1] concentrations", ["cannot be held exactly"]),
    # sense
    ("soft beyond hard", MORPHINE, 'upper_soft = "2 mg/h"', 'upper_soft = "6 mg/h"',
     "[use 1.rate] upper_hard", ["levels have to ascend", '"6 mg/h" of upper_soft is above']),
    ("lower above upper", VANCOMYCIN, RATE_LINE,
     'rate = { lower_hard = "11 mg/min", upper_hard = "10 mg/min" }', "[use 1.rate] upper_hard",
     ["nothing can be within", '"11 mg/min" of lower_hard']),
    ("typical outside of soft", MORPHINE, 'typical = "1 mg/h"', 'typical = "3 mg/h"',
     "[use 1.rate] upper_soft", ["typical is outside of its limits"]),
    ("levels by different times", MORPHINE, '"5 mg/h"', '"1 mg/min"', "[use 1.rate] upper_hard",
     ['not by the same as "0.1 mg/h" of lower_hard']),
    ("levels by weight and not", MORPHINE, '"5 mg/h"', '"5 mg/kg/h"', "[use 1.rate] upper_hard",
     ["not by the same"]),
    ("levels by volume and mass", MORPHINE, '"5 mg/h"', '"5 mL/h"', "[use 1.rate] upper_hard",
     ["not by the same"]),
    ("PCA without a lockout", MORPHINE, 'lockout = { lower_hard = "5 min", typical = "6 min" }\n',
     "", ("[use 1] lockout", 8), ["a PCA takes a limit of lockout"]),
    ("PCA without a demand", MORPHINE,
     'demand = { typical = "1 mg", upper_soft = "2 mg", upper_hard = "3 mg" }\n', "",
     ("[use 1] demand", 8), ["a PCA takes a limit of demand"]),
    ("lockout without a PCA", HEPARIN, "kvo =", 'lockout = { lower_hard = "5 min" }\nkvo =',
     "[use 1] lockout", ['of the program "pca"']),
    ("1 h above 4 h", MORPHINE, '"10 mg"', '"31 mg"', "[use 1.window_1h] upper_hard",
     ['"31 mg" within 1 h is above "30 mg" within 4 h']),
    ("4 h above a day", MORPHINE, '"30 mg"', '"121 mg"', "[use 1.window_4h] upper_hard",
     ["within 24 h"]),
    ("demand above 1 h", MORPHINE, 'upper_hard = "3 mg"', 'upper_hard = "11 mg"',
     "[use 1.demand] upper_hard", ["within a demand is above"]),
    ("lower limit of a window", MORPHINE, 'window_1h = {', 'window_1h = { lower_soft = "1 mg",',
     "[use 1.window_1h] lower_soft", ["least amount within 1 h"]),
    ("care area in two uses", TPN, '["palliative"]', '["home"]', "[use 2] care_areas",
     ['[use 1] is for the care area "home" too']),
    ("not TOML", MORPHINE, "kvo = ", "kvo ", "", ["this is not TOML", "Mend that line"]),
    ("key twice", MORPHINE, "kvo = ", 'dosing = "mg/h"\nkvo = ', "", ["this is not TOML"]),
    ("use that is no list", HEPARIN, "[[use]]", "[use]", "[use]", ["no list of tables"]),
    ("drug that is no section", HEPARIN, "[[use]]", "[[drug]]", "", ["this is not TOML"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("file", "old", "new", "where", "parts"),
    [mistake[1:] for mistake in MISTAKES],
    ids=[mistake[0] for mistake in MISTAKES],
)
def test_a_mistake_is_told_with_file_line_key_and_remedy(home, file, old, new, where, parts):
    line = edit(home, file, old, new)
    key, line = where if isinstance(where, tuple) else (where, line)
    told = [found for found in problems_of(home) if found.key == key]
    problem = next(found for found in told if all(part in str(found) for part in parts))
    assert problem.file == str(home / file)
    if problem.key:
        assert problem.line == line
    assert problem.remedy
    assert problem.where.startswith(str(home / file))


def test_there_are_mistakes_enough_and_each_is_another():
    assert len(MISTAKES) >= 25
    assert len({mistake[0] for mistake in MISTAKES}) == len(MISTAKES)
    assert library.load_library(HOME).drugs  # and without one of them nothing is wrong


def test_the_line_of_what_is_not_toml_is_told(home):
    line = edit(home, MORPHINE, "kvo = ", "kvo ")
    (problem,) = problems_of(home)
    assert problem.line == line


def test_two_drugs_of_one_id_are_told(home):
    shutil.copy(home / MORPHINE, home / "drugs/morphium.toml")
    told = problems_of(home)
    assert [(Path(one.file).name, one.key, one.line) for one in told] == [
        ("morphium.toml", "[drug] id", 3),
        ("morphium.toml", "[drug] id", 3),
        ("morphium.toml", "[drug] name", 4),
    ]
    assert "the file is called morphium.toml" in told[0].what
    assert "morphine.toml has the id" in told[1].what


def test_a_file_that_is_not_utf_8_is_told(home):
    (home / MORPHINE).write_bytes(b"\xff\xfe")
    (problem,) = problems_of(home)
    assert problem.file.endswith("morphine.toml")
    assert (problem.what, problem.remedy) == (
        "this is not a text file",
        "A drug file is a TOML file in UTF-8",
    )


@pytest.mark.parametrize(("file", "thing"), [(MORPHINE, "drug file"), (LIBRARY, "library.toml")])
def test_an_empty_file_is_told(home, file, thing):
    (home / file).write_text("\n")
    problem = next(found for found in problems_of(home) if found.file == str(home / file))
    assert problem.what == f"the {thing} is empty"


def test_a_file_that_is_no_drug_is_told(home):
    (home / MORPHINE).rename(home / "drugs/morphine.tml")
    (problem,) = problems_of(home)
    assert (problem.file, problem.what) == (
        str(home / "drugs/morphine.tml"),
        "this is no drug file",
    )


def test_a_folder_that_is_none_is_told(tmp_path):
    (problem,) = problems_of(tmp_path / "nowhere")
    assert problem.what == "there is no such folder"


def test_missing_parts_of_a_library_are_told_together(tmp_path):
    told = {Path(one.file).name: one.what for one in problems_of(tmp_path)}
    assert told["drugs"] == "there is no such folder"
    assert told["library.toml"].startswith("cannot read the library.toml")


def test_a_library_without_drugs_is_told(home):
    for path in (home / "drugs").iterdir():
        path.unlink()
    (problem,) = problems_of(home)
    assert problem.what == "there is no drug"


def test_more_drugs_than_a_pump_holds_are_told(home):
    text = (home / TPN).read_text()
    for path in (home / "drugs").iterdir():
        path.unlink()
    for number in range(256):
        (home / f"drugs/d{number}.toml").write_text(
            text.replace('"tpn"', f'"d{number}"').replace('"TPN"', f'"D {number}"')
        )
    (problem,) = problems_of(home)
    assert problem.what == "256 drugs are more than the 255 of a library"
    (home / "drugs/d255.toml").unlink()
    assert len(library.load_library(home).drugs) == 255


def test_more_care_areas_than_a_pump_holds_are_told(home):
    edit(home, LIBRARY, "pca-home =", "".join(f'a{n} = "A{n}"\n' for n in range(6)) + "pca-home =")
    (problem,) = problems_of(home)
    assert problem.what == "9 care areas are more than the 8 of a library"


def test_uses_of_a_drug_are_all_by_mass_or_all_in_units(home):
    edit(home, TPN, 'dosing = "mL/h"', 'concentrations = ["1 mg/mL"]\ndosing = "mL/h"')
    edit(home, TPN, 'dosing = "mL/kg/h"', 'concentrations = ["1 units/mL"]\ndosing = "mL/kg/h"')
    (problem,) = problems_of(home)
    assert problem.what == "one use has its concentrations in units and another by mass"


def test_all_that_is_wrong_is_told_at_once_by_file_and_line(home):
    edit(home, LIBRARY, "version = 3\n", "")
    edit(home, HEPARIN, '"100 units/kg"', '"100 mg"')
    edit(home, MORPHINE, '"5 mg/h"', '"5 mg"')
    edit(home, MORPHINE, "dosing =", "dosin =")
    with pytest.raises(library.LibraryError) as caught:
        library.load_library(home)
    error = caught.value
    places = [(Path(one.file).name, one.line) for one in error.problems]
    assert places == [
        ("library.toml", 2),
        ("heparin.toml", 14),
        ("morphine.toml", 8),
        ("morphine.toml", 12),
        ("morphine.toml", 13),
    ]
    assert isinstance(error, MicropumpError)
    assert error.exit_code == EXIT_REFUSED
    assert str(error).startswith(f"{home}: 5 things are wrong with this library\n  - {home}")


def test_one_problem_says_file_line_key_value_and_remedy(home):
    edit(home, MORPHINE, '"5 mg/h"', '"5 mg"')
    with pytest.raises(library.LibraryError) as caught:
        library.load_library(home)
    assert str(caught.value) == (
        f'{home / MORPHINE}, line 13, [use 1.rate] upper_hard: "5 mg" is not a rate but a mass. '
        'Write a rate with its unit, like "2 mg/h"'
    )


def test_levels_may_be_equal(home):
    edit(home, MORPHINE, 'upper_soft = "2 mg/h"', 'upper_soft = "1 mg/h"')
    rate = library.load_library(home).drug("morphine").uses[0].limit("rate")
    assert rate.level("typical").value == rate.level("upper_soft").value


def test_as_much_in_a_shorter_time_is_allowed(home):
    edit(home, MORPHINE, '"10 mg"', '"30 mg"')
    use = library.load_library(home).drug("morphine").uses[0]
    upper = [use.limit(kind).level("upper_hard").value for kind in ("window_1h", "window_4h")]
    assert upper[0] == upper[1]


def test_containment_is_judged_in_one_unit_alone(home):
    edit(
        home,
        MORPHINE,
        'window_1h = { upper_hard = "10 mg" }',
        'window_1h = { upper_hard = "1 mg/kg" }',
    )
    assert library.load_library(home).drug("morphine")


@pytest.mark.parametrize(
    ("file", "old", "new", "what"),
    [
        (VANCOMYCIN, ', upper_hard = "35 mg/kg"', "", "no dose is refused"),
        (HEPARIN, ', upper_hard = "40 units/kg/h"', "", "no rate is refused"),
        (MORPHINE, 'window_1h = { upper_hard = "10 mg" }\n', "", "a PCA has no limit in 1 h"),
    ],
)
def test_what_a_reviewer_should_see_is_a_remark(home, file, old, new, what):
    assert not [one for drug in library.load_library(home).drugs for one in library.advice(drug)]
    edit(home, file, old, new)
    told = [one for drug in library.load_library(home).drugs for one in library.advice(drug)]
    assert [(one.what, one.line, one.file) for one in told] == [(what, 8, str(home / file))]


# -- lines -----------------------------------------------------------------------------------------


def test_lines_of_sections_within_entries_and_of_dotted_keys():
    text = "[[use]]\na = 1\n[use.rate]\nb = 2\n[[use]]\nrate.b = 3\n[use.dose]\nb = 4\n"
    lines = lines_of(text)
    assert line_of(lines, "[use 1.rate] b") == 4
    assert line_of(lines, "[use 2.rate] b") == 6
    assert line_of(lines, "[use 2.dose] b") == 8
    assert line_of(lines, "[use 2.dose]") == 7
    assert line_of(lines, "[use 1.rate] missing") == 3
    assert line_of(lines, "[use 1.dose] b") == 1
    assert line_of(lines, "[use 3] a") == 0
    assert line_of({"use": 5}, "[use 1] a") == 5


# -- the canonical form ----------------------------------------------------------------------------


def test_the_same_said_otherwise_has_the_same_hash(home):
    before = library.source_sha256(library.load_library(home))
    edit(home, VANCOMYCIN, '"4 g"', '"4000 mg"')
    edit(home, VANCOMYCIN, "[drug]", "# a remark\n[drug]")
    edit(home, MORPHINE, 'kvo = "off"', 'kvo = "off"\nnote = "to be reviewed"')
    assert library.source_sha256(library.load_library(home)) == before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        (VANCOMYCIN, '"4 g"', '"4.000001 g"'),
        (VANCOMYCIN, "upper_soft = \"3 g\"", "typical = \"3 g\""),
        (MORPHINE, '"test fixture, rate"', '"another"'),
        (MORPHINE, "air_ul = 200", "air_ul = 201"),
        (MORPHINE, "occlusion_kpa = 60", "occlusion_kpa = 61"),
        (MORPHINE, '"off"', '"rule"'),
        (MORPHINE, '"Morphine"', '"Morphium"'),
        (MORPHINE, '"opioid"', '"opioids"'),
        (MORPHINE, '["pca", "continuous"]', '["pca"]'),
        (MORPHINE, '"5 mg/mL"', '"4 mg/mL"'),
        (MORPHINE, '["pca-home", "palliative"]', '["pca-home"]'),
        (MORPHINE, 'dosing = "mg/h"', 'dosing = "mcg/h"'),
        (LIBRARY, "version = 3", "version = 4"),
        (LIBRARY, '"At home"', '"In the home"'),
    ],
)  # fmt: skip
def test_whatever_is_said_otherwise_has_another_hash(home, file, old, new):
    before = library.source_sha256(library.load_library(home))
    edit(home, file, old, new)
    assert library.source_sha256(library.load_library(home)) != before


def test_the_folder_plays_no_part_in_the_hash(home):
    read = library.load_library(home)
    assert library.source_sha256(read) == library.source_sha256(library.load_library(HOME))
    assert library.source_sha256(replace(read, version=9)) != library.source_sha256(read)


# -- whatever is written ---------------------------------------------------------------------------

ODD_VALUES = (
    *('""', '" "', '"x"', '"1 mg/mL"', '"\\u0000"', "-1", "1.5", "nan", "true", "1979-05-27"),
    *("[]", "[[]]", '[""]', '["x", 1]', "[{}]", "{}", "{ typical = {} }", '{ typical = "1 h" }'),
    "{ source = 1 }",
)


@pytest.mark.parametrize("file", [LIBRARY, MORPHINE, TPN])
@pytest.mark.parametrize("value", ODD_VALUES)
def test_whatever_a_key_says_is_read_or_told(home, file, value):
    lines = (home / file).read_text(encoding="utf-8").splitlines()
    for at, line in enumerate(lines):
        key, equals, _ = line.partition(" = ")
        if not equals:
            continue
        changed = [*lines[:at], f"{key} = {value}", *lines[at + 1 :]]
        (home / file).write_text("\n".join(changed), encoding="utf-8")
        try:
            library.load_library(home)
        except library.LibraryError as error:
            told = [problem for problem in error.problems if problem.file == str(home / file)]
            assert told
            assert all(problem.what and problem.remedy for problem in told)


@given(st.text(alphabet='[]{}="\n.,# ausemorphinedg1/\\', max_size=80))
def test_whatever_a_file_says_is_told(tmp_path_factory, text):
    home = tmp_path_factory.getbasetemp() / "whatever"
    (home / "drugs").mkdir(parents=True, exist_ok=True)
    shutil.copy(HOME / LIBRARY, home)
    (home / "drugs/x.toml").write_text(text, encoding="utf-8")
    assert problems_of(home)
