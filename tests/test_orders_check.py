"""Orders as the core sees them: what it makes of each, what it refuses, the examples, the document.

What is checked here is that the core's own figures and reasons come through; that they are right is
tested with the core.
"""

import re
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import UNNAMED

from micropump import catalogue, mechanism, program, therapy, wire
from micropump_host import orders
from micropump_host.orders import read, refusals

REPO = Path(__file__).resolve().parent.parent
EXAMPLES = REPO / "examples" / "orders"

GOOD = """\
[order]
id = "an-order"

[therapy]
program = "continuous"

rate = "5 mL/h"
vtbi = "10 mL"

[container]
syringe = "bd-plastipak-50"
content = "50 mL"

[pump]
drive = "t8-2mm-16"
"""
BAG = '\n[container]\nhead = "kamoer-kphm400-b25"\ncontent = "500 mL"\n'


def edited(*edits: tuple[str, str]) -> str:
    """GOOD with each (old, new) put through; an edit that changes nothing is a broken test."""
    text = GOOD
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    return text


def from_bag(therapy_text: str, before: str = "") -> str:
    return f'[order]\nid = "an-order"\n{before}[therapy]\n{therapy_text}{BAG}'


def checked(text: str, drive_id: str = "", clock_s: int | None = None) -> orders.CheckedOrder:
    return orders.check_order(orders.parse_order(text, "x.toml"), drive_id, clock_s)


def refusal_of(text: str, drive_id: str = "") -> orders.OrderError:
    order = orders.parse_order(text, "x.toml")
    with pytest.raises(orders.OrderError) as caught:
        orders.check_order(order, drive_id)
    return caught.value


# -- what the pump will do -------------------------------------------------------------------------


def test_a_checked_order_says_what_the_pump_will_do():
    found = checked(GOOD)
    assert found.item_name == "BD Plastipak 50 mL"
    assert found.drive_id == "t8-2mm-16"
    assert (found.first_rate_ul_h, found.least_rate_ul_h, found.greatest_rate_ul_h) == (5000,) * 3
    assert (found.vtbi_ul, found.loading_ul, found.kvo_ul_h) == (10_000, 0, 1000)
    assert (found.containers, found.containers_needed) == (1, 1)
    assert (found.amount, found.amount_unit) == (None, "")
    assert found.warnings == ()
    # A whole number of microsteps within the VTBI, and not one more would fit.
    delivered_nl = found.target_steps * found.nl_per_step
    assert delivered_nl <= 10_000_000 < delivered_nl + found.nl_per_step
    # Less than a microstep of 0.44 µL at 5 mL/h is less than a second.
    assert 7199 <= found.duration_s <= 7200


def test_the_timeline_is_the_programs_own():
    found = checked(from_bag('program = "continuous"\nrate = "60 mL/h"\nvtbi = "10 mL"\n'))
    flow, keeping_open = orders.timeline(found.program)
    assert (flow.start_ms, flow.rate_ul_h, flow.bucket) == (0, 60_000, program.INFUSED)
    assert flow.steps == found.target_steps
    assert flow.duration_ms // 1000 == found.duration_s
    assert (keeping_open.bucket, keeping_open.duration_ms) == (program.KVO, -1)


def test_what_is_given_beside_the_vtbi_is_told():
    found = checked(
        from_bag(
            'program = "continuous"\ndose = "100 mg"\nrate = "10 mg/h"\n'
            'loading = "20 mg"\nloading_rate = "60 mL/h"\ndelay = "1 h"\nkvo = "off"\n',
            '[drug]\nconcentration = "2 mg/mL"\n',
        )
    )
    assert (found.vtbi_ul, found.loading_ul) == (50_000, 10_000)
    assert (found.amount, found.amount_unit) == (120, "mg")
    assert (found.first_rate_ul_h, found.greatest_rate_ul_h) == (5_000, 60_000)
    # 1 h of delay, 10 min of loading dose, 10 h of infusion; a phase is a microstep short at most.
    assert found.duration_s == pytest.approx(3600 + 600 + 36_000, abs=1)


