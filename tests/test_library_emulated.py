"""A look-up in a library of 200 drugs on the emulated Pico: how long, and how much of the heap."""

import ast

import libraries
import support

from micropump_hil.emulated import EmulatedPico
from micropump_hil.emulated.require import image_or_skip
from micropump_host.library import image

# In the upper half of the flash, which only reads here.
IMAGE_AT = 0x1E0000

LOOK_UPS = """
import gc, time, uctypes
held = verify_sums(lambda at, size: uctypes.bytes_at(0x10000000 + {at} + at, size), {size}, {key})
def look_up(drug_id, area_id):
    drug = held.drug_index(drug_id)
    limits = held.find(drug, held.area_index(area_id), 0, 1)
    return limits.of(RATE), held.concentration(drug, 0)
for drug_id in {drugs}:
    gc.collect()
    gc.disable()
    heap_bytes = gc.mem_alloc()
    begun_us = time.ticks_us()
    found = look_up(drug_id, "palliative")
    took_us = time.ticks_diff(time.ticks_us(), begun_us)
    print(took_us, gc.mem_alloc() - heap_bytes, found)
    gc.enable()
"""


def without_docstrings(source: str) -> str:
    """The module as it goes through the interpreter's prompt, whichever firmware is frozen in."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            # What is left of an exception that only has a docstring is a pass.
            node.body = node.body[bool(ast.get_docstring(node)) :] or [ast.Pass()]
    return ast.unparse(tree)


def test_a_look_up_takes_under_20_ms_and_4_kb():
    data = image.build_image(libraries.large(), libraries.KEY)
    pico = EmulatedPico(image_or_skip()).boot(maintenance=True)
    pico.flash.load(data, IMAGE_AT)
    pico.exec(without_docstrings((support.FIRMWARE / "micropump/library.py").read_text()), 60_000)
    # Found at the first step of the search, at the last, at either end.
    drugs = [f"drug-{number:03d}-of-a-long-name" for number in (0, 1, 99, 100, 137, 199)]
    said = pico.exec(
        LOOK_UPS.format(at=IMAGE_AT, size=len(data), key=libraries.KEY, drugs=drugs), 60_000
    )
    lines = [line.split(" ", 2) for line in said.splitlines() if line]
    assert len(lines) == len(drugs)
    # 3.6 ms and 1728 bytes were the most when this was written.
    assert all(0 < int(took_us) < 20_000 for took_us, _, _ in lines)
    assert all(0 < int(heap_bytes) < 4_096 for _, heap_bytes, _ in lines)
    levels, concentration = ast.literal_eval(lines[-1][2])
    use = libraries.large().drugs[-1].use_in("palliative")
    written = [level.value for level in use.limit("rate").levels]
    assert [mantissa * 10**exponent for mantissa, exponent, _ in levels] == written
    assert concentration == (1, 2, 6)
