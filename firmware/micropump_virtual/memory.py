"""Raw flash that is not there: sectors and pages of a chip, kept in memory as they are written."""

from micropump.shelf import Shelf
from micropump.storage import Slots

SECTOR_BYTES = 4096
PAGE_BYTES = 256
LIBRARY_SLOT_BYTES = 17 * SECTOR_BYTES
KEYS_AT = 2 * LIBRARY_SLOT_BYTES
SIZE_BYTES = KEYS_AT + 2 * SECTOR_BYTES


class Memory:
    """A device for ``micropump.storage``: what was erased is 0xFF, programming clears bits."""

    sector_bytes = SECTOR_BYTES
    page_bytes = PAGE_BYTES
    size_bytes = SIZE_BYTES

    def __init__(self) -> None:
        # Sectors that were written to; 150 KiB at once are more than a small heap has.
        self._sectors: dict = {}

    def read(self, offset: int, length: int) -> bytes:
        """``length`` bytes from ``offset`` on."""
        data = bytearray()
        while length:
            start = offset % SECTOR_BYTES
            size = min(length, SECTOR_BYTES - start)
            sector = self._sectors.get(offset // SECTOR_BYTES)
            data.extend(sector[start : start + size] if sector else b"\xff" * size)
            offset += size
            length -= size
        return bytes(data)

    def erase(self, offset: int) -> None:
        """Erase a sector."""
        self._sectors.pop(offset // SECTOR_BYTES, None)

    def program(self, offset: int, page) -> None:
        """Program a page."""
        number = offset // SECTOR_BYTES
        if number not in self._sectors:
            self._sectors[number] = bytearray(b"\xff" * SECTOR_BYTES)
        sector = self._sectors[number]
        start = offset % SECTOR_BYTES
        for at in range(PAGE_BYTES):
            sector[start + at] &= page[at]


def shelf(memory: Memory) -> Shelf:
    """The drug library's place in it, laid out as on a board."""
    images = Slots(memory, b"LIBR", 0, LIBRARY_SLOT_BYTES)
    keys = Slots(memory, b"KEYS", KEYS_AT, SECTOR_BYTES)
    return Shelf(images, keys)
