"""MicroPython's sources: a tree that the user names, or one put together from Debian's packages.

Debian's ``micropython`` comes without the libraries that a Pico needs; they are packages of their
own. All are of one release, whatever release of Debian this machine runs.
"""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from micropump_host.errors import MicropumpError
from micropump_host.image.lock import alone
from micropump_host.image.log import Log, ToolError, ignore

# MicroPython 1.25 and Pico SDK 2.1.1, which match; the next release's do not (tried).
SUITE = "trixie"
SOURCE_PACKAGES = ("micropython", "mbedtls")
BINARY_PACKAGES = ("pico-sdk-source", "tinyusb-source")
# The file by which a library is known to be there, and the folder that it is in.
LIBRARIES = {
    "lib/pico-sdk": "pico_sdk_init.cmake",
    "lib/tinyusb": "src/tusb.h",
    "lib/mbedtls": "library/aes.c",
}
# First with .mpy files of version 6.3, which the frozen modules of later ones also are.
LEAST_VERSION = (1, 23)

_PORT = "ports/rp2/CMakeLists.txt"
_APT_FOLDERS = ("lists/partial", "cache/archives/partial")
_NAMED_REMEDY = "Name a MicroPython tree with --micropython DIR or MICROPYTHON_DIR"
_VERSION_LINE = re.compile(r"#define MICROPY_VERSION_(MAJOR|MINOR|MICRO) +(\d+)")
_ONE_LINE_ENTRY = re.compile(r"deb\s+(?:\[(?P<options>[^]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)")


class SourcesError(MicropumpError):
    """MicroPython's sources are not to be had, or are not usable."""


@dataclass(frozen=True)
class Tree:
    """A MicroPython tree that an image can be built from.

    Attributes:
        path: its folder.
        version: MicroPython's, for example ``"1.25.0"``.
        packages: Debian's packages and their versions that it was made from; empty for a tree that
            the user named.

    """

    path: Path
    version: str
    packages: dict[str, str]


def named_tree(path: str | Path) -> Tree:
    """The MicroPython tree in a folder, looked at.

    Args:
        path: a checkout with the submodules of the rp2 port, or an unpacked release.

    Raises:
        SourcesError: if it is none, is too old, or lacks a library.

    """
    folder = Path(path).resolve()
    if not (folder / _PORT).is_file():
        what = "this is no MicroPython tree: it has no ports/rp2"
        raise SourcesError(what, str(path), "Name the folder that has ports, py and lib in it")
    version = tree_version(folder)
    if tuple(int(part) for part in version.split(".")[:2]) < LEAST_VERSION:
        what = f"MicroPython {version} is too old"
        raise SourcesError(what, str(path), "Take 1.23 or later")
    missing = [name for name, mark in LIBRARIES.items() if not (folder / name / mark).is_file()]
    if missing:
        raise SourcesError(
            f"the tree lacks {', '.join(missing)}",
            str(path),
            "In it, run: make -C ports/rp2 BOARD=RPI_PICO submodules",
        )
    return Tree(folder, version, {})


def tree_version(folder: Path) -> str:
    """MicroPython's version as ``py/mpconfig.h`` of a tree says it, for example ``"1.25.0"``.

    Raises:
        SourcesError: if it does not say it.

    """
    header = folder / "py/mpconfig.h"
    try:
        numbers = dict(_VERSION_LINE.findall(header.read_text(encoding="utf-8")))
        return ".".join(numbers[part] for part in ("MAJOR", "MINOR", "MICRO"))
    except (OSError, KeyError):
        what = "cannot tell the version of MicroPython"
        raise SourcesError(what, str(header), "Name a complete tree") from None


def debian_tree(cache: Path, log: Log, on_phase: Callable[[str], None] = ignore) -> Tree:
    """The tree made from Debian's packages; fetched only where the cache has none.

    Args:
        cache: folder that keeps it.
        log: where the tools' words go.
        on_phase: called with what is being done.

    Raises:
        SourcesError: on a machine that is not Debian, without its tools, or without the network.

    """
    home = cache / f"debian-{SUITE}"
    stamp = home / "packages.json"
    with alone(
        cache / f"debian-{SUITE}.lock", lambda: on_phase("Waiting for another build's sources")
    ):
        if not stamp.is_file():
            _fetch_whole(cache, home, log, on_phase)
    packages = json.loads(stamp.read_text(encoding="utf-8"))
    return Tree(home / "tree", tree_version(home / "tree"), packages)


def _fetch_whole(cache: Path, home: Path, log: Log, on_phase: Callable[[str], None]) -> None:
    # Put together elsewhere first: an interrupted one is never taken for whole.
    begun = cache / f"debian-{SUITE}.begun"
    shutil.rmtree(begun, ignore_errors=True)
    shutil.rmtree(home, ignore_errors=True)
    _fetch(begun, log, on_phase)
    begun.rename(home)


