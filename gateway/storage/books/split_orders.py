"""Openings in a split order: one transaction under the order's lock, so that no two tenders of an
order can overlook each other.

The lock is an advisory one, held alone until the commit; the batches of the group writer hold it
shared for the orders they open (`split_in_store` in migrations/0030). So a plain first tender under
way is waited for and then seen, and one that comes later finds the order's row, or finds the lock
taken, and comes here too.

What is read under the lock is judged by `gateway.domain.order`; a refusal rolls everything back. A
reply lost on the way says nothing about the commit: the whole transaction is run again on a new
connection, where a bound key tells that the first one stands. The server ends the first one before
the second gets the lock.
"""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import structlog

from gateway.domain.change import Opening
from gateway.domain.errors import OutcomePending, StoreUnavailable
from gateway.domain.order import OrderRefusal, OrderTerms, Override, refusal
from gateway.domain.payment import Payment
from gateway.domain.words import Numbering
from gateway.flow.ports import Opened, Stale, TenderTaken
from gateway.limits import WRITER_FLUSH_MS_MAX
from gateway.storage.books.payment_reader import BESIDE, HOLDERS, beside
from gateway.storage.books.rows import apply_arguments, open_arguments, read_payments
from gateway.storage.books.statements import APPLY, OPEN_IN_ORDER
from gateway.storage.connections import ANSWER_TIMEOUT_S, COLLIDED, GAVE_UP, REPLY_LOST, UNREACHABLE
from gateway.telemetry.metrics import STORE_RETRIES

LOCK = "SELECT pg_advisory_xact_lock(hashtext('tillgate.order'), order_lock($1, $2))"
KNOWN = f"""SELECT
  coalesce(
    (SELECT o.amount FROM split_order o
      WHERE o.merchant_id = $1 AND o.store_id = $2 AND o.order_no = $4),
    (SELECT o.amount FROM "order" o WHERE $3 = 1 AND o.merchant_id = $1 AND o.order_no = $4)
  ) AS amount,
  EXISTS (SELECT FROM claim k WHERE {BESIDE} AND k.idempotency_key = $5) AS bound"""
SPLIT = """INSERT INTO split_order (merchant_id, store_id, order_no, amount, created_at)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (order_no, store_id, merchant_id) DO UPDATE SET amount = excluded.amount
WHERE split_order.amount IS NULL AND excluded.amount IS NOT NULL"""
# Where the order number is still the merchant's, the same for all its stores.
SPLIT_BY_MERCHANT = """INSERT INTO "order" (merchant_id, order_no, amount, created_at)
VALUES ($1, $2, $3, $4)
ON CONFLICT (order_no, merchant_id) DO UPDATE SET amount = excluded.amount
WHERE "order".amount IS NULL AND excluded.amount IS NOT NULL"""
RISK = """INSERT INTO override
  (merchant_id, payment_id, named_id, order_no, amount, supervisor_id, reason, at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"""

# Of one transaction: collisions are rare, and a server that loses every reply is no server.
TRIES_MAX = 4
OPEN_S = WRITER_FLUSH_MS_MAX / 1000
Connection = Any  # asyncpg's, as a pool lends it
log = structlog.get_logger("tillgate.store")


class Lost:
    """The opening lost against a claim; nothing was written. Which one is for a reader to say."""


LOST = Lost()
Result = Opened | Lost | TenderTaken | OrderRefusal | Stale


class OrderOpenings:
    """`open` as `Store.open_in_order`, but for the judgement of a lost claim."""

    def __init__(self, pool: asyncpg.Pool[Any]) -> None:
        self._pool = pool

    async def open(self, opening: Opening, terms: OrderTerms) -> Result:
        """Durable when it returns `Opened`.

        Raises `StoreUnavailable` (nothing written) or `OutcomePending` (perhaps).
        """
        lost_once = False
        give_up_at = asyncio.get_running_loop().time() + OPEN_S
        for _ in range(TRIES_MAX):
            try:
                async with asyncio.timeout_at(give_up_at):
                    return await self._tried(opening, terms)
            except _Unreachable as error:
                raise _absence(lost_once=lost_once) from error
            except COLLIDED:
                STORE_RETRIES.labels("collided").inc()
            except REPLY_LOST as error:
                log.warning("reply_lost", writer="order", error=type(error).__name__)
                STORE_RETRIES.labels("reply_lost").inc()
                lost_once = True
            except GAVE_UP as error:
                raise _absence(lost_once=lost_once) from error
        raise _absence(lost_once=lost_once)

    async def close(self) -> None:
        """Let go."""
        await self._pool.close()

    async def _tried(self, opening: Opening, terms: OrderTerms) -> Result:
        try:
            connection = await self._pool.acquire(timeout=ANSWER_TIMEOUT_S)
        except UNREACHABLE as error:
            raise _Unreachable from error
        try:
            await connection.execute("BEGIN")
            result = await _written(connection, opening, terms)
            await connection.execute("COMMIT" if isinstance(result, Opened) else "ROLLBACK")
        except BaseException:
            connection.terminate()  # it may be inside the transaction, and nobody may find it so
            raise
        else:
            return result
        finally:
            await self._pool.release(connection)


async def _written(connection: Connection, opening: Opening, terms: OrderTerms) -> Result:
    p, override = opening.payment, terms.override
    await connection.execute(LOCK, p.merchant_id, p.order_no)
    known = await connection.fetchrow(KNOWN, *beside(p), p.order_no, opening.claim.idempotency_key)
    if known["bound"]:
        return LOST
    holding = await _holding(connection, p)
    for other in holding:
        if other.tender_no == p.tender_no:
            return TenderTaken(other)
    refused = refusal(p, terms, known["amount"], holding)
    if refused is not None:
        return refused
    marked_as = (p.order_no, terms.amount, p.created_at)
    await connection.execute(SPLIT, p.merchant_id, p.store_id, *marked_as)
    if p.numbering == Numbering.BY_MERCHANT:
        await connection.execute(SPLIT_BY_MERCHANT, p.merchant_id, *marked_as)
    case_opened = False
    if override is not None:
        marked = await _override(connection, p, override)
        if marked is None:
            return Stale()
        case_opened = marked["case_opened"]
    if not await connection.fetch(OPEN_IN_ORDER, *open_arguments([opening])):
        return LOST
    return Opened(case_opened)


async def _holding(connection: Connection, payment: Payment) -> list[Payment]:
    rows = await connection.fetch(HOLDERS, *beside(payment), payment.order_no)
    return read_payments(rows)


async def _override(
    connection: Connection, payment: Payment, override: Override
) -> asyncpg.Record | None:
    """Mark the named payment and record the risk beside it. None when the payment has changed since
    it was judged.
    """
    named = override.change.payment
    marked: asyncpg.Record | None = await connection.fetchrow(
        APPLY, *apply_arguments([override.change])
    )
    if marked is None:
        return None
    risk = (
        named.id,
        named.order_no,
        named.amount,
        override.supervisor_id,
        override.reason,
        payment.created_at,
    )
    await connection.execute(RISK, payment.merchant_id, payment.id, *risk)
    return marked


class _Unreachable(Exception):
    """No connection: nothing was handed over."""


def _absence(*, lost_once: bool) -> StoreUnavailable:
    return OutcomePending() if lost_once else StoreUnavailable()
