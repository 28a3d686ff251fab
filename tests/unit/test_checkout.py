"""What a request leaves behind on its way: a place at its account is given back on every road that
sends nothing, and a retry hears of its payment when no account is left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from adapters.channel import PayRequest
from adapters.discovery import discover
from gateway.clock import Clock, SystemClock
from gateway.domain import outcomes as o
from gateway.domain.change import Opening
from gateway.domain.errors import (
    ChannelsResting,
    GatewayError,
    MethodUnavailable,
    OrderTenderTaken,
    OutcomePending,
    StoreUnavailable,
)
from gateway.domain.identifiers import Numbers
from gateway.domain.presenting import Given, MethodOnly, PaymentCode, ShownQr
from gateway.flow.accounts import Account, RemoteAccount
from gateway.flow.call.channel_call import ChannelCalls
from gateway.flow.checkout import Checkout
from gateway.flow.choose.health import ChannelHealth
from gateway.flow.commands import Caller, Paid, PayCommand
from gateway.flow.learn.in_flight import InFlight
from gateway.flow.learn.lost_attempts import LostAttempts
from gateway.flow.learn.on_read import OnRead
from gateway.flow.learn.transition import Transitions
from gateway.flow.open.idempotency import KeyDesk
from gateway.flow.open.order_desk import OrderDesk
from gateway.flow.open.restored import Restored
from gateway.flow.ports import Ports
from gateway.flow.send.failover import Failover
from gateway.flow.send.sending import Sender
from gateway.limits import BREAKER_FAILURES_MAX, SEND_DEADLINE_MS
from gateway.storage.redis.claims import NoClaims
from security.secret import Secret
from tests.fakes.accounts import local_account, remote_account
from tests.fakes.clock import HandClock
from tests.fakes.store import MemoryStore
from tests.fakes.supervisors import KnownSupervisors
from tests.shelf import Shelf
from tests.simulation.clock import SimIds

TILL = Caller(key_id="k", merchant_id="m1", store_id="s1", terminal_id="t1", role="terminal")
OTHER = Caller(key_id="l", merchant_id="m1", store_id="s2", terminal_id="t2", role="terminal")
QR = ShownQr()
CODE = PaymentCode(Secret("280000000000000000"))


class Wallet:
    """Pays, or shows its code."""

    hosts = 1

    def __init__(self) -> None:
        self.asked: list[PayRequest] = []

    async def pay(self, request: PayRequest) -> o.PayOutcome:
        self.asked.append(request)
        if isinstance(request.presented, ShownQr):
            return o.PayerActionNeeded(qr_code="https://qr")
        return o.Succeeded(amount=request.amount, channel_trade_no="C1")


class Fragile(MemoryStore):
    """Write 1 fails, or takes its time, as it is told to."""

    failure: BaseException | None = None
    meanwhile: Callable[[], None] | None = None

    async def open(self, opening: Opening) -> Any:
        if self.meanwhile is not None:
            self.meanwhile()
        if self.failure is not None:
            raise self.failure
        return await super().open(opening)


class Shop:
    """The pay road of one worker, over a store in memory."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.store, self.wallet = Fragile(), Wallet()
        clock = clock or SystemClock()
        self.account = remote_account("a", channel=self.wallet)
        self._use(self.account)
        ports = Ports(
            store=self.store,
            directory=self.shelf,
            clock=clock,
            ids=SimIds(),
            numbers=Numbers("TT"),
        )
        self.health, self.in_flight = ChannelHealth(clock), InFlight(self.store)
        calls = ChannelCalls(clock, self.health)
        lost = LostAttempts(ports=ports, calls=calls)
        transitions = Transitions(ports=ports, in_flight=self.in_flight, lost=lost)
        orders = OrderDesk(
            store=self.store,
            directory=self.shelf,
            supervisors=KnownSupervisors(),
            transitions=transitions,
            in_flight=self.in_flight,
        )
        self.checkout = Checkout(
            ports=ports,
            keys=KeyDesk(self.store, NoClaims(), SimIds()),
            orders=orders,
            restored=Restored(ports=ports, transitions=transitions, lost=lost, orders=orders),
            in_flight=self.in_flight,
            on_read=OnRead(
                store=self.store,
                in_flight=self.in_flight,
                transitions=transitions,
                clock=clock,
            ),
            sender=Sender(
                transitions=transitions,
                calls=calls,
                health=self.health,
                failover=Failover(ports=ports, health=self.health, worker_id="w"),
            ),
            health=self.health,
            digest=lambda _, text: f"digest of {text}",
            worker_id="w",
        )

    def _use(self, account: RemoteAccount) -> None:
        accounts: list[Account] = [account, local_account("drawer", enabled=account.enabled)]
        if not hasattr(self, "shelf"):
            self.shelf = Shelf("m1", ("s1", "s2"), accounts, discover())
        self.shelf._accounts = accounts

    @property
    def in_use(self) -> int:
        """Places taken at the account."""
        return self.health._records.of(self.account).in_flight

    def disable(self) -> None:
        self._use(replace(self.account, enabled=False))

    def rest(self) -> None:
        for flow in self.account.manifest.flows:
            for _ in range(BREAKER_FAILURES_MAX):
                with self.health.watching(self.account, flow.facts.operation) as watch:
                    watch.saw(o.Unknown(reason="timeout"))

    async def pay(
        self, given: Given = QR, *, key: str = "k1", order_no: str = "A1", caller: Caller = TILL
    ) -> Paid:
        command = PayCommand(
            order_no=order_no,
            tender_no=1,
            amount=1000,
            currency="CNY",
            method="cash" if isinstance(given, MethodOnly) else "alipay",
            given=given,
            store_id=None,
            operator_id=None,
            description=None,
        )
        paid = await self.checkout.pay(command, caller, key, wait_s=5)
        await self.idle()
        return paid

    async def idle(self) -> None:
        """Every road has ended."""
        await asyncio.gather(*self.in_flight._tasks)


