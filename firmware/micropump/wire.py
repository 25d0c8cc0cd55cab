"""The wire: every message declared once as data, and the board's codec for it.

A frame is ``COBS(header body crc) 00``: header = version u8, message u8, session u32, sequence u16;
the CRC is the CRC-32 of header and body (the one of IEEE 802.3, as in ``binascii``); all numbers
are little-endian. The host has a codec of its own, from libraries, and each is tested on the
other's frames. COBS is from Cheshire and Baker, "Consistent Overhead Byte Stuffing" (1999).
"""

from binascii import crc32

VERSION = 3
HEADER_BYTES = 8
CRC_BYTES = 4
GREATEST_BODY_BYTES = 560
GREATEST_STRING_BYTES = 40
# One of COBS's bytes carries 254 others.
GREATEST_STUFFED_BYTES = HEADER_BYTES + GREATEST_BODY_BYTES + CRC_BYTES + 3
# Of the ids of drugs and care areas, as a library has them.
GREATEST_ID_BYTES = 24
# Of an image in one part.
GREATEST_PART_BYTES = 512
# Infusomat Space: 1 min to 24 h.
LEAST_STANDBY_S = 60
GREATEST_STANDBY_S = 86_400
KEY_BYTES = 32
CONTENT_DIGITS = 16
# So that they fit with the longest of texts.
RECORDS_PER_REPLY = 8
GREATEST_FINDINGS = 16
GREATEST_STATE = 11
REPLY = 0x80
ERROR = 0xFF
NO_SESSION = 0
NO_SEQUENCE = 0xFFFF

# Field types: name -> (bytes, least, greatest). "text" is a length byte and UTF-8; "data" is a
# length of two bytes and bytes; a record type is a count byte and as many records of these fields,
# one after the other.
_U32 = 0xFFFFFFFF
INTEGERS = {
    "u8": (1, 0, 0xFF),
    "u16": (2, 0, 0xFFFF),
    "u32": (4, 0, _U32),
    "i8": (1, -0x80, 0x7F),
    "i32": (4, -0x80000000, 0x7FFFFFFF),
}
TEXT = "text"
DATA = "data"
RECORDS = {
    # number, uptime s, uptime ms, code, a, b, text
    "events": ("u32", "u32", "u16", "u8", "i32", "i32", TEXT),
    # kind of limit, level, field, value, the least or greatest within it
    "findings": ("u8", "u8", "u8", "u32", "u32"),
    # sensor, fault, value in its unit
    "sensors": ("u8", "u8", "i32"),
    # rate µL/h, volume µL, duration s
    "steps": ("u32", "u32", "u32"),
    # minutes of the day
    "times": ("u16",),
}

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
BOLUS = 0x0D
DEMAND = 0x0E
CHANGE_CONTAINER = 0x0F
PROGRAM_INTERMITTENT = 0x10
PROGRAM_RAMP = 0x11
PROGRAM_STEPPED = 0x12
PROGRAM_PCA = 0x13
PROGRAM_PURGE = 0x14
PROGRAM_SECONDARY = 0x15
LIBRARY_INFO = 0x18
LIBRARY_BEGIN = 0x19
LIBRARY_PART = 0x1A
LIBRARY_COMMIT = 0x1B
PROVISION = 0x1C
PAUSE_AUDIO = 0x1D
SETTINGS = 0x1E
PREDICT = 0x1F
SENSORS = 0x20
STANDBY = 0x21
SETTINGS_INFO = 0x22
TELEMETRY = 0x42
DONE = 0x84

# Where a therapy stands to the drug library (``prescription``).
GREATEST_STANDING = 6

