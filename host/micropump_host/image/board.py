"""A board as data: its pins, its parts, and what is to be known of its analogue inputs."""

from collections.abc import Mapping
from dataclasses import dataclass

from micropump_host.image.chip import CARRIERS, Carrier

DIRECTIONS = ("input", "output", "analog")
PULLS = ("none", "up", "down")
DRIVERS = ("a4988", "drv8825", "tmc2209")
MECHANISMS = ("syringe", "peristaltic")
SENSOR_KINDS = ("analog", "digital", "hx711", "as5600", "abp2")
DRIVERS_WITHOUT_UART = ("a4988", "drv8825")
# Supplies that a terminal of a part can be wired to, beside a terminal of another part.
NETS = ("GND", "3V3", "5V", "12V")


@dataclass(frozen=True)
class Function:
    """What a pin can be for.

    Attributes:
        meaning: for a person, in the wiring diagram and in tables.
        direction: as the chip sees it; ``"analog"`` for the ADC.
        peripheral: what of the chip drives it: ``"gpio"``, ``"adc"``, ``"pwm"``, ``"uart_tx"``,
            ``"uart_rx"``, ``"i2c_sda"`` or ``"i2c_scl"``.
        required: whether a board cannot do without.
        rest_pull: True where an external resistor must hold the line at "not active" while the
            chip does not drive it or a wire is broken.

    """

    meaning: str
    direction: str
    peripheral: str = "gpio"
    required: bool = False
    rest_pull: bool = False


FUNCTIONS: Mapping[str, Function] = {
    "step": Function("STEP", "output", required=True, rest_pull=True),
    "dir": Function("direction", "output", required=True),
    "enable": Function("driver on", "output", required=True, rest_pull=True),
    "step_count": Function("STEP, counted", "input", required=True),
    "interlock": Function("interlock closed", "input", required=True, rest_pull=True),
    "driver_fault": Function("driver fault", "input"),
    "driver_tx": Function("to the driver", "output", "uart_tx"),
    "driver_rx": Function("from the driver", "input", "uart_rx"),
    "home": Function("at home", "input"),
    "i2c_sda": Function("I2C data", "output", "i2c_sda"),
    "i2c_scl": Function("I2C clock", "output", "i2c_scl"),
    "door": Function("door open", "input"),
    "hx711_data": Function("force, data", "input"),
    "hx711_clock": Function("force, clock", "output"),
    "air": Function("air in line", "input"),
    "air_level": Function("air in line, level", "analog", "adc"),
    "pressure": Function("pressure", "analog", "adc"),
    "upstream": Function("pressure before the head", "analog", "adc"),
    "barrel": Function("barrel clamp", "analog", "adc"),
    "plunger": Function("plunger position", "analog", "adc"),
    "rail": Function("motor's supply", "analog", "adc"),
    "battery": Function("battery", "analog", "adc"),
    "start_stop_button": Function("start/stop", "input", required=True),
    "bolus_button": Function("bolus", "input"),
    "buzzer": Function("buzzer", "output", "pwm", required=True),
    "red_light": Function("red light", "output", required=True),
    "yellow_light": Function("yellow light", "output", required=True),
    "green_light": Function("green light", "output", required=True),
}

REQUIRED_ROLES = ("controller", "driver", "motor", "power", "interlock_switch", "enable_pull")


@dataclass(frozen=True)
class Pin:
    """One GPIO and what it is wired to.

    Attributes:
        function: a key of ``FUNCTIONS``.
        gpio: number of the GPIO, not of the header's pin.
        direction: one of ``DIRECTIONS``.
        to_role: role of the part at the other end.
        to_terminal: terminal of that part.
        pull: the chip's own resistor, one of ``PULLS``.
        active_level: 1 or 0, the level at which the function's name is true.
        external_pull: a resistor on the line, one of ``PULLS``.
        external_pull_ohm: its value; 0 where there is none.
        series_ohm: a resistor in the line; 0 where there is none.

    """

    function: str
    gpio: int
    direction: str
    to_role: str
    to_terminal: str
    pull: str = "none"
    active_level: int = 1
    external_pull: str = "none"
    external_pull_ohm: int = 0
    series_ohm: int = 0

    @property
    def meaning(self) -> str:
        """What the pin is for, for a person."""
        return FUNCTIONS[self.function].meaning


