"""Judges and rigs that several tests share."""

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

from micropump import catalogue, mechanism, therapy, wire
from micropump.controller import Controller
from micropump.link import Identity
from micropump.mechanism import Mechanism
from micropump.motion import edges_us
from micropump.program import (
    CONTINUOUS,
    INTERMITTENT,
    PCA,
    PURGE,
    RAMP,
    STEPPED,
    Program,
)
from micropump.units import CLOCK_MASK, QUANTUM_MS
from micropump_virtual.pump import VirtualPump

REPO = Path(__file__).resolve().parent.parent
FIRMWARE = REPO / "firmware"
SCRIPTS = Path(__file__).resolve().parent / "on_micropython"
MICROPYTHON = Path(sys.executable).with_name("micropython")

# Every mechanism that the catalogue can make, as the arguments of mechanism.build.
MECHANISMS = [
    (kind, item[0], drive[0])
    for kind, items, drives in (
        (mechanism.KIND_SYRINGE, catalogue.SYRINGES, catalogue.SYRINGE_DRIVES),
        (mechanism.KIND_PERISTALTIC, catalogue.PERISTALTIC_HEADS, catalogue.HEAD_DRIVES),
    )
    for item in items
    for drive in drives
]

# What an order says that names no drug.
UNNAMED = {
    "order_id": "", "asked_by": "", "drug_id": "", "care_area": "", "concentration_in": 0,
    "concentration_mantissa": 0, "concentration_exponent": 0, "weight_g": 0,
}  # fmt: skip
# What a request ends with that has no more to say: nothing is overridden, no drug is named.
UNSAID = {
    wire.START: {"overrides": 0},
    wire.SET_RATE: {"overrides": 0},
    wire.BOLUS: {"overrides": 0},
    wire.CHANGE_CONTAINER: {"drug_id": ""},
    wire.PROGRAM_SECONDARY: UNNAMED,
}
# An order of each kind that any pump accepts: the fields of its message on the wire, by name.
SETUP = {
    "content_ul": 50_000, "containers": 1, "delay_s": 0, "kvo_ul_h": therapy.KVO_BY_RULE,
    **UNNAMED,
}  # fmt: skip
ORDERS = {
    CONTINUOUS: {
        "rate_ul_h": 5_000, "vtbi_ul": 10_000, "duration_s": 0, "loading_ul": 0, "loading_ul_h": 0,
    },
    INTERMITTENT: {
        "dose_ul": 500, "rate_ul_h": 60_000, "duration_s": 0, "interval_s": 60, "doses": 3,
        "times": [], "clock_s": therapy.CLOCK_UNKNOWN_S,
    },
    RAMP: {"vtbi_ul": 10_000, "duration_s": 3_600, "up_s": 600, "down_s": 600},
    STEPPED: {"vtbi_ul": 0, "steps": [(5_000, 1_000, 0), (20_000, 0, 600)]},
    PCA: {
        "vtbi_ul": 30_000, "rate_ul_h": 1_000, "demand_ul": 1_000, "demand_ul_h": 60_000,
        "lockout_s": 360, "window_1_s": 0, "limit_1_ul": 0, "window_2_s": 0, "limit_2_ul": 0,
        "loading_ul": 0, "loading_ul_h": 0,
    },
    PURGE: {"volume_ul": 2_000, "rate_ul_h": 60_000, "reverse": 0},
}  # fmt: skip
MESSAGES = {
    CONTINUOUS: wire.PROGRAM,
    INTERMITTENT: wire.PROGRAM_INTERMITTENT,
    RAMP: wire.PROGRAM_RAMP,
    STEPPED: wire.PROGRAM_STEPPED,
    PCA: wire.PROGRAM_PCA,
    PURGE: wire.PROGRAM_PURGE,
}


def order_of(kind: int, **wishes: object) -> dict[str, object]:
    """The fields of an order that is accepted as it stands, but for the ``wishes``."""
    fields = {**SETUP, **ORDERS[kind]}
    assert set(wishes) <= set(fields), wishes
    return {**fields, **wishes}


def message_of(
    kind: int, fitted: int, item_id: str, **wishes: object
) -> tuple[int, tuple[object, ...]]:
    """Such an order as a message of the wire and its values."""
    fields = {**order_of(kind, **wishes), "kind": fitted, "item_id": item_id}
    message = MESSAGES[kind]
    return message, tuple(fields[field[0]] for field in wire.fields_of(message))


def program_of(kind: int, parts: Mechanism, **wishes: object) -> Program:
    """The program of such an order; raises RefusedError."""
    return therapy.make(kind, parts, order_of(kind, **wishes))


