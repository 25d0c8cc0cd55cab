"""Taking spinning PIO to its loop's end changes nothing that can be seen."""

import secrets

import pytest

from micropump_hil.verbs import infuse


def digest_of_an_infusion(model, rate_ul_h):
    """Every edge of STEP and EN, over a change of rate, a pause, CPU death and the interlock."""
    bench = type(model)("emulated", "syringe", model.image)
    try:
        infuse(bench, "bd-plastipak-3", rate_ul_h, 3_000)
        bench.run_s(0.3)
        bench.pump.set_rate(rate_ul_h - 7)
        bench.run_s(0.2333)
        bench.pump.pause()
        bench.pump.resume()
        bench.run_s(0.2)
        bench.kill_cpu()
        bench.run_s(0.1)
        bench.set_interlock(is_open=True)
        bench.run_s(0.1)
        return bench.pico.pins.digest(), bench.counted_steps(), bench.pico.now_ns
    finally:
        bench.close()


@pytest.mark.needs("cpu_death", "step_edges")
@pytest.mark.parametrize("rate_ul_h", [25_000, 1_200_000])
def test_the_same_edges_with_and_without(bench, rate_ul_h, monkeypatch):
    # A session's number is random, and so is the time that its bytes take.
    monkeypatch.setattr(secrets, "randbelow", lambda _: 12_345)
    skipped = digest_of_an_infusion(bench, rate_ul_h)
    monkeypatch.setattr("micropump_hil.benches.emulated.skip_spins", lambda _: None)
    assert digest_of_an_infusion(bench, rate_ul_h) == skipped
