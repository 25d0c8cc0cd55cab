"""The host side of Micropump: client, command line, orders, accuracy and the virtual bench.

A bench and development device, never for patients.
"""
