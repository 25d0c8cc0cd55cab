"""What a device delivers: our pump on the virtual bench, or a device without a drive."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from micropump.controller import ALARM, KEEPING_OPEN
from micropump_host.accuracy.table import Floats
from micropump_host.bench import Bench
from micropump_host.bench.devices import GREATEST_BALLOON_ML, Device
from micropump_host.bench.elastomeric import Elastomeric
from micropump_host.bench.ground import build_ground
from micropump_host.bench.local import LocalLine
from micropump_host.bench.record import ListRecorder
from micropump_host.bench.world import VirtualBench
from micropump_host.client import Pump
from micropump_host.compare.intent import Intent
from micropump_host.orders import CheckedOrder

# Devices that lag are followed for half as long again as was meant.
_HORIZON = 1.5
_INTERVALS_S = (10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
_MOST_SAMPLES = 6000

_EMPTY = "container_empty"
# How soon somebody is there when the pump calls.
_ATTENDANT_MS = 10_000

OnProgress = Callable[[float], None]


@dataclass(frozen=True, eq=False)
class Delivery:
    """What a device delivered.

    Attributes:
        name: what the device is called.
        description: what it is, in a few words.
        times_s: s from the start of the infusion, shape (n,), increasing.
        volumes_ml: volume that has left the line's end by then, mL, shape (n,).
        notes: what has to be known of it, sentences without a full stop.

    """

    name: str
    description: str
    times_s: Floats
    volumes_ml: Floats
    notes: tuple[str, ...] = ()


def sample_times_s(intent: Intent) -> Floats:
    """Return the times at which devices are looked at, s: half as long again as was meant.

    Every 10 s, or as much more seldom as makes at most 6000 of them, and at the end of the intended
    time; shape (n,), increasing.
    """
    horizon_s = _HORIZON * intent.duration_s
    # Beside the intervals' ends there are the start and the end of the intended time.
    most = _MOST_SAMPLES - 2
    interval_s = next((each for each in _INTERVALS_S if horizon_s / each <= most), _INTERVALS_S[-1])
    count = math.ceil(horizon_s / interval_s)
    grid_s = np.arange(count + 1, dtype=np.float64) * interval_s
    return np.union1d(grid_s, [intent.duration_s])


def of_device(device: Device, name: str, intent: Intent, times_s: Floats) -> Delivery:
    """Return what a device without a drive delivers, whatever was meant.

    Args:
        device: the device as it is filled and set.
        name: what to call it.
        intent: what was meant, for the notes.
        times_s: s from the start, shape (n,), increasing.

    """
    outflows_ul = device.outflows_ul(times_s.tolist())
    return Delivery(
        name=name,
        description=_description(device),
        times_s=times_s,
        volumes_ml=np.array(outflows_ul) / 1000.0,
        notes=tuple(_notes(device, intent)),
    )


def of_pump(
    order: CheckedOrder,
    name: str,
    bench: Bench,
    times_s: Floats,
    on_progress: OnProgress,
) -> Delivery:
    """Return what the pump delivers: the firmware's core on a virtual bench, in this process.

    The pump is stopped as soon as the VTBI is in and it keeps the vein open.

    Args:
        order: what it is given.
        name: what to call it.
        bench: the bench; its balance plays no part.
        times_s: s from the start, shape (n,), increasing.
        on_progress: called with the part of the times that are done.

    Raises:
        PumpRefusedError: if the pump refuses the order.
        BenchMismatchError: if the bench is not for this mechanism.

    """
    kind = order.order.container.kind
    ground = build_ground("cpython", kind, order.drive_id, 0)
    world = VirtualBench(ground, kind, order.drive_id, bench, ListRecorder())
    volumes_ml = np.zeros_like(times_s)
    with Pump("virtual bench", open_port=lambda *_: LocalLine(world)) as pump:
        accepted = pump.prescribe(order.prescription.kind, dict(order.prescription.fields))
        pump.start(accepted.program_id)
        started_ms = world.started_ms
        assert started_ms is not None
        attendant = _Attendant(pump, world, order)
        for at, t_s in enumerate(times_s.tolist()):
            attendant.watch_until(started_ms + round(t_s * 1000))
            world.look()
            assert world.plant is not None
            volumes_ml[at] = world.plant.outflow_ul / 1000.0
            if ground.is_over and ground.state == KEEPING_OPEN:
                pump.stop()
            on_progress((at + 1) / len(times_s))
    world.close()
    return Delivery(
        name=name,
        description=f"{order.item_name} on {order.drive_id}; bench {bench.info.name!r}, "
        f"seed {bench.info.seed}",
        times_s=times_s,
        volumes_ml=volumes_ml,
        notes=tuple(attendant.notes()),
    )


class _Attendant:
    """Looks at the pump every few seconds, and changes its container when it is empty."""

    def __init__(self, pump: Pump, world: VirtualBench, order: CheckedOrder) -> None:
        self._pump = pump
        self._world = world
        self._content_ul = order.order.container.content_ul
        self._spare = order.containers - 1
        self._changed = 0

    def watch_until(self, until_ms: int) -> None:
        while self._world.now_ms < until_ms:
            self._world.advance(min(until_ms, self._world.now_ms + _ATTENDANT_MS))
            if self._world.ground.state == ALARM and self._changed < self._spare:
                self._change()

    def _change(self) -> None:
        if _EMPTY in self._pump.status().alarms:
            self._pump.change_container(self._content_ul)
            self._pump.acknowledge()
            self._pump.resume()
            self._changed += 1

    def notes(self) -> list[str]:
        notes = []
        if self._changed:
            times = "once" if self._changed == 1 else f"{self._changed} times"
            within = f"within {_ATTENDANT_MS // 1000} s of its call"
            notes.append(f"its container was changed {times}, {within}")
        if self._world.ground.state == ALARM:
            notes.append("it is in alarm and delivers no more")
        return notes


def _description(device: Device) -> str:
    if isinstance(device, Elastomeric):
        return (
            f"{device.balloon.content_ml:.4g} mL at a nominal "
            f"{device.capillary.nominal_rate_ml_h:g} mL/h, seed {device.device.seed}"
        )
    drops_per_min = device.clamp.set_rate_ml_h * device.drip_set.drops_per_ml / 60.0
    return (
        f"{device.bag.content_ml:.4g} mL, {device.bag.outlet_height_cm:g} cm above the vein, "
        f"set to {drops_per_min:.1f} drops/min at the start, seed {device.device.seed}"
    )


def _notes(device: Device, intent: Intent) -> list[str]:
    notes = []
    if isinstance(device, Elastomeric):
        if not intent.is_steady:
            notes.append("it cannot follow a rate that changes and runs at its nominal rate")
        rate_ml_h = device.capillary.nominal_rate_ml_h
        if device.balloon.content_ml > GREATEST_BALLOON_ML:
            notes.append(
                f"no balloon holds {device.balloon.content_ml:.4g} mL (about "
                f"{GREATEST_BALLOON_ML:g} mL at most); it is drawn as if one did"
            )
    else:
        if not intent.is_steady:
            notes.append("nobody touches its clamp: it stays as it was set for the mean rate")
        rate_ml_h = device.clamp.set_rate_ml_h
        if device.clamp_resistance_pa_s_per_ul == 0.0:
            notes.append(f"its clamp is wide open and gives {device.start_rate_ml_h:.3g} mL/h")
    if abs(rate_ml_h / intent.mean_rate_ml_h - 1.0) > 0.001:
        notes.append(
            f"the nearest that there is: {rate_ml_h:g} mL/h for a mean of "
            f"{intent.mean_rate_ml_h:.4g} mL/h"
        )
    return notes
