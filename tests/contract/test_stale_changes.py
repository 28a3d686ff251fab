"""Whatever a change carries is written with its payment, or not at all."""

from msgspec.structs import replace

from gateway.domain import outcomes as o
from gateway.domain.acts import cancel_requested
from gateway.domain.change import Change, Posting
from gateway.domain.payment import Payment, Refund
from gateway.domain.returning import refund_learned
from gateway.flow.ports import Applied, Stale, TenderTaken
from tests.contract.drawn import (
    MERCHANT,
    NO,
    YES,
    Books,
    after,
    asked_for,
    case,
    drawn_payment,
    later,
    occasion,
    opened,
    opening_of,
    refund_change,
    settled,
    watched,
)
from tests.contract.test_store_failover import moved_on


def hastened(payment: Payment) -> Change:
    """Another writer was faster."""
    return cancel_requested(payment, occasion("till", later(30)), by="key_1")


async def traces(books: Books) -> list[object]:
    return [await books.log(), await books.cases(), await books.journal()]


async def with_a_refund(books: Books) -> tuple[Payment, Refund]:
    asked = refund_change(await settled(books), "r1", 400)
    assert await books.store.apply(asked) == Applied()
    return asked.payment, asked_for(asked)


def told(payment: Payment, refund: Refund, outcome: o.RefundQueryOutcome) -> Change:
    change = refund_learned(payment, refund, outcome, occasion("refund", later(1)))
    assert change is not None
    assert change.refund is not None
    is_open = change.refund.status in ("in_doubt", "processing")
    due_at = later(9) if is_open else None
    return watched(replace(change, refund=replace(change.refund, due_at=due_at)))


async def test_a_stale_change_leaves_the_refund_as_it_was(books):
    """The payment was faster: without it the reservation would not move, only the refund's row."""
    payment, refund = await with_a_refund(books)
    faster = hastened(payment)
    assert await books.store.apply(faster) == Applied()
    for outcome in (
        o.RefundDeclined(code="refund_refused", needs_action=False),
        o.RefundSucceeded(amount=400, channel_refund_no="R1"),
        o.Unknown(reason="timeout"),
    ):
        assert await books.store.apply(told(payment, refund, outcome)) == Stale()
        assert await books.store.refund(MERCHANT, refund.id) == refund
        assert await books.store.payment(MERCHANT, payment.id) == faster.payment


async def test_a_stale_change_makes_no_refund_and_no_attempt_of_it(books):
    payment, _ = await with_a_refund(books)
    faster = hastened(payment)
    assert await books.store.apply(faster) == Applied()
    second = refund_change(payment, "r2", 300)
    assert await books.store.apply(second) == Stale()
    assert await books.store.refund(MERCHANT, asked_for(second).id) is None
    assert await books.store.payment(MERCHANT, payment.id) == faster.payment


async def test_what_was_heard_of_a_refund_comes_with_the_very_change(books):
    payment, refund = await with_a_refund(books)
    change = told(payment, refund, o.Unknown(reason="timeout"))
    assert await books.store.apply(change) == Applied()
    kept = await books.store.refund(MERCHANT, refund.id)
    assert kept == change.refund
    assert kept.heard == 1


async def test_a_stale_change_leaves_no_event_no_case_and_no_posting(books):
    payment = await opened(books)
    faster = hastened(payment)
    assert await books.store.apply(faster) == Applied()
    before = await traces(books)
    lines = (
        Posting(posting_id=payment.id, account="drawer", amount=1),
        Posting(posting_id=payment.id, account="takings", amount=-1),
    )
    stale = replace(after(payment, YES), case=case(), postings=lines)
    assert await books.store.apply(stale) == Stale()
    assert await traces(books) == before
    assert await books.store.payment(MERCHANT, payment.id) == faster.payment


async def test_a_stale_change_opens_no_further_attempt(books):
    payment = await opened(books)
    faster = hastened(payment)
    assert await books.store.apply(faster) == Applied()
    assert await books.store.apply(watched(moved_on(payment))) == Stale()
    kept = await books.store.payment(MERCHANT, payment.id)
    assert kept == faster.payment
    assert len(kept.attempts) == 1


async def test_a_stale_end_does_not_free_the_tender(books):
    payment = await opened(books)
    faster = hastened(payment)
    assert await books.store.apply(faster) == Applied()
    assert await books.store.apply(after(payment, NO)) == Stale()
    rival = opening_of(drawn_payment(n=2))
    assert await books.store.open(rival) == TenderTaken(faster.payment)


async def test_a_stale_late_yes_makes_no_refund(books):
    payment = await opened(books)
    ended = after(payment, NO)
    assert await books.store.apply(ended) == Applied()
    late = after(ended.payment, YES, "query", later(5))
    frozen = after(
        ended.payment, o.Mismatch(field="amount", expected="1000", got="1"), "callback", later(4)
    )
    assert await books.store.apply(frozen) == Applied()
    assert await books.store.apply(late) == Stale()
    assert list(await books.store.refunds_of(MERCHANT, payment.id)) == []
