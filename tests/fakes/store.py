"""The store in memory: a verified fake of `gateway.flow.ports.Store`,
held to Postgres by tests/contract.

It keeps the same uniqueness, comparison, CHECKs and append-only log, and nothing else: no
durability, no I/O, no chance, so that a simulated world may run on it thousands of times a minute.
Every method is atomic: it never waits inside. A test that wants latency, lost replies or absence
wraps it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from msgspec import structs

from gateway.clock import SystemClock
from gateway.domain.change import Change, Event, Opening, Posting
from gateway.domain.errors import RefundLimitReached
from gateway.domain.order import OrderRefusal, OrderTerms
from gateway.domain.payment import Attempt, Payment, Refund
from gateway.domain.states import PAYMENT_HOLDING
from gateway.domain.words import Numbering
from gateway.flow.ports import (
    Applied,
    KeyTaken,
    NumberTaken,
    Opened,
    OrderSplit,
    RefundTaken,
    Stale,
    StoredCallback,
    StoreRefused,
    TenderTaken,
)
from gateway.storage.books.columns import ATTEMPT_MOVING, PAYMENT_MOVING, REFUND_MOVING
from tests.fakes.store_cases import MemoryCases
from tests.fakes.store_due import MemoryDueWork
from tests.fakes.store_orders import opened_in_order
from tests.fakes.store_reading import MemoryReading
from tests.fakes.store_rules import (
    UNIQUE,
    check_payment,
    check_payment_move,
    check_postings,
    check_refund,
    check_refund_move,
)
from tests.fakes.store_tables import KeptClaim, KeptEvent, Key

S = TypeVar("S", Payment, Attempt, Refund)


class MemoryStore(MemoryReading, MemoryDueWork, MemoryCases):
    """`gateway.flow.ports.Store`."""

    def __init__(self, now: Callable[[], datetime] | None = None) -> None:
        super().__init__(now or SystemClock().now)
        self._event_ids: dict[Key, Event] = {}

    # --- the road of a payment

    async def open(
        self, opening: Opening
    ) -> Opened | KeyTaken | TenderTaken | NumberTaken | OrderSplit:
        """Write 1."""
        p = opening.payment
        by_merchant = p.numbering == Numbering.BY_MERCHANT
        if (p.merchant_id, p.store_id, p.order_no) in self.orders or (
            by_merchant and (p.merchant_id, p.order_no) in self.merchant_orders
        ):
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
        wanted = KeptClaim(
            payment_id=p.id,
            merchant_id=p.merchant_id,
            store_id=p.store_id,
            order_no=p.order_no,
            tender_no=p.tender_no,
            numbering=p.numbering,
            idempotency_key=claim.idempotency_key,
            first_n=claim.first_n,
            holds=p.status in PAYMENT_HOLDING,
            fingerprint=claim.fingerprint,
        )
        if self._collides(wanted):
            return self.why_lost(opening)
        if claim.first_n < 1:
            raise StoreRefused("23514", "claim_first_n_check")
        # As the statement: a payment opens with one attempt.
        first = structs.replace(p, attempts=p.attempts[:1])
        check_payment(first)
        check_postings(opening.postings)
        self._check_new(first, opening.events)
        self.claims[p.merchant_id, p.id] = wanted
        self.payment_rows[p.merchant_id, p.id] = first
        self.trades[first.attempts[0].out_trade_no] = (p.merchant_id, p.id)
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
            self._check_day(change.new_refund)
        self._check_new(None, change.events, key[0])
        self.payment_rows[key] = new
        self.trades |= {attempt.out_trade_no: key for attempt in new.attempts[len(old.attempts) :]}
        for row in (refund, change.new_refund):
            if row is not None:
                self.refund_rows[row.merchant_id, row.id] = row
        if new.status not in PAYMENT_HOLDING:
            self._release(key)
        self._record(key[0], change.events, change.postings)
        opened = change.case is not None and self.open_case_now(key[0], key[1], change.case)
        return Applied(opened)

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

    # --- parts

    def _collides(self, wanted: KeptClaim) -> bool:
        where = (wanted.merchant_id, wanted.store_id, wanted.numbering)
        tender = (wanted.order_no, wanted.tender_no)
        return (wanted.merchant_id, wanted.payment_id) in self.claims or any(
            kept.idempotency_key == wanted.idempotency_key
            or (
                (kept.order_no, kept.tender_no) == tender
                and (kept.first_n == wanted.first_n or (kept.holds and wanted.holds))
            )
            for kept in self.beside(where)
        )

    def why_lost(
        self, opening: Opening
    ) -> Opened | KeyTaken | TenderTaken | NumberTaken | OrderSplit:
        """Read by a second look, as after the statement."""
        p = opening.payment
        where = (p.merchant_id, p.store_id, p.numbering)
        bound = self.bound(where, opening.claim.idempotency_key)
        if bound is not None:
            return Opened() if bound.payment.id == p.id else bound
        tender = (p.order_no, p.tender_no)
        rivals = [k for k in self.beside(where) if (k.order_no, k.tender_no) == tender]
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
            if opened.attempts[0].out_trade_no in self.trades or opened.attempts[0].id in taken:
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
            if new_attempt.out_trade_no in self.trades:
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

    def _check_day(self, refund: Refund) -> None:
        if refund.day_limit is None:
            return
        asked_by = refund.terminal_id or refund.asked_by or ""
        given = self.given_back_now(refund.merchant_id, asked_by, refund.business_date)
        if given + refund.amount > refund.day_limit:
            raise RefundLimitReached

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
                        and r.store_id == refund.store_id
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
        self.claims[key] = replace(self.claims[key], holds=False)

    def _record(
        self, merchant_id: str, events: Sequence[Event], postings: Sequence[Posting]
    ) -> None:
        self.transaction += 1
        for row, event in enumerate(events, len(self.log) + 1):
            self.log.append(KeptEvent((self.transaction, row), merchant_id, event))
            self._event_ids[merchant_id, event.id] = event
        self.journal.extend((merchant_id, posting) for posting in postings)


def _moved(old: S, wanted: S, names: tuple[str, ...]) -> S:
    return structs.replace(old, **{name: getattr(wanted, name) for name in names})
