"""An image that is to go onto a board: checked as far as that can be done without one."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from micropump_host.flash.errors import ImageMismatchError
from micropump_host.image import read_uf2
from micropump_host.image.chip import CARRIERS
from micropump_host.image.uf2 import BLOCK_BYTES

_BUILD = "Build it again: make image"
# Where in a block its file's number of blocks is: github.com/microsoft/uf2, README.md.
_NUMBER_OF_BLOCKS = slice(24, 28)
_MANIFEST_KEYS = ("board", "chip", "version", "content_sha256", "sha256")


@dataclass(frozen=True)
class FlashImage:
    """An image with what its manifest says of it.

    Attributes:
        path: the UF2.
        data: its bytes.
        chip: ``"rp2040"`` or ``"rp2350"``, from the family of its blocks.
        board: id of the board that it is for.
        version: of the firmware in it.
        content_sha256: hash of the frozen files, in hexadecimal; the firmware tells its beginning.
        sha256: hash of the UF2, in hexadecimal.

    """

    path: Path
    data: bytes
    chip: str
    board: str
    version: str
    content_sha256: str
    sha256: str


def load_flash_image(path: Path) -> FlashImage:
    """Read a UF2 and ``<its name>.json`` beside it, and compare the two.

    Args:
        path: the UF2.

    Raises:
        Uf2Error: if the UF2 cannot be read or is damaged.
        ImageMismatchError: if it is cut short, for no chip of a Pico, or not what the manifest
            tells of, or if there is no manifest.

    """
    uf2 = read_uf2(path)
    data = path.read_bytes()
    told = int.from_bytes(data[_NUMBER_OF_BLOCKS], "little")
    if told != len(data) // BLOCK_BYTES:
        what = f"the image is cut short: {len(data) // BLOCK_BYTES} of {told} blocks"
        raise ImageMismatchError(what, str(path), _BUILD)
    if not uf2.chip:
        what = f"the image is for the chip family 0x{uf2.family:08x}, which is no Pico's"
        raise ImageMismatchError(what, str(path), "Choose an image of Micropump's: make image")
    manifest = _manifest(path.with_suffix(".json"))
    found = hashlib.sha256(data).hexdigest()
    if (found, uf2.chip) != (manifest["sha256"], manifest["chip"]):
        what = f"the image is not the one that {path.with_suffix('.json').name} tells of"
        raise ImageMismatchError(what, str(path), _BUILD)
    return FlashImage(path, data, **{key: manifest[key] for key in _MANIFEST_KEYS})


def check_board(image: FlashImage, board: str, where: str) -> None:
    """Refuse an image that is for another board than the one that says what it is.

    Args:
        image: to be flashed.
        board: id of the board, as the pump tells it.
        where: the port of the board.

    Raises:
        ImageMismatchError: if the two differ.

    """
    if board not in CARRIERS:
        what = f'this pump is simulated ("{board}"): there is no board to flash'
        raise ImageMismatchError(what, where, "Name the port of a board")
    if board != image.board:
        what = f'the image is for the board "{image.board}" and this is a "{board}"'
        raise ImageMismatchError(
            what, where, f"Build the image for it: micropump image --board {board}"
        )


def _manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        told = {key: manifest[key] for key in _MANIFEST_KEYS}
        if all(isinstance(value, str) for value in told.values()):
            return told
        what = "the image's manifest is damaged"
    except OSError as error:
        what = f"the image's manifest cannot be read ({error.strerror})"
    except (ValueError, KeyError, TypeError):
        what = "the image's manifest is damaged"
    remedy = "It is made together with the image and has to lie beside it: make image"
    raise ImageMismatchError(what, str(path), remedy)
