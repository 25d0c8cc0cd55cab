#define MICROPY_HW_BOARD_NAME "Micropump on Raspberry Pi Pico 2"
// 4 MiB of flash: the image first, the file system behind the first MiB, as MicroPython's own.
#define MICROPY_HW_FLASH_STORAGE_BYTES (PICO_FLASH_SIZE_BYTES - 1024 * 1024)
