"""The sweeper's visit to one undecided payment or refund: query, and when its time has come cancel,
until the answer is sure.

`cancelling` is durable before a cancel leaves, and ends only by a definite word: see the attempt
table in `domain.states` and the schedules in the manifests. Nothing here decides from age alone,
and nothing holds a connection or a lock across a channel call.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import structlog

from gateway.domain.acts import cancel_sent, taken
from gateway.domain.change import Change
from gateway.domain.occasion import Outcome
from gateway.domain.outcomes import RefundNotFound, Silence
from gateway.domain.payment import Attempt, Payment
from gateway.domain.states import ATTEMPT_UNCHARGED
from gateway.domain.statuses import AttemptStatus
from gateway.domain.words import LastCancel, Source
from gateway.flow.accounts import RemoteAccount
from gateway.flow.call.channel_call import ChannelCalls
from gateway.flow.due import DueAttempt, DueRefund
from gateway.flow.learn.in_flight import InFlight
from gateway.flow.learn.late_money import LateMoney
from gateway.flow.learn.schedule import cancel_at, proof_at
from gateway.flow.learn.transition import Held, Transitions
from gateway.flow.ports import Ports
from gateway.flow.refund import Refunds, decided
from gateway.flow.send.sending import Sender
from gateway.limits import SEND_DEADLINE_MS
from gateway.telemetry.metrics import SWEEPS

log = structlog.get_logger("tillgate.sweeper")


@dataclass(frozen=True, slots=True, kw_only=True)
class InDoubt:
    """Visits. Each is leased, bounded in time, and safe to repeat."""

    ports: Ports
    transitions: Transitions
    refunds: Refunds
    calls: ChannelCalls
    sender: Sender
    in_flight: InFlight

    async def visit(self, due: DueAttempt, until: float) -> None:
        """One attempt, one step further.

        `until` (monotonic): the lease ends then, and nothing is sent any more.
        """
        payment = await self.ports.store.payment(due.merchant_id, due.payment_id)
        if payment is None:
            return
        attempt = payment.attempt(due.out_trade_no)
        account = self.ports.directory.remote_account(attempt.channel_account)
        if account is None:
            return
        if not attempt.live:
            await self._ask_late(payment, attempt, account)
            return
        if attempt.status == AttemptStatus.SENT:
            payment = await self.transitions.step(
                payment,
                lambda now: self._taken(now, due.out_trade_no),
                held=_visited(due.out_trade_no),
            )
            SWEEPS.labels(attempt.channel, "taken").inc()
        was_silent = False
        if not self._only_cancel(payment, payment.attempt(due.out_trade_no)):
            payment, was_silent = await self._query(payment, due.out_trade_no, account, until)
        if self._cancel_now(payment, payment.attempt(due.out_trade_no)):
            await self._cancel(
                payment, due.out_trade_no, account, until, silence_counted=was_silent
            )

    async def visit_refund(self, due: DueRefund, until: float) -> None:
        """One refund: ask; what the channel never accepted is sent again under the same number.

        `until` as for `visit`.
        """
        payment = await self.ports.store.payment(due.merchant_id, due.payment_id)
        refund = await self.ports.store.refund(due.merchant_id, due.refund_id)
        if payment is None or refund is None or decided(refund):
            return
        account = self.ports.directory.remote_account(refund.channel_account)
        if account is None:
            return
        request = self.refunds.request(payment, refund, account, self._send_by(until))
        outcome = await self.calls.query_refund(account, request, refund.silences)
        SWEEPS.labels(refund.channel, "refund_query").inc()
        never_accepted = isinstance(outcome, RefundNotFound)
        payment, refund = await self.transitions.learn_refund(
            payment, refund.id, outcome, Source.REFUND_QUERY, held=never_accepted
        )
        if never_accepted and not decided(refund):
            SWEEPS.labels(refund.channel, "refund").inc()
            send_by = self._send_by(until)
            payment, refund = await self.transitions.refund_again(payment, refund.id)
            # Read anew: a person may have ended or stopped it meanwhile.
            is_wanted = not decided(refund) and refund.stopped_at is None
            if is_wanted and not self._too_late(send_by):
                await self.refunds.send(payment, refund, send_by)

    async def _ask_late(self, payment: Payment, attempt: Attempt, account: RemoteAccount) -> None:
        """A yes was heard after the end, and not yet what became of the money."""
        if attempt.status in ATTEMPT_UNCHARGED and attempt.due_at is not None:
            SWEEPS.labels(attempt.channel, "late_query").inc()
            late = LateMoney(self.transitions, self.calls, account, payment, attempt.out_trade_no)
            await late.ask_again()

    async def _query(
        self, payment: Payment, out_trade_no: str, account: RemoteAccount, until: float
    ) -> tuple[Payment, bool]:
        """(the payment afterwards, whether the channel said nothing)."""
        SWEEPS.labels(account.manifest.channel, "query").inc()
        asked_at = self.ports.clock.now()
        outcome = await self.calls.query(account, payment, out_trade_no, until)
        payment = await self._learn(
            payment,
            out_trade_no,
            outcome,
            Source.QUERY,
            asked_at=asked_at,
            held=lambda now, asked: self._cancel_next(now, asked, out_trade_no),
        )
        late = LateMoney(self.transitions, self.calls, account, payment, out_trade_no)
        await late.settle(told=outcome)
        return payment, isinstance(outcome, Silence)

    async def _cancel(
        self,
        payment: Payment,
        out_trade_no: str,
        account: RemoteAccount,
        until: float,
        *,
        silence_counted: bool,
    ) -> None:
        # Before the write is handed over: a sweeper that stands still behind it sends no more.
        send_by = self._send_by(until)
        if payment.attempt(out_trade_no).status != AttemptStatus.CANCELLING:
            payment = await self.transitions.step(
                payment,
                lambda now: self._cancel_sent(now, out_trade_no),
                held=_visited(out_trade_no),
            )
        if payment.attempt(out_trade_no).status != AttemptStatus.CANCELLING:
            return  # a yes was booked first, and wins
        if self._too_late(send_by):
            return  # another sweeper visits by now
        SWEEPS.labels(account.manifest.channel, "cancel").inc()
        outcome = await self.calls.cancel(account, payment, out_trade_no, send_by)
        await self._learn(
            payment, out_trade_no, outcome, Source.CANCEL, silence_counted=silence_counted
        )

    async def _learn(
        self,
        payment: Payment,
        out_trade_no: str,
        outcome: Outcome,
        source: Source,
        *,
        asked_at: datetime | None = None,
        silence_counted: bool = False,
        held: Held | None = None,
    ) -> Payment:
        """Where the outcome proves that this attempt is over, and another account can take the
        payment, that one is asked.
        """
        successors = self.sender.failover.successors()
        payment = await self.transitions.learn(
            payment,
            out_trade_no,
            outcome,
            source,
            asked_at=asked_at,
            silence_counted=silence_counted,
            successor=successors,
            held=held,
        )
        drawn = successors.won(payment)
        if drawn is not None:
            self.in_flight.carry(self.sender.go_on(payment, drawn), name=f"pay {payment.id}")
        return payment

    def _send_by(self, until: float) -> float:
        return min(until, self.ports.clock.monotonic() + SEND_DEADLINE_MS / 1000)

    def _too_late(self, send_by: float) -> bool:
        return self.ports.clock.monotonic() >= send_by

    def _only_cancel(self, payment: Payment, attempt: Attempt) -> bool:
        """A cancel under way is repeated without asking first, until no cancel can act or P4's
        clock has run out.
        """
        if attempt.status != AttemptStatus.CANCELLING or payment.frozen_at is not None:
            return False
        if attempt.last_cancel == LastCancel.USE_REFUND:
            return False
        if attempt.last_cancel == LastCancel.NOTHING_THERE:
            return self.ports.clock.now() < proof_at(
                attempt, self.transitions.schedule(payment, attempt)
            )
        return attempt.last_cancel != LastCancel.UNKNOWN

    def _cancel_next(self, payment: Payment, attempt: Attempt, out_trade_no: str) -> bool:
        """Whether this very visit goes on to cancel."""
        return attempt.out_trade_no == out_trade_no and self._cancel_now(payment, attempt)

    def _cancel_now(self, payment: Payment, attempt: Attempt) -> bool:
        if not attempt.live or payment.frozen_at is not None:
            return False
        if attempt.status == AttemptStatus.CANCELLING:
            return attempt.last_cancel != LastCancel.USE_REFUND
        return self.ports.clock.now() >= cancel_at(
            payment, attempt, self.transitions.schedule(payment, attempt)
        )

    def _taken(self, payment: Payment, out_trade_no: str) -> Change | None:
        attempt = payment.attempt(out_trade_no)
        return (
            taken(payment, attempt, self.transitions.occasion(Source.SWEEPER))
            if attempt.status == AttemptStatus.SENT
            else None
        )

    def _cancel_sent(self, payment: Payment, out_trade_no: str) -> Change | None:
        """Judged on the newest state: only an attempt that is live,
        not frozen and not yet being cancelled.
        """
        attempt = payment.attempt(out_trade_no)
        if (
            not attempt.live
            or attempt.status == AttemptStatus.CANCELLING
            or payment.frozen_at is not None
        ):
            return None
        return cancel_sent(payment, attempt, self.transitions.occasion(Source.SWEEPER))


def _visited(out_trade_no: str) -> Held:
    """A visit to this attempt goes on."""
    return lambda _, attempt: attempt.out_trade_no == out_trade_no
