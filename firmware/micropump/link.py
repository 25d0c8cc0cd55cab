"""Between the wire and the controller: frames in, answers out, each request executed once.

What is not understood gets an error answer. A request that repeats the last sequence number of its
session gets the last answer again and is not executed a second time, so a retried command is one
command; the same number with other content is an error, never a guess.
"""

from binascii import crc32

from . import VERSION as FIRMWARE_VERSION
from . import alarms, boluses, journal, library, mechanism, prescription, therapy, wire
from . import program as programs
from . import shelf as shelf_
from .controller import OK, WRONG_STATE, Controller
from .occlusion import bolus_nl, expected_alarm_ms
from .prescription import LimitError, Prescription
from .sensing import SENSORS
from .shelf import ShelfError
from .units import LEAST_RATE_UL_H, MILLION, elapsed_ms
from .wire import WireError

_U32 = wire.INTEGERS["u32"][2]
# Which therapy each program message is.
PROGRAMS = {
    wire.PROGRAM: programs.CONTINUOUS,
    wire.PROGRAM_INTERMITTENT: programs.INTERMITTENT,
    wire.PROGRAM_RAMP: programs.RAMP,
    wire.PROGRAM_STEPPED: programs.STEPPED,
    wire.PROGRAM_PCA: programs.PCA,
    wire.PROGRAM_PURGE: programs.PURGE,
}
# In the order of the status's fields.
_BUCKETS = (
    programs.INFUSED, programs.KVO, programs.PRIMED, programs.BOLUS, programs.DEMAND,
    programs.SECONDARY, programs.RETRACTED,
)  # fmt: skip


class Identity:
    """What the pump says of itself; the adapter fills it in.

    Attributes:
        ground: "cpython", "micropython", "rp2".
        board: the board's name.
        kind, drive_id: what is fitted, from the catalogue.
        time_x1000: how fast the pump's time runs (see the message ``info``).
        interpreter, content: what runs the firmware, and the hash of what is frozen; may be empty.
        can_restart: whether there is a processor to restart.

    """

    def __init__(
        self,
        ground: str,
        board: str,
        kind: int,
        drive_id: str,
        time_x1000: int,
        interpreter: str = "",
        content: str = "",
        can_restart: bool = False,
    ) -> None:
        self.ground = ground
        self.board = board
        self.kind = kind
        self.drive_id = drive_id
        self.time_x1000 = time_x1000
        self.interpreter = interpreter
        self.content = content[: wire.CONTENT_DIGITS]
        self.can_restart = can_restart


