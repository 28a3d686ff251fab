"""The sweeper's visit to one undecided payment or refund: query, and when its time has come cancel, until the answer is sure.

`cancelling` is durable before a cancel leaves, and ends only by a definite word: see the attempt table in `domain.states` and the
schedules in the manifests. Nothing here decides from age alone, and nothing holds a connection or a lock across a channel call.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from gateway.clock import Clock
from gateway.domain.change import Change
from gateway.domain.learning import cancel_sent, taken
from gateway.domain.outcomes import RefundNotFound
from gateway.domain.payment import Attempt, Payment
from gateway.flow.channel_call import called, trade_ref
from gateway.flow.late_money import asked_about_late_money
from gateway.flow.ports import Account, Directory, DueAttempt, DueRefund, Store
from gateway.flow.refund import Refunds, decided
from gateway.flow.schedule import cancel_at, proof_at
from gateway.flow.transition import Transitions
from gateway.telemetry.metrics import SWEEPS

log = structlog.get_logger("tillgate.sweeper")


@dataclass(frozen=True, slots=True, kw_only=True)
class InDoubt:
    """Visits. Each is leased, bounded in time, and safe to repeat."""

    store: Store
    directory: Directory
    transitions: Transitions
    refunds: Refunds
    clock: Clock

    async def visit(self, due: DueAttempt) -> None:
        """One attempt, one step further."""
        payment = await self.store.payment(due.merchant_id, due.payment_id)
        if payment is None:
            return
        attempt = payment.attempt(due.out_trade_no)
        account = self.directory.account(attempt.channel_account)
        if not attempt.live or account is None or account.channel is None:
            return
        if attempt.status == "sent":
            payment = await self.transitions.step(payment, lambda now: self._taken(now, due.out_trade_no))
            SWEEPS.labels(attempt.channel, "taken").inc()
        if not self._only_cancel(payment, payment.attempt(due.out_trade_no)):
            payment = await self._query(payment, due.out_trade_no, account)
        if self._cancel_now(payment, payment.attempt(due.out_trade_no)):
            await self._cancel(payment, due.out_trade_no, account)

    async def visit_refund(self, due: DueRefund) -> None:
        """One refund: ask; what the channel never accepted is sent again under the same number."""
        payment = await self.store.payment(due.merchant_id, due.payment_id)
        refund = await self.store.refund(due.merchant_id, due.refund_id)
        if payment is None or refund is None or decided(refund):
            return
        account = self.directory.account(refund.channel_account)
        if account is None or account.channel is None:
            return
        request = self.refunds.request(payment, refund, account)
        outcome = await called(account, "refund_query", account.channel.query_refund(request), self.clock)
        SWEEPS.labels(refund.channel, "refund_query").inc()
        payment, refund = await self.transitions.learn_refund(payment, refund.id, outcome, "refund_query")
        if isinstance(outcome, RefundNotFound) and not decided(refund):
            SWEEPS.labels(refund.channel, "refund").inc()
            payment, refund = await self.transitions.refund_again(payment, refund.id)
            await self.refunds.send(payment, refund)

    async def _query(self, payment: Payment, out_trade_no: str, account: Account) -> Payment:
        assert account.channel is not None
        SWEEPS.labels(account.manifest.channel, "query").inc()
        asked_at = self.clock.now()
        outcome = await called(account, "query", account.channel.query(trade_ref(payment, out_trade_no, self.clock)), self.clock)
        payment = await self.transitions.learn(payment, out_trade_no, outcome, "query", asked_at=asked_at)
        await asked_about_late_money(self.transitions, self.clock, account, payment, out_trade_no, told=outcome)
        return payment

    async def _cancel(self, payment: Payment, out_trade_no: str, account: Account) -> None:
        assert account.channel is not None
        if payment.attempt(out_trade_no).status != "cancelling":
            payment = await self.transitions.step(payment, lambda now: self._cancel_sent(now, out_trade_no))
        if payment.attempt(out_trade_no).status != "cancelling":
            return  # a yes was booked first, and wins
        SWEEPS.labels(account.manifest.channel, "cancel").inc()
        outcome = await called(account, "cancel", account.channel.cancel(trade_ref(payment, out_trade_no, self.clock)), self.clock)
        await self.transitions.learn(payment, out_trade_no, outcome, "cancel")

    def _only_cancel(self, payment: Payment, attempt: Attempt) -> bool:
        """A cancel under way is repeated without asking first, until no cancel can act or P4's clock has run out."""
        if attempt.status != "cancelling" or payment.frozen_at is not None:
            return False
        if attempt.last_cancel == "UseRefund":
            return False
        if attempt.last_cancel == "NothingThere":
            return self.clock.now() < proof_at(attempt, self.transitions.schedule(payment, attempt))
        return attempt.last_cancel != "Unknown"

    def _cancel_now(self, payment: Payment, attempt: Attempt) -> bool:
        if not attempt.live or payment.frozen_at is not None:
            return False
        if attempt.status == "cancelling":
            return attempt.last_cancel != "UseRefund"
        return self.clock.now() >= cancel_at(payment, attempt, self.transitions.schedule(payment, attempt))

    def _taken(self, payment: Payment, out_trade_no: str) -> Change | None:
        attempt = payment.attempt(out_trade_no)
        return taken(payment, attempt, self.transitions.occasion("sweeper")) if attempt.status == "sent" else None

    def _cancel_sent(self, payment: Payment, out_trade_no: str) -> Change | None:
        """Judged on the newest state: only an attempt that is live, not frozen and not yet being cancelled."""
        attempt = payment.attempt(out_trade_no)
        if not attempt.live or attempt.status == "cancelling" or payment.frozen_at is not None:
            return None
        return cancel_sent(payment, attempt, self.transitions.occasion("sweeper"))