def test_doses_of_an_intermittent_order_are_counted_with_their_gaps():
    found = checked(
        from_bag(
            'program = "intermittent"\ndose = "30 mL"\ntime = "30 min"\nevery = "8 h"\n'
            'count = 12\nkvo = "off"\n'
        )
    )
    assert (found.vtbi_ul, found.first_rate_ul_h) == (360_000, 60_000)
    assert found.duration_s == pytest.approx(11 * 8 * 3600 + 1800, abs=1)


def test_kvo_in_the_gaps_can_take_another_container():
    text = (
        'program = "intermittent"\ndose = "40 mL"\nrate = "60 mL/h"\nevery = "8 h"\ncount = 12\n'
        'kvo = "3 mL/h"\n'
    )
    found = checked(from_bag(text))
    assert (found.containers, found.containers_needed) == (1, 2)
    (warning,) = (text for text in found.warnings if "containers are needed" in text)
    kept_open_ml = float(warning.partition("takes ")[2].partition(" mL")[0])
    # 3 mL/h for 11 times 7 h 20 min, beside 480 mL of doses; a gap is whole microsteps of 0.5 µL.
    assert kept_open_ml == pytest.approx(3 * 11 * 22 / 3, abs=11 * 0.001)
    assert checked(from_bag(text.replace('"3 mL/h"', '"off"'))).containers_needed == 1


def test_a_therapy_of_several_containers_is_planned_and_told():
    text = edited(("vtbi =", "vtbi ="), ('"10 mL"', '"120 mL"'), ('"50 mL"', '"50 mL"\ncount = 3'))
    found = checked(text)
    assert (found.containers, found.containers_needed) == (3, 3)
    assert "3 containers of 50 mL are planned, changed in mid-therapy" in found.warnings
    error = refusal_of(text.replace("count = 3", "count = 2"))
    assert "a VTBI of 120 mL is more than the 100 mL in 2 containers" in str(error)
    assert "count = 3" in error.remedy


def test_a_pca_flows_at_its_basal_rate_and_with_a_demand_on_top():
    text = (
        'program = "pca"\nbasal = "1 mL/h"\ndemand = "1 mL"\nlockout = "6 min"\n'
        'limits = [{ within = "1 h", most = "12 mL" }]\n'
    )
    found = checked(from_bag(text))
    assert (found.first_rate_ul_h, found.least_rate_ul_h) == (1_000, 1_000)
    assert found.greatest_rate_ul_h == 1_000 + 125_000
    without = checked(from_bag(text.replace('basal = "1 mL/h"\n', "")))
    assert (without.first_rate_ul_h, without.duration_s) == (0, 0)


def test_a_ramp_shows_its_plateau():
    found = checked(
        from_bag('program = "ramp"\nvtbi = "400 mL"\ntime = "12 h"\nup = "1 h"\ndown = "1 h"\n')
    )
    # V / (T - (up + down) / 2)
    assert found.greatest_rate_ul_h == round(400_000 / 11)
    assert found.duration_s == pytest.approx(12 * 3600, abs=60)
    assert any(
        "the plateau is 36.36364 mL/h; the pump runs 36.364 mL/h" in text for text in found.warnings
    )


def test_a_purge_keeps_nothing_open():
    found = checked(from_bag('program = "purge"\nvolume = "2 mL"\nrate = "300 mL/h"\n'))
    assert (found.vtbi_ul, found.kvo_ul_h) == (2_000, 0)


DAILY = (
    'program = "intermittent"\ndose = "10 mL"\nrate = "60 mL/h"\nat = ["08:00", "20:00"]\n'
    'count = 4\nkvo = "off"\n'
)


