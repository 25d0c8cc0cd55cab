"""The link: what a bad line, a bad host or a second host can do to a pump, which is nothing."""

import itertools
from binascii import crc32
from collections import Counter
from collections.abc import Callable

import pytest
from cobs import cobs
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from micropump import alarms, controller, journal, mechanism, therapy, wire
from micropump.link import Identity
from micropump.units import CLOCK_MASK, GREATEST_VTBI_UL, LEAST_VTBI_UL
from micropump_host.client import codec
from micropump_virtual.pump import VirtualPump

SYRINGE = {
    "kind": mechanism.KIND_SYRINGE,
    "item_id": "bd-plastipak-60",
    "content_ul": 50_000,
    "rate_ul_h": 120_000,
    "vtbi_ul": 20_000,
    "duration_s": 0,
    "kvo_ul_h": therapy.KVO_BY_RULE,
    "order_id": "order",
}
HEAD = SYRINGE | {
    "kind": mechanism.KIND_PERISTALTIC,
    "item_id": "masterflex-ls-16",
    "content_ul": 9_999_000,
}
DRIVES = {mechanism.KIND_SYRINGE: "m5-0.8-16", mechanism.KIND_PERISTALTIC: "direct-16"}

SESSION = 0x11223344
OTHER_SESSION = 0x55667788


def frames_in(data: bytes) -> list[codec.Frame]:
    """The frames that the pump sent: each whole and in order."""
    assert data == b"" or data.endswith(b"\x00")
    return [codec.decode(stuffed) for stuffed in data.split(b"\x00")[:-1]]


def sealed(header_and_body: bytes) -> bytes:
    """A frame around any bytes, with a right checksum."""
    return cobs.encode(header_and_body + crc32(header_and_body).to_bytes(4, "little")) + b"\x00"


def header(message: int, session: int, sequence: int, version: int = wire.VERSION) -> bytes:
    return (
        bytes([version, message]) + session.to_bytes(4, "little") + sequence.to_bytes(2, "little")
    )


class Host:
    """A host without retries at the other end of a virtual pump."""

    def __init__(self, kind: int = mechanism.KIND_SYRINGE, start_ms: int = 0) -> None:
        identity = Identity("cpython", "virtual", kind, DRIVES[kind], 1000)
        self.pump = VirtualPump(identity, start_ms)
        self.start_ms = self.now_ms = start_ms
        self.session = wire.NO_SESSION
        self.sequence = 0
        self.last = b""

    def send(self, data: bytes) -> list[codec.Frame]:
        return frames_in(self.pump.receive(self.now_ms, data))

    def next_frame(self, message: int, **values: object) -> bytes:
        self.sequence += 1
        self.last = codec.encode(codec.Frame(message, self.session, self.sequence, values))
        return self.last

    def ask(self, message: int, **values: object) -> codec.Frame:
        (answer,) = self.send(self.next_frame(message, **values))
        assert (answer.session, answer.sequence) == (self.session, self.sequence)
        return answer

    def open(self, session: int = SESSION, silence_s: int = 0) -> codec.Frame:
        self.session = session
        return self.ask(wire.HELLO, silence_s=silence_s)

    def infuse(self, order: dict) -> None:
        """Open a session and start ``order``."""
        self.open()
        accepted = self.ask(wire.PROGRAM, **order)
        assert accepted.message == wire.REPLY | wire.PROGRAM
        started = self.ask(wire.START, program_id=accepted.values["program_id"])
        assert started.values == {"state": controller.INFUSING}

    def wait(self, time_ms: int) -> list[codec.Frame]:
        """Let time pass; what the pump says by itself."""
        self.now_ms += time_ms
        self.pump.advance(self.now_ms)
        return frames_in(self.pump.take_output())

    def events(self) -> list[tuple]:
        log = self.pump.controller.journal
        return [log.entry(number) for number in range(log.first_kept(), log.next_number)]

    def codes(self) -> list[int]:
        return [entry[3] for entry in self.events()]

    def therapy(self) -> dict:
        """All that a therapy consists of."""
        core = self.pump.controller
        return {
            "state": core.state,
            "alarms": core.active_alarms,
            "program": core.program_id,
            "rate": core.motion.planned_rate_ul_h(),
            "delivered": [core.delivered_steps(bucket) for bucket in range(therapy.BUCKETS)],
            "schedule": self.pump.quanta,
            "aborts": self.pump.aborts,
        }


# -- damaged frames on a running infusion ---------------------------------------------------------

# Given a host: what it sends, and the answers, as (session, sequence, *values).
type_of_damage = Callable[[Host], tuple[bytes, list[tuple]]]
DAMAGE: dict[str, type_of_damage] = {}
PERIOD = next(row[2] for row in wire.MESSAGES if row[0] == wire.SET_TELEMETRY)[0]


def damage(function: type_of_damage) -> type_of_damage:
    DAMAGE[function.__name__] = function
    return function


def unreadable(code: int, value: int = 0, least: int = 0, greatest: int = 0) -> tuple:
    return (SESSION, wire.NO_SEQUENCE, code, wire.NO_FIELD, value, least, greatest)


