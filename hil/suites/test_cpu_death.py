"""A processor that dies: the motor starves, the watchdog resets, nothing starts by itself."""

from fractions import Fraction

import pytest

from micropump.motion import HORIZON_MS
from micropump_hil.verbs import infuse

pytestmark = pytest.mark.needs("cpu_death", "watchdog", "step_edges", "motor_enable")

ITEM = "bd-plastipak-10"
RATES_UL_H = (100, 1_000, 5_000, 25_000, 100_000, 400_000, 1_200_000)
# The greatest misdose of a single fault, by decision; µL.
LIMITS_UL = {1_200_000: 200.0, 5_000: 10.0}
WATCHDOG_S = 1.0


@pytest.mark.parametrize("rate_ul_h", RATES_UL_H)
def test_a_dead_processor_starves_the_motor_and_is_reset(bench, rate_ul_h, record_property):
    accepted = infuse(bench, ITEM, rate_ul_h, 10_000)
    # Just after a quantum was planned, half a quantum into one: the most is queued then.
    bench.run_s((bench.runs()[0].on_ns + 1_010_000_000) / 1e9 - bench.now_s)
    died_ns = bench.pico.now_ns
    bench.kill_cpu()
    reset = bench.await_reset(within_s=2 * WATCHDOG_S)

    after = [at for at in bench.runs()[0].edges_ns if at > died_ns]
    nl_per_step = Fraction(accepted.nl_num, accepted.nl_den)
    dose_ul = float(len(after) * nl_per_step / 1000)
    record_property("rate_ul_h", rate_ul_h)
    record_property("dose_ul", round(dose_ul, 4))
    record_property("steps", len(after))
    record_property("last_step_ms", round((after[-1] - died_ns) / 1e6, 1) if after else 0)
    record_property("reset_ms", round((reset.at_ns - died_ns) / 1e6, 1))
    # A step more than the horizon's volume: one may have been just about to come.
    horizon_ul = rate_ul_h * HORIZON_MS / 3_600_000 + float(nl_per_step) / 1000
    assert dose_ul <= min(horizon_ul, LIMITS_UL.get(rate_ul_h, horizon_ul))
    assert all(at <= died_ns + HORIZON_MS * 1_000_000 for at in after)
    if rate_ul_h == max(RATES_UL_H):
        # So that the limit is tried where it is met, not where there happens to be little queued.
        assert dose_ul > 0.95 * horizon_ul
    assert reset.cause == "watchdog-timer"
    assert reset.at_ns - died_ns <= WATCHDOG_S * 1e9

    # Off from the first instant of the reset, and it stays off.
    assert bench.runs()[-1].off_ns <= reset.at_ns
    bench.run_s(2)
    assert len(bench.runs()) == 1
    assert not bench.stray_edges_ns()
    assert bench.connect().info.reset_cause == "watchdog"
    assert bench.status().state == "idle"
    assert next(event.text for event in bench.pump.events()) == "reset cause 2"


@pytest.mark.parametrize("into_quantum_ms", range(0, 100, 20))
def test_the_dose_is_within_the_limit_whenever_it_dies(bench, into_quantum_ms):
    accepted = infuse(bench, ITEM, 1_200_000, 10_000)
    bench.run_s(0.8 + into_quantum_ms / 1000)
    died_ns = bench.pico.now_ns
    bench.kill_cpu()
    bench.run_s(0.9)
    after = [at for at in bench.runs()[0].edges_ns if at > died_ns]
    dose_ul = float(len(after) * Fraction(accepted.nl_num, accepted.nl_den) / 1000)
    assert 100 < dose_ul <= LIMITS_UL[1_200_000]
    bench.await_reset(within_s=2 * WATCHDOG_S)
