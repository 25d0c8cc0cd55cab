"""Bench files: the imperfections of a virtual bench, in TOML, with the unit in every key.

A bench file has either ``[syringe_drive]`` (then also ``[plunger]``, ``[plunger_sensor]``) or
``[peristaltic]``, and
``[bench]``, ``[purge]``, ``[line]``, ``[outlet]``, ``[balance]``, ``[sensors]`` with a section for
each kind of sensor, and any number of ``[[event]]``.
What a file leaves out is taken from the default bench of its kind, which spells out every key.
All that is wrong with a file is told at once.
"""

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from micropump.sensing import SENSOR_NAMES
from micropump_host.bench.outlet import NEEDLE_BORE_MM
from micropump_host.bench.tables import (
    completed,
    one_of,
    parse_tables,
    read_section,
    read_text,
    suggestion,
    within,
)
from micropump_host.errors import MicropumpError

Kind = Literal["syringe", "peristaltic"]

KINDS: tuple[Kind, ...] = ("syringe", "peristaltic")


class BenchFileError(MicropumpError):
    """A bench file is missing, is not TOML, or says something that a bench cannot have."""


@dataclass(frozen=True)
class BenchInfo:
    """``[bench]``: what the bench is called and the seed of all its randomness."""

    name: str
    seed: int = within(0, 2**63 - 1)


@dataclass(frozen=True)
class Purge:
    """``[purge]``: whether, and how, the set was purged before time zero."""

    purged: bool
    volume_ml: float = within(0.0, 50.0, above=True)
    rate_ml_h: float = within(0.01, 2000.0)
    rest_s: float = within(0.0, 86400.0)


@dataclass(frozen=True)
class SyringeDrive:
    """``[syringe_drive]``: lead screw, free play, stiffness, and the bore as it really is."""

    bore_error_percent: float = within(-10.0, 10.0)
    pitch_error_ppm: float = within(-10000.0, 10000.0)
    periodic_error_um: float = within(0.0, 1000.0)
    backlash_um: float = within(0.0, 10000.0)
    screw_backlash_um: float = within(0.0, 10000.0)
    stiffness_n_per_mm: float = within(1.0, 1e6)


@dataclass(frozen=True)
class Plunger:
    """``[plunger]``: friction of the stopper and elasticity of the syringe."""

    static_friction_n: float = within(0.0, 200.0, above=True)
    kinetic_friction_n: float = within(0.0, 200.0)
    stick_speed_um_s: float = within(0.0, 1000.0, above=True)
    compliance_ml_per_bar: float = within(0.001, 20.0)


@dataclass(frozen=True)
class PlungerSensor:
    """``[plunger_sensor]``: whether the pump sees where the plunger stands, and how well."""

    fitted: bool
    interval_s: float = within(0.1, 3600.0)
    resolution_um: float = within(0.0, 10000.0)
    noise_um: float = within(0.0, 10000.0)


@dataclass(frozen=True)
class Peristaltic:
    """``[peristaltic]``: ripple, tube and supply."""

    volume_error_percent: float = within(-50.0, 50.0)
    ripple_percent: tuple[float, ...] = within(0.0, 300.0)
    rotor_error_percent: float = within(0.0, 100.0)
    outlet_sensitivity_percent_per_kpa: float = within(0.0, 10.0)
    inlet_sensitivity_percent_per_kpa: float = within(0.0, 10.0)
    wear_percent_per_h: float = within(-1.0, 10.0)
    inlet_height_cm: float = within(-300.0, 300.0)
    inlet_compliance_ul_per_kpa: float = within(0.001, 1000.0)
    greatest_suction_kpa: float = within(0.0, 99.0, above=True)


@dataclass(frozen=True)
class Line:
    """``[line]``: the tube between pump and outlet, and its liquid."""

    length_m: float = within(0.0, 20.0, above=True)
    inner_diameter_mm: float = within(0.05, 20.0)
    compliance_ul_per_kpa: float = within(0.001, 1000.0)
    viscosity_mpa_s: float = within(0.1, 1000.0)
    density_g_ml: float = within(0.5, 2.0)


@dataclass(frozen=True)
class Outlet:
    """``[outlet]``: the needle, and pressure and height at the line's end."""

    needle_gauge: int = within(min(NEEDLE_BORE_MM), max(NEEDLE_BORE_MM))
    needle_length_mm: float = within(0.0, 300.0)
    back_pressure_kpa: float = within(-100.0, 300.0)
    head_height_cm: float = within(-300.0, 300.0)


