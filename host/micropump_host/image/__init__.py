"""Boards as data, and the image for one of them: a UF2 with the firmware frozen in.

``load_board`` reads and checks a board, ``build_image`` builds its image from MicroPython's sources
(a tree that the user names, or Debian's source packages), ``read_uf2`` looks into one;
``docs/image.md`` and ``docs/boards.md`` tell the rest.
"""

from micropump_host.image.board import Board, Part, Pin
from micropump_host.image.boardfile import BoardFileError, load_board
from micropump_host.image.build import BuildError, Built, build_image
from micropump_host.image.sources import SourcesError, Tree, debian_tree, named_tree
from micropump_host.image.uf2 import Uf2, Uf2Error, read_uf2

__all__ = [
    "Board",
    "BoardFileError",
    "BuildError",
    "Built",
    "Part",
    "Pin",
    "SourcesError",
    "Tree",
    "Uf2",
    "Uf2Error",
    "build_image",
    "debian_tree",
    "load_board",
    "named_tree",
    "read_uf2",
]
