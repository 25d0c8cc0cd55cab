"""The library's image: from the source to the board's look-up, and what is refused on the way."""

import ast
import dataclasses
import hmac
import random
import re
import struct
import subprocess
import sys
import zlib
from fractions import Fraction

import libraries
import pytest
import support
from hypothesis import given, settings
from hypothesis import strategies as st

from micropump import library as board
from micropump.library import ImageError, OutsideError
from micropump_host.library import image
from micropump_host.library.model import (
    KINDS,
    LEVELS,
    MASS,
    PROGRAMS,
    UNITS,
    DrugConcentration,
    LimitUnit,
)

KEY = libraries.KEY
TRAILER_BYTES = board.CRC_BYTES + board.MAC_BYTES
AMOUNTS = {board.NG: MASS, board.MILLIUNITS: UNITS}


def signed(body: bytes, key: bytes = KEY) -> bytes:
    summed = body + struct.pack("<I", zlib.crc32(body))
    return summed + hmac.digest(key, summed, "sha256")


def opened(data: bytes, key: bytes = KEY, least_version: int = 0) -> board.Library:
    return board.verify(image.reader_of(data), len(data), key, least_version)


def refusal(data: bytes, key: bytes = KEY, least_version: int = 0) -> int:
    with pytest.raises(ImageError) as refused:
        opened(data, key, least_version)
    return refused.value.code


def places(held: board.Library, drug: int) -> dict[tuple[str, Fraction], int]:
    return {
        (AMOUNTS[amount], mantissa * Fraction(10) ** exponent): at
        for at, (amount, mantissa, exponent) in enumerate(held.concentrations_of(drug))
    }


# -- what is looked up is what was written -------------------------------------------------------


def check_limits(limits: board.Limits, use) -> None:
    for kind, name in enumerate(KINDS):
        limit = use.limit(name)
        told = limits.of(kind)
        if limit is None:
            assert told == []
            continue
        assert len(told) == len(LEVELS)
        for level, parts in zip(LEVELS, told, strict=True):
            written = limit.level(level)
            if written is None:
                assert parts is None
            else:
                assert parts[0] * Fraction(10) ** parts[1] == written.value
                assert LimitUnit.of_code(parts[2]) == limit.unit
    assert limits.programs == sum(1 << PROGRAMS[name] for name in use.programs)
    assert limits.kvo == ("rule", "off", "limit").index(use.kvo)
    assert LimitUnit.of_code(limits.dosing) == use.dosing
    assert limits.dosing_text == use.dosing_text
    assert limits.air_ul == (use.air_ul or 0)
    assert limits.occlusion_kpa == (use.occlusion_kpa or 0)


@settings(max_examples=60)
@given(libraries.libraries())
def test_every_limit_is_found_exactly_and_nothing_else(source):
    held = opened(image.build_image(source, KEY))
    assert (held.library_id(), held.name(), held.version) == (
        source.library_id, source.name, source.version,
    )  # fmt: skip
    assert held.source_sha256().hex() == image.source_sha256(source)
    assert dict(held.area(at) for at in range(held.areas)) == dict(source.care_areas)
    assert held.drugs == len(source.drugs)
    for drug in source.drugs:
        index = held.drug_index(drug.drug_id)
        assert held.drug(index) == (drug.drug_id, drug.name)
        dilutions = places(held, index)
        assert set(dilutions) == {
            (each.amount, each.per_ml) for use in drug.uses for each in use.concentrations
        }
        for area_id in source.care_areas:
            area = held.area_index(area_id)
            use = drug.use_in(area_id)
            mine = {(each.amount, each.per_ml) for each in use.concentrations} if use else set()
            at_all = [*dilutions.items(), (None, board.NO_CONCENTRATION), (None, len(dilutions))]
            for dilution, at in at_all:
                for name, kind in PROGRAMS.items():
                    is_mine = dilution in mine or (not mine and at == board.NO_CONCENTRATION)
                    if use and is_mine and name in use.programs:
                        check_limits(held.find(index, area, at, kind), use)
                        continue
                    with pytest.raises(OutsideError) as outside:
                        held.find(index, area, at, kind)
                    assert outside.value.code == (
                        board.NOT_IN_THIS_AREA if not use
                        else board.OTHER_PROGRAM if is_mine
                        else board.NO_SUCH_CONCENTRATION
                    )  # fmt: skip


