"""What a pump answers: its figures by name, in the declared units."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from micropump import alarms, journal, library, prescription, sensing, therapy
from micropump.controller import RESET_CAUSES, STATE_NAMES, UNKNOWN_S
from micropump.mechanism import KIND_PERISTALTIC, KIND_SYRINGE
from micropump.program import CONTINUOUS, INTERMITTENT, PCA, PURGE, RAMP, STEPPED
from micropump.units import MILLION
from micropump_host.client import codec
from micropump_host.client.errors import missing_library, reason

KIND_NAMES = {KIND_SYRINGE: "syringe", KIND_PERISTALTIC: "peristaltic"}
THERAPY_NAMES = {
    CONTINUOUS: "continuous",
    INTERMITTENT: "intermittent",
    RAMP: "ramp",
    STEPPED: "stepped",
    PCA: "pca",
    PURGE: "purge",
}
# Of the core's kinds of limit, in their order.
LIMIT_NAMES = (
    "rate", "dose", "bolus", "demand", "loading", "duration", "daily", "lockout", "window_1h",
    "window_4h", "kvo",
)  # fmt: skip
LEVEL_NAMES = ("lower hard", "lower soft", "typical", "upper soft", "upper hard")
# Where a therapy stands to the drug library, in the core's order.
STANDINGS = (
    "not judged",
    "in the library",
    "no library",
    "drug not in the library",
    "care area not in the library",
    "drug not in this care area",
    "concentration not in the library",
)
OUTSIDE = "outside"
# By their numbers in the alarm table.
PRIORITIES = ("", "low", "medium", "high")
# Of the sensors, in the core's order.
SENSOR_UNITS = (
    "Pa", "mN", "Pa", "‰ air", "µm", "µm", "counts", "mV", "mV", "0.1 °C", "open", "pressed",
)  # fmt: skip


@dataclass(frozen=True)
class Info:
    """What a pump is. ``time_factor`` is 1 on a board, 0 for a simulation as fast as it goes."""

    firmware: str
    content: str
    interpreter: str
    ground: str
    board: str
    kind: str
    drive_id: str
    reset_cause: str
    time_factor: float
    state: str
    first_event: int
    next_event: int


@dataclass(frozen=True)
class Status:
    """What a pump is doing; volumes from counted microsteps, by their exact ratio.

    Attributes:
        state: one of ``micropump.controller.STATE_NAMES``.
        alarms: names of those that are set.
        program_id: names the program that is loaded; 0 without one.
        therapy: one of ``THERAPY_NAMES``; empty without a program.
        item_id: the syringe or head that the program is for.
        rate_ul_h: what flows now, boluses and demands included.
        remaining_s: to the last of the VTBI at the rates that now hold, delays and gaps included;
            None where nobody can know, as with a PCA without basal rate; 0 outside a therapy.
        phase: which of the program's phases is being delivered, from 0.
        doses: finished doses of an intermittent therapy.
        demands_made, demands_given: of a PCA's patient so far.
        lockout_left_s: for how long no demand is given for the lockout's sake.
        bolus_left_ul: what is still to come of a bolus and of a demand.
        drug_id: what flows, or is to flow; empty where the order named none.
        library: where it stands to the drug library, one of ``STANDINGS``.
        overrides: kinds of the soft limits that were overridden, and "outside" where the library
            itself was; until the end of the therapy.
        content_ul: what the container holds; 0 where nothing is drawn from one.
        content_left_s: how long it lasts at the present rate; None at none.
        vtbi_ul, target_steps: the VTBI.
        given_ul, given_steps: what counts towards it: the program's own flow, boluses and demands,
            and not a loading dose; of a purge, what was purged.
        infused_ul, infused_steps: the program's own flow.
        kvo_ul, kvo_steps: what kept the vein open.
        primed_ul, primed_steps: purged forwards.
        bolus_ul, bolus_steps: boluses and the loading dose.
        demand_ul, demand_steps: a patient's demands.
        secondary_ul, secondary_steps: from secondary containers.
        retracted_ul, retracted_steps: drawn back.
        sound, light: the priority that is sounded and shown: "", "low", "medium" or "high".
        audio_paused: whether a person has paused the sound.
        reminder_s: until a pause is reminded of; 0 outside a pause, or where it is time.
        nl_num, nl_den: nanolitres a microstep, as a ratio; 0 and 0 without a program.
        uptime_s: since the pump's controller was made.
        next_event: the number that the next entry of the log gets.

    """

    state: str
    alarms: tuple[str, ...]
    program_id: int
    therapy: str
    item_id: str
    rate_ul_h: int
    remaining_s: int | None
    phase: int
    doses: int
    demands_made: int
    demands_given: int
    lockout_left_s: int
    bolus_left_ul: int
    drug_id: str
    library: str
    overrides: tuple[str, ...]
    sound: str
    light: str
    audio_paused: bool
    reminder_s: int
    content_ul: int
    content_left_s: int | None
    vtbi_ul: float
    given_ul: float
    infused_ul: float
    kvo_ul: float
    primed_ul: float
    bolus_ul: float
    demand_ul: float
    secondary_ul: float
    retracted_ul: float
    target_steps: int
    given_steps: int
    infused_steps: int
    kvo_steps: int
    primed_steps: int
    bolus_steps: int
    demand_steps: int
    secondary_steps: int
    retracted_steps: int
    nl_num: int
    nl_den: int
    uptime_s: float
    next_event: int


@dataclass(frozen=True)
class Finding:
    """One figure that is beyond a soft limit.

    Attributes:
        kind: one of ``LIMIT_NAMES``.
        level: one of ``LEVEL_NAMES``.
        value, bound: the figure, and the greatest or least that is within the limit.
        unit: of both: "µL/h", "µL" or "s".

    """

    kind: str
    level: str
    value: int
    bound: int
    unit: str

    def __str__(self) -> str:
        """As "rate 20,000 µL/h is beyond the upper soft limit, 15,000 µL/h"."""
        return (
            f"{self.kind} {self.value:,} {self.unit} is beyond the {self.level} limit,"
            f" {self.bound:,} {self.unit}"
        )


@dataclass(frozen=True)
class LibraryInfo:
    """The drug library of a pump.

    Attributes:
        missing: why there is none; empty where there is one, and only then the rest is told.
        has_key: whether the pump knows what libraries are signed with.
        version, library_id, library_name: as in its source.
        size_bytes: of its image.
        drugs: how many it has.
        sha256: of its image, in hexadecimal digits.
        received_bytes: of an image that is being taken.
        capacity_bytes: the largest image that fits.

    """

    missing: str
    has_key: bool
    version: int
    size_bytes: int
    library_id: str
    library_name: str
    drugs: int
    sha256: str
    received_bytes: int
    capacity_bytes: int


@dataclass(frozen=True)
class Prediction:
    """What an occlusion would do to the program that is loaded, at its greatest rate.

    All of it for the least and for the greatest compliance that syringe and line may have; 0 where
    the pump cannot tell.

    Attributes:
        level_pa: the pressure limit.
        slope_rise_pa: the rise at which its slope tells a closed line.
        least_level_ms, greatest_level_ms: from a closed line to the limit.
        least_slope_ms, greatest_slope_ms: to the alarm by the slope.
        least_bolus_nl, greatest_bolus_nl: what the line holds at the earlier of the two, and would
            release if it were not drawn back.

    """

    level_pa: int
    slope_rise_pa: int
    least_level_ms: int
    greatest_level_ms: int
    least_slope_ms: int
    greatest_slope_ms: int
    least_bolus_nl: int
    greatest_bolus_nl: int


@dataclass(frozen=True)
class Settings:
    """What a person has chosen about the pump's alarms, until it is reset.

    Attributes:
        restarts: how often within any 10 min it starts again by itself after an occlusion.
        occlusion_level: 1 to 9, or 0 for the drug library's limit, or else the pump's own.
        near_end_min: how long before its end an infusion says so, min; 0 not at all.

    """

    restarts: int
    occlusion_level: int
    near_end_min: int


@dataclass(frozen=True)
class SensorValue:
    """What a sensor reads: its name, the last value that could be, its unit, its fault or ""."""

    name: str
    value: int
    unit: str
    fault: str


@dataclass(frozen=True)
class Accepted:
    """How the pump understood a program; of a secondary infusion, that alone.

    Attributes:
        program_id: names it, for ``start``.
        warnings: what whoever starts it should know, in sentences without a full stop.
        rate_ul_h: the rate that the therapy begins with; 0 for a PCA without basal rate.
        peak_ul_h: the greatest rate that it comes to, demands included.
        vtbi_ul: the volume to be infused.
        duration_s: to the last of the VTBI, delays and gaps included.
        kvo_ul_h: the keep-open rate, 0 where there will be none.
        least_rate_ul_h: the least recommended for the mechanism.
        nl_num, nl_den: nanolitres a microstep, as a ratio.
        library: where it stands to the drug library, one of ``STANDINGS``.
        findings: the soft limits that it is beyond.
        asks: what has to be overridden for it to start, for ``start``; 0 for nothing.

    """

    program_id: int
    warnings: tuple[str, ...]
    rate_ul_h: int
    peak_ul_h: int
    vtbi_ul: int
    duration_s: int
    kvo_ul_h: int
    least_rate_ul_h: int
    nl_num: int
    nl_den: int
    library: str
    findings: tuple[Finding, ...]
    asks: int


@dataclass(frozen=True)
class Event:
    """An entry of the pump's log."""

    number: int
    uptime_s: float
    code: int
    name: str
    a: int
    b: int
    text: str


