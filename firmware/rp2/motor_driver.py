"""The motor's driver as the pump sees it: set up, asked before each start, watched while it runs.

While the motor is off it is waited for, some milliseconds: once a second, and at each request of
the host, since that may be a start. While the motor runs nothing waits and nothing is allocated:
the fault output is looked at, and a TMC2209 is asked ten times a second how it is, the answer taken
in a later turn.
"""

from micropump_rp2.tmc2209 import GSTAT, GSTAT_ROWS, DriverError

from micropump.drivers import TMC2209_FAULTS, TMC2209_SETTINGS
from micropump.units import elapsed_ms

CHECK_MS = 1000
WATCH_MS = 100
# The answer is there 1.2 ms after the question.
ANSWER_MS = 3
# One answer may be spoilt by the motor's own noise.
WRONG_ANSWERS = 2


class MotorDriver:
    """The driver's state, kept up by ``check`` and ``look``.

    Args:
        chip: the ``Tmc2209`` on the board's UART; None for a driver that cannot be asked.
        fault_is_on: gives the level of the driver's fault output, True for a fault; None without.

    Attributes:
        fault: whether it reports a fault, has been reset, or does not answer.
        reason: of the last fault, for a person at the prompt; "" before the first.

    """

    def __init__(self, chip, fault_is_on) -> None:
        self._chip = chip
        self._fault_is_on = fault_is_on
        self._blinked = False
        self._is_set_up = False
        self._asked = False
        self._asked_ms = 0
        self._wrong_answers = 0
        self._checked_ms = 0
        self.fault = False
        self.reason = ""

    def note_fault(self, _pin=None) -> None:
        """Take note of the fault output, however shortly it is on; an interrupt may call it."""
        if self._fault_is_on():
            self._blinked = True

    def check(self, now_ms: int) -> None:
        """Ask a driver whose motor is off, and set it up if it has to be.

        Measured on the emulated Pico: a TMC2209 that is well 1.3 ms, a silent one 3 ms (9 ms when
        it falls silent), to set one up 13 ms, one that stays too hot 16 ms.
        """
        self._checked_ms = now_ms
        self._asked = False
        self._wrong_answers = 0
        self._blinked = False
        trouble = self._trouble()
        self.fault = bool(trouble)
        if trouble:
            self.reason = trouble

    def look(self, now_ms: int, running: bool) -> None:
        """In each turn of the loop."""
        if not running:
            if elapsed_ms(now_ms, self._checked_ms) >= CHECK_MS:
                self.check(now_ms)
        elif not self.fault and (self._signals() or self._is_unwell(now_ms)):
            # The chip forgets a short as soon as EN is off: it is asked before that.
            self.reason = self._why()
            self.fault = True

    def _signals(self) -> bool:
        return self._blinked or (self._fault_is_on is not None and self._fault_is_on())

    def _is_unwell(self, now_ms: int) -> bool:
        """Ask, or take the answer; True once too many in a row were wrong or missing."""
        chip = self._chip
        if chip is None:
            return False
        passed_ms = elapsed_ms(now_ms, self._asked_ms)
        if self._asked:
            if passed_ms < ANSWER_MS:
                return False
            self._asked = False
            if chip.has_answered() and chip.is_well():
                self._wrong_answers = 0
                return False
            self._wrong_answers += 1
            if self._wrong_answers >= WRONG_ANSWERS:
                return True
        elif passed_ms < WATCH_MS:
            return False
        chip.ask()
        self._asked = True
        self._asked_ms = now_ms
        return False

    def _trouble(self) -> str:
        """What is wrong while the motor is off; "" for nothing."""
        if self._chip is not None and not self._answers_well():
            try:
                self._set_up()
            except DriverError as error:
                return str(error)
            if not self._answers_well():
                return self._why()
        if self._fault_is_on is not None and self._fault_is_on():
            return "fault output on"
        return ""

    def _answers_well(self) -> bool:
        if not self._is_set_up:
            return False
        self._chip.ask()
        return self._chip.is_well()

    def _set_up(self) -> None:
        self._is_set_up = False
        self._chip.apply(TMC2209_SETTINGS)
        self._is_set_up = True

    def _why(self) -> str:
        if self._chip is None:
            return "fault output on"
        try:
            names = self._chip.status(TMC2209_FAULTS) + self._chip.status(GSTAT_ROWS, GSTAT)
        except DriverError as error:
            return str(error)
        return ", ".join(names) or "fault output on for a moment"
