"""The drug library as the pump keeps it: a binary image, verified in a stream, read where it lies.

``docs/library-image.md`` has the format, field by field. Whatever can hand over bytes holds an
image: ``read(offset, length) -> bytes``. Nothing of it is believed before ``verify`` has gone over
all of it; afterwards a look-up reads some hundred bytes.
"""

import hashlib
from array import array
from binascii import crc32

MAGIC = b"MPLB"
FORMAT = 1
# Of the header's flags.
SIGNED = 1

HEADER_BYTES = 96
CRC_BYTES = 4
MAC_BYTES = 32
GREATEST_BYTES = 65_536
LEAST_BYTES = HEADER_BYTES + CRC_BYTES + MAC_BYTES
ID_BYTES = 24
AREA_BYTES = ID_BYTES + 2
DRUG_BYTES = ID_BYTES + 8
CONCENTRATION_BYTES = 6
USE_BYTES = 14
GREATEST_AREAS = 8
GREATEST_DRUGS = 255
# As many as a use has bits for.
GREATEST_CONCENTRATIONS = 8
GREATEST_NAME_BYTES = 32
GREATEST_EXPONENT = 12
GREATEST_MANTISSA = 0xFFFFFFFF
# A mantissa of 32 bits and 24 noughts.
_GREATEST_VARINT_BYTES = 16
_CHUNK_BYTES = 256

# What a limit is counted in: amount, by body weight, by time.
UL = 0
NG = 1
MILLIUNITS = 2
SECONDS = 3
AMOUNT_MASK = 3
PER_KG = 4
PER_MINUTE = 1
PER_HOUR = 2
PER_DAY = 3
TIME_SHIFT = 3
GREATEST_UNIT = 31

RATE = 0
DOSE = 1
BOLUS = 2
DEMAND = 3
LOADING = 4
DURATION = 5
DAILY = 6
LOCKOUT = 7
WINDOW_1H = 8
WINDOW_4H = 9
KVO = 10
KINDS = 11

LOWER_HARD = 0
LOWER_SOFT = 1
TYPICAL = 2
UPPER_SOFT = 3
UPPER_HARD = 4
LEVELS = 5

KVO_AS_THE_RULE = 0
KVO_IS_OFF = 1
KVO_WITHIN_LIMIT = 2

# A drug that is prescribed by volume alone has no concentration to choose.
NO_CONCENTRATION = 255

# Why an image is refused.
BAD_SIZE = 1
BAD_MAGIC = 2
OTHER_FORMAT = 3
BAD_CRC = 4
NOT_SIGNED = 5
BAD_SIGNATURE = 6
TOO_OLD = 7
BAD_LAYOUT = 8
NOT_SORTED = 9
BAD_TEXT = 10
BAD_CONCENTRATION = 11
BAD_USE = 12
BAD_LIMIT = 13

# Why a therapy is outside the library.
NO_SUCH_DRUG = 1
NO_SUCH_AREA = 2
NOT_IN_THIS_AREA = 3
NO_SUCH_CONCENTRATION = 4
OTHER_PROGRAM = 5


class ImageError(ValueError):
    """An image that is not taken.

    Attributes:
        code: one of the reasons above.
        at: where in the image, or the figure that is to blame.

    """

    def __init__(self, code: int, at: int = 0) -> None:
        super().__init__(code, at)
        self.code = code
        self.at = at