def refused(host: Host, code: int, field: int = wire.NO_FIELD, *rest: int) -> tuple:
    value, least, greatest = rest or (0, 0, 0)
    return (host.session, host.sequence, code, field, value, least, greatest)


@damage
def truncated(host: Host) -> tuple[bytes, list[tuple]]:
    data = host.next_frame(wire.SET_RATE, rate_ul_h=0x01020304)
    # The block that is cut short begins where the one zero was: in the sequence number.
    return data[:-3] + b"\x00", [unreadable(wire.BAD_COBS, 8)]


@damage
def without_its_beginning(host: Host) -> tuple[bytes, list[tuple]]:
    data = host.next_frame(wire.SET_RATE, rate_ul_h=0x01020304)
    return data[8:], [unreadable(wire.TOO_SHORT, 8)]


@damage
def flipped_bit(host: Host) -> tuple[bytes, list[tuple]]:
    data = bytearray(host.next_frame(wire.SET_RATE, rate_ul_h=0x01020304))
    data[11] ^= 0x40
    return bytes(data), [unreadable(wire.BAD_CRC)]


@damage
def over_long(host: Host) -> tuple[bytes, list[tuple]]:
    return b"\x01" * 5000 + host.next_frame(wire.STOP), [unreadable(wire.TOO_LONG)]


@damage
def one_byte_over_long(host: Host) -> tuple[bytes, list[tuple]]:
    del host
    return b"\x01" * 255 + b"\x00", [unreadable(wire.TOO_LONG)]


@damage
def as_long_as_can_be_but_empty(host: Host) -> tuple[bytes, list[tuple]]:
    del host
    return b"\x01" * 254 + b"\x00", [unreadable(wire.BAD_CRC)]


@damage
def too_short(host: Host) -> tuple[bytes, list[tuple]]:
    del host
    return sealed(b"\x01\x07"), [unreadable(wire.TOO_SHORT, 6)]


@damage
def wrong_checksum(host: Host) -> tuple[bytes, list[tuple]]:
    data = cobs.decode(host.next_frame(wire.STOP)[:-1])
    return cobs.encode(data[:-1] + bytes([data[-1] ^ 1])) + b"\x00", [unreadable(wire.BAD_CRC)]


@damage
def zero_inside(host: Host) -> tuple[bytes, list[tuple]]:
    data = host.next_frame(wire.STOP)
    return data[:6] + b"\x00" + data[6:], [unreadable(wire.BAD_COBS)] * 2


@damage
def code_beyond_the_end(host: Host) -> tuple[bytes, list[tuple]]:
    return b"\xf0" + host.next_frame(wire.STOP)[1:], [unreadable(wire.BAD_COBS)]


@damage
def other_version(host: Host) -> tuple[bytes, list[tuple]]:
    data = sealed(header(wire.STOP, SESSION, host.sequence + 1, version=2))
    return data, [unreadable(wire.OTHER_VERSION, 2, 1, 1)]


@damage
def unknown_message(host: Host) -> tuple[bytes, list[tuple]]:
    host.sequence += 1
    data = sealed(header(0x3E, SESSION, host.sequence) + b"what")
    return data, [refused(host, wire.UNKNOWN_MESSAGE, wire.NO_FIELD, 0x3E, 0, 0)]


@damage
def an_answer_instead_of_a_request(host: Host) -> tuple[bytes, list[tuple]]:
    data = host.next_frame(wire.DONE, state=controller.STOPPED)
    return data, [refused(host, wire.UNKNOWN_MESSAGE, wire.NO_FIELD, wire.DONE, 0, 0)]


@damage
def body_too_long(host: Host) -> tuple[bytes, list[tuple]]:
    host.sequence += 1
    data = sealed(header(wire.STOP, SESSION, host.sequence) + b"!")
    return data, [refused(host, wire.BAD_LENGTH, wire.NO_FIELD, 1, 0, 0)]


@damage
def body_too_short(host: Host) -> tuple[bytes, list[tuple]]:
    host.sequence += 1
    data = sealed(header(wire.SET_RATE, SESSION, host.sequence) + b"\x10\x27\x00")
    return data, [refused(host, wire.BAD_LENGTH, wire.NO_FIELD, 3, 4, 4)]


@damage
def field_out_of_range(host: Host) -> tuple[bytes, list[tuple]]:
    host.sequence += 1
    beyond = PERIOD[4] + 1
    body = beyond.to_bytes(4, "little")
    data = sealed(header(wire.SET_TELEMETRY, SESSION, host.sequence) + body)
    return data, [refused(host, wire.OUT_OF_RANGE, 0, beyond, PERIOD[3], PERIOD[4])]


@damage
def text_that_is_none(host: Host) -> tuple[bytes, list[tuple]]:
    data = cobs.decode(host.next_frame(wire.PROGRAM, **SYRINGE)[:-1])[: -wire.CRC_BYTES]
    data = data.replace(b"bd-plast", b"bd\xff\xfe\xfdast")
    return sealed(data), [refused(host, wire.OUT_OF_RANGE, 1)]


