"""A yes about an attempt that has ended uncharged: late money, or the news of a charge that our own cancel has given back since?

An answer is as old as it likes: a callback, a pay call or a query of a worker that stood still may speak of the time before the
cancel. Only the answer to a question asked after the end decides, so the question is asked.
"""

from __future__ import annotations

from gateway.clock import Clock
from gateway.domain.outcomes import Closed, Declined, Mismatch, Succeeded
from gateway.domain.payment import Payment
from gateway.domain.states import ATTEMPT_UNCHARGED
from gateway.flow.channel_call import called, trade_ref
from gateway.flow.ports import Account
from gateway.flow.transition import Transitions


async def asked_about_late_money(
    transitions: Transitions, clock: Clock, account: Account, payment: Payment, out_trade_no: str, *, told: object
) -> bool:
    """After `told` was applied and left `payment`: ask if need be. False when the channel says nothing definite now."""
    ended_uncharged = payment.attempt(out_trade_no).status in ATTEMPT_UNCHARGED
    if not isinstance(told, Succeeded) or not ended_uncharged or payment.frozen_at is not None:
        return True
    assert account.channel is not None
    outcome = await called(account, "query", account.channel.query(trade_ref(payment, out_trade_no, clock)), clock)
    if not isinstance(outcome, Succeeded | Closed | Declined | Mismatch):
        return False
    await transitions.learn(payment, out_trade_no, outcome, "query")
    return True
