"""The client over real lines: a pty, TCP and RFC 2217, with a pump, without one, and broken."""

import contextlib
import os
import random
import select
import socket
import threading
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import serial
import serial.rfc2217

from micropump import journal, mechanism, therapy, wire
from micropump.link import Identity
from micropump_host.client import (
    NotAPumpError,
    PortAbsentError,
    PortBusyError,
    Pump,
    PumpGoneError,
    PumpRefusedError,
    PumpRestartedError,
    PumpTimeoutError,
    Status,
    codec,
)
from micropump_host.client.port import Port
from micropump_host.errors import MicropumpError
from micropump_virtual.pump import VirtualPump

# What pyserial 3.5 does on lines that it opens or loses.
pytestmark = [
    pytest.mark.filterwarnings(r"ignore:set(Daemon|Name)\(\) is deprecated:DeprecationWarning"),
]

# A pump that answers does so within milliseconds; a loaded machine may take far longer.
PATIENT_S = 5.0
# Where no answer will come, however long one waits.
HASTY_S = 0.05
# Where exactly one answer is spoilt and has to be waited for in vain.
ONE_SPOILT_S = 0.3


class Hangup(Exception):  # noqa: N818
    """A line's way to say that it shall be closed now."""


def virtual_pump() -> VirtualPump:
    return VirtualPump(Identity("cpython", "virtual", mechanism.KIND_SYRINGE, "m5-0.8-16", 1000))


class PumpAtTheLine:
    """A virtual pump at real time; ``spoil`` may change an answer or hang up."""

    def __init__(self) -> None:
        self.pump = virtual_pump()
        self.began_s = time.monotonic()
        self.spoil: Callable[[bytes], bytes] | None = None
        self.before: Callable[[bytes], None] | None = None

    def __call__(self, data: bytes) -> bytes:
        now_ms = int((time.monotonic() - self.began_s) * 1000)
        if not data:
            self.pump.advance(now_ms)
            return self.pump.take_output()
        if self.before:
            before, self.before = self.before, None
            before(data)
        said = self.pump.receive(now_ms, data)
        if said and self.spoil:
            spoil, self.spoil = self.spoil, None
            said = spoil(said)
        return said

    def events(self) -> list[int]:
        log = self.pump.controller.journal
        return [log.entry(number)[3] for number in range(log.next_number)]


class Line:
    """Serves ``answer`` on descriptors in a thread of its own, until it is closed."""

    # How often a served pump may speak by itself.
    IDLE_S = 0.02

    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        self.answer = answer
        self._stop_r, self._stop_w = os.pipe()
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.write(self._stop_w, b"x")
        self._thread.join()
        os.close(self._stop_r)
        os.close(self._stop_w)

    def ready(self, descriptor: int) -> bool | None:
        """Whether there is something to read; None when the line shall end."""
        found, _, _ = select.select([descriptor, self._stop_r], [], [], self.IDLE_S)
        return None if self._stop_r in found else bool(found)

    def _serve(self) -> None:
        raise NotImplementedError


class PtyLine(Line):
    """On a pty behind ``path``, a link that stays while the ptys behind it come and go."""

    def __init__(self, answer: Callable[[bytes], bytes], path: Path) -> None:
        super().__init__(answer)
        self.path = path
        self.url = str(path)
        self._open()

    def _open(self) -> None:
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        fresh = self.path.with_suffix(".fresh")
        fresh.symlink_to(os.ttyname(self._slave))
        fresh.replace(self.path)

    @staticmethod
    def _close(master: int, slave: int) -> None:
        os.close(master)
        os.close(slave)

    def _serve(self) -> None:
        while (some := self.ready(self._master)) is not None:
            try:
                said = self.answer(os.read(self._master, 4096) if some else b"")
                if said:
                    os.write(self._master, said)
            except Hangup:
                # The next pty before the end of this one: whoever sees the end finds the next.
                ended = self._master, self._slave
                self._open()
                self._close(*ended)
        self._close(self._master, self._slave)


