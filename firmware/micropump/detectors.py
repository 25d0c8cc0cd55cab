"""What the other sensors mean: air, a stall, the syringe in its clamp, the supply, heat.

Used as those of ``occlusion`` are, once for each new sample; ``docs/detectors.md`` has models,
figures, sources, and what each cannot see.
"""

from array import array

from .filters import LONGEST_MS, Beyond, Held
from .units import SMALL_INT_LIMIT

# IEC 60601-2-24: 1 mL within 15 min, bubbles below 50 µL not counted. GIP 1.9.1: 200 µL.
AIR_ON_PERMILLE = 600
AIR_OFF_PERMILLE = 400
AIR_BUBBLE_NL = 200_000
AIR_LEAST_BUBBLE_NL = 50_000
AIR_GREATEST_BUBBLE_NL = 500_000
AIR_ACCUMULATED_NL = 1_000_000
AIR_WINDOW_MS = 900_000
# As many bubbles that count as reach the limit, and the one that is over it.
_BUBBLES = AIR_ACCUMULATED_NL // AIR_LEAST_BUBBLE_NL + 1

ENCODER_COUNTS = 4096
_HALF = ENCODER_COUNTS // 2
# A motor that loses its place does so by four full steps: 82 counts at 200 steps.
STALL_SLACK_COUNTS = 60

BARREL_GONE_UM = 2_000
BARREL_TOLERANCE_UM = 1_200
BARREL_MS = 300

# GIP 5.1.1: the mean of ten samples.
BATTERY_SAMPLES = 10
BATTERY_HYSTERESIS_MV = 100

RAIL_MS = 200
RAIL_HYSTERESIS_MV = 300
TEMPERATURE_LIMIT_DECI_C = 650
TEMPERATURE_HYSTERESIS_DECI_C = 50
TEMPERATURE_MS = 2_000

# Far beyond every limit; what is added to them stays a small integer.
_MOST_NL = 1 << 28
_MOST_COUNTS = 1 << 28


class Air:
    """Air in the line, by the volume that is pushed while the sensor sees it.

    BUBBLE is one of the limit or more; ACCUMULATED the sum of all that count. A bubble counts in
    full, while it passes and for the window's length from its end; a start forgets nothing.
    """

    BUBBLE = 1
    ACCUMULATED = 2

    def __init__(self) -> None:
        self._ago_ms = array("i", [0] * _BUBBLES)
        self._nl = array("i", [0] * _BUBBLES)
        self.configure()
        self.clear()

    def configure(
        self,
        bubble_nl: int = AIR_BUBBLE_NL,
        accumulated_nl: int = AIR_ACCUMULATED_NL,
        window_ms: int = AIR_WINDOW_MS,
        on_permille: int = AIR_ON_PERMILLE,
        off_permille: int = AIR_OFF_PERMILLE,
    ) -> None:
        """Set the limits; what was counted stays.

        Args:
            bubble_nl: a single bubble, 50 to 500 µL, in nL.
            accumulated_nl: within the window, up to 1 mL, in nL.
            window_ms: the window's length, ms.
            on_permille: air from here up, of 0 … 1000.
            off_permille: liquid from here down.

        """
        self._limit_nl = max(AIR_LEAST_BUBBLE_NL, min(AIR_GREATEST_BUBBLE_NL, bubble_nl))
        self._accumulated_nl = min(AIR_ACCUMULATED_NL, accumulated_nl)
        self._window_ms = window_ms
        self._on_permille = on_permille
        self._off_permille = off_permille

    def clear(self) -> None:
        """The line was primed: there is no air in it, nor was any given."""
        self.present = False
        self.accumulated_nl = 0
        self._open_nl = 0
        self._first = self._count = 0

    def update(self, elapsed_ms: int, pushed_nl: int, air_permille: int) -> int:
        """Take a sample; bits of BUBBLE, ACCUMULATED. What was pushed is as the sample says."""
        self._age(elapsed_ms)
        if air_permille >= self._on_permille:
            self.present = True
        elif air_permille <= self._off_permille and self.present:
            self.present = False
            self._close()
        if self.present:
            self._open_nl = max(0, min(_MOST_NL, self._open_nl + pushed_nl))
        counts_nl = self._open_nl if self._open_nl >= AIR_LEAST_BUBBLE_NL else 0
        found = 0
        if self._open_nl >= self._limit_nl:
            found |= self.BUBBLE
        if self.accumulated_nl + counts_nl >= self._accumulated_nl:
            found |= self.ACCUMULATED
        return found

    def _age(self, elapsed_ms: int) -> None:
        for back in range(self._count):
            at = (self._first + back) % _BUBBLES
            self._ago_ms[at] = min(LONGEST_MS, self._ago_ms[at] + elapsed_ms)
        while self._count and self._ago_ms[self._first] >= self._window_ms:
            self._drop_first()

    def _close(self) -> None:
        if self._open_nl >= AIR_LEAST_BUBBLE_NL:
            # A full record is above the limit by itself; it stays so without its oldest.
            if self._count == _BUBBLES:
                self._drop_first()
            at = (self._first + self._count) % _BUBBLES
            self._ago_ms[at] = 0
            self._nl[at] = min(AIR_ACCUMULATED_NL, self._open_nl)
            self.accumulated_nl += self._nl[at]
            self._count += 1
        self._open_nl = 0

    def _drop_first(self) -> None:
        self.accumulated_nl -= self._nl[self._first]
        self._first = (self._first + 1) % _BUBBLES
        self._count -= 1


