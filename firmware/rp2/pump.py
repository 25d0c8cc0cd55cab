"""The pump on the board: the loop around controller and link."""

import sys
import time

import machine
import micropump_board as board
from machine import UART, Pin
from micropump_rp2 import reset
from micropump_rp2.flash import Flash, key_slots, library_slots
from micropump_rp2.motor_driver import MotorDriver
from micropump_rp2.panel import Panel
from micropump_rp2.sensors import Sensors
from micropump_rp2.stepper import PioStepper
from micropump_rp2.tmc2209 import Tmc2209
from micropump_rp2.usb import UsbLine

from micropump.controller import Controller
from micropump.link import Identity, Link
from micropump.mechanism import KIND_PERISTALTIC, KIND_SYRINGE
from micropump.shelf import Shelf
from micropump.units import CLOCK_MASK, elapsed_ms

# Longer than a flash erase, shorter than anyone would wait; the motor has stopped long before.
WATCHDOG_MS = 1000
_HALF = (CLOCK_MASK + 1) // 2
_LOOK_MS = 10
_DRIVER_BAUD = 115_200
# A TMC2209 begins to answer 0.2 ms after it was asked.
_DRIVER_TIMEOUT_MS = 2


class Pump:
    """Everything that runs on the board, made once at the start."""

    def __init__(self) -> None:
        now_ms = time.ticks_ms()
        self.watchdog = None
        self.stepper = PioStepper(
            board.STEP_GPIO, board.DIR_GPIO, board.ENABLE_GPIO, board.INTERLOCK_GPIO,
            board.STEP_COUNT_GPIO,
        )  # fmt: skip
        self.driver = motor_driver()
        self.driver.check(now_ms)
        self.controller = Controller(self.stepper, now_ms, reset.cause(), board.SENSORS)
        self.sensors = Sensors(board.SENSORS, self.controller.monitor.readings, now_ms)
        reset.forget()
        fitted = board.FITTED == "syringe"
        identity = Identity(
            "rp2",
            board.BOARD,
            KIND_SYRINGE if fitted else KIND_PERISTALTIC,
            board.SYRINGE_DRIVE if fitted else board.HEAD_DRIVE,
            1000,
            "MicroPython " + ".".join(str(part) for part in sys.implementation.version[:3]),
            board.CONTENT_SHA256,
            True,
        )
        flash = Flash(self._is_running)
        shelf = Shelf(library_slots(flash), key_slots(flash), self._feed)
        self.link = Link(self.controller, identity, shelf)
        self.line = UsbLine()
        self.panel = Panel(self.controller)
        self.inputs = self.controller.inputs
        self.due_ms = now_ms
        self._looked_ms = now_ms

    def start_watchdog(self) -> None:
        """From now on the loop has to come round."""
        self.watchdog = machine.WDT(timeout=WATCHDOG_MS)

    def turn(self) -> None:
        """Once round the loop: host, control cycle if due, answers, watchdog."""
        data = self.line.read(self._wait_ms())
        if data and not self.stepper.running:
            # It may be a start: the driver may have lost its power and settings since the last.
            self.driver.check(time.ticks_ms())
        now_ms = time.ticks_ms()
        # What stops the motor does not wait for the next cycle, which may be 100 ms away.
        stops = self._see(now_ms)
        if data:
            self.link.receive(now_ms, data)
        if data or stops or elapsed_ms(now_ms, self.due_ms) < _HALF:
            self.due_ms = self.controller.tick(now_ms, self.inputs)
        self.link.attend(now_ms)
        self.panel.look(now_ms, elapsed_ms(now_ms, self._looked_ms))
        self._looked_ms = now_ms
        if self.link.outbox:
            self.line.send(self.link.outbox)
            self.link.outbox = bytearray()
        self.line.flush()
        if self.link.restart_into and not self.line.waiting():
            # The answer is still on its way through the USB block.
            time.sleep_ms(_LOOK_MS)
            reset.reset(self.link.restart_into)
        self._feed()

    def _feed(self) -> None:
        if self.watchdog:
            self.watchdog.feed()

    def _is_running(self) -> bool:
        return self.stepper.running

    def _see(self, now_ms: int) -> bool:
        """Look at all that a request and a cycle are judged by; returns whether it stops a motor.

        Before the request, or that would be carried out by what held at the look before it.
        """
        running = self.stepper.running
        inputs = self.inputs
        self.driver.look(now_ms, running)
        self.sensors.look(now_ms)
        inputs.driver_fault = self.driver.fault
        inputs.interlock_open = self.stepper.interlock_open()
        inputs.stepper_starved = self.stepper.starved()
        return running and (inputs.driver_fault or inputs.interlock_open)

    def _wait_ms(self) -> int:
        """How long nothing has to be done, at most a look's length."""
        left_ms = elapsed_ms(self.due_ms, time.ticks_ms())
        return 0 if left_ms >= _HALF else min(left_ms, _LOOK_MS)


def motor_driver() -> MotorDriver:
    """The board's driver: its fault output, and its UART where it has one."""
    chip = None
    if board.DRIVER == "tmc2209" and board.DRIVER_UART_ID is not None:
        uart = UART(
            board.DRIVER_UART_ID,
            baudrate=_DRIVER_BAUD,
            tx=Pin(board.DRIVER_TX_GPIO),
            rx=Pin(board.DRIVER_RX_GPIO),
            timeout=_DRIVER_TIMEOUT_MS,
            timeout_char=_DRIVER_TIMEOUT_MS,
        )
        chip = Tmc2209(uart, board.DRIVER_ADDRESS)
    if board.DRIVER_FAULT_GPIO is None:
        return MotorDriver(chip, None)
    pull = {"up": Pin.PULL_UP, "down": Pin.PULL_DOWN}.get(board.DRIVER_FAULT_PULL)
    output = Pin(board.DRIVER_FAULT_GPIO, Pin.IN, pull)
    is_high = board.DRIVER_FAULT_ACTIVE_LEVEL
    driver = MotorDriver(chip, lambda: output.value() == is_high)
    # The loop looks every 10 ms or so; what is shorter is caught by the interrupt.
    output.irq(driver.note_fault, Pin.IRQ_RISING if is_high else Pin.IRQ_FALLING, hard=True)
    return driver


def make_safe() -> None:
    """Motor off, STEP low, whatever state the rest is in."""
    Pin(board.ENABLE_GPIO, Pin.OUT, value=1 - board.ENABLE_ACTIVE_LEVEL)
    Pin(board.STEP_GPIO, Pin.OUT, value=0)


def run() -> None:
    """Run the pump for ever."""
    pump = Pump()
    pump.start_watchdog()
    while True:
        pump.turn()
