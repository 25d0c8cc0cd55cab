"""Byte lines between the ordinary client and benches in this process."""

from micropump_hil.emulated import EmulatedPico
from micropump_host.client import PumpGoneError, PumpTimeoutError

# Emulated time in which any answer has come: 25 ms are usual, a flash erase may be on the way.
SILENCE_S = 2.0
_LOOK_MS = 0.5


class EmulatedLine:
    """The emulated USB cable; emulated time passes while the client waits.

    Args:
        pico: switched on.

    Raises:
        PumpGoneError: on reading and writing, once the Pico has been reset or has lost power.

    """

    def __init__(self, pico: EmulatedPico) -> None:
        self._pico = pico
        self._resets = len(pico.resets)

    def write(self, data: bytes) -> None:
        """Send all of ``data``."""
        self._need()
        self._pico.write(data)

    def read(self, timeout_s: float) -> bytes:
        """What has come; lets emulated time pass until something has.

        Raises:
            PumpTimeoutError: if nothing comes within ``SILENCE_S`` of emulated time.

        """
        pico = self._pico
        end_ns = pico.now_ns + round(SILENCE_S * 1e9)
        while True:
            self._need()
            if data := pico.read():
                return data
            if pico.now_ns >= end_ns:
                raise PumpTimeoutError(
                    f"no answer within {SILENCE_S:g} s of emulated time",
                    "emulated Pico",
                    "Its program may be hung; look at what it is doing.",
                )
            pico.run_ms(_LOOK_MS)

    def discard_input(self) -> None:
        """Forget what came before."""
        self._pico.read()

    def close(self) -> None:
        """Nothing to close: the cable stays."""

    def _need(self) -> None:
        if not self._pico.powered or len(self._pico.resets) != self._resets:
            raise PumpGoneError(
                "the emulated Pico was reset or has lost power",
                "emulated Pico",
                "Connect again with the bench's connect().",
            )
