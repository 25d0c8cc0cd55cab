"""The interpreter's prompt on a board, spoken to through ``mpremote``."""

import ast
import contextlib
import errno
import io
import re
import secrets
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import serial

from micropump_host.flash.errors import BoardError
from micropump_host.flash.modules import MpyKind, import_mpremote
from micropump_host.flash.pump import POLL_S, Waiting

# A piece's source text, at most four times as long, has to fit into the board's memory.
PIECE_BYTES = 1024
# Longer than erasing a block of flash takes.
_READ_TIMEOUT_S = 5.0
_HASH_PIECE_BYTES = 1024

_LOOK = """
import gc, os, sys
try:
    import micropump_board
    board = micropump_board.BOARD
except ImportError:
    board = None
except Exception:
    board = ""
heap = gc.mem_free() + gc.mem_alloc()
print((getattr(sys.implementation, "_mpy", 0), board, os.statvfs("/")[0] != 0, heap))
"""

# Blocks that are all 0xFF hold nothing that a new file system could destroy. Only our own image has
# a region of its own before the file system.
_MAKE_FILE_SYSTEM = """
import rp2, vfs
try:
    from micropump_rp2.flash import file_system
    flash = file_system()
except ImportError:
    flash = rp2.Flash()
block = bytearray(flash.ioctl(5, 0))
erased = b"\\xff" * len(block)
used = False
for number in range(flash.ioctl(4, 0)):
    flash.readblocks(number, block)
    if block != erased:
        used = True
        break
if {even_if_used} or not used:
    vfs.VfsLfs2.mkfs(flash, progsize=256)
    vfs.mount(vfs.VfsLfs2(flash, progsize=256), "/")
    used = False
print(used)
"""

_REMOVE = """
import os
def remove(path):
    try:
        if os.stat(path)[0] & 0x4000:
            for entry in list(os.ilistdir(path)):
                remove(path + "/" + entry[0])
            os.rmdir(path)
        else:
            os.remove(path)
    except OSError as error:
        if error.errno != 2:
            raise
for name in {names!r}:
    remove(name)
"""

_MOVE = """
for name in {moved!r}:
    os.rename({folder!r} + "/" + name, name)
os.rmdir({folder!r})
"""

_RESET = """
try:
    from micropump_rp2 import reset
    reset.reset(1)
except Exception:
    import machine
    machine.reset()
"""

_BOOT_LOADER = "import machine; machine.bootloader()"

# Ends a program in the raw REPL, and each part of what it says.
_END = b"\x04"
# Errors that mpremote reads out of what the board says, among those of the line itself.
_FILE_SYSTEM_SAYS = (errno.ENOSPC, errno.ENOENT, errno.EEXIST, errno.EROFS, errno.EPERM)
_FULL = re.compile(r"\b(28|ENOSPC)\b")
_BROKEN = (serial.SerialException, OSError, TypeError, struct.error)


@dataclass(frozen=True)
class Facts:
    """What the interpreter says of itself.

    Attributes:
        mpy: which ``.mpy`` files it takes.
        board: id of the board; None where Micropump is not on it, ``""`` where it does not load.
        has_file_system: whether one is mounted.
        heap_bytes: the memory that there is for programs and what they keep.

    """

    mpy: MpyKind
    board: str | None
    has_file_system: bool
    heap_bytes: int


