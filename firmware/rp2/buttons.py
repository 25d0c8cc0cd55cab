"""Debounced buttons."""

# A level has to hold so long to be believed; contacts bounce for some milliseconds.
SETTLE_MS = 30
# A key held for so long is stuck (Generic Infusion Pump requirement 2.3.1).
STUCK_MS = 60_000

NOTHING = 0
PRESSED = 1
RELEASED = 2
STUCK = 3


class Button:
    """One button.

    Args:
        is_down: gives the level of the moment, True for pressed.

    """

    def __init__(self, is_down) -> None:
        self._is_down = is_down
        self._raw = False
        self._since_ms = 0
        self._told_stuck = False
        self.down = False

    def look(self, elapsed_ms: int) -> int:
        """Look ``elapsed_ms`` after the last look; returns what has happened."""
        raw = bool(self._is_down())
        if raw != self._raw:
            self._raw = raw
            self._since_ms = 0
            return NOTHING
        # Saturated, so that a button nobody touches counts no further.
        self._since_ms = min(self._since_ms + elapsed_ms, STUCK_MS + SETTLE_MS)
        if raw != self.down:
            if self._since_ms < SETTLE_MS:
                return NOTHING
            self.down = raw
            self._told_stuck = False
            return PRESSED if raw else RELEASED
        if raw and self._since_ms >= STUCK_MS and not self._told_stuck:
            self._told_stuck = True
            return STUCK
        return NOTHING
