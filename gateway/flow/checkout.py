"""`POST /v1/payments`: the stages in order, readable in one screen.

choose -> claim (Redis, remote only) -> write 1 -> channel call -> write 2 -> answer. The channel
call and write 2 belong to a task of the process; the request only waits for it, and a till that
hangs up changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from msgspec.structs import replace

from adapters.channel import LocalPay
from gateway.clock import Clock, Ids
from gateway.domain.change import Opening
from gateway.domain.errors import (
    ChannelsResting,
    GatewayError,
    MethodUnavailable,
    OrderTenderTaken,
    Overloaded,
)
from gateway.domain.payment import Payment
from gateway.domain.states import PAYMENT_FINAL
from gateway.domain.statuses import PaymentStatus
from gateway.flow.call.channel_call import pay_operation
from gateway.flow.choose.health import ChannelHealth, Place
from gateway.flow.choose.routing import Route, choose
from gateway.flow.commands import Caller, Paid, PayCommand
from gateway.flow.learn.in_flight import InFlight, Waiter
from gateway.flow.learn.on_read import OnRead
from gateway.flow.open.idempotency import (
    Digest,
    KeyDesk,
    fingerprint,
    refuse_foreign_notify_url,
    same_body_or_refuse,
)
from gateway.flow.open.opening import Draft
from gateway.flow.open.order_desk import OrderDesk
from gateway.flow.open.restored import Restored
from gateway.flow.ports import Directory, KeyTaken, NumberTaken, Opened, Store, TenderTaken
from gateway.flow.send.sending import Sender
from gateway.limits import OPEN_RETRIES_MAX, SEND_DEADLINE_MS
from gateway.telemetry.metrics import PAYMENTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """The pay road of one worker."""

    store: Store
    directory: Directory
    keys: KeyDesk
    orders: OrderDesk
    restored: Restored
    in_flight: InFlight
    on_read: OnRead
    sender: Sender
    health: ChannelHealth
    clock: Clock
    ids: Ids
    digest: Digest
    environment: str
    worker_id: str

    async def pay(self, command: PayCommand, caller: Caller, key: str, wait_s: float) -> Paid:
        """Raises 422 and 409 with nothing written, 503 as `domain.errors` says."""
        with self.in_flight.waiter() as waiter:
            with self.in_flight.admitted():
                paid = await self._take(command, caller, key, waiter)
            if answerable(paid.payment):
                return paid
            if paid.replayed:
                self.on_read.look(paid.payment)
            return Paid(await waiter.until(answerable, paid.payment, wait_s), paid.replayed)

    async def _take(self, command: PayCommand, caller: Caller, key: str, waiter: Waiter) -> Paid:
        """Opened and on its way, or found under this key. `waiter` hears of it from then on."""
        await refuse_foreign_notify_url(command, caller, key, self.directory, self.store)
        try:
            route = choose(command, caller, self.directory, self.clock.now())
        except MethodUnavailable as refusal:
            return await self._known_or(refusal, command, caller, key)
        draft, relearned = await self.restored.relearn(self._draft(command, caller, key, route))
        if relearned is not None:
            return relearned
        if route.account.local is not None:
            return await self._settle(draft)
        return await self._claim_and_send(draft, waiter)

    def _draft(self, command: PayCommand, caller: Caller, key: str, route: Route) -> Draft:
        return Draft(
            command=command,
            caller=caller,
            key=key,
            route=route,
            choice=route.choices[0],
            fingerprint=fingerprint(command, route.store_id, route.flow, self.digest),
            now=self.clock.now(),
            environment=self.environment,
            worker_id=self.worker_id,
        )

    async def _known_or(
        self, refusal: GatewayError, command: PayCommand, caller: Caller, key: str
    ) -> Paid:
        """No account can take a payment now.

        A till's retry is also its query: what was opened under this key is still answered.
        """
        bound = await self.store.payment_by_key(caller.merchant_id, key)
        if bound is None:
            raise refusal
        payment = bound.payment
        same_body_or_refuse(
            bound, fingerprint(command, payment.store_id, payment.flow, self.digest)
        )
        return Paid(payment, replayed=True)

    async def _settle(self, draft: Draft) -> Paid:
        """A tender of our own books: decided here, booked in one write."""
        command, local = draft.command, draft.route.account.local
        assert local is not None
        asked = LocalPay(
            amount=command.amount,
            currency=command.currency,
            store_id=draft.route.store_id,
            terminal_id=draft.caller.terminal_id or "",
            tendered=command.tendered,
        )
        decision = local.decide(asked)
        return await self._opened(draft, lambda n: draft.local(self.ids, n, decision))

    async def _claim_and_send(self, draft: Draft, waiter: Waiter) -> Paid:
        token, bound = await self.keys.take(draft.caller, draft.key)
        if bound is not None:
            return _lost(bound, draft)
        try:
            place = self.health.admit(draft.route.choices, pay_operation(draft.route.flow))
            if place is None:
                return await self._known_or(
                    ChannelsResting(), draft.command, draft.caller, draft.key
                )
            return await self._open_and_send(replace(draft, choice=place.choice), place, waiter)
        finally:
            self.keys.release(draft.caller, draft.key, token)

    async def _open_and_send(self, draft: Draft, place: Place, waiter: Waiter) -> Paid:
        """`place` passes to the sender, or is given back when nothing is to be sent."""
        # Before the write is queued: a slow store eats our time.
        deadline = self.clock.monotonic() + SEND_DEADLINE_MS / 1000
        # `send_by` counts from the same moment, however long the claim took.
        draft = replace(draft, now=self.clock.now())
        try:
            paid = await self._opened(draft, lambda n: draft.remote(self.ids, n))
        except BaseException:
            place.leave()
            raise
        if paid.replayed:
            place.leave()
        else:
            sending = self.sender.send(paid.payment, place, deadline, draft.command.auth_code)
            waiter.await_changes(paid.payment.merchant_id, paid.payment.id)
            self.in_flight.carry(sending, name=f"pay {paid.payment.id}")
        return paid

    async def _opened(self, draft: Draft, draw: Callable[[int], Opening]) -> Paid:
        """Write 1, drawn again while earlier attempts of the tender have its number."""
        n = draft.first_n
        for _ in range(OPEN_RETRIES_MAX):
            opening = draw(n)
            match await self.orders.open(opening, draft):
                case Opened():
                    PAYMENTS.labels(opening.payment.channel, opening.payment.status).inc()
                    return Paid(opening.payment, replayed=False, document=opening.events[0].data)
                case NumberTaken(highest_n=highest):
                    n = highest + 1
                case KeyTaken() | TenderTaken() as lost:
                    return _lost(lost, draft)
        raise Overloaded("this tender is being opened by many tills at once: try again")


def answerable(payment: Payment) -> bool:
    """Nothing more to wait for: it ended, or the customer has a code to scan."""
    return payment.status in PAYMENT_FINAL or (
        payment.status == PaymentStatus.AWAITING_PAYER and payment.qr_code is not None
    )


def _lost(lost: KeyTaken | TenderTaken, draft: Draft) -> Paid:
    """The key is bound: the same payment in its present state.

    Or the tender is taken: 409 with the payment that holds it.
    """
    payment = lost.payment
    if isinstance(lost, KeyTaken):
        same_body_or_refuse(lost, draft.fingerprint)
        return Paid(payment, replayed=True)
    visible = draft.caller.store_id in (None, payment.store_id)
    raise OrderTenderTaken(payment=payment if visible else None)
