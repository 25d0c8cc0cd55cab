"""The state machine: every state × command, the alarms, and any interleaving of everything."""

import itertools
from fractions import Fraction
from typing import ClassVar

import pytest
import support
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from micropump import alarms, controller, journal, mechanism, monitor, sensing, therapy
from micropump.boluses import NO_DEMAND_HERE
from micropump.controller import (
    ALARM,
    COMPLETED,
    CONTAINER_IS_EMPTY,
    DRIVER,
    IDLE,
    INFUSING,
    INTERLOCK,
    KEEPING_OPEN,
    NOTHING_LEFT,
    OK,
    OTHER_PROGRAM,
    PAUSED,
    PRIMING,
    PROGRAMMED,
    RELIEVING,
    RUNNING,
    STATE_NAMES,
    STOPPED,
    STOPPING,
    WAITING,
    WRONG_STATE,
)
from micropump.link import Identity
from micropump.motion import HORIZON_MS, START_DELAY_MS, edges_us
from micropump.occlusion import OCCLUSION_LEVELS_PA
from micropump.program import (
    CONTINUOUS,
    INFUSED,
    INTERMITTENT,
    KVO,
    PURGE,
    SECONDARY,
    Phase,
    Program,
)
from micropump.therapy import KVO_BY_RULE, KVO_OFF
from micropump.units import CLOCK_MASK, QUANTUM_MS, SMALL_INT_LIMIT
from micropump_virtual.pump import VirtualPump

SYRINGE = mechanism.syringe("bd-plastipak-60", "t8-2mm-16")
STEP_NL = Fraction(SYRINGE.nl_num, SYRINGE.nl_den)


HEAD = mechanism.peristaltic("masterflex-ls-14", "direct-16")


def order(
    rate_ul_h: int = 60_000,
    vtbi_ul: int = 100,
    kvo_ul_h: int = KVO_BY_RULE,
    content_ul: int = 0,
    parts: mechanism.Mechanism = SYRINGE,
    delay_s: int = 0,
    containers: int = 1,
) -> Program:
    return support.program_of(
        CONTINUOUS,
        parts,
        rate_ul_h=rate_ul_h,
        vtbi_ul=vtbi_ul,
        kvo_ul_h=kvo_ul_h,
        content_ul=content_ul or vtbi_ul + 100,
        delay_s=delay_s,
        containers=containers,
    )


def programmed(**wishes) -> support.Rig:
    rig = support.Rig()
    assert rig.do("load", order(**wishes), 7) == OK
    return rig


def infusing(**wishes) -> support.Rig:
    rig = programmed(**wishes)
    assert rig.do("start", 7) == OK
    rig.run(1000)
    return rig


def keeping_open() -> support.Rig:
    rig = infusing()
    # 0.1 mL at 60 mL/h take 6 s.
    rig.run(6000)
    return rig


def paused() -> support.Rig:
    rig = infusing()
    assert rig.do("pause") == OK
    return rig


def completed() -> support.Rig:
    rig = infusing(kvo_ul_h=KVO_OFF)
    rig.run(6000)
    return rig


def stopped() -> support.Rig:
    rig = infusing()
    assert rig.do("stop") == OK
    return rig


def in_alarm() -> support.Rig:
    rig = infusing()
    rig.inputs.interlock_open = True
    rig.run(100)
    rig.inputs.interlock_open = False
    return rig


def waiting() -> support.Rig:
    return infusing(kvo_ul_h=KVO_OFF, delay_s=3_600)


def stopping() -> support.Rig:
    """In the middle of a stroke of the head, which takes two seconds to its end."""
    rig = infusing(parts=HEAD, rate_ul_h=60_000, vtbi_ul=9_000)
    assert rig.do("pause") == OK
    return rig


def priming() -> support.Rig:
    rig = support.Rig()
    assert rig.do("load", support.program_of(PURGE, SYRINGE), 7) == OK
    assert rig.do("start", 7) == OK
    rig.run(1000)
    return rig


# 4 Pa a count, and silent after half a second.
PRESSURE_SENSOR = (sensing.PRESSURE, 10_000, 4, 1, 1_000, 64_000, 500, 0, 0, 0)


