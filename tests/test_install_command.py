"""``micropump library install``, ``library info`` and ``provision``, at a virtual pump."""

import hashlib
import shutil
import stat
from pathlib import Path

import pytest
from served import assert_explained, flat, served

from micropump.mechanism import KIND_SYRINGE
from micropump.shelf import KEY_BYTES
from micropump_host.cli import provision
from micropump_host.client import LibraryInfo, PumpTimeoutError
from micropump_host.errors import EXIT_DONE, EXIT_REFUSED, EXIT_USAGE
from micropump_host.library import load_library
from micropump_host.library.image import build_image

REPO = Path(__file__).resolve().parent.parent
HOME = Path(__file__).resolve().parent / "library_fixtures" / "home"
KEY = bytes(range(KEY_BYTES))
OTHER_KEY = bytes(reversed(KEY))
IMAGE = build_image(load_library(HOME), KEY)
SHA256 = hashlib.sha256(IMAGE).hexdigest()
NOTHING = "none is installed"


@pytest.fixture
def bench(capsys, monkeypatch):
    with served(capsys, monkeypatch) as found:
        yield found


@pytest.fixture
def ready(bench, key):
    """A pump that has a key, and no library."""
    assert bench.run("provision", "--key", key).code == EXIT_DONE
    return bench


@pytest.fixture
def key(tmp_path):
    return key_file(tmp_path, KEY)


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "lib.mpl"
    path.write_bytes(IMAGE)
    return path


def key_file(folder, key, name="lib.key"):
    path = folder / name
    path.write_text(f"{key.hex()}\n")
    return path


def version_of(folder, version, key=KEY):
    """An image of another version of the library."""
    source = Path(shutil.copytree(HOME, folder / f"version-{version}"))
    file = source / "library.toml"
    text = file.read_text(encoding="utf-8")
    assert "version = 3" in text
    file.write_text(text.replace("version = 3", f"version = {version}"), encoding="utf-8")
    path = folder / f"version-{version}.mpl"
    path.write_bytes(build_image(load_library(source), key))
    return path


# -- install and info ------------------------------------------------------------------------------


def test_a_folder_is_built_signed_and_installed(ready, key):
    said = ready.run("library", "install", HOME, "--key", key, "--yes", "--json")
    assert said.code == EXIT_DONE, said.err
    assert said.json == {
        "missing": "", "has_key": True, "version": 3, "size_bytes": len(IMAGE),
        "library_id": "home", "library_name": "Home infusion", "drugs": 4, "sha256": SHA256,
        "received_bytes": 0, "capacity_bytes": 65_536,
    }  # fmt: skip
    assert ready.library() == said.json
    assert "installing" in said.err
    (installed,) = ready.events("library installed")
    assert installed == f"version 3, bytes {len(IMAGE):,}"


def test_an_image_is_sent_as_it_is(ready, image):
    said = ready.run("library", "install", image, "--yes")
    assert said.code == EXIT_DONE, said.err
    for shown in ("Home infusion (home)", SHA256, f"{len(IMAGE):,} of 65,536 bytes"):
        assert shown in said.out
    assert ready.library()["sha256"] == SHA256


def test_what_is_installed_is_shown_beside_what_shall_be(ready, image, tmp_path):
    ready.run("library", "install", image, "--yes")
    newer = version_of(tmp_path, 4)
    said = ready.run("library", "install", newer, typed="n\n")
    assert said.code == EXIT_REFUSED
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in said.err.splitlines()]
    assert ["version", "3", "4"] in rows
    assert ["drugs", "4", "4"] in rows
    digits = hashlib.sha256(newer.read_bytes()).hexdigest()
    assert ["SHA-256", SHA256[:32], digits[:32]] in rows
    assert ["", SHA256[32:], digits[32:]] in rows


def test_the_first_one_is_beside_nothing(ready, image):
    said = ready.run("library", "install", image, typed="n\n")
    assert NOTHING in said.err
    assert "remark" not in said.err


@pytest.mark.parametrize(
    ("typed", "is_installed"), [("y\n", True), ("n\n", False), ("\n", False), ("", False)]
)
def test_install_asks_before_it_sends(ready, image, typed, is_installed):
    said = ready.run("library", "install", image, typed=typed)
    assert "Install it?" in said.err
    assert said.code == (EXIT_DONE if is_installed else EXIT_REFUSED)
    assert ready.library()["missing"] == ("" if is_installed else NOTHING)
    assert ("the pump is as it was" in said.err) is not is_installed


def test_install_does_nothing_where_nobody_can_be_asked(ready, image):
    said = ready.run("library", "install", image)
    assert_explained(said, EXIT_USAGE, "nobody can be asked", "--yes")
    assert ready.library()["missing"] == NOTHING


