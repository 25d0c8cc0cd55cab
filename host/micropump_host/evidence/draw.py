"""Infusions drawn at random: syringe or head, line, needle, liquid, sensors, and what moves.

Figures are those of the virtual bench (docs/physics.md) and their spread; docs/evidence.md has the
table. Everything comes from the generator that is handed in, so a seed is an infusion.
"""

import dataclasses
import math
import random
from dataclasses import dataclass
from typing import Literal

from micropump import catalogue
from micropump.mechanism import Mechanism, peristaltic, syringe
from micropump.monitor import FRICTION_MN, Monitor
from micropump.occlusion import OCCLUSION_LEVELS_PA
from micropump_host.bench import Bench, BenchEvent, default_bench, sensor_specs
from micropump_host.bench.benchfile import (
    BenchInfo,
    Bubble,
    Kind,
    Line,
    Outlet,
    Peristaltic,
    Plunger,
    Purge,
    Sensors,
    SetAmbient,
    SetBackPressure,
    SetHeadHeight,
    SetInletHeight,
    SyringeDrive,
)
from micropump_host.bench.build import line_end
from micropump_host.bench.mechanics import geometry_of
from micropump_host.bench.plant import PeristalticGeometry, SyringeGeometry
from micropump_host.bench.sensors import REFERENCE_C

Gauge = Literal["line", "force"]

LEAST_RATE_UL_H = 500.0
GREATEST_RATE_UL_H = 300_000.0
LONGEST_H = 8.0
SHORTEST_H = 1.0 / 6.0
HEADS_SHARE = 0.15
FORCE_SHARE = 0.2
# A force cell tells friction from pressure on wide plungers alone.
FORCE_LEAST_BORE_MM = 19.0
# Of a bag on a head.
HEAD_CONTENT_UL = 50_000.0
# Faster ones take their time, and show nothing that slower ones do not.
GREATEST_STEPS_S = 2_500.0
# The pump reads pressure ten times a second; fewer are as good where little flows between, and a
# second is as long as filters and holds are made for.
SLOW_INTERVAL_S = 1.0
FAST_INTERVAL_S = 0.1
SLOW_PUSH_UL = 4.0
# Above, the encoder's way from sample to sample is not known to half a turn.
GREATEST_TURN = 0.4
# From how low to how high the line's end is moved in all: what the detectors are made for.
GREATEST_RANGE_CM = 100.0
BORE_OF_50_ML_MM = 26.7
# A tube of 1.6 mm gives so much in a turn; of what it and its line swell by, docs/physics.md.
ML_PER_REV_OF_A_THIN_TUBE = 0.21
BUBBLE_LIMITS_UL = (50, 100, 200, 500)
COUNTED_BUBBLE_UL = 50.0
BUBBLES_APART_UL = 150.0
# Of these the largest that drift along by themselves: while one stands in the sensor's window the
# line's end may be raised, and what syringe and line then take up counts as air that passes.
SPECK_PART = 0.7
# Of a stroke: what may flow in it beside what is pushed.
UNEVEN_PART = 0.5
# Of a bubble's edges the sensor's window shows so much too much.
BUBBLE_SLACK_UL = 4.0
# A cough or a grip.
COUGHS_APART_S = 1800.0
_PA_PER_CM = 98.0
_EVENTS_OF_A_RAMP = 40
_CYCLES_OF_60_S = 60.0


@dataclass(frozen=True)
class Change:
    """From ``at_s`` on (s) the rate is ``rate_ul_h``; 0 is a pause."""

    at_s: float
    rate_ul_h: float


