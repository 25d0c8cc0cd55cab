"""The parts of the board's adapters that need no board: driver, buttons, analog arithmetic."""

import pytest
from adapters import adapter
from hypothesis import given
from hypothesis import strategies as st

from micropump import drivers

GCONF = 0x00


tmc2209 = adapter("tmc2209")
motor_driver = adapter("motor_driver")
buttons = adapter("buttons")


class Chip:
    """A TMC2209 on its one wire, echo included, as the datasheet describes it."""

    def __init__(self, address=0):
        self.address = address
        self.sent = bytearray()
        self.silent = self.deaf = self.no_echo = False
        # For each of the next answers, which byte of it arrives wrong.
        self.flips = []
        self.waited = 0
        self.log = []
        self.lose_power()

    def lose_power(self):
        self.registers = {tmc2209.IFCNT: 0, tmc2209.DRV_STATUS: 0, tmc2209.GSTAT: 1, GCONF: 0x101}

    def write(self, frame):
        if not self.no_echo:
            self.sent += frame
        sync, address, register = frame[:3]
        if sync != 0x05 or address != self.address or bitwise_crc8(frame[:-1]) != frame[-1]:
            return
        if self.silent:
            return
        self.log.append(register)
        if register & 0x80:
            if not self.deaf:
                self.take(register & 0x7F, int.from_bytes(frame[3:7], "big"))
            return
        answer = bytes((0x05, 0xFF, register)) + self.registers[register].to_bytes(4, "big")
        answer = bytearray(answer + bytes((bitwise_crc8(answer),)))
        if self.flips:
            answer[self.flips.pop(0)] ^= 1
        self.sent += answer

    def take(self, register, value):
        if register == tmc2209.GSTAT:
            value = self.registers[register] & ~value
            # A fault that lasts cannot be cleared.
            value |= 2 if self.registers[tmc2209.DRV_STATUS] else 0
        self.registers[register] = value
        self.registers[tmc2209.IFCNT] = (self.registers[tmc2209.IFCNT] + 1) & 0xFF

    def any(self):
        return len(self.sent)

    def read(self, count):
        self.waited += len(self.sent) < count
        got, self.sent = bytes(self.sent[:count]), self.sent[count:]
        return got or None

    def readinto(self, buffer, count=None):
        got = self.read(len(buffer) if count is None else count)
        if got is None:
            return None
        buffer[: len(got)] = got
        return len(got)


def bitwise_crc8(data):
    """As the datasheet's section 4.2 has it, bit by bit."""
    crc = 0
    for byte in data:
        for at in range(8):
            top = crc >> 7 ^ byte >> at & 1
            crc = crc << 1 & 0xFF ^ (0x07 if top else 0)
    return crc


def test_crc_of_known_frames():
    # Read requests of IOIN (0x06) and GCONF (0x00) as they are seen on the wire everywhere.
    assert tmc2209.crc8(bytes((0x05, 0x00, 0x06))) == 0x6F
    assert tmc2209.crc8(bytes((0x05, 0x00, 0x00))) == 0x48


@given(st.binary(max_size=12))
def test_the_crc_by_table_is_the_crc_bit_by_bit(data):
    assert tmc2209.crc8(data) == bitwise_crc8(data)


def is_set_up(chip):
    return all(chip.registers.get(at) == value for at, value, _ in drivers.TMC2209_SETTINGS)


@given(st.integers(0, 255), st.integers(0, 3), st.binary(max_size=40))
def test_settings_arrive_and_are_counted(count, address, left_over):
    chip = Chip(address)
    chip.registers[tmc2209.IFCNT] = count
    chip.sent += left_over
    tmc2209.Tmc2209(chip, address).apply(drivers.TMC2209_SETTINGS)
    assert is_set_up(chip)
    assert chip.registers[tmc2209.GSTAT] == 0
    assert chip.registers[tmc2209.IFCNT] == (count + len(drivers.TMC2209_SETTINGS) + 1) & 0xFF


@pytest.mark.parametrize("trouble", ["silent", "deaf", "no_echo"])
def test_a_driver_in_trouble_is_noticed(trouble):
    chip = Chip()
    setattr(chip, trouble, True)
    with pytest.raises(tmc2209.DriverError):
        tmc2209.Tmc2209(chip).apply(drivers.TMC2209_SETTINGS)


