"""``micropump order check``: an order held against a drug library, as the pump holds it."""

import dataclasses
import functools
import json
import shutil
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pumps import Bedside

from micropump import library as board
from micropump import mechanism, prescription, therapy
from micropump.link import Identity
from micropump_host import limits, orders
from micropump_host.cli import main
from micropump_host.client import LEVEL_NAMES, LIMIT_NAMES, PumpRefusedError, codec
from micropump_host.client import Finding as PumpFinding
from micropump_host.library import KINDS, LEVELS, load_library
from micropump_host.library.image import build_image
from micropump_host.limits import judge_order, open_library
from micropump_host.orders import OrderError, check_order, load_order, parse_order
from micropump_virtual.pump import VirtualPump

EXAMPLES = Path(__file__).parent.parent / "examples"
LIBRARY = EXAMPLES / "library"
ORDERS = sorted((EXAMPLES / "orders").glob("*.toml"))
KEY = bytes(range(32))

# What the library's README says trips; the purge is nobody's dose.
TO_CONFIRM = {"tpn-stepped", "pca-morphine", "pca-morphine-with-basal"}
# Orders of the bench, of no drug.
OF_NO_DRUG = {
    "antibiotic-over-a-day",
    "delayed-start",
    "demo-peristaltic",
    "demo-syringe",
    "fast-from-a-bag",
    "hours-and-minutes",
    "litres-a-day",
    "microlitres-a-minute",
    "own-keep-open-rate",
    "slow-from-a-large-syringe",
    "to-the-last-drop",
}

TO_CONFIRM_SAID = "TO BE CONFIRMED: beyond a soft limit; the pump asks for a second confirmation\n"
OUTSIDE_SAID = (
    "OUTSIDE THE LIBRARY: no drug limit was checked; the pump asks for a second confirmation\n"
)

MORPHINE = """\
[order]
id = "morphine"
asked_by = "ward 3"

[drug]
id = "morphine"
concentration = "1 mg/mL"
care_area = "pca-home"

[therapy]
program = "pca"
basal = "0.5 mg/h"
demand = "1 mg"
lockout = "8 min"
limits = [{ within = "1 h", most = "10 mg" }, { within = "4 h", most = "30 mg" }]

[container]
syringe = "bd-plastipak-50"
"""

HEPARIN = """\
[order]
id = "heparin"

[drug]
id = "heparin"
concentration = "100 units/mL"
care_area = "ward"

[therapy]
program = "continuous"
rate = "{rate}"
vtbi = "50 mL"
kvo = "off"

[container]
syringe = "bd-plastipak-50"
"""

SMALL = {
    "library.toml": """\
[library]
id = "small"
name = "Small"
version = 7
[care_areas]
ward = "Ward"
home = "Home"
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
rate = { lower_soft = "10 units/kg/h", typical = "18 units/kg/h", upper_hard = "20 units/kg/h" }
kvo = "off"
""",
    "drugs/saline.toml": """\
[drug]
id = "saline"
name = "Saline"
source = "test fixture"
[[use]]
care_areas = ["home"]
programs = ["continuous", "stepped", "intermittent"]
dosing = "mL/h"
rate = { upper_soft = "100 mL/h", upper_hard = "200 mL/h" }
daily = { upper_soft = "1 L", upper_hard = "3 L" }
duration = { lower_hard = "30 min" }
""",
    "drugs/dobutamine.toml": """\
[drug]
id = "dobutamine"
name = "Dobutamine"
source = "test fixture"
[[use]]
care_areas = ["ward"]
concentrations = ["2 mg/mL"]
programs = ["continuous"]
dosing = "mcg/kg/min"
rate = { upper_hard = "10 mcg/kg/min" }
[[use]]
care_areas = ["home"]
concentrations = ["2 mg/mL"]
programs = ["continuous"]
dosing = "mg/day"
rate = { upper_soft = "60 mg/day" }
""",
}


@pytest.fixture(scope="module")
def example():
    return open_library(LIBRARY)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    (folder / "drugs").mkdir()
    for name, text in SMALL.items():
        (folder / name).write_text(text, encoding="utf-8")
    return open_library(folder)


