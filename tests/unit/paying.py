"""Payments and attempts as the pure tests need them:
in any state, with the few fields a case names.
"""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.domain.days import BillDay, Days
from gateway.domain.identifiers import Numbers
from gateway.domain.occasion import Occasion, Successor
from gateway.domain.outcomes import FailureCode, Retry
from gateway.domain.payment import Attempt, Evidence, Failure, Payment, Refund
from gateway.domain.presenting import Flow
from gateway.domain.states import ATTEMPT_UNCHARGED, PAYMENT_UNCHARGED
from gateway.domain.statuses import AttemptStatus, PaymentStatus, RefundStatus
from gateway.domain.words import DayRule, EvidenceWord, Numbering, Source

NOW = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)
DAYS = Days(bills={"wallet": BillDay(refunds_by="accepted")})
_ids = itertools.count(1)


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def occasion(
    source: str = "query",
    *,
    proof_passed: bool = False,
    asked_after_end: bool = False,
    silence_counted: bool = False,
    successor: Successor | None = None,
) -> Occasion:
    return Occasion(
        now=NOW,
        source=Source(source),
        new_id=lambda prefix: f"{prefix}_{next(_ids)}",
        numbers=Numbers("TT"),
        days=DAYS,
        proof_passed=proof_passed,
        asked_after_end=asked_after_end,
        silence_counted=silence_counted,
        successor=successor,
    )


def said(*names: str, source: str = "pay") -> tuple[Evidence, ...]:
    return tuple(
        Evidence(at=NOW, source=Source(source), outcome=EvidenceWord(name)) for name in names
    )


def attempt(status: str = "sent", **fields: Any) -> Attempt:
    money = 1000 if status in ("succeeded", "captured_late", "returned") else 0
    given: dict[str, Any] = {
        "id": "att_1",
        "number": 1,
        "trade_number": 1,
        "channel": "wallet",
        "channel_account": "acct_1",
        "out_trade_no": "TT1",
        "why": "only",
        "worker_id": "wrk_1",
        "sent_at": NOW,
        "send_by": later(2),
        "not_after": later(60),
        "captured_amount": money,
        "received_amount": money,
        "evidence": said("Declined") if status in ATTEMPT_UNCHARGED else (),
    }
    return Attempt(status=AttemptStatus(status), **(given | fields))


def payment(status: str = "processing", *attempts: Attempt, **fields: Any) -> Payment:
    given: dict[str, Any] = {
        "id": "pay_1",
        "merchant_id": "m1",
        "store_id": "s1",
        "terminal_id": "t1",
        "order_no": "A1",
        "tender_no": 1,
        "amount": 1000,
        "currency": "CNY",
        "channel": "wallet",
        "flow": "code",
        "business_date": "2026-11-21",
        "created_at": NOW,
        "numbering": Numbering.BY_STORE,
        "days": DayRule.BY_SUCCESS,
        "version": 3,
        "failure": Failure(code=FailureCode.NOT_CHARGED, retry=Retry.RESCAN)
        if status in PAYMENT_UNCHARGED
        else None,
        "paid_at": NOW if status in ("succeeded", "paid_late") else None,
        "attempts": attempts or (attempt("succeeded" if status == "succeeded" else "sent"),),
    } | fields
    return Payment(status=PaymentStatus(status), **(given | {"flow": Flow(given["flow"])}))


def refund(status: str = "requested", **fields: Any) -> Refund:
    given: dict[str, Any] = {
        "id": "ref_1",
        "merchant_id": "m1",
        "payment_id": "pay_1",
        "store_id": "s1",
        "attempt_id": "att_1",
        "channel": "wallet",
        "channel_account": "acct_1",
        "refund_no": "r1",
        "out_refund_no": "TTR1",
        "amount": 400,
        "currency": "CNY",
        "origin": "merchant",
        "created_at": NOW,
        "business_date": "2026-11-21",
    }
    return Refund(status=RefundStatus(status), **(given | fields))
