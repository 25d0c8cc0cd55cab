"""Serves a virtual bench on a pseudo-terminal or a TCP port, at whatever speed is asked for."""

import contextlib
import os
import select
import socket
import time
import tty
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import serial
from serial import rfc2217

from micropump_host.bench.world import VirtualBench
from micropump_host.errors import MicropumpError

# How long to look for bytes before time goes on, s.
LOOK_S = 0.005
# Virtual time in one go when it runs as fast as it can: short enough to answer at once.
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
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self._link = link
        self.name = os.ttyname(self._slave)
        if link is not None:
            if link.exists() and not link.is_symlink():
                raise ServeError("a file is in the way", str(link), "Choose another name.")
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(self.name)
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
        if self._link is not None:
            self._link.unlink(missing_ok=True)
        os.close(self._slave)
        os.close(self._master)


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
        if self._listener in ready:
            self._accept()
        if self._client is None or self._client not in ready:
            return b""
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
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._client = client
        if self._with_rfc2217:
            # The manager sets baud rate and the like on some port: one that goes nowhere.
            nowhere = serial.serial_for_url("loop://", timeout=0)
            self._manager = rfc2217.PortManager(nowhere, _Writer(self._send))  # type: ignore[arg-type]

    def _send(self, data: bytes) -> None:
        if self._client is not None:
            try:
                self._client.sendall(data)
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
    while not should_stop():
        racing = not speed and bench.infusing
        data = endpoint.read(0 if racing else LOOK_S)
        if speed:
            target_ms = began_ms + int((time.monotonic() - began_s) * 1000 * speed)
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
