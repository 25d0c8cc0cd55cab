"""Every program of an order file: the fields that it comes to, and every mistake in one."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import UNNAMED

from micropump import library, mechanism, program, therapy
from micropump_host import orders
from micropump_host.orders.therapies import CLOCK_NOT_TOLD, DEMAND_UL_H, FORMS
from micropump_host.reading.quantity import exact_text

HEAD = """\
[order]
id = "an-order"

"""
BAG = """
[container]
head = "masterflex-ls-16"
content = "5000 mL"
"""
MORPHINE = '[drug]\nname = "morphine"\nconcentration = "1 mg/mL"\n\n'
IVIG = '[patient]\nweight = "70 kg"\n\n[drug]\nname = "IVIG"\nconcentration = "10 %"\n\n'


def text_of(therapy_text: str, before: str = "", after: str = BAG) -> str:
    return f"{HEAD}{before}[therapy]\n{therapy_text}\n{after}"


def own_fields(order: orders.Order) -> dict:
    """The fields that are not the setup's."""
    setup = ("kind", "item_id", "content_ul", "containers", "delay_s", "kvo_ul_h", *UNNAMED)
    return {name: value for name, value in order.prescription.fields.items() if name not in setup}


def parsed(therapy_text: str, before: str = "", after: str = BAG) -> orders.Order:
    return orders.parse_order(text_of(therapy_text, before, after), "x.toml")


def problems_of(therapy_text: str, before: str = "", after: str = BAG) -> tuple:
    with pytest.raises(orders.OrderError) as caught:
        parsed(therapy_text, before, after)
    return caught.value.problems


# -- generated orders ------------------------------------------------------------------------------


class Scribe:
    """Writes figures in one of the ways that an order allows, each exactly what it should be."""

    def __init__(self, draw) -> None:
        self.draw = draw
        self.unit = draw(st.sampled_from(["mg", "units"]))
        self.hundredths_per_ml = draw(st.integers(1, 20_000))
        self.per_ml = Fraction(self.hundredths_per_ml, 100)
        # A figure divided by these weights ends, as a decimal.
        self.weight_kg = draw(st.sampled_from(["3.2", "10", "62.5", "64", "80", "100"]))

    def before(self) -> str:
        return (
            f'[patient]\nweight = "{self.weight_kg} kg"\n'
            f'[drug]\nconcentration = "{exact_text(self.per_ml)} {self.unit}/mL"\n'
        )

    def ordered(self) -> dict[str, int | str]:
        """What the order's fields say of patient and drug."""
        # A hundredth of a mg are 10^4 ng, one of a unit 10 milliunits.
        amount, exponent = {"mg": (library.NG, 4), "units": (library.MILLIUNITS, 1)}[self.unit]
        normal = Decimal(self.hundredths_per_ml).scaleb(exponent).normalize().as_tuple()
        return {
            "concentration_in": amount,
            "concentration_mantissa": int("".join(map(str, normal.digits))),
            "concentration_exponent": normal.exponent,
            "weight_g": int(Fraction(self.weight_kg) * 1000),
        }

    def figure(self, count: int, by_time: str = "") -> str:
        """A volume of ``count`` µL, or with a time a rate of ``count`` µL/h."""
        value, unit = Fraction(count, 1000), "mL"
        if self.draw(st.booleans()):
            value, unit = value * self.per_ml, self.unit
        if self.draw(st.booleans()):
            value, unit = value / Fraction(self.weight_kg), f"{unit}/kg"
        if by_time == "h" and count % 3 == 0 and self.draw(st.booleans()):
            value, by_time = value / 60, "min"
        number = exact_text(value)
        if "/" in number:
            # More than nine decimals: as a plain volume, then.
            value, unit, by_time = Fraction(count, 1000), "mL", by_time and "h"
            number = exact_text(value)
        return f'"{number} {unit}{"/" if by_time else ""}{by_time}"'

    def volume(self, count: int) -> str:
        return self.figure(count)

    def rate(self, count: int) -> str:
        return self.figure(count, "h")

    def time(self, duration_s: int) -> str:
        if duration_s % 60 == 0 and self.draw(st.booleans()):
            return f'"{orders.duration_text(duration_s)}"'
        return f'"{duration_s} s"'


VOLUMES = st.integers(100, 5_000_000)
RATES = st.integers(10, 1_200_000)
TIMES = st.integers(1, 359_940)
COMMON = st.fixed_dictionaries(
    {},
    optional={"delay": TIMES, "kvo": st.one_of(st.sampled_from(["rule", "off"]), RATES)},
)


@st.composite
def rate_or_time(draw, scribe):
    """Lines and fields of exactly one of rate and time."""
    if draw(st.booleans()):
        rate_ul_h = draw(RATES)
        return f"rate = {scribe.rate(rate_ul_h)}", {"rate_ul_h": rate_ul_h, "duration_s": 0}
    duration_s = draw(TIMES)
    return f"time = {scribe.time(duration_s)}", {"rate_ul_h": 0, "duration_s": duration_s}


