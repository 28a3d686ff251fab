"""The trade book: what every trade at every channel account is, rebuilt from the ledger and changed
only through it.

`Book.post` writes one record and applies it at once; whoever answers a caller waits for
`Book.durable` first.

Acts: `shown` (a QR whose trade does not exist yet), `opened` (a trade waits for its payer),
`charged`, `declined`, `closed` (unpaid), `reversed` (paid, given back by cancel),
`refund_accepted`, `refunded`, `refund_abnormal`.
"""

import datetime as dt
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from sandbox.ledger import Ledger, read_ledger

PENDING, CHARGED, REVERSED, REFUNDED, CLOSED = (
    "pending",
    "charged",
    "reversed",
    "refunded",
    "closed",
)


@dataclass(slots=True)
class Refund:
    """One refund of a trade, by the merchant's refund number.

    Amount in fen; `state`: processing, succeeded, abnormal.
    """

    number: str
    channel_number: str
    amount: int
    state: str
    created_at_ms: int
    finished_at_ms: int | None = None
    notify_url: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Trade:
    """One merchant order number at one account.

    Amounts in fen, times in epoch milliseconds of the channel's clock.
    """

    channel: str
    account: str
    out_trade_no: str
    channel_trade_no: str
    amount: int
    flow: str
    state: str
    created_at_ms: int
    content: str = ""  # digest of what the channel compares when the number comes again
    at: str = ""
    refunded: int = 0  # fen given back by refunds that succeeded
    reserved: int = 0  # fen of refunds accepted or succeeded
    declined: str = ""  # the channel's word for the last refusal, while nothing was paid
    exists: bool = True  # False: a QR that nobody scanned
    paid_at_ms: int | None = None
    closed_at_ms: int | None = None
    expires_at_ms: int | None = None
    pays_at_ms: int | None = None
    notify_url: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    refunds: dict[str, Refund] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    record: int = 0  # number of its last ledger record
    visible_from: float = 0.0  # monotonic seconds; queries do not see it before
    told_first: Any = None  # a callback the answer has to wait for (fault `callback_before_reply`)

    def public(self) -> dict[str, Any]:
        """The row of `GET /_control/ledger`."""
        return {
            "channel": self.channel,
            "account": self.account,
            "out_trade_no": self.out_trade_no,
            "channel_trade_no": self.channel_trade_no,
            "amount": self.amount,
            "state": self.state,
            "refunded": self.refunded,
            "at": self.at,
            "history": self.history,
        }


class AccountBook:
    """The trades of one account, by every number a caller may know."""

    def __init__(self) -> None:
        self.trades: dict[str, Trade] = {}
        self.by_channel_number: dict[str, Trade] = {}
        self.refunds: dict[str, tuple[Trade, Refund]] = {}
        self.rows: list[Trade] = []


class Book:
    """All trades. One process, one event loop: nothing else writes."""

    def __init__(self) -> None:
        self.rows: list[Trade] = []
        self._accounts: dict[tuple[str, str], AccountBook] = {}
        self._channels: dict[str, list[Trade]] = {}
        self._by_number: dict[str, list[Trade]] = {}
        self._spent_codes: dict[str, set[str]] = {}
        self._ledger: Ledger | None = None

    def load(self, ledger: Ledger) -> None:
        """Rebuilds everything from the ledger's file, then writes to it."""
        for record in read_ledger(ledger.path):
            self._apply(record)
        self._ledger = ledger

    def post(
        self,
        channel: str,
        account: str,
        out_trade_no: str,
        act: str,
        *,
        amount: int,
        number: str,
        **fact: Any,
    ) -> Trade:
        """One act, applied now and durable when `durable(trade)` returns.

        `number`: the channel's trade or the refund number.
        """
        assert self._ledger is not None, "load() comes first"
        at = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        record: dict[str, Any] = {
            "at": at,
            "channel": channel,
            "account": account,
            "out_trade_no": out_trade_no,
        }
        record |= {"act": act, "amount": amount, "number": number, "fact": fact}
        number_in_ledger = self._ledger.append(msgspec.json.encode(record))
        trade = self._apply(record)
        trade.record = number_in_ledger
        return trade

    async def durable(self, trade: Trade | None = None) -> None:
        """Returns when the trade's last record (default: every record) is fsynced."""
        assert self._ledger is not None, "load() comes first"
        await self._ledger.durable(trade.record if trade else None)

    def account(self, channel: str, account: str) -> AccountBook:
        """The trades of one account; an empty book for a new one."""
        return self._accounts.setdefault((channel, account), AccountBook())

    def rows_of(self, channel: str | None, account: str | None) -> list[Trade]:
        """Trades in the order of their first record; it only grows, so an offset is a cursor."""
        if channel is None:
            return self.rows
        if account is None:
            return self._channels.get(channel, [])
        return self.account(channel, account).rows

    def by_number(self, out_trade_no: str) -> list[Trade]:
        """Trades of all accounts that carry this merchant order number."""
        return self._by_number.get(out_trade_no, [])

    def is_code_spent(self, channel: str, digest: str) -> bool:
        """A payment code is the customer's at the whole channel: used once, used everywhere."""
        return digest in self._spent_codes.setdefault(channel, set())

    def pending(self, channel: str, account: str) -> Iterator[Trade]:
        """Trades that wait for their payer; read once at start."""
        return (trade for trade in self.account(channel, account).rows if trade.state == PENDING)

    def _apply(self, record: dict[str, Any]) -> Trade:
        fact = record["fact"]
        book = self.account(record["channel"], record["account"])
        trade = book.trades.get(record["out_trade_no"])
        if trade is None:
            trade = self._enter(book, record)
        trade.at = record["at"]
        trade.history.append({key: record[key] for key in ("act", "amount", "number", "at")})
        if code := fact.get("code"):
            self._spent_codes.setdefault(trade.channel, set()).add(code)
        _APPLY[record["act"]](trade, record, book)
        if trade.channel_trade_no:
            book.by_channel_number[trade.channel_trade_no] = trade
        return trade

    def _enter(self, book: AccountBook, record: dict[str, Any]) -> Trade:
        channel, account, number = record["channel"], record["account"], record["out_trade_no"]
        trade = Trade(
            channel,
            account,
            number,
            "",
            record["amount"],
            "code",
            PENDING,
            record["fact"].get("created_at_ms", 0),
        )
        book.trades[number] = trade
        for rows in (
            book.rows,
            self.rows,
            self._channels.setdefault(channel, []),
            self._by_number.setdefault(number, []),
        ):
            rows.append(trade)
        return trade


