"""Talking to a pump over a serial line: typed, with timeouts, safe retries and reattachment."""

from micropump_host.client.errors import (
    NotAPumpError,
    PortAbsentError,
    PortBusyError,
    PumpGoneError,
    PumpRefusedError,
    PumpRestartedError,
    PumpTimeoutError,
)
from micropump_host.client.pump import (
    KIND_NAMES,
    THERAPY_NAMES,
    Accepted,
    Event,
    Info,
    Pump,
    Status,
)

__all__ = [
    "KIND_NAMES",
    "THERAPY_NAMES",
    "Accepted",
    "Event",
    "Info",
    "NotAPumpError",
    "PortAbsentError",
    "PortBusyError",
    "Pump",
    "PumpGoneError",
    "PumpRefusedError",
    "PumpRestartedError",
    "PumpTimeoutError",
    "Status",
]
