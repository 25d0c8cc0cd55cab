"""The one state machine of the pump: commands and time go in, steps and events come out.

Nothing starts by itself: a program has to be sent and then started by naming it, two distinct
actions; after an alarm that stopped the pump it has to be acknowledged and then resumed. Time is
handed in, a command is judged at the time that comes with it, and a refusal changes nothing.
"""

from . import alarms, journal
from .journal import Journal
from .mechanism import Mechanism
from .motion import Motion
from .therapy import INFUSED, KVO, Program, check_rate
from .units import MILLION, S_PER_HOUR, elapsed_ms, later_ms, rounded_ratio

IDLE = 0
PROGRAMMED = 1
INFUSING = 2
KEEPING_OPEN = 3
PAUSED = 4
COMPLETED = 5
STOPPED = 6
ALARM = 7
STATE_NAMES = (
    "idle", "programmed", "infusing", "kvo", "paused", "completed", "stopped", "alarm"
)  # fmt: skip

# Why the processor started, as its adapter says; a computer has no such cause.
RESET_CAUSES = ("none", "power on", "watchdog", "restart on purpose")

IDLE_TICK_MS = 100

# What a command can be refused for, beside the reasons of therapy.py (1 … 31).
OK = 0
WRONG_STATE = 32
OTHER_PROGRAM = 33
NOTHING_LEFT = 34
INTERLOCK = 35
DRIVER = 36


class Inputs:
    """What the adapter saw before a tick.

    Attributes:
        interlock_open: the interlock is open, or its wire broken.
        stepper_starved: the step generator has run dry since it was started.
        driver_fault: the motor's driver reports a fault, or does not answer.

    """

    def __init__(self) -> None:
        self.interlock_open = False
        self.stepper_starved = False
        self.driver_fault = False


