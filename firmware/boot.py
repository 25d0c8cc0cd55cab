"""The first act of the pump: the motor off, whatever comes after."""

import micropump_board as board
from machine import Pin

Pin(board.ENABLE_GPIO, Pin.OUT, value=1 - board.ENABLE_ACTIVE_LEVEL)
Pin(board.STEP_GPIO, Pin.OUT, value=0)