class TcpLine(Line):
    """On a TCP port, one connection after the other."""

    scheme = "socket"

    def __init__(self, answer: Callable[[bytes], bytes], path: Path) -> None:
        super().__init__(answer)
        del path
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"{self.scheme}://127.0.0.1:{self._listener.getsockname()[1]}"

    def _serve(self) -> None:
        with self._listener:
            while (some := self.ready(self._listener.fileno())) is not None:
                if not some:
                    continue
                connection, _ = self._listener.accept()
                with connection, contextlib.suppress(Hangup, ConnectionError):
                    if self._serve_one(connection) is None:
                        return

    def _serve_one(self, connection: socket.socket) -> bool | None:
        while (some := self.ready(connection.fileno())) is not None:
            data = connection.recv(4096) if some else b""
            if some and not data:
                return True
            said = self.answer(data)
            if said:
                connection.sendall(said)
        return None


class Rfc2217Line(TcpLine):
    """On a TCP port, as a serial server in the telnet protocol; the settings go nowhere."""

    scheme = "rfc2217"

    def _serve_one(self, connection: socket.socket) -> bool | None:
        settings = serial.serial_for_url("loop://")
        manager = serial.rfc2217.PortManager(settings, _Writer(connection))
        while (some := self.ready(connection.fileno())) is not None:
            data = connection.recv(4096) if some else b""
            if some and not data:
                return True
            said = self.answer(b"".join(manager.filter(data)))
            if said:
                connection.sendall(b"".join(manager.escape(said)))
        return None


class _Writer:
    """What pyserial's server sends its own answers with."""

    def __init__(self, connection: socket.socket) -> None:
        self.write = connection.sendall


LINES = {"pty": PtyLine, "socket": TcpLine, "rfc2217": Rfc2217Line}


@pytest.fixture(params=LINES)
def line_class(request: pytest.FixtureRequest) -> type[Line]:
    return LINES[request.param]


@pytest.fixture
def served() -> PumpAtTheLine:
    return PumpAtTheLine()


@pytest.fixture
def line(line_class: type[Line], served: PumpAtTheLine, tmp_path: Path) -> Iterator[Line]:
    """A pump, on each kind of line."""
    with line_class(served, tmp_path / "pump") as opened:
        yield opened


@pytest.fixture
def pty(served: PumpAtTheLine, tmp_path: Path) -> Iterator[PtyLine]:
    """A pump on a pty: for what does not depend on the line."""
    with PtyLine(served, tmp_path / "pump") as opened:
        yield opened


def start(pump: Pump, rate_ul_h: int = 120_000) -> None:
    accepted = pump.program(1, "bd-plastipak-60", 50_000, 20_000, rate_ul_h=rate_ul_h)
    assert pump.start(accepted.program_id) == "infusing"


def says_what_where_and_what_to_do(error: MicropumpError, where: str) -> None:
    assert error.where == where
    assert error.what
    assert error.remedy
    assert error.exit_code == 1


# -- everything a pump can be asked, over every line ----------------------------------------------


def test_a_therapy_over_the_line(line: Line, served: PumpAtTheLine) -> None:
    with Pump(line.url, timeout_s=PATIENT_S) as pump:
        assert pump.info.ground == "cpython"
        assert pump.info.kind == "syringe"
        assert pump.info.drive_id == "m5-0.8-16"
        assert pump.info.state == "idle"
        assert pump.info.time_factor == 1.0
        accepted = pump.program(
            1, "bd-plastipak-60", content_ul=50_000, vtbi_ul=20_000, duration_s=600, order_id="µ"
        )
        assert accepted.rate_ul_h == 120_000
        assert accepted.vtbi_ul == 20_000
        assert accepted.duration_s == 600
        assert accepted.kvo_ul_h == 3_000
        assert accepted.warnings == ()
        assert pump.start(accepted.program_id) == "infusing"
        assert pump.set_rate(1_200_000) == "infusing"
        assert pump.pause() == "paused"
        status = pump.status()
        assert status.state == "paused"
        assert status.alarms == ()
        assert status.program_id == accepted.program_id
        assert status.item_id == "bd-plastipak-60"
        assert status.target_steps == served.pump.controller.motion.program.vtbi_steps
        # The VTBI in whole microsteps of 140 nL.
        assert status.vtbi_ul == pytest.approx(20_000, abs=0.14)
        steps = served.pump.controller.delivered_steps(therapy.INFUSED)
        assert status.infused_steps == steps
        assert status.infused_ul == steps * accepted.nl_num / accepted.nl_den / 1000
        assert pump.resume() == "infusing"
        assert pump.stop() == "stopped"
        names = [event.name for event in pump.events()]
        assert names == [
            "booted", "host connected", "programmed", "started", "rate changed", "paused",
            "resumed", "stopped",
        ]  # fmt: skip
        assert [event.number for event in pump.events(first=3)] == [3, 4, 5, 6, 7]
        assert next(pump.events(first=4)).text == "from µL/h 120,000, to µL/h 1,200,000"


