"""The wrapper of every route: bytes in, bytes out.

Nothing else at the edge reads a socket or writes an answer.

Signed routes, in this order: bounded raw body → signature over it → role → freshness of our copy of
the keys (writes) → Idempotency-Key → handler. A refusal becomes a problem; what nobody foresaw
becomes a 500 without details and a log line with the same request_id. The payment goes on without
the caller, so nothing here is cancelled when a till hangs up.
"""

import asyncio
import re
import traceback
from collections.abc import Awaitable, Callable, Sequence

import structlog
from aiohttp import web
from aiohttp.web_exceptions import HTTPRequestEntityTooLarge

from gateway.domain.errors import (
    DirectoryStale,
    GatewayError,
    IdempotencyKeyMissing,
    Malformed,
    MethodNotAllowed,
    NotFound,
    TooLarge,
)
from gateway.http.authentication import authenticated, permit
from gateway.http.exchange import Answer, Call, EdgeDeps, OpenRoute, Route
from gateway.http.problems import Internal, problem_answer
from gateway.limits import (
    IDEMPOTENCY_KEY_CHARS_MAX,
    REQUEST_BODY_BYTES_MAX,
    REQUEST_BODY_TIMEOUT_MS,
    WAIT_S_DEFAULT,
    WAIT_S_MAX,
)
from gateway.telemetry.metrics import REQUEST_SECONDS, REQUESTS

log = structlog.get_logger("tillgate.http")

WebHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Work = Callable[[web.Request], Awaitable[Answer]]


def signed(route: Route, deps: EdgeDeps) -> WebHandler:
    """The HTTP handler of a signed route."""
    writes = route.method != "GET"

    async def work(request: web.Request) -> Answer:
        body = await raw_body(request)
        key = _only_idempotency_key(request)
        caller = authenticated(request, body, key, deps)
        deps.key_used(caller.key_id)
        permit(caller, route.permission)
        if writes and not deps.directory.fresh():
            raise DirectoryStale
        if route.needs_idempotency_key and not (key and _PRINTABLE.fullmatch(key)):
            raise IdempotencyKeyMissing
        if body and route.body is None:
            raise Malformed("This call takes no body")
        call = Call(
            caller=caller,
            body=body,
            path=_checked_ids(request),
            query_string=_raw_query(request.raw_path),
            idempotency_key=key or "",
            wait_s=preferred_wait_s(request.headers.getall("Prefer", [])) if route.waits else 0,
        )
        return await route.handler(call, deps)

    return answering(work, route.path, deps, shows_verdict=route.shows_verdict)


def unsigned(route: OpenRoute, deps: EdgeDeps) -> WebHandler:
    """The HTTP handler of an operations route, a document or a callback."""

    async def work(request: web.Request) -> Answer:
        return await route.handler(request, deps)

    return answering(work, route.path, deps, shows_verdict=False)


def answering(work: Work, template: str, deps: EdgeDeps, *, shows_verdict: bool) -> WebHandler:
    """`work`, measured under its route template,
    with every refusal and accident turned into a problem.
    """
    seconds = REQUEST_SECONDS.labels(template)
    counted = {status: REQUESTS.labels(template, str(status)) for status in (200, 201)}

    async def handle(request: web.Request) -> web.StreamResponse:
        started = deps.clock.monotonic()
        request_id = f"req_{deps.ids.token()}"
        try:
            answer = await work(request)
        except GatewayError as error:
            answer = problem_answer(error, request_id, shows_verdict=shows_verdict)
            if isinstance(error, _WrongMethod):
                answer = answer._replace(headers={"Allow": error.allowed})
        except Exception as error:  # noqa: BLE001 - the last line: a till gets a problem, never a broken connection
            _report(error, request_id, template)
            answer = problem_answer(Internal(), request_id, shows_verdict=shows_verdict)
        counter = counted.get(answer.status) or counted.setdefault(
            answer.status, REQUESTS.labels(template, str(answer.status))
        )
        counter.inc()
        seconds.observe(deps.clock.monotonic() - started)
        return _response(request, answer, request_id)

    return handle


