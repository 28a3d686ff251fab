"""One worker's HTTP server and its way to end without a failed request.

Closing idle connections at once loses the requests that are already on their way on them, so the
server drains: it stops accepting, goes on answering on open connections with `Connection: close`
for a moment, and only then closes.
"""

import asyncio
import logging
import socket
from collections.abc import Callable

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from gateway.limits import DRAIN_GRACE_S, DRAIN_REQUESTS_S, LISTEN_BACKLOG

log = logging.getLogger("tillgate.serving")

DRAINING = web.AppKey("DRAINING", asyncio.Event)
"""Set once the worker is asked to stop:
`/readyz` answers 503, long polls answer with what they have.
"""


async def serve_until(
    app: web.Application,
    listening: socket.socket,
    stop: asyncio.Event,
    *,
    on_started: Callable[[], None] = lambda: None,
    on_draining: Callable[[], None] = lambda: None,
    drain_grace_s: float = DRAIN_GRACE_S,
) -> None:
    """Serve `app` on a socket that somebody else bound, until `stop`; then drain and return.

    Closes this process's copy of the socket.

    `app` must not be frozen yet. `on_started` is called when requests are accepted.
    """
    logging.getLogger("aiohttp.server").addFilter(without_foreign_bytes)
    draining = asyncio.Event()
    app[DRAINING] = draining
    app.on_response_prepare.append(_say_goodbye)
    runner = web.AppRunner(
        app,
        handle_signals=False,
        shutdown_timeout=DRAIN_REQUESTS_S,
        access_log=None,
        auto_decompress=False,
    )
    await runner.setup()
    try:
        site = web.SockSite(runner, listening, backlog=LISTEN_BACKLOG)
        await site.start()
        on_started()
        await stop.wait()
        draining.set()
        on_draining()
        log.info("draining")
        await site.stop()
        await asyncio.sleep(drain_grace_s)
    finally:
        await runner.cleanup()


def without_foreign_bytes(record: logging.LogRecord) -> bool:
    """A logging filter.

    What is not HTTP is told in one line, without a traceback and without its bytes, which aiohttp's
    errors quote.
    """
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        record.msg = f"refused what is not HTTP ({type(error).__name__}) from %s"
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.exc_info = record.exc_text = None
    return True


async def _say_goodbye(request: web.Request, response: web.StreamResponse) -> None:
    """While draining, every answer tells its client to connect anew (aiohttp has built the headers
    before this signal).
    """
    if request.config_dict[DRAINING].is_set():
        response.force_close()
        response.headers["Connection"] = "close"