@st.composite
def loading(draw, scribe):
    """Lines and fields of a loading dose, or of none."""
    if draw(st.booleans()):
        return "", {"loading_ul": 0, "loading_ul_h": 0}
    loading_ul, loading_ul_h = draw(VOLUMES), draw(RATES)
    lines = f"loading = {scribe.volume(loading_ul)}\nloading_rate = {scribe.rate(loading_ul_h)}"
    return lines, {"loading_ul": loading_ul, "loading_ul_h": loading_ul_h}


@st.composite
def continuous_orders(draw, scribe):
    vtbi_ul = draw(VOLUMES)
    pace, paced = draw(rate_or_time(scribe))
    load, loaded = draw(loading(scribe))
    key = draw(st.sampled_from(["vtbi", "dose"]))
    lines = [f"{key} = {scribe.volume(vtbi_ul)}", pace, load]
    return lines, {"vtbi_ul": vtbi_ul, **paced, **loaded}


@st.composite
def intermittent_orders(draw, scribe):
    dose_ul = draw(VOLUMES)
    pace, paced = draw(rate_or_time(scribe))
    lines = [f"dose = {scribe.volume(dose_ul)}", pace]
    minutes = sorted(draw(st.sets(st.integers(0, 1439), max_size=8)))
    span_s = 86_400 if minutes else draw(TIMES)
    if minutes:
        times = draw(st.permutations([f'"{at // 60:02d}:{at % 60:02d}"' for at in minutes]))
        lines.append(f"at = [{', '.join(times)}]")
    else:
        lines.append(f"every = {scribe.time(span_s)}")
    spans = draw(st.integers(1, 100))
    doses = spans * max(1, len(minutes))
    by_count = draw(st.booleans()) or (minutes and spans * span_s % 60)
    lines.append(f"count = {doses}" if by_count else f'for = "{spans * span_s} s"')
    return lines, {
        "dose_ul": dose_ul,
        **paced,
        "interval_s": 0 if minutes else span_s,
        "doses": doses,
        "times": [(minute,) for minute in minutes],
        "clock_s": CLOCK_NOT_TOLD,
    }


@st.composite
def ramp_orders(draw, scribe):
    vtbi_ul, duration_s = draw(VOLUMES), draw(st.integers(2, 359_940))
    up_s = draw(st.integers(0, duration_s))
    down_s = draw(st.integers(0 if up_s else 1, duration_s - up_s))
    lines = [f"vtbi = {scribe.volume(vtbi_ul)}", f"time = {scribe.time(duration_s)}"]
    lines += [f"up = {scribe.time(up_s)}"] * bool(up_s)
    lines += [f"down = {scribe.time(down_s)}"] * bool(down_s)
    return lines, {"vtbi_ul": vtbi_ul, "duration_s": duration_s, "up_s": up_s, "down_s": down_s}


@st.composite
def stepped_orders(draw, scribe):
    steps = []
    lines = []
    for _ in range(draw(st.integers(1, 28))):
        rate_ul_h, by_time = draw(RATES), draw(st.booleans())
        amount = draw(TIMES if by_time else VOLUMES)
        steps.append((rate_ul_h, 0, amount) if by_time else (rate_ul_h, amount, 0))
        lines += ["[[therapy.step]]", f"rate = {scribe.rate(rate_ul_h)}"]
        lines.append(
            f"time = {scribe.time(amount)}" if by_time else f"volume = {scribe.volume(amount)}"
        )
    return lines, {"vtbi_ul": 0, "steps": steps}


@st.composite
def pca_orders(draw, scribe):
    fields = {
        "vtbi_ul": draw(VOLUMES),
        "rate_ul_h": draw(st.one_of(st.just(0), RATES)),
        "demand_ul": draw(VOLUMES),
        "demand_ul_h": draw(st.one_of(st.just(DEMAND_UL_H), RATES)),
        "lockout_s": draw(TIMES),
    }
    lines = [
        f"vtbi = {scribe.volume(fields['vtbi_ul'])}",
        f"demand = {scribe.volume(fields['demand_ul'])}",
        f"lockout = {scribe.time(fields['lockout_s'])}",
    ]
    lines += [f"basal = {scribe.rate(fields['rate_ul_h'])}"] * bool(fields["rate_ul_h"])
    if fields["demand_ul_h"] != DEMAND_UL_H:
        lines.append(f"demand_rate = {scribe.rate(fields['demand_ul_h'])}")
    load, loaded = draw(loading(scribe))
    windows = draw(st.lists(st.tuples(TIMES, VOLUMES), max_size=2, unique_by=lambda row: row[0]))
    limits = [
        f"{{ within = {scribe.time(window_s)}, most = {scribe.volume(limit_ul)} }}"
        for window_s, limit_ul in windows
    ]
    lines += [load, *([f"limits = [{', '.join(limits)}]"] if limits else [])]
    for place in (1, 2):
        found = windows[place - 1] if place <= len(windows) else (0, 0)
        fields[f"window_{place}_s"], fields[f"limit_{place}_ul"] = found
    return lines, {**fields, **loaded}


