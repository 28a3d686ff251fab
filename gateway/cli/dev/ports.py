"""A port that no other program gets between its choice and its use."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.cli.failures import CommandError


@contextmanager
def reserved_port(port: int = 0) -> Iterator[int]:
    """This loopback port, or a free one for 0, ours until the end of the context: a server that we
    start by number may listen on it at any time, again too.

    The socket that keeps it is bound and never listens. With SO_REUSEADDR on both, a server may
    bind the port beside it; the kernel gives it to no program that asks for any free port, and a
    connection to it is refused while no server runs. Only Linux lets two be bound so: elsewhere the
    port is looked at and let go.

    Raises `CommandError` when another program listens on it.
    """
    with socket.socket() as keeper:
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            keeper.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            raise CommandError(
                f"port {port} cannot be used ({error}): choose another with --port, or --port 0 "
                f'for a free one; under make: make run ARGS="--port 0"'
            ) from error
        bound = int(keeper.getsockname()[1])
        if sys.platform != "linux":
            keeper.close()
        yield bound