_STATUS_FIELDS = (
    ("state", "u8", "", 0, GREATEST_STATE),
    # 0 without a program, or one of therapy.py.
    ("therapy", "u8", "", 0, 7),
    ("active_alarms", "u32", "bits", 0, _U32),
    ("program_id", "u32", "", 0, _U32),
    ("item_id", TEXT, "", 0, GREATEST_STRING_BYTES),
    ("rate_ul_h", "u32", "µL/h", 0, 1_200_000),
    ("remaining_s", "u32", "s", 0, _U32),
    ("target_millions", "u32", "million steps", 0, _U32),
    ("target_rest", "u32", "steps", 0, 999_999),
    ("infused_millions", "u32", "million steps", 0, _U32),
    ("infused_rest", "u32", "steps", 0, 999_999),
    ("kvo_millions", "u32", "million steps", 0, _U32),
    ("kvo_rest", "u32", "steps", 0, 999_999),
    ("primed_millions", "u32", "million steps", 0, _U32),
    ("primed_rest", "u32", "steps", 0, 999_999),
    ("bolus_millions", "u32", "million steps", 0, _U32),
    ("bolus_rest", "u32", "steps", 0, 999_999),
    ("demand_millions", "u32", "million steps", 0, _U32),
    ("demand_rest", "u32", "steps", 0, 999_999),
    ("secondary_millions", "u32", "million steps", 0, _U32),
    ("secondary_rest", "u32", "steps", 0, 999_999),
    ("retracted_millions", "u32", "million steps", 0, _U32),
    ("retracted_rest", "u32", "steps", 0, 999_999),
    # Of the VTBI: the program's own, boluses and demands, and not a loading dose.
    ("given_millions", "u32", "million steps", 0, _U32),
    ("given_rest", "u32", "steps", 0, 999_999),
    # What the container still holds, and for how long at the rate that now holds.
    ("content_ul", "u32", "µL", 0, _U32),
    ("content_left_s", "u32", "s", 0, _U32),
    ("phase", "u8", "", 0, 0xFF),
    # Intermittent doses that are finished.
    ("doses", "u16", "", 0, 0xFFFF),
    # A patient's demands: how many there were, how many were given, and when the next may be.
    ("demands_made", "u16", "", 0, 0xFFFF),
    ("demands_given", "u16", "", 0, 0xFFFF),
    ("lockout_left_s", "u32", "s", 0, _U32),
    # Of a bolus or demand under way.
    ("bolus_left_ul", "u32", "µL", 0, _U32),
    # What flows, or is to: its limits are those of the drug library, or why there are none.
    ("drug_id", TEXT, "", 0, GREATEST_ID_BYTES),
    ("library", "u8", "", 0, GREATEST_STANDING),
    # Soft limits that were overridden, a bit for each kind (``prescription``).
    ("overrides", "u16", "bits", 0, 0xFFFF),
    # The priorities that are sounded and shown, 0 for none; whether a person has paused the sound.
    ("sound", "u8", "", 0, 3),
    ("light", "u8", "", 0, 3),
    ("audio_paused", "u8", "", 0, 1),
    # Until a pause is reminded of; 0 where none is.
    ("reminder_s", "u32", "s", 0, _U32),
    ("nl_num", "u32", "nL", 0, _U32),
    ("nl_den", "u32", "steps", 0, _U32),
    ("uptime_s", "u32", "s", 0, _U32),
    ("uptime_ms", "u16", "ms", 0, 999),
    ("next_event", "u32", "", 0, _U32),
)

# What is in the container, for whom, and who asked for it. Without a drug's id nothing can be
# looked up; a concentration is mantissa · 10^exponent ng (1) or milliunits (2) in a millilitre,
# or none (0); a weight of 0 is not told.
_ORDERED_FIELDS = (
    ("order_id", TEXT, "", 0, GREATEST_STRING_BYTES),
    ("asked_by", TEXT, "", 0, GREATEST_STRING_BYTES),
    ("drug_id", TEXT, "", 0, GREATEST_ID_BYTES),
    ("care_area", TEXT, "", 0, GREATEST_ID_BYTES),
    ("concentration_in", "u8", "", 0, 2),
    ("concentration_mantissa", "u32", "", 0, _U32),
    ("concentration_exponent", "i8", "", -12, 12),
    ("weight_g", "u32", "g", 0, 999_999),
)

_SETTINGS_FIELDS = (
    ("restarts", "u8", "", 0, 9),
    ("occlusion_level", "u8", "", 0, 9),
    ("near_end_min", "u8", "min", 0, 240),
)

