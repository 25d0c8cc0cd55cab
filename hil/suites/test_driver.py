"""The motor's driver: set up, asked before each start, and a fault of it stops the pump."""

import pytest

from micropump.drivers import TMC2209_SETTINGS
from micropump_hil.emulated.uart import OVER_TEMPERATURE, REGISTERS_AT_RESET
from micropump_hil.verbs import infuse, wait_until
from micropump_host.client import PumpRefusedError

pytestmark = pytest.mark.needs("driver_uart", "step_edges", "motor_enable")

ITEM = "bd-plastipak-3"
RATE_UL_H = 1_200_000
VTBI_UL = 3_000
SHORT_TO_GROUND_A = 1 << 2
# Measured at 40 random moments: 4.0 to 15.2 ms from DIAG to EN off. The loop looks every 10 ms,
# reads the reason (3 ms) and runs a control cycle.
DIAG_TO_OFF_NS = 25_000_000
# Measured at 40 random moments: 25 to 125 ms. It is asked every 100 ms, and two missing answers in
# a row are a fault.
SILENCE_TO_OFF_NS = 200_000_000


def settings_of(chip):
    return {register: chip.registers[register] for register, _, _ in TMC2209_SETTINGS}


WANTED = {register: value for register, value, _ in TMC2209_SETTINGS}


def start(bench):
    return infuse(bench, ITEM, RATE_UL_H, VTBI_UL)


def test_the_driver_has_its_settings_and_no_other(bench):
    assert bench.driver.registers == REGISTERS_AT_RESET | WANTED
    assert settings_of(bench.driver) != {at: REGISTERS_AT_RESET[at] for at in WANTED}


def cut_off(chip):
    chip.silent = True


def wrong_address(chip):
    chip.address ^= 1


def wrong_checksums(chip):
    chip.spoils_crc = 10_000


def hot(chip):
    chip.fail(OVER_TEMPERATURE)


def diag_wire_off(chip):
    # Its pull-up makes a broken wire a fault.
    chip.hold_diag(True)


def mended(chip):
    chip.silent = False
    chip.address = 3
    chip.spoils_crc = 0
    chip.cool_down()
    chip.hold_diag(None)


TROUBLES = [cut_off, wrong_address, wrong_checksums, hot, diag_wire_off]


@pytest.mark.needs("reset")
@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize("when", ["from the start", "later"])
def test_a_driver_in_trouble_refuses_the_start_until_it_is_well(bench, trouble, when):
    if when == "from the start":
        bench.driver.power_cut()
        bench.driver.power_on()
        trouble(bench.driver)
        bench.reset()
        bench.run_s(0.5)
        bench.connect()
    else:
        trouble(bench.driver)
    for _ in range(3):
        assert bench.status().state in ("idle", "programmed")
        with pytest.raises(PumpRefusedError, match="driver"):
            start(bench)
        bench.run_s(0.7)
    assert bench.runs() == []
    # Waiting for an answer has not kept the loop from feeding the watchdog.
    assert len(bench.resets) == (2 if when == "from the start" else 1)
    mended(bench.driver)
    start(bench)
    bench.run_s(0.5)
    assert bench.status().state == "infusing"
    assert settings_of(bench.driver) == WANTED
    bench.pump.stop()


@pytest.mark.parametrize("into_quantum_ms", [0, 13, 36, 52, 78, 99])
def test_a_fault_in_mid_infusion_stops_and_every_step_is_accounted_for(
    bench, into_quantum_ms, record_property
):
    start(bench)
    bench.run_s(0.8 + into_quantum_ms / 1000)
    failed_ns = bench.pico.now_ns
    bench.driver.fail(SHORT_TO_GROUND_A)
    status = wait_until(bench, "alarm", within_s=1)
    assert status.alarms == ("driver_fault",)
    (run,) = bench.runs()
    record_property("diag_to_off_ms", (run.off_ns - failed_ns) / 1e6)
    assert run.off_ns - failed_ns < DIAG_TO_OFF_NS
    assert not bench.motor_is_on()
    assert status.infused_steps == len(run.edges_ns) == bench.counted_steps()
    assert bench.stray_edges_ns() == []


