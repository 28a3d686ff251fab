"""Refunds: how one is reserved, and what a channel's word does to it.

The twin of `learning`, for money on its way back.

Every change of a refund is a change of its payment: the payment's version is the one thing
compared. Reserved plus returned never exceeds what that attempt captured.
"""

from __future__ import annotations

from typing import Any, assert_never

from msgspec.structs import replace

from gateway.domain import outcomes as o
from gateway.domain.change import Case, Change, Posting, payment_event, refund_event
from gateway.domain.learning import Occasion, evidence_of
from gateway.domain.payment import Attempt, Evidence, Payment, Refund
from gateway.domain.states import REFUND, REFUND_OPEN, check_move
from gateway.limits import EVIDENCE_ITEMS_MAX, SILENCES_BEFORE_CASE


def reserved(payment: Payment, attempt: Attempt, refund: Refund, occasion: Occasion) -> Change:
    """The refund is durable before it is sent; its amount is reserved on the attempt."""
    held = replace(attempt, reserved_amount=attempt.reserved_amount + refund.amount)
    return _change(payment, held, occasion, new=refund)


def returned_at_once(
    payment: Payment,
    attempt: Attempt,
    refund: Refund,
    postings: tuple[Posting, ...],
    occasion: Occasion,
) -> Change:
    """A local refund: made, succeeded and posted in its one write."""
    given = replace(attempt, returned_amount=attempt.returned_amount + refund.amount)
    return replace(_change(payment, given, occasion, new=refund), postings=postings)


def refund_learned(
    payment: Payment, refund: Refund, outcome: o.RefundQueryOutcome, occasion: Occasion
) -> Change | None:
    """The change `outcome` makes, or None.

    `due_at` is set by the caller. Raises `IllegalTransition`.
    """
    if refund.status not in REFUND_OPEN:
        return None
    if isinstance(outcome, o.RefundSucceeded) and outcome.amount != refund.amount:
        outcome = o.Mismatch(
            field="refund_amount",
            expected=str(refund.amount),
            got=str(outcome.amount),
            evidence=outcome.evidence,
        )
    attempt = next(known for known in payment.attempts if known.id == refund.attempt_id)
    seen = _seen(refund, outcome, occasion)
    match outcome:
        case o.RefundSucceeded():
            seen = replace(
                _moved(seen, "succeeded"),
                refunded_at=outcome.refunded_at or occasion.now,
                due_at=None,
            )
            return _change(
                payment, _given_back(attempt, refund.amount), occasion, old=refund, seen=seen
            )
        case o.RefundPending():
            return _change(payment, None, occasion, old=refund, seen=_moved(seen, "processing"))
        case o.RefundDeclined():
            seen = replace(
                seen, failure_code=outcome.code, channel_code=outcome.channel_code, due_at=None
            )
            if (
                outcome.needs_action
                or refund.origin != "merchant"
                or not _first_word(refund, occasion)
            ):
                case = (
                    None
                    if refund.status == "needs_action"
                    else _case("refund_needs_action", seen, occasion)
                )
                return _change(
                    payment,
                    None,
                    occasion,
                    old=refund,
                    seen=_moved(seen, "needs_action"),
                    case=case,
                )
            freed = replace(attempt, reserved_amount=attempt.reserved_amount - refund.amount)
            return _change(payment, freed, occasion, old=refund, seen=_moved(seen, "failed"))
        case o.Mismatch():
            case = _case(f"mismatch_{outcome.field}", seen, occasion)
            return _change(
                payment, None, occasion, old=refund, seen=_moved(seen, _in_doubt(refund)), case=case
            )
        case o.Unknown():
            silences = refund.silences + 1
            case = (
                _case("refund_long_in_doubt", seen, occasion)
                if silences == SILENCES_BEFORE_CASE
                else None
            )
            seen = _moved(replace(seen, silences=silences), _in_doubt(refund))
            return _change(payment, None, occasion, old=refund, seen=seen, case=case)
        case o.NotSent() | o.RefundNotFound():
            return _change(
                payment,
                None,
                occasion,
                old=refund,
                seen=replace(seen, silences=refund.silences + 1),
            )
        case _:
            assert_never(outcome)


def sent_again(payment: Payment, refund: Refund, occasion: Occasion) -> Change | None:
    """Durable before a refund that was refused for now goes out again, under the same number."""
    if refund.status != "needs_action":
        return None
    return _change(payment, None, occasion, old=refund, seen=_moved(refund, "processing"))


def _in_doubt(refund: Refund) -> str:
    """What waits for a person goes on waiting when the channel says nothing."""
    return "needs_action" if refund.status == "needs_action" else "in_doubt"


def _case(kind: str, seen: Refund, occasion: Occasion) -> Case:
    return Case(id=occasion.new_id("case"), kind=kind, evidence=seen.evidence[-1])


def _first_word(refund: Refund, occasion: Occasion) -> bool:
    """Whether a refusal is definite: the answer to a query, or to the first and only send.

    A repeat may be refused for what the first one did.
    """
    return occasion.source != "refund" or all(
        item.outcome == o.NotSent.__name__ for item in refund.evidence
    )


def _given_back(attempt: Attempt, amount: int) -> Attempt:
    after = replace(
        attempt,
        reserved_amount=attempt.reserved_amount - amount,
        returned_amount=attempt.returned_amount + amount,
    )
    if after.status == "captured_late" and after.returned_amount == after.captured_amount:
        return replace(after, status="returned")
    return after


def _moved(refund: Refund, to: str) -> Refund:
    return replace(refund, status=check_move("refund", REFUND, refund.status, to))


def _seen(refund: Refund, outcome: o.RefundQueryOutcome, occasion: Occasion) -> Refund:
    items: tuple[Evidence, ...] = (
        *refund.evidence,
        evidence_of(type(outcome).__name__, occasion, outcome),
    )
    number = getattr(outcome, "channel_refund_no", None) or refund.channel_refund_no
    tries = refund.tries + (occasion.source == "refund")
    return replace(
        refund,
        evidence=items[-EVIDENCE_ITEMS_MAX:],
        channel_refund_no=number,
        tries=tries,
        silences=0,
    )


def _change(
    payment: Payment,
    attempt: Attempt | None,
    occasion: Occasion,
    *,
    new: Refund | None = None,
    old: Refund | None = None,
    seen: Refund | None = None,
    case: Case | None = None,
) -> Change:
    attempts = payment.attempts
    if attempt is not None:
        attempts = tuple(attempt if known.id == attempt.id else known for known in attempts)
    fields: dict[str, Any] = {}
    if seen is not None:
        seen = replace(seen, version=seen.version + 1)
        if seen.origin == "late":
            fields["late_refund"] = seen.status
    after = replace(payment, version=payment.version + 1, attempts=attempts, **fields)
    events = [payment_event(after, was=payment.status, at=occasion.now)]
    if new is not None:
        events.append(refund_event(new, was=None, at=occasion.now))
    if seen is not None and old is not None:
        events.append(refund_event(seen, was=old.status, at=occasion.now))
    return Change(payment=after, new_refund=new, refund=seen, events=tuple(events), case=case)
