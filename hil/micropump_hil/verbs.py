"""What suites do with a pump, in words."""

import time

from micropump_host.client import Pump, Status

POLL_S = 0.02


def wait_until(pump: Pump, *states: str, within_s: float = 60.0) -> Status:
    """Poll the pump until its state is one of ``states``; returns the status that was.

    Raises:
        AssertionError: if that does not come within ``within_s`` seconds of wall time.

    """
    deadline_s = time.monotonic() + within_s
    while (status := pump.status()).state not in states:
        wanted = " or ".join(states)
        assert time.monotonic() < deadline_s, f"not {wanted} within {within_s} s: {status}"
        time.sleep(POLL_S)
    return status
