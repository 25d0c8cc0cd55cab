"""The same order gives the same step trace on every bench, and that of the exact schedule."""

import bisect
from fractions import Fraction

import pytest

from micropump.mechanism import KIND_PERISTALTIC, KIND_SYRINGE, build
from micropump.units import QUANTUM_MS
from micropump_hil.benches import spec_of
from micropump_hil.judge import Leg, due_us
from micropump_hil.verbs import infuse, wait_for, wait_until

QUANTUM_US = QUANTUM_MS * 1000
KIND_NUMBERS = {"syringe": KIND_SYRINGE, "peristaltic": KIND_PERISTALTIC}

ORDERS = [
    # fitted, item, rate, VTBI, content
    pytest.param("syringe", "bd-plastipak-3", 1_200_000, 600, 3_000, id="to-kvo"),
    pytest.param("syringe", "bd-plastipak-50", 25_000, 100, 100, id="slow-to-the-end"),
    pytest.param("peristaltic", "runze-rz1030-0142", 400_000, 300, 1_000, id="head-to-kvo"),
]


def trace_us(bench, item_id, rate_ul_h, vtbi_ul, content_ul):
    infuse(bench, item_id, rate_ul_h, vtbi_ul, content_ul=content_ul)
    if content_ul > vtbi_ul:
        wait_until(bench, "kvo", within_s=30)
        wait_for(bench, lambda now: now.kvo_steps >= 5, "KVO", within_s=5)
        # A head finishes its stroke on the first, and stands still on the second.
        bench.pump.stop()
        bench.pump.stop()
    else:
        wait_until(bench, "completed", within_s=30)
    status = bench.status()
    edges_us = bench.edges_us()
    assert len(edges_us) == status.infused_steps + status.kvo_steps
    # When KVO was stopped is the host's doing; five steps of it are everyone's.
    return edges_us[: status.infused_steps + 5]


@pytest.mark.needs("step_edges")
@pytest.mark.parametrize(("fitted", "item_id", "rate_ul_h", "vtbi_ul", "content_ul"), ORDERS)
def test_the_trace_is_that_of_cpython_and_of_the_schedule(
    bench, fitted, item_id, rate_ul_h, vtbi_ul, content_ul
):
    order = (item_id, rate_ul_h, vtbi_ul, content_ul)
    trace = trace_us(bench, *order)
    reference = spec_of("cpython").open(fitted)
    try:
        assert trace == trace_us(reference, *order)
    finally:
        reference.close()
    mechanism = build(KIND_NUMBERS[fitted], item_id, bench.pump.info.drive_id)
    nl_per_step = Fraction(mechanism.nl_num, mechanism.nl_den)
    vtbi_steps = mechanism.steps_for_ul(vtbi_ul)
    expected = due_us(nl_per_step, [Leg(0, rate_ul_h)], vtbi_steps)
    # In the quantum in which KVO follows, the steps of both are spread evenly.
    alone = vtbi_steps
    if content_ul > vtbi_ul:
        joint_us = (expected[-1] - 1) // QUANTUM_US * QUANTUM_US
        alone = bisect.bisect_right(expected, joint_us)
        spread_us = [at + expected[0] for at in trace[alone:vtbi_steps]]
        assert all(joint_us < at <= joint_us + QUANTUM_US for at in spread_us)
    assert alone > 0
    assert trace[:alone] == [at - expected[0] for at in expected[:alone]]
