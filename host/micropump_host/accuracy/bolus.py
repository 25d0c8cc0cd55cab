"""The bolus series: how much each of a number of successive boluses delivered.

IEC 60601-2-24:1998 asks for 25 successive boluses at the least and at the greatest setting, and
for their mean and greatest deviations.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from micropump_host.accuracy.iec import WATER_DENSITY_G_ML, check_density
from micropump_host.accuracy.table import Floats, Table, read_table
from micropump_host.errors import MicropumpError, UsageError

EXPECTED_BOLUSES = 25


@dataclass(frozen=True, eq=False)
class BolusSeries:
    """Balance readings around successive boluses.

    Attributes:
        mass_g: reading before the first bolus and after each one, grams, shape (boluses + 1,).
        name: what to call the series.

    """

    mass_g: Floats
    name: str


@dataclass(frozen=True, eq=False)
class BolusAccuracy:
    """How accurate the boluses of one series were.

    Attributes:
        name: name of the series.
        bolus_ml: the set volume of a bolus, mL.
        density_g_ml: density of the liquid, g/mL.
        volume_ml: volume of each bolus, mL, shape (boluses,).
        error_percent: its deviation from the set volume, percent of it, shape (boluses,).
        notes: sentences that a reader of the numbers has to know.

    """

    name: str
    bolus_ml: float
    density_g_ml: float
    volume_ml: Floats
    error_percent: Floats
    notes: tuple[str, ...]

    @property
    def mean_error_percent(self) -> float:
        """Mean deviation, percent of the set volume."""
        return float(self.error_percent.mean())

    @property
    def max_deviation_percent(self) -> float:
        """Greatest deviation, with its sign: of the largest bolus."""
        return float(self.error_percent.max())

    @property
    def min_deviation_percent(self) -> float:
        """Least deviation, with its sign: of the smallest bolus."""
        return float(self.error_percent.min())

    def to_json_dict(self) -> dict[str, Any]:
        """Return everything as plain data; ``docs/accuracy.md`` explains the keys."""
        rows = zip(self.volume_ml.tolist(), self.error_percent.tolist(), strict=True)
        return {
            "record": self.name,
            "kind": "bolus",
            "bolus_ml": self.bolus_ml,
            "density_g_ml": self.density_g_ml,
            "n": len(self.volume_ml),
            "mean_volume_ml": float(self.volume_ml.mean()),
            "mean_error_percent": self.mean_error_percent,
            "max_deviation_percent": self.max_deviation_percent,
            "min_deviation_percent": self.min_deviation_percent,
            "boluses": [
                {"n": number, "volume_ml": volume, "error_percent": error}
                for number, (volume, error) in enumerate(rows, 1)
            ],
            "notes": list(self.notes),
        }


def load_bolus_series(path: Path | str) -> BolusSeries:
    """Read a bolus series from a CSV file with the columns ``n`` and ``mass_g``.

    Row n = 0 holds the reading before the first bolus, row n the cumulative reading after the
    n-th. Further columns and comments are allowed as in a record.

    Raises:
        MicropumpError: naming the file and line: whatever ails a record's file, n not counting
            0, 1, 2 …, or no bolus at all.

    """
    path = Path(path)
    table = read_table(path, ("n", "mass_g"))
    number, mass_g = table.values[:, 0], table.values[:, 1].copy()
    good = (number == np.arange(len(number))) & np.isfinite(mass_g) & (mass_g >= 0)
    if not good.all():
        row = int(np.argmin(good))
        _raise_defect(table, row, float(number[row]), float(mass_g[row]))
    if len(number) < 2:
        what = f"the series has {len(number)} rows; at least n = 0 and n = 1 are needed"
        raise MicropumpError(what, str(path), "Read the balance before and after each bolus.")
    return BolusSeries(mass_g, path.stem)


def _raise_defect(table: Table, row: int, number: float, mass_g: float) -> None:
    if number != row:
        what = f"n is {number:g} where {row} should follow"
        remedy = "Number the rows 0, 1, 2 …; row 0 is the reading before the first bolus."
    else:
        what = f"mass_g is {mass_g:g}; it must be a finite number and not negative"
        remedy = "Correct the line or measure again."
    raise MicropumpError(what, table.where(row), remedy)


def analyse_bolus(
    series: BolusSeries, bolus_ml: float, density_g_ml: float = WATER_DENSITY_G_ML
) -> BolusAccuracy:
    """Compute volume and deviation of every bolus of a series.

    Args:
        series: readings of the balance.
        bolus_ml: the set volume of a bolus, mL.
        density_g_ml: density of the liquid, g/mL.

    Raises:
        UsageError: if the set volume or the density is not above zero.

    """
    if not (np.isfinite(bolus_ml) and bolus_ml > 0):
        what = f"{bolus_ml:g} mL is not a bolus above zero"
        raise UsageError(what, "--bolus-ml", "Give the set volume of one bolus in mL.")
    check_density(density_g_ml)
    volume_ml = np.diff(series.mass_g) / density_g_ml
    notes = []
    if len(volume_ml) != EXPECTED_BOLUSES:
        notes.append(
            f"The series has {len(volume_ml)} boluses; IEC 60601-2-24 asks for {EXPECTED_BOLUSES}."
        )
    if (volume_ml < 0).any():
        notes.append("The mass falls over at least one bolus: the balance was disturbed.")
    return BolusAccuracy(
        name=series.name,
        bolus_ml=float(bolus_ml),
        density_g_ml=float(density_g_ml),
        volume_ml=volume_ml,
        error_percent=100.0 * (volume_ml - bolus_ml) / bolus_ml,
        notes=tuple(notes),
    )
