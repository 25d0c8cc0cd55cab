"""What a pump wants to have confirmed again: beyond a soft limit, or outside the library."""

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence

from rich.markup import escape

from micropump import prescription
from micropump_host.cli.common import can_ask, confirmed, remarks
from micropump_host.client import OUTSIDE, STANDINGS, Accepted, PumpRefusedError
from micropump_host.client.answers import override_names
from micropump_host.library.changes import KIND_NAMES
from micropump_host.limits import concentration_of, told
from micropump_host.orders.order import FieldValue

NOT_JUDGED = STANDINGS[prescription.NOT_JUDGED]
_NO_LIBRARY = STANDINGS[prescription.NO_LIBRARY]
_IN_LIBRARY = STANDINGS[prescription.IN_LIBRARY]

# Whoever ponders longer than the pump waits is asked again, so often.
_TRIES = 3


def add_override(parser: argparse.ArgumentParser) -> None:
    """Add ``--override``; without it a person is asked."""
    parser.add_argument(
        "--override",
        action="store_true",
        help="override the drug library's soft limits, or do it outside the library, without"
        " asking; --yes does not",
    )


def standing_text(standing: str) -> str:
    """Where a therapy stands to the drug library, one of ``STANDINGS``, with markup."""
    if standing in (NOT_JUDGED, _IN_LIBRARY):
        return standing
    if standing == _NO_LIBRARY:
        return "[yellow]no library in use[/yellow]"
    return f"[yellow]outside the library: {standing}[/yellow]"


def override_text(names: Iterable[str]) -> str:
    """What was overridden, as ``Status.overrides`` has it: "rate, amount in 24 h"."""
    return ", ".join("the library" if name == OUTSIDE else KIND_NAMES[name] for name in names)


def asked_texts(accepted: Accepted, fields: Mapping[str, FieldValue]) -> list[str]:
    """What of a program the pump wants to have confirmed, in clinical units.

    Args:
        accepted: the pump's answer to it.
        fields: of its message.

    """
    concentration = concentration_of(fields)
    texts = [told(finding, concentration) for finding in accepted.findings]
    if accepted.asks >> prescription.OUTSIDE_BIT & 1:
        texts.append(f"the drug library has no limits for this ({accepted.library})")
    return texts


def show_asked(accepted: Accepted, fields: Mapping[str, FieldValue]) -> None:
    """Show what will have to be confirmed a second time."""
    for text in asked_texts(accepted, fields):
        remarks.print(f"[yellow]to override:[/yellow] {escape(text)}", soft_wrap=True)


def confirm_override(
    args: argparse.Namespace, do: Callable[[int], object], beyond: Sequence[str] = ()
) -> bool:
    """Do what the pump may want to have confirmed a second time.

    Args:
        args: with ``--override`` nobody is asked.
        do: is called with the limits that shall be overridden: none, and then those that the pump
            has asked about.
        beyond: what it asks about, one text for each, where that is known; else as the pump tells
            it.

    Returns:
        Whether it was done; False where it was not confirmed.

    Raises:
        PumpRefusedError: if it is refused and no confirming helps, or nobody can be asked.

    """
    overrides = 0
    for tries_left in reversed(range(_TRIES)):
        try:
            do(overrides)
        except PumpRefusedError as error:
            if not error.asks or not tries_left:
                raise
            text = "; ".join(beyond) or _beyond(error)
            if not args.override and not can_ask():
                raise _needs_override(error, text) from None
            overrides = error.asks
        else:
            return True
        if args.override:
            remarks.print(f"[yellow]override:[/yellow] {escape(text)}", soft_wrap=True)
        elif not confirmed(f"[yellow]{escape(text[0].upper() + text[1:])}[/yellow]: override?"):
            return False
    return False


def _beyond(error: PumpRefusedError) -> str:
    """What the pump asks about: it tells the figures of the first limit, and names the others."""
    first = error.code - prescription.SOFT_LIMIT
    others = override_names(error.asks & ~(1 << first))
    return f"{error.what}; also beyond: {override_text(others)}" if others else error.what


def _needs_override(error: PumpRefusedError, text: str) -> PumpRefusedError:
    remedy = "Check the order; if it is meant so, add --override. The pump keeps that in its log."
    return PumpRefusedError(text, error.where, remedy, error.code, error.field, error.asks)
