"""What the benches without hardware have fitted: the sensors of ``boards/pico``, and a syringe."""

import functools
from collections.abc import Iterable
from pathlib import Path

from micropump.catalogue import SYRINGES
from micropump.mechanism import outer_um
from micropump_hil.benches.bench import BenchBrokenError
from micropump_hil.sensors import GPIO, Row
from micropump_host.image import load_board

BOARD_FILE = Path("boards") / "pico" / "board.toml"


@functools.cache
def sensor_rows() -> tuple[Row, ...]:
    """``SENSORS`` of the board's module, as the image has it."""
    return tuple(sensor.row for sensor in load_board(board_file().parent).sensors)


def board_file() -> Path:
    """The board's file, of the checkout that this runs in; BenchBrokenError without one."""
    for folder in (Path.cwd(), *Path(__file__).resolve().parents):
        if (folder / BOARD_FILE).is_file():
            return folder / BOARD_FILE
    raise BenchBrokenError(
        "there is no board file", str(BOARD_FILE), "Run the suites in a checkout of Micropump."
    )


def rows_with(rows: Iterable[Row], added: Row) -> list[Row]:
    """The rows with one more, in the order of the numbers, without what has its pin."""
    return sorted([*(row for row in rows if row[GPIO] != added[GPIO]), added])


def barrel_um(item_id: str) -> int:
    """The outer diameter of a syringe's barrel, µm; 0 for what is none."""
    row = next((row for row in SYRINGES if row[0] == item_id), None)
    return outer_um(row[4]) if row else 0
