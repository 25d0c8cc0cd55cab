"""PIO blocks that execute every instruction in its own system cycle.

The stock emulator advances PIO by at most one instruction for each instruction of the CPU, and
drops what that cannot deliver, so that a sleeping CPU stops the state machines. Here PIO has an
alarm of its own on the emulated clock: whenever a state machine is due, time stops there, be the
CPU awake or asleep. Among things due in the same cycle, other alarms come first, then PIO0, then
PIO1, so that a run does not depend on who armed what when.

Also put right: a joined FIFO holds 8 words and the other one none, both are emptied when the join
changes (RP2040 datasheet, SHIFTCTRL); a disabled machine that is stalled on a FIFO stays stalled
until it is enabled; and pins set by an instruction that the CPU forces in are seen at once.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

from rp2040py.irq import IRQ
from rp2040py.native._pio import RPPIO
from rp2040py.native._simulation_clock import SimulationClock
from rp2040py.rp2040 import RP2040
from rp2040py.utils.fifo import FIFO

from micropump_hil.emulated.clock import CYCLE_NS, GridClock

# The emulator counts in 1/256 of a system cycle, so that a fractional divider stays exact.
FP_PER_CYCLE = 256
FP_PER_NS = FP_PER_CYCLE // CYCLE_NS
NEVER_FP = 1 << 61
FIFO_WORDS = 4

_CTRL = 0x000
_TXF_FIRST = 0x010
_RXF_FIRST = 0x020
_SHIFTCTRL_FIRST = 0x0D0
_SHIFTCTRL_STRIDE = 0x18
_JOIN_TX = 1 << 30
_JOIN_RX = 1 << 31
_JOIN = _JOIN_TX | _JOIN_RX
_BASES = (0x50200, 0x50300)
_FIRST_IRQS = (IRQ.PIO0_IRQ0, IRQ.PIO1_IRQ0)


class PioPacer:
    """Runs both PIO blocks, each state machine in the cycle in which it is due."""

    def __init__(self, clock: GridClock, blocks: "list[ExactPio]") -> None:
        self._clock = clock
        self._blocks = blocks
        self._alarm = clock.create_alarm(self._fire)
        self._armed_ns = -1
        self._firing = False

    def arm(self) -> None:
        """See to it that time stops where the next state machine is due."""
        if self._firing:
            return
        due_fp = min(block.next_due_fp for block in self._blocks)
        if due_fp >= NEVER_FP:
            if self._armed_ns >= 0:
                self._alarm.cancel()
                self._armed_ns = -1
            return
        now_ns = int(self._clock.nanos)
        due_ns = max(now_ns, -(-due_fp // FP_PER_CYCLE) * CYCLE_NS)
        if due_ns != self._armed_ns:
            self._link(now_ns, due_ns)

    def _link(self, now_ns: int, due_ns: int) -> None:
        if self._armed_ns >= 0:
            self._alarm.cancel()
        self._armed_ns = due_ns
        # Already on the grid: past GridClock's rounding, which costs as much as the rest.
        SimulationClock.link_alarm(self._clock, due_ns - now_ns, self._alarm)

    def _fire(self) -> None:
        self._armed_ns = -1
        clock = self._clock
        now_ns = int(clock.nanos)
        if clock.has_scheduled_alarm and clock.nanos_to_next_alarm <= 0:
            self._link(now_ns, now_ns)
            return
        self._firing = True
        try:
            for block in self._blocks:
                block.run_due(now_ns * FP_PER_NS)
        finally:
            self._firing = False
        self.arm()


class ExactPio(RPPIO):
    """A PIO block that a pacer runs."""

    pacer: PioPacer | None = None

    @property
    def cycle_fp(self) -> int:  # type: ignore[override]
        """The present time, 1/256 of a system cycle; the block's own count is not kept up."""
        return int(self.rp2040.clock.nanos) * FP_PER_NS

    def run_due(self, now_fp: int) -> None:
        """Execute what is due at ``now_fp`` (1/256 of a system cycle)."""
        if self.next_due_fp <= now_fp:
            _set_own_count(self, now_fp)
            RPPIO.advance(self, 0)

    def recompute_due(self) -> None:
        """Find the earliest machine anew, and pace it."""
        RPPIO.recompute_due(self)
        if self.pacer is not None:
            self.pacer.arm()

    def notify_due(self, due_fp: int) -> None:
        """Take note that a machine is due at ``due_fp`` (1/256 of a system cycle)."""
        RPPIO.notify_due(self, due_fp)
        if self.pacer is not None:
            self.pacer.arm()

    def read_uint32(self, offset: int) -> int:
        """Read a register of the block."""
        with self._stalled(offset - _RXF_FIRST):
            return RPPIO.read_uint32(self, offset)

    def write_uint32(self, offset: int, value: int) -> None:
        """Write a register of the block."""
        _set_own_count(self, self.cycle_fp)
        index, odd = divmod(offset - _SHIFTCTRL_FIRST, _SHIFTCTRL_STRIDE)
        joins = odd == 0 and 0 <= index < len(self.machines)
        before = self.machines[index].shift_ctrl if joins else 0
        with self._stalled(offset - _TXF_FIRST):
            RPPIO.write_uint32(self, offset, value)
        if joins and (before ^ value) & _JOIN:
            self._join(self.machines[index], value)
        if offset == _CTRL:
            self._resume()
        # The stock loop leaves a block alone that says it is stopped; the pacer runs it.
        self.stopped = True
        self.check_changed_pins()
        if self.pacer is not None:
            self.pacer.arm()

    @contextlib.contextmanager
    def _stalled(self, fifo_offset: int) -> Iterator[None]:
        """Keep a disabled machine from going on when one of its FIFOs is reached.

        ``fifo_offset`` is that of the FIFO from the first one, bytes; any other does nothing.
        """
        index, odd = divmod(fifo_offset, 4)
        machine = self.machines[index] if not odd and 0 <= index < len(self.machines) else None
        if machine is None or machine.enabled or not machine.waiting:
            yield
            return
        machine.waiting = False
        yield
        machine.waiting = True

    def _resume(self) -> None:
        """Let machines go on that have been enabled while what they waited for was there."""
        for machine in self.machines:
            if machine.enabled and machine.waiting:
                machine.check_wait()

    def reset(self) -> None:
        """Return the block to its state at power-on."""
        RPPIO.reset(self)
        for machine in self.machines:
            self._join(machine, 0)
        if self.pacer is not None:
            self.pacer.arm()

    def _join(self, machine: Any, shift_ctrl: int) -> None:
        machine.tx_fifo = FIFO(_depth(shift_ctrl & _JOIN_TX, shift_ctrl & _JOIN_RX))
        machine.rx_fifo = FIFO(_depth(shift_ctrl & _JOIN_RX, shift_ctrl & _JOIN_TX))
        dma = self.rp2040.dma
        (dma.clear_dreq if machine.tx_fifo.full else dma.set_dreq)(machine.dreq_tx)
        dma.clear_dreq(machine.dreq_rx)
        self.check_interrupts()


def install(mcu: RP2040, clock: GridClock) -> PioPacer:
    """Replace the PIO blocks of ``mcu``, which has not been started, by exact ones."""
    blocks = [ExactPio(mcu, f"PIO{index}", irq, index) for index, irq in enumerate(_FIRST_IRQS)]
    pacer = PioPacer(clock, blocks)
    for block, base in zip(blocks, _BASES, strict=True):
        block.pacer = pacer
        mcu.pio[block.index] = block
        mcu.peripherals[base] = block
    return pacer


_OWN_COUNT: Any = RPPIO.__dict__["cycle_fp"]


def _set_own_count(block: RPPIO, count_fp: int) -> None:
    _OWN_COUNT.__set__(block, count_fp)


def _depth(joined: int, other_joined: int) -> int:
    if joined and not other_joined:
        return 2 * FIFO_WORDS
    return 0 if other_joined else FIFO_WORDS
