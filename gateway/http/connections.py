"""Every open connection of one listener, and how long each may keep us waiting.

The HTTP library answers whoever speaks HTTP, and waits without end for everybody else. Here a
connection has a time for its head, a time to read what it was answered, and a bound for what it
sends ahead; a listener has a bound for all of them. One look a second over all connections finds
what is late: there is no timer per request.

When there are too many, the oldest ones that wait are closed, strangers first: a till that sends
its request gets in, however many silent connections an attacker holds.
"""

from __future__ import annotations

import asyncio
import heapq
import resource
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import cast

from aiohttp import web
from aiohttp.http import HttpVersion10, HttpVersion11
from aiohttp.http_exceptions import HttpProcessingError

from gateway.clock import Ids
from gateway.domain.errors import GatewayError, Malformed
from gateway.edge_limits import (
    BYTES_AHEAD_MAX,
    CONNECTIONS_CLOSED_AT_ONCE,
    CONNECTIONS_LOOK_S,
    CONNECTIONS_MAX,
    CONNECTIONS_OF_STRANGERS_MAX,
    DESCRIPTORS_MAX,
    DESCRIPTORS_RESERVED_MIN,
    DESCRIPTORS_RESERVED_SHARE,
    HEAD_TIMEOUT_S,
    IDLE_TIMEOUT_S,
    LINGER_S,
    OPERATIONS_CONNECTIONS_MAX,
    READ_BUFFER_BYTES,
    REQUEST_FIELD_BYTES_MAX,
    REQUEST_FIELDS_MAX,
    REQUEST_HEAD_BYTES_MAX,
    REQUEST_LINE_BYTES_MAX,
    UNREAD_TIMEOUT_S,
)
from gateway.http.exchange import response_of
from gateway.http.peers import Peers, address_of
from gateway.http.problems import NOTHING_TOLD, Internal, problem_answer, report
from gateway.telemetry.metrics import CONNECTIONS, CONNECTIONS_CLOSED, REQUESTS
from gateway.telemetry.refusals import REFUSALS

Handle = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

SPOKEN = (HttpVersion11, HttpVersion10)
NO_ROUTE = "(not http)"  # in metrics and logs, where the route template stands


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What one listener allows. Times in seconds; a test shortens them."""

    head_s: float = HEAD_TIMEOUT_S
    idle_s: float = IDLE_TIMEOUT_S
    unread_s: float = UNREAD_TIMEOUT_S
    look_s: float = CONNECTIONS_LOOK_S
    connections: int = CONNECTIONS_MAX
    strangers_of_a_peer: int = CONNECTIONS_OF_STRANGERS_MAX


OF_TILLS = Bounds()
OF_OPERATORS = Bounds(
    connections=OPERATIONS_CONNECTIONS_MAX, strangers_of_a_peer=OPERATIONS_CONNECTIONS_MAX
)


def descriptors() -> int:
    """How many file descriptors this process may have."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return DESCRIPTORS_MAX if soft == resource.RLIM_INFINITY else soft