@st.composite
def purge_orders(draw, scribe):
    volume_ul, rate_ul_h = draw(VOLUMES), draw(RATES)
    lines = [f"volume = {scribe.volume(volume_ul)}", f"rate = {scribe.rate(rate_ul_h)}"]
    return lines, {"volume_ul": volume_ul, "rate_ul_h": rate_ul_h, "reverse": 0}


GENERATED = {
    "continuous": (program.CONTINUOUS, continuous_orders),
    "intermittent": (program.INTERMITTENT, intermittent_orders),
    "ramp": (program.RAMP, ramp_orders),
    "stepped": (program.STEPPED, stepped_orders),
    "pca": (program.PCA, pca_orders),
    "purge": (program.PURGE, purge_orders),
}


def test_every_program_is_generated():
    assert set(GENERATED) == set(FORMS) == set(orders.PROGRAM_NAMES.values())


@pytest.mark.parametrize("name", sorted(GENERATED))
@given(data=st.data())
def test_an_order_is_read_as_the_fields_that_it_says(name, data):
    kind, generate = GENERATED[name]
    scribe = Scribe(data.draw)
    lines, fields = data.draw(generate(scribe))
    common = {} if name == "purge" else data.draw(COMMON)
    setup = {"delay_s": common.get("delay", 0), "kvo_ul_h": therapy.KVO_BY_RULE}
    top = [f'program = "{name}"']
    if "delay" in common:
        top.append(f"delay = {scribe.time(common['delay'])}")
    if "kvo" in common:
        words = {"rule": therapy.KVO_BY_RULE, "off": therapy.KVO_OFF}
        setup["kvo_ul_h"] = words.get(common["kvo"], common["kvo"])
        written = f'"{common["kvo"]}"' if common["kvo"] in words else scribe.rate(common["kvo"])
        top.append(f"kvo = {written}")
    if name == "purge":
        setup["kvo_ul_h"] = therapy.KVO_OFF
    order = parsed("\n".join(top + lines), scribe.before())
    assert order.prescription == orders.Prescription(
        kind,
        {
            "kind": mechanism.KIND_PERISTALTIC,
            "item_id": "masterflex-ls-16",
            "content_ul": 5_000_000,
            "containers": 1,
            **setup,
            **UNNAMED,
            "order_id": "an-order",
            **scribe.ordered(),
            **fields,
        },
    )
    assert order.weight_kg == Fraction(scribe.weight_kg)
    assert order.drug == orders.Drug("", orders.Concentration(scribe.per_ml, scribe.unit))


@given(
    st.sampled_from(sorted(GENERATED)),
    st.data(),
    st.text(max_size=30),
    st.floats(0, 1),
    st.integers(0, 20),
)
def test_whatever_is_done_to_an_order_it_is_one_or_an_order_error(name, data, inserted, at, cut):
    scribe = Scribe(data.draw)
    lines, _ = data.draw(GENERATED[name][1](scribe))
    text = text_of("\n".join([f'program = "{name}"', *lines]), scribe.before())
    place = round(at * len(text))
    try:
        order = orders.parse_order(text[:place] + inserted + text[place + cut :], "x.toml")
    except orders.OrderError as error:
        found = len(error.problems)
    else:
        found = order.prescription.message
    assert found > 0


# -- therapies in use: figures from the label or by hand -------------------------------------------


def test_vancomycin_twice_a_day_by_dose_and_dose_rate():
    """1 g at no more than 10 mg/min, diluted to 5 mg/mL: 200 mL at 120 mL/h."""
    order = parsed(
        'program = "intermittent"\ndose = "1 g"\nrate = "10 mg/min"\nevery = "12 h"\nfor = "96 h"',
        '[drug]\nname = "vancomycin"\nconcentration = "5 mg/mL"\n',
    )
    assert own_fields(order) == {
        "dose_ul": 200_000,
        "rate_ul_h": 120_000,
        "duration_s": 0,
        "interval_s": 43_200,
        "doses": 8,
        "times": [],
        "clock_s": CLOCK_NOT_TOLD,
    }
    assert order.arithmetic == (
        "dose: 1 g / 5 mg/mL = 200 mL",
        "rate: 10 mg/min / 5 mg/mL = 120 mL/h",
        "count: 96:00 / 12:00 = 8 doses",
    )


def test_a_dose_over_a_time_shows_its_rate():
    order = parsed('program = "continuous"\nvtbi = "200 mL"\ntime = "100 min"')
    assert order.arithmetic == ("rate: 200 mL / 01:40 = 120 mL/h",)


