"""Drug libraries for tests: generated ones, and one of the size that a pump has to hold."""

from fractions import Fraction

from hypothesis import strategies as st

from micropump_host.library.model import (
    KINDS,
    LEVELS,
    MASS,
    PROGRAMS,
    TIME,
    UNITS,
    VOLUME,
    Drug,
    DrugConcentration,
    Level,
    Library,
    Limit,
    LimitUnit,
    Use,
)
from micropump_host.reading.decimals import decimal_parts

KEY = bytes(range(32))
TIMED = ("rate", "kvo")
IN_SECONDS = ("duration", "lockout")

IDS = st.from_regex(r"[a-z][a-z0-9]{0,7}(-[a-z0-9]{1,7}){0,2}", fullmatch=True)
NAMES = st.text(st.characters(blacklist_categories=("Cs",)), max_size=10).filter(
    lambda text: len(text.encode()) <= 32
)


@st.composite
def decimals(draw):
    """A value that the pump can hold: most are as people write them, some are at the ends."""
    mantissa = draw(st.integers(1, 2_000) | st.integers(1, 0xFFFFFFFF))
    value = mantissa * Fraction(10) ** draw(st.integers(-6, 6) | st.integers(-12, 12))
    parts = decimal_parts(value)
    # Noughts at the end go into the exponent, and may be too many for it.
    return value if parts else Fraction(mantissa)


@st.composite
def limits(draw, kind, amounts):
    unit = LimitUnit(TIME)
    if kind not in IN_SECONDS:
        per_time = draw(st.sampled_from(("min", "h", "day"))) if kind in TIMED else ""
        unit = LimitUnit(draw(st.sampled_from(amounts)), draw(st.booleans()), per_time)
    values = sorted(draw(st.lists(decimals(), min_size=1, max_size=5, unique=True)))
    names = sorted(
        draw(
            st.lists(
                st.sampled_from(LEVELS), min_size=len(values), max_size=len(values), unique=True
            )
        ),
        key=LEVELS.index,
    )
    levels = [Level(name, value, "") for name, value in zip(names, values, strict=True)]
    return Limit(kind, unit, tuple(levels))


@st.composite
def uses(draw, areas):
    amount = draw(st.sampled_from((MASS, UNITS, VOLUME)))
    diluted = () if amount == VOLUME else draw(st.sets(decimals(), min_size=1, max_size=3))
    kinds = draw(st.sets(st.sampled_from(KINDS), max_size=6))
    found = [draw(limits(kind, (VOLUME, amount))) for kind in KINDS if kind in kinds]
    kvo = "limit" if "kvo" in kinds else draw(st.sampled_from(("rule", "off")))
    return Use(
        areas,
        tuple(DrugConcentration(each, amount, "") for each in sorted(diluted)),
        tuple(sorted(draw(st.sets(st.sampled_from(tuple(PROGRAMS)), min_size=1)))),
        LimitUnit(amount, draw(st.booleans()), draw(st.sampled_from(("min", "h", "day")))),
        draw(st.sampled_from(("mg/h", "mcg/kg/min", "mL/h"))),
        tuple(found),
        kvo,
        draw(st.none() | st.integers(1, 0xFFFF)),
        draw(st.none() | st.integers(1, 0xFFFF)),
    )


@st.composite
def drugs(draw, drug_id, areas):
    taken = draw(st.lists(st.sampled_from(areas), unique=True, max_size=len(areas)))
    cut = draw(st.integers(0, len(taken)))
    parts = [tuple(part) for part in (taken[:cut], taken[cut:]) if part]
    return Drug(drug_id, draw(NAMES), "", "", tuple(draw(uses(part)) for part in parts))


@st.composite
def libraries(draw):
    areas = draw(st.dictionaries(IDS, NAMES, min_size=1, max_size=4))
    ids = sorted(draw(st.sets(IDS, max_size=5)))
    return Library(
        draw(IDS),
        draw(NAMES),
        draw(st.integers(1, 0xFFFFFFFF)),
        areas,
        tuple(draw(drugs(drug_id, sorted(areas))) for drug_id in ids),
    )


