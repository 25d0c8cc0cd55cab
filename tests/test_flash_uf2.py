"""An image onto a board by its boot drive: a folder plays the drive."""

import errno
import json
import os
import shutil
from types import SimpleNamespace

import pytest
from flashing import FROZEN_CONTENT, BootDrive, FakeBoard, make_drive, uf2, write_image
from support import MICROPYTHON

from micropump.mechanism import KIND_SYRINGE
from micropump_host.bench.server import PtyEndpoint
from micropump_host.cli import main
from micropump_host.client import Pump
from micropump_host.errors import EXIT_DONE, EXIT_REFUSED
from micropump_host.flash import (
    DriveError,
    ImageMismatchError,
    NotVerifiedError,
    Waiting,
    await_drive,
    await_gone,
    await_pump,
    check_board,
    copy_image,
    find_drive,
    load_flash_image,
    verify,
)
from micropump_host.flash.drive import PIECE_BYTES
from micropump_host.image import Uf2Error
from micropump_host.image.chip import UF2_FAMILY_RP2350_ARM_S

CONTENT = "c0" * 32
RASPBERRY_PI_VID = 0x2E8A


@pytest.fixture
def image(tmp_path):
    return load_flash_image(write_image(tmp_path))


@pytest.fixture
def mounts(tmp_path, monkeypatch):
    """The usual places, made to be in a folder of the test."""
    places = (f"{tmp_path}/media/*", f"{tmp_path}/media/*/*")
    monkeypatch.setattr("micropump_host.flash.drive.MOUNTS", places)
    return tmp_path / "media"


def run_micropump(capsys, *words):
    code = main([*map(str, words)])
    said = capsys.readouterr()
    return code, said.out, said.err


# -- the image ----------------------------------------------------------------------------------


def test_a_whole_image_is_read_with_its_manifest(image):
    assert (image.chip, image.board, image.content_sha256) == ("rp2040", "pico", CONTENT)
    assert image.data == image.path.read_bytes()


@pytest.mark.parametrize(
    ("data", "error", "said"),
    [
        (b"", Uf2Error, "0 bytes"),
        (b"\x7fELF" * 256, Uf2Error, "no UF2 block"),
        (uf2(bytes(5000))[:-1], Uf2Error, "no whole number"),
        # Cut at the end of a block, which only the number of blocks tells.
        (uf2(bytes(5000))[:-512], ImageMismatchError, "cut short: 19 of 20 blocks"),
        (uf2(bytes(5000), family=0x68ED2B88), ImageMismatchError, "family 0x68ed2b88"),
    ],
    ids=["empty", "no-uf2", "truncated", "block-missing", "another-family"],
)
def test_what_is_no_image_for_a_pico(tmp_path, data, error, said):
    with pytest.raises(error, match=said):
        load_flash_image(write_image(tmp_path, data))


def test_an_image_that_is_not_there(tmp_path):
    with pytest.raises(Uf2Error, match="cannot read"):
        load_flash_image(tmp_path / "pico.uf2")


@pytest.mark.parametrize(
    "told", [{"sha256": "00" * 32}, {"chip": "rp2350"}], ids=["another-file", "another-chip"]
)
def test_an_image_that_is_not_its_manifests(tmp_path, told):
    with pytest.raises(ImageMismatchError, match=r"not the one that pico\.json tells of"):
        load_flash_image(write_image(tmp_path, **told))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read"),
        ("{", "damaged"),
        ("[]", "damaged"),
        ("{}", "damaged"),
        ('{"board": 1}', "damaged"),
    ],
)
def test_a_manifest_that_does_not_tell(tmp_path, text, said):
    manifest = write_image(tmp_path).with_suffix(".json")
    manifest.unlink()
    if text is not None:
        manifest.write_text(text)
    with pytest.raises(ImageMismatchError, match=said):
        load_flash_image(manifest.with_suffix(".uf2"))


@pytest.mark.parametrize(
    ("board", "said"), [("pico_w", 'this is a "pico_w"'), ("virtual", "simulated")]
)
def test_an_image_for_another_board(image, board, said):
    check_board(image, "pico", "port")
    with pytest.raises(ImageMismatchError, match=said):
        check_board(image, board, "port")


# -- the drive ----------------------------------------------------------------------------------


def test_the_drive_is_found_among_others(mounts):
    make_drive(mounts / "me" / "FEATHERBOOT", "SAMD21G18A-Feather-v0")
    (mounts / "me" / "photos").mkdir()
    path = make_drive(mounts / "me" / "RPI-RP2")
    assert find_drive().path == path


