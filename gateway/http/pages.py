"""The shapes of answers that are put together from encoded parts: they exist for the documents, nothing is encoded through them."""

from datetime import datetime
from typing import Any

from msgspec import Struct

from gateway.domain.resources import PaymentResource, RefundResource


class PaymentPage(Struct, frozen=True, kw_only=True):
    """Payments, newest first."""

    data: tuple[PaymentResource, ...]
    has_more: bool


class RefundPage(Struct, frozen=True, kw_only=True):
    """Refunds, newest first; those of one payment oldest first."""

    data: tuple[RefundResource, ...]
    has_more: bool


class EventResource(Struct, frozen=True, kw_only=True):
    """One change, as it was stored: webhooks carry the same bytes. `data` is the object at that version."""

    type: str
    id: str
    created_at: datetime
    data: dict[str, Any]


class EventsPage(Struct, frozen=True, kw_only=True):
    """Events in commit order; `next_cursor` is the next request's `after`."""

    data: tuple[EventResource, ...]
    next_cursor: str | None
    has_more: bool


class ReadinessResource(Struct, frozen=True, kw_only=True):
    """Whether this worker takes traffic, and what it looked at."""

    ready: bool
    checks: dict[str, str]


class AliveResource(Struct, frozen=True, kw_only=True):
    """The process answers."""

    status: str
