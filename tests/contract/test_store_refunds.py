"""What every store keeps of refunds: reservations, numbers taken once, the moves of the table."""

import asyncio

import pytest
from msgspec.structs import replace

from gateway.domain.acts import cancel_requested
from gateway.domain.late_money import late_refund
from gateway.domain.words import Origin
from gateway.flow.ports import Applied, RefundTaken
from tests.contract.drawn import (
    EVIDENCE,
    MERCHANT,
    NO,
    YES,
    after,
    asked_for,
    later,
    occasion,
    opened,
    refund_change,
    refused,
    settled,
)


async def test_a_refunds_bill_does_not_change(books):
    payment = await settled(books)
    first = refund_change(payment, "r1", 400)
    await books.store.apply(first)
    moved = replace(asked_for(first), version=2, status="processing", channel_date="2026-11-21")
    second = replace(after_cancel_request(first.payment), refund=moved)
    assert await books.store.apply(second) == Applied()
    again = replace(moved, version=3, channel_date="2026-11-22")
    third = replace(after_cancel_request(second.payment), refund=again)
    assert await refused(books.store.apply(third)) == "TG009"
    assert await books.store.refund(MERCHANT, moved.id) == moved


async def test_refund_is_reserved_and_read_back(books):
    payment = await settled(books)
    change = refund_change(payment, "r1", 400)
    assert await books.store.apply(change) == Applied()
    refund = asked_for(change)
    assert await books.store.refund(MERCHANT, refund.id) == refund
    assert await books.store.refund_by_number(MERCHANT, "r1") == refund
    assert await books.store.refund_by_key(MERCHANT, "s1", "rk-r1") == refund
    assert await books.store.refunds_of(MERCHANT, payment.id) == [refund]
    assert (await books.store.payment(MERCHANT, payment.id)).attempts[0].reserved_amount == 400


@pytest.mark.parametrize(("refund_no", "key"), [("r1", "another"), ("r2", "rk-r1")])
async def test_refund_number_and_key_are_taken_once_and_nothing_is_applied_by_half(
    books, refund_no, key
):
    first, second = await settled(books), await settled(books, order_no="B2")
    await books.store.apply(refund_change(first, "r1", 400))
    log = await books.log()
    assert await books.store.apply(refund_change(second, refund_no, 100, key)) == RefundTaken()
    assert await books.store.payment(MERCHANT, second.id) == second
    assert await books.store.refunds_of(MERCHANT, second.id) == []
    assert await books.log() == log


async def test_one_of_two_payments_wins_a_refund_number(books):
    payments = [await settled(books, order_no=f"O{n}") for n in range(6)]
    results = await asyncio.gather(
        *(books.store.apply(refund_change(p, "same", 100, f"key-{p.id}")) for p in payments)
    )
    assert sorted(type(result).__name__ for result in results) == ["Applied"] + ["RefundTaken"] * 5


async def test_refunds_stay_within_the_capture(books):
    payment = await settled(books)
    assert (
        await refused(books.store.apply(refund_change(payment, "r1", 1001)))
        == "23514 refunds_within_capture"
    )
    assert await books.store.refund_by_number(MERCHANT, "r1") is None
    assert await books.store.payment(MERCHANT, payment.id) == payment


async def test_what_we_owe_never_fails(books):
    payment = await opened(books)
    no = after(payment, NO)
    await books.store.apply(no)
    late = after(no.payment, YES, "query")
    assert late.new_refund is not None
    assert await books.store.apply(late) == Applied()
    failed = replace(late.new_refund, version=2, status="failed", evidence=(EVIDENCE,), due_at=None)
    change = replace(after_cancel_request(late.payment), refund=failed)
    assert await refused(books.store.apply(change)) == "23514 what_we_owe_never_fails"


def after_cancel_request(payment):
    return cancel_requested(payment, occasion("till", later(30)), by="key_1")


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({"version": 2, "status": "succeeded"}, None),
        ({"version": 1, "status": "succeeded"}, "TG004"),
        ({"version": 3, "status": "succeeded"}, "TG004"),
        ({"version": 2, "status": "failed"}, "23514 failed_needs_evidence"),
        ({"version": 2, "status": "processing", "due_at": None}, "23514 open_is_watched"),
        ({"version": 2, "status": "gone"}, "TG003"),
        ({"version": 2, "status": "processing", "channel_date": "2026-11-21"}, None),
    ],
)
async def test_a_refund_moves_by_the_table(books, fields, refusal):
    payment = await settled(books)
    first = refund_change(payment, "r1", 400)
    await books.store.apply(first)
    moved = replace(asked_for(first), **fields)
    change = replace(after_cancel_request(first.payment), refund=moved)
    if refusal is None:
        assert await books.store.apply(change) == Applied()
        assert await books.store.refund(MERCHANT, moved.id) == moved
    else:
        assert await refused(books.store.apply(change)) == refusal
        assert await books.store.refund(MERCHANT, moved.id) == asked_for(first)


async def test_late_refund_comes_with_the_very_change(books):
    payment = await opened(books)
    no = after(payment, NO)
    await books.store.apply(no)
    late = after(no.payment, YES, "query", later(5))
    assert await books.store.apply(late) == Applied()
    refund = await books.store.refund_by_number(MERCHANT, f"late.{payment.current.out_trade_no}")
    assert (refund, refund.origin) == (late.new_refund, "late")
    again = late_refund(late.payment, late.payment.attempts[0], Origin.LATE, occasion())
    twice = replace(after_cancel_request(late.payment), new_refund=again)
    assert await books.store.apply(twice) == RefundTaken()
    assert await books.cases() == [("captured_late", payment.id, None)]
