"""A tender is let in beside a payment in doubt: the mark, the risk record, and what no program can
get round.
"""

import asyncio
from typing import Any

import asyncpg
import pytest
from msgspec.structs import replace

from gateway.domain import order as o
from gateway.domain.words import Numbering
from gateway.flow.ports import Applied, Opened, Stale, TenderTaken
from gateway.storage.postgres import PostgresStore
from tests.contract.drawn import (
    MERCHANT,
    NOW,
    SILENT,
    YES,
    Books,
    after,
    bent,
    drawn_payment,
    opening_of,
    paid_payment,
    refused,
    watched,
)
from tests.contract.split_order import PLAIN, doubtful, named, risks, traces
from tests.servers import as_owner


async def test_an_override_marks_the_payment_records_the_risk_and_opens(books):
    first = await doubtful(books)
    cash = paid_payment(tender_no=2)
    terms = o.OrderTerms(amount=1000, override=named(first, cash))
    assert await books.store.open_in_order(opening_of(cash), terms) == Opened()
    kept = await books.store.payment(MERCHANT, first.id)
    assert (kept.status, kept.version, kept.overridden_at, kept.overridden_by) == (
        "in_doubt",
        first.version + 1,
        NOW,
        cash.id,
    )
    assert await risks(books) == [(cash.id, first.id, 1000, "ann", "queue")]
    assert await books.cases() == [("override", first.id, None)]
    assert await books.store.open_in_order(
        opening_of(drawn_payment(tender_no=3)), PLAIN
    ) == o.WouldOverpay(1000, 1000)
    assert await books.store.open_in_order(opening_of(drawn_payment()), PLAIN) == TenderTaken(kept)


async def test_a_later_yes_of_an_overridden_payment_goes_back(books):
    first = await doubtful(books)
    cash = paid_payment(tender_no=2)
    assert (
        await books.store.open_in_order(opening_of(cash), o.OrderTerms(override=named(first, cash)))
        == Opened()
    )
    kept = await books.store.payment(MERCHANT, first.id)
    late = after(kept, YES, "query")
    assert late.payment.status == "paid_late"
    assert await books.store.apply(late) == Applied()
    assert [refund.origin for refund in await books.store.refunds_of(MERCHANT, first.id)] == [
        "late"
    ]
    assert await books.store.open_in_order(opening_of(drawn_payment(n=2)), PLAIN) == Opened()


async def test_a_lost_reply_to_an_override_is_no_second_override(books):
    first = await doubtful(books)
    cash = paid_payment(tender_no=2)
    opening, terms = opening_of(cash), o.OrderTerms(override=named(first, cash))
    assert await books.store.open_in_order(opening, terms) == Opened()
    before = await traces(books)
    assert await books.store.open_in_order(opening, terms) == Opened()
    assert await traces(books) == before


async def test_an_override_of_a_payment_that_moved_is_stale(books):
    first = await doubtful(books)
    cash = paid_payment(tender_no=2)
    terms = o.OrderTerms(amount=1000, override=named(first, cash))
    paid = after(first, YES, "query")
    assert await books.store.apply(paid) == Applied()
    before = await traces(books)
    assert (
        await books.store.open_in_order(opening_of(cash), o.OrderTerms(override=terms.override))
        == Stale()
    )
    assert await books.store.payment(MERCHANT, first.id) == paid.payment
    assert await books.store.payment(MERCHANT, cash.id) is None
    assert await traces(books) == before


async def test_an_opening_that_is_refused_takes_its_override_along(books):
    first = await doubtful(books)
    bad = paid_payment(tender_no=2, amount=0)
    before = await traces(books)
    terms = o.OrderTerms(override=named(first, bad))
    assert (
        await refused(books.store.open_in_order(opening_of(bad), terms))
        == "23514 payment_amount_check"
    )
    assert await traces(books) == before
    assert await books.store.payment(MERCHANT, first.id) == first


