"""What one channel outcome does to a payment: the tables of `states`, applied.

Pure, and the same for a pay answer, a query, a cancel, a callback and a person closing a case.

`learned` returns the change to write, or None when there is nothing to write: a true repeat, or a
"no" of an attempt whose epoch was lost (after a second send, "code used" may mean that our first
send took the money). When to ask next is `flow.learn.schedule`'s.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, assert_never

from msgspec import Struct
from msgspec.structs import replace

from gateway.domain import outcomes as o
from gateway.domain.change import Case, Change, payment_event, refund_event
from gateway.domain.identifiers import out_refund_no
from gateway.domain.payment import SURPLUS, Attempt, Evidence, Failure, Payment, Refund
from gateway.domain.states import (
    ATTEMPT,
    ATTEMPT_UNCHARGED,
    PAYMENT_UNCHARGED,
    check_move,
    next_state,
)
from gateway.limits import (
    CANCELS_QUICK_MAX,
    EVIDENCE_CHARS_MAX,
    EVIDENCE_ITEMS_MAX,
    SILENCES_BEFORE_CASE,
)

Outcome = o.QueryOutcome | o.CancelOutcome
# (the payment, its attempt as it ended, what ended it, the proof) -> the attempt that follows, or
# what the customer has to do, or neither
Successor = Callable[[Payment, Attempt, Outcome, o.Proof], Attempt | o.Retry | None]


class Occasion:
    """When and on whose word. `new_id(prefix)` makes ids; `environment` prefixes refund numbers.

    `proof_passed`: P4's clock had run out when the question left. `asked_after_end`: the attempt
    had ended when the question left. `successor`: who may go on at another account when an attempt
    has ended uncharged (`flow.send.failover`).
    """

    __slots__ = (
        "asked_after_end",
        "environment",
        "new_id",
        "now",
        "proof_passed",
        "source",
        "successor",
    )

    def __init__(
        self,
        *,
        now: datetime,
        source: str,
        new_id: Any,
        environment: str,
        proof_passed: bool = False,
        asked_after_end: bool = False,
        successor: Successor | None = None,
    ) -> None:
        self.now, self.source, self.new_id, self.environment = now, source, new_id, environment
        self.proof_passed, self.asked_after_end, self.successor = (
            proof_passed,
            asked_after_end,
            successor,
        )


def learned(
    payment: Payment, attempt: Attempt, outcome: Outcome, occasion: Occasion
) -> Change | None:
    """The change `outcome` makes, versions raised, events written. Raises `IllegalTransition`."""
    if isinstance(outcome, o.Succeeded) and outcome.amount != payment.amount:
        outcome = o.Mismatch(
            field="amount",
            expected=str(payment.amount),
            got=str(outcome.amount),
            evidence=outcome.evidence,
        )
    match outcome:
        case o.Succeeded():
            return _confirmed(payment, attempt, outcome, occasion)
        case o.Pending() | o.PayerActionNeeded():
            return _undecided(payment, attempt, outcome, occasion)
        case o.Declined() | o.NotSent() if occasion.source == "pay":
            return _refused(payment, attempt, outcome, occasion)
        case o.Declined():
            return _ended_unpaid(payment, attempt, outcome, o.Proof.FINAL_STATE, occasion)
        case o.Mismatch():
            return _mismatch(payment, attempt, outcome, occasion)
        case o.Closed():
            return _closed(payment, attempt, outcome, occasion)
        case o.Reversed():
            return _ended_unpaid(payment, attempt, outcome, o.Proof.CANCEL_CONFIRMED, occasion)
        case o.NotFound():
            return _not_found(payment, attempt, outcome, occasion)
        case o.NothingThere() | o.CallAgain() | o.UseRefund():
            return _cancel_undecided(payment, attempt, outcome, occasion)
        case o.Unknown() | o.AlreadyExists() | o.NotSent():
            return _silence(payment, attempt, outcome, occasion)
        case _:
            assert_never(outcome)


def taken(payment: Payment, attempt: Attempt, occasion: Occasion) -> Change:
    """The sweeper takes an attempt over from the worker that sent it: in doubt, and that worker's
    "no" no longer counts.
    """
    seen = replace(
        attempt,
        epoch=attempt.epoch + 1,
        status="in_doubt",
        evidence=_noted(attempt, "Taken", occasion),
    )
    return _change(payment, seen, occasion, status=next_state(payment.status, "lost_sight"))


def cancel_sent(payment: Payment, attempt: Attempt, occasion: Occasion) -> Change:
    """Durable before a cancel, close or reversal leaves."""
    check_move("attempt", ATTEMPT, attempt.status, "cancelling")
    seen = replace(attempt, status="cancelling", evidence=_noted(attempt, "CancelSent", occasion))
    return _change(payment, seen, occasion, status=next_state(payment.status, "cancel_sent"))


def cancel_requested(payment: Payment, occasion: Occasion) -> Change:
    """The till's intent: from now on no further attempt opens, and a proven no ends `canceled`."""
    return _change(payment, None, occasion, cancel_requested_at=occasion.now)


