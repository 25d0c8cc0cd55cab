"""The wire: every message declared once as data, and the board's codec for it.

A frame is ``COBS(header body crc) 00``: header = version u8, message u8, session u32, sequence u16;
the CRC is the CRC-32 of header and body (the one of IEEE 802.3, as in ``binascii``); all numbers
are little-endian. The host has a codec of its own, from libraries, and each is tested on the
other's frames. COBS is from Cheshire and Baker, "Consistent Overhead Byte Stuffing" (1999).
"""

from binascii import crc32

VERSION = 1
HEADER_BYTES = 8
CRC_BYTES = 4
GREATEST_BODY_BYTES = 240
GREATEST_STRING_BYTES = 40
CONTENT_DIGITS = 16
RECORDS_PER_REPLY = 8
REPLY = 0x80
ERROR = 0xFF
NO_SESSION = 0
NO_SEQUENCE = 0xFFFF

# Field types: name -> (bytes, least, greatest). "text" is a length byte and UTF-8; "events" is a
# count byte and as many records.
INTEGERS = {
    "u8": (1, 0, 0xFF),
    "u16": (2, 0, 0xFFFF),
    "u32": (4, 0, 0xFFFFFFFF),
    "i32": (4, -0x80000000, 0x7FFFFFFF),
}
TEXT = "text"
EVENTS = "events"
EVENT_FIELDS = ("u32", "u32", "u16", "u8", "i32", "i32")
EVENT_BYTES = 19

HELLO = 0x01
STATUS = 0x02
PROGRAM = 0x03
START = 0x04
PAUSE = 0x05
RESUME = 0x06
STOP = 0x07
SET_RATE = 0x08
ACKNOWLEDGE = 0x09
LOG = 0x0A
SET_TELEMETRY = 0x0B
RESTART = 0x0C
TELEMETRY = 0x42
DONE = 0x84

_STATUS_FIELDS = (
    ("state", "u8", "", 0, 7),
    ("active_alarms", "u16", "bits", 0, 0xFFFF),
    ("program_id", "u32", "", 0, 0xFFFFFFFF),
    ("item_id", TEXT, "", 0, GREATEST_STRING_BYTES),
    ("rate_ul_h", "u32", "µL/h", 0, 1_200_000),
    ("remaining_s", "u32", "s", 0, 0xFFFFFFFF),
    ("target_millions", "u32", "million steps", 0, 0xFFFFFFFF),
    ("target_rest", "u32", "steps", 0, 999_999),
    ("infused_millions", "u32", "million steps", 0, 0xFFFFFFFF),
    ("infused_rest", "u32", "steps", 0, 999_999),
    ("kvo_millions", "u32", "million steps", 0, 0xFFFFFFFF),
    ("kvo_rest", "u32", "steps", 0, 999_999),
    ("nl_num", "u32", "nL", 0, 0xFFFFFFFF),
    ("nl_den", "u32", "steps", 0, 0xFFFFFFFF),
    ("uptime_s", "u32", "s", 0, 0xFFFFFFFF),
    ("uptime_ms", "u16", "ms", 0, 999),
    ("next_event", "u32", "", 0, 0xFFFFFFFF),
)

