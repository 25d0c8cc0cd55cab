"""A stepper without a motor: keeps what it is handed, knows what would have been made by when."""

from micropump.motion import edges_us
from micropump.units import CLOCK_MASK

# A tick hands over at most one horizon of quanta.
_SLOTS = 16
_FIELDS = 7
_RECENT = 8


class VirtualStepper:
    """What ``Motion`` asks of a stepper, allocating nothing in ``push``.

    Attributes:
        now_ms: the present, set by the pump before each tick or command; not wrapped.
        used: quanta in the buffer that ``drain`` has not yet taken.
        aborted_ms: when the last abort was, or -1; taken by ``drain``.

    """

    def __init__(self) -> None:
        self.now_ms = 0
        self.used = 0
        self.aborted_ms = -1
        self._buffer = [0] * (_SLOTS * _FIELDS)
        self._recent: list = []
        self._next_ms = 0
        self._made = 0

    def begin(self, start_ms: int) -> None:
        """The next quantum starts at the core time ``start_ms``; counting starts at zero."""
        self._next_ms = self.now_ms + ((start_ms - self.now_ms) & CLOCK_MASK)
        self._made = 0
        self._recent = []

    def push(
        self, count: int, first_us: int, interval_us: int, part: int, whole: int, credit: int
    ) -> None:
        """Take the next 100 ms; see ``Motion`` for the fields."""
        if count:
            buffer = self._buffer
            at = self.used * _FIELDS
            buffer[at] = self._next_ms
            buffer[at + 1] = count
            buffer[at + 2] = first_us
            buffer[at + 3] = interval_us
            buffer[at + 4] = part
            buffer[at + 5] = whole
            buffer[at + 6] = credit
            self.used += 1
            self._made = (self._made + count) & CLOCK_MASK
        self._next_ms += 100

    def abort(self, now_ms: int) -> int:
        """Drop what has not been made by now; returns the steps made since ``begin``."""
        undone = 0
        for quantum in self._recent + self._buffered():
            for edge_us in edges_us(*quantum[1:]):
                if quantum[0] * 1000 + edge_us > self.now_ms * 1000:
                    undone += 1
        self.aborted_ms = self.now_ms
        self._made = (self._made - undone) & CLOCK_MASK
        return self._made

    def drain(self) -> list:
        """Take the quanta with steps since the last call.

        Each is (start_ms, count, first_us, interval_us, part, whole, credit).
        """
        quanta = self._buffered()
        self.used = 0
        self._recent = (self._recent + quanta)[-_RECENT:]
        return quanta

    def _buffered(self) -> list:
        buffer = self._buffer
        return [tuple(buffer[at : at + _FIELDS]) for at in range(0, self.used * _FIELDS, _FIELDS)]
