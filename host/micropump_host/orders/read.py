"""Order files: from TOML to an ``Order``, with everything that is wrong told at once."""

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from micropump import library, therapy, wire
from micropump.mechanism import KIND_PERISTALTIC, KIND_SYRINGE
from micropump_host.orders import items
from micropump_host.orders.order import (
    BOARD_AMOUNTS,
    NO_DRUG,
    Container,
    Drug,
    Order,
    OrderError,
    Prescription,
)
from micropump_host.orders.reader import Fields, TherapyReader
from micropump_host.orders.therapies import FORMS
from micropump_host.reading.decimals import decimal_parts
from micropump_host.reading.dosage import Basis, parse_concentration
from micropump_host.reading.file import KEBAB_CASE, UnreadableError, file_text, toml_tables
from micropump_host.reading.problems import Problem
from micropump_host.reading.quantity import exact_text, parse_volume_ul, parse_weight_kg
from micropump_host.reading.tables import Problems, Table, lines_of, nearest

_SECTIONS = ("order", "patient", "drug", "therapy", "container", "pump")
_KEYS = {
    "order": ("id", "note", "asked_by"),
    "patient": ("weight",),
    "drug": ("id", "name", "concentration", "care_area"),
    "container": ("syringe", "head", "content", "count"),
    "pump": ("drive",),
}
_THERAPY_KEYS = tuple(dict.fromkeys(key for form in FORMS.values() for key in form.all_keys))
ALL_KEYS = {**_KEYS, "therapy": _THERAPY_KEYS}
_GREATEST_CONTAINERS = 99
_GREATEST_ID_CHARACTERS = library.ID_BYTES


def load_order(path: str | Path, weight_kg: Fraction | None = None) -> Order:
    """Read an order file.

    Args:
        path: a TOML file in UTF-8.
        weight_kg: the patient's weight where it is told beside the file; None where it is not.

    Raises:
        OrderError: with all that is wrong with it, if it cannot be read or is no order.

    """
    source = str(path)
    try:
        text = file_text(path, "order")
    except UnreadableError as error:
        raise OrderError(source, (error.problem,)) from None
    return parse_order(text, source, weight_kg)


def parse_order(text: str, source: str, weight_kg: Fraction | None = None) -> Order:
    """Read an order from the text of an order file.

    Args:
        text: TOML.
        source: what to call it in errors.
        weight_kg: the patient's weight where it is told beside the file; None where it is not.

    Raises:
        OrderError: with all that is wrong with it.

    """
    if not text.strip():
        remedy = "examples/orders has orders to start from"
        raise OrderError(source, (Problem("", 0, "the order is empty", remedy),))
    try:
        tables = toml_tables(text)
    except UnreadableError as error:
        raise OrderError(source, (error.problem,)) from None
    problems = Problems(lines_of(text))
    order = _Reading(tables, problems).order(source, weight_kg)
    if problems.found:
        raise OrderError(source, sorted(problems.found, key=lambda problem: problem.line))
    return order


