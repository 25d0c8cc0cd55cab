"""Stepper driver chips: what each asks of STEP, DIR and EN, and what it can be told and asked.

Data only. Sources: the makers' datasheets, by name and the table that has the figure. All three
take EN as active low and make a step on the rising edge of STEP.
"""

# id, name, least STEP high ns, least STEP low ns, DIR settled before STEP ns, ready after EN us,
# finest microstep, greatest motor volts x10, has UART, has a diagnostic output, source
DRIVER_COLUMNS = (
    "id", "name", "high_ns", "low_ns", "dir_setup_ns", "wake_us", "finest_microstep",
    "motor_decivolts", "has_uart", "has_diagnostic", "source",
)  # fmt: skip
DRIVERS = (
    ("a4988", "Allegro A4988", 1000, 1000, 200, 1000, 16, 350, 0, 0,
     "Allegro A4988 datasheet, figure 1 (logic interface timing)"),
    ("drv8825", "TI DRV8825", 1900, 1900, 650, 1700, 32, 450, 0, 1,
     "TI DRV8825 datasheet SLVSA73, section 6.6 (timing requirements)"),
    ("tmc2209", "Trinamic TMC2209", 100, 100, 20, 0, 256, 290, 1, 1,
     "Trinamic TMC2209 datasheet, section 13.1 (STEP/DIR timing)"),
)  # fmt: skip

# TMC2209: what is set at the start, in this order. (register, value, meaning)
TMC2209_SETTINGS = (
    (0x00, 0x000001C0, "GCONF: UART in charge, microsteps by register, index filter on"),
    (0x10, 0x00061408, "IHOLD_IRUN: hold 8/32, run 20/32, 6 delay steps"),
    (0x11, 0x00000014, "TPOWERDOWN: 20 units until the hold current"),
    (0x13, 0x00000000, "TPWMTHRS: quiet chopper at every speed"),
    (0x70, 0xC10D0024, "PWMCONF: automatic scale and gradient"),
    (0x6C, 0x14000053, "CHOPCONF: 1/16 step, interpolated to 1/256"),
)
# Bits of DRV_STATUS (0x6F) that stop the pump: over-temperature, shorts. (bit, name)
TMC2209_FAULTS = (
    (1, "over_temperature"),
    (2, "short_to_ground_a"),
    (3, "short_to_ground_b"),
    (4, "low_side_short_a"),
    (5, "low_side_short_b"),
)
# And those that warn: near over-temperature, open coils (which only say something while it turns).
TMC2209_WARNINGS = ((0, "temperature_prewarning"), (6, "open_load_a"), (7, "open_load_b"))
