"""Sensors on I2C, in the background: in one turn of the loop they are asked, in the next heard.

MicroPython's own ``machine.I2C`` waits for the bus, up to its time-out where that hangs, and
allocates where nobody answers. Here the words of a whole transaction go into the block's FIFO, and
whatever becomes of it is seen at the next look: nothing waits, whatever the bus does.
"""

from machine import I2C, Pin
from micropump_rp2 import registers

BUS_HZ = 400_000
# A device in the middle of a byte lets go of the data line within so many clocks.
_CLOCKS_TO_LET_GO = 9


class I2cBus:
    """A bus and what is on it, one device after the other.

    Args:
        number: which of the two blocks.
        sda, scl: GPIO numbers.
        devices: each has ``address``, ``answer_bytes``, ``question`` (the words of its next
            transaction, an ``array("H")``), ``take(answer, asked_ms)`` and ``lost()``.
        looks_apart: in every so manieth look one of them is asked.

    """

    def __init__(self, number: int, sda: int, scl: int, devices, looks_apart: int) -> None:
        self._number = number
        self._registers = registers.I2C[number]
        self._sda = Pin(sda)
        self._scl = Pin(scl)
        self._scl_mask = 1 << scl
        self._devices = devices
        self._looks_between = looks_apart - 1
        self._looks_to_go = 0
        self._at = 0
        self._asked = None
        self._asked_ms = 0
        self._answer = bytearray(16)
        self._free()

    def look(self, now_ms: int) -> None:
        """Hear the device that was asked in the last look, or ask the next if it is time."""
        device = self._asked
        if device is not None:
            self._asked = None
            heard = registers.i2c_take(self._registers, self._answer, device.answer_bytes)
            if heard == registers.TAKEN:
                device.take(self._answer, self._asked_ms)
            else:
                device.lost()
                if heard == registers.WAITING:
                    # No transaction takes so long: a line is held down.
                    self._free()
        if self._looks_to_go:
            self._looks_to_go -= 1
            return
        self._looks_to_go = self._looks_between
        at = self._at
        self._at = at + 1 if at + 1 < len(self._devices) else 0
        self._asked = device = self._devices[at]
        self._asked_ms = now_ms
        question = device.question
        registers.i2c_send(self._registers, device.address, question, len(question))

    def _free(self) -> None:
        """Clock out whoever holds the data line, and set the block up anew."""
        self._scl.init(Pin.IN, Pin.PULL_UP)
        registers.pull_down(registers.SIO, self._scl_mask, _CLOCKS_TO_LET_GO)
        I2C(self._number, scl=self._scl, sda=self._sda, freq=BUS_HZ)