# What every program begins with. The content is that of one container, all of which are full.
_SETUP_FIELDS = (
    ("kind", "u8", "", 1, 2),
    ("item_id", TEXT, "", 1, GREATEST_STRING_BYTES),
    ("content_ul", "u32", "µL", 0, 9_999_000),
    ("containers", "u8", "", 1, 99),
    ("delay_s", "u32", "s", 0, 359_940),
    ("kvo_ul_h", "u32", "µL/h", 0, _U32),
) + _ORDERED_FIELDS

# Which soft limits shall be overridden, a bit for each kind: none at first, and then those that the
# pump has asked about.
_OVERRIDES = ("overrides", "u16", "bits", 0, 0xFFFF)

# (number, name, fields); a field is (name, type, unit, least, greatest). For texts least and
# greatest are bytes, for events they are counts.
MESSAGES = (
    (HELLO, "hello", (("silence_s", "u16", "s", 0, 3600),)),
    (STATUS, "status", ()),
    # Exactly one of rate and duration is given; the other is 0.
    (PROGRAM, "program", _SETUP_FIELDS + (
        ("rate_ul_h", "u32", "µL/h", 0, _U32),
        ("vtbi_ul", "u32", "µL", 0, _U32),
        ("duration_s", "u32", "s", 0, 359_940),
        ("loading_ul", "u32", "µL", 0, _U32),
        ("loading_ul_h", "u32", "µL/h", 0, _U32),
    )),
    # Every interval, or at times of the day: then the pump is told what time it is (86,400: not).
    (PROGRAM_INTERMITTENT, "program_intermittent", _SETUP_FIELDS + (
        ("dose_ul", "u32", "µL", 0, _U32),
        ("rate_ul_h", "u32", "µL/h", 0, _U32),
        ("duration_s", "u32", "s", 0, 359_940),
        ("interval_s", "u32", "s", 0, 359_940),
        ("doses", "u16", "", 1, 1000),
        ("times", "times", "min", 0, 8),
        ("clock_s", "u32", "s", 0, 86_400),
    )),
    (PROGRAM_RAMP, "program_ramp", _SETUP_FIELDS + (
        ("vtbi_ul", "u32", "µL", 0, _U32),
        ("duration_s", "u32", "s", 0, 359_940),
        ("up_s", "u32", "s", 0, 359_940),
        ("down_s", "u32", "s", 0, 359_940),
    )),
    # A VTBI of 0 is that of the steps. Of each step exactly one of volume and duration is given.
    (PROGRAM_STEPPED, "program_stepped", _SETUP_FIELDS + (
        ("vtbi_ul", "u32", "µL", 0, _U32),
        ("steps", "steps", "", 0, 28),
    )),
    # The rate is the basal one; a window of 0 is none.
    (PROGRAM_PCA, "program_pca", _SETUP_FIELDS + (
        ("vtbi_ul", "u32", "µL", 0, _U32),
        ("rate_ul_h", "u32", "µL/h", 0, _U32),
        ("demand_ul", "u32", "µL", 0, _U32),
        ("demand_ul_h", "u32", "µL/h", 0, _U32),
        ("lockout_s", "u32", "s", 0, 86_400),
        ("window_1_s", "u32", "s", 0, 86_400),
        ("limit_1_ul", "u32", "µL", 0, _U32),
        ("window_2_s", "u32", "s", 0, 86_400),
        ("limit_2_ul", "u32", "µL", 0, _U32),
        ("loading_ul", "u32", "µL", 0, _U32),
        ("loading_ul_h", "u32", "µL/h", 0, _U32),
    )),
    # Reverse is 1 to draw the plunger back.
    (PROGRAM_PURGE, "program_purge", _SETUP_FIELDS + (
        ("volume_ul", "u32", "µL", 0, _U32),
        ("rate_ul_h", "u32", "µL/h", 0, _U32),
        ("reverse", "u8", "", 0, 1),
    )),
    # From a container of its own, into the program that is under way, which goes on afterwards.
    (PROGRAM_SECONDARY, "program_secondary", (
        ("content_ul", "u32", "µL", 0, 9_999_000),
        ("rate_ul_h", "u32", "µL/h", 0, _U32),
        ("vtbi_ul", "u32", "µL", 0, _U32),
        ("duration_s", "u32", "s", 0, 359_940),
    ) + _ORDERED_FIELDS),
    # With a duration in place of a rate it is a square bolus.
    (BOLUS, "bolus", (
        ("volume_ul", "u32", "µL", 0, _U32),
        ("rate_ul_h", "u32", "µL/h", 0, _U32),
        ("duration_s", "u32", "s", 0, 359_940),
        _OVERRIDES,
    )),
    (DEMAND, "demand", ()),
    # With another drug in it than the therapy's, that is at its end.
    (CHANGE_CONTAINER, "change_container", (
        ("content_ul", "u32", "µL", 0, 9_999_000),
        ("drug_id", TEXT, "", 0, GREATEST_ID_BYTES),
    )),
    (START, "start", (("program_id", "u32", "", 0, _U32), _OVERRIDES)),
    (PAUSE, "pause", ()),
    (RESUME, "resume", ()),
    (STOP, "stop", ()),
    (SET_RATE, "set_rate", (("rate_ul_h", "u32", "µL/h", 0, _U32), _OVERRIDES)),
    (ACKNOWLEDGE, "acknowledge", ()),
    (LOG, "log", (("first", "u32", "", 0, _U32),)),
    (SET_TELEMETRY, "set_telemetry", (("period_ms", "u32", "ms", 0, 3_600_000),)),
    # Into 1, the pump again; into 2, maintenance: motor off, and the interpreter's prompt.
    (RESTART, "restart", (("into", "u8", "", 1, 2),)),
    (LIBRARY_INFO, "library_info", ()),
    # An image in parts, one behind the other; it counts from the commit on, if that is not refused.
    (LIBRARY_BEGIN, "library_begin", (("size_bytes", "u32", "bytes", 0, _U32),)),
    (LIBRARY_PART, "library_part", (
        ("offset_bytes", "u32", "bytes", 0, _U32),
        ("part", DATA, "bytes", 1, GREATEST_PART_BYTES),
    )),
    (LIBRARY_COMMIT, "library_commit", ()),
    # The key that libraries are signed with. To replace one takes its proof: the HMAC-SHA256 of the
    # new key by the old one.
    (PROVISION, "provision", (
        ("key", DATA, "bytes", KEY_BYTES, KEY_BYTES),
        ("proof", DATA, "bytes", 0, KEY_BYTES),
    )),
    # The sound of the alarms that are active, for two minutes; their lights stay.
    (PAUSE_AUDIO, "pause_audio", ()),
    # How often the pump starts again by itself after an occlusion that has gone, within any 10 min;
    # its pressure limit (0: the library's, or its own); how long before the end it says so (0: not
    # at all). Until the next reset.
    (SETTINGS, "settings", _SETTINGS_FIELDS),
    (SETTINGS_INFO, "settings_info", ()),
    # What an occlusion would do to the program that is loaded.
    (PREDICT, "predict", ()),
    # A pause with a time of its own after which it is reminded of; also of one under way.
    (STANDBY, "standby", (("standby_s", "u32", "s", LEAST_STANDBY_S, GREATEST_STANDBY_S),)),
    (SENSORS, "sensors", ()),
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
        ("time_x1000", "u32", "1/1000", 0, _U32),
        ("state", "u8", "", 0, GREATEST_STATE),
        ("first_event", "u32", "", 0, _U32),
        ("next_event", "u32", "", 0, _U32),
    )),
    (REPLY | STATUS, "status_reply", _STATUS_FIELDS),
    # The answer to every program. The rate is that of its first flow.
    (REPLY | PROGRAM, "accepted", (
        ("program_id", "u32", "", 0, _U32),
        ("warnings", "u16", "bits", 0, 0xFFFF),
        ("rate_ul_h", "u32", "µL/h", 0, 1_200_000),
        ("peak_ul_h", "u32", "µL/h", 10, 1_200_000),
        ("vtbi_ul", "u32", "µL", 0, _U32),
        ("duration_s", "u32", "s", 0, _U32),
        ("kvo_ul_h", "u32", "µL/h", 0, 1_200_000),
        ("least_rate_ul_h", "u32", "µL/h", 0, _U32),
        ("nl_num", "u32", "nL", 1, _U32),
        ("nl_den", "u32", "steps", 1, _U32),
        # Where it stands to the drug library, and the soft limits that it is beyond.
        ("library", "u8", "", 0, GREATEST_STANDING),
        ("findings", "findings", "", 0, GREATEST_FINDINGS),
    )),
    (REPLY | LIBRARY_INFO, "library_reply", (
        # Why there is none, of ``shelf``; 0 where there is one, and only then the rest is told.
        ("missing", "u8", "", 0, 0xFF),
        ("has_key", "u8", "", 0, 1),
        ("version", "u32", "", 0, _U32),
        ("size_bytes", "u32", "bytes", 0, _U32),
        ("library_id", TEXT, "", 0, GREATEST_ID_BYTES),
        ("library_name", TEXT, "", 0, GREATEST_STRING_BYTES),
        ("drugs", "u16", "", 0, 0xFFFF),
        # SHA-256 of the image.
        ("sha256", DATA, "bytes", 0, 32),
        # Of an image that is being taken.
        ("received_bytes", "u32", "bytes", 0, _U32),
        ("capacity_bytes", "u32", "bytes", 0, _U32),
    )),
    # Times from a closed line to the alarm, for the least and the greatest compliance that there
    # may be, and what the line then holds; 0 where it does not tell that, or nothing is loaded.
    (REPLY | PREDICT, "prediction", (
        ("level_pa", "u32", "Pa", 0, _U32),
        ("slope_rise_pa", "u32", "Pa", 0, _U32),
        ("least_level_ms", "u32", "ms", 0, _U32),
        ("greatest_level_ms", "u32", "ms", 0, _U32),
        ("least_slope_ms", "u32", "ms", 0, _U32),
        ("greatest_slope_ms", "u32", "ms", 0, _U32),
        ("least_bolus_nl", "u32", "nL", 0, _U32),
        ("greatest_bolus_nl", "u32", "nL", 0, _U32),
    )),
    (REPLY | SETTINGS_INFO, "settings_told", _SETTINGS_FIELDS),
    (REPLY | SENSORS, "sensors_reply", (
        ("values", "sensors", "", 0, 16),
    )),
    (DONE, "done", (("state", "u8", "", 0, GREATEST_STATE),)),
    (REPLY | LOG, "events", (
        ("first_kept", "u32", "", 0, _U32),
        ("next_event", "u32", "", 0, _U32),
        ("records", "events", "", 0, RECORDS_PER_REPLY),
    )),
    # "field" counts the fields of the message that was refused from 0; 255 is none of them.
    (ERROR, "error", (
        ("code", "u8", "", 0, 0xFF),
        ("field", "u8", "", 0, 0xFF),
        ("value", "u32", "", 0, _U32),
        ("least", "u32", "", 0, _U32),
        ("greatest", "u32", "", 0, _U32),
        # Beyond soft limits: what has to be overridden.
        ("asks", "u16", "bits", 0, 0xFFFF),
    )),
)  # fmt: skip

