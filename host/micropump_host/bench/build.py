"""From a bench file and an ideal mechanism to a plant and a balance."""

import math
import random

from micropump_host.bench.balance import Balance, BalanceErrors
from micropump_host.bench.benchfile import (
    Bench,
    ClampInlet,
    Disconnect,
    Narrow,
    Occlude,
    OpenInlet,
    Peristaltic,
    PlantEvent,
    RaisePump,
    Reconnect,
    Release,
    SetBackPressure,
    SetContent,
    SetHeadHeight,
    SetInletHeight,
    SyringeDrive,
)
from micropump_host.bench.outlet import NEEDLE_BORE_MM, poiseuille_pa_s_per_ul
from micropump_host.bench.peristaltic import PeristalticImperfections, PeristalticPlant
from micropump_host.bench.plant import LineEnd, PeristalticGeometry, Plant, SyringeGeometry
from micropump_host.bench.sensor import PlungerSensor
from micropump_host.bench.syringe import SyringeImperfections, SyringePlant
from micropump_host.errors import MicropumpError

UL_PER_PA_PER_ML_BAR = 0.01
UL_PER_PA_PER_UL_KPA = 0.001


class BenchMismatchError(MicropumpError):
    """The bench is for one kind of mechanism and the pump has another."""


def build_plant(bench: Bench, geometry: SyringeGeometry | PeristalticGeometry) -> Plant:
    """Build the plant of a bench, purged if the bench says so, at time zero.

    Args:
        bench: the imperfections, the line and the seed.
        geometry: the ideal mechanism.

    Raises:
        BenchMismatchError: if the geometry is not of the bench's kind, or the screw's periodic
            error is too great for its lead.

    """
    plant: Plant
    if isinstance(bench.drive, SyringeDrive) and isinstance(geometry, SyringeGeometry):
        plant = _syringe_plant(bench, bench.drive, geometry)
    elif isinstance(bench.drive, Peristaltic) and isinstance(geometry, PeristalticGeometry):
        plant = _peristaltic_plant(bench, bench.drive, geometry)
    else:
        raise BenchMismatchError(
            f"a {bench.kind} bench cannot carry a {type(geometry).__name__}",
            f"bench {bench.info.name!r}",
            "Choose a bench file of the mechanism's kind",
        )
    if bench.purge.purged:
        plant.purge(
            bench.purge.volume_ml * 1000.0, bench.purge.rate_ml_h * 1000.0, bench.purge.rest_s
        )
    return plant


def build_balance(bench: Bench) -> Balance:
    """Build the balance of a bench at time zero; read it every ``sample_interval_s`` (s)."""
    spec = bench.balance
    return Balance(
        BalanceErrors(
            initial_mass_g=spec.initial_mass_g,
            density_g_ml=bench.line.density_g_ml,
            resolution_mg=spec.resolution_mg,
            noise_mg=spec.noise_mg,
            drift_mg_h=spec.drift_mg_h,
            walk_mg_per_root_h=spec.walk_mg_per_root_h,
            evaporation_mg_h=spec.evaporation_mg_h,
            lag_s=spec.lag_s,
        ),
        bench.info.seed,
    )


def build_plunger_sensor(
    bench: Bench, geometry: SyringeGeometry | PeristalticGeometry
) -> PlungerSensor | None:
    """Build the sensor at the plunger, or nothing where none is fitted."""
    spec = bench.plunger_sensor
    if spec is None or not spec.fitted or not isinstance(geometry, SyringeGeometry):
        return None
    return PlungerSensor(
        ul_per_um=math.pi / 4.0 * geometry.bore_mm**2 * 1e-3,
        resolution_um=spec.resolution_um,
        noise_um=spec.noise_um,
        interval_ms=round(spec.interval_s * 1000.0),
        seed=bench.info.seed,
    )


def change_container(
    plant: Plant,
    bench: Bench,
    geometry: SyringeGeometry | PeristalticGeometry,
    content_ul: float,
) -> None:
    """Put a container in, at the plant's present time, the way the bench puts its first one in.

    A syringe is one that the bench file's purge has, or has not, been done to before it was
    connected; the line stays closed meanwhile. A head stays as it is and gets another supply.

    Args:
        plant: of the bench.
        bench: says what is done to a syringe that is put in.
        geometry: the ideal mechanism.
        content_ul: what the container's mark says, µL.

    """
    if isinstance(plant, SyringePlant):
        fresh = build_plant(bench, geometry)
        assert isinstance(fresh, SyringePlant)
        plant.change_syringe(content_ul, fresh.drive_strain_ul)
    else:
        plant.fill(content_ul)


