"""One port of an account: open, refuse (listener and connections gone), open again on the same port."""

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
        self.port = 0

    async def open(self, port: int) -> int:
        """Listens on `port` (0 or a port that is taken: a free one); returns the port."""
        try:
            listening = _bind(port)
        except OSError:
            _log.warning("port %d is taken: the account moves to another", port)
            listening = _bind(0)
        self._listening = await asyncio.get_running_loop().create_server(self._http, sock=listening)
        self.port = listening.getsockname()[1]
        return self.port

    def refuse(self) -> None:
        """From now on a caller's connect is refused; open connections break; a request under way is still executed."""
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
            await self.open(self.port)

    async def close(self) -> None:
        """Stops listening and gives requests under way a moment."""
        if self._listening is not None:
            self._listening.close()
        await self._http.shutdown(limits.STOP_SECONDS)


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on at this moment, each another one."""
    held = [_bind(0) for _ in range(count)]
    ports = [listening.getsockname()[1] for listening in held]
    for listening in held:
        listening.close()
    return ports


def _bind(port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(("127.0.0.1", port))
    except OSError:
        listening.close()
        raise
    return listening
