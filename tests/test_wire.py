"""The wire: the board's codec and the host's, each against the other, and docs/wire.md.

``python tests/test_wire.py`` writes the tables of docs/wire.md anew from the declared messages.
"""

import os
import random
import subprocess
import sys
from binascii import crc32
from pathlib import Path

import crcmod.predefined
import pytest
import support
from cobs import cobs
from hypothesis import example, given
from hypothesis import strategies as st

REPO = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPO / "firmware"), str(REPO / "host")]

from micropump import (  # noqa: E402
    boluses,
    controller,
    governor,
    journal,
    library,
    link,
    prescription,
    program,
    shelf,
    storage,
    therapy,
    wire,
)
from micropump_host.client import codec  # noqa: E402
from micropump_host.client.errors import reason, refusal  # noqa: E402

DOC = REPO / "docs" / "wire.md"
MICROPYTHON = Path(sys.executable).with_name("micropython")
ON_MICROPYTHON = Path(__file__).resolve().parent / "on_micropython" / "check_wire.py"

NAMES = {number: name for number, name, _ in wire.MESSAGES}
# How many there are of what follows: type -> bytes of that count.
COUNTED = {wire.TEXT: 1, wire.DATA: 2, **dict.fromkeys(wire.RECORDS, 1)}


# -- messages from their declaration --------------------------------------------------------------


def integers(least: int, greatest: int) -> st.SearchStrategy[int]:
    return st.one_of(st.just(least), st.just(greatest), st.integers(least, greatest))


def texts(least_bytes: int, greatest_bytes: int) -> st.SearchStrategy[str]:
    return st.one_of(
        st.integers(least_bytes, greatest_bytes).map(lambda size: "x" * size),
        st.text(st.characters(codec="utf-8"), max_size=greatest_bytes).filter(
            lambda text: least_bytes <= len(text.encode()) <= greatest_bytes
        ),
    )


def parts_of(part: str) -> st.SearchStrategy:
    """A part of a record."""
    if part == wire.TEXT:
        return texts(0, wire.GREATEST_STRING_BYTES)
    return integers(*wire.INTEGERS[part][1:])


def values_of(field: tuple) -> st.SearchStrategy:
    _, kind, _, least, greatest = field
    if kind == wire.TEXT:
        return texts(least, greatest)
    if kind == wire.DATA:
        return st.binary(min_size=least, max_size=greatest)
    if kind in wire.RECORDS:
        record = st.tuples(*(parts_of(part) for part in wire.RECORDS[kind]))
        return st.lists(record, min_size=least, max_size=greatest)
    return integers(least, greatest)


@st.composite
def frames(draw: st.DrawFn) -> codec.Frame:
    message, _, fields = draw(st.sampled_from(wire.MESSAGES))
    return codec.Frame(
        message,
        draw(integers(0, 0xFFFFFFFF)),
        draw(integers(0, 0xFFFF)),
        {field[0]: draw(values_of(field)) for field in fields},
    )


def board_encode(frame: codec.Frame) -> bytes:
    return wire.encode(frame.message, frame.session, frame.sequence, list(frame.values.values()))


def sealed(header_and_body: bytes) -> bytes:
    """A frame without delimiter around any bytes, with a right checksum."""
    return cobs.encode(header_and_body + crc32(header_and_body).to_bytes(4, "little"))


def content_of(frame: codec.Frame) -> bytes:
    """Header and body of a frame."""
    return cobs.decode(board_encode(frame)[:-1])[: -wire.CRC_BYTES]


def board_refuses(stuffed: bytes) -> wire.WireError:
    with pytest.raises(wire.WireError) as refused:
        wire.decode(stuffed)
    return refused.value


def both_refuse(stuffed: bytes) -> wire.WireError:
    with pytest.raises(codec.FrameError):
        codec.decode(stuffed)
    return board_refuses(stuffed)


# -- the declaration itself -----------------------------------------------------------------------


def record_bytes(kind: str) -> int:
    """The most bytes of one record."""
    longest = 1 + wire.GREATEST_STRING_BYTES
    parts = wire.RECORDS[kind]
    return sum(longest if part == wire.TEXT else wire.INTEGERS[part][0] for part in parts)


