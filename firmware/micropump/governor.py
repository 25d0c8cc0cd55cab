"""Whether a therapy is within the drug library's limits: exactly, in integers, without rounding.

A limit is by mass or units, by body weight and by time; the pump counts µL, µL/h and s. Both sides
are brought to one denominator and compared as whole numbers, of whatever size: none of this belongs
into the control tick. ``library.Limits`` holds the limits; orders are those of ``therapy.make``, by
the names of the wire's fields, and such that it has accepted them.
"""

from .library import (
    AMOUNT_MASK,
    BOLUS,
    DAILY,
    DEMAND,
    DOSE,
    DURATION,
    KVO,
    KVO_AS_THE_RULE,
    KVO_IS_OFF,
    LOADING,
    LOCKOUT,
    LOWER_HARD,
    LOWER_SOFT,
    MILLIUNITS,
    NG,
    PER_DAY,
    PER_KG,
    PER_MINUTE,
    RATE,
    TIME_SHIFT,
    TYPICAL,
    UPPER_HARD,
    UPPER_SOFT,
    WINDOW_1H,
    WINDOW_4H,
    Limits,
)
from .program import CONTINUOUS, GREATEST_STAIRS, INTERMITTENT, PCA, PURGE, RAMP, STEPPED
from .therapy import (
    DAY_S,
    KVO_BY_RULE,
    QUANTA_PER_S,
    kvo_rate_ul_h,
    ramp_plateau_ul_h,
    rate_for_time_ul_h,
)
from .units import S_PER_HOUR, rounded_ratio

# What a figure is judged to be. A figure whose limit is by body weight, or by mass or units, cannot
# be judged without weight or concentration: it is no more allowed than one beyond a hard limit.
WITHIN = 0
SOFT = 1
HARD = 2
NEEDS_WEIGHT = 3
NEEDS_CONCENTRATION = 4
NO_LEVEL = -1

# What a finding is about that is none of the kinds of limit.
PROGRAM = 32
WEIGHT = 33
CONCENTRATION = 34

# A hard limit goes before a soft one.
_JUDGED = (LOWER_HARD, UPPER_HARD, LOWER_SOFT, UPPER_SOFT)
_WINDOWS = ((WINDOW_1H, S_PER_HOUR), (WINDOW_4H, 4 * S_PER_HOUR))


def is_hard(level: int) -> bool:
    """Whether what is beyond this level is refused, and no confirmation helps."""
    return level in (LOWER_HARD, UPPER_HARD)


def check(
    limits: Limits, kind: int, value: int, concentration, weight_g: int, per: int = 1
) -> tuple:
    """``(WITHIN, NO_LEVEL)``, or what is wrong with a figure, and which level says so.

    Args:
        limits: as found in the library.
        kind: ``library.RATE`` … ``library.KVO``.
        value: in µL, µL/h or s, as the kind of limit has it.
        concentration: as ``Library.concentration`` has it, or None.
        weight_g: body weight, 0 if it is not told.
        per: the figure is ``value / per``.

    """
    levels = limits.of(kind)
    for level in _JUDGED:
        limit = levels[level] if levels else None
        if limit:
            missing = _missing(limit, concentration, weight_g)
            if missing:
                return missing, level
            numerator, denominator = _bound(limit, concentration, weight_g)
            beyond = value * denominator - numerator * per
            if (beyond < 0) if level < TYPICAL else (beyond > 0):
                return (HARD if is_hard(level) else SOFT), level
    return WITHIN, NO_LEVEL


def greatest(limits: Limits, kind: int, level: int, concentration, weight_g: int) -> int:
    """The greatest whole µL, µL/h or s that is not above a level; -1 where there is none.

    There is none where the level is not set, or needs a weight or concentration that is not told.
    """
    numerator, denominator = _bound_of(limits, kind, level, concentration, weight_g)
    return numerator // denominator