def connections_within(limit: int) -> int:
    """How many connections a worker takes that may have `limit` descriptors: the rest is for the
    channels, PostgreSQL and Redis.
    """
    reserved = max(DESCRIPTORS_RESERVED_MIN, limit // DESCRIPTORS_RESERVED_SHARE)
    return max(1, min(CONNECTIONS_MAX, limit - reserved))


class Guard:
    """The connections of one listener. `listener` names it in the metrics."""

    def __init__(self, listener: str, *, bounds: Bounds, peers: Peers, ids: Ids) -> None:
        self.bounds = bounds
        self.peers = peers
        self._ids = ids
        self._listener = listener
        self._open: set[GuardedConnection] = set()
        self._strangers: dict[str, dict[GuardedConnection, None]] = {}  # by peer, oldest first

    def connections_of(self, server: web.Server) -> Callable[[], GuardedConnection]:
        """What the loop calls for every connection it accepts."""
        loop = asyncio.get_running_loop()
        handle = self._answered(server.request_handler)
        return lambda: GuardedConnection(server, loop, self, handle)

    async def watch(self) -> None:
        """Look at all connections, again and again, until cancelled."""
        while True:
            await asyncio.sleep(self.bounds.look_s)
            self.look(asyncio.get_running_loop().time())
            REFUSALS.tell()

    def look(self, now: float) -> None:
        """Close what is late at the moment `now` of the loop's clock."""
        CONNECTIONS.labels(self._listener).set(len(self._open))
        for connection in tuple(self._open):
            reason = connection.is_late(now)
            if reason is not None:
                connection.cut(reason)

    def opened(self, connection: GuardedConnection) -> None:
        """A peer has connected: make room for it."""
        if len(self._open) >= self.bounds.connections:
            self._close_the_oldest()
        self._open.add(connection)
        if len(self._open) > self.bounds.connections:
            connection.cut("full")  # every other one is at work
            return
        if self.peers.is_proxy(connection.peer):
            return
        strangers = self._strangers.setdefault(connection.peer, {})
        strangers[connection] = None
        if len(strangers) > self.bounds.strangers_of_a_peer:
            next(iter(strangers)).cut("strangers")

    def proven(self, connection: GuardedConnection) -> None:
        """Its peer has signed a request with a live key: it is no stranger."""
        strangers = self._strangers.get(connection.peer, {})
        strangers.pop(connection, None)
        if not strangers:
            self._strangers.pop(connection.peer, None)

    def closed(self, connection: GuardedConnection) -> None:
        """It is gone, whoever ended it."""
        self._open.discard(connection)
        self.proven(connection)

    def refused(self, error: GatewayError, accident: BaseException | None = None) -> web.Response:
        """The answer to what reaches no route; the connection ends with it."""
        request_id = f"req_{self._ids.token()}"
        if accident is not None:
            report(accident, request_id, NO_ROUTE)
        REQUESTS.labels(NO_ROUTE, str(error.http_status)).inc()
        answer = problem_answer(error, request_id, NOTHING_TOLD)
        response = response_of(answer, request_id)
        response.force_close()
        return response

    def _answered(self, handle: Handle) -> Handle:
        """`handle`, where the library answers nothing by itself: a version that it reads and we do
        not speak, and targets that match no route of ours (`*`, an authority, no path).
        """

        async def answer(request: web.BaseRequest) -> web.StreamResponse:
            if request.version not in SPOKEN:
                speak_our_version(request)
                return self.refused(Malformed("This is HTTP/1.1"))
            try:
                return await handle(request)
            except web.HTTPException:
                return self.refused(Malformed("The request's target is no path of ours"))

        return answer

    def _close_the_oldest(self) -> None:
        """Strangers first, then those that have waited longest; none that is being answered."""
        waiting = [each for each in self._open if each.is_waiting]
        for connection in heapq.nsmallest(
            CONNECTIONS_CLOSED_AT_ONCE, waiting, key=lambda each: (each.is_proven, each.since)
        ):
            connection.cut("full")
            self._open.discard(connection)


class GuardedConnection(web.RequestHandler):
    """One connection of the HTTP library, with the bounds of its guard.

    `since`: when it last began to wait for a request.
    """

    __slots__ = (
        "_bytes_ahead",
        "_guard",
        "_head_bytes",
        "_head_since",
        "_line",
        "_made_at",
        "_unread_since",
        "is_proven",
        "peer",
    )

    def __init__(
        self,
        server: web.Server,
        loop: asyncio.AbstractEventLoop,
        guard: Guard,
        handle: Handle,
    ) -> None:
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=guard.bounds.idle_s,
            lingering_time=LINGER_S,
            max_line_size=REQUEST_LINE_BYTES_MAX,
            max_field_size=REQUEST_FIELD_BYTES_MAX,
            max_headers=REQUEST_FIELDS_MAX,
            read_bufsize=READ_BUFFER_BYTES,
            auto_decompress=False,
            access_log=None,  # type: ignore[arg-type]  # the library allows it: no access log
        )
        self._request_handler = handle
        self._guard = guard
        self._line: asyncio.Transport | None = None
        self._made_at = loop.time()
        self._head_since: float | None = None  # a head has begun and not ended
        self._unread_since: float | None = None  # an answer waits for its reader
        self._head_bytes = self._bytes_ahead = 0
        self.is_proven = False
        self.peer = ""

    # -- what the loop tells -----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        super().connection_made(transport)
        self._line = cast("asyncio.Transport", transport)  # uvloop's transports are no subclasses
        self.peer = address_of(transport)
        self._guard.opened(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """See `asyncio.Protocol`."""
        self._guard.closed(self)
        self._line = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        requests_before = self._request_count
        if requests_before and not self.is_waiting:
            # A request is under way: this is its body, or the next request too early.
            self._bytes_ahead += len(data)
            if self._bytes_ahead > BYTES_AHEAD_MAX and self._request_in_progress:
                self.cut("ahead")
                return
            super().data_received(data)
            return
        self._bytes_ahead = 0
        self._head_bytes += len(data)
        if self._head_bytes > REQUEST_HEAD_BYTES_MAX and not self._ends_in_time(data):
            self.cut("head")
            return
        super().data_received(data)
        if self._request_count > requests_before:
            self._head_since = None
            self._head_bytes = 0
        elif self._head_since is None:
            self._head_since = self._loop.time()

    # -- what the guard asks -----------------------------------------------------------------------

    @property
    def is_waiting(self) -> bool:
        """No request of it is being answered."""
        return self._waiter is not None and not self._waiter.done()

    @property
    def since(self) -> float:
        """See the class."""
        return max(self._made_at, self._next_keepalive_close_time - self._guard.bounds.idle_s)

    def is_late(self, now: float) -> str | None:
        """Why it has to be closed, if it has."""
        bounds = self._guard.bounds
        if self._line is None or self._line.get_write_buffer_size() == 0:
            self._unread_since = None
        elif self._unread_since is None:
            self._unread_since = now
        elif now - self._unread_since > bounds.unread_s:
            return "unread"
        begun = self._head_since
        if begun is None and self._request_count == 0:
            begun = self._made_at
        return "head" if begun is not None and now - begun > bounds.head_s else None

    def become_proven(self) -> None:
        """Its peer has signed a request."""
        self.is_proven = True
        self._guard.proven(self)

    def cut(self, reason: str) -> None:
        """Close at once: what is not read by now is thrown away, which `close` would wait for."""
        CONNECTIONS_CLOSED.labels(reason).inc()
        line = self._line
        self.force_close()
        if line is not None:
            line.abort()

    # -- what is no request ------------------------------------------------------------------------

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The library's refusals and accidents, in our words and without a byte of theirs."""
        del status, message
        if request.writer.output_size > 0:
            raise ConnectionError("another answer has begun")
        speak_our_version(request)
        if not isinstance(exc, HttpProcessingError):
            return self._guard.refused(Internal(), accident=exc or TimeoutError())
        REFUSALS.note("not_http", peer=self.peer, reason=type(exc).__name__)
        return self._guard.refused(Malformed("This is no well-formed HTTP/1.1 request"))

    def _ends_in_time(self, data: bytes) -> bool:
        """Whether the head ends within its bound, in what has just come."""
        before = self._head_bytes - len(data)
        return data.find(b"\r\n\r\n", 0, max(0, REQUEST_HEAD_BYTES_MAX - before)) >= 0


def speak_our_version(request: web.BaseRequest) -> None:
    """The status line repeats the request's version, which may be any."""
    request._cache["version"] = HttpVersion11  # noqa: SLF001 - where the library looks for it


def tell_proven(request: web.BaseRequest) -> None:
    """The request was signed with a key of ours: its peer is no stranger."""
    connection = request.protocol
    if isinstance(connection, GuardedConnection) and not connection.is_proven:
        connection.become_proven()