def info_of(values: dict[str, Any]) -> Info:
    """What a pump is, from the fields of the message."""
    known = {name: values[name] for name in values if name in Info.__dataclass_fields__}
    known["kind"] = KIND_NAMES[values["kind"]]
    known["state"] = STATE_NAMES[values["state"]]
    known["reset_cause"] = RESET_CAUSES[min(values["reset_cause"], len(RESET_CAUSES) - 1)]
    return Info(**known, time_factor=values["time_x1000"] / 1000)


def status_of(values: dict[str, Any]) -> Status:
    """What a pump is doing, from the fields of the message."""
    steps = {
        name.removesuffix("_millions"): _steps(values, name.removesuffix("_millions"))
        for name in values
        if name.endswith("_millions")
    }
    kind = values["therapy"]
    if kind == PURGE:
        steps["given"] = steps["primed"] + steps["retracted"]
    volumes_ul = {name: _volume_ul(values, count) for name, count in steps.items()}
    bits = values["active_alarms"]
    return Status(
        state=STATE_NAMES[values["state"]],
        alarms=tuple(row[1] for row in alarms.ALARMS if bits >> row[0] & 1),
        program_id=values["program_id"],
        therapy=THERAPY_NAMES.get(kind, ""),
        item_id=values["item_id"],
        rate_ul_h=values["rate_ul_h"],
        remaining_s=_known_s(values["remaining_s"]),
        phase=values["phase"],
        doses=values["doses"],
        demands_made=values["demands_made"],
        demands_given=values["demands_given"],
        lockout_left_s=values["lockout_left_s"],
        bolus_left_ul=values["bolus_left_ul"],
        drug_id=values["drug_id"],
        library=STANDINGS[values["library"]],
        overrides=override_names(values["overrides"]),
        sound=PRIORITIES[values["sound"]],
        light=PRIORITIES[values["light"]],
        audio_paused=bool(values["audio_paused"]),
        reminder_s=values["reminder_s"],
        content_ul=values["content_ul"],
        content_left_s=_known_s(values["content_left_s"]),
        vtbi_ul=volumes_ul["target"],
        given_ul=volumes_ul["given"],
        infused_ul=volumes_ul["infused"],
        kvo_ul=volumes_ul["kvo"],
        primed_ul=volumes_ul["primed"],
        bolus_ul=volumes_ul["bolus"],
        demand_ul=volumes_ul["demand"],
        secondary_ul=volumes_ul["secondary"],
        retracted_ul=volumes_ul["retracted"],
        target_steps=steps["target"],
        given_steps=steps["given"],
        infused_steps=steps["infused"],
        kvo_steps=steps["kvo"],
        primed_steps=steps["primed"],
        bolus_steps=steps["bolus"],
        demand_steps=steps["demand"],
        secondary_steps=steps["secondary"],
        retracted_steps=steps["retracted"],
        nl_num=values["nl_num"],
        nl_den=values["nl_den"],
        uptime_s=values["uptime_s"] + values["uptime_ms"] / 1000,
        next_event=values["next_event"],
    )


