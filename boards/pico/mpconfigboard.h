#define MICROPY_HW_BOARD_NAME "Micropump on Raspberry Pi Pico"
// 2 MiB of flash: the image in the first 768 KiB, then what micropump_rp2.flash keeps, then the file
// system behind the first MiB. MicroPython's storage area is the last two.
#define MICROPUMP_RESERVED_BYTES (256 * 1024)
#define MICROPY_HW_FLASH_STORAGE_BYTES (PICO_FLASH_SIZE_BYTES - 1024 * 1024 + MICROPUMP_RESERVED_BYTES)