class OutsideError(ValueError):
    """The library has nothing for this; ``code`` is one of the reasons above."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Hmac:
    """HMAC-SHA256 of what is handed over bit by bit (RFC 2104)."""

    def __init__(self, key: bytes) -> None:
        if len(key) > 64:
            key = hashlib.sha256(key).digest()
        key = key + bytes(64 - len(key))
        self._outer = hashlib.sha256(bytes([byte ^ 0x5C for byte in key]))
        self._inner = hashlib.sha256(bytes([byte ^ 0x36 for byte in key]))

    def update(self, data: bytes) -> None:
        """Go on with ``data``."""
        self._inner.update(data)

    def digest(self) -> bytes:
        """The 32 bytes for all that was handed over; to be asked for once."""
        self._outer.update(self._inner.digest())
        return self._outer.digest()


class Limits:
    """What one drug may be given as, in one care area.

    Attributes:
        programs: bit ``1 << kind`` for each kind of program that is allowed.
        kvo: ``KVO_AS_THE_RULE``, ``KVO_IS_OFF`` or ``KVO_WITHIN_LIMIT``.
        dosing: code of the unit in which rates are prescribed and shown.
        dosing_text: the same as people write it, "mcg/kg/min".
        air_ul, occlusion_kpa: settings of the detectors; 0 for the pump's own.

    """

    def __init__(
        self,
        programs: int,
        kvo: int,
        dosing: int,
        dosing_text: str,
        air_ul: int,
        occlusion_kpa: int,
        data: bytes,
    ) -> None:
        self.programs = programs
        self.kvo = kvo
        self.dosing = dosing
        self.dosing_text = dosing_text
        self.air_ul = air_ul
        self.occlusion_kpa = occlusion_kpa
        self._data = data

    def of(self, kind: int) -> list:
        """The levels of a kind of limit, each ``(mantissa, exponent, unit)`` or None.

        A level is mantissa · 10^exponent of what its unit counts in: µL, ng, milliunits or s, by
        kg and by minute, hour or day; all of them have the same unit and exponent. An empty list
        where there is no limit of the kind. Raises ImageError if the data are not as they should
        be.
        """
        data = self._data
        kinds = _u16(data, 0)
        if not kinds >> kind & 1:
            return []
        at = 2
        for before in range(kind):
            if kinds >> before & 1:
                at = _after(data, at)
        levels, _ = _levels(data, at, kind)
        return levels


class Library:
    """An image that was verified, and what can be looked up in it.

    Attributes:
        version: the library's.
        is_signed: whether it carries a signature.
        size: of the whole image, in bytes.
        areas, drugs, concentrations, uses, sets: how many there are.

    Args:
        read: ``read(offset, length) -> bytes``.

    """

    def __init__(self, read) -> None:
        self._read = read
        header = _read(read, 0, HEADER_BYTES)
        if header[:4] != MAGIC:
            raise ImageError(BAD_MAGIC)
        if header[4] != FORMAT:
            raise ImageError(OTHER_FORMAT, header[4])
        self.is_signed = header[5] == SIGNED
        self.version = _number(header, 8, 4)
        self.size = _number(header, 12, 4) + CRC_BYTES + MAC_BYTES
        self.areas = header[6]
        self.drugs = _u16(header, 16)
        self.concentrations = _u16(header, 18)
        self.uses = _u16(header, 20)
        self.sets = _u16(header, 22)
        self._areas_at = _u16(header, 24)
        self._drugs_at = _u16(header, 26)
        self._concentrations_at = _u16(header, 28)
        self._uses_at = _u16(header, 30)
        self._sets_at = _u16(header, 32)
        self._texts_at = _u16(header, 34)
        self._name_at = _u16(header, 36)

    # -- what it is ------------------------------------------------------------------------------

    def library_id(self) -> str:
        """The library's id."""
        return _id(_read(self._read, 40, ID_BYTES))

    def name(self) -> str:
        """What people call the library."""
        return self._text(self._name_at)

    def source_sha256(self) -> bytes:
        """SHA-256 of the source that it was made from."""
        return _read(self._read, 64, 32)

    # -- look-up ---------------------------------------------------------------------------------

    def area(self, index: int) -> tuple:
        """``(id, name)`` of a care area; raises OutsideError."""
        if index >= self.areas:
            raise OutsideError(NO_SUCH_AREA)
        row = _read(self._read, self._areas_at + index * AREA_BYTES, AREA_BYTES)
        return _id(row), self._text(_u16(row, ID_BYTES))

    def drug(self, index: int) -> tuple:
        """``(id, name)`` of a drug; raises OutsideError."""
        row = self._drug_row(index)
        return _id(row), self._text(_u16(row, ID_BYTES))

    def area_index(self, area_id: str) -> int:
        """The place of a care area; raises OutsideError."""
        found = self._search(self._areas_at, AREA_BYTES, self.areas, area_id)
        if found < 0:
            raise OutsideError(NO_SUCH_AREA)
        return found

    def drug_index(self, drug_id: str) -> int:
        """The place of a drug; raises OutsideError."""
        found = self._search(self._drugs_at, DRUG_BYTES, self.drugs, drug_id)
        if found < 0:
            raise OutsideError(NO_SUCH_DRUG)
        return found

    def concentrations_of(self, drug: int) -> list:
        """All that a drug may be diluted to, each as ``concentration`` has it."""
        row = self._drug_row(drug)
        first = _u16(row, 26)
        return [self._concentration(first + at) for at in range(row[30])]

    def concentration(self, drug: int, index: int):
        """``(amount, mantissa, exponent)`` of a drug's concentration, None for NO_CONCENTRATION.

        There are mantissa · 10^exponent ``NG`` or ``MILLIUNITS`` in a millilitre. Raises
        OutsideError.
        """
        row = self._drug_row(drug)
        if index == NO_CONCENTRATION:
            return None
        if index >= row[30]:
            raise OutsideError(NO_SUCH_CONCENTRATION)
        return self._concentration(_u16(row, 26) + index)

    def areas_of(self, drug: int) -> list:
        """The care areas in which a drug is used, as ``(area, concentrations, programs)``.

        Concentrations are bits ``1 << index``, programs bits ``1 << kind``.
        """
        row = self._drug_row(drug)
        first = _u16(row, 28)
        uses = [self._use_row(first + at) for at in range(row[31])]
        return [(use[0], use[2], use[1]) for use in uses]

    def find(self, drug: int, area: int, concentration: int, program: int) -> Limits:
        """The limits of a drug in a care area, diluted so, given by this kind of program.

        Args:
            drug: its place.
            area: its place.
            concentration: its place among the drug's, NO_CONCENTRATION where there is none.
            program: ``program.CONTINUOUS`` … ``program.PCA``.

        Raises OutsideError where that is not in the library.

        """
        use = self._use_in(drug, area)
        masked = use[2]
        if masked and (concentration == NO_CONCENTRATION or not masked >> concentration & 1):
            raise OutsideError(NO_SUCH_CONCENTRATION)
        if not masked and concentration != NO_CONCENTRATION:
            raise OutsideError(NO_SUCH_CONCENTRATION)
        if not use[1] >> program & 1:
            raise OutsideError(OTHER_PROGRAM)
        return self._limits(use)

    def limits_of(self, drug: int, area: int) -> Limits:
        """The limits of a drug in a care area, however diluted and given; raises OutsideError."""
        return self._limits(self._use_in(drug, area))

    def _use_in(self, drug: int, area: int) -> bytes:
        row = self._drug_row(drug)
        if area >= self.areas:
            raise OutsideError(NO_SUCH_AREA)
        first = _u16(row, 28)
        for at in range(first, first + row[31]):
            use = self._use_row(at)
            if use[0] == area:
                return use
        raise OutsideError(NOT_IN_THIS_AREA)

    def _limits(self, use: bytes) -> Limits:
        set_at = _u16(use, 12)
        size = _u16(_read(self._read, set_at, 2), 0)
        return Limits(
            use[1],
            use[3],
            use[4],
            self._text(_u16(use, 6)),
            _u16(use, 8),
            _u16(use, 10),
            _read(self._read, set_at + 2, size),
        )

    def _drug_row(self, index: int) -> bytes:
        if index >= self.drugs:
            raise OutsideError(NO_SUCH_DRUG)
        return _read(self._read, self._drugs_at + index * DRUG_BYTES, DRUG_BYTES)

    def _use_row(self, index: int) -> bytes:
        return _read(self._read, self._uses_at + index * USE_BYTES, USE_BYTES)

    def _concentration(self, index: int) -> tuple:
        at = self._concentrations_at + index * CONCENTRATION_BYTES
        row = _read(self._read, at, CONCENTRATION_BYTES)
        return row[0], _number(row, 2, 4), _signed(row[1])

    def _text(self, at: int) -> str:
        size = _read(self._read, at, 1)[0]
        return _read(self._read, at + 1, size).decode()

    def _search(self, rows_at: int, row_bytes: int, count: int, wanted_id: str) -> int:
        """The row of an id, -1 if there is none; rows are sorted by it."""
        wanted = wanted_id.encode()
        if len(wanted) > ID_BYTES:
            return -1
        wanted = wanted + bytes(ID_BYTES - len(wanted))
        low = 0
        high = count
        while low < high:
            middle = (low + high) // 2
            found = _read(self._read, rows_at + middle * row_bytes, ID_BYTES)
            if found == wanted:
                return middle
            if found < wanted:
                low = middle + 1
            else:
                high = middle
        return -1

    # -- structure -------------------------------------------------------------------------------

    def check(self) -> None:
        """Go over all of it but the signature; raises ImageError where it is not as it should be.

        Every part has exactly one place where it can be, so that none overlaps another.
        """
        header = _read(self._read, 0, HEADER_BYTES)
        if header[5] > SIGNED or header[7] or header[38] or header[39]:
            raise ImageError(BAD_LAYOUT, 5)
        if not 1 <= self.areas <= GREATEST_AREAS or self.drugs > GREATEST_DRUGS:
            raise ImageError(BAD_LAYOUT, 6)
        at = HEADER_BYTES
        for begin, count, row_bytes in (
            (self._areas_at, self.areas, AREA_BYTES),
            (self._drugs_at, self.drugs, DRUG_BYTES),
            (self._concentrations_at, self.concentrations, CONCENTRATION_BYTES),
            (self._uses_at, self.uses, USE_BYTES),
        ):
            if begin != at:
                raise ImageError(BAD_LAYOUT, at)
            at += count * row_bytes
        end = self.size - CRC_BYTES - MAC_BYTES
        if self._sets_at != at or not at <= self._texts_at <= end:
            raise ImageError(BAD_LAYOUT, at)
        _check_id(_read(self._read, 40, ID_BYTES), b"", 40)
        texts = self._check_texts(end)
        _check_text(texts, self._name_at)
        self._check_areas(texts)
        self._check_drugs(texts)
        for at in range(self.concentrations):
            amount, mantissa, exponent = self._concentration(at)
            if amount not in (NG, MILLIUNITS) or not _is_decimal(mantissa, exponent):
                raise ImageError(BAD_CONCENTRATION, at)
        self._check_sets(texts)

    def _check_texts(self, end: int):
        """Where the texts begin, ascending."""
        starts = array("H")
        at = self._texts_at
        while at < end:
            size = _read(self._read, at, 1)[0]
            if size > GREATEST_NAME_BYTES or at + 1 + size > end:
                raise ImageError(BAD_TEXT, at)
            try:
                self._text(at)
            except UnicodeError:
                raise ImageError(BAD_TEXT, at) from None
            starts.append(at)
            at += 1 + size
        return starts

    def _check_areas(self, texts) -> None:
        before = b""
        for index in range(self.areas):
            at = self._areas_at + index * AREA_BYTES
            row = _read(self._read, at, AREA_BYTES)
            _check_id(row[:ID_BYTES], before, at)
            before = row[:ID_BYTES]
            _check_text(texts, _u16(row, ID_BYTES))

    def _check_drugs(self, texts) -> None:
        """Drugs in order, each with the concentrations and uses that follow those before."""
        before = b""
        concentrations = uses = 0
        for index in range(self.drugs):
            at = self._drugs_at + index * DRUG_BYTES
            row = _read(self._read, at, DRUG_BYTES)
            _check_id(row[:ID_BYTES], before, at)
            before = row[:ID_BYTES]
            _check_text(texts, _u16(row, ID_BYTES))
            if _u16(row, 26) != concentrations or _u16(row, 28) != uses:
                raise ImageError(BAD_LAYOUT, at)
            concentrations += row[30]
            self._check_uses(uses, uses + row[31], row[30])
            uses += row[31]
        if concentrations != self.concentrations or uses != self.uses:
            raise ImageError(BAD_LAYOUT, self._drugs_at)

    def _check_uses(self, first: int, end: int, concentrations: int) -> None:
        area = -1
        for index in range(first, end):
            use = self._use_row(index)
            if not area < use[0] < self.areas:
                raise ImageError(NOT_SORTED, self._uses_at + index * USE_BYTES)
            area = use[0]
            if (
                use[2] >> concentrations
                or use[3] > KVO_WITHIN_LIMIT
                or use[4] > GREATEST_UNIT
                or use[5]
            ):
                raise ImageError(BAD_USE, self._uses_at + index * USE_BYTES)

    def _check_sets(self, texts) -> None:
        """Sets stand in the order of their first use, so each is gone over once."""
        starts = array("H")
        following = self._sets_at
        for index in range(self.uses):
            use = self._use_row(index)
            _check_text(texts, _u16(use, 6))
            at = _u16(use, 12)
            if at != following:
                if not _is_among(starts, at):
                    raise ImageError(BAD_LAYOUT, at)
                continue
            if at + 2 > self._texts_at:
                raise ImageError(BAD_LAYOUT, at)
            size = _u16(_read(self._read, at, 2), 0)
            following = at + 2 + size
            if following > self._texts_at:
                raise ImageError(BAD_LAYOUT, at)
            try:
                _check_set(_read(self._read, at + 2, size))
            except ImageError as error:
                raise ImageError(error.code, at + error.at) from None
            starts.append(at)
        if following != self._texts_at or len(starts) != self.sets:
            raise ImageError(BAD_LAYOUT, following)


