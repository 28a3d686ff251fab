"""What a person has found out about a case.

Without a finding one person closes a case, and a frozen payment thaws. A finding decides about
money that no channel decides, so two persons are needed: one proposes, another one confirms. Then
the ordinary event is applied on their word, as if a channel had said it. It counts for the attempt
or the refund that the case shows, and for no other: what was found out about one number says
nothing of the next one. A finding that cannot be applied is refused, and the case stays open.

A refund that has a finding proposed is not sent any more. What may have left before that is waited
for, so that no money goes out behind the word of those who end it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from gateway.clock import Clock
from gateway.domain.acts import thawed
from gateway.domain.audit import AskedBy
from gateway.domain.case import Finding, FindingRefused
from gateway.domain.change import Change
from gateway.domain.findings import found_about_payment, found_about_refund
from gateway.domain.occasion import Occasion
from gateway.domain.payment import Attempt, Payment, Refund
from gateway.domain.returning import let_go_on, stopped
from gateway.domain.states import REFUND_OPEN
from gateway.domain.words import Source
from gateway.flow.learn.transition import Transitions
from gateway.flow.ports import Store
from gateway.limits import SWEEP_LEASE_MS

# A visit that saw the refund before it was stopped sends nothing after its lease.
SENDS_END = timedelta(milliseconds=SWEEP_LEASE_MS)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenCase:
    """`attempt_id`, `refund_id`: what the case shows. `proposed_as`: what one person has found out,
    `proposed_by` who that was, in the words of `AskedBy`.
    """

    id: str
    merchant_id: str
    object_id: str
    attempt_id: str | None = None
    refund_id: str | None = None
    proposed_as: Finding | None = None
    proposed_by: str | None = None


@dataclass(frozen=True, slots=True)
class CaseStanding:
    """The case's payment and refund as they stand afterwards; None where it is about none."""

    payment: Payment | None
    refund: Refund | None


class CaseFindings(Protocol):
    """Each is one write, of an open case only."""

    async def propose_finding(
        self, case_id: str, finding: Finding, *, by: AskedBy, reason: str, now: datetime
    ) -> bool:
        """False: one is proposed already, or the case is closed."""
        ...

    async def confirm_finding(self, case_id: str, finding: Finding, *, by: AskedBy) -> bool:
        """False: this finding is not the proposed one. Raises `StoreRefused` for one person twice;
        a second confirmation goes on where the first one's process died.
        """
        ...

    async def unconfirm_finding(self, case_id: str, *, by: AskedBy) -> None:
        """It could not be applied; the proposal stands."""
        ...

    async def withdraw_finding(self, case_id: str, *, by: AskedBy) -> bool:
        """False: none is proposed, or it is confirmed."""
        ...


