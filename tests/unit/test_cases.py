"""Every place that calls a person stores the case, counts it and says `case_opened`: once, and not
again while the case stands open.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as with_fields
from datetime import timedelta
from typing import Any, cast

import pytest
from msgspec.structs import replace
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from adapters.alipay.manifest import MANIFEST
from adapters.channel import Callback, CallbackAnswer
from gateway.clock import SystemIds
from gateway.domain import acts
from gateway.domain import outcomes as o
from gateway.domain.case import CaseKind
from gateway.domain.days import Days
from gateway.domain.identifiers import Numbers
from gateway.domain.payment import Payment
from gateway.domain.presenting import MethodOnly
from gateway.domain.tender import tender_of
from gateway.domain.words import Source
from gateway.flow.call.channel_call import ChannelCalls
from gateway.flow.callback import CallbackDesk
from gateway.flow.choose.health import ChannelHealth
from gateway.flow.commands import Caller, OverrideCommand, PayCommand
from gateway.flow.learn.in_flight import InFlight
from gateway.flow.open.opening import Draft
from gateway.flow.open.order_desk import OrderDesk
from gateway.flow.ports import Ports, StoreRefused
from gateway.limits import WEBHOOKS_PER_MERCHANT_MAX
from gateway.webhooks.courier import Courier
from gateway.webhooks.line import NoReply
from gateway.webhooks.outbox import Delivery
from tests.contract.drawn import (
    ACCOUNT,
    MERCHANT,
    NO,
    SILENT,
    YES,
    after,
    bent,
    drawn_payment,
    occasion,
    opening_of,
)
from tests.fakes.accounts import remote_account
from tests.fakes.outbox import FakeOutbox
from tests.fakes.outbox import HandClock as CourierClock
from tests.fakes.supervisors import PIN, KnownSupervisors
from tests.shelf import Shelf
from tests.unit.test_transition import Ids, Rig

OK = CallbackAnswer(status=200, content_type="text/plain", body=b"ok")


@dataclass
class Told:
    """A channel whose callbacks say what the test wrote down."""

    callback: Callback
    hosts: int = 1

    def read_callback(self, headers: object, body: bytes) -> Callback:
        # Each is an event of its own, as if the channel had two pieces of news.
        return Callback(
            event_key=body.decode(),
            kind=self.callback.kind,
            out_trade_no=self.callback.out_trade_no,
            amount=self.callback.amount,
            learned=self.callback.learned,
            out_refund_no=self.callback.out_refund_no,
        )

    def callback_accepted(self) -> CallbackAnswer:
        return OK


class OneLook(FakeOutbox):
    """The courier looks once, finishes what it took, and is stopped."""

    def __init__(self) -> None:
        super().__init__(CourierClock())
        self.stop = asyncio.Event()

    async def take(
        self,
        limit: int,
        lease_ms: int,
        per_endpoint: int,
        per_merchant: int = WEBHOOKS_PER_MERCHANT_MAX,
    ) -> Sequence[Delivery]:
        self.stop.set()
        return await super().take(limit, lease_ms, per_endpoint, per_merchant)


@dataclass
class Stage:
    """What a place needs; `kinds` are the cases that the store holds."""

    rig: Rig = field(default_factory=Rig)
    outbox: OneLook = field(default_factory=OneLook)

    def kinds(self) -> list[str]:
        stored = [kept.case.name for kept in self.rig.store.cases]
        return stored + [case.name for _, case in self.outbox.cases]

    def callbacks(self, callback: Callback) -> CallbackDesk:
        account = remote_account(ACCOUNT, MANIFEST, merchant_id=MERCHANT, channel=Told(callback))
        shelf = Shelf(MERCHANT, ("s1",), [account], {"wallet": MANIFEST})
        clock = self.rig.clock
        return CallbackDesk(
            ports=Ports(
                store=self.rig.store,
                directory=shelf,
                clock=clock,
                ids=Ids(),
                numbers=Numbers("TT"),
            ),
            transitions=self.rig.transitions,
            calls=ChannelCalls(clock, ChannelHealth(clock, worker_id="wrk_1")),
        )


async def a_change_that_carries_a_case(stage: Stage) -> Callable[[], Awaitable[object]]:
    payment = await stage.rig.opened()
    said = o.Mismatch(field="amount", expected="1000", got="1")
    number = payment.current.out_trade_no
    return lambda: stage.rig.transitions.learn(payment, number, said, Source.CALLBACK)


async def an_illegal_transition(stage: Stage) -> Callable[[], Awaitable[object]]:
    payment = await stage.rig.opened(lambda p: after(p, YES))
    return lambda: stage.rig.transitions.step(
        payment, lambda now: acts.cancel_sent(now, now.attempts[0], occasion("sweeper"))
    )


async def a_change_that_the_store_refuses(stage: Stage) -> Callable[[], Awaitable[object]]:
    payment = await stage.rig.opened()

    async def refused() -> None:
        with pytest.raises(StoreRefused):
            await stage.rig.transitions.step(payment, lambda now: bent(after(now, NO), evidence=()))

    return refused


async def a_callback_about_an_unknown_number(stage: Stage) -> Callable[[], Awaitable[object]]:
    callback = Callback(
        event_key="", kind="pay", out_trade_no="TTNOBODYS", amount=1000, learned=YES
    )
    return called_back(stage, callback)


async def a_callback_about_an_unknown_refund(stage: Stage) -> Callable[[], Awaitable[object]]:
    payment = await stage.rig.opened(lambda p: after(p, YES))
    callback = Callback(
        event_key="",
        kind="refund",
        out_trade_no=payment.current.out_trade_no,
        amount=None,
        learned=None,
        out_refund_no="TTNOBODYS",
    )
    return called_back(stage, callback)


def called_back(stage: Stage, callback: Callback) -> Callable[[], Awaitable[object]]:
    desk, keys = stage.callbacks(callback), iter(("one", "two"))

    async def take() -> None:
        assert (await desk.take(ACCOUNT, {}, next(keys).encode())).answer == OK

    return take


async def an_override(stage: Stage) -> Callable[[], Awaitable[object]]:
    named = await stage.rig.opened(lambda p: after(p, SILENT))
    in_flight = InFlight(stage.rig.store)
    desk = OrderDesk(
        store=stage.rig.store,
        directory=stage.rig.shelf,
        supervisors=KnownSupervisors(),
        transitions=stage.rig.transitions,
        in_flight=in_flight,
    )
    tenders = iter((2, 3))

    async def let_in() -> None:
        draft = overriding(named, next(tenders))
        opening = opening_of(drawn_payment(tender_no=draft.command.tender_no), draft.key)
        await desk.open(opening, draft)
        # It ends unpaid, so that the next tender meets only the payment in doubt.
        change = after(opening.payment, NO)
        await stage.rig.store.apply(change)
        await forget_the_override(stage, named)

    return let_in


async def forget_the_override(stage: Stage, named: Payment) -> None:
    """As a second supervisor finds it whose colleague's case is still open."""
    key = (MERCHANT, named.id)
    stage.rig.store.payment_rows[key] = replace(
        stage.rig.store.payment_rows[key], overridden_at=None, overridden_by=None
    )