@dataclass(frozen=True)
class Infusion:
    """What is infused, with what, and what happens meanwhile.

    Attributes:
        mechanism: the pump's.
        bench: everything else, with the seed of its randomness and its events.
        gauge: whether a sensor in the line or a force cell gives the pressure.
        level_kpa: the occlusion limit that the pump is set to, kPa.
        bubble_ul: the bubble limit that the pump is set to, µL.
        changes: rates, the first at 0 s.
        duration_s: how long, s.

    """

    mechanism: Mechanism
    bench: Bench
    gauge: Gauge
    level_kpa: int
    bubble_ul: int
    changes: tuple[Change, ...]
    duration_s: float

    @property
    def rate_ul_h(self) -> float:
        """The rate that it starts with, µL/h."""
        return self.changes[0].rate_ul_h

    @property
    def push_ul(self) -> float:
        """What is pushed between two samples at the greatest rate, µL."""
        greatest = max(change.rate_ul_h for change in self.changes)
        return greatest / 3600.0 * self.bench.sensors.interval_s


@dataclass(frozen=True)
class Wish:
    """What an infusion is to be like; what is None is drawn.

    Attributes:
        kind: syringe or head.
        gauge: how the pressure is known.
        rate_ul_h: least and greatest rate, µL/h.
        steady: neither other rates nor pauses.
        resting: nothing moves, and no pressure changes.
        settled_kpa: least and greatest pressure of the open line at rest and at its rate, kPa.
        range_cm: greatest range of the end's height, cm.
        moves: how many times as often as usual the end is moved.
        coughs_apart_s: from one to the next, on average, s.

    """

    kind: Kind | None = None
    gauge: Gauge | None = None
    rate_ul_h: tuple[float, float] = (LEAST_RATE_UL_H, GREATEST_RATE_UL_H)
    steady: bool = False
    resting: bool = False
    settled_kpa: tuple[float, float] | None = None
    range_cm: float = GREATEST_RANGE_CM
    moves: float = 1.0
    coughs_apart_s: float = COUGHS_APART_S


def draw_infusion(rng: random.Random, wish: Wish = Wish()) -> Infusion:
    """Draw until a pump can do it: limits, rates and pressures fit each other."""
    while True:
        infusion = _try(rng, wish)
        if infusion is not None:
            return infusion


def resistance_pa_s_ul(bench: Bench) -> float:
    """Of the open line, Pa·s/µL."""
    return line_end(bench).resistance_pa_s_per_ul


def settled_pa(bench: Bench, rate_ul_h: float) -> float:
    """Pressure at which the open line settles at this rate, before anything moves, Pa."""
    end = line_end(bench)
    height_pa = end.head_height_m * 9806.65 * end.density_g_ml
    return end.back_pressure_pa + height_pa + resistance_pa_s_ul(bench) * rate_ul_h / 3600.0


def _try(rng: random.Random, wish: Wish) -> Infusion | None:
    kind = wish.kind or ("peristaltic" if rng.random() < HEADS_SHARE else "syringe")
    mechanism = _mechanism(rng, kind)
    geometry = geometry_of(mechanism)
    rates = _rates(mechanism, wish)
    if rates is None:
        return None
    rate_ul_h = math.exp(rng.uniform(math.log(rates[0]), math.log(rates[1])))
    content_ul = mechanism.capacity_ul or HEAD_CONTENT_UL
    duration_s = min(LONGEST_H, max(SHORTEST_H, content_ul / rate_ul_h)) * 3600.0
    changes: tuple[Change, ...] = (Change(0.0, rate_ul_h),)
    if not wish.steady:
        changes += _changes(rng, rates, rate_ul_h, duration_s)
    interval_s = _interval_s(geometry, max(change.rate_ul_h for change in changes))
    if interval_s is None:
        return None
    gauge = wish.gauge or ("force" if rng.random() < FORCE_SHARE else "line")
    narrow = isinstance(geometry, PeristalticGeometry) or geometry.bore_mm < FORCE_LEAST_BORE_MM
    if gauge == "force" and narrow:
        gauge = "line"
    bench = _bench(rng, geometry, gauge, interval_s)
    if wish.settled_kpa is not None:
        bench = _settled(rng, bench, rate_ul_h, wish.settled_kpa)
    if not wish.resting:
        bench = _moved(rng, bench, duration_s, wish)
    infusion = Infusion(mechanism, bench, gauge, 0, 0, changes, duration_s)
    levels = [pa for pa in OCCLUSION_LEVELS_PA if pa >= _open_pa(infusion, geometry)]
    bubbles_ul = [ul for ul in BUBBLE_LIMITS_UL if ul >= _seeming_ul(infusion)]
    if not levels or not bubbles_ul:
        return None
    return dataclasses.replace(
        with_specks(rng, infusion),
        level_kpa=rng.choice(levels) // 1000,
        bubble_ul=rng.choice(bubbles_ul),
    )


