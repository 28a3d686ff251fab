"""The sweeper's visits: what is sent, until when, and what is durable by then."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.domain import outcomes as o
from gateway.domain.acts import cancel_sent, taken
from gateway.domain.change import Change
from gateway.domain.payment import Payment, Refund
from gateway.domain.returning import refund_learned
from gateway.domain.statuses import AttemptStatus, RefundStatus
from gateway.domain.words import Source
from gateway.flow.choose.routing import Choice
from gateway.flow.commands import Caller, RefundCommand
from gateway.flow.send.failover import Drawn
from gateway.limits import RETRY_STEPS_MS, SEND_DEADLINE_MS, SWEEP_LEASE_MS
from tests.contract.drawn import (
    MERCHANT,
    NOW,
    YES,
    after,
    asked_for,
    later,
    occasion,
    refund_change,
    watched,
)
from tests.unit.test_transition import HandClock
from tests.unit.visiting import Road

DEADLINE_S = SEND_DEADLINE_MS / 1000
LEASE_S = SWEEP_LEASE_MS / 1000
SILENCE = o.Unknown(reason="timeout")
CALLER = Caller(
    key_id="key", merchant_id=MERCHANT, store_id="s1", terminal_id="t1", role="terminal"
)


def silent(payment: Payment) -> Change:
    return after(payment, SILENCE)


def cancelling(payment: Payment) -> Change:
    return watched(cancel_sent(payment, payment.current, occasion("sweeper")))


@pytest.fixture
def road() -> Road:
    return Road(HandClock(NOW))


def long_after(road: Road) -> None:
    """Every cancel is lawful, and P4's clock has not run out."""
    road.clock.at = later(55)


# --- a cancel


async def test_a_visit_asks_then_cancels(road: Road) -> None:
    payment = await road.opened(silent)
    long_after(road)
    road.script.lines = {"query": [SILENCE], "cancel": [o.Reversed(was_charged=False)]}
    await road.visit(payment)
    assert road.script.calls() == ["query", "cancel"]
    assert (await road.now(payment)).status == "failed"


async def test_when_query_and_cancel_of_a_visit_are_silent_that_is_one_silence(road: Road) -> None:
    payment = await road.opened(silent)
    long_after(road)
    before = (await road.now(payment)).current.silences
    road.script.lines = {"query": [SILENCE], "cancel": [SILENCE]}
    await road.visit(payment)
    assert road.script.calls() == ["query", "cancel"]
    assert (await road.now(payment)).current.silences == before + 1


async def test_a_cancel_that_stands_still_behind_its_write_is_not_sent(road: Road) -> None:
    """Another sweeper visits by then."""
    payment = await road.opened(silent)
    long_after(road)
    road.script.lines = {"query": [SILENCE], "cancel": [o.Reversed()]}
    road.store.stands_still = lambda change: (
        LEASE_S if change.payment.current.status == AttemptStatus.CANCELLING else 0.0
    )
    await road.visit(payment)
    assert road.script.calls() == ["query"]
    assert (await road.now(payment)).current.status == "cancelling", "its next visit goes on"


async def test_the_deadline_of_a_cancel_counts_from_before_its_write(road: Road) -> None:
    payment = await road.opened(silent)
    long_after(road)
    road.script.lines = {"query": [SILENCE], "cancel": [o.Reversed()]}
    road.store.stands_still = lambda change: (
        DEADLINE_S / 2 if change.payment.current.status == AttemptStatus.CANCELLING else 0.0
    )
    began = road.clock.monotonic()
    await road.visit(payment)
    assert road.script.last("cancel").deadline == pytest.approx(began + DEADLINE_S)


@pytest.mark.parametrize("lease_s", [DEADLINE_S / 4, DEADLINE_S * 4])
async def test_nothing_of_a_visit_is_sent_after_its_lease(road: Road, lease_s: float) -> None:
    payment = await road.opened(silent)
    long_after(road)
    road.script.lines = {"query": [SILENCE], "cancel": [o.Reversed()]}
    ends = road.clock.monotonic() + lease_s
    await road.visit(payment, lease_s=lease_s)
    expected = min(ends, road.clock.monotonic() + DEADLINE_S)
    for operation in ("query", "cancel"):
        assert road.script.last(operation).deadline == pytest.approx(expected)


async def test_a_cancel_under_way_is_repeated_within_the_lease(road: Road) -> None:
    payment = await road.opened(silent, cancelling)
    long_after(road)
    road.script.lines = {"cancel": [o.CallAgain()]}
    await road.visit(payment, lease_s=DEADLINE_S / 4)
    assert road.script.last("cancel").deadline == pytest.approx(
        road.clock.monotonic() + DEADLINE_S / 4
    )


# --- an answer that comes after the end


async def test_fault_22_a_yes_to_a_question_from_before_the_end_is_asked_about(road: Road) -> None:
    """Another worker's cancel ends the attempt while the query is on its way: the yes may be older
    than the end, so the channel is asked what became of the money.
    """
    payment = await road.opened(silent)
    other = Road(road.clock, store=road.store)

    async def ends() -> None:
        number = payment.current.out_trade_no
        await other.transitions.step(payment, cancelling)
        now = await other.now(payment)
        await other.transitions.learn(now, number, o.Reversed(), Source.CANCEL)

    road.script.meanwhile = {"query": ends}
    road.script.lines = {"query": [YES, SILENCE]}
    await road.visit(payment)
    assert road.script.calls() == ["query", "query"]
    left = (await road.now(payment)).attempts[0]
    assert (left.status, left.due_at) == (
        "reversed",
        road.clock.now() + timedelta(milliseconds=RETRY_STEPS_MS[0]),
    ), "the question stands in the books as the next visit"
    road.script.lines = {"query": [YES]}
    await road.visit(payment)
    assert ((await road.now(payment)).status, (await road.now(payment)).late_refund) == (
        "paid_late",
        "requested",
    )