def verify(read, size: int, key: bytes, least_version: int = 0) -> Library:
    """The library in ``size`` bytes that ``read`` hands over; raises ImageError to refuse it.

    For an installation; what was installed so needs no more than ``verify_sums`` at start-up.

    Args:
        read: ``read(offset, length) -> bytes``; called every few ms on a board, so that it can
            keep a watchdog quiet.
        size: of the whole image, in bytes.
        key: what it has to be signed with.
        least_version: no older one is taken.

    """
    library = verify_sums(read, size, key)
    if library.version < least_version:
        raise ImageError(TOO_OLD, library.version)
    library.check()
    return library


def verify_sums(read, size: int, key) -> Library:
    """Size, magic, format, CRC and signature alone, in one go over the image; raises ImageError.

    Without a key (None) the signature is not looked at, but that an image that says it has none
    has nought in its place. Only the host does that, to show an image.
    """
    if not LEAST_BYTES <= size <= GREATEST_BYTES:
        raise ImageError(BAD_SIZE, size)
    library = Library(read)
    if library.size != size:
        raise ImageError(BAD_SIZE, library.size)
    crc = 0
    mac = Hmac(key or b"")
    at = 0
    end = size - CRC_BYTES - MAC_BYTES
    while at < end:
        chunk = _read(read, at, min(_CHUNK_BYTES, end - at))
        crc = crc32(chunk, crc)
        mac.update(chunk)
        at += len(chunk)
    told = _read(read, end, CRC_BYTES)
    if _number(told, 0, CRC_BYTES) != crc:
        raise ImageError(BAD_CRC)
    mac.update(told)
    signature = _read(read, end + CRC_BYTES, MAC_BYTES)
    if key is None:
        if not library.is_signed and signature != bytes(MAC_BYTES):
            raise ImageError(BAD_SIGNATURE)
        return library
    if not library.is_signed:
        raise ImageError(NOT_SIGNED)
    if not is_same(mac.digest(), signature):
        raise ImageError(BAD_SIGNATURE)
    return library