class Prompt:
    """The interpreter's prompt of the board at a port; a context manager.

    Args:
        port: as pyserial names it.
        waiting: how long to try to reach the prompt.

    Raises:
        ToolMissingError: if mpremote is not installed.
        BoardError: if there is no prompt, here or later, or it refuses.

    """

    def __init__(self, port: str, waiting: Waiting) -> None:
        self.port = port
        self._errors = import_mpremote("transport")
        self._serial_transport = import_mpremote("transport_serial").SerialTransport
        self._transport = self._reach(waiting)

    def __enter__(self) -> Self:
        """Return the prompt itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the line; the board stays where it is."""
        with contextlib.suppress(*_BROKEN):
            self._transport.close()

    def facts(self) -> Facts:
        """What the interpreter says of itself."""
        word, board, has_file_system, heap_bytes = self._ask(_LOOK)
        return Facts(MpyKind.from_word(word), board, has_file_system, heap_bytes)

    def make_file_system(self, even_if_used: bool) -> bool:
        """Make a file system where none is mounted.

        Args:
            even_if_used: also where the flash is not empty: what was in it is lost then.

        Returns:
            Whether there is one now; False where the flash is not empty.

        """
        return not self._ask(_MAKE_FILE_SYSTEM.format(even_if_used=even_if_used))

    def remove(self, names: list[str]) -> None:
        """Remove files, and folders with all that is in them; what is not there is left out."""
        self._say(_REMOVE.format(names=names))

    def make_folder(self, path: str) -> None:
        """Make a folder; the one around it has to be there."""
        with self._told():
            self._transport.fs_mkdir(path)

    def write(self, path: str, data: bytes, on_bytes: Callable[[int], None]) -> None:
        """Write a file; ``on_bytes`` is called with how many of its bytes are written."""
        with self._told():
            self._transport.fs_writefile(
                path, data, PIECE_BYTES, lambda written, _of: on_bytes(written)
            )

    def sha256(self, path: str) -> str:
        """Hash of a file, computed on the board, in hexadecimal."""
        with self._told():
            digest = self._transport.fs_hashfile(path, "sha256", _HASH_PIECE_BYTES)
        return bytes(digest).hex()

    def replace(self, removed: list[str], folder: str, moved: list[str]) -> None:
        """Remove what was there and move in what a folder has, in one go on the board.

        Args:
            removed: files and folders to remove; what is not there is left out.
            folder: where the new ones are; it is removed.
            moved: their names.

        """
        self._say(_REMOVE.format(names=removed) + _MOVE.format(folder=folder, moved=moved))

    def reset_into_pump(self) -> None:
        """Restart the board; the line is of no more use."""
        self._last_words(_RESET)

    def reset_into_boot_loader(self) -> None:
        """Restart the board into its boot loader; the line is of no more use."""
        self._last_words(_BOOT_LOADER)

    def _reach(self, waiting: Waiting) -> Any:
        """The transport at the prompt, as soon as the board that starts anew has one."""
        deadline_s = time.monotonic() + waiting.board_s
        while True:
            transport = None
            try:
                # mpremote prints what it does not understand.
                with contextlib.redirect_stdout(io.StringIO()):
                    transport = self._serial_transport(self.port, timeout=waiting.answer_s)
                    transport.enter_raw_repl(soft_reset=False, timeout_overall=waiting.answer_s)
                    self._catch_up(transport, waiting)
                transport.serial.timeout = _READ_TIMEOUT_S
                return transport
            except (self._errors.TransportError, *_BROKEN) as error:
                if transport:
                    with contextlib.suppress(*_BROKEN):
                        transport.close()
                if time.monotonic() >= deadline_s:
                    what = f"the interpreter's prompt does not answer ({error})"
                    remedy = "Plug the board out and in; it comes up as it was. Then try again"
                    raise BoardError(what, self.port, remedy) from None
            time.sleep(POLL_S)

    def _catch_up(self, transport: Any, waiting: Waiting) -> None:
        """Read over the answers to what an earlier try has sent, which the board may get late."""
        mark = secrets.token_hex(8)
        transport.serial.write(f"print('{mark}', end='')".encode() + _END)
        awaited = f"OK{mark}".encode() + _END + _END
        if not transport.read_until(1, awaited, timeout_overall=waiting.answer_s).endswith(awaited):
            raise self._errors.TransportError("it does not keep up")

    def _ask(self, script: str) -> Any:
        """What a script prints, as the value that it is."""
        return ast.literal_eval(self._say(script).strip())

    def _say(self, script: str) -> str:
        with self._told():
            said: bytes = self._transport.exec(script)
        return said.decode(errors="replace")

    def _last_words(self, script: str) -> None:
        with self._told():
            self._transport.exec_raw_no_follow(script)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Give errors of mpremote and of the line their right names."""
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                yield
        except self._errors.TransportExecError as error:
            raise self._refused(str(error.error_output)) from None
        except (self._errors.TransportError, *_BROKEN) as error:
            if getattr(error, "errno", None) in _FILE_SYSTEM_SAYS:
                raise self._refused(str(error)) from None
            what = f"the line to the board broke ({error})"
            remedy = "Plug the board out and in, look at micropump info, then try again"
            raise BoardError(what, self.port, remedy) from None

    def _refused(self, text: str) -> BoardError:
        last = (text.strip().splitlines() or ["no reason"])[-1]
        if _FULL.search(last):
            last = f"its file system is full ({last})"
        remedy = "Remove what is not needed with mpremote, or flash an image: micropump flash --uf2"
        return BoardError(f"the board refuses: {last}", self.port, remedy)
