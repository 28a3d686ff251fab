"""What every store keeps, whatever the program above believes:
write 1, write 2, and the rules of the schema.
"""

import asyncio

import pytest
from msgspec.structs import replace

from gateway.domain import outcomes as o
from gateway.domain.acts import cancel_requested, cancel_sent, taken
from gateway.domain.case import CaseKind
from gateway.domain.change import Posting, payment_event
from gateway.domain.statuses import PaymentStatus
from gateway.flow.ports import Applied, KeyTaken, NumberTaken, Opened, Stale, TenderTaken
from tests.contract.drawn import (
    EVIDENCE,
    MERCHANT,
    NO,
    NOW,
    SILENT,
    STORE,
    YES,
    after,
    bent,
    case,
    drawn_payment,
    later,
    occasion,
    opened,
    opening_of,
    paid_payment,
    refused,
    watched,
)

# --- write 1


async def test_open_is_read_back_whole(books):
    payment = drawn_payment(
        metadata={"桌": "8"}, description="汤面", operator_id="op", expires_at=later(60)
    )
    opening = opening_of(payment, "key-1", b'{"amount":1000}')
    assert await books.store.open(opening) == Opened()
    assert await books.store.payment(MERCHANT, payment.id) == payment
    assert await books.store.payment_by_key(MERCHANT, STORE, "key-1") == KeyTaken(
        payment, b'{"amount":1000}'
    )
    assert await books.log() == [
        (payment.id, 1, "payment.processing", False, opening.events[0].data.decode())
    ]


async def test_same_key_is_bound_to_the_first(books):
    first = await opened(books)
    same_key = opening_of(drawn_payment("B2"), f"k-{first.id}", b"other")
    assert await books.store.open(same_key) == KeyTaken(first, b"{}")
    assert await books.store.payment(MERCHANT, same_key.payment.id) is None


async def test_key_is_looked_at_before_the_tender(books):
    first = await opened(books)
    assert await books.store.open(opening_of(drawn_payment(), f"k-{first.id}")) == KeyTaken(
        first, b"{}"
    )


async def test_tender_is_held_while_live_and_when_paid(books):
    first = await opened(books)
    assert await books.store.open(opening_of(drawn_payment())) == TenderTaken(first)
    paid = after(first, YES)
    assert await books.store.apply(paid) == Applied()
    assert await books.store.open(opening_of(drawn_payment())) == TenderTaken(paid.payment)


async def test_another_tender_order_or_merchant_is_free(books):
    await opened(books)
    await opened(books, tender_no=2)
    await opened(books, order_no="B2")
    await opened(books, merchant="m2")


async def test_tender_is_free_after_a_proven_no_and_the_number_goes_on(books):
    for n in (1, 2, 3):
        payment = await opened(books, n=n)
        assert await books.store.apply(after(payment, NO)) == Applied()
        assert await books.store.open(opening_of(drawn_payment(n=1))) == NumberTaken(n)
    fourth = await opened(books, n=4)
    assert await books.store.open(opening_of(drawn_payment(n=2))) == TenderTaken(fourth)


async def test_paid_late_frees_the_tender(books):
    first = await opened(books)
    no = after(first, NO)
    await books.store.apply(no)
    late = after(no.payment, YES, "query")
    assert await books.store.apply(late) == Applied()
    assert await books.store.open(opening_of(drawn_payment(n=2))) == Opened()


async def test_one_of_many_concurrent_opens_of_a_tender_wins(books):
    rivals = [opening_of(drawn_payment()) for _ in range(12)]
    results = await asyncio.gather(*(books.store.open(rival) for rival in rivals))
    won = [rival for rival, result in zip(rivals, results, strict=True) if result == Opened()]
    assert len(won) == 1
    assert all(result in (Opened(), TenderTaken(won[0].payment)) for result in results)


async def test_one_of_many_concurrent_opens_under_one_key_wins(books):
    rivals = [opening_of(drawn_payment(f"O{n}"), "one-key") for n in range(12)]
    results = await asyncio.gather(*(books.store.open(rival) for rival in rivals))
    assert [type(result) for result in results].count(Opened) == 1
    won = rivals[results.index(Opened())]
    assert all(result in (Opened(), KeyTaken(won.payment, b"{}")) for result in results)


