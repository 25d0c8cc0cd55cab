"""The stepper on the RP2040: six one-shot DMA transfers, one a quantum, feed the generator.

Each transfer is bounded and chained to the next only when that one is filled, so a processor that
dies starves the motor within the queued horizon. There is no ring and nothing that runs on.
"""

import time
from array import array

from machine import Pin
from micropump_rp2 import generator
from micropump_rp2.counter import EdgeCounter
from uctypes import addressof

import rp2
from micropump.motion import START_DELAY_MS
from micropump.units import CLOCK_MASK, QUANTUM_MS

_TRANSFERS = 6
# 50,000 steps a second are 5,000 in a quantum.
GREATEST_STEPS = 5_000
_WORDS = 2 + 2 * (GREATEST_STEPS // generator.STEPS_PER_WORD + 1)
_PIO0 = 0x50200000
_PIO0_FDEBUG = _PIO0 + 0x08
_PIO0_TXF0 = _PIO0 + 0x10
_PIO0_IRQ = _PIO0 + 0x30
_TX_STALL = 24
_DREQ_PIO0_TX0 = 0
# From the look at the clock to the generator's first tick, rounded up: it may be early, never late.
_TO_FIRST_TICK_US = 100


# Addresses are handed in for the reason that counter.py gives.
@micropython.viper
def _bit(address: uint, number: int) -> int:
    """A bit of a register."""
    register = ptr32(address)
    return (register[0] >> number) & 1


@micropython.viper
def _clear(address: uint, number: int):
    """Clear a bit of a register where one is cleared by writing 1 to it."""
    register = ptr32(address)
    register[0] = 1 << number


class OverfullError(Exception):
    """More steps in a quantum than a transfer holds, or more quanta than transfers."""


class PioStepper:
    """What ``Motion`` asks of a stepper; ``push`` and ``abort`` allocate nothing.

    Args:
        step, direction, enable, interlock: pin numbers; enable is active low, as on the drivers.
        step_count: the pin that is wired to the driver's STEP terminal, for the edge counter.

    """

    def __init__(
        self, step: int, direction: int, enable: int, interlock: int, step_count: int
    ) -> None:
        self._enable = Pin(enable, Pin.OUT, value=1)
        self._direction = Pin(direction, Pin.OUT, value=0)
        self._step = Pin(step, Pin.OUT, value=0)
        self._interlock = Pin(interlock, Pin.IN, Pin.PULL_UP)
        self._machine = rp2.StateMachine(0)
        self._reset_machine()
        self.counter = EdgeCounter(4, Pin(step_count, Pin.IN))
        self._buffers = [array("I", [0] * _WORDS) for _ in range(_TRANSFERS)]
        self._addresses = [addressof(buffer) for buffer in self._buffers]
        self._ends = [0] * _TRANSFERS
        self._transfers = [rp2.DMA() for _ in range(_TRANSFERS)]
        self._last = []
        self._chained = []
        for at in range(_TRANSFERS):
            transfer = self._transfers[at]
            following = self._transfers[(at + 1) % _TRANSFERS].channel
            self._last.append(self._control(transfer, transfer.channel))
            self._chained.append(self._control(transfer, following))
        self._quantum = array("i", [0] * 8)
        self._quantum[6] = QUANTUM_MS * 1000
        self._at = 0
        self._first = True
        self._begun_us = 0
        self.running = False

    def begin(self, start_ms: int, reverse: bool) -> None:
        """Switch the motor on; the first quantum starts ``START_DELAY_MS`` from now.

        Here and nowhere else the direction is set, and the motor is at rest.
        """
        self._stop_transfers()
        self._reset_machine()
        self._direction.value(reverse)
        self.counter.clear()
        self._enable.value(0)
        self._first = True
        self._at = 0
        # The generator's time begins with a pause that ends where the first quantum does.
        self._quantum[7] = -START_DELAY_MS * 1000
        self._begun_us = ((start_ms - START_DELAY_MS) * 1000) & CLOCK_MASK
        _clear(_PIO0_IRQ, generator.PARKED_FLAG)
        self.running = True

    def push(
        self, count: int, first_us: int, interval_us: int, part: int, whole: int, credit: int
    ) -> None:
        """Queue the next 100 ms; see ``Motion`` for the fields."""
        at = self._at
        transfer = self._transfers[at]
        if transfer.active() or count > GREATEST_STEPS:
            if self._parked():
                # It takes no more; the control cycle that plans this is about to find out.
                return
            raise OverfullError
        quantum = self._quantum
        quantum[0] = count
        quantum[1] = first_us
        quantum[2] = interval_us
        quantum[3] = part
        quantum[4] = whole
        quantum[5] = credit
        words = generator.pack(self._buffers[at], quantum)
        address = self._addresses[at]
        transfer.config(
            read=address, write=_PIO0_TXF0, count=words, ctrl=self._last[at], trigger=False
        )
        if self._first:
            self._first = False
            # What has passed meanwhile is taken off, or the core would count steps as made that are
            # still to come.
            passed_us = (time.ticks_us() - self._begun_us) & CLOCK_MASK
            self._buffers[at][0] -= (passed_us + _TO_FIRST_TICK_US) << 6
            transfer.active(1)
            # Not before there are words again: a generator that ran dry at the end of the last
            # infusion is still short of one until then.
            _clear(_PIO0_FDEBUG, _TX_STALL)
            self._machine.active(1)
        else:
            before = self._transfers[at - 1]
            before.ctrl = self._chained[at - 1]
            # If that one ended before it knew what follows, nothing has started this one.
            if (
                before.read == self._ends[at - 1]
                and not transfer.active()
                and transfer.read == address
            ):
                transfer.active(1)
        self._ends[at] = address + 4 * words
        self._at = (at + 1) % _TRANSFERS

    def abort(self, now_ms: int) -> int:
        """Stop within a step, switch the motor off; returns the steps made since ``begin``."""
        self._machine.active(0)
        self._enable.value(1)
        self._stop_transfers()
        self._reset_machine()
        self.running = False
        return self.counter.read()

    def starved(self) -> bool:
        """Whether the generator has run dry since ``begin``."""
        return self.running and bool(_bit(_PIO0_FDEBUG, _TX_STALL))

    def interlock_open(self) -> bool:
        """Whether the interlock is open, its wire broken, or the generator has found it so."""
        return bool(self._interlock.value()) or self._parked()

    def _parked(self) -> bool:
        return self.running and bool(_bit(_PIO0_IRQ, generator.PARKED_FLAG))

    def _reset_machine(self) -> None:
        # init() is the known state: stopped, FIFOs empty, program counter at its start.
        self._machine.init(
            generator.program,
            freq=generator.TICK_HZ,
            set_base=self._step,
            jmp_pin=self._interlock,
        )

    def _stop_transfers(self) -> None:
        for at in range(_TRANSFERS):
            # Unchained first, so that stopping one does not start the next.
            self._transfers[at].ctrl = self._last[at]
        for transfer in self._transfers:
            transfer.active(0)

    @staticmethod
    def _control(transfer, chain_to: int) -> int:
        return transfer.pack_ctrl(
            inc_write=False,
            treq_sel=_DREQ_PIO0_TX0,
            chain_to=chain_to,
            irq_quiet=True,
        )