def test_the_next_host_finds_the_therapy_going_on(pty: PtyLine) -> None:
    with Pump(pty.url, timeout_s=PATIENT_S) as pump:
        start(pump)
    with Pump(pty.url, timeout_s=PATIENT_S) as pump:
        assert pump.info.state == "infusing"
        assert pump.status().state == "infusing"


def test_a_damaged_answer_is_asked_for_again(pty: PtyLine, served: PumpAtTheLine) -> None:
    with Pump(pty.url, timeout_s=ONE_SPOILT_S) as pump:
        start(pump)
        served.spoil = lambda said: said[:3] + bytes([said[3] ^ 0x10]) + said[4:]
        assert pump.pause() == "paused"
        assert served.spoil is None
    assert served.events().count(journal.PAUSED) == 1


@pytest.mark.parametrize("spoil", [
    lambda said: b"", lambda said: said[:-4] + b"\x00", lambda said: said[:-1],
    lambda said: b"\x00\x00" + said[::-1],
], ids=["lost", "cut short", "without delimiter", "reversed"])  # fmt: skip
def test_a_lost_answer_is_asked_for_again(
    pty: PtyLine, served: PumpAtTheLine, spoil: Callable[[bytes], bytes]
) -> None:
    with Pump(pty.url, timeout_s=ONE_SPOILT_S) as pump:
        start(pump)
        served.spoil = spoil
        assert pump.pause() == "paused"
    assert served.events().count(journal.PAUSED) == 1


def test_a_request_that_arrives_damaged_is_sent_again_at_once(
    pty: PtyLine, served: PumpAtTheLine
) -> None:
    def lose_a_bit(data: bytes) -> None:
        served.pump.receive(served.pump.now_ms, data[:3] + bytes([data[3] ^ 1]) + data[4:-1])

    with Pump(pty.url, timeout_s=PATIENT_S) as pump:
        start(pump)
        # The damaged frame takes the delimiter of the good one behind it.
        served.before = lose_a_bit
        assert pump.pause() == "paused"
    assert served.events().count(journal.PAUSED) == 1


def test_noise_on_the_way_to_the_pump_does_not_use_up_the_tries(
    pty: PtyLine, served: PumpAtTheLine
) -> None:
    with Pump(pty.url, timeout_s=PATIENT_S) as pump:
        served.before = lambda data: served.pump.link.receive(0, b"noise\x00" * 10)
        assert pump.status().state == "idle"


def test_an_answer_may_come_byte_by_byte_and_behind_others(
    pty: PtyLine, served: PumpAtTheLine
) -> None:
    other = codec.encode(codec.Frame(wire.DONE, 1, 1, {"state": 7}))

    def dribble(said: bytes) -> bytes:
        for byte in other + said[:-1]:
            os.write(pty._master, bytes([byte]))
        return said[-1:] + other

    with Pump(pty.url, timeout_s=PATIENT_S) as pump:
        start(pump)
        served.spoil = dribble
        assert pump.pause() == "paused"
        assert pump.status().state == "paused"


def test_telemetry_is_handed_on(pty: PtyLine) -> None:
    told: list[Status] = []
    with Pump(pty.url, timeout_s=PATIENT_S, on_telemetry=told.append) as pump:
        start(pump)
        pump.set_telemetry(100)
        deadline_s = time.monotonic() + PATIENT_S
        while len(told) < 2 and time.monotonic() < deadline_s:
            assert pump.status().state == "infusing"
        pump.set_telemetry(0)
    assert len(told) >= 2
    assert {status.state for status in told} == {"infusing"}
    assert told[0].uptime_s < told[1].uptime_s


def test_asking_what_the_pump_is_keeps_its_watch_for_silence(
    pty: PtyLine, served: PumpAtTheLine
) -> None:
    with Pump(pty.url, timeout_s=PATIENT_S) as pump:
        pump.watch_for_silence(77)
        assert pump.identify().board == "virtual"
        assert served.pump.link._silence_ms == 77_000