def _volume_ul(values: dict[str, Any], steps: int) -> float:
    if not values["nl_den"]:
        return 0.0
    return steps * int(values["nl_num"]) / (int(values["nl_den"]) * 1000)


def _steps(values: dict[str, Any], name: str) -> int:
    return int(values[f"{name}_millions"]) * MILLION + int(values[f"{name}_rest"])


def _known_s(seconds: int) -> int | None:
    return None if seconds == UNKNOWN_S else seconds


_WARNINGS = {
    therapy.WARN_BELOW_LEAST_RATE: "the rate is below the least recommended for this mechanism",
    therapy.WARN_KVO_BELOW_LEAST_RATE: "the KVO rate is below the least recommended",
    therapy.WARN_RATE_ROUNDED: "the rate for this time was rounded to a whole µL/h",
    therapy.WARN_SEVERAL_CONTAINERS: "it takes several containers: they have to be changed on the"
    " way",
}


def accepted_of(values: dict[str, Any]) -> Accepted:
    """How a program was understood, from the fields of the message."""
    bits = values["warnings"]
    texts = tuple(text for bit, text in _WARNINGS.items() if bits & bit)
    standing = values["library"]
    asks = prescription.bits_of(values["findings"])
    if standing > prescription.OUTSIDE:
        asks |= 1 << prescription.OUTSIDE_BIT
    own = {
        "warnings": texts,
        "library": STANDINGS[standing],
        "findings": tuple(finding_of(*record) for record in values["findings"]),
        "asks": asks,
    }
    return Accepted(**{**values, **own})


