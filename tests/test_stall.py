"""Lost steps: the detector's laws, then the whole controller beside a board's loop and a host."""

import itertools
from bisect import bisect_right

import pytest
import support
from hypothesis import given, settings
from hypothesis import strategies as st

from micropump import alarms, detectors, mechanism
from micropump.controller import ALARM
from micropump.detectors import Stall
from micropump.monitor import Monitor
from micropump.motion import edges_us
from micropump.program import CONTINUOUS, PURGE, STEPPED
from micropump.sensing import ENCODER

# Twelve bits, silent after half a second, nothing else judged.
ENCODER_SPEC = (ENCODER, 0, 1, 1, 0, 4_095, 500, 0, 0, 0)
# Five revolutions a second of a motor with 3200 microsteps.
STEPS_MS = 16
# An angle of so long ago is within the slack of half a turn at that speed.
FOLLOWED_MS = 92
# Rounding: of the steps to counts, of time to whole ms.
LAG_COUNTS = 4


def stall_of(start_counts=0, steps_per_rev=3_200, reverse=False):
    """A detector that has seen the motor stand; the first sample it passes over."""
    stall = Stall()
    stall.configure(steps_per_rev, 5 * steps_per_rev, reverse=reverse)
    assert stall.update(100, 0, 1_234, 0) == 0
    assert stall.update(100, 0, start_counts, 0) == 0
    return stall


