"""What can go wrong on the way to a pump and back."""

from micropump import boluses, controller, library, prescription, shelf, storage, therapy, wire
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
        asks: what has to be overridden for the very same to be done; 0 where nothing helps.

    """

    def __init__(
        self, what: str, where: str, remedy: str, code: int, field: str, asks: int = 0
    ) -> None:
        super().__init__(what, where, remedy)
        self.code = code
        self.field = field
        self.asks = asks


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

_LIMITED = (
    "rate", "dose", "bolus", "demand dose", "loading dose", "duration", "amount in 24 h", "lockout",
    "amount in 1 h", "amount in 4 h", "KVO rate",
)  # fmt: skip
_RATES = (library.RATE, library.KVO)
_TIMES = (library.DURATION, library.LOCKOUT)
_HARD = "Give what is within the drug library's limit; a hard limit cannot be overridden."
_SOFT = "Check the order; if it is meant so, ask for the same again and confirm the override."
for _kind, _name in enumerate(_LIMITED):
    _beyond = "is beyond the drug library's"
    _TEXTS[prescription.HARD_LIMIT + _kind] = (f"the {_name} {_beyond} hard limit", _HARD)
    _TEXTS[prescription.SOFT_LIMIT + _kind] = (f"the {_name} {_beyond} soft limit", _SOFT)
_TEXTS |= {
    prescription.HARD_LIMIT + 11: (
        "the drug library does not have this drug given by this kind of program",
        "Choose a program that it has; `micropump library show` tells which.",
    ),
    prescription.HARD_LIMIT + 12: (
        "the drug's limits are by body weight, and the order tells none",
        "Tell the patient's weight.",
    ),
    prescription.HARD_LIMIT + 13: (
        "the drug's limits are by mass or units, and the order tells no concentration",
        "Tell the concentration.",
    ),
    prescription.NOT_IN_LIBRARY: (
        "the drug library has no limits for this",
        "Check drug, care area and concentration; if they are meant so, ask for the same again and"
        " confirm that nothing limits it.",
    ),
    controller.NOT_READY: (
        "a sensor says that the pump is not ready",
        "`micropump sensors` shows what they read; close the door, put the syringe in, then try"
        " again.",
    ),
    controller.DRUG_IS_CHANGED: (
        "another drug was under way: its infusion is stopped",
        "Look at the line and the container, then program the new drug.",
    ),
    shelf.HAS_KEY: (
        "the pump has a key already",
        "Tell the key that it has, to replace it (`micropump provision --old`).",
    ),
    shelf.NEEDS_KEY: (
        "the pump has no key to verify a drug library with",
        "Give it the key that the library is signed with (`micropump provision`).",
    ),
    shelf.OTHER_OFFSET: ("a part of the image is missing", "Install it from its beginning."),
    shelf.NOTHING_BEGUN: ("no image was begun", "Install it from its beginning."),
}
for _code, _what in {
    library.BAD_SIZE: "it is too large for the pump, or not whole",
    library.BAD_MAGIC: "it is no drug library",
    library.OTHER_FORMAT: "it is of another format than this firmware reads",
    library.BAD_CRC: "it is damaged",
    library.NOT_SIGNED: "it is not signed",
    library.BAD_SIGNATURE: "it is not signed with the pump's key",
    library.TOO_OLD: "it is older than the library that is installed",
    library.BAD_LAYOUT: "its parts do not lie where they should",
    library.NOT_SORTED: "its rows are not sorted",
    library.BAD_TEXT: "it has a text that is none",
    library.BAD_CONCENTRATION: "it has a concentration that is none",
    library.BAD_USE: "it has a use that is none",
    library.BAD_LIMIT: "it has a limit that is none",
}.items():
    _TEXTS[shelf.IMAGE_REFUSED + _code] = (
        f"the drug library is refused: {_what}",
        "Build it anew with `micropump library build --key`; the pump keeps the one it has.",
    )
for _code, _what in {
    storage.BAD_LENGTH: "it is too large",
    storage.NOT_BEGUN: "its writing was cut short",
    storage.TOO_MUCH: "it is longer than was told",
    storage.TOO_LITTLE: "it is shorter than was told",
    storage.NOT_TAKEN: "the flash did not keep what was written",
    storage.MOTOR_RUNS: "the motor runs",
}.items():
    _TEXTS[shelf.STORAGE_REFUSED + _code] = (
        f"the pump cannot store this: {_what}",
        "Try again; the pump keeps what it had.",
    )
# Why a pump has no drug library, beside the reasons to refuse an image.
_MISSING = {
    shelf.NONE_INSTALLED: "none is installed",
    shelf.NO_KEY: "the pump has no key to verify it with",
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


def missing_library(code: int) -> str:
    """Why a pump has no drug library (``micropump.shelf``); empty for 0."""
    if not code:
        return ""
    return _MISSING.get(code) or reason(shelf.IMAGE_REFUSED + code)


def refusal(
    request: int, code: int, field: int, value: int, least: int, greatest: int, asks: int = 0
) -> PumpRefusedError:
    """The error for an error answer to the message ``request``."""
    what, remedy = _TEXTS.get(code, (f"the pump refused with error {code}", ""))
    name = ""
    fields = wire.fields_of(request)
    if prescription.HARD_LIMIT <= code < prescription.NOT_IN_LIBRARY:
        what += _bounds((code - prescription.HARD_LIMIT) % 16, value, least, greatest)
        name = fields[field][0] if field < len(fields) else ""
    elif shelf.IMAGE_REFUSED <= code <= shelf.NEEDS_KEY:
        # Its figure is a place in the image: nothing for a person.
        pass
    elif field < len(fields):
        name, _, unit, _, _ = fields[field]
        what += _figures(code, name, unit, value, (least, greatest))
    return PumpRefusedError(what, "pump", remedy, code, name, asks)


def _bounds(kind: int, value: int, least: int, greatest: int) -> str:
    """What is beyond a limit, and what is within it, as the end of a sentence; may be empty."""
    if kind >= len(_LIMITED):
        return ""
    unit = "µL/h" if kind in _RATES else "s" if kind in _TIMES else "µL"
    allowed = f"at least {least:,}" if least else f"at most {greatest:,}"
    return f": {value:,} {unit}, {allowed} {unit}"


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
