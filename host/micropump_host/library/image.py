"""The compiler: from a drug library to the binary image that a pump holds, signed.

``docs/library-image.md`` has the format; the board's reader of it is ``micropump.library``, and
what is compiled is read back by it before it is handed out.
"""

import hmac
import struct
from collections.abc import Callable
from fractions import Fraction
from zlib import crc32

from micropump import library as board
from micropump_host.errors import MicropumpError
from micropump_host.library.figures import concentration_text, figure_text
from micropump_host.library.model import (
    KINDS,
    LEVELS,
    MASS,
    PROGRAMS,
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
from micropump_host.library.source import source_sha256
from micropump_host.reading.decimals import decimal_parts

# A key of less can be guessed (NIST SP 800-107, 5.3.4: no shorter than 112 bits).
LEAST_KEY_BYTES = 16

_KVO = {
    "rule": board.KVO_AS_THE_RULE,
    "off": board.KVO_IS_OFF,
    "limit": board.KVO_WITHIN_LIMIT,
}
_AMOUNTS = {MASS: board.NG, UNITS: board.MILLIUNITS}
_HEADER = struct.Struct("<4sBBBBII12H24s32s")
_AREA = struct.Struct("<24sH")
_DRUG = struct.Struct("<24sHHHBB")
_CONCENTRATION = struct.Struct("<BbI")
_USE = struct.Struct("<BBBBBBHHHH")

# What an image is refused for, by the core's numbers.
REFUSALS = {
    board.BAD_SIZE: "its size is not what its header says, or beyond 65,536 bytes",
    board.BAD_MAGIC: "it is no drug library",
    board.OTHER_FORMAT: "its format is one that this version does not know",
    board.BAD_CRC: "it is damaged: its CRC-32 does not match",
    board.NOT_SIGNED: "it is not signed",
    board.BAD_SIGNATURE: "its signature is not by this key, or it was changed after it was signed",
    board.TOO_OLD: "its version is older than allowed",
    board.BAD_LAYOUT: "its parts are not where they have to be",
    board.NOT_SORTED: "its index is not sorted",
    board.BAD_TEXT: "a text in it is not as it should be",
    board.BAD_CONCENTRATION: "a concentration in it is none",
    board.BAD_USE: "a use of a drug in it is not as it should be",
    board.BAD_LIMIT: "a limit in it is not as it should be",
}


class CompileError(MicropumpError):
    """A library cannot be made into an image."""


class ImageRefusedError(MicropumpError):
    """An image is not one that a pump would take.

    Attributes:
        code: ``micropump.library.BAD_SIZE`` … ``BAD_LIMIT``.

    """

    def __init__(self, code: int, at: int, where: str) -> None:
        self.code = code
        remedy = "Build it anew from its source: micropump library build"
        super().__init__(f"The image is refused: {REFUSALS[code]} ({at})", where, remedy)


def build_image(library: Library, key: bytes | None) -> bytes:
    """Compile a library that has been checked, and sign it; the same library, the same bytes.

    Args:
        library: as it was read.
        key: of at least 16 bytes; None leaves the image without a signature, and no pump takes it.

    Raises:
        CompileError: if it does not fit into an image: too large, a figure that is no decimal of
            32 bits, a limit by mass where there is no concentration of mass.

    """
    if key is not None and len(key) < LEAST_KEY_BYTES:
        what = f"A key of {len(key)} bytes is too short to sign with"
        raise CompileError(what, "", f"Take one of {LEAST_KEY_BYTES} bytes or more, at random")
    body = _Compiler(library).body(is_signed=key is not None)
    summed = body + struct.pack("<I", crc32(body))
    signature = hmac.digest(key, summed, "sha256") if key is not None else bytes(board.MAC_BYTES)
    open_image(summed + signature, key)
    return summed + signature


def open_image(data: bytes, key: bytes | None, where: str = "") -> board.Library:
    """Open an image as the pump does, to look things up in it.

    Args:
        data: all bytes of it.
        key: what it was signed with; None leaves the signature unchecked.
        where: its file, for the error.

    Raises:
        ImageRefusedError: if it is damaged, malformed or signed otherwise.

    """
    read = reader_of(data)
    try:
        library = board.verify_sums(read, len(data), key)
        library.check()
    except board.ImageError as error:
        raise ImageRefusedError(error.code, error.at, where) from None
    return library


def reader_of(data: bytes) -> Callable[[int, int], bytes]:
    """Return what reads from bytes, as ``micropump.library`` wants it."""

    def read(offset: int, length: int) -> bytes:
        return data[offset : offset + length]

    return read


def read_image(data: bytes, where: str) -> Library:
    """Return what an image says, as far as it does: without groups, sources and what was written.

    Its signature is not looked at.

    Args:
        data: all bytes of it.
        where: its file, for the error.

    Raises:
        ImageRefusedError: if it is damaged or malformed.

    """
    library = open_image(data, None, where)
    areas = [library.area(index) for index in range(library.areas)]
    drugs = []
    for index in range(library.drugs):
        drug_id, name = library.drug(index)
        uses = tuple(
            _read_use(library, index, area, *masks) for area, *masks in library.areas_of(index)
        )
        drugs.append(Drug(drug_id, name, "", "", uses))
    return Library(library.library_id(), library.name(), library.version, dict(areas), tuple(drugs))


def _read_use(library: board.Library, drug: int, area: int, mask: int, programs: int) -> Use:
    dilutions = [
        _read_concentration(each)
        for at, each in enumerate(library.concentrations_of(drug))
        if mask >> at & 1
    ]
    limits = library.limits_of(drug, area)
    found = [_read_limit(name, limits.of(kind)) for kind, name in enumerate(KINDS)]
    return Use(
        (library.area(area)[0],),
        tuple(dilutions),
        tuple(name for name, kind in PROGRAMS.items() if programs >> kind & 1),
        LimitUnit.of_code(limits.dosing),
        limits.dosing_text,
        tuple(limit for limit in found if limit),
        next(name for name, code in _KVO.items() if code == limits.kvo),
        limits.air_ul or None,
        limits.occlusion_kpa or None,
    )


def _read_limit(name: str, parts: list[tuple[int, int, int] | None]) -> Limit | None:
    levels = []
    unit = LimitUnit(VOLUME)
    for level, part in zip(LEVELS, parts, strict=False):
        if part:
            unit = LimitUnit.of_code(part[2])
            value = _value(part[0], part[1])
            levels.append(Level(level, value, figure_text(value, unit)))
    return Limit(name, unit, tuple(levels)) if levels else None


def _read_concentration(parts: tuple[int, int, int]) -> DrugConcentration:
    amount = next(name for name, code in _AMOUNTS.items() if code == parts[0])
    per_ml = _value(parts[1], parts[2])
    return DrugConcentration(per_ml, amount, concentration_text(per_ml, amount))


def _value(mantissa: int, exponent: int) -> Fraction:
    return mantissa * Fraction(10) ** exponent


class _Compiler:
    """One compilation: the parts of an image, and where they come to stand."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.areas = sorted(library.care_areas)
        self.drugs = sorted(library.drugs, key=lambda drug: drug.drug_id)
        self.concentrations: list[bytes] = []
        self.sets: dict[bytes, int] = {}
        self.sets_bytes = 0
        self.texts: dict[str, int] = {}
        self.texts_bytes = 0

    def body(self, is_signed: bool) -> bytes:
        """Everything before the CRC."""
        self._check_counts()
        # Offsets of sets and texts are known once all of them are counted.
        uses = [self._uses(drug) for drug in self.drugs]
        diluted = [_dilutions(drug) for drug in self.drugs]
        name = self._text(self.library.name)
        area_names = [self._text(self.library.care_areas[area]) for area in self.areas]
        drug_names = [self._text(drug.name) for drug in self.drugs]
        counts = (len(self.drugs), sum(map(len, diluted)), sum(map(len, uses)), len(self.sets))
        sizes = (
            board.HEADER_BYTES,
            board.AREA_BYTES * len(self.areas),
            board.DRUG_BYTES * counts[0],
            board.CONCENTRATION_BYTES * counts[1],
            board.USE_BYTES * counts[2],
            self.sets_bytes,
        )
        offsets = [sum(sizes[:end]) for end in range(1, len(sizes) + 1)]
        size = offsets[-1] + self.texts_bytes
        self._check_size(size)
        sets_at, texts_at = offsets[-2:]
        parts = [
            _HEADER.pack(
                board.MAGIC, board.FORMAT, board.SIGNED if is_signed else 0, len(self.areas), 0,
                self.library.version, size, *counts, *offsets, texts_at + name, 0,
                self.library.library_id.encode(), bytes.fromhex(source_sha256(self.library)),
            ),
        ]  # fmt: skip
        for area, text in zip(self.areas, area_names, strict=True):
            parts.append(_AREA.pack(area.encode(), texts_at + text))
        first_concentration = first_use = 0
        for drug, text, dilutions, rows in zip(self.drugs, drug_names, diluted, uses, strict=True):
            parts.append(
                _DRUG.pack(
                    drug.drug_id.encode(), texts_at + text, first_concentration, first_use,
                    len(dilutions), len(rows),
                )
            )  # fmt: skip
            first_concentration += len(dilutions)
            first_use += len(rows)
        for dilutions in diluted:
            for amount, mantissa, exponent in dilutions:
                parts.append(_CONCENTRATION.pack(amount, exponent, mantissa))
        for rows in uses:
            for *row, dosing_text, air_ul, occlusion_kpa, set_offset in rows:
                parts.append(
                    _USE.pack(
                        *row, texts_at + dosing_text, air_ul, occlusion_kpa, sets_at + set_offset
                    )
                )
        parts += [struct.pack("<H", len(limits)) + limits for limits in self.sets]
        parts += [bytes([len(text.encode())]) + text.encode() for text in self.texts]
        return b"".join(parts)

    def _check_counts(self) -> None:
        library = self.library
        for count, most, name in (
            (len(self.areas), board.GREATEST_AREAS, "care areas"),
            (len(self.drugs), board.GREATEST_DRUGS, "drugs"),
        ):
            if count > most:
                what = f"{count} {name} are more than the {most} that a pump holds"
                raise CompileError(what, library.source, "Leave some out")
        if not self.areas:
            raise CompileError("There is no care area", library.source, "Name one at least")
        for text in (library.library_id, *self.areas, *(drug.drug_id for drug in self.drugs)):
            if not text or len(text.encode()) > board.ID_BYTES:
                what = f'The id "{text}" is not of 1 to {board.ID_BYTES} characters'
                raise CompileError(what, library.source, "Take another one")

    def _check_size(self, size: int) -> None:
        size += board.CRC_BYTES + board.MAC_BYTES
        if size > board.GREATEST_BYTES:
            what = f"The image would take {size:,} bytes, and a pump holds 65,536"
            raise CompileError(what, self.library.source, "Leave drugs out")

    def _text(self, text: str) -> int:
        """Where a text stands among the texts; one that is there already is not kept twice."""
        if len(text.encode()) > board.GREATEST_NAME_BYTES:
            what = f'"{text}" is longer than {board.GREATEST_NAME_BYTES} bytes'
            raise CompileError(what, self.library.source, "Shorten it")
        if text not in self.texts:
            self.texts[text] = self.texts_bytes
            self.texts_bytes += 1 + len(text.encode())
        return self.texts[text]

    def _uses(self, drug: Drug) -> list[tuple[int, ...]]:
        """The rows of a drug's uses, one for each care area, without the texts' and sets' base."""
        rows: list[tuple[int, ...]] = []
        dilutions = _dilutions(drug)
        if len(dilutions) > board.GREATEST_CONCENTRATIONS:
            what = f"{drug.drug_id} has {len(dilutions)} concentrations"
            raise CompileError(what, drug.file, "Leave all but 8 out")
        by_area = {area: use for use in drug.uses for area in use.care_areas}
        if len(by_area) != sum(len(use.care_areas) for use in drug.uses):
            what = f"{drug.drug_id} has two uses for the same care area"
            raise CompileError(what, drug.file, "Make them one")
        for area in sorted(by_area):
            use = by_area[area]
            values = [_decimal_of(each, drug) for each in use.concentrations]
            rows.append(
                (
                    self.areas.index(area),
                    sum(1 << PROGRAMS[name] for name in set(use.programs)),
                    sum(1 << at for at, parts in enumerate(dilutions) if parts in values),
                    _KVO[use.kvo],
                    use.dosing.code,
                    0,
                    self._text(use.dosing_text),
                    use.air_ul or 0,
                    use.occlusion_kpa or 0,
                    self._set(drug, use),
                )
            )
        return rows

    def _set(self, drug: Drug, use: Use) -> int:
        """Where the limits of a use stand among the sets; equal ones are shared."""
        limits = _set_of(drug, use)
        if limits not in self.sets:
            self.sets[limits] = self.sets_bytes
            self.sets_bytes += 2 + len(limits)
        return self.sets[limits]


def _dilutions(drug: Drug) -> list[tuple[int, int, int]]:
    """All concentrations of a drug as the board has them, each once, ascending."""
    found = {_decimal_of(each, drug) for use in drug.uses for each in use.concentrations}
    return sorted(found, key=lambda each: (each[0], _value(each[1], each[2])))


def _decimal_of(concentration: DrugConcentration, drug: Drug) -> tuple[int, int, int]:
    """``(amount, mantissa, exponent)`` as ``micropump.library.Library.concentration`` has it."""
    mantissa, exponent = _decimal(
        concentration.per_ml, f"the concentration {concentration.text}", drug
    )
    return _AMOUNTS[concentration.amount], mantissa, exponent


def _decimal(value: Fraction, name: str, drug: Drug) -> tuple[int, int]:
    parts = decimal_parts(value)
    if parts is None:
        what = f"{drug.drug_id}: {name} is no decimal number of 32 bits in the pump's unit"
        raise CompileError(what, drug.file, "Write it with fewer digits or in another unit of time")
    return parts


def _set_of(drug: Drug, use: Use) -> bytes:
    """The limits of a use, as they stand in the image behind their length."""
    kinds = 0
    parts = bytearray()
    for kind, name in enumerate(KINDS):
        limit = use.limit(name)
        if limit is None:
            continue
        if limit.unit.amount in _AMOUNTS:
            _check_basis(drug, use, limit)
        kinds |= 1 << kind
        parts += bytes([sum(1 << LEVELS.index(each.name) for each in limit.levels)])
        levels = sorted(limit.levels, key=lambda each: LEVELS.index(each.name))
        decimals = [_decimal(each.value, f"{name} {each.text}", drug) for each in levels]
        exponent = min(each[1] for each in decimals)
        parts += struct.pack("<Bb", limit.unit.code, exponent)
        for mantissa, own_exponent in decimals:
            parts += _varint(mantissa * 10 ** (own_exponent - exponent))
    if use.kvo == "limit" and not kinds >> board.KVO & 1:
        what = f"{drug.drug_id}: the KVO rate is to be within a limit, and there is none"
        raise CompileError(what, drug.file, "Write the limit, or that KVO goes by the rule")
    return struct.pack("<H", kinds) + bytes(parts)


def _check_basis(drug: Drug, use: Use, limit: Limit) -> None:
    """A limit by mass or units takes concentrations by the same."""
    if {each.amount for each in use.concentrations} != {limit.unit.amount}:
        what = f"{drug.drug_id}: {limit.kind} is by {limit.unit.amount}, and not all concentrations"
        raise CompileError(what, drug.file, "Write concentrations by the same")


def _varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; the highest bit says that more follow."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])
