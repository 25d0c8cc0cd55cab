"""For tests that need a firmware image: the image, or a skip that says why and what to do."""

import os
from pathlib import Path

import pytest

from micropump_hil.emulated.errors import ImageError
from micropump_hil.emulated.uf2 import find_image

VARIABLE = "MICROPUMP_REQUIRE_EMULATED"


def image_or_skip() -> Path:
    """The firmware image.

    Without one the test is skipped by name, or fails where MICROPUMP_REQUIRE_EMULATED is 1.
    """
    try:
        return find_image()
    except ImageError as error:
        if os.environ.get(VARIABLE) == "1":
            pytest.fail(f"{error} ({VARIABLE} is 1: it must not be skipped.)", pytrace=False)
        pytest.skip(str(error))
