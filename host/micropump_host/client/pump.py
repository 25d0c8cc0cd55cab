"""The client: one method for each thing a pump can be asked."""

import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from micropump import alarms, journal, therapy, wire
from micropump.controller import RESET_CAUSES, STATE_NAMES, UNKNOWN_S
from micropump.link import PROGRAMS
from micropump.mechanism import KIND_PERISTALTIC, KIND_SYRINGE
from micropump.program import CONTINUOUS, INTERMITTENT, PCA, PURGE, RAMP, STEPPED
from micropump.units import MILLION
from micropump_host.client import codec
from micropump_host.client.errors import (
    NotAPumpError,
    PortAbsentError,
    PortBusyError,
    PumpGoneError,
    PumpRefusedError,
    PumpRestartedError,
    PumpTimeoutError,
    reason,
    refusal,
)
from micropump_host.client.port import Line, Port

# Which message carries each therapy.
_MESSAGE_OF = {kind: message for message, kind in PROGRAMS.items()}
KIND_NAMES = {KIND_SYRINGE: "syringe", KIND_PERISTALTIC: "peristaltic"}
THERAPY_NAMES = {
    CONTINUOUS: "continuous",
    INTERMITTENT: "intermittent",
    RAMP: "ramp",
    STEPPED: "stepped",
    PCA: "pca",
    PURGE: "purge",
}
ANSWER_TIMEOUT_S = 1.0
TRIES = 3
REATTACH_PAUSE_S = 0.1


@dataclass(frozen=True)
class Info:
    """What a pump is. ``time_factor`` is 1 on a board, 0 for a simulation as fast as it goes."""

    firmware: str
    content: str
    interpreter: str
    ground: str
    board: str
    kind: str
    drive_id: str
    reset_cause: str
    time_factor: float
    state: str
    first_event: int
    next_event: int


@dataclass(frozen=True)
class Status:
    """What a pump is doing; volumes from counted microsteps, by their exact ratio.

    Attributes:
        state: one of ``micropump.controller.STATE_NAMES``.
        alarms: names of those that are set.
        program_id: names the program that is loaded; 0 without one.
        therapy: one of ``THERAPY_NAMES``; empty without a program.
        item_id: the syringe or head that the program is for.
        rate_ul_h: what flows now, boluses and demands included.
        remaining_s: to the last of the VTBI at the rates that now hold, delays and gaps included;
            None where nobody can know, as with a PCA without basal rate; 0 outside a therapy.
        phase: which of the program's phases is being delivered, from 0.
        doses: finished doses of an intermittent therapy.
        demands_made, demands_given: of a PCA's patient so far.
        lockout_left_s: for how long no demand is given for the lockout's sake.
        bolus_left_ul: what is still to come of a bolus and of a demand.
        content_ul: what the container holds; 0 where nothing is drawn from one.
        content_left_s: how long it lasts at the present rate; None at none.
        vtbi_ul, target_steps: the VTBI.
        given_ul, given_steps: what counts towards it: the program's own flow, boluses and demands,
            and not a loading dose; of a purge, what was purged.
        infused_ul, infused_steps: the program's own flow.
        kvo_ul, kvo_steps: what kept the vein open.
        primed_ul, primed_steps: purged forwards.
        bolus_ul, bolus_steps: boluses and the loading dose.
        demand_ul, demand_steps: a patient's demands.
        secondary_ul, secondary_steps: from secondary containers.
        retracted_ul, retracted_steps: drawn back.
        nl_num, nl_den: nanolitres a microstep, as a ratio; 0 and 0 without a program.
        uptime_s: since the pump's controller was made.
        next_event: the number that the next entry of the log gets.

    """

    state: str
    alarms: tuple[str, ...]
    program_id: int
    therapy: str
    item_id: str
    rate_ul_h: int
    remaining_s: int | None
    phase: int
    doses: int
    demands_made: int
    demands_given: int
    lockout_left_s: int
    bolus_left_ul: int
    content_ul: int
    content_left_s: int | None
    vtbi_ul: float
    given_ul: float
    infused_ul: float
    kvo_ul: float
    primed_ul: float
    bolus_ul: float
    demand_ul: float
    secondary_ul: float
    retracted_ul: float
    target_steps: int
    given_steps: int
    infused_steps: int
    kvo_steps: int
    primed_steps: int
    bolus_steps: int
    demand_steps: int
    secondary_steps: int
    retracted_steps: int
    nl_num: int
    nl_den: int
    uptime_s: float
    next_event: int


