"""The command ``micropump image``: a UF2 for a board, with the firmware frozen in."""

import argparse
import os
from pathlib import Path

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from micropump_host.cli.common import console, print_json, remarks
from micropump_host.errors import EXIT_DONE, UsageError
from micropump_host.image import (
    Board,
    BuildError,
    Built,
    build_image,
    debian_tree,
    load_board,
    named_tree,
)
from micropump_host.image.build import Listeners
from micropump_host.image.chip import CARRIERS
from micropump_host.image.log import Log

TREE_VARIABLE = "MICROPYTHON_DIR"
CACHE_VARIABLE = "MICROPUMP_CACHE"

_EPILOG = f"""\
examples:
  micropump image                               out/image/pico.uf2, from Debian's sources
  micropump image --micropython ~/micropython   from a MicroPython tree of your own
  micropump image --board pico2 --check         only look whether the board file is right
  micropump image --verify-reproducible         build twice from nothing and compare

Needs a compiler for Arm without an operating system; an error says how to get it. The sources come
from Debian's packages on a Debian machine, and are kept in a cache; ${TREE_VARIABLE} names a tree
instead, ${CACHE_VARIABLE} another cache. The UF2 goes onto the drive that a Pico shows when it is
plugged in with its button held.

A bench and development device, NEVER FOR PATIENTS.
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "image",
        help="build a UF2 for a board, with the firmware frozen in",
        description="Build a MicroPython image for a board with the firmware frozen in.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--board", default="pico", help="pico (default), pico_w or pico2")
    parser.add_argument(
        "--out", type=Path, default=Path("out/image"), metavar="DIR", help="default: out/image"
    )
    parser.add_argument(
        "--checkout",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="a checkout of Micropump (default: here)",
    )
    parser.add_argument(
        "--micropython",
        type=Path,
        default=os.environ.get(TREE_VARIABLE) or None,
        metavar="DIR",
        help=f"a MicroPython tree (default: ${TREE_VARIABLE}, else Debian's packages)",
    )
    parser.add_argument(
        "--cache",
        type=Path,
        default=default_cache(),
        metavar="DIR",
        help="where sources and intermediate files are kept (default: ~/.cache/micropump)",
    )
    parser.add_argument("--clean", action="store_true", help="build from nothing")
    parser.add_argument(
        "--verify-reproducible",
        action="store_true",
        help="build twice from nothing and compare the two",
    )
    parser.add_argument("--check", action="store_true", help="check the board file, build nothing")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(handler=run)


def default_cache() -> Path:
    """``$MICROPUMP_CACHE``, else ``micropump`` in the user's cache."""
    given = os.environ.get(CACHE_VARIABLE)
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "micropump"


def run(args: argparse.Namespace) -> int:
    """``micropump image``."""
    if args.board not in CARRIERS:
        known = ", ".join(CARRIERS)
        raise UsageError(f'there is no board "{args.board}"', "--board", f"Known: {known}")
    board = load_board(args.checkout / "boards" / args.board)
    if args.check:
        remarks.print(f"{board.name}: the board file is right")
        return EXIT_DONE
    with _progress() as progress:
        built = _build(args, board, _listeners(progress))
    if args.json:
        print_json(built.to_json())
    else:
        console.print(_table(built, twice=args.verify_reproducible))
    return EXIT_DONE


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        console=remarks,
        transient=True,
    )


def _listeners(progress: Progress) -> Listeners:
    """A line for each phase; the bar moves where it is known how far the phase is."""
    task = progress.add_task("Looking at what there is", total=None)

    def phase(name: str) -> None:
        progress.reset(task, description=name, total=None)
        if not remarks.is_terminal:
            remarks.print(name)

    return Listeners(phase, lambda done: progress.update(task, completed=done, total=100))


def _build(args: argparse.Namespace, board: Board, listeners: Listeners) -> Built:
    """The image; built a second time where the user wants the two compared."""
    log = Log(args.out.resolve() / "build.log")
    cache = args.cache.resolve()
    tree = (
        named_tree(args.micropython)
        if args.micropython
        else debian_tree(cache, log, listeners.phase)
    )
    twice = args.verify_reproducible
    built = [
        build_image(
            board,
            tree,
            args.checkout.resolve(),
            args.out.resolve(),
            cache,
            log,
            clean=args.clean or twice,
            listeners=listeners,
        )
        for _ in range(2 if twice else 1)
    ]
    if built[0].inputs_sha256 != built[-1].inputs_sha256:
        what = "files changed between the two builds"
        raise BuildError(what, str(args.checkout), "Leave them alone for a while and try again")
    if built[0].sha256 != built[-1].sha256:
        what = f"two builds from the same sources differ: {built[0].sha256}, {built[-1].sha256}"
        raise BuildError(what, str(log.path), "Compare their frozen files and tools; report it")
    return built[-1]


def _table(built: Built, *, twice: bool) -> Table:
    table = Table(show_header=False, box=None)
    for name, value in (
        ("image", str(built.uf2)),
        ("board", f"{built.board} ({built.chip}), {built.runs}"),
        ("size", f"{built.size_bytes:,} bytes, {built.flash_bytes:,} of them in flash"),
        ("SHA-256", built.sha256),
        ("reproducible", "built twice from nothing, both the same" if twice else ""),
        ("firmware", f"Micropump {built.version}, {len(built.frozen)} modules"),
        ("frozen files", built.content_sha256),
        ("MicroPython", built.micropython),
        ("made from", ", ".join(f"{name} {is_}" for name, is_ in built.packages.items())),
        ("compiler", built.compiler),
    ):
        if value:
            table.add_row(name, value)
    return table
