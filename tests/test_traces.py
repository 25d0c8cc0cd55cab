"""Golden traces: what the motor is told in many orders, as text, on CPython and under MicroPython.

``python tests/test_traces.py`` writes tests/golden anew; a refactor leaves every file as it is.
"""

import hashlib
import textwrap
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import conftest  # noqa: F401  (the import paths, when this file is run by itself)
import pytest
import support

from micropump import mechanism, wire
from micropump.controller import STATE_NAMES
from micropump.mechanism import KIND_PERISTALTIC, KIND_SYRINGE
from micropump.motion import START_DELAY_MS, edges_us
from micropump.program import CONTINUOUS, INTERMITTENT, PCA, PURGE, RAMP, STEPPED
from micropump.therapy import KVO_BY_RULE, KVO_OFF
from micropump.units import QUANTUM_MS, SMALL_INT_LIMIT

GOLDEN = Path(__file__).resolve().parent / "golden"
# How much of a trace is shown: from either end, and on either side of every stop of the motor.
ENDS = 9
BESIDE = 2
CHUNK_MS = 60_000
# Buckets beside the two of every infusion.
OTHERS = ("primed", "bolus", "demand", "secondary", "retracted")


@dataclass(frozen=True)
class Order:
    """One order and what is done to it; times in ms after the pump is switched on.

    Attributes:
        name, title: of the file, and what it shows.
        kind, item_id, drive_id: what pumps.
        fields: of the program, by name.
        actions: (at_ms, message, values); a start without an id is of the last program.
        until_ms: where the trace ends.
        clock_ms: the pump's clock when it is switched on.
        therapy: of which kind the program is.

    """

    name: str
    title: str
    kind: int
    item_id: str
    drive_id: str
    fields: dict[str, object]
    actions: tuple[tuple[int, int, tuple[int, ...]], ...]
    until_ms: int
    clock_ms: int = 0
    therapy: int = CONTINUOUS


def continuous(
    rate_ul_h: int, duration_s: int, vtbi_ul: int, kvo_ul_h: int, content_ul: int
) -> dict[str, object]:
    return {
        "rate_ul_h": rate_ul_h, "duration_s": duration_s, "vtbi_ul": vtbi_ul,
        "content_ul": content_ul, "kvo_ul_h": kvo_ul_h,
    }  # fmt: skip


