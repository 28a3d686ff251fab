"""Migration 0009: rows that were made before it, and rows that an older worker goes on making
beside it, have the facts that decisions need.

`statements_without_facts` holds the statements of the release before, word for word.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from msgspec.structs import replace

from gateway.domain import acts
from gateway.domain import outcomes as o
from gateway.domain.change import Change
from gateway.domain.learning import learned
from gateway.domain.payment import Payment
from gateway.domain.returning import refund_learned
from gateway.storage.books.case_list import CaseList
from gateway.storage.books.rows import apply_arguments, open_arguments
from gateway.storage.postgres import PostgresStore
from gateway.storage.schema.migrate import MIGRATIONS, migrate
from tests.contract.drawn import (
    BEFORE,
    MERCHANT,
    YES,
    after,
    asked_for,
    drawn_payment,
    later,
    occasion,
    opening_of,
    paid_payment,
    refund_change,
    watched,
)
from tests.contract.test_store_failover import moved_on

OLDER = {
    path.stem: path.read_text(encoding="utf-8")
    for path in (Path(__file__).parent / "statements_without_facts").glob("*.sql")
}
ASKED = o.PayerActionNeeded(channel_code="USERPAYING")
MISMATCH = o.Mismatch(field="amount", expected="1000", got="1")


class OldBooks:
    """What an older worker writes, as its statements wrote it."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def opened(self, payment: Payment) -> Payment:
        told = json.dumps({"store_id": payment.store_id}).encode()
        arguments = open_arguments([opening_of(payment, fingerprint=told)])
        assert await self._connection.fetch(OLDER["open"], *arguments)
        return payment

    async def applied(self, change: Change) -> Change:
        [row] = await self._connection.fetch(OLDER["apply"], *apply_arguments([change]))
        assert row["moved"]
        return change

    async def waiting_for_the_payer(self) -> Payment:
        payment = await self.opened(drawn_payment("A1", **BEFORE))
        return (await self.applied(after(payment, ASKED, "pay", later(1)))).payment

    async def no_longer_waiting(self) -> Payment:
        payment = await self.opened(drawn_payment("A2", **BEFORE))
        asked = await self.applied(after(payment, ASKED, "pay", later(1)))
        silent = after(asked.payment, o.Unknown(reason="timeout"), "query", later(2))
        return (await self.applied(silent)).payment

    async def with_a_surplus(self) -> Payment:
        payment = await self.opened(drawn_payment("A3", **BEFORE))
        moved = await self.applied(watched(moved_on(payment)))
        surplus = learned(
            moved.payment, moved.payment.attempts[0], YES, occasion("query", later(3))
        )
        assert surplus is not None
        return (await self.applied(watched(surplus))).payment

    async def with_a_refund_in_doubt(self) -> tuple[Payment, str]:
        payment = await self.opened(paid_payment("A4", **BEFORE))
        asked = await self.applied(refund_change(payment, "r1", 400))
        silence = refund_learned(
            asked.payment, asked_for(asked), o.Unknown(reason="timeout"), occasion("refund")
        )
        assert silence is not None
        assert silence.refund is not None
        silence = replace(silence, refund=replace(silence.refund, due_at=later(9)))
        await self.applied(silence)
        return silence.payment, asked_for(asked).id

    async def frozen_by_its_first_attempt(self) -> tuple[Payment, str]:
        payment = await self.opened(drawn_payment("A5", **BEFORE))
        moved = await self.applied(watched(moved_on(payment)))
        frozen = learned(
            moved.payment, moved.payment.attempts[0], MISMATCH, occasion("callback", later(5))
        )
        assert frozen is not None
        assert frozen.case is not None
        await self.applied(watched(frozen))
        return watched(frozen).payment, frozen.case.id


async def rows_of_all_kinds(books: OldBooks) -> tuple[list[Payment], str, str]:
    """(payments, the refund, the case)."""
    refunded, refund_id = await books.with_a_refund_in_doubt()
    frozen, case_id = await books.frozen_by_its_first_attempt()
    return (
        [
            await books.waiting_for_the_payer(),
            await books.no_longer_waiting(),
            await books.with_a_surplus(),
            refunded,
            frozen,
        ],
        refund_id,
        case_id,
    )


@pytest.fixture
async def connection(empty_database: str, tmp_path: Path) -> AsyncIterator[Any]:
    """A database as it was before the facts had columns."""
    for path in MIGRATIONS.glob("000[1-8]_*.sql"):
        shutil.copy(path, tmp_path)
    await migrate(empty_database, tmp_path)
    opened = await asyncpg.connect(empty_database)
    yield opened
    await opened.close()


async def test_rows_from_before_have_their_facts(connection: Any, empty_database: str) -> None:
    payments, refund_id, case_id = await rows_of_all_kinds(OldBooks(connection))
    await migrate(empty_database)
    store = await PostgresStore.connected(empty_database)
    try:
        for payment in payments:
            # `no_longer_waiting` was asked, and the last word was another: nothing stands.
            assert await store.payment(MERCHANT, payment.id) == payment
        refund = await store.refund(MERCHANT, refund_id)
        assert refund is not None
        assert refund.heard == 1
        case = await CaseList(store.pool).case(case_id)
        assert case is not None
        assert case.attempt_id == payments[-1].frozen_by == payments[-1].attempts[0].id
    finally:
        await store.close()


async def test_an_older_worker_beside_the_new_schema_leaves_facts(
    connection: Any, empty_database: str
) -> None:
    await migrate(empty_database)
    payments, refund_id, case_id = await rows_of_all_kinds(OldBooks(connection))
    waiting, was_waiting, surplus, refunded, frozen = payments
    store = await PostgresStore.connected(empty_database)
    try:
        for payment in (waiting, surplus, refunded):
            assert await store.payment(MERCHANT, payment.id) == payment
        stays = await store.payment(MERCHANT, was_waiting.id)
        assert stays is not None
        assert stays.current.payer_asked_at == later(1), "as the migration says of an older worker"
        refund = await store.refund(MERCHANT, refund_id)
        assert refund is not None
        assert refund.heard == 1
        case = await CaseList(store.pool).case(case_id)
        assert case is not None
        assert case.attempt_id == frozen.attempts[0].id, "found by the moment of its evidence"
    finally:
        await store.close()


async def test_what_a_new_worker_wrote_outlives_an_older_ones_word(
    connection: Any, empty_database: str
) -> None:
    await migrate(empty_database)
    books = OldBooks(connection)
    store = await PostgresStore.connected(empty_database)
    try:
        payment = await books.opened(drawn_payment("B1", **BEFORE))
        moved = watched(moved_on(payment))
        await store.apply(moved)
        frozen = learned(
            moved.payment, moved.payment.attempts[0], MISMATCH, occasion("callback", later(5))
        )
        assert frozen is not None
        frozen = watched(frozen)
        await store.apply(frozen)
        assert await store.payment(MERCHANT, payment.id) == frozen.payment
        thawed = await books.applied(acts.thawed(frozen.payment, occasion("case", later(6))))
        now = await store.payment(MERCHANT, payment.id)
        assert now == thawed.payment
        assert now is not None
        assert (now.frozen_at, now.frozen_by) == (None, None)
    finally:
        await store.close()