@dataclass(frozen=True)
class BalanceSpec:
    """``[balance]``: how often it is read and what its errors are."""

    sample_interval_s: float = within(0.01, 3600.0)
    initial_mass_g: float = within(0.0, 10000.0)
    resolution_mg: float = within(0.0, 1000.0)
    noise_mg: float = within(0.0, 1000.0)
    drift_mg_h: float = within(-1000.0, 1000.0)
    walk_mg_per_root_h: float = within(0.0, 1000.0)
    evaporation_mg_h: float = within(0.0, 10000.0)
    lag_s: float = within(0.0, 600.0)


@dataclass(frozen=True)
class Sensors:
    """``[sensors]``: which of the core's sensors are fitted, and how often they are read."""

    pressure: bool
    force: bool
    upstream: bool
    air: bool
    barrel: bool
    plunger: bool
    encoder: bool
    battery: bool
    rail: bool
    temperature: bool
    door: bool
    end_stop: bool
    interval_s: float = within(0.01, 60.0)


@dataclass(frozen=True)
class PressureSensor:
    """``[pressure_sensor]``: pressure in the line at the pump's outlet; ratiometric, 16 bits."""

    zero_raw: int = within(0, 65535)
    raw_per_kpa: float = within(0.0, 10000.0, above=True)
    offset_raw: float = within(-32768.0, 32768.0)
    noise_raw: float = within(0.0, 10000.0)
    drift_raw_per_h: float = within(-1000.0, 1000.0)
    drift_raw_per_k: float = within(-1000.0, 1000.0)


@dataclass(frozen=True)
class ForceSensor:
    """``[force_sensor]``: a load cell behind the pusher, and its HX711; 24 bits, signed."""

    zero_raw: int = within(-1000000, 1000000)
    raw_per_n: float = within(0.0, 1e6, above=True)
    offset_raw: float = within(-1e6, 1e6)
    noise_raw: float = within(0.0, 1e6)
    drift_raw_per_h: float = within(-1e6, 1e6)
    drift_raw_per_k: float = within(-1e6, 1e6)
    creep_percent: float = within(-5.0, 5.0)
    creep_min: float = within(0.0, 600.0, above=True)


@dataclass(frozen=True)
class UpstreamSensor:
    """``[upstream_sensor]``: pressure before the rollers, behind the supply's tube."""

    zero_raw: int = within(0, 65535)
    raw_per_kpa: float = within(0.0, 10000.0, above=True)
    offset_raw: float = within(-32768.0, 32768.0)
    noise_raw: float = within(0.0, 10000.0)
    drift_raw_per_h: float = within(-1000.0, 1000.0)
    drift_raw_per_k: float = within(-1000.0, 1000.0)
    resistance_pa_s_per_ul: float = within(0.0, 1000.0)


@dataclass(frozen=True)
class AirSensor:
    """``[air_sensor]``: a window on the tube; analog, or with two states."""

    digital: bool
    liquid_raw: int = within(0, 65535)
    air_raw: int = within(0, 65535)
    noise_raw: float = within(0.0, 10000.0)
    from_pump_ul: float = within(0.0, 10000.0)
    window_ul: float = within(0.0, 1000.0, above=True)


@dataclass(frozen=True)
class BarrelSensor:
    """``[barrel_sensor]``: how far the clamp is open.

    ``wall_mm`` = 0 is the wall that the pump expects (``micropump.mechanism.outer_um``);
    ``fitted_mm`` = 0 is the syringe that was ordered.
    """

    zero_raw: int = within(0, 65535)
    raw_per_mm: float = within(0.0, 10000.0, above=True)
    offset_raw: float = within(-32768.0, 32768.0)
    noise_raw: float = within(0.0, 10000.0)
    wall_mm: float = within(0.0, 10.0)
    fitted_mm: float = within(0.0, 60.0)


@dataclass(frozen=True)
class PositionSensor:
    """``[position_sensor]``: the plunger's travel that is left, as raw counts."""

    zero_raw: int = within(0, 65535)
    raw_per_mm: float = within(0.0, 10000.0, above=True)
    offset_raw: float = within(-32768.0, 32768.0)
    noise_raw: float = within(0.0, 10000.0)


