"""Port: what is to be told to merchants, and what they answered.

A row of the outbox is written by the very statement that changed the state, one for each endpoint
that subscribes. It is leased to one courier at a time and fenced by `tries`: a courier that stood
still cannot undo what its successor noted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from gateway.limits import WEBHOOKS_PER_MERCHANT_MAX
from security.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One leased delivery of one event to one endpoint.

    `tries`: this one included; the fence of every answer noted.

    `url`: the endpoint's, or the payment's own `notify_url`. `secrets`: newest first; more than one
    while a secret rotates. `data`: the object as it stood at that version, exact bytes, the same
    for every resend.
    """

    merchant_id: str
    endpoint_id: str
    event_id: str
    type: str
    created_at: datetime
    url: str
    secrets: tuple[Secret, ...]
    data: bytes
    tries: int
    first_due_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TryResult:
    """What came of one try, for the delivery log.

    `status` None: no answer. `words`: a bounded part of the answer, or our own reason.
    """

    at: datetime
    status: int | None
    words: str
    took_ms: int


class Outbox(Protocol):
    """Every method is one round trip. Raises `StoreUnavailable`."""

    async def take(
        self,
        limit: int,
        lease_ms: int,
        per_endpoint: int,
        per_merchant: int = WEBHOOKS_PER_MERCHANT_MAX,
    ) -> Sequence[Delivery]:
        """Lease what is due, `FOR UPDATE SKIP LOCKED`; never more than `per_endpoint` of one
        endpoint and `per_merchant` of one merchant under lease at once. Merchants take turns, those
        with fewer under lease first; of one merchant the oldest.
        """
        ...

    async def delivered(self, delivery: Delivery, heard: TryResult) -> bool:
        """A 2xx. False when the lease was lost meanwhile: nothing is changed but the log."""
        ...

    async def postponed(self, delivery: Delivery, heard: TryResult, wait_ms: int) -> bool:
        """Try again in `wait_ms`, counted by the database's clock."""
        ...

    async def given_up(self, delivery: Delivery, heard: TryResult) -> bool:
        """Dead letter: only a person's resend brings it back."""
        ...

    async def disabled(self, delivery: Delivery, heard: TryResult) -> bool:
        """410: the endpoint wants no more; its waiting rows become dead letters.

        From a payment's own `notify_url`: only this row does.
        """
        ...
