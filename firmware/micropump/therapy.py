"""Therapies: from what is ordered to a program, or to the reason why not.

``make`` is called by the pump when a program arrives and by the host for its preview, with the same
fields, those of the wire's messages; so what is shown is what will run.
"""

from .doses import WINDOWS, DoseLimits
from .mechanism import KIND_PERISTALTIC, Mechanism
from .program import (
    BOLUS,
    CONTINUOUS,
    ENDLESS_STEPS,
    INFUSED,
    INTERMITTENT,
    KVO,
    PCA,
    PRIMED,
    PURGE,
    RAMP,
    RETRACTED,
    SECONDARY,
    STEPPED,
    Phase,
    Program,
)
from .units import (
    GREATEST_VTBI_UL,
    LEAST_RATE_UL_H,
    LEAST_VTBI_UL,
    QUANTUM_MS,
    S_PER_HOUR,
    SMALL_INT_LIMIT,
    rounded_ratio,
)

# What a program can be refused for. The numbers go over the wire.
OK = 0
RATE_BELOW_RANGE = 1
RATE_ABOVE_RANGE = 2
VTBI_BELOW_RANGE = 3
VTBI_ABOVE_RANGE = 4
VTBI_ABOVE_CONTENT = 5
CONTENT_ABOVE_CAPACITY = 6
NEEDS_RATE_OR_TIME = 7
KVO_ABOVE_RATE = 8
RAMP_TOO_LONG = 9
STEPS_DO_NOT_SUM = 10
STEP_NEEDS_VOLUME_OR_TIME = 11
DOSE_BELOW_RANGE = 12
DOSE_ABOVE_VTBI = 13
INTERVAL_TOO_SHORT = 14
NO_SUCH_TIME = 15
CLOCK_NOT_TOLD = 16
LIMIT_BELOW_DOSE = 17
LOCKOUT_TOO_SHORT = 18
WINDOW_OUT_OF_RANGE = 19
LOADING_INCOMPLETE = 20
COMBINED_ABOVE_RANGE = 21
NO_STEPS = 22
RAMP_NEEDS_TIME = 23
CANNOT_REVERSE = 24

# What a program is warned of.
WARN_BELOW_LEAST_RATE = 1
WARN_KVO_BELOW_LEAST_RATE = 2
WARN_RATE_ROUNDED = 4
WARN_SEVERAL_CONTAINERS = 8

KVO_BY_RULE = 0xFFFFFFFF
KVO_OFF = 0

# A bolus, a demand, a loading dose, a purge.
LEAST_DOSE_UL = 10
# A window of less would be a lockout.
LEAST_WINDOW_S = 60
GREATEST_TIME_S = 359_940
DAY_S = 86_400
DAY_MIN = 1_440
CLOCK_UNKNOWN_S = DAY_S

QUANTA_PER_S = 1000 // QUANTUM_MS
# A purge speeds up and slows down in so many quanta: a motor cannot start at full speed.
PURGE_RAMP_QUANTA = 10


class RefusedError(ValueError):
    """A therapy that cannot be.

    Attributes:
        code: one of the reasons above.
        field: the name of the wire's field that is to blame, or "".
        value, least, greatest: what it was, and what it may be.

    """

    def __init__(
        self, code: int, field: str = "", value: int = 0, least: int = 0, greatest: int = 0
    ) -> None:
        super().__init__(code, field, value, least, greatest)
        self.code = code
        self.field = field
        self.value = value
        self.least = least
        self.greatest = greatest


def make(kind: int, mechanism: Mechanism, order: dict) -> Program:
    """The program of a therapy; raises RefusedError.

    Args:
        kind: ``CONTINUOUS`` … ``PURGE``.
        mechanism: what delivers it.
        order: the fields of the wire's message, by name.

    """
    program = Program(kind, mechanism)
    _take_containers(program, order)
    _MAKERS[kind](program, order)
    if program.peak_ul_h() < mechanism.least_rate_ul_h:
        program.warnings |= WARN_BELOW_LEAST_RATE
    if 0 < program.kvo_ul_h < mechanism.least_rate_ul_h:
        program.warnings |= WARN_KVO_BELOW_LEAST_RATE
    if program.containers > 1:
        program.warnings |= WARN_SEVERAL_CONTAINERS
    return program


