"""What an order means: volume over time, from the timeline of the program that the core makes."""

from dataclasses import dataclass

import numpy as np

from micropump.program import PURGE, Program
from micropump_host.accuracy.table import Floats
from micropump_host.errors import MicropumpError
from micropump_host.orders.check import timeline

_S_PER_H = 3600.0


@dataclass(frozen=True)
class Stretch:
    """A part of the intent, at one rate or along a straight ramp.

    Attributes:
        start_s: its beginning, s from the start of the infusion.
        duration_s: s; above zero.
        rate_ml_h: rate at its beginning, mL/h.
        end_rate_ml_h: rate at its end, mL/h.

    """

    start_s: float
    duration_s: float
    rate_ml_h: float
    end_rate_ml_h: float

    @property
    def volume_ml(self) -> float:
        """What it delivers, mL."""
        return (self.rate_ml_h + self.end_rate_ml_h) / 2.0 * self.duration_s / _S_PER_H


@dataclass(frozen=True)
class Intent:
    """What was meant: stretches that follow each other from time zero.

    Attributes:
        stretches: in order, without gaps.

    """

    stretches: tuple[Stretch, ...]

    @property
    def duration_s(self) -> float:
        """From the start to the last of the volume, s."""
        return sum(stretch.duration_s for stretch in self.stretches)

    @property
    def volume_ml(self) -> float:
        """All that is meant to be delivered in that time, KVO in delays and gaps included, mL."""
        return sum(stretch.volume_ml for stretch in self.stretches)

    @property
    def mean_rate_ml_h(self) -> float:
        """That volume over that time, mL/h."""
        return self.volume_ml / self.duration_s * _S_PER_H

    @property
    def is_steady(self) -> bool:
        """Whether the rate never changes."""
        rates = {(part.rate_ml_h, part.end_rate_ml_h) for part in self.stretches}
        return len(rates) == 1 and all(begin == end for begin, end in rates)

    def volumes_ml(self, times_s: Floats) -> Floats:
        """Return what is meant to be delivered by each of some times, mL.

        Args:
            times_s: s from the start, shape (n,), increasing; nothing is meant after the end.

        Returns:
            The volumes, shape (n,).

        """
        volumes_ml = np.zeros_like(times_s)
        for part in self.stretches:
            inside_s = np.clip(times_s - part.start_s, 0.0, part.duration_s)
            gain = (part.end_rate_ml_h - part.rate_ml_h) / part.duration_s
            volumes_ml += (part.rate_ml_h + gain * inside_s / 2.0) * inside_s / _S_PER_H
        return volumes_ml


def intent_of(program: Program) -> Intent:
    """Return the intent of a program that the core has made.

    What the pump does after the last of the VTBI (KVO until the container is empty) is no part of
    it.

    Raises:
        MicropumpError: if the program is a purge, or delivers nothing by itself, as a PCA without a
            basal rate and a loading dose.

    """
    if program.kind == PURGE:
        raise MicropumpError(
            "a purge is delivered to nobody, so there is nothing to compare",
            "[therapy] program",
            "Choose the order of a therapy.",
        )
    intent = Intent(
        tuple(
            Stretch(
                start_s=part.start_ms / 1000.0,
                duration_s=part.duration_ms / 1000.0,
                rate_ml_h=part.rate_ul_h / 1000.0,
                end_rate_ml_h=part.end_rate_ul_h / 1000.0,
            )
            for part in timeline(program)
            if part.duration_ms > 0
        )
    )
    if not intent.volume_ml > 0.0:
        raise MicropumpError(
            "this order delivers nothing by itself, so there is nothing to compare",
            "[therapy] program",
            "Choose an order with a rate: demands are made by people, not by devices.",
        )
    return intent
