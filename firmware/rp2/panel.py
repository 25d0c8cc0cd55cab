"""The front panel: lights, buzzer and buttons.

The signals are plain for now (a light, a beep a second); bursts and priorities as alarm standards
have them come with the alarm system.
"""

import micropump_board as board
from machine import PWM, Pin
from micropump_rp2 import buttons

from micropump import alarms
from micropump.controller import RUNNING, Controller

BUZZER_HZ = 880
BEEP_MS = 150
BEEP_EVERY_MS = 1000


class Panel:
    """Shows the controller's state and takes the buttons.

    Start/stop pauses a pump that delivers: to stop takes one action. To start takes the host. The
    bolus button is the patient's: each press is a demand, given or not.
    """

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._red = _output(board.RED_LIGHT_GPIO)
        self._yellow = _output(board.YELLOW_LIGHT_GPIO)
        self._green = _output(board.GREEN_LIGHT_GPIO)
        self._buzzer = PWM(Pin(board.BUZZER_GPIO), freq=BUZZER_HZ, duty_u16=0)
        self._stop = _button(board.START_STOP_BUTTON_GPIO, board.START_STOP_BUTTON_ACTIVE_LEVEL)
        self._ask = _button(board.BOLUS_BUTTON_GPIO, board.BOLUS_BUTTON_ACTIVE_LEVEL)
        self._into_beep_ms = 0
        self._sounding = False

    def look(self, now_ms: int, elapsed_ms: int) -> None:
        """Take the buttons and show what there is, ``elapsed_ms`` after the last time."""
        controller = self._controller
        if self._stop.look(elapsed_ms) == buttons.PRESSED:
            controller.pause(now_ms)
        if self._ask.look(elapsed_ms) == buttons.PRESSED:
            controller.demand(now_ms)
        worst = _worst(controller.active_alarms)
        self._green.value(controller.state in RUNNING)
        self._red.value(worst == alarms.HIGH)
        self._yellow.value(worst in (alarms.LOW, alarms.MEDIUM))
        self._into_beep_ms = (self._into_beep_ms + elapsed_ms) % BEEP_EVERY_MS
        self._sound(worst >= alarms.MEDIUM and self._into_beep_ms < BEEP_MS)

    def _sound(self, on: bool) -> None:
        if on != self._sounding:
            self._sounding = on
            self._buzzer.duty_u16(32768 if on else 0)


def _button(gpio: int, active_level: int) -> buttons.Button:
    pin = Pin(gpio, Pin.IN, Pin.PULL_UP)
    return buttons.Button(lambda: pin.value() == active_level)


def _output(gpio: int) -> Pin:
    return Pin(gpio, Pin.OUT, value=0)


def _worst(active: int) -> int:
    worst = 0
    for row in alarms.ALARMS:
        if active >> row[0] & 1 and row[2] > worst:
            worst = row[2]
    return worst
