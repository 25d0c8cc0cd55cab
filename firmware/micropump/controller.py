"""The one state machine of the pump: commands and time go in, steps and events come out.

Nothing starts by itself: a program has to be sent and then started by naming it, two distinct
actions; after an alarm that stopped the pump it has to be acknowledged and then resumed. Time is
handed in, a command is judged at the time that comes with it, and a refusal changes nothing.
"""

from . import alarms, journal
from .annunciator import Annunciator, by_number
from .backoff import BUSY, IS_OPEN, BackOff
from .boluses import LIMIT_REACHED, Boluses
from .journal import Journal
from .mechanism import KIND_PERISTALTIC, Mechanism
from .monitor import AT_REST, Monitor
from .motion import Motion
from .occlusion import OCCLUSION_LEVELS_PA
from .prescription import NO_LIBRARY, OUTSIDE_BIT, Confirming, Prescription, bits_of
from .program import (
    BOLUS,
    CONTINUOUS,
    DEMAND,
    INFUSED,
    KVO,
    PCA,
    PRIMED,
    PURGE,
    RETRACTED,
    SECONDARY,
    STEPPED,
    Phase,
    Program,
)
from .sensing import SENSORS
from .therapy import (
    COMBINED_ABOVE_RANGE,
    align,
    basal_steps,
    check_rate,
    follow_rate,
)
from .units import MILLION, QUANTUM_MS, S_PER_HOUR, elapsed_ms, later_ms

IDLE = 0
PROGRAMMED = 1
INFUSING = 2
KEEPING_OPEN = 3
PAUSED = 4
COMPLETED = 5
STOPPED = 6
ALARM = 7
# A delay, or between doses, without KVO: nothing flows.
WAITING = 8
# A stop is asked for, and the stroke of the head is being finished.
STOPPING = 9
PRIMING = 10
# In alarm: the pressure is taken off a closed line.
RELIEVING = 11
STATE_NAMES = (
    "idle", "programmed", "infusing", "kvo", "paused", "completed", "stopped", "alarm", "waiting",
    "stopping", "priming", "relieving",
)  # fmt: skip
# A program is under way, and nobody has asked it to stop.
RUNNING = (INFUSING, KEEPING_OPEN, WAITING, PRIMING)

# Why the processor started, as its adapter says; a computer has no such cause.
WATCHDOG = 2
RESET_CAUSES = ("none", "power on", "watchdog", "restart on purpose")

IDLE_TICK_MS = 100

# What a command can be refused for, beside the reasons of therapy.py (1 … 31) and boluses.py.
OK = 0
WRONG_STATE = 32
OTHER_PROGRAM = 33
NOTHING_LEFT = 34
INTERLOCK = 35
DRIVER = 36
CONTAINER_IS_EMPTY = 44
CANNOT_TITRATE = 45
NO_SECONDARY_HERE = 46
# Of a drug: what was under way was of another one, and is at its end.
DRUG_IS_CHANGED = 47

# A sensor has something to say against a start; the value is the alarm's number.
NOT_READY = 48

# GIP 2.2.1, 2.2.4, 2.2.5: reminders of a pause, and of a program that nobody starts.
PAUSED_LONG_S = 900
IDLE_LONG_S = 300
DROPPED_S = 600
# How long before its end an infusion says so, unless a person chooses another time (Medfusion: 1 to
# 240 min); not one that takes less than twice as long.
NEAR_END_MIN = 3
_MINUTE_S = 60
# How often it may start again by itself is counted within this time (Alaris 8015).
RESTARTS_WITHIN_S = 600
MOST_RESTARTS = 9
# A container is near its end when it holds less than flows in this time, and at least 1 mL (the
# figure of the Open PCA Pump requirements), or a tenth of a smaller one.
NEAR_EMPTY_S = 600
NEAR_EMPTY_UL = 1_000
_NEAR_EMPTY_QUANTA = NEAR_EMPTY_S * 1000 // QUANTUM_MS

# The end of a pump stroke takes no longer than this, and is not worth more: of a large head a stop
# is at once.
GREATEST_STROKE_S = 2
GREATEST_STROKE_UL = 100

UNKNOWN_S = 0xFFFFFFFF

_AIR = 1 << alarms.AIR_BUBBLE | 1 << alarms.AIR_ACCUMULATED
_IN_RELIEF = AT_REST | 1 << alarms.DOOR_OPEN | 1 << alarms.SYRINGE_REMOVED | 1 << alarms.END_STOP
# Alarms of the monitor that end with their cause.
_WATCHED = alarms.ENDING & (1 << alarms.PARTIAL_OCCLUSION | 1 << alarms.BATTERY_LOW)


class Inputs:
    """What the adapter saw before a tick.

    Attributes:
        interlock_open: the interlock is open, or its wire broken.
        stepper_starved: the step generator has run dry since it was started.
        driver_fault: the motor's driver reports a fault, or does not answer.
        plunger_ul: what the plunger's position says that the syringe holds, µL; -1 without such a
            sensor.

    """

    def __init__(self) -> None:
        self.interlock_open = False
        self.stepper_starved = False
        self.driver_fault = False
        self.plunger_ul = -1


