"""The whole road of one worker over a store in memory, with a channel that says what a test wrote
down, and a clock that moves when the store stands still.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from adapters.alipay.manifest import MANIFEST
from adapters.channel import Callback, CallbackAnswer, PayRequest, RefundRequest, TradeRef
from gateway.domain.change import Change
from gateway.domain.identifiers import Numbers
from gateway.domain.payment import Payment, Refund
from gateway.flow.call.channel_call import ChannelCalls
from gateway.flow.callback import CallbackDesk
from gateway.flow.cancellation import Cancellation
from gateway.flow.choose.health import ChannelHealth
from gateway.flow.due import DueAttempt, DueRefund
from gateway.flow.in_doubt import InDoubt
from gateway.flow.learn.in_flight import InFlight
from gateway.flow.learn.lost_attempts import LostAttempts
from gateway.flow.learn.on_read import OnRead
from gateway.flow.learn.transition import Transitions
from gateway.flow.lookup import Lookup
from gateway.flow.ports import Applied, Opened, Ports, RefundTaken, Stale
from gateway.flow.refund import Refunds
from gateway.flow.send.failover import Failover
from gateway.flow.send.sending import Sender
from tests.contract.drawn import ACCOUNT, MERCHANT, drawn_payment, opening_of
from tests.fakes.accounts import remote_account
from tests.fakes.store import MemoryStore
from tests.shelf import Shelf
from tests.unit.test_transition import HandClock, Ids

ACKNOWLEDGED = CallbackAnswer(status=200, content_type="text/plain", body=b"success")
AGAIN = CallbackAnswer(status=400, content_type="text/plain", body=b"failure")
Request = PayRequest | TradeRef | RefundRequest


@dataclass
class Script:
    """A channel. `lines`: what it says next, by operation; `heard`: every call, in order.

    `meanwhile` happens while a call is under way.
    """

    lines: dict[str, list[Any]] = field(default_factory=dict)
    heard: list[tuple[str, Request]] = field(default_factory=list)
    meanwhile: dict[str, Callable[[], Any]] = field(default_factory=dict)
    callback: Callback | None = None
    hosts: int = 1

    def calls(self) -> list[str]:
        return [operation for operation, _ in self.heard]

    def last(self, operation: str) -> Any:
        return [request for name, request in self.heard if name == operation][-1]

    async def pay(self, request: PayRequest) -> Any:
        return await self._say("pay", request)

    async def query(self, trade: TradeRef) -> Any:
        return await self._say("query", trade)

    async def cancel(self, trade: TradeRef) -> Any:
        return await self._say("cancel", trade)

    async def refund(self, request: RefundRequest) -> Any:
        return await self._say("refund", request)

    async def query_refund(self, request: RefundRequest) -> Any:
        return await self._say("refund_query", request)

    def read_callback(self, headers: object, body: bytes) -> Callback:
        del headers, body
        assert self.callback is not None
        return self.callback

    def callback_accepted(self) -> CallbackAnswer:
        return ACKNOWLEDGED

    def callback_refused(self) -> CallbackAnswer:
        return AGAIN

    async def _say(self, operation: str, request: Request) -> Any:
        self.heard.append((operation, request))
        if operation in self.meanwhile:
            await self.meanwhile.pop(operation)()
        return self.lines[operation].pop(0)


class SlowStore(MemoryStore):
    """`stands_still(change)`: for how many seconds the writing of it takes."""

    def __init__(self, clock: HandClock) -> None:
        super().__init__(clock.now)
        self.clock = clock
        self.stands_still: Callable[[Change], float] = lambda _: 0.0

    async def apply(self, change: Change) -> Applied | Stale | RefundTaken:
        result = await super().apply(change)
        self.clock.at += timedelta(seconds=self.stands_still(change))
        return result


class Road:
    """One worker."""

    def __init__(self, clock: HandClock, *, store: SlowStore | None = None) -> None:
        self.clock, self.script = clock, Script()
        self.store = store or SlowStore(clock)
        self.account = remote_account(
            ACCOUNT, MANIFEST, merchant_id=MERCHANT, profile="standard", channel=self.script
        )
        ports = Ports(
            store=self.store,
            directory=Shelf(MERCHANT, ("s1",), [self.account], {"wallet": MANIFEST}),
            clock=clock,
            ids=Ids(),
            numbers=Numbers("TT"),
        )
        health = ChannelHealth(clock, worker_id="wrk_1")
        calls = ChannelCalls(clock, health)
        in_flight = self.in_flight = InFlight(self.store)
        self.transitions = Transitions(
            ports=ports, in_flight=in_flight, lost=LostAttempts(ports=ports, calls=calls)
        )
        on_read = OnRead(
            store=self.store, in_flight=in_flight, transitions=self.transitions, clock=clock
        )
        asking: dict[str, Any] = {
            "ports": ports,
            "transitions": self.transitions,
            "calls": calls,
        }
        lookup = Lookup(self.store, in_flight, on_read)
        self.refunds = Refunds(**asking, in_flight=in_flight, lookup=lookup)
        self.cancellation = Cancellation(lookup, self.transitions, in_flight)
        failover = Failover(ports=ports, health=health, worker_id="wrk_1")
        self.sender = Sender(
            transitions=self.transitions, calls=calls, health=health, failover=failover
        )
        self.callbacks = CallbackDesk(**asking)
        self.in_doubt = InDoubt(
            **asking, refunds=self.refunds, sender=self.sender, in_flight=in_flight
        )

    async def opened(self, *changes: Callable[[Payment], Change], **fields: Any) -> Payment:
        payment = drawn_payment(**fields)
        assert await self.store.open(opening_of(payment)) == Opened()
        for change in changes:
            made = change(payment)
            assert await self.store.apply(made) == Applied()
            payment = made.payment
        return payment

    async def now(self, payment: Payment) -> Payment:
        found = await self.store.payment(MERCHANT, payment.id)
        assert found is not None
        return found

    async def visit(self, payment: Payment, *, lease_s: float = 15.0) -> None:
        due = DueAttempt(MERCHANT, payment.id, payment.current.out_trade_no, ACCOUNT)
        await self.in_doubt.visit(due, self.clock.monotonic() + lease_s)

    async def visit_refund(self, refund: Refund, *, lease_s: float = 15.0) -> None:
        due = DueRefund(MERCHANT, refund.payment_id, refund.id, ACCOUNT)
        await self.in_doubt.visit_refund(due, self.clock.monotonic() + lease_s)
