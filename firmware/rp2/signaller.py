"""Plays alarm signals with no processor: PIO makes tone and flashes, two DMA channels repeat.

The processor only says which signal it is to be. From then on one DMA channel feeds a burst's table
to a state machine, and the other one starts the first again at the table's end, for ever: with
interrupts off, or the processor dead, the alarm goes on until the watchdog resets the chip, which
ends it. That is the contrary of the motor's transfers, which must run out, and shares nothing with
them: state machines 5 and 6 are in the edge counter's block, which has 8 instructions left then.
"""

from array import array

import micropump_board as board
from machine import Pin
from uctypes import addressof

import rp2
from micropump import signals

TICK_HZ = 1_000_000
_SOUND_MACHINE = 5
_LIGHT_MACHINE = 6
_SOUND_FIFO = 0x50300000 + 0x14
_DREQ_SOUND = 9
_DMA = 0x50000000
# Of a channel's registers, the one that sets where it reads from and starts it.
_READ_AND_START = 0x3C
_AT_ONCE = 0x3F

# Ticks of the programs beside what they count.
_ON_TICKS = 2
_OFF_TICKS = 6
_JOINT_TICKS = 4
_FLASH_TICKS = 3


@rp2.asm_pio(set_init=rp2.PIO.OUT_LOW, out_shiftdir=rp2.PIO.SHIFT_RIGHT)
def sound_program():
    """Pairs of words: periods - 1 (8 bits) and on (24 bits, 0 for silence); then off.

    On lasts two ticks more than it says, off six, and the last off of a pair four more.
    """
    wrap_target()
    pull(block)
    out(x, 8)
    out(isr, 24)
    pull(block)
    label("period")
    mov(y, isr)
    jmp(not_y, "quiet")
    set(pins, 1)
    label("on")
    jmp(y_dec, "on")
    label("quiet")
    set(pins, 0)
    mov(y, osr)
    label("off")
    jmp(y_dec, "off")
    jmp(x_dec, "period")
    wrap()


@rp2.asm_pio(set_init=rp2.PIO.OUT_LOW)
def light_program():
    """Two words, on and off, each three ticks short; then it needs nothing any more."""
    pull(block)
    mov(isr, osr)
    pull(block)
    wrap_target()
    mov(y, isr)
    set(pins, 1)
    label("on")
    jmp(y_dec, "on")
    mov(y, osr)
    set(pins, 0)
    label("off")
    jmp(y_dec, "off")
    wrap()


class Signaller:
    """The buzzer, and the red and the yellow light.

    Attributes:
        sounding: the priority whose bursts are played, ``signals.SILENT`` for none.
        shown: the priority whose light is on.

    """

    def __init__(self) -> None:
        self._buzzer = Pin(board.BUZZER_GPIO, Pin.OUT, value=0)
        yellow = Pin(board.YELLOW_LIGHT_GPIO, Pin.OUT, value=0)
        red = Pin(board.RED_LIGHT_GPIO, Pin.OUT, value=0)
        self._colours = (None, yellow, red)
        self._tables = [packed(signals.table(at)) for at in range(len(signals.NAMES))]
        self._addresses = [addressof(table) for table in self._tables]
        self._change = packed([(1, 0, signals.CHANGE_US)])
        # What the second channel writes into the first: where it begins again.
        self._again = array("I", [0])
        self._feed = rp2.DMA()
        self._repeat = rp2.DMA()
        self._alone = self._feed.pack_ctrl(
            inc_write=False, treq_sel=_DREQ_SOUND, chain_to=self._feed.channel, irq_quiet=True
        )
        self._endless = self._feed.pack_ctrl(
            inc_write=False, treq_sel=_DREQ_SOUND, chain_to=self._repeat.channel, irq_quiet=True
        )
        self._repeating = self._repeat.pack_ctrl(
            inc_read=False, inc_write=False, treq_sel=_AT_ONCE,
            chain_to=self._repeat.channel, irq_quiet=True,
        )  # fmt: skip
        self._sound = rp2.StateMachine(_SOUND_MACHINE)
        self._light = rp2.StateMachine(_LIGHT_MACHINE)
        self.sounding = signals.SILENT
        self.shown = signals.SILENT

    def sound(self, priority: int, after_interval: bool = False) -> None:
        """Play the bursts of ``priority`` from now on, the first at once or after an interval.

        Where another burst may be cut short, at once is ``signals.CHANGE_US`` from now.
        """
        silence = self._change if self.sounding else None
        self._be_silent()
        self.sounding = priority
        if priority == signals.SILENT:
            return
        table = self._tables[priority]
        self._again[0] = self._addresses[priority]
        self._repeat.config(
            read=addressof(self._again),
            write=_DMA + 0x40 * self._feed.channel + _READ_AND_START,
            count=1,
            ctrl=self._repeating,
            trigger=False,
        )
        self._feed.config(
            read=self._again[0],
            write=_SOUND_FIFO,
            count=len(table),
            ctrl=self._endless,
            trigger=False,
        )
        if after_interval:
            silence = table[-2:]
        if silence:
            self._sound.put(silence[0])
            self._sound.put(silence[1])
        self._feed.active(1)
        self._sound.active(1)

    def light(self, priority: int) -> None:
        """Show the light of ``priority`` from now on."""
        self._light.active(0)
        for pin in self._colours:
            if pin:
                pin.init(Pin.OUT, value=0)
        self.shown = priority
        colour, on_ms, off_ms = signals.LIGHTS[priority]
        pin = self._colours[colour]
        if not pin:
            return
        if not off_ms:
            pin.value(1)
            return
        self._light.init(light_program, freq=TICK_HZ, set_base=pin)
        self._light.put(1000 * on_ms - _FLASH_TICKS)
        self._light.put(1000 * off_ms - _FLASH_TICKS)
        self._light.active(1)

    def _be_silent(self) -> None:
        self._sound.active(0)
        # Unchained first, so that stopping one does not start the other.
        self._feed.ctrl = self._alone
        self._repeat.active(0)
        self._feed.active(0)
        # Buzzer low, FIFO empty, program counter at its start.
        self._sound.init(sound_program, freq=TICK_HZ, set_base=self._buzzer)


def packed(rows: list) -> array:
    """The words of ``signals.table``'s rows; each row begins when it would without any joints."""
    words = []
    late = 0
    for times, on_us, off_us in rows:
        late += _JOINT_TICKS
        if on_us:
            words.append((times - 1) | (on_us - _ON_TICKS) << 8)
        else:
            words.append(0)
            off_us -= late
            late = 0
        words.append(off_us - _OFF_TICKS)
    return array("I", words)


_shared = []


def shared() -> Signaller:
    """The board's one signaller, made when it is first asked for."""
    if not _shared:
        _shared.append(Signaller())
    return _shared[0]


def alarm() -> None:
    """Sound and show high priority at once: what comes after a reset that nobody wanted."""
    shared().light(signals.HIGH)
    shared().sound(signals.HIGH)
