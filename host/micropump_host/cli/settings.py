"""The command ``micropump settings``: what a person has chosen, or chooses, about the alarms."""

import argparse
from dataclasses import asdict, replace

from rich.table import Table

from micropump import wire
from micropump.controller import NEAR_END_MIN, WRONG_STATE
from micropump.occlusion import OCCLUSION_LEVELS_PA
from micropump_host.cli.common import add_port, connect, console, figure, print_json
from micropump_host.client import Pump, PumpRefusedError, Settings
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
  micropump settings --port /dev/ttyACM0            those that the pump has
  micropump settings --occlusion-level "30 kPa" --port /dev/ttyACM0
  micropump settings --restarts 2 --occlusion-level 3 --near-end "10 min" --port pump.tty
  micropump settings --near-end off                 not told before the end; the others stay

What is not named stays as it is. Settings hold until the pump is reset, and are not taken while
anything flows.

levels: {", ".join(_LEVELS[:5])},
        {", ".join(_LEVELS[5:])}
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "settings",
        help="restarts after an occlusion, its pressure limit, and when the end is told",
        description="Set restarts after an occlusion, the pressure limit of an occlusion, and how "
        "long before its end an infusion says so; or show what is set.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--restarts",
        type=int,
        metavar="N",
        help="how often within any 10 min the pump starts again by itself after an occlusion that"
        f" has gone, 0 to {_MOST_RESTARTS} (after a reset: 0)",
    )
    parser.add_argument(
        "--occlusion-level",
        metavar="LEVEL",
        help='the pressure limit: 1 to 9, or that pressure like "60 kPa"; 0 is the drug library\'s'
        " limit for the drug, or else the pump's own (after a reset: 0)",
    )
    parser.add_argument(
        "--near-end",
        metavar="TIME",
        help='how long before its end an infusion says so, in whole minutes like "10 min", at most'
        f' {_MOST_NEAR_END_MIN}; "{OFF}" for not at all (after a reset: {NEAR_END_MIN} min)',
    )
    add_port(parser)
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    """``micropump settings``."""
    named = _named(args)
    with connect(args) as pump:
        settings = replace(pump.settings(), **named)
        if named:
            _choose(pump, settings)
    if args.json:
        level = settings.occlusion_level
        occlusion_kpa = OCCLUSION_LEVELS_PA[level - 1] // 1000 if level else None
        print_json({**asdict(settings), "occlusion_kpa": occlusion_kpa})
    else:
        console.print(_table(settings, named))
    return EXIT_DONE


def _named(args: argparse.Namespace) -> dict[str, int]:
    """What is to be set."""
    named = {}
    if args.restarts is not None:
        named["restarts"] = _restarts(args.restarts)
    if args.occlusion_level is not None:
        named["occlusion_level"] = occlusion_level(args.occlusion_level)
    if args.near_end is not None:
        named["near_end_min"] = minutes_before(args.near_end)
    return named


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


def _restarts(number: int) -> int:
    if not 0 <= number <= _MOST_RESTARTS:
        raise UsageError(
            f"{number} restarts cannot be set", "--restarts", f"Take 0 to {_MOST_RESTARTS}."
        )
    return number


def _choose(pump: Pump, settings: Settings) -> None:
    try:
        pump.choose(**asdict(settings))
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


def _table(settings: Settings, named: dict[str, int]) -> Table:
    table = Table(show_header=False, title="Settings, until the pump is reset")
    end = f"{settings.near_end_min} min before" if settings.near_end_min else "no"
    rows = (
        ("restarts in 10 min", str(settings.restarts), "restarts"),
        ("occlusion limit", _level_text(settings.occlusion_level), "occlusion_level"),
        ("tells its end", end, "near_end_min"),
    )
    for label, text, name in rows:
        table.add_row(label, text, "as it was" if named and name not in named else "")
    return table


def _level_text(level: int) -> str:
    if not level:
        return "the drug library's, or else the pump's own"
    return f"{OCCLUSION_LEVELS_PA[level - 1] // 1000} kPa, level {level}"
