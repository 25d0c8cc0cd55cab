"""The build of an image: MicroPython's own, out of its tree, with our modules frozen in."""

import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from micropump import VERSION
from micropump_host.errors import MicropumpError
from micropump_host.image.board import Board
from micropump_host.image.boardmodule import MODULE
from micropump_host.image.chip import CARRIERS, IMAGE_BYTES
from micropump_host.image.frozen import content_sha256, definition_files, frozen_files, stage
from micropump_host.image.lock import alone
from micropump_host.image.log import Log, ignore
from micropump_host.image.sources import Tree
from micropump_host.image.uf2 import FLASH_ADDRESS, read_uf2

# Taken for the date of the build where the environment has none: 2026-01-01.
SOURCE_DATE_EPOCH = 1_767_225_600
TOOLS = ("arm-none-eabi-gcc", "arm-none-eabi-g++", "cmake", "make", "gcc", "python3")
# A part of the C library for the board; the compiler alone is installed without it.
_BOARD_LIBRARY = "nosys.specs"
_PACKAGES = (
    "gcc-arm-none-eabi libnewlib-arm-none-eabi libstdc++-arm-none-eabi-newlib cmake make gcc"
    " libc6-dev python3"
)
_PERCENT = re.compile(r"\[ *(\d+)%\]")


class BuildError(MicropumpError):
    """An image cannot be built, or what was built is not what it must be."""


@dataclass(frozen=True)
class Built:
    """An image, as ``<board>.json`` beside it says too.

    Attributes:
        uf2: the file.
        board: id of the board that it is for.
        chip: ``"rp2040"`` or ``"rp2350"``.
        runs: where this project runs it.
        version: Micropump's.
        micropython: version of MicroPython.
        packages: Debian's packages that MicroPython was built from; empty for another tree.
        compiler: first line of what the compiler says of itself.
        source_date_epoch: taken for the date of the build, seconds since 1970.
        content_sha256: hash of our frozen files; the firmware has it too.
        inputs_sha256: hash of all that the image is made from.
        frozen: our frozen files, by path.
        flash_bytes: bytes of flash that it takes.
        size_bytes: size of the UF2.
        sha256: hash of the UF2.

    """

    uf2: Path
    board: str
    chip: str
    runs: str
    version: str
    micropython: str
    packages: dict[str, str]
    compiler: str
    source_date_epoch: int
    content_sha256: str
    inputs_sha256: str
    frozen: list[str]
    flash_bytes: int
    size_bytes: int
    sha256: str

    def to_json(self) -> dict[str, Any]:
        """All of it for ``json``; the file by its name alone."""
        return {**asdict(self), "uf2": self.uf2.name}


@dataclass(frozen=True)
class Listeners:
    """Who is told how a build goes: the name of each phase, and how far the long one is, 0–100."""

    phase: Callable[[str], None] = ignore
    percent: Callable[[int], None] = lambda _percent: None


def build_image(
    board: Board,
    tree: Tree,
    checkout: Path,
    out: Path,
    cache: Path,
    log: Log,
    *,
    clean: bool = False,
    listeners: Listeners | None = None,
) -> Built:
    """Build ``<board>.uf2`` and ``<board>.json``; does nothing where nothing has changed.

    Args:
        board: read and checked.
        tree: MicroPython's sources.
        checkout: the folder that has ``firmware`` and ``boards``.
        out: where the image goes.
        cache: where intermediate files are kept for the next time.
        log: where the tools' words go.
        clean: start from nothing, even where nothing has changed.
        listeners: who is told how it goes.

    Raises:
        BuildError: if a tool is missing or the outcome is not an image for this board.
        CheckoutError: if the checkout lacks something.
        ToolError: if a tool fails.

    """
    tell = listeners or Listeners()
    if board.image != "built":
        raise BuildError(f"no image is built for {board.name}", board.board_id, board.image)
    compiler = check_tools()
    work = _Work(board, tree, checkout, out, cache, log, tell)
    lock = work.home.with_name(f"{work.home.name}.lock")
    with alone(lock, lambda: tell.phase("Waiting for another build")):
        if clean:
            shutil.rmtree(work.home, ignore_errors=True)
        plan = work.plan(compiler)
        known = None if clean else finished(out / f"{board.board_id}.json", plan)
        return known or work.build(plan)


