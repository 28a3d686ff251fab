"""What the sweeper has to visit, leased so that two of them share the work, and the workers' signs of life.

A lease is no change of state: it only moves `due_at`, so a sweeper that dies leaves its visits to the next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from gateway.flow.ports import DueAttempt, DueRefund
from gateway.limits import CALL_TIMEOUT_MS
from gateway.storage.reader import Reader

# A `sent` attempt belongs to the worker that sent it, until that worker is gone or the call cannot be running any more.
TAKE_ATTEMPTS = """UPDATE attempt a SET due_at = $1::timestamptz + $3::interval FROM (
  SELECT d.merchant_id, d.id FROM attempt d WHERE d.due_at <= $1
    AND (d.status <> 'sent' OR d.send_by + $5::interval < $1
         OR NOT EXISTS (SELECT FROM worker w WHERE w.id = d.worker_id AND w.beat_at > $1::timestamptz - $4::interval))
  ORDER BY d.due_at LIMIT $2 FOR UPDATE SKIP LOCKED
) taken WHERE a.merchant_id = taken.merchant_id AND a.id = taken.id RETURNING a.merchant_id, a.payment_id, a.out_trade_no"""

TAKE_REFUNDS = """UPDATE refund f SET due_at = $1::timestamptz + $3::interval FROM (
  SELECT d.merchant_id, d.id FROM refund d WHERE d.due_at <= $1 ORDER BY d.due_at LIMIT $2 FOR UPDATE SKIP LOCKED
) taken WHERE f.merchant_id = taken.merchant_id AND f.id = taken.id RETURNING f.merchant_id, f.payment_id, f.id"""

BEAT = "INSERT INTO worker (id, beat_at) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET beat_at = excluded.beat_at"


class DueWork(Reader):
    """See `gateway.flow.ports.Store`."""

    async def take_due_attempts(self, now: datetime, limit: int, lease_ms: int, worker_lease_ms: int) -> Sequence[DueAttempt]:
        """Lease due attempts."""
        lease, silence, call = (timedelta(milliseconds=ms) for ms in (lease_ms, worker_lease_ms, CALL_TIMEOUT_MS))
        rows = await self._fetch(TAKE_ATTEMPTS, now, limit, lease, silence, call)
        return [DueAttempt(row["merchant_id"], row["payment_id"], row["out_trade_no"]) for row in rows]

    async def take_due_refunds(self, now: datetime, limit: int, lease_ms: int) -> Sequence[DueRefund]:
        """Lease due refunds."""
        rows = await self._fetch(TAKE_REFUNDS, now, limit, timedelta(milliseconds=lease_ms))
        return [DueRefund(row["merchant_id"], row["payment_id"], row["id"]) for row in rows]

    async def beat(self, worker_id: str, now: datetime) -> None:
        """The worker lives."""
        await self._fetch(BEAT, worker_id, now)