# (number, name, fields); a field is (name, type, unit, least, greatest). For texts least and
# greatest are bytes, for events they are counts.
MESSAGES = (
    (HELLO, "hello", (("silence_s", "u16", "s", 0, 3600),)),
    (STATUS, "status", ()),
    (PROGRAM, "program", (
        ("kind", "u8", "", 1, 2),
        ("item_id", TEXT, "", 1, GREATEST_STRING_BYTES),
        ("content_ul", "u32", "µL", 0, 9_999_000),
        ("rate_ul_h", "u32", "µL/h", 0, 0xFFFFFFFF),
        ("vtbi_ul", "u32", "µL", 0, 0xFFFFFFFF),
        ("duration_s", "u32", "s", 0, 359_940),
        ("kvo_ul_h", "u32", "µL/h", 0, 0xFFFFFFFF),
        ("order_id", TEXT, "", 0, GREATEST_STRING_BYTES),
    )),
    (START, "start", (("program_id", "u32", "", 0, 0xFFFFFFFF),)),
    (PAUSE, "pause", ()),
    (RESUME, "resume", ()),
    (STOP, "stop", ()),
    (SET_RATE, "set_rate", (("rate_ul_h", "u32", "µL/h", 0, 0xFFFFFFFF),)),
    (ACKNOWLEDGE, "acknowledge", ()),
    (LOG, "log", (("first", "u32", "", 0, 0xFFFFFFFF),)),
    (SET_TELEMETRY, "set_telemetry", (("period_ms", "u32", "ms", 0, 3_600_000),)),
    # Into 1, the pump again; into 2, maintenance: motor off, and the interpreter's prompt.
    (RESTART, "restart", (("into", "u8", "", 1, 2),)),
    (TELEMETRY, "telemetry", _STATUS_FIELDS),
    (REPLY | HELLO, "info", (
        ("firmware", TEXT, "", 0, GREATEST_STRING_BYTES),
        # The first 16 digits of the SHA-256 of all that was frozen into the image.
        ("content", TEXT, "", 0, CONTENT_DIGITS),
        ("interpreter", TEXT, "", 0, 24),
        ("ground", TEXT, "", 0, GREATEST_STRING_BYTES),
        ("board", TEXT, "", 0, GREATEST_STRING_BYTES),
        ("kind", "u8", "", 1, 2),
        ("drive_id", TEXT, "", 0, GREATEST_STRING_BYTES),
        ("reset_cause", "u8", "", 0, 0xFF),
        # How fast the pump's time runs: 1000 is real time; 0 is a simulation as fast as it goes.
        ("time_x1000", "u32", "1/1000", 0, 0xFFFFFFFF),
        ("state", "u8", "", 0, 7),
        ("first_event", "u32", "", 0, 0xFFFFFFFF),
        ("next_event", "u32", "", 0, 0xFFFFFFFF),
    )),
    (REPLY | STATUS, "status_reply", _STATUS_FIELDS),
    (REPLY | PROGRAM, "accepted", (
        ("program_id", "u32", "", 0, 0xFFFFFFFF),
        ("warnings", "u16", "bits", 0, 0xFFFF),
        ("rate_ul_h", "u32", "µL/h", 10, 1_200_000),
        ("vtbi_ul", "u32", "µL", 0, 0xFFFFFFFF),
        ("duration_s", "u32", "s", 0, 0xFFFFFFFF),
        ("kvo_ul_h", "u32", "µL/h", 0, 1_200_000),
        ("least_rate_ul_h", "u32", "µL/h", 0, 0xFFFFFFFF),
        ("nl_num", "u32", "nL", 1, 0xFFFFFFFF),
        ("nl_den", "u32", "steps", 1, 0xFFFFFFFF),
    )),
    (DONE, "done", (("state", "u8", "", 0, 7),)),
    (REPLY | LOG, "events", (
        ("first_kept", "u32", "", 0, 0xFFFFFFFF),
        ("next_event", "u32", "", 0, 0xFFFFFFFF),
        ("records", EVENTS, "", 0, RECORDS_PER_REPLY),
    )),
    # "field" counts the fields of the message that was refused from 0; 255 is none of them.
    (ERROR, "error", (
        ("code", "u8", "", 0, 0xFF),
        ("field", "u8", "", 0, 0xFF),
        ("value", "u32", "", 0, 0xFFFFFFFF),
        ("least", "u32", "", 0, 0xFFFFFFFF),
        ("greatest", "u32", "", 0, 0xFFFFFFFF),
    )),
)  # fmt: skip

INTO_PUMP = 1
INTO_MAINTENANCE = 2

NO_FIELD = 255