@pytest.mark.parametrize(
    ("status", "bend"),
    [
        ("paid_late", {"overridden_at": None, "overridden_by": None}),
        ("succeeded", {}),
        ("awaiting_payer", {}),
        ("processing", {}),
        ("in_doubt", {"overridden_by": "pay_other"}),
        ("in_doubt", {"overridden_at": None, "overridden_by": None}),
    ],
)
async def test_no_program_gets_round_an_override(books, status: str, bend: dict[str, Any]):
    """The schema's own word: overridden never succeeds, and nobody takes it back; `paid_late` from
    `in_doubt` is its alone.
    """
    first = await doubtful(books)
    cash = paid_payment(tender_no=2)
    if status != "paid_late":
        assert (
            await books.store.open_in_order(
                opening_of(cash), o.OrderTerms(override=named(first, cash))
            )
            == Opened()
        )
    kept = await books.store.payment(MERCHANT, first.id)
    fields = {"status": status, "paid_at": NOW, "version": kept.version + 1, **bend}
    change = replace(after(kept, SILENT, "query"), payment=replace(kept, **fields))
    assert await refused(books.store.apply(change)) == "TG003"


async def test_only_an_overridden_payments_attempt_captures_late_while_it_lives(books):
    first = await doubtful(books)
    money = {
        "status": "captured_late",
        "captured_amount": 1000,
        "received_amount": 1000,
        "due_at": None,
    }
    assert await refused(books.store.apply(bent(after(first, SILENT, "query"), **money))) == "TG003"


@pytest.mark.parametrize("status", ["processing", "succeeded"])
async def test_only_doubt_is_overridden(books, status: str):
    payment = drawn_payment() if status == "processing" else paid_payment()
    assert await books.store.open(opening_of(payment)) == Opened()
    marked = replace(payment, version=2, overridden_at=NOW, overridden_by="pay_x")
    change = replace(watched(replace(after(drawn_payment("Z"), SILENT), payment=marked)), events=())
    assert (
        await refused(
            books.store.apply(
                replace(change, events=(replace(opening_of(marked).events[0], id="evt_o"),))
            )
        )
        == "TG003"
    )


async def test_an_override_and_the_yes_it_races_have_one_outcome(books):
    for number in range(20):
        first = await doubtful(books, order_no=f"R{number}")
        cash = paid_payment(f"R{number}", tender_no=2)
        yes = after(first, YES, "query")
        applied, opened = await asyncio.gather(
            books.store.apply(yes),
            books.store.open_in_order(opening_of(cash), o.OrderTerms(override=named(first, cash))),
        )
        assert (applied, opened) in ((Applied(), Stale()), (Stale(), Opened())), number
        kept = await books.store.payment(MERCHANT, first.id)
        assert (kept.status, kept.overridden_by) == (
            ("succeeded", None) if opened == Stale() else ("in_doubt", cash.id)
        )


async def test_neither_the_risk_record_nor_a_total_is_changed_in_the_database(database):
    store = await PostgresStore.connected(database)
    books = Books(store)
    first = await doubtful(books)
    cash = paid_payment(tender_no=2)
    terms = o.OrderTerms(amount=1000, override=named(first, cash))
    assert await store.open_in_order(opening_of(cash), terms) == Opened()
    merchants = opening_of(drawn_payment("M1", numbering=Numbering.BY_MERCHANT))
    assert await store.open_in_order(merchants, o.OrderTerms(amount=1000)) == Opened()
    for statement, sqlstate in (
        ("UPDATE override SET reason = 'other'", "TG001"),
        ("DELETE FROM override", "TG001"),
        ("TRUNCATE override", "TG001"),
        ("UPDATE split_order SET amount = 900", "TG006"),
        ("UPDATE split_order SET amount = NULL", "TG006"),
        ('UPDATE "order" SET amount = 900', "TG006"),
    ):
        with pytest.raises(asyncpg.PostgresError) as caught:
            await as_owner(database, statement)
        assert caught.value.sqlstate == sqlstate, statement
    await store.close()
