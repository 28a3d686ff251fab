"""An order that several tenders may pay, and a supervisor's override: may this tender open?

Pure; the store asks under the order's lock.

An order has a row of its own only once a tender said `order_amount`, had a number above 1, or came
with an override: it is *split*. From then on every tender of it opens under the order's lock, so
that no two of them can overlook each other.

What counts towards the order's amount: every tender that is live or paid, less what was given back
to the customer. A tender that ended uncharged or came too late does not count, nor does one that an
override has named: its money, should it come, goes back.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from gateway.domain.change import Change
from gateway.domain.payment import Payment
from gateway.domain.states import PAYMENT_HOLDING
from gateway.domain.statuses import AttemptStatus, PaymentStatus


class Override(Struct, frozen=True, kw_only=True):
    """A supervisor lets the tender open although `change.payment` is in doubt.

    `change` marks that payment; the rest is the risk record.
    """

    change: Change
    supervisor_id: str
    reason: str


class OrderTerms(Struct, frozen=True, kw_only=True):
    """What a tender asks of its order.

    `amount`: the bill's total in fen, where the till said it.
    """

    amount: int | None = None
    override: Override | None = None


class AnotherInDoubt(Struct, frozen=True):
    """Another tender of the order is in doubt."""

    payment: Payment


class OrderAmountFixed(Struct, frozen=True):
    """An earlier tender said another total."""

    amount: int


class WouldOverpay(Struct, frozen=True):
    """The tenders would exceed the order's amount: `counted` fen of `amount` are taken already."""

    amount: int
    counted: int


OrderRefusal = AnotherInDoubt | OrderAmountFixed | WouldOverpay


def refusal(
    opened: Payment, terms: OrderTerms, fixed: int | None, holding: Sequence[Payment]
) -> OrderRefusal | None:
    """Why `opened` may not open, or None.

    `fixed`: the order's amount so far; `holding`: its payments that hold a tender, ours apart.
    """
    if terms.amount is not None and fixed is not None and terms.amount != fixed:
        return OrderAmountFixed(fixed)
    named = terms.override.change.payment.id if terms.override is not None else None
    others = [payment for payment in holding if payment.id != named]
    for payment in others:
        if payment.status == PaymentStatus.IN_DOUBT and payment.overridden_at is None:
            return AnotherInDoubt(payment)
    amount = fixed if fixed is not None else terms.amount
    counted = sum(counts(payment) for payment in others)
    if amount is not None and counted + counts(opened) > amount:
        return WouldOverpay(amount, counted)
    return None


def counts(payment: Payment) -> int:
    """Fen of this payment that count towards its order's amount."""
    if payment.status not in PAYMENT_HOLDING or payment.overridden_at is not None:
        return 0
    return payment.amount - sum(
        attempt.returned_amount
        for attempt in payment.attempts
        if attempt.status == AttemptStatus.SUCCEEDED
    )