def make_secondary(program: Program, order: dict) -> Phase:
    """The phase of a secondary infusion into ``program``; raises RefusedError."""
    vtbi_ul = order["vtbi_ul"]
    _check_vtbi("vtbi_ul", vtbi_ul)
    if vtbi_ul > order["content_ul"]:
        raise RefusedError(
            VTBI_ABOVE_CONTENT, "vtbi_ul", vtbi_ul, LEAST_VTBI_UL, order["content_ul"]
        )
    rate_ul_h = _rate_or_time(program.mechanism, order, vtbi_ul)
    return Phase(rate_ul_h, program.mechanism.steps_for_ul(vtbi_ul), SECONDARY)


# -- what several have in common -----------------------------------------------------------------


def kvo_rate_ul_h(rate_ul_h: int) -> int:
    """The keep-vein-open rate for an infusion at ``rate_ul_h``.

    The rule that B. Braun discloses for the Infusomat Space: 3 mL/h if the rate is at least
    10 mL/h, 1 mL/h if it is below, and the rate itself below 1 mL/h.
    """
    if rate_ul_h >= 10_000:
        return 3_000
    if rate_ul_h >= 1_000:
        return 1_000
    return rate_ul_h


def rate_for_time_ul_h(volume_ul: int, duration_s: int) -> int:
    """The rate that gives ``volume_ul`` in ``duration_s``, to the nearest µL/h."""
    return rounded_ratio(volume_ul * S_PER_HOUR, duration_s)


def ramp_plateau_ul_h(vtbi_ul: int, duration_s: int, up_s: int, down_s: int) -> int:
    """The rate between the ramps that gives ``vtbi_ul`` in ``duration_s``, to the nearest µL/h."""
    # V = P (T - (up + down) / 2), in half seconds
    return rounded_ratio(2 * vtbi_ul * S_PER_HOUR, 2 * duration_s - up_s - down_s)


def check_rate(mechanism: Mechanism, rate_ul_h: int) -> int:
    """``OK`` or why this mechanism cannot run at ``rate_ul_h``."""
    if rate_ul_h < LEAST_RATE_UL_H:
        return RATE_BELOW_RANGE
    if rate_ul_h > mechanism.greatest_rate_ul_h:
        return RATE_ABOVE_RANGE
    return OK


def follow_rate(program: Program, rate_ul_h: int) -> None:
    """Keep KVO in keeping with a titrated rate: by the rule, or not above it."""
    if not program.kvo_ul_h:
        return
    if program.kvo_by_rule:
        program.kvo_ul_h = kvo_rate_ul_h(rate_ul_h)
    else:
        program.kvo_ul_h = min(program.kvo_ul_h, rate_ul_h)
    for phase in program.phases:
        if phase.bucket == KVO:
            phase.rate_ul_h = phase.end_rate_ul_h = program.kvo_ul_h


def basal_steps(program: Program, rate_ul_h: int) -> list:
    """Whole microsteps of a basal rate in each of the program's windows."""
    windows = program.limits.windows if program.limits else []
    return [_basal_steps(program.mechanism, rate_ul_h, window[0]) for window in windows]


def _basal_steps(parts: Mechanism, rate_ul_h: int, window_ms: int) -> int:
    # µL/h are nL per 3600 ms.
    return rate_ul_h * window_ms * parts.nl_den // (S_PER_HOUR * parts.nl_num)


def _require_rate(mechanism: Mechanism, field: str, rate_ul_h: int, greatest_ul_h: int = 0) -> None:
    refusal = check_rate(mechanism, rate_ul_h)
    if refusal:
        greatest_ul_h = greatest_ul_h or mechanism.greatest_rate_ul_h
        # 10 L within a second are more µL/h than a u32 can tell.
        raise RefusedError(
            refusal, field, min(rate_ul_h, 0xFFFFFFFF), LEAST_RATE_UL_H, greatest_ul_h
        )


def _check_vtbi(field: str, vtbi_ul: int) -> None:
    if vtbi_ul < LEAST_VTBI_UL:
        raise RefusedError(VTBI_BELOW_RANGE, field, vtbi_ul, LEAST_VTBI_UL, GREATEST_VTBI_UL)
    if vtbi_ul > GREATEST_VTBI_UL:
        raise RefusedError(VTBI_ABOVE_RANGE, field, vtbi_ul, LEAST_VTBI_UL, GREATEST_VTBI_UL)


def _check_dose(field: str, dose_ul: int, greatest_ul: int) -> None:
    if dose_ul < LEAST_DOSE_UL:
        raise RefusedError(DOSE_BELOW_RANGE, field, dose_ul, LEAST_DOSE_UL, greatest_ul)
    if dose_ul > greatest_ul:
        raise RefusedError(DOSE_ABOVE_VTBI, field, dose_ul, LEAST_DOSE_UL, greatest_ul)


