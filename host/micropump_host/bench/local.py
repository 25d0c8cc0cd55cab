"""A line to a virtual bench in this process: the ordinary client, without a port.

Time stands still between requests; ``advance`` on the bench moves it.
"""

from micropump_host.bench.world import VirtualBench

# Every request takes a moment, so that two of them are never at the same time.
REQUEST_MS = 1


class LocalLine:
    """What the client writes goes straight to the bench; ``Pump(…, open_port=lambda *_: line)``."""

    def __init__(self, bench: VirtualBench) -> None:
        self._bench = bench
        self._answers = b""

    def write(self, data: bytes) -> None:
        """Hand ``data`` to the pump."""
        self._answers += self._bench.receive(self._bench.now_ms + REQUEST_MS, data)

    def read(self, timeout_s: float) -> bytes:
        """What the pump has said; never waits."""
        answers, self._answers = self._answers, b""
        return answers

    def discard_input(self) -> None:
        """Forget what the pump has said."""
        self._answers = b""

    def close(self) -> None:
        """Nothing to close."""
