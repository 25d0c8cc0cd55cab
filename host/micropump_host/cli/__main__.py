"""``python -m micropump_host.cli``."""

import sys

from micropump_host.cli import main

sys.exit(main())
