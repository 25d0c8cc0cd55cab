"""Slots of raw flash: old or new, whole, whatever is cut, twice, and whatever is damaged."""

import random
import re
import subprocess
import sys
from binascii import crc32

import pytest
import support
from hypothesis import example, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(support.SCRIPTS))

from nor_flash import NorFlash, PowerCutError

from micropump import library, storage
from micropump.storage import Slots, StorageError
from micropump_host.image.chip import IMAGE_BYTES

TAG = b"TEST"
# Small, so that hypothesis draws every byte that a cut leaves.
SECTOR_BYTES = 128
PAGE_BYTES = 32
SLOT_SECTORS = 2
CAPACITY_BYTES = SLOT_SECTORS * SECTOR_BYTES - PAGE_BYTES


def small_flash(count: int = 2) -> NorFlash:
    return NorFlash(count * SLOT_SECTORS, SECTOR_BYTES, PAGE_BYTES)


def slots(flash: NorFlash, count: int = 2) -> Slots:
    """What a start makes of the flash."""
    return Slots(flash, TAG, 0, SLOT_SECTORS * flash.sector_bytes, count)


def value(flash: NorFlash, count: int = 2) -> bytes | None:
    """What a start finds, which touches nothing."""
    operations = len(flash.operations)
    stored = slots(flash, count).active()
    assert len(flash.operations) == operations
    return None if stored is None else stored.read(0, stored.length_bytes)


def cut(flash: NorFlash, data: bytes, at: int | None, tear, count: int = 2) -> bool:
    """Install ``data`` with the power cut at an operation; returns whether it was."""
    flash.power_on()
    flash.cut_at, flash.tear = at, tear
    try:
        slots(flash, count).write(data)
    except PowerCutError:
        return True
    finally:
        flash.seen = flash.operations
        flash.power_on()
    return False


def refused(code: int, call, *arguments) -> StorageError:
    with pytest.raises(StorageError) as caught:
        call(*arguments)
    assert caught.value.code == code
    return caught.value


# -- how a cut leaves bits ------------------------------------------------------------------------


def mix(mask: bytes):
    """A cut that leaves the old bits where the mask has ones, and the new ones elsewhere."""

    def tear(old: bytes, new: bytes) -> bytes:
        repeated = (mask * len(old))[: len(old)]
        return bytes(a & m | b & ~m & 0xFF for a, b, m in zip(old, new, repeated, strict=True))

    return tear


def leave(garbage: bytes):
    """A cut erase leaves anything at all: chips write noughts before they erase."""

    def tear(old: bytes, new: bytes) -> bytes:
        if len(new) == PAGE_BYTES:
            return mix(garbage)(old, new)
        return (garbage * len(old))[: len(old)]

    return tear


def first_bytes(count: int):
    return lambda old, new: new[:count] + old[count:]


DONE_NOT, DONE = mix(b"\xff"), mix(b"\x00")
MASKS = st.one_of(
    st.sampled_from([b"\x00", b"\xff", b"\x55", b"\x01", b"\xfe"]),
    st.binary(min_size=PAGE_BYTES, max_size=SECTOR_BYTES),
)
TEARS = st.one_of(MASKS.map(mix), MASKS.map(leave), st.integers(0, SECTOR_BYTES).map(first_bytes))
VALUES = st.binary(min_size=1, max_size=CAPACITY_BYTES)


# -- what is stored is found ----------------------------------------------------------------------


@given(values=st.lists(VALUES, min_size=1, max_size=5), count=st.integers(2, 4), data=st.data())
def test_the_last_value_is_found_however_it_came_in_pieces(values, count, data):
    flash = small_flash(count)
    assert value(flash, count) is None
    keep = slots(flash, count)
    for number, written in enumerate(values, 1):
        keep.begin(len(written))
        at = 0
        while at < len(written):
            size = data.draw(st.integers(1, len(written) - at))
            keep.append(written[at : at + size])
            at += size
        draft = keep.draft()
        assert draft.read(0, draft.length_bytes) == written
        stored = keep.commit()
        assert (stored.sequence, stored.length_bytes) == (number, len(written))
        assert value(flash, count) == written
        offset, length = data.draw(st.integers(0, 300)), data.draw(st.integers(0, 300))
        assert stored.read(offset, length) == written[offset : offset + length]


def test_a_value_that_is_not_committed_does_not_count():
    flash = small_flash()
    keep = slots(flash)
    keep.write(b"old")
    keep.begin(3)
    keep.append(b"new")
    assert keep.draft().read(0, 3) == b"new"
    assert value(flash) == b"old"
    assert keep.active().read(0, 3) == b"old"
    keep.abandon()
    refused(storage.NOT_BEGUN, keep.commit)


