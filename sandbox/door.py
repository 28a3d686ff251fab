"""Who may use the control API: programs on this machine, and no page in a browser on it.

A browser sends `Origin` with every request of a page that could change something, and cannot leave
it out; a name server that points a foreign name at 127.0.0.1 shows in `Host`.
"""

from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import web

LOCAL = frozenset({"127.0.0.1", "localhost", "::1"})
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def local_programs_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    """403 for a page or a foreign name, 415 for a body that is not said to be JSON."""
    if "Origin" in request.headers:
        return _refused(403, "a page in a browser may not use this")
    if _name(request.host) not in LOCAL:
        return _refused(403, f"ask 127.0.0.1 or localhost, not {request.host}")
    if request.can_read_body and request.content_type != "application/json":
        return _refused(415, "send the body with Content-Type: application/json")
    return await handler(request)


def _name(host: str) -> str | None:
    """Without the port; None when it is no host at all."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _refused(status: int, words: str) -> web.Response:
    return web.json_response({"error": words}, status=status)
