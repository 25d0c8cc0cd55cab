"""What the sensors of one pump say is wrong: from new samples to bits of the alarm table.

Every control cycle it is told which steps were made and looks at what the adapters have put. Each
detector is asked once for each new sample of its sensor, with the volume and time since the one
before. Nothing here decides what to do about it: that is the controller's, by the alarm table.
"""

from . import alarms, sensing
from .detectors import (
    ENCODER_COUNTS,
    STALL_SLACK_COUNTS,
    Air,
    Barrel,
    Battery,
    Rail,
    Stall,
    Temperature,
)
from .mechanism import KIND_PERISTALTIC
from .occlusion import (
    FORCE_QUARTER_GREATEST_PERCENT,
    FORCE_QUARTER_LEAST_PERCENT,
    GREATEST_COMPLIANCE_NL_KPA,
    LEAST_COMPLIANCE_NL_KPA,
    OCCLUSION_LEVELS_PA,
    SLOPE_FLOOR_PA,
    SLOPE_FLOOR_PA_S_UL,
    SLOPE_QUARTER_GREATEST_PERCENT,
    SLOPE_QUARTER_LEAST_PERCENT,
    Disconnection,
    Occlusion,
    Release,
    Upstream,
)
from .sensing import (
    AIR,
    BARREL,
    BATTERY,
    DOOR,
    ENCODER,
    END_STOP,
    FORCE,
    PRESSURE,
    RAIL,
    TEMPERATURE,
    UPSTREAM,
    Readings,
    Sensing,
)
from .units import elapsed_ms, later_ms

# The middle one, 60 kPa: pumps are delivered at a level of the middle.
DEFAULT_LEVEL_PA = OCCLUSION_LEVELS_PA[4]
DEFAULT_BUBBLE_UL = 200
# What a plunger's friction adds to a force, and what it sticks and slips by: engineering estimates
# for 50 mL (docs/physics.md), taken for all sizes.
FRICTION_MN = 8_000
STICK_SLIP_MN = 10_000
# A bore of 26 to 27 mm, for which the compliances were measured; hard parts and line are there in
# smaller syringes too.
_MEASURED_MM2 = 550
_LEAST_OF_ANY_NL_KPA = 1_500
# A line alone, behind a head: an estimate, as in ``micropump plan``.
LEAST_LINE_NL_KPA = 1_000
GREATEST_LINE_NL_KPA = 3_000
# Three lithium cells at 3.6 and 3.4 V: a sixth and a twentieth of their charge. Estimates.
BATTERY_LOW_MV = 10_800
BATTERY_DEPLETED_MV = 10_200
# Of a motor's supply of 12 V.
RAIL_LEAST_MV = 10_500
RAIL_GREATEST_MV = 14_500
# How often a battery's mean takes a sample: of ten it is that of ten seconds.
BATTERY_EVERY_MS = 1_000

# Below any head and any suction of a line: a pressure sensor that reads this has drifted.
LEAST_PLAUSIBLE_PA = -20_000
_IMPLAUSIBLE_SAMPLES = 3

# Volume is counted modulo this; between two samples of a sensor there is less than half of it.
_NL_MASK = (1 << 28) - 1
_LONGEST_MS = 1 << 28
# Between two looks, of a processor that is not held up: twice a control cycle.
_LONGEST_LOOK_MS = 200
_MOST_STEPS = 1 << 17

# Told of at rest too: the others are no matter where nothing flows, as when a syringe is changed.
AT_REST = (
    1 << alarms.SENSOR_FAULT
    | 1 << alarms.BATTERY_LOW
    | 1 << alarms.BATTERY_DEPLETED
    | 1 << alarms.OVER_TEMPERATURE
)
# What is not yet known or not forgotten at rest and need not be gone to start.
_NOT_BEFORE_START = (
    1 << alarms.BATTERY_LOW
    | 1 << alarms.OCCLUSION
    | 1 << alarms.PARTIAL_OCCLUSION
    | 1 << alarms.DISCONNECTED
    | 1 << alarms.UPSTREAM_OCCLUSION
    | 1 << alarms.STALL
)