def at_pressure(rig: support.Rig, pressure_pa: int, samples: int) -> None:
    """So many samples of the line's pressure, ten a second."""
    for _ in range(samples):
        rig.controller.monitor.readings.put(sensing.PRESSURE, 10_000 + pressure_pa // 4)
        rig.run(100)


def relieving() -> support.Rig:
    """The line is closed, and the motor turns back."""
    rig = support.Rig(sensors=(PRESSURE_SENSOR,))
    at_pressure(rig, 0, 5)
    assert rig.do("load", order(vtbi_ul=9_000), 7) == rig.do("start", 7) == OK
    at_pressure(rig, 2_000, 20)
    pressure_pa = 2_000
    while rig.controller.state == INFUSING:
        pressure_pa += 3_000
        at_pressure(rig, pressure_pa, 1)
    return rig


MAKERS = {
    IDLE: support.Rig,
    PROGRAMMED: programmed,
    INFUSING: infusing,
    KEEPING_OPEN: keeping_open,
    PAUSED: paused,
    COMPLETED: completed,
    STOPPED: stopped,
    ALARM: in_alarm,
    WAITING: waiting,
    STOPPING: stopping,
    PRIMING: priming,
    RELIEVING: relieving,
}
COMMANDS = {
    "load": (order(), 8),
    "start": (7,),
    "pause": (),
    "resume": (),
    "stop": (),
    "set_rate": (30_000,),
    "bolus": (20, 60_000, 0),
    "demand": (),
    "change_container": (5_000,),
    "load_secondary": (Phase(60_000, 100, SECONDARY), 9),
    "acknowledge": (),
}
# Every command that is accepted, and the state after it; all others are refused.
ACCEPTED = {
    (IDLE, "load"): PROGRAMMED,
    (PROGRAMMED, "load"): PROGRAMMED,
    (PROGRAMMED, "start"): INFUSING,
    (PROGRAMMED, "stop"): STOPPED,
    (PROGRAMMED, "change_container"): PROGRAMMED,
    (INFUSING, "pause"): PAUSED,
    (INFUSING, "stop"): STOPPED,
    (INFUSING, "set_rate"): INFUSING,
    (INFUSING, "bolus"): INFUSING,
    (INFUSING, "load_secondary"): INFUSING,
    (KEEPING_OPEN, "pause"): PAUSED,
    (KEEPING_OPEN, "stop"): STOPPED,
    (KEEPING_OPEN, "acknowledge"): KEEPING_OPEN,
    (KEEPING_OPEN, "load_secondary"): KEEPING_OPEN,
    (PAUSED, "resume"): INFUSING,
    (PAUSED, "stop"): STOPPED,
    (PAUSED, "set_rate"): PAUSED,
    (PAUSED, "change_container"): PAUSED,
    (PAUSED, "load_secondary"): PAUSED,
    (COMPLETED, "load"): PROGRAMMED,
    (COMPLETED, "stop"): STOPPED,
    (COMPLETED, "acknowledge"): COMPLETED,
    (STOPPED, "load"): PROGRAMMED,
    (STOPPED, "stop"): STOPPED,
    (ALARM, "stop"): ALARM,
    (ALARM, "acknowledge"): PAUSED,
    (ALARM, "change_container"): ALARM,
    (WAITING, "pause"): PAUSED,
    (WAITING, "stop"): STOPPED,
    (STOPPING, "stop"): STOPPED,
    (PRIMING, "pause"): STOPPED,
    (PRIMING, "stop"): STOPPED,
    (RELIEVING, "stop"): ALARM,
}


def face(rig: support.Rig) -> tuple:
    """All that a refused command may not change."""
    motion = rig.controller.motion
    return (
        rig.controller.state,
        rig.controller.active_alarms,
        rig.controller.program_id,
        rig.controller.remaining_s(),
        motion.running,
        motion.planned_rate_ul_h(),
        motion.bolus.left,
        rig.controller.content_ul(),
        rig.controller.motion.left_rest,
        tuple(motion.delivered_rest),
        len(rig.stepper.quanta),
        rig.events(),
    )


@pytest.mark.parametrize("state", MAKERS, ids=STATE_NAMES)
@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_in_each_state(state, name):
    rig = MAKERS[state]()
    rig.tick()
    assert rig.controller.state == state
    before = face(rig)
    answer = rig.do(name, *COMMANDS[name])
    if (state, name) in ACCEPTED:
        assert answer == OK
        assert rig.controller.state == ACCEPTED[state, name]
    else:
        # This program is not one of demands, whatever its state.
        assert answer == (NO_DEMAND_HERE if name == "demand" else WRONG_STATE)
        assert face(rig) == before


@pytest.mark.parametrize("state", [IDLE, PROGRAMMED, PAUSED, COMPLETED, STOPPED, ALARM])
def test_nothing_starts_by_itself(state):
    rig = MAKERS[state]()
    made = len(rig.stepper.made_edges_us())
    rig.run(10_000)
    assert rig.controller.state == state
    rig.tick(SMALL_INT_LIMIT // 2)
    # A program that nobody starts is dropped.
    assert rig.controller.state == (IDLE if state == PROGRAMMED else state)
    assert len(rig.stepper.made_edges_us()) == made


def test_starting_takes_two_distinct_actions_and_the_right_name():
    rig = programmed()
    assert rig.do("start", 8) == OTHER_PROGRAM
    assert rig.controller.state == PROGRAMMED
    assert rig.do("start", 7) == OK
    assert rig.do("start", 7) == WRONG_STATE


def test_after_an_alarm_it_takes_an_acknowledgement_and_a_resume():
    rig = in_alarm()
    made = len(rig.stepper.made_edges_us())
    assert rig.do("resume") == WRONG_STATE
    assert rig.do("acknowledge") == OK
    rig.run(5000)
    assert len(rig.stepper.made_edges_us()) == made
    assert rig.do("resume") == OK
    rig.run(1000)
    assert len(rig.stepper.made_edges_us()) > made


def test_nothing_runs_while_the_interlock_is_open():
    rig = programmed()
    rig.inputs.interlock_open = True
    rig.tick()
    assert rig.do("start", 7) == INTERLOCK
    assert rig.controller.state == PROGRAMMED
    rig.inputs.interlock_open = False
    rig.tick()
    assert rig.do("start", 7) == OK
    rig.run(500)
    rig.inputs.interlock_open = True
    rig.run(100)
    rig.inputs.interlock_open = False
    assert rig.do("acknowledge") == OK
    rig.inputs.interlock_open = True
    assert rig.do("resume") == INTERLOCK


def test_nothing_runs_while_the_driver_has_a_fault():
    rig = infusing(vtbi_ul=1_000)
    rig.run(1_000)
    rig.inputs.driver_fault = True
    rig.run(200)
    assert rig.controller.state == ALARM
    assert rig.controller.active_alarms == 1 << alarms.DRIVER_FAULT
    assert len(rig.stepper.made_edges_us()) == rig.controller.delivered_steps(INFUSED)
    assert rig.do("acknowledge") == OK
    assert rig.do("resume") == DRIVER
    rig.inputs.driver_fault = False
    assert rig.do("resume") == OK


@settings(max_examples=100)
@given(
    st.integers(10, 300_000),
    st.lists(st.tuples(st.integers(0, 500), st.integers(0, HORIZON_MS)), min_size=1, max_size=6),
)
def test_an_interlock_stops_at_the_exact_step_however_late_its_tick(rate_ul_h, stops):
    rig = support.Rig(SMALL_INT_LIMIT - 2000)
    rig.do("load", order(rate_ul_h=rate_ul_h, vtbi_ul=50_000, content_ul=60_000), 7)
    schedule = support.Schedule(STEP_NL)
    rig.do("start", 7)
    for run_ms, late_ms in stops:
        begun_ms = rig.now_ms + START_DELAY_MS
        rig.run(run_ms)
        rig.inputs.interlock_open = True
        rig.tick(min(late_ms, rig.controller.motion.lead_ms()))
        assert rig.controller.active_alarms == 1 << alarms.INTERLOCK_OPEN
        schedule.flow(begun_ms, max(begun_ms, rig.now_ms), rate_ul_h)
        rig.inputs.interlock_open = False
        assert rig.do("acknowledge") == OK
        assert rig.do("resume") == OK
    rig.do("pause")
    assert rig.stepper.made_edges_us() == schedule.edges_us
    assert rig.controller.delivered_steps(INFUSED) == len(schedule.edges_us)


def test_a_late_tick_is_starvation_and_stops_in_alarm():
    rig = infusing()
    rig.tick(HORIZON_MS + 1)
    assert rig.controller.state == ALARM
    assert rig.controller.active_alarms == 1 << alarms.STARVED
    assert rig.codes()[-2:] == [journal.STOPPED, journal.ALARM_RAISED]
    made = len(rig.stepper.made_edges_us())
    rig.run(5000)
    assert len(rig.stepper.made_edges_us()) == made == rig.controller.delivered_steps(INFUSED)
    assert rig.do("acknowledge") == OK
    assert rig.do("resume") == OK
    rig.run(10_000)
    assert rig.controller.delivered_steps(INFUSED) == SYRINGE.steps_for_ul(100)


def test_a_tick_at_the_very_end_of_the_lead_is_in_time():
    rig = infusing()
    rig.tick(rig.controller.motion.lead_ms())
    assert rig.controller.state == INFUSING


@given(st.lists(st.integers(0, HORIZON_MS - QUANTUM_MS), max_size=30))
@settings(max_examples=50)
def test_early_and_late_ticks_change_nothing(gaps_ms):
    on_time, restless = infusing(vtbi_ul=9000), infusing(vtbi_ul=9000)
    for gap_ms in gaps_ms:
        restless.tick(gap_ms)
        restless.tick()
    on_time.run(sum(gaps_ms))
    for rig in (on_time, restless):
        rig.do("pause")
    assert on_time.stepper.made_edges_us() == restless.stepper.made_edges_us()
    assert on_time.events() == restless.events()
    assert on_time.controller.uptime_s == restless.controller.uptime_s
    assert on_time.controller.uptime_ms == restless.controller.uptime_ms


def test_a_stepper_that_disagrees_stops_in_alarm():
    rig = infusing()
    honest = rig.stepper.abort
    rig.stepper.abort = lambda now_ms: honest(now_ms) + 5000
    rig.do("pause")
    assert rig.controller.state == ALARM
    assert rig.controller.active_alarms == 1 << alarms.STEP_MISMATCH
    assert rig.do("resume") == WRONG_STATE


def test_the_events_of_a_whole_infusion_in_order():
    rig = programmed(vtbi_ul=100, content_ul=101)
    rig.do("start", 7)
    rig.run(1000)
    rig.do("set_rate", 120_000)
    rig.do("pause")
    rig.do("resume")
    rig.run(60_000)
    assert rig.controller.state == COMPLETED
    rig.do("acknowledge")
    vtbi, content = SYRINGE.steps_for_ul(100), SYRINGE.steps_for_ul(101)
    paused_at = rig.events()[4][2]
    assert rig.events() == [
        (journal.BOOTED, 0, 0),
        (journal.PROGRAMMED, 60_000, 100),
        (journal.STARTED, 60_000, 0),
        (journal.RATE_CHANGED, 60_000, 120_000),
        (journal.PAUSED, 0, paused_at),
        (journal.RESUMED, 0, paused_at),
        (journal.VTBI_REACHED, 0, vtbi),
        (journal.ALARM_RAISED, alarms.END_OF_INFUSION, 0),
        (journal.COMPLETED, 0, content - vtbi),
        (journal.ALARM_RAISED, alarms.CONTAINER_EMPTY, 0),
        (journal.ALARM_ENDED, alarms.END_OF_INFUSION, 0),
        (journal.ALARM_ENDED, alarms.CONTAINER_EMPTY, 0),
    ]
    # 1 s less the delay, at 60 mL/h.
    assert paused_at == int(950 * Fraction(60_000, 3600) / STEP_NL)


@pytest.mark.parametrize(
    ("kvo_ul_h", "content_ul", "expected"),
    [
        (KVO_BY_RULE, 101, {alarms.END_OF_INFUSION, alarms.CONTAINER_EMPTY}),
        # The VTBI is reached before it is seen that nothing is there to keep the vein open with.
        (KVO_BY_RULE, 100, {alarms.END_OF_INFUSION, alarms.CONTAINER_EMPTY}),
        (KVO_OFF, 100, {alarms.CONTAINER_EMPTY}),
        (KVO_OFF, 200, {alarms.END_OF_INFUSION}),
    ],
)
def test_how_an_infusion_ends(kvo_ul_h, content_ul, expected):
    rig = infusing(kvo_ul_h=kvo_ul_h, content_ul=content_ul)
    rig.run(20_000)
    assert rig.controller.state == COMPLETED
    assert rig.controller.active_alarms == sum(1 << number for number in expected)
    assert rig.controller.delivered_steps(INFUSED) == SYRINGE.steps_for_ul(100)
    made = len(rig.stepper.made_edges_us())
    kvo = SYRINGE.steps_for_ul(101) - SYRINGE.steps_for_ul(100)
    assert made == SYRINGE.steps_for_ul(100) + (kvo if content_ul == 101 else 0)
    assert rig.do("acknowledge") == OK
    assert rig.controller.active_alarms == 0
    assert rig.controller.state == COMPLETED


def test_the_vtbi_is_announced_when_it_is_in():
    rig = infusing()
    while rig.controller.state == INFUSING:
        rig.tick(10)
    made_us = rig.stepper.made_edges_us()
    announced_ms = rig.now_ms
    vtbi = SYRINGE.steps_for_ul(100)
    # Never before the last step of the VTBI is made, and within two quanta of it.
    assert 0 <= announced_ms * 1000 - made_us[vtbi - 1] <= 2 * QUANTUM_MS * 1000
    assert rig.controller.active_alarms == 1 << alarms.END_OF_INFUSION
    assert rig.controller.remaining_s() == 0


@settings(max_examples=100)
@given(st.integers(0, 700), st.sampled_from(["pause", "interlock"]))
def test_the_end_of_the_vtbi_is_announced_once_whenever_the_pump_is_halted(ms, how):
    rig = infusing()
    rig.run(4700 + ms)
    if how == "pause":
        assert rig.do("pause") == OK
    else:
        rig.inputs.interlock_open = True
        rig.run(1)
        rig.inputs.interlock_open = False
        assert rig.do("acknowledge") == OK
    assert rig.do("resume") == OK
    rig.run(2000)
    assert rig.controller.state == KEEPING_OPEN
    assert rig.codes().count(journal.VTBI_REACHED) == 1
    raised = (journal.ALARM_RAISED, alarms.END_OF_INFUSION, 0)
    assert rig.events().count(raised) == 1
    assert rig.controller.delivered_steps(INFUSED) == SYRINGE.steps_for_ul(100)


def test_a_pause_behind_the_last_step_is_the_end():
    rig = infusing(kvo_ul_h=KVO_OFF)
    # Between the last step, 6048.4 ms after the start, and the end of its quantum.
    rig.run(5049)
    assert rig.controller.state == INFUSING
    assert rig.do("pause") == OK
    assert rig.controller.state == COMPLETED
    assert rig.controller.active_alarms == 1 << alarms.END_OF_INFUSION
    assert rig.controller.delivered_steps(INFUSED) == SYRINGE.steps_for_ul(100)
    assert rig.do("resume") == WRONG_STATE


@settings(max_examples=60)
@given(st.integers(10, 1_000_000), st.integers(100, 60_000), st.integers(0, 5000))
def test_remaining_time_is_what_is_left_at_the_rate(rate_ul_h, vtbi_ul, ms):
    rig = programmed(rate_ul_h=rate_ul_h, vtbi_ul=vtbi_ul, content_ul=60_000)
    rig.do("start", 7)
    rig.run(ms)
    rig.do("pause")
    if rig.controller.state != PAUSED:
        return
    left = SYRINGE.steps_for_ul(vtbi_ul) - rig.controller.delivered_steps(INFUSED)
    exact_s = left * STEP_NL * Fraction(36, 10) / rate_ul_h
    # Half a second, and the rounding up to a whole ms that comes before.
    near_s = Fraction(501, 1000)
    assert abs(rig.controller.remaining_s() - exact_s) <= near_s
    if rig.controller.motion.planning == 0 and not rig.controller.motion.finished:
        faster = rate_ul_h // 2 + 5
        if rig.do("set_rate", faster) == OK:
            halved_s = exact_s * rate_ul_h / faster
            assert abs(rig.controller.remaining_s() - halved_s) <= near_s


@pytest.mark.parametrize(
    ("rate_ul_h", "refusal"),
    [
        (9, therapy.RATE_BELOW_RANGE),
        (10, OK),
        (SYRINGE.greatest_rate_ul_h, OK),
        (SYRINGE.greatest_rate_ul_h + 1, therapy.RATE_ABOVE_RANGE),
    ],
)
def test_a_rate_out_of_range_is_refused_and_changes_nothing(rate_ul_h, refusal):
    rig = infusing()
    before = face(rig)
    assert rig.do("set_rate", rate_ul_h) == refusal
    assert (face(rig) == before) == (refusal != OK)


def test_the_vtbi_cannot_be_titrated_once_it_is_planned():
    rig = infusing()
    while rig.controller.motion.planning == 0:
        rig.tick(10)
    assert rig.controller.state == INFUSING
    assert rig.do("set_rate", 30_000) == WRONG_STATE


def test_a_tick_says_when_it_is_next_due():
    rig = support.Rig(SMALL_INT_LIMIT - 30)
    rig.tick()
    assert rig.due_ms - rig.now_ms == controller.IDLE_TICK_MS
    rig = infusing()
    for gap_ms in (0, 1, 50, 99, 100, 137):
        rig.tick(gap_ms)
        assert 1 <= rig.due_ms - rig.now_ms <= QUANTUM_MS


@given(
    st.integers(0, SMALL_INT_LIMIT - 1),
    st.lists(st.integers(0, 10_000) | st.integers(0, SMALL_INT_LIMIT - 1001), max_size=10),
)
def test_uptime_is_the_time_that_has_passed(start_ms, gaps_ms):
    rig = support.Rig(start_ms)
    for gap_ms in gaps_ms:
        rig.tick(gap_ms)
    assert (rig.controller.uptime_s, rig.controller.uptime_ms) == divmod(sum(gaps_ms), 1000)


def test_an_event_bears_the_uptime_of_its_command():
    rig = infusing()
    rig.run(2_345)
    rig.do("pause")
    log = rig.controller.journal
    assert log.entry(log.next_number - 1)[1:4] == (3, 345, journal.PAUSED)


# -- any interleaving ---------------------------------------------------------------------------

NEAR_WRAPS_MS = [0, 5_000, SMALL_INT_LIMIT - 3_000, 7 * SMALL_INT_LIMIT - 400]
HALTED = (IDLE, PROGRAMMED, PAUSED, COMPLETED, STOPPED, ALARM)


class Interleaving(RuleBasedStateMachine):
    """Controller and virtual pump under any order of commands, ticks and time.

    The judge is the stepper's trace: every edge that was made is counted in one bucket, once; no
    program passes its VTBI and its content; and nothing moves that was not told to.
    """

    keys: ClassVar = [
        (1, "bd-plastipak-60", "t8-2mm-16"),
        (1, "terumo-1", "m5-0.8-32"),
        (2, "runze-rz1030-0142", "pg5-16"),
    ]

    @initialize(
        start_ms=st.sampled_from(NEAR_WRAPS_MS),
        key=st.sampled_from(keys),
        phase=st.sampled_from([IDLE, INFUSING, KEEPING_OPEN, KEEPING_OPEN]),
        more_ul=st.sampled_from([40, 1, 0]),
    )
    def power_on(self, start_ms, key, phase, more_ul):
        self.pump = VirtualPump(Identity("cpython", "virtual", 1, "", 0), start_ms)
        self.parts = mechanism.build(*key)
        self.program = None
        self.program_id = 0
        self.seen = 0
        self.cut = 0
        self.made = 0
        self.pending = []
        if phase != IDLE:
            self.load(240_000, True, 100, more_ul, KVO_BY_RULE)
        if phase == KEEPING_OPEN:
            self.about_the_end_of_a_phase(400)

    @property
    def state(self):
        return self.pump.controller.state

    def collect(self):
        """Follow the trace: whole quanta that are past are counted, aborted ones are cut."""
        pump = self.pump
        for until, cut_ms in pump.aborts[self.cut :]:
            self.pending += pump.quanta[self.seen : until]
            self.made += sum(self.made_by(quantum, cut_ms) for quantum in self.pending)
            self.pending, self.seen = [], until
        self.cut = len(pump.aborts)
        self.pending += pump.quanta[self.seen :]
        self.seen = len(pump.quanta)

    @staticmethod
    def made_by(quantum, at_ms):
        start_ms, count, *rest = quantum
        if start_ms + QUANTUM_MS <= at_ms:
            return count
        return sum(start_ms * 1000 + us <= at_ms * 1000 for us in edges_us(count, *rest))

    def command(self, name, *values):
        pump = self.pump
        pump.stepper.now_ms = pump.now_ms
        answer = getattr(pump.controller, name)(pump.now_ms & CLOCK_MASK, *values)
        pump._collect()
        pump.due_ms = pump.now_ms
        pump.advance(pump.now_ms)
        self.collect()
        return answer

    # Rates at which a program of the least VTBI takes from a third of a second to ten hours.
    @rule(
        rate_ul_h=st.sampled_from([240_000, 60_000, 10_000, 999, 10]),
        starts=st.sampled_from([True, True, False]),
        vtbi_ul=st.sampled_from([100, 137]),
        more_ul=st.sampled_from([0, 1, 40]),
        kvo_ul_h=st.sampled_from([KVO_BY_RULE, KVO_OFF, 10]),
    )
    def load(self, rate_ul_h, starts, vtbi_ul, more_ul, kvo_ul_h):
        program = order(rate_ul_h, vtbi_ul, kvo_ul_h, vtbi_ul + more_ul, self.parts)
        was = self.state
        answer = self.command("load", program, self.program_id + 1)
        assert (answer == OK) == (self.state == PROGRAMMED)
        if answer == OK:
            assert was in (IDLE, PROGRAMMED, COMPLETED, STOPPED)
            self.program_id += 1
            self.program, self.made, self.pending = program, 0, []
            self.content = self.parts.steps_for_ul(vtbi_ul + more_ul)
            if starts:
                self.start(True)

    @rule(right=st.sampled_from([True, True, True, False]))
    def start(self, right):
        was = self.state
        open_ = self.pump.inputs.interlock_open
        answer = self.command("start", self.program_id if right else self.program_id + 1)
        assert (answer == OK) == (was == PROGRAMMED and right and not open_)

    @rule()
    def pause(self):
        running = self.state in RUNNING
        answer = self.command("pause")
        # The tick of the command itself may have found the end, or the interlock open.
        assert answer in (OK, WRONG_STATE)
        # A head finishes its stroke.
        assert self.state in HALTED or self.state == STOPPING
        assert running or answer == WRONG_STATE

    @rule()
    def resume(self):
        was = self.state
        answer = self.command("resume")
        if was != PAUSED:
            assert answer == WRONG_STATE
        elif answer != OK:
            left = NOTHING_LEFT, CONTAINER_IS_EMPTY
            assert answer == INTERLOCK if self.pump.inputs.interlock_open else answer in left
            assert self.state == PAUSED

    @precondition(lambda self: self.state != IDLE)
    @rule(sure=st.integers(0, 5))
    def stop(self, sure):
        # Seldom, or there would be little else.
        if sure == 0:
            assert self.command("stop") == OK
            assert self.state in (STOPPED, ALARM, STOPPING)
            # Told again, it stops at once.
            assert self.command("stop") == OK
            assert self.state in (STOPPED, ALARM)
            assert not self.pump.controller.motion.running

    @rule(rate_ul_h=st.sampled_from([10, 5_000, 30_000, 200_000, 5_000_000]))
    def set_rate(self, rate_ul_h):
        was = self.state
        answer = self.command("set_rate", rate_ul_h)
        assert was in (INFUSING, PAUSED) or answer == WRONG_STATE

    @rule()
    def acknowledge(self):
        self.command("acknowledge")
        assert self.state != ALARM

    @rule(ms=st.integers(0, 300), stays=st.sampled_from([False, False, True]))
    def interlock(self, ms, stays):
        self.pump.inputs.interlock_open = True
        self.time_passes(ms)
        self.pump.inputs.interlock_open = stays

    @rule()
    def close_interlock(self):
        self.pump.inputs.interlock_open = False

    @rule(ms=st.integers(0, 400) | st.integers(1000, 20_000))
    def time_passes(self, ms):
        self.pump.advance(self.pump.now_ms + ms)
        self.collect()

    @precondition(lambda self: self.state in (INFUSING, KEEPING_OPEN))
    @rule(ms=st.integers(0, 700))
    def about_the_end_of_a_phase(self, ms):
        phase = self.pump.controller.motion.planning
        for _ in range(2000):
            motion = self.pump.controller.motion
            if not motion.running or motion.planning != phase or motion.finished:
                break
            self.pump.advance(self.pump.now_ms + 50)
        self.time_passes(ms)

    @rule(ms=st.integers(1, HORIZON_MS + 50) | st.integers(1, 36_000_000))
    def late_tick(self, ms):
        """The processor is away, and its next tick comes so much later: the motor may starve."""
        pump = self.pump
        lead_ms = pump.controller.motion.lead_ms() if pump.controller.motion.running else None
        done = pump.controller.motion.is_at_end() or pump.inputs.interlock_open
        stands_ms = pump.stepper.now_ms
        pump.due_ms = pump.now_ms + ms
        pump.advance(pump.now_ms + ms)
        self.collect()
        if lead_ms is not None and not done:
            starved = pump.now_ms - stands_ms > lead_ms
            assert (self.state == ALARM) == starved

    @rule(ms=st.integers(0, 99))
    def early_tick(self, ms):
        pump = self.pump
        pump.due_ms = min(pump.due_ms, pump.now_ms + ms)
        pump.advance(pump.now_ms + ms)
        self.collect()

    @invariant()
    def every_step_is_counted_once(self):
        if self.program is None:
            return
        core = self.pump.controller
        infused, kvo = core.delivered_steps(INFUSED), core.delivered_steps(KVO)
        if core.motion.running:
            # Running, the count is to the last quantum that was over at the last tick.
            ticked_ms = self.pump.stepper.now_ms
            over = sum(q[1] for q in self.pending if q[0] + QUANTUM_MS <= ticked_ms)
            assert infused + kvo == self.made + over
        else:
            assert not self.pending
            assert infused + kvo == self.made

    @invariant()
    def no_program_exceeds_its_volumes(self):
        if self.program is None:
            return
        core = self.pump.controller
        infused, kvo = core.delivered_steps(INFUSED), core.delivered_steps(KVO)
        assert infused <= self.program.vtbi_steps
        assert infused + kvo <= self.content
        assert self.made + sum(q[1] for q in self.pending) <= self.content
        if kvo or self.state in (KEEPING_OPEN, COMPLETED):
            assert infused == self.program.vtbi_steps
        if self.state == KEEPING_OPEN:
            assert journal.VTBI_REACHED in self.codes()

    def codes(self):
        log = self.pump.controller.journal
        return [log.entry(n)[3] for n in range(log.first_kept(), log.next_number)]

    @invariant()
    def the_motor_moves_only_while_infusing(self):
        if self.program is None:
            return
        running = self.pump.controller.motion.running
        assert running == (self.state in (INFUSING, KEEPING_OPEN, STOPPING))
        assert not self.pump.controller.motion.mismatch
        assert (self.state != ALARM) or self.pump.controller.active_alarms


TestInterleaving = Interleaving.TestCase
TestInterleaving.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)


def test_a_stop_in_alarm_ends_the_therapy_for_good():
    rig = in_alarm()
    assert rig.do("stop") == OK
    assert rig.controller.state == ALARM
    assert rig.do("acknowledge") == OK
    assert rig.controller.state == STOPPED
    assert rig.do("resume") == WRONG_STATE


def test_programming_anew_takes_note_of_what_the_last_infusion_ended_with():
    rig = completed()
    assert rig.controller.active_alarms == 1 << alarms.END_OF_INFUSION
    assert rig.do("load", order(), 8) == OK
    assert rig.controller.active_alarms == 0
    assert rig.do("start", 8) == OK
    rig.run(7000)
    assert rig.codes().count(journal.VTBI_REACHED) == 1
    assert rig.controller.active_alarms == 1 << alarms.END_OF_INFUSION


@pytest.mark.parametrize(
    ("kvo_ul_h", "titrated_ul_h", "then_ul_h"),
    [
        (KVO_BY_RULE, 500, 500),
        (KVO_BY_RULE, 9_999, 1_000),
        (2_500, 500, 500),
        (2_500, 9_999, 2_500),
    ],
)
def test_kvo_follows_a_titrated_rate_and_is_never_above_it(kvo_ul_h, titrated_ul_h, then_ul_h):
    rig = infusing(kvo_ul_h=kvo_ul_h)
    assert rig.do("set_rate", titrated_ul_h) == OK
    program = rig.controller.motion.program
    assert [phase.bucket for phase in program.phases] == [INFUSED, KVO]
    assert program.phases[1].rate_ul_h == then_ul_h


def test_a_stepper_that_has_run_dry_stops_the_pump_in_alarm():
    rig = infusing(vtbi_ul=10_000)
    rig.inputs.stepper_starved = True
    rig.run(100)
    assert rig.controller.state == ALARM
    assert rig.controller.active_alarms == 1 << alarms.STARVED


@given(st.integers(100, 3_000), st.integers(1, 110))
def test_an_interlock_that_stopped_the_motor_by_itself_leaves_no_step_counted_unmade(
    parked_ms, late_ms
):
    # As on the board: the generator stops at once, the next control cycle comes later.
    rig = programmed(rate_ul_h=1_200_000, vtbi_ul=2_000)
    assert rig.do("start", 7) == OK
    rig.run(parked_ms)
    assume(rig.controller.state == INFUSING)
    made = sum(edge_us <= rig.now_ms * 1000 for edge_us in rig.stepper.made_edges_us())
    rig.stepper.abort = lambda now_ms: made
    rig.inputs.interlock_open = True
    rig.tick(late_ms)
    assert rig.controller.state == ALARM
    assert rig.controller.active_alarms == 1 << alarms.INTERLOCK_OPEN
    assert rig.controller.delivered_steps(INFUSED) == made


def test_a_stepper_that_made_fewer_steps_than_were_counted_is_an_alarm_and_adds_none():
    rig = infusing(rate_ul_h=1_200_000, vtbi_ul=2_000)
    counted = rig.controller.delivered_steps(INFUSED)
    assert counted > 100
    rig.stepper.abort = lambda now_ms: counted - 100
    assert rig.do("pause") == OK
    assert rig.controller.state == ALARM
    assert rig.controller.active_alarms == 1 << alarms.STEP_MISMATCH
    assert rig.controller.delivered_steps(INFUSED) == counted


# -- containers ---------------------------------------------------------------------------------


@settings(max_examples=100)
@given(
    st.sampled_from([SYRINGE, HEAD, mechanism.syringe("bd-plastipak-10", "m5-0.8-32")]),
    st.integers(20_000, 300_000),
    st.integers(150, 900),
    st.sampled_from([0, 50, 120]),
    st.lists(st.integers(500, 9_000), max_size=4),
)
def test_a_container_ends_at_its_last_whole_step_and_the_next_goes_on(
    parts, rate_ul_h, content_ul, loading_ul, pauses_ms
):
    # Over the joint of a loading dose, boluses and pauses, wherever in a quantum the end falls.
    vtbi_ul = 1_500
    assume(rate_ul_h <= parts.greatest_rate_ul_h)
    rig = support.Rig()
    program = support.program_of(
        CONTINUOUS, parts, rate_ul_h=rate_ul_h, vtbi_ul=vtbi_ul, content_ul=content_ul,
        containers=12, kvo_ul_h=KVO_OFF, loading_ul=loading_ul,
        loading_ul_h=100_000 if loading_ul else 0,
    )  # fmt: skip
    assert rig.do("load", program, 7) == rig.do("start", 7) == OK
    core = rig.controller
    # Together they hold what one of their size would.
    contents_ul = [content_ul]
    pauses_ms = list(pauses_ms)
    while core.state != COMPLETED:
        rig.run(pauses_ms.pop() if pauses_ms else 20_000)
        made = sum(core.motion.delivered_rest)
        if core.state == ALARM:
            # It stopped with the container's last whole step, and said so.
            assert core.active_alarms & 1 << alarms.CONTAINER_EMPTY
            assert not core.active_alarms & 1 << alarms.NEAR_EMPTY
            assert made == parts.steps_for_ul(sum(contents_ul)) == len(rig.stepper.made_edges_us())
            assert rig.do("resume") == WRONG_STATE
            assert rig.do("acknowledge") == OK
            assert rig.do("resume") == CONTAINER_IS_EMPTY
            assert rig.do("change_container", content_ul + 7) == OK
            contents_ul.append(content_ul + 7)
            assert rig.do("resume") == OK
        elif core.state == INFUSING:
            if rig.do("bolus", 40, 60_000, 0) == OK:
                rig.run(700)
            rig.do("pause")
            rig.run(8_000)
            # The end of a head's stroke may be the container's.
            if rig.do("resume") == CONTAINER_IS_EMPTY:
                assert sum(core.motion.delivered_rest) == parts.steps_for_ul(sum(contents_ul))
                assert rig.do("change_container", content_ul) == OK
                contents_ul.append(content_ul)
                assert rig.do("resume") == OK
        assert made <= parts.steps_for_ul(sum(contents_ul))
    total = parts.steps_for_ul(vtbi_ul)
    loading = parts.steps_for_ul(loading_ul)
    assert core.infused_steps() == total
    assert sum(core.motion.delivered_rest) == total + loading == len(rig.stepper.made_edges_us())
    near = (journal.ALARM_RAISED, alarms.NEAR_EMPTY, 0)
    assert rig.events().count(near) <= len(contents_ul)


def test_a_container_near_its_end_is_told_of_once_and_no_more_with_the_next():
    # At 60 mL/h what flows in ten minutes is 10 mL.
    rig = infusing(vtbi_ul=30_000, content_ul=12_000, containers=3)
    near = (journal.ALARM_RAISED, alarms.NEAR_EMPTY, 0)
    rig.run(117_000)
    assert near not in rig.events()
    rig.run(4_000)
    assert rig.events().count(near) == 1
    assert rig.controller.active_alarms == 1 << alarms.NEAR_EMPTY
    assert abs(rig.controller.content_left_s() - 600) <= 4
    # 12 mL take 12 minutes.
    rig.run(620_000)
    assert rig.controller.state == ALARM
    assert rig.events().count(near) == 1
    assert rig.controller.content_ul() == 0
    assert rig.do("change_container", 11_000) == rig.do("acknowledge") == OK
    assert rig.controller.active_alarms == 0
    assert rig.do("resume") == OK
    rig.run(70_000)
    assert rig.events().count(near) == 2


def test_a_plunger_at_the_bottom_is_an_empty_container_whatever_was_counted():
    rig = infusing(rate_ul_h=5_000, vtbi_ul=1_000, content_ul=5_000)
    rig.inputs.plunger_ul = 400
    assert rig.controller.content_ul() == 400
    rig.run(100)
    assert rig.controller.active_alarms == 1 << alarms.NEAR_EMPTY
    rig.inputs.plunger_ul = 0
    rig.run(100)
    assert rig.controller.state == ALARM
    assert rig.controller.active_alarms == 1 << alarms.CONTAINER_EMPTY
    assert rig.do("acknowledge") == OK
    assert rig.do("resume") == CONTAINER_IS_EMPTY


# -- the end of a stroke ------------------------------------------------------------------------

SMALL_HEAD = mechanism.peristaltic("masterflex-ls-13", "direct-16")


@settings(max_examples=80)
@given(
    st.sampled_from([SMALL_HEAD, mechanism.peristaltic("runze-rz1030-0142", "pg5-16")]),
    st.integers(20_000, 200_000),
    st.lists(st.tuples(st.integers(0, 9_000), st.integers(0, 5_000)), min_size=1, max_size=8),
)
def test_a_head_stands_at_a_strokes_end_and_the_mean_stays_on_the_schedule(
    parts, rate_ul_h, pauses
):
    rig = support.Rig()
    fields = {"rate_ul_h": rate_ul_h, "vtbi_ul": 5_000, "content_ul": 9_000, "kvo_ul_h": KVO_OFF}
    program = support.program_of(CONTINUOUS, parts, **fields)
    assert rig.do("load", program, 7) == rig.do("start", 7) == OK
    core = rig.controller
    flowed_ms = Fraction(0)
    begun_ms = rig.now_ms + START_DELAY_MS
    for run_ms, rest_ms in pauses:
        rig.run(run_ms)
        assume(core.state == INFUSING)
        flowed_ms += max(0, rig.now_ms - begun_ms)
        assert rig.do("pause") == OK
        stopped_ms = rig.now_ms
        while core.state == STOPPING:
            rig.run(10)
        if core.state != PAUSED:
            break
        # No longer than is said, but for the start and the last quantum.
        assert rig.now_ms - stopped_ms <= controller.GREATEST_STROKE_S * 1000 + 200
        steps = core.delivered_steps(INFUSED)
        at_vtbi = steps == program.vtbi_steps
        assert steps % parts.stroke_steps == 0 or at_vtbi or steps == 0
        assert steps == len(rig.stepper.made_edges_us())
        rig.run(rest_ms)
        assert core.delivered_steps(INFUSED) == steps
        if rig.do("resume") != OK:
            break
        begun_ms = rig.now_ms + START_DELAY_MS
        # What was given early is waited for: ahead by a stroke at the most, and never behind by
        # more than the quantum and the step that a pause may cost.
        per_ms = Fraction(rate_ul_h, 3600) / Fraction(parts.nl_num, parts.nl_den)
        ahead = steps - per_ms * flowed_ms
        count = len(pauses)
        assert -(QUANTUM_MS * per_ms + 1) * count <= ahead
        assert ahead <= parts.stroke_steps + (QUANTUM_MS * per_ms + 1) * count


def test_a_second_stop_and_every_fault_end_a_stroke_at_once():
    for what in ("stop", "interlock", "driver", "late"):
        rig = stopping()
        rig.run(300)
        assert rig.controller.state == STOPPING
        made = rig.controller.delivered_steps(INFUSED)
        if what == "stop":
            assert rig.do("stop") == OK
            assert rig.controller.state == STOPPED
        else:
            rig.inputs.interlock_open = what == "interlock"
            rig.inputs.driver_fault = what == "driver"
            rig.tick(HORIZON_MS + 100 if what == "late" else 100)
            assert rig.controller.state == ALARM
        stopped = rig.controller.delivered_steps(INFUSED)
        assert stopped == len(rig.stepper.made_edges_us())
        assert stopped - made < HEAD.stroke_steps
        rig.run(5_000)
        assert rig.controller.delivered_steps(INFUSED) == stopped


def test_a_stroke_ends_with_the_vtbi_or_the_container():
    # A stroke is 70 µL: 90 µL are 20 into the second, and 145 µL are 5 into the third.
    rig = infusing(parts=HEAD, rate_ul_h=60_000, vtbi_ul=100, content_ul=9_000)
    rig.run(4_400)
    assert rig.do("pause") == OK
    rig.run(20_000)
    assert rig.controller.delivered_steps(INFUSED) == HEAD.steps_for_ul(100)
    assert rig.controller.delivered_steps(KVO) == 0
    rig = infusing(parts=HEAD, rate_ul_h=60_000, vtbi_ul=200, content_ul=150, containers=2)
    rig.run(7_700)
    assert rig.do("pause") == OK
    rig.run(20_000)
    assert rig.controller.delivered_steps(INFUSED) == HEAD.steps_for_ul(150)
    assert rig.controller.active_alarms == 1 << alarms.CONTAINER_EMPTY
    assert rig.do("resume") == CONTAINER_IS_EMPTY


def test_a_large_head_is_stopped_at_once_since_its_stroke_is_a_dose():
    large = mechanism.peristaltic("masterflex-ls-18", "direct-16")
    assert large.nl_for_steps(large.stroke_steps) > 10 * controller.GREATEST_STROKE_UL * 1000
    rig = infusing(parts=large, rate_ul_h=60_000, vtbi_ul=9_000)
    assert rig.do("pause") == OK
    assert rig.controller.state == PAUSED
    assert rig.controller.motion.into_stroke()


# -- a secondary infusion -----------------------------------------------------------------------


@settings(max_examples=60)
@given(
    st.sampled_from([SYRINGE, SMALL_HEAD]),
    st.integers(100, 20_000),
    st.integers(20_000, 300_000),
    st.integers(1, 600),
    st.sampled_from([KVO_BY_RULE, KVO_OFF]),
)
def test_a_secondary_returns_to_the_primary_as_it_was(parts, run_ms, rate_ul_h, steps, kvo_ul_h):
    rig = support.Rig()
    fields = {"rate_ul_h": 60_000, "vtbi_ul": 400, "content_ul": 410, "kvo_ul_h": kvo_ul_h}
    program = support.program_of(CONTINUOUS, parts, **fields)
    vtbi = program.vtbi_steps
    assert rig.do("load", program, 7) == rig.do("start", 7) == OK
    core = rig.controller
    rig.run(run_ms)
    assert rig.do("load_secondary", Phase(rate_ul_h, steps, SECONDARY), 9) == OK
    assert rig.do("start", 9) == OK
    # At once: what was queued of the primary is not given now.
    infused = core.delivered_steps(INFUSED)
    while core.delivered_steps(SECONDARY) < steps:
        before = core.delivered_steps(INFUSED)
        rig.run(50)
        secondary_is_in = core.delivered_steps(SECONDARY) == steps
        assert before == infused
        assert core.delivered_steps(INFUSED) == infused or secondary_is_in
    assert core.delivered_steps(SECONDARY) == steps
    rig.run(100_000)
    assert rig.codes().count(journal.SECONDARY_DONE) == 1
    assert core.delivered_steps(INFUSED) == vtbi
    if kvo_ul_h == KVO_OFF:
        assert core.state == COMPLETED
        assert core.motion.content_rest == parts.steps_for_ul(410) - vtbi
    else:
        # KVO to the end of the primary's own container, of which the secondary took nothing.
        assert core.state == COMPLETED
        assert core.delivered_steps(KVO) == parts.steps_for_ul(410) - vtbi
    assert sum(core.motion.delivered_rest) == len(rig.stepper.made_edges_us())


def test_a_secondary_into_kvo_leaves_kvo_without_an_end():
    rig = keeping_open()
    rig.run(3_000)
    assert rig.do("load_secondary", Phase(60_000, 100, SECONDARY), 9) == OK
    assert rig.do("start", 9) == OK
    rig.run(10_000)
    assert rig.controller.state == KEEPING_OPEN
    assert rig.controller.remaining_s() == 0
    rig.run(600_000)
    assert rig.controller.state == COMPLETED
    assert rig.controller.active_alarms >> alarms.CONTAINER_EMPTY & 1


def test_the_primarys_container_is_not_near_its_end_for_the_secondarys_pace():
    # 9.9 mL at 12 mL/h last for 50 minutes, whatever flows from the other container.
    rig = infusing(rate_ul_h=12_000, vtbi_ul=9_000, content_ul=9_900)
    assert rig.do("load_secondary", Phase(300_000, 5_000, SECONDARY), 9) == OK
    assert rig.do("start", 9) == OK
    rig.run(60_000)
    assert rig.controller.active_alarms == 0


# -- daily doses --------------------------------------------------------------------------------

DAY_MS = 86_400_000


@settings(max_examples=50)
@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=5, unique=True).map(sorted),
    st.integers(0, 1_800),
    st.lists(
        st.tuples(st.integers(0, 200_000), st.integers(0, 300_000) | st.integers(0, 5 * DAY_MS)),
        max_size=5,
    ),
)
def test_daily_doses_keep_their_times_over_pauses_of_any_length(minutes, clock_s, pauses):
    rig = support.Rig()
    dose_ul, doses = 200, 6
    # 6 s.
    program = support.program_of(
        INTERMITTENT, SYRINGE, dose_ul=dose_ul, rate_ul_h=120_000, doses=doses, interval_s=0,
        times=[(minute,) for minute in minutes], clock_s=clock_s, kvo_ul_h=KVO_OFF,
    )  # fmt: skip
    assert rig.do("load", program, 7) == rig.do("start", 7) == OK
    core = rig.controller
    dose_steps = Fraction(dose_ul * 1000 * SYRINGE.nl_den, SYRINGE.nl_num)
    starts_ms: list[int] = []
    stops: list[tuple[int, int]] = []

    def watch(ms: int) -> None:
        """Run, and note when each dose begins."""
        end_ms = rig.now_ms + ms
        while rig.now_ms < end_ms and core.state != COMPLETED:
            phase = core.motion.program.phases[core.motion.phase]
            idle = not phase.is_dose and core.motion.running
            before = core.delivered_steps(INFUSED)
            rig.run(min(1_000 if idle else 200, end_ms - rig.now_ms))
            if idle and core.delivered_steps(INFUSED) > before:
                starts_ms.append(rig.now_ms)

    for run_ms, rest_ms in pauses:
        watch(run_ms)
        if core.state == COMPLETED or rig.do("pause") != OK or core.state != PAUSED:
            break
        at_ms = rig.now_ms
        rig.now_ms += rest_ms
        stops.append((at_ms, rig.now_ms))
        if rig.do("resume") != OK:
            break
    watch(1_500_000)
    codes = rig.codes()
    begun, done, missed = (
        codes.count(code) for code in (journal.DOSE_STARTED, journal.DOSE_DONE, journal.DOSE_MISSED)
    )
    # Every dose is given once, or missed; and what is noted as done is what was delivered.
    assert begun in (done, done + 1)
    assert done + missed <= doses
    assert done + missed == doses or not core.motion.finished
    assert int(done * dose_steps) <= core.delivered_steps(INFUSED) <= int(begun * dose_steps) + 1
    # No two doses are nearer to each other than their times are, but by what a pause took.
    gaps_ms = [(b - a) % 1440 * 60_000 for a, b in itertools.pairwise([*minutes, minutes[0]])]
    gaps_ms = [gap or DAY_MS for gap in gaps_ms]
    for first_ms, then_ms in itertools.pairwise(starts_ms):
        paused_ms = sum(max(0, min(b, then_ms) - max(a, first_ms)) for a, b in stops)
        assert then_ms - first_ms >= min(gaps_ms) - paused_ms - 2_000
    # Each begins at one of its times of day, unless a pause was in the way.
    for at_ms in starts_ms:
        clock_ms = (clock_s * 1000 + at_ms) % DAY_MS
        # A pause is reckoned as whole quanta: each brings what follows up to 0.1 s nearer.
        early_ms = 100 * len(stops)
        late_ms = min((clock_ms + early_ms - minute * 60_000) % DAY_MS for minute in minutes)
        just_resumed = any(b <= at_ms <= b + 2_000 for _, b in stops)
        assert late_ms <= 2_500 + early_ms or just_resumed