def apply_event(plant: Plant, event: PlantEvent) -> None:
    """Do to the plant, at its present time, what the event says; ``advance`` it there first.

    Raises:
        ValueError: for what is done to an inlet on a plant that has none.

    """
    match event:
        case Occlude():
            plant.occlude()
        case Release():
            plant.release()
        case SetBackPressure():
            plant.set_back_pressure(event.kpa * 1000.0)
        case SetHeadHeight():
            plant.set_head_height(event.cm / 100.0)
        case SetInletHeight():
            _with_inlet(plant).set_inlet_height(event.cm / 100.0)
        case SetContent():
            plant.fill(event.ml * 1000.0)
        case Narrow():
            plant.narrow(event.times)
        case Disconnect():
            plant.disconnect()
        case Reconnect():
            plant.reconnect()
        case RaisePump():
            plant.raise_pump(event.cm / 100.0)
        case ClampInlet():
            _with_inlet(plant).clamp_inlet()
        case OpenInlet():
            _with_inlet(plant).open_inlet()


def _with_inlet(plant: Plant) -> PeristalticPlant:
    if not isinstance(plant, PeristalticPlant):
        raise ValueError("only a peristaltic plant has an inlet")
    return plant


def line_end(bench: Bench) -> LineEnd:
    """Return the bench's line and outlet in the units of the plant."""
    line, outlet = bench.line, bench.outlet
    viscosity_pa_s = line.viscosity_mpa_s * 1e-3
    tube = poiseuille_pa_s_per_ul(line.length_m, line.inner_diameter_mm, viscosity_pa_s)
    needle = poiseuille_pa_s_per_ul(
        outlet.needle_length_mm * 1e-3, NEEDLE_BORE_MM[outlet.needle_gauge], viscosity_pa_s
    )
    return LineEnd(
        resistance_pa_s_per_ul=tube + needle,
        back_pressure_pa=outlet.back_pressure_kpa * 1000.0,
        head_height_m=outlet.head_height_cm / 100.0,
        density_g_ml=line.density_g_ml,
    )


def _phase(bench: Bench, source: str) -> float:
    """Return a phase of the bench's seed for one source of error, as a fraction of a turn."""
    return random.Random(f"{bench.info.seed}/{source}").random()


def _syringe_plant(bench: Bench, drive: SyringeDrive, geometry: SyringeGeometry) -> SyringePlant:
    plunger = bench.plunger
    assert plunger is not None, "a syringe bench has a plunger"
    imperfections = SyringeImperfections(
        bore_error_percent=drive.bore_error_percent,
        pitch_error_ppm=drive.pitch_error_ppm,
        periodic_error_um=drive.periodic_error_um,
        periodic_phase_rad=_phase(bench, "screw/phase") * math.tau,
        backlash_um=drive.backlash_um,
        screw_backlash_um=drive.screw_backlash_um,
        drive_stiffness_n_per_mm=drive.stiffness_n_per_mm,
        static_friction_n=plunger.static_friction_n,
        kinetic_friction_n=plunger.kinetic_friction_n,
        stick_speed_um_s=plunger.stick_speed_um_s,
        compliance_ul_per_pa=plunger.compliance_ml_per_bar * UL_PER_PA_PER_ML_BAR
        + bench.line.compliance_ul_per_kpa * UL_PER_PA_PER_UL_KPA,
    )
    try:
        return SyringePlant(geometry, imperfections, line_end(bench))
    except ValueError as error:
        raise BenchMismatchError(
            f"the bench does not fit the syringe drive: {error}",
            f"bench {bench.info.name!r}",
            "Lower periodic_error_um or choose a mechanism with a longer lead",
        ) from error


def _peristaltic_plant(
    bench: Bench, drive: Peristaltic, geometry: PeristalticGeometry
) -> PeristalticPlant:
    imperfections = PeristalticImperfections(
        volume_error_percent=drive.volume_error_percent,
        ripple_percent=drive.ripple_percent,
        rotor_error_percent=drive.rotor_error_percent,
        start_angle_rev=_phase(bench, "head/start"),
        rotor_phase_rad=_phase(bench, "head/phase") * math.tau,
        outlet_sensitivity_percent_per_kpa=drive.outlet_sensitivity_percent_per_kpa,
        inlet_sensitivity_percent_per_kpa=drive.inlet_sensitivity_percent_per_kpa,
        wear_percent_per_h=drive.wear_percent_per_h,
        inlet_height_m=drive.inlet_height_cm / 100.0,
        compliance_ul_per_pa=bench.line.compliance_ul_per_kpa * UL_PER_PA_PER_UL_KPA,
        inlet_compliance_ul_per_pa=drive.inlet_compliance_ul_per_kpa * UL_PER_PA_PER_UL_KPA,
        greatest_suction_pa=drive.greatest_suction_kpa * 1000.0,
    )
    return PeristalticPlant(geometry, imperfections, line_end(bench))
