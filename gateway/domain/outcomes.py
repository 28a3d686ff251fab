"""What one channel call told us: tagged unions, matched exhaustively with `assert_never`.

Three kinds of knowledge and no fourth: the money moved, it provably did not, or we do not know. An
adapter that meets a code in none of its tables answers `Unknown`; nothing here is ever guessed from
an HTTP status alone.

`NotFound`, `NothingThere` and `AlreadyExists` prove nothing by themselves: a request may still be
on its way. Every outcome may carry `evidence`, the channel's own signed words (bounded, never
holding an auth code), stored with the attempt, and has a `word`, by which evidence and metrics name
it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Literal, TypeAlias

from gateway.domain.words import EvidenceWord


class Proof(StrEnum):
    """What counts as evidence that an attempt did not and will not charge."""

    NEVER_SENT = "P0"  # no request byte left, seen and committed by the same epoch
    SIGNED_REFUSAL = "P1"  # an allow-listed, signature-checked refusal of the only send
    FINAL_STATE = "P2"  # a signed query says closed or revoked
    CANCEL_CONFIRMED = "P3"  # a signed acknowledgement of our cancel, close or reversal
    NOT_FOUND_TWICE = "P4"  # not found again after the request itself could no longer act


class Retry(StrEnum):
    """What the cashier may do next after a proven refusal."""

    RESCAN = "rescan"  # the payment code is spent or expired: ask for a fresh one
    OTHER_METHOD = "other_method"  # the customer should pay another way
    SAME_METHOD = "same_method"  # trying the same again can work
    NONE = "none"  # the request itself is refused


class FailureCode(StrEnum):
    """Our stable reasons for a proven "not charged"; texts for people: `domain.verdicts`."""

    INSUFFICIENT_BALANCE = "insufficient_balance"
    AUTH_CODE_EXPIRED = "auth_code_expired"
    AUTH_CODE_INVALID = "auth_code_invalid"
    PAYER_ACCOUNT_RESTRICTED = "payer_account_restricted"
    PAYER_LIMIT_EXCEEDED = "payer_limit_exceeded"
    PAYMENT_REFUSED = "payment_refused"
    RISK_REFUSED = "risk_refused"
    MERCHANT_LIMIT_EXCEEDED = "merchant_limit_exceeded"
    MERCHANT_RESTRICTED = "merchant_restricted"
    CHANNEL_CONFIGURATION = "channel_configuration"
    CHANNEL_BUSY = "channel_busy"
    CHANNEL_UNREACHABLE = "channel_unreachable"
    REQUEST_REFUSED = "request_refused"
    TENDERED_TOO_LITTLE = "tendered_too_little"
    PAYER_TIMEOUT = "payer_timeout"
    CANCELED = "canceled"
    NOT_CHARGED = "not_charged"  # proven by query or cancel after an unknown answer
    UNSUPPORTED = "unsupported"


# Our stable reasons for a refused refund.
RefundFailureCode: TypeAlias = Literal[
    "merchant_balance",  # the merchant's account at the channel holds too little
    "payer_account_unusable",  # the customer's card or account takes no money
    "held_by_channel",  # the channel holds the trade back, and tells a person why
    "refund_refused",
    "refund_closed",
    "request_refused",
    "channel_configuration",
    "paid_another_way",  # two persons say that the payer has the money, not by way of this refund
    "given_up",  # two persons say that the payer does not have it, and end the refund
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Discount:
    """A part of the price that the payer did not pay.

    `funded_by` is `channel` or `merchant`; `amount` in fen.
    """

    name: str
    amount: int
    funded_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Succeeded:
    """The money moved.

    `amount` is the order's gross in fen as the channel states it, already compared with ours.
    """

    word: ClassVar = EvidenceWord.SUCCEEDED

    amount: int
    channel_trade_no: str
    # Fen that reach the merchant before fees; None: the channel did not say.
    received_amount: int | None = None
    paid_at: datetime | None = None  # the channel's clock, aware
    payer_masked: str | None = None
    discounts: tuple[Discount, ...] = ()
    evidence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """Accepted, not decided; there is nothing to do but wait (WeChat ACCEPT)."""

    word: ClassVar = EvidenceWord.PENDING

    channel_code: str = ""
    channel_trade_no: str | None = None
    evidence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PayerActionNeeded:
    """The customer types a password, or scans `qr_code` (None unless this answer showed one)."""

    word: ClassVar = EvidenceWord.PAYER_ACTION_NEEDED

    qr_code: str | None = None
    channel_code: str = ""
    channel_trade_no: str | None = None
    evidence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declined:
    """A signed, allow-listed refusal: proof that this attempt did not and will not charge.

    `failover_useful`: another account may well accept (the refusal is not the customer's doing).
    """

    word: ClassVar = EvidenceWord.DECLINED

    code: FailureCode
    retry: Retry
    failover_useful: bool
    channel_code: str = ""
    proof: Proof = Proof.SIGNED_REFUSAL
    evidence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlreadyExists:
    """The channel knows this number already; whether it was paid is for a query to say."""

    word: ClassVar = EvidenceWord.ALREADY_EXISTS

    channel_code: str = ""
    evidence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotSent:
    """P0: refused, DNS, TLS, connect timeout, or the send deadline passed,
    before the first request byte.
    """

    word: ClassVar = EvidenceWord.NOT_SENT

    reason: str
    evidence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """A signed answer about another amount, order or merchant.

    Never booked; freezes the payment and opens a case.
    """

    word: ClassVar = EvidenceWord.MISMATCH

    field: str
    expected: str
    got: str
    evidence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """Sent, and we cannot say what became of it."""

    word: ClassVar = EvidenceWord.UNKNOWN

    reason: str
    channel_code: str = ""
    evidence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotFound:
    """Query: no such order, at this moment. Alone it proves nothing."""

    word: ClassVar = EvidenceWord.NOT_FOUND

    channel_code: str = ""
    evidence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """Query: the order is closed, revoked or fully refunded; nothing can charge it any more.

    `was_charged`: money had moved and went back. None: the channel's state is ambiguous (Alipay
    TRADE_CLOSED without dates).
    """

    word: ClassVar = EvidenceWord.CLOSED

    was_charged: bool | None
    channel_code: str = ""
    channel_trade_no: str | None = None
    evidence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reversed:
    """Cancel, close or reversal confirmed: P3.

    `was_charged`: it had been paid and the cancel gave it back.
    """

    word: ClassVar = EvidenceWord.REVERSED

    was_charged: bool | None = None
    channel_code: str = ""
    evidence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NothingThere:
    """Cancel: the channel knows no such order.

    Not a tombstone unless its contract says so: repeated, then P4.
    """

    word: ClassVar = EvidenceWord.NOTHING_THERE

    channel_code: str = ""
    evidence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallAgain:
    """Cancel: try the very same cancel again (retry_flag Y, recall, SYSTEM_ERROR, USERPAYING)."""

    word: ClassVar = EvidenceWord.CALL_AGAIN

    channel_code: str = ""
    evidence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UseRefund:
    """Cancel: no cancel can act any more (too late, finished); the next query decides."""

    word: ClassVar = EvidenceWord.USE_REFUND

    channel_code: str = ""
    evidence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundSucceeded:
    """The refund's money moved. `amount` in fen, already compared with ours."""

    word: ClassVar = EvidenceWord.REFUND_SUCCEEDED

    amount: int
    channel_refund_no: str
    refunded_at: datetime | None = None
    accepted_at: datetime | None = None  # as for `RefundPending`
    evidence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundPending:
    """Accepted; the money is on its way. `accepted_at`: by the channel's clock, where it says."""

    word: ClassVar = EvidenceWord.REFUND_PENDING

    channel_code: str = ""
    channel_refund_no: str | None = None
    accepted_at: datetime | None = None
    evidence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundDeclined:
    """A signed refusal: no money moved by this refund number.

    `needs_action`: a person can mend it and the same number may be sent again (merchant balance,
    dead card).
    """

    word: ClassVar = EvidenceWord.REFUND_DECLINED

    code: RefundFailureCode
    needs_action: bool
    channel_code: str = ""
    evidence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundNotFound:
    """Refund query: the channel never accepted this refund number:
    the same number may be sent again.
    """

    word: ClassVar = EvidenceWord.REFUND_NOT_FOUND

    channel_code: str = ""
    evidence: str = ""


PayOutcome: TypeAlias = (
    Succeeded
    | Pending
    | PayerActionNeeded
    | Declined
    | AlreadyExists
    | NotSent
    | Mismatch
    | Unknown
)
QueryOutcome: TypeAlias = PayOutcome | NotFound | Closed
CancelOutcome: TypeAlias = Reversed | NothingThere | CallAgain | UseRefund | NotSent | Unknown
RefundOutcome: TypeAlias = (
    RefundSucceeded | RefundPending | RefundDeclined | NotSent | Mismatch | Unknown
)
RefundQueryOutcome: TypeAlias = RefundOutcome | RefundNotFound
# What says nothing of the trade.
Silence: TypeAlias = Unknown | AlreadyExists | NotSent
