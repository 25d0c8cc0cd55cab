"""The limits of patient-controlled analgesia, against a book that forgets nothing."""

from fractions import Fraction

import pytest
import support
from hypothesis import given, settings
from hypothesis import strategies as st

from micropump import boluses, doses, mechanism, therapy
from micropump.controller import INFUSING
from micropump.doses import LIMIT_REACHED, LOCKED_OUT, DoseLimits
from micropump.program import DEMAND, INFUSED, PCA
from micropump.units import CLOCK_MASK, SMALL_INT_LIMIT

OK = doses.OK
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
# DoseLimits has to be looked at that often.
SIX_DAYS_MS = 6 * DAY_MS


# -- the book -----------------------------------------------------------------------------------


class Book:
    """Everything that was ever given, on a clock that does not wrap, judged by definition.

    A stretch that ends at ``t`` is the half-open (t - length, t]. Boluses are lists of (from, until
    or None, steps); the basal is a list of (from, steps per ms as a fraction).
    """

    def __init__(self, lockout_ms, windows):
        self.lockout_ms = lockout_ms
        self.windows = windows
        self.demands = []
        self.boluses = []
        self.basal = []

    def counted(self, t, length_ms):
        """Demands and boluses that count in the stretch that ends at ``t``."""
        demanded = sum(steps for at, steps in self.demands if t - length_ms < at <= t)
        return demanded + sum(
            steps
            for begun, until, steps in self.boluses
            if begun <= t and (until is None or until > t - length_ms)
        )

    def greatest_basal(self, t, length_ms):
        """Whole steps of the greatest basal rate that flowed anywhere in the stretch."""
        greatest = 0
        for at, (begun, rate) in enumerate(self.basal):
            until = self.basal[at + 1][0] if at + 1 < len(self.basal) else None
            if begun <= t and (until is None or until > t - length_ms):
                greatest = max(greatest, int(rate * length_ms))
        return greatest

    def flowed(self, t, length_ms):
        """What really flowed in the stretch, if a demand is given at once, as a fraction."""
        after = t - length_ms
        flowed = Fraction(sum(steps for at, steps in self.demands if after < at <= t))
        for begun, until, steps in self.boluses:
            # As if all of an open one flowed in the stretch: the most that it can.
            if until is None or until == begun:
                flowed += steps if (until is None or after < until) and begun <= t else 0
            else:
                over_ms = max(0, min(t, until) - max(after, begun))
                flowed += Fraction(steps * over_ms, until - begun)
        for at, (begun, rate) in enumerate(self.basal):
            until = self.basal[at + 1][0] if at + 1 < len(self.basal) else t
            flowed += rate * max(0, min(t, until) - max(after, begun))
        return flowed

    def room_for(self, t, steps, rate=Fraction(0)):
        return all(
            self.counted(t, length_ms)
            + max(self.greatest_basal(t, length_ms), int(rate * length_ms))
            + steps
            <= limit
            for length_ms, limit in self.windows
        )

    def demand(self, t, steps):
        if self.demands and t - self.demands[-1][0] < self.lockout_ms:
            return LOCKED_OUT
        if not self.room_for(t, steps):
            return LIMIT_REACHED
        self.demands.append((t, steps))
        return OK


# Lengths of a few ms: every edge of every window is met within one example.
LENGTHS_MS = st.integers(1, 60)
GAPS_MS = st.integers(0, 45)
RATES = st.fractions(0, 1, max_denominator=12)
ACTIONS = st.one_of(
    st.tuples(st.just("demand"), st.integers(1, 9)),
    st.tuples(st.just("demand"), st.integers(1, 9)),
    st.tuples(st.just("open"), st.integers(1, 30)),
    st.tuples(st.just("close"), st.fractions(0, 1, max_denominator=4)),
    st.tuples(st.just("basal"), RATES),
    st.tuples(st.just("expire"), st.just(0)),
)
WINDOWS = st.lists(st.tuples(LENGTHS_MS, st.integers(1, 60)), max_size=2)


