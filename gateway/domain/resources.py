"""The public objects, as api.md shows them: what an answer, an event and a webhook carry.

Pure mapping, one encoding for all three.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta, Struct

from gateway.domain.outcomes import FailureCode, Retry
from gateway.domain.payment import Attempt, Payment, Refund
from gateway.domain.presenting import Flow
from gateway.domain.states import PAYMENT_FINAL, REFUND_OPEN
from gateway.domain.statuses import AttemptStatus, PaymentStatus, RefundStatus
from gateway.domain.verdicts import FAILURES, Verdict, VerdictCode, refund_verdict, verdict_of
from gateway.domain.words import Origin

POLL_AFTER_MS = 1_000  # a long poll answers earlier; this paces tills that cannot wait
REFUND_POLL_AFTER_MS = 5_000  # nobody stands at the till for it


class Seen(NamedTuple):
    """What a reader acts on. A change that leaves it is no news: it wakes no long poll."""

    status: PaymentStatus | RefundStatus
    verdict: Verdict
    action: str | None


class Prospect(Struct, frozen=True, kw_only=True):
    """What lies ahead of an undecided payment or refund.

    `decides_by`: when there is an answer, or a person is called; None: no time can be promised.
    """

    decides_by: datetime | None = None
    override_possible: bool = False


ENDED = Prospect()

Instant = Annotated[datetime, Meta(tz=True)]
Day = Annotated[str, Meta(extra_json_schema={"format": "date"})]


class NextAction(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the till does next: ask again after `after_ms`, and show `qr_code` meanwhile.

    `decides_by`: by then there is an answer, or a person has been called. It is left out once a
    person was called, for a refund that the channel carries out in its own time, and in events,
    which tell what was and promise nothing. `override_possible`: a supervisor may let another
    payment of the order in.
    """

    type: Literal["poll", "show_qr"]
    after_ms: int
    decides_by: Instant | None = None
    qr_code: str | None = None
    override_possible: bool = False


class FailureResource(Struct, frozen=True, kw_only=True):
    """Why it was proven not charged, and what the cashier may do."""

    code: FailureCode
    retry: Retry
    zh: str
    en: str
    channel_code: str


class Payer(Struct, frozen=True, kw_only=True):
    """Who paid, as the channel masks it."""

    ref_masked: str


class DiscountResource(Struct, frozen=True, kw_only=True):
    """A part of the price that the customer did not pay."""

    name: str
    amount: int
    funded_by: Literal["channel", "merchant"]


class AttemptResource(Struct, frozen=True, kw_only=True):
    """One try on one channel account."""

    id: str
    number: int
    channel_account: str
    status: AttemptStatus
    out_trade_no: str
    sent_at: Instant
    captured_amount: int
    returned_amount: int
    why: str


class PaymentResource(Struct, frozen=True, kw_only=True):
    """A payment. Amounts in fen; times in UTC."""

    id: str
    object: Literal["payment"] = "payment"
    version: int
    status: PaymentStatus
    order_no: str
    tender_no: int
    amount: int
    currency: str
    amount_captured: int
    amount_received: int
    amount_refunded: int
    discounts: tuple[DiscountResource, ...]
    fee: int | None
    method: str
    flow: Flow
    store_id: str
    terminal_id: str | None
    operator_id: str | None
    description: str | None
    business_date: Day
    channel_date: Day | None
    channel_account: str
    out_trade_no: str
    channel_trade_no: str | None
    payer: Payer | None
    change: int | None
    card: None = None
    member: None = None
    verdict: Verdict
    next_action: NextAction | None
    failure: FailureResource | None
    attempts: tuple[AttemptResource, ...]
    created_at: Instant
    paid_at: Instant | None
    expires_at: Instant | None
    cancel_requested_at: Instant | None
    overrides: str | None
    metadata: dict[str, str]


class OrderResource(Struct, frozen=True, kw_only=True):
    """An order that several tenders pay, in fen: what its tenders take of it, and what is left."""

    object: Literal["order"] = "order"
    order_no: str
    currency: str
    amount: int
    amount_taken: int
    amount_left: int


class RefundFailure(Struct, frozen=True, kw_only=True):
    """Why the channel refused a refund, or why a person has to look at it."""

    code: str
    channel_code: str


class RefundResource(Struct, frozen=True, kw_only=True):
    """A refund. Amounts in fen; times in UTC."""

    id: str
    object: Literal["refund"] = "refund"
    version: int
    refund_no: str
    payment_id: str
    attempt_id: str
    out_refund_no: str
    channel_refund_no: str | None
    amount: int
    currency: str
    status: RefundStatus
    verdict: Verdict
    next_action: NextAction | None
    failure: RefundFailure | None
    origin: Origin
    reason: str
    terminal_id: str | None
    operator_id: str | None
    business_date: Day
    channel_date: Day | None
    created_at: Instant
    refunded_at: Instant | None


