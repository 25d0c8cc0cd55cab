"""A program's schedule: its stretches, the ends of its containers, what a patient may ask for."""

from collections.abc import Iterator
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
        duration_s: None where only the end of the container is one, or the last demand.
        rate_ml_h, end_rate_ml_h: at its beginning and at its end.
        volume_ml: in it; of an endless KVO what the containers still hold.
        total_ml: since the start, at its end, of all kinds.
        stairs_ml_h: the rates of a ramp as the pump makes it; empty for what is none.

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
        times_s: when each demand is granted, from the start of the program: over the first day at
            most, or as long as the VTBI has room for one.
        demand_ml: what each gives.
        in_first_hour: how many are granted in the hour that the first of them begins.
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
        demands: of a PCA, else None.

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
    return Schedule(
        rows=rows,
        duration_s=_last_s(rows),
        vtbi_ml=checked.vtbi_ul / 1000,
        loading_ml=checked.loading_ul / 1000,
        kept_open_ml=sum(
            row.volume_ml for row in rows if row.what == "KVO" and row.duration_s is not None
        ),
        least_rate_ml_h=checked.least_rate_ul_h / 1000,
        greatest_rate_ml_h=checked.greatest_rate_ul_h / 1000,
        containers=checked.containers,
        containers_needed=checked.containers_needed,
        changes=() if made.reverse else _changes(made),
        demands=_demands(checked) if made.kind == PCA else None,
    )


def _ml(made: Program, steps: int) -> float:
    return steps * made.mechanism.nl_num / made.mechanism.nl_den / 1e6


def _rows(made: Program) -> tuple[Row, ...]:
    rows: list[Row] = []
    total_steps = 0
    for stretch in timeline(made):
        phase: Phase = made.phases[stretch.phase]
        endless = stretch.duration_ms < 0
        steps = _held_steps(made) - total_steps if endless else stretch.steps
        if endless and steps <= 0:
            # The VTBI is all that the containers hold.
            break
        total_steps += steps
        is_open = endless or _is_on_demand(made, stretch)
        rows.append(
            Row(
                number=len(rows) + 1,
                what=_what(made, stretch, phase),
                dose=stretch.dose + 1 if phase.is_dose else 0,
                start_s=stretch.start_ms / _MS_PER_S,
                duration_s=None if is_open else stretch.duration_ms / _MS_PER_S,
                rate_ml_h=stretch.rate_ul_h / 1000,
                end_rate_ml_h=stretch.end_rate_ul_h / 1000,
                volume_ml=_ml(made, steps),
                total_ml=_ml(made, total_steps),
                stairs_ml_h=_stairs(phase),
            )
        )
    return tuple(rows)


def _last_s(rows: tuple[Row, ...]) -> float | None:
    """When the last of the VTBI is in; None where that is up to demands."""
    last = next(row for row in reversed(rows) if row.duration_s is not None or not row.rate_ml_h)
    return None if last.duration_s is None else last.start_s + last.duration_s


def _held_steps(made: Program) -> int:
    """Microsteps in all containers."""
    return made.content_steps(made.containers)


def _is_on_demand(made: Program, stretch: Stretch) -> bool:
    """Whether nothing flows by itself, and demands alone bring the end nearer."""
    return made.kind == PCA and stretch.bucket == INFUSED and stretch.rate_ul_h == 0


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
        return "on demand" if _is_on_demand(made, stretch) else "basal"
    return _NAMES[stretch.bucket]


def _changes(made: Program) -> tuple[ContainerChange, ...]:
    """When the microsteps of each container are made; along a ramp stair by stair."""
    changes: list[ContainerChange] = []
    done_steps = 0.0
    for stretch in timeline(made):
        at_ms = float(stretch.start_ms)
        for rate_ul_h, steps, ms in _pieces(made, stretch):
            while rate_ul_h and len(changes) < made.containers:
                number = len(changes) + 1
                due_steps = made.content_steps(number) - done_steps
                # Less than a microstep is only what stairs were rounded by.
                if due_steps > steps + 0.5:
                    break
                end_s = (at_ms + _flow_ms(made, rate_ul_h, due_steps)) / _MS_PER_S
                changes.append(ContainerChange(number, end_s, number == made.containers))
            done_steps += steps
            at_ms += ms
    return tuple(changes)


def _flow_ms(made: Program, rate_ul_h: int, steps: float) -> float:
    # µL/h are nL per 3600 ms.
    return steps * made.mechanism.nl_num / made.mechanism.nl_den * 3600 / rate_ul_h


def _pieces(made: Program, stretch: Stretch) -> list[tuple[int, float, float]]:
    """Rates in µL/h, microsteps and times in ms: of a ramp those of its stairs."""
    phase: Phase = made.phases[stretch.phase]
    if stretch.duration_ms < 0:
        return [(stretch.rate_ul_h, _held_steps(made), 0.0)]
    rates_ul_h = [phase.stair_ul_h(stair) for stair in range(phase.stairs)]
    whole_ul_h = sum(rates_ul_h) or 1
    each_ms = stretch.duration_ms / phase.stairs
    return [(rate, stretch.steps * rate / whole_ul_h, each_ms) for rate in rates_ul_h]


def _steps_in(made: Program, rate_ul_h: int, ms: int) -> int:
    # µL/h are nL per 3600 ms.
    return rate_ul_h * ms * made.mechanism.nl_den // (3600 * made.mechanism.nl_num)


def _demands(checked: CheckedOrder) -> Demands:
    """Ask the core's own limits for a demand at every second."""
    made = checked.program
    ordered = checked.prescription.number
    times_s = tuple(_granted_s(made))
    return Demands(
        times_s=times_s,
        demand_ml=ordered("demand_ul") / 1000,
        in_first_hour=sum(at_s < times_s[0] + 3600 for at_s in times_s),
        lockout_s=float(ordered("lockout_s")),
        windows=tuple(
            (ordered(f"window_{number}_s") / 3600, ordered(f"limit_{number}_ul") / 1000)
            for number in (1, 2)
            if ordered(f"window_{number}_s")
        ),
    )


def _granted_s(made: Program) -> Iterator[float]:
    """When a demand is granted to somebody who asks at every second of the first day."""
    limits: DoseLimits = made.limits  # type: ignore[assignment]
    trial = DoseLimits(limits.lockout_ms, limits.windows, limits.demand_ms)
    first_ul_h = made.first_rate_ul_h()
    trial.set_basal(0, basal_steps(made, first_ul_h))
    begin_ms = 0
    for stretch in timeline(made):
        if stretch.bucket == INFUSED:
            begin_ms = stretch.start_ms
            break
        if stretch.bucket == BOLUS:
            trial.close(stretch.start_ms + stretch.duration_ms, stretch.steps)
    given_steps = 0
    for now_s in range(-(-begin_ms // _MS_PER_S), DAY_S):
        now_ms = now_s * _MS_PER_S
        basal = _steps_in(made, first_ul_h, now_ms - begin_ms)
        if made.demand_steps > made.vtbi_steps - given_steps - basal:
            return
        if trial.demand(now_ms, made.demand_steps) == OK:
            given_steps += made.demand_steps
            yield float(now_s)