class History:
    """One story told to the limits and to the book."""

    def __init__(self, start_ms, lockout_ms, windows):
        self.now_ms = start_ms
        self.limits = DoseLimits(lockout_ms, windows)
        self.book = Book(lockout_ms, windows)
        self.lowered = 0

    @property
    def now(self):
        return self.now_ms & CLOCK_MASK

    def is_open(self):
        return bool(self.book.boluses) and self.book.boluses[-1][1] is None

    def do(self, name, what):
        """Do it to both; what the limits said, and what the book says."""
        return getattr(self, "do_" + name)(what)

    def do_demand(self, steps):
        made, given = self.limits.made, self.limits.given
        said = self.limits.demand(self.now, steps)
        would = self.book.demand(self.now_ms, steps)
        assert (self.limits.made, self.limits.given) == (made + 1, given + (said == OK))
        if said != would and would == OK:
            self.book.demands.pop()
        return said, would

    def do_open(self, steps):
        if self.is_open():
            return OK, OK
        said = self.limits.room_for(self.now, steps)
        would = self.book.room_for(self.now_ms, steps)
        if said:
            self.limits.open(steps)
            self.book.boluses.append((self.now_ms, None, steps))
        return said, would

    def do_close(self, share):
        if self.is_open():
            begun, _, steps = self.book.boluses[-1]
            given = int(steps * share)
            self.limits.close(self.now, given)
            self.book.boluses[-1] = (begun, self.now_ms, given)
        return OK, OK

    def do_basal(self, rate):
        windows = self.book.windows
        basal = [int(rate * length_ms) for length_ms, _ in windows]
        said = self.limits.room_for_basal(self.now, basal)
        would = self.book.room_for(self.now_ms, 0, rate)
        if said:
            self.limits.set_basal(self.now, basal)
            self.lowered += bool(self.book.basal) and rate < max(r for _, r in self.book.basal)
            self.book.basal.append((self.now_ms, rate))
        return said, would

    def do_expire(self, _):
        self.limits.expire(self.now)
        return OK, OK


STORIES = st.lists(st.tuples(GAPS_MS, ACTIONS), max_size=25)
STARTS_MS = st.sampled_from([0, SMALL_INT_LIMIT - 100, 5 * SMALL_INT_LIMIT - 20])


@settings(max_examples=400)
@given(STARTS_MS, st.integers(0, 50), WINDOWS, STORIES)
def test_the_limits_say_what_the_book_says(start_ms, lockout_ms, windows, story):
    history = History(start_ms, lockout_ms, windows)
    for gap_ms, (name, what) in story:
        history.now_ms += gap_ms
        said, would = history.do(name, what)
        if history.lowered <= 1:
            assert said == would
        elif name == "demand":
            # A rate that is lowered again and again lengthens how long the first one counts.
            assert said in (would, LIMIT_REACHED)
        else:
            assert would or not said


@settings(max_examples=150)
@given(STARTS_MS, st.integers(0, 50), WINDOWS, STORIES)
def test_no_stretch_ever_holds_more_than_its_limit(start_ms, lockout_ms, windows, story):
    history = History(start_ms, lockout_ms, windows)
    for gap_ms, (name, what) in story:
        history.now_ms += gap_ms
        history.do(name, what)
    book = history.book
    for length_ms, limit in windows:
        for t in range(start_ms, history.now_ms + 1):
            assert book.counted(t, length_ms) + book.greatest_basal(t, length_ms) <= limit
            # The basal counts in whole steps, so what flows can be a part of one more.
            assert book.flowed(t, length_ms) < limit + 1
    for before, after in zip(book.demands, book.demands[1:], strict=False):
        assert after[0] - before[0] >= lockout_ms


@given(STARTS_MS, st.integers(0, 50), WINDOWS, STORIES)
def test_looking_often_or_seldom_makes_no_difference(start_ms, lockout_ms, windows, story):
    seldom = History(start_ms, lockout_ms, windows)
    often = History(start_ms, lockout_ms, windows)
    for gap_ms, (name, what) in story:
        for _ in range(gap_ms):
            often.now_ms += 1
            often.do_expire(0)
            assert often.limits.room_for(often.now, 1) in (True, False)
        seldom.now_ms += gap_ms
        assert often.do(name, what) == seldom.do(name, what)
        assert often.limits.lockout_left_ms(often.now) == seldom.limits.lockout_left_ms(seldom.now)