def test_no_drive(mounts):
    with pytest.raises(DriveError, match=r"no board in its boot loader.*BOOTSEL"):
        find_drive()


def test_several_drives_are_named(mounts):
    first = make_drive(mounts / "RPI-RP2")
    second = make_drive(mounts / "me" / "RP2350", "RP2350")
    with pytest.raises(DriveError) as error:
        find_drive()
    assert str(first) in error.value.where
    assert str(second) in error.value.where
    assert find_drive(second).chip == "rp2350"


def test_a_given_path_that_is_no_drive_of_a_pico(tmp_path):
    with pytest.raises(DriveError, match=r"no INFO_UF2\.TXT"):
        find_drive(tmp_path)
    other = make_drive(tmp_path / "other", "SAMD21G18A-Feather-v0")
    with pytest.raises(DriveError, match="SAMD21G18A-Feather-v0"):
        find_drive(other)


def test_a_drive_that_does_not_come(mounts):
    with pytest.raises(DriveError, match="no board"):
        await_drive(None, 0.02, poll_s=0.001)


def test_an_image_for_the_other_chip_is_not_written(tmp_path, image):
    rp2350 = find_drive(make_drive(tmp_path / "drive", "RP2350"))
    with pytest.raises(ImageMismatchError, match="for an RP2040 and the board has an RP2350"):
        copy_image(image, rp2350)
    assert [path.name for path in rp2350.path.iterdir()] == ["INFO_UF2.TXT"]
    data = uf2(bytes(1000), family=UF2_FAMILY_RP2350_ARM_S)
    (tmp_path / "pico2").mkdir()
    pico2 = load_flash_image(write_image(tmp_path / "pico2", data, chip="rp2350", board="pico2"))
    with pytest.raises(ImageMismatchError, match="for an RP2350 and the board has an RP2040"):
        copy_image(pico2, find_drive(make_drive(tmp_path / "rp2040")))


def test_the_image_is_written_whole_and_told_of(tmp_path, image):
    drive = find_drive(make_drive(tmp_path / "drive"))
    told = []
    copy_image(image, drive, told.append)
    assert (drive.path / "pico.uf2").read_bytes() == image.data
    assert told == [*range(PIECE_BYTES, len(image.data), PIECE_BYTES), len(image.data)]
    assert len(told) > 2


def test_a_drive_without_room(tmp_path, image, monkeypatch):
    drive = find_drive(make_drive(tmp_path / "drive"))
    monkeypatch.setattr(
        shutil, "disk_usage", lambda _path: SimpleNamespace(free=len(image.data) - 1)
    )
    with pytest.raises(DriveError, match="no room"):
        copy_image(image, drive)
    assert not (drive.path / "pico.uf2").exists()


def test_a_drive_that_is_full_after_all(tmp_path, image):
    drive = find_drive(make_drive(tmp_path / "drive"))
    (drive.path / "pico.uf2").symlink_to("/dev/full")
    with pytest.raises(DriveError, match="no room"):
        copy_image(image, drive)


def test_unplugged_in_the_middle(tmp_path, image):
    drive = find_drive(make_drive(tmp_path / "drive"))
    told = []

    def unplug(written_bytes):
        told.append(written_bytes)
        shutil.rmtree(drive.path)

    with pytest.raises(DriveError, match=r"unplugged while it was flashed, after .* of .* bytes"):
        copy_image(image, drive, unplug)
    assert told == [PIECE_BYTES]


def test_unplugged_while_a_piece_is_pushed_through(tmp_path, image, monkeypatch):
    drive = find_drive(make_drive(tmp_path / "drive"))

    def vanish(_descriptor):
        shutil.rmtree(drive.path)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", vanish)
    with pytest.raises(DriveError, match="unplugged while it was flashed"):
        copy_image(image, drive)


def test_a_drive_that_refuses_and_stays(tmp_path, image, monkeypatch):
    def refuse(_descriptor):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(DriveError, match="cannot be written"):
        copy_image(image, find_drive(make_drive(tmp_path / "drive")))


def test_gone_with_the_last_piece_is_what_a_board_does(tmp_path, image, monkeypatch):
    drive = find_drive(make_drive(tmp_path / "drive"))
    pushed = []

    def push(_descriptor):
        pushed.append(1)
        if len(pushed) * PIECE_BYTES >= len(image.data):
            shutil.rmtree(drive.path)
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", push)
    copy_image(image, drive)
    await_gone(drive, 1.0)


