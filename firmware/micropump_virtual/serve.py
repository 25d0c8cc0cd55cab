"""Serve a virtual pump over standard input and output, for the virtual bench.

Started by the bench as ``micropython serve.py FIRMWARE_DIR KIND DRIVE_ID TIME_X1000 START_MS``.
Lines in: ``A until_ms`` advance, ``R now_ms hex`` bytes from the host,
``I interlock_open driver_fault plunger_ul`` inputs. Not answered: ``F spec …`` the sensors that are
fitted, the numbers of each with commas between, and ``S fresh failed raw …`` samples of them.
Lines out: ``Q`` a quantum, ``X ms`` an abort (in order with the quanta), ``D hex`` bytes for the
host, and at last ``T due_ms ticks state is_over containers container_ul secondary_ul item_id``.
"""

import sys

sys.path.insert(0, sys.argv[1])

from binascii import hexlify, unhexlify  # noqa: E402

from micropump.link import Identity  # noqa: E402
from micropump_virtual.pump import VirtualPump  # noqa: E402


def report(pump: VirtualPump) -> None:
    """Write down all that happened since the last report."""
    lines = []
    at = 0
    for until, aborted_ms in pump.aborts + [(len(pump.quanta), -1)]:
        for quantum in pump.quanta[at:until]:
            lines.append("Q %d %d %d %d %d %d %d" % quantum)
        if aborted_ms >= 0:
            lines.append("X %d" % aborted_ms)
        at = until
    pump.quanta = []
    pump.aborts = []
    said = pump.take_output()
    if said:
        lines.append("D " + hexlify(said).decode())
    state = pump.controller.state
    lines.append(
        "T %d %d %d %d %d %d %d %s\n"
        % (
            pump.due_ms,
            pump.ticks,
            state,
            pump.is_over(),
            pump.containers,
            pump.container_ul,
            pump.secondary_ul,
            pump.item_id(),
        )
    )
    sys.stdout.write("\n".join(lines))


def main() -> None:
    """Obey the bench until it closes the line."""
    kind, drive_id, time_x1000, start_ms = sys.argv[2:6]
    version = ".".join(str(part) for part in sys.implementation.version[:3])
    identity = Identity(
        "micropython", "virtual", int(kind), drive_id, int(time_x1000), "MicroPython " + version
    )
    pump = VirtualPump(identity, int(start_ms))
    while True:
        line = sys.stdin.readline()
        if not line:
            return
        words = line.split()
        if words[0] == "S":
            pump.sense(int(words[1]), int(words[2]), [int(word) for word in words[3:]])
            continue
        if words[0] == "F":
            pump.fit(tuple(tuple(map(int, spec.split(","))) for spec in words[1:]))
            continue
        if words[0] == "A":
            pump.advance(int(words[1]))
        elif words[0] == "R":
            pump.link.outbox[:0] = pump.receive(int(words[1]), unhexlify(words[2]))
        else:
            pump.inputs.interlock_open = words[1] == "1"
            pump.inputs.driver_fault = words[2] == "1"
            pump.inputs.plunger_ul = int(words[3])
        report(pump)


main()
