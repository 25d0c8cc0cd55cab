"""The emulator's core: as it comes with the package, or compiled for this interpreter.

``rp2040py`` brings a core that runs on every CPython, at the price of CPython's limited interface.
Where a C compiler and Cython are present, the C files that come with the package are compiled for
this very interpreter, with a loop of our own (``exact_loop.pyx``), and kept in a cache: five times
as fast, the same results to the bit. That happens when this package is first imported, which must
be before the emulator itself is; the environment variable MICROPUMP_EMULATOR says ``pure`` (never),
``compiled`` (or fail), or ``auto`` (if possible), which is the default.
"""

import contextlib
import fcntl
import hashlib
import importlib.abc
import importlib.machinery
import importlib.metadata
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

from rich.console import Console
from rich.progress import Progress

from micropump_hil.emulated.errors import EmulatorMissingError

VARIABLE = "MICROPUMP_EMULATOR"
CHOICES = ("auto", "pure", "compiled")

PACKAGE = "rp2040py"
_NATIVE = "rp2040py.native."
_LOOP = "exact_loop"
_SUFFIX = sysconfig.get_config_var("EXT_SUFFIX") or ".so"
# No contraction of a product and a sum into one rounding: results must not depend on the compiler.
_FLAGS = ("-O3", "-ffp-contract=off", "-fwrapv", "-DNDEBUG", "-w", "-fPIC", "-shared")
_FAILED = "failed.txt"


class _CachedCore(importlib.abc.MetaPathFinder):
    """Finds the core's modules in the cache before they are found in the package."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Say where a module of the core is."""
        if not fullname.startswith(_NATIVE):
            return None
        place = self._cache / (fullname.removeprefix(_NATIVE) + _SUFFIX)
        if not place.is_file():
            return None
        return importlib.util.spec_from_file_location(fullname, place)


def cache_folder() -> Path:
    """Where the compiled core for this interpreter and this version of the emulator belongs."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    loop = (Path(__file__).parent / f"{_LOOP}.pyx").read_bytes()
    parts = (
        importlib.metadata.version(PACKAGE),
        sysconfig.get_platform(),
        _SUFFIX,
        " ".join(_FLAGS),
        hashlib.sha256(loop).hexdigest(),
    )
    key = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    return Path(base) / "micropump" / "emulator" / key


def build(*, show: bool = True) -> Path:
    """Compile the core into the cache, if it is not there; takes half a minute.

    Args:
        show: whether to draw a progress bar on the terminal's error output.

    Returns:
        the folder it is in.

    Raises:
        EmulatorMissingError: if it cannot be compiled.

    """
    cache = cache_folder()
    with _locked(cache):
        if not (cache / (_LOOP + _SUFFIX)).is_file():
            _build_into(cache, show)
    return cache


def choose() -> tuple[str, Callable[[Any, int], None]]:
    """Settle which core is used; returns its name, ``pure`` or ``compiled``, and its loop.

    Raises:
        EmulatorMissingError: if the emulator is not installed, or MICROPUMP_EMULATOR asks for what
            is not to be had.

    """
    wanted = os.environ.get(VARIABLE, "auto")
    if wanted not in CHOICES:
        raise EmulatorMissingError(
            f"{VARIABLE} is {wanted!r}", "", f"It is one of {', '.join(CHOICES)}."
        )
    _need_package()
    if wanted != "pure" and _NATIVE + "_pio" not in sys.modules and (cache := _compiled(wanted)):
        sys.meta_path.insert(0, _CachedCore(cache))
        spec = importlib.util.spec_from_file_location(_LOOP, cache / (_LOOP + _SUFFIX))
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return "compiled", module.execute_batch
    from rp2040py.native._simulator import execute_batch  # noqa: PLC0415

    return "pure", execute_batch


def _need_package() -> None:
    remedy = "Install Micropump with its extra `hil`."
    if importlib.util.find_spec(PACKAGE) is None:
        raise EmulatorMissingError("the emulator, rp2040py, is not installed", "", remedy)
    if os.environ.get("RP2040PY_SKIP_CYTHON") == "1":
        raise EmulatorMissingError(
            "the emulator's compiled core is turned off", "", "Unset RP2040PY_SKIP_CYTHON."
        )
    if not any(_native_folder().glob("_pio.*so")) and not any(_native_folder().glob("_pio*.pyd")):
        raise EmulatorMissingError(
            "the emulator came without its compiled core",
            str(_native_folder()),
            "Install rp2040py from a wheel, or with a C compiler and Cython present.",
        )


def _compiled(wanted: str) -> Path | None:
    """The folder of the compiled core, built if need be; None where it is not to be had."""
    cache = cache_folder()
    if (cache / (_LOOP + _SUFFIX)).is_file():
        return cache
    if wanted == "auto" and (_missing_tool() or (cache / _FAILED).is_file()):
        return None
    try:
        return build()
    except EmulatorMissingError:
        if wanted == "compiled":
            raise
        return None


def _missing_tool() -> str:
    if importlib.util.find_spec("Cython") is None:
        return "Cython is not installed"
    if shutil.which(_compiler()[0]) is None:
        return f"there is no C compiler ({_compiler()[0]})"
    if not (Path(sysconfig.get_paths()["include"]) / "Python.h").is_file():
        return "Python's C headers are not installed"
    return ""


def _build_into(cache: Path, show: bool) -> None:
    if missing := _missing_tool():
        raise EmulatorMissingError(
            f"the emulator's core cannot be compiled: {missing}",
            "",
            f"Install it, or set {VARIABLE}=pure.",
        )
    with tempfile.TemporaryDirectory(dir=cache) as scratch_name:
        scratch = Path(scratch_name)
        sources = sorted(_native_folder().glob("_*.c"))
        console = Console(stderr=True)
        with (
            Progress(console=console, transient=True, disable=not show) as progress,
            ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool,
        ):
            bar = progress.add_task("Compiling the emulator's core, once", total=len(sources) + 1)
            loop_c = _translate_loop(scratch, cache)
            jobs = [pool.submit(_compile, source, scratch, cache) for source in [loop_c, *sources]]
            for job in jobs:
                job.result()
                progress.advance(bar)
        # The loop last: where it is, the rest is.
        built = sorted(scratch.glob(f"*{_SUFFIX}"), key=lambda path: path.name.startswith(_LOOP))
        for path in built:
            path.replace(cache / path.name)


def _translate_loop(scratch: Path, cache: Path) -> Path:
    source = Path(__file__).parent / f"{_LOOP}.pyx"
    target = scratch / f"{_LOOP}.c"
    include = str(_native_folder().parent.parent)
    _run(
        [sys.executable, "-m", "cython", "-3", "-I", include, str(source), "-o", str(target)], cache
    )
    return target


def _compile(source: Path, scratch: Path, cache: Path) -> None:
    include = sysconfig.get_paths()["include"]
    target = scratch / (source.stem + _SUFFIX)
    _run([*_compiler(), *_FLAGS, f"-I{include}", str(source), "-o", str(target)], cache)


def _run(words: list[str], cache: Path) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        (cache / _FAILED).write_text(done.stderr)
        raise EmulatorMissingError(
            "the emulator's core could not be compiled",
            words[0],
            f"The compiler's words are in {cache / _FAILED}; {VARIABLE}=pure does without.",
        )


def _compiler() -> list[str]:
    return shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[:1]


def _native_folder() -> Path:
    spec = importlib.util.find_spec(PACKAGE)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "native"


@contextlib.contextmanager
def _locked(cache: Path) -> Iterator[None]:
    """Several processes start at once; one builds and the others wait for it."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


NAME, execute_batch = choose()
