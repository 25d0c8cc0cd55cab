"""A stepper without a motor: keeps what it is handed, knows what would have been made by when."""

from micropump.units import CLOCK_MASK, QUANTUM_MS, elapsed_ms, later_ms

# A tick hands over at most one horizon of quanta, an abort looks back at most one.
_SLOTS = 16
_HORIZON = 8
_FIELDS = 7
_HALF = 1 << 29


class VirtualStepper:
    """What ``Motion`` asks of a stepper; ``push`` and ``abort`` allocate nothing.

    Inside it keeps the core's own time, which wraps: an unwrapped one is beyond the board's small
    ints from 12.4 days on.

    Attributes:
        now_ms: the present, set by the pump before each tick or command; not wrapped.
        used: quanta with steps that ``drain`` has not yet taken.
        aborted_ms: when the last abort was, or -1; the pump sets it back.
        since_abort: how many of the used are of after the last abort.

    """

    def __init__(self) -> None:
        self.now_ms = 0
        self.used = 0
        self.aborted_ms = -1
        self.since_abort = 0
        # A ring of the quanta with steps; the one before _free is the newest.
        self._ring = [0] * (_SLOTS * _FIELDS)
        self._free = 0
        self._since_begin = 0
        self._next_ms = 0
        self._made = 0
        self._sign = 1

    def begin(self, start_ms: int, reverse: bool) -> None:
        """The next quantum starts at the core time ``start_ms``; counting starts at zero."""
        self._sign = -1 if reverse else 1
        self._next_ms = start_ms
        self._made = 0
        self._since_begin = 0

    def push(
        self, count: int, first_us: int, interval_us: int, part: int, whole: int, credit: int
    ) -> None:
        """Take the next 100 ms; see ``Motion`` for the fields."""
        if count:
            ring = self._ring
            at = self._free * _FIELDS
            ring[at] = self._next_ms
            ring[at + 1] = count
            ring[at + 2] = first_us
            ring[at + 3] = interval_us
            ring[at + 4] = part
            ring[at + 5] = whole
            ring[at + 6] = credit
            self._free = (self._free + 1) % _SLOTS
            self.used += 1
            self.since_abort += 1
            self._since_begin += 1
            self._made = (self._made + count) & CLOCK_MASK
        self._next_ms = later_ms(self._next_ms, QUANTUM_MS)

    def abort(self, now_ms: int) -> int:
        """Drop what has not been made by now; returns the steps made since ``begin``."""
        for back in range(1, min(self._since_begin, _HORIZON) + 1):
            self._made -= self._undone((self._free - back) % _SLOTS, now_ms)
        self._made &= CLOCK_MASK
        self.aborted_ms = self.now_ms
        self.since_abort = 0
        return self._made

    def drain(self) -> list:
        """Take the quanta with steps since the last call.

        Each is (start_ms, count, first_us, interval_us, part, whole, credit); the start is
        not wrapped, and the count is negative where the motor turns backwards.
        """
        quanta = []
        now_ms = self.now_ms & CLOCK_MASK
        for back in range(self.used, 0, -1):
            at = (self._free - back) % _SLOTS * _FIELDS
            start_ms = self.now_ms + _signed_ms(self._ring[at], now_ms)
            count = self._ring[at + 1] * self._sign
            quanta.append((start_ms, count) + tuple(self._ring[at + 2 : at + _FIELDS]))
        self.used = 0
        return quanta

    def _undone(self, slot: int, now_ms: int) -> int:
        """Steps of a quantum that are due later than now (the edges of ``motion.edges_us``)."""
        ring = self._ring
        at = slot * _FIELDS
        count = ring[at + 1]
        part = ring[at + 4]
        credit = ring[at + 6]
        # All of it is made when its time is over.
        passed_us = min(_signed_ms(now_ms, ring[at]), QUANTUM_MS) * 1000
        edge_us = ring[at + 2]
        for made in range(count):
            if edge_us > passed_us:
                return count - made
            edge_us += ring[at + 3]
            if part > credit:
                edge_us += 1
                credit += ring[at + 5]
            credit -= part
        return 0


def _signed_ms(now_ms: int, then_ms: int) -> int:
    """Milliseconds from ``then_ms`` to ``now_ms``, negative before it."""
    passed_ms = elapsed_ms(now_ms, then_ms)
    return passed_ms if passed_ms < _HALF else passed_ms - CLOCK_MASK - 1
