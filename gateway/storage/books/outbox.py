"""The webhooks' outbox on PostgreSQL: leases and waits are counted by the database's clock.

An answer counts only under the number of its try, and only while nobody else has taken, answered or
resent the delivery. It goes into the log in any case, in the same statement.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import asyncpg
import structlog

from gateway.domain.audit import Act
from gateway.limits import WEBHOOK_SECRETS_LIVE_MAX, WEBHOOKS_PER_MERCHANT_MAX
from gateway.storage.reader import Reader
from gateway.storage.registries.credentials import webhook_about
from gateway.webhooks.endpoints import GONE
from gateway.webhooks.outbox import Delivery, TryResult
from security.errors import SecurityError
from security.secret import Secret
from security.vault import Vault

log = structlog.get_logger("tillgate.webhooks")

TAKE = "SELECT * FROM take_outbox($1, $2, $3, $4)"

_LOGGED = """logged AS (
    INSERT INTO delivery (merchant_id, endpoint_id, event_id, try, at, status, words, took_ms)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    ON CONFLICT DO NOTHING
)"""
_MINE = (
    "event_id = $3 AND endpoint_id = $2 AND merchant_id = $1 AND tries = $4 "
    "AND leased_until IS NOT NULL"
)

DELIVERED = (
    f"WITH {_LOGGED} UPDATE outbox SET state = 'delivered', leased_until = NULL "
    f"WHERE {_MINE} RETURNING event_id"
)
POSTPONED = f"""WITH {_LOGGED}
UPDATE outbox SET due_at = clock_timestamp() + $9::interval, leased_until = NULL
WHERE {_MINE} RETURNING event_id"""
GIVEN_UP = (
    f"WITH {_LOGGED} UPDATE outbox SET state = 'dead', leased_until = NULL "
    f"WHERE {_MINE} RETURNING event_id"
)

# A payment's own address that is gone says nothing about the endpoint's. What others are delivering
# keeps its lease.
DISABLED = f"""WITH {_LOGGED},
mine AS (
    UPDATE outbox SET state = 'dead', leased_until = NULL WHERE {_MINE}
    RETURNING event_id, endpoint_id, merchant_id, url
),
gone AS (
    UPDATE webhook_endpoint e SET enabled = false, disabled_reason = '{GONE}' FROM mine m
    WHERE e.merchant_id = m.merchant_id AND e.id = m.endpoint_id AND e.enabled AND m.url IS NULL
    RETURNING e.id, e.merchant_id
),
recorded AS (
    INSERT INTO audit (merchant_id, asked_as, asked_by, act, object, after)
    SELECT g.merchant_id, 'gateway', 'courier', '{Act.WEBHOOK_DISABLE}', g.id,
           json_build_object('reason', '{GONE}')
    FROM gone g
),
others AS (
    UPDATE outbox o SET state = 'dead', leased_until = NULL FROM gone g
    WHERE o.endpoint_id = g.id AND o.state = 'waiting' AND o.event_id <> $3
      AND (o.leased_until IS NULL OR o.leased_until <= clock_timestamp())
)
SELECT event_id FROM mine"""


class PostgresOutbox(Reader):
    """See the port."""

    def __init__(self, pool: asyncpg.Pool[Any], vault: Vault) -> None:
        super().__init__(pool)
        self._vault = vault

    async def take(
        self,
        limit: int,
        lease_ms: int,
        per_endpoint: int,
        per_merchant: int = WEBHOOKS_PER_MERCHANT_MAX,
    ) -> Sequence[Delivery]:
        """Lease what is due.

        What cannot be signed (its master key is gone) is left out and comes again when the lease
        has run out.
        """
        lease = timedelta(milliseconds=lease_ms)
        rows = await self._fetch(TAKE, limit, lease, per_endpoint, per_merchant)
        return [delivery for row in rows if (delivery := self._readable(row)) is not None]

    async def delivered(self, delivery: Delivery, heard: TryResult) -> bool:
        """A 2xx."""
        return await self._note(DELIVERED, delivery, heard)

    async def postponed(self, delivery: Delivery, heard: TryResult, wait_ms: int) -> bool:
        """Due again in `wait_ms`."""
        return await self._note(POSTPONED, delivery, heard, timedelta(milliseconds=wait_ms))

    async def given_up(self, delivery: Delivery, heard: TryResult) -> bool:
        """Dead letter."""
        return await self._note(GIVEN_UP, delivery, heard)

    async def disabled(self, delivery: Delivery, heard: TryResult) -> bool:
        """410."""
        return await self._note(DISABLED, delivery, heard)

    async def _note(self, sql: str, delivery: Delivery, heard: TryResult, *more: object) -> bool:
        d = delivery
        said = (heard.at, heard.status, heard.words, heard.took_ms)
        return (
            await self._row(sql, d.merchant_id, d.endpoint_id, d.event_id, d.tries, *said, *more)
            is not None
        )

    def _readable(self, row: asyncpg.Record) -> Delivery | None:
        try:
            secrets = self._opened(row)
        except SecurityError as error:
            log.critical("webhook_secret_unreadable", endpoint=row["endpoint_id"], error=str(error))
            return None
        return Delivery(
            merchant_id=row["merchant_id"],
            endpoint_id=row["endpoint_id"],
            event_id=row["event_id"],
            type=row["type"],
            created_at=row["created_at"],
            url=row["url"],
            secrets=secrets,
            data=row["data"].encode(),
            tries=row["tries"],
            first_due_at=row["first_due_at"],
        )

    def _opened(self, row: asyncpg.Record) -> tuple[Secret, ...]:
        newest = list(zip(row["numbers"], row["sealed"], strict=True))[:WEBHOOK_SECRETS_LIVE_MAX]
        endpoint, merchant = row["endpoint_id"], row["merchant_id"]
        return tuple(
            Secret(
                self._vault.open(
                    sealed, about=webhook_about(endpoint, number, merchant_id=merchant)
                ).decode()
            )
            for number, sealed in newest
        )
