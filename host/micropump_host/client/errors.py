"""What can go wrong on the way to a pump and back."""

from micropump import controller, therapy, wire
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
        "a continuous infusion takes either a rate or a time",
        "Give exactly one of them.",
    ),
    therapy.KVO_ABOVE_RATE: (
        "the KVO rate is above the infusion's own",
        "Choose a lower KVO rate, or leave it to the rule.",
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


def refusal(
    request: int, code: int, field: int, value: int, least: int, greatest: int
) -> PumpRefusedError:
    """The error for an error answer to the message ``request``."""
    what, remedy = _TEXTS.get(code, (f"the pump refused with error {code}", ""))
    name = ""
    fields = wire.fields_of(request)
    if field < len(fields):
        name, _, unit, _, _ = fields[field]
        if least or greatest:
            what += f": {name} is {value:,} {unit}, allowed are {least:,} to {greatest:,} {unit}"
    return PumpRefusedError(what.rstrip(), "pump", remedy, code, name)