class _Reading:
    """One pass over the sections of a file."""

    def __init__(self, tables: Mapping[str, Any], problems: Problems) -> None:
        self.problems = problems
        self.arithmetic: list[str] = []
        self.remarks: list[str] = []
        self.sections = {name: Table(name, {}, problems) for name in _SECTIONS}
        for name, values in tables.items():
            self._take_section(name, values)
        self.program = self._program()
        for name, table in self.sections.items():
            known = _KEYS.get(name) or self._therapy_keys()
            for key in table.unknown(known):
                self._unknown_key(table, key, known)

    def order(self, source: str, told_kg: Fraction | None) -> Order:
        """Return the order; it means nothing while there are problems."""
        note = self.sections["order"].text("note", '"free text"')
        order_id = self._order_id()
        container = self._container()
        drug = self._drug()
        weight_kg = self._weight_kg(told_kg)
        basis = Basis(weight_kg, drug.concentration if drug else None)
        asked_by = self._asked_by()
        fields = self._fields(order_id, container, basis)
        fields |= {"asked_by": asked_by, **self._drug_fields(drug, weight_kg)}
        return Order(
            order_id=order_id,
            note=note,
            container=container,
            prescription=Prescription(FORMS[self.program].kind, fields),
            asked_by=asked_by,
            weight_kg=weight_kg,
            drug=drug,
            drive_id=self._drive_id(container.kind),
            source=source,
            arithmetic=tuple(self.arithmetic),
            remarks=tuple(self.remarks),
            lines=self.problems.lines,
        )

    # -- sections and keys ---------------------------------------------------------------------

    def _take_section(self, name: str, values: Any) -> None:
        if name not in _SECTIONS:
            self._unknown_section(name, values)
        elif not isinstance(values, dict):
            self.problems.add(name, f"{name} is a section", f"Write [{name}] on a line of its own")
        else:
            self.sections[name] = Table(name, values, self.problems)

    def _unknown_section(self, name: str, values: Any) -> None:
        if isinstance(values, dict | list):
            remedy = nearest(name, _SECTIONS, "[{}]")
            self.problems.add(f"[{name}]", "there is no such section", remedy)
            return
        homes = _homes(name)
        remedy = f"It belongs under {homes[0]}" if homes else "Every key stands under a section"
        self.problems.add(name, "this key stands outside of any section", remedy)

    def _unknown_key(self, table: Table, key: str, known: tuple[str, ...]) -> None:
        programs = [f'"{name}"' for name, form in FORMS.items() if key in form.all_keys]
        if table.name == "therapy" and programs:
            what = f'this is no key of the program "{self.program}"'
            table.add(key, what, f"It belongs to {' and '.join(programs)}")
            return
        homes = _homes(key)
        remedy = f"It belongs under {homes[0]}" if homes else nearest(key, known)
        table.add(key, "there is no such key here", remedy)

    # -- what the keys say ---------------------------------------------------------------------

    def _program(self) -> str:
        """Return the program; where it is missing or unknown, one that has the keys that are."""
        table = self.sections["therapy"]
        program = table.text("program", '"continuous"')
        if program in FORMS:
            return program
        if not table.given("program"):
            table.add("program", "this is missing", 'Write program = "continuous"')
        elif table.is_text("program"):
            remedy = nearest(program, tuple(FORMS), '"{}"')
            table.add("program", f'there is no program "{program}"', remedy)
        return max(FORMS, key=lambda name: sum(map(table.given, FORMS[name].all_keys)))

    def _therapy_keys(self) -> tuple[str, ...]:
        if self.sections["therapy"].values.get("program") == self.program:
            return FORMS[self.program].all_keys
        return ALL_KEYS["therapy"]

    def _order_id(self) -> str:
        table = self.sections["order"]
        order_id = table.text("id", '"my-order"')
        longest = wire.GREATEST_STRING_BYTES
        remedy = f'Write up to {longest} small letters, digits and hyphens, like id = "my-order"'
        if not table.given("id"):
            table.add("id", "this is missing", remedy)
        elif table.is_text("id") and not (
            KEBAB_CASE.fullmatch(order_id) and len(order_id) <= longest
        ):
            table.add("id", f'"{order_id}" cannot name an order', remedy)
        return order_id

    def _asked_by(self) -> str:
        table = self.sections["order"]
        if not table.given("asked_by"):
            return ""
        example = '"ward 3"'
        asked_by = table.text("asked_by", example).strip()
        if table.is_text("asked_by") and not (
            asked_by.isprintable() and 1 <= len(asked_by.encode()) <= wire.GREATEST_STRING_BYTES
        ):
            what = f"{asked_by!r} cannot say who asked"
            remedy = f"Write one line of 1 to {wire.GREATEST_STRING_BYTES} bytes"
            table.add("asked_by", what, f"{remedy}, like asked_by = {example}")
        return asked_by

    def _weight_kg(self, told_kg: Fraction | None) -> Fraction | None:
        """Return the patient's weight, from the file or beside it; a problem if they differ."""
        table = self.sections["patient"]
        weight_kg = table.parsed("weight", parse_weight_kg, '"70 kg"')
        if weight_kg is not None and told_kg is not None and told_kg != weight_kg:
            what = f"the order is for {exact_text(weight_kg)} kg, told is {exact_text(told_kg)} kg"
            table.add("weight", what, "Find out which is right, and mend the order if it is wrong")
        return told_kg if weight_kg is None else weight_kg

    def _drug_fields(self, drug: Drug | None, weight_kg: Fraction | None) -> Fields:
        """Return what a pump looks up in its drug library, as the wire has it."""
        fields: Fields = {**NO_DRUG, "weight_g": self._weight_g(weight_kg)}
        if drug is None:
            return fields
        fields |= {"drug_id": drug.drug_id, "care_area": drug.care_area}
        if drug.concentration is None:
            return fields
        amount, times = BOARD_AMOUNTS[drug.concentration.unit]
        parts = decimal_parts(drug.concentration.per_ml * times)
        if parts is None:
            what = f"{drug.concentration} is no decimal number that a pump can hold"
            self.sections["drug"].add("concentration", what, "Round it to what is on the label")
            return fields
        names = ("concentration_in", "concentration_mantissa", "concentration_exponent")
        return {**fields, **dict(zip(names, (amount, *parts), strict=True))}

    def _weight_g(self, weight_kg: Fraction | None) -> int:
        grams = (weight_kg or Fraction(0)) * 1000
        if grams.denominator != 1:
            what = f"{exact_text(grams / 1000)} kg is no whole number of grams"
            self.sections["patient"].add("weight", what, "Round it to what a scale shows")
            return 0
        return grams.numerator

    def _library_id(self, key: str, example: str) -> str:
        """Return an id of the drug library; empty where the order names none."""
        table = self.sections["drug"]
        found = table.text(key, example)
        if table.is_text(key) and not (
            KEBAB_CASE.fullmatch(found) and len(found) <= _GREATEST_ID_CHARACTERS
        ):
            remedy = f"Write up to {_GREATEST_ID_CHARACTERS} small letters, digits and hyphens"
            table.add(key, f'"{found}" cannot be an id of the drug library', remedy)
        return found

    def _drug(self) -> Drug | None:
        table = self.sections["drug"]
        if not table.values:
            return None
        name = table.text("name", '"vancomycin"')
        written = table.text("concentration", '"5 mg/mL"').strip()
        concentration = table.parsed("concentration", parse_concentration, '"5 mg/mL"')
        if concentration and written != str(concentration):
            self.arithmetic.append(f"concentration: {written} = {concentration}")
        drug_id = self._library_id("id", '"vancomycin"')
        return Drug(name, concentration, drug_id, self._library_id("care_area", '"home-adult"'))

    def _fields(self, order_id: str, container: Container, basis: Basis) -> Fields:
        given = {
            "weight": (self.sections["patient"].given("weight"), basis.weight_kg),
            "concentration": (self.sections["drug"].given("concentration"), basis.concentration),
        }
        unreadable = frozenset(
            key for key, (is_given, value) in given.items() if is_given and value is None
        )
        form = FORMS[self.program]
        contents_ul = container.content_ul * container.containers
        reader = TherapyReader(self.sections["therapy"], basis, unreadable, contents_ul)
        own = form.read(reader)
        setup: Fields = {
            "kind": container.kind,
            "item_id": container.item_id,
            "content_ul": container.content_ul,
            "containers": container.containers,
            "order_id": order_id,
            "delay_s": 0,
            "kvo_ul_h": therapy.KVO_OFF,
        }
        if form.keeps_open:
            setup |= reader.setup()
        self.arithmetic += reader.arithmetic
        self.remarks += reader.remarks
        return {**setup, **own}

    def _container(self) -> Container:
        table = self.sections["container"]
        key = table.either(
            ("syringe", "head"),
            "an order takes either a syringe or a head",
            'syringe = "bd-plastipak-50", or another of docs/catalogue.md',
        )
        kind = KIND_SYRINGE if key == "syringe" else KIND_PERISTALTIC
        item_id = table.text(key, '"bd-plastipak-50"')
        if table.is_text(key) and item_id not in items.item_ids(kind):
            self._unknown_item(key, kind, item_id)
        return Container(
            kind,
            item_id,
            self._content_ul(kind, item_id),
            table.number("count", 1, _GREATEST_CONTAINERS, 1),
        )

    def _unknown_item(self, key: str, kind: int, item_id: str) -> None:
        other_key, other_kind = (
            ("head", KIND_PERISTALTIC) if kind == KIND_SYRINGE else ("syringe", KIND_SYRINGE)
        )
        if item_id in items.item_ids(other_kind):
            remedy = f'Write {other_key} = "{item_id}"'
        else:
            remedy = f"{items.nearest(item_id, items.item_ids(kind))}docs/catalogue.md has them all"
        self.sections["container"].add(key, f'there is no {key} "{item_id}"', remedy)

    def _content_ul(self, kind: int, item_id: str) -> int:
        table = self.sections["container"]
        if kind == KIND_SYRINGE and not table.given("content"):
            return items.capacity_ul(item_id)
        table.required("content", '"500 mL"')
        return table.parsed("content", parse_volume_ul, '"500 mL"') or 0

    def _drive_id(self, kind: int) -> str:
        table = self.sections["pump"]
        drive_id = table.text("drive", f'"{items.DEFAULT_DRIVES[kind]}"')
        if table.is_text("drive") and drive_id not in items.drive_ids(kind):
            table.add("drive", *items.unknown_drive(kind, drive_id))
        return drive_id


def _homes(key: str) -> list[str]:
    """Return the sections that have such a key."""
    return [f"[{name}]" for name in _SECTIONS if key in ALL_KEYS[name]]