def check_tools() -> str:
    """What the compiler says of itself, when every tool is there.

    Raises:
        BuildError: with the tools that are missing and the packages that have them.

    """
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if not missing and _said("arm-none-eabi-gcc", f"-print-file-name={_BOARD_LIBRARY}") == (
        _BOARD_LIBRARY
    ):
        missing = ["the board's C library (libnewlib-arm-none-eabi)"]
    if missing:
        what = f"missing: {', '.join(missing)}"
        raise BuildError(what, "tools", f"On Debian: apt-get install {_PACKAGES}")
    return _said("arm-none-eabi-gcc", "--version").splitlines()[0]


def finished(info: Path, plan: dict[str, Any]) -> Built | None:
    """The image that ``info`` tells of, if it was made from the same and is undamaged.

    Args:
        info: ``<board>.json``.
        plan: what the build would be made from.

    """
    try:
        known = json.loads(info.read_text(encoding="utf-8"))
        uf2 = info.with_name(known["uf2"])
        same = known["inputs_sha256"] == plan["inputs_sha256"]
        if same and known["sha256"] == _sha256(uf2.read_bytes()):
            return Built(**{**known, "uf2": uf2})
    except (OSError, ValueError, KeyError, TypeError):
        # Whatever is wrong with it, building again puts it right.
        return None
    return None


def source_date_epoch() -> int:
    """``SOURCE_DATE_EPOCH`` of the environment, else a fixed date; seconds since 1970.

    Raises:
        BuildError: if the environment's is no whole number.

    """
    given = os.environ.get("SOURCE_DATE_EPOCH", str(SOURCE_DATE_EPOCH))
    if not given.isdigit():
        raise BuildError(f'"{given}" is no date', "SOURCE_DATE_EPOCH", "Give seconds since 1970")
    return int(given)


