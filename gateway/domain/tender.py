"""One tender: so much of a bill, paid in one way. Everything about a payment that does not change
from its request to its end, and that accounts, numbers and queries depend on.
"""

from __future__ import annotations

from msgspec import Struct

from gateway.domain.payment import Payment
from gateway.domain.presenting import Flow
from gateway.domain.words import Numbering


class Tender(Struct, frozen=True, kw_only=True):
    """`amount` in fen of `currency`; `channel` is a manifest's name."""

    merchant_id: str
    store_id: str
    order_no: str
    tender_no: int
    amount: int
    currency: str
    channel: str
    flow: Flow
    numbering: Numbering


def tender_of(payment: Payment) -> Tender:
    """The tender that this payment pays."""
    return Tender(
        merchant_id=payment.merchant_id,
        store_id=payment.store_id,
        order_no=payment.order_no,
        tender_no=payment.tender_no,
        amount=payment.amount,
        currency=payment.currency,
        channel=payment.channel,
        flow=payment.flow,
        numbering=payment.numbering,
    )
