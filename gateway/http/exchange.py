"""One exchange at the edge: the route that was asked for, the call as handlers see it,
the answer they give.

Handlers know no HTTP library: they get decoded-enough parts and the flow's desks (`EdgeDeps`), and
give bytes back. The desks are described here by what the edge calls, so that tests hand in small
real ones.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from aiohttp import web

from adapters.channel import CallbackAnswer
from gateway.clock import Clock, Ids
from gateway.domain.errors import GatewayError
from gateway.domain.payment import Payment, Refund
from gateway.flow.commands import Caller, Paid, PayCommand, RefundCommand, Refunded
from gateway.flow.ports import Directory, EventPage, PaymentFilter, RefundFilter
from gateway.flow.webhook_endpoints import Delivery, DeliveryFilter, Endpoint, Issued
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


class Checkout(Protocol):
    """Takes payments."""

    async def pay(self, command: PayCommand, caller: Caller, key: str, wait_s: float) -> Paid:
        """The payment, new or replayed."""
        ...


class Cancellation(Protocol):
    """Stops payments."""

    async def cancel(self, payment_id: str, caller: Caller, wait_s: float) -> Payment:
        """The payment, its cancel intent recorded."""
        ...


class Refunds(Protocol):
    """Gives money back."""

    async def refund(
        self, payment_id: str, command: RefundCommand, caller: Caller, key: str, wait_s: float
    ) -> Refunded:
        """The refund, new or replayed."""
        ...


class Lookup(Protocol):
    """Reads."""

    async def payment(self, payment_id: str, caller: Caller, wait_s: float) -> Payment:
        """One payment; with `wait_s`, its next version."""
        ...

    async def payments(self, wanted: PaymentFilter, caller: Caller) -> tuple[list[Payment], bool]:
        """A page and whether there is more."""
        ...

    async def refund(self, refund_id: str, caller: Caller) -> Refund:
        """One refund."""
        ...

    async def refunds_of(self, payment_id: str, caller: Caller) -> list[Refund]:
        """All refunds of a payment."""
        ...

    async def refunds(self, wanted: RefundFilter, caller: Caller) -> tuple[list[Refund], bool]:
        """A page and whether there is more."""
        ...

    async def events(self, after: str | None, limit: int, caller: Caller) -> EventPage:
        """A page of events in commit order."""
        ...


class Webhooks(Protocol):
    """Where the merchant wants to be told: `gateway.flow.webhook_endpoints.WebhookEndpoints`."""

    async def create(
        self,
        merchant_id: str,
        url: str,
        event_types: Sequence[str],
        concurrency: int,
        idempotency_key: str | None,
    ) -> Issued:
        """A new endpoint with its secret, or the one this key had made, without."""
        ...

    async def endpoints(self, merchant_id: str) -> Sequence[Endpoint]:
        """All of them."""
        ...

    async def endpoint(self, merchant_id: str, endpoint_id: str) -> Endpoint:
        """One."""
        ...

    async def rotate(self, merchant_id: str, endpoint_id: str) -> Issued:
        """A new secret."""
        ...

    async def disable(self, merchant_id: str, endpoint_id: str) -> Endpoint:
        """Nothing more is sent there."""
        ...

    async def enable(self, merchant_id: str, endpoint_id: str) -> Endpoint:
        """Told again."""
        ...

    async def deliveries(
        self, merchant_id: str, endpoint_id: str, wanted: DeliveryFilter
    ) -> tuple[list[Delivery], bool]:
        """A page and whether there is more."""
        ...

    async def resend(
        self, merchant_id: str, endpoint_id: str, event_id: str | None, dead_since: datetime | None
    ) -> int:
        """How many are due now."""
        ...


class CallbackDesk(Protocol):
    """Takes what channels call back with."""

    async def take(
        self, account_id: str, headers: Mapping[str, str], body: bytes
    ) -> CallbackAnswer:
        """Verified, stored, acknowledged in the channel's own words."""
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
    callbacks: CallbackDesk
    webhooks: Webhooks
    directory: Directory
    clock: Clock
    ids: Ids
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