class Overridden(Struct, frozen=True):
    """What a supervisor said, as evidence."""

    evidence: str


def overridden(payment: Payment, *, by: str, words: str, occasion: Occasion) -> Change:
    """A supervisor lets the payment `by` in although this one is in doubt.

    It stays `in_doubt` until it ends, never `succeeded`.

    Its attempt may have been known to wait for the payer: nobody is asked to pay it any more, so
    that is forgotten.
    """
    attempt = payment.current
    status = (
        attempt.status
        if attempt.status == "cancelling"
        else check_move("attempt", ATTEMPT, attempt.status, "in_doubt")
    )
    seen = replace(
        attempt, status=status, evidence=_noted(attempt, "Overridden", occasion, Overridden(words))
    )
    case = Case(id=occasion.new_id("case"), kind="override", evidence=seen.evidence[-1])
    at, first = payment.overridden_at or occasion.now, payment.overridden_by or by
    return _change(payment, seen, occasion, case=case, overridden_at=at, overridden_by=first)


def thawed(payment: Payment, occasion: Occasion) -> Change:
    """A person has looked at a frozen payment and lets it go on."""
    return _change(payment, None, occasion, frozen_at=None)


def late_refund(payment: Payment, attempt: Attempt, origin: str, occasion: Occasion) -> Refund:
    """The refund of money that came after a no; its numbers are fixed: it is made once only."""
    refund_no = f"{origin}.{attempt.out_trade_no}"
    return Refund(
        id=occasion.new_id("ref"),
        merchant_id=payment.merchant_id,
        payment_id=payment.id,
        attempt_id=attempt.id,
        channel=attempt.channel,
        channel_account=attempt.channel_account,
        refund_no=refund_no,
        out_refund_no=out_refund_no(occasion.environment, attempt.out_trade_no, refund_no),
        amount=attempt.captured_amount,
        currency=payment.currency,
        origin=origin,
        status="requested",
        reason="paid another way"
        if payment.overridden_at is not None
        else "money after a proven no",
        created_at=occasion.now,
        due_at=occasion.now,
    )


def _confirmed(
    payment: Payment, attempt: Attempt, outcome: o.Succeeded, occasion: Occasion
) -> Change | None:
    if attempt.status in ATTEMPT_UNCHARGED:
        if occasion.source == "callback" or not occasion.asked_after_end:
            # It may be older than the cancel that gave this money back: `late_money` asks.
            return None
        if payment.frozen_at is not None:  # refunds stand still too, until a person has looked
            return _change(payment, _seen(attempt, outcome, occasion), occasion)
        return _captured_late(payment, attempt, outcome, occasion)
    if not attempt.live:
        return None
    if payment.frozen_at is not None or (
        attempt.status == "cancelling" and attempt.last_cancel != "UseRefund"
    ):
        # Evidence only: a person decides, or the cancel may still take the money back and is
        # repeated.
        again = None if attempt.last_cancel == "NothingThere" else attempt.last_cancel
        return _change(
            payment, replace(_seen(attempt, outcome, occasion), last_cancel=again), occasion
        )
    if payment.overridden_at is not None:
        return _captured_late(payment, attempt, outcome, occasion)
    check_move("attempt", ATTEMPT, attempt.status, "succeeded")
    seen = replace(_captured(attempt, outcome, occasion), status="succeeded", due_at=None)
    fields: dict[str, Any] = {
        "paid_at": outcome.paid_at or occasion.now,
        "payer_masked": outcome.payer_masked,
        "discounts": _discounts(outcome),
    }
    return _change(
        payment, seen, occasion, status=next_state(payment.status, "confirmed"), **fields
    )


