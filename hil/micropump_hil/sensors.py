"""What a bench's sensors are told to measure, and how they break; in virtual time, their counts.

They are told values in the units of ``micropump.sensing`` and turn them into raw counts. All of
them have some noise, the same in every run: a sensor that gave the same count for ever would be a
broken one.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from micropump.sensing import ENCODER, SENSOR_NAMES
from micropump_host.errors import MicropumpError

Row = tuple[Any, ...]

# Fields of a row of SENSORS (docs/sensors.md).
SENSOR, ZERO_RAW, NUM, DEN = 0, 1, 2, 3
KIND, GPIO, AUX, ACTIVE_LEVEL, EVERY_MS = 10, 11, 12, 13, 14
# Of those, how many are the core's.
SPEC_FIELDS = 10
RAW_COUNTS = 65536
BRIDGE_GREATEST = (1 << 23) - 1
BRIDGE_LEAST = -(1 << 23)
ANGLE_COUNTS = 4096
_NS_PER_MS = 1_000_000
# The amplitude of the noise, in raw counts: of a mean of eight conversions; some 16 bits of 24.
_ANALOG_NOISE = 16
_BRIDGE_NOISE = 100
# Of a noisy sensor, and by how much one has drifted.
LOUD = 1 << 13
BRIDGE_LOUD = 1 << 20
# For so long a noisy sensor's contact is as it is.
_LOOSE_NS = 50_000_000

# The value of each sensor as it is at first: a pump that has nothing to complain of.
AT_REST: Mapping[str, float] = {
    "barrel": 20_000,
    "plunger": 50_000,
    "battery": 12_000,
    "rail": 12_000,
    "temperature": 250,
}
# In which ways each kind breaks.
FAULTS: Mapping[str, tuple[str, ...]] = {
    "analog": ("open", "shorted", "stuck", "noisy", "drifting", "unplugged"),
    "digital": ("open", "shorted", "stuck", "unplugged"),
    "hx711": ("open", "shorted", "stuck", "noisy", "drifting", "silent", "unplugged"),
    "as5600": ("none", "weak", "strong", "stuck", "silent", "unplugged"),
    "abp2": ("damaged", "stuck", "noisy", "drifting", "silent", "unplugged"),
}


class SensorError(MicropumpError):
    """There is no such sensor on the board, or it cannot break in that way."""


class Noise:
    """The same numbers in every run, evenly spread over −1 to 1."""

    def __init__(self, seed: int) -> None:
        self._state = seed * 2654435761 + 1

    def __call__(self) -> float:
        """The next number (a linear congruential generator: Knuth, MMIX)."""
        self._state = (self._state * 6364136223846793005 + 1442695040888963407) & (1 << 64) - 1
        return (self._state >> 32) / (1 << 31) - 1


class Measuring(ABC):
    """One sensor, as far as it does not matter what it is connected to.

    Args:
        row: of the board's ``SENSORS``.

    Attributes:
        name: of ``micropump.sensing.SENSOR_NAMES``.
        value: what is measured, in the unit of the sensor (docs/sensors.md); a number, or a
            function of the bench's time in ns.
        fault: how it is broken, of ``faults``; "" for whole.
        faults: in which ways this kind breaks.

    """

    def __init__(self, row: Row) -> None:
        self.row = row
        self.name = SENSOR_NAMES[row[SENSOR]]
        self.faults = FAULTS[row[KIND]]
        self.value: float | Callable[[int], float] = AT_REST.get(self.name, 0)
        self.fault = ""
        self._noise = Noise(row[SENSOR])
        self._stuck_raw: float | None = None
        self._loose_ns = -_LOOSE_NS
        self._loose = 0.0

    def set(self, value: float | Callable[[int], float]) -> None:
        """Let it measure ``value`` from now on."""
        self.value = value
        self._fault_changed()

    def break_it(self, fault: str) -> None:
        """Break it in one way, mended of any other; SensorError if it cannot break so."""
        if fault not in self.faults:
            raise SensorError(
                f"{self.name} cannot be {fault!r}", "", f"It can be {', '.join(self.faults)}."
            )
        self.mend()
        self.fault = fault
        self._fault_changed()

    def mend(self) -> None:
        """Make it whole."""
        self.fault = ""
        self._stuck_raw = None
        self._fault_changed()

    def raw(self, now_ns: int) -> float:
        """The raw counts that it stands for, drift included, noise not."""
        value = self.value(now_ns) if callable(self.value) else self.value
        return float(self.row[ZERO_RAW] + value * self.row[DEN] / self.row[NUM])

    @abstractmethod
    def _fault_changed(self) -> None:
        """Do at once what the fault does, where nobody asks."""

    def _measured(self, now_ns: int, noise: float, loud: float, drift: float) -> float:
        """The raw counts with noise, and with the faults that all analog sensors have."""
        if self._stuck_raw is None:
            raw = self.raw(now_ns) + noise * self._noise()
            if self.fault == "noisy":
                raw += loud * self._contact(now_ns)
            elif self.fault == "drifting":
                raw += drift
            elif self.fault == "stuck":
                self._stuck_raw = raw
            return raw
        return self._stuck_raw

    def _contact(self, now_ns: int) -> float:
        """Noise that a mean of conversions does not take away: a contact that works loose."""
        if now_ns - self._loose_ns >= _LOOSE_NS:
            self._loose_ns = now_ns
            self._loose = self._noise()
        return self._loose


class Counting(Measuring):
    """A sensor in virtual time: what a board's adapter would put of it."""

    def __init__(self, row: Row) -> None:
        super().__init__(row)
        self._kind = row[KIND]

    def _fault_changed(self) -> None:
        """Nothing: the next sample sees it."""

    def is_read(self) -> bool:
        """Whether there is a count: chips that do not answer, or have no magnet, give none."""
        if self._kind == "as5600":
            return self.fault in ("", "stuck")
        if self._kind in ("digital", "analog"):
            return True
        return self.fault not in ("silent", "damaged", "unplugged")

    def counts(self, now_ns: int) -> int:
        """Raw counts of a sensor that is read."""
        if self._kind == "digital":
            return self._level()
        if self._kind == "as5600":
            return round(self._measured(now_ns, 0, 0, 0)) % ANGLE_COUNTS
        is_bridge = self._kind == "hx711"
        least, greatest = (BRIDGE_LEAST, BRIDGE_GREATEST) if is_bridge else (0, RAW_COUNTS - 1)
        if self.fault in ("open", "unplugged"):
            return least
        if self.fault == "shorted":
            return greatest
        noise, loud = (_BRIDGE_NOISE, BRIDGE_LOUD) if is_bridge else (_ANALOG_NOISE, LOUD)
        return min(greatest, max(least, round(self._measured(now_ns, noise, loud, loud))))

    def _level(self) -> int:
        """What a digital adapter puts: a broken wire is what it is there to notice."""
        if self.fault in ("open", "unplugged"):
            return 1
        if self.fault == "shorted":
            return 0 if self.row[ACTIVE_LEVEL] else 1
        if self.fault == "stuck":
            if self._stuck_raw is None:
                self._stuck_raw = float(bool(self.value))
            return int(self._stuck_raw)
        return int(bool(self.value))