@pytest.mark.parametrize(
    ("clock_s", "told_s", "first_s"),
    [
        (None, 28_800, 0),
        (27_000, 27_000, 1_800),
        (28_801, 28_801, 43_199),
        (80_000, 80_000, 35_200),
    ],
)
def test_daily_times_are_from_the_time_it_is_or_else_from_the_first(clock_s, told_s, first_s):
    found = checked(from_bag(DAILY), clock_s=clock_s)
    assert found.prescription.number("clock_s") == told_s
    doses = [row for row in orders.timeline(found.program) if row.bucket == program.INFUSED]
    # What comes at once begins with the next quantum of 0.1 s.
    assert doses[0].start_ms == pytest.approx(first_s * 1000, abs=100)
    assert doses[1].start_ms - doses[0].start_ms == 43_200_000


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            '"5 mL/h"',
            '"0.5 mL/h"',
            "0.5 mL/h is below the least recommended rate of 1 mL/h for BD Plastipak 50 mL",
        ),
        (
            "vtbi =",
            'kvo = "0.7 mL/h"\nvtbi =',
            "the KVO rate of 0.7 mL/h is below the least recommended rate of 1 mL/h",
        ),
        (
            'rate = "5 mL/h"',
            'time = "90 min"',
            "10 mL in 01:30 is 6.666667 mL/h; the pump runs 6.667 mL/h",
        ),
        (
            'program = "continuous"\n\nrate = "5 mL/h"',
            'program = "stepped"\neach = "1 h"\nescalate = ["5 mL/h", "6 mL/h", "7 mL/h"]',
            "the VTBI of 10 mL is in before 7 mL/h is reached",
        ),
    ],
)
def test_what_is_allowed_but_should_be_known_is_a_warning(old, new, said):
    assert any(said in warning for warning in checked(edited((old, new))).warnings)


def test_the_drive_is_the_fitted_one_then_the_orders_then_the_kinds_own():
    silent = edited(('drive = "t8-2mm-16"\n', ""))
    assert checked(silent).drive_id == "t8-2mm-16"
    assert checked(silent, "t8-8mm-16").drive_id == "t8-8mm-16"
    assert checked(edited(("t8-2mm-16", "m5-0.8-32"))).drive_id == "m5-0.8-32"
    bag = from_bag('program = "continuous"\nrate = "60 mL/h"\nvtbi = "10 mL"\n')
    assert checked(bag).drive_id == "direct-16"


# -- what it refuses -------------------------------------------------------------------------------


def test_another_drive_than_ordered_is_refused():
    error = refusal_of(GOOD, "t8-8mm-16")
    assert 'the order is for the drive "t8-2mm-16", fitted is "t8-8mm-16"' in error.what
    assert "line 15, [pump] drive" in error.where


def test_a_drive_of_the_other_kind_or_of_none_is_refused():
    text = edited(('drive = "t8-2mm-16"\n', ""))
    for drive_id in ("direct-16", "t9"):
        error = refusal_of(text, drive_id)
        assert f'no drive "{drive_id}" for a syringe' in error.what
        assert "t8-2mm-16" in error.remedy


PCA = (
    'program = "pca"\nbasal = "1 mL/h"\ndemand = "1 mL"\nlockout = "6 min"\nvtbi = "40 mL"\n'
    'limits = [{ within = "1 h", most = "10 mL" }]'
)
EVERY = 'program = "intermittent"\ndose = "10 mL"\nrate = "60 mL/h"\nevery = "8 h"\ncount = 3'
RAMP = 'program = "ramp"\nvtbi = "40 mL"\ntime = "2 h"\nup = "1 h"'
STEPS = (
    'program = "stepped"\n[[therapy.step]]\nrate = "5 mL/h"\ntime = "1 h"\n[[therapy.step]]\n'
    'rate = "2 mL/h"\nvolume = "5 mL"'
)
CONTINUOUS = 'program = "continuous"\n\nrate = "5 mL/h"\nvtbi = "10 mL"'
PURGE = 'program = "purge"\nvolume = "2 mL"\nrate = "300 mL/h"'
TINY = [("-50", "-1"), ('content = "50 mL"', 'content = "1 mL"'), ("t8-2mm-16", "m5-0.8-16")]