def test_the_very_same_is_not_installed_twice(ready, image):
    ready.run("library", "install", image, "--yes")
    said = ready.run("library", "install", image, "--yes")
    assert said.code == EXIT_DONE
    assert "This very library is installed already" in said.err
    assert len(ready.events("library installed")) == 1


def test_other_contents_of_the_same_version_are_remarked_on(ready, image, tmp_path):
    ready.run("library", "install", image, "--yes")
    source = Path(shutil.copytree(HOME, tmp_path / "home"))
    (source / "drugs" / "heparin.toml").unlink()
    key = key_file(tmp_path, KEY)
    said = ready.run("library", "install", source, "--key", key, "--yes", "--json")
    assert said.code == EXIT_DONE
    assert "its version is the same" in said.err
    assert said.json["drugs"] == 3


def test_another_library_is_remarked_on(ready, image, tmp_path):
    ready.run("library", "install", image, "--yes")
    source = Path(shutil.copytree(HOME, tmp_path / "other"))
    file = source / "library.toml"
    file.write_text(file.read_text().replace('id = "home"', 'id = "clinic"'))
    said = ready.run("library", "install", source, "--key", key_file(tmp_path, KEY), "--yes")
    assert said.code == EXIT_DONE
    assert "it is another library, by its id" in said.err
    assert ready.library()["library_id"] == "clinic"


def test_info_of_a_pump_that_has_nothing(bench):
    said = bench.run("library", "info")
    assert said.code == EXIT_DONE
    assert "none in use: none is installed" in said.out
    assert bench.library()["has_key"] is False


# -- what is not installed -------------------------------------------------------------------------


def damaged(folder):
    path = folder / "damaged.mpl"
    path.write_bytes(IMAGE[:200] + bytes([IMAGE[200] ^ 1]) + IMAGE[201:])
    return path


def forged(folder):
    """With a bit of its signature turned, which takes the key to see."""
    path = folder / "forged.mpl"
    path.write_bytes(IMAGE[:-1] + bytes([IMAGE[-1] ^ 1]))
    return path


def unsigned(folder):
    path = folder / "unsigned.mpl"
    path.write_bytes(build_image(load_library(HOME), None))
    return path


@pytest.mark.parametrize(
    ("made", "what"),
    [
        (damaged, "it is damaged"),
        (forged, "it is not signed with the pump's key"),
        (lambda folder: version_of(folder, 4, OTHER_KEY), "it is not signed with the pump's key"),
        (lambda folder: version_of(folder, 2), "it is older than the library that is installed"),
        (unsigned, "it is not signed\n"),
    ],
    ids=["damaged", "forged", "another key", "older", "unsigned"],
)
def test_what_is_refused_leaves_the_pump_as_it_was(ready, image, tmp_path, made, what):
    ready.run("library", "install", image, "--yes")
    before = ready.library()
    said = ready.run("library", "install", made(tmp_path), "--yes")
    assert_explained(said, EXIT_REFUSED, what)
    assert ready.library() == before


def test_with_a_key_an_image_is_looked_at_before_it_is_sent(ready, image, tmp_path, key):
    assert ready.run("library", "install", image, "--key", key, "--yes").code == EXIT_DONE
    other = key_file(tmp_path, OTHER_KEY, "other.key")
    said = ready.run("library", "install", version_of(tmp_path, 4), "--key", other, "--yes")
    assert_explained(said, EXIT_REFUSED, "its signature is not by this key", "version-4.mpl")
    assert ready.events("library refused") == []


def test_a_pump_without_a_key_takes_no_library(bench, image):
    said = bench.run("library", "install", image, "--yes")
    assert_explained(said, EXIT_REFUSED, "no key to verify a drug library", "micropump provision")
    assert bench.library()["missing"] == NOTHING


@pytest.mark.parametrize("words", [("library", "install"), ("provision", "--key")])
def test_while_a_program_is_loaded_nothing_is_changed(ready, image, tmp_path, words):
    with ready.pump() as pump:
        pump.program(KIND_SYRINGE, "bd-plastipak-50", 50_000, 10_000, 5_000)
    other = image if words[0] == "library" else key_file(tmp_path, OTHER_KEY, "other.key")
    beside = ("--yes",) if words[0] == "library" else ("--old", key_file(tmp_path, KEY))
    said = ready.run(*words, other, *beside)
    assert_explained(said, EXIT_REFUSED, "a program is loaded", "micropump stop")
    ready.run("stop")
    assert ready.run(*words, other, *beside).code == EXIT_DONE


def test_a_folder_takes_a_key(ready):
    said = ready.run("library", "install", HOME, "--yes")
    assert_explained(said, EXIT_USAGE, "no key was given", "--key")


