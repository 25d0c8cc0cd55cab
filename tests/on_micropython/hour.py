"""An hour of infusion with the heap locked in every control cycle: rate change, pause, end.

Words: firmware directory, and what to break: "nothing", or "push" for a stepper that allocates.
Prints the state, the alarms, the steps by bucket and the control cycles.
"""

import sys

sys.path.insert(0, sys.argv[1])

from micropump import mechanism, therapy
from micropump.link import Identity
from micropump_virtual.pump import VirtualPump
from micropump_virtual.stepper import VirtualStepper


class AllocatingStepper(VirtualStepper):
    """A stepper as it must not be: it makes an object for every quantum."""

    def push(self, count, first_us, interval_us, part, whole, credit):
        """Keep the quantum as a new tuple."""
        self.last = (count, first_us)
        VirtualStepper.push(self, count, first_us, interval_us, part, whole, credit)


START_MS = (1 << 30) - 1_800_000
pump = VirtualPump(Identity("micropython", "virtual", 1, "t8-2mm-16", 0), START_MS)
if sys.argv[2] == "push":
    pump.stepper = pump.controller.motion.stepper = AllocatingStepper()
controller = pump.controller


def advance(until_ms):
    """A minute at a time; the trace of an hour does not fit into the heap."""
    while pump.now_ms < until_ms:
        pump.advance(min(until_ms, pump.now_ms + 60_000))
        pump.quanta = []


def do(at_ms, name, *values):
    """The command ``name`` at ``at_ms`` after the start."""
    now_ms = START_MS + at_ms
    advance(now_ms)
    pump.stepper.now_ms = now_ms
    refusal = getattr(controller, name)(now_ms & 0x3FFFFFFF, *values)
    assert refusal == 0, (name, refusal)
    pump._collect()
    pump.due_ms = now_ms


parts = mechanism.syringe("bd-plastipak-60", "t8-2mm-16")
# 4.5 mL in the first half hour with the pause of five minutes, 9 mL/h from there.
order = {
    "content_ul": 8_010, "containers": 1, "delay_s": 0, "kvo_ul_h": therapy.KVO_BY_RULE,
    "rate_ul_h": 10_000, "vtbi_ul": 8_000, "duration_s": 0, "loading_ul": 0, "loading_ul_h": 0,
}  # fmt: skip
program = therapy.make(therapy.CONTINUOUS, parts, order)
do(0, "load", program, 1)
do(0, "start", 1)
do(900_000, "set_rate", 9_000)
do(1_200_000, "pause")
do(1_500_000, "resume")
do(2_400_000, "set_rate", 20_000)
advance(START_MS + 3_600_000)
print(
    controller.state,
    controller.active_alarms,
    controller.delivered_steps(0),
    controller.delivered_steps(1),
    pump.ticks,
)
