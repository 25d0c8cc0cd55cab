"""The programs that an order can ask for: their keys, and the fields of their messages.

A program's reader goes through the keys of [therapy] once and returns the fields that its message
has beside the setup. A figure that is wrong is 0 from there on, so that the rest is still read and
everything that is wrong is told at once.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from micropump import program
from micropump.units import GREATEST_VTBI_UL
from micropump_host.orders.reader import Fields, TherapyReader
from micropump_host.reading.dosage import rounded
from micropump_host.reading.quantity import duration_text, exact_text, rate_text, volume_text
from micropump_host.reading.tables import Table

CLOCK_NOT_TOLD = 86_400
GREATEST_DOSES = 1000
GREATEST_STEPS = 28
GREATEST_TIMES = 8
GREATEST_LIMITS = 2

# What a demand dose flows at where the order does not say it: the rate during a bolus that the
# Curlin 4000 presets for the intravenous route (user's manual, figure 5.1).
DEMAND_UL_H = 125_000

_S_PER_DAY = 86_400
_TIME_OF_DAY = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")


def _continuous(reader: TherapyReader) -> Fields:
    vtbi_ul = reader.vtbi_ul()
    rate_ul_h, duration_s = reader.rate_or_time(vtbi_ul)
    return {
        "rate_ul_h": rate_ul_h,
        "vtbi_ul": vtbi_ul,
        "duration_s": duration_s,
        **reader.loading(),
    }


def _intermittent(reader: TherapyReader) -> Fields:
    table = reader.table
    table.required("dose", '"1 g"')
    dose_ul = reader.volume_ul("dose", '"1 g"')
    rate_ul_h, duration_s = reader.rate_or_time(dose_ul)
    key = table.either(
        ("every", "at"),
        "doses are given every so often or at times of the day",
        'every = "8 h", or at = ["08:00", "20:00"]',
    )
    interval_s = reader.duration_s("every", '"8 h"')
    times = _times(reader)
    # What the time for all doses is counted in.
    span_s = interval_s if key == "every" else _S_PER_DAY
    return {
        "dose_ul": dose_ul,
        "rate_ul_h": rate_ul_h,
        "duration_s": duration_s,
        "interval_s": interval_s,
        "doses": _doses(reader, span_s, 1 if key == "every" else len(times)),
        "times": times,
        "clock_s": CLOCK_NOT_TOLD,
    }


def _times(reader: TherapyReader) -> list[tuple[int, ...]]:
    """Return the times of day, in minutes and as the wire's records, from the earliest on."""
    example = '["08:00", "20:00"]'
    texts = reader.table.texts("at", example)
    minutes: list[int] = []
    for text in texts:
        time_of_day = _TIME_OF_DAY.fullmatch(text)
        if time_of_day is None:
            what = f'"{text}" is no time of day'
            reader.table.add("at", what, f"Write 00:00 to 23:59, like at = {example}")
            continue
        minute = int(time_of_day[1]) * 60 + int(time_of_day[2])
        if minute in minutes:
            reader.table.add("at", f'"{text}" is there twice', "Write each time of day once")
        minutes.append(minute)
    if len(texts) > GREATEST_TIMES:
        what = f"{len(texts)} times of day are more than the {GREATEST_TIMES} that a pump keeps"
        reader.table.add("at", what, "Leave some out, or write every")
    return [(minute,) for minute in sorted(minutes)]


def _doses(reader: TherapyReader, span_s: int, doses_a_span: int) -> int:
    """Return how many doses there are, told by their count or by the time for all of them."""
    table = reader.table
    table.either(
        ("count", "for"), "a number of doses or a time for all", 'count = 12, or for = "96 h"'
    )
    if not table.given("for"):
        return table.number("count", 1, GREATEST_DOSES, 1)
    total_s = reader.duration_s("for", '"96 h"')
    if not total_s or not span_s or not doses_a_span:
        return 1
    spans, rest_s = divmod(total_s, span_s)
    if rest_s or not spans:
        nearest = " or ".join(f'"{duration_text(n * span_s)}"' for n in (spans, spans + 1) if n)
        what = f"{duration_text(total_s)} is no whole number of {duration_text(span_s)}"
        table.add("for", what, f"Write for = {nearest}, or count")
        return 1
    doses = spans * doses_a_span
    times = f" × {doses_a_span}" if doses_a_span > 1 else ""
    reader.note(
        "count", f"{duration_text(total_s)} / {duration_text(span_s)}{times} = {doses} doses"
    )
    if doses > GREATEST_DOSES:
        table.add("for", f"{doses} doses are more than {GREATEST_DOSES}", "Order a shorter time")
        return 1
    return doses