def test_a_missed_dose_is_noted_as_missed_and_not_as_done():
    # Doses at 0:02, 0:03, 0:04 of 30 s each; paused in the second until behind the third.
    rig = support.Rig()
    program = support.program_of(
        INTERMITTENT, SYRINGE, dose_ul=500, rate_ul_h=60_000, doses=3, interval_s=0,
        times=[(2,), (3,), (4,)], clock_s=110, kvo_ul_h=KVO_OFF,
    )  # fmt: skip
    assert rig.do("load", program, 7) == rig.do("start", 7) == OK
    rig.run(80_000)
    assert rig.do("pause") == OK
    rig.run(90_000)
    assert rig.do("resume") == OK
    rig.run(100_000)
    told = [e[:2] for e in rig.events() if e[0] in (
        journal.DOSE_STARTED, journal.DOSE_DONE, journal.DOSE_MISSED,
    )]  # fmt: skip
    assert told.count((journal.DOSE_DONE, 1)) == 1
    assert [code for code, _ in told] == [
        journal.DOSE_STARTED, journal.DOSE_DONE, journal.DOSE_STARTED, journal.DOSE_MISSED,
        journal.DOSE_DONE,
    ]  # fmt: skip
    assert rig.controller.delivered_steps(INFUSED) == SYRINGE.steps_for_ul(1_000)


