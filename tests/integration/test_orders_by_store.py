"""Migrations 0030 to 0032: an order number was the merchant's and becomes the store's. Rows that
were made before, and rows that a worker of the release before goes on making beside the new schema.

`statements_by_merchant` holds the statements of that release, word for word.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from gateway.domain import order as o
from gateway.domain.change import Change
from gateway.domain.learning import learned
from gateway.domain.payment import Payment
from gateway.domain.words import Numbering
from gateway.flow.ports import KeyTaken, NumberTaken, Opened, OrderSplit, TenderTaken
from gateway.storage.books.rows import apply_arguments, open_arguments
from gateway.storage.postgres import PostgresStore
from gateway.storage.schema.migrate import MIGRATIONS, migrate
from tests.contract.drawn import (
    BEFORE,
    MERCHANT,
    NO,
    NOW,
    SILENT,
    STORE,
    YES,
    after,
    drawn_payment,
    later,
    occasion,
    opening_of,
    paid_payment,
    watched,
)

OLDER = {
    path.stem: path.read_text(encoding="utf-8")
    for path in (Path(__file__).parent / "statements_by_merchant").glob("*.sql")
}
OTHER = "s2"
BY_MERCHANT, BY_STORE = Numbering.BY_MERCHANT, Numbering.BY_STORE


def fingerprint(payment: Payment) -> bytes:
    return json.dumps({"store_id": payment.store_id}).encode()


def claimed(payment: Payment, key: str | None = None) -> Any:
    return opening_of(payment, key, fingerprint(payment))


def by_merchant(order_no: str, n: int = 1, **fields: Any) -> Payment:
    return drawn_payment(order_no, n, **BEFORE, **fields)


class OlderWorker:
    """Writes and reads as its statements did."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def open(self, payment: Payment, key: str | None = None) -> bool:
        """Whether it won its claim."""
        arguments = open_arguments([claimed(payment, key)])
        return bool(await self._connection.fetch(OLDER["open"], *arguments))

    async def opened(self, payment: Payment, key: str | None = None) -> Payment:
        assert await self.open(payment, key)
        return payment

    async def split(self, payment: Payment, amount: int | None) -> bool:
        """Opens it under the order's lock."""
        p = payment
        async with self._connection.transaction():
            await self._connection.execute(OLDER["lock"], p.merchant_id, p.order_no)
            await self._connection.execute(
                OLDER["split"], p.merchant_id, p.order_no, amount, p.created_at
            )
            arguments = open_arguments([claimed(p)])
            return bool(await self._connection.fetch(OLDER["open_in_order"], *arguments))

    async def apply(self, change: Change) -> Payment:
        [row] = await self._connection.fetch(OLDER["apply"], *apply_arguments([change]))
        assert row["moved"]
        return change.payment

    async def found_by_key(self, key: str) -> list[str]:
        rows = await self._connection.fetch(OLDER["by_key"], MERCHANT, key)
        return [row["id"] for row in rows]

    async def holder(self, order_no: str) -> list[str]:
        rows = await self._connection.fetch(OLDER["holder"], MERCHANT, order_no, 1)
        return [row["id"] for row in rows]


@pytest.fixture
async def connection(empty_database: str, tmp_path: Path) -> AsyncIterator[Any]:
    """A database as it was before."""
    for path in MIGRATIONS.glob("00[0-2]*_*.sql"):
        shutil.copy(path, tmp_path)
    await migrate(empty_database, tmp_path)
    opened = await asyncpg.connect(empty_database)
    yield opened
    await opened.close()


@pytest.fixture
async def store(connection: Any, empty_database: str) -> AsyncIterator[PostgresStore]:
    """The new release, on the schema that a test brings up to date."""
    store = await PostgresStore.connected(empty_database)
    yield store
    await store.close()


def late_yes(payment: Payment) -> Change:
    change = learned(payment, payment.attempts[0], YES, occasion("query", later(9)))
    assert change is not None
    return watched(change)


async def rows_in_every_state(older: OlderWorker) -> dict[str, Payment]:
    sent = await older.opened(by_merchant("sent"))
    doubtful = await older.opened(by_merchant("doubt"))
    doubtful = await older.apply(after(doubtful, SILENT))
    failed = await older.opened(by_merchant("failed"))
    failed = await older.apply(after(failed, NO))
    late = await older.opened(by_merchant("late"))
    late = await older.apply(after(late, NO))
    late = await older.apply(late_yes(late))
    paid = await older.opened(paid_payment("paid", **BEFORE))
    return {"sent": sent, "doubt": doubtful, "failed": failed, "late": late, "paid": paid}


