"""What every store shows: lists and pages, the feed in commit order, leased work,
callbacks and cases.
"""

import asyncio
import json
from datetime import date
from typing import Any

import pytest

from gateway.domain.case import CaseKind
from gateway.domain.errors import FieldInvalid, NoSuchObject
from gateway.flow.lists import PaymentFilter, RefundFilter
from gateway.flow.ports import Applied, StoredCallback
from gateway.storage.postgres import PostgresStore
from tests.contract.drawn import (
    ACCOUNT,
    MERCHANT,
    NOW,
    SILENT,
    STORE,
    YES,
    Books,
    after,
    asked_for,
    case,
    later,
    opened,
    opening_of,
    person,
    refund_change,
    settled,
)
from tests.servers import as_owner

# --- one payment


async def test_payment_is_found_by_its_trade_on_its_own_account_only(books):
    payment = await opened(books)
    number = payment.current.out_trade_no
    assert await books.store.payment_by_trade(ACCOUNT, number) == payment
    assert await books.store.payment_by_trade("acct_2", number) is None
    assert await books.store.payment_by_trade(ACCOUNT, "TTNOBODY") is None


async def test_another_merchant_sees_nothing(books):
    payment = await settled(books)
    await books.store.apply(refund_change(payment, "r1", 10))
    refund = (await books.store.refunds_of(MERCHANT, payment.id))[0]
    assert await books.store.payment("m2", payment.id) is None
    assert await books.store.payment_by_key("m2", STORE, f"k-{payment.id}") is None
    assert await books.store.refund("m2", refund.id) is None
    assert await books.store.refund_by_number("m2", "r1") is None
    assert await books.store.refund_by_key("m2", "s1", "rk-r1") is None
    assert await books.store.refunds_of("m2", payment.id) == []
    assert await books.store.payments("m2", PaymentFilter(limit=9)) == []
    assert await books.store.refunds("m2", RefundFilter(limit=9)) == []
    assert (await books.store.events("m2", None, 9)).rows == ()
    assert await books.store.newer([("m2", payment.id, 0)]) == []


async def test_newer(books):
    first, second = await opened(books), await opened(books, order_no="B2")
    change = after(second, YES)
    await books.store.apply(change)
    known = [(MERCHANT, first.id, 1), (MERCHANT, second.id, 1), (MERCHANT, "pay_nobody", 0)]
    assert await books.store.newer(known) == [change.payment]
    assert await books.store.newer([(MERCHANT, second.id, 2)]) == []
    assert await books.store.newer([]) == []


# --- lists


@pytest.fixture
async def shelf(books):
    """Eight payments: two of each order; every second one paid; two of them in the same instant."""
    rows = []
    for n in range(8):
        fields = {
            "order_no": f"O{n // 2}",
            "tender_no": n % 2 + 1,
            "created_at": later(10 * (n - n % 2)),
            "store_id": f"s{n % 4 // 2 + 1}",
        }
        rows.append(await (settled if n % 2 else opened)(books, **fields))
    return rows


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, [7, 6, 5, 4, 3, 2, 1, 0]),
        ({"order_no": "O1"}, [3, 2]),
        ({"order_no": "O9"}, []),
        ({"status": "succeeded"}, [7, 5, 3, 1]),
        ({"status": "processing", "store_id": "s2"}, [6, 2]),
        ({"since": later(20)}, [7, 6, 5, 4, 3, 2]),
        ({"until": later(20)}, [1, 0]),
        ({"since": later(20), "until": later(40)}, [3, 2]),
        ({"limit": 2}, [7, 6, 5]),
    ],
)
async def test_payments_are_filtered_newest_first(books, shelf, wanted, found):
    listed = await books.store.payments(MERCHANT, PaymentFilter(**({"limit": 100} | wanted)))
    assert [shelf.index(payment) for payment in listed] == found


@pytest.mark.parametrize("limit", [1, 3, 8])
async def test_pages_show_every_payment_once(books, shelf, limit):
    seen: list[int] = []
    last = None
    for _ in range(9):
        page = await books.store.payments(MERCHANT, PaymentFilter(limit=limit, starting_after=last))
        seen += [shelf.index(payment) for payment in page[:limit]]
        if len(page) <= limit:
            break
        last = page[limit - 1].id
    assert seen == [7, 6, 5, 4, 3, 2, 1, 0]
    assert (
        await books.store.payments(
            MERCHANT, PaymentFilter(limit=limit, starting_after="pay_nobody")
        )
        == []
    )


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, ["r3", "r2", "r1", "r0"]),
        ({"refund_no": "r2"}, ["r2"]),
        ({"status": "succeeded"}, []),
        ({"status": "requested", "store_id": "s2"}, ["r3", "r1"]),
        ({"since": later(10), "until": later(30)}, ["r2", "r1"]),
        ({"limit": 1}, ["r3", "r2"]),
    ],
)
async def test_refunds_are_filtered_newest_first(books, wanted, found):
    payments = [await settled(books, order_no=f"O{n}", store_id=f"s{n % 2 + 1}") for n in range(4)]
    for n, payment in enumerate(payments):
        assert (
            await books.store.apply(refund_change(payment, f"r{n}", 10, at=later(10 * n)))
            == Applied()
        )
    listed = await books.store.refunds(MERCHANT, RefundFilter(**({"limit": 100} | wanted)))
    assert [refund.refund_no for refund in listed] == found
    second = next(
        r for r in await books.store.refunds(MERCHANT, RefundFilter(limit=9)) if r.refund_no == "r2"
    )
    rest = await books.store.refunds(MERCHANT, RefundFilter(limit=9, starting_after=second.id))
    assert [refund.refund_no for refund in rest] == ["r1", "r0"]


