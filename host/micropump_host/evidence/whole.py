"""Device-days of the whole pump: the firmware, its motor, plant and sensors, under random orders.

The firmware runs on the computer's Python; a client programs, starts and waits, as a person would.
Every alarm that a detector can raise is looked for in the pump's log and among those that are set.
"""

import dataclasses
import random
from collections import deque
from dataclasses import dataclass

from micropump import alarms
from micropump.journal import ALARM_RAISED
from micropump.mechanism import KIND_SYRINGE
from micropump.monitor import DEFAULT_BUBBLE_UL
from micropump.occlusion import OCCLUSION_LEVELS_PA
from micropump_host.bench.ground import build_ground
from micropump_host.bench.local import LocalLine
from micropump_host.bench.world import Sample, VirtualBench
from micropump_host.client import Pump
from micropump_host.evidence.draw import Infusion, Wish, draw_infusion
from micropump_host.evidence.standing import Standing

# Rows of the alarm table that a sensor raises; the others are of the program and of people.
OF_DETECTORS = tuple(
    row[1]
    for row in alarms.ALARMS
    if alarms.OCCLUSION <= row[0] <= alarms.SENSOR_FAULT
    or row[0] in (alarms.MOTOR_SUPPLY, alarms.END_STOP)
)
_LOOK_MS = 60_000
_READY_MS = 10_000
_LEAST_UL = 100


@dataclass(frozen=True)
class Whole:
    """An infusion on the whole pump.

    Attributes:
        infusion: what ran.
        hours: how long, h.
        alarms: those of detectors that came, in order, each once.
        infused_ul: what the pump says it infused, µL.
        line_pa: pressure at the pump's outlet when the first alarm came, Pa; 0 without one.
        air_stands: whether air stood in the sensor's window then, and nothing had flowed.

    """

    infusion: Infusion
    hours: float
    alarms: tuple[str, ...]
    infused_ul: float
    line_pa: float
    air_stands: bool


class _Truth:
    """What is behind the alarms, by the time since the start (s), for a minute or two."""

    def __init__(self) -> None:
        self.bench: VirtualBench | None = None
        self._standing = Standing()
        self._last: deque[tuple[float, float, bool]] = deque(maxlen=2 * _LOOK_MS // 1000)

    def begin(self, mechanism: object) -> None:
        """An infusion starts."""

    def sample(self, sample: Sample) -> None:
        """The balance was read."""
        assert self.bench is not None
        assert self.bench.plant is not None
        self._standing.look(self.bench.plant, self.bench.suite.around.bubbles, sample.steps)
        stands = self._standing.explains(DEFAULT_BUBBLE_UL)
        self._last.append((sample.t_s, sample.pressure_pa, stands))

    def end(self) -> None:
        """It has ended."""

    def at(self, at_s: float) -> tuple[float, bool]:
        """As it was last read by then: the line's pressure, Pa, and whether air stands."""
        _, pressure_pa, stands = [last for last in self._last if last[0] <= at_s][-1]
        return pressure_pa, stands


def run_whole_day(seed: str, hours: float) -> list[Whole]:
    """Run infusions on whole pumps until they have flowed for ``hours`` (h)."""
    runs: list[Whole] = []
    left_h = hours
    while left_h > 1e-6:
        rng = random.Random(f"{seed}/{len(runs)}")
        infusion = draw_infusion(rng, Wish(steady=True))
        run = run_whole(infusion, min(left_h, infusion.duration_s / 3600.0))
        runs.append(run)
        left_h -= run.hours
    return runs


def run_whole(infusion: Infusion, hours: float) -> Whole:
    """Program, start and watch an infusion for ``hours`` (h), or until an alarm."""
    mechanism = infusion.mechanism
    core = build_ground("cpython", mechanism.kind, mechanism.drive_id, 0)
    balance = dataclasses.replace(infusion.bench.balance, sample_interval_s=1.0)
    weighed = dataclasses.replace(infusion.bench, balance=balance)
    truth = _Truth()
    bench = VirtualBench(core, mechanism.kind, mechanism.drive_id, weighed, truth)
    truth.bench = bench
    pump = Pump("bench", open_port=lambda *_: LocalLine(bench))
    pump.choose(occlusion_level=OCCLUSION_LEVELS_PA.index(infusion.level_kpa * 1000) + 1)
    rate_ul_h = round(infusion.rate_ul_h)
    vtbi_ul = max(_LEAST_UL, int(rate_ul_h * hours))
    content_ul = mechanism.capacity_ul if mechanism.kind == KIND_SYRINGE else vtbi_ul
    vtbi_ul = min(vtbi_ul, content_ul)
    accepted = pump.program(mechanism.kind, mechanism.item_id, content_ul, vtbi_ul, rate_ul_h)
    # Whoever starts it has put the syringe in, and the pump has seen it.
    bench.advance(bench.now_ms + _READY_MS)
    pump.start(accepted.program_id)
    began_ms = bench.now_ms
    seen: list[str] = []
    end_ms = began_ms + round(vtbi_ul / rate_ul_h * 3_600_000)
    while bench.now_ms < end_ms and not seen:
        bench.advance(min(end_ms, bench.now_ms + _LOOK_MS))
        seen += [name for name in pump.status().alarms if name in OF_DETECTORS]
    status = pump.status()
    raised = [event for event in pump.events() if event.code == ALARM_RAISED]
    line_pa, air_stands = 0.0, False
    for event in raised:
        if seen and alarms.ALARMS[event.a][1] == seen[0]:
            line_pa, air_stands = truth.at(event.uptime_s - began_ms / 1000.0)
    passed_h = max(1, bench.now_ms - began_ms) / 3_600_000
    bench.close()
    return Whole(infusion, passed_h, tuple(seen), status.infused_ul, line_pa, air_stands)
