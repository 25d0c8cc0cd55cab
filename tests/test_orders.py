"""Order files: what all of them have, every mistake with its place and remedy, and no files."""

from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micropump import mechanism, program, therapy
from micropump_host import orders
from micropump_host.errors import EXIT_REFUSED, MicropumpError

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


# -- reading ---------------------------------------------------------------------------------------


def test_an_order_by_rate_is_read_key_by_key():
    order = orders.parse_order(GOOD, "x.toml")
    assert order == orders.Order(
        order_id="an-order",
        note="for the tests",
        container=orders.Container(mechanism.KIND_SYRINGE, "bd-plastipak-50", 50_000),
        prescription=orders.Prescription(
            program.CONTINUOUS,
            {
                "kind": mechanism.KIND_SYRINGE,
                "item_id": "bd-plastipak-50",
                "content_ul": 50_000,
                "containers": 1,
                "order_id": "an-order",
                "delay_s": 0,
                "kvo_ul_h": therapy.KVO_BY_RULE,
                "rate_ul_h": 5_000,
                "vtbi_ul": 10_000,
                "duration_s": 0,
                "loading_ul": 0,
                "loading_ul_h": 0,
                "asked_by": "",
                "drug_id": "",
                "care_area": "",
                "concentration_in": 0,
                "concentration_mantissa": 0,
                "concentration_exponent": 0,
                "weight_g": 0,
            },
        ),
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
    assert order.container == orders.Container(
        mechanism.KIND_PERISTALTIC, "kamoer-kphm400-b25", 50_000
    )
    fields = order.prescription.fields
    assert (fields["kind"], fields["item_id"]) == (order.container.kind, order.container.item_id)
    assert (fields["rate_ul_h"], fields["duration_s"]) == (0, 7200)
    assert fields["kvo_ul_h"] == therapy.KVO_OFF
    assert order.drive_id == ""


def test_a_syringe_is_full_where_no_content_is_stated():
    order = orders.parse_order(edited(('content = "50 mL"\n', "")), "x.toml")
    assert order.container.content_ul == order.prescription.number("content_ul") == 50_000


def test_patient_drug_and_containers_are_read():
    text = edited(
        ("[therapy]", '[patient]\nweight = "70.5 kg"\n[therapy]'),
        ("[therapy]", '[drug]\nname = "gentamicin"\nconcentration = "4 %"\n[therapy]'),
        ('content = "50 mL"', 'content = "50 mL"\ncount = 3'),
    )
    order = orders.parse_order(text, "x.toml")
    assert order.weight_kg == Fraction(141, 2)
    assert order.drug == orders.Drug("gentamicin", orders.Concentration(Fraction(40), "mg"))
    assert order.container.containers == order.prescription.number("containers") == 3
    assert order.arithmetic == ("concentration: 4 % = 40 mg/mL",)
    assert order.asked_by == ""


def test_the_delay_is_read():
    text = edited(("vtbi =", 'delay = "30 min"\nvtbi ='))
    assert orders.parse_order(text, "x.toml").prescription.number("delay_s") == 1800


@pytest.mark.parametrize(
    ("kvo", "kvo_ul_h"),
    [('"rule"', therapy.KVO_BY_RULE), ('"off"', therapy.KVO_OFF), ('"1 mL/h"', 1000)],
)
def test_kvo_is_by_rule_off_or_a_rate(kvo, kvo_ul_h):
    text = edited(('vtbi = "10 mL"', f'vtbi = "10 mL"\nkvo = {kvo}'))
    assert orders.parse_order(text, "x.toml").prescription.fields["kvo_ul_h"] == kvo_ul_h


@pytest.mark.parametrize(
    ("old", "new", "where", "parts"),
    [
        # sections and keys
        ("[therapy]", "[theraphy]", "[theraphy]", ["no such section", "[therapy]?"]),
        ("[pump]", "[weather]", "[weather]", ["no such section", "[order], [patient]"]),
        ("vtbi =", "vtbl =", "[therapy] vtbl", ["no such key", "Did you mean vtbi?"]),
        ("vtbi =", "VTBI =", "[therapy] VTBI", ["no such key", "Did you mean vtbi?"]),
        ("vtbi =", "xyz =", "[therapy] xyz", ["no such key", "Known: program, rate, vtbi"]),
        ("rate =", 'content = "1 mL"\nrate =', "[therapy] content", ["belongs under [container]"]),
        ("[order]", 'rate = "1 mL/h"\n[order]', "rate", ["outside", "belongs under [therapy]"]),
        ("[order]", "xyz = 1\n[order]", "xyz", ["outside of any section"]),
        ("[pump]", "[[therapy.rates]]\nx = 1\n[pump]", "[therapy] rates", ["Did you mean rate?"]),
        # patient and drug
        (
            "[pump]",
            '[patient]\nweight = "70"\n[pump]',
            "[patient] weight",
            ["has no unit", "70 kg"],
        ),
        ("[pump]", "[patient]\nweight = 70\n[pump]", "[patient] weight", ["a bare number"]),
        (
            "[pump]",
            '[drug]\nconcentration = "5 mg"\n[pump]',
            "[drug] concentration",
            ["is not a concentration", "5 mg/mL"],
        ),
        ("[pump]", "[drug]\nname = 1\n[pump]", "[drug] name", ["1 is a bare number"]),
        ("[pump]", '[drug]\nweight = "7"\n[pump]', "[drug] weight", ["belongs under [patient]"]),
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
        ('"continuous"', '"drip"', "[therapy] program", ['no program "drip"', "Known"]),
        ('"continuous"', "1", "[therapy] program", ["1 is a bare number"]),
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
        (
            'syringe = "bd-plastipak-50"\n',
            "",
            "[container] syringe",
            ["either a syringe or a head; there is neither"],
        ),
        (
            "content =",
            'head = "masterflex-ls-16"\ncontent =',
            "[container] syringe",
            ["either a syringe or a head; there is both"],
        ),
        ("content =", "count = 0\ncontent =", "[container] count", ["0 is outside of 1 to 99"]),
        ("content =", "count = 100\ncontent =", "[container] count", ["outside of 1 to 99"]),
        ("content =", 'count = "2"\ncontent =', "[container] count", ["a text, not a whole"]),
        ("content =", "count = true\ncontent =", "[container] count", ["true or false, not"]),
        ("vtbi =", 'delay = "0 h"\nvtbi =', "[therapy] delay", ["not above zero"]),
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
        count = orders.parse_order(text, "x.toml").prescription.number("vtbi_ul")
    except orders.OrderError as error:
        count = len(error.problems)
    assert count > 0
