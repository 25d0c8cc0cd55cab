"""The front panel: lights, buzzer and buttons."""

import micropump_board as board
from machine import Pin
from micropump_rp2 import buttons, signaller

from micropump.controller import RUNNING, Controller


class Panel:
    """Shows the controller's state and takes the buttons.

    Start/stop pauses a pump that delivers: to stop takes one action. To start takes the host. Where
    an alarm sounds, the same press pauses the sound. The bolus button is the patient's: each press
    is a demand, given or not.

    """

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._green = Pin(board.GREEN_LIGHT_GPIO, Pin.OUT, value=0)
        self._stop = _button(board.START_STOP_BUTTON_GPIO, board.START_STOP_BUTTON_ACTIVE_LEVEL)
        self._ask = _button(board.BOLUS_BUTTON_GPIO, board.BOLUS_BUTTON_ACTIVE_LEVEL)
        # The one that may sound since before there was a panel.
        self._signaller = signaller.shared()

    def look(self, now_ms: int, elapsed_ms: int) -> None:
        """Take the buttons and show what there is, ``elapsed_ms`` after the last time."""
        controller = self._controller
        if self._stop.look(elapsed_ms) == buttons.PRESSED:
            controller.pause(now_ms)
            controller.pause_audio()
        if self._ask.look(elapsed_ms) == buttons.PRESSED:
            controller.demand(now_ms)
        self._green.value(controller.state in RUNNING)
        self._signal(now_ms)

    def _signal(self, now_ms: int) -> None:
        annunciator = self._controller.annunciator
        annunciator.look(now_ms, self._controller.active_alarms)
        if annunciator.light != self._signaller.shown:
            self._signaller.light(annunciator.light)
        if annunciator.sound != self._signaller.sounding:
            self._signaller.sound(annunciator.sound, annunciator.after_interval)


def _button(gpio: int, active_level: int) -> buttons.Button:
    pin = Pin(gpio, Pin.IN, Pin.PULL_UP)
    return buttons.Button(lambda: pin.value() == active_level)