def least(limits: Limits, kind: int, level: int, concentration, weight_g: int) -> int:
    """The least whole µL, µL/h or s that is not below a level; -1 where there is none."""
    numerator, denominator = _bound_of(limits, kind, level, concentration, weight_g)
    return -(-numerator // denominator)


def judge_program(limits: Limits, order: dict, kind: int, concentration, weight_g: int) -> list:
    """All that is beyond a limit in a program; empty if it is within.

    Each finding is ``(kind of limit or PROGRAM, WEIGHT, CONCENTRATION; level; the wire's field, or
    ""; its value; the least or greatest that is within)``, in whole µL, µL/h and s. A purge is
    nobody's dose, and has no limits.

    Args:
        limits: as found in the library.
        order: fields by name, accepted by ``therapy.make``.
        kind: ``program.CONTINUOUS`` … ``program.PURGE``.
        concentration: as ``Library.concentration`` has it, or None.
        weight_g: body weight, 0 if it is not told.

    """
    if kind == PURGE:
        return []
    judge = _Judge(limits, concentration, weight_g)
    if not limits.programs >> kind & 1:
        judge.find(PROGRAM, UPPER_HARD, "", kind, 0)
        return judge.findings
    _JUDGES[kind](judge, order)
    numerator, denominator = daily_ul(order, kind)
    judge.judge(DAILY, "", numerator, denominator)
    return judge.findings


def judge_bolus(
    limits: Limits, order: dict, kind: int, volumes_ul: tuple, concentration, weight_g: int
) -> list:
    """All that a bolus is beyond: by itself, and with what any day has of its therapy.

    A bolus is of the VTBI, which comes to its end the sooner; where windows limit a PCA, they
    limit its boluses too.

    Args:
        limits: as found in the library.
        order: of the therapy that is under way, continuous or a PCA.
        kind: which of them.
        volumes_ul: (this bolus, those of the last 24 h, all before it); µL.
        concentration: as ``Library.concentration`` has it, or None.
        weight_g: body weight, 0 if it is not told.

    """
    volume_ul, recent_ul, before_ul = volumes_ul
    judge = _Judge(limits, concentration, weight_g)
    judge.judge(BOLUS, "volume_ul", volume_ul)
    if kind == PCA and _most_by_windows(order, DAY_S)[0]:
        return judge.findings
    rest = dict(order)
    rest["rate_ul_h"] = order["rate_ul_h"]
    if kind == CONTINUOUS:
        rest["rate_ul_h"] = _rate_ul_h(order, order["vtbi_ul"])
    rest["vtbi_ul"] = max(0, order["vtbi_ul"] - before_ul - volume_ul)
    numerator, denominator = daily_ul(rest, kind)
    judge.judge(DAILY, "", numerator + (recent_ul + volume_ul) * denominator, denominator)
    return judge.findings


def daily_ul(order: dict, kind: int) -> tuple:
    """The most that a program gives in any 24 h, KVO and loading dose included.

    Returns ``(numerator, denominator)`` in µL. ``docs/library-image.md`` has the formulas.
    """
    return _DAILY[kind](order)


class _Judge:
    """Judges figures and keeps what is wrong with them."""

    def __init__(self, limits: Limits, concentration, weight_g: int) -> None:
        self.limits = limits
        self.concentration = concentration
        self.weight_g = weight_g
        self.findings: list = []

    def find(self, kind: int, level: int, field: str, value: int, bound: int) -> None:
        """Keep a finding, once."""
        finding = (kind, level, field, value, bound)
        if finding not in self.findings:
            self.findings.append(finding)

    def judge(self, kind: int, field: str, value: int, per: int = 1) -> None:
        """Judge ``value / per``."""
        verdict, level = check(self.limits, kind, value, self.concentration, self.weight_g, per)
        if verdict == NEEDS_WEIGHT:
            self.find(WEIGHT, LOWER_HARD, "", 0, 1)
        elif verdict == NEEDS_CONCENTRATION:
            self.find(CONCENTRATION, LOWER_HARD, "", 0, 1)
        elif verdict and level < TYPICAL:
            self.find(kind, level, field, value // per, self.least(kind, level))
        elif verdict:
            self.find(kind, level, field, -(-value // per), self.greatest(kind, level))

    def least(self, kind: int, level: int) -> int:
        """As the function of this name."""
        return least(self.limits, kind, level, self.concentration, self.weight_g)

    def greatest(self, kind: int, level: int) -> int:
        """As the function of this name."""
        return greatest(self.limits, kind, level, self.concentration, self.weight_g)


def _missing(limit: tuple, concentration, weight_g: int) -> int:
    """What it takes to compare with a limit and is not there; WITHIN if nothing."""
    unit = limit[2]
    if unit & PER_KG and not weight_g:
        return NEEDS_WEIGHT
    amount = unit & AMOUNT_MASK
    if amount in (NG, MILLIUNITS) and (not concentration or concentration[0] != amount):
        return NEEDS_CONCENTRATION
    return WITHIN


def _bound(limit: tuple, concentration, weight_g: int) -> tuple:
    """A limit in µL, µL/h or s, as ``(numerator, denominator)``."""
    numerator, exponent, unit = limit
    denominator = 1
    if unit & PER_KG:
        numerator *= weight_g
        denominator *= 1000
    per_time = unit >> TIME_SHIFT
    if per_time == PER_MINUTE:
        numerator *= 60
    elif per_time == PER_DAY:
        denominator *= 24
    if unit & AMOUNT_MASK in (NG, MILLIUNITS):
        # A concentration is by mL, and the pump counts µL.
        numerator *= 1000
        denominator *= concentration[1]
        exponent -= concentration[2]
    if exponent < 0:
        return numerator, denominator * 10**-exponent
    return numerator * 10**exponent, denominator


def _bound_of(limits: Limits, kind: int, level: int, concentration, weight_g: int) -> tuple:
    levels = limits.of(kind)
    limit = levels[level] if levels else None
    if not limit or _missing(limit, concentration, weight_g):
        return -1, 1
    return _bound(limit, concentration, weight_g)


# -- the therapies, by their fields --------------------------------------------------------------


def _rate_ul_h(order: dict, volume_ul: int) -> int:
    return order["rate_ul_h"] or rate_for_time_ul_h(volume_ul, order["duration_s"])


def _kvo_ul_h(order: dict, rate_ul_h: int) -> int:
    kvo_ul_h = order["kvo_ul_h"]
    return kvo_rate_ul_h(rate_ul_h) if kvo_ul_h == KVO_BY_RULE else kvo_ul_h


def _plateau_ul_h(order: dict) -> int:
    return ramp_plateau_ul_h(order["vtbi_ul"], order["duration_s"], order["up_s"], order["down_s"])


def _stepped_vtbi_ul(order: dict) -> int:
    if order["vtbi_ul"]:
        return order["vtbi_ul"]
    end = 0
    for rate_ul_h, volume_ul, duration_s in order["steps"]:
        end += volume_ul * S_PER_HOUR or rate_ul_h * duration_s
    return rounded_ratio(end, S_PER_HOUR)


def _judge_kvo(judge: _Judge, order: dict, rate_ul_h: int) -> None:
    kvo_ul_h = _kvo_ul_h(order, rate_ul_h)
    rule_ul_h = kvo_rate_ul_h(rate_ul_h)
    if not kvo_ul_h:
        return
    if judge.limits.kvo == KVO_IS_OFF:
        judge.find(KVO, UPPER_HARD, "kvo_ul_h", kvo_ul_h, 0)
    elif judge.limits.kvo != KVO_AS_THE_RULE:
        judge.judge(KVO, "kvo_ul_h", kvo_ul_h)
    elif kvo_ul_h > rule_ul_h:
        judge.find(KVO, UPPER_SOFT, "kvo_ul_h", kvo_ul_h, rule_ul_h)


def _judge_loading(judge: _Judge, order: dict) -> None:
    if order["loading_ul"]:
        judge.judge(LOADING, "loading_ul", order["loading_ul"])


def _judge_duration(judge: _Judge, order: dict, volume_ul: int, rate_ul_h: int) -> None:
    if order["duration_s"]:
        judge.judge(DURATION, "duration_s", order["duration_s"])
    else:
        judge.judge(DURATION, "rate_ul_h", volume_ul * S_PER_HOUR, rate_ul_h)


def _judge_continuous(judge: _Judge, order: dict) -> None:
    vtbi_ul = order["vtbi_ul"]
    rate_ul_h = _rate_ul_h(order, vtbi_ul)
    judge.judge(RATE, "rate_ul_h", rate_ul_h)
    judge.judge(DOSE, "vtbi_ul", vtbi_ul)
    _judge_loading(judge, order)
    _judge_duration(judge, order, vtbi_ul, rate_ul_h)
    _judge_kvo(judge, order, rate_ul_h)


def _judge_intermittent(judge: _Judge, order: dict) -> None:
    dose_ul = order["dose_ul"]
    rate_ul_h = _rate_ul_h(order, dose_ul)
    judge.judge(RATE, "rate_ul_h", rate_ul_h)
    judge.judge(DOSE, "dose_ul", dose_ul)
    _judge_duration(judge, order, dose_ul, rate_ul_h)
    _judge_kvo(judge, order, rate_ul_h)


def _judge_ramp(judge: _Judge, order: dict) -> None:
    plateau_ul_h = _plateau_ul_h(order)
    judge.judge(RATE, "vtbi_ul", plateau_ul_h)
    judge.judge(DOSE, "vtbi_ul", order["vtbi_ul"])
    judge.judge(DURATION, "duration_s", order["duration_s"])
    _judge_kvo(judge, order, plateau_ul_h)


def _judge_stepped(judge: _Judge, order: dict) -> None:
    rates_ul_h = [step[0] for step in order["steps"]]
    judge.judge(RATE, "steps", min(rates_ul_h))
    judge.judge(RATE, "steps", max(rates_ul_h))
    judge.judge(DOSE, "vtbi_ul", _stepped_vtbi_ul(order))
    numerator = 0
    denominator = 1
    for _, _, seconds, per in _stepped_stretches(order):
        numerator = numerator * per + seconds * denominator
        denominator *= per
    judge.judge(DURATION, "steps", numerator, denominator)
    _judge_kvo(judge, order, min(rates_ul_h))


def _judge_pca(judge: _Judge, order: dict) -> None:
    rate_ul_h = order["rate_ul_h"]
    if rate_ul_h:
        judge.judge(RATE, "rate_ul_h", rate_ul_h)
    judge.judge(DEMAND, "demand_ul", order["demand_ul"])
    _judge_loading(judge, order)
    judge.judge(LOCKOUT, "lockout_s", order["lockout_s"])
    for kind, stretch_s in _WINDOWS:
        _judge_window(judge, order, kind, stretch_s)
    _judge_kvo(judge, order, rate_ul_h)


def _judge_window(judge: _Judge, order: dict, kind: int, stretch_s: int) -> None:
    """See that the order's own windows leave no more in any ``stretch_s`` than the library does."""
    levels = judge.limits.of(kind)
    if not levels:
        return
    field, most_ul = _most_by_windows(order, stretch_s)
    if field:
        judge.judge(kind, field, most_ul)
        return
    for level in (UPPER_HARD, UPPER_SOFT):
        if levels[level]:
            judge.find(kind, level, "limit_1_ul", 0, judge.greatest(kind, level))
            return


def _most_by_windows(order: dict, stretch_s: int) -> tuple:
    """``(field of the limit, µL)`` that a PCA's windows leave in a stretch; ("", 0) without one.

    ⌈stretch / window⌉ windows cover the stretch, and in each of them there is no more than its
    limit.
    """
    field = ""
    most_ul = 0
    for number in (1, 2):
        window_s = order["window_%d_s" % number]
        if window_s:
            by_this_ul = -(-stretch_s // window_s) * order["limit_%d_ul" % number]
            if not field or by_this_ul < most_ul:
                field = "limit_%d_ul" % number
                most_ul = by_this_ul
    return field, most_ul


_JUDGES = {
    CONTINUOUS: _judge_continuous,
    INTERMITTENT: _judge_intermittent,
    RAMP: _judge_ramp,
    STEPPED: _judge_stepped,
    PCA: _judge_pca,
}


# -- the most in any 24 h ------------------------------------------------------------------------
#
# A stretch at one rate is (µL numerator, denominator, s numerator, denominator).


def _by_volume(volume_ul: int, rate_ul_h: int) -> tuple:
    return volume_ul, 1, volume_ul * S_PER_HOUR, rate_ul_h


def _by_time(rate_ul_h: int, duration_s: int) -> tuple:
    return rate_ul_h * duration_s, S_PER_HOUR, duration_s, 1


def _daily_of(order: dict, kvo_ul_h: int, total_ul: int, stretches: list) -> tuple:
    """The most in a day of ``stretches``, KVO before and after them until the container is empty.

    ``total_ul`` is what the stretches come to.
    """
    delay = _by_time(kvo_ul_h, order["delay_s"])
    # In 3600ths of a µL.
    left = (order["content_ul"] * order["containers"] - total_ul) * S_PER_HOUR - delay[0]
    kvo = min(max(0, left), kvo_ul_h * DAY_S)
    if kvo:
        stretches = stretches + [(kvo, S_PER_HOUR, kvo, kvo_ul_h)]
    return _most_within([delay] + stretches, DAY_S)


def _most_within(stretches: list, window_s: int) -> tuple:
    """The most that flows in any ``window_s`` of stretches; ``(numerator, denominator)`` in µL.

    Flow is even within a stretch, so the best window begins with one or ends with one.
    """
    volume_scale = time_scale = 1
    for _, per_volume, _, per_time in stretches:
        volume_scale = _common_multiple(volume_scale, per_volume)
        time_scale = _common_multiple(time_scale, per_time)
    volumes = []
    times = []
    for volume, per_volume, time, per_time in stretches:
        if time:
            volumes.append(volume * (volume_scale // per_volume))
            times.append(time * (time_scale // per_time))
    forward = _most_from_a_start(volumes, times, window_s * time_scale)
    volumes.reverse()
    times.reverse()
    backward = _most_from_a_start(volumes, times, window_s * time_scale)
    if backward[0] * forward[1] > forward[0] * backward[1]:
        forward = backward
    return forward[0], forward[1] * volume_scale


def _most_from_a_start(volumes: list, times: list, window: int) -> tuple:
    most = (0, 1)
    count = len(volumes)
    volume = time = end = 0
    for first in range(count):
        while end < count and time + times[end] <= window:
            volume += volumes[end]
            time += times[end]
            end += 1
        flowed = (volume, 1)
        if end < count:
            flowed = (volume * times[end] + volumes[end] * (window - time), times[end])
        if flowed[0] * most[1] > most[0] * flowed[1]:
            most = flowed
        if end == first:
            end += 1
        else:
            volume -= volumes[first]
            time -= times[first]
    return most


def _common_multiple(one: int, other: int) -> int:
    a = one
    b = other
    while b:
        a, b = b, a % b
    return one // a * other


def _daily_continuous(order: dict) -> tuple:
    vtbi_ul = order["vtbi_ul"]
    loading_ul = order["loading_ul"]
    rate_ul_h = _rate_ul_h(order, vtbi_ul)
    stretches = [_by_volume(vtbi_ul, rate_ul_h)]
    if loading_ul:
        stretches.insert(0, _by_volume(loading_ul, order["loading_ul_h"]))
    return _daily_of(order, _kvo_ul_h(order, rate_ul_h), vtbi_ul + loading_ul, stretches)


def _daily_stepped(order: dict) -> tuple:
    least_ul_h = min([step[0] for step in order["steps"]])
    stretches = _stepped_stretches(order)
    return _daily_of(order, _kvo_ul_h(order, least_ul_h), _stepped_vtbi_ul(order), stretches)


def _stepped_stretches(order: dict) -> list:
    """A stretch for each step; the last of them goes on, or ends, with the VTBI."""
    left = _stepped_vtbi_ul(order) * S_PER_HOUR
    stretches = []
    steps = order["steps"]
    for number in range(len(steps)):
        rate_ul_h, volume_ul, duration_s = steps[number]
        volume = min(left, volume_ul * S_PER_HOUR or rate_ul_h * duration_s)
        if number == len(steps) - 1:
            volume = left
        left -= volume
        stretches.append((volume, S_PER_HOUR, volume, rate_ul_h))
    return stretches


def _daily_ramp(order: dict) -> tuple:
    vtbi_ul = order["vtbi_ul"]
    up_s = order["up_s"]
    down_s = order["down_s"]
    halves = 2 * order["duration_s"] - up_s - down_s
    level_s = order["duration_s"] - up_s - down_s
    stretches = _stairs(vtbi_ul, up_s, halves)
    plateau_ul_h = _plateau_ul_h(order)
    level = 2 * vtbi_ul * level_s
    stretches.append((level, halves, level * S_PER_HOUR, halves * plateau_ul_h))
    down = _stairs(vtbi_ul, down_s, halves)
    down.reverse()
    return _daily_of(order, _kvo_ul_h(order, plateau_ul_h), vtbi_ul, stretches + down)


def _stairs(vtbi_ul: int, ramp_s: int, halves: int) -> list:
    """The stairs of a ramp, as ``Program.ramp`` makes them."""
    quanta = ramp_s * QUANTA_PER_S
    if not quanta:
        return []
    stairs = min(GREATEST_STAIRS, quanta)
    while quanta % stairs:
        stairs -= 1
    per_volume = halves * stairs * stairs
    return [
        (vtbi_ul * ramp_s * (2 * stair + 1), per_volume, quanta // stairs, QUANTA_PER_S)
        for stair in range(stairs)
    ]


def _daily_intermittent(order: dict) -> tuple:
    """The best day begins with a dose, since all gaps are alike or a day holds all of the times."""
    rate_ul_h = _rate_ul_h(order, order["dose_ul"])
    kvo_ul_h = _kvo_ul_h(order, rate_ul_h)
    # Times are multiplied by the rate, and volumes by it and by 3600: all of them are whole.
    dose_time = order["dose_ul"] * S_PER_HOUR
    dose = dose_time * rate_ul_h
    day = DAY_S * rate_ul_h
    doses = order["doses"]
    lead_s, span_s, is_over = _dosing_s(order)
    if is_over:
        span = span_s * rate_ul_h
        gaps = span - (doses - 1) * dose_time
        before = kvo_ul_h * lead_s * rate_ul_h
        given = doses * dose + kvo_ul_h * gaps
        held = order["content_ul"] * order["containers"] * S_PER_HOUR * rate_ul_h
        after = max(0, held - given - before)
        volume = given + min(kvo_ul_h * (day - span - dose_time), before + after)
    elif order["times"]:
        doses = len(order["times"])
        volume = doses * dose + kvo_ul_h * (day - doses * dose_time)
    else:
        interval = order["interval_s"] * rate_ul_h
        full = day // interval
        rest = day - full * interval
        volume = full * (dose + kvo_ul_h * (interval - dose_time))
        flowing = min(rest, dose_time)
        volume += rate_ul_h * flowing + kvo_ul_h * (rest - flowing)
    return volume, S_PER_HOUR * rate_ul_h


def _dosing_s(order: dict) -> tuple:
    """``(s before the first dose, s from its start to the last's, whether all is in one day)``."""
    doses = order["doses"]
    times = [minute * 60 for (minute,) in order["times"]]
    if not times:
        span_s = (doses - 1) * order["interval_s"]
        dose_s = -(-order["dose_ul"] * S_PER_HOUR // _rate_ul_h(order, order["dose_ul"]))
        return order["delay_s"], span_s, span_s + dose_s <= DAY_S
    if doses > len(times):
        return 0, 0, False
    clock_s = (order["clock_s"] + order["delay_s"]) % DAY_S
    first = 0
    while first < len(times) and times[first] < clock_s:
        first += 1
    first %= len(times)
    last = (first + doses - 1) % len(times)
    lead_s = order["delay_s"] + (times[first] - clock_s) % DAY_S
    return lead_s, (times[last] - times[first]) % DAY_S, True


def _daily_pca(order: dict) -> tuple:
    """Basal, loading dose, every demand that the lockout lets through, and no more than windows.

    When that comes to the whole VTBI, there is KVO beside it.
    """
    rate_ul_h = order["rate_ul_h"]
    loading_ul = order["loading_ul"]
    demands = -(-DAY_S // order["lockout_s"])
    # In 3600ths of a µL.
    most = (loading_ul + demands * order["demand_ul"]) * S_PER_HOUR + rate_ul_h * DAY_S
    field, by_windows_ul = _most_by_windows(order, DAY_S)
    if field:
        most = min(most, by_windows_ul * S_PER_HOUR)
    total = (order["vtbi_ul"] + loading_ul) * S_PER_HOUR
    if most >= total:
        kvo_ul_h = _kvo_ul_h(order, rate_ul_h)
        before = kvo_ul_h * order["delay_s"]
        held = order["content_ul"] * order["containers"] * S_PER_HOUR
        after = max(0, held - total - before)
        most = total + min(kvo_ul_h * DAY_S, before + after)
    return most, S_PER_HOUR


_DAILY = {
    CONTINUOUS: _daily_continuous,
    INTERMITTENT: _daily_intermittent,
    RAMP: _daily_ramp,
    STEPPED: _daily_stepped,
    PCA: _daily_pca,
}
