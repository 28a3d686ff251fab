"""The rules the schema holds, once more in Python, for the store that lives in memory: CHECKs,
triggers, uniqueness within a payment.

They are told under the same names as the database tells them, so that one suite can ask both stores
for the same refusal. Read beside migrations/0001_payments.sql; the moves come from the same tables
as the database's triggers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from gateway.domain.change import Posting
from gateway.domain.payment import Attempt, Payment, Refund
from gateway.domain.states import (
    ATTEMPT,
    ATTEMPT_LIVE,
    ATTEMPT_STATES,
    ATTEMPT_UNCHARGED,
    OVERRIDDEN_NEVER,
    PAYMENT_STATES,
    PAYMENT_UNCHARGED,
    REFUND,
    REFUND_STATES,
    payment_moves,
)
from gateway.domain.statuses import AttemptStatus, PaymentStatus, RefundStatus
from gateway.flow.ports import StoreRefused
from gateway.limits import AMOUNT_FEN_MAX, AMOUNT_FEN_MIN, TENDER_NO_MAX

S = TypeVar("S", PaymentStatus, AttemptStatus, RefundStatus)
CHECK = "23514"
UNIQUE = "23505"
UNBALANCED = "TG002"
ILLEGAL_MOVE = "TG003"
ILLEGAL_VERSION = "TG004"
NO_PROOF = "TG005"
DAYS_FINAL = "TG009"
PROOFS = {"not_sent": {"P0"}, "declined": {"P1"}, "reversed": {"P2", "P3", "P4"}}

_PAYMENT_MOVES = {
    state: frozenset(to for old, to, _ in payment_moves() if old == state)
    for state in PAYMENT_STATES
}
_OVERRIDDEN_ONLY = frozenset((old, to) for old, to, overridden in payment_moves() if overridden)
_HAS_MONEY = frozenset({"succeeded", "captured_late", "returned"})
_WATCHED = frozenset({"pending", "in_doubt", "cancelling"})
_OPEN = frozenset({"requested", "processing", "in_doubt"})


def check_payment(payment: Payment) -> None:
    """The CHECKs of `payment`, then those of its attempts."""
    p = payment
    _require(p.status in PAYMENT_STATES, "payment_status")
    _require(p.version >= 1, "payment_version_check")
    _require(1 <= p.tender_no <= TENDER_NO_MAX, "payment_tender_no_check")
    _require(AMOUNT_FEN_MIN <= p.amount <= AMOUNT_FEN_MAX, "payment_amount_check")
    _require(p.currency == "CNY", "payment_currency_check")
    _require(p.tendered is None or p.tendered >= p.amount, "payment_check")
    _require(
        None in (p.change, p.tendered) or p.change == (p.tendered or 0) - p.amount, "payment_check1"
    )
    _require(p.status not in PAYMENT_UNCHARGED or p.failure is not None, "payment_check2")
    _require(p.status != "succeeded" or p.paid_at is not None, "payment_check3")
    for attempt in p.attempts:
        check_attempt(attempt)
    if sum(attempt.status in ATTEMPT_LIVE for attempt in p.attempts) > 1:
        raise StoreRefused(UNIQUE, "attempt_live")


def check_attempt(attempt: Attempt) -> None:
    """The CHECKs of `attempt`."""
    a = attempt
    _require(a.status in ATTEMPT_STATES, "attempt_status")
    _require(
        min(a.captured_amount, a.received_amount, a.reserved_amount, a.returned_amount) >= 0,
        "attempt_amounts",
    )
    _require(a.reserved_amount + a.returned_amount <= a.captured_amount, "refunds_within_capture")
    _require(a.status not in ATTEMPT_UNCHARGED or bool(a.evidence), "a_no_needs_evidence")
    _require(
        a.status not in PROOFS or any(item.proof in PROOFS[a.status] for item in a.evidence),
        "a_no_needs_proof",
    )
    _require((a.captured_amount > 0) == (a.status in _HAS_MONEY), "money_is_known")
    _require(a.status not in _WATCHED or a.due_at is not None, "live_is_watched")


def check_refund(refund: Refund) -> None:
    """The CHECKs of `refund`."""
    r = refund
    _require(r.status in REFUND_STATES, "refund_status")
    _require(r.version >= 1, "refund_version_check")
    _require(r.amount >= 1, "refund_amount_check")
    _require(r.origin in ("merchant", "late", "surplus"), "refund_origin_check")
    _require(r.status != "failed" or bool(r.evidence), "failed_needs_evidence")
    _require(r.status != "failed" or r.origin == "merchant", "what_we_owe_never_fails")
    _require(r.status not in _OPEN or r.due_at is not None, "open_is_watched")


def check_payment_move(old: Payment, new: Payment) -> None:
    """The triggers of `payment` and `attempt`; the version was compared before."""
    _move("payment", _PAYMENT_MOVES, old.status, new.status)
    days = (old.business_date, old.channel_date)
    if old.paid_at is not None and (new.business_date, new.channel_date) != days:
        raise StoreRefused(DAYS_FINAL, "payment")
    _check_override(old, new)
    for before, after in zip(old.attempts, new.attempts, strict=False):
        _move("attempt", ATTEMPT, before.status, after.status)
        if before.live and after.status == "captured_late" and old.overridden_at is None:
            raise StoreRefused(ILLEGAL_MOVE, "attempt")
    if len(new.attempts) > len(old.attempts) and any(
        attempt.status not in ATTEMPT_UNCHARGED for attempt in new.attempts[:-1]
    ):
        raise StoreRefused(NO_PROOF, "attempt")


def _check_override(old: Payment, new: Payment) -> None:
    """An overridden payment never succeeds; only one that is in doubt is overridden, and once."""
    needs = old.overridden_at is None and (old.status, new.status) in _OVERRIDDEN_ONLY
    if needs or (old.overridden_at is not None and new.status in OVERRIDDEN_NEVER):
        raise StoreRefused(ILLEGAL_MOVE, "payment")
    named = (new.overridden_at, new.overridden_by) != (old.overridden_at, old.overridden_by)
    if named and (
        old.overridden_at is not None or (old.status, new.status) != ("in_doubt", "in_doubt")
    ):
        raise StoreRefused(ILLEGAL_MOVE, "payment")
    _require((new.overridden_at is None) == (new.overridden_by is None), "override_is_whole")


def check_refund_move(old: Refund, new: Refund) -> None:
    """The trigger of `refund`: it moves by one version, or is leased."""
    if new.version != old.version + 1 and (new.version, new.status) != (old.version, old.status):
        raise StoreRefused(ILLEGAL_VERSION, "refund")
    if old.channel_date not in (None, new.channel_date):
        raise StoreRefused(DAYS_FINAL, "refund")
    _move("refund", REFUND, old.status, new.status)


def check_postings(postings: Iterable[Posting]) -> None:
    """Every line moves something, and the lines of a posting sum to zero."""
    sums: dict[str, int] = {}
    for posting in postings:
        _require(posting.amount != 0, "journal_amount_check")
        sums[posting.posting_id] = sums.get(posting.posting_id, 0) + posting.amount
    if any(sums.values()):
        raise StoreRefused(UNBALANCED, "journal")


def _move(machine: str, table: Mapping[S, frozenset[S]], old: S, new: S) -> None:
    if old != new and new not in table.get(old, frozenset()):
        raise StoreRefused(ILLEGAL_MOVE, machine)


def _require(holds: bool, constraint: str) -> None:
    if not holds:
        raise StoreRefused(CHECK, constraint)
