"""The sweeper's work of the store in memory; the same rules as `due_work`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from msgspec import structs

from gateway.domain.payment import Attempt, Refund
from gateway.flow.due import DueAttempt, DueRefund, Places
from gateway.limits import CALL_TIMEOUT_MS
from tests.fakes.store_tables import MemoryTables

R = TypeVar("R", Attempt, Refund)


class MemoryDueWork(MemoryTables):
    """A lease moves `due_at` and nothing else."""

    async def take_due_attempts(
        self, places: Places, lease_ms: int, worker_lease_ms: int
    ) -> Sequence[DueAttempt]:
        """Lease due attempts."""
        now = self._now()
        silent, lost = (
            now - timedelta(milliseconds=worker_lease_ms),
            now - timedelta(milliseconds=CALL_TIMEOUT_MS),
        )

        def may_be_taken(a: Attempt) -> bool:
            beaten = self.beats.get(a.worker_id)
            return a.status != "sent" or a.send_by < lost or beaten is None or beaten <= silent

        owners = {
            a.id: p for p in self.payment_rows.values() for a in p.attempts if a.due_at is not None
        }
        waiting = (
            a
            for p in owners.values()
            for a in p.attempts
            if a.due_at is not None and may_be_taken(a)
        )
        taken = _first(waiting, places, now)
        for a in taken:
            p = self.payment_rows[owners[a.id].merchant_id, owners[a.id].id]
            leased = structs.replace(a, due_at=now + timedelta(milliseconds=lease_ms))
            self.payment_rows[p.merchant_id, p.id] = structs.replace(
                p, attempts=tuple(leased if x.id == a.id else x for x in p.attempts)
            )
            self.visits[a.out_trade_no] = now
        return [
            DueAttempt(owners[a.id].merchant_id, owners[a.id].id, a.out_trade_no, a.channel_account)
            for a in taken
        ]

    async def take_due_refunds(self, places: Places, lease_ms: int) -> Sequence[DueRefund]:
        """Lease due refunds."""
        now = self._now()
        taken = _first(self.refund_rows.values(), places, now)
        for r in taken:
            self.refund_rows[r.merchant_id, r.id] = structs.replace(
                r, due_at=now + timedelta(milliseconds=lease_ms)
            )
        return [DueRefund(r.merchant_id, r.payment_id, r.id, r.channel_account) for r in taken]

    async def hasten(self, merchant_id: str, payment_id: str, pace_ms: int) -> None:
        """The next visit is due now."""
        now, payment = self._now(), self.payment_rows.get((merchant_id, payment_id))
        if payment is None:
            return
        for a in payment.attempts:
            began = self.visits.get(a.out_trade_no, a.sent_at)
            late = (
                a.due_at is not None
                and a.due_at > now
                and began <= now - timedelta(milliseconds=pace_ms)
            )
            if late and a.status in ("pending", "in_doubt", "cancelling"):
                sooner = tuple(
                    structs.replace(x, due_at=now) if x.id == a.id else x for x in payment.attempts
                )
                self.payment_rows[merchant_id, payment_id] = structs.replace(
                    payment, attempts=sooner
                )

    async def beat(self, worker_id: str) -> datetime:
        """The worker lives."""
        self.beats[worker_id] = self._now()
        return self._now()


def _first(rows: Iterable[R], places: Places, now: datetime) -> list[R]:
    """The longest due, of each account no more than it has places."""
    taken: list[R] = []
    visits = Counter(places.busy)
    for _, row in sorted(
        ((row.due_at, row) for row in rows if row.due_at is not None and row.due_at <= now),
        key=lambda each: each[0],
    ):
        if visits[row.channel_account] < places.each and len(taken) < places.total:
            visits[row.channel_account] += 1
            taken.append(row)
    return taken