@dataclass(frozen=True, slots=True)
class CaseClosing:
    """`tillgate case close`, `confirm` and `withdraw`. `book` and `store` are one database.

    All raise `FindingRefused` for what is not done, and `NoSuchObject` when the case is closed.
    """

    store: Store
    book: CaseFindings
    transitions: Transitions
    clock: Clock

    async def close(self, case: OpenCase, *, by: AskedBy, reason: str) -> CaseStanding:
        """Without a finding: nothing is decided."""
        if case.proposed_as is not None:
            raise FindingRefused(
                f"{case.proposed_by} proposes `{case.proposed_as}`: confirm or withdraw that first"
            )
        standing = await self._standing(case)
        if standing.payment is not None:
            payment = await self.transitions.step(standing.payment, self._thawed)
            standing = CaseStanding(payment, standing.refund)
        await self.store.close_case(case.id, closed_by=by, reason=reason, now=self.clock.now())
        return standing

    async def propose(
        self, case: OpenCase, finding: Finding, *, by: AskedBy, reason: str
    ) -> CaseStanding:
        """The first person's word. Nothing is decided yet; a refund is not sent any more."""
        standing = await self._standing(case)
        self._judge(standing, case, finding)
        if not await self.book.propose_finding(
            case.id, finding, by=by, reason=reason, now=self.clock.now()
        ):
            raise FindingRefused("a finding is proposed already: confirm or withdraw that first")
        return await self._step_refund(standing, stopped)

    async def confirm(self, case: OpenCase, *, by: AskedBy, reason: str) -> CaseStanding:
        """The second person's word: the finding is applied, and the case is closed."""
        finding = case.proposed_as
        if finding is None:
            raise FindingRefused("no finding is proposed: `tillgate case close --as` proposes one")
        if case.proposed_by == str(by):
            raise FindingRefused(f"{by} has proposed it: another person confirms")
        standing = await self._step_refund(await self._standing(case), stopped)
        self._judge(standing, case, finding)
        self._wait_for_sends(standing.refund)
        if not await self.book.confirm_finding(case.id, finding, by=by):
            raise FindingRefused(f"`{finding}` is not proposed any more: look at the case again")
        try:
            standing = await self._apply(standing, case, finding)
        except FindingRefused:
            await self.book.unconfirm_finding(case.id, by=by)
            raise
        await self.store.close_case(case.id, closed_by=by, reason=reason, now=self.clock.now())
        return standing

    async def withdraw(self, case: OpenCase, *, by: AskedBy) -> CaseStanding:
        """The proposal is taken back; a refund goes on."""
        if not await self.book.withdraw_finding(case.id, by=by):
            raise FindingRefused("no finding is proposed, or another person has confirmed it")
        return await self._step_refund(await self._standing(case), let_go_on)

    async def _standing(self, case: OpenCase) -> CaseStanding:
        payment = await self.store.payment(case.merchant_id, case.object_id)
        if payment is None or case.refund_id is None:
            return CaseStanding(payment, None)
        return CaseStanding(payment, await self.store.refund(case.merchant_id, case.refund_id))

    async def _step_refund(
        self, standing: CaseStanding, judge: Callable[[Payment, Refund, Occasion], Change | None]
    ) -> CaseStanding:
        if standing.payment is None or standing.refund is None:
            return standing
        return CaseStanding(
            *await self.transitions.step_refund(
                standing.payment,
                standing.refund.id,
                lambda now, refund: judge(now, refund, self.transitions.occasion(Source.CASE)),
            )
        )

    def _wait_for_sends(self, refund: Refund | None) -> None:
        if refund is None or refund.status not in REFUND_OPEN or refund.stopped_at is None:
            return
        over = refund.stopped_at + SENDS_END
        if self.clock.now() < over:
            raise FindingRefused(
                f"the refund may have been sent just before it was stopped: "
                f"confirm after {over:%H:%M:%S} UTC"
            )

    async def _apply(
        self, standing: CaseStanding, case: OpenCase, finding: Finding
    ) -> CaseStanding:
        assert standing.payment is not None, "judged before"
        if standing.refund is not None:
            return CaseStanding(
                *await self.transitions.step_refund(
                    standing.payment,
                    standing.refund.id,
                    lambda now, refund: self._judge(CaseStanding(now, refund), case, finding),
                )
            )
        payment = await self.transitions.step(
            standing.payment, lambda now: self._judge(CaseStanding(now, None), case, finding)
        )
        return CaseStanding(payment, None)

    def _judge(self, standing: CaseStanding, case: OpenCase, finding: Finding) -> Change | None:
        payment, refund = standing.payment, standing.refund
        if payment is None:
            raise FindingRefused("the case is about no payment of ours: close it without --as")
        occasion = self.transitions.occasion(Source.CASE, asked_after_end=True)
        if refund is not None:
            return found_about_refund(payment, refund, finding, occasion)
        return found_about_payment(payment, _shown(payment, case.attempt_id), finding, occasion)

    def _thawed(self, payment: Payment) -> Change | None:
        if payment.frozen_at is None:
            return None
        return thawed(payment, self.transitions.occasion(Source.CASE))


def _shown(payment: Payment, attempt_id: str | None) -> Attempt:
    """The attempt that the case shows; else the one that froze the payment; else the one that
    counts now.
    """
    frozen_by = payment.frozen_by if payment.frozen_at is not None else None
    for wanted in (attempt_id, frozen_by):
        for attempt in payment.attempts:
            if attempt.id == wanted:
                return attempt
    return payment.current
