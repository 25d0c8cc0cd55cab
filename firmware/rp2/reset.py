"""Why the board has started: power, watchdog, or a reset of its own."""

import machine

POWER_ON = 1
WATCHDOG = 2
SOFTWARE = 3

_WATCHDOG_REASON = 0x40058008
_SCRATCH0 = 0x4005800C
# Put into a scratch register before a reset on purpose, which otherwise reads as the watchdog's.
_ON_PURPOSE = 0x0B0E


def cause() -> int:
    """The cause of the last reset; the mark of one on purpose is taken away."""
    reason = machine.mem32[_WATCHDOG_REASON] & 3
    marked = machine.mem32[_SCRATCH0] & 0xFFFF == _ON_PURPOSE
    machine.mem32[_SCRATCH0] = 0
    if not reason:
        return POWER_ON
    return SOFTWARE if marked else WATCHDOG


def reset() -> None:
    """Start anew, and say so to what comes after."""
    machine.mem32[_SCRATCH0] = _ON_PURPOSE
    machine.reset()
