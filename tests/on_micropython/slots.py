"""Every operation of an install cut, then one of the next; started with the firmware directory.

Prints how many cuts there were. Nothing but old or new, whole, is ever found.
"""

import sys

sys.path.insert(0, sys.argv[1])
sys.path.insert(0, __file__.rpartition("/")[0])

from nor_flash import NorFlash, PowerCutError

from micropump.storage import Slots

SECTORS = 2
VALUES = [bytes((at * step) & 0xFF for at in range(5_000 + step)) for step in (1, 3, 7)]
TEARS = (
    lambda old, new: old,
    lambda old, new: new,
    lambda old, new: new[: len(new) // 2] + old[len(new) // 2 :],
    lambda old, new: bytes(old[at] & 0x55 | new[at] & 0xAA for at in range(len(old))),
)


def found(flash):
    """What a start finds: the number of the value."""
    stored = Slots(flash, b"TEST", 0, SECTORS * 4096).active()
    return VALUES.index(stored.read(0, stored.length_bytes))


def install(flash, number, cut_at, tear):
    """Install a value; with a cut, until there."""
    flash.power_on()
    flash.cut_at, flash.tear = cut_at, tear
    try:
        Slots(flash, b"TEST", 0, SECTORS * 4096).write(VALUES[number])
    except PowerCutError:
        return False
    return True


cuts = 0
for tear in TEARS:
    first = 0
    while True:
        flash = NorFlash(2 * SECTORS)
        assert install(flash, 0, None, None)
        whole = install(flash, 1, first, tear)
        before = found(flash)
        assert before == 1 if whole else before in (0, 1)
        if whole:
            break
        assert not install(flash, 2, first, tear)
        after = found(flash)
        assert after in (before, 2)
        assert install(flash, 2, None, None)
        assert found(flash) == 2
        cuts += 2
        first += 1
print(cuts)