@settings(max_examples=50)
@given(libraries.libraries())
def test_an_image_reads_back_as_the_library_that_it_was_made_of(source):
    back = image.read_image(image.build_image(source, None), "lib.mpl")
    assert dict(back.care_areas) == dict(source.care_areas)
    for drug, again in zip(source.drugs, back.drugs, strict=True):
        for area in source.care_areas:
            use, use_again = drug.use_in(area), again.use_in(area)
            assert (use is None) == (use_again is None)
            if use:
                assert sans_text(use_again) == sans_text(use)


def sans_text(use):
    limits = {
        limit.kind: (limit.unit, {level.name: level.value for level in limit.levels})
        for limit in use.limits
    }
    diluted = sorted(each.per_ml for each in use.concentrations)
    return (
        limits, diluted, sorted(use.programs), use.dosing, use.dosing_text, use.kvo, use.air_ul,
        use.occlusion_kpa,
    )  # fmt: skip


def test_what_is_written_back_is_what_people_write():
    back = image.read_image(image.build_image(libraries.small(), KEY), "lib.mpl")
    use = back.drug("morphine").use_in("home")
    assert [level.text for level in use.limit("rate").levels] == ["100 mcg/h", "2 mg/h", "5 mg/h"]
    assert [each.text for each in use.concentrations] == ["1 mg/mL", "5 mg/mL"]


@settings(max_examples=50)
@given(libraries.libraries(), libraries.IDS)
def test_an_id_that_is_not_there_is_not_found(source, other_id):
    held = opened(image.build_image(source, KEY))
    for other in (other_id, "", "a" * 25, "drug\0", "é"):
        if source.drug(other) is None:
            with pytest.raises(OutsideError) as outside:
                held.drug_index(other)
            assert outside.value.code == board.NO_SUCH_DRUG
        if other not in source.care_areas:
            with pytest.raises(OutsideError) as outside:
                held.area_index(other)
            assert outside.value.code == board.NO_SUCH_AREA


def test_places_that_are_not_there_are_refused():
    held = opened(image.build_image(libraries.small(), KEY))
    cases = [
        (lambda: held.drug(2), board.NO_SUCH_DRUG),
        (lambda: held.area(2), board.NO_SUCH_AREA),
        (lambda: held.find(2, 0, 0, 1), board.NO_SUCH_DRUG),
        (lambda: held.find(0, 2, 0, 1), board.NO_SUCH_AREA),
        (lambda: held.concentration(0, 2), board.NO_SUCH_CONCENTRATION),
        (lambda: held.concentration(1, 0), board.NO_SUCH_CONCENTRATION),
    ]
    for look_up, code in cases:
        with pytest.raises(OutsideError) as outside:
            look_up()
        assert outside.value.code == code
    assert held.concentration(0, board.NO_CONCENTRATION) is None


@settings(max_examples=50)
@given(libraries.libraries())
def test_the_same_library_gives_the_same_bytes_in_whatever_order_it_stands(source):
    turned = dataclasses.replace(
        source,
        care_areas=dict(reversed(source.care_areas.items())),
        drugs=tuple(reversed(source.drugs)),
    )
    one, other = image.build_image(source, KEY), image.build_image(turned, KEY)
    # The canonical source, and with it its hash, is the reader's; drugs come sorted from it.
    assert one[:64] + one[96:-TRAILER_BYTES] == other[:64] + other[96:-TRAILER_BYTES]


# -- what is refused -----------------------------------------------------------------------------


def test_every_single_flipped_bit_of_a_small_image_is_refused():
    data = image.build_image(libraries.small(), KEY)
    for bit in range(8 * len(data)):
        broken = bytearray(data)
        broken[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ImageError):
            opened(bytes(broken))