@pytest.fixture
def said(capsys, monkeypatch):
    """Run ``micropump order check``; its exit code, standard output and standard error."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words):
        try:
            code = main(["order", "check", *map(str, words)])
        except SystemExit as usage:
            code = usage.code
        return (code, *capsys.readouterr())

    return run


@pytest.fixture
def written(tmp_path):
    def write(text):
        path = tmp_path / "order.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def judged(text, opened, weight_kg=None):
    return judge_order(check_order(parse_order(text, "order.toml", weight_kg)), opened)


def morphine(**changed):
    """The order of morphine with other keys."""
    lines = []
    for line in MORPHINE.splitlines():
        key = line.partition(" =")[0]
        lines.append(f"{key} = {changed.pop(key)}" if key in changed else line)
    assert not changed
    return "\n".join(lines)


def saline(therapy):
    return (
        '[order]\nid = "saline"\n[drug]\nid = "saline"\ncare_area = "home"\n'
        f'[therapy]\nkvo = "off"\n{therapy}\n'
        '[container]\nhead = "kamoer-kphm400-b25"\ncontent = "5 L"\n'
    )


def heparin(rate):
    return HEPARIN.format(rate=rate)


# -- the examples ----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ORDERS, ids=lambda path: path.stem)
def test_an_example_order_is_what_the_library_says_of_it(path, example):
    judgement = judge_order(check_order(load_order(path)), example)
    status = limits.CONFIRM if path.stem in TO_CONFIRM else limits.WITHIN
    status = limits.OUTSIDE if path.stem in OF_NO_DRUG else status
    assert judgement.status == status, judgement


def test_the_example_orders_that_are_told_of_here_are_there():
    assert {path.stem for path in ORDERS} >= TO_CONFIRM | OF_NO_DRUG


def test_nutrition_in_steps_is_faster_than_its_soft_limit(said):
    code, out, _ = said(EXAMPLES / "orders/tpn-stepped.toml", "--library", LIBRARY)
    assert code == 0
    assert "4F: 4 × 2000 mL / (4 × 12 h - 10 h) = 4000/19 mL/h, rounded to 210.526 mL/h" in out
    assert (
        "[therapy] profile: the upper soft limit of the rate is 200 mL/h: "
        "this order runs 210.526 mL/h in step 3\n"
    ) in out
    assert out.endswith(TO_CONFIRM_SAID)


@pytest.mark.parametrize("name", ["pca-morphine", "pca-morphine-with-basal"])
def test_morphine_on_demand_is_more_in_four_hours_than_its_soft_limit(said, name):
    path = EXAMPLES / f"orders/{name}.toml"
    code, out, _ = said(path, "--library", LIBRARY)
    assert code == 0
    assert "demand: 1 mg / 1 mg/mL = 1 mL" in out
    assert (
        "the upper soft limit of the amount in 4 h is 30 mg (30 mL): "
        "this order allows 40 mg (40 mL)\n"
    ) in out
    assert "typical: demand dose 1 mg (1 mL)\n" in out
    assert said(path, "--library", LIBRARY, "--strict")[0] == 1


# -- hard and soft, to the unit --------------------------------------------------------------------


def test_the_document_shows_a_finding_as_it_is(said):
    _, out, _ = said(EXAMPLES / "orders/pca-morphine.toml", "--library", LIBRARY)
    (line,) = (line for line in out.splitlines() if line.startswith("to confirm: "))
    assert f"```\n{line}\n```" in (EXAMPLES.parent / "docs/orders.md").read_text(encoding="utf-8")


def test_within_all_limits(said, written):
    path = written(MORPHINE)
    code, out, _ = said(path, "--library", LIBRARY, "--strict")
    assert code == 0
    assert "asked by ward 3\n" in out
    assert "Morphine, 1 mg/mL, PCA at home\n" in out
    assert out.endswith("WITHIN all limits\n")


# By hand, for 1 mg/mL: hard limits of 3 mg and 2 mg/h, soft ones of 2 mg, 1 mg/h and 0.5 mg.
@pytest.mark.parametrize(
    ("key", "figure", "status"),
    [
        ("demand", "3.001 mL", limits.REFUSED),
        ("demand", "3 mL", limits.CONFIRM),
        ("demand", "2.001 mL", limits.CONFIRM),
        ("demand", "2 mL", limits.WITHIN),
        ("demand", "0.5 mL", limits.WITHIN),
        ("demand", "0.499 mL", limits.CONFIRM),
        ("basal", "2.001 mL/h", limits.REFUSED),
        ("basal", "2 mL/h", limits.CONFIRM),
        ("basal", "1.001 mL/h", limits.CONFIRM),
        ("basal", "1 mL/h", limits.WITHIN),
        ("lockout", "359 s", limits.CONFIRM),
        ("lockout", "360 s", limits.WITHIN),
        ("lockout", "300 s", limits.CONFIRM),
        ("lockout", "299 s", limits.REFUSED),
    ],
)
def test_a_limit_holds_to_the_unit(example, key, figure, status):
    judgement = judged(morphine(**{key: f'"{figure}"'}), example)
    assert judgement.status == status
    assert [finding.key for finding in judgement.findings] == (
        [] if status == limits.WITHIN else [f"[therapy] {key}"]
    )


def test_a_hard_limit_refuses_and_says_where(said, written):
    path = written(morphine(demand='"3.5 mg"', basal='"1.5 mg/h"'))
    code, out, _ = said(path, "--library", LIBRARY)
    assert code == 1
    lines = out.splitlines()
    refused = (
        "refused: line 13, [therapy] demand: the upper hard limit of the demand dose is 3 mg "
        "(3 mL): this order has 3.5 mg (3.5 mL)"
    )
    confirm = (
        "to confirm: line 12, [therapy] basal: the upper soft limit of the rate is 1 mg/h "
        "(1 mL/h): this order runs 1.5 mg/h (1.5 mL/h)"
    )
    # Hard ones first, whatever the governor's order.
    assert lines.index(refused) + 1 == lines.index(confirm)
    assert lines[-1] == "REFUSED: beyond a hard limit"


# -- by body weight --------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(weight_g=st.integers(2_000, 150_000), rate_ul_h=st.integers(100, 60_000))
def test_a_limit_by_body_weight_agrees_with_fractions(small, weight_g, rate_ul_h):
    weight_kg = Fraction(weight_g, 1000)
    judgement = judged(heparin(f"{rate_ul_h} µL/h"), small, weight_kg)
    units_kg_h = Fraction(rate_ul_h, 1000) * 100 / weight_kg
    status = limits.WITHIN
    if units_kg_h < 10:
        status = limits.CONFIRM
    elif units_kg_h > 20:
        status = limits.REFUSED
    assert judgement.status == status
    assert judgement.weight_g == weight_g


# 20 units/kg/h of 100 units/mL for 70 kg are 14 mL/h.
@pytest.mark.parametrize(("rate", "status"), [("14 mL/h", "within"), ("14001 µL/h", "refused")])
def test_the_weight_is_told_beside_the_order(said, written, small, rate, status):
    path = written(heparin(rate))
    words = (path, "--library", small.where, "--json")
    code, out, _ = said(*words, "--weight", "70 kg")
    assert json.loads(out)["status"] == status
    assert code == (status == "refused")
    # Without it limits by body weight cannot be met.
    code, out, _ = said(*words)
    assert code == 1
    (finding,) = json.loads(out)["findings"]
    assert (finding["kind"], finding["key"]) == ("weight", "[patient] weight")
    assert finding["text"] == "limits are by body weight, and the order tells none"


def test_a_figure_of_the_drug_is_told_with_its_unit_and_the_pump_s(small):
    (finding,) = judged(heparin("15 mL/h"), small, Fraction(70)).findings
    assert finding.text == (
        "the upper hard limit of the rate is 20 units/kg/h (14 mL/h): "
        "this order runs ≈ 21.42857 units/kg/h (15 mL/h)"
    )
    assert (finding.value, finding.bound, finding.unit) == (15_000, 14_000, "µL/h")


# By hand, of 2 mg/mL: 10 mcg/kg/min for 70 kg are 42 mg/h, 21 mL/h; 60 mg/day are 1.25 mL/h.
@pytest.mark.parametrize(
    ("area", "rate", "said_of_it"),
    [
        ("ward", "42 mL/h", "10 mcg/kg/min (21 mL/h): this order runs 20 mcg/kg/min (42 mL/h)"),
        ("home", "2.5 mL/h", "60 mg/day (1.25 mL/h): this order runs 120 mg/day (2.5 mL/h)"),
    ],
)
def test_a_rate_is_told_by_the_time_of_its_limit(small, area, rate, said_of_it):
    text = heparin(rate).replace("heparin", "dobutamine").replace("100 units/mL", "2 mg/mL")
    text = text.replace('"ward"', f'"{area}"')
    (finding,) = judged(text, small, Fraction(70)).findings
    assert finding.text.endswith(f"limit of the rate is {said_of_it}")


def test_doses_are_worked_out_with_the_weight_that_is_told(said, written, small):
    code, out, _ = said(
        written(heparin("18 units/kg/h")), "--library", small.where, "--weight", "70 kg"
    )
    assert code == 0
    assert "rate: 18 units/kg/h × 70 kg / 100 units/mL = 12.6 mL/h" in out
    assert "typical: rate 18 units/kg/h (12.6 mL/h)\n" in out


def test_two_weights_are_one_too_many(said, written):
    path = written('[patient]\nweight = "60 kg"\n' + MORPHINE)
    code, _, err = said(path, "--weight", "70 kg")
    assert code == 1
    assert "the order is for 60 kg, told is 70 kg" in err
    assert "line 2, [patient] weight" in err
    assert said(path, "--weight", "60000 g")[0] == 0
    assert said(path, "--weight", "70 mL")[0] == 2


def test_a_weight_is_counted_in_grams(small):
    with pytest.raises(OrderError, match=r"70\.0005 kg is no whole number of grams"):
        judged(heparin("14 mL/h"), small, Fraction("70.0005"))


# -- programs --------------------------------------------------------------------------------------


def test_the_steps_that_are_beyond_a_limit_are_named(small):
    steps = ", ".join(f'{{ rate = "{rate} mL/h", time = "1 h" }}' for rate in (90, 150, 100, 120))
    (finding,) = judged(saline(f'program = "stepped"\nstep = [{steps}]'), small).findings
    assert finding.text == (
        "the upper soft limit of the rate is 100 mL/h: this order runs 150 mL/h in steps 2, 4"
    )


def test_a_day_and_a_duration_are_told_in_their_own_way(small):
    # 500 mL at 100 mL/h every 6 h are four doses a day, 2 L.
    many = 'program = "intermittent"\ndose = "500 mL"\nrate = "100 mL/h"\nevery = "6 h"\ncount = 8'
    (finding,) = judged(saline(many), small).findings
    assert finding.text == (
        "the upper soft limit of the amount in 24 h is 1 L (1000 mL): this order gives 2000 mL"
    )
    short = 'program = "continuous"\nvtbi = "40 mL"\ntime = "1799 s"'
    (finding,) = judged(saline(short), small).findings
    assert finding.text == (
        "the lower hard limit of the duration is 30 min (00:30): this order takes 00:29:59"
    )
    assert finding.is_hard


def test_a_kvo_rate_where_there_is_to_be_none(small):
    text = heparin("14 mL/h").replace('kvo = "off"', 'kvo = "1 mL/h"')
    (finding,) = judged(text, small, Fraction(70)).findings
    assert finding.text == "there is to be no KVO: this order runs 1 mL/h"
    assert finding.is_hard


def test_a_kvo_rate_above_the_rule_is_to_be_confirmed(small):
    order = 'program = "continuous"\nvtbi = "100 mL"\nrate = "50 mL/h"'
    text = saline(order).replace('kvo = "off"', 'kvo = "3.001 mL/h"')
    (finding,) = judged(text, small).findings
    assert finding.text == "the KVO rate by the rule is 3 mL/h: this order runs 3.001 mL/h"
    assert not finding.is_hard
    assert judged(text.replace("3.001", "3"), small).status == limits.WITHIN


def test_a_pca_without_windows_is_not_within_those_of_the_library(example):
    text = "\n".join(line for line in MORPHINE.splitlines() if not line.startswith("limits"))
    texts = [finding.text for finding in judged(text, example).findings]
    assert texts == [
        "the upper hard limit of the amount in 1 h is 10 mg (10 mL): this order sets no limit",
        "the upper hard limit of the amount in 4 h is 40 mg (40 mL): this order sets no limit",
    ]


def test_a_purge_is_nobody_s_dose(said):
    code, out, _ = said(EXAMPLES / "orders/purge-the-line.toml", "--library", LIBRARY, "--strict")
    assert code == 0
    assert "a purge is given to nobody" in out


# -- outside the library, or without one -----------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "what", "remedy"),
    [
        ({"id": '"morphin"'}, 'has no drug "morphin"', "Did you mean morphine?"),
        ({"care_area": '"pca-hom"'}, 'has no care area "pca-hom"', "Did you mean pca-home?"),
        (
            {"care_area": '"home-adult"'},
            'does not have Morphine in the care area "home-adult"',
            "It is in palliative and pca-home",
        ),
        (
            {"concentration": '"2 mg/mL"'},
            "no Morphine in the care area PCA at home at 2 mg/mL",
            "It is at 1 mg/mL or 5 mg/mL",
        ),
        (
            # One of the drug's, and not of the care area.
            {"concentration": '"10 mg/mL"'},
            "no Morphine in the care area PCA at home at 10 mg/mL",
            "It is at 1 mg/mL or 5 mg/mL",
        ),
    ],
)
def test_what_is_outside_the_library_is_said(said, written, changed, what, remedy):
    text = MORPHINE.split("[drug]", 1)
    changed_text = morphine(**{key: value for key, value in changed.items() if key != "id"})
    if "id" in changed:
        changed_text = text[0] + "[drug]" + text[1].replace('"morphine"', changed["id"], 1)
    path = written(changed_text)
    code, out, err = said(path, "--library", LIBRARY)
    assert code == 0
    assert what in err
    assert remedy in err
    assert out.endswith(OUTSIDE_SAID)
    assert said(path, "--library", LIBRARY, "--strict")[0] == 1


def test_a_program_that_the_library_does_not_have_is_refused(said, written, example):
    text = MORPHINE.partition("[therapy]")[0] + (
        '[therapy]\nprogram = "continuous"\nrate = "1 mL/h"\nvtbi = "10 mL"\n'
        '[container]\nsyringe = "bd-plastipak-50"\n'
    )
    judgement = judged(text, example)
    assert judgement.status == limits.REFUSED
    (finding,) = judgement.findings
    assert (finding.kind, finding.is_hard) == ("program", True)
    code, out, _ = said(written(text), "--library", LIBRARY)
    assert code == 1
    assert (
        "refused: line 11, [therapy] program: the library has no continuous program of this drug "
        "here, it has pca\n"
    ) in out


@pytest.mark.parametrize(
    ("gone", "what"),
    [
        ('id = "heparin"\nconcentration', "the order names no drug of the library"),
        ('care_area = "ward"\n', "the order names no care area"),
        (
            'concentration = "100 units/mL"\n',
            "the library has no Heparin in the care area Ward without concentration",
        ),
    ],
)
def test_what_an_order_does_not_name_is_said(small, gone, what):
    kept = "concentration" if gone.startswith("id") else ""
    judgement = judged(heparin("14 mL/h").replace(gone, kept), small, Fraction(70))
    assert judgement.status == limits.OUTSIDE
    assert judgement.outside.what == what


def test_a_concentration_of_what_goes_by_volume_is_outside(small):
    text = saline('program = "continuous"\nvtbi = "100 mL"\nrate = "50 mL/h"')
    assert judged(text, small).status == limits.WITHIN
    judgement = judged(text.replace("care_area", 'concentration = "0.9 %"\ncare_area'), small)
    assert judgement.status == limits.OUTSIDE
    assert judgement.outside.remedy == "It is by volume: order it so"


def test_without_a_library_nothing_is_checked(said, written):
    code, out, _ = said(written(MORPHINE))
    assert code == 0
    assert out.endswith("NO LIBRARY: no drug limit was checked (--library)\n")
    assert said(written(MORPHINE), "--strict")[0] == 1


# -- the library, and JSON -------------------------------------------------------------------------


def test_an_image_says_the_same_as_its_source(said, tmp_path):
    image = tmp_path / "lib.mpl"
    data = build_image(load_library(LIBRARY), KEY)
    image.write_bytes(data)
    for path in ORDERS:
        of_source, of_image = (
            said(path, "--library", library, "--json") for library in (LIBRARY, image)
        )
        assert of_source[0] == of_image[0]
        first, second = json.loads(of_source[1]), json.loads(of_image[1])
        bounds = [(each["kind"], each["value"], each["bound"]) for each in first.pop("findings")]
        assert bounds == [
            (each["kind"], each["value"], each["bound"]) for each in second.pop("findings")
        ]
        # An image keeps figures, and not how they were written.
        assert [each["pump_text"] for each in first.pop("typical")] == [
            each["pump_text"] for each in second.pop("typical")
        ]
        assert first == second


def test_a_library_that_is_none_is_refused(said, written, tmp_path):
    path = written(MORPHINE)
    image = tmp_path / "lib.mpl"
    data = bytearray(build_image(load_library(LIBRARY), KEY))
    data[200] ^= 1
    image.write_bytes(data)
    assert "it is damaged" in said(path, "--library", image)[2]
    assert said(path, "--library", image)[0] == 1
    assert "cannot read the library" in said(path, "--library", tmp_path / "none.mpl")[2]
    folder = Path(shutil.copytree(LIBRARY, tmp_path / "broken"))
    (folder / "drugs/morphine.toml").write_text("[drug]\n")
    assert "morphine.toml" in said(path, "--library", folder)[2]


def test_json_has_the_keys_that_the_document_names(said, written):
    code, out, _ = said(written(morphine(demand='"4 mg"')), "--library", LIBRARY, "--json")
    assert code == 1
    printed = json.loads(out)
    assert printed["order"] == "morphine"
    assert printed["asked_by"] == "ward 3"
    assert printed["program"] == "pca"
    assert printed["library"]["version"] == 1
    assert (printed["drug"], printed["care_area"]) == ("morphine", "pca-home")
    assert printed["status"] == "refused"
    (finding,) = printed["findings"]
    assert finding == {
        "kind": "demand",
        "level": "upper_hard",
        "is_hard": True,
        "key": "[therapy] demand",
        "line": 13,
        "field": "demand_ul",
        "value": 4_000,
        "bound": 3_000,
        "unit": "µL",
        "value_text": "4 mg",
        "limit_text": "3 mg",
        "text": "the upper hard limit of the demand dose is 3 mg (3 mL): "
        "this order has 4 mg (4 mL)",
    }
    document = (EXAMPLES.parent / "docs/cli.md").read_text(encoding="utf-8")
    section = document.partition("\n## order\n")[2].partition("\n## ")[0]
    for key in (*printed, *finding, *printed["typical"][0], *printed["library"]):
        assert f"`{key}`" in section, key


# -- what an order says of it ----------------------------------------------------------------------


def test_an_order_keeps_who_asked_and_the_library_s_ids():
    order = parse_order(MORPHINE, "order.toml")
    assert order.asked_by == "ward 3"
    assert (order.drug.drug_id, order.drug.care_area) == ("morphine", "pca-home")
    assert parse_order(morphine(asked_by=f'"{"x" * 40}"'), "order.toml").asked_by == "x" * 40


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"asked_by": '""'}, "line 3, [order] asked_by: '' cannot say who asked"),
        ({"asked_by": f'"{"x" * 41}"'}, "cannot say who asked"),
        ({"asked_by": '"a\\nb"'}, "cannot say who asked"),
        ({"asked_by": "3"}, "3 is a bare number"),
        ({"care_area": '"PCA home"'}, '"PCA home" cannot be an id of the drug library'),
        ({"care_area": f'"{"x" * 25}"'}, "cannot be an id of the drug library"),
        ({"care_area": "true"}, "true or false"),
    ],
)
def test_what_is_no_name_is_refused(changed, what):
    with pytest.raises(OrderError) as error:
        parse_order(morphine(**changed), "order.toml")
    assert what in str(error.value)


# -- host and pump ---------------------------------------------------------------------------------

IMAGE = build_image(load_library(LIBRARY), KEY)
CHECKED = [check_order(load_order(path)) for path in ORDERS]
# What can be written into an order, one at a time.
FIGURES = (
    "rate_ul_h", "vtbi_ul", "duration_s", "dose_ul", "interval_s", "doses", "demand_ul",
    "lockout_s", "limit_1_ul", "limit_2_ul", "window_1_s", "loading_ul", "loading_ul_h", "kvo_ul_h",
    "concentration_mantissa", "concentration_exponent", "weight_g", "content_ul",
)  # fmt: skip
NAMES = {
    "drug_id": ("", "morphine", "heparin", "tpn", "vancomycin", "furosemide", "no-such-drug"),
    "care_area": ("", "home-adult", "pca-home", "palliative", "ward", "no-such-area"),
}


@functools.cache
def bedside(kind, drive_id):
    """A pump with the example library in it."""
    found = Bedside(VirtualPump(Identity("cpython", "virtual", kind, drive_id, 1000)))
    found.client.provision(KEY)
    found.client.install_library(IMAGE)
    return found.client


@st.composite
def prescribed(draw):
    """An example order with another figure or two, that the mechanism can still deliver."""
    checked = draw(st.sampled_from(CHECKED))
    fields = dict(checked.prescription.fields)
    for _ in range(draw(st.integers(0, 2))):
        name = draw(st.sampled_from(sorted(set(fields) & {*FIGURES, *NAMES})))
        if name in NAMES:
            fields[name] = draw(st.sampled_from(NAMES[name]))
        else:
            factor = draw(st.sampled_from((0, 0.1, 0.5, 0.9, 1.1, 2, 3, 10)))
            fields[name] = round(fields[name] * factor)
    changed = orders.Prescription(checked.prescription.kind, fields)
    mechanism_kind = checked.order.container.kind
    item_id = checked.order.container.item_id
    parts = mechanism.build(mechanism_kind, item_id, checked.drive_id)
    try:
        codec.encode(codec.Frame(changed.message, 1, 1, fields))
        therapy.make(changed.kind, parts, dict(fields))
    except (therapy.RefusedError, codec.FrameError):
        assume(False)
    return dataclasses.replace(checked, prescription=changed)


def refusal(call, *arguments):
    """What a pump refuses a request for; None where it does not."""
    try:
        call(*arguments)
    except PumpRefusedError as error:
        return error
    return None


def status_at(pump, checked):
    """What a pump makes of an order, from its programming to its start."""
    try:
        accepted = pump.prescribe(checked.prescription.kind, checked.prescription.fields)
    except PumpRefusedError as error:
        is_limit = prescription.HARD_LIMIT <= error.code < prescription.SOFT_LIMIT
        return limits.REFUSED if is_limit else error, ()
    found = tuple((each.kind, each.value, each.bound) for each in accepted.findings)
    refused = refusal(pump.start, accepted.program_id)
    if refused is None:
        # A head finishes its stroke, unless it is told a second time.
        pump.stop()
        pump.stop()
        return limits.WITHIN, found
    assert refused.asks == accepted.asks
    return limits.OUTSIDE if accepted.asks >> prescription.OUTSIDE_BIT else limits.CONFIRM, found


@settings(max_examples=300, deadline=None)
@given(checked=prescribed())
def test_host_and_pump_say_the_same_of_an_order(example, checked):
    judgement = judge_order(checked, example)
    pump = bedside(checked.order.container.kind, checked.drive_id)
    status, found = status_at(pump, checked)
    assert judgement.status == status, judgement
    if status != limits.REFUSED:
        assert sorted(found) == sorted((f.kind, f.value, f.bound) for f in judgement.findings)


def test_orders_that_are_changed_come_to_every_end(example):
    # Or the test above would compare less than it says.
    seen = set()

    @settings(max_examples=300, deadline=None, database=None, derandomize=True)
    @given(checked=prescribed())
    def look(checked):
        seen.add(judge_order(checked, example).status)

    look()
    assert seen == {limits.WITHIN, limits.CONFIRM, limits.REFUSED, limits.OUTSIDE}


def test_the_pump_names_limits_as_a_library_does():
    assert LIMIT_NAMES == KINDS
    assert tuple(name.replace(" ", "_") for name in LEVEL_NAMES) == LEVELS


@pytest.mark.parametrize(
    ("finding", "concentration", "text"),
    [
        (
            PumpFinding("rate", "upper soft", 2_000, 1_000, "µL/h"), (board.NG, 1, 6),
            "the rate, 2 mg/h (2 mL/h), is beyond the library's upper soft limit of 1 mg/h"
            " (1 mL/h)",
        ),
        (
            PumpFinding("dose", "lower soft", 15, 30, "µL"), (board.MILLIUNITS, 1, 5),
            "the dose, 1.5 units (0.015 mL), is beyond the library's lower soft limit of 3 units"
            " (0.03 mL)",
        ),
        (
            PumpFinding("lockout", "lower soft", 300, 360, "s"), (board.NG, 1, 6),
            "the lockout, 00:05, is beyond the library's lower soft limit of 00:06",
        ),
        (
            PumpFinding("rate", "upper soft", 210_526, 200_000, "µL/h"), None,
            "the rate, 210.526 mL/h, is beyond the library's upper soft limit of 200 mL/h",
        ),
        (
            PumpFinding("window_1h", "upper soft", 0, 10_000, "µL"), (board.NG, 1, 6),
            "there is no limit to the amount in 1 h, and the library's upper soft limit is 10 mg"
            " (10 mL)",
        ),
    ],
)  # fmt: skip
def test_what_a_pump_finds_is_told_in_clinical_units(finding, concentration, text):
    assert limits.told(finding, concentration) == text
