"""MicroPython for this computer with the board's numbers: 31-bit small ints and 32-bit floats.

On a 64-bit computer MicroPython's small ints have 63 bits and its floats 64, so what would reach
for the heap on the board does not, and what would lose digits does not. This builds its unix port
with the board's widths, to run the firmware's core on:
``python -m micropump_host.image.unixport --out out/unix31``.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from micropump_host.errors import EXIT_DONE, MicropumpError
from micropump_host.image.log import Log, ignore
from micropump_host.image.sources import Tree, debian_tree, named_tree

PROGRAM = "micropython"
TOOLS = ("gcc", "make", "python3")
_PACKAGES = "gcc libc6-dev make python3"
_INFO = "unix31.json"
_VARIANT = "small_ints"
_PROBE_TIMEOUT_S = 20

# MicroPython's own names for its widths (py/smallint.h, py/mpconfig.h); the board's are the
# defaults there for a machine word of 32 bits.
_VARIANT_FILES = {
    "mpconfigvariant.h": """\
#define MICROPY_CONFIG_ROM_LEVEL (MICROPY_CONFIG_ROM_LEVEL_EXTRA_FEATURES)
#define MICROPY_FLOAT_IMPL (MICROPY_FLOAT_IMPL_FLOAT)
#define MP_SMALL_INT_MIN ((mp_int_t)-0x40000000)
#define MP_SMALL_INT_POSITIVE_MASK ((mp_int_t)0x3fffffff)
#define MP_SMALL_INT_FITS(n) \\
    ((mp_int_t)(n) >= MP_SMALL_INT_MIN && (mp_int_t)(n) <= MP_SMALL_INT_POSITIVE_MASK)
#include "variants/mpconfigvariant_common.h"
""",
    # Nothing frozen and no foreign libraries: the core needs none.
    "mpconfigvariant.mk": """\
FROZEN_MANIFEST =
MICROPY_PY_BLUETOOTH = 0
MICROPY_PY_BTREE = 0
MICROPY_PY_FFI = 0
MICROPY_PY_SSL = 0
""",
}

# Prints what the widths are seen by: the first number of bits at which a sum, a product and a shift
# need memory, the first power of two at which a float loses a one, and the last tick before zero.
_PROBE = """\
from micropython import heap_lock, heap_unlock
import time
def fits(make, n):
    heap_lock()
    try:
        make(n)
        return True
    except MemoryError:
        return False
    finally:
        heap_unlock()
def bits(make):
    n = 8
    while n < 64 and fits(make, n):
        n += 1
    return n
def add(n):
    x = (1 << (n - 2)) - 1
    return x + x + 1
