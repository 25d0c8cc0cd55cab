"""Every fault of a sensor, found and over again, with the heap locked in every sample and look.

Words: firmware directory, and what to break: "nothing", or "push" for readings that allocate.
Prints each fault when it is found and when it is over, and what the values add up to.
"""

import sys

sys.path.insert(0, sys.argv[1])

from micropump import sensing
from micropump.units import CLOCK_MASK

try:
    from micropython import heap_lock, heap_unlock
except ImportError:

    def heap_lock():
        """CPython has no heap to lock."""

    heap_unlock = heap_lock


class AllocatingReadings(sensing.Readings):
    """Readings as they must not be: they make an object for every sample."""

    def put(self, sensor, raw):
        """Keep the sample as a new tuple."""
        self.last = (sensor, raw)
        sensing.Readings.put(self, sensor, raw)


SPECS = (
    (sensing.PRESSURE, 2641, 21243, 1808, 794, 64542, 500, 30, 6812, 1489),
    (sensing.FORCE, 0, 1070, 23431, -8388607, 8388606, 500, 20, 1095000, 330000),
    (sensing.AIR, 0, 1000, 1, 0, 1, 500, 0, 0, 0),
    (sensing.TEMPERATURE, 14943, -10389, 35507, 11526, 15627, 5000, 0, 0, 0),
)
readings = AllocatingReadings() if sys.argv[2] == "push" else sensing.Readings()
eyes = sensing.Sensing(SPECS)
clock = [CLOCK_MASK - 3000]
told = [0] * sensing.SENSORS
total = [0]


def look(flowing, is_put):
    """A sample of each unless it is left out, 100 ms later; then a look."""
    now_ms = clock[0] = (clock[0] + 100) & CLOCK_MASK
    heap_lock()
    if is_put:
        readings.put(sensing.AIR, 1)
        readings.put(sensing.TEMPERATURE, 13000)
    eyes.look(now_ms, readings, flowing)
    heap_unlock()
    for sensor in range(sensing.SENSORS):
        total[0] = (total[0] * 31 + eyes.value[sensor]) % 1000003
        kind = eyes.fault_kind(sensor)
        if kind != told[sensor]:
            name = sensing.SENSOR_NAMES[sensor]
            if told[sensor]:
                print(name, sensing.FAULT_NAMES[told[sensor]], "over")
            if kind:
                print(name, sensing.FAULT_NAMES[kind], "found")
            told[sensor] = kind


def put(pressure_raw, force_raw, flowing=True):
    """One sample each, and a look."""
    heap_lock()
    readings.put(sensing.PRESSURE, pressure_raw)
    readings.put(sensing.FORCE, force_raw)
    heap_unlock()
    look(flowing, True)


def calm():
    """Good samples until no fault is left, at zero."""
    for at in range(40):
        put(2641 + at % 2, at % 2, False)


calm()
for _ in range(3):
    put(0, -8388608)
calm()
for _ in range(3):
    put(65535, 8388607)
calm()
for _ in range(3):
    heap_lock()
    readings.fail(sensing.PRESSURE)
    readings.fail(sensing.FORCE)
    heap_unlock()
    look(True, True)
calm()
for _ in range(40):
    put(10000, -5000000)
calm()
for at in range(20):
    put(at % 2 * 60000 + 2000, at % 2 * 16000000 - 8000000)
calm()
for _ in range(50):
    look(True, False)
calm()
for _ in range(8):
    put(5000, 400000, False)
heap_lock()
eyes.zero(sensing.PRESSURE)
eyes.zero(sensing.FORCE)
heap_unlock()
calm()
heap_lock()
is_zero = eyes.zero(sensing.PRESSURE) and eyes.zero(sensing.FORCE)
heap_unlock()
print("zero", is_zero, "total", total[0], "faults", eyes.faults)
