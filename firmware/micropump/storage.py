"""Memory that survives: a value in slots of raw flash, of which the newest whole one counts.

A slot is a number of sectors. Its first page is the header, what it holds begins with the second.
The header is written last, so a slot without a valid one holds nothing; a new value goes into the
slot behind the one that counts, which is touched no more than that. Wherever the power goes, what
was there is there, or what was to come is, whole. ``docs/storage.md`` has layout and reasons.

Whatever has these holds slots: ``sector_bytes``, ``page_bytes``, ``size_bytes``,
``read(offset, length) -> bytes``, ``erase(offset)`` of one sector to all 0xFF, and
``program(offset, page)``, which turns bits of one page from 1 to 0.
"""

from binascii import crc32

MAGIC = b"MPS1"
TAG_BYTES = 4
HEADER_BYTES = 24
_CRC_AT = HEADER_BYTES - 4

# Why something is not stored.
BAD_LENGTH = 1
NOT_BEGUN = 2
TOO_MUCH = 3
TOO_LITTLE = 4
NOT_TAKEN = 5
MOTOR_RUNS = 6


class StorageError(ValueError):
    """What is refused, or what the flash has not taken; what counted before still does.

    Attributes:
        code: one of the reasons above.
        at: the byte of the device, or the number of bytes, that is to blame.

    """

    def __init__(self, code: int, at: int = 0) -> None:
        super().__init__(code, at)
        self.code = code
        self.at = at


class Stored:
    """What a slot holds.

    Attributes:
        slot: number of the slot.
        sequence: counts the values ever stored, from 1.
        length_bytes: of the value.

    """

    def __init__(self, device, first_byte: int, slot: int, sequence: int, length_bytes: int):
        self.slot = slot
        self.sequence = sequence
        self.length_bytes = length_bytes
        self._device = device
        self._first_byte = first_byte

    def read(self, offset_bytes: int, length_bytes: int) -> bytes:
        """Bytes of the value from ``offset_bytes`` on; fewer where it ends before."""
        if offset_bytes < 0:
            raise ValueError(offset_bytes)
        length_bytes = min(length_bytes, self.length_bytes - offset_bytes)
        if length_bytes <= 0:
            return b""
        return self._device.read(self._first_byte + offset_bytes, length_bytes)

    def crc(self) -> int:
        """CRC-32 of the whole value, as it reads now."""
        crc = 0
        at = 0
        while at < self.length_bytes:
            crc = crc32(self.read(at, self._device.page_bytes), crc)
            at += self._device.page_bytes
        return crc


