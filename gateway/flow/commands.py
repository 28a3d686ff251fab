"""What callers ask of the flow, already decoded: the edge builds these, the flow judges them."""

from __future__ import annotations

from msgspec import Struct

from gateway.domain.payment import Payment, Refund
from gateway.domain.presenting import Given
from security.secret import Secret


class Caller(Struct, frozen=True, kw_only=True):
    """Who signed the request. Tenant, store and terminal come from the key, never from the body."""

    key_id: str
    merchant_id: str
    store_id: str | None
    terminal_id: str | None
    role: str


class OverrideCommand(Struct, frozen=True, kw_only=True):
    """A supervisor lets the tender open though payment `payment_id` of its order is in doubt."""

    payment_id: str
    supervisor_id: str
    pin: Secret
    reason: str


class PayCommand(Struct, frozen=True, kw_only=True):
    """`POST /v1/payments` with defaults filled in.

    `given`: how the customer pays. `store_id` is what the body may say when a merchant key pays.
    """

    order_no: str
    tender_no: int
    amount: int
    currency: str
    method: str
    given: Given
    store_id: str | None
    operator_id: str | None
    description: str | None
    metadata: dict[str, str] = {}
    notify_url: str | None = None  # in its one spelling, see domain.web_address
    order_amount: int | None = None
    override: OverrideCommand | None = None


class RefundCommand(Struct, frozen=True, kw_only=True):
    """`POST /v1/payments/{id}/refunds`."""

    refund_no: str
    amount: int
    reason: str
    operator_id: str | None


class Paid(Struct, frozen=True):
    """The payment in its present state. `replayed`: it was not this request that made it.

    `document`: its encoding, where the event of this very state has made it already.
    """

    payment: Payment
    replayed: bool
    document: bytes | None = None


class Refunded(Struct, frozen=True):
    """The refund in its present state."""

    refund: Refund
    replayed: bool
