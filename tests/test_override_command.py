"""Soft limits on the command line: asked about twice, overridden, on record and shown."""

import argparse
import functools
from pathlib import Path

import pytest
from served import MAX, REAL_TIME, Terminal, assert_explained, flat, served

from micropump import library as board
from micropump import prescription
from micropump_host.cli import override, run
from micropump_host.client import PumpRefusedError
from micropump_host.errors import EXIT_DONE, EXIT_REFUSED, EXIT_USAGE
from micropump_host.library import load_library
from micropump_host.library.image import build_image

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
MORPHINE = EXAMPLES / "orders" / "pca-morphine.toml"
NUTRITION = EXAMPLES / "orders" / "tpn-stepped.toml"
OF_NO_DRUG = EXAMPLES / "orders" / "demo-syringe.toml"
KEY = bytes(range(32))
REFUSED_ONCE = "command refused"
OVERRIDDEN = "soft limit overridden"
MORPHINE_BEYOND = (
    "the amount in 4 h, 40 mg (40 mL), is beyond the library's upper soft limit of 30 mg (30 mL)"
)

SALINE = """\
[order]
id = "saline"
asked_by = "ward [b]"

[drug]
id = "saline"
care_area = "ward"

[therapy]
program = "continuous"
rate = "{rate}"
vtbi = "20 mL"
kvo = "off"

[container]
syringe = "bd-plastipak-50"
content = "50 mL"
"""

SMALL = {
    "library.toml": """\
[library]
id = "small"
name = "Small"
version = 7
[care_areas]
ward = "Ward"
""",
    "drugs/saline.toml": """\
[drug]
id = "saline"
name = "Saline"
source = "test fixture"
[[use]]
care_areas = ["ward"]
programs = ["continuous"]
dosing = "mL/h"
rate = { upper_soft = "10 mL/h", upper_hard = "20 mL/h" }
bolus = { upper_soft = "2 mL", upper_hard = "4 mL" }
daily = { upper_soft = "30 mL" }
""",
    "drugs/heparin.toml": """\
[drug]
id = "heparin"
name = "Heparin"
source = "test fixture"
[[use]]
care_areas = ["ward"]
concentrations = ["100 units/mL"]
programs = ["continuous"]
dosing = "units/kg/h"
rate = { upper_soft = "18 units/kg/h", upper_hard = "20 units/kg/h" }
""",
}
HEPARIN = ("--drug", "heparin", "--care-area", "ward", "--concentration", "100 units/mL")


@functools.cache
def example_image():
    return build_image(load_library(EXAMPLES / "library"), KEY)


@pytest.fixture(scope="module")
def small_image(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    (folder / "drugs").mkdir()
    for name, text in SMALL.items():
        (folder / name).write_text(text, encoding="utf-8")
    return build_image(load_library(folder), KEY)


def equip(bench, image):
    with bench.pump() as pump:
        pump.provision(KEY)
        pump.install_library(image)
    return bench


@pytest.fixture
def example(capsys, monkeypatch):
    """A pump that stands still in time, with the example library; ``run`` does not follow."""
    monkeypatch.setattr(run, "follow", lambda pump: pump.status())
    with served(capsys, monkeypatch, REAL_TIME) as bench:
        yield equip(bench, example_image())


@pytest.fixture
def small(capsys, monkeypatch, small_image):
    """A pump with the small library; ``run`` does not follow."""
    monkeypatch.setattr(run, "follow", lambda pump: pump.status())
    with served(capsys, monkeypatch, REAL_TIME) as bench:
        yield equip(bench, small_image)


@pytest.fixture
def order(tmp_path):
    def write(rate="10 mL/h", text=SALINE):
        path = tmp_path / "order.toml"
        path.write_text(text.format(rate=rate), encoding="utf-8")
        return path

    return write


@pytest.fixture
def infusing(small, order):
    """Saline at 10 mL/h, within all limits."""
    small.run("run", order(), "--yes")
    assert small.status()["state"] == "infusing"
    return small


# -- run -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "typed", "is_started"),
    [
        ((), "y\ny\n", True),
        ((), "y\nn\n", False),
        ((), "y\n\n", False),
        ((), "n\n", False),
        (("--yes",), "y\n", True),
        (("--yes",), "n\n", False),
        (("--yes",), None, False),
        (("--override",), "y\n", True),
        (("--override",), "n\n", False),
        (("--yes", "--override"), None, True),
    ],
)
def test_morphine_beyond_a_soft_limit_takes_two_confirmations(example, words, typed, is_started):
    said = example.run("run", MORPHINE, *words, typed=typed)
    assert f"to override: {MORPHINE_BEYOND}" in flat(said.err)
    status = example.status()
    assert status["state"] == ("infusing" if is_started else "programmed")
    assert status["overrides"] == (["window_4h"] if is_started else [])
    overridden = ["window_4h, upper soft: 40,000 µL"] if is_started else []
    assert example.events(OVERRIDDEN) == overridden
    if not is_started:
        assert said.code == EXIT_REFUSED
        assert ("Not started." in said.err) is (typed is not None)


