"""Firmware onto a board: an image by its boot drive, or files as ``.mpy`` by its serial line.

``load_flash_image``, ``find_drive`` and ``copy_image`` write a UF2; ``Upload`` writes files;
``await_pump`` and ``verify`` see by its hash that the board runs what was put there.
``docs/flash.md`` tells the rest.
"""

from micropump_host.flash.drive import (
    Drive,
    await_drive,
    await_gone,
    check_chip,
    copy_image,
    find_drive,
    found_drives,
)
from micropump_host.flash.errors import (
    BoardError,
    DriveError,
    FlashError,
    ImageMismatchError,
    NotVerifiedError,
    TherapyUnderWayError,
    ToolMissingError,
)
from micropump_host.flash.image import FlashImage, check_board, load_flash_image
from micropump_host.flash.modules import Modules, MpyKind, compile_firmware
from micropump_host.flash.prompt import Facts, Prompt
from micropump_host.flash.pump import (
    Waiting,
    await_pump,
    enter_maintenance,
    pico_ports,
    read_info,
    verify,
)
from micropump_host.flash.upload import Listeners, Upload, into_boot_loader, unload

__all__ = [
    "BoardError",
    "Drive",
    "DriveError",
    "Facts",
    "FlashError",
    "FlashImage",
    "ImageMismatchError",
    "Listeners",
    "Modules",
    "MpyKind",
    "NotVerifiedError",
    "Prompt",
    "TherapyUnderWayError",
    "ToolMissingError",
    "Upload",
    "Waiting",
    "await_drive",
    "await_gone",
    "await_pump",
    "check_board",
    "check_chip",
    "compile_firmware",
    "copy_image",
    "enter_maintenance",
    "find_drive",
    "found_drives",
    "into_boot_loader",
    "load_flash_image",
    "pico_ports",
    "read_info",
    "unload",
    "verify",
]