@pytest.mark.parametrize(
    ("program_text", "edits", "label", "line", "parts"),
    [
        (
            CONTINUOUS,
            [('"5 mL/h"', '"1300 mL/h"')],
            "[therapy] rate",
            7,
            ["1300 mL/h is outside of 0.01 mL/h to 1200 mL/h", "BD Plastipak 50 mL", "lower rate"],
        ),
        (
            CONTINUOUS,
            [('"5 mL/h"', '"0.009 mL/h"')],
            "[therapy] rate",
            7,
            ["0.009 mL/h is outside of 0.01 mL/h", "higher rate"],
        ),
        (
            CONTINUOUS,
            [('"5 mL/h"', '"300 mL/h"'), *TINY, ('"10 ', '"1 ')],
            "[therapy] rate",
            7,
            ["300 mL/h is outside of 0.01 mL/h to 258.409 mL/h", "m5-0.8-16", "lower rate"],
        ),
        (
            CONTINUOUS,
            [('rate = "5 mL/h"', 'time = "20 s"')],
            "[therapy] time",
            7,
            ["10 mL in 00:00:20 takes 1800 mL/h", "0.01 mL/h to 1200 mL/h", "longer time"],
        ),
        (
            CONTINUOUS,
            [('rate = "5 mL/h"', 'time = "99 h"'), ('"10 mL"', '"0.1 mL"')],
            "[therapy] time",
            7,
            ["0.1 mL in 99:00 takes 0.001 mL/h", "shorter time"],
        ),
        (
            CONTINUOUS,
            [('rate = "5 mL/h"', 'time = "100 h"')],
            "[therapy] time",
            7,
            ["100:00 is outside of what the pump takes, at most 99:59"],
        ),
        (
            CONTINUOUS,
            [("[therapy]", '[patient]\nweight = "1000 kg"\n\n[therapy]')],
            "[patient] weight",
            5,
            ["1000 kg is outside of what the pump takes, at most 999.999 kg"],
        ),
        (
            CONTINUOUS,
            [("vtbi =", 'delay = "100 h"\nvtbi =')],
            "[therapy] delay",
            8,
            ["100:00 is outside of what the pump takes, at most 99:59"],
        ),
        (
            CONTINUOUS,
            [('"10 mL"', '"0.09 mL"')],
            "[therapy] vtbi",
            8,
            ["VTBI of 0.09 mL is outside of 0.1 mL to 9999 mL"],
        ),
        (
            CONTINUOUS,
            [('"10 mL"', '"10 L"')],
            "[therapy] vtbi",
            8,
            ["VTBI of 10000 mL is outside of 0.1 mL to 9999 mL"],
        ),
        (
            CONTINUOUS,
            [('"10 mL"', '"50.001 mL"')],
            "[therapy] vtbi",
            8,
            ["VTBI of 50.001 mL is more than the 50 mL in the container", "count = 2"],
        ),
        (
            CONTINUOUS,
            [
                ('vtbi = "10 mL"', 'dose = "45 mg"\nloading = "6 mg"\nloading_rate = "6 mL/h"'),
                ("[therapy]", '[drug]\nconcentration = "1 mg/mL"\n[therapy]'),
            ],
            "[therapy] dose",
            10,
            ["VTBI of 45 mL and a loading dose of 6 mL are more than the 50 mL", "count = 2"],
        ),
        (
            CONTINUOUS,
            [('content = "50 mL"', 'content = "50.001 mL"')],
            "[container] content",
            12,
            ["50.001 mL is more than the 50 mL that BD Plastipak 50 mL holds"],
        ),
        (
            CONTINUOUS,
            [('content = "50 mL"', 'content = "10 L"')],
            "[container] content",
            12,
            ["10000 mL is outside of what the pump takes, at most 9999 mL"],
        ),
        (
            CONTINUOUS,
            [("vtbi =", 'kvo = "6 mL/h"\nvtbi =')],
            "[therapy] kvo",
            8,
            ["KVO rate of 6 mL/h is above the 5 mL/h of the therapy", '"rule"'],
        ),
        (
            CONTINUOUS,
            [("vtbi =", 'kvo = "0.009 mL/h"\nvtbi =')],
            "[therapy] kvo",
            8,
            ["KVO rate of 0.009 mL/h is outside of 0.01 mL/h to 5 mL/h"],
        ),
        (
            CONTINUOUS,
            [("vtbi =", 'kvo = "1201 mL/h"\nvtbi =')],
            "[therapy] kvo",
            8,
            ["KVO rate of 1201 mL/h is"],
        ),
        (
            CONTINUOUS,
            [("vtbi =", 'loading = "1 mL"\nloading_rate = "1300 mL/h"\nvtbi =')],
            "[therapy] loading_rate",
            9,
            ["a loading rate of 1300 mL/h is outside of"],
        ),
        (
            CONTINUOUS,
            [("vtbi =", 'loading = "1 mL"\nloading_time = "1 s"\nvtbi =')],
            "[therapy] loading_time",
            9,
            ["a loading rate of 3600 mL/h is outside of"],
        ),
        (
            CONTINUOUS,
            [("vtbi =", 'loading = "1 µL"\nloading_rate = "1 mL/h"\nvtbi =')],
            "[therapy] loading",
            8,
            ["a loading dose of 0.001 mL is less than the 0.01 mL"],
        ),
        (
            EVERY,
            [("count = 3", "count = 6")],
            "[therapy] dose",
            6,
            ["6 doses of 10 mL are more than the 50 mL in the container", "count = 2"],
        ),
        (
            EVERY,
            [("count = 3", 'for = "8000 h"')],
            "[therapy] for",
            9,
            ["a count of 1000 is outside of 1 to 999"],
        ),
        (
            EVERY,
            [('"8 h"', '"9 min"')],
            "[therapy] every",
            8,
            ["00:09 from dose to dose is shorter than the 00:10:01 that a dose takes"],
        ),
        (
            EVERY,
            [('every = "8 h"', 'at = ["08:00", "08:05"]')],
            "[therapy] at",
            8,
            ["00:05 from dose to dose is shorter"],
        ),
        (
            EVERY,
            [('rate = "60 mL/h"', 'time = "20 s"')],
            "[therapy] time",
            7,
            ["10 mL in 00:00:20 takes 1800 mL/h"],
        ),
        (
            RAMP,
            [('"2 h"', '"3 min"'), ('"1 h"', '"3 min"')],
            "[therapy] time",
            7,
            ["40 mL in 00:03 takes 1600 mL/h", "longer time"],
        ),
        (
            STEPS,
            [('"2 mL/h"', '"1300 mL/h"')],
            "[therapy.step 2]",
            9,
            ["in step 2 a rate of 1300 mL/h is outside of", "lower rate"],
        ),
        (
            'program = "stepped"\nvtbi = "20 mL"\neach = "1 h"\nescalate = ["5 mL/h", "1300 mL/h"]',
            [],
            "[therapy] escalate",
            8,
            ["in step 2 a rate of 1300 mL/h is outside of"],
        ),
        (
            STEPS,
            [('"1 h"', '"10 h"')],
            "[therapy] vtbi",
            4,
            ["VTBI of 55 mL is more than the 50 mL"],
        ),
        (
            PCA,
            [('"10 mL"', '"1.5 mL"')],
            "[therapy.limits 1] most",
            10,
            ["a limit of 1.5 mL is less than the 2 mL of one dose and the basal flow"],
        ),
        (
            PCA,
            [('within = "1 h"', 'within = "30 s"')],
            "[therapy.limits 1] within",
            10,
            ["a window of 00:00:30 is outside of 00:01 to 24:00"],
        ),
        (
            PCA,
            [('"6 min"', '"20 s"')],
            "[therapy] lockout",
            8,
            ["a lockout of 00:00:20 is shorter than the 00:00:30 that a demand dose takes"],
        ),
        (
            PCA,
            [('demand = "1 mL"', 'demand = "41 mL"')],
            "[therapy] demand",
            7,
            ["a demand dose of 41 mL is more than the 40 mL"],
        ),
        (
            PCA,
            [('demand = "1 mL"', 'demand = "1 µL"')],
            "[therapy] demand",
            7,
            ["a demand dose of 0.001 mL is less than the 0.01 mL"],
        ),
        (
            PCA,
            [('demand = "1 mL"', 'demand = "1 mL"\ndemand_rate = "1300 mL/h"')],
            "[therapy] demand_rate",
            8,
            ["a demand rate of 1300 mL/h is outside of"],
        ),
        (
            PCA,
            [
                ('"1 mL/h"', '"3 mL/h"'),
                ('demand = "1 mL"', 'demand = "1 mL"\ndemand_rate = "1198 mL/h"'),
            ],
            "[therapy] demand_rate",
            8,
            ["1198 mL/h and the basal rate are above what", "it can run 1197 mL/h"],
        ),
        (
            PCA,
            [('"40 mL"', '"60 mL"')],
            "[therapy] vtbi",
            9,
            ["VTBI of 60 mL is more than the 50 mL"],
        ),
        (
            PURGE,
            [('"2 mL"', '"1 µL"')],
            "[therapy] volume",
            6,
            ["a purge of 0.001 mL is less than the 0.01 mL"],
        ),
        (
            PURGE,
            [('"2 mL"', '"60 mL"')],
            "[therapy] volume",
            6,
            ["a purge of 60 mL is more than the 50 mL in the container"],
        ),
        (
            PURGE,
            [('"300 mL/h"', '"1300 mL/h"')],
            "[therapy] rate",
            7,
            ["1300 mL/h is outside of"],
        ),
    ],
)
def test_what_the_core_refuses_is_told_with_line_value_range_and_remedy(
    program_text, edits, label, line, parts
):
    text = GOOD.replace(CONTINUOUS, program_text)
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    (problem,) = refusal_of(text).problems
    assert (problem.key, problem.line) == (label, line)
    assert problem.remedy
    for part in parts:
        assert part in str(problem)


