"""Emulated time: a whole number of system cycles of 8 ns, always.

``rp2040py`` keeps time in nanoseconds as a float and lets an alarm fall between two system cycles.
Here every alarm is moved up to the next cycle, as on silicon, where nothing happens between two
edges of the system clock. Times are then exact integers, whatever the run's length (2**53 ns are
104 days).
"""

import math

from rp2040py.native._simulation_clock import SimulationClock

SYSTEM_CLOCK_HZ = 125_000_000
CYCLE_NS = 8


class GridClock(SimulationClock):
    """A simulation clock whose alarms fall on system cycles."""

    def link_alarm(self, nanos, alarm):  # type: ignore[no-untyped-def]
        """Put ``alarm`` at the first cycle that is not before ``nanos`` (ns) from now."""
        now_ns = self.nanos
        at_ns = math.ceil((now_ns + nanos) / CYCLE_NS) * CYCLE_NS
        return SimulationClock.link_alarm(self, at_ns - now_ns, alarm)

    @property
    def now_ns(self) -> int:
        """The present time, ns."""
        return int(self.nanos)

    @property
    def now_cycles(self) -> int:
        """The present time, system cycles."""
        return int(self.nanos) // CYCLE_NS