INTO_PUMP = 1
INTO_MAINTENANCE = 2

NO_FIELD = 255

# Errors of the wire itself; 1 … 31 are therapy's reasons to refuse, 32 … 63 the controller's, 96 …
# 127 the drug library's (``prescription``), 128 … 159 those of its installation (``shelf``).
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
        asks: what has to be overridden for it, a bit for each kind of limit.

    """

    def __init__(
        self,
        code: int,
        field: int = NO_FIELD,
        value: int = 0,
        least: int = 0,
        greatest: int = 0,
        asks: int = 0,
    ) -> None:
        super().__init__(code, field, value, least, greatest)
        self.code = code
        self.field = field
        self.value = value
        self.least = least
        self.greatest = greatest
        self.asks = asks


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
    if len(stuffed) > GREATEST_STUFFED_BYTES:
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
    # Made to its greatest length at once: on the board appending takes several times as long.
    stuffed = bytearray(len(data) + len(data) // 0xFE + 2)
    code_at = 0
    code = 1
    at = 1
    for byte in data:
        if code == 0xFF:
            stuffed[code_at] = code
            code_at = at
            at += 1
            code = 1
        if byte:
            stuffed[at] = byte
            code += 1
        else:
            stuffed[code_at] = code
            code_at = at
            code = 1
        at += 1
    stuffed[code_at] = code
    return bytes(stuffed[:at])


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
        _put_text(data, index, value, least, greatest)
    elif kind == DATA:
        _check(index, len(value), least, greatest)
        _put_integer(data, len(value), 2)
        data.extend(value)
    elif kind in RECORDS:
        _check(index, len(value), least, greatest)
        data.append(len(value))
        parts = RECORDS[kind]
        for record in value:
            for at in range(len(parts)):
                if parts[at] == TEXT:
                    _put_text(data, index, record[at], 0, GREATEST_STRING_BYTES)
                    continue
                size, lowest, highest = INTEGERS[parts[at]]
                _check(index, record[at], lowest, highest)
                _put_integer(data, record[at], size)
    else:
        _check(index, value, least, greatest)
        _put_integer(data, value, INTEGERS[kind][0])


def _put_text(data: bytearray, index: int, text: str, least: int, greatest: int) -> None:
    coded = text.encode()
    _check(index, len(coded), least, greatest)
    data.append(len(coded))
    data.extend(coded)


def _get_field(body: bytes, at: int, index: int, field: tuple) -> tuple:
    _, kind, _, least, greatest = field
    if kind == TEXT:
        return _get_text(body, at, index, least, greatest)
    if kind == DATA:
        size, at = _get_number(body, at, "u16")
        _check(index, size, least, greatest)
        _need(body, at, size)
        return bytes(body[at : at + size]), at + size
    if kind in RECORDS:
        count, at = _get_number(body, at, "u8")
        _check(index, count, least, greatest)
        records = []
        for _ in range(count):
            record = []
            for part in RECORDS[kind]:
                if part == TEXT:
                    value, at = _get_text(body, at, index, 0, GREATEST_STRING_BYTES)
                else:
                    value, at = _get_number(body, at, part)
                record.append(value)
            records.append(tuple(record))
        return records, at
    number, at = _get_number(body, at, kind)
    _check(index, number, least, greatest)
    return number, at


def _get_text(body: bytes, at: int, index: int, least: int, greatest: int) -> tuple:
    size, at = _get_number(body, at, "u8")
    _check(index, size, least, greatest)
    _need(body, at, size)
    try:
        return bytes(body[at : at + size]).decode(), at + size
    except UnicodeError:
        raise WireError(OUT_OF_RANGE, index) from None


def _check(index: int, value: int, least: int, greatest: int) -> None:
    if not least <= value <= greatest:
        raise WireError(OUT_OF_RANGE, index, value & 0xFFFFFFFF, least, greatest)


def _need(body: bytes, at: int, size: int) -> None:
    if at + size > len(body):
        raise WireError(BAD_LENGTH, NO_FIELD, len(body), at + size, at + size)


def _get_number(body: bytes, at: int, kind: str) -> tuple:
    """A number, and where the next begins."""
    size, least, _ = INTEGERS[kind]
    _need(body, at, size)
    value = _get_integer(body, at, size)
    # int.from_bytes has no sign on MicroPython.
    if least < 0 and value >= 1 << (8 * size - 1):
        value -= 1 << (8 * size)
    return value, at + size


def _put_integer(data: bytearray, value: int, size: int) -> None:
    if value < 0:
        # MicroPython's to_bytes knows no sign.
        value += 1 << 8 * size
    data.extend(value.to_bytes(size, "little"))


def _get_integer(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "little")