def test_every_reason_to_refuse_has_its_words():
    """So that no code of the core is ever told as a number."""
    told = set(refusals.WORDS) | {
        therapy.OK,
        therapy.RATE_BELOW_RANGE,
        therapy.RATE_ABOVE_RANGE,
        therapy.VTBI_ABOVE_CONTENT,
    }
    assert told == set(range(therapy.CANNOT_REVERSE + 1))


@pytest.mark.parametrize("code", sorted(refusals.WORDS))
def test_the_words_of_a_refusal_take_whatever_figures_come(code):
    order = orders.parse_order(GOOD, "x.toml")
    built = mechanism.build(1, "bd-plastipak-50", "t8-2mm-16")
    error = refusals.refused(order, built, therapy.RefusedError(code, "", 1, 2, 3))
    assert "{" not in str(error)
    assert error.remedy


def test_every_field_of_the_wire_has_a_key_in_the_file():
    for message in (
        wire.PROGRAM,
        wire.PROGRAM_INTERMITTENT,
        wire.PROGRAM_RAMP,
        wire.PROGRAM_STEPPED,
        wire.PROGRAM_PCA,
        wire.PROGRAM_PURGE,
    ):
        for name, *_ in wire.fields_of(message):
            assert name in refusals.LABELS


ITEMS = [(mechanism.KIND_SYRINGE, row[0]) for row in catalogue.SYRINGES] + [
    (mechanism.KIND_PERISTALTIC, row[0]) for row in catalogue.PERISTALTIC_HEADS
]
KVOS = st.one_of(st.just(therapy.KVO_BY_RULE), st.just(therapy.KVO_OFF), st.integers(1, 1_300_000))
VOLUMES = st.one_of(st.integers(0, 2_000), st.integers(50, 11_000_000))
RATES = st.one_of(st.just(0), st.integers(1, 1_500_000))
TIMES = st.one_of(st.just(0), st.integers(1, 400_000))
# Of the drug, as an order's file comes to it: there is no weight that it cannot tell.
ORDERED = {
    "concentration_in": st.integers(0, 2),
    "concentration_mantissa": st.integers(0, 2**32 - 1),
    "concentration_exponent": st.integers(-12, 12),
    "weight_g": st.one_of(st.just(0), st.integers(1, 1_100_000)),
}
OWN_FIELDS = {
    program.CONTINUOUS: {
        "rate_ul_h": RATES,
        "vtbi_ul": VOLUMES,
        "duration_s": TIMES,
        "loading_ul": VOLUMES,
        "loading_ul_h": RATES,
    },
    program.INTERMITTENT: {
        "dose_ul": VOLUMES,
        "rate_ul_h": RATES,
        "duration_s": TIMES,
        "interval_s": TIMES,
        "doses": st.integers(0, 1001),
        "times": st.lists(st.integers(0, 1500).map(lambda minute: (minute,)), max_size=9),
        "clock_s": st.just(86_400),
    },
    program.RAMP: {"vtbi_ul": VOLUMES, "duration_s": TIMES, "up_s": TIMES, "down_s": TIMES},
    program.STEPPED: {
        "vtbi_ul": VOLUMES,
        "steps": st.lists(st.tuples(RATES, VOLUMES, TIMES), max_size=29),
    },
    program.PCA: {
        "vtbi_ul": VOLUMES,
        "rate_ul_h": RATES,
        "demand_ul": VOLUMES,
        "demand_ul_h": RATES,
        "lockout_s": TIMES,
        "window_1_s": TIMES,
        "limit_1_ul": VOLUMES,
        "window_2_s": TIMES,
        "limit_2_ul": VOLUMES,
        "loading_ul": VOLUMES,
        "loading_ul_h": RATES,
    },
    program.PURGE: {"volume_ul": VOLUMES, "rate_ul_h": RATES, "reverse": st.integers(0, 2)},
}


