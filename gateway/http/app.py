"""The aiohttp application: the routes, wrapped; the documents, rendered once; a last route for
whatever nobody took.

No aiohttp middleware: the wrapper of `edge` does their work, and a request passes through one
function less.
"""

import functools
import re
from collections.abc import Sequence

from aiohttp import web
from aiohttp.http import HttpVersion11

from gateway.http.docs_page import render
from gateway.http.edge import signed, unmatched, unsigned
from gateway.http.exchange import DEPS, EdgeDeps
from gateway.http.openapi import document, encoded
from gateway.http.operations import DOCUMENTS, Documents
from gateway.http.routes import OPEN_ROUTES, ROUTES
from gateway.limits import CALLBACK_BODY_BYTES_MAX, REQUEST_BODY_BYTES_MAX

assert CALLBACK_BODY_BYTES_MAX == REQUEST_BODY_BYTES_MAX, (
    "one bound holds for the whole application"
)


def build_app(deps: EdgeDeps) -> web.Application:
    """The application, not yet frozen: `serving.serve_until` runs it."""
    app = web.Application(client_max_size=REQUEST_BODY_BYTES_MAX)
    app[DEPS] = deps
    app[DOCUMENTS] = _documents()
    handlers = [(route.method, route.path, signed(route, deps)) for route in ROUTES]
    handlers += [(route.method, route.path, unsigned(route, deps)) for route in OPEN_ROUTES]
    for method, path, handler in handlers:
        resource = app.router.add_resource(path)
        resource.add_route(method, handler, expect_handler=go_on)
        if method == "GET":
            resource.add_route("HEAD", handler, expect_handler=go_on)
    app.router.add_resource("/{anything:.*}").add_route(
        "*", unmatched(allowed_methods, deps), expect_handler=go_on
    )
    return app


@functools.cache
def _documents() -> Documents:
    """The same for every application of a process."""
    return render(document(ROUTES, OPEN_ROUTES), encoded)


def allowed_methods(raw_path: str) -> Sequence[str]:
    """The methods that a path of ours takes, sorted; none for a path nobody has."""
    methods = {method for method, pattern in _PATTERNS if pattern.fullmatch(raw_path)}
    return (
        sorted(methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())) if methods else []
    )


async def go_on(request: web.Request) -> None:
    """Ask for the body of a client that waits;
    another expectation is ignored, as RFC 9110 (10.1.1) allows.
    """
    if (
        request.version == HttpVersion11
        and request.headers.get("Expect", "").lower() == "100-continue"
    ):
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0


_PATTERNS = [
    (route.method, re.compile(re.sub(r"\{\w+\}", "[^/]+", route.path)))
    for route in (*ROUTES, *OPEN_ROUTES)
]
