"""A long poll wakes a till for what the till can see, and for nothing else."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from gateway.domain import outcomes as o
from gateway.domain.payment import Payment
from gateway.domain.words import Source
from gateway.flow.commands import Caller, RefundCommand
from gateway.flow.lookup import Lookup
from tests.contract.drawn import MERCHANT, NOW
from tests.unit.test_transition import HandClock
from tests.unit.visiting import Road

CALLER = Caller(key_id="k", merchant_id=MERCHANT, store_id=None, terminal_id=None, role="merchant")
WAIT_S = 30
ROUNDS = 20  # of the loop: more than an answer that is due needs
YES = o.Succeeded(amount=1000, channel_trade_no="C1")
T = TypeVar("T")


@pytest.fixture
def road() -> Road:
    return Road(HandClock(NOW))


def lookup(road: Road) -> Lookup:
    return road.refunds.lookup


async def begun(waiting: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    task = asyncio.create_task(waiting)
    await turned()
    return task


async def turned() -> None:
    for _ in range(ROUNDS):
        await asyncio.sleep(0)


async def told(road: Road, payment: Payment, outcome: Any, source: Source) -> Payment:
    return await road.transitions.learn(payment, payment.current.out_trade_no, outcome, source)


async def test_what_only_the_sweeper_sees_wakes_no_till(road: Road) -> None:
    payment = await told(road, await road.opened(), o.Unknown(reason="timeout"), Source.PAY)
    waiting = await begun(lookup(road).payment(payment.id, CALLER, WAIT_S))
    for _ in range(3):
        payment = await told(road, payment, o.Unknown(reason="timeout"), Source.QUERY)
    await turned()
    assert not waiting.done()
    paid = await told(road, payment, YES, Source.QUERY)
    assert await waiting == paid


async def test_a_cancel_that_was_asked_for_is_seen(road: Road) -> None:
    """The status stays; the sentence says that it is being cancelled."""
    payment = await told(road, await road.opened(), o.Unknown(reason="timeout"), Source.PAY)
    waiting = await begun(lookup(road).payment(payment.id, CALLER, WAIT_S))
    wished = await road.cancellation.cancel(payment.id, CALLER, 0)
    assert (await waiting).version == wished.version


async def test_what_has_ended_is_answered_at_once(road: Road) -> None:
    paid = await told(road, await road.opened(), YES, Source.PAY)
    asked = await begun(lookup(road).payment(paid.id, CALLER, WAIT_S))
    assert asked.done()
    assert asked.result() == paid


async def test_a_refund_is_waited_for_like_a_payment(road: Road) -> None:
    paid = await told(road, await road.opened(), YES, Source.PAY)
    command = RefundCommand(refund_no="r1", amount=400, reason="cold", operator_id=None)
    road.script.lines["refund"] = [o.Unknown(reason="timeout")]
    refund = (await road.refunds.refund(paid.id, command, CALLER, "k1", WAIT_S)).refund
    waiting = await begun(lookup(road).refund(refund.id, CALLER, WAIT_S))
    payment = await road.now(paid)
    payment, _ = await road.transitions.learn_refund(
        payment, refund.id, o.Unknown(reason="timeout"), Source.REFUND_QUERY
    )
    await turned()
    assert not waiting.done()
    await road.transitions.learn_refund(
        payment,
        refund.id,
        o.RefundSucceeded(amount=400, channel_refund_no="C1"),
        Source.REFUND_QUERY,
    )
    assert (await waiting).status == "succeeded"
    again = await begun(lookup(road).refund(refund.id, CALLER, WAIT_S))
    assert again.done()


async def test_a_payment_on_its_way_back_is_waited_for(road: Road) -> None:
    """Its status has ended, and its sentence has not."""
    paid = await told(road, await road.opened(), YES, Source.PAY)
    command = RefundCommand(refund_no="r1", amount=1000, reason="cold", operator_id=None)
    road.script.lines["refund"] = [o.RefundPending()]
    refund = (await road.refunds.refund(paid.id, command, CALLER, "k1", WAIT_S)).refund
    waiting = await begun(lookup(road).payment(paid.id, CALLER, WAIT_S))
    assert not waiting.done()
    await road.transitions.learn_refund(
        await road.now(paid),
        refund.id,
        o.RefundSucceeded(amount=1000, channel_refund_no="C1"),
        Source.REFUND_QUERY,
    )
    assert (await waiting).current.returned_amount == 1000
