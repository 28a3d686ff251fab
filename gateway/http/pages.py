"""The shapes of answers that are put together from encoded parts: they exist for the documents,
nothing is encoded through them.
"""

from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from gateway.domain.resources import Instant, PaymentResource, RefundResource
from gateway.webhooks.endpoints import DeliveryState


class PaymentPage(Struct, frozen=True, kw_only=True):
    """Payments, newest first."""

    data: tuple[PaymentResource, ...]
    has_more: bool


class RefundPage(Struct, frozen=True, kw_only=True):
    """Refunds, newest first; those of one payment oldest first."""

    data: tuple[RefundResource, ...]
    has_more: bool


class EventData(Struct, frozen=True, kw_only=True):
    """One of both."""

    payment: PaymentResource | UnsetType = UNSET
    refund: RefundResource | UnsetType = UNSET


class EventResource(Struct, frozen=True, kw_only=True):
    """One change, as it was stored: webhooks carry the same bytes.

    `data` is the object at that version.
    """

    type: str
    id: str
    created_at: Instant
    data: EventData


class EventsPage(Struct, frozen=True, kw_only=True):
    """Events in commit order; `next_cursor` is the next request's `after`."""

    data: tuple[EventResource, ...]
    next_cursor: str | None
    has_more: bool


class WebhookEndpointResource(Struct, frozen=True, kw_only=True):
    """Where events are posted.

    `event_types` null: all. `rotating_until`: until then an earlier secret signs too.

    `secret` is shown when it is made, at creation and at rotation, and is null ever after.
    """

    id: str
    object: Literal["webhook_endpoint"] = "webhook_endpoint"
    url: str
    event_types: tuple[str, ...] | None
    concurrency: int
    status: Literal["enabled", "disabled"]
    disabled_reason: str | None
    rotating_until: Instant | None
    secret: str | None
    created_at: Instant


class WebhookEndpointList(Struct, frozen=True, kw_only=True):
    """A merchant's endpoints, oldest first."""

    data: tuple[WebhookEndpointResource, ...]
    has_more: bool


class DeliveryAnswer(Struct, frozen=True, kw_only=True):
    """One try.

    `status` null: no answer came, and `words` says why; else they are a part of the answer's body.
    """

    number: int
    at: Instant
    status: int | None
    words: str
    took_ms: int


class DeliveryResource(Struct, frozen=True, kw_only=True):
    """One event to one endpoint.

    `url` null: the endpoint's own. `due_at`: the next try. `answers`: the newest tries, newest
    first.
    """

    event_id: str
    type: str
    url: str | None
    state: DeliveryState
    tries: int
    created_at: Instant
    due_at: Instant | None
    answers: tuple[DeliveryAnswer, ...]


class DeliveryPage(Struct, frozen=True, kw_only=True):
    """Deliveries, newest event first."""

    data: tuple[DeliveryResource, ...]
    has_more: bool


class ResentResource(Struct, frozen=True, kw_only=True):
    """How many deliveries are due now; as many as one call brings back: call again for the rest."""

    resent: int


class ReadyResource(Struct, frozen=True, kw_only=True):
    """Whether this worker takes traffic."""

    ready: bool


class ReadinessResource(Struct, frozen=True, kw_only=True):
    """Whether this worker takes traffic, and what it looked at."""

    ready: bool
    checks: dict[str, str]


class AliveResource(Struct, frozen=True, kw_only=True):
    """The process answers."""

    status: str