@pytest.mark.parametrize("at", range(8))
def test_a_damaged_answer_is_noticed(at):
    chip = Chip()
    chip.flips = [at]
    with pytest.raises(tmc2209.DriverError):
        tmc2209.Tmc2209(chip).read(tmc2209.DRV_STATUS)


@given(st.integers(0, 0xFF))
def test_status_bits_have_their_names(bits):
    chip = Chip()
    chip.registers[tmc2209.DRV_STATUS] = bits
    driver = tmc2209.Tmc2209(chip)
    rows = drivers.TMC2209_FAULTS + drivers.TMC2209_WARNINGS
    assert {bit for bit, _ in rows} == set(range(8))
    assert set(driver.status(rows)) == {name for bit, name in rows if bits >> bit & 1}


@given(st.integers(0, 7), st.none() | st.integers(0, 7), st.booleans())
def test_a_chip_is_well_in_one_way_only(state, flip_at, silent):
    chip = Chip()
    driver = tmc2209.Tmc2209(chip)
    chip.registers[tmc2209.GSTAT] = state
    chip.flips, chip.silent = [] if flip_at is None else [flip_at], silent
    driver.ask()
    assert driver.has_answered() == (not silent)
    assert driver.is_well() == (state == 0 and flip_at is None and not silent)


class Fitted:
    """A motor driver as pump.py fits it, its chip and its fault output under the test's hand."""

    def __init__(self, has_chip=True, has_output=True):
        self.chip = Chip()
        self.output = False
        self.now_ms = (1 << 30) - 200
        self.driver = motor_driver.MotorDriver(
            tmc2209.Tmc2209(self.chip) if has_chip else None,
            (lambda: self.output) if has_output else None,
        )
        self.driver.check(self.now_ms)

    def look(self, for_ms, running):
        """Turns of 10 ms; returns after how many ms it was a fault, or None."""
        for passed_ms in range(10, for_ms + 10, 10):
            self.now_ms = (self.now_ms + 10) % (1 << 30)
            self.driver.look(self.now_ms, running)
            if self.driver.fault:
                return passed_ms
        return None


def heat(fitted):
    fitted.chip.registers[tmc2209.DRV_STATUS] = 2
    fitted.chip.registers[tmc2209.GSTAT] |= 2


def cool(fitted):
    fitted.chip.registers[tmc2209.DRV_STATUS] = 0


def lose_power(fitted):
    fitted.chip.silent = True
    fitted.chip.lose_power()


def silence(fitted):
    fitted.chip.silent = True


def speak(fitted):
    fitted.chip.silent = False


def raise_output(fitted):
    fitted.output = True


def lower_output(fitted):
    fitted.output = False


TROUBLES = [
    (heat, cool, "over_temperature, shut_down"),
    (silence, speak, "no answer"),
    (lose_power, speak, "no answer"),
    (raise_output, lower_output, "fault output on"),
]


@pytest.mark.parametrize(("break_it", "mend_it", "reason"), TROUBLES)
def test_a_driver_at_rest_is_in_fault_until_it_is_mended(break_it, mend_it, reason):
    fitted = Fitted()
    assert not fitted.driver.fault
    assert is_set_up(fitted.chip)
    break_it(fitted)
    fitted.driver.check(fitted.now_ms)
    assert (fitted.driver.fault, fitted.driver.reason) == (True, reason)
    mend_it(fitted)
    for at_ms in range(10, motor_driver.CHECK_MS + 10, 10):
        assert fitted.driver.fault, at_ms
        fitted.look(10, running=False)
    assert not fitted.driver.fault
    assert is_set_up(fitted.chip)
    assert fitted.driver.reason == reason


@pytest.mark.parametrize("break_it", [heat, silence, lose_power])
def test_a_trouble_in_mid_infusion_is_found_by_asking(break_it):
    fitted = Fitted()
    assert fitted.look(5_000, running=True) is None
    break_it(fitted)
    after_ms = fitted.look(1_000, running=True)
    # Asked within 100 ms; two answers, each taken in the next turn.
    assert after_ms is not None
    assert after_ms <= motor_driver.WATCH_MS + 4 * 10


def test_a_supply_that_was_lost_and_is_back_is_noticed_in_mid_infusion():
    fitted = Fitted()
    fitted.chip.lose_power()
    assert fitted.look(200, running=True)
    assert fitted.driver.reason == "reset"
    # It is not set up while it may turn.
    assert not is_set_up(fitted.chip)
    fitted.driver.check(fitted.now_ms)
    assert is_set_up(fitted.chip)


