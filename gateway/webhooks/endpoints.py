"""Where a merchant wants to be told: endpoints, their secrets, what was delivered and what is to be
sent once more.

Everything here is rare and for people; the delivering itself is the courier's
(`gateway.webhooks.courier`). An endpoint is never deleted, it is disabled, because deliveries still
name it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol, TypeAlias

from gateway.domain.audit import AskedBy
from gateway.domain.change import EVENT_TYPES
from gateway.domain.errors import (
    FieldInvalid,
    FieldMissing,
    IdempotencyKeyReused,
    NoSuchObject,
    WebhookEndpointDisabled,
)
from gateway.domain.web_address import web_address
from security.public_address import UnsafeAddress, refuse_unsafe_url
from security.secret import Secret

BY_HAND = "by_hand"  # why an endpoint is disabled: a person said so ...
GONE = "gone"  # ... or it answered 410


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One endpoint.

    `event_types` None: all. `rotating_until`: an earlier secret signs too until then.
    `disabled_reason`: see above.
    """

    id: str
    merchant_id: str
    url: str
    event_types: tuple[str, ...] | None
    concurrency: int
    enabled: bool
    disabled_reason: str | None
    rotating_until: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedEndpoint:
    """A wanted endpoint. `idempotency_key` None: wanted at the command line."""

    merchant_id: str
    url: str
    origin: str
    event_types: tuple[str, ...] | None
    concurrency: int
    idempotency_key: str | None
    asked_by: AskedBy


