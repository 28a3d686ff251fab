"""A port that nobody else gets between its choice and its use."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator


@contextlib.contextmanager
def reserved_port() -> Iterator[int]:
    """A free loopback port, ours until the end of the context: a server that we start by number may
    listen on it at any time, again too.

    The socket that keeps it is bound and never listens. With SO_REUSEADDR on both, a server may
    bind the port beside it; the kernel hands it to nobody who asks for any free port, and a
    connection to it is refused while no server runs.
    """
    with socket.socket() as keeper:
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        keeper.bind(("127.0.0.1", 0))
        yield keeper.getsockname()[1]
