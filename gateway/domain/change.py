"""What one durable write carries.

The store compares `payment.version - 1`; everything else follows from that row, or nothing happens.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from gateway.domain.case import Case
from gateway.domain.identifiers import event_id
from gateway.domain.occasion import Occasion
from gateway.domain.payment import Attempt, Payment, Refund
from gateway.domain.resources import payment_json, refund_json
from gateway.domain.statuses import PaymentStatus, RefundStatus

PUBLIC_PAYMENT = frozenset(PaymentStatus) - {PaymentStatus.PROCESSING}
PUBLIC_REFUND = frozenset(RefundStatus) - {RefundStatus.REQUESTED}
EVENT_TYPES = frozenset(
    {f"payment.{status}" for status in PUBLIC_PAYMENT}
    | {f"refund.{status}" for status in PUBLIC_REFUND}
)
"""What an endpoint may subscribe to, and what the feed of events lists."""


class Event(Struct, frozen=True, kw_only=True):
    """One row of the log.

    `public`: a change into a status that the contract lists as a type; `data` is the object at
    `version`.
    """

    id: str
    object_id: str
    version: int
    type: str
    public: bool
    data: bytes
    at: datetime


class Posting(Struct, frozen=True, kw_only=True):
    """One journal line of the posting `posting_id` (a payment or a refund); the lines of a posting
    sum to 0.
    """

    posting_id: str
    account: str
    amount: int


class Change(Struct, frozen=True, kw_only=True):
    """The payment as it shall be (version already raised), the refunds that are new or changed, and
    what is recorded beside it.
    """

    payment: Payment
    # The last of the payment's attempts, opened by the write that closes the one before.
    new_attempt: Attempt | None = None
    new_refund: Refund | None = None
    refund: Refund | None = None  # changed: its version is already raised
    events: tuple[Event, ...] = ()
    postings: tuple[Posting, ...] = ()
    case: Case | None = None


class Claim(Struct, frozen=True, kw_only=True):
    """What binds an idempotency key.

    `fingerprint`: decoded fields with defaults filled in; secrets as keyed digests.
    """

    idempotency_key: str
    fingerprint: bytes
    first_n: int


class Opening(Struct, frozen=True, kw_only=True):
    """Write 1: the claim and, only if it is won, payment, attempt, event and journal."""

    claim: Claim
    payment: Payment
    events: tuple[Event, ...]
    postings: tuple[Posting, ...] = ()


def changed(
    payment: Payment,
    attempt: Attempt | None,
    occasion: Occasion,
    *,
    case: Case | None = None,
    following: Attempt | None = None,
    **fields: Any,
) -> Change:
    """The change of a payment whose attempt is now as given, and whose `fields` are."""
    attempts = payment.attempts if attempt is None else payment.attempts_with(attempt)
    if following is not None:
        attempts = (*attempts, following)
    after = replace(payment, version=payment.version + 1, attempts=attempts, **fields)
    return Change(
        payment=after,
        new_attempt=following,
        events=(payment_event(after, was=payment.status, at=occasion.now),),
        case=case,
    )


def payment_event(payment: Payment, *, was: PaymentStatus | None, at: datetime) -> Event:
    """The event of a payment that was `was` (None: new) and is now as given."""
    changed = payment.status != was
    return Event(
        id=event_id(payment.id, payment.version),
        object_id=payment.id,
        version=payment.version,
        type=f"payment.{payment.status}" if changed else "payment.updated",
        public=changed and payment.status in PUBLIC_PAYMENT,
        data=payment_json(payment),
        at=at,
    )


def refund_event(refund: Refund, *, was: RefundStatus | None, at: datetime) -> Event:
    """As `payment_event`."""
    changed = refund.status != was
    return Event(
        id=event_id(refund.id, refund.version),
        object_id=refund.id,
        version=refund.version,
        type=f"refund.{refund.status}" if changed else "refund.updated",
        public=changed and refund.status in PUBLIC_REFUND,
        data=refund_json(refund),
        at=at,
    )