def test_morphine_pca_with_two_limits():
    """1 mg every 6 min, 10 mg in 1 h and 40 mg in 4 h, basal 1 mg/h."""
    order = parsed(
        'program = "pca"\nbasal = "1 mg/h"\ndemand = "1 mg"\nlockout = "6 min"\n'
        'limits = [{ within = "1 h", most = "10 mg" }, { within = "4 h", most = "40 mg" }]\n'
        'loading = "2 mg"',
        MORPHINE,
        '[container]\nsyringe = "bd-plastipak-50"\ncount = 2\n',
    )
    assert own_fields(order) == {
        "vtbi_ul": 98_000,  # all of two syringes but the loading dose
        "rate_ul_h": 1_000,
        "demand_ul": 1_000,
        "demand_ul_h": 125_000,
        "lockout_s": 360,
        "window_1_s": 3_600,
        "limit_1_ul": 10_000,
        "window_2_s": 14_400,
        "limit_2_ul": 40_000,
        "loading_ul": 2_000,
        "loading_ul_h": 125_000,  # as a demand, where nothing else is said
    }


def test_a_loading_dose_may_be_over_a_time():
    order = parsed(
        'program = "continuous"\nrate = "10 mL/h"\nvtbi = "240 mL"\n'
        'loading = "2 g"\nloading_time = "30 min"',
        '[drug]\nconcentration = "20 mg/mL"\n',
    )
    assert order.prescription.number("loading_ul") == 100_000
    assert order.prescription.number("loading_ul_h") == 200_000
    assert order.arithmetic[1] == "loading_rate: 100 mL / 00:30 = 200 mL/h"


def test_immune_globulin_rises_with_the_body_weight():
    """0.5 mL/kg/h for 30 min, raised to 5: at 70 kg 35, 70, 140, 280, 350 mL/h."""
    order = parsed(
        'program = "stepped"\ndose = "400 mg/kg"\neach = "30 min"\n'
        'escalate = ["0.5 mL/kg/h", "1 mL/kg/h", "2 mL/kg/h", "4 mL/kg/h", "5 mL/kg/h"]',
        IVIG,
    )
    # 280 mL less 17.5 + 35 + 70 + 140 mL.
    assert own_fields(order) == {
        "vtbi_ul": 280_000,
        "steps": [
            (35_000, 0, 1800),
            (70_000, 0, 1800),
            (140_000, 0, 1800),
            (280_000, 0, 1800),
            (350_000, 17_500, 0),
        ],
    }
    assert order.arithmetic[1] == "dose: 400 mg/kg × 70 kg / 100 mg/mL = 280 mL"
    assert "escalate: 0.5 mL/kg/h × 70 kg = 35 mL/h" in order.arithmetic
    assert order.remarks == ()


@pytest.mark.parametrize(
    ("dose", "last", "count", "unreached"),
    [
        ("70 mL", (140_000, 17_500, 0), 3, "280 mL/h"),
        ("52.5 mL", (70_000, 35_000, 0), 2, "140 mL/h"),  # just as the step ends
        ("17.501 mL", (70_000, 1, 0), 2, "140 mL/h"),
    ],
)
def test_an_escalation_ends_where_the_vtbi_is_in(dose, last, count, unreached):
    order = parsed(
        f'program = "stepped"\nvtbi = "{dose}"\neach = "30 min"\n'
        'escalate = ["35 mL/h", "70 mL/h", "140 mL/h", "280 mL/h"]'
    )
    steps = order.prescription.records("steps")
    assert (len(steps), steps[-1]) == (count, last)
    (remark,) = order.remarks
    assert f"{dose} is in before {unreached} is reached" in remark


@given(
    st.lists(RATES, min_size=1, max_size=28), st.integers(1, 86_400), st.integers(100, 9_999_000)
)
def test_an_escalation_sums_to_its_vtbi(rates_ul_h, each_s, vtbi_ul):
    rates = ", ".join(f'"{orders.rate_text(rate_ul_h)}"' for rate_ul_h in rates_ul_h)
    order = parsed(
        f'program = "stepped"\nvtbi = "{orders.volume_text(vtbi_ul)}"\neach = "{each_s} s"\n'
        f"escalate = [{rates}]"
    )
    steps = order.prescription.records("steps")
    total_ul = sum(volume_ul + Fraction(rate * time_s, 3600) for rate, volume_ul, time_s in steps)
    # The last volume is rounded to a whole µL, and is at least one.
    assert abs(total_ul - vtbi_ul) <= 1
    assert [step[0] for step in steps] == rates_ul_h[: len(steps)]
    assert all(time_s == each_s for _, _, time_s in steps[:-1])
    assert steps[-1][1] > 0


def test_stepped_nutrition_of_2000_ml_in_12_h():
    """F = V / (4T - 10): 52.6, 105.3 and 210.5 mL/h."""
    order = parsed('program = "stepped"\nprofile = "tpn-stepped"\nvtbi = "2000 mL"\ntime = "12 h"')
    assert [step[0] for step in order.prescription.records("steps")] == [
        52_632,
        105_263,
        210_526,
        105_263,
        52_632,
    ]
    assert order.arithmetic[0] == (
        "F: 2000 mL / (4 × 12 h - 10 h) = 1000/19 mL/h, rounded to 52.632 mL/h"
    )


