#define MICROPY_HW_BOARD_NAME "Micropump on Raspberry Pi Pico W"
// 2 MiB of flash: the image first, the file system in the last 1408 KiB, as on the Pico.
#define MICROPY_HW_FLASH_STORAGE_BYTES (1408 * 1024)
