"""Webhook endpoints, written and read: `gateway.webhooks.endpoints.EndpointBook` on PostgreSQL.

Secrets are sealed, and shown once. A rotation adds a secret and lets those before it sign for a day
longer; so a rotation whose answer was lost is simply done again, and no receiver that knows any of
the last few secrets misses a webhook.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import asyncpg
import msgspec

from gateway.domain.audit import Act, AskedBy
from gateway.domain.errors import WebhookEndpointsFull
from gateway.domain.web_address import WebAddress
from gateway.limits import (
    WEBHOOK_ANSWERS_SHOWN_MAX,
    WEBHOOK_ENDPOINTS_KEPT_MAX,
    WEBHOOK_ENDPOINTS_MAX,
    WEBHOOK_RESEND_MAX,
    WEBHOOK_SECRET_OVERLAP_H,
    WEBHOOK_SECRETS_LIVE_MAX,
)
from gateway.storage.registries.acts import Connection, RegistryError
from gateway.storage.registries.credentials import webhook_about
from gateway.storage.registries.sealing import SealingRegistry
from gateway.webhooks.endpoints import (
    Answered,
    DeliveryFilter,
    DeliveryRecord,
    Endpoint,
    Issued,
    WantedEndpoint,
)
from security.secret import Secret
from security.webhook_signature import new_secret

_SHOWN = """e.id, e.merchant_id, e.url, e.event_types, e.concurrency, e.enabled,
  e.disabled_reason, e.created_at,
  (SELECT max(s.ends_at) FROM webhook_secret s
   WHERE s.endpoint_id = e.id AND s.merchant_id = e.merchant_id AND s.ends_at > now()
  ) AS rotating_until"""
LIST = f"""SELECT {_SHOWN} FROM webhook_endpoint e
WHERE $1::text IS NULL OR e.merchant_id = $1 ORDER BY e.merchant_id, e.created_at, e.id"""
PAGE = f"""SELECT {_SHOWN} FROM webhook_endpoint e
WHERE e.merchant_id = $1 AND ($2::text IS NULL OR (e.created_at, e.id) > (
  SELECT l.created_at, l.id FROM webhook_endpoint l WHERE l.id = $2 AND l.merchant_id = $1
))
ORDER BY e.created_at, e.id LIMIT $3"""
ONE = f"SELECT {_SHOWN} FROM webhook_endpoint e WHERE e.merchant_id = $1 AND e.id = $2"
BY_KEY = (
    f"SELECT {_SHOWN} FROM webhook_endpoint e WHERE e.merchant_id = $1 AND e.idempotency_key = $2"
)
OWNER = "SELECT merchant_id FROM webhook_endpoint WHERE id = $1"

# Locked so that its endpoints are counted truly.
LOCK_MERCHANT = "SELECT id FROM merchant WHERE id = $1 FOR NO KEY UPDATE"
ENABLED = "SELECT count(*) FROM webhook_endpoint WHERE merchant_id = $1 AND enabled"
KEPT = "SELECT count(*) FROM webhook_endpoint WHERE merchant_id = $1"
NEW = """INSERT INTO webhook_endpoint
  (merchant_id, id, url, origin, event_types, concurrency, idempotency_key)
