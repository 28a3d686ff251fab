"""What a book of used signatures promises, in memory and in PostgreSQL: one of many equal requests
is the first, and the others hear what it heard.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator

import asyncpg
import pytest

from gateway.http.exchange import SignatureBook
from gateway.storage.connections import read_pool
from gateway.storage.registries.signatures import PostgresSignatures
from tests.fakes.books import FakeSignatureBook
from tests.servers import DatabaseServer

OWNER = ("mer_1", "key_1")

_sigs = itertools.count(1)


@pytest.fixture(params=["memory", "postgres"])
async def signatures(request: pytest.FixtureRequest) -> AsyncIterator[SignatureBook]:
    if request.param == "memory":
        yield FakeSignatureBook()
        return
    server: DatabaseServer = request.getfixturevalue("postgres")
    dsn = await server.fresh_database()
    pool = await read_pool(dsn)
    yield PostgresSignatures(pool)
    await pool.close()
    await server.give_back(dsn)


def sig() -> str:
    return f"{next(_sigs):043}="


async def test_a_signature_is_new_once(signatures: SignatureBook):
    one = sig()
    assert await signatures.take(OWNER, one)
    assert not await signatures.take(OWNER, one)
    assert await signatures.answer(OWNER, one) is None, "it has not answered yet"
    await signatures.keep(OWNER, one, 200, b'{"secret":null}')
    assert not await signatures.take(OWNER, one)
    assert await signatures.answer(OWNER, one) == (200, b'{"secret":null}')


async def test_one_of_many_at_once_is_the_first(signatures: SignatureBook):
    one = sig()
    taken = await asyncio.gather(*(signatures.take(OWNER, one) for _ in range(20)))
    assert sorted(taken) == [False] * 19 + [True]


async def test_what_did_nothing_may_come_again(signatures: SignatureBook):
    one = sig()
    assert await signatures.take(OWNER, one)
    await signatures.forget(OWNER, one)
    assert await signatures.answer(OWNER, one) is None
    assert await signatures.take(OWNER, one)


async def test_owners_do_not_share(signatures: SignatureBook):
    one = sig()
    assert await signatures.take(OWNER, one)
    assert await signatures.take(("mer_1", "key_2"), one)
    assert await signatures.take(("mer_2", "key_1"), one)
    await signatures.keep(("mer_2", "key_1"), one, 200, b"theirs")
    assert await signatures.answer(OWNER, one) is None


async def test_old_ones_go_when_a_new_one_comes(database: str):
    pool = await read_pool(database)
    connection = await asyncpg.connect(database)
    try:
        at_once, kept = PostgresSignatures(pool, kept_s=-1), PostgresSignatures(pool)
        assert await kept.take(OWNER, sig())
        assert await kept.take(OWNER, sig())
        assert await connection.fetchval("SELECT count(*) FROM signature_used") == 2
        assert await at_once.take(OWNER, sig())
        assert await connection.fetchval("SELECT count(*) FROM signature_used") == 1
    finally:
        await connection.close()
        await pool.close()


async def test_the_signature_itself_is_nowhere(database: str):
    pool = await read_pool(database)
    connection = await asyncpg.connect(database)
    try:
        one = sig()
        await PostgresSignatures(pool).take(OWNER, one)
        row = await connection.fetchval("SELECT signature_used::text FROM signature_used")
        assert one not in row
        assert one.encode().hex() not in row
    finally:
        await connection.close()
        await pool.close()
