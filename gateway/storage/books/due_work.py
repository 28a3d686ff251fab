"""What the sweeper has to visit, leased so that two of them share the work, and by channel account
so that one that hangs delays no other.

A lease is no change of state: it only moves `due_at`, so a sweeper that dies leaves its visits to
the next one. Everything is judged by the server's clock, never by a host's.

The accounts with work are found by hopping along the index `(channel_account, due_at)`, and of each
only as many rows are read as may be visited: the statement costs the same whether one row waits or
a million. `found` sees no lock; `FOR UPDATE` looks at each row again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import asyncpg

from gateway.flow.due import DueAttempt, DueRefund, Places
from gateway.limits import CALL_TIMEOUT_MS
from gateway.storage.reader import Reader

# A `sent` attempt belongs to the worker that sent it, until that worker is gone or the call cannot
# be running any more.
_MAY_BE_TAKEN = """ AND (d.status <> 'sent' OR d.send_by + $7::interval < now()
      OR NOT EXISTS (
        SELECT FROM worker w
        WHERE w.id = d.worker_id AND w.beat_at > now() - $6::interval
      ))"""


def _take(table: str, named: str, marked: str = "", unless: str = "") -> str:
    return f"""WITH RECURSIVE account(id) AS (
  (SELECT channel_account FROM {table} WHERE due_at IS NOT NULL ORDER BY channel_account LIMIT 1)
  UNION ALL
  SELECT (SELECT n.channel_account FROM {table} n
          WHERE n.due_at IS NOT NULL AND n.channel_account > a.id
          ORDER BY n.channel_account LIMIT 1)
  FROM account a WHERE a.id IS NOT NULL
), found AS MATERIALIZED (
  SELECT f.merchant_id, f.id
  FROM account a LEFT JOIN unnest($4::text[], $5::int[]) AS b(id, visits) ON b.id = a.id,
  LATERAL (
    SELECT d.merchant_id, d.id, d.due_at FROM {table} d
    WHERE d.channel_account = a.id AND d.due_at <= now(){unless}
    ORDER BY d.due_at LIMIT greatest($3::int - coalesce(b.visits, 0), 0)
  ) f ORDER BY f.due_at LIMIT $2::int
)
UPDATE {table} t SET due_at = now() + $1::interval{marked} FROM (
  SELECT d.merchant_id, d.id
  FROM found f JOIN {table} d ON d.merchant_id = f.merchant_id AND d.id = f.id
  WHERE d.due_at <= now() FOR UPDATE OF d SKIP LOCKED
) taken
WHERE t.merchant_id = taken.merchant_id AND t.id = taken.id
RETURNING t.merchant_id, t.payment_id, t.{named}, t.channel_account"""


TAKE_ATTEMPTS = _take("attempt", "out_trade_no", ", visited_at = now()", _MAY_BE_TAKEN)
TAKE_REFUNDS = _take("refund", "id")

HASTEN = """UPDATE attempt SET due_at = now()
WHERE merchant_id = $1 AND payment_id = $2 AND status IN ('pending', 'in_doubt', 'cancelling')
  AND due_at > now()
  AND coalesce(visited_at, sent_at) <= now() - $3::interval"""


class DueWork(Reader):
    """See `gateway.flow.ports.Store`."""

    async def take_due_attempts(
        self, places: Places, lease_ms: int, worker_lease_ms: int
    ) -> Sequence[DueAttempt]:
        """Lease due attempts."""
        silence, call = (timedelta(milliseconds=ms) for ms in (worker_lease_ms, CALL_TIMEOUT_MS))
        rows = await self._taken(TAKE_ATTEMPTS, places, lease_ms, silence, call)
        return [
            DueAttempt(
                row["merchant_id"], row["payment_id"], row["out_trade_no"], row["channel_account"]
            )
            for row in rows
        ]

    async def take_due_refunds(self, places: Places, lease_ms: int) -> Sequence[DueRefund]:
        """Lease due refunds."""
        rows = await self._taken(TAKE_REFUNDS, places, lease_ms)
        return [
            DueRefund(row["merchant_id"], row["payment_id"], row["id"], row["channel_account"])
            for row in rows
        ]

    async def hasten(self, merchant_id: str, payment_id: str, pace_ms: int) -> None:
        """The next visit is due now."""
        await self._fetch(HASTEN, merchant_id, payment_id, timedelta(milliseconds=pace_ms))

    async def _taken(
        self, sql: str, places: Places, lease_ms: int, *more: object
    ) -> Sequence[asyncpg.Record]:
        arguments = taking(places, lease_ms)
        return await self._fetch(sql, *arguments, *more)


def taking(places: Places, lease_ms: int) -> tuple[Any, ...]:
    """The first five arguments of both statements."""
    lease = timedelta(milliseconds=lease_ms)
    return lease, places.total, places.each, list(places.busy), list(places.busy.values())
