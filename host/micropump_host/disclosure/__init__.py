"""Runs that are closed at the end of their line, for the disclosure of ``accuracy.occlusion``.

``closed`` has plant and detectors without firmware, as fast as the plant goes: times, pressures and
what comes out of a line that is left as it is. ``relief`` has the whole pump, with its back-off.
Import from the modules: this package itself imports nothing, so that a command line without numpy
can still print its help.
"""
