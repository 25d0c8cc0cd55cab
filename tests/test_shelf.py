"""A drug library on its way onto the pump: old or new, whole, and never one that is not meant."""

import hashlib
import sys
from dataclasses import replace

import libraries
import pytest
import support
from hypothesis import given, settings
from hypothesis import strategies as st
from pumps import Bedside

sys.path.insert(0, str(support.SCRIPTS))

from nor_flash import NorFlash, PowerCutError

from micropump import journal, library, shelf, storage, wire
from micropump.shelf import Shelf, ShelfError
from micropump.storage import Slots
from micropump_host.library.image import build_image

KEY = libraries.KEY
OTHER_KEY = bytes(reversed(KEY))
OLD = build_image(libraries.small(), KEY)
NEW = build_image(replace(libraries.small(), version=8, name="A newer one"), KEY)
OLDER = build_image(replace(libraries.small(), version=6), KEY)
SECTOR_BYTES, PAGE_BYTES = 512, 64
SECTORS = -(-max(len(OLD), len(NEW)) // SECTOR_BYTES) + 1


def flash() -> NorFlash:
    return NorFlash(2 * SECTORS + 2, SECTOR_BYTES, PAGE_BYTES)


def opened(device: NorFlash) -> Shelf:
    """What a start makes of the flash."""
    slot_bytes = SECTORS * SECTOR_BYTES
    images = Slots(device, b"LIBR", 0, slot_bytes)
    return Shelf(images, Slots(device, b"KEYS", 2 * slot_bytes, SECTOR_BYTES))


def install(found: Shelf, image: bytes, part_bytes: int = 200) -> None:
    found.begin(len(image))
    for at in range(0, len(image), part_bytes):
        found.take(at, image[at : at + part_bytes])
    found.commit()


def provisioned(image: bytes = b"") -> NorFlash:
    device = flash()
    found = opened(device)
    found.provision(KEY, b"")
    if image:
        install(found, image)
    return device


def refusal(call, *arguments) -> int:
    with pytest.raises(ShelfError) as caught:
        call(*arguments)
    return caught.value.code


def test_what_is_installed_is_found_at_the_next_start():
    device = provisioned()
    assert opened(device).missing == shelf.NONE_INSTALLED
    found = opened(device)
    install(found, OLD)
    for each in (found, opened(device)):
        assert (each.missing, each.library.version) == (0, 7)
        assert each.sha256 == hashlib.sha256(OLD).digest()
    install(found, NEW)
    assert opened(device).library.name() == "A newer one"


@settings(max_examples=60)
@given(data=st.data(), part_bytes=st.integers(1, 600))
def test_an_install_cut_anywhere_leaves_the_old_or_the_new_whole(data, part_bytes):
    device = provisioned(OLD)
    before = len(device.operations)
    install(opened(device), NEW, part_bytes)
    last = len(device.operations) - before

    device = provisioned(OLD)
    device.cut_at = len(device.operations) + data.draw(st.integers(0, last - 1))
    mask = data.draw(st.binary(min_size=PAGE_BYTES, max_size=PAGE_BYTES))
    device.tear = lambda old, new: bytes(
        a & m | b & ~m & 0xFF
        for a, b, m in zip(old, new, (mask * len(old))[: len(old)], strict=True)
    )
    with pytest.raises(PowerCutError):
        install(opened(device), NEW, part_bytes)
    device.power_on()
    found = opened(device)
    assert found.missing == 0
    assert found.sha256 in (hashlib.sha256(OLD).digest(), hashlib.sha256(NEW).digest())
    # And it can be done again.
    install(found, NEW)
    assert opened(device).library.version == 8


def test_whatever_bit_is_flipped_on_the_way_the_old_one_stays():
    device = provisioned(OLD)
    found = opened(device)
    for at in range(0, len(NEW), 7):
        flipped = bytearray(NEW)
        flipped[at] ^= 1 << at % 8
        code = refusal(install, found, bytes(flipped))
        assert shelf.IMAGE_REFUSED < code < shelf.STORAGE_REFUSED
        assert found.sha256 == hashlib.sha256(OLD).digest()
    assert opened(device).library.version == 7


@pytest.mark.parametrize(
    ("image", "code"),
    [
        (build_image(libraries.small(), None), library.NOT_SIGNED),
        (build_image(libraries.small(), OTHER_KEY), library.BAD_SIGNATURE),
        (OLDER, library.TOO_OLD),
        (b"\xff" * len(OLD), library.BAD_MAGIC),
    ],
    ids=["unsigned", "other-key", "older", "no-image"],
)
def test_what_is_not_meant_for_this_pump_is_refused(image, code):
    device = provisioned(OLD)
    found = opened(device)
    assert refusal(install, found, image) == shelf.IMAGE_REFUSED + code
    for each in (found, opened(device)):
        assert each.library.version == 7
    # The same version may be put in again.
    install(found, OLD)


def test_too_large_and_too_small_are_refused_before_anything_is_erased():
    device = provisioned(OLD)
    found = opened(device)
    operations = len(device.operations)
    for size in (0, library.LEAST_BYTES - 1, found.capacity_bytes() + 1, 0xFFFFFFFF):
        assert refusal(found.begin, size) == shelf.IMAGE_REFUSED + library.BAD_SIZE
    assert len(device.operations) == operations


def test_parts_come_in_order_and_only_after_a_beginning():
    found = opened(provisioned())
    assert refusal(found.take, 0, b"x") == shelf.NOTHING_BEGUN
    assert refusal(found.commit) == shelf.NOTHING_BEGUN
    found.begin(len(OLD))
    found.take(0, OLD[:100])
    assert refusal(found.take, 0, OLD[:100]) == shelf.OTHER_OFFSET
    assert refusal(found.take, 101, OLD[101:]) == shelf.OTHER_OFFSET
    assert refusal(found.commit) == shelf.STORAGE_REFUSED + storage.TOO_LITTLE
    # An end that was refused is the end of it.
    assert refusal(found.take, 100, OLD[100:]) == shelf.NOTHING_BEGUN
    found.begin(len(OLD))
    assert refusal(found.take, 0, OLD + b"x") == shelf.STORAGE_REFUSED + storage.TOO_MUCH


def test_a_pump_without_key_takes_no_library():
    device = flash()
    found = opened(device)
    assert refusal(found.begin, len(OLD)) == shelf.NEEDS_KEY
    assert not found.has_key()
    assert device.operations == []


def test_a_key_is_replaced_by_who_knows_it():
    device = provisioned(OLD)
    found = opened(device)
    assert refusal(found.provision, OTHER_KEY, b"") == shelf.HAS_KEY
    assert refusal(found.provision, OTHER_KEY, bytes(32)) == shelf.HAS_KEY
    mac = library.Hmac(KEY)
    mac.update(OTHER_KEY)
    proof = mac.digest()
    # A proof is of one key.
    assert refusal(found.provision, KEY, proof) == shelf.HAS_KEY
    found.provision(OTHER_KEY, proof)
    # What was signed with the key before is not used any more.
    for each in (found, opened(device)):
        assert (each.library, each.missing) == (None, library.BAD_SIGNATURE)
    install(found, build_image(libraries.small(), OTHER_KEY))
    assert opened(device).library.version == 7
    # To have recorded the change is of no use.
    assert refusal(found.provision, OTHER_KEY, proof) == shelf.HAS_KEY


def test_the_newest_whole_one_is_used_when_the_last_is_damaged():
    device = provisioned(OLD)
    install(opened(device), NEW)
    # Where the newer image lies: the second slot, behind its header's page.
    at = SECTORS * SECTOR_BYTES + PAGE_BYTES + 40
    device.bytes[at] ^= 0x10
    assert opened(device).library.version == 7


def test_the_feed_is_called_while_an_image_is_gone_over():
    fed: list[int] = []
    device = provisioned(OLD)
    slot_bytes = SECTORS * SECTOR_BYTES
    images = Slots(device, b"LIBR", 0, slot_bytes)
    keys = Slots(device, b"KEYS", 2 * slot_bytes, SECTOR_BYTES)
    found = Shelf(images, keys, lambda: fed.append(1))
    at_start = len(fed)
    assert at_start > len(OLD) // 256
    install(found, NEW)
    assert len(fed) > at_start + len(NEW) // 256


# -- over the wire --------------------------------------------------------------------------------


def bedside() -> Bedside:
    found = Bedside()
    found.client.provision(KEY)
    return found


def load(found: Bedside) -> int:
    fields = {**support.order_of(1), "kind": 1, "item_id": "bd-plastipak-50"}
    return found.client.prescribe(1, fields).program_id


def test_an_install_over_the_wire_is_told_and_noted():
    found = bedside()
    assert found.client.library().missing == "none is installed"
    told: list[int] = []
    found.client.install_library(OLD, told.append)
    assert told[-1] == len(OLD)
    assert told == sorted(set(told))
    info = found.client.library()
    assert (info.missing, info.has_key, info.version, info.drugs) == ("", True, 7, 2)
    assert (info.library_id, info.library_name) == ("fixture", "A fixture")
    assert (info.size_bytes, info.sha256) == (len(OLD), hashlib.sha256(OLD).hexdigest())
    assert info.received_bytes == 0
    (installed,) = found.events(journal.LIBRARY_INSTALLED)
    assert (installed.a, installed.b) == (7, len(OLD))
    assert len(found.events(journal.KEY_SET)) == 1


def test_a_refused_install_is_noted_and_the_old_one_stays():
    found = bedside()
    found.client.install_library(NEW)
    error = found.refused(found.client.install_library, OLDER)
    assert error.code == shelf.IMAGE_REFUSED + library.TOO_OLD
    assert "older" in error.what
    (refused,) = found.events(journal.LIBRARY_REFUSED)
    assert "older" in refused.text
    assert found.client.library().version == 8


@pytest.mark.parametrize("state", ["programmed", "infusing", "paused", "alarm"])
def test_nothing_is_changed_while_a_program_is_loaded(state):
    found = bedside()
    client = found.client
    client.install_library(OLD)
    program_id = load(found)
    if state != "programmed":
        # Outside the library, which is confirmed.
        asks = found.refused(client.start, program_id).asks
        client.start(program_id, asks)
    if state == "paused":
        client.pause()
    if state == "alarm":
        found.pump.inputs.interlock_open = True
        found.wait(1)
    assert client.status().state == state
    for call in (
        lambda: client.install_library(NEW),
        lambda: client.provision(OTHER_KEY, KEY),
    ):
        assert "state" in found.refused(call).what
    assert client.library().version == 7
    client.stop()
    if state == "alarm":
        found.pump.inputs.interlock_open = False
        client.acknowledge()
    client.install_library(NEW)
    assert client.library().version == 8


def test_a_program_in_mid_install_leaves_the_old_one():
    found = bedside()
    client = found.client
    client.install_library(OLD)
    client._command(wire.LIBRARY_BEGIN, size_bytes=len(NEW))
    client._command(wire.LIBRARY_PART, offset_bytes=0, part=NEW[:100])
    assert client.library().received_bytes == 100
    load(found)
    part = {"offset_bytes": 100, "part": NEW[100:200]}
    assert "state" in found.refused(client._command, wire.LIBRARY_PART, **part).what
    client.stop()
    # It goes on where it was.
    client._command(wire.LIBRARY_PART, **part)
    assert client.library().version == 7