@damage
def wrong_session(host: Host) -> tuple[bytes, list[tuple]]:
    data = codec.encode(codec.Frame(wire.STOP, OTHER_SESSION, host.sequence + 1, {}))
    expected = (OTHER_SESSION, host.sequence + 1, wire.UNKNOWN_SESSION, wire.NO_FIELD, 0, 0, 0)
    return data, [expected]


@damage
def no_session(host: Host) -> tuple[bytes, list[tuple]]:
    data = codec.encode(codec.Frame(wire.STOP, wire.NO_SESSION, host.sequence + 1, {}))
    data += codec.encode(codec.Frame(wire.HELLO, wire.NO_SESSION, 0, {"silence_s": 5}))
    return data, [
        (wire.NO_SESSION, sequence, wire.UNKNOWN_SESSION, wire.NO_FIELD, 0, 0, 0)
        for sequence in (host.sequence + 1, 0)
    ]


@damage
def old_sequence(host: Host) -> tuple[bytes, list[tuple]]:
    data = codec.encode(codec.Frame(wire.STOP, SESSION, host.sequence - 1, {}))
    return data, [(SESSION, host.sequence - 1, wire.OLD_SEQUENCE, wire.NO_FIELD, 0, 0, 0)]


@damage
def reused_sequence(host: Host) -> tuple[bytes, list[tuple]]:
    data = codec.encode(codec.Frame(wire.STOP, SESSION, host.sequence, {}))
    return data, [refused(host, wire.REUSED_SEQUENCE)]


@damage
def empty_frames(host: Host) -> tuple[bytes, list[tuple]]:
    del host
    return bytes(300), []


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_frame_is_answered_and_changes_nothing(name: str) -> None:
    host, twin = Host(), Host()
    for each in (host, twin):
        each.infuse(SYRINGE)
        each.wait(20_037)
    data, expected = DAMAGE[name](host)
    answers = host.send(data)
    assert [answer.message for answer in answers] == [wire.ERROR] * len(expected)
    found = [(answer.session, answer.sequence, *answer.values.values()) for answer in answers]
    assert found == expected
    assert host.wait(0) == []
    assert host.therapy() | {"schedule": 0} == twin.therapy() | {"schedule": 0}
    for each in (host, twin):
        each.wait(20_000)
    assert host.therapy() == twin.therapy()
    assert host.therapy()["delivered"][therapy.INFUSED] > 0
    # And the line is as good as before.
    assert host.ask(wire.STATUS).message == wire.REPLY | wire.STATUS
    assert host.ask(wire.PAUSE).values == {"state": controller.PAUSED}


def test_there_are_as_many_kinds_of_damage_as_the_project_promises() -> None:
    assert len(DAMAGE) >= 10


@given(
    st.integers(10, 1_200_000), st.integers(10, 1_200_000), st.sampled_from([wire.SET_RATE, 0x08])
)
def test_a_sequence_number_is_never_believed_for_another_request(
    first_ul_h: int, second_ul_h: int, message: int
) -> None:
    host = Host()
    host.infuse(SYRINGE)
    answer = host.ask(message, rate_ul_h=first_ul_h)
    values = {"rate_ul_h": second_ul_h}
    (again,) = host.send(codec.encode(codec.Frame(message, SESSION, host.sequence, values)))
    if first_ul_h == second_ul_h:
        assert again == answer
    else:
        assert again.values["code"] == wire.REUSED_SEQUENCE
    assert host.therapy()["rate"] == first_ul_h
    # The first request's answer is still there to be had.
    assert host.send(host.last) == [answer]


@given(st.lists(st.one_of(st.binary(max_size=300), st.just(b"\x00")), max_size=8))
@settings(max_examples=40)
def test_noise_changes_nothing(pieces: list[bytes]) -> None:
    host, twin = Host(), Host()
    for each in (host, twin):
        each.infuse(SYRINGE)
    for piece in pieces:
        for answer in host.send(piece):
            assert answer.message == wire.ERROR
            assert answer.values["code"] in (
                wire.BAD_COBS, wire.TOO_SHORT, wire.TOO_LONG, wire.BAD_CRC
            )  # fmt: skip
        for each in (host, twin):
            each.wait(333)
    assert host.therapy() == twin.therapy()
    assert host.events() == twin.events()
    host.send(b"\x00")
    assert host.ask(wire.PAUSE).values == {"state": controller.PAUSED}


def test_garbage_between_frames_costs_no_frame() -> None:
    host = Host()
    host.infuse(SYRINGE)
    data = b""
    for _ in range(5):
        data += b"garbage\x00" + host.next_frame(wire.STATUS) + b"\x00\x00"
    answers = host.send(data)
    assert [answer.message for answer in answers] == [wire.ERROR, wire.REPLY | wire.STATUS] * 5
    asked = range(host.sequence - 4, host.sequence + 1)
    assert [answer.sequence for answer in answers[1::2]] == list(asked)


def test_two_frames_in_one_write_are_answered_in_order() -> None:
    host = Host()
    host.infuse(SYRINGE)
    answers = host.send(host.next_frame(wire.PAUSE) + host.next_frame(wire.RESUME))
    assert [answer.values["state"] for answer in answers] == [
        controller.PAUSED, controller.INFUSING
    ]  # fmt: skip
    assert [answer.sequence for answer in answers] == [host.sequence - 1, host.sequence]


