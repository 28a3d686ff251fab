"""The aggregate one transition compares and writes:
a payment, its attempts, and the refunds a change touches.

Frozen: a change is `msgspec.structs.replace`, never an assignment. Amounts are fen of
`Payment.currency`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec import Struct

from gateway.domain.outcomes import FailureCode, Proof, RefundFailureCode, Retry
from gateway.domain.presenting import Flow
from gateway.domain.states import ATTEMPT_LATE, ATTEMPT_LIVE, ATTEMPT_SETTLED
from gateway.domain.statuses import AttemptStatus, PaymentStatus, RefundStatus
from gateway.domain.words import DayRule, EvidenceWord, LastCancel, Numbering, Origin, Source


class Evidence(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing a channel (or a person closing a case) told us about an attempt or a refund."""

    at: datetime
    source: Source
    outcome: EvidenceWord
    proof: Proof | None = None
    code: str = ""  # the channel's own code
    words: str = ""  # the channel's signed answer, bounded


class Failure(Struct, frozen=True, kw_only=True):
    """Why a payment ended proven not charged."""

    code: FailureCode
    retry: Retry
    channel_code: str = ""


class Attempt(Struct, frozen=True, kw_only=True):
    """One try on one channel account.

    `trade_number` counts attempts over all payments of the tender and makes `out_trade_no`.
    """

    id: str
    number: int
    trade_number: int
    channel: str
    channel_account: str
    out_trade_no: str
    status: AttemptStatus
    why: str
    worker_id: str
    sent_at: datetime
    send_by: datetime
    not_after: datetime
    epoch: int = 1
    due_at: datetime | None = None  # the sweeper's next visit; None: nothing to ask
    queries: int = 0
    not_founds: int = 0
    cancels: int = 0
    silences: int = 0  # visits in a row that learned nothing: phase 2 of the schedule
    last_cancel: LastCancel | None = None
    # When the channel said that it waits for the payer; None once it says anything else.
    payer_asked_at: datetime | None = None
    channel_trade_no: str | None = None
    captured_amount: int = 0
    received_amount: int = 0
    reserved_amount: int = 0  # refunds that may still move money
    returned_amount: int = 0  # refunds that did
    surplus: bool = False  # its money came beside another attempt's, and never was the payment's
    evidence: tuple[Evidence, ...] = ()

    @property
    def live(self) -> bool:
        """May still move money by itself."""
        return self.status in ATTEMPT_LIVE

    @property
    def refundable(self) -> int:
        """Fen that are captured and neither returned nor reserved."""
        return self.captured_amount - self.reserved_amount - self.returned_amount


class Refund(Struct, frozen=True, kw_only=True):
    """Money on its way back, out of one attempt."""

    id: str
    merchant_id: str
    payment_id: str
    store_id: str
    attempt_id: str
    channel: str
    channel_account: str
    refund_no: str
    out_refund_no: str
    amount: int
    currency: str
    origin: Origin
    status: RefundStatus
    created_at: datetime
    business_date: str  # YYYY-MM-DD: of its acceptance by us
    channel_date: str | None = None  # as a payment's, by its channel's rule for refunds
    version: int = 1
    reason: str = ""
    operator_id: str | None = None
    terminal_id: str | None = None  # of the till that asked; cash goes out of its drawer
    asked_by: str | None = None  # the key that signed; None: nobody asked, the money came late
    idempotency_key: str | None = None  # counts within the store
    # Fen that the one who asked may give back on that day; None: no limit.
    day_limit: int | None = None
    channel_refund_no: str | None = None
    failure_code: RefundFailureCode | None = None
    channel_code: str | None = None
    refunded_at: datetime | None = None
    due_at: datetime | None = None
    # A person has proposed how it ends: it is asked about, and not sent any more.
    stopped_at: datetime | None = None
    tries: int = 0
    silences: int = 0
    heard: int = 0  # words about it so far: they pace its visits, and only the first is definite
    evidence: tuple[Evidence, ...] = ()


class Payment(Struct, frozen=True, kw_only=True):
    """One tender towards an order. `version` is what every write compares."""

    id: str
    merchant_id: str
    store_id: str
    terminal_id: str | None
    order_no: str
    tender_no: int
    amount: int
    currency: str
    channel: str
    flow: Flow
    status: PaymentStatus
    business_date: str  # YYYY-MM-DD; final once it is paid, as is `channel_date`
    created_at: datetime
    numbering: Numbering
    days: DayRule
    version: int = 1
    asked_by: str | None = None  # the key that signed
    operator_id: str | None = None
    description: str | None = None
    metadata: dict[str, str] = {}
    tendered: int | None = None
    change: int | None = None
    expires_at: datetime | None = None
    notify_url: str | None = None  # where its events go in place of an endpoint's own address
    qr_code: str | None = None
    paid_at: datetime | None = None
    channel_date: str | None = None  # of the channel's bill; None: not paid, or it has no bills
    payer_masked: str | None = None
    discounts: tuple[dict[str, Any], ...] = ()
    failure: Failure | None = None
    cancel_requested_at: datetime | None = None
    cancel_requested_by: str | None = None  # the key that signed
    frozen_at: datetime | None = None
    frozen_by: str | None = None  # the attempt of which a channel said what cannot be right
    late_refund: RefundStatus | None = None  # of the refund of origin `late`
    # A supervisor let another tender in: a later yes is late money, and nothing else.
    overridden_at: datetime | None = None
    overridden_by: str | None = None  # the payment that was let in
    overrides: str | None = None  # the one in doubt, where a supervisor let this one in
    attempts: tuple[Attempt, ...] = ()

    @property
    def current(self) -> Attempt:
        """The live attempt, else the one that settled, else the last one."""
        for attempt in reversed(self.attempts):
            if attempt.status in ATTEMPT_LIVE:
                return attempt
        return self.settling or self.attempts[-1]

    @property
    def settling(self) -> Attempt | None:
        """The attempt whose money is this payment's: the succeeded one, or for `paid_late` the late
        one, never one that was surplus.
        """
        wanted = ATTEMPT_LATE if self.status == PaymentStatus.PAID_LATE else ATTEMPT_SETTLED
        for attempt in self.attempts:
            if attempt.status in wanted and not attempt.surplus:
                return attempt
        return None

    def attempts_with(self, changed: Attempt) -> tuple[Attempt, ...]:
        """The attempts, `changed` in the place of the one that has its id."""
        return tuple([changed if known.id == changed.id else known for known in self.attempts])

    def attempt(self, out_trade_no: str) -> Attempt:
        """The attempt with this channel order number. Raises `KeyError`."""
        for attempt in self.attempts:
            if attempt.out_trade_no == out_trade_no:
                return attempt
        raise KeyError(out_trade_no)
