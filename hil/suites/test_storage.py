"""What survives, on the real chip's commands: an install cut at every erase and program."""

import pytest

from micropump.storage import HEADER_BYTES
from micropump_hil.emulated import EmulatedProgramError, PowerLostError

pytestmark = pytest.mark.needs("flash", "power_cut", "injection", "restart")

# The file system begins there; the region ends there.
FILE_SYSTEM_AT = 0x100000
# Of 4 KiB, to the end of 2 MiB.
FILE_SYSTEM_BLOCKS = 256
RESERVED_BYTES = 256 * 1024
REGION = range(FILE_SYSTEM_AT - RESERVED_BYTES, FILE_SYSTEM_AT)
PAGE_BYTES = 256
# Over the end of the first sector.
VALUE_BYTES = 4_500
OLD, NEW = 3, 5

SET_UP = f"""\
from micropump_rp2 import flash
from micropump.storage import StorageError
running = False
device = flash.Flash(lambda: running)
slots = flash.library_slots(device)
def install(step):
    slots.begin({VALUE_BYTES})
    for at in range(0, {VALUE_BYTES}, 300):
        slots.append(bytes((at + i) * step & 0xFF for i in range(min(300, {VALUE_BYTES} - at))))
    slots.commit()
"""

# The step of the value that counts, or none.
LOOK = """\
stored = slots.active()
step = 0
if stored is not None:
    step = stored.read(1, 1)[0]
    for at in range(0, stored.length_bytes, 300):
        data = stored.read(at, 300)
        if data != bytes((at + i) * step & 0xFF for i in range(len(data))):
            step = -1
            break
print(step, 0 if stored is None else stored.length_bytes)
"""


def prompt(bench):
    """The interpreter's prompt after a start, with what installs at hand."""
    bench.pico.boot(maintenance=True)
    bench.pico.exec(SET_UP)
    return bench.pico


@pytest.fixture
def at_prompt(bench):
    """The bench, its pump out of the way, and its watchdog with it."""
    bench.pump.restart(into_maintenance=True)
    bench.await_reset(1)
    return bench


def installed(bench) -> int:
    """What a start finds, in the flash as it is: its step, 0 for nothing, -1 for a mixture."""
    step, length = prompt(bench).exec(LOOK).split()
    assert int(length) == (VALUE_BYTES if int(step) else 0)
    return int(step)


def in_region(pico) -> bytes:
    return pico.flash.image[REGION.start : REGION.stop]


@pytest.fixture
def old(at_prompt) -> bytes:
    """The region with the old value installed, on a board that had none."""
    assert installed(at_prompt) == 0
    at_prompt.pico.exec(f"install({OLD})")
    assert installed(at_prompt) == OLD
    return in_region(at_prompt.pico)


def operations_of_an_install(at_prompt, step):
    pico = prompt(at_prompt)
    pico.flash.operations.clear()
    pico.exec(f"install({step})")
    return list(pico.flash.operations)


def test_an_install_cut_at_every_operation_leaves_old_or_new_whole(at_prompt, old, record_property):
    operations = operations_of_an_install(at_prompt, NEW)
    pages = -(-VALUE_BYTES // PAGE_BYTES) + 1
    assert [o.kind for o in operations].count("program") == pages
    assert [o.kind for o in operations].count("erase") == 2
    assert installed(at_prompt) == NEW
    record_property("cuts", len(operations))
    found = {}
    for number in range(len(operations)):
        # None, a part and all of an operation; the header's page is torn within the header too.
        header = (HEADER_BYTES // 2) / PAGE_BYTES
        done = (0.0, 0.5, 1.0, header)[number % 3 if number < len(operations) - 1 else 3]
        found[number] = after_a_cut(at_prompt, old, number, done)
    # Before the header is whole, the old value is what counts.
    assert set(found.values()) == {OLD}
    assert after_a_cut(at_prompt, old, len(operations) - 1, 0.0) == OLD
    assert after_a_cut(at_prompt, old, len(operations) - 1, 1.0) == NEW


def after_a_cut(bench, region: bytes, number: int, done: float) -> int:
    """What a start finds after an install onto ``region`` that is cut at an operation."""
    pico = bench.pico
    pico.flash.load(region, REGION.start)
    prompt(bench)
    pico.flash.cut_power_at(number, done)
    pico.exec_start(f"install({NEW})")
    with pytest.raises(PowerLostError):
        pico.exec_finish()
    return installed(bench)


def test_a_second_cut_in_the_next_install(at_prompt, old):
    operations = len(operations_of_an_install(at_prompt, NEW))
    last = operations - 1
    for first, second in ((0, 0), (10, last), (16, 0), (last, 0), (last, 10), (last, last)):
        before = after_a_cut(at_prompt, old, first, 0.5)
        torn = in_region(at_prompt.pico)
        assert after_a_cut(at_prompt, torn, second, 0.5) in (before, NEW)
    at_prompt.pico.exec(f"install({NEW})")
    assert installed(at_prompt) == NEW


def test_an_install_touches_its_slot_alone_and_the_file_system_stays(at_prompt, old):
    pico = prompt(at_prompt)
    pico.exec("import vfs\nvfs.VfsLfs2.mkfs(flash.file_system(), progsize=256)")
    kept = pico.flash.image
    assert kept[FILE_SYSTEM_AT + 8 : FILE_SYSTEM_AT + 16] == b"littlefs"
    for operation in operations_of_an_install(at_prompt, NEW):
        assert operation.address in REGION
        assert operation.address + operation.size <= REGION.stop
    now = at_prompt.pico.flash.image
    slot_bytes = 17 * 4096
    assert now[: REGION.start + slot_bytes] == kept[: REGION.start + slot_bytes]
    assert now[REGION.start + 2 * slot_bytes :] == kept[REGION.start + 2 * slot_bytes :]
    # _boot.py mounts it there.
    pico = prompt(at_prompt)
    assert pico.exec("import os\nprint(os.statvfs('/')[2])").strip() == str(FILE_SYSTEM_BLOCKS)


def test_nothing_is_changed_while_the_motor_is_on(at_prompt, old):
    pico = prompt(at_prompt)
    pico.flash.operations.clear()
    for call in ("slots.begin(9)", "device.erase(0)", "device.program(0, bytes(256))"):
        with pytest.raises(EmulatedProgramError, match=r"StorageError: \(6, "):
            pico.exec(f"running = True\n{call}")
    assert pico.flash.operations == []
    assert installed(at_prompt) == OLD


OUTSIDE = (
    "device.read(-1, 1)",
    f"device.read(0, {RESERVED_BYTES + 1})",
    "device.erase(-4096)",
    f"device.erase({RESERVED_BYTES})",
    "device.erase(100)",
    "device.program(-256, bytes(256))",
    f"device.program({RESERVED_BYTES}, bytes(256))",
    "device.program(1, bytes(256))",
    "device.program(0, bytes(255))",
)


def test_nothing_outside_the_region_is_reached(at_prompt):
    pico = prompt(at_prompt)
    pico.flash.operations.clear()
    for call in OUTSIDE:
        with pytest.raises(EmulatedProgramError, match="ValueError"):
            pico.exec(call)
    assert pico.flash.operations == []