def test_every_flipped_bit_of_an_unsigned_image_is_refused_without_a_key():
    data = image.build_image(libraries.small(), None)
    for bit in range(8 * len(data)):
        broken = bytearray(data)
        broken[bit // 8] ^= 1 << bit % 8
        with pytest.raises(image.ImageRefusedError):
            image.open_image(bytes(broken), None)


def test_flipped_bits_of_a_large_image_are_refused():
    data = image.build_image(libraries.large(), KEY)
    draw = random.Random(5)
    for bit in [draw.randrange(8 * len(data)) for _ in range(150)]:
        broken = bytearray(data)
        broken[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ImageError):
            opened(bytes(broken))


def test_each_reason_to_refuse():
    source = libraries.small()
    data = image.build_image(source, KEY)
    body = data[:-TRAILER_BYTES]

    def changed(at: int, to: bytes) -> bytes:
        return signed(body[:at] + to + body[at + len(to) :])

    assert refusal(b"") == board.BAD_SIZE
    assert refusal(data[: board.LEAST_BYTES - 1]) == board.BAD_SIZE
    assert refusal(data[:-1]) == board.BAD_SIZE
    assert refusal(data + b"\0") == board.BAD_SIZE
    assert refusal(data + bytes(board.GREATEST_BYTES)) == board.BAD_SIZE
    assert refusal(changed(0, b"MPLC")) == board.BAD_MAGIC
    assert refusal(changed(4, b"\2")) == board.OTHER_FORMAT
    assert refusal(changed(5, b"\0")) == board.NOT_SIGNED
    assert refusal(changed(5, b"\3")) == board.NOT_SIGNED
    assert refusal(image.build_image(source, None)) == board.NOT_SIGNED
    assert refusal(data, key=KEY[:-1] + b"x") == board.BAD_SIGNATURE
    assert refusal(signed(body, b"")) == board.BAD_SIGNATURE
    assert refusal(data[:-TRAILER_BYTES] + b"\0\0\0\0" + data[-32:]) == board.BAD_CRC
    assert refusal(data, least_version=8) == board.TOO_OLD
    assert opened(data, least_version=7).version == 7
    assert refusal(changed(6, b"\0")) == board.BAD_LAYOUT
    assert refusal(changed(7, b"\1")) == board.BAD_LAYOUT
    assert refusal(changed(16, b"\3")) == board.BAD_LAYOUT
    assert refusal(changed(22, b"\1")) == board.BAD_LAYOUT
    for offset in range(24, 36, 2):
        assert refusal(changed(offset, b"\xff\xff")) == board.BAD_LAYOUT
    assert refusal(changed(36, b"\xff\xff")) == board.BAD_TEXT
    assert refusal(changed(40, b"Fixture")) == board.BAD_TEXT
    areas_at, drugs_at, concentrations_at, uses_at, sets_at, texts_at = struct.unpack_from(
        "<6H", body, 24
    )
    assert body[areas_at : areas_at + 4] == b"home"
    assert refusal(changed(areas_at, b"x")) == board.NOT_SORTED
    assert refusal(changed(drugs_at, b"saline\0\0")) == board.NOT_SORTED
    assert refusal(changed(drugs_at, b"mor phine")) == board.BAD_TEXT
    assert refusal(changed(drugs_at + 26, b"\1")) == board.BAD_LAYOUT
    assert refusal(changed(drugs_at + 30, b"\x09")) == board.BAD_LAYOUT
    assert refusal(changed(drugs_at + 31, b"\x01")) == board.BAD_LAYOUT
    assert refusal(changed(concentrations_at, b"\0")) == board.BAD_CONCENTRATION
    assert refusal(changed(concentrations_at + 2, b"\0\0\0\0")) == board.BAD_CONCENTRATION
    assert refusal(changed(uses_at, b"\1")) == board.NOT_SORTED
    assert refusal(changed(uses_at, b"\2")) == board.NOT_SORTED
    assert refusal(changed(uses_at + 2, b"\4")) == board.BAD_USE
    assert refusal(changed(uses_at + 3, b"\3")) == board.BAD_USE
    assert refusal(changed(uses_at + 12, b"\1\0")) == board.BAD_LAYOUT
    # Of the first set: length, kinds; of its rate: levels, unit, exponent, mantissas.
    assert body[sets_at + 2 : sets_at + 10] == b"\x89\x01\x19\x11\5\1\x14\x32"
    for offset, to in (
        (3, b"\x09"),
        (4, b"\0"),
        (4, b"\x20"),
        (5, b"\1"),
        (5, b"\3"),
        (5, b"\x33"),
        (6, b"\x7f"),
        (7, b"\0"),
        (7, b"\x0a"),
        (7, b"\x80" * 17),
    ):
        assert refusal(changed(sets_at + offset, to)) == board.BAD_LIMIT, offset
    assert opened(changed(sets_at + 7, b"\x0b")).uses == 3
    assert refusal(changed(texts_at, b"\xff")) == board.BAD_TEXT
    assert refusal(changed(texts_at + 1, b"\xff")) == board.BAD_TEXT


@settings(max_examples=200)
@given(st.data())
def test_whatever_is_signed_is_refused_or_can_be_looked_up(data):
    source = data.draw(st.just(libraries.small()) | libraries.libraries())
    body = bytearray(image.build_image(source, KEY)[:-TRAILER_BYTES])
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(16, len(body) - 1))
        body[at] = data.draw(st.integers(0, 255))
    try:
        held = opened(signed(bytes(body)))
    except ImageError:
        return
    for drug in range(held.drugs):
        held.drug(drug)
        for area, mask, programs in held.areas_of(drug):
            dilutions = [at for at in range(8) if mask >> at & 1] or [board.NO_CONCENTRATION]
            held.concentration(drug, dilutions[0])
            for kind in range(1, 8):
                if programs >> kind & 1:
                    limits = held.find(drug, area, dilutions[0], kind)
                    for each in range(board.KINDS):
                        assert len(limits.of(each)) in (0, board.LEVELS)


