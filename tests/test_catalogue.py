"""The catalogue: laws that its figures obey, and docs/catalogue.md as their mirror.

``python tests/test_catalogue.py`` writes the tables of docs/catalogue.md anew from the data.
"""

import math
import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
import support

REPO = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPO / "firmware"))

from micropump import catalogue  # noqa: E402

DOC = REPO / "docs" / "catalogue.md"
MICROPYTHON = Path(sys.executable).with_name("micropython")

TABLES = (
    ("syringes", catalogue.SYRINGE_COLUMNS, catalogue.SYRINGES),
    ("heads", catalogue.PERISTALTIC_HEAD_COLUMNS, catalogue.PERISTALTIC_HEADS),
    ("syringe drives", catalogue.SYRINGE_DRIVE_COLUMNS, catalogue.SYRINGE_DRIVES),
    ("head drives", catalogue.HEAD_DRIVE_COLUMNS, catalogue.HEAD_DRIVES),
)
SOURCE_KEYS = [key for key, _ in catalogue.SOURCES]

# What other sources say of the same bores: (reading, {syringe: inner_diameter_um}).
SECOND_READINGS = (
    (
        "S1",
        {
            "bd-plastipak-1": 4699,
            "bd-plastipak-3": 8585,
            "bd-plastipak-5": 11990,
            "bd-plastipak-10": 14430,
            "bd-plastipak-20": 19050,
            "bd-plastipak-30": 21590,
            "bd-plastipak-60": 26590,
        },
    ),
    (
        "S2",
        {
            "hsw-norm-ject-1": 4690,
            "hsw-norm-ject-2": 9650,
            "hsw-norm-ject-5": 12450,
            "hsw-norm-ject-10": 15900,
            "hsw-norm-ject-20": 20050,
            "hsw-norm-ject-30": 22900,
            "hsw-norm-ject-50": 29200,
            "monoject-3": 8860,
            "monoject-6": 12650,
            "monoject-12": 15720,
            "monoject-20": 20120,
            "monoject-35": 23670,
            "monoject-60": 26640,
            "terumo-1": 4700,
            "terumo-3": 9000,
            "terumo-5": 13000,
            "terumo-10": 15800,
            "terumo-20": 20100,
            "terumo-30": 23100,
            "terumo-60": 29700,
            "braun-injekt-2": 9650,
            "braun-injekt-5": 12450,
            "braun-injekt-10": 15900,
            "braun-injekt-20": 20050,
        },
    ),
    ("S8", {"bd-plastipak-10": 14430, "bd-plastipak-60": 26560}),
    (
        "R1",
        {
            "bd-plastipak-1": 4699,
            "bd-plastipak-3": 8585,
            "hsw-norm-ject-1": 4710,
            "hsw-norm-ject-2": 9830,
            "hsw-norm-ject-5": 12460,
            "hsw-norm-ject-10": 15960,
            "hsw-norm-ject-20": 20100,
            "hsw-norm-ject-30": 22900,
            "poulten-graf-5": 11760,
            "poulten-graf-10": 14690,
            "poulten-graf-50": 26890,
        },
    ),
    (
        "R2",
        {
            "hsw-norm-ject-2": 9650,
            "hsw-norm-ject-5": 12200,
            "hsw-norm-ject-10": 15900,
            "hsw-norm-ject-20": 20050,
            "hamilton-1001": 4610,
            "hamilton-1002-5": 7290,
            "hamilton-1005": 10300,
            "hamilton-1010": 14567,
            "hamilton-1025": 23000,
        },
    ),
)

# k of Q = k·r²·N (source S5) and the bore in cm, by head.
RUNZE_HEADS = {
    "runze-yz1515x-16": (Fraction("0.592"), Fraction("0.32")),
    "runze-yz1515x-6r-16": (Fraction("0.434"), Fraction("0.32")),
    "runze-rz1030-0142": (Fraction("0.385"), Fraction("0.142")),
}


def rows(columns: tuple, table: tuple) -> list[dict]:
    return [dict(zip(columns, row, strict=True)) for row in table]


SYRINGES = rows(catalogue.SYRINGE_COLUMNS, catalogue.SYRINGES)
HEADS = rows(catalogue.PERISTALTIC_HEAD_COLUMNS, catalogue.PERISTALTIC_HEADS)
SYRINGE_DRIVES = rows(catalogue.SYRINGE_DRIVE_COLUMNS, catalogue.SYRINGE_DRIVES)
HEAD_DRIVES = rows(catalogue.HEAD_DRIVE_COLUMNS, catalogue.HEAD_DRIVES)
SYRINGE_BY_ID = {row["id"]: row for row in SYRINGES}


