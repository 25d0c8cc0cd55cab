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

from micropump import journal, link, mechanism, program, therapy, wire
from micropump.link import Identity
from micropump_host.client import (
    THERAPY_NAMES,
    Accepted,
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

    def skip(self, time_s: float) -> None:
        """Let so much time pass for the pump, at once."""
        self.began_s -= time_s

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
        # At 1200 mL/h 50 mL are gone in two and a half minutes, and the VTBI is in after one.
        assert status.alarms == ("near_empty", "near_end")
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
            "booted", "host connected", "programmed", "started", "rate changed", "alarm raised",
            "alarm raised", "paused", "resumed", "stopped", "alarm ended", "alarm ended",
        ]  # fmt: skip
        assert [event.number for event in pump.events(first=3)] == list(range(3, 12))
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


# -- the therapies --------------------------------------------------------------------------------

SETUP = {
    "kind": 1, "item_id": "bd-plastipak-60", "content_ul": 50_000, "containers": 1,
    "order_id": "", "delay_s": 0, "kvo_ul_h": therapy.KVO_BY_RULE,
}  # fmt: skip
PCA = SETUP | {
    "vtbi_ul": 20_000, "rate_ul_h": 1_000, "demand_ul": 100, "demand_ul_h": 360_000,
    "lockout_s": 360, "window_1_s": 3_600, "limit_1_ul": 10_000, "window_2_s": 0,
    "limit_2_ul": 0, "loading_ul": 500, "loading_ul_h": 360_000,
}  # fmt: skip
FIELDS = {
    program.CONTINUOUS: SETUP | {"rate_ul_h": 60_000, "vtbi_ul": 20_000, "duration_s": 0,
                                 "loading_ul": 0, "loading_ul_h": 0},
    program.INTERMITTENT: SETUP | {"dose_ul": 1_000, "rate_ul_h": 0, "duration_s": 60,
                                   "interval_s": 3_600, "doses": 2, "times": [(480,), (500,)],
                                   "clock_s": 28_800},
    program.RAMP: SETUP | {"vtbi_ul": 20_000, "duration_s": 3_600, "up_s": 600, "down_s": 600},
    program.STEPPED: SETUP | {"vtbi_ul": 0, "steps": [(60_000, 5_000, 0), (30_000, 0, 600)]},
    program.PCA: PCA,
    program.PURGE: SETUP | {"volume_ul": 1_000, "rate_ul_h": 600_000, "reverse": 0},
}  # fmt: skip


def prescribe(pump: Pump, kind: int, **changes: object) -> Accepted:
    """Program and start a therapy."""
    accepted = pump.prescribe(kind, FIELDS[kind] | changes)
    pump.start(accepted.program_id)
    return accepted


def names_of(pump: Pump) -> list[tuple[str, str]]:
    return [(event.name, event.text) for event in pump.events()]


def test_every_therapy_has_a_message_and_a_name() -> None:
    assert THERAPY_NAMES.keys() == FIELDS.keys() == set(link.PROGRAMS.values())


@pytest.mark.parametrize("kind", FIELDS, ids=THERAPY_NAMES.get)
def test_every_therapy_can_be_prescribed(pty: PtyLine, served: PumpAtTheLine, kind: int) -> None:
    changes = {"kvo_ul_h": therapy.KVO_OFF}
    if kind == program.PCA:
        # An hour at the basal rate instead of a day.
        changes |= {"rate_ul_h": 20_000, "limit_1_ul": 30_000}
    with Pump(pty.url, timeout_s=PATIENT_S) as pump:
        accepted = prescribe(pump, kind, **changes)
        parts = mechanism.build(1, "bd-plastipak-60", "m5-0.8-16")
        made = therapy.make(kind, parts, FIELDS[kind] | changes)
        assert accepted.rate_ul_h == made.first_rate_ul_h()
        assert accepted.peak_ul_h == made.peak_ul_h()
        assert accepted.vtbi_ul == made.vtbi_ul
        assert accepted.duration_s == made.duration_s()
        status = pump.status()
        assert status.therapy == THERAPY_NAMES[kind]
        assert status.target_steps == made.vtbi_steps
        # The first dose is due in this very moment: a tenth of a second is waited for it.
        states = {program.PURGE: "priming", program.INTERMITTENT: "waiting"}
        assert status.state == states.get(kind, "infusing")
        served.skip(accepted.duration_s + 2)
        status = pump.status()
        assert status.state == "completed"
        assert status.given_steps == status.target_steps > 0
        assert status.given_ul == pytest.approx(status.vtbi_ul)
        assert status.remaining_s == 0
        assert status.doses == made.doses


def test_a_warning_says_that_containers_have_to_be_changed(pty: PtyLine) -> None:
    with Pump(pty.url, timeout_s=PATIENT_S) as pump:
        changes = {"containers": 2, "vtbi_ul": 80_000}
        accepted = pump.prescribe(program.CONTINUOUS, FIELDS[program.CONTINUOUS] | changes)
        (warning,) = accepted.warnings
        assert "containers" in warning


