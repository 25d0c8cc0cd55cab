"""What a worn or hung device feels of whoever it is fastened to: venous pressure, posture, skin.

Both change from time to time; between two changes they are steady, so that the devices keep their
closed forms. Each change draws from streams of its own, named after the seed, its number and what
it is, so that what holds at a moment does not depend on who asked before.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from micropump_host.bench.tables import within


@dataclass(frozen=True)
class Patient:
    """``[patient]``: the vein, and how it moves.

    Attributes:
        venous_pressure_kpa: mean pressure in the vein, kPa.
        venous_pressure_swing_kpa: the most that it is off the mean, kPa.
        vein_height_cm: mean height of the vein above where the device was set up for it, cm.
        vein_height_swing_cm: the most that it is off the mean, cm.
        skin_temperature_c: mean temperature of what is taped to the skin, °C.
        skin_temperature_swing_c: the most that it is off the mean, °C.
        change_every_min: how long posture, pressure and skin stay as they are, min.

    """

    venous_pressure_kpa: float = within(-5.0, 30.0)
    venous_pressure_swing_kpa: float = within(0.0, 10.0)
    vein_height_cm: float = within(-100.0, 100.0)
    vein_height_swing_cm: float = within(0.0, 100.0)
    skin_temperature_c: float = within(10.0, 45.0)
    skin_temperature_swing_c: float = within(0.0, 10.0)
    change_every_min: float = within(1.0, 10_000.0)


@dataclass(frozen=True)
class Spell:
    """A time in which nothing about the patient changes.

    Attributes:
        start_s: its beginning, s from the start of the infusion.
        end_s: its end, s.
        venous_pressure_pa: Pa.
        vein_height_m: above where the device was set up for it, m.
        skin_temperature_c: °C.

    """

    start_s: float
    end_s: float
    venous_pressure_pa: float
    vein_height_m: float
    skin_temperature_c: float


def spell(patient: Patient, seed: int, number: int) -> Spell:
    """Return the spell of a number, from 0, of a patient and a seed."""
    length_s = patient.change_every_min * 60.0

    def about(name: str, mean: float, swing: float) -> float:
        return mean + random.Random(f"{seed}/patient/{name}/{number}").uniform(-swing, swing)

    return Spell(
        start_s=number * length_s,
        end_s=(number + 1) * length_s,
        venous_pressure_pa=1000.0
        * about("venous", patient.venous_pressure_kpa, patient.venous_pressure_swing_kpa),
        vein_height_m=0.01 * about("height", patient.vein_height_cm, patient.vein_height_swing_cm),
        skin_temperature_c=about(
            "skin", patient.skin_temperature_c, patient.skin_temperature_swing_c
        ),
    )


def spells(patient: Patient, seed: int) -> Iterator[Spell]:
    """Return the spells in order, without end."""
    number = 0
    while True:
        yield spell(patient, seed, number)
        number += 1