@dataclass(frozen=True)
class Encoder:
    """``[encoder]``: the motor's angle in 4096ths, wrong by up to ``noise_counts`` either way."""

    noise_counts: int = within(0, 100)


@dataclass(frozen=True)
class Battery:
    """``[battery]``: three lithium cells behind a divider; off the mains they are discharged."""

    on_mains: bool
    capacity_mah: float = within(1.0, 1e6)
    charge_percent: float = within(0.0, 100.0)
    resistance_mohm: float = within(0.0, 10000.0)
    idle_ma: float = within(0.0, 10000.0)
    motor_ma: float = within(0.0, 10000.0)
    raw_per_v: float = within(0.0, 65535.0, above=True)
    noise_raw: float = within(0.0, 10000.0)


@dataclass(frozen=True)
class Rail:
    """``[rail]``: the motor's supply behind a divider."""

    supply_v: float = within(0.0, 60.0)
    raw_per_v: float = within(0.0, 65535.0, above=True)
    noise_raw: float = within(0.0, 10000.0)


@dataclass(frozen=True)
class Thermometer:
    """``[thermometer]``: the air in the pump; its motor warms it while it turns."""

    ambient_c: float = within(-40.0, 125.0)
    motor_rise_k: float = within(0.0, 100.0)
    lag_min: float = within(0.0, 600.0, above=True)
    zero_raw: int = within(0, 65535)
    raw_per_c: float = within(0.0, 10000.0, above=True)
    offset_raw: float = within(-32768.0, 32768.0)
    noise_raw: float = within(0.0, 10000.0)


@dataclass(frozen=True)
class Occlude:
    """Close the line's end at ``at_min`` (minutes of virtual time)."""

    at_min: float = within(0.0, 1e6)


@dataclass(frozen=True)
class Release:
    """Open the line's end at ``at_min`` (minutes of virtual time)."""

    at_min: float = within(0.0, 1e6)


@dataclass(frozen=True)
class SetBackPressure:
    """Set the pressure at the line's end, kPa gauge, at ``at_min``."""

    at_min: float = within(0.0, 1e6)
    kpa: float = within(-100.0, 300.0)


@dataclass(frozen=True)
class SetHeadHeight:
    """Set the height of the line's end above the pump, cm, at ``at_min``."""

    at_min: float = within(0.0, 1e6)
    cm: float = within(-300.0, 300.0)


@dataclass(frozen=True)
class SetInletHeight:
    """Set the height of a peristaltic pump's supply above the pump, cm, at ``at_min``."""

    at_min: float = within(0.0, 1e6)
    cm: float = within(-300.0, 300.0)


@dataclass(frozen=True)
class SetContent:
    """Let the container really hold ``ml`` at ``at_min``, whatever the pump was told."""

    at_min: float = within(0.0, 1e6)
    ml: float = within(0.0, 10000.0)


@dataclass(frozen=True)
class OpenInterlock:
    """Open the interlock at ``at_min``."""

    at_min: float = within(0.0, 1e6)


@dataclass(frozen=True)
class CloseInterlock:
    """Close the interlock at ``at_min``."""

    at_min: float = within(0.0, 1e6)


@dataclass(frozen=True)
class FailDriver:
    """Let the motor's driver report a fault from ``at_min`` on."""

    at_min: float = within(0.0, 1e6)


@dataclass(frozen=True)
class MendDriver:
    """Let the motor's driver report no fault any more from ``at_min`` on."""

    at_min: float = within(0.0, 1e6)


@dataclass(frozen=True)
class Narrow:
    """Let the open line resist ``times`` as much from ``at_min`` on; 1 mends it."""

    at_min: float = within(0.0, 1e6)
    times: float = within(1.0, 1e6)


@dataclass(frozen=True)
class Disconnect:
    """Take the line off the pump's outlet at ``at_min``."""

    at_min: float = within(0.0, 1e6)


@dataclass(frozen=True)
class Reconnect:
    """Put the line on again at ``at_min``."""

    at_min: float = within(0.0, 1e6)


@dataclass(frozen=True)
class ClampInlet:
    """Close the tube between a head and its supply at ``at_min``."""

    at_min: float = within(0.0, 1e6)