# Kinds, then of a rate in mL/h its levels, unit, exponent and mantissas.
RATE_OF_ONE = b"\1\0\x10\x10\3"


@pytest.mark.parametrize(
    ("mantissa", "told"),
    [
        (b"\x01", 1),
        (b"\x81\x01", 129),
        (b"\xff\xff\xff\xff\x0f", 0xFFFFFFFF),
        (b"\x81" + b"\x80" * 14 + b"\x01", 1 + (1 << 105)),
        # Nought, a number that could be shorter, and ones that do not end or are too long.
        (b"\0", None),
        (b"\x81\x00", None),
        (b"", None),
        (b"\x81", None),
        (b"\x81" + b"\x80" * 15 + b"\x01", None),
        (b"\x0a", None),
    ],
)
def test_a_mantissa_is_written_in_one_way_only(mantissa, told):
    limits = board.Limits(0, 0, 0, "", 0, 0, RATE_OF_ONE + mantissa)
    if told is None:
        with pytest.raises(ImageError) as refused:
            limits.of(board.RATE)
        assert refused.value.code == board.BAD_LIMIT
    else:
        assert limits.of(board.RATE) == [None, None, None, None, (told, 3, 16)]


def test_a_reader_that_breaks_off_is_noticed():
    data = image.build_image(libraries.small(), KEY)
    for end in range(0, len(data), 7):
        with pytest.raises(ImageError) as refused:
            board.verify(image.reader_of(data[:end]), len(data), KEY)
        assert refused.value.code == board.BAD_SIZE


# -- the signature -------------------------------------------------------------------------------