@dataclass(frozen=True)
class Accepted:
    """How the pump understood a program; of a secondary infusion, that alone.

    Attributes:
        program_id: names it, for ``start``.
        warnings: what whoever starts it should know, in sentences without a full stop.
        rate_ul_h: the rate that the therapy begins with; 0 for a PCA without basal rate.
        peak_ul_h: the greatest rate that it comes to, demands included.
        vtbi_ul: the volume to be infused.
        duration_s: to the last of the VTBI, delays and gaps included.
        kvo_ul_h: the keep-open rate, 0 where there will be none.
        least_rate_ul_h: the least recommended for the mechanism.
        nl_num, nl_den: nanolitres a microstep, as a ratio.

    """

    program_id: int
    warnings: tuple[str, ...]
    rate_ul_h: int
    peak_ul_h: int
    vtbi_ul: int
    duration_s: int
    kvo_ul_h: int
    least_rate_ul_h: int
    nl_num: int
    nl_den: int


@dataclass(frozen=True)
class Event:
    """An entry of the pump's log."""

    number: int
    uptime_s: float
    code: int
    name: str
    a: int
    b: int
    text: str


class Pump:
    """A pump at the end of a line; a context manager.

    Args:
        url: a device (``/dev/ttyACM0``, ``COM3``, a pty) or a URL that pyserial knows
            (``socket://host:port``, ``rfc2217://host:port``).
        timeout_s: how long to wait for an answer before a request is sent again.
        reattach_s: how long to try to open the line again when it breaks; 0 raises at once. A
            request that was under way is repeated with its sequence number, so the pump executes
            it once, whether or not it had arrived.
        on_gone: called with the error when the line has broken and is being opened again.
        on_telemetry: called with each unsolicited status.
        open_port: opens the line; in place of pyserial, a bench in the same process.

    Raises:
        PortAbsentError, PortBusyError, NotAPumpError: when it cannot be connected.

    """

    def __init__(
        self,
        url: str,
        timeout_s: float = ANSWER_TIMEOUT_S,
        reattach_s: float = 0.0,
        on_gone: Callable[[PumpGoneError], None] | None = None,
        on_telemetry: Callable[[Status], None] | None = None,
        open_port: Callable[[str, float], Line] = Port,
    ) -> None:
        self.url = url
        self.timeout_s = timeout_s
        self.reattach_s = reattach_s
        self._on_gone = on_gone
        self._on_telemetry = on_telemetry
        self._session = secrets.randbelow(0xFFFFFFFF) + 1
        self._sequence = 0
        self._silence_s = 0
        self._received = bytearray()
        # Why what was received last was no answer.
        self._unread = ""
        self._open_port = open_port
        self._port = open_port(url, timeout_s)
        try:
            self._port.discard_input()
            # A delimiter first: it ends whatever half a frame another program left behind.
            self._port.write(b"\x00")
            self.info = self._hello()
        except BaseException:
            self._port.close()
            raise

    def __enter__(self) -> Self:
        """Return the pump itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the line; the pump goes on with what it does."""
        self.close()

    def close(self) -> None:
        """Close the line; the pump goes on with what it does."""
        self._port.close()

    # -- requests ------------------------------------------------------------------------------

    def watch_for_silence(self, silence_s: int) -> None:
        """Have the pump raise a low-priority alarm when it hears nothing for ``silence_s`` s."""
        self._request(wire.HELLO, {"silence_s": silence_s})
        self._silence_s = silence_s

    def identify(self) -> Info:
        """Ask once more what the pump is."""
        return _info(self._request(wire.HELLO, {"silence_s": self._silence_s}))

    def status(self) -> Status:
        """What the pump is doing."""
        return _status(self._request(wire.STATUS, {}))

    def program(
        self,
        kind: int,
        item_id: str,
        content_ul: int,
        vtbi_ul: int,
        rate_ul_h: int = 0,
        duration_s: int = 0,
        kvo_ul_h: int = therapy.KVO_BY_RULE,
        order_id: str = "",
    ) -> Accepted:
        """Load a continuous infusion; it does not start. Raises PumpRefusedError."""
        fields = {
            "kind": kind,
            "item_id": item_id,
            "content_ul": content_ul,
            "containers": 1,
            "delay_s": 0,
            "rate_ul_h": rate_ul_h,
            "vtbi_ul": vtbi_ul,
            "duration_s": duration_s,
            "kvo_ul_h": kvo_ul_h,
            "loading_ul": 0,
            "loading_ul_h": 0,
            "order_id": order_id,
        }
        return self.prescribe(CONTINUOUS, fields)

    def prescribe(self, therapy_kind: int, fields: dict[str, Any]) -> Accepted:
        """Load any therapy; it does not start. Raises PumpRefusedError.

        Args:
            therapy_kind: ``micropump.program.CONTINUOUS`` … ``PURGE``.
            fields: those of its message in ``micropump.wire``, by name.

        """
        return _accepted(self._request(_MESSAGE_OF[therapy_kind], fields))

    def secondary(
        self, content_ul: int, vtbi_ul: int, rate_ul_h: int = 0, duration_s: int = 0
    ) -> Accepted:
        """Load a secondary infusion into the one under way; it does not start.

        ``start`` with its id puts it before what is left of the primary, which goes on afterwards.
        Exactly one of rate and duration is given. Raises PumpRefusedError.
        """
        fields = {
            "content_ul": content_ul,
            "rate_ul_h": rate_ul_h,
            "vtbi_ul": vtbi_ul,
            "duration_s": duration_s,
        }
        return _accepted(self._request(wire.PROGRAM_SECONDARY, fields))

    def start(self, program_id: int) -> str:
        """Start the program that is named; returns the new state."""
        return self._command(wire.START, program_id=program_id)

    def pause(self) -> str:
        """Stop the motor, keep the therapy."""
        return self._command(wire.PAUSE)

    def resume(self) -> str:
        """Go on after a pause."""
        return self._command(wire.RESUME)

    def stop(self) -> str:
        """Stop the motor, end the therapy."""
        return self._command(wire.STOP)

    def set_rate(self, rate_ul_h: int) -> str:
        """Change the rate of the running infusion."""
        return self._command(wire.SET_RATE, rate_ul_h=rate_ul_h)

    def bolus(self, volume_ul: int, rate_ul_h: int = 0, duration_s: int = 0) -> str:
        """Give a bolus on top of the infusion, at a rate or over a time (a square bolus).

        Raises PumpRefusedError.
        """
        return self._command(
            wire.BOLUS, volume_ul=volume_ul, rate_ul_h=rate_ul_h, duration_s=duration_s
        )

    def demand(self) -> str:
        """Ask for a dose in the patient's place; PumpRefusedError if it is not given."""
        return self._command(wire.DEMAND)

    def change_container(self, content_ul: int) -> str:
        """Tell the pump that a container with ``content_ul`` in it is in the place of the last.

        Before the start, while paused or in alarm; the therapy and its volumes are kept.
        """
        return self._command(wire.CHANGE_CONTAINER, content_ul=content_ul)

    def acknowledge(self) -> str:
        """Take note of the pump's alarms."""
        return self._command(wire.ACKNOWLEDGE)

    def set_telemetry(self, period_ms: int) -> str:
        """Have the pump send its status by itself every ``period_ms``; 0 ends it."""
        return self._command(wire.SET_TELEMETRY, period_ms=period_ms)

    def restart(self, into_maintenance: bool = False) -> str:
        """Restart the pump's processor, if no therapy is under way.

        Args:
            into_maintenance: come up with the motor off at the interpreter's prompt, for tools such
                as mpremote, until the next reset.

        """
        into = wire.INTO_MAINTENANCE if into_maintenance else wire.INTO_PUMP
        return self._command(wire.RESTART, into=into)

    def events(self, first: int = 0) -> Iterator[Event]:
        """The log from entry ``first`` on, oldest first."""
        number = first
        while True:
            reply = self._request(wire.LOG, {"first": number})
            for record in reply["records"]:
                yield _event(record)
                number = record[0] + 1
            if not reply["records"]:
                return

    # -- the line ------------------------------------------------------------------------------

    def _hello(self) -> Info:
        try:
            return self.identify()
        except PumpTimeoutError:
            heard = repr(bytes(self._received[:32])) if self._received else self._unread
            self._received.clear()
            what = f"what answers is not a pump ({heard})" if heard else "nothing answers"
            raise NotAPumpError(
                what, self.url, "Check that this port is the pump's and that its firmware runs."
            ) from None

    def _command(self, message: int, **values: int) -> str:
        return STATE_NAMES[self._request(message, values)["state"]]

    def _request(self, message: int, values: dict[str, Any]) -> dict[str, Any]:
        self._sequence = (self._sequence + 1) % wire.NO_SEQUENCE
        frame = codec.Frame(message, self._session, self._sequence, values)
        try:
            data = codec.encode(frame)
        except codec.FrameError as error:
            raise PumpRefusedError(
                str(error),
                "request",
                "Choose a value within the range.",
                wire.OUT_OF_RANGE,
                error.field,
            ) from None
        answer = self._exchange_over_breaks(data, message)
        if answer.message != wire.ERROR:
            return answer.values
        if answer.values["code"] == wire.UNKNOWN_SESSION:
            raise PumpRestartedError(
                "the pump does not know this session any more",
                self.url,
                "It was reset or another host has taken over: connect again and look at its log.",
            )
        raise refusal(message, **answer.values)

    def _exchange_over_breaks(self, data: bytes, message: int) -> codec.Frame:
        """The answer to ``data``, over a line that may be away for up to ``reattach_s``."""
        try:
            return self._exchange(data, message)
        except PumpGoneError as error:
            if self.reattach_s <= 0:
                raise
            gone = error
        if self._on_gone:
            self._on_gone(gone)
        deadline_s = time.monotonic() + self.reattach_s
        while True:
            self._port.close()
            self._received.clear()
            try:
                self._port = self._open_port(self.url, self.timeout_s)
                return self._exchange(data, message)
            except (PortAbsentError, PortBusyError, PumpGoneError):
                if time.monotonic() > deadline_s:
                    raise gone from None
                time.sleep(REATTACH_PAUSE_S)

    def _exchange(self, data: bytes, message: int) -> codec.Frame:
        answers = (_answer_to(message), wire.ERROR)
        for tries_left in reversed(range(TRIES)):
            self._port.write(data)
            deadline_s = time.monotonic() + self.timeout_s
            while (left_s := deadline_s - time.monotonic()) > 0:
                frame = self._next_frame(left_s)
                if frame is None:
                    continue
                if (frame.session, frame.sequence) == (self._session, self._sequence):
                    if frame.message in answers:
                        return frame
                    self._unread = f"an echo: {codec.NAMES[frame.message]}"
                if frame.message == wire.TELEMETRY and self._on_telemetry:
                    self._on_telemetry(_status(frame.values))
                # Not on the last try: this may be about noise, and the answer right behind it.
                if tries_left and _damaged_on_the_way(frame):
                    break
        raise PumpTimeoutError(
            f"no answer within {TRIES} × {self.timeout_s:g} s",
            self.url,
            "The pump may be busy or hung; look at its lights, then try again.",
        )

    def _next_frame(self, timeout_s: float) -> codec.Frame | None:
        """The next whole and undamaged frame, or None where none came or it was damaged."""
        if b"\x00" not in self._received:
            self._received += self._port.read(timeout_s)
        stuffed, delimiter, rest = bytes(self._received).partition(b"\x00")
        if not delimiter:
            return None
        self._received[:] = rest
        try:
            return codec.decode(stuffed)
        except codec.FrameError as error:
            self._unread = str(error)
            return None


