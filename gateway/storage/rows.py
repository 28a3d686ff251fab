"""Structs to tuples in the order of `columns`, and database rows back to structs."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from operator import attrgetter
from typing import Any, Final

import msgspec
from asyncpg import Record

from gateway.domain.change import Case, Change, Event, Opening, Posting
from gateway.domain.payment import Attempt, Evidence, Failure, Payment, Refund
from gateway.domain.states import PAYMENT_HOLDING
from gateway.storage import columns as c

Row = tuple[Any, ...]

_encode = msgspec.json.encode
_evidence = msgspec.json.Decoder(tuple[Evidence, ...])
_metadata = msgspec.json.Decoder(dict[str, str])
_discounts = msgspec.json.Decoder(tuple[dict[str, Any], ...])
_failure = msgspec.json.Decoder(Failure)
_attempt_fixed = attrgetter(*c.ATTEMPT_FIXED.names)
_attempt_moving = attrgetter(*(name for name in c.ATTEMPT_MOVING.names if name != "evidence"))
_refund_fixed = attrgetter(*c.REFUND_FIXED.names)
_refund_moving = attrgetter(*(name for name in c.REFUND_MOVING.names if name != "evidence"))


def _json(value: object) -> str | None:
    """Empty is NULL: the schema's CHECKs ask whether there is evidence at all."""
    return _encode(value).decode() if value else None


_EMPTY_OBJECT: Final = "{}"
_EMPTY_LIST: Final = "[]"


def claim_row(opening: Opening) -> Row:
    """`CLAIM`."""
    claim = opening.claim
    return (claim.idempotency_key, claim.fingerprint, claim.first_n, opening.payment.status in PAYMENT_HOLDING)


def payment_fixed(payment: Payment) -> Row:
    """`PAYMENT_FIXED`."""
    p = payment
    day = date.fromisoformat(p.business_date)
    who = (p.merchant_id, p.id, p.store_id, p.terminal_id, p.operator_id)
    what = (p.order_no, p.tender_no, p.amount, p.currency, p.channel, p.flow, p.description, _json(p.metadata) or _EMPTY_OBJECT)
    return (*who, *what, p.tendered, p.change, day, p.created_at, p.expires_at)


def payment_moving(payment: Payment) -> Row:
    """`PAYMENT_MOVING`."""
    p = payment
    seen = (p.version, p.status, p.qr_code, p.paid_at, p.payer_masked, _json(p.discounts) or _EMPTY_LIST, _json(p.failure))
    return (*seen, p.cancel_requested_at, p.frozen_at, p.late_refund)


def attempt_row(attempt: Attempt) -> Row:
    """`ATTEMPT`."""
    return (*_attempt_fixed(attempt), *_attempt_moving(attempt), _json(attempt.evidence))


def attempt_moving(payment: Payment, attempt: Attempt) -> Row:
    """`KEY` + `ATTEMPT_MOVING`."""
    return (payment.merchant_id, payment.id, attempt.id, *_attempt_moving(attempt), _json(attempt.evidence))


def refund_row(refund: Refund) -> Row:
    """`REFUND`."""
    return (*_refund_fixed(refund), *_refund_moving(refund), _json(refund.evidence))


def refund_moving(refund: Refund) -> Row:
    """`KEY` + `REFUND_MOVING`."""
    return (refund.merchant_id, refund.payment_id, refund.id, *_refund_moving(refund), _json(refund.evidence))


def event_row(payment: Payment, event: Event) -> Row:
    """`EVENT`."""
    where = (payment.merchant_id, payment.id, event.id, event.object_id, event.version)
    return (*where, event.type, event.public, event.data.decode(), event.at)


def posting_rows(payment: Payment, change: Change | Opening) -> Iterable[Row]:
    """`POSTING`."""
    if not change.postings:
        return ()
    at = change.events[0].at
    return [_posting(payment, posting, at) for posting in change.postings]


def _posting(payment: Payment, posting: Posting, at: Any) -> Row:
    return (payment.merchant_id, payment.id, posting.posting_id, posting.account, posting.amount, at)


def case_row(payment: Payment, case: Case) -> Row:
    """`CASE`."""
    return (payment.merchant_id, payment.id, case.id, case.kind, _encode(case.evidence).decode(), case.evidence.at)


def read_payment(row: Record, attempts: Iterable[Record]) -> Payment:
    """A payment from its row and its attempts' rows."""
    fields = {name: row[name] for name in c.PAYMENT.names}
    fields["business_date"] = fields["business_date"].isoformat()
    fields["metadata"] = _metadata.decode(fields["metadata"])
    fields["discounts"] = _discounts.decode(fields["discounts"])
    fields["failure"] = _failure.decode(fields["failure"]) if fields["failure"] else None
    return Payment(**fields, attempts=tuple(read_attempt(attempt) for attempt in attempts))


def read_attempt(row: Record) -> Attempt:
    """An attempt from a row whose columns may be prefixed `a_`."""
    fields = {name: row["a_" + name] for name in c.ATTEMPT.names}
    fields["evidence"] = _evidence.decode(fields["evidence"]) if fields["evidence"] else ()
    return Attempt(**fields)


def read_refund(row: Record) -> Refund:
    """A refund from its row."""
    fields = {name: row[name] for name in c.REFUND.names}
    fields["evidence"] = _evidence.decode(fields["evidence"]) if fields["evidence"] else ()
    return Refund(**fields)