def _mechanism(rng: random.Random, kind: Kind) -> Mechanism:
    if kind == "syringe":
        item = rng.choice(catalogue.SYRINGES)[0]
        return syringe(item, rng.choice(catalogue.SYRINGE_DRIVES)[0])
    item = rng.choice(catalogue.PERISTALTIC_HEADS)[0]
    return peristaltic(item, rng.choice(catalogue.HEAD_DRIVES)[0])


def _rates(mechanism: Mechanism, wish: Wish) -> tuple[float, float] | None:
    """Of the pump and of the wish together; a syringe lasts for ten minutes at the least."""
    least = max(wish.rate_ul_h[0], mechanism.least_rate_ul_h)
    greatest = min(wish.rate_ul_h[1], mechanism.greatest_rate_ul_h)
    if mechanism.capacity_ul:
        greatest = min(greatest, mechanism.capacity_ul / SHORTEST_H)
    return (least, greatest) if least < greatest else None


def _changes(
    rng: random.Random, rates: tuple[float, float], rate_ul_h: float, duration_s: float
) -> tuple[Change, ...]:
    """In a third of all infusions, about once an hour, another rate or a pause of some minutes."""
    changes: list[Change] = []
    if rng.random() > 1.0 / 3.0:
        return ()
    at_s = rng.expovariate(1.0 / 3600.0)
    while at_s < duration_s:
        if rng.random() < 0.3:
            changes.append(Change(at_s, 0.0))
            at_s += rng.uniform(60.0, 900.0)
        else:
            rate_ul_h = min(rates[1], max(rates[0], rate_ul_h * rng.uniform(0.4, 2.5)))
        changes.append(Change(at_s, rate_ul_h))
        at_s += 60.0 + rng.expovariate(1.0 / 3600.0)
    return tuple(changes)


def _interval_s(geometry: SyringeGeometry | PeristalticGeometry, rate_ul_h: float) -> float | None:
    """Tenths of a second, up to one; None where a tenth is too long for the encoder."""
    if isinstance(geometry, SyringeGeometry):
        turn_ul = geometry.lead_mm * math.pi / 4.0 * geometry.bore_mm**2 / geometry.gear_ratio
    else:
        turn_ul = geometry.ml_per_rev * 1000.0 / geometry.gear_ratio
    ul_s = rate_ul_h / 3600.0
    if ul_s / turn_ul * geometry.microsteps_per_rev > GREATEST_STEPS_S:
        return None
    # The pump's own ten times a second are enough whatever flows.
    push_ul = max(SLOW_PUSH_UL, ul_s * FAST_INTERVAL_S)
    longest_s = min(push_ul, turn_ul * GREATEST_TURN) / ul_s
    tenths = math.floor(longest_s / FAST_INTERVAL_S + 1e-9)
    return min(SLOW_INTERVAL_S, tenths / 10.0) if tenths else None