def _damaged_on_the_way(frame: codec.Frame) -> bool:
    """Whether the pump says that it could not read a request: worth sending once more."""
    unreadable = (wire.BAD_COBS, wire.TOO_SHORT, wire.TOO_LONG, wire.BAD_CRC)
    return frame.message == wire.ERROR and frame.values["code"] in unreadable


def _answer_to(message: int) -> int:
    """The message that answers ``message``."""
    if message in PROGRAMS or message == wire.PROGRAM_SECONDARY:
        return wire.REPLY | wire.PROGRAM
    reply = message | wire.REPLY
    return reply if reply in codec.NAMES else wire.DONE


def _info(values: dict[str, Any]) -> Info:
    known = {name: values[name] for name in values if name in Info.__dataclass_fields__}
    known["kind"] = KIND_NAMES[values["kind"]]
    known["state"] = STATE_NAMES[values["state"]]
    known["reset_cause"] = RESET_CAUSES[min(values["reset_cause"], len(RESET_CAUSES) - 1)]
    return Info(**known, time_factor=values["time_x1000"] / 1000)


def _status(values: dict[str, Any]) -> Status:
    steps = {
        name.removesuffix("_millions"): _steps(values, name.removesuffix("_millions"))
        for name in values
        if name.endswith("_millions")
    }
    kind = values["therapy"]
    if kind == PURGE:
        steps["given"] = steps["primed"] + steps["retracted"]
    volumes_ul = {name: _volume_ul(values, count) for name, count in steps.items()}
    bits = values["active_alarms"]
    return Status(
        state=STATE_NAMES[values["state"]],
        alarms=tuple(row[1] for row in alarms.ALARMS if bits >> row[0] & 1),
        program_id=values["program_id"],
        therapy=THERAPY_NAMES.get(kind, ""),
        item_id=values["item_id"],
        rate_ul_h=values["rate_ul_h"],
        remaining_s=_known_s(values["remaining_s"]),
        phase=values["phase"],
        doses=values["doses"],
        demands_made=values["demands_made"],
        demands_given=values["demands_given"],
        lockout_left_s=values["lockout_left_s"],
        bolus_left_ul=values["bolus_left_ul"],
        content_ul=values["content_ul"],
        content_left_s=_known_s(values["content_left_s"]),
        vtbi_ul=volumes_ul["target"],
        given_ul=volumes_ul["given"],
        infused_ul=volumes_ul["infused"],
        kvo_ul=volumes_ul["kvo"],
        primed_ul=volumes_ul["primed"],
        bolus_ul=volumes_ul["bolus"],
        demand_ul=volumes_ul["demand"],
        secondary_ul=volumes_ul["secondary"],
        retracted_ul=volumes_ul["retracted"],
        target_steps=steps["target"],
        given_steps=steps["given"],
        infused_steps=steps["infused"],
        kvo_steps=steps["kvo"],
        primed_steps=steps["primed"],
        bolus_steps=steps["bolus"],
        demand_steps=steps["demand"],
        secondary_steps=steps["secondary"],
        retracted_steps=steps["retracted"],
        nl_num=values["nl_num"],
        nl_den=values["nl_den"],
        uptime_s=values["uptime_s"] + values["uptime_ms"] / 1000,
        next_event=values["next_event"],
    )