class Stall:
    """A motor that does not go where it is stepped: an encoder's travel against the steps.

    An angle is of some moment since it was asked for, so between encoder and steps lies a range of
    differences: all that may have been turned since. Those of a motor that follows have one in
    common, which no sample but the first narrows to less than noise; a sample that is beyond all of
    them by more than the slack tells.

    Attributes:
        lag_counts: how far the encoder is ahead of every place that the steps explain, 1/4096 of a
            turn; negative behind, 0 where they explain it.

    """

    STALLED = 1

    def __init__(self) -> None:
        self.configure(3200, 16_000)

    def configure(
        self,
        steps_per_rev: int,
        greatest_steps_s: int,
        slack_counts: int = STALL_SLACK_COUNTS,
        reverse: bool = False,
    ) -> None:
        """Set how the motor turns the encoder, the slack, and which way it counts.

        Args:
            steps_per_rev: microsteps of the motor for a turn of what the encoder sits on; above 0.
            greatest_steps_s: microsteps a second, of the fastest that the motor is turned.
            slack_counts: load angle, elasticity and backlash between motor and encoder.
            reverse: whether the encoder's angle falls when the motor goes forward.

        """
        self._steps_per_rev = steps_per_rev
        self._step_counts = ENCODER_COUNTS // steps_per_rev + 1
        self._counts_per_ms = greatest_steps_s * ENCODER_COUNTS // (steps_per_rev * 1000) + 1
        self._slack_counts = slack_counts
        self._reverse = reverse
        self.begin()

    def begin(self) -> None:
        """A flow starts: wherever the encoder is, it is right.

        The first angle may still be of before, when the motor turned.
        """
        self._rest = 0
        self._before = 0
        self._is_first = True
        self._angle = -1
        self._ahead = self._nearest = self._farthest = 0
        self._least = -_MOST_COUNTS
        self._greatest = _MOST_COUNTS
        self._beyond = 0
        self.lag_counts = 0

    def update(self, elapsed_ms: int, moved_steps: int, angle_counts: int, age_ms: int) -> int:
        """Take an angle; STALLED or 0.

        Args:
            elapsed_ms: since the update before.
            moved_steps: microsteps since then; negative backwards.
            angle_counts: the newest.
            age_ms: how long ago it was asked for, or longer; not before the update before that.

        """
        if self._reverse:
            angle_counts = -angle_counts & (ENCODER_COUNTS - 1)
        turned = self._rest + moved_steps * ENCODER_COUNTS
        expected = turned // self._steps_per_rev
        self._rest = turned - expected * self._steps_per_rev
        # Of the update before, no more than what came after it was asked for.
        most = self._most_counts(age_ms - elapsed_ms)
        since = expected + max(-most, min(most, self._before))
        self._before = expected
        # From there to here, of the steps: a turning point may lie between.
        most = self._most_counts(age_ms)
        nearest = max(-most, min(0, expected, since))
        farthest = min(most, max(0, expected, since))
        is_too_old = farthest - nearest > _HALF - self._slack_counts
        if self._is_first or is_too_old:
            # Passed over; the next is judged by all steps since the last that was not.
            self._is_first = False
            if self._angle >= 0:
                self._angle = (self._angle + expected) & (ENCODER_COUNTS - 1)
        else:
            self._take(expected, angle_counts, nearest, farthest)
        return self.STALLED if self._beyond == 2 else 0

    def _take(self, expected: int, angle_counts: int, nearest: int, farthest: int) -> None:
        """Take an angle that may lack from ``nearest`` to ``farthest`` of where the steps are."""
        if self._angle < 0:
            self._angle = (angle_counts - expected) & (ENCODER_COUNTS - 1)
        # Of all ways that end at this angle, the one in the middle between those of a motor that
        # follows and of one that stands; none is cut off that one angle and the other explain.
        least = self._farthest - nearest + self._slack_counts
        most = ENCODER_COUNTS + self._nearest - farthest - self._slack_counts
        top = max(least, min(most, _HALF - expected // 2))
        way = (angle_counts - self._angle - expected - top) & (ENCODER_COUNTS - 1)
        self._angle = angle_counts
        self._nearest = nearest
        self._farthest = farthest
        ahead = self._ahead + way + top - ENCODER_COUNTS
        self._ahead = max(-_MOST_COUNTS, min(_MOST_COUNTS, ahead))
        self._judge(self._ahead + nearest, self._ahead + farthest)

    def _most_counts(self, for_ms: int) -> int:
        """How far the motor turns at most in so long; beyond a turn, a turn or more."""
        if for_ms <= 0:
            return 0
        # It is a count in each ms or more. And a step, which is made at once.
        return self._counts_per_ms * min(for_ms, ENCODER_COUNTS) + self._step_counts

    def _judge(self, least: int, greatest: int) -> None:
        """Take between which differences a sample lies."""
        if least > self._greatest:
            self.lag_counts = least - self._greatest
        elif greatest < self._least:
            self.lag_counts = greatest - self._least
        else:
            self.lag_counts = 0
            self._least = max(self._least, least)
            self._greatest = min(self._greatest, greatest)
        if abs(self.lag_counts) <= self._slack_counts:
            self._beyond = 0
        else:
            # One alone may be a false angle: the encoder sends no check of it.
            self._beyond = min(2, self._beyond + 1)


class Barrel:
    """The syringe in its clamp: whether there is one, and of the size that was programmed."""

    REMOVED = 1
    WRONG_SIZE = 2

    def __init__(self) -> None:
        self._removed = Held(BARREL_MS)
        self._wrong = Held(BARREL_MS)
        self.configure(0)

    def configure(
        self,
        diameter_um: int,
        tolerance_um: int = BARREL_TOLERANCE_UM,
        gone_um: int = BARREL_GONE_UM,
    ) -> None:
        """Set the barrel's outer diameter; 0 where any size will do (µm)."""
        self._diameter_um = diameter_um
        self._tolerance_um = tolerance_um
        self._gone_um = gone_um
        self._removed.begin()
        self._wrong.begin()

    def update(self, elapsed_ms: int, opening_um: int) -> int:
        """Take a sample of the clamp's opening; REMOVED, or WRONG_SIZE, or 0."""
        gone = opening_um < self._gone_um
        wrong = (
            not gone
            and self._diameter_um > 0
            and abs(opening_um - self._diameter_um) > self._tolerance_um
        )
        found = self.REMOVED if self._removed.update(elapsed_ms, gone) else 0
        if self._wrong.update(elapsed_ms, wrong):
            found |= self.WRONG_SIZE
        return found


class Battery:
    """A battery by the mean of its last ten samples.

    Attributes:
        mean_mv: that mean, of fewer until there are ten.

    """

    LOW = 1
    DEPLETED = 2

    def __init__(self) -> None:
        self._samples_mv = array("i", [0] * BATTERY_SAMPLES)
        self._low = Beyond(0)
        self._depleted = Beyond(0)
        self._count = self._at = self._sum_mv = self.mean_mv = 0
        self.configure(0, 0)

    def configure(
        self, low_mv: int, depleted_mv: int, hysteresis_mv: int = BATTERY_HYSTERESIS_MV
    ) -> None:
        """Set below what it is low and depleted, and by what it has to recover, mV."""
        self._low.configure(low_mv, -hysteresis_mv)
        self._depleted.configure(depleted_mv, -hysteresis_mv)

    def update(self, sample_mv: int) -> int:
        """Take a sample; bits of LOW, DEPLETED. Nothing is said of fewer than ten samples."""
        self._sum_mv += sample_mv - self._samples_mv[self._at]
        self._samples_mv[self._at] = sample_mv
        self._at = (self._at + 1) % BATTERY_SAMPLES
        self._count = min(BATTERY_SAMPLES, self._count + 1)
        self.mean_mv = self._sum_mv // self._count
        if self._count < BATTERY_SAMPLES:
            return 0
        found = self.LOW if self._low.update(0, self.mean_mv) else 0
        if self._depleted.update(0, self.mean_mv):
            found |= self.DEPLETED
        return found


class Rail:
    """The motor's supply, within its range or not."""

    LOW = 1
    HIGH = 2

    def __init__(self) -> None:
        self._low = Beyond(RAIL_MS)
        self._high = Beyond(RAIL_MS)
        self.configure(0, SMALL_INT_LIMIT - 1)

    def configure(
        self, least_mv: int, greatest_mv: int, hysteresis_mv: int = RAIL_HYSTERESIS_MV
    ) -> None:
        """Set the range and by what it has to recover, mV."""
        self._low.configure(least_mv, -hysteresis_mv)
        self._high.configure(greatest_mv, hysteresis_mv)

    def update(self, elapsed_ms: int, sample_mv: int) -> int:
        """Take a sample; LOW, or HIGH, or 0."""
        found = self.LOW if self._low.update(elapsed_ms, sample_mv) else 0
        if self._high.update(elapsed_ms, sample_mv):
            found |= self.HIGH
        return found


class Temperature:
    """Too hot for too long."""

    OVER = 1

    def __init__(self) -> None:
        self._over = Beyond(TEMPERATURE_MS)
        self.configure()

    def configure(
        self,
        limit_deci_c: int = TEMPERATURE_LIMIT_DECI_C,
        hysteresis_deci_c: int = TEMPERATURE_HYSTERESIS_DECI_C,
    ) -> None:
        """Set the limit and by what it has to cool down, 0.1 °C."""
        self._over.configure(limit_deci_c, hysteresis_deci_c)

    def update(self, elapsed_ms: int, sample_deci_c: int) -> int:
        """Take a sample; OVER or 0."""
        return self.OVER if self._over.update(elapsed_ms, sample_deci_c) else 0