def _bench(
    rng: random.Random,
    geometry: SyringeGeometry | PeristalticGeometry,
    gauge: Gauge,
    interval_s: float,
) -> Bench:
    is_syringe = isinstance(geometry, SyringeGeometry)
    bench = default_bench("syringe" if is_syringe else "peristaltic")
    ambient_c = rng.uniform(15.0, 35.0)
    per_k = rng.uniform(-6.0, 6.0)
    bench = dataclasses.replace(
        bench,
        info=BenchInfo("drawn", rng.getrandbits(62)),
        line=Line(
            length_m=rng.uniform(1.0, 2.5),
            inner_diameter_mm=rng.uniform(1.0, 1.5),
            compliance_ul_per_kpa=rng.uniform(0.2, 1.0),
            viscosity_mpa_s=rng.choice((1.0, rng.uniform(0.7, 2.5))),
            density_g_ml=rng.uniform(0.99, 1.05),
        ),
        outlet=Outlet(
            needle_gauge=rng.choice((18, 19, 20, 21, 22, 23, 24)),
            needle_length_mm=rng.uniform(25.0, 40.0),
            back_pressure_kpa=rng.choice((0.0, rng.uniform(0.0, 2.0), rng.uniform(0.0, 13.33))),
            head_height_cm=0.0,
        ),
        sensors=Sensors(
            pressure=gauge == "line", force=gauge == "force", upstream=not is_syringe, air=True,
            barrel=is_syringe, plunger=False, encoder=True, battery=False, rail=False,
            temperature=False, door=False, end_stop=False, interval_s=interval_s,
        ),
        pressure_sensor=dataclasses.replace(
            bench.pressure_sensor,
            # Of its zero the pump has taken what it was where the pump stands.
            offset_raw=rng.uniform(-50.0, 50.0) - per_k * (ambient_c - REFERENCE_C),
            noise_raw=rng.uniform(6.0, 24.0),
            drift_raw_per_h=rng.uniform(-2.0, 2.0),
            drift_raw_per_k=per_k,
        ),
        air_sensor=dataclasses.replace(
            bench.air_sensor,
            digital=rng.random() < 0.5,
            noise_raw=rng.uniform(100.0, 600.0),
            from_pump_ul=rng.uniform(50.0, 500.0),
            window_ul=rng.uniform(3.0, 10.0),
        ),
        thermometer=dataclasses.replace(bench.thermometer, ambient_c=ambient_c),
    )  # fmt: skip
    if isinstance(geometry, SyringeGeometry):
        return _with_syringe(rng, bench, geometry)
    return _with_head(rng, bench, geometry)


def _with_syringe(rng: random.Random, bench: Bench, geometry: SyringeGeometry) -> Bench:
    """Friction goes with the stopper's rim, compliance with its area or its volume."""
    width = geometry.bore_mm / BORE_OF_50_ML_MM
    static_n = rng.uniform(4.0, 16.0) * width
    compliance_ul_kpa = rng.uniform(9.0, 20.0) * width ** rng.uniform(2.0, 3.0)
    assert bench.barrel_sensor is not None
    assert bench.force_sensor is not None
    return dataclasses.replace(
        bench,
        purge=_purge(rng, math.pi / 4.0 * geometry.bore_mm**2),
        drive=SyringeDrive(
            bore_error_percent=rng.uniform(-0.5, 0.5),
            pitch_error_ppm=rng.uniform(-170.0, 170.0),
            periodic_error_um=rng.uniform(0.0, 0.01) * geometry.lead_mm * 1000.0,
            backlash_um=rng.uniform(0.0, 500.0),
            screw_backlash_um=rng.uniform(0.0, 60.0),
            stiffness_n_per_mm=rng.uniform(100.0, 400.0),
        ),
        plunger=Plunger(
            static_friction_n=static_n,
            kinetic_friction_n=static_n * rng.uniform(0.6, 0.9),
            stick_speed_um_s=0.02,
            compliance_ml_per_bar=compliance_ul_kpa / 10.0,
        ),
        barrel_sensor=dataclasses.replace(
            bench.barrel_sensor,
            offset_raw=rng.uniform(-200.0, 200.0),
            # Walls of 0.7 mm (1 mL) to 1.5 mm (60 mL), and the makers' differences.
            wall_mm=0.55 + 0.035 * geometry.bore_mm + rng.uniform(-0.3, 0.3),
        ),
        force_sensor=dataclasses.replace(
            bench.force_sensor,
            offset_raw=rng.uniform(-5000.0, 5000.0),
            noise_raw=rng.uniform(100.0, 800.0),
            drift_raw_per_h=rng.uniform(-50.0, 50.0),
            drift_raw_per_k=rng.uniform(-800.0, 800.0),
        ),
    )


