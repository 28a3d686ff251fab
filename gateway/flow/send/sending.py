"""The sends of one payment: one call an attempt, write 2, and while the proof allows it and an
account is left, the next attempt.

Nothing is sent twice: an attempt is sent by the worker whose write opened it, once, and only before
its own deadline.
"""

from __future__ import annotations

from dataclasses import dataclass

from adapters.channel import PayRequest
from gateway.domain.payment import Payment
from gateway.domain.presenting import Presented, ShownQr
from gateway.domain.words import Source
from gateway.flow.accounts import RemoteAccount
from gateway.flow.call.channel_call import ChannelCalls
from gateway.flow.choose.health import ChannelHealth, Place
from gateway.flow.learn.late_money import LateMoney
from gateway.flow.learn.transition import Transitions
from gateway.flow.send.failover import Drawn, Failover, Successors

SUBJECT = "Payment"  # what the customer's wallet shows when the till gives no description


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Pay calls. Everything later is the sweeper's."""

    transitions: Transitions
    calls: ChannelCalls
    health: ChannelHealth
    failover: Failover

    async def send(
        self, payment: Payment, place: Place, deadline: float, presented: Presented
    ) -> None:
        """The current attempt, which the caller's write has opened, and its successors.

        `deadline` is monotonic; `place` is given back.
        """
        successors = self.failover.successors()
        try:
            while True:
                request = _request(payment, place.choice.account, deadline, presented)
                payment = await self._send_one(payment, place.choice.account, request, successors)
                drawn = successors.won(payment)
                if drawn is None:
                    return
                place.leave()
                place, deadline = self._enter(payment, drawn), drawn.deadline
        finally:
            place.leave()

    async def go_on(self, payment: Payment, drawn: Drawn) -> None:
        """As `send`, for an attempt that a sweeper's write has opened. That happens only where the
        customer presents nothing and reads what we show.
        """
        await self.send(payment, self._enter(payment, drawn), drawn.deadline, ShownQr())

    def _enter(self, payment: Payment, drawn: Drawn) -> Place:
        return self.health.enter(drawn.choice, payment.flow.facts.operation)

    async def _send_one(
        self, payment: Payment, account: RemoteAccount, request: PayRequest, successors: Successors
    ) -> Payment:
        number = request.out_trade_no
        outcome = await self.calls.pay(account, request)
        payment = await self.transitions.learn(
            payment, number, outcome, Source.PAY, successor=successors
        )
        late = LateMoney(self.transitions, self.calls, account, payment, number)
        await late.settle(told=outcome)
        return payment


def _request(
    payment: Payment, account: RemoteAccount, deadline: float, presented: Presented
) -> PayRequest:
    attempt = payment.current
    return PayRequest(
        out_trade_no=attempt.out_trade_no,
        amount=payment.amount,
        currency=payment.currency,
        description=payment.description or SUBJECT,
        presented=presented,
        store_id=payment.store_id,
        terminal_id=payment.terminal_id or "",
        operator_id=payment.operator_id or "",
        sent_at=attempt.sent_at,
        not_after=attempt.not_after,
        notify_url=account.notify_url,
        deadline=deadline,
    )