def test_a_dose_that_would_follow_at_once_on_a_late_one_is_missed():
    # 25 s of the second are left when it goes on 40 s after its beginning: to behind the third.
    rig = support.Rig()
    program = support.program_of(
        INTERMITTENT, SYRINGE, dose_ul=500, rate_ul_h=60_000, doses=3, interval_s=0,
        times=[(2,), (3,), (4,)], clock_s=110, kvo_ul_h=KVO_OFF,
    )  # fmt: skip
    assert rig.do("load", program, 7) == rig.do("start", 7) == OK
    rig.run(75_000)
    assert rig.do("pause") == OK
    rig.run(34_000)
    assert rig.do("resume") == OK
    rig.run(100_000)
    assert rig.codes().count(journal.DOSE_MISSED) == 1
    assert rig.controller.delivered_steps(INFUSED) == SYRINGE.steps_for_ul(1_000)


# -- reminders ----------------------------------------------------------------------------------

NEAR_END = (journal.ALARM_RAISED, alarms.NEAR_END, 0)
NEAR_END_IS_OVER = (journal.ALARM_ENDED, alarms.NEAR_END, 0)


def is_set(rig: support.Rig, number: int) -> bool:
    return bool(rig.controller.active_alarms >> number & 1)


@settings(max_examples=25)
@given(
    st.sampled_from([SYRINGE, HEAD]),
    st.integers(361, 700),
    st.sampled_from([0, 1, 2, 3]),
    st.sampled_from([1_000, 20_000, 90_000]),
    st.integers(0, 150_000),
)
def test_an_infusion_says_so_before_its_end(parts, duration_s, near_end_min, rate_ul_h, pause_ms):
    vtbi_ul = rate_ul_h * duration_s // 3_600 + 1
    rig = support.Rig()
    assert rig.controller.choose(0, 0, near_end_min) == OK
    program = order(rate_ul_h, vtbi_ul, KVO_OFF, vtbi_ul + 40_000, parts)
    assert rig.do("load", program, 7) == rig.do("start", 7) == OK
    core = rig.controller
    # A pause keeps what is left, and the stroke of a head that is finished first is waited for.
    rig.run(pause_ms)
    assert rig.do("pause") == OK
    while core.state != PAUSED:
        rig.run(100)
    rig.run(60_000)
    assert rig.do("resume") == OK
    while core.state != COMPLETED and core.active_alarms == 0:
        rig.run(100)
    if near_end_min:
        # What is planned is ahead by the horizon; one step more is counted, of 0.5 s at 1 mL/h.
        near_s = (HORIZON_MS + QUANTUM_MS) / 1000 + 0.6
        assert abs(core.remaining_s() - 60 * near_end_min) <= near_s + 0.5
        assert core.active_alarms == 1 << alarms.NEAR_END
    while core.state != COMPLETED:
        rig.run(1_000)
    assert (
        rig.events().count(NEAR_END) == rig.events().count(NEAR_END_IS_OVER) == (near_end_min > 0)
    )
    assert core.active_alarms == 1 << alarms.END_OF_INFUSION


