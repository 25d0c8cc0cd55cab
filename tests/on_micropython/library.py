"""Verify a library's image and look every drug up in it; the same on both interpreters.

Words: firmware directory, image, its size, key in hex. Prints why a wrong key is refused, each
drug's rate limits in each care area, and on MicroPython the most heap that a look-up took.
"""

import gc
import sys
from binascii import unhexlify

sys.path.insert(0, sys.argv[1])

from micropump import governor, library
from micropump.program import CONTINUOUS

image = open(sys.argv[2], "rb")  # noqa: PTH123, SIM115 (MicroPython has no pathlib)
size = int(sys.argv[3])
key = unhexlify(sys.argv[4])


def read(offset, length):
    """Like a flash partition: nothing of the image stays in memory."""
    image.seek(offset)
    return image.read(length)


def look_up(drug_id, area_id):
    """What a program takes: from ids to limits, and a rate judged by them."""
    drug = held.drug_index(drug_id)
    limits = held.find(drug, held.area_index(area_id), 0, CONTINUOUS)
    concentration = held.concentration(drug, 0)
    return limits.of(library.RATE), governor.check(limits, library.RATE, 60, concentration, 0)


try:
    library.verify(read, size, b"another key altogether")
except library.ImageError as error:
    print("refused", error.code)
held = library.verify(read, size, key)
print("version", held.version, held.drugs, held.areas, held.name())
areas = [held.area(index)[0] for index in range(held.areas)]
most = 0
for index in range(held.drugs):
    drug_id, name = held.drug(index)
    for area_id in areas:
        gc.collect()
        if hasattr(gc, "mem_alloc"):
            gc.disable()
            before = gc.mem_alloc()
            levels, verdict = look_up(drug_id, area_id)
            most = max(most, gc.mem_alloc() - before)
            gc.enable()
        else:
            levels, verdict = look_up(drug_id, area_id)
        print("found", drug_id, area_id, levels)
        print("judged", drug_id, verdict)
if most:
    print("heap", most)
