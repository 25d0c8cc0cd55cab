"""The step generator: a PIO program, and the words that make it produce given edges exactly.

The program takes bounded words and stops by itself when there are no more: STEP low, waiting. Its
own cycles are in the arithmetic, so that a joint between two words costs nothing. One tick is a
microsecond (1 MHz).

Two kinds of words, read from the low bit up:

* steps: count - 1 (5 bits), 1, delay (26 bits); then a word of extra ticks, one bit a step;
* a pause: 5 bits unused, 0, delay (26 bits).

From the joint (the first ``pull``) of a word to its first edge are ``FIRST_TICKS + delay + extra``
ticks, from one edge to the next ``STEP_TICKS + delay + extra``, from the last edge to the next
joint ``TAIL_TICKS``; a pause takes ``PAUSE_TICKS + delay``. Before each edge the interlock is
looked at: high is open (a broken wire reads as open), and the program parks with STEP low until it
is reset, and sets ``PARKED_FLAG``.
"""

import rp2

TICK_HZ = 1_000_000
FIRST_TICKS = 12
STEP_TICKS = 16
TAIL_TICKS = 4
PAUSE_TICKS = 7
STEPS_PER_WORD = 32
# A pause ends so long before its quantum does that an edge at the quantum's very start can be made.
SLACK_TICKS = 64
# Of the block's flags, the one that a parked program sets; of those that interrupt nobody.
PARKED_FLAG = 4


@rp2.asm_pio(
    set_init=rp2.PIO.OUT_LOW,
    out_shiftdir=rp2.PIO.SHIFT_RIGHT,
    fifo_join=rp2.PIO.JOIN_TX,
)
def program():
    """The generator; see the module's text."""
    wrap_target()
    label("joint")
    pull(block)
    out(x, 5)
    out(y, 1)
    jmp(not_y, "pause")
    out(isr, 26)
    pull(block)
    jmp("step")
    label("again")
    nop()[6]
    label("step")
    mov(y, isr)
    label("delay")
    jmp(y_dec, "delay")
    out(y, 1)
    jmp(not_y, "fire")
    nop()
    label("fire")
    jmp(pin, "park")
    set(pins, 1)[1]
    set(pins, 0)
    jmp(x_dec, "again")
    wrap()
    label("pause")
    out(y, 26)
    label("wait")
    jmp(y_dec, "wait")
    jmp("joint")
    label("park")
    irq(4)
    jmp("park")


@micropython.viper
def pack(words: ptr32, quantum: ptr32) -> int:
    """Write the words of one quantum; returns how many.

    ``quantum`` holds count, first_us, interval_us, part, whole, credit (see ``motion.edges_us``),
    the length of the quantum in ticks, and the joint: where the last word ended, in ticks after the
    quantum's start; it is brought up to the start of the next.
    """
    count = quantum[0]
    joint = quantum[7]
    length = quantum[6]
    if count == 0:
        words[0] = (length - int(SLACK_TICKS) - joint - int(PAUSE_TICKS)) << 6
        quantum[7] = 0 - int(SLACK_TICKS)
        return 1
    edge = quantum[1]
    words[0] = ((edge - joint - int(FIRST_TICKS)) << 6) | 32
    words[1] = 0
    at = 2
    interval = quantum[2]
    part = quantum[3]
    whole = quantum[4]
    credit = quantum[5]
    left = count - 1
    while left > 0:
        size = left if left < 32 else 32
        left -= size
        extra = 0
        bit = 1
        steps = size
        while steps:
            steps -= 1
            edge += interval
            if part > credit:
                edge += 1
                extra |= bit
                credit += whole
            credit -= part
            bit <<= 1
        # Between words the joint takes part of the interval; the program makes both ways equal.
        words[at] = ((interval - int(STEP_TICKS)) << 6) | 32 | (size - 1)
        words[at + 1] = extra
        at += 2
    quantum[7] = edge + int(TAIL_TICKS) - length
    return at