def _captured_late(
    payment: Payment, attempt: Attempt, outcome: o.Succeeded, occasion: Occasion
) -> Change:
    """Money after we had said no, or of an overridden payment.

    It is given back by a refund created in this very write.
    """
    origin = "late" if attempt.live or payment.status in PAYMENT_UNCHARGED else "surplus"
    status = (
        next_state(payment.status, "confirmed", overridden=attempt.live)
        if origin == "late"
        else payment.status
    )
    check_move("attempt", ATTEMPT, attempt.status, "captured_late")
    seen = _captured(attempt, outcome, occasion)
    if origin == "surplus":
        seen = replace(seen, evidence=_noted(seen, SURPLUS, occasion))
    seen = replace(seen, status="captured_late", due_at=None, reserved_amount=seen.captured_amount)
    refund = late_refund(payment, seen, origin, occasion)
    fields: dict[str, Any] = {"status": status}
    if origin == "late":
        fields |= {
            "paid_at": outcome.paid_at or occasion.now,
            "late_refund": "requested",
            "failure": None,
            "payer_masked": outcome.payer_masked,
        }
    case = _case(f"captured_{origin}", outcome, occasion)
    change = _change(payment, seen, occasion, case=case, **fields)
    return replace(
        change,
        new_refund=refund,
        events=(*change.events, refund_event(refund, was=None, at=occasion.now)),
    )


def _undecided(
    payment: Payment, attempt: Attempt, outcome: o.Pending | o.PayerActionNeeded, occasion: Occasion
) -> Change | None:
    if not attempt.live:
        return None
    seen = _seen(attempt, outcome, occasion)
    if (
        attempt.status == "cancelling"
        or payment.frozen_at is not None
        or payment.overridden_at is not None
    ):
        return _change(payment, seen, occasion)
    if (
        payment.flow == "qr"
        and isinstance(outcome, o.PayerActionNeeded)
        and not (outcome.qr_code or payment.qr_code)
    ):
        # The order stands, but the answer with its code was lost: nobody can be paying, so it is
        # cancelled like any other unknown.
        status = "in_doubt" if attempt.status == "sent" else attempt.status
        return _change(
            payment,
            replace(seen, status=status),
            occasion,
            status=next_state(payment.status, "lost_sight"),
        )
    seen = replace(seen, status="pending")
    if isinstance(outcome, o.Pending):
        return _change(payment, seen, occasion)
    status = next_state(payment.status, "payer_needed")
    return _change(
        payment, seen, occasion, status=status, qr_code=outcome.qr_code or payment.qr_code
    )


def _refused(
    payment: Payment, attempt: Attempt, outcome: o.Declined | o.NotSent, occasion: Occasion
) -> Change | None:
    """The answer to the attempt's only send.

    Anybody may have taken the attempt over since: then a "no" proves nothing.
    """
    if attempt.status != "sent":
        return None
    if isinstance(outcome, o.NotSent):
        failure = Failure(
            code=o.FailureCode.CHANNEL_UNREACHABLE,
            retry=o.Retry.SAME_METHOD,
            channel_code=outcome.reason,
        )
        proof, to = o.Proof.NEVER_SENT, "not_sent"
    else:
        failure = Failure(code=outcome.code, retry=outcome.retry, channel_code=outcome.channel_code)
        proof, to = outcome.proof, "declined"
    # An earlier attempt froze it: nothing ends or goes on until a person has looked.
    if payment.frozen_at is not None:
        seen = replace(_seen(attempt, outcome, occasion), status="in_doubt")
        return _change(payment, seen, occasion, status=next_state(payment.status, "lost_sight"))
    seen = replace(_seen(attempt, outcome, occasion, proof), status=to, due_at=None)
    return _finished(payment, seen, "exhausted", failure, occasion, outcome=outcome, proof=proof)


def _ended_unpaid(
    payment: Payment, attempt: Attempt, outcome: Outcome, proof: o.Proof, occasion: Occasion
) -> Change | None:
    """Proven: this attempt has not charged on balance and cannot any more."""
    if not attempt.live:
        return None
    if payment.frozen_at is not None:
        return _change(payment, _seen(attempt, outcome, occasion), occasion)
    seen = replace(_seen(attempt, outcome, occasion, proof), status="reversed", due_at=None)
    rescan = o.Retry.RESCAN if payment.flow == "code" else o.Retry.SAME_METHOD
    if payer_was_asked(payment, attempt):
        return _finished(
            payment,
            seen,
            "expired",
            Failure(code=o.FailureCode.PAYER_TIMEOUT, retry=rescan),
            occasion,
            outcome=outcome,
            proof=proof,
        )
    return _finished(
        payment,
        seen,
        "exhausted",
        Failure(code=o.FailureCode.NOT_CHARGED, retry=rescan),
        occasion,
        outcome=outcome,
        proof=proof,
    )