def _report(error: Exception, request_id: str, template: str) -> None:
    """Log the accident.

    The traceback goes as text: renderers that show local variables would show bodies.
    """
    trace = "".join(traceback.format_exception(error))
    log.error(
        "request failed",
        request_id=request_id,
        route=template,
        error=type(error).__name__,
        trace=trace,
    )


async def raw_body(request: web.Request) -> bytes:
    """The bytes as they came, at most `REQUEST_BODY_BYTES_MAX` (callbacks have the same bound).

    Raises `TooLarge`, or `Malformed` for a compressed, broken or slow body.
    """
    if not request.body_exists:
        return b""
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Malformed("Send the body without Content-Encoding")
    if (request.content_length or 0) > REQUEST_BODY_BYTES_MAX:
        raise TooLarge
    try:
        if request.content.is_eof():
            return await request.read()
        async with asyncio.timeout(REQUEST_BODY_TIMEOUT_MS / 1000):
            return await request.read()
    except HTTPRequestEntityTooLarge:
        raise TooLarge from None
    except (TimeoutError, ConnectionError, web.RequestPayloadError):
        raise Malformed("The body did not arrive whole") from None


def preferred_wait_s(values: Sequence[str]) -> float:
    """`Prefer: wait=N` (RFC 7240), the first one that is said; what is no whole number of 0 to 30
    seconds is ignored, as the RFC asks.
    """
    for value in values:
        if found := _WAIT.search(value):
            seconds = int(found[1])
            return seconds if seconds <= WAIT_S_MAX else WAIT_S_DEFAULT
    return WAIT_S_DEFAULT


def unmatched(allowed_for: Callable[[str], Sequence[str]], deps: EdgeDeps) -> WebHandler:
    """Everything no route took: 404, 405 with `Allow`, or an answer to OPTIONS."""

    async def work(request: web.Request) -> Answer:
        allowed = ", ".join(allowed_for(request.rel_url.raw_path))
        if not allowed:
            raise NotFound(
                "There is no such path: /docs lists those there are (none ends with a slash)"
            )
        if request.method == "OPTIONS":
            return Answer(204, b"", "", {"Allow": allowed})
        raise _WrongMethod(allowed)

    return answering(work, "(unmatched)", deps, shows_verdict=False)


class _WrongMethod(MethodNotAllowed):
    def __init__(self, allowed: str) -> None:
        super().__init__(f"This path takes {allowed}")
        self.allowed = allowed


_PRINTABLE = re.compile(rf"[ -~]{{1,{IDEMPOTENCY_KEY_CHARS_MAX}}}")
_WAIT = re.compile(r'(?:^|,)[ \t]*wait[ \t]*=[ \t]*"?([0-9]{1,6})"?[ \t]*(?=$|[,;])', re.IGNORECASE)
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def _only_idempotency_key(request: web.Request) -> str | None:
    values = request.headers.getall("Idempotency-Key", [])
    if len(values) > 1:
        raise Malformed("Send one Idempotency-Key header")
    return values[0] if values else None


def _checked_ids(request: web.Request) -> dict[str, str]:
    ids = request.match_info
    for value in ids.values():
        if not _ID.fullmatch(value):
            raise NotFound
    return dict(ids)


def _raw_query(target: str) -> str:
    return target.partition("?")[2].partition("#")[0]


def _response(request: web.Request, answer: Answer, request_id: str) -> web.Response:
    headers = {"X-Request-Id": request_id, **_EVERY_ANSWER, **answer.headers}
    if answer.content_type:
        headers["Content-Type"] = answer.content_type
    response = web.Response(status=answer.status, body=answer.body, headers=headers)
    if request.body_exists and not request.content.is_eof():
        response.force_close()  # the rest of a refused body is not worth reading
    return response


_EVERY_ANSWER = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Server": "tillgate",
}
