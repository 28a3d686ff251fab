"""Structs to the JSON the statements take, and database rows back to structs."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from itertools import groupby
from typing import Any

import msgspec
from asyncpg import Record
from msgspec import Raw, Struct
from msgspec.structs import asdict

from gateway.domain.change import Change, Opening
from gateway.domain.days import SHANGHAI
from gateway.domain.payment import Attempt, Evidence, Failure, Payment, Refund
from gateway.domain.presenting import Flow
from gateway.domain.states import PAYMENT_HOLDING
from gateway.domain.statuses import AttemptStatus, PaymentStatus, RefundStatus
from gateway.domain.words import DayRule, LastCancel, Numbering, Origin
from gateway.storage.books import columns as c

_encode = msgspec.json.Encoder().encode
_evidence = msgspec.json.Decoder(tuple[Evidence, ...])
_metadata = msgspec.json.Decoder(dict[str, str])
_discounts = msgspec.json.Decoder(tuple[dict[str, Any], ...])
_failure = msgspec.json.Decoder(Failure)

# Text to word: a look-up costs a twentieth of the enum's own call. A text in none of them is a word
# of a newer version, which this one must not act on: `KeyError`.
_PAYMENT_STATUS = {word.value: word for word in PaymentStatus}
_ATTEMPT_STATUS = {word.value: word for word in AttemptStatus}
_REFUND_STATUS: dict[str | None, RefundStatus | None] = {
    None: None,
    **{word.value: word for word in RefundStatus},
}
_LAST_CANCEL: dict[str | None, LastCancel | None] = {
    None: None,
    **{word.value: word for word in LastCancel},
}
_NUMBERING = {rule.value: rule for rule in Numbering}
_DAYS = {rule.value: rule for rule in DayRule}
_FLOW = {word.value: word for word in Flow}
_ORIGIN = {word.value: word for word in Origin}


class _Claim(Struct):
    """`CLAIM`."""

    merchant_id: str
    store_id: str
    payment_id: str
    idempotency_key: str
    order_no: str
    tender_no: int
    first_n: int
    holds: bool
    fingerprint: str
    created_at: datetime
    numbering: Numbering


class _Event(Struct):
    """`EVENT`.

    `data` keeps its exact text: an answer, its event and every resend have equal bytes.
    """

    merchant_id: str
    payment_id: str
    id: str
    object_id: str
    version: int
    type: str
    public: bool
    data: Raw
    at: datetime
    notify_url: str | None  # the payment's, for the outbox


class _Posting(Struct):
    """`POSTING`."""

    merchant_id: str
    payment_id: str
    posting_id: str
    account: str
    amount: int
    at: datetime


class _Case(Struct):
    """`CASE`."""

    merchant_id: str
    payment_id: str
    id: str
    kind: str
    attempt_id: str | None
    refund_id: str | None
    evidence: Evidence
    at: datetime


def open_arguments(openings: list[Opening]) -> list[str]:
    """Parameters of `statements.OPEN`: claims, payments with their attempts, events, journal."""
    payments = [opening.payment for opening in openings]
    return [
        _text([_claim(opening) for opening in openings]),
        _text(payments),
        _text(_events(openings)),
        _text(_postings(openings)),
    ]


def apply_arguments(changes: list[Change]) -> list[str]:
    """The parameters of `statements.APPLY`: payments and attempts, new refunds, changed refunds,
    events, journal, cases, new attempts.
    """
    cases = [
        _Case(
            k.payment.merchant_id,
            k.payment.id,
            k.case.id,
            k.case.name,
            k.case.attempt_id,
            k.case.refund_id,
            k.case.evidence,
            k.case.evidence.at,
        )
        for k in changes
        if k.case
    ]
    return [
        _text([change.payment for change in changes]),
        _text([change.new_refund for change in changes if change.new_refund]),
        _text([change.refund for change in changes if change.refund]),
        _text(_events(changes)),
        _text(_postings(changes)),
        _text(cases),
        _text(
            [
                _new_attempt(change.payment, change.new_attempt)
                for change in changes
                if change.new_attempt
            ]
        ),
    ]


def _text(records: object) -> str:
    return _encode(records).decode()


def _claim(opening: Opening) -> _Claim:
    p, claim = opening.payment, opening.claim
    holds = p.status in PAYMENT_HOLDING
    words = claim.fingerprint.decode()
    return _Claim(
        p.merchant_id,
        p.store_id,
        p.id,
        claim.idempotency_key,
        p.order_no,
        p.tender_no,
        claim.first_n,
        holds,
        words,
        p.created_at,
        p.numbering,
    )


def _events(records: list[Opening] | list[Change]) -> list[_Event]:
    return [
        _Event(
            r.payment.merchant_id,
            r.payment.id,
            e.id,
            e.object_id,
            e.version,
            e.type,
            e.public,
            Raw(e.data),
            e.at,
            r.payment.notify_url,
        )
        for r in records
        for e in r.events
    ]


def _new_attempt(payment: Payment, attempt: Attempt) -> dict[str, object]:
    return {"merchant_id": payment.merchant_id, "payment_id": payment.id, **asdict(attempt)}


def _postings(records: list[Opening] | list[Change]) -> list[_Posting]:
    return [
        _Posting(
            r.payment.merchant_id,
            r.payment.id,
            line.posting_id,
            line.account,
            line.amount,
            r.events[0].at,
        )
        for r in records
        for line in r.postings
    ]


def read_payment(row: Record, attempts: Iterable[Record]) -> Payment:
    """A payment from its row and its attempts' rows."""
    fields = {name: row[name] for name in c.PAYMENT.names}
    fields["days"] = _DAYS[fields["days"]]
    fields["business_date"] = fields["business_date"].isoformat()
    fields["channel_date"] = _day(fields["channel_date"])
    fields["status"] = _PAYMENT_STATUS[fields["status"]]
    fields["flow"] = _FLOW[fields["flow"]]
    fields["numbering"] = _NUMBERING[fields["numbering"]]
    fields["late_refund"] = _REFUND_STATUS[fields["late_refund"]]
    fields["metadata"] = _metadata.decode(fields["metadata"])
    fields["discounts"] = _discounts.decode(fields["discounts"])
    fields["failure"] = _failure.decode(fields["failure"]) if fields["failure"] else None
    return Payment(**fields, attempts=tuple(read_attempt(attempt) for attempt in attempts))


