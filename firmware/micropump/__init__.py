"""The portable core of the pump: integers only; imports no hardware, no clock, no file.

It runs unchanged on CPython, on the MicroPython unix port and on the board. Time is handed in,
steps are handed out; see ``docs/architecture.md``. A bench and development device, never for
patients.
"""

VERSION = "0.1.0"