async def test_a_payment_gives_its_place_back_when_its_call_has_ended() -> None:
    shop = Shop()
    kinds: tuple[Given, ...] = (QR, CODE)
    for n, given in enumerate(kinds):
        await shop.pay(given, key=f"k{n}", order_no=f"A{n}")
        assert shop.in_use == 0


async def test_a_replay_gives_its_place_back() -> None:
    shop = Shop()
    first = await shop.pay()
    for _ in range(3):
        again = await shop.pay()
        assert (again.replayed, again.payment.id, shop.in_use) == (True, first.payment.id, 0)


async def test_a_tender_that_is_taken_gives_its_place_back() -> None:
    shop = Shop()
    await shop.pay()
    with pytest.raises(OrderTenderTaken):
        await shop.pay(key="k2")
    assert shop.in_use == 0


@pytest.mark.parametrize(
    "failure", [StoreUnavailable(), OutcomePending(), RuntimeError("?"), asyncio.CancelledError()]
)
async def test_a_write_that_failed_gives_its_place_back(failure: BaseException) -> None:
    shop = Shop()
    shop.store.failure = failure
    with pytest.raises(type(failure)):
        await shop.pay()
    assert shop.in_use == 0


async def test_the_deadline_of_the_call_counts_from_before_write_1() -> None:
    """What a slow store takes, the call has no more: the sweeper counts from the same moment."""
    clock = HandClock()
    shop, began = Shop(clock), clock.now()

    def slow() -> None:
        clock.seconds += 0.7

    shop.store.meanwhile = slow
    deadline = clock.monotonic() + SEND_DEADLINE_MS / 1000
    paid = await shop.pay()
    assert [asked.deadline for asked in shop.wallet.asked] == [deadline]
    assert paid.payment.attempts[0].send_by == began + timedelta(milliseconds=SEND_DEADLINE_MS)


@pytest.mark.parametrize(
    ("given", "out", "refusal"),
    [
        (QR, Shop.disable, MethodUnavailable),
        (CODE, Shop.disable, MethodUnavailable),
        (MethodOnly(), Shop.disable, MethodUnavailable),
        (QR, Shop.rest, ChannelsResting),
        (CODE, Shop.rest, ChannelsResting),
    ],
)
async def test_a_retry_is_answered_though_no_account_is_left(
    given: Given, out: Any, refusal: type[GatewayError]
) -> None:
    shop = Shop()
    first = await shop.pay(given)
    out(shop)
    again = await shop.pay(given)
    assert (again.replayed, again.payment.id) == (True, first.payment.id)
    with pytest.raises(refusal):
        await shop.pay(given, key="k2", order_no="A2")
    with pytest.raises(refusal):  # another store's key is another request
        await shop.pay(given, caller=OTHER)
    assert shop.in_use == 0