def limit_of(kind: str, unit: LimitUnit, **levels: Fraction | int) -> Limit:
    return Limit(
        kind,
        unit,
        tuple(Level(name, Fraction(levels[name]), "") for name in LEVELS if name in levels),
    )


def small() -> Library:
    """A morphine in two care areas, and a saline."""
    mg_h, mg, seconds = LimitUnit(MASS, False, "h"), LimitUnit(MASS), LimitUnit(TIME)
    found = (
        limit_of("rate", mg_h, lower_hard=100_000, upper_soft=2 * 10**6, upper_hard=5 * 10**6),
        limit_of("demand", mg, typical=10**6, upper_hard=2 * 10**6),
        limit_of("lockout", seconds, lower_hard=360),
        limit_of("window_1h", mg, upper_soft=6 * 10**6, upper_hard=10**7),
    )
    dilutions = (
        DrugConcentration(Fraction(10**6), MASS, "1 mg/mL"),
        DrugConcentration(Fraction(5 * 10**6), MASS, "5 mg/mL"),
    )
    use = Use(
        ("home", "ward"), dilutions, ("continuous", "pca"), mg_h, "mg/h", found, "off", 200, 60
    )
    plain = Use(
        ("ward",), (), ("continuous",), LimitUnit(VOLUME, False, "h"), "mL/h",
        (limit_of("rate", LimitUnit(VOLUME, False, "h"), upper_hard=125_000),),
    )  # fmt: skip
    return Library(
        "fixture", "A fixture", 7, {"ward": "Ward", "home": "At home"},
        (Drug("morphine", "Morphine", "", "", (use,)), Drug("saline", "Saline", "", "", (plain,))),
    )  # fmt: skip


def large(shared: bool = False) -> Library:
    """200 drugs × 4 care areas × 2 concentrations; unless shared, limits differ in each area.

    Every drug has rate, dose, duration and daily limits; one in eight those of a PCA as well.
    """
    areas = ("home-adult", "home-pediatric", "infusion-suite", "palliative")
    found = []
    for number in range(200):
        mg = Fraction(10**6)
        dilutions = tuple(DrugConcentration(each * mg, MASS, "") for each in (1 + number % 9, 20))
        per_area: list = []
        for at, area in enumerate(areas):
            each = number if shared else 4 * number + at
            per_area.append((area, _usual_limits(each)))
        if shared:
            per_area = [(areas, per_area[0][1])]
        made = tuple(
            Use(
                (area,) if isinstance(area, str) else area,
                dilutions,
                ("continuous", "intermittent", "pca"),
                LimitUnit(MASS, False, "h"),
                "mg/h",
                kinds,
                "rule",
                200,
                60,
            )
            for area, kinds in per_area
        )
        found.append(Drug(f"drug-{number:03d}-of-a-long-name", f"Drug {number}", "", "", made))
    return Library("two-hundred", "Two hundred", 3, {area: area for area in areas}, tuple(found))


def _usual_limits(number: int) -> tuple[Limit, ...]:
    mg_h, mg, seconds = LimitUnit(MASS, False, "h"), LimitUnit(MASS), LimitUnit(TIME)
    # Figures of two digits mostly, as people write them, and in no two places the same.
    one, other = 11 + number % 89, 11 + number // 89
    times = dict(zip(LEVELS, (1, 2, 8, 10, 20), strict=True))
    levels = {name: each * one * 10_000 for name, each in times.items()}
    most = {name: value * 24 for name, value in levels.items() if name.startswith("upper")}
    kinds = [
        limit_of("rate", mg_h, **levels),
        limit_of("dose", mg, **{name: each * other * 10**5 for name, each in times.items()}),
        limit_of("duration", seconds, lower_hard=1800, lower_soft=3600, upper_hard=86_400),
        limit_of("daily", mg, **most),
    ]
    if number % 32 < 4:
        kinds += [
            limit_of("bolus", mg, **most),
            limit_of("demand", mg, **levels),
            limit_of("loading", mg, **most),
            limit_of("lockout", seconds, lower_hard=300, lower_soft=360, typical=600),
            limit_of("window_1h", mg, **most),
            limit_of("window_4h", mg, **{name: value * 3 for name, value in most.items()}),
        ]
    return tuple(kinds)