def in_range(fields: dict, message: int) -> bool:
    for name, kind, _, least, greatest in wire.fields_of(message):
        if kind != wire.TEXT:
            value = fields[name]
            if not least <= (len(value) if isinstance(value, list) else value) <= greatest:
                return False
    return True


@pytest.mark.parametrize("kind", sorted(OWN_FIELDS))
@given(data=st.data())
def test_the_check_says_yes_to_nothing_that_the_core_or_the_wire_refuses(kind, data):
    item_kind, item_id = data.draw(st.sampled_from(ITEMS))
    content_ul, containers = data.draw(VOLUMES), data.draw(st.integers(1, 99))
    fields = {
        "kind": item_kind,
        "item_id": item_id,
        "content_ul": content_ul,
        "containers": containers,
        **UNNAMED,
        "order_id": "any",
        **{name: data.draw(values) for name, values in ORDERED.items()},
        "delay_s": data.draw(TIMES),
        "kvo_ul_h": data.draw(KVOS),
        **{name: data.draw(values) for name, values in OWN_FIELDS[kind].items()},
    }
    prescription = orders.Prescription(kind, fields)
    container = orders.Container(item_kind, item_id, content_ul, containers)
    order = orders.Order("any", "", container, prescription)
    built = mechanism.build(item_kind, item_id, orders.default_drive_id(item_kind))
    told = {**fields, "clock_s": fields["times"][0][0] * 60} if fields.get("times") else fields
    allowed = in_range(told, prescription.message)
    if allowed:
        try:
            therapy.make(kind, built, told)
        except therapy.RefusedError:
            allowed = False
    if not allowed:
        with pytest.raises(orders.OrderError, match=r'^order "any"'):
            orders.check_order(order)
        return
    found = orders.check_order(order)
    assert found.prescription.fields == told
    assert found.target_steps * found.nl_per_step <= found.vtbi_ul * 1000
    assert found.least_rate_ul_h <= found.greatest_rate_ul_h <= built.greatest_rate_ul_h
    assert found.containers_needed >= 1