def test_the_second_question_says_what_is_beyond_which_limit(example):
    said = example.run("run", MORPHINE, typed="y\nn\n")
    questions = flat(said.err).partition("Start?")[2]
    assert f"T{MORPHINE_BEYOND[1:]}: override? [y/n]" in questions


def test_yes_alone_does_not_override_and_says_what_does(example):
    said = example.run("run", MORPHINE, "--yes", "--json")
    assert_explained(said, EXIT_REFUSED, MORPHINE_BEYOND, "add --override")
    assert said.json.keys() == {"error", "where", "remedy"}
    (refused,) = example.events(REFUSED_ONCE)
    assert refused.startswith("start: the amount in 4 h is beyond")


def test_the_pump_was_asked_before_anybody_overrode_it(example):
    example.run("run", MORPHINE, "--yes", "--override")
    events = example.run("log", "--json").json["events"]
    names = [event["name"] for event in events]
    assert names.index(REFUSED_ONCE) < names.index(OVERRIDDEN) < names.index("started")


def test_nutrition_beyond_a_soft_limit_takes_two_confirmations(capsys, monkeypatch):
    monkeypatch.setattr(run, "follow", lambda pump: pump.status())
    with served(capsys, monkeypatch, REAL_TIME, kind="peristaltic") as bench:
        equip(bench, example_image())
        said = bench.run("run", NUTRITION, "--json", typed="y\ny\n")
        beyond = "the rate, 210.526 mL/h, is beyond the library's upper soft limit of 200 mL/h"
        assert f"to override: {beyond}" in flat(said.err)
        assert said.json["accepted"]["library"] == "in the library"
        (finding,) = said.json["accepted"]["findings"]
        assert (finding["kind"], finding["value"], finding["bound"]) == ("rate", 210_526, 200_000)
        assert said.json["status"]["overrides"] == ["rate"]
        overridden = [each["text"] for each in said.json["events"] if each["name"] == OVERRIDDEN]
        assert overridden == ["rate, upper soft: 210,526 µL/h"]


def test_an_override_is_shown_to_the_end(capsys, monkeypatch, small_image, order):
    with served(capsys, monkeypatch, MAX) as bench:
        equip(bench, small_image)
        path = order("11 mL/h", SALINE.replace("20 mL", "1 mL"))
        said = bench.run("run", path, "--yes", "--override", "--json")
        assert said.code == EXIT_DONE, said.err
        assert said.json["status"]["state"] == "completed"
        assert said.json["status"]["overrides"] == ["rate"]


def test_a_hard_limit_is_not_overridden(small, order):
    said = small.run("run", order("21 mL/h"), "--yes", "--override")
    assert_explained(said, EXIT_REFUSED, "hard limit: 21,000 µL/h, at most 20,000 µL/h")
    assert small.status()["state"] == "idle"


def test_all_that_is_beyond_a_limit_is_in_the_question(small, order):
    said = small.run("run", order("11 mL/h", SALINE.replace("20 mL", "40 mL")), typed="y\ny\n")
    assert "of 10 mL/h; the amount in 24 h, 40" in flat(said.err)
    assert small.status()["overrides"] == ["rate", "daily"]


def test_within_its_limits_nothing_is_asked_again(small, order):
    said = small.run("run", order(), typed="y\n")
    assert "override" not in said.err
    assert small.status()["state"] == "infusing"


def test_what_is_outside_the_library_is_confirmed_too(example):
    said = example.run("run", OF_NO_DRUG, "--yes")
    beyond = "the drug library has no limits for this (drug not in the library)"
    assert_explained(said, EXIT_REFUSED, beyond, "add --override")
    assert "outside the library: drug not in the library" in said.err
    example.run("run", OF_NO_DRUG, "--yes", "--override")
    assert example.status()["overrides"] == ["outside"]
    assert example.events(OVERRIDDEN) == ["drug not in the library"]
    shown = flat(example.run("status").out)
    assert "outside the library: drug not in the library" in shown
    assert "override │ the library" in shown