def is_same(expected: bytes, given: bytes) -> bool:
    """Whether two digests are the same; as long for any wrong one, so that none can be guessed."""
    wrong = len(expected) ^ len(given)
    for one, other in zip(expected, given):
        wrong |= one ^ other
    return not wrong


def _read(read, offset: int, length: int) -> bytes:
    data = read(offset, length)
    if len(data) != length:
        raise ImageError(BAD_SIZE, offset)
    return data


def _number(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "little")


def _u16(data: bytes, at: int) -> int:
    # Without the slice that would be an object on the heap.
    return data[at] | data[at + 1] << 8


def _signed(byte: int) -> int:
    return byte - 256 if byte > 127 else byte


def _id(row: bytes) -> str:
    return bytes(row[:ID_BYTES]).rstrip(b"\x00").decode()


def _is_decimal(mantissa: int, exponent: int) -> bool:
    """Whether it is above nought and written in the one way in which it can be."""
    return (
        0 < mantissa <= GREATEST_MANTISSA
        and mantissa % 10 != 0
        and -GREATEST_EXPONENT <= exponent <= GREATEST_EXPONENT
    )


def _fits(kind: int, unit: int) -> bool:
    """Whether a limit of this kind can be told in this unit."""
    per_time = unit >> TIME_SHIFT
    if unit > GREATEST_UNIT:
        return False
    if kind in (DURATION, LOCKOUT):
        return unit == SECONDS
    if unit & AMOUNT_MASK == SECONDS:
        return False
    return (per_time != 0) == (kind in (RATE, KVO))


