"""Several tenders of one order: what every store answers, and what it leaves behind when it
refuses.
"""

import asyncio
import random
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.domain import order as o
from gateway.domain.payment import Payment
from gateway.flow.ports import Applied, KeyTaken, NumberTaken, Opened, OrderSplit, TenderTaken
from tests.contract.drawn import (
    MERCHANT,
    NO,
    YES,
    after,
    asked_for,
    drawn_payment,
    opening_of,
    paid_payment,
    refund_change,
)
from tests.contract.split_order import PLAIN, doubtful, in_order, of, traces


async def test_a_plain_tender_of_a_split_order_is_sent_under_its_lock(books):
    await in_order(books, tender_no=2)
    first = opening_of(drawn_payment())
    assert await books.store.open(first) == OrderSplit()
    assert await books.store.payment(MERCHANT, first.payment.id) is None
    assert await books.store.open_in_order(first, PLAIN) == Opened()
    assert await books.store.payment(MERCHANT, first.payment.id) == first.payment
    assert await books.store.open(opening_of(drawn_payment("B2"))) == Opened()
    assert await books.store.open(opening_of(drawn_payment(merchant="m2"))) == Opened()


async def test_key_tender_and_number_lose_as_ever(books):
    first = await in_order(books)
    opening = opening_of(first)
    assert await books.store.open_in_order(opening, PLAIN) == Opened()  # our own first sending
    assert await books.store.open_in_order(
        opening_of(drawn_payment("B2"), f"k-{first.id}"), PLAIN
    ) == KeyTaken(first, b"{}")
    assert await books.store.open_in_order(opening_of(drawn_payment()), PLAIN) == TenderTaken(first)
    assert await books.store.open(opening_of(drawn_payment())) == TenderTaken(first)
    assert await books.store.apply(after(first, NO)) == Applied()
    assert await books.store.open_in_order(opening_of(drawn_payment()), PLAIN) == NumberTaken(1)
    assert await books.store.open(opening_of(drawn_payment())) == NumberTaken(1)
    assert await books.store.open(opening_of(drawn_payment(n=2))) == OrderSplit()
    assert await books.store.open_in_order(opening_of(drawn_payment(n=2)), PLAIN) == Opened()


async def test_the_amount_is_fixed_by_the_first_that_says_it(books):
    await in_order(books)
    await in_order(books, of(5000), tender_no=2)
    before = await traces(books)
    assert await books.store.open_in_order(
        opening_of(drawn_payment(tender_no=3)), of(4999)
    ) == o.OrderAmountFixed(5000)
    assert await traces(books) == before
    await in_order(books, of(5000), tender_no=3)
    await in_order(books, tender_no=4)


async def test_live_and_paid_tenders_never_exceed_the_amount(books):
    first = await in_order(books, of(2500))
    paid = paid_payment(tender_no=2)
    assert await books.store.open_in_order(opening_of(paid), PLAIN) == Opened()
    before = await traces(books)
    assert await books.store.open_in_order(
        opening_of(drawn_payment(tender_no=3)), PLAIN
    ) == o.WouldOverpay(2500, 2000)
    assert await traces(books) == before
    await books.store.apply(after(first, NO))
    await in_order(books, tender_no=3)


async def test_a_plain_first_tender_meets_the_amount_too(books):
    await in_order(books, of(1500), tender_no=2)
    first = opening_of(drawn_payment())
    assert await books.store.open(first) == OrderSplit()
    assert await books.store.open_in_order(first, PLAIN) == o.WouldOverpay(1500, 1000)


async def test_only_money_that_went_back_gives_room(books):
    paid = paid_payment()
    assert await books.store.open_in_order(opening_of(paid), of(1400)) == Opened()
    asked = refund_change(paid, "r1", 600)
    assert await books.store.apply(asked) == Applied()
    rival = opening_of(drawn_payment(tender_no=2))
    assert await books.store.open_in_order(rival, PLAIN) == o.WouldOverpay(1400, 1000)
    given = replace(asked.payment.attempts[0], reserved_amount=0, returned_amount=600)
    moved = replace(asked.payment, version=asked.payment.version + 1, attempts=(given,))
    refund = replace(asked_for(asked), version=2, status="succeeded", due_at=None)
    events = (replace(asked.events[0], id="evt_r", version=moved.version),)
    assert (
        await books.store.apply(
            replace(asked, payment=moved, new_refund=None, refund=refund, events=events)
        )
        == Applied()
    )
    assert await books.store.open_in_order(rival, PLAIN) == Opened()


async def test_no_other_tender_while_one_is_in_doubt(books):
    first = await doubtful(books)
    before = await traces(books)
    assert await books.store.open_in_order(
        opening_of(drawn_payment(tender_no=2)), PLAIN
    ) == o.AnotherInDoubt(first)
    assert await books.store.open_in_order(opening_of(drawn_payment()), PLAIN) == TenderTaken(first)
    assert await traces(books) == before
    assert await books.store.apply(after(first, YES, "query")) == Applied()
    await in_order(books, tender_no=2)


async def test_the_first_tender_hears_of_the_second_that_is_in_doubt(books):
    second = await doubtful(books, tender_no=2)
    first = opening_of(drawn_payment())
    assert await books.store.open(first) == OrderSplit()
    assert await books.store.open_in_order(first, PLAIN) == o.AnotherInDoubt(second)


# --- at the same moment


@pytest.mark.parametrize("seed", range(4))
async def test_tenders_that_race_never_exceed_the_amount(books, seed: int):
    """Some tills say the amount, some do not; some are plain first tenders that go the fast way
    until they hear that the order is split.
    """
    chance = random.Random(seed)

    async def till(tender_no: int, terms: o.OrderTerms) -> tuple[Payment, Any]:
        await asyncio.sleep(chance.random() / 500)
        answer: Any = NumberTaken(0)
        # The rival committed between the two looks at it: the next number meets its claim.
        while isinstance(answer, NumberTaken):
            payment = paid_payment(tender_no=tender_no, n=answer.highest_n + 1)
            answer = (
                await books.store.open(opening_of(payment))
                if (tender_no, terms) == (1, PLAIN)
                else OrderSplit()
            )
            if isinstance(answer, OrderSplit):
                answer = await books.store.open_in_order(opening_of(payment), terms)
        return payment, answer

    tills = [till(1, PLAIN) for _ in range(4)] + [till(n, of(2500)) for n in (1, 2, 3, 4, 5, 6)]
    chance.shuffle(tills)
    answers = await asyncio.gather(*tills)
    opened = [payment for payment, answer in answers if answer == Opened()]
    assert len({payment.tender_no for payment in opened}) == len(opened) == 2, (
        f"seed {seed}: {answers}"
    )
    odd = [
        answer
        for _, answer in answers
        if not isinstance(answer, Opened | o.WouldOverpay | TenderTaken)
    ]
    assert not odd, f"seed {seed}: {odd}"


async def test_a_fast_first_tender_and_a_slow_second_one_see_each_other(books):
    """Whoever comes second hears of the other, however they fall: the sum stays under the amount in
    every order of events.
    """
    for number in range(40):
        order = f"R{number}"
        first, second = paid_payment(order), paid_payment(order, tender_no=2)
        fast, slow = await asyncio.gather(
            books.store.open(opening_of(first)),
            books.store.open_in_order(opening_of(second), of(1500)),
        )
        if isinstance(fast, OrderSplit):
            fast = await books.store.open_in_order(opening_of(first), PLAIN)
        assert [fast, slow].count(Opened()) == 1, (number, fast, slow)
        assert o.WouldOverpay(1500, 1000) in (fast, slow)
