#define MICROPY_HW_BOARD_NAME "Micropump on Raspberry Pi Pico"
// 2 MiB of flash: the image first, the file system in the last 1408 KiB, as MicroPython's own.
#define MICROPY_HW_FLASH_STORAGE_BYTES (1408 * 1024)
