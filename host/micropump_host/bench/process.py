"""A virtual pump in a process of its own, for whoever wants a real port and a real client."""

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from micropump_host.errors import MicropumpError


@contextlib.contextmanager
def virtual_pump(
    kind: str = "syringe",
    ground: str = "micropython",
    speed: str = "max",
    record: Path | None = None,
) -> Iterator[str]:
    """Serve a virtual pump on a pseudo-terminal and give its name.

    Args:
        kind: "syringe" or "peristaltic".
        ground: what runs the firmware's core, "cpython" or "micropython".
        speed: virtual seconds in a second, or "max".
        record: folder for the balance's readings.

    Raises:
        MicropumpError: if the pump does not start; its remedy is what it said.

    """
    words = ["simulate", "--kind", kind, "--ground", ground, "--speed", speed]
    if record is not None:
        words += ["--record", str(record)]
    process = subprocess.Popen(
        [sys.executable, "-m", "micropump_host.cli", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        if not port:
            raise MicropumpError("the virtual pump did not start", "", process.communicate()[1])
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate()
