"""The host's codec for the wire, from libraries: ``struct``, ``cobs`` and ``crcmod``.

The messages are declared once, in ``micropump.wire``; the board has a codec of its own for them.
Two implementations on purpose: each is tested on the frames of the other.
"""

import struct
from dataclasses import dataclass
from typing import Any

import crcmod.predefined
from cobs import cobs

from micropump import wire

_HEADER = struct.Struct("<BBIH")
_CRC = struct.Struct("<I")
_FORMATS = {"u8": struct.Struct("<B"), "u16": struct.Struct("<H"), "u32": struct.Struct("<I"),
            "i32": struct.Struct("<i")}  # fmt: skip
_RECORDS = {
    name: struct.Struct("<" + "".join(_FORMATS[part].format[1:] for part in parts))
    for name, parts in wire.RECORDS.items()
}
_crc32 = crcmod.predefined.mkPredefinedCrcFun("crc-32")

NAMES = {number: name for number, name, _ in wire.MESSAGES}


class FrameError(ValueError):
    """A frame that is damaged or not as declared.

    Attributes:
        field: name of the field that is to blame, or "".

    """

    def __init__(self, what: str, field: str = "") -> None:
        super().__init__(what)
        self.field = field


@dataclass(frozen=True)
class Frame:
    """One message on its way.

    Attributes:
        message: its number in ``micropump.wire``.
        session, sequence: as in the header.
        values: the fields by name; integers in the declared units, texts, lists of event tuples.

    """

    message: int
    session: int
    sequence: int
    values: dict[str, Any]


def encode(frame: Frame) -> bytes:
    """The bytes of a frame with its delimiter; FrameError where a value is outside its range."""
    if frame.message not in NAMES:
        raise FrameError(f"unknown message {frame.message}")
    data = _HEADER.pack(wire.VERSION, frame.message, frame.session, frame.sequence)
    for field in wire.fields_of(frame.message):
        data += _pack(field, frame.values[field[0]])
    if len(data) > wire.HEADER_BYTES + wire.GREATEST_BODY_BYTES:
        raise FrameError(f"{NAMES[frame.message]} is too long: {len(data)} bytes")
    stuffed: bytes = cobs.encode(data + _CRC.pack(_crc32(data)))
    return stuffed + b"\x00"


def decode(stuffed: bytes) -> Frame:
    """The frame in ``stuffed`` (without delimiter); FrameError where it is not one."""
    try:
        data = cobs.decode(stuffed)
    except cobs.DecodeError as error:
        raise FrameError(f"byte stuffing: {error}") from None
    if len(data) < _HEADER.size + _CRC.size:
        raise FrameError(f"too short: {len(data)} bytes")
    content, crc = data[: -_CRC.size], _CRC.unpack(data[-_CRC.size :])[0]
    if _crc32(content) != crc:
        raise FrameError("wrong checksum")
    version, message, session, sequence = _HEADER.unpack_from(content)
    if version != wire.VERSION:
        raise FrameError(f"version {version} instead of {wire.VERSION}")
    if message not in NAMES:
        raise FrameError(f"unknown message {message}")
    values = {}
    at = _HEADER.size
    try:
        for field in wire.fields_of(message):
            values[field[0]], at = _unpack(field, content, at)
    except (struct.error, UnicodeDecodeError) as error:
        raise FrameError(f"{NAMES[message]}: {error}") from None
    if at != len(content):
        raise FrameError(f"{NAMES[message]}: {len(content) - at} bytes too many")
    return Frame(message, session, sequence, values)


def _pack(field: tuple[Any, ...], value: Any) -> bytes:
    name, kind, unit, least, greatest = field
    if kind == wire.TEXT:
        try:
            coded = value.encode()
        except UnicodeEncodeError as error:
            raise FrameError(f"{name}: {error}", name) from None
        _check(f"the length of {name}", name, "bytes", len(coded), (least, greatest))
        return bytes([len(coded)]) + bytes(coded)
    if kind in _RECORDS:
        _check(f"the length of {name}", name, "records", len(value), (least, greatest))
        try:
            return bytes([len(value)]) + b"".join(_RECORDS[kind].pack(*record) for record in value)
        except struct.error as error:
            raise FrameError(f"{name}: {error}", name) from None
    _check(name, name, unit, value, (least, greatest))
    return _FORMATS[kind].pack(value)


def _unpack(field: tuple[Any, ...], content: bytes, at: int) -> tuple[Any, int]:
    name, kind, unit, least, greatest = field
    if kind == wire.TEXT or kind in _RECORDS:
        (size,) = _FORMATS["u8"].unpack_from(content, at)
        _check(f"the length of {name}", name, "", size, (least, greatest))
        at += 1
        if kind == wire.TEXT:
            (coded,) = struct.unpack_from(f"<{size}s", content, at)
            return coded.decode(), at + size
        end = at + size * _RECORDS[kind].size
        if end > len(content):
            raise FrameError(f"{name}: cut short")
        return list(_RECORDS[kind].iter_unpack(content[at:end])), end
    (value,) = _FORMATS[kind].unpack_from(content, at)
    _check(name, name, unit, value, (least, greatest))
    return value, at + _FORMATS[kind].size


def _check(what: str, field: str, unit: str, value: int, allowed: tuple[int, int]) -> None:
    least, greatest = allowed
    if not least <= value <= greatest:
        shown = f" {unit}" if unit else ""
        raise FrameError(
            f"{what} is {value:,}{shown}, allowed are {least:,} to {greatest:,}{shown}", field
        )