async def test_refunds_of_a_payment_are_oldest_first(books):
    payment = await settled(books)
    for n in range(3):
        change = refund_change(payment, f"r{n}", 10, at=later(-n))
        await books.store.apply(change)
        payment = change.payment
    assert [refund.refund_no for refund in await books.store.refunds_of(MERCHANT, payment.id)] == [
        "r2",
        "r1",
        "r0",
    ]


# --- the feed


async def test_feed_shows_public_events_in_commit_order_with_their_exact_text(books):
    first, second = await opened(books), await settled(books, order_no="B2", description="汤")
    refund = refund_change(second, "r1", 10)
    shown = [opening_of(second).events[0]]
    for change in (after(first, SILENT), refund):
        await books.store.apply(change)
        shown += [event for event in change.events if event.public]
    page = await books.store.events(MERCHANT, None, 10)
    assert [document(row)["id"] for row in page.rows] == [event.id for event in shown]
    assert [type_of(row) for row in page.rows] == ["payment.succeeded", "payment.in_doubt"]
    for row, event in zip(page.rows, shown, strict=True):
        assert event.data in row
    assert (await books.store.events(MERCHANT, page.next_cursor, 10)).rows == ()
    assert (
        await books.store.events(MERCHANT, page.next_cursor, 10)
    ).next_cursor == page.next_cursor


async def test_feed_pages_end_where_the_next_begins(books):
    for n in range(7):
        await settled(books, order_no=f"O{n}")
    whole = (await books.store.events(MERCHANT, None, 100)).rows
    cursor, seen, flags = None, [], []
    for _ in range(4):
        page = await books.store.events(MERCHANT, cursor, 3)
        cursor = page.next_cursor
        seen += page.rows
        flags.append(page.has_more)
    assert (tuple(seen), flags, len(whole)) == (whole, [True, True, False, False], 7)


@pytest.mark.parametrize("cursor", ["", "x", "1", "1-", "-1", "1-2-3-4", "１-2", "1" * 30 + "-1"])
async def test_a_cursor_nobody_issued_is_refused(books, cursor):
    with pytest.raises(FieldInvalid):
        await books.store.events(MERCHANT, cursor, 10)


async def test_a_page_never_passes_a_writer_that_commits_last(database):
    """Two writers; the first takes its place in the log early and commits last: the second is not
    shown before it.
    """
    store = await PostgresStore.connected(database)
    slow = await store._pool.acquire()
    try:
        transaction = slow.transaction()
        await transaction.start()
        await slow.execute(
            "INSERT INTO event (merchant_id, id, object_id, version, type, public, data, at)"
            " VALUES ($1, 'evt_slow', 'pay_slow', 1, 'payment.succeeded', true, '{}', now())",
            MERCHANT,
        )
        quick = [await settled(Books(store), order_no=f"Q{n}") for n in range(3)]
        before = await store.events(MERCHANT, None, 10)
        await transaction.commit()
        rest = await store.events(MERCHANT, before.next_cursor, 10)
    finally:
        await store._pool.release(slow)
        await store.close()
    assert before.rows == ()
    assert [document(row)["id"] for row in rest.rows] == [
        "evt_slow",
        *(opening_of(payment).events[0].id for payment in quick),
    ]


async def test_the_log_is_append_only_in_the_database(database):
    store = await PostgresStore.connected(database)
    await settled(Books(store))
    for statement in (
        "UPDATE event SET public = false",
        "DELETE FROM event",
        "TRUNCATE event",
        "DELETE FROM journal",
    ):
        with pytest.raises(Exception, match="append-only"):
            await as_owner(database, statement)
    await store.close()


async def test_a_payment_has_one_live_attempt_in_the_database(database):
    store = await PostgresStore.connected(database)
    payment = await opened(Books(store))
    columns = [
        row["column_name"]
        for row in await store._fetch(
            "SELECT column_name FROM information_schema.columns WHERE table_name = 'attempt'"
        )
    ]
    copied = ", ".join(
        {"id": "'att_2'", "number": "2", "out_trade_no": "'TT2'"}.get(name, name)
        for name in columns
    )
    second = (
        f"INSERT INTO attempt ({', '.join(columns)}) SELECT {copied} FROM attempt "
        "WHERE payment_id = $1"
    )
    with pytest.raises(Exception, match="no further one may open"):
        await store._fetch(second, payment.id)
    await as_owner(database, "ALTER TABLE attempt DISABLE TRIGGER follows")
    # The second guard, should the first be gone.
    with pytest.raises(Exception, match="attempt_live"):
        await store._fetch(second, payment.id)
    await store.close()


