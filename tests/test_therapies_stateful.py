"""Any therapy under any order of commands, faults and time, judged by what the stepper made.

The judge keeps books of its own: every edge of the stepper, what was granted and when, what each
container held. The pump's own counts are only ever compared with them.
"""

import random
from bisect import bisect_right
from fractions import Fraction
from typing import ClassVar

import support
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from micropump import boluses, mechanism, therapy
from micropump.controller import (
    ALARM,
    COMPLETED,
    DROPPED_S,
    IDLE,
    INFUSING,
    INTERLOCK,
    KEEPING_OPEN,
    NO_SECONDARY_HERE,
    NOTHING_LEFT,
    PAUSED,
    PROGRAMMED,
    STOPPED,
    STOPPING,
    Controller,
)
from micropump.motion import HORIZON_MS, edges_us
from micropump.program import (
    BOLUS,
    BUCKETS,
    CONTINUOUS,
    DEMAND,
    INFUSED,
    INTERMITTENT,
    KVO,
    PCA,
    PRIMED,
    PURGE,
    RAMP,
    RETRACTED,
    SECONDARY,
    STEPPED,
    Phase,
)
from micropump.units import CLOCK_MASK, QUANTUM_MS, SMALL_INT_LIMIT

OK = 0
STANDING = (IDLE, PROGRAMMED, PAUSED, COMPLETED, STOPPED, ALARM)
GREATEST_LATENESS_MS = 100


# -- what is ordered ------------------------------------------------------------------------------

# A therapy of these takes from a third of a second to a day.
VOLUMES_UL = st.sampled_from([100, 137, 400, 901])
RATES_UL_H = st.sampled_from([10, 3_600, 20_000, 36_000, 180_000, 600_000, 1_200_000])
FAST_UL_H = st.sampled_from([36_000, 180_000, 600_000])
# What passes after a command.
LITTLE_MS = st.integers(0, 1_000) | st.integers(0, 8_000)
DELAYS_S = st.sampled_from([0, 0, 0, 2])
KVO_UL_H = st.sampled_from([therapy.KVO_BY_RULE, therapy.KVO_OFF, therapy.KVO_OFF, 10])
# What is in the container beyond what will be taken from it, µL, and how many there are.
CONTAINERS = st.sampled_from([(0, 1), (1, 1), (40, 1), (5_000, 1), (-30, 2)])
LOADINGS = st.sampled_from([(0, 0), (0, 0), (30, 36_000), (60, 600_000), (25, 180_000)])


@st.composite
def setups(draw, total_ul):
    more_ul, containers = draw(CONTAINERS)
    return {
        "content_ul": max(1, total_ul + more_ul),
        "containers": containers,
        "delay_s": draw(DELAYS_S),
        "kvo_ul_h": draw(KVO_UL_H),
    }


@st.composite
def rate_or_time(draw, volume_ul):
    if draw(st.booleans()):
        return {"rate_ul_h": draw(RATES_UL_H), "duration_s": 0}
    return {"rate_ul_h": 0, "duration_s": draw(st.integers(1, 60))}


@st.composite
def continuous(draw):
    vtbi_ul = draw(VOLUMES_UL)
    loading_ul, loading_ul_h = draw(LOADINGS)
    return CONTINUOUS, {
        **draw(setups(vtbi_ul + loading_ul)),
        **draw(rate_or_time(vtbi_ul)),
        "vtbi_ul": vtbi_ul,
        "loading_ul": loading_ul,
        "loading_ul_h": loading_ul_h,
    }


@st.composite
def intermittent(draw):
    dose_ul = draw(VOLUMES_UL)
    doses = draw(st.integers(1, 4))
    daily = draw(st.sampled_from([False, False, True]))
    return INTERMITTENT, {
        **draw(setups(doses * dose_ul)),
        **draw(rate_or_time(dose_ul)),
        "dose_ul": dose_ul,
        "doses": doses,
        "interval_s": 0 if daily else draw(st.sampled_from([2, 11, 20, 61])),
        "times": [(720,), (721,), (723,)] if daily else [],
        "clock_s": 12 * 3600 - draw(st.sampled_from([0, 1, 7])) if daily else 86_400,
    }


@st.composite
def ramp(draw):
    vtbi_ul = draw(VOLUMES_UL)
    return RAMP, {
        **draw(setups(vtbi_ul)),
        "vtbi_ul": vtbi_ul,
        "duration_s": draw(st.integers(2, 60)),
        "up_s": draw(st.integers(0, 9)),
        "down_s": draw(st.integers(0, 9)),
    }


