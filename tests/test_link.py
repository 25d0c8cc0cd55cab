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
from support import UNNAMED, UNSAID

from micropump import (
    alarms,
    boluses,
    controller,
    journal,
    mechanism,
    prescription,
    program,
    therapy,
    wire,
)
from micropump.link import PROGRAMS, Identity
from micropump.units import CLOCK_MASK, GREATEST_VTBI_UL, LEAST_VTBI_UL
from micropump_host.client import codec
from micropump_virtual.pump import VirtualPump

SYRINGE = {
    "kind": mechanism.KIND_SYRINGE,
    "item_id": "bd-plastipak-60",
    "content_ul": 50_000,
    "containers": 1,
    "delay_s": 0,
    "kvo_ul_h": therapy.KVO_BY_RULE,
    **UNNAMED,
    "order_id": "order",
    "rate_ul_h": 120_000,
    "vtbi_ul": 20_000,
    "duration_s": 0,
    "loading_ul": 0,
    "loading_ul_h": 0,
}
HEAD = SYRINGE | {
    "kind": mechanism.KIND_PERISTALTIC,
    "item_id": "masterflex-ls-16",
    "content_ul": 9_999_000,
}
SETUP = {
    name: SYRINGE[name] for name, *_ in wire.fields_of(wire.PROGRAM) if name in SYRINGE
    and name not in ("rate_ul_h", "vtbi_ul", "duration_s", "loading_ul", "loading_ul_h")
}  # fmt: skip
INTERMITTENT = SETUP | {
    "dose_ul": 1_000,
    "rate_ul_h": 60_000,
    "duration_s": 0,
    "interval_s": 3_600,
    "doses": 10,
    "times": [],
    "clock_s": therapy.CLOCK_UNKNOWN_S,
}
RAMP = SETUP | {"vtbi_ul": 20_000, "duration_s": 3_600, "up_s": 600, "down_s": 600}
STEPPED = SETUP | {"vtbi_ul": 0, "steps": [(60_000, 5_000, 0), (30_000, 0, 600)]}
PCA = SETUP | {
    "vtbi_ul": 20_000,
    "rate_ul_h": 1_000,
    "demand_ul": 1_000,
    "demand_ul_h": 120_000,
    "lockout_s": 360,
    "window_1_s": 3_600,
    "limit_1_ul": 10_000,
    "window_2_s": 0,
    "limit_2_ul": 0,
    "loading_ul": 0,
    "loading_ul_h": 0,
}
PURGE = SETUP | {"volume_ul": 1_000, "rate_ul_h": 600_000, "reverse": 0}
ORDERS = {
    wire.PROGRAM: SYRINGE,
    wire.PROGRAM_INTERMITTENT: INTERMITTENT,
    wire.PROGRAM_RAMP: RAMP,
    wire.PROGRAM_STEPPED: STEPPED,
    wire.PROGRAM_PCA: PCA,
    wire.PROGRAM_PURGE: PURGE,
}
SECONDARY = {"content_ul": 2_000, "rate_ul_h": 360_000, "vtbi_ul": 1_000, "duration_s": 0}

LONGEST_FRAME_BYTES = wire.HEADER_BYTES + wire.GREATEST_BODY_BYTES + wire.CRC_BYTES + 3
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
        said = UNSAID.get(message, {}) | values
        self.last = codec.encode(codec.Frame(message, self.session, self.sequence, said))
        return self.last

    def ask(self, message: int, **values: object) -> codec.Frame:
        (answer,) = self.send(self.next_frame(message, **values))
        assert (answer.session, answer.sequence) == (self.session, self.sequence)
        return answer

    def open(self, session: int = SESSION, silence_s: int = 0) -> codec.Frame:
        self.session = session
        return self.ask(wire.HELLO, silence_s=silence_s)

    def infuse(self, order: dict, message: int = wire.PROGRAM) -> int:
        """Open a session and start ``order``; returns its id."""
        self.open()
        accepted = self.ask(message, **order)
        assert accepted.message == wire.REPLY | wire.PROGRAM
        program_id = accepted.values["program_id"]
        started = self.ask(wire.START, program_id=program_id)
        assert started.values == {"state": controller.INFUSING}
        return program_id

    def delivered(self, bucket: int) -> int:
        return self.pump.controller.delivered_steps(bucket)

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
            "delivered": [core.delivered_steps(bucket) for bucket in range(program.BUCKETS)],
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
    return (SESSION, wire.NO_SEQUENCE, code, wire.NO_FIELD, value, least, greatest, 0)


def refused(host: Host, code: int, field: int = wire.NO_FIELD, *rest: int) -> tuple:
    value, least, greatest = rest or (0, 0, 0)
    return (host.session, host.sequence, code, field, value, least, greatest, 0)


@damage
def truncated(host: Host) -> tuple[bytes, list[tuple]]:
    data = host.next_frame(wire.SET_RATE, rate_ul_h=0x01020304, overrides=0x0506)
    # The block that is cut short begins where the one zero was: in the sequence number.
    return data[:-3] + b"\x00", [unreadable(wire.BAD_COBS, 8)]


@damage
def without_its_beginning(host: Host) -> tuple[bytes, list[tuple]]:
    data = host.next_frame(wire.SET_RATE, rate_ul_h=0x01020304, overrides=0x0506)
    return data[8:], [unreadable(wire.TOO_SHORT, 10)]