@dataclass(frozen=True)
class OpenInlet:
    """Open the tube between a head and its supply at ``at_min``."""

    at_min: float = within(0.0, 1e6)


@dataclass(frozen=True)
class RaisePump:
    """Move the pump up by ``cm`` at ``at_min``; all else stays where it is."""

    at_min: float = within(0.0, 1e6)
    cm: float = within(-300.0, 300.0)


@dataclass(frozen=True)
class StallMotor:
    """Let the motor stall at ``at_min``: steps are sent and not made."""

    at_min: float = within(0.0, 1e6)


@dataclass(frozen=True)
class FreeMotor:
    """Let a motor that stalled turn again at ``at_min``."""

    at_min: float = within(0.0, 1e6)


@dataclass(frozen=True)
class LoseSteps:
    """Let the motor lose ``steps`` microsteps from ``at_min`` on."""

    at_min: float = within(0.0, 1e6)
    steps: int = within(1, 10**9)


@dataclass(frozen=True)
class Bubble:
    """Let a bubble of ``ul`` enter the line at the pump's outlet at ``at_min``."""

    at_min: float = within(0.0, 1e6)
    ul: float = within(0.0, 100000.0, above=True)


@dataclass(frozen=True)
class AirRun:
    """Let nothing but air enter the line from ``at_min`` on."""

    at_min: float = within(0.0, 1e6)


@dataclass(frozen=True)
class EndAir:
    """Let liquid enter the line again at ``at_min``."""

    at_min: float = within(0.0, 1e6)


@dataclass(frozen=True)
class RemoveSyringe:
    """Take the syringe out of its clamp at ``at_min``."""

    at_min: float = within(0.0, 1e6)


@dataclass(frozen=True)
class PutSyringe:
    """Put a syringe ``outer_mm`` wide, of ``ml``, in at ``at_min``."""

    at_min: float = within(0.0, 1e6)
    outer_mm: float = within(0.0, 60.0, above=True)
    ml: float = within(0.0, 10000.0)


@dataclass(frozen=True)
class OpenDoor:
    """Open the door at ``at_min``."""

    at_min: float = within(0.0, 1e6)


@dataclass(frozen=True)
class CloseDoor:
    """Close the door at ``at_min``."""

    at_min: float = within(0.0, 1e6)


@dataclass(frozen=True)
class PressEndStop:
    """Press the end stop at ``at_min``."""

    at_min: float = within(0.0, 1e6)


@dataclass(frozen=True)
class ReleaseEndStop:
    """Release the end stop at ``at_min``."""

    at_min: float = within(0.0, 1e6)


@dataclass(frozen=True)
class UnplugMains:
    """Let the pump run on its battery from ``at_min`` on."""

    at_min: float = within(0.0, 1e6)


@dataclass(frozen=True)
class PlugMains:
    """Give the pump its mains again at ``at_min``."""

    at_min: float = within(0.0, 1e6)


@dataclass(frozen=True)
class SetCharge:
    """Let the battery hold ``percent`` of its charge at ``at_min``."""

    at_min: float = within(0.0, 1e6)
    percent: float = within(0.0, 100.0)


@dataclass(frozen=True)
class SagBattery:
    """Let the battery give ``mv`` less from ``at_min`` on; 0 mends it."""

    at_min: float = within(0.0, 1e6)
    mv: float = within(0.0, 20000.0)


@dataclass(frozen=True)
class SagRail:
    """Let the motor's supply give ``mv`` less from ``at_min`` on; 0 mends it."""

    at_min: float = within(0.0, 1e6)
    mv: float = within(0.0, 60000.0)


@dataclass(frozen=True)
class SetAmbient:
    """Let the air around the pump have ``celsius`` from ``at_min`` on."""

    at_min: float = within(0.0, 1e6)
    celsius: float = within(-40.0, 125.0)


@dataclass(frozen=True)
class OpenSensor:
    """Break the wire of ``sensor`` at ``at_min``."""

    at_min: float = within(0.0, 1e6)
    sensor: str = one_of(*SENSOR_NAMES)


@dataclass(frozen=True)
class ShortSensor:
    """Short ``sensor`` to its supply at ``at_min``."""

    at_min: float = within(0.0, 1e6)
    sensor: str = one_of(*SENSOR_NAMES)


