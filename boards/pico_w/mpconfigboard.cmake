# MicroPython's network and radio stay out: the pump needs neither.
set(PICO_BOARD "pico_w")
set(PICO_PLATFORM "rp2040")
