set(PICO_BOARD "pico2")
# The Arm cores, not the RISC-V ones.
set(PICO_PLATFORM "rp2350")
