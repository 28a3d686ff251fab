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
from gateway.domain.change import Opening
from gateway.domain.errors import (
    ChannelsResting,
    GatewayError,
    MethodUnavailable,
    OrderTenderTaken,
    OrderUsed,
    Overloaded,
)
from gateway.domain.payment import Payment
from gateway.domain.presenting import Digest, Presented
from gateway.domain.states import PAYMENT_FINAL
from gateway.domain.statuses import PaymentStatus
from gateway.flow.choose.health import ChannelHealth, Place
from gateway.flow.choose.routing import local_choices, remote_choices
from gateway.flow.choose.wish import LocalWish, RemoteWish, Wish, wish
from gateway.flow.commands import Caller, Paid, PayCommand
from gateway.flow.learn.in_flight import InFlight, Waiter
from gateway.flow.learn.on_read import OnRead
from gateway.flow.open.idempotency import (
    KeyDesk,
    fingerprint,
    refuse_disabled_store,
    refuse_foreign_notify_url,
    same_body_or_refuse,
)
from gateway.flow.open.opening import Draft
from gateway.flow.open.order_desk import OrderDesk
from gateway.flow.open.restored import Restored
from gateway.flow.ports import KeyTaken, NumberTaken, Opened, Ports, TenderTaken
from gateway.flow.send.sending import Sender
from gateway.flow.visible import seen
from gateway.limits import OPEN_RETRIES_MAX, SEND_DEADLINE_MS
from gateway.telemetry.metrics import PAYMENTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """The pay road of one worker."""

    ports: Ports
    keys: KeyDesk
    orders: OrderDesk
    restored: Restored
    in_flight: InFlight
    on_read: OnRead
    sender: Sender
    health: ChannelHealth
    digest: Digest
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
        wished = wish(command, caller, self.ports.directory)
        directory, store = self.ports.directory, self.ports.store
        await refuse_disabled_store(wished.tender, key, directory, store)
        await refuse_foreign_notify_url(command, wished.tender, key, directory, store)
        draft, found = await self.restored.relearn(self._draft(command, caller, key, wished))
        if found is not None:
            return found
        match wished:
            case LocalWish(tendered=tendered):
                return await self._settle(draft, tendered)
            case RemoteWish(presented=presented):
                return await self._claim_and_send(draft, presented, waiter)

    def _draft(self, command: PayCommand, caller: Caller, key: str, wished: Wish) -> Draft:
        return Draft(
            command=command,
            caller=caller,
            key=key,
            tender=wished.tender,
            fingerprint=fingerprint(command, wished.tender.store_id, self.digest),
            now=self.ports.clock.now(),
            numbers=self.ports.numbers,
            days=self.ports.directory.days(),
            worker_id=self.worker_id,
        )

    async def _settle(self, draft: Draft, tendered: int | None) -> Paid:
        """A tender of our own books: decided here, booked in one write."""
        tender, ids = draft.tender, self.ports.ids
        choices = local_choices(tender, self.ports.directory, draft.now)
        if not choices:
            return await self._known_or(_unavailable(draft), draft)
        asked = LocalPay(
            amount=tender.amount,
            currency=tender.currency,
            store_id=tender.store_id,
            terminal_id=draft.caller.terminal_id or "",
            tendered=tendered,
        )
        decision = choices[0].account.channel.decide(asked)
        return await self._opened(draft, lambda n: draft.local(ids, choices[0], n, decision))

    async def _claim_and_send(self, draft: Draft, presented: Presented, waiter: Waiter) -> Paid:
        token, bound = await self.keys.take(draft.tender, draft.key)
        if bound is not None:
            return _lost(bound, draft)
        try:
            choices = remote_choices(draft.tender, self.ports.directory, draft.now)
            place = self.health.admit(choices, draft.tender.flow.facts.operation)
            if place is None:
                refusal = ChannelsResting() if choices else _unavailable(draft)
                return await self._known_or(refusal, draft)
            return await self._open_and_send(draft, place, presented, waiter)
        finally:
            self.keys.release(draft.tender, draft.key, token)

    async def _known_or(self, refusal: GatewayError, draft: Draft) -> Paid:
        """No account can take a payment now.

        A till's retry is also its query: what was opened under this key is still answered.
        """
        tender = draft.tender
        bound = await self.ports.store.payment_by_key(
            tender.merchant_id, tender.store_id, draft.key
        )
        if bound is None:
            raise refusal
        return _lost(bound, draft)

    async def _open_and_send(
        self, draft: Draft, place: Place, presented: Presented, waiter: Waiter
    ) -> Paid:
        """`place` passes to the sender, or is given back when nothing is to be sent."""
        # Before the write is queued: a slow store eats our time.
        deadline = self.ports.clock.monotonic() + SEND_DEADLINE_MS / 1000
        # `send_by` counts from the same moment, however long the claim took.
        draft, ids = replace(draft, now=self.ports.clock.now()), self.ports.ids
        try:
            paid = await self._opened(draft, lambda n: draft.remote(ids, place.choice, n))
        except BaseException:
            place.leave()
            raise
        if paid.replayed:
            place.leave()
        else:
            sending = self.sender.send(paid.payment, place, deadline, presented)
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


def _unavailable(draft: Draft) -> MethodUnavailable:
    return MethodUnavailable(
        f"no enabled {draft.tender.channel} account serves this store", field="method"
    )


def _lost(lost: KeyTaken | TenderTaken, draft: Draft) -> Paid:
    """The key is bound: the same payment in its present state.

    Or the tender is taken: 409 with the payment that holds it.
    """
    if isinstance(lost, KeyTaken):
        same_body_or_refuse(lost, draft.fingerprint, draft.caller)
        return Paid(lost.payment, replayed=True)
    payment = seen(draft.caller, lost.payment)
    if payment is None:
        raise OrderUsed  # in another store: waiting for it would never end
    has_charged = payment.status == PaymentStatus.SUCCEEDED
    raise (OrderUsed if has_charged else OrderTenderTaken)(payment=payment)
