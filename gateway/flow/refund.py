"""`POST /v1/payments/{id}/refunds`: reserve, send, learn.

The number is fixed before anything is sent and kept for every repeat.
"""

from __future__ import annotations

from dataclasses import dataclass

from msgspec.structs import replace

from adapters.channel import LocalPay, RefundRequest
from gateway.domain.change import Change
from gateway.domain.errors import (
    IdempotencyKeyReused,
    PaymentFrozen,
    PaymentNotPaid,
    RefundExceedsCaptured,
    RefundLimitReached,
    RefundNoTaken,
)
from gateway.domain.money import yuan
from gateway.domain.outcomes import Declined
from gateway.domain.payment import Attempt, Payment, Refund
from gateway.domain.refund_limits import RefundLimits, refund_limits
from gateway.domain.returning import reserved, returned_at_once
from gateway.domain.states import REFUND_OPEN
from gateway.domain.statuses import RefundStatus
from gateway.domain.words import Origin, Source
from gateway.flow.accounts import LocalAccount, RemoteAccount
from gateway.flow.call.channel_call import ChannelCalls
from gateway.flow.commands import Caller, RefundCommand, Refunded
from gateway.flow.free_texts import refuse_card_numbers, texts_of_refund
from gateway.flow.learn.in_flight import InFlight
from gateway.flow.learn.schedule import refund_due_after
from gateway.flow.learn.transition import RefundRace, Transitions
from gateway.flow.lookup import Lookup
from gateway.flow.open.opening import posted
from gateway.flow.ports import Ports
from gateway.limits import SEND_DEADLINE_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Refunds:
    """Money back, on the merchant's word."""

    ports: Ports
    lookup: Lookup
    in_flight: InFlight
    transitions: Transitions
    calls: ChannelCalls

    async def refund(
        self, payment_id: str, command: RefundCommand, caller: Caller, key: str, wait_s: float
    ) -> Refunded:
        """The same number or key with the same body answers the same refund.

        Raises 404, the refund 409s, and `RefundLimitReached`.
        """
        with self.in_flight.admitted():
            payment = await self.lookup.payment(payment_id, caller)
            known = await self._known(payment, command, key)
            if known is not None:
                return Refunded(known, replayed=True)
            refuse_card_numbers(texts_of_refund(command), self.ports.directory.manifests())
            limits = await self._limits(payment, command, caller)
            # Before the write is queued, as for a payment.
            send_by = self.ports.clock.monotonic() + SEND_DEADLINE_MS / 1000
            try:
                payment, change = await self.transitions.decide(
                    payment, lambda now: self._judge(now, command, caller, key, limits.day)
                )
            except RefundRace:
                raced = await self._known(payment, command, key)
                if raced is None:
                    raise
                return Refunded(raced, replayed=True)
        refund = change.new_refund if change is not None else None
        assert refund is not None, "the judge makes a refund or raises"
        if refund.status == RefundStatus.REQUESTED:
            with self.in_flight.waiter() as waiter:
                waiter.await_changes(payment.merchant_id, payment.id)
                self.in_flight.carry(
                    self.send(payment, refund, send_by), name=f"refund {refund.id}"
                )
                await waiter.until(lambda now: now.version > payment.version, payment, wait_s)
            refund = await self.lookup.refund(refund.id, caller)
        return Refunded(refund, replayed=False)

    async def send(self, payment: Payment, refund: Refund, send_by: float) -> None:
        """One call before `send_by` (monotonic), and what it told us.

        Everything later is the sweeper's.
        """
        account = self.ports.directory.remote_account(refund.channel_account)
        if account is None:
            return  # it cannot be used now: the sweeper sends it once it can
        request = self.request(payment, refund, account, send_by)
        outcome = await self.calls.refund(account, request, refund.silences)
        await self.transitions.learn_refund(payment, refund.id, outcome, Source.REFUND)

    def request(
        self, payment: Payment, refund: Refund, account: RemoteAccount, send_by: float
    ) -> RefundRequest:
        """The call of this refund; every repeat is the same."""
        attempt = next(attempt for attempt in payment.attempts if attempt.id == refund.attempt_id)
        return RefundRequest(
            out_trade_no=attempt.out_trade_no,
            channel_trade_no=attempt.channel_trade_no,
            out_refund_no=refund.out_refund_no,
            total_amount=attempt.captured_amount,
            refund_amount=refund.amount,
            currency=refund.currency,
            reason=refund.reason,
            notify_url=account.notify_url,
            deadline=send_by,
        )

    async def _known(self, payment: Payment, command: RefundCommand, key: str) -> Refund | None:
        by_key = await self.ports.store.refund_by_key(payment.merchant_id, payment.store_id, key)
        if by_key is not None:
            field = _difference(by_key, payment, command)
            if field is not None:
                raise IdempotencyKeyReused(
                    f"the field {field} differs from the first request with this key: "
                    f"take a new key for another refund",
                    zh=f"字段 {field} 与该幂等键的首次请求不同，另一笔退款请使用新的幂等键",
                    field=field,
                )
            return by_key
        by_number = await self.ports.store.refund_by_number(payment.merchant_id, command.refund_no)
        if by_number is None:
            return None
        if _difference(by_number, payment, command) is not None:
            raise RefundNoTaken(field="refund_no", payment=payment)
        return by_number

    async def _limits(
        self, payment: Payment, command: RefundCommand, caller: Caller
    ) -> RefundLimits:
        """What the caller may give back alone. The store decides about the day, which refunds at
        the same moment share; looking first spares it the refusal.
        """
        key = self.ports.directory.key(caller.key_id)
        limits = key.refund_limits if key is not None else refund_limits(caller.role)
        if limits.each is not None and command.amount > limits.each:
            raise RefundLimitReached(
                f"this key gives back at most {limits.each} fen by one refund", field="amount"
            )
        if limits.day is not None:
            given = await self.ports.store.given_back(
                payment.merchant_id,
                caller.terminal_id or caller.key_id,
                self._business_date(payment),
            )
            if given + command.amount > limits.day:
                raise RefundLimitReached(
                    f"{max(0, limits.day - given)} fen are left of what this key gives back today",
                    field="amount",
                )
        return limits

    def _judge(
        self,
        payment: Payment,
        command: RefundCommand,
        caller: Caller,
        key: str,
        day_limit: int | None,
    ) -> Change:
        attempt = payment.settling
        if payment.frozen_at is not None:
            raise PaymentFrozen(payment=payment)
        if attempt is None:
            raise PaymentNotPaid(payment=payment)
        if command.amount > attempt.refundable:
            raise RefundExceedsCaptured(
                f"{yuan(attempt.refundable)} is left to refund",
                zh=f"退款金额超出可退金额，还可退 {yuan(attempt.refundable)} 元",
                field="amount",
                payment=payment,
            )
        account = self.ports.directory.account(attempt.channel_account)
        drawn = self._drawn(payment, attempt, command, caller, key)
        refund = replace(drawn, day_limit=day_limit)
        occasion = self.transitions.occasion(Source.TILL)
        if isinstance(account, LocalAccount):
            done = replace(
                refund, status=RefundStatus.SUCCEEDED, refunded_at=refund.created_at, due_at=None
            )
            asked = LocalPay(
                amount=refund.amount,
                currency=refund.currency,
                store_id=payment.store_id,
                terminal_id=caller.terminal_id or "",  # whose drawer the cash leaves
                tendered=None,
            )
            decision = account.channel.decide_refund(asked)
            if isinstance(decision, Declined):
                raise RefundExceedsCaptured(decision.code, payment=payment)
            return returned_at_once(
                payment, attempt, done, posted(done.id, decision.entries), occasion
            )
        profile = account.profile if account else "standard"
        due_at = refund_due_after(refund, profile, refund.created_at)
        return reserved(payment, attempt, replace(refund, due_at=due_at), occasion)

    def _business_date(self, payment: Payment) -> str:
        """Today, in the payment's store."""
        days, now = self.ports.directory.days(), self.ports.clock.now()
        return days.business_date(payment.merchant_id, payment.store_id, now)

    def _drawn(
        self,
        payment: Payment,
        attempt: Attempt,
        command: RefundCommand,
        caller: Caller,
        key: str,
    ) -> Refund:
        return Refund(
            id=self.ports.ids.new("ref"),
            merchant_id=payment.merchant_id,
            payment_id=payment.id,
            store_id=payment.store_id,
            attempt_id=attempt.id,
            channel=attempt.channel,
            channel_account=attempt.channel_account,
            refund_no=command.refund_no,
            out_refund_no=self.ports.numbers.refund(attempt.out_trade_no, command.refund_no),
            amount=command.amount,
            currency=payment.currency,
            origin=Origin.MERCHANT,
            status=RefundStatus.REQUESTED,
            created_at=self.ports.clock.now(),
            business_date=self._business_date(payment),
            reason=command.reason,
            operator_id=command.operator_id,
            terminal_id=caller.terminal_id,
            asked_by=caller.key_id,
            idempotency_key=key,
        )


def decided(refund: Refund) -> bool:
    """Nothing more will happen to it."""
    return refund.status not in REFUND_OPEN


def _difference(refund: Refund, payment: Payment, command: RefundCommand) -> str | None:
    pairs = (
        ("payment_id", refund.payment_id, payment.id),
        ("refund_no", refund.refund_no, command.refund_no),
        ("amount", refund.amount, command.amount),
        ("reason", refund.reason, command.reason),
        ("operator_id", refund.operator_id, command.operator_id),
    )
    return next((name for name, theirs, ours in pairs if theirs != ours), None)