def ids(table: list[dict]) -> list[str]:
    return [row["id"] for row in table]


def area_um2(row: dict) -> float:
    return math.pi / 4 * row["inner_diameter_um"] ** 2


def test_there_are_as_many_as_the_project_promises() -> None:
    assert len(SYRINGES) >= 25
    assert len({row["maker"] for row in SYRINGES}) >= 5
    assert len(HEADS) >= 3


@pytest.mark.parametrize(("name", "columns", "table"), TABLES, ids=[t[0] for t in TABLES])
def test_ids_are_unique_and_kebab_case(name: str, columns: tuple, table: tuple) -> None:
    found = ids(rows(columns, table))
    assert len(found) == len(set(found)), name
    for item_id in found:
        # A point may stand in a figure, as in m5-0.8-16.
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+(\.[0-9]+)?)*", item_id)


@pytest.mark.parametrize(("name", "columns", "table"), TABLES, ids=[t[0] for t in TABLES])
def test_figures_are_positive_small_integers(name: str, columns: tuple, table: tuple) -> None:
    for row in rows(columns, table):
        for column, value in row.items():
            assert isinstance(value, int | str), (name, column)
            if isinstance(value, int):
                assert 0 < value < 2**30
            else:
                assert value.strip() == value != ""


def test_every_source_exists_and_is_used() -> None:
    assert len(SOURCE_KEYS) == len(set(SOURCE_KEYS))
    used = {catalogue.LEAST_RATE_SOURCE, catalogue.PERISTALTIC_HEAD_LEAST_RATE_SOURCE}
    for table in (SYRINGES, HEADS, SYRINGE_DRIVES, HEAD_DRIVES):
        for row in table:
            used |= {value for column, value in row.items() if column.endswith("source")}
    assert used == set(SOURCE_KEYS)


@pytest.mark.parametrize("row", SYRINGES, ids=ids(SYRINGES))
def test_the_stroke_holds_the_capacity(row: dict) -> None:
    swept_ul = area_um2(row) * row["stroke_um"] / 1e9
    assert 0.8 * swept_ul <= row["capacity_ul"] <= 1.02 * swept_ul
    if row["stroke_source"] == "D1":
        assert row["stroke_um"] == math.ceil(row["capacity_ul"] * 1e9 / area_um2(row))


@pytest.mark.parametrize("row", SYRINGES, ids=ids(SYRINGES))
def test_a_syringe_is_of_plausible_shape(row: dict) -> None:
    assert 1000 <= row["capacity_ul"] <= 60000
    # From 2.56 (hsw-norm-ject-50) to 13.02 (hamilton-1001) as listed.
    assert 2 < row["stroke_um"] / row["inner_diameter_um"] < 14


def test_a_family_grows_wider_with_capacity() -> None:
    families: dict[str, list[dict]] = {}
    for row in SYRINGES:
        families.setdefault(row["maker"], []).append(row)
    for family in families.values():
        family.sort(key=lambda row: row["capacity_ul"])
        capacities = [row["capacity_ul"] for row in family]
        assert len(set(capacities)) == len(capacities)
        bores = [row["inner_diameter_um"] for row in family]
        assert bores == sorted(bores)


@pytest.mark.parametrize(
    ("capacity_ml", "least_rate_ml_h"),
    [(1, 0.01), (2, 0.01), (3, 0.01), (5, 0.05), (10, 0.1), (20, 0.5), (30, 1), (50, 1), (60, 1)],
)
def test_least_rate_by_size_is_the_published_one(capacity_ml: int, least_rate_ml_h: float) -> None:
    found = {row["least_rate_ul_h"] for row in SYRINGES if row["capacity_ul"] == capacity_ml * 1000}
    assert found == {round(least_rate_ml_h * 1000)}


@pytest.mark.parametrize("row", SYRINGES, ids=ids(SYRINGES))
def test_least_rate_follows_the_rule(row: dict) -> None:
    reached = [rate for size, rate in catalogue.LEAST_RATES if row["capacity_ul"] >= size]
    assert row["least_rate_ul_h"] == reached[-1]
    assert list(catalogue.LEAST_RATES) == sorted(catalogue.LEAST_RATES)


@pytest.mark.parametrize("reading", SECOND_READINGS, ids=[r[0] for r in SECOND_READINGS])
def test_other_sources_agree_on_the_bore(reading: tuple) -> None:
    source, bores = reading
    for item_id, bore_um in bores.items():
        row = SYRINGE_BY_ID[item_id]
        assert row["source"] != source
        # 2.1 %: the widest disagreement among the sources read is 2.0 % (hsw-norm-ject-5).
        assert bore_um == pytest.approx(row["inner_diameter_um"], rel=0.021)


