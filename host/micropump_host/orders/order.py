"""What an order is, and the error that says all that is wrong with one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from micropump_host.errors import MicropumpError


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with an order.

    Attributes:
        key: what it concerns, as "[therapy] rate"; empty for the file as a whole.
        line: its line in the file, from 1; 0 where that is not known.
        what: what was wrong.
        remedy: what to do about it; may be empty.

    """

    key: str
    line: int
    what: str
    remedy: str

    @property
    def where(self) -> str:
        """Line and key, as far as they are known."""
        return ", ".join(part for part in (self.line and f"line {self.line}", self.key) if part)

    def __str__(self) -> str:
        """Everything in one line."""
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}. {self.remedy}" if self.remedy else text


class OrderError(MicropumpError):
    """An order cannot be read or cannot be delivered.

    Args:
        source: the file, or whatever the order came from.
        problems: everything that is wrong with it, at least one.

    """

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        self.source = source
        self.problems = tuple(problems)
        if len(self.problems) == 1:
            only = self.problems[0]
            where = f"{source}, {only.where}" if only.where else source
            super().__init__(only.what, where, only.remedy)
        else:
            listed = "".join(f"\n  - {problem}" for problem in self.problems)
            super().__init__(
                f"{len(self.problems)} things are wrong with this order{listed}", source
            )


@dataclass(frozen=True)
class Order:
    """A continuous infusion as it was ordered.

    Attributes:
        order_id: names the order; 1 to 40 characters, kebab-case.
        note: free text.
        kind: ``mechanism.KIND_SYRINGE`` or ``mechanism.KIND_PERISTALTIC``.
        item_id: catalogue id of the syringe or head.
        content_ul: what the container holds at the start.
        vtbi_ul: volume to be infused.
        rate_ul_h: the rate, or 0 where the time is ordered.
        duration_s: the time for the VTBI, or 0 where the rate is ordered.
        kvo_ul_h: ``therapy.KVO_BY_RULE``, ``therapy.KVO_OFF`` or a rate.
        drive_id: catalogue id of the drive that is expected, or "" for any.
        source: the file it was read from.
        lines: line of each key of the file, as {"[therapy] rate": 8}; not part of what is ordered.

    """

    order_id: str
    note: str
    kind: int
    item_id: str
    content_ul: int
    vtbi_ul: int
    rate_ul_h: int
    duration_s: int
    kvo_ul_h: int
    drive_id: str = ""
    source: str = ""
    lines: Mapping[str, int] = field(default_factory=dict, compare=False, repr=False)
