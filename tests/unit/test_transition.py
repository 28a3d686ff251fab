"""How what was learned reaches the books: whose answer proves what, and what happens to a word the
tables have no cell for.
"""

from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from adapters.alipay.manifest import MANIFEST
from adapters.channel import Flow
from gateway.domain import outcomes as o
from gateway.domain.acts import cancel_sent, taken
from gateway.domain.change import Change
from gateway.domain.errors import OutcomePending, StoreUnavailable
from gateway.domain.identifiers import Numbers
from gateway.domain.late_money import late_refund
from gateway.domain.payment import Payment
from gateway.domain.words import Origin, Source
from gateway.flow.call.channel_call import ChannelCalls
from gateway.flow.choose.health import ChannelHealth
from gateway.flow.learn.in_flight import InFlight
from gateway.flow.learn.lost_attempts import LostAttempts
from gateway.flow.learn.transition import RefundRace, Transitions
from gateway.flow.ports import Applied, Opened, Ports, StoreRefused
from gateway.limits import SWEEP_LEASE_MS
from tests.contract.drawn import (
    ACCOUNT,
    MERCHANT,
    NO,
    NOW,
    YES,
    after,
    bent,
    drawn_payment,
    later,
    new_id,
    occasion,
    opening_of,
    refund_change,
    watched,
)
from tests.fakes.accounts import remote_account
from tests.fakes.store import MemoryStore
from tests.shelf import Shelf

PROOF_S = 60 + MANIFEST.schedules[Flow.CODE].proof_margin_ms / 1000  # drawn payments act until 60 s


class HandClock:
    def __init__(self, now: datetime) -> None:
        self.at = now

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return (self.at - NOW).total_seconds()


class Ids:
    def new(self, prefix: str) -> str:
        return new_id(prefix)

    def token(self) -> str:
        return new_id("token")


class Rig:
    """Transitions over a store in memory."""

    def __init__(self, store: MemoryStore | None = None, at: datetime = NOW) -> None:
        self.store, self.clock = store or MemoryStore(), HandClock(at)
        account = remote_account(ACCOUNT, MANIFEST, merchant_id=MERCHANT, profile="standard")
        directory = self.shelf = Shelf(MERCHANT, ("s1",), [account], {"wallet": MANIFEST})
        calls = ChannelCalls(self.clock, ChannelHealth(self.clock, worker_id="wrk_1"))
        ports = Ports(
            store=self.store,
            directory=directory,
            clock=self.clock,
            ids=Ids(),
            numbers=Numbers("TT"),
        )
        self.transitions = Transitions(
            ports=ports,
            in_flight=InFlight(self.store),
            lost=LostAttempts(ports=ports, calls=calls),
        )

    async def opened(self, *changes: Any) -> Payment:
        payment = drawn_payment()
        assert await self.store.open(opening_of(payment)) == Opened()
        for change in changes:
            made: Change = change(payment)
            assert await self.store.apply(made) == Applied()
            payment = made.payment
        return payment


def cancelled(payment: Payment) -> Change:
    return watched(cancel_sent(payment, payment.current, occasion("sweeper")))


def nothing_there(payment: Payment) -> Change:
    return after(payment, o.NothingThere(), "cancel")


@pytest.mark.parametrize(
    ("asked_at", "status"),
    [
        (later(PROOF_S), "failed"),
        (later(PROOF_S + 1), "failed"),
        (later(PROOF_S - 0.001), "in_doubt"),
        (later(0), "in_doubt"),
        (None, "in_doubt"),
    ],
)
async def test_not_found_proves_only_when_it_was_asked_late_enough(asked_at, status):
    """A sweeper that stood still between the answer and its judgement holds old news, whatever the
    clock says when it wakes.
    """
    rig = Rig(at=later(PROOF_S + 300))
    payment = await rig.opened(cancelled, nothing_there)
    payment = await rig.transitions.learn(
        payment, payment.current.out_trade_no, o.NotFound(), Source.QUERY, asked_at=asked_at
    )
    assert payment.status == status


async def test_a_stale_no_is_judged_anew():
    rig = Rig()
    first = await rig.opened()
    newer = after(first, o.Pending(), "query")
    await rig.store.apply(newer)
    learned = await rig.transitions.learn(first, first.current.out_trade_no, NO, Source.PAY)
    assert learned == newer.payment


async def test_a_stale_yes_is_still_a_yes():
    rig = Rig()
    first = await rig.opened()
    await rig.store.apply(after(first, o.Pending(), "query"))
    learned = await rig.transitions.learn(first, first.current.out_trade_no, YES, Source.PAY)
    assert (learned.status, learned.version) == ("succeeded", 3)


async def test_a_yes_from_before_the_end_is_not_late_money():
    """The question left, our cancel gave the money back, and only then the old answer was read."""
    rig = Rig()
    asked_from = await rig.opened(cancelled)
    ended = await rig.transitions.learn(
        asked_from, asked_from.current.out_trade_no, o.Reversed(was_charged=True), Source.CANCEL
    )
    for source in ("query", "pay", "callback"):
        assert (
            await rig.transitions.learn(
                asked_from, asked_from.current.out_trade_no, YES, Source(source)
            )
            == ended
        )
    assert (
        await rig.transitions.learn(ended, ended.current.out_trade_no, YES, Source.CALLBACK)
        == ended
    )
    late = await rig.transitions.learn(ended, ended.current.out_trade_no, YES, Source.QUERY)
    assert (late.status, late.late_refund) == ("paid_late", "requested")