def document(row: bytes) -> dict[str, Any]:
    return dict(json.loads(row))


def type_of(row: bytes) -> str:
    return str(document(row)["type"])


# --- callbacks and cases


async def test_a_callback_is_owed_until_it_is_applied(books):
    kept = StoredCallback(
        account_id=ACCOUNT,
        event_key="e1",
        out_trade_no="T",
        kind="pay",
        body=b"\x00\xff",
        received_at=later(0),
    )
    assert await books.store.keep_callback(kept) is True
    # Whoever stored it may have died before applying it.
    assert await books.store.keep_callback(kept) is True
    await books.store.callback_applied(ACCOUNT, "e1")
    assert await books.store.keep_callback(kept) is False
    assert await books.store.keep_callback(
        StoredCallback(
            account_id="acct_2",
            event_key="e1",
            out_trade_no="T",
            kind="pay",
            body=b"",
            received_at=later(0),
        )
    )
    await books.store.callback_applied(ACCOUNT, "nobody")


async def test_a_case_is_open_once_per_kind_and_object(books):
    first = case()
    await asyncio.gather(
        *(books.store.open_case(MERCHANT, "x", each) for each in (first, first, first))
    )
    await books.store.open_case(MERCHANT, "x", case())
    await books.store.open_case(MERCHANT, "y", case())
    await books.store.open_case(MERCHANT, "x", case(CaseKind.OVERRIDE))
    assert await books.cases() == [
        ("mismatch_amount", "x", None),
        ("mismatch_amount", "y", None),
        ("override", "x", None),
    ]
    await books.store.close_case(first.id, closed_by=person("ann"), reason="seen", now=later(1))
    with pytest.raises(NoSuchObject):
        await books.store.close_case(
            first.id, closed_by=person("bob"), reason="again", now=later(2)
        )
    with pytest.raises(NoSuchObject):
        await books.store.close_case(
            "case_nobody", closed_by=person("bob"), reason="", now=later(2)
        )
    await books.store.open_case(MERCHANT, "x", case())
    assert [row for row in await books.cases() if row[1:] != ("y", None)] == [
        ("mismatch_amount", "x", "ann"),
        ("mismatch_amount", "x", None),
        ("override", "x", None),
    ]


async def test_a_case_the_gateway_answered_itself(books):
    await books.store.open_case(MERCHANT, "x", case())
    await books.store.open_case(MERCHANT, "x", case(CaseKind.OVERRIDE))
    for merchant, about in (("m2", "x"), (MERCHANT, "y"), (MERCHANT, "x"), (MERCHANT, "x")):
        kind = CaseKind.OVERRIDE
        await books.store.settle_case(merchant, about, kind, reason="answered", now=later(1))
    assert await books.cases() == [("mismatch_amount", "x", None), ("override", "x", "tillgate")]


async def test_refunds_of_one_moment_are_listed_once_each(books):
    paid = await settled(books)
    made = set()
    for number in range(5):
        change = refund_change(paid, f"r{number}", 100)
        assert await books.store.apply(change) == Applied()
        paid = change.payment
        made.add(asked_for(change).id)
    seen: list[str] = []
    while page := await books.store.refunds(
        MERCHANT, RefundFilter(limit=1, starting_after=seen[-1] if seen else None)
    ):
        seen += [refund.id for refund in page[:1]]
    assert len(seen) == len(made)
    assert set(seen) == made


async def test_a_payment_is_found_by_what_a_customer_or_the_bank_shows(books):
    paid = await opened(books)
    await opened(books, order_no="B2", created_at=later(1))
    change = after(paid, YES)
    assert await books.store.apply(change) == Applied()
    attempt = change.payment.attempts[0]
    asked: dict[str, Any]
    for asked in (
        {"out_trade_no": attempt.out_trade_no},
        {"channel_trade_no": "C1"},
        {"paid_from": NOW, "paid_to": later(60), "status": "succeeded"},
        {"order_no": "A1", "method": "wallet", "business_date": date(2026, 11, 21)},
        {"channel_date": date(2026, 11, 21)},
        {"channel_account": ACCOUNT, "order_no": "A1"},
    ):
        found = await books.store.payments(MERCHANT, PaymentFilter(limit=9, **asked))
        assert [payment.id for payment in found] == [paid.id], asked
    for asked in (
        {"out_trade_no": "none"},
        {"channel_trade_no": "none"},
        {"paid_from": later(60)},
        {"paid_to": NOW},
        {"method": "cash"},
        {"business_date": date(2026, 11, 22)},
        {"channel_date": date(2026, 11, 22)},
        {"channel_account": "acct_9"},
    ):
        assert await books.store.payments(MERCHANT, PaymentFilter(limit=9, **asked)) == []