def is_rounded(order: dict, rate_ul_h: int, volume_ul: int) -> bool:
    """Whether the rate for an ordered time is not exactly the volume by the time."""
    return bool(order["duration_s"]) and rate_ul_h * order["duration_s"] != volume_ul * S_PER_HOUR


def _rate_or_time(mechanism: Mechanism, order: dict, volume_ul: int) -> int:
    """The rate, ordered or from the time; exactly one of them is given."""
    rate_ul_h = order["rate_ul_h"]
    duration_s = order["duration_s"]
    if (rate_ul_h == 0) == (duration_s == 0):
        raise RefusedError(NEEDS_RATE_OR_TIME)
    if duration_s:
        rate_ul_h = rate_for_time_ul_h(volume_ul, duration_s)
    _require_rate(mechanism, "rate_ul_h", rate_ul_h)
    return rate_ul_h


def _take_containers(program: Program, order: dict) -> None:
    program.content_ul = order["content_ul"]
    program.containers = order["containers"]
    capacity_ul = program.mechanism.capacity_ul
    if capacity_ul and program.content_ul > capacity_ul:
        raise RefusedError(CONTENT_ABOVE_CAPACITY, "content_ul", program.content_ul, 0, capacity_ul)


def _take_vtbi(program: Program, field: str, vtbi_ul: int, beside_ul: int = 0) -> None:
    """Take the VTBI and see that the containers hold it, and what is given beside it."""
    program.vtbi_ul = vtbi_ul
    program.vtbi_steps = program.mechanism.steps_for_ul(vtbi_ul)
    held_ul = program.content_ul * program.containers
    if vtbi_ul + beside_ul > held_ul:
        greatest_ul = max(0, held_ul - beside_ul)
        raise RefusedError(VTBI_ABOVE_CONTENT, field, vtbi_ul, LEAST_VTBI_UL, greatest_ul)


def _take_kvo(program: Program, order: dict, rate_ul_h: int) -> None:
    """The keep-open rate for a therapy whose least rate is ``rate_ul_h``; 0 for none."""
    kvo_ul_h = order["kvo_ul_h"]
    if kvo_ul_h == KVO_BY_RULE:
        program.kvo_by_rule = True
        kvo_ul_h = kvo_rate_ul_h(rate_ul_h)
    elif kvo_ul_h != KVO_OFF:
        greatest_ul_h = min(rate_ul_h, program.mechanism.greatest_rate_ul_h)
        _require_rate(program.mechanism, "kvo_ul_h", kvo_ul_h, greatest_ul_h)
        if kvo_ul_h > rate_ul_h:
            raise RefusedError(KVO_ABOVE_RATE, "kvo_ul_h", kvo_ul_h, 0, rate_ul_h)
    program.kvo_ul_h = kvo_ul_h


def _add_delay(program: Program, order: dict) -> None:
    if order["delay_s"]:
        program.wait(order["delay_s"] * QUANTA_PER_S, program.kvo_ul_h)


def _add_loading(program: Program, order: dict) -> None:
    loading_ul = order["loading_ul"]
    rate_ul_h = order["loading_ul_h"]
    if not loading_ul and not rate_ul_h:
        return
    if not loading_ul or not rate_ul_h:
        raise RefusedError(LOADING_INCOMPLETE, "loading_ul_h" if loading_ul else "loading_ul")
    _check_dose("loading_ul", loading_ul, GREATEST_VTBI_UL)
    _require_rate(program.mechanism, "loading_ul_h", rate_ul_h)
    program.flow(rate_ul_h, program.mechanism.steps_for_ul(loading_ul), BOLUS)


def _add_kvo(program: Program) -> None:
    if program.kvo_ul_h:
        program.flow(program.kvo_ul_h, ENDLESS_STEPS, KVO)


# -- the therapies -------------------------------------------------------------------------------


def _make_continuous(program: Program, order: dict) -> None:
    vtbi_ul = order["vtbi_ul"]
    if (order["rate_ul_h"] == 0) == (order["duration_s"] == 0):
        raise RefusedError(NEEDS_RATE_OR_TIME)
    _check_vtbi("vtbi_ul", vtbi_ul)
    _take_vtbi(program, "vtbi_ul", vtbi_ul, order["loading_ul"])
    rate_ul_h = _rate_or_time(program.mechanism, order, vtbi_ul)
    if is_rounded(order, rate_ul_h, vtbi_ul):
        program.warnings |= WARN_RATE_ROUNDED
    _take_kvo(program, order, rate_ul_h)
    _add_delay(program, order)
    _add_loading(program, order)
    program.flow(rate_ul_h, program.vtbi_steps, INFUSED)
    _add_kvo(program)


