"""The disclosure table of a simulated pump: every rate and every threshold."""

from collections.abc import Callable, Sequence

from micropump.mechanism import KIND_PERISTALTIC, Mechanism
from micropump_host.accuracy.occlusion import (
    Alarm,
    Disclosure,
    OcclusionRow,
    Trace,
    notes_of,
)
from micropump_host.bench import Bench
from micropump_host.disclosure.closed import Closed, close_line
from micropump_host.disclosure.relief import Relieved, relieve_line

_HEAD = "a head tells an occlusion by its level alone, and does not back off"


def disclose(
    bench: Bench,
    mechanism: Mechanism,
    rates_ml_h: Sequence[float],
    levels_kpa: Sequence[int],
    on_progress: Callable[[float], None] = lambda _: None,
) -> Disclosure:
    """Close a line at every rate, with every threshold, and open it after the alarm.

    Args:
        bench: the imperfections; its events play no part.
        mechanism: the syringe or head on its drive.
        rates_ml_h: rates.
        levels_kpa: thresholds.
        on_progress: called with the part of it that is done.

    Returns:
        The table by rate and threshold, and the course of a run of the middle.

    Raises:
        BenchMismatchError: if the bench is not for this mechanism.
        PumpRefusedError: if the pump does not take a rate.

    """
    rows: list[OcclusionRow] = []
    traces: list[Trace] = []
    for rate_ml_h in rates_ml_h:
        closed = close_line(bench, mechanism, rate_ml_h, levels_kpa)
        for level_kpa in levels_kpa:
            relieved = relieve_line(bench, mechanism, rate_ml_h, level_kpa)
            rows.append(_row(bench.info.name, closed, relieved))
            traces.append(relieved.trace)
            on_progress(len(rows) / (len(rates_ml_h) * len(levels_kpa)))
    return Disclosure(
        description=f"{mechanism.item_id} on {mechanism.drive_id}; bench {bench.info.name!r}, "
        f"seed {bench.info.seed}",
        rows=tuple(rows),
        # Of the rates the second least, of the thresholds the middle one: 5 mL/h and 0.7 bar.
        trace=traces[min(1, len(rates_ml_h) - 1) * len(levels_kpa) + len(levels_kpa) // 2],
        notes=(_HEAD,) if mechanism.kind == KIND_PERISTALTIC else notes_of(rows),
    )


def _row(name: str, closed: Closed, relieved: Relieved) -> OcclusionRow:
    by_level = closed.by_level[relieved.level_kpa]
    alarms = [alarm for alarm in (by_level, closed.by_slope) if alarm is not None]
    return OcclusionRow(
        name=name,
        rate_ml_h=closed.rate_ml_h,
        level_kpa=relieved.level_kpa,
        by_level=by_level,
        by_slope=closed.by_slope,
        unrelieved=min(alarms, key=_time_s, default=None),
        relieved=relieved.alarm if relieved.drawn_ml else None,
    )


def _time_s(alarm: Alarm) -> float:
    return alarm.time_s
