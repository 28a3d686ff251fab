"""What a payment, an attempt and a refund can be: the words of the books, the answers and the
events. Which of them may follow which is drawn in `domain.states`.
"""

from __future__ import annotations

from enum import StrEnum


class PaymentStatus(StrEnum):
    PROCESSING = "processing"  # durable and sent
    AWAITING_PAYER = "awaiting_payer"  # the customer types a password, or a QR code is shown
    IN_DOUBT = "in_doubt"  # the answer is unknown, or a cancel is under way
    SUCCEEDED = "succeeded"  # paid
    FAILED = "failed"  # proven not charged
    EXPIRED = "expired"  # proven not charged: the customer did not act in time
    CANCELED = "canceled"  # proven not charged: the till asked for it
    PAID_LATE = "paid_late"  # money came after we had said no, or after an override; it goes back


class AttemptStatus(StrEnum):
    SENT = "sent"  # durable; its request may leave until `send_by`
    PENDING = "pending"  # the channel has it and waits
    IN_DOUBT = "in_doubt"  # the answer is unknown
    CANCELLING = "cancelling"  # a cancel was sent or is about to be
    DECLINED = "declined"  # a signed refusal of its only send (P1)
    NOT_SENT = "not_sent"  # no byte of it left (P0)
    REVERSED = "reversed"  # closed, revoked, cancelled, or never arrived (P2, P3, P4)
    CAPTURED_LATE = "captured_late"  # it captured after all; the refund is under way
    SUCCEEDED = "succeeded"  # it captured
    RETURNED = "returned"  # the late capture was given back whole


class RefundStatus(StrEnum):
    REQUESTED = "requested"  # durable, its amount reserved
    PROCESSING = "processing"  # the channel accepted it; the money is on its way
    IN_DOUBT = "in_doubt"  # the answer is unknown: asked about, and sent again under its number
    NEEDS_ACTION = "needs_action"  # refused for now; a person mends something; still reserved
    SUCCEEDED = "succeeded"  # the money went back
    FAILED = "failed"  # proven that no money moved
