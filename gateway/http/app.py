"""The aiohttp applications: the routes, wrapped; the documents, rendered once; a last route for
whatever nobody took.

No aiohttp middleware: the wrapper of `edge` does their work, and a request passes through one
function less.
"""

import functools
import re
from collections.abc import Callable, Sequence

from aiohttp import web

from gateway.http.docs_page import render
from gateway.http.edge import WebHandler, probed, signed, unmatched, unsigned
from gateway.http.exchange import Described, EdgeDeps
from gateway.http.openapi import document, encoded
from gateway.http.operations import DOCUMENTS, OPERATIONS_ROUTES, Documents, OperationsDeps
from gateway.http.routes import OPEN_ROUTES, ROUTES


def build_app(deps: EdgeDeps) -> web.Application:
    """The public application, not yet frozen: `serving.serve_until` runs it."""
    app = web.Application()
    app[DOCUMENTS] = _documents()
    handlers: list[tuple[Described, WebHandler]] = [
        (route, signed(route, deps)) for route in ROUTES
    ]
    handlers += [(route, unsigned(route, deps)) for route in OPEN_ROUTES]
    _add(app, handlers, unmatched(allowed_methods(handlers), deps.clock, deps.ids))
    return app


@functools.cache
def _documents() -> Documents:
    """The same for every application of a process."""
    return render(document(ROUTES, OPEN_ROUTES), encoded)


def build_operations_app(deps: OperationsDeps) -> web.Application:
    """The application of the listener for operations."""
    app = web.Application()
    handlers = [(route, probed(route, deps)) for route in OPERATIONS_ROUTES]
    _add(app, handlers, unmatched(allowed_methods(handlers), deps.clock, deps.ids))
    return app


def _add(
    app: web.Application,
    handlers: Sequence[tuple[Described, WebHandler]],
    everything_else: WebHandler,
) -> None:
    for route, handler in handlers:
        resource = app.router.add_resource(route.path)
        resource.add_route(route.method, handler, expect_handler=_say_nothing_yet)
        if route.method == "GET":
            resource.add_route("HEAD", handler, expect_handler=_say_nothing_yet)
    app.router.add_resource("/{anything:.*}").add_route(
        "*", everything_else, expect_handler=_say_nothing_yet
    )


def allowed_methods(
    handlers: Sequence[tuple[Described, WebHandler]],
) -> Callable[[str], Sequence[str]]:
    """For a raw path: the methods that it takes, sorted; none for a path nobody has."""
    patterns = [
        (route.method, re.compile(re.sub(r"\{\w+\}", "[^/]+", route.path))) for route, _ in handlers
    ]

    def allowed(raw_path: str) -> Sequence[str]:
        methods = {method for method, pattern in patterns if pattern.fullmatch(raw_path)}
        if "GET" in methods:
            methods.add("HEAD")
        return sorted({*methods, "OPTIONS"}) if methods else []

    return allowed


async def _say_nothing_yet(request: web.Request) -> None:
    """Who sends `Expect: 100-continue` is told to go on once somebody wants its body."""
    del request
