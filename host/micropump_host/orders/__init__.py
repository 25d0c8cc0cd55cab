"""Order files: what shall be delivered, from which container, in TOML with a unit on every figure.

``load_order`` reads a file and tells all that is wrong with it at once; ``check_order`` asks the
pump's own core whether a mechanism can deliver it. ``docs/orders.md`` is the users' description.
"""

from micropump_host.orders.check import CheckedOrder, check_order, default_drive_id
from micropump_host.orders.order import Order, OrderError, Problem
from micropump_host.orders.quantity import (
    QuantityError,
    duration_text,
    parse_duration_s,
    parse_rate_ul_h,
    parse_volume_ul,
    rate_text,
    volume_text,
)
from micropump_host.orders.read import load_order, parse_order

__all__ = [
    "CheckedOrder",
    "Order",
    "OrderError",
    "Problem",
    "QuantityError",
    "check_order",
    "default_drive_id",
    "duration_text",
    "load_order",
    "parse_duration_s",
    "parse_order",
    "parse_rate_ul_h",
    "parse_volume_ul",
    "rate_text",
    "volume_text",
]
