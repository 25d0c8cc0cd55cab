"""Air that stands in the sensor's window while the motor turns and nothing flows.

Where the line's end hangs so low that the clamp holds the plunger back, and the pressure rises
then, the motor takes up the drive's play: for some tenths of a millimetre of travel nothing flows,
and a speck that the window holds just then stays there. The pump knows what it pushed; that it did
not flow no sensor of it tells.
"""

from micropump_host.bench.plant import Plant
from micropump_host.bench.surroundings import Bubbles

# Less of the window is liquid with a speck in it.
IN_WINDOW = 0.5
# Of what was pushed, less than so much has flowed where something stood.
STOOD = 0.5


class Standing:
    """What was pushed and what flowed since the air in the window came there."""

    def __init__(self) -> None:
        self._pushed_ul = 0.0
        self._flowed_ul = 0.0
        self._steps = 0
        self._outflow_ul = 0.0

    def look(self, plant: Plant, bubbles: Bubbles, steps: int) -> None:
        """Take a sample: the plant, the air in its line, the motor's steps."""
        outflow_ul = plant.outflow_ul
        if bubbles.air_fraction(outflow_ul) < IN_WINDOW:
            self._steps = steps
            self._outflow_ul = outflow_ul
        self._pushed_ul = (steps - self._steps) * plant.microstep_ul
        self._flowed_ul = outflow_ul - self._outflow_ul

    def explains(self, limit_ul: float) -> bool:
        """Whether so much was pushed with air in the window all the while, and did not flow, µL."""
        return self._pushed_ul >= limit_ul and self._flowed_ul < STOOD * self._pushed_ul
