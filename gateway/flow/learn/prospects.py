"""How long an undecided payment or refund may still take, for the till that waits for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from gateway.clock import Clock
from gateway.domain.payment import Payment, Refund
from gateway.domain.resources import ENDED, Prospect
from gateway.domain.states import PAYMENT_FINAL, REFUND_OPEN
from gateway.domain.statuses import PaymentStatus
from gateway.flow.learn.schedule import decides_by, refund_decides_by
from gateway.flow.learn.transition import Transitions
from gateway.flow.ports import Directory
from gateway.limits import OVERRIDE_WAIT_MS


@dataclass(frozen=True, slots=True)
class Prospects:
    """Follows from the object and the schedule of its channel; asks nobody."""

    directory: Directory
    transitions: Transitions
    clock: Clock

    def of_payment(self, payment: Payment) -> Prospect:
        """When the till has an answer, and whether a supervisor may let another payment in."""
        if payment.status in PAYMENT_FINAL:
            return ENDED
        attempt = payment.current
        ends = decides_by(payment, attempt, self.transitions.schedule(payment, attempt))
        is_far = ends is None or ends - self.clock.now() > timedelta(milliseconds=OVERRIDE_WAIT_MS)
        return Prospect(
            decides_by=ends,
            override_possible=(
                is_far
                and payment.status == PaymentStatus.IN_DOUBT
                and payment.overridden_at is None
                and self.directory.overrides_allowed(payment.merchant_id, payment.store_id)
            ),
        )

    def of_refund(self, refund: Refund) -> Prospect:
        """When the till has an answer."""
        if refund.status not in REFUND_OPEN:
            return ENDED
        account = self.directory.remote_account(refund.channel_account)
        profile = account.profile if account is not None else "standard"
        return Prospect(decides_by=refund_decides_by(refund, profile))