async def test_opening_sent_again_after_a_lost_reply_is_still_opened(books):
    opening = opening_of(drawn_payment())
    assert await books.store.open(opening) == Opened()
    assert await books.store.open(opening) == Opened()
    assert len(await books.log()) == 1


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({"amount": 0}, "23514 payment_amount_check"),
        ({"amount": 10_000_000_001}, "23514 payment_amount_check"),
        ({"currency": "USD"}, "23514 payment_currency_check"),
        ({"tender_no": 100}, "23514 payment_tender_no_check"),
        ({"tendered": 999}, "23514 payment_check"),
        ({"tendered": 1500, "change": 499}, "23514 payment_check1"),
        ({"status": "failed"}, "23514 payment_check2"),
        (
            {
                "status": "succeeded",
                "attempt": {"status": "succeeded", "captured_amount": 1000, "due_at": None},
            },
            "23514 payment_check3",
        ),
        ({"attempt": {"status": "declined"}}, "23514 a_no_needs_evidence"),
        ({"attempt": {"status": "succeeded"}}, "23514 money_is_known"),
        ({"attempt": {"captured_amount": 5}}, "23514 money_is_known"),
        ({"attempt": {"status": "pending", "due_at": None}}, "23514 live_is_watched"),
        ({"attempt": {"status": "begun"}}, "23514 attempt_status"),
    ],
)
async def test_nonsense_is_not_opened(books, fields, refusal):
    payment = drawn_payment(**fields)
    neighbour = opening_of(drawn_payment("B2"))
    found, beside = await asyncio.gather(
        refused(books.store.open(opening_of(payment))), books.store.open(neighbour)
    )
    assert (found, beside) == (refusal, Opened())
    assert await books.store.payment(MERCHANT, payment.id) is None
    assert await books.store.payment_by_key(MERCHANT, STORE, f"k-{payment.id}") is None


async def test_channel_order_number_is_taken_once(books):
    first = await opened(books)
    twin = drawn_payment("B2", attempt={"out_trade_no": first.current.out_trade_no})
    assert (await refused(books.store.open(opening_of(twin)))).startswith("23505")
    assert await books.store.payment(MERCHANT, twin.id) is None


# --- the journal


@pytest.mark.parametrize(
    ("lines", "refusal"),
    [
        ((("drawer", 1000), ("takings", -1000)), None),
        ((("drawer", 1000), ("takings", -999)), "TG002"),
        ((("drawer", 1000),), "TG002"),
        ((("drawer", 0), ("takings", 0)), "23514 journal_amount_check"),
    ],
)
async def test_a_posting_sums_to_zero(books, lines, refusal):
    payment = paid_payment()
    postings = tuple(
        Posting(posting_id=payment.id, account=account, amount=amount) for account, amount in lines
    )
    opening = opening_of(payment, postings=postings)
    if refusal is None:
        assert await books.store.open(opening) == Opened()
        assert await books.journal() == sorted(
            (payment.id, account, amount) for account, amount in lines
        )
    else:
        assert await refused(books.store.open(opening)) == refusal
        assert await books.journal() == []
        assert await books.store.payment(MERCHANT, payment.id) is None


# --- write 2


async def test_apply_compares_the_version(books):
    payment = await opened(books)
    yes, silent = after(payment, YES), after(payment, SILENT)
    assert await books.store.apply(yes) == Applied()
    assert await books.store.apply(silent) == Stale()
    assert await books.store.payment(MERCHANT, payment.id) == yes.payment
    assert [row[1:4] for row in await books.log()] == [
        (1, "payment.processing", False),
        (2, "payment.succeeded", True),
    ]


async def test_apply_of_nobody_is_stale(books):
    assert await books.store.apply(after(drawn_payment(), YES)) == Stale()


async def test_apply_sent_again_after_a_lost_reply_is_still_applied(books):
    payment = await opened(books)
    yes = after(payment, YES)
    assert await books.store.apply(yes) == Applied()
    assert await books.store.apply(yes) == Applied()
    assert len(await books.log()) == 2


async def test_one_of_many_concurrent_changes_wins(books):
    payment = await opened(books)
    changes = [after(payment, o.Unknown(reason=f"r{n}"), at=later(n)) for n in range(8)]
    results = await asyncio.gather(*(books.store.apply(change) for change in changes))
    assert sorted(type(result).__name__ for result in results) == ["Applied"] + ["Stale"] * 7
    assert (
        await books.store.payment(MERCHANT, payment.id) == changes[results.index(Applied())].payment
    )


