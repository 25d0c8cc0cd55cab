"""Ten minutes and more of alarms with the heap locked in every look: rises, falls, pauses, waits.

Words: firmware directory. Prints the sounds in the order of their changes, and how many changes.
"""

import sys

sys.path.insert(0, sys.argv[1])

try:
    from micropython import heap_lock, heap_unlock
except ImportError:
    heap_lock = heap_unlock = int

from micropump.annunciator import Annunciator

annunciator = Annunciator(bytes([3, 1, 2, 0, 3, 1, 2]))
# Up to the clock's wrap and beyond it.
now_ms = (1 << 30) - 300_000
annunciator.look(now_ms, 0)
changes = []
sound = 0
for at in range(70_000):
    now_ms = (now_ms + 10) & 0x3FFFFFFF
    # A few minutes of one medium alarm; before that everything in turn, for 1.7 s each.
    active = 4 if at > 45_000 else (at // 170 * 37) & 0x77
    heap_lock()
    annunciator.look(now_ms, active)
    if at % 1_501 == 0 and at < 45_000:
        annunciator.pause_audio()
    heap_unlock()
    if annunciator.sound != sound:
        sound = annunciator.sound
        changes.append(str(sound))
print("".join(changes), len(changes))
