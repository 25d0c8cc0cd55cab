"""What a pump has on the pins of its Pico: driver, plant, sensors, buttons.

Each model is wired to pins by number and plugs into ``EmulatedPico(models=...)``; ``PumpOnPins``
is all of them at once, as a board's wiring has them.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from micropump_hil.emulated.clock import CYCLE_NS
from micropump_hil.emulated.i2c import AS5600_ADDRESS, As5600, I2cBus
from micropump_hil.emulated.uart import Tmc2209
from micropump_hil.emulated.wiring import PressureInput, Wiring
from micropump_host.bench.plant import Plant

if TYPE_CHECKING:
    from micropump_hil.emulated.pico import EmulatedPico

NS_PER_S = 1e9
# The slowest of the three drivers: DRV8825 datasheet, timing requirements: STEP high and low at
# least 1.9 µs each, DIR 650 ns before STEP.
MIN_PULSE_NS = 1900
MIN_DIR_SETUP_NS = 650
FULL_BATTERY_V = 12.0
# I2C0 and I2C1 take turns on the GPIOs, two by two (RP2040 datasheet, function table).
_GPIOS_PER_I2C = 2
_I2CS = 2

OnStep = Callable[[int, int], None]


class StepperDriver:
    """A step and direction driver with an enable input.

    Args:
        step, direction, enable: GPIO numbers.
        enable_level: the level of ``enable`` at which the motor is powered.
        forward_level: the level of ``direction`` at which the pump delivers.

    Attributes:
        position_steps: microsteps forward less microsteps backward.
        forward_steps, backward_steps: microsteps made.
        ignored_steps: step edges that came while the motor was off.
        hurried_steps: step edges that came too soon after an edge of ``step`` or ``direction`` for
            the slowest of the drivers; they are made nevertheless.

    """

    def __init__(
        self,
        step: int,
        direction: int,
        enable: int,
        *,
        enable_level: int = 0,
        forward_level: int = 1,
    ) -> None:
        self.position_steps = 0
        self.forward_steps = 0
        self.backward_steps = 0
        self.ignored_steps = 0
        self.hurried_steps = 0
        self._pins = (step, direction, enable)
        self._enable_level = enable_level
        self._forward_level = forward_level
        self._on_step: list[OnStep] = []
        self._step_changed_ns = -MIN_PULSE_NS
        self._direction_changed_ns = -MIN_DIR_SETUP_NS

    def on_step(self, callback: OnStep) -> None:
        """Call ``callback(+1 or -1, at_ns)`` at every microstep made."""
        self._on_step.append(callback)

    def attach(self, pico: "EmulatedPico") -> None:
        """Connect to the pins."""
        step, direction, _ = self._pins
        self._wires = pico.pins
        pico.pins.on_change(step, self._step_edge)
        pico.pins.on_change(direction, self._direction_edge)

    @property
    def enabled(self) -> bool:
        """Whether the motor is powered."""
        return self._wires.level(self._pins[2]) == self._enable_level

    def _direction_edge(self, _level: int, at_cycles: int) -> None:
        self._direction_changed_ns = at_cycles * CYCLE_NS

    def _step_edge(self, level: int, at_cycles: int) -> None:
        at_ns = at_cycles * CYCLE_NS
        too_soon = at_ns - self._step_changed_ns < MIN_PULSE_NS
        self._step_changed_ns = at_ns
        if not level:
            self.hurried_steps += too_soon
            return
        if not self.enabled:
            self.ignored_steps += 1
            return
        self.hurried_steps += too_soon or at_ns - self._direction_changed_ns < MIN_DIR_SETUP_NS
        forward = self._wires.level(self._pins[1]) == self._forward_level
        if forward:
            self.forward_steps += 1
        else:
            self.backward_steps += 1
        sense = 1 if forward else -1
        self.position_steps += sense
        for callback in self._on_step:
            callback(sense, at_ns)


def driver_chip(wiring: Wiring) -> Tmc2209 | None:
    """The TMC2209 that a board has on its UART and on DIAG; None where it has none."""
    gpio = wiring.gpio
    if wiring.driver_address is None:
        return None
    return Tmc2209(
        gpio["driver_tx"],
        gpio["driver_rx"],
        wiring.driver_address,
        gpio["enable"],
        gpio.get("driver_fault"),
    )


class PlantOnMotor:
    """A plant of the virtual bench, moved by a driver's microsteps.

    Args:
        plant: purged or not, at its time zero.
        driver: what turns its motor.
        zero_ns: the emulated time that is the plant's time zero, ns.

    The plant knows forward microsteps alone: backward ones are counted by the driver, and the plant
    stays where it is.

    """

    def __init__(self, plant: Plant, driver: StepperDriver, zero_ns: int = 0) -> None:
        self.plant = plant
        self._zero_ns = zero_ns
        driver.on_step(self._step)

    def at(self, now_ns: int) -> Plant:
        """The plant, brought to the emulated time ``now_ns``."""
        self.plant.advance((now_ns - self._zero_ns) / NS_PER_S)
        return self.plant

    def _step(self, sense: int, at_ns: int) -> None:
        if sense > 0:
            self.plant.step((at_ns - self._zero_ns) / NS_PER_S)


class PressureSensor:
    """A pressure sensor on an ADC channel; with ``broken`` its wire is off and reads 0 V."""

    def __init__(self, channel: int, sensor: PressureInput, plant: PlantOnMotor) -> None:
        self.broken = False
        self._channel = channel
        self._sensor = sensor
        self._plant = plant

    def attach(self, pico: "EmulatedPico") -> None:
        """Connect to the ADC."""
        pico.adc.connect(self._channel, self._volts)

    def _volts(self, now_ns: int) -> float:
        return 0.0 if self.broken else self._sensor.volts(self._plant.at(now_ns).pressure_pa)


class Battery:
    """The supply as the ADC sees it through a divider.

    Args:
        channel: ADC channel.
        ratio: volts at the ADC per volt of the battery.

    Attributes:
        volts: the battery's voltage, V; may be changed at any time.

    """

    def __init__(self, channel: int, ratio: float, volts: float = FULL_BATTERY_V) -> None:
        self.volts = volts
        self._channel = channel
        self._ratio = ratio

    def attach(self, pico: "EmulatedPico") -> None:
        """Connect to the ADC."""
        pico.adc.connect(self._channel, lambda _: self.volts * self._ratio)


class Contact:
    """A switch between a pin and a rail: a button, an interlock, an end switch.

    Args:
        pin: GPIO number.
        closed_level: the level of the rail; open, the pin is left to its pull.
        closed: how it stands at first.

    """

    def __init__(self, pin: int, closed_level: int = 0, *, closed: bool = False) -> None:
        self._pin = pin
        self._closed_level = closed_level
        self._closed = closed

    def attach(self, pico: "EmulatedPico") -> None:
        """Connect to the pin."""
        self._pico = pico
        self._set(self._closed)

    def close(self, bounce_us: Sequence[float] = ()) -> None:
        """Close it; after each of ``bounce_us`` (µs) it opens, for as long again."""
        self._move(True, bounce_us)

    def open(self, bounce_us: Sequence[float] = ()) -> None:
        """Open it; bouncing as ``close``."""
        self._move(False, bounce_us)

    @property
    def closed(self) -> bool:
        """Whether it is closed at this moment."""
        return self._closed

    def _move(self, closed: bool, bounce_us: Sequence[float]) -> None:
        self._set(closed)
        at_ns = self._pico.now_ns
        for gap_us in bounce_us:
            gap_ns = round(gap_us * 1000)
            self._pico.call_at_ns(at_ns + gap_ns, lambda: self._set(not closed))
            self._pico.call_at_ns(at_ns + 2 * gap_ns, lambda: self._set(closed))
            at_ns += 2 * gap_ns

    def _set(self, closed: bool) -> None:
        self._closed = closed
        if closed:
            self._pico.pins.set(self._pin, self._closed_level)
        else:
            self._pico.pins.release(self._pin)


class Signal:
    """An output of some part that drives a pin high or low.

    Args:
        pin: GPIO number.
        active_level: the level that means yes.
        active: what it says at first.

    """

    def __init__(self, pin: int, active_level: int, *, active: bool = False) -> None:
        self._pin = pin
        self._active_level = active_level
        self._active = active

    def attach(self, pico: "EmulatedPico") -> None:
        """Connect to the pin."""
        self._pins = pico.pins
        self.active = self._active

    @property
    def active(self) -> bool:
        """Whether it says yes; may be set."""
        return self._active

    @active.setter
    def active(self, active: bool) -> None:
        self._active = active
        self._pins.set(self._pin, self._active_level if active else 1 - self._active_level)


class PumpOnPins:
    """A whole pump on the pins of a Pico, as far as the board has it.

    Args:
        wiring: which pin is what.
        plant: a plant of the virtual bench, at its time zero, which is the Pico's.
        steps_per_rev: microsteps per revolution of the shaft that the encoder sits on.

    Attributes:
        driver: the stepper driver; it needs ``step``, ``dir`` and ``enable``.
        chip: the driver's other side, a TMC2209 on its UART and DIAG.
        motor: the plant on it.
        pressure, battery, air, interlock, home, start_stop_button, bolus_button, driver_fault,
            encoder: the other parts, each None where the board has no pin for it. The interlock is
            closed and the pusher is not at its end, until somebody changes that. Where there is a
            chip it drives DIAG itself, and ``driver_fault`` is None.

    """

    def __init__(self, wiring: Wiring, plant: Plant, steps_per_rev: int = 3200) -> None:
        gpio = wiring.gpio
        self.wiring = wiring
        self.driver = StepperDriver(
            gpio["step"],
            gpio["dir"],
            gpio["enable"],
            enable_level=wiring.active_level.get("enable", 0),
        )
        self.motor = PlantOnMotor(plant, self.driver)
        self.pressure = (
            PressureSensor(wiring.adc_channel("pressure"), wiring.pressure, self.motor)
            if wiring.pressure and wiring.has("pressure")
            else None
        )
        self.battery = (
            Battery(wiring.adc_channel("battery"), wiring.battery_ratio)
            if wiring.battery_ratio and wiring.has("battery")
            else None
        )
        self.air = self._signal("air", 1)
        self.chip = driver_chip(wiring)
        self.driver_fault = None if self.chip else self._signal("driver_fault", 1)
        self.interlock = self._contact("interlock", closed=True)
        self.home = self._contact("home", closed=True)
        self.start_stop_button = self._contact("start_stop_button")
        self.bolus_button = self._contact("bolus_button")
        self.encoder: As5600 | None = None
        self._bus: I2cBus | None = None
        if wiring.has("i2c_sda", "i2c_scl"):
            self.encoder = As5600(lambda: self.driver.position_steps / steps_per_rev)
            number = gpio["i2c_sda"] // _GPIOS_PER_I2C % _I2CS
            self._bus = I2cBus(number, {AS5600_ADDRESS: self.encoder})

    def attach(self, pico: "EmulatedPico") -> None:
        """Connect everything."""
        for pin, level in self.wiring.pulls.items():
            pico.pins.pull(pin, level)
        for source, target in self.wiring.wires:
            pico.pins.wire(source, target)
        parts = (
            self.driver,
            self.pressure,
            self.battery,
            self.air,
            self.driver_fault,
            self.chip,
            self.interlock,
            self.home,
            self.start_stop_button,
            self.bolus_button,
            self._bus,
        )
        for part in parts:
            if part is not None:
                part.attach(pico)

    def _signal(self, function: str, active_level: int) -> Signal | None:
        if not self.wiring.has(function):
            return None
        level = self.wiring.active_level.get(function, active_level)
        return Signal(self.wiring.gpio[function], level)

    def _contact(self, function: str, *, closed: bool = False) -> Contact | None:
        if not self.wiring.has(function):
            return None
        return Contact(self.wiring.gpio[function], closed=closed)
