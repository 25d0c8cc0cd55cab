"""From raw counts to physical units, and which sensors cannot be believed.

Adapters put raw counts into ``Readings``; ``Sensing.look`` judges every new sample by its sensor's
spec, a plain tuple from the board's data (docs/sensors.md has the format and what each fault looks
like), and scales what is plausible. A sample that is not plausible never becomes a value, so a
detector sees no glitch beyond a sensor's range. What the values mean is for the detectors.

Whatever ``look`` computes stays below 2**30, and it allocates nothing.
"""

from array import array

from .units import SMALL_INT_LIMIT, elapsed_ms

PRESSURE = 0
FORCE = 1
UPSTREAM = 2
AIR = 3
BARREL = 4
PLUNGER = 5
ENCODER = 6
BATTERY = 7
RAIL = 8
TEMPERATURE = 9
DOOR = 10
END_STOP = 11
SENSORS = 12

SENSOR_NAMES = (
    "pressure", "force", "upstream", "air", "barrel", "plunger", "encoder", "battery", "rail",
    "temperature", "door", "end_stop",
)  # fmt: skip

OPEN = 1
SHORTED = 2
STUCK = 3
NOISY = 4
SILENT = 5
DRIFTED = 6
FAILED = 7

# By kind of fault; 0 is none.
FAULT_NAMES = ("", "open", "shorted", "stuck", "noisy", "silent", "drifted", "failed")

# Two glitches are not yet a fault, and a fault has to be gone for a while to be over.
BAD_SAMPLES = 3
GOOD_SAMPLES = 10
# Noise is judged by so many differences from sample to sample, and by so many swings each way in
# them: a step makes one swing, a glitch one each way, a valve that opens several, but one way.
NOISE_WINDOW = 16
NOISE_SWINGS = 3
# A zero is the mean of so many samples at rest.
REST_SAMPLES = 8

_WINDOW_MASK = (1 << NOISE_WINDOW) - 1
_SAMPLES_MASK = 0xFFFF

# Places in a spec.
_SENSOR = 0
_ZERO = 1
_NUM = 2
_DEN = 3
_LEAST = 4
_GREATEST = 5
_AGE_MS = 6
_STUCK = 7
_NOISE = 8
_DRIFT = 9


# Whose values are the median of their last three samples, so that one false one does not show. They
# are put more often than looked at, where their adapter can: then it costs less than a look.
_MEDIAN = 1 << PRESSURE | 1 << FORCE | 1 << UPSTREAM
# In place of samples that were not put yet; below every count.
_NOTHING = -(1 << 29)


class Readings:
    """Where adapters put what they read; raw counts, and nothing of what they mean.

    Attributes:
        raw: the last raw value of each sensor, by its number.
        samples: how often each was put or failed, modulo 2**16.
        failed: a bit for each sensor whose last reading failed.
        asked_ms: at which core time the last raw value of each was asked for; -1 where it is of the
            moment in which it was put.

    """

    def __init__(self) -> None:
        self.raw = [0] * SENSORS
        self.samples = [0] * SENSORS
        self.asked_ms = [-1] * SENSORS
        self.failed = 0
        # In whatever order: of the three at three times its number.
        self._three = [_NOTHING] * (3 * SENSORS)

    def put(self, sensor: int, raw: int) -> None:
        """One more sample of a sensor."""
        if _MEDIAN >> sensor & 1:
            self._three[3 * sensor + self.samples[sensor] % 3] = raw
        self.raw[sensor] = raw
        self.failed &= ~(1 << sensor)
        self.samples[sensor] = (self.samples[sensor] + 1) & _SAMPLES_MASK

    def put_asked(self, sensor: int, raw: int, asked_ms: int) -> None:
        """One more sample of a sensor that was asked, at a core time, and has answered since."""
        self.asked_ms[sensor] = asked_ms
        self.put(sensor, raw)

    def fail(self, sensor: int) -> None:
        """The sensor was to be read and could not."""
        self.failed |= 1 << sensor
        self.samples[sensor] = (self.samples[sensor] + 1) & _SAMPLES_MASK

    def middle(self, sensor: int) -> int:
        """The median of the last three that were put; of two the lesser, of one below any count."""
        at = 3 * sensor
        first, second, third = self._three[at], self._three[at + 1], self._three[at + 2]
        return max(min(first, second), min(max(first, second), third))


def scaled(delta_raw: int, num: int, den: int) -> int:
    """``⌊delta_raw · num / den⌋`` exactly, without the whole product as an intermediate."""
    whole = delta_raw // den
    return whole * num + (delta_raw - whole * den) * num // den


