"""A yes was heard about an attempt that had ended uncharged, and the channel will not say what
became of the money: the question stays.

It stays in the books, as the attempt's next visit, until a definite answer. The proof that ended
the attempt is never pushed out of the evidence: the news is noted once, however often the question
is repeated.
"""

from __future__ import annotations

from datetime import datetime

from msgspec.structs import replace

from gateway.domain.change import Case, Change, payment_event
from gateway.domain.learning import Occasion, evidence_of
from gateway.domain.payment import Attempt, Payment
from gateway.limits import SILENCES_BEFORE_CASE

UNCLEAR = "LateAnswerUnclear"


def asked(payment: Payment, attempt: Attempt, again_at: datetime, occasion: Occasion) -> Change:
    """Durable before the question leaves, and again after each that was not answered.

    After some of these a person should know.
    """
    silences = attempt.silences + 1 if attempt.due_at is not None else 1
    item = evidence_of(UNCLEAR, occasion)
    is_noted = any(known.outcome == UNCLEAR for known in attempt.evidence)
    seen = replace(
        attempt,
        due_at=again_at,
        silences=silences,
        evidence=attempt.evidence if is_noted else (*attempt.evidence, item),
    )
    case = Case(id=occasion.new_id("case"), kind="late_answer_unclear", evidence=item)
    return _changed(payment, seen, occasion, case if silences == SILENCES_BEFORE_CASE else None)


def answered(payment: Payment, attempt: Attempt, occasion: Occasion) -> Change | None:
    """The channel has said what became of the money, and that is booked: nothing is left to ask."""
    if attempt.due_at is None:
        return None
    return _changed(payment, replace(attempt, due_at=None, silences=0), occasion)


def _changed(
    payment: Payment, seen: Attempt, occasion: Occasion, case: Case | None = None
) -> Change:
    attempts = tuple(seen if known.id == seen.id else known for known in payment.attempts)
    after = replace(payment, version=payment.version + 1, attempts=attempts)
    return Change(
        payment=after,
        events=(payment_event(after, was=payment.status, at=occasion.now),),
        case=case,
    )