def _levels(data: bytes, at: int, kind: int) -> tuple:
    """The five levels of a limit, and where the next begins; raises ImageError."""
    begun = at
    if at + 3 > len(data):
        raise ImageError(BAD_LIMIT, begun)
    mask = data[at]
    unit = data[at + 1]
    exponent = _signed(data[at + 2])
    if not 0 < mask < 1 << LEVELS or not _fits(kind, unit) or abs(exponent) > GREATEST_EXPONENT:
        raise ImageError(BAD_LIMIT, begun)
    at += 3
    levels: list = [None] * LEVELS
    is_shortest = False
    for level in range(LEVELS):
        if mask >> level & 1:
            mantissa, at = _varint(data, at)
            if not mantissa:
                raise ImageError(BAD_LIMIT, begun)
            is_shortest = is_shortest or mantissa % 10 != 0
            levels[level] = (mantissa, exponent, unit)
    if not is_shortest:
        raise ImageError(BAD_LIMIT, begun)
    return levels, at


def _after(data: bytes, at: int) -> int:
    """Where the limit behind the one at ``at`` begins."""
    mask = data[at]
    at += 3
    while mask:
        if mask & 1:
            while data[at] > 0x7F:
                at += 1
            at += 1
        mask >>= 1
    return at


def _varint(data: bytes, at: int) -> tuple:
    """A number of seven bits a byte, the lowest first, and where the next begins.

    0 for one that could be shorter, or is longer than any limit's.
    """
    number = 0
    begun = at
    while at < len(data) and at - begun < _GREATEST_VARINT_BYTES:
        byte = data[at]
        number |= (byte & 0x7F) << 7 * (at - begun)
        at += 1
        if byte < 0x80:
            return (number if byte else 0), at
    return 0, at


