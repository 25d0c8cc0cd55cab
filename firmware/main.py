"""The pump's main program; however it ends, the motor is off and the board starts anew."""

import micropython

# 0x03 is a byte of the protocol, not an interrupt: before anything can be received.
micropython.kbd_intr(-1)

from micropump_rp2 import pump, reset  # noqa: E402

try:
    pump.run()
finally:
    pump.make_safe()
    reset.reset()
