"""The store: two group writers for the road of a payment, a pool for everything else.

Postgres decides.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Literal, Self

import asyncpg

from gateway.domain.case import Case
from gateway.domain.change import Change, Opening
from gateway.domain.errors import OutcomePending, RefundLimitReached, StoreUnavailable
from gateway.domain.order import OrderRefusal, OrderTerms
from gateway.domain.payment import Payment, Refund
from gateway.flow.lists import PaymentFilter, RefundFilter
from gateway.flow.ports import (
    Applied,
    KeyTaken,
    NumberTaken,
    Opened,
    OrderSplit,
    RefundTaken,
    Stale,
    StoreRefused,
    TenderTaken,
)
from gateway.limits import STORE_ANSWER_TIMEOUT_MS
from gateway.storage.books.due_work import DueWork
from gateway.storage.books.event_feed import EventFeed
from gateway.storage.books.group_writer import GroupWriter, Kind
from gateway.storage.books.heart import Heart
from gateway.storage.books.inbox import Inbox
from gateway.storage.books.lists import Lists
from gateway.storage.books.payment_reader import NEWER, PaymentReader, beside
from gateway.storage.books.rows import apply_arguments, open_arguments, read_payments
from gateway.storage.books.split_orders import Lost, OrderOpenings
from gateway.storage.books.statements import APPLY, OPEN
from gateway.storage.connections import REFUSED_CLASSES, list_pool, read_pool, transaction_pool
from gateway.storage.own_connection import OwnConnection

WRITTEN = """SELECT data::text AS data, at, EXISTS (
  SELECT FROM "case" k WHERE k.merchant_id = $1 AND k.id = $3
) AS case_opened FROM event WHERE merchant_id = $1 AND id = $2"""

REFUND_DAY_FULL = "TG008"

CASE_STANDS = """SELECT id FROM "case" WHERE id = $1"""


def _open_keys(opening: Opening) -> tuple[object, ...]:
    p = opening.payment
    return (p.merchant_id, p.order_no, p.tender_no), (p.merchant_id, opening.claim.idempotency_key)


def _identity(record: Opening | Change) -> tuple[str, str]:
    return record.payment.merchant_id, record.payment.id


def _open_order(opening: Opening) -> tuple[str, str, int]:
    return opening.payment.merchant_id, opening.payment.order_no, opening.payment.tender_no


OPENINGS: Kind[Opening] = Kind("open", OPEN, open_arguments, _open_keys, _open_order, _identity)
CHANGES: Kind[Change] = Kind(
    "apply", APPLY, apply_arguments, lambda change: (_identity(change),), _identity, _identity
)


class PostgresStore(PaymentReader, EventFeed, DueWork, Inbox):
    """`gateway.flow.ports.Store` on PostgreSQL 14 or newer."""

    def __init__(
        self,
        dsn: str,
        pool: asyncpg.Pool[Any],
        orders: OrderOpenings,
        lists: Lists,
        knows: Collection[str],
    ) -> None:
        super().__init__(pool)
        self._orders, self._lists = orders, lists
        self._heart = Heart(dsn, knows)
        self._watch = OwnConnection(dsn, timeout_ms=STORE_ANSWER_TIMEOUT_MS)
        self._openings = GroupWriter(dsn, OPENINGS)
        self._changes = GroupWriter(dsn, CHANGES)

    @classmethod
    async def connected(cls, dsn: str, knows: Collection[str] = ()) -> Self:
        """On the running loop; works before Postgres does. `knows`: see `Heart`."""
        orders = OrderOpenings(await transaction_pool(dsn))
        store = cls(dsn, await read_pool(dsn), orders, Lists(await list_pool(dsn)), knows)
        store._openings.start()
        store._changes.start()
        return store

    @property
    def pool(self) -> asyncpg.Pool[Any]:
        """The readers' connections, for what no payment's version guards."""
        return self._pool

    async def close(self) -> None:
        """Flush, then let go."""
        await self._openings.close()
        await self._changes.close()
        await self._orders.close()
        await self._lists.close()
        await self._heart.close()
        await self._watch.close()
        await self._pool.close()

    async def open(
        self, opening: Opening
    ) -> Opened | KeyTaken | TenderTaken | NumberTaken | OrderSplit:
        """Write 1."""
        if await self._openings.write(opening) is not None:
            return Opened()
        try:
            return await self._why_lost(opening)
        except StoreUnavailable as error:
            # Write 1 was handed over, and a rival or our own first sending stands.
            raise OutcomePending from error

    async def open_in_order(
        self, opening: Opening, terms: OrderTerms
    ) -> Opened | KeyTaken | TenderTaken | NumberTaken | OrderRefusal | Stale:
        """Write 1 of a tender of a split order."""
        result = await self._orders.open(opening, terms)
        if not isinstance(result, Lost):
            return result
        try:
            lost = await self._why_lost(opening)
            if isinstance(lost, Opened) and terms.override is not None:
                return Opened(await self._stands(terms.override.change.case))
        except StoreUnavailable as error:
            raise OutcomePending from error
        return NumberTaken(opening.claim.first_n - 1) if isinstance(lost, OrderSplit) else lost

    async def payments(self, merchant_id: str, wanted: PaymentFilter) -> Sequence[Payment]:
        """Newest first; one more than the limit tells whether there are more."""
        return await self._lists.payments(merchant_id, wanted)

    async def refunds(self, merchant_id: str, wanted: RefundFilter) -> Sequence[Refund]:
        """As `payments`."""
        return await self._lists.refunds(merchant_id, wanted)

    async def apply(self, change: Change) -> Applied | Stale | RefundTaken:
        """Write 2, and every later one."""
        try:
            row = await self._changes.write(change)
        except asyncpg.PostgresError as error:
            if error.sqlstate == REFUND_DAY_FULL:
                raise RefundLimitReached from error
            if error.sqlstate is None or error.sqlstate[:2] not in REFUSED_CLASSES:
                raise
            raise StoreRefused(
                error.sqlstate, getattr(error, "constraint_name", None), str(error.args[0])
            ) from error
        if row is not None:
            return Applied(row["case_opened"]) if row["moved"] else RefundTaken()
        try:
            return await self._written(change) or Stale()
        except StoreUnavailable as error:
            raise OutcomePending from error

    async def newer(self, known: Sequence[tuple[str, str, int]]) -> Sequence[Payment]:
        """Over a connection of its own: tills wait for it."""
        if not known:
            return []
        return read_payments(await self._watch.fetch(NEWER, *zip(*known, strict=True)))

    async def beat(self, worker_id: str) -> datetime:
        """The worker lives."""
        return await self._heart.beat(worker_id)

    async def state(self) -> Literal["up", "reads only", "down"]:
        """What a look at it says; a server that only reads takes no payment."""
        try:
            row = await self._row("SELECT current_setting('transaction_read_only') AS only_reads")
        except StoreUnavailable as error:
            only_reads = isinstance(error.__cause__, asyncpg.TargetServerAttributeNotMatched)
            return "reads only" if only_reads else "down"
        return "up" if row is not None and row["only_reads"] == "off" else "reads only"

    async def _why_lost(
        self, opening: Opening
    ) -> Opened | KeyTaken | TenderTaken | NumberTaken | OrderSplit:
        """In this order: the key exists; the tender is held; the attempt number was taken; or, none
        of these, the order is split.
        """
        p = opening.payment
        bound = await self._bound(beside(p), opening.claim.idempotency_key)
        if bound is not None:
            # A lost reply: we collided with our own first sending.
            return Opened() if bound.payment.id == p.id else bound
        holder: Payment | None = await self._holder(beside(p), p.order_no, p.tender_no)
        if holder is not None:
            return TenderTaken(holder)
        highest_n = await self._highest_n(beside(p), p.order_no, p.tender_no)
        return NumberTaken(highest_n) if highest_n >= opening.claim.first_n else OrderSplit()

    async def _stands(self, case: Case | None) -> bool:
        """Whether this very case was opened: the reply to its commit was lost."""
        return case is not None and await self._row(CASE_STANDS, case.id) is not None

    async def _written(self, change: Change) -> Applied | None:
        """This very change stands at its version: the reply to its commit was lost and it was sent
        again. None when another one stands there.
        """
        event, case_id = change.events[0], change.case.id if change.case is not None else ""
        row = await self._row(WRITTEN, change.payment.merchant_id, event.id, case_id)
        if row is None or row["at"] != event.at or row["data"] != event.data.decode():
            return None
        return Applied(row["case_opened"])
