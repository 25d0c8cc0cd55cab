"""What the core refuses, told in clinical units and with the line of the order that is to blame."""

from collections.abc import Callable
from fractions import Fraction

from micropump import therapy, wire
from micropump.mechanism import Mechanism
from micropump.therapy import RefusedError
from micropump_host.orders import items
from micropump_host.orders.order import Order, OrderError, Prescription
from micropump_host.reading.problems import Problem
from micropump_host.reading.quantity import duration_text, exact_text, rate_text, volume_text
from micropump_host.reading.tables import line_of

# Field of the wire -> what the file may call it; the first of these that is in the file.
LABELS = {
    "kind": ("[container]",),
    "item_id": ("[container] syringe", "[container] head"),
    "content_ul": ("[container] content", "[container] syringe", "[container] head"),
    "containers": ("[container] count",),
    "order_id": ("[order] id",),
    "asked_by": ("[order] asked_by",),
    "drug_id": ("[drug] id",),
    "care_area": ("[drug] care_area",),
    "concentration_in": ("[drug] concentration",),
    "concentration_mantissa": ("[drug] concentration",),
    "concentration_exponent": ("[drug] concentration",),
    "weight_g": ("[patient] weight",),
    "delay_s": ("[therapy] delay",),
    "kvo_ul_h": ("[therapy] kvo",),
    "rate_ul_h": ("[therapy] rate", "[therapy] basal", "[therapy] time"),
    "vtbi_ul": ("[therapy] vtbi", "[therapy] dose"),
    "duration_s": ("[therapy] time",),
    "loading_ul": ("[therapy] loading",),
    "loading_ul_h": ("[therapy] loading_rate", "[therapy] loading_time", "[therapy] loading"),
    "dose_ul": ("[therapy] dose",),
    "interval_s": ("[therapy] every",),
    "doses": ("[therapy] count", "[therapy] for"),
    "times": ("[therapy] at",),
    "clock_s": ("[therapy] at",),
    "up_s": ("[therapy] up", "[therapy] down"),
    "down_s": ("[therapy] down",),
    "steps": ("[therapy.step 1]", "[therapy] escalate", "[therapy] profile", "[therapy] step"),
    "demand_ul": ("[therapy] demand",),
    "demand_ul_h": ("[therapy] demand_rate", "[therapy] demand"),
    "lockout_s": ("[therapy] lockout",),
    "window_1_s": ("[therapy.limits 1] within",),
    "limit_1_ul": ("[therapy.limits 1] most",),
    "window_2_s": ("[therapy.limits 2] within",),
    "limit_2_ul": ("[therapy.limits 2] most",),
    "volume_ul": ("[therapy] volume",),
    "reverse": ("[therapy] program",),
}


def _weight_text(weight_g: int) -> str:
    return f"{exact_text(Fraction(weight_g, 1000))} kg"


_TEXTS = {"µL": volume_text, "µL/h": rate_text, "s": duration_text, "g": _weight_text}

_NAMES = {
    "vtbi_ul": "a VTBI",
    "dose_ul": "a dose",
    "doses": "a count",
    "demand_ul": "a demand dose",
    "loading_ul": "a loading dose",
    "volume_ul": "a purge",
    "kvo_ul_h": "a KVO rate",
    "rate_ul_h": "a rate",
    "loading_ul_h": "a loading rate",
    "demand_ul_h": "a demand rate",
}

