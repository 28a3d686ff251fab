"""The tables of the store in memory, for its rooms to share and for tests to look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from gateway.domain.case import Case, Finding
from gateway.domain.change import Event, Posting
from gateway.domain.order import Override
from gateway.domain.payment import Payment, Refund
from gateway.domain.words import Numbering
from gateway.flow.ports import StoredCallback

Key = tuple[str, str]
Beside = tuple[str, str, Numbering]  # merchant, store and numbering of a claim


@dataclass(frozen=True, slots=True)
class KeptClaim:
    """The uniqueness rules of one payment."""

    payment_id: str
    merchant_id: str
    store_id: str
    order_no: str
    tender_no: int
    numbering: Numbering
    idempotency_key: str
    first_n: int
    holds: bool
    fingerprint: bytes

    def beside(self, merchant_id: str, store_id: str, numbering: Numbering) -> bool:
        """Whether it may not stand beside an equal claim of that store, made by that numbering."""
        by_merchant = numbering == self.numbering == Numbering.BY_MERCHANT
        return merchant_id == self.merchant_id and (by_merchant or store_id == self.store_id)


@dataclass(frozen=True, slots=True)
class KeptEvent:
    """One row of the log, at `place`."""

    place: tuple[int, int]
    merchant_id: str
    event: Event


@dataclass(frozen=True, slots=True)
class KeptCase:
    """A case, what was found out about it and, once it is closed, by whom and why."""

    merchant_id: str
    object_id: str
    case: Case
    closed: tuple[datetime, str, str] | None = None
    proposed: tuple[Finding, str] | None = None  # the finding, and by whom
    confirmed_by: str | None = None


class MemoryTables:
    """Rows by (merchant, id), unless a comment says otherwise; `now` is the store's own clock."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self.claims: dict[Key, KeptClaim] = {}  # by merchant and payment
        self.payment_rows: dict[Key, Payment] = {}
        self.refund_rows: dict[Key, Refund] = {}
        self.transaction = 0  # the last one that wrote
        self.log: list[KeptEvent] = []
        self.journal: list[tuple[str, Posting]] = []
        self.callbacks: dict[Key, tuple[StoredCallback, bool]] = {}
        self.cases: list[KeptCase] = []
        # (merchant, store, order) -> its amount, once a tender said it.
        self.orders: dict[tuple[str, str, str], int | None] = {}
        # As `orders`, of claims by merchant.
        self.merchant_orders: dict[Key, int | None] = {}
        # Merchant, the payment let in, the risk record.
        self.overrides: list[tuple[str, str, Override]] = []
        self.trades: dict[str, Key] = {}  # every out_trade_no -> its payment
        self.beats: dict[str, datetime] = {}
        self.visits: dict[str, datetime] = {}  # out_trade_no -> when the last one began