VALUES ($1, $2, $3, $4, $5, $6, $7)"""
ONE_LOCKED = f"{ONE} FOR NO KEY UPDATE OF e"
LOCK = "SELECT id FROM webhook_endpoint WHERE merchant_id = $1 AND id = $2 FOR NO KEY UPDATE"
LAST_NUMBER = (
    "SELECT coalesce(max(number), 0) FROM webhook_secret "
    "WHERE endpoint_id = $2 AND merchant_id = $1"
)
END_NEWEST = (
    "UPDATE webhook_secret SET ends_at = now() + $3::interval "
    "WHERE endpoint_id = $2 AND merchant_id = $1 AND ends_at IS NULL"
)
ADD_NEWEST = (
    "INSERT INTO webhook_secret (merchant_id, endpoint_id, number, sealed) VALUES ($1, $2, $3, $4)"
)
# What signs nothing any more, and what stands behind the newest few, which alone sign.
FORGET = """DELETE FROM webhook_secret WHERE endpoint_id = $2 AND merchant_id = $1
  AND (ends_at <= now() OR number <= $3)"""
ENABLE = (
    "UPDATE webhook_endpoint SET enabled = true, disabled_reason = NULL "
    "WHERE merchant_id = $1 AND id = $2 AND NOT enabled"
)

MOVE = "UPDATE webhook_endpoint SET url = $3, origin = $4 WHERE merchant_id = $1 AND id = $2"

# What is under way keeps its lease: its courier's answer counts.
DISABLE = """WITH off AS (
    UPDATE webhook_endpoint SET enabled = false, disabled_reason = $3
    WHERE merchant_id = $1 AND id = $2 AND enabled
    RETURNING id
)
UPDATE outbox o SET state = 'dead', leased_until = NULL FROM off
WHERE o.endpoint_id = off.id AND o.state = 'waiting'
  AND (o.leased_until IS NULL OR o.leased_until <= clock_timestamp())"""

DELIVERIES = f"""SELECT o.event_id, o.type, o.url, o.state, o.tries, o.created_at,
  CASE WHEN o.state = 'waiting' THEN o.due_at END AS due_at,
  (SELECT json_agg(a ORDER BY a.number DESC) FROM (
     SELECT d.try AS number, d.at, d.status, d.words, d.took_ms FROM delivery d
     WHERE d.event_id = o.event_id AND d.endpoint_id = o.endpoint_id
       AND d.merchant_id = o.merchant_id
     ORDER BY d.try DESC LIMIT {WEBHOOK_ANSWERS_SHOWN_MAX}) a) AS answers
FROM outbox o WHERE o.merchant_id = $1 AND o.endpoint_id = $2 AND o.tries >= 0
  AND ($3::text IS NULL OR o.event_id = $3) AND ($4::text IS NULL OR o.state = $4)
  AND ($5::text IS NULL OR (o.created_at, o.event_id) < (
    SELECT l.created_at, l.event_id FROM outbox l
    WHERE l.event_id = $5 AND l.endpoint_id = $2 AND l.merchant_id = $1
  ))