def test_a_frame_may_come_byte_by_byte() -> None:
    host = Host()
    host.infuse(SYRINGE)
    *before, last = host.next_frame(wire.PAUSE)
    for byte in before:
        assert host.send(bytes([byte])) == []
        host.wait(7)
    assert host.codes().count(journal.PAUSED) == 0
    (answer,) = host.send(bytes([last]))
    assert answer.values == {"state": controller.PAUSED}


# -- exactly once ---------------------------------------------------------------------------------

COMMANDS = (
    (wire.PAUSE, {}, journal.PAUSED),
    (wire.RESUME, {}, journal.RESUMED),
    (wire.STOP, {}, journal.STOPPED),
    (wire.SET_RATE, {"rate_ul_h": 60_000}, journal.RATE_CHANGED),
    (wire.PROGRAM, SYRINGE, journal.PROGRAMMED),
)


@given(st.lists(st.tuples(st.sampled_from(COMMANDS), st.integers(1, 5)), max_size=12))
@settings(max_examples=60)
def test_a_repeated_request_gets_its_answer_again_and_is_executed_once(commands: list) -> None:
    host = Host()
    host.infuse(SYRINGE)
    for (message, values, event), times in commands:
        before = len(host.events())
        answer = host.ask(message, **values)
        for _ in range(times):
            host.wait(250)
            assert host.send(host.last) == [answer]
        noted = [entry[3] for entry in host.events()[before:]]
        assert noted == [journal.REFUSED if answer.message == wire.ERROR else event]


def test_a_refusal_stays_a_refusal_when_it_is_asked_for_again() -> None:
    host = Host()
    host.infuse(SYRINGE)
    answer = host.ask(wire.RESUME)
    assert answer.values["code"] == controller.WRONG_STATE
    resume = host.last
    host.pump.controller.pause(host.now_ms)
    assert host.send(resume) == [answer]
    assert host.pump.controller.state == controller.PAUSED


