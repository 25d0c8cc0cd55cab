"""What suites do with a pump, in words."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from micropump.mechanism import KIND_PERISTALTIC, KIND_SYRINGE
from micropump.therapy import KVO_BY_RULE
from micropump_hil.benches import Bench
from micropump_host.client import Accepted, Status

POLL_S = 0.1
_KINDS = {"syringe": KIND_SYRINGE, "peristaltic": KIND_PERISTALTIC}


def wait_until(bench: Bench, *states: str, within_s: float = 60.0) -> Status:
    """Let bench time pass until the pump's state is one of ``states``; returns that status.

    Raises:
        AssertionError: if that does not come within ``within_s`` seconds of bench time.

    """
    return wait_for(
        bench, lambda status: status.state in states, " or ".join(states), within_s=within_s
    )


def wait_for(
    bench: Bench,
    reached: Callable[[Status], bool],
    what: str,
    *,
    within_s: float = 60.0,
    poll_s: float = POLL_S,
) -> Status:
    """Let bench time pass until ``reached(status)``; returns that status.

    Raises:
        AssertionError: if that does not come within ``within_s`` seconds of bench time.

    """
    deadline_s = bench.now_s + within_s
    while not reached(status := bench.status()):
        assert bench.now_s < deadline_s, f"not {what} within {within_s} s: {status}"
        bench.run_s(poll_s)
    return status


def infuse(
    bench: Bench,
    item_id: str,
    rate_ul_h: int,
    vtbi_ul: int,
    *,
    content_ul: int | None = None,
    kvo_ul_h: int = KVO_BY_RULE,
) -> Accepted:
    """Program a continuous infusion and start it; KVO by the rule if no rate is given."""
    accepted = load(bench, item_id, rate_ul_h, vtbi_ul, content_ul=content_ul, kvo_ul_h=kvo_ul_h)
    bench.pump.start(accepted.program_id)
    return accepted


def load(
    bench: Bench,
    item_id: str,
    rate_ul_h: int,
    vtbi_ul: int,
    *,
    content_ul: int | None = None,
    kvo_ul_h: int = KVO_BY_RULE,
) -> Accepted:
    """Program a continuous infusion; it does not start."""
    return bench.pump.program(
        _KINDS[bench.kind], item_id, content_ul or vtbi_ul, vtbi_ul, rate_ul_h, kvo_ul_h=kvo_ul_h
    )


@contextmanager
def infusing(bench: Bench, item_id: str, rate_ul_h: int, vtbi_ul: int) -> Iterator[Accepted]:
    """An infusion for the time of a block, stopped at its end."""
    accepted = infuse(bench, item_id, rate_ul_h, vtbi_ul)
    try:
        yield accepted
    finally:
        bench.pump.stop()