def _closed(
    payment: Payment, attempt: Attempt, outcome: o.Closed, occasion: Occasion
) -> Change | None:
    if attempt.status in ("succeeded", "captured_late") and attempt.refundable > 0:
        # Closed means given back in full, and no refund of ours explains it.
        return _change(
            payment,
            _seen(attempt, outcome, occasion),
            occasion,
            case=_case("closed_after_success", outcome, occasion),
        )
    return _ended_unpaid(payment, attempt, outcome, o.Proof.FINAL_STATE, occasion)


def _not_found(
    payment: Payment, attempt: Attempt, outcome: o.NotFound, occasion: Occasion
) -> Change | None:
    if not attempt.live:
        return None
    if (
        attempt.status == "cancelling"
        and attempt.last_cancel == "NothingThere"
        and occasion.proof_passed
    ):
        return _ended_unpaid(payment, attempt, outcome, o.Proof.NOT_FOUND_TWICE, occasion)
    seen = replace(_seen(attempt, outcome, occasion), not_founds=attempt.not_founds + 1)
    return _change(payment, seen, occasion)


def _cancel_undecided(
    payment: Payment, attempt: Attempt, outcome: o.CancelOutcome, occasion: Occasion
) -> Change | None:
    if attempt.status != "cancelling":
        return None
    seen = replace(
        _seen(attempt, outcome, occasion),
        last_cancel=type(outcome).__name__,
        cancels=attempt.cancels + 1,
    )
    case = (
        _case("long_in_doubt", outcome, occasion)
        if isinstance(outcome, o.CallAgain) and _cancels_in_vain(seen)
        else None
    )
    return _change(payment, seen, occasion, case=case)


def _silence(
    payment: Payment,
    attempt: Attempt,
    outcome: o.Unknown | o.AlreadyExists | o.NotSent,
    occasion: Occasion,
) -> Change | None:
    """Nothing was learned.

    Of the pay call that means: sent, and out of sight. One failed query is no event.
    """
    if not attempt.live:
        return None
    seen = _seen(attempt, outcome, occasion)
    seen = replace(
        seen, silences=attempt.silences + (not _same_visit_was_silent(attempt, occasion))
    )
    if occasion.source == "cancel":
        seen = replace(seen, last_cancel=type(outcome).__name__, cancels=attempt.cancels + 1)
    if attempt.status != "sent":
        # A trade that stays paid while its cancel is refused is never silent: its cancels are
        # counted.
        is_long = seen.silences == SILENCES_BEFORE_CASE or (
            occasion.source == "cancel" and _cancels_in_vain(seen)
        )
        return _change(
            payment,
            seen,
            occasion,
            case=_case("long_in_doubt", outcome, occasion) if is_long else None,
        )
    return _change(
        payment,
        replace(seen, status="in_doubt"),
        occasion,
        status=next_state(payment.status, "lost_sight"),
    )


def _mismatch(
    payment: Payment, attempt: Attempt, outcome: o.Mismatch, occasion: Occasion
) -> Change | None:
    """The channel speaks of another amount, order or merchant: nothing is booked, the payment
    freezes, a person looks.
    """
    seen = _seen(attempt, outcome, occasion)
    fields: dict[str, Any] = {
        "status": next_state(payment.status, "lost_sight"),
        "frozen_at": payment.frozen_at or occasion.now,
    }
    if attempt.status in ("sent", "pending"):
        seen = replace(seen, status="in_doubt")
    return _change(
        payment,
        seen,
        occasion,
        case=_case(f"mismatch_{outcome.field}", outcome, occasion),
        **fields,
    )


def _finished(
    payment: Payment,
    attempt: Attempt,
    event: str,
    failure: Failure,
    occasion: Occasion,
    *,
    outcome: Outcome,
    proof: o.Proof,
) -> Change:
    """The attempt ended uncharged, with proof: the end of the payment, unless another account goes
    on in the same write.
    """
    if payment.cancel_requested_at is not None:
        event, failure = (
            "canceled",
            replace(failure, code=o.FailureCode.CANCELED, retry=o.Retry.SAME_METHOD),
        )
    elif occasion.successor is not None and payment.overridden_at is None:
        following = occasion.successor(payment, attempt, outcome, proof)
        if isinstance(following, Attempt):
            return _change(
                payment,
                attempt,
                occasion,
                following=following,
                status=next_state(payment.status, "sent"),
            )
        if following is not None:
            failure = replace(failure, retry=following)
    return _change(
        payment, attempt, occasion, status=next_state(payment.status, event), failure=failure
    )


