"""The example drug library: complete, honest about its sources, and tried on the example orders."""

from collections import Counter
from fractions import Fraction
from pathlib import Path

import pytest

from micropump import governor
from micropump import library as board
from micropump_host.library import advice, load_library
from micropump_host.library.image import build_image, open_image
from micropump_host.orders import load_order

EXAMPLES = Path(__file__).parent.parent / "examples"
DRUG_FILES = sorted((EXAMPLES / "library" / "drugs").glob("*.toml"))
KEY = bytes(range(32))

FIXTURE = "# A test fixture, not clinical advice."
ESTIMATE = "estimate, not from a label"
# How a source begins that is neither an estimate nor the product's label.
GUIDES = (
    "UpToDate, ",
    "Family Practice Notebook, ",
    "CALTCM, ",
    "Therapeutic Guidelines, ",
    "West Midlands Palliative Care",
    "CHEO Parenteral Manual, ",
    "Raschke nomogram",
    "Ringer",
    "BNF, ",
    "Drugs.com, ",
)
LABELS = ("US label", "SmPC, 4.2", "UK SmPC, ", "EU SmPC, ")

# What home infusion gives (the therapies of the figures), and who gives it here.
GROUPS = {
    "antibiotic": 12,
    "antiviral": 3,
    "antifungal": 4,
    "immunoglobulin": 3,
    "nutrition": 3,
    "hydration": 4,
    "opioid": 4,
    "chemotherapy": 2,
    "biologic": 3,
    "diuretic": 2,
    "iron": 2,
    "enzyme": 3,
    "inotrope": 2,
}

# Order, drug, care area, and what is beyond a limit: kind, level, field, value, bound in µL, µL/h.
# The bounds by hand. TPN in steps: 4F of F = 2000 mL / (48 h - 10 h), and 200 mL/h. Morphine of
# 1 mg/mL: 40 mg in 4 h are 40,000 µL, and 30 mg 30,000 µL.
FOUR_HOURS = (board.WINDOW_4H, board.UPPER_SOFT, "limit_1_ul", 40_000, 30_000)
TRIED = {
    "antibiotic-over-a-day": ("sodium-chloride-iv", "home-adult", []),
    "cefazolin": ("cefazolin", "home-adult", []),
    "ceftriaxone": ("ceftriaxone", "home-adult", []),
    "ceftriaxone-at-eight": ("ceftriaxone", "infusion-suite", []),
    "flucloxacillin": ("flucloxacillin", "home-adult", []),
    "fluorouracil": ("fluorouracil", "home-adult", []),
    "furosemide-iv": ("furosemide-iv", "home-cardiac", []),
    "furosemide-sc": ("furosemide-sc", "home-cardiac", []),
    "hydration-iv": ("sodium-chloride-iv", "home-adult", []),
    "hydration-sc": ("sodium-chloride-sc", "palliative", []),
    "ivig-gammagard": ("ivig-gammagard", "home-adult", []),
    "ivig-octagam": ("ivig-octagam", "infusion-suite", []),
    "pca-hydromorphone": ("hydromorphone", "pca-home", []),
    "pca-morphine": ("morphine", "pca-home", [FOUR_HOURS]),
    "pca-morphine-with-basal": ("morphine", "pca-home", [FOUR_HOURS]),
    "scig-one-site": ("scig", "home-adult", []),
    "tpn-cyclic": ("tpn", "home-adult", []),
    "tpn-stepped": (
        "tpn",
        "home-adult",
        [(board.RATE, board.UPPER_SOFT, "steps", 210_526, 200_000)],
    ),
    "vancomycin": ("vancomycin", "home-adult", []),
}


@pytest.fixture(scope="module")
def library():
    return load_library(EXAMPLES / "library")


@pytest.fixture(scope="module")
def image(library):
    return build_image(library, KEY)


def limits_of(library):
    uses = [(drug, use) for drug in library.drugs for use in drug.uses]
    return [(drug, limit) for drug, use in uses for limit in use.limits]


def as_on_the_board(concentration):
    """Return amount, mantissa and exponent of an order's concentration, in ng or milliunits."""
    amount, times = (board.NG, 10**6) if concentration.unit == "mg" else (board.MILLIUNITS, 1000)
    per_ml = concentration.per_ml * times
    assert per_ml.denominator == 1
    return amount, per_ml.numerator, 0


def place_of(listed, wanted):
    """Return which of the listed concentrations is the wanted one."""
    values = [
        (amount, mantissa * Fraction(10) ** exponent) for amount, mantissa, exponent in listed
    ]
    return values.index((wanted[0], wanted[1]))


def judged(opened, order, drug_id, area_id, **changed):
    """Return what the governor finds in an order, looked up in an image as the pump does it."""
    drug, area = opened.drug_index(drug_id), opened.area_index(area_id)
    listed = opened.concentrations_of(drug)
    wanted = order.drug.concentration if order.drug else None
    diluted = as_on_the_board(wanted) if wanted else None
    place = board.NO_CONCENTRATION
    if diluted:
        place = place_of(listed, diluted)
    elif listed:
        # Ordered by volume: any of the drug's own.
        place, diluted = 0, listed[0]
    kind = order.prescription.kind
    limits = opened.find(drug, area, place, kind)
    fields = {**order.prescription.at_clock(0).fields, **changed}
    weight_g = int((order.weight_kg or 0) * 1000)
    return governor.judge_program(limits, fields, kind, diluted, weight_g)


