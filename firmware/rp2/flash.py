"""The raw flash between firmware and file system: 256 KiB for what survives, as pages and sectors.

MicroPython hands out its storage area as ``rp2.Flash``. The board definitions
(``boards/*/mpconfigboard.h``) begin it this much before the file system, which begins behind the
flash's first MiB on every board.
"""

import rp2
from micropump.storage import MOTOR_RUNS, Slots, StorageError

# The same in boards/*/mpconfigboard.h and in _boot.py.
RESERVED_BYTES = 256 * 1024

SECTOR_BYTES = 4096
PAGE_BYTES = 256

# What lies where, bytes from the region's start. An image of the greatest library and the page of
# its header take 17 sectors. The rest of the region is free.
LIBRARY_AT = 0
LIBRARY_SLOT_BYTES = 17 * SECTOR_BYTES
LIBRARY_TAG = b"LIBR"
KEYS_AT = LIBRARY_AT + 2 * LIBRARY_SLOT_BYTES
KEYS_SLOT_BYTES = SECTOR_BYTES
KEYS_TAG = b"KEYS"
FREE_AT = KEYS_AT + 2 * KEYS_SLOT_BYTES

_BLOCK_ERASE = 6


class Flash:
    """The region as a device for ``micropump.storage``.

    An erase or program turns every interrupt off until the chip is ready: 45 ms a sector, 400 ms
    at most (Winbond W25Q16JV, AC characteristics: t_SE). So nothing is changed while the motor
    is on.

    Args:
        is_running: whether the motor is on.

    """

    sector_bytes = SECTOR_BYTES
    page_bytes = PAGE_BYTES
    size_bytes = RESERVED_BYTES

    def __init__(self, is_running) -> None:
        self._blocks = rp2.Flash(start=0, len=RESERVED_BYTES)
        self._is_running = is_running
        self._page = bytearray(PAGE_BYTES)

    def read(self, offset: int, length: int) -> bytes:
        """``length`` bytes from ``offset`` on; ValueError outside the region."""
        if offset < 0 or length < 0 or offset + length > RESERVED_BYTES:
            raise ValueError(offset)
        data = bytearray(length)
        self._blocks.readblocks(offset // SECTOR_BYTES, data, offset % SECTOR_BYTES)
        return bytes(data)

    def erase(self, offset: int) -> None:
        """Erase one sector; StorageError while the motor is on, ValueError outside the region."""
        self._may_change(offset, SECTOR_BYTES)
        self._blocks.ioctl(_BLOCK_ERASE, offset // SECTOR_BYTES)

    def program(self, offset: int, page) -> None:
        """Program one page; StorageError while the motor is on, ValueError if it is not ours."""
        if len(page) != PAGE_BYTES:
            raise ValueError(len(page))
        self._may_change(offset, PAGE_BYTES)
        # The chip cannot be read while it is written to: a frozen constant lies in it.
        self._page[:] = page
        self._blocks.writeblocks(offset // SECTOR_BYTES, self._page, offset % SECTOR_BYTES)

    def _may_change(self, offset: int, size: int) -> None:
        if offset % size or not 0 <= offset < RESERVED_BYTES:
            raise ValueError(offset)
        if self._is_running():
            raise StorageError(MOTOR_RUNS, offset)


def library_slots(flash) -> Slots:
    """The two slots of the drug library."""
    return Slots(flash, LIBRARY_TAG, LIBRARY_AT, LIBRARY_SLOT_BYTES)


def key_slots(flash) -> Slots:
    """The two slots of the key that libraries are signed with."""
    return Slots(flash, KEYS_TAG, KEYS_AT, KEYS_SLOT_BYTES)


def file_system():
    """The block device of the file system, behind the region."""
    return rp2.Flash(start=RESERVED_BYTES)