class Controller:
    """The pump. ``tick`` is the control cycle; everything else is a command or a look.

    Attributes:
        state: one of the states above.
        active_alarms: a bit for each row of the alarm table.
        program_id: names the loaded program; 0 without one.
        uptime_s, uptime_ms: since this controller was made.

    """

    def __init__(self, stepper, now_ms: int, reset_cause: int = 0) -> None:
        self.motion = Motion(stepper)
        self.journal = Journal()
        self.inputs = Inputs()
        self.state = IDLE
        self.active_alarms = 0
        self.program_id = 0
        self.uptime_s = 0
        self.uptime_ms = 0
        self.reset_cause = reset_cause
        self._ended = False
        self._last_ms = now_ms
        self._note(journal.BOOTED, reset_cause, 0)

    # -- time ---------------------------------------------------------------------------------

    def tick(self, now_ms: int, inputs: Inputs) -> int:
        """One control cycle at ``now_ms``; returns the time when the next is due.

        Early and late ticks are allowed, and one at the same time as the last does nothing twice.
        Allocates nothing while infusing.
        """
        passed_ms = elapsed_ms(now_ms, self._last_ms)
        self._last_ms = now_ms
        up_ms = self.uptime_ms + passed_ms
        if up_ms >= 1000:
            self.uptime_s += up_ms // 1000
            up_ms %= 1000
        self.uptime_ms = up_ms
        self.inputs = inputs
        motion = self.motion
        if not motion.running:
            return later_ms(now_ms, IDLE_TICK_MS)
        if inputs.interlock_open:
            # The interlock stops the motor without us: only what was counted is made.
            motion.pass_ms(passed_ms)
            self._stop_in_alarm(now_ms, alarms.INTERLOCK_OPEN)
            return later_ms(now_ms, IDLE_TICK_MS)
        motion.advance(passed_ms)
        self._note_phase()
        if inputs.driver_fault:
            # A driver that has switched itself off makes no steps of the edges it is given.
            self._stop_in_alarm(now_ms, alarms.DRIVER_FAULT)
            return later_ms(now_ms, IDLE_TICK_MS)
        if motion.starved or (inputs.stepper_starved and not motion.finished):
            self._stop_in_alarm(now_ms, alarms.STARVED)
            return later_ms(now_ms, IDLE_TICK_MS)
        if motion.finished:
            if motion.lead_ms() <= 0:
                self._complete(now_ms)
                return later_ms(now_ms, IDLE_TICK_MS)
            return later_ms(now_ms, min(motion.lead_ms(), IDLE_TICK_MS))
        return later_ms(now_ms, max(1, motion.due_in_ms()))

    # -- commands: each returns OK or why not --------------------------------------------------

    def load(self, now_ms: int, program: Program, program_id: int) -> int:
        """Take a program that its own check has passed. Not while one is under way."""
        self.tick(now_ms, self.inputs)
        if self.state not in (IDLE, PROGRAMMED, COMPLETED, STOPPED):
            return WRONG_STATE
        self.motion.load(program)
        self._ended = False
        # Who programs anew has taken note of what the last infusion ended with.
        self._end_acknowledged()
        self.program_id = program_id
        self.state = PROGRAMMED
        self._note(journal.PROGRAMMED, program.rate_ul_h[0], program.vtbi_ul)
        return OK

    def start(self, now_ms: int, program_id: int) -> int:
        """Start the loaded program; ``program_id`` shows that it is the one that was meant."""
        self.tick(now_ms, self.inputs)
        if self.state != PROGRAMMED:
            return WRONG_STATE
        if program_id != self.program_id:
            return OTHER_PROGRAM
        return self._run(now_ms, journal.STARTED)

    def pause(self, now_ms: int) -> int:
        """Stop the motor at once and keep the therapy."""
        self.tick(now_ms, self.inputs)
        if self.state not in (INFUSING, KEEPING_OPEN):
            return WRONG_STATE
        self._halt(now_ms)
        if self.state in (INFUSING, KEEPING_OPEN):
            self.state = PAUSED
        self._note_delivered(journal.PAUSED)
        return OK

    def resume(self, now_ms: int) -> int:
        """Go on after a pause."""
        self.tick(now_ms, self.inputs)
        if self.state != PAUSED:
            return WRONG_STATE
        return self._run(now_ms, journal.RESUMED)

    def stop(self, now_ms: int) -> int:
        """Stop the motor at once and end the therapy. Allowed in every state but idle."""
        self.tick(now_ms, self.inputs)
        if self.state == IDLE:
            return WRONG_STATE
        if self.motion.running:
            self._halt(now_ms)
        if self.state == ALARM:
            # The alarm stays until it is acknowledged, but the therapy is at its end.
            self._ended = True
        else:
            self.state = STOPPED
        self._note_delivered(journal.STOPPED)
        return OK

    def set_rate(self, now_ms: int, rate_ul_h: int) -> int:
        """Titrate the running infusion; no gap, and no step is lost or doubled."""
        self.tick(now_ms, self.inputs)
        motion = self.motion
        if self.state not in (INFUSING, PAUSED) or motion.finished:
            return WRONG_STATE
        if motion.program.bucket[motion.planning] != INFUSED:
            return WRONG_STATE
        refusal = check_rate(motion.program.mechanism, rate_ul_h)
        if refusal:
            return refusal
        self._note(journal.RATE_CHANGED, motion.program.rate_ul_h[0], rate_ul_h)
        motion.set_rate(rate_ul_h)
        motion.program.follow_rate(rate_ul_h)
        return OK

    def acknowledge(self, now_ms: int) -> int:
        """Take note of the alarms.

        A pump that stopped in alarm is paused then, and waits for resume; one whose therapy was
        stopped as well is stopped.
        """
        self.tick(now_ms, self.inputs)
        if not self.active_alarms:
            return WRONG_STATE
        self._end_acknowledged()
        if self.state == ALARM:
            if self._ended:
                self.state = STOPPED
            else:
                self.state = COMPLETED if self.motion.finished else PAUSED
        return OK

    def may_restart(self) -> int:
        """Whether the processor may be restarted: not while a therapy is under way or in alarm."""
        return OK if self.state in (IDLE, PROGRAMMED, COMPLETED, STOPPED) else WRONG_STATE

    # -- alarms -------------------------------------------------------------------------------

    def raise_alarm(self, number: int) -> None:
        """Set an alarm and note it, once."""
        bit = 1 << number
        if not self.active_alarms & bit:
            self.active_alarms |= bit
            self._note(journal.ALARM_RAISED, number, 0)

    def end_alarm(self, number: int) -> None:
        """Clear an alarm and note it, if it is set."""
        bit = 1 << number
        if self.active_alarms & bit:
            self.active_alarms &= ~bit
            self._note(journal.ALARM_ENDED, number, 0)

    def _end_acknowledged(self) -> None:
        for row in alarms.ALARMS:
            if row[4] == alarms.BY_ACKNOWLEDGE:
                self.end_alarm(row[0])

    # -- looks --------------------------------------------------------------------------------

    def mechanism(self) -> Mechanism | None:
        """What the loaded program runs on."""
        return self.motion.program.mechanism if self.motion.program else None

    def delivered_steps(self, bucket: int) -> int:
        """Microsteps made for ``bucket``, to the last finished quantum (exact when stopped)."""
        motion = self.motion
        return motion.delivered_millions[bucket] * MILLION + motion.delivered_rest[bucket]

    def remaining_s(self) -> int:
        """Seconds of delivery until the VTBI is in, at the rate that now holds; 0 outside it."""
        motion = self.motion
        if self.state not in (PROGRAMMED, INFUSING, PAUSED):
            return 0
        program = motion.program
        steps = program.vtbi_steps - self.delivered_steps(INFUSED)
        nl = steps * program.mechanism.nl_num
        return rounded_ratio(
            nl * S_PER_HOUR, program.mechanism.nl_den * 1000 * program.rate_ul_h[0]
        )

    # -- inside -------------------------------------------------------------------------------

    def _run(self, now_ms: int, event: int) -> int:
        motion = self.motion
        if self.inputs.interlock_open:
            return INTERLOCK
        if self.inputs.driver_fault:
            return DRIVER
        if motion.finished:
            return NOTHING_LEFT
        motion.start(now_ms)
        self.state = INFUSING if motion.program.bucket[motion.phase] == INFUSED else KEEPING_OPEN
        if event == journal.STARTED:
            self._note(event, motion.planned_rate_ul_h(), 0)
        else:
            self._note_delivered(event)
        return OK

    def _note_phase(self) -> None:
        motion = self.motion
        if self.state == INFUSING and motion.program.bucket[motion.phase] == KVO:
            self.state = KEEPING_OPEN
            self._note_steps(journal.VTBI_REACHED, INFUSED)
            self.raise_alarm(alarms.END_OF_INFUSION)

    def _complete(self, now_ms: int) -> None:
        self._halt(now_ms)
        if self.state == ALARM:
            return
        program = self.motion.program
        self.state = COMPLETED
        self._note_delivered(journal.COMPLETED)
        emptied = program.bucket[program.count - 1] == KVO or program.vtbi_ul == program.content_ul
        self.raise_alarm(alarms.CONTAINER_EMPTY if emptied else alarms.END_OF_INFUSION)

    def _halt(self, now_ms: int) -> None:
        self.motion.halt(now_ms)
        # A halt in the first quantum of KVO is the first to know that the VTBI is in.
        self._note_phase()
        if self.motion.mismatch:
            self.state = ALARM
            self.raise_alarm(alarms.STEP_MISMATCH)

    def _stop_in_alarm(self, now_ms: int, number: int) -> None:
        self._halt(now_ms)
        self.state = ALARM
        self._note_delivered(journal.STOPPED)
        self.raise_alarm(number)

    def _note(self, code: int, a: int, b: int) -> None:
        self.journal.append(self.uptime_s, self.uptime_ms, code, a, b)

    def _note_delivered(self, code: int) -> None:
        self._note_steps(code, self.motion.program.bucket[self.motion.phase])

    def _note_steps(self, code: int, bucket: int) -> None:
        motion = self.motion
        self._note(code, motion.delivered_millions[bucket], motion.delivered_rest[bucket])