def finding_of(kind: int, level: int, _field: int, value: int, bound: int) -> Finding:
    """A finding of ``micropump.governor`` by its names."""
    return Finding(LIMIT_NAMES[kind], LEVEL_NAMES[level], value, bound, unit_of(kind))


def unit_of(kind: int) -> str:
    """The unit in which the pump counts what a kind of limit is about."""
    if kind in (library.RATE, library.KVO):
        return "µL/h"
    return "s" if kind in (library.DURATION, library.LOCKOUT) else "µL"


def override_names(bits: int) -> tuple[str, ...]:
    """Names of the kinds of limit in bits; ``OUTSIDE`` for the library itself."""
    names = tuple(name for kind, name in enumerate(LIMIT_NAMES) if bits >> kind & 1)
    return (*names, OUTSIDE) if bits >> prescription.OUTSIDE_BIT & 1 else names


def sensor_of(sensor: int, fault: int, value: int) -> SensorValue:
    """A sensor by its names."""
    return SensorValue(
        sensing.SENSOR_NAMES[sensor], value, SENSOR_UNITS[sensor], sensing.FAULT_NAMES[fault]
    )


def library_of(values: dict[str, Any]) -> LibraryInfo:
    """The drug library of a pump, from the fields of the message."""
    own = {
        "missing": missing_library(values["missing"]),
        "has_key": bool(values["has_key"]),
        "sha256": values["sha256"].hex(),
    }
    return LibraryInfo(**{**values, **own})


def event_of(record: tuple[int, int, int, int, int, int, str]) -> Event:
    """An entry of the log, in words."""
    number, uptime_s, uptime_ms, code, a, b, named = record
    known = {row[0]: row for row in journal.EVENTS}
    _, name, a_is, b_is = known.get(code, (code, f"event {code}", "a", "b"))
    return Event(
        number,
        uptime_s + uptime_ms / 1000,
        code,
        name,
        a,
        b,
        ", ".join(text for text in (named, _describe(code, a, b, a_is, b_is)) if text),
    )


def _describe(code: int, a: int, b: int, a_is: str, b_is: str) -> str:
    if code in (journal.ALARM_RAISED, journal.ALARM_ENDED):
        return next((row[1] for row in alarms.ALARMS if row[0] == a), f"alarm {a}")
    if code in _TOLD:
        return _TOLD[code](a, b)
    if a_is == "million steps":
        return f"{a * MILLION + b:,} steps"
    return ", ".join(f"{what} {value:,}" for what, value in ((a_is, a), (b_is, b)) if what)


def _overridden(kind: int, level: int, value: int) -> str:
    if kind == prescription.OUTSIDE_BIT:
        return STANDINGS[value]
    return f"{LIMIT_NAMES[kind]}, {LEVEL_NAMES[level]}: {value:,} {unit_of(kind)}"


# Events whose figures are told in words.
_TOLD: dict[int, Callable[[int, int], str]] = {
    journal.REFUSED: lambda message, code: f"{codec.NAMES.get(message, message)}: {reason(code)}",
    journal.DEMAND_REFUSED: lambda code, number: f"demand {number:,}: {reason(code)}",
    journal.OVERRIDDEN: lambda limit, value: _overridden(limit >> 8, limit & 0xFF, value),
    journal.OUTSIDE_LIBRARY: lambda standing, _: STANDINGS[standing],
    journal.LIBRARY_REFUSED: lambda code, _: reason(code),
    journal.SENSOR_FAILED: lambda sensor, kind: (
        f"{sensing.SENSOR_NAMES[sensor]}: {sensing.FAULT_NAMES[kind]}"
    ),
    journal.LIBRARY_MISSING: lambda code, _: missing_library(code),
}
