"""The drive that a Pico in its boot loader shows: found, checked, written, seen to go away.

The boot loader has the file ``INFO_UF2.TXT`` on its drive, with a line ``Board-ID``. It starts the
board anew as soon as it has the last block, so the drive goes away by itself: RP2040 Datasheet,
section 2.8.4 (USB mass storage interface); RP2350 Datasheet, section 5.5.
"""

import errno
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from micropump_host.flash.errors import DriveError, ImageMismatchError
from micropump_host.flash.image import FlashImage

INFO_FILE = "INFO_UF2.TXT"
BOARD_ID_CHIPS = {"RPI-RP2": "rp2040", "RP2350": "rp2350"}
# Where systems mount a drive: Linux desktops, macOS, by hand.
MOUNTS = ("/media/*", "/media/*/*", "/run/media/*/*", "/Volumes/*", "/mnt/*")
# Pushed through to the drive piece by piece, so that progress is true and unplugging is noticed.
PIECE_BYTES = 64 * 1024
POLL_S = 0.1

_HOW = (
    "Hold the board's BOOTSEL button while you plug it in, and wait until the drive is mounted; or"
    " name the pump's --port or the --drive"
)


@dataclass(frozen=True)
class Drive:
    """A mounted boot drive.

    Attributes:
        path: where it is mounted.
        board_id: as the boot loader tells it, for example ``"RPI-RP2"``.

    """

    path: Path
    board_id: str

    @property
    def chip(self) -> str:
        """``"rp2040"``, ``"rp2350"``, or ``""`` for what is no Pico."""
        return BOARD_ID_CHIPS.get(self.board_id, "")

    @property
    def present(self) -> bool:
        """Whether it is still there."""
        return _read_info(self.path) is not None


def found_drives() -> list[Drive]:
    """The boot drives of Picos that are mounted at the usual places, sorted by their paths."""
    paths = {path for mount in MOUNTS for path in Path("/").glob(mount.lstrip("/"))}
    drives = [drive for path in sorted(paths) if (drive := _drive(path)) is not None]
    return [drive for drive in drives if drive.chip]


def find_drive(given: Path | None = None) -> Drive:
    """The one boot drive to write to.

    Args:
        given: where it is mounted; looked for at the usual places when None.

    Raises:
        DriveError: if there is none, there are several, or the one given is no Pico's.

    """
    if given is not None:
        return _given_drive(given)
    drives = found_drives()
    if not drives:
        raise DriveError("no board in its boot loader was found", "", _HOW)
    if len(drives) > 1:
        names = ", ".join(f"{drive.path} ({drive.board_id})" for drive in drives)
        raise DriveError("several boards are in their boot loader", names, "Name one with --drive")
    return drives[0]


def await_drive(given: Path | None, timeout_s: float, poll_s: float = POLL_S) -> Drive:
    """The boot drive, as soon as it is mounted.

    Args:
        given: where it will be mounted; looked for at the usual places when None.
        timeout_s: how long to wait for it.
        poll_s: how often to look.

    Raises:
        DriveError: if it is not there by then, or as ``find_drive`` does.

    """
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        if given is not None and _drive(given) is not None:
            break
        if given is None and found_drives():
            break
        time.sleep(poll_s)
    return find_drive(given)


def check_chip(image: FlashImage, drive: Drive) -> None:
    """Refuse an image for another chip than the one that shows the drive.

    Raises:
        ImageMismatchError: if the two differ.

    """
    if image.chip != drive.chip:
        what = f"the image is for an {image.chip.upper()} and the board has an {drive.chip.upper()}"
        remedy = "Build the image for this board: micropump image --board"
        raise ImageMismatchError(what, str(drive.path), remedy)


def copy_image(
    image: FlashImage, drive: Drive, on_bytes: Callable[[int], None] = lambda _count: None
) -> None:
    """Write an image to a boot drive.

    An error at the very last piece is none: the board starts anew as soon as it has it, and
    whether it had is found out from the board itself.

    Args:
        image: to be written.
        drive: where to.
        on_bytes: called with the number of bytes that are written, after each piece.

    Raises:
        ImageMismatchError: if the image is for another chip; nothing is written then.
        DriveError: if there is no room, the drive goes away in the middle, or refuses.

    """
    check_chip(image, drive)
    size_bytes = len(image.data)
    written_bytes = 0
    try:
        if shutil.disk_usage(drive.path).free < size_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with (drive.path / image.path.name).open("wb", buffering=0) as file:
            while written_bytes < size_bytes:
                piece = image.data[written_bytes : written_bytes + PIECE_BYTES]
                written_bytes += file.write(piece)
                os.fsync(file.fileno())
                if written_bytes < size_bytes and not drive.present:
                    raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
                on_bytes(written_bytes)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            what = f"the drive has no room for the image of {size_bytes:,} bytes"
            remedy = "A boot drive always has: plug the board out and in again, or check --drive"
            raise DriveError(what, str(drive.path), remedy) from None
        if written_bytes < size_bytes:
            raise _interrupted(drive, error, written_bytes, size_bytes) from None


def await_gone(drive: Drive, timeout_s: float, poll_s: float = POLL_S) -> None:
    """Wait until a drive is no longer there: the board has taken the image and starts anew.

    Args:
        drive: that was written to.
        timeout_s: how long to wait.
        poll_s: how often to look.

    Raises:
        DriveError: if it is still there by then.

    """
    deadline_s = time.monotonic() + timeout_s
    while drive.present:
        if time.monotonic() >= deadline_s:
            what = (
                f"the board has not taken the image: its drive is still there after {timeout_s:g} s"
            )
            remedy = "Plug the board out and in again with its button held, and try again"
            raise DriveError(what, str(drive.path), remedy)
        time.sleep(poll_s)


def _given_drive(given: Path) -> Drive:
    drive = _drive(given)
    if drive is None:
        what = f"this is no boot drive: it has no {INFO_FILE}"
        raise DriveError(what, str(given), _HOW)
    if not drive.chip:
        what = f'this is the boot drive of a "{drive.board_id}", which is no Pico'
        raise DriveError(what, str(given), "Plug in a Pico, or name its --drive")
    return drive


def _drive(path: Path) -> Drive | None:
    info = _read_info(path)
    if info is None:
        return None
    lines = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    return Drive(path, lines.get("Board-ID", "").strip())


def _read_info(path: Path) -> str | None:
    try:
        return (path / INFO_FILE).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def _interrupted(drive: Drive, error: OSError, written_bytes: int, size_bytes: int) -> DriveError:
    done = f"after {written_bytes:,} of {size_bytes:,} bytes"
    if drive.present:
        what = f"the drive cannot be written ({error.strerror}) {done}"
        return DriveError(what, str(drive.path), "Plug the board out and in again, and try again")
    what = f"the board was unplugged while it was flashed, {done}"
    remedy = (
        "It has no whole firmware now, and its boot loader cannot be damaged: hold BOOTSEL, plug it"
        " in, and flash again"
    )
    return DriveError(what, str(drive.path), remedy)
