"""The loop that the emulator runs in."""

from rp2040py.execute_batch import execute_batch

__all__ = ["execute_batch"]