@dataclass(frozen=True)
class Part:
    """A line of the bill of materials.

    Attributes:
        role: what it does on this board; unique.
        name: what it is, without naming a seller.
        part_number: the maker's number, or the common name of a module.
        quantity: how many.
        price_usd: approximate price of one, in US dollars.
        source: key of the board's sources, for the price and the choice.
        optional: whether the pump works without it.
        nets: what each terminal is wired to beside the GPIOs: one of ``NETS``, or
            ``role.TERMINAL`` of another part.
        note: what a builder should know; may be empty.

    """

    role: str
    name: str
    part_number: str
    quantity: int
    price_usd: float
    source: str
    optional: bool
    nets: Mapping[str, str]
    note: str


@dataclass(frozen=True)
class Sensor:
    """A sensor that is fitted: how its raw counts are judged and scaled, and where they come from.

    Attributes:
        name: one of the core's ``SENSOR_NAMES``.
        spec: the ten fields that ``micropump.sensing.Sensing`` reads (docs/sensors.md).
        kind: one of ``SENSOR_KINDS``.
        gpio: the pin; -1 for the thermometer in the chip.
        aux: ADC channel, pull, or GPIO of the clock line, by kind.
        active_level: of a digital one, the level that is put as 1; else 1.
        every_ms: how often the adapter puts it, ms.

    """

    name: str
    spec: tuple[int, ...]
    kind: str
    gpio: int
    aux: int | str
    active_level: int
    every_ms: int

    @property
    def row(self) -> tuple[int | str, ...]:
        """Its row in ``SENSORS`` of the board's module."""
        return (*self.spec, self.kind, self.gpio, self.aux, self.active_level, self.every_ms)


@dataclass(frozen=True)
class Board:
    """A board, read and checked.

    Attributes:
        board_id: its folder's name, a key of ``CARRIERS``.
        name: for a person.
        runs: where this project runs it, for example ``"emulated Pico"``, or ``"not run here"``.
        image: ``"built"``, or why no image is built.
        driver: one of ``DRIVERS``.
        fitted: what the motor turns, one of ``MECHANISMS``.
        syringe_drive: the catalogue's drive that turns a syringe's screw.
        head_drive: the catalogue's drive that turns a peristaltic head.
        adc_reference_mv: what the ADC reads as full scale, mV.
        pins: in the order of the file.
        sensors: those that are fitted, in the order of their numbers.
        parts: in the order of the file.
        sources: what each source key stands for.

    """

    board_id: str
    name: str
    runs: str
    image: str
    driver: str
    fitted: str
    syringe_drive: str
    head_drive: str
    adc_reference_mv: int
    pins: tuple[Pin, ...]
    sensors: tuple[Sensor, ...]
    parts: tuple[Part, ...]
    sources: Mapping[str, str]

    @property
    def carrier(self) -> Carrier:
        """Chip and pins in use of the board that carries it."""
        return CARRIERS[self.board_id]

    def pin(self, function: str) -> Pin | None:
        """The pin with a function, or None where it is not fitted."""
        return next((pin for pin in self.pins if pin.function == function), None)

    def sensor(self, name: str) -> Sensor | None:
        """The sensor of a name, or None where it is not fitted."""
        return next((sensor for sensor in self.sensors if sensor.name == name), None)

    def part(self, role: str) -> Part | None:
        """The part with a role, or None where there is none."""
        return next((part for part in self.parts if part.role == role), None)
