"""After a restore: which attempt of a tender do the channels know, that the books have lost?

The order numbers follow from (merchant, store, order, tender, n) alone, so a lost attempt had the
number that we would give the next one; by which numbering, its row knew, so both are asked about.
An attempt that was never sent leaves a gap in the numbers that its
channel knows, so the search ends only after as many unknown numbers in a row as one payment may
have attempts. An account that cannot be asked may hold a charge: then nothing is found, and nothing
is ruled out.

Asked before anything is opened (`flow.open.restored`), and before a payment from before the
restore ends uncharged: its later attempt may have charged, and then the end is that of one attempt
only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog
from msgspec.structs import replace

from gateway.domain import outcomes as o
from gateway.domain.change import Change
from gateway.domain.errors import RestoredUnsure
from gateway.domain.learning import learned
from gateway.domain.occasion import Occasion
from gateway.domain.payment import Attempt, Payment
from gateway.domain.relearned import gone_on
from gateway.domain.states import PAYMENT_UNCHARGED
from gateway.domain.statuses import AttemptStatus, PaymentStatus
from gateway.domain.tender import Tender, tender_of
from gateway.domain.words import Numbering
from gateway.flow.accounts import RemoteAccount
from gateway.flow.call.channel_call import ChannelCalls
from gateway.flow.learn.schedule import not_after
from gateway.flow.ports import Ports
from gateway.limits import ATTEMPTS_MAX, DIRECTORY_AGE_MS_MAX, RESTORED_NUMBERS_MAX
from gateway.telemetry.metrics import RELEARNED

log = structlog.get_logger("tillgate.restored")
WHY = "relearned after a restore: this account knows the number"
# A worker may have opened payments for so long before it saw that the mode stands.
UNSEEN = timedelta(milliseconds=DIRECTORY_AGE_MS_MAX)


class Word(NamedTuple):
    """What one account says about one number."""

    n: int
    numbering: Numbering
    account: RemoteAccount
    outcome: o.QueryOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class LostAttempts:
    """Asks all accounts. Opens and sends nothing."""

    ports: Ports
    calls: ChannelCalls

    async def search(self, tender: Tender, *, sent_at: datetime, first_n: int) -> Word | int:
        """The word that speaks of money, or the first number that no channel knows.

        `sent_at`: no lost attempt was sent later. Raises `RestoredUnsure`.
        """
        unknown = 0
        while unknown < ATTEMPTS_MAX:
            numbers = range(first_n + unknown, first_n + ATTEMPTS_MAX)
            if numbers.stop > RESTORED_NUMBERS_MAX:
                raise RestoredUnsure(
                    "the channels know very many attempts of this tender: "
                    "ask for help before charging it"
                )
            words = await self._ask_all(tender, sent_at, numbers)
            live = next((word for word in words if _moves_money(word.outcome)), None)
            if live is not None:
                return live
            if any(_says_nothing(word.outcome) for word in words):
                raise RestoredUnsure
            spent = max(
                (word.n for word in words if not isinstance(word.outcome, o.NotFound)), default=0
            )
            unknown = numbers.stop - max(first_n, spent + 1)
            first_n = max(first_n, spent + 1)
        return first_n

    async def reconsider(self, payment: Payment, change: Change, occasion: Occasion) -> Change:
        """What to write of `payment` in place of `change`; the same, except for an end in
        "restored" mode that may be no end.

        A later attempt that a channel knows is opened in the same write, in doubt: nothing is sent
        for it, the sweeper asks. While an account cannot be asked, the answer that would have ended
        the payment counts as none, and is asked for again.
        """
        if not self._may_have_gone_on(payment, change):
            return change
        ended = payment.current
        try:
            found = await self.search(
                tender_of(payment), sent_at=occasion.now, first_n=ended.trade_number + 1
            )
        except RestoredUnsure:
            log.warning(
                "end_postponed",
                payment=payment.id,
                reason="an account that may hold a later attempt cannot be asked",
            )
            # A person may have let it go on: that stands.
            after = change.payment
            thawed = replace(payment, frozen_at=after.frozen_at, frozen_by=after.frozen_by)
            kept = learned(thawed, ended, o.Unknown(reason="restored_unsure"), occasion)
            assert kept is not None, "what ends was live, and silence about it is noted"
            return kept
        if isinstance(found, int):
            return change
        following = self._relearned(payment, ended, found, occasion.now)
        RELEARNED.labels(following.channel, PaymentStatus.IN_DOUBT).inc()
        log.warning(
            "attempt_relearned",
            payment=payment.id,
            account=following.channel_account,
            out_trade_no=following.out_trade_no,
        )
        return gone_on(payment, change, following, occasion)

    def _may_have_gone_on(self, payment: Payment, change: Change) -> bool:
        """A payment that was opened while the mode stood has no lost attempts: all accounts were
        asked before it was opened.
        """
        if change.payment.status not in PAYMENT_UNCHARGED or payment.status in PAYMENT_UNCHARGED:
            return False
        began = self.ports.directory.restored_at()
        return began is not None and payment.created_at < began + UNSEEN

    def _relearned(self, payment: Payment, ended: Attempt, word: Word, now: datetime) -> Attempt:
        """Times count from now: what can still act at the channel was sent before."""
        tender = replace(tender_at(word.account, tender_of(payment)), numbering=word.numbering)
        return Attempt(
            id=self.ports.ids.new("att"),
            number=ended.number + 1,
            trade_number=word.n,
            channel=word.account.manifest.channel,
            channel_account=word.account.id,
            out_trade_no=self.ports.numbers.trade(tender, word.n),
            status=AttemptStatus.IN_DOUBT,
            why=WHY,
            worker_id=ended.worker_id,
            sent_at=now,
            send_by=now,
            not_after=not_after(word.account, tender.flow, now, payment.expires_at),
            due_at=now,
        )

    async def _ask_all(
        self, tender: Tender, sent_at: datetime, numbers: Sequence[int]
    ) -> list[Word]:
        """All accounts about all numbers of either numbering, side by side."""
        accounts = [
            each
            for each in self.ports.directory.remote_accounts(tender.merchant_id)
            if _could_have_seen(each, tender)
        ]
        return await asyncio.gather(
            *(
                self._ask(account, replace(tender, numbering=numbering), sent_at, n)
                for n in numbers
                for numbering in Numbering
                for account in accounts
            )
        )

    async def _ask(self, account: RemoteAccount, tender: Tender, sent_at: datetime, n: int) -> Word:
        """What the books know of a number is not asked again: it is spent or holds. One of another
        store's payment, made by merchant, says nothing about this tender.
        """
        number, about = self.ports.numbers.trade(tender, n), (n, tender.numbering, account)
        known = await self.ports.store.payment_by_trade(account.id, number)
        if known is not None:
            is_ours = known.store_id == tender.store_id
            return Word(*about, o.Closed(was_charged=None) if is_ours else o.NotFound())
        asked = tender_at(account, tender)
        return Word(*about, await self.calls.query_number(account, asked, number, sent_at))


def tender_at(account: RemoteAccount, tender: Tender) -> Tender:
    """The tender as this account would have seen it.

    The books lost how the attempt was made: over the same channel probably as this tender is made,
    over another one probably by payment code, where it has that flow.
    """
    manifest = account.manifest
    if manifest.channel == tender.channel:
        return tender
    return replace(tender, channel=manifest.channel, flow=manifest.some_flow)


def _could_have_seen(account: RemoteAccount, tender: Tender) -> bool:
    """Drained ones too: that keeps new payments away, not old ones."""
    return account.enabled and account.store_id in (None, tender.store_id)


def _moves_money(outcome: o.QueryOutcome) -> bool:
    return isinstance(outcome, o.Succeeded | o.Mismatch | o.Pending | o.PayerActionNeeded)


def _says_nothing(outcome: o.QueryOutcome) -> bool:
    return isinstance(outcome, o.Silence)
