"""Lists of payments and refunds: newest first, a page at a time.

A statement holds the conditions that were asked for and no others, so that each combination has a
plan of its own. What is sought by a number has an index, and does not state the condition of the
indexes of newest rows, so that no plan walks them for it; every other list walks the newest rows of
its store, or its merchant, no further back than `since`. It has a pool of
its own and half a second: the road of a payment never waits behind a list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from gateway.domain.payment import Payment, Refund
from gateway.flow.lists import PaymentFilter, RefundFilter
from gateway.storage.books.payment_reader import JOIN, REFUND, WHOLE
from gateway.storage.books.rows import read_payments, read_refund
from gateway.storage.reader import Reader

_OF_ATTEMPT = (
    "p.id IN (SELECT a.payment_id FROM attempt a WHERE a.merchant_id = $1 AND a.{} = {{}})"
)
PAYMENTS: Final = {
    "order_no": "p.order_no = {}",
    "status": "p.status = {}",
    "store_id": "p.store_id = {}",
    "method": "p.channel = {}",
    "channel_account": "EXISTS (SELECT FROM attempt a WHERE a.merchant_id = p.merchant_id "
    "AND a.payment_id = p.id AND a.channel_account = {})",
    "out_trade_no": _OF_ATTEMPT.format("out_trade_no"),
    "channel_trade_no": _OF_ATTEMPT.format("channel_trade_no"),
    "business_date": "p.business_date = {}",
    "channel_date": "p.channel_date = {}",
    "since": "p.created_at >= {}",
    "until": "p.created_at < {}",
    "paid_from": "p.paid_at >= {}",
    "paid_to": "p.paid_at < {}",
    "starting_after": "(p.created_at, p.id) < "
    "(SELECT l.created_at, l.id FROM payment l WHERE l.merchant_id = $1 AND l.id = {})",
}
REFUNDS: Final = {
    "refund_no": "f.refund_no = {}",
    "status": "f.status = {}",
    "origin": "f.origin = {}",
    "payment": "f.payment_id = {}",
    "store_id": "f.store_id = {}",
    "since": "f.created_at >= {}",
    "until": "f.created_at < {}",
    "starting_after": "(f.created_at, f.id) < "
    "(SELECT l.created_at, l.id FROM refund l WHERE l.merchant_id = $1 AND l.id = {})",
}


class Lists(Reader):
    """See `gateway.flow.ports.Store`."""

    async def close(self) -> None:
        """Let go."""
        await self._pool.close()

    async def payments(self, merchant_id: str, wanted: PaymentFilter) -> Sequence[Payment]:
        """One more than the limit tells whether there are more."""
        return read_payments(await self._fetch(*payments_sql(merchant_id, wanted)))

    async def refunds(self, merchant_id: str, wanted: RefundFilter) -> Sequence[Refund]:
        """As `payments`."""
        return [read_refund(row) for row in await self._fetch(*refunds_sql(merchant_id, wanted))]


def payments_sql(merchant_id: str, wanted: PaymentFilter) -> tuple[Any, ...]:
    """The statement, then its arguments."""
    conditions, arguments = _asked(PAYMENTS, merchant_id, wanted)
    is_sought = any((wanted.order_no, wanted.out_trade_no, wanted.channel_trade_no))
    newest = "" if is_sought else "AND p.amount > 0"
    return (
        f"""{WHOLE} FROM (
  SELECT p.* FROM payment p WHERE p.merchant_id = $1 {newest} {conditions}
  ORDER BY p.created_at DESC, p.id DESC LIMIT $2
) p {JOIN} ORDER BY p.created_at DESC, p.id DESC, a.number""",
        *arguments,
    )


def refunds_sql(merchant_id: str, wanted: RefundFilter) -> tuple[Any, ...]:
    """As `payments_sql`."""
    conditions, arguments = _asked(REFUNDS, merchant_id, wanted)
    newest = "" if wanted.refund_no or wanted.payment else "AND f.amount > 0"
    return (
        f"""{REFUND} WHERE f.merchant_id = $1 {newest} {conditions}
ORDER BY f.created_at DESC, f.id DESC LIMIT $2""",
        *arguments,
    )


def _asked(
    known: Mapping[str, str], merchant_id: str, wanted: PaymentFilter | RefundFilter
) -> tuple[str, list[Any]]:
    """`$1` is the merchant and `$2` the limit."""
    conditions, arguments = [], [merchant_id, wanted.limit + 1]
    for name, condition in known.items():
        value = getattr(wanted, name)
        if value is not None:
            arguments.append(value)
            conditions.append(f"AND {condition.format(f'${len(arguments)}')}")
    return " ".join(conditions), arguments