def multiply(n):
    return -(1 << (n // 2)) * (1 << (n - 1 - n // 2))
def shift(n):
    return (1 << (n - 2)) - 1 << 1
n = 1
while float(n) + 1 != float(n):
    n *= 2
print(bits(add), bits(multiply), bits(shift), n, time.ticks_add(0, -1))
"""
# bits() gives the first width that does not fit.
_BOARD_NUMBERS = (32, 32, 32, 1 << 24, (1 << 30) - 1)


class UnixPortError(MicropumpError):
    """The port with the board's numbers cannot be built, or its numbers are not the board's."""


@dataclass(frozen=True)
class UnixPort:
    """The port, as ``unix31.json`` beside it says too.

    Attributes:
        program: the interpreter.
        micropython: version of MicroPython.
        packages: Debian's packages that it was built from; empty for another tree.
        inputs_sha256: hash of what it is made from.
        sha256: hash of the interpreter.

    """

    program: Path
    micropython: str
    packages: dict[str, str]
    inputs_sha256: str
    sha256: str

    def to_json(self) -> dict[str, Any]:
        """All of it for ``json``; the interpreter by its name alone."""
        return {**asdict(self), "program": self.program.name}


def build_unix_port(
    tree: Tree,
    out: Path,
    log: Log,
    *,
    on_phase: Callable[[str], None] = ignore,
) -> UnixPort:
    """Build the port into ``out``; does nothing where it is there, from the same sources.

    Args:
        tree: MicroPython's sources; nothing in it is changed.
        out: where the interpreter goes, and the intermediate files in ``build``.
        log: where the tools' words go.
        on_phase: called with what is being done.

    Raises:
        UnixPortError: if a tool is missing, or what was built has other numbers than the board.
        ToolError: if a tool fails.

    """
    compiler = check_tools()
    inputs_sha256 = _inputs_sha256(tree, compiler)
    known = find_unix_port(out)
    if known and known.inputs_sha256 == inputs_sha256:
        return known
    build = out / "build"
    shutil.rmtree(build, ignore_errors=True)
    variant = build / _VARIANT
    variant.mkdir(parents=True)
    for name, text in _VARIANT_FILES.items():
        (variant / name).write_text(text, encoding="utf-8")
    on_phase("Building MicroPython with 31-bit small ints and 32-bit floats")
    places = (f"VARIANT_DIR={variant}", f"BUILD={build / 'objects'}")
    log.run(["make", "-C", tree.path / "ports/unix", f"-j{os.cpu_count() or 1}", *places])
    on_phase("Looking at its numbers")
    built = build / "objects" / PROGRAM
    check_numbers(built)
    program = out / PROGRAM
    built.replace(program)
    data = program.read_bytes()
    port = UnixPort(program, tree.version, tree.packages, inputs_sha256, _sha256(data))
    text = json.dumps(port.to_json(), indent=2) + "\n"
    (out / _INFO).write_text(text, encoding="utf-8")
    shutil.rmtree(build)
    return port


def find_unix_port(out: Path) -> UnixPort | None:
    """The port that was built into ``out``, if it is there and undamaged.

    Args:
        out: folder of the build.

    """
    try:
        known = json.loads((out / _INFO).read_text(encoding="utf-8"))
        program = out / known["program"]
        if known["sha256"] == _sha256(program.read_bytes()):
            return UnixPort(**{**known, "program": program})
    except (OSError, ValueError, KeyError, TypeError):
        # Whatever is wrong with it, building again puts it right.
        return None
    return None


def check_tools() -> str:
    """What the compiler says of itself, when every tool is there.

    Raises:
        UnixPortError: with the tools that are missing and the packages that have them.

    """
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        what = f"missing: {', '.join(missing)}"
        raise UnixPortError(what, "tools", f"On Debian: apt-get install {_PACKAGES}")
    said = subprocess.run(["gcc", "--version"], capture_output=True, text=True, check=False)
    return said.stdout.partition("\n")[0]


def check_numbers(program: Path) -> None:
    """Look whether an interpreter has the board's numbers.

    Raises:
        UnixPortError: if it does not run, or has others.

    """
    try:
        said = subprocess.run(
            [program, "-c", _PROBE],
            capture_output=True,
            text=True,
            check=False,
            timeout=_PROBE_TIMEOUT_S,
        )
        numbers = tuple(map(int, said.stdout.split()))
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise UnixPortError(f"it does not run ({error})", str(program), "Build it again") from None
    if numbers != _BOARD_NUMBERS:
        what = f"its numbers are {numbers}, the board's {_BOARD_NUMBERS}"
        remedy = "This MicroPython has other names for them; take 1.25, which was tried"
        raise UnixPortError(what, str(program), remedy)


def _inputs_sha256(tree: Tree, compiler: str) -> str:
    inputs = [compiler, tree.version, tree.packages, _VARIANT_FILES]
    if not tree.packages:
        inputs.append(str(tree.path))
    return _sha256(json.dumps(inputs, sort_keys=True).encode())


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def main(words: Sequence[str] | None = None) -> int:
    """Build the port, as ``make unix31`` does; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m micropump_host.image.unixport",
        description="Build MicroPython for this computer with the board's numbers.",
    )
    parser.add_argument("--out", type=Path, default=Path("out/unix31"), metavar="DIR")
    parser.add_argument(
        "--micropython",
        type=Path,
        default=os.environ.get("MICROPYTHON_DIR") or None,
        metavar="DIR",
        help="a MicroPython tree (default: $MICROPYTHON_DIR, else Debian's packages)",
    )
    parser.add_argument(
        "--cache",
        type=Path,
        default=default_cache(),
        metavar="DIR",
        help="where Debian's sources are kept (default: $MICROPUMP_CACHE or ~/.cache/micropump)",
    )
    args = parser.parse_args(words)
    remarks = Console(stderr=True)
    try:
        port = _build_with_bar(args, remarks)
    except MicropumpError as error:
        remarks.print(f"error: {error}", markup=False, highlight=False)
        return error.exit_code
    print(f"{port.program}: MicroPython {port.micropython}, 31-bit small ints, 32-bit floats")
    return EXIT_DONE


def default_cache() -> Path:
    """``$MICROPUMP_CACHE``, else ``micropump`` in the user's cache, as for images."""
    given = os.environ.get("MICROPUMP_CACHE")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "micropump"


def _build_with_bar(args: argparse.Namespace, remarks: Console) -> UnixPort:
    out = args.out.resolve()
    log = Log(out / "build.log")
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=remarks, transient=True) as progress:
        task = progress.add_task("Looking at what there is", total=None)

        def phase(name: str) -> None:
            progress.update(task, description=name)

        if args.micropython:
            tree = named_tree(args.micropython)
        else:
            tree = debian_tree(args.cache.resolve(), log, phase)
        return build_unix_port(tree, out, log, on_phase=phase)


if __name__ == "__main__":
    raise SystemExit(main())
