"""One infusion on plant, sensors and the core's monitor, without the firmware's control."""

from collections.abc import Callable
from dataclasses import dataclass

from micropump import alarms
from micropump.monitor import Monitor
from micropump_host.bench import BenchEvent, PlantRun, sensor_specs
from micropump_host.bench.mechanics import geometry_of
from micropump_host.evidence.draw import Infusion
from micropump_host.evidence.standing import Standing
from micropump_host.evidence.sweeps import Bank
from micropump_virtual.sensors import put_samples

NAMES = {row[0]: row[1] for row in alarms.ALARMS}


@dataclass(frozen=True)
class Found:
    """An alarm that came on.

    Attributes:
        name: its row in the alarm table.
        at_s: when, s after the start.
        line_pa: pressure at the pump's outlet then, as it really is, Pa.
        by_slope: whether an occlusion was told by its slope.
        air_stands: whether a bubble's limit was pushed while air stood in the window and nothing
            flowed.

    """

    name: str
    at_s: float
    line_pa: float
    by_slope: bool
    air_stands: bool = False


class Watched:
    """A plant whose motor turns as the infusion says, looked at by the pump's monitor.

    Args:
        infusion: what runs.
        with_bank: whether other thresholds are tried beside the pump's own.

    Attributes:
        run: plant, motor and sensors.
        monitor: the core's.
        bank: the detectors with other thresholds, or None.
        now_s: time since the start, s.

    """

    def __init__(self, infusion: Infusion, with_bank: bool = False) -> None:
        geometry = geometry_of(infusion.mechanism)
        self.infusion = infusion
        self.run = PlantRun(infusion.bench, geometry, 0.0)
        self.monitor = Monitor(sensor_specs(infusion.bench))
        self.monitor.prepare(infusion.mechanism, infusion.level_kpa, infusion.bubble_ul)
        self.bank = Bank(self.monitor, infusion) if with_bank else None
        self._standing = Standing()
        self._changes = list(infusion.changes)
        self._found = 0
        self._steps = 0
        self._pushed_nl = 0

    @property
    def now_s(self) -> float:
        """Time since the start, s."""
        return self.run.now_ms / 1000.0

    def go_on(self) -> list[Found]:
        """Go on by a sample; the alarms that came on with it."""
        run, monitor = self.run, self.monitor
        self._set_rate()
        now_ms, pushed_nl, counts = run.go_on()
        put_samples(monitor.readings, counts.fresh, counts.failed, counts.raw)
        steps = run.motor.steps
        self._standing.look(run.plant, run.suite.around.bubbles, steps)
        flowing = run.rate_ul_h != 0.0
        found = monitor.look(now_ms, steps - self._steps, flowing)
        if self.bank is not None and flowing:
            interval_ms = round(self.infusion.bench.sensors.interval_s * 1000.0)
            self.bank.update(interval_ms, pushed_nl, steps - self._steps, monitor.sensing.value)
        self._steps = steps
        new = found & ~self._found
        self._found = found
        if not new:
            return []
        line_pa = run.plant.pressure_pa
        stands = self._standing.explains(self.infusion.bubble_ul)
        return [
            Found(NAMES[number], self.now_s, line_pa, monitor.by_slope, stands)
            for number in NAMES
            if new >> number & 1
        ]

    def go_until(self, until_s: float, stop: Callable[[Found], bool]) -> list[Found]:
        """Go on until ``until_s`` (s), or until an alarm by which to stop.

        Returns:
            The alarms that came on.

        """
        found: list[Found] = []
        while self.now_s < until_s:
            for alarm in self.go_on():
                found.append(alarm)
                if stop(alarm):
                    return found
        return found

    def do(self, event: BenchEvent) -> None:
        """Let something happen now."""
        self.run.do(event)

    def _set_rate(self) -> None:
        """Take the rate that is due; a flow that starts is told to the monitor."""
        while self._changes and self._changes[0].at_s <= self.now_s:
            rate_ul_h = self._changes.pop(0).rate_ul_h
            if rate_ul_h and not self.run.rate_ul_h:
                self.monitor.begin()
                self._found = 0
            self.run.rate_ul_h = rate_ul_h
