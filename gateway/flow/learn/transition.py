"""The one way a payment changes: judge what was learned, compare and set, and when another writer
was faster, read again and judge anew.

Callers never write; they hand in what a channel, a till or a person said. A stale write loses
nothing: what was learned is applied to the newer payment as an ordinary event.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple
from zlib import crc32

import structlog
from msgspec.structs import replace

from adapters.channel import RemoteManifest, Schedule
from gateway import cases
from gateway.domain.case import Case, CaseKind
from gateway.domain.change import Change
from gateway.domain.errors import Overloaded, Unavailable
from gateway.domain.evidence import evidence_of
from gateway.domain.learning import learned
from gateway.domain.occasion import Occasion, Outcome, Successor
from gateway.domain.outcomes import RefundQueryOutcome
from gateway.domain.payment import Attempt, Payment, Refund
from gateway.domain.returning import refund_learned, sent_again
from gateway.domain.states import ATTEMPT_UNCHARGED, PAYMENT_UNCHARGED, IllegalTransition
from gateway.domain.words import EvidenceWord, Source
from gateway.flow.learn.in_flight import InFlight
from gateway.flow.learn.lost_attempts import LostAttempts
from gateway.flow.learn.schedule import due_after, proof_at, refund_due_after
from gateway.flow.ports import Applied, Ports, RefundTaken, Stale, StoreRefused
from gateway.limits import (
    STALE_QUICK_MAX,
    STALE_RETRIES_MAX,
    STALE_WAIT_MS_MAX,
    STALE_WAIT_MS_MIN,
    SWEEP_LEASE_MS,
    WRITE_RETRIES_MAX,
    WRITE_RETRY_MS,
)
from gateway.telemetry.metrics import ILLEGAL, PAYMENTS, REFUNDS, STORE_REFUSALS

log = structlog.get_logger("tillgate.flow")
Judge = Callable[[Payment], Change | None]
Held = Callable[[Payment, Attempt], bool]
LEASE = timedelta(milliseconds=SWEEP_LEASE_MS)


class RefundRace(Exception):
    """Another request bound the refund's number or key in the same moment;
    nothing was written.
    """


class Step(NamedTuple):
    """The payment as it stands now. `change`: what was written, None when nothing was."""

    payment: Payment
    change: Change | None


class Transitions:
    def __init__(
        self,
        *,
        ports: Ports,
        in_flight: InFlight,
        lost: LostAttempts,
    ) -> None:
        self._store, self._directory, self._in_flight, self._lost = (
            ports.store,
            ports.directory,
            in_flight,
            lost,
        )
        self._clock, self._ids, self._numbers = ports.clock, ports.ids, ports.numbers

    def occasion(
        self,
        source: Source,
        *,
        proof_passed: bool = False,
        asked_after_end: bool = False,
        silence_counted: bool = False,
        successor: Successor | None = None,
    ) -> Occasion:
        return Occasion(
            now=self._clock.now(),
            source=source,
            new_id=self._ids.new,
            numbers=self._numbers,
            days=self._directory.days(),
            proof_passed=proof_passed,
            asked_after_end=asked_after_end,
            silence_counted=silence_counted,
            successor=successor,
        )

    async def learn(
        self,
        payment: Payment,
        out_trade_no: str,
        outcome: Outcome,
        source: Source,
        *,
        asked_at: datetime | None = None,
        silence_counted: bool = False,
        successor: Successor | None = None,
        held: Held | None = None,
    ) -> Payment:
        """Apply what a channel said about the attempt `out_trade_no`.

        Survives a short absence of the store.

        `payment`: as it was known when the question left. If the attempt had ended by then, a yes
        tells of money after the end; if not, the yes may be older than the end.

        `asked_at`: when the question left. Without it the answer is never P4: an answer that lay
        about for a while, with us or on its way, may be older than the moment from which "not
        found" proves anything. `silence_counted`, `successor`: see `Occasion`; `held`: see
        `decide`.
        """
        asked_after_end = payment.attempt(out_trade_no).status in ATTEMPT_UNCHARGED

        def judge(now: Payment) -> Change | None:
            attempt = now.attempt(out_trade_no)
            passed = asked_at is not None and asked_at >= proof_at(
                attempt, self.schedule(now, attempt)
            )
            occasion = self.occasion(
                source,
                proof_passed=passed,
                asked_after_end=asked_after_end,
                silence_counted=silence_counted,
                successor=successor,
            )
            return learned(now, attempt, outcome, occasion)

        return await self.insist(payment, judge, held=held)

    async def learn_refund(
        self,
        payment: Payment,
        refund_id: str,
        outcome: RefundQueryOutcome,
        source: Source,
        *,
        held: bool = False,
    ) -> tuple[Payment, Refund]:
        """Apply what a channel said about a refund. `held`: the visit goes on, see `decide`."""

        def judge(now: Payment, refund: Refund) -> Change | None:
            return refund_learned(now, refund, outcome, self.occasion(source))

        return await self.step_refund(payment, refund_id, judge, held=held)

    async def refund_again(self, payment: Payment, refund_id: str) -> tuple[Payment, Refund]:
        """Before a refund that waits for a person goes out once more;
        changes nothing for any other.
        """
        return await self.step_refund(
            payment,
            refund_id,
            lambda now, refund: sent_again(now, refund, self.occasion(Source.SWEEPER)),
            held=True,
        )

    async def step_refund(
        self,
        payment: Payment,
        refund_id: str,
        judge: Callable[[Payment, Refund], Change | None],
        *,
        held: bool = False,
    ) -> tuple[Payment, Refund]:
        """`step` for a refund, which is read beside its payment."""
        for losses in range(STALE_RETRIES_MAX):
            await self._give_way(losses)
            refund = await self._store.refund(payment.merchant_id, refund_id)
            assert refund is not None, "a refund is written before a channel is asked about it"
            try:
                change = judge(payment, refund)
            except IllegalTransition as illegal:
                await self._illegal(payment, illegal)
                return payment, refund
            if change is None or change.refund is None:
                return payment, refund
            change = self._scheduled(change, held_refund=refund_id if held else None)
            if isinstance(await self._write(change, was=payment), Applied):
                assert change.refund is not None
                if change.refund.status != refund.status:
                    REFUNDS.labels(refund.channel, change.refund.status).inc()
                return change.payment, change.refund
            payment = await self.fresh(payment)
        raise Overloaded(f"refund {refund_id} is changed by many at once: try again")

    async def insist(self, payment: Payment, judge: Judge, *, held: Held | None = None) -> Payment:
        """`step`, offered again for a while when the store is away:
        a channel's word is worth waiting for.
        """
        for _ in range(WRITE_RETRIES_MAX):
            try:
                return await self.step(payment, judge, held=held)
            except Unavailable as error:
                log.warning("write_postponed", payment=payment.id, error=error.code)
                await asyncio.sleep(WRITE_RETRY_MS / 1000)
        return await self.step(payment, judge, held=held)

    async def step(self, payment: Payment, judge: Judge, *, held: Held | None = None) -> Payment:
        """`decide`, for callers who need the payment only."""
        return (await self.decide(payment, judge, held=held)).payment

    async def decide(self, payment: Payment, judge: Judge, *, held: Held | None = None) -> Step:
        """Judge, compare and set; read again and judge anew while another writer is faster.

        Raises `RefundRace`, `StoreRefused`, and `Overloaded` when others are always faster: nothing
        was written then.

        In "restored" mode an end without a charge may be no end, or not yet: see
        `flow.learn.lost_attempts`.

        `held`: which attempt a visit is under way to that goes on after this change. Its next visit
        is due when the lease ends, unless the visit's last word sets another: no other visit comes
        in the middle.
        """
        for losses in range(STALE_RETRIES_MAX):
            await self._give_way(losses)
            try:
                change = judge(payment)
            except IllegalTransition as illegal:
                await self._illegal(payment, illegal)
                return Step(payment, None)
            if change is None:
                return Step(payment, None)
            if change.payment.status in PAYMENT_UNCHARGED:
                change = await self._lost.reconsider(
                    payment, change, self.occasion(Source.RESTORED)
                )
            change = self._scheduled(change, held)
            match await self._write(change, was=payment):
                case Applied():
                    return Step(change.payment, change)
                case RefundTaken():
                    raise RefundRace
                case Stale():
                    payment = await self.fresh(payment)
        raise Overloaded(f"payment {payment.id} is changed by many at once: try again")

    async def _give_way(self, losses: int) -> None:
        """Writers that lost together come back apart, each after a random part of the same wait."""
        if losses >= STALE_QUICK_MAX:
            longest_ms = min(STALE_WAIT_MS_MIN * 2 ** (losses - STALE_QUICK_MAX), STALE_WAIT_MS_MAX)
            part = crc32(self._ids.token().encode()) / 2**32
            await asyncio.sleep(longest_ms * part / 1000)

    async def fresh(self, payment: Payment) -> Payment:
        """The payment as it stands in the books."""
        found = await self._store.payment(payment.merchant_id, payment.id)
        assert found is not None, "payments are never deleted"
        return found

    def schedule(self, payment: Payment, attempt: Attempt) -> Schedule:
        account = self._directory.remote_account(attempt.channel_account)
        if account is not None:
            return account.schedule(payment.flow)
        # Removed from the books by hand: its channel still knows how long to wait.
        manifest = self._directory.manifests()[attempt.channel]
        assert isinstance(manifest, RemoteManifest), "a tender of our own books is never undecided"
        return manifest.schedule(payment.flow, "standard")

    async def _write(self, change: Change, *, was: Payment) -> Applied | Stale | RefundTaken:
        try:
            result = await self._store.apply(change)
        except StoreRefused as refused:
            await self._refused(was, refused)
            raise
        if isinstance(result, Applied):
            if change.payment.status != was.status:
                PAYMENTS.labels(change.payment.channel, change.payment.status).inc()
            if change.new_refund is not None:
                REFUNDS.labels(change.new_refund.channel, change.new_refund.status).inc()
            if change.case is not None and result.case_opened:
                cases.announce(was.id, change.case)
            self._in_flight.wake(change.payment)
        return result

    def _scheduled(
        self, change: Change, held: Held | None = None, held_refund: str | None = None
    ) -> Change:
        now = self._clock.now()
        payment = change.payment
        attempts = tuple(
            self._attempt_scheduled(payment, attempt, now, held) for attempt in payment.attempts
        )
        new_attempt = attempts[-1] if change.new_attempt is not None else None
        refund = change.refund
        if refund is not None:
            account = self._directory.remote_account(refund.channel_account)
            due_at = refund_due_after(refund, account.profile if account else "standard", now)
            refund = replace(
                refund,
                due_at=now + LEASE if due_at is not None and refund.id == held_refund else due_at,
            )
        return replace(
            change,
            payment=replace(payment, attempts=attempts),
            new_attempt=new_attempt,
            refund=refund,
        )

    def _attempt_scheduled(
        self, payment: Payment, attempt: Attempt, now: datetime, held: Held | None
    ) -> Attempt:
        if not attempt.live:
            return attempt
        if held is not None and held(payment, attempt):
            return replace(attempt, due_at=now + LEASE)
        return replace(
            attempt, due_at=due_after(payment, attempt, self.schedule(payment, attempt), now)
        )

    async def _illegal(self, payment: Payment, illegal: IllegalTransition) -> None:
        """A blank cell: nothing changes, a person looks."""
        ILLEGAL.labels(illegal.machine).inc()
        log.error(
            "illegal_transition",
            payment=payment.id,
            machine=illegal.machine,
            state=illegal.state,
            event_name=illegal.event,
        )
        evidence = evidence_of(EvidenceWord.ILLEGAL_TRANSITION, self.occasion(Source.GATEWAY))
        case = Case(id=self._ids.new("case"), kind=CaseKind.ILLEGAL_TRANSITION, evidence=evidence)
        await cases.open_case(self._store, payment.merchant_id, payment.id, case)

    async def _refused(self, payment: Payment, refused: StoreRefused) -> None:
        """The store holds the tables too, and more: the caller goes no further, the row stays, a
        person looks.
        """
        STORE_REFUSALS.labels(refused.sqlstate).inc()
        rule = f"{refused.sqlstate} {refused.constraint_name or ''}".rstrip()
        log.error(
            "store_refused",
            payment=payment.id,
            version=payment.version,
            rule=rule,
            words=refused.words,
        )
        evidence = evidence_of(
            EvidenceWord.STORE_REFUSED,
            self.occasion(Source.GATEWAY),
            code=rule,
            words=refused.words,
        )
        case = Case(id=self._ids.new("case"), kind=CaseKind.STORE_REFUSED, evidence=evidence)
        await cases.open_case(self._store, payment.merchant_id, payment.id, case)
