"""`POST /v1/payments`: the stages in order, readable in one screen.

choose -> claim (Redis, remote only) -> write 1 -> channel call -> write 2 -> answer. The channel call and write 2 belong to a task
of the process; the request only waits for it, and a till that hangs up changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from msgspec.structs import replace

from adapters.channel import Flow, LocalPay, PayRequest
from gateway.clock import Clock, Ids
from gateway.domain.errors import OrderTenderTaken, Overloaded
from gateway.domain.payment import Payment
from gateway.domain.states import PAYMENT_FINAL
from gateway.flow.channel_call import called
from gateway.flow.commands import Caller, Paid, PayCommand
from gateway.flow.idempotency import Digest, KeyDesk, fingerprint, same_body_or_refuse
from gateway.flow.in_flight import InFlight
from gateway.flow.late_money import asked_about_late_money
from gateway.flow.opening import Draft
from gateway.flow.ports import Account, Directory, KeyTaken, NumberTaken, Opened, Store, TenderTaken
from gateway.flow.routing import choose
from gateway.flow.transition import Transitions
from gateway.limits import OPEN_RETRIES_MAX, SEND_DEADLINE_MS
from gateway.telemetry.metrics import PAYMENTS

SUBJECT = "Payment"  # what the customer's wallet shows when the till gives no description


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """The pay road of one worker."""

    store: Store
    directory: Directory
    keys: KeyDesk
    in_flight: InFlight
    transitions: Transitions
    clock: Clock
    ids: Ids
    digest: Digest
    environment: str
    worker_id: str

    async def pay(self, command: PayCommand, caller: Caller, key: str, wait_s: float) -> Paid:
        """Raises 422 and 409 with nothing written, 503 as `domain.errors` says."""
        with self.in_flight.admitted():
            route = choose(command, caller, self.directory)
            prints = fingerprint(command, route.store_id, route.flow, self.digest)
            draft = Draft(
                command=command,
                caller=caller,
                key=key,
                route=route,
                fingerprint=prints,
                now=self.clock.now(),
                environment=self.environment,
                worker_id=self.worker_id,
            )
            paid = await (self._settle(draft) if route.account.local is not None else self._claim_and_send(draft))
        if answerable(paid.payment):
            return paid
        return Paid(await self.in_flight.wait(paid.payment, wait_s, answerable), paid.replayed)

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
        n = 1
        for _ in range(OPEN_RETRIES_MAX):
            opening = draft.local(self.ids, n, decision)
            match await self.store.open(opening):
                case Opened():
                    PAYMENTS.labels(opening.payment.channel, opening.payment.status).inc()
                    return Paid(opening.payment, replayed=False, document=opening.events[0].data)
                case NumberTaken(highest_n=highest):
                    n = highest + 1
                case KeyTaken() | TenderTaken() as lost:
                    return _lost(lost, draft)
        raise Overloaded("this tender is being opened by many tills at once: try again")

    async def _claim_and_send(self, draft: Draft) -> Paid:
        token, bound = await self.keys.take(draft.caller, draft.key)
        if bound is not None:
            return _lost(bound, draft)
        try:
            return await self._open_and_send(draft)
        finally:
            await self.keys.release(draft.caller, draft.key, token)

    async def _open_and_send(self, draft: Draft) -> Paid:
        deadline = (
            self.clock.monotonic() + SEND_DEADLINE_MS / 1000
        )  # before the write is queued: a slow store eats our time, not the channel's
        draft = replace(draft, now=self.clock.now())  # `send_by` counts from the same moment, however long the claim took
        n = 1
        for _ in range(OPEN_RETRIES_MAX):
            opening = draft.remote(self.ids, n)
            match await self.store.open(opening):
                case Opened():
                    payment = opening.payment
                    PAYMENTS.labels(payment.channel, payment.status).inc()
                    self.in_flight.carry(self._send(payment, draft, deadline), name=f"pay {payment.id}")
                    return Paid(payment, replayed=False)
                case NumberTaken(highest_n=highest):
                    n = highest + 1
                case KeyTaken() | TenderTaken() as lost:
                    return _lost(lost, draft)
        raise Overloaded("this tender is being opened by many tills at once: try again")

    async def _send(self, payment: Payment, draft: Draft, deadline: float) -> None:
        """The one send of the attempt, and write 2. Everything later is the sweeper's."""
        account, attempt = draft.route.account, payment.current
        assert account.channel is not None
        request = PayRequest(
            out_trade_no=attempt.out_trade_no,
            amount=payment.amount,
            currency=payment.currency,
            description=payment.description or SUBJECT,
            flow=Flow(payment.flow),
            auth_code=draft.command.auth_code,
            store_id=payment.store_id,
            terminal_id=payment.terminal_id or "",
            operator_id=payment.operator_id or "",
            sent_at=attempt.sent_at,
            not_after=attempt.not_after,
            notify_url=account.notify_url,
            deadline=deadline,
        )
        outcome = await called(account, _operation(account, payment), account.channel.pay(request), self.clock)
        payment = await self.transitions.learn(payment, attempt.out_trade_no, outcome, "pay")
        await asked_about_late_money(self.transitions, self.clock, account, payment, attempt.out_trade_no, told=outcome)


def answerable(payment: Payment) -> bool:
    """Nothing more to wait for: it ended, or the customer has a code to scan."""
    return payment.status in PAYMENT_FINAL or (payment.status == "awaiting_payer" and payment.qr_code is not None)


def _operation(account: Account, payment: Payment) -> str:
    return "precreate" if payment.flow == Flow.QR and account.channel is not None else "pay"


def _lost(lost: KeyTaken | TenderTaken, draft: Draft) -> Paid:
    """The key is bound: the same payment in its present state. Or the tender is taken: 409 with the payment that holds it."""
    payment = lost.payment
    if isinstance(lost, KeyTaken):
        same_body_or_refuse(lost, draft.fingerprint)
        return Paid(payment, replayed=True)
    visible = draft.caller.store_id in (None, payment.store_id)
    raise OrderTenderTaken(payment=payment if visible else None)
