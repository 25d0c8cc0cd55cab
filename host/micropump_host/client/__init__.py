"""Talking to a pump over a serial line: typed, with timeouts, safe retries and reattachment."""

from micropump_host.client.answers import (
    KIND_NAMES,
    LEVEL_NAMES,
    LIMIT_NAMES,
    OUTSIDE,
    STANDINGS,
    THERAPY_NAMES,
    Accepted,
    Event,
    Finding,
    Info,
    LibraryInfo,
    Prediction,
    SensorValue,
    Status,
)
from micropump_host.client.errors import (
    NotAPumpError,
    PortAbsentError,
    PortBusyError,
    PumpGoneError,
    PumpRefusedError,
    PumpRestartedError,
    PumpTimeoutError,
)
from micropump_host.client.pump import Pump

__all__ = [
    "KIND_NAMES",
    "LEVEL_NAMES",
    "LIMIT_NAMES",
    "OUTSIDE",
    "STANDINGS",
    "THERAPY_NAMES",
    "Accepted",
    "Event",
    "Finding",
    "Info",
    "LibraryInfo",
    "NotAPumpError",
    "PortAbsentError",
    "PortBusyError",
    "Prediction",
    "Pump",
    "PumpGoneError",
    "PumpRefusedError",
    "PumpRestartedError",
    "PumpTimeoutError",
    "SensorValue",
    "Status",
]