def read_payments(rows: Iterable[Record]) -> list[Payment]:
    """Payments from their attempts' rows, those of one payment side by side."""
    groups = (list(group) for _, group in groupby(rows, key=lambda row: row["id"]))
    return [read_payment(group[0], group) for group in groups]


def read_attempt(row: Record) -> Attempt:
    """An attempt from a row whose columns may be prefixed `a_`."""
    fields = {name: row["a_" + name] for name in c.ATTEMPT.names}
    fields["status"] = _ATTEMPT_STATUS[fields["status"]]
    fields["last_cancel"] = _LAST_CANCEL[fields["last_cancel"]]
    fields["evidence"] = _evidence.decode(fields["evidence"])
    return Attempt(**fields)


def read_refund(row: Record) -> Refund:
    fields = {name: row[name] for name in c.REFUND.names}
    fields["status"] = _REFUND_STATUS[fields["status"]]
    fields["origin"] = _ORIGIN[fields["origin"]]
    fields["evidence"] = _evidence.decode(fields["evidence"])
    # An older worker wrote none: its days began at midnight.
    day = fields["business_date"] or fields["created_at"].astimezone(SHANGHAI).date()
    fields["business_date"] = day.isoformat()
    fields["channel_date"] = _day(fields["channel_date"])
    return Refund(**fields)


def _day(day: date | None) -> str | None:
    return None if day is None else day.isoformat()
