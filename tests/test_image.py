"""The image builder: sources, what is frozen, the build with stand-ins for its tools, UF2 files."""

import json
import shutil
import struct
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

REPO = Path(__file__).resolve().parent.parent
for room in ("firmware", "host"):
    sys.path.insert(0, str(REPO / room))

from micropump_host.cli import main  # noqa: E402
from micropump_host.image import (  # noqa: E402
    BuildError,
    SourcesError,
    Uf2Error,
    build_image,
    debian_tree,
    load_board,
    named_tree,
    read_uf2,
)
from micropump_host.image import build as build_module  # noqa: E402
from micropump_host.image.frozen import (  # noqa: E402
    PACKAGES,
    START_MODULES,
    CheckoutError,
    content_sha256,
    frozen_files,
)
from micropump_host.image.log import Log, ToolError  # noqa: E402
from micropump_host.image.sources import sources_entry  # noqa: E402

RP2040, RP2350 = 0xE48BFF56, 0xE48BFF59

# --- UF2 ------------------------------------------------------------------------------------------

# What the build's converter does, in the least words: also run by the stand-in tree below.
CONVERTER = """\
import struct, sys

def uf2(contents, family, address=0x10000000):
    parts = [contents[i : i + 256].ljust(256, bytes(1)) for i in range(0, len(contents), 256)]
    return b"".join(
        struct.pack("<8I", 0x0A324655, 0x9E5D5157, 0x2000, address + 256 * n, 256, n, len(parts), family)
        + part.ljust(476, bytes(1))
        + struct.pack("<I", 0x0AB16F30)
        for n, part in enumerate(parts)
    )

if __name__ == "__main__":
    given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
    words = [word for word in sys.argv[1:] if word != "-c"]
    given = dict(zip(words[::2], words[1::2]))
    with open(words[-1], "rb") as source, open(given["-o"], "wb") as made:
        made.write(uf2(source.read(), int(given["-f"], 16), int(given["-b"], 16)))
"""  # noqa: E501
_converter: dict = {"__name__": "converter"}
exec(CONVERTER, _converter)
uf2 = _converter["uf2"]


