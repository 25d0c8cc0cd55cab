"""``micropump library install`` and ``info``: the drug library of a pump."""

import argparse
import hashlib
from dataclasses import asdict
from pathlib import Path

from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from micropump.controller import WRONG_STATE
from micropump_host.cli.common import (
    add_port,
    add_yes,
    confirmed,
    connect,
    console,
    print_json,
    remarks,
    require_someone_to_ask,
)
from micropump_host.cli.keys import read_key
from micropump_host.client import LibraryInfo, Pump, PumpRefusedError
from micropump_host.errors import EXIT_DONE, EXIT_REFUSED, MicropumpError, UsageError
from micropump_host.library import Library, load_library
from micropump_host.library.image import build_image, open_image, read_image


def add_parsers(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``install`` and ``info`` to the commands of ``micropump library``."""
    parser = commands.add_parser("install", help="have a pump enforce a library")
    parser.add_argument(
        "library", type=Path, metavar="FOLDER|IMAGE", help="a source, which is signed, or an image"
    )
    parser.add_argument(
        "--key",
        type=Path,
        metavar="FILE",
        help="the pump's key, in hex: a source is signed with it, and an image's signature is"
        " looked at before it is sent",
    )
    add_port(parser)
    add_yes(parser, "install")
    parser.set_defaults(handler=install)
    parser = commands.add_parser("info", help="the library that a pump has")
    add_port(parser)
    parser.set_defaults(handler=info)


def info(args: argparse.Namespace) -> int:
    """``micropump library info``."""
    with connect(args) as pump:
        found = pump.library()
    return _show(args, found)


def install(args: argparse.Namespace) -> int:
    """``micropump library install``; returns 1 where it was not confirmed."""
    image, written = _image_of(args.library, args.key)
    require_someone_to_ask(args, "library install")
    with connect(args) as pump:
        before = pump.library()
        sha256 = hashlib.sha256(image).hexdigest()
        remarks.print(_comparison(before, written, len(image), sha256))
        if before.sha256 == sha256:
            remarks.print("This very library is installed already.")
            return _show(args, before)
        _remark_on_versions(before, written)
        if not args.yes and not confirmed("Install it?"):
            remarks.print("Not installed; the pump is as it was.")
            return EXIT_REFUSED
        _send(pump, image)
        after = pump.library()
    return _show(args, after)


def library_table(found: LibraryInfo) -> Table:
    """The drug library of a pump for a person."""
    table = Table(show_header=False, title="Drug library of the pump")
    if found.missing:
        table.add_row("library", f"[yellow]none in use: {escape(found.missing)}[/yellow]")
    else:
        table.add_row("library", escape(f"{found.library_name} ({found.library_id})"))
        table.add_row("version", str(found.version))
        table.add_row("drugs", str(found.drugs))
        table.add_row("size", f"{found.size_bytes:,} of {found.capacity_bytes:,} bytes")
        table.add_row("SHA-256", found.sha256)
    table.add_row("key", "the pump has one" if found.has_key else "[yellow]none[/yellow]")
    return table


def busy_or(error: PumpRefusedError) -> PumpRefusedError:
    """What a pump says to an installation while a program is loaded; else the error itself."""
    if error.code != WRONG_STATE:
        return error
    return PumpRefusedError(
        "a program is loaded, and the limits that it is held to are not changed",
        error.where,
        "Let it end, or stop it (`micropump stop`); then do this again.",
        error.code,
        error.field,
    )


def _image_of(path: Path, key_path: Path | None) -> tuple[bytes, Library]:
    """An image to be sent, and what it says; raises MicropumpError."""
    key = read_key(key_path) if key_path else None
    if path.is_dir():
        if key is None:
            raise UsageError(
                "no key was given", "--key", "Name the pump's key: a source is signed with it."
            )
        written = load_library(path)
        return build_image(written, key), written
    try:
        image = path.read_bytes()
    except OSError as error:
        raise MicropumpError(
            f"cannot read the library ({error.strerror})", str(path), "Check the path"
        ) from None
    open_image(image, key, str(path))
    return image, read_image(image, str(path))


def _comparison(before: LibraryInfo, written: Library, size_bytes: int, sha256: str) -> Table:
    """What is installed beside what shall be."""
    table = Table("", "installed", "to be installed")
    new = (
        f"{written.name} ({written.library_id})",
        str(written.version),
        str(len(written.drugs)),
        f"{size_bytes:,}",
        _halved(sha256),
    )
    old = (before.missing, "", "", "", "")
    if not before.missing:
        old = (
            f"{before.library_name} ({before.library_id})",
            str(before.version),
            str(before.drugs),
            f"{before.size_bytes:,}",
            _halved(before.sha256),
        )
    names = ("library", "version", "drugs", "bytes", "SHA-256")
    for row in zip(names, old, new, strict=True):
        table.add_row(*map(escape, row))
    return table


def _halved(sha256: str) -> str:
    """All 64 digits, in two lines, as two such columns are wider than a terminal."""
    return f"{sha256[:32]}\n{sha256[32:]}"


def _remark_on_versions(before: LibraryInfo, written: Library) -> None:
    if before.missing:
        return
    if before.library_id != written.library_id:
        remarks.print("[yellow]remark:[/yellow] it is another library, by its id")
    elif before.version == written.version:
        remarks.print("[yellow]remark:[/yellow] it has changed, and its version is the same")


def _send(pump: Pump, image: bytes) -> None:
    with Progress(console=remarks) as progress:
        task = progress.add_task("installing", total=len(image))
        try:
            pump.install_library(image, lambda sent: progress.update(task, completed=sent))
        except PumpRefusedError as error:
            raise busy_or(error) from None


def _show(args: argparse.Namespace, found: LibraryInfo) -> int:
    if args.json:
        print_json(asdict(found))
    else:
        console.print(library_table(found))
    return EXIT_DONE