class Monitor:
    """Sensors and detectors.

    Args:
        specs: rows of the board's ``SENSORS``.

    Attributes:
        readings: where the adapters put raw counts.
        sensing: what they mean in physical units, and which cannot be believed.
        occlusion, upstream, disconnection, air, stall, barrel, battery, rail, temperature: the
            detectors.
        found: bits of the alarm table, as last looked at.
        pressure_pa: of the line, or of the plunger's force; only where ``has_pressure``.
        rest_pa: what it was at rest before the flow.
        pressure_samples: counts its samples, modulo 2**16.
        level_pa: at which pressure it is an occlusion.
        sees_slope: whether an occlusion is told by its slope, too.
        by_slope: whether the last occlusion was told by its slope.

    """

    def __init__(self, specs=()) -> None:
        self.readings = Readings()
        self.occlusion = Occlusion()
        self.upstream = Upstream()
        self.disconnection = Disconnection()
        self.release = Release()
        self.air = Air()
        self.stall = Stall()
        self.barrel = Barrel()
        self.battery = Battery()
        self.rail = Rail()
        self.temperature = Temperature()
        self.battery.configure(BATTERY_LOW_MV, BATTERY_DEPLETED_MV)
        self.rail.configure(RAIL_LEAST_MV, RAIL_GREATEST_MV)
        self.found = 0
        self.pressure_pa = 0
        self.pressure_samples = 0
        self.rest_pa = 0
        self.by_slope = self.sees_slope = False
        self.level_pa = DEFAULT_LEVEL_PA
        # What was moved in all, and where it and the time stood at each sensor's last sample.
        self._moved_nl = 0
        self._at_nl = [0] * sensing.SENSORS
        self._at_ms = [0] * sensing.SENSORS
        self._steps = 0
        self._battery_ms = 0
        self._nl_num = self._nl_den = 1
        self._rest_nl = 0
        self._implausible = 0
        self._area_mm2 = _MEASURED_MM2
        self._is_head = False
        self._looked_ms = -1
        self._seen_ms = 0
        self.fit(specs)

    def fit(self, specs) -> None:
        """Take other sensors; raises ValueError for a spec that cannot be."""
        self.sensing = Sensing(specs)
        self.found = 0

    def has(self, sensor: int) -> bool:
        """Whether a sensor is fitted."""
        return bool(self.sensing.fitted >> sensor & 1)

    @property
    def has_pressure(self) -> bool:
        """Whether there is a pressure: of the line, or by the plunger's force."""
        return bool(self.sensing.fitted & (1 << PRESSURE | 1 << FORCE))

    def prepare(self, parts, occlusion_kpa: int, air_ul: int) -> None:
        """Set the detectors up for a mechanism; limits of 0 are the pump's own.

        Args:
            parts: the mechanism.
            occlusion_kpa: at which pressure of the line it is an occlusion.
            air_ul: from which volume on a bubble is too large.

        """
        self._nl_num = parts.nl_num
        self._nl_den = parts.nl_den
        self._rest_nl = 0
        self._is_head = parts.kind == KIND_PERISTALTIC
        self.sees_slope = self.has_pressure and not self._is_head
        self._area_mm2 = parts.area_mm2 or _MEASURED_MM2
        level_pa = occlusion_kpa * 1000 if occlusion_kpa else DEFAULT_LEVEL_PA
        self.level_pa = level_pa
        by_force = not self.has(PRESSURE)
        friction_pa = self._force_pa(FRICTION_MN) if by_force else 0
        slip_pa = self._force_pa(STICK_SLIP_MN) if by_force else 0
        self.occlusion.configure(
            level_pa,
            least_nl_kpa=self.least_nl_kpa(),
            greatest_nl_kpa=self.greatest_nl_kpa(),
            friction_pa=friction_pa,
            # A head's strokes rise by more than any floor.
            floor_pa=0 if self._is_head else SLOPE_FLOOR_PA + slip_pa,
            quarter_least_percent=(
                FORCE_QUARTER_LEAST_PERCENT if by_force else SLOPE_QUARTER_LEAST_PERCENT
            ),
            quarter_greatest_percent=(
                FORCE_QUARTER_GREATEST_PERCENT if by_force else SLOPE_QUARTER_GREATEST_PERCENT
            ),
        )
        self.upstream.configure()
        self.disconnection.configure()
        if self.has(PRESSURE) and not self._is_head:
            self.release.configure(self.least_nl_kpa(), self.greatest_nl_kpa())
        else:
            self.release.configure(0, 0)
        self.air.configure((air_ul or DEFAULT_BUBBLE_UL) * 1000)
        self.stall.configure(
            parts.steps_per_rev,
            parts.greatest_steps_s(),
            # A step is there or not, by the stepper's clock and ours, which may be a moment apart.
            slack_counts=max(STALL_SLACK_COUNTS, 2 * ENCODER_COUNTS // parts.steps_per_rev),
        )
        self.barrel.configure(parts.outer_um)

    def compliances_nl_kpa(self) -> tuple:
        """The least and the greatest that may be pressed into; behind a head, only a line."""
        if self._is_head:
            return LEAST_LINE_NL_KPA, GREATEST_LINE_NL_KPA
        return self.least_nl_kpa(), GREATEST_COMPLIANCE_NL_KPA

    def least_nl_kpa(self) -> int:
        """The least compliance of syringe and line, by the plunger's area; nL/kPa."""
        least = LEAST_COMPLIANCE_NL_KPA * min(self._area_mm2, _MEASURED_MM2) // _MEASURED_MM2
        return max(_LEAST_OF_ANY_NL_KPA, least)

    def greatest_nl_kpa(self) -> int:
        """The greatest compliance of syringe and line, by the plunger's area; nL/kPa."""
        greatest = GREATEST_COMPLIANCE_NL_KPA * min(self._area_mm2, _MEASURED_MM2) // _MEASURED_MM2
        return min(GREATEST_COMPLIANCE_NL_KPA, greatest + _LEAST_OF_ANY_NL_KPA)

    def begin(self) -> None:
        """A flow starts."""
        self.rest_pa = self.pressure_pa
        self.occlusion.begin()
        self.upstream.begin()
        self.disconnection.begin()
        self.release.begin()
        self.stall.begin()
        self.by_slope = False
        self.found &= ~_NOT_BEFORE_START
        self._mark_all()
        self._steps = 0

    def relief_target_pa(self, rate_ul_h: int) -> int:
        """To what a closed line's pressure is to be brought back, Pa.

        To that at rest before the flow: what the flow itself needs is no pressure of a line that
        stands. A force has friction in it, which turns with the plunger.

        Args:
            rate_ul_h: at which it flowed.

        """
        before_pa = self.occlusion.baseline_pa
        if self.has(PRESSURE):
            # What was read at rest may have been another line's: no lower than the flow explains.
            flow_pa = rate_ul_h * 10 // 36 * SLOPE_FLOOR_PA_S_UL // 1000
            return max(min(self.rest_pa, before_pa), before_pa - flow_pa)
        return before_pa - 2 * self._force_pa(FRICTION_MN)

    def forget_air(self) -> None:
        """The air that was counted is gone, if the sensor sees none."""
        if self.air.present:
            return
        self.air.clear()
        self.found &= ~(1 << alarms.AIR_BUBBLE | 1 << alarms.AIR_ACCUMULATED)

    def zero(self) -> None:
        """Take what the pressure sensors read now for nothing: at rest, with nothing held."""
        self.sensing.zero(PRESSURE)
        self.sensing.zero(FORCE)

    def prevents(self) -> int:
        """Bits of what has to be gone before a start."""
        return self.found & ~_NOT_BEFORE_START

    def look(self, now_ms: int, moved_steps: int, flowing: bool) -> int:
        """Take what has come since the last look; bits of the alarm table. Allocates nothing.

        Args:
            now_ms: core time, ms.
            moved_steps: microsteps that were made since, negative backwards.
            flowing: whether the motor turns.

        """
        if not self.sensing.fitted:
            return 0
        if self._looked_ms < 0:
            self._looked_ms = now_ms
            self._mark_all()
        passed_ms = elapsed_ms(now_ms, self._looked_ms)
        self._looked_ms = now_ms
        self._count(passed_ms, moved_steps)
        # While the processor was held up nobody put a sample: that makes no sensor silent.
        self._seen_ms = later_ms(self._seen_ms, min(passed_ms, _LONGEST_LOOK_MS))
        self.sensing.look(self._seen_ms, self.readings, flowing)
        new = self.sensing.is_new
        found = self.found
        if self.sensing.faults or self._implausible >= _IMPLAUSIBLE_SAMPLES:
            found |= 1 << alarms.SENSOR_FAULT
        else:
            found &= ~(1 << alarms.SENSOR_FAULT)
        if new:
            found = self._look_at_rest(new, found)
            if flowing:
                found = self._look_at_flow(new, found)
        self.found = found
        return found

    def _count(self, passed_ms: int, moved_steps: int) -> None:
        moved_steps = max(-_MOST_STEPS, min(_MOST_STEPS, moved_steps))
        whole = moved_steps // self._nl_den
        rest = self._rest_nl + (moved_steps - whole * self._nl_den) * self._nl_num
        moved_nl = rest // self._nl_den
        self._rest_nl = rest - moved_nl * self._nl_den
        moved_nl += whole * self._nl_num
        self._steps = max(-_MOST_STEPS, min(_MOST_STEPS, self._steps + moved_steps))
        self._moved_nl = (self._moved_nl + moved_nl) & _NL_MASK
        self._battery_ms = min(_LONGEST_MS, self._battery_ms + min(passed_ms, _LONGEST_MS))

    def _mark_all(self) -> None:
        for sensor in range(sensing.SENSORS):
            self._at_ms[sensor] = max(0, self._looked_ms)
            self._at_nl[sensor] = self._moved_nl

    def _passed_ms(self, sensor: int) -> int:
        """Since the sensor was last asked about."""
        passed_ms = elapsed_ms(self._looked_ms, self._at_ms[sensor])
        self._at_ms[sensor] = self._looked_ms
        return min(passed_ms, _LONGEST_MS)

    def _pushed_nl(self, sensor: int) -> int:
        """Since the sensor was last asked about; negative backwards."""
        pushed_nl = (self._moved_nl - self._at_nl[sensor]) & _NL_MASK
        self._at_nl[sensor] = self._moved_nl
        return pushed_nl if pushed_nl <= _NL_MASK >> 1 else pushed_nl - _NL_MASK - 1

    def _look_at_flow(self, new: int, found: int) -> int:
        """What only a flow shows."""
        value = self.sensing.value
        if new >> PRESSURE & 1:
            found = self._look_at_pressure(PRESSURE, value[PRESSURE], found)
        elif new >> FORCE & 1 and not self.sensing.fitted >> PRESSURE & 1:
            found = self._look_at_pressure(FORCE, self._force_pa(value[FORCE]), found)
        if new >> UPSTREAM & 1 and self._is_head:
            passed_ms = self._passed_ms(UPSTREAM)
            bits = self.upstream.update(passed_ms, self._pushed_nl(UPSTREAM), value[UPSTREAM])
            found = _set(found, alarms.UPSTREAM_OCCLUSION, bits)
        if new >> ENCODER & 1:
            passed_ms = self._passed_ms(ENCODER)
            asked_ms = self.readings.asked_ms[ENCODER]
            # Put in a moment since then, if it was not asked for.
            age_ms = passed_ms if asked_ms < 0 else elapsed_ms(self._looked_ms, asked_ms)
            bits = self.stall.update(passed_ms, self._steps, value[ENCODER], age_ms)
            found = _set(found, alarms.STALL, bits)
            self._steps = 0
        return found

    def _look_at_pressure(self, sensor: int, pressure_pa: int, found: int) -> int:
        passed_ms = self._passed_ms(sensor)
        pushed_nl = self._pushed_nl(sensor)
        bits = self.occlusion.update(passed_ms, pushed_nl, pressure_pa)
        self.by_slope = bool(bits & Occlusion.SLOPE)
        found = _set(found, alarms.OCCLUSION, bits & (Occlusion.LEVEL | Occlusion.SLOPE))
        found = _set(found, alarms.PARTIAL_OCCLUSION, bits & Occlusion.PARTIAL)
        if sensor == PRESSURE:
            bits = self.disconnection.update(passed_ms, pushed_nl, pressure_pa)
            self.release.update(passed_ms, pressure_pa)
            found = _set(found, alarms.DISCONNECTED, bits)
        return found

    def _look_at_rest(self, new: int, found: int) -> int:
        """What is so whether anything flows or not."""
        value = self.sensing.value
        if new >> PRESSURE & 1:
            self._take_pressure(value[PRESSURE])
        elif new >> FORCE & 1 and not self.sensing.fitted >> PRESSURE & 1:
            self._take_pressure(self._force_pa(value[FORCE]))
        if new >> AIR & 1:
            flowed_nl = self._pushed_nl(AIR) + self.release.flowed_nl(self.air.present)
            bits = self.air.update(self._passed_ms(AIR), flowed_nl, value[AIR])
            found = _set(found, alarms.AIR_BUBBLE, bits & Air.BUBBLE)
            found = _set(found, alarms.AIR_ACCUMULATED, bits & Air.ACCUMULATED)
        if new >> BARREL & 1 and not self._is_head:
            bits = self.barrel.update(self._passed_ms(BARREL), value[BARREL])
            found = _set(found, alarms.SYRINGE_REMOVED, bits & Barrel.REMOVED)
            found = _set(found, alarms.WRONG_SYRINGE, bits & Barrel.WRONG_SIZE)
        if new >> DOOR & 1:
            found = _set(found, alarms.DOOR_OPEN, value[DOOR])
        if new >> END_STOP & 1:
            found = _set(found, alarms.END_STOP, value[END_STOP])
        if new >> BATTERY & 1 and self._battery_ms >= BATTERY_EVERY_MS:
            self._battery_ms = 0
            bits = self.battery.update(value[BATTERY])
            found = _set(found, alarms.BATTERY_LOW, bits & Battery.LOW)
            found = _set(found, alarms.BATTERY_DEPLETED, bits & Battery.DEPLETED)
        if new >> RAIL & 1:
            bits = self.rail.update(self._passed_ms(RAIL), value[RAIL])
            found = _set(found, alarms.MOTOR_SUPPLY, bits)
        if new >> TEMPERATURE & 1:
            bits = self.temperature.update(self._passed_ms(TEMPERATURE), value[TEMPERATURE])
            found = _set(found, alarms.OVER_TEMPERATURE, bits)
        return found

    def _take_pressure(self, pressure_pa: int) -> None:
        self.pressure_pa = pressure_pa
        if pressure_pa < LEAST_PLAUSIBLE_PA:
            self._implausible = min(_IMPLAUSIBLE_SAMPLES, self._implausible + 1)
        else:
            self._implausible = 0
        self.pressure_samples = (self.pressure_samples + 1) & 0xFFFF

    def _force_pa(self, force_mn: int) -> int:
        """A force on the plunger as the pressure that it makes; mN/mm² is kPa."""
        return force_mn * 1000 // self._area_mm2


def _set(found: int, number: int, is_so: int) -> int:
    bit = 1 << number
    return found | bit if is_so else found & ~bit
