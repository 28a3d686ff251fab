"""One worker's HTTP servers and their way to end without a failed request.

Closing idle connections at once loses the requests that are already on their way on them, so the
public server drains: it stops accepting, goes on answering on open connections with
`Connection: close` for a moment, and only then closes. The server for operations ends last: until
then it tells how the worker is doing.
"""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

from aiohttp import web

from gateway.clock import SystemIds
from gateway.http.connections import OF_TILLS, Bounds, Guard
from gateway.http.peers import DIRECT, Peers
from gateway.limits import DRAIN_GRACE_S, DRAIN_REQUESTS_S, LISTEN_BACKLOG

log = logging.getLogger("tillgate.serving")

LEAVING = web.AppKey("LEAVING", asyncio.Event)
"""Set once the worker is about to stop: `/readyz` answers 503, everything else goes on."""

DRAINING = web.AppKey("DRAINING", asyncio.Event)
"""Set once the worker stops accepting: long polls answer with what they have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """An application on a socket that another part has bound. The application is not yet frozen."""

    app: web.Application
    socket: socket.socket
    bounds: Bounds = OF_TILLS
    peers: Peers = DIRECT


async def serve_until(
    public: Listening,
    stop: asyncio.Event,
    *,
    operations: Listening | None = None,
    leaving: asyncio.Event | None = None,
    on_started: Callable[[], None] = lambda: None,
    on_draining: Callable[[], None] = lambda: None,
    drain_grace_s: float = DRAIN_GRACE_S,
) -> None:
    """Serve until `stop`; then drain and return. Closes this process's copies of the sockets.

    `leaving` is set a while before `stop`, if load balancers need one. `on_started` is called when
    requests are accepted.
    """
    leaving, draining = leaving or asyncio.Event(), asyncio.Event()
    async with AsyncExitStack() as stack:
        if operations is not None:
            operations.app[LEAVING] = leaving
            await stack.enter_async_context(accepting("operations", operations))
        public.app[LEAVING], public.app[DRAINING] = leaving, draining
        public.app.on_response_prepare.append(_say_goodbye)
        server = await stack.enter_async_context(accepting("public", public))
        on_started()
        await stop.wait()
        leaving.set()
        draining.set()
        on_draining()
        log.info("draining")
        server.close()
        await asyncio.sleep(drain_grace_s)


@asynccontextmanager
async def accepting(name: str, listening: Listening) -> AsyncIterator[asyncio.Server]:
    """The server, accepting; on the way out requests in flight are waited for.

    `name` is the listener's in the metrics.
    """
    listening.app.setdefault(LEAVING, asyncio.Event())
    runner = web.AppRunner(
        listening.app, handle_signals=False, shutdown_timeout=DRAIN_REQUESTS_S, access_log=None
    )
    await runner.setup()
    assert runner.server is not None
    guard = Guard(name, bounds=listening.bounds, peers=listening.peers, ids=SystemIds())
    watching = asyncio.create_task(guard.watch(), name=f"connections of {name}")
    try:
        server = await asyncio.get_running_loop().create_server(
            guard.connections_of(runner.server), sock=listening.socket, backlog=LISTEN_BACKLOG
        )
        try:
            yield server
        finally:
            server.close()
            await runner.cleanup()
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


async def _say_goodbye(request: web.Request, response: web.StreamResponse) -> None:
    """While draining, every answer tells its client to connect anew (aiohttp has built the headers
    before this signal).
    """
    if request.config_dict[DRAINING].is_set():
        response.force_close()
        response.headers["Connection"] = "close"
