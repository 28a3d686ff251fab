"""A yes about an attempt that has ended uncharged: late money, or the news of a charge that our own
cancel has given back since?

An answer is as old as it likes: a callback, a pay call or a query of a worker that stood still may
speak of the time before the cancel. Only the answer to a question asked after the end decides, so
the question is asked; and until it is answered it stays in the books as the attempt's next visit,
whoever dies meanwhile.
"""

from __future__ import annotations

from gateway.domain.change import Change
from gateway.domain.late_answer import answered, asked
from gateway.domain.outcomes import Closed, Declined, Mismatch, Succeeded
from gateway.domain.payment import Payment
from gateway.domain.states import ATTEMPT_UNCHARGED
from gateway.flow.accounts import RemoteAccount
from gateway.flow.call.channel_call import ChannelCalls
from gateway.flow.learn.schedule import late_due_after
from gateway.flow.learn.transition import Transitions


async def asked_about_late_money(
    transitions: Transitions,
    calls: ChannelCalls,
    account: RemoteAccount,
    payment: Payment,
    out_trade_no: str,
    *,
    told: object,
) -> bool:
    """After `told` was applied and left `payment`: ask if need be.

    False when the channel says nothing definite now.
    """
    ended_uncharged = payment.attempt(out_trade_no).status in ATTEMPT_UNCHARGED
    if not isinstance(told, Succeeded) or not ended_uncharged or payment.frozen_at is not None:
        return True
    payment = await transitions.insist(
        payment, lambda now: _asked(transitions, now, out_trade_no, once=True)
    )
    return await _ask(transitions, calls, account, payment, out_trade_no)


async def ask_again_about_late_money(
    transitions: Transitions,
    calls: ChannelCalls,
    account: RemoteAccount,
    payment: Payment,
    out_trade_no: str,
) -> None:
    """The sweeper's visit to an attempt whose question is still open."""
    if not await _ask(transitions, calls, account, payment, out_trade_no):
        await transitions.insist(
            payment, lambda now: _asked(transitions, now, out_trade_no, once=False)
        )


async def _ask(
    transitions: Transitions,
    calls: ChannelCalls,
    account: RemoteAccount,
    payment: Payment,
    out_trade_no: str,
) -> bool:
    outcome = await calls.query(account, payment, out_trade_no)
    if not isinstance(outcome, Succeeded | Closed | Declined | Mismatch):
        return False
    payment = await transitions.learn(payment, out_trade_no, outcome, "query")
    await transitions.insist(payment, lambda now: _answered(transitions, now, out_trade_no))
    return True


def _answered(transitions: Transitions, payment: Payment, out_trade_no: str) -> Change | None:
    return answered(payment, payment.attempt(out_trade_no), transitions.occasion("query"))


def _asked(
    transitions: Transitions, payment: Payment, out_trade_no: str, *, once: bool
) -> Change | None:
    attempt = payment.attempt(out_trade_no)
    if attempt.status not in ATTEMPT_UNCHARGED or (once and attempt.due_at is not None):
        return None  # somebody was answered, or the question is in the books already
    occasion = transitions.occasion("query")
    return asked(payment, attempt, late_due_after(attempt, occasion.now), occasion)
