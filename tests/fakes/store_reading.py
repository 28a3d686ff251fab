"""What a reader of the store in memory sees; the same as `payment_reader` and `event_feed` show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TypeVar

from gateway.domain.errors import CursorAhead
from gateway.domain.payment import Payment, Refund
from gateway.domain.resources import event_json
from gateway.domain.statuses import RefundStatus
from gateway.domain.words import Numbering, Origin
from gateway.flow.lists import PaymentFilter, RefundFilter
from gateway.flow.ports import EventPage, KeyTaken
from gateway.storage.books.event_feed import position
from tests.fakes.store_tables import Beside, KeptClaim, MemoryTables

R = TypeVar("R", Payment, Refund)


class MemoryReading(MemoryTables):
    """Nothing here changes a row."""

    async def payment(self, merchant_id: str, payment_id: str) -> Payment | None:
        """With its attempts."""
        return self.payment_rows.get((merchant_id, payment_id))

    async def payment_by_key(
        self, merchant_id: str, store_id: str, idempotency_key: str
    ) -> KeyTaken | None:
        """What the key is bound to in this store."""
        return self.bound((merchant_id, store_id, Numbering.BY_STORE), idempotency_key)

    def beside(self, where: Beside) -> list[KeptClaim]:
        """The claims that an equal one there may not stand beside; its own store's first."""
        found = [kept for kept in self.claims.values() if kept.beside(*where)]
        return sorted(found, key=lambda kept: kept.store_id != where[1])

    def bound(self, where: Beside, idempotency_key: str) -> KeyTaken | None:
        """As `payment_by_key`, for a claim of that numbering."""
        for kept in self.beside(where):
            if kept.idempotency_key == idempotency_key:
                payment = self.payment_rows[kept.merchant_id, kept.payment_id]
                return KeyTaken(payment, kept.fingerprint)
        return None

    async def payment_by_trade(self, account_id: str, out_trade_no: str) -> Payment | None:
        """By the channel's order number, on this account only."""
        key = self.trades.get(out_trade_no)
        payment = self.payment_rows[key] if key else None
        return (
            payment
            if payment and payment.attempt(out_trade_no).channel_account == account_id
            else None
        )

    async def payments(self, merchant_id: str, wanted: PaymentFilter) -> Sequence[Payment]:
        """Newest first; one more than the limit."""
        rows = [p for (merchant, _), p in self.payment_rows.items() if merchant == merchant_id]
        asked = (
            ("order_no", wanted.order_no),
            ("status", wanted.status),
            ("store_id", wanted.store_id),
            ("channel", wanted.method),
            ("business_date", wanted.business_date and wanted.business_date.isoformat()),
            ("channel_date", wanted.channel_date and wanted.channel_date.isoformat()),
        )
        rows = [
            p
            for p in rows
            if all(value is None or getattr(p, name) == value for name, value in asked)
            and _paid_between(p, wanted.paid_from, wanted.paid_to)
        ]
        for name in ("channel_account", "out_trade_no", "channel_trade_no"):
            value = getattr(wanted, name)
            rows = [
                p for p in rows if value is None or value in {getattr(a, name) for a in p.attempts}
            ]
        return _paged(
            rows, self.payment_rows.get((merchant_id, wanted.starting_after or "")), wanted
        )

    async def newer(self, known: Sequence[tuple[str, str, int]]) -> Sequence[Payment]:
        """See the port."""
        found = [(self.payment_rows.get((merchant, each)), had) for merchant, each, had in known]
        newer = [row for row, had in found if row is not None and row.version > had]
        return sorted(newer, key=lambda payment: payment.id)

    async def refund(self, merchant_id: str, refund_id: str) -> Refund | None:
        """One refund."""
        return self.refund_rows.get((merchant_id, refund_id))

    async def refund_by_number(self, merchant_id: str, refund_no: str) -> Refund | None:
        return next((r for r in self._refunds(merchant_id) if r.refund_no == refund_no), None)

    async def refund_by_key(
        self, merchant_id: str, store_id: str, idempotency_key: str
    ) -> Refund | None:
        wanted = (store_id, idempotency_key)
        rows = self._refunds(merchant_id)
        return next((r for r in rows if (r.store_id, r.idempotency_key) == wanted), None)

    async def given_back(self, merchant_id: str, asked_by: str, business_date: str) -> int:
        return self.given_back_now(merchant_id, asked_by, business_date)

    def given_back_now(self, merchant_id: str, asked_by: str, business_date: str) -> int:
        return sum(
            r.amount
            for r in self._refunds(merchant_id)
            if (r.terminal_id or r.asked_by) == asked_by
            and r.business_date == business_date
            and r.origin == Origin.MERCHANT
            and r.status != RefundStatus.FAILED
        )

    async def refunds_of(self, merchant_id: str, payment_id: str) -> Sequence[Refund]:
        """Oldest first."""
        return sorted(
            (r for r in self._refunds(merchant_id) if r.payment_id == payment_id),
            key=lambda r: (r.created_at, r.id),
        )

    async def refunds(self, merchant_id: str, wanted: RefundFilter) -> Sequence[Refund]:
        """Newest first; one more than the limit."""
        asked = (
            ("refund_no", wanted.refund_no),
            ("status", wanted.status),
            ("origin", wanted.origin),
            ("payment_id", wanted.payment),
        )
        rows = [
            r
            for r in self._refunds(merchant_id)
            if all(value is None or getattr(r, name) == value for name, value in asked)
        ]
        rows = [
            r
            for r in rows
            if wanted.store_id in (None, self.payment_rows[merchant_id, r.payment_id].store_id)
        ]
        return _paged(
            rows, self.refund_rows.get((merchant_id, wanted.starting_after or "")), wanted
        )

    async def events(self, merchant_id: str, after: str | None, limit: int) -> EventPage:
        """Public events in commit order."""
        asked = position(after)
        if after is not None and int(asked.transaction) > self.transaction:
            raise CursorAhead(field="after")
        found = [
            k
            for k in self.log
            if k.place > (int(asked.transaction), asked.row)
            and k.merchant_id == merchant_id
            and k.event.public
        ]
        page = found[:limit]
        cursor = "{}-{}".format(*page[-1].place) if page else after
        documents = tuple(
            event_json(k.event.id, k.event.type, k.event.at, k.event.data) for k in page
        )
        return EventPage(documents, cursor, len(found) > limit)

    def _refunds(self, merchant_id: str) -> Iterator[Refund]:
        return (r for (merchant, _), r in self.refund_rows.items() if merchant == merchant_id)


def _paid_between(payment: Payment, since: datetime | None, until: datetime | None) -> bool:
    paid = payment.paid_at
    if paid is None:
        return since is None and until is None
    return (since is None or paid >= since) and (until is None or paid < until)


def _paged(rows: list[R], last: R | None, wanted: PaymentFilter | RefundFilter) -> list[R]:
    if wanted.starting_after is not None:
        rows = [
            row
            for row in rows
            if last is not None and (row.created_at, row.id) < (last.created_at, last.id)
        ]
    rows = [row for row in rows if wanted.since is None or row.created_at >= wanted.since]
    rows = [row for row in rows if wanted.until is None or row.created_at < wanted.until]
    return sorted(rows, key=lambda row: (row.created_at, row.id), reverse=True)[: wanted.limit + 1]
