"""Files with the key that drug libraries are signed with."""

import os
import secrets
from pathlib import Path

from micropump.shelf import KEY_BYTES
from micropump_host.errors import MicropumpError

_REMEDY = (
    f"Make one of {KEY_BYTES} bytes with openssl rand -hex {KEY_BYTES}, or with micropump"
    " provision --new-key FILE"
)
_ONLY_FOR_ITS_OWNER = 0o600


def read_key(path: Path) -> bytes:
    """The 32 bytes of a key, from hexadecimal digits; raises MicropumpError."""
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except OSError as error:
        raise MicropumpError(
            f"cannot read the key ({error.strerror})", str(path), "Check the path"
        ) from None
    except ValueError:
        raise MicropumpError("this is no key in hexadecimal digits", str(path), _REMEDY) from None
    if len(key) != KEY_BYTES:
        length = "short" if len(key) < KEY_BYTES else "long"
        raise MicropumpError(f"a key of {len(key)} bytes is too {length}", str(path), _REMEDY)
    return key


def write_new_key(path: Path) -> bytes:
    """Make a key at random, in a new file that its owner alone can read; raises MicropumpError."""
    key = secrets.token_bytes(KEY_BYTES)
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _ONLY_FOR_ITS_OWNER)
    except FileExistsError:
        raise MicropumpError(
            "there is such a file already, and a key that is lost cannot be replaced",
            str(path),
            "Choose another name; or give the pump the key in it, with --key",
        ) from None
    except OSError as error:
        raise MicropumpError(
            f"cannot write the key ({error.strerror})", str(path), "Choose another place"
        ) from None
    with os.fdopen(number, "w", encoding="ascii") as file:
        file.write(f"{key.hex()}\n")
    return key
