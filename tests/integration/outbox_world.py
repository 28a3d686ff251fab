"""A database with one merchant's webhook endpoints and payments that are driven
by hand, change by change.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from gateway.clock import SystemIds
from gateway.domain.change import Change
from gateway.flow.ports import Applied, Opened
from gateway.storage.books.outbox import PostgresOutbox
from gateway.storage.postgres import PostgresStore
from gateway.storage.registries.webhooks import WebhookRegistry
from gateway.webhooks.endpoints import WebhookEndpoints
from gateway.webhooks.outbox import Delivery, TryResult
from security.keyring import MasterKeys
from security.secret import Secret
from security.vault import Vault
from tests.contract.drawn import MERCHANT, NOW, opening_of, paid_payment
from tests.world import TESTER

KEYS = MasterKeys({1: bytes(range(32))})
OTHER_MERCHANT = "m2"


@dataclass(frozen=True, slots=True)
class OutboxWorld:
    """Everything of one database."""

    dsn: str
    store: PostgresStore
    outbox: PostgresOutbox
    registry: WebhookRegistry
    desk: WebhookEndpoints

    async def endpoint(
        self,
        url: str = "https://shop.example/hook",
        *types: str,
        merchant: str = MERCHANT,
        concurrency: int = 4,
    ) -> str:
        return (await self.issued(url, *types, merchant=merchant, concurrency=concurrency))[0]

    async def issued(
        self,
        url: str = "https://shop.example/hook",
        *types: str,
        merchant: str = MERCHANT,
        concurrency: int = 4,
    ) -> tuple[str, Secret]:
        made = await self.desk.create(merchant, url, types, concurrency, None, asked_by=TESTER)
        assert made.secret is not None
        return made.endpoint.id, made.secret

    async def paid(self, order_no: str, **fields: Any) -> str:
        """A payment settled in its one write; the id of its event."""
        opening = opening_of(paid_payment(order_no, **fields))
        assert isinstance(await self.store.open(opening), Opened)
        return opening.events[0].id

    async def applied(self, change: Change) -> Change:
        assert isinstance(await self.store.apply(change), Applied)
        return change

    async def rows(self, sql: str, *arguments: object) -> list[Any]:
        return await self.store._fetch(sql, *arguments)

    async def queued(self, endpoint_id: str) -> list[str]:
        """Types, in the order of the log."""
        found = await self.rows(
            "SELECT o.type FROM outbox o JOIN event e ON e.id = o.event_id "
            "WHERE o.endpoint_id = $1 ORDER BY e.xid, e.seq",
            endpoint_id,
        )
        return [row["type"] for row in found]

    async def state(self, delivery: Delivery) -> str:
        found = await self.rows(
            "SELECT state FROM outbox WHERE event_id = $1 AND endpoint_id = $2",
            delivery.event_id,
            delivery.endpoint_id,
        )
        return str(found[0]["state"])


LOGGED_TRY = (NOW, 200, "ok", 7)  # when, status, words, took_ms


def heard(status: int | None = 200, words: str = "ok") -> TryResult:
    return TryResult(at=NOW, status=status, words=words, took_ms=7)


@asynccontextmanager
async def outbox_world(dsn: str) -> AsyncIterator[OutboxWorld]:
    store, vault = await PostgresStore.connected(dsn), Vault(KEYS)
    for merchant in (MERCHANT, OTHER_MERCHANT):
        await store._fetch("INSERT INTO merchant (id, name) VALUES ($1, $1)", merchant)
    registry = WebhookRegistry(store.pool, vault=vault, ids=SystemIds(), asked_by=TESTER)
    try:
        yield OutboxWorld(
            dsn,
            store,
            PostgresOutbox(store.pool, vault),
            registry,
            WebhookEndpoints(registry, allow_loopback=False),
        )
    finally:
        await store.close()