@dataclass(frozen=True, slots=True)
class Issued:
    """The endpoint and its new secret, which is never shown again.

    None: the key had made this endpoint before.
    """

    endpoint: Endpoint
    secret: Secret | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One try, from the delivery log. `status` None: no answer; `words` then says why."""

    number: int
    at: datetime
    status: int | None
    words: str
    took_ms: int


DeliveryState: TypeAlias = Literal["waiting", "delivered", "dead"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRecord:
    """One event to one endpoint.

    `url` None: the endpoint's own. `answers`: newest first, at most WEBHOOK_ANSWERS_SHOWN_MAX.
    """

    event_id: str
    type: str
    url: str | None
    state: DeliveryState
    tries: int
    created_at: datetime
    due_at: datetime | None
    answers: tuple[Answered, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryFilter:
    """`GET …/deliveries`. `starting_after` is an event id."""

    event_id: str | None = None
    state: DeliveryState | None = None
    limit: int
    starting_after: str | None = None


class EndpointBook(Protocol):
    """Where endpoints are kept.

    Raises `StoreUnavailable`; None where the merchant has no such endpoint.
    """

    async def create(self, draft: WantedEndpoint) -> Issued:
        """A new endpoint, or the one its key had made. Raises `WebhookEndpointsFull`."""
        ...

    async def page(
        self, merchant_id: str, starting_after: str | None, limit: int
    ) -> Sequence[Endpoint]:
        """Oldest first, disabled ones included; at most `limit` + 1."""
        ...

    async def endpoint(self, merchant_id: str, endpoint_id: str) -> Endpoint | None:
        """One endpoint."""
        ...

    async def rotate(self, merchant_id: str, endpoint_id: str, asked_by: AskedBy) -> Issued | None:
        """A new secret; those before it sign too for WEBHOOK_SECRET_OVERLAP_H."""
        ...

    async def disable(
        self, merchant_id: str, endpoint_id: str, reason: str, asked_by: AskedBy
    ) -> Endpoint | None:
        """What waits for it becomes dead letters."""
        ...

    async def enable(
        self, merchant_id: str, endpoint_id: str, asked_by: AskedBy
    ) -> Endpoint | None:
        """Events from now on. Raises `WebhookEndpointsFull`."""
        ...

    async def deliveries(
        self, merchant_id: str, endpoint_id: str, wanted: DeliveryFilter
    ) -> Sequence[DeliveryRecord]:
        """Newest first; at most `limit` + 1."""
        ...

    async def resend(self, merchant_id: str, endpoint_id: str, event_id: str) -> bool:
        """Due now, whatever became of it. False: this event was never for this endpoint."""
        ...

    async def resend_dead(self, merchant_id: str, endpoint_id: str, since: datetime) -> int:
        """Dead letters of events from `since` on, oldest first, at most WEBHOOK_RESEND_MAX."""
        ...


@dataclass(frozen=True, slots=True)
class WebhookEndpoints:
    """What merchants and operators ask of their endpoints.

    Other tenants' endpoints do not exist: `NoSuchObject`.
    """

    book: EndpointBook
    allow_loopback: bool

    async def create(
        self,
        merchant_id: str,
        url: str,
        event_types: Sequence[str],
        concurrency: int,
        idempotency_key: str | None,
        *,
        asked_by: AskedBy,
    ) -> Issued:
        """No event types: all.

        Raises a 422 that names the field, `IdempotencyKeyReused` and `WebhookEndpointsFull`.
        """
        unknown = sorted(set(event_types) - EVENT_TYPES)
        if unknown:
            raise FieldInvalid(
                f"there is no event type {unknown[0]}; there are {', '.join(sorted(EVENT_TYPES))}",
                field="event_types",
            )
        try:
            address = web_address(url)
            refuse_unsafe_url(address.url, allow_loopback=self.allow_loopback)
        except (ValueError, UnsafeAddress) as refusal:
            raise FieldInvalid(str(refusal), field="url") from None
        draft = WantedEndpoint(
            merchant_id=merchant_id,
            url=address.url,
            origin=address.origin,
            event_types=tuple(sorted(set(event_types))) or None,
            concurrency=concurrency,
            idempotency_key=idempotency_key,
            asked_by=asked_by,
        )
        issued = await self.book.create(draft)
        for field in ("url", "event_types", "concurrency"):
            if getattr(issued.endpoint, field) != getattr(draft, field):
                raise IdempotencyKeyReused(
                    f"the field {field} differs from the first request with this key", field=field
                )
        return issued

    async def endpoints(
        self, merchant_id: str, starting_after: str | None, limit: int
    ) -> tuple[list[Endpoint], bool]:
        """(oldest first, disabled ones included; whether there are more)."""
        if starting_after is not None:
            await self.endpoint(merchant_id, starting_after)
        found = await self.book.page(merchant_id, starting_after, limit)
        return list(found[:limit]), len(found) > limit

    async def endpoint(self, merchant_id: str, endpoint_id: str) -> Endpoint:
        """Raises `NoSuchObject`."""
        return _there(await self.book.endpoint(merchant_id, endpoint_id))

    async def rotate(self, merchant_id: str, endpoint_id: str, asked_by: AskedBy) -> Issued:
        """A new secret. Safe to repeat when the answer was lost."""
        issued = await self.book.rotate(merchant_id, endpoint_id, asked_by)
        if issued is None:
            raise NoSuchObject
        return issued

    async def disable(self, merchant_id: str, endpoint_id: str, asked_by: AskedBy) -> Endpoint:
        """Nothing more is sent there."""
        return _there(await self.book.disable(merchant_id, endpoint_id, BY_HAND, asked_by))

    async def enable(self, merchant_id: str, endpoint_id: str, asked_by: AskedBy) -> Endpoint:
        """Events from now on; `resend` brings back what it missed."""
        return _there(await self.book.enable(merchant_id, endpoint_id, asked_by))

    async def deliveries(
        self, merchant_id: str, endpoint_id: str, wanted: DeliveryFilter
    ) -> tuple[list[DeliveryRecord], bool]:
        """(newest first, whether there are more)."""
        await self.endpoint(merchant_id, endpoint_id)
        found = await self.book.deliveries(merchant_id, endpoint_id, wanted)
        return list(found[: wanted.limit]), len(found) > wanted.limit

    async def resend(
        self, merchant_id: str, endpoint_id: str, event_id: str | None, dead_since: datetime | None
    ) -> int:
        """How many are due now. Exactly one of both is said. Raises `WebhookEndpointDisabled`."""
        if (event_id is None) == (dead_since is None):
            raise FieldMissing("say either event_id or dead_since", field="event_id")
        if not (await self.endpoint(merchant_id, endpoint_id)).enabled:
            raise WebhookEndpointDisabled
        if dead_since is not None:
            return await self.book.resend_dead(merchant_id, endpoint_id, dead_since)
        assert event_id is not None
        if not await self.book.resend(merchant_id, endpoint_id, event_id):
            raise NoSuchObject("This event was never for this endpoint")
        return 1


def _there(endpoint: Endpoint | None) -> Endpoint:
    if endpoint is None:
        raise NoSuchObject
    return endpoint
