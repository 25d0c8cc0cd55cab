"""The journal: numbers only grow, the newest entries are kept, and its table is whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micropump import alarms, journal
from micropump.journal import CAPACITY, Journal

entries = st.tuples(
    st.integers(0, 2**30 - 1),
    st.integers(0, 999),
    st.sampled_from([event[0] for event in journal.EVENTS]),
    st.integers(-(2**31), 2**31 - 1),
    st.integers(-(2**31), 2**31 - 1),
    st.text(max_size=40),
)


@given(st.lists(entries, max_size=40), st.sampled_from([0, 1, CAPACITY - 3, 3 * CAPACITY + 5]))
def test_the_newest_entries_are_kept_as_they_were(appended, before):
    log = Journal()
    for _ in range(before):
        log.append(0, 0, journal.BOOTED, 0, 0)
    for entry in appended:
        log.append(*entry)
    assert log.next_number == before + len(appended)
    assert log.first_kept() == max(0, log.next_number - CAPACITY)
    for at, entry in enumerate(appended):
        assert log.entry(before + at) == (before + at, *entry)


def test_what_is_not_kept_is_an_index_error():
    log = Journal()
    with pytest.raises(IndexError):
        log.entry(0)
    for _ in range(CAPACITY + 2):
        log.append(1, 2, journal.BOOTED, 3, 4)
    for number in (-1, 0, 1, CAPACITY + 2):
        with pytest.raises(IndexError):
            log.entry(number)
    assert log.entry(2)[0] == 2
    assert log.entry(CAPACITY + 1)[0] == CAPACITY + 1


def test_every_event_and_every_alarm_has_one_row():
    codes = [event[0] for event in journal.EVENTS]
    assert codes == sorted(set(codes))
    # Codes are kept in a signed byte.
    assert min(codes) > 0
    assert max(codes) < 128
    numbers = [row[0] for row in alarms.ALARMS]
    assert numbers == list(range(len(numbers)))
    assert all(row[2] in (alarms.LOW, alarms.MEDIUM, alarms.HIGH) for row in alarms.ALARMS)
    assert len({row[1] for row in alarms.ALARMS}) == len(numbers)
    # What stops the pump needs a person before it goes on.
    assert all(row[4] == alarms.BY_ACKNOWLEDGE for row in alarms.ALARMS if row[3] == alarms.STOP)
