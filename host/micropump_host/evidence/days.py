"""Device-days of open lines, on which no alarm of a detector has anything to tell.

A day is as many infusions as it takes to flow for 24 h. An alarm ends its infusion, as it would on
the pump; the next one is drawn.
"""

import random
from dataclasses import dataclass

from micropump.occlusion import DISCONNECTION_AMBIENT_PA
from micropump_host.evidence.draw import Infusion, Wish, draw_infusion
from micropump_host.evidence.run import Found, Watched

HOURS = 24.0
USUAL = Wish()
# What was taken for a closed line in months of usual days was an end that was raised and a cough
# soon after. Where there is more of both it comes within hours, and so do its like.
PROVOKING = Wish(moves=6.0, coughs_apart_s=240.0)
# Of what the pump takes for ambient, and what its sensor may be off by.
AT_AMBIENT_PA = DISCONNECTION_AMBIENT_PA + 600
# Told of what is really so, and counted beside the false ones: a line at ambient, and air in the
# sensor's window all the while that the limit was pushed, of which nothing flowed.
AT_AMBIENT = "line at ambient"
AIR_STANDS = "air that stands"
TOLD_APART = (AT_AMBIENT, AIR_STANDS)


@dataclass(frozen=True)
class Open:
    """An infusion through an open line.

    Attributes:
        infusion: what ran.
        hours: how long, h.
        found: the alarms.
        sweeps: of other thresholds, a bit for each that alarmed; empty without a bank.

    """

    infusion: Infusion
    hours: float
    found: tuple[Found, ...]
    sweeps: dict[str, int]


def counted_as(name: str, line_pa: float, air_stands: bool) -> str:
    """What an alarm of an open line is counted as: false, or what no sensor could tell apart.

    Args:
        name: of the alarm.
        line_pa: pressure at the pump's outlet when it came, as it really was, Pa.
        air_stands: whether its limit was pushed then while air stood and nothing flowed.

    """
    if name == "disconnected" and abs(line_pa) <= AT_AMBIENT_PA:
        return AT_AMBIENT
    if name == "air_bubble" and air_stands:
        return AIR_STANDS
    return name


def name_of(found: Found) -> str:
    """What an alarm that a run found is counted as."""
    return counted_as(found.name, found.line_pa, found.air_stands)


def run_day(seed: str, hours: float, with_bank: bool, wish: Wish = USUAL) -> list[Open]:
    """Run infusions until they have flowed for ``hours`` (h); seed and wish say which."""
    runs: list[Open] = []
    left_h = hours
    while left_h > 1e-6:
        infusion = draw_infusion(random.Random(f"{seed}/{len(runs)}"), wish)
        run = run_open(infusion, min(left_h, infusion.duration_s / 3600.0), with_bank)
        runs.append(run)
        left_h -= run.hours
    return runs


def run_open(infusion: Infusion, hours: float, with_bank: bool) -> Open:
    """Run an infusion for ``hours`` (h), or until an alarm beside that of a line at ambient."""
    watched = Watched(infusion, with_bank)
    found = watched.go_until(hours * 3600.0, lambda alarm: name_of(alarm) != AT_AMBIENT)
    sweeps = watched.bank.found if watched.bank is not None else {}
    # At the edge of what is ambient it comes and goes; once tells it.
    at_ambient = [alarm for alarm in found if name_of(alarm) == AT_AMBIENT][:1]
    others = [alarm for alarm in found if name_of(alarm) != AT_AMBIENT]
    return Open(infusion, watched.now_s / 3600.0, (*at_ambient, *others), sweeps)