@pytest.mark.parametrize("row", HEADS, ids=ids(HEADS))
def test_least_rate_of_a_head_is_one_roller_passage_a_minute(row: dict) -> None:
    exact_ul_h = Fraction(row["nl_per_rev"] * 60, row["rollers"] * 1000)
    assert row["least_rate_ul_h"] == math.ceil(exact_ul_h)
    greatest_ul_h = row["nl_per_rev"] * row["greatest_rpm"] * 60 // 1000
    assert row["least_rate_ul_h"] * 100 < greatest_ul_h


def test_a_wider_masterflex_tube_carries_more() -> None:
    tubes = [row for row in HEADS if row["maker"] == "Masterflex"]
    volumes = [row["nl_per_rev"] for row in tubes]
    assert [row["tube"] for row in tubes] == [f"L/S {n}" for n in (13, 14, 16, 17, 18)]
    assert volumes == sorted(set(volumes))


@pytest.mark.parametrize("item_id", RUNZE_HEADS)
def test_runze_heads_follow_their_maker_s_formula(item_id: str) -> None:
    k, bore_cm = RUNZE_HEADS[item_id]
    (row,) = [row for row in HEADS if row["id"] == item_id]
    assert row["nl_per_rev"] == round(k * (bore_cm / 2) ** 2 * 60 * 1_000_000)


@pytest.mark.parametrize("row", SYRINGE_DRIVES, ids=ids(SYRINGE_DRIVES))
def test_a_syringe_drive_keeps_its_motor_within_five_turns_a_second(row: dict) -> None:
    turns_s = Fraction(row["max_speed_um_s"] * row["gear_num"], row["lead_um"] * row["gear_den"])
    # The speed is rounded down to a micrometre a second.
    assert Fraction("4.99") < turns_s <= 5


@pytest.mark.parametrize("row", [*SYRINGE_DRIVES, *HEAD_DRIVES], ids=lambda row: row["id"])
def test_gears_reduce_and_are_in_lowest_terms(row: dict) -> None:
    assert row["gear_num"] >= row["gear_den"]
    assert math.gcd(row["gear_num"], row["gear_den"]) == 1
    assert row["microsteps"] in {1, 2, 4, 8, 16, 32, 64, 128, 256}


def test_the_board_s_interpreter_reads_the_same_data() -> None:
    if not MICROPYTHON.exists():
        pytest.skip("the MicroPython unix port is not installed (extra: bench)")
    script = (
        "import sys\n"
        f"sys.path.insert(0, {str(REPO / 'firmware')!r})\n"
        "from micropump import catalogue as c\n"
        "print([c.SYRINGES, c.PERISTALTIC_HEADS, c.SYRINGE_DRIVES, c.HEAD_DRIVES, c.SOURCES])\n"
    )
    done = subprocess.run(
        [MICROPYTHON, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    here = [table for _, _, table in TABLES] + [catalogue.SOURCES]
    assert done.stdout.strip() == repr(here)


def render_table(columns: tuple, table: list[tuple]) -> str:
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    lines += ["| " + " | ".join(str(value) for value in row) + " |" for row in table]
    return "\n".join(lines)


def render_second_readings() -> str:
    found = []
    for source, bores in SECOND_READINGS:
        for item_id, bore_um in bores.items():
            taken_um = SYRINGE_BY_ID[item_id]["inner_diameter_um"]
            percent = f"{100 * (bore_um - taken_um) / taken_um:+.1f}"
            found.append((item_id, taken_um, bore_um, percent, source))
    order = list(SYRINGE_BY_ID)
    found.sort(key=lambda row: order.index(row[0]))
    columns = ("id", "taken_um", "other_um", "difference_percent", "other source")
    return render_table(columns, found)


def render_blocks() -> dict[str, str]:
    blocks = {name: render_table(columns, list(table)) for name, columns, table in TABLES}
    blocks["second readings"] = render_second_readings()
    blocks["sources"] = render_table(("key", "source"), list(catalogue.SOURCES))
    return blocks


def test_the_document_shows_the_data() -> None:
    text = DOC.read_text(encoding="utf-8")
    assert text == support.with_blocks(text, render_blocks()), "run: python tests/test_catalogue.py"


if __name__ == "__main__":
    DOC.write_text(
        support.with_blocks(DOC.read_text(encoding="utf-8"), render_blocks()), encoding="utf-8"
    )
