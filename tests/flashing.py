"""What plays a board and its boot drive where flashing is tested."""

import contextlib
import hashlib
import json
import os
import select
import shutil
import struct
import subprocess
import threading
import time

from support import MICROPYTHON

from micropump import wire
from micropump.link import Identity
from micropump.mechanism import KIND_SYRINGE
from micropump_host.bench.server import PtyEndpoint
from micropump_host.image.chip import UF2_FAMILY_RP2040
from micropump_virtual.pump import VirtualPump

LOOK_S = 0.005
FROZEN_CONTENT = "f0" * 32
BOOT_LOADER = 3

# What of a board the interpreter on this computer lacks. Leaving it is the reset.
_STAND_INS = f"""
import sys

# As on the board: the file system first.
sys.path[0] = ""

class Memory:
    def __setitem__(self, address, value):
        pass

class machine:
    mem32 = Memory()

    @staticmethod
    def reset():
        sys.exit(0)

    @staticmethod
    def bootloader():
        sys.exit({BOOT_LOADER})

sys.modules["machine"] = machine
"""


def uf2(contents, family=UF2_FAMILY_RP2040, blocks=None):
    """A UF2 with ``contents``; ``blocks`` is what it says of their number."""
    parts = [contents[at : at + 256] for at in range(0, len(contents), 256)]
    data = b""
    for number, part in enumerate(parts):
        address, told = 0x10000000 + 256 * number, blocks or len(parts)
        head = (0x0A324655, 0x9E5D5157, 0x2000, address, len(part), number, told, family)
        data += struct.pack("<8I", *head) + part.ljust(476, b"\0") + struct.pack("<I", 0x0AB16F30)
    return data


def write_image(folder, data=None, **told):
    """An image and its manifest in ``folder``; ``told`` is what the manifest says otherwise."""
    data = uf2(bytes(range(256)) * 1024) if data is None else data
    path = folder / "pico.uf2"
    path.write_bytes(data)
    manifest = {
        "board": "pico",
        "chip": "rp2040",
        "version": "0.1.0",
        "content_sha256": "c0" * 32,
        "sha256": hashlib.sha256(data).hexdigest(),
        **told,
    }
    path.with_suffix(".json").write_text(json.dumps(manifest))
    return path


def make_drive(path, board_id="RPI-RP2"):
    """A folder that looks like the boot drive."""
    path.mkdir(parents=True)
    text = f"UF2 Bootloader v3.0\r\nModel: Raspberry Pi RP2\r\nBoard-ID: {board_id}\r\n"
    (path / "INFO_UF2.TXT").write_text(text)
    return path


class FakeBoard:
    """A board on a pseudo-terminal: the pump's core, and MicroPython as its prompt.

    Args:
        folder: its file system is in it.
        at_prompt: begin at the prompt.

    Attributes:
        port: to connect to.
        files: its file system.
        tells: the hash that it tells whatever it runs; None for the true one.
        stand_ins: what its interpreter runs first.
        restarts: what it was restarted into, ``wire.INTO_…`` and ``BOOT_LOADER``.
        on_boot_loader: called when it restarts into its boot loader.

    """

    def __init__(self, folder, at_prompt=False):
        self.files = folder / "files"
        self.frozen = folder / "frozen"
        for path in (self.files, self.frozen):
            path.mkdir(parents=True)
        (self.frozen / "micropump_board.py").write_text(
            f'BOARD = "pico"\nCONTENT_SHA256 = "{FROZEN_CONTENT}"\n'
        )
        self.tells = None
        self.stand_ins = _STAND_INS
        self.restarts = []
        self.on_boot_loader = lambda: None
        self._at_prompt = at_prompt
        self._endpoint = PtyEndpoint()
        self.port = self._endpoint.name
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_error):
        self.unplug()

    def unplug(self):
        """Pull the cable."""
        self._stopping.set()
        if self._thread is not threading.current_thread():
            self._thread.join(30)
            assert not self._thread.is_alive()
        if self._endpoint:
            self._endpoint.close()
            self._endpoint = None

    def content(self):
        """The hash of what the interpreter would run, by its own import; "" where it does not."""
        done = subprocess.run(
            [MICROPYTHON, "-c", "import micropump_board as b; print(b.CONTENT_SHA256)"],
            cwd=self.files, env=self._environment(), capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.stdout.strip()

    def _environment(self):
        return {**os.environ, "MICROPYPATH": str(self.frozen)}

    def _run(self):
        while not self._stopping.is_set():
            into = self._run_prompt() if self._at_prompt else self._run_pump()
            self.restarts.append(into)
            if into == BOOT_LOADER:
                self.on_boot_loader()
                return
            self._at_prompt = into == wire.INTO_MAINTENANCE

    def _run_pump(self):
        content = self.tells or self.content()
        identity = Identity(
            "rp2", "pico", KIND_SYRINGE, "t8-2mm-16", 1000, "MicroPython", content, True
        )
        pump = VirtualPump(identity)
        began_s = time.monotonic()
        while not self._stopping.is_set():
            now_ms = int((time.monotonic() - began_s) * 1000)
            if data := self._endpoint.read(LOOK_S):
                self._endpoint.write(pump.receive(now_ms, data))
            else:
                pump.advance(now_ms)
            if pump.link.restart_into:
                return pump.link.restart_into
        return wire.INTO_PUMP

    def _run_prompt(self):
        script = self.frozen / "stand_ins.py"
        script.write_text(self.stand_ins)
        line = PtyEndpoint()
        process = subprocess.Popen(
            [MICROPYTHON, "-i", script],
            cwd=self.files, env=self._environment(),
            stdin=line._slave, stdout=line._slave, stderr=line._slave,
        )  # fmt: skip
        try:
            while not self._stopping.is_set() and process.poll() is None:
                ends = [self._endpoint._master, line._master]
                ready = select.select(ends, [], [], LOOK_S)[0]
                if ends[0] in ready:
                    line.write(self._endpoint.read(0))
                if ends[1] in ready:
                    self._endpoint.write(line.read(0))
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()
            line.close()
        return BOOT_LOADER if process.returncode == BOOT_LOADER else wire.INTO_PUMP


class BootDrive:
    """A folder that plays the boot drive, and the board behind it: gone when it has the image.

    Args:
        path: of the folder.
        size_bytes: when the image is whole.
        on_gone: called when the board starts anew.

    Attributes:
        image: what was written.

    """

    def __init__(self, path, size_bytes, on_gone=lambda: None):
        self.path = make_drive(path)
        self.size_bytes = size_bytes
        self.on_gone = on_gone
        self.image = b""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        target = self.path / "pico.uf2"
        for _ in range(3000):
            if target.is_file() and target.stat().st_size == self.size_bytes:
                self.image = target.read_bytes()
                shutil.rmtree(self.path)
                self.on_gone()
                return
            time.sleep(0.01)

    def join(self):
        self._thread.join(30)
        assert not self._thread.is_alive()
