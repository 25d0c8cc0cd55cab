"""What is prescribed, and the limits it is held to from its programming to its end.

Whatever changes what a patient gets passes here: the program, a titration, a bolus, a secondary.
Beyond a hard limit is refused. Beyond a soft one is refused too, once: who asks for the very same
again, naming the limits that shall be overridden, has confirmed it. A drug that the library does
not have is confirmed in the same way. Nothing of this belongs into the control tick.
"""

from . import governor
from .library import (
    NO_CONCENTRATION,
    NO_SUCH_CONCENTRATION,
    NO_SUCH_DRUG,
    OTHER_PROGRAM,
    Library,
    Limits,
    OutsideError,
)
from .program import CONTINUOUS, INTERMITTENT, PURGE
from .therapy import KVO_OFF
from .units import S_PER_HOUR

# Where a therapy stands to the library: nothing is judged (a purge is nobody's dose), within its
# limits or overriding them, there is no library, or it is outside it: OUTSIDE and the reason.
NOT_JUDGED = 0
IN_LIBRARY = 1
NO_LIBRARY = 2
OUTSIDE = 2

# What is refused, by kind: a hard limit, or one that wants to be confirmed. ``governor.PROGRAM``,
# ``WEIGHT`` and ``CONCENTRATION`` come behind the kinds of limit, the library itself last.
HARD_LIMIT = 96
SOFT_LIMIT = 112
_EXTRA_KIND = 11
NOT_IN_LIBRARY = 127
OUTSIDE_BIT = NOT_IN_LIBRARY - SOFT_LIMIT

# How long what was asked about can be confirmed.
CONFIRM_WITHIN_S = 120
_DAY_S = 24 * S_PER_HOUR
# Longer than anything that is ordered.
_LONG_S = 1_000_000
_NO_FINDING = (0, 0, "", 0, 0)


class LimitError(ValueError):
    """A program beyond a hard limit.

    Attributes:
        finding: the first that is hard, as ``governor.judge_program`` has it.
        prescription: what it was to be, with all that was found (a Prescription).

    """

    def __init__(self, finding: tuple, prescription) -> None:
        super().__init__(finding)
        self.finding = finding
        self.prescription = prescription