@given(st.integers(10_000, 9_999_000), st.integers(4 * 3600 + 1, 359_940))
def test_stepped_nutrition_sums_exactly_and_keeps_its_hours(vtbi_ul, duration_s):
    order = parsed(
        'program = "stepped"\nprofile = "tpn-stepped"\n'
        f'vtbi = "{orders.volume_text(vtbi_ul)}"\ntime = "{duration_s} s"'
    )
    steps = order.prescription.records("steps")
    assert sum(volume_ul for _, volume_ul, _ in steps) == vtbi_ul
    assert [rate for rate, _, _ in steps] == [rate for rate, _, _ in reversed(steps)]
    assert all(rate == volume_ul for rate, volume_ul, _ in (*steps[:2], *steps[3:]))
    once, twice, four_times = (rate for rate, _, _ in steps[:3])
    exact_ul_h = vtbi_ul / (4 * Fraction(duration_s, 3600) - 10)
    # Each rate is rounded for itself.
    for rate_ul_h, times in ((once, 1), (twice, 2), (four_times, 4)):
        assert abs(rate_ul_h - times * exact_ul_h) <= Fraction(1, 2)
    # What four roundings leave to the plateau, up to 2 µL, and the plateau's own rate, by half a
    # µL/h, are its time.
    exact_s = duration_s - 4 * 3600
    plateau_s = Fraction(steps[2][1] * 3600, four_times)
    assert abs(plateau_s - exact_s) <= (2 * 3600 + Fraction(exact_s, 2)) / four_times


def test_cyclic_nutrition_shows_its_plateau():
    """V / (T - (up + down) / 2): 2000 mL in 12 h with 1 h and 1 h: 181.8 mL/h."""
    order = parsed('program = "ramp"\nvtbi = "2 L"\ntime = "12 h"\nup = "1 h"\ndown = "1 h"')
    assert order.arithmetic == (
        "plateau: 2000 mL / (12:00 - (01:00 + 01:00) / 2) = 2000/11 mL/h, rounded to 181.818 mL/h",
    )


def test_steps_may_be_written_in_one_line_and_state_their_sum():
    order = parsed(
        'program = "stepped"\nvtbi = "10 mL"\n'
        'step = [{ rate = "5 mL/h", time = "1 h" }, { rate = "2 mL/h", volume = "5 mL" }]'
    )
    assert own_fields(order) == {"vtbi_ul": 10_000, "steps": [(5_000, 0, 3600), (2_000, 5_000, 0)]}


def test_the_arithmetic_of_a_step_says_which():
    order = parsed(
        'program = "stepped"\n[[therapy.step]]\nrate = "5 mg/h"\ntime = "1 h"\n'
        '[[therapy.step]]\nrate = "2 mL/h"\nvolume = "5 mg"',
        MORPHINE,
    )
    assert order.arithmetic == (
        "step 1 rate: 5 mg/h / 1 mg/mL = 5 mL/h",
        "step 2 volume: 5 mg / 1 mg/mL = 5 mL",
    )


def test_a_step_at_a_rounded_rate_keeps_its_dose():
    """Furosemide under the skin: 30 mg in 1 h, 12.5 mg/h for 4 h, 80 mg in all of 8 mg/mL."""
    order = parsed(
        'program = "stepped"\ndose = "80 mg"\n[[therapy.step]]\nrate = "30 mg/h"\ntime = "1 h"\n'
        '[[therapy.step]]\nrate = "12.5 mg/h"\ntime = "4 h"',
        '[drug]\nconcentration = "8 mg/mL"\n',
    )
    assert own_fields(order) == {
        "vtbi_ul": 10_000,
        "steps": [(3_750, 0, 3600), (1_563, 6_250, 0)],
    }
    assert order.arithmetic[-1] == "step 2 volume: 1.5625 mL/h × 04:00 = 6.25 mL"


def test_times_of_day_are_put_in_order():
    order = parsed(
        'program = "intermittent"\ndose = "10 mL"\nrate = "60 mL/h"\n'
        'at = ["20:30", "8:00", "00:00"]\nfor = "3 day"'
    )
    assert order.prescription.records("times") == [(0,), (480,), (1230,)]
    assert order.prescription.number("doses") == 9
    assert order.arithmetic == ("count: 72:00 / 24:00 × 3 = 9 doses",)


def test_an_order_by_the_time_of_day_is_told_the_time():
    daily = parsed(
        'program = "intermittent"\ndose = "10 mL"\nrate = "60 mL/h"\nat = ["08:00"]\ncount = 2'
    ).prescription
    assert daily.at_clock(100).fields == {**daily.fields, "clock_s": 100}
    hourly = parsed(
        'program = "intermittent"\ndose = "10 mL"\nrate = "60 mL/h"\nevery = "1 h"\ncount = 2'
    ).prescription
    assert hourly.at_clock(100) == hourly


# -- mistakes --------------------------------------------------------------------------------------

