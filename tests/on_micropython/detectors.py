"""Every detector with the heap locked in every update, at the ends of its range.

Words: firmware directory, and what to break: "nothing", or "push" for an update that allocates.
Prints a sum of everything that was found.
"""

import sys

sys.path.insert(0, sys.argv[1])

from micropump import detectors, occlusion

try:
    from micropython import heap_lock, heap_unlock
except ImportError:

    def heap_lock():
        """CPython has no heap to lock."""

    heap_unlock = heap_lock

downstream = occlusion.Occlusion()
downstream.configure(120_000, 9_000, 21_000, 5_000)
upstream = occlusion.Upstream()
line_off = occlusion.Disconnection()
air = detectors.Air()
stall = detectors.Stall()
barrel = detectors.Barrel()
barrel.configure(29_000)
battery = detectors.Battery()
battery.configure(11_000, 10_000)
rail = detectors.Rail()
rail.configure(10_000, 14_000)
temperature = detectors.Temperature()
kept = []
total = 0

# elapsed_ms, pushed_nl, and how fast the pressure rises, Pa in each update.
RUNS = (
    (100, 139, 9),
    (1_000, 1_390, 96),
    (1_000, 333_333, 20_000),
    (100, 33_333, -3_000),
    (10, 0, 0),
    (1 << 28, 1 << 28, 100),
    (100, -139, -9),
)
for elapsed_ms, pushed_nl, rise_pa in RUNS:
    downstream.begin()
    upstream.begin()
    line_off.begin()
    stall.begin()
    pressure_pa = 5_000
    for n in range(4_000):
        pressure_pa = max(-(1 << 29), min(1 << 29, pressure_pa + rise_pa))
        steps = n * 7_919 % 16_001 - 8_000
        heap_lock()
        found = downstream.update(elapsed_ms, pushed_nl, pressure_pa)
        found += upstream.update(elapsed_ms, pushed_nl, -pressure_pa) << 3
        found += line_off.update(elapsed_ms, pushed_nl, 5_000 if n < 2_000 else 0) << 5
        found += air.update(elapsed_ms, pushed_nl, 1_000 if n % 700 < 500 else 0) << 6
        found += stall.update(elapsed_ms, steps, n * 997 & 4_095, n % 3 * elapsed_ms) << 8
        found += barrel.update(elapsed_ms, 29_000 if n < 1_000 else n * 10) << 9
        found += battery.update(12_000 - n) << 11
        found += rail.update(elapsed_ms, 8_000 + n * 2) << 13
        found += temperature.update(elapsed_ms, 600 + n % 100) << 15
        if sys.argv[2] == "push":
            kept.append((n, found))
        heap_unlock()
        total = (total * 31 + found) & 0xFFFFF
print(total)