# Code of the core -> how its figures are written, what was wrong, and what to do about it.
_OUTSIDE = "{name} of {value} is outside of {least} to {greatest}"
WORDS: dict[int, tuple[Callable[[int], str], str, str]] = {
    therapy.VTBI_BELOW_RANGE: (volume_text, _OUTSIDE, "Choose one within that range"),
    therapy.VTBI_ABOVE_RANGE: (volume_text, _OUTSIDE, "Choose one within that range"),
    therapy.CONTENT_ABOVE_CAPACITY: (
        volume_text,
        "{value} is more than the {greatest} that {item} holds",
        "State the content that is really in it, or take a larger syringe",
    ),
    therapy.NEEDS_RATE_OR_TIME: (
        str,
        "an infusion takes either a rate or a time",
        "Give exactly one of them",
    ),
    therapy.KVO_ABOVE_RATE: (
        rate_text,
        "{name} of {value} is above the {greatest} of the therapy itself",
        'Choose a lower one, or write kvo = "rule"',
    ),
    therapy.RAMP_TOO_LONG: (
        duration_text,
        "ramps of {value} are longer than the {greatest} of the whole",
        "Shorten them, or take more time",
    ),
    therapy.STEPS_DO_NOT_SUM: (
        volume_text,
        "the steps sum to {least} and not to {value}",
        "Mend a step, or leave the VTBI to the steps",
    ),
    therapy.STEP_NEEDS_VOLUME_OR_TIME: (
        str,
        "step {value} takes either a volume or a time",
        "Give exactly one of them",
    ),
    therapy.DOSE_BELOW_RANGE: (
        volume_text,
        "{name} of {value} is less than the {least} that a pump can give",
        "Choose more, or dilute the drug",
    ),
    therapy.DOSE_ABOVE_VTBI: (
        volume_text,
        "{name} of {value} is more than the {greatest} that there may be",
        "Choose less",
    ),
    therapy.INTERVAL_TOO_SHORT: (
        duration_text,
        "{value} from dose to dose is shorter than the {least} that a dose takes",
        "Choose a longer interval, or a higher rate",
    ),
    therapy.NO_SUCH_TIME: (
        str,
        "{value} is no minute of the day",
        "Write 00:00 to 23:59, ascending",
    ),
    therapy.CLOCK_NOT_TOLD: (
        str,
        "doses by the time of day take a pump that is told the time",
        "Tell it when the order is checked",
    ),
    therapy.LIMIT_BELOW_DOSE: (
        volume_text,
        "a limit of {value} is less than the {least} of one dose and the basal flow in its window",
        "Raise the limit, or lower the dose or the basal rate",
    ),
    therapy.LOCKOUT_TOO_SHORT: (
        duration_text,
        "a lockout of {value} is shorter than the {least} that a demand dose takes",
        "Choose a longer lockout, or a higher demand_rate",
    ),
    therapy.WINDOW_OUT_OF_RANGE: (
        duration_text,
        "a window of {value} is outside of {least} to {greatest}",
        "Choose one within that range",
    ),
    therapy.LOADING_INCOMPLETE: (
        str,
        "a loading dose takes a volume and a rate",
        "Give both of them",
    ),
    therapy.COMBINED_ABOVE_RANGE: (
        rate_text,
        "{name} of {value} and the basal rate are above what {item} can run; beside the basal rate "
        "it can run {greatest}",
        "Choose a lower demand_rate",
    ),
    therapy.NO_STEPS: (str, "there are no steps", "Write at least one"),
    therapy.RAMP_NEEDS_TIME: (str, "a ramp takes a time for the whole", 'Write time = "12 h"'),
    therapy.CANNOT_REVERSE: (str, "a head does not run backwards", "Order a syringe"),
}
_OTHER = (str, "the pump refuses this ({value})", "See docs/orders.md")


def order_error(order: Order, label: str, what: str, remedy: str) -> OrderError:
    """Return the error about one key of an order."""
    problem = Problem(label, line_of(order.lines, label), what, remedy)
    return OrderError(order.source or f'order "{order.order_id}"', (problem,))


def check_wire(order: Order, prescription: Prescription) -> None:
    """Raise OrderError for what the wire cannot carry, whatever the core may think of it."""
    for name, kind, unit, least, greatest in wire.fields_of(prescription.message):
        value = prescription.fields[name]
        if kind == wire.TEXT:
            continue
        count = len(value) if isinstance(value, list) else value
        if not isinstance(count, int) or least <= count <= greatest:
            continue
        text = _TEXTS.get(unit, str)
        low = f"{text(least)} to " if least else "at most "
        what = f"{text(count)} is outside of what the pump takes, {low}{text(greatest)}"
        raise order_error(order, label_of(order, name), what, "Keep within it")


