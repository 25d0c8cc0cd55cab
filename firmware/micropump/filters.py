"""What detectors share: a filter, a condition that has to last, a bound with hysteresis."""

# Longer than any time that is waited for here; sums of times stay small integers.
LONGEST_MS = 1 << 28


class Smooth:
    """A first-order lag, which begins at the first sample.

    Attributes:
        value: what is filtered, in the unit of the samples.

    """

    def __init__(self, lag_ms: int) -> None:
        self._lag_ms = lag_ms
        self.begin()

    def begin(self) -> None:
        """Forget all samples."""
        self.value = 0
        self._has_begun = False

    def update(self, elapsed_ms: int, sample: int) -> int:
        """Take a sample, and return the value."""
        if elapsed_ms >= self._lag_ms or not self._has_begun:
            self.value = sample
        else:
            self.value += (sample - self.value) * elapsed_ms // self._lag_ms
        self._has_begun = True
        return self.value


class Held:
    """A condition that has to last.

    Args:
        hold_ms: how long; the sample that shows it first counts as no time.

    """

    def __init__(self, hold_ms: int) -> None:
        self.hold_ms = hold_ms
        self.begin()

    def begin(self) -> None:
        """As if it never was."""
        self._for_ms = -1

    def update(self, elapsed_ms: int, is_so: bool) -> bool:
        """Whether it is so, and has been for long enough."""
        if not is_so:
            self._for_ms = -1
        elif self._for_ms < 0:
            self._for_ms = 0
        else:
            self._for_ms = min(LONGEST_MS, self._for_ms + elapsed_ms)
        return self._for_ms >= self.hold_ms


class Beyond:
    """A value beyond a bound for a time, until it is back by the hysteresis; either direction.

    Args:
        hold_ms: how long it has to last.

    """

    def __init__(self, hold_ms: int) -> None:
        self._held = Held(hold_ms)
        self.configure(0, 0)

    def configure(self, bound: int, hysteresis: int) -> None:
        """Above ``bound``, or below it where ``hysteresis`` is negative."""
        self._sign = -1 if hysteresis < 0 else 1
        self._bound = self._sign * bound
        self._hysteresis = abs(hysteresis)
        self._is_so = False
        self._held.begin()

    def update(self, elapsed_ms: int, value: int) -> bool:
        """Whether it is beyond."""
        value *= self._sign
        if self._held.update(elapsed_ms, value > self._bound):
            self._is_so = True
        elif value <= self._bound - self._hysteresis:
            self._is_so = False
        return self._is_so