class Controller:
    """The pump. ``tick`` is the control cycle; everything else is a command or a look.

    Attributes:
        state: one of the states above.
        active_alarms: a bit for each row of the alarm table.
        program_id: names the loaded program; 0 without one.
        prescription: what it was prescribed as; None without one.
        refused: what the last request was refused for that is beyond a limit (``governor``).
        asks: what would have to be overridden for it; 0 for a hard limit.
        uptime_s, uptime_ms: since this controller was made.
        monitor: sensors and detectors.
        annunciator: what is signalled, and the audio pause; whoever signals asks it.
        near_end_min: how long before its end an infusion says so; 0 for not at all.
        restarts: how often in 10 min it may start again by itself after an occlusion.
        occlusion_level: 1 to 9, or 0 for the drug library's limit, or else the monitor's own.

    Args:
        stepper: as ``Motion`` asks for it.
        now_ms: the time.
        reset_cause: why the processor started, one of ``RESET_CAUSES``.
        sensors: rows of the board's ``SENSORS``.

    """

    def __init__(self, stepper, now_ms: int, reset_cause: int = 0, sensors=()) -> None:
        self.motion = Motion(stepper)
        self.journal = Journal()
        self.boluses = Boluses(self.motion, self._note)
        self.monitor = Monitor(sensors)
        self.annunciator = Annunciator(by_number(alarms.ALARMS))
        self.near_end_min = NEAR_END_MIN
        self.inputs = Inputs()
        self.state = IDLE
        self.active_alarms = 0
        self.program_id = 0
        self.prescription: Prescription | None = None
        self.refused: tuple = ()
        self.asks = 0
        self.uptime_s = 0
        self.uptime_ms = 0
        self.reset_cause = reset_cause
        self._ended = False
        # What shall be once a stroke is finished: paused or stopped.
        self._then = PAUSED
        # The phase that was last noticed, and the doses before it.
        self._phase = -1
        self._doses = 0
        self._secondary: Phase | None = None
        self._secondary_id = 0
        # Of the secondary that is loaded or under way.
        self._second: Prescription | None = None
        self._confirming = Confirming()
        self._loading_steps = 0
        self._near_millions = self._near_rest = 0
        self._near_ul = 0
        self._near_least_steps = 0
        self._near_watched = False
        self._programmed_s = 0
        self._paused_s = self._paused_ms = 0
        self._last_ms = now_ms
        # What was told of the monitor's findings and is still so.
        self._told = 0
        self._into_steps = 0
        self.restarts = 0
        self.occlusion_level = 0
        self._back_off = BackOff(self.motion, self.monitor)
        self._restarts_s = [-RESTARTS_WITHIN_S] * MOST_RESTARTS
        # Since when it is paused, or waits for its start.
        self._since_s = 0
        self._remind_s = PAUSED_LONG_S
        self._end_watched = False
        self._end_look_s = 0
        self._note(journal.BOOTED, reset_cause, 0)
        if reset_cause == WATCHDOG:
            self.raise_alarm(alarms.WATCHDOG_RESET)

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
        if motion.program and motion.program.limits:
            motion.program.limits.expire(now_ms)
        if not motion.running:
            self._look_at_rest(now_ms)
            return later_ms(now_ms, IDLE_TICK_MS)
        if inputs.interlock_open:
            # The interlock stops the motor without us: only what was counted is made.
            motion.pass_ms(passed_ms)
            self._stop_in_alarm(now_ms, alarms.INTERLOCK_OPEN)
            return later_ms(now_ms, IDLE_TICK_MS)
        motion.advance(passed_ms)
        self._look(now_ms)
        at_end = motion.is_at_end()
        stops = self._look_at_sensors(now_ms)
        if stops:
            self._stop_for(now_ms, stops)
        elif inputs.driver_fault:
            # A driver that has switched itself off makes no steps of the edges it is given.
            self._stop_in_alarm(now_ms, alarms.DRIVER_FAULT)
        elif motion.starved or (inputs.stepper_starved and not at_end):
            self._stop_in_alarm(now_ms, alarms.STARVED)
        elif self.state == RELIEVING:
            if at_end and motion.lead_ms() <= 0:
                self._end_portion(now_ms)
        elif inputs.plunger_ul == 0 and not motion.program.reverse:
            # It is at the bottom, whatever was counted.
            self._run_empty(now_ms)
        elif at_end and motion.lead_ms() <= 0:
            self._reach_end(now_ms)
        if not motion.running:
            return later_ms(now_ms, IDLE_TICK_MS)
        if at_end:
            return later_ms(now_ms, min(motion.lead_ms(), IDLE_TICK_MS))
        return later_ms(now_ms, max(1, motion.due_in_ms()))

    def attend(self) -> None:
        """Between control cycles, what may take time and memory: whether the end is near."""
        if not self._end_watched or self.state not in RUNNING or self.uptime_s < self._end_look_s:
            return
        left_s = self.remaining_s() - self.near_end_min * _MINUTE_S
        if left_s > 0:
            # Sooner where anything changes that it depends on.
            self._end_look_s = self.uptime_s + max(1, left_s // 2)
        elif not self.motion.finished:
            self._end_watched = False
            self.raise_alarm(alarms.NEAR_END)

    # -- commands: each returns OK or why not --------------------------------------------------

    def load(self, now_ms: int, program: Program, program_id: int, prescription=None) -> int:
        """Take a program that ``therapy.make`` has made. Not while one is under way.

        Args:
            now_ms: the time.
            program: what is to be delivered.
            program_id: names it.
            prescription: what it was prescribed as (a Prescription); without one, nothing limits
                it but its mechanism.

        """
        self.tick(now_ms, self.inputs)
        if self.state not in (IDLE, PROGRAMMED, COMPLETED, STOPPED):
            return WRONG_STATE
        self.prescription = prescription
        self._second = None
        self._confirming.forget()
        self.motion.load(program)
        self._ended = False
        self._phase = -1
        self._doses = 0
        self._secondary_id = 0
        self._programmed_s = self.uptime_s
        self._loading_steps = 0
        for phase in program.phases:
            if phase.bucket == BOLUS:
                self._loading_steps = phase.steps()
        # Who programs anew has taken note of what the last infusion ended with.
        self._end_acknowledged()
        self._end_reminders()
        self._fill(program.content_ul)
        self.program_id = program_id
        self.state = PROGRAMMED
        self._begin_wait()
        self._prepare_monitor()
        self._watch_for_end()
        order_id = prescription.order_id if prescription else ""
        self._note(journal.PROGRAMMED, program.first_rate_ul_h(), program.vtbi_ul, order_id)
        self._note_prescription(prescription)
        return OK

    def change_drug(self, now_ms: int, drug_id: str) -> int:
        """A drug is to be programmed: the infusion of another one is stopped, and at its end.

        ``OK`` if there is none under way.
        """
        self.tick(now_ms, self.inputs)
        if self._is_under_way() and self._is_other_drug(drug_id):
            self._end_for_drug(now_ms, drug_id)
            return DRUG_IS_CHANGED
        return OK

    def load_secondary(self, now_ms: int, phase: Phase, program_id: int, prescription=None) -> int:
        """Take a secondary infusion that therapy has made; it is started by its id."""
        self.tick(now_ms, self.inputs)
        refusal = self._may_insert()
        if refusal:
            return refusal
        self._secondary = phase
        self._secondary_id = program_id
        self._second = prescription
        self._confirming.forget()
        self._note_prescription(prescription)
        return OK

    def start(self, now_ms: int, program_id: int, overrides: int = 0) -> int:
        """Start the loaded program; ``program_id`` shows that it is the one that was meant.

        Beyond soft limits it takes two: the first start is refused for them, and the second, which
        names them in ``overrides``, starts.
        """
        self.tick(now_ms, self.inputs)
        if self._secondary_id and program_id == self._secondary_id:
            return self._start_secondary(now_ms, overrides)
        if self.state != PROGRAMMED:
            return WRONG_STATE
        if program_id != self.program_id:
            return OTHER_PROGRAM
        refusal = self._may_run() or self._may_begin(self.prescription, program_id, overrides)
        if refusal:
            return refusal
        program = self.motion.program
        if program.clock_s >= 0:
            # Time has passed since the pump was told what time it is.
            align(program, program.clock_s + self.uptime_s - self._programmed_s)
        if program.limits:
            program.limits.set_basal(now_ms, basal_steps(program, program.first_rate_ul_h()))
            program.limits.open(self._loading_steps)
        if program.kind == PURGE:
            # The line is open to the air: what the sensors read is nothing.
            self.monitor.zero()
        self._run(now_ms)
        self._note(journal.STARTED, self.motion.planned_rate_ul_h(), 0)
        self._look(now_ms)
        return OK

    def pause(self, now_ms: int, standby_s: int = 0) -> int:
        """Stop the motor and keep the therapy; a head finishes its stroke first.

        A purge does not go on after a pause: it ends, and so has no standby.

        Args:
            now_ms: the time.
            standby_s: after how long the pause is reminded of, also of one that is under way; 0
                for the usual time.

        """
        self.tick(now_ms, self.inputs)
        if self.state == PAUSED and standby_s:
            self._end_reminders()
        elif self.state in RUNNING and not (standby_s and self.state == PRIMING):
            self._stop_by_hand(now_ms, STOPPED if self.state == PRIMING else PAUSED)
        else:
            return WRONG_STATE
        self._begin_wait(standby_s or PAUSED_LONG_S)
        if standby_s:
            self._note(journal.STANDBY, standby_s, 0)
        return OK

    def reminder_s(self) -> int:
        """How long until a pause is reminded of; 0 where none is, or it is time."""
        if self.state != PAUSED:
            return 0
        return max(0, self._since_s + self._remind_s - self.uptime_s)

    def resume(self, now_ms: int) -> int:
        """Go on after a pause."""
        self.tick(now_ms, self.inputs)
        if self.state != PAUSED:
            return WRONG_STATE
        refusal = self._may_run()
        if refusal:
            return refusal
        if self.motion.program.clock_s >= 0:
            self._catch_up()
            if self.motion.finished:
                return NOTHING_LEFT
        self._run(now_ms)
        self._note_delivered(journal.RESUMED)
        self._look(now_ms)
        return OK

    def stop(self, now_ms: int) -> int:
        """Stop the motor and end the therapy. Allowed in every state but idle.

        A head finishes its stroke first, unless it is told again.
        """
        self.tick(now_ms, self.inputs)
        if self.state == IDLE:
            return WRONG_STATE
        if self.state == STOPPING:
            self._then = STOPPED
            self._end_stroke(now_ms)
        elif self.state == RELIEVING:
            self._end_relief(now_ms)
            self._ended = True
            self._note_delivered(journal.STOPPED)
        elif self.motion.running:
            self._stop_by_hand(now_ms, STOPPED)
        elif self.state == ALARM:
            # The alarm stays until it is acknowledged, but the therapy is at its end.
            self._ended = True
            self._note_delivered(journal.STOPPED)
        else:
            self.state = STOPPED
            self._note_delivered(journal.STOPPED)
        self._end_reminders()
        self.end_alarm(alarms.NEAR_END)
        self.end_alarm(alarms.NEAR_EMPTY)
        return OK

    def set_rate(self, now_ms: int, rate_ul_h: int, overrides: int = 0) -> int:
        """Titrate the running infusion; no gap, and no step is lost or doubled.

        Beyond a soft limit it takes two, as a start does.
        """
        self.tick(now_ms, self.inputs)
        motion = self.motion
        if self.state not in (INFUSING, PAUSED) or motion.finished:
            return WRONG_STATE
        program = motion.program
        phase = program.phases[motion.planning]
        if phase.bucket != INFUSED:
            return WRONG_STATE
        refusal = self._may_titrate(now_ms, rate_ul_h)
        if not refusal and self.prescription:
            findings = self.prescription.judge_rate(rate_ul_h)
            asked = (journal.RATE_CHANGED, rate_ul_h)
            refusal = self._may_exceed(self.prescription, asked, findings, overrides)
        if refusal:
            return refusal
        if self.prescription:
            self.prescription.take_rate(rate_ul_h)
        if program.limits:
            program.limits.set_basal(now_ms, basal_steps(program, rate_ul_h))
        self._note(journal.RATE_CHANGED, phase.rate_ul_h, rate_ul_h)
        motion.set_rate(rate_ul_h)
        if rate_ul_h:
            follow_rate(program, rate_ul_h)
        self._set_near()
        return OK

    def bolus(
        self, now_ms: int, volume_ul: int, rate_ul_h: int, duration_s: int, overrides: int = 0
    ) -> int:
        """Give a bolus on top of the infusion: at a rate, or over a time (a square bolus).

        Beyond a soft limit it takes two, as a start does.
        """
        self.tick(now_ms, self.inputs)
        if self.state != INFUSING:
            return WRONG_STATE
        in_alarm = self._in_alarm()
        refusal = self.boluses.may_give(now_ms, in_alarm, volume_ul, rate_ul_h, duration_s)
        prescription = self.prescription
        if prescription and not refusal:
            findings = prescription.judge_bolus(self.uptime_s, volume_ul, self.mechanism())
            asked = (journal.BOLUS_STARTED, volume_ul, rate_ul_h, duration_s)
            refusal = self._may_exceed(prescription, asked, findings, overrides)
        if refusal:
            return refusal
        steps = self.boluses.give(volume_ul, rate_ul_h, duration_s)
        if prescription:
            prescription.take_bolus(self.uptime_s, steps)
        return OK

    def demand(self, now_ms: int) -> int:
        """A patient asks for a dose. Counted, whether it is given or not."""
        self.tick(now_ms, self.inputs)
        refusal = OK if self.state == INFUSING else WRONG_STATE
        return self.boluses.ask(now_ms, refusal, self._in_alarm())

    def change_container(self, now_ms: int, content_ul: int, drug_id: str = "") -> int:
        """A container with so much in it is in place of the last; the therapy is kept.

        But of another drug, if one is named: that ends it.
        """
        self.tick(now_ms, self.inputs)
        if self.state not in (PROGRAMMED, PAUSED, ALARM) or self.motion.program.reverse:
            return WRONG_STATE
        if self._is_other_drug(drug_id):
            self._end_for_drug(now_ms, drug_id)
            return DRUG_IS_CHANGED
        self._note(journal.CONTAINER_CHANGED, content_ul, self.content_ul())
        self.motion.change_container(content_ul)
        self._fill(content_ul)
        return OK

    def acknowledge(self, now_ms: int) -> int:
        """Take note of the alarms.

        A pump that stopped in alarm is paused then, and waits for resume; one whose therapy was
        stopped as well is stopped.
        """
        self.tick(now_ms, self.inputs)
        if not self.active_alarms or self.state == RELIEVING:
            return WRONG_STATE
        if self.active_alarms & _AIR:
            # Whoever takes note of air has removed it; what is still there is seen again.
            self.monitor.forget_air()
        self._end_acknowledged()
        self._end_reminders()
        self._begin_wait()
        if self.state == ALARM:
            if self._ended:
                self.state = STOPPED
            else:
                self.state = COMPLETED if self.motion.finished else PAUSED
        return OK

    def pause_audio(self) -> int:
        """Pause the sound of what is active for two minutes; the lights stay."""
        if not self.annunciator.pause_audio():
            return WRONG_STATE
        self._note(journal.AUDIO_PAUSED, 0, 0)
        return OK

    def choose(self, restarts: int, occlusion_level: int, near_end_min: int) -> int:
        """Settings that a person has chosen; not while anything flows."""
        if self.motion.running or self.state == RELIEVING:
            return WRONG_STATE
        self.restarts = restarts
        self.occlusion_level = occlusion_level
        self.near_end_min = near_end_min
        if self.motion.program:
            self._prepare_monitor()
            self._watch_for_end()
        near_end = str(near_end_min) + " min"
        self._note(journal.SETTINGS_CHANGED, restarts, occlusion_level, near_end)
        return OK

    def may_install(self) -> int:
        """Whether the library may be changed: not while a program is loaded that it limits."""
        return OK if self.state in (IDLE, COMPLETED, STOPPED) else WRONG_STATE

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

    def _end_reminders(self) -> None:
        self.end_alarm(alarms.PAUSED_LONG)
        self.end_alarm(alarms.IDLE_LONG)

    def _in_alarm(self) -> bool:
        """Whether an alarm is set that is more than a remark."""
        for row in alarms.ALARMS:
            if row[2] > alarms.LOW and self.active_alarms >> row[0] & 1:
                return True
        return False

    # -- looks --------------------------------------------------------------------------------

    def mechanism(self) -> Mechanism | None:
        """What the loaded program runs on."""
        return self.motion.program.mechanism if self.motion.program else None

    def delivered_steps(self, bucket: int) -> int:
        """Microsteps made for ``bucket``, to the last finished quantum (exact when stopped)."""
        motion = self.motion
        return motion.delivered_millions[bucket] * MILLION + motion.delivered_rest[bucket]

    def infused_steps(self) -> int:
        """Microsteps of the VTBI that are made: the program's own, boluses and demands.

        A loading dose is beside the VTBI. What was drawn back from a closed line was not given.
        """
        program = self.motion.program
        given = (
            self.delivered_steps(INFUSED)
            + self.delivered_steps(DEMAND)
            + max(0, self.delivered_steps(BOLUS) - self._loading_steps)
        )
        if program and not program.reverse:
            # The drive's free play is drawn back too, and was no more given than it is now taken.
            given = max(0, given - self.delivered_steps(RETRACTED))
        return given

    def remaining_s(self) -> int:
        """Seconds to the last of the VTBI at the rates that now hold, delays and gaps included.

        ``UNKNOWN_S`` where only demands bring it nearer; 0 outside a therapy.
        """
        motion = self.motion
        if self.state not in RUNNING and self.state not in (PROGRAMMED, PAUSED, STOPPING):
            return 0
        lead_ms = motion.lead_ms() if motion.running else 0
        if motion.finished:
            return max(0, lead_ms) // 1000
        program = motion.program
        phase = program.phases[motion.planning]
        if phase.is_endless():
            return 0
        steps = motion.left_millions * MILLION + motion.left_rest
        if program.first_rate_ul_h() == 0 and program.kind == PCA:
            return UNKNOWN_S
        ms = program.remaining_ms(
            motion.planning, motion.doses, steps, motion.marked, motion.ramped_quanta()
        )
        return (ms + lead_ms + motion.hold_ms() + 500) // 1000

    def greatest_titration_ul_h(self) -> int:
        """What the pump can do beside a bolus under way, and the demands of a PCA; µL/h."""
        program = self.motion.program
        beside_ul_h = self.motion.bolus.rate_ul_h if self.boluses.bolus.steps else 0
        return program.mechanism.greatest_rate_ul_h - max(beside_ul_h, program.demand_ul_h)

    def content_ul(self) -> int:
        """What the container holds: what was counted, and no more than its plunger says; µL."""
        motion = self.motion
        if not motion.program or motion.program.reverse:
            return 0
        steps = motion.content_millions * MILLION + motion.content_rest
        counted_ul = motion.program.mechanism.nl_for_steps(steps) // 1000
        plunger_ul = self.inputs.plunger_ul
        return counted_ul if plunger_ul < 0 else min(counted_ul, plunger_ul)

    def content_left_s(self) -> int:
        """For how long the container lasts at the rate that now holds; ``UNKNOWN_S`` at none."""
        rate_ul_h = self.motion.planned_rate_ul_h() if self.motion.running else 0
        return self.content_ul() * S_PER_HOUR // rate_ul_h if rate_ul_h else UNKNOWN_S

    def lockout_left_s(self) -> int:
        """How long no demand is granted for the lockout's sake, rounded up; s."""
        program = self.motion.program
        if not program or not program.limits:
            return 0
        return -(-program.limits.lockout_left_ms(self._last_ms) // 1000)

    def bolus_left_ul(self) -> int:
        """What is still to come of a bolus and a demand, rounded up; µL."""
        parts = self.mechanism()
        return -(-parts.nl_for_steps(self.boluses.left_steps()) // 1000) if parts else 0

    def prescribed(self) -> Prescription | None:
        """What flows, or is to flow, was prescribed as: the program, or its secondary."""
        motion = self.motion
        if self._second and motion.program.phases[motion.phase].bucket == SECONDARY:
            return self._second
        return self.prescription

    # -- starting -----------------------------------------------------------------------------

    def _is_under_way(self) -> bool:
        return self.state in RUNNING or self.state in (PAUSED, STOPPING, ALARM)

    def _is_other_drug(self, drug_id: str) -> bool:
        """Whether another drug than that of the program is named."""
        return bool(drug_id and self.prescription and drug_id != self.prescription.drug_id)

    def _end_for_drug(self, now_ms: int, drug_id: str) -> None:
        self._note(journal.DRUG_CHANGED, 0, 0, drug_id)
        self.stop(now_ms)

    def _note_prescription(self, prescription) -> None:
        if not prescription:
            return
        if prescription.asked_by:
            self._note(journal.ASKED_BY, 0, 0, prescription.asked_by)
        if prescription.drug_id:
            drug_id = prescription.drug_id
            self._note(journal.DRUG, prescription.version, prescription.weight_g, drug_id)
        if prescription.care_area:
            self._note(journal.CARE_AREA, 0, 0, prescription.care_area)
        if prescription.standing > NO_LIBRARY or (
            prescription.standing == NO_LIBRARY and prescription.drug_id
        ):
            self._note(journal.OUTSIDE_LIBRARY, prescription.standing, 0)

    def _may_begin(self, prescription, program_id: int, overrides: int) -> int:
        """Whether a program may start, for all that its drug's limits say."""
        if not prescription:
            return OK
        asked = (journal.STARTED, program_id)
        findings = prescription.findings
        if self._confirming.is_confirmed(self.uptime_s, asked, prescription.asks(), overrides):
            self._override(prescription, findings, prescription.asks())
            return OK
        return self._ask(prescription, findings, prescription.asks())

    def _may_exceed(self, prescription, asked: tuple, findings: list, overrides: int) -> int:
        """Whether what was asked for may be, beyond what ``findings`` say."""
        refusal = prescription.refuse_hard(findings)
        if refusal:
            self.refused = prescription.refused
            self.asks = 0
            return refusal
        bits = bits_of(findings)
        if self._confirming.is_confirmed(self.uptime_s, asked, bits, overrides):
            self._override(prescription, findings, bits)
            return OK
        return self._ask(prescription, findings, bits)

    def _ask(self, prescription, findings: list, bits: int) -> int:
        """Refuse what has to be asked for again, with ``bits`` overridden."""
        refusal = prescription.refuse_soft(findings)
        self.refused = prescription.refused
        self.asks = bits
        return refusal

    def _override(self, prescription, findings: list, bits: int) -> None:
        if not bits:
            return
        prescription.override(bits)
        for kind, level, _, value, _ in findings:
            self._note(journal.OVERRIDDEN, kind << 8 | level, value)
        if bits >> OUTSIDE_BIT & 1:
            self._note(journal.OVERRIDDEN, OUTSIDE_BIT << 8, prescription.standing)

    def _may_run(self) -> int:
        motion = self.motion
        if self.inputs.interlock_open:
            return INTERLOCK
        if self.inputs.driver_fault:
            return DRIVER
        if motion.finished:
            return NOTHING_LEFT
        if not motion.program.reverse and (motion.emptied or self.inputs.plunger_ul == 0):
            return CONTAINER_IS_EMPTY
        if self.monitor.prevents() & ~self._no_matter():
            return NOT_READY
        return OK

    def _may_titrate(self, now_ms: int, rate_ul_h: int) -> int:
        motion = self.motion
        program = motion.program
        if program.kind not in (CONTINUOUS, PCA):
            return CANNOT_TITRATE
        if rate_ul_h or program.kind != PCA:
            refusal = check_rate(program.mechanism, rate_ul_h)
            if refusal:
                return refusal
        if rate_ul_h > self.greatest_titration_ul_h():
            return COMBINED_ABOVE_RANGE
        if program.limits:
            if not program.limits.room_for_basal(now_ms, basal_steps(program, rate_ul_h)):
                return LIMIT_REACHED
        return OK

    def _may_insert(self) -> int:
        motion = self.motion
        if self.state not in (INFUSING, KEEPING_OPEN, PAUSED) or motion.finished:
            return WRONG_STATE
        program = motion.program
        if program.kind not in (CONTINUOUS, STEPPED):
            return NO_SECONDARY_HERE
        # What is planned but not delivered may be taken back for it.
        for number in range(motion.phase, motion.planning + 1):
            phase = program.phases[number]
            if phase.quanta or phase.bucket not in (INFUSED, KVO):
                return NO_SECONDARY_HERE
        return OK

    def _start_secondary(self, now_ms: int, overrides: int) -> int:
        """The secondary before what is left of the program, which goes on afterwards."""
        refusal = self._may_insert() or self._may_run()
        if not refusal:
            refusal = self._may_begin(self._second, self._secondary_id, overrides)
        if refusal:
            return refusal
        motion = self.motion
        if motion.running:
            # Stopped for the twentieth of a second that a start takes: what is queued of the
            # primary shall not come after the secondary.
            self._halt(now_ms)
            refusal = self._may_insert() if self.state != ALARM else WRONG_STATE
            if refusal:
                self._end_halted()
                return refusal
        phase: Phase = self._secondary  # type: ignore[assignment]
        self._secondary_id = 0
        motion.insert([phase])
        self._phase = -1
        order_id = self._second.order_id if self._second else ""
        self._note(journal.SECONDARY_STARTED, phase.rate_ul_h, 0, order_id)
        self._run(now_ms)
        self._look(now_ms)
        return OK

    def _run(self, now_ms: int) -> None:
        self._end_reminders()
        self.monitor.begin()
        self._told &= self.monitor.found
        self.motion.start(now_ms)
        self._show_phase()
        self._set_near()

    def _catch_up(self) -> None:
        """Daily doses keep their times of day: their clock has run on in the pause.

        A dose that would follow at once on one that was late is missed, not doubled.
        """
        motion = self.motion
        program = motion.program
        paused_ms = (self.uptime_s - self._paused_s) * 1000 + self.uptime_ms - self._paused_ms
        motion.marked += -(-paused_ms // QUANTUM_MS)
        while motion.doses < program.doses:
            phase = program.phases[motion.planning]
            busy = 0
            gap = motion.planning
            if phase.is_dose:
                if motion.doses + 1 == program.doses:
                    return
                left = motion.left_millions * MILLION + motion.left_rest
                busy = -(-program.flow_ms(phase, left) // QUANTUM_MS)
                gap += 1
            # One that is due at this very moment is not late.
            if motion.marked + busy <= program.phases[gap].quanta:
                return
            motion.skip_dose()
            # It is not done, and one that is under way does not begin again.
            self._doses = motion.doses_done
            if phase.is_dose:
                self._phase = motion.phase
            self._note(journal.DOSE_MISSED, motion.doses, 0)

    # -- noticing -----------------------------------------------------------------------------

    def _look(self, now_ms: int) -> None:
        """Notice what has come to pass. Allocates nothing."""
        motion = self.motion
        if motion.doses_done != self._doses:
            self._doses = motion.doses_done
            self._note(journal.DOSE_DONE, self._doses, 0)
        if motion.phase != self._phase:
            self._note_phase(now_ms)
        self.boluses.look(now_ms)
        if self._near_watched and self._is_near():
            self._near_watched = False
            self.raise_alarm(alarms.NEAR_EMPTY)

    def _note_phase(self, now_ms: int) -> None:
        motion = self.motion
        phases = motion.program.phases
        before = self._phase
        self._phase = motion.phase
        phase = phases[motion.phase]
        if self.state in RUNNING:
            self._show_phase()
        if before >= 0:
            left = phases[before].bucket
            if left == SECONDARY:
                self._note_steps(journal.SECONDARY_DONE, SECONDARY)
            elif left == BOLUS and motion.program.limits:
                motion.program.limits.close(now_ms, self._loading_steps)
            if phase.is_endless() and left == INFUSED:
                self._note_steps(journal.VTBI_REACHED, INFUSED)
                self.end_alarm(alarms.NEAR_END)
                self.raise_alarm(alarms.END_OF_INFUSION)
            elif not phase.is_dose:
                self._note(journal.PHASE_STARTED, motion.phase, phase.rate_ul_h)
        if phase.is_dose:
            self._note(journal.DOSE_STARTED, motion.doses_done + 1, 0)
        self._set_near()

    def _watch_for_end(self) -> None:
        """Whether the end of the program is to be told of before it comes."""
        program = self.motion.program
        self.end_alarm(alarms.NEAR_END)
        self._end_watched = False
        if program.kind == PURGE or not self.near_end_min:
            return
        self._end_watched = program.duration_s() >= 2 * self.near_end_min * _MINUTE_S
        self._end_look_s = 0

    def _show_phase(self) -> None:
        """The state is that of the phase being delivered."""
        motion = self.motion
        phase = motion.program.phases[motion.phase]
        if phase.bucket == KVO:
            self.state = KEEPING_OPEN if phase.rate_ul_h else WAITING
        elif phase.bucket == PRIMED or phase.bucket == RETRACTED:  # noqa: PLR1714 (a tuple would be made)
            self.state = PRIMING
        else:
            self.state = INFUSING

    def _fill(self, content_ul: int) -> None:
        """A container is in place; from when on it is near its end is worked out."""
        program = self.motion.program
        self.end_alarm(alarms.NEAR_EMPTY)
        self._near_ul = min(NEAR_EMPTY_UL, content_ul // 10)
        self._near_least_steps = program.mechanism.steps_for_ul(self._near_ul)
        self._near_watched = not program.reverse
        self._set_near()

    def _set_near(self) -> None:
        """For the rate at which planning is; what is near already is not warned of.

        Allocates nothing.
        """
        self._end_look_s = 0
        motion = self.motion
        steps = self._near_least_steps
        if motion.program.phases[motion.planning].bucket != BOLUS:
            # A loading dose is over long before.
            steps = max(steps, motion.pace_steps(_NEAR_EMPTY_QUANTA))
        self._near_millions = steps // MILLION
        self._near_rest = steps % MILLION
        if self._near_watched and self._is_near() and not motion.running:
            self._near_watched = False

    def _is_near(self) -> bool:
        motion = self.motion
        if 0 <= self.inputs.plunger_ul <= self._near_ul:
            return True
        if motion.program.phases[motion.phase].bucket == SECONDARY:
            # What flows now is not from this container.
            return False
        if motion.content_millions != self._near_millions:
            return motion.content_millions < self._near_millions
        return motion.content_rest <= self._near_rest

    # -- sensors --------------------------------------------------------------------------------

    def _prepare_monitor(self) -> None:
        """Limits of the drug library, but for a level that a person has chosen."""
        limits = self.prescription.limits if self.prescription else None
        occlusion_kpa = limits.occlusion_kpa if limits else 0
        if self.occlusion_level:
            occlusion_kpa = OCCLUSION_LEVELS_PA[self.occlusion_level - 1] // 1000
        air_ul = limits.air_ul if limits else 0
        self.monitor.prepare(self.motion.program.mechanism, occlusion_kpa, air_ul)

    def _look_at_sensors(self, now_ms: int) -> int:
        """Tell what the sensors find; bits of what stops a pump that runs. Allocates nothing."""
        motion = self.motion
        running = motion.running
        # What was taken of a quantum under way comes once more when it is counted.
        into_steps = motion.into_steps()
        moved = motion.moved + into_steps - self._into_steps
        self._into_steps = into_steps
        motion.moved = 0
        found = self.monitor.look(now_ms, moved, running)
        found &= ~self._no_matter()
        if self.state == RELIEVING:
            # What a line does that is being drawn back is no finding.
            found &= _IN_RELIEF
        elif not running:
            found &= AT_REST
        self._told &= self.monitor.found
        fresh = found & ~self._told
        if fresh:
            self._told |= fresh
            self._tell(fresh)
        gone = self.active_alarms & _WATCHED & ~self.monitor.found
        if gone:
            self._end_gone(gone)
        return fresh & alarms.STOPPING if running else 0

    def _no_matter(self) -> int:
        """Bits of what is as it should be: air where a line is filled, an end stop behind.

        The end stop is at the pusher's rear end: where it goes forward it goes away from it.
        """
        program = self.motion.program
        bits = 0
        if program and program.kind == PURGE:
            bits = _AIR
            if not program.reverse:
                bits |= 1 << alarms.END_STOP
        elif self.state != RELIEVING:
            bits = 1 << alarms.END_STOP
        return bits

    def _tell(self, bits: int) -> None:
        for row in alarms.ALARMS:
            if bits >> row[0] & 1:
                self.raise_alarm(row[0])
        if bits >> alarms.SENSOR_FAULT & 1:
            for sensor in range(SENSORS):
                kind = self.monitor.sensing.fault_kind(sensor)
                if kind:
                    self._note(journal.SENSOR_FAILED, sensor, kind)

    def _end_gone(self, bits: int) -> None:
        for row in alarms.ALARMS:
            if bits >> row[0] & 1:
                self.end_alarm(row[0])

    def _look_at_rest(self, now_ms: int) -> None:
        """Sensors and reminders, where nothing flows."""
        stops = self._look_at_sensors(now_ms)
        if self.state == RELIEVING:
            if stops or self.inputs.interlock_open or self.inputs.driver_fault:
                self._end_relief(now_ms)
            else:
                outcome = self._back_off.look(now_ms)
                if outcome == IS_OPEN:
                    self._restart(now_ms)
                elif outcome != BUSY:
                    self._end_relief(now_ms)
            return
        waited_s = self.uptime_s - self._since_s
        if self.state == PAUSED:
            if waited_s >= self._remind_s:
                self.raise_alarm(alarms.PAUSED_LONG)
        elif self.state == PROGRAMMED:
            if waited_s >= DROPPED_S:
                self._drop()
            elif waited_s >= IDLE_LONG_S:
                self.raise_alarm(alarms.IDLE_LONG)

    def _drop(self) -> None:
        """Nobody started what was programmed: it is forgotten."""
        self.end_alarm(alarms.IDLE_LONG)
        self.state = IDLE
        self.program_id = 0
        self.prescription = None
        self.motion.program = None  # type: ignore[assignment]
        self._note(journal.PROGRAM_DROPPED, 0, 0)

    def _stop_for(self, now_ms: int, stops: int) -> None:
        """Sensors have found what stops the pump, and it is told already."""
        if self.state == RELIEVING:
            self._end_relief(now_ms)
            return
        rate_ul_h = self.motion.planned_rate_ul_h()
        pressure_pa = self.monitor.pressure_pa
        rise_pa = pressure_pa - self.monitor.occlusion.baseline_pa
        self._alarm_state()
        self._halt(now_ms)
        self._note_delivered(journal.STOPPED)
        if stops != 1 << alarms.OCCLUSION or self.motion.mismatch:
            return
        self._note(journal.OCCLUSION_FOUND, pressure_pa, rise_pa)
        if self.motion.program.mechanism.kind != KIND_PERISTALTIC and not self._ended:
            self.state = RELIEVING
            may_check = self._recent_restarts() < self.restarts
            if self._back_off.begin(now_ms, pressure_pa, rate_ul_h, may_check) != BUSY:
                self._end_relief(now_ms)

    # -- a closed line ----------------------------------------------------------------------------

    def _end_portion(self, now_ms: int) -> None:
        """What the back-off asked of the motor is made."""
        self._halt(now_ms)
        self._back_off.portion_is_made(now_ms)
        if self.state == ALARM:
            # Another number of steps than was planned.
            self._end_relief(now_ms)

    def _end_relief(self, now_ms: int) -> None:
        """The back-off is at its end, however it came to it: in alarm, at rest."""
        if self.motion.running:
            self._halt(now_ms)
            self._back_off.cut()
        self.state = ALARM
        self._note(journal.RELIEVED, self._back_off.drawn_steps, self.monitor.pressure_pa)

    def _recent_restarts(self) -> int:
        recent = 0
        for at_s in self._restarts_s:
            if self.uptime_s - at_s < RESTARTS_WITHIN_S:
                recent += 1
        return recent

    def _restart(self, now_ms: int) -> None:
        """The line is open again: go on, and count it."""
        oldest = 0
        for number in range(MOST_RESTARTS):
            if self._restarts_s[number] < self._restarts_s[oldest]:
                oldest = number
        self._restarts_s[oldest] = self.uptime_s
        self.end_alarm(alarms.OCCLUSION)
        self._note(journal.RESTARTED, self._recent_restarts(), 0)
        self._run(now_ms)
        self._look(now_ms)

    # -- stopping -----------------------------------------------------------------------------

    def _halt(self, now_ms: int) -> None:
        self.motion.halt(now_ms)
        self._paused_s = self.uptime_s
        self._paused_ms = self.uptime_ms
        # A halt in the first quantum of a phase is the first to know of it.
        self._look(now_ms)
        self.boluses.cancel(now_ms)
        if self.prescription and self.boluses.cut_bolus_steps:
            self.prescription.cut_bolus(self.boluses.cut_bolus_steps)
        if self.motion.mismatch:
            self.state = ALARM
            self.raise_alarm(alarms.STEP_MISMATCH)

    def _begin_wait(self, remind_s: int = PAUSED_LONG_S) -> None:
        """From now on it waits for a person, who is reminded if it is a pause."""
        self._since_s = self.uptime_s
        self._remind_s = remind_s

    def _end_halted(self) -> None:
        """The motor was stopped for something that then could not be."""
        if self.state != ALARM:
            self.state = COMPLETED if self.motion.finished else PAUSED
            self._begin_wait()
            self._note_delivered(journal.PAUSED)

    def _stop_by_hand(self, now_ms: int, then: int) -> None:
        """A stop that was asked for: a head finishes its stroke, if anything flows."""
        flowed_ul_h = self.motion.planned_rate_ul_h()
        self._halt(now_ms)
        if self.state == ALARM:
            self._ended = then == STOPPED
            self._note_delivered(journal.STOPPED)
            return
        self._then = then
        # Near an end all was planned before, and something flowed all the same.
        flowed_ul_h = max(flowed_ul_h, self.motion.planned_rate_ul_h())
        steps = self._stroke_left(now_ms) if flowed_ul_h else 0
        if steps:
            parts = self.motion.program.mechanism
            volume_nl = parts.nl_for_steps(steps)
            within_ul_h = volume_nl * S_PER_HOUR // (GREATEST_STROKE_S * 1000)
            rate_ul_h = min(parts.greatest_rate_ul_h, max(flowed_ul_h, within_ul_h))
            self.state = STOPPING
            self.motion.finish_stroke(now_ms, rate_ul_h, steps, self._stroke_bucket())
        else:
            self._stand_still()

    def _stroke_bucket(self) -> int:
        """A stroke is finished from what flowed last: a bolus that was cut short, or the phase."""
        if self.boluses.cut_steps:
            return self.boluses.cut_bucket
        return self.motion.program.phases[self.motion.planning].bucket

    def _stroke_left(self, now_ms: int) -> int:
        """Steps to the end of the head's stroke, as far as they are there to be given."""
        motion = self.motion
        program = motion.program
        if program.mechanism.kind != KIND_PERISTALTIC or motion.finished or motion.emptied:
            return 0
        steps = -motion.into_stroke() % program.mechanism.stroke_steps
        if not program.phases[motion.planning].quanta:
            steps = min(steps, motion.left_millions * MILLION + motion.left_rest)
        if self.boluses.cut_steps:
            steps = min(steps, self.boluses.cut_steps)
        if self._stroke_bucket() != SECONDARY:
            steps = min(steps, motion.content_millions * MILLION + motion.content_rest)
        if program.mechanism.nl_for_steps(steps) > GREATEST_STROKE_UL * 1000:
            return 0
        if steps and program.limits and self._stroke_bucket() != DEMAND:
            # A demand is counted in full already.
            if not program.limits.room_for(now_ms, steps):
                return 0
            program.limits.close(now_ms, steps)
        return steps

    def _end_stroke(self, now_ms: int) -> None:
        emptied = self.motion.emptied
        self._halt(now_ms)
        if self.state == ALARM:
            self._ended = self._then == STOPPED
            self._note_delivered(journal.STOPPED)
            return
        self._stand_still()
        if emptied:
            self.end_alarm(alarms.NEAR_EMPTY)
            self.raise_alarm(alarms.CONTAINER_EMPTY)

    def _stand_still(self) -> None:
        if self._then == PAUSED and self.motion.finished:
            self._complete(alarms.END_OF_INFUSION)
            return
        self.state = self._then
        # As long as was said when the head was to finish its stroke.
        self._begin_wait(self._remind_s)
        self._note_delivered(journal.PAUSED if self._then == PAUSED else journal.STOPPED)

    def _reach_end(self, now_ms: int) -> None:
        """All that was planned is made."""
        motion = self.motion
        if motion.finishing:
            self._end_stroke(now_ms)
        elif motion.emptied and not motion.finished:
            self._run_empty(now_ms)
        else:
            emptied = motion.emptied
            self._halt(now_ms)
            if self.state != ALARM:
                self._complete(alarms.CONTAINER_EMPTY if emptied else alarms.END_OF_INFUSION)

    def _run_empty(self, now_ms: int) -> None:
        """The container is empty: the end of a therapy that was delivered, or a stop in it."""
        motion = self.motion
        self._halt(now_ms)
        if self.state == ALARM:
            return
        self.end_alarm(alarms.NEAR_EMPTY)
        if motion.finished or motion.program.phases[motion.planning].is_endless():
            self._complete(alarms.CONTAINER_EMPTY)
        else:
            motion.emptied = True
            self._alarm_state()
            self._note_delivered(journal.STOPPED)
            self.raise_alarm(alarms.CONTAINER_EMPTY)

    def _complete(self, number: int) -> None:
        self.state = COMPLETED
        if self.motion.program.kind == PURGE:
            self.monitor.forget_air()
        self.end_alarm(alarms.NEAR_END)
        self._note_delivered(journal.COMPLETED)
        if number == alarms.CONTAINER_EMPTY:
            self.end_alarm(alarms.NEAR_EMPTY)
        if self.motion.program.kind != PURGE or number == alarms.CONTAINER_EMPTY:
            self.raise_alarm(number)

    def _stop_in_alarm(self, now_ms: int, number: int) -> None:
        self._alarm_state()
        self._halt(now_ms)
        self._note_delivered(journal.STOPPED)
        self.raise_alarm(number)

    def _alarm_state(self) -> None:
        # A stop that was asked for, and overtaken by the alarm, is a stop all the same.
        self._ended = self.state == STOPPING and self._then == STOPPED
        self.state = ALARM

    def _note(self, code: int, a: int, b: int, text: str = "") -> None:
        self.journal.append(self.uptime_s, self.uptime_ms, code, a, b, text)

    def _note_delivered(self, code: int) -> None:
        self._note_steps(code, self.motion.program.phases[self.motion.phase].bucket)

    def _note_steps(self, code: int, bucket: int) -> None:
        motion = self.motion
        self._note(code, motion.delivered_millions[bucket], motion.delivered_rest[bucket])
