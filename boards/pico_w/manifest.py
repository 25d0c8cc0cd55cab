# What is frozen into the image. The builder puts our modules into "frozen" beside this file; of the
# port's own modules the PIO assembler alone is taken (its _boot.py reformats a file system that it
# cannot mount).
freeze("$(PORT_DIR)/modules", "rp2.py")
freeze("$(BOARD_DIR)/frozen")
