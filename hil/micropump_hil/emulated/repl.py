"""MicroPython's raw REPL, spoken to an emulated Pico.

The protocol: https://docs.micropython.org/en/latest/reference/repl.html#raw-mode
"""

from typing import Protocol

from micropump_hil.emulated.errors import EmulatedProgramError

BANNER = b"raw REPL; CTRL-B to exit\r\n>"
END = b"\x04"
# A fresh line, whatever is running interrupted twice, raw mode.
ENTER = b"\r\x03\x03\x01"
LEAVE = b"\x02"
# Entering and starting are a matter of milliseconds wherever the REPL is listening at all.
PROMPT_TIMEOUT_MS = 500.0


class ReplLine(Protocol):
    """What the REPL is spoken over."""

    def write(self, data: bytes) -> None:
        """Send bytes."""

    def expect(self, marker: bytes, timeout_ms: float) -> bytes:
        """What comes up to and including ``marker``."""


def start(line: ReplLine, source: str) -> None:
    """Interrupt what runs and start a program; its output is yet to come."""
    line.write(ENTER)
    line.expect(BANNER, PROMPT_TIMEOUT_MS)
    line.write(source.encode() + END)
    # The source may be long: it is taken byte by byte.
    line.expect(b"OK", PROMPT_TIMEOUT_MS + len(source))


def finish(line: ReplLine, timeout_ms: float) -> str:
    """Wait for a started program to end; returns what it has printed.

    Raises:
        EmulatedTimeoutError: if it does not end within ``timeout_ms``.
        EmulatedProgramError: if it ends in an exception.

    """
    printed = _text(line.expect(END, timeout_ms))
    traceback = _text(line.expect(END, timeout_ms))
    if traceback:
        raise EmulatedProgramError(printed, traceback)
    return printed


def _text(data: bytes) -> str:
    return data.removesuffix(END).decode(errors="replace").replace("\r\n", "\n")