class Link:
    """One host's connection. ``receive`` takes bytes as they come; ``outbox`` holds the answers.

    Attributes:
        restart_into: what the adapter shall restart into once the answers are out; 0 for nothing.

    Args:
        controller: the pump.
        identity: what it says of itself.
        shelf: where its drug library is (a Shelf).

    """

    def __init__(self, controller: Controller, identity: Identity, shelf) -> None:
        self.controller = controller
        self.identity = identity
        self.shelf = shelf
        self.outbox = bytearray()
        self.restart_into = 0
        self._inbox = bytearray()
        self._skipping = False
        self._session = wire.NO_SESSION
        self._sequence = 0
        self._request = b""
        self._answer = b""
        self._silence_ms = 0
        self._heard_ms = 0
        self._silent = False
        self._telemetry_ms = 0
        self._told_ms = 0
        if shelf.missing != shelf_.NONE_INSTALLED:
            self._note_library()

    def receive(self, now_ms: int, data: bytes) -> None:
        """Take bytes from the host at ``now_ms``; every whole frame is answered."""
        for byte in data:
            if byte:
                if len(self._inbox) < wire.GREATEST_STUFFED_BYTES:
                    self._inbox.append(byte)
                else:
                    self._skipping = True
                continue
            frame = bytes(self._inbox)
            self._inbox = bytearray()
            if self._skipping:
                self._skipping = False
                self._refuse_frame(WireError(wire.TOO_LONG))
            elif frame:
                self._take_frame(now_ms, frame)

    def attend(self, now_ms: int) -> None:
        """Between control cycles: send telemetry, notice a host that has fallen silent."""
        self.controller.attend()
        if self._telemetry_ms and elapsed_ms(now_ms, self._told_ms) >= self._telemetry_ms:
            self._told_ms = now_ms
            self.outbox.extend(
                wire.encode(wire.TELEMETRY, self._session, wire.NO_SEQUENCE, self._status())
            )
        if self._silence_ms and not self._silent:
            if elapsed_ms(now_ms, self._heard_ms) > self._silence_ms:
                self._silent = True
                self._note(journal.HOST_LOST)
                self.controller.raise_alarm(alarms.HOST_SILENT)

    def _take_frame(self, now_ms: int, frame: bytes) -> None:
        try:
            message, session, sequence, body = wire.open_frame(frame)
        except WireError as error:
            self._refuse_frame(error)
            return
        # What is noted from here on bears the time of this frame, not that of the last cycle.
        self.controller.tick(now_ms, self.controller.inputs)
        self._heard(now_ms)
        try:
            if message == wire.HELLO and session not in (wire.NO_SESSION, self._session):
                self._open_session(session, sequence)
            elif session != self._session or session == wire.NO_SESSION:
                raise WireError(wire.UNKNOWN_SESSION)
            elif sequence == self._sequence:
                # Byte for byte: a checksum over a frame that carries its own is blind to it.
                if frame != self._request:
                    raise WireError(wire.REUSED_SEQUENCE)
                self.outbox.extend(self._answer)
                return
            elif (sequence - self._sequence) & 0xFFFF >= 0x8000:
                raise WireError(wire.OLD_SEQUENCE)
        except WireError as error:
            self.outbox.extend(_error_frame(error, session, sequence))
            return
        self._sequence = sequence
        self._request = frame
        try:
            values = wire.decode_body(message, body)
            answer, answered = self._execute(now_ms, message, values, body)
            self._answer = wire.encode(answer, session, sequence, answered)
        except WireError as error:
            if message != wire.DEMAND:
                # The controller notes every demand itself, the button's too.
                self._note(journal.REFUSED, message, error.code)
            self._answer = _error_frame(error, session, sequence)
        self.outbox.extend(self._answer)

    def _refuse_frame(self, error: WireError) -> None:
        self.outbox.extend(_error_frame(error, self._session, wire.NO_SEQUENCE))

    def _heard(self, now_ms: int) -> None:
        self._heard_ms = now_ms
        if self._silent:
            self._silent = False
            self._note(journal.HOST_BACK)
            self.controller.end_alarm(alarms.HOST_SILENT)

    def _open_session(self, session: int, sequence: int) -> None:
        self._session = session
        self._sequence = (sequence - 1) & 0xFFFF
        self._silence_ms = 0
        self._telemetry_ms = 0
        self._note(journal.SESSION_OPENED)

    def _note_library(self) -> None:
        """What is installed, or why what is there is not used."""
        shelf = self.shelf
        if shelf.library:
            self._note(journal.LIBRARY_INSTALLED, shelf.library.version, shelf.library.size)
        else:
            self._note(journal.LIBRARY_MISSING, shelf.missing)

    def _note(self, code: int, a: int = 0, b: int = 0) -> None:
        controller = self.controller
        controller.journal.append(controller.uptime_s, controller.uptime_ms, code, a, b)

    def _execute(self, now_ms: int, message: int, values: list, body: bytes) -> tuple:
        """The answer to a request, as (message, values); raises WireError to refuse it."""
        controller = self.controller
        if message == wire.HELLO:
            self._silence_ms = values[0] * 1000
            return wire.REPLY | wire.HELLO, self._info()
        if message == wire.STATUS:
            return wire.REPLY | wire.STATUS, self._status()
        if message == wire.LIBRARY_INFO:
            return wire.REPLY | wire.LIBRARY_INFO, self._library_info()
        if message == wire.PREDICT:
            return wire.REPLY | wire.PREDICT, self._prediction()
        if message == wire.SETTINGS_INFO:
            chosen = (controller.restarts, controller.occlusion_level, controller.near_end_min)
            return wire.REPLY | wire.SETTINGS_INFO, chosen
        if message == wire.SENSORS:
            return wire.REPLY | wire.SENSORS, (self._sensors(),)
        if message == wire.LOG:
            return wire.REPLY | wire.LOG, self._events(values[0])
        if message in PROGRAMS:
            # The message is part of the name: two kinds of program may have the same fields.
            program_id = crc32(bytes([message]) + body)
            return wire.REPLY | wire.PROGRAM, self._program(now_ms, message, values, program_id)
        if message == wire.PROGRAM_SECONDARY:
            program_id = crc32(bytes([message]) + body)
            return wire.REPLY | wire.PROGRAM, self._secondary(now_ms, values, program_id)
        if message == wire.SET_TELEMETRY:
            self._telemetry_ms = values[0]
            self._told_ms = now_ms
        elif message == wire.RESTART:
            self._restart(values[0])
        elif message == wire.SET_RATE:
            self._set_rate(now_ms, values)
        elif message == wire.START:
            self._start(now_ms, values)
        elif message == wire.PAUSE:
            _obey(controller.pause(now_ms))
        elif message == wire.STANDBY:
            _obey(controller.pause(now_ms, values[0]))
        elif message == wire.RESUME:
            _obey(controller.resume(now_ms))
        elif message == wire.STOP:
            _obey(controller.stop(now_ms))
        elif message == wire.BOLUS:
            self._bolus(now_ms, values)
        elif message == wire.DEMAND:
            _obey(controller.demand(now_ms))
        elif message == wire.CHANGE_CONTAINER:
            self._change_container(now_ms, values)
        elif message in (
            wire.LIBRARY_BEGIN,
            wire.LIBRARY_PART,
            wire.LIBRARY_COMMIT,
            wire.PROVISION,
        ):
            self._install(message, values)
        elif message == wire.PAUSE_AUDIO:
            _obey(controller.pause_audio())
        elif message == wire.SETTINGS:
            _obey(controller.choose(values[0], values[1], values[2]))
        elif message == wire.ACKNOWLEDGE:
            _obey(controller.acknowledge(now_ms))
        else:
            raise WireError(wire.UNKNOWN_MESSAGE, wire.NO_FIELD, message)
        return wire.DONE, (controller.state,)

    def _program(self, now_ms: int, message: int, values: list, program_id: int) -> tuple:
        order = _named(message, values)
        _obey(self.controller.change_drug(now_ms, order["drug_id"]))
        kind = order["kind"]
        if kind != self.identity.kind:
            fitted = self.identity.kind
            raise WireError(wire.OTHER_KIND, 0, kind, fitted, fitted)
        try:
            parts = mechanism.build(kind, order["item_id"], self.identity.drive_id)
        except mechanism.UnknownMechanismError:
            raise WireError(wire.UNKNOWN_ITEM, 1) from None
        try:
            program = therapy.make(PROGRAMS[message], parts, order)
        except therapy.RefusedError as error:
            raise _explained(error, message) from None
        prescribed = self._prescribed(order, PROGRAMS[message], message)
        _obey(self.controller.load(now_ms, program, program_id, prescribed))
        flow = (
            program.first_rate_ul_h(),
            program.peak_ul_h(),
            program.vtbi_ul,
            program.duration_s(),
        )
        return self._accepted(program_id, program, program.warnings, flow, prescribed, message)

    def _prescribed(self, order: dict, kind: int, message: int) -> Prescription:
        try:
            return Prescription(order, kind, self.shelf.library)
        except LimitError as error:
            code = prescription.code_of(error.finding)
            raise _beyond(code, error.finding, 0, message) from None

    def _secondary(self, now_ms: int, values: list, program_id: int) -> tuple:
        message = wire.PROGRAM_SECONDARY
        program = self.controller.motion.program
        if not program:
            raise WireError(WRONG_STATE)
        order = _named(message, values)
        try:
            phase = therapy.make_secondary(program, order)
        except therapy.RefusedError as error:
            raise _explained(error, message) from None
        alone = prescription.secondary_order(order)
        prescribed = self._prescribed(alone, programs.CONTINUOUS, message)
        _obey(self.controller.load_secondary(now_ms, phase, program_id, prescribed))
        seconds = (program.flow_ms(phase, phase.steps()) + 500) // 1000
        flow = (phase.rate_ul_h, phase.rate_ul_h, order["vtbi_ul"], seconds)
        warnings = 0
        if therapy.is_rounded(order, phase.rate_ul_h, order["vtbi_ul"]):
            warnings = therapy.WARN_RATE_ROUNDED
        return self._accepted(program_id, program, warnings, flow, prescribed, message)

    def _accepted(
        self, program_id: int, program, warnings: int, flow: tuple, prescribed, message: int
    ) -> tuple:
        """What the host is told; ``flow`` is (rate and peak rate µL/h, VTBI µL, duration s)."""
        findings = []
        for kind, level, field, value, bound in prescribed.findings:
            place = _place_of(message, field)
            findings.append((kind, level, place, min(value, _U32), max(0, min(bound, _U32))))
        parts = program.mechanism
        rate_ul_h, peak_ul_h, vtbi_ul, duration_s = flow
        return (
            program_id,
            warnings,
            rate_ul_h,
            peak_ul_h,
            vtbi_ul,
            min(duration_s, _U32),
            program.kvo_ul_h,
            parts.least_rate_ul_h,
            parts.nl_num,
            parts.nl_den,
            prescribed.standing,
            findings,
        )

    def _start(self, now_ms: int, values: list) -> None:
        controller = self.controller
        program_id, overrides = values
        refusal = controller.start(now_ms, program_id, overrides)
        if refusal >= prescription.HARD_LIMIT:
            raise _beyond(refusal, controller.refused, controller.asks, wire.START)
        _obey(refusal)

    def _bolus(self, now_ms: int, values: list) -> None:
        controller = self.controller
        volume_ul, rate_ul_h, duration_s, overrides = values
        refusal = controller.bolus(now_ms, volume_ul, rate_ul_h, duration_s, overrides)
        if refusal >= prescription.HARD_LIMIT:
            raise _beyond(refusal, controller.refused, controller.asks, wire.BOLUS)
        if duration_s:
            rate_ul_h = min(therapy.rate_for_time_ul_h(volume_ul, duration_s), _U32)
        if refusal in (
            therapy.RATE_BELOW_RANGE,
            therapy.RATE_ABOVE_RANGE,
            therapy.COMBINED_ABOVE_RANGE,
        ):
            greatest = controller.boluses.greatest_rate_ul_h()
            raise WireError(refusal, 1, rate_ul_h, LEAST_RATE_UL_H, greatest)
        if refusal in (therapy.DOSE_BELOW_RANGE, boluses.BOLUS_ABOVE_VTBI):
            greatest = max(0, controller.boluses.vtbi_left_ul())
            raise WireError(refusal, 0, volume_ul, therapy.LEAST_DOSE_UL, greatest)
        _obey(refusal)

    def _change_container(self, now_ms: int, values: list) -> None:
        content_ul, drug_id = values
        parts = self.controller.mechanism()
        capacity_ul = parts.capacity_ul if parts else 0
        if capacity_ul and content_ul > capacity_ul:
            raise WireError(therapy.CONTENT_ABOVE_CAPACITY, 0, content_ul, 0, capacity_ul)
        _obey(self.controller.change_container(now_ms, content_ul, drug_id))

    def _restart(self, into: int) -> None:
        if not self.identity.can_restart:
            raise WireError(wire.CANNOT_RESTART)
        _obey(self.controller.may_restart())
        self.restart_into = into

    def _install(self, message: int, values: list) -> None:
        """A step of a library's installation, or its key."""
        shelf = self.shelf
        _obey(self.controller.may_install())
        try:
            if message == wire.LIBRARY_BEGIN:
                shelf.begin(values[0])
            elif message == wire.LIBRARY_PART:
                shelf.take(values[0], values[1])
            elif message == wire.LIBRARY_COMMIT:
                shelf.commit()
                self._note_library()
            else:
                shelf.provision(values[0], values[1])
                self._note(journal.KEY_SET)
        except ShelfError as error:
            self._note(journal.LIBRARY_REFUSED, error.code, error.at)
            raise WireError(error.code, 0, error.at) from None

    def _library_info(self) -> tuple:
        shelf = self.shelf
        found = shelf.library
        return (
            shelf.missing,
            1 if shelf.has_key() else 0,
            found.version if found else 0,
            found.size if found else 0,
            found.library_id() if found else "",
            found.name() if found else "",
            found.drugs if found else 0,
            shelf.sha256,
            shelf.received_bytes,
            shelf.capacity_bytes(),
        )

    def _set_rate(self, now_ms: int, values: list) -> None:
        controller = self.controller
        rate_ul_h, overrides = values
        refusal = controller.set_rate(now_ms, rate_ul_h, overrides)
        if refusal >= prescription.HARD_LIMIT:
            raise _beyond(refusal, controller.refused, controller.asks, wire.SET_RATE)
        if refusal in (
            therapy.RATE_BELOW_RANGE,
            therapy.RATE_ABOVE_RANGE,
            therapy.COMBINED_ABOVE_RANGE,
        ):
            greatest = controller.greatest_titration_ul_h()
            raise WireError(refusal, 0, rate_ul_h, LEAST_RATE_UL_H, greatest)
        _obey(refusal)

    def _info(self) -> tuple:
        identity = self.identity
        controller = self.controller
        return (
            FIRMWARE_VERSION,
            identity.content,
            identity.interpreter,
            identity.ground,
            identity.board,
            identity.kind,
            identity.drive_id,
            controller.reset_cause,
            identity.time_x1000,
            controller.state,
            controller.journal.first_kept(),
            controller.journal.next_number,
        )

    def _status(self) -> tuple:
        controller = self.controller
        motion = controller.motion
        program = motion.program
        parts = program.mechanism if program else None
        limits = program.limits if program else None
        prescribed = controller.prescribed()
        counts: list = []
        for bucket in _BUCKETS:
            counts.append(motion.delivered_millions[bucket])
            counts.append(motion.delivered_rest[bucket])
        given = controller.infused_steps()
        counts += [given // MILLION, given % MILLION]
        return (
            controller.state,
            program.kind if program else 0,
            controller.active_alarms,
            controller.program_id,
            parts.item_id if parts else "",
            motion.planned_rate_ul_h() if motion.running else 0,
            min(controller.remaining_s(), _U32),
            program.vtbi_steps // MILLION if program else 0,
            program.vtbi_steps % MILLION if program else 0,
        ) + tuple(counts) + (
            controller.content_ul(),
            min(controller.content_left_s(), _U32),
            motion.phase,
            motion.doses_done,
            limits.made & 0xFFFF if limits else 0,
            limits.given & 0xFFFF if limits else 0,
            controller.lockout_left_s(),
            controller.bolus_left_ul(),
            prescribed.drug_id if prescribed else "",
            prescribed.standing if prescribed else 0,
            prescribed.overrides if prescribed else 0,
            controller.annunciator.sound,
            controller.annunciator.light,
            1 if controller.annunciator.audio_paused else 0,
            controller.reminder_s(),
            parts.nl_num if parts else 0,
            parts.nl_den if parts else 0,
            controller.uptime_s,
            controller.uptime_ms,
            controller.journal.next_number,
        )  # fmt: skip

    def _prediction(self) -> tuple:
        """What an occlusion would do to the program that is loaded, at its first rate."""
        controller = self.controller
        monitor = controller.monitor
        program = controller.motion.program
        if not program or not monitor.has_pressure:
            return (0,) * 8
        rate_ul_h = program.peak_ul_h()
        hardest, softest = monitor.compliances_nl_kpa()
        level_pa = monitor.level_pa
        slope_pa = monitor.occlusion.slope_rise_pa(rate_ul_h) if monitor.sees_slope else 0
        rise_pa = min(level_pa, slope_pa) if slope_pa else level_pa
        return (
            level_pa,
            slope_pa,
            min(_U32, expected_alarm_ms(rate_ul_h, level_pa, hardest)),
            min(_U32, expected_alarm_ms(rate_ul_h, level_pa, softest)),
            min(_U32, expected_alarm_ms(rate_ul_h, slope_pa, hardest)),
            min(_U32, expected_alarm_ms(rate_ul_h, slope_pa, softest)),
            bolus_nl(rise_pa, hardest),
            bolus_nl(rise_pa, softest),
        )

    def _sensors(self) -> list:
        """What each sensor that is fitted reads, in its unit, and its fault."""
        sensing = self.controller.monitor.sensing
        rows = []
        for sensor in range(SENSORS):
            if sensing.fitted >> sensor & 1:
                rows.append((sensor, sensing.fault_kind(sensor), sensing.value[sensor]))
        return rows

    def _events(self, first: int) -> tuple:
        log = self.controller.journal
        number = max(first, log.first_kept())
        end = min(log.next_number, number + wire.RECORDS_PER_REPLY)
        records = [log.entry(at) for at in range(number, end)]
        return log.first_kept(), log.next_number, records


def _obey(refusal: int) -> None:
    if refusal != OK:
        raise WireError(refusal)


def _error_frame(error: WireError, session: int, sequence: int) -> bytes:
    # Figures can be more than can be told: steps of a therapy come to any volume.
    figures = [max(0, min(figure, _U32)) for figure in (error.value, error.least, error.greatest)]
    return wire.encode(
        wire.ERROR, session, sequence, [error.code, error.field] + figures + [error.asks]
    )


def _named(message: int, values: list) -> dict:
    """A message's values by the names of its fields."""
    fields = wire.fields_of(message)
    return {fields[at][0]: values[at] for at in range(len(fields))}


def _explained(error: therapy.RefusedError, message: int) -> WireError:
    """A therapy's refusal with the number of the field that is to blame."""
    place = _place_of(message, error.field)
    if place == wire.NO_FIELD:
        return WireError(error.code)
    return WireError(error.code, place, error.value, error.least, error.greatest)


def _beyond(code: int, finding: tuple, asks: int, message: int) -> WireError:
    """What is beyond a limit, with the figure that is within it."""
    _, level, field, value, bound = finding
    least, greatest = (bound, 0) if level < library.TYPICAL else (0, bound)
    return WireError(code, _place_of(message, field), value, least, greatest, asks)


def _place_of(message: int, name: str) -> int:
    """The number of a message's field; ``NO_FIELD`` if it has none of that name."""
    fields = wire.fields_of(message)
    for at in range(len(fields)):
        if fields[at][0] == name:
            return at
    return wire.NO_FIELD
