"""The verbs for suites: any therapy in a line, on the bench that is fastest."""

import pytest

from micropump import program
from micropump_hil.benches.specs import spec_of
from micropump_hil.verbs import prescribe, treat, wait_until
from micropump_host.client import THERAPY_NAMES

# What a suite has to say of each therapy.
SHORT = {
    program.CONTINUOUS: {"rate_ul_h": 60_000, "vtbi_ul": 500},
    program.INTERMITTENT: {"dose_ul": 200, "rate_ul_h": 60_000, "interval_s": 60, "doses": 2},
    program.RAMP: {"vtbi_ul": 500, "duration_s": 60, "up_s": 20},
    program.STEPPED: {"steps": [(60_000, 300, 0), (30_000, 0, 24)]},
    program.PCA: {"vtbi_ul": 500, "rate_ul_h": 60_000, "demand_ul": 50, "demand_ul_h": 60_000,
                  "lockout_s": 60},
    program.PURGE: {"volume_ul": 500, "rate_ul_h": 60_000},
}  # fmt: skip


@pytest.fixture(params=["syringe", "peristaltic"])
def bench(request):
    opened = spec_of("cpython").open(request.param)
    yield opened
    opened.close()


@pytest.mark.parametrize("kind", SHORT, ids=THERAPY_NAMES.get)
def test_a_therapy_is_prescribed_in_a_line_and_treated_in_another(bench, kind):
    accepted = prescribe(bench, kind, **SHORT[kind])
    status = bench.status()
    assert (status.state, status.therapy) == ("programmed", THERAPY_NAMES[kind])
    assert status.program_id == accepted.program_id
    assert status.content_ul > 0
    assert treat(bench, kind, **SHORT[kind]) == accepted
    assert bench.status().state in ("infusing", "priming")
    ended = wait_until(bench, "completed" if kind == program.PURGE else "kvo", within_s=300)
    if kind == program.INTERMITTENT:
        # The KVO between the two doses came first.
        assert ended.doses == 1
    else:
        assert ended.given_steps == ended.target_steps > 0


def test_a_field_that_the_therapy_has_not_got_is_an_error(bench):
    with pytest.raises(TypeError, match="ramp has no field rate_ul_h"):
        prescribe(bench, program.RAMP, vtbi_ul=500, duration_s=60, rate_ul_h=5_000)
    assert bench.status().state == "idle"


def test_what_is_set_up_can_be_said_otherwise(bench):
    prescribe(bench, program.CONTINUOUS, rate_ul_h=60_000, vtbi_ul=500, content_ul=700)
    assert bench.status().content_ul == pytest.approx(700, abs=1)
