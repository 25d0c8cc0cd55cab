"""Sensors as a board reads them: raw counts of what stands before them, with all their errors.

A sensor is given a function that says what there is, in the unit of its scale. Each has a stream of
randomness of its own, from which every sample draws once, whole or faulty: what is wrong with one
sensor changes nothing about the others, nor about itself once it is mended.
"""

import math
import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from micropump import sensing
from micropump_host.bench.plant import SECONDS_PER_HOUR
from micropump_host.bench.surroundings import Surroundings

ADC_GREATEST = 65535
HX711_GREATEST = (1 << 23) - 1
TURN = 4096
REFERENCE_C = 20.0


class Fault(Enum):
    """What a sensor can have."""

    OPEN = "open"
    SHORTED = "shorted"
    STUCK = "stuck"
    DRIFTING = "drifting"
    NOISY = "noisy"
    UNPLUGGED = "unplugged"
    SILENT = "silent"


@dataclass(frozen=True)
class Errors:
    """What stands between a quantity and its counts.

    Attributes:
        zero_raw: counts at zero, of the sensor as it is meant to be.
        raw_per_unit: counts for each unit of the quantity; may be negative.
        offset_raw: what this one reads too much.
        noise_raw: standard deviation of the white noise of a sample.
        drift_raw_per_h: of the zero, with time.
        drift_raw_per_k: of the zero, with the pump's temperature, from 20 °C.

    """

    zero_raw: float
    raw_per_unit: float
    offset_raw: float = 0.0
    noise_raw: float = 0.0
    drift_raw_per_h: float = 0.0
    drift_raw_per_k: float = 0.0


class Sensor(ABC):
    """A sensor that is fitted.

    Args:
        number: its number in the core (``micropump.sensing``).
        around: what stands around it.
        seed: of the bench.

    Attributes:
        fault: what it has, or None.

    """

    # What a wire that is broken or shorted reads: the inputs are held low.
    open_raw = 0
    shorted_raw = ADC_GREATEST

    def __init__(self, number: int, around: Surroundings, seed: int) -> None:
        self.number = number
        self.fault: Fault | None = None
        self._around = around
        self._random = random.Random(f"{seed}/sensor/{sensing.SENSOR_NAMES[number]}")
        self._faulty = random.Random(f"{seed}/sensor/{sensing.SENSOR_NAMES[number]}/fault")
        self._extent = 0.0
        self._since_s = 0.0
        self._last = 0

    @abstractmethod
    def whole(self) -> float:
        """Counts of the sensor as it is when whole, not yet limited or rounded."""

    @property
    def unplugged_raw(self) -> int | None:
        """Counts with its plug pulled, or None where the adapter notices that."""
        return self.open_raw

    def limited(self, raw: float) -> int:
        """Round counts, and limit them to what the converter has."""
        return min(max(round(raw), self.open_raw), self.shorted_raw)

    def read(self) -> int:
        """Counts of the sensor while it has no fault."""
        raw = self._last = self.limited(self.whole())
        return raw

    def harm(self, fault: Fault | None, extent: float = 0.0) -> None:
        """Give it a fault from now on, or mend it.

        Args:
            fault: what, or None to mend it.
            extent: of a drift, raw per minute; of noise, raw standard deviation.

        """
        self.fault = fault
        self._extent = extent
        self._since_s = self._around.now_s

    def read_faulty(self) -> int | None:
        """Counts of the sensor while it has a fault; None for a sample that cannot be had."""
        raw = self.whole()
        match self.fault:
            case Fault.OPEN:
                return self.open_raw
            case Fault.SHORTED:
                return self.shorted_raw
            case Fault.STUCK:
                return self._last
            case Fault.UNPLUGGED:
                return self.unplugged_raw
            case Fault.DRIFTING:
                raw += self._extent * (self._around.now_s - self._since_s) / 60.0
            case Fault.NOISY:
                raw += self._faulty.gauss(0.0, self._extent)
            case _:
                return None
        return self.limited(raw)


