"""Peripherals by their registers, where the interpreter's own way waits, allocates or is too slow.

Addresses are handed in for the reason that counter.py gives. Offsets and bits are from the RP2040
datasheet: 2.3.1.7 (SIO), 4.3.17 (I2C) and 4.9.6 (ADC).
"""

SIO = 0xD0000000
ADC = 0x4004C000
I2C = (0x40044000, 0x40048000)

# Words for an I2C block's FIFO: a byte to write with these bits, or READ alone.
READ = 1 << 8
STOP = 1 << 9
RESTART = 1 << 10
# What ``i2c_take`` says.
WAITING = 0
TAKEN = 1
REFUSED = 2


@micropython.viper
def shift_in(sio: uint, data: int, clock: int, pulses: int) -> int:
    """Pulses on a clock pin, a data pin looked at in each while the clock is high.

    Pins are masks. Returns the levels, the first one in the highest bit.
    """
    port = ptr32(sio)
    value = 0
    while pulses:
        # GPIO_OUT_SET, some times over: the pulse is as long as they take.
        port[5] = clock
        port[5] = clock
        port[5] = clock
        port[5] = clock
        value <<= 1
        # GPIO_IN
        if port[1] & data:
            value |= 1
        # GPIO_OUT_CLR
        port[6] = clock
        port[6] = clock
        port[6] = clock
        pulses -= 1
    return value


@micropython.viper
def pull_down(sio: uint, mask: int, pulses: int):
    """Pulses down of some 2 µs on a pin that is an input with a pull-up, as a device's would be."""
    port = ptr32(sio)
    # GPIO_OUT_CLR, then GPIO_OE_SET and GPIO_OE_CLR.
    port[6] = mask
    while pulses:
        left = 10
        while left:
            port[9] = mask
            left -= 1
        left = 10
        while left:
            port[10] = mask
            left -= 1
        pulses -= 1


@micropython.viper
def adc_sum(adc: uint, channel: int, readings: int) -> int:
    """The sum of so many conversions of 12 bits, one after the other, 2 µs each."""
    register = ptr32(adc)
    # CS: AINSEL, TS_EN and EN; then START_ONCE until READY, and RESULT.
    control = (channel << 12) | 3
    register[0] = control
    total = 0
    while readings:
        register[0] = control | 4
        while not register[0] & 256:
            pass
        total += register[1]
        readings -= 1
    return total


@micropython.viper
def i2c_send(i2c: uint, address: int, words: ptr16, count: int):
    """Have the block, which is not busy, carry out up to 16 words with a device."""
    register = ptr32(i2c)
    # IC_ENABLE: off empties the FIFOs, and only then IC_TAR can be changed.
    register[27] = 0
    register[1] = address
    register[27] = 1
    # IC_CLR_TX_ABRT: by being read.
    at = register[21]
    at = 0
    while at < count:
        register[4] = words[at]
        at += 1


@micropython.viper
def i2c_take(i2c: uint, into: ptr8, count: int) -> int:
    """What has become of it: ``TAKEN`` with ``count`` bytes, ``WAITING`` or ``REFUSED``."""
    register = ptr32(i2c)
    # IC_RAW_INTR_STAT, TX_ABRT: nobody answers to the address, or to a byte.
    if register[13] & 64:
        return 2
    # IC_STATUS, and IC_RXFLR.
    if register[28] & 32 or register[30] < count:
        return 0
    at = 0
    while at < count:
        into[at] = register[4]
        at += 1
    return 1
