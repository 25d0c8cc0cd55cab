"""Order files: exact quantities, every refusal with its place and remedy, and the examples."""

from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micropump import catalogue, mechanism, therapy, units, wire
from micropump_host import orders
from micropump_host.errors import EXIT_REFUSED, MicropumpError

REPO = Path(__file__).resolve().parent.parent
EXAMPLES = REPO / "examples" / "orders"

GOOD = """\
[order]
id = "an-order"
note = "for the tests"

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


def edited(*edits: tuple[str, str]) -> str:
    """GOOD with each (old, new) put through; an edit that changes nothing is a broken test."""
    text = GOOD
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    return text


def problems_of(text: str) -> tuple[orders.Problem, ...]:
    with pytest.raises(orders.OrderError) as caught:
        orders.parse_order(text, "x.toml")
    return caught.value.problems


def refusal_of(text: str, drive_id: str = "") -> orders.OrderError:
    order = orders.parse_order(text, "x.toml")
    with pytest.raises(orders.OrderError) as caught:
        orders.check_order(order, drive_id)
    return caught.value


# -- quantities ------------------------------------------------------------------------------------

# unit -> (µL/h that it is, rates in µL/h that have a finite decimal in it: multiples of this).
RATE_UNITS = {
    "mL/h": (Fraction(1000), 1),
    "ml/hr": (Fraction(1000), 1),
    "milliliter / hour": (Fraction(1000), 1),
    "cc per h": (Fraction(1000), 1),
    "cm^3/h": (Fraction(1000), 1),
    "cm³/h": (Fraction(1000), 1),
    "µL/h": (Fraction(1), 1),
    "μL/h": (Fraction(1), 1),  # the Greek mu, where the one above is the micro sign
    "uL/h": (Fraction(1), 1),
    "µL/min": (Fraction(60), 3),
    "mL/min": (Fraction(60_000), 3),
    "nL/s": (Fraction(18, 5), 9),
    "L/h": (Fraction(1_000_000), 1),
    "L/day": (Fraction(125_000, 3), 1),
}
VOLUME_UNITS = {
    "mL": Fraction(1000),
    "µL": Fraction(1),
    "L": Fraction(1_000_000),
    "dl": Fraction(100_000),
    "cm^3": Fraction(1000),
    "nL": Fraction(1, 1000),
}
DURATION_UNITS = {"s": (1, 1), "min": (60, 3), "h": (3600, 9), "day": (86_400, 27)}


def decimal_text(value: Fraction) -> str:
    """A finite decimal, exactly."""
    text = format(Decimal(value.numerator) / Decimal(value.denominator), "f")
    assert Fraction(text) == value
    return text


@given(
    st.sampled_from(sorted(RATE_UNITS)),
    st.integers(1, 133_333),
    st.sampled_from(["{} {}", "{}{}", " {}   {} ", "+{} {}", "{}e0 {}"]),
)
def test_a_rate_is_the_same_integer_in_whatever_unit_it_is_written(unit, ninths, form):
    in_ul_h, multiple = RATE_UNITS[unit]
    rate_ul_h = ninths * multiple
    text = form.format(decimal_text(rate_ul_h / in_ul_h), unit)
    assert orders.parse_rate_ul_h(text) == rate_ul_h


@given(st.sampled_from(sorted(VOLUME_UNITS)), st.integers(1, 9_999_000))
def test_a_volume_is_the_same_integer_in_whatever_unit_it_is_written(unit, volume_ul):
    text = f"{decimal_text(volume_ul / VOLUME_UNITS[unit])} {unit}"
    assert orders.parse_volume_ul(text) == volume_ul


@given(st.sampled_from(sorted(DURATION_UNITS)), st.integers(1, 13_000))
def test_a_time_is_the_same_integer_in_whatever_unit_it_is_written(unit, count):
    in_s, multiple = DURATION_UNITS[unit]
    duration_s = count * multiple
    text = f"{decimal_text(Fraction(duration_s, in_s))} {unit}"
    assert orders.parse_duration_s(text) == duration_s


@given(st.integers(1, 5999))
def test_a_time_in_hours_and_minutes_is_read_and_written_alike(minutes):
    text = f"{minutes // 60:02d}:{minutes % 60:02d}"
    assert orders.parse_duration_s(text) == minutes * 60
    assert orders.duration_text(minutes * 60) == text


@given(st.integers(1, 9_999_000))
def test_what_is_written_for_people_is_read_back_exactly(count):
    assert orders.parse_rate_ul_h(orders.rate_text(count)) == count
    assert orders.parse_volume_ul(orders.volume_text(count)) == count


@given(st.integers(0, 1_200_000), st.integers(1, 999))
def test_a_rate_between_two_counts_is_refused_and_the_nearest_named(whole_ul_h, thousandths):
    exact_ul_h = whole_ul_h + Fraction(thousandths, 1000)
    with pytest.raises(orders.QuantityError) as caught:
        orders.parse_rate_ul_h(f"{decimal_text(exact_ul_h / 1000)} mL/h")
    nearest_ul_h = orders.parse_rate_ul_h(caught.value.remedy.split('"')[1])
    assert abs(nearest_ul_h - exact_ul_h) <= Fraction(1, 2) or (whole_ul_h, nearest_ul_h) == (0, 1)


def test_the_nearest_count_is_named_in_the_unit_of_the_quantity():
    for parse, text, exact, nearest in (
        (orders.parse_rate_ul_h, "1 L/day", "41666.66667 µL/h", '"41.667 mL/h"'),
        (orders.parse_volume_ul, "1.0004 mL", "1000.4 µL", '"1 mL"'),
        (orders.parse_duration_s, "1.51 s", "1.51 s", '"2 s"'),
    ):
        with pytest.raises(orders.QuantityError) as caught:
            parse(text)
        assert exact in caught.value.what
        assert nearest in caught.value.remedy


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "does not begin with a number"),
        ("mL/h", "does not begin with a number"),
        ("nan mL/h", "does not begin with a number"),
        ("inf mL/h", "does not begin with a number"),
        ("1" * 70 + " mL/h", "does not begin with a number"),
        ("٥ mL/h", "does not begin with a number"),
        ("5", "has no unit"),
        ("2,5 mL/h", "comma"),
        ("1,000 mL/h", "comma"),
        ("0 mL/h", "not above zero"),
        ("-5 mL/h", "not above zero"),
        ("5 ml/ho", 'unit "ml/ho" is not known'),
        ("5 ml/hh", "in hectohours, which orders do not use"),
        ("5 ML/h", "in megaliters, which"),
        ("5 mL/Ms", "in megaseconds, which"),
        ("5 floz/h", "in fluid_ounces, which"),
        ("5 drips/min", 'unit "drips/min" is not known'),
        ("5 mL/h/h", "not known"),
        ("5 mL/2h", "not known"),
        ("5 mL/", "not known"),
        ("5e999 mL/h", "not known"),
        ("5 mL/h; 6 mL/h", "not known"),
        ("2**9**9 mL/h", "not known"),
        ("5 mL", "not a rate but a volume"),
        ("5 h", "not a rate but a time"),
        ("5 m/h", "is not a rate"),
        ("5 mg/h", "is not a rate"),
        ("5 °C", "not known"),
        ("5 degC", "is not a rate"),
        ("4294967.295 mL/h", "more than any pump can count"),
        ("5e40 mL/h", "more than any pump can count"),
    ],
)
def test_what_is_no_rate_is_told_with_an_example(text, said):
    with pytest.raises(orders.QuantityError) as caught:
        orders.parse_rate_ul_h(text)
    assert said in caught.value.what
    assert caught.value.remedy


@pytest.mark.parametrize("text", ["00:00", "1:75", "01:00:00", "-1:00", "1:5", "1.5:00"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(orders.QuantityError):
        orders.parse_duration_s(text)


# -- reading ---------------------------------------------------------------------------------------


def test_an_order_by_rate_is_read_key_by_key():
    order = orders.parse_order(GOOD, "x.toml")
    assert order == orders.Order(
        order_id="an-order",
        note="for the tests",
        kind=mechanism.KIND_SYRINGE,
        item_id="bd-plastipak-50",
        content_ul=50_000,
        vtbi_ul=10_000,
        rate_ul_h=5_000,
        duration_s=0,
        kvo_ul_h=therapy.KVO_BY_RULE,
        drive_id="t8-2mm-16",
        source="x.toml",
    )


def test_an_order_by_time_for_a_head_is_read_key_by_key():
    text = edited(
        ('rate = "5 mL/h"', 'time = "02:00"\nkvo = "off"'),
        ('syringe = "bd-plastipak-50"', 'head = "kamoer-kphm400-b25"'),
        ('[pump]\ndrive = "t8-2mm-16"\n', ""),
    )
    order = orders.parse_order(text, "x.toml")
    assert (order.kind, order.item_id) == (mechanism.KIND_PERISTALTIC, "kamoer-kphm400-b25")
    assert (order.rate_ul_h, order.duration_s, order.kvo_ul_h) == (0, 7200, therapy.KVO_OFF)
    assert order.drive_id == ""


def test_a_syringe_is_full_where_no_content_is_stated():
    order = orders.parse_order(edited(('content = "50 mL"\n', "")), "x.toml")
    assert order.content_ul == 50_000


@pytest.mark.parametrize(
    ("kvo", "kvo_ul_h"),
    [('"rule"', therapy.KVO_BY_RULE), ('"off"', therapy.KVO_OFF), ('"1 mL/h"', 1000)],
)
def test_kvo_is_by_rule_off_or_a_rate(kvo, kvo_ul_h):
    text = edited(('vtbi = "10 mL"', f'vtbi = "10 mL"\nkvo = {kvo}'))
    assert orders.parse_order(text, "x.toml").kvo_ul_h == kvo_ul_h


@pytest.mark.parametrize(
    ("old", "new", "where", "parts"),
    [
        # sections and keys
        ("[therapy]", "[theraphy]", "[theraphy]", ["no such section", "[therapy]?"]),
        ("[pump]", "[weather]", "[weather]", ["no such section", "[order], [therapy]"]),
        ("vtbi =", "vtbl =", "[therapy] vtbl", ["no such key", "Did you mean vtbi?"]),
        ("vtbi =", "VTBI =", "[therapy] VTBI", ["no such key", "Did you mean vtbi?"]),
        ("vtbi =", "xyz =", "[therapy] xyz", ["no such key", "Known: program, rate, vtbi"]),
        ("rate =", 'content = "1 mL"\nrate =', "[therapy] content", ["belongs under [container]"]),
        ("[order]", 'rate = "1 mL/h"\n[order]', "rate", ["outside", "belongs under [therapy]"]),
        ("[order]", "xyz = 1\n[order]", "xyz", ["outside of any section"]),
        ("[pump]", "[[therapy.rates]]\nx = 1\n[pump]", "[therapy] rates", ["Did you mean rate?"]),
        # the order
        ('id = "an-order"\n', "", "[order] id", ["missing", "hyphens"]),
        ('"an-order"', '"An Order"', "[order] id", ['"An Order" cannot name an order']),
        ('"an-order"', '""', "[order] id", ["cannot name an order"]),
        ('"an-order"', f'"{"a" * 41}"', "[order] id", ["cannot name", "up to 40"]),
        ('"an-order"', "7", "[order] id", ["7 is a bare number", 'id = "my-order"']),
        ('"for the tests"', "[1]", "[order] note", ["[1] is a list"]),
        # the therapy
        ('program = "continuous"\n', "", "[therapy] program", ["missing", '"continuous"']),
        ('"continuous"', '"continous"', "[therapy] program", ['Did you mean "continuous"?']),
        ('"continuous"', '""', "[therapy] program", ['no program ""', "Known"]),
        ('"continuous"', '"taper"', "[therapy] program", ['no program "taper"', "Known"]),
        ('rate = "5 mL/h"\n', "", "[therapy] rate", ["either a rate or a time; there is neither"]),
        ("vtbi =", 'time = "2 h"\nvtbi =', "[therapy] rate", ["there is both"]),
        ('"5 mL/h"', "5", "[therapy] rate", ["5 is a bare number", 'rate = "5 mL/h"']),
        ('"5 mL/h"', "nan", "[therapy] rate", ["nan is a bare number"]),
        ('"5 mL/h"', "true", "[therapy] rate", ["True is true or false"]),
        ('"5 mL/h"', "1979-05-27", "[therapy] rate", ["1979-05-27 is a date or time"]),
        ('"5 mL/h"', '"5 mL"', "[therapy] rate", ['"5 mL" is not a rate but a volume', "5 mL/h"]),
        ('"5 mL/h"', '"5 ml/hh"', "[therapy] rate", ['"5 ml/hh"', "orders do not use"]),
        ('"5 mL/h"', '"-5 mL/h"', "[therapy] rate", ['"-5 mL/h" is not above zero']),
        ('"5 mL/h"', '"0.0005 mL/h"', "[therapy] rate", ["0.5 µL/h", "whole µL/h", '"0.001 mL/h"']),
        ('vtbi = "10 mL"\n', "", "[therapy] vtbi", ["missing", 'vtbi = "10 mL"']),
        ('"10 mL"', '"10 mL/h"', "[therapy] vtbi", ['"10 mL/h" is not a volume but a rate']),
        ("vtbi =", 'kvo = "none"\nvtbi =', "[therapy] kvo", ['"none" is no KVO', '"rule", "off"']),
        ("vtbi =", 'kvo = "1 mL"\nvtbi =', "[therapy] kvo", ["not a rate but a volume"]),
        ("vtbi =", "kvo = false\nvtbi =", "[therapy] kvo", ["False is true or false", '"rule"']),
        ('rate = "5 mL/h"', 'time = "2 mL"', "[therapy] time", ["not a time but a volume"]),
        ('rate = "5 mL/h"', "time = 01:40:00", "[therapy] time", ["01:40:00 is a date or time"]),
        # the container and the pump
        (
            '"bd-plastipak-50"',
            '"bd-plastipack-50"',
            "[container] syringe",
            ['no syringe "bd-plastipack-50"', "Did you mean bd-plastipak-50", "docs/catalogue.md"],
        ),
        (
            '"bd-plastipak-50"',
            '"BD PLASTIPAK 50"',
            "[container] syringe",
            ["Did you mean bd-plastipak-50"],
        ),
        ('"bd-plastipak-50"', '"zzzzz"', "[container] syringe", ["docs/catalogue.md has them all"]),
        ('"bd-plastipak-50"', '""', "[container] syringe", ['no syringe ""']),
        (
            '"bd-plastipak-50"',
            '"masterflex-ls-16"',
            "[container] syringe",
            ['Write head = "masterflex-ls-16"'],
        ),
        ('syringe = "bd-plastipak-50"\n', "", "[container]", ["either a syringe or a head"]),
        (
            "content =",
            'head = "masterflex-ls-16"\ncontent =',
            "[container]",
            ["either a syringe or a head; there is both"],
        ),
        ('content = "50 mL"', "content = 50", "[container] content", ["50 is a bare number"]),
        (
            '"t8-2mm-16"',
            '"t8-3mm-16"',
            "[pump] drive",
            ['no drive "t8-3mm-16" for a syringe', "t8-2mm-16, t8-8mm-16"],
        ),
        (
            '"t8-2mm-16"',
            '"direct-16"',
            "[pump] drive",
            ['no drive "direct-16" for a syringe'],
        ),
        ('"t8-2mm-16"', '""', "[pump] drive", ['no drive ""']),
        ('"t8-2mm-16"', "16", "[pump] drive", ["16 is a bare number"]),
    ],
)
def test_what_is_wrong_is_told_with_its_place_and_a_remedy(old, new, where, parts):
    problem = next(found for found in problems_of(edited((old, new))) if found.key == where)
    text = str(problem)
    for part in parts:
        assert part in text
    assert problem.remedy


def test_a_section_is_no_key():
    (problem,) = problems_of("pump = 3\n" + edited(('[pump]\ndrive = "t8-2mm-16"\n', "")))
    assert (problem.line, problem.what) == (1, "pump is a section")
    assert "[pump]" in problem.remedy


def test_a_head_needs_its_content():
    text = edited(
        ('syringe = "bd-plastipak-50"\ncontent = "50 mL"', 'head = "masterflex-ls-16"'),
        ('drive = "t8-2mm-16"', 'drive = "direct-16"'),
    )
    (problem,) = problems_of(text)
    assert problem.key == "[container] content"
    assert 'content = "500 mL"' in problem.remedy


def test_all_that_is_wrong_is_told_at_once_and_in_the_order_of_the_file():
    text = edited(
        ('"an-order"', '"An Order"'),
        ('"5 mL/h"', '"5 mL"'),
        ("vtbi =", "vtbl ="),
        ("bd-plastipak-50", "bd-plastipack-50"),
        ("t8-2mm-16", "t9"),
    )
    with pytest.raises(orders.OrderError) as caught:
        orders.parse_order(text, "x.toml")
    error = caught.value
    keys = [problem.key for problem in error.problems]
    assert keys == [
        "[order] id",
        "[therapy] vtbi",
        "[therapy] rate",
        "[therapy] vtbl",
        "[container] syringe",
        "[pump] drive",
    ]
    assert [problem.line for problem in error.problems] == [2, 5, 7, 8, 11, 15]
    assert error.where == "x.toml"
    assert str(error).startswith("x.toml: 6 things are wrong with this order")
    assert all(str(problem) in str(error) for problem in error.problems)


def test_one_problem_says_file_line_key_value_and_remedy():
    with pytest.raises(orders.OrderError) as caught:
        orders.parse_order(edited(('"5 mL/h"', '"5 mL"')), "x.toml")
    assert str(caught.value) == (
        'x.toml, line 7, [therapy] rate: "5 mL" is not a rate but a volume. '
        'Write a rate with its unit, like "5 mL/h"'
    )
    assert isinstance(caught.value, MicropumpError)
    assert caught.value.exit_code == EXIT_REFUSED


def test_a_key_is_not_looked_for_within_a_text_of_several_lines():
    note = 'note = """\n[therapy]\nrate = none\n"""'
    text = edited(('note = "for the tests"', note), ('"5 mL/h"', '"5 mL"'))
    (problem,) = problems_of(text)
    assert (problem.key, problem.line) == ("[therapy] rate", 10)


def test_windows_line_ends_and_byte_order_mark_are_taken(tmp_path):
    path = tmp_path / "windows.toml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert orders.load_order(path).lines == orders.parse_order(GOOD, "x.toml").lines


# -- files that are none ---------------------------------------------------------------------------


def load_error(path: Path) -> str:
    with pytest.raises(orders.OrderError) as caught:
        orders.load_order(path)
    assert str(path) in caught.value.where
    assert caught.value.remedy
    return str(caught.value)


def test_a_missing_file_is_told(tmp_path):
    assert "No such file" in load_error(tmp_path / "none.toml")


def test_a_directory_is_told(tmp_path):
    assert "this is a directory" in load_error(tmp_path)


@pytest.mark.parametrize("content", [b"", b"  \n\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_told(tmp_path, content):
    path = tmp_path / "empty.toml"
    path.write_bytes(content)
    assert "the order is empty" in load_error(path)


def test_a_binary_file_is_told(tmp_path):
    path = tmp_path / "binary.toml"
    path.write_bytes(bytes(range(256)))
    assert "not a text file" in load_error(path)


@pytest.mark.parametrize(
    ("edit", "line"),
    [
        (('rate = "5 mL/h"', "rate = 5 mL/h"), 7),
        (('rate = "5 mL/h"', 'rate = "5 mL/h'), 7),
        (("[therapy]", "[therapy"), 5),
        (('vtbi = "10 mL"', 'rate = "10 mL"'), 8),
    ],
)
def test_bad_toml_is_told_with_its_line(edit, line):
    (problem,) = problems_of(edited(edit))
    assert problem.line == line
    assert "not TOML" in problem.what
    assert "at line" not in problem.what


def test_nesting_without_end_is_no_crash():
    (problem,) = problems_of("a = " + "[" * 20_000)
    assert "not TOML" in problem.what


@given(st.text(max_size=60), st.integers(0, len(GOOD)), st.integers(0, 20))
def test_whatever_a_file_says_it_is_an_order_or_an_order_error(inserted, at, cut):
    text = GOOD[:at] + inserted + GOOD[at + cut :]
    try:
        count = orders.parse_order(text, "x.toml").vtbi_ul
    except orders.OrderError as error:
        count = len(error.problems)
    assert count > 0


# -- checking --------------------------------------------------------------------------------------


def test_a_checked_order_says_what_the_pump_will_do():
    checked = orders.check_order(orders.parse_order(GOOD, "x.toml"))
    assert (checked.rate_ul_h, checked.duration_s, checked.kvo_ul_h) == (5000, 7200, 1000)
    assert checked.item_name == "BD Plastipak 50 mL"
    assert (checked.least_rate_ul_h, checked.greatest_rate_ul_h) == (1000, 1_200_000)
    assert checked.drive_id == "t8-2mm-16"
    assert checked.warnings == ()
    # A whole number of microsteps within the VTBI, and not one more would fit.
    delivered_nl = checked.target_steps * checked.nl_per_step
    assert delivered_nl <= 10_000_000 < delivered_nl + checked.nl_per_step


@pytest.mark.parametrize(
    ("edits", "key", "parts"),
    [
        (
            [('"5 mL/h"', '"1300 mL/h"')],
            "[therapy] rate",
            ["line 7", "1300 mL/h is outside of 0.01 mL/h to 1200 mL/h", "BD Plastipak 50 mL"],
        ),
        (
            [('"5 mL/h"', '"0.009 mL/h"')],
            "[therapy] rate",
            ["0.009 mL/h is outside of 0.01 mL/h", "higher rate"],
        ),
        (
            [('"5 mL/h"', '"300 mL/h"'), ("-50", "-1"), ('"50 mL"', '"1 mL"'), ('"10 ', '"1 ')],
            "[therapy] rate",
            ["300 mL/h is outside of 0.01 mL/h to 258.409 mL/h", "m5-0.8-16", "lower rate"],
        ),
        (
            [('rate = "5 mL/h"', 'time = "20 s"')],
            "[therapy] time",
            ["10 mL in 00:00:20 takes 1800 mL/h", "0.01 mL/h to 1200 mL/h", "longer time"],
        ),
        (
            [('rate = "5 mL/h"', 'time = "99 h"'), ('"10 mL"', '"0.1 mL"')],
            "[therapy] time",
            ["0.1 mL in 99:00 takes 0.001 mL/h", "shorter time"],
        ),
        (
            [('rate = "5 mL/h"', 'time = "100 h"')],
            "[therapy] time",
            ["100:00 is above the greatest time of 99:59"],
        ),
        (
            [('"10 mL"', '"0.09 mL"')],
            "[therapy] vtbi",
            ["VTBI of 0.09 mL is outside of 0.1 mL to 9999 mL"],
        ),
        (
            [('"10 mL"', '"10 L"')],
            "[therapy] vtbi",
            ["VTBI of 10000 mL is outside of 0.1 mL to 9999 mL"],
        ),
        (
            [('"10 mL"', '"50.001 mL"')],
            "[therapy] vtbi",
            ["line 8", "VTBI of 50.001 mL is more than the 50 mL"],
        ),
        (
            [('"50 mL"', '"50.001 mL"')],
            "[container] content",
            ["line 12", "50.001 mL is more than the 50 mL that BD Plastipak 50 mL holds"],
        ),
        (
            [('"50 mL"', '"10 L"')],
            "[container] content",
            ["10000 mL is above the greatest content of 9999 mL"],
        ),
        (
            [('vtbi = "10 mL"', 'vtbi = "10 mL"\nkvo = "6 mL/h"')],
            "[therapy] kvo",
            ["KVO rate of 6 mL/h is above the infusion's own 5 mL/h"],
        ),
        (
            [('vtbi = "10 mL"', 'vtbi = "10 mL"\nkvo = "0.009 mL/h"')],
            "[therapy] kvo",
            ["KVO rate of 0.009 mL/h is outside of 0.01 mL/h to 1200 mL/h"],
        ),
        (
            [('vtbi = "10 mL"', 'vtbi = "10 mL"\nkvo = "1201 mL/h"')],
            "[therapy] kvo",
            ["KVO rate of 1201 mL/h is outside of"],
        ),
    ],
)
def test_what_the_core_refuses_is_told_with_value_and_range(edits, key, parts):
    if ("-50", "-1") in edits:
        edits = [*edits, ("t8-2mm-16", "m5-0.8-16")]
    error = refusal_of(edited(*edits))
    (problem,) = error.problems
    assert problem.key == key
    assert problem.remedy
    for part in parts:
        assert part in str(error)


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
    ],
)
def test_what_is_allowed_but_should_be_known_is_a_warning(old, new, said):
    checked = orders.check_order(orders.parse_order(edited((old, new)), "x.toml"))
    assert any(said in warning for warning in checked.warnings)


def test_no_kvo_where_it_is_off_or_nothing_is_left():
    for old, new in (("vtbi =", 'kvo = "off"\nvtbi ='), ('"50 mL"', '"10 mL"')):
        checked = orders.check_order(orders.parse_order(edited((old, new)), "x.toml"))
        assert checked.kvo_ul_h == 0


def test_the_drive_is_the_fitted_one_then_the_orders_then_the_kinds_own():
    silent = orders.parse_order(edited(('drive = "t8-2mm-16"\n', "")), "x.toml")
    geared = orders.parse_order(edited(("t8-2mm-16", "m5-0.8-32")), "x.toml")
    assert orders.check_order(silent).drive_id == "t8-2mm-16"
    assert orders.check_order(silent, "t8-8mm-16").drive_id == "t8-8mm-16"
    assert orders.check_order(geared).drive_id == "m5-0.8-32"
    head = orders.load_order(EXAMPLES / "litres-a-day.toml")
    assert orders.check_order(head).drive_id == "direct-16"


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


ITEMS = [(mechanism.KIND_SYRINGE, row[0]) for row in catalogue.SYRINGES] + [
    (mechanism.KIND_PERISTALTIC, row[0]) for row in catalogue.PERISTALTIC_HEADS
]


@given(
    item=st.sampled_from(ITEMS),
    rate_and_time=st.one_of(
        st.tuples(st.integers(1, 1_500_000), st.just(0)),
        st.tuples(st.just(0), st.integers(1, 400_000)),
        st.tuples(st.integers(0, 1), st.integers(0, 1)),
    ),
    vtbi_ul=st.one_of(st.integers(50, 2_000), st.integers(50, 11_000_000)),
    content_ul=st.one_of(st.integers(50, 60_000), st.integers(50, 11_000_000)),
    kvo_ul_h=st.one_of(
        st.just(therapy.KVO_BY_RULE), st.just(therapy.KVO_OFF), st.integers(1, 1_300_000)
    ),
)
def test_the_check_says_yes_to_nothing_that_the_core_or_the_wire_refuses(
    item, rate_and_time, vtbi_ul, content_ul, kvo_ul_h
):
    rate_ul_h, duration_s = rate_and_time
    order = orders.Order("any", "", *item, content_ul, vtbi_ul, rate_ul_h, duration_s, kvo_ul_h)
    built = mechanism.build(*item, orders.default_drive_id(item[0]))
    asked = (rate_ul_h, vtbi_ul, duration_s, kvo_ul_h, content_ul)
    allowed = therapy.check_continuous(built, *asked) == therapy.OK
    limits = {row[0]: row[4] for row in wire.fields_of(wire.PROGRAM)}
    allowed &= duration_s <= limits["duration_s"] and content_ul <= limits["content_ul"]
    if not allowed:
        with pytest.raises(orders.OrderError, match=r'^order "any"'):
            orders.check_order(order)
        return
    checked = orders.check_order(order)
    assert units.LEAST_RATE_UL_H <= checked.rate_ul_h <= checked.greatest_rate_ul_h
    assert checked.target_steps * checked.nl_per_step <= vtbi_ul * 1000


# -- the examples ----------------------------------------------------------------------------------

# file -> what it comes to: rate_ul_h, duration_s, kvo_ul_h, number of warnings.
EXPECTED = {
    "demo-peristaltic": (25_000, 7_200, 3_000, 0),
    "demo-syringe": (5_000, 7_200, 1_000, 0),
    "fast-from-a-bag": (1_200_000, 1_500, 0, 0),
    "hours-and-minutes": (120_000, 6_000, 0, 0),
    "litres-a-day": (100_000, 36_000, 0, 0),
    "microlitres-a-minute": (300, 20_400, 0, 0),
    "own-keep-open-rate": (4_000, 10_800, 500, 0),
    "slow-from-a-large-syringe": (500, 21_600, 500, 2),
    "to-the-last-drop": (6_000, 10_800, 0, 0),
    "volume-over-a-day": (10_000, 86_400, 3_000, 0),
}


def test_every_example_has_its_expectation():
    assert sorted(path.stem for path in EXAMPLES.glob("*.toml")) == sorted(EXPECTED)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_an_example_is_an_order_that_can_be_delivered(name):
    order = orders.load_order(EXAMPLES / f"{name}.toml")
    checked = orders.check_order(order)
    assert order.order_id == name
    assert EXPECTED[name] == (
        checked.rate_ul_h,
        checked.duration_s,
        checked.kvo_ul_h,
        len(checked.warnings),
    )


def test_the_demo_orders_are_those_of_the_standards_intermediate_rates():
    syringe = orders.load_order(EXAMPLES / "demo-syringe.toml")
    assert (syringe.item_id, syringe.content_ul, syringe.vtbi_ul) == (
        "bd-plastipak-50",
        50_000,
        10_000,
    )
    peristaltic = orders.check_order(orders.load_order(EXAMPLES / "demo-peristaltic.toml"))
    assert (peristaltic.order.content_ul, peristaltic.order.vtbi_ul) == (500_000, 50_000)
    assert peristaltic.least_rate_ul_h <= peristaltic.kvo_ul_h


# -- the document ----------------------------------------------------------------------------------

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


def test_the_document_shows_an_order_and_errors_as_they_are():
    document = (REPO / "docs" / "orders.md").read_text(encoding="utf-8")
    shown = orders.parse_order(document.split("```toml\n")[1].split("```")[0], "x.toml")
    assert orders.check_order(shown).rate_ul_h == 5000
    with pytest.raises(orders.OrderError) as unreadable:
        orders.parse_order(DOCUMENTED, "my-order.toml")
    assert f"```\n{unreadable.value}\n```" in document
    text = DOCUMENTED.replace('"5 mL"', '"1300 mL/h"').replace("plastipack", "plastipak")
    with pytest.raises(orders.OrderError) as refused:
        orders.check_order(orders.parse_order(text, "my-order.toml"))
    assert f"```\n{refused.value}\n```" in document


def test_the_document_names_every_key():
    document = (REPO / "docs" / "orders.md").read_text(encoding="utf-8")
    for key in orders.parse_order(GOOD, "x.toml").lines:
        section, _, name = key.partition(" ")
        assert not name or f"`{section}` `{name}`" in document
