"""UF2 files: blocks of flash contents, as the boot loader of a Pico takes them.

Format: github.com/microsoft/uf2, README.md: blocks of 512 bytes with two magic words, flags,
address, size, number, count and family; the contents; a closing magic word.
"""

import struct
from dataclasses import dataclass
from pathlib import Path

from micropump_host.errors import MicropumpError
from micropump_host.image.chip import UF2_FAMILY_RP2040, UF2_FAMILY_RP2350_ARM_S

FLASH_ADDRESS = 0x10000000
BLOCK_BYTES = 512
FAMILY_CHIPS = {UF2_FAMILY_RP2040: "rp2040", UF2_FAMILY_RP2350_ARM_S: "rp2350"}

_HEAD = struct.Struct("<8I")
_MAGIC_FIRST, _MAGIC_SECOND, _MAGIC_LAST = 0x0A324655, 0x9E5D5157, 0x0AB16F30
_NOT_MAIN_FLASH, _FAMILY_PRESENT = 0x00000001, 0x00002000
_GREATEST_CONTENTS_BYTES = 476


class Uf2Error(MicropumpError):
    """A file is no UF2, or not one for a Pico."""


@dataclass(frozen=True)
class Uf2:
    """What a UF2 file puts into flash.

    Attributes:
        family: family id of its blocks.
        address: where in the address space the first byte goes.
        contents: the bytes, without gaps.

    """

    family: int
    address: int
    contents: bytes

    @property
    def chip(self) -> str:
        """``"rp2040"``, ``"rp2350"``, or ``""`` for a family that is no Pico's."""
        return FAMILY_CHIPS.get(self.family, "")


def read_uf2(path: str | Path) -> Uf2:
    """Read a UF2 file.

    Args:
        path: the file.

    Raises:
        Uf2Error: if it cannot be read, is damaged or cut off, or has gaps or several families.

    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        what = f"cannot read the image ({error.strerror})"
        raise Uf2Error(what, str(path), "Check the path, or build one: make image") from None
    if not data or len(data) % BLOCK_BYTES:
        what = f"{len(data)} bytes are no whole number of UF2 blocks"
        raise _damaged(path, what)
    blocks = [
        _block(path, number, data[start : start + BLOCK_BYTES])
        for number, start in enumerate(range(0, len(data), BLOCK_BYTES))
    ]
    return _joined(path, [block for block in blocks if block is not None])


def _damaged(path: str | Path, what: str) -> Uf2Error:
    return Uf2Error(what, str(path), "It is damaged or no UF2: build it again, make image")


def _block(path: str | Path, number: int, block: bytes) -> tuple[int, int, bytes] | None:
    """Family, address and contents of a block; None for one that is not for the flash."""
    first, second, flags, address, size, _, _, family = _HEAD.unpack_from(block)
    (last,) = struct.unpack_from("<I", block, BLOCK_BYTES - 4)
    if (first, second, last) != (_MAGIC_FIRST, _MAGIC_SECOND, _MAGIC_LAST):
        raise _damaged(path, f"block {number} is no UF2 block")
    if size > _GREATEST_CONTENTS_BYTES:
        raise _damaged(path, f"block {number} says that it holds {size} bytes")
    if flags & _NOT_MAIN_FLASH:
        return None
    contents = block[_HEAD.size : _HEAD.size + size]
    return family if flags & _FAMILY_PRESENT else 0, address, contents


def _joined(path: str | Path, blocks: list[tuple[int, int, bytes]]) -> Uf2:
    if not blocks:
        raise _damaged(path, "no block is for the flash")
    families = {family for family, _, _ in blocks}
    if len(families) != 1:
        raise _damaged(path, f"its blocks are of {len(families)} families")
    contents = bytearray()
    start = blocks[0][1]
    for number, (_, address, part) in enumerate(blocks):
        if address != start + len(contents):
            raise _damaged(path, f"there is a gap before block {number}")
        contents += part
    return Uf2(families.pop(), start, bytes(contents))