class SensorsInCounts:
    """All sensors of a board in virtual time, each read as often as its row says.

    Args:
        rows: ``SENSORS`` of the board's module.
        turns: gives the position of the shaft that the encoder is on, revolutions.

    """

    def __init__(self, rows: Sequence[Row], turns: Callable[[], float]) -> None:
        self.by_name: dict[str, Counting] = {}
        for row in rows:
            sensor = Counting(row)
            self.by_name[sensor.name] = sensor
            if row[SENSOR] == ENCODER:
                sensor.value = lambda _: turns() * ANGLE_COUNTS
        self._due_ms = dict.fromkeys(self.by_name, 0)
        self._raw = [0] * len(SENSOR_NAMES)

    def __getitem__(self, name: str) -> Counting:
        """A sensor by its name; SensorError if the board has none of that name."""
        if name not in self.by_name:
            raise SensorError(
                f"the board has no sensor {name!r}", "", f"It has {', '.join(self.by_name)}."
            )
        return self.by_name[name]

    def read(self, now_ms: int) -> tuple[int, int, list[int]]:
        """Those that are due: bits of fresh ones, bits of those that failed, counts by number."""
        fresh = failed = 0
        for name, sensor in self.by_name.items():
            if now_ms < self._due_ms[name]:
                continue
            self._due_ms[name] = now_ms + sensor.row[EVERY_MS]
            number = sensor.row[SENSOR]
            if sensor.is_read():
                self._raw[number] = sensor.counts(now_ms * _NS_PER_MS)
                fresh |= 1 << number
            else:
                failed |= 1 << number
        return fresh, failed, self._raw
