"""Why the board has started: power, watchdog, or a reset of its own."""

import machine
import micropump_board as board

POWER_ON = 1
WATCHDOG = 2
SOFTWARE = 3

_WATCHDOG_REASON = board.WATCHDOG_ADDRESS + 0x08
_SCRATCH0 = board.WATCHDOG_ADDRESS + 0x0C
# Put into a scratch register before a reset on purpose, which otherwise reads as the watchdog's.
_MARK = 0x0B0E0000
_INTO_MAINTENANCE = 2


def cause() -> int:
    """The cause of the last reset."""
    if not machine.mem32[_WATCHDOG_REASON] & 3:
        return POWER_ON
    return SOFTWARE if _marked() else WATCHDOG


def into_maintenance() -> bool:
    """Whether the last reset was one on purpose, into maintenance."""
    return cause() == SOFTWARE and machine.mem32[_SCRATCH0] & 0xFF == _INTO_MAINTENANCE


def forget() -> None:
    """Take the mark away: the next reset stands for itself."""
    machine.mem32[_SCRATCH0] = 0


def reset(into: int) -> None:
    """Start anew, and say so to what comes after; ``into`` is as in the message ``restart``."""
    machine.mem32[_SCRATCH0] = _MARK | into
    machine.reset()


def _marked() -> bool:
    return machine.mem32[_SCRATCH0] & 0xFFFF0000 == _MARK