def refused(order: Order, built: Mechanism, error: RefusedError) -> OrderError:
    """Return what the core refused."""
    if error.code in (therapy.RATE_BELOW_RANGE, therapy.RATE_ABOVE_RANGE):
        return order_error(order, *_rate_refused(order, built, error))
    label = label_of(order, error.field) if error.field else "[therapy]"
    if error.code == therapy.VTBI_ABOVE_CONTENT:
        return order_error(order, label, *_content_exceeded(order, error))
    text, what, remedy = WORDS.get(error.code, _OTHER)
    if error.field == "doses":
        text = str
    elif error.code == therapy.STEP_NEEDS_VOLUME_OR_TIME:
        label = _steplabel_of(order, error.value)
    what = what.format(
        name=_NAMES.get(error.field, "this"),
        value=text(error.value),
        least=text(error.least),
        greatest=text(error.greatest),
        item=_item_name(order),
    )
    return order_error(order, label, what, remedy)


def _rate_refused(order: Order, built: Mechanism, error: RefusedError) -> tuple[str, str, str]:
    """Return label, what and remedy of a rate that the mechanism cannot run."""
    rate, allowed = (
        rate_text(error.value),
        f"{rate_text(error.least)} to {rate_text(error.greatest)}",
    )
    if error.field == "kvo_ul_h":
        what = f"a KVO rate of {rate} is outside of {allowed}"
        return label_of(order, error.field), what, 'Choose one within it, or write kvo = "rule"'
    allowed += f", what {_item_name(order)} on the drive {built.drive_id} can run"
    too_fast = error.code == therapy.RATE_ABOVE_RANGE
    prescription = order.prescription
    duration_s = prescription.number("duration_s")
    if duration_s and error.field in ("rate_ul_h", "vtbi_ul"):
        volume_ul = prescription.number("dose_ul") or prescription.number("vtbi_ul")
        what = (
            f"{volume_text(volume_ul)} in {duration_text(duration_s)} takes {rate}, "
            f"which is outside of {allowed}"
        )
        remedy = "a longer time, or another container" if too_fast else "a shorter time"
        return "[therapy] time", what, f"Choose {remedy}"
    label, name = label_of(order, error.field), _NAMES.get(error.field, "a rate")
    if error.field == "steps":
        number = _step_number(order, error.value)
        label, name = _steplabel_of(order, number), f"in step {number} a rate"
    remedy = "a lower rate, or another container" if too_fast else "a higher rate"
    return label, f"{name} of {rate} is outside of {allowed}", f"Choose {remedy}"


def _content_exceeded(order: Order, error: RefusedError) -> tuple[str, str]:
    """Return what and remedy of a volume that is more than the containers hold."""
    container = order.container
    loading_ul = order.prescription.number("loading_ul")
    held_ul = container.content_ul * container.containers
    volume_ul = error.value
    what, verb = f"{_NAMES[error.field]} of {volume_text(volume_ul)}", "is"
    if error.field == "dose_ul":
        doses = order.prescription.number("doses")
        what, verb = f"{doses} doses of {volume_text(volume_ul)}", "are"
        volume_ul *= doses
    if loading_ul:
        what, verb = f"{what} and a loading dose of {volume_text(loading_ul)}", "are"
    of = "the container" if container.containers == 1 else f"{container.containers} containers"
    what += f" {verb} more than the {volume_text(held_ul)} in {of}"
    if not container.content_ul:
        return what, "State what is in the container"
    needed = -(-(volume_ul + loading_ul) // container.content_ul)
    return what, f"Lower it, or plan {needed} containers with count = {needed} under [container]"


def label_of(order: Order, name: str) -> str:
    """What an order's file calls a field of the wire; its usual name where the file has none."""
    labels = LABELS[name]
    return next((label for label in labels if label in order.lines), labels[0])


def _steplabel_of(order: Order, number: int) -> str:
    label = f"[therapy.step {number}]"
    return label if label in order.lines else label_of(order, "steps")


def _step_number(order: Order, rate_ul_h: int) -> int:
    """Return the first step at a rate, counted from 1."""
    steps = order.prescription.records("steps")
    return next((at for at, step in enumerate(steps, 1) if step[0] == rate_ul_h), 1)


def _item_name(order: Order) -> str:
    return items.item_name(order.container.kind, order.container.item_id)