def greatest_size(field: tuple) -> int:
    _, kind, _, _, greatest = field
    if kind == wire.TEXT:
        return 1 + greatest
    if kind == wire.DATA:
        return 2 + greatest
    if kind in wire.RECORDS:
        return 1 + greatest * record_bytes(kind)
    return wire.INTEGERS[kind][0]


def counts(kind: str) -> tuple[int, int]:
    """What the count of a type can be."""
    return 0, 0x100 ** COUNTED[kind] - 1


def test_numbers_and_names_are_unique() -> None:
    assert len({row[0] for row in wire.MESSAGES}) == len(wire.MESSAGES)
    assert len({row[1] for row in wire.MESSAGES}) == len(wire.MESSAGES)
    for _, name, fields in wire.MESSAGES:
        assert len({field[0] for field in fields}) == len(fields), name


def test_answers_have_the_reply_bit_and_a_request() -> None:
    requests = {number for number in NAMES if not number & wire.REPLY and number != wire.TELEMETRY}
    for number, name in NAMES.items():
        if number & wire.REPLY and number != wire.ERROR:
            assert number & ~wire.REPLY in requests, name
    answered = {number & ~wire.REPLY for number in NAMES if number & wire.REPLY}
    # Every program is answered like the first kind; the others say only that they are done.
    programs = {*link.PROGRAMS, wire.PROGRAM_SECONDARY} - {wire.PROGRAM}
    assert programs < requests
    assert requests - answered - programs == {
        wire.BOLUS,
        wire.DEMAND,
        wire.CHANGE_CONTAINER,
        wire.PAUSE,
        wire.RESUME,
        wire.STOP,
        wire.SET_RATE,
        wire.ACKNOWLEDGE,
        wire.SET_TELEMETRY,
        wire.RESTART,
        wire.LIBRARY_BEGIN,
        wire.LIBRARY_PART,
        wire.LIBRARY_COMMIT,
        wire.PROVISION,
        wire.PAUSE_AUDIO,
        wire.SETTINGS,
        wire.STANDBY,
    }


@pytest.mark.parametrize("row", wire.MESSAGES, ids=[row[1] for row in wire.MESSAGES])
def test_every_message_fits_and_its_ranges_fit_their_types(row: tuple) -> None:
    number, _, fields = row
    assert 0 < number <= 0xFF
    assert sum(greatest_size(field) for field in fields) <= wire.GREATEST_BODY_BYTES
    assert len(fields) < wire.NO_FIELD
    for name, kind, _, least, greatest in fields:
        lowest, highest = wire.INTEGERS[kind][1:] if kind in wire.INTEGERS else counts(kind)
        # A key has one length.
        exact = kind == wire.DATA and least == greatest == wire.KEY_BYTES
        assert lowest <= least < greatest <= highest or exact, name


def test_the_longest_frame_is_three_blocks_of_cobs() -> None:
    # One code byte carries 254: both codecs make room for three of them.
    longest = wire.HEADER_BYTES + wire.GREATEST_BODY_BYTES + wire.CRC_BYTES
    assert 508 < longest <= 762
    assert len(wire.cobs_encode(b"x" * longest)) == longest + 3 == wire.GREATEST_STUFFED_BYTES


def test_a_record_is_as_long_as_its_fields() -> None:
    assert {kind: record_bytes(kind) for kind in wire.RECORDS} == {
        "events": 60, "steps": 12, "times": 2, "findings": 11, "sensors": 6
    }  # fmt: skip


def test_every_state_and_therapy_can_be_told() -> None:
    ranges = {field[0]: field[3:] for field in wire.fields_of(wire.TELEMETRY)}
    assert ranges["state"] == (0, len(controller.STATE_NAMES) - 1)
    least, greatest = ranges["therapy"]
    assert least == 0
    assert set(link.PROGRAMS.values()) == set(range(1, program.PURGE + 1))
    assert greatest >= program.PURGE


def test_every_program_begins_with_the_same_fields() -> None:
    setup = wire.fields_of(wire.PROGRAM)[:14]
    assert [field[0] for field in setup] == [
        "kind", "item_id", "content_ul", "containers", "delay_s", "kvo_ul_h", "order_id",
        "asked_by", "drug_id", "care_area", "concentration_in", "concentration_mantissa",
        "concentration_exponent", "weight_g",
    ]  # fmt: skip
    for message in link.PROGRAMS:
        assert wire.fields_of(message)[:14] == setup


