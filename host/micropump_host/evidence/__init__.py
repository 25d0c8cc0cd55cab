"""Evidence that there are no false alarms and no misses: many random infusions, and counts.

Plant, sensors and the core's monitor run without the firmware's control (``days``, ``cases``), and
the whole pump under random orders (``whole``); ``campaign`` runs them in parallel and keeps what
came of each, ``summary`` counts with exact limits, ``plots`` draws. ``docs/evidence.md`` says what
is drawn from where, what counts, and what came out.
"""

from micropump_host.evidence.campaign import Job, Plan, default_processes, digest, run_campaign
from micropump_host.evidence.summary import summarise

__all__ = ["Job", "Plan", "default_processes", "digest", "run_campaign", "summarise"]
