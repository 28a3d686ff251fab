"""PostgreSQL is there and cannot write, or cannot be read at the wrong moment: an absence, told as
one, never an accident.
"""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from gateway.domain.errors import OutcomePending, StoreUnavailable
from gateway.flow.ports import Applied, KeyTaken, Opened
from gateway.storage.postgres import PostgresStore
from tests.contract.drawn import YES, after, drawn_payment, opening_of
from tests.servers import DatabaseServer, owner_of

REFUSAL = """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'not now' USING ERRCODE = '{code}'; END $$;
CREATE TRIGGER refuse_claim BEFORE INSERT ON claim FOR EACH ROW EXECUTE FUNCTION refuse();
CREATE TRIGGER refuse_beat BEFORE INSERT ON worker FOR EACH ROW EXECUTE FUNCTION refuse();"""
CODES = {"disk_full": "53100", "out_of_memory": "53200", "io_error": "58030", "standby": "25006"}


@pytest.fixture
async def dsn(postgres: DatabaseServer) -> AsyncIterator[str]:
    fresh = await postgres.fresh_database()
    yield fresh
    await postgres.give_back(fresh)


@pytest.mark.parametrize("trouble", CODES)
async def test_a_server_that_cannot_write_is_unavailable(dsn: str, trouble: str):
    connection = await asyncpg.connect(owner_of(dsn))
    await connection.execute(REFUSAL.format(code=CODES[trouble]))
    store = await PostgresStore.connected(dsn)
    try:
        with pytest.raises(StoreUnavailable) as refused:
            await store.open(opening_of(drawn_payment()))
        assert refused.value.verdict == "try_again"  # rolled back: nothing was written
        with pytest.raises(StoreUnavailable):
            await store.beat("wrk_1")
        await connection.execute("DROP FUNCTION refuse CASCADE")
        assert await store.open(opening_of(drawn_payment())) == Opened()
    finally:
        await store.close()
        await connection.close()


class Unreadable(PostgresStore):
    """Its pool breaks exactly after the write."""

    async def _bound(self, beside: object, idempotency_key: str) -> KeyTaken | None:
        raise StoreUnavailable

    async def _written(self, change: object) -> Applied | None:
        raise StoreUnavailable


async def test_a_conflict_that_cannot_be_looked_at_is_no_safe_no(dsn: str):
    """The rival may be the same tap, or our own first sending: "nothing was sent" may be a lie."""
    store = await Unreadable.connected(dsn)
    try:
        payment = drawn_payment()
        assert await store.open(opening_of(payment)) == Opened()
        with pytest.raises(OutcomePending):
            await store.open(opening_of(payment))
        await store.apply(after(payment, YES))
        with pytest.raises(OutcomePending):
            await store.apply(after(payment, YES))
    finally:
        await store.close()
