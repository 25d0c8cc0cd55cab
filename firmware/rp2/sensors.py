"""Every sensor that the board has, each at its own pace, into one ``Readings``.

What is looked at in which turn of the loop is laid down at the start: a round of slots, one for
each look, in which each adapter comes as often as it has to and no slot has much more to do than
another. A look waits for nothing and allocates nothing.
"""

from machine import Pin
from micropump_rp2.abp2 import Abp2
from micropump_rp2.analog import AnalogInput
from micropump_rp2.as5600 import As5600
from micropump_rp2.digital import DigitalInput, input_pin
from micropump_rp2.hx711 import Hx711
from micropump_rp2.i2c import I2cBus

from micropump.units import CLOCK_MASK

# Fields of a row of the board's SENSORS (docs/sensors.md).
SENSOR = 0
KIND = 10
GPIO = 11
AUX = 12
ACTIVE_LEVEL = 13
EVERY_MS = 14

# The loop comes round so often where nothing holds it up.
TURN_MS = 10
# A host that talks makes turns come sooner: a look this soon after another does nothing.
LEAST_APART_MS = 8
# The longest round, in turns.
_LONGEST = 64
# A conversion of the HX711 waits for its reader no longer than this.
_BRIDGE_EVERY_MS = 20

_I2C_KINDS = {"as5600": As5600, "abp2": Abp2}
# I2C0 and I2C1 take turns on the GPIOs, two by two (RP2040 datasheet, 1.4.3).
_GPIOS_PER_I2C = 2
_I2CS = 2


class Sensors:
    """The adapters.

    Args:
        rows: ``SENSORS`` of the board's module; ValueError for a kind that is not known.
        readings: a ``micropump.sensing.Readings``.
        now_ms: the time.

    """

    def __init__(self, rows, readings, now_ms: int) -> None:
        self._slots = slots_of(_adapters(rows, readings, now_ms))
        self._at = 0
        self._looked_ms = (now_ms - TURN_MS) & CLOCK_MASK

    def look(self, now_ms: int) -> None:
        """Take what there is to be taken in this turn."""
        if (now_ms - self._looked_ms) & CLOCK_MASK < LEAST_APART_MS:
            return
        self._looked_ms = now_ms
        at = self._at
        slots = self._slots
        self._at = at + 1 if at + 1 < len(slots) else 0
        for adapter in slots[at]:
            adapter.look(now_ms)


def slots_of(timed) -> tuple:
    """The round: a tuple of adapters for each slot.

    Args:
        timed: (adapter, every_ms, work); work is weighed against that of others. Each comes every
            1, 2, 4 … turns, no less often than its ``every_ms`` says, up to the longest round.

    """
    loads = [0] * _LONGEST
    slots = [()] * _LONGEST
    length = 1
    # Those that come most often have least choice.
    for adapter, every_ms, work in sorted(timed, key=lambda row: row[1]):
        period = 1
        while period < _LONGEST and 2 * period * TURN_MS <= every_ms:
            period *= 2
        length = max(length, period)
        first = min(range(period), key=lambda at: max(loads[at::period]))
        for at in range(first, _LONGEST, period):
            loads[at] += work
            slots[at] += (adapter,)
    return tuple(slots[:length])


def _adapters(rows, readings, now_ms: int) -> list:
    """(adapter, every_ms, work in tens of microseconds) of each sensor or bus."""
    timed = []
    buses = {}
    for row in rows:
        sensor, kind, every_ms = row[SENSOR], row[KIND], row[EVERY_MS]
        if kind == "analog":
            timed.append((_analog(readings, row), every_ms, 8))
        elif kind == "digital":
            is_high = input_pin(row[GPIO], row[AUX]).value
            adapter = DigitalInput(readings, sensor, is_high, row[ACTIVE_LEVEL])
            timed.append((adapter, every_ms, 4))
        elif kind == "hx711":
            timed.append((_bridge(readings, row, now_ms), min(every_ms, _BRIDGE_EVERY_MS), 10))
        elif kind in _I2C_KINDS:
            devices = buses.setdefault((row[GPIO], row[AUX]), [])
            devices.append((_I2C_KINDS[kind](readings, sensor), every_ms))
        else:
            raise ValueError(kind)
    for (sda, scl), devices in buses.items():
        timed.append((_bus(sda, scl, devices), 0, 9))
    return timed


def _bus(sda: int, scl: int, devices) -> I2cBus:
    # All of them as often as the one that is wanted most often.
    transactions = sum([device.transactions for device, _ in devices])
    every_ms = min([every_ms for _, every_ms in devices])
    looks_apart = max(1, every_ms // TURN_MS // transactions)
    number = sda // _GPIOS_PER_I2C % _I2CS
    return I2cBus(number, sda, scl, [device for device, _ in devices], looks_apart)


def _analog(readings, row) -> AnalogInput:
    inside = row[GPIO] < 0
    source = row[AUX] if inside else Pin(row[GPIO])
    return AnalogInput(readings, row[SENSOR], source, row[AUX])


def _bridge(readings, row, now_ms: int) -> Hx711:
    data = input_pin(row[GPIO], "up")
    clock = Pin(row[AUX], Pin.OUT, value=0)
    return Hx711(readings, row[SENSOR], data, row[GPIO], clock, row[AUX], now_ms)
