"""How many seconds of this computer's processor a simulated second takes."""

import time
from collections.abc import Callable
from pathlib import Path

from micropump_hil.emulated.pico import EmulatedPico
from micropump_hil.emulated.selftest import COUNT_PIN, PROGRAM, STEP_PIN

_BUSY = """
began = time.ticks_ms()
while time.ticks_diff(time.ticks_ms(), began) < 150:
    pass
"""
# Refills the FIFO by looking at it every 5 ms: 8 segments of 100 steps at 100,000 steps/s.
_STEPS = """
for n in range(20):
    while steps.tx_fifo() < 8:
        steps.put(99)
    time.sleep_ms(5)
"""


def speeds(image: Path | str | None = None) -> dict[str, float]:
    """Seconds of processor time per simulated second, by what the emulated Pico is doing.

    Args:
        image: a UF2 file; the one that ``find_image`` finds if not given.

    """
    pico = EmulatedPico(image).boot(maintenance=True)
    pico.exec(PROGRAM)
    pico.pins.wire(STEP_PIN, COUNT_PIN)
    pico.pins.watch(STEP_PIN)
    return {
        "asleep, host silent": _measure(pico, lambda: pico.run_ms(60_000)),
        "awake every 10 ms": _measure(
            pico,
            lambda: pico.exec("for n in range(100):\n    sum(range(50))\n    time.sleep_ms(10)"),
        ),
        "busy Python": _measure(pico, lambda: pico.exec(_BUSY)),
        "100,000 steps/s, PIO at 1 MHz, counted": _measure(pico, lambda: pico.exec(_STEPS)),
    }


def _measure(pico: EmulatedPico, act: Callable[[], object]) -> float:
    began_s, began_ns = time.process_time(), pico.now_ns
    act()
    return (time.process_time() - began_s) / ((pico.now_ns - began_ns) / 1e9)
