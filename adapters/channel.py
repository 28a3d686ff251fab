"""The contract between the flow and a channel.

`gateway.flow` knows this module and nothing else under `adapters`.

A channel is one folder with a `manifest.py` whose `MANIFEST` says what it can do (data), and whose
`build` makes the channel for one channel account. A remote channel has a `RemoteManifest` and
implements `Channel`; one that settles inside our own database (cash, member value) has a
`LocalManifest` and implements `LocalChannel`, which is pure.

Rules every adapter keeps, held by tests/conformance:
- nothing here resends: one call to a method is at most one request, to the host that the request
  names;
- an answer whose signature does not verify is `Unknown`, whatever it says;
- amount, order number and merchant of a "yes" are compared with ours: a difference is `Mismatch`;
- a code in no table is `Unknown` with the reason `UNLISTED_CODE`, which the flow counts;
- an outcome's `evidence` is what the channel said, whole: the flow bounds it and hides in it what
  the customer presented;
- auth codes and keys never reach a log or an exception text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, ClassVar, Final, Literal, Protocol, TypeAlias

from msgspec import Struct

from gateway.clock import Clock
from gateway.domain.days import BillDay as BillDay  # noqa: PLC0414 - a part of this contract
from gateway.domain.outcomes import (
    CancelOutcome,
    Closed,
    Declined,
    PayOutcome,
    QueryOutcome,
    RefundOutcome,
    RefundQueryOutcome,
    Succeeded,
)
from gateway.domain.presenting import Flow as Flow  # noqa: PLC0414 - a part of this contract
from gateway.domain.presenting import Presented

# The reasons of an `Unknown` that the flow counts: a word in no table; and a request that the
# channel's gate refused without a signature.
UNLISTED_CODE: Final = "unlisted_code"
REFUSED_UNSIGNED: Final = "refused_unsigned"

MAIN_HOST: Final = 0
SECOND_HOST: Final = 1


# `short`: ten times faster schedules, for accounts of demos and tests.
Profile: TypeAlias = Literal["standard", "short"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When an undecided payment of one flow is queried and cancelled (docs/architecture.md).

    Milliseconds after the pay was sent.

    `None` for a cancel time means: at the payment's own expiry (QR flows).
    """

    first_query_ms: int
    query_every_ms: int
    query_every_ms_max: int  # intervals double up to this; equal to query_every_ms: constant
    typing_cancel_ms: int | None  # the payer is typing a password
    unknown_cancel_ms: int | None  # the answer is unknown, or not found
    # Two queries said "not exist": cancel this early (None: as unknown).
    absent_cancel_ms: int | None
    cancel_not_before_ms: int  # earliest lawful moment of any cancel
    # not_after: the last moment the request can still act (None: the code's death, `expires_at`).
    acts_until_ms: int | None
    proof_margin_ms: int  # P4: a "not found" counts this long after not_after

    def shortened(self, times: int) -> Schedule:
        """The same schedule, `times` faster."""

        def cut(value: int | None) -> int | None:
            return None if value is None else value // times

        return replace(
            self,
            first_query_ms=self.first_query_ms // times,
            query_every_ms=self.query_every_ms // times,
            query_every_ms_max=self.query_every_ms_max // times,
            typing_cancel_ms=cut(self.typing_cancel_ms),
            unknown_cancel_ms=cut(self.unknown_cancel_ms),
            absent_cancel_ms=cut(self.absent_cancel_ms),
            cancel_not_before_ms=self.cancel_not_before_ms // times,
            acts_until_ms=cut(self.acts_until_ms),
            proof_margin_ms=self.proof_margin_ms // times,
        )


class Certificate(Struct, frozen=True, kw_only=True):
    """One certificate in an account's credentials.

    `name`: the field that it stands in; several may stand in one, of which any may be used.
    `fault`: why it is not to be trusted; None: nothing speaks against it.
    """

    name: str
    not_before: datetime
    not_after: datetime
    fault: str | None = None


