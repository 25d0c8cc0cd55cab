"""The board's adapters that need no board, on this computer."""

import importlib
import sys
import types

from support import FIRMWARE


def adapter(name):
    """A module of ``firmware/rp2``, imported as the board does: ``micropump_rp2.<name>``."""
    if "micropump_rp2" not in sys.modules:
        package = types.ModuleType("micropump_rp2")
        package.__path__ = [str(FIRMWARE / "rp2")]
        sys.modules["micropump_rp2"] = package
    return importlib.import_module(f"micropump_rp2.{name}")