class Slots:
    """One value in ``count`` slots of ``slot_bytes`` bytes each, from ``first_byte`` on.

    ``begin``, ``append`` as often as it takes, ``draft`` to look at it before it counts, then
    ``commit``. A call erases one sector, or those that its data begin: a watchdog can be fed
    between.

    Args:
        device: the flash, as told above.
        tag: four bytes that name what is stored here; a slot of another tag is none.
        first_byte: where the first slot begins, at a sector's.
        slot_bytes: whole sectors.
        count: two or more.

    Raises:
        ValueError: if the slots do not fit into the device's sectors.

    """

    def __init__(self, device, tag: bytes, first_byte: int, slot_bytes: int, count: int = 2):
        if (
            len(tag) != TAG_BYTES
            or first_byte < 0
            or first_byte % device.sector_bytes
            or slot_bytes <= device.page_bytes
            or slot_bytes % device.sector_bytes
            or count < 2
            or first_byte + count * slot_bytes > device.size_bytes
        ):
            raise ValueError("slots do not fit")
        self.capacity_bytes = slot_bytes - device.page_bytes
        self.count = count
        self._device = device
        self._tag = tag
        self._first_byte = first_byte
        self._slot_bytes = slot_bytes
        self._page = bytearray(device.page_bytes)
        self._looked = False
        self._active = None
        self._highest_sequence = 0
        self._draft = None
        self._put_bytes = 0
        self._received_bytes = 0
        self._erased_bytes = 0
        self._crc = 0

    def active(self):
        """The newest whole value, a Stored; None where there is none. Looked for once."""
        if not self._looked:
            self.look()
        return self._active

    def look(self):
        """As ``active``, but judged anew by what the flash holds now; reads all of one value."""
        headers = []
        for slot in range(self.count):
            found = self._header(slot)
            if found:
                headers.append((found[0], slot, found[1], found[2]))
        headers.sort()
        # Above that of a damaged slot too, which might read as whole another time.
        self._highest_sequence = headers[-1][0] if headers else 0
        self._active = None
        for sequence, slot, length_bytes, crc in reversed(headers):
            stored = self._stored(slot, sequence, length_bytes)
            if stored.crc() == crc:
                self._active = stored
                break
        self._looked = True
        return self._active

    def begin(self, length_bytes: int) -> None:
        """Begin to store a value of ``length_bytes``; what was begun before is forgotten.

        Erases one sector.

        Raises:
            StorageError: BAD_LENGTH, NOT_TAKEN, or what the device says.

        """
        self.abandon()
        if not 0 < length_bytes <= self.capacity_bytes:
            raise StorageError(BAD_LENGTH, length_bytes)
        active = self.active()
        slot = 0 if active is None else (active.slot + 1) % self.count
        self._erased_bytes = self._put_bytes = self._received_bytes = self._crc = 0
        # The header first: what is behind it counts no more from here on.
        self._erase_next(slot)
        self._draft = self._stored(slot, self._highest_sequence + 1, length_bytes)

    def append(self, data: bytes) -> None:
        """Store the next bytes of the value. After an error there is nothing to go on with.

        Raises:
            StorageError: NOT_BEGUN, TOO_MUCH, NOT_TAKEN, or what the device says.

        """
        draft = self._begun()
        if self._received_bytes + len(data) > draft.length_bytes:
            raise StorageError(TOO_MUCH, self._received_bytes + len(data))
        page_bytes = self._device.page_bytes
        at = 0
        while at < len(data):
            used = self._received_bytes % page_bytes
            size = min(page_bytes - used, len(data) - at)
            self._page[used : used + size] = data[at : at + size]
            at += size
            self._received_bytes += size
            if used + size == page_bytes:
                self._put()
        self._crc = crc32(data, self._crc)

    def draft(self):
        """The value as it lies in the flash, a Stored that does not count yet.

        Raises:
            StorageError: NOT_BEGUN, TOO_LITTLE, NOT_TAKEN, or what the device says.

        """
        draft = self._begun()
        if self._received_bytes < draft.length_bytes:
            raise StorageError(TOO_LITTLE, self._received_bytes)
        if self._put_bytes < draft.length_bytes:
            self._put()
        if draft.crc() != self._crc:
            self.abandon()
            raise StorageError(NOT_TAKEN, draft.length_bytes)
        return draft

    def commit(self):
        """From now on the value counts; returns it.

        Raises:
            StorageError: NOT_BEGUN, TOO_LITTLE, NOT_TAKEN, or what the device says.

        """
        draft = self.draft()
        header = (
            MAGIC + self._tag + _u32(draft.sequence) + _u32(draft.length_bytes) + _u32(self._crc)
        )
        header += _u32(crc32(header))
        self.abandon()
        at = self._first_byte + draft.slot * self._slot_bytes
        self._program(at, header + b"\xff" * (self._device.page_bytes - HEADER_BYTES))
        return self.look()

    def abandon(self) -> None:
        """Forget what was begun; what counts stays."""
        self._draft = None

    def write(self, data: bytes):
        """Store a value that fits into memory; returns it. Raises StorageError."""
        self.begin(len(data))
        self.append(data)
        return self.commit()

    def _begun(self):
        if self._draft is None:
            raise StorageError(NOT_BEGUN)
        return self._draft

    def _stored(self, slot: int, sequence: int, length_bytes: int):
        first_byte = self._first_byte + slot * self._slot_bytes + self._device.page_bytes
        return Stored(self._device, first_byte, slot, sequence, length_bytes)

    def _header(self, slot: int):
        """``(sequence, length in bytes, CRC)`` of a slot, None where there is no valid header."""
        data = self._device.read(self._first_byte + slot * self._slot_bytes, HEADER_BYTES)
        if data[:4] != MAGIC or data[4:8] != self._tag:
            return None
        if _number(data, _CRC_AT) != crc32(data[:_CRC_AT]):
            return None
        length_bytes = _number(data, 12)
        if not 0 < length_bytes <= self.capacity_bytes:
            return None
        return _number(data, 8), length_bytes, _number(data, 16)

    def _put(self) -> None:
        """Program the page that is full, behind those before; any error ends what was begun."""
        draft = self._begun()
        self._draft = None
        page_bytes = self._device.page_bytes
        in_slot = page_bytes + self._put_bytes
        if in_slot >= self._erased_bytes:
            self._erase_next(draft.slot)
        self._program(self._first_byte + draft.slot * self._slot_bytes + in_slot, self._page)
        self._put_bytes += page_bytes
        self._draft = draft

    def _erase_next(self, slot: int) -> None:
        self._device.erase(self._first_byte + slot * self._slot_bytes + self._erased_bytes)
        self._erased_bytes += self._device.sector_bytes

    def _program(self, at: int, page) -> None:
        self._device.program(at, page)
        if self._device.read(at, len(page)) != page:
            raise StorageError(NOT_TAKEN, at)


def _u32(number: int) -> bytes:
    return number.to_bytes(4, "little")


def _number(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")
