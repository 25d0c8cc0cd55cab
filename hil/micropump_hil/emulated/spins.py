"""PIO that waits in a loop is taken to the loop's end at once: the same edges, ten times sooner.

The step generator spends its time in ``jmp(y_dec, "delay")``, a loop of one instruction that
touches nothing but its register. Executed one by one these are a million instructions in each
emulated second. Here the register is set to what it will be at the loop's last turn, and the
machine is next due then. Whoever writes to the machine's registers meanwhile finds it as it would
have been.
"""

from typing import Any

from micropump_hil.emulated.pico import EmulatedPico
from micropump_hil.emulated.pio import NEVER_FP, ExactPio

# JMP with neither delay nor side-set, on a register that is counted down: RP2040 datasheet, 3.4.2.
_JMP_X_DEC = 0x0040
_JMP_Y_DEC = 0x0080
# Registers that do not reach into a machine: FIFOs and flags lie between CTRL and these.
_CTRL = 0x000
_INSTR_MEM0 = 0x048
_SHORTEST = 4


class SpinSkippingPio(ExactPio):
    """A PIO block that skips such loops."""

    # Number of a machine: (which register, due at the last turn in 1/256 of a system cycle).
    spins: dict[int, tuple[str, int]]

    def run_due(self, now_fp: int) -> None:
        """Execute what is due at ``now_fp`` (1/256 of a system cycle), then skip what spins."""
        if self.next_due_fp > now_fp:
            return
        super().run_due(now_fp)
        for number, machine in enumerate(self.machines):
            if machine.enabled and not machine.waiting and machine.next_due_fp > now_fp:
                self._skip(number, machine)
        self.recompute_due()

    def write_uint32(self, offset: int, value: int) -> None:
        """Write a register of the block."""
        if offset == _CTRL or offset >= _INSTR_MEM0:
            self.catch_up()
        super().write_uint32(offset, value)

    def reset(self) -> None:
        """Return the block to its state at power-on."""
        self.spins.clear()
        super().reset()

    def catch_up(self) -> None:
        """Put every machine where it stands at this moment, its due turns done."""
        if not self.spins:
            return
        now_fp = self.cycle_fp
        for number, (register, last_fp) in self.spins.items():
            machine = self.machines[number]
            left_fp = last_fp - now_fp
            if left_fp <= 0:
                continue
            turns = -(-left_fp // machine.div_fp) - 1
            setattr(machine, register, turns)
            machine.next_due_fp = last_fp - turns * machine.div_fp
        self.spins.clear()
        self.recompute_due()

    def _skip(self, number: int, machine: Any) -> None:
        pc = machine.pc
        instruction = self.instructions[pc]
        if instruction == _JMP_Y_DEC | pc:
            register = "y"
        elif instruction == _JMP_X_DEC | pc:
            register = "x"
        else:
            return
        turns = getattr(machine, register)
        if turns < _SHORTEST:
            return
        last_fp = machine.next_due_fp + turns * machine.div_fp
        if last_fp >= NEVER_FP:
            return
        setattr(machine, register, 0)
        machine.next_due_fp = last_fp
        self.spins[number] = (register, last_fp)


def skip_spins(pico: EmulatedPico) -> None:
    """Have both PIO blocks of ``pico``, which is not switched on yet, skip such loops."""
    for block in pico.mcu.pio:
        block.__class__ = SpinSkippingPio
        block.spins = {}
