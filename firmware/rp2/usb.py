"""The USB serial line: bytes in, and one queue of bytes out that never blocks.

A host that is connected but does not read would hold up a write for half a second; so a byte is
only written when the line says that it takes one.
"""

import select
import sys

# Telemetry waits until there is room; a queue that grows beyond this has no reader, and is dropped.
GREATEST_QUEUE = 1024
BYTES_PER_PUMP = 64


class UsbLine:
    """The board's serial line over USB."""

    def __init__(self) -> None:
        self._in = sys.stdin.buffer
        self._out = sys.stdout.buffer
        self._readable = select.poll()
        self._readable.register(sys.stdin, select.POLLIN)
        self._writable = select.poll()
        self._writable.register(sys.stdout, select.POLLOUT)
        self._byte = bytearray(1)
        self._queue = bytearray()

    def read(self, wait_ms: int) -> bytearray:
        """What has come, up to ``BYTES_PER_PUMP``, waiting ``wait_ms`` for the first byte."""
        got = bytearray()
        while len(got) < BYTES_PER_PUMP and self._readable.poll(0 if got else wait_ms):
            # read(n) would wait for all n bytes.
            self._in.readinto(self._byte)
            got.append(self._byte[0])
        return got

    def send(self, data: bytes) -> None:
        """Queue ``data``; what finds no room is dropped whole."""
        if len(self._queue) + len(data) <= GREATEST_QUEUE:
            self._queue.extend(data)

    def waiting(self) -> bool:
        """Whether there is still something to write."""
        return bool(self._queue)

    def flush(self) -> None:
        """Write what the line takes at once, up to ``BYTES_PER_PUMP``."""
        sent = 0
        while sent < len(self._queue) and sent < BYTES_PER_PUMP and self._writable.poll(0):
            self._byte[0] = self._queue[sent]
            self._out.write(self._byte)
            sent += 1
        if sent:
            self._queue = self._queue[sent:]