class Transport(Protocol):
    """What carries the calls of one account. Its channel knows what more it can do."""

    async def aclose(self) -> None:
        """Close its connections."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What the process lends to transports and channels.

    `signing_executor`: where RSA signatures are made; the GIL is released there.
    """

    clock: Clock
    signing_executor: Executor


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What any channel can do, as data."""

    channel: str
    flows: frozenset[Flow]
    auth_codes: tuple[re.Pattern[str], ...]  # which payment codes are this channel's
    amount_max: int  # fen
    title_zh: str
    title_en: str

    def issues(self, auth_code: str) -> bool:
        """Whether this channel's payment codes look like this."""
        return any(pattern.fullmatch(auth_code) for pattern in self.auth_codes)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteManifest(Capabilities):
    """Of a channel that is asked over a network.

    `credentials` is the msgspec Struct an account's stored credentials decode to (its secret fields
    are `Secret`); it has a field `profile: Profile`. `transport(credentials, means)` makes what
    carries an account's calls, without I/O; `build(credentials, transport, clock)` its channel.
    """

    settles: ClassVar[Literal["remote"]] = "remote"
    schedules: Mapping[Flow, Schedule]
    bill_day: BillDay
    credentials: type[Any]
    transport: Callable[[Any, Means], Transport]
    build: Callable[[Any, Any, Clock], Channel]
    qr_expiry_step_s: int = 1  # an expiry is rounded up to this (Alipay: whole minutes)
    # For people who set an account up: a word of the channel's refusal -> what to do about it.
    advice: tuple[tuple[str, str], ...] = ()
    # Of credentials: the certificates in them. None: the channel has no certificates.
    certificates: Callable[[Any], Sequence[Certificate]] | None = None

    @property
    def some_flow(self) -> Flow:
        """A flow it has: for a query about a number of which no payment says how it was made."""
        return min(self.flows)

    def schedule(self, flow: Flow, profile: Profile) -> Schedule:
        """The schedule of an account's profile."""
        found = self.schedules[flow]
        return found.shortened(10) if profile == "short" else found


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalManifest(Capabilities):
    """Of a channel that settles in our own books: no wire, no credentials, no schedule."""

    settles: ClassVar[Literal["local"]] = "local"
    build: Callable[[], LocalChannel]


Manifest: TypeAlias = RemoteManifest | LocalManifest


def detect(auth_code: str, manifests: Mapping[str, Manifest]) -> str | None:
    """The one channel whose payment codes look like this.

    None when no channel's do, or more than one's: nothing is guessed.
    """
    matching = [name for name, manifest in manifests.items() if manifest.issues(auth_code)]
    return matching[0] if len(matching) == 1 else None


class PayRequest(Struct, frozen=True, kw_only=True):
    """One pay call. `presented`: how the customer pays, and what he presented.

    `deadline` is monotonic seconds: no request byte may leave after it (then the outcome is
    `NotSent`).

    `host`: which of the account's hosts is asked, `MAIN_HOST` or `SECOND_HOST`, below
    `Channel.hosts`; everything else is the same at both.
    """

    out_trade_no: str
    amount: int
    currency: str
    description: str
    presented: Presented
    store_id: str
    terminal_id: str
    operator_id: str
    sent_at: datetime  # aware, UTC
    not_after: datetime  # aware, UTC: goes out as the channel's absolute expiry where it has one
    notify_url: str | None
    deadline: float
    host: int = MAIN_HOST

    @property
    def flow(self) -> Flow:
        """The flow of what is presented."""
        return self.presented.flow


class TradeRef(Struct, frozen=True, kw_only=True):
    """What a query or a cancel names. `deadline` and `host` as in `PayRequest`."""

    out_trade_no: str
    amount: int
    currency: str
    flow: Flow
    sent_at: datetime
    channel_trade_no: str | None
    deadline: float
    host: int = MAIN_HOST


