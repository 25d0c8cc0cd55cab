"""What suites do with a pump, in words."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from micropump import wire
from micropump.link import PROGRAMS
from micropump.mechanism import KIND_PERISTALTIC, KIND_SYRINGE
from micropump.therapy import CLOCK_UNKNOWN_S, KVO_BY_RULE
from micropump_hil.benches import Bench
from micropump_host.client import THERAPY_NAMES, Accepted, Status

POLL_S = 0.1
_KINDS = {"syringe": KIND_SYRINGE, "peristaltic": KIND_PERISTALTIC}
_MESSAGES = {kind: message for message, kind in PROGRAMS.items()}
# Of each kind of mechanism the item, and what its container holds, where a suite names none.
_SETUPS: dict[str, dict[str, Any]] = {
    "syringe": {"item_id": "bd-plastipak-50", "content_ul": 50_000},
    "peristaltic": {"item_id": "runze-rz1030-0142", "content_ul": 1_000_000},
}


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


def prescribe(bench: Bench, kind: int, **fields: Any) -> Accepted:
    """Program any therapy; it does not start.

    Args:
        bench: where.
        kind: ``micropump.program.CONTINUOUS`` … ``PURGE``.
        fields: those of its message in ``micropump.wire`` that matter. The others are: the
            mechanism of the bench with a 50 mL syringe or a 1 L bag, full and the only one, KVO by
            the rule, one dose, no clock, and nothing (0, or an empty list or text) for the rest.

    Raises:
        TypeError: if its message has no such field.

    """
    declared = {name: kind_of for name, kind_of, *_ in wire.fields_of(_MESSAGES[kind])}
    if unknown := fields.keys() - declared.keys():
        raise TypeError(f"{THERAPY_NAMES[kind]} has no field {', '.join(sorted(unknown))}")
    defaults = {name: _nothing(is_) for name, is_ in declared.items()} | {
        "kind": _KINDS[bench.kind],
        **_SETUPS[bench.kind],
        "containers": 1,
        "kvo_ul_h": KVO_BY_RULE,
        "doses": 1,
        "clock_s": CLOCK_UNKNOWN_S,
    }
    values = {name: fields.get(name, defaults[name]) for name in declared}
    return bench.pump.prescribe(kind, values)


def _nothing(kind_of: str) -> Any:
    """What a field of a kind is that says nothing."""
    if kind_of == wire.TEXT:
        return ""
    return [] if kind_of in wire.RECORDS else 0


def treat(bench: Bench, kind: int, **fields: Any) -> Accepted:
    """Program any therapy as ``prescribe`` does, and start it."""
    accepted = prescribe(bench, kind, **fields)
    bench.pump.start(accepted.program_id)
    return accepted


@contextmanager
def infusing(bench: Bench, item_id: str, rate_ul_h: int, vtbi_ul: int) -> Iterator[Accepted]:
    """An infusion for the time of a block, stopped at its end."""
    accepted = infuse(bench, item_id, rate_ul_h, vtbi_ul)
    try:
        yield accepted
    finally:
        bench.pump.stop()