@dataclass(frozen=True)
class StickSensor:
    """Let ``sensor`` read what it reads at ``at_min`` for ever."""

    at_min: float = within(0.0, 1e6)
    sensor: str = one_of(*SENSOR_NAMES)


@dataclass(frozen=True)
class DriftSensor:
    """Let ``sensor`` drift by ``raw_per_min`` from ``at_min`` on."""

    at_min: float = within(0.0, 1e6)
    sensor: str = one_of(*SENSOR_NAMES)
    raw_per_min: float = within(-1e7, 1e7)


@dataclass(frozen=True)
class NoisySensor:
    """Let ``sensor`` have ``raw`` more noise (standard deviation)."""

    at_min: float = within(0.0, 1e6)
    sensor: str = one_of(*SENSOR_NAMES)
    raw: float = within(0.0, 1e7)


@dataclass(frozen=True)
class UnplugSensor:
    """Pull the plug of ``sensor`` at ``at_min``."""

    at_min: float = within(0.0, 1e6)
    sensor: str = one_of(*SENSOR_NAMES)


@dataclass(frozen=True)
class SilenceSensor:
    """Let ``sensor`` give no samples from ``at_min`` on, and no reason."""

    at_min: float = within(0.0, 1e6)
    sensor: str = one_of(*SENSOR_NAMES)


@dataclass(frozen=True)
class MendSensor:
    """Let ``sensor`` be whole again at ``at_min``."""

    at_min: float = within(0.0, 1e6)
    sensor: str = one_of(*SENSOR_NAMES)


PlantEvent = (
    Occlude
    | Release
    | SetBackPressure
    | SetHeadHeight
    | SetInletHeight
    | SetContent
    | Narrow
    | Disconnect
    | Reconnect
    | ClampInlet
    | OpenInlet
    | RaisePump
)
InputEvent = OpenInterlock | CloseInterlock | FailDriver | MendDriver
MotorEvent = StallMotor | FreeMotor | LoseSteps
SupplyEvent = UnplugMains | PlugMains | SetCharge | SagBattery | SagRail
SensorEvent = (
    OpenSensor
    | ShortSensor
    | StickSensor
    | DriftSensor
    | NoisySensor
    | UnplugSensor
    | SilenceSensor
    | MendSensor
)
BayEvent = (
    Bubble
    | AirRun
    | EndAir
    | RemoveSyringe
    | PutSyringe
    | OpenDoor
    | CloseDoor
    | PressEndStop
    | ReleaseEndStop
    | SetAmbient
    | SupplyEvent
    | SensorEvent
)
BenchEvent = PlantEvent | InputEvent | MotorEvent | BayEvent

EVENTS: Mapping[str, type[BenchEvent]] = {
    "occlude": Occlude,
    "release": Release,
    "back_pressure": SetBackPressure,
    "head_height": SetHeadHeight,
    "inlet_height": SetInletHeight,
    "content": SetContent,
    "open_interlock": OpenInterlock,
    "close_interlock": CloseInterlock,
    "driver_fault": FailDriver,
    "driver_recovery": MendDriver,
    "narrow": Narrow,
    "disconnect": Disconnect,
    "reconnect": Reconnect,
    "clamp_inlet": ClampInlet,
    "open_inlet": OpenInlet,
    "raise_pump": RaisePump,
    "stall_motor": StallMotor,
    "free_motor": FreeMotor,
    "lose_steps": LoseSteps,
    "bubble": Bubble,
    "air_run": AirRun,
    "end_air": EndAir,
    "remove_syringe": RemoveSyringe,
    "put_syringe": PutSyringe,
    "open_door": OpenDoor,
    "close_door": CloseDoor,
    "press_end_stop": PressEndStop,
    "release_end_stop": ReleaseEndStop,
    "unplug_mains": UnplugMains,
    "plug_mains": PlugMains,
    "charge": SetCharge,
    "sag_battery": SagBattery,
    "sag_rail": SagRail,
    "ambient": SetAmbient,
    "sensor_open": OpenSensor,
    "sensor_short": ShortSensor,
    "sensor_stuck": StickSensor,
    "sensor_drift": DriftSensor,
    "sensor_noise": NoisySensor,
    "sensor_unplug": UnplugSensor,
    "sensor_silent": SilenceSensor,
    "sensor_mend": MendSensor,
}


