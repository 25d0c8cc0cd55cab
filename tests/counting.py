"""A whole therapy on the core, fast: a stepper that only counts, ticked as seldom as may be."""

from array import array

from micropump import alarms, controller
from micropump.controller import Controller
from micropump.program import Program
from micropump.units import CLOCK_MASK, QUANTUM_MS

BIN_MS = 10_000
# The stepper has work for at least 450 ms after each tick that was due.
SELDOM_MS = 400


class CountingStepper:
    """Counts steps in bins of ``BIN_MS``; on a clock that does not wrap.

    Attributes:
        now_ms: the present, set by whoever drives it.
        bins: steps in each bin from the start of its clock on; backwards ones are negative.
        last_ms: the end of the last quantum with a step in it.

    """

    def __init__(self) -> None:
        self.now_ms = 0
        self.bins = array("l")
        self.last_ms = 0
        self._next_ms = 0
        self._made = 0
        self._sign = 1
        self._recent: list[tuple[int, int]] = []

    def begin(self, start_ms: int, reverse: bool) -> None:
        self._next_ms = self.now_ms + ((start_ms - self.now_ms) & CLOCK_MASK)
        self._made = 0
        self._sign = -1 if reverse else 1
        self._recent.clear()

    def push(self, count: int, *_: int) -> None:
        start_ms = self._next_ms
        self._next_ms = start_ms + QUANTUM_MS
        if count:
            self._count(start_ms, count)
            self.last_ms = self._next_ms
        self._recent = [*self._recent[-7:], (start_ms, count)]

    def abort(self, now_ms: int) -> int:
        """Quanta that have ended are made, and nothing of the one that is under way."""
        for start_ms, count in self._recent:
            if start_ms + QUANTUM_MS > self.now_ms:
                self._count(start_ms, -count)
        return self._made & CLOCK_MASK

    def _count(self, start_ms: int, count: int) -> None:
        at = start_ms // BIN_MS
        while at >= len(self.bins):
            self.bins.append(0)
        self.bins[at] += self._sign * count
        self._made += count


class CountingRig:
    """A controller with a program, which puts a full container in place of an empty one at once.

    Attributes:
        now_ms: since the start; the program was loaded at the same moment.
        emptied_s: when a container was empty and another one put in its place.

    """

    def __init__(self, program: Program) -> None:
        self.now_ms = 0
        self.stepper = CountingStepper()
        self.controller = Controller(self.stepper, 0)
        self.emptied_s: list[float] = []
        self._program = program
        self._due_ms = 0
        assert self.do("load", program, 1) == controller.OK
        assert self.do("start", 1) == controller.OK

    def do(self, name: str, *values: object) -> int:
        """The command ``name`` of the controller, now."""
        self.stepper.now_ms = self.now_ms
        answer = getattr(self.controller, name)(self.now_ms & CLOCK_MASK, *values)
        self._due_ms = self.now_ms
        return answer

    def run_to(self, until_ms: int) -> None:
        """Tick until then, changing containers."""
        pump = self.controller
        while self.now_ms < until_ms:
            at_ms = max(self.now_ms + 1, self._due_ms)
            if not pump.motion.is_at_end():
                at_ms = max(at_ms, self.now_ms + SELDOM_MS)
            self.now_ms = self.stepper.now_ms = min(at_ms, until_ms)
            now = self.now_ms & CLOCK_MASK
            due = pump.tick(now, pump.inputs)
            self._due_ms = self.now_ms + ((due - now) & CLOCK_MASK)
            if pump.state == controller.ALARM:
                self._change()

    def _change(self) -> None:
        assert self.controller.active_alarms & 1 << alarms.CONTAINER_EMPTY
        self.emptied_s.append(self.now_ms / 1000)
        assert len(self.emptied_s) < self._program.containers
        for command in (("change_container", self._program.content_ul), ("acknowledge",)):
            assert self.do(*command) == controller.OK
        assert self.do("resume") == controller.OK
