"""What can go wrong between an image and a board."""

from micropump_host.errors import MicropumpError


class FlashError(MicropumpError):
    """Flashing cannot be done or was not done."""


class DriveError(FlashError):
    """No boot drive, several, one of another chip, a full one, or one that went away too soon."""


class ImageMismatchError(FlashError):
    """The image is not what its manifest says, or not for this board."""


class TherapyUnderWayError(FlashError):
    """The pump does not leave its work for being flashed."""


class ToolMissingError(FlashError):
    """A tool that flashing needs is not installed."""


class BoardError(FlashError):
    """The interpreter's prompt on the board does not answer as it must, or says no."""


class NotVerifiedError(FlashError):
    """What runs on the board after flashing is not, or not surely, what was put there."""
