"""The public objects, as api.md shows them: what an answer, an event and a webhook carry.

Pure mapping, one encoding for all three.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec
from msgspec import Struct

from gateway.domain.outcomes import FailureCode, Retry
from gateway.domain.payment import Attempt, Payment, Refund
from gateway.domain.states import PAYMENT_FINAL
from gateway.domain.statuses import AttemptStatus, PaymentStatus, RefundStatus
from gateway.domain.verdicts import FAILURES, Verdict, refund_verdict, verdict_of
from gateway.domain.words import Flow, Origin

POLL_AFTER_MS = 1_000  # a long poll answers earlier; this paces tills that cannot wait


class NextAction(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the till does next: ask again after `after_ms`, and show `qr_code` meanwhile."""

    type: Literal["poll", "show_qr"]
    after_ms: int
    qr_code: str | None = None


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


class AttemptResource(Struct, frozen=True, kw_only=True):
    """One try on one channel account."""

    id: str
    number: int
    channel_account: str
    status: AttemptStatus
    out_trade_no: str
    sent_at: datetime
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
    discounts: tuple[dict[str, Any], ...]
    fee: int | None
    method: str
    flow: Flow
    store_id: str
    terminal_id: str | None
    operator_id: str | None
    description: str | None
    business_date: str
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
    created_at: datetime
    paid_at: datetime | None
    expires_at: datetime | None
    cancel_requested_at: datetime | None
    metadata: dict[str, str]


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
    failure: dict[str, str] | None
    origin: Origin
    reason: str
    terminal_id: str | None
    operator_id: str | None
    created_at: datetime
    refunded_at: datetime | None


def payment_resource(payment: Payment) -> PaymentResource:
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
        discounts=payment.discounts,
        fee=None,
        method=payment.channel,
        flow=payment.flow,
        store_id=payment.store_id,
        terminal_id=payment.terminal_id,
        operator_id=payment.operator_id,
        description=payment.description,
        business_date=payment.business_date,
        channel_account=current.channel_account,
        out_trade_no=current.out_trade_no,
        channel_trade_no=current.channel_trade_no,
        payer=Payer(ref_masked=payment.payer_masked) if payment.payer_masked else None,
        change=payment.change,
        verdict=verdict_of(payment),
        next_action=_next_action(payment),
        failure=_failure(payment),
        attempts=tuple(_attempt(attempt) for attempt in payment.attempts),
        created_at=payment.created_at,
        paid_at=payment.paid_at,
        expires_at=payment.expires_at,
        cancel_requested_at=payment.cancel_requested_at,
        metadata=payment.metadata,
    )


def refund_resource(refund: Refund) -> RefundResource:
    failure = None
    if refund.status in (RefundStatus.FAILED, RefundStatus.NEEDS_ACTION):
        failure = {
            "code": refund.failure_code or "unknown",
            "channel_code": refund.channel_code or "",
        }
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
        verdict=refund_verdict(refund.status),
        failure=failure,
        origin=refund.origin,
        reason=refund.reason,
        terminal_id=refund.terminal_id,
        operator_id=refund.operator_id,
        created_at=refund.created_at,
        refunded_at=refund.refunded_at,
    )


_encode = msgspec.json.Encoder().encode


def payment_json(payment: Payment) -> bytes:
    """The one encoding: an answer, its event and its webhook show the same bytes."""
    return _encode(payment_resource(payment))


def refund_json(refund: Refund) -> bytes:
    return _encode(refund_resource(refund))


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


def _next_action(payment: Payment) -> NextAction | None:
    if payment.status in PAYMENT_FINAL:
        return None
    if payment.qr_code and payment.status == PaymentStatus.AWAITING_PAYER:
        return NextAction(type="show_qr", after_ms=POLL_AFTER_MS, qr_code=payment.qr_code)
    return NextAction(type="poll", after_ms=POLL_AFTER_MS)


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
