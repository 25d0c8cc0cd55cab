"""``[sensors.*]`` of a board's file: from millivolts and data sheets to the core's specs.

docs/sensors.md has the keys, the format that comes out, and the reasons for the figures.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import isqrt
from typing import Any

from micropump import sensing
from micropump.units import SMALL_INT_LIMIT
from micropump_host.image.board import Pin, Sensor
from micropump_host.image.chip import ADC_GPIO
from micropump_host.image.form import Form, near

ADC_FULL_SCALE = 65535
THERMOMETER_CHANNEL = 4

# How often each is read, ms: what stops the motor at once, then what follows the line, then what
# changes slowly. The encoder turns less than half around in between at 500 rpm.
EVERY_MS = {
    "pressure": 20, "force": 100, "upstream": 20, "air": 20, "barrel": 100, "plunger": 100,
    "encoder": 50, "battery": 1000, "rail": 100, "temperature": 1000, "door": 20, "end_stop": 20,
}  # fmt: skip
# A sector's erase stops the processor for up to 400 ms (W25Q16JV, tSE): no sensor is silent then.
LEAST_AGE_MS = 500
AGE_IN_SAMPLES = 5
# Equal samples in a row that a live sensor never gives; docs/sensors.md has the odds.
STUCK_ANALOG = 300
STUCK_24_BIT = 20

_GREATEST_MV = 5000
_GREATEST_OHM = 10_000_000
_GREATEST_RAW = (1 << 24) - 1
_COMMON_KEYS = ("fitted", "every_ms", "age_ms")
_LIMIT_KEYS = ("least_mv", "greatest_mv", "stuck_samples", "noise_mv", "drift_mv")
_RAW_KEYS = (
    "zero_raw", "full_scale_raw", "least_raw", "greatest_raw", "stuck_samples", "noise_raw",
    "drift_raw",
)  # fmt: skip
# RP2040 Datasheet, section 4.9.5: T = 27 - (V - 0.706) / 0.001721, T in °C, V in volts.
_CHIP_27_C_MV = Fraction(706)
_CHIP_MV_PER_C = Fraction(1721, 1000)
_CHIP_LEAST_C, _CHIP_GREATEST_C = -20, 100
# Pins that are there for a sensor alone.
_PINS = {
    "pressure": "pressure", "upstream": "upstream", "air": "air", "air_level": "air",
    "barrel": "barrel", "plunger": "plunger", "battery": "battery", "rail": "rail",
    "door": "door", "home": "end_stop", "hx711_data": "force", "hx711_clock": "force",
}  # fmt: skip


def read_sensors(
    form: Form,
    tables: Mapping[str, Mapping[str, Any]],
    given_pins: Iterable[str],
    pins: Iterable[Pin],
    reference_mv: int,
) -> tuple[Sensor, ...]:
    """The sensors that are fitted, in the order of their numbers.

    Args:
        form: takes what is wrong.
        tables: those inside of ``[sensors]``, by name.
        given_pins: names of the pins that the file has, also of those that are wrong.
        pins: those that are right.
        reference_mv: full scale of the ADC, mV.

    """
    reading = _Reading(form, set(given_pins), {pin.function: pin for pin in pins}, reference_mv)
    found = [reading.sensor(name, table) for name, table in tables.items()]
    for pin, name in _PINS.items():
        if pin in reading.given_pins and name not in tables:
            remedy = f"Nothing reads [pins.{pin}] without it: add it, or write fitted = false in it"
            form.add(f"[sensors.{name}]", "is missing", remedy)
    return tuple(sorted((sensor for sensor in found if sensor), key=lambda sensor: sensor.spec[0]))


def scale_of(slope: Fraction) -> tuple[int, int]:
    """The fraction nearest to ``slope`` (units per count) that the core can work with exactly.

    Its intermediates stay below 2**30 if ``num · den`` does with room for the value itself
    (``micropump.sensing.scaled``).

    Raises:
        ValueError: if there is none, because it is 0 or far out of reach.

    """
    room = SMALL_INT_LIMIT // 2
    if not slope or not Fraction(1, room) < abs(slope) < room:
        raise ValueError("no such scale")
    nearest = slope.limit_denominator(max(1, isqrt(int(room / abs(slope)))))
    return nearest.numerator, nearest.denominator


@dataclass(frozen=True)
class _Place:
    """Where an adapter finds a sensor."""

    kind: str
    gpio: int
    aux: int | str
    active_level: int = 1


@dataclass(frozen=True)
class _Line:
    """Zero, slope and limits of a sensor in raw counts, exactly."""

    zero_raw: Fraction
    slope: Fraction
    least_raw: int
    greatest_raw: int
    stuck_samples: int = 0
    noise_raw: int = 0
    drift_raw: int = 0


_DIGITAL = _Line(Fraction(0), Fraction(1), 0, 1)
_AIR = _Line(Fraction(0), Fraction(1000), 0, 1)
_ANGLE = _Line(Fraction(0), Fraction(1), 0, 4095)


class _Reading:
    """One reading of the sensors' tables."""

    def __init__(
        self, form: Form, given_pins: set[str], pins: Mapping[str, Pin], reference_mv: int
    ) -> None:
        self.form = form
        self.given_pins = given_pins
        self.pins = pins
        self.reference_mv = reference_mv

    def sensor(self, name: str, table: Mapping[str, Any]) -> Sensor | None:
        where = f"[sensors.{name}]"
        if name not in sensing.SENSOR_NAMES:
            known = sensing.SENSOR_NAMES
            remedy = near(name, known) or f"Known: {', '.join(known)}"
            self.form.add(where, "there is no such sensor", remedy)
            return None
        if not self.form.flag(where, table, "fitted", True):
            return None
        before = len(self.form.problems)
        place, line = self._readers()[name](where, table)
        every_ms = self.form.number(where, table, "every_ms", 1, 60_000, EVERY_MS[name])
        age_ms = self._age_ms(where, table, every_ms)
        if len(self.form.problems) > before or place is None:
            return None
        return self._made(name, place, line, age_ms, every_ms)

    def _readers(
        self,
    ) -> Mapping[str, Callable[[str, Mapping[str, Any]], tuple[_Place | None, _Line]]]:
        return {
            "pressure": self._pressure,
            "force": self._force,
            "upstream": lambda *of: self._rising("upstream", *of),
            "air": self._air,
            "barrel": lambda *of: self._position("barrel", *of),
            "plunger": lambda *of: self._position("plunger", *of),
            "encoder": self._encoder,
            "battery": lambda *of: self._divider("battery", *of),
            "rail": lambda *of: self._divider("rail", *of),
            "temperature": self._temperature,
            "door": lambda *of: self._switch("door", _DIGITAL, *of),
            "end_stop": lambda *of: self._switch("home", _DIGITAL, *of),
        }

    def _made(
        self, name: str, place: _Place, line: _Line, age_ms: int, every_ms: int
    ) -> Sensor | None:
        where = f"[sensors.{name}]"
        try:
            num, den = scale_of(line.slope)
            spec = (
                sensing.SENSOR_NAMES.index(name), round(line.zero_raw), num, den, line.least_raw,
                line.greatest_raw, age_ms, line.stuck_samples, line.noise_raw, line.drift_raw,
            )  # fmt: skip
            sensing.check(spec)
        except ValueError:
            what = "its values go beyond what the firmware's integers hold"
            self.form.add(where, what, "Check zero and full scale against the data sheet")
            return None
        return Sensor(name, spec, place.kind, place.gpio, place.aux, place.active_level, every_ms)

    def _age_ms(self, where: str, table: Mapping[str, Any], every_ms: int) -> int:
        usual_ms = max(LEAST_AGE_MS, AGE_IN_SAMPLES * every_ms)
        age_ms = self.form.number(where, table, "age_ms", 1, 600_000, usual_ms)
        if age_ms < 3 * every_ms:
            what = f"a sample that is late would be a fault: {age_ms} ms, read every {every_ms} ms"
            self.form.add(f"{where} age_ms", what, "Give three times every_ms or more")
        return age_ms

    # --- places ------------------------------------------------------------------------------

    def _pin(self, name: str, where: str) -> Pin | None:
        if name not in self.given_pins:
            self.form.add(f"[pins.{name}]", "is missing", f"{where} needs it")
        return self.pins.get(name)

    def _adc(self, name: str, where: str) -> _Place | None:
        pin = self._pin(name, where)
        if pin is None or pin.gpio not in ADC_GPIO:
            return None
        return _Place("analog", pin.gpio, ADC_GPIO[pin.gpio])

    def _bus(self, kind: str, names: tuple[str, str], where: str) -> _Place | None:
        first, second = (self._pin(name, where) for name in names)
        return _Place(kind, first.gpio, second.gpio) if first and second else None

    def _switch(
        self, pin_name: str, line: _Line, where: str, table: Mapping[str, Any]
    ) -> tuple[_Place | None, _Line]:
        self.form.unknown_keys(where, table, _COMMON_KEYS)
        pin = self._pin(pin_name, where)
        if pin is None:
            return None, line
        pull = pin.pull if pin.external_pull == "none" else pin.external_pull
        if pull != ("up" if pin.active_level else "down"):
            what = "a broken wire would read as if all were well"
            remedy = "Pull towards active_level, and wire the contact so that it opens then"
            self.form.add(f"[pins.{pin_name}] pull", what, remedy)
        return _Place("digital", pin.gpio, pin.pull, pin.active_level), line

    # --- lines -------------------------------------------------------------------------------

    def _counts(self, mv: Fraction | int) -> Fraction:
        return Fraction(mv) * ADC_FULL_SCALE / self.reference_mv

    def _mv(
        self, where: str, table: Mapping[str, Any], key: str, default: int | None = None
    ) -> int:
        return self.form.number(where, table, key, 0, _GREATEST_MV, default)

    def _limited(
        self,
        where: str,
        table: Mapping[str, Any],
        zero_raw: Fraction,
        slope: Fraction,
        stuck: int = 0,
    ) -> _Line:
        """With the limits of an analogue sensor; all mV are at the chip's pin."""
        least_mv = self._mv(where, table, "least_mv")
        greatest_mv = self._mv(where, table, "greatest_mv")
        if not least_mv < greatest_mv < self.reference_mv:
            what = "the limits must rise, and end below the ADC's reference"
            remedy = "A limit that no reading can pass shows no broken wire"
            self.form.add(f"{where} greatest_mv", what, remedy)
        return _Line(
            zero_raw=zero_raw,
            slope=slope,
            least_raw=round(self._counts(least_mv)),
            greatest_raw=round(self._counts(greatest_mv)),
            stuck_samples=self.form.number(where, table, "stuck_samples", 0, 1_000_000, stuck),
            noise_raw=round(self._counts(self._mv(where, table, "noise_mv", 0))),
            drift_raw=round(self._counts(self._mv(where, table, "drift_mv", 0))),
        )

    def _between(
        self,
        where: str,
        table: Mapping[str, Any],
        points: tuple[str, str],
        full_scale: int,
        stuck: int,
    ) -> _Line:
        """A straight line between two points, in mV at the pin."""
        zero_mv = self.form.number(where, table, points[0], -_GREATEST_MV, _GREATEST_MV)
        full_mv = self._mv(where, table, points[1])
        slope = Fraction(1)
        if zero_mv == full_mv:
            what = f"{points[0]} and {points[1]} are the same"
            self.form.add(where, what, "Take them from the sensor's data sheet")
        else:
            slope = full_scale / self._counts(full_mv - zero_mv)
        return self._limited(where, table, self._counts(zero_mv), slope, stuck)

    def _rising(
        self, name: str, where: str, table: Mapping[str, Any]
    ) -> tuple[_Place | None, _Line]:
        keys = (*_COMMON_KEYS, *_LIMIT_KEYS, "kind", "zero_mv", "full_scale_mv", "full_scale_pa")
        self.form.unknown_keys(where, table, keys)
        full_pa = self.form.number(where, table, "full_scale_pa", 1000, 2_000_000)
        points = ("zero_mv", "full_scale_mv")
        line = self._between(where, table, points, full_pa, STUCK_ANALOG)
        order = [table.get(key) for key in ("least_mv", "zero_mv", "full_scale_mv", "greatest_mv")]
        known = [mv for mv in order if isinstance(mv, int)]
        if known == order and known != sorted(set(known)):
            what = "the voltages must rise: least_mv, zero_mv, full_scale_mv, greatest_mv"
            self.form.add(where, what, "Take them from the sensor's data sheet")
        return self._adc(name, where), line

    def _pressure(self, where: str, table: Mapping[str, Any]) -> tuple[_Place | None, _Line]:
        if self.form.choice(where, table, "kind", ("analog", "abp2"), "analog") == "analog":
            return self._rising("pressure", where, table)
        self.form.unknown_keys(where, table, (*_COMMON_KEYS, *_RAW_KEYS, "kind", "full_scale_pa"))
        full_pa = self.form.number(where, table, "full_scale_pa", 1000, 2_000_000)
        place = self._bus("abp2", ("i2c_sda", "i2c_scl"), where)
        return place, self._raw_line(where, table, full_pa, 0)

    def _force(self, where: str, table: Mapping[str, Any]) -> tuple[_Place | None, _Line]:
        self.form.unknown_keys(where, table, (*_COMMON_KEYS, *_RAW_KEYS, "full_scale_mn"))
        full_mn = self.form.number(where, table, "full_scale_mn", 1000, 1_000_000)
        place = self._bus("hx711", ("hx711_data", "hx711_clock"), where)
        return place, self._raw_line(where, table, full_mn, -_GREATEST_RAW)

    def _raw_line(
        self, where: str, table: Mapping[str, Any], full_scale: int, lowest_raw: int
    ) -> _Line:
        """A line of a sensor with a converter of its own, in that converter's counts."""

        def raw(key: str, least: int = lowest_raw, default: int | None = None) -> int:
            return self.form.number(where, table, key, least, _GREATEST_RAW, default)

        zero, full, least, greatest = (
            raw(key) for key in ("zero_raw", "full_scale_raw", "least_raw", "greatest_raw")
        )
        if zero == full or not least <= zero <= greatest or not least <= full <= greatest:
            what = "zero and full scale must differ, and lie within least_raw and greatest_raw"
            self.form.add(where, what, "Measure them: without load, and with a known one")
            full = zero + 1
        return _Line(
            zero_raw=Fraction(zero),
            slope=Fraction(full_scale, full - zero),
            least_raw=least,
            greatest_raw=max(least, greatest),
            stuck_samples=self.form.number(
                where, table, "stuck_samples", 0, 1_000_000, STUCK_24_BIT
            ),
            noise_raw=raw("noise_raw", 0, 0),
            drift_raw=raw("drift_raw", 0, 0),
        )

    def _position(
        self, name: str, where: str, table: Mapping[str, Any]
    ) -> tuple[_Place | None, _Line]:
        keys = (*_COMMON_KEYS, *_LIMIT_KEYS, "zero_mv", "full_scale_mv", "full_scale_um")
        self.form.unknown_keys(where, table, keys)
        full_um = self.form.number(where, table, "full_scale_um", 100, 1_000_000)
        line = self._between(where, table, ("zero_mv", "full_scale_mv"), full_um, 0)
        return self._adc(name, where), line

    def _air(self, where: str, table: Mapping[str, Any]) -> tuple[_Place | None, _Line]:
        if "air_level" not in self.given_pins:
            return self._switch("air", _AIR, where, table)
        if "air" in self.given_pins:
            what = "one sensor cannot be read by two pins, air and air_level"
            self.form.add(where, what, "Leave one of them out")
        self.form.unknown_keys(where, table, (*_COMMON_KEYS, *_LIMIT_KEYS, "liquid_mv", "air_mv"))
        line = self._between(where, table, ("liquid_mv", "air_mv"), 1000, STUCK_ANALOG)
        return self._adc("air_level", where), line

    def _encoder(self, where: str, table: Mapping[str, Any]) -> tuple[_Place | None, _Line]:
        self.form.unknown_keys(where, table, _COMMON_KEYS)
        return self._bus("as5600", ("i2c_sda", "i2c_scl"), where), _ANGLE

    def _divider(
        self, name: str, where: str, table: Mapping[str, Any]
    ) -> tuple[_Place | None, _Line]:
        keys = (*_COMMON_KEYS, *_LIMIT_KEYS, "top_ohm", "bottom_ohm")
        self.form.unknown_keys(where, table, keys)
        top_ohm = self.form.number(where, table, "top_ohm", 0, _GREATEST_OHM)
        bottom_ohm = self.form.number(where, table, "bottom_ohm", 1, _GREATEST_OHM)
        slope = Fraction(top_ohm + bottom_ohm, bottom_ohm) / self._counts(1)
        return self._adc(name, where), self._limited(where, table, Fraction(0), slope)

    def _temperature(self, where: str, table: Mapping[str, Any]) -> tuple[_Place | None, _Line]:
        """The chip's own thermometer, in 0.1 °C."""
        self.form.unknown_keys(where, table, _COMMON_KEYS)
        return _Place("analog", -1, THERMOMETER_CHANNEL), _Line(
            zero_raw=self._counts(_chip_mv(0)),
            slope=-10 / self._counts(_CHIP_MV_PER_C),
            least_raw=round(self._counts(_chip_mv(_CHIP_GREATEST_C))),
            greatest_raw=round(self._counts(_chip_mv(_CHIP_LEAST_C))),
        )


def _chip_mv(temperature_c: int) -> Fraction:
    return _CHIP_27_C_MV - (temperature_c - 27) * _CHIP_MV_PER_C