def test_what_is_not_there_is_said(ready, tmp_path):
    said = ready.run("library", "install", tmp_path / "none.mpl", "--yes")
    assert_explained(said, EXIT_REFUSED, "cannot read the library", "none.mpl")


# -- the key ---------------------------------------------------------------------------------------


def test_a_new_key_is_for_its_owner_alone_and_good_for_the_pump(bench, tmp_path):
    path = tmp_path / "new.key"
    said = bench.run("provision", "--new-key", path, "--json")
    assert said.code == EXIT_DONE, said.err
    assert said.json.keys() == set(LibraryInfo.__dataclass_fields__)
    assert said.json["has_key"] is True
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(bytes.fromhex(path.read_text().strip())) == KEY_BYTES
    assert bench.run("library", "install", HOME, "--key", path, "--yes").code == EXIT_DONE


def test_two_new_keys_are_not_the_same(bench, tmp_path):
    first, second = tmp_path / "first.key", tmp_path / "second.key"
    assert bench.run("provision", "--new-key", first).code == EXIT_DONE
    assert bench.run("provision", "--new-key", second, "--old", first).code == EXIT_DONE
    assert first.read_text() != second.read_text()


def test_a_file_that_is_there_is_left_alone(bench, key):
    said = bench.run("provision", "--new-key", key)
    assert_explained(said, EXIT_REFUSED, "there is such a file already", key)
    assert bytes.fromhex(key.read_text()) == KEY
    assert bench.library()["has_key"] is False


def test_a_new_key_that_the_pump_refuses_is_not_kept(ready, tmp_path):
    path = tmp_path / "new.key"
    said = ready.run("provision", "--new-key", path)
    assert_explained(said, EXIT_REFUSED, "the pump has a key already", "--old")
    assert not path.exists()


def test_a_key_is_replaced_with_the_one_that_the_pump_has(ready, image, tmp_path, key):
    ready.run("library", "install", image, "--yes")
    other = key_file(tmp_path, OTHER_KEY, "other.key")
    third = key_file(tmp_path, bytes(KEY_BYTES), "third.key")
    for beside in ((), ("--old", third)):
        said = ready.run("provision", "--key", other, *beside)
        assert_explained(said, EXIT_REFUSED, "the pump has a key already")
        assert ready.library()["missing"] == ""
    said = ready.run("provision", "--key", other, "--old", key)
    assert said.code == EXIT_DONE
    # What is installed is not signed with it.
    assert "not signed with the pump's key" in flat(said.out)
    assert "micropump library install" in said.err
    newer = version_of(tmp_path, 4, OTHER_KEY)
    assert ready.run("library", "install", newer, "--yes").code == EXIT_DONE
    assert ready.library()["version"] == 4


def test_with_a_library_in_use_there_is_nothing_to_remark(ready, image, tmp_path, key):
    ready.run("library", "install", image, "--yes")
    said = ready.run("provision", "--key", key, "--old", key)
    assert said.code == EXIT_DONE
    assert "micropump library install" not in said.err


@pytest.mark.parametrize(("size", "length"), [(16, "short"), (31, "short"), (33, "long")])
def test_build_install_and_provision_want_the_same_key(bench, tmp_path, size, length):
    path = key_file(tmp_path, bytes(size))
    for words in (
        ("provision", "--key", path),
        ("provision", "--new-key", tmp_path / "new.key", "--old", path),
        ("library", "install", HOME, "--key", path, "--yes"),
    ):
        said = bench.run(*words)
        assert_explained(said, EXIT_REFUSED, f"a key of {size} bytes is too {length}", path)
        assert "provision --new-key" in said.err
    assert not (tmp_path / "new.key").exists()


@pytest.mark.parametrize("words", [(), ("--key", "a", "--new-key", "b")])
def test_provision_takes_one_key(bench, words):
    assert bench.run("provision", *words).code == EXIT_USAGE


def test_a_key_whose_answer_is_lost_is_kept(tmp_path):
    path = tmp_path / "new.key"
    with pytest.raises(PumpTimeoutError):
        provision._provision_anew(Silent(), path, b"")
    assert len(bytes.fromhex(path.read_text())) == KEY_BYTES


class Silent:
    """A pump that does not answer."""

    def provision(self, key, before):
        raise PumpTimeoutError("no answer", "port", "Look at it.")


def test_the_documents_name_what_is_printed():
    text = (REPO / "docs" / "cli.md").read_text(encoding="utf-8")
    section = text.partition("\n## library\n")[2].partition("\n## ")[0]
    for key in LibraryInfo.__dataclass_fields__:
        assert f"`{key}`" in section, key