# RFC 4231, sections 4.2 to 4.8 (4.6 is about truncation): key, data, HMAC-SHA-256.
RFC_4231 = [
    (b"\x0b" * 20, b"Hi There",
     "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
    (b"Jefe", b"what do ya want for nothing?",
     "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
    (b"\xaa" * 20, b"\xdd" * 50,
     "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
    (bytes(range(1, 26)), b"\xcd" * 50,
     "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"),
    (b"\xaa" * 131, b"Test Using Larger Than Block-Size Key - Hash Key First",
     "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"),
    (b"\xaa" * 131, b"This is a test using a larger than block-size key and a larger than "
     b"block-size data. The key needs to be hashed before being used by the HMAC algorithm.",
     "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"),
]  # fmt: skip


def mac_of(key: bytes, parts: list[bytes]) -> bytes:
    mac = board.Hmac(key)
    for part in parts:
        mac.update(part)
    return mac.digest()


@pytest.mark.parametrize(("key", "data", "digest"), RFC_4231)
def test_the_signature_is_that_of_the_rfc(key, data, digest):
    assert mac_of(key, [data]).hex() == digest


@given(st.binary(max_size=140), st.lists(st.binary(max_size=80), max_size=5))
def test_the_signature_is_that_of_the_standard_library(key, parts):
    assert mac_of(key, parts) == hmac.digest(key, b"".join(parts), "sha256")


# -- what does not compile -----------------------------------------------------------------------


def changed_limit(**changes):
    source = libraries.small()
    drug = source.drugs[0]
    use = dataclasses.replace(drug.uses[0], **changes)
    return dataclasses.replace(source, drugs=(dataclasses.replace(drug, uses=(use,)),))


MG_H = LimitUnit(MASS, False, "h")


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (changed_limit(limits=(libraries.limit_of("rate", MG_H, upper_hard=Fraction(1, 3)),)),
         "no decimal number"),
        (changed_limit(limits=(libraries.limit_of("rate", MG_H, upper_hard=0),)),
         "no decimal number"),
        (changed_limit(limits=(libraries.limit_of("rate", MG_H, upper_hard=2**32),)),
         "no decimal number"),
        (changed_limit(concentrations=()), "not all concentrations"),
        (changed_limit(concentrations=(DrugConcentration(Fraction(1), UNITS, ""),)),
         "not all concentrations"),
        (changed_limit(concentrations=(DrugConcentration(Fraction(1, 7), MASS, ""),)),
         "no decimal number"),
        (changed_limit(kvo="limit"), "KVO"),
        (dataclasses.replace(libraries.small(), name="n" * 33), "longer than 32"),
        (dataclasses.replace(libraries.small(), library_id="n" * 25), "24 characters"),
        (dataclasses.replace(libraries.small(), care_areas={}), "no care area"),
        (dataclasses.replace(libraries.small(), care_areas={f"a{n}": "" for n in range(9)}),
         "care areas are more"),
        (dataclasses.replace(libraries.large(), drugs=libraries.large().drugs * 2),
         "drugs are more"),
    ],
)  # fmt: skip
def test_what_cannot_be_held_is_said(source, says):
    with pytest.raises(image.CompileError, match=says):
        image.build_image(source, KEY)


def test_a_library_beyond_64_kb_is_not_compiled():
    source = libraries.large()
    more = tuple(
        dataclasses.replace(drug, drug_id=f"more-{at}") for at, drug in enumerate(source.drugs[:55])
    )
    areas = {**source.care_areas, **{f"more-{at}": "" for at in range(4)}}
    drugs = tuple(
        dataclasses.replace(
            drug,
            uses=drug.uses
            + tuple(
                dataclasses.replace(use, care_areas=(f"more-{at}",))
                for at, use in enumerate(drug.uses)
            ),
        )
        for drug in source.drugs + more
    )
    with pytest.raises(image.CompileError, match="65,536"):
        image.build_image(dataclasses.replace(source, care_areas=areas, drugs=drugs), KEY)


def test_a_short_key_signs_nothing():
    with pytest.raises(image.CompileError, match="too short"):
        image.build_image(libraries.small(), b"short")


# -- size, and the board's interpreter -----------------------------------------------------------


def test_200_drugs_in_4_areas_at_2_concentrations_fit():
    apart, shared = (len(image.build_image(libraries.large(each), KEY)) for each in (False, True))
    # As docs/library-image.md tells it.
    text = (support.REPO / "docs/library-image.md").read_text(encoding="utf-8")
    told = re.findall(r"\*\*([0-9,]+) bytes\*\*", text)
    assert [int(figure.replace(",", "")) for figure in told] == [apart, shared]
    assert shared < apart < board.GREATEST_BYTES


@pytest.fixture(scope="module")
def on_both(tmp_path_factory):
    """What the same script says of a large image on both interpreters."""
    file = tmp_path_factory.mktemp("library") / "large.mpl"
    data = image.build_image(libraries.large(), KEY)
    file.write_bytes(data)
    words = [str(file), str(len(data)), KEY.hex()]
    board_says = support.run_micropython("library.py", *words)
    assert board_says.returncode == 0, board_says.stdout + board_says.stderr
    script = [sys.executable, support.SCRIPTS / "library.py", support.FIRMWARE]
    done = subprocess.run([*script, *words], capture_output=True, text=True, check=True)
    return board_says.stdout.splitlines(), done.stdout.splitlines()


def test_micropython_verifies_and_looks_up_the_same(on_both):
    on_micropython, on_cpython = (
        [line for line in lines if not line.startswith("heap")] for lines in on_both
    )
    assert on_micropython == on_cpython
    found = [line for line in on_cpython if line.startswith("found")]
    assert len(found) == 200 * 4
    assert on_cpython[0] == "refused 6"
    # And it is what the host reads: the rate's upper hard limit of the last drug's last area.
    use = libraries.large().drugs[-1].uses[-1]
    levels = ast.literal_eval(found[-1].split(" ", 3)[3])
    mantissa, exponent, _ = levels[LEVELS.index("upper_hard")]
    assert mantissa * Fraction(10) ** exponent == use.limit("rate").level("upper_hard").value


def test_a_look_up_takes_little_heap(on_both):
    heap = [line for line in on_both[0] if line.startswith("heap")]
    assert len(heap) == 1
    # Search by id, the limits, every level of the rate; 64-bit words take twice the board's.
    assert 0 < int(heap[0].split()[1]) < 4096
