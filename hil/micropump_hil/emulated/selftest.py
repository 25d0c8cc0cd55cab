"""The emulator shows that it is exact before anything is concluded from it.

Each check makes its own Pico from the image and returns what it found; a failed one raises.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from micropump_hil.emulated.clock import SYSTEM_CLOCK_HZ
from micropump_hil.emulated.errors import EmulatorError
from micropump_hil.emulated.pico import EmulatedPico

STEP_PIN = 2
COUNT_PIN = 5
ENABLE_PIN = 4
# RP2040 datasheet, 4.7.6.
WATCHDOG_REASON = 0x40058008
WATCHDOG_REASON_TIMER = 1
PIO_HZ = 1_000_000
CYCLES_PER_PIO_CYCLE = SYSTEM_CLOCK_HZ // PIO_HZ

# One step is 10 PIO cycles, 5 of them high. Fetching the next count takes 2 more, and the count
# runs to zero, so that n is n + 1 steps. A counter on the other block counts what arrives.
STEP_PIO_CYCLES = 10
FETCH_PIO_CYCLES = 2
PROGRAM = """
import machine, micropython, rp2, sys, time
@rp2.asm_pio(sideset_init=rp2.PIO.OUT_LOW, fifo_join=rp2.PIO.JOIN_TX)
def generator():
    pull(block).side(0)
    mov(x, osr).side(0)
    label("step")
    nop().side(1)[4]
    jmp(x_dec, "step").side(0)[4]
@rp2.asm_pio()
def counter():
    wrap_target()
    wait(1, pin, 0)
    jmp(x_dec, "next")
    label("next")
    wait(0, pin, 0)
    wrap()
steps = rp2.StateMachine(0, generator, freq=1000000, sideset_base=machine.Pin(2))
edges = rp2.StateMachine(4, counter, freq=125000000, in_base=machine.Pin(5))
edges.exec("mov(x, invert(null))")
edges.active(1)
steps.active(1)
def counted():
    edges.exec("mov(isr, x)")
    edges.exec("push(noblock)")
    return ~edges.get() & 0xffffffff
"""
BUSY = """
began = time.ticks_us()
while time.ticks_diff(time.ticks_us(), began) < 12000:
    pass
