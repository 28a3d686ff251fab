"""What a person has found out about money, applied like a channel's word. Pure.

A finding that the books say already changes nothing. One that they contradict, or that has no place
in the tables, raises `FindingRefused`: nothing that a person found out is thrown away.
"""

from __future__ import annotations

from typing import assert_never

from msgspec.structs import replace

from gateway.domain import outcomes as o
from gateway.domain.acts import thawed
from gateway.domain.case import ABOUT_PAYMENT, Finding, FindingRefused
from gateway.domain.change import Change
from gateway.domain.learning import learned
from gateway.domain.occasion import Occasion
from gateway.domain.payment import Attempt, Payment, Refund
from gateway.domain.returning import refund_learned
from gateway.domain.states import ATTEMPT_UNCHARGED, REFUND_OPEN, IllegalTransition
from gateway.domain.statuses import RefundStatus
from gateway.domain.words import LastCancel, Origin

BY_HAND = "confirmed-by-hand"  # the channel's number, where no answer of it ever carried one


def found_about_payment(
    payment: Payment, attempt: Attempt, finding: Finding, occasion: Occasion
) -> Change | None:
    """`attempt`: the one whose number was looked up.

    `paid` after its end gives the money back, whether a channel had told of it or not:
    `occasion.asked_after_end` has to stand, since the person has looked now.
    """
    if finding not in ABOUT_PAYMENT:
        raise FindingRefused(
            f"the case shows no refund, and `{finding}` is about one: say `paid` or `not_charged`"
        )
    is_uncharged = attempt.status in ATTEMPT_UNCHARGED
    if not attempt.live and is_uncharged == (finding == Finding.NOT_CHARGED):
        return thawed(payment, occasion) if payment.frozen_at is not None else None
    if not attempt.live and finding == Finding.NOT_CHARGED:
        raise FindingRefused(
            f"the books say that attempt {attempt.out_trade_no} captured {attempt.captured_amount} "
            "fen: if that money is not there, note it in the reason and close without --as; "
            "if it is, a refund gives it back"
        )
    # The person has looked: a cancel under way is over, and nothing is frozen any more.
    attempt = replace(attempt, last_cancel=LastCancel.USE_REFUND)
    attempts = payment.attempts_with(attempt)
    payment = replace(payment, frozen_at=None, frozen_by=None, attempts=attempts)
    outcome: o.Succeeded | o.Closed = o.Closed(was_charged=None)
    if finding == Finding.PAID:
        outcome = o.Succeeded(
            amount=payment.amount, channel_trade_no=attempt.channel_trade_no or BY_HAND
        )
    try:
        change = learned(payment, attempt, outcome, occasion)
    except IllegalTransition as illegal:
        raise FindingRefused(f"the tables do not allow it: {illegal}") from illegal
    if change is None:
        raise FindingRefused(f"a payment that is {payment.status} cannot take it")
    return change


def found_about_refund(
    payment: Payment, refund: Refund, finding: Finding, occasion: Occasion
) -> Change | None:
    """What is owed (late and surplus money) cannot fail: paid another way it is paid."""
    outcome = _refund_outcome(refund, finding)
    ends = RefundStatus.SUCCEEDED if isinstance(outcome, o.RefundSucceeded) else RefundStatus.FAILED
    if refund.status not in REFUND_OPEN:
        if refund.status == ends:
            return None
        raise FindingRefused(
            f"refund {refund.refund_no} has ended {refund.status}: `{finding}` cannot change that"
        )
    return refund_learned(payment, refund, outcome, occasion)


def _refund_outcome(refund: Refund, finding: Finding) -> o.RefundSucceeded | o.RefundDeclined:
    given = o.RefundSucceeded(
        amount=refund.amount,
        channel_refund_no=refund.channel_refund_no or BY_HAND,
        evidence=finding.value,
    )
    match finding:
        case Finding.REFUNDED:
            return given
        case Finding.PAID_ANOTHER_WAY:
            if refund.origin != Origin.MERCHANT:
                return given
            return o.RefundDeclined(code="paid_another_way", needs_action=False)
        case Finding.NOT_REFUNDED:
            if refund.origin != Origin.MERCHANT:
                raise FindingRefused(
                    f"the {refund.amount} fen came after we had said no and are owed to the payer: "
                    "say `refunded` or `paid_another_way` once the payer has them"
                )
            return o.RefundDeclined(code="given_up", needs_action=False)
        case Finding.PAID | Finding.NOT_CHARGED:
            raise FindingRefused(
                f"the case shows a refund, and `{finding}` is about a payment: "
                "say `refunded`, `paid_another_way` or `not_refunded`"
            )
        case _:
            assert_never(finding)
