"""An independent count of the edges on STEP, on the other PIO block.

Nothing that plans or makes the steps takes part in it: it looks at a pin of its own, which is wired
to the driver's STEP terminal, so that a broken wire or a dead pin shows too.
"""

import rp2
from micropump.units import CLOCK_MASK

# Twice the generator's clock, so that no pulse of two of its ticks can be missed.
CLOCK_HZ = 2_000_000

# Encoded, since assembling takes milliseconds: mov(x, invert(null)); mov(isr, x); push(noblock).
_X_ALL_ONES = 0xA02B
_ISR_FROM_X = 0xA0C1
_PUSH = 0x8000


@rp2.asm_pio()
def program():
    """Count X down by one at each rising edge."""
    label("low")
    wait(0, pin, 0)
    wait(1, pin, 0)
    jmp(x_dec, "low")


# Addresses and masks are handed in: MicroPython's freezer puts native code on any even address, and
# on an RP2040 a constant of more than 16 bits is only read right where that is a multiple of four.
@micropython.viper
def _fifo(address: uint, mask: int) -> int:
    """The next word of a receive FIFO, inverted and masked: steps since X was all ones."""
    fifo = ptr32(address)
    return (fifo[0] ^ -1) & mask


class EdgeCounter:
    """Counts rising edges of a pin from ``clear`` on, modulo 2**30.

    Args:
        machine_number: state machine 4 … 7, of the second PIO block.
        pin: what is counted; an input.

    """

    def __init__(self, machine_number: int, pin) -> None:
        self._machine = rp2.StateMachine(machine_number, program, freq=CLOCK_HZ, in_base=pin)
        block = 0x50200000 + 0x100000 * (machine_number // 4)
        self._fifo_address = block + 0x20 + 4 * (machine_number % 4)
        self.clear()
        self._machine.active(1)

    def clear(self) -> None:
        """Begin to count at zero."""
        self._machine.exec(_X_ALL_ONES)

    def read(self) -> int:
        """Edges since ``clear``."""
        self._machine.exec(_ISR_FROM_X)
        self._machine.exec(_PUSH)
        return _fifo(self._fifo_address, CLOCK_MASK)
