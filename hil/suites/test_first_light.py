"""First light: an order over a real port, on the firmware interpreted by MicroPython."""

import pytest

from micropump.mechanism import KIND_PERISTALTIC, KIND_SYRINGE, build
from micropump_hil.verbs import wait_until
from micropump_host.bench.process import virtual_pump
from micropump_host.client import Pump, PumpRefusedError

SYRINGE = (KIND_SYRINGE, "bd-plastipak-50", 50_000)
HEAD = (KIND_PERISTALTIC, "runze-rz1030-0142", 500_000)


@pytest.mark.parametrize(
    ("kind", "item", "rate_ul_h", "vtbi_ul"),
    [("syringe", SYRINGE, 5_000, 10_000), ("peristaltic", HEAD, 25_000, 50_000)],
)
def test_the_vtbi_is_delivered_to_the_microstep(kind, item, rate_ul_h, vtbi_ul):
    with virtual_pump(kind) as port, Pump(port) as pump:
        assert pump.info.ground == "micropython"
        accepted = pump.program(*item, vtbi_ul, rate_ul_h)
        pump.start(accepted.program_id)
        status = wait_until(pump, "kvo")
        fitted = build(item[0], item[1], pump.info.drive_id)
        assert status.infused_steps == fitted.steps_for_ul(vtbi_ul)
        assert status.alarms == ("end_of_infusion",)


def test_nothing_starts_by_itself_and_nothing_is_forgotten():
    with virtual_pump(speed="200") as port:
        with Pump(port) as pump:
            accepted = pump.program(*SYRINGE, 10_000, 5_000)
            with pytest.raises(PumpRefusedError):
                pump.start(accepted.program_id + 1)
            assert pump.status().state == "programmed"
            pump.start(accepted.program_id)
            while pump.status().infused_steps < 100:
                pass
            pump.pause()
            paused = pump.status()
        # The host goes away and comes back: the pump is as it was left.
        with Pump(port) as pump:
            again = pump.status()
            assert (again.state, again.infused_steps) == ("paused", paused.infused_steps)
            pump.resume()
            pump.set_rate(50_000)
            status = wait_until(pump, "kvo")
            assert status.infused_steps == status.target_steps
            pump.stop()
            names = [event.name for event in pump.events()]
            expected = ["programmed", "command refused", "started", "paused", "resumed",
                        "rate changed", "VTBI reached, KVO", "stopped"]  # fmt: skip
            assert [name for name in names if name in expected] == expected
