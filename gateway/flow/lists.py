"""What a list may be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from gateway.domain.statuses import PaymentStatus, RefundStatus
from gateway.domain.words import Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentFilter:
    """`GET /v1/payments`. Times are aware; `starting_after` is a payment id."""

    order_no: str | None = None
    status: PaymentStatus | None = None
    store_id: str | None = None
    method: str | None = None
    channel_account: str | None = None
    out_trade_no: str | None = None
    channel_trade_no: str | None = None
    business_date: date | None = None
    channel_date: date | None = None
    since: datetime | None = None
    until: datetime | None = None
    paid_from: datetime | None = None
    paid_to: datetime | None = None
    limit: int
    starting_after: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundFilter:
    """`GET /v1/refunds`."""

    refund_no: str | None = None
    status: RefundStatus | None = None
    origin: Origin | None = None
    payment: str | None = None  # its id
    store_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    limit: int
    starting_after: str | None = None
