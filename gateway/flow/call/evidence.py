"""What a channel said, made fit to be kept. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from gateway.domain.outcomes import CancelOutcome, QueryOutcome, RefundQueryOutcome
from gateway.limits import EVIDENCE_CHARS_MAX
from security.secret import HIDDEN, Secret

T = TypeVar("T", bound=QueryOutcome | CancelOutcome | RefundQueryOutcome)


def kept(outcome: T, secrets: tuple[Secret, ...]) -> T:
    """The outcome with evidence that may be stored: without what the customer presented, bounded,
    and without NUL, which Postgres does not store.

    Hidden before it is cut, so that no part of a secret is left at the end.
    """
    said = outcome.evidence
    for secret in secrets:
        said = said.replace(secret.reveal(), HIDDEN)
    said = said.replace("\x00", "")[:EVIDENCE_CHARS_MAX]
    return outcome if said == outcome.evidence else replace(outcome, evidence=said)
