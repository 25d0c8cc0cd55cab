"""A board's data as tables in Markdown, for ``docs/boards.md``."""

from collections.abc import Iterable, Sequence

from micropump_host.image.board import Board, Pin
from micropump_host.image.chip import header_pin


def pins_table(board: Board) -> str:
    """What each GPIO is wired to, in the order of the GPIOs.

    Args:
        board: read and checked.

    """
    return _table(
        ("GPIO", "pin", "function", "direction", "active", "held by", "wired to"),
        (_pin_row(pin) for pin in sorted(board.pins, key=lambda pin: pin.gpio)),
    )


def parts_table(board: Board) -> str:
    """The bill of materials, with a sum with and without the optional parts, in US dollars.

    Args:
        board: read and checked.

    """
    rows = [
        (
            part.role.replace("_", " ") + (" (optional)" if part.optional else ""),
            f"{part.name}. {part.note}" if part.note else part.name,
            part.part_number,
            str(part.quantity),
            f"{part.price_usd:.2f}",
            part.source,
        )
        for part in board.parts
    ]
    rows.append(("**needed**", "", "", "", f"**{parts_price_usd(board, False):.2f}**", ""))
    rows.append(("**with all options**", "", "", "", f"**{parts_price_usd(board, True):.2f}**", ""))
    return _table(("role", "part", "part number", "pieces", "USD each", "source"), rows)


def parts_price_usd(board: Board, with_options: bool) -> float:
    """Approximate price of a board's parts in US dollars.

    Args:
        board: read and checked.
        with_options: whether to count the optional parts too.

    """
    return sum(
        part.quantity * part.price_usd for part in board.parts if with_options or not part.optional
    )


def sources_table(board: Board) -> str:
    """What the keys of the bill of materials' sources stand for.

    Args:
        board: read and checked.

    """
    return _table(("key", "source"), board.sources.items())


def boards_table(boards: Iterable[Board]) -> str:
    """The boards beside each other.

    Args:
        boards: read and checked.

    """
    return _table(
        ("board", "name", "chip", "image", "run"),
        (
            (f"`{board.board_id}`", board.name, board.carrier.chip, board.image, board.runs)
            for board in boards
        ),
    )


def _pin_row(pin: Pin) -> tuple[str, ...]:
    plain = pin.direction == "analog" or pin.function.startswith(("i2c_", "driver_tx", "driver_rx"))
    held = [f"pull-{pin.pull} in the chip"] if pin.pull != "none" else []
    if pin.external_pull != "none":
        held.append(f"{pin.external_pull_ohm:,} Ω {pin.external_pull}")
    series = f", through {pin.series_ohm:,} Ω" if pin.series_ohm else ""
    return (
        str(pin.gpio),
        str(header_pin(pin.gpio)),
        f"`{pin.function}`",
        pin.direction,
        "" if plain else ("low", "high")[pin.active_level],
        ", ".join(held),
        f"{pin.to_role.replace('_', ' ')}, {pin.to_terminal}{series}",
    )


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)