def _purge(rng: random.Random, area_mm2: float) -> Purge:
    """Two thirds of a millimetre's play and an elastic drive are taken up by 2 mm of travel."""
    volume_ml = max(0.02, min(2.0, rng.uniform(2.0, 4.0) * area_mm2 / 1000.0))
    return Purge(
        purged=True,
        volume_ml=volume_ml,
        rate_ml_h=volume_ml * _CYCLES_OF_60_S,
        rest_s=rng.uniform(10.0, 300.0),
    )


def _with_head(rng: random.Random, bench: Bench, geometry: PeristalticGeometry) -> Bench:
    """A wider tube swells more, behind the rollers and before them."""
    assert isinstance(bench.drive, Peristaltic)
    assert bench.upstream_sensor is not None
    width = max(1.0, geometry.ml_per_rev / ML_PER_REV_OF_A_THIN_TUBE)
    return dataclasses.replace(
        bench,
        line=dataclasses.replace(bench.line, compliance_ul_per_kpa=rng.uniform(1.0, 3.0) * width),
        drive=dataclasses.replace(
            bench.drive,
            volume_error_percent=rng.uniform(-3.0, 3.0),
            rotor_error_percent=rng.uniform(0.0, 8.0),
            inlet_height_cm=rng.uniform(-100.0, 50.0),
            inlet_compliance_ul_per_kpa=rng.uniform(0.3, 1.0) * width,
        ),
        upstream_sensor=dataclasses.replace(
            bench.upstream_sensor,
            offset_raw=rng.uniform(-50.0, 50.0),
            noise_raw=rng.uniform(6.0, 24.0),
            resistance_pa_s_per_ul=rng.uniform(5.0, 40.0),
        ),
    )


def _settled(
    rng: random.Random, bench: Bench, rate_ul_h: float, settled_kpa: tuple[float, float]
) -> Bench:
    """The same with a back pressure that makes the open line settle within bounds."""
    wanted_kpa = rng.uniform(*settled_kpa)
    back_kpa = bench.outlet.back_pressure_kpa + wanted_kpa - settled_pa(bench, rate_ul_h) / 1000.0
    return dataclasses.replace(
        bench, outlet=dataclasses.replace(bench.outlet, back_pressure_kpa=back_kpa)
    )


def _moved(rng: random.Random, bench: Bench, duration_s: float, wish: Wish) -> Bench:
    """Movement of the line's end, of a head's supply, pressure at the end, temperature."""
    range_cm = rng.uniform(0.0, wish.range_cm)
    low_cm = rng.uniform(-wish.range_cm, wish.range_cm - range_cm)
    at_cm = rng.uniform(low_cm, low_cm + range_cm)
    bench = dataclasses.replace(
        bench, outlet=dataclasses.replace(bench.outlet, head_height_cm=at_cm)
    )
    events: list[BenchEvent] = []
    at_s = 0.0
    every_s = 60.0 * math.exp(rng.uniform(math.log(2.0), math.log(60.0))) / wish.moves
    while (at_s := at_s + 1.0 + rng.expovariate(1.0 / every_s)) < duration_s:
        to_cm = rng.choice((low_cm, low_cm + range_cm, rng.uniform(low_cm, low_cm + range_cm)))
        # Four in five as a person moves, one in five as slowly as a bed or a chair may.
        slow = rng.random() < 0.2
        took_s = math.exp(rng.uniform(3.5, 7.5)) if slow else rng.uniform(0.2, 10.0)
        events += _ramp(at_s, took_s, at_cm, to_cm)
        at_s += took_s
        at_cm = to_cm
    events += _pressures(rng, bench.outlet.back_pressure_kpa, duration_s, wish.coughs_apart_s)
    events += _climate(rng, bench.thermometer.ambient_c, duration_s)
    if isinstance(bench.drive, Peristaltic):
        events += _supply(rng, bench.drive.inlet_height_cm, duration_s)
    return with_events(bench, events)


