"""The client: one method for each thing a pump can be asked."""

import hmac
import secrets
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

from micropump import therapy, wire
from micropump.controller import STATE_NAMES
from micropump.link import PROGRAMS
from micropump.program import CONTINUOUS
from micropump_host.client import answers, codec
from micropump_host.client.answers import (
    Accepted,
    Event,
    Info,
    LibraryInfo,
    Prediction,
    SensorValue,
    Settings,
    Status,
)
from micropump_host.client.errors import (
    NotAPumpError,
    PortAbsentError,
    PortBusyError,
    PumpGoneError,
    PumpRefusedError,
    PumpRestartedError,
    PumpTimeoutError,
    refusal,
)
from micropump_host.client.port import Line, Port

# Which message carries each therapy.
_MESSAGE_OF = {kind: message for message, kind in PROGRAMS.items()}
ANSWER_TIMEOUT_S = 1.0
TRIES = 3
REATTACH_PAUSE_S = 0.1
# Going over a whole image takes a board some seconds.
COMMIT_TIMEOUT_S = 20.0

# What a program's message says where whoever sends it has nothing to say of a drug.
UNNAMED: dict[str, int | str] = {
    name: "" if kind == wire.TEXT else 0
    for name, kind, *_ in wire.fields_of(wire.PROGRAM)
    if name in ("order_id", "asked_by", "drug_id", "care_area", "weight_g")
    or name.startswith("concentration")
}


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
        return answers.info_of(self._request(wire.HELLO, {"silence_s": self._silence_s}))

    def status(self) -> Status:
        """What the pump is doing."""
        return answers.status_of(self._request(wire.STATUS, {}))

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
            fields: those of its message in ``micropump.wire``, by name; who asked for what drug may
                be left out.

        """
        values = {**UNNAMED, **fields}
        return answers.accepted_of(self._request(_MESSAGE_OF[therapy_kind], values))

    def secondary(
        self,
        content_ul: int,
        vtbi_ul: int,
        rate_ul_h: int = 0,
        duration_s: int = 0,
        **ordered: int | str,
    ) -> Accepted:
        """Load a secondary infusion into the one under way; it does not start.

        ``start`` with its id puts it before what is left of the primary, which goes on afterwards.
        Exactly one of rate and duration is given; ``ordered`` are the names of ``UNNAMED``. Raises
        PumpRefusedError.
        """
        fields = {
            **UNNAMED,
            **ordered,
            "content_ul": content_ul,
            "rate_ul_h": rate_ul_h,
            "vtbi_ul": vtbi_ul,
            "duration_s": duration_s,
        }
        return answers.accepted_of(self._request(wire.PROGRAM_SECONDARY, fields))

    def start(self, program_id: int, overrides: int = 0) -> str:
        """Start the program that is named; returns the new state.

        Beyond soft limits it takes two: the first is refused (PumpRefusedError), the second names
        what shall be overridden (``Accepted.asks``).
        """
        return self._command(wire.START, program_id=program_id, overrides=overrides)

    def pause(self, standby_s: int = 0) -> str:
        """Stop the motor, keep the therapy; returns the new state.

        Args:
            standby_s: after how long the pump reminds of it, a minute to 24 h, also of a pause that
                is under way; 0 for its usual 15 min.

        """
        if standby_s:
            return self._command(wire.STANDBY, standby_s=standby_s)
        return self._command(wire.PAUSE)

    def resume(self) -> str:
        """Go on after a pause."""
        return self._command(wire.RESUME)

    def stop(self) -> str:
        """Stop the motor, end the therapy."""
        return self._command(wire.STOP)

    def set_rate(self, rate_ul_h: int, overrides: int = 0) -> str:
        """Change the rate of the running infusion.

        Beyond soft limits it takes two: the first is refused (PumpRefusedError), the second names
        what shall be overridden (``PumpRefusedError.asks``).
        """
        return self._command(wire.SET_RATE, rate_ul_h=rate_ul_h, overrides=overrides)

    def bolus(
        self, volume_ul: int, rate_ul_h: int = 0, duration_s: int = 0, overrides: int = 0
    ) -> str:
        """Give a bolus on top of the infusion, at a rate or over a time (a square bolus).

        Beyond soft limits it takes two, as with ``set_rate``. Raises PumpRefusedError.
        """
        return self._command(
            wire.BOLUS,
            volume_ul=volume_ul,
            rate_ul_h=rate_ul_h,
            duration_s=duration_s,
            overrides=overrides,
        )

    def demand(self) -> str:
        """Ask for a dose in the patient's place; PumpRefusedError if it is not given."""
        return self._command(wire.DEMAND)

    def change_container(self, content_ul: int, drug_id: str = "") -> str:
        """Tell the pump that a container with ``content_ul`` in it is in the place of the last.

        Before the start, while paused or in alarm; the therapy and its volumes are kept. But with
        another drug in it, the therapy is ended (PumpRefusedError).
        """
        return self._command(wire.CHANGE_CONTAINER, content_ul=content_ul, drug_id=drug_id)

    # -- the drug library ------------------------------------------------------------------------

    def library(self) -> LibraryInfo:
        """The drug library that is installed."""
        return answers.library_of(self._request(wire.LIBRARY_INFO, {}))

    def provision(self, key: bytes, before: bytes = b"") -> None:
        """Give the pump the key that its libraries are signed with.

        Args:
            key: 32 bytes.
            before: the key that it has, to replace it.

        """
        proof = hmac.digest(before, key, "sha256") if before else b""
        self._command(wire.PROVISION, key=key, proof=proof)

    def install_library(self, image: bytes, told: Callable[[int], None] | None = None) -> None:
        """Install a drug library; what was installed before stays if this is refused.

        Args:
            image: as ``micropump library build`` makes it.
            told: is called with the number of bytes that the pump has.

        Raises:
            PumpRefusedError: if a program is loaded, or the image is not taken.

        """
        self._command(wire.LIBRARY_BEGIN, size_bytes=len(image))
        for at in range(0, len(image), wire.GREATEST_PART_BYTES):
            part = image[at : at + wire.GREATEST_PART_BYTES]
            self._command(wire.LIBRARY_PART, offset_bytes=at, part=part)
            if told:
                told(at + len(part))
        usual_s = self.timeout_s
        self.timeout_s = max(usual_s, COMMIT_TIMEOUT_S)
        try:
            self._command(wire.LIBRARY_COMMIT)
        finally:
            self.timeout_s = usual_s

    def acknowledge(self) -> str:
        """Take note of the pump's alarms."""
        return self._command(wire.ACKNOWLEDGE)

    def pause_audio(self) -> str:
        """Pause the sound of the alarms that are active, for two minutes; their lights stay."""
        return self._command(wire.PAUSE_AUDIO)

    def choose(self, restarts: int = 0, occlusion_level: int = 0, near_end_min: int = 3) -> str:
        """Choose all of the pump's settings, until it is reset; not while anything flows.

        Args:
            restarts: how often within any 10 min it starts again by itself after an occlusion that
                has gone, 0 to 9.
            occlusion_level: 1 to 9, or 0 for the drug library's limit, or else the pump's own.
            near_end_min: how long before its end an infusion says so, 0 to 240 min; 0 not at all.

        """
        return self._command(
            wire.SETTINGS,
            restarts=restarts,
            occlusion_level=occlusion_level,
            near_end_min=near_end_min,
        )

    def settings(self) -> Settings:
        """What was chosen, or the defaults."""
        return Settings(**self._request(wire.SETTINGS_INFO, {}))

    def predict(self) -> Prediction:
        """What an occlusion would do to the program that is loaded."""
        return Prediction(**self._request(wire.PREDICT, {}))

    def sensors(self) -> tuple[SensorValue, ...]:
        """What the sensors that are fitted read."""
        rows = self._request(wire.SENSORS, {})["values"]
        return tuple(answers.sensor_of(*row) for row in rows)

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
                yield answers.event_of(record)
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

    def _command(self, message: int, **values: int | str | bytes) -> str:
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
        expected = (_answer_to(message), wire.ERROR)
        for tries_left in reversed(range(TRIES)):
            self._port.write(data)
            deadline_s = time.monotonic() + self.timeout_s
            while (left_s := deadline_s - time.monotonic()) > 0:
                frame = self._next_frame(left_s)
                if frame is None:
                    continue
                if (frame.session, frame.sequence) == (self._session, self._sequence):
                    if frame.message in expected:
                        return frame
                    self._unread = f"an echo: {codec.NAMES[frame.message]}"
                if frame.message == wire.TELEMETRY and self._on_telemetry:
                    self._on_telemetry(answers.status_of(frame.values))
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