@dataclass(frozen=True)
class _Work:
    """One build: its parts and where they are."""

    board: Board
    tree: Tree
    checkout: Path
    out: Path
    cache: Path
    log: Log
    tell: Listeners

    @property
    def home(self) -> Path:
        """Intermediate files of this board from this tree."""
        tree = hashlib.sha256(str(self.tree.path).encode()).hexdigest()[:12]
        return self.cache / "build" / f"{self.board.board_id}-{self.tree.version}-{tree}"

    def plan(self, compiler: str) -> dict[str, Any]:
        """What the image is made from, in the words of ``Built``."""
        files = frozen_files(self.checkout)
        content = content_sha256(files)
        stage(self.board, files, definition_files(self.checkout, self.board), self.staged)
        plan = {
            "board": self.board.board_id,
            "chip": self.board.carrier.chip,
            "runs": self.board.runs,
            "version": VERSION,
            "micropython": self.tree.version,
            "packages": self.tree.packages,
            "compiler": compiler,
            "source_date_epoch": source_date_epoch(),
            "content_sha256": content,
            "frozen": sorted([*files, MODULE]),
        }
        inputs = {**plan, "staged": _folder_sha256(self.staged), "tree": _tree_state(self.tree)}
        return {**plan, "inputs_sha256": _sha256(json.dumps(inputs, sort_keys=True).encode())}

    @property
    def staged(self) -> Path:
        """The board definition with the frozen files in it."""
        return self.home / "board"

    def build(self, plan: dict[str, Any]) -> Built:
        """Run the build and check what comes out of it."""
        shutil.rmtree(self.home / "out", ignore_errors=True)
        self._build_mpy_cross()
        self.tell.phase("Configuring")
        self._configure()
        self.tell.phase("Building MicroPython with the firmware in it")
        self._compile()
        self.tell.phase("Making and checking the UF2")
        return self._finish(plan)

    @property
    def _environment(self) -> dict[str, str]:
        return {
            "SOURCE_DATE_EPOCH": str(source_date_epoch()),
            "MICROPY_MPYCROSS": str(self._mpy_cross),
        }

    @property
    def _mpy_cross(self) -> Path:
        return self.home / "mpy-cross/mpy-cross"

    def _build_mpy_cross(self) -> None:
        self.tell.phase("Building the compiler of frozen modules")
        folder = self.tree.path / "mpy-cross"
        self.log.run(["make", "-C", folder, f"-j{_jobs()}", f"BUILD={self._mpy_cross.parent}"])

    def _configure(self) -> None:
        command: list[str | Path] = [
            "cmake",
            "-S", self.tree.path / "ports/rp2",
            "-B", self.home / "cmake",
            "-DPICO_BUILD_DOCS=0",
            "-DPICO_NO_PICOTOOL=1",
            f"-DMICROPY_BOARD=MICROPUMP_{self.board.board_id.upper()}",
            f"-DMICROPY_BOARD_DIR={self.staged}",
            f"-DMICROPY_FROZEN_MANIFEST={self.staged / 'manifest.py'}",
        ]  # fmt: skip
        self.log.run(command, environment=self._environment)

    def _compile(self) -> None:
        def told(line: str) -> None:
            percent = _PERCENT.match(line)
            if percent:
                self.tell.percent(int(percent[1]))

        command: list[str | Path] = ["cmake", "--build", self.home / "cmake", f"-j{_jobs()}"]
        self.log.run(command, environment=self._environment, on_line=told)

    def _finish(self, plan: dict[str, Any]) -> Built:
        firmware = self.home / "cmake/firmware.bin"
        family = CARRIERS[self.board.board_id].uf2_family
        self.out.mkdir(parents=True, exist_ok=True)
        uf2 = self.out / f"{self.board.board_id}.uf2"
        begun = uf2.with_suffix(".uf2.begun")
        command: list[str | Path] = [
            "python3",
            self.tree.path / "tools/uf2conv.py",
            "-b", hex(FLASH_ADDRESS),
            "-f", hex(family),
            "-c",
            "-o", begun,
            firmware,
        ]  # fmt: skip
        self.log.run(command)
        self._check(begun, firmware, plan["content_sha256"])
        begun.replace(uf2)
        data = uf2.read_bytes()
        built = Built(
            uf2=uf2,
            flash_bytes=firmware.stat().st_size,
            size_bytes=len(data),
            sha256=_sha256(data),
            **plan,
        )
        text = json.dumps(built.to_json(), indent=2) + "\n"
        uf2.with_suffix(".json").write_text(text, encoding="utf-8")
        return built

    def _check(self, uf2: Path, firmware: Path, content: str) -> None:
        image = read_uf2(uf2)
        contents = firmware.read_bytes()
        right = image.chip == self.board.carrier.chip and image.address == FLASH_ADDRESS
        if not right or image.contents[: len(contents)] != contents:
            what = f"the UF2 is not the {self.board.carrier.chip}'s firmware that was built"
            raise BuildError(what, str(uf2), "Build again with --clean")
        if len(contents) > IMAGE_BYTES:
            # Past its end the pump erases and writes: it would take its own firmware for memory.
            what = (
                f"the firmware takes {len(contents):,} bytes of flash, and on this board what is "
                f"kept over a loss of power begins at {IMAGE_BYTES:,}"
            )
            raise BuildError(
                what, str(firmware), "Freeze less, or move the region (docs/storage.md)"
            )
        if content.encode() not in contents:
            what = "our modules are not in the firmware"
            raise BuildError(what, str(uf2), "Build again with --clean")


def _jobs() -> int:
    return os.cpu_count() or 1


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _folder_sha256(folder: Path) -> str:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return content_sha256({str(path.relative_to(folder)): path.read_bytes() for path in paths})


def _tree_state(tree: Tree) -> str:
    """Where a named tree is, and which commit it is of, where that can be told."""
    if tree.packages:
        return ""
    if shutil.which("git") is None:
        return str(tree.path)
    git = ["git", "-C", str(tree.path), "describe", "--always", "--dirty", "--abbrev=40"]
    done = subprocess.run(git, capture_output=True, text=True, check=False)
    return f"{tree.path} {done.stdout.strip()}"


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