def test_boluses_and_demands_over_the_line(pty: PtyLine, served: PumpAtTheLine) -> None:
    with Pump(pty.url, timeout_s=PATIENT_S) as pump:
        accepted = prescribe(pump, program.PCA)
        assert accepted.peak_ul_h == 361_000
        # The loading dose is 5 s at 360 mL/h, and beside the VTBI.
        served.skip(10)
        assert pump.bolus(100, duration_s=60) == "infusing"
        assert pump.demand() == "infusing"
        status = pump.status()
        assert (status.demands_made, status.demands_given) == (1, 1)
        assert status.lockout_left_s == 360
        # 100 µL each, in whole microsteps and rounded up.
        assert status.bolus_left_ul == pytest.approx(200, abs=3)
        with pytest.raises(PumpRefusedError, match="the lockout is not over") as locked_out:
            pump.demand()
        says_what_where_and_what_to_do(locked_out.value, "pump")
        with pytest.raises(PumpRefusedError, match="a bolus is under way") as running:
            pump.bolus(100, rate_ul_h=60_000)
        says_what_where_and_what_to_do(running.value, "pump")
        served.skip(120)
        status = pump.status()
        # Microsteps are of 140 nL.
        assert status.demand_ul == pytest.approx(100, abs=0.14)
        assert status.bolus_ul == pytest.approx(600, abs=0.28)
        assert status.given_steps == status.infused_steps + status.demand_steps + (
            status.bolus_steps - served.pump.controller.motion.program.phases[0].steps()
        )
        assert (status.demands_made, status.demands_given) == (2, 1)
        told = dict(names_of(pump))
        steps = served.pump.controller.mechanism().steps_for_ul(100)
        assert told["bolus started"] == f"steps {steps:,}, rate µL/h 6,000"
        assert told["bolus done"] == f"steps {steps:,}"
        assert told["demand given"] == f"steps {steps:,}, number 1"
        assert told["demand refused"] == "demand 2: the lockout is not over"
        assert told["command refused"] == "bolus: a bolus is under way already"


def test_a_bolus_outside_its_range_says_what_it_may_be(pty: PtyLine) -> None:
    with Pump(pty.url, timeout_s=PATIENT_S) as pump:
        prescribe(pump, program.CONTINUOUS)
        with pytest.raises(PumpRefusedError) as refused:
            pump.bolus(9, rate_ul_h=60_000)
        assert refused.value.field == "volume_ul"
        assert "volume_ul is 9 µL, allowed are 10 to 19,9" in refused.value.what
        with pytest.raises(PumpRefusedError) as refused:
            pump.bolus(1_000, duration_s=3)
        assert refused.value.code == therapy.COMBINED_ABOVE_RANGE
        assert "1,200,000 µL/h, allowed are 10 to 1,140,000 µL/h" in refused.value.what


def test_what_nobody_can_know_is_none(pty: PtyLine, served: PumpAtTheLine) -> None:
    with Pump(pty.url, timeout_s=PATIENT_S) as pump:
        idle = pump.status()
        assert (idle.therapy, idle.remaining_s, idle.content_left_s) == ("", 0, None)
        prescribe(pump, program.PCA, rate_ul_h=0)
        served.skip(10)
        status = pump.status()
        assert status.state == "infusing"
        assert status.rate_ul_h == 0
        assert status.remaining_s is None
        assert status.content_left_s is None
        assert status.content_ul == pytest.approx(49_500, abs=2)


def test_a_container_is_changed_over_the_line(pty: PtyLine, served: PumpAtTheLine) -> None:
    with Pump(pty.url, timeout_s=PATIENT_S) as pump:
        prescribe(pump, program.CONTINUOUS, content_ul=15_000, containers=2)
        served.skip(1_000)
        status = pump.status()
        assert (status.state, status.alarms) == ("alarm", ("container_empty",))
        assert status.content_ul == 0
        # The rest of the VTBI at 60 mL/h.
        assert pump.acknowledge() == "paused"
        with pytest.raises(PumpRefusedError, match="the container is empty") as empty:
            pump.resume()
        says_what_where_and_what_to_do(empty.value, "pump")
        assert "micropump container" in empty.value.remedy
        assert pump.change_container(14_000) == "paused"
        assert pump.status().content_ul == pytest.approx(14_000, abs=1)
        assert pump.resume() == "infusing"
        served.skip(1_000)
        status = pump.status()
        assert status.given_steps == status.target_steps
        told = dict(names_of(pump))
        assert told["container changed"] == "content µL 14,000, left before µL 0"


def test_a_secondary_over_the_line(pty: PtyLine, served: PumpAtTheLine) -> None:
    with Pump(pty.url, timeout_s=PATIENT_S) as pump:
        primary = prescribe(pump, program.CONTINUOUS)
        secondary = pump.secondary(content_ul=5_000, vtbi_ul=5_000, duration_s=60)
        assert secondary.program_id != primary.program_id
        assert (secondary.rate_ul_h, secondary.vtbi_ul, secondary.duration_s) == (
            300_000, 5_000, 60
        )  # fmt: skip
        assert pump.status().rate_ul_h == 60_000
        assert pump.start(secondary.program_id) == "infusing"
        assert pump.status().rate_ul_h == 300_000
        served.skip(65)
        status = pump.status()
        assert status.secondary_ul == pytest.approx(5_000, abs=0.14)
        assert status.rate_ul_h == 60_000
        told = dict(names_of(pump))
        assert told["secondary started"].startswith("rate µL/h 300,000")
        assert told["secondary done"] == f"{status.secondary_steps:,} steps"


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
    was, wire.VERSION = wire.VERSION, 4
    try:
        return wire.encode(wire.ERROR, 0, wire.NO_SEQUENCE, (wire.OTHER_VERSION, 255, 3, 4, 4, 0))
    finally:
        wire.VERSION = was


STRANGERS = {
    "silent": (lambda data: b"", "nothing answers"),
    "echo": (lambda data: data, "echo"),
    "modem": (lambda data: b"ERROR\r\n" if data else b"", "ERROR"),
    "noise": (garbage(1), "not a pump"),
    "noise without end": (lambda data: b"\x55" * 100, "not a pump"),
    "zeros": (lambda data: bytes(100) if data else b"", "not a pump"),
    "another version": (of_another_version, "version 4"),
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
