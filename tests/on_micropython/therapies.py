"""Every therapy with all that may happen in it, the heap locked in every control cycle.

Words: firmware directory, and what to break as in ``hour.py``. Prints a line for each: its name,
the state, the alarms, the steps by bucket, the control cycles and the codes of all events.
"""

import sys

sys.path.insert(0, sys.argv[1])

from micropump import mechanism, therapy
from micropump.link import Identity
from micropump.program import BUCKETS, SECONDARY, Phase
from micropump_virtual.pump import VirtualPump
from micropump_virtual.stepper import VirtualStepper


class AllocatingStepper(VirtualStepper):
    """A stepper as it must not be: it makes an object for every quantum."""

    def push(self, count, first_us, interval_us, part, whole, credit):
        """Keep the quantum as a new tuple."""
        self.last = (count, first_us)
        VirtualStepper.push(self, count, first_us, interval_us, part, whole, credit)


SYRINGE = mechanism.syringe("bd-plastipak-20", "t8-2mm-16")
HEAD = mechanism.peristaltic("masterflex-ls-14", "direct-16")
SETUP = {"content_ul": 20_000, "containers": 1, "delay_s": 1, "kvo_ul_h": therapy.KVO_BY_RULE}
CONTINUOUS = {
    "rate_ul_h": 60_000, "vtbi_ul": 1_000, "duration_s": 0, "loading_ul": 100,
    "loading_ul_h": 120_000,
}  # fmt: skip
INTERMITTENT = {
    "dose_ul": 333, "rate_ul_h": 120_000, "duration_s": 0, "interval_s": 20, "doses": 3,
    "times": [], "clock_s": 86_400,
}  # fmt: skip
DAILY = dict(INTERMITTENT)
DAILY.update({"times": [(600,), (601,), (602,)], "clock_s": 35_998, "interval_s": 0})
PCA = {
    "vtbi_ul": 1_000, "rate_ul_h": 10_000, "demand_ul": 100, "demand_ul_h": 60_000,
    "lockout_s": 10, "window_1_s": 60, "limit_1_ul": 600, "window_2_s": 120, "limit_2_ul": 900,
    "loading_ul": 50, "loading_ul_h": 120_000,
}  # fmt: skip
RAMP = {"vtbi_ul": 1_000, "duration_s": 60, "up_s": 20, "down_s": 30}
STEPPED = {"vtbi_ul": 0, "steps": [(60_000, 200, 0), (400_000, 5, 0), (30_000, 0, 20)]}
PURGE = {"volume_ul": 500, "rate_ul_h": 300_000, "reverse": 1}
FROM_TWO = {
    "rate_ul_h": 60_000, "vtbi_ul": 400, "duration_s": 0, "loading_ul": 0, "loading_ul_h": 0,
    "content_ul": 201, "containers": 2, "kvo_ul_h": 0,
}  # fmt: skip
# name, kind, mechanism, fields, what is done at what time (ms), and the time at the end
RUNS = (
    ("continuous", therapy.CONTINUOUS, SYRINGE, CONTINUOUS, (
        (10_000, "bolus", 150, 60_000, 0), (20_000, "set_rate", 90_000), (30_000, "pause"),
        (31_000, "resume"),
    ), 90_000),
    ("intermittent", therapy.INTERMITTENT, SYRINGE, INTERMITTENT, (
        (25_000, "pause"), (26_000, "resume"),
    ), 90_000),
    ("daily", therapy.INTERMITTENT, SYRINGE, DAILY, (
        (70_000, "pause"), (140_000, "resume"),
    ), 200_000),
    ("ramp", therapy.RAMP, SYRINGE, RAMP, ((15_000, "pause"), (16_000, "resume")), 80_000),
    ("stepped", therapy.STEPPED, HEAD, STEPPED, (
        (5_000, "load_secondary", Phase(90_000, 1000, SECONDARY), 9), (6_000, "start", 9),
    ), 80_000),
    ("pca", therapy.PCA, SYRINGE, PCA, (
        (5_000, "bolus", 150, 30_000, 0), (8_000, "demand"), (19_000, "demand"),
        (40_000, "set_rate", 0), (50_000, "set_rate", 12_000), (120_000, "bolus", 20, 0, 4),
        (121_000, "demand"), (122_000, "pause"), (123_000, "resume"),
    ), 400_000),
    ("purge", therapy.PURGE, SYRINGE, PURGE, (), 20_000),
    ("stroke", therapy.CONTINUOUS, HEAD, CONTINUOUS, (
        (10_000, "bolus", 150, 60_000, 0), (12_000, "pause"), (20_000, "resume"),
        (30_000, "pause"), (40_000, "resume"), (45_000, "stop"),
    ), 60_000),
    ("containers", therapy.CONTINUOUS, SYRINGE, FROM_TWO, (
        (20_000, "change_container", 250), (20_001, "acknowledge"), (21_000, "resume"),
    ), 60_000),
)  # fmt: skip
START_MS = (1 << 30) - 30_000


def run(name, kind, parts, fields, actions, until_ms):
    """One therapy, and its line."""
    pump = VirtualPump(Identity("micropython", "virtual", parts.kind, parts.drive_id, 0), START_MS)
    if sys.argv[2] == "push":
        pump.stepper = pump.controller.motion.stepper = AllocatingStepper()
    order = dict(SETUP)
    order.update(fields)
    program = therapy.make(kind, parts, order)
    begin = ((0, "load", program, 7), (0, "start", 7))
    # MicroPython has no iterable unpacking in a tuple.
    for at_ms, what, *values in begin + actions:
        advance(pump, START_MS + at_ms)
        pump.stepper.now_ms = START_MS + at_ms
        getattr(pump.controller, what)(pump.stepper.now_ms & 0x3FFFFFFF, *values)
        pump._collect()
        pump.due_ms = pump.stepper.now_ms
    advance(pump, START_MS + until_ms)
    controller = pump.controller
    log = controller.journal
    counts = [controller.delivered_steps(bucket) for bucket in range(BUCKETS)]
    codes = [log.entry(at)[3] for at in range(log.first_kept(), log.next_number)]
    print(name, controller.state, controller.active_alarms, counts, pump.ticks, codes)


def advance(pump, until_ms):
    """Ten seconds at a time: the trace need not fit into the heap."""
    while pump.now_ms < until_ms:
        pump.advance(min(until_ms, pump.now_ms + 10_000))
        pump.quanta = []


for each in RUNS:
    run(*each)