def _volume_ul(values: dict[str, Any], steps: int) -> float:
    if not values["nl_den"]:
        return 0.0
    return steps * int(values["nl_num"]) / (int(values["nl_den"]) * 1000)


def _steps(values: dict[str, Any], name: str) -> int:
    return int(values[f"{name}_millions"]) * MILLION + int(values[f"{name}_rest"])


def _known_s(seconds: int) -> int | None:
    return None if seconds == UNKNOWN_S else seconds


_WARNINGS = {
    therapy.WARN_BELOW_LEAST_RATE: "the rate is below the least recommended for this mechanism",
    therapy.WARN_KVO_BELOW_LEAST_RATE: "the KVO rate is below the least recommended",
    therapy.WARN_RATE_ROUNDED: "the rate for this time was rounded to a whole µL/h",
    therapy.WARN_SEVERAL_CONTAINERS: "it takes several containers: they have to be changed on the"
    " way",
}


def _accepted(values: dict[str, Any]) -> Accepted:
    bits = values["warnings"]
    texts = tuple(text for bit, text in _WARNINGS.items() if bits & bit)
    return Accepted(**{**values, "warnings": texts})


def _event(record: tuple[int, int, int, int, int, int]) -> Event:
    number, uptime_s, uptime_ms, code, a, b = record
    known = {row[0]: row for row in journal.EVENTS}
    _, name, a_is, b_is = known.get(code, (code, f"event {code}", "a", "b"))
    return Event(
        number, uptime_s + uptime_ms / 1000, code, name, a, b, _describe(code, a, b, a_is, b_is)
    )


def _describe(code: int, a: int, b: int, a_is: str, b_is: str) -> str:
    if code in (journal.ALARM_RAISED, journal.ALARM_ENDED):
        return next((row[1] for row in alarms.ALARMS if row[0] == a), f"alarm {a}")
    if code == journal.REFUSED:
        return f"{codec.NAMES.get(a, a)}: {reason(b)}"
    if code == journal.DEMAND_REFUSED:
        return f"demand {b:,}: {reason(a)}"
    if a_is == "million steps":
        return f"{a * MILLION + b:,} steps"
    return ", ".join(f"{what} {value:,}" for what, value in ((a_is, a), (b_is, b)) if what)