def overriding(named: Payment, tender_no: int) -> Draft:
    command = PayCommand(
        order_no=named.order_no,
        tender_no=tender_no,
        amount=1000,
        currency="CNY",
        method="alipay",
        given=MethodOnly(),
        store_id=None,
        operator_id=None,
        description=None,
        override=OverrideCommand(payment_id=named.id, supervisor_id="ann", pin=PIN, reason="queue"),
    )
    return Draft(
        command=command,
        caller=Caller(
            key_id="key", merchant_id=MERCHANT, store_id="s1", terminal_id="t1", role="terminal"
        ),
        key=f"key-{tender_no}",
        tender=replace(tender_of(named), tender_no=tender_no),
        fingerprint=b"{}",
        now=named.created_at,
        numbers=Numbers("TT"),
        days=Days(),
        worker_id="wrk_1",
    )


class Dead:
    """No merchant answers."""

    async def post(self, *_: object) -> None:
        raise NoReply("refused")


async def a_webhook_that_is_given_up(stage: Stage) -> Callable[[], Awaitable[object]]:
    outbox, letters = stage.outbox, iter(("evt_1", "evt_2"))
    courier = Courier(
        outbox=outbox,
        line=cast("Any", Dead()),
        cases=outbox,
        clock=outbox.clock,
        ids=SystemIds(),
        chance=random.Random(1),
    )

    async def tried_for_days() -> None:
        letter = outbox.put(event_id=next(letters))
        outbox.rows[letter.endpoint_id, letter.event_id].delivery = with_fields(
            letter, tries=99, first_due_at=letter.first_due_at - timedelta(days=9)
        )
        outbox.stop.clear()
        await courier.run(outbox.stop)
        assert outbox.state(letter) == "dead"

    return tried_for_days


PLACES = {
    a_change_that_carries_a_case: "mismatch_amount",
    an_illegal_transition: CaseKind.ILLEGAL_TRANSITION,
    a_change_that_the_store_refuses: CaseKind.STORE_REFUSED,
    a_callback_about_an_unknown_number: CaseKind.CALLBACK_UNKNOWN_NUMBER,
    a_callback_about_an_unknown_refund: CaseKind.REFUND_UNKNOWN,
    an_override: CaseKind.OVERRIDE,
    a_webhook_that_is_given_up: CaseKind.WEBHOOK_GIVEN_UP,
}


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
async def test_a_case_is_stored_counted_and_told_once(place: Any) -> None:
    name, stage = str(PLACES[place]), Stage()
    drive = await place(stage)
    for _ in range(2):
        before, stored = counted(name), stage.kinds()
        with capture_logs() as logs:
            await drive()
        told = [(line["event"], line["kind"]) for line in logs if line["event"] == "case_opened"]
        opened = [] if name in stored else [name]
        assert stage.kinds() == stored + opened
        assert counted(name) - before == len(opened)
        assert told == [("case_opened", each) for each in opened]
    assert stage.kinds() == [name]


def counted(kind: str) -> float:
    return REGISTRY.get_sample_value("tillgate_cases_total", {"kind": kind}) or 0.0