@damage
def flipped_bit(host: Host) -> tuple[bytes, list[tuple]]:
    data = bytearray(host.next_frame(wire.SET_RATE, rate_ul_h=0x01020304, overrides=0x0506))
    data[11] ^= 0x40
    return bytes(data), [unreadable(wire.BAD_CRC)]


@damage
def over_long(host: Host) -> tuple[bytes, list[tuple]]:
    return b"\x01" * 5000 + host.next_frame(wire.STOP), [unreadable(wire.TOO_LONG)]


@damage
def one_byte_over_long(host: Host) -> tuple[bytes, list[tuple]]:
    del host
    return b"\x01" * (LONGEST_FRAME_BYTES + 1) + b"\x00", [unreadable(wire.TOO_LONG)]


@damage
def as_long_as_can_be_but_empty(host: Host) -> tuple[bytes, list[tuple]]:
    del host
    return b"\x01" * LONGEST_FRAME_BYTES + b"\x00", [unreadable(wire.BAD_CRC)]


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
    data = sealed(header(wire.STOP, SESSION, host.sequence + 1, version=1))
    return data, [unreadable(wire.OTHER_VERSION, 1, 3, 3)]


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
    expected = (OTHER_SESSION, host.sequence + 1, wire.UNKNOWN_SESSION, wire.NO_FIELD, 0, 0, 0, 0)
    return data, [expected]


@damage
def no_session(host: Host) -> tuple[bytes, list[tuple]]:
    data = codec.encode(codec.Frame(wire.STOP, wire.NO_SESSION, host.sequence + 1, {}))
    data += codec.encode(codec.Frame(wire.HELLO, wire.NO_SESSION, 0, {"silence_s": 5}))
    return data, [
        (wire.NO_SESSION, sequence, wire.UNKNOWN_SESSION, wire.NO_FIELD, 0, 0, 0, 0)
        for sequence in (host.sequence + 1, 0)
    ]


