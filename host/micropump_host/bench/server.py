"""Serves a virtual bench on a pseudo-terminal or a TCP port, at whatever speed is asked for."""

import contextlib
import os
import select
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import serial
from serial import rfc2217

from micropump_host.bench.world import VirtualBench
from micropump_host.errors import MicropumpError

try:
    import tty
except ImportError:
    # Windows has no pseudo-terminals; everything else works there.
    tty = None  # type: ignore[assignment]

# How long to look for bytes before time goes on, s.
LOOK_S = 0.005
# Virtual time in one go where it runs as fast as it can: short enough to answer at once.
FREE_STRIDE_MS = 10_000
REQUEST_MS = 1
READ_BYTES = 4096


class ServeError(MicropumpError):
    """The virtual pump cannot be served where it was asked for."""


class Endpoint(ABC):
    """Where hosts connect to.

    Attributes:
        name: what a host has to open.

    """

    name: str

    @abstractmethod
    def read(self, timeout_s: float) -> bytes:
        """Bytes from the host, waiting up to ``timeout_s``."""

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Bytes to the host; dropped where none is listening."""

    @abstractmethod
    def close(self) -> None:
        """Take it away again."""


class PtyEndpoint(Endpoint):
    """A pseudo-terminal, optionally with a symbolic link of a name that stays the same."""

    def __init__(self, link: Path | None = None) -> None:
        if tty is None:
            raise ServeError(
                "this computer has no pseudo-terminals", "simulate", "Add --tcp 127.0.0.1:5555."
            )
        if link is not None:
            _make_way(link)
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self._link = link
        self._device = self.name = os.ttyname(self._slave)
        if link is not None:
            link.symlink_to(self._device)
            self.name = str(link)

    def read(self, timeout_s: float) -> bytes:
        """Bytes from the host."""
        if select.select([self._master], [], [], timeout_s)[0]:
            with contextlib.suppress(BlockingIOError):
                return os.read(self._master, READ_BYTES)
        return b""

    def write(self, data: bytes) -> None:
        """Bytes to the host; what no host reads is dropped when the buffer is full."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._master, data)

    def close(self) -> None:
        """Hang up."""
        # Another virtual pump may have taken the name over.
        if self._link is not None and _leads_to(self._link) == self._device:
            self._link.unlink()
        os.close(self._slave)
        os.close(self._master)


def _make_way(link: Path) -> None:
    """Remove what an earlier virtual pump left at ``link``; ServeError if it is anything else."""
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        if _leads_to(link).startswith("/dev/"):
            link.unlink()
    except OSError as error:
        raise ServeError(
            f"cannot make the link ({error.strerror})", str(link), "Choose another name."
        ) from None
    if link.is_symlink() or link.exists():
        raise ServeError("something else is in the way", str(link), "Choose another name.")


def _leads_to(link: Path) -> str:
    return str(link.readlink()) if link.is_symlink() else ""


class TcpEndpoint(Endpoint):
    """A TCP port for one host at a time; a second one is turned away at once.

    Args:
        host: address to listen on.
        port: port to listen on; 0 takes any free one.
        with_rfc2217: speak RFC 2217 (a serial port over Telnet) instead of plain bytes.

    """

    def __init__(self, host: str, port: int, with_rfc2217: bool = False) -> None:
        scheme = "rfc2217" if with_rfc2217 else "socket"
        try:
            self._listener = socket.create_server((host, port))
        except OSError as error:
            raise ServeError(
                f"cannot listen there ({error.strerror})",
                f"{host}:{port}",
                "Choose another port; 0 takes any free one.",
            ) from None
        self._listener.setblocking(False)
        self._client: socket.socket | None = None
        self._with_rfc2217 = with_rfc2217
        self._manager: Any = None
        self.name = f"{scheme}://{host}:{self._listener.getsockname()[1]}"

    def read(self, timeout_s: float) -> bytes:
        """Bytes from the host that is connected."""
        watched = [self._listener] + ([self._client] if self._client else [])
        ready = select.select(watched, [], [], timeout_s)[0]
        if self._client is None or self._client not in ready:
            if self._listener in ready:
                self._accept()
            return b""
        # Whoever else is at the door waits: this host may just be saying goodbye.
        try:
            data = self._client.recv(READ_BYTES)
        except OSError:
            data = b""
        if not data:
            self._drop()
            return b""
        return b"".join(self._manager.filter(data)) if self._manager else data

    def write(self, data: bytes) -> None:
        """Bytes to the host that is connected, if any."""
        if self._manager:
            data = b"".join(self._manager.escape(data))
        self._send(data)

    def close(self) -> None:
        """Hang up and stop listening."""
        self._drop()
        self._listener.close()

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        if self._client is not None:
            client.close()
            return
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._client = client
        if self._with_rfc2217:
            # The manager sets baud rate and the like on some port: one that goes nowhere.
            nowhere = serial.serial_for_url("loop://", timeout=0)
            self._manager = rfc2217.PortManager(nowhere, _Writer(self._send))  # type: ignore[arg-type]

    def _send(self, data: bytes) -> None:
        if self._client is not None:
            try:
                # A host that does not read loses what does not fit; it must not hold up the pump.
                self._client.send(data)
            except BlockingIOError:
                pass
            except OSError:
                self._drop()

    def _drop(self) -> None:
        if self._client is not None:
            self._client.close()
        self._client = None
        self._manager = None


class _Writer:
    """What pyserial's RFC 2217 manager answers negotiations through."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self.write = write


def serve(
    bench: VirtualBench, endpoint: Endpoint, speed: float, should_stop: Callable[[], bool]
) -> None:
    """Serve ``bench`` until ``should_stop``.

    Args:
        bench: what to serve.
        endpoint: where.
        speed: virtual seconds per second; 0 is as fast as it goes while the pump infuses, and
            time standing still, but for requests, while it does not.
        should_stop: asked several times a second.

    """
    began_s = time.monotonic()
    began_ms = bench.now_ms
    late = False
    while not should_stop():
        racing = not speed and bench.infusing
        data = endpoint.read(0 if racing or late else LOOK_S)
        if speed:
            wanted_ms = began_ms + int((time.monotonic() - began_s) * 1000 * speed)
            target_ms = min(wanted_ms, bench.now_ms + FREE_STRIDE_MS)
            # Time that this computer cannot keep up with is lost; made up for, it would grow.
            late = target_ms < wanted_ms
            began_ms -= wanted_ms - target_ms
        elif racing:
            target_ms = bench.now_ms + FREE_STRIDE_MS
        else:
            target_ms = bench.now_ms + (REQUEST_MS if data else 0)
        said = b""
        if data:
            # Answer first: time must not run away between a request and its effect.
            at_ms = target_ms if speed else bench.now_ms + REQUEST_MS
            said += bench.receive(at_ms, data)
        said += bench.advance(target_ms)
        if said:
            endpoint.write(said)