def _ramp(reader: TherapyReader) -> Fields:
    table = reader.table
    vtbi_ul = reader.vtbi_ul()
    table.required("time", '"12 h"')
    duration_s = reader.duration_s("time", '"12 h"')
    if not table.given("up") and not table.given("down"):
        table.add("up", "a ramp goes up, down or both; there is neither", 'Write up = "1 h"')
    up_s, down_s = reader.duration_s("up", '"1 h"'), reader.duration_s("down", '"1 h"')
    if duration_s and up_s + down_s > duration_s:
        what = (
            f"{duration_text(up_s)} up and {duration_text(down_s)} down are longer than the "
            f"{duration_text(duration_s)} of the whole"
        )
        table.add("up" if table.given("up") else "down", what, "Shorten them, or take more time")
    elif vtbi_ul and duration_s:
        plateau_s = duration_s - Fraction(up_s + down_s, 2)
        _, result = rounded(vtbi_ul * 3600 / plateau_s, is_rate=True)
        reader.note(
            "plateau",
            f"{volume_text(vtbi_ul)} / ({duration_text(duration_s)} - ({duration_text(up_s)} + "
            f"{duration_text(down_s)}) / 2) = {result}",
        )
    return {"vtbi_ul": vtbi_ul, "duration_s": duration_s, "up_s": up_s, "down_s": down_s}


Step = tuple[int, ...]

# What of a stepped program's keys goes with which way of telling its steps.
_STEPPED_KEYS = {"step": (), "escalate": ("each",), "profile": ("time",)}
_TPN_STEPPED = "tpn-stepped"


def _stepped(reader: TherapyReader) -> Fields:
    table = reader.table
    form = table.either(
        tuple(_STEPPED_KEYS),
        "steps are told by [[therapy.step]], by escalate or by a profile",
        '[[therapy.step]] with rate = "5 mL/h" and time = "30 min"',
    )
    for other, keys in _STEPPED_KEYS.items():
        for key in keys:
            if other != form and table.given(form) and table.given(key):
                table.add(key, f"this goes with {other}, not with {form}", "Leave it out")
    vtbi_ul = reader.vtbi_ul(optional=form == "step")
    steps = {"step": _steps, "escalate": _escalation, "profile": _profile}[form](reader, vtbi_ul)
    return {"vtbi_ul": vtbi_ul, "steps": steps}


def _steps(reader: TherapyReader, vtbi_ul: int) -> list[Step]:
    keys = ("rate", "volume", "time")
    steps: list[Step] = []
    tables = reader.table.entries("step", keys, '[{ rate = "5 mL/h", time = "30 min" }]')
    for table in tables:
        table.required("rate", '"5 mL/h"')
        table.either(
            ("volume", "time"), "a step takes either a volume or a time", 'time = "30 min"'
        )
        steps.append(_step(reader, table))
    _check_count(reader, "step", len(steps))
    is_whole = all(rate_ul_h and (volume_ul or time_s) for rate_ul_h, volume_ul, time_s in steps)
    sum_ul = sum((_step_ul(step) for step in steps), Fraction(0))
    if vtbi_ul and steps and is_whole and abs(sum_ul - vtbi_ul) > len(steps):
        what = f"the steps sum to {exact_text(sum_ul / 1000)} mL and not to {volume_text(vtbi_ul)}"
        key = "dose" if reader.table.given("dose") else "vtbi"
        reader.table.add(key, what, "Mend a step, or leave the VTBI to the steps")
    return steps


def _step(reader: TherapyReader, table: Table) -> Step:
    """Return one step; by its volume where its time is at a rate that had to be rounded.

    So the step's dose is as ordered, and its time off by what the rate is.
    """
    rate = reader.rate(table, "rate", '"5 mL/h"')
    volume_ul = reader.volume_ul("volume", '"10 mL"', table)
    duration_s = reader.duration_s("time", '"30 min"', table)
    if duration_s and rate.exact != rate.count:
        volume_ul, result = rounded(rate.exact * duration_s / 3600, is_rate=False)
        written = f"{exact_text(rate.exact / 1000)} mL/h × {duration_text(duration_s)}"
        reader.note(f"{table.name.partition('.')[2]} volume", f"{written} = {result}")
        duration_s = 0
    return rate.count, volume_ul, duration_s


