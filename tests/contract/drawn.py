"""Openings and changes as the flow draws them, with the few fields a test cares about; and a look
at tables the port does not show.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace

from gateway.domain import outcomes as o
from gateway.domain.audit import AskedBy
from gateway.domain.case import Case, CaseKind
from gateway.domain.change import Change, Claim, Opening, Posting, payment_event
from gateway.domain.days import BillDay, Days
from gateway.domain.identifiers import Numbers, out_refund_no, out_trade_no
from gateway.domain.learning import learned
from gateway.domain.occasion import Occasion, Outcome
from gateway.domain.payment import Attempt, Evidence, Payment, Refund
from gateway.domain.presenting import Flow
from gateway.domain.returning import reserved
from gateway.domain.statuses import RefundStatus
from gateway.domain.tender import Tender
from gateway.domain.words import DayRule, EvidenceWord, Numbering, Origin, Source
from gateway.flow.ports import Opened
from gateway.storage.postgres import PostgresStore
from tests.fakes.store import MemoryStore
from tests.store_clock import MemoryClock, ServerClock

NOW = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)
DAYS = Days(bills={"wallet": BillDay(refunds_by="accepted")})
MERCHANT, STORE, ACCOUNT, WORKER = "m1", "s1", "acct_1", "wrk_1"
# The rules by which a release made its rows that did not know the present ones.
BEFORE: dict[str, Any] = {"numbering": Numbering.BY_MERCHANT, "days": DayRule.BY_OPENING}
EVIDENCE = Evidence(
    at=NOW,
    source=Source.PAY,
    outcome=EvidenceWord.DECLINED,
    proof=o.Proof.SIGNED_REFUSAL,
    code="NO",
)

_numbers = itertools.count(1)


def person(name: str) -> AskedBy:
    return AskedBy("person", name)


def new_id(prefix: str) -> str:
    return f"{prefix}_{next(_numbers):08d}"


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def occasion(source: str = "pay", at: datetime = NOW, *, proof_passed: bool = False) -> Occasion:
    return Occasion(
        now=at,
        source=Source(source),
        new_id=new_id,
        numbers=Numbers("TT"),
        days=DAYS,
        proof_passed=proof_passed,
        asked_after_end=True,
    )


def drawn_payment(
    order_no: str = "A1",
    n: int = 1,
    merchant: str = MERCHANT,
    attempt: dict[str, Any] | None = None,
    **fields: Any,
) -> Payment:
    at = fields.get("created_at", NOW)
    tender = Tender(
        merchant_id=merchant,
        store_id=fields.get("store_id", STORE),
        order_no=order_no,
        tender_no=fields.get("tender_no", 1),
        amount=1000,
        currency="CNY",
        channel="wallet",
        flow=Flow.CODE,
        numbering=fields.get("numbering", Numbering.BY_STORE),
    )
    own: dict[str, Any] = {
        "id": new_id("att"),
        "number": 1,
        "trade_number": n,
        "channel": "wallet",
        "channel_account": ACCOUNT,
        "out_trade_no": out_trade_no("TT", tender, n),
        "status": "sent",
        "why": "only",
        "worker_id": WORKER,
        "sent_at": at,
        "send_by": at + timedelta(seconds=2),
        "not_after": at + timedelta(seconds=60),
        "due_at": at + timedelta(seconds=2),
    }
    given: dict[str, Any] = {
        "id": new_id("pay"),
        "merchant_id": merchant,
        "store_id": STORE,
        "terminal_id": "t1",
        "order_no": order_no,
        "tender_no": 1,
        "amount": 1000,
        "currency": "CNY",
        "channel": "wallet",
        "flow": Flow.CODE,
        "status": "processing",
        "business_date": "2026-11-21",
        "created_at": at,
        "numbering": Numbering.BY_STORE,
        "days": DayRule.BY_SUCCESS,
        "attempts": (Attempt(**(own | (attempt or {}))),),
    }
    return Payment(**(given | fields))


def opening_of(
    payment: Payment,
    key: str | None = None,
    fingerprint: bytes = b"{}",
    postings: tuple[Posting, ...] = (),
) -> Opening:
    claim = Claim(
        idempotency_key=key or f"k-{payment.id}",
        fingerprint=fingerprint,
        first_n=payment.attempts[0].trade_number,
    )
    return Opening(
        claim=claim,
        payment=payment,
        events=(payment_event(payment, was=None, at=payment.created_at),),
        postings=postings,
    )


def paid_payment(order_no: str = "A1", **fields: Any) -> Payment:
    """As a local tender opens: settled in its one write."""
    money = {
        "status": "succeeded",
        "captured_amount": 1000,
        "received_amount": 1000,
        "due_at": None,
    }
    return drawn_payment(order_no, attempt=money, status="succeeded", paid_at=NOW, **fields)


def after(
    payment: Payment,
    outcome: Outcome,
    source: str = "pay",
    at: datetime = NOW,
    *,
    proof_passed: bool = False,
) -> Change:
    """The change the domain makes of an outcome, with a next visit for whatever is still open."""
    change = learned(
        payment, payment.current, outcome, occasion(source, at, proof_passed=proof_passed)
    )
    assert change is not None
    return watched(change, at)


def watched(change: Change, at: datetime = NOW) -> Change:
    attempts = tuple(
        replace(a, due_at=at + timedelta(seconds=3)) if a.live else a
        for a in change.payment.attempts
    )
    return replace(change, payment=replace(change.payment, attempts=attempts))


def bent(change: Change, **attempt_fields: Any) -> Change:
    """The same change with its last attempt bent: what a faulty program might write."""
    *others, last = change.payment.attempts
    return replace(
        change, payment=replace(change.payment, attempts=(*others, replace(last, **attempt_fields)))
    )


def refund_change(
    payment: Payment, refund_no: str, amount: int, key: str | None = None, at: datetime = NOW
) -> Change:
    refund = Refund(
        id=new_id("ref"),
        merchant_id=payment.merchant_id,
        payment_id=payment.id,
        store_id=payment.store_id,
        attempt_id=payment.attempts[-1].id,
        channel="wallet",
        channel_account=ACCOUNT,
        refund_no=refund_no,
        out_refund_no=out_refund_no("TT", payment.attempts[-1].out_trade_no, refund_no),
        amount=amount,
        currency="CNY",
        origin=Origin.MERCHANT,
        status=RefundStatus.REQUESTED,
        created_at=at,
        business_date=DAYS.business_date(payment.merchant_id, payment.store_id, at),
        due_at=at + timedelta(seconds=10),
        terminal_id="t9",
        asked_by="key_9",
        idempotency_key=key or f"rk-{refund_no}",
    )
    return reserved(payment, payment.attempts[-1], refund, occasion("till", at))


def asked_for(change: Change) -> Refund:
    """The refund a change makes."""
    assert change.new_refund is not None
    return change.new_refund


YES = o.Succeeded(amount=1000, channel_trade_no="C1")
NO = o.Declined(
    code=o.FailureCode.INSUFFICIENT_BALANCE, retry=o.Retry.OTHER_METHOD, failover_useful=False
)
SILENT = o.Unknown(reason="timeout")


def case(kind: CaseKind = CaseKind.MISMATCH) -> Case:
    field = "amount" if kind == CaseKind.MISMATCH else ""
    return Case(id=new_id("case"), kind=kind, field=field, evidence=EVIDENCE)


@dataclass(frozen=True, slots=True)
class Books:
    """A store, its own clock, and what lies in its tables as plain tuples."""

    store: MemoryStore | PostgresStore
    # A test that tells the time gives the one of this store.
    clock: MemoryClock | ServerClock = field(default_factory=MemoryClock)

    async def cases(self) -> list[tuple[str, str, str | None]]:
        """(kind, object, closed by)."""
        if isinstance(self.store, MemoryStore):
            found = [
                (k.case.name, k.object_id, k.closed[1] if k.closed else None)
                for k in self.store.cases
            ]
        else:
            found = [
                tuple(row)
                for row in await self.store._fetch('SELECT kind, object_id, closed_by FROM "case"')
            ]
        return sorted(found, key=str)

    async def journal(self) -> list[tuple[str, str, int]]:
        if isinstance(self.store, MemoryStore):
            return sorted(
                (posting.posting_id, posting.account, posting.amount)
                for _, posting in self.store.journal
            )
        return sorted(
            tuple(row)
            for row in await self.store._fetch("SELECT posting_id, account, amount FROM journal")
        )

    async def log(self) -> list[tuple[str, int, str, bool, str]]:
        """Every event, public or not, in commit order."""
        if isinstance(self.store, MemoryStore):
            kept = (k.event for k in self.store.log)
            return [(e.object_id, e.version, e.type, e.public, e.data.decode()) for e in kept]
        return [
            tuple(row)
            for row in await self.store._fetch(
                "SELECT object_id, version, type, public, data FROM event ORDER BY xid, seq"
            )
        ]


async def refused(action: Any) -> str:
    """The SQLSTATE a write was refused with, and its constraint where the store names one."""
    try:
        result = await action
    except Exception as error:
        sqlstate = getattr(error, "sqlstate", None)
        if sqlstate is None:
            raise
        constraint = (
            getattr(error, "constraint_name", None) if str(sqlstate).startswith("23") else None
        )
        return f"{sqlstate} {constraint}" if constraint else str(sqlstate)
    return f"not refused: {result}"


async def opened(books: Books, **fields: Any) -> Payment:
    """In the books as sent."""
    payment = drawn_payment(**fields)
    assert await books.store.open(opening_of(payment)) == Opened()
    return payment


async def settled(books: Books, **fields: Any) -> Payment:
    """In the books as paid."""
    payment = paid_payment(**fields)
    assert await books.store.open(opening_of(payment)) == Opened()
    return payment
