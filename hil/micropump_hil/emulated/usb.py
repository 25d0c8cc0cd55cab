"""The host at the other end of the emulated USB cable: one that is silent until it has bytes.

The stock host answers an endpoint that waits for data with an empty packet every 15 µs, which no
real host does and which never lets the CPU sleep. This one lets it wait, as a host does by NAK.
"""

from typing import Any, cast

from rp2040py.rp2040 import RP2040
from rp2040py.usb.cdc import USBCDC

from micropump_hil.emulated.clock import GridClock

# From bytes in the host's buffer to bytes in the endpoint. Full speed has a frame of 1 ms; a bulk
# transfer that finds the bus idle goes out within it, so this is a quick host.
HOST_LATENCY_NS = 50_000

_FIRST_IN_CONTROL = 0x80
_ENDPOINT_STRIDE = 8


class UsbHost:
    """The host's side of the CDC: bytes out, bytes in, port opened and closed.

    Attributes:
        connected: whether the device has been enumerated since the last reset.
        received: what the device has sent and nobody has taken.

    """

    def __init__(self, mcu: RP2040, clock: GridClock) -> None:
        self.connected = False
        self.received = bytearray()
        self._usb = mcu.usb_ctrl
        self._cdc = USBCDC(self._usb)
        self._to_device = bytearray()
        self._waiting: list[tuple[int, int]] = []
        self._alarm = clock.create_alarm(self._deliver)
        self._delivering = False
        self._reading = True
        self._held: list[tuple[int, int]] = []
        self._cdc.on_serial_data = self.received.extend
        self._cdc.on_device_connected = self._on_connected
        self._stock_read = self._usb.on_endpoint_read
        self._stock_reset = self._usb.on_reset
        self._stock_dpram = self._usb.dpram_updated
        self._usb.on_endpoint_read = self._on_endpoint_read
        self._usb.on_reset = self._on_reset
        # The chip calls this whenever the device arms a buffer: where a host may decline to read.
        cast(Any, self._usb).dpram_updated = self._on_dpram

    def write(self, data: bytes) -> None:
        """Send ``data`` to the device, as fast as it takes it."""
        self._to_device += data
        self._offer()

    @property
    def unsent(self) -> int:
        """How many bytes the device has not taken yet."""
        return len(self._to_device)

    def open_port(self) -> None:
        """Raise DTR and RTS, as opening the port does; the port is open after boot."""
        self._cdc.set_control_lines(dtr=True, rts=True)

    def close_port(self) -> None:
        """Drop DTR and RTS, as closing the port does."""
        self._cdc.set_control_lines(dtr=False, rts=False)

    def stop_reading(self) -> None:
        """Keep the port open and take nothing from it any more."""
        self._reading = False

    def resume_reading(self) -> None:
        """Take again what the device sends."""
        self._reading = True
        held, self._held = self._held, []
        for offset, value in held:
            self._stock_dpram(offset, value)

    def _on_connected(self) -> None:
        self.connected = True

    def _on_endpoint_read(self, endpoint: int, size: int) -> None:
        if endpoint == 0 or endpoint != self._cdc._out_endpoint:
            assert self._stock_read is not None
            self._stock_read(endpoint, size)
            return
        self._waiting.append((endpoint, size))
        self._offer()

    def _offer(self) -> None:
        if self._waiting and self._to_device and not self._delivering:
            self._delivering = True
            self._alarm.schedule(HOST_LATENCY_NS)

    def _deliver(self) -> None:
        self._delivering = False
        if not self._waiting or not self._to_device:
            return
        endpoint, size = self._waiting.pop(0)
        data = bytes(self._to_device[:size])
        del self._to_device[:size]
        self._usb.endpoint_read_done(endpoint, data)
        self._offer()

    def _on_dpram(self, offset: int, value: int) -> None:
        own = _FIRST_IN_CONTROL + _ENDPOINT_STRIDE * self._cdc._in_endpoint
        if self._reading or offset != own:
            self._stock_dpram(offset, value)
        else:
            self._held.append((offset, value))

    def _on_reset(self) -> None:
        self.connected = False
        self._alarm.cancel()
        self._delivering = False
        # What a host has handed to its driver is lost with the device.
        self._to_device.clear()
        self._waiting.clear()
        self._held.clear()
        if self._stock_reset is not None:
            self._stock_reset()
