"""The core on a computer: a stepper without a motor, and time that is handed in.

It runs on CPython and on the MicroPython unix port, from the same files, and is to the virtual
bench what ``firmware/rp2`` is to the board: the adapters.
"""
