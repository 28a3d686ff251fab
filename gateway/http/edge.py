"""The wrapper of every route: bytes in, bytes out.

Nothing else at the edge reads a socket or writes an answer.

Signed routes, in this order: the head (form of the signature, key, its time) → bounded raw body →
signature over it → role → rate → freshness of our copy of the keys (writes) → Idempotency-Key →
handler. A refusal becomes a problem; what nobody foresaw becomes a 500 without details and a log
line with the same request_id. The payment goes on without the caller, so nothing here is cancelled
when a till hangs up.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from aiohttp import web

from gateway.clock import Clock, Ids
from gateway.domain.errors import (
    DirectoryStale,
    GatewayError,
    IdempotencyKeyMissing,
    Malformed,
    MethodNotAllowed,
    NoSuchObject,
    NotPermitted,
    RateLimited,
    Unauthenticated,
)
from gateway.domain.verdicts import Words
from gateway.flow.commands import Caller
from gateway.http.authentication import HeadClaim, claimed, permit, proven
from gateway.http.connections import tell_proven
from gateway.http.exchange import Answer, Call, EdgeDeps, OpenRoute, Repeat, Route, response_of
from gateway.http.operations import OperationsDeps, OperationsRoute
from gateway.http.problems import NOTHING_TOLD, Internal, Told, problem_answer, report
from gateway.http.rates import RateKind
from gateway.http.raw_body import Misframed, read_body
from gateway.http.repeats import act_once
from gateway.limits import (
    IDEMPOTENCY_KEY_CHARS_MAX,
    WAIT_S_DEFAULT,
    WAIT_S_MAX,
)
from gateway.telemetry.metrics import REQUEST_SECONDS, REQUESTS

WebHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Work = Callable[[web.Request], Awaitable[Answer]]


def signed(route: Route, deps: EdgeDeps) -> WebHandler:
    """The HTTP handler of a signed route."""
    writes = route.method != "GET"

    async def work(request: web.Request) -> Answer:
        caller, sig, body, key = await _let_in(request, route, deps)
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
        if route.repeat is Repeat.BY_SIGNATURE:
            return await act_once(route, call, sig, deps)
        if route.kind is RateKind.LIST:
            with deps.door.listing(caller.key_id):
                return await route.handler(call, deps)
        return await route.handler(call, deps)

    return answering(work, route.path, deps.clock, deps.ids, _told(deps))


def _told(deps: EdgeDeps) -> Told:
    titles = {
        channel: Words(manifest.title_zh, manifest.title_en)
        for channel, manifest in deps.directory.manifests().items()
    }
    return Told(titles, deps.prospects.of_payment)


class _Entered(NamedTuple):
    """A request whose signer is proven, permitted and not too often."""

    caller: Caller
    sig: str
    body: bytes
    idempotency_key: str | None


async def _let_in(request: web.Request, route: Route, deps: EdgeDeps) -> _Entered:
    """Raises what a thief would hear; that is written down."""
    claim: HeadClaim | None = None
    try:
        claim = claimed(request, deps)
        key = _only_idempotency_key(request)
        body = await read_body(request, deps.bodies)
        caller = proven(request, claim, body, key, deps.clock.now().timestamp())
        tell_proven(request)
        deps.key_used(caller.key_id)
        permit(caller, route.permission)
        deps.door.admit(caller, route.kind)
    except (Unauthenticated, NotPermitted, RateLimited) as refusal:
        deps.door.note(refusal, request, claim.key.id if claim else None)
        raise
    return _Entered(caller, claim.authorization.sig, body, key)


def unsigned(route: OpenRoute, deps: EdgeDeps) -> WebHandler:
    """The HTTP handler of an operations route, a document or a callback."""

    async def work(request: web.Request) -> Answer:
        if route.is_counted:
            deps.door.admit_stranger(request)
        return await route.handler(request, deps)

    return answering(work, route.path, deps.clock, deps.ids)


def probed(route: OperationsRoute, deps: OperationsDeps) -> WebHandler:
    """The HTTP handler of a route of the listener for operations."""

    async def work(request: web.Request) -> Answer:
        return await route.handler(request, deps)

    return answering(work, route.path, deps.clock, deps.ids)


def answering(
    work: Work, template: str, clock: Clock, ids: Ids, told: Told = NOTHING_TOLD
) -> WebHandler:
    """`work`, measured under its route template,
    with every refusal and accident turned into a problem.
    """
    seconds = REQUEST_SECONDS.labels(template)
    counted = {status: REQUESTS.labels(template, str(status)) for status in (200, 201)}

    async def handle(request: web.Request) -> web.StreamResponse:
        started = clock.monotonic()
        request_id = f"req_{ids.token()}"
        goes_on = True
        try:
            answer = await work(request)
        except GatewayError as error:
            answer = problem_answer(error, request_id, told)
            goes_on = not isinstance(error, Misframed)
            if isinstance(error, _WrongMethod):
                answer = answer._replace(headers={"Allow": error.allowed})
        except Exception as error:  # noqa: BLE001 - the last line: a till gets a problem, never a broken connection
            report(error, request_id, template)
            answer = problem_answer(Internal(), request_id, told)
        counter = counted.get(answer.status) or counted.setdefault(
            answer.status, REQUESTS.labels(template, str(answer.status))
        )
        counter.inc()
        seconds.observe(clock.monotonic() - started)
        response = response_of(answer, request_id)
        if not goes_on or (request.body_exists and not request.content.is_eof()):
            response.force_close()  # the rest of a refused body is not worth reading
        return response

    return handle


def preferred_wait_s(values: Sequence[str]) -> float:
    """`Prefer: wait=N` (RFC 7240), the first one that is said; what is no whole number of 0 to 30
    seconds is ignored, as the RFC asks.
    """
    for value in values:
        if found := _WAIT.search(value):
            seconds = int(found[1])
            return seconds if seconds <= WAIT_S_MAX else WAIT_S_DEFAULT
    return WAIT_S_DEFAULT


def unmatched(allowed_for: Callable[[str], Sequence[str]], clock: Clock, ids: Ids) -> WebHandler:
    """Everything no route took: 404, 405 with `Allow`, or an answer to OPTIONS."""

    async def work(request: web.Request) -> Answer:
        allowed = ", ".join(allowed_for(request.rel_url.raw_path))
        if not allowed:
            raise NoSuchObject(
                "There is no such path: /docs lists those there are (none ends with a slash)"
            )
        if request.method == "OPTIONS":
            return Answer(204, b"", "", {"Allow": allowed})
        raise _WrongMethod(allowed)

    return answering(work, "(unmatched)", clock, ids)


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
            raise NoSuchObject
    return dict(ids)


def _raw_query(target: str) -> str:
    return target.partition("?")[2].partition("#")[0]
