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
            "i8": struct.Struct("<b"), "i32": struct.Struct("<i")}  # fmt: skip
# Of a text in a record.
_TEXT_BYTES = (0, wire.GREATEST_STRING_BYTES)
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
        values: the fields by name: integers in the declared units, texts, bytes,
            lists of records as tuples.

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
        return _pack_text(name, value, (least, greatest))
    if kind == wire.DATA:
        _check(f"the length of {name}", name, unit, len(value), (least, greatest))
        return _FORMATS["u16"].pack(len(value)) + bytes(value)
    if kind in wire.RECORDS:
        _check(f"the length of {name}", name, "records", len(value), (least, greatest))
        records = (_pack_record(name, kind, record) for record in value)
        return bytes([len(value)]) + b"".join(records)
    _check(name, name, unit, value, (least, greatest))
    return _FORMATS[kind].pack(value)


def _pack_text(name: str, text: str, allowed: tuple[int, int]) -> bytes:
    try:
        coded = text.encode()
    except UnicodeEncodeError as error:
        raise FrameError(f"{name}: {error}", name) from None
    _check(f"the length of {name}", name, "bytes", len(coded), allowed)
    return bytes([len(coded)]) + coded


def _pack_record(name: str, kind: str, record: tuple[Any, ...]) -> bytes:
    parts = wire.RECORDS[kind]
    if len(record) != len(parts):
        raise FrameError(f"{name}: {len(record)} figures in a record of {len(parts)}", name)
    data = b""
    for part, value in zip(parts, record, strict=True):
        if part == wire.TEXT:
            data += _pack_text(name, value, _TEXT_BYTES)
            continue
        try:
            data += _FORMATS[part].pack(value)
        except struct.error as error:
            raise FrameError(f"{name}: {error}", name) from None
    return data


def _unpack(field: tuple[Any, ...], content: bytes, at: int) -> tuple[Any, int]:
    name, kind, unit, least, greatest = field
    if kind == wire.TEXT:
        return _unpack_text(name, content, at, (least, greatest))
    if kind == wire.DATA:
        (size,) = _FORMATS["u16"].unpack_from(content, at)
        _check(f"the length of {name}", name, unit, size, (least, greatest))
        (data,) = struct.unpack_from(f"<{size}s", content, at + 2)
        return data, at + 2 + size
    if kind in wire.RECORDS:
        (count,) = _FORMATS["u8"].unpack_from(content, at)
        _check(f"the length of {name}", name, "", count, (least, greatest))
        at += 1
        records = []
        for _ in range(count):
            record, at = _unpack_record(name, kind, content, at)
            records.append(record)
        return records, at
    (value,) = _FORMATS[kind].unpack_from(content, at)
    _check(name, name, unit, value, (least, greatest))
    return value, at + _FORMATS[kind].size


def _unpack_text(name: str, content: bytes, at: int, allowed: tuple[int, int]) -> tuple[str, int]:
    (size,) = _FORMATS["u8"].unpack_from(content, at)
    _check(f"the length of {name}", name, "", size, allowed)
    (coded,) = struct.unpack_from(f"<{size}s", content, at + 1)
    return coded.decode(), at + 1 + size


def _unpack_record(name: str, kind: str, content: bytes, at: int) -> tuple[tuple[Any, ...], int]:
    record: list[Any] = []
    for part in wire.RECORDS[kind]:
        if part == wire.TEXT:
            text, at = _unpack_text(name, content, at, _TEXT_BYTES)
            record.append(text)
        else:
            record.extend(_FORMATS[part].unpack_from(content, at))
            at += _FORMATS[part].size
    return tuple(record), at


def _check(what: str, field: str, unit: str, value: int, allowed: tuple[int, int]) -> None:
    least, greatest = allowed
    if not least <= value <= greatest:
        shown = f" {unit}" if unit else ""
        raise FrameError(
            f"{what} is {value:,}{shown}, allowed are {least:,} to {greatest:,}{shown}", field
        )
