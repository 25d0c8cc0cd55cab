"""What a pump discloses of an occlusion: rate × threshold → time to alarm and bolus on release.

IEC 60601-2-24 has it measured with the stopcock at the end of the line closed, and opened after the
alarm. Rows come from simulated runs or from the record of a real bench (``load_occlusion_run``),
whose pressure is put through the core's own detector. ``docs/occlusion.md`` has the method.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from micropump.occlusion import Occlusion
from micropump_host.accuracy.record import MIN_SAMPLES
from micropump_host.accuracy.table import Floats, read_table
from micropump_host.errors import MicropumpError

# How it is measured, and what is disclosed (IEC 60601-2-24, 1998): figures only.
METHOD = (
    "IEC 60601-2-24 has it measured at the intermediate rate (5 mL/h, volumetric pumps 25 mL/h), "
    "with the least and then the greatest threshold, the stopcock at the end of the line closed, "
    "at 20 ± 2 °C"
)
WATER_DENSITY_G_ML = 0.998
# Of a balance's readings before the line is opened, and of the record's last.
_MEAN_OF_SAMPLES = 5
_COLUMNS = ("t_s", "mass_g", "pressure_kpa")
_HEAD = re.compile(r"#\s*(\w+)\s*=\s*(\S+)\s*$")
_NUMBERS = ("rate_ml_h", "level_kpa", "alarm_s", "opened_s", "density_g_ml")
_NEEDED = _NUMBERS[:4]


@dataclass(frozen=True)
class Published:
    """What a maker says comes out after an occlusion.

    Attributes:
        pump: maker and model.
        bolus_ml: at most so much, mL.
        source: where that stands, and with what proviso.

    """

    pump: str
    bolus_ml: float
    source: str


PUBLISHED = (
    Published(
        "B. Braun Infusomat Space",
        0.2,
        "its instructions for use: at most 0.2 mL, after its bolus reduction",
    ),
    Published(
        "Smiths Medical Medfusion 4000",
        0.3,
        "operator's manual, software V1.1, post occlusion bolus reduction: below 0.3 mL, and more "
        "with large syringes at its highest limit",
    ),
)


@dataclass(frozen=True)
class Alarm:
    """An alarm, and what came out when the line was opened after it.

    Attributes:
        time_s: from the closing of the line, s.
        pressure_kpa: in the line at that moment, gauge, kPa.
        bolus_ml: what left the line's end when it was opened, mL; None where it was not.

    """

    time_s: float
    pressure_kpa: float
    bolus_ml: float | None = None


@dataclass(frozen=True)
class OcclusionRow:
    """One rate and one threshold.

    Attributes:
        name: what was measured: a bench, or a file.
        rate_ml_h: the set rate.
        level_kpa: the threshold.
        by_level: when the pressure was at the threshold; None if it never was.
        by_slope: when the slope told a closed line; None if it never did.
        unrelieved: the pump's alarm, with the line opened as it was left.
        relieved: the pump's alarm, with the line opened after its back-off; None where none was.

    """

    name: str
    rate_ml_h: float
    level_kpa: float
    by_level: Alarm | None
    by_slope: Alarm | None
    unrelieved: Alarm | None
    relieved: Alarm | None

    @property
    def slope_part(self) -> float | None:
        """The time by slope in parts of that by level; None where one of them is not known."""
        if self.by_slope is None or self.by_level is None or not self.by_level.time_s:
            return None
        return self.by_slope.time_s / self.by_level.time_s


@dataclass(frozen=True, eq=False)
class Trace:
    """The course of one run.

    Attributes:
        title: what was run.
        time_s: from the closing of the line, shape (n,), increasing.
        pressure_kpa: in the line, shape (n,).
        volume_ml: out of the line's end since it was closed, shape (n,).
        marks: (s, what happened then).

    """

    title: str
    time_s: Floats
    pressure_kpa: Floats
    volume_ml: Floats
    marks: tuple[tuple[float, str], ...]


@dataclass(frozen=True, eq=False)
class Disclosure:
    """The table, and one run of it.

    Attributes:
        description: what it is of.
        rows: by rate, then by threshold.
        trace: of one run, or None.
        notes: what has to be known of it, sentences without a full stop.

    """

    description: str
    rows: tuple[OcclusionRow, ...]
    trace: Trace | None = None
    notes: tuple[str, ...] = ()

    def to_json_dict(self) -> dict[str, Any]:
        """Return the figures as plain data; ``docs/occlusion.md`` explains the keys."""
        return {
            "description": self.description,
            "method": METHOD,
            "rows": [{**asdict(row), "slope_part": row.slope_part} for row in self.rows],
            "published": [asdict(each) for each in PUBLISHED],
            "notes": list(self.notes),
        }


@dataclass(frozen=True, eq=False)
class OcclusionRun:
    """The record of a real bench: a line that was closed, and opened after the alarm.

    Attributes:
        name: of the file, without its suffix.
        rate_ml_h: the set rate.
        level_kpa: the pump's threshold.
        alarm_s: when the pump gave its alarm and stopped, from the closing of the line.
        opened_s: when the line was opened again.
        is_relieved: whether the pump had backed off before.
        density_g_ml: of the liquid.
        time_s: from the closing of the line, shape (n,), increasing; negative before.
        mass_g: the balance under the outlet, shape (n,).
        pressure_kpa: in the line at the pump, gauge, shape (n,).

    """

    name: str
    rate_ml_h: float
    level_kpa: float
    alarm_s: float
    opened_s: float
    is_relieved: bool
    density_g_ml: float
    time_s: Floats
    mass_g: Floats
    pressure_kpa: Floats


def load_occlusion_run(path: Path | str) -> OcclusionRun:
    """Read the record of an occlusion on a real bench.

    A CSV with the columns ``t_s`` (from the closing of the stopcock), ``mass_g`` and
    ``pressure_kpa``, and comments like ``# rate_ml_h = 5`` that tell ``rate_ml_h``, ``level_kpa``,
    ``alarm_s`` and ``opened_s``, and if need be ``back_off`` (yes or no) and ``density_g_ml``.

    Args:
        path: the file, UTF-8 text.

    Raises:
        MicropumpError: naming the file and, where there is one, the line: what ``load_record``
            refuses, a figure that is missing or no number, or times that are not in order.

    """
    path = Path(path)
    table = read_table(path, _COLUMNS)
    told = _head(path)
    values = table.values
    for row, sample in enumerate(values):
        if not np.isfinite(sample).all():
            raise MicropumpError("a sample has a figure that is none", table.where(row), "")
        if row and values[row - 1, 0] >= sample[0]:
            raise MicropumpError(
                f"t_s does not increase ({values[row - 1, 0]:.9g} s, then {sample[0]:.9g} s)",
                table.where(row),
                "Put the samples in the order of time, one for each moment.",
            )
    if len(values) < MIN_SAMPLES:
        raise MicropumpError(f"the record has {len(values)} samples", str(path), "Record all of it")
    run = OcclusionRun(
        name=path.stem,
        rate_ml_h=told["rate_ml_h"],
        level_kpa=told["level_kpa"],
        alarm_s=told["alarm_s"],
        opened_s=told["opened_s"],
        is_relieved=bool(told["back_off"]),
        density_g_ml=told.get("density_g_ml", WATER_DENSITY_G_ML),
        time_s=values[:, 0].copy(),
        mass_g=values[:, 1].copy(),
        pressure_kpa=values[:, 2].copy(),
    )
    _check_order(path, run)
    return run


def row_of(run: OcclusionRun) -> OcclusionRow:
    """Return what a record shows.

    The times by level and by slope are those at which the core's detector finds them in the
    recorded pressure; the bolus is the mean of the record's last five
    readings less that of the last five before the line was opened.
    """
    by_level, by_slope = replay(run)
    before = (run.time_s <= run.opened_s).nonzero()[0][-_MEAN_OF_SAMPLES:]
    after = (run.time_s > run.opened_s).nonzero()[0][-_MEAN_OF_SAMPLES:]
    mass_g = float(run.mass_g[after].mean() - run.mass_g[before].mean())
    pressure_kpa = float(np.interp(run.alarm_s, run.time_s, run.pressure_kpa))
    alarm = Alarm(run.alarm_s, pressure_kpa, mass_g / run.density_g_ml)
    return OcclusionRow(
        name=run.name,
        rate_ml_h=run.rate_ml_h,
        level_kpa=run.level_kpa,
        by_level=by_level,
        by_slope=by_slope,
        unrelieved=None if run.is_relieved else alarm,
        relieved=alarm if run.is_relieved else None,
    )


def replay(run: OcclusionRun) -> tuple[Alarm | None, Alarm | None]:
    """Return when the core's detector finds LEVEL and SLOPE in a recorded pressure.

    The detector is asked at each sample from the record's first until the line is opened, and told
    that the set rate was pushed until the pump's alarm.
    """
    detector = Occlusion()
    detector.configure(round(run.level_kpa * 1000))
    found: dict[int, Alarm] = {}
    last_ms, last_nl = round(float(run.time_s[0]) * 1000), 0
    for t_s, pressure_kpa in zip(run.time_s.tolist(), run.pressure_kpa.tolist(), strict=True):
        if t_s > run.opened_s:
            break
        now_ms = round(t_s * 1000)
        # 1 mL/h is 1 nL in 3.6 ms.
        pushed_s = min(t_s, run.alarm_s) - float(run.time_s[0])
        nl = round(pushed_s * run.rate_ml_h / 3.6 * 1000)
        bits = detector.update(now_ms - last_ms, nl - last_nl, round(pressure_kpa * 1000))
        last_ms, last_nl = now_ms, nl
        for bit in (Occlusion.LEVEL, Occlusion.SLOPE):
            if bits & bit and t_s >= 0.0:
                found.setdefault(bit, Alarm(t_s, pressure_kpa))
    return found.get(Occlusion.LEVEL), found.get(Occlusion.SLOPE)


def disclosure_of(paths: Sequence[Path]) -> Disclosure:
    """Return the table of recorded runs, and the course of the first; raises MicropumpError."""
    runs = [load_occlusion_run(path) for path in paths]
    rows = tuple(sorted(map(row_of, runs), key=lambda row: (row.rate_ml_h, row.level_kpa)))
    return Disclosure(
        description=f"recorded: {', '.join(run.name for run in runs)}",
        rows=rows,
        trace=_trace_of(runs[0]),
        notes=notes_of(rows),
    )


def _trace_of(run: OcclusionRun) -> Trace:
    closed_g = float(np.interp(0.0, run.time_s, run.mass_g))
    return Trace(
        title=f"{run.name}: {run.rate_ml_h:g} mL/h, threshold {run.level_kpa:g} kPa",
        time_s=run.time_s,
        pressure_kpa=run.pressure_kpa,
        volume_ml=(run.mass_g - closed_g) / run.density_g_ml,
        marks=((run.alarm_s, "alarm"), (run.opened_s, "line opened")),
    )


def notes_of(rows: Sequence[OcclusionRow]) -> tuple[str, ...]:
    """Return what has to be said of a table, from its figures."""
    notes = []
    without = sorted({row.rate_ml_h for row in rows if row.by_slope is None})
    if without:
        rates = ", ".join(f"{rate_ml_h:g}" for rate_ml_h in without)
        notes.append(f"the slope told nothing at {rates} mL/h before the last alarm")
    if not any(row.relieved for row in rows):
        notes.append("no run backed off: what comes out after a back-off is not known")
    return tuple(notes)


def _head(path: Path) -> dict[str, float]:
    """Return the figures that stand in comments before the columns, ``back_off`` as 0 or 1."""
    told: dict[str, float] = {"back_off": 0.0}
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        match = _HEAD.match(line)
        if match is None:
            continue
        key, value = match.groups()
        where = f"{path}:{number}"
        if key == "back_off":
            if value not in ("yes", "no"):
                raise MicropumpError(f'back_off is "{value}"', where, "Write yes or no.")
            told[key] = float(value == "yes")
        elif key in _NUMBERS:
            told[key] = _above_zero(key, value, where)
    for key in _NEEDED:
        if key not in told:
            remedy = f"Add a line like: # {key} = 5"
            raise MicropumpError(f"the record does not tell {key}", str(path), remedy)
    return told


def _above_zero(key: str, text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 < value < math.inf:
        remedy = "Write a number above zero, in the unit that its name says."
        raise MicropumpError(f'{key} is "{text}"', where, remedy)
    return value


def _check_order(path: Path, run: OcclusionRun) -> None:
    if not run.alarm_s < run.opened_s < run.time_s[-1] or run.time_s[0] > 0.0:
        raise MicropumpError(
            f"the record is from {run.time_s[0]:g} to {run.time_s[-1]:g} s, the alarm at "
            f"{run.alarm_s:g} s, and the line opened at {run.opened_s:g} s",
            str(path),
            "Record from before the line is closed (at 0 s) until nothing comes out any more.",
        )
