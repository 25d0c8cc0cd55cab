"""The core with the board's numbers: 31-bit small ints and 32-bit floats, on this computer.

The port is what ``make unix31`` builds; without it these tests are skipped, unless
MICROPUMP_REQUIRE_UNIX31 is 1.
"""

import json
import os
import subprocess

import pytest
import support
import test_heap
import test_traces

from micropump_host.bench import ground
from micropump_host.image import unixport
from micropump_host.image.log import Log
from micropump_host.image.sources import Tree

OUT = support.REPO / "out" / "unix31"
PROGRAM = OUT / unixport.PROGRAM
REQUIRED = os.environ.get("MICROPUMP_REQUIRE_UNIX31") == "1"

needs_port = pytest.mark.usefixtures("port")
# The board has 32-bit words: its 240 KB are twice as much here. They hold the core too, which the
# board has in its flash; with 490 KB that is not read to its end, with 500 all goes well.
HEAP = "heapsize=560K"
STRIDE_MS = 10_000


@pytest.fixture(scope="session")
def port():
    if unixport.find_unix_port(OUT) is None:
        stop = pytest.fail if REQUIRED else pytest.skip
        stop("the port with 31-bit small ints is not built; build it with: make unix31")


class SmallIntGround(support.MicropythonGround):
    """The virtual pump on the port with the board's numbers and about the board's heap."""

    def __init__(self, kind, drive_id, start_ms):
        self._trace = []
        words = ["micropump_virtual/serve.py", ".", kind, drive_id, 1000, start_ms]
        self._process = subprocess.Popen(
            [PROGRAM, "-X", HEAP, *map(str, words)],
            cwd=support.FIRMWARE,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._at_ms = start_ms

    def advance(self, until_ms):
        # The trace of a minute does not fit into so small a heap.
        while self._at_ms < until_ms:
            self._at_ms = min(until_ms, self._at_ms + STRIDE_MS)
            super().advance(self._at_ms)


@needs_port
@pytest.mark.parametrize("order", test_traces.ORDERS, ids=[o.name for o in test_traces.ORDERS])
def test_the_step_trace_is_the_golden_one_with_the_boards_numbers(order):
    golden = (test_traces.GOLDEN / f"{order.name}.txt").read_text()
    assert test_traces.text_of(order, SmallIntGround) == golden


@needs_port
@pytest.mark.parametrize("check", [test_heap.check_mishaps, test_heap.check_reminders])
def test_sensors_and_reminders_do_with_the_boards_numbers(check, monkeypatch):
    monkeypatch.setattr(ground, "find_micropython", lambda: str(PROGRAM))
    check(test_heap.ground_of_the_port())


def in_the_port(source: str) -> str:
    done = subprocess.run(
        [PROGRAM, "-c", source], capture_output=True, text=True, timeout=20, check=False
    )
    return (done.stdout + done.stderr).strip()


LOCKED = "from micropython import heap_lock\nimport time\n{}\nheap_lock()\n{}\nprint('went')"


@needs_port
@pytest.mark.parametrize(
    ("before", "locked"),
    [
        ("x = (1 << 30) - 1", "x + 1"),
        ("x = -(1 << 30)", "x - 1"),
        ("x = 1 << 15", "x * x"),
        ("x = 1 << 15", "x << 15"),
        ("x = 0.5", "x + x"),
    ],
)
def test_what_the_board_allocates_is_allocated_here(before, locked):
    assert "MemoryError" in in_the_port(LOCKED.format(before, locked))


@needs_port
@pytest.mark.parametrize(
    ("before", "locked"),
    [
        ("x = (1 << 30) - 2", "x + 1"),
        ("x = 1 - (1 << 30)", "x - 1"),
        ("x = 1 << 15", "x * (x - 1)"),
        ("x = 1 << 14", "x << 15"),
        ("x = time.ticks_ms()", "x = time.ticks_add(x, 1000)"),
    ],
)
def test_what_the_board_does_not_allocate_is_not(before, locked):
    assert in_the_port(LOCKED.format(before, locked)) == "went"


@needs_port
def test_floats_have_24_bits_and_ticks_wrap_at_30():
    assert in_the_port("print(int(16777217.0))") == "16777216"
    assert in_the_port("import time; print(time.ticks_add((1 << 30) - 1, 1))") == "0"


@needs_port
def test_the_port_has_passed_its_own_check():
    unixport.check_numbers(PROGRAM)


def test_an_interpreter_with_this_computers_numbers_is_not_taken_for_the_boards():
    with pytest.raises(unixport.UnixPortError, match="its numbers are"):
        unixport.check_numbers(support.MICROPYTHON)


def test_what_is_no_interpreter_is_said(tmp_path):
    program = tmp_path / "micropython"
    program.write_text("#!/bin/sh\necho nothing of use\n")
    program.chmod(0o755)
    with pytest.raises(unixport.UnixPortError, match="does not run"):
        unixport.check_numbers(program)
    with pytest.raises(unixport.UnixPortError, match="does not run"):
        unixport.check_numbers(tmp_path / "absent")


def test_missing_tools_are_named_with_their_remedy(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    tree = Tree(tmp_path, "1.25.0", {})
    with pytest.raises(unixport.UnixPortError) as raised:
        unixport.build_unix_port(tree, tmp_path / "out", Log(tmp_path / "log"))
    assert raised.value.what == "missing: gcc, make, python3"
    assert "apt-get install" in raised.value.remedy


def test_a_folder_that_is_no_tree_is_said_on_the_command_line(tmp_path, capsys):
    words = ["--out", str(tmp_path / "out"), "--micropython", str(tmp_path)]
    assert unixport.main(words) == 1
    said = capsys.readouterr().err
    assert "no MicroPython tree" in said.replace("\n", " ")


@pytest.fixture
def fake_port(tmp_path):
    """A build that is there, of an interpreter that is a few bytes."""
    (tmp_path / unixport.PROGRAM).write_bytes(b"interpreter")
    digest = unixport._sha256(b"interpreter")
    port = unixport.UnixPort(tmp_path / unixport.PROGRAM, "1.25.0", {}, "of these", digest)
    (tmp_path / unixport._INFO).write_text(json.dumps(port.to_json()))
    return port


def test_a_finished_build_is_found_again_and_a_damaged_one_is_not(fake_port):
    folder = fake_port.program.parent
    assert unixport.find_unix_port(folder) == fake_port
    fake_port.program.write_bytes(b"interpreteR")
    assert unixport.find_unix_port(folder) is None
    fake_port.program.unlink()
    assert unixport.find_unix_port(folder) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"program": 1}'])
def test_a_damaged_note_beside_it_is_no_build(fake_port, text):
    (fake_port.program.parent / unixport._INFO).write_text(text)
    assert unixport.find_unix_port(fake_port.program.parent) is None
