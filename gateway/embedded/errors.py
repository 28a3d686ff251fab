"""What can go wrong with an embedded server; every message says what to do.

EmbeddedServerError      did not start, or its folder does not fit
└── ServerMissingError   the program is not installed
"""


class EmbeddedServerError(RuntimeError):
    """An embedded server did not start, or its folder does not fit."""


class ServerMissingError(EmbeddedServerError):
    """A server program is not installed; the message says which package brings it."""