def test_the_warning_of_the_end_ends_with_the_vtbi_where_kvo_goes_on():
    rig = infusing(rate_ul_h=60_000, vtbi_ul=10_000, content_ul=60_000)
    rig.run(418_000)
    assert rig.controller.active_alarms == 0
    rig.run(2_000)
    assert rig.controller.active_alarms == 1 << alarms.NEAR_END
    # It is a remark: nothing is refused for it.
    assert rig.do("bolus", 20, 60_000, 0) == OK
    rig.run(181_000)
    assert rig.controller.state == KEEPING_OPEN
    assert rig.controller.active_alarms == 1 << alarms.END_OF_INFUSION


def test_the_warning_of_the_end_goes_by_the_rate_that_now_holds():
    rig = infusing(rate_ul_h=60_000, vtbi_ul=10_000)
    rig.run(99_000)
    # 8.3 mL at 150 mL/h take 200 s, at 170 mL/h 176 s.
    assert rig.do("set_rate", 150_000) == OK
    rig.run(1_000)
    assert not is_set(rig, alarms.NEAR_END)
    assert rig.do("set_rate", 170_000) == OK
    rig.run(100)
    assert is_set(rig, alarms.NEAR_END)


@pytest.mark.parametrize(
    ("key", "rate_ul_h"),
    [
        # 1.8 million steps, and 18,000 in four hours.
        ((1, "terumo-1", "m5-0.8-32"), 1_000),
        ((1, "terumo-1", "m5-0.8-32"), 10),
        # 42 steps.
        ((1, "terumo-60", "t8-8mm-16"), 10),
        # 460 million: the most that there can be.
        ((2, "masterflex-ls-13", "direct-32"), 1_200_000),
    ],
)
@pytest.mark.parametrize("near_s", [14_394, 600])
def test_the_warning_of_the_end_reckons_with_any_number_of_steps(key, rate_ul_h, near_s):
    parts = mechanism.build(*key)
    rate_ul_h = min(rate_ul_h, parts.greatest_rate_ul_h)
    rig = support.Rig()
    assert rig.controller.choose(0, 0, 240) == OK
    vtbi_ul = 9 * rate_ul_h
    content_ul = parts.capacity_ul or 9_000_000
    program = order(rate_ul_h, max(vtbi_ul, 100), KVO_OFF, content_ul, parts, containers=99)
    assert rig.do("load", program, 7) == rig.do("start", 7) == OK
    rig.run(2_000)
    # Nobody waits for five hours: what is left is brought near.
    step_s = Fraction(36 * parts.nl_num, 10 * parts.nl_den * rate_ul_h)
    for left_s, is_warned_of in ((14_406 + 2 * step_s, False), (near_s - 2 * step_s, True)):
        left = int(left_s / step_s)
        motion = rig.controller.motion
        motion.left_millions, motion.left_rest = divmod(left, 1_000_000)
        # It is looked at again after half of what was left.
        rig.controller._end_look_s = 0
        rig.run(150)
        assert is_set(rig, alarms.NEAR_END) == is_warned_of


