"""From a bench file to the sensors that are fitted, and to the rows that the core knows them by."""

import math
from collections.abc import Callable
from fractions import Fraction

from micropump import mechanism, sensing
from micropump_host.bench.benchfile import BarrelSensor, Bench
from micropump_host.bench.ground import Spec
from micropump_host.bench.motor import Motor
from micropump_host.bench.plant import SyringeGeometry
from micropump_host.bench.sensors import (
    ADC_GREATEST,
    HX711_GREATEST,
    AnalogSensor,
    AngleSensor,
    DigitalSensor,
    Errors,
    LoadCell,
    Sensor,
)
from micropump_host.bench.surroundings import Bubbles, Climate, Supply, Surroundings

# As in docs/sensors.md, in its order of fields.
SensorRow = tuple[int | str, ...]
SPEC_FIELDS = 10

_SECONDS_PER_MINUTE = 60.0
# A twentieth of the converter at either end is no reading: a broken or a shorted wire is there.
_ADC_MARGIN = ADC_GREATEST // 20
_NO_PIN = -1
# Samples that may be missing before a sensor counts as silent.
_AGE_SAMPLES = 5
# As many equal samples in a row do not come from a sensor with noise of two counts or more: two
# are equal in at most a fifth of all cases, 50 in one of 10**34.
_STUCK_SAMPLES = 50
# From sample to sample white noise has √2 of its standard deviation; half of this is over four of
# those, and has to be passed several times either way (micropump.sensing).
_NOISE_SPREAD = 12
# What a sensor may really see from sample to sample beside its noise: a line on a roller pump at
# its greatest rate, a plunger that slips, a motor that is switched on.
_PRESSURE_SWING_KPA = 40.0
_FORCE_SWING_N = 30.0
_SUPPLY_SWING_V = 2.0
_BARREL_SWING_MM = 40.0
# How far a zero may have drifted when a syringe is put in.
_PRESSURE_DRIFT_KPA = 3.0
_FORCE_DRIFT_N = 2.0


def outer_mm(geometry: SyringeGeometry, spec: BarrelSensor) -> float:
    """Outer diameter of a syringe's barrel, mm: bore and two walls, or what the pump expects."""
    if spec.wall_mm:
        return geometry.bore_mm + 2.0 * spec.wall_mm
    return mechanism.outer_um(round(geometry.bore_mm * 1000.0)) / 1000.0


def ul_per_mm(geometry: SyringeGeometry) -> float:
    """Volume of the nominal bore for each millimetre of travel, µL/mm."""
    return math.pi / 4.0 * geometry.bore_mm**2


def build_surroundings(bench: Bench, motor: Motor) -> Surroundings:
    """Build what the sensors of a bench see, as it is when the pump is switched on."""
    battery, climate = bench.battery, bench.thermometer
    upstream = bench.upstream_sensor
    return Surroundings(
        motor=motor,
        bubbles=Bubbles(bench.air_sensor.from_pump_ul, bench.air_sensor.window_ul),
        supply=Supply(
            on_mains=battery.on_mains,
            capacity_mah=battery.capacity_mah,
            charge=battery.charge_percent / 100.0,
            resistance_mohm=battery.resistance_mohm,
            idle_ma=battery.idle_ma,
            motor_ma=battery.motor_ma,
            rail_mv=bench.rail.supply_v * 1000.0,
        ),
        climate=Climate(
            climate.ambient_c, climate.motor_rise_k, climate.lag_min * _SECONDS_PER_MINUTE
        ),
        inlet_pa_s_per_ul=upstream.resistance_pa_s_per_ul if upstream is not None else 0.0,
    )


def build_sensors(bench: Bench, around: Surroundings, steps_per_rev: int) -> list[Sensor]:
    """Build the sensors that are fitted, in the order of their numbers.

    Args:
        bench: says which, and what they are like.
        around: what they see.
        steps_per_rev: microsteps in a turn of the motor.

    """
    errors = _errors(bench)
    seed = bench.info.seed

    def analog(number: int, see: Callable[[], float]) -> Callable[[], Sensor]:
        return lambda: AnalogSensor(number, around, seed, errors[number], see)

    def switch(number: int, see: Callable[[], bool]) -> Callable[[], Sensor]:
        return lambda: DigitalSensor(number, around, seed, see)

    def load_cell() -> Sensor:
        force = bench.force_sensor
        assert force is not None, "a syringe bench has a force sensor"
        return LoadCell(
            sensing.FORCE,
            around,
            seed,
            errors[sensing.FORCE],
            around.force_n,
            force.creep_percent / 100.0,
            force.creep_min * _SECONDS_PER_MINUTE,
        )

    def encoder() -> Sensor:
        return AngleSensor(sensing.ENCODER, around, seed, steps_per_rev, bench.encoder.noise_counts)

    air = analog(sensing.AIR, around.air_fraction)
    if bench.air_sensor.digital:
        air = switch(sensing.AIR, lambda: around.air_fraction() >= 0.5)
    supply, climate = around.supply, around.climate
    builders = {
        sensing.PRESSURE: analog(sensing.PRESSURE, around.pressure_kpa),
        sensing.FORCE: load_cell,
        sensing.UPSTREAM: analog(sensing.UPSTREAM, around.upstream_kpa),
        sensing.AIR: air,
        sensing.BARREL: analog(sensing.BARREL, lambda: around.barrel_mm),
        sensing.PLUNGER: analog(sensing.PLUNGER, around.travel_mm),
        sensing.ENCODER: encoder,
        sensing.BATTERY: analog(sensing.BATTERY, lambda: supply.battery_mv() / 1000.0),
        sensing.RAIL: analog(sensing.RAIL, lambda: supply.rail_mv() / 1000.0),
        sensing.TEMPERATURE: analog(sensing.TEMPERATURE, lambda: climate.inside_c),
        sensing.DOOR: switch(sensing.DOOR, lambda: around.door_is_open),
        sensing.END_STOP: switch(sensing.END_STOP, lambda: around.end_stop_is_pressed),
    }
    return [builders[number]() for number in _fitted(bench)]


