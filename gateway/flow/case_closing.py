"""A person closes a case.

With a finding, the ordinary event is applied on that person's word, and a frozen payment thaws.

It counts like a channel's word: `paid` books the money, `not_charged` ends the attempt; what the
tables refuse is refused here too. It counts for the attempt that the case shows, and for no other:
what was found out about one number says nothing of the next one.
"""

from __future__ import annotations

from dataclasses import dataclass

from msgspec.structs import replace

from gateway.clock import Clock
from gateway.domain.acts import thawed
from gateway.domain.case import Finding
from gateway.domain.change import Change
from gateway.domain.learning import learned
from gateway.domain.outcomes import Closed, Succeeded
from gateway.domain.payment import Attempt, Payment
from gateway.domain.states import ATTEMPT_UNCHARGED
from gateway.domain.words import LastCancel, Source
from gateway.flow.learn.transition import Transitions
from gateway.flow.ports import Store

BY_HAND = "confirmed-by-hand"  # the channel's trade number, where no answer of it ever carried one


@dataclass(frozen=True, slots=True)
class CaseClosing:
    """`tillgate case close`."""

    store: Store
    transitions: Transitions
    clock: Clock

    async def close(
        self,
        merchant_id: str,
        case_id: str,
        object_id: str,
        finding: Finding | None,
        *,
        by: str,
        reason: str,
        attempt_id: str | None = None,
    ) -> Payment | None:
        """The payment as it stands afterwards, if the case is about one.

        Raises `NotFound` when no such case is open.

        `attempt_id`: the attempt that the case shows.
        """
        payment = await self.store.payment(merchant_id, object_id)
        if payment is not None:
            payment = await self.transitions.step(
                payment, lambda now: self._judge(now, finding, attempt_id)
            )
        await self.store.close_case(case_id, closed_by=by, reason=reason, now=self.clock.now())
        return payment

    def _judge(
        self, payment: Payment, finding: Finding | None, attempt_id: str | None
    ) -> Change | None:
        attempt = _shown(payment, attempt_id)
        # A channel told of money after the attempt had ended, and of another amount: that freezes
        # the payment too. When the person says "paid", the money is given back.
        is_late = (
            payment.frozen_at is not None
            and attempt.status in ATTEMPT_UNCHARGED
            and finding == Finding.PAID
        )
        occasion = self.transitions.occasion(Source.CASE, asked_after_end=is_late)
        if finding is None or not (attempt.live or is_late):
            return thawed(payment, occasion) if payment.frozen_at is not None else None
        # The person has looked: a cancel under way is over, and nothing is frozen any more.
        attempt = replace(attempt, last_cancel=LastCancel.USE_REFUND)
        attempts = payment.attempts_with(attempt)
        payment = replace(payment, frozen_at=None, frozen_by=None, attempts=attempts)
        if finding == Finding.PAID:
            found = Succeeded(
                amount=payment.amount, channel_trade_no=attempt.channel_trade_no or BY_HAND
            )
            return learned(payment, attempt, found, occasion)
        return learned(payment, attempt, Closed(was_charged=None), occasion)


def _shown(payment: Payment, attempt_id: str | None) -> Attempt:
    """The attempt that the case shows; else the one that froze the payment; else the one that
    counts now.
    """
    frozen_by = payment.frozen_by if payment.frozen_at is not None else None
    for wanted in (attempt_id, frozen_by):
        for attempt in payment.attempts:
            if attempt.id == wanted:
                return attempt
    return payment.current
