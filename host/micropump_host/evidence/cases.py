"""What is done to infusions on purpose, and by when it has to be noticed.

Each kind is drawn for a time, a place and an extent; ``injected`` runs it and says what came of it.
A case that docs/detectors.md says cannot be seen, or that is to be none, is a kind of its own.
"""

import dataclasses
import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from micropump.occlusion import DISCONNECTION_BASELINE_PA, PARTIAL_MARGIN_PA
from micropump_host.bench import BenchEvent
from micropump_host.bench.benchfile import (
    AirRun,
    Bubble,
    ClampInlet,
    Disconnect,
    LoseSteps,
    Narrow,
    Occlude,
    RemoveSyringe,
    StallMotor,
    SyringeDrive,
)
from micropump_host.bench.benchfile import Peristaltic as PeristalticDrive
from micropump_host.bench.build import UL_PER_PA_PER_ML_BAR, UL_PER_PA_PER_UL_KPA
from micropump_host.bench.mechanics import geometry_of
from micropump_host.bench.plant import PeristalticGeometry, SyringeGeometry
from micropump_host.evidence.draw import (
    BUBBLE_SLACK_UL,
    Infusion,
    Wish,
    draw_infusion,
    resistance_pa_s_ul,
    settled_pa,
    swing_pa,
    uncounted_ul,
    uneven_ul,
    with_events,
)
from micropump_host.evidence.run import Found, Watched

# Beside the time that follows from volumes: filters, holds, two samples.
PROMPT_S = 15.0
_PARTIAL_S = 300.0
# Of a rise beyond what was computed: ripple, friction, what a head loses against pressure.
_LATE = 1.4
_FULL_STEPS_LOST = 4
_ENCODER_TURN = 4096
# Bubbles from here on are told from those of 50 µL.
_LEAST_KNOWN_UL = 25.0
# A sensor that is off by its zero and its drifts still has this above ambient.
_VISIBLE_PA = DISCONNECTION_BASELINE_PA + 600
_INVISIBLE_PA = DISCONNECTION_BASELINE_PA - 600


@dataclass(frozen=True)
class Injected:
    """A case: an infusion, and what happens to it.

    Attributes:
        kind: see ``KINDS``.
        infusion: what runs.
        at_s: when it happens, s.
        events: what happens, all at once.
        names: alarms by any of which it is noticed.
        within_s: how long that may take, s; of a case that is to be none, how long is looked.
        level_s: when a level alone would tell an occlusion, s; else 0.

    """

    kind: str
    infusion: Infusion
    at_s: float
    events: tuple[BenchEvent, ...]
    names: tuple[str, ...]
    within_s: float
    level_s: float = 0.0


Draw = Callable[[random.Random], Injected]


def injected_case(kind: str, rng: random.Random) -> Injected:
    """Draw a case of a kind."""
    return KINDS[kind](rng)


def compliance_ul_pa(infusion: Infusion) -> float:
    """Of syringe, line and drive together, µL/Pa."""
    bench = infusion.bench
    total = bench.line.compliance_ul_per_kpa * UL_PER_PA_PER_UL_KPA
    geometry = geometry_of(infusion.mechanism)
    if bench.plunger is not None and isinstance(geometry, SyringeGeometry):
        assert isinstance(bench.drive, SyringeDrive)
        area_mm2 = math.pi / 4.0 * geometry.bore_mm**2
        total += bench.plunger.compliance_ml_per_bar * UL_PER_PA_PER_ML_BAR
        total += area_mm2**2 / bench.drive.stiffness_n_per_mm * 1e-6
    return total


def _ul_s(infusion: Infusion) -> float:
    return infusion.rate_ul_h / 3600.0


def _soon_s(rng: random.Random, infusion: Infusion, least_s: float) -> float:
    """A moment after ``least_s``, within half an hour."""
    return least_s + rng.uniform(0.0, min(1800.0, 0.5 * infusion.duration_s))


def _friction_pa(infusion: Infusion) -> float:
    """What a force cell may read too little by, against what the pump takes friction for, Pa."""
    if infusion.gauge == "line" or infusion.mechanism.area_mm2 == 0:
        return 0.0
    return 8.0 / infusion.mechanism.area_mm2 * 1e6


