"""An emulated Pico on a port: the ordinary client, a terminal and mpremote connect as to a board.

The loop is that of ``micropump_host.bench.server``, with a Pico in the place of the virtual bench.
"""

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from micropump_hil.emulated.pico import EmulatedPico
from micropump_host.bench.server import LOOK_S, Endpoint, PtyEndpoint

# Emulated time in one go: short enough to answer at once, on a slow machine as well.
STRIDE_MS = 5.0
# What a host that does not read may leave behind before the oldest is dropped.
MOST_UNREAD_BYTES = 1 << 18
# What is taken from a host that sends faster than the device reads.
MOST_UNSENT_BYTES = 4096


class LosslessPty(PtyEndpoint):
    """A pseudo-terminal that keeps what its buffer does not take: a file copy must be complete."""

    def __init__(self, link: Path | None = None) -> None:
        super().__init__(link)
        self._unread = bytearray()

    def read(self, timeout_s: float) -> bytes:
        """Bytes from the host, waiting up to ``timeout_s``."""
        self._flush()
        return super().read(timeout_s)

    def write(self, data: bytes) -> None:
        """Bytes to the host, in order and complete as long as it reads."""
        self._unread += data
        self._flush()
        del self._unread[:-MOST_UNREAD_BYTES]

    def _flush(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._unread:
                del self._unread[: os.write(self._master, self._unread)]


def serve(
    pico: EmulatedPico, endpoint: Endpoint, speed: float, should_stop: Callable[[], bool]
) -> None:
    """Serve a Pico that has been booted until ``should_stop``.

    Args:
        pico: what to serve.
        endpoint: where.
        speed: emulated seconds per second at most; 0 is as fast as it goes. Time that this computer
            cannot keep up with is lost, not made up for.
        should_stop: asked many times a second.

    Raises:
        PowerLostError: if the power is cut.

    """
    stride_ns = round(STRIDE_MS * 1e6)
    began_s, began_ns = time.monotonic(), pico.now_ns
    ahead = True
    while not should_stop():
        can_take = pico.usb.unsent < MOST_UNSENT_BYTES
        data = endpoint.read(LOOK_S if ahead else 0) if can_take else b""
        if data:
            pico.write(data)
        target_ns = pico.now_ns + stride_ns
        if speed:
            wanted_ns = began_ns + int((time.monotonic() - began_s) * 1e9 * speed)
            ahead = wanted_ns <= target_ns
            target_ns = min(target_ns, wanted_ns)
            began_ns -= max(0, wanted_ns - target_ns - stride_ns)
        else:
            ahead = False
        pico.run_until_ns(target_ns)
        if said := pico.read():
            endpoint.write(said)
