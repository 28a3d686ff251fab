"""The same random programs against both stores: whatever one of them shows, the other shows too.

A program is drawn from a seed, which a failure prints; TILLGATE_CONTRACT_SEEDS raises their number.
"""

import asyncio
import os
import random
from datetime import date
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.domain import outcomes as o
from gateway.domain.acts import cancel_requested, cancel_sent, overridden, taken
from gateway.domain.case import CaseKind
from gateway.domain.change import Posting
from gateway.domain.learning import learned
from gateway.domain.order import OrderTerms, Override
from gateway.domain.payment import Payment
from gateway.domain.returning import refund_learned
from gateway.domain.states import IllegalTransition
from gateway.domain.statuses import PaymentStatus, RefundStatus
from gateway.domain.words import Numbering, Origin
from gateway.flow.due import Places
from gateway.flow.lists import PaymentFilter, RefundFilter
from gateway.flow.ports import StoredCallback
from gateway.storage.postgres import PostgresStore
from tests.contract.drawn import (
    Books,
    bent,
    case,
    drawn_payment,
    later,
    new_id,
    occasion,
    opening_of,
    paid_payment,
    person,
    refund_change,
    watched,
)
from tests.fakes.store import MemoryStore
from tests.servers import DatabaseServer
from tests.store_clock import MemoryClock, ServerClock

SEEDS = int(os.environ.get("TILLGATE_CONTRACT_SEEDS", "12"))
FEED_LOOKS_MAX = 250
STEPS = 60
MERCHANTS = ("m1", "m2")

OUTCOMES = (
    (o.Succeeded(amount=1000, channel_trade_no="C"), "pay"),
    (o.Succeeded(amount=1000, channel_trade_no="C"), "callback"),
    (o.Succeeded(amount=999, channel_trade_no="C"), "callback"),
    (o.Pending(), "pay"),
    (o.PayerActionNeeded(qr_code="qr"), "query"),
    (o.Declined(code=o.FailureCode.RISK_REFUSED, retry=o.Retry.NONE, failover_useful=False), "pay"),
    (o.NotSent(reason="refused"), "pay"),
    (o.Unknown(reason="timeout"), "query"),
    (o.NotFound(), "query"),
    (o.Closed(was_charged=False), "query"),
    (o.Closed(was_charged=True), "callback"),
    (o.Reversed(), "cancel"),
    (o.NothingThere(), "cancel"),
    (o.UseRefund(), "cancel"),
    (o.Mismatch(field="order", expected="a", got="b"), "query"),
)
REFUND_OUTCOMES = (
    o.RefundPending(),
    o.RefundNotFound(),
    o.Unknown(reason="timeout"),
    o.RefundDeclined(code="refund_refused", needs_action=False),
    o.RefundDeclined(code="merchant_balance", needs_action=True),
)
BENDS = (
    {"status": "returned"},
    {"reserved_amount": 9999},
    {"status": "declined", "evidence": ()},
    {"captured_amount": -1},
    {"epoch": 9},
)