@given(
    start=st.integers(0, 4_095),
    moves=st.lists(st.integers(-1_500, 1_500), min_size=1, max_size=200),
    noise=st.lists(st.integers(-8, 8), min_size=1, max_size=50),
    steps_per_rev=st.sampled_from([200, 3_200, 6_400, 16_582]),
    reverse=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_an_encoder_that_follows_is_no_stall_across_every_wrap(
    start, moves, noise, steps_per_rev, reverse
):
    stall = stall_of(start, steps_per_rev, reverse)
    steps = 0
    for n, move in enumerate(moves):
        steps += move
        counts = steps * 4_096 // steps_per_rev + noise[n % len(noise)]
        angle = (start - counts if reverse else start + counts) % 4_096
        assert stall.update(100, move, angle, 100) == 0
        assert abs(stall.lag_counts) <= 17


# Of an update: how long after the one before, how fast the motor turned meanwhile of the fastest,
# backwards too, how old its angle may be of what it can be, and how old it is of that; in percent.
PERCENT = st.integers(0, 100)
UPDATE = st.tuples(
    st.integers(1, 250),
    st.integers(-100, 100) | st.sampled_from([-100, 0, 1, 100]),
    PERCENT,
    PERCENT | st.just(100),
)


@given(
    st.lists(UPDATE, min_size=3, max_size=120),
    st.integers(0, 4_095),
    st.sampled_from([32, 64, 200, 3_200]),
)
@settings(max_examples=500, deadline=None)
def test_a_motor_that_follows_is_no_stall_however_fast_and_whenever_it_is_read(
    updates, start, steps_per_rev
):
    """Speeds that jump, up to the fastest, and angles of up to the update before the last."""
    stall = stall_of(start, steps_per_rev)
    # Where it was in each ms, from long ago on; thousandths of a step.
    place = [0] * 500
    before_ms = 0
    for elapsed_ms, speed_percent, oldest_percent, age_percent in updates:
        move = 5 * steps_per_rev * speed_percent // 100
        place += [place[-1] + move * (ms + 1) for ms in range(elapsed_ms)]
        moved_steps = place[-1] // 1_000 - place[-1 - elapsed_ms] // 1_000
        oldest_ms = (elapsed_ms + before_ms) * oldest_percent // 100
        read = place[-1 - oldest_ms * age_percent // 100] // 1_000
        before_ms = elapsed_ms
        angle = (start + read * 4_096 // steps_per_rev) % 4_096
        assert stall.update(elapsed_ms, moved_steps, angle, oldest_ms) == 0
        assert abs(stall.lag_counts) <= 3


@given(
    st.lists(st.tuples(st.integers(100, 9_000), PERCENT, PERCENT), min_size=3, max_size=60),
    st.integers(1, 900),
)
@settings(max_examples=200, deadline=None)
def test_a_slow_motor_is_followed_however_seldom_it_is_read(updates, counts_s):
    stall = Stall()
    stall.configure(4_096, 900)
    stall.update(100, 0, 0, 0)
    now_ms = at = 0
    for elapsed_ms, oldest_percent, age_percent in updates:
        now_ms += elapsed_ms
        move = now_ms * counts_s // 1_000 - at
        at += move
        oldest_ms = elapsed_ms * oldest_percent // 100
        read_ms = now_ms - oldest_ms * age_percent // 100
        angle = read_ms * counts_s // 1_000 % 4_096
        assert stall.update(elapsed_ms, move, angle, oldest_ms) == 0
        assert abs(stall.lag_counts) <= 3


@given(
    blocked_after=st.integers(0, 500),
    elapsed_ms=st.lists(st.integers(5, 102) | st.sampled_from([98, 102]), min_size=1, max_size=3),
    steps_ms=st.integers(1, STEPS_MS) | st.just(STEPS_MS),
    age_ms=st.integers(0, FOLLOWED_MS),
    start=st.integers(0, 4_095),
    way=st.sampled_from([1, -1]),
)
@settings(max_examples=300, deadline=None)
def test_a_motor_that_stands_is_found_within_the_slack(
    blocked_after, elapsed_ms, steps_ms, age_ms, start, way
):
    """At every speed and however old the angles are that cannot be older."""
    age_ms = min(age_ms, 2 * min(elapsed_ms))
    moves = [steps_ms * ms for ms in elapsed_ms]
    stall = stall_of(start)
    updates = itertools.cycle(zip(elapsed_ms, moves, strict=True))
    steps = 0
    for ms, move in itertools.islice(updates, blocked_after):
        steps += way * move
        angle = (start + steps * 4_096 // 3_200) % 4_096
        assert stall.update(ms, way * move, angle, age_ms) == 0
    blocked_at = (start + steps * 4_096 // 3_200) % 4_096
    missing_steps = 0
    for count, (ms, move) in enumerate(updates):
        missing_steps += move
        if stall.update(ms, way * move, blocked_at, age_ms):
            break
        assert count < 100
    # The slack, what the fastest motor may have turned since an angle was asked for, and those of
    # the first update beyond them and of the one that is to be sure.
    of_update = max(moves) * 4_096 // 3_200 + 1
    explained = min(21 * age_ms + LAG_COUNTS, 2 * of_update)
    slack = detectors.STALL_SLACK_COUNTS + LAG_COUNTS
    assert missing_steps * 4_096 // 3_200 <= slack + explained + 2 * of_update


@pytest.mark.parametrize("full_steps", [4, 8, -4])
def test_lost_steps_are_found_and_stay_found(full_steps):
    stall = stall_of()
    found = []
    for n in range(1, 200):
        lost = full_steps * 16 if n >= 100 else 0
        found.append(stall.update(100, 16, (n * 16 - lost) * 4_096 // 3_200 % 4_096, 100))
    # One sample alone may be false.
    assert found == [0] * 100 + [Stall.STALLED] * 99
    # The way of one update may explain a part of it.
    missing = full_steps * 16 * 4_096 // 3_200
    assert abs(stall.lag_counts + missing) <= 16 * 4_096 // 3_200 + 1
    stall.begin()
    assert stall.update(100, 0, 77, 100) == 0


# As slow as that nothing wrong within an update's way is beyond the slack. From the other side of a
# turn the way back may be told the wrong way round, and stops the pump.
@given(st.integers(1, 40), st.integers(1, 30), st.integers(-1_950, 1_950), st.integers(0, 100))
@settings(max_examples=200, deadline=None)
def test_one_false_angle_is_no_stall(per_update, false_at, false_counts, late_percent):
    stall = stall_of()
    for n in range(1, 40):
        angle = (n * per_update - per_update * late_percent // 100) * 4_096 // 3_200
        if n == false_at:
            angle += false_counts
        assert stall.update(100, per_update, angle % 4_096, 100) == 0


@given(st.integers(1, 1_500), st.integers(0, 4_095), st.integers(0, 100))
@settings(max_examples=100, deadline=None)
def test_a_start_while_the_motor_still_turned_is_no_stall(per_update, stale, late_percent):
    """The angle that is there at the start is of before; the motor has gone on since."""
    stall = Stall()
    stall.begin()
    assert stall.update(100, per_update, stale, 100) == 0
    for n in range(2, 60):
        read_at = n * per_update - per_update * late_percent // 100
        assert stall.update(100, per_update, read_at * 4_096 // 3_200 % 4_096, 100) == 0


def test_a_motor_that_never_starts_is_a_stall():
    stall = Stall()
    found = [stall.update(100, 16, 700, 100) for _ in range(20)]
    # Of 20 counts each: two samples, the slack, the way of one, and one more to be sure.
    assert found.index(Stall.STALLED) <= 2 + 60 // 20 + 1 + 2
    assert all(found[found.index(Stall.STALLED) :])


@pytest.mark.parametrize("lost_steps", [0, 64, 1_600])
def test_what_was_lost_while_the_angles_were_too_old_is_found_behind_it(lost_steps):
    stall = stall_of()
    steps = 0
    for _ in range(10):
        steps += 100
        assert stall.update(100, 100, steps * 4_096 // 3_200 % 4_096, 100) == 0
    # Of 400 ms ago at the fastest, as where a loop is held up: these tell nothing.
    for _ in range(10):
        steps += 6_400
        assert stall.update(400, 6_400, 1_234, 400) == 0
    found = []
    for _ in range(10):
        steps += 10
        angle = (steps - lost_steps) * 4_096 // 3_200 % 4_096
        found.append(stall.update(100, 10, angle, 100))
    assert found == [0] * 10 if lost_steps == 0 else [0] + [Stall.STALLED] * 9


@pytest.mark.parametrize(("kind", "item_id", "drive_id"), support.MECHANISMS)
def test_no_motor_is_turned_faster_than_its_mechanism_says(kind, item_id, drive_id):
    parts = mechanism.build(kind, item_id, drive_id)
    exact = parts.greatest_rate_ul_h / 3.6 / support.nl_per_step(parts)
    assert exact <= parts.greatest_steps_s() <= exact + 2 + 1 / support.nl_per_step(parts)


# The rest is about a board: how its loop comes round and reads an encoder.

# Sensors are not looked at again within so many ms; an angle is asked for in every fifth look.
LEAST_APART_MS = 8
LOOKS_APART = 5
# From the time of a turn to when an angle is asked for in it.
ASKED_AFTER_MS = 4
# Beyond the slack: of a screw, and of a motor before a gear train. With the slack 342 and 849 were
# the most of 18,000 drawn hosts and speeds of 2 to 5 revolutions a second.
FOUND_MS = 500
FOUND_GEARED_MS = 1_000


class Encoder:
    """The angle of a motor that makes the steps which a controller has handed to its stepper.

    Attributes:
        stands_from_ms: when the motor stops to follow; None as long as it does.

    """

    def __init__(self, stepper, steps_per_rev):
        self._stepper = stepper
        self._steps_per_rev = steps_per_rev
        self._taken = 0
        self._edges_us = []
        self.stands_from_ms = None

    def angle(self, at_ms):
        """0 … 4095 at that time."""
        return self.turned(at_ms) % 4_096

    def turned(self, at_ms):
        """How far it has come by then, counts; negative backwards."""
        for start_ms, fields in self._stepper.quanta[self._taken :]:
            self._edges_us += [start_ms * 1000 + at_us for at_us in edges_us(*fields)]
        self._taken = len(self._stepper.quanta)
        until_ms = at_ms if self.stands_from_ms is None else min(at_ms, self.stands_from_ms)
        steps = bisect_right(self._edges_us, until_ms * 1000)
        turned = steps * 4_096 // self._steps_per_rev
        return -turned if turned and self._stepper.reverse else turned


class Board:
    """A controller in the loop of a board with an encoder, and a host that asks.

    Args:
        took_ms: how long each turn has to do, one after the other and again from the start.
        cycle_ms: how much longer one has that has a control cycle in it.
        asks_ms: how long after the last question the host asks again, as well; none never does.
        first, looks_apart: in which look an angle is asked for first, and how many later again.
        lost_every: of so many answers one is lost; 0 for none.

    """

    def __init__(
        self, parts, took_ms, cycle_ms, asks_ms, first, looks_apart=LOOKS_APART, lost_every=0
    ):
        self.rig = support.Rig(sensors=(ENCODER_SPEC,))
        self.monitor = self.rig.controller.monitor
        self.encoder = Encoder(self.rig.stepper, parts.steps_per_rev)
        self.now_ms = 0
        self._took_ms, self._cycle_ms, self._asks_ms = took_ms, cycle_ms, asks_ms
        self._cycle_took_ms = 0
        self._turns = self._questions = 0
        self._looked_ms = self._asks_at_ms = 0
        self._to_go, self._looks_between = first, looks_apart - 1
        self._asked = None
        self._answers, self._lost_every = 0, lost_every
        self._await_host()

    def start(self, kind, parts, **order):
        """Deliver what is ordered, from now on."""
        self.turn()
        content_ul = parts.capacity_ul or 50_000
        program = support.program_of(kind, parts, content_ul=content_ul, **order)
        assert self.rig.do("load", program, 1) == 0
        assert self.rig.do("start", 1) == 0

    def turn(self):
        """Once round the loop, as the board's: wait, look at the sensors, a cycle if need be."""
        self.now_ms += self._cycle_took_ms
        self._cycle_took_ms = 0
        waits_ms = max(0, min(self.rig.due_ms - self.now_ms, 10))
        if self._asks_ms:
            waits_ms = max(0, min(waits_ms, self._asks_at_ms - self.now_ms))
        self.now_ms += waits_ms + self._took_ms[self._turns % len(self._took_ms)]
        self._turns += 1
        has_asked = bool(self._asks_ms) and self.now_ms >= self._asks_at_ms
        if has_asked:
            self._await_host()
        if self.now_ms - self._looked_ms >= LEAST_APART_MS:
            self._looked_ms = self.now_ms
            self._look()
        if has_asked or self.now_ms >= self.rig.due_ms:
            self.rig.tick(self.now_ms - self.rig.now_ms)
            self._cycle_took_ms = self._cycle_ms

    def _await_host(self):
        if self._asks_ms:
            self._asks_at_ms = self.now_ms + self._asks_ms[self._questions % len(self._asks_ms)]
            self._questions += 1

    def _look(self):
        if self._asked:
            self._answers += 1
            if self._lost_every and self._answers % self._lost_every == 0:
                self.monitor.readings.fail(ENCODER)
            else:
                self.monitor.readings.put_asked(ENCODER, *self._asked)
            self._asked = None
        if self._to_go:
            self._to_go -= 1
            return
        self._to_go = self._looks_between
        self._asked = (self.encoder.angle(self.now_ms + ASKED_AFTER_MS), self.now_ms)

    @property
    def is_stalled(self):
        """Whether the pump has told of it and stopped."""
        return bool(self.rig.controller.active_alarms >> alarms.STALL & 1)


# The fastest motors of the catalogue: a screw at 5 revolutions a second, and one before a gear
# train at 7.8. Each with the fastest rate of the fastest of its items.
FASTEST = (mechanism.KIND_SYRINGE, "bd-plastipak-1", "m5-0.8-16")
GEARED = (mechanism.KIND_PERISTALTIC, "runze-yz1515x-16", "28byj-48")
# One that holds enough to turn for long.
MIDDLE = (mechanism.KIND_SYRINGE, "bd-plastipak-3", "t8-2mm-16")
MOTORS = st.sampled_from([FASTEST, GEARED, MIDDLE])
# A turn has so much to do, ms, or is held up; and a cycle so much more (docs/performance.md).
TOOK = st.lists(st.integers(0, 3), min_size=1, max_size=40)
HELD_UP = st.lists(st.sampled_from([0, 0, 0, 1, 1, 2, 9, 60, 150, 300]), min_size=10, max_size=60)
CYCLE = st.integers(1, 8)
ASKS = st.one_of(
    st.just(()),
    st.integers(1, 120).map(lambda ms: (ms,)),
    st.lists(st.integers(1, 120), min_size=2, max_size=20),
)
# Percent of five revolutions a second or of what the mechanism allows. Where a motor turns three
# quarters of a turn between two samples, one that stands may look like one that is ahead.
SPEED = st.sampled_from([1, 10, 50, 62, 75, 90, 95, 100]) | st.integers(1, 100)


def steps_of(data, parts):
    """Rates that end within seconds, one after the other; behind them it keeps open."""
    greatest = parts.greatest_rate_ul_h
    rates = st.integers(max(parts.least_rate_ul_h, greatest // 50), greatest) | st.just(greatest)
    chosen = data.draw(st.lists(rates, min_size=1, max_size=4))
    return [(rate_ul_h, max(100, rate_ul_h // 4_000), 0) for rate_ul_h in chosen]


@given(
    MOTORS, TOOK | HELD_UP, CYCLE, ASKS, st.integers(0, 4), st.integers(1, 7),
    st.sampled_from([0, 0, 3, 5, 7]), st.data(),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_a_board_takes_no_motor_that_follows_for_one_that_stands(
    motor, took_ms, cycle_ms, asks_ms, first, looks_apart, lost_every, data
):
    """Asked for in one turn and heard in the next, with cycles between them as they please."""
    parts = mechanism.build(*motor)
    board = Board(parts, took_ms, cycle_ms, asks_ms, first, looks_apart, lost_every)
    board.start(STEPPED, parts, steps=steps_of(data, parts))
    # It stops for a sensor that is silent, where cycles meet its lost answers alone or the loop is
    # held up nearly all the time: that is another alarm, and no stall.
    while board.now_ms < 6_000 and not board.monitor.sensing.faults:
        board.turn()
        assert not board.is_stalled
        assert abs(board.monitor.stall.lag_counts) <= LAG_COUNTS
    assert lost_every or max(took_ms) > 3 or not board.monitor.sensing.faults


@given(TOOK | HELD_UP, CYCLE, ASKS, st.integers(0, 4), SPEED)
@settings(max_examples=30, deadline=None)
def test_a_board_follows_a_motor_backwards(took_ms, cycle_ms, asks_ms, first, speed_percent):
    parts = mechanism.build(*FASTEST)
    board = Board(parts, took_ms, cycle_ms, asks_ms, first)
    rate_ul_h = parts.greatest_rate_ul_h * speed_percent // 100
    volume_ul = max(100, rate_ul_h // 1_000)
    board.start(PURGE, parts, volume_ul=volume_ul, rate_ul_h=rate_ul_h, reverse=1)
    while board.now_ms < 5_000:
        board.turn()
        assert not board.is_stalled
        assert abs(board.monitor.stall.lag_counts) <= LAG_COUNTS
    assert board.encoder.turned(board.now_ms) < 0


@given(st.sampled_from([FASTEST, GEARED]), st.lists(st.integers(0, 1), min_size=20, max_size=100))
@settings(max_examples=50, deadline=None)
def test_a_step_that_is_early_is_no_stall(motor, early_steps):
    """The stepper's clock and the controller's may be a moment apart, in which a step is made."""
    parts = mechanism.build(*motor)
    monitor = Monitor((ENCODER_SPEC,))
    monitor.prepare(parts, 60, 200)
    monitor.look(0, 0, False)
    monitor.begin()
    for at, early in enumerate(early_steps):
        angle = (at + early) * 4_096 // parts.steps_per_rev % 4_096
        monitor.readings.put_asked(ENCODER, angle, at * 100)
        assert not monitor.look(at * 100, min(at, 1), True) >> alarms.STALL & 1


@given(MOTORS, TOOK, CYCLE, ASKS, st.integers(0, 4), SPEED, st.integers(1_000, 1_300))
@settings(max_examples=200, deadline=None)
def test_a_board_finds_that_a_motor_stands_at_every_speed_and_beside_every_host(
    motor, took_ms, cycle_ms, asks_ms, first, speed_percent, stands_from_ms
):
    parts = mechanism.build(*motor)
    board = Board(parts, took_ms, cycle_ms, asks_ms, first)
    five_ul_h = int(5 * parts.steps_per_rev * support.nl_per_step(parts) * 36) // 10
    rate_ul_h = min(five_ul_h, parts.greatest_rate_ul_h) * speed_percent // 100
    vtbi_ul = max(100, rate_ul_h // 600)
    board.start(CONTINUOUS, parts, rate_ul_h=rate_ul_h, vtbi_ul=vtbi_ul)
    board.encoder.stands_from_ms = stands_from_ms
    while board.now_ms < stands_from_ms:
        board.turn()
        assert not board.is_stalled
    step_counts = 4_096 // parts.steps_per_rev
    slack_counts = max(detectors.STALL_SLACK_COUNTS, 2 * step_counts) + step_counts
    counts_ms = rate_ul_h / 3_600 / support.nl_per_step(parts) * 4_096 / parts.steps_per_rev
    within_ms = FOUND_GEARED_MS if motor == GEARED else FOUND_MS
    within_ms += slack_counts / counts_ms
    while not board.is_stalled:
        assert board.now_ms < stands_from_ms + within_ms
        board.turn()
    assert board.rig.controller.state == ALARM