@damage
def old_sequence(host: Host) -> tuple[bytes, list[tuple]]:
    data = codec.encode(codec.Frame(wire.STOP, SESSION, host.sequence - 1, {}))
    return data, [(SESSION, host.sequence - 1, wire.OLD_SEQUENCE, wire.NO_FIELD, 0, 0, 0, 0)]


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
    assert host.therapy()["delivered"][program.INFUSED] > 0
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
    values = {"rate_ul_h": second_ul_h, "overrides": 0}
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
    wire.BOLUS: journal.BOLUS_STARTED,
    wire.DEMAND: journal.DEMAND_GIVEN,
    wire.CHANGE_CONTAINER: journal.CONTAINER_CHANGED,
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
        self.program_id = self.secondary_id = 0

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

    @rule(faults=st.lists(FAULTS, max_size=4), vtbi_ul=st.sampled_from([200, 20_000]))
    def program_pca(self, faults: list, vtbi_ul: int) -> None:
        order = PCA | {"vtbi_ul": vtbi_ul, "demand_ul": 20, "lockout_s": 1}
        answer = self.request(faults, wire.PROGRAM_PCA, **order)
        if answer.message != wire.ERROR:
            self.program_id = answer.values["program_id"]

    @rule(faults=st.lists(FAULTS, max_size=4), vtbi_ul=st.sampled_from([99, 300]))
    def secondary(self, faults: list, vtbi_ul: int) -> None:
        answer = self.request(faults, wire.PROGRAM_SECONDARY, **(SECONDARY | {"vtbi_ul": vtbi_ul}))
        if answer.message != wire.ERROR:
            self.secondary_id = answer.values["program_id"]

    @rule(faults=st.lists(FAULTS, max_size=4), which=st.sampled_from(["program", "secondary"]))
    def start(self, faults: list, which: str) -> None:
        ids = {"program": self.program_id, "secondary": self.secondary_id}
        self.request(faults, wire.START, program_id=ids[which])

    @rule(
        faults=st.lists(FAULTS, max_size=4),
        volume_ul=st.sampled_from([9, 50, 1_000]),
        rate_ul_h=st.sampled_from([0, 60_000, 1_200_000]),
        duration_s=st.sampled_from([0, 2]),
    )
    def bolus(self, faults: list, volume_ul: int, rate_ul_h: int, duration_s: int) -> None:
        self.request(
            faults, wire.BOLUS, volume_ul=volume_ul, rate_ul_h=rate_ul_h, duration_s=duration_s
        )

    @rule(faults=st.lists(FAULTS, max_size=4))
    def change_container(self, faults: list) -> None:
        self.request(faults, wire.CHANGE_CONTAINER, content_ul=50_000)

    @rule(
        faults=st.lists(FAULTS, max_size=4),
        message=st.sampled_from(
            [wire.PAUSE, wire.RESUME, wire.STOP, wire.ACKNOWLEDGE, wire.STATUS, wire.DEMAND]
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
        self.noted[journal.STARTED] += self.noted.pop(journal.SECONDARY_STARTED, 0)
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
        if expected.message != wire.ERROR:
            # The answer to every program is the same message.
            self.done[wire.PROGRAM if message in PROGRAMS else message] += 1
        elif message != wire.DEMAND:
            # A demand that is refused is an event of its own.
            self.done[wire.ERROR] += 1
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
    assert infused == core.delivered_steps(program.INFUSED) > 0
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


def test_an_entry_that_cannot_be_told_is_an_error_and_no_crash() -> None:
    host = Host()
    host.open()
    core = host.pump.controller
    core.journal.append(core.uptime_s, core.uptime_ms, journal.BOLUS_STARTED, 1 << 31, 0)
    answer = host.ask(wire.LOG, first=0)
    assert answer.values["code"] == wire.OUT_OF_RANGE
    assert host.ask(wire.STATUS).message == wire.REPLY | wire.STATUS


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


# -- programs -------------------------------------------------------------------------------------

NO_FIGURES = (0, 0, 0)
U32 = 0xFFFFFFFF
OF_CONTINUOUS = [
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
    (SYRINGE, {"containers": 2, "vtbi_ul": 100_001}, therapy.VTBI_ABOVE_CONTENT,
     "vtbi_ul", (100_001, LEAST_VTBI_UL, 100_000)),
    # The loading dose comes out of the same container.
    (SYRINGE, {"vtbi_ul": 50_000, "loading_ul": 1_000, "loading_ul_h": 60_000},
     therapy.VTBI_ABOVE_CONTENT, "vtbi_ul", (50_000, LEAST_VTBI_UL, 49_000)),
    (SYRINGE, {"loading_ul": 1_000}, therapy.LOADING_INCOMPLETE, "loading_ul_h",
     NO_FIGURES),
    (SYRINGE, {"loading_ul_h": 1_000}, therapy.LOADING_INCOMPLETE, "loading_ul",
     NO_FIGURES),
    (SYRINGE, {"loading_ul": 9, "loading_ul_h": 1_000}, therapy.DOSE_BELOW_RANGE,
     "loading_ul", (9, 10, GREATEST_VTBI_UL)),
    (SYRINGE, {"loading_ul": 10, "loading_ul_h": 9}, therapy.RATE_BELOW_RANGE,
     "loading_ul_h", (9, 10, 1_200_000)),
]  # fmt: skip
REFUSALS = [
    *((wire.PROGRAM, *row) for row in OF_CONTINUOUS),
    (wire.PROGRAM_INTERMITTENT, INTERMITTENT, {"dose_ul": 99}, therapy.VTBI_BELOW_RANGE,
     "dose_ul", (99, LEAST_VTBI_UL, GREATEST_VTBI_UL)),
    (wire.PROGRAM_INTERMITTENT, INTERMITTENT, {"dose_ul": 1_000_000}, therapy.VTBI_ABOVE_RANGE,
     "doses", (10, 1, 9)),
    (wire.PROGRAM_INTERMITTENT, INTERMITTENT, {"duration_s": 60}, therapy.NEEDS_RATE_OR_TIME,
     None, NO_FIGURES),
    # 1 mL at 60 mL/h takes a minute, and a microstep that the next dose may have more of.
    (wire.PROGRAM_INTERMITTENT, INTERMITTENT, {"interval_s": 60}, therapy.INTERVAL_TOO_SHORT,
     "interval_s", (60, 61, 359_940)),
    (wire.PROGRAM_INTERMITTENT, INTERMITTENT, {"times": [(480,), (481,)], "clock_s": 0},
     therapy.INTERVAL_TOO_SHORT, "times", (60, 61, 359_940)),
    (wire.PROGRAM_INTERMITTENT, INTERMITTENT, {"times": [(1_440,)], "clock_s": 0},
     therapy.NO_SUCH_TIME, "times", (1_440, 0, 1_439)),
    (wire.PROGRAM_INTERMITTENT, INTERMITTENT, {"times": [(480,), (480,)], "clock_s": 0},
     therapy.NO_SUCH_TIME, "times", (480, 481, 1_439)),
    (wire.PROGRAM_INTERMITTENT, INTERMITTENT, {"times": [(480,)]}, therapy.CLOCK_NOT_TOLD,
     "clock_s", (86_400, 0, 86_399)),
    (wire.PROGRAM_RAMP, RAMP, {"duration_s": 0}, therapy.RAMP_NEEDS_TIME, "duration_s",
     (0, 1, 359_940)),
    (wire.PROGRAM_RAMP, RAMP, {"up_s": 3_001}, therapy.RAMP_TOO_LONG, "up_s",
     (3_601, 0, 3_600)),
    # 20 mL in 100 s with 20 s of each ramp: 20 / 80 mL/s.
    (wire.PROGRAM_RAMP, RAMP, {"duration_s": 100, "up_s": 20, "down_s": 20, "vtbi_ul": 40_000},
     therapy.RATE_ABOVE_RANGE, "vtbi_ul", (1_800_000, 10, 1_200_000)),
    (wire.PROGRAM_STEPPED, STEPPED, {"steps": []}, therapy.NO_STEPS, "steps", (0, 1, 28)),
    (wire.PROGRAM_STEPPED, STEPPED, {"steps": [(10, 500, 0), (10, 500, 1)]},
     therapy.STEP_NEEDS_VOLUME_OR_TIME, "steps", (2, 0, 0)),
    (wire.PROGRAM_STEPPED, STEPPED, {"steps": [(10, 500, 0), (9, 500, 0)]},
     therapy.RATE_BELOW_RANGE, "steps", (9, 10, 1_200_000)),
    (wire.PROGRAM_STEPPED, STEPPED, {"vtbi_ul": 10_003}, therapy.STEPS_DO_NOT_SUM, "vtbi_ul",
     (10_003, 10_000, 10_000)),
    # What is more than a u32 holds is told as the most that can be told.
    (wire.PROGRAM_STEPPED, STEPPED, {"vtbi_ul": 20_000, "steps": [(10, U32, 0)] * 28},
     therapy.STEPS_DO_NOT_SUM, "vtbi_ul", (20_000, U32, U32)),
    (wire.PROGRAM_STEPPED, STEPPED, {"steps": [(1_200_000, 0, U32)] * 28},
     therapy.VTBI_ABOVE_RANGE, "vtbi_ul", (U32, LEAST_VTBI_UL, GREATEST_VTBI_UL)),
    (wire.PROGRAM_PCA, PCA, {"demand_ul": 9}, therapy.DOSE_BELOW_RANGE, "demand_ul",
     (9, 10, 20_000)),
    (wire.PROGRAM_PCA, PCA, {"demand_ul": 20_001}, therapy.DOSE_ABOVE_VTBI, "demand_ul",
     (20_001, 10, 20_000)),
    (wire.PROGRAM_PCA, PCA, {"rate_ul_h": 9}, therapy.RATE_BELOW_RANGE, "rate_ul_h",
     (9, 10, 1_200_000)),
    (wire.PROGRAM_PCA, PCA, {"demand_ul_h": 1_199_001}, therapy.COMBINED_ABOVE_RANGE,
     "demand_ul_h", (1_199_001, 10, 1_199_000)),
    # 1 mL at 120 mL/h takes half a minute.
    (wire.PROGRAM_PCA, PCA, {"lockout_s": 30}, therapy.LOCKOUT_TOO_SHORT, "lockout_s",
     (30, 31, 86_400)),
    (wire.PROGRAM_PCA, PCA, {"window_1_s": 59}, therapy.WINDOW_OUT_OF_RANGE, "window_1_s",
     (59, 60, 86_400)),
    (wire.PROGRAM_PCA, PCA, {"limit_2_ul": 10_000}, therapy.WINDOW_OUT_OF_RANGE, "window_2_s",
     (0, 60, 86_400)),
    # A demand of 1 mL beside 1 mL/h.
    (wire.PROGRAM_PCA, PCA, {"limit_1_ul": 1_999}, therapy.LIMIT_BELOW_DOSE, "limit_1_ul",
     (1_999, 2_000, GREATEST_VTBI_UL)),
    (wire.PROGRAM_PCA, PCA, {"window_2_s": 14_400, "limit_2_ul": 4_999},
     therapy.LIMIT_BELOW_DOSE, "limit_2_ul", (4_999, 5_000, GREATEST_VTBI_UL)),
    (wire.PROGRAM_PURGE, PURGE, {"volume_ul": 9}, therapy.DOSE_BELOW_RANGE, "volume_ul",
     (9, 10, GREATEST_VTBI_UL)),
    (wire.PROGRAM_PURGE, PURGE, {"volume_ul": 50_001}, therapy.VTBI_ABOVE_CONTENT, "volume_ul",
     (50_001, LEAST_VTBI_UL, 50_000)),
    # No further back than the syringe is long.
    (wire.PROGRAM_PURGE, PURGE, {"volume_ul": 60_001, "reverse": 1}, therapy.DOSE_ABOVE_VTBI,
     "volume_ul", (60_001, 10, 60_000)),
    (wire.PROGRAM_PURGE, PURGE | {"kind": 2, "item_id": HEAD["item_id"]}, {"reverse": 1},
     therapy.CANNOT_REVERSE, "reverse", (1, 0, 0)),
]  # fmt: skip
# What every program begins with is looked at for all of them.
REFUSALS += [
    (message, order, *rest)
    for message, order in ORDERS.items()
    if message != wire.PROGRAM
    for rest in (
        ({"kind": 2}, wire.OTHER_KIND, "kind", (2, 1, 1)),
        ({"item_id": "spoon"}, wire.UNKNOWN_ITEM, "item_id", NO_FIGURES),
        ({"content_ul": 60_001}, therapy.CONTENT_ABOVE_CAPACITY, "content_ul",
         (60_001, 0, 60_000)),
    )
]  # fmt: skip


@pytest.mark.parametrize(
    ("message", "order", "change", "code", "field", "figures"),
    REFUSALS,
    ids=[
        f"{codec.NAMES[row[0]]}-{row[3]}-{row[4]}-{'-'.join(map(str, row[2].values()))}"[:80]
        for row in REFUSALS
    ],
)
def test_a_program_is_refused_with_the_field_and_its_range(
    message: int, order: dict, change: dict, code: int, field: str | None, figures: tuple
) -> None:
    host = Host(order["kind"])
    host.open()
    answer = host.ask(message, **(order | change))
    names = [row[0] for row in wire.fields_of(message)]
    index = names.index(field) if field else wire.NO_FIELD
    assert answer.message == wire.ERROR
    assert tuple(answer.values.values()) == (code, index, *figures, 0)
    assert host.therapy()["state"] == controller.IDLE
    assert host.events()[-1][3:] == (journal.REFUSED, message, code, "")
    # Nothing of it stays behind.
    assert host.ask(message, **order).message == wire.REPLY | wire.PROGRAM


def test_every_reason_to_refuse_a_program_is_looked_at() -> None:
    reasons = set(range(therapy.RATE_BELOW_RANGE, therapy.CANNOT_REVERSE + 1))
    assert {row[3] for row in REFUSALS} == reasons | {wire.OTHER_KIND, wire.UNKNOWN_ITEM}
    assert {row[0] for row in REFUSALS} == set(PROGRAMS)


EDGES = [0, 1, 9, 10, 99, 100, 3_600, 60_000, 60_001, 1_200_000, 1_200_001, 9_999_000, U32]


def numbers(least: int, greatest: int) -> st.SearchStrategy[int]:
    fitting = [edge for edge in EDGES if least <= edge <= greatest]
    return st.one_of(st.sampled_from(fitting), st.integers(least, greatest))


def near(field: tuple, good: object) -> st.SearchStrategy:
    """What it was, or anything that the wire lets through."""
    _, kind, _, least, greatest = field
    if kind == wire.TEXT:
        return st.just(good)
    if kind in wire.RECORDS:
        parts = [numbers(*wire.INTEGERS[part][1:]) for part in wire.RECORDS[kind]]
        records = st.lists(st.tuples(*parts), min_size=least, max_size=greatest)
        return st.one_of(st.just(good), records)
    return st.one_of(st.just(good), numbers(least, greatest))


@st.composite
def programs(draw: st.DrawFn) -> tuple[int, dict]:
    """A program of any kind, of which some fields are as they should be."""
    message = draw(st.sampled_from(sorted(ORDERS)))
    order = dict(ORDERS[message])
    if draw(st.booleans()):
        order |= {name: HEAD[name] for name in ("kind", "item_id", "content_ul")}
    fields = {field[0]: field for field in wire.fields_of(message)}
    changed = draw(st.lists(st.sampled_from(sorted(order.keys() - {"kind"})), max_size=4))
    for name in changed:
        order[name] = draw(near(fields[name], order[name]))
    return message, order


def as_data(made: program.Program) -> tuple:
    """All that a program is, for comparison."""
    phases = [tuple(vars(phase).values()) for phase in made.phases]
    rest = {name: value for name, value in vars(made).items() if name not in ("phases", "limits")}
    limits = made.limits and (made.limits.lockout_ms, made.limits.windows)
    del rest["mechanism"]
    return phases, rest, limits


def made_or_refused(
    message: int, parts: mechanism.Mechanism, order: dict
) -> program.Program | tuple:
    """What therapy makes of an order, or the values of the error that is to come of it."""
    try:
        return therapy.make(PROGRAMS[message], parts, order)
    except therapy.RefusedError as error:
        names = [field[0] for field in wire.fields_of(message)]
        index = names.index(error.field) if error.field else wire.NO_FIELD
        figures = [min(figure, U32) for figure in (error.value, error.least, error.greatest)]
        return error.code, index, *figures, 0


@given(programs())
@settings(max_examples=500)
def test_a_program_is_what_therapy_makes_of_the_same_fields(asked: tuple[int, dict]) -> None:
    message, order = asked
    host = Host(order["kind"])
    host.open()
    answer = host.ask(message, **order)
    parts = mechanism.build(order["kind"], order["item_id"], DRIVES[order["kind"]])
    made = made_or_refused(message, parts, order)
    # There is no drug library; and a purge is nobody's dose.
    standing = prescription.NOT_JUDGED if message == wire.PROGRAM_PURGE else prescription.NO_LIBRARY
    if isinstance(made, tuple):
        assert tuple(answer.values.values()) == made
        assert host.therapy()["state"] == controller.IDLE
        return
    assert host.therapy()["state"] == controller.PROGRAMMED
    assert as_data(host.pump.controller.motion.program) == as_data(made)
    body = wire.open_frame(host.last[:-1])[3]
    assert answer.values == {
        "program_id": crc32(bytes([message]) + body),
        "warnings": made.warnings,
        "rate_ul_h": made.first_rate_ul_h(),
        "peak_ul_h": made.peak_ul_h(),
        "vtbi_ul": made.vtbi_ul,
        "duration_s": min(made.duration_s(), U32),
        "kvo_ul_h": made.kvo_ul_h,
        "least_rate_ul_h": parts.least_rate_ul_h,
        "nl_num": parts.nl_num,
        "nl_den": parts.nl_den,
        "library": standing,
        "findings": [],
    }
    # And whatever was accepted can be told of.
    host.ask(wire.START, program_id=answer.values["program_id"])
    host.wait(500)
    status = host.ask(wire.STATUS).values
    assert status["therapy"] == PROGRAMS[message]
    assert status["program_id"] == answer.values["program_id"]


@pytest.mark.parametrize(
    "order",
    [
        # 9.999 L at 10 µL/h are more than a century, and a loading dose as slow as many again.
        SYRINGE | HEAD | {"containers": 2, "rate_ul_h": 10, "vtbi_ul": 9_999_000,
                          "loading_ul": 9_999_000, "loading_ul_h": 10},
        # A full container at the first stair of a ramp: 1 µL/h.
        SETUP | HEAD | {"vtbi_ul": 250, "duration_s": 90_000, "up_s": 90_000, "down_s": 0},
    ],
    ids=["duration", "container"],
)  # fmt: skip
def test_times_that_are_longer_than_can_be_told_are_told_as_the_longest(order: dict) -> None:
    host = Host(order["kind"])
    host.open()
    message = wire.PROGRAM_RAMP if "up_s" in order else wire.PROGRAM
    fields = {field[0]: order[field[0]] for field in wire.fields_of(message)}
    accepted = host.ask(message, **fields).values
    host.ask(wire.START, program_id=accepted["program_id"])
    host.wait(1_000)
    status = host.ask(wire.STATUS)
    assert status.message == wire.REPLY | wire.STATUS
    told = {
        wire.PROGRAM: (accepted["duration_s"], status.values["remaining_s"]),
        wire.PROGRAM_RAMP: (status.values["content_left_s"],),
    }
    assert set(told[message]) == {U32}


def test_a_program_is_refused_while_one_is_under_way() -> None:
    host = Host()
    host.infuse(SYRINGE)
    answer = host.ask(wire.PROGRAM, **SYRINGE)
    assert tuple(answer.values.values()) == (controller.WRONG_STATE, wire.NO_FIELD, 0, 0, 0, 0)


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
    assert tuple(answer.values.values()) == (code, 0, rate_ul_h, 10, 1_200_000, 0)
    assert host.therapy()["rate"] == SYRINGE["rate_ul_h"]


# -- what flows beside a program ------------------------------------------------------------------


def repeated(host: Host, answer: codec.Frame, times: int = 3) -> None:
    """The same frame again and again, while time goes by: the same answer each time."""
    for _ in range(times):
        host.wait(700)
        assert host.send(host.last) == [answer]


def test_a_bolus_that_is_asked_for_again_is_given_once() -> None:
    host = Host()
    host.infuse(SYRINGE)
    host.wait(5_000)
    answer = host.ask(wire.BOLUS, volume_ul=100, rate_ul_h=360_000, duration_s=0)
    assert answer.values == {"state": controller.INFUSING}
    # A second of 360 mL/h is 0.1 mL: it is over, and its request comes once more.
    repeated(host, answer)
    parts = host.pump.controller.mechanism()
    assert host.delivered(program.BOLUS) == parts.steps_for_ul(100)
    assert host.codes().count(journal.BOLUS_STARTED) == 1
    assert host.codes().count(journal.BOLUS_DONE) == 1


def test_a_demand_that_is_asked_for_again_is_counted_and_given_once() -> None:
    host = Host()
    host.infuse(PCA | {"lockout_s": 60, "demand_ul": 100}, wire.PROGRAM_PCA)
    answer = host.ask(wire.DEMAND)
    assert answer.values == {"state": controller.INFUSING}
    host.wait(61_000)
    # The lockout is over: another demand would be given.
    repeated(host, answer)
    status = host.ask(wire.STATUS).values
    assert (status["demands_made"], status["demands_given"]) == (1, 1)
    assert host.delivered(program.DEMAND) == host.pump.controller.mechanism().steps_for_ul(100)
    refused = [host.ask(wire.DEMAND), host.ask(wire.DEMAND)][1]
    assert refused.values["code"] == boluses.DEMAND_LOCKED_OUT
    repeated(host, refused)
    status = host.ask(wire.STATUS).values
    assert (status["demands_made"], status["demands_given"]) == (3, 2)
    # Each is in the log with its reason and number, and in no other entry.
    assert [entry[4:6] for entry in host.events() if entry[3] == journal.DEMAND_REFUSED] == [
        (boluses.DEMAND_LOCKED_OUT, 3)
    ]
    assert journal.REFUSED not in host.codes()


LEFT_UL = "what is left of the VTBI"
BAD_BOLUSES = [
    ((100, 9, 0), therapy.RATE_BELOW_RANGE, 1, (9, 10, 1_080_000)),
    ((100, 1_200_001, 0), therapy.RATE_ABOVE_RANGE, 1, (1_200_001, 10, 1_080_000)),
    # Beside 120 mL/h.
    ((100, 1_080_001, 0), therapy.COMBINED_ABOVE_RANGE, 1, (1_080_001, 10, 1_080_000)),
    # 10 µL in 2 h are 5 µL/h, 1 mL in 3 s are 1200 mL/h: the rate that was meant is told.
    ((10, 0, 7_200), therapy.RATE_BELOW_RANGE, 1, (5, 10, 1_080_000)),
    ((1_000, 0, 3), therapy.COMBINED_ABOVE_RANGE, 1, (1_200_000, 10, 1_080_000)),
    ((9, 60_000, 0), therapy.DOSE_BELOW_RANGE, 0, (9, 10, LEFT_UL)),
    ((20_001, 60_000, 0), boluses.BOLUS_ABOVE_VTBI, 0, (20_001, 10, LEFT_UL)),
    ((U32, 0, 1), boluses.BOLUS_ABOVE_VTBI, 0, (U32, 10, LEFT_UL)),
    ((100, 0, 0), therapy.NEEDS_RATE_OR_TIME, wire.NO_FIELD, NO_FIGURES),
    ((100, 60_000, 6), therapy.NEEDS_RATE_OR_TIME, wire.NO_FIELD, NO_FIGURES),
]


@pytest.mark.parametrize(
    ("bolus", "code", "field", "figures"), BAD_BOLUSES, ids=[str(row[0]) for row in BAD_BOLUSES]
)
def test_a_bolus_is_refused_with_its_range(
    bolus: tuple[int, int, int], code: int, field: int, figures: tuple
) -> None:
    host, twin = Host(), Host()
    for each in (host, twin):
        each.infuse(SYRINGE)
        each.wait(60_000)
    volume_ul, rate_ul_h, duration_s = bolus
    answer = host.ask(wire.BOLUS, volume_ul=volume_ul, rate_ul_h=rate_ul_h, duration_s=duration_s)
    *told, greatest, asks = answer.values.values()
    assert asks == 0
    assert told == [code, field, *figures[:2]]
    if figures[2] == LEFT_UL:
        # 120 mL/h for a minute less the start, and 0.6 s more are planned at most.
        assert 18_000 - 20 <= greatest <= 18_000 + 5
        over = {"rate_ul_h": 60_000, "duration_s": 0}
        assert host.ask(wire.BOLUS, volume_ul=greatest + 1, **over).message == wire.ERROR
        assert host.ask(wire.BOLUS, volume_ul=greatest, **over).message == wire.DONE
    else:
        assert greatest == figures[2]
        assert host.therapy() == twin.therapy()


def test_a_bolus_is_refused_where_there_is_none() -> None:
    asked = {"volume_ul": 100, "rate_ul_h": 60_000, "duration_s": 0}
    host = Host()
    host.open()
    assert host.ask(wire.BOLUS, **asked).values["code"] == controller.WRONG_STATE
    assert host.ask(wire.DEMAND).values["code"] == boluses.NO_DEMAND_HERE
    for message in (wire.PROGRAM_RAMP, wire.PROGRAM_STEPPED, wire.PROGRAM_INTERMITTENT):
        host = Host()
        host.infuse(ORDERS[message], message)
        assert host.ask(wire.BOLUS, **asked).values["code"] == boluses.NO_BOLUS_HERE
        assert host.ask(wire.DEMAND).values["code"] == boluses.NO_DEMAND_HERE
        assert host.ask(wire.SET_RATE, rate_ul_h=500).values["code"] == controller.CANNOT_TITRATE
    host = Host()
    host.infuse(SYRINGE)
    assert host.ask(wire.BOLUS, **asked).message == wire.DONE
    assert host.ask(wire.BOLUS, **asked).values["code"] == boluses.BOLUS_RUNNING
    host.wait(10_000)
    host.pump.controller.raise_alarm(alarms.STARVED)
    assert host.ask(wire.BOLUS, **asked).values["code"] == boluses.IN_ALARM


def test_a_limit_that_is_reached_refuses_bolus_demand_and_rate() -> None:
    host = Host()
    limit = {"limit_1_ul": 2_000, "lockout_s": 31}
    host.infuse(PCA | limit, wire.PROGRAM_PCA)
    assert host.ask(wire.DEMAND).message == wire.DONE
    host.wait(60_000)
    assert host.ask(wire.DEMAND).values["code"] == boluses.LIMIT_REACHED
    bolus = {"volume_ul": 10, "rate_ul_h": 60_000, "duration_s": 0}
    assert host.ask(wire.BOLUS, **bolus).values["code"] == boluses.LIMIT_REACHED
    assert host.ask(wire.SET_RATE, rate_ul_h=1_001).values["code"] == boluses.LIMIT_REACHED
    assert host.ask(wire.SET_RATE, rate_ul_h=0).message == wire.DONE


# -- secondaries and containers -------------------------------------------------------------------


def test_a_secondary_is_started_by_its_own_id_and_the_primary_goes_on() -> None:
    host = Host()
    primary_id = host.infuse(SYRINGE)
    host.wait(5_000)
    accepted = host.ask(wire.PROGRAM_SECONDARY, **SECONDARY).values
    body = wire.open_frame(host.last[:-1])[3]
    secondary_id = accepted["program_id"]
    assert secondary_id == crc32(bytes([wire.PROGRAM_SECONDARY]) + body) != primary_id
    flow = [accepted[name] for name in ("rate_ul_h", "peak_ul_h", "vtbi_ul", "duration_s")]
    assert flow == [360_000, 360_000, 1_000, 10]
    host.wait(5_000)
    assert host.delivered(program.SECONDARY) == 0
    for other in (primary_id, 0, secondary_id ^ 1):
        assert host.ask(wire.START, program_id=other).values["code"] == controller.WRONG_STATE
    started = host.ask(wire.START, program_id=secondary_id)
    assert started.values == {"state": controller.INFUSING}
    repeated(host, started)
    assert host.therapy()["rate"] == 360_000
    # It is started once; for another the pump has to be told again.
    answer = host.ask(wire.START, program_id=secondary_id)
    assert answer.values["code"] == controller.WRONG_STATE
    host.wait(20_000)
    parts = host.pump.controller.mechanism()
    assert host.delivered(program.SECONDARY) == parts.steps_for_ul(1_000)
    assert host.codes().count(journal.SECONDARY_STARTED) == 1
    assert host.therapy()["rate"] == SYRINGE["rate_ul_h"]
    # 20 mL at 120 mL/h: the whole of the primary's VTBI.
    host.wait(600_000)
    assert host.delivered(program.INFUSED) == parts.steps_for_ul(20_000)


BAD_SECONDARIES = [
    ({"vtbi_ul": 99}, therapy.VTBI_BELOW_RANGE, "vtbi_ul", (99, 100, GREATEST_VTBI_UL)),
    ({"vtbi_ul": 2_001}, therapy.VTBI_ABOVE_CONTENT, "vtbi_ul", (2_001, 100, 2_000)),
    ({"rate_ul_h": 1_200_001}, therapy.RATE_ABOVE_RANGE, "rate_ul_h",
     (1_200_001, 10, 1_200_000)),
    ({"duration_s": 60}, therapy.NEEDS_RATE_OR_TIME, None, NO_FIGURES),
]  # fmt: skip


@pytest.mark.parametrize(("change", "code", "field", "figures"), BAD_SECONDARIES)
def test_a_secondary_is_refused_with_its_range(
    change: dict, code: int, field: str | None, figures: tuple
) -> None:
    host = Host()
    host.infuse(SYRINGE)
    answer = host.ask(wire.PROGRAM_SECONDARY, **(SECONDARY | change))
    names = [row[0] for row in wire.fields_of(wire.PROGRAM_SECONDARY)]
    index = names.index(field) if field else wire.NO_FIELD
    assert tuple(answer.values.values()) == (code, index, *figures, 0)


def test_a_secondary_is_refused_where_there_is_no_primary_for_it() -> None:
    host = Host()
    host.open()
    answer = host.ask(wire.PROGRAM_SECONDARY, **SECONDARY)
    assert answer.values["code"] == controller.WRONG_STATE
    for message in (wire.PROGRAM_PCA, wire.PROGRAM_RAMP):
        host = Host()
        host.infuse(ORDERS[message], message)
        answer = host.ask(wire.PROGRAM_SECONDARY, **SECONDARY)
        assert answer.values["code"] == controller.NO_SECONDARY_HERE


def test_a_container_is_changed_in_a_pause_and_no_fuller_than_it_can_be() -> None:
    host = Host()
    host.infuse(SYRINGE)
    answer = host.ask(wire.CHANGE_CONTAINER, content_ul=40_000)
    assert answer.values["code"] == controller.WRONG_STATE
    host.ask(wire.PAUSE)
    answer = host.ask(wire.CHANGE_CONTAINER, content_ul=60_001)
    expected = (therapy.CONTENT_ABOVE_CAPACITY, 0, 60_001, 0, 60_000, 0)
    assert tuple(answer.values.values()) == expected
    answer = host.ask(wire.CHANGE_CONTAINER, content_ul=40_000)
    assert answer.values == {"state": controller.PAUSED}
    repeated(host, answer)
    assert host.codes().count(journal.CONTAINER_CHANGED) == 1
    # Told in whole microsteps of 140 nL, the last of them cut off.
    assert 39_999 <= host.ask(wire.STATUS).values["content_ul"] <= 40_000


# -- status of every therapy ----------------------------------------------------------------------


def counted(values: dict, name: str) -> int:
    return values[f"{name}_millions"] * 1_000_000 + values[f"{name}_rest"]


def test_status_tells_every_bucket_and_what_counts_towards_the_vtbi() -> None:
    host = Host()
    loading = {"loading_ul": 500, "loading_ul_h": 360_000}
    host.infuse(PCA | loading, wire.PROGRAM_PCA)
    host.wait(6_000)
    assert host.ask(wire.BOLUS, volume_ul=200, rate_ul_h=360_000, duration_s=0).message == wire.DONE
    assert host.ask(wire.DEMAND).message == wire.DONE
    values = host.ask(wire.STATUS).values
    # 1 mL and 0.2 mL, of which nothing has flowed yet.
    assert values["bolus_left_ul"] == 1_200
    assert values["lockout_left_s"] == 360
    host.wait(60_000)
    values = host.ask(wire.STATUS).values
    parts = host.pump.controller.mechanism()
    assert counted(values, "demand") == parts.steps_for_ul(1_000)
    assert counted(values, "bolus") == parts.steps_for_ul(500) + parts.steps_for_ul(200)
    assert counted(values, "given") == (
        counted(values, "infused") + parts.steps_for_ul(200) + parts.steps_for_ul(1_000)
    )
    assert counted(values, "infused") > 0
    assert (values["demands_made"], values["demands_given"]) == (1, 1)
    assert values["bolus_left_ul"] == 0
    assert values["lockout_left_s"] == 300
    assert values["therapy"] == program.PCA
    delivered = sum(counted(values, name) for name in ("infused", "demand", "bolus"))
    drawn_ul = 50_000 - delivered * parts.nl_num / parts.nl_den / 1000
    # Counted where planned, which is at most 0.6 s ahead: at 1 mL/h less than a microlitre.
    assert values["content_ul"] == pytest.approx(drawn_ul, abs=2)
    # What is left at the basal rate of 1 mL/h.
    assert values["content_left_s"] == values["content_ul"] * 3600 // 1_000


@pytest.mark.parametrize(("reverse", "bucket"), [(0, "primed"), (1, "retracted")])
def test_a_purge_is_priming_and_has_its_own_bucket(reverse: int, bucket: str) -> None:
    host = Host()
    host.open()
    accepted = host.ask(wire.PROGRAM_PURGE, **(PURGE | {"reverse": reverse})).values
    started = host.ask(wire.START, program_id=accepted["program_id"])
    assert started.values == {"state": controller.PRIMING}
    host.wait(3_000)
    assert host.ask(wire.STATUS).values["state"] == controller.PRIMING
    host.wait(60_000)
    values = host.ask(wire.STATUS).values
    assert values["state"] == controller.COMPLETED
    assert counted(values, bucket) == counted(values, "target") > 0
    others = ["infused", "kvo", "primed", "retracted", "bolus", "demand", "secondary"]
    others.remove(bucket)
    assert {counted(values, name) for name in others} == {0}


def test_a_delay_without_kvo_is_waiting_and_doses_are_counted() -> None:
    host = Host()
    host.open()
    order = INTERMITTENT | {"delay_s": 60, "kvo_ul_h": therapy.KVO_OFF}
    accepted = host.ask(wire.PROGRAM_INTERMITTENT, **order).values
    started = host.ask(wire.START, program_id=accepted["program_id"])
    assert started.values == {"state": controller.WAITING}
    values = host.ask(wire.STATUS).values
    # Ten doses of a minute an hour apart, after a minute.
    assert values["remaining_s"] == accepted["duration_s"] == 60 + 9 * 3_600 + 60
    assert values["content_left_s"] == U32
    host.wait(60_000 + 3_600_000 + 70_000)
    assert host.ask(wire.STATUS).values["doses"] == 2


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