ORDERS = (
    Order(
        "01-syringe", "5 mL/h from a 60 mL syringe, KVO of 1 mL/h until it is empty",
        KIND_SYRINGE, "bd-plastipak-60", "t8-2mm-16",
        continuous(5_000, 0, 500, KVO_BY_RULE, 520),
        (), 450_000,
    ),
    Order(
        "02-least-rate", "0.01 mL/h from a 1 mL syringe, stopped after ten minutes",
        KIND_SYRINGE, "terumo-1", "m5-0.8-32",
        continuous(10, 0, 100, KVO_BY_RULE, 1_000),
        ((600_000, wire.STOP, ()),), 601_000,
    ),
    Order(
        "03-greatest-rate", "1200 mL/h through the largest head, the whole content as VTBI",
        KIND_PERISTALTIC, "masterflex-ls-18", "direct-16",
        continuous(1_200_000, 0, 10_000, KVO_BY_RULE, 10_000), (), 31_000,
    ),
    Order(
        "04-fine-and-fast", "200 mL/h in steps of 2 nL, KVO off",
        KIND_SYRINGE, "hamilton-1001", "m5-0.8-32",
        continuous(200_000, 0, 300, KVO_OFF, 900),
        (), 8_000,
    ),
    Order(
        "05-vtbi-over-time", "5 mL in 700 s through a geared head, KVO of 3 mL/h until empty",
        KIND_PERISTALTIC, "runze-yz1515x-16", "pg5-16",
        continuous(0, 700, 5_000, KVO_BY_RULE, 5_010),
        (), 720_000,
    ),
    Order(
        "06-titration", "5 mL/h, then 40, 0.5 and 12 mL/h on a screw of 8 mm",
        KIND_SYRINGE, "terumo-60", "t8-8mm-16",
        continuous(5_000, 0, 1_000, KVO_BY_RULE, 50_000),
        (
            (60_000, wire.SET_RATE, (40_000,)),
            (90_033, wire.SET_RATE, (500,)),
            (90_034, wire.SET_RATE, (501,)),
            (150_000, wire.SET_RATE, (12_000,)),
        ),
        400_000,
    ),
    Order(
        "07-pauses", "60 mL/h with pauses: in the start delay, in mid-step, for an hour",
        KIND_SYRINGE, "monoject-20", "t8-2mm-pg5-16",
        continuous(60_000, 0, 500, KVO_OFF, 20_000),
        (
            (20, wire.PAUSE, ()),
            (1_000, wire.RESUME, ()),
            (7_777, wire.PAUSE, ()),
            (7_778, wire.RESUME, ()),
            (20_001, wire.PAUSE, ()),
            (3_620_000, wire.RESUME, ()),
        ),
        3_660_000,
    ),
    Order(
        "08-kvo-3-ml-h", "KVO after exactly 10 mL/h is 3 mL/h, and is paused",
        KIND_PERISTALTIC, "runze-rz1030-0142", "28byj-48",
        continuous(10_000, 0, 100, KVO_BY_RULE, 200),
        ((60_000, wire.PAUSE, ()), (70_000, wire.RESUME, ())), 180_000,
    ),
    Order(
        "09-kvo-below-1-ml-h", "KVO after 0.8 mL/h is 0.8 mL/h",
        KIND_SYRINGE, "hsw-norm-ject-2", "t8-2mm-16",
        continuous(800, 0, 100, KVO_BY_RULE, 105),
        (), 480_000,
    ),
    Order(
        "10-clock-wrap", "30 mL/h while the clock passes 2**30 ms, then a pause and a change",
        KIND_SYRINGE, "braun-injekt-20", "m5-0.8-16",
        continuous(30_000, 0, 1_000, KVO_BY_RULE, 19_000),
        (
            (30_000, wire.PAUSE, ()),
            (31_000, wire.SET_RATE, (31_001,)),
            (32_000, wire.RESUME, ()),
        ),
        130_000,
        SMALL_INT_LIMIT - 20_000,
    ),
    Order(
        "11-ramp", "a trapezoid: 2 mL in 100 s, 20 s up and 30 s down, then KVO",
        KIND_SYRINGE, "bd-plastipak-20", "t8-2mm-16",
        {"vtbi_ul": 2_000, "duration_s": 100, "up_s": 20, "down_s": 30, "content_ul": 20_000},
        ((110_000, wire.STOP, ()),), 111_000, 0, RAMP,
    ),
    Order(
        "12-intermittent", "three doses of 0.333 mL every 20 s with KVO of 3 mL/h between, a pause",
        KIND_SYRINGE, "terumo-10", "t8-2mm-16",
        {
            "dose_ul": 333, "rate_ul_h": 120_000, "interval_s": 20, "doses": 3, "delay_s": 2,
            "content_ul": 1_100, "kvo_ul_h": 3_000,
        },
        ((25_030, wire.PAUSE, ()), (27_000, wire.RESUME, ())), 80_000, 0, INTERMITTENT,
    ),
    Order(
        "13-stepped", "six steps through a head, one shorter than a quantum, with a loose sum",
        KIND_PERISTALTIC, "masterflex-ls-14", "direct-16",
        {
            "vtbi_ul": 1_000,
            "steps": [
                (60_000, 250, 0), (120_000, 0, 6), (1_000, 0, 1), (400_000, 5, 0),
                (30_000, 240, 0), (90_000, 302, 0),
            ],
            "content_ul": 5_000, "kvo_ul_h": KVO_OFF,
        },
        (), 90_000, 0, STEPPED,
    ),
    Order(
        "14-pca", "basal flow with a loading dose, demands granted and locked out, a bolus",
        KIND_SYRINGE, "bd-plastipak-50", "t8-2mm-16",
        {
            "vtbi_ul": 1_000, "rate_ul_h": 10_000, "demand_ul": 100, "demand_ul_h": 60_000,
            "lockout_s": 10, "window_1_s": 60, "limit_1_ul": 600,
            "loading_ul": 50, "loading_ul_h": 120_000, "content_ul": 50_000,
        },
        (
            (2_000, wire.BOLUS, (150, 30_000, 0)),
            (5_000, wire.DEMAND, ()),
            (9_000, wire.DEMAND, ()),
            (15_000, wire.DEMAND, ()),
            (30_000, wire.SET_RATE, (0,)),
            (40_000, wire.SET_RATE, (12_000,)),
            (120_000, wire.BOLUS, (20, 0, 4)),
            (121_000, wire.PAUSE, ()),
            (122_000, wire.RESUME, ()),
        ),
        400_000, 0, PCA,
    ),
    Order(
        "15-purge-reverse", "the plunger drawn back by 0.5 mL, the rate ramped at both ends",
        KIND_SYRINGE, "bd-plastipak-60", "t8-2mm-16",
        {"volume_ul": 500, "rate_ul_h": 300_000, "reverse": 1},
        (), 10_000, 0, PURGE,
    ),
    Order(
        "16-container-change", "60 mL/h out of two containers, the change in the middle of a step",
        KIND_SYRINGE, "hsw-norm-ject-2", "t8-2mm-16",
        {
            "rate_ul_h": 60_000, "vtbi_ul": 400, "content_ul": 201, "containers": 2,
            "kvo_ul_h": KVO_OFF,
        },
        (
            (14_000, wire.CHANGE_CONTAINER, (250,)),
            (14_500, wire.ACKNOWLEDGE, ()),
            (15_000, wire.RESUME, ()),
        ),
        40_000,
    ),
    Order(
        "17-secondary", "0.2 mL of another medication at 60 mL/h while 12 mL/h are under way",
        KIND_PERISTALTIC, "runze-yz1515x-16", "pg5-16",
        {"rate_ul_h": 12_000, "vtbi_ul": 200, "content_ul": 10_000, "kvo_ul_h": KVO_OFF},
        (
            (20_000, wire.PROGRAM_SECONDARY, (1_000, 60_000, 200, 0)),
            (20_030, wire.START, ()),
        ),
        100_000,
    ),
    Order(
        "18-stroke", "a stroke is finished on a pause, and waited for; a stop cuts one short",
        KIND_PERISTALTIC, "masterflex-ls-14", "direct-16",
        {"rate_ul_h": 200_000, "vtbi_ul": 2_000, "content_ul": 10_000, "kvo_ul_h": KVO_OFF},
        (
            (5_000, wire.PAUSE, ()),
            (10_000, wire.RESUME, ()),
            (30_000, wire.PAUSE, ()),
            (30_200, wire.STOP, ()),
        ),
        32_000,
    ),
)  # fmt: skip


