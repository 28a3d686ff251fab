"""After the database was restored from a backup: the books are minutes old, and the channels are not.

While the mode stands, nothing is opened for a tender before every channel account that could have seen it was asked about the order
numbers the tender would use. They follow from (merchant, order, tender, n) alone, so the lost payment had the same ones. What a channel
knows is relearned: paid is booked as paid and the till hears so; another amount freezes; undecided is opened in doubt, for the sweeper;
closed is a spent number. An account that cannot be asked may hold a charge: then nobody charges again until it answers.

An attempt that was never sent leaves a gap in the numbers that its channel knows, so the search ends only after as many unknown numbers
in a row as one payment may have attempts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import structlog
from msgspec.structs import replace

from adapters.channel import Flow, TradeRef
from gateway.clock import Clock, Ids
from gateway.domain import outcomes as o
from gateway.domain.errors import RestoredUnsure
from gateway.domain.identifiers import out_trade_no
from gateway.domain.payment import Payment
from gateway.flow.channel_call import ChannelCalls
from gateway.flow.commands import Paid
from gateway.flow.opening import Draft
from gateway.flow.order_desk import OrderDesk
from gateway.flow.ports import Account, Directory, Opened, Store
from gateway.flow.routing import Choice, Route
from gateway.flow.transition import Transitions
from gateway.limits import ATTEMPTS_MAX, RESTORED_NUMBERS_MAX, SEND_DEADLINE_MS
from gateway.telemetry.metrics import RELEARNED

log = structlog.get_logger("tillgate.restored")
WHY = "relearned after a restore: this account knows the number"


class _Word(NamedTuple):
    """What one account says about one number."""

    n: int
    account: Account
    outcome: o.QueryOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """Asks before anything is opened."""

    store: Store
    directory: Directory
    transitions: Transitions
    calls: ChannelCalls
    orders: OrderDesk
    clock: Clock
    ids: Ids

    async def relearned(self, draft: Draft) -> tuple[Draft, Paid | None]:
        """The draft with the first number nobody knows; and the payment, where a channel knew of it. Raises `RestoredUnsure`."""
        if self.directory.restored_from() is None or await self._in_the_books(draft):
            return draft, None
        first_n, unknown = 1, 0
        while unknown < ATTEMPTS_MAX:
            numbers = range(first_n + unknown, first_n + ATTEMPTS_MAX)
            if numbers.stop > RESTORED_NUMBERS_MAX:
                raise RestoredUnsure("the channels know very many attempts of this tender: ask for help before charging it")
            words = await self._asked(draft, numbers)
            live = next((word for word in words if _moves_money(word.outcome)), None)
            if live is not None:
                paid = await self._opened(draft, live)
                return draft, paid
            if any(_says_nothing(word.outcome) for word in words):
                raise RestoredUnsure
            spent = max((word.n for word in words if not isinstance(word.outcome, o.NotFound)), default=0)
            unknown = numbers.stop - max(first_n, spent + 1)
            first_n = max(first_n, spent + 1)
        return replace(draft, first_n=first_n), None

    async def _in_the_books(self, draft: Draft) -> bool:
        """The key is bound: the books know this very request, and answer it."""
        return await self.store.payment_by_key(draft.caller.merchant_id, draft.key) is not None

    async def _asked(self, draft: Draft, numbers: Sequence[int]) -> list[_Word]:
        """All accounts about all numbers, side by side. What the books know of a number is not asked again: it is spent or holds."""
        accounts = [each for each in self.directory.accounts(draft.caller.merchant_id) if _could_have_seen(each, draft)]
        return await asyncio.gather(*(self._ask(draft, n, account) for n in numbers for account in accounts))

    async def _ask(self, draft: Draft, n: int, account: Account) -> _Word:
        assert account.channel is not None
        number = _number(draft, n)
        if await self.store.payment_by_trade(account.id, number) is not None:
            return _Word(n, account, o.Closed(was_charged=None))
        trade = TradeRef(
            out_trade_no=number,
            amount=draft.command.amount,
            currency=draft.command.currency,
            flow=_flow(draft, account),
            sent_at=draft.now,
            channel_trade_no=None,
            deadline=self.clock.monotonic() + SEND_DEADLINE_MS / 1000,
        )
        return _Word(n, account, await self.calls.made(account, "query", account.channel.query, trade))

    async def _opened(self, draft: Draft, word: _Word) -> Paid | None:
        """In the books as sent, and at once what the channel says of it. None when somebody else was faster: the books answer."""
        choice = Choice(account=word.account, why=WHY)
        route = Route(flow=_flow(draft, word.account), store_id=draft.route.store_id, choices=(choice,))
        opening = replace(draft, route=route, choice=choice, now=self.clock.now()).remote(self.ids, word.n)
        if not isinstance(await self.orders.open(opening, draft), Opened):
            return None
        payment = opening.payment
        told = word.outcome if isinstance(word.outcome, o.Succeeded | o.Mismatch) else o.Unknown(reason="relearned")
        payment = await self.transitions.learn(payment, payment.current.out_trade_no, told, "relearned")
        RELEARNED.labels(word.account.manifest.channel, payment.status).inc()
        log.warning("payment_relearned", payment=payment.id, account=word.account.id, status=payment.status)
        await self._close_case(payment, word.account)
        return Paid(payment, replayed=False)

    async def _close_case(self, payment: Payment, account: Account) -> None:
        """A callback about this number may have come while the books did not know it."""
        about = f"{account.id}:{payment.current.out_trade_no}"
        reason = f"relearned after a restore as {payment.id}"
        await self.store.settle_case(payment.merchant_id, about, "callback_unknown_number", reason=reason, now=self.clock.now())


def _could_have_seen(account: Account, draft: Draft) -> bool:
    """Drained ones too: that keeps new payments away, not old ones."""
    return account.enabled and account.channel is not None and account.store_id in (None, draft.route.store_id)


def _flow(draft: Draft, account: Account) -> Flow:
    """How the lost payment was made nobody knows; a request over the same channel is probably its repeat."""
    return draft.route.flow if draft.route.account.manifest.channel == account.manifest.channel else Flow.CODE


def _number(draft: Draft, n: int) -> str:
    command = draft.command
    return out_trade_no(draft.environment, draft.caller.merchant_id, command.order_no, command.tender_no, n)


def _moves_money(outcome: o.QueryOutcome) -> bool:
    return isinstance(outcome, o.Succeeded | o.Mismatch | o.Pending | o.PayerActionNeeded)


def _says_nothing(outcome: o.QueryOutcome) -> bool:
    return isinstance(outcome, o.Unknown | o.NotSent | o.AlreadyExists)