# -- to the millisecond ---------------------------------------------------------------------------


@given(
    st.integers(0, 3 * SMALL_INT_LIMIT),
    st.integers(1, DAY_MS),
    st.data(),
)
def test_a_lockout_ends_to_the_millisecond(start_ms, lockout_ms, data):
    limits = DoseLimits(lockout_ms, [])
    assert limits.demand(start_ms & CLOCK_MASK, 5) == OK
    tried_ms = data.draw(st.lists(st.integers(0, lockout_ms - 1), max_size=4).map(sorted))
    for after_ms in [*tried_ms, lockout_ms - 1]:
        now = (start_ms + after_ms) & CLOCK_MASK
        assert limits.lockout_left_ms(now) == lockout_ms - after_ms
        assert limits.demand(now, 5) == LOCKED_OUT
    assert limits.lockout_left_ms((start_ms + lockout_ms) & CLOCK_MASK) == 0
    assert limits.demand((start_ms + lockout_ms) & CLOCK_MASK, 5) == OK
    assert (limits.made, limits.given) == (len(tried_ms) + 3, 2)


@given(
    st.integers(0, 3 * SMALL_INT_LIMIT),
    # No two demands in the same ms.
    st.integers(20, DAY_MS),
    st.integers(1, 20),
    st.integers(0, 5),
)
def test_a_window_rolls_to_the_millisecond(start_ms, window_ms, fit, more):
    limits = DoseLimits(0, [(window_ms, 10 * fit + more)])
    ends_ms = []
    for k in range(fit):
        at_ms = start_ms + k * window_ms // fit
        assert limits.demand(at_ms & CLOCK_MASK, 10) == OK
        ends_ms.append(at_ms + window_ms)
    for end_ms in ends_ms:
        assert limits.demand((end_ms - 1) & CLOCK_MASK, 10) == LIMIT_REACHED
        assert limits.demand(end_ms & CLOCK_MASK, 10) == OK


def test_a_basal_rate_counts_a_whole_window_after_it_was_lowered():
    for start_ms in (0, SMALL_INT_LIMIT - 30_000):
        limits = DoseLimits(0, [(60_000, 100), (90_000, 1000)])
        limits.set_basal(start_ms, [80, 120])
        lowered_ms = start_ms + 12_345
        limits.set_basal(lowered_ms & CLOCK_MASK, [20, 30])
        end_ms = lowered_ms + 60_000
        assert limits.demand((end_ms - 1) & CLOCK_MASK, 21) == LIMIT_REACHED
        assert not limits.room_for_basal((end_ms - 1) & CLOCK_MASK, [101, 0])
        assert limits.demand((end_ms - 1) & CLOCK_MASK, 20) == OK
        assert limits.demand(end_ms & CLOCK_MASK, 60) == OK
        assert limits.demand(end_ms & CLOCK_MASK, 1) == LIMIT_REACHED


def test_a_bolus_counts_in_full_while_it_flows_and_as_given_a_window_after_its_end():
    limits = DoseLimits(0, [(60_000, 100)])
    limits.open(90)
    assert limits.demand(10 * 60_000, 11) == LIMIT_REACHED
    limits.close(10 * 60_000, 50)
    assert limits.demand(11 * 60_000 - 1, 51) == LIMIT_REACHED
    assert limits.demand(11 * 60_000 - 1, 50) == OK
    assert limits.demand(11 * 60_000, 50) == OK
    assert limits.demand(11 * 60_000, 1) == LIMIT_REACHED


# -- the ring -------------------------------------------------------------------------------------