def run(order: Order, ground_type: type) -> tuple[list[tuple[int, ...]], list]:
    """The trace of ``order`` on a ground, times from its start, and the last status."""
    ground = ground_type(order.kind, order.drive_id, order.clock_ms)
    try:
        caller = support.Caller(ground, order.clock_ms)
        message, values = support.message_of(
            order.therapy, order.kind, order.item_id, **order.fields, order_id=order.name
        )
        program_id = caller.ask(order.clock_ms, message, values)[0]
        caller.ask(order.clock_ms, wire.START, (program_id,))
        at_ms = 0
        for action_ms, message, values in (*order.actions, (order.until_ms, wire.STATUS, ())):
            # In portions: a long trace does not fit into the port's heap at once.
            while at_ms < action_ms:
                at_ms = min(action_ms, at_ms + CHUNK_MS)
                ground.advance(order.clock_ms + at_ms)
            action = (program_id,) if message == wire.START else values
            status = caller.ask(order.clock_ms + at_ms, message, action, message == wire.DEMAND)
            if message == wire.PROGRAM_SECONDARY:
                program_id = status[0]
        trace = [(line[0] - order.clock_ms, *line[1:]) for line in ground.trace()]
    finally:
        ground.close()
    return trace, status


def as_text(order: Order, trace: list[tuple[int, ...]], status: list) -> str:
    """A golden file: the order, the outcome, and the trace, shortened where it is long."""
    quanta = [line for line in trace if len(line) > 1]
    raw = "".join(" ".join(map(str, line)) + "\n" for line in trace)
    field_names = [field[0] for field in wire.fields_of(wire.REPLY | wire.STATUS)]
    end = dict(zip(field_names, status, strict=True))
    fields = {**order.fields, "kvo_ul_h": order.fields.get("kvo_ul_h", KVO_BY_RULE)}
    if order.therapy == PURGE:
        del fields["kvo_ul_h"]
    said = {KVO_BY_RULE: "by rule", KVO_OFF: "off"}
    lines = [
        f"# {order.name}: {order.title}",
        f"# {order.item_id} on {order.drive_id}, nL per step {end['nl_num']}/{end['nl_den']}",
        *(
            "# " + line
            for line in textwrap.wrap(
                ", ".join(
                    f"{name} {said.get(value, value) if name == 'kvo_ul_h' else value}"
                    for name, value in fields.items()
                ),
                96,
            )
        ),
        f"# clock at the start {order.clock_ms} ms; times below are from the start",
        *(
            f"# {ms:>9} ms  {' '.join(map(str, (message_name(what), *v)))}"
            for ms, what, v in order.actions
        ),
        f"# {order.until_ms:>9} ms  {STATE_NAMES[end['state']]}, alarms {end['active_alarms']:06b},"
        f" infused {end['infused_rest']} steps, KVO {end['kvo_rest']} steps"
        + "".join(
            f", {name} {end[name + '_rest']} steps" for name in OTHERS if end[name + "_rest"]
        ),
        f"# handed to the stepper: {len(quanta)} quanta, {sum(line[1] for line in quanta)} steps",
        f"# sha256 of all lines {hashlib.sha256(raw.encode()).hexdigest()}",
        "# start_ms  steps  first_us  interval_us  part/whole  credit",
    ]
    assert not any(value for name, value in end.items() if name.endswith("_millions"))
    return "\n".join([*lines, *shortened(trace)]) + "\n"