def sensor_rows(bench: Bench) -> tuple[SensorRow, ...]:
    """The rows of the fitted sensors, as a board's ``SENSORS`` has them (docs/sensors.md)."""
    return tuple(_row(bench, number) for number in _fitted(bench))


def sensor_specs(bench: Bench) -> tuple[Spec, ...]:
    """What ``micropump.sensing.Sensing`` takes of them: the first ten fields, numbers all."""
    return tuple(
        tuple(field for field in row[:SPEC_FIELDS] if isinstance(field, int))
        for row in sensor_rows(bench)
    )


def _fitted(bench: Bench) -> list[int]:
    names = enumerate(sensing.SENSOR_NAMES)
    return [number for number, name in names if getattr(bench.sensors, name)]


def _errors(bench: Bench) -> dict[int, Errors]:
    """Scale and errors of the analog sensors that a bench can have, by number."""
    air, battery, rail, warmth = bench.air_sensor, bench.battery, bench.rail, bench.thermometer
    errors = {
        sensing.AIR: Errors(air.liquid_raw, air.air_raw - air.liquid_raw, noise_raw=air.noise_raw),
        sensing.BATTERY: Errors(0.0, battery.raw_per_v, noise_raw=battery.noise_raw),
        sensing.RAIL: Errors(0.0, rail.raw_per_v, noise_raw=rail.noise_raw),
        sensing.TEMPERATURE: Errors(
            warmth.zero_raw, warmth.raw_per_c, warmth.offset_raw, warmth.noise_raw
        ),
    }
    for number, pressure in (
        (sensing.PRESSURE, bench.pressure_sensor),
        (sensing.UPSTREAM, bench.upstream_sensor),
    ):
        if pressure is not None:
            errors[number] = Errors(
                pressure.zero_raw,
                pressure.raw_per_kpa,
                pressure.offset_raw,
                pressure.noise_raw,
                pressure.drift_raw_per_h,
                pressure.drift_raw_per_k,
            )
    for number, length in (
        (sensing.BARREL, bench.barrel_sensor),
        (sensing.PLUNGER, bench.position_sensor),
    ):
        if length is not None:
            errors[number] = Errors(
                length.zero_raw, length.raw_per_mm, length.offset_raw, length.noise_raw
            )
    force = bench.force_sensor
    if force is not None:
        errors[sensing.FORCE] = Errors(
            force.zero_raw,
            force.raw_per_n,
            force.offset_raw,
            force.noise_raw,
            force.drift_raw_per_h,
            force.drift_raw_per_k,
        )
    return errors


# How much of the core's unit is in one of the bench's; what a sensor may swing between two samples
# (0: anything), and what its zero may drift (0: it is not tared), in the bench's unit.
_ANALOG: dict[int, tuple[int, float, float]] = {
    sensing.PRESSURE: (1000, _PRESSURE_SWING_KPA, _PRESSURE_DRIFT_KPA),
    sensing.FORCE: (1000, _FORCE_SWING_N, _FORCE_DRIFT_N),
    sensing.UPSTREAM: (1000, _PRESSURE_SWING_KPA, _PRESSURE_DRIFT_KPA),
    sensing.AIR: (1000, 0.0, 0.0),
    sensing.BARREL: (1000, _BARREL_SWING_MM, 0.0),
    sensing.PLUNGER: (1000, 1.0, 0.0),
    sensing.BATTERY: (1000, _SUPPLY_SWING_V, 0.0),
    sensing.RAIL: (1000, _SUPPLY_SWING_V, 0.0),
    sensing.TEMPERATURE: (10, 1.0, 0.0),
}
_SWITCHES = (sensing.DOOR, sensing.END_STOP)


def _row(bench: Bench, number: int) -> SensorRow:
    every_ms = max(1, round(bench.sensors.interval_s * 1000))
    age_ms = _AGE_SAMPLES * every_ms
    if number == sensing.ENCODER:
        stuck = _STUCK_SAMPLES if bench.encoder.noise_counts else 0
        return (number, 0, 1, 1, 0, 4095, age_ms, stuck, 0, 0, "as5600", _NO_PIN, _NO_PIN, 1,
                every_ms)  # fmt: skip
    if number in _SWITCHES or (number == sensing.AIR and bench.air_sensor.digital):
        in_unit = 1000 if number == sensing.AIR else 1
        return (number, 0, in_unit, 1, 0, 1, age_ms, 0, 0, 0, "digital", _NO_PIN, "up", 1,
                every_ms)  # fmt: skip
    errors = _errors(bench)[number]
    unit, swing, drift = _ANALOG[number]
    scale = Fraction(unit / errors.raw_per_unit).limit_denominator(1000)
    per_unit = abs(errors.raw_per_unit)
    is_force = number == sensing.FORCE
    return (
        number,
        round(errors.zero_raw),
        scale.numerator,
        scale.denominator,
        -HX711_GREATEST if is_force else _ADC_MARGIN,
        HX711_GREATEST - 1 if is_force else ADC_GREATEST - _ADC_MARGIN,
        age_ms,
        _STUCK_SAMPLES if errors.noise_raw >= 2.0 else 0,
        round(swing * per_unit + _NOISE_SPREAD * errors.noise_raw) if swing else 0,
        round(drift * per_unit),
        "hx711" if is_force else "analog",
        _NO_PIN,
        _NO_PIN,
        1,
        every_ms,
    )
