"""From the rows of a campaign to counts, limits and curves."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from statistics import median, quantiles
from typing import Any

from micropump import VERSION, detectors, monitor, occlusion
from micropump_host.evidence.campaign import DAYS, INJECTED, PROVOKED, WHOLE, Plan, Row
from micropump_host.evidence.cases import KINDS
from micropump_host.evidence.days import AIR_STANDS, AT_AMBIENT, TOLD_APART, counted_as
from micropump_host.evidence.limits import CONFIDENCE, rate, share
from micropump_host.evidence.sweeps import SWEEPS

# What there may be none of, among open lines and among what is done on purpose.
MUST_NOT = (
    "occlusion", "partial_occlusion", "upstream_occlusion", "air_bubble", "air_accumulated",
    "disconnected",
)  # fmt: skip
MUST = ("occlusion", "partial occlusion", "bubble", "air run", "air in all", "disconnection")
# Each curve's cases that have something to tell.
CURVE_KINDS = {
    "slope": ("occlusion",),
    "level": ("occlusion",),
    "disconnection": ("disconnection",),
    "suction": ("inlet clamped",),
    "air": ("bubble", "air run"),
    "bubble": ("bubble",),
    "stall": ("stall", "lost steps"),
}
RATE_BANDS_ML_H = ((0.5, 5.0), (5.0, 25.0), (25.0, 100.0), (100.0, 300.0))
_HOURS_PER_DAY = 24.0

Rows = dict[str, list[Row]]
Summary = dict[str, Any]


def summarise(plan: Plan, rows: Rows, of: str) -> Summary:
    """Counts and limits of a campaign of the firmware ``of``, as JSON can have them."""
    days = _of(rows, DAYS)
    injected = _of(rows, INJECTED)
    whole = _of(rows, WHOLE)
    summary: Summary = {
        "plan": asdict(plan),
        "firmware": VERSION,
        "digest": of,
        "confidence": CONFIDENCE,
        "configuration": configuration(),
        "days": _days(days),
        # Not of what an infusion is like: it fails nothing, and is looked at.
        "provoked": _days(_of(rows, PROVOKED)),
        "whole": _whole(whole),
        "injected": _injected(injected),
        "curves": _curves(days, injected),
    }
    summary["passed"] = not (
        summary["days"]["false"] or summary["whole"]["false"] or summary["injected"]["missed"]
        or summary["injected"]["false"]
    )  # fmt: skip
    return summary


def configuration() -> dict[str, float]:
    """The figures of the detectors that all of it holds for."""
    return {
        "slope_floor_pa": occlusion.SLOPE_FLOOR_PA,
        "slope_floor_pa_s_ul": occlusion.SLOPE_FLOOR_PA_S_UL,
        "slope_steady_percent": occlusion.SLOPE_STEADY_PERCENT,
        "least_compliance_nl_kpa": occlusion.LEAST_COMPLIANCE_NL_KPA,
        "greatest_compliance_nl_kpa": occlusion.GREATEST_COMPLIANCE_NL_KPA,
        "partial_margin_pa": occlusion.PARTIAL_MARGIN_PA,
        "partial_ms": occlusion.PARTIAL_MS,
        "disconnection_baseline_pa": occlusion.DISCONNECTION_BASELINE_PA,
        "disconnection_ambient_pa": occlusion.DISCONNECTION_AMBIENT_PA,
        "suction_limit_pa": occlusion.SUCTION_LIMIT_PA,
        "suction_fall_pa": occlusion.SUCTION_FALL_PA,
        "friction_mn": monitor.FRICTION_MN,
        "stick_slip_mn": monitor.STICK_SLIP_MN,
        "air_on_permille": detectors.AIR_ON_PERMILLE,
        "air_least_bubble_nl": detectors.AIR_LEAST_BUBBLE_NL,
        "stall_slack_counts": detectors.STALL_SLACK_COUNTS,
        "barrel_tolerance_um": detectors.BARREL_TOLERANCE_UM,
    }


def _of(rows: Rows, part: str) -> list[Row]:
    """The rows of a part, each with the seed that makes it again."""
    return [
        {"seed": f"{job}/{at}", **row}
        for job, job_rows in rows.items()
        if job.startswith(f"{part}/")
        for at, row in enumerate(job_rows)
    ]


def _rates(names: Iterable[str], days: float) -> Summary:
    counted = Counter(names)
    return {name: asdict(rate(counted[name], days)) for name in (*MUST_NOT, *sorted(counted))}


def _days(rows: list[Row]) -> Summary:
    days = sum(row["hours"] for row in rows) / _HOURS_PER_DAY
    alarms = [
        {**row, "alarm": found}
        for row in rows
        for found in row["found"]
        if found["counted_as"] not in TOLD_APART
    ]
    counted = [{found["counted_as"] for found in row["found"]} for row in rows]
    return {
        "device_days": days,
        "infusions": len(rows),
        "alarms": _rates([row["alarm"]["name"] for row in alarms], days),
        "false": [row for row in alarms if row["alarm"]["name"] in MUST_NOT],
        "others": [row for row in alarms if row["alarm"]["name"] not in MUST_NOT],
        **_told_apart(counted),
    }


def _whole(rows: list[Row]) -> Summary:
    days = sum(row["hours"] for row in rows) / _HOURS_PER_DAY
    names: list[str] = []
    false: list[Row] = []
    counted: list[set[str]] = []
    for row in rows:
        told = [counted_as(name, row["line_pa"], row["air_stands"]) for name in row["alarms"]]
        counted.append(set(told))
        for name in told:
            if name not in TOLD_APART:
                names.append(name)
                false.append(row)
    return {
        "device_days": days,
        "infusions": len(rows),
        "alarms": _rates(names, days),
        "false": false,
        **_told_apart(counted),
    }


def _told_apart(counted: list[set[str]]) -> Summary:
    """In how many infusions something was told that is really so, of what each was counted as."""
    return {
        key: asdict(share(sum(name in names for names in counted), len(counted)))
        for key, name in (
            ("infusions_at_ambient", AT_AMBIENT),
            ("infusions_with_standing_air", AIR_STANDS),
        )
    }


def _early(row: Row) -> list[Row]:
    """Alarms before anything was done, beside those that are told apart."""
    return [found for found in row["before"] if found["counted_as"] not in TOLD_APART]


def _injected(all_rows: list[Row]) -> Summary:
    # The alarm had been there before: there is nothing to be noticed any more.
    rows = [row for row in all_rows if not row["spoilt"]]
    counted = [row for row in rows if row["counts"]]
    kinds = {kind: _kind(kind, [row for row in rows if row["kind"] == kind]) for kind in KINDS}
    missed = [row for row in counted if row["found"] is None and row["kind"] in MUST]
    must = [row for row in counted if row["kind"] in MUST]
    # What is to be none and is one.
    false = [row for row in rows if row["kind"] == "bubbles below 50 µL" and row["found"]]
    false += [row for row in all_rows if any(found["name"] in MUST_NOT for found in _early(row))]
    return {
        "cases": len(counted),
        "spoilt": len(all_rows) - len(rows),
        "kinds": {kind: figures for kind, figures in kinds.items() if figures["cases"]},
        "missed": missed,
        "others_missed": [
            row for row in counted if row["found"] is None and row["kind"] not in MUST
        ],
        "missed_share": asdict(share(len(missed), len(must))),
        "false": false,
        "occlusions": _occlusions([row for row in counted if row["kind"] == "occlusion"]),
    }


def _kind(kind: str, rows: list[Row]) -> Summary:
    noticed = [row for row in rows if row["found"]]
    after_s = [row["after_s"] for row in noticed]
    return {
        "cases": len(rows),
        "noticed": asdict(share(len(noticed), len(rows))),
        "median_s": median(after_s) if after_s else None,
        "late_s": _late(after_s),
        "greatest_s": max(after_s, default=None),
        "greatest_part": max((row["after_s"] / row["within_s"] for row in noticed), default=None),
    }


def _late(after_s: list[float]) -> float | None:
    """That of nineteen in twenty."""
    return quantiles(after_s, n=20)[-1] if len(after_s) > 1 else None


def _occlusions(rows: list[Row]) -> list[Summary]:
    """By rate: how many are told by their slope, and how soon against the level alone."""
    bands: list[Summary] = []
    for least, greatest in RATE_BANDS_ML_H:
        band = [row for row in rows if row["found"] and least <= row["rate_ml_h"] < greatest]
        parts = [row["after_s"] / row["level_s"] for row in band]
        bands.append(
            {
                "from_ml_h": least,
                "to_ml_h": greatest,
                "cases": len(band),
                "by_slope": sum(row["by_slope"] for row in band),
                "median_part": median(parts) if parts else None,
                "median_s": median([row["after_s"] for row in band]) if band else None,
            }
        )
    return bands


def _curves(days: list[Row], injected: list[Row]) -> dict[str, Summary]:
    curves: dict[str, Summary] = {}
    for sweep in SWEEPS:
        open_bits = [row["sweeps"][sweep.name] for row in days if sweep.name in row["sweeps"]]
        case_bits = [
            row["sweeps"][sweep.name]
            for row in injected
            if sweep.name in row["sweeps"] and row["kind"] in CURVE_KINDS[sweep.name]
        ]
        curves[sweep.name] = {
            "title": sweep.title,
            "values": list(sweep.values),
            "chosen": sweep.chosen,
            "cases": len(case_bits),
            "open": len(open_bits),
            "found": _shares(case_bits, len(sweep.values)),
            "false": _shares(open_bits, len(sweep.values)),
        }
    return curves


def _shares(bits: list[int], places: int) -> list[dict[str, float]]:
    return [
        asdict(share(sum(bit >> place & 1 for bit in bits), len(bits))) for place in range(places)
    ]
