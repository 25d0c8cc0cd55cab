"""A program's schedule: its stretches, the ends of its containers, what a patient may ask for."""

from dataclasses import dataclass

from micropump.doses import OK, DoseLimits
from micropump.program import (
    BOLUS,
    INFUSED,
    INTERMITTENT,
    KVO,
    PCA,
    PRIMED,
    RETRACTED,
    Phase,
    Program,
)
from micropump.therapy import basal_steps
from micropump_host.orders import CheckedOrder, Stretch, timeline

_NAMES = {
    INFUSED: "infuse",
    BOLUS: "loading dose",
    PRIMED: "purge",
    RETRACTED: "retract",
}
DAY_S = 86_400
_MS_PER_S = 1000


@dataclass(frozen=True)
class Row:
    """One stretch of a schedule.

    Attributes:
        number: from 1.
        what: "infuse", "KVO", "wait", "ramp up" …
        dose: the number of an intermittent dose, from 1; 0 for what is none.
        start_s: from the start of the program.
        duration_s: None where only the end of the container is one.
        rate_ml_h, end_rate_ml_h: at its beginning and at its end.
        volume_ml: in it; of an endless KVO what the containers still hold.
        total_ml: since the start, at its end, of all kinds.
        stairs: the rates of a ramp as the pump makes it, mL/h; empty for what is none.

    """

    number: int
    what: str
    dose: int
    start_s: float
    duration_s: float | None
    rate_ml_h: float
    end_rate_ml_h: float
    volume_ml: float
    total_ml: float
    stairs_ml_h: tuple[float, ...] = ()


@dataclass(frozen=True)
class ContainerChange:
    """When a container is empty, if no demand or bolus is given.

    Attributes:
        number: the container, from 1.
        at_s: from the start of the program.
        is_last: no other one is planned.

    """

    number: int
    at_s: float
    is_last: bool


@dataclass(frozen=True)
class Demands:
    """The most that a patient can get of a PCA, asking all the time.

    Attributes:
        times_s: when each demand is granted, over the first day at most or until the VTBI is in.
        demand_ml: what each gives.
        in_first_hour: how many are granted in it.
        lockout_s: from one to the next at least.
        windows: (hours, most mL) of each rolling limit.

    """

    times_s: tuple[float, ...]
    demand_ml: float
    in_first_hour: int
    lockout_s: float
    windows: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Schedule:
    """What a program is going to do.

    Attributes:
        rows: its stretches, in order.
        duration_s: from the start to the last of the VTBI, delays and gaps included; None for a PCA
            without a basal rate, which demands alone bring to an end.
        vtbi_ml, loading_ml: what is to be infused, and the loading dose beside it.
        kept_open_ml: KVO in delays and gaps, up to the last of the VTBI.
        least_rate_ml_h, greatest_rate_ml_h: of the therapy, KVO not included.
        containers, containers_needed: planned, and needed.
        changes: when each container is empty.
        demands: of a PCA.

    """

    rows: tuple[Row, ...]
    duration_s: float | None
    vtbi_ml: float
    loading_ml: float
    kept_open_ml: float
    least_rate_ml_h: float
    greatest_rate_ml_h: float
    containers: int
    containers_needed: int
    changes: tuple[ContainerChange, ...]
    demands: Demands | None


def row_name(row: Row) -> str:
    """What a row does, with the number of its dose."""
    return f"{row.what} {row.dose}" if row.dose else row.what


def schedule_of(checked: CheckedOrder) -> Schedule:
    """Lay out the program that the core has made of an order."""
    made = checked.program
    rows = _rows(made)
    unknown_end = made.kind == PCA and checked.first_rate_ul_h == 0
    return Schedule(
        rows=rows,
        duration_s=None if unknown_end else checked.duration_s,
        vtbi_ml=checked.vtbi_ul / 1000,
        loading_ml=checked.loading_ul / 1000,
        kept_open_ml=sum(
            row.volume_ml for row in rows if row.what == "KVO" and row.duration_s is not None
        ),
        least_rate_ml_h=checked.least_rate_ul_h / 1000,
        greatest_rate_ml_h=checked.greatest_rate_ul_h / 1000,
        containers=checked.containers,
        containers_needed=checked.containers_needed,
        changes=() if made.reverse else _changes(made, rows),
        demands=_demands(checked) if made.kind == PCA else None,
    )


def _ml(made: Program, steps: int) -> float:
    return steps * made.mechanism.nl_num / made.mechanism.nl_den / 1e6


