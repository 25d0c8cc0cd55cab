"""The core on an RP2040: PIO stepping, an independent edge counter, USB, pins and the watchdog.

Frozen into the image as ``micropump_rp2``.
"""
