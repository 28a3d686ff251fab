"""Words that stand in rows. What is written stays readable for ever: a class may be renamed, the
value of a word never changes.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Self


class Origin(StrEnum):
    """Who wants the money back."""

    MERCHANT = "merchant"  # the merchant asked for it
    LATE = "late"  # the payment's own money came after we had said no
    SURPLUS = "surplus"  # the money of an ended attempt came beside that of another one


class Numbering(IntEnum):
    """Whose an order number is. It says what must be unique, and what the channel order numbers of
    a payment are made from; a row keeps the rule it was made by.
    """

    BY_MERCHANT = 1  # one bill of the merchant: the store is in no channel order number
    BY_STORE = 2  # one bill of a store


class DayRule(IntEnum):
    """Which business day a payment belongs to; a row keeps the rule it was made by."""

    BY_OPENING = 1  # the calendar day of its opening, whatever its store's cut-off
    BY_SUCCESS = 2  # the store's day of its opening until it is paid, then of its success


class LastCancel(StrEnum):
    """What the last cancel of an attempt was answered; the attempt is still `cancelling`."""

    NOTHING_THERE = "NothingThere"  # no such order: repeated until P4's clock has run out
    CALL_AGAIN = "CallAgain"  # the very same cancel is wanted again
    USE_REFUND = "UseRefund"  # no cancel acts any more: the next query decides
    UNKNOWN = "Unknown"  # no answer that we can read
    NOT_SENT = "NotSent"  # no byte of it left


class _Open(StrEnum):
    """A word of evidence, which people read and nothing is decided by.

    One that a newer worker has learned is kept as it stands, and written back so.
    """

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        word = str.__new__(cls, value)
        word._name_, word._value_ = value, value
        return word


class Source(_Open):
    """On whose word something is noted."""

    PAY = "pay"  # the answer to the pay call
    QUERY = "query"  # the answer to a query
    CANCEL = "cancel"  # the answer to a cancel, close or reversal
    REFUND = "refund"  # the answer to a refund
    REFUND_QUERY = "refund_query"  # the answer to the query of a refund
    CALLBACK = "callback"  # the channel, unasked
    SWEEPER = "sweeper"  # the sweeper's own act
    TILL = "till"  # the till's wish
    SUPERVISOR = "supervisor"  # a supervisor's override
    CASE = "case"  # a person who closed a case
    RESTORED = "restored"  # the search for lost attempts, while "restored" mode stands
    RELEARNED = "relearned"  # what that search found
    GATEWAY = "flow"  # the gateway about itself: a change that was refused
    WEBHOOK = "webhook"  # a merchant's endpoint


class EvidenceWord(_Open):
    """What was told or done, in one word."""

    # The outcomes of `domain.outcomes`, in its order.
    SUCCEEDED = "Succeeded"
    PENDING = "Pending"
    PAYER_ACTION_NEEDED = "PayerActionNeeded"
    DECLINED = "Declined"
    ALREADY_EXISTS = "AlreadyExists"
    NOT_SENT = "NotSent"
    MISMATCH = "Mismatch"
    UNKNOWN = "Unknown"
    NOT_FOUND = "NotFound"
    CLOSED = "Closed"
    REVERSED = "Reversed"
    NOTHING_THERE = "NothingThere"
    CALL_AGAIN = "CallAgain"
    USE_REFUND = "UseRefund"
    REFUND_SUCCEEDED = "RefundSucceeded"
    REFUND_PENDING = "RefundPending"
    REFUND_DECLINED = "RefundDeclined"
    REFUND_NOT_FOUND = "RefundNotFound"
    # What we or a person did.
    TAKEN = "Taken"  # the sweeper took the attempt over from the worker that had sent it
    CANCEL_SENT = "CancelSent"  # a cancel is about to leave
    OVERRIDDEN = "Overridden"  # a supervisor let another tender in
    SURPLUS = "Surplus"  # the money came beside another attempt's
    LATE_ANSWER_UNCLEAR = "LateAnswerUnclear"  # a yes after the end: the channel is asked
    # What only a case tells.
    ILLEGAL_TRANSITION = "IllegalTransition"
    STORE_REFUSED = "StoreRefused"
    GIVEN_UP = "GivenUp"
    CALLBACK_UNKNOWN_NUMBER = "callback_unknown_number"
    REFUND_UNKNOWN = "refund_unknown"
