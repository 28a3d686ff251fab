"""Payments and refunds, read whole: a payment always comes with its attempts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TypeAlias

import asyncpg

from gateway.domain.payment import Payment, Refund
from gateway.domain.words import Numbering
from gateway.flow.ports import KeyTaken
from gateway.storage.books import columns as c
from gateway.storage.books.rows import read_payment, read_refund
from gateway.storage.reader import Reader

_ATTEMPTS = ", ".join(f"a.{name} AS a_{name}" for name in c.ATTEMPT.names)
WHOLE = f"SELECT {c.PAYMENT.listed('p.')}, {_ATTEMPTS}"
JOIN = "JOIN attempt a ON a.merchant_id = p.merchant_id AND a.payment_id = p.id"

BY_ID = f"{WHOLE} FROM payment p {JOIN} WHERE p.merchant_id = $1 AND p.id = $2 ORDER BY a.number"

# The rivals of a claim ($1 merchant, $2 store, $3 numbering): the claims of its store and, where it
# is one by merchant, those by merchant of every store. Its own store's is told first.
BESIDE = "k.merchant_id = $1 AND (k.store_id = $2 OR k.numbering = 1 AND $3 = 1)"
_FIRST = "ORDER BY k.store_id <> $2 LIMIT 1"
BY_KEY = f"""{WHOLE}, k.fingerprint
FROM (SELECT k.* FROM claim k WHERE {BESIDE} AND k.idempotency_key = $4 {_FIRST}) k
JOIN payment p ON p.merchant_id = k.merchant_id AND p.id = k.payment_id
{JOIN}
ORDER BY a.number"""
BY_TRADE = f"""{WHOLE}
FROM attempt named
JOIN payment p ON p.merchant_id = named.merchant_id AND p.id = named.payment_id
{JOIN}
WHERE named.out_trade_no = $2 AND named.channel_account = $1
ORDER BY a.number"""
HOLDER = f"""{WHOLE}
FROM (
  SELECT k.* FROM claim k
  WHERE {BESIDE} AND k.order_no = $4 AND k.tender_no = $5 AND k.holds {_FIRST}
) k
JOIN payment p ON p.merchant_id = k.merchant_id AND p.id = k.payment_id
{JOIN}
ORDER BY a.number"""
HOLDERS = f"""{WHOLE}
FROM claim k
JOIN payment p ON p.merchant_id = k.merchant_id AND p.id = k.payment_id
{JOIN}
WHERE {BESIDE} AND k.order_no = $4 AND k.holds
ORDER BY p.id, a.number"""
HIGHEST_N = f"""SELECT max(a.trade_number) AS n
FROM claim k
JOIN attempt a ON a.merchant_id = k.merchant_id AND a.payment_id = k.payment_id
WHERE {BESIDE} AND k.order_no = $4 AND k.tender_no = $5"""

NEWER = f"""{WHOLE}
FROM unnest($1::text[], $2::text[], $3::int[]) AS w(merchant_id, id, version)
JOIN payment p ON p.merchant_id = w.merchant_id AND p.id = w.id AND p.version > w.version
{JOIN}
ORDER BY p.id, a.number"""

REFUND = f"SELECT {c.REFUND.listed('f.')} FROM refund f"
REFUND_BY_ID = f"{REFUND} WHERE f.merchant_id = $1 AND f.id = $2"
REFUND_BY_NO = f"{REFUND} WHERE f.merchant_id = $1 AND f.refund_no = $2"
# As the trigger on `refund` that decides.
GIVEN_BACK = "SELECT refunds_of_day($1, $2, $3) AS fen"
REFUND_BY_KEY = f"{REFUND} WHERE f.merchant_id = $1 AND f.store_id = $2 AND f.idempotency_key = $3"
REFUNDS_OF = f"{REFUND} WHERE f.merchant_id = $1 AND f.payment_id = $2 ORDER BY f.created_at, f.id"


Beside: TypeAlias = tuple[str, str, Numbering]
"""Merchant, store and numbering of a claim, as `BESIDE` takes them."""


class PaymentReader(Reader):
    """See `gateway.flow.ports.Store`."""

    async def payment(self, merchant_id: str, payment_id: str) -> Payment | None:
        return _one(await self._fetch(BY_ID, merchant_id, payment_id))

    async def payment_by_key(
        self, merchant_id: str, store_id: str, idempotency_key: str
    ) -> KeyTaken | None:
        return await self._bound((merchant_id, store_id, Numbering.BY_STORE), idempotency_key)

    async def payment_by_trade(self, account_id: str, out_trade_no: str) -> Payment | None:
        """By the channel's order number, on this account only."""
        return _one(await self._fetch(BY_TRADE, account_id, out_trade_no))

    async def refund(self, merchant_id: str, refund_id: str) -> Refund | None:
        return _refund(await self._row(REFUND_BY_ID, merchant_id, refund_id))

    async def refund_by_number(self, merchant_id: str, refund_no: str) -> Refund | None:
        return _refund(await self._row(REFUND_BY_NO, merchant_id, refund_no))

    async def refund_by_key(
        self, merchant_id: str, store_id: str, idempotency_key: str
    ) -> Refund | None:
        return _refund(await self._row(REFUND_BY_KEY, merchant_id, store_id, idempotency_key))

    async def given_back(self, merchant_id: str, asked_by: str, business_date: str) -> int:
        """See `gateway.flow.ports.Store`."""
        day = date.fromisoformat(business_date)
        row = await self._row(GIVEN_BACK, merchant_id, asked_by, day)
        return int(row["fen"]) if row else 0

    async def refunds_of(self, merchant_id: str, payment_id: str) -> Sequence[Refund]:
        """Oldest first."""
        return [read_refund(row) for row in await self._fetch(REFUNDS_OF, merchant_id, payment_id)]

    async def _bound(self, beside: Beside, idempotency_key: str) -> KeyTaken | None:
        rows = await self._fetch(BY_KEY, *beside, idempotency_key)
        return (
            KeyTaken(read_payment(rows[0], rows), rows[0]["fingerprint"].encode()) if rows else None
        )

    async def _holder(self, beside: Beside, order_no: str, tender_no: int) -> Payment | None:
        return _one(await self._fetch(HOLDER, *beside, order_no, tender_no))

    async def _highest_n(self, beside: Beside, order_no: str, tender_no: int) -> int:
        row = await self._row(HIGHEST_N, *beside, order_no, tender_no)
        return (row["n"] if row else None) or 0


def beside(payment: Payment) -> Beside:
    """Where the rivals of `payment` are looked for."""
    return payment.merchant_id, payment.store_id, payment.numbering


def _one(rows: list[asyncpg.Record]) -> Payment | None:
    return read_payment(rows[0], rows) if rows else None


def _refund(row: asyncpg.Record | None) -> Refund | None:
    return read_refund(row) if row else None
