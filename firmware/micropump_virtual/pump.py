"""A whole pump in virtual time: controller, link and virtual stepper, advanced as it is told."""

from micropump import journal
from micropump.controller import COMPLETED, IDLE, PROGRAMMED, STOPPED, Controller
from micropump.link import Identity, Link
from micropump.units import CLOCK_MASK
from micropump_virtual.memory import Memory, shelf
from micropump_virtual.sensors import put_samples
from micropump_virtual.stepper import VirtualStepper

try:
    from micropython import heap_lock, heap_unlock
except ImportError:
    # CPython allocates in every expression: there is nothing to lock.
    heap_lock = heap_unlock = None

_LAST_MOMENT_MS = 300


class VirtualPump:
    """Runs control cycles up to a time, and collects what they hand out.

    Under MicroPython every control cycle runs with the heap locked, so an allocation in it is an
    error at once.

    Attributes:
        now_ms: virtual time, not wrapped.
        due_ms: when the next control cycle is due.
        ticks: control cycles so far.
        quanta: what the stepper was handed, as ``VirtualStepper.drain`` gives it.
        aborts: times of aborts, each with the number of quanta before it.
        containers: how many containers were put in, that of each program included.
        container_ul: what the last of them was said to hold; µL.
        secondary_ul: what secondary infusions brought in all; µL.
        readings: raw counts of the sensors, as a board's adapters put them.
        memory: its raw flash.

    """

    def __init__(self, identity: Identity, start_ms: int = 0) -> None:
        self.stepper = VirtualStepper()
        self.controller = Controller(self.stepper, start_ms & CLOCK_MASK)
        self.memory = Memory()
        self.link = Link(self.controller, identity, shelf(self.memory))
        self.inputs = self.controller.inputs
        self.readings = self.controller.monitor.readings
        self.now_ms = start_ms
        self.due_ms = start_ms
        self.ticks = 0
        self.quanta: list = []
        self.aborts: list = []
        self.containers = 0
        self.container_ul = 0
        self.secondary_ul = 0
        self._looked = 0

    def receive(self, now_ms: int, data: bytes) -> bytes:
        """Hand in bytes from the host at ``now_ms`` and return the answer."""
        self.advance(now_ms)
        self.now_ms = self.stepper.now_ms = now_ms
        at = 0
        while at < len(data):
            # A frame at a time: a stop of the motor has its place between the quanta.
            end = data.find(b"\x00", at) + 1 or len(data)
            self.link.receive(now_ms & CLOCK_MASK, data[at:end])
            self._collect()
            self._look()
            at = end
        # A command may have started the motor: look again at once.
        self.due_ms = now_ms
        self.advance(now_ms)
        return self.take_output()

    def fit(self, specs: tuple) -> None:
        """Fit sensors: a row for each (docs/sensors.md), of which the first ten fields count."""
        self.controller.monitor.fit(specs)

    def sense(self, fresh: int, failed: int, raw) -> None:
        """Put samples of sensors: a bit in ``fresh`` or ``failed`` for each, counts by number."""
        put_samples(self.readings, fresh, failed, raw)

    def item_id(self) -> str:
        """The catalogue id of what the loaded program runs on, or ""."""
        parts = self.controller.mechanism()
        return parts.item_id if parts else ""

    def is_over(self) -> bool:
        """Whether no therapy is under way, or all of it is delivered and the vein kept open.

        Its last moment, three quanta, is still the therapy's: the last microstep comes a little
        before the time that was ordered.
        """
        if self.controller.state in (IDLE, PROGRAMMED, STOPPED):
            return True
        if self.controller.state != COMPLETED:
            motion = self.controller.motion
            if not motion.program.phases[motion.phase].is_endless():
                return False
        return self._since_delivered_ms() >= _LAST_MOMENT_MS

    def _since_delivered_ms(self) -> int:
        """How long ago the VTBI was in."""
        log = self.controller.journal
        for number in range(log.next_number - 1, log.first_kept() - 1, -1):
            _, uptime_s, uptime_ms, code = log.entry(number)[:4]
            if code in (journal.VTBI_REACHED, journal.COMPLETED):
                passed_s = self.controller.uptime_s - uptime_s
                return passed_s * 1000 + self.controller.uptime_ms - uptime_ms
        return _LAST_MOMENT_MS

    def take_output(self) -> bytes:
        """What the pump has to say to the host since it was last asked."""
        said = bytes(self.link.outbox)
        self.link.outbox = bytearray()
        return said

    def advance(self, until_ms: int) -> None:
        """Run every control cycle that is due up to and including ``until_ms``."""
        tick = self.controller.tick
        attend = self.link.attend
        signal = self.controller.annunciator.look
        stepper = self.stepper
        inputs = self.inputs
        due = self.due_ms
        while due <= until_ms:
            stepper.now_ms = due
            now = due & CLOCK_MASK
            if heap_lock:
                heap_lock()
            try:
                next_ms = tick(now, inputs)
            finally:
                if heap_unlock:
                    heap_unlock()
            # Not wrapped, so beyond the board's small ints: not with the heap locked.
            due += (next_ms - now) & CLOCK_MASK
            self.ticks += 1
            if stepper.used or stepper.aborted_ms >= 0:
                self._collect()
            attend(now)
            signal(now, self.controller.active_alarms)
        self.due_ms = due
        self.now_ms = until_ms

    def _look(self) -> None:
        """Learn from the journal which containers were put in."""
        log = self.controller.journal
        for number in range(max(self._looked, log.first_kept()), log.next_number):
            code, content_ul = log.entry(number)[3:5]
            motion = self.controller.motion
            if code == journal.PROGRAMMED:
                content_ul = motion.program.content_ul
            elif code == journal.SECONDARY_STARTED:
                steps = motion.program.phases[motion.planning].steps()
                self.secondary_ul += motion.program.mechanism.nl_for_steps(steps) // 1000
                continue
            elif code != journal.CONTAINER_CHANGED:
                continue
            self.containers += 1
            self.container_ul = content_ul
        self._looked = log.next_number

    def _collect(self) -> None:
        stepper = self.stepper
        self.quanta.extend(stepper.drain())
        if stepper.aborted_ms >= 0:
            # The same command may have started the motor again, as for the end of a stroke.
            self.aborts.append((len(self.quanta) - stepper.since_abort, stepper.aborted_ms))
            stepper.aborted_ms = -1