def payment_resource(
    payment: Payment, ahead: Prospect = ENDED, verdict: Verdict | None = None
) -> PaymentResource:
    """`verdict`: what the reader may hear, where it is not the payment's own."""
    current, settling = payment.current, payment.settling
    return PaymentResource(
        id=payment.id,
        version=payment.version,
        status=payment.status,
        order_no=payment.order_no,
        tender_no=payment.tender_no,
        amount=payment.amount,
        currency=payment.currency,
        amount_captured=settling.captured_amount if settling else 0,
        amount_received=settling.received_amount if settling else 0,
        amount_refunded=settling.returned_amount if settling else 0,
        discounts=tuple(DiscountResource(**each) for each in payment.discounts),
        fee=None,
        method=payment.channel,
        flow=payment.flow,
        store_id=payment.store_id,
        terminal_id=payment.terminal_id,
        operator_id=payment.operator_id,
        description=payment.description,
        business_date=payment.business_date,
        channel_date=payment.channel_date,
        channel_account=current.channel_account,
        out_trade_no=current.out_trade_no,
        channel_trade_no=current.channel_trade_no,
        payer=Payer(ref_masked=payment.payer_masked) if payment.payer_masked else None,
        change=payment.change,
        verdict=verdict or verdict_of(payment),
        next_action=_next_action(payment, ahead),
        failure=_failure(payment),
        attempts=tuple(_attempt(attempt) for attempt in payment.attempts),
        created_at=payment.created_at,
        paid_at=payment.paid_at,
        expires_at=payment.expires_at,
        cancel_requested_at=payment.cancel_requested_at,
        overrides=payment.overrides,
        metadata=payment.metadata,
    )


def payment_seen(payment: Payment) -> Seen:
    """What a reader of the payment acts on."""
    action = _next_action(payment, ENDED)
    return Seen(payment.status, verdict_of(payment), action.type if action else None)


def is_ended(seen: Seen) -> bool:
    """Nothing more is awaited: neither a result nor money that is on its way back."""
    return seen.status in PAYMENT_FINAL and seen.verdict.code is not VerdictCode.REFUND_UNDER_WAY


def refund_seen(refund: Refund) -> Seen:
    """What a reader of the refund acts on."""
    action = _refund_action(refund, ENDED)
    verdict = refund_verdict(refund.status, refund.origin)
    return Seen(refund.status, verdict, action.type if action else None)


def refund_resource(refund: Refund, ahead: Prospect = ENDED) -> RefundResource:
    failure = None
    if refund.status in (RefundStatus.FAILED, RefundStatus.NEEDS_ACTION):
        failure = RefundFailure(
            code=refund.failure_code or "unknown", channel_code=refund.channel_code or ""
        )
    return RefundResource(
        id=refund.id,
        version=refund.version,
        refund_no=refund.refund_no,
        payment_id=refund.payment_id,
        attempt_id=refund.attempt_id,
        out_refund_no=refund.out_refund_no,
        channel_refund_no=refund.channel_refund_no,
        amount=refund.amount,
        currency=refund.currency,
        status=refund.status,
        verdict=refund_verdict(refund.status, refund.origin),
        next_action=_refund_action(refund, ahead),
        failure=failure,
        origin=refund.origin,
        reason=refund.reason,
        terminal_id=refund.terminal_id,
        operator_id=refund.operator_id,
        business_date=refund.business_date,
        channel_date=refund.channel_date,
        created_at=refund.created_at,
        refunded_at=refund.refunded_at,
    )


_encode = msgspec.json.Encoder().encode


def payment_json(payment: Payment, ahead: Prospect = ENDED) -> bytes:
    """The one encoding, for answers, events and webhooks; only an answer knows what lies ahead."""
    return _encode(payment_resource(payment, ahead))


def refund_json(refund: Refund, ahead: Prospect = ENDED) -> bytes:
    return _encode(refund_resource(refund, ahead))


def event_json(event_id: str, kind: str, at: datetime, data: bytes) -> bytes:
    """`{type, id, created_at, data: {payment|refund: ...}}`, the stored object spliced in
    unchanged; a feed's row, and a webhook's body.
    """
    return _encode(
        {
            "type": kind,
            "id": event_id,
            "created_at": at,
            "data": {kind.partition(".")[0]: msgspec.Raw(data)},
        }
    )


def _next_action(payment: Payment, ahead: Prospect) -> NextAction | None:
    if payment.status in PAYMENT_FINAL:
        return None
    is_shown = payment.qr_code is not None and payment.status == PaymentStatus.AWAITING_PAYER
    return NextAction(
        type="show_qr" if is_shown else "poll",
        after_ms=POLL_AFTER_MS,
        decides_by=ahead.decides_by,
        qr_code=payment.qr_code if is_shown else None,
        override_possible=ahead.override_possible,
    )


def _refund_action(refund: Refund, ahead: Prospect) -> NextAction | None:
    if refund.status not in REFUND_OPEN:
        return None
    return NextAction(type="poll", after_ms=REFUND_POLL_AFTER_MS, decides_by=ahead.decides_by)


def _failure(payment: Payment) -> FailureResource | None:
    if payment.failure is None:
        return None
    zh, en = FAILURES[payment.failure.code]
    return FailureResource(
        code=payment.failure.code,
        retry=payment.failure.retry,
        zh=zh,
        en=en,
        channel_code=payment.failure.channel_code,
    )


def _attempt(attempt: Attempt) -> AttemptResource:
    return AttemptResource(
        id=attempt.id,
        number=attempt.number,
        channel_account=attempt.channel_account,
        status=attempt.status,
        out_trade_no=attempt.out_trade_no,
        sent_at=attempt.sent_at,
        captured_amount=attempt.captured_amount,
        returned_amount=attempt.returned_amount,
        why=attempt.why,
    )