def test_there_are_forty_drugs_in_four_care_areas_or_more(library):
    assert len(library.drugs) >= 40
    used = Counter(area for drug in library.drugs for use in drug.uses for area in use.care_areas)
    assert set(used) == set(library.care_areas)
    assert len(used) >= 4
    assert min(used.values()) >= 4


def test_every_therapy_of_home_infusion_is_there(library):
    groups = Counter(drug.group for drug in library.drugs)
    assert {group: count for group, count in GROUPS.items() if groups[group] < count} == {}


def test_there_is_nothing_to_remark_on(library):
    assert [problem for drug in library.drugs for problem in advice(drug)] == []


@pytest.mark.parametrize("path", DRUG_FILES, ids=lambda path: path.stem)
def test_a_file_says_first_that_it_is_a_fixture(path):
    text = path.read_text(encoding="utf-8")
    assert text.splitlines()[0] == FIXTURE
    # Each limit has a source of its own, beside that of the drug.
    assert text.count("\nsource = ") == 1 + text.count("\n[use.")


def test_a_source_is_a_label_a_guide_or_called_an_estimate(library):
    for drug, limit in limits_of(library):
        named = any(known in limit.source for known in (*LABELS, *GUIDES))
        assert named or ESTIMATE in limit.source, (drug.drug_id, limit.kind, limit.source)


def test_a_label_that_a_limit_cites_is_named_by_its_drug(library):
    for drug, limit in limits_of(library):
        if "US label" in limit.source:
            assert "US prescribing information, " in drug.source, (drug.drug_id, limit.kind)
        if "SmPC, 4.2" in limit.source:
            assert "SmPC, " in drug.source, (drug.drug_id, limit.kind)


def test_a_source_speaks_of_levels_that_are_there(library):
    for drug, limit in limits_of(library):
        said = {name for name in board_levels() if name in limit.source}
        there = {level.name for level in limit.levels}
        assert said <= there, (drug.drug_id, limit.kind, said - there)


def board_levels():
    return ("lower_hard", "lower_soft", "typical", "upper_soft", "upper_hard")


def test_children_are_limited_by_body_weight(library):
    for drug in library.drugs:
        use = drug.use_in("home-pediatric")
        if use and drug.drug_id != "scig":
            assert any(limit.unit.per_kg for limit in use.limits), drug.drug_id


def test_the_image_of_it_is_small_and_whole(library, image):
    # Measured: 61 drugs with 98 uses are 8597 of the 65,536 bytes that a pump takes.
    assert len(image) < 16_384
    opened = open_image(image, KEY)
    assert [opened.drug(at)[0] for at in range(opened.drugs)] == [
        drug.drug_id for drug in library.drugs
    ]


@pytest.mark.parametrize("name", TRIED)
def test_an_example_order_trips_what_it_should_and_nothing_else(name, image):
    drug_id, area_id, findings = TRIED[name]
    order = load_order(EXAMPLES / "orders" / f"{name}.toml")
    assert judged(open_image(image, KEY), order, drug_id, area_id) == findings


# Each order again with one figure a single µL, µL/h or s beyond a hard limit; bounds by hand.
BEYOND = {
    # 10 mg/min of 5 mg/mL.
    "vancomycin": ("rate_ul_h", 120_001, (board.RATE, board.UPPER_HARD, 120_000)),
    # 4 mg/min of 0.8 mg/mL.
    "furosemide-iv": ("rate_ul_h", 300_001, (board.RATE, board.UPPER_HARD, 300_000)),
    # 100 mg/kg/day of 20 mg/mL for 60 kg: 6000 mg / 24 h / 20 mg/mL.
    "cefazolin": ("rate_ul_h", 12_501, (board.RATE, board.UPPER_HARD, 12_500)),
    # 3 mg of 1 mg/mL.
    "pca-morphine": ("demand_ul", 3_001, (board.DEMAND, board.UPPER_HARD, 3_000)),
    "pca-morphine-with-basal": ("rate_ul_h", 2_001, (board.RATE, board.UPPER_HARD, 2_000)),
    "pca-hydromorphone": ("lockout_s", 359, (board.LOCKOUT, board.LOWER_HARD, 360)),
    # 4 g of 40 mg/mL.
    "ceftriaxone": ("dose_ul", 100_001, (board.DOSE, board.UPPER_HARD, 100_000)),
    "fluorouracil": ("duration_s", 79_199, (board.DURATION, board.LOWER_HARD, 79_200)),
    "hydration-sc": ("rate_ul_h", 75_001, (board.RATE, board.UPPER_HARD, 75_000)),
    "tpn-cyclic": ("duration_s", 28_799, (board.DURATION, board.LOWER_HARD, 28_800)),
}


@pytest.mark.parametrize("name", BEYOND)
def test_a_hard_limit_of_the_example_refuses_one_unit_beyond_it(name, image):
    field, value, (kind, level, bound) = BEYOND[name]
    drug_id, area_id, _ = TRIED[name]
    order = load_order(EXAMPLES / "orders" / f"{name}.toml")
    opened = open_image(image, KEY)
    assert (kind, level, field, value, bound) in judged(
        opened, order, drug_id, area_id, **{field: value}
    )
    at_the_bound = judged(opened, order, drug_id, area_id, **{field: bound})
    assert not [found for found in at_the_bound if found[:2] == (kind, level)]
