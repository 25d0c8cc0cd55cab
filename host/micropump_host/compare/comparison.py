"""One order on several devices, from the order to the figures."""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from micropump.mechanism import KIND_PERISTALTIC, KIND_SYRINGE
from micropump_host.bench import Bench, default_bench
from micropump_host.bench.benchfile import Kind
from micropump_host.bench.devices import Device
from micropump_host.compare.delivery import Delivery, of_device, of_pump, sample_times_s
from micropump_host.compare.intent import Intent
from micropump_host.compare.judge import Verdict, judge, smoothing_min
from micropump_host.orders import CheckedOrder

Fitted = Device | Bench | None

_NO_DEMANDS = "nobody demands a dose: what flows without is compared"
_BENCH_KINDS: Mapping[int, Kind] = {KIND_SYRINGE: "syringe", KIND_PERISTALTIC: "peristaltic"}


@dataclass(frozen=True, eq=False)
class Comparison:
    """What several devices deliver of one order.

    Attributes:
        order_id: the order.
        intent: what it means.
        remarks: what has to be known of the comparison, sentences without a full stop.
        deliveries: what each device delivers, all at the same times.
        verdicts: the figures of each.

    """

    order_id: str
    intent: Intent
    remarks: tuple[str, ...]
    deliveries: tuple[Delivery, ...]
    verdicts: tuple[Verdict, ...]

    def to_json_dict(self) -> dict[str, Any]:
        """Return the figures as plain data; ``docs/cli.md`` explains the keys."""
        return {
            "order": self.order_id,
            "intent": {
                "volume_ml": self.intent.volume_ml,
                "duration_s": self.intent.duration_s,
                "mean_rate_ml_h": self.intent.mean_rate_ml_h,
                "stretches": [vars(stretch) for stretch in self.intent.stretches],
            },
            "remarks": list(self.remarks),
            "smoothing_min": smoothing_min(self.intent),
            "devices": [verdict.to_json_dict() for verdict in self.verdicts],
        }

    def curves_csv(self) -> str:
        """Return the volumes over time as CSV: ``t_s``, ``intent_ml``, then a column a device."""
        times_s = self.deliveries[0].times_s
        names = [f"{delivery.name} (mL)".replace(",", ";") for delivery in self.deliveries]
        columns = [times_s, self.intent.volumes_ml(times_s)]
        columns += [delivery.volumes_ml for delivery in self.deliveries]
        text = io.StringIO()
        formats = ["%.0f"] + ["%.6f"] * (len(columns) - 1)
        header = ",".join(["t_s", "intent_ml", *names])
        np.savetxt(
            text, np.stack(columns, axis=1), formats, delimiter=",", header=header, comments=""
        )
        return text.getvalue()


def compare(
    order: CheckedOrder,
    intent: Intent,
    fitted: Mapping[str, Fitted],
    on_progress: Callable[[str, float], None],
) -> Comparison:
    """Have several devices deliver an order.

    Args:
        order: the order, as the pump is given it.
        intent: what it means.
        fitted: the devices by name: one without a drive, a bench for the pump, or None for the
            pump on the default bench of its kind.
        on_progress: called with a device's name and the part of it that is done.

    Raises:
        PumpRefusedError, BenchMismatchError: if the pump cannot run the order on its bench.

    """
    times_s = sample_times_s(intent)
    deliveries = []
    for name, device in fitted.items():
        if device is None or isinstance(device, Bench):
            bench = device or default_bench(_BENCH_KINDS[order.order.container.kind])
            progress = partial(on_progress, name)
            delivery = of_pump(order, name, bench, times_s, progress)
        else:
            delivery = of_device(device, name, intent, times_s)
        on_progress(name, 1.0)
        deliveries.append(delivery)
    verdicts = tuple(judge(intent, delivery) for delivery in deliveries)
    return Comparison(
        order_id=order.order.order_id,
        intent=intent,
        remarks=(_NO_DEMANDS,) if order.program.demand_steps else (),
        deliveries=tuple(deliveries),
        verdicts=verdicts,
    )