class Program:
    """Draws one step after the other, from what the first store shows, and plays each on both."""

    def __init__(
        self,
        seed: int,
        left: MemoryStore,
        right: PostgresStore,
        clocks: tuple[MemoryClock, ServerClock],
    ) -> None:
        self.chance = random.Random(seed)
        self.left, self.right, self.clocks = left, right, clocks
        self.cursors: dict[str, tuple[str | None, str | None]] = dict.fromkeys(
            MERCHANTS, (None, None)
        )
        self.made = 0

    async def run(self) -> None:
        steps = (
            self.open,
            self.open,
            self.change,
            self.change,
            self.change,
            self.change,
            self.refund,
            self.refund_moves,
        )
        rare = (self.stale, self.bent, self.due, self.feed, self.lists, self.callback, self.cases)
        for step in range(STEPS):
            await self.chance.choice(steps if self.chance.random() < 0.7 else rare)()
            if step % 6 == 5 or step == STEPS - 1:
                await self.same_books(f"after step {step}")

    async def both(self, name, *arguments, **options):
        """The answer of both stores, which must be one."""
        answers = [
            await answer_of(store, name, *arguments, **options) for store in (self.left, self.right)
        ]
        assert answers[0] == answers[1], f"{name}{arguments}"
        return answers[0]

    async def any_payment(self):
        payments = list(self.left.payment_rows.values())
        return self.chance.choice(payments) if payments else None

    async def open(self) -> None:
        pick = self.chance.choice
        self.made += 1
        n = pick((1, 1, 1, 2, 3))
        build = pick((drawn_payment, drawn_payment, paid_payment))
        fields: dict[str, Any] = {
            "merchant": pick(MERCHANTS),
            "store_id": pick(("s1", "s2")),
            "created_at": later(self.made // 2),
            "tender_no": pick((1, 2)),
            "numbering": pick((Numbering.BY_STORE, Numbering.BY_STORE, Numbering.BY_MERCHANT)),
        }
        payment = build(f"O{pick(range(4))}", n=n, **fields)
        line = pick((1000, 1000, 999, 0))
        lines = (("drawer", 1000), ("takings", -line)) if build is paid_payment else ()
        postings = tuple(
            Posting(posting_id=payment.id, account=account, amount=amount)
            for account, amount in lines
        )
        opening = opening_of(payment, f"key{pick(range(12))}", pick((b"{}", b"1")), postings)
        if self.chance.random() < 0.6:
            await self.both("open", opening)
        else:
            await self.both("open_in_order", opening, await self.terms(payment))

    async def terms(self, payment: Payment) -> OrderTerms:
        """Often of another order or of a payment that is not in doubt: what the flow would never
        ask, the stores answer alike.
        """
        amount = self.chance.choice((None, None, 2500, 2600))
        named = await self.any_payment()
        if named is None or named.merchant_id != payment.merchant_id or self.chance.random() < 0.5:
            return OrderTerms(amount=amount)
        try:
            change = watched(
                overridden(
                    named,
                    by=payment.id,
                    words="ann: queue",
                    occasion=occasion("supervisor", later(self.made)),
                )
            )
        except IllegalTransition:
            return OrderTerms(amount=amount)
        return OrderTerms(
            amount=amount, override=Override(change=change, supervisor_id="ann", reason="queue")
        )

    async def drawn_change(self):
        payment = await self.any_payment()
        if payment is None:
            return None
        at = later(self.chance.randrange(200))
        roll = self.chance.random()
        try:
            if roll < 0.1:
                return watched(cancel_requested(payment, occasion("till", at), by="key_1"), at)
            if roll < 0.2:
                return (
                    watched(taken(payment, payment.current, occasion("sweeper", at)), at)
                    if payment.current.live
                    else None
                )
            if roll < 0.35:
                return watched(cancel_sent(payment, payment.current, occasion("sweeper", at)), at)
            outcome, source = self.chance.choice(OUTCOMES)
            change = learned(
                payment,
                payment.current,
                outcome,
                occasion(source, at, proof_passed=self.chance.random() < 0.5),
            )
        except IllegalTransition:
            return None
        return watched(change, at) if change else None

    async def change(self) -> None:
        change = await self.drawn_change()
        if change is not None:
            await self.both("apply", change)

    async def stale(self) -> None:
        change = await self.drawn_change()
        if change is not None:
            shift = self.chance.choice((-1, 1, 2))
            await self.both(
                "apply",
                replace(
                    change, payment=replace(change.payment, version=change.payment.version + shift)
                ),
            )

    async def bent(self) -> None:
        change = await self.drawn_change()
        if change is not None:
            await self.both("apply", bent(change, **self.chance.choice(BENDS)))

    async def refund(self) -> None:
        payment = await self.any_payment()
        if payment is not None:
            number = self.chance.randrange(10)
            key = f"rk{self.chance.randrange(10)}"
            await self.both(
                "apply",
                refund_change(
                    payment,
                    f"r{number}",
                    self.chance.choice((100, 400, 1200)),
                    key,
                    later(self.made),
                ),
            )

    async def refund_moves(self) -> None:
        if not self.left.refund_rows:
            return
        refund = self.chance.choice(list(self.left.refund_rows.values()))
        payment = self.left.payment_rows[refund.merchant_id, refund.payment_id]
        done = o.RefundSucceeded(amount=refund.amount, channel_refund_no="R")
        outcome = self.chance.choice((*REFUND_OUTCOMES, done, done, done))
        try:
            change = refund_learned(payment, refund, outcome, occasion("refund", later(100)))
        except IllegalTransition:
            return
        if change is not None and change.refund is not None:
            visit = (
                later(self.chance.randrange(200))
                if change.refund.status in ("requested", "processing", "in_doubt")
                else None
            )
            await self.both("apply", replace(change, refund=replace(change.refund, due_at=visit)))

    async def due(self) -> None:
        at = later(self.chance.randrange(300))
        for clock in self.clocks:
            await clock.stand_at(at)
        if self.chance.random() < 0.5:
            await self.both("beat", "wrk_1")
        await self.both("take_due_attempts", Places(100, 100), 15_000, 3_000)
        await self.both("take_due_refunds", Places(100, 100), 15_000)

    async def feed(self) -> None:
        merchant, limit = self.chance.choice(MERCHANTS), self.chance.choice((1, 3, 50))
        before = self.cursors[merchant]
        pages = [
            await self.left.events(merchant, before[0], limit),
            await self.right.events(merchant, before[1], limit),
        ]
        # A refused transaction whose connection was cut may still be ending: the feed lags behind.
        for _ in range(FEED_LOOKS_MAX):
            if pages[0].rows == pages[1].rows:
                break
            await asyncio.sleep(0.02)
            pages[1] = await self.right.events(merchant, before[1], limit)
        assert (pages[0].rows, pages[0].has_more) == (pages[1].rows, pages[1].has_more)
        self.cursors[merchant] = (pages[0].next_cursor, pages[1].next_cursor)

    async def lists(self) -> None:
        pick = self.chance.choice
        merchant, limit = pick(MERCHANTS), pick((1, 3, 50))
        span: dict[str, Any] = {
            "since": pick((None, later(3))),
            "until": pick((None, later(9))),
            "store_id": pick((None, "s1")),
            "limit": limit,
        }
        status = pick((None, PaymentStatus.SUCCEEDED, PaymentStatus.IN_DOUBT))
        rows = await self.both(
            "payments",
            merchant,
            PaymentFilter(
                order_no=pick((None, "O1")),
                status=status,
                method=pick((None, None, "wallet")),
                channel_account=pick((None, None, "acct_1", "acct_2")),
                channel_trade_no=pick((None, None, "C")),
                business_date=pick((None, None, date(2026, 11, 21), date(2026, 11, 22))),
                paid_from=pick((None, None, later(3))),
                **span,
            ),
        )
        last = rows[-1].id if isinstance(rows, list) and rows else "nobody"
        await self.both("payments", merchant, PaymentFilter(limit=limit, starting_after=last))
        refunds = await self.both("refunds", merchant, RefundFilter(limit=1))
        if isinstance(refunds, list) and refunds:
            await self.both(
                "refunds", merchant, RefundFilter(limit=limit, starting_after=refunds[0].id)
            )
        await self.both(
            "refunds",
            merchant,
            RefundFilter(
                status=pick((None, RefundStatus.REQUESTED)),
                origin=pick((None, None, Origin.MERCHANT, Origin.LATE)),
                **span,
            ),
        )
        known = [(*key, pick((0, 1, 2, 3))) for key in self.left.payment_rows]
        await self.both("newer", [*known, (merchant, "nobody", 0)])
        await self.both("payment_by_key", merchant, pick(("s1", "s2")), f"key{pick(range(12))}")
        await self.both("refund_by_number", merchant, f"r{pick(range(10))}")
        await self.both("refund_by_key", merchant, "s1", f"rk{pick(range(10))}")

    async def callback(self) -> None:
        key = f"e{self.chance.randrange(5)}"
        kept = StoredCallback(
            account_id="a",
            event_key=key,
            out_trade_no="T",
            kind="pay",
            body=b"",
            received_at=later(0),
        )
        await self.both("keep_callback", kept)
        if self.chance.random() < 0.5:
            await self.both("callback_applied", "a", key)

    async def cases(self) -> None:
        await self.both(
            "open_case",
            self.chance.choice(MERCHANTS),
            f"x{self.chance.randrange(3)}",
            case(self.chance.choice((CaseKind.MISMATCH, CaseKind.OVERRIDE))),
        )
        known = self.chance.choice([kept.case.id for kept in self.left.cases])
        if self.chance.random() < 0.5:
            ann = person(new_id("ann"))
            await self.both("close_case", known, closed_by=ann, reason="seen", now=later(1))

    async def same_books(self, when: str) -> None:
        """Everything there is, whole."""
        left, right = Books(self.left), Books(self.right)
        for (merchant, payment_id), payment in self.left.payment_rows.items():
            assert await self.right.payment(merchant, payment_id) == payment, when
            assert await self.right.refunds_of(merchant, payment_id) == await self.left.refunds_of(
                merchant, payment_id
            ), when
        assert await right.log() == await left.log(), when
        assert await right.journal() == await left.journal(), when
        assert await right.cases() == await left.cases(), when


async def answer_of(store, name, *arguments, **options):
    """What a call shows: its result or its refusal (which rule is named first is nobody's promise).

    Leased work has no order.
    """
    try:
        answer = await getattr(store, name)(*arguments, **options)
    except Exception as error:  # noqa: BLE001 - its kind is the answer
        return "refused" if getattr(error, "sqlstate", None) else type(error).__name__
    return sorted(answer, key=str) if name.startswith("take_due") else answer


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_both_stores_show_the_same(postgres: DatabaseServer, seed: int):
    dsn = await postgres.fresh_database()
    clocks = MemoryClock(), await ServerClock.of(dsn)
    right = await PostgresStore.connected(dsn)
    program = Program(seed, MemoryStore(clocks[0].now), right, clocks)
    try:
        await program.run()
    except AssertionError as error:
        error.add_note(f"seed {seed}")
        raise
    finally:
        await right.close()
        await clocks[1].close()
        await postgres.give_back(dsn)