class AnalogSensor(Sensor):
    """A quantity on an input of the ADC, in 16 bits.

    Ratiometric sensors, whose supply is the converter's reference, and others are alike here.

    Args:
        number, around, seed: see ``Sensor``.
        errors: scale and errors.
        see: says what there is, in the unit of the scale.

    """

    def __init__(
        self,
        number: int,
        around: Surroundings,
        seed: int,
        errors: Errors,
        see: Callable[[], float],
    ) -> None:
        super().__init__(number, around, seed)
        self._zero_raw = errors.zero_raw + errors.offset_raw
        self._raw_per_unit = errors.raw_per_unit
        self._noise_raw = errors.noise_raw
        self._drift_raw_per_s = errors.drift_raw_per_h / SECONDS_PER_HOUR
        self._drift_raw_per_k = errors.drift_raw_per_k
        self._see = see
        self._gauss = self._random.gauss

    def whole(self) -> float:
        """Zero, drifts, scale and noise together."""
        around = self._around
        return (
            self._zero_raw
            + self._see() * self._raw_per_unit
            + self._drift_raw_per_s * around.now_s
            + self._drift_raw_per_k * (around.climate.inside_c - REFERENCE_C)
            + self._gauss(0.0, self._noise_raw)
        )


class LoadCell(AnalogSensor):
    """A load cell and its HX711, in 24 bits; its metal yields slowly.

    After a load F has come on, the reading goes on rising to F·(1 + creep) with a time constant;
    between two samples the load is taken to be what it is at the second.

    Args:
        number, around, seed, errors, see: see ``AnalogSensor``.
        creep: part of the load by which the reading rises in the end.
        creep_s: time constant, s; above zero.

    """

    open_raw = -HX711_GREATEST - 1
    shorted_raw = HX711_GREATEST

    def __init__(
        self,
        number: int,
        around: Surroundings,
        seed: int,
        errors: Errors,
        see: Callable[[], float],
        creep: float,
        creep_s: float,
    ) -> None:
        super().__init__(number, around, seed, errors, self._creeping)
        self._load = see
        self._creep = creep
        self._creep_s = creep_s
        self._crept_n = 0.0
        self._at_s = 0.0
        self._interval_s = 0.0
        self._decay = 1.0

    @property
    def unplugged_raw(self) -> int | None:
        """The chip is on the board and the cell is not: it is the chip that does not answer."""
        return None

    def _creeping(self) -> float:
        load_n = self._load()
        interval_s = self._around.now_s - self._at_s
        self._at_s = self._around.now_s
        if interval_s != self._interval_s:
            self._interval_s = interval_s
            self._decay = math.exp(-interval_s / self._creep_s)
        target_n = self._creep * load_n
        self._crept_n = target_n + (self._crept_n - target_n) * self._decay
        return load_n + self._crept_n


class AngleSensor(Sensor):
    """An AS5600 at the motor's shaft: 4096ths of a turn, wrong by some counts either way.

    Args:
        number, around, seed: see ``Sensor``; the angle at the start is of the seed.
        steps_per_rev: microsteps in a turn.
        noise_counts: greatest error of a sample; all from minus to plus that are alike likely.

    """

    def __init__(
        self,
        number: int,
        around: Surroundings,
        seed: int,
        steps_per_rev: int,
        noise_counts: int,
    ) -> None:
        super().__init__(number, around, seed)
        self._start = int(self._random.random() * TURN)
        self._steps_per_rev = steps_per_rev
        self._noise_counts = noise_counts

    @property
    def unplugged_raw(self) -> int | None:
        """It does not answer on its bus."""
        return None

    def limited(self, raw: float) -> int:
        """An angle has no limits: it goes round."""
        return round(raw) % TURN

    def whole(self) -> float:
        """The angle."""
        noise = int(self._random.random() * (2 * self._noise_counts + 1)) - self._noise_counts
        # Whole numbers, so that days of turning lose nothing.
        angle = self._around.motor.turned * TURN // self._steps_per_rev
        return self._start + angle + noise

    def read_faulty(self) -> int | None:
        """Broken wires and shorted ones are alike: the bus does not answer."""
        raw = super().read_faulty()
        return None if self.fault in (Fault.OPEN, Fault.SHORTED) else raw


class DigitalSensor(Sensor):
    """A switch, or a sensor with two states; a broken wire reads as 1, what it is there to notice.

    Args:
        number, around, seed: see ``Sensor``.
        see: says whether there is what it is there to notice.

    """

    open_raw = 1
    shorted_raw = 0

    def __init__(
        self, number: int, around: Surroundings, seed: int, see: Callable[[], bool]
    ) -> None:
        super().__init__(number, around, seed)
        self._see = see

    def whole(self) -> float:
        """1 or 0."""
        return 1.0 if self._see() else 0.0

    def limited(self, raw: float) -> int:
        """Half of the swing and above is 1."""
        return 1 if raw >= 0.5 else 0
