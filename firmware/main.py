"""The pump's main program; however it ends, the motor is off and the board starts anew."""

import micropython

# 0x03 is a byte of the protocol, not an interrupt: before anything can be received.
micropython.kbd_intr(-1)

import machine  # noqa: E402
from micropump_rp2 import pump, reset, signaller  # noqa: E402

if reset.into_maintenance():
    # Until the next reset: motor off (boot.py), no watchdog, the interpreter's prompt.
    reset.forget()
    micropython.kbd_intr(3)
    print("Micropump is in maintenance: the motor is off; reset to leave it.")
else:
    try:
        if reset.cause() == reset.WATCHDOG:
            # Before anything that may be what let it come to that.
            signaller.alarm()
        pump.run()
    finally:
        pump.make_safe()
        # Not marked as on purpose: to what comes after it is the watchdog's.
        machine.reset()
