"""One exchange at the edge: the route that was asked for, the call as handlers see it,
the answer they give.

Handlers know no HTTP library: they get decoded-enough parts and the flow's desks (`EdgeDeps`), and
give bytes back.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, NamedTuple, Protocol

from aiohttp import web

from gateway.clock import Clock, Ids
from gateway.domain.errors import GatewayError
from gateway.flow.callback import CallbackDesk
from gateway.flow.cancellation import Cancellation
from gateway.flow.checkout import Checkout
from gateway.flow.commands import Caller
from gateway.flow.learn.prospects import Prospects
from gateway.flow.lookup import Lookup
from gateway.flow.ports import Directory
from gateway.flow.refund import Refunds
from gateway.http.door import Door
from gateway.http.rates import RateKind
from gateway.http.raw_body import BodyBudget
from gateway.webhooks.endpoints import WebhookEndpoints
from security.roles import Permission

JSON = "application/json"
REPLAYED = {"Idempotency-Replayed": "true"}  # a header of every answer that was given before


class Answer(NamedTuple):
    """What goes out: status, exact body, its type, and headers beyond those of every answer.

    `again`: the body that a repeat of the same signed request gets, where it is another one.
    """

    status: int
    body: bytes
    content_type: str = JSON
    headers: Mapping[str, str] = {}
    again: bytes | None = None


class Repeat(Enum):
    """Why it is harmless that a signed request comes twice, by a network or by a thief."""

    READS = auto()  # it changes nothing
    BY_KEY = auto()  # its Idempotency-Key is bound to what it made
    BY_SIGNATURE = auto()  # its signature acts once
    HARMLESS = auto()  # done twice is done once


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


class SignatureBook(Protocol):
    """Which signatures have acted; kept longer than a signature is valid.

    Raises `StoreUnavailable`. `owner`: (merchant, key).
    """

    async def take(self, owner: tuple[str, str], sig: str) -> bool:
        """True: it is new, and counts as used from now on. False: it was used before."""
        ...

    async def answer(self, owner: tuple[str, str], sig: str) -> tuple[int, bytes] | None:
        """What was answered to it: status and body. None: that was not kept, or not yet."""
        ...

    async def keep(self, owner: tuple[str, str], sig: str, status: int, body: bytes) -> None:
        """What a repeat of it shall hear."""
        ...

    async def forget(self, owner: tuple[str, str], sig: str) -> None:
        """Its request was refused and did nothing: it may come again."""
        ...


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
    prospects: Prospects
    callbacks: CallbackDesk
    webhooks: WebhookEndpoints
    directory: Directory
    clock: Clock
    ids: Ids
    key_used: Callable[[str], None]
    readiness: Callable[[], Awaitable[Readiness]]
    door: Door
    bodies: BodyBudget
    signatures: SignatureBook


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

    `body` and `query` are structs of `bodies`; `waits`: it heeds `Prefer: wait=N`.
    """

    permission: Permission
    handler: Handler
    kind: RateKind
    repeat: Repeat
    body: type | None = None
    query: type | None = None
    waits: bool = False

    def __post_init__(self) -> None:
        assert (self.method == "GET") == (self.repeat is Repeat.READS), (
            f"{self.method} {self.path} changes something: say why a repeat is harmless"
        )

    @property
    def needs_idempotency_key(self) -> bool:
        """Whether a request without one is refused."""
        return self.repeat is Repeat.BY_KEY


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRoute(Described):
    """An unsigned route: operations, documents, and callbacks,
    which channels sign in their own ways.

    `is_counted`: strangers use up their rate here.
    """

    handler: OpenHandler
    takes_body: bool = False
    is_counted: bool = False


def response_of(answer: Answer, request_id: str) -> web.Response:
    """The answer as the HTTP library sends it, with the headers of every answer."""
    headers = {"X-Request-Id": request_id, **_EVERY_ANSWER, **answer.headers}
    if answer.content_type:
        headers["Content-Type"] = answer.content_type
    return web.Response(status=answer.status, body=answer.body, headers=headers)


_EVERY_ANSWER = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Server": "tillgate",
}