def _step_ul(step: Step) -> Fraction:
    rate_ul_h, volume_ul, duration_s = step
    return Fraction(volume_ul) if volume_ul else Fraction(rate_ul_h * duration_s, 3600)


def _check_count(reader: TherapyReader, key: str, count: int) -> None:
    if count > GREATEST_STEPS:
        what = f"{count} steps are more than the {GREATEST_STEPS} that a program has"
        reader.table.add(key, what, "Leave some out, or make two orders of it")


def _escalation(reader: TherapyReader, vtbi_ul: int) -> list[Step]:
    """Return a step of equal time at each rate, the last of them until the VTBI is in."""
    table = reader.table
    texts = table.texts("escalate", '["0.5 mL/kg/h", "1 mL/kg/h"]')
    table.required("each", '"30 min"')
    each_s = reader.duration_s("each", '"30 min"')
    rates_ul_h: list[int] = []
    for text in texts:
        figure = reader.read_rate("escalate", text)
        if figure.arithmetic:
            reader.note("escalate", figure.arithmetic)
        rates_ul_h.append(figure.count)
    _check_count(reader, "escalate", len(rates_ul_h))
    if not (vtbi_ul and each_s and all(rates_ul_h)):
        return []
    left_ul = Fraction(vtbi_ul)
    steps: list[Step] = []
    for place, rate_ul_h in enumerate(rates_ul_h, 1):
        step_ul = Fraction(rate_ul_h * each_s, 3600)
        if place == len(rates_ul_h) or step_ul >= left_ul:
            steps.append((rate_ul_h, max(1, round(left_ul)), 0))
            break
        steps.append((rate_ul_h, 0, each_s))
        left_ul -= step_ul
    if len(steps) < len(rates_ul_h):
        reader.remarks.append(
            f"the VTBI of {volume_text(vtbi_ul)} is in before {rate_text(rates_ul_h[len(steps)])} "
            "is reached"
        )
    return steps


def _profile(reader: TherapyReader, vtbi_ul: int) -> list[Step]:
    """Return the steps of stepped parenteral nutrition: F, 2F, 4F, 2F, F, an hour at the ends.

    The volume is V = F + 2F + 4F (T - 4) + 2F + F with T in hours, hence F = V / (4T - 10).
    """
    table = reader.table
    profile = table.text("profile", f'"{_TPN_STEPPED}"')
    if table.is_text("profile") and profile != _TPN_STEPPED:
        table.add("profile", f'there is no profile "{profile}"', f'Write "{_TPN_STEPPED}"')
    table.required("time", '"12 h"')
    duration_s = reader.duration_s("time", '"12 h"')
    if duration_s and duration_s <= 4 * 3600:
        what = f"{duration_text(duration_s)} leaves no time for 4F after two hours up and two down"
        table.add("time", what, "Take more than 4 h")
    if not vtbi_ul or duration_s <= 4 * 3600:
        return []
    hours = Fraction(duration_s, 3600)
    exact_ul_h = vtbi_ul / (4 * hours - 10)
    rates_ul_h = []
    for times in (1, 2, 4):
        rate_ul_h, result = rounded(times * exact_ul_h, is_rate=True)
        rates_ul_h.append(rate_ul_h)
        name = f"{times if times > 1 else ''}F"
        way = "" if times == 1 else f"{times} × "
        reader.note(
            name, f"{way}{volume_text(vtbi_ul)} / (4 × {exact_text(hours)} h - 10 h) = {result}"
        )
    once, twice, four_times = rates_ul_h
    # An hour's volume in µL is the rate in µL/h; what rounding leaves over goes into the plateau.
    plateau_ul = vtbi_ul - 2 * (once + twice)
    return [
        (once, once, 0),
        (twice, twice, 0),
        (four_times, plateau_ul, 0),
        (twice, twice, 0),
        (once, once, 0),
    ]


