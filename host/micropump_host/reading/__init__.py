"""What order files and drug libraries have in common: figures with units, TOML with its lines.

``quantity`` reads a figure exactly, ``dosage`` doses and concentrations, ``tables`` the keys of a
file; all that is wrong with a file is kept, with its place and what to do, in ``problems``.
"""
