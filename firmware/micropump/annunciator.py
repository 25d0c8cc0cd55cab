"""Which alarm signal is to be given: the most urgent of what is active.

The light follows at once. The sound does so where it becomes more urgent, or where a person pauses
it; otherwise the burst that has begun is played to its end, so that nobody hears half a signal.
Whether an alarm stays until it is acknowledged is decided before this: what is active, is.
"""

from array import array

from . import alarms, signals
from .units import elapsed_ms

# IEC 60601-2-24 and the Generic Infusion Pump's requirement 3.2.1: never longer.
AUDIO_PAUSE_MS = 120_000

# What nobody attends to becomes more urgent: priority, after how long (ms), what it becomes. Time
# in an audio pause does not count, since a person was there. A decision, without a source.
ESCALATIONS = ((alarms.MEDIUM, 180_000, alarms.HIGH),)

_LONGEST_MS = 1 << 29
# The player may be behind by the silence of a change and by what it takes to be told, and before by
# what a start takes; all that is well within the shortest interval of 3 s.
_AFTER_BURST_MS = 200
_BEFORE_BURST_MS = 500


class Annunciator:
    """Chooses sound and light; ``look`` allocates nothing.

    Args:
        priorities: by the alarm's number, 0 where there is none; at most 30.

    Attributes:
        sound: the priority whose bursts are to sound, ``signals.SILENT`` for none.
        after_interval: whether ``sound`` begins with its interval of silence.
        light: the priority whose light is to be shown.
        audio_paused: whether the sound is paused.

    """

    def __init__(self, priorities) -> None:
        self._priorities = bytes(priorities)
        self._levels = bytearray(self._priorities)
        self._waited_ms = array("i", [0] * len(self._priorities))
        self._numbers = range(len(self._priorities))
        self._bursts_ms = array("i", [signals.burst_ms(at) for at in range(4)])
        self._periods_ms = array(
            "i", [signals.burst_ms(at) + signals.interval_ms(at) for at in range(4)]
        )
        self._active = 0
        self._looked_ms = 0
        self._pause_left_ms = 0
        self._into_ms = 0
        self.sound = signals.SILENT
        self.after_interval = False
        self.light = signals.SILENT

    @property
    def audio_paused(self) -> bool:
        """Whether the sound is paused."""
        return self._pause_left_ms > 0

    def pause_audio(self) -> bool:
        """Pause the sound of what is active for ``AUDIO_PAUSE_MS``; the light stays.

        Returns:
            Whether it is paused now and was not before: a pause cannot be made longer.

        """
        if not self._active or self._pause_left_ms:
            return False
        self._pause_left_ms = AUDIO_PAUSE_MS
        for number in self._numbers:
            self._waited_ms[number] = 0
        return True

    def look(self, now_ms: int, active: int) -> int:
        """Choose for the alarms in ``active``, a bit for each number; returns ``light``.

        ``now_ms`` is the core's time, modulo 2**30; no two looks are 12 days apart.
        """
        passed_ms = elapsed_ms(now_ms, self._looked_ms)
        self._looked_ms = now_ms
        if self._pause_left_ms:
            self._pause_left_ms -= min(passed_ms, self._pause_left_ms)
        if active & ~self._active or not active:
            self._pause_left_ms = 0
        worst = self._worst(active, passed_ms)
        self._active = active
        self._follow(signals.SILENT if self._pause_left_ms else worst, passed_ms)
        self.light = worst
        return worst

    def _worst(self, active: int, passed_ms: int) -> int:
        worst = signals.SILENT
        if not active and not self._active:
            # Nothing waits, and all are at their own level already.
            return worst
        for number in self._numbers:
            if not active >> number & 1:
                self._levels[number] = self._priorities[number]
                self._waited_ms[number] = 0
                continue
            # What has become active since the last look has not waited yet.
            if self._active >> number & 1 and not self._pause_left_ms:
                self._wait(number, passed_ms)
            worst = max(worst, self._levels[number])
        return worst

    def _wait(self, number: int, passed_ms: int) -> None:
        self._waited_ms[number] += min(passed_ms, _LONGEST_MS - self._waited_ms[number])
        for row in ESCALATIONS:
            if self._levels[number] == row[0] and self._waited_ms[number] >= row[1]:
                self._levels[number] = row[2]
                self._waited_ms[number] = 0
                return

    def _follow(self, wanted: int, passed_ms: int) -> None:
        """Let the sound come to ``wanted``, ``passed_ms`` after the last look."""
        sound = self.sound
        if wanted > sound:
            self._begin(wanted, False)
            return
        if not sound:
            return
        period_ms = self._periods_ms[sound]
        self._into_ms = (self._into_ms + passed_ms % period_ms) % period_ms
        if wanted == sound:
            return
        if self._pause_left_ms:
            self._begin(signals.SILENT, False)
            return
        since_burst_ms = self._into_ms - self._bursts_ms[sound]
        if since_burst_ms >= _AFTER_BURST_MS and self._into_ms < period_ms - _BEFORE_BURST_MS:
            self._begin(wanted, True)

    def _begin(self, sound: int, after_interval: bool) -> None:
        self.sound = sound
        self.after_interval = after_interval
        self._into_ms = self._bursts_ms[sound] if after_interval else 0


def by_number(rows) -> bytes:
    """The priorities of ``rows`` as in the alarm table, by the alarm's number."""
    priorities = bytearray(1 + max(row[0] for row in rows))
    for row in rows:
        priorities[row[0]] = row[2]
    return bytes(priorities)
