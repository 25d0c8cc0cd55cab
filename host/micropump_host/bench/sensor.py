"""A sensor at the plunger: what the pump can see of how much its syringe holds."""

import random


class PlungerSensor:
    """A position sensor at the plunger's head, read as a volume of the nominal bore.

    Args:
        ul_per_um: volume of the nominal bore for each µm of travel, µL/µm.
        resolution_um: step of the reading, µm; zero for none.
        noise_um: standard deviation of one reading, µm.
        interval_ms: how often it is read, ms.
        seed: seed of the noise.

    """

    def __init__(
        self, ul_per_um: float, resolution_um: float, noise_um: float, interval_ms: int, seed: int
    ) -> None:
        self.interval_ms = interval_ms
        self._ul_per_um = ul_per_um
        self._resolution_um = resolution_um
        self._noise_um = noise_um
        self._noise = random.Random(f"{seed}/plunger sensor/noise")

    def read_ul(self, marked_ul: float) -> int:
        """Return what the sensor says that the syringe holds, whole µL, never below zero.

        Args:
            marked_ul: what the mark at the plunger says, µL.

        """
        travel_um = marked_ul / self._ul_per_um + self._noise.gauss(0.0, 1.0) * self._noise_um
        if self._resolution_um > 0.0:
            travel_um = round(travel_um / self._resolution_um) * self._resolution_um
        return max(0, round(travel_um * self._ul_per_um))
