"""The store in memory: a verified fake of `gateway.flow.ports.Store`,
held to Postgres by tests/contract.

It keeps the same uniqueness, comparison, CHECKs and append-only log, and nothing else: no
durability, no I/O, no chance, so that a simulated world may run on it thousands of times a minute.
Every method is atomic: it never waits inside. Latency, lost replies and absence are for whoever
wraps it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from msgspec import structs

from gateway.clock import SystemClock
from gateway.domain.case import Case, CaseKind
from gateway.domain.change import Change, Event, Opening, Posting
from gateway.domain.errors import CursorAhead, NotFound
from gateway.domain.order import OrderRefusal, OrderTerms, Override
from gateway.domain.payment import Attempt, Payment, Refund
from gateway.domain.resources import event_json
from gateway.domain.states import PAYMENT_HOLDING
from gateway.flow.ports import (
    Applied,
    EventPage,
    KeyTaken,
    NumberTaken,
    Opened,
    OrderSplit,
    PaymentFilter,
    RefundFilter,
    RefundTaken,
    Stale,
    StoredCallback,
    StoreRefused,
    TenderTaken,
)
from gateway.storage.books.columns import ATTEMPT_MOVING, PAYMENT_MOVING, REFUND_MOVING
from gateway.storage.books.event_feed import position
from tests.fakes.store_due import MemoryDueWork
from tests.fakes.store_orders import opened_in_order
from tests.fakes.store_rules import (
    UNIQUE,
    check_payment,
    check_payment_move,
    check_postings,
    check_refund,
    check_refund_move,
)

Key = tuple[str, str]
S = TypeVar("S", Payment, Attempt, Refund)


@dataclass(frozen=True, slots=True)
class KeptClaim:
    """The uniqueness rules of one payment."""

    payment_id: str
    tender: tuple[str, str, int]
    first_n: int
    holds: bool
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class KeptEvent:
    """One row of the log, at `place`."""

    place: tuple[int, int]
    merchant_id: str
    event: Event


@dataclass(frozen=True, slots=True)
class KeptCase:
    """A case and, once it is closed, by whom and why."""

    merchant_id: str
    object_id: str
    case: Case
    closed: tuple[datetime, str, str] | None = None


class MemoryStore(MemoryDueWork):
    """`gateway.flow.ports.Store`.

    The attributes are the tables, for tests to look at; `now` is the store's own clock.
    """

    def __init__(self, now: Callable[[], datetime] | None = None) -> None:
        super().__init__(now or SystemClock().now)
        self.claims: dict[Key, KeptClaim] = {}
        self.payment_rows: dict[Key, Payment] = {}
        self.refund_rows: dict[Key, Refund] = {}
        self.log: list[KeptEvent] = []
        self.journal: list[tuple[str, Posting]] = []
        self.callbacks: dict[Key, tuple[StoredCallback, bool]] = {}
        self.cases: list[KeptCase] = []
        # (merchant, order) -> its amount, once a tender said it.
        self.orders: dict[Key, int | None] = {}
        # Merchant, the payment let in, the risk record.
        self.overrides: list[tuple[str, str, Override]] = []
        self._transaction = 0
        self._trades: dict[str, Key] = {}  # every out_trade_no -> its payment
        self._event_ids: dict[Key, Event] = {}

    # --- the road of a payment

    async def open(
        self, opening: Opening
    ) -> Opened | KeyTaken | TenderTaken | NumberTaken | OrderSplit:
        """Write 1."""
        if (opening.payment.merchant_id, opening.payment.order_no) in self.orders:
            return self.why_lost(opening)
        return self.opened_alone(opening)

    async def open_in_order(
        self, opening: Opening, terms: OrderTerms
    ) -> Opened | KeyTaken | TenderTaken | NumberTaken | OrderRefusal | Stale:
        """Write 1 of a tender of a split order."""
        return await opened_in_order(self, opening, terms)

    def opened_alone(
        self, opening: Opening
    ) -> Opened | KeyTaken | TenderTaken | NumberTaken | OrderSplit:
        """Write 1 of an order that is not split, or whose rules were looked at."""
        p, claim = opening.payment, opening.claim
        tender = (p.merchant_id, p.order_no, p.tender_no)
        wanted = KeptClaim(
            p.id, tender, claim.first_n, p.status in PAYMENT_HOLDING, claim.fingerprint
        )
        if self._collides(wanted, p.merchant_id, claim.idempotency_key):
            return self.why_lost(opening)
        if claim.first_n < 1:
            raise StoreRefused("23514", "claim_first_n_check")
        # As the statement: a payment opens with one attempt.
        first = structs.replace(p, attempts=p.attempts[:1])
        check_payment(first)
        check_postings(opening.postings)
        self._check_new(first, opening.events)
        self.claims[p.merchant_id, claim.idempotency_key] = wanted
        self.payment_rows[p.merchant_id, p.id] = first
        self._trades[first.attempts[0].out_trade_no] = (p.merchant_id, p.id)
        self._record(p.merchant_id, opening.events, opening.postings)
        return Opened()

    async def apply(self, change: Change) -> Applied | Stale | RefundTaken:
        """Write 2, and every later one: all of it or nothing."""
        key = (change.payment.merchant_id, change.payment.id)
        old = self.payment_rows.get(key)
        if old is None or old.version != change.payment.version - 1:
            return self._written(change) or Stale()
        if change.new_refund is not None and self._refund_collides(change.new_refund, key):
            return RefundTaken()
        new = self._moved_payment(old, change.payment, change.new_attempt)
        refund = self._moved_refund(change.refund, key)
        check_payment_move(old, new)  # as the database: triggers before CHECKs
        check_payment(new)
        check_postings(change.postings)
        if change.new_refund is not None:
            check_refund(change.new_refund)
        self._check_new(None, change.events, key[0])
        self.payment_rows[key] = new
        self._trades |= {attempt.out_trade_no: key for attempt in new.attempts[len(old.attempts) :]}
        for row in (refund, change.new_refund):
            if row is not None:
                self.refund_rows[row.merchant_id, row.id] = row
        if new.status not in PAYMENT_HOLDING:
            self._release(key)
        self._record(key[0], change.events, change.postings)
        opened = change.case is not None and self._open_case(key[0], key[1], change.case)
        return Applied(opened)

    # --- reading

    async def payment(self, merchant_id: str, payment_id: str) -> Payment | None:
        """With its attempts."""
        return self.payment_rows.get((merchant_id, payment_id))

    async def payment_by_key(self, merchant_id: str, idempotency_key: str) -> KeyTaken | None:
        """What the key is bound to."""
        claim = self.claims.get((merchant_id, idempotency_key))
        return (
            KeyTaken(self.payment_rows[merchant_id, claim.payment_id], claim.fingerprint)
            if claim
            else None
        )

    async def payment_by_trade(self, account_id: str, out_trade_no: str) -> Payment | None:
        """By the channel's order number, on this account only."""
        key = self._trades.get(out_trade_no)
        payment = self.payment_rows[key] if key else None
        return (
            payment
            if payment and payment.attempt(out_trade_no).channel_account == account_id
            else None
        )

    async def payments(self, merchant_id: str, wanted: PaymentFilter) -> Sequence[Payment]:
        """Newest first; one more than the limit."""
        rows = [p for (merchant, _), p in self.payment_rows.items() if merchant == merchant_id]
        asked = (
            ("order_no", wanted.order_no),
            ("status", wanted.status),
            ("store_id", wanted.store_id),
        )
        rows = [
            p
            for p in rows
            if all(value is None or getattr(p, name) == value for name, value in asked)
        ]
        return _paged(
            rows, self.payment_rows.get((merchant_id, wanted.starting_after or "")), wanted
        )

    async def newer(self, known: Sequence[tuple[str, str, int]]) -> Sequence[Payment]:
        """See the port."""
        found = [(self.payment_rows.get((merchant, each)), had) for merchant, each, had in known]
        newer = [row for row, had in found if row is not None and row.version > had]
        return sorted(newer, key=lambda payment: payment.id)

    async def refund(self, merchant_id: str, refund_id: str) -> Refund | None:
        """One refund."""
        return self.refund_rows.get((merchant_id, refund_id))

    async def refund_by_number(
        self, merchant_id: str, *, refund_no: str | None = None, idempotency_key: str | None = None
    ) -> Refund | None:
        """By the merchant's number, else by the key."""
        rows = self._refunds(merchant_id)
        if refund_no is not None:
            return next((r for r in rows if r.refund_no == refund_no), None)
        return next(
            (
                r
                for r in rows
                if r.idempotency_key == idempotency_key and idempotency_key is not None
            ),
            None,
        )

    async def refunds_of(self, merchant_id: str, payment_id: str) -> Sequence[Refund]:
        """Oldest first."""
        return sorted(
            (r for r in self._refunds(merchant_id) if r.payment_id == payment_id),
            key=lambda r: (r.created_at, r.id),
        )

    async def refunds(self, merchant_id: str, wanted: RefundFilter) -> Sequence[Refund]:
        """Newest first; one more than the limit."""
        asked = (("refund_no", wanted.refund_no), ("status", wanted.status))
        rows = [
            r
            for r in self._refunds(merchant_id)
            if all(value is None or getattr(r, name) == value for name, value in asked)
        ]
        rows = [
            r
            for r in rows
            if wanted.store_id in (None, self.payment_rows[merchant_id, r.payment_id].store_id)
        ]
        return _paged(
            rows, self.refund_rows.get((merchant_id, wanted.starting_after or "")), wanted
        )

    async def events(self, merchant_id: str, after: str | None, limit: int) -> EventPage:
        """Public events in commit order."""
        asked = position(after)
        if after is not None and int(asked.transaction) > self._transaction:
            raise CursorAhead(field="after")
        found = [
            k
            for k in self.log
            if k.place > (int(asked.transaction), asked.row)
            and k.merchant_id == merchant_id
            and k.event.public
        ]
        page = found[:limit]
        cursor = "{}-{}".format(*page[-1].place) if page else after
        documents = tuple(
            event_json(k.event.id, k.event.type, k.event.at, k.event.data) for k in page
        )
        return EventPage(documents, cursor, len(found) > limit)

    # --- what arrives from outside

    async def keep_callback(self, callback: StoredCallback) -> bool:
        """True while its effect is still owed."""
        _, applied = self.callbacks.setdefault(
            (callback.account_id, callback.event_key), (callback, False)
        )
        return not applied

    async def callback_applied(self, account_id: str, event_key: str) -> None:
        """Its effect is durable."""
        kept = self.callbacks.get((account_id, event_key))
        if kept is not None:
            self.callbacks[account_id, event_key] = (kept[0], True)

    async def open_case(self, merchant_id: str, object_id: str, case: Case) -> bool:
        """One open case per kind and object."""
        return self._open_case(merchant_id, object_id, case)

    async def close_case(self, case_id: str, *, closed_by: str, reason: str, now: datetime) -> None:
        """Raises `NotFound` when no such case is open."""
        for place, kept in enumerate(self.cases):
            if kept.case.id == case_id and kept.closed is None:
                self.cases[place] = replace(kept, closed=(now, closed_by, reason))
                return
        raise NotFound(f"no open case {case_id}")

    async def settle_case(
        self, merchant_id: str, object_id: str, kind: CaseKind, *, reason: str, now: datetime
    ) -> None:
        """If there is one."""
        for place, kept in enumerate(self.cases):
            if (kept.merchant_id, kept.object_id, kept.case.name, kept.closed) == (
                merchant_id,
                object_id,
                kind,
                None,
            ):
                self.cases[place] = replace(kept, closed=(now, "tillgate", reason))

    # --- parts

    def _collides(self, wanted: KeptClaim, merchant_id: str, key: str) -> bool:
        return (merchant_id, key) in self.claims or any(
            (merchant == merchant_id and kept.payment_id == wanted.payment_id)
            or (
                kept.tender == wanted.tender
                and (kept.first_n == wanted.first_n or (kept.holds and wanted.holds))
            )
            for (merchant, _), kept in self.claims.items()
        )

    def why_lost(
        self, opening: Opening
    ) -> Opened | KeyTaken | TenderTaken | NumberTaken | OrderSplit:
        """Read by a second look, as after the statement."""
        p = opening.payment
        tender = (p.merchant_id, p.order_no, p.tender_no)
        bound = self.claims.get((p.merchant_id, opening.claim.idempotency_key))
        if bound is not None:
            return (
                Opened()
                if bound.payment_id == p.id
                else KeyTaken(self.payment_rows[p.merchant_id, bound.payment_id], bound.fingerprint)
            )
        rivals = [kept for kept in self.claims.values() if kept.tender == tender]
        holder = next((kept for kept in rivals if kept.holds), None)
        if holder is not None:
            return TenderTaken(self.payment_rows[p.merchant_id, holder.payment_id])
        tried = (
            a.trade_number
            for kept in rivals
            for a in self.payment_rows[p.merchant_id, kept.payment_id].attempts
        )
        highest_n = max(tried, default=0)
        return NumberTaken(highest_n) if highest_n >= opening.claim.first_n else OrderSplit()

    def _check_new(
        self, opened: Payment | None, events: Sequence[Event], merchant_id: str = ""
    ) -> None:
        if opened is not None:
            merchant_id = opened.merchant_id
            taken = {
                a.id
                for (merchant, _), p in self.payment_rows.items()
                if merchant == merchant_id
                for a in p.attempts
            }
            if opened.attempts[0].out_trade_no in self._trades or opened.attempts[0].id in taken:
                raise StoreRefused(UNIQUE, "attempt")
        if any((merchant_id, event.id) in self._event_ids for event in events):
            raise StoreRefused(UNIQUE, "event_pkey")

    def _moved_payment(self, old: Payment, wanted: Payment, new_attempt: Attempt | None) -> Payment:
        """Only what an UPDATE may touch, the moving columns of rows that exist; and the one attempt
        that is new.
        """
        by_id = {attempt.id: attempt for attempt in wanted.attempts}
        attempts = tuple(
            _moved(known, by_id[known.id], ATTEMPT_MOVING.names) if known.id in by_id else known
            for known in old.attempts
        )
        if new_attempt is not None:
            if new_attempt.out_trade_no in self._trades:
                raise StoreRefused(UNIQUE, "attempt")
            attempts = (*attempts, new_attempt)
        return structs.replace(_moved(old, wanted, PAYMENT_MOVING.names), attempts=attempts)

    def _moved_refund(self, wanted: Refund | None, key: Key) -> Refund | None:
        old = self.refund_rows.get((wanted.merchant_id, wanted.id)) if wanted else None
        if wanted is None or old is None or (old.merchant_id, old.payment_id) != key:
            return None
        new = _moved(old, wanted, REFUND_MOVING.names)
        check_refund_move(old, new)
        check_refund(new)
        return new

    def _refund_collides(self, refund: Refund, key: Key) -> bool:
        if (refund.merchant_id, refund.payment_id) != key:
            return True
        return any(
            r.out_refund_no == refund.out_refund_no
            or (
                r.merchant_id == refund.merchant_id
                and (
                    r.id == refund.id
                    or r.refund_no == refund.refund_no
                    or (
                        r.idempotency_key is not None
                        and r.idempotency_key == refund.idempotency_key
                    )
                )
            )
            for r in self.refund_rows.values()
        )

    def _written(self, change: Change) -> Applied | None:
        """This very change stands: the reply to it was lost and it was sent again."""
        event = change.events[0]
        known = self._event_ids.get((change.payment.merchant_id, event.id))
        if known is None or (known.at, known.data) != (event.at, event.data):
            return None
        return Applied(
            change.case is not None and change.case.id in {k.case.id for k in self.cases}
        )

    def _release(self, key: Key) -> None:
        for name, kept in self.claims.items():
            if name[0] == key[0] and kept.payment_id == key[1] and kept.holds:
                self.claims[name] = replace(kept, holds=False)

    def _record(
        self, merchant_id: str, events: Sequence[Event], postings: Sequence[Posting]
    ) -> None:
        self._transaction += 1
        for row, event in enumerate(events, len(self.log) + 1):
            self.log.append(KeptEvent((self._transaction, row), merchant_id, event))
            self._event_ids[merchant_id, event.id] = event
        self.journal.extend((merchant_id, posting) for posting in postings)

    def _open_case(self, merchant_id: str, object_id: str, case: Case) -> bool:
        for kept in self.cases:
            same = (kept.merchant_id, kept.object_id, kept.case.name) == (
                merchant_id,
                object_id,
                case.name,
            )
            if (same and kept.closed is None) or (kept.merchant_id, kept.case.id) == (
                merchant_id,
                case.id,
            ):
                return False
        self.cases.append(KeptCase(merchant_id, object_id, case))
        return True

    def _refunds(self, merchant_id: str) -> Iterator[Refund]:
        return (r for (merchant, _), r in self.refund_rows.items() if merchant == merchant_id)


def _moved(old: S, wanted: S, names: tuple[str, ...]) -> S:
    return structs.replace(old, **{name: getattr(wanted, name) for name in names})


R = TypeVar("R", Payment, Refund)


def _paged(rows: list[R], last: R | None, wanted: PaymentFilter | RefundFilter) -> list[R]:
    if wanted.starting_after is not None:
        rows = [
            row
            for row in rows
            if last is not None and (row.created_at, row.id) < (last.created_at, last.id)
        ]
    rows = [row for row in rows if wanted.since is None or row.created_at >= wanted.since]
    rows = [row for row in rows if wanted.until is None or row.created_at < wanted.until]
    return sorted(rows, key=lambda row: (row.created_at, row.id), reverse=True)[: wanted.limit + 1]
