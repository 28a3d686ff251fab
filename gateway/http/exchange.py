"""One exchange at the edge: the route that was asked for, the call as handlers see it,
the answer they give.

Handlers know no HTTP library: they get decoded-enough parts and the flow's desks (`EdgeDeps`), and
give bytes back.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from aiohttp import web

from gateway.clock import Clock, Ids
from gateway.domain.errors import GatewayError
from gateway.flow.callback import CallbackDesk
from gateway.flow.cancellation import Cancellation
from gateway.flow.checkout import Checkout
from gateway.flow.commands import Caller
from gateway.flow.lookup import Lookup
from gateway.flow.ports import Directory
from gateway.flow.refund import Refunds
from gateway.webhooks.endpoints import WebhookEndpoints
from security.roles import Permission

JSON = "application/json"


class Answer(NamedTuple):
    """What goes out: status, exact body, its type, and headers beyond those of every answer."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: Mapping[str, str] = {}


@dataclass(slots=True, kw_only=True)
class Call:
    """A request that was signed rightly by a key that may do this; nothing of it is decoded yet.

    `idempotency_key` is "" where the route needs none; `wait_s` is how long the caller will wait
    for the channel.
    """

    caller: Caller
    body: bytes
    path: Mapping[str, str]
    query_string: str
    idempotency_key: str
    wait_s: float


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether this worker should get traffic;
    `checks` names each thing looked at and how it stands.
    """

    ready: bool
    checks: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeDeps:
    """Everything the edge is given."""

    checkout: Checkout
    cancellation: Cancellation
    refunds: Refunds
    lookup: Lookup
    callbacks: CallbackDesk
    webhooks: WebhookEndpoints
    directory: Directory
    clock: Clock
    ids: Ids
    key_used: Callable[[str], None]
    readiness: Callable[[], Awaitable[Readiness]]


Handler = Callable[[Call, EdgeDeps], Awaitable[Answer]]
OpenHandler = Callable[[web.Request, EdgeDeps], Awaitable[Answer]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What the documents tell about a route.

    `answers`: the good answers by status, as a struct or a media type. `errors`: what it refuses
    beyond what every route of its kind does.
    """

    method: str
    path: str
    title_en: str
    title_zh: str
    answers: Mapping[int, Any]
    errors: tuple[type[GatewayError], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Route(Described):
    """A signed route.

    `body` and `query` are structs of `bodies`; `waits`: it heeds `Prefer: wait=N`; `shows_verdict`:
    every problem says what the cashier may do.
    """

    permission: Permission
    handler: Handler
    body: type | None = None
    query: type | None = None
    needs_idempotency_key: bool = False
    waits: bool = False
    shows_verdict: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRoute(Described):
    """An unsigned route: operations, documents, and callbacks,
    which channels sign in their own ways.
    """

    handler: OpenHandler
    takes_body: bool = False


DEPS: web.AppKey[EdgeDeps] = web.AppKey("deps", EdgeDeps)
