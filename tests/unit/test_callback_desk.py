"""What a verified callback does: to a payment, to a refund, and when a person is called."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.channel import Callback
from gateway.domain import outcomes as o
from gateway.domain.acts import cancel_sent
from gateway.domain.change import Change
from gateway.domain.payment import Payment
from tests.contract.drawn import (
    ACCOUNT,
    MERCHANT,
    NOW,
    YES,
    after,
    asked_for,
    occasion,
    refund_change,
    watched,
)
from tests.unit.test_transition import HandClock
from tests.unit.visiting import ACKNOWLEDGED, AGAIN, Road

CLOSED = o.Closed(was_charged=False)
REFUSED = o.Declined(
    code=o.FailureCode.PAYMENT_REFUSED, retry=o.Retry.OTHER_METHOD, failover_useful=False
)


@pytest.fixture
def road() -> Road:
    return Road(HandClock(NOW))


def silent(payment: Payment) -> Change:
    return after(payment, o.Unknown(reason="timeout"))


def paid(payment: Payment) -> Change:
    return after(payment, YES)


def cancelling(payment: Payment) -> Change:
    return watched(cancel_sent(payment, payment.current, occasion("sweeper")))


def reversed_by_us(payment: Payment) -> Change:
    return after(payment, o.Reversed(was_charged=True), "cancel")


def about(payment: Payment, **fields: Any) -> Callback:
    given: dict[str, Any] = {
        "event_key": "evt",
        "kind": "pay",
        "out_trade_no": payment.current.out_trade_no,
        "amount": payment.amount,
        "learned": YES,
    }
    return Callback(**(given | fields))


async def called_back(road: Road, callback: Callback) -> object:
    road.script.callback = callback
    return (await road.callbacks.take(ACCOUNT, {}, b"{}")).answer


def cases(road: Road) -> list[str]:
    return [kept.case.name for kept in road.store.cases]


@pytest.mark.parametrize("learned", [YES, CLOSED, REFUSED, None])
@pytest.mark.parametrize("amount", [999, 1001, 0])
async def test_fault_18_another_amount_freezes_whatever_else_is_told(
    road: Road, learned: Any, amount: int
) -> None:
    """Also a "closed" and a "refused": they are about another trade than ours."""
    payment = await road.opened(silent)
    if learned is YES:
        learned = o.Succeeded(amount=amount, channel_trade_no="C1")
    answer = await called_back(road, about(payment, amount=amount, learned=learned))
    now = await road.now(payment)
    assert answer == ACKNOWLEDGED
    assert (now.status, now.current.status) == ("in_doubt", "in_doubt")
    assert (now.frozen_at, now.frozen_by) == (road.clock.now(), payment.current.id)
    assert cases(road) == ["mismatch_amount"]


@pytest.mark.parametrize(
    ("learned", "status"),
    [(YES, "succeeded"), (CLOSED, "failed"), (REFUSED, "failed"), (None, "in_doubt")],
)
@pytest.mark.parametrize("amount", [1000, None])
async def test_our_amount_or_none_is_applied(
    road: Road, learned: Any, status: str, amount: int | None
) -> None:
    payment = await road.opened(silent)
    answer = await called_back(road, about(payment, amount=amount, learned=learned))
    now = await road.now(payment)
    assert (answer, now.status, now.frozen_at) == (ACKNOWLEDGED, status, None)
    assert cases(road) == []


async def test_a_yes_after_the_end_is_not_acknowledged_before_the_channel_has_spoken(
    road: Road,
) -> None:
    payment = await road.opened(silent, cancelling, reversed_by_us)
    road.script.lines = {"query": [o.Unknown(reason="timeout"), o.Closed(was_charged=True)]}
    assert await called_back(road, about(payment)) == AGAIN
    assert await called_back(road, about(payment)) == ACKNOWLEDGED
    assert await called_back(road, about(payment)) == ACKNOWLEDGED, "a duplicate"
    assert road.script.calls() == ["query", "query"]


# --- refunds


def refunded(payment: Payment, number: str) -> Callback:
    return about(
        payment,
        kind="refund",
        amount=None,
        learned=None,
        out_refund_no=number,
        refund=o.RefundSucceeded(amount=400, channel_refund_no="R1"),
    )


async def test_our_refund_is_found_by_its_number(road: Road) -> None:
    payment = await road.opened(paid)
    change = refund_change(payment, "r1", 400)
    await road.store.apply(change)
    refund = asked_for(change)
    assert await called_back(road, refunded(payment, refund.out_refund_no)) == ACKNOWLEDGED
    kept = await road.store.refund(MERCHANT, refund.id)
    assert kept is not None
    assert (kept.status, cases(road)) == ("succeeded", [])


@pytest.mark.parametrize(
    ("ours", "opened"),
    [
        ([paid], ["refund_unknown"]),
        ([silent], ["refund_unknown"]),
        ([silent, cancelling], []),
        ([silent, cancelling, reversed_by_us], []),
    ],
)
async def test_money_back_that_our_own_cancel_explains_calls_nobody(
    road: Road, ours: list[Any], opened: list[str]
) -> None:
    payment = await road.opened(*ours)
    assert await called_back(road, refunded(payment, "TTNOTOURS")) == ACKNOWLEDGED
    assert cases(road) == opened
    assert [kept.case.attempt_id for kept in road.store.cases] == [
        payment.current.id for _ in opened
    ]
    assert await road.now(payment) == payment
