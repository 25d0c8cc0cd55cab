"""A whole pump with sensors on the virtual bench: what happens to it is done from here."""

from typing import Any

from micropump.journal import EVENTS
from micropump.mechanism import KIND_SYRINGE
from micropump_host.bench.benchfile import parse_bench
from micropump_host.bench.ground import CPythonGround, Ground
from micropump_host.bench.local import LocalLine
from micropump_host.bench.world import VirtualBench
from micropump_host.client import Event, Pump

CODES = {row[1]: row[0] for row in EVENTS}


class Deaf:
    """Nobody who records."""

    def begin(self, mechanism: object) -> None:
        pass

    def sample(self, sample: object) -> None:
        pass

    def end(self) -> None:
        pass


class Sickbed:
    """A pump, its bench and its client.

    Args:
        bench: what the bench file says, beside which sensors are fitted.
        sensors: those that are, read ten times a second.
        drive_id: what is fitted.
        ground: where the firmware runs; CPython without one.

    """

    def __init__(
        self,
        bench: str = "",
        sensors: tuple[str, ...] = ("pressure",),
        drive_id: str = "t8-2mm-16",
        kind: int = KIND_SYRINGE,
        ground: Ground | None = None,
    ) -> None:
        drive = "[syringe_drive]" if kind == KIND_SYRINGE else "[peristaltic]"
        fitted = "\n".join(f"{name} = true" for name in sensors)
        head = "" if drive in bench else drive
        text = f"{head}\n[sensors]\ninterval_s = 0.1\n{fitted}\n{bench}"
        self.ground = ground or CPythonGround(kind, drive_id, 0)
        self.bench = VirtualBench(self.ground, kind, drive_id, parse_bench(text, "test"), Deaf())
        self.client = Pump("virtual", open_port=lambda *_: LocalLine(self.bench))
        # Sensors settle.
        self.wait(2)

    @property
    def plant(self) -> Any:
        """The plant, up to date."""
        self.bench.look()
        return self.bench.plant

    def wait(self, time_s: float) -> None:
        self.bench.advance(self.bench.now_ms + round(time_s * 1000))

    def infuse(self, rate_ul_h: int, item_id: str = "bd-plastipak-50", **wishes: Any) -> None:
        wishes = {"content_ul": 50_000, "vtbi_ul": 40_000, "kvo_ul_h": 0, **wishes}
        content_ul, vtbi_ul = wishes.pop("content_ul"), wishes.pop("vtbi_ul")
        accepted = self.client.program(
            KIND_SYRINGE, item_id, content_ul, vtbi_ul, rate_ul_h, **wishes
        )
        self.client.start(accepted.program_id)

    def until(self, *states: str, within_s: float) -> Any:
        """Let time pass until the pump is in one of the states; returns its status."""
        end_ms = self.bench.now_ms + round(within_s * 1000)
        while self.bench.now_ms < end_ms:
            self.wait(0.2)
            status = self.client.status()
            if status.state in states:
                return status
        raise AssertionError(f"{status.state}, {status.alarms} after {within_s} s")

    def events(self, name: str) -> list[Event]:
        return [event for event in self.client.events() if event.code == CODES[name]]
