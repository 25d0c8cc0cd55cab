"""Reading [therapy]: figures that may be doses, and what several programs have in common."""

from collections.abc import Callable
from fractions import Fraction

from micropump import therapy
from micropump_host.orders.order import FieldValue
from micropump_host.reading.dosage import (
    NO_FIGURE,
    Basis,
    Figure,
    MissingBasisError,
    read_rate,
    read_volume,
    rounded,
)
from micropump_host.reading.quantity import duration_text, parse_duration_s, volume_text
from micropump_host.reading.tables import Table

Fields = dict[str, FieldValue]


class TherapyReader:
    """Reads the keys of [therapy].

    Args:
        table: the section.
        basis: what doses are worked out with.
        unreadable: which of "concentration" and "weight" are there, but wrong; what takes them is
            no problem of its own.
        contents_ul: what all containers hold together.

    Attributes:
        arithmetic, remarks: as in ``Order``.

    """

    def __init__(
        self, table: Table, basis: Basis, unreadable: frozenset[str], contents_ul: int
    ) -> None:
        self.table = table
        self.basis = basis
        self.unreadable = unreadable
        self.contents_ul = contents_ul
        self.arithmetic: list[str] = []
        self.remarks: list[str] = []

    # -- figures -------------------------------------------------------------------------------

    def volume_ul(self, key: str, example: str, table: Table | None = None) -> int:
        """Return a volume, plain or as a dose; 0 where it is missing or wrong."""
        return self._figure(table or self.table, key, example, read_volume).count

    def rate_ul_h(self, key: str, example: str) -> int:
        """Return a rate, plain or as a dose rate; 0 where it is missing or wrong."""
        return self.rate(self.table, key, example).count

    def rate(self, table: Table, key: str, example: str) -> Figure:
        """Return a rate as it was read; one of 0 where it is missing or wrong."""
        return self._figure(table, key, example, read_rate)

    def duration_s(self, key: str, example: str, table: Table | None = None) -> int:
        """Return a time; 0 where it is missing or wrong."""
        return (table or self.table).parsed(key, parse_duration_s, example) or 0

    def read_rate(self, key: str, text: str) -> Figure:
        """Return the rate that a text of the key says; one of 0 where it is wrong."""
        return self._read(self.table, key, text, read_rate)

    def note(self, label: str, line: str) -> None:
        """Keep how a figure came about."""
        self.arithmetic.append(f"{label}: {line}")

    def _figure(
        self, table: Table, key: str, example: str, read: Callable[[str, Basis], Figure]
    ) -> Figure:
        text = table.text(key, example)
        if not table.is_text(key):
            return NO_FIGURE
        figure = self._read(table, key, text, read)
        if figure.arithmetic:
            entry = table.name.partition(".")[2]
            self.note(f"{entry} {key}" if entry else key, figure.arithmetic)
        return figure

    def _read(
        self, table: Table, key: str, text: str, read: Callable[[str, Basis], Figure]
    ) -> Figure:
        def parse(written: str) -> Figure:
            try:
                return read(written, self.basis)
            except MissingBasisError as error:
                if error.key in self.unreadable:
                    return NO_FIGURE
                raise

        return table.read(key, text, parse) or NO_FIGURE

    # -- what several programs have ------------------------------------------------------------

    def setup(self) -> Fields:
        """The delay and the KVO rate."""
        return {"delay_s": self.duration_s("delay", '"30 min"'), "kvo_ul_h": self._kvo_ul_h()}

    def vtbi_ul(self, optional: bool = False) -> int:
        """Return the VTBI, which may be written as a dose."""
        if not self.table.given("dose"):
            if not optional:
                self.table.required("vtbi", '"10 mL"')
            return self.volume_ul("vtbi", '"10 mL"')
        key = self.table.either(("dose", "vtbi"), "a VTBI or a dose", 'vtbi = "10 mL"')
        return self.volume_ul(key, '"1 g"')

    def rate_or_time(self, volume_ul: int) -> tuple[int, int]:
        """Return the rate and the time for a volume, one of which is 0."""
        self.table.either(
            ("rate", "time"),
            "an infusion takes either a rate or a time",
            'rate = "5 mL/h", or time = "2 h"',
        )
        rate_ul_h = self.rate_ul_h("rate", '"5 mL/h"')
        duration_s = self.duration_s("time", '"2 h"')
        self.rate_of("rate", volume_ul, duration_s)
        return rate_ul_h, duration_s

    def rate_of(self, label: str, volume_ul: int, duration_s: int) -> int:
        """Return the rate that gives a volume in a time, and note it; 0 where either is 0."""
        if not volume_ul or not duration_s:
            return 0
        rate_ul_h, result = rounded(Fraction(volume_ul * 3600, duration_s), is_rate=True)
        self.note(label, f"{volume_text(volume_ul)} / {duration_text(duration_s)} = {result}")
        return rate_ul_h

    def loading(self, default_ul_h: int = 0) -> dict[str, int]:
        """Return volume and rate of the loading dose, both 0 without one."""
        if not self.table.given("loading"):
            for key in ("loading_rate", "loading_time"):
                if self.table.given(key):
                    self.table.add(key, "there is no loading dose", 'Write loading = "2 mL" too')
            return {"loading_ul": 0, "loading_ul_h": 0}
        loading_ul = self.volume_ul("loading", '"2 mL"')
        if default_ul_h and not (
            self.table.given("loading_rate") or self.table.given("loading_time")
        ):
            return {"loading_ul": loading_ul, "loading_ul_h": default_ul_h}
        self.table.either(
            ("loading_rate", "loading_time"),
            "a loading dose takes either a rate or a time",
            'loading_rate = "60 mL/h", or loading_time = "30 min"',
        )
        loading_ul_h = self.rate_ul_h("loading_rate", '"60 mL/h"')
        duration_s = self.duration_s("loading_time", '"30 min"')
        by_time_ul_h = self.rate_of("loading_rate", loading_ul, duration_s)
        return {"loading_ul": loading_ul, "loading_ul_h": loading_ul_h or by_time_ul_h}

    def _kvo_ul_h(self) -> int:
        words = {"rule": therapy.KVO_BY_RULE, "off": therapy.KVO_OFF}
        example = '"rule", "off" or "1 mL/h"'
        value = self.table.text("kvo", example)
        if not self.table.is_text("kvo"):
            return words["rule"]
        if value in words:
            return words[value]
        if value.isalpha():
            self.table.add("kvo", f'"{value}" is no KVO', f"Write {example}")
            return 0
        return self.rate_ul_h("kvo", example)