# -- refusals -------------------------------------------------------------------------------------


def test_a_refusal_says_which_field_and_what_it_may_be(pty: PtyLine) -> None:
    with Pump(pty.url, timeout_s=PATIENT_S) as pump:
        with pytest.raises(PumpRefusedError) as refused:
            pump.program(1, "bd-plastipak-60", 50_000, 50_001, rate_ul_h=5_000)
        says_what_where_and_what_to_do(refused.value, "pump")
        assert refused.value.code == therapy.VTBI_ABOVE_CONTENT
        assert refused.value.field == "vtbi_ul"
        assert "50,001 µL" in refused.value.what
        assert "100 to 50,000 µL" in refused.value.what
        with pytest.raises(PumpRefusedError, match="present state"):
            pump.pause()
        with pytest.raises(PumpRefusedError, match="syringe or head"):
            pump.program(1, "spoon", 50_000, 20_000, rate_ul_h=5_000)
        assert pump.status().state == "idle"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"item_id": "x" * 41}, "item_id"),
        ({"item_id": ""}, "item_id"),
        ({"order_id": "\udc80"}, "order_id"),
        ({"rate_ul_h": -1}, "rate_ul_h"),
        ({"vtbi_ul": 1 << 32}, "vtbi_ul"),
        ({"content_ul": 9_999_001}, "content_ul"),
        ({"duration_s": 359_941}, "duration_s"),
    ],
)
def test_a_value_that_cannot_be_sent_is_refused_before_it_is(
    pty: PtyLine, served: PumpAtTheLine, change: dict, field: str
) -> None:
    order = {
        "kind": 1, "item_id": "bd-plastipak-60", "content_ul": 50_000, "vtbi_ul": 20_000,
        "rate_ul_h": 5_000,
    }  # fmt: skip
    with Pump(pty.url, timeout_s=PATIENT_S) as pump:
        with pytest.raises(PumpRefusedError) as refused:
            pump.program(**(order | change))
        says_what_where_and_what_to_do(refused.value, "request")
        assert refused.value.field == field
        assert refused.value.code == wire.OUT_OF_RANGE
        assert field in refused.value.what
        assert pump.status().state == "idle"
    assert journal.REFUSED not in served.events()


# -- no pump --------------------------------------------------------------------------------------


def free_tcp_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.mark.parametrize("scheme", ["socket", "rfc2217"])
def test_a_tcp_port_where_nothing_listens_is_absent(scheme: str) -> None:
    url = f"{scheme}://127.0.0.1:{free_tcp_port()}"
    with pytest.raises(PortAbsentError) as absent:
        Pump(url)
    says_what_where_and_what_to_do(absent.value, url)


@pytest.mark.parametrize(
    "url", ["no-such-port", "/dev/no-such-port", "nothing://here", "socket://127.0.0.1:nought"]
)
def test_a_port_that_is_not_there_is_absent(url: str) -> None:
    with pytest.raises(PortAbsentError) as absent:
        Pump(url)
    says_what_where_and_what_to_do(absent.value, url)


def test_a_file_is_not_a_port(tmp_path: Path) -> None:
    path = tmp_path / "order.toml"
    path.write_text("rate", encoding="ascii")
    for url in (str(path), str(tmp_path)):
        with pytest.raises(PortAbsentError) as absent:
            Pump(url)
        says_what_where_and_what_to_do(absent.value, url)
    assert path.read_text(encoding="ascii") == "rate"


def test_a_port_that_is_open_elsewhere_is_busy(pty: PtyLine) -> None:
    with Pump(pty.url, timeout_s=PATIENT_S) as pump:
        with pytest.raises(PortBusyError) as busy:
            Pump(pty.url, timeout_s=PATIENT_S)
        says_what_where_and_what_to_do(busy.value, pty.url)
        assert pump.status().state == "idle"
    Pump(pty.url, timeout_s=PATIENT_S).close()


def garbage(seed: int) -> Callable[[bytes], bytes]:
    dice = random.Random(seed)
    return lambda data: dice.randbytes(300) if data else b""


