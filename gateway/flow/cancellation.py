"""`POST /v1/payments/{id}/cancel`: "do not let this payment succeed".

The intent is durable; the sweeper acts at the earliest lawful moment.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.domain.acts import cancel_requested
from gateway.domain.change import Change
from gateway.domain.errors import AlreadyPaid
from gateway.domain.payment import Payment
from gateway.domain.states import PAYMENT_FINAL
from gateway.domain.statuses import PaymentStatus
from gateway.domain.words import Source
from gateway.flow.commands import Caller
from gateway.flow.learn.in_flight import InFlight
from gateway.flow.learn.transition import Transitions
from gateway.flow.lookup import Lookup


@dataclass(frozen=True, slots=True)
class Cancellation:
    """Safe to repeat; needs no key."""

    lookup: Lookup
    transitions: Transitions
    in_flight: InFlight

    async def cancel(self, payment_id: str, caller: Caller, wait_s: float) -> Payment:
        """The payment after `wait_s` at most.

        Raises `AlreadyPaid`; an ended payment is answered unchanged.
        """
        with self.in_flight.waiter() as waiter:
            waiter.await_changes(caller.merchant_id, payment_id)
            payment = await self.lookup.payment(payment_id, caller)
            payment = await self.transitions.step(payment, lambda now: self._judge(now, caller))
            if payment.status == PaymentStatus.SUCCEEDED:
                raise AlreadyPaid(payment=payment)
            return await waiter.until(lambda now: now.status in PAYMENT_FINAL, payment, wait_s)

    def _judge(self, payment: Payment, caller: Caller) -> Change | None:
        if payment.status in PAYMENT_FINAL or payment.cancel_requested_at is not None:
            return None
        return cancel_requested(payment, self.transitions.occasion(Source.TILL), by=caller.key_id)