def nl_per_step(parts: Mechanism) -> Fraction:
    """A mechanism's ratio."""
    return Fraction(parts.nl_num, parts.nl_den)


class Schedule:
    """The exact rational schedule of one phase: the judge of every step.

    Attributes:
        nl_per_step: the mechanism's ratio.
        steps: steps due so far, exactly.
        edges_us: when each whole step fell due, in whole µs, rounded up.

    """

    def __init__(self, nl_per_step: Fraction) -> None:
        self.nl_per_step = nl_per_step
        self.steps = Fraction(0)
        self.edges_us: list[int] = []

    def flow(self, from_ms: int, until_ms: int, rate_ul_h: int, limit: int | None = None) -> None:
        """Deliver ``rate_ul_h`` from one time to another, at most until ``limit`` whole steps."""
        # 1 µL/h = 1000 nL per 3.6e9 µs.
        per_us = Fraction(rate_ul_h, 3_600_000) / self.nl_per_step
        before = self.steps
        after = before + per_us * (until_ms - from_ms) * 1000
        if limit is not None:
            after = min(after, Fraction(limit))
        # (k - before) / per_us, rounded up, in whole numbers for speed.
        num, den = before.numerator, before.denominator
        scale, divisor = per_us.denominator, den * per_us.numerator
        for k in range(int(before) + 1, int(after) + 1):
            self.edges_us.append(from_ms * 1000 - ((num - k * den) * scale) // divisor)
        self.steps = after


class RecordingStepper:
    """A stepper that keeps all it is handed, on a clock that does not wrap.

    Attributes:
        now_ms: the present, set by whoever drives it.
        quanta: what was pushed, as (start_ms, the fields of push).
        aborts: (number of quanta before it, at what time).

    """

    def __init__(self) -> None:
        self.now_ms = 0
        self.quanta: list[tuple[int, tuple[int, ...]]] = []
        self.aborts: list[tuple[int, int]] = []
        self.next_ms = 0
        self._begun = 0
        # Edges up to the last abort, and how many quanta and aborts those are.
        self._past_us: list[int] = []
        self._past = (0, 0)

    def begin(self, start_ms: int, reverse: bool) -> None:
        self.reverse = reverse
        self.next_ms = self.now_ms + (int(start_ms - self.now_ms) & CLOCK_MASK)
        self._begun = len(self.quanta)

    def push(self, *fields: int) -> None:
        self.quanta.append((self.next_ms, fields))
        self.next_ms += QUANTUM_MS

    def abort(self, now_ms: int) -> int:
        assert now_ms == self.now_ms & CLOCK_MASK
        self.aborts.append((len(self.quanta), self.now_ms))
        made = 0
        for start_ms, fields in self.quanta[self._begun :]:
            if start_ms + QUANTUM_MS <= self.now_ms:
                made += fields[0]
            else:
                made += sum(start_ms * 1000 + at <= self.now_ms * 1000 for at in edges_us(*fields))
        return made & CLOCK_MASK

    def made_edges_us(self) -> list[int]:
        """Every edge that was made, aborted ones left out, on the unwrapped clock."""
        begun, aborts = self._past
        for until, cut_ms in self.aborts[aborts:]:
            for start_ms, fields in self.quanta[begun:until]:
                edges_of = [start_ms * 1000 + at_us for at_us in edges_us(*fields)]
                self._past_us += [at_us for at_us in edges_of if at_us <= cut_ms * 1000]
            begun = until
        self._past = (begun, len(self.aborts))
        return self._past_us + [
            start_ms * 1000 + at_us
            for start_ms, fields in self.quanta[begun:]
            for at_us in edges_us(*fields)
        ]


class Rig:
    """A controller on a recording stepper, ticked when the test says so."""

    def __init__(self, start_ms: int = 0, sensors: tuple = ()) -> None:
        self.now_ms = start_ms
        self.stepper = RecordingStepper()
        self.stepper.now_ms = start_ms
        self.controller = Controller(self.stepper, start_ms & CLOCK_MASK, sensors=sensors)
        self.inputs = self.controller.inputs
        self.due_ms = start_ms

    def tick(self, after_ms: int = 0) -> None:
        """One tick ``after_ms`` from the last moment, whether due or not."""
        self.now_ms += after_ms
        self.stepper.now_ms = self.now_ms
        now = self.now_ms & CLOCK_MASK
        self.due_ms = self.now_ms + ((self.controller.tick(now, self.inputs) - now) & CLOCK_MASK)
        self.controller.attend()

    def run(self, for_ms: int) -> None:
        """Every tick when it is due, and one at the end."""
        end_ms = self.now_ms + for_ms
        while self.due_ms < end_ms:
            self.tick(max(0, self.due_ms - self.now_ms))
        self.tick(end_ms - self.now_ms)

    def do(self, name: str, *values: object) -> int:
        """The command ``name`` of the controller, now."""
        self.stepper.now_ms = self.now_ms
        answer = getattr(self.controller, name)(self.now_ms & CLOCK_MASK, *values)
        self.due_ms = self.now_ms
        return answer

    def events(self) -> list[tuple[int, int, int]]:
        """(code, a, b) of every entry that the journal keeps."""
        log = self.controller.journal
        return [log.entry(n)[3:6] for n in range(log.first_kept(), log.next_number)]

    def codes(self) -> list[int]:
        """The codes of every entry that the journal keeps."""
        return [event[0] for event in self.events()]


class CpythonGround:
    """A virtual pump in this process, spoken to over the wire."""

    def __init__(self, kind: int, drive_id: str, start_ms: int) -> None:
        self.pump = VirtualPump(Identity("cpython", "virtual", kind, drive_id, 1000), start_ms)

    def send(self, at_ms: int, frame: bytes) -> bytes:
        return self.pump.receive(at_ms, frame)

    def advance(self, until_ms: int) -> None:
        self.pump.advance(until_ms)

    def trace(self) -> list[tuple[int, ...]]:
        """Quanta, and aborts as (time,), in the order in which they came."""
        lines: list[tuple[int, ...]] = []
        at = 0
        for until, cut_ms in [*self.pump.aborts, (len(self.pump.quanta), None)]:
            lines += self.pump.quanta[at:until]
            if cut_ms is not None:
                lines.append((cut_ms,))
            at = until
        return lines

    def close(self) -> None:
        pass


class MicropythonGround:
    """The same pump, interpreted by the MicroPython port, as serve.py runs it."""

    def __init__(self, kind: int, drive_id: str, start_ms: int) -> None:
        self._trace: list[tuple[int, ...]] = []
        words = ["micropump_virtual/serve.py", ".", kind, drive_id, 1000, start_ms]
        self._process = subprocess.Popen(
            [MICROPYTHON, *map(str, words)],
            cwd=FIRMWARE,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _ask(self, line: str) -> bytes:
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        said = b""
        for answer in self._process.stdout:
            words = answer.split()
            if words[0] == "T":
                return said
            if words[0] == "D":
                said = bytes.fromhex(words[1])
            elif words[0] in ("Q", "X"):
                self._trace.append(tuple(map(int, words[1:])))
            else:
                # MicroPython writes its tracebacks to standard output.
                raise AssertionError(answer + self._process.stdout.read())
        raise AssertionError(self._process.stderr.read())

    def send(self, at_ms: int, frame: bytes) -> bytes:
        return self._ask(f"R {at_ms} {frame.hex()}")

    def advance(self, until_ms: int) -> None:
        self._ask(f"A {until_ms}")

    def trace(self) -> list[tuple[int, ...]]:
        return self._trace

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()
        self._process.stderr.close()


class Caller:
    """The host's end of the wire, on either ground."""

    SESSION = 0x1234

    def __init__(self, ground: CpythonGround | MicropythonGround, now_ms: int) -> None:
        self.ground = ground
        self._sequence = 0
        self.ask(now_ms, wire.HELLO, (0,))

    def ask(
        self, at_ms: int, message: int, values: tuple = (), may_be_refused: bool = False
    ) -> list:
        """The fields of the answer; what is refused is a failure unless it may be.

        ``values`` are those of the request, but for what it ends with (``UNSAID``).
        """
        values = (*values, *UNSAID.get(message, {}).values())
        self._sequence += 1
        said = self.ground.send(at_ms, wire.encode(message, self.SESSION, self._sequence, values))
        answer, _, _, body = wire.open_frame(said.split(b"\0")[0])
        fields = wire.decode_body(answer, body)
        assert answer != wire.ERROR or may_be_refused, (message, values, fields)
        return fields


def run_micropython(script: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a script of ``on_micropython`` with the firmware on its path; its streams as text."""
    return subprocess.run(
        [MICROPYTHON, SCRIPTS / script, FIRMWARE, *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def with_blocks(text: str, blocks: dict[str, str]) -> str:
    """A document with each block between its two markers replaced by the rendered one."""
    for name, block in blocks.items():
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        assert text.count(begin) == text.count(end) == 1, name
        head, rest = text.split(begin)
        _, tail = rest.split(end)
        text = f"{head}{begin}\n{block}\n{end}{tail}"
    return text
