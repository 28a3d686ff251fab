"""What a person has to look at."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec import Struct

from gateway.domain.payment import Evidence


class CaseKind(StrEnum):
    """Why a person is called; docs/runbooks/frozen-payments.md says what to do about each.

    Of one kind, one case at a time is open about an object.
    """

    MISMATCH = "mismatch"  # a signed answer about another amount, order or merchant; with its field
    CAPTURED_LATE = "captured_late"  # money came after a proven no; it goes back by itself
    CAPTURED_SURPLUS = "captured_surplus"  # an ended attempt captured too; it goes back by itself
    OVERRIDE = "override"  # a supervisor let another tender in
    CLOSED_AFTER_SUCCESS = "closed_after_success"  # money went back, by no refund of ours
    CALLBACK_UNKNOWN_NUMBER = "callback_unknown_number"  # genuine, about a number we never made
    REFUND_UNKNOWN = "refund_unknown"  # genuine, about a refund we never made
    LATE_ANSWER_UNCLEAR = "late_answer_unclear"  # a yes after the end, and no word since
    LONG_IN_DOUBT = "long_in_doubt"  # many visits in a row learned nothing
    REFUND_NEEDS_ACTION = "refund_needs_action"  # the channel refuses a refund for now
    REFUND_LONG_IN_DOUBT = "refund_long_in_doubt"  # the answer to a refund stays unknown
    REFUND_AFTER_ALL = "refund_after_all"  # money of a refund that had ended failed went back
    WEBHOOK_GIVEN_UP = "webhook_given_up"  # an endpoint takes no event for more than a day
    ILLEGAL_TRANSITION = "illegal_transition"  # a defect: a change that is no cell of the tables
    STORE_REFUSED = "store_refused"  # a defect: a change that the database refuses


class Finding(StrEnum):
    """What the person who closes a case has found out: about the payment's money, or about that of
    the refund that the case shows.
    """

    PAID = "paid"  # the attempt captured
    NOT_CHARGED = "not_charged"  # the attempt did not capture, and will not
    REFUNDED = "refunded"  # the channel gave the money back under this refund
    PAID_ANOTHER_WAY = "paid_another_way"  # the payer has the money, not by way of this refund
    NOT_REFUNDED = "not_refunded"  # the payer does not have it, and this refund is given up


ABOUT_PAYMENT: Final = frozenset({Finding.PAID, Finding.NOT_CHARGED})


class FindingRefused(ValueError):
    """The finding cannot be applied, so the case stays open. The text says why, and what to do."""


class Case(Struct, frozen=True, kw_only=True):
    """`field`: of a mismatch, what differs, in the channel's own name for it. `attempt_id`,
    `refund_id`: what the case shows, where it shows one.
    """

    id: str
    kind: CaseKind
    evidence: Evidence
    field: str = ""
    attempt_id: str | None = None
    refund_id: str | None = None

    @property
    def name(self) -> str:
        """The kind as it is stored, counted and logged: `mismatch_amount`, `captured_late`."""
        return f"{self.kind}_{self.field}" if self.field else self.kind.value
