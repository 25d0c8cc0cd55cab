"""The virtual bench served on a pseudo-terminal and on TCP, with the real client at the other end.

Nothing here looks at a clock to judge: the time-outs are only there to end a test that hangs.
"""

import contextlib
import gc
import itertools
import os
import socket
import threading
import time
from pathlib import Path

import pytest
from serial.serialutil import Timeout

from micropump.mechanism import KIND_SYRINGE
from micropump_host.bench import default_bench
from micropump_host.bench.ground import build_ground
from micropump_host.bench.record import ListRecorder
from micropump_host.bench.server import (
    FREE_STRIDE_MS,
    PtyEndpoint,
    ServeError,
    TcpEndpoint,
    serve,
)
from micropump_host.bench.world import VirtualBench
from micropump_host.client import PortAbsentError, PortBusyError, Pump, PumpGoneError
from micropump_host.client.port import Port

# pyserial's RFC 2217 still calls Thread.setDaemon, and its socket is not closed where the other end
# has closed first.
pytestmark = [
    pytest.mark.filterwarnings("ignore:set(Daemon|Name).* is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

SYRINGE = "bd-plastipak-50"
GENEROUS_S = 60.0
MAX = 0.0


def build_bench(ground="cpython", speed=1.0):
    core = build_ground(ground, KIND_SYRINGE, "t8-2mm-16", round(speed * 1000))
    return VirtualBench(core, KIND_SYRINGE, "t8-2mm-16", default_bench("syringe"), ListRecorder())


def tcp():
    return TcpEndpoint("127.0.0.1", 0)


def rfc2217():
    return TcpEndpoint("127.0.0.1", 0, with_rfc2217=True)


ENDPOINTS = {"pty": PtyEndpoint, "tcp": tcp, "rfc2217": rfc2217}


@contextlib.contextmanager
def serving(endpoint, speed=1.0, ground="cpython"):
    """The bench behind ``endpoint``, served by a thread until the block ends."""
    bench = build_bench(ground, speed)
    stopping = threading.Event()
    arguments = (bench, endpoint, speed, stopping.is_set)
    thread = threading.Thread(target=serve, args=arguments, daemon=True)
    thread.start()
    try:
        yield bench
    finally:
        stopping.set()
        thread.join(GENEROUS_S)
        hung = thread.is_alive()
        if not hung:
            bench.close()
            endpoint.close()
        assert not hung, "the server hangs"


def wait_until(is_so):
    end_s = time.monotonic() + GENEROUS_S
    while not is_so():
        assert time.monotonic() < end_s, "it never came to pass"
        time.sleep(0.005)


def load(pump, rate_ul_h, vtbi_ul, content_ul=50_000):
    accepted = pump.program(KIND_SYRINGE, SYRINGE, content_ul, vtbi_ul, rate_ul_h)
    pump.start(accepted.program_id)


@pytest.mark.parametrize(
    ("name", "speed"),
    [("pty", 1.0), ("pty", 50.0), ("pty", MAX), ("tcp", 50.0), ("tcp", MAX), ("rfc2217", 50.0)],
)
def test_whole_session(name, speed):
    endpoint = ENDPOINTS[name]()
    # 0.1 mL, the least there is, at the greatest rate take 0.3 s.
    rate_ul_h, vtbi_ul = (1_200_000, 100) if speed == 1.0 else (240_000, 1_000)
    with serving(endpoint, speed), Pump(endpoint.name) as pump:
        assert pump.info.time_factor == speed
        assert pump.status().state == "idle"
        load(pump, rate_ul_h, vtbi_ul)
        wait_until(lambda: pump.status().state == "kvo")
        status = pump.status()
        assert status.infused_steps == status.target_steps > 0
        assert pump.stop() == "stopped"
        names = [event.name for event in pump.events()]
        expected = ["booted", "host connected", "programmed", "started", "VTBI reached, KVO"]
        assert names == [*expected, "alarm raised", "stopped"]


def test_session_with_micropython_behind_the_port():
    endpoint = PtyEndpoint()
    with serving(endpoint, MAX, "micropython"), Pump(endpoint.name) as pump:
        assert pump.info.ground == "micropython"
        load(pump, 60_000, 1_000)
        wait_until(lambda: pump.status().state == "kvo")
        assert pump.stop() == "stopped"


@pytest.mark.parametrize("name", ENDPOINTS)
def test_hosts_come_and_go_one_after_the_other(name):
    endpoint = ENDPOINTS[name]()
    with serving(endpoint):
        with Pump(endpoint.name) as pump:
            load(pump, 5_000, 10_000)
        with Pump(endpoint.name) as pump:
            assert pump.status().state == "infusing"
        with Pump(endpoint.name) as pump:
            names = [event.name for event in pump.events()]
            assert names.count("host connected") == 3


@pytest.mark.parametrize("name", ["tcp", "rfc2217"])
def test_second_host_on_tcp_is_turned_away_and_the_first_stays(name):
    endpoint = ENDPOINTS[name]()
    with serving(endpoint), Pump(endpoint.name) as first:
        with pytest.raises((PumpGoneError, PortAbsentError, PortBusyError)) as caught:
            Pump(endpoint.name, timeout_s=0.2)
        assert caught.value.where == endpoint.name
        # pyserial's half-closed socket goes here, under this test's filter.
        del caught
        gc.collect()
        assert first.status().state == "idle"


def test_second_host_on_a_pty_is_told_that_it_is_busy():
    endpoint = PtyEndpoint()
    with serving(endpoint), Pump(endpoint.name) as first:
        with pytest.raises(PortBusyError, match="another program"):
            Pump(endpoint.name)
        assert first.status().state == "idle"


@pytest.mark.parametrize("kind", ["socket", "rfc2217"])
def test_port_where_nobody_listens_is_absent(kind):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(PortAbsentError):
        Pump(f"{kind}://127.0.0.1:{port}")


def test_bytes_of_no_frame_disturb_nothing():
    endpoint = tcp()
    with serving(endpoint):
        address = endpoint.name.removeprefix("socket://").split(":")
        with socket.create_connection((address[0], int(address[1]))) as noisy:
            noisy.sendall(bytes(range(256)) * 20)
            # Every damaged frame is answered; the last bytes are not a whole one.
            assert noisy.recv(10)
        with Pump(endpoint.name) as pump:
            assert pump.status().state == "idle"


# -- time ----------------------------------------------------------------------------------------


def test_time_as_fast_as_it_goes_stands_still_while_the_pump_is_not_infusing():
    endpoint = PtyEndpoint()
    with serving(endpoint, MAX) as bench, Pump(endpoint.name) as pump:
        before_ms = bench.now_ms
        for _ in range(10):
            pump.status()
        assert bench.now_ms - before_ms == 10
        load(pump, 5_000, 10_000)
        wait_until(lambda: pump.status().uptime_s > 1_000)
        pump.pause()
        paused_ms = bench.now_ms
        for _ in range(10):
            pump.status()
        assert bench.now_ms - paused_ms == 10


def test_request_takes_effect_at_once_however_fast_time_goes():
    endpoint = PtyEndpoint()
    with serving(endpoint, MAX) as bench, Pump(endpoint.name) as pump:
        load(pump, 10, 10_000)
        for _ in range(5):
            at_ms = round(pump.status().uptime_s * 1000)
            # Time goes by leaps of 10 s from the start; a request comes a millisecond after one.
            assert (at_ms - bench.started_ms) % FREE_STRIDE_MS == 1


def test_real_time_goes_on_while_nobody_is_connected():
    endpoint = tcp()
    with serving(endpoint, 500.0) as bench:
        with Pump(endpoint.name) as pump:
            load(pump, 60_000, 1_000)
        at_ms = bench.now_ms
        wait_until(lambda: bench.now_ms > at_ms + 65_000)
        with Pump(endpoint.name) as pump:
            assert pump.status().state == "kvo"


def test_speed_beyond_this_computer_still_answers():
    endpoint = PtyEndpoint()
    with serving(endpoint, 1e6), Pump(endpoint.name) as pump:
        load(pump, 1_000, 50_000)
        # Time made up for would grow without end: ever more to do before the next answer.
        for _ in range(20):
            assert pump.status().state in ("infusing", "kvo", "completed")
            time.sleep(0.01)


def test_program_that_is_held_up_while_it_writes_still_gets_its_answer(monkeypatch):
    looks = itertools.count()
    endpoint = PtyEndpoint()
    with serving(endpoint), Pump(endpoint.name) as pump:
        # Two seconds between any two looks of pyserial at its clock: more than its time-out.
        monkeypatch.setattr(Timeout, "TIME", staticmethod(lambda: 2.0 * next(looks)))
        assert pump.status().state == "idle"
        assert next(looks) > 2


# -- a pump that does not read -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["pty", "tcp"])
def test_line_that_takes_no_more_is_not_broken(name):
    endpoint = ENDPOINTS[name]()
    port = Port(endpoint.name, timeout_s=0.05)
    # Nobody serves it, and this is more than the line holds.
    port.write(bytes(64 << 20))
    port.close()
    endpoint.close()


# -- a host that does not read -------------------------------------------------------------------


class Overwhelmed:
    """Writes far more than any buffer holds, in a thread, and says whether it ever got through."""

    def __init__(self, endpoint):
        self.done = threading.Event()
        threading.Thread(target=self._write, args=(endpoint,), daemon=True).start()

    def _write(self, endpoint):
        for _ in range(64):
            endpoint.write(bytes(1 << 20))
        self.done.set()


def test_host_that_does_not_read_a_pty_holds_up_nothing():
    endpoint = PtyEndpoint()
    slave = os.open(endpoint.name, os.O_RDWR | os.O_NOCTTY)
    assert Overwhelmed(endpoint).done.wait(GENEROUS_S)
    os.close(slave)
    endpoint.close()


def test_host_that_does_not_read_tcp_holds_up_nothing():
    endpoint = tcp()
    host, port = endpoint.name.removeprefix("socket://").split(":")
    with socket.create_connection((host, int(port))) as deaf:
        endpoint.read(GENEROUS_S)
        assert Overwhelmed(endpoint).done.wait(GENEROUS_S)
        assert deaf.recv(10) == bytes(10)
        endpoint.close()


def test_pump_goes_on_under_a_host_that_asks_for_telemetry_and_never_reads():
    endpoint = PtyEndpoint()
    with serving(endpoint, MAX) as bench:
        deaf = Pump(endpoint.name)
        load(deaf, 5_000, 10_000)
        deaf.set_telemetry(100)
        # 6,000 telegrams of ten minutes, half a megabyte, are far more than a pty holds. A fast
        # machine is past them by now.
        wait_until(lambda: bench.now_ms > 600_000)
        deaf.close()
        with Pump(endpoint.name) as pump:
            assert pump.status().infused_steps > 2_000


# -- where it is served --------------------------------------------------------------------------


def test_link_is_made_and_taken_away(tmp_path):
    link = tmp_path / "below" / "pump.tty"
    endpoint = PtyEndpoint(link)
    assert link.is_symlink()
    assert endpoint.name == str(link)
    with serving(endpoint), Pump(str(link)) as pump:
        assert pump.info.kind == "syringe"
    assert not link.is_symlink()
    assert list(link.parent.iterdir()) == []


def test_link_left_by_a_pump_that_was_killed_is_replaced(tmp_path):
    link = tmp_path / "pump.tty"
    link.symlink_to("/dev/pts/9999999")
    endpoint = PtyEndpoint(link)
    assert Path(link).readlink() != Path("/dev/pts/9999999")
    endpoint.close()
    assert not link.is_symlink()


def test_link_taken_over_by_another_pump_is_left_to_it(tmp_path):
    link = tmp_path / "pump.tty"
    first = PtyEndpoint(link)
    second = PtyEndpoint(link)
    held = link.readlink()
    first.close()
    assert link.readlink() == held
    second.close()
    assert not link.is_symlink()


@pytest.mark.parametrize("kind", ["file", "folder", "link to a file"])
def test_what_is_in_the_way_of_the_link_stays(tmp_path, kind):
    link = tmp_path / "pump.tty"
    if kind == "file":
        link.write_text("mine")
    elif kind == "folder":
        link.mkdir()
    else:
        (tmp_path / "notes").write_text("mine")
        link.symlink_to(tmp_path / "notes")
    with pytest.raises(ServeError, match="in the way") as caught:
        PtyEndpoint(link)
    assert caught.value.where == str(link)
    assert caught.value.remedy
    assert link.is_dir() if kind == "folder" else link.read_text() == "mine"


def test_link_in_a_folder_that_cannot_be_is_an_error(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ServeError, match="cannot make the link") as caught:
        PtyEndpoint(tmp_path / "file" / "pump.tty")
    assert caught.value.remedy


def test_tcp_port_in_use_is_an_error():
    first = tcp()
    port = int(first.name.rpartition(":")[2])
    with pytest.raises(ServeError, match="in use") as caught:
        TcpEndpoint("127.0.0.1", port)
    assert caught.value.where == f"127.0.0.1:{port}"
    assert caught.value.remedy
    first.close()
