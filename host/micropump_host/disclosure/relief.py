"""The whole pump with the line closed: its alarm, its back-off, and what comes out then.

The firmware's core runs on the virtual bench with a sensor in the line, is told its threshold by a
drug library as any pump is, and is asked by the ordinary client.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from micropump import alarms, journal
from micropump.controller import ALARM, RUNNING
from micropump.mechanism import KIND_SYRINGE, Mechanism
from micropump.program import CONTINUOUS
from micropump.therapy import KVO_OFF
from micropump_host.accuracy.occlusion import Alarm, Trace
from micropump_host.bench import Bench, Plant
from micropump_host.bench.ground import build_ground
from micropump_host.bench.local import LocalLine
from micropump_host.bench.record import ListRecorder
from micropump_host.bench.world import VirtualBench
from micropump_host.client import Event, Pump
from micropump_host.disclosure.closed import EMPTIED_S, MOST_UL_PER_KPA, settle_s, with_line_sensor
from micropump_host.library import Drug, Library, LimitUnit, Use
from micropump_host.library.image import build_image
from micropump_host.library.model import VOLUME

_DRUG_ID = "water"
_CARE_AREA = "bench"
# The pump and its library live as long as the run.
_KEY = bytes(range(32))
_LOOK_MS = 100
_MOST_RELIEF_S = 900.0
_BAG_UL = 1_000_000
_TRACE_EVERY = 5


@dataclass(frozen=True, eq=False)
class Relieved:
    """What the whole pump did.

    Attributes:
        rate_ml_h: the set rate.
        level_kpa: the threshold.
        alarm: its alarm, with what came out when the line was opened after the back-off; None
            where none came.
        drawn_ml: what it drew back.
        trace: pressure and volume over time.

    """

    rate_ml_h: float
    level_kpa: int
    alarm: Alarm | None
    drawn_ml: float
    trace: Trace


def relieve_line(bench: Bench, mechanism: Mechanism, rate_ml_h: float, level_kpa: int) -> Relieved:
    """Have a pump infuse, close its line, wait for its alarm and its back-off, open the line.

    Args:
        bench: the imperfections; its events play no part.
        mechanism: the syringe or head on its drive.
        rate_ml_h: the rate.
        level_kpa: the threshold.

    Raises:
        BenchMismatchError: if the bench is not for this mechanism.
        PumpRefusedError: if the pump does not take the rate.

    """
    fitted = with_line_sensor(bench)
    ground = build_ground("cpython", mechanism.kind, mechanism.drive_id, 0)
    world = VirtualBench(ground, mechanism.kind, mechanism.drive_id, fitted, ListRecorder())
    with Pump("virtual bench", open_port=lambda *_: LocalLine(world)) as pump:
        _start(pump, mechanism, rate_ml_h, level_kpa)
        run = _Run(world)
        run.go_on(settle_s(rate_ml_h * 1000.0))
        run.close()
        waited_s = level_kpa * MOST_UL_PER_KPA / (rate_ml_h / 3.6)
        run.go_on(waited_s, until=lambda: ground.state not in RUNNING)
        run.go_on(_MOST_RELIEF_S, until=lambda: ground.state == ALARM)
        run.open()
        run.go_on(EMPTIED_S)
        events = tuple(pump.events())
    world.close()
    return run.told(mechanism, rate_ml_h, level_kpa, events)


def _start(pump: Pump, mechanism: Mechanism, rate_ml_h: float, level_kpa: int) -> None:
    """Install the threshold, and start an infusion of all that the container holds."""
    pump.provision(_KEY)
    pump.install_library(build_image(_library(level_kpa), _KEY))
    content_ul = mechanism.capacity_ul or _BAG_UL
    accepted = pump.prescribe(
        CONTINUOUS,
        {
            "kind": mechanism.kind,
            "item_id": mechanism.item_id,
            "content_ul": content_ul,
            "containers": 1,
            "delay_s": 0,
            "rate_ul_h": round(rate_ml_h * 1000),
            "vtbi_ul": content_ul,
            "duration_s": 0,
            "kvo_ul_h": KVO_OFF,
            "loading_ul": 0,
            "loading_ul_h": 0,
            "drug_id": _DRUG_ID,
            "care_area": _CARE_AREA,
        },
    )
    pump.start(accepted.program_id)


def _library(level_kpa: int) -> Library:
    """A library whose one drug has no limits, and the threshold."""
    use = Use(
        care_areas=(_CARE_AREA,),
        concentrations=(),
        programs=("continuous",),
        dosing=LimitUnit(VOLUME, False, "h"),
        dosing_text="mL/h",
        limits=(),
        kvo="off",
        occlusion_kpa=level_kpa,
    )
    drug = Drug(_DRUG_ID, "Water", "", "", (use,))
    return Library("occlusion-test", "occlusion test", 1, {_CARE_AREA: "Bench"}, (drug,))


class _Run:
    """A pump on its bench, looked at all the time, and its line closed and opened."""

    def __init__(self, world: VirtualBench) -> None:
        self._world = world
        self._closed_ms = self._opened_ms = 0
        self._closed_ul = self._opened_ul = 0.0
        self._trace: list[tuple[float, float, float]] = []
        self._looks = 0

    @property
    def _plant(self) -> Plant:
        self._world.look()
        assert self._world.plant is not None
        return self._world.plant

    def go_on(self, for_s: float, until: Callable[[], bool] = lambda: False) -> None:
        """Let time pass, at most so much, until something is so."""
        world = self._world
        end_ms = world.now_ms + round(for_s * 1000)
        while world.now_ms < end_ms and not until():
            world.advance(min(end_ms, world.now_ms + _LOOK_MS))
            self._looks += 1
            if self._closed_ms and self._looks % _TRACE_EVERY == 0:
                self._note()

    def close(self) -> None:
        """Close the line's end."""
        self._plant.occlude()
        self._closed_ms = self._world.now_ms
        self._closed_ul = self._plant.outflow_ul
        self._note()

    def open(self) -> None:
        """Open it again."""
        self._note()
        self._opened_ms = self._world.now_ms
        self._opened_ul = self._plant.outflow_ul
        self._plant.release()

    def _note(self) -> None:
        plant = self._plant
        time_s = (self._world.now_ms - self._closed_ms) / 1000.0
        volume_ml = (plant.outflow_ul - self._closed_ul) / 1000.0
        if not self._trace or self._trace[-1][0] < time_s:
            self._trace.append((time_s, plant.pressure_pa / 1000.0, volume_ml))

    def told(
        self, mechanism: Mechanism, rate_ml_h: float, level_kpa: int, events: tuple[Event, ...]
    ) -> Relieved:
        """What came of it."""
        times_s, pressures_kpa, volumes_ml = np.array(self._trace).T
        bolus_ml = (self._plant.outflow_ul - self._opened_ul) / 1000.0
        alarm = None
        marks = [((self._opened_ms - self._closed_ms) / 1000.0, "line opened")]
        for event in events:
            at_s = event.uptime_s - self._closed_ms / 1000.0
            if event.code == journal.ALARM_RAISED and event.a == alarms.OCCLUSION:
                pressure_kpa = float(np.interp(at_s, times_s, pressures_kpa))
                alarm = Alarm(at_s, pressure_kpa, bolus_ml)
                marks.append((at_s, "alarm"))
        drawn = sum(event.a for event in events if event.code == journal.RELIEVED)
        what = "syringe" if mechanism.kind == KIND_SYRINGE else "head"
        title = f"{what} {mechanism.item_id}, {rate_ml_h:g} mL/h, threshold {level_kpa} kPa"
        trace = Trace(title, times_s, pressures_kpa, volumes_ml, tuple(sorted(marks)))
        drawn_ml = mechanism.nl_for_steps(drawn) / 1e6
        return Relieved(rate_ml_h, level_kpa, alarm, drawn_ml, trace)