@pytest.mark.parametrize(("vtbi_ul", "is_warned_of"), [(5_990, 0), (6_010, 1)])
def test_the_end_of_a_short_infusion_is_not_warned_of(vtbi_ul, is_warned_of):
    # Twice the three minutes are 6 mL at 60 mL/h.
    rig = infusing(rate_ul_h=60_000, vtbi_ul=vtbi_ul)
    rig.run(400_000)
    assert rig.events().count(NEAR_END) == is_warned_of


def test_a_stop_ends_no_more_than_the_next_program_the_warning_of_the_end():
    rig = infusing(rate_ul_h=60_000, vtbi_ul=10_000)
    rig.run(430_000)
    assert rig.do("stop") == OK
    assert rig.do("load", order(), 8) == OK
    assert rig.controller.active_alarms == 0


def test_a_long_pause_is_reminded_of_until_somebody_comes():
    rig = paused()
    rig.run(899_000)
    assert rig.controller.active_alarms == 0
    rig.run(1_100)
    assert rig.controller.active_alarms == 1 << alarms.PAUSED_LONG
    # It is put off for as long again.
    rig.run(100_000)
    assert rig.do("acknowledge") == OK
    assert rig.controller.state == PAUSED
    assert rig.controller.active_alarms == 0
    rig.run(899_000)
    assert rig.controller.active_alarms == 0
    rig.run(1_100)
    assert rig.controller.active_alarms == 1 << alarms.PAUSED_LONG
    assert rig.codes().count(journal.ALARM_RAISED) == 2
    assert rig.do("resume") == OK
    assert rig.controller.active_alarms == 0


