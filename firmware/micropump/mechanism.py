"""What turns microsteps into volume: a syringe on a screw drive, or a peristaltic head.

A mechanism is data from the catalogue and one exact ratio, nanolitres per microstep, that every
conversion between steps and volume uses. The ratio is the best rational approximation of the
catalogue's figures whose terms keep the control tick within small integers (``_best_ratio``); it is
within 2 parts in ten thousand of them, and within 3 in a million for most, where a bore is known to
about one in a thousand.
"""

from .catalogue import HEAD_DRIVES, PERISTALTIC_HEADS, SYRINGE_DRIVES, SYRINGES
from .units import GREATEST_RATE_UL_H, LEAST_RATE_UL_H, MILLION, S_PER_HOUR, SMALL_INT_LIMIT

KIND_SYRINGE = 1
KIND_PERISTALTIC = 2

# π to 16 digits as a ratio of integers: there are no floats in the core.
_PI_NUM = 3_141_592_653_589_793
_PI_DEN = 1_000_000_000_000_000

# Motion multiplies both terms of a step by ten at the most (see motion.py).
_GREATEST_TERM = (SMALL_INT_LIMIT - 1) // 10
_GREATEST_NL_DEN = _GREATEST_TERM // GREATEST_RATE_UL_H
_GREATEST_NL_NUM = _GREATEST_TERM // S_PER_HOUR


class UnknownMechanismError(ValueError):
    """An id that is not in the catalogue; ``args`` are (what kind of thing, the id)."""


