"""The one seam between a channel and the network:
bytes out, bytes in, and one question answered for certain.

The question is "may a byte of this request have left the process?". `NotSentError` says no, and is
proof (P0); `AnswerLostError` says yes, and proves nothing. A `Gate` answers it: aiohttp calls the
gate's trace hooks directly before it hands the first bytes to the socket, so the gate, not the type
of whatever went wrong later, decides between the two. The send deadline is checked at the same
place, with the connection in hand.

Nothing here resends. aiohttp repeats idempotent methods by itself when a kept connection breaks;
the gate lets one request through and refuses the repeat. Redirects are not followed, answers are
bounded and never decompressed, TLS is always verified.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Protocol

import aiohttp
from yarl import URL

from adapters.channel import Means
from gateway.clock import Clock
from gateway.limits import (
    CALL_TIMEOUT_MS,
    CHANNEL_ANSWER_BYTES_MAX,
    CHANNEL_CONNECTIONS_MAX,
    CHANNEL_KEEPALIVE_S,
    CONNECT_TIMEOUT_MS,
    READ_TIMEOUT_MS,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpCall:
    """One request, sent at most once.

    `url` goes out byte for byte as given; `deadline` is monotonic seconds.

    `operation` is the channel's word for the call, for people who read an error; headers and body
    hold secrets and are not shown.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    deadline: float
    operation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """A complete answer of any status but 3xx.

    `headers` is read without regard to case; `body` is what came over the wire.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


class TransportError(Exception):
    """No answer. `reason` is a bounded word, never holding anything of the request."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NotSentError(TransportError):
    """No request byte left this process: refused, DNS, TLS, connect timeout, or the deadline
    passed. Proof P0.
    """


class AnswerLostError(TransportError):
    """A request byte may have left and no whole answer came: reset, silence, over the bound, a
    redirect. Proves nothing.
    """


class ChannelTransport(Protocol):
    """What an adapter sees of the network."""

    @property
    def signing_executor(self) -> Executor:
        """Where RSA signatures are made: a thread pool (the GIL is released there), or
        `InlineExecutor` in a simulation.
        """
        ...

    async def send(self, call: HttpCall) -> HttpAnswer:
        """Send once. Raises `NotSentError` or `AnswerLostError`."""
        ...


class InlineExecutor(Executor):
    """Runs at once on the caller's thread:
    for simulations and tests, where a thread would bring chance in.
    """

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """See `concurrent.futures.Executor`."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as failure:  # noqa: BLE001 - an executor hands every failure to its future
            future.set_exception(failure)
        return future


def over_http(_credentials: Any, means: Means) -> AiohttpTransport:
    """For a manifest whose channel speaks HTTP: a pool for one account."""
    return AiohttpTransport(clock=means.clock, signing_executor=means.signing_executor)


class AiohttpTransport:
    """The real transport: one connection pool for one channel account, made on the running loop by
    its first call.

    `tls` replaces the system's trust store (a private CA); a context that does not verify is
    refused. `signing_executor` is shared: the composition root owns it and shuts it down.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        signing_executor: Executor,
        tls: ssl.SSLContext | None = None,
        connect_timeout_ms: int = CONNECT_TIMEOUT_MS,
        read_timeout_ms: int = READ_TIMEOUT_MS,
        call_timeout_ms: int = CALL_TIMEOUT_MS,
        answer_bytes_max: int = CHANNEL_ANSWER_BYTES_MAX,
    ) -> None:
        if tls is not None and (tls.verify_mode is not ssl.CERT_REQUIRED or not tls.check_hostname):
            raise ValueError(
                "the TLS context does not verify the channel: "
                "set verify_mode=CERT_REQUIRED and check_hostname=True"
            )
        self._clock = clock
        self._signing_executor = signing_executor
        self._tls = tls
        self._connect_timeout_s = connect_timeout_ms / 1000
        self._read_timeout_s = read_timeout_ms / 1000
        self._call_timeout_s = call_timeout_ms / 1000
        self._answer_bytes_max = answer_bytes_max
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    @property
    def signing_executor(self) -> Executor:
        """See `ChannelTransport`."""
        return self._signing_executor

    async def send(self, call: HttpCall) -> HttpAnswer:
        """See `ChannelTransport`."""
        if self._closed:
            raise NotSentError("transport_closed")
        left_s = call.deadline - self._clock.monotonic()
        if left_s <= 0:
            raise NotSentError("deadline")
        gate = Gate(clock=self._clock, deadline=call.deadline, has_body=bool(call.body))
        try:
            return await self._exchange(call, gate, left_s)
        except TransportError:
            raise
        except (aiohttp.ClientError, OSError, ValueError) as failure:
            # TimeoutError and SSLError are OSErrors, CertificateError and InvalidURL are
            # ValueErrors.
            raise gate.verdict(failure) from failure

    async def aclose(self) -> None:
        """Close the pool.

        Calls under way end as `AnswerLostError`; later ones as `NotSentError`. Safe to repeat.
        """
        self._closed = True
        if self._session is not None:
            await self._session.close()

    async def _exchange(self, call: HttpCall, gate: Gate, left_s: float) -> HttpAnswer:
        timeout = aiohttp.ClientTimeout(
            total=self._call_timeout_s,
            connect=min(self._connect_timeout_s, left_s),
            sock_read=self._read_timeout_s,
        )
        async with self._pool().request(
            call.method,
            URL(call.url, encoded=True),
            headers=call.headers,
            data=call.body or None,
            timeout=timeout,
            allow_redirects=False,
            trace_request_ctx=gate,
        ) as response:
            return await self._read(response)

    async def _read(self, response: aiohttp.ClientResponse) -> HttpAnswer:
        """A status line is not an answer yet: only a whole, plain, bounded body is."""
        if 300 <= response.status < 400:  # noqa: PLR2004 - the class of redirects
            response.close()
            raise AnswerLostError("redirect")
        if response.headers.get("Content-Encoding", "identity") != "identity":
            response.close()
            raise AnswerLostError("content_encoding")
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > self._answer_bytes_max:
                response.close()
                raise AnswerLostError("answer_too_long")
        return HttpAnswer(status=response.status, headers=response.headers, body=bytes(body))

    def _pool(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                limit=CHANNEL_CONNECTIONS_MAX,
                keepalive_timeout=CHANNEL_KEEPALIVE_S,
                ssl=self._tls or True,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "Tillgate", "Accept-Encoding": "identity"},
                auto_decompress=False,
                trust_env=False,
                trace_configs=[_gate_hooks()],
            )
        return self._session