@pytest.mark.parametrize("step", [1, 2, 0x7FFF])
def test_sequence_numbers_may_leave_gaps_and_wrap(step: int) -> None:
    host = Host()
    host.infuse(SYRINGE)
    # Once around and further.
    for _ in range(0x10000 // step + 2 if step > 2 else 3):
        host.sequence = (host.sequence + step - 1) & 0xFFFF
        assert host.ask(wire.STATUS).message == wire.REPLY | wire.STATUS
        host.sequence &= 0xFFFF
    old = codec.Frame(wire.STOP, SESSION, (host.sequence - 1) & 0xFFFF, {})
    (answer,) = host.send(codec.encode(old))
    assert answer.values["code"] == wire.OLD_SEQUENCE


def test_sequence_numbers_go_on_from_the_last_to_the_first() -> None:
    host = Host()
    host.sequence = 0xFFFD
    host.open()
    assert host.sequence == 0xFFFE
    host.sequence = -1
    assert host.ask(wire.STATUS).message == wire.REPLY | wire.STATUS
    late = codec.encode(codec.Frame(wire.STATUS, SESSION, 0xFFFE, {}))
    assert host.send(late)[0].values["code"] == wire.OLD_SEQUENCE


FAULTS = st.one_of(
    st.sampled_from(["lost", "answer lost", "answer damaged", "twice", "delimiter lost"]),
    st.tuples(st.just("flipped"), st.floats(0, 1, exclude_max=True)),
    st.tuples(st.just("cut"), st.floats(0, 1, exclude_max=True)),
    st.tuples(st.just("before"), st.binary(max_size=30)),
    st.tuples(st.just("late"), st.integers(0, 100)),
)

EVENT_OF = {
    wire.PROGRAM: journal.PROGRAMMED,
    wire.START: journal.STARTED,
    wire.PAUSE: journal.PAUSED,
    wire.RESUME: journal.RESUMED,
    wire.STOP: journal.STOPPED,
    wire.SET_RATE: journal.RATE_CHANGED,
}


class BadLine(RuleBasedStateMachine):
    """Two pumps and one host: one over a line that does anything, one over a line that is good.

    Both get each request at the same virtual time; what they do must be the same.
    """

    def __init__(self) -> None:
        super().__init__()
        self.host = Host()
        self.twin = Host()
        self.sent: list[bytes] = []
        self.done: Counter[int] = Counter()
        self.noted: Counter[int] = Counter()
        self.next_event = 0
        self.sessions = itertools.count(1)
        self.program_id = 0

    @initialize()
    def connect(self) -> None:
        self.take_over([])

    @rule(faults=st.lists(FAULTS, max_size=4))
    def take_over(self, faults: list) -> None:
        self.host.session = self.twin.session = next(self.sessions)
        self.sent = []
        answer = self.request(faults, wire.HELLO, silence_s=0)
        assert answer.message == wire.REPLY | wire.HELLO

    @rule(
        faults=st.lists(FAULTS, max_size=4),
        rate_ul_h=st.sampled_from([5, 60_000, 1_200_000, 1_200_001]),
        vtbi_ul=st.sampled_from([100, 1_000, 50_001]),
    )
    def program(self, faults: list, rate_ul_h: int, vtbi_ul: int) -> None:
        order = SYRINGE | {"rate_ul_h": rate_ul_h, "vtbi_ul": vtbi_ul}
        answer = self.request(faults, wire.PROGRAM, **order)
        if answer.message != wire.ERROR:
            self.program_id = answer.values["program_id"]

    @rule(faults=st.lists(FAULTS, max_size=4))
    def start(self, faults: list) -> None:
        self.request(faults, wire.START, program_id=self.program_id)

    @rule(
        faults=st.lists(FAULTS, max_size=4),
        message=st.sampled_from(
            [wire.PAUSE, wire.RESUME, wire.STOP, wire.ACKNOWLEDGE, wire.STATUS]
        ),
    )
    def command(self, faults: list, message: int) -> None:
        self.request(faults, message)

    @rule(faults=st.lists(FAULTS, max_size=4), rate_ul_h=st.sampled_from([5, 30_000, 900_000]))
    def set_rate(self, faults: list, rate_ul_h: int) -> None:
        self.request(faults, wire.SET_RATE, rate_ul_h=rate_ul_h)

    @rule(time_ms=st.integers(0, 3000))
    def wait(self, time_ms: int) -> None:
        self.host.wait(time_ms)
        self.twin.wait(time_ms)

    @invariant()
    def the_pumps_do_the_same(self) -> None:
        ours, theirs = self.host.therapy(), self.twin.therapy()
        assert ours == theirs

    @invariant()
    def every_request_that_was_answered_was_executed_once(self) -> None:
        log = self.host.pump.controller.journal
        while self.next_event < log.next_number:
            entry = log.entry(self.next_event)
            assert entry == self.twin.pump.controller.journal.entry(self.next_event)
            self.noted[entry[3]] += 1
            self.next_event += 1
        assert log.next_number == self.twin.pump.controller.journal.next_number
        for message, event in EVENT_OF.items():
            assert self.noted[event] == self.done[message], codec.NAMES[message]
        assert self.noted[journal.REFUSED] == self.done[wire.ERROR]
        assert self.noted[journal.SESSION_OPENED] == self.done[wire.HELLO]

    def request(self, faults: list, message: int, **values: object) -> codec.Frame:
        """Send until answered, over a line that has ``faults`` and is good after that."""
        data = self.host.next_frame(message, **values)
        expected = self.twin.ask(message, **values)
        answers = []
        # A lost delimiter spoils the frame that comes next, too.
        for fault in [*faults, None, None]:
            answer = self.exchange(data, fault)
            if answer:
                answers.append(answer)
        self.sent.append(data)
        assert answers
        assert answers == [expected] * len(answers)
        self.done[wire.ERROR if expected.message == wire.ERROR else message] += 1
        return expected

    def exchange(self, data: bytes, fault: str | tuple | None) -> codec.Frame | None:
        name, size = fault if isinstance(fault, tuple) else (fault, None)
        if name == "lost":
            return None
        if name == "late" and self.sent:
            self.hear(self.sent[size % len(self.sent)])
        elif name == "twice":
            self.hear(data)
        elif name == "flipped":
            bit = int(size * 8 * len(data))
            changed = bytearray(data)
            changed[bit // 8] ^= 1 << bit % 8
            data = bytes(changed)
        elif name == "cut":
            data = data[: int(size * len(data))]
        elif name == "delimiter lost":
            data = data[:-1]
        elif name == "before":
            self.hear(size)
        answer = self.hear(data)
        if name in ("answer lost", "answer damaged"):
            return None
        return answer

    def hear(self, data: bytes) -> codec.Frame | None:
        answers = [
            answer
            for answer in self.host.send(data)
            if (answer.session, answer.sequence) == (self.host.session, self.host.sequence)
        ]
        assert len(answers) <= 1
        return answers[0] if answers else None


BadLine.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestBadLine = BadLine.TestCase


# -- sessions -------------------------------------------------------------------------------------


@pytest.mark.parametrize("session", [SESSION, wire.NO_SESSION])
def test_before_a_session_nothing_is_obeyed(session: int) -> None:
    host = Host()
    host.session = session
    for message in (wire.STATUS, wire.STOP, wire.LOG):
        values = {"first": 0} if message == wire.LOG else {}
        answer = host.ask(message, **values)
        assert answer.values["code"] == wire.UNKNOWN_SESSION
    assert host.codes() == [journal.BOOTED]


def test_another_host_takes_the_session_over_and_the_therapy_goes_on() -> None:
    host, twin = Host(), Host()
    for each in (host, twin):
        each.infuse(SYRINGE)
        each.wait(5_000)
    host.ask(wire.SET_TELEMETRY, period_ms=1000)
    ours, number = host.session, host.sequence
    info = host.open(OTHER_SESSION)
    assert info.message == wire.REPLY | wire.HELLO
    assert info.values["state"] == controller.INFUSING
    late = codec.encode(codec.Frame(wire.STOP, ours, number + 1, {}))
    (answer,) = host.send(late)
    assert (answer.session, answer.sequence) == (ours, number + 1)
    assert answer.values["code"] == wire.UNKNOWN_SESSION
    # The telemetry was the other host's wish.
    assert host.wait(5_000) == []
    twin.wait(5_000)
    assert host.therapy() == twin.therapy()
    assert host.codes().count(journal.SESSION_OPENED) == 2
    assert host.ask(wire.PAUSE).values == {"state": controller.PAUSED}


def test_info_is_what_the_adapter_and_the_catalogue_say() -> None:
    values = Host(mechanism.KIND_PERISTALTIC).open().values
    assert values["ground"] == "cpython"
    assert values["board"] == "virtual"
    assert values["kind"] == mechanism.KIND_PERISTALTIC
    assert values["drive_id"] == "direct-16"
    assert values["time_x1000"] == 1000
    assert values["state"] == controller.IDLE
    assert (values["first_event"], values["next_event"]) == (0, 2)


def test_status_is_the_controller_s() -> None:
    host = Host()
    host.infuse(SYRINGE)
    host.wait(61_234)
    values = host.ask(wire.STATUS).values
    core = host.pump.controller
    infused = values["infused_millions"] * 1_000_000 + values["infused_rest"]
    assert infused == core.delivered_steps(therapy.INFUSED) > 0
    # 120 mL/h for a minute are 2 mL; 50 ms of start delay and a quantum under way are 0.3 %.
    volume_ul = infused * values["nl_num"] / values["nl_den"] / 1000
    assert volume_ul == pytest.approx(120_000 * 61.234 / 3600, rel=0.003)
    target = values["target_millions"] * 1_000_000 + values["target_rest"]
    assert target == core.motion.program.vtbi_steps
    assert values["state"] == controller.INFUSING
    assert values["item_id"] == SYRINGE["item_id"]
    assert values["rate_ul_h"] == SYRINGE["rate_ul_h"]
    assert (values["uptime_s"], values["uptime_ms"]) == (61, 234)
    # 18 mL are left to go.
    assert values["remaining_s"] == pytest.approx(600 - 61.2, abs=1)
    assert values["next_event"] == core.journal.next_number


def test_the_log_comes_in_pages_of_what_is_kept() -> None:
    host = Host()
    host.infuse(SYRINGE)
    for _ in range(150):
        host.ask(wire.PAUSE)
        host.ask(wire.RESUME)
    kept = host.events()
    assert len(kept) == journal.CAPACITY
    first = kept[0][0]
    assert first > 0
    found: list = []
    number = 0
    while True:
        page = host.ask(wire.LOG, first=number).values
        assert page["first_kept"] == first
        assert page["next_event"] == kept[-1][0] + 1
        if not page["records"]:
            break
        found += page["records"]
        number = found[-1][0] + 1
    assert found == kept


# -- telemetry and silence, across the wrap of the core's clock too -------------------------------

NEAR_THE_WRAP_MS = CLOCK_MASK + 1 - 12_345


@pytest.mark.parametrize("start_ms", [0, NEAR_THE_WRAP_MS])
@pytest.mark.parametrize("period_ms", [100, 250, 1000, 7000])
def test_telemetry_comes_by_itself(start_ms: int, period_ms: int) -> None:
    host = Host(start_ms=start_ms)
    host.infuse(SYRINGE)
    host.ask(wire.SET_TELEMETRY, period_ms=period_ms)
    told = host.wait(30_000)
    assert {(frame.message, frame.session, frame.sequence) for frame in told} == {
        (wire.TELEMETRY, SESSION, wire.NO_SEQUENCE)
    }
    times_ms = [
        frame.values["uptime_s"] * 1000 + frame.values["uptime_ms"] for frame in told
    ]  # fmt: skip
    gaps_ms = [later - sooner for sooner, later in itertools.pairwise([0, *times_ms])]
    # Looked at between control cycles, which are at most 100 ms apart.
    assert all(period_ms <= gap_ms < period_ms + 100 for gap_ms in gaps_ms)
    assert len(told) >= 30_000 // (period_ms + 100)
    host.ask(wire.SET_TELEMETRY, period_ms=0)
    assert host.wait(30_000) == []


def test_telemetry_says_what_status_says() -> None:
    host = Host()
    host.infuse(SYRINGE)
    host.ask(wire.SET_TELEMETRY, period_ms=1000)
    told = host.wait(1_000)[-1].values
    assert told == host.ask(wire.STATUS).values | {
        name: told[name] for name in ("uptime_s", "uptime_ms")
    }


@pytest.mark.parametrize("start_ms", [0, NEAR_THE_WRAP_MS])
def test_a_host_that_falls_silent_raises_an_alarm_and_the_therapy_goes_on(start_ms: int) -> None:
    host, twin = Host(start_ms=start_ms), Host(start_ms=start_ms)
    for each in (host, twin):
        each.infuse(SYRINGE)
    host.ask(wire.HELLO, silence_s=10)
    host.wait(10_000)
    assert host.therapy()["alarms"] == 0
    # Noticed between control cycles, which are at most 100 ms apart.
    host.wait(200)
    assert host.therapy()["alarms"] == 1 << alarms.HOST_SILENT
    host.wait(20_000)
    twin.wait(30_200)
    assert host.therapy() | {"alarms": 0} == twin.therapy()
    # What cannot be read is not a host.
    host.send(b"noise\x00")
    assert host.therapy()["alarms"] == 1 << alarms.HOST_SILENT
    assert host.ask(wire.STATUS).values["active_alarms"] == 0
    assert host.codes()[-4:] == [
        journal.HOST_LOST, journal.ALARM_RAISED, journal.HOST_BACK, journal.ALARM_ENDED
    ]  # fmt: skip
    host.wait(10_200)
    assert host.codes().count(journal.HOST_LOST) == 2


def test_a_host_that_is_heard_in_time_raises_no_alarm() -> None:
    host = Host()
    host.infuse(SYRINGE)
    host.ask(wire.HELLO, silence_s=2)
    for _ in range(20):
        host.wait(1_900)
        assert host.ask(wire.STATUS).values["active_alarms"] == 0
    host.ask(wire.HELLO, silence_s=0)
    host.wait(100_000)
    assert host.therapy()["alarms"] == 0


# -- refusals of a program ------------------------------------------------------------------------

FIELD = {
    field[0]: index for index, field in enumerate(wire.fields_of(wire.PROGRAM))
}  # fmt: skip
NO_FIGURES = (0, 0, 0)
REFUSALS = [
    (SYRINGE, {"kind": 2}, wire.OTHER_KIND, "kind", (2, 1, 1)),
    (HEAD, {"kind": 1}, wire.OTHER_KIND, "kind", (1, 2, 2)),
    (SYRINGE, {"item_id": "spoon"}, wire.UNKNOWN_ITEM, "item_id", NO_FIGURES),
    (SYRINGE, {"item_id": HEAD["item_id"]}, wire.UNKNOWN_ITEM, "item_id", NO_FIGURES),
    (SYRINGE, {"rate_ul_h": 0}, therapy.NEEDS_RATE_OR_TIME, None, NO_FIGURES),
    (SYRINGE, {"duration_s": 60}, therapy.NEEDS_RATE_OR_TIME, None, NO_FIGURES),
    (SYRINGE, {"rate_ul_h": 9}, therapy.RATE_BELOW_RANGE, "rate_ul_h", (9, 10, 1_200_000)),
    (SYRINGE, {"rate_ul_h": 1_200_001}, therapy.RATE_ABOVE_RANGE, "rate_ul_h",
     (1_200_001, 10, 1_200_000)),
    (SYRINGE, {"item_id": "bd-plastipak-1", "content_ul": 1000, "vtbi_ul": 1000,
               "rate_ul_h": 300_000},
     therapy.RATE_ABOVE_RANGE, "rate_ul_h",
     (300_000, 10, mechanism.build(1, "bd-plastipak-1", "m5-0.8-16").greatest_rate_ul_h)),
    # 20 mL in 50 s are 1440 mL/h; 0.1 mL in 99 h are 1 µL/h.
    (SYRINGE, {"rate_ul_h": 0, "duration_s": 50}, therapy.RATE_ABOVE_RANGE, "rate_ul_h",
     (1_440_000, 10, 1_200_000)),
    (SYRINGE, {"rate_ul_h": 0, "duration_s": 356_400, "vtbi_ul": 100}, therapy.RATE_BELOW_RANGE,
     "rate_ul_h", (1, 10, 1_200_000)),
    # 9.999 L in a second is more µL/h than a u32 holds: it is told as the most that can be told.
    (HEAD, {"rate_ul_h": 0, "duration_s": 1, "vtbi_ul": 9_999_000}, therapy.RATE_ABOVE_RANGE,
     "rate_ul_h", (0xFFFFFFFF, 10, 1_200_000)),
    (SYRINGE, {"vtbi_ul": 99}, therapy.VTBI_BELOW_RANGE, "vtbi_ul",
     (99, LEAST_VTBI_UL, GREATEST_VTBI_UL)),
    (HEAD, {"vtbi_ul": 9_999_001}, therapy.VTBI_ABOVE_RANGE, "vtbi_ul",
     (9_999_001, LEAST_VTBI_UL, GREATEST_VTBI_UL)),
    (SYRINGE, {"vtbi_ul": 50_001}, therapy.VTBI_ABOVE_CONTENT, "vtbi_ul",
     (50_001, LEAST_VTBI_UL, 50_000)),
    (SYRINGE, {"content_ul": 60_001}, therapy.CONTENT_ABOVE_CAPACITY, "content_ul",
     (60_001, 0, 60_000)),
    (SYRINGE, {"kvo_ul_h": 9}, therapy.RATE_BELOW_RANGE, "kvo_ul_h", (9, 10, 120_000)),
    (SYRINGE, {"kvo_ul_h": 1_200_001}, therapy.RATE_ABOVE_RANGE, "kvo_ul_h",
     (1_200_001, 10, 120_000)),
    (SYRINGE, {"kvo_ul_h": 120_001}, therapy.KVO_ABOVE_RATE, "kvo_ul_h", (120_001, 0, 120_000)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("order", "change", "code", "field", "figures"),
    REFUSALS,
    ids=[f"{row[2]}-{row[3]}-{'-'.join(map(str, row[1].values()))}" for row in REFUSALS],
)
def test_a_program_is_refused_with_the_field_and_its_range(
    order: dict, change: dict, code: int, field: str | None, figures: tuple
) -> None:
    host = Host(order["kind"])
    host.open()
    answer = host.ask(wire.PROGRAM, **(order | change))
    index = FIELD[field] if field else wire.NO_FIELD
    assert answer.message == wire.ERROR
    assert tuple(answer.values.values()) == (code, index, *figures)
    assert host.therapy()["state"] == controller.IDLE
    assert host.events()[-1][3:] == (journal.REFUSED, wire.PROGRAM, code)
    # Nothing of it stays behind.
    assert host.ask(wire.PROGRAM, **order).message == wire.REPLY | wire.PROGRAM


def test_every_reason_to_refuse_a_program_is_looked_at() -> None:
    reasons = set(range(therapy.RATE_BELOW_RANGE, therapy.KVO_ABOVE_RATE + 1))
    assert {row[2] for row in REFUSALS} == reasons | {wire.OTHER_KIND, wire.UNKNOWN_ITEM}


edges = [0, 1, 9, 10, 99, 100, 60_000, 60_001, 1_200_000, 1_200_001, 9_999_000, 0xFFFFFFFF]


@given(
    st.sampled_from([SYRINGE, HEAD]),
    st.fixed_dictionaries(
        {
            "content_ul": st.one_of(st.sampled_from(edges[:-1]), st.integers(0, 9_999_000)),
            "rate_ul_h": st.one_of(st.sampled_from(edges), st.integers(0, 0xFFFFFFFF)),
            "vtbi_ul": st.one_of(st.sampled_from(edges), st.integers(0, 0xFFFFFFFF)),
            "duration_s": st.one_of(st.sampled_from([0, 1, 60, 359_940]), st.integers(0, 359_940)),
            "kvo_ul_h": st.one_of(st.sampled_from(edges), st.integers(0, 0xFFFFFFFF)),
        }
    ),
)
@settings(max_examples=300)
def test_every_program_gets_an_answer(order: dict, change: dict) -> None:
    host = Host(order["kind"])
    host.open()
    sent = order | change
    answer = host.ask(wire.PROGRAM, **sent)
    parts = mechanism.build(sent["kind"], sent["item_id"], DRIVES[sent["kind"]])
    refusal = therapy.check_continuous(
        parts, sent["rate_ul_h"], sent["vtbi_ul"], sent["duration_s"], sent["kvo_ul_h"],
        sent["content_ul"],
    )  # fmt: skip
    if refusal:
        assert answer.values["code"] == refusal
        assert host.therapy()["state"] == controller.IDLE
    else:
        assert answer.values["vtbi_ul"] == sent["vtbi_ul"]
        assert host.therapy()["state"] == controller.PROGRAMMED
        assert host.therapy()["program"] == answer.values["program_id"]


def test_a_program_is_refused_while_one_is_under_way() -> None:
    host = Host()
    host.infuse(SYRINGE)
    answer = host.ask(wire.PROGRAM, **SYRINGE)
    assert tuple(answer.values.values()) == (controller.WRONG_STATE, wire.NO_FIELD, 0, 0, 0)


def test_only_the_program_that_is_named_is_started() -> None:
    host = Host()
    host.open()
    first = host.ask(wire.PROGRAM, **SYRINGE).values["program_id"]
    second = host.ask(wire.PROGRAM, **(SYRINGE | {"order_id": "other"})).values["program_id"]
    assert first != second
    answer = host.ask(wire.START, program_id=first)
    assert answer.values["code"] == controller.OTHER_PROGRAM
    assert host.therapy()["state"] == controller.PROGRAMMED
    assert host.ask(wire.START, program_id=second).values == {"state": controller.INFUSING}


@pytest.mark.parametrize(("rate_ul_h", "code"), [(9, 1), (1_200_001, 2)])
def test_a_rate_is_refused_with_its_range(rate_ul_h: int, code: int) -> None:
    host = Host()
    host.infuse(SYRINGE)
    answer = host.ask(wire.SET_RATE, rate_ul_h=rate_ul_h)
    assert tuple(answer.values.values()) == (code, 0, rate_ul_h, 10, 1_200_000)
    assert host.therapy()["rate"] == SYRINGE["rate_ul_h"]


def test_a_restart_is_for_a_pump_with_a_processor_and_no_therapy_under_way() -> None:
    host = Host()
    host.open()
    refusal = host.ask(wire.RESTART, into=wire.INTO_PUMP)
    assert refusal.values["code"] == wire.CANNOT_RESTART
    host.pump.link.identity.can_restart = True
    assert host.ask(wire.RESTART, into=wire.INTO_MAINTENANCE).message == wire.DONE
    assert host.pump.link.restart_into == wire.INTO_MAINTENANCE

    host = Host()
    host.pump.link.identity.can_restart = True
    host.infuse(SYRINGE)
    for command in (None, wire.PAUSE):
        if command is not None:
            host.ask(command)
        refusal = host.ask(wire.RESTART, into=wire.INTO_PUMP)
        assert refusal.values["code"] == controller.WRONG_STATE
        assert host.pump.link.restart_into == 0
    host.ask(wire.STOP)
    assert host.ask(wire.RESTART, into=wire.INTO_PUMP).message == wire.DONE
