"""Several tenders of one order, and the override: what every store answers, and what it leaves
behind when it refuses.
"""

import asyncio
import random
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.domain import order as o
from gateway.domain.acts import overridden
from gateway.domain.payment import Payment
from gateway.flow.ports import (
    Applied,
    KeyTaken,
    NumberTaken,
    Opened,
    OrderSplit,
    Stale,
    TenderTaken,
)
from tests.contract.drawn import (
    MERCHANT,
    NO,
    NOW,
    SILENT,
    YES,
    Books,
    after,
    asked_for,
    bent,
    drawn_payment,
    occasion,
    opening_of,
    paid_payment,
    refund_change,
    refused,
    watched,
)
from tests.fakes.store import MemoryStore

PLAIN = o.OrderTerms()


def of(amount: int | None) -> o.OrderTerms:
    return o.OrderTerms(amount=amount)


async def in_order(books: Books, terms: o.OrderTerms = PLAIN, **fields: Any) -> Payment:
    payment = drawn_payment(**fields)
    assert await books.store.open_in_order(opening_of(payment), terms) == Opened()
    return payment


async def doubtful(books: Books, **fields: Any) -> Payment:
    payment = await in_order(books, **fields)
    change = after(payment, SILENT)
    assert await books.store.apply(change) == Applied()
    return change.payment


def named(payment: Payment, by: Payment) -> o.Override:
    change = watched(
        overridden(payment, by=by.id, words="ann: queue", occasion=occasion("supervisor"))
    )
    return o.Override(change=change, supervisor_id="ann", reason="queue")


async def risks(books: Books) -> list[tuple[str, str, int, str, str]]:
    """(let in, in doubt, its amount, supervisor, reason)."""
    if isinstance(books.store, MemoryStore):
        found = [
            (by, v.change.payment.id, v.change.payment.amount, v.supervisor_id, v.reason)
            for _, by, v in books.store.overrides
        ]
        return sorted(found)
    rows = await books.store._fetch(
        "SELECT payment_id, named_id, amount, supervisor_id, reason FROM override "
        "ORDER BY payment_id"
    )
    return [tuple(row) for row in rows]


async def traces(books: Books) -> tuple[Any, ...]:
    """What a refusal must not leave."""
    if isinstance(books.store, MemoryStore):
        orders = sorted(
            (merchant, order_no, amount)
            for (merchant, order_no), amount in books.store.orders.items()
        )
    else:
        orders = [
            tuple(r)
            for r in await books.store._fetch(
                'SELECT merchant_id, order_no, amount FROM "order" ORDER BY 1, 2'
            )
        ]
    return orders, await books.log(), await books.cases(), await books.journal(), await risks(books)


# --- a split order


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
    ) == o.OrderOverpaid(2500, 2000)
    assert await traces(books) == before
    await books.store.apply(after(first, NO))
    await in_order(books, tender_no=3)


async def test_a_plain_first_tender_meets_the_amount_too(books):
    await in_order(books, of(1500), tender_no=2)
    first = opening_of(drawn_payment())
    assert await books.store.open(first) == OrderSplit()
    assert await books.store.open_in_order(first, PLAIN) == o.OrderOverpaid(1500, 1000)


async def test_only_money_that_went_back_gives_room(books):
    paid = paid_payment()
    assert await books.store.open_in_order(opening_of(paid), of(1400)) == Opened()
    asked = refund_change(paid, "r1", 600)
    assert await books.store.apply(asked) == Applied()
    rival = opening_of(drawn_payment(tender_no=2))
    assert await books.store.open_in_order(rival, PLAIN) == o.OrderOverpaid(1400, 1000)
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


# --- in doubt, and overridden


async def test_no_other_tender_while_one_is_in_doubt(books):
    first = await doubtful(books)
    before = await traces(books)
    assert await books.store.open_in_order(
        opening_of(drawn_payment(tender_no=2)), PLAIN
    ) == o.OrderInDoubt(first)
    assert await books.store.open_in_order(opening_of(drawn_payment()), PLAIN) == TenderTaken(first)
    assert await traces(books) == before
    assert await books.store.apply(after(first, YES, "query")) == Applied()
    await in_order(books, tender_no=2)


async def test_the_first_tender_hears_of_the_second_that_is_in_doubt(books):
    second = await doubtful(books, tender_no=2)
    first = opening_of(drawn_payment())
    assert await books.store.open(first) == OrderSplit()
    assert await books.store.open_in_order(first, PLAIN) == o.OrderInDoubt(second)


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
    ) == o.OrderOverpaid(1000, 1000)
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
        if not isinstance(answer, Opened | o.OrderOverpaid | TenderTaken)
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
        assert o.OrderOverpaid(1500, 1000) in (fast, slow)


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