"""
SEGMENTS = (100, 1, 7, 250, 33, 2, 99, 8)


class SelfTestError(EmulatorError):
    """The emulator is not what it is trusted to be."""


@dataclass(frozen=True)
class Check:
    """One thing that was shown, and what was found."""

    name: str
    found: str


def self_test(image: Path | str | None = None) -> list[Check]:
    """Run all checks; takes a few seconds.

    Args:
        image: a UF2 file; the one that ``find_image`` finds if not given.

    Raises:
        SelfTestError: at the first check that fails.
        ImageError: if there is no image, or it is not for an RP2040.

    """
    return [Check(name, check(image)) for name, check in CHECKS.items()]


def expected_cycles(segments: tuple[int, ...]) -> list[int]:
    """Distances of rising edges, system cycles, when ``segments`` are queued at once."""
    step = STEP_PIO_CYCLES * CYCLES_PER_PIO_CYCLE
    joint = (STEP_PIO_CYCLES + FETCH_PIO_CYCLES) * CYCLES_PER_PIO_CYCLE
    distances: list[int] = []
    for count in segments:
        distances += [step] * (count - 1) + [joint]
    return distances[:-1]


def exact_steps(image: Path | str | None, meanwhile: str) -> str:
    """Queue eight segments and let the CPU do ``meanwhile``: every edge to the system cycle."""
    pico = EmulatedPico(image)
    pico.pins.wire(STEP_PIN, COUNT_PIN)
    pico.boot(maintenance=True)
    pico.exec(PROGRAM)
    trace = pico.pins.watch(STEP_PIN)
    puts = "".join(f"steps.put({count - 1})\n" for count in SEGMENTS)
    pico.exec_start(f"steps.active(0)\n{puts}steps.active(1)\n{meanwhile}\nprint(counted())")
    counted = int(pico.exec_finish())
    rising = trace.rising_cycles
    found = [after - before for before, after in itertools.pairwise(rising)]
    _must("edges in their cycles", found == expected_cycles(SEGMENTS), f"{found}")
    high = {fall - rise for rise, fall in zip(rising, trace.falling_cycles, strict=True)}
    _must("pulses of one width", high == {5 * CYCLES_PER_PIO_CYCLE}, f"{high}")
    _must("as many counted as made", counted == len(rising) == sum(SEGMENTS), f"{counted}")
    return f"{len(rising)} edges, each in its system cycle"


def watchdog(image: Path | str | None) -> str:
    """A dead CPU: what was queued comes out and no more, the watchdog resets, pins are released."""
    pico = EmulatedPico(image)
    pico.pins.pull(ENABLE_PIN, 1)
    pico.boot(maintenance=True)
    pico.exec(PROGRAM)
    trace = pico.pins.watch(STEP_PIN)
    enable = pico.pins.watch(ENABLE_PIN)
    pico.exec_start(
        "steps.put(999)\nsteps.put(499)\nguard = machine.WDT(timeout=100)\n"
        f"enable = machine.Pin({ENABLE_PIN}, machine.Pin.OUT, value=0)\n"
        "machine.disable_irq()\nwhile True: pass"
    )
    pico.run_until(lambda: not pico.pins.level(ENABLE_PIN), 100, awaited="EN")
    pico.kill_cpu()
    before = len(trace.rising_cycles)
    _must("steps left when the CPU dies", 0 < before < 1500, f"{before}")
    resets = len(pico.resets)
    pico.run_until(lambda: len(pico.resets) > resets, 150, awaited="the watchdog's reset")
    after = len(trace.rising_cycles)
    _must("the queued steps and no more", after == 1500, f"{after}")
    reset = pico.resets[resets]
    _must("a reset by the watchdog", reset.cause == "watchdog-timer", reset.cause)
    reason = pico.read_word(WATCHDOG_REASON)
    _must("a reset that the next start can tell", reason == WATCHDOG_REASON_TIMER, f"{reason}")
    fell_ns, released_ns = enable.falling_ns[-1], enable.rising_ns[-1]
    _must("EN released at the reset", released_ns == reset.at_ns, f"{released_ns} {reset.at_ns}")
    late_ms = (reset.at_ns - fell_ns) / 1e6
    return f"{after - before} steps after its death, reset {late_ms:.1f} ms later"


def repeatable(image: Path | str | None) -> str:
    """The same calls twice: every edge of every watched pin at the same time."""
    first, second = trace_digest(image), trace_digest(image)
    _must("the same digest twice", first == second, f"{first} {second}")
    return first[:16]


def trace_digest(image: Path | str | None = None) -> str:
    """Hash of all edges of a short program that steps, sleeps, computes and talks."""
    pico = EmulatedPico(image)
    pico.pins.wire(STEP_PIN, COUNT_PIN)
    traces = [pico.pins.watch(pin) for pin in (STEP_PIN, COUNT_PIN, ENABLE_PIN)]
    pico.boot(maintenance=True)
    pico.exec(PROGRAM)
    pico.exec(
        f"enable = machine.Pin({ENABLE_PIN}, machine.Pin.OUT)\n"
        "for n in range(12):\n"
        "    enable.toggle()\n"
        "    if steps.tx_fifo() < 8: steps.put(n)\n"
        "    time.sleep_us(50 * n)\n"
        "    print(n, counted())\n"
    )
    _must("edges to hash", all(len(trace) > 10 for trace in traces), "too few edges")
    return pico.pins.digest()


def repl(image: Path | str | None) -> str:
    """A round trip over USB, and 0x03 as a byte like any other."""
    pico = EmulatedPico(image).boot(maintenance=True)
    answer = pico.exec("print(6 * 7)").strip()
    _must("an answer", answer == "42", answer)
    pico.exec_start(
        "import micropython, sys\n"
        "micropython.kbd_intr(-1)\n"
        "sys.stdout.write('READY')\n"
        "taken = sys.stdin.buffer.read(256)\n"
        "micropython.kbd_intr(3)\n"
        "sys.stdout.buffer.write(taken)\n"
    )
    pico.expect(b"READY")
    every_byte = bytes(range(256))
    pico.write(every_byte)
    came = pico.expect(every_byte)
    pico.expect(b"\x04\x04")
    _must("all bytes back", came == every_byte, f"{came!r}")
    return "256 byte values there and back"


def flash(image: Path | str | None) -> str:
    """An erase takes its time with the CPU held up, while PIO makes the queued steps."""
    pico = EmulatedPico(image).boot(maintenance=True)
    pico.exec(PROGRAM)
    trace = pico.pins.watch(STEP_PIN)
    pico.flash.operations.clear()
    took_us = int(
        pico.exec(
            "chip = rp2.Flash()\nsteps.put(3999)\nbegan = time.ticks_us()\n"
            "chip.ioctl(6, 200)\nprint(time.ticks_diff(time.ticks_us(), began))"
        )
    )
    erase = pico.flash.operations[0]
    _must("an erase", erase.kind == "erase" and erase.size == 4096, f"{erase}")
    _must("the CPU held up for it", 45_000 <= took_us <= 46_000, f"{took_us} µs")
    rising = trace.rising_cycles
    gaps = {after - before for before, after in itertools.pairwise(rising)}
    _must("no gap in the steps", gaps == {STEP_PIO_CYCLES * CYCLES_PER_PIO_CYCLE}, f"{gaps}")
    during = sum(erase.at_ns < at < erase.at_ns + erase.busy_ns for at in trace.rising_ns)
    _must("steps during the erase", during > 3900, f"{during}")
    return f"{took_us} µs, {during} steps meanwhile"


CHECKS: dict[str, Callable[[Path | str | None], str]] = {
    "exact steps with the CPU asleep": lambda image: exact_steps(image, "time.sleep_ms(12)"),
    "exact steps with the CPU busy": lambda image: exact_steps(image, BUSY),
    "a dead CPU and the watchdog": watchdog,
    "the same run twice": repeatable,
    "the REPL and all byte values": repl,
    "an erase takes its time": flash,
}


def _must(what: str, holds: bool, found: str) -> None:
    if not holds:
        raise SelfTestError(
            f"the emulator fails its self test: {what}",
            "",
            f"Found {found}. Check the versions in constraints.txt; MICROPUMP_EMULATOR=pure "
            "does without the compiled core.",
        )