def _ramp(at_s: float, took_s: float, from_cm: float, to_cm: float) -> list[BenchEvent]:
    count = max(1, min(_EVENTS_OF_A_RAMP, int(took_s)))
    return [
        SetHeadHeight(
            at_min=(at_s + took_s * part / count) / 60.0,
            cm=from_cm + (to_cm - from_cm) * part / count,
        )
        for part in range(1, count + 1)
    ]


def _pressures(
    rng: random.Random, back_kpa: float, duration_s: float, apart_s: float
) -> list[BenchEvent]:
    """Every now and then a cough or a grip of some seconds, of up to 6 kPa."""
    events: list[BenchEvent] = []
    at_s = 0.0
    while (at_s := at_s + rng.expovariate(1.0 / apart_s)) < duration_s:
        took_s = rng.uniform(0.3, 20.0)
        kpa = back_kpa + rng.uniform(0.0, 6.0)
        events.append(SetBackPressure(at_min=at_s / 60.0, kpa=kpa))
        at_s += took_s
        events.append(SetBackPressure(at_min=at_s / 60.0, kpa=back_kpa))
    return events


def _climate(rng: random.Random, ambient_c: float, duration_s: float) -> list[BenchEvent]:
    """Every two hours the pump is carried to where it is warmer or colder by up to 8 K."""
    events: list[BenchEvent] = []
    at_s = 0.0
    while (at_s := at_s + rng.expovariate(1.0 / 7200.0)) < duration_s:
        celsius = ambient_c + rng.uniform(-8.0, 8.0)
        events.append(SetAmbient(at_min=at_s / 60.0, celsius=celsius))
    return events


def _supply(rng: random.Random, height_cm: float, duration_s: float) -> list[BenchEvent]:
    """The bag sinks or is hung elsewhere about every two hours, within 50 cm."""
    events: list[BenchEvent] = []
    at_s = 0.0
    while (at_s := at_s + rng.expovariate(1.0 / 7200.0)) < duration_s:
        cm = max(-100.0, min(100.0, height_cm + rng.uniform(-50.0, 50.0)))
        events.append(SetInletHeight(at_min=at_s / 60.0, cm=cm))
    return events


def with_events(bench: Bench, events: list[BenchEvent]) -> Bench:
    """The same with more events, in order of time."""
    together = sorted((*bench.events, *events), key=lambda event: event.at_min)
    return dataclasses.replace(bench, events=tuple(together))


def with_specks(rng: random.Random, infusion: Infusion) -> Infusion:
    """The same with bubbles, about twice an hour, that are too small to count."""
    largest_ul = SPECK_PART * uncounted_ul(infusion)
    if largest_ul <= 1.0:
        return infusion
    events: list[BenchEvent] = []
    at_s = 0.0
    while (at_s := at_s + rng.expovariate(1.0 / 1800.0)) < infusion.duration_s:
        # Bubbles that touch each other are one.
        if not events or pushed_ul(infusion, events[-1].at_min * 60.0, at_s) >= BUBBLES_APART_UL:
            events.append(Bubble(at_min=at_s / 60.0, ul=rng.uniform(1.0, largest_ul)))
    return dataclasses.replace(infusion, bench=with_events(infusion.bench, events))


