"""What each detector would have said at other thresholds: many beside each other, on one run.

For every threshold that is swept there is a detector of its own, set up as the pump's monitor sets
up its own and told the same. What a run leaves is a bit for each threshold that gave an alarm, so a
curve over thresholds costs no further run.
"""

from collections.abc import Callable
from dataclasses import dataclass

from micropump import detectors, occlusion, sensing
from micropump.monitor import Monitor
from micropump_host.evidence.draw import Infusion

# Told: time, volume (nL), microsteps since the last sample, value; returns whether it alarms.
Update = Callable[[int, int, int, int], bool]
Configured = Callable[[int, Monitor, Infusion], Update]


@dataclass(frozen=True)
class Sweep:
    """A threshold and the values that are tried.

    Attributes:
        name: of the curve.
        title: what is swept, with its unit.
        sensor: whose samples it is told.
        values: thresholds.
        chosen: the pump's own, or None where it is an order's.
        build: makes what is told of samples, for a threshold.

    """

    name: str
    title: str
    sensor: int
    values: tuple[int, ...]
    chosen: int | None
    build: Configured


def _slope(value: int, monitor: Monitor, infusion: Infusion) -> Update:
    detector = occlusion.Occlusion()
    detector.configure(
        1_000_000,
        least_nl_kpa=monitor.least_nl_kpa(),
        greatest_nl_kpa=monitor.greatest_nl_kpa(),
        floor_pa=value,
    )
    slope_only = detector.SLOPE
    return lambda ms, nl, _, pa: bool(detector.update(ms, nl, pa) & slope_only)


def _level(value: int, monitor: Monitor, infusion: Infusion) -> Update:
    detector = occlusion.Occlusion()
    detector.configure(value, floor_pa=0)
    level_only = detector.LEVEL
    return lambda ms, nl, _, pa: bool(detector.update(ms, nl, pa) & level_only)


def _ambient(value: int, monitor: Monitor, infusion: Infusion) -> Update:
    detector = occlusion.Disconnection()
    detector.configure(ambient_pa=value)
    return lambda ms, nl, _, pa: bool(detector.update(ms, nl, pa))


def _suction(value: int, monitor: Monitor, infusion: Infusion) -> Update:
    detector = occlusion.Upstream()
    detector.configure(limit_pa=value, fall_pa=1_000_000)
    return lambda ms, nl, _, pa: bool(detector.update(ms, nl, pa))


def _air(value: int, monitor: Monitor, infusion: Infusion) -> Update:
    detector = detectors.Air()
    detector.configure(infusion.bubble_ul * 1000, on_permille=value, off_permille=value - 200)
    return lambda ms, nl, _, permille: bool(detector.update(ms, nl, permille))


def _bubble(value: int, monitor: Monitor, infusion: Infusion) -> Update:
    detector = detectors.Air()
    detector.configure(value * 1000)
    bubble_only = detector.BUBBLE
    return lambda ms, nl, _, permille: bool(detector.update(ms, nl, permille) & bubble_only)


def _slack(value: int, monitor: Monitor, infusion: Infusion) -> Update:
    parts = infusion.mechanism
    detector = detectors.Stall()
    detector.configure(parts.steps_per_rev, parts.greatest_steps_s(), slack_counts=value)
    return lambda ms, _nl, steps, counts: bool(detector.update(ms, steps, counts, ms))


SWEEPS = (
    Sweep(
        "slope", "floor of a closed line's rise, Pa", sensing.PRESSURE,
        (1_000, 2_000, 4_000, 6_000, 8_000, 11_000, 14_000, 18_000, 24_000, 32_000),
        occlusion.SLOPE_FLOOR_PA, _slope,
    ),
    Sweep(
        "level", "pressure limit, Pa", sensing.PRESSURE,
        (2_500, 5_000, *occlusion.OCCLUSION_LEVELS_PA), None, _level,
    ),
    Sweep(
        "disconnection", "how near is ambient, Pa", sensing.PRESSURE,
        (50, 100, 200, 350, 500, 700, 1_000, 1_500, 2_500),
        occlusion.DISCONNECTION_AMBIENT_PA, _ambient,
    ),
    Sweep(
        "suction", "suction before a head, Pa", sensing.UPSTREAM,
        (-2_500, -5_000, -10_000, -15_000, -20_000, -25_000, -35_000, -50_000, -65_000),
        occlusion.SUCTION_LIMIT_PA, _suction,
    ),
    Sweep(
        "air", "air in the sensor's window, ‰", sensing.AIR,
        (210, 250, 300, 400, 500, 600, 700, 800, 900, 1_000, 1_200),
        detectors.AIR_ON_PERMILLE, _air,
    ),
    Sweep(
        "bubble", "bubble limit, µL", sensing.AIR,
        (50, 60, 75, 100, 150, 200, 250, 300, 400, 500), 200, _bubble,
    ),
    Sweep(
        "stall", "slack between steps and encoder, counts", sensing.ENCODER,
        (1, 2, 3, 5, 10, 20, 40, 60, 80, 120, 240, 480, 1000),
        detectors.STALL_SLACK_COUNTS, _slack,
    ),
)  # fmt: skip
BY_NAME = {sweep.name: sweep for sweep in SWEEPS}


class Bank:
    """The detectors of all sweeps that this infusion's sensors can feed.

    Attributes:
        found: by the sweep's name, a bit for each of its values that has alarmed.

    """

    def __init__(self, monitor: Monitor, infusion: Infusion) -> None:
        fitted = monitor.sensing.fitted
        self._told = [
            (sweep, [sweep.build(value, monitor, infusion) for value in sweep.values])
            for sweep in SWEEPS
            if fitted >> sweep.sensor & 1
            # A roller head has no slope: its strokes rise by more than any floor.
            and not (sweep.name == "slope" and infusion.bench.kind == "peristaltic")
        ]
        self.found = {sweep.name: 0 for sweep, _ in self._told}

    def clear(self) -> None:
        """Forget what has been found; the detectors go on."""
        for name in self.found:
            self.found[name] = 0

    def update(self, ms: int, nl: int, steps: int, value: list[int]) -> None:
        """Take a sample of all sensors."""
        for sweep, updates in self._told:
            found = 0
            for place, update in enumerate(updates):
                if update(ms, nl, steps, value[sweep.sensor]):
                    found |= 1 << place
            self.found[sweep.name] |= found