def test_a_drive_that_stays_has_not_taken_the_image(tmp_path):
    drive = find_drive(make_drive(tmp_path / "drive"))
    with pytest.raises(DriveError, match="has not taken the image"):
        await_gone(drive, 0.02, poll_s=0.001)


# -- the pump afterwards ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "said"),
    [("ab" * 8, "abababababababab, not the c0c0c0c0c0c0c0c0"), ("", "tells no hash")],
)
def test_another_hash_is_not_verified(content, said):
    verify(SimpleNamespace(content=CONTENT[:16]), CONTENT, "port")
    with pytest.raises(NotVerifiedError, match=rf"{said}.*--unload"):
        verify(SimpleNamespace(content=content), CONTENT, "port")


def test_a_pump_that_does_not_come_up():
    with pytest.raises(NotVerifiedError, match="no pump has come up"):
        await_pump("/dev/tty-of-no-pump", set(), Waiting(0.02, 0.01))


def comports(monkeypatch, *ports):
    """Make this computer have these serial ports, as (device, USB vendor)."""
    found = [SimpleNamespace(device=device, vid=vid) for device, vid in ports]
    monkeypatch.setattr("serial.tools.list_ports.comports", lambda: found)


def test_the_port_that_newly_appears_is_the_boards(monkeypatch):
    comports(monkeypatch, ("/dev/old", RASPBERRY_PI_VID), ("/dev/modem", 0x1234))
    with pytest.raises(NotVerifiedError, match="no port of a board"):
        await_pump(None, {"/dev/old"}, Waiting(0.02, 0.01))
    comports(monkeypatch, ("/dev/a", RASPBERRY_PI_VID), ("/dev/b", RASPBERRY_PI_VID))
    with pytest.raises(NotVerifiedError) as error:
        await_pump(None, set(), Waiting(0.02, 0.01))
    assert error.value.where == "/dev/a, /dev/b"


# -- the command --------------------------------------------------------------------------------

needs_micropython = pytest.mark.skipif(
    not MICROPYTHON.exists(), reason="the extra bench is not installed"
)


@needs_micropython
@pytest.mark.parametrize("port_is_named", [True, False])
def test_the_command_by_the_drive(tmp_path, image, capsys, monkeypatch, port_is_named):
    board = FakeBoard(tmp_path / "board")
    board.tells = CONTENT
    # The board has a port only when it has left its boot loader.
    link = tmp_path / "pump.tty"
    comports(monkeypatch, ("/dev/another", RASPBERRY_PI_VID))

    def start():
        board.__enter__()
        link.symlink_to(board.port)
        comports(monkeypatch, ("/dev/another", RASPBERRY_PI_VID), (str(link), RASPBERRY_PI_VID))

    drive = BootDrive(tmp_path / "drive", len(image.data), start)
    words = ["--port", link] if port_is_named else []
    code, out, err = run_micropump(
        capsys, "flash", "--uf2", image.path, "--drive", drive.path, *words, "--yes", "--json",
        "--timeout-s", "0.5",
    )  # fmt: skip
    drive.join()
    board.unplug()
    assert code == EXIT_DONE, err
    told = json.loads(out)
    assert (told["method"], told["verified"], told["old"]) == ("uf2", True, None)
    assert told["new"]["content"] == CONTENT[:16]
    assert told["port"] == str(link)
    assert drive.image == image.data


@needs_micropython
def test_the_command_by_asking_the_pump_for_its_drive(tmp_path, image, mounts, capsys):
    before, after = FakeBoard(tmp_path / "before"), FakeBoard(tmp_path / "after")
    after.tells = CONTENT
    link = tmp_path / "pump.tty"
    link.symlink_to(before.port)
    drives = []

    def come_up():
        link.symlink_to(after.port)

    def show_drive():
        link.unlink()
        drives.append(BootDrive(mounts / "RPI-RP2", len(image.data), come_up))

    before.on_boot_loader = show_drive
    with before, after:
        code, out, err = run_micropump(
            capsys, "flash", "--uf2", image.path, "--port", link, "--yes", "--json",
            "--timeout-s", "0.5",
        )  # fmt: skip
    assert code == EXIT_DONE, err
    told = json.loads(out)
    assert told["verified"]
    assert FROZEN_CONTENT.startswith(told["old"]["content"])
    assert told["new"]["content"] == CONTENT[:16]
    assert drives[0].image == image.data