def message_name(number: int) -> str:
    return next(name for message, name, _ in wire.MESSAGES if message == number)


def shortened(trace: list[tuple[int, ...]]) -> list[str]:
    shown = {*range(ENDS), *range(len(trace) - ENDS, len(trace))}
    for at, line in enumerate(trace):
        if len(line) == 1:
            shown.update(range(at - BESIDE, at + BESIDE + 1))
    lines = []
    left_out = left_out_steps = 0
    for at, line in enumerate(trace):
        if at in shown:
            if left_out:
                lines.append(f"       ...  {left_out} quanta, {left_out_steps} steps")
            left_out = left_out_steps = 0
            lines.append(one_line(line))
        else:
            left_out += 1
            left_out_steps += line[1]
    return lines


def one_line(line: tuple[int, ...]) -> str:
    if len(line) == 1:
        return f"{line[0]:>10}  motor stopped"
    start_ms, steps, first_us, interval_us, part, whole, credit = line
    return f"{start_ms:>10}  {steps:>5}  {first_us:>8}  {interval_us:>11}  {part}/{whole}  {credit}"


def text_of(order: Order, ground_type: type) -> str:
    return as_text(order, *run(order, ground_type))


@pytest.mark.parametrize(
    "ground_type", [support.CpythonGround, support.MicropythonGround], ids=["cpython", "port"]
)
@pytest.mark.parametrize("order", ORDERS, ids=[order.name for order in ORDERS])
def test_trace_is_the_golden_one(order, ground_type):
    assert text_of(order, ground_type) == (GOLDEN / f"{order.name}.txt").read_text()