def numbered(module: object, numbers: range) -> dict[int, str]:
    """A module's public constants within ``numbers`` that are not messages: number -> name."""
    return {
        number: name
        for name, number in vars(module).items()
        if name.isupper() and name[0] != "_" and type(number) is int and number in numbers
        and name.lower() not in NAMES.values()
    }  # fmt: skip


def between(module: object, first: str, end: str) -> dict[int, str]:
    """A module's constants from ``first`` to before ``end``, as they stand: number -> name."""
    names = list(vars(module))
    return {vars(module)[name]: name for name in names[names.index(first) : names.index(end)]}


def added(base: int, base_name: str, numbers: dict[int, str]) -> dict[int, str]:
    """Errors that are told as a sum: number -> name."""
    return {base + number: f"{base_name} + {name}" for number, name in numbers.items()}


LIMITS = between(library, "RATE", "KINDS")
# Behind the kinds of limit: what cannot be judged at all.
UNJUDGED = {
    number - governor.PROGRAM + library.KINDS: name
    for number, name in between(governor, "PROGRAM", "_JUDGED").items()
}
THERAPY_ERRORS = between(therapy, "RATE_BELOW_RANGE", "WARN_BELOW_LEAST_RATE")
BOLUS_ERRORS = numbered(boluses, range(32, 64))
CONTROLLER_ERRORS = BOLUS_ERRORS | numbered(controller, range(32, 64))
WIRE_ERRORS = numbered(wire, range(64, 96))
LIBRARY_ERRORS = {
    **added(prescription.HARD_LIMIT, "HARD_LIMIT", LIMITS | UNJUDGED),
    **added(prescription.SOFT_LIMIT, "SOFT_LIMIT", LIMITS),
    prescription.NOT_IN_LIBRARY: "NOT_IN_LIBRARY",
}
IMAGE_ERRORS = between(library, "BAD_SIZE", "NO_SUCH_DRUG")
STORAGE_ERRORS = between(storage, "BAD_LENGTH", "StorageError")
SHELF_ERRORS = {
    **added(shelf.IMAGE_REFUSED, "IMAGE_REFUSED", IMAGE_ERRORS),
    **added(shelf.STORAGE_REFUSED, "STORAGE_REFUSED", STORAGE_ERRORS),
    **numbered(shelf, range(shelf.HAS_KEY, 160)),
}
ERROR_RANGES = [THERAPY_ERRORS, CONTROLLER_ERRORS, WIRE_ERRORS, LIBRARY_ERRORS, SHELF_ERRORS]
ERRORS = {code: name for errors in ERROR_RANGES for code, name in errors.items()}


def test_error_numbers_are_in_the_range_of_who_gives_them() -> None:
    assert len(ERRORS) == sum(map(len, ERROR_RANGES))
    assert set(THERAPY_ERRORS) == set(range(1, 25))
    assert set(CONTROLLER_ERRORS) == set(range(32, 49))
    assert numbered(controller, range(32, 64)) | BOLUS_ERRORS == CONTROLLER_ERRORS
    assert set(WIRE_ERRORS) == set(range(64, 78))
    assert set(LIBRARY_ERRORS) == {*range(96, 110), *range(112, 123), 127}
    assert set(SHELF_ERRORS) == {*range(129, 142), *range(145, 151), *range(156, 160)}


@pytest.mark.parametrize("code", ERRORS, ids=ERRORS.values())
def test_the_host_has_words_for_every_error(code: int) -> None:
    error = refusal(wire.START, code, wire.NO_FIELD, 0, 0, 0)
    assert error.code == code
    assert "error" not in error.what
    # A limit is always told with its figure.
    limited = (code - prescription.HARD_LIMIT) % 16 in LIMITS and code in LIBRARY_ERRORS
    assert error.what.startswith(reason(code) + ": 0 ") if limited else error.what == reason(code)
    # A frame that was damaged on its way is sent again by the client itself.
    assert error.remedy or code in (wire.BAD_COBS, wire.TOO_SHORT, wire.TOO_LONG, wire.BAD_LENGTH)


def test_no_two_errors_have_the_same_words() -> None:
    assert len({reason(code) for code in ERRORS}) == len(ERRORS)


