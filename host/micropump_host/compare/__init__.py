"""One order, several devices: what each delivers against what was meant.

Import from the modules: ``intent`` (what was meant), ``delivery`` (what a device delivers),
``judge`` (the figures) and ``plots``. This package itself imports nothing, so that a command line
without numpy can still print its help.
"""
