"""Order files: what shall be delivered, from which container, in TOML with a unit on every figure.

``load_order`` reads a file and tells all that is wrong with it at once; ``check_order`` asks the
pump's own core whether a mechanism can deliver it. ``docs/orders.md`` is the users' description.
"""

from micropump_host.orders.check import (
    CheckedOrder,
    Stretch,
    check_order,
    default_drive_id,
    timeline,
)
from micropump_host.orders.order import (
    Container,
    Drug,
    Order,
    OrderError,
    Prescription,
)
from micropump_host.orders.read import load_order, parse_order
from micropump_host.orders.therapies import PROGRAM_NAMES
from micropump_host.reading.dosage import (
    Basis,
    Concentration,
    Figure,
    MissingBasisError,
    parse_concentration,
    read_rate,
    read_volume,
)
from micropump_host.reading.problems import Problem
from micropump_host.reading.quantity import (
    QuantityError,
    duration_text,
    parse_duration_s,
    parse_rate_ul_h,
    parse_volume_ul,
    rate_text,
    volume_text,
)

__all__ = [
    "PROGRAM_NAMES",
    "Basis",
    "CheckedOrder",
    "Concentration",
    "Container",
    "Drug",
    "Figure",
    "MissingBasisError",
    "Order",
    "OrderError",
    "Prescription",
    "Problem",
    "QuantityError",
    "Stretch",
    "check_order",
    "default_drive_id",
    "duration_text",
    "load_order",
    "parse_concentration",
    "parse_duration_s",
    "parse_order",
    "parse_rate_ul_h",
    "parse_volume_ul",
    "rate_text",
    "read_rate",
    "read_volume",
    "timeline",
    "volume_text",
]
