"""What the flow needs from the world.

Each port has a real implementation and a verified fake, held to one contract suite.

Store errors: `StoreUnavailable` when nothing can have been written, `OutcomePending` when it may
have been, `StoreRefused` for a defect.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from adapters.channel import Manifest
from gateway.clock import Clock, Ids
from gateway.domain.audit import AskedBy
from gateway.domain.case import Case, CaseKind
from gateway.domain.change import Change, Opening
from gateway.domain.days import Days
from gateway.domain.holder import Holder
from gateway.domain.identifiers import Numbers
from gateway.domain.order import OrderRefusal, OrderTerms
from gateway.domain.payment import Payment, Refund
from gateway.domain.refund_limits import NO_LIMITS, RefundLimits
from gateway.domain.routing_rules import RuleSet
from gateway.domain.words import Numbering
from gateway.flow.accounts import Account, LocalAccount, RemoteAccount
from gateway.flow.due import DueAttempt, DueRefund, Places
from gateway.flow.lists import PaymentFilter, RefundFilter
from security.secret import Secret

# --- who asks, and over which accounts


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A live or revoked key. `store_id`/`terminal_id` are None for merchant keys.

    `misplaced`: a test key, where this installation takes none.
    """

    id: str
    merchant_id: str
    store_id: str | None
    terminal_id: str | None
    role: str
    secret: Secret
    revoked: bool
    misplaced: bool = False
    refund_limits: RefundLimits = NO_LIMITS


class Directory(Protocol):
    """The in-memory snapshot of keys, stores and accounts, kept by delta; no lookup does I/O."""

    def key(self, key_id: str) -> ApiKey | None:
        """The key, revoked ones included."""
        ...

    def account(self, account_id: str) -> Account | None:
        """The account, disabled ones included."""
        ...

    def remote_account(self, account_id: str) -> RemoteAccount | None:
        """As `account`, when its channel can be called."""
        ...

    def remote_accounts(self, merchant_id: str) -> Sequence[RemoteAccount]:
        """Those of the merchant whose channels can be called, in order of priority."""
        ...

    def local_accounts(self, merchant_id: str) -> Sequence[LocalAccount]:
        """Those of the merchant that are in our own books, in order of priority."""
        ...

    def disabled(
        self, merchant_id: str, store_id: str | None, terminal_id: str | None = None
    ) -> Holder | None:
        """The widest of these that was disabled: it takes no new payment, and its keys sign
        nothing.
        """
        ...

    def store_exists(self, merchant_id: str, store_id: str) -> bool:
        """Whether the merchant has this store."""
        ...

    def numbering(self) -> Numbering:
        """Whose a new payment's order number is: its store's, once every living worker knows that
        rule.
        """
        ...

    def days(self) -> Days:
        """Where business days and bill days begin, and by which rule new payments belong to one."""
        ...

    def overrides_allowed(self, merchant_id: str, store_id: str) -> bool:
        """Whether a supervisor may let another payment in while one of this store is in doubt."""
        ...

    def rules(self, merchant_id: str, store_id: str) -> RuleSet | None:
        """The newest rule set of the store; where it has none, or an empty one, the merchant's."""
        ...

    def webhook_origins(self, merchant_id: str) -> frozenset[str]:
        """The origins (`scheme://host[:port]`) of the merchant's enabled webhook endpoints."""
        ...

    def restored_from(self) -> datetime | None:
        """While "restored" mode stands: the moment from which the books may lack what the channels
        did.
        """
        ...

    def restored_at(self) -> datetime | None:
        """While it stands: the moment it began.

        What was opened before may have gone on in the time that was lost.
        """
        ...

    def manifests(self) -> Mapping[str, Manifest]:
        """The channels that are installed."""
        ...

    def fresh(self) -> bool:
        """Whether the snapshot is young enough to decide on; if not, writes answer 503."""
        ...


# --- the store


@dataclass(frozen=True, slots=True)
class Opened:
    """Write 1 is durable. `case_opened`: with the case of its override, where none stood open."""

    case_opened: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class KeyTaken:
    """The idempotency key is bound: to this payment, under this fingerprint."""

    payment: Payment
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class TenderTaken:
    """Another payment holds the order tender."""

    payment: Payment


@dataclass(frozen=True, slots=True)
class NumberTaken:
    """Earlier payments of the tender ended uncharged; their highest attempt count."""

    highest_n: int


@dataclass(frozen=True, slots=True)
class OrderSplit:
    """Several tenders may pay this order: open in it, by `open_in_order`."""


@dataclass(frozen=True, slots=True)
class Applied:
    """The change is durable. `case_opened`: with its case, where none stood open."""

    case_opened: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Stale:
    """Somebody else changed the payment first; nothing was written."""


@dataclass(frozen=True, slots=True)
class RefundTaken:
    """The refund number or its idempotency key is bound already; nothing was written."""