def check(spec) -> None:
    """Raise ``ValueError`` for a spec by which ``look`` could leave the small integers.

    Also for one that makes no sense: no such sensor, a range without anything in it, no age.
    """
    sensor, zero_raw, num, den, least, greatest, age_ms, stuck, noise_raw, drift_raw = spec[:10]
    if not 0 <= sensor < SENSORS:
        raise ValueError("there is no such sensor")
    name = SENSOR_NAMES[sensor]
    if den < 1 or num == 0 or least > greatest:
        raise ValueError(name + ": scale or range is empty")
    if age_ms < 1 or min(stuck, noise_raw, drift_raw) < 0:
        raise ValueError(name + ": ages and limits are not negative, and age is not 0")
    sums = [abs(least) * REST_SAMPLES, abs(greatest) * REST_SAMPLES, 2 * (greatest - least)]
    for delta in (least - zero_raw - drift_raw, greatest - zero_raw + drift_raw):
        sums.append(abs(delta) + den)
        sums.append(abs(delta // den * num) + den * abs(num))
    if max(sums + [age_ms, stuck, noise_raw]) >= SMALL_INT_LIMIT:
        raise ValueError(name + ": the scale leaves the small integers")


class Sensing:
    """The sensors of a board: their values, and their faults.

    Args:
        specs: one for each sensor that is fitted; the first ten fields are read (docs/sensors.md).

    Attributes:
        fitted: a bit for each sensor that has a spec.
        faults: a bit for each sensor that has a fault.
        is_new: a bit for each sensor of which the last ``look`` saw a new and plausible sample.
        value: the last plausible value of each sensor, in its unit (docs/sensors.md).

    Raises:
        ValueError: for a spec that ``check`` refuses, or two of one sensor.

    """

    def __init__(self, specs: tuple) -> None:
        self.fitted = self.faults = self.is_new = 0
        self.value = [0] * SENSORS
        # As arrays: a frozen tuple's larger integers are objects, and so is all that comes of them.
        self._specs = [array("i", spec[: _DRIFT + 1]) for spec in specs]
        self._begun = False
        self._has_raw = 0
        self._zero = [0] * SENSORS
        self._kind = [0] * SENSORS
        self._samples = [0] * SENSORS
        self._since_ms = [0] * SENSORS
        self._raw = [0] * SENSORS
        self._bad = [0] * SENSORS
        self._good = [0] * SENSORS
        self._same = [0] * SENSORS
        # The last differences as bits: above half of what noise may be, upwards and downwards.
        self._rises = [0] * SENSORS
        self._falls = [0] * SENSORS
        self._resting = [0] * SENSORS
        self._rest_sum = [0] * SENSORS
        self._rest_least = [0] * SENSORS
        self._rest_greatest = [0] * SENSORS
        self._is_settled = 0
        self._settled = [0] * SENSORS
        for spec in self._specs:
            check(spec)
            bit = 1 << spec[_SENSOR]
            if self.fitted & bit:
                raise ValueError("two specs for " + SENSOR_NAMES[spec[_SENSOR]])
            self.fitted |= bit
            self._zero[spec[_SENSOR]] = spec[_ZERO]

    def look(self, now_ms: int, readings: Readings, flowing: bool) -> None:
        """Judge and scale what has come since the last look. Allocates nothing.

        Args:
            now_ms: core time, ms.
            readings: what the adapters put.
            flowing: whether the motor turns, so that what must move moves.

        """
        self.is_new = 0
        for at in range(len(self._specs)):
            spec = self._specs[at]
            sensor = spec[_SENSOR]
            if readings.samples[sensor] != self._samples[sensor]:
                self._samples[sensor] = readings.samples[sensor]
                self._since_ms[sensor] = now_ms
                if readings.failed & 1 << sensor:
                    self._bad_sample(sensor, FAILED)
                else:
                    raw = readings.raw[sensor]
                    middle = readings.middle(sensor) if _MEDIAN >> sensor & 1 else raw
                    self._sample(spec, raw, middle, flowing)
            elif not self._begun:
                self._since_ms[sensor] = now_ms
            elif elapsed_ms(now_ms, self._since_ms[sensor]) >= spec[_AGE_MS]:
                self._fault(sensor, SILENT)
        self._begun = True

    def fault_kind(self, sensor: int) -> int:
        """The fault that a sensor has, the first one found until it is over; 0 for none."""
        return self._kind[sensor]

    def zero(self, sensor: int) -> bool:
        """Take what a sensor reads at rest as its zero; to be called before a start, nothing held.

        What is taken is the mean of the last ``REST_SAMPLES`` or more at rest. Further than
        ``drift_raw`` from the board's zero it is not taken, and the sensor has drifted: that bound
        is always counted from the board's zero, so that tares do not creep.

        Returns:
            Whether it was taken. Not without a bound, with a fault, or before it is at rest.

        """
        for spec in self._specs:
            if spec[_SENSOR] == sensor:
                return self._tare(spec)
        return False

    def _tare(self, spec) -> bool:
        sensor = spec[_SENSOR]
        bit = 1 << sensor
        if not spec[_DRIFT] or self.faults & bit or not self._is_settled & bit:
            return False
        if abs(self._settled[sensor] - spec[_ZERO]) > spec[_DRIFT]:
            self._fault(sensor, DRIFTED)
            return False
        self._zero[sensor] = self._settled[sensor]
        return True

    def _fault(self, sensor: int, kind: int) -> None:
        self._good[sensor] = 0
        if not self._kind[sensor]:
            self._kind[sensor] = kind
            self.faults |= 1 << sensor

    def _bad_sample(self, sensor: int, kind: int) -> None:
        self._good[sensor] = 0
        self._bad[sensor] = min(self._bad[sensor] + 1, BAD_SAMPLES)
        if self._bad[sensor] == BAD_SAMPLES:
            self._fault(sensor, kind)

    def _sample(self, spec, raw: int, middle: int, flowing: bool) -> None:
        """Judge a sensor by its sample as it is; its value is that of ``middle``."""
        sensor = spec[_SENSOR]
        if raw < spec[_LEAST]:
            self._bad_sample(sensor, OPEN)
            return
        if raw > spec[_GREATEST]:
            self._bad_sample(sensor, SHORTED)
            return
        self._bad[sensor] = 0
        self._follow(spec, raw, flowing)
        self._rest(spec, raw, flowing)
        if not spec[_LEAST] <= middle <= spec[_GREATEST]:
            middle = raw
        self.value[sensor] = scaled(middle - self._zero[sensor], spec[_NUM], spec[_DEN])
        self.is_new |= 1 << sensor
        if spec[_STUCK] and self._same[sensor] >= spec[_STUCK]:
            self._fault(sensor, STUCK)
        elif spec[_NOISE] and self._is_noisy(sensor):
            self._fault(sensor, NOISY)
        elif self._kind[sensor]:
            self._recover(spec, raw, flowing)

    def _follow(self, spec, raw: int, flowing: bool) -> None:
        """Compare a sample with the one before it."""
        sensor = spec[_SENSOR]
        step = 0
        if self._has_raw & 1 << sensor:
            step = raw - self._raw[sensor]
        self._has_raw |= 1 << sensor
        self._raw[sensor] = raw
        if step or not self._same[sensor]:
            self._same[sensor] = 1
        elif flowing and self._same[sensor] < spec[_STUCK]:
            self._same[sensor] += 1
        rise = 1 if 2 * step > spec[_NOISE] else 0
        fall = 1 if -2 * step > spec[_NOISE] else 0
        self._rises[sensor] = (self._rises[sensor] << 1 | rise) & _WINDOW_MASK
        self._falls[sensor] = (self._falls[sensor] << 1 | fall) & _WINDOW_MASK

    def _is_noisy(self, sensor: int) -> bool:
        return (
            _ones(self._rises[sensor]) >= NOISE_SWINGS
            and _ones(self._falls[sensor]) >= NOISE_SWINGS
        )

    def _rest(self, spec, raw: int, flowing: bool) -> None:
        """Gather samples at rest for a zero; those of a block that moved are none."""
        sensor = spec[_SENSOR]
        if flowing:
            self._resting[sensor] = 0
            self._is_settled &= ~(1 << sensor)
            return
        if not self._resting[sensor]:
            self._rest_sum[sensor] = 0
            self._rest_least[sensor] = self._rest_greatest[sensor] = raw
        self._resting[sensor] += 1
        self._rest_sum[sensor] += raw
        self._rest_least[sensor] = min(self._rest_least[sensor], raw)
        self._rest_greatest[sensor] = max(self._rest_greatest[sensor], raw)
        if self._resting[sensor] < REST_SAMPLES:
            return
        self._resting[sensor] = 0
        if spec[_NOISE] and self._rest_greatest[sensor] - self._rest_least[sensor] > spec[_NOISE]:
            self._is_settled &= ~(1 << sensor)
            return
        self._settled[sensor] = self._rest_sum[sensor] // REST_SAMPLES
        self._is_settled |= 1 << sensor

    def _recover(self, spec, raw: int, flowing: bool) -> None:
        """A good sample of a sensor that has a fault; a drift is judged at rest alone."""
        sensor = spec[_SENSOR]
        if self._kind[sensor] == DRIFTED and (flowing or abs(raw - spec[_ZERO]) > spec[_DRIFT]):
            self._good[sensor] = 0
            return
        self._good[sensor] += 1
        if self._good[sensor] >= GOOD_SAMPLES:
            self._kind[sensor] = 0
            self.faults &= ~(1 << sensor)


def _ones(bits: int) -> int:
    count = 0
    while bits:
        bits &= bits - 1
        count += 1
    return count
