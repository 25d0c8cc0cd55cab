"""The arrows between the rooms hold, as docs/architecture.md draws them; a break is noticed."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = {
    "micropump": "firmware",
    "micropump_virtual": "firmware",
    "micropump_host": "host",
    "micropump_hil": "hil",
}
# Beside itself the core imports these alone: no hardware, no clock, no file.
CORE_MAY_IMPORT = {"array", "binascii", "hashlib"}


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    paths = (str(root / folder) for folder in ("firmware", "host", "hil"))
    return subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
    )


def copy_of_the_house(to: Path) -> Path:
    shutil.copy(ROOT / "pyproject.toml", to)
    for package, folder in PACKAGES.items():
        shutil.copytree(ROOT / folder / package, to / folder / package)
    return to


def test_the_arrows_hold():
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("firmware/micropump/units.py", "import micropump_host.errors"),
        ("firmware/micropump/motion.py", "import micropump.controller"),
        ("firmware/micropump/therapy.py", "import micropump_virtual.pump"),
        ("firmware/micropump_virtual/stepper.py", "import micropump_host.errors"),
        ("host/micropump_host/errors.py", "import micropump_hil"),
        ("host/micropump_host/accuracy/method.py", "import micropump_host.bench.plant"),
        ("host/micropump_host/client/port.py", "import micropump_host.cli.common"),
    ],
)
def test_an_import_against_an_arrow_is_noticed(tmp_path, file, line):
    house = copy_of_the_house(tmp_path)
    with (house / file).open("a", encoding="utf-8") as source:
        source.write(f"\n{line}\n")
    done = lint_imports(house)
    assert done.returncode == 1, done.stdout
    assert "BROKEN" in done.stdout


def imported_by(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add((node.module or "").partition(".")[0])
    return names


@pytest.mark.parametrize("path", sorted((ROOT / "firmware/micropump").glob("*.py")), ids=str)
def test_the_core_imports_no_hardware_no_clock_no_file(path):
    assert imported_by(path) <= CORE_MAY_IMPORT | {"micropump"}


def test_the_document_names_every_room():
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    rooms = [path.stem for path in (ROOT / "firmware/micropump").glob("[a-z]*.py")]
    rooms += [
        path.name
        for path in (ROOT / "host/micropump_host").iterdir()
        if path.is_dir() and not path.name.startswith("__")
    ]
    missing = [room for room in rooms if not re.search(rf"`{room}`", text)]
    assert not missing