# Errors of the wire itself; 1 … 31 are therapy's reasons to refuse, 32 … 63 the controller's.
BAD_COBS = 64
TOO_SHORT = 65
TOO_LONG = 66
BAD_CRC = 67
OTHER_VERSION = 68
UNKNOWN_MESSAGE = 69
BAD_LENGTH = 70
OUT_OF_RANGE = 71
UNKNOWN_SESSION = 72
OLD_SEQUENCE = 73
REUSED_SEQUENCE = 74
UNKNOWN_ITEM = 75
OTHER_KIND = 76
CANNOT_RESTART = 77

_FIELDS = {}
for _number, _name, _fields in MESSAGES:
    _FIELDS[_number] = _fields


class WireError(ValueError):
    """A frame or message that is not as declared.

    Attributes:
        code: one of the errors above.
        field, value, least, greatest: which field, what it was and what it may be; 255, 0, 0, 0
            where no field is to blame.

    """

    def __init__(
        self, code: int, field: int = NO_FIELD, value: int = 0, least: int = 0, greatest: int = 0
    ) -> None:
        super().__init__(code, field, value, least, greatest)
        self.code = code
        self.field = field
        self.value = value
        self.least = least
        self.greatest = greatest


def fields_of(message: int) -> tuple:
    """The declared fields of a message; WireError if there is no such message."""
    if message not in _FIELDS:
        raise WireError(UNKNOWN_MESSAGE, NO_FIELD, message)
    return _FIELDS[message]


def encode(message: int, session: int, sequence: int, values) -> bytes:
    """A frame with its delimiter; ``values`` in the order of the fields; raises WireError."""
    data = bytearray()
    _put_integer(data, VERSION, 1)
    _put_integer(data, message, 1)
    _put_integer(data, session, 4)
    _put_integer(data, sequence, 2)
    fields = fields_of(message)
    if len(values) != len(fields):
        raise WireError(BAD_LENGTH, NO_FIELD, len(values))
    for index in range(len(fields)):
        _put_field(data, index, fields[index], values[index])
    if len(data) > HEADER_BYTES + GREATEST_BODY_BYTES:
        raise WireError(TOO_LONG, NO_FIELD, len(data))
    _put_integer(data, crc32(data), 4)
    return cobs_encode(bytes(data)) + b"\x00"


def decode(stuffed: bytes) -> tuple[int, int, int, list]:
    """``(message, session, sequence, values)`` of a frame without its delimiter.

    Raises WireError. Nothing of the frame is believed before its CRC is.
    """
    message, session, sequence, body = open_frame(stuffed)
    return message, session, sequence, decode_body(message, body)


def open_frame(stuffed: bytes) -> tuple[int, int, int, bytes]:
    """``(message, session, sequence, body)``, the body not yet looked at; raises WireError."""
    if len(stuffed) > HEADER_BYTES + GREATEST_BODY_BYTES + CRC_BYTES + 2:
        raise WireError(TOO_LONG, NO_FIELD, len(stuffed))
    data = cobs_decode(stuffed)
    if len(data) < HEADER_BYTES + CRC_BYTES:
        raise WireError(TOO_SHORT, NO_FIELD, len(data))
    end = len(data) - CRC_BYTES
    if _get_integer(data, end, 4) != crc32(data[:end]):
        raise WireError(BAD_CRC)
    if data[0] != VERSION:
        raise WireError(OTHER_VERSION, NO_FIELD, data[0], VERSION, VERSION)
    return data[1], _get_integer(data, 2, 4), _get_integer(data, 6, 2), data[HEADER_BYTES:end]


def decode_body(message: int, body: bytes) -> list:
    """The values of a message's fields, each within its declared range; raises WireError."""
    fields = fields_of(message)
    values: list = []
    at = 0
    for index in range(len(fields)):
        value, at = _get_field(body, at, index, fields[index])
        values.append(value)
    if at != len(body):
        raise WireError(BAD_LENGTH, NO_FIELD, len(body), at, at)
    return values


