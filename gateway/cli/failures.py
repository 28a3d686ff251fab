"""What a command cannot do, in words. No driver is imported here: every command needs this file."""

from typing import ClassVar


class CommandError(Exception):
    """The command cannot do it; the text says why and what to do."""

    exit_code: ClassVar[int] = 2


class NoAnswer(CommandError):
    """A request went out and no answer came: whether it was done is not known."""

    exit_code = 4  # as the verdicts "wait" and "do not charge again": see client/exit_codes.py
