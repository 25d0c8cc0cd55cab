"""Whether the air sensor has shown since the start that it can say "air".

A sensor that says "liquid" for ever looks like a line that is well. No board here has a pin that
switches its light off; so the line is empty, or not yet in place, at some time before a start.
"""

from micropump.sensing import AIR, scaled

# Half way between liquid and air.
AIR_PERMILLE = 500


class AirTest:
    """The self test; done at once where no air sensor is fitted.

    Args:
        rows: ``SENSORS`` of the board's module.
        readings: a ``micropump.sensing.Readings``.

    Attributes:
        is_done: whether air has been read.

    """

    def __init__(self, rows, readings) -> None:
        self._readings = readings
        self._row = None
        for row in rows:
            if row[0] == AIR:
                self._row = row
        self.is_done = self._row is None

    def look(self) -> None:
        """Take note of the last sample; allocates nothing."""
        readings = self._readings
        if self.is_done or not readings.samples[AIR] or readings.failed >> AIR & 1:
            return
        row = self._row
        raw = readings.raw[AIR]
        if row[4] <= raw <= row[5]:
            self.is_done = scaled(raw - row[1], row[2], row[3]) >= AIR_PERMILLE