FIGURES = [
    # Where a field is in another unit than the figures, its name says nothing.
    (wire.PROGRAM, therapy.RATE_ABOVE_RANGE, "rate_ul_h", (1_300_000, 10, 1_200_000),
     ": rate_ul_h is 1,300,000 µL/h, allowed are 10 to 1,200,000 µL/h"),
    (wire.PROGRAM_RAMP, therapy.RATE_ABOVE_RANGE, "vtbi_ul", (1_300_000, 10, 1_200_000),
     ": 1,300,000 µL/h, allowed are 10 to 1,200,000 µL/h"),
    (wire.PROGRAM_STEPPED, therapy.RATE_BELOW_RANGE, "steps", (9, 10, 1_200_000),
     ": 9 µL/h, allowed are 10 to 1,200,000 µL/h"),
    (wire.PROGRAM_INTERMITTENT, therapy.INTERVAL_TOO_SHORT, "times", (600, 1_201, 359_940),
     ": 600 s, allowed are 1,201 to 359,940 s"),
    (wire.PROGRAM_INTERMITTENT, therapy.NO_SUCH_TIME, "times", (1_440, 0, 1_439),
     ": times is 1,440 min, allowed are 0 to 1,439 min"),
    (wire.PROGRAM_INTERMITTENT, therapy.VTBI_ABOVE_RANGE, "doses", (1_000, 1, 999),
     ": doses is 1,000, allowed are 1 to 999"),
    (wire.PROGRAM_STEPPED, therapy.STEP_NEEDS_VOLUME_OR_TIME, "steps", (3, 0, 0), ": step 3"),
    (wire.PROGRAM_STEPPED, therapy.STEPS_DO_NOT_SUM, "vtbi_ul", (5_000, 6_000, 6_000),
     ": vtbi_ul is 5,000 µL, the steps come to 6,000 µL"),
    (wire.PROGRAM_PURGE, therapy.CANNOT_REVERSE, "reverse", (1, 0, 0), ""),
    # Of a drug's limit the one bound that it is beyond.
    (wire.SET_RATE, prescription.HARD_LIMIT + library.RATE, "rate_ul_h", (1_300, 0, 1_200),
     ": 1,300 µL/h, at most 1,200 µL/h"),
    (wire.PROGRAM_RAMP, prescription.SOFT_LIMIT + library.DURATION, "duration_s", (599, 600, 0),
     ": 599 s, at least 600 s"),
    (wire.BOLUS, prescription.SOFT_LIMIT + library.BOLUS, "volume_ul", (1_001, 0, 1_000),
     ": 1,001 µL, at most 1,000 µL"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("message", "code", "field", "figures", "says"), FIGURES, ids=[row[4] for row in FIGURES]
)
def test_figures_are_told_in_their_own_unit(
    message: int, code: int, field: str, figures: tuple, says: str
) -> None:
    index = [row[0] for row in wire.fields_of(message)].index(field)
    error = refusal(message, code, index, *figures)
    assert error.what == reason(code) + says
    assert error.field == field


# -- the two codecs -------------------------------------------------------------------------------


@given(frames())
def test_both_codecs_make_and_read_the_same_bytes(frame: codec.Frame) -> None:
    data = codec.encode(frame)
    assert data == board_encode(frame)
    assert data.count(0) == 1
    assert data.endswith(b"\x00")
    assert codec.decode(data[:-1]) == frame
    assert wire.decode(data[:-1]) == (
        frame.message,
        frame.session,
        frame.sequence,
        list(frame.values.values()),
    )


def text_of(size_bytes: int) -> str:
    return "é" * (size_bytes // 2) + "x" * (size_bytes % 2)


def extreme_record(kind: str, end: int) -> tuple:
    """A record with each part at its least (3) or greatest (4)."""
    return tuple(
        text_of((0, wire.GREATEST_STRING_BYTES)[end - 3])
        if part == wire.TEXT
        else wire.INTEGERS[part][end - 2]
        for part in wire.RECORDS[kind]
    )


def extreme(message: int, end: int) -> codec.Frame:
    """A message with each field at its least (3) or greatest (4)."""
    values: dict = {}
    for field in wire.fields_of(message):
        name, kind, size = field[0], field[1], field[end]
        if kind == wire.TEXT:
            values[name] = text_of(size)
        elif kind == wire.DATA:
            values[name] = b"\x00\xff"[end - 3 : end - 2] * size
        elif kind in wire.RECORDS:
            values[name] = [extreme_record(kind, end)] * size
        else:
            values[name] = size
    return codec.Frame(message, 0xFFFFFFFF * (end - 3), 0xFFFF * (end - 3), values)


@pytest.mark.parametrize("end", [3, 4], ids=["least", "greatest"])
@pytest.mark.parametrize("message", NAMES, ids=NAMES.values())
def test_the_ends_of_every_range_travel(message: int, end: int) -> None:
    frame = extreme(message, end)
    data = codec.encode(frame)
    assert data == board_encode(frame)
    assert codec.decode(data[:-1]) == frame


OUTSIDE = [
    (message, index, end)
    for message in NAMES
    for index, field in enumerate(wire.fields_of(message))
    for end in (3, 4)
    # The type itself keeps the rest.
    if (field[1] in COUNTED and (end == 4 or field[3]))
    or (field[1] in wire.INTEGERS and field[end] != wire.INTEGERS[field[1]][end - 2])
]  # fmt: skip


@pytest.mark.parametrize(
    ("message", "index", "end"),
    OUTSIDE,
    ids=[f"{NAMES[m]}-{wire.fields_of(m)[i][0]}-{'least' if e == 3 else 'greatest'}"
         for m, i, e in OUTSIDE],
)  # fmt: skip
def test_one_beyond_a_range_is_refused_by_both_ways_in_both_codecs(
    message: int, index: int, end: int
) -> None:
    frame = extreme(message, end)
    name, kind, _, least, greatest = wire.fields_of(message)[index]
    beyond = (least - 1, greatest + 1)[end - 3]
    if kind == wire.TEXT:
        bad = "x" * beyond
    elif kind == wire.DATA:
        bad = b"x" * beyond
    elif kind in wire.RECORDS:
        bad = [extreme_record(kind, 3)] * beyond
    else:
        bad = beyond
    frame.values[name] = bad
    with pytest.raises(codec.FrameError, match=name):
        codec.encode(frame)
    with pytest.raises(wire.WireError) as refused:
        board_encode(frame)
    # What is less than nothing is told as it is written.
    expected = (wire.OUT_OF_RANGE, index, beyond & 0xFFFFFFFF, least, greatest)
    assert refused.value.args == expected

    # The same on the way in.
    assert both_refuse(sealed(beyond_range(message, index, end))).args == expected


def beyond_range(message: int, index: int, end: int) -> bytes:
    """Header and body of an extreme message, but one field of it is one beyond that."""
    fields = wire.fields_of(message)
    _, kind, _, least, greatest = fields[index]
    beyond = (least - 1, greatest + 1)[end - 3]
    size_of = (least_size, greatest_size)[end - 3]
    content = bytearray(content_of(extreme(message, end)))
    at = wire.HEADER_BYTES + sum(size_of(field) for field in fields[:index])
    size = COUNTED[kind] if kind in COUNTED else wire.INTEGERS[kind][0]
    content[at : at + size] = beyond.to_bytes(size, "little", signed=beyond < 0)
    return bytes(content)


def least_size(field: tuple) -> int:
    _, kind, _, least, _ = field
    if kind in (wire.TEXT, wire.DATA):
        return COUNTED[kind] + least
    return COUNTED[kind] if kind in wire.RECORDS else greatest_size(field)


LISTS = [
    (message, index, part)
    for message in NAMES
    for index, field in enumerate(wire.fields_of(message))
    if field[1] in wire.RECORDS
    for part in range(len(wire.RECORDS[field[1]]))
]


@pytest.mark.parametrize(
    ("message", "index", "part"), LISTS, ids=[f"{NAMES[m]}-{p}" for m, _, p in LISTS]
)
@pytest.mark.parametrize("end", [3, 4], ids=["least", "greatest"])
def test_a_record_out_of_range_is_refused_by_both(
    message: int, index: int, part: int, end: int
) -> None:
    name, kind, *_ = wire.fields_of(message)[index]
    record = list(extreme_record(kind, 3))
    type_ = wire.RECORDS[kind][part]
    if type_ == wire.TEXT:
        # No text is shorter than none: what is too long, in letters of two bytes or of one.
        record[part] = ("é" * 20 + "x", "x" * (wire.GREATEST_STRING_BYTES + 1))[end - 3]
    else:
        record[part] = wire.INTEGERS[type_][end - 2] + (-1, 1)[end - 3]
    frame = extreme(message, 3)
    frame.values[name] = [tuple(record)]
    with pytest.raises(codec.FrameError, match=name):
        codec.encode(frame)
    with pytest.raises(wire.WireError) as refused:
        board_encode(frame)
    assert refused.value.code == wire.OUT_OF_RANGE
    assert refused.value.field == index


@given(frames(), st.data())
def test_a_body_of_the_wrong_length_is_refused_by_both(
    frame: codec.Frame, data: st.DataObject
) -> None:
    content = content_of(frame)
    body_bytes = len(content) - wire.HEADER_BYTES
    cut = data.draw(st.integers(-3, body_bytes).filter(bool))
    changed = content[:-cut] if cut > 0 else content + bytes(-cut)
    assert both_refuse(sealed(changed)).code == wire.BAD_LENGTH


@given(st.integers(0, 0xFF).filter(lambda number: number not in NAMES), st.binary(max_size=20))
def test_an_unknown_message_is_refused_by_both(number: int, body: bytes) -> None:
    error = both_refuse(sealed(bytes([wire.VERSION, number]) + bytes(6) + body))
    assert (error.code, error.value) == (wire.UNKNOWN_MESSAGE, number)
    with pytest.raises(codec.FrameError):
        codec.encode(codec.Frame(number, 1, 1, {}))


@given(frames(), st.integers(0, 0xFF).filter(lambda version: version != wire.VERSION))
def test_another_version_is_refused_by_both(frame: codec.Frame, version: int) -> None:
    error = both_refuse(sealed(bytes([version]) + content_of(frame)[1:]))
    assert error.args == (
        wire.OTHER_VERSION, wire.NO_FIELD, version, wire.VERSION, wire.VERSION
    )  # fmt: skip


@given(st.binary(max_size=wire.HEADER_BYTES - 1))
def test_less_than_a_header_is_refused_by_both(content: bytes) -> None:
    assert both_refuse(sealed(content)).code == wire.TOO_SHORT


def test_text_that_is_not_utf_8_is_refused_by_both() -> None:
    content = bytearray(content_of(extreme(wire.PROGRAM, 4)))
    content[wire.HEADER_BYTES + 2] = 0xFF
    error = both_refuse(sealed(bytes(content)))
    assert (error.code, error.field) == (wire.OUT_OF_RANGE, 1)


def test_text_that_cannot_be_utf_8_is_refused_on_its_way_out() -> None:
    values = extreme(wire.PROGRAM, 4).values | {"order_id": "\udc80"}
    with pytest.raises(codec.FrameError, match="order_id"):
        codec.encode(codec.Frame(wire.PROGRAM, 1, 1, values))


# -- byte stuffing and checksum -------------------------------------------------------------------

# Around the block of 254 bytes that a code byte can span.
BLOCKS = [b"x" * size for size in (0, 1, 253, 254, 255, 256, 508, 509, 600)] + [
    b"\x00" * 400, b"x" * 253 + b"\x00", b"x" * 254 + b"\x00", b"x" * 254 + b"\x00\x00y",
]  # fmt: skip


def with_examples(*given_examples: bytes):
    def decorate(function):
        for data in given_examples:
            function = example(data)(function)
        return function

    return decorate


any_bytes = st.one_of(
    st.binary(max_size=600),
    # Long runs without zeros, and few zeros.
    st.lists(st.integers(0, 600), max_size=4).map(
        lambda runs: b"\x00".join(b"\x07" * run for run in runs)[:600]
    ),
)


@given(any_bytes)
@with_examples(*BLOCKS)
def test_byte_stuffing_is_that_of_the_library(data: bytes) -> None:
    stuffed = wire.cobs_encode(data)
    assert stuffed == cobs.encode(data)
    assert 0 not in stuffed
    assert len(stuffed) <= len(data) + 1 + len(data) // 254
    assert wire.cobs_decode(stuffed) == data
    assert cobs.decode(stuffed) == data


def library_decode(stuffed: bytes) -> bytes | None:
    try:
        return cobs.decode(stuffed)
    except cobs.DecodeError:
        return None


def own_decode(stuffed: bytes) -> bytes | None:
    try:
        return wire.cobs_decode(stuffed)
    except wire.WireError:
        return None


@given(st.one_of(st.binary(max_size=600), st.binary(max_size=600).map(cobs.encode)), st.data())
def test_both_refuse_the_same_broken_stuffing(stuffed: bytes, data: st.DataObject) -> None:
    broken = bytearray(stuffed)
    if broken:
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 0xFF))
    for piece in (stuffed, bytes(broken), stuffed[:-1], stuffed + b"\x00", b"\x00" + stuffed):
        assert own_decode(piece) == library_decode(piece)