def payer_was_asked(payment: Payment, attempt: Attempt) -> bool:
    """Whether a code was on display, or the last thing the channel said before the end was that it
    waits for the payer.
    """
    if payment.flow == "qr":
        # A channel may not know an order that nobody has scanned yet.
        return payment.qr_code is not None
    said = [
        item.outcome
        for item in attempt.evidence
        if item.source in ("pay", "query", "callback") and item.proof is None
    ]
    return bool(said) and said[-1] == o.PayerActionNeeded.__name__


def _cancels_in_vain(attempt: Attempt) -> bool:
    """Every so many cancels that ended nothing."""
    return attempt.cancels % CANCELS_QUICK_MAX == 0


def _same_visit_was_silent(attempt: Attempt, occasion: Occasion) -> bool:
    """A visit asks and then cancels: when both learn nothing, that is one silence.

    They pace phase 2, whose steps are long.
    """
    asked = [item for item in attempt.evidence if item.source != "sweeper"]
    return (
        occasion.source == "cancel"
        and bool(asked)
        and asked[-1].source == "query"
        and attempt.silences > 0
    )


def _captured(attempt: Attempt, outcome: o.Succeeded, occasion: Occasion) -> Attempt:
    received = outcome.amount if outcome.received_amount is None else outcome.received_amount
    return replace(
        _seen(attempt, outcome, occasion), captured_amount=outcome.amount, received_amount=received
    )


def _seen(
    attempt: Attempt, outcome: Outcome, occasion: Occasion, proof: o.Proof | None = None
) -> Attempt:
    """The attempt with this outcome noted: counters, the channel's number, the evidence."""
    words = _noted(attempt, type(outcome).__name__, occasion, outcome, proof)
    trade_no = getattr(outcome, "channel_trade_no", None) or attempt.channel_trade_no
    queries = attempt.queries + (occasion.source == "query")
    return replace(attempt, evidence=words, channel_trade_no=trade_no, queries=queries, silences=0)


def _noted(
    attempt: Attempt,
    name: str,
    occasion: Occasion,
    outcome: Outcome | Overridden | None = None,
    proof: o.Proof | None = None,
) -> tuple[Evidence, ...]:
    item = evidence_of(name, occasion, outcome, proof)
    items = (*attempt.evidence, item)
    if len(items) <= EVIDENCE_ITEMS_MAX:
        return items
    half = EVIDENCE_ITEMS_MAX // 2
    # A proof is never lost.
    return (
        *items[:half],
        *(known for known in items[half:-half] if known.proof is not None),
        *items[-half:],
    )


def evidence_of(
    name: str, occasion: Occasion, outcome: object = None, proof: o.Proof | None = None
) -> Evidence:
    """One line of evidence.

    The code is the channel's, or our own reason where the channel said nothing.
    """
    code = (
        getattr(outcome, "channel_code", "")
        or getattr(outcome, "reason", "")
        or getattr(outcome, "field", "")
    )
    words = getattr(outcome, "evidence", "")[:EVIDENCE_CHARS_MAX]
    return Evidence(
        at=occasion.now, source=occasion.source, outcome=name, proof=proof, code=code, words=words
    )


def _discounts(outcome: o.Succeeded) -> tuple[dict[str, Any], ...]:
    return tuple(
        {"name": d.name, "amount": d.amount, "funded_by": d.funded_by} for d in outcome.discounts
    )


def _case(kind: str, outcome: object, occasion: Occasion) -> Case:
    return Case(
        id=occasion.new_id("case"),
        kind=kind,
        evidence=evidence_of(type(outcome).__name__, occasion, outcome),
    )


def _change(
    payment: Payment,
    attempt: Attempt | None,
    occasion: Occasion,
    case: Case | None = None,
    following: Attempt | None = None,
    **fields: Any,
) -> Change:
    attempts = payment.attempts
    if attempt is not None:
        attempts = tuple(attempt if known.id == attempt.id else known for known in attempts)
    if following is not None:
        attempts = (*attempts, following)
    after = replace(payment, version=payment.version + 1, attempts=attempts, **fields)
    return Change(
        payment=after,
        new_attempt=following,
        events=(payment_event(after, was=payment.status, at=occasion.now),),
        case=case,
    )
