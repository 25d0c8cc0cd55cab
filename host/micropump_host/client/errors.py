"""What can go wrong on the way to a pump and back."""

from micropump import boluses, controller, therapy, wire
from micropump_host.errors import MicropumpError


class PortAbsentError(MicropumpError):
    """There is no such port, or nothing listens there."""


class PortBusyError(MicropumpError):
    """Another program has the port open."""


class NotAPumpError(MicropumpError):
    """Something is there, but it does not speak this protocol."""


class PumpGoneError(MicropumpError):
    """The line broke while it was in use."""


class PumpTimeoutError(MicropumpError):
    """The pump did not answer, though the line stands."""


class PumpRestartedError(MicropumpError):
    """The pump has lost the session: it was reset, or another host has taken it over."""


class PumpRefusedError(MicropumpError):
    """The pump said no, and why.

    Attributes:
        code: the error's number on the wire.
        field: name of the field that is to blame, or "".

    """

    def __init__(self, what: str, where: str, remedy: str, code: int, field: str) -> None:
        super().__init__(what, where, remedy)
        self.code = code
        self.field = field


# code -> (what was wrong, what to do). Where the error names a field, its value and range follow.
_TEXTS: dict[int, tuple[str, str]] = {
    therapy.RATE_BELOW_RANGE: ("the rate is too low", "Choose a rate within the range."),
    therapy.RATE_ABOVE_RANGE: (
        "the rate is above what this mechanism can run",
        "Choose a lower rate, a wider syringe or a faster drive.",
    ),
    therapy.VTBI_BELOW_RANGE: ("the VTBI is too small", "Choose a VTBI within the range."),
    therapy.VTBI_ABOVE_RANGE: ("the VTBI is too large", "Choose a VTBI within the range."),
    therapy.VTBI_ABOVE_CONTENT: (
        "the VTBI is more than the container holds",
        "Lower the VTBI or fill a larger container.",
    ),
    therapy.CONTENT_ABOVE_CAPACITY: (
        "the content is more than this syringe can hold",
        "State the content that is really in it, or take a larger syringe.",
    ),
    therapy.NEEDS_RATE_OR_TIME: (
        "what flows needs either a rate or a time",
        "Give exactly one of them.",
    ),
    therapy.KVO_ABOVE_RATE: (
        "the KVO rate is above the therapy's own",
        "Choose a lower KVO rate, or leave it to the rule.",
    ),
    therapy.RAMP_TOO_LONG: (
        "the ramps up and down together are longer than the infusion",
        "Shorten the ramps or lengthen the infusion.",
    ),
    therapy.STEPS_DO_NOT_SUM: (
        "the steps do not come to the VTBI",
        "Correct the VTBI or a step, or leave the VTBI to the steps.",
    ),
    therapy.STEP_NEEDS_VOLUME_OR_TIME: (
        "a step needs either a volume or a time",
        "Give exactly one of them for every step.",
    ),
    therapy.DOSE_BELOW_RANGE: ("the dose is too small", "Choose a dose within the range."),
    therapy.DOSE_ABOVE_VTBI: (
        "the dose is larger than what there is for it",
        "Lower the dose or raise the VTBI.",
    ),
    therapy.INTERVAL_TOO_SHORT: (
        "a dose takes longer than the time to the next",
        "Give the doses further apart, or each of them faster.",
    ),
    therapy.NO_SUCH_TIME: (
        "the times of the day are not times from 00:00 to 23:59 in ascending order",
        "Correct them; each may be there once.",
    ),
    therapy.CLOCK_NOT_TOLD: (
        "the pump was not told what time it is",
        "Send the time of the day along with doses at times of the day.",
    ),
    therapy.LIMIT_BELOW_DOSE: (
        "the limit is less than a dose and the basal flow of its window",
        "Raise the limit, or lower the dose or the basal rate.",
    ),
    therapy.LOCKOUT_TOO_SHORT: (
        "the lockout is shorter than a demand takes",
        "Choose a longer lockout, or a greater rate for the demand.",
    ),
    therapy.WINDOW_OUT_OF_RANGE: (
        "the window of a limit is too short",
        "Choose a window within the range; a limit needs its window.",
    ),
    therapy.LOADING_INCOMPLETE: (
        "a loading dose needs both a volume and a rate",
        "Give both, or neither.",
    ),
    therapy.COMBINED_ABOVE_RANGE: (
        "together with what flows already the rate is above what this mechanism can run",
        "Choose a lower rate, for one or the other.",
    ),
    therapy.NO_STEPS: ("there are no steps", "Give at least one."),
    therapy.RAMP_NEEDS_TIME: (
        "a ramped infusion needs a time",
        "Say how long it shall take, ramps included.",
    ),
    therapy.CANNOT_REVERSE: (
        "a peristaltic pump does not run backwards: it would draw from the other end",
        "Take the set off the patient's side and purge forwards.",
    ),
    boluses.NO_BOLUS_HERE: (
        "there is no bolus in this part of the therapy",
        "Boluses go with a continuous infusion or a PCA, while its VTBI flows.",
    ),
    boluses.BOLUS_RUNNING: ("a bolus is under way already", "Wait for its end."),
    boluses.BOLUS_ABOVE_VTBI: (
        "the VTBI has less left than this dose",
        "Give a smaller bolus, or program a new VTBI.",
    ),
    boluses.IN_ALARM: (
        "the pump is in alarm",
        "Remove the cause and acknowledge the alarm (`micropump acknowledge`).",
    ),
    boluses.NO_DEMAND_HERE: (
        "there are no demands in this therapy, or not now",
        "Demands go with a PCA, while its VTBI flows.",
    ),
    boluses.DEMAND_LOCKED_OUT: (
        "the lockout is not over",
        "`micropump status` shows how long it lasts; the demand is counted.",
    ),
    boluses.LIMIT_REACHED: (
        "it would exceed the limit of a window",
        "Wait until the window has room again.",
    ),
    controller.WRONG_STATE: (
        "the pump cannot do this in its present state",
        "Look at `micropump status`; a pump that is busy has to be stopped first.",
    ),
    controller.OTHER_PROGRAM: (
        "another program than the one named is loaded",
        "Program the order again, then start it.",
    ),
    controller.NOTHING_LEFT: ("the program is delivered to its end", "Program a new order."),
    controller.INTERLOCK: ("the interlock is open", "Close it, then try again."),
    controller.DRIVER: (
        "the motor's driver reports a fault, or does not answer",
        "Look at its supply, its wires and its temperature, then try again.",
    ),
    controller.CONTAINER_IS_EMPTY: (
        "the container is empty",
        "Put a full one in place, tell the pump (`micropump container`), then go on.",
    ),
    controller.CANNOT_TITRATE: (
        "this therapy's rates are not changed while it is under way",
        "Only a continuous infusion's and a PCA's basal rate are; stop and run a new order.",
    ),
    controller.NO_SECONDARY_HERE: (
        "there is no secondary in this part of the therapy",
        "It goes with a continuous or stepped infusion, while it infuses or keeps the vein open.",
    ),
    wire.BAD_COBS: ("the pump received a frame with broken byte stuffing", ""),
    wire.TOO_SHORT: ("the pump received a frame that is too short", ""),
    wire.TOO_LONG: ("the pump received a frame that is too long", ""),
    wire.BAD_CRC: ("the pump received a frame with a wrong checksum", "Check the cable."),
    wire.OTHER_VERSION: (
        "the pump speaks another version of the protocol",
        "Install the same version of Micropump on host and pump.",
    ),
    wire.UNKNOWN_MESSAGE: (
        "the pump does not know this request",
        "Install the same version of Micropump on host and pump.",
    ),
    wire.BAD_LENGTH: ("the pump received a message of the wrong length", ""),
    wire.OUT_OF_RANGE: ("a value is outside its range", "Choose a value within the range."),
    wire.UNKNOWN_SESSION: ("the pump does not know this session", "Connect again."),
    wire.OLD_SEQUENCE: ("the pump has already gone past this request", "Connect again."),
    wire.REUSED_SEQUENCE: ("a sequence number was used for two requests", "Connect again."),
    wire.UNKNOWN_ITEM: (
        "the pump does not know this syringe or head",
        "Choose one from docs/catalogue.md.",
    ),
    wire.CANNOT_RESTART: (
        "this pump is simulated: there is no processor to restart",
        "End `micropump simulate` and start it again.",
    ),
    wire.OTHER_KIND: (
        "the pump has the other kind of mechanism fitted (1 syringe, 2 peristaltic)",
        "Use an order for the mechanism that `micropump info` shows.",
    ),
}