def uncounted_ul(infusion: Infusion) -> float:
    """The largest bubble that the pump can tell from one of 50 µL where the pressure is steady, µL.

    A bubble is known to what is pushed between two samples, and behind rollers to the unevenness
    of their strokes.
    """
    return COUNTED_BUBBLE_UL - BUBBLE_SLACK_UL - 2.0 * infusion.push_ul - uneven_ul(infusion)


def _seeming_ul(infusion: Infusion) -> float:
    """What a speck may be taken for: nobody sets a limit below, µL.

    While it stands in the sensor's window the line's pressure may fall, and what syringe and line
    let go meanwhile is known to their greatest compliance alone.
    """
    speck_ul = SPECK_PART * uncounted_ul(infusion)
    if infusion.gauge != "line" or not infusion.mechanism.area_mm2:
        return speck_ul
    monitor = Monitor(sensor_specs(infusion.bench))
    monitor.prepare(infusion.mechanism, 0, 0)
    return speck_ul + swing_pa(infusion) * monitor.greatest_nl_kpa() / 1e6


def swing_pa(infusion: Infusion) -> float:
    """Between the least and the greatest pressure that the open line may have, Pa."""
    bench = infusion.bench
    height_cm = [bench.outlet.head_height_cm]
    height_cm += [event.cm for event in bench.events if isinstance(event, SetHeadHeight)]
    back_kpa = [bench.outlet.back_pressure_kpa]
    back_kpa += [event.kpa for event in bench.events if isinstance(event, SetBackPressure)]
    greatest_ul_s = max(change.rate_ul_h for change in infusion.changes) / 3600.0
    return (
        (max(height_cm) - min(height_cm)) * _PA_PER_CM
        + (max(back_kpa) - min(back_kpa)) * 1000.0
        + resistance_pa_s_ul(bench) * greatest_ul_s
    )


def uneven_ul(infusion: Infusion) -> float:
    """What may flow within a stroke of rollers beside what is pushed, µL; 0 of a syringe."""
    geometry = geometry_of(infusion.mechanism)
    if isinstance(geometry, PeristalticGeometry):
        return UNEVEN_PART * geometry.ml_per_rev * 1000.0 / geometry.rollers
    return 0.0


def pushed_ul(infusion: Infusion, from_s: float, until_s: float) -> float:
    """What the infusion is to push between two moments (s), µL."""
    ends_s = [change.at_s for change in infusion.changes[1:]] + [until_s]
    return sum(
        change.rate_ul_h / 3600.0 * max(0.0, min(end_s, until_s) - max(change.at_s, from_s))
        for change, end_s in zip(infusion.changes, ends_s, strict=True)
    )


def _open_pa(infusion: Infusion, geometry: SyringeGeometry | PeristalticGeometry) -> float:
    """What the open line and the friction may come to: nobody sets a limit below, Pa."""
    bench = infusion.bench
    heights = [event.cm for event in bench.events if isinstance(event, SetHeadHeight)]
    height_cm = max([bench.outlet.head_height_cm, *heights])
    greatest = max(change.rate_ul_h for change in infusion.changes)
    flow_pa = resistance_pa_s_ul(bench) * greatest / 3600.0
    # 6 kPa of coughs, and what a pump's strokes and its plunger's slips add.
    open_pa = bench.outlet.back_pressure_kpa * 1000.0 + height_cm * _PA_PER_CM * 1.05 + 8_000.0
    if isinstance(geometry, PeristalticGeometry):
        return open_pa + 3.0 * flow_pa
    open_pa += 1.5 * flow_pa
    if infusion.gauge == "force":
        assert bench.plunger is not None
        area_mm2 = math.pi / 4.0 * geometry.bore_mm**2
        above_n = bench.plunger.static_friction_n - FRICTION_MN / 1000.0
        open_pa += max(0.0, above_n) / area_mm2 * 1e6
    return open_pa