def test_without_a_library_that_is_shown_and_nothing_asked(capsys, monkeypatch):
    monkeypatch.setattr(run, "follow", lambda pump: pump.status())
    with served(capsys, monkeypatch, REAL_TIME) as bench:
        said = bench.run("run", MORPHINE, "--yes")
        assert "no library in use" in said.err
        assert "override" not in said.err
        assert bench.status()["library"] == "no library"
        assert "no library in use" in bench.run("status").out


def test_who_ponders_for_too_long_is_asked_again(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", Terminal("y\ny\n"))
    done = []

    def do(overrides):
        done.append(overrides)
        # The second comes too late.
        if len(done) < 3:
            raise PumpRefusedError("no", "pump", "", prescription.SOFT_LIMIT, "", asks=1)

    assert override.confirm_override(argparse.Namespace(override=False), do)
    assert done == [0, 1, 1]
    assert capsys.readouterr().err.count("override?") == 2


def test_what_is_refused_for_ever_is_not_asked_for_ever():
    done = []

    def do(overrides):
        done.append(overrides)
        raise PumpRefusedError("no", "pump", "", prescription.SOFT_LIMIT, "", asks=1)

    with pytest.raises(PumpRefusedError):
        override.confirm_override(argparse.Namespace(override=True), do)
    assert done == [0, 1, 1]


def test_what_else_is_asked_about_is_named():
    def do(overrides):
        asks = 1 << board.BOLUS | 1 << board.DAILY
        code = prescription.SOFT_LIMIT + board.BOLUS
        raise PumpRefusedError("the bolus is beyond", "pump", "", code, "", asks)

    with pytest.raises(PumpRefusedError) as refused:
        override.confirm_override(argparse.Namespace(override=False), do)
    assert refused.value.what == "the bolus is beyond; also beyond: amount in 24 h"
    assert "--override" in refused.value.remedy


# -- rate and bolus --------------------------------------------------------------------------------


CHANGES = {
    "rate": (
        ("rate", "11 mL/h"), "the rate is beyond the drug library's soft limit: 11,000 µL/h",
        ("rate", "21 mL/h"), "rate, upper soft: 11,000 µL/h", "Not changed.",
    ),
    "bolus": (
        ("bolus", "2.001 mL", "--rate", "60 mL/h", "--yes"),
        "the bolus is beyond the drug library's soft limit: 2,001 µL",
        ("bolus", "4.001 mL", "--rate", "60 mL/h", "--yes"), "bolus, upper soft: 2,001 µL",
        "Not given.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_beyond_a_soft_limit_is_asked_about(infusing, name):
    words, what, _, logged, not_done = CHANGES[name]
    said = infusing.run(*words)
    assert_explained(said, EXIT_REFUSED, what, "add --override")
    said = infusing.run(*words, typed="n\n")
    assert said.code == EXIT_REFUSED
    assert not_done in said.err
    assert infusing.events(OVERRIDDEN) == []
    said = infusing.run(*words, "--json", typed="y\n")
    assert said.code == EXIT_DONE, said.err
    assert said.json["overrides"] == [name]
    assert infusing.events(OVERRIDDEN) == [logged]


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_overridden_on_the_command_line(infusing, name):
    words, what, hard, _, _ = CHANGES[name]
    said = infusing.run(*hard, "--override")
    assert_explained(said, EXIT_REFUSED, "beyond the drug library's hard limit")
    said = infusing.run(*words, "--override")
    assert said.code == EXIT_DONE, said.err
    assert f"override: {what}" in flat(said.err)
    assert infusing.status()["overrides"] == [name]


@pytest.mark.parametrize("words", [("rate", "9 mL/h"), ("bolus", "2 mL", "--rate", "60 mL/h")])
def test_a_change_within_its_limits_is_not_asked_about(infusing, words):
    yes = ("--yes",) if words[0] == "bolus" else ()
    said = infusing.run(*words, *yes, "--json")
    assert said.code == EXIT_DONE, said.err
    assert said.json["overrides"] == []


def test_a_bolus_is_confirmed_before_its_override_is(infusing):
    words = ("bolus", "3 mL", "--rate", "60 mL/h")
    assert_explained(infusing.run(*words, "--override"), EXIT_USAGE, "--yes")
    said = infusing.run(*words, typed="y\ny\n")
    assert said.code == EXIT_DONE
    assert said.err.index("Give a bolus of") < said.err.index("override?")


# -- secondary and container -----------------------------------------------------------------------


# 18 units/kg/h of 100 units/mL for 50 kg are 9 mL/h.
SECONDARY = ("secondary", "5 mL", "--content", "6 mL", *HEPARIN, "--weight", "50 kg")


def test_a_secondary_within_the_limits_of_its_drug(infusing):
    said = infusing.run(*SECONDARY, "--rate", "9 mL/h", "--yes", "--json")
    assert said.code == EXIT_DONE, said.err
    assert said.json["accepted"]["library"] == "in the library"
    assert said.json["status"]["drug_id"] == "heparin"
    assert "heparin, library version 7, weight g 50,000" in infusing.events("drug")


def test_a_secondary_beyond_a_soft_limit_is_asked_about(infusing):
    words = (*SECONDARY, "--rate", "9.001 mL/h")
    beyond = (
        "the rate, 900.1 units/h (9.001 mL/h), is beyond the library's upper soft limit of"
        " 900 units/h (9 mL/h)"
    )
    said = infusing.run(*words, "--yes")
    assert_explained(said, EXIT_REFUSED, beyond, "add --override")
    said = infusing.run(*words, typed="y\nn\n")
    assert said.code == EXIT_REFUSED
    assert "the primary is as it was" in said.err
    assert infusing.status()["rate_ul_h"] == 10_000
    said = infusing.run(*words, "--json", typed="y\ny\n")
    assert said.code == EXIT_DONE, said.err
    assert said.json["status"]["overrides"] == ["rate"]
    assert f"to override: {beyond}" in flat(said.err)


def test_a_secondary_beyond_a_hard_limit_is_refused(infusing):
    said = infusing.run(*SECONDARY, "--rate", "10.001 mL/h", "--yes", "--override")
    assert_explained(said, EXIT_REFUSED, "beyond the drug library's hard limit: 10,001 µL/h")


def test_a_secondary_of_no_drug_is_outside_the_library(infusing):
    words = ("secondary", "5 mL", "--content", "6 mL", "--rate", "9 mL/h", "--yes")
    assert_explained(infusing.run(*words), EXIT_REFUSED, "drug not in the library")
    assert infusing.run(*words, "--override").code == EXIT_DONE


@pytest.mark.parametrize(
    ("option", "text", "what"),
    [
        ("--concentration", "5", "5"),
        ("--concentration", "1 g in 3 mL", "no decimal number that a pump can hold"),
        ("--weight", "70 mL", "70 mL"),
        ("--weight", "70.0005 kg", "no whole number of grams"),
    ],
)
def test_what_is_no_drug_is_wrong_usage(infusing, option, text, what):
    words = ("secondary", "5 mL", "--content", "6 mL", "--rate", "9 mL/h", "--yes")
    assert_explained(infusing.run(*words, option, text), EXIT_USAGE, what, option)


def test_a_container_of_the_same_drug_is_taken_and_another_ends_the_therapy(infusing):
    infusing.run("pause")
    assert infusing.run("container", "50 mL", "--drug", "saline").code == EXIT_DONE
    assert infusing.status()["state"] == "paused"
    said = infusing.run("container", "50 mL", "--drug", "heparin")
    assert_explained(said, EXIT_REFUSED, "another drug was under way: its infusion is stopped")
    assert infusing.status()["state"] == "stopped"
    assert infusing.events("drug changed") == ["heparin"]


# -- status and log --------------------------------------------------------------------------------


def test_status_shows_drug_library_and_overrides(infusing):
    rows = flat(infusing.run("status").out)
    assert "drug │ saline" in rows
    assert "library │ in the library" in rows
    assert "override" not in rows
    infusing.run("rate", "11 mL/h", "--override")
    infusing.run("bolus", "3 mL", "--rate", "60 mL/h", "--yes", "--override")
    assert "override │ rate, bolus" in flat(infusing.run("status").out)
    infusing.run("stop")
    assert "override │ rate, bolus" in flat(infusing.run("status").out)


def test_the_log_shows_who_asked_for_what(infusing):
    shown = infusing.run("log").out
    # What somebody wrote in brackets is no markup.
    for text in ("ward [b]", "saline, library version 7", "saline, rate µL/h 10,000"):
        assert text in shown
