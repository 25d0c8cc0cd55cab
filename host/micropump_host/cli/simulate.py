"""The command ``micropump simulate``: a virtual pump on a port."""

import argparse
import signal
import threading
from pathlib import Path

from micropump.catalogue import HEAD_DRIVES, PERISTALTIC_HEADS, SYRINGE_DRIVES, SYRINGES
from micropump.mechanism import KIND_PERISTALTIC, KIND_SYRINGE, build
from micropump_host.bench import Bench, build_plant, default_bench, load_bench
from micropump_host.bench.ground import GROUNDS, build_ground
from micropump_host.bench.mechanics import geometry_of
from micropump_host.bench.record import CsvRecorder, ListRecorder
from micropump_host.bench.server import Endpoint, PtyEndpoint, TcpEndpoint, serve
from micropump_host.bench.world import Recorder, VirtualBench
from micropump_host.cli.common import remarks
from micropump_host.errors import EXIT_DONE, UsageError

DEFAULT_DRIVES = {"syringe": "t8-2mm-16", "peristaltic": "direct-16"}
FREE = "max"

_EPILOG = """\
examples:
  micropump simulate --link pump.tty                    a syringe pump in real time
  micropump simulate --kind peristaltic --speed 60      a minute every second
  micropump simulate --speed max --record out/          as fast as it goes, balance on record
  micropump simulate --tcp 127.0.0.1:5555               for socket://127.0.0.1:5555

The port's name is printed on the first line. The firmware's own core runs in the simulator, on
CPython or interpreted by MicroPython; what a bench file says of the mechanism, the line and the
balance is physics (docs/physics.md). End it with Ctrl-C.
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "simulate",
        help="serve a virtual pump on a pty or a TCP port",
        description="Serve a virtual pump: the firmware's core on a bench of published physics.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--bench", type=Path, metavar="BENCH.toml", help="bench file (default: one of good build)"
    )
    parser.add_argument(
        "--kind", choices=("syringe", "peristaltic"), help="mechanism (default: the bench file's)"
    )
    parser.add_argument("--drive", metavar="ID", help="drive from docs/catalogue.md")
    parser.add_argument(
        "--ground", choices=GROUNDS, default="cpython", help="what runs the firmware's core"
    )
    parser.add_argument(
        "--speed",
        default="1",
        help="virtual seconds in a second (default: 1, real time), or max: as fast as it goes while"
        " a therapy is under way, standing still while not",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--link", type=Path, metavar="PATH", help="serve on a pty and link it to this name"
    )
    where.add_argument("--tcp", metavar="HOST:PORT", help="serve on a TCP port, for socket://")
    where.add_argument("--rfc2217", metavar="HOST:PORT", help="serve on TCP, for rfc2217://")
    parser.add_argument(
        "--record", type=Path, metavar="DIR", help="write the balance's readings to DIR/samples.csv"
    )
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    """``micropump simulate``; ends with SIGINT or SIGTERM."""
    speed = _speed(args.speed)
    bench_file = load_bench(args.bench) if args.bench else default_bench(args.kind or "syringe")
    if args.kind and args.kind != bench_file.kind:
        raise UsageError(
            f"the bench file describes a {bench_file.kind} pump", "--kind", "Leave --kind out."
        )
    drive_id = args.drive or DEFAULT_DRIVES[bench_file.kind]
    kind = KIND_SYRINGE if bench_file.kind == "syringe" else KIND_PERISTALTIC
    _check_drive(kind, drive_id)
    _check_bench(bench_file, kind, drive_id)
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    recorder: Recorder = ListRecorder()
    if args.record:
        about = f"virtual bench {bench_file.info.name!r}, seed {bench_file.info.seed}"
        recorder = CsvRecorder(args.record, about)
    endpoint = _endpoint(args)
    try:
        ground = build_ground(args.ground, kind, drive_id, round(speed * 1000))
        bench = VirtualBench(ground, kind, drive_id, bench_file, recorder)
        try:
            print(endpoint.name, flush=True)
            remarks.print(
                f"Virtual {bench_file.kind} pump on {args.ground}, drive {drive_id}, at"
                f" {endpoint.name}; Ctrl-C ends it. Never for patients."
            )
            serve(bench, endpoint, speed, stopping.is_set)
        finally:
            bench.close()
    finally:
        endpoint.close()
    return EXIT_DONE


def _speed(text: str) -> float:
    if text == FREE:
        return 0.0
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0.001 <= speed <= 1e6:
        raise UsageError(f"{text!r} is not a speed", "--speed", "Give a number such as 60, or max.")
    return speed


def _check_drive(kind: int, drive_id: str) -> None:
    drives = SYRINGE_DRIVES if kind == KIND_SYRINGE else HEAD_DRIVES
    ids = [row[0] for row in drives]
    if drive_id not in ids:
        raise UsageError(f"there is no drive {drive_id!r}", "--drive", f"Take {', '.join(ids)}.")


def _check_bench(bench: Bench, kind: int, drive_id: str) -> None:
    """Refuse now what would only fail when an infusion starts: imperfections beyond the drive."""
    items = SYRINGES if kind == KIND_SYRINGE else PERISTALTIC_HEADS
    build_plant(bench, geometry_of(build(kind, items[0][0], drive_id)))


def _endpoint(args: argparse.Namespace) -> Endpoint:
    address = args.tcp or args.rfc2217
    if not address:
        return PtyEndpoint(args.link)
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        option = "--tcp" if args.tcp else "--rfc2217"
        raise UsageError(f"{address!r} is not an address", option, "Give 127.0.0.1:5555.")
    return TcpEndpoint(host, int(port), with_rfc2217=bool(args.rfc2217))