@pytest.mark.parametrize("spoilt", [1, 2])
def test_a_spoilt_answer_is_forgiven_once(spoilt):
    fitted = Fitted()
    for _ in range(3):
        fitted.chip.flips = [4] * spoilt
        after_ms = fitted.look(5 * motor_driver.WATCH_MS, running=True)
        assert (after_ms is not None) == (spoilt == 2)
        assert fitted.chip.flips == []
        fitted.driver.check(fitted.now_ms)


def test_spoilt_answers_that_are_far_apart_do_not_add_up():
    fitted = Fitted()
    for _ in range(5):
        fitted.chip.flips = [4]
        assert fitted.look(5 * motor_driver.WATCH_MS, running=True) is None
        assert fitted.chip.flips == []


def test_nothing_waits_while_the_motor_runs():
    fitted = Fitted()
    silence(fitted)
    fitted.chip.waited = 0
    turns = 0
    while not fitted.driver.fault:
        before = fitted.chip.waited
        fitted.look(10, running=True)
        turns += 1
        assert fitted.driver.fault or fitted.chip.waited == before
    # The question, the first answer missing and the question again, the second answer missing.
    assert turns == 3


@pytest.mark.parametrize("has_chip", [True, False])
def test_a_blip_of_the_fault_output_is_kept_until_the_next_check(has_chip):
    fitted = Fitted(has_chip)
    raise_output(fitted)
    fitted.driver.note_fault()
    lower_output(fitted)
    assert fitted.look(100, running=True) == 10
    assert fitted.driver.reason
    fitted.driver.check(fitted.now_ms)
    assert fitted.look(500, running=True) is None


def test_a_spike_that_is_over_when_the_interrupt_comes_is_none():
    fitted = Fitted()
    fitted.driver.note_fault()
    assert fitted.look(500, running=True) is None


def test_a_fault_is_read_before_the_motor_is_switched_off():
    fitted = Fitted()
    fitted.chip.registers[tmc2209.DRV_STATUS] = 1 << 2
    raise_output(fitted)
    assert fitted.look(100, running=True) == 10
    assert fitted.driver.reason.startswith("short_to_ground_a")


def test_a_driver_without_a_uart_is_asked_nothing():
    fitted = Fitted(has_chip=False, has_output=False)
    assert fitted.look(2_000, running=True) is None
    assert fitted.look(2_000, running=False) is None
    assert fitted.chip.log == []


def test_settings_that_arrived_in_part_are_all_written_again():
    fitted = Fitted()
    fitted.chip.lose_power()
    fitted.chip.deaf = True
    fitted.driver.check(fitted.now_ms)
    assert fitted.driver.fault
    # Deaf to the settings alone; what says so was cleared by somebody else.
    fitted.chip.deaf = False
    fitted.chip.registers[tmc2209.GSTAT] = 0
    fitted.driver.check(fitted.now_ms)
    assert not fitted.driver.fault
    assert is_set_up(fitted.chip)


def test_the_step_pulse_is_long_enough_for_every_driver():
    # The generator's pulse is two ticks of 1 µs, and STEP_TICKS of them are the least interval.
    high_ns, low_ns = 2_000, 14_000
    columns = drivers.DRIVER_COLUMNS
    for row in drivers.DRIVERS:
        driver = dict(zip(columns, row, strict=True))
        assert driver["high_ns"] <= high_ns
        assert driver["low_ns"] <= low_ns


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 20)), max_size=200))
def test_a_button_is_believed_when_it_has_settled_and_each_press_once(looks):
    level = False
    button = buttons.Button(lambda: level)
    events, steady_ms, last = [], 0, False
    for level, after_ms in looks:
        steady_ms = steady_ms + after_ms if level == last else 0
        last = level
        event = button.look(after_ms)
        if event != buttons.NOTHING:
            events.append(event)
            assert steady_ms >= buttons.SETTLE_MS
        if steady_ms >= buttons.SETTLE_MS:
            assert button.down == level
    # Presses and releases alternate, a press first.
    expected = [buttons.PRESSED, buttons.RELEASED] * len(events)
    assert events == expected[: len(events)]


def test_a_key_that_is_held_for_a_minute_is_stuck_once():
    button = buttons.Button(lambda: True)
    events = [event for _ in range(20_000) if (event := button.look(10))]
    assert events == [buttons.PRESSED, buttons.STUCK]
