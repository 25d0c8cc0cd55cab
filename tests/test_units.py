"""Units: the clock's wrap and rounding, as laws."""

from fractions import Fraction

from hypothesis import example, given
from hypothesis import strategies as st

from micropump.units import CLOCK_MASK, elapsed_ms, later_ms, rounded_ratio, wrapped_sum

moments_ms = st.integers(0, CLOCK_MASK) | st.sampled_from([0, 1, CLOCK_MASK - 1, CLOCK_MASK])


@given(moments_ms, moments_ms)
def test_elapsed_undoes_later(now_ms, delay_ms):
    later = later_ms(now_ms, delay_ms)
    assert 0 <= later <= CLOCK_MASK
    assert elapsed_ms(later, now_ms) == delay_ms


@given(moments_ms, moments_ms)
def test_the_clock_wraps_at_2_to_the_30(a, b):
    assert wrapped_sum(a, b) == (a + b) % 2**30
    assert later_ms(a, b) == (a + b) % 2**30
    assert elapsed_ms(a, b) == (a - b) % 2**30


@given(st.integers(1, 10**15), st.integers(1, 10**15))
@example(1, 2)
@example(3, 2)
def test_rounded_ratio_is_the_nearest_integer_halves_up(numerator, denominator):
    off = Fraction(numerator, denominator) - rounded_ratio(numerator, denominator)
    assert Fraction(-1, 2) <= off < Fraction(1, 2)
