"""A byte line to a pump: whatever pyserial can open, with its errors given their right names."""

import contextlib
import errno
import time
from typing import Protocol

import serial

from micropump_host.client.errors import PortAbsentError, PortBusyError, PumpGoneError

BAUD = 115_200

# How long pyserial waits at a time. It stays the same while a port is open: with RFC 2217 pyserial
# negotiates all settings anew for each change.
_POLL_S = 0.05

# What pyserial raises on a line that is gone: a TypeError where it reads from no descriptor, an
# error of the terminal where it drains or flushes one (there are none on Windows).
_BROKEN: tuple[type[Exception], ...] = (serial.SerialException, OSError, TypeError)
with contextlib.suppress(ImportError):
    import termios

    _BROKEN += (termios.error,)
# A name or URL that makes no sense is a ValueError.
_UNOPENED: tuple[type[Exception], ...] = (*_BROKEN, ValueError)


class Line(Protocol):
    """What the client needs of a line."""

    def write(self, data: bytes) -> None:
        """Send all of ``data``."""

    def read(self, timeout_s: float) -> bytes:
        """What has come, waiting up to ``timeout_s`` for the first byte."""

    def discard_input(self) -> None:
        """Forget what came before."""

    def close(self) -> None:
        """Close the line."""


class Port:
    """An open line; ``url`` is a device, a COM port, ``socket://host:port`` or ``rfc2217://…``.

    Raises PortAbsentError or PortBusyError when it cannot be opened, PumpGoneError when it breaks
    later.
    """

    def __init__(self, url: str, timeout_s: float) -> None:
        self.url = url
        # pyserial has no write timeout for RFC 2217, and refuses to open with one.
        write_timeout_s = None if url.lower().startswith("rfc2217:") else timeout_s
        try:
            self._serial = serial.serial_for_url(
                url,
                baudrate=BAUD,
                timeout=_POLL_S,
                write_timeout=write_timeout_s,
                do_not_open=True,
            )
        except (serial.SerialException, ValueError) as error:
            raise _opening_error(url, error) from None
        try:
            if "://" not in url:
                # Two programs on one port take each other's answers.
                self._serial.exclusive = True
            self._serial.open()
        except _UNOPENED as error:
            self.close()
            raise _opening_error(url, error) from None

    def write(self, data: bytes) -> None:
        """Send ``data``; PumpGoneError if the line is broken.

        What the other end does not take within the time-out is lost, as on the way: the answer
        stays out.
        """
        try:
            self._serial.write(data)
            self._serial.flush()
        except serial.SerialTimeoutException:
            # Not a break: pyserial raises it too where all was sent and only this program was held
            # up meanwhile.
            return
        except _BROKEN as error:
            raise self._gone(error) from None

    def read(self, timeout_s: float) -> bytes:
        """At least one byte if any comes within ``timeout_s``; raises PumpGoneError."""
        deadline_s = time.monotonic() + timeout_s
        try:
            data = self._serial.read(1)
            while not data and time.monotonic() < deadline_s:
                data = self._serial.read(1)
            if data and (waiting := self._serial.in_waiting):
                data += self._serial.read(waiting)
        except _BROKEN as error:
            raise self._gone(error) from None
        return bytes(data)

    def discard_input(self) -> None:
        """Forget what came before: answers to another program."""
        try:
            self._serial.reset_input_buffer()
        except _BROKEN as error:
            raise self._gone(error) from None

    def close(self) -> None:
        """Close the line; never fails."""
        # pyserial leaves its socket open where the other end was the first to close.
        connection = getattr(self._serial, "_socket", None)
        with contextlib.suppress(*_BROKEN):
            self._serial.close()
        if connection:
            connection.close()

    def _gone(self, error: Exception) -> PumpGoneError:
        return PumpGoneError(
            f"the connection broke ({error})",
            self.url,
            "The pump goes on by itself; reattach with `micropump status` on the same port.",
        )


def _opening_error(url: str, error: Exception) -> PortAbsentError | PortBusyError:
    text = str(error)
    number = getattr(error, "errno", None)
    if number in (errno.EBUSY, errno.EAGAIN, errno.EACCES) or "exclusively lock" in text:
        if number == errno.EACCES:
            return PortBusyError(
                "the port may not be opened by this user", url,
                "Join the group that owns it (often dialout), then log in again.",
            )  # fmt: skip
        return PortBusyError(
            "another program has the port open", url, "Close it there, or take another port."
        )
    return PortAbsentError(
        f"there is no such port ({text})",
        url,
        "Check the cable and the name; `micropump simulate` serves a virtual pump.",
    )