@dataclass(frozen=True)
class Bench:
    """A virtual bench: everything that is not the ideal mechanism.

    Attributes:
        info: name and seed.
        purge: what was done before time zero.
        drive: the imperfections of the mechanism; its type is the bench's kind.
        plunger, plunger_sensor: for a syringe bench; None for a peristaltic one.
        line: the tube.
        outlet: what the tube ends in.
        balance: the balance under it.
        sensors: which sensors are fitted, and how often they are read.
        pressure_sensor, air_sensor, encoder, battery, rail, thermometer: what they are like.
        force_sensor, barrel_sensor, position_sensor: for a syringe bench; else None.
        upstream_sensor: for a peristaltic bench; else None.
        events: what happens in the course of a run, in order of time.

    """

    info: BenchInfo
    purge: Purge
    drive: SyringeDrive | Peristaltic
    plunger: Plunger | None
    plunger_sensor: PlungerSensor | None
    line: Line
    outlet: Outlet
    balance: BalanceSpec
    sensors: Sensors
    pressure_sensor: PressureSensor
    air_sensor: AirSensor
    encoder: Encoder
    battery: Battery
    rail: Rail
    thermometer: Thermometer
    force_sensor: ForceSensor | None = None
    barrel_sensor: BarrelSensor | None = None
    position_sensor: PositionSensor | None = None
    upstream_sensor: UpstreamSensor | None = None
    events: tuple[BenchEvent, ...] = ()

    @property
    def kind(self) -> Kind:
        """What mechanism the bench is for."""
        return "syringe" if isinstance(self.drive, SyringeDrive) else "peristaltic"


_COMMON: Mapping[str, type[Any]] = {
    "bench": BenchInfo,
    "purge": Purge,
    "line": Line,
    "outlet": Outlet,
    "balance": BalanceSpec,
    "sensors": Sensors,
    "pressure_sensor": PressureSensor,
    "air_sensor": AirSensor,
    "encoder": Encoder,
    "battery": Battery,
    "rail": Rail,
    "thermometer": Thermometer,
}
_SECTIONS: Mapping[Kind, Mapping[str, type[Any]]] = {
    "syringe": {
        **_COMMON,
        "syringe_drive": SyringeDrive,
        "plunger": Plunger,
        "plunger_sensor": PlungerSensor,
        "force_sensor": ForceSensor,
        "barrel_sensor": BarrelSensor,
        "position_sensor": PositionSensor,
    },
    "peristaltic": {
        **_COMMON,
        "peristaltic": Peristaltic,
        "upstream_sensor": UpstreamSensor,
    },
}
# What no other file has.
BENCH_SECTIONS = ("bench", "syringe_drive", "peristaltic")
# What only the other kind of bench can have.
_EVENTS_ELSEWHERE: Mapping[Kind, tuple[str, ...]] = {
    "syringe": ("inlet_height", "clamp_inlet", "open_inlet"),
    "peristaltic": ("remove_syringe", "put_syringe"),
}
_SENSORS_ELSEWHERE: Mapping[Kind, tuple[str, ...]] = {
    "syringe": ("upstream",),
    "peristaltic": ("force", "barrel", "plunger"),
}
_DRIVE_SECTION: Mapping[str, Kind] = {"syringe_drive": "syringe", "peristaltic": "peristaltic"}


def load_bench(path: str | Path) -> Bench:
    """Read a bench file.

    Args:
        path: a TOML file.

    Raises:
        BenchFileError: if it cannot be read, is not TOML, or anything in it is wrong.

    """
    return parse_bench(read_text(path, "bench file", BenchFileError), str(path))


def default_bench(kind: Kind) -> Bench:
    """Return the default bench of a kind: ``"syringe"`` (50 mL) or ``"peristaltic"``.

    Raises:
        ValueError: for any other kind.

    """
    return _bench(kind, _default_tables(kind), f"default {kind} bench")


def parse_bench(text: str, where: str) -> Bench:
    """Read a bench from the text of a bench file.

    Args:
        text: TOML.
        where: what to call it in an error.

    Raises:
        BenchFileError: if it is not TOML, or anything in it is wrong.

    """
    tables = parse_tables(text, where, BenchFileError)
    kind = _kind(tables, where)
    return _bench(kind, completed(tables, _default_tables(kind)), where)