# -- the examples ----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_an_example_is_an_order_that_can_be_delivered(path):
    order = orders.load_order(path)
    assert order.order_id == path.stem
    assert orders.check_order(order).target_steps > 0


# file -> what it comes to: rate_ul_h, kvo_ul_h, number of warnings; and its nominal time.
EXPECTED = {
    "antibiotic-over-a-day": (10_000, 3_000, 0, 86_400),
    "demo-peristaltic": (25_000, 3_000, 0, 7_200),
    "demo-syringe": (5_000, 1_000, 0, 7_200),
    "fast-from-a-bag": (1_200_000, 0, 0, 1_500),
    "hours-and-minutes": (120_000, 0, 0, 6_000),
    "litres-a-day": (100_000, 3_000, 1, 36_000),
    "microlitres-a-minute": (300, 0, 0, 20_400),
    "own-keep-open-rate": (4_000, 500, 0, 10_800),
    "slow-from-a-large-syringe": (500, 500, 2, 21_600),
    "to-the-last-drop": (6_000, 1_000, 0, 10_800),
}


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_continuous_example_comes_to_what_it_says(name):
    found = orders.check_order(orders.load_order(EXAMPLES / f"{name}.toml"))
    rate_ul_h, kvo_ul_h, warnings, duration_s = EXPECTED[name]
    assert (found.first_rate_ul_h, found.kvo_ul_h) == (rate_ul_h, kvo_ul_h)
    assert len(found.warnings) == warnings
    # The VTBI is short of a whole microstep by less than one, and the time by that.
    step_s = found.nl_per_step * Fraction(36, 10) / rate_ul_h
    assert duration_s - step_s - 1 <= found.duration_s <= duration_s


