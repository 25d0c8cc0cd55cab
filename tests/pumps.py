"""A virtual pump in this process, with the ordinary client at it."""

from micropump.link import Identity
from micropump.mechanism import KIND_SYRINGE
from micropump_host.client import Event, Pump, PumpRefusedError
from micropump_virtual.pump import VirtualPump

DRIVES = {KIND_SYRINGE: "m5-0.8-16"}


class Bedside:
    """A pump and its client; time passes where ``wait`` says so, and 1 ms with each request.

    Attributes:
        pump: the pump itself.
        client: what asks it.

    """

    def __init__(self, pump: VirtualPump | None = None) -> None:
        identity = Identity("cpython", "virtual", KIND_SYRINGE, DRIVES[KIND_SYRINGE], 1000)
        self.pump = pump or VirtualPump(identity)
        self._answers = b""
        self.client = Pump("virtual", open_port=lambda *_: self)

    def write(self, data: bytes) -> None:
        self._answers += self.pump.receive(self.pump.now_ms + 1, data)

    def read(self, timeout_s: float) -> bytes:
        answers, self._answers = self._answers, b""
        return answers

    def discard_input(self) -> None:
        self._answers = b""

    def close(self) -> None:
        pass

    def wait(self, time_s: float) -> None:
        self.pump.advance(self.pump.now_ms + round(time_s * 1000))

    def events(self, code: int) -> list[Event]:
        return [event for event in self.client.events() if event.code == code]

    def refused(self, call, *arguments, **named) -> PumpRefusedError:
        """The refusal of a request that has to be refused."""
        try:
            call(*arguments, **named)
        except PumpRefusedError as error:
            return error
        raise AssertionError("it was not refused")