def _default_tables(kind: Kind) -> dict[str, Any]:
    if kind not in KINDS:
        raise ValueError(f"no bench of kind {kind!r}; there are {', '.join(KINDS)}")
    source = resources.files("micropump_host.bench") / "benches" / f"{kind}.toml"
    return tomllib.loads(source.read_text(encoding="utf-8"))


def _kind(tables: Mapping[str, Any], where: str) -> Kind:
    found = [kind for section, kind in _DRIVE_SECTION.items() if section in tables]
    if len(found) == 1:
        return found[0]
    what = "both [syringe_drive] and [peristaltic]" if found else "no mechanism"
    hint = "" if found else _nearest_section(tables)
    raise BenchFileError(
        f"the bench has {what}{hint}",
        where,
        "Give exactly one of [syringe_drive] and [peristaltic]; it may be empty",
    )


def _nearest_section(tables: Mapping[str, Any]) -> str:
    for name in tables:
        close = difflib.get_close_matches(name, _DRIVE_SECTION, 1)
        if close:
            return f" ([{name}]: did you mean [{close[0]}]?)"
    return ""


def _bench(kind: Kind, tables: Mapping[str, Any], where: str) -> Bench:
    problems: list[str] = []
    sections = _SECTIONS[kind]
    for name in tables:
        if name not in sections and name != "event":
            problems.append(_unknown_section(name, kind))
    read: dict[str, Any] = {
        name: read_section(cls, tables[name], name, problems) for name, cls in sections.items()
    }
    events = _events(tables.get("event", []), kind, problems)
    if not problems:
        problems.extend(_contradictions(kind, read))
    if problems:
        raise BenchFileError(
            "; ".join(problems),
            where,
            "Mend what is listed; the default benches show every key with its unit",
        )
    return Bench(
        info=read["bench"],
        purge=read["purge"],
        drive=read["syringe_drive" if kind == "syringe" else "peristaltic"],
        plunger=read.get("plunger"),
        plunger_sensor=read.get("plunger_sensor"),
        line=read["line"],
        outlet=read["outlet"],
        balance=read["balance"],
        sensors=read["sensors"],
        pressure_sensor=read["pressure_sensor"],
        air_sensor=read["air_sensor"],
        encoder=read["encoder"],
        battery=read["battery"],
        rail=read["rail"],
        thermometer=read["thermometer"],
        force_sensor=read.get("force_sensor"),
        barrel_sensor=read.get("barrel_sensor"),
        position_sensor=read.get("position_sensor"),
        upstream_sensor=read.get("upstream_sensor"),
        events=tuple(sorted(events, key=lambda event: event.at_min)),
    )


def _unknown_section(name: str, kind: Kind) -> str:
    allowed = [*_SECTIONS[kind], "event"]
    if any(name in sections for sections in _SECTIONS.values()):
        return f"[{name}] does not belong to a {kind} bench"
    return f"unknown section [{name}]{suggestion(name, allowed)}"


def _contradictions(kind: Kind, read: Mapping[str, Any]) -> list[str]:
    problems = [
        f"[sensors] {name}: a {kind} bench has no place for it"
        for name in _SENSORS_ELSEWHERE[kind]
        if getattr(read["sensors"], name)
    ]
    plunger = read.get("plunger")
    if plunger is not None and plunger.static_friction_n <= plunger.kinetic_friction_n:
        problems.append("[plunger] static_friction_n must be above kinetic_friction_n")
    if read["air_sensor"].liquid_raw == read["air_sensor"].air_raw:
        problems.append("[air_sensor] air_raw must differ from liquid_raw")
    return problems


def _events(tables: Any, kind: Kind, problems: list[str]) -> list[BenchEvent]:
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        problems.append("events are written as [[event]] tables")
        return []
    events: list[BenchEvent] = []
    allowed = [name for name in EVENTS if name not in _EVENTS_ELSEWHERE[kind]]
    for number, table in enumerate(tables, 1):
        name = f"event {number}"
        do = table.get("do")
        if do not in allowed:
            what = "do is missing" if do is None else f"do = {do!r} is unknown"
            problems.append(f"[{name}] {what}{suggestion(str(do), allowed)}")
            continue
        rest = {key: value for key, value in table.items() if key != "do"}
        event = read_section(EVENTS[do], rest, name, problems)
        if event is not None:
            events.append(event)
    return events
