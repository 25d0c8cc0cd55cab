"""What the pressure in a line means: occlusion, suction, disconnection.

Each detector is told what was pushed and what was read since it was last asked, and answers with
bits, one for each finding. It is asked once for each new sample, ten times a second or once a
second alike: ``elapsed_ms`` and ``pushed_nl`` are since the update before; what was drawn back is
negative. ``configure`` comes before a start, ``begin`` at each start of flow, and ``update``
allocates nothing and stays within small integers. A finding is there for as long as its cause;
what latches is the alarm.

``docs/detectors.md`` has models, figures, sources, and what each cannot see.
"""

from array import array

from .filters import LONGEST_MS, Held, Smooth

# Nine even levels up to the 1.2 bar of the Infusomat Space, the lowest for infants, Pa.
OCCLUSION_LEVELS_PA = (10_000, 20_000, 30_000, 45_000, 60_000, 75_000, 90_000, 105_000, 120_000)

# Snijder 2015: 0.9 to 2.1 mL/bar, syringe and line together.
LEAST_COMPLIANCE_NL_KPA = 9_000
GREATEST_COMPLIANCE_NL_KPA = 21_000

# Above one metre of head (9.8 kPa; 10.3 kPa with a liquid of 1.05 g/mL).
SLOPE_FLOOR_PA = 11_000
# What an open line may rise by at a start: a 24G needle and a line of 1.5 m, 2.5 mPa·s: 590 Pa for
# each µL/s. Up to 5 mL/h it is within what the floor leaves.
SLOPE_FLOOR_PA_S_UL = 600
SLOPE_FLOOR_FROM_NL_S = 1_400
# Of the rise that a closed line makes: not below half of the softest, nor above twice the hardest.
SLOPE_LEAST_PERCENT = 50
SLOPE_GREATEST_PERCENT = 200
# The last half of the rise against the first: 100 for a closed line, less on the way to Q·R.
SLOPE_STEADY_PERCENT = 80
# Each quarter of a straight rise has 25 % of it, more or less by the stairs of stick-slip. An end
# that is raised and a cough soon after, in an open line, have a quarter with next to nothing.
SLOPE_QUARTER_LEAST_PERCENT = 15
SLOPE_QUARTER_GREATEST_PERCENT = 42
# Of a force cell, whose stairs are greater, and whose floor is above what both come to.
FORCE_QUARTER_LEAST_PERCENT = 2
FORCE_QUARTER_GREATEST_PERCENT = 60
# The softest line rises by the floor in so many marks; the record is as long as half of its slope.
_MARKS_IN_FLOOR = 20
_MARKS = 64

LEVEL_FILTER_MS = 500

# The end of the line from one metre below the pump to one above, and a tenth.
PARTIAL_MARGIN_PA = 22_000
PARTIAL_MS = 180_000

BLOCK_MS = 30_000
SETTLED_PA = 500
# The same rate: 10 %, and a few microsteps more or less.
_SAME_RATE_PERCENT = 10
_SAME_RATE_NL = 2_000

# The supply one metre below the pump draws 9.8 kPa.
SUCTION_LIMIT_PA = -25_000
SUCTION_FALL_PA = 15_000

DISCONNECTION_BASELINE_PA = 3_000
DISCONNECTION_AMBIENT_PA = 700
DISCONNECTION_MS = 3_000

RELEASE_FILTER_MS = 200
# What the filter shows until then may have been before the air came.
_RELEASE_AFTER = 4

# Far beyond every level; keeps sums of samples within small integers.
_PRESSURE_BOUND_PA = 500_000
_MOST_SUMMED = 1_000


def _bounded(pressure_pa: int) -> int:
    return max(-_PRESSURE_BOUND_PA, min(_PRESSURE_BOUND_PA, pressure_pa))


