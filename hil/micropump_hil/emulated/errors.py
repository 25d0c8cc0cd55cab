"""What can go wrong with an emulated Pico, in words."""

from micropump_host.errors import MicropumpError


class EmulatorError(MicropumpError):
    """The emulated Pico could not do what was asked of it."""


class EmulatorMissingError(EmulatorError):
    """The emulator, or its compiled core, is not installed."""


class ImageError(EmulatorError):
    """The firmware image is missing, damaged, or not for an RP2040."""


class EmulatedTimeoutError(EmulatorError):
    """What was waited for did not come in the emulated time that was allowed.

    Attributes:
        received: the last bytes that came over USB.

    """

    def __init__(self, awaited: str, timeout_ms: float, at_ns: int, received: bytes) -> None:
        self.received = received
        last = f"The last it said was {received!r}" if received else "It has said nothing"
        super().__init__(
            f"{awaited} did not come within {timeout_ms:g} ms of emulated time",
            f"emulated Pico at {at_ns / 1e6:.3f} ms",
            f"{last}; allow more time, or look at what its program is doing.",
        )


class EmulatedProgramError(EmulatorError):
    """A program given to the REPL ended in an exception.

    Attributes:
        printed: what it had printed before.
        traceback: MicroPython's traceback.

    """

    def __init__(self, printed: str, traceback: str) -> None:
        self.printed = printed
        self.traceback = traceback
        super().__init__(
            f"the program ended in {traceback.strip().splitlines()[-1]}",
            "emulated Pico's REPL",
            f"Its traceback was:\n{traceback}",
        )


class PowerLostError(EmulatorError):
    """The power was cut, as asked for, or the Pico is run without power."""

    def __init__(self, what: str, at_ns: int) -> None:
        super().__init__(
            what, f"emulated Pico at {at_ns / 1e6:.3f} ms", "Call power_on() to go on."
        )
