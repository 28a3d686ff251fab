"""What a caller may see.

A terminal key sees the payments of its own store and their refunds; a merchant key sees those of
every store of its merchant. What a caller may not see is answered as if it did not exist. Every
payment that is handed to a caller, in an answer or in a refusal, has passed here.
"""

from __future__ import annotations

from gateway.domain.payment import Payment
from gateway.flow.commands import Caller


def visible(caller: Caller, payment: Payment) -> bool:
    """Whether `caller` may see `payment`, its attempts and its refunds."""
    return payment.merchant_id == caller.merchant_id and visible_store(caller, payment.store_id)


def visible_store(caller: Caller, store_id: str) -> bool:
    """Whether `caller` may see what belongs to this store of its merchant."""
    return caller.store_id in (None, store_id)


def seen(caller: Caller, payment: Payment | None) -> Payment | None:
    """The payment, where `caller` may see it."""
    return payment if payment is not None and visible(caller, payment) else None
