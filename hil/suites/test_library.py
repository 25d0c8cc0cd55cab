"""The drug library on a pump: installed over the wire, whatever is cut, and held to."""

from dataclasses import replace
from pathlib import Path

import pytest

from micropump import journal, library, prescription
from micropump_hil.emulated import PowerLostError
from micropump_hil.verbs import wait_until
from micropump_host.client import PumpGoneError, PumpRefusedError
from micropump_host.library import load_library
from micropump_host.library.image import build_image
from micropump_host.orders import load_order

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
KEY = bytes(range(32))
PAGE_BYTES = 256
# The region before the file system, as in docs/storage.md.
REGION = slice(0x100000 - 256 * 1024, 0x100000)


@pytest.fixture(scope="module")
def source():
    return load_library(EXAMPLES / "library")


@pytest.fixture(scope="module")
def images(source) -> tuple[bytes, bytes]:
    """An old and a new library, of a few drugs."""
    some = tuple(drug for drug in source.drugs if drug.drug_id[0] < "e")
    old = build_image(replace(source, drugs=some, version=1), KEY)
    new = build_image(replace(source, drugs=some, version=2), KEY)
    return old, new


@pytest.mark.needs("flash", "power_cut")
def test_an_install_over_the_wire_cut_at_every_operation(bench, images, record_property):
    old, new = images
    bench.pump.provision(KEY)
    bench.pump.install_library(old)
    region = bench.pico.flash.image[REGION]
    bench.pico.flash.operations.clear()
    bench.pump.install_library(new)
    operations = list(bench.pico.flash.operations)
    pages = -(-len(new) // PAGE_BYTES) + 1
    assert [each.kind for each in operations].count("program") == pages
    last = len(operations) - 1
    found = []
    bench.power_cut()
    for number in range(len(operations)):
        bench.pico.flash.load(region, REGION.start)
        bench.power_on()
        pump = bench.connect()
        bench.pico.flash.cut_power_at(number, (0.0, 0.5, 1.0)[number % 3])
        with pytest.raises((PowerLostError, PumpGoneError)):
            pump.install_library(new)
        bench.power_on()
        info = bench.connect().library()
        assert info.missing == ""
        found.append(info.version)
        bench.power_cut()
    record_property("cuts", len(operations))
    # Until the header is whole, the old one is what counts.
    assert set(found[:last]) == {1}
    assert found[last] in (1, 2)
    bench.power_on()
    pump = bench.connect()
    pump.install_library(new)
    assert pump.library().version == 2


@pytest.mark.needs("flash", "power_cut")
def test_what_is_installed_survives_a_loss_of_power_and_says_so(bench, images):
    old, _ = images
    bench.pump.provision(KEY)
    bench.pump.install_library(old)
    told = bench.pump.library()
    bench.power_cut()
    bench.power_on()
    pump = bench.connect()
    assert pump.library() == told
    (installed,) = [event for event in pump.events() if event.code == journal.LIBRARY_INSTALLED]
    assert (installed.a, installed.b) == (1, len(old))


def order_fields(name: str) -> tuple[int, dict]:
    """An example order as its message's fields."""
    order = load_order(EXAMPLES / "orders" / f"{name}.toml")
    return order.prescription.kind, dict(order.prescription.at_clock(0).fields)


def confirmed(pump, accepted) -> int:
    """Start what is beyond soft limits, in two requests; returns what was overridden."""
    with pytest.raises(PumpRefusedError) as refused:
        pump.start(accepted.program_id)
    assert refused.value.asks == accepted.asks != 0
    pump.start(accepted.program_id, accepted.asks)
    return accepted.asks


def test_morphine_beyond_its_soft_limit_is_overridden_and_noted(bench, source):
    pump = bench.pump
    pump.provision(KEY)
    pump.install_library(build_image(source, KEY))
    kind, fields = order_fields("pca-morphine")
    accepted = pump.prescribe(kind, fields)
    assert accepted.library == "in the library"
    confirmed(pump, accepted)
    wait_until(bench, "infusing")
    names = tuple(finding.kind for finding in accepted.findings)
    assert names
    assert pump.status().overrides == names
    overridden = [event for event in pump.events() if event.code == journal.OVERRIDDEN]
    assert [event.a >> 8 for event in overridden] == [
        kind for kind in range(library.KINDS) if accepted.asks >> kind & 1
    ]
    # Beyond the hard limit there is no way.
    hard = {**fields, "demand_ul": fields["demand_ul"] * 6, "demand_ul_h": 600_000}
    pump.stop()
    with pytest.raises(PumpRefusedError) as refused:
        pump.prescribe(kind, hard)
    assert prescription.HARD_LIMIT <= refused.value.code < prescription.SOFT_LIMIT


@pytest.mark.fitted("peristaltic")
def test_stepped_nutrition_beyond_its_soft_limit_is_overridden_and_noted(bench, source):
    pump = bench.pump
    pump.provision(KEY)
    pump.install_library(build_image(source, KEY))
    kind, fields = order_fields("tpn-stepped")
    accepted = pump.prescribe(kind, fields)
    (finding,) = accepted.findings
    # 210.5 mL/h where about 200 are the most (domain figures, section 7).
    assert (finding.kind, finding.level) == ("rate", "upper soft")
    assert finding.value == pytest.approx(210_526, abs=1)
    confirmed(pump, accepted)
    assert pump.status().overrides == ("rate",)
    (overridden,) = [event for event in pump.events() if event.code == journal.OVERRIDDEN]
    assert overridden.b == finding.value
    pump.stop()
    wait_until(bench, "stopped")


@pytest.mark.fitted("peristaltic")
@pytest.mark.needs("step_edges", "flash")
def test_judging_titrations_leaves_no_gap_in_the_steps(bench, source, record_property):
    """The library lies in flash, the governor reckons with long integers, and the motor runs on."""
    pump = bench.pump
    pump.provision(KEY)
    pump.install_library(build_image(source, KEY))
    kind, fields = order_fields("hydration-iv")
    accepted = pump.prescribe(kind, fields)
    assert accepted.library == "in the library"
    pump.start(accepted.program_id, 0)
    bench.run_s(3)
    before_s = bench.now_s
    rates_ul_h = [120_000, 115_000, 110_000, 125_000]
    for rate_ul_h in rates_ul_h:
        pump.set_rate(rate_ul_h)
    record_property("titration_ms", round((bench.now_s - before_s) * 1000 / len(rates_ul_h), 1))
    with pytest.raises(PumpRefusedError) as refused:
        pump.set_rate(1_000_000)
    assert refused.value.code == prescription.HARD_LIMIT + library.RATE
    bench.run_s(3)
    status = pump.status()
    assert (status.state, status.alarms, status.rate_ul_h) == ("infusing", (), rates_ul_h[-1])
    pump.stop()
    wait_until(bench, "stopped")
    (run,) = bench.runs()[-1:]
    slowest_ns = 3600e9 * status.nl_num / status.nl_den / (min(rates_ul_h) * 1000)
    gaps_ns = [later - edge for edge, later in zip(run.edges_ns, run.edges_ns[1:], strict=False)]
    # But for the end of the stroke, which is a run of its own.
    assert max(gaps_ns) <= slowest_ns + 1000
