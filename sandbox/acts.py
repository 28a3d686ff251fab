"""What can happen to money at one account: every act is a ledger record;
some happen by themselves later.

A customer finishes typing, an order expires, a slow refund completes: timers, set again from the
ledger after a restart. Expiry is also looked at whenever a trade is touched, so no answer depends
on a timer's punctuality.
"""

import asyncio
import functools
import secrets
import time
from collections.abc import Callable
from typing import Any, Protocol

from sandbox import limits
from sandbox.book import CHARGED, CLOSED, PENDING, REFUNDED, AccountBook, Book, Refund, Trade
from sandbox.channel import Account, Orders, RefundFate


class Listener(Protocol):
    """Who is told what became final: the callbacks."""

    def announce(self, kind: str, trade: Trade, refund: Refund | None) -> None:
        """A payment (`pay`) or a refund (`refund`) came to its end."""

    def ended(self, trade: Trade) -> None:
        """A trade was closed, reversed or refunded."""


class Acts:
    """The money side of one account.

    `listener` is set by whoever opens the account, before the first act.
    """

    listener: Listener

    def __init__(self, book: Book, account: Account, now_ms: Callable[[], int]) -> None:
        self.book = book
        self.mine: AccountBook = book.account(account.channel, account.account)
        self._account = account
        self._now_ms = now_ms
        self._timers: set[asyncio.TimerHandle] = set()

    def resume(self) -> None:
        """After a restart: customers go on typing, accepted refunds go on."""
        for trade in self.book.pending(self._account.channel, self._account.account):
            self._when_typed(trade)
        for trade, refund in self.mine.refunds.values():
            if refund.state == "processing":
                self._later(
                    refund.extra["due_ms"] - self._now_ms(),
                    functools.partial(self.finish_refund, trade, refund),
                )

    def stop(self) -> None:
        """Cancels the timers; the ledger still knows what is to come."""
        for timer in self._timers:
            timer.cancel()

    def find(self, out_trade_no: str = "", channel_number: str = "") -> Trade | None:
        """The trade as it is now, whether queries see it or not."""
        trade = (
            self.mine.trades.get(out_trade_no)
            if out_trade_no
            else self.mine.by_channel_number.get(channel_number)
        )
        if (
            trade
            and trade.state == PENDING
            and trade.expires_at_ms is not None
            and trade.expires_at_ms <= self._now_ms()
        ):
            self.expire(trade)
        return trade

    def see(self, out_trade_no: str = "", channel_number: str = "") -> Trade | None:
        """The trade as queries see it: they may lag behind an execution whose answer was lost."""
        trade = self.find(out_trade_no, channel_number)
        return trade if trade and trade.visible_from <= time.monotonic() else None

    def show(self, out_trade_no: str, amount: int, **terms: Any) -> Trade:
        """A QR is shown; the channel makes the trade only when it is scanned."""
        return self._post(out_trade_no, "shown", amount, "", flow="qr", **terms)

    def open(self, out_trade_no: str, amount: int, *, typing: bool = False, **terms: Any) -> Trade:
        """A trade waits for its payer;
        `typing`: the customer will pay by himself when the password is typed.
        """
        if typing:
            terms["pays_at_ms"] = self._now_ms() + limits.TYPING_MS[self._account.profile]
        trade = self._post(
            out_trade_no, "opened", amount, terms.get("channel_trade_no", ""), **terms
        )
        self._when_typed(trade)
        return trade

    def charge(self, out_trade_no: str, amount: int, **terms: Any) -> Trade:
        """The money moves to the merchant."""
        number = terms.get("channel_trade_no") or self.mine.trades[out_trade_no].channel_trade_no
        trade = self._post(
            out_trade_no, "charged", amount, number, paid_at_ms=self._now_ms(), **terms
        )
        self.listener.announce("pay", trade, None)
        return trade

    def decline(
        self, out_trade_no: str, amount: int, word: str, *, exists: bool, **terms: Any
    ) -> Trade:
        """The channel said no to this code; the code is spent.

        `exists`: whether a query finds an order.
        """
        return self._post(
            out_trade_no,
            "declined",
            amount,
            terms.get("channel_trade_no", ""),
            word=word,
            exists=exists,
            **terms,
        )

    def close(self, out_trade_no: str, amount: int, **terms: Any) -> Trade:
        """An unpaid trade (or, as a tombstone, a number never seen) can be paid no more."""
        trade = self._post(
            out_trade_no,
            "closed",
            amount,
            terms.get("channel_trade_no", ""),
            closed_at_ms=self._now_ms(),
            **terms,
        )
        self.listener.ended(trade)
        return trade

    def expire(self, trade: Trade) -> None:
        """The order's own time limit closes it;
        a QR that nobody scanned stays a number without a trade.
        """
        self.close(trade.out_trade_no, trade.amount, exists=trade.exists)

    def reverse(self, trade: Trade) -> None:
        """A paid trade is given back whole by cancel or reverse."""
        assert trade.state == CHARGED, "only an unrefunded charge is reversed"
        self._post(
            trade.out_trade_no,
            "reversed",
            trade.amount,
            trade.channel_trade_no,
            closed_at_ms=self._now_ms(),
        )
        self.listener.ended(trade)

    def refund(
        self,
        trade: Trade,
        number: str,
        amount: int,
        orders: Orders,
        *,
        by_itself_ms: int = 0,
        **terms: Any,
    ) -> Refund:
        """Accepts a refund; it finishes at once, or after `by_itself_ms`,
        or after the ordered delay.
        """
        assert is_paid(trade), "the desk has checked this"
        assert trade.reserved + amount <= trade.amount, "the desk has checked this"
        channel_number = f"50{secrets.randbelow(10**26):026d}"
        delay_ms = orders.refund_delay_ms if orders.refund is RefundFate.SLOW else by_itself_ms
        delay_ms = 0 if orders.refund_at_once else delay_ms
        extra = terms.pop("extra", {}) | {
            "fate": orders.refund.value,
            "due_ms": self._now_ms() + delay_ms,
        }
        fact = {
            "channel_number": channel_number,
            "created_at_ms": self._now_ms(),
            "extra": extra,
            **terms,
        }
        self._post(trade.out_trade_no, "refund_accepted", amount, number, **fact)
        refund = trade.refunds[number]
        if delay_ms:
            self._later(delay_ms, functools.partial(self.finish_refund, trade, refund))
        else:
            self.finish_refund(trade, refund)
        return refund

    def finish_refund(self, trade: Trade, refund: Refund) -> None:
        """The refund reaches the customer, or proves impossible,
        as was decided when it was accepted.
        """
        act = "refund_abnormal" if refund.extra["fate"] == RefundFate.ABNORMAL.value else "refunded"
        self._post(
            trade.out_trade_no, act, refund.amount, refund.number, finished_at_ms=self._now_ms()
        )
        self.listener.announce("refund", trade, refund)
        self.listener.ended(trade)

    def _post(self, out_trade_no: str, act: str, amount: int, number: str, **fact: Any) -> Trade:
        account = self._account
        if out_trade_no not in self.mine.trades:
            fact.setdefault("created_at_ms", self._now_ms())
        return self.book.post(
            account.channel,
            account.account,
            out_trade_no,
            act,
            amount=amount,
            number=number,
            **fact,
        )

    def _when_typed(self, trade: Trade) -> None:
        if trade.pays_at_ms is not None:
            self._later(trade.pays_at_ms - self._now_ms(), functools.partial(self._typed, trade))

    def _typed(self, trade: Trade) -> None:
        """A customer who typed in time has paid, though this process was away at that moment."""
        if trade.state != PENDING or trade.pays_at_ms is None:
            return
        if trade.expires_at_ms is None or trade.pays_at_ms < trade.expires_at_ms:
            self.charge(trade.out_trade_no, trade.amount)

    def _later(self, delay_ms: int, act: Callable[[], None]) -> None:
        def strike() -> None:
            self._timers.discard(timer)
            act()

        timer = asyncio.get_running_loop().call_later(max(0, delay_ms) / 1000, strike)
        self._timers.add(timer)


def is_paid(trade: Trade) -> bool:
    """Money is, or was, with the merchant through a payment that nothing reversed."""
    return trade.state in {CHARGED, REFUNDED}


def is_ended_unpaid(trade: Trade) -> bool:
    """Closed for good (a declined order may still be tried again)."""
    return trade.state == CLOSED and not trade.declined