@given(count=st.integers(2, 4), rounds=st.integers(1, 3))
def test_slots_wear_alike(count, rounds):
    flash = small_flash(count)
    for number in range(rounds * count):
        slots(flash, count).write(bytes([number]) * CAPACITY_BYTES)
    erased = [offset for kind, offset in flash.operations if kind == "erase"]
    sectors = range(0, flash.size_bytes, SECTOR_BYTES)
    assert [erased.count(offset) for offset in sectors] == [rounds] * len(sectors)


def test_no_call_erases_more_than_it_is_handed_data_for():
    flash = NorFlash(2 * 17)
    keep = Slots(flash, TAG, 0, 17 * 4096)

    def erases(call, *arguments) -> int:
        before = sum(kind == "erase" for kind, _ in flash.operations)
        call(*arguments)
        return sum(kind == "erase" for kind, _ in flash.operations) - before

    assert erases(keep.begin, library.GREATEST_BYTES) == 1
    part = bytes(range(256)) * 2
    taken = [erases(keep.append, part) for _ in range(library.GREATEST_BYTES // len(part))]
    assert max(taken) == 1
    assert sum(taken) == 16
    assert erases(keep.commit) == 0
    assert keep.active().crc() == crc32(part * (library.GREATEST_BYTES // len(part)))


def test_neither_neighbours_nor_the_value_that_counts_are_touched():
    flash = NorFlash(8, SECTOR_BYTES, PAGE_BYTES)
    before = bytes(flash.bytes)
    keep = Slots(flash, TAG, 2 * SECTOR_BYTES, SLOT_SECTORS * SECTOR_BYTES)
    keep.write(b"\x00" * CAPACITY_BYTES)
    old = flash.read(2 * SECTOR_BYTES, 2 * SECTOR_BYTES)
    keep.write(b"\x01" * CAPACITY_BYTES)
    assert flash.read(2 * SECTOR_BYTES, 2 * SECTOR_BYTES) == old
    end = 6 * SECTOR_BYTES
    assert flash.read(0, 2 * SECTOR_BYTES) == before[: 2 * SECTOR_BYTES]
    assert flash.read(end, 2 * SECTOR_BYTES) == before[end:]


# -- cuts -----------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(
    lengths=st.tuples(*3 * [st.integers(1, CAPACITY_BYTES)]),
    tears=st.tuples(TEARS, TEARS),
    second=st.integers(0, 12),
    count=st.integers(2, 3),
)
@example(lengths=(1, 1, 1), tears=(DONE, DONE), second=0, count=2)
@example(lengths=(CAPACITY_BYTES,) * 3, tears=(DONE_NOT, DONE_NOT), second=11, count=2)
def test_a_cut_at_every_operation_and_at_one_of_the_next_install(lengths, tears, second, count):
    old, new, third = (
        bytes([n]) * length for n, length in zip(b"\x00\x5a\xff", lengths, strict=True)
    )
    first = 0
    while True:
        flash = small_flash(count)
        slots(flash, count).write(old)
        if not cut(flash, new, first, tears[0], count):
            break
        is_last = flash.seen[-1] == ("program", SLOT_SECTORS * SECTOR_BYTES)
        before = value(flash, count)
        # The header is the last that is written; whatever comes before, the old is what counts.
        assert before == old or (before == new and is_last)
        cut(flash, third, second, tears[1], count)
        assert value(flash, count) in (before, third)
        assert not cut(flash, new, None, None, count)
        assert value(flash, count) == new
        first += 1
    assert value(flash, count) == new
    # An erase for each sector begun, a program for each page, one of the header.
    pages = -(-len(new) // PAGE_BYTES) + 1
    assert first == pages + -(-pages * PAGE_BYTES // SECTOR_BYTES)


@given(tear=TEARS, length=st.integers(1, CAPACITY_BYTES), at=st.integers(0, 11))
def test_a_cut_of_the_very_first_install_leaves_nothing_or_all(tear, length, at):
    flash = small_flash()
    new = b"\xa5" * length
    cut(flash, new, at, tear)
    assert value(flash) in (None, new)
    assert not cut(flash, new, None, None)
    assert value(flash) == new


def test_every_cut_with_the_chip_s_own_sizes():
    chance = random.Random(5)
    old, new, third = (chance.randbytes(9_000) for _ in range(3))
    spot = NorFlash(6)
    Slots(spot, TAG, 0, 3 * 4096).write(old)
    kept = bytes(spot.bytes)

    def torn(before: bytes, after: bytes) -> bytes:
        return mix(chance.randbytes(len(before)))(before, after)

    def install(data: bytes, at: int | None) -> bytes:
        spot.power_on()
        spot.cut_at, spot.tear = at, torn
        try:
            Slots(spot, TAG, 0, 3 * 4096).write(data)
        except PowerCutError:
            pass
        else:
            assert at is None
        stored = Slots(spot, TAG, 0, 3 * 4096).active()
        return stored.read(0, stored.length_bytes)

    assert install(new, None) == new
    operations = len(spot.operations)
    # 36 pages of the value, its header, three erases.
    assert operations == 40
    for first in range(operations):
        spot.bytes[:] = kept
        before = install(new, first)
        assert before in (old, new)
        assert install(third, (first * 7) % operations) in (before, third)
        assert install(third, None) == third


def test_micropython_finds_the_same():
    if not support.MICROPYTHON.exists():
        pytest.skip("the MicroPython unix port is not installed (extra: bench)")
    done = subprocess.run(
        [support.MICROPYTHON, support.SCRIPTS / "slots.py", str(support.FIRMWARE)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # 20 pages, a header, two erases: each cut in four ways, twice.
    assert int(done.stdout) == 23 * 4 * 2


# -- damage ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("slot", [0, 1])
def test_every_single_flipped_bit_of_what_is_stored_is_noticed(slot):
    flash = small_flash()
    older, newer = b"older" * 9, b"newer" * 9
    for written in (older, newer):
        slots(flash).write(written)
    first = slot * SLOT_SECTORS * SECTOR_BYTES
    header = range(first, first + storage.HEADER_BYTES)
    body = range(first + PAGE_BYTES, first + PAGE_BYTES + len(newer))
    for at in [*header, *body]:
        for bit in range(8):
            flash.bytes[at] ^= 1 << bit
            assert value(flash) == (newer if slot == 0 else older)
            flash.bytes[at] ^= 1 << bit
    assert value(flash) == newer


@given(contents=st.binary(min_size=4 * SECTOR_BYTES, max_size=4 * SECTOR_BYTES))
def test_a_start_makes_nothing_of_what_it_does_not_know(contents):
    flash = small_flash()
    flash.bytes[:] = contents
    assert value(flash) is None
    slots(flash).write(b"value")
    assert value(flash) == b"value"


@given(
    sequence=st.integers(0, 2**32 - 1),
    length=st.one_of(st.sampled_from([0, CAPACITY_BYTES + 1]), st.integers(0, 2**32 - 1)),
)
def test_a_header_with_a_right_sum_and_an_impossible_length_is_none(sequence, length):
    flash = small_flash()
    header = storage.MAGIC + TAG + b"".join(n.to_bytes(4, "little") for n in (sequence, length, 0))
    header += crc32(header).to_bytes(4, "little")
    flash.bytes[: len(header)] = header
    assert value(flash) is None


def test_a_sequence_is_above_that_of_a_damaged_slot():
    flash = small_flash(3)
    for number in range(3):
        slots(flash, 3).write(bytes([number]) * 40)
    damaged = 2 * SLOT_SECTORS * SECTOR_BYTES + PAGE_BYTES
    flash.bytes[damaged] ^= 1
    keep = slots(flash, 3)
    assert keep.active().sequence == 2
    assert keep.write(b"new").sequence == 4


def test_a_value_of_another_tag_is_none():
    flash = small_flash()
    slots(flash).write(b"value")
    assert Slots(flash, b"ELSE", 0, SLOT_SECTORS * SECTOR_BYTES).active() is None


def test_look_judges_anew():
    flash = small_flash()
    keep = slots(flash)
    for written in (b"old", b"new"):
        keep.write(written)
    flash.bytes[SLOT_SECTORS * SECTOR_BYTES + PAGE_BYTES] ^= 1
    assert keep.active().sequence == 2
    assert keep.look().read(0, 3) == b"old"


# -- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [-1, 0, CAPACITY_BYTES + 1])
def test_a_length_that_no_slot_holds(length):
    keep = slots(small_flash())
    assert refused(storage.BAD_LENGTH, keep.begin, length).at == length


def test_more_or_less_than_was_announced():
    flash = small_flash()
    keep = slots(flash)
    keep.begin(40)
    keep.append(b"a" * 39)
    refused(storage.TOO_LITTLE, keep.commit)
    refused(storage.TOO_MUCH, keep.append, b"ab")
    keep.append(b"b")
    keep.commit()
    assert value(flash) == b"a" * 39 + b"b"
    refused(storage.NOT_BEGUN, keep.append, b"c")


@pytest.mark.parametrize("page", range(8))
def test_a_page_that_does_not_take_is_noticed_and_the_old_value_counts(page):
    flash = small_flash()
    keep = slots(flash)
    keep.write(b"old")
    flash.power_on()
    # An operation that is lost, without the power's going: a cell that is worn out.
    worn = SLOT_SECTORS * SECTOR_BYTES + page * PAGE_BYTES
    program = flash.program

    def program_but_one(offset: int, data: bytes) -> None:
        program(offset, b"\xff" * PAGE_BYTES if offset == worn else data)

    flash.program = program_but_one
    error = refused(storage.NOT_TAKEN, keep.write, b"\x00" * CAPACITY_BYTES)
    assert error.at == worn
    refused(storage.NOT_BEGUN, keep.commit)
    assert keep.active().read(0, 3) == b"old"
    assert value(flash) == b"old"


def test_what_changes_behind_the_writer_is_noticed_before_it_counts():
    flash = small_flash()
    keep = slots(flash)
    keep.write(b"old")
    keep.begin(2 * PAGE_BYTES)
    keep.append(b"\x5a" * 2 * PAGE_BYTES)
    flash.bytes[SLOT_SECTORS * SECTOR_BYTES + PAGE_BYTES] ^= 2
    refused(storage.NOT_TAKEN, keep.draft)
    refused(storage.NOT_BEGUN, keep.commit)
    assert value(flash) == b"old"


@pytest.mark.parametrize("operation", range(10))
def test_a_device_that_refuses_leaves_the_old_value_and_nothing_begun(operation):
    flash = small_flash()
    keep = slots(flash)
    keep.write(b"old")
    flash.power_on()
    change = flash._change

    def refuse(kind: str, offset: int, new: bytes) -> None:
        if len(flash.operations) == operation:
            raise StorageError(storage.MOTOR_RUNS, offset)
        change(kind, offset, new)

    flash._change = refuse
    refused(storage.MOTOR_RUNS, keep.write, b"\x00" * CAPACITY_BYTES)
    refused(storage.NOT_BEGUN, keep.append, b"x")
    flash._change = change
    assert value(flash) == b"old"
    keep.write(b"new")
    assert value(flash) == b"new"


@pytest.mark.parametrize(
    "arguments",
    [
        (b"TES", 0, 256, 2),
        (TAG, -128, 256, 2),
        (TAG, 32, 256, 2),
        (TAG, 0, 32, 2),
        (TAG, 0, 200, 2),
        (TAG, 0, 256, 1),
        (TAG, 128, 256, 2),
        (TAG, 0, 256, 3),
    ],
)
def test_slots_that_do_not_fit(arguments):
    with pytest.raises(ValueError, match="do not fit"):
        Slots(small_flash(), *arguments)


# -- the region, as data in several places --------------------------------------------------------

FLASH_BYTES = {"pico": 2 << 20, "pico_w": 2 << 20, "pico2": 4 << 20}
FILE_SYSTEM_AT = 1 << 20


def constant(path: str, name: str) -> int:
    text = (support.REPO / path).read_text(encoding="utf-8")
    (found,) = re.findall(rf"^(?:#define )?{name}(?: =)? \(?([0-9 *]+)\)?$", text, re.MULTILINE)
    first, _, second = found.partition("*")
    return int(first) * int(second)


@pytest.mark.parametrize("board", FLASH_BYTES)
def test_the_file_system_begins_behind_the_first_mib(board):
    header = f"boards/{board}/mpconfigboard.h"
    reserved_bytes = constant("firmware/rp2/flash.py", "RESERVED_BYTES")
    assert constant("firmware/_boot.py", "_RESERVED_BYTES") == reserved_bytes
    assert constant(header, "MICROPUMP_RESERVED_BYTES") == reserved_bytes
    (storage_bytes,) = re.findall(
        r"MICROPY_HW_FLASH_STORAGE_BYTES \((.*)\)\n", (support.REPO / header).read_text()
    )
    storage_bytes = storage_bytes.replace("PICO_FLASH_SIZE_BYTES", str(FLASH_BYTES[board]))
    storage_bytes = storage_bytes.replace("MICROPUMP_RESERVED_BYTES", str(reserved_bytes))
    terms = re.findall(r"([+-]?) ?(\d+(?: \* \d+)?)", storage_bytes)
    total = 0
    for sign, term in terms:
        first, _, second = term.partition(" * ")
        total += (-1 if sign == "-" else 1) * int(first) * int(second or 1)
    assert total == FLASH_BYTES[board] - FILE_SYSTEM_AT + reserved_bytes


def test_the_library_s_slots_hold_the_greatest_library_and_fit():
    sectors = 17
    assert constant("firmware/rp2/flash.py", "RESERVED_BYTES") >= 2 * sectors * 4096
    keep = Slots(NorFlash(2 * sectors), b"LIBR", 0, sectors * 4096)
    assert keep.capacity_bytes >= library.GREATEST_BYTES
    assert keep.capacity_bytes - 4096 < library.GREATEST_BYTES


def test_an_image_has_to_end_where_the_region_begins():
    # That none goes beyond is the builder's to see (test_image.py).
    reserved_bytes = constant("firmware/rp2/flash.py", "RESERVED_BYTES")
    assert FILE_SYSTEM_AT - reserved_bytes == IMAGE_BYTES