def _occlusion(rng: random.Random) -> Injected:
    infusion = draw_infusion(rng, Wish(steady=True))
    rise_pa = infusion.level_kpa * 1000.0 + _friction_pa(infusion) + 2_000.0
    # From suction, where the end hangs low.
    rise_pa += max(0.0, -settled_pa(infusion.bench, 0.0)) + 10_000.0
    volume_ul = rise_pa * compliance_ul_pa(infusion)
    strokes_ul = 2.0 * _stroke_ul(infusion)
    level_s = volume_ul / _ul_s(infusion)
    within_s = (_LATE * volume_ul + strokes_ul) / _ul_s(infusion) + PROMPT_S
    return Injected(
        "occlusion",
        infusion,
        _soon_s(rng, infusion, 1.0),
        (Occlude(0.0),),
        ("occlusion",),
        within_s,
        level_s,
    )


def _partial(rng: random.Random) -> Injected:
    """A line so narrow that it settles above the margin, within minutes."""
    while True:
        infusion = draw_infusion(rng, Wish(kind="syringe", steady=True, resting=True))
        flow_pa = resistance_pa_s_ul(infusion.bench) * _ul_s(infusion)
        rise_pa = rng.uniform(1.25, 3.0) * PARTIAL_MARGIN_PA
        times = 1.0 + rise_pa / flow_pa
        lag_s = rise_pa / _ul_s(infusion) * compliance_ul_pa(infusion)
        # Where it takes hours to settle it is an occlusion by slope, or none yet.
        if times <= 1e6 and lag_s < 1800.0:
            break
    return Injected(
        "partial occlusion",
        infusion,
        _soon_s(rng, infusion, 240.0),
        (Narrow(0.0, times),),
        ("occlusion", "partial_occlusion"),
        2.5 * lag_s + _PARTIAL_S,
    )


def _stroke_ul(infusion: Infusion) -> float:
    """Of a roller head, µL; 0 of a syringe."""
    geometry = geometry_of(infusion.mechanism)
    if isinstance(geometry, PeristalticGeometry):
        return geometry.ml_per_rev * 1000.0 / geometry.rollers
    return 0.0


def _air_s(infusion: Infusion, volume_ul: float) -> float:
    """Until ``volume_ul`` of what enters the line has passed the sensor, s."""
    sensor = infusion.bench.air_sensor
    way_ul = sensor.from_pump_ul + sensor.window_ul + volume_ul + BUBBLE_SLACK_UL
    # Rollers give what they give in strokes.
    way_ul += _stroke_ul(infusion)
    # What syringe and line take up meanwhile, as where the end is raised, pushes nothing on.
    way_ul += compliance_ul_pa(infusion) * swing_pa(infusion)
    return 1.1 * (way_ul + infusion.push_ul) / _ul_s(infusion) + PROMPT_S


def _bubble(rng: random.Random) -> Injected:
    infusion = draw_infusion(rng, Wish(steady=True))
    # The pump counts what it pushes, which is what passes to a few percent.
    least_ul = 1.05 * infusion.bubble_ul + BUBBLE_SLACK_UL + infusion.push_ul
    least_ul += uneven_ul(infusion)
    ul = least_ul + rng.uniform(0.0, 500.0)
    return Injected(
        "bubble",
        _without_specks(infusion),
        _soon_s(rng, infusion, 1.0),
        (Bubble(0.0, ul),),
        ("air_bubble",),
        _air_s(infusion, least_ul),
    )


def _air_run(rng: random.Random) -> Injected:
    infusion = draw_infusion(rng, Wish(steady=True))
    return Injected(
        "air run",
        _without_specks(infusion),
        _soon_s(rng, infusion, 1.0),
        (AirRun(0.0),),
        ("air_bubble",),
        _air_s(infusion, 1.05 * infusion.bubble_ul),
    )


