"""A yes about an attempt that has ended uncharged: late money, or the news of a charge that our own
cancel has given back since?

An answer is as old as it likes: a callback, a pay call or a query of a worker that stood still may
speak of the time before the cancel. Only the answer to a question asked after the end decides, so
the question is asked; and until it is answered it stays in the books as the attempt's next visit,
which the next sweeper makes when this one dies.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.domain import late_money
from gateway.domain.change import Change
from gateway.domain.outcomes import Closed, Declined, Mismatch, Succeeded
from gateway.domain.payment import Payment
from gateway.domain.states import ATTEMPT_UNCHARGED
from gateway.domain.words import Source
from gateway.flow.accounts import RemoteAccount
from gateway.flow.call.channel_call import ChannelCalls
from gateway.flow.learn.schedule import late_due_after
from gateway.flow.learn.transition import Transitions


@dataclass(frozen=True, slots=True)
class LateMoney:
    """The question about the attempt `out_trade_no` of `payment`, which is as the last word left
    it.
    """

    transitions: Transitions
    calls: ChannelCalls
    account: RemoteAccount
    payment: Payment
    out_trade_no: str

    async def settle(self, *, told: object) -> bool:
        """After `told` was applied: ask, if need be.

        False when the channel says nothing definite now.
        """
        has_ended = self.payment.attempt(self.out_trade_no).status in ATTEMPT_UNCHARGED
        if not isinstance(told, Succeeded) or not has_ended or self.payment.frozen_at is not None:
            return True
        payment = await self.transitions.insist(self.payment, self._asked_once)
        return await self._ask(payment)

    async def ask_again(self) -> None:
        """The sweeper's visit to an attempt whose question is still open."""
        if not await self._ask(self.payment):
            await self.transitions.insist(self.payment, self._asked)

    async def _ask(self, payment: Payment) -> bool:
        outcome = await self.calls.query(self.account, payment, self.out_trade_no)
        if not isinstance(outcome, Succeeded | Closed | Declined | Mismatch):
            return False
        payment = await self.transitions.learn(payment, self.out_trade_no, outcome, Source.QUERY)
        await self.transitions.insist(payment, self._answered)
        return True

    def _asked_once(self, payment: Payment) -> Change | None:
        """None when the question is in the books already."""
        attempt = payment.attempt(self.out_trade_no)
        return None if attempt.due_at is not None else self._asked(payment)

    def _asked(self, payment: Payment) -> Change | None:
        """None when it was answered meanwhile."""
        attempt = payment.attempt(self.out_trade_no)
        if attempt.status not in ATTEMPT_UNCHARGED:
            return None
        occasion = self.transitions.occasion(Source.QUERY)
        again_at = late_due_after(attempt, occasion.now)
        return late_money.asked(payment, attempt, again_at, occasion)

    def _answered(self, payment: Payment) -> Change | None:
        occasion = self.transitions.occasion(Source.QUERY)
        return late_money.answered(payment, payment.attempt(self.out_trade_no), occasion)
