"""What every test shares: the import paths and the hypothesis profiles."""

import os
import sys
from pathlib import Path

from hypothesis import Phase, settings

REPO = Path(__file__).resolve().parent.parent
for room in ("firmware", "host", "hil"):
    if str(REPO / room) not in sys.path:
        sys.path.insert(0, str(REPO / room))

# Explaining a failure of a whole infusion takes minutes; shrinking it does not.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate, Phase.target, Phase.shrink)
settings.register_profile("local", deadline=None, phases=PHASES)
settings.register_profile("ci", deadline=None, phases=PHASES, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")