async def test_every_moving_field_is_read_back(books):
    payment = await opened(books)
    for change in (
        lambda p: after(
            p,
            o.PayerActionNeeded(
                qr_code="qr", channel_code="WAIT", channel_trade_no="C9", evidence="词"
            ),
        ),
        lambda p: watched(cancel_requested(p, occasion("till", later(1)), by="key_1")),
        lambda p: watched(taken(p, p.current, occasion("sweeper", later(2)))),
        lambda p: watched(cancel_sent(p, p.current, occasion("sweeper", later(3)))),
        lambda p: after(p, o.UseRefund(channel_code="LATE"), "cancel", later(4)),
        lambda p: after(
            p,
            o.Succeeded(
                amount=1000,
                received_amount=900,
                channel_trade_no="C9",
                payer_masked="a**b",
                discounts=(o.Discount(name="券", amount=100, funded_by="channel"),),
            ),
            "query",
            later(5),
        ),
    ):
        made = change(payment)
        assert await books.store.apply(made) == Applied()
        payment = await books.store.payment(MERCHANT, payment.id)
        assert payment == made.payment
    assert (payment.status, payment.version, payment.discounts[0]["name"]) == ("succeeded", 7, "券")


async def test_a_no_needs_evidence(books):
    payment = await opened(books)
    assert (
        await refused(books.store.apply(bent(after(payment, NO), evidence=())))
        == "23514 a_no_needs_evidence"
    )
    assert await books.store.payment(MERCHANT, payment.id) == payment
    assert len(await books.log()) == 1


@pytest.mark.parametrize(
    ("bend", "refusal"),
    [
        ({"status": "returned", "captured_amount": 1000}, "TG003"),
        ({"status": "captured_late", "captured_amount": 1000}, "TG003"),
        (
            {"status": "declined", "reserved_amount": 1, "evidence": (EVIDENCE,)},
            "23514 refunds_within_capture",
        ),
        ({"reserved_amount": -1}, "23514"),
        ({"due_at": None}, "23514 live_is_watched"),
        ({"status": "succeeded"}, "23514 money_is_known"),
    ],
)
async def test_a_bent_attempt_is_refused_and_its_neighbours_are_not(books, bend, refusal):
    payment, others = await opened(books), [await opened(books, order_no=f"N{n}") for n in range(4)]
    bad = bent(after(payment, SILENT), **bend)
    found, *beside = await asyncio.gather(
        refused(books.store.apply(bad)), *(books.store.apply(after(other, YES)) for other in others)
    )
    assert found.startswith(refusal)
    assert beside == [Applied()] * 4
    assert await books.store.payment(MERCHANT, payment.id) == payment


@pytest.mark.parametrize("day", ["business_date", "channel_date"])
async def test_the_days_of_what_is_paid_are_final(books, day):
    payment = await opened(books)
    yes = after(payment, YES)
    moved = replace(yes, payment=replace(yes.payment, business_date="2026-11-22"))
    assert await books.store.apply(moved) == Applied()
    other = replace(moved.payment, version=3, **{day: "2026-11-23"})
    events = (payment_event(other, was=PaymentStatus.SUCCEEDED, at=later(9)),)
    change = replace(yes, payment=other, events=events)
    assert await refused(books.store.apply(change)) == "TG009"
    assert await books.store.payment(MERCHANT, payment.id) == moved.payment


async def test_an_illegal_move_of_the_payment_is_refused(books):
    payment, other = await opened(books), await opened(books, order_no="B2")
    no = after(payment, NO)
    await books.store.apply(no)
    back = replace(no.payment, version=3, status="processing")
    backwards = replace(
        no, payment=back, events=(payment_event(back, was=PaymentStatus.FAILED, at=later(9)),)
    )
    found, beside = await asyncio.gather(
        refused(books.store.apply(backwards)), books.store.apply(after(other, YES))
    )
    assert (found, beside) == ("TG003", Applied())
    assert await books.store.payment(MERCHANT, payment.id) == no.payment
    assert len(await books.log()) == 4


async def test_a_case_of_a_change_is_open_once(books):
    payment = await opened(books)
    for at in (1, 2):
        change = after(
            payment, o.Mismatch(field="amount", expected="1000", got="1"), "callback", later(at)
        )
        assert await books.store.apply(change) == Applied()
        payment = change.payment
    await books.store.apply(
        replace(after(payment, SILENT, "query", later(3)), case=case(CaseKind.OVERRIDE))
    )
    assert await books.cases() == [
        ("mismatch_amount", payment.id, None),
        ("override", payment.id, None),
    ]
    assert payment.frozen_at == later(1)


async def test_now_is_kept_to_the_microsecond(books):
    at = NOW.replace(microsecond=123457)
    payment = await opened(books, created_at=at)
    assert (await books.store.payment(MERCHANT, payment.id)).created_at == at