@needs_micropython
def test_a_board_that_runs_something_else_afterwards(tmp_path, image, capsys):
    board = FakeBoard(tmp_path / "board")
    link = tmp_path / "pump.tty"

    def start():
        board.__enter__()
        link.symlink_to(board.port)

    drive = BootDrive(tmp_path / "drive", len(image.data), start)
    code, out, _ = run_micropump(
        capsys, "flash", "--uf2", image.path, "--drive", drive.path, "--port", link, "--yes",
        "--json", "--timeout-s", "0.5",
    )  # fmt: skip
    drive.join()
    board.unplug()
    assert code == EXIT_REFUSED
    assert FROZEN_CONTENT[:16] in json.loads(out)["error"]
    assert "--unload" in json.loads(out)["remedy"]


@needs_micropython
def test_a_pump_on_another_board_stays_what_it_is(tmp_path, mounts, capsys):
    pico_w = write_image(tmp_path, board="pico_w")
    with FakeBoard(tmp_path / "board") as board:
        code, _, err = run_micropump(
            capsys, "flash", "--uf2", pico_w, "--port", board.port, "--yes", "--timeout-s", "2"
        )
        assert board.restarts == []
    assert code == EXIT_REFUSED
    assert 'for the board "pico_w" and this is a "pico"' in err


@needs_micropython
def test_a_pump_beside_a_board_in_its_boot_loader_is_another_board(tmp_path, image, capsys):
    drive = make_drive(tmp_path / "drive")
    with FakeBoard(tmp_path / "board") as board:
        code, _, err = run_micropump(
            capsys, "flash", "--uf2", image.path, "--drive", drive, "--port", board.port, "--yes"
        )
    assert code == EXIT_REFUSED
    assert "another board" in err
    assert not (drive / "pico.uf2").exists()


@needs_micropython
def test_a_therapy_under_way_keeps_its_pump_from_its_boot_loader(tmp_path, image, mounts, capsys):
    with FakeBoard(tmp_path / "board") as board:
        with Pump(board.port, timeout_s=2.0) as pump:
            accepted = pump.program(KIND_SYRINGE, "bd-plastipak-50", 50_000, 10_000, 5_000)
            pump.start(accepted.program_id)
        code, _, err = run_micropump(
            capsys, "flash", "--uf2", image.path, "--port", board.port, "--yes"
        )
        assert board.restarts == []
        with Pump(board.port, timeout_s=2.0) as pump:
            assert pump.status().state == "infusing"
    assert code == EXIT_REFUSED
    assert "therapy is under way" in err


def test_a_port_of_something_else_is_said_before_anything_is_written(tmp_path, image, capsys):
    drive = make_drive(tmp_path / "drive")
    endpoint = PtyEndpoint()
    try:
        code, _, err = run_micropump(
            capsys, "flash", "--uf2", image.path, "--drive", drive, "--port", endpoint.name,
            "--yes", "--timeout-s", "0.05",
        )  # fmt: skip
    finally:
        endpoint.close()
    assert code == EXIT_REFUSED
    assert "nothing answers" in err
    assert not (drive / "pico.uf2").exists()


def test_neither_drive_nor_port(image, mounts, capsys):
    code, _, err = run_micropump(
        capsys, "flash", "--uf2", image.path, "--port", "/dev/tty-of-no-pump", "--yes"
    )
    assert code == EXIT_REFUSED
    assert "no board in its boot loader" in err


@pytest.mark.parametrize(("answer", "written"), [("n", False), ("y", True)])
def test_a_person_confirms(tmp_path, image, capsys, monkeypatch, answer, written):
    drive = make_drive(tmp_path / "drive")
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    asked = []
    monkeypatch.setattr("builtins.input", lambda *_: asked.append(1) or answer)
    code, _, err = run_micropump(
        capsys, "flash", "--uf2", image.path, "--drive", drive, "--no-verify", "--wait-s", "0.05"
    )
    assert asked
    assert (drive / "pico.uf2").exists() == written
    # A folder does not go away by itself.
    assert ("has not taken the image" if written else "Nothing was flashed") in err
    assert code == EXIT_REFUSED


def test_not_to_be_verified(tmp_path, image, capsys):
    drive = BootDrive(tmp_path / "drive", len(image.data))
    code, out, err = run_micropump(
        capsys, "flash", "--uf2", image.path, "--drive", drive.path, "--no-verify", "--yes"
    )
    drive.join()
    assert code == EXIT_DONE, err
    assert "not looked at" in out
    assert drive.image == image.data
