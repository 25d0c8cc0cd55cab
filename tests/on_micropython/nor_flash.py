"""A NOR flash in memory, whose power can be cut in the middle of any operation; on any Python."""


class PowerCutError(Exception):
    """The power is gone."""


class NorFlash:
    """Sectors erase to all ones, programming only clears bits; as the chip on a Pico.

    Args:
        sectors: how many.
        sector_bytes: of a sector.
        page_bytes: of a page.

    Attributes:
        bytes: what it holds.
        operations: ("erase" or "program", offset) of every operation since power-on.
        seen: for a test to keep them beyond the next power-on.
        cut_at: number of the operation that is cut, None for none.
        tear: of the cut operation: ``tear(old, new)`` gives the bytes that it leaves.

    """

    def __init__(self, sectors, sector_bytes=4096, page_bytes=256):
        self.sector_bytes = sector_bytes
        self.page_bytes = page_bytes
        self.size_bytes = sectors * sector_bytes
        # What another firmware has left there.
        self.bytes = bytearray(at * 31 % 251 for at in range(self.size_bytes))
        self.seen = []
        self.power_on()

    def power_on(self):
        """Nothing is cut, no operation was seen."""
        self.operations = []
        self.cut_at = None
        self.tear = None

    def read(self, offset, length):
        """Bytes from an offset on."""
        assert offset >= 0
        assert offset + length <= self.size_bytes
        return bytes(self.bytes[offset : offset + length])

    def erase(self, offset):
        """Turn a sector's bits to ones."""
        assert offset % self.sector_bytes == 0
        self._change("erase", offset, b"\xff" * self.sector_bytes)

    def program(self, offset, page):
        """Clear a page's bits where ``page`` has none."""
        assert offset % self.page_bytes == 0
        assert len(page) == self.page_bytes
        old = self.read(offset, self.page_bytes)
        self._change("program", offset, bytes(old[at] & page[at] for at in range(len(old))))

    def _change(self, kind, offset, new):
        number = len(self.operations)
        self.operations.append((kind, offset))
        old = self.read(offset, len(new))
        torn = number == self.cut_at
        self.bytes[offset : offset + len(new)] = self.tear(old, new) if torn else new
        if torn:
            raise PowerCutError(number)
