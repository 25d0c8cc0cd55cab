#define MICROPY_HW_BOARD_NAME "Micropump on Raspberry Pi Pico W"
// 2 MiB of flash: the image first, then what micropump_rp2.flash keeps, then the file system in the
// last 1408 KiB, as on the Pico. MicroPython's storage area is the last two.
#define MICROPUMP_RESERVED_BYTES (160 * 1024)
#define MICROPY_HW_FLASH_STORAGE_BYTES (1408 * 1024 + MICROPUMP_RESERVED_BYTES)