@dataclass(slots=True, kw_only=True)
class Gate:
    """The last thing a request passes before the socket; it opens once, and not after the deadline.

    `opened` is set before the bytes are written, with nothing awaited in between: while it is False
    no byte has left.
    """

    clock: Clock
    deadline: float
    has_body: bool
    opened: bool = field(default=False, init=False)
    refusal: str | None = field(default=None, init=False)

    def before_connection(self) -> None:
        """A second connection for an opened gate is aiohttp about to resend, which it does after a
        broken connection only.
        """
        if self.opened:
            raise AnswerLostError("disconnected")

    def before_headers(self) -> None:
        """A bare head is held back by aiohttp until this returns;
        a head with a body waits for `before_body`.
        """
        self.before_connection()  # a resend may also find another kept connection
        self._check_deadline()
        self.opened = not self.has_body

    def before_body(self) -> None:
        """Head and body leave as soon as this returns."""
        self._check_deadline()
        self.opened = True

    def verdict(self, failure: Exception) -> TransportError:
        """What a failed exchange proves.

        Only the gate's own state counts; the exception merely gives the word.
        """
        if not self.opened:
            return NotSentError(self.refusal or _reason(failure))
        return AnswerLostError(_reason(failure))

    def _check_deadline(self) -> None:
        if self.clock.monotonic() >= self.deadline:
            self.refusal = "deadline"
            raise NotSentError(self.refusal)


def _gate_hooks() -> aiohttp.TraceConfig:
    """Hooks that lead to the call's own gate.

    The deadline is not checked in `on_connection_create_end` or `on_connection_reuseconn`: they
    fire earlier, and raising there leaks the connection.
    """

    async def connection(
        _session: aiohttp.ClientSession, context: SimpleNamespace, _params: Any
    ) -> None:
        context.trace_request_ctx.before_connection()

    async def headers(
        _session: aiohttp.ClientSession, context: SimpleNamespace, _params: Any
    ) -> None:
        context.trace_request_ctx.before_headers()

    async def body(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: Any) -> None:
        context.trace_request_ctx.before_body()

    config = aiohttp.TraceConfig()
    config.on_connection_create_start.append(connection)
    config.on_request_headers_sent.append(headers)
    config.on_request_chunk_sent.append(body)
    return config


def _reason(failure: Exception) -> str:
    match failure:
        case aiohttp.ClientConnectorDNSError():
            return "dns"
        case aiohttp.ClientSSLError() | ssl.SSLError() | aiohttp.ServerFingerprintMismatch():
            return "tls"
        case aiohttp.ConnectionTimeoutError():
            return "connect_timeout"
        case asyncio.TimeoutError():
            return "timeout"
        case aiohttp.ClientConnectorError():
            return "connect_refused"
        case aiohttp.ServerDisconnectedError():
            return "disconnected"
        case aiohttp.ClientPayloadError() | aiohttp.ClientResponseError():
            return "malformed_answer"
        case OSError():
            return "reset"
        case _:
            return type(failure).__name__
