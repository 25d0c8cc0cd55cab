"""The event log: what happened, in order, each entry with its sequence number and uptime.

For now a ring in memory that keeps the newest ``CAPACITY`` entries; the flash ring of the plan
takes its place behind the same three calls. Appending allocates nothing.
"""

from array import array

CAPACITY = 256

# Event codes; the numbers go over the wire. (code, name, what a is, what b is); some have a text:
# the order, who asked, the drug, the care area, how long before the end is told.
BOOTED = 1
PROGRAMMED = 2
STARTED = 3
PAUSED = 4
RESUMED = 5
STOPPED = 6
RATE_CHANGED = 7
VTBI_REACHED = 8
COMPLETED = 9
ALARM_RAISED = 10
ALARM_ENDED = 11
REFUSED = 12
HOST_LOST = 13
HOST_BACK = 14
SESSION_OPENED = 15
DOSE_STARTED = 16
DOSE_DONE = 17
DOSE_MISSED = 18
BOLUS_STARTED = 19
BOLUS_DONE = 20
BOLUS_CANCELLED = 21
DEMAND_GIVEN = 22
DEMAND_REFUSED = 23
DEMAND_CANCELLED = 24
SECONDARY_STARTED = 25
SECONDARY_DONE = 26
CONTAINER_CHANGED = 27
PHASE_STARTED = 28
ASKED_BY = 29
DRUG = 30
CARE_AREA = 31
OUTSIDE_LIBRARY = 32
OVERRIDDEN = 33
DRUG_CHANGED = 34
LIBRARY_INSTALLED = 35
LIBRARY_REFUSED = 36
LIBRARY_MISSING = 37
KEY_SET = 38
OCCLUSION_FOUND = 39
RELIEVED = 40
RESTARTED = 41
SENSOR_FAILED = 42
AUDIO_PAUSED = 43
PROGRAM_DROPPED = 44
SETTINGS_CHANGED = 45
STANDBY = 46

EVENTS = (
    (BOOTED, "booted", "reset cause", ""),
    (PROGRAMMED, "programmed", "rate µL/h", "VTBI µL"),
    (STARTED, "started", "rate µL/h", ""),
    (PAUSED, "paused", "million steps", "steps"),
    (RESUMED, "resumed", "million steps", "steps"),
    (STOPPED, "stopped", "million steps", "steps"),
    (RATE_CHANGED, "rate changed", "from µL/h", "to µL/h"),
    (VTBI_REACHED, "VTBI reached, KVO", "million steps", "steps"),
    (COMPLETED, "completed", "million steps", "steps"),
    (ALARM_RAISED, "alarm raised", "alarm", ""),
    (ALARM_ENDED, "alarm ended", "alarm", ""),
    (REFUSED, "command refused", "message", "error"),
    (HOST_LOST, "host lost", "", ""),
    (HOST_BACK, "host back", "", ""),
    (SESSION_OPENED, "host connected", "", ""),
    (DOSE_STARTED, "dose started", "number", ""),
    (DOSE_DONE, "dose done", "number", ""),
    (DOSE_MISSED, "dose missed", "number", ""),
    (BOLUS_STARTED, "bolus started", "steps", "rate µL/h"),
    (BOLUS_DONE, "bolus done", "steps", ""),
    (BOLUS_CANCELLED, "bolus cancelled", "steps", "not given"),
    (DEMAND_GIVEN, "demand given", "steps", "number"),
    (DEMAND_REFUSED, "demand refused", "reason", "number"),
    (DEMAND_CANCELLED, "demand cancelled", "steps", "not given"),
    (SECONDARY_STARTED, "secondary started", "rate µL/h", "VTBI µL"),
    (SECONDARY_DONE, "secondary done", "million steps", "steps"),
    (CONTAINER_CHANGED, "container changed", "content µL", "left before µL"),
    (PHASE_STARTED, "phase started", "phase", "rate µL/h"),
    (ASKED_BY, "asked by", "", ""),
    (DRUG, "drug", "library version", "weight g"),
    (CARE_AREA, "care area", "", ""),
    (OUTSIDE_LIBRARY, "outside the library", "standing", ""),
    (OVERRIDDEN, "soft limit overridden", "limit", "figure"),
    (DRUG_CHANGED, "drug changed", "", ""),
    (LIBRARY_INSTALLED, "library installed", "version", "bytes"),
    (LIBRARY_REFUSED, "library refused", "error", "at"),
    (LIBRARY_MISSING, "no library", "why", ""),
    (KEY_SET, "library key set", "", ""),
    (OCCLUSION_FOUND, "occlusion found", "pressure Pa", "rise Pa"),
    (RELIEVED, "pressure relieved", "steps back", "pressure Pa"),
    (RESTARTED, "restarted after an occlusion", "within 10 min", ""),
    (SENSOR_FAILED, "sensor fault", "sensor", "fault"),
    (AUDIO_PAUSED, "audio paused", "", ""),
    (PROGRAM_DROPPED, "program dropped, not started", "", ""),
    (SETTINGS_CHANGED, "settings changed", "restarts", "occlusion level"),
    (STANDBY, "standby", "s", ""),
)


class Journal:
    """Entries ``first_kept … next_number - 1``; ``next_number`` only ever grows."""

    def __init__(self) -> None:
        self.next_number = 0
        empty = [0] * CAPACITY
        self._uptime_s = array("l", empty)
        self._uptime_ms = array("h", empty)
        self._code = array("b", empty)
        self._a = array("l", empty)
        self._b = array("l", empty)
        self._text = [""] * CAPACITY

    def first_kept(self) -> int:
        """The number of the oldest entry still kept."""
        return max(0, self.next_number - CAPACITY)

    def append(self, uptime_s: int, uptime_ms: int, code: int, a: int, b: int, text="") -> None:
        """Add an entry at an uptime of ``uptime_s`` s and ``uptime_ms`` ms."""
        at = self.next_number % CAPACITY
        self._uptime_s[at] = uptime_s
        self._uptime_ms[at] = uptime_ms
        self._code[at] = code
        self._a[at] = a
        self._b[at] = b
        self._text[at] = text
        self.next_number += 1

    def entry(self, number: int) -> tuple:
        """``(number, uptime_s, uptime_ms, code, a, b, text)``; IndexError if it is not kept."""
        if not self.first_kept() <= number < self.next_number:
            raise IndexError(number)
        at = number % CAPACITY
        return (
            number,
            self._uptime_s[at],
            self._uptime_ms[at],
            self._code[at],
            self._a[at],
            self._b[at],
            self._text[at],
        )