def written(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "image.uf2"
    path.write_bytes(data)
    return path


@given(
    contents=st.binary(min_size=1, max_size=3000),
    family=st.sampled_from([(RP2040, "rp2040"), (RP2350, "rp2350"), (0x12345678, "")]),
)
def test_what_is_put_into_a_uf2_comes_out(
    tmp_path_factory: pytest.TempPathFactory, contents: bytes, family: tuple[int, str]
) -> None:
    image = read_uf2(written(tmp_path_factory.mktemp("uf2"), uf2(contents, family[0])))
    assert image.contents.rstrip(b"\0") == contents.rstrip(b"\0")
    assert len(image.contents) == -(-len(contents) // 256) * 256
    assert (image.family, image.chip, image.address) == (*family, 0x10000000)


@given(cut=st.integers(1, 511), blocks=st.integers(1, 3))
def test_a_cut_off_uf2_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, cut: int, blocks: int
) -> None:
    whole = uf2(bytes(256 * blocks), RP2040)
    with pytest.raises(Uf2Error, match="no whole number of UF2 blocks"):
        read_uf2(written(tmp_path_factory.mktemp("uf2"), whole[:-cut]))


def with_word(data: bytes, block: int, word: int, value: int) -> bytes:
    at = 512 * block + 4 * word
    return data[:at] + struct.pack("<I", value) + data[at + 4 :]


@pytest.mark.parametrize(
    ("word", "value", "told"),
    [
        (0, 0, "block 1 is no UF2 block"),
        (1, 0, "block 1 is no UF2 block"),
        (127, 0, "block 1 is no UF2 block"),
        (4, 477, "block 1 says that it holds 477 bytes"),
        (3, 0x10000200, "there is a gap before block 1"),
        (7, RP2350, "its blocks are of 2 families"),
    ],
)
def test_a_damaged_uf2_is_noticed(tmp_path: Path, word: int, value: int, told: str) -> None:
    damaged = with_word(uf2(bytes(700), RP2040), 1, word, value)
    with pytest.raises(Uf2Error, match=told):
        read_uf2(written(tmp_path, damaged))


def test_blocks_that_are_not_for_the_flash_are_passed_over(tmp_path: Path) -> None:
    data = uf2(bytes(300), RP2040)
    assert len(read_uf2(written(tmp_path, with_word(data, 1, 2, 0x2001))).contents) == 256
    none = with_word(with_word(data, 1, 2, 0x2001), 0, 2, 0x2001)
    with pytest.raises(Uf2Error, match="no block is for the flash"):
        read_uf2(written(tmp_path, none))


@pytest.mark.parametrize("name", ["absent.uf2", "."])
def test_a_uf2_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    with pytest.raises(Uf2Error, match="cannot read the image") as caught:
        read_uf2(tmp_path / name)
    assert "make image" in caught.value.remedy


# --- sources --------------------------------------------------------------------------------------

OWN_ENTRY = """\
Types: deb
URIs: http://example.org/security
Suites: bookworm-security
Components: main

# a remark
Types: deb
URIs: http://example.org/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/own.gpg
"""


def root(tmp_path: Path, release: str = "ID=debian\nVERSION_CODENAME=bookworm\n") -> Path:
    (tmp_path / "etc/apt/sources.list.d").mkdir(parents=True)
    (tmp_path / "etc/os-release").write_text(release, encoding="utf-8")
    return tmp_path


def test_the_entry_is_the_machine_s_own_with_another_suite(tmp_path: Path) -> None:
    folder = root(tmp_path)
    (folder / "etc/apt/sources.list.d/own.sources").write_text(OWN_ENTRY, encoding="utf-8")
    assert sources_entry(folder).splitlines() == [
        "Types: deb deb-src",
        "URIs: http://example.org/debian",
        "Suites: trixie",
        "Components: main",
        "Signed-By: /usr/share/keyrings/own.gpg",
    ]


@pytest.mark.parametrize(
    ("line", "uri", "signed_by"),
    [
        ("deb http://example.org/debian bookworm main", "http://example.org/debian", None),
        ("deb [a=b signed-by=/k.gpg] https://e.org/d bookworm main", "https://e.org/d", "/k.gpg"),
    ],
)  # fmt: skip
def test_entries_on_one_line(tmp_path: Path, line: str, uri: str, signed_by: str | None) -> None:
    folder = root(tmp_path)
    text = f"# deb http://example.org/commented-out bookworm main\n{line}\n"
    (folder / "etc/apt/sources.list").write_text(text, encoding="utf-8")
    entry = sources_entry(folder)
    assert f"URIs: {uri}\n" in entry
    assert ("Signed-By" in entry) == (signed_by is not None)
    assert signed_by is None or f"Signed-By: {signed_by}\n" in entry


def test_a_machine_that_is_not_debian(tmp_path: Path) -> None:
    folder = root(tmp_path, 'ID=other\nPRETTY_NAME="Other 1"\n')
    with pytest.raises(SourcesError, match="Other 1 is not Debian") as caught:
        sources_entry(folder)
    assert "--micropython" in caught.value.remedy


def test_a_machine_without_an_entry_for_debian(tmp_path: Path) -> None:
    folder = root(tmp_path)
    (folder / "etc/apt/sources.list.d/own.sources").write_text(
        OWN_ENTRY.partition("\n\n")[0], encoding="utf-8"
    )
    with pytest.raises(SourcesError, match="no entry for bookworm"):
        sources_entry(folder)


def tree(folder: Path, version: str = "1.25.0") -> Path:
    """A stand-in for MicroPython's tree, with what the builder looks for."""
    major, minor, micro = version.split(".")
    header = "".join(
        f"#define MICROPY_VERSION_{name} {number}\n"
        for name, number in (("MAJOR", major), ("MINOR", minor), ("MICRO", micro))
    )
    files = {
        "py/mpconfig.h": header,
        "ports/rp2/CMakeLists.txt": "",
        "lib/pico-sdk/pico_sdk_init.cmake": "",
        "lib/tinyusb/src/tusb.h": "",
        "lib/mbedtls/library/aes.c": "",
        "tools/uf2conv.py": CONVERTER,
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_a_named_tree(tmp_path: Path) -> None:
    found = named_tree(tree(tmp_path))
    assert (found.path, found.version, found.packages) == (tmp_path.resolve(), "1.25.0", {})


def test_a_named_tree_that_is_none(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(SourcesError, match="no MicroPython tree"):
            named_tree(path)


def test_a_named_tree_that_is_too_old(tmp_path: Path) -> None:
    with pytest.raises(SourcesError, match=r"MicroPython 1\.22\.2 is too old"):
        named_tree(tree(tmp_path, "1.22.2"))


def test_a_named_tree_without_version(tmp_path: Path) -> None:
    (tree(tmp_path) / "py/mpconfig.h").write_text("", encoding="utf-8")
    with pytest.raises(SourcesError, match="cannot tell the version"):
        named_tree(tmp_path)


def test_a_named_tree_without_submodules(tmp_path: Path) -> None:
    (tree(tmp_path) / "lib/tinyusb/src/tusb.h").unlink()
    with pytest.raises(SourcesError, match="lacks lib/tinyusb") as caught:
        named_tree(tmp_path)
    assert "submodules" in caught.value.remedy


def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **scripts: str) -> Path:
    """A folder of stand-ins that are all that can be found, beside the system's own."""
    folder = tmp_path / "tools"
    folder.mkdir(exist_ok=True)
    for name, script in scripts.items():
        path = folder / name.replace("_", "-")
        path.write_text(
            f"#!{sys.executable} -IS\nimport os, sys\nfrom pathlib import Path\n{script}\n"
        )
        path.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    return folder


def fetching(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, apt: str, others: bool = True
) -> None:
    """Stand-ins for what fetches Debian's sources, on a machine that is Debian."""
    monkeypatch.setattr("micropump_host.image.sources.sources_entry", lambda: "Types: deb\n")
    rest = {"dpkg_source": "pass", "dpkg_deb": "pass"} if others else {}
    tools(tmp_path, monkeypatch, apt_get=apt, **rest)


def test_debian_s_sources_without_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetching(tmp_path, monkeypatch, "print('Could not resolve host'); sys.exit(100)")
    with pytest.raises(SourcesError, match="Could not resolve host") as caught:
        debian_tree(tmp_path / "cache", Log(tmp_path / "log"))
    assert "network" in caught.value.remedy
    assert "--micropython" in caught.value.remedy
    assert not (tmp_path / "cache/debian-trixie").exists()


def test_debian_s_sources_without_its_tools(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetching(tmp_path, monkeypatch, "pass", others=False)
    with pytest.raises(SourcesError, match="dpkg-source is missing") as caught:
        debian_tree(tmp_path / "cache", Log(tmp_path / "log"))
    assert caught.value.remedy == "apt-get install dpkg-dev"


# Leaves the packages that apt-get was asked for, as empty files.
APT = """
names = {"source": ("mbedtls_3.6-1.dsc", "micropython_1.25.0+ds-1.dsc"),
         "download": ("pico-sdk-source_2.1.1-1_all.deb", "tinyusb-source_1%3a0.18-1_all.deb")}
for name in names.get(sys.argv[1], ()):
    Path(name).touch()
assert "Dir::State::Lists" in Path(os.environ["APT_CONFIG"]).read_text()
with open(os.environ["CALLS"], "a") as calls:
    calls.write(sys.argv[1] + "\\n")
"""
DPKG_SOURCE = """
to = Path(sys.argv[-1])
if "micropython_" in sys.argv[-2]:
    (to / "lib/mbedtls").mkdir(parents=True)
    (to / "py").mkdir()
    (to / "py/mpconfig.h").write_text("".join(
        f"#define MICROPY_VERSION_{n} {v}\\n"
        for n, v in (("MAJOR", 1), ("MINOR", 25), ("MICRO", 0))
    ))
else:
    to.mkdir()
    (to / "is-mbedtls").touch()
"""
DPKG_DEB = """
name = "pico-sdk" if "pico" in sys.argv[2] else "tinyusb"
(Path(sys.argv[3]) / "usr/src" / name).mkdir(parents=True)
"""


def test_debian_s_sources_are_put_together_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("micropump_host.image.sources.sources_entry", lambda: "Types: deb\n")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    tools(tmp_path, monkeypatch, apt_get=APT, dpkg_source=DPKG_SOURCE, dpkg_deb=DPKG_DEB)
    phases: list[str] = []
    for _ in range(2):
        found = debian_tree(tmp_path / "cache", Log(tmp_path / "log"), phases.append)
        assert found.version == "1.25.0"
        assert found.packages == {
            "mbedtls": "3.6-1",
            "micropython": "1.25.0+ds-1",
            "pico-sdk-source": "2.1.1-1",
            "tinyusb-source": "1:0.18-1",
        }
        for name in ("pico-sdk", "tinyusb", "mbedtls/is-mbedtls", "micropython-lib/README.md"):
            assert (found.path / "lib" / name).exists()
    assert (tmp_path / "calls").read_text().split() == ["update", "source", "download"]
    assert len(phases) == 3


# --- what is frozen -------------------------------------------------------------------------------

paths = st.text("abc/._", min_size=1, max_size=8)


@given(files=st.dictionaries(paths, st.binary(max_size=20), min_size=2, max_size=5), data=st.data())
def test_the_content_hash_knows_contents_and_names_and_no_order(
    files: dict[str, bytes], data: st.DataObject
) -> None:
    digest = content_sha256(files)
    assert content_sha256(dict(reversed(files.items()))) == digest
    name = data.draw(st.sampled_from(sorted(files)))
    assert content_sha256({**files, name: files[name] + b"x"}) != digest
    moved = {**files, name + "x": files[name]}
    del moved[name]
    if name + "x" not in files:
        assert content_sha256(moved) != digest
    assert content_sha256({key: files[key] for key in files if key != name}) != digest


@given(left=st.binary(max_size=4), right=st.binary(min_size=1, max_size=4))
def test_the_content_hash_knows_where_a_file_ends(left: bytes, right: bytes) -> None:
    assert content_sha256({"a": left + right, "b": b""}) != content_sha256({"a": left, "b": right})
    # One file that looks like the end of its own name and the beginning of another.
    one = {"a": left + b"b\0" + right, "b": b""}
    other = {"a": left, "b": right + b"b\0"}
    assert content_sha256(one) != content_sha256(other)


def checkout(tmp_path: Path) -> Path:
    """A stand-in for this project's checkout, with the real boards."""
    folder = tmp_path / "checkout"
    for name in PACKAGES:
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text("", encoding="utf-8")
    (folder / "firmware/rp2/stepper.py").write_text("STEPS = 1\n", encoding="utf-8")
    for name in START_MODULES:
        (folder / "firmware" / name).write_text(f"# {name}\n", encoding="utf-8")
    (folder / "boards").symlink_to(REPO / "boards")
    return folder


def test_this_checkout_freezes_core_adapters_and_start_modules() -> None:
    files = frozen_files(REPO)
    assert {"_boot.py", "boot.py", "main.py"} <= set(files)
    assert "micropump/controller.py" in files
    assert "micropump_rp2/stepper.py" in files
    assert not any("__pycache__" in name or "virtual" in name for name in files)


@pytest.mark.parametrize("missing", [*START_MODULES, "rp2/__init__.py", "rp2"])
def test_a_checkout_that_lacks_something(tmp_path: Path, missing: str) -> None:
    folder = checkout(tmp_path)
    for path in sorted((folder / "firmware").rglob("*.py")):
        if str(path.relative_to(folder / "firmware")).startswith(missing):
            path.unlink()
    if missing == "rp2/__init__.py":
        assert "micropump_rp2/__init__.py" not in frozen_files(folder)
    else:
        with pytest.raises(CheckoutError, match=f"{missing} is missing"):
            frozen_files(folder)


# --- the build ------------------------------------------------------------------------------------

CMAKE = """
if sys.argv[1] == "--build":
    home = Path(sys.argv[2])
    board = Path((home / "board").read_text())
    print("[  7%] Building C object one.c.o")
    print("[100%] Built target firmware")
    frozen = sorted(path for path in board.rglob("*") if path.is_file())
    stamp = os.environ["SOURCE_DATE_EPOCH"].encode()
    (home / "firmware.bin").write_bytes(stamp + b"".join(path.read_bytes() for path in frozen))
else:
    given = dict(word.split("=", 1) for word in sys.argv[1:] if "=" in word)
    home = Path(sys.argv[sys.argv.index("-B") + 1])
    home.mkdir(parents=True, exist_ok=True)
    (home / "board").write_text(given["-DMICROPY_BOARD_DIR"])
with open(os.environ["CALLS"], "a") as calls:
    calls.write("cmake\\n")
"""
GCC = "print('/lib/nosys.specs' if 'print-file' in sys.argv[1] else 'gcc (stand-in) 1.0\\nmore')"


class Workshop:
    """Stand-ins for tree, checkout and tools, and a build with them."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home = tmp_path
        self.monkeypatch = monkeypatch
        self.checkout = checkout(tmp_path)
        self.tree = named_tree(tree(tmp_path / "tree"))
        self.out = tmp_path / "out"
        self.percents: list[int] = []
        monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
        monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
        self.tools()

    def tools(self, **scripts: str) -> None:
        python = f"os.execv({sys.executable!r}, ['python3', *sys.argv[1:]])"
        defaults = {
            "cmake": CMAKE, "make": "pass", "gcc": "pass", "python3": python,
            "arm_none_eabi_gcc": GCC, "arm_none_eabi_g++": "pass", "git": "pass",
        }  # fmt: skip
        tools(self.home, self.monkeypatch, **{**defaults, **scripts})

    def build(self, *, clean: bool = False, board_id: str = "pico") -> build_module.Built:
        board = load_board(self.checkout / "boards" / board_id)
        listeners = build_module.Listeners(percent=self.percents.append)
        log = Log(self.home / "build.log")
        return build_image(
            board, self.tree, self.checkout, self.out, self.home / "cache", log,
            clean=clean, listeners=listeners,
        )  # fmt: skip

    @property
    def builds(self) -> int:
        """How many builds there were: cmake is called twice in each."""
        calls = self.home / "calls"
        return len(calls.read_text().split()) // 2 if calls.exists() else 0


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    return Workshop(tmp_path, monkeypatch)


def test_a_build_leaves_the_image_and_what_it_is_made_of(workshop: Workshop) -> None:
    built = workshop.build()
    image = read_uf2(built.uf2)
    assert built.uf2 == workshop.out / "pico.uf2"
    assert image.chip == "rp2040"
    assert b"STEPS = 1" in image.contents
    assert f'CONTENT_SHA256 = "{built.content_sha256}"'.encode() in image.contents
    told = json.loads((workshop.out / "pico.json").read_text(encoding="utf-8"))
    assert told == built.to_json()
    assert told["sha256"] == build_module._sha256(built.uf2.read_bytes())
    assert told["size_bytes"] == built.uf2.stat().st_size
    assert told["compiler"] == "gcc (stand-in) 1.0"
    assert told["micropython"] == "1.25.0"
    assert "micropump_board.py" in told["frozen"]
    assert sorted(p.name for p in workshop.out.iterdir()) == ["pico.json", "pico.uf2"]
    assert workshop.percents == [7, 100]


def test_the_image_of_another_board_is_for_its_chip(workshop: Workshop) -> None:
    built = workshop.build(board_id="pico2")
    assert read_uf2(built.uf2).chip == built.chip == "rp2350"


def test_an_image_that_reaches_into_what_is_kept_is_refused(workshop: Workshop) -> None:
    taken = workshop.build().flash_bytes
    for room, fits in ((taken, True), (taken - 1, False)):
        workshop.monkeypatch.setattr(build_module, "IMAGE_BYTES", room)
        if fits:
            assert workshop.build(clean=True).flash_bytes == room
        else:
            before = (workshop.out / "pico.uf2").read_bytes()
            with pytest.raises(BuildError, match=f"{taken:,} bytes of flash"):
                workshop.build(clean=True)
            assert (workshop.out / "pico.uf2").read_bytes() == before


def test_nothing_is_built_where_nothing_changed(workshop: Workshop) -> None:
    first = workshop.build()
    assert workshop.build() == first
    assert workshop.builds == 1
    assert workshop.build(clean=True) == first
    assert workshop.builds == 2


def test_the_same_files_elsewhere_make_the_same_image(workshop: Workshop) -> None:
    first = workshop.build()
    workshop.checkout = workshop.checkout.rename(workshop.home / "elsewhere")
    assert workshop.build(clean=True).sha256 == first.sha256


def test_a_second_build_waits_for_the_first(workshop: Workshop) -> None:
    """The stand-in for cmake finds the lock of its build taken."""
    taken = (
        "import fcntl\n"
        f"(lock,) = Path({str(workshop.home)!r}).glob('cache/build/*.lock')\n"
        "try:\n"
        "    fcntl.flock(lock.open('w'), fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
        "    sys.exit('nobody holds the lock')\n"
        "except BlockingIOError:\n"
        "    pass\n"
    )
    workshop.tools(cmake=taken + CMAKE)
    workshop.build()
    workshop.build(clean=True)
    assert workshop.builds == 2


def changed_firmware(workshop: Workshop) -> None:
    (workshop.checkout / "firmware/rp2/stepper.py").write_text("STEPS = 2\n")


def new_module(workshop: Workshop) -> None:
    (workshop.checkout / "firmware/micropump/more.py").write_text("")


def changed_board(workshop: Workshop) -> None:
    boards = workshop.checkout / "boards"
    boards.unlink()
    (boards / "pico").mkdir(parents=True)
    for path in (REPO / "boards/pico").iterdir():
        text = path.read_text(encoding="utf-8").replace("gpio = 21\n", "gpio = 15\n")
        (boards / "pico" / path.name).write_text(text, encoding="utf-8")


def changed_compiler(workshop: Workshop) -> None:
    workshop.tools(arm_none_eabi_gcc=GCC.replace("1.0", "2.0"))


def changed_date(workshop: Workshop) -> None:
    workshop.monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")


def damaged_image(workshop: Workshop) -> None:
    uf2_path = workshop.out / "pico.uf2"
    uf2_path.write_bytes(uf2_path.read_bytes()[:-1] + b"x")


def lost_image(workshop: Workshop) -> None:
    (workshop.out / "pico.uf2").unlink()


def damaged_record(workshop: Workshop) -> None:
    (workshop.out / "pico.json").write_text('{"uf2": 3')


def record_of_another_version(workshop: Workshop) -> None:
    (workshop.out / "pico.json").write_text("[]")


@pytest.mark.parametrize(
    "change",
    [
        changed_firmware, new_module, changed_board, changed_compiler, changed_date,
        damaged_image, lost_image, damaged_record, record_of_another_version,
    ],
)  # fmt: skip
def test_a_change_is_built(workshop: Workshop, change) -> None:
    first = workshop.build()
    change(workshop)
    again = workshop.build()
    assert workshop.builds == 2
    same_inputs = change in (damaged_image, lost_image, damaged_record, record_of_another_version)
    assert (again.inputs_sha256 == first.inputs_sha256) == same_inputs
    if change in (changed_firmware, new_module):
        assert again.content_sha256 != first.content_sha256
    if change is not changed_compiler:
        assert (again.sha256 == first.sha256) == same_inputs


def test_a_removed_module_is_not_frozen_any_more(workshop: Workshop) -> None:
    new_module(workshop)
    assert "micropump/more.py" in workshop.build().frozen
    (workshop.checkout / "firmware/micropump/more.py").unlink()
    assert "micropump/more.py" not in workshop.build().frozen


@pytest.mark.parametrize("tool", ["arm-none-eabi-gcc", "arm-none-eabi-g++", "cmake", "make"])
def test_a_missing_tool(workshop: Workshop, tool: str) -> None:
    (workshop.home / "tools" / tool).unlink()
    with pytest.raises(BuildError, match="missing") as caught:
        workshop.build()
    assert tool in caught.value.what
    assert "apt-get install" in caught.value.remedy


def test_a_named_tree_is_built_without_git(workshop: Workshop) -> None:
    (workshop.home / "tools/git").unlink()
    assert workshop.build().uf2.is_file()


def test_another_commit_of_a_named_tree_is_built(workshop: Workshop) -> None:
    first = workshop.build()
    workshop.tools(git="print('another')")
    assert workshop.build().inputs_sha256 != first.inputs_sha256
    assert workshop.builds == 2


def test_a_compiler_without_the_board_s_library(workshop: Workshop) -> None:
    workshop.tools(arm_none_eabi_gcc="print('nosys.specs')")
    with pytest.raises(BuildError, match="libnewlib-arm-none-eabi"):
        workshop.build()


def test_a_failing_compiler(workshop: Workshop) -> None:
    failing = "print('x.c:1: error: no such thing'); sys.exit(2)"
    workshop.tools(cmake=f"if sys.argv[1] == '--build':\n    {failing}")
    with pytest.raises(ToolError, match="no such thing") as caught:
        workshop.build()
    assert "build.log" in caught.value.where
    assert not (workshop.out / "pico.uf2").exists()


def test_a_failed_build_leaves_the_former_image_alone(workshop: Workshop) -> None:
    first = workshop.build()
    changed_firmware(workshop)
    workshop.tools(cmake="sys.exit(2)")
    with pytest.raises(ToolError):
        workshop.build()
    assert build_module._sha256(first.uf2.read_bytes()) == first.sha256


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('int(given["-f"], 16)', "0xE48BFF59"),
        ('int(given["-b"], 16)', "0x20000000"),
        ("source.read()", "bytes(256)"),
    ],
)
def test_a_uf2_that_is_not_what_was_built(workshop: Workshop, old: str, new: str) -> None:
    converter = workshop.tree.path / "tools/uf2conv.py"
    assert CONVERTER.count(old) == 1
    converter.write_text(CONVERTER.replace(old, new))
    with pytest.raises(BuildError, match="is not the rp2040's firmware"):
        workshop.build()
    assert not (workshop.out / "pico.uf2").exists()


def test_firmware_without_ours_in_it(workshop: Workshop) -> None:
    joined = 'b"".join(path.read_bytes() for path in frozen)'
    assert CMAKE.count(joined) == 1
    workshop.tools(cmake=CMAKE.replace(joined, "bytes(300)"))
    with pytest.raises(BuildError, match="our modules are not in the firmware"):
        workshop.build()


def test_a_date_that_is_none(workshop: Workshop) -> None:
    workshop.monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(BuildError, match='"yesterday" is no date'):
        workshop.build()


def test_a_board_that_is_not_built(workshop: Workshop) -> None:
    changed_board(workshop)
    board_file = workshop.checkout / "boards/pico/board.toml"
    text = board_file.read_text(encoding="utf-8")
    board_file.write_text(text.replace('image = "built"', 'image = "no sources"'), encoding="utf-8")
    with pytest.raises(BuildError, match="no image is built for Raspberry Pi Pico") as caught:
        workshop.build()
    assert caught.value.remedy == "no sources"


# --- the log and the command ----------------------------------------------------------------------


def test_the_log_keeps_commands_and_words(tmp_path: Path) -> None:
    log = Log(tmp_path / "deep/build.log")
    heard: list[str] = []
    script = "import sys; print('out'); print('err', file=sys.stderr); print('ü')"
    said = log.run([sys.executable, "-c", script], on_line=heard.append)
    assert said == heard
    assert sorted(said) == ["err", "out", "ü"]
    text = log.path.read_text(encoding="utf-8")
    assert text.startswith(f"$ {sys.executable} -c")
    assert "err\n" in text


def test_a_tool_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="cannot run no-such-tool"):
        Log(tmp_path / "build.log").run(["no-such-tool"])


def run(workshop: Workshop, *words: str) -> int:
    places = {
        "--checkout": workshop.checkout,
        "--out": workshop.out,
        "--micropython": workshop.tree.path,
        "--cache": workshop.home / "cache",
    }
    return main(["image", *(str(word) for pair in places.items() for word in pair), *words])


def test_the_command_builds_and_tells(workshop: Workshop, capsys) -> None:
    assert run(workshop, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads((workshop.out / "pico.json").read_text(encoding="utf-8"))
    assert run(workshop) == 0
    assert told["sha256"] in capsys.readouterr().out.replace("\n", "")
    assert (workshop.out / "build.log").is_file()


def test_two_builds_are_compared(workshop: Workshop, capsys) -> None:
    assert run(workshop, "--verify-reproducible") == 0
    assert "built twice" in capsys.readouterr().out
    assert workshop.builds == 2


def test_scripts_of_the_build_order_sets_in_one_way(workshop: Workshop) -> None:
    """As MicroPython's make-pins.py does for a GPIO with two names."""
    script = "import subprocess; said = subprocess.check_output"
    script += f"([{sys.executable!r}, '-S', '-c', 'print(set(map(str, range(50))))'])\n"
    workshop.tools(cmake=script + CMAKE.replace("stamp + b", "said + stamp + b"))
    assert workshop.build().sha256 == workshop.build(clean=True).sha256


def test_two_builds_that_differ_are_told(workshop: Workshop, capsys) -> None:
    workshop.tools(cmake=CMAKE.replace("stamp + b", "str(os.getpid()).encode() + b"))
    assert run(workshop, "--verify-reproducible") == 1
    assert "two builds from the same sources differ" in capsys.readouterr().err


def test_files_that_change_between_two_builds_are_told(workshop: Workshop, capsys) -> None:
    more = workshop.checkout / "firmware/micropump/more.py"
    growing = f"open({str(more)!r}, 'a').write('#')"
    workshop.tools(cmake=CMAKE + f"if sys.argv[1] == '--build':\n    {growing}\n")
    assert run(workshop, "--verify-reproducible") == 1
    assert "files changed between the two builds" in capsys.readouterr().err


def test_the_command_checks_a_board_file_alone(workshop: Workshop, capsys) -> None:
    for board_id in ("pico", "pico_w", "pico2"):
        assert run(workshop, "--check", "--board", board_id) == 0
    assert workshop.builds == 0
    assert not workshop.out.exists()
    assert "the board file is right" in capsys.readouterr().err


def test_the_command_says_why_a_board_has_no_image(workshop: Workshop, capsys) -> None:
    boards = workshop.checkout / "boards"
    if boards.is_symlink():
        real = boards.resolve()
        boards.unlink()
        shutil.copytree(real, boards)
    toml = boards / "pico2/board.toml"
    text = toml.read_text(encoding="utf-8")
    assert 'image = "built"' in text
    toml.write_text(text.replace('"built"', '"not built: no sources"'), encoding="utf-8")
    assert run(workshop, "--board", "pico2") == 1
    told = capsys.readouterr().err
    assert "no image is built for Raspberry Pi Pico 2" in told
    assert "no sources" in told
    assert workshop.builds == 0


def test_a_board_that_there_is_not(workshop: Workshop, capsys) -> None:
    assert run(workshop, "--board", "pico3") == 2
    assert "Known: pico, pico_w, pico2" in capsys.readouterr().err


def test_a_folder_that_is_no_checkout(workshop: Workshop, capsys) -> None:
    workshop.checkout = workshop.home
    assert run(workshop) == 1
    assert "cannot read the board file" in capsys.readouterr().err