def _fetch(home: Path, log: Log, on_phase: Callable[[str], None]) -> None:
    entry = sources_entry()
    for tool in ("apt-get", "dpkg-source", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise SourcesError(f"{tool} is missing", "Debian's sources", "apt-get install dpkg-dev")
    config = _private_apt(home / "apt", entry)
    parts = home / "parts"
    parts.mkdir()
    environment = {"APT_CONFIG": str(config)}
    remedy = f"Look whether the network is there and has {SUITE}; or: {_NAMED_REMEDY}"
    try:
        on_phase("Asking for Debian's sources")
        log.run(["apt-get", "update"], environment=environment, remedy=remedy)
        on_phase("Fetching MicroPython and its libraries")
        for words in (
            ["source", "--only-source", "--download-only", *SOURCE_PACKAGES],
            ["download", *BINARY_PACKAGES],
        ):
            log.run(["apt-get", *words], folder=parts, environment=environment, remedy=remedy)
        on_phase("Unpacking them")
        _put_together(parts, home / "tree", log)
    except ToolError as error:
        raise SourcesError(error.what, error.where, error.remedy) from None
    packages = json.dumps(_versions(parts), indent=2, sort_keys=True) + "\n"
    (home / "packages.json").write_text(packages, encoding="utf-8")
    shutil.rmtree(parts)


def sources_entry(root: Path = Path("/")) -> str:
    """The machine's own entry for Debian, with the suite's name changed, in deb822 form.

    Args:
        root: where to look for ``etc``.

    Raises:
        SourcesError: if this is not Debian or has no such entry.

    """
    release = root / "etc/os-release"
    known = _key_values(_text(release))
    if known.get("ID") != "debian":
        name = known.get("PRETTY_NAME", "This machine")
        raise SourcesError(f"{name} is not Debian", str(release), _NAMED_REMEDY)
    suite = known.get("VERSION_CODENAME", SUITE)
    folder = root / "etc/apt/sources.list.d"
    lists = [root / "etc/apt/sources.list", *_in(folder, "list")]
    found = [_from_stanzas(_text(path), suite) for path in _in(folder, "sources")]
    found += [_from_lines(_text(path), suite) for path in lists]
    for uri, signed_by in filter(None, found):
        return f"Types: deb deb-src\nURIs: {uri}\nSuites: {SUITE}\nComponents: main\n" + (
            f"Signed-By: {signed_by}\n" if signed_by else ""
        )
    what = f"no entry for {suite} in apt's lists of sources"
    raise SourcesError(what, str(root / "etc/apt"), _NAMED_REMEDY)


def _text(path: Path) -> str:
    """A file's text; nothing where there is no such file."""
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _in(folder: Path, suffix: str) -> list[Path]:
    return sorted(folder.glob(f"*.{suffix}"))


def _key_values(text: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {key: value.strip('"') for key, _, value in pairs}


def _from_stanzas(text: str, suite: str) -> tuple[str, str] | None:
    for stanza in text.split("\n\n"):
        lines = (line.partition(":") for line in stanza.splitlines() if not line.startswith("#"))
        fields = {key.strip().lower(): value.strip() for key, _, value in lines}
        if "deb" in fields.get("types", "").split() and suite in fields.get("suites", "").split():
            return fields.get("uris", "").split()[0], fields.get("signed-by", "")
    return None


def _from_lines(text: str, suite: str) -> tuple[str, str] | None:
    for line in text.splitlines():
        entry = _ONE_LINE_ENTRY.match(line.strip())
        if entry and entry["suite"] == suite:
            options = (option.partition("=") for option in (entry["options"] or "").split())
            return entry["uri"], {key: value for key, _, value in options}.get("signed-by", "")
    return None


def _private_apt(home: Path, entry: str) -> Path:
    """An apt configuration that leaves the machine's own lists alone."""
    for folder in _APT_FOLDERS:
        (home / folder).mkdir(parents=True)
    sources = home / "debian.sources"
    sources.write_text(entry, encoding="utf-8")
    config = home / "apt.conf"
    config.write_text(
        'Dir::Etc::SourceParts "/dev/null";\n'
        f'Dir::Etc::SourceList "{sources}";\n'
        f'Dir::State::Lists "{home / "lists"}";\n'
        f'Dir::Cache "{home / "cache"}";\n'
        'APT::Sandbox::User "root";\n'
        'Acquire::Retries "3";\n',
        encoding="utf-8",
    )
    return config


def _put_together(parts: Path, tree: Path, log: Log) -> None:
    """Unpack the packages and move each library to where MicroPython looks for it."""
    _unpack_source(parts, "micropython", tree, log)
    _unpack_source(parts, "mbedtls", parts / "mbedtls", log)
    for package in _one_each(parts, "deb"):
        log.run(["dpkg-deb", "-x", package, parts / "debs"])
    for name, origin in (
        ("pico-sdk", parts / "debs/usr/src/pico-sdk"),
        ("tinyusb", parts / "debs/usr/src/tinyusb"),
        ("mbedtls", parts / "mbedtls"),
    ):
        shutil.rmtree(tree / "lib" / name, ignore_errors=True)
        origin.rename(tree / "lib" / name)
    # MicroPython's build looks for this file before it starts, and for nothing in it.
    readme = tree / "lib/micropython-lib/README.md"
    readme.parent.mkdir(exist_ok=True)
    readme.touch()


def _unpack_source(parts: Path, name: str, to: Path, log: Log) -> None:
    # apt has checked the hashes of what it fetched against the signed list.
    (description,) = parts.glob(f"{name}_*.dsc")
    log.run(["dpkg-source", "--no-check", "-x", description, to])


def _one_each(parts: Path, suffix: str) -> list[Path]:
    return sorted(parts.glob(f"*.{suffix}"))


def _versions(parts: Path) -> dict[str, str]:
    """Package and version of each ``name_version….dsc`` or ``.deb``."""
    files = [*_one_each(parts, "dsc"), *_one_each(parts, "deb")]
    pairs = (path.stem.split("_")[:2] for path in files)
    return {name: version.replace("%3a", ":") for name, version in pairs}
