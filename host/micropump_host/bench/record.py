"""What the virtual bench writes down of an infusion: a CSV that ``micropump accuracy`` reads."""

from pathlib import Path
from typing import TextIO

from micropump.mechanism import Mechanism
from micropump_host.bench.world import Sample
from micropump_host.errors import MicropumpError

HEADER = "t_s,mass_g,pressure_pa,steps"


class RecordError(MicropumpError):
    """The record of an infusion cannot be written."""


class CsvRecorder:
    """Writes ``samples.csv``, ``samples-2.csv`` … into a folder, one for each infusion.

    Every line is on disk as soon as it is known, so a bench that is ended loses nothing.

    Args:
        folder: made if it is not there.
        description: goes into the file as a comment.

    Raises RecordError if the folder or a file in it cannot be written; a file of an earlier bench
    is overwritten.

    """

    def __init__(self, folder: Path, description: str) -> None:
        self._folder = folder
        self._description = description
        self._count = 0
        self._file: TextIO | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _not_writable(folder, error) from None

    def begin(self, mechanism: Mechanism) -> None:
        """Open the next file."""
        self._count += 1
        name = "samples.csv" if self._count == 1 else f"samples-{self._count}.csv"
        path = self._folder / name
        try:
            self._file = path.open("w", encoding="utf-8", buffering=1)
        except OSError as error:
            raise _not_writable(path, error) from None
        self._file.write(f"# {self._description}, {mechanism.item_id} on {mechanism.drive_id}\n")
        self._file.write(HEADER + "\n")

    def sample(self, sample: Sample) -> None:
        """Write a line."""
        if self._file is not None:
            self._file.write(
                f"{sample.t_s:.3f},{sample.mass_g:.6f},{sample.pressure_pa:.1f},{sample.steps}\n"
            )

    def end(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _not_writable(path: Path, error: OSError) -> RecordError:
    return RecordError(
        f"the record cannot be written ({error.strerror})", str(path), "Choose another folder."
    )


class ListRecorder:
    """Keeps the samples of the last infusion in memory.

    Attributes:
        samples: oldest first.

    """

    def __init__(self) -> None:
        self.samples: list[Sample] = []

    def begin(self, mechanism: Mechanism) -> None:
        """Start anew."""
        self.samples = []

    def sample(self, sample: Sample) -> None:
        """Keep a sample."""
        self.samples.append(sample)

    def end(self) -> None:
        """Nothing to close."""