def of_another_version(data: bytes) -> bytes:
    """What a pump of a later version would say."""
    if not data.strip(b"\x00"):
        return b""
    was, wire.VERSION = wire.VERSION, 2
    try:
        return wire.encode(wire.ERROR, 0, wire.NO_SEQUENCE, (wire.OTHER_VERSION, 255, 1, 2, 2))
    finally:
        wire.VERSION = was


STRANGERS = {
    "silent": (lambda data: b"", "nothing answers"),
    "echo": (lambda data: data, "echo"),
    "modem": (lambda data: b"ERROR\r\n" if data else b"", "ERROR"),
    "noise": (garbage(1), "not a pump"),
    "noise without end": (lambda data: b"\x55" * 100, "not a pump"),
    "zeros": (lambda data: bytes(100) if data else b"", "not a pump"),
    "another version": (of_another_version, "version 2"),
}


@pytest.mark.parametrize("stranger", STRANGERS)
def test_what_is_not_a_pump_is_told_so(stranger: str, tmp_path: Path) -> None:
    answer, says = STRANGERS[stranger]
    with PtyLine(answer, tmp_path / "pump") as opened:
        with pytest.raises(NotAPumpError) as not_a_pump:
            Pump(opened.url, timeout_s=HASTY_S)
        says_what_where_and_what_to_do(not_a_pump.value, opened.url)
        assert says in not_a_pump.value.what


def test_a_pump_that_falls_silent_is_a_timeout(pty: PtyLine, served: PumpAtTheLine) -> None:
    with Pump(pty.url, timeout_s=PATIENT_S) as pump:
        pump.timeout_s = HASTY_S
        pty.answer = lambda data: b""
        with pytest.raises(PumpTimeoutError) as silent:
            pump.status()
        says_what_where_and_what_to_do(silent.value, pty.url)
        # And when it is back, so is the host.
        pty.answer = served
        pump.timeout_s = PATIENT_S
        assert pump.status().state == "idle"


# -- a line that breaks ---------------------------------------------------------------------------


def hang_up(_: bytes) -> bytes:
    raise Hangup


def test_a_line_that_breaks_says_so_and_the_pump_goes_on(line: Line, served: PumpAtTheLine) -> None:
    with Pump(line.url, timeout_s=PATIENT_S) as pump:
        start(pump)
        served.spoil = hang_up
        with pytest.raises(PumpGoneError) as gone:
            pump.status()
        says_what_where_and_what_to_do(gone.value, line.url)
        with pytest.raises(PumpGoneError):
            pump.status()
    with Pump(line.url, timeout_s=PATIENT_S) as pump:
        assert pump.info.state == "infusing"


@pytest.mark.parametrize("when", ["before", "spoil"])
def test_a_pending_command_is_executed_once_over_a_break(
    line: Line, served: PumpAtTheLine, when: str
) -> None:
    gone: list[PumpGoneError] = []
    with Pump(line.url, timeout_s=PATIENT_S, reattach_s=PATIENT_S, on_gone=gone.append) as pump:
        start(pump)
        # Either the command is lost, or it is executed and its answer is.
        setattr(served, when, hang_up)
        assert pump.pause() == "paused"
        assert len(gone) == 1
        assert pump.resume() == "infusing"
    assert served.events().count(journal.PAUSED) == 1
    assert served.events().count(journal.SESSION_OPENED) == 1


class Recorded:
    """What a pump at the line was sent, piece by piece."""

    def __init__(self, served: PumpAtTheLine) -> None:
        self.served = served
        self.sent: list[bytes] = []

    def __call__(self, data: bytes) -> bytes:
        if data:
            self.sent.append(data)
        return self.served(data)


def test_half_a_frame_of_another_program_is_ended_first(
    tmp_path: Path, served: PumpAtTheLine
) -> None:
    recorded = Recorded(served)
    with PtyLine(recorded, tmp_path / "pump") as opened:
        Pump(opened.url, timeout_s=PATIENT_S).close()
    assert recorded.sent[0].startswith(b"\x00")