def test_a_long_pause_counts_from_the_last_one():
    rig = paused()
    rig.run(800_000)
    assert rig.do("resume") == OK
    rig.run(1_000)
    assert rig.do("pause") == OK
    rig.run(800_000)
    assert rig.controller.active_alarms == 0
    rig.run(100_100)
    assert rig.controller.active_alarms == 1 << alarms.PAUSED_LONG
    assert rig.do("stop") == OK
    assert rig.controller.active_alarms == 0


def test_a_standby_is_reminded_of_at_its_end_and_then_as_any_pause():
    rig = infusing()
    assert rig.do("pause", 7_200) == OK
    assert rig.events()[-1] == (journal.STANDBY, 7_200, 0)
    rig.run(7_199_000)
    assert rig.controller.active_alarms == 0
    assert rig.controller.reminder_s() == 1
    rig.run(1_100)
    assert rig.controller.active_alarms == 1 << alarms.PAUSED_LONG
    assert rig.controller.reminder_s() == 0
    assert rig.do("acknowledge") == OK
    assert rig.controller.reminder_s() == 900
    rig.run(900_100)
    assert rig.controller.active_alarms == 1 << alarms.PAUSED_LONG


def test_a_standby_is_counted_from_where_a_head_stands():
    rig = infusing(parts=HEAD, rate_ul_h=10_000, vtbi_ul=9_000)
    rig.run(10_000)
    assert rig.do("pause", 7_200) == OK
    paused_s = rig.controller.uptime_s
    assert rig.controller.state == STOPPING
    while rig.controller.state == STOPPING:
        rig.tick(100)
    assert rig.controller.state == PAUSED
    assert rig.controller.uptime_s > paused_s + 1
    assert rig.controller.reminder_s() == 7_200