def now_ms() -> int:
    """Wall time in epoch milliseconds, before a channel's clock offset."""
    return int(time.time() * 1000)


def _terms(trade: Trade, record: dict[str, Any]) -> None:
    """The order's terms travel with the first act; a later act may renew some of them (a second
    code, a new limit).
    """
    trade.amount = record["amount"]
    for name in (
        "channel_trade_no",
        "flow",
        "content",
        "expires_at_ms",
        "pays_at_ms",
        "notify_url",
        "created_at_ms",
    ):
        if name in record["fact"]:
            setattr(trade, name, record["fact"][name])
    trade.extra |= record["fact"].get("extra", {})


def _shown(trade: Trade, record: dict[str, Any], _: AccountBook) -> None:
    _terms(trade, record)
    trade.state, trade.exists = PENDING, False


def _opened(trade: Trade, record: dict[str, Any], _: AccountBook) -> None:
    _terms(trade, record)
    trade.state, trade.exists, trade.declined = PENDING, True, ""


def _charged(trade: Trade, record: dict[str, Any], _: AccountBook) -> None:
    _terms(trade, record)
    trade.state, trade.exists, trade.declined = CHARGED, True, ""
    trade.paid_at_ms = record["fact"]["paid_at_ms"]


def _declined(trade: Trade, record: dict[str, Any], _: AccountBook) -> None:
    _terms(trade, record)
    trade.state, trade.exists = CLOSED, record["fact"]["exists"]
    trade.declined = record["fact"]["word"]


def _closed(trade: Trade, record: dict[str, Any], _: AccountBook) -> None:
    _terms(trade, record)
    trade.state, trade.exists, trade.declined = CLOSED, record["fact"].get("exists", True), ""
    trade.closed_at_ms = record["fact"]["closed_at_ms"]


def _reversed(trade: Trade, record: dict[str, Any], _: AccountBook) -> None:
    trade.state, trade.closed_at_ms = REVERSED, record["fact"]["closed_at_ms"]


def _refund_accepted(trade: Trade, record: dict[str, Any], book: AccountBook) -> None:
    fact = record["fact"]
    refund = Refund(
        record["number"],
        fact["channel_number"],
        record["amount"],
        "processing",
        fact["created_at_ms"],
    )
    refund.notify_url, refund.extra = fact.get("notify_url"), fact.get("extra", {})
    trade.refunds[refund.number] = refund
    book.refunds[refund.number] = (trade, refund)
    trade.reserved += refund.amount


def _refunded(trade: Trade, record: dict[str, Any], _: AccountBook) -> None:
    refund = trade.refunds[record["number"]]
    refund.state, refund.finished_at_ms = "succeeded", record["fact"]["finished_at_ms"]
    trade.refunded += refund.amount
    trade.state = REFUNDED
    if trade.refunded == trade.amount:
        trade.closed_at_ms = refund.finished_at_ms


def _refund_abnormal(trade: Trade, record: dict[str, Any], _: AccountBook) -> None:
    refund = trade.refunds[record["number"]]
    refund.state, refund.finished_at_ms = "abnormal", record["fact"]["finished_at_ms"]


_APPLY = {
    "shown": _shown,
    "opened": _opened,
    "charged": _charged,
    "declined": _declined,
    "closed": _closed,
    "reversed": _reversed,
    "refund_accepted": _refund_accepted,
    "refunded": _refunded,
    "refund_abnormal": _refund_abnormal,
}