def _make_intermittent(program: Program, order: dict) -> None:
    dose_ul = order["dose_ul"]
    doses = order["doses"]
    _check_vtbi("dose_ul", dose_ul)
    if doses * dose_ul > GREATEST_VTBI_UL:
        raise RefusedError(VTBI_ABOVE_RANGE, "doses", doses, 1, GREATEST_VTBI_UL // dose_ul)
    held_ul = program.content_ul * program.containers
    if doses * dose_ul > held_ul:
        most_ul = held_ul // doses
        raise RefusedError(VTBI_ABOVE_CONTENT, "dose_ul", dose_ul, LEAST_VTBI_UL, most_ul)
    _take_vtbi(program, "dose_ul", doses * dose_ul)
    rate_ul_h = _rate_or_time(program.mechanism, order, dose_ul)
    if is_rounded(order, rate_ul_h, dose_ul):
        program.warnings |= WARN_RATE_ROUNDED
    _take_kvo(program, order, rate_ul_h)
    parts = program.mechanism
    # What a dose has beyond its whole steps is carried to the next.
    program.carry_size = parts.nl_num
    program.carry_add = dose_ul * 1000 * parts.nl_den % parts.nl_num
    program.doses = doses
    dose_steps = parts.steps_for_ul(dose_ul)
    intervals_s = _intervals_s(order)
    _add_delay(program, order)
    if order["times"]:
        if not order["delay_s"]:
            program.wait(1, program.kvo_ul_h)
        program.clock_s = order["clock_s"]
        program.times_min = [minute for (minute,) in order["times"]]
        program.delay_s = order["delay_s"]
    program.loop_first = len(program.phases)
    for interval_s in intervals_s:
        program.flow(rate_ul_h, dose_steps, INFUSED).is_dose = True
        program.wait(interval_s * QUANTA_PER_S, program.kvo_ul_h)
    program.loop_last = len(program.phases) - 1
    _add_kvo(program)
    dose = program.phases[program.loop_first]
    least_s = program.flow_ms(dose, dose_steps + 1) // 1000 + 1
    if min(intervals_s) < least_s:
        field = "times" if order["times"] else "interval_s"
        raise RefusedError(INTERVAL_TOO_SHORT, field, min(intervals_s), least_s, GREATEST_TIME_S)
    if program.clock_s >= 0:
        align(program, program.clock_s)


def _intervals_s(order: dict) -> list:
    """From each dose to the next; s."""
    times = order["times"]
    if not times:
        return [order["interval_s"]]
    if order["clock_s"] >= CLOCK_UNKNOWN_S:
        raise RefusedError(CLOCK_NOT_TOLD, "clock_s", order["clock_s"], 0, DAY_S - 1)
    before = -1
    for (minute,) in times:
        if minute >= DAY_MIN or minute <= before:
            raise RefusedError(NO_SUCH_TIME, "times", minute, before + 1, DAY_MIN - 1)
        before = minute
    intervals_s = []
    for at in range(len(times)):
        following = times[at + 1][0] if at + 1 < len(times) else times[0][0] + DAY_MIN
        intervals_s.append((following - times[at][0]) * 60)
    return intervals_s


def align(program: Program, clock_s: int) -> None:
    """Have the first of a program's daily doses at the next of its times, now being ``clock_s``."""
    times_min = program.times_min
    count = len(times_min)
    clock_s += program.delay_s
    passed_s = clock_s % DAY_S
    first = 0
    while first < count and times_min[first] * 60 < passed_s:
        first += 1
    wait_s = times_min[first % count] * 60 - passed_s + (DAY_S if first == count else 0)
    program.phases[0].quanta = max(1, (program.delay_s + wait_s) * QUANTA_PER_S)
    for at in range(count):
        here = times_min[(first + at) % count]
        following = times_min[(first + at + 1) % count]
        gap_min = following - here
        if gap_min <= 0:
            gap_min += DAY_MIN
        program.phases[program.loop_first + 2 * at + 1].quanta = gap_min * 60 * QUANTA_PER_S


def _make_ramp(program: Program, order: dict) -> None:
    vtbi_ul = order["vtbi_ul"]
    duration_s = order["duration_s"]
    up_s = order["up_s"]
    down_s = order["down_s"]
    _check_vtbi("vtbi_ul", vtbi_ul)
    if duration_s == 0:
        raise RefusedError(RAMP_NEEDS_TIME, "duration_s", 0, 1, GREATEST_TIME_S)
    if up_s + down_s > duration_s:
        raise RefusedError(RAMP_TOO_LONG, "up_s", up_s + down_s, 0, duration_s)
    _take_vtbi(program, "vtbi_ul", vtbi_ul)
    halves = 2 * duration_s - up_s - down_s
    plateau_ul_h = ramp_plateau_ul_h(vtbi_ul, duration_s, up_s, down_s)
    _require_rate(program.mechanism, "vtbi_ul", plateau_ul_h)
    if plateau_ul_h * halves != 2 * vtbi_ul * S_PER_HOUR:
        program.warnings |= WARN_RATE_ROUNDED
    _take_kvo(program, order, plateau_ul_h)
    _add_delay(program, order)
    up_steps = program.vtbi_steps * up_s // halves
    down_steps = program.vtbi_steps * down_s // halves
    if up_steps:
        program.ramp(0, plateau_ul_h, up_s * QUANTA_PER_S, up_steps, INFUSED)
    level_steps = program.vtbi_steps - up_steps - down_steps
    if level_steps:
        program.flow(plateau_ul_h, level_steps, INFUSED)
    if down_steps:
        program.ramp(plateau_ul_h, 0, down_s * QUANTA_PER_S, down_steps, INFUSED)
    _add_kvo(program)


def _make_stepped(program: Program, order: dict) -> None:
    steps = order["steps"]
    if not steps:
        raise RefusedError(NO_STEPS, "steps", 0, 1, 28)
    # Volumes in 3600ths of a µL: a rate in µL/h times a time in s is a whole number of them.
    ends = []
    end = 0
    for number in range(len(steps)):
        rate_ul_h, volume_ul, duration_s = steps[number]
        if (volume_ul == 0) == (duration_s == 0):
            raise RefusedError(STEP_NEEDS_VOLUME_OR_TIME, "steps", number + 1)
        _require_rate(program.mechanism, "steps", rate_ul_h)
        end += volume_ul * S_PER_HOUR or rate_ul_h * duration_s
        ends.append(end)
    sum_ul = rounded_ratio(end, S_PER_HOUR)
    vtbi_ul = order["vtbi_ul"] or sum_ul
    _check_vtbi("vtbi_ul", vtbi_ul)
    if abs(vtbi_ul * S_PER_HOUR - end) > len(steps) * S_PER_HOUR:
        raise RefusedError(STEPS_DO_NOT_SUM, "vtbi_ul", vtbi_ul, sum_ul, sum_ul)
    _take_vtbi(program, "vtbi_ul", vtbi_ul)
    _take_kvo(program, order, min([step[0] for step in steps]))
    _add_delay(program, order)
    parts = program.mechanism
    done = 0
    for number in range(len(steps)):
        due = min(
            ends[number] * 1000 * parts.nl_den // (S_PER_HOUR * parts.nl_num), program.vtbi_steps
        )
        if number == len(steps) - 1:
            due = program.vtbi_steps
        if due > done:
            program.flow(steps[number][0], due - done, INFUSED)
            done = due
    _add_kvo(program)


def _make_pca(program: Program, order: dict) -> None:
    parts = program.mechanism
    vtbi_ul = order["vtbi_ul"]
    rate_ul_h = order["rate_ul_h"]
    _check_vtbi("vtbi_ul", vtbi_ul)
    _take_vtbi(program, "vtbi_ul", vtbi_ul, order["loading_ul"])
    if rate_ul_h:
        _require_rate(parts, "rate_ul_h", rate_ul_h)
    _check_dose("demand_ul", order["demand_ul"], vtbi_ul)
    _require_rate(parts, "demand_ul_h", order["demand_ul_h"])
    most_ul_h = parts.greatest_rate_ul_h - rate_ul_h
    if order["demand_ul_h"] > most_ul_h:
        raise RefusedError(
            COMBINED_ABOVE_RANGE, "demand_ul_h", order["demand_ul_h"], LEAST_RATE_UL_H, most_ul_h
        )
    program.demand_steps = parts.steps_for_ul(order["demand_ul"])
    if program.demand_steps >= SMALL_INT_LIMIT:
        most_ul = parts.nl_for_steps(SMALL_INT_LIMIT - 1) // 1000
        raise RefusedError(DOSE_ABOVE_VTBI, "demand_ul", order["demand_ul"], LEAST_DOSE_UL, most_ul)
    program.demand_ul_h = order["demand_ul_h"]
    # A second more, as planning is ahead of what flows: a demand is over before the next may be.
    demand_s = -(-order["demand_ul"] * S_PER_HOUR // order["demand_ul_h"]) + 1
    if order["lockout_s"] < demand_s:
        raise RefusedError(LOCKOUT_TOO_SHORT, "lockout_s", order["lockout_s"], demand_s, DAY_S)
    windows = _windows(program, order, rate_ul_h)
    program.limits = DoseLimits(order["lockout_s"] * 1000, windows, demand_s * 1000)
    _take_kvo(program, order, rate_ul_h)
    _add_delay(program, order)
    _add_loading(program, order)
    program.flow(rate_ul_h, program.vtbi_steps, INFUSED)
    _add_kvo(program)


def _windows(program: Program, order: dict, rate_ul_h: int) -> list:
    """The rolling windows as (ms, microsteps); each has to have room for a demand at least."""
    parts = program.mechanism
    windows = []
    for number in range(1, WINDOWS + 1):
        window_s = order["window_%d_s" % number]
        limit_ul = order["limit_%d_ul" % number]
        if window_s == 0 and limit_ul == 0:
            continue
        if window_s < LEAST_WINDOW_S:
            raise RefusedError(
                WINDOW_OUT_OF_RANGE, "window_%d_s" % number, window_s, LEAST_WINDOW_S, DAY_S
            )
        limit_steps = parts.steps_for_ul(limit_ul)
        dose_ul = max(order["demand_ul"], order["loading_ul"])
        least_steps = parts.steps_for_ul(dose_ul) + _basal_steps(parts, rate_ul_h, window_s * 1000)
        if limit_steps < least_steps:
            least_ul = dose_ul + -(-rate_ul_h * window_s // S_PER_HOUR)
            raise RefusedError(
                LIMIT_BELOW_DOSE, "limit_%d_ul" % number, limit_ul, least_ul, GREATEST_VTBI_UL
            )
        windows.append((window_s * 1000, limit_steps))
    return windows


def _make_purge(program: Program, order: dict) -> None:
    parts = program.mechanism
    volume_ul = order["volume_ul"]
    program.reverse = bool(order["reverse"])
    if program.reverse and parts.kind == KIND_PERISTALTIC:
        # It would draw from whoever is at the other end.
        raise RefusedError(CANNOT_REVERSE, "reverse", 1, 0, 0)
    most_ul = parts.capacity_ul if program.reverse else GREATEST_VTBI_UL
    _check_dose("volume_ul", volume_ul, most_ul)
    if program.reverse:
        program.vtbi_ul = volume_ul
        program.vtbi_steps = parts.steps_for_ul(volume_ul)
    else:
        _take_vtbi(program, "volume_ul", volume_ul)
    _require_rate(parts, "rate_ul_h", order["rate_ul_h"])
    _add_ramped(program, order["rate_ul_h"], RETRACTED if program.reverse else PRIMED)


def _add_ramped(program: Program, rate_ul_h: int, bucket: int) -> None:
    """All steps of the program, speeding up to ``rate_ul_h`` and slowing down at the end."""
    parts = program.mechanism
    steps = program.vtbi_steps
    # No faster than that a second is spent on it, so that there is always something to ramp.
    rate_ul_h = min(rate_ul_h, max(LEAST_RATE_UL_H, program.vtbi_ul * S_PER_HOUR))
    quanta = PURGE_RAMP_QUANTA
    ramp_steps = rate_ul_h * quanta * QUANTUM_MS * parts.nl_den // (2 * S_PER_HOUR * parts.nl_num)
    if 2 * ramp_steps > steps:
        ramp_steps = steps // 2
    if ramp_steps:
        program.ramp(0, rate_ul_h, quanta, ramp_steps, bucket)
    if steps > 2 * ramp_steps:
        program.flow(rate_ul_h, steps - 2 * ramp_steps, bucket)
    if ramp_steps:
        program.ramp(rate_ul_h, 0, quanta, ramp_steps, bucket)


_MAKERS = {
    CONTINUOUS: _make_continuous,
    INTERMITTENT: _make_intermittent,
    RAMP: _make_ramp,
    STEPPED: _make_stepped,
    PCA: _make_pca,
    PURGE: _make_purge,
}
