"""The command ``micropump settings``: what a person chooses about the pump's alarms."""

import argparse

from rich.table import Table

from micropump import wire
from micropump.controller import NEAR_END_MIN, WRONG_STATE
from micropump.occlusion import OCCLUSION_LEVELS_PA
from micropump_host.cli.common import add_port, connect, console, figure, print_json
from micropump_host.client import Pump, PumpRefusedError
from micropump_host.errors import EXIT_DONE, UsageError
from micropump_host.orders import parse_duration_s

OFF = "off"
_GREATEST = {name: greatest for name, *_, greatest in wire.fields_of(wire.SETTINGS)}
_MOST_RESTARTS = _GREATEST["restarts"]
_MOST_NEAR_END_MIN = _GREATEST["near_end_min"]
_NUMBER_OF: dict[float, int] = {
    level_pa / 1000: number for number, level_pa in enumerate(OCCLUSION_LEVELS_PA, start=1)
}
_LEVELS = [f"{number} ({level_kpa:g} kPa)" for level_kpa, number in _NUMBER_OF.items()]

_EPILOG = f"""\
examples:
  micropump settings --occlusion-level "30 kPa" --port /dev/ttyACM0
  micropump settings --restarts 2 --occlusion-level 3 --near-end "10 min" --port pump.tty
  micropump settings --near-end off                 not told before the end; the others: default
  micropump settings --restarts 0                   all at their defaults

All three are set at once: WHAT IS NOT NAMED GOES BACK TO ITS DEFAULT, since the pump does not tell
its settings. It prints what was set. They hold until the pump is reset, and are not taken while
anything flows.

levels: {", ".join(_LEVELS[:5])},
        {", ".join(_LEVELS[5:])}
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "settings",
        help="set restarts after an occlusion, its pressure limit, and when the end is told",
        description="Set restarts after an occlusion, the pressure limit of an occlusion, and how "
        "long before its end an infusion says so. What is not named goes back to its default.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--restarts",
        type=int,
        metavar="N",
        help="how often within any 10 min the pump starts again by itself after an occlusion that"
        f" has gone, 0 to {_MOST_RESTARTS} (default: 0)",
    )
    parser.add_argument(
        "--occlusion-level",
        metavar="LEVEL",
        help='the pressure limit: 1 to 9, or that pressure like "60 kPa"; 0 is the drug library\'s'
        " limit for the drug, or else the pump's own (default: 0)",
    )
    parser.add_argument(
        "--near-end",
        metavar="TIME",
        help='how long before its end an infusion says so, in whole minutes like "10 min", at most'
        f' {_MOST_NEAR_END_MIN}; "{OFF}" for not at all (default: {NEAR_END_MIN} min)',
    )
    add_port(parser)
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    """``micropump settings``."""
    if args.restarts is None and args.occlusion_level is None and args.near_end is None:
        raise UsageError(
            "no setting is named, and the pump does not tell those that it has",
            "settings",
            "Name what shall be set; --restarts 0 alone sets all to their defaults.",
        )
    restarts = _restarts(args.restarts)
    level = 0 if args.occlusion_level is None else occlusion_level(args.occlusion_level)
    near_end_min = NEAR_END_MIN if args.near_end is None else minutes_before(args.near_end)
    with connect(args) as pump:
        _choose(pump, restarts, level, near_end_min)
    if args.json:
        print_json(
            {
                "restarts": restarts,
                "occlusion_level": level,
                "occlusion_kpa": OCCLUSION_LEVELS_PA[level - 1] // 1000 if level else None,
                "near_end_min": near_end_min,
            }
        )
    else:
        console.print(_table(args, restarts, level, near_end_min))
    return EXIT_DONE


def occlusion_level(text: str) -> int:
    """The level that ``--occlusion-level`` names, by its number or its pressure, or 0.

    Raises:
        UsageError: if there is no such level.

    """
    number = text.strip()
    if number.isdecimal() and int(number) <= len(OCCLUSION_LEVELS_PA):
        return int(number)
    try:
        return _NUMBER_OF[float(number.removesuffix("kPa")) if number.endswith("kPa") else -1.0]
    except (KeyError, ValueError):
        raise UsageError(
            f'there is no occlusion level "{text}"',
            "--occlusion-level",
            f"Take {', '.join(_LEVELS)}, or 0 for the library's or the pump's own.",
        ) from None


def minutes_before(text: str) -> int:
    """The whole minutes of ``--near-end``, 0 for ``OFF``.

    Raises:
        UsageError: if it is no such time.

    """
    if text.strip() == OFF:
        return 0
    minutes, rest_s = divmod(figure(parse_duration_s, text, "--near-end"), 60)
    if rest_s or minutes > _MOST_NEAR_END_MIN:
        raise UsageError(
            f'"{text}" before the end cannot be set',
            "--near-end",
            f'Take whole minutes, at most {_MOST_NEAR_END_MIN}, or "{OFF}".',
        )
    return minutes


def _restarts(number: int | None) -> int:
    if number is None:
        return 0
    if not 0 <= number <= _MOST_RESTARTS:
        raise UsageError(
            f"{number} restarts cannot be set", "--restarts", f"Take 0 to {_MOST_RESTARTS}."
        )
    return number


def _choose(pump: Pump, restarts: int, level: int, near_end_min: int) -> None:
    try:
        pump.choose(restarts, level, near_end_min)
    except PumpRefusedError as error:
        if error.code != WRONG_STATE:
            raise
        raise PumpRefusedError(
            "settings are not changed while anything flows",
            error.where,
            "Do it before the start or at the end, or `micropump pause` first.",
            error.code,
            error.field,
        ) from None


def _table(args: argparse.Namespace, restarts: int, level: int, near_end_min: int) -> Table:
    table = Table(show_header=False, title="Settings, until the pump is reset")
    rows = (
        ("restarts in 10 min", str(restarts), args.restarts),
        ("occlusion limit", _level_text(level), args.occlusion_level),
        ("tells its end", f"{near_end_min} min before" if near_end_min else "no", args.near_end),
    )
    for label, text, named in rows:
        table.add_row(label, text, "" if named is not None else "not named: the default")
    return table


def _level_text(level: int) -> str:
    if not level:
        return "the drug library's, or else the pump's own"
    return f"{OCCLUSION_LEVELS_PA[level - 1] // 1000} kPa, level {level}"