async def test_rows_from_before_keep_their_numbers_and_hold_in_their_store(
    connection: Any, store: PostgresStore, empty_database: str
) -> None:
    made = await rows_in_every_state(OlderWorker(connection))
    await migrate(empty_database)
    for order_no, payment in made.items():
        bound = await store.payment_by_key(MERCHANT, STORE, f"k-{payment.id}")
        assert bound == KeyTaken(payment, fingerprint(payment))
        assert bound.payment.numbering == BY_MERCHANT
        assert await store.payment_by_key(MERCHANT, OTHER, f"k-{payment.id}") is None
        again = await store.open(claimed(drawn_payment(order_no)))
        holds = order_no in ("sent", "doubt", "paid")
        assert again == (TenderTaken(payment) if holds else NumberTaken(1)), order_no
        elsewhere = drawn_payment(order_no, store_id=OTHER)
        assert await store.open(claimed(elsewhere, f"k-{payment.id}")) == Opened()
        assert await store.payment(MERCHANT, elsewhere.id) == elsewhere
    assert await store.open(claimed(drawn_payment("failed", 2))) == Opened()


async def test_orders_split_before_are_split_in_their_stores(
    connection: Any, store: PostgresStore, empty_database: str
) -> None:
    older = OlderWorker(connection)
    assert await older.split(by_merchant("A1", tender_no=2), 5000)
    assert await older.split(by_merchant("A1", tender_no=3, store_id=OTHER), None)
    await migrate(empty_database)
    for place in (STORE, OTHER, "s3"):
        plain = claimed(drawn_payment("A1", store_id=place))
        expected = Opened() if place == "s3" else OrderSplit()
        assert await store.open(plain) == expected, place
    wrong = claimed(drawn_payment("A1", tender_no=4))
    assert await store.open_in_order(wrong, o.OrderTerms(amount=4999)) == o.OrderAmountFixed(5000)


async def test_an_older_worker_beside_the_new_schema_keeps_its_rules(
    connection: Any, store: PostgresStore, empty_database: str
) -> None:
    await migrate(empty_database)
    older = OlderWorker(connection)
    made = await rows_in_every_state(older)
    for payment in made.values():
        bound = await store.payment_by_key(MERCHANT, STORE, f"k-{payment.id}")
        assert bound == KeyTaken(payment, fingerprint(payment))
    # What it knows to be one row of the merchant is one, whichever release wrote it.
    ours = by_merchant("ours", store_id=OTHER)
    assert await store.open(claimed(ours, "ours")) == Opened()
    assert not await older.open(by_merchant("ours"))
    assert not await older.open(by_merchant("else"), "ours")
    assert await older.found_by_key("ours") == await older.holder("ours") == [ours.id]
    theirs = made["sent"]
    rival = claimed(by_merchant("sent", store_id=OTHER))
    assert await store.open(rival) == TenderTaken(theirs)
    reused = claimed(by_merchant("new", store_id=OTHER), f"k-{theirs.id}")
    assert await store.open(reused) == KeyTaken(theirs, fingerprint(theirs))
    spent = claimed(by_merchant("failed", store_id=OTHER))
    assert await store.open(spent) == NumberTaken(1)
    # And what the new release made by store does not stand in its way, but in the same store.
    assert await store.open(claimed(drawn_payment("both", store_id=OTHER), "both")) == Opened()
    assert not await older.open(by_merchant("both", store_id=OTHER))
    assert await older.open(by_merchant("both"), "both")


async def test_splits_are_seen_by_either_release(
    connection: Any, store: PostgresStore, empty_database: str
) -> None:
    await migrate(empty_database)
    older = OlderWorker(connection)
    assert await older.split(by_merchant("theirs", tender_no=2), 1500)
    for numbering in Numbering:
        first = claimed(drawn_payment("theirs", numbering=numbering))
        assert await store.open(first) == OrderSplit()
        refused = await store.open_in_order(first, o.OrderTerms())
        assert refused == o.WouldOverpay(1500, 1000)
    ours = claimed(by_merchant("ours", tender_no=2))
    assert await store.open_in_order(ours, o.OrderTerms(amount=1500)) == Opened()
    assert not await older.open(by_merchant("ours"))
    known = await connection.fetchrow(OLDER["known"], MERCHANT, "ours", "k")
    assert known["amount"] == 1500
    # A total that it learns later is the store's, too.
    assert await older.split(by_merchant("later", tender_no=2), None)
    assert await older.split(by_merchant("later", tender_no=3), 2500)
    fixed = claimed(drawn_payment("later", tender_no=4))
    assert await store.open_in_order(fixed, o.OrderTerms()) == o.WouldOverpay(2500, 2000)


async def test_the_rules_hold_between_both_numberings(
    connection: Any, store: PostgresStore, empty_database: str
) -> None:
    await migrate(empty_database)
    first = by_merchant("A1")
    assert await store.open(claimed(first, "k1")) == Opened()
    same_key = claimed(drawn_payment("B2", created_at=NOW), "k1")
    assert await store.open(same_key) == KeyTaken(first, fingerprint(first))
    assert await store.open(claimed(drawn_payment("A1"))) == TenderTaken(first)
    await store.apply(after(first, NO))
    assert await store.open(claimed(drawn_payment("A1"))) == NumberTaken(1)