BASE = {
    "continuous": 'program = "continuous"\nrate = "5 mL/h"\nvtbi = "10 mL"\n',
    "intermittent": (
        'program = "intermittent"\ndose = "10 mL"\nrate = "60 mL/h"\nevery = "8 h"\ncount = 3\n'
    ),
    "daily": (
        'program = "intermittent"\ndose = "10 mL"\nrate = "60 mL/h"\nat = ["08:00"]\ncount = 3\n'
    ),
    "ramp": 'program = "ramp"\nvtbi = "100 mL"\ntime = "12 h"\nup = "1 h"\n',
    "stepped": (
        'program = "stepped"\n[[therapy.step]]\nrate = "5 mL/h"\ntime = "1 h"\n'
        '[[therapy.step]]\nrate = "2 mL/h"\nvolume = "5 mL"\n'
    ),
    "escalate": 'program = "stepped"\nvtbi = "100 mL"\nescalate = ["5 mL/h"]\neach = "1 h"\n',
    "profile": 'program = "stepped"\nvtbi = "100 mL"\nprofile = "tpn-stepped"\ntime = "12 h"\n',
    "pca": (
        'program = "pca"\ndemand = "1 mL"\nlockout = "6 min"\n'
        'limits = [{ within = "1 h", most = "10 mL" }]\n'
    ),
    "purge": 'program = "purge"\nvolume = "2 mL"\nrate = "300 mL/h"\n',
}


@pytest.mark.parametrize("name", sorted(BASE))
def test_what_the_mistakes_are_made_in_is_right(name):
    parsed(BASE[name])


