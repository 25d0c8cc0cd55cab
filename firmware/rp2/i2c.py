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
# A bus that hangs is set free and tried again every so many looks.
_LOOKS_APART = 10


class I2cBus:
    """A bus and what is on it, one device after the other.

    Args:
        number: which of the two blocks.
        sda, scl: GPIO numbers.
        devices: each has ``address``, ``answer_bytes``, ``question`` (the words of its next
            transaction, an ``array("H")``), ``take(answer)`` and ``lost()``.

    """

    def __init__(self, number: int, sda: int, scl: int, devices) -> None:
        self._number = number
        self._registers = registers.I2C[number]
        self._sda = Pin(sda)
        self._scl = Pin(scl)
        self._devices = devices
        self._at = 0
        self._device = None
        self._looks_to_go = 0
        self._answer = bytearray(16)
        self._free()

    def look(self, _now_ms: int) -> None:
        """Hear the device that was asked in the last look, ask the next."""
        device = self._device
        if device is not None:
            heard = registers.i2c_take(self._registers, self._answer, device.answer_bytes)
            if heard == registers.TAKEN:
                device.take(self._answer)
            else:
                device.lost()
                if heard == registers.WAITING:
                    # No transaction takes so long: a line is held down.
                    self._device = None
                    self._looks_to_go = _LOOKS_APART
                    return
        elif self._looks_to_go:
            self._looks_to_go -= 1
            self._devices[self._at].lost()
            self._next()
            if self._looks_to_go == 0:
                self._free()
            return
        self._device = device = self._devices[self._at]
        self._next()
        question = device.question
        registers.i2c_send(self._registers, device.address, question, len(question))

    def _next(self) -> None:
        self._at = self._at + 1 if self._at + 1 < len(self._devices) else 0

    def _free(self) -> None:
        """Clock out whoever holds the data line, and set the block up anew."""
        scl = self._scl
        self._sda.init(Pin.OPEN_DRAIN, value=1)
        scl.init(Pin.OPEN_DRAIN, value=1)
        for _ in range(_CLOCKS_TO_LET_GO):
            scl.value(0)
            scl.value(1)
        I2C(self._number, scl=scl, sda=self._sda, freq=BUS_HZ)
