"""The record of a balance during an infusion."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from micropump_host.accuracy.table import Floats, read_table
from micropump_host.errors import MicropumpError

MIN_SAMPLES = 3


@dataclass(frozen=True, eq=False)
class Record:
    """What a balance under the outlet read during one infusion.

    Attributes:
        time_s: time since the start of the infusion in seconds, shape (n,), strictly increasing;
            readings from before the start have negative times.
        mass_g: reading of the balance in grams, shape (n,), not negative.
        name: what to call the record in tables and plots.

    Raises:
        MicropumpError: if the arrays differ in shape, hold fewer than 3 samples, or a sample is
            not finite, has a negative mass or does not come after the one before it.

    """

    time_s: Floats
    mass_g: Floats
    name: str

    def __post_init__(self) -> None:
        """Take anything that numpy can make an array of, and check it."""
        object.__setattr__(self, "time_s", np.asarray(self.time_s, dtype=np.float64))
        object.__setattr__(self, "mass_g", np.asarray(self.mass_g, dtype=np.float64))
        if self.time_s.ndim != 1 or self.time_s.shape != self.mass_g.shape:
            shapes = f"{self.time_s.shape} and {self.mass_g.shape}"
            raise MicropumpError(f"time and mass have the shapes {shapes}", self.name, "")
        _check_count(len(self.time_s), self.name)
        defect = _first_defect(self.time_s, self.mass_g)
        if defect is not None:
            index, what, remedy = defect
            raise MicropumpError(what, f"{self.name}, sample {index}", remedy)


def load_record(path: Path | str) -> Record:
    """Read a record from a CSV file with the columns ``t_s`` and ``mass_g``.

    Time zero is the start of the infusion. Further columns are allowed, columns may come in any
    order, and lines starting with ``#`` are comments.

    Args:
        path: the file, UTF-8 text.

    Returns:
        The record, named after the file without its suffix.

    Raises:
        MicropumpError: naming the file and, where there is one, the line: no such file, a
            directory, empty, binary, a column missing, a field that is not a number, NaN or
            infinity, a negative mass, time that does not increase, fewer than 3 samples.

    """
    path = Path(path)
    table = read_table(path, ("t_s", "mass_g"))
    time_s, mass_g = table.values[:, 0].copy(), table.values[:, 1].copy()
    defect = _first_defect(time_s, mass_g)
    if defect is not None:
        row, what, remedy = defect
        raise MicropumpError(what, table.where(row), remedy)
    _check_count(len(time_s), str(path))
    return Record(time_s, mass_g, path.stem)


def _check_count(count: int, where: str) -> None:
    if count < MIN_SAMPLES:
        raise MicropumpError(
            f"the record has {count} samples; at least {MIN_SAMPLES} are needed",
            where,
            "Record the balance for the whole infusion.",
        )


def _first_defect(time_s: Floats, mass_g: Floats) -> tuple[int, str, str] | None:
    """Return (sample, what is wrong, remedy) of the first sample that cannot be."""
    finite = np.isfinite(time_s) & np.isfinite(mass_g)
    with np.errstate(invalid="ignore"):
        later = np.diff(time_s, prepend=-np.inf) > 0
    good = finite & (mass_g >= 0) & later
    if good.all():
        return None
    index = int(np.argmin(good))
    time, mass = float(time_s[index]), float(mass_g[index])
    if not finite[index]:
        what = f"t_s {time:g} and mass_g {mass:g}: a sample must have two finite numbers"
        return index, what, "Remove the line or measure again."
    if mass < 0:
        remedy = "Let the balance show the vessel's own mass, or tare it before the start."
        return index, f"mass_g is negative ({mass:g} g)", remedy
    before = float(time_s[index - 1])
    what = f"t_s does not increase ({before:.9g} s, then {time:.9g} s)"
    return index, what, "Put the samples in the order of time, one for each moment."
