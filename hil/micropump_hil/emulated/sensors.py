"""The sensors that a board's ``SENSORS`` names, on the pins; each may be set, and broken.

They are told values in the units of ``micropump.sensing`` and turn them into what an adapter would
meet: volts, levels, bits. All of them have some noise, the same in every run: a sensor that gave
the same count for ever would be a broken one.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from micropump.sensing import ENCODER
from micropump_hil.emulated.adc import COUNTS, REFERENCE_V
from micropump_hil.emulated.hx711 import GREATEST, LEAST, Hx711
from micropump_hil.emulated.i2c import (
    ABP2_ADDRESS,
    AS5600_ADDRESS,
    AS5600_COUNTS,
    Abp2,
    As5600,
    I2cBus,
)
from micropump_hil.sensors import (
    ACTIVE_LEVEL,
    AUX,
    BRIDGE_LOUD,
    GPIO,
    KIND,
    LOUD,
    RAW_COUNTS,
    Measuring,
    Row,
    SensorError,
)

if TYPE_CHECKING:
    from micropump_hil.emulated.pico import EmulatedPico

# I2C0 and I2C1 take turns on the GPIOs, two by two (RP2040 datasheet, 1.4.3).
_GPIOS_PER_I2C = 2
_I2CS = 2
_RAW_PER_COUNT = RAW_COUNTS // COUNTS
_FIRST_ADC_GPIO = 26
# The amplitude of the noise, in raw counts: four steps of the converter; some 16 bits of 24.
_ANALOG_NOISE = 4 * _RAW_PER_COUNT
_BRIDGE_NOISE = 100


class Sensor(Measuring):
    """One sensor on the pins."""

    @abstractmethod
    def attach(self, pico: "EmulatedPico") -> None:
        """Connect to the pins."""


class AnalogSensor(Sensor):
    """A voltage on a channel of the ADC; a broken or missing wire gives 0 V."""

    def attach(self, pico: "EmulatedPico") -> None:
        """Connect to the ADC."""
        gpio = self.row[GPIO]
        pico.adc.connect(self.row[AUX] if gpio < 0 else gpio - _FIRST_ADC_GPIO, self._volts)

    def _fault_changed(self) -> None:
        """Nothing: the next conversion sees it."""

    def _volts(self, now_ns: int) -> float:
        if self.fault in ("open", "unplugged"):
            return 0.0
        if self.fault == "shorted":
            return REFERENCE_V
        raw = self._measured(now_ns, _ANALOG_NOISE, LOUD, LOUD)
        return (raw + _RAW_PER_COUNT / 2) / RAW_COUNTS * REFERENCE_V


class DigitalSensor(Sensor):
    """An output that is one of two levels; ``value`` other than 0 is what it is there to notice."""

    def attach(self, pico: "EmulatedPico") -> None:
        """Connect to the pin."""
        self._pins = pico.pins
        self._fault_changed()

    def _fault_changed(self) -> None:
        gpio = self.row[GPIO]
        if self.fault in ("open", "unplugged"):
            self._pins.release(gpio)
        elif self.fault == "shorted":
            self._pins.set(gpio, 0)
        elif not self.fault:
            self._pins.set(gpio, bool(self.value) == bool(self.row[ACTIVE_LEVEL]))


class BridgeSensor(Sensor):
    """A load cell behind an HX711; a broken bridge takes it to an end of its range.

    Attributes:
        chip: the amplifier.

    """

    def __init__(self, row: Row) -> None:
        super().__init__(row)
        self.chip = Hx711(row[GPIO], row[AUX], self._counts)

    def attach(self, pico: "EmulatedPico") -> None:
        """Connect to the pins."""
        self.chip.attach(pico)

    def _fault_changed(self) -> None:
        self.chip.silent = self.fault in ("silent", "unplugged")

    def _counts(self, now_ns: int) -> int:
        if self.fault == "open":
            return LEAST
        if self.fault == "shorted":
            return GREATEST
        raw = self._measured(now_ns, _BRIDGE_NOISE, BRIDGE_LOUD, BRIDGE_LOUD)
        return min(GREATEST, max(LEAST, round(raw)))


class EncoderSensor(Sensor):
    """An AS5600; ``value`` is the way turned, in 1/4096 of a revolution.

    Attributes:
        chip: the encoder.

    """

    def __init__(self, row: Row, now_ns: Callable[[], int]) -> None:
        super().__init__(row)
        self.chip = As5600(lambda: self.raw(now_ns()) / AS5600_COUNTS)

    def attach(self, pico: "EmulatedPico") -> None:
        """Nothing: it is on a bus."""

    def _fault_changed(self) -> None:
        self.chip.silent = self.fault in ("silent", "unplugged")
        self.chip.stuck = self.fault == "stuck"
        self.chip.magnet = self.fault if self.fault in ("none", "weak", "strong") else "well"


class BusPressureSensor(Sensor):
    """An ABP2.

    Attributes:
        chip: the sensor.

    """

    def __init__(self, row: Row, now_ns: Callable[[], int]) -> None:
        super().__init__(row)
        self.chip = Abp2(self._counts, now_ns)

    def attach(self, pico: "EmulatedPico") -> None:
        """Nothing: it is on a bus."""

    def _fault_changed(self) -> None:
        self.chip.silent = self.fault in ("silent", "unplugged")
        self.chip.damaged = self.fault == "damaged"

    def _counts(self, now_ns: int) -> int:
        raw = self._measured(now_ns, _RAW_PER_COUNT, LOUD, LOUD)
        return min(RAW_COUNTS - 1, max(0, round(raw)))


class SensorsOnPins:
    """All sensors of a board.

    Args:
        rows: ``SENSORS`` of the board's module.
        turns: gives the position of the shaft that the encoder is on, revolutions.

    Attributes:
        by_name: the sensors, by their names.
        buses: I2C buses, by the number of their block.

    """

    def __init__(self, rows: Sequence[Row], turns: Callable[[], float]) -> None:
        self._pico: EmulatedPico | None = None
        self.by_name: dict[str, Sensor] = {}
        self.buses: dict[int, I2cBus] = {}
        for row in rows:
            sensor = self._sensor(row)
            self.by_name[sensor.name] = sensor
            if row[0] == ENCODER:
                sensor.value = lambda _: turns() * AS5600_COUNTS

    def attach(self, pico: "EmulatedPico") -> None:
        """Connect everything."""
        self._pico = pico
        for sensor in self.by_name.values():
            sensor.attach(pico)
        for bus in self.buses.values():
            bus.attach(pico)

    def fit(self, row: Row) -> None:
        """Connect one more analog sensor, in place of what has its pin."""
        for name, other in list(self.by_name.items()):
            if other.row[GPIO] == row[GPIO]:
                del self.by_name[name]
        sensor = AnalogSensor(row)
        self.by_name[sensor.name] = sensor
        if self._pico:
            sensor.attach(self._pico)

    def __getitem__(self, name: str) -> Sensor:
        """A sensor by its name; SensorError if the board has none of that name."""
        try:
            return self.by_name[name]
        except KeyError:
            raise SensorError(
                f"the board has no sensor {name!r}", "", f"It has {', '.join(self.by_name)}."
            ) from None

    def _now_ns(self) -> int:
        return self._pico.now_ns if self._pico else 0

    def _sensor(self, row: Row) -> Sensor:
        kind = row[KIND]
        if kind == "analog":
            return AnalogSensor(row)
        if kind == "digital":
            return DigitalSensor(row)
        if kind == "hx711":
            return BridgeSensor(row)
        number = row[GPIO] // _GPIOS_PER_I2C % _I2CS
        bus = self.buses.setdefault(number, I2cBus(number, {}))
        if kind == "as5600":
            encoder = EncoderSensor(row, self._now_ns)
            bus.devices[AS5600_ADDRESS] = encoder.chip
            return encoder
        if kind == "abp2":
            pressure = BusPressureSensor(row, self._now_ns)
            bus.devices[ABP2_ADDRESS] = pressure.chip
            return pressure
        raise SensorError(f"there is no model of a sensor of kind {kind!r}", "", "See sensors.py.")
