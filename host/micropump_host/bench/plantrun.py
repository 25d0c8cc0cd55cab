"""Plant and sensors without firmware: a motor at a steady rate, as fast as the plant goes.

For evidence over years of simulated time, where whoever runs it looks at the counts. Microsteps are
equally spaced to the last bit, where the firmware's fall on whole microseconds; all else is as on
the virtual bench.
"""

from micropump_host.bench.benchfile import Bench, BenchEvent, InputEvent
from micropump_host.bench.build import build_plant
from micropump_host.bench.motor import Motor
from micropump_host.bench.plant import SECONDS_PER_HOUR, PeristalticGeometry, SyringeGeometry
from micropump_host.bench.suite import Counts, Suite

_NL_PER_UL = 1000.0
_MS_PER_MINUTE = 60_000.0


class PlantRun:
    """A plant with its sensors, whose motor turns at a steady rate.

    Args:
        bench: imperfections, sensors, seed and events.
        geometry: the ideal mechanism.
        rate_ul_h: rate, µL/h; 0 for a motor at rest, negative backwards.
        content_ul: what the container holds, µL; without it there is no end.

    Attributes:
        rate_ul_h: as above; may be changed between two samples.
        now_ms: time since the start, ms.
        plant, motor, suite: the bench.

    """

    def __init__(
        self,
        bench: Bench,
        geometry: SyringeGeometry | PeristalticGeometry,
        rate_ul_h: float,
        content_ul: float | None = None,
    ) -> None:
        self.rate_ul_h = rate_ul_h
        self.now_ms = 0
        self.motor = Motor()
        self.plant = build_plant(bench, geometry)
        if content_ul is not None:
            self.plant.fill(content_ul)
        self.suite = Suite(bench, self.motor, geometry.microsteps_per_rev)
        self.suite.begin(self.plant)
        self.suite.insert(geometry)
        self._interval_ms = max(1, round(bench.sensors.interval_s * 1000))
        self._events: list[BenchEvent] = list(bench.events)
        # Of the next microstep, the part that is due already.
        self._part = 0.0
        self._time_s = 0.0

    def go_on(self) -> tuple[int, int, Counts]:
        """Go on to the next sample, through the bench file's events that are due by then.

        Returns:
            The time (ms), what was pushed since the last sample as steps say it (nL; negative
            backwards), and what the sensors read, which the next call overwrites.

        """
        until_ms = self.now_ms + self._interval_ms
        before = self.motor.steps
        while self._events and self._events[0].at_min * _MS_PER_MINUTE <= until_ms:
            event = self._events.pop(0)
            self._turn(event.at_min * _MS_PER_MINUTE / 1000.0)
            self.do(event)
        self._turn(until_ms / 1000.0)
        self.now_ms = until_ms
        counts = self.suite.sample(until_ms, self.rate_ul_h != 0.0)
        step_nl = self.plant.microstep_ul * _NL_PER_UL
        return until_ms, int(self.motor.steps * step_nl) - int(before * step_nl), counts

    def do(self, event: BenchEvent) -> None:
        """Let something happen now; what is for the firmware's inputs has no effect here."""
        if not isinstance(event, InputEvent):
            self.suite.apply(event, self.plant)

    def _turn(self, until_s: float) -> None:
        """Make the microsteps that are due by then, and bring the plant there."""
        plant = self.plant
        steps_per_s = abs(self.rate_ul_h) / (SECONDS_PER_HOUR * plant.microstep_ul)
        due = self._part + (until_s - self._time_s) * steps_per_s
        count = int(due)
        if count:
            # Rounding may put it before what was.
            first_s = max(plant.time_s, self._time_s + (1.0 - self._part) / steps_per_s)
            signed = count if self.rate_ul_h > 0.0 else -count
            self.motor.make(plant, first_s, 1.0 / steps_per_s, signed)
            self.motor.steps += signed
        self._part = due - count
        self._time_s = until_s
        plant.advance(max(plant.time_s, until_s))