@pytest.mark.parametrize(
    ("name", "old", "new", "where", "line", "said"),
    [
        # continuous
        ("continuous", "vtbi =", 'dose = "1 mL"\nvtbi =', "dose", 7, "there is both"),
        ("continuous", 'vtbi = "10 mL"', 'dose = "1 g"', "dose", 7, "takes a concentration"),
        ("continuous", 'vtbi = "10 mL"', 'vtbi = "1 mL/kg"', "vtbi", 7, "by body weight, and"),
        ("continuous", '"5 mL/h"', '"5 mL/kg/h"', "rate", 6, "by body weight, and there is none"),
        ("continuous", '"10 mL"', '"5 mg/h"', "vtbi", 7, "is not a volume but a dose rate"),
        ("continuous", '"10 mL"', '"-1 mL"', "vtbi", 7, "not above zero"),
        ("continuous", "vtbi =", 'loading = "1 mL"\nvtbi =', "loading_rate", 4, "there is neither"),
        ("continuous", "vtbi =", 'loading_time = "1 h"\nvtbi =', "loading_time", 7, "no loading"),
        (
            "continuous",
            "vtbi =",
            'loading = "1 mL"\nloading_time = "1 h"\nloading_rate = "1 mL/h"\nvtbi =',
            "loading_rate",
            9,
            "there is both",
        ),
        ("continuous", "vtbi =", 'up = "1 h"\nvtbi =', "up", 7, 'It belongs to "ramp"'),
        ("continuous", "vtbi =", 'each = "1 h"\nvtbi =', "each", 7, 'It belongs to "stepped"'),
        ("continuous", "vtbi =", 'lockout = "1 h"\nvtbi =', "lockout", 7, 'It belongs to "pca"'),
        ("continuous", "vtbi =", "count = 1\nvtbi =", "count", 7, 'It belongs to "intermittent"'),
        (
            "continuous",
            "vtbi =",
            'volume = "1 mL"\nvtbi =',
            "volume",
            7,
            'no key of the program "continuous". It belongs to "purge"',
        ),
        # intermittent
        ("intermittent", 'dose = "10 mL"\n', "", "dose", 4, "missing"),
        ("intermittent", "every", "vtbi", "vtbi", 8, 'belongs to "continuous" and "ramp" and'),
        ("intermittent", 'every = "8 h"\n', "", "every", 4, "there is neither"),
        ("intermittent", "every =", 'at = ["08:00"]\nevery =', "every", 9, "there is both"),
        ("intermittent", "count = 3\n", "", "count", 4, "there is neither"),
        ("intermittent", "count = 3", 'for = "8 h"\ncount = 3', "count", 10, "there is both"),
        ("intermittent", "count = 3", "count = 0", "count", 9, "0 is outside of 1 to 1000"),
        ("intermittent", "count = 3", "count = 1001", "count", 9, "1001 is outside of 1 to 1000"),
        ("intermittent", "count = 3", 'count = "3"', "count", 9, "not a whole number without"),
        ("intermittent", "count = 3", "count = 2.5", "count", 9, "not a whole number without"),
        (
            "intermittent",
            "count = 3",
            'for = "20 h"',
            "for",
            9,
            '20:00 is no whole number of 08:00. Write for = "16:00" or "24:00"',
        ),
        (
            "intermittent",
            "count = 3",
            'for = "4 h"',
            "for",
            9,
            '04:00 is no whole number of 08:00. Write for = "08:00", or count',
        ),
        ("intermittent", "count = 3", 'for = "9000 h"', "for", 9, "1125 doses are more than 1000"),
        ("intermittent", '"8 h"', '"0 h"', "every", 8, "not above zero"),
        ("daily", '"08:00"', '"25:00"', "at", 8, '"25:00" is no time of day. Write 00:00'),
        ("daily", '"08:00"', '"24:00"', "at", 8, '"24:00" is no time of day'),
        ("daily", '"08:00"', '"8:60"', "at", 8, '"8:60" is no time of day'),
        ("daily", '"08:00"', '"-8:00"', "at", 8, '"-8:00" is no time of day'),
        ("daily", '"08:00"', '"8 am"', "at", 8, '"8 am" is no time of day'),
        ("daily", '"08:00"', '"08:00", "8:00"', "at", 8, '"8:00" is there twice'),
        ("daily", '["08:00"]', '"08:00"', "at", 8, "08:00 is a text, not a list of texts"),
        ("daily", '["08:00"]', "[8]", "at", 8, "not a list of texts"),
        ("daily", '["08:00"]', "[]", "at", 8, "the list is empty"),
        (
            "daily",
            '"08:00"',
            ", ".join(f'"0{hour}:00"' for hour in range(9)),
            "at",
            8,
            "9 times of day are more than the 8",
        ),
        # ramp
        ("ramp", 'vtbi = "100 mL"\n', "", "vtbi", 4, "missing"),
        ("ramp", 'time = "12 h"\n', "", "time", 4, "missing"),
        ("ramp", 'up = "1 h"\n', "", "up", 4, "up, down or both; there is neither"),
        ("ramp", '"1 h"', '"13 h"', "up", 8, "13:00 up and 00:00 down are longer than the 12:00"),
        ("ramp", 'up = "1 h"', 'down = "13 h"', "down", 8, "00:00 up and 13:00 down are longer"),
        ("ramp", '"1 h"', '"6 h"\ndown = "6.01 h"', "up", 8, "are longer than the 12:00"),
        ("ramp", '"1 h"', '"-1 h"', "up", 8, "not above zero"),
        # stepped
        ("stepped", 'rate = "2 mL/h"\n', "", "step 2] rate", 9, "missing"),
        (
            "stepped",
            'time = "1 h"\n',
            "",
            "step 1] volume",
            6,
            "or a time; there is neither",
        ),
        ("stepped", 'volume = "5 mL"', "", "step 2] volume", 9, "there is neither"),
        (
            "stepped",
            'volume = "5 mL"',
            'volume = "1 mL"\ntime = "1 h"',
            "step 2] volume",
            11,
            "both",
        ),
        (
            "stepped",
            'volume = "5 mL"',
            'volum = "5 mL"',
            "step 2] volum",
            11,
            "Did you mean volume?",
        ),
        ("stepped", '"2 mL/h"', '"0 mL/h"', "step 2] rate", 10, "not above zero"),
        ("stepped", '"2 mL/h"', '"2 mL"', "step 2] rate", 10, "is not a rate but a volume"),
        (
            "stepped",
            '"stepped"',
            '"stepped"\nvtbi = "11 mL"',
            "vtbi",
            6,
            "the steps sum to 10 mL and not to 11 mL",
        ),
        (
            "stepped",
            '"stepped"',
            '"stepped"\nvtbi = "10.003 mL"',
            "vtbi",
            6,
            "the steps sum to 10 mL and not to 10.003 mL",
        ),
        ("stepped", '"stepped"', '"stepped"\neach = "1 h"', "each", 6, "goes with escalate, not"),
        ("stepped", '"stepped"', '"stepped"\ntime = "1 h"', "time", 6, "goes with profile, not"),
        (
            "stepped",
            '"stepped"',
            '"stepped"\nprofile = "tpn-stepped"',
            "step",
            4,
            "there is more than one",
        ),
        ("escalate", 'escalate = ["5 mL/h"]\n', "", "step", 4, "there is none of them"),
        ("escalate", '["5 mL/h"]', "[]", "escalate", 7, "the list is empty"),
        ("escalate", '["5 mL/h"]', '"5 mL/h"', "escalate", 7, "not a list of texts"),
        ("escalate", '["5 mL/h"]', '["5 mL/h", "6 mL"]', "escalate", 7, '"6 mL" is not a rate'),
        ("escalate", '"5 mL/h"', '"1 mL/kg/h"', "escalate", 7, "by body weight"),
        ("escalate", '"5 mL/h"', ", ".join(['"5 mL/h"'] * 29), "escalate", 7, "more than the 28"),
        ("escalate", 'each = "1 h"\n', "", "each", 4, "missing"),
        ("escalate", 'vtbi = "100 mL"\n', "", "vtbi", 4, "missing"),
        ("profile", '"tpn-stepped"', '"tpn"', "profile", 7, 'no profile "tpn"'),
        ("profile", '"12 h"', '"4 h"', "time", 8, "no time for 4F"),
        ("profile", 'time = "12 h"\n', "", "time", 4, "missing"),
        ("profile", 'vtbi = "100 mL"\n', "", "vtbi", 4, "missing"),
        # PCA
        ("pca", 'demand = "1 mL"\n', "", "demand", 4, "missing"),
        ("pca", 'lockout = "6 min"\n', "", "lockout", 4, "missing"),
        ("pca", '"1 mL"', '"1 mg"', "demand", 6, "takes a concentration"),
        ("pca", '"1 mL"', '"0 mL"', "demand", 6, "not above zero"),
        ("pca", '"6 min"', '"0 min"', "lockout", 7, "not above zero"),
        ("pca", ', most = "10 mL"', "", "limits 1] most", 8, "missing"),
        ("pca", 'within = "1 h", ', "", "limits 1] within", 8, "missing"),
        ("pca", "most =", "mos =", "limits 1] mos", 8, "Did you mean most?"),
        ("pca", '"10 mL"', '"10 mL/h"', "limits 1] most", 8, "is not a volume but a rate"),
        ("pca", '"10 mL"', '"0 mL"', "limits 1] most", 8, "not above zero"),
        (
            "pca",
            '"10 mL" }',
            '"10 mL" }, { within = "60 min", most = "9 mL" }',
            "limits 2] within",
            8,
            "there is a limit within 01:00 already",
        ),
        (
            "pca",
            '"10 mL" }',
            '"10 mL" }, { within = "2 h", most = "9 mL" }, { within = "4 h", most = "9 mL" }',
            "limits",
            8,
            "3 limits are more than the 2",
        ),
        ("pca", '[{ within = "1 h", most = "10 mL" }]', "3", "limits", 8, "not a list of tables"),
        ("pca", '[{ within = "1 h", most = "10 mL" }]', "[]", "limits", 8, "the list is empty"),
        ("pca", "demand =", 'rate = "1 mL/h"\ndemand =', "rate", 6, 'no key of the program "pca"'),
        # purge
        ("purge", 'volume = "2 mL"\n', "", "volume", 4, "missing"),
        ("purge", 'rate = "300 mL/h"\n', "", "rate", 4, "missing"),
        ("purge", "rate =", 'kvo = "off"\nrate =', "kvo", 7, 'no key of the program "purge"'),
        ("purge", "rate =", 'delay = "1 h"\nrate =', "delay", 7, 'no key of the program "purge"'),
    ],
)
def test_a_mistake_is_told_alone_with_line_key_and_remedy(name, old, new, where, line, said):
    assert old in BASE[name]
    label = f"[therapy.{where}" if "]" in where else f"[therapy] {where}"
    problems = problems_of(BASE[name].replace(old, new, 1))
    problem = next(found for found in problems if found.key == label)
    assert problem.line == line
    assert said in str(problem)
    assert problem.remedy
    # A mistake brings no others with it, but that a key is missing under its own name.
    others = [found.what for found in problems if found is not problem]
    assert all(what == "this is missing" or "there is neither" in what for what in others)