def _pca(reader: TherapyReader) -> Fields:
    table = reader.table
    basal_ul_h = reader.rate_ul_h("basal", '"1 mg/h"')
    table.required("demand", '"1 mg"')
    demand_ul = reader.volume_ul("demand", '"1 mg"')
    demand_ul_h = reader.rate_ul_h("demand_rate", '"125 mL/h"')
    if not table.given("demand_rate"):
        demand_ul_h = DEMAND_UL_H
        reader.note("demand_rate", f"{rate_text(DEMAND_UL_H)}, as the order tells none")
    table.required("lockout", '"6 min"')
    lockout_s = reader.duration_s("lockout", '"6 min"')
    (window_1_s, limit_1_ul), (window_2_s, limit_2_ul) = _limits(reader)
    loading = reader.loading(default_ul_h=demand_ul_h)
    vtbi_ul = reader.volume_ul("vtbi", '"50 mL"')
    if not table.given("vtbi"):
        vtbi_ul = max(0, reader.contents_ul - loading["loading_ul"])
        vtbi_ul = min(GREATEST_VTBI_UL, vtbi_ul)
    return {
        "vtbi_ul": vtbi_ul,
        "rate_ul_h": basal_ul_h,
        "demand_ul": demand_ul,
        "demand_ul_h": demand_ul_h,
        "lockout_s": lockout_s,
        "window_1_s": window_1_s,
        "limit_1_ul": limit_1_ul,
        "window_2_s": window_2_s,
        "limit_2_ul": limit_2_ul,
        **loading,
    }


def _limits(reader: TherapyReader) -> list[tuple[int, int]]:
    """Return two windows in s with their limits in µL, those that are not ordered as 0, 0."""
    example = '[{ within = "1 h", most = "10 mg" }]'
    tables = reader.table.entries("limits", ("within", "most"), example)
    limits: list[tuple[int, int]] = []
    for table in tables:
        table.required("within", '"1 h"')
        table.required("most", '"10 mg"')
        window_s = reader.duration_s("within", '"1 h"', table)
        if window_s and window_s in [window for window, _ in limits]:
            what = f"there is a limit within {duration_text(window_s)} already"
            table.add("within", what, "Keep the lower one")
        limits.append((window_s, reader.volume_ul("most", '"10 mg"', table)))
    if len(limits) > GREATEST_LIMITS:
        what = f"{len(limits)} limits are more than the {GREATEST_LIMITS} that a pump keeps"
        reader.table.add("limits", what, "Leave some out")
    return (limits + [(0, 0)] * GREATEST_LIMITS)[:GREATEST_LIMITS]


def _purge(reader: TherapyReader) -> Fields:
    reader.table.required("volume", '"2 mL"')
    reader.table.required("rate", '"300 mL/h"')
    return {
        "volume_ul": reader.volume_ul("volume", '"2 mL"'),
        "rate_ul_h": reader.rate_ul_h("rate", '"300 mL/h"'),
        "reverse": 0,
    }


@dataclass(frozen=True)
class ProgramForm:
    """How an order file asks for a program.

    Attributes:
        kind: its number in the core.
        keys: what stands under [therapy], beside "program".
        read: returns the fields of its message beside the setup.
        keeps_open: whether there can be a delay and a KVO rate.

    """

    kind: int
    keys: tuple[str, ...]
    read: Callable[[TherapyReader], Fields]
    keeps_open: bool = True

    @property
    def all_keys(self) -> tuple[str, ...]:
        """Every key that may stand under [therapy]."""
        return ("program", *self.keys, *(("delay", "kvo") if self.keeps_open else ()))


_LOADING = ("loading", "loading_rate", "loading_time")
FORMS = {
    "continuous": ProgramForm(
        program.CONTINUOUS, ("rate", "vtbi", "dose", "time", *_LOADING), _continuous
    ),
    "intermittent": ProgramForm(
        program.INTERMITTENT,
        ("dose", "rate", "time", "every", "at", "count", "for"),
        _intermittent,
    ),
    "ramp": ProgramForm(program.RAMP, ("vtbi", "dose", "time", "up", "down"), _ramp),
    "stepped": ProgramForm(
        program.STEPPED,
        ("vtbi", "dose", "step", "escalate", "each", "profile", "time"),
        _stepped,
    ),
    "pca": ProgramForm(
        program.PCA,
        ("basal", "demand", "demand_rate", "lockout", "limits", "vtbi", *_LOADING),
        _pca,
    ),
    "purge": ProgramForm(program.PURGE, ("volume", "rate"), _purge, keeps_open=False),
}

# As an order file names them, by their number in the core.
PROGRAM_NAMES = {form.kind: name for name, form in FORMS.items()}
