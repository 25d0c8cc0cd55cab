"""Benches by name: what each has before it is set up, and how it is set up."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from micropump_hil.benches.bench import Bench, BenchBrokenError
from micropump_hil.benches.board import BoardBench, read_bench_file
from micropump_hil.benches.virtual import HAS as VIRTUAL_HAS
from micropump_hil.benches.virtual import VirtualGroundBench
from micropump_host.errors import MicropumpError, UsageError

VIRTUAL = ("cpython", "micropython")
EMULATED = "emulated"
NAMES = (*VIRTUAL, EMULATED)


class BenchSpecError(UsageError):
    """There is no such bench."""


@dataclass
class BenchSpec:
    """A bench that a suite may run on.

    Attributes:
        name: ``cpython``, ``micropython``, ``emulated``, or a bench file.
        has: words of ``FEATURES``.
        make: sets it up, given what is to be fitted.
        properties: for the record of a test run: bench, ground, image.
        missing: why it cannot be had here; None if it can.
        broken: the first failure to set it up, which is not tried again.

    """

    name: str
    has: frozenset[str]
    make: Callable[[str], Bench]
    properties: dict[str, str] = field(default_factory=dict)
    missing: MicropumpError | None = None
    broken: MicropumpError | None = None

    def open(self, kind: str) -> Bench:
        """Set the bench up, with ``kind`` fitted.

        Raises:
            BenchBrokenError: if that fails, now or at an earlier attempt, which is not repeated.

        """
        if self.broken:
            raise BenchBrokenError(f"not tried again: {self.broken.what}", self.name)
        if self.missing:
            self.broken = self.missing
            raise self.missing
        try:
            made = self.make(kind)
            made.connect()
        except MicropumpError as error:
            self.broken = error
            raise
        return made


def spec_of(name: str) -> BenchSpec:
    """The bench called ``name``.

    Raises:
        BenchSpecError: if there is none.
        BenchFileError: if it is a bench file and not right.

    """
    if name in VIRTUAL:
        return BenchSpec(
            name,
            VIRTUAL_HAS,
            lambda kind: VirtualGroundBench(name, kind),
            {"bench": name, "ground": name},
        )
    if name == EMULATED:
        return _emulated()
    path = Path(name)
    if path.suffix != ".toml":
        raise BenchSpecError(
            f"there is no bench {name!r}",
            "--bench",
            f"Choose {', '.join(NAMES)}, or a bench file that ends in .toml.",
        )
    file = read_bench_file(path)
    properties = {"bench": file.name, "ground": "board", "port": file.port}
    return BenchSpec(name, file.has, lambda _kind: BoardBench(name, file), properties)


def _emulated() -> BenchSpec:
    properties = {"bench": EMULATED, "ground": "rp2 on an emulated Pico"}
    try:
        # The emulator's core may be compiled at its first import: only for those who want it.
        from micropump_hil.benches import emulated  # noqa: PLC0415
        from micropump_hil.emulated import BACKEND, find_image  # noqa: PLC0415

        image = find_image()
    except MicropumpError as error:
        return BenchSpec(EMULATED, frozenset(), _never, properties, missing=error)
    properties |= {"emulator": BACKEND, "image_sha256": _sha256(image), **_image_facts(image)}
    return BenchSpec(
        EMULATED,
        emulated.HAS,
        lambda kind: emulated.EmulatedBench(EMULATED, kind, image),
        properties,
    )


def _never(kind: str) -> Bench:
    raise AssertionError("a bench that is missing is not set up")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _image_facts(image: Path) -> dict[str, str]:
    """What the builder has written beside the image, where it is this image's."""
    try:
        facts = json.loads(image.with_suffix(".json").read_text(encoding="utf-8"))
        if facts["sha256"] != _sha256(image):
            return {}
        return {name: str(facts[name]) for name in ("version", "micropython", "content_sha256")}
    except (OSError, ValueError, KeyError):
        return {}
