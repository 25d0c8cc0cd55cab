"""A virtual pump on a pty, and the command line at it, both in this process."""

import contextlib
import io
import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from micropump.mechanism import KIND_PERISTALTIC, KIND_SYRINGE
from micropump_host.bench import default_bench
from micropump_host.bench.ground import build_ground
from micropump_host.bench.record import ListRecorder
from micropump_host.bench.server import Endpoint, PtyEndpoint, serve
from micropump_host.bench.world import VirtualBench
from micropump_host.cli import main
from micropump_host.cli.common import console, remarks
from micropump_host.client import Pump

# Only there to end a test that hangs.
GENEROUS_S = 60.0
MAX = 0.0
REAL_TIME = 1.0
_FITTED = {
    "syringe": (KIND_SYRINGE, "t8-2mm-16"),
    "peristaltic": (KIND_PERISTALTIC, "direct-16"),
}


class Terminal(io.StringIO):
    """Standard input with somebody at it."""

    def isatty(self) -> bool:
        return True


@dataclass
class Said:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


class Bench:
    """A pump and its commands.

    Attributes:
        port: where the pump is.

    """

    def __init__(self, port: str, capsys, monkeypatch) -> None:
        self.port = port
        self._capsys = capsys
        self._monkeypatch = monkeypatch
        # Wherever the tests run, no table is cut into lines.
        for each in (console, remarks):
            monkeypatch.setattr(each, "width", 200)

    def run(self, *words, typed: str | None = None) -> Said:
        """A command at this pump; ``typed`` is what somebody answers, None is nobody there."""
        stdin = io.StringIO("") if typed is None else Terminal(typed)
        self._monkeypatch.setattr(sys, "stdin", stdin)
        self._capsys.readouterr()
        try:
            code = main([*map(str, words), "--port", self.port])
        except SystemExit as left:
            code = left.code
        return Said(code, *self._capsys.readouterr())

    def status(self) -> dict:
        return self.run("status", "--json").json

    def library(self) -> dict:
        return self.run("library", "info", "--json").json

    def events(self, name: str) -> list[str]:
        """The texts of the log's entries of a name."""
        events = self.run("log", "--json").json["events"]
        return [event["text"] for event in events if event["name"] == name]

    def pump(self) -> Pump:
        """The client, which has the port until it is closed."""
        return Pump(self.port)


@contextlib.contextmanager
def serving(
    endpoint: Endpoint | None = None, speed: float = MAX, kind: str = "syringe"
) -> Iterator[tuple[VirtualBench, str]]:
    """A virtual pump in a thread, which needs no process; gives the bench and the port."""
    endpoint = endpoint or PtyEndpoint()
    number, drive_id = _FITTED[kind]
    core = build_ground("cpython", number, drive_id, round(speed * 1000))
    bench = VirtualBench(core, number, drive_id, default_bench(kind), ListRecorder())
    stopping = threading.Event()
    arguments = (bench, endpoint, speed, stopping.is_set)
    thread = threading.Thread(target=serve, args=arguments, daemon=True)
    thread.start()
    try:
        yield bench, endpoint.name
    finally:
        stopping.set()
        thread.join(GENEROUS_S)
        bench.close()
        endpoint.close()


@contextlib.contextmanager
def served(capsys, monkeypatch, speed: float = MAX, kind: str = "syringe") -> Iterator[Bench]:
    """A virtual pump, and the command line at it."""
    monkeypatch.setenv("COLUMNS", "200")
    with serving(speed=speed, kind=kind) as (_, port):
        yield Bench(port, capsys, monkeypatch)


def flat(text: str) -> str:
    """Text as it was before the terminal's width cut it into lines."""
    return " ".join(text.split())


def assert_explained(said: Said, code: int, *fragments) -> None:
    """What, where and what to do are on stderr, and the exit code is right."""
    assert said.code == code, said.err
    error = said.err[said.err.index("micropump: ") :]
    assert "\n  where: " in error
    assert "\n  what to do: " in error
    assert "Traceback" not in error
    for fragment in fragments:
        assert str(fragment) in error, error
