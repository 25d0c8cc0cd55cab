"""The command ``micropump sensors``: what the sensors that are fitted read."""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from rich.live import Live
from rich.table import Table

from micropump.detectors import ENCODER_COUNTS
from micropump_host.cli.common import add_port, connect, console, print_json
from micropump_host.client import Pump, SensorValue
from micropump_host.errors import EXIT_DONE

WATCH_S = 1.0

_EPILOG = """\
examples:
  micropump sensors --port /dev/ttyACM0
  micropump sensors --watch --port pump.tty             once a second, until Ctrl-C
  micropump sensors --watch --json --port pump.tty      an object a second, each on a line

A reading out of a sensor's range is never shown as a value: of a sensor with a fault it is the last
that was within, and 0 where there was none yet.
"""

# A value as a person reads it, by the unit in which the pump counts it.
_TEXTS: dict[str, Callable[[int], str]] = {
    "Pa": lambda value: f"{value / 1000:z.1f} kPa",
    "mN": lambda value: f"{value / 1000:z.2f} N",
    "‰ air": lambda value: f"{value / 10:z.1f} % air",
    "µm": lambda value: f"{value / 1000:z.2f} mm",
    "counts": lambda value: f"{value * 360 / ENCODER_COUNTS:z.1f}°",
    "mV": lambda value: f"{value / 1000:z.2f} V",
    "0.1 °C": lambda value: f"{value / 10:z.1f} °C",
    "open": lambda value: "open" if value else "closed",
    "pressed": lambda value: "pressed" if value else "free",
}


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "sensors",
        help="what the pump's sensors read, and which of them cannot be believed",
        description="What the sensors that are fitted read, and which of them have a fault.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--watch", action="store_true", help="show them once a second, until Ctrl-C"
    )
    add_port(parser)
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    """``micropump sensors``; Ctrl-C is how ``--watch`` ends, and no error."""
    with connect(args) as pump:
        if args.watch:
            try:
                _watch(args, pump)
            except KeyboardInterrupt:
                return EXIT_DONE
        elif args.json:
            print_json(_data(pump.sensors()))
        else:
            console.print(sensors_table(pump.sensors()))
    return EXIT_DONE


def value_text(value: SensorValue) -> str:
    """What a sensor reads in a unit for people: "12.3 kPa", "closed"."""
    return _TEXTS[value.unit](value.value)


def sensors_table(values: Sequence[SensorValue]) -> Table:
    """What the sensors read, for a person."""
    table = Table(title="Sensors", caption=None if values else "None is fitted.")
    table.add_column("sensor")
    table.add_column("value", justify="right")
    table.add_column("fault", style="red")
    for value in values:
        table.add_row(value.name, value_text(value), value.fault)
    return table


def _data(values: Sequence[SensorValue]) -> dict[str, Any]:
    return {"sensors": [asdict(value) for value in values]}


def _watch(args: argparse.Namespace, pump: Pump) -> None:
    if args.json:
        _repeat(pump, lambda values: _print_line(_data(values)))
    elif console.is_terminal:
        with Live(console=console, auto_refresh=False) as live:
            _repeat(pump, lambda values: live.update(sensors_table(values), refresh=True))
    else:
        _repeat(pump, lambda values: console.print(sensors_table(values)))


def _repeat(pump: Pump, show: Callable[[Sequence[SensorValue]], None]) -> None:
    while True:
        show(pump.sensors())
        time.sleep(WATCH_S)


def _print_line(data: dict[str, Any]) -> None:
    # At once: whoever reads it is at the other end of a pipe.
    print(json.dumps(data, ensure_ascii=False), flush=True)