def test_the_demo_orders_are_those_of_the_standards_intermediate_rates():
    syringe = orders.load_order(EXAMPLES / "demo-syringe.toml")
    assert syringe.container == orders.Container(1, "bd-plastipak-50", 50_000)
    assert syringe.prescription.number("vtbi_ul") == 10_000
    peristaltic = orders.check_order(orders.load_order(EXAMPLES / "demo-peristaltic.toml"))
    assert (peristaltic.order.container.content_ul, peristaltic.vtbi_ul) == (500_000, 50_000)
    assert peristaltic.program.mechanism.least_rate_ul_h <= peristaltic.kvo_ul_h


# -- the document ----------------------------------------------------------------------------------

DOCUMENT = (REPO / "docs" / "orders.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```toml\n(.*?)```", DOCUMENT, re.DOTALL)
DOCUMENTED = """\
[order]
id = "a"

[therapy]
program = "continuous"

rate = "5 mL"
vtbi = "10 mL"

[container]
syringe = "bd-plastipack-50"
"""


@pytest.mark.parametrize("text", BLOCKS, ids=lambda text: text.split('"')[1])
def test_an_order_of_the_document_can_be_delivered(text):
    assert checked(text).target_steps > 0


def test_the_document_shows_every_program():
    shown = {orders.parse_order(text, "x.toml").prescription.kind for text in BLOCKS}
    assert shown == set(orders.PROGRAM_NAMES)


def test_the_document_shows_the_arithmetic_as_it_is():
    for text in BLOCKS:
        for line in orders.parse_order(text, "x.toml").arithmetic:
            assert line in DOCUMENT


def test_the_document_shows_errors_as_they_are():
    with pytest.raises(orders.OrderError) as unreadable:
        orders.parse_order(DOCUMENTED, "my-order.toml")
    assert f"```\n{unreadable.value}\n```" in DOCUMENT
    text = DOCUMENTED.replace('"5 mL"', '"1300 mL/h"').replace("plastipack", "plastipak")
    with pytest.raises(orders.OrderError) as refused:
        orders.check_order(orders.parse_order(text, "my-order.toml"))
    assert f"```\n{refused.value}\n```" in DOCUMENT


def test_the_document_names_every_key():
    for section, keys in read.ALL_KEYS.items():
        for key in keys:
            if section == "therapy":
                assert f"`{key}`" in DOCUMENT
            else:
                assert f"`[{section}]` `{key}`" in DOCUMENT