async def test_a_word_without_a_cell_changes_nothing_and_opens_a_case():
    rig = Rig()
    payment = await rig.opened(lambda p: after(p, YES))

    def judge(now: Payment) -> Change:
        return cancel_sent(now, now.attempts[0], occasion("sweeper"))

    assert await rig.transitions.step(payment, judge) == payment
    assert [kept.case.name for kept in rig.store.cases] == ["illegal_transition"]
    assert await rig.store.payment(MERCHANT, payment.id) == payment


async def test_what_the_store_refuses_changes_nothing_and_opens_one_case():
    """A change that carries no proof, as a faulty program would write it: whoever wanted it goes no
    further, however often it is tried.
    """
    rig = Rig()
    payment = await rig.opened()
    for _ in range(2):
        with pytest.raises(StoreRefused, match="a_no_needs_evidence"):
            await rig.transitions.step(payment, lambda now: bent(after(now, NO), evidence=()))
    assert [(kept.case.name, kept.case.evidence.code) for kept in rig.store.cases] == [
        ("store_refused", "23514 a_no_needs_evidence")
    ]
    assert await rig.store.payment(MERCHANT, payment.id) == payment


async def test_a_refund_that_waits_for_a_person_is_sent_again_only_when_that_is_durable():
    rig = Rig()
    paid = await rig.opened(lambda p: after(p, YES), lambda p: refund_change(p, "r1", 400))
    refund = (await rig.store.refunds_of(MERCHANT, paid.id))[0]
    waiting = o.RefundDeclined(code="merchant_balance", needs_action=True)
    paid, refund = await rig.transitions.learn_refund(paid, refund.id, waiting, Source.REFUND)
    assert refund.status == "needs_action"
    paid, refund = await rig.transitions.learn_refund(
        paid, refund.id, o.Mismatch(field="order", expected="a", got="b"), Source.CALLBACK
    )
    assert (refund.status, paid.attempts[0].reserved_amount) == ("needs_action", 400)
    assert [kept.case.name for kept in rig.store.cases] == ["refund_needs_action", "mismatch_order"]
    paid, refund = await rig.transitions.refund_again(paid, refund.id)
    assert (refund.status, await rig.store.refund(MERCHANT, refund.id)) == ("processing", refund)
    same, unmoved = await rig.transitions.refund_again(paid, refund.id)
    assert (same, unmoved) == (paid, refund)


class Struggling(MemoryStore):
    """Away for some writes; with `pending`, the write happens and its reply is lost."""

    def __init__(self, times: int, *, pending: bool) -> None:
        super().__init__()
        self.times, self.pending = times, pending

    async def apply(self, change: Change) -> Any:
        if self.times:
            self.times -= 1
            if self.pending:
                await super().apply(change)
                raise OutcomePending
            raise StoreUnavailable
        return await super().apply(change)


@pytest.mark.parametrize("pending", [False, True])
async def test_a_channels_word_survives_a_short_absence_of_the_store(pending, monkeypatch):
    monkeypatch.setattr("gateway.flow.learn.transition.WRITE_RETRY_MS", 0)
    rig = Rig(Struggling(3, pending=pending))
    payment = await rig.opened()
    paid = await rig.transitions.learn(payment, payment.current.out_trade_no, YES, Source.PAY)
    assert (paid.status, paid.version) == ("succeeded", 2)
    assert [kept.event.version for kept in rig.store.log] == [1, 2]


async def test_the_next_visit_is_set_by_every_write():
    rig = Rig(at=later(1))
    payment = await rig.opened()
    pending = await rig.transitions.learn(
        payment, payment.current.out_trade_no, o.Pending(), Source.PAY
    )
    assert pending.current.due_at == NOW + timedelta(
        milliseconds=MANIFEST.schedules[Flow.CODE].first_query_ms
    )
    paid = await rig.transitions.learn(pending, payment.current.out_trade_no, YES, Source.QUERY)
    assert paid.current.due_at is None
    assert paid == await rig.store.payment(MERCHANT, payment.id)


async def test_a_refund_number_taken_in_the_same_moment_is_told():
    rig = Rig()
    no = await rig.opened(lambda p: after(p, NO))
    late = await rig.transitions.learn(no, no.current.out_trade_no, YES, Source.QUERY)
    twin = replace(late_refund(late, late.attempts[0], Origin.LATE, occasion()), id=new_id("ref"))
    with pytest.raises(RefundRace):
        await rig.transitions.step(
            late, lambda now: replace(refund_change(now, "x", 0), new_refund=twin)
        )


@pytest.mark.parametrize(
    ("goes_on", "due"), [(True, later(30 + SWEEP_LEASE_MS / 1000)), (False, later(30))]
)
async def test_fault_37_a_visit_that_goes_on_keeps_its_lease(goes_on, due):
    """Its own writes must not call somebody else in before its last word; after it the schedule
    says when (here: a cancel is due).
    """
    rig = Rig(at=later(30))
    payment = await rig.opened(lambda p: watched(taken(p, p.current, occasion("sweeper"))))
    payment = await rig.transitions.learn(
        payment, payment.current.out_trade_no, o.NotFound(), Source.QUERY, held=lambda *_: goes_on
    )
    assert payment.current.due_at == due
