"""What an order is, and the error that says all that is wrong with one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from micropump import library as board
from micropump.link import PROGRAMS
from micropump_host.reading.dosage import Concentration
from micropump_host.reading.problems import ProblemsError


class OrderError(ProblemsError):
    """An order cannot be read or cannot be delivered."""

    thing = "this order"


@dataclass(frozen=True)
class Drug:
    """What is in the container.

    Attributes:
        name: as it is written on the container; empty where only the concentration is told.
        concentration: how much is in a millilitre, or None where nothing was prescribed by it.
        drug_id: its id in the drug library; empty where the order names none.
        care_area: the id of the library's care area; empty where the order names none.

    """

    name: str
    concentration: Concentration | None = None
    drug_id: str = ""
    care_area: str = ""


@dataclass(frozen=True)
class Container:
    """What it is delivered from.

    Attributes:
        kind: ``mechanism.KIND_SYRINGE`` or ``mechanism.KIND_PERISTALTIC``.
        item_id: catalogue id of the syringe or head.
        content_ul: what one container holds at the start.
        containers: how many such containers are planned, one after the other.

    """

    kind: int
    item_id: str
    content_ul: int
    containers: int = 1


# What a message says where it names no drug.
NO_DRUG: dict[str, int | str] = {
    "drug_id": "",
    "care_area": "",
    "concentration_in": 0,
    "concentration_mantissa": 0,
    "concentration_exponent": 0,
    "weight_g": 0,
}
# How a concentration goes over the wire: in which unit, and how many of it are in our own.
BOARD_AMOUNTS = {"mg": (board.NG, 1_000_000), "units": (board.MILLIUNITS, 1_000)}

_MESSAGES = {kind: message for message, kind in PROGRAMS.items()}

FieldValue = int | str | list[tuple[int, ...]]


@dataclass(frozen=True)
class Prescription:
    """What goes to the pump: one program message of the wire.

    Attributes:
        kind: the therapy, ``program.CONTINUOUS`` … ``program.PURGE`` of the core.
        fields: the fields of its message (``wire.fields_of``), by name.

    """

    kind: int
    fields: dict[str, FieldValue]

    @property
    def message(self) -> int:
        """The wire's number of the message that carries it."""
        return _MESSAGES[self.kind]

    def number(self, name: str) -> int:
        """Return a field that is a number; 0 where the message has none of that name."""
        value = self.fields.get(name, 0)
        return value if isinstance(value, int) else 0

    def records(self, name: str) -> list[tuple[int, ...]]:
        """Return a field that is a list of records; empty where the message has none."""
        value = self.fields.get(name, [])
        return value if isinstance(value, list) else []

    def at_clock(self, clock_s: int) -> "Prescription":
        """The same, told the time of day, 0 to 86,399 s, if it is by times of the day."""
        if not self.records("times"):
            return self
        return Prescription(self.kind, {**self.fields, "clock_s": clock_s})


@dataclass(frozen=True)
class Order:
    """A therapy as it was ordered.

    Attributes:
        order_id: names the order; 1 to 40 characters, kebab-case.
        note: free text.
        container: what it is delivered from.
        prescription: what goes to the pump.
        asked_by: who asked for it, or empty.
        weight_kg: the patient's weight, or None.
        drug: what is delivered, or None.
        drive_id: catalogue id of the drive that is expected, or "" for any.
        source: the file it was read from.
        arithmetic: how each figure came about that was not written as the pump counts it, as
            "dose: 1 g / 5 mg/mL = 200 mL".
        remarks: what the user should know before the start, in sentences without a full stop.
        lines: line of each key of the file, as {"[therapy] rate": 8}; not part of what is ordered.

    """

    order_id: str
    note: str
    container: Container
    prescription: Prescription
    asked_by: str = ""
    weight_kg: Fraction | None = None
    drug: Drug | None = None
    drive_id: str = ""
    source: str = ""
    arithmetic: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    lines: Mapping[str, int] = field(default_factory=dict, compare=False, repr=False)