class Mechanism:
    """One pump as built: catalogue ids and the figures that follow from them.

    Attributes:
        kind: ``KIND_SYRINGE`` or ``KIND_PERISTALTIC``.
        item_id, drive_id: catalogue ids.
        nl_num, nl_den: nanolitres per microstep, as an exact ratio.
        steps_per_rev: microsteps per revolution of the motor.
        capacity_ul: the syringe's nominal content; 0 for a head, which has none of its own.
        least_rate_ul_h: least recommended rate; slower is allowed, and warned of.
        greatest_rate_ul_h: what the drive's greatest speed gives, within the pump's range.
        stroke_steps: microsteps in one pump stroke of a head (one roller), 1 for a syringe.
        area_mm2, outer_um: of a syringe's plunger, and its barrel's outer diameter; 0 for a head.

    """

    def __init__(
        self,
        kind: int,
        item_id: str,
        drive_id: str,
        nl_per_step: tuple[int, int],
        steps_per_rev: int,
        capacity_ul: int,
        least_rate_ul_h: int,
        greatest_rate_ul_h: int,
        stroke_steps: int,
        bore_um: int = 0,
    ) -> None:
        self.kind = kind
        self.item_id = item_id
        self.drive_id = drive_id
        self.nl_num, self.nl_den = _best_ratio(nl_per_step[0], nl_per_step[1])
        self.steps_per_rev = steps_per_rev
        self.capacity_ul = capacity_ul
        self.least_rate_ul_h = least_rate_ul_h
        self.greatest_rate_ul_h = min(greatest_rate_ul_h, GREATEST_RATE_UL_H)
        self.stroke_steps = stroke_steps
        self.area_mm2 = _PI_NUM * bore_um * bore_um // (4 * _PI_DEN * MILLION)
        self.outer_um = outer_um(bore_um) if bore_um else 0

    def steps_for_ul(self, volume_ul: int) -> int:
        """Whole microsteps within ``volume_ul``; never more than the volume."""
        return volume_ul * 1000 * self.nl_den // self.nl_num

    def steps_for_nl(self, volume_nl: int) -> int:
        """Whole microsteps within some mL at most; all of it in small integers."""
        whole = volume_nl // self.nl_num
        return whole * self.nl_den + (volume_nl - whole * self.nl_num) * self.nl_den // self.nl_num

    def greatest_steps_s(self) -> int:
        """Microsteps a second at the greatest rate, rounded up; in small integers."""
        return (self.greatest_rate_ul_h * 10 // 36 + 1) * self.nl_den // self.nl_num + 1

    def nl_for_steps(self, steps: int) -> int:
        """Nanolitres that ``steps`` microsteps displace, rounded down."""
        return steps * self.nl_num // self.nl_den


def syringe(item_id: str, drive_id: str) -> Mechanism:
    """The mechanism of a catalogue syringe on a catalogue drive; raises UnknownMechanismError."""
    row = _find(SYRINGES, "syringe", item_id)
    drive = _find(SYRINGE_DRIVES, "syringe drive", drive_id)
    capacity_ul, bore_um, least_rate_ul_h = row[3], row[4], row[6]
    lead_um, full_steps, microsteps, gear_num, gear_den, speed_um_s = drive[2:8]
    steps_per_rev = full_steps * microsteps
    # area [µm²] = π·bore²/4; 1 µm³ = 1e-6 nL.
    area_num, area_den = _PI_NUM * bore_um * bore_um, 4 * _PI_DEN
    nl_num = area_num * lead_um * gear_den
    nl_den = area_den * steps_per_rev * gear_num * MILLION
    # 1 µm³ = 1e-9 µL.
    greatest_rate_ul_h = area_num * speed_um_s * S_PER_HOUR // (area_den * 1_000_000_000)
    return Mechanism(
        KIND_SYRINGE,
        item_id,
        drive_id,
        (nl_num, nl_den),
        steps_per_rev,
        capacity_ul,
        least_rate_ul_h,
        greatest_rate_ul_h,
        1,
        bore_um,
    )


def outer_um(bore_um: int) -> int:
    """A barrel's outer diameter, from its bore; µm.

    Makers' tables give bores. Walls are 0.7 mm (1 mL) to 1.5 mm (60 mL): an estimate from a few
    syringes, good to about 1 mm of diameter; sizes are 2 mm apart or more from 3 mL on.
    """
    return bore_um + 2 * (550 + bore_um * 35 // 1000)


def peristaltic(item_id: str, drive_id: str) -> Mechanism:
    """The mechanism of a catalogue head on a catalogue drive; raises UnknownMechanismError."""
    row = _find(PERISTALTIC_HEADS, "peristaltic head", item_id)
    drive = _find(HEAD_DRIVES, "head drive", drive_id)
    nl_per_rev, rollers, head_rpm, least_rate_ul_h = row[4], row[5], row[6], row[7]
    full_steps, microsteps, gear_num, gear_den, motor_rpm = drive[2:7]
    steps_per_rev = full_steps * microsteps
    # Both limits in motor revolutions times gear_den, so that nothing is rounded before the end.
    speed = min(head_rpm * gear_num, motor_rpm * gear_den)
    return Mechanism(
        KIND_PERISTALTIC,
        item_id,
        drive_id,
        (nl_per_rev * gear_den, steps_per_rev * gear_num),
        steps_per_rev,
        0,
        max(least_rate_ul_h, LEAST_RATE_UL_H),
        nl_per_rev * speed * 60 // (1000 * gear_num),
        max(1, steps_per_rev * gear_num // (gear_den * rollers)),
    )


def build(kind: int, item_id: str, drive_id: str) -> Mechanism:
    """The mechanism of ``kind``; raises UnknownMechanismError."""
    if kind == KIND_SYRINGE:
        return syringe(item_id, drive_id)
    if kind == KIND_PERISTALTIC:
        return peristaltic(item_id, drive_id)
    raise UnknownMechanismError("mechanism kind", str(kind))


def _find(table: tuple, what: str, wanted_id: str) -> tuple:
    for row in table:
        if row[0] == wanted_id:
            return row
    raise UnknownMechanismError(what, wanted_id)


def _best_ratio(num: int, den: int) -> tuple[int, int]:
    """The continued-fraction convergent of ``num/den`` that fits, improved by its semiconvergent.

    Both terms are bounded: the numerator (nL, times 3600) and the denominator (times the greatest
    rate) so that ten times either is a small integer.
    """
    before_num, before_den = 0, 1
    best_num, best_den = 1, 0
    rest_num, rest_den = num, den
    while rest_den:
        term = rest_num // rest_den
        room = term
        if best_num:
            room = min(room, (_GREATEST_NL_NUM - before_num) // best_num)
        if best_den:
            room = min(room, (_GREATEST_NL_DEN - before_den) // best_den)
        if term > room:
            if best_den == 0:
                break
            half_num, half_den = before_num + room * best_num, before_den + room * best_den
            if _nearer(half_num, half_den, best_num, best_den, num, den):
                best_num, best_den = half_num, half_den
            break
        before_num, best_num = best_num, before_num + term * best_num
        before_den, best_den = best_den, before_den + term * best_den
        rest_num, rest_den = rest_den, rest_num - term * rest_den
    if best_den == 0 or 1000 * abs(best_num * den - num * best_den) > num * best_den:
        raise ValueError("volume per microstep out of range")
    return best_num, best_den


def _nearer(a_num: int, a_den: int, b_num: int, b_den: int, num: int, den: int) -> bool:
    """Whether a is nearer to num/den than b is."""
    return abs(a_num * den - num * a_den) * b_den < abs(b_num * den - num * b_den) * a_den
