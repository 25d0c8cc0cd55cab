"""Decode and re-encode frames with the board's codec; started as ``micropython THIS CORPUS``.

A line of the corpus is a frame without delimiter, in hex; a line of output says what became of it.
The firmware has to be on ``MICROPYPATH`` (CPython: ``PYTHONPATH``).
"""

import sys
from binascii import hexlify, unhexlify

from micropump import wire


def verdict(frame: bytes) -> str:
    """The frame encoded anew, or the error that refuses it."""
    try:
        return "frame " + hexlify(wire.encode(*wire.decode(frame))[:-1]).decode()
    except wire.WireError as error:
        parts = (error.code, error.field, error.value, error.least, error.greatest)
        return "error " + " ".join(str(part) for part in parts)


if __name__ == "__main__":
    with open(sys.argv[1]) as corpus:  # noqa: PTH123 (MicroPython has no pathlib)
        for line in corpus:
            print(verdict(unhexlify(line.strip())))
