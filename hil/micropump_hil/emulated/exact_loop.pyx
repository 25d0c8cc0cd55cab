# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The emulator's inner loop, compiled: the stock loop without what it asks of Python each time.

Same order of things as rp2040py's own loop: an instruction, then the time that it took with every
alarm on the way; asleep, straight to the next alarm. Whoever wants the loop to stop sets
``simulator.stopped`` in an alarm.
"""

from rp2040py.native._cortex_m0_core cimport CortexM0Core
from rp2040py.native._rp2040 cimport RP2040
from rp2040py.native._simulation_clock cimport SimulationClock

cdef double CYCLE_NS = 8.0
# Back to Python now and then, where Ctrl-C is looked at: some 10 ms.
cdef long INSTRUCTIONS = 500_000


def execute_batch(simulator, int tick_batch):
    """Run ``simulator`` until it is stopped, or for some milliseconds."""
    cdef RP2040 mcu = simulator.rp2040
    cdef CortexM0Core core = mcu.core
    cdef SimulationClock clock = mcu.clock
    cdef double target_ns
    cdef long left = INSTRUCTIONS
    while left > 0:
        left -= 1
        if core.waiting:
            clock.tick(clock._next_alarm.nanos - clock._nanos_counter)
            if simulator.stopped:
                return
            continue
        target_ns = clock._nanos_counter + core.execute_instruction() * CYCLE_NS
        if clock._next_alarm is not None and clock._next_alarm.nanos <= target_ns:
            clock.tick(target_ns - clock._nanos_counter)
            if simulator.stopped:
                return
        else:
            clock._nanos_counter = target_ns
