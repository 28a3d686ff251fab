"""The sends of one payment: one call an attempt, write 2, and while the proof allows it and an
account is left, the next attempt.

Nothing is sent twice: an attempt is sent by whoever's write opened it, once, and only before its
own deadline.
"""

from __future__ import annotations

from dataclasses import dataclass

from adapters.channel import PayRequest
from gateway.domain.payment import Payment
from gateway.domain.words import Source
from gateway.flow.call.channel_call import ChannelCalls, pay_operation
from gateway.flow.choose.health import ChannelHealth, Place
from gateway.flow.choose.routing import Choice
from gateway.flow.learn.late_money import LateMoney
from gateway.flow.learn.transition import Transitions
from gateway.flow.ports import Directory
from gateway.flow.send.failover import Failover, Successors
from security.secret import Secret

SUBJECT = "Payment"  # what the customer's wallet shows when the till gives no description


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Pay calls. Everything later is the sweeper's."""

    directory: Directory
    transitions: Transitions
    calls: ChannelCalls
    health: ChannelHealth
    failover: Failover

    async def send(
        self, payment: Payment, place: Place, deadline: float, auth_code: Secret | None
    ) -> None:
        """The current attempt, which the caller's write has opened, and its successors.

        `deadline` is monotonic; `place` is given back.
        """
        successors = self.failover.successors()
        try:
            while True:
                payment = await self._send_one(payment, deadline, auth_code, successors)
                drawn = successors.deadline_of(payment)
                if drawn is None:
                    return
                place.leave()
                place, deadline = self._entered(payment), drawn
        finally:
            place.leave()

    async def go_on(self, payment: Payment, deadline: float) -> None:
        """As `send`, for an attempt that a sweeper's write has opened: whoever shows a QR code
        needs no payment code.
        """
        await self.send(payment, self._entered(payment), deadline, None)

    def _entered(self, payment: Payment) -> Place:
        attempt = payment.current
        account = self.directory.account(attempt.channel_account)
        assert account is not None, "an account stays in the directory"
        return self.health.enter(
            Choice(account=account, why=attempt.why), pay_operation(payment.flow)
        )

    async def _send_one(
        self, payment: Payment, deadline: float, auth_code: Secret | None, successors: Successors
    ) -> Payment:
        attempt = payment.current
        account = self.directory.account(attempt.channel_account)
        assert account is not None and account.channel is not None, (  # noqa: PT018
            "a remote attempt has a remote account"
        )
        request = PayRequest(
            out_trade_no=attempt.out_trade_no,
            amount=payment.amount,
            currency=payment.currency,
            description=payment.description or SUBJECT,
            flow=payment.flow,
            auth_code=auth_code,
            store_id=payment.store_id,
            terminal_id=payment.terminal_id or "",
            operator_id=payment.operator_id or "",
            sent_at=attempt.sent_at,
            not_after=attempt.not_after,
            notify_url=account.notify_url,
            deadline=deadline,
        )
        outcome = await self.calls.made(
            account, pay_operation(payment.flow), account.channel.pay, request
        )
        payment = await self.transitions.learn(
            payment, attempt.out_trade_no, outcome, Source.PAY, successor=successors
        )
        late = LateMoney(self.transitions, self.calls, account, payment, attempt.out_trade_no)
        await late.settle(told=outcome)
        return payment
