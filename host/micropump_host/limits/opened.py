"""A drug library opened twice: by the core, to be looked up in, and as a person wrote it."""

from dataclasses import dataclass
from pathlib import Path

from micropump import library as board
from micropump_host.errors import MicropumpError
from micropump_host.library import Library, load_library
from micropump_host.library.image import build_image, open_image, read_image


@dataclass(frozen=True)
class OpenedLibrary:
    """A drug library.

    Attributes:
        board: as the pump reads it; every look-up and every limit is of this.
        written: the same for people: names, and limits in the units they were written in.
        where: its folder or file.

    """

    board: board.Library
    written: Library
    where: str


def open_library(path: str | Path) -> OpenedLibrary:
    """Open a library's folder, by making an image of it, or an image.

    An image's signature is not looked at: that takes the key, and is the pump's to do.

    Raises:
        LibraryError: with all that is wrong with a folder.
        CompileError: if a folder does not fit into an image.
        ImageRefusedError: if an image is damaged.
        MicropumpError: if there is nothing to read.

    """
    where = str(path)
    if Path(path).is_dir():
        written = load_library(Path(path))
        return OpenedLibrary(open_image(build_image(written, None), None, where), written, where)
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        what = f"cannot read the library ({error.strerror})"
        raise MicropumpError(what, where, "Check the path") from None
    return OpenedLibrary(open_image(data, None, where), read_image(data, where), where)