def test_half_an_answer_before_a_break_does_not_spoil_the_next(
    tmp_path: Path, served: PumpAtTheLine
) -> None:
    recorded = Recorded(served)
    with PtyLine(recorded, tmp_path / "pump") as opened:

        def half(said: bytes) -> bytes:
            os.write(opened._master, said[: len(said) // 2])
            # Until the host has it: what is in a pty is lost with it.
            while select.select([opened._slave], [], [], 0)[0]:
                time.sleep(0.001)
            raise Hangup

        with Pump(opened.url, timeout_s=PATIENT_S, reattach_s=PATIENT_S) as pump:
            start(pump)
            recorded.sent.clear()
            served.spoil = half
            assert pump.pause() == "paused"
    # Once before the break and once after it.
    assert len(recorded.sent) == 2
    assert recorded.sent[0] == recorded.sent[1]
    assert served.events().count(journal.PAUSED) == 1


def test_a_line_may_be_away_for_a_while(pty: PtyLine, served: PumpAtTheLine) -> None:
    refusals: list[MicropumpError] = []

    def open_port(url: str, timeout_s: float) -> Port:
        if refusals:
            raise refusals.pop()
        return Port(url, timeout_s)

    with Pump(pty.url, timeout_s=PATIENT_S, reattach_s=PATIENT_S, open_port=open_port) as pump:
        start(pump)
        refusals += [PortBusyError("busy"), PortAbsentError("absent")]
        served.spoil = hang_up
        assert pump.pause() == "paused"
    assert refusals == []
    assert served.events().count(journal.PAUSED) == 1


def test_half_a_command_before_a_break_does_not_spoil_the_next(
    pty: PtyLine, served: PumpAtTheLine
) -> None:
    def half(data: bytes) -> None:
        served.pump.receive(served.pump.now_ms, data[: len(data) // 2])
        raise Hangup

    with Pump(pty.url, timeout_s=PATIENT_S, reattach_s=PATIENT_S) as pump:
        start(pump)
        served.before = half
        assert pump.pause() == "paused"
    assert served.events().count(journal.PAUSED) == 1


def test_a_line_that_stays_away_is_given_up(tmp_path: Path, served: PumpAtTheLine) -> None:
    with PtyLine(served, tmp_path / "pump") as opened:
        pump = Pump(opened.url, timeout_s=PATIENT_S, reattach_s=0.15)
    opened.path.unlink()
    with pump, pytest.raises(PumpGoneError) as gone:
        pump.status()
    says_what_where_and_what_to_do(gone.value, opened.url)


def test_a_line_that_opens_and_breaks_again_and_again_is_given_up(
    tmp_path: Path, served: PumpAtTheLine
) -> None:
    gone: list[PumpGoneError] = []
    with (
        PtyLine(served, tmp_path / "pump") as opened,
        Pump(opened.url, timeout_s=PATIENT_S, reattach_s=0.3, on_gone=gone.append) as pump,
    ):
        opened.answer = lambda data: hang_up(data) if data else b""
        with pytest.raises(PumpGoneError):
            pump.status()
    assert len(gone) == 1


@pytest.mark.parametrize("call", [
    lambda port: port.write(b"x"), lambda port: port.read(PATIENT_S),
    lambda port: port.discard_input(),
], ids=["write", "read", "discard_input"])  # fmt: skip
def test_every_use_of_a_broken_line_says_that_it_is_broken(
    tmp_path: Path, call: Callable[[Port], object]
) -> None:
    with PtyLine(lambda data: b"", tmp_path / "pump") as opened:
        port = Port(opened.url, PATIENT_S)
    with pytest.raises(PumpGoneError):
        call(port)
    port.close()
    port.close()


def test_a_pump_that_was_reset_does_not_know_the_session(
    pty: PtyLine, served: PumpAtTheLine
) -> None:
    with Pump(pty.url, timeout_s=PATIENT_S) as pump:
        start(pump)
        served.pump = virtual_pump()
        with pytest.raises(PumpRestartedError) as restarted:
            pump.pause()
        says_what_where_and_what_to_do(restarted.value, pty.url)
    assert journal.PAUSED not in served.events()


def test_a_host_whose_session_was_taken_over_is_told_so(served: PumpAtTheLine) -> None:
    with TcpLine(served, Path()) as opened, Pump(opened.url, timeout_s=PATIENT_S) as pump:
        start(pump)
        served.pump.receive(
            served.pump.now_ms, codec.encode(codec.Frame(wire.HELLO, 9, 1, {"silence_s": 0}))
        )
        with pytest.raises(PumpRestartedError):
            pump.pause()
    assert journal.PAUSED not in served.events()
