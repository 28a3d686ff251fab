"""A caller leaves in the middle of a transaction: the connection it held must not carry that
transaction to the next borrower.

The reply to one statement is held, the caller is cancelled exactly there, and then the pool is
asked for the same connection again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from gateway.domain.payment import Payment
from gateway.flow.ports import Opened
from gateway.storage.connections import read_pool, transaction_pool
from gateway.storage.postgres import PostgresStore
from tests.contract.drawn import drawn_payment, opening_of
from tests.fault_proxy import FaultProxy, fault_proxy

FIRST, SECOND = (
    "INSERT INTO merchant (id, name) VALUES ('one', '')",
    "INSERT INTO merchant (id, name) VALUES ('two', '')",
)
Opening = Callable[[str], Awaitable["asyncpg.Pool[Any]"]]
BEGUN = "SELECT now()"  # when the transaction began


@pytest.fixture
async def proxied(database: str) -> AsyncIterator[FaultProxy]:
    async with fault_proxy(database) as proxy:
        yield proxy


async def two_merchants(pool: asyncpg.Pool[Any]) -> None:
    """What a registry does: some statements in one transaction."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(FIRST)
        await connection.execute(SECOND)


@pytest.mark.parametrize("moment", ["BEGIN", FIRST, SECOND, "COMMIT"])
@pytest.mark.parametrize("opened", [read_pool, transaction_pool])
async def test_fault_10_the_next_borrower_of_a_cancelled_connection_is_clean(
    proxied: FaultProxy, opened: Opening, moment: str
):
    pool = await opened(proxied.dsn)
    try:
        trap = proxied.hold_reply(moment)
        caller = asyncio.create_task(two_merchants(pool))
        await trap.sprung.wait()
        caller.cancel()
        trap.release.set()
        with contextlib.suppress(asyncio.CancelledError):
            await caller
        async with pool.acquire() as connection:
            assert await connection.fetchval(BEGUN) != await connection.fetchval(BEGUN), (
                "each statement is its own transaction"
            )
            names = [
                row["id"] for row in await connection.fetch("SELECT id FROM merchant ORDER BY id")
            ]
            assert names in ([], ["one", "two"]), "all or nothing"
            await connection.execute("INSERT INTO merchant (id, name) VALUES ('next', '')")
        assert await seen_by_another(proxied) == sorted([*names, "next"]), (
            "the next one's write is its own"
        )
    finally:
        await pool.close()


async def seen_by_another(proxied: FaultProxy) -> list[str]:
    connection = await asyncpg.connect(proxied.dsn)
    try:
        return [row["id"] for row in await connection.fetch("SELECT id FROM merchant ORDER BY id")]
    finally:
        await connection.close()


async def test_fault_10_a_caller_that_leaves_a_flush_harms_no_neighbour(proxied: FaultProxy):
    """Writers own their connections: a cancelled caller cancels its wait and nothing else."""
    store = await PostgresStore.connected(proxied.dsn)
    try:
        trap = proxied.hold_reply("INSERT INTO claim")
        leaving, staying = drawn_payment("A1"), drawn_payment("A2")
        left = asyncio.create_task(store.open(opening_of(leaving)))
        await trap.sprung.wait()
        stayed = asyncio.create_task(store.open(opening_of(staying)))
        left.cancel()
        trap.release.set()
        assert await stayed == Opened()
        assert await standing(store, leaving) == leaving.id, (
            "it was with the server already: it stands, and the key shows it"
        )
        assert await store.open(opening_of(drawn_payment("A3"))) == Opened()
    finally:
        await store.close()


async def standing(store: PostgresStore, payment: Payment) -> str | None:
    found = await store.payment(payment.merchant_id, payment.id)
    return found.id if found is not None else None