@st.composite
def stepped(draw):
    steps = []
    for _ in range(draw(st.integers(1, 5))):
        if draw(st.booleans()):
            steps.append((draw(FAST_UL_H), 0, draw(st.integers(1, 5))))
        else:
            steps.append((draw(FAST_UL_H), draw(st.integers(10, 200)), 0))
    total_ul = sum(rate_ul_h * s // 3600 + ul for rate_ul_h, ul, s in steps)
    return STEPPED, {**draw(setups(total_ul + 1)), "vtbi_ul": 0, "steps": steps}


@st.composite
def pca(draw):
    demand_ul = draw(st.sampled_from([10, 20, 33]))
    demand_ul_h = draw(st.sampled_from([3_600, 36_000, 180_000, 600_000]))
    rate_ul_h = draw(st.sampled_from([0, 0, 600, 3_600, 36_000]))
    vtbi_ul = draw(st.sampled_from([200, 400, 900]))
    loading_ul, loading_ul_h = draw(LOADINGS)
    windows = {}
    for number in (1, 2):
        window_s = draw(st.sampled_from([60, 61, 75])) if number == 1 else 180
        basal_ul = -(-rate_ul_h * window_s // 3600)
        room_ul = max(loading_ul, draw(st.sampled_from([1, 2, 3, 4, 30])) * number * demand_ul)
        windows[f"window_{number}_s"] = window_s
        windows[f"limit_{number}_ul"] = basal_ul + room_ul + draw(st.sampled_from([0, 1, 9]))
    if draw(st.booleans()):
        windows["window_2_s"] = windows["limit_2_ul"] = 0
    setup = draw(setups(vtbi_ul + loading_ul))
    if setup["delay_s"]:
        # What keeps the vein open before the start would have to be told from what counts.
        setup["kvo_ul_h"] = therapy.KVO_OFF
    demand_s = -(-demand_ul * 3600 // demand_ul_h)
    return PCA, {
        **setup,
        **windows,
        "vtbi_ul": vtbi_ul,
        "rate_ul_h": rate_ul_h,
        "demand_ul": demand_ul,
        "demand_ul_h": demand_ul_h,
        "lockout_s": demand_s + draw(st.sampled_from([1, 2, 5, 20])),
        "loading_ul": loading_ul,
        "loading_ul_h": loading_ul_h,
    }


@st.composite
def purge(draw):
    volume_ul = draw(VOLUMES_UL)
    return PURGE, {
        **draw(setups(volume_ul)),
        "volume_ul": volume_ul,
        "rate_ul_h": draw(FAST_UL_H),
        "reverse": draw(st.sampled_from([0, 0, 1])),
    }


ORDERS = st.one_of(
    pca(), pca(), pca(), continuous(), continuous(), intermittent(), ramp(), stepped(), purge()
)


# -- the books ------------------------------------------------------------------------------------


class Witness(support.RecordingStepper):
    """A stepper that an open interlock stops without the processor, and that counts its starts."""

    def __init__(self):
        super().__init__()
        self.begun_ms = []
        self.reverses = set()
        self.stands_ms = None

    def begin(self, start_ms, reverse):
        super().begin(start_ms, reverse)
        self.begun_ms.append(self.now_ms)
        self.reverses.add(reverse)

    def until_ms(self, now_ms):
        """Until when it has made steps, ``now_ms`` being now."""
        return now_ms if self.stands_ms is None else min(now_ms, self.stands_ms)

    def abort(self, now_ms):
        assert now_ms == self.now_ms & CLOCK_MASK
        until_ms = self.until_ms(self.now_ms)
        self.aborts.append((len(self.quanta), until_ms))
        return sum(made_by(*quantum, until_ms) for quantum in self.quanta[self._begun :])


def made_by(start_ms, fields, until_ms):
    """How many edges of a quantum were made by a time."""
    if start_ms + QUANTUM_MS <= until_ms:
        return fields[0]
    return sum(start_ms * 1000 + us <= until_ms * 1000 for us in edges_us(*fields))


class Books:
    """What one program was to do and did.

    Attributes:
        edges: when each step was made, µs.
        granted_ms: when each demand was granted.

    """

    def __init__(self, kind, order, program):
        self.kind = kind
        self.order = order
        self.parts = program.mechanism
        self.nl_per_step = Fraction(self.parts.nl_num, self.parts.nl_den)
        self.edges = []
        self.granted_ms = []
        self.buckets = [0] * BUCKETS
        self.vtbi_steps = self.steps(program.vtbi_ul)
        self.loading_steps = self.steps(order.get("loading_ul", 0))
        self.secondary_steps = 0
        self.bolus_steps = 0
        # What the bucket holds when the last bolus and demand are made to their ends, and how many
        # stops there were before, each of which would have cut them short.
        self.bolus_due = (self.loading_steps, 0)
        self.demand_due = (0, 0)
        self.demand_steps = self.steps(order.get("demand_ul", 0))
        self.beyond = Fraction(0)
        self.fill(order["content_ul"])
        # The basal: greatest rates that may be flowing, as (from when, µL/h).
        self.rates_ul_h = [(0, order.get("rate_ul_h") or program.first_rate_ul_h())]
        self.fastest_ul_h = self.rates_ul_h[0][1]
        self.basal_due = Fraction(0)
        self.halts = 0
        self.windows = []
        if kind == PCA:
            for number in (1, 2):
                if order[f"window_{number}_s"]:
                    limit_steps = self.steps(order[f"limit_{number}_ul"])
                    self.windows.append((order[f"window_{number}_s"] * 1000, limit_steps))

    def steps(self, volume_ul):
        return int(volume_ul * 1000 / self.nl_per_step)

    def steps_at(self, rate_ul_h, ms):
        """Steps at a rate in a time, as a fraction; µL/h are nL per 3600 ms."""
        return Fraction(rate_ul_h * ms, 3600) / self.nl_per_step

    def fill(self, content_ul):
        # What a container holds beyond whole steps is the next one's.
        held = content_ul * 1000 / self.nl_per_step + self.beyond
        self.content_steps = int(held)
        self.beyond = held % 1
        self.filled_at = len(self.edges)
        self.secondary_at = self.buckets[SECONDARY]

    def basal_ul_h(self, now_ms):
        """The greatest basal rate of what may still be flowing."""
        rates = [rate for at, rate in self.rates_ul_h if at > now_ms - HORIZON_MS - QUANTUM_MS]
        before = [rate for at, rate in self.rates_ul_h if at <= now_ms - HORIZON_MS - QUANTUM_MS]
        return max(rates + before[-1:])

    # What a window can hold beyond its limit, in steps:
    # - Of a grant the first quantum that is not planned yet is the first to flow, 450 to 550 ms
    #   later; so two demands that are granted a window apart can flow up to a quantum nearer.
    # - Where steps of several sources share a quantum they are spread evenly over it.
    # Both are a quantum's worth of what flows; and each source is rounded to whole steps.
    def slack(self):
        fastest_ul_h = self.fastest_ul_h + self.order["demand_ul_h"]
        return 2 * self.steps_at(fastest_ul_h, QUANTUM_MS) + 3 + self.stroke_slack()

    # - The stroke of a head is counted when it is asked for, and flows within 2 s of that.
    def stroke_slack(self):
        return self.parts.stroke_steps if self.parts.stroke_steps > 1 and self.halts else 0

    def check_windows(self, known):
        """No window that ends with one of the edges since ``known`` holds too much."""
        edges = self.edges
        end = min(len(edges), self.loading_steps + self.vtbi_steps)
        for length_ms, limit in self.windows:
            for at in range(known, end):
                after_us = edges[at] - length_ms * 1000
                held = at + 1 - bisect_right(edges, after_us, 0, at + 1)
                assert held <= limit + self.slack(), (held, limit, edges[at])

    def check_grant(self, now_ms):
        """A demand that was just granted: lockout and windows, by definition."""
        granted = self.granted_ms
        if len(granted) > 1:
            assert now_ms - granted[-2] >= self.order["lockout_s"] * 1000
        for length_ms, limit in self.windows:
            demands = len(granted) - bisect_right(granted, now_ms - length_ms)
            basal = int(self.steps_at(self.rates_ul_h[-1][1], length_ms))
            assert demands * self.demand_steps + basal <= limit

    def check_volumes(self):
        """VTBI, container, boluses and demands, of the edges and of the buckets."""
        buckets = self.buckets
        given = len(self.edges)
        therapy_steps = self.vtbi_steps + self.loading_steps + self.secondary_steps
        assert given - buckets[KVO] <= therapy_steps
        if self.order["kvo_ul_h"] == therapy.KVO_OFF:
            assert given <= therapy_steps
        if self.kind == PURGE:
            assert buckets[RETRACTED if self.order["reverse"] else PRIMED] == given
        else:
            beside = buckets[KVO] + buckets[SECONDARY] + min(buckets[BOLUS], self.loading_steps)
            assert given - beside <= self.vtbi_steps
        assert buckets[BOLUS] <= self.loading_steps + self.bolus_steps
        assert buckets[DEMAND] <= len(self.granted_ms) * self.demand_steps
        assert buckets[SECONDARY] <= self.secondary_steps
        if not (self.kind == PURGE and self.order["reverse"]):
            assert self.taken() <= self.content_steps
        if self.kind in (CONTINUOUS, PCA):
            assert buckets[INFUSED] <= self.basal_due + 1 + self.halts * self.stroke_slack()

    def is_bolus_given(self, halts):
        """Whether the last bolus was made to its end, if there were just so many stops."""
        due, before = self.bolus_due
        return halts != before or self.buckets[BOLUS] == due

    def is_demand_given(self, halts):
        """Whether the last demand was made to its end, if there were just so many stops."""
        due, before = self.demand_due
        return halts != before or self.buckets[DEMAND] == due

    def is_delivered(self):
        """Whether all that the program was to give was given, or all that the container held."""
        beside = self.buckets[KVO] + self.buckets[SECONDARY]
        left = self.vtbi_steps + self.loading_steps - (len(self.edges) - beside)
        if left == 0:
            return True
        if self.kind == PCA and self.rates_ul_h[-1][1] == 0 and left < self.demand_steps:
            # Nothing flows by itself, and a demand is more.
            return True
        return self.taken() == self.content_steps

    def taken(self):
        """Steps that came from the container in place; a secondary has one of its own."""
        secondary = self.buckets[SECONDARY] - self.secondary_at
        return len(self.edges) - self.filled_at - secondary

    def content_ul(self):
        return int((self.content_steps - self.taken()) * self.nl_per_step / 1000)


LOOKED_PAST = ("journal", "stepper", "mechanism", "inputs", "_note")


def face(thing, seen=None):
    """All that an object holds, and what it holds holds, as plain values."""
    seen = seen if seen is not None else set()
    if isinstance(thing, list | tuple):
        return [face(each, seen) for each in thing]
    if not hasattr(thing, "__dict__"):
        return thing
    if id(thing) in seen:
        return None
    seen.add(id(thing))
    fields = vars(thing)
    return {name: face(fields[name], seen) for name in fields if name not in LOOKED_PAST}


# -- what was found once --------------------------------------------------------------------------

SYRINGE = mechanism.build(1, "bd-plastipak-60", "t8-8mm-16")
SETUP = {"content_ul": 60_000, "containers": 1, "delay_s": 0, "kvo_ul_h": therapy.KVO_OFF}


def started(kind, fields):
    rig = support.Rig()
    rig.do("load", therapy.make(kind, SYRINGE, {**SETUP, **fields}), 1)
    rig.tick()
    assert rig.do("start", 1) == OK
    return rig


def test_no_bolus_before_the_loading_dose_is_made_to_its_end():
    # Counted as boluses both, the one would be taken for the other, and the limit be passed.
    order = {
        "vtbi_ul": 5_000, "rate_ul_h": 0, "demand_ul": 20, "demand_ul_h": 600_000, "lockout_s": 2,
        "window_1_s": 60, "limit_1_ul": 200, "window_2_s": 0, "limit_2_ul": 0, "loading_ul": 60,
        "loading_ul_h": 36_000,
    }  # fmt: skip
    rig = started(PCA, order)
    motion = rig.controller.motion
    while motion.planning == 0:
        rig.tick(10)
    loading_steps = SYRINGE.steps_for_ul(60)
    while rig.controller.delivered_steps(BOLUS) < loading_steps:
        assert rig.do("bolus", 60, 3_600, 0) == boluses.NO_BOLUS_HERE
        assert rig.do("demand") == boluses.NO_DEMAND_HERE
        rig.run(100)
    assert rig.do("bolus", 60, 3_600, 0) == OK
    rig.run(1_000)
    # 60 µL of the loading dose and 60 µL of the bolus leave 80 µL of the 200 µL.
    answers = []
    for _ in range(10):
        answers.append(rig.do("demand"))
        rig.run(2_000)
    assert answers == [OK] * 4 + [boluses.LIMIT_REACHED] * 6


def test_a_secondary_that_is_refused_does_not_stop_the_one_that_flows():
    rig = started(CONTINUOUS, {
        "vtbi_ul": 1_000, "rate_ul_h": 360_000, "duration_s": 0, "loading_ul": 0, "loading_ul_h": 0
    })  # fmt: skip
    fields = {"content_ul": 100, "vtbi_ul": 100, "rate_ul_h": 360_000, "duration_s": 0}
    core = rig.controller
    assert rig.do("load_secondary", therapy.make_secondary(core.motion.program, fields), 2) == OK
    assert rig.do("start", 2) == OK
    rig.run(600)
    # It flows for another 450 ms, but all of it is planned.
    assert core.motion.planning != core.motion.phase
    phase = therapy.make_secondary(core.motion.program, fields)
    assert rig.do("load_secondary", phase, 3) == NO_SECONDARY_HERE
    assert core.motion.running
    rig.run(20_000)
    assert core.state == COMPLETED
    assert core.delivered_steps(SECONDARY) == SYRINGE.steps_for_ul(100)
    assert core.delivered_steps(INFUSED) == SYRINGE.steps_for_ul(1_000)


def test_the_stroke_that_a_secondary_finishes_is_not_taken_from_the_primarys_container():
    order = {
        **SETUP, "vtbi_ul": 500, "rate_ul_h": 36_000, "duration_s": 0, "loading_ul": 0,
        "loading_ul_h": 0, "content_ul": 500,
    }  # fmt: skip
    head = mechanism.build(2, "runze-rz1030-0142", "direct-16")
    rig = support.Rig()
    core = rig.controller
    program = therapy.make(CONTINUOUS, head, order)
    rig.do("load", program, 1)
    rig.tick()
    full_ul = core.content_ul()
    assert rig.do("start", 1) == OK
    fields = {"content_ul": 300, "vtbi_ul": 300, "rate_ul_h": 36_000, "duration_s": 0}
    assert rig.do("load_secondary", therapy.make_secondary(program, fields), 2) == OK
    assert rig.do("start", 2) == OK
    rig.run(8_000)
    assert rig.do("pause") == OK
    rig.run(3_000)
    assert core.delivered_steps(SECONDARY) % head.stroke_steps == 0
    assert core.content_ul() == full_ul
    assert rig.do("resume") == OK
    rig.run(120_000)
    assert core.state == COMPLETED
    assert core.delivered_steps(INFUSED) == program.vtbi_steps


# -- what any order of commands seldom comes to --------------------------------------------------

FINE = mechanism.build(1, "terumo-1", "t8-8mm-16")
LITTLE = {
    "content_ul": 1_000, "containers": 1, "delay_s": 0, "vtbi_ul": 100, "duration_s": 0,
    "loading_ul": 0, "loading_ul_h": 0,
}  # fmt: skip


def little(rate_ul_h, kvo_ul_h=therapy.KVO_OFF):
    rig = support.Rig()
    order = {**LITTLE, "rate_ul_h": rate_ul_h, "kvo_ul_h": kvo_ul_h}
    rig.do("load", therapy.make(CONTINUOUS, FINE, order), 1)
    rig.tick()
    assert rig.do("start", 1) == OK
    return rig


@given(
    st.sampled_from([therapy.KVO_OFF, therapy.KVO_BY_RULE]),
    st.integers(0, 7_000),
    st.integers(1_000, 9_000),
)
def test_the_vtbi_waits_for_a_bolus_that_was_promised(kvo_ul_h, at_ms, bolus_ul_h):
    rig = little(36_000, kvo_ul_h)
    rig.run(at_ms)
    assert rig.do("bolus", 25, bolus_ul_h, 0) == OK
    # 25 µL at 1 mL/h take 90 s.
    rig.run(120_000)
    core = rig.controller
    assert core.state != INFUSING
    assert core.delivered_steps(BOLUS) == FINE.steps_for_ul(25)
    assert core.infused_steps() == FINE.steps_for_ul(100)


@given(st.integers(0, 3_000), st.integers(400, 2_500))
def test_a_bolus_that_is_cut_short_is_taken_from_the_vtbi_as_far_as_it_was_given(at_ms, cut_ms):
    rig = little(36_000)
    rig.run(at_ms)
    assert rig.do("bolus", 25, 18_000, 0) == OK
    rig.run(cut_ms)
    assert rig.do("pause") == OK
    made = len(rig.stepper.made_edges_us())
    assert rig.controller.infused_steps() == made
    assert rig.do("resume") == OK
    rig.run(20_000)
    assert rig.controller.state == COMPLETED
    assert len(rig.stepper.made_edges_us()) == FINE.steps_for_ul(100)


@given(st.integers(0, 2_500))
def test_a_demand_that_is_cut_short_is_counted_as_a_demand(cut_ms):
    order = {
        **LITTLE, "kvo_ul_h": therapy.KVO_OFF, "rate_ul_h": 0, "demand_ul": 20,
        "demand_ul_h": 36_000, "lockout_s": 5, "window_1_s": 0, "limit_1_ul": 0, "window_2_s": 0,
        "limit_2_ul": 0,
    }  # fmt: skip
    rig = support.Rig()
    rig.do("load", therapy.make(PCA, FINE, order), 1)
    rig.tick()
    assert rig.do("start", 1) == OK
    assert rig.do("demand") == OK
    rig.run(cut_ms)
    assert rig.do("pause") == OK
    assert rig.controller.delivered_steps(INFUSED) == 0
    assert rig.controller.delivered_steps(DEMAND) == len(rig.stepper.made_edges_us())


# -- the machine ----------------------------------------------------------------------------------


class Therapies(RuleBasedStateMachine):
    """One pump, whoever is at it, and the books."""

    KEYS: ClassVar = [
        (1, "bd-plastipak-60", "t8-8mm-16"),
        (1, "bd-plastipak-60", "t8-8mm-16"),
        (1, "terumo-1", "t8-8mm-16"),
        (2, "masterflex-ls-16", "direct-16"),
        (2, "runze-rz1030-0142", "direct-16"),
    ]
    STARTS_MS: ClassVar = [0, SMALL_INT_LIMIT - 20_000, 3 * SMALL_INT_LIMIT - 700]

    @initialize(start_ms=st.sampled_from(STARTS_MS), key=st.sampled_from(KEYS), order=ORDERS)
    def power_on(self, start_ms, key, order):
        self.parts = mechanism.build(*key)
        self.last_edge_us = -1
        self.ids = 0
        self.primary_id = 0
        self.now_ms = start_ms
        self.inputs_were = (False, False)
        self.boot()
        self.program(order, True)

    def boot(self):
        """A controller that knows nothing of what was."""
        self.rig = support.Rig(self.now_ms)
        self.stepper = self.rig.stepper = Witness()
        self.stepper.now_ms = self.now_ms
        self.rig.controller = Controller(self.stepper, self.now_ms & CLOCK_MASK)
        self.rig.inputs = self.rig.controller.inputs
        self.rig.inputs.interlock_open, self.rig.inputs.driver_fault = self.inputs_were
        self.books = None
        # How often the motor had begun when the last program was dropped.
        self.begun = 0
        # Since when a program waits for its start.
        self.waits_ms = self.now_ms
        self.seen = self.cut = 0
        self.pending = []
        self.may_start = self.may_resume = False

    @property
    def core(self):
        return self.rig.controller

    @property
    def state(self):
        return self.rig.controller.state

    # -- following ----------------------------------------------------------------------------

    def collect(self):
        """Enter in the books what the stepper has made since."""
        stepper = self.stepper
        books = self.books
        known = len(books.edges) if books else 0
        for until, cut_ms in stepper.aborts[self.cut :]:
            self.pending += stepper.quanta[self.seen : until]
            for quantum in self.pending:
                self.enter(quantum, cut_ms)
            self.pending, self.seen = [], until
            books.halts += 1
        self.cut = len(stepper.aborts)
        self.pending += stepper.quanta[self.seen :]
        self.seen = len(stepper.quanta)
        until_ms = stepper.until_ms(self.rig.now_ms)
        while self.pending and self.pending[0][0] + QUANTUM_MS <= until_ms:
            self.enter(self.pending.pop(0), until_ms)
        if books and len(books.edges) > known:
            books.check_windows(known)

    def enter(self, quantum, until_ms):
        start_ms, fields = quantum
        count = fields[0]
        # The program and a lane each have less than a step more than their rate: 1.48 more than the
        # greatest rate was the most that was seen, with 400 and 800 mL/h side by side.
        greatest = self.books.steps_at(self.parts.greatest_rate_ul_h, QUANTUM_MS)
        assert count < greatest + 2
        for us in edges_us(*fields) if count else ():
            edge_us = start_ms * 1000 + us
            if edge_us > until_ms * 1000:
                break
            assert edge_us > self.last_edge_us
            assert us <= QUANTUM_MS * 1000
            self.last_edge_us = edge_us
            self.books.edges.append(edge_us)

    def tick(self, after_ms):
        """One tick, and what has to be so after every tick."""
        rig = self.rig
        running = self.core.motion.running
        begun = len(self.stepper.begun_ms)
        if running and self.books.kind in (CONTINUOUS, PCA):
            basal_ul_h = self.books.basal_ul_h(rig.now_ms)
            self.books.basal_due += self.books.steps_at(basal_ul_h, after_ms)
        rig.tick(after_ms)
        assert len(self.stepper.begun_ms) == begun
        if running and (rig.inputs.interlock_open or rig.inputs.driver_fault):
            assert self.state == ALARM
            assert not self.core.motion.running
        if self.state == ALARM:
            self.may_start = self.may_resume = False
        self.collect()
        self.look()

    def look(self):
        core = self.core
        assert not core.motion.mismatch
        assert core.motion.running == (self.state not in STANDING)
        assert self.state != ALARM or core.active_alarms
        if self.books and self.state == IDLE:
            self.drop()
        books = self.books
        if books is None:
            assert len(self.stepper.begun_ms) == self.begun
            return
        if self.state == PROGRAMMED:
            # Seconds of the pump's time are whole ones.
            assert self.rig.now_ms - self.waits_ms <= 1000 * DROPPED_S + 999
        if self.state in STANDING:
            assert not self.pending
        buckets = [core.delivered_steps(bucket) for bucket in range(BUCKETS)]
        if self.stepper.stands_ms is None or not core.motion.running:
            assert sum(buckets) == len(books.edges)
        assert all(now >= was for now, was in zip(buckets, books.buckets, strict=True))
        books.buckets = buckets
        books.check_volumes()
        # Nothing but a retraction is ever made backwards.
        backwards = books.kind == PURGE and bool(books.order["reverse"])
        assert self.stepper.reverses <= {backwards}
        if self.state in STANDING and not backwards:
            assert core.content_ul() == books.content_ul()
        if self.state == COMPLETED and not books.order.get("times"):
            assert books.is_delivered()
            if books.taken() < books.content_steps:
                # The VTBI's end is no reason to cut short what was granted of it.
                assert books.is_bolus_given(books.halts - 1)
                assert books.is_demand_given(books.halts - 1)

    def drop(self):
        """Nobody started a program for ten minutes: it is gone, and nothing of it was made."""
        assert self.may_start
        assert self.rig.now_ms - self.waits_ms >= 1000 * DROPPED_S - 999
        assert not self.books.edges
        assert self.core.program_id == 0
        event("dropped")
        self.books = None
        self.begun = len(self.stepper.begun_ms)
        self.may_start = False

    def passes(self, ms, lateness=lambda: 0):
        """Ticks when they are due, or somewhat later."""
        rig = self.rig
        end_ms = rig.now_ms + ms
        while rig.due_ms < end_ms and self.core.motion.running:
            at_ms = max(rig.now_ms, rig.due_ms) + lateness()
            self.tick(min(at_ms, end_ms) - rig.now_ms)
        self.tick(end_ms - rig.now_ms)

    def act(self, name, *values, begins=0):
        """A command; a refusal changes nothing, and only some may start the motor."""
        self.tick(0)
        before = self.face()
        begun = len(self.stepper.begun_ms)
        answer = self.rig.do(name, *values)
        assert len(self.stepper.begun_ms) - begun <= begins, name
        if answer != OK:
            after = self.face()
            if name == "demand" and self.core.motion.program and before["made"] is not None:
                assert after["made"] == before["made"] + 1
                assert after["noted"] == before["noted"] + 1
                after["made"], after["noted"] = before["made"], before["noted"]
            if name == "resume" and answer == NOTHING_LEFT and self.books.order.get("times"):
                # That the last daily doses were missed in the pause is found out, and noted, here.
                return answer
            assert after == before, (name, values, answer)
        elif name == "change_container":
            self.books.fill(*values)
        elif name == "acknowledge":
            self.waits_ms = self.rig.now_ms
        self.collect()
        self.look()
        return answer

    def face(self):
        core = self.core
        limits = core.motion.program.limits if core.motion.program else None
        made = None
        if limits:
            made, limits.made = limits.made, None
        shown = {
            "core": face(core),
            "made": made,
            "noted": core.journal.next_number,
            "pushed": len(self.stepper.quanta),
            "aborted": len(self.stepper.aborts),
        }
        if limits:
            limits.made = made
        return shown

    # -- programs -----------------------------------------------------------------------------

    @precondition(lambda self: self.state in (IDLE, PROGRAMMED, COMPLETED, STOPPED))
    @rule(order=ORDERS, starts=st.sampled_from([True, True, True, False]))
    def program(self, order, starts):
        kind, fields = order
        if self.parts.capacity_ul:
            fields = {**fields, "content_ul": min(fields["content_ul"], self.parts.capacity_ul)}
        try:
            program = therapy.make(kind, self.parts, fields)
        except therapy.RefusedError as refusal:
            event(f"refused {refusal.code}")
            return
        answer = self.rig_load(program)
        assert answer == OK
        self.books = Books(kind, fields, program)
        self.stepper.reverses.clear()
        if starts:
            self.start(True)

    def rig_load(self, program):
        self.tick(0)
        was = self.state
        answer = self.rig.do("load", program, self.ids + 1)
        assert (answer == OK) == (was in (IDLE, PROGRAMMED, COMPLETED, STOPPED))
        if answer == OK:
            self.ids += 1
            self.primary_id = self.ids
            self.may_start, self.may_resume = True, False
            self.waits_ms = self.rig.now_ms
        return answer

    @precondition(lambda self: self.state == PROGRAMMED)
    @rule(right=st.sampled_from([True, True, True, False]))
    def start(self, right):
        might = self.may_start
        answer = self.act("start", self.primary_id if right else self.ids + 77, begins=1)
        if answer == OK:
            assert might
            assert right
            self.may_start = False
            event(f"started {self.books.kind}")
        else:
            blocked = self.core.inputs.interlock_open or self.core.inputs.driver_fault
            assert not might or not right or blocked

    # -- stops --------------------------------------------------------------------------------

    @precondition(lambda self: self.state not in STANDING)
    @rule(ms=LITTLE_MS)
    def pause(self, ms):
        was = self.state
        if self.act("pause", begins=self.parts.stroke_steps > 1) == OK:
            assert was not in STANDING
            assert self.state in (PAUSED, STOPPING, STOPPED, COMPLETED)
            self.may_resume = self.state in (PAUSED, STOPPING)
            event("stroke" if self.state == STOPPING else "paused")
        self.passes(ms)

    @precondition(lambda self: self.state in (PAUSED, ALARM))
    @rule(
        content_ul=st.sampled_from([None, None, 1, 50, 300, 1_000]),
        mends=st.sampled_from([True, True, False]),
        ms=LITTLE_MS,
    )
    def somebody_comes(self, content_ul, mends, ms):
        """Whoever looks after the pump: mends, changes the container, acknowledges, resumes."""
        inputs = self.core.inputs
        if mends:
            inputs.interlock_open = inputs.driver_fault = False
        if content_ul is not None:
            self.act("change_container", content_ul)
        if self.core.active_alarms:
            self.acknowledge()
        self.resume()
        self.passes(ms)

    def acknowledge(self):
        was = self.state
        assert self.act("acknowledge") == OK
        assert self.state != ALARM
        if was == ALARM:
            assert self.state in (PAUSED, STOPPED, COMPLETED)
            self.may_resume = self.state == PAUSED

    def resume(self):
        might = self.may_resume and self.state == PAUSED
        answer = self.act("resume", begins=1)
        if answer == OK:
            assert might
            self.may_resume = False
        elif answer == INTERLOCK:
            assert self.core.inputs.interlock_open

    @precondition(lambda self: self.state != IDLE)
    @rule(sure=st.integers(0, 4))
    def stop(self, sure):
        # Seldom, or there would be little else.
        if sure:
            return
        assert self.act("stop", begins=self.parts.stroke_steps > 1) == OK
        assert self.state in (STOPPED, STOPPING, ALARM)
        self.may_start = self.may_resume = False

    @rule(
        what=st.sampled_from(["start", "resume", "acknowledge", "bolus", "demand", "set_rate",
            "change_container", "load", "load_secondary", "pause"]),
    )  # fmt: skip
    def somebody_does_what_cannot_be(self, what):
        """At the wrong time, or to the wrong pump."""
        if what == "start" and self.state != PROGRAMMED:
            assert self.act("start", self.primary_id) != OK
        elif what == "resume" and not (self.may_resume and self.state == PAUSED):
            assert self.act("resume") != OK
        elif what == "acknowledge" and self.state != ALARM:
            # A remark can be taken note of while it goes on; nothing else comes of it.
            was, alarms = self.state, self.core.active_alarms
            assert alarms or self.act("acknowledge") != OK
            assert not alarms or self.act("acknowledge") == OK
            assert self.state == was
        elif what == "bolus" and not self.may_bolus():
            assert self.act("bolus", 25, 36_000, 0) != OK
        elif what == "demand" and not self.may_demand():
            assert self.act("demand") != OK
        elif what == "set_rate" and self.state not in (INFUSING, PAUSED):
            assert self.act("set_rate", 36_000) != OK
        elif what == "change_container" and self.state not in (PROGRAMMED, PAUSED, ALARM):
            assert self.act("change_container", 1_000) != OK
        elif what == "load" and self.state not in (IDLE, PROGRAMMED, COMPLETED, STOPPED):
            assert self.act("load", self.core.motion.program, self.ids + 1) != OK
        elif what == "load_secondary" and not self.may_insert():
            assert self.act("load_secondary", Phase(36_000, 10, SECONDARY), self.ids + 1) != OK
        elif what == "pause" and self.state in STANDING:
            assert self.act("pause") != OK

    # -- what flows beside ----------------------------------------------------------------------

    def may_bolus(self):
        return self.state == INFUSING and self.books.kind in (CONTINUOUS, PCA)

    def may_demand(self):
        return self.state == INFUSING and self.books.kind == PCA

    def may_insert(self):
        running = self.state in (INFUSING, KEEPING_OPEN, PAUSED)
        return running and self.books.kind in (CONTINUOUS, STEPPED)

    @precondition(may_bolus)
    @rule(
        volume_ul=st.sampled_from([10, 25, 60, 150, 9]),
        rate_ul_h=RATES_UL_H,
        duration_s=st.sampled_from([0, 1, 5, 40]),
        utmost=st.sampled_from([False, False, True]),
        ms=LITTLE_MS,
    )
    def bolus(self, volume_ul, rate_ul_h, duration_s, utmost, ms):
        books = self.books
        if utmost:
            rate_ul_h = self.parts.greatest_rate_ul_h - books.rates_ul_h[-1][1]
        if duration_s:
            answer = self.act("bolus", volume_ul, 0, duration_s)
            rate_ul_h = -(-volume_ul * 3600 // duration_s)
        else:
            answer = self.act("bolus", volume_ul, rate_ul_h, 0)
        if answer == OK:
            event("bolus")
            # One at a time.
            assert books.is_bolus_given(books.halts)
            steps = books.steps(volume_ul)
            books.bolus_due = (books.buckets[BOLUS] + steps, books.halts)
            books.bolus_steps += steps
            books.fastest_ul_h = max(books.fastest_ul_h, rate_ul_h)
        self.passes(ms)

    @precondition(may_demand)
    @rule(ms=LITTLE_MS)
    def demand(self, ms):
        self.ask()
        self.passes(ms)

    def ask(self):
        books = self.books
        if books.kind != PCA:
            assert self.act("demand") != OK
            return OK
        now_ms = self.rig.now_ms
        answer = self.act("demand")
        if answer == OK:
            event("demand")
            assert books.is_demand_given(books.halts)
            books.demand_due = (books.buckets[DEMAND] + books.demand_steps, books.halts)
            books.granted_ms.append(now_ms)
            books.check_grant(now_ms)
        elif answer == boluses.DEMAND_LOCKED_OUT:
            assert now_ms - books.granted_ms[-1] < books.order["lockout_s"] * 1000
        elif answer == boluses.LIMIT_REACHED:
            event("limit reached")
        return answer

    @precondition(may_demand)
    @rule(every_ms=st.sampled_from([1, 99, 1_000, 2_500]), times=st.integers(2, 40))
    def press_again_and_again(self, every_ms, times):
        for _ in range(times):
            self.ask()
            self.passes(every_ms)

    @precondition(lambda self: self.may_demand() and self.books.granted_ms)
    @rule()
    def press_when_the_lockout_ends(self):
        books = self.books
        left_ms = books.granted_ms[-1] + books.order["lockout_s"] * 1000 - self.rig.now_ms
        if not 1 <= left_ms <= 60_000:
            return
        self.passes(left_ms - 1)
        assert self.ask() != OK
        self.passes(1)
        self.ask()

    @precondition(lambda self: self.may_demand() and self.books.windows and self.books.granted_ms)
    @rule(back=st.integers(1, 4), window=st.integers(0, 1), early_ms=st.sampled_from([0, 1, 100]))
    def press_when_a_dose_leaves_its_window(self, back, window, early_ms):
        books = self.books
        length_ms = books.windows[window % len(books.windows)][0]
        granted_ms = books.granted_ms[-min(back, len(books.granted_ms))]
        left_ms = granted_ms + length_ms - self.rig.now_ms - early_ms
        if 0 <= left_ms <= 90_000:
            self.passes(left_ms)
            self.ask()

    @precondition(lambda self: self.state in (INFUSING, PAUSED) and self.books.kind != PURGE)
    @rule(rate_ul_h=RATES_UL_H | st.just(0), ms=LITTLE_MS)
    def set_rate(self, rate_ul_h, ms):
        if self.act("set_rate", rate_ul_h) == OK:
            event("titrated")
            books = self.books
            assert books.kind in (CONTINUOUS, PCA)
            books.rates_ul_h.append((self.rig.now_ms, rate_ul_h))
            books.fastest_ul_h = max(books.fastest_ul_h, rate_ul_h)
        self.passes(ms)

    @precondition(may_insert)
    @rule(vtbi_ul=st.sampled_from([100, 150]), rate_ul_h=FAST_UL_H, ms=LITTLE_MS)
    def secondary(self, vtbi_ul, rate_ul_h, ms):
        order = {
            "content_ul": vtbi_ul, "vtbi_ul": vtbi_ul, "rate_ul_h": rate_ul_h, "duration_s": 0
        }  # fmt: skip
        books = self.books
        phase = therapy.make_secondary(self.core.motion.program, order)
        if self.act("load_secondary", phase, self.ids + 1) == OK:
            self.ids += 1
            secondary_id = self.ids
            assert self.act("start", secondary_id + 1) != OK
            self.passes(ms)
            if self.act("start", secondary_id, begins=1) == OK:
                event("secondary")
                books.secondary_steps += books.steps(vtbi_ul)
                self.may_resume = False
        self.passes(ms)

    @precondition(may_bolus)
    @rule(
        what=st.sampled_from(["bolus", "demand", "both"]),
        ms=st.integers(400, 2_500),
        how=st.sampled_from(["pause", "pause", "interlock", "driver", "end"]),
        rate_ul_h=FAST_UL_H,
    )
    def cut_short(self, what, ms, how, rate_ul_h):
        """A bolus or a demand is under way when it all stops, or when the VTBI comes to its end."""
        if what != "demand":
            self.bolus(60, rate_ul_h if how != "end" else 3_600, 0, False, 0)
        if what != "bolus":
            self.ask()
        if how == "end":
            for faster_ul_h in (36_000, 180_000):
                if self.state == INFUSING:
                    self.set_rate(faster_ul_h, 0)
            for _ in range(300):
                if self.state != INFUSING:
                    break
                self.tick(max(0, self.rig.due_ms - self.rig.now_ms))
            return
        self.passes(ms)
        if how == "interlock":
            self.interlock_opens(ms % 100, ms // 20)
        elif how == "driver":
            self.rig.inputs.driver_fault = True
            self.tick(ms // 20)
        elif self.state == INFUSING:
            self.pause(0)
        self.rig.inputs.interlock_open = self.rig.inputs.driver_fault = False

    # -- faults -----------------------------------------------------------------------------------

    @precondition(lambda self: self.state not in STANDING)
    @rule(
        fault=st.sampled_from(["interlock", "driver", "away", "power", "none", "none"]),
        before_ms=st.integers(0, 99),
        after_ms=st.integers(0, 150),
        stays=st.sampled_from([False, False, True]),
    )
    def something_fails(self, fault, before_ms, after_ms, stays):
        if fault == "interlock":
            self.interlock_opens(before_ms, after_ms)
        elif fault == "driver":
            self.rig.inputs.driver_fault = True
            self.tick(after_ms)
        elif fault == "away":
            # From in time to much too late.
            self.the_processor_is_away(4 * after_ms + (3_600_000 * before_ms if stays else 0))
        elif fault == "power":
            self.power_is_lost()
        if fault in ("interlock", "driver"):
            assert self.state in STANDING
            inputs = self.rig.inputs
            inputs.interlock_open = inputs.interlock_open and stays
            inputs.driver_fault = inputs.driver_fault and stays

    def interlock_opens(self, before_ms, after_ms):
        """The motor stands from that instant; the next tick comes a little later."""
        rig = self.rig
        before_ms = min(before_ms, max(0, rig.due_ms - rig.now_ms))
        self.stepper.stands_ms = rig.now_ms + before_ms
        rig.inputs.interlock_open = True
        self.tick(before_ms + after_ms)
        self.stepper.stands_ms = None
        self.passes(after_ms)

    def the_processor_is_away(self, ms):
        motion = self.core.motion
        lead_ms, at_end = motion.lead_ms(), motion.is_at_end()
        self.tick(ms)
        if not at_end:
            assert (self.state == ALARM) == (ms > lead_ms)

    def power_is_lost(self):
        event("power lost")
        rig = self.rig
        for quantum in self.pending:
            self.enter(quantum, rig.now_ms)
        self.inputs_were = (rig.inputs.interlock_open, rig.inputs.driver_fault)
        self.now_ms = rig.now_ms + 700
        self.boot()
        for command in (("start", self.primary_id), ("resume",), ("demand",), ("bolus", 60, 60, 0)):
            assert self.act(*command) != OK
        self.passes(700)
        assert self.state == IDLE

    def teardown(self):
        """To its end, as far as it gets: whatever was miscounted is then seen."""
        if not hasattr(self, "rig") or self.books is None:
            return
        if self.state in (PAUSED, ALARM):
            self.somebody_comes(None, True, 0)
        if self.state == INFUSING:
            self.set_rate(180_000, 0)
        for _ in range(600):
            if self.state in STANDING:
                break
            self.tick(max(0, self.rig.due_ms - self.rig.now_ms))

    # -- time -------------------------------------------------------------------------------------

    @precondition(lambda self: self.state not in STANDING)
    @rule(ms=st.integers(0, 700) | st.integers(0, 20_000), seed=st.integers(0, 9))
    def time_passes(self, ms, seed):
        rng = random.Random(seed)
        self.passes(ms, lambda: rng.randint(0, GREATEST_LATENESS_MS) if seed else 0)

    @precondition(lambda self: self.state not in STANDING)
    @rule(s=st.integers(20, 300))
    def minutes_pass(self, s):
        self.passes(1000 * s)

    @precondition(lambda self: self.state in STANDING)
    @rule(minutes=st.integers(1, 600))
    def hours_pass(self, minutes):
        self.passes(60_000 * minutes)

    @precondition(lambda self: self.state not in STANDING)
    @rule(ms=st.integers(0, 99))
    def early_tick(self, ms):
        self.tick(min(ms, max(0, self.rig.due_ms - self.rig.now_ms)))

    @precondition(lambda self: self.state not in STANDING)
    @rule(
        ms=st.integers(0, 700),
        then=st.sampled_from(["bolus", "demand", "pause", "set_rate", "fails", "nothing"]),
        rate_ul_h=RATES_UL_H,
    )
    def about_the_end_of_something(self, ms, then, rate_ul_h):
        """Where a phase, a bolus, a demand or the container is planned to its end."""
        self.until_planning_moves_on()
        self.passes(ms)
        if then == "nothing":
            self.somebody_does_what_cannot_be("acknowledge")
        if self.state != INFUSING:
            return
        if then == "bolus" and self.may_bolus():
            self.bolus(60, rate_ul_h, 0, False, 0)
        elif then == "demand":
            self.ask()
        elif then == "pause":
            self.pause(0)
        elif then == "set_rate":
            self.set_rate(rate_ul_h, 0)
        elif then == "fails":
            self.interlock_opens(ms % 100, ms // 5)
            self.rig.inputs.interlock_open = False

    def until_planning_moves_on(self):
        motion = self.core.motion

        def stands():
            lanes = (bool(motion.bolus.left), bool(motion.demand.left))
            return motion.running, motion.planning, motion.finished, motion.emptied, lanes

        stood = stands()
        for _ in range(1500):
            if stands() != stood:
                break
            self.tick(max(0, self.rig.due_ms - self.rig.now_ms))


TestTherapies = Therapies.TestCase
TestTherapies.settings = settings(
    max_examples=250,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
