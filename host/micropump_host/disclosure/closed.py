"""Plant and detectors with the line closed: when each alarm comes, and what comes out then."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from micropump.mechanism import Mechanism
from micropump.monitor import Monitor
from micropump.occlusion import Occlusion
from micropump.sensing import PRESSURE, SENSOR_NAMES
from micropump_host.accuracy.occlusion import Alarm, Trace
from micropump_host.bench import Bench, PlantRun, sensor_specs
from micropump_host.bench.benchfile import Sensors
from micropump_host.bench.mechanics import geometry_of
from micropump_host.bench.plant import SECONDS_PER_HOUR, Plant
from micropump_virtual.sensors import put_samples

# An open line has settled by then: two minutes, and so much that a plunger which sticks and slips
# has done so several times.
_SETTLE_S = 120.0
_SETTLE_UL = 200.0
# Nothing comes out any more: the line's time constants are seconds.
EMPTIED_S = 300.0
# A line that takes more than this for each kPa is not closed.
MOST_UL_PER_KPA = 100.0
_TRACE_EVERY_S = 1.0


@dataclass(frozen=True, eq=False)
class Closed:
    """A line that was closed at one rate.

    Attributes:
        rate_ml_h: the rate.
        by_level: the alarm of each threshold in kPa; None where it did not come.
        by_slope: the alarm by slope; None where it did not come before the greatest threshold.
        trace: pressure over time; nothing comes out.

    """

    rate_ml_h: float
    by_level: dict[float, Alarm | None]
    by_slope: Alarm | None
    trace: Trace


def with_line_sensor(bench: Bench) -> Bench:
    """The same bench with a sensor of the line's pressure, and no other; nothing happens to it."""
    fitted = {name: name == SENSOR_NAMES[PRESSURE] for name in SENSOR_NAMES}
    sensors = Sensors(**fitted, interval_s=bench.sensors.interval_s)
    return replace(bench, sensors=sensors, events=())


def settle_s(rate_ul_h: float) -> float:
    """How long an open line is infused into before it is closed, s."""
    return max(_SETTLE_S, _SETTLE_UL / rate_ul_h * SECONDS_PER_HOUR)


def released_ml(plant: Plant) -> float:
    """What comes out of a closed line that is opened now, with the motor at rest; mL.

    The plant itself stays as it is.
    """
    opened = copy.deepcopy(plant)
    before_ul = opened.outflow_ul
    opened.release()
    opened.advance(opened.time_s + EMPTIED_S)
    return (opened.outflow_ul - before_ul) / 1000.0


def close_line(
    bench: Bench, mechanism: Mechanism, rate_ml_h: float, levels_kpa: Sequence[float]
) -> Closed:
    """Infuse at a rate, close the line, and go on until the greatest threshold.

    The detectors are the core's own, as it sets them up for this mechanism, and see what a sensor
    in the line reads every time that the bench says.

    Args:
        bench: the imperfections; its events play no part.
        mechanism: the syringe or head on its drive.
        rate_ml_h: the rate.
        levels_kpa: thresholds.

    Raises:
        BenchMismatchError: if the bench is not for this mechanism.

    """
    fitted = with_line_sensor(bench)
    rate_ul_h = rate_ml_h * 1000.0
    run = PlantRun(fitted, geometry_of(mechanism), rate_ul_h)
    watch = _Watch(fitted, mechanism, levels_kpa)
    while run.now_ms < settle_s(rate_ul_h) * 1000:
        watch.look(run)
    run.plant.occlude()
    watch.close(run)
    greatest_ul = run.motor.steps * run.plant.microstep_ul + max(levels_kpa) * MOST_UL_PER_KPA
    while watch.is_waiting() and run.motor.steps * run.plant.microstep_ul < greatest_ul:
        watch.look(run)
    return watch.told(rate_ml_h, bench.info.name)


class _Watch:
    """The detectors at a plant that runs, and what they have found since the line was closed."""

    def __init__(self, bench: Bench, mechanism: Mechanism, levels_kpa: Sequence[float]) -> None:
        self._monitor = Monitor(sensor_specs(bench))
        # Its level is out of the way: it is asked for the slope.
        self._monitor.prepare(mechanism, 1_000, 0)
        self._monitor.begin()
        self._levels = {level_kpa: Occlusion() for level_kpa in levels_kpa}
        for level_kpa, detector in self._levels.items():
            detector.configure(round(level_kpa * 1000), floor_pa=0)
        self._by_level: dict[float, Alarm | None] = dict.fromkeys(levels_kpa)
        self._by_slope: Alarm | None = None
        self._steps = 0
        self._last_ms = 0
        self._closed_ms = -1
        self._trace: list[tuple[float, float]] = []

    def close(self, run: PlantRun) -> None:
        """The line was closed."""
        self._closed_ms = run.now_ms
        self._trace.append((0.0, run.plant.pressure_pa / 1000.0))

    def is_waiting(self) -> bool:
        return None in self._by_level.values()

    def look(self, run: PlantRun) -> None:
        """Go on to the next sample, and ask the detectors."""
        now_ms, pushed_nl, counts = run.go_on()
        monitor = self._monitor
        put_samples(monitor.readings, counts.fresh, counts.failed, counts.raw)
        monitor.look(now_ms, run.motor.steps - self._steps, True)
        self._steps = run.motor.steps
        passed_ms, self._last_ms = now_ms - self._last_ms, now_ms
        found = [
            level_kpa
            for level_kpa, detector in self._levels.items()
            if detector.update(passed_ms, pushed_nl, monitor.pressure_pa) & Occlusion.LEVEL
        ]
        if self._closed_ms >= 0:
            self._note(run, found)

    def _note(self, run: PlantRun, found: list[float]) -> None:
        time_s = (run.now_ms - self._closed_ms) / 1000.0
        pressure_kpa = run.plant.pressure_pa / 1000.0
        if time_s - self._trace[-1][0] >= _TRACE_EVERY_S:
            self._trace.append((time_s, pressure_kpa))
        if self._monitor.by_slope and self._by_slope is None:
            self._by_slope = Alarm(time_s, pressure_kpa, released_ml(run.plant))
        for level_kpa in found:
            if self._by_level[level_kpa] is None:
                alarm = Alarm(time_s, pressure_kpa, released_ml(run.plant))
                self._by_level[level_kpa] = alarm

    def told(self, rate_ml_h: float, name: str) -> Closed:
        times_s, pressures_kpa = np.array(self._trace).T
        alarms = [(f"{level:g} kPa", alarm) for level, alarm in self._by_level.items()]
        marks = [(alarm.time_s, what) for what, alarm in alarms if alarm]
        if self._by_slope:
            marks.append((self._by_slope.time_s, "slope"))
        title = f"{name}: line closed at {rate_ml_h:g} mL/h, no back-off"
        trace = Trace(title, times_s, pressures_kpa, np.zeros_like(times_s), tuple(sorted(marks)))
        return Closed(rate_ml_h, self._by_level, self._by_slope, trace)
