"""What was told and done about an attempt, written down for people. Nothing is decided by it: what
a decision needs is a field of the attempt.
"""

from __future__ import annotations

from msgspec.structs import replace

from gateway.domain import outcomes as o
from gateway.domain.case import Case, CaseKind
from gateway.domain.occasion import Occasion, Outcome
from gateway.domain.payment import Attempt, Evidence
from gateway.domain.words import EvidenceWord, Source
from gateway.limits import EVIDENCE_CHARS_MAX, EVIDENCE_ITEMS_MAX

# Where a channel tells how its trade stands.
_TELLS = frozenset({Source.PAY, Source.QUERY, Source.CALLBACK})


def evidence_of(
    word: EvidenceWord,
    occasion: Occasion,
    *,
    code: str = "",
    words: str = "",
    proof: o.Proof | None = None,
) -> Evidence:
    return Evidence(
        at=occasion.now,
        source=occasion.source,
        outcome=word,
        proof=proof,
        code=code,
        words=words[:EVIDENCE_CHARS_MAX],
    )


def evidence_about(
    outcome: Outcome | o.RefundQueryOutcome, occasion: Occasion, proof: o.Proof | None = None
) -> Evidence:
    """One line about what a channel told us."""
    return evidence_of(
        outcome.word, occasion, code=code_of(outcome), words=outcome.evidence, proof=proof
    )


def code_of(outcome: Outcome | o.RefundQueryOutcome) -> str:
    """The channel's code, or our own reason where the channel said nothing."""
    return (
        getattr(outcome, "channel_code", "")
        or getattr(outcome, "reason", "")
        or getattr(outcome, "field", "")
    )


def case_about(kind: CaseKind, attempt: Attempt, outcome: Outcome, occasion: Occasion) -> Case:
    """A case that shows this attempt, and what was said of it."""
    return Case(
        id=occasion.new_id("case"),
        kind=kind,
        field=outcome.field if isinstance(outcome, o.Mismatch) else "",
        attempt_id=attempt.id,
        evidence=evidence_about(outcome, occasion),
    )


def noted(attempt: Attempt, item: Evidence) -> Attempt:
    """The first and the last lines tell the story: the middle of a long one goes, a proof never."""
    items = (*attempt.evidence, item)
    if len(items) > EVIDENCE_ITEMS_MAX:
        half = EVIDENCE_ITEMS_MAX // 2
        items = (
            *items[:half],
            *(known for known in items[half:-half] if known.proof is not None),
            *items[-half:],
        )
    return replace(attempt, evidence=items)


def heard(
    attempt: Attempt, outcome: Outcome, occasion: Occasion, proof: o.Proof | None = None
) -> Attempt:
    """The attempt after a channel has spoken of it: evidence, counters, the channel's number."""
    payer_asked_at = attempt.payer_asked_at
    if proof is None and occasion.source in _TELLS:
        waits = isinstance(outcome, o.PayerActionNeeded)
        payer_asked_at = occasion.now if waits else None
    return replace(
        noted(attempt, evidence_about(outcome, occasion, proof)),
        payer_asked_at=payer_asked_at,
        channel_trade_no=getattr(outcome, "channel_trade_no", None) or attempt.channel_trade_no,
        queries=attempt.queries + (occasion.source == Source.QUERY),
        silences=0,
    )
