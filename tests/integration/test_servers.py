"""A database that a test gave back is as good as new, or gone."""

from typing import Any

import asyncpg
import pytest

from gateway.flow.ports import Opened
from gateway.storage.postgres import PostgresStore
from tests.contract.drawn import opening_of, paid_payment
from tests.servers import DatabaseServer, superuser_of

COUNTERS = "SELECT sequencename FROM pg_sequences WHERE last_value IS NOT NULL"
CHANGES = [
    "CREATE TABLE another (id int)",
    "ALTER TABLE payment ADD COLUMN another int",
    "ALTER TABLE payment DROP CONSTRAINT payment_amount_check",
    "ALTER TABLE attempt DISABLE TRIGGER follows",
    "ALTER TABLE event ENABLE TRIGGER append_only",
    "CREATE FUNCTION another() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE INDEX another ON payment (amount)",
    "GRANT SELECT ON payment TO PUBLIC",
    "ALTER DATABASE {name} SET work_mem = '1MB'",
]


async def looked_up(dsn: str, sql: str) -> list[Any]:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetch(sql)
    finally:
        await connection.close()


async def databases(postgres: DatabaseServer) -> set[str]:
    return {row["datname"] for row in await looked_up(postgres.dsn, "TABLE pg_database")}


async def test_what_was_given_back_has_no_row_and_counts_from_one(postgres: DatabaseServer):
    dsn = await postgres.fresh_database()
    store = await PostgresStore.connected(dsn)
    assert await store.open(opening_of(paid_payment())) == Opened()
    await store.close()
    assert await looked_up(superuser_of(dsn), COUNTERS) != []
    before = await databases(postgres)
    await postgres.give_back(dsn)
    again = await postgres.fresh_database()
    assert len(await databases(postgres)) == len(before), "the same database, used again"
    for table in ("claim", "payment", "attempt", "event", "worker"):
        assert await looked_up(again, f"TABLE {table}") == []
    assert await looked_up(superuser_of(again), COUNTERS) == []
    await postgres.give_back(again)


@pytest.mark.parametrize("change", CHANGES)
async def test_a_changed_schema_is_not_used_again(postgres: DatabaseServer, change: str):
    before = await databases(postgres)
    dsn = await postgres.fresh_database()
    name = dsn.split("/")[3].split("?")[0]
    await looked_up(superuser_of(dsn), change.format(name=name))
    await postgres.give_back(dsn)
    assert name not in await databases(postgres)
    assert len(await databases(postgres)) <= len(before)


async def test_who_stayed_connected_cannot_come_again(postgres: DatabaseServer):
    dsn = await postgres.fresh_database()
    straggler = await asyncpg.connect(dsn)
    await postgres.give_back(dsn)
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
        await straggler.fetch("SELECT 1")
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await asyncpg.connect(dsn)