def test_a_standby_is_said_of_a_pause_under_way_and_said_again():
    rig = paused()
    rig.run(901_000)
    assert rig.controller.active_alarms == 1 << alarms.PAUSED_LONG
    before = len(rig.stepper.quanta)
    assert rig.do("pause", 60) == OK
    assert rig.controller.state == PAUSED
    assert rig.controller.active_alarms == 0
    rig.run(30_000)
    assert rig.do("pause", 3_600) == OK
    assert rig.do("pause") == WRONG_STATE
    assert rig.controller.reminder_s() == 3_600
    rig.run(3_599_000)
    assert rig.controller.active_alarms == 0
    rig.run(1_100)
    assert rig.controller.active_alarms == 1 << alarms.PAUSED_LONG
    # Nothing has moved, and nothing is forgotten.
    assert len(rig.stepper.quanta) == before
    assert rig.do("resume") == OK
    assert rig.controller.active_alarms == rig.controller.reminder_s() == 0
    # The next pause is one as ever.
    assert rig.do("pause") == OK
    assert rig.controller.reminder_s() == 900


def test_an_alarm_ends_a_standby():
    rig = infusing()
    assert rig.do("pause", 7_200) == OK
    rig.controller.raise_alarm(alarms.SENSOR_FAULT)
    assert rig.do("acknowledge") == OK
    assert rig.controller.reminder_s() == 900


@pytest.mark.parametrize("state", MAKERS, ids=STATE_NAMES)
def test_a_standby_is_of_a_therapy_under_way(state):
    rig = MAKERS[state]()
    rig.tick()
    before = face(rig)
    allowed = state in (INFUSING, KEEPING_OPEN, WAITING, PAUSED)
    assert rig.do("pause", 60) == (OK if allowed else WRONG_STATE)
    if not allowed:
        assert face(rig) == before


def test_a_pause_after_an_alarm_is_one_from_its_acknowledgement_on():
    rig = in_alarm()
    rig.run(2_000_000)
    assert not is_set(rig, alarms.PAUSED_LONG)
    assert rig.do("acknowledge") == OK
    rig.run(899_000)
    assert rig.controller.active_alarms == 0
    rig.run(1_100)
    assert rig.controller.active_alarms == 1 << alarms.PAUSED_LONG


def test_a_program_that_waits_for_its_start_is_reminded_of_and_then_dropped():
    rig = programmed()
    rig.run(299_000)
    assert rig.controller.active_alarms == 0
    rig.run(1_100)
    assert rig.controller.active_alarms == 1 << alarms.IDLE_LONG
    assert rig.controller.state == PROGRAMMED
    rig.run(299_000)
    assert rig.controller.state == PROGRAMMED
    rig.run(1_000)
    core = rig.controller
    assert (core.state, core.program_id, core.active_alarms) == (IDLE, 0, 0)
    assert core.mechanism() is None
    assert core.prescribed() is None
    assert core.content_ul() == core.remaining_s() == 0
    ended = (journal.ALARM_ENDED, alarms.IDLE_LONG, 0)
    assert rig.events()[-2:] == [ended, (journal.PROGRAM_DROPPED, 0, 0)]
    # Neither its own name nor the lack of one starts anything.
    assert rig.do("start", 7) == rig.do("start", 0) == WRONG_STATE
    assert rig.do("load", order(), 8) == rig.do("start", 8) == OK
    rig.run(3_000)
    assert core.delivered_steps(INFUSED) > 0


def test_who_acknowledges_the_reminder_has_another_ten_minutes():
    rig = programmed()
    rig.run(500_000)
    assert rig.do("acknowledge") == OK
    assert rig.controller.active_alarms == 0
    rig.run(299_000)
    assert rig.controller.active_alarms == 0
    rig.run(300_000)
    assert rig.controller.state == PROGRAMMED
    assert rig.do("start", 7) == OK
    assert rig.controller.active_alarms == 0


def test_a_reset_by_the_watchdog_is_told_until_it_is_acknowledged():
    rig = support.Rig()
    rig.controller = controller.Controller(rig.stepper, 0, controller.WATCHDOG)
    assert rig.events() == [
        (journal.BOOTED, controller.WATCHDOG, 0),
        (journal.ALARM_RAISED, alarms.WATCHDOG_RESET, 0),
    ]
    assert rig.controller.state == IDLE
    assert rig.do("acknowledge") == OK
    assert rig.controller.active_alarms == 0
    assert rig.controller.state == IDLE


# -- what a person chooses ----------------------------------------------------------------------


def test_the_sound_is_paused_once_for_what_is_active():
    rig = in_alarm()
    core = rig.controller
    signals = core.annunciator
    signals.look(0, core.active_alarms)
    assert signals.sound == signals.light == alarms.HIGH
    assert core.pause_audio() == OK
    assert rig.events()[-1] == (journal.AUDIO_PAUSED, 0, 0)
    assert core.pause_audio() == WRONG_STATE
    assert rig.codes().count(journal.AUDIO_PAUSED) == 1
    signals.look(100, core.active_alarms)
    assert signals.audio_paused
    assert (signals.sound, signals.light) == (0, alarms.HIGH)
    # The pump stays as it was: a pause of the sound is no acknowledgement.
    assert core.state == ALARM
    assert core.active_alarms == 1 << alarms.INTERLOCK_OPEN


def test_no_sound_is_paused_where_there_is_none():
    rig = infusing()
    rig.controller.annunciator.look(0, rig.controller.active_alarms)
    before = face(rig)
    assert rig.controller.pause_audio() == WRONG_STATE
    assert face(rig) == before


@pytest.mark.parametrize("state", MAKERS, ids=STATE_NAMES)
def test_settings_are_chosen_where_nothing_flows(state):
    rig = MAKERS[state]()
    rig.tick()
    core = rig.controller
    before = face(rig)
    answer = core.choose(2, 3, 7)
    chosen = (core.restarts, core.occlusion_level, core.near_end_min)
    if state in HALTED:
        assert answer == OK
        assert chosen == (2, 3, 7)
        assert rig.events()[-1] == (journal.SETTINGS_CHANGED, 2, 3)
        assert face(rig)[:-1] == before[:-1]
    else:
        assert answer == WRONG_STATE
        assert chosen == (0, 0, controller.NEAR_END_MIN)
        assert face(rig) == before


def test_settings_are_not_chosen_while_pressure_is_taken_off():
    rig = relieving()
    while rig.controller.motion.running:
        at_pressure(rig, 40_000, 1)
    assert rig.controller.state == RELIEVING
    assert rig.controller.choose(2, 3, 7) == WRONG_STATE


@pytest.mark.parametrize("level", range(10))
def test_a_pressure_limit_that_is_chosen_holds_for_what_is_loaded_and_what_comes(level):
    rig = programmed()
    core = rig.controller
    assert core.monitor.level_pa == monitor.DEFAULT_LEVEL_PA
    assert core.choose(0, level, 3) == OK
    expected_pa = OCCLUSION_LEVELS_PA[level - 1] if level else monitor.DEFAULT_LEVEL_PA
    assert core.monitor.level_pa == expected_pa
    assert rig.do("load", order(), 8) == OK
    assert core.monitor.level_pa == expected_pa


def test_the_warning_of_the_end_that_is_chosen_holds_for_what_is_loaded():
    rig = programmed(rate_ul_h=60_000, vtbi_ul=10_000)
    # Not one that is less than twice as long.
    assert rig.controller.choose(0, 0, 6) == OK
    assert rig.do("start", 7) == OK
    rig.run(590_000)
    assert NEAR_END not in rig.events()
    rig = programmed(rate_ul_h=60_000, vtbi_ul=10_000)
    assert rig.controller.choose(0, 0, 5) == OK
    assert rig.do("start", 7) == OK
    rig.run(298_000)
    assert NEAR_END not in rig.events()
    rig.run(4_000)
    assert NEAR_END in rig.events()