def cobs_encode(data: bytes) -> bytes:
    """``data`` without zero bytes."""
    stuffed = bytearray(b"\x00")
    code_at = 0
    code = 1
    for byte in data:
        if code == 0xFF:
            stuffed[code_at] = code
            code_at = len(stuffed)
            stuffed.append(0)
            code = 1
        if byte:
            stuffed.append(byte)
            code += 1
        else:
            stuffed[code_at] = code
            code_at = len(stuffed)
            stuffed.append(0)
            code = 1
    stuffed[code_at] = code
    return bytes(stuffed)


def cobs_decode(stuffed: bytes) -> bytes:
    """What ``cobs_encode`` was given; WireError where it cannot have made this."""
    data = bytearray()
    at = 0
    size = len(stuffed)
    while at < size:
        code = stuffed[at]
        end = at + code
        if code == 0 or end > size:
            raise WireError(BAD_COBS, NO_FIELD, at)
        for byte in stuffed[at + 1 : end]:
            if byte == 0:
                raise WireError(BAD_COBS, NO_FIELD, at)
            data.append(byte)
        at = end
        if code < 0xFF and at < size:
            data.append(0)
    return bytes(data)


def _put_field(data: bytearray, index: int, field: tuple, value) -> None:
    _, kind, _, least, greatest = field
    if kind == TEXT:
        coded = value.encode()
        _check(index, len(coded), least, greatest)
        data.append(len(coded))
        data.extend(coded)
    elif kind == EVENTS:
        _check(index, len(value), least, greatest)
        data.append(len(value))
        for record in value:
            for part in range(len(EVENT_FIELDS)):
                size, lowest, highest = INTEGERS[EVENT_FIELDS[part]]
                _check(index, record[part], lowest, highest)
                _put_integer(data, record[part], size)
    else:
        _check(index, value, least, greatest)
        _put_integer(data, value, INTEGERS[kind][0])


def _get_field(body: bytes, at: int, index: int, field: tuple) -> tuple:
    _, kind, _, least, greatest = field
    if kind == TEXT:
        size = _get_size(body, at)
        _check(index, size, least, greatest)
        _need(body, at + 1, size)
        try:
            value = bytes(body[at + 1 : at + 1 + size]).decode()
        except UnicodeError:
            raise WireError(OUT_OF_RANGE, index) from None
        return value, at + 1 + size
    if kind == EVENTS:
        count = _get_size(body, at)
        _check(index, count, least, greatest)
        _need(body, at + 1, count * EVENT_BYTES)
        at += 1
        records = []
        for _ in range(count):
            record = []
            for part in EVENT_FIELDS:
                size = INTEGERS[part][0]
                record.append(_get_number(body, at, part))
                at += size
            records.append(tuple(record))
        return records, at
    size = INTEGERS[kind][0]
    _need(body, at, size)
    number = _get_number(body, at, kind)
    _check(index, number, least, greatest)
    return number, at + size


def _check(index: int, value: int, least: int, greatest: int) -> None:
    if not least <= value <= greatest:
        raise WireError(OUT_OF_RANGE, index, value & 0xFFFFFFFF, least, greatest)


def _need(body: bytes, at: int, size: int) -> None:
    if at + size > len(body):
        raise WireError(BAD_LENGTH, NO_FIELD, len(body), at + size, at + size)


def _get_size(body: bytes, at: int) -> int:
    _need(body, at, 1)
    return body[at]


def _get_number(body: bytes, at: int, kind: str) -> int:
    size, least, _ = INTEGERS[kind]
    value = _get_integer(body, at, size)
    # int.from_bytes has no sign on MicroPython.
    if least < 0 and value >= 1 << (8 * size - 1):
        value -= 1 << (8 * size)
    return value


def _put_integer(data: bytearray, value: int, size: int) -> None:
    for _ in range(size):
        data.append(value & 0xFF)
        value >>= 8


def _get_integer(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "little")