def _accumulated(rng: random.Random) -> Injected:
    """Bubbles below the limit of one, more than 1 mL within a quarter of an hour."""
    wish = Wish(rate_ul_h=(15_000.0, 300_000.0), steady=True)
    # What wide rollers' strokes move at once is no bubble's volume.
    while uncounted_ul(infusion := _without_specks(draw_infusion(rng, wish))) < _LEAST_KNOWN_UL:
        pass
    infusion = dataclasses.replace(infusion, bubble_ul=500)
    at_s = _soon_s(rng, infusion, 1.0)
    events: list[BenchEvent] = []
    sum_ul = 0.0
    later_s = 0.0
    while sum_ul < 1_300.0:
        ul = rng.uniform(80.0 + 2.0 * infusion.push_ul, 350.0)
        events.append(Bubble(at_min=(at_s + later_s) / 60.0, ul=ul))
        sum_ul += ul
        later_s += (ul + 60.0 + 4.0 * infusion.push_ul) / _ul_s(infusion)
    bench = with_events(infusion.bench, events)
    infusion = dataclasses.replace(infusion, bench=bench)
    within_s = later_s + _air_s(infusion, 0.0)
    return Injected("air in all", infusion, at_s, (), ("air_accumulated",), within_s)


def _small_bubbles(rng: random.Random) -> Injected:
    """Fifty bubbles too small to count, more than 1 mL together where that can be."""
    wish = Wish(rate_ul_h=(5_000.0, 300_000.0), steady=True, resting=True)
    while uncounted_ul(infusion := _without_specks(draw_infusion(rng, wish))) < _LEAST_KNOWN_UL:
        pass
    events: list[BenchEvent] = []
    later_s = 0.0
    for _ in range(50):
        ul = rng.uniform(0.6, 1.0) * uncounted_ul(infusion)
        events.append(Bubble(at_min=(60.0 + later_s) / 60.0, ul=ul))
        # A window and two samples of liquid between two, so that they are two.
        later_s += (ul + 30.0 + 3.0 * infusion.push_ul) / _ul_s(infusion)
    bench = with_events(infusion.bench, events)
    infusion = dataclasses.replace(infusion, bench=bench)
    return Injected(
        "bubbles below 50 µL",
        infusion,
        60.0,
        (),
        ("air_bubble", "air_accumulated"),
        later_s + 60.0 + _air_s(infusion, 50.0),
    )


def _without_specks(infusion: Infusion) -> Infusion:
    """The same without bubbles of its own: two that touch would be one."""
    events = tuple(event for event in infusion.bench.events if not isinstance(event, Bubble))
    return dataclasses.replace(infusion, bench=dataclasses.replace(infusion.bench, events=events))


def _disconnection_of(kind: str, settled_kpa: tuple[float, float]) -> Draw:
    def draw(rng: random.Random) -> Injected:
        wish = Wish(gauge="line", steady=True, resting=True, settled_kpa=settled_kpa)
        # Wide rollers swing the pressure, so that it never settles or is at ambient now and then.
        while uncounted_ul(infusion := draw_infusion(rng, wish)) < _LEAST_KNOWN_UL:
            pass
        # It is known where a flow settled once two blocks of half a minute agree.
        settling_s = 150.0 + 5.0 * resistance_pa_s_ul(infusion.bench) * compliance_ul_pa(infusion)
        return Injected(
            kind,
            infusion,
            _soon_s(rng, infusion, settling_s),
            (Disconnect(0.0),),
            ("disconnected",),
            3.0 + PROMPT_S,
        )

    return draw


def _counts_ul(infusion: Infusion, counts: float) -> float:
    """What is pushed while the motor turns by so many of the encoder's counts, µL."""
    geometry = geometry_of(infusion.mechanism)
    steps = counts / _ENCODER_TURN * geometry.microsteps_per_rev
    return steps * infusion.mechanism.nl_num / infusion.mechanism.nl_den / 1000.0


def _stall(rng: random.Random) -> Injected:
    infusion = draw_infusion(rng, Wish(steady=True))
    # The slack, the encoder's noise, and a step.
    counts = 70.0 + 4.0 * _ENCODER_TURN / geometry_of(infusion.mechanism).microsteps_per_rev
    within_s = 1.4 * _counts_ul(infusion, counts) / _ul_s(infusion) + PROMPT_S
    at_s = _soon_s(rng, infusion, 1.0)
    return Injected("stall", infusion, at_s, (StallMotor(0.0),), ("stall",), within_s)


