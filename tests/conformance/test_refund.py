"""Giving money back: once per number, never more than came in, no "failed" that is not known."""

import pytest

from adapters.channel import PayRequest
from gateway.domain import outcomes as out
from tests.conformance.side import AMOUNT, QUERY_REFUND, REFUND, Side

ACCEPTED = out.RefundSucceeded | out.RefundPending


async def paid(side: Side) -> PayRequest:
    request = side.pay_request()
    assert isinstance(await side.pay(request), out.Succeeded)
    return request


async def test_a_number_moves_its_money_once(side: Side) -> None:
    request = await paid(side)
    refund = side.refund_request(request, 2_850)
    for _ in range(3):
        outcome = await side.refund(refund)
        assert isinstance(outcome, ACCEPTED), outcome
    settled = await side.settled_refund(refund)
    assert isinstance(settled, out.RefundSucceeded)
    assert settled.amount == 2_850
    assert settled.channel_refund_no
    assert await side.moved(request) == (AMOUNT, 2_850)


async def test_partial_refunds_add_up_to_the_whole(side: Side) -> None:
    request = await paid(side)
    for part in (1, 849, AMOUNT - 850):
        refund = side.refund_request(request, part)
        assert isinstance(await side.refund(refund), ACCEPTED)
        settled = await side.settled_refund(refund)
        assert isinstance(settled, out.RefundSucceeded), settled
        assert settled.amount == part
    assert await side.moved(request) == (AMOUNT, AMOUNT)


async def test_more_than_was_captured_is_not_given_back(side: Side) -> None:
    request = await paid(side)
    first = side.refund_request(request, AMOUNT - 100)
    await side.refund(first)
    await side.settled_refund(first)
    for amount in (101, AMOUNT):
        outcome = await side.refund(side.refund_request(request, amount))
        assert isinstance(outcome, out.RefundDeclined | out.Unknown), outcome
    assert await side.moved(request) == (AMOUNT, AMOUNT - 100)


async def test_an_unpaid_order_gives_nothing_back(side: Side) -> None:
    request = side.pay_request(magic="04")
    await side.pay(request)
    outcome = await side.refund(side.refund_request(request, 100))
    assert isinstance(outcome, out.RefundDeclined | out.Unknown), outcome
    assert await side.moved(request) == (0, 0)


async def test_a_number_never_sent_is_not_a_refund(side: Side) -> None:
    request = await paid(side)
    outcome = await side.query_refund(side.refund_request(request, 100))
    assert isinstance(outcome, out.RefundNotFound | out.RefundPending | out.Unknown), outcome


@pytest.mark.parametrize(
    "fault", ["drop_after_charge", "http_500_after_charge", "bad_signature", "system_error_charged"]
)
async def test_a_refund_whose_answer_is_lost_is_repeated_with_its_number(
    side: Side, fault: str
) -> None:
    request = await paid(side)
    refund = side.refund_request(request, 500)
    await side.arm(REFUND, fault, times=1)
    assert isinstance(await side.refund(refund), out.Unknown)
    assert isinstance(await side.refund(refund), ACCEPTED)
    assert await side.fired() == 1
    assert isinstance(await side.settled_refund(refund), out.RefundSucceeded)
    assert await side.moved(request) == (AMOUNT, 500)


async def test_a_slow_refund_is_pending_until_it_moved(side: Side) -> None:
    request = await paid(side)
    refund = side.refund_request(request, 500)
    await side.arm(REFUND, "refund_processing", delay_ms=400)
    outcome = await side.refund(refund)
    assert await side.fired() == 1
    assert not isinstance(outcome, out.RefundSucceeded | out.RefundDeclined), outcome
    assert isinstance(await side.settled_refund(refund), out.RefundSucceeded)


async def test_a_refund_that_cannot_arrive_is_no_success(side: Side) -> None:
    request = await paid(side)
    refund = side.refund_request(request, 500)
    await side.arm(REFUND, "refund_abnormal")
    outcome = await side.refund(refund)
    assert await side.fired() == 1
    if isinstance(outcome, out.RefundPending):
        outcome = await side.settled_refund(refund)
    assert isinstance(outcome, out.RefundDeclined), outcome
    assert outcome.code
    assert (await side.moved(request))[1] == 0


@pytest.mark.parametrize("fault", ["wrong_amount", "wrong_order"])
async def test_a_refund_of_something_else_is_no_success(side: Side, fault: str) -> None:
    request = await paid(side)
    refund = side.refund_request(request, 500)
    await side.arm(REFUND, fault, times=1)
    outcome = await side.refund(refund)
    assert await side.fired() == 1
    # An answer may state what all refunds of the order come to; then only the query tells this
    # one's amount.
    states_another = (
        fault == "wrong_amount"
        and isinstance(outcome, out.RefundSucceeded)
        and outcome.amount == refund.refund_amount
    )
    assert isinstance(outcome, out.Mismatch) or states_another, outcome
    await side.settled_refund(refund)
    await side.arm(QUERY_REFUND, fault, times=1)
    outcome = await side.query_refund(refund)
    assert await side.fired() == 1
    assert isinstance(outcome, out.Mismatch), outcome
