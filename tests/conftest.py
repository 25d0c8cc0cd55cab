"""What every test shares: the import paths and the hypothesis profiles."""

import os
import sys
from pathlib import Path

from hypothesis import settings

REPO = Path(__file__).resolve().parent.parent
for room in ("firmware", "host", "hil"):
    if str(REPO / room) not in sys.path:
        sys.path.insert(0, str(REPO / room))

settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")
