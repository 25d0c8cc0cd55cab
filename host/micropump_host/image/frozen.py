"""What is frozen into an image: collected, hashed, and laid out for MicroPython's build."""

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path

from micropump_host.errors import MicropumpError
from micropump_host.image.board import Board
from micropump_host.image.boardmodule import MODULE, render_module

# Folder in the checkout and the package that it becomes on the board.
PACKAGES = {"firmware/micropump": "micropump", "firmware/rp2": "micropump_rp2"}
# Run by MicroPython at its start, in this order.
START_MODULES = ("_boot.py", "boot.py", "main.py")
DEFINITION = ("mpconfigboard.cmake", "mpconfigboard.h", "manifest.py", "pins.csv")


class CheckoutError(MicropumpError):
    """A folder is no checkout of Micropump, or lacks what an image needs."""


def frozen_files(checkout: Path) -> dict[str, bytes]:
    """What the checkout has for the board, by its path in the image, without the board's module.

    Args:
        checkout: the folder that has ``firmware`` in it.

    Raises:
        CheckoutError: if a package or a start module is missing.

    """
    files: dict[str, bytes] = {}
    for folder, package in PACKAGES.items():
        found = sorted((checkout / folder).rglob("*.py"))
        if not found:
            raise _missing(checkout, folder)
        for path in found:
            files[f"{package}/{path.relative_to(checkout / folder).as_posix()}"] = path.read_bytes()
    for name in START_MODULES:
        path = checkout / "firmware" / name
        if not path.is_file():
            raise _missing(checkout, f"firmware/{name}")
        files[name] = path.read_bytes()
    return files


def content_sha256(files: Mapping[str, bytes]) -> str:
    """Hash of paths and contents, in hexadecimal; the same for the same files in any order."""
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(f"{path}\0{len(files[path])}\0".encode())
        digest.update(files[path])
    return digest.hexdigest()


def definition_files(checkout: Path, board: Board) -> dict[str, bytes]:
    """MicroPython's definition of a board, by file name.

    Raises:
        CheckoutError: if one of its files is missing.

    """
    folder = checkout / "boards" / board.board_id
    for name in DEFINITION:
        if not (folder / name).is_file():
            raise _missing(checkout, f"boards/{board.board_id}/{name}")
    return {name: (folder / name).read_bytes() for name in DEFINITION}


def stage(
    board: Board, files: Mapping[str, bytes], definition: Mapping[str, bytes], to: Path
) -> None:
    """Lay everything out as the manifest expects it; what was in ``to`` is lost.

    Args:
        board: for its module.
        files: what ``frozen_files`` found.
        definition: what ``definition_files`` found.
        to: folder of the board definition; the frozen files go into ``frozen`` in it.

    """
    shutil.rmtree(to, ignore_errors=True)
    module = render_module(board, content_sha256(files)).encode()
    inside = {f"frozen/{path}": contents for path, contents in {**files, MODULE: module}.items()}
    for path, contents in {**definition, **inside}.items():
        (to / path).parent.mkdir(parents=True, exist_ok=True)
        (to / path).write_bytes(contents)


def _missing(checkout: Path, name: str) -> CheckoutError:
    remedy = "Run it in a complete checkout of Micropump, or name one with --checkout"
    return CheckoutError(f"{name} is missing", str(checkout), remedy)