class RefundRequest(Struct, frozen=True, kw_only=True):
    """One refund, or the query of it.

    Every repeat carries the same `out_refund_no`. `deadline` and `host` as in `PayRequest`.
    """

    out_trade_no: str
    channel_trade_no: str | None
    out_refund_no: str
    total_amount: int  # fen captured by the trade
    refund_amount: int  # fen
    currency: str
    reason: str
    notify_url: str | None
    deadline: float
    host: int = MAIN_HOST


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """A verified callback. `event_key` is unique per channel event: a resend has the same one.

    `learned` is what it proves about the trade `out_trade_no`; `amount` is what the channel says,
    and differences are the flow's to judge. `refund` names our refund when the callback is about
    one.
    """

    event_key: str
    kind: Literal["pay", "refund"]
    out_trade_no: str
    amount: int | None
    learned: Succeeded | Closed | Declined | None
    out_refund_no: str | None = None
    refund: RefundOutcome | None = None


class CallbackRefused(Exception):
    """The callback is forged, a probe, stale, or for another merchant.

    Nothing may change. `reason` is a bounded metric label.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackAnswer:
    """What the channel wants to read: exact bytes."""

    status: int
    content_type: str
    body: bytes


class Channel(Protocol):
    """A remote channel, for one channel account."""

    @property
    def hosts(self) -> int:
        """At how many hosts the channel takes this account's calls: 1 or 2.

        One ledger stands behind both: an order number is the same order at each, and is charged
        once.
        """
        ...

    async def pay(self, request: PayRequest) -> PayOutcome:
        """Send the payment once: barcode pay for `Flow.CODE`,
        order creation with a QR code for `Flow.QR`.
        """
        ...

    async def query(self, trade: TradeRef) -> QueryOutcome:
        """Ask for the trade's state. Moves nothing."""
        ...

    async def cancel(self, trade: TradeRef) -> CancelOutcome:
        """End the trade unpaid: cancel, close or reverse, whichever this channel has for the flow.

        Safe to repeat.
        """
        ...

    async def refund(self, request: RefundRequest) -> RefundOutcome:
        """Give money back. Safe to repeat with the same `out_refund_no`."""
        ...

    async def query_refund(self, request: RefundRequest) -> RefundQueryOutcome:
        """Ask for the refund's state. Moves nothing."""
        ...

    def read_callback(self, headers: Mapping[str, str], body: bytes) -> Callback:
        """Verify and read a callback over its raw bytes, pure and bounded.

        Raises `CallbackRefused`; makes no outbound call.
        """
        ...

    def callback_accepted(self) -> CallbackAnswer:
        """The acknowledgement in the channel's own words."""
        ...

    def callback_refused(self) -> CallbackAnswer:
        """The refusal in the channel's own words."""
        ...


class Entry(Struct, frozen=True, kw_only=True):
    """One journal line.

    `account` like `drawer/<store>/<terminal>`; `amount` in fen, debit positive; a posting's lines
    sum to 0.
    """

    account: str
    amount: int


class LocalPay(Struct, frozen=True, kw_only=True):
    """A tender that settles in our own database. `tendered` in fen, None: exact."""

    amount: int
    currency: str
    store_id: str
    terminal_id: str
    tendered: int | None


class LocalSucceeded(Struct, frozen=True, kw_only=True):
    """Paid: `entries` are posted by the same write that books it.

    `change` in fen, None where the word has no meaning.
    """

    entries: tuple[Entry, ...]
    change: int | None


class LocalChannel(Protocol):
    """A channel that is pure: a decision and the journal lines it posts."""

    def decide(self, request: LocalPay) -> LocalSucceeded | Declined:
        """Judge a tender."""
        ...

    def decide_refund(self, request: LocalPay) -> LocalSucceeded | Declined:
        """Judge a refund of `request.amount`."""
        ...
