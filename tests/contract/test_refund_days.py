"""What a till may give back in a day: every store keeps the sum, also of one moment."""

import asyncio

from msgspec.structs import replace

from gateway.domain import outcomes as o
from gateway.domain.change import Change
from gateway.domain.errors import RefundLimitReached
from gateway.domain.payment import Payment
from gateway.domain.returning import refund_learned
from gateway.flow.ports import Applied
from tests.contract.drawn import (
    MERCHANT,
    asked_for,
    later,
    occasion,
    refund_change,
    settled,
    watched,
)

TILL, TODAY, TOMORROW = "t9", "2026-11-21", "2026-11-22"


def limited(
    payment: Payment, refund_no: str, amount: int, day_limit: int | None, **fields
) -> Change:
    change = refund_change(payment, refund_no, amount)
    return replace(change, new_refund=replace(asked_for(change), day_limit=day_limit, **fields))


async def answer(books, change: Change) -> str:
    try:
        return type(await books.store.apply(change)).__name__
    except RefundLimitReached:
        return "limit"


async def test_a_days_refunds_of_a_till_stay_within_its_limit(books):
    payments = [await settled(books, order_no=f"D{n}") for n in range(4)]
    asked = [limited(p, f"d{n}", 400, 1000) for n, p in enumerate(payments)]
    found = [await answer(books, change) for change in asked]
    assert found == ["Applied", "Applied", "limit", "limit"]
    assert await books.store.given_back(MERCHANT, TILL, TODAY) == 800
    # Nothing of a refused one is written, and what still fits is taken.
    assert await books.store.payment(MERCHANT, payments[2].id) == payments[2]
    assert await answer(books, limited(payments[2], "d9", 200, 1000)) == "Applied"


async def test_tills_that_ask_at_the_same_moment_share_the_day(books):
    payments = [await settled(books, order_no=f"R{n}") for n in range(8)]
    found = await asyncio.gather(
        *(answer(books, limited(p, f"s{n}", 300, 1000)) for n, p in enumerate(payments))
    )
    assert sorted(found) == ["Applied"] * 3 + ["limit"] * 5
    assert await books.store.given_back(MERCHANT, TILL, TODAY) == 900


async def test_another_till_another_day_and_an_unlimited_key_count_apart(books):
    payments = [await settled(books, order_no=f"A{n}") for n in range(5)]
    first, other, tomorrow, office, last = payments
    assert await answer(books, limited(first, "a1", 1000, 1000)) == "Applied"
    assert await answer(books, limited(other, "a2", 1000, 1000, terminal_id="t8")) == "Applied"
    next_day = {
        "created_at": later(86_400),
        "due_at": later(86_410),
        "business_date": TOMORROW,
    }
    assert await answer(books, limited(tomorrow, "a3", 1000, 1000, **next_day)) == "Applied"
    no_till = {"terminal_id": None, "asked_by": "key_office"}
    assert await answer(books, limited(office, "a4", 1000, None, **no_till)) == "Applied"
    assert await answer(books, limited(last, "a5", 1, 1000)) == "limit"


async def test_a_refund_that_failed_gave_nothing_away(books):
    payments = [await settled(books, order_no=f"F{n}") for n in range(2)]
    change = limited(payments[0], "f1", 1000, 1000)
    assert await books.store.apply(change) == Applied()
    no = o.RefundDeclined(code="refund_refused", needs_action=False)
    failed = refund_learned(change.payment, asked_for(change), no, occasion("refund_query"))
    assert failed is not None
    assert await books.store.apply(watched(failed)) == Applied()
    assert await answer(books, limited(payments[1], "f2", 1000, 1000)) == "Applied"
