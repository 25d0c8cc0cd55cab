"""The command ``micropump accuracy``: start-up and trumpet curves from a balance's record."""

from __future__ import annotations

import argparse
from pathlib import Path

from micropump_host.accuracy.method import METHODS, SYRINGE
from micropump_host.errors import MicropumpError

_WATER_DENSITY_G_ML = 0.998
_LIBRARIES = {"numpy", "scipy", "matplotlib"}
_EXAMPLES = """\
SAMPLES.csv is what a balance under the outlet read, one line per reading, with time zero at the
start of the infusion (more columns and lines starting with # are allowed):

  t_s,mass_g
  0,12.0031
  1,12.0044

examples:
  micropump accuracy delivery.csv --rate 5
      numbers on the screen, for a syringe pump set to 5 mL/h
  micropump accuracy delivery.csv --rate 25 --kind volumetric --plots out/
      plots (PNG, SVG), accuracy.json and a copy of the samples in out/
  micropump accuracy run1.csv run2.csv run3.csv --rate 5 --plots out/
      several runs of one condition: their means and 90/90 tolerance bands
  micropump accuracy short.csv --rate 5 --from-min 10 --to-min 40 --json -
      a shorter period, as JSON for a script
  micropump accuracy boluses.csv --bolus-ml 0.5
      a bolus series: columns n,mass_g, row n = 0 before the first bolus
  micropump accuracy occlusion
      time to the occlusion alarm and bolus on release; it has a help of its own

The method is that of IEC 60601-2-24, which sets no limits: the numbers say how accurate a pump
is, not whether it is accurate enough. Micropump is a bench and development device, never for
patients.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options; ``args.handler`` becomes :func:`run`."""
    parser = subparsers.add_parser(
        "accuracy",
        help="start-up and trumpet curves from a balance's record",
        description="Say how accurately a pump delivered, from the record of a balance.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(handler=run)
    parser.add_argument(
        "samples",
        nargs="+",
        type=Path,
        metavar="SAMPLES.csv",
        help="record of a balance with the columns t_s (seconds) and mass_g (grams)",
    )
    parser.add_argument(
        "--rate",
        dest="rate_ml_h",
        type=float,
        metavar="ML_PER_H",
        help="the rate that the pump was set to, mL/h",
    )
    parser.add_argument(
        "--kind",
        choices=tuple(METHODS),
        default=SYRINGE.kind,
        help="kind of pump, which chooses intervals, windows and periods (default: %(default)s)",
    )
    parser.add_argument(
        "--bolus-ml",
        type=float,
        metavar="ML",
        help="the files are bolus series (columns n,mass_g) of boluses set to this volume; "
        "the rate plays no part then",
    )
    _add_output_options(parser)
    _add_method_options(parser)


def _add_output_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output")
    group.add_argument(
        "--json", metavar="FILE", help="write the numbers as JSON; - for the standard output"
    )
    group.add_argument(
        "--plots",
        type=Path,
        metavar="DIR",
        help="write plots (PNG and SVG), accuracy.json and a copy of the samples there",
    )


def _add_method_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("method", "instead of the figures of IEC 60601-2-24")
    group.add_argument(
        "--sample-interval-min", type=float, metavar="S", help="sample interval S, minutes"
    )
    group.add_argument(
        "--windows-min",
        type=_numbers,
        metavar="P,P,...",
        help="observation windows P in minutes, as in 2,5,11",
    )
    group.add_argument(
        "--from-min", type=float, metavar="MIN", help="beginning of the analysis period T1, minutes"
    )
    group.add_argument(
        "--to-min", type=float, metavar="MIN", help="end of the analysis period T1, minutes"
    )
    group.add_argument(
        "--settle-min",
        type=float,
        metavar="MIN",
        help="ambulatory: minutes until the 25 h of analysis begin (default: 1440)",
    )
    group.add_argument(
        "--density-g-ml",
        type=float,
        default=_WATER_DENSITY_G_ML,
        metavar="D",
        help="density of the liquid, g/mL (default: %(default)s, water)",
    )
    group.add_argument(
        "--evaporation-g-h",
        type=float,
        default=0.0,
        metavar="E",
        help="mass that the vessel loses in an hour by evaporation, g/h (default: %(default)s)",
    )


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        message = f"{text!r} is not a list of numbers such as 2,5,11"
        raise argparse.ArgumentTypeError(message) from None


def run(args: argparse.Namespace) -> int:
    """Analyse the files and print or write what was asked for.

    Returns:
        0, the exit code.

    Raises:
        UsageError: for options that cannot work.
        MicropumpError: for a file that cannot be used or written, or a missing library.

    """
    try:
        # Not at the top: the other commands, and this one's help, must work without numpy.
        from micropump_host.accuracy.command import execute  # noqa: PLC0415
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library not in _LIBRARIES:
            raise
        raise MicropumpError(
            f"the library {library} is not installed",
            "micropump accuracy",
            'Install what this command needs with: pip install "micropump[accuracy]"',
        ) from error
    return execute(args)