async def test_fault_22_a_yes_to_a_pay_call_that_stood_still_is_asked_about(road: Road) -> None:
    """Taken over, cancelled and ended by another worker while the pay call was on its way."""
    payment = await road.opened()
    other = Road(road.clock, store=road.store)

    async def ends() -> None:
        number = payment.current.out_trade_no
        now = await other.transitions.step(
            payment, lambda each: watched(taken(each, each.current, occasion("sweeper")))
        )
        now = await other.transitions.step(now, cancelling)
        await other.transitions.learn(now, number, o.Reversed(), Source.CANCEL)

    road.script.meanwhile = {"pay": ends}
    road.script.lines = {"pay": [YES], "query": [o.Closed(was_charged=True)]}
    drawn = Drawn(Choice(account=road.account, why="only"), road.clock.monotonic() + DEADLINE_S)
    await road.sender.go_on(payment, drawn)
    assert road.script.calls() == ["pay", "query"]
    left = (await road.now(payment)).attempts[0]
    assert (left.status, left.due_at) == ("reversed", None), "our cancel had given it back"


# --- a refund


async def refunded(road: Road, *outcomes: o.RefundOutcome) -> tuple[Payment, Refund]:
    """A refund in the books, after what was said of it."""
    payment = await road.opened(lambda p: after(p, YES))
    change = refund_change(payment, "r1", 400)
    await road.store.apply(change)
    now, refund = change.payment, asked_for(change)
    for outcome in outcomes:
        told = refund_learned(now, refund, outcome, occasion("refund", later(1)))
        assert told is not None
        assert told.refund is not None
        told = replace(told, refund=replace(told.refund, due_at=later(9)))
        await road.store.apply(told)
        now, refund = told.payment, asked_again(told)
    return now, refund


def asked_again(change: Change) -> Refund:
    assert change.refund is not None
    return change.refund


REFUSED_FOR_NOW = o.RefundDeclined(code="merchant_balance", needs_action=True)
DONE = o.RefundSucceeded(amount=400, channel_refund_no="R1")


async def test_a_refund_that_waits_for_a_person_is_processing_before_it_is_sent_again(
    road: Road,
) -> None:
    _, refund = await refunded(road, REFUSED_FOR_NOW)
    assert refund.status == "needs_action"
    seen: list[RefundStatus] = []

    async def look() -> None:
        kept = await road.store.refund(MERCHANT, refund.id)
        assert kept is not None
        seen.append(kept.status)

    road.script.meanwhile = {"refund": look}
    road.script.lines = {"refund_query": [o.RefundNotFound()], "refund": [DONE]}
    await road.visit_refund(refund)
    kept = await road.store.refund(MERCHANT, refund.id)
    assert kept is not None
    assert (seen, kept.status) == (["processing"], "succeeded")


@pytest.mark.parametrize("says", [[SILENCE], [REFUSED_FOR_NOW]])
async def test_a_repeat_that_stands_still_behind_its_write_is_not_sent(
    road: Road, says: list[Any]
) -> None:
    """Between "the channel never accepted it" and the repeat lies a write, and perhaps a lease."""
    _, refund = await refunded(road, *says)
    road.script.lines = {"refund_query": [o.RefundNotFound()], "refund": [DONE]}
    road.store.stands_still = lambda change: (
        LEASE_S if change.refund is not None and change.refund.status == "processing" else 0.0
    )
    sent = ["refund_query", "refund"] if says == [SILENCE] else ["refund_query"]
    await road.visit_refund(refund)
    assert road.script.calls() == sent, "only a refund that waited is written once more"


@pytest.mark.parametrize("lease_s", [DEADLINE_S / 4, DEADLINE_S * 4])
async def test_no_refund_of_a_visit_is_sent_after_its_lease(road: Road, lease_s: float) -> None:
    _, refund = await refunded(road, SILENCE)
    road.script.lines = {"refund_query": [o.RefundNotFound()], "refund": [DONE]}
    ends = road.clock.monotonic() + lease_s
    await road.visit_refund(refund, lease_s=lease_s)
    expected = min(ends, road.clock.monotonic() + DEADLINE_S)
    for operation in ("refund_query", "refund"):
        assert road.script.last(operation).deadline == pytest.approx(expected)


async def test_the_deadline_of_the_first_send_counts_from_before_the_write(road: Road) -> None:
    payment = await road.opened(lambda p: after(p, YES))
    began = road.clock.monotonic()
    road.store.stands_still = lambda change: 10.0 if change.new_refund is not None else 0.0
    road.script.lines = {"refund": [o.NotSent(reason="send_deadline")]}
    command = RefundCommand(refund_no="r1", amount=400, reason="", operator_id=None)
    await road.refunds.refund(payment.id, command, CALLER, "key-r1", wait_s=0)
    await road.in_flight.close()
    assert road.script.last("refund").deadline == pytest.approx(began + DEADLINE_S)
    assert road.clock.monotonic() > began + DEADLINE_S, "the transport sends nothing any more"
