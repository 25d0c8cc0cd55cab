"""The one family of errors that the host raises for things a user can put right.

Each says what was wrong, where, and what to do; the command line prints those three and leaves
with the error's exit code.
"""

EXIT_DONE = 0
EXIT_REFUSED = 1
EXIT_USAGE = 2


class MicropumpError(Exception):
    """Something a user can put right.

    Args:
        what: what was wrong, one sentence without a full stop.
        where: the file and line, the key, or the port that it concerns; may be empty.
        remedy: what to do about it; may be empty.

    ``exit_code`` is 1 where the pump, a file or a check said no and 2 for wrong usage.

    """

    exit_code = EXIT_REFUSED

    def __init__(self, what: str, where: str = "", remedy: str = "") -> None:
        self.what = what
        self.where = where
        self.remedy = remedy
        text = f"{where}: {what}" if where else what
        super().__init__(f"{text}. {remedy}" if remedy else text)


class UsageError(MicropumpError):
    """The command was called in a way that cannot work."""

    exit_code = EXIT_USAGE