@pytest.mark.parametrize("broken", [b"\x00", b"\x02", b"\x03x", b"\x02\x00", b"\x01\x00\x01"])
def test_broken_stuffing_is_refused(broken: bytes) -> None:
    with pytest.raises(wire.WireError) as refused:
        wire.cobs_decode(broken)
    assert refused.value.code == wire.BAD_COBS
    assert library_decode(broken) is None


# The check values that the catalogues of CRCs list for this polynomial.
@pytest.mark.parametrize(("data", "check"), [(b"123456789", 0xCBF43926), (b"", 0)])
def test_the_checksum_is_the_crc_32_of_ieee_802_3(data: bytes, check: int) -> None:
    assert crc32(data) == check
    assert crcmod.predefined.mkPredefinedCrcFun("crc-32")(data) == check


def test_a_frame_byte_for_byte() -> None:
    content = bytes([3, 0x04]) + bytes.fromhex("44332211") + bytes.fromhex("0201")
    content += bytes(4) + bytes.fromhex("0504")
    data = wire.encode(wire.START, 0x11223344, 0x0102, [0, 0x0405])
    assert data == cobs.encode(content + crc32(content).to_bytes(4, "little")) + b"\x00"


@given(frames(), st.data())
def test_a_flipped_bit_is_refused_by_both(frame: codec.Frame, data: st.DataObject) -> None:
    stuffed = bytearray(board_encode(frame)[:-1])
    bit = data.draw(st.integers(0, 8 * len(stuffed) - 1))
    stuffed[bit // 8] ^= 1 << bit % 8
    both_refuse(bytes(stuffed))


@pytest.mark.parametrize("message", [wire.PAUSE, wire.START, wire.PROGRAM], ids=NAMES.get)
def test_every_flipped_bit_of_a_command_is_refused_by_both(message: int) -> None:
    good = board_encode(extreme(message, 3))[:-1]
    for bit in range(8 * len(good)):
        stuffed = bytearray(good)
        stuffed[bit // 8] ^= 1 << bit % 8
        assert both_refuse(bytes(stuffed)).code in (wire.BAD_CRC, wire.BAD_COBS, wire.TOO_SHORT)


@given(st.binary(max_size=300))
def test_noise_is_refused_by_both(noise: bytes) -> None:
    both_refuse(noise)


# -- the interpreter of the board -----------------------------------------------------------------


def corpus() -> list[bytes]:
    """Good frames of every message, and ones that each error refuses."""
    dice = random.Random(20601)
    good = []
    for message in NAMES:
        good += [extreme(message, 3), extreme(message, 4)]
        for _ in range(10):
            values = {field[0]: rolled(dice, field) for field in wire.fields_of(message)}
            good.append(codec.Frame(message, dice.getrandbits(32), dice.getrandbits(16), values))
    found = [codec.encode(frame)[:-1] for frame in good]
    for frame in good[::3]:
        content = bytearray(content_of(frame))
        whole = codec.encode(frame)[:-1]
        damaged = bytearray(whole)
        damaged[dice.randrange(len(damaged))] ^= 1 << dice.randrange(8)
        altered = bytearray(content)
        altered[dice.randrange(len(altered))] ^= 1 << dice.randrange(8)
        found += [bytes(damaged), whole[:-2], whole + b"x" * wire.GREATEST_BODY_BYTES]
        found += [sealed(piece) for piece in (content[:-1], content + b"\x00", content[:5])]
        # A flipped bit may make text that is UTF-8 only to MicroPython, which looks less closely.
        if not any(has_text(field) for field in wire.fields_of(frame.message)):
            found.append(sealed(altered))
    return found + [sealed(beyond_range(*row)) for row in OUTSIDE]


def has_text(field: tuple) -> bool:
    return field[1] == wire.TEXT or wire.TEXT in wire.RECORDS.get(field[1], ())


def rolled(dice: random.Random, field: tuple):
    _, kind, _, least, greatest = field
    if kind == wire.TEXT:
        return rolled_text(dice, greatest) or "x" * least
    if kind == wire.DATA:
        return dice.randbytes(dice.randint(least, greatest))
    if kind in wire.RECORDS:
        return [
            tuple(rolled_part(dice, part) for part in wire.RECORDS[kind])
            for _ in range(dice.randint(least, greatest))
        ]
    return dice.randint(least, greatest)


def rolled_text(dice: random.Random, greatest_bytes: int) -> str:
    return "".join(dice.choice("aZ0-é€𝄞") for _ in range(greatest_bytes // 4))


def rolled_part(dice: random.Random, part: str):
    if part == wire.TEXT:
        return rolled_text(dice, wire.GREATEST_STRING_BYTES)
    return dice.randint(*wire.INTEGERS[part][1:])


def test_the_board_s_interpreter_codes_the_same(tmp_path: Path) -> None:
    if not MICROPYTHON.exists():
        pytest.skip("the MicroPython unix port is not installed (extra: bench)")
    found = corpus()
    path = tmp_path / "corpus.hex"
    path.write_text("".join(f"{frame.hex()}\n" for frame in found), encoding="ascii")
    said = []
    for interpreter in (MICROPYTHON, sys.executable):
        firmware = str(REPO / "firmware")
        done = subprocess.run(
            [interpreter, ON_MICROPYTHON, path],
            capture_output=True, text=True, timeout=60, check=True,
            env=os.environ | {"MICROPYPATH": firmware, "PYTHONPATH": firmware},
        )  # fmt: skip
        said.append(done.stdout.splitlines())
    there, here = said
    assert len(there) == len(found)
    assert there == here
    good = 12 * len(NAMES)
    assert there[:good] == [f"frame {frame.hex()}" for frame in found[:good]]
    codes = {line.split()[1] for line in there[good:] if line.startswith("error")}
    assert {str(code) for code in range(wire.BAD_COBS, wire.OUT_OF_RANGE + 1)} <= codes


# -- the document ---------------------------------------------------------------------------------


def render_table(columns: tuple, table: list[tuple]) -> str:
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    lines += ["| " + " | ".join(str(value) for value in row) + " |" for row in table]
    return "\n".join(lines)


def render_messages() -> str:
    table: list[tuple] = []
    for number, name, fields in wire.MESSAGES:
        head = (f"`0x{number:02X}`", f"`{name}`")
        if not fields:
            table.append((*head, "", "", "", "", "", ""))
        for index, (field, kind, unit, least, greatest) in enumerate(fields):
            unit_shown = {wire.TEXT: "bytes", **dict.fromkeys(wire.RECORDS, "records")}.get(
                kind, unit
            )
            table.append(
                (*head, index, f"`{field}`", kind, unit_shown, f"{least:,}", f"{greatest:,}")
            )
            head = ("", "")
    return render_table(
        ("number", "message", "field", "name", "type", "unit", "least", "greatest"), table
    )


def render_errors() -> str:
    table = []
    for code in sorted(ERRORS):
        table.append((code, f"`{ERRORS[code]}`", reason(code)))
    return render_table(("code", "name", "what was wrong"), table)


def render_events() -> str:
    return render_table(
        ("code", "event", "a", "b"), [(f"{row[0]}", *row[1:]) for row in journal.EVENTS]
    )


def rendered_blocks() -> dict[str, str]:
    return {"messages": render_messages(), "errors": render_errors(), "events": render_events()}


def test_the_document_shows_the_declaration() -> None:
    text = DOC.read_text(encoding="utf-8")
    assert text == support.with_blocks(text, rendered_blocks()), "run: python tests/test_wire.py"


if __name__ == "__main__":
    DOC.write_text(
        support.with_blocks(DOC.read_text(encoding="utf-8"), rendered_blocks()), encoding="utf-8"
    )