class StoreRefused(Exception):
    """The store's own rules refuse what the program believed in: a defect of ours, and no answer to
    anybody. Nothing was written.

    Named as asyncpg names them; `words` is the store's sentence, without the row.
    """

    def __init__(self, sqlstate: str, constraint_name: str | None, words: str = "") -> None:
        super().__init__(f"{sqlstate} {constraint_name or words}")
        self.sqlstate, self.constraint_name, self.words = sqlstate, constraint_name, words


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events in commit order, as stored: `rows` are complete JSON objects."""

    rows: tuple[bytes, ...]
    next_cursor: str | None
    has_more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCallback:
    """A verified callback, as it came."""

    account_id: str
    event_key: str
    out_trade_no: str
    kind: str
    body: bytes
    received_at: datetime


class Store(Protocol):
    """Postgres decides. Every method is one round trip unless it says otherwise."""

    async def open(
        self, opening: Opening
    ) -> Opened | KeyTaken | TenderTaken | NumberTaken | OrderSplit:
        """Write 1, through the group writer."""
        ...

    async def open_in_order(
        self, opening: Opening, terms: OrderTerms
    ) -> Opened | KeyTaken | TenderTaken | NumberTaken | OrderRefusal | Stale:
        """Write 1 under the order's lock; splits the order.

        One transaction of several round trips, a few milliseconds.

        `Stale`: the payment that the override names has changed since it was judged; judge it anew.
        All but `Opened` wrote nothing.
        """
        ...

    async def apply(self, change: Change) -> Applied | Stale | RefundTaken:
        """Compare `change.payment.version - 1` and write all of it or nothing,
        through the group writer.

        Raises `StoreRefused` for what the store's own rules do not allow, and `RefundLimitReached`.
        """
        ...

    async def payment(self, merchant_id: str, payment_id: str) -> Payment | None:
        """With its attempts."""
        ...

    async def payment_by_key(
        self, merchant_id: str, store_id: str, idempotency_key: str
    ) -> KeyTaken | None:
        """What an idempotency key is bound to in this store."""
        ...

    async def payment_by_trade(self, account_id: str, out_trade_no: str) -> Payment | None:
        """By the channel's order number; the account must be that attempt's."""
        ...

    async def payments(self, merchant_id: str, wanted: PaymentFilter) -> Sequence[Payment]:
        """Newest first; at most `limit` + 1."""
        ...

    async def newer(self, known: Sequence[tuple[str, str, int]]) -> Sequence[Payment]:
        """Of the payments (merchant, id, version): those that have a higher version by now."""
        ...

    async def refund(self, merchant_id: str, refund_id: str) -> Refund | None: ...

    async def refund_by_number(self, merchant_id: str, refund_no: str) -> Refund | None: ...

    async def refund_by_key(
        self, merchant_id: str, store_id: str, idempotency_key: str
    ) -> Refund | None: ...

    async def given_back(self, merchant_id: str, asked_by: str, business_date: str) -> int:
        """Fen of the day's refunds that this till, or this key without a till, asked for and that
        did not fail.
        """
        ...

    async def refunds_of(self, merchant_id: str, payment_id: str) -> Sequence[Refund]:
        """Oldest first."""
        ...

    async def refunds(self, merchant_id: str, wanted: RefundFilter) -> Sequence[Refund]:
        """Newest first; at most `limit` + 1."""
        ...

    async def events(self, merchant_id: str, after: str | None, limit: int) -> EventPage:
        """Public events in commit order. Raises `FieldInvalid` for a cursor nobody issued."""
        ...

    async def take_due_attempts(
        self, places: Places, lease_ms: int, worker_lease_ms: int
    ) -> Sequence[DueAttempt]:
        """Lease attempts that are due, longest due first; one that is still `sent` only past
        `send_by`, when its worker is gone or silent.

        Judged by the store's own clock. `SKIP LOCKED`: two takers share.
        """
        ...

    async def take_due_refunds(self, places: Places, lease_ms: int) -> Sequence[DueRefund]:
        """Lease undecided refunds that are due; else as `take_due_attempts`."""
        ...

    async def hasten(self, merchant_id: str, payment_id: str, pace_ms: int) -> None:
        """A till looks at an undecided payment: its next visit is due now, unless one began (or it
        was sent) less than `pace_ms` ago.
        """
        ...

    async def keep_callback(self, callback: StoredCallback) -> bool:
        """Store it; True while its effect is still owed: a callback kept by a worker that died is
        applied by the channel's resend.
        """
        ...

    async def callback_applied(self, account_id: str, event_key: str) -> None:
        """Note that its effect is durable."""
        ...

    async def open_case(self, merchant_id: str, object_id: str, case: Case) -> bool:
        """One open case per kind and object. Whether this one was opened."""
        ...

    async def close_case(
        self, case_id: str, *, closed_by: AskedBy, reason: str, now: datetime
    ) -> None: ...

    async def settle_case(
        self, merchant_id: str, object_id: str, kind: CaseKind, *, reason: str, now: datetime
    ) -> None:
        """Close the open case of this kind about this object, if there is one: what it asked was
        answered by the gateway itself.
        """
        ...

    async def beat(self, worker_id: str) -> datetime:
        """The worker lives. Returns what the store's own clock says."""
        ...


# --- Redis: saved work


class Claims(Protocol):
    """Claims on an idempotency key.

    Losing, breaking or being granted one wrongly changes speed only.
    """

    async def take(self, key: str, token: str) -> bool | None:
        """False: another request holds it. None: Redis is not there (go on, Postgres decides)."""
        ...

    def release(self, key: str, token: str) -> None:
        """Compare and delete, in the order in which it was asked for; never raises.

        Nothing waits for it: a claim that stays runs out by itself.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What nearly every part of the road needs."""

    store: Store
    directory: Directory
    clock: Clock
    ids: Ids
    numbers: Numbers
