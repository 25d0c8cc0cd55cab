"""The command ``micropump library``: check, show, compare, review, build, install."""

import argparse
import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from micropump.library import CRC_BYTES, MAC_BYTES
from micropump_host.cli import installed
from micropump_host.cli.common import console, print_json, remarks
from micropump_host.cli.keys import read_key
from micropump_host.errors import EXIT_DONE, EXIT_REFUSED, MicropumpError, UsageError
from micropump_host.library import (
    EFFECTS,
    LEVELS,
    WIDENED,
    Card,
    Drug,
    Library,
    LibraryError,
    advice,
    cards,
    compare,
    counts,
    load_library,
    source_sha256,
)
from micropump_host.library.image import build_image, read_image
from micropump_host.reading.problems import Problem
from micropump_host.reading.tables import nearest

_EPILOG = """\
examples:
  micropump library check examples/library
  micropump library show examples/library morphine --care-area pca-home
  micropump library diff examples/library lib.mpl          a folder or an image on either side
  micropump library table examples/library --html review.html
  micropump library build examples/library --out lib.mpl --key lib.key
  micropump library install lib.mpl --port /dev/ttyACM0
  micropump library install examples/library --key lib.key --port pump.tty
  micropump library info --port pump.tty

docs/library.md describes the source of a library. A key is a file of 32 bytes, written as
hexadecimal digits: openssl rand -hex 32 > lib.key; `micropump provision` gives it to a pump.
Libraries here are test fixtures, not clinical advice.
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its subcommands."""
    parser = subparsers.add_parser(
        "library",
        help="check, show, compare, review, build and install a drug library",
        description="Check a drug library, show a drug of it, compare two of them, write a table "
        "for review, build the image that a pump enforces, and install it.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_check(commands)
    _add_show(commands)
    _add_diff(commands)
    _add_table(commands)
    _add_build(commands)
    installed.add_parsers(commands)


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def _add_check(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("check", help="all that is wrong with a library, at once")
    parser.add_argument("library", type=Path, metavar="FOLDER", help="the library's source")
    _add_json(parser)
    parser.set_defaults(handler=check)


def _add_show(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("show", help="a drug's limits, as a person reads them")
    parser.add_argument("library", type=Path, metavar="FOLDER|IMAGE", help="a source or an image")
    parser.add_argument("drug", metavar="DRUG", help="the drug's id")
    parser.add_argument("--care-area", default="", metavar="ID", help="only in this care area")
    _add_json(parser)
    parser.set_defaults(handler=show)


def _add_diff(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("diff", help="what changed, in clinical terms")
    parser.add_argument("old", type=Path, metavar="OLD", help="a source or an image")
    parser.add_argument("new", type=Path, metavar="NEW", help="a source or an image")
    _add_json(parser)
    parser.set_defaults(handler=diff)


def _add_table(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("table", help="every limit with its source, for review")
    parser.add_argument("library", type=Path, metavar="FOLDER", help="the library's source")
    parser.add_argument("--html", type=Path, required=True, metavar="OUT", help="the page")
    parser.set_defaults(handler=table)


def _add_build(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("build", help="the image that a pump enforces")
    parser.add_argument("library", type=Path, metavar="FOLDER", help="the library's source")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the image")
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--key", type=Path, metavar="FILE", help="what it is signed with, in hex")
    either.add_argument(
        "--unsigned", action="store_true", help="without a signature: no pump takes it"
    )
    _add_json(parser)
    parser.set_defaults(handler=build)


# -- check -----------------------------------------------------------------------------------------


def check(args: argparse.Namespace) -> int:
    """``micropump library check``."""
    try:
        library = load_library(args.library)
    except LibraryError as error:
        if not args.json:
            raise
        print_json({"ok": False, "problems": [_as_json(one) for one in error.problems]})
        return EXIT_REFUSED
    told = [problem for drug in library.drugs for problem in advice(drug)]
    if args.json:
        print_json(
            {
                "ok": True,
                **_name_json(library),
                "problems": [],
                "remarks": [_as_json(one) for one in told],
            }
        )
        return EXIT_DONE
    for problem in told:
        remarks.print(f"[yellow]remark:[/yellow] {escape(str(problem))}", soft_wrap=True)
    limits = sum(len(use.limits) for drug in library.drugs for use in drug.uses)
    console.print(
        f"{escape(library.name)}, version {library.version}: {len(library.drugs)} drugs in "
        f"{len(library.care_areas)} care areas, {limits} limits; nothing is wrong",
        highlight=False,
        soft_wrap=True,
    )
    return EXIT_DONE


def _as_json(problem: Problem) -> dict[str, str | int]:
    return asdict(problem)


def _name_json(library: Library) -> dict[str, str | int]:
    return {
        "id": library.library_id,
        "name": library.name,
        "version": library.version,
        "drugs": len(library.drugs),
        "care_areas": len(library.care_areas),
    }


# -- show ------------------------------------------------------------------------------------------


def show(args: argparse.Namespace) -> int:
    """``micropump library show``."""
    library = _load(args.library)
    drug = _drug(library, args)
    if args.care_area and args.care_area not in library.care_areas:
        raise UsageError(
            f'the library has no care area "{args.care_area}"',
            "--care-area",
            nearest(args.care_area, tuple(library.care_areas)),
        )
    found = cards(library, drug, args.care_area)
    if args.json:
        print_json(
            {"drug": drug.drug_id, "name": drug.name, "uses": [asdict(one) for one in found]}
        )
        return EXIT_DONE
    if not found:
        raise MicropumpError(
            f"{drug.name} is not used in {library.care_areas[args.care_area]}",
            str(args.library),
            f"It is in {', '.join(area for use in drug.uses for area in use.care_areas)}",
        )
    for card in found:
        console.print(_card_table(card))
        console.print(escape(_card_text(card)), highlight=False, soft_wrap=True)
        for source, names in _sources(card).items():
            text = f"  {', '.join(names)}: {source}"
            console.print(escape(text), highlight=False, soft_wrap=True)
    return EXIT_DONE


def _drug(library: Library, args: argparse.Namespace) -> Drug:
    drug = library.drug(args.drug)
    if drug is None:
        raise MicropumpError(
            f'the library has no drug "{args.drug}"',
            str(args.library),
            nearest(args.drug, tuple(one.drug_id for one in library.drugs)),
        )
    return drug


def _card_table(card: Card) -> Table:
    """The limits of a card, with a column for each level that any of them has."""
    table = Table(title=f"{escape(card.drug)}: {escape(', '.join(card.area_names))}")
    table.add_column("", no_wrap=True)
    set_levels = [at for at in range(len(LEVELS)) if any(row.levels[at] for row in card.rows)]
    for at in set_levels:
        table.add_column(LEVELS[at].replace("_", " "), justify="right")
    for row in card.rows:
        name, style = (f"  at {row.at}", "dim") if row.at else (row.name, None)
        table.add_row(name, *(row.levels[at] for at in set_levels), style=style)
    return table


def _sources(card: Card) -> dict[str, list[str]]:
    """Every source, and the limits that are from it."""
    sources: dict[str, list[str]] = {}
    for row in card.rows:
        if row.source:
            sources.setdefault(row.source, []).append(row.name)
    return sources


def _card_text(card: Card) -> str:
    kvo = {"rule": "by the rule", "off": "off", "limit": "within limits"}[card.kvo]
    parts = [", ".join(card.concentrations), ", ".join(card.programs), f"in {card.dosing}"]
    return "; ".join(part for part in (*parts, f"KVO {kvo}", *card.settings) if part)


# -- diff ------------------------------------------------------------------------------------------


def diff(args: argparse.Namespace) -> int:
    """``micropump library diff``."""
    old, new = _load(args.old), _load(args.new)
    changes = compare(old, new)
    is_raised = new.version > old.version
    if args.json:
        print_json(
            {
                "old": _name_json(old),
                "new": _name_json(new),
                "version_raised": is_raised,
                "counts": counts(changes),
                "changes": [{**asdict(change), "text": str(change)} for change in changes],
            }
        )
        return EXIT_DONE
    console.print(f"version {old.version} → {new.version}", highlight=False)
    for change in changes:
        style = "bold red" if change.effect == WIDENED else "default"
        mark = change.effect.upper() if change.effect == WIDENED else change.effect
        console.print(
            f"[{style}]{mark:9}[/] {escape(str(change))}", highlight=False, soft_wrap=True
        )
    console.print(_sum(counts(changes)) if changes else "nothing changed", highlight=False)
    if changes and not is_raised:
        remarks.print(
            "[yellow]remark:[/yellow] the version is not raised, and a pump may refuse it"
        )
    return EXIT_DONE


def _sum(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{numbers[effect]} {effect}" for effect in EFFECTS if numbers[effect])


# -- table and build -------------------------------------------------------------------------------


def table(args: argparse.Namespace) -> int:
    """``micropump library table``."""
    try:
        # The other commands must work without jinja2.
        from micropump_host.library.page import render_table  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MicropumpError(
            f"the library {error.name} is not installed",
            "micropump library table",
            'Install what this needs with: pip install "micropump[accuracy]"',
        ) from error
    _write(args.html, render_table(load_library(args.library)).encode())
    console.print(f"The table is {args.html}", highlight=False, soft_wrap=True)
    return EXIT_DONE


def build(args: argparse.Namespace) -> int:
    """``micropump library build``."""
    if not args.key and not args.unsigned:
        raise UsageError(
            "no key was given",
            "--key",
            "Name a key file, or add --unsigned for an image that no pump takes.",
        )
    key = read_key(args.key) if args.key else None
    library = load_library(args.library)
    image = build_image(library, key)
    _write(args.out, image)
    said = {
        **_name_json(library),
        "file": str(args.out),
        "bytes": len(image),
        "signed": key is not None,
        "crc32": f"{zlib.crc32(image[: -CRC_BYTES - MAC_BYTES]):08x}",
        "sha256": hashlib.sha256(image).hexdigest(),
        "source_sha256": source_sha256(library),
    }
    if args.json:
        print_json(said)
        return EXIT_DONE
    for name, value in said.items():
        text = f"{name.replace('_', ' '):14}{value}"
        console.print(escape(text), highlight=False, soft_wrap=True)
    return EXIT_DONE


def _load(path: Path) -> Library:
    """A library from its folder or its image; raises MicropumpError."""
    if path.is_dir():
        return load_library(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MicropumpError(
            f"cannot read the library ({error.strerror})", str(path), "Check the path"
        ) from None
    return read_image(data, str(path))


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise MicropumpError(
            f"cannot write this ({error.strerror})", str(path), "Choose another place"
        ) from None