@pytest.mark.parametrize(
    "order",
    [each for each in ORDERS if each.therapy == CONTINUOUS and not each.actions],
    ids=lambda order: order.name,
)
def test_the_vtbi_of_an_undisturbed_order_is_the_exact_schedule(order):
    # So that a golden file is not merely what the core once did.
    trace, _ = run(order, support.CpythonGround)
    parts = mechanism.build(order.kind, order.item_id, order.drive_id)
    schedule = support.Schedule(Fraction(parts.nl_num, parts.nl_den))
    vtbi_ul = order.fields["vtbi_ul"]
    rate_ul_h = order.fields["rate_ul_h"] or round(
        Fraction(vtbi_ul * 3600, order.fields["duration_s"])
    )
    vtbi_steps = parts.steps_for_ul(vtbi_ul)
    schedule.flow(START_DELAY_MS, order.until_ms, rate_ul_h, vtbi_steps)
    # The quantum in which the VTBI ends may hold steps of the KVO, and is spread evenly then.
    end_us = schedule.edges_us[-1]
    made_us, shared = [], 0
    for start_ms, *fields in (line for line in trace if len(line) > 1):
        edges = [start_ms * 1000 + us for us in edges_us(*fields)]
        if start_ms * 1000 < end_us <= (start_ms + QUANTUM_MS) * 1000:
            shared = len(edges)
        elif start_ms * 1000 < end_us:
            made_us += edges
    assert made_us == schedule.edges_us[: len(made_us)]
    assert len(made_us) < vtbi_steps <= len(made_us) + shared


def test_there_are_no_other_files_and_each_can_be_read_at_a_glance():
    assert sorted(path.stem for path in GOLDEN.iterdir()) == [order.name for order in ORDERS]
    assert all(len(path.read_text().splitlines()) < 60 for path in GOLDEN.iterdir())


@pytest.mark.parametrize("ground_type", [support.CpythonGround, support.MicropythonGround])
def test_several_commands_in_one_packet_are_traced_in_order(ground_type):
    # A pause and a resume arrive together, four times over: each stop comes after the quanta that
    # it cuts and before those that follow, and no step is lost.
    ground = ground_type(KIND_SYRINGE, "t8-2mm-16", 0)
    try:
        caller = support.Caller(ground, 0)
        program = support.message_of(
            CONTINUOUS, KIND_SYRINGE, "bd-plastipak-60", rate_ul_h=60_000, vtbi_ul=40_000
        )
        caller.ask(0, wire.START, (caller.ask(0, *program)[0],))
        ground.advance(2_000)
        packet = b"".join(
            wire.encode(message, caller.SESSION, 100 + at, ())
            for at, message in enumerate([wire.PAUSE, wire.RESUME] * 4)
        )
        answers = ground.send(2_030, packet).split(b"\0")[:-1]
        assert [wire.open_frame(answer)[0] for answer in answers] == [wire.DONE] * 8
        trace = ground.trace()
    finally:
        ground.close()
    stops = [at for at, line in enumerate(trace) if len(line) == 1]
    assert len(stops) == 4
    assert all(line[0] < 2_030 for line in trace[: stops[0]] if line[0] + 100 <= 2_030)
    # After each resume the first quantum is 50 ms later, never before the stop that precedes it.
    assert all(line[0] >= 2_080 for line in trace[stops[0] :] if len(line) > 1)


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for each in ORDERS:
        (GOLDEN / f"{each.name}.txt").write_text(text_of(each, support.CpythonGround))