@pytest.mark.parametrize("start_ms", [0, SMALL_INT_LIMIT - 100])
def test_what_has_no_place_is_refused_rather_than_forgotten(start_ms):
    limits = DoseLimits(0, [(DAY_MS, 1_000_000)])
    limits.open(7)
    granted = 0
    while limits.demand((start_ms + granted) & CLOCK_MASK, 1) == OK:
        granted += 1
    # A demand a minute for 4 h fits.
    assert 240 < granted < 1000
    last_ms = start_ms + granted
    # The bolus under way has a place kept, and nothing of it all is forgotten.
    limits.close(last_ms & CLOCK_MASK, 7)
    assert not limits.room_for(last_ms & CLOCK_MASK, 1)
    end_ms = start_ms + DAY_MS
    assert not limits.room_for((end_ms - 1) & CLOCK_MASK, 1)
    full = 1_000_000 - granted - 7
    for k in range(granted):
        now = (end_ms + k) & CLOCK_MASK
        limits.expire(now)
        # One more has gone: there is just so much more room.
        if k:
            assert limits.room_for(now, full + k + 1)
        assert not limits.room_for(now, full + k + 2)


@given(
    st.lists(st.integers(0, SIX_DAYS_MS) | st.just(SIX_DAYS_MS), min_size=1, max_size=20),
    st.integers(0, SMALL_INT_LIMIT),
)
def test_weeks_without_a_demand_bring_nothing_back(gaps_ms, start_ms):
    windows = [(HOUR_MS, 10), (DAY_MS, 15)]
    limits = DoseLimits(DAY_MS, windows)
    book = Book(DAY_MS, windows)
    now_ms = start_ms
    limits.set_basal(now_ms & CLOCK_MASK, [2, 6])
    book.basal.append((now_ms, Fraction(2, HOUR_MS)))
    book.windows = [(HOUR_MS, 10), (DAY_MS, 15 + 48 - 6)]
    for gap_ms in gaps_ms:
        assert limits.demand(now_ms & CLOCK_MASK, 8) == book.demand(now_ms, 8)
        now_ms += gap_ms
        limits.expire(now_ms & CLOCK_MASK)


# -- patient-controlled analgesia on the pump -----------------------------------------------------

# A syringe of 1.4 µL a microstep: what a demand gives is rounded down to whole ones.
PARTS = mechanism.build(1, "bd-plastipak-60", "t8-8mm-16")
MORPHINE = {
    # 1 mg of 1 mg/mL every 6 min, at most 10 mg in 1 h and 40 mg in 4 h: section 7 of the figures
    # of the domain, "1 mg every 6 min meets the 1 h limit exactly".
    "demand_ul": 1_000,
    "demand_ul_h": 200_000,
    "lockout_s": 360,
    "window_1_s": 3_600,
    "limit_1_ul": 10_000,
    "window_2_s": 14_400,
    "limit_2_ul": 40_000,
}
ORDER = {
    "kind": 1,
    "item_id": PARTS.item_id,
    "content_ul": 60_000,
    "containers": 2,
    "order_id": "",
    "delay_s": 0,
    "kvo_ul_h": therapy.KVO_OFF,
    "vtbi_ul": 100_000,
    "rate_ul_h": 0,
    "loading_ul": 0,
    "loading_ul_h": 0,
}


class Bedside:
    """A pump with a patient's button."""

    def __init__(self, start_ms=0, **fields):
        self.rig = support.Rig(start_ms)
        self.program = therapy.make(PCA, PARTS, {**ORDER, **MORPHINE, **fields})
        assert self.rig.do("load", self.program, 1) == OK
        self.rig.tick()
        assert self.rig.do("start", 1) == OK
        self.start_ms = start_ms
        self.granted_ms = []

    @property
    def at_ms(self):
        return self.rig.now_ms - self.start_ms

    def until(self, at_ms):
        self.rig.run(at_ms - self.at_ms)

    def press(self):
        answer = self.rig.do("demand")
        if answer == OK:
            self.granted_ms.append(self.at_ms)
        return answer


