"""Runs first of all: mounts the file system, and never formats one that does not mount.

What is needed to run is frozen into the image; a damaged file system is left for a person to look
at, and the pump works without it.
"""

import vfs

import rp2

# As RESERVED_BYTES in micropump_rp2.flash, whose import here would shadow firmware that lies on
# the file system as files.
_RESERVED_BYTES = 256 * 1024

try:
    vfs.mount(vfs.VfsLfs2(rp2.Flash(start=_RESERVED_BYTES), progsize=256), "/")
except OSError:
    print("The file system does not mount; it is left as it is.")
