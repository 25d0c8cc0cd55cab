"""Runs on the Pico, under benchmarks/bench_pico.py, which puts SETTINGS and Stepper before it.

SETTINGS:
    motor: "pio" for the pump as it is, "none" for the same work without steps.
    nl_per_step: a ratio in the place of the catalogue's, or None.
    most_steps: of a quantum, or None for the firmware's own.
    package_rate_hz: how fast the package steps beside the pump, or 0.
    alone: leave the pump out.
    collect_ms: how often garbage is collected on purpose, or 0.
    count_bytes: count what the control cycles take of the heap, which makes the loop slower.

Whoever talks to it over the wire ends it by the command stop. The last line that it prints is
RESULT and the figures.
"""

# ruff: noqa: F821

import gc
import json
import time
from array import array

import micropython

micropython.kbd_intr(-1)

import micropump_board  # noqa: E402

if SETTINGS["motor"] == "none":
    # Nothing turns, so that what looks at the shaft would say so.
    micropump_board.SENSORS = tuple(row for row in micropump_board.SENSORS if row[10] != "as5600")

from micropump_rp2 import pump as pump_module  # noqa: E402
from micropump_rp2 import stepper as stepper_module  # noqa: E402

from micropump import controller as controller_module  # noqa: E402
from micropump import mechanism  # noqa: E402

PACKAGE_STEP_GPIO = 14
PACKAGE_DIR_GPIO = 15
MOST_TICKS = 200
COLLECT_MS = SETTINGS["collect_ms"]
COUNT_BYTES = SETTINGS["count_bytes"]
ENDED = (controller_module.STOPPED, controller_module.ALARM, controller_module.COMPLETED)


class NoStepper:
    """Takes quanta and makes nothing of them."""

    def begin(self, start_ms, reverse):
        """Nothing to begin."""

    def push(self, count, first_us, interval_us, part, whole, credit):
        """Forget the quantum."""

    def abort(self, now_ms):
        """No step was made."""
        return 0


class Timed:
    """A controller whose control cycles are timed while the motor runs; in µs and bytes."""

    def __init__(self, controller):
        self.motion = controller.motion
        self.tick_of = controller.tick
        self.took_us = array("i", [0] * MOST_TICKS)
        self.used_bytes = array("i", [0] * MOST_TICKS)
        self.count = 0

    def tick(self, now_ms, inputs):
        """The control cycle."""
        if not self.motion.running or self.count == MOST_TICKS:
            return self.tick_of(now_ms, inputs)
        # Looking takes milliseconds: the heap is walked.
        before_bytes = gc.mem_alloc() if COUNT_BYTES else 0
        began_us = time.ticks_us()
        due_ms = self.tick_of(now_ms, inputs)
        took_us = time.ticks_diff(time.ticks_us(), began_us)
        self.used_bytes[self.count] = gc.mem_alloc() - before_bytes if COUNT_BYTES else 0
        self.took_us[self.count] = took_us
        self.count += 1
        return due_ms


def figures(pump, timed, worst_turn_us):
    """What was measured, for json."""
    began_us = time.ticks_us()
    gc.collect()
    collect_us = time.ticks_diff(time.ticks_us(), began_us)
    return {
        "state": pump.controller.state,
        "alarms": pump.controller.active_alarms,
        "steps": pump.controller.delivered_steps(0),
        "tick_us": list(timed.took_us[: timed.count]),
        "tick_bytes": list(timed.used_bytes[: timed.count]),
        "worst_turn_us": worst_turn_us,
        "collect_us": collect_us,
    }


def start_package():
    """The package's stepper, stepping; nothing where it is not wanted."""
    if not SETTINGS["package_rate_hz"]:
        return None
    stepper = Stepper(PACKAGE_STEP_GPIO, PACKAGE_DIR_GPIO, speed_sps=SETTINGS["package_rate_hz"])
    stepper.free_run(1)
    return stepper


def run(pump):
    """The pump's loop until its therapy is at an end.

    A turn counts from when the host's bytes are there; the worst is that of turns while the motor
    runs, so that no command of the host is in it.
    """
    timed = Timed(pump.controller)
    real = pump.controller
    pump.controller = timed
    worst_turn_us = 0
    read_of = pump.line.read
    read_us = 0
    package = None
    heard = b""
    collected_ms = time.ticks_ms()

    def read(wait_ms):
        nonlocal heard, read_us
        heard = read_of(wait_ms)
        read_us = time.ticks_us()
        return heard

    pump.line.read = read
    while real.state not in ENDED or pump.line.waiting():
        running = real.motion.running
        if running and not package:
            package = start_package() or True
        if COLLECT_MS and time.ticks_diff(time.ticks_ms(), collected_ms) > COLLECT_MS:
            gc.collect()
            collected_ms = time.ticks_ms()
        pump.turn()
        turn_us = time.ticks_diff(time.ticks_us(), read_us)
        if running and not heard and turn_us > worst_turn_us:
            worst_turn_us = turn_us
    pump.controller = real
    return figures(pump, timed, worst_turn_us)


if SETTINGS["most_steps"]:
    stepper_module.GREATEST_STEPS = SETTINGS["most_steps"]
    stepper_module._WORDS = 2 + 2 * (SETTINGS["most_steps"] // 32 + 1)
if SETTINGS["nl_per_step"]:
    MADE_UP = mechanism.Mechanism(
        1, "made-up", "made-up", SETTINGS["nl_per_step"], 3200, 60_000, 10, 1_200_000, 1
    )
    mechanism.build = lambda kind, item_id, drive_id: MADE_UP

if SETTINGS["alone"]:
    package = start_package()
    while True:
        time.sleep_ms(1000)

the_pump = pump_module.Pump()
gc.collect()
if SETTINGS["motor"] == "none":
    the_pump.controller.motion.stepper = NoStepper()
try:
    result = run(the_pump)
except Exception as error:
    pump_module.make_safe()
    result = {"failed": type(error).__name__}
print("RESULT" + json.dumps(result))
micropython.kbd_intr(3)