def _lost_steps(rng: random.Random) -> Injected:
    infusion = draw_infusion(rng, Wish(steady=True))
    geometry = geometry_of(infusion.mechanism)
    full_steps = 200.0 if geometry.microsteps_per_rev >= 200 else 32.0
    four = round(_FULL_STEPS_LOST * geometry.microsteps_per_rev / full_steps)
    counts = four * _ENCODER_TURN / geometry.microsteps_per_rev
    turning = infusion.push_ul / _counts_ul(infusion, 1.0)
    # The way between two samples may be lost unseen.
    times = max(1, math.ceil((66.0 + turning) / counts))
    within_s = 1.4 * _counts_ul(infusion, counts * times) / _ul_s(infusion) + PROMPT_S
    # A flow's first two samples are taken as they are.
    at_s = _soon_s(rng, infusion, 3.0)
    events = (LoseSteps(0.0, four * times),)
    return Injected("lost steps", infusion, at_s, events, ("stall",), within_s)


def _removal(rng: random.Random) -> Injected:
    infusion = draw_infusion(rng, Wish(kind="syringe", steady=True))
    at_s = _soon_s(rng, infusion, 1.0)
    return Injected(
        "syringe removed", infusion, at_s, (RemoveSyringe(0.0),), ("syringe_removed",), PROMPT_S
    )


def _clamped_inlet(rng: random.Random) -> Injected:
    infusion = draw_infusion(rng, Wish(kind="peristaltic", steady=True))
    drive = infusion.bench.drive
    assert isinstance(drive, PeristalticDrive)
    # From a metre above ambient to the limit, and two strokes.
    volume_ul = 40.0 * drive.inlet_compliance_ul_per_kpa + 2.0 * _stroke_ul(infusion)
    within_s = _LATE * volume_ul / _ul_s(infusion) + PROMPT_S
    at_s = _soon_s(rng, infusion, 1.0)
    return Injected(
        "inlet clamped", infusion, at_s, (ClampInlet(0.0),), ("upstream_occlusion",), within_s
    )


# Of forty cases so many are of each kind.
SHARES: dict[str, int] = {
    "occlusion": 14,
    "partial occlusion": 4,
    "bubble": 6,
    "air run": 2,
    "air in all": 1,
    "disconnection": 7,
    "stall": 2,
    "lost steps": 1,
    "syringe removed": 1,
    "inlet clamped": 2,
}
# Beside them, and not counted among them: one in twenty of each.
NOT_TO_BE_SEEN: tuple[str, ...] = ("disconnection below 3 kPa", "bubbles below 50 µL")
KINDS: dict[str, Draw] = {
    "occlusion": _occlusion,
    "partial occlusion": _partial,
    "bubble": _bubble,
    "air run": _air_run,
    "air in all": _accumulated,
    "disconnection": _disconnection_of("disconnection", (_VISIBLE_PA / 1000.0, 20.0)),
    "stall": _stall,
    "lost steps": _lost_steps,
    "syringe removed": _removal,
    "inlet clamped": _clamped_inlet,
    "disconnection below 3 kPa": _disconnection_of(
        "disconnection below 3 kPa", (0.0, _INVISIBLE_PA / 1000.0)
    ),
    "bubbles below 50 µL": _small_bubbles,
}


@dataclass(frozen=True)
class Outcome:
    """What came of a case.

    Attributes:
        before: alarms before anything was done.
        found: the alarm by which it was noticed, or None.
        after_s: how long that took, s.
        hours: how long it ran before, h.
        sweeps: of other thresholds, a bit for each that alarmed afterwards.

    """

    before: tuple[Found, ...]
    found: Found | None
    after_s: float
    hours: float
    sweeps: dict[str, int]


def run_injected(case: Injected, with_bank: bool) -> Outcome:
    """Run a case until it is noticed, or until it should have been.

    With a bank of other thresholds it goes on for the whole time, so that each of them has it.
    """
    watched = Watched(case.infusion, with_bank)
    wanted = case.names
    before = watched.go_until(case.at_s, lambda alarm: alarm.name in wanted)
    hours = watched.now_s / 3600.0
    if any(alarm.name in wanted for alarm in before):
        return Outcome(tuple(before), None, 0.0, hours, {})
    began_s = watched.now_s
    if watched.bank is not None:
        watched.bank.clear()
    for event in case.events:
        watched.do(event)
    stops = (lambda _: False) if with_bank else (lambda alarm: alarm.name in wanted)
    found = watched.go_until(began_s + case.within_s, stops)
    noticed = next((alarm for alarm in found if alarm.name in wanted), None)
    after_s = noticed.at_s - began_s if noticed is not None else 0.0
    sweeps = watched.bank.found if watched.bank is not None else {}
    return Outcome(tuple(before), noticed, after_s, hours, sweeps)
