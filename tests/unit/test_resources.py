"""The public objects, field by field, in the order the contract shows them."""

import json
from typing import Any

import pytest

from gateway.domain.outcomes import FailureCode, Retry
from gateway.domain.payment import Failure
from gateway.domain.resources import payment_json, refund_json
from tests.unit.paying import attempt, later, payment, refund

PAYMENT_FIELDS = """
id object version status order_no tender_no amount currency amount_captured amount_received
amount_refunded discounts fee method flow store_id terminal_id operator_id description
business_date channel_date channel_account out_trade_no channel_trade_no payer change card member
verdict next_action failure attempts created_at paid_at expires_at cancel_requested_at overrides
metadata
"""
ATTEMPT_FIELDS = (
    "id number channel_account status out_trade_no sent_at captured_amount returned_amount why"
)
REFUND_FIELDS = """
id object version refund_no payment_id attempt_id out_refund_no channel_refund_no amount currency
status verdict next_action failure origin reason terminal_id operator_id business_date channel_date
created_at refunded_at
"""


def shown(subject) -> dict[str, Any]:
    return dict(json.loads(payment_json(subject)))


def test_payment_fields():
    document = shown(payment())
    assert list(document) == PAYMENT_FIELDS.split()
    assert list(document["attempts"][0]) == ATTEMPT_FIELDS.split()
    assert list(document["verdict"]) == ["code", "zh", "en"]


def test_refund_fields():
    assert list(json.loads(refund_json(refund()))) == REFUND_FIELDS.split()


def test_a_paid_payment_whole():
    settled = attempt(
        "succeeded",
        received_amount=950,
        channel_trade_no="C1",
    )
    subject = payment(
        "succeeded",
        settled,
        payer_masked="159****0000",
        metadata={"table": "8"},
        discounts=({"name": "coupon", "amount": 50, "funded_by": "merchant"},),
        operator_id="op",
        description="noodles",
    )
    assert shown(subject) == {
        "id": "pay_1",
        "object": "payment",
        "version": 3,
        "status": "succeeded",
        "order_no": "A1",
        "tender_no": 1,
        "amount": 1000,
        "currency": "CNY",
        "amount_captured": 1000,
        "amount_received": 950,
        "amount_refunded": 0,
        "discounts": [{"name": "coupon", "amount": 50, "funded_by": "merchant"}],
        "fee": None,
        "method": "wallet",
        "flow": "code",
        "store_id": "s1",
        "terminal_id": "t1",
        "operator_id": "op",
        "description": "noodles",
        "business_date": "2026-11-21",
        "channel_date": None,
        "channel_account": "acct_1",
        "out_trade_no": "TT1",
        "channel_trade_no": "C1",
        "payer": {"ref_masked": "159****0000"},
        "change": None,
        "card": None,
        "member": None,
        "verdict": {"code": "paid", "zh": "收款成功", "en": "Paid"},
        "next_action": None,
        "failure": None,
        "attempts": [
            {
                "id": "att_1",
                "number": 1,
                "channel_account": "acct_1",
                "status": "succeeded",
                "out_trade_no": "TT1",
                "sent_at": "2026-11-21T04:00:00Z",
                "captured_amount": 1000,
                "returned_amount": 0,
                "why": "only",
            }
        ],
        "created_at": "2026-11-21T04:00:00Z",
        "paid_at": "2026-11-21T04:00:00Z",
        "expires_at": None,
        "cancel_requested_at": None,
        "overrides": None,
        "metadata": {"table": "8"},
    }


@pytest.mark.parametrize(
    ("status", "qr_code", "action"),
    [
        ("processing", None, {"type": "poll", "after_ms": 1000}),
        ("awaiting_payer", None, {"type": "poll", "after_ms": 1000}),
        (
            "awaiting_payer",
            "https://qr",
            {"type": "show_qr", "after_ms": 1000, "qr_code": "https://qr"},
        ),
        # Nobody may scan a code that is being closed.
        ("in_doubt", "https://qr", {"type": "poll", "after_ms": 1000}),
        ("in_doubt", None, {"type": "poll", "after_ms": 1000}),
        ("succeeded", None, None),
        ("failed", None, None),
        ("expired", "https://qr", None),
        ("canceled", None, None),
        ("paid_late", None, None),
    ],
)
def test_every_undecided_answer_says_what_to_do_next(status, qr_code, action):
    assert shown(payment(status, qr_code=qr_code))["next_action"] == action


def test_why_it_was_not_charged():
    subject = payment(
        "failed",
        attempt("declined"),
        failure=Failure(
            code=FailureCode.INSUFFICIENT_BALANCE, retry=Retry.OTHER_METHOD, channel_code="LOW"
        ),
    )
    assert shown(subject)["failure"] == {
        "code": "insufficient_balance",
        "retry": "other_method",
        "zh": "余额不足，请顾客更换付款方式",
        "en": "Not enough balance: ask for another way to pay",
        "channel_code": "LOW",
    }


@pytest.mark.parametrize(
    ("status", "first", "second", "money", "account"),
    [
        ("succeeded", "declined", "succeeded", (1000, 0), "acct_2"),
        # A surplus shows only among the attempts.
        ("succeeded", "captured_late", "succeeded", (1000, 0), "acct_2"),
        ("paid_late", "reversed", "captured_late", (1000, 0), "acct_2"),
        ("paid_late", "reversed", "returned", (1000, 1000), "acct_2"),
        ("processing", "declined", "sent", (0, 0), "acct_2"),
        ("failed", "declined", "reversed", (0, 0), "acct_2"),
    ],
)
def test_the_amounts_are_the_settling_attempts(status, first, second, money, account):
    last = attempt(
        second,
        id="att_2",
        number=2,
        out_trade_no="TT2",
        channel_account="acct_2",
        returned_amount=money[1],
    )
    document = shown(payment(status, attempt(first), last))
    assert (document["amount_captured"], document["amount_refunded"]) == money
    assert [each["status"] for each in document["attempts"]] == [first, second]
    assert (document["channel_account"], document["out_trade_no"]) == (account, "TT2")


@pytest.mark.parametrize(
    ("status", "failure", "shown_failure"),
    [
        ("requested", None, None),
        ("succeeded", None, None),
        ("failed", "not_allowed", {"code": "not_allowed", "channel_code": "NO"}),
        ("needs_action", "balance", {"code": "balance", "channel_code": "NO"}),
        ("needs_action", None, {"code": "unknown", "channel_code": "NO"}),
        ("processing", "balance", None),  # it was refused once and is under way again
    ],
)
def test_why_a_refund_does_not_move(status, failure, shown_failure):
    document = json.loads(
        refund_json(refund(status, failure_code=failure, channel_code="NO", refunded_at=later(1)))
    )
    assert document["failure"] == shown_failure
