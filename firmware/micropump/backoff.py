"""What a pump does about a closed line: draws back, looks, and may find that it is open again.

``relief`` says how much; here it is done, a portion at a time: the motor makes it, the pressure is
waited for, and the next follows. Whoever runs the pump starts it, calls ``look`` at rest and
``portion_is_made`` when the motor is at its end, and may ``cut`` it at any moment.
"""

from .motion import Motion
from .occlusion import GREATEST_COMPLIANCE_NL_KPA
from .program import RETRACTED
from .relief import (
    CHECK_AFTER_MS,
    CHECK_HELD_PA,
    CHECK_HOLD_MS,
    CHECK_NL,
    SETTLE_MS,
    SETTLE_SAMPLES,
    Relief,
)
from .units import MILLION, elapsed_ms

# As fast as pressure is taken off: twice as fast is no better, and a stop takes a quantum's steps.
RELIEF_UL_H = 600_000
CHECK_UL_H = 100_000

# What has become of it.
BUSY = 0
OVER = 1
IS_OPEN = 2

_DRAWING = 1
_SETTLING = 2
_WAITING = 3
_PUSHING = 4
_HOLDING = 5


class BackOff:
    """A back-off, and the line check that may follow. Allocates nothing once made.

    Attributes:
        drawn_steps: microsteps drawn back, as counted.

    Args:
        motion: of the pump; stopped when ``begin`` is called.
        monitor: says what the line's pressure is.

    """

    def __init__(self, motion: Motion, monitor) -> None:
        self._motion = motion
        self._monitor = monitor
        self._relief = Relief()
        self._doing = 0
        self._since_ms = 0
        self._samples = 0
        self._before_steps = 0
        self._held_pa = 0
        self._pushed_steps = 0
        self._may_check = False
        self.drawn_steps = 0

    def begin(self, now_ms: int, pressure_pa: int, rate_ul_h: int, may_check: bool) -> int:
        """Begin, at a line's pressure; ``BUSY``, or ``OVER`` where there is nothing to draw back.

        Args:
            now_ms: the time.
            pressure_pa: of the line that is closed.
            rate_ul_h: what flowed.
            may_check: whether the line is to be checked afterwards.

        """
        monitor = self._monitor
        self._relief.begin(
            pressure_pa,
            monitor.relief_target_pa(rate_ul_h),
            monitor.least_nl_kpa(),
            GREATEST_COMPLIANCE_NL_KPA,
            self._motion.program.mechanism.area_mm2,
        )
        self._may_check = may_check
        self.drawn_steps = 0
        return self._draw(now_ms)

    def portion_is_made(self, now_ms: int) -> None:
        """The motor is stopped: what it was asked for is drawn back, or pushed for a check."""
        drawn = self._doing == _DRAWING
        if drawn:
            self._take_back()
        self._doing = _SETTLING if drawn else _HOLDING
        self._since_ms = now_ms
        self._samples = self._monitor.pressure_samples

    def cut(self) -> None:
        """The motor was stopped in the middle of it, for whatever reason; it is over."""
        if self._doing == _DRAWING:
            self._take_back()
        self._doing = 0

    def look(self, now_ms: int) -> int:
        """At rest: go on, if it is time; ``BUSY``, ``OVER``, or ``IS_OPEN`` for the line."""
        waited_ms = elapsed_ms(now_ms, self._since_ms)
        if self._doing == _WAITING:
            return self._check(now_ms) if waited_ms >= CHECK_AFTER_MS else BUSY
        monitor = self._monitor
        samples = (monitor.pressure_samples - self._samples) & 0xFFFF
        if samples < SETTLE_SAMPLES and waited_ms < SETTLE_MS:
            return BUSY
        if samples == 0:
            # Blind: no further.
            return OVER
        if self._doing == _SETTLING:
            return self._draw(now_ms)
        if monitor.pressure_pa - self._held_pa > CHECK_HELD_PA:
            # Still closed, if it does not go by itself: what presses is drawn back.
            return self._draw(now_ms) if waited_ms >= CHECK_HOLD_MS else BUSY
        if self._pushed_steps < self.drawn_steps:
            return self._push(now_ms)
        return IS_OPEN

    def _draw(self, now_ms: int) -> int:
        motion = self._motion
        parts = motion.program.mechanism
        steps = parts.steps_for_nl(self._relief.portion_nl(self._monitor.pressure_pa))
        if steps:
            self._doing = _DRAWING
            self._before_steps = self._retracted()
            motion.relieve(now_ms, min(RELIEF_UL_H, parts.greatest_rate_ul_h), steps)
            return BUSY
        if not self._may_check:
            return OVER
        self._doing = _WAITING
        self._since_ms = now_ms
        return BUSY

    def _check(self, now_ms: int) -> int:
        """Once: a line that is found closed is not asked again."""
        self._may_check = False
        self._pushed_steps = 0
        self._held_pa = self._monitor.pressure_pa
        return self._push(now_ms)

    def _push(self, now_ms: int) -> int:
        """Push a little of what was drawn back, to see whether the line holds it."""
        motion = self._motion
        parts = motion.program.mechanism
        left_steps = self.drawn_steps - self._pushed_steps
        steps = max(1, min(parts.steps_for_nl(CHECK_NL), left_steps))
        self._pushed_steps += steps
        self._doing = _PUSHING
        bucket = motion.program.phases[motion.planning].bucket
        motion.push(now_ms, min(CHECK_UL_H, parts.greatest_rate_ul_h), steps, bucket)
        return BUSY

    def _retracted(self) -> int:
        # A relief is less than a million steps.
        return self._motion.delivered_rest[RETRACTED]

    def _take_back(self) -> None:
        drawn = self._retracted() - self._before_steps
        if drawn < 0:
            drawn += MILLION
        self._before_steps = self._retracted()
        self.drawn_steps += drawn
        self._motion.take_back(drawn)