def _rows(made: Program) -> tuple[Row, ...]:
    rows: list[Row] = []
    total_ml = 0.0
    held_ml = made.content_ul * made.containers / 1000
    for number, stretch in enumerate(timeline(made), 1):
        phase: Phase = made.phases[stretch.phase]
        endless = stretch.duration_ms < 0
        volume_ml = max(0.0, held_ml - total_ml) if endless else _ml(made, stretch.steps)
        total_ml += volume_ml
        rows.append(
            Row(
                number=number,
                what=_what(made, stretch, phase),
                dose=stretch.dose + 1 if phase.is_dose else 0,
                start_s=stretch.start_ms / _MS_PER_S,
                duration_s=None if endless else stretch.duration_ms / _MS_PER_S,
                rate_ml_h=stretch.rate_ul_h / 1000,
                end_rate_ml_h=stretch.end_rate_ul_h / 1000,
                volume_ml=volume_ml,
                total_ml=total_ml,
                stairs_ml_h=_stairs(phase),
            )
        )
    return tuple(rows)


def _stairs(phase: Phase) -> tuple[float, ...]:
    if phase.stairs == 1:
        return ()
    return tuple(phase.stair_ul_h(stair) / 1000 for stair in range(phase.stairs))


def _what(made: Program, stretch: Stretch, phase: Phase) -> str:
    if stretch.bucket == KVO:
        return "KVO" if stretch.rate_ul_h else "wait"
    if phase.stairs > 1 and stretch.bucket == INFUSED:
        return "ramp up" if phase.end_rate_ul_h > phase.rate_ul_h else "ramp down"
    if made.kind == INTERMITTENT:
        return "dose"
    if made.kind == PCA and stretch.bucket == INFUSED:
        return "basal" if stretch.rate_ul_h else "on demand"
    return _NAMES[stretch.bucket]


def _changes(made: Program, rows: tuple[Row, ...]) -> tuple[ContainerChange, ...]:
    """When counted volume reaches the end of each container; along a ramp stair by stair."""
    changes: list[ContainerChange] = []
    content_ml = made.content_ul / 1000
    done_ml = 0.0
    for row in rows:
        at_s = row.start_s
        for rate_ml_h, volume_ml in _pieces(row):
            if rate_ml_h == 0:
                continue
            while len(changes) < made.containers:
                due_ml = content_ml * (len(changes) + 1) - done_ml
                if due_ml > volume_ml + 1e-9:
                    break
                number = len(changes) + 1
                end_s = at_s + due_ml / rate_ml_h * 3600
                changes.append(ContainerChange(number, end_s, number == made.containers))
            done_ml += volume_ml
            at_s += volume_ml / rate_ml_h * 3600
    return tuple(changes)


def _pieces(row: Row) -> list[tuple[float, float]]:
    """Rates and volumes of a row, mL/h and mL: a ramp's stairs, which are equally long."""
    if not row.stairs_ml_h:
        return [(row.rate_ml_h, row.volume_ml)]
    whole = sum(row.stairs_ml_h)
    return [(rate, row.volume_ml * rate / whole) for rate in row.stairs_ml_h]


def _demands(checked: CheckedOrder) -> Demands:
    """Ask the core's own limits for a demand at every second."""
    made = checked.program
    ordered = checked.prescription.number
    limits: DoseLimits = made.limits  # type: ignore[assignment]
    trial = DoseLimits(limits.lockout_ms, limits.windows)
    first = made.first_rate_ul_h()
    trial.set_basal(0, basal_steps(made, first))
    loading_ms = 0
    left = made.vtbi_steps
    for stretch in timeline(made):
        if stretch.bucket == INFUSED:
            loading_ms = stretch.start_ms
            break
        if stretch.bucket == BOLUS:
            trial.open(stretch.steps)
            trial.close(stretch.start_ms + stretch.duration_ms, stretch.steps)
    times_s: list[float] = []
    for now_s in range(-(-loading_ms // _MS_PER_S), DAY_S):
        basal = first * now_s * made.mechanism.nl_den // (3600 * made.mechanism.nl_num) // 1000
        if made.demand_steps > left - basal:
            break
        if trial.demand(now_s * _MS_PER_S, made.demand_steps) == OK:
            times_s.append(float(now_s))
            left -= made.demand_steps
    start_s = times_s[0] if times_s else 0.0
    return Demands(
        times_s=tuple(times_s),
        demand_ml=ordered("demand_ul") / 1000,
        in_first_hour=sum(at_s < start_s + 3600 for at_s in times_s),
        lockout_s=limits.lockout_ms / _MS_PER_S,
        windows=tuple(
            (ordered(f"window_{number}_s") / 3600, ordered(f"limit_{number}_ul") / 1000)
            for number in (1, 2)
            if ordered(f"window_{number}_s")
        ),
    )