# The interrupt comes to look at the level after 20 to 30 µs (measured).
@pytest.mark.parametrize("blip_us", [50, 1_000])
def test_a_fault_that_is_over_before_the_loop_looks_stops_all_the_same(bench, blip_us):
    start(bench)
    bench.run_s(0.8)
    began_ns = bench.pico.now_ns
    bench.driver.hold_diag(True)
    bench.pico.call_at_ns(began_ns + blip_us * 1000, lambda: bench.driver.hold_diag(None))
    status = wait_until(bench, "alarm", within_s=1)
    assert status.alarms == ("driver_fault",)
    (run,) = bench.runs()
    assert run.off_ns - began_ns < DIAG_TO_OFF_NS
    assert status.infused_steps == len(run.edges_ns)
    bench.pump.acknowledge()
    bench.pump.resume()
    bench.run_s(0.3)
    assert bench.status().state == "infusing"
    bench.pump.stop()


def test_a_spike_on_diag_is_no_fault(bench):
    start(bench)
    for _ in range(20):
        bench.run_s(0.0371)
        bench.driver.hold_diag(True)
        bench.pico.call_at_ns(bench.pico.now_ns + 1_000, lambda: bench.driver.hold_diag(None))
    bench.run_s(0.3)
    assert bench.status().state == "infusing"
    bench.pump.stop()
    assert bench.status().alarms == ()


def test_after_a_short_it_goes_on_when_told_to_and_after_overheating_when_cool(bench):
    start(bench)
    bench.run_s(0.5)
    bench.driver.fail(SHORT_TO_GROUND_A)
    wait_until(bench, "alarm", within_s=1)
    bench.run_s(3)
    assert bench.status().state == "alarm"
    bench.pump.acknowledge()
    # Switched off, the chip has forgotten the short.
    bench.pump.resume()
    bench.run_s(0.5)
    bench.driver.fail(OVER_TEMPERATURE)
    wait_until(bench, "alarm", within_s=1)
    bench.pump.acknowledge()
    with pytest.raises(PumpRefusedError, match="driver"):
        bench.pump.resume()
    bench.driver.cool_down()
    bench.pump.resume()
    bench.run_s(0.5)
    bench.pump.stop()
    assert bench.status().infused_steps == sum(len(run.edges_ns) for run in bench.runs())
    assert len(bench.runs()) == 3


@pytest.mark.parametrize("idle_s", [0.0, 0.3])
def test_a_driver_that_lost_its_power_is_set_up_again_before_it_turns(bench, idle_s):
    at_switching_on = []
    bench.pico.pins.on_change(
        bench.pins["enable"],
        lambda level, _: level or at_switching_on.append(settings_of(bench.driver)),
    )
    accepted = start(bench)
    bench.run_s(0.5)
    bench.pump.pause()
    bench.driver.power_cut()
    bench.driver.power_on()
    assert settings_of(bench.driver) != WANTED
    bench.run_s(idle_s)
    bench.pump.resume()
    bench.run_s(0.5)
    bench.pump.stop()
    bench.driver.power_cut()
    bench.driver.power_on()
    accepted = start(bench)
    assert accepted.program_id
    bench.run_s(0.5)
    bench.pump.stop()
    assert at_switching_on == [WANTED] * 3


@pytest.mark.parametrize("comes_back", [False, True])
def test_a_driver_that_loses_its_power_in_mid_infusion_is_noticed(
    bench, comes_back, record_property
):
    accepted = start(bench)
    bench.run_s(0.8)
    lost_ns = bench.pico.now_ns
    bench.driver.power_cut()
    if comes_back:
        bench.driver.power_on()
    status = wait_until(bench, "alarm", within_s=2)
    assert status.alarms == ("driver_fault",)
    (run,) = bench.runs()
    record_property("power_lost_to_off_ms", (run.off_ns - lost_ns) / 1e6)
    assert run.off_ns - lost_ns < SILENCE_TO_OFF_NS
    # Counted, and not made: the plan's limit for a single fault is 0.2 mL at 1200 mL/h.
    after = sum(at > lost_ns for at in run.edges_ns)
    missing_ul = after * accepted.nl_num / accepted.nl_den / 1000
    record_property("missing_ul", missing_ul)
    assert missing_ul < 200


def test_one_spoilt_answer_in_mid_infusion_is_no_fault_and_two_in_a_row_are(bench):
    start(bench)
    for _ in range(5):
        bench.run_s(0.25)
        bench.driver.spoils_crc = 1
    bench.run_s(0.3)
    assert bench.driver.spoils_crc == 0
    assert bench.status().state == "infusing"
    bench.driver.spoils_crc = 2
    assert wait_until(bench, "alarm", within_s=1).alarms == ("driver_fault",)
    bench.pump.acknowledge()
    bench.pump.stop()