@pytest.mark.parametrize("start_ms", [0, SMALL_INT_LIMIT - HOUR_MS // 2])
def test_ten_doses_in_the_first_hour_and_the_eleventh_when_it_is_over(start_ms):
    bedside = Bedside(start_ms)
    ends_ms = [360_000 * k for k in range(1, 11)]
    presses_ms = set(range(0, HOUR_MS + 2_000, 500))
    for end_ms in ends_ms:
        presses_ms.update(range(end_ms - 20, end_ms + 20))
    pressed = 0
    for at_ms in sorted(presses_ms):
        bedside.until(at_ms)
        answer = bedside.press()
        pressed += 1
        assert answer in (OK, boluses.DEMAND_LOCKED_OUT)
    assert bedside.granted_ms == [0, *ends_ms]
    assert len([at for at in bedside.granted_ms if at < HOUR_MS]) == 10
    limits = bedside.program.limits
    assert (limits.made, limits.given) == (pressed, 11)
    bedside.until(HOUR_MS + 60_000)
    core = bedside.rig.controller
    assert core.delivered_steps(DEMAND) == 11 * PARTS.steps_for_ul(1_000)
    assert core.delivered_steps(INFUSED) == 0
    assert len(bedside.rig.stepper.made_edges_us()) == core.delivered_steps(DEMAND)


def test_the_hour_is_the_limit_where_the_lockout_would_allow_more():
    bedside = Bedside(lockout_s=59)
    for at_ms in range(0, HOUR_MS, 5_000):
        bedside.until(at_ms)
        assert bedside.press() in (OK, boluses.DEMAND_LOCKED_OUT, boluses.LIMIT_REACHED)
    assert bedside.granted_ms == [60_000 * k for k in range(10)]
    for k in range(3):
        bedside.until(HOUR_MS + 60_000 * k - 1)
        assert bedside.press() == boluses.LIMIT_REACHED
        bedside.until(HOUR_MS + 60_000 * k)
        assert bedside.press() == OK


def test_forty_doses_in_four_hours():
    # Without a lockout to speak of, and no limit in the first hour.
    bedside = Bedside(lockout_s=19, window_1_s=0, limit_1_ul=0)
    for k in range(45):
        bedside.until(20_000 * k)
        assert bedside.press() == (OK if k < 40 else boluses.LIMIT_REACHED)
    # A pump in the middle of nothing but waiting has nothing else to do in these hours.
    for k in range(2):
        bedside.until(4 * HOUR_MS + 20_000 * k - 1)
        assert bedside.press() == boluses.LIMIT_REACHED
        bedside.until(4 * HOUR_MS + 20_000 * k)
        assert bedside.press() == OK


def test_the_basal_takes_its_part_of_the_hour():
    # 1 mg/h of basal leaves 9 doses.
    bedside = Bedside(rate_ul_h=1_000)
    for at_ms in range(0, HOUR_MS + 1, 30_000):
        bedside.until(at_ms)
        bedside.press()
    assert bedside.granted_ms == [360_000 * k for k in range(9)] + [HOUR_MS]


@settings(max_examples=25)
@given(
    st.integers(0, SMALL_INT_LIMIT - 1),
    st.integers(19, 40),
    st.integers(0, 99),
    st.sampled_from([0, 1, 99, 100, 101, 999]),
)
def test_a_demand_at_the_instant_at_which_the_lockout_ends(start_ms, lockout_s, first_ms, late_ms):
    bedside = Bedside(start_ms, lockout_s=lockout_s)
    bedside.until(first_ms)
    assert bedside.press() == OK
    end_ms = first_ms + 1000 * lockout_s
    bedside.until(end_ms - 1)
    assert bedside.press() == boluses.DEMAND_LOCKED_OUT
    bedside.until(end_ms + late_ms)
    assert bedside.press() == OK
    assert bedside.rig.controller.state == INFUSING


def test_a_slow_demand_is_over_before_a_bolus_has_its_room():
    # A demand of 100 steps takes 50 s: towards another demand it leaves the minute's window after
    # a minute; a bolus, which may be faster, would find half of it still in there.
    limits = DoseLimits(50_000, [(60_000, 100)], 50_000)
    limits.set_basal(0, [0])
    assert limits.demand(0, 100) == doses.OK
    assert not limits.room_for(60_000, 1)
    assert not limits.room_for_basal(109_999, [1])
    assert limits.room_for(110_000, 1)
    assert limits.room_for(60_000, 100, is_demand=True)