class Prescription:
    """One program, its drug, and what was overridden for it.

    Attributes:
        order_id, asked_by, drug_id, care_area: as they were ordered; empty where they were not.
        weight_g: the patient's, 0 if it is not told.
        version: of the library that it is held to; 0 without one.
        standing: ``NOT_JUDGED``, ``IN_LIBRARY``, ``NO_LIBRARY``, or ``OUTSIDE`` and the reason.
        limits: what it is held to, or None.
        findings: the soft limits that the program is beyond.
        overrides: bits ``1 << kind`` of the soft limits that were overridden, until the end.
        refused: the finding that the last judgement was refused for.

    Args:
        order: fields by name, accepted by ``therapy.make``.
        kind: ``program.CONTINUOUS`` … ``program.PURGE``.
        library: what is installed, or None.

    Raises:
        LimitError: beyond a hard limit.

    """

    def __init__(self, order: dict, kind: int, library: Library | None) -> None:
        self.order_id = order["order_id"]
        self.asked_by = order["asked_by"]
        self.drug_id = order["drug_id"]
        self.care_area = order["care_area"]
        self.weight_g = order["weight_g"]
        self.version = library.version if library else 0
        self.standing = NOT_JUDGED
        self.limits: Limits | None = None
        self.findings: list = []
        self.overrides = 0
        self.refused: tuple = _NO_FINDING
        self._order = order
        self._kind = kind
        self._concentration = None
        # (uptime s, steps) of the boluses of the last day, and the steps of all.
        self._boluses: list = []
        if kind != PURGE:
            self._look_up(library)
            self._judge_at_first()

    def asks(self) -> int:
        """Bits of what has to be confirmed before the program starts."""
        return bits_of(self.findings) | (1 << OUTSIDE_BIT if self.standing > OUTSIDE else 0)

    def judge_rate(self, rate_ul_h: int) -> list:
        """What the same order at another rate is beyond that it was not before."""
        found = self._judged(self._at_rate(rate_ul_h))
        return [finding for finding in found if finding not in self.findings]

    def judge_bolus(self, now_s: int, volume_ul: int, parts) -> list:
        """What a bolus is beyond, by itself and with all that any day has of this therapy."""
        if not self.limits:
            return []
        recent_ul = 0
        given_ul = 0
        for uptime_s, steps in self._boluses:
            given_ul += parts.nl_for_steps(steps) // 1000
            if now_s - uptime_s < _DAY_S:
                recent_ul += parts.nl_for_steps(steps) // 1000
        return governor.judge_bolus(
            self.limits,
            self._order,
            self._kind,
            (volume_ul, recent_ul, given_ul),
            self._concentration,
            self.weight_g,
        )

    def take_rate(self, rate_ul_h: int) -> None:
        """The therapy runs at another rate from now on, and is judged by it."""
        self._order = self._at_rate(rate_ul_h)
        self.findings = self._judged(self._order)

    def take_bolus(self, now_s: int, steps: int) -> None:
        """A bolus was begun at an uptime of ``now_s``."""
        self._boluses.append([now_s, steps])

    def cut_bolus(self, steps: int) -> None:
        """The last bolus was cut short by ``steps``. Allocates nothing."""
        if self._boluses:
            self._boluses[-1][1] -= steps

    def override(self, bits: int) -> None:
        """Soft limits were overridden; that is kept to the end."""
        self.overrides |= bits

    def refuse_hard(self, findings: list) -> int:
        """The code of the first hard limit among findings, 0 if there is none."""
        for finding in findings:
            if governor.is_hard(finding[1]):
                self.refused = finding
                return code_of(finding)
        return 0

    def refuse_soft(self, findings: list) -> int:
        """The code of the first of them, which are soft; of a therapy outside the library too."""
        for finding in findings:
            self.refused = finding
            return code_of(finding)
        self.refused = (OUTSIDE_BIT, 0, "", self.standing - OUTSIDE, 0)
        return NOT_IN_LIBRARY

    def _look_up(self, library: Library | None) -> None:
        self.standing = NO_LIBRARY
        if not library:
            return
        try:
            self._find(library)
            self.standing = IN_LIBRARY
        except OutsideError as error:
            self.standing = OUTSIDE + error.code

    def _find(self, library: Library) -> None:
        if not self.drug_id:
            raise OutsideError(NO_SUCH_DRUG)
        drug = library.drug_index(self.drug_id)
        area = library.area_index(self.care_area)
        place = self._place(library, drug)
        limits = library.limits_of(drug, area)
        kind = self._judged_as(limits)
        try:
            self.limits = library.find(drug, area, place, kind)
        except OutsideError as error:
            if error.code != OTHER_PROGRAM:
                raise
            # What a drug may not be given as is no matter of confirming.
            self.limits = limits
        self._concentration = library.concentration(drug, place)

    def _place(self, library: Library, drug: int) -> int:
        """Where the drug's concentrations have the one that was ordered."""
        order = self._order
        if not order["concentration_in"]:
            return NO_CONCENTRATION
        wanted = (
            order["concentration_in"],
            order["concentration_mantissa"],
            order["concentration_exponent"],
        )
        known = library.concentrations_of(drug)
        for place in range(len(known)):
            if known[place] == wanted:
                return place
        raise OutsideError(NO_SUCH_CONCENTRATION)

    def _judged_as(self, limits: Limits) -> int:
        """A secondary is one dose: of a drug that has doses alone it is judged as such."""
        if "secondary" in self._order and not limits.programs >> CONTINUOUS & 1:
            self._kind = INTERMITTENT
        return self._kind

    def _judge_at_first(self) -> None:
        self.findings = self._judged(self._order)
        for finding in self.findings:
            if governor.is_hard(finding[1]):
                raise LimitError(finding, self)

    def _judged(self, order: dict) -> list:
        if not self.limits:
            return []
        return governor.judge_program(
            self.limits, order, self._kind, self._concentration, self.weight_g
        )

    def _at_rate(self, rate_ul_h: int) -> dict:
        order = dict(self._order)
        order["rate_ul_h"] = rate_ul_h
        if rate_ul_h:
            order["duration_s"] = 0
        return order


class Confirming:
    """What was asked about, and is waited for to be asked again.

    One thing at a time; with whatever else is asked for meanwhile, or in time, it is forgotten.
    """

    def __init__(self) -> None:
        self._asked: tuple = ()
        self._asked_s = 0

    def is_confirmed(self, now_s: int, asked: tuple, bits: int, overrides: int) -> bool:
        """Whether ``asked`` needs no confirmation, or has it now.

        Args:
            now_s: uptime, s.
            asked: what is asked for; the very same has to be asked for again.
            bits: the soft limits that it is beyond.
            overrides: those that shall be overridden.

        """
        if not bits:
            self._asked = ()
            return True
        before = self._asked
        self._asked = (asked, bits)
        if before == self._asked and overrides == bits:
            if now_s - self._asked_s <= CONFIRM_WITHIN_S:
                self._asked = ()
                return True
        self._asked_s = now_s
        return False

    def forget(self) -> None:
        """Nothing is waited for any more."""
        self._asked = ()


def secondary_order(order: dict) -> dict:
    """A secondary infusion as the program that it would be by itself."""
    alone = dict(order)
    alone["secondary"] = True
    alone["containers"] = 1
    alone["delay_s"] = alone["loading_ul"] = alone["loading_ul_h"] = 0
    alone["kvo_ul_h"] = KVO_OFF
    alone["dose_ul"] = order["vtbi_ul"]
    alone["doses"] = 1
    alone["interval_s"] = _LONG_S
    alone["times"] = []
    return alone


def code_of(finding: tuple) -> int:
    """The wire's number of what a finding is refused for."""
    kind = finding[0]
    if kind >= governor.PROGRAM:
        kind += _EXTRA_KIND - governor.PROGRAM
    return (HARD_LIMIT if governor.is_hard(finding[1]) else SOFT_LIMIT) + kind


def bits_of(findings: list) -> int:
    """Bits ``1 << kind`` of the kinds of limit in findings."""
    bits = 0
    for finding in findings:
        bits |= 1 << finding[0]
    return bits
