"""What balloon and bag share: nothing turns in them, their own pressure drives them out."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from micropump_host.bench.drain import drained_ul
from micropump_host.bench.outlet import column_pressure_pa
from micropump_host.bench.patient import Patient, Spell, spells
from micropump_host.bench.tables import within


@dataclass(frozen=True)
class DeviceInfo:
    """``[device]``: what it is called and the seed of all that varies.

    Attributes:
        name: what tables and plots call it.
        seed: of what varies from one piece, and from one hour, to the next.

    """

    name: str
    seed: int = within(0, 2**63 - 1)


@dataclass(frozen=True)
class Liquid:
    """``[liquid]``: what is infused.

    Attributes:
        density_g_ml: its density, g/mL.
        relative_viscosity: its viscosity, in parts of that of water (of what an elastomeric
            device is calibrated with).

    """

    density_g_ml: float = within(0.5, 2.0)
    relative_viscosity: float = within(0.1, 100.0)


@dataclass(frozen=True)
class PassiveDevice(ABC):
    """A device without a drive on a patient, from the moment its clamp is opened."""

    device: DeviceInfo
    liquid: Liquid
    patient: Patient

    @property
    @abstractmethod
    def content_ul(self) -> float:
        """What it holds at the start, µL."""

    @abstractmethod
    def curve(self) -> tuple[tuple[float, float], ...]:
        """Return the pressure of its reservoir as (content in µL, pressure in Pa), rising."""

    @abstractmethod
    def sigma_ul_per_pa(self, spell: Spell, from_s: float, until_s: float) -> float:
        """Return ∫ dt/R (µL/Pa) between two times (s) of a spell, R being what it flows through."""

    def outflow_ul(self, t_s: float) -> float:
        """Return the volume that has left the line's end ``t_s`` s after the clamp was opened."""
        return self.outflows_ul((t_s,))[0]

    def outflows_ul(self, times_s: Sequence[float]) -> list[float]:
        """Return the volume that has left at each of some times (s, never decreasing), µL.

        Exact: from one time or change to the next the reservoir follows its closed form.

        Raises:
            ValueError: if a time is before the one that precedes it, or before zero.

        """
        curve = self.curve()
        left_ul = self.content_ul
        outflows_ul = []
        now_s = 0.0
        upcoming = spells(self.patient, self.device.seed)
        current = next(upcoming)
        for t_s in times_s:
            if t_s < now_s:
                raise ValueError(f"time {t_s} s is before {now_s} s")
            while now_s < t_s:
                until_s = min(t_s, current.end_s)
                sigma = self.sigma_ul_per_pa(current, now_s, until_s)
                left_ul = drained_ul(curve, left_ul, self.out_pressure_pa(current), sigma)
                now_s = until_s
                if now_s >= current.end_s:
                    current = next(upcoming)
            outflows_ul.append(self.content_ul - left_ul)
        return outflows_ul

    def out_pressure_pa(self, spell: Spell) -> float:
        """Return what it drains against: the vein, and the vein's height, Pa."""
        return spell.venous_pressure_pa + column_pressure_pa(
            spell.vein_height_m, self.liquid.density_g_ml
        )
