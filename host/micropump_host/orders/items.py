"""The catalogue as orders name it: ids, names, and what is near to a misspelt one."""

import difflib
from collections.abc import Sequence

from micropump import catalogue
from micropump.mechanism import KIND_PERISTALTIC, KIND_SYRINGE

# What turns a syringe's screw or a head where neither order nor pump says it.
DEFAULT_DRIVES = {KIND_SYRINGE: "t8-2mm-16", KIND_PERISTALTIC: "direct-16"}

_ITEMS = {KIND_SYRINGE: catalogue.SYRINGES, KIND_PERISTALTIC: catalogue.PERISTALTIC_HEADS}
_DRIVES = {KIND_SYRINGE: catalogue.SYRINGE_DRIVES, KIND_PERISTALTIC: catalogue.HEAD_DRIVES}
_KIND_NAMES = {KIND_SYRINGE: "a syringe", KIND_PERISTALTIC: "a peristaltic head"}


def item_ids(kind: int) -> tuple[str, ...]:
    """Catalogue ids of all syringes or all heads."""
    return tuple(str(row[0]) for row in _ITEMS[kind])


def drive_ids(kind: int) -> tuple[str, ...]:
    """Catalogue ids of the drives for a syringe or for a head."""
    return tuple(str(row[0]) for row in _DRIVES[kind])


def item_name(kind: int, item_id: str) -> str:
    """Maker and model, and the tube of a head; the id itself where it is not in the catalogue."""
    for row in _ITEMS[kind]:
        if row[0] == item_id:
            return f"{row[1]} {row[2]}" + (f" ({row[3]})" if kind == KIND_PERISTALTIC else "")
    return item_id


def capacity_ul(item_id: str) -> int:
    """Nominal capacity of a syringe in µL; 0 for what is none."""
    return next((int(row[3]) for row in catalogue.SYRINGES if row[0] == item_id), 0)


def nearest(found: str, known: Sequence[str]) -> str:
    """The question "Did you mean …? " with the ids that are like ``found``, or nothing."""
    written_as_id = "-".join(found.lower().split())
    close = difflib.get_close_matches(written_as_id, known, 3)
    return f"Did you mean {' or '.join(close)}? " if close else ""


def unknown_drive(kind: int, drive_id: str) -> tuple[str, str]:
    """What is wrong with ``drive_id`` for this kind of mechanism, and what to do."""
    return (
        f'there is no drive "{drive_id}" for {_KIND_NAMES[kind]}',
        f"Choose one of {', '.join(drive_ids(kind))}",
    )