def _check_set(data: bytes) -> None:
    if len(data) < 2:
        raise ImageError(BAD_LIMIT)
    kinds = _u16(data, 0)
    if kinds >> KINDS:
        raise ImageError(BAD_LIMIT)
    at = 2
    for kind in range(KINDS):
        if kinds >> kind & 1:
            _, at = _levels(data, at, kind)
    if at != len(data):
        raise ImageError(BAD_LIMIT, at)


def _check_id(padded: bytes, before: bytes, at: int) -> None:
    """An id is in small letters, digits and hyphens, noughts behind it, after its forerunner."""
    if padded <= before:
        raise ImageError(NOT_SORTED, at)
    text = bytes(padded).rstrip(b"\x00")
    if not text:
        raise ImageError(BAD_TEXT, at)
    for byte in text:
        if not (0x61 <= byte <= 0x7A or 0x30 <= byte <= 0x39 or byte == 0x2D):
            raise ImageError(BAD_TEXT, at)


def _check_text(starts, at: int) -> None:
    if not _is_among(starts, at):
        raise ImageError(BAD_TEXT, at)


def _is_among(starts, wanted: int) -> bool:
    low = 0
    high = len(starts)
    while low < high:
        middle = (low + high) // 2
        if starts[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low < len(starts) and starts[low] == wanted
