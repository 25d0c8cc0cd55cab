"""Serve an emulated Pico on a port, or test the emulator: ``python -m micropump_hil.emulated``."""

import argparse
import signal
import sys
from pathlib import Path

from micropump.mechanism import KIND_PERISTALTIC, KIND_SYRINGE, UnknownMechanismError, build
from micropump_hil.emulated.backend import NAME
from micropump_hil.emulated.models import PumpOnPins
from micropump_hil.emulated.pico import EmulatedPico, Model
from micropump_hil.emulated.selftest import self_test
from micropump_hil.emulated.serve import LosslessPty, serve
from micropump_hil.emulated.speed import speeds
from micropump_hil.emulated.wiring import read_wiring
from micropump_host.bench import build_plant, default_bench, load_bench
from micropump_host.bench.mechanics import geometry_of
from micropump_host.bench.server import Endpoint, TcpEndpoint
from micropump_host.errors import EXIT_DONE, MicropumpError, UsageError

_DEFAULTS = {
    "syringe": ("bd-plastipak-50", "t8-2mm-16"),
    "peristaltic": ("masterflex-ls-16", "direct-16"),
}


def main(words: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = _parser().parse_args(words)
    try:
        if options.self_test:
            for check in self_test(options.image):
                print(f"{check.name}: {check.found}")
            print(f"The emulator ({NAME}) is exact.")
        elif options.speeds:
            for doing, seconds in speeds(options.image).items():
                print(f"{NAME}, {doing}: {seconds:.3g} s per simulated second")
        else:
            _serve(options)
    except MicropumpError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return EXIT_DONE


def _serve(options: argparse.Namespace) -> None:
    stopped: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, _: stopped.append(received))
    pico = EmulatedPico(options.image, models=_models(options)).boot(
        maintenance=options.maintenance
    )
    endpoint: Endpoint = (
        LosslessPty(options.link) if options.tcp is None else TcpEndpoint("127.0.0.1", options.tcp)
    )
    try:
        print(endpoint.name, flush=True)
        serve(pico, endpoint, options.speed, lambda: bool(stopped))
    finally:
        endpoint.close()


def _models(options: argparse.Namespace) -> list[Model]:
    if options.board is None:
        return []
    bench = load_bench(options.bench) if options.bench else default_bench(options.kind)
    kind = KIND_SYRINGE if bench.kind == "syringe" else KIND_PERISTALTIC
    item_id, drive_id = _DEFAULTS[bench.kind]
    try:
        mechanism = build(kind, options.item or item_id, options.drive or drive_id)
    except UnknownMechanismError as error:
        raise UsageError(str(error), "", "docs/catalogue.md has them all.") from None
    plant = build_plant(bench, geometry_of(mechanism))
    return [PumpOnPins(read_wiring(options.board), plant, mechanism.steps_per_rev)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m micropump_hil.emulated",
        description="Serve an emulated Pico on a port, or test the emulator. "
        "A bench and development device, never for patients.",
    )
    parser.add_argument("--image", type=Path, help="a UF2 file; out/image/pico.uf2 if not given")
    parser.add_argument("--self-test", action="store_true", help="show that the emulator is exact")
    parser.add_argument("--speeds", action="store_true", help="measure how fast it is here")
    parser.add_argument("--link", type=Path, help="a symbolic link to the port")
    parser.add_argument("--tcp", type=int, help="a TCP port instead of a pseudo-terminal")
    parser.add_argument(
        "--speed",
        type=float,
        default=1.0,
        help="emulated seconds per second at most; 0: as fast as it goes",
    )
    parser.add_argument(
        "--maintenance", action="store_true", help="start at the prompt, for mpremote and the like"
    )
    parser.add_argument("--board", type=Path, help="a board file: fit a pump to the pins")
    parser.add_argument("--bench", type=Path, help="bench file of that pump")
    parser.add_argument("--kind", choices=tuple(_DEFAULTS), default="syringe", help="of that pump")
    parser.add_argument("--item", help="its syringe or head, from docs/catalogue.md")
    parser.add_argument("--drive", help="its drive, from docs/catalogue.md")
    return parser


if __name__ == "__main__":
    sys.exit(main())
