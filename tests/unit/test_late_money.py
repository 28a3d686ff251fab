"""A yes after the end, and a channel that will not say what became of the money: the question stays
in the books until it is answered.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from adapters.alipay.manifest import MANIFEST
from gateway.domain import outcomes as o
from gateway.domain.payment import Payment
from gateway.domain.words import EvidenceWord, Source
from gateway.flow.accounts import RemoteAccount
from gateway.flow.call.channel_call import ChannelCalls
from gateway.flow.choose.health import ChannelHealth
from gateway.flow.learn.late_money import LateMoney
from gateway.flow.ports import Opened
from gateway.limits import RETRY_STEPS_MS, SILENCES_BEFORE_CASE
from tests.contract.drawn import ACCOUNT, MERCHANT, NOW, drawn_payment, opening_of
from tests.fakes.accounts import remote_account
from tests.unit.test_transition import Rig

YES = o.Succeeded(amount=1000, channel_trade_no="C1")
NO = o.Declined(
    code=o.FailureCode.INSUFFICIENT_BALANCE, retry=o.Retry.RESCAN, failover_useful=False
)
SILENCE = o.Unknown(reason="timeout")


@dataclass
class Script:
    """A channel that says what the test wrote down, one line a query."""

    lines: list[o.QueryOutcome]
    hosts: int = 1
    asked: int = field(default=0)

    async def query(self, _: object) -> o.QueryOutcome:
        self.asked += 1
        return self.lines.pop(0)


@dataclass
class Scene:
    """A payment that was refused, and now somebody hears a yes about it."""

    rig: Rig
    script: Script
    account: RemoteAccount
    calls: ChannelCalls
    payment: Payment

    @property
    def number(self) -> str:
        return self.payment.attempts[0].out_trade_no

    async def hear(self) -> bool:
        told = await self.rig.transitions.learn(self.payment, self.number, YES, Source.CALLBACK)
        return await self.question(told).settle(told=YES)

    async def visit(self) -> None:
        self.rig.clock.at = (await self.now()).attempts[0].due_at or self.rig.clock.at
        await self.question(await self.now()).ask_again()

    def question(self, payment: Payment) -> LateMoney:
        return LateMoney(self.rig.transitions, self.calls, self.account, payment, self.number)

    async def now(self) -> Payment:
        found = await self.rig.store.payment(MERCHANT, self.payment.id)
        assert found is not None
        return found


async def scene(*lines: o.QueryOutcome) -> Scene:
    rig, script = Rig(), Script(list(lines))
    account = remote_account(
        ACCOUNT, MANIFEST, merchant_id=MERCHANT, profile="standard", channel=script
    )
    payment = drawn_payment()
    assert await rig.store.open(opening_of(payment)) == Opened()
    payment = await rig.transitions.learn(payment, payment.current.out_trade_no, NO, Source.PAY)
    assert payment.status == "failed"
    return Scene(
        rig,
        script,
        account,
        ChannelCalls(rig.clock, ChannelHealth(rig.clock, worker_id="wrk_1")),
        payment,
    )


@pytest.mark.parametrize(
    ("lines", "heard", "status"),
    [
        ([YES], True, "paid_late"),
        ([o.Closed(was_charged=True)], True, "failed"),
        ([NO], True, "failed"),
        ([SILENCE], False, "failed"),
        ([o.NotFound()], False, "failed"),
        ([o.NotSent(reason="refused")], False, "failed"),
        ([o.Pending()], False, "failed"),
    ],
)
async def test_fault_22_the_channel_is_asked_what_became_of_the_money(lines, heard, status):
    stage = await scene(*lines)
    assert await stage.hear() is heard
    now = await stage.now()
    assert now.status == status
    assert (now.attempts[0].due_at is None) is heard, "an open question has a next visit"


async def test_fault_22_an_open_question_is_repeated_until_it_is_answered():
    stage = await scene(SILENCE, *[SILENCE] * SILENCES_BEFORE_CASE, YES)
    assert await stage.hear() is False
    steps = []
    for _ in range(SILENCES_BEFORE_CASE):
        await stage.visit()
        due_at = (await stage.now()).attempts[0].due_at
        assert due_at is not None
        steps.append((due_at - stage.rig.clock.at) // timedelta(milliseconds=1))
    assert steps == [
        *RETRY_STEPS_MS[1:],
        *[RETRY_STEPS_MS[-1]] * (SILENCES_BEFORE_CASE - len(RETRY_STEPS_MS) + 1),
    ]
    assert [kept.case.name for kept in stage.rig.store.cases] == ["late_answer_unclear"]
    assert [item.outcome for item in (await stage.now()).attempts[0].evidence].count(
        EvidenceWord.LATE_ANSWER_UNCLEAR
    ) == 1
    await stage.visit()
    now = await stage.now()
    assert (now.status, now.attempts[0].status, now.attempts[0].due_at) == (
        "paid_late",
        "captured_late",
        None,
    )


async def test_whoever_dies_after_hearing_leaves_the_question_behind():
    """The note is durable before the question leaves."""
    stage = await scene()
    with pytest.raises(IndexError):
        await stage.script.query(None)
    assert await stage.hear() is False  # the adapter broke: `Unknown`
    left = (await stage.now()).attempts[0]
    assert left.due_at == NOW + timedelta(milliseconds=RETRY_STEPS_MS[0])
    assert left.status == "declined"


async def test_hearing_it_again_does_not_put_it_off():
    stage = await scene(SILENCE, SILENCE)
    await stage.hear()
    first = (await stage.now()).attempts[0]
    stage.rig.clock.at += timedelta(seconds=5)
    stage.payment = await stage.now()
    await stage.hear()
    again = (await stage.now()).attempts[0]
    assert (again.due_at, again.silences) == (first.due_at, first.silences)
