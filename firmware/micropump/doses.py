"""The limits of patient-controlled analgesia: a lockout, and rolling windows, to the millisecond.

A window holds if all that is given within any stretch of its length stays within its limit: doses,
boluses, and the basal flow at its greatest rate of that stretch. What is granted counts in full
from the moment it is granted, and a demand that is cut short still does. All demands have one size
and pace, so towards another demand one leaves a window its length after it was granted; towards
boluses and the basal flow its length after its end, and so does a bolus towards all.
"""

from .units import elapsed_ms

OK = 0
LOCKED_OUT = 1
LIMIT_REACHED = 2
WINDOWS = 2

# As many as a 4 h window holds with a demand a minute; beyond that demands are refused.
_CAPACITY = 256


class DoseLimits:
    """What a patient may have, and had.

    Args:
        lockout_ms: from a demand that is granted to the next that may be; ms.
        windows: up to two pairs (length in ms, limit in microsteps).
        demand_ms: how long a demand takes from its grant to its last step, at most; ms.

    Attributes:
        made, given: demands so far, and those that were granted.

    """

    def __init__(self, lockout_ms: int, windows: list, demand_ms: int = 0) -> None:
        self.lockout_ms = lockout_ms
        self.windows = windows
        self.demand_ms = demand_ms
        self.made = self.given = 0
        self._longest_ms = max([0] + [window[0] for window in windows]) + demand_ms
        # The basal flow within each window: now, and at the greatest rate that still counts.
        self._basal = [0] * len(windows)
        self._peak = [0] * len(windows)
        self._lowered_ms = 0
        self._at_ms = [0] * _CAPACITY
        self._steps = [0] * _CAPACITY
        # How long after its time an entry was still flowing.
        self._flows_ms = [0] * _CAPACITY
        self._first = 0
        self._count = 0
        self._open_steps = 0
        self._demanded_ms = 0
        self._demanded = False

    def expire(self, now_ms: int) -> None:
        """Forget what no window holds any more; to be called at least once in six days.

        Allocates nothing.
        """
        while self._count and elapsed_ms(now_ms, self._at_ms[self._first]) >= self._longest_ms:
            self._first = (self._first + 1) % _CAPACITY
            self._count -= 1
        if self._demanded and elapsed_ms(now_ms, self._demanded_ms) >= self.lockout_ms:
            self._demanded = False
        for at in range(len(self.windows)):
            if (
                self._peak[at] != self._basal[at]
                and elapsed_ms(now_ms, self._lowered_ms) >= self.windows[at][0]
            ):
                self._peak[at] = self._basal[at]

    def lockout_left_ms(self, now_ms: int) -> int:
        """How long no demand can be granted for the lockout's sake."""
        self.expire(now_ms)
        if not self._demanded:
            return 0
        return self.lockout_ms - elapsed_ms(now_ms, self._demanded_ms)

    def room_for(self, now_ms: int, steps: int, is_demand: bool = False) -> bool:
        """Whether every window has room for ``steps`` more, of a demand or of anything else."""
        self.expire(now_ms)
        # One place is kept for the bolus that may be under way.
        if self._count >= _CAPACITY - 1:
            return False
        for at in range(len(self.windows)):
            held = self._within(now_ms, at, is_demand)
            if held + self._peak[at] + steps > self.windows[at][1]:
                return False
        return True

    def room_for_basal(self, now_ms: int, basal: list) -> bool:
        """Whether every window has room for a basal flow of so many steps in it."""
        self.expire(now_ms)
        for at in range(len(self.windows)):
            held = self._within(now_ms, at, False)
            if held + max(self._peak[at], basal[at]) > self.windows[at][1]:
                return False
        return True

    def set_basal(self, now_ms: int, basal: list) -> None:
        """From now on the basal flow is so many steps in each window."""
        self.expire(now_ms)
        for at in range(len(self.windows)):
            if basal[at] < self._peak[at]:
                self._lowered_ms = now_ms
            self._peak[at] = max(self._peak[at], basal[at])
            self._basal[at] = basal[at]

    def demand(self, now_ms: int, steps: int) -> int:
        """Grant a demand of ``steps`` microsteps and count it, or say why not."""
        self.made += 1
        if self.lockout_left_ms(now_ms):
            return LOCKED_OUT
        if not self.room_for(now_ms, steps, True):
            return LIMIT_REACHED
        self.given += 1
        self._enter(now_ms, steps, self.demand_ms)
        self._demanded_ms = now_ms
        self._demanded = True
        return OK

    def open(self, steps: int) -> None:
        """A bolus for which there is room begins: it counts in full while it flows."""
        self._open_steps += steps

    def close(self, now_ms: int, steps: int) -> None:
        """A bolus of which ``steps`` were given is over. Allocates nothing."""
        self._open_steps = 0
        if steps:
            self._enter(now_ms, steps, 0)

    def _enter(self, now_ms: int, steps: int, flows_ms: int) -> None:
        at = (self._first + self._count) % _CAPACITY
        self._flows_ms[at] = flows_ms
        self._at_ms[at] = now_ms
        self._steps[at] = steps
        self._count += 1

    def _within(self, now_ms: int, window: int, for_demand: bool) -> int:
        """Steps of demands and boluses that a window holds, towards a demand or anything else."""
        length_ms = self.windows[window][0]
        steps = self._open_steps
        for back in range(1, self._count + 1):
            at = (self._first + self._count - back) % _CAPACITY
            ago_ms = elapsed_ms(now_ms, self._at_ms[at])
            if ago_ms >= length_ms + self.demand_ms:
                break
            if ago_ms < length_ms + (0 if for_demand else self._flows_ms[at]):
                steps += self._steps[at]
        return steps
