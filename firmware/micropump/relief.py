"""Taking the pressure off a line that is closed: how far back, in portions, and no further.

What was pressed into syringe and line since it closed comes out in one go when it opens. So the
plunger is drawn back a portion at a time, and the pressure read after each, until it is where it
was before. Portions, their sum and their number are bounded before the first of them: whatever a
sensor says, this never becomes a pump that runs backwards. Some part of the first is lost in the
drive's free play.

Where the pump may start again by itself, the line is checked then: what was drawn back is pushed
again, a little at a time, and a line that is still closed holds the pressure of the first little
that is not lost in the free play. If all of it is back and none is held, the line is open.
"""

# What of the least that the line can hold is drawn back at once: never too much, even where the
# drive's free play ends within a portion, and the rest is seen by the next reading.
SHARE_PERCENT = 90
MOST_PORTIONS = 40
# Free play of screw and plunger clamp, and what drive and plunger are bent by.
FREE_PLAY_UM = 1_000
# As near to the pressure before as a reading tells.
NEAR_PA = 500
# Samples after a portion that are waited for, and how long at most.
SETTLE_SAMPLES = 3
SETTLE_MS = 4_000

# The line check: how long after the relief (Alaris 8015: 15 s), what is pushed at once, and what of
# it may be left as pressure, after how long. 60 µL raise the softest closed line (21 µL/kPa) by
# 2.9 kPa; of an open one with a time constant of 3 s a fifth is left; a slower one is closed.
CHECK_AFTER_MS = 15_000
CHECK_NL = 60_000
CHECK_HELD_PA = 600
CHECK_HOLD_MS = 5_000


class Relief:
    """One back-off, from the alarm to its end; allocates nothing once made.

    Attributes:
        portions: how many there were.

    """

    def __init__(self) -> None:
        self.portions = 0
        self._target_pa = 0
        self._least_nl_kpa = 1
        self._left_nl = 0

    def begin(
        self,
        pressure_pa: int,
        target_pa: int,
        least_nl_kpa: int,
        greatest_nl_kpa: int,
        area_mm2: int,
    ) -> None:
        """Begin at ``pressure_pa`` (Pa), to come to ``target_pa``, where it was before.

        Args:
            pressure_pa: what the line has.
            target_pa: what it had before it closed.
            least_nl_kpa: the least compliance that syringe and line may have, nL/kPa.
            greatest_nl_kpa: the greatest.
            area_mm2: of the plunger.

        """
        self._target_pa = target_pa
        self._least_nl_kpa = least_nl_kpa
        free_play_nl = FREE_PLAY_UM * area_mm2
        self._left_nl = free_play_nl + held_nl(pressure_pa - target_pa, greatest_nl_kpa)
        self.portions = 0

    def portion_nl(self, pressure_pa: int) -> int:
        """What is to be drawn back next, with the line at ``pressure_pa``; 0 for nothing; nL."""
        above_pa = pressure_pa - self._target_pa
        if above_pa <= NEAR_PA or self.portions == MOST_PORTIONS or self._left_nl <= 0:
            return 0
        portion_nl = held_nl(above_pa, self._least_nl_kpa) // 100 * SHARE_PERCENT
        portion_nl = max(1, min(portion_nl, self._left_nl))
        self._left_nl -= portion_nl
        self.portions += 1
        return portion_nl


def held_nl(rise_pa: int, nl_kpa: int) -> int:
    """What a rise presses into the line, nL: C·Δp, without an intermediate beyond small ints."""
    return max(0, rise_pa) // 10 * nl_kpa // 100