ORDER BY o.created_at DESC, o.event_id DESC LIMIT $6"""

# What is under way this very moment keeps its lease: its answer is the news that was asked for.
_AGAIN = """state = 'waiting', due_at = clock_timestamp(), first_due_at = clock_timestamp(),
  leased_until = CASE WHEN outbox.state = 'waiting' THEN outbox.leased_until END"""
RESEND = (
    f"UPDATE outbox SET {_AGAIN} "
    f"WHERE event_id = $3 AND endpoint_id = $2 AND merchant_id = $1 RETURNING event_id"
)
RESEND_DEAD = f"""UPDATE outbox SET {_AGAIN} FROM (
  SELECT d.event_id FROM outbox d
  WHERE d.endpoint_id = $2 AND d.merchant_id = $1 AND d.state = 'dead' AND d.created_at >= $3
  ORDER BY d.created_at LIMIT {WEBHOOK_RESEND_MAX} FOR UPDATE SKIP LOCKED
) dead
WHERE outbox.event_id = dead.event_id AND outbox.endpoint_id = $2 AND outbox.merchant_id = $1
RETURNING outbox.event_id"""

_answers = msgspec.json.Decoder(tuple[Answered, ...])


class WebhookRegistry(SealingRegistry):
    """See `EndpointBook`.

    `endpoints(None)` and `owner` are for the command line, which serves every merchant.
    """

    async def create(self, draft: WantedEndpoint) -> Issued:
        """A new endpoint, enabled, with its first secret; or the one this key had made."""
        async with self._acting(f"merchant {draft.merchant_id}") as connection:
            if await connection.fetchval(LOCK_MERCHANT, draft.merchant_id) is None:
                raise RegistryError(
                    f"there is no merchant {draft.merchant_id}: "
                    f"`tillgate merchant list` shows what there is"
                )
            known = (
                await connection.fetchrow(BY_KEY, draft.merchant_id, draft.idempotency_key)
                if draft.idempotency_key
                else None
            )
            if known is not None:
                return Issued(_endpoint(known), None)
            await self._refuse_one_too_many(connection, draft.merchant_id)
            if await connection.fetchval(KEPT, draft.merchant_id) >= WEBHOOK_ENDPOINTS_KEPT_MAX:
                raise WebhookEndpointsFull(
                    f"a merchant has at most {WEBHOOK_ENDPOINTS_KEPT_MAX} webhook endpoints, "
                    f"disabled ones too: enable one of those again"
                )
            chosen = self._ids.new("whe")
            types = list(draft.event_types) if draft.event_types else None
            await connection.execute(
                NEW,
                draft.merchant_id,
                chosen,
                draft.url,
                draft.origin,
                types,
                draft.concurrency,
                draft.idempotency_key,
            )
            issued = await self._issued(connection, draft.merchant_id, chosen)
            await self._record(
                connection,
                Act.WEBHOOK_CREATE,
                chosen,
                merchant_id=draft.merchant_id,
                after={
                    "url": draft.url,
                    "event_types": types,
                    "concurrency": draft.concurrency,
                },
                asked_by=draft.asked_by,
            )
            return issued

    async def endpoints(self, merchant_id: str | None) -> Sequence[Endpoint]:
        """A merchant's, or all; oldest first."""
        return [_endpoint(row) for row in await self._fetch(LIST, merchant_id)]

    async def page(
        self, merchant_id: str, starting_after: str | None, limit: int
    ) -> Sequence[Endpoint]:
        """Oldest first; at most `limit` + 1."""
        rows = await self._fetch(PAGE, merchant_id, starting_after, limit + 1)
        return [_endpoint(row) for row in rows]

    async def endpoint(self, merchant_id: str, endpoint_id: str) -> Endpoint | None:
        """One endpoint."""
        row = await self._row(ONE, merchant_id, endpoint_id)
        return _endpoint(row) if row else None

    async def owner(self, endpoint_id: str) -> str:
        """The merchant of an endpoint. Raises `RegistryError`."""
        row = await self._row(OWNER, endpoint_id)
        if row is None:
            raise RegistryError(
                f"there is no webhook endpoint {endpoint_id}: "
                f"`tillgate webhook list` shows what there is"
            )
        return str(row["merchant_id"])

    async def rotate(self, merchant_id: str, endpoint_id: str, asked_by: AskedBy) -> Issued | None:
        """One more secret."""
        async with self._acting(f"endpoint {endpoint_id}") as connection:
            if await connection.fetchval(LOCK, merchant_id, endpoint_id) is None:
                return None
            issued = await self._issued(connection, merchant_id, endpoint_id)
            await self._record(
                connection,
                Act.WEBHOOK_ROTATE,
                endpoint_id,
                merchant_id=merchant_id,
                asked_by=asked_by,
            )
            return issued

    async def disable(
        self, merchant_id: str, endpoint_id: str, reason: str, asked_by: AskedBy
    ) -> Endpoint | None:
        """And what waits becomes dead letters."""
        async with self._acting(f"endpoint {endpoint_id}") as connection:
            row = await connection.fetchrow(ONE_LOCKED, merchant_id, endpoint_id)
            if row is not None and row["enabled"]:
                await connection.execute(DISABLE, merchant_id, endpoint_id, reason)
                await self._record(
                    connection,
                    Act.WEBHOOK_DISABLE,
                    endpoint_id,
                    merchant_id=merchant_id,
                    after={"reason": reason},
                    asked_by=asked_by,
                )
        return await self.endpoint(merchant_id, endpoint_id)

    async def enable(
        self, merchant_id: str, endpoint_id: str, asked_by: AskedBy
    ) -> Endpoint | None:
        """Told again from now on."""
        async with self._acting(f"endpoint {endpoint_id}") as connection:
            await connection.fetchval(LOCK_MERCHANT, merchant_id)
            row = await connection.fetchrow(ONE, merchant_id, endpoint_id)
            if row is not None and not row["enabled"]:
                await self._refuse_one_too_many(connection, merchant_id)
                await connection.execute(ENABLE, merchant_id, endpoint_id)
                await self._record(
                    connection,
                    Act.WEBHOOK_ENABLE,
                    endpoint_id,
                    merchant_id=merchant_id,
                    before={"reason": row["disabled_reason"]},
                    asked_by=asked_by,
                )
                row = await connection.fetchrow(ONE, merchant_id, endpoint_id)
            return _endpoint(row) if row else None

    async def move(self, merchant_id: str, endpoint_id: str, address: WebAddress) -> bool:
        """To another address, with its secrets; False when there is no such endpoint.

        For `tillgate dev`, whose ports change.
        """
        async with self._acting(f"endpoint {endpoint_id}") as connection:
            row = await connection.fetchrow(ONE_LOCKED, merchant_id, endpoint_id)
            if row is None:
                return False
            if row["url"] != address.url:
                await connection.execute(
                    MOVE, merchant_id, endpoint_id, address.url, address.origin
                )
                await self._record(
                    connection,
                    Act.WEBHOOK_MOVE,
                    endpoint_id,
                    merchant_id=merchant_id,
                    before={"url": row["url"]},
                    after={"url": address.url},
                )
        return True

    async def deliveries(
        self, merchant_id: str, endpoint_id: str, wanted: DeliveryFilter
    ) -> Sequence[DeliveryRecord]:
        """Newest first."""
        asked = (wanted.event_id, wanted.state, wanted.starting_after, wanted.limit + 1)
        return [
            _delivery(row)
            for row in await self._fetch(DELIVERIES, merchant_id, endpoint_id, *asked)
        ]

    async def resend(self, merchant_id: str, endpoint_id: str, event_id: str) -> bool:
        """Due now."""
        return await self._row(RESEND, merchant_id, endpoint_id, event_id) is not None

    async def resend_dead(self, merchant_id: str, endpoint_id: str, since: datetime) -> int:
        """Due now, oldest first."""
        return len(await self._fetch(RESEND_DEAD, merchant_id, endpoint_id, since))

    async def _refuse_one_too_many(self, connection: Connection, merchant_id: str) -> None:
        if await connection.fetchval(ENABLED, merchant_id) >= WEBHOOK_ENDPOINTS_MAX:
            raise WebhookEndpointsFull(
                f"a merchant has at most {WEBHOOK_ENDPOINTS_MAX} enabled webhook endpoints: "
                f"disable one"
            )

    async def _issued(self, connection: Connection, merchant_id: str, endpoint_id: str) -> Issued:
        """A new secret on top of those there are."""
        number = 1 + await connection.fetchval(LAST_NUMBER, merchant_id, endpoint_id)
        secret: Secret = new_secret()
        about = webhook_about(endpoint_id, number, merchant_id=merchant_id)
        sealed = await self._sealed(connection, secret.reveal().encode(), about)
        await connection.execute(
            END_NEWEST, merchant_id, endpoint_id, timedelta(hours=WEBHOOK_SECRET_OVERLAP_H)
        )
        await connection.execute(ADD_NEWEST, merchant_id, endpoint_id, number, sealed)
        await connection.execute(
            FORGET, merchant_id, endpoint_id, number - WEBHOOK_SECRETS_LIVE_MAX
        )
        row = await connection.fetchrow(ONE, merchant_id, endpoint_id)
        assert row is not None
        return Issued(_endpoint(row), secret)


def _endpoint(row: asyncpg.Record) -> Endpoint:
    types = row["event_types"]
    return Endpoint(**dict(row) | {"event_types": tuple(types) if types else None})


def _delivery(row: asyncpg.Record) -> DeliveryRecord:
    return DeliveryRecord(
        **dict(row) | {"answers": _answers.decode(row["answers"]) if row["answers"] else ()}
    )