def test_steps_of_more_than_a_program_holds_are_refused():
    steps = '[[therapy.step]]\nrate = "5 mL/h"\ntime = "1 h"\n' * 29
    (problem,) = problems_of(f'program = "stepped"\n{steps}')
    assert "29 steps are more than the 28" in problem.what


def test_what_a_wrong_weight_or_concentration_was_for_is_no_problem_of_its_own():
    problems = problems_of(
        'program = "continuous"\nrate = "5 mcg/kg/min"\ndose = "1 g"',
        '[patient]\nweight = "70"\n[drug]\nconcentration = "5 mg"\n',
    )
    assert [problem.key for problem in problems] == ["[patient] weight", "[drug] concentration"]


def test_units_take_no_concentration_in_mg():
    (problem,) = problems_of(
        'program = "continuous"\nrate = "5 mL/h"\ndose = "100 units"', MORPHINE
    )
    assert problem.what == '"100 units" is in units, and the drug is in mg'


def test_a_program_that_is_not_known_brings_no_strangers_with_it():
    (problem,) = problems_of(BASE["pca"].replace('"pca"', '"pcs"'))
    assert problem.what == 'there is no program "pcs"'
    assert '"pca"' in problem.remedy


def test_everything_that_is_wrong_with_an_order_is_told_at_once():
    problems = problems_of(
        'program = "intermittent"\ndose = "400 mg/kg"\nrate = "10 mg"\nat = ["25:00", "8:60"]\n'
        'for = "100 h"\nup = "3"\ndelay = "0 h"',
        '[drug]\nconcentration = "5 %"\n',
    )
    assert [(problem.key, problem.line) for problem in problems] == [
        ("[therapy] dose", 8),
        ("[therapy] rate", 9),
        ("[therapy] at", 10),
        ("[therapy] at", 10),
        ("[therapy] up", 12),
        ("[therapy] delay", 13),
    ]
