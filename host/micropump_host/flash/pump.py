"""The pump before and after: asked what it is, led into maintenance, awaited, and verified."""

import time
from dataclasses import dataclass

import serial.tools.list_ports

from micropump import controller
from micropump_host.client import (
    Info,
    NotAPumpError,
    PortAbsentError,
    PortBusyError,
    Pump,
    PumpGoneError,
    PumpRefusedError,
)
from micropump_host.flash.errors import NotVerifiedError, TherapyUnderWayError

# USB vendor id of Raspberry Pi, under which MicroPython's USB serial line runs on a Pico:
# github.com/raspberrypi/usb-pid.
RASPBERRY_PI_VID = 0x2E8A
POLL_S = 0.2


@dataclass(frozen=True)
class Waiting:
    """How long to wait for a board that starts anew.

    Attributes:
        board_s: until it is there again, s.
        answer_s: for an answer before it is asked again, s.

    """

    board_s: float = 15.0
    answer_s: float = 1.0


def pico_ports() -> set[str]:
    """The ports of this computer that are a Pico's USB serial line."""
    return {
        port.device for port in serial.tools.list_ports.comports() if port.vid == RASPBERRY_PI_VID
    }


def read_info(port: str, waiting: Waiting) -> Info:
    """What the pump at a port is; raises the client's errors."""
    with Pump(port, timeout_s=waiting.answer_s) as pump:
        return pump.info


def enter_maintenance(port: str, waiting: Waiting) -> None:
    """Have the pump restart with the motor off, at the interpreter's prompt.

    Args:
        port: of the pump.
        waiting: how long to wait for its answer.

    Raises:
        TherapyUnderWayError: if a therapy is under way or in alarm: nothing has changed then.
        PumpRefusedError: if it cannot restart, as a simulated pump.

    """
    with Pump(port, timeout_s=waiting.answer_s) as pump:
        try:
            pump.restart(into_maintenance=True)
        except PumpRefusedError as error:
            if error.code != controller.WRONG_STATE:
                raise
            what = f"a therapy is under way: the pump is {pump.status().state} and is not flashed"
            remedy = "Let it come to its end, or end it (micropump stop), then try again"
            raise TherapyUnderWayError(what, port, remedy) from None


def await_pump(port: str | None, before: set[str], waiting: Waiting) -> tuple[str, Info]:
    """The pump that comes up after flashing: its port, and what it says of itself.

    Args:
        port: where it will be; a port that has newly appeared when None.
        before: the Picos' ports that were there before, and are not it.
        waiting: how long to wait for it.

    Raises:
        NotVerifiedError: if none comes up, or several appear at once.

    """
    deadline_s = time.monotonic() + waiting.board_s
    said = "no port of a board has appeared"
    while True:
        ports = {port} if port else pico_ports() - before
        if len(ports) > 1:
            names = ", ".join(sorted(ports))
            what = "the image is on the board, but several boards have appeared"
            raise NotVerifiedError(what, names, "Look at each: micropump info --port")
        for name in ports:
            try:
                return name, read_info(name, waiting)
            except (PortAbsentError, PortBusyError, NotAPumpError, PumpGoneError) as error:
                said = error.what
        if time.monotonic() >= deadline_s:
            what = (
                f"the board was flashed, but no pump has come up to verify it by its hash ({said})"
            )
            remedy = "Plug it out and in, then compare: micropump info; else flash it again"
            raise NotVerifiedError(what, port or "", remedy)
        time.sleep(POLL_S)


def verify(info: Info, content_sha256: str, port: str) -> None:
    """See that what runs on the board is what was put there.

    Args:
        info: as the board tells it after flashing.
        content_sha256: hash of what was put there, in hexadecimal.
        port: of the board.

    Raises:
        NotVerifiedError: if the hash that the board tells is another one, or it tells none.

    """
    if info.content and content_sha256.startswith(info.content):
        return
    told = f"runs the content {info.content}" if info.content else "tells no hash"
    digits = max(len(info.content), 16)
    what = f"the board {told}, not the {content_sha256[:digits]} that was put there"
    remedy = (
        "Files on the board's own file system come before those of an image: micropump flash"
        " --unload removes them; else flash it again"
    )
    raise NotVerifiedError(what, port, remedy)