# Codes whose figures are of another unit than the field that is to blame: a rate may come of a
# volume and a time.
_UNITS: dict[int, str] = {
    therapy.RATE_BELOW_RANGE: "µL/h",
    therapy.RATE_ABOVE_RANGE: "µL/h",
    therapy.COMBINED_ABOVE_RANGE: "µL/h",
    therapy.KVO_ABOVE_RATE: "µL/h",
    therapy.INTERVAL_TOO_SHORT: "s",
}


def reason(code: int) -> str:
    """What was wrong, by an error's number on the wire; without figures."""
    return _TEXTS[code][0] if code in _TEXTS else f"error {code}"


def refusal(
    request: int, code: int, field: int, value: int, least: int, greatest: int
) -> PumpRefusedError:
    """The error for an error answer to the message ``request``."""
    what, remedy = _TEXTS.get(code, (f"the pump refused with error {code}", ""))
    name = ""
    fields = wire.fields_of(request)
    if field < len(fields):
        name, _, unit, _, _ = fields[field]
        what += _figures(code, name, unit, value, (least, greatest))
    return PumpRefusedError(what, "pump", remedy, code, name)


def _figures(code: int, name: str, unit: str, value: int, allowed: tuple[int, int]) -> str:
    """What the field was and what it may be, as the end of a sentence; may be empty."""
    least, greatest = allowed
    if code == therapy.STEP_NEEDS_VOLUME_OR_TIME:
        return f": step {value}"
    if code == therapy.STEPS_DO_NOT_SUM:
        return f": {name} is {value:,} {unit}, the steps come to {least:,} {unit}"
    if not least and not greatest:
        return ""
    named = f"{name} is "
    if _UNITS.get(code, unit) != unit:
        named, unit = "", _UNITS[code]
    shown = f" {unit}" if unit else ""
    return f": {named}{value:,}{shown}, allowed are {least:,} to {greatest:,}{shown}"
