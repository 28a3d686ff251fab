"""A payment's further attempts: what every store keeps, whatever the program above believes."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.domain import outcomes as o
from gateway.domain.change import Change
from gateway.domain.identifiers import out_trade_no
from gateway.domain.learning import learned
from gateway.domain.occasion import Outcome
from gateway.domain.payment import Attempt, Payment
from gateway.domain.tender import tender_of
from gateway.flow.ports import Applied, NumberTaken, Opened, Stale, StoreRefused
from tests.contract.drawn import (
    MERCHANT,
    NO,
    SILENT,
    YES,
    Books,
    after,
    bent,
    drawn_payment,
    later,
    new_id,
    occasion,
    opening_of,
    refused,
)

NOT_SENT = o.NotSent(reason="refused")


def following(payment: Payment, **fields: Any) -> Attempt:
    last = payment.attempts[-1]
    n = last.trade_number + 1
    drawn = replace(
        last,
        id=new_id("att"),
        number=last.number + 1,
        trade_number=n,
        out_trade_no=out_trade_no("TT", tender_of(payment), n),
        channel_account="acct_2",
        why="the next",
        sent_at=later(1),
        send_by=later(3),
        due_at=later(3),
    )
    return replace(drawn, **fields)


def moved_on(payment: Payment, outcome: Outcome = NOT_SENT, **fields: Any) -> Change:
    """One write closes the attempt and opens the next."""
    told = replace(
        occasion("pay"), successor=lambda now, ended, outcome, proof: following(payment, **fields)
    )
    change = learned(payment, payment.current, outcome, told)
    assert change is not None
    return change


async def opened(books: Books, order_no: str = "A1") -> Payment:
    payment = drawn_payment(order_no)
    assert await books.store.open(opening_of(payment)) == Opened()
    return payment


async def test_the_next_attempt_is_read_back_whole(books):
    payment = await opened(books)
    change = moved_on(payment)
    assert await books.store.apply(change) == Applied()
    assert await books.store.payment(MERCHANT, payment.id) == change.payment
    assert [(a.number, a.status, a.channel_account) for a in change.payment.attempts] == [
        (1, "not_sent", "acct_1"),
        (2, "sent", "acct_2"),
    ]
    found = await books.store.payment_by_trade("acct_2", change.payment.current.out_trade_no)
    assert found == change.payment


async def test_a_stale_change_opens_nothing(books):
    payment = await opened(books)
    assert await books.store.apply(after(payment, SILENT)) == Applied()
    assert await books.store.apply(moved_on(payment)) == Stale()
    stored = await books.store.payment(MERCHANT, payment.id)
    assert len(stored.attempts) == 1


async def test_the_second_attempt_settles_and_its_money_is_the_payments(books):
    payment = await opened(books)
    moved = moved_on(payment)
    await books.store.apply(moved)
    paid = after(moved.payment, YES)
    assert await books.store.apply(paid) == Applied()
    stored = await books.store.payment(MERCHANT, payment.id)
    assert (stored.status, stored.settling.channel_account, stored.settling.captured_amount) == (
        "succeeded",
        "acct_2",
        1000,
    )


async def test_numbers_go_on_after_all_attempts_of_the_tender(books):
    payment = await opened(books)
    moved = moved_on(payment)
    await books.store.apply(moved)
    assert await books.store.apply(after(moved.payment, NO)) == Applied()
    assert await books.store.open(opening_of(drawn_payment(n=1))) == NumberTaken(2)


async def test_the_same_change_again_is_applied_once(books):
    payment = await opened(books)
    change = moved_on(payment)
    assert await books.store.apply(change) == Applied()
    assert await books.store.apply(change) in (Applied(), Stale())
    stored = await books.store.payment(MERCHANT, payment.id)
    assert len(stored.attempts) == 2


@pytest.mark.parametrize("status", ["sent", "pending", "in_doubt", "cancelling", "succeeded"])
async def test_no_attempt_beside_one_that_may_have_charged(books, status: str):
    """Whoever draws it: the database refuses a second attempt while the first has no proof."""
    payment = await opened(books)
    change = moved_on(payment)
    money = {"captured_amount": 1000, "received_amount": 1000} if status == "succeeded" else {}
    first = replace(payment.attempts[0], status=status, due_at=later(9), **money)
    forged = replace(
        change, payment=replace(change.payment, attempts=(first, change.payment.attempts[1]))
    )
    assert await refused(books.store.apply(forged)) in ("TG005", "23505 attempt_live")
    stored = await books.store.payment(MERCHANT, payment.id)
    assert stored == payment


@pytest.mark.parametrize(
    ("status", "proof"),
    [
        ("not_sent", "P1"),
        ("declined", None),
        ("declined", "P0"),
        ("reversed", "P1"),
        ("reversed", ""),
    ],
)
async def test_uncharged_needs_a_proof_of_its_kind(books, status: str, proof: str | None):
    payment = await opened(books)
    change = moved_on(payment)
    ended = change.payment.attempts[0]
    forged_end = replace(
        ended, status=status, evidence=tuple(replace(item, proof=proof) for item in ended.evidence)
    )
    forged = replace(
        change, payment=replace(change.payment, attempts=(forged_end, change.payment.attempts[1]))
    )
    assert await refused(books.store.apply(forged)) == "23514 a_no_needs_proof"


@pytest.mark.parametrize(
    ("status", "rule"),
    [("not_sent", ("23514", "a_no_needs_evidence")), ("returned", ("TG003", None))],
)
async def test_what_the_rules_refuse_is_named(books, status: str, rule: tuple[str, str | None]):
    """By a CHECK, and by a trigger: the flow knows a defect of ours from a store that is away."""
    payment = await opened(books)
    forged = bent(after(payment, NO), status=status, evidence=())
    with pytest.raises(StoreRefused) as caught:
        await books.store.apply(forged)
    assert caught.value.sqlstate == rule[0]
    assert rule[1] in (None, caught.value.constraint_name)
    assert await books.store.payment(MERCHANT, payment.id) == payment


async def test_a_late_yes_of_the_first_is_surplus_beside_the_second(books):
    payment = await opened(books)
    moved = moved_on(payment)
    await books.store.apply(moved)
    paid = after(moved.payment, YES).payment
    await books.store.apply(after(moved.payment, YES))
    late = learned(paid, paid.attempts[0], YES, occasion("query"))
    assert late is not None and late.new_refund is not None  # noqa: PT018
    assert await books.store.apply(late) == Applied()
    stored = await books.store.payment(MERCHANT, payment.id)
    assert [(a.status, a.captured_amount, a.reserved_amount) for a in stored.attempts] == [
        ("captured_late", 1000, 1000),
        ("succeeded", 1000, 0),
    ]
    assert (stored.status, late.new_refund.origin, late.new_refund.refund_no) == (
        "succeeded",
        "surplus",
        f"surplus.{paid.attempts[0].out_trade_no}",
    )


async def test_a_forged_change_fails_alone_among_many(books):
    """Written together, closed and opened each by its own record, in one statement: the refusal of
    one is nobody else's.
    """
    payments = [await opened(books, f"O{n}") for n in range(24)]
    changes = [moved_on(payment) for payment in payments]
    sound = changes[11].payment
    changes[11] = replace(
        changes[11],
        payment=replace(
            sound,
            attempts=(
                replace(payments[11].attempts[0], status="pending", due_at=later(9)),
                sound.attempts[1],
            ),
        ),
    )
    answers = await asyncio.gather(
        *(books.store.apply(change) for change in changes), return_exceptions=True
    )
    assert [n for n, answer in enumerate(answers) if answer != Applied()] == [11]
    kept = [await books.store.payment(MERCHANT, payment.id) for payment in payments]
    assert [len(payment.attempts) for payment in kept] == [1 if n == 11 else 2 for n in range(24)]
    assert kept[11] == payments[11]


async def test_a_change_that_opens_an_attempt_is_known_again(books):
    """The reply was lost and it is sent once more, after somebody else has moved the payment on: it
    stands, and is its sender's.
    """
    payment = await opened(books)
    change = moved_on(payment)
    assert await books.store.apply(change) == Applied()
    assert await books.store.apply(after(change.payment, SILENT)) == Applied()
    assert await books.store.apply(change) == Applied()
    assert await books.store.apply(moved_on(payment)) == Stale(), (
        "another one drawn for the same end is not"
    )