class Baseline:
    """The pressure at which a flow of one rate settles: two blocks of 30 s with the same mean.

    Attributes:
        known: whether it has settled at this rate.
        learned_pa: where it settled first at this rate.
        settled_pa: where it settled last.

    """

    def __init__(self, settled_pa: int = SETTLED_PA) -> None:
        self.tolerance_pa = settled_pa
        self.begin()

    def begin(self) -> None:
        """A flow starts: nothing is known of it."""
        self.known = False
        self.learned_pa = self.settled_pa = 0
        self._mean_pa = self._rate_nl = 0
        self._blocks = 0
        self._clear()

    def update(self, elapsed_ms: int, pushed_nl: int, pressure_pa: int) -> None:
        """Take a sample."""
        self._ms += elapsed_ms
        self._nl += pushed_nl
        self._sum_pa += _bounded(pressure_pa)
        self._samples += 1
        if self._ms >= BLOCK_MS or self._samples >= _MOST_SUMMED:
            self._close_block()

    def _close_block(self) -> None:
        mean_pa = self._sum_pa // self._samples
        # Volume in 30 s, whatever the block's length was; a small integer up to 1200 mL/h.
        seconds = max(1, (self._ms + 500) // 1000)
        rate_nl = self._nl // seconds * 30 + self._nl % seconds * 30 // seconds
        slack_nl = _SAME_RATE_NL + abs(rate_nl) // 100 * _SAME_RATE_PERCENT
        if not self._blocks or abs(rate_nl - self._rate_nl) > slack_nl:
            self._rate_nl = rate_nl
            self.known = False
        elif abs(mean_pa - self._mean_pa) <= self.tolerance_pa:
            if not self.known:
                self.known = True
                self.learned_pa = mean_pa
            self.settled_pa = mean_pa
        self._mean_pa = mean_pa
        self._blocks = 1
        self._clear()

    def _clear(self) -> None:
        self._ms = self._nl = self._sum_pa = self._samples = 0


class Slope:
    """A closed line by the shape of its rise, over volume: Δp = ΔV/C.

    The mean pressure is marked down for each equal piece of volume. At each mark the shortest
    stretch that rises by the floor is looked at: a closed line's rise is straight, and as steep as
    its compliance says. A step has its rise in one third; what rises towards Q·R rises ever less.
    Time does not come into it but for the floor: what an open line may rise by at this rate.

    Attributes:
        began_pa: where the rise that was found began.

    """

    def __init__(self) -> None:
        self._marks_pa = array("i", [0] * _MARKS)
        self.configure(
            LEAST_COMPLIANCE_NL_KPA,
            GREATEST_COMPLIANCE_NL_KPA,
            SLOPE_FLOOR_PA,
            SLOPE_FLOOR_PA_S_UL,
            SLOPE_LEAST_PERCENT,
            SLOPE_GREATEST_PERCENT,
            SLOPE_STEADY_PERCENT,
            SLOPE_QUARTER_LEAST_PERCENT,
            SLOPE_QUARTER_GREATEST_PERCENT,
        )

    def configure(
        self,
        least_nl_kpa: int,
        greatest_nl_kpa: int,
        floor_pa: int,
        floor_pa_s_ul: int,
        least_percent: int,
        greatest_percent: int,
        steady_percent: int,
        quarter_least_percent: int,
        quarter_greatest_percent: int,
    ) -> None:
        """As ``Occlusion.configure`` has it."""
        self._floor_pa = floor_pa
        self._floor_pa_s_ul = floor_pa_s_ul
        self._steady_percent = steady_percent
        self._quarter_least_percent = quarter_least_percent
        self._quarter_greatest_percent = quarter_greatest_percent
        self.mark_nl = max(1, greatest_nl_kpa * floor_pa // 1000 // _MARKS_IN_FLOOR)
        self._middle_nl_kpa = (least_nl_kpa + greatest_nl_kpa) // 2
        # What a mark's volume may and must rise by.
        self._most_pa = self.mark_nl * 1000 // least_nl_kpa * greatest_percent // 100
        self._least_pa = self.mark_nl * 1000 // greatest_nl_kpa * least_percent // 100
        self.begin()

    def begin(self) -> None:
        """A flow starts: no rise goes on from before."""
        self.began_pa = 0
        self._at = self._marks = 0
        self._nl = self._piece_nl = self._ms = self._sum_pa = self._samples = 0
        self._found = self._was_closed = False

    def mark_pa(self) -> int:
        """What a closed line of the middle compliance rises by in a mark, Pa."""
        return self.mark_nl * 1000 // self._middle_nl_kpa

    def floor_pa(self, rate_nl_s: int) -> int:
        """What a rise must come to at this rate."""
        above_nl_s = max(0, min(1_000_000, rate_nl_s) - SLOPE_FLOOR_FROM_NL_S)
        return self._floor_pa + above_nl_s * self._floor_pa_s_ul // 1000

    def update(self, elapsed_ms: int, pushed_nl: int, pressure_pa: int) -> bool:
        """Take a sample; whether the last stretch is that of a closed line."""
        if not self._floor_pa:
            return False
        if pushed_nl < 0:
            self.begin()
            return False
        self._ms = min(LONGEST_MS, self._ms + elapsed_ms)
        self._nl += pushed_nl
        self._piece_nl = min(1_000_000, self._piece_nl + pushed_nl)
        self._sum_pa += _bounded(pressure_pa)
        self._samples += 1
        if self._samples >= _MOST_SUMMED:
            self._sum_pa //= 2
            self._samples //= 2
        if self._nl >= self.mark_nl:
            self._mark()
        return self._found

    def _mark(self) -> None:
        marks = min(_MARKS, self._nl // self.mark_nl)
        # nL per s; at 10 µL/h a mark takes hours.
        rate_nl_s = self._piece_nl * 1000 // max(1, self._ms)
        mean_pa = self._sum_pa // self._samples
        for _ in range(marks):
            self._at = (self._at + 1) % _MARKS
            self._marks_pa[self._at] = mean_pa
        self._marks = min(_MARKS, self._marks + marks)
        self._nl %= self.mark_nl
        self._piece_nl = self._ms = self._sum_pa = self._samples = 0
        # A cough that makes a rise even is over by the next mark, or goes on without a rise.
        is_closed = self._is_closed(self.floor_pa(rate_nl_s))
        self._found = is_closed and self._was_closed
        self._was_closed = is_closed

    def _back(self, marks: int) -> int:
        return self._marks_pa[(self._at - marks) % _MARKS]

    def _is_closed(self, floor_pa: int) -> bool:
        """Whether the shortest stretch that rises by the floor is straight, and fits."""
        now_pa = self._back(0)
        for marks in range(4, self._marks):
            rise_pa = now_pa - self._back(marks)
            if rise_pa >= floor_pa:
                fits = marks * self._least_pa <= rise_pa <= marks * self._most_pa
                if not fits or not self._is_straight(marks, rise_pa):
                    return False
                self.began_pa = self._back(marks)
                return True
        return False

    def _is_straight(self, marks: int, rise_pa: int) -> bool:
        """Whether a quarter of it, taken anywhere, rises as another does, and the last half too."""
        least_pa = rise_pa // 100 * self._quarter_least_percent
        greatest_pa = rise_pa // 100 * self._quarter_greatest_percent
        quarter = marks // 4
        for at in range(marks - quarter + 1):
            if not least_pa <= self._back(at) - self._back(at + quarter) <= greatest_pa:
                return False
        half = marks // 2
        last_pa = self._back(0) - self._back(half)
        first_pa = self._back(half) - self._back(2 * half)
        return 100 * last_pa >= self._steady_percent * first_pa


class Occlusion:
    """Downstream occlusion, of a line's pressure or of a plunger's force divided by its area."""

    LEVEL = 1
    SLOPE = 2
    PARTIAL = 4

    def __init__(self) -> None:
        self._smooth = Smooth(LEVEL_FILTER_MS)
        self._slope = Slope()
        self._baseline = Baseline()
        self._partial = Held(PARTIAL_MS)
        self.configure(OCCLUSION_LEVELS_PA[4])

    def configure(
        self,
        level_pa: int,
        least_nl_kpa: int = LEAST_COMPLIANCE_NL_KPA,
        greatest_nl_kpa: int = GREATEST_COMPLIANCE_NL_KPA,
        friction_pa: int = 0,
        floor_pa: int = SLOPE_FLOOR_PA,
        floor_pa_s_ul: int = SLOPE_FLOOR_PA_S_UL,
        least_percent: int = SLOPE_LEAST_PERCENT,
        greatest_percent: int = SLOPE_GREATEST_PERCENT,
        steady_percent: int = SLOPE_STEADY_PERCENT,
        quarter_least_percent: int = SLOPE_QUARTER_LEAST_PERCENT,
        quarter_greatest_percent: int = SLOPE_QUARTER_GREATEST_PERCENT,
        margin_pa: int = PARTIAL_MARGIN_PA,
        margin_ms: int = PARTIAL_MS,
        settled_pa: int = SETTLED_PA,
    ) -> None:
        """Set it up before a start.

        Args:
            level_pa: the pressure limit, Pa.
            least_nl_kpa: the least compliance of syringe and line, nL/kPa.
            greatest_nl_kpa: the greatest.
            friction_pa: what the plunger's friction adds to the reading, Pa: its force divided by
                the plunger's area for a force cell, 0 for a sensor in the line.
            floor_pa: the least rise that SLOPE tells, Pa; 0 for none, as for a roller head, whose
                strokes rise by more.
            floor_pa_s_ul: what is added to it for each µL/s beyond 5 mL/h, Pa·s/µL; up to 1000.
            least_percent: the slope's lower bound, % of that of the greatest compliance.
            greatest_percent: its upper bound, % of that of the least compliance.
            steady_percent: the last half of the rise against the first, %.
            quarter_least_percent: what each quarter of the rise has of it at least, %,
            quarter_greatest_percent: and at most, %.
            margin_pa: PARTIAL is so far above where this rate settled, Pa,
            margin_ms: for so long, ms.
            settled_pa: how near two blocks of 30 s have to be to each other, Pa.

        """
        self._limit_pa = level_pa + friction_pa
        self._margin_pa = margin_pa
        self._partial.hold_ms = margin_ms
        self._baseline.tolerance_pa = settled_pa
        self._slope.configure(
            least_nl_kpa,
            greatest_nl_kpa,
            floor_pa,
            floor_pa_s_ul,
            least_percent,
            greatest_percent,
            steady_percent,
            quarter_least_percent,
            quarter_greatest_percent,
        )
        self.begin()

    def begin(self) -> None:
        """A flow starts."""
        self.baseline_pa = 0
        self._smooth.begin()
        self._slope.begin()
        self._baseline.begin()
        self._partial.begin()

    def update(self, elapsed_ms: int, pushed_nl: int, pressure_pa: int) -> int:
        """Take a sample; bits of LEVEL, SLOPE, PARTIAL."""
        pressure_pa = _bounded(pressure_pa)
        smooth_pa = self._smooth.update(elapsed_ms, pressure_pa)
        self._baseline.update(elapsed_ms, pushed_nl, pressure_pa)
        found = 0
        if smooth_pa >= self._limit_pa:
            found |= self.LEVEL
        if self._slope.update(elapsed_ms, pushed_nl, pressure_pa):
            found |= self.SLOPE
            self.baseline_pa = self._slope.began_pa
        elif self._baseline.known:
            self.baseline_pa = self._baseline.learned_pa
        above = self._baseline.known and (smooth_pa - self._baseline.learned_pa >= self._margin_pa)
        if self._partial.update(elapsed_ms, above):
            found |= self.PARTIAL
        return found

    def slope_rise_pa(self, rate_ul_h: int) -> int:
        """The rise at which SLOPE tells a closed line at this rate, Pa.

        Its floor, on average half a mark until it is looked at, and one to be sure; of a line of
        the middle compliance.
        """
        return self._slope.floor_pa(rate_ul_h * 10 // 36) + 3 * self._slope.mark_pa() // 2


def bolus_nl(rise_pa: int, compliance_nl_kpa: int) -> int:
    """What a line closed at its end holds after a rise, and releases when it opens, nL: C·Δp."""
    return rise_pa * compliance_nl_kpa // 1000


def expected_alarm_ms(rate_ul_h: int, rise_pa: int, compliance_nl_kpa: int) -> int:
    """From a closed line to a rise of ``rise_pa`` at a constant rate, ms: C·Δp/Q."""
    return bolus_nl(rise_pa, compliance_nl_kpa) * 3600 // rate_ul_h


class Release:
    """What syringe and line let go while the pressure falls, and take up while it rises: C·Δp.

    It flows, or does not, beside what is pushed: a bubble goes by with all of it. Counted from the
    pressure soon after the air came, since a fall may have brought it, and so that what swings to
    and fro comes to nothing; of a fall with the greatest compliance and of a rise with the least,
    so that no bubble is taken for less than it is.
    """

    def __init__(self) -> None:
        self._smooth = Smooth(RELEASE_FILTER_MS)
        self.configure(0, 0)

    def configure(self, least_nl_kpa: int, greatest_nl_kpa: int) -> None:
        """Set the bounds of the compliance, nL/kPa; 0 where it is no matter."""
        self._least_nl_kpa = least_nl_kpa
        self._greatest_nl_kpa = greatest_nl_kpa
        self.begin()

    def begin(self) -> None:
        """A flow starts."""
        self._smooth.begin()
        self._since = 0
        self._from_pa = self._told_nl = 0

    def update(self, elapsed_ms: int, pressure_pa: int) -> None:
        """Take a sample of the pressure."""
        self._smooth.update(elapsed_ms, _bounded(pressure_pa))
        self._since = min(_RELEASE_AFTER, self._since + 1)

    def flowed_nl(self, is_air: bool) -> int:
        """What flowed beside what was pushed since this was last asked, where there is air; nL."""
        if not is_air:
            self._since = 0
        if self._since < _RELEASE_AFTER:
            self._from_pa = self._smooth.value
            self._told_nl = 0
            return 0
        fall_pa = self._from_pa - self._smooth.value
        compliance = self._greatest_nl_kpa if fall_pa > 0 else self._least_nl_kpa
        # Up to 500 kPa and 21 µL/kPa; 100 Pa are no matter.
        flowed_nl = fall_pa // 100 * compliance // 10
        before_nl = self._told_nl
        self._told_nl = flowed_nl
        return flowed_nl - before_nl


class Upstream:
    """A supply that gives nothing: suction before a peristaltic head.

    SUCTION is a pressure below the limit; FALL is one that fell so far below where it settled.
    """

    SUCTION = 1
    FALL = 2

    def __init__(self) -> None:
        self._smooth = Smooth(LEVEL_FILTER_MS)
        self._baseline = Baseline()
        self.configure()

    def configure(self, limit_pa: int = SUCTION_LIMIT_PA, fall_pa: int = SUCTION_FALL_PA) -> None:
        """Set the limit (Pa above ambient, negative) and the fall (Pa)."""
        self._limit_pa = limit_pa
        self._fall_pa = fall_pa
        self.begin()

    def begin(self) -> None:
        """A flow starts."""
        self._smooth.begin()
        self._baseline.begin()

    def update(self, elapsed_ms: int, pushed_nl: int, pressure_pa: int) -> int:
        """Take a sample; bits of SUCTION, FALL."""
        pressure_pa = _bounded(pressure_pa)
        smooth_pa = self._smooth.update(elapsed_ms, pressure_pa)
        self._baseline.update(elapsed_ms, pushed_nl, pressure_pa)
        found = 0
        if smooth_pa <= self._limit_pa:
            found |= self.SUCTION
        if self._baseline.known and self._baseline.learned_pa - smooth_pa >= self._fall_pa:
            found |= self.FALL
        return found


class Disconnection:
    """A line that came off: a pressure that had settled above ambient is ambient while it flows."""

    DISCONNECTED = 1

    def __init__(self) -> None:
        self._baseline = Baseline()
        self._held = Held(DISCONNECTION_MS)
        self.configure()

    def configure(
        self,
        baseline_pa: int = DISCONNECTION_BASELINE_PA,
        ambient_pa: int = DISCONNECTION_AMBIENT_PA,
        hold_ms: int = DISCONNECTION_MS,
    ) -> None:
        """Set what must have settled (Pa), how near is ambient (Pa), and for how long (ms)."""
        self._least_pa = baseline_pa
        self._ambient_pa = ambient_pa
        self._held.hold_ms = hold_ms
        self.begin()

    def begin(self) -> None:
        """A flow starts."""
        self._baseline.begin()
        self._held.begin()
        self._settled_pa = 0

    def update(self, elapsed_ms: int, pushed_nl: int, pressure_pa: int) -> int:
        """Take a sample; DISCONNECTED or 0."""
        at_ambient = abs(pressure_pa) <= self._ambient_pa
        # What is ambient now is not what it fell from.
        if not at_ambient:
            self._baseline.update(elapsed_ms, pushed_nl, pressure_pa)
            if self._baseline.known:
                self._settled_pa = self._baseline.settled_pa
        fell = at_ambient and pushed_nl >= 0 and self._settled_pa >= self._least_pa
        return self.DISCONNECTED if self._held.update(elapsed_ms, fell) else 0
