"""Samples of a bench, put as a board's adapters put them."""

from micropump.sensing import PRESSURE, SENSORS, UPSTREAM

# A board puts a pressure five times for each look, so that the median of three is of the moment.
_OFTEN = 1 << PRESSURE | 1 << UPSTREAM
_TIMES = 3


def put_samples(readings, fresh: int, failed: int, raw) -> None:
    """Put samples into a ``micropump.sensing.Readings``.

    Args:
        readings: where.
        fresh: a bit for each sensor that was read.
        failed: a bit for each that was to be read and could not.
        raw: counts by number.

    """
    for sensor in range(SENSORS):
        if fresh >> sensor & 1:
            for _ in range(_TIMES if _OFTEN >> sensor & 1 else 1):
                readings.put(sensor, raw[sensor])
        elif failed >> sensor & 1:
            readings.fail(sensor)
