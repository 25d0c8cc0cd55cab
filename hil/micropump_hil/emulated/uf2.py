"""Reading a UF2 image: what goes where in the flash, and whether it is for this chip.

The format: https://github.com/microsoft/uf2
"""

import os
import struct
from pathlib import Path

from micropump_hil.emulated.errors import ImageError
from micropump_hil.emulated.flash import FLASH_BYTES

RP2040_FAMILY = 0xE48BFF56
FLASH_START = 0x10000000

IMAGE_VARIABLE = "MICROPUMP_IMAGE"
IMAGE_PLACE = Path("out") / "image" / "pico.uf2"

_BLOCK_BYTES = 512
_HEADER = struct.Struct("<8I")
_MAGIC_START = (0x0A324655, 0x9E5D5157)
_MAGIC_END = 0x0AB16F30
_NOT_MAIN_FLASH = 1 << 0
_FAMILY_PRESENT = 1 << 13
_MOST_PAYLOAD_BYTES = 476
_REMEDY = "`make image` builds one."


def find_image() -> Path:
    """Where the firmware image is: MICROPUMP_IMAGE, or out/image/pico.uf2 of the checkout.

    Raises:
        ImageError: if there is none.

    """
    named = os.environ.get(IMAGE_VARIABLE)
    places = [Path(named)] if named else [p / IMAGE_PLACE for p in (Path.cwd(), *_parents())]
    for place in places:
        if place.is_file():
            return place
    raise ImageError(
        "there is no firmware image",
        str(places[0]),
        f"`make image` builds one, or name one in {IMAGE_VARIABLE}.",
    )


def read_uf2(path: Path) -> list[tuple[int, bytes]]:
    """The contents of a UF2 file: pairs of an address in the flash chip (bytes) and its bytes.

    Raises:
        ImageError: if it cannot be read, is damaged, or is not for an RP2040.

    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ImageError(f"cannot read the image ({error.strerror})", str(path), _REMEDY) from None
    if not raw or len(raw) % _BLOCK_BYTES:
        raise ImageError("not a UF2 image, or cut short", str(path), _REMEDY)
    blocks = []
    for first in range(0, len(raw), _BLOCK_BYTES):
        block = _block(raw[first : first + _BLOCK_BYTES], path)
        if block is not None:
            blocks.append(block)
    if not blocks:
        raise ImageError("the image holds nothing for an RP2040's flash", str(path), _REMEDY)
    return blocks


def _block(block: bytes, path: Path) -> tuple[int, bytes] | None:
    """Address and bytes of one block; None where it is for something else than the flash."""
    start0, start1, flags, address, size, _, _, family = _HEADER.unpack_from(block)
    (end,) = struct.unpack_from("<I", block, _BLOCK_BYTES - 4)
    if (start0, start1) != _MAGIC_START or end != _MAGIC_END or size > _MOST_PAYLOAD_BYTES:
        raise ImageError("not a UF2 image, or damaged", str(path), _REMEDY)
    if flags & _NOT_MAIN_FLASH:
        return None
    if flags & _FAMILY_PRESENT and family != RP2040_FAMILY:
        raise ImageError(
            f"the image is for the chip family 0x{family:08x}, not for an RP2040",
            str(path),
            "Choose the image of the board `pico`.",
        )
    offset = address - FLASH_START
    if not 0 <= offset <= FLASH_BYTES - size:
        raise ImageError(
            f"the image has a block at 0x{address:08x}, outside the Pico's 2 MiB of flash",
            str(path),
            "Choose the image of the board `pico`.",
        )
    return offset, block[_HEADER.size : _HEADER.size + size]


def _parents() -> list[Path]:
    return list(Path(__file__).resolve().parents)
