"""After a restore: which attempt of a tender do the channels know, that the books have lost?

The order numbers follow from (merchant, order, tender, n) alone, so a lost attempt had the number
that we would give the next one. An attempt that was never sent leaves a gap in the numbers that its
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

from adapters.channel import TradeRef
from gateway.clock import Clock, Ids
from gateway.domain import outcomes as o
from gateway.domain.change import Change
from gateway.domain.errors import RestoredUnsure
from gateway.domain.identifiers import out_trade_no
from gateway.domain.learning import learned
from gateway.domain.occasion import Occasion
from gateway.domain.payment import Attempt, Payment
from gateway.domain.relearned import gone_on
from gateway.domain.states import PAYMENT_UNCHARGED
from gateway.domain.statuses import AttemptStatus, PaymentStatus
from gateway.domain.words import Flow
from gateway.flow.call.channel_call import ChannelCalls
from gateway.flow.learn.schedule import not_after
from gateway.flow.ports import Account, Directory, Store
from gateway.limits import (
    ATTEMPTS_MAX,
    DIRECTORY_AGE_MS_MAX,
    RESTORED_NUMBERS_MAX,
    SEND_DEADLINE_MS,
)
from gateway.telemetry.metrics import RELEARNED

log = structlog.get_logger("tillgate.restored")
WHY = "relearned after a restore: this account knows the number"
# A worker may have opened payments for so long before it saw that the mode stands.
UNSEEN = timedelta(milliseconds=DIRECTORY_AGE_MS_MAX)


class Tender(NamedTuple):
    """What the numbers of a tender are made of, and what a query names.

    `sent_at`: no lost attempt was sent later. `amount` in fen.
    """

    merchant_id: str
    store_id: str
    order_no: str
    tender_no: int
    amount: int
    currency: str
    channel: str
    flow: Flow
    sent_at: datetime

    def flow_at(self, account: Account) -> Flow:
        """The books have lost how the attempt was made; one over the same channel was probably made
        as this one.
        """
        return self.flow if self.channel == account.manifest.channel else Flow.CODE


class Word(NamedTuple):
    """What one account says about one number."""

    n: int
    account: Account
    outcome: o.QueryOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class LostAttempts:
    """Asks all accounts. Opens and sends nothing."""

    store: Store
    directory: Directory
    calls: ChannelCalls
    clock: Clock
    ids: Ids
    environment: str

    async def search(self, tender: Tender, first_n: int) -> Word | int:
        """The word that speaks of money, or the first number that no channel knows.

        Raises `RestoredUnsure`.
        """
        unknown = 0
        while unknown < ATTEMPTS_MAX:
            numbers = range(first_n + unknown, first_n + ATTEMPTS_MAX)
            if numbers.stop > RESTORED_NUMBERS_MAX:
                raise RestoredUnsure(
                    "the channels know very many attempts of this tender: "
                    "ask for help before charging it"
                )
            words = await self._ask_all(tender, numbers)
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
            found = await self.search(self._tender(payment, occasion.now), ended.trade_number + 1)
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
        began = self.directory.restored_at()
        return began is not None and payment.created_at < began + UNSEEN

    def _tender(self, payment: Payment, now: datetime) -> Tender:
        p = payment
        return Tender(
            p.merchant_id,
            p.store_id,
            p.order_no,
            p.tender_no,
            p.amount,
            p.currency,
            p.channel,
            p.flow,
            now,
        )

    def _relearned(self, payment: Payment, ended: Attempt, word: Word, now: datetime) -> Attempt:
        """Times count from now: what can still act at the channel was sent before."""
        tender = self._tender(payment, now)
        return Attempt(
            id=self.ids.new("att"),
            number=ended.number + 1,
            trade_number=word.n,
            channel=word.account.manifest.channel,
            channel_account=word.account.id,
            out_trade_no=self._number(tender, word.n),
            status=AttemptStatus.IN_DOUBT,
            why=WHY,
            worker_id=ended.worker_id,
            sent_at=now,
            send_by=now,
            not_after=not_after(
                word.account, tender.flow_at(word.account), now, payment.expires_at
            ),
            due_at=now,
        )

    async def _ask_all(self, tender: Tender, numbers: Sequence[int]) -> list[Word]:
        """All accounts about all numbers, side by side.

        What the books know of a number is not asked again: it is spent or holds.
        """
        accounts = [
            each
            for each in self.directory.accounts(tender.merchant_id)
            if _could_have_seen(each, tender)
        ]
        return await asyncio.gather(
            *(self._ask(tender, n, account) for n in numbers for account in accounts)
        )

    async def _ask(self, tender: Tender, n: int, account: Account) -> Word:
        assert account.channel is not None
        number = self._number(tender, n)
        if await self.store.payment_by_trade(account.id, number) is not None:
            return Word(n, account, o.Closed(was_charged=None))
        trade = TradeRef(
            out_trade_no=number,
            amount=tender.amount,
            currency=tender.currency,
            flow=tender.flow_at(account),
            sent_at=tender.sent_at,
            channel_trade_no=None,
            deadline=self.clock.monotonic() + SEND_DEADLINE_MS / 1000,
        )
        return Word(
            n, account, await self.calls.made(account, "query", account.channel.query, trade)
        )

    def _number(self, tender: Tender, n: int) -> str:
        return out_trade_no(
            self.environment, tender.merchant_id, tender.order_no, tender.tender_no, n
        )


def _could_have_seen(account: Account, tender: Tender) -> bool:
    """Drained ones too: that keeps new payments away, not old ones."""
    return (
        account.enabled
        and account.channel is not None
        and account.store_id in (None, tender.store_id)
    )


def _moves_money(outcome: o.QueryOutcome) -> bool:
    return isinstance(outcome, o.Succeeded | o.Mismatch | o.Pending | o.PayerActionNeeded)


def _says_nothing(outcome: o.QueryOutcome) -> bool:
    return isinstance(outcome, o.Silence)
