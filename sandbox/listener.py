"""One port of an account: open, refuse (listener and connections gone),
open again on the same port.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable

from aiohttp import web

from sandbox import limits

_log = logging.getLogger("sandbox.listener")

Serve = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Listener:
    """A loopback HTTP server that can be shut and opened while its requests go on."""

    def __init__(self, serve: Serve) -> None:
        self._http = web.Server(serve, access_log=None, keepalive_timeout=limits.KEEPALIVE_SECONDS)
        self._listening: asyncio.Server | None = None
        self._keeper: socket.socket | None = None
        self.port = 0

    async def open(self, port: int) -> int:
        """Listens on `port` (0 or a port that is taken: a free one), which stays ours while it is
        refused; returns the port.
        """
        try:
            self._keeper = keep_port(port)
        except OSError:
            _log.warning("port %d is taken: the account moves to another", port)
            self._keeper = keep_port(0)
        self.port = self._keeper.getsockname()[1]
        await self._listen()
        return self.port

    def refuse(self) -> None:
        """From now on a caller's connect is refused; open connections break;
        a request under way is still executed.
        """
        if self._listening is None:
            return
        self._listening.close()
        self._listening = None
        for connection in list(self._http.connections):
            if connection.transport is not None:
                connection.transport.abort()

    async def reopen(self) -> None:
        """Ends `refuse`."""
        if self._listening is None:
            await self._listen()

    async def close(self) -> None:
        """Stops listening and gives requests under way a moment."""
        if self._listening is not None:
            self._listening.close()
        if self._keeper is not None:
            self._keeper.close()
        await self._http.shutdown(limits.STOP_SECONDS)

    async def _listen(self) -> None:
        self._listening = await asyncio.get_running_loop().create_server(
            self._http, sock=keep_port(self.port)
        )


def keep_port(port: int) -> socket.socket:
    """A socket bound to `port` (0: a free one) that does not listen: the kernel gives the port to
    nobody who asks for any free one.

    SO_REUSEADDR lets us bind the same port once more, to listen on it.
    """
    keeper = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        keeper.bind(("127.0.0.1", port))
    except OSError:
        keeper.close()
        raise
    return keeper
